//! After a failover the primary Region comes back, and the operator goes home, under the load that never stopped.
//!
//! ```text
//! failover ─► the Region is back ─► fenced ─► `failback` ─► `switch-home` ─► closed ─► every row is counted ─► a drill
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use relight::report::Report;
use relight::run::{Mode, Phase, Run, RunId};
use serde_json::Value;
use stage_app::load::{self, Kind};
use uuid::Uuid;

use super::failover::{LASTING, longest, orders, served, under, users};
use super::{DrillOutcome, FailoverOutcome, Teller, fetch_report, write_report};
use crate::observe::until;
use crate::{Error, PRIMARY, STANDBY, Stage};

/// In the name of an instance that a failback set aside.
const LEFT: &str = "-left-";

/// The fence is tried each minute, here as in AWS: once to ask for it, and once to see it done.
const FENCED: Duration = Duration::from_secs(180);

/// What the way home came to.
#[derive(Debug)]
pub struct Outcome {
    pub failover: FailoverOutcome,
    pub run: Run,
    pub report: Report,
    /// Seconds that users were without service while the failback switched.
    pub reads_out: f64,
    pub writes_out: f64,
    pub rows: Rows,
    /// Both Regions before the failure, and once the failback was closed.
    pub before: BTreeMap<String, Value>,
    pub after: BTreeMap<String, Value>,
    /// The drill that follows on the same stage.
    pub drill: DrillOutcome,
}

/// Where every row is that users placed.
#[derive(Debug)]
pub struct Rows {
    /// Those that users were told are committed, in whichever Region.
    pub committed: BTreeSet<Uuid>,
    pub home: BTreeSet<Uuid>,
    /// The standby's replica, built again.
    pub standby: BTreeSet<Uuid>,
    /// Those of the file of rows left behind.
    pub left: BTreeSet<Uuid>,
}

impl Rows {
    /// Committed rows that are in neither.
    pub fn nowhere(&self) -> BTreeSet<Uuid> {
        self.committed.iter().filter(|row| !self.home.contains(row) && !self.left.contains(row)).copied().collect()
    }
}

impl Outcome {
    /// What is otherwise than before the failure, and should not be.
    pub fn differences(&self) -> Vec<String> {
        let (before, after) = (comparable(&self.before), comparable(&self.after));
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let differs = |key: &&&String| before.get(**key) != after.get(**key);
        keys.iter().filter(differs).map(|key| format!("{key}: {:?} became {:?}", before.get(*key), after.get(*key))).collect()
    }

    /// The instances that were set aside, as they stand.
    pub fn set_aside(&self) -> Vec<&str> {
        self.after.keys().filter_map(|key| key.rsplit(' ').next()).filter(|name| name.contains(LEFT)).collect()
    }

    pub fn passed(&self) -> bool {
        self.failover.report.passed
            && !self.failover.lost.is_empty()
            && self.report.passed
            && self.rows.nowhere().is_empty()
            && self.rows.left == self.failover.lost
            && self.rows.home == self.rows.standby
            && self.differences().is_empty()
            && self.drill.report.passed
            && self.drill.differences().is_empty()
    }
}

/// The instances under the plan's names are new, and secrets have a version more: that is what a way home is. All else is to be as before.
fn comparable(state: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let kept = state.iter().filter(|(key, _)| !key.contains(LEFT)).map(|(key, row)| {
        let mut row = row.clone();
        if let Some(row) = row.as_object_mut() {
            row.remove("resource");
            row.remove("version");
        }
        (key.clone(), row)
    });
    kept.collect()
}

