//! The way home of MariaDB, as RDS's API asks for it: the old primary is set aside, a replica of the standby's writer is built in its place and
//! promoted once it has all, and the standby gets a replica anew. Writes are closed by the parameter groups of either Region.

mod common;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{ApplyMethod, Parameter};
use common::mariadb::run;
use common::*;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use std::time::Duration;

const GROUP: &str = "orders-settings";
const ROW: &str = "INSERT INTO orders VALUES ()";

/// `orders-west` is the writer in the standby Region; `orders` is the old primary, alive, with a row that never arrived.
async fn failed_over(name: &str) -> Option<Stage> {
    let stage = Stage::with_mariadb_replica(name).await?;
    give_group(&stage.primary, "orders").await;
    give_group(&stage.standby, "orders-west").await;
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY)", "INSERT INTO orders SELECT seq FROM seq_1_to_10"])
        .await
        .expect("rows");
    stage.arrived(STANDBY, "orders-west", 10).await;
    stage.rds.set_cut(STANDBY, "orders-west", true);
    run(&mut app, &[ROW]).await.expect("a row too late");
    promote(&stage.standby, "orders-west").await;
    Some(stage)
}

async fn give_group(client: &Client, id: &str) {
    let modify = client.modify_db_instance().db_instance_identifier(id).db_parameter_group_name(GROUP).backup_retention_period(1);
    modify.apply_immediately(true).send().await.expect("accepted");
    until(&format!("{id} has backups"), async || {
        let now = instance(client, id).await;
        (status(&now) == "available" && now.backup_retention_period() >= Some(1)).then_some(())
    })
    .await;
    client.reboot_db_instance().db_instance_identifier(id).send().await.expect("accepted");
    let now = wait_for(client, id, "available").await;
    let group = &now.db_parameter_groups()[0];
    assert_eq!((group.db_parameter_group_name(), group.parameter_apply_status()), (Some(GROUP), Some("in-sync")));
}

async fn promote(client: &Client, id: &str) {
    client.promote_read_replica().db_instance_identifier(id).backup_retention_period(1).send().await.expect("accepted");
    until(&format!("{id} is promoted"), async || {
        let now = instance(client, id).await;
        (status(&now) == "available" && now.read_replica_source_db_instance_identifier().is_none()).then_some(())
    })
    .await;
}

async fn set_read_only(client: &Client, value: &str) {
    let read_only = Parameter::builder().parameter_name("read_only").parameter_value(value).apply_method(ApplyMethod::Immediate).build();
    client.modify_db_parameter_group().db_parameter_group_name(GROUP).parameters(read_only).send().await.expect("accepted");
}

/// Its last snapshot is taken, then it gets another name.
async fn set_aside(client: &Client, id: &str) {
    let snapshot = client.create_db_snapshot().db_instance_identifier(id).db_snapshot_identifier(format!("{id}-last"));
    snapshot.send().await.expect("accepted");
    wait_for(client, id, "available").await;
    let left = format!("{id}-left");
    let rename = client.modify_db_instance().db_instance_identifier(id).new_db_instance_identifier(&left).apply_immediately(true);
    rename.send().await.expect("accepted");
    until(&format!("{left} is there"), async || {
        let found = client.describe_db_instances().db_instance_identifier(&left).send().await.ok()?;
        (found.db_instances()[0].db_instance_status() == Some("available")).then_some(())
    })
    .await;
    assert_eq!(refusal(client.describe_db_instances().db_instance_identifier(id).send().await).0, "DBInstanceNotFound");
}

async fn build(client: &Client, id: &str, source: &str) {
    replicate(client, id, source).await;
    let built = wait_for(client, id, "available").await;
    assert_eq!(built.read_replica_source_db_instance_identifier(), Some(source));
    assert_eq!(built.status_infos()[0].status(), Some("replicating"));
}

