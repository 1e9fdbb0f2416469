//! Parameter groups: who may change them, and `read_only`, by which alone the writes of a MariaDB on RDS are closed.

mod common;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{ApplyMethod, Parameter};
use common::mariadb::{run, value};
use common::*;
use mysql_async::Conn;
use stage_rds::MariaDbBinaries;
use std::time::{Duration, Instant};

const GROUP: &str = "orders-settings";

/// An instance with a group of its own, and a table with one row.
async fn grouped(name: &str) -> Option<(Stage, Conn)> {
    if !MariaDbBinaries::is_here() {
        return None;
    }
    let stage = Stage::start(&format!("parameters-{name}")).await;
    create(&stage.primary, "orders").engine("mariadb").db_parameter_group_name(GROUP).send().await.expect("created");
    wait_for(&stage.primary, "orders", "available").await;
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY)", ROW]).await.expect("a row");
    Some((stage, app))
}

const ROW: &str = "INSERT INTO orders VALUES ()";

fn parameter(name: &str, value: &str, method: ApplyMethod) -> Parameter {
    Parameter::builder().parameter_name(name).parameter_value(value).apply_method(method).build()
}

async fn set(client: &Client, group: &str, value: &str) {
    let change = client.modify_db_parameter_group().db_parameter_group_name(group);
    let answer = change.parameters(parameter("read_only", value, ApplyMethod::Immediate)).send().await.expect("accepted");
    assert_eq!(answer.db_parameter_group_name(), Some(group));
}

async fn read_only(stage: &Stage, region: &str, id: &str) -> String {
    let rows = stage.rds.sql(region, id, "mysql", "SELECT @@global.read_only").await.expect("an answer");
    rows[0][0].clone().expect("a value")
}

async fn until_read_only_is(stage: &Stage, region: &str, id: &str, wanted: &str) {
    until(&format!("read_only of {id} is {wanted}"), async || (read_only(stage, region, id).await == wanted).then_some(())).await;
}

fn assert_read_only(said: Result<(), String>) {
    let said = said.expect_err("refused");
    assert!(said.contains("ERROR 1290 (HY000)") && said.contains("--read-only"), "{said}");
}

async fn apply_status(client: &Client, id: &str) -> String {
    let status = instance(client, id).await.db_parameter_groups()[0].parameter_apply_status().map(str::to_owned);
    status.expect("a status")
}

/// Name, value and source of what a group is told to hold.
async fn held(client: &Client, source: Option<&str>) -> Vec<[String; 3]> {
    let question = client.describe_db_parameters().db_parameter_group_name(GROUP).set_source(source.map(str::to_owned));
    let answer = question.send().await.expect("described");
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    answer.parameters().iter().map(|one| [text(one.parameter_name()), text(one.parameter_value()), text(one.source())]).collect()
}

#[tokio::test]
async fn group_closes_the_writes_of_open_sessions_and_opens_them_and_its_value_outlives_the_server() {
    let Some((stage, mut app)) = grouped("close").await else { return };
    set(&stage.primary, GROUP, "1").await;
    until_read_only_is(&stage, PRIMARY, "orders", "1").await;
    assert_read_only(run(&mut app, &[ROW]).await);
    assert!(run(&mut app, &["SET GLOBAL read_only = 0"]).await.is_err(), "the master user may not");
    assert_ne!(value(&mut app, "SELECT @@gtid_binlog_pos").await, "", "it reads, and sees how far the log goes");
    until("it is in force", async || (apply_status(&stage.primary, "orders").await == "in-sync").then_some(())).await;

    stage.rds.kill(PRIMARY, "orders").await.expect("killed");
    stage.rds.start_server(PRIMARY, "orders").await.expect("started");
    assert_eq!(read_only(&stage, PRIMARY, "orders").await, "1", "from the start on");
    assert_read_only(run(&mut stage.session(PRIMARY, "orders").await.expect("login"), &[ROW]).await);

    set(&stage.primary, GROUP, "{TrueIfReplica}").await;
    until_read_only_is(&stage, PRIMARY, "orders", "0").await;
    run(&mut stage.session(PRIMARY, "orders").await.expect("login"), &[ROW]).await.expect("open again");
    stage.end().await;
}