/// Runs the scene on a stage in peace and prints it.
pub async fn failback(stage: &Stage) -> Result<Outcome, Error> {
    let before = stage.state().await?;
    let load = users(stage);
    let failover = Box::pin(under(stage, &load)).await?;

    println!("\n{PRIMARY} is back: its database runs again with what was on its disks. The standby serves on.\n");
    let mut teller = Teller::after(stage, Timestamp::now()).await?;
    stage.return_primary().await?;
    teller
        .follow(stage, "the old writer fenced", FENCED, |_, snapshot| {
            let fenced = snapshot.progress.traffic.fenced.values().filter(|step| step.done_at.is_some()).count();
            fenced == stage.workload.plan.databases.len()
        })
        .await?;
    println!("\nThe operator allows a failback (AllowFailback=yes in the control stack) and says `failback`.\n");
    stage.allow_failback(true).await?;
    let ordered = Timestamp::now();
    let mut teller = Teller::after(stage, ordered).await?;
    stage.order("monthly-drill", "failback").await?;
    teller
        .follow(stage, "both sides synchronised", Duration::from_secs(180), |run, snapshot| {
            let ready = relight::advance::home::unready(&stage.workload.plan, snapshot, Timestamp::now()).is_empty();
            run.mode == Mode::Failback && run.phase == Phase::Synchronised && ready
        })
        .await?;
    println!("\nWrites may pause now: the operator says `switch-home`.\n");
    let switched = Timestamp::now();
    stage.order("monthly-drill", "switch-home").await?;
    let (run, _) = teller
        .follow(stage, "the way home closed and its report written", Duration::from_secs(240), |run, snapshot| {
            run.mode == Mode::Failback && run.phase == Phase::Closed && snapshot.progress.drill.report.is_some()
        })
        .await?;
    until("users served by the primary", Duration::from_secs(30), async || served(&load.records(), PRIMARY, run.came_home_at.unwrap_or(ordered)))
        .await?;
    tokio::time::sleep(LASTING * 2).await;
    let records = load.stop().await;
    stage.allow_failback(false).await?;

    let report = fetch_report(stage, &run.id).await?;
    let rows = count(stage, load::committed(&records).into_values().flatten().collect(), &report, &run.id).await?;
    let since: Vec<load::Record> = records.into_iter().filter(|record| record.sent_at > switched).collect();
    let (reads_out, writes_out) = (longest(&since, Kind::Read), longest(&since, Kind::Write));
    let after = settled(stage, &before).await?;
    let page = write_report(stage, &report)?;
    summary(&report, &rows, reads_out, writes_out, &page);
    // A scene within a scene, both over SDKs: on the heap, or the test's stack is too small for them.
    let drill = Box::pin(super::drill(stage)).await?;
    let outcome = Outcome { failover, run, report, reads_out, writes_out, rows, before, after, drill };
    println!();
    verdict(&outcome);
    Ok(outcome)
}

/// Processes and leases go a moment after the last word.
async fn settled(stage: &Stage, before: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, Error> {
    let before = comparable(before);
    let as_before = until("the state of before the failure", Duration::from_secs(30), async || {
        let after = stage.state().await.map_err(|error| error.to_string())?;
        if comparable(&after) == before { Ok(after) } else { Err("it differs".to_owned()) }
    })
    .await;
    match as_before {
        Ok(after) => Ok(after),
        Err(_) => stage.state().await,
    }
}

async fn count(stage: &Stage, committed: BTreeSet<Uuid>, report: &Report, run: &RunId) -> Result<Rows, Error> {
    let mut left = BTreeSet::new();
    for rows in &report.rows_left {
        let key = rows.file.split_once(&format!("/{run}/")).map(|(_, rest)| format!("{run}/{rest}"));
        let key = key.ok_or_else(|| Error::Part { doing: "finding the rows left behind", message: format!("{} is no file of {run}", rows.file) })?;
        for line in stage.report(&key).await?.lines() {
            let row: Value = serde_json::from_str(line).map_err(Error::part("reading the rows left behind"))?;
            left.extend(row["left"]["id"].as_str().and_then(|id| id.parse::<Uuid>().ok()));
        }
    }
    let home = orders(stage, PRIMARY, stage.database()).await?;
    let standby = until("the standby's replica following", Duration::from_secs(30), async || {
        let rows = orders(stage, STANDBY, stage.replica()).await.map_err(|error| error.to_string())?;
        if rows == home { Ok(rows) } else { Err(format!("{} of {} rows", rows.len(), home.len())) }
    })
    .await?;
    Ok(Rows { committed, home, standby, left })
}

fn summary(report: &Report, rows: &Rows, reads_out: f64, writes_out: f64, page: &std::path::Path) {
    let pause = report.measured.write_pause_seconds.map_or("unknown".to_owned(), |seconds| format!("{seconds:.1} s"));
    println!("\nWrites paused for {pause}; users were without reads for {reads_out:.1} s and without writes for {writes_out:.1} s.");
    for left in &report.rows_left {
        println!("Rows left behind in {}: {} missing, {} otherwise; they are in {}", left.table, left.missing, left.differing, left.file);
    }
    println!(
        "Rows: {} committed, {} at home, {} in the file of rows left behind, {} nowhere.",
        rows.committed.len(),
        rows.home.len(),
        rows.left.len(),
        rows.nowhere().len()
    );
    for line in &report.set_aside {
        println!("Set aside: {line}");
    }
    super::tell::functions(report);
    println!("Report: {} and .json", super::shown(page));
}

fn verdict(outcome: &Outcome) {
    let differences = outcome.differences();
    if differences.is_empty() {
        println!("ok  {} fields of both Regions and the journal are as they were before the failure", comparable(&outcome.before).len());
    }
    differences.iter().for_each(|difference| println!("NOT {difference}"));
    let rows = &outcome.rows;
    let marks = [
        (rows.nowhere().is_empty(), "every committed row is at home or in the file of rows left behind"),
        (rows.left == outcome.failover.lost, "the file has the rows that the failover lost, each of them and no other"),
        (rows.home == rows.standby, "the standby's replica has every row that is at home"),
        (outcome.drill.report.passed && outcome.drill.differences().is_empty(), "a drill passes afterwards, and leaves everything as it was"),
    ];
    marks.iter().for_each(|(holds, what)| println!("{} {what}", if *holds { "ok " } else { "NOT" }));
}
