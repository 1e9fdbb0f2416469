//! The monthly drill, its hour shortened: the standby goes to full capacity, everything is rehearsed, everything is given back.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use relight::report::Report;
use relight::run::{Mode, Phase, Run};
use serde_json::Value;

use super::{Teller, fetch_report, write_report};
use crate::{Error, Stage};

/// What a drill came to.
#[derive(Debug)]
pub struct Outcome {
    pub run: Run,
    pub report: Report,
    pub before: BTreeMap<String, Value>,
    pub after: BTreeMap<String, Value>,
}

impl Outcome {
    /// Fields that the drill did not leave as they were.
    pub fn differences(&self) -> Vec<String> {
        let keys: std::collections::BTreeSet<&String> = self.before.keys().chain(self.after.keys()).collect();
        let differs = |key: &&&String| self.before.get(**key) != self.after.get(**key);
        keys.iter().filter(differs).map(|key| format!("{key}: {:?} became {:?}", self.before.get(*key), self.after.get(*key))).collect()
    }
}

/// Runs the scene on a stage in peace and prints it.
pub async fn drill(stage: &Stage) -> Result<Outcome, Error> {
    let before = stage.state().await?;
    let started = Timestamp::now();
    println!("\nThe drill's schedule fires.\n");
    let mut teller = Teller::after(stage, started).await?;
    stage.fire_drill().await?;
    let (run, _) = teller
        .follow(stage, "the drill closed and its report written", Duration::from_secs(240), |run, snapshot| {
            run.mode == Mode::Drill && run.phase == Phase::Closed && snapshot.progress.drill.report.is_some()
        })
        .await?;
    // Processes and leases go a moment after the last word.
    let after = crate::observe::until("the state of before the drill", Duration::from_secs(15), async || {
        let after = stage.state().await.map_err(|error| error.to_string())?;
        if after == before { Ok(after) } else { Err("it differs".to_owned()) }
    })
    .await;
    let after = match after {
        Ok(after) => after,
        Err(_) => stage.state().await?,
    };
    let report = fetch_report(stage, &run.id).await?;
    let page = write_report(stage, &report)?;
    let outcome = Outcome { run, report, before, after };
    summary(stage, &outcome, &page);
    Ok(outcome)
}

fn summary(stage: &Stage, outcome: &Outcome, page: &std::path::Path) {
    let report = &outcome.report;
    println!();
    for finding in &report.findings {
        println!("{} {}", if finding.ok { "ok " } else { "NOT" }, finding.said);
    }
    let differences = outcome.differences();
    if differences.is_empty() {
        println!("ok  {} fields of both Regions and the journal are as they were before", outcome.before.len());
    }
    for difference in differences {
        println!("NOT {difference}");
    }
    let rto = report.measured.rto_seconds.map_or("unknown".to_owned(), |seconds| format!("{seconds:.1} s"));
    println!("RTO  rehearsed {rto:>9}   objective {:.0} s", report.objectives.rto_seconds);
    println!("RPO  not part of a drill   objective {:.0} s", report.objectives.rpo_seconds);
    super::tell::functions(report);
    println!("Times on this stage: waits divided by {:.0}, the hold by {:.0}.", stage.speed.waits, stage.speed.hold);
    println!("Report: {} and .json", super::shown(page));
}