/// Where the writer's log ends.
async fn written(writer: &mut Conn) -> (String, u64) {
    let log: Row = writer.query_first("SHOW MASTER STATUS").await.expect("the master user may").expect("a row");
    (log.get("File").expect("a file"), log.get("Position").expect("a position"))
}

/// Up to where in its source's log a replica has applied.
async fn applied(replica: &mut Conn) -> (String, u64) {
    let status: Row = replica.query_first("CALL mysql.rds_replica_status").await.expect("the master user may").expect("a row");
    (status.get("Relay_Master_Log_File").expect("a file"), status.get("Exec_Master_Log_Pos").expect("a position"))
}

async fn until_all_is_applied(writer: &mut Conn, replica: &mut Conn) {
    let end = written(writer).await;
    until(&format!("all is applied up to {end:?}"), async || (applied(replica).await == end).then_some(())).await;
}

#[tokio::test]
async fn writer_goes_home_without_a_row_lost_and_the_standby_gets_a_replica_of_it_anew() {
    let Some(stage) = failed_over("home").await else { return };
    let (primary, standby) = (&stage.primary, &stage.standby);
    set_aside(primary, "orders").await;
    build(primary, "orders", &arn(STANDBY, "orders-west")).await;
    wait_for(standby, "orders-west", "available").await;
    assert_eq!(stage.count(PRIMARY, "orders").await, 10, "what the standby has, and not what the old primary has");
    let mut app = stage.session(STANDBY, "orders-west").await.expect("login");
    until_all_is_applied(&mut app, &mut stage.session(PRIMARY, "orders").await.expect("login")).await;
    give_group(primary, "orders").await;
    assert_eq!(instance(primary, "orders").await.status_infos()[0].status(), Some("replicating"), "after its restart too");
    let mut home = stage.session(PRIMARY, "orders").await.expect("login");
    until_all_is_applied(&mut app, &mut home).await;

    stage.rds.set_delay(PRIMARY, "orders", Duration::from_secs(2));
    run(&mut app, &[ROW]).await.expect("a row");
    set_read_only(standby, "1").await;
    until("writes are closed", async || run(&mut app, &[ROW]).await.err().filter(|said| said.contains("--read-only"))).await;
    let end = written(&mut app).await;
    assert_ne!(applied(&mut home).await, end, "the last rows are on their way");
    until_all_is_applied(&mut app, &mut home).await;
    assert_eq!(written(&mut app).await, end, "a closed writer writes nothing more");
    assert_eq!(stage.count(PRIMARY, "orders").await, stage.count(STANDBY, "orders-west").await);
    stage.rds.set_delay(PRIMARY, "orders", Duration::ZERO);
    promote(primary, "orders").await;
    let mut app = stage.session(PRIMARY, "orders").await.expect("the password came with the data");
    run(&mut app, &[ROW]).await.expect("the writer at home takes writes");

    set_aside(standby, "orders-west").await;
    let mut left = stage.session(STANDBY, "orders-west-left").await.expect("login");
    assert!(run(&mut left, &[ROW]).await.expect_err("closed still").contains("--read-only"));
    stage.rds.set_cut(STANDBY, "orders-west", false);
    build(standby, "orders-west", &arn(PRIMARY, "orders")).await;
    wait_for(primary, "orders", "available").await;
    give_group(standby, "orders-west").await;
    run(&mut app, &[ROW]).await.expect("a row");
    let mut replica = stage.session(STANDBY, "orders-west").await.expect("login");
    until_all_is_applied(&mut app, &mut replica).await;
    assert_eq!(stage.count(STANDBY, "orders-west").await, stage.count(PRIMARY, "orders").await);
    set_read_only(standby, "{TrueIfReplica}").await;
    until("the one that was left is open", async || run(&mut left, &[ROW]).await.ok()).await;
    let said = run(&mut replica, &[ROW]).await.expect_err("a replica takes no write");
    assert!(said.contains("--read-only"), "{said}");
    stage.end().await;
}
