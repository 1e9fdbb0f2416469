//! MariaDB in the place of PostgreSQL: the primary dies under load, and the monthly drill.

use relight::plan::Engine;
use relight::run::{Mode, Phase};
use relight_stage::layout::Layout;
use relight_stage::{Error, Options, PRIMARY, STANDBY, Stage, coverage, scenes};
use stage_rds::MariaDbBinaries;

use crate::calls::{forbidden_in_drill, refused_by_iam};
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

async fn read_only(stage: &Stage, instance: &str) -> Result<String, Error> {
    let rows = stage.rds.sql(STANDBY, instance, "shop", "select @@global.read_only").await.map_err(Error::part("asking MariaDB"))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// RDS lets nobody change a default group, and so nobody close the writes of whoever has one.
async fn assert_own_parameters(stage: &Stage, region: &str, instance: &str) -> Result<(), Error> {
    let rds = stage.clients(region).rds;
    let found = rds.describe_db_instances().db_instance_identifier(instance).send().await.map_err(Error::part("describing an instance"))?;
    let groups = found.db_instances().iter().flat_map(|instance| instance.db_parameter_groups());
    let names: Vec<&str> = groups.filter_map(|group| group.db_parameter_group_name()).collect();
    assert!(matches!(names.as_slice(), [name] if name.contains("-Settings-")), "the template's: {names:?}");
    Ok(())
}
