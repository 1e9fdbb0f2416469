//! An Aurora global database in the place of the replica: the primary Region dies under load, and a person moves on from a healthy one.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use relight::advance::home::unready;
use relight::plan::Engine;
use relight::ports::Takeover;
use relight::run::{Mode, Phase};
use relight::state::{Place, Snapshot};
use relight_stage::observe::until;
use relight_stage::scenes;
use relight_stage::{Error, Options, PRIMARY, STANDBY, Stage};
use stage_router::Call;

use crate::calls::{assert_found_in_drill, assert_found_in_failover, forbidden, forbidden_in_drill, forbidden_in_failback, refused_by_iam};
use crate::common::with_stage;
use crate::failover::orders;
use crate::readiness;

const CLUSTER: &str = "shop-orders-standby";
/// The lag was sampled up to a sample's period before the failure, and the storage's own records are half a second apart.
const TOLERANCE: f64 = 1.0;

fn aurora() -> Options {
    Options { engine: Engine::AuroraPostgres, ..Options::default() }
}

/// The calls that ask for another writer, with the Regions in which they were made.
fn takeovers(calls: &[Call]) -> Vec<(&str, &str)> {
    let asks = |call: &&Call| call.service == "rds" && matches!(call.operation.as_str(), "FailoverGlobalCluster" | "SwitchoverGlobalCluster");
    calls.iter().filter(asks).map(|call| (call.operation.as_str(), call.region.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_dies_and_the_global_database_is_failed_over_to_with_no_more_lost_than_estimated() {
    with_stage(aurora(), async |stage| {
        let (outcome, received) = tokio::try_join!(scenes::failover(stage), received(stage))?;
        assert_eq!((outcome.run.mode, outcome.run.phase), (Mode::Failover, Phase::Active));
        assert!(outcome.report.passed, "{:#?}", outcome.report.findings);
        let calls = stage.router.calls();
        assert_eq!(forbidden(&calls, PRIMARY, outcome.run.opened_at), [""; 0]);
        assert_found_in_failover(&calls, outcome.run.opened_at);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        assert_eq!(takeovers(&calls), [("FailoverGlobalCluster", STANDBY)]);
        assert_eq!(promoted(stage).await?, ["false", "2"], "each promotion begins a timeline");
        let left = stage.snapshot().await?.progress.promotion.databases["orders"].old_writer.clone();
        assert!(left.over_at.is_none() && left.last.contains("it is pending-resync"), "its Region is dark: {left:?}");

        let kept = orders(stage, STANDBY, CLUSTER).await?;
        assert!(!received.is_empty() && received.is_subset(&kept), "{} of {} rows are gone", received.difference(&kept).count(), received.len());
        assert!(!outcome.lost.is_empty(), "a secondary two seconds behind loses rows");
        assert!(outcome.lost.iter().all(|row| !received.contains(&row.to_string())));
        let lag = &outcome.report.measured.lag["orders"];
        assert!(lag.source.starts_with("AWS/RDS AuroraGlobalDBRPOLag of shop-orders-standby"), "{lag:?}");
        let estimate = outcome.report.measured.rpo_seconds.expect("the lag was known");
        assert!(outcome.lost_seconds <= estimate + TOLERANCE, "{} s lost, {estimate} s estimated", outcome.lost_seconds);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_home_is_a_switchover_what_was_lost_is_kept_and_a_drill_passes() {
    with_stage(aurora(), async |stage| {
        let failover = scenes::failover(stage).await?;
        stage.return_primary().await?;
        let wait = async |what: &str, seconds: u64, done: &dyn Fn(&Snapshot) -> bool| {
            until(what, Duration::from_secs(seconds), async || {
                let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
                if done(&snapshot) { Ok(snapshot) } else { Err(format!("{:?} {:?}", snapshot.head.run, snapshot.progress.promotion.home)) }
            })
            .await
        };
        let is = |snapshot: &Snapshot, phase: Phase| snapshot.head.run.as_ref().is_some_and(|run| (run.mode, run.phase) == (Mode::Failback, phase));
        let follows = |snapshot: &Snapshot| snapshot.progress.promotion.databases["orders"].old_writer.over_at.is_some();
        wait("the old writer a secondary", 120, &follows).await?;
        stage.allow_failback(true).await?;
        stage.order("monthly-drill", "failback").await?;
        let plan = &stage.workload.plan;
        let ready = |snapshot: &Snapshot| unready(plan, snapshot, Timestamp::now()).is_empty();
        wait("both sides synchronised", 180, &|snapshot| is(snapshot, Phase::Synchronised) && ready(snapshot)).await?;
        stage.order("monthly-drill", "switch-home").await?;
        let closed = |snapshot: &Snapshot| is(snapshot, Phase::Closed) && snapshot.progress.drill.report.is_some();
        let snapshot = wait("the way home closed and its report written", 240, &closed).await?;
        stage.allow_failback(false).await?;

        assert_eq!(snapshot.head.serving, Place::Primary);
        assert_eq!(snapshot.progress.drill.passed, Some(true), "{:#?}", snapshot.progress.drill);
        let run = snapshot.head.run.expect("a run");
        let home: Vec<Call> = stage.router.calls().into_iter().filter(|call| call.time >= run.opened_at).collect();
        assert_eq!(forbidden_in_failback(&home, PRIMARY), [""; 0]);
        assert_eq!(refused_by_iam(&stage.router.calls()), [""; 0]);
        assert_eq!(takeovers(&stage.router.calls()), [("FailoverGlobalCluster", STANDBY), ("SwitchoverGlobalCluster", STANDBY)]);

        // What the failover lost is in the snapshot, and nowhere else.
        let step = &snapshot.progress.promotion.home["orders"];
        let kept = step.lost_kept.as_deref().expect("a copy of Aurora's snapshot");
        let rows =
            stage.rds.sql_in_snapshot(PRIMARY, kept, "shop", "select id::text from orders").await.map_err(Error::part("reading the snapshot"))?;
        let rows: BTreeSet<String> = rows.into_iter().flatten().flatten().collect();
        let lost: BTreeSet<String> = failover.lost.iter().map(ToString::to_string).collect();
        let (at_home, standby) = tokio::try_join!(orders(stage, PRIMARY, "shop-orders"), orders(stage, STANDBY, CLUSTER))?;
        assert!(!lost.is_empty() && lost.is_subset(&rows) && lost.is_disjoint(&at_home), "{} lost, {} in the snapshot", lost.len(), rows.len());
        assert!(standby.is_subset(&at_home), "the standby follows");
        let report = stage.report(&format!("{}.json", run.id)).await?;
        assert!(report.contains(kept), "the report names it");

        drilled(stage).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_moves_on_from_a_healthy_primary_and_a_secondary_without_an_instance_loses_nothing() {
    let options = Options { headless: true, database: "instance_class = \"db.r6g.large\"".parse().expect("a key of the plan"), ..aurora() };
    with_stage(options, async |stage| {
        // Longer than the dwell, for which a primary must be seen up to be healthy.
        readiness::logged_in_and_measured(stage).await?;
        let look = readiness::look(stage).await?;
        assert_eq!(readiness::blocking(&look), Vec::<&str>::new(), "{:#?}", look.findings);
        let first = look.findings.iter().find(|row| row.about == format!("cluster/{CLUSTER}")).expect("it has no instance");
        assert!(first.said.contains("would add one of class db.r6g.large first"), "{first:?}");
        assert!(look.estimates.rpo_seconds.is_some_and(|seconds| seconds < 300.0), "{look:#?}");
        assert_eq!(refused_by_iam(&stage.router.calls()), [""; 0]);
        stage.order("monthly-drill", "failover").await?;
        let snapshot = until("the standby serving", Duration::from_secs(120), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let phase = snapshot.head.run.as_ref().map(|run| run.phase);
            if phase == Some(Phase::Active) { Ok(snapshot) } else { Err(format!("{phase:?}, {:?}", snapshot.progress.promotion)) }
        })
        .await?;
        let step = &snapshot.progress.promotion.databases["orders"];
        assert_eq!((step.takeover, step.lag.as_ref().and_then(|lag| lag.seconds)), (Some(Takeover::Switchover), Some(0.0)));
        let calls = stage.router.calls();
        assert_eq!(takeovers(&calls), [("SwitchoverGlobalCluster", PRIMARY)]);
        assert_eq!(calls.iter().filter(|call| call.operation == "CreateDBInstance" && call.caller.starts_with("shop-relight-")).count(), 1);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        let (old, new) = tokio::try_join!(orders(stage, PRIMARY, "shop-orders"), orders(stage, STANDBY, CLUSTER))?;
        assert_eq!(old.difference(&new).count(), 0, "no row was left behind");
        Ok(())
    })
    .await;
}

/// A drill restores a snapshot of the secondary to a cluster by itself, of which nothing is left, and moves no writer.
async fn drilled(stage: &Stage) -> Result<(), Error> {
    let (before, timeline) = (takeovers(&stage.router.calls()).len(), promoted(stage).await?);
    let drill = scenes::drill(stage).await?;
    assert!(drill.report.passed, "{:#?}", drill.report.findings);
    assert_eq!(drill.differences(), [""; 0]);
    let said = |part: &str| drill.report.findings.iter().any(|finding| finding.ok && finding.said.contains(part));
    assert!(said("restored from a snapshot of the secondary; no takeover was rehearsed"), "{:#?}", drill.report.findings);
    assert!(said("its disposable stand-in was repointed and rotated"), "{:#?}", drill.report.findings);
    let measured = &drill.report.measured;
    assert!(measured.restored_seconds["orders"] > 0.0 && measured.rto_seconds.is_none(), "{measured:?}");
    assert!(drill.report.not_proven.iter().any(|line| line.starts_with("that shop-orders-standby takes over, ")), "{:#?}", drill.report.not_proven);

    let calls: Vec<Call> = stage.router.calls().into_iter().filter(|call| call.time >= drill.run.opened_at).collect();
    let made = |operation: &str| calls.iter().filter(|call| call.operation == operation && call.caller.starts_with("shop-relight-")).count();
    let all = ["CreateDBClusterSnapshot", "RestoreDBClusterFromSnapshot", "CreateDBInstance", "DeleteDBInstance", "DeleteDBCluster"];
    assert_eq!((all.map(made), made("DeleteDBClusterSnapshot")), ([1; 5], 1));
    assert_eq!(forbidden_in_drill(&calls, PRIMARY), [""; 0]);
    assert_found_in_drill(&calls);
    assert_eq!(refused_by_iam(&stage.router.calls()), [""; 0]);
    assert_eq!((takeovers(&stage.router.calls()).len(), promoted(stage).await?), (before, timeline), "the secondary follows as before");

    let rds = stage.clients(STANDBY).rds;
    let clusters = rds.describe_db_clusters().send().await.map_err(Error::part("describing DB clusters"))?;
    let names: Vec<&str> = clusters.db_clusters().iter().filter_map(|cluster| cluster.db_cluster_identifier()).collect();
    let snapshots = rds.describe_db_cluster_snapshots().send().await.map_err(Error::part("describing snapshots of DB clusters"))?;
    assert_eq!((names, snapshots.db_cluster_snapshots().len()), (vec![CLUSTER], 0));
    Ok(())
}

/// PostgreSQL's own count of the promotions of the standby's storage.
async fn promoted(stage: &Stage) -> Result<Vec<String>, Error> {
    let sql = "select pg_is_in_recovery()::text, timeline_id::text from pg_control_checkpoint()";
    until("the promoted server's first checkpoint", Duration::from_secs(20), async || {
        let rows = stage.rds.sql(STANDBY, CLUSTER, "postgres", sql).await.map_err(|error| error.to_string())?;
        let row: Vec<String> = rows.into_iter().flatten().flatten().collect();
        if row == ["false", "1"] { Err(format!("{row:?}")) } else { Ok(row) }
    })
    .await
}

/// The rows that had reached the secondary when its writer died.
async fn received(stage: &Stage) -> Result<BTreeSet<String>, Error> {
    let since = Timestamp::now();
    until("a run", Duration::from_secs(90), async || {
        let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
        snapshot.head.run.filter(|run| run.opened_at >= since).map(drop).ok_or("none yet".to_owned())
    })
    .await?;
    let rows = orders(stage, STANDBY, CLUSTER).await?;
    assert!(takeovers(&stage.router.calls()).is_empty(), "the rows were read before the takeover");
    Ok(rows)
}
