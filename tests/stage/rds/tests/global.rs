//! Aurora's global clusters over real servers: joining, failing over with loss, coming back with the snapshot of what was lost, and
//! switching over without any.

mod common;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{DbCluster, GlobalCluster};
use common::*;
use stage_rds::Darkness;
use std::time::Duration;

const GLOBAL: &str = "shop-global";

fn cluster_arn(region: &str, id: &str) -> String {
    format!("arn:aws:rds:{region}:123456789012:cluster:{id}")
}

async fn cluster(client: &Client, id: &str) -> DbCluster {
    client.describe_db_clusters().db_cluster_identifier(id).send().await.expect("described").db_clusters()[0].clone()
}

async fn global(client: &Client) -> GlobalCluster {
    client.describe_global_clusters().global_cluster_identifier(GLOBAL).send().await.expect("described").global_clusters()[0].clone()
}

fn writer(global: &GlobalCluster) -> String {
    let writers: Vec<_> = global.global_cluster_members().iter().filter(|member| member.is_writer() == Some(true)).collect();
    assert_eq!(writers.len(), 1, "{global:?}");
    writers[0].db_cluster_arn().expect("an ARN").to_owned()
}

async fn available(client: &Client, id: &str) {
    until(&format!("{id} is available"), async || (cluster(client, id).await.status() == Some("available")).then_some(())).await;
}

async fn add_instance(client: &Client, id: &str, cluster: &str) {
    let request = client.create_db_instance().db_instance_identifier(id).db_cluster_identifier(cluster);
    request.db_instance_class("db.r6g.large").engine("aurora-postgresql").send().await.expect("added");
    wait_for(client, id, "available").await;
}

/// A writer in the primary Region, and a secondary without an instance in the standby.
async fn with_headless_secondary(name: &str) -> Stage {
    let stage = Stage::start(name).await;
    stage.primary.create_global_cluster().global_cluster_identifier(GLOBAL).engine("aurora-postgresql").send().await.expect("created");
    let request = stage.primary.create_db_cluster().db_cluster_identifier("orders").engine("aurora-postgresql");
    let request = request.global_cluster_identifier(GLOBAL).database_name("shop").master_username("app").master_user_password(PASSWORD);
    request.send().await.expect("the writer's cluster");
    available(&stage.primary, "orders").await;
    add_instance(&stage.primary, "orders-1", "orders").await;
    let request = stage.standby.create_db_cluster().db_cluster_identifier("orders-west").engine("aurora-postgresql");
    request.global_cluster_identifier(GLOBAL).send().await.expect("the secondary");
    available(&stage.standby, "orders-west").await;
    stage
}

async fn with_secondary(name: &str) -> Stage {
    let stage = with_headless_secondary(name).await;
    add_instance(&stage.standby, "orders-west-1", "orders-west").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 100)").await.expect("rows");
    stage.arrived(STANDBY, "orders-west", 100).await;
    stage
}

async fn fail_over(client: &Client, to: &str) {
    let request = client.failover_global_cluster().global_cluster_identifier(GLOBAL).target_db_cluster_identifier(to).allow_data_loss(true);
    request.send().await.expect("taken");
}

/// What moves, in the order in which it was seen, until nothing does.
async fn watch(client: &Client) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    until("nothing moves", async || {
        let state = global(client).await.failover_state().and_then(|state| state.status().cloned());
        let Some(state) = state else { return (!seen.is_empty()).then_some(()) };
        if seen.last().map(String::as_str) != Some(state.as_str()) {
            seen.push(state.as_str().to_owned());
        }
        None
    })
    .await;
    seen
}

#[tokio::test]
async fn a_headless_secondary_has_the_rows_and_lets_nobody_in_until_it_has_an_instance() {
    let stage = with_headless_secondary("global-headless").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;
    assert!(stage.login(STANDBY, "orders-west").await.is_err());
    let request = stage.standby.failover_global_cluster().global_cluster_identifier(GLOBAL).allow_data_loss(true);
    let refused = request.target_db_cluster_identifier(cluster_arn(STANDBY, "orders-west")).send().await;
    assert_eq!(refusal(refused), ("InvalidDBClusterStateFault".to_owned(), 400));
    add_instance(&stage.standby, "orders-west-1", "orders-west").await;
    let reader = stage.login(STANDBY, "orders-west").await.expect("it lets readers in");
    assert!(reader.batch_execute("INSERT INTO orders DEFAULT VALUES").await.is_err(), "and no writer");

    let members =
        stage.standby.describe_db_instances().filters(aws_sdk_rds::types::Filter::builder().name("db-cluster-id").values("orders-west").build());
    let members = members.send().await.expect("described");
    assert_eq!(members.db_instances().iter().map(|one| one.db_instance_identifier().unwrap_or_default()).collect::<Vec<_>>(), ["orders-west-1"]);
    assert_eq!(refusal(stage.standby.describe_db_instances().db_instance_identifier("orders-west").send().await).0, "DBInstanceNotFound");
    stage.end().await;
}

