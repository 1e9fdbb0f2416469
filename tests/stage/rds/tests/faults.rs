//! What a caller can make go wrong, and that it ends when the caller takes it back.

mod common;

use common::*;
use stage_rds::{Darkness, PromotionFault};
use std::time::{Duration, Instant};

async fn lag_of_the_replica(stage: &Stage) -> f64 {
    stage.rds.replica_lag().await.first().expect("a sample").2
}

#[tokio::test]
async fn dark_region_answers_nothing_until_it_is_restored() {
    let stage = Stage::with_replica("dark").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY)").await.expect("a table");
    stage.arrived(STANDBY, "orders-west", 0).await;
    assert!(lag_of_the_replica(&stage).await >= 0.0);

    stage.rds.dark(PRIMARY, Darkness::Silent).await;
    let answer = tokio::time::timeout(Duration::from_millis(500), app.batch_execute("SELECT 1")).await;
    assert!(answer.is_err(), "an open session hears nothing, not even that it ended");
    assert_eq!(stage.login(PRIMARY, "orders").await.expect_err("no login"), "timed out");
    let describe = stage.primary.describe_db_instances().send();
    assert!(tokio::time::timeout(Duration::from_millis(500), describe).await.is_err(), "nor does the API answer");
    assert!(stage.login(STANDBY, "orders-west").await.is_ok(), "the other Region is not touched");
    stage.rds.sql(PRIMARY, "orders", "shop", "INSERT INTO orders DEFAULT VALUES").await.expect("the server itself lives");
    until("the replica sees that nothing comes", async || (lag_of_the_replica(&stage).await == -1.0).then_some(())).await;
    assert_eq!(instance(&stage.standby, "orders-west").await.status_infos()[0].status(), Some("error"));
    assert_eq!(stage.count(STANDBY, "orders-west").await, 0);

    stage.rds.restore(PRIMARY).await.expect("restored");
    stage.arrived(STANDBY, "orders-west", 1).await;

    stage.rds.dark(PRIMARY, Darkness::Killed).await;
    assert_eq!(stage.rds.groups().len(), 1, "its server is dead");
    assert_eq!(stage.login(PRIMARY, "orders").await.expect_err("no login"), "timed out");
    stage.rds.restore(PRIMARY).await.expect("restored");
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 2).await;

    stage.rds.dark(STANDBY, Darkness::Silent).await;
    assert!(stage.rds.replica_lag().await.is_empty(), "a dark Region publishes no metric");
    stage.end().await;
}

#[tokio::test]
async fn cut_replica_reports_the_error_and_catches_up_later() {
    let stage = Stage::with_replica("cut").await;
    stage.rds.set_cut(STANDBY, "orders-west", true);
    until("the replica reports it", async || {
        let replica = instance(&stage.standby, "orders-west").await;
        let info = &replica.status_infos()[0];
        (info.status() == Some("error") && info.normal() == Some(false)).then_some(())
    })
    .await;
    assert_eq!(lag_of_the_replica(&stage).await, -1.0);
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.rds.set_cut(STANDBY, "orders-west", false);
    stage.arrived(STANDBY, "orders-west", 1).await;

    // Long beyond wal_receiver_timeout: the link's own keepalives hold the stream.
    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(600));
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    tokio::time::sleep(Duration::from_millis(6500)).await;
    assert!(lag_of_the_replica(&stage).await > 6.0, "ten minutes behind, and streaming all the time");
    assert_eq!(instance(&stage.standby, "orders-west").await.status_infos()[0].status(), Some("replicating"));
    assert_eq!(stage.count(STANDBY, "orders-west").await, 1);
    // A receiver that gave up and came back would begin the delay anew, and never see the row.
    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(8));
    stage.arrived(STANDBY, "orders-west", 2).await;
    stage.end().await;
}

#[tokio::test]
async fn quarantine_refuses_new_sessions_and_leaves_open_ones() {
    let stage = Stage::with_primary("quarantine").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    stage.rds.add_quarantine_group("sg-quarantine", &[]);
    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders");
    modify.clone().vpc_security_group_ids("sg-quarantine").send().await.expect("fenced");
    let fenced = instance(&stage.primary, "orders").await;
    assert_eq!(fenced.vpc_security_groups()[0].vpc_security_group_id(), Some("sg-quarantine"));
    assert_eq!(status(&fenced), "available");
    assert!(stage.login(PRIMARY, "orders").await.is_err(), "no new session");
    app.batch_execute("SELECT 1").await.expect("a tracked connection stays");
    modify.clone().vpc_security_group_ids("sg-quarantine").vpc_security_group_ids("sg-application").send().await.expect("one more group");
    stage.login(PRIMARY, "orders").await.expect("groups add up");
    modify.vpc_security_group_ids("sg-application").send().await.expect("released");
    stage.login(PRIMARY, "orders").await.expect("login");

    stage.rds.set_login_delay(PRIMARY, "orders", Duration::from_millis(400));
    let began = Instant::now();
    stage.login(PRIMARY, "orders").await.expect("a slow login");
    assert!(began.elapsed() >= Duration::from_millis(400));
    stage.end().await;
}

/// Set in the process that a test starts anew to log in as a Lambda function would: the port to log in at.
const LOG_IN_AT: &str = "RELIGHT_TEST_LOG_IN_AT";

