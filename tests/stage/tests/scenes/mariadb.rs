//! MariaDB in the place of PostgreSQL: the primary dies under load, the way home, and the monthly drill.

use relight::plan::Engine;
use relight::run::{Mode, Phase};
use relight_stage::layout::Layout;
use relight_stage::{Error, Options, PRIMARY, STANDBY, Stage, coverage, scenes};
use stage_rds::MariaDbBinaries;

use crate::calls::{forbidden_in_drill, forbidden_in_failback, refused_by_iam};
use crate::common::with_stage;
use crate::failover::{assert_calls, assert_logins, orders, received};
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
async fn primary_dies_and_mariadb_is_promoted_with_no_more_lost_than_its_heartbeat_told() {
    let Some(options) = mariadb() else { return };
    with_stage(options, async |stage| {
        let passwords = Passwords::of(stage);
        let (outcome, received) = tokio::try_join!(scenes::failover(stage), received(stage))?;
        assert_eq!((outcome.run.mode, outcome.run.phase), (Mode::Failover, Phase::Active));
        assert!(outcome.report.passed, "{:#?}", outcome.report.findings);
        assert_calls(stage, outcome.run.opened_at);
        assert_logins(stage, &outcome).await?;
        assert_eq!(read_only(stage, REPLICA).await?, "0", "it takes writes of everybody");

        // What the replica had received when its source died is there; what it had not is what was lost.
        let kept = orders(stage, STANDBY, REPLICA).await?;
        assert!(!received.is_empty() && received.is_subset(&kept), "{} of {} rows are gone", received.difference(&kept).count(), received.len());
        assert!(!outcome.lost.is_empty(), "a replica two seconds behind loses rows");
        assert!(outcome.lost.iter().all(|row| !received.contains(&row.to_string())));
        let lag = &outcome.report.measured.lag["orders"];
        assert!(lag.source.contains("the newest beat that arrived"), "what arrived is applied at once, so the metric saw nothing: {lag:?}");
        let estimate = outcome.report.measured.rpo_seconds.expect("the lag was known");
        assert!(outcome.lost_seconds <= estimate + TOLERANCE, "{} s lost, {estimate} s estimated", outcome.lost_seconds);

        let passwords = passwords.stop().await;
        assert!(passwords.len() > stage.workload.passwords.len(), "the rotation made a password, and it was seen");
        let journal = format!("{:?} {:?}", outcome.snapshot, stage.history(&outcome.run.id).await?);
        let report = stage.report(&format!("{}.json", outcome.run.id)).await?;
        assert_kept(stage, &passwords, &[("the journal", journal), ("the report", report)]);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_of_mariadb_compares_and_promotes_a_copy_and_leaves_everything_as_it_was() {
    let Some(options) = mariadb() else { return };
    with_stage(options, async |stage| {
        let outcome = scenes::drill(stage).await?;
        assert_eq!((outcome.run.mode, outcome.run.phase), (Mode::Drill, Phase::Closed));
        assert!(outcome.report.passed, "{:#?}", outcome.report.findings);
        assert_eq!(outcome.differences(), [""; 0]);
        let [compared] = outcome.report.compared.as_slice() else { panic!("{:?}", outcome.report.compared) };
        assert!(compared.equal == Some(true) && compared.said.contains(" rows in 1 table(s)"), "{compared:?}");
        let calls = stage.router.calls();
        assert_eq!(forbidden_in_drill(&calls, PRIMARY), [""; 0]);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        assert_eq!(read_only(stage, REPLICA).await?, "1", "the real replica still replicates");
        assert_own_parameters(stage, PRIMARY, stage.workload.database_id()).await?;
        assert_own_parameters(stage, STANDBY, REPLICA).await?;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_way_home_of_mariadb_every_row_is_counted_and_its_parameter_group_closes_nothing() {
    let Some(options) = mariadb() else { return };
    with_stage(options, async |stage| {
        let passwords = Passwords::of(stage);
        let outcome = Box::pin(scenes::failback(stage)).await?;
        assert_eq!((outcome.run.mode, outcome.run.phase, outcome.report.passed), (Mode::Failback, Phase::Closed, true), "{:#?}", outcome.report);
        let rows = &outcome.rows;
        assert!(rows.committed.len() > 300 && !outcome.failover.lost.is_empty(), "users wrote all the time: {}", rows.committed.len());
        assert_eq!((rows.nowhere().len(), &rows.left), (0, &outcome.failover.lost), "what the failover lost is in the file, and nothing else");
        assert_eq!(rows.home, rows.standby);
        assert_eq!(outcome.differences(), [""; 0]);
        assert!(outcome.reads_out < outcome.writes_out, "reads go on while writes pause: {} s of {} s", outcome.reads_out, outcome.writes_out);

        assert_eq!(read_only_at(stage, PRIMARY, stage.database()).await?, "0");
        assert_eq!(read_only(stage, REPLICA).await?, "1", "it replicates");
        let group = stage.workload.plan.databases[0].parameter_group.clone().expect("the plan names it");
        let set = stage.clients(STANDBY).rds.describe_db_parameters().db_parameter_group_name(&group).source("user").send().await;
        let set = set.map_err(Error::part("reading the parameter group"))?;
        let said = set.parameters().iter().find(|parameter| parameter.parameter_name() == Some("read_only"));
        assert_eq!(said.and_then(|parameter| parameter.parameter_value()), Some("{TrueIfReplica}"), "else the next promotion would stay closed");

        let all = stage.router.calls();
        let home: Vec<_> = all.iter().filter(|call| call.time >= outcome.run.opened_at && outcome.run.ended_at.is_none_or(|end| call.time < end)).cloned().collect();
        assert_eq!(forbidden_in_failback(&home, PRIMARY), [""; 0]);
        assert_eq!(refused_by_iam(&all), [""; 0]);
        let closing = home.iter().filter(|call| call.operation == "ModifyDBParameterGroup").count();
        assert!((2..8).contains(&closing), "closed and given back, not hammered: {closing}");
        assert!(outcome.drill.report.passed, "{:#?}", outcome.drill.report.findings);
        assert_eq!(outcome.drill.differences(), [""; 0]);

        let journal = format!("{:?}", stage.history(&outcome.run.id).await?);
        let report = stage.report(&format!("{}.json", outcome.run.id)).await?;
        assert_kept(stage, &passwords.stop().await, &[("the journal", journal), ("the report", report)]);
        Ok(())
    })
    .await;
}

async fn read_only(stage: &Stage, instance: &str) -> Result<String, Error> {
    read_only_at(stage, STANDBY, instance).await
}

async fn read_only_at(stage: &Stage, region: &str, instance: &str) -> Result<String, Error> {
    let rows = stage.rds.sql(region, instance, "shop", "select @@global.read_only").await.map_err(Error::part("asking MariaDB"))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// RDS lets nobody change a default group, and so nobody close the writes of whoever has one.
async fn assert_own_parameters(stage: &Stage, region: &str, instance: &str) -> Result<(), Error> {
    let rds = stage.clients(region).rds;
    let found = rds.describe_db_instances().db_instance_identifier(instance).send().await.map_err(Error::part("describing an instance"))?;
    let groups = found.db_instances().iter().flat_map(|instance| instance.db_parameter_groups());
    let names: Vec<&str> = groups.filter_map(|group| group.db_parameter_group_name()).collect();
    assert!(matches!(names.as_slice(), [name] if !name.starts_with("default.")), "{names:?}");
    Ok(())
}