#[tokio::test]
async fn session_that_holds_tables_delays_the_closing_and_not_the_answer() {
    let Some((stage, mut app)) = grouped("locked").await else { return };
    run(&mut app, &["LOCK TABLES orders WRITE"]).await.expect("locked");
    let began = Instant::now();
    set(&stage.primary, GROUP, "1").await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(apply_status(&stage.primary, "orders").await, "applying");
    assert_eq!(read_only(&stage, PRIMARY, "orders").await, "0");
    run(&mut app, &[ROW, "UNLOCK TABLES"]).await.expect("it had them first");
    until_read_only_is(&stage, PRIMARY, "orders", "1").await;
    assert_read_only(run(&mut app, &[ROW]).await);
    until("it is in force", async || (apply_status(&stage.primary, "orders").await == "in-sync").then_some(())).await;
    stage.end().await;
}

#[tokio::test]
async fn replica_whose_group_says_so_stays_read_only_when_it_is_promoted_and_one_that_may_write_does() {
    let Some((stage, mut app)) = grouped("promoted").await else { return };
    replicate(&stage.standby, "orders-west", &arn(PRIMARY, "orders")).await;
    wait_for(&stage.standby, "orders-west", "available").await;
    wait_for(&stage.primary, "orders", "available").await;
    set(&stage.primary, GROUP, "1").await;
    until_read_only_is(&stage, PRIMARY, "orders", "1").await;
    let unknown = stage.standby.describe_db_parameters().db_parameter_group_name(GROUP).send().await;
    assert_eq!(refusal(unknown), ("DBParameterGroupNotFound".to_owned(), 404), "a group is its Region's");

    let modify = stage.standby.modify_db_instance().db_instance_identifier("orders-west").db_parameter_group_name(GROUP);
    modify.apply_immediately(true).send().await.expect("accepted");
    assert_eq!(apply_status(&stage.standby, "orders-west").await, "pending-reboot");
    set(&stage.standby, GROUP, "0").await;
    until_read_only_is(&stage, STANDBY, "orders-west", "0").await;
    set(&stage.standby, GROUP, "1").await;
    stage.standby.promote_read_replica().db_instance_identifier("orders-west").send().await.expect("accepted");
    until("it is promoted", async || {
        let now = instance(&stage.standby, "orders-west").await;
        (status(&now) == "available" && now.read_replica_source_db_instance_identifier().is_none()).then_some(())
    })
    .await;
    assert_eq!(apply_status(&stage.standby, "orders-west").await, "in-sync", "it restarted");
    assert_read_only(run(&mut stage.session(STANDBY, "orders-west").await.expect("login"), &[ROW]).await);
    set(&stage.standby, GROUP, "{TrueIfReplica}").await;
    until_read_only_is(&stage, STANDBY, "orders-west", "0").await;
    run(&mut stage.session(STANDBY, "orders-west").await.expect("login"), &[ROW]).await.expect("a writer");
    assert_read_only(run(&mut app, &[ROW]).await);
    stage.end().await;
}