#[tokio::test]
async fn quarantine_lets_the_functions_in_that_it_names() {
    if let Ok(port) = std::env::var(LOG_IN_AT) {
        let at = std::net::SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
        login(at, PASSWORD).await.expect("login");
        return;
    }
    let stage = Stage::with_primary("admits").await;
    stage.rds.add_quarantine_group("sg-quarantine", &["shop-rotate-secret"]);
    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders");
    modify.vpc_security_group_ids("sg-quarantine").send().await.expect("fenced");
    let port = stage.rds.endpoint(PRIMARY, "orders").expect("an endpoint").port();
    let logs_in = async |function: Option<&str>| {
        let mut child = tokio::process::Command::new(std::env::current_exe().expect("this test"));
        child.args(["--exact", "quarantine_lets_the_functions_in_that_it_names"]).env(LOG_IN_AT, port.to_string());
        child.envs(function.map(|name| ("AWS_LAMBDA_FUNCTION_NAME", name)));
        let ended = child.output().await.expect("the test runs again");
        if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stdout).into_owned()) }
    };
    assert_eq!(logs_in(Some("shop-rotate-secret")).await, Ok(()), "the one that compares");
    assert!(logs_in(Some("shop-promote-replica")).await.is_err(), "another function");
    assert!(logs_in(None).await.is_err(), "the application");
    stage.end().await;
}

#[tokio::test]
async fn full_disk_ends_the_server_and_room_brings_it_back() {
    let stage = Stage::with_replica("disk-full").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;

    stage.rds.set_disk_full(STANDBY, "orders-west", true).await.expect("full");
    assert_eq!(status(&instance(&stage.standby, "orders-west").await), "storage-full");
    let refused = stage.standby.promote_read_replica().db_instance_identifier("orders-west").send().await;
    assert_eq!(refusal(refused), ("InvalidDBInstanceState".to_owned(), 400));
    app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 20000)").await.expect("the source goes on");
    // Its server ends and recovers, again and again, or has ended for good.
    until("the replica receives nothing", async || stage.rds.replica_lag().await.iter().all(|lag| lag.2 == -1.0).then_some(())).await;

    stage.rds.set_disk_full(STANDBY, "orders-west", false).await.expect("room");
    assert_eq!(status(&instance(&stage.standby, "orders-west").await), "available");
    stage.arrived(STANDBY, "orders-west", 20001).await;

    stage.rds.set_disk_full(PRIMARY, "orders", true).await.expect("full");
    assert!(app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 20000)").await.is_err(), "nothing more fits");
    stage.rds.set_disk_full(PRIMARY, "orders", false).await.expect("room");
    until("the server has recovered", async || stage.rds.sql(PRIMARY, "orders", "shop", "SELECT 1").await.ok()).await;
    assert_eq!(stage.count(PRIMARY, "orders").await, 20001, "nothing was lost, and nothing half written");
    stage.end().await;
}

#[tokio::test]
async fn promotion_is_refused_fails_or_happens_without_an_answer_as_asked() {
    let stage = Stage::with_replica("promotion").await;
    let promote = || stage.standby.promote_read_replica().db_instance_identifier("orders-west").send();
    let set = |fault| stage.rds.set_promotion_fault(STANDBY, "orders-west", fault);
    let is_replica = async || instance(&stage.standby, "orders-west").await.read_replica_source_db_instance_identifier().is_some();

    set(Some(PromotionFault::Refused));
    assert_eq!(refusal(promote().await), ("InvalidDBInstanceState".to_owned(), 400));
    assert_eq!(status(&instance(&stage.standby, "orders-west").await), "available");

    set(Some(PromotionFault::Fails));
    promote().await.expect("accepted");
    wait_for(&stage.standby, "orders-west", "modifying").await;
    wait_for(&stage.standby, "orders-west", "available").await;
    assert!(is_replica().await, "a replica as before");
    assert_eq!(instance(&stage.standby, "orders-west").await.status_infos()[0].status(), Some("replicating"));

    set(Some(PromotionFault::AnswerLost));
    assert_eq!(refusal(promote().await), ("InternalFailure".to_owned(), 500));
    until("it happened nevertheless", async || (!is_replica().await).then_some(())).await;
    stage.end().await;
}

#[tokio::test]
async fn deleted_source_leaves_one_replica_promoted_and_the_far_one_terminated() {
    let stage = Stage::with_replica("orphans").await;
    replicate(&stage.primary, "orders-near", "orders").await;
    wait_for(&stage.primary, "orders-near", "available").await;
    wait_for(&stage.primary, "orders", "available").await;
    stage.rds.set_promotion_fault(STANDBY, "orders-west", Some(PromotionFault::Takes(Duration::from_secs(4))));
    let delete = stage.primary.delete_db_instance().db_instance_identifier("orders");
    delete.final_db_snapshot_identifier("orders-final").send().await.expect("accepted");
    until("the near replica is promoted by RDS", async || {
        instance(&stage.primary, "orders-near").await.read_replica_source_db_instance_identifier().is_none().then_some(())
    })
    .await;
    let far = instance(&stage.standby, "orders-west").await;
    assert_eq!(far.status_infos()[0].status(), Some("terminated"));
    assert_eq!(lag_of_the_replica(&stage).await, -1.0);
    let snapshots = stage.primary.describe_db_snapshots().send().await.expect("described");
    assert_eq!(snapshots.db_snapshots()[0].db_snapshot_identifier(), Some("orders-final"));

    let began = Instant::now();
    stage.standby.promote_read_replica().db_instance_identifier("orders-west").send().await.expect("it can still be promoted");
    until("the far replica is promoted", async || {
        instance(&stage.standby, "orders-west").await.read_replica_source_db_instance_identifier().is_none().then_some(())
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(4), "as slowly as asked");
    stage.end().await;
}
