//! What `make failover`, `make drill` and `make failback` show.

mod drill;
mod failback;
mod failover;
mod tell;

pub use drill::{Outcome as DrillOutcome, drill};
pub use failback::{Outcome as FailbackOutcome, Rows, failback};
pub use failover::{Outcome as FailoverOutcome, failover};
pub use tell::Teller;

use std::path::{Path, PathBuf};

use relight::report::{Report, page};
use relight::run::RunId;

use crate::{Error, Stage};

/// A run's report as monthly-drill wrote it.
async fn fetch_report(stage: &Stage, run: &RunId) -> Result<Report, Error> {
    serde_json::from_str(&stage.report(&format!("{run}.json")).await?).map_err(Error::part("reading the report"))
}

/// Writes both forms of a report into `target/report`, and says where the page lies.
fn write_report(stage: &Stage, report: &Report) -> Result<PathBuf, Error> {
    let folder = stage.layout.target.join("report");
    let json = report.json().map_err(Error::part("writing the report"))?;
    let html = folder.join(format!("{}.html", report.run));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join(format!("{}.json", report.run)), json))
        .and_then(|()| std::fs::write(&html, page(report)))
        .map_err(|source| Error::io("writing the report", source))?;
    Ok(html)
}

/// A path as it is typed from here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
