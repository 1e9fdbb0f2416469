//! What a drill does: a copy of the replica is made, a replica of it or its snapshot restored, written to and deleted, and the real replica
//! never notices.

mod common;

use common::*;

#[tokio::test]
async fn replica_of_the_replica_is_promoted_and_deleted_without_a_trace() {
    let stage = Stage::with_replica("rehearsal").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders DEFAULT VALUES").await.expect("a row");

    let refused = stage.standby.create_db_instance_read_replica().db_instance_identifier("rehearsal");
    let refused = refused.source_db_instance_identifier("orders-west").send().await;
    assert_eq!(refusal(refused), ("InvalidDBInstanceState".to_owned(), 400), "a source needs backups, a replica too");

    let modify = stage.standby.modify_db_instance().db_instance_identifier("orders-west");
    modify.backup_retention_period(1).apply_immediately(true).send().await.expect("backups on");
    wait_for(&stage.standby, "orders-west", "backing-up").await;
    wait_for(&stage.standby, "orders-west", "available").await;
    let before = instance(&stage.standby, "orders-west").await;

    replicate(&stage.standby, "rehearsal", "orders-west").await;
    assert_eq!(status(&instance(&stage.standby, "orders-west").await), "backing-up");
    let busy = stage.standby.promote_read_replica().db_instance_identifier("orders-west").send().await;
    assert_eq!(refusal(busy), ("InvalidDBInstanceState".to_owned(), 400), "a source cannot be promoted while it is backed up");
    let copy = wait_for(&stage.standby, "rehearsal", "available").await;
    assert_eq!(copy.read_replica_source_db_instance_identifier(), Some("orders-west"), "a plain name within a Region");
    let source = wait_for(&stage.standby, "orders-west", "available").await;
    assert_eq!(source.read_replica_db_instance_identifiers(), ["rehearsal"]);

    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.arrived(STANDBY, "rehearsal", 2).await;

    stage.standby.promote_read_replica().db_instance_identifier("rehearsal").send().await.expect("accepted");
    until("the copy is a writer", async || {
        let copy = instance(&stage.standby, "rehearsal").await;
        copy.read_replica_source_db_instance_identifier().is_none().then_some(())
    })
    .await;
    let drill = stage.login(STANDBY, "rehearsal").await.expect("login");
    drill.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 50)").await.expect("the copy takes writes");

    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 3).await;
    assert_eq!(stage.count(STANDBY, "rehearsal").await, 52);

    stage.standby.delete_db_instance().db_instance_identifier("rehearsal").skip_final_snapshot(true).send().await.expect("accepted");
    until("the copy is gone", async || {
        let gone = stage.standby.describe_db_instances().db_instance_identifier("rehearsal").send().await;
        gone.is_err().then(|| assert_eq!(refusal(gone), ("DBInstanceNotFound".to_owned(), 404)))
    })
    .await;
    assert_eq!(instance(&stage.standby, "orders-west").await, before, "field by field as before");
    assert_eq!(stage.rds.groups().len(), 2, "its server is gone too");
    stage.end().await;
}

#[tokio::test]
async fn replica_without_backups_is_restored_from_its_snapshot_and_both_are_deleted_without_a_trace() {
    let stage = Stage::with_replica("restored").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 7)").await.expect("rows");
    stage.arrived(STANDBY, "orders-west", 7).await;
    let before = instance(&stage.standby, "orders-west").await;

    let tag = aws_sdk_rds::types::Tag::builder().key("relight:plan").value("shop").build();
    let take = stage.standby.create_db_snapshot().db_instance_identifier("orders-west").db_snapshot_identifier("drill");
    take.tags(tag.clone()).send().await.expect("accepted");
    assert_eq!(status(&instance(&stage.standby, "orders-west").await), "backing-up");
    let busy = stage.standby.promote_read_replica().db_instance_identifier("orders-west").send().await;
    assert_eq!(refusal(busy), ("InvalidDBInstanceState".to_owned(), 400), "it cannot be promoted while its snapshot is taken");
    wait_for(&stage.standby, "orders-west", "available").await;

    let restore = stage.standby.restore_db_instance_from_db_snapshot().db_instance_identifier("drill").db_snapshot_identifier("drill");
    let restore = restore.vpc_security_group_ids("sg-orders").db_subnet_group_name("databases").db_parameter_group_name("orders-serving");
    restore.backup_retention_period(0).multi_az(false).deletion_protection(false).tags(tag.clone()).send().await.expect("accepted");
    let restored = wait_for(&stage.standby, "drill", "available").await;
    assert_eq!(restored.read_replica_source_db_instance_identifier(), None, "it replicates nothing");
    let subnets = restored.db_subnet_group().and_then(|group| group.db_subnet_group_name());
    let parameters = restored.db_parameter_groups()[0].db_parameter_group_name();
    assert_eq!((subnets, parameters, restored.backup_retention_period()), (Some("databases"), Some("orders-serving"), Some(0)));
    assert_eq!(restored.tag_list(), [tag]);
    let drill = stage.login(STANDBY, "drill").await.expect("the replica's users and passwords");
    drill.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 50)").await.expect("a writer as soon as it is there");
    assert_eq!((stage.count(STANDBY, "drill").await, stage.count(STANDBY, "orders-west").await), (57, 7));

    stage.standby.delete_db_instance().db_instance_identifier("drill").skip_final_snapshot(true).send().await.expect("accepted");
    until("the copy is gone", async || stage.standby.describe_db_instances().db_instance_identifier("drill").send().await.err()).await;
    stage.standby.delete_db_snapshot().db_snapshot_identifier("drill").send().await.expect("deleted");
    let gone = stage.standby.describe_db_snapshots().db_snapshot_identifier("drill").send().await;
    assert_eq!(refusal(gone), ("DBSnapshotNotFound".to_owned(), 404));
    let listed = stage.standby.describe_db_snapshots().snapshot_type("manual").send().await.expect("listed");
    assert!(listed.db_snapshots().is_empty());
    assert_eq!(instance(&stage.standby, "orders-west").await, before, "field by field as before");
    assert_eq!(stage.rds.groups().len(), 2, "its server is gone too");
    stage.end().await;
}
