//! What `make failover` and `make drill` show.

mod drill;
mod failover;
mod tell;

pub use drill::{Outcome as DrillOutcome, drill};
pub use failover::{Outcome as FailoverOutcome, failover};
pub use tell::Teller;

use std::path::{Path, PathBuf};

use relight::report::Report;
use relight::run::RunId;

use crate::{Error, Stage};

/// Fetches both forms of a run's report into `target/report`.
async fn fetch_report(stage: &Stage, run: &RunId) -> Result<(Report, PathBuf), Error> {
    let folder = stage.layout.target.join("report");
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("making target/report", source))?;
    let (json, html) = tokio::try_join!(fetch(stage, format!("{run}.json")), fetch(stage, format!("{run}.html")))?;
    let page = folder.join(format!("{run}.html"));
    std::fs::write(folder.join(format!("{run}.json")), &json).map_err(|source| Error::io("writing the report", source))?;
    std::fs::write(&page, html).map_err(|source| Error::io("writing the report", source))?;
    let report = serde_json::from_str(&json).map_err(Error::part("reading the report"))?;
    Ok((report, page))
}

/// A path as it is typed from here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

async fn fetch(stage: &Stage, key: String) -> Result<String, Error> {
    stage.report(&key).await
}
