//! MariaDB in the place of PostgreSQL: the primary dies under load, the operator goes home, and the monthly drill follows, on one stage.

use std::collections::BTreeSet;
use std::time::Duration;

use relight::plan::Engine;
use relight::run::{Mode, Phase};
use relight_stage::layout::Layout;
use relight_stage::observe::until;
use relight_stage::scenes::{self, FailbackOutcome};
use relight_stage::{Error, Options, PRIMARY, STANDBY, Stage, coverage};
use stage_rds::MariaDbBinaries;
use stage_router::Call;

use crate::common::with_stage;
use crate::failback::calls;
use crate::failover::{assert_logins, orders, received};
use crate::passwords::{Passwords, assert_kept};

const REPLICA: &str = "shop-orders-replica";
/// Two rows are 50 ms apart, and both clocks are those of a busy machine.
const TOLERANCE: f64 = 0.5;

/// None where this machine has no MariaDB, and a line that says so.
fn mariadb() -> Option<Options> {
    if MariaDbBinaries::is_here() {
        return Some(Options { engine: Engine::MariaDb, ..Options::default() });
    }
    let layout = Layout::find().expect("a checkout that was built");
    coverage::not_run(&layout, "this machine has no MariaDB").expect("a folder to write to");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_promoted_within_its_estimate_and_goes_home_with_every_row_counted_and_a_drill_passes() {
    let Some(options) = mariadb() else { return };
    with_stage(options, async |stage| {
        let passwords = Passwords::of(stage);
        beaten(stage).await?;
        let (outcome, received) = tokio::try_join!(Box::pin(scenes::failback(stage)), Box::pin(while_the_standby_serves(stage)))?;
        failover(&outcome, &received);
        home(stage, &outcome).await?;
        drill(&outcome);
        calls(stage, &outcome);
        told(stage, &outcome);

        let passwords = passwords.stop().await;
        assert!(passwords.len() > stage.workload.passwords.len(), "the rotation made a password, and it was seen");
        let journal = format!(
            "{:?} {:?} {:?}",
            outcome.failover.snapshot,
            stage.history(&outcome.failover.run.id).await?,
            stage.history(&outcome.run.id).await?
        );
        let report = stage.report(&format!("{}.json", outcome.run.id)).await?;
        assert_kept(stage, &passwords, &[("the journal", journal), ("the report", report)]);
        Ok(())
    })
    .await;
}

/// In production the heartbeat is as old as the plan; a stage has been in peace for a moment only.
async fn beaten(stage: &Stage) -> Result<(), Error> {
    until("a heartbeat that arrived at the replica", Duration::from_secs(60), async || {
        let beats = stage.rds.sql(STANDBY, REPLICA, "shop", "select 1 from relight_heartbeat").await.map_err(|error| error.to_string())?;
        if beats.is_empty() { Err("none".to_owned()) } else { Ok(()) }
    })
    .await
}

/// What the replica had received when its source died is there once it serves. Those rows are the answer.
async fn while_the_standby_serves(stage: &Stage) -> Result<BTreeSet<String>, Error> {
    let received = received(stage).await?;
    let rotation = until("the failover over and its secrets rotated", Duration::from_secs(150), async || {
        let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
        let rotated = snapshot.progress.rotation.secrets.get(stage.workload.app_secret()).is_some_and(|step| step.tested_at.is_some());
        let phase = snapshot.head.run.map(|run| (run.mode, run.phase));
        if rotated && phase == Some((Mode::Failover, Phase::Active)) { Ok(snapshot.progress.rotation) } else { Err(format!("{phase:?}")) }
    })
    .await?;
    assert_eq!(read_only(stage, STANDBY, REPLICA).await?, "0", "it takes writes of everybody");
    let kept = orders(stage, STANDBY, REPLICA).await?;
    assert!(!received.is_empty() && received.is_subset(&kept), "{} of {} rows are gone", received.difference(&kept).count(), received.len());
    assert_logins(stage, &rotation).await?;
    Ok(received)
}

fn failover(outcome: &FailbackOutcome, received: &BTreeSet<String>) {
    let failover = &outcome.failover;
    assert_eq!((failover.run.mode, failover.run.phase), (Mode::Failover, Phase::Active));
    assert!(failover.report.passed, "{:#?}", failover.report.findings);
    assert!(!failover.lost.is_empty(), "a replica two seconds behind loses rows");
    assert!(failover.lost.iter().all(|row| !received.contains(&row.to_string())));
    let lag = &failover.report.measured.lag["orders"];
    assert!(lag.source.contains("the newest beat that arrived"), "what arrived is applied at once, so the metric saw nothing: {lag:?}");
    let estimate = failover.report.measured.rpo_seconds.expect("the lag was known");
    assert!(failover.lost_seconds <= estimate + TOLERANCE, "{} s lost, {estimate} s estimated", failover.lost_seconds);
}

async fn home(stage: &Stage, outcome: &FailbackOutcome) -> Result<(), Error> {
    assert_eq!((outcome.run.mode, outcome.run.phase, outcome.report.passed), (Mode::Failback, Phase::Closed, true), "{:#?}", outcome.report);
    let rows = &outcome.rows;
    assert!(rows.committed.len() > 300, "users wrote all the time: {}", rows.committed.len());
    assert_eq!((rows.nowhere().len(), &rows.left), (0, &outcome.failover.lost), "what the failover lost is in the file, and nothing else");
    assert_eq!(rows.home, rows.standby);
    assert_eq!(outcome.differences(), [""; 0]);
    let paused = outcome.report.measured.write_pause_seconds.expect("writes paused");
    println!("writes paused for {paused} s; users were without reads for {} s, without writes for {} s", outcome.reads_out, outcome.writes_out);
    assert!(outcome.reads_out < outcome.writes_out, "reads go on while writes pause: {} s of {} s", outcome.reads_out, outcome.writes_out);

    assert_eq!(read_only(stage, PRIMARY, stage.database()).await?, "0");
    assert_eq!(read_only(stage, STANDBY, REPLICA).await?, "1", "it replicates");
    let group = stage.workload.plan.databases[0].parameter_group.clone().expect("the plan names it");
    let set = stage.clients(STANDBY).rds.describe_db_parameters().db_parameter_group_name(&group).source("user").send().await;
    let set = set.map_err(Error::part("reading the parameter group"))?;
    let said = set.parameters().iter().find(|parameter| parameter.parameter_name() == Some("read_only"));
    assert_eq!(said.and_then(|parameter| parameter.parameter_value()), Some("{TrueIfReplica}"), "else the next promotion would stay closed");
    Ok(())
}

fn drill(outcome: &FailbackOutcome) {
    let drill = &outcome.drill;
    assert_eq!((drill.run.mode, drill.run.phase), (Mode::Drill, Phase::Closed));
    assert!(drill.report.passed, "{:#?}", drill.report.findings);
    assert_eq!(drill.differences(), [""; 0]);
    let [compared] = drill.report.compared.as_slice() else { panic!("{:?}", drill.report.compared) };
    assert!(compared.equal == Some(true) && compared.said.contains(" rows in 1 table(s)"), "{compared:?}");
}

/// The group is told to close and to open, and not with every look.
fn told(stage: &Stage, outcome: &FailbackOutcome) {
    let since = |call: &&Call| call.time >= outcome.run.opened_at && call.operation == "ModifyDBParameterGroup";
    let told = stage.router.calls().iter().filter(since).count();
    assert!((2..8).contains(&told), "{told} times");
}

async fn read_only(stage: &Stage, region: &str, instance: &str) -> Result<String, Error> {
    let rows = stage.rds.sql(region, instance, "shop", "select @@global.read_only").await.map_err(Error::part("asking MariaDB"))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}
