//! The situation that all of it exists for: a primary dies, its replica in the other Region is behind, and is promoted.

mod common;

use common::*;
use stage_rds::Darkness;
use std::time::{Duration, Instant};

#[tokio::test]
async fn killed_primary_loses_what_was_on_its_way_and_its_replica_is_promoted() {
    let stage = Stage::with_replica("failover").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 100)").await.expect("rows");
    stage.arrived(STANDBY, "orders-west", 100).await;

    let replica = instance(&stage.standby, "orders-west").await;
    assert_eq!(replica.read_replica_source_db_instance_identifier(), Some(arn(PRIMARY, "orders").as_str()));
    assert_eq!(replica.status_infos()[0].status(), Some("replicating"));
    assert_eq!(replica.backup_retention_period(), Some(0));
    let primary = instance(&stage.primary, "orders").await;
    assert_eq!(primary.read_replica_db_instance_identifiers(), [arn(STANDBY, "orders-west")]);

    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(2));
    app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 10)").await.expect("rows in time");
    stage.arrived(STANDBY, "orders-west", 110).await;
    let lag = stage.rds.replica_lag().await;
    assert!(lag.len() == 1 && lag[0].2 >= 1.9 && lag[0].2 < 10.0, "a replica 2 s behind: {lag:?}");

    app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 5)").await.expect("rows too late");
    stage.rds.kill(PRIMARY, "orders").await.expect("kill");
    assert!(app.batch_execute("SELECT 1").await.is_err(), "the session died with the server");
    assert!(stage.login(PRIMARY, "orders").await.is_err());
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(stage.count(STANDBY, "orders-west").await, 110, "nor does it arrive late");

    let seen = promote_and_watch(&stage).await;
    assert_eq!(seen, ["available", "modifying", "rebooting", "available"]);
    let promoted = instance(&stage.standby, "orders-west").await;
    assert!(promoted.status_infos().is_empty());
    assert_eq!(promoted.backup_retention_period(), Some(1));
    assert_eq!(promoted.endpoint().and_then(|endpoint| endpoint.port()), replica.endpoint().and_then(|endpoint| endpoint.port()));
    assert!(instance(&stage.primary, "orders").await.read_replica_db_instance_identifiers().is_empty());

    let app = stage.login(STANDBY, "orders-west").await.expect("the same password works on the promoted replica");
    assert_eq!(stage.count(STANDBY, "orders-west").await, 110, "what was on its way is lost, the rest is there");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("the promoted replica takes writes");

    stage.rds.restore(PRIMARY).await.expect("restored");
    assert_eq!(stage.count(PRIMARY, "orders").await, 115, "the old primary has what it had committed");
    stage.end().await;
}

#[tokio::test]
async fn replica_of_a_region_that_went_dark_is_promoted_without_what_was_in_flight() {
    let stage = Stage::with_replica("dark-failover").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;
    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(1));
    app.batch_execute("INSERT INTO orders SELECT FROM generate_series(1, 5)").await.expect("rows too late");
    stage.rds.dark(PRIMARY, Darkness::Killed).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(stage.count(STANDBY, "orders-west").await, 1, "what was in flight never arrives");

    let seen = promote_and_watch(&stage).await;
    assert_eq!(seen.last().map(String::as_str), Some("available"));
    let app = stage.login(STANDBY, "orders-west").await.expect("login");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("the promoted replica takes writes");

    stage.rds.start_server(PRIMARY, "orders").await.expect("started in the dark, for the count");
    assert_eq!(stage.count(PRIMARY, "orders").await, 6);
    assert_eq!(stage.login(PRIMARY, "orders").await.expect_err("still dark"), "timed out");
    stage.end().await;
}

/// The states in the order in which they were seen, until the instance is no replica any more.
async fn promote_and_watch(stage: &Stage) -> Vec<String> {
    let began = Instant::now();
    stage.standby.promote_read_replica().db_instance_identifier("orders-west").send().await.expect("accepted");
    let mut seen: Vec<String> = Vec::new();
    loop {
        let now = instance(&stage.standby, "orders-west").await;
        if seen.last().is_none_or(|last| last != status(&now)) {
            seen.push(status(&now).to_owned());
        }
        let recovering = stage.rds.sql(STANDBY, "orders-west", "postgres", "SELECT pg_is_in_recovery()").await;
        if now.read_replica_source_db_instance_identifier().is_none() {
            assert_eq!(recovering.expect("it answers")[0][0].as_deref(), Some("f"), "no source, so really a writer");
            return seen;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the promotion never ended: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
