//! The page of a run.
use super::Report;

/// The whole report as one page without outside resources.
pub fn page(report: &Report) -> String {
    maud::html! { (maud::DOCTYPE) html { body { h1 { (report.run) } } } }.into_string()
}
