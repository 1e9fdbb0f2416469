//! Snapshots are copies: what was there is there again, whatever became of the instance.

mod common;

use common::*;
use std::time::Duration;

async fn restore(client: &aws_sdk_rds::Client, id: &str, from: &str) -> aws_sdk_rds::types::DbInstance {
    let request = client.restore_db_instance_from_db_snapshot().db_instance_identifier(id).db_snapshot_identifier(from);
    let begun = request.vpc_security_group_ids("sg-restored").send().await.expect("accepted").db_instance.expect("an instance");
    assert_eq!(status(&begun), "creating");
    wait_for(client, id, "available").await
}

async fn wait_for_snapshot(client: &aws_sdk_rds::Client, id: &str) {
    until(&format!("{id} is taken"), async || {
        let found = client.describe_db_snapshots().db_snapshot_identifier(id).send().await.expect("described");
        (found.db_snapshots()[0].status() == Some("available")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn snapshot_holds_the_rows_of_its_moment_and_is_restored_beside_the_original() {
    let stage = Stage::with_primary("snapshot").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 1000)").await.expect("rows");
    let take = stage.primary.create_db_snapshot().db_instance_identifier("orders").db_snapshot_identifier("before");
    let tag = aws_sdk_rds::types::Tag::builder().key("relight:run").value("failback-1").build();
    take.tags(tag.clone()).send().await.expect("accepted");
    let early = stage.primary.restore_db_instance_from_db_snapshot().db_instance_identifier("early").db_snapshot_identifier("before");
    assert_eq!(refusal(early.send().await), ("InvalidDBSnapshotState".to_owned(), 400));
    let early = stage.primary.delete_db_snapshot().db_snapshot_identifier("before").send().await;
    assert_eq!(refusal(early), ("InvalidDBSnapshotState".to_owned(), 400));
    wait_for(&stage.primary, "orders", "available").await;
    app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 5)").await.expect("rows after it");
    let found = stage.primary.describe_db_snapshots().db_snapshot_identifier("before").send().await.expect("described");
    assert_eq!(found.db_snapshots()[0].tag_list(), [tag]);

    let restored = restore(&stage.primary, "orders-before", "before").await;
    assert_eq!(restored.vpc_security_groups()[0].vpc_security_group_id(), Some("sg-restored"));
    assert!(restored.read_replica_source_db_instance_identifier().is_none());
    assert_eq!(stage.count(PRIMARY, "orders-before").await, 1000);
    let again = stage.login(PRIMARY, "orders-before").await.expect("its users and passwords are there");
    again.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("it is a writer of its own");
    assert_eq!(stage.count(PRIMARY, "orders").await, 1005, "the original goes on");

    stage.primary.delete_db_snapshot().db_snapshot_identifier("before").send().await.expect("deleted");
    let gone = stage.primary.restore_db_instance_from_db_snapshot().db_instance_identifier("late").db_snapshot_identifier("before");
    assert_eq!(refusal(gone.send().await), ("DBSnapshotNotFound".to_owned(), 404));
    stage.end().await;
}

#[tokio::test]
async fn final_snapshot_outlives_its_instance() {
    let stage = Stage::with_primary("final").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 7)").await.expect("rows");
    let delete = stage.primary.delete_db_instance().db_instance_identifier("orders");
    delete.final_db_snapshot_identifier("orders-final").send().await.expect("accepted");
    wait_for_snapshot(&stage.primary, "orders-final").await;
    until("it is gone", async || stage.primary.describe_db_instances().db_instance_identifier("orders").send().await.err()).await;
    restore(&stage.primary, "orders", "orders-final").await;
    assert_eq!(stage.count(PRIMARY, "orders").await, 7);
    stage.end().await;
}

#[tokio::test]
async fn snapshot_of_a_replica_and_of_a_server_that_died_can_be_restored() {
    let stage = Stage::with_replica("snapshot-hard").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 50)").await.expect("rows");
    stage.arrived(STANDBY, "orders-west", 50).await;
    let take =
        |client: &aws_sdk_rds::Client, of: &str, id: &str| client.create_db_snapshot().db_instance_identifier(of).db_snapshot_identifier(id).send();
    take(&stage.standby, "orders-west", "of-the-replica").await.expect("accepted");
    wait_for_snapshot(&stage.standby, "of-the-replica").await;
    restore(&stage.standby, "restored", "of-the-replica").await;
    assert_eq!(stage.count(STANDBY, "restored").await, 50);

    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.rds.kill(PRIMARY, "orders").await.expect("killed");
    tokio::time::sleep(Duration::from_millis(100)).await;
    take(&stage.primary, "orders", "of-the-dead").await.expect("accepted");
    wait_for_snapshot(&stage.primary, "of-the-dead").await;
    restore(&stage.primary, "revived", "of-the-dead").await;
    assert_eq!(stage.count(PRIMARY, "revived").await, 51, "a crash loses nothing that was committed");
    stage.rds.start_server(PRIMARY, "orders").await.expect("started");
    stage.end().await;
}