#[tokio::test]
async fn group_of_a_copy_and_a_value_that_waits_count_from_the_restart() {
    let Some((stage, mut app)) = grouped("restart").await else { return };
    let change = stage.primary.modify_db_parameter_group().db_parameter_group_name(GROUP);
    change.parameters(parameter("read_only", "1", ApplyMethod::PendingReboot)).send().await.expect("accepted");
    assert_eq!(apply_status(&stage.primary, "orders").await, "pending-reboot");
    run(&mut app, &[ROW]).await.expect("not yet");

    let take = stage.primary.create_db_snapshot().db_instance_identifier("orders").db_snapshot_identifier("taken");
    take.send().await.expect("accepted");
    wait_for(&stage.primary, "orders", "available").await;
    for (id, group, wanted) in [("as-before", GROUP, "1"), ("by-default", "default.mariadb10.11", "0")] {
        let restore = stage.primary.restore_db_instance_from_db_snapshot().db_instance_identifier(id).db_snapshot_identifier("taken");
        restore.db_parameter_group_name(group).send().await.expect("accepted");
        wait_for(&stage.primary, id, "available").await;
        assert_eq!(read_only(&stage, PRIMARY, id).await, wanted, "{id}");
    }

    let rename = stage.primary.modify_db_instance().db_instance_identifier("orders").new_db_instance_identifier("orders-left");
    rename.apply_immediately(true).send().await.expect("accepted");
    until("it has its new name", async || {
        let found = stage.primary.describe_db_instances().db_instance_identifier("orders-left").send().await.ok()?;
        (found.db_instances()[0].db_instance_status() == Some("available")).then_some(())
    })
    .await;
    assert_eq!(read_only(&stage, PRIMARY, "orders-left").await, "1", "a rename restarts");
    assert_eq!(apply_status(&stage.primary, "orders-left").await, "in-sync");

    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders-left").db_parameter_group_name("other");
    modify.apply_immediately(true).send().await.expect("accepted");
    assert_eq!(read_only(&stage, PRIMARY, "orders-left").await, "1", "another group waits too");
    stage.primary.reboot_db_instance().db_instance_identifier("orders-left").send().await.expect("accepted");
    wait_for(&stage.primary, "orders-left", "available").await;
    assert_eq!(read_only(&stage, PRIMARY, "orders-left").await, "0");
    stage.end().await;
}

#[tokio::test]
async fn values_are_told_with_where_they_are_from() {
    let Some((stage, _)) = grouped("told").await else { return };
    let owned = |row: [&str; 3]| row.map(str::to_owned);
    assert_eq!(held(&stage.primary, None).await, [owned(["read_only", "{TrueIfReplica}", "system"])]);
    assert!(held(&stage.primary, Some("user")).await.is_empty());
    let change = stage.primary.modify_db_parameter_group().db_parameter_group_name(GROUP);
    let tls = parameter("require_secure_transport", "1", ApplyMethod::Immediate);
    change.parameters(parameter("read_only", "0", ApplyMethod::Immediate)).parameters(tls).send().await.expect("accepted");
    let set = [owned(["read_only", "0", "user"]), owned(["require_secure_transport", "1", "user"])];
    assert_eq!(held(&stage.primary, Some("user")).await, set);
    assert_eq!(held(&stage.primary, None).await, set);
    stage.session(PRIMARY, "orders").await.expect("a parameter that the server never hears of");
    stage.end().await;
}

#[tokio::test]
async fn default_group_an_unknown_one_and_a_value_that_is_none_are_refused() {
    let stage = Stage::with_primary("parameters-refused").await;
    let change = async |group: &str, name: &str, value: &str| {
        let change = stage.primary.modify_db_parameter_group().db_parameter_group_name(group);
        change.parameters(parameter(name, value, ApplyMethod::Immediate)).send().await
    };
    let invalid = ("InvalidParameterValue".to_owned(), 400);
    let default = instance(&stage.primary, "orders").await.db_parameter_groups()[0].db_parameter_group_name().expect("a group").to_owned();
    assert_eq!(refusal(change(&default, "rds.force_ssl", "1").await), invalid, "a default one");
    assert_eq!(refusal(change("nobodys", "rds.force_ssl", "1").await), ("DBParameterGroupNotFound".to_owned(), 404));
    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders").db_parameter_group_name("tuned");
    modify.send().await.expect("accepted");
    change("tuned", "rds.force_ssl", "1").await.expect("accepted");
    assert_eq!(refusal(change("tuned", "read_only", "1").await), invalid, "PostgreSQL has no such parameter");
    if MariaDbBinaries::is_here() {
        create(&stage.primary, "shop").engine("mariadb").db_parameter_group_name("shop").send().await.expect("created");
        wait_for(&stage.primary, "shop", "available").await;
        assert_eq!(refusal(change("shop", "read_only", "ON").await), invalid, "a value that RDS does not have");
    }
    stage.end().await;
}