#[tokio::test]
async fn a_failover_loses_what_was_on_its_way_and_the_old_writer_comes_back_as_a_secondary_beside_its_snapshot() {
    let stage = with_secondary("global-failover").await;
    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(2));
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 10)").await.expect("rows in time");
    stage.arrived(STANDBY, "orders-west", 110).await;
    let lag = stage.rds.cluster_lag().await;
    assert!(lag.len() == 1 && (1.9..4.0).contains(&lag[0].2), "a secondary 2 s behind: {lag:?}");
    assert_eq!(stage.rds.replica_lag().await, [], "it is no replica of RDS");
    app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 5)").await.expect("rows too late");
    stage.rds.dark(PRIMARY, Darkness::Killed).await;

    fail_over(&stage.standby, &cluster_arn(STANDBY, "orders-west")).await;
    let again = stage.standby.failover_global_cluster().global_cluster_identifier(GLOBAL).allow_data_loss(true);
    let again = again.target_db_cluster_identifier(cluster_arn(STANDBY, "orders-west")).send().await;
    assert_eq!(refusal(again).0, "InvalidGlobalClusterStateFault", "one is under way");
    assert_eq!(watch(&stage.standby).await, ["pending", "failing-over"]);
    let told = global(&stage.standby).await;
    assert_eq!(writer(&told), cluster_arn(STANDBY, "orders-west"));
    let old = told.global_cluster_members().iter().find(|member| member.is_writer() == Some(false)).expect("the old writer");
    assert_eq!(old.synchronization_status().map(|status| status.as_str()), Some("pending-resync"));
    assert_eq!(stage.count(STANDBY, "orders-west").await, 110);
    let app = stage.login(STANDBY, "orders-west").await.expect("the same password");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("it takes writes");

    stage.rds.set_delay(STANDBY, "orders-west", Duration::ZERO);
    stage.rds.restore(PRIMARY).await.expect("restored");
    until("the old writer is a secondary", async || {
        let told = global(&stage.primary).await;
        let connected =
            told.global_cluster_members().iter().any(|member| member.synchronization_status().is_some_and(|now| now.as_str() == "connected"));
        connected.then_some(())
    })
    .await;
    stage.arrived(PRIMARY, "orders", 111).await;
    let reader = stage.login(PRIMARY, "orders").await.expect("it lets readers in again");
    assert!(reader.batch_execute("INSERT INTO orders DEFAULT VALUES").await.is_err(), "and no writer");

    let found = stage.primary.describe_db_cluster_snapshots().db_cluster_identifier("orders").send().await.expect("described");
    let name = found.db_cluster_snapshots()[0].db_cluster_snapshot_identifier().expect("a name").to_owned();
    assert!(name.starts_with("rds:unplanned-global-failover-orders-"), "{name}");
    let copy = || stage.primary.copy_db_cluster_snapshot().source_db_cluster_snapshot_identifier(&name).target_db_cluster_snapshot_identifier("kept");
    copy().send().await.expect("copied");
    assert_eq!(refusal(copy().send().await).0, "DBClusterSnapshotAlreadyExistsFault");
    until("the copy is there", async || {
        let kept = stage.primary.describe_db_cluster_snapshots().db_cluster_snapshot_identifier("kept").send().await.expect("described");
        (kept.db_cluster_snapshots()[0].status() == Some("available")).then_some(())
    })
    .await;
    let rows = stage.rds.sql_in_snapshot(PRIMARY, "kept", "shop", "SELECT count(*) FROM orders").await.expect("a count");
    assert_eq!(rows[0][0].as_deref(), Some("115"), "what was lost is in it");
    stage.end().await;
}

