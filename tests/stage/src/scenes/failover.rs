//! The primary Region dies, and Relight brings the standby up, under a constant load.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use relight::report::{Lost, Report};
use relight::run::{Phase, Run};
use relight::state::Snapshot;
use stage_app::load::{self, Kind, Load, Record};
use uuid::Uuid;

use super::{Teller, fetch_report, write_report};
use crate::observe::until;
use crate::{Error, PRIMARY, STANDBY, Stage};

/// A success ends an outage when nothing fails for this long after it.
pub(super) const LASTING: Duration = Duration::from_secs(2);
/// For how long users write before the primary dies: longer than the replica is behind, so that rows are kept and rows are lost.
const WRITTEN: Duration = Duration::from_millis(2500);

/// What a failover under load came to.
#[derive(Debug)]
pub struct Outcome {
    pub run: Run,
    pub snapshot: Snapshot,
    pub report: Report,
    /// Seconds that users were without service.
    pub reads_out: f64,
    pub writes_out: f64,
    /// Rows that were committed in the primary and are not in the standby.
    pub lost: BTreeSet<Uuid>,
    /// The time over which those were written: what was really lost, in the unit of the estimate.
    pub lost_seconds: f64,
    /// Rows that the application was told are committed.
    pub committed: usize,
}

/// Runs the scene on a stage in peace and prints it.
pub async fn failover(stage: &Stage) -> Result<Outcome, Error> {
    let load = users(stage);
    let outcome = under(stage, &load).await;
    load.stop().await;
    outcome
}

/// Everybody who uses the workload.
pub(super) fn users(stage: &Stage) -> Load {
    Load::start(load::Settings::new(stage.dns_addr(), &stage.workload.plan.traffic.record))
}

/// The scene, with users who may stay when it is over.
pub(super) async fn under(stage: &Stage, load: &Load) -> Result<Outcome, Error> {
    println!("\nA constant load of reads and writes arrives through the stage's DNS; the primary serves.");
    until("users served by the primary", Duration::from_secs(20), async || served(&load.records(), PRIMARY, Timestamp::MIN)).await?;
    tokio::time::sleep(WRITTEN).await;

    let died = Timestamp::now();
    stage.lose_primary().await;
    println!("\n{PRIMARY} is a black hole: its database is killed, its endpoints accept and answer nothing.\n");
    let mut teller = Teller::new(died);
    let (run, snapshot) = teller
        .follow(stage, "the standby serving and the report written", Duration::from_secs(150), |run, snapshot| {
            run.phase == Phase::Active && snapshot.progress.drill.report.is_some()
        })
        .await?;
    // Connections and resolvers may hold on to the old answer for a TTL more.
    until("users served by the standby", Duration::from_secs(30), async || served(&load.records(), STANDBY, run.ended_at.unwrap_or(died))).await?;
    tokio::time::sleep(LASTING * 2).await;
    let records = load.records();

    let mut report = fetch_report(stage, &run.id).await?;
    let (lost, lost_seconds, committed) = count_lost(stage, &records).await?;
    report.count(Lost { rows: lost.len() as u64, seconds: lost_seconds });
    let page = write_report(stage, &report)?;
    let (reads_out, writes_out) = (longest(&records, Kind::Read), longest(&records, Kind::Write));
    let outcome = Outcome { run, snapshot, report, reads_out, writes_out, lost, lost_seconds, committed };
    summary(stage, &outcome, &page);
    Ok(outcome)
}

/// The longest time without service, in seconds.
pub(super) fn longest(records: &[Record], kind: Kind) -> f64 {
    load::outages(records, kind, LASTING).iter().filter_map(|outage| outage.length()).map(|length| length.as_secs_f64()).fold(0.0_f64, f64::max)
}

/// Reads and writes both answered by `region` after `since`.
pub(super) fn served(records: &[Record], region: &str, since: Timestamp) -> Result<(), String> {
    let by = |kind| {
        records
            .iter()
            .rev()
            .take(200)
            .any(|record| record.kind == kind && record.ok && record.sent_at > since && record.region.as_deref() == Some(region))
    };
    if by(Kind::Read) && by(Kind::Write) {
        return Ok(());
    }
    let last = records.iter().rev().find_map(|record| record.reason.clone()).unwrap_or_default();
    Err(format!("reads: {}, writes: {}, last failure: {last}", by(Kind::Read), by(Kind::Write)))
}

/// Compares both databases: the old primary's disks are read again once all is over.
async fn count_lost(stage: &Stage, records: &[Record]) -> Result<(BTreeSet<Uuid>, f64, usize), Error> {
    stage.rds.start_server(PRIMARY, stage.database()).await.map_err(Error::part("starting the old primary's database to compare"))?;
    let (old, new) = tokio::try_join!(orders(stage, PRIMARY, stage.database()), orders(stage, STANDBY, stage.replica()))?;
    let committed: BTreeSet<Uuid> = load::committed(records).into_values().flatten().collect();
    let lost: BTreeSet<Uuid> = old.difference(&new).copied().collect();
    let sent: Vec<Timestamp> =
        records.iter().filter(|record| record.order.is_some_and(|order| lost.contains(&order))).map(|record| record.sent_at).collect();
    let span = sent.iter().max().zip(sent.iter().min()).map_or(0.0, |(last, first)| last.duration_since(*first).as_secs_f64());
    Ok((lost, span, committed.len()))
}

/// The orders that a database holds.
pub(super) async fn orders(stage: &Stage, region: &str, instance: &str) -> Result<BTreeSet<Uuid>, Error> {
    let read = stage.rds.sql(region, instance, &stage.workload.database_name, "select id from orders").await;
    let rows = read.map_err(Error::part("reading the orders"))?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()?.parse().ok()).collect())
}

fn summary(stage: &Stage, outcome: &Outcome, page: &std::path::Path) {
    let report = &outcome.report;
    let seconds = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| format!("{value:.1} s"));
    println!("\nUsers were without reads for {:.1} s and without writes for {:.1} s.", outcome.reads_out, outcome.writes_out);
    println!("RTO  measured {:>10}   objective {:.0} s", seconds(report.measured.rto_seconds), report.objectives.rto_seconds);
    println!("RPO  estimated {:>9}   objective {:.0} s", seconds(report.measured.rpo_seconds), report.objectives.rpo_seconds);
    println!(
        "Rows lost: {} of {} committed, written within {:.1} s, counted by comparing both databases; Relight had estimated up to {}.",
        outcome.lost.len(),
        outcome.committed,
        outcome.lost_seconds,
        seconds(report.measured.rpo_seconds)
    );
    super::tell::functions(report);
    println!("Times on this stage: waits divided by {:.0} (health checks, ticks, TTLs, dwell).", stage.speed.waits);
    println!("Report: {} and .json", super::shown(page));
}