#[tokio::test]
async fn a_switchover_loses_nothing_and_is_asked_for_in_the_region_of_a_healthy_primary() {
    let stage = with_secondary("global-switchover").await;
    let switch = |client: &Client, to: String| client.switchover_global_cluster().global_cluster_identifier(GLOBAL).target_db_cluster_identifier(to);
    let west = cluster_arn(STANDBY, "orders-west");
    assert_eq!(refusal(switch(&stage.standby, west.clone()).send().await).0, "InvalidParameterValue", "not the Region of the primary");
    assert_eq!(refusal(switch(&stage.primary, cluster_arn(PRIMARY, "orders")).send().await).0, "InvalidGlobalClusterStateFault");
    assert_eq!(refusal(switch(&stage.primary, cluster_arn(STANDBY, "nobody")).send().await).0, "DBClusterNotFoundFault");

    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(1));
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 5)").await.expect("rows on their way");
    switch(&stage.primary, west.clone()).send().await.expect("taken");
    assert_eq!(watch(&stage.standby).await, ["pending", "switching-over"]);
    assert_eq!(writer(&global(&stage.standby).await), west);
    assert_eq!(stage.count(STANDBY, "orders-west").await, 105);
    stage.arrived(PRIMARY, "orders", 105).await;
    assert!(stage.primary.describe_db_cluster_snapshots().send().await.expect("described").db_cluster_snapshots().is_empty(), "nothing was lost");

    // And home again.
    stage.rds.set_delay(STANDBY, "orders-west", Duration::ZERO);
    until("both are in step", async || {
        let told = global(&stage.standby).await;
        let connected =
            told.global_cluster_members().iter().any(|member| member.synchronization_status().is_some_and(|now| now.as_str() == "connected"));
        connected.then_some(())
    })
    .await;
    switch(&stage.standby, cluster_arn(PRIMARY, "orders")).send().await.expect("taken");
    watch(&stage.standby).await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("it takes writes at home");
    stage.arrived(STANDBY, "orders-west", 106).await;
    stage.end().await;
}

#[tokio::test]
async fn a_secondary_is_restored_from_its_snapshot_to_a_writer_by_itself_and_all_of_it_is_deleted_without_a_trace() {
    let stage = with_secondary("global-restored").await;
    let (before, told) = (cluster(&stage.standby, "orders-west").await, global(&stage.standby).await);
    let take = stage.standby.create_db_cluster_snapshot().db_cluster_identifier("orders-west").db_cluster_snapshot_identifier("drill");
    take.send().await.expect("accepted");
    assert_eq!(cluster(&stage.standby, "orders-west").await.status(), Some("backing-up"));
    let delete = || stage.standby.delete_db_cluster_snapshot().db_cluster_snapshot_identifier("drill").send();
    assert_eq!(refusal(delete().await).0, "InvalidDBClusterSnapshotStateFault", "it is still being taken");
    available(&stage.standby, "orders-west").await;

    let restore = stage.standby.restore_db_cluster_from_snapshot().db_cluster_identifier("drill").snapshot_identifier("drill");
    let restore = restore.engine("aurora-postgresql").db_subnet_group_name("databases").db_cluster_parameter_group_name("orders-serving");
    restore.vpc_security_group_ids("sg-orders").deletion_protection(false).send().await.expect("accepted");
    let early = stage.standby.create_db_instance().db_instance_identifier("drill-1").db_cluster_identifier("drill");
    let early = early.db_instance_class("db.r6g.large").engine("aurora-postgresql").send().await;
    assert_eq!(refusal(early).0, "InvalidDBClusterStateFault", "it takes none before it is there");
    available(&stage.standby, "drill").await;
    let restored = cluster(&stage.standby, "drill").await;
    assert_eq!((restored.db_subnet_group(), restored.db_cluster_parameter_group()), (Some("databases"), Some("orders-serving")));
    assert!(stage.login(STANDBY, "drill").await.is_err(), "it is storage alone");
    add_instance(&stage.standby, "drill-1", "drill").await;
    let drill = stage.login(STANDBY, "drill").await.expect("the users and passwords of the secondary");
    drill.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 5)").await.expect("a writer");
    assert_eq!((stage.count(STANDBY, "drill").await, stage.count(STANDBY, "orders-west").await), (105, 100));
    assert_eq!(global(&stage.standby).await, told, "the global cluster knows nothing of it");

    let delete_cluster = |id: &str| stage.standby.delete_db_cluster().db_cluster_identifier(id).skip_final_snapshot(true).send();
    assert_eq!(refusal(delete_cluster("drill").await).0, "InvalidDBClusterStateFault", "it has an instance");
    stage.standby.delete_db_instance().db_instance_identifier("drill-1").skip_final_snapshot(true).send().await.expect("accepted");
    until("the instance is gone", async || stage.standby.describe_db_instances().db_instance_identifier("drill-1").send().await.err()).await;
    delete_cluster("drill").await.expect("accepted");
    until("the cluster is gone", async || stage.standby.describe_db_clusters().db_cluster_identifier("drill").send().await.err()).await;
    delete().await.expect("deleted");
    let gone = stage.standby.describe_db_cluster_snapshots().db_cluster_snapshot_identifier("drill").send().await;
    assert_eq!(refusal(gone), ("DBClusterSnapshotNotFoundFault".to_owned(), 404));
    assert_eq!(cluster(&stage.standby, "orders-west").await, before, "field by field as before");
    assert_eq!(stage.rds.groups().len(), 2, "its server is gone too");
    stage.end().await;
}
