//! An instance of MariaDB by itself: what its master user may do, its snapshots, its end, and what becomes of its replicas.

mod common;

use common::mariadb::{run, session, value};
use common::*;
use mysql_async::prelude::Queryable;
use stage_rds::MariaDbBinaries;
use std::path::PathBuf;
use std::time::Duration;

#[tokio::test]
async fn master_user_makes_users_changes_their_passwords_and_ends_their_sessions_without_super() {
    let Some(stage) = Stage::with_mariadb("master").await else { return };
    let at = stage.rds.endpoint(PRIMARY, "orders").expect("an endpoint");
    let mut admin = stage.session(PRIMARY, "orders").await.expect("login");
    let made = ["CREATE USER 'shop_clone'@'%' IDENTIFIED BY 'first-password'", "GRANT SELECT, INSERT ON shop.* TO 'shop_clone'@'%'"];
    run(&mut admin, &made).await.expect("a user with what its maker has");
    session(at, "shop_clone", "first-password", None).await.expect("login");
    run(&mut admin, &["ALTER USER 'shop_clone'@'%' IDENTIFIED BY 'second-password'"]).await.expect("another password");
    let mut other = session(at, "shop_clone", "second-password", None).await.expect("login");
    assert!(session(at, "shop_clone", "first-password", None).await.is_err(), "the old one is dead at once");

    let id = value(&mut other, "SELECT CONNECTION_ID()").await;
    let refused = run(&mut admin, &[&format!("KILL {id}")]).await.expect_err("not its own");
    assert!(refused.contains("1095"), "{refused}");
    run(&mut admin, &[&format!("CALL mysql.rds_kill({id})")]).await.expect("as on RDS");
    assert!(run(&mut other, &["DO 1"]).await.is_err(), "the session has ended");
    for beyond in ["SET GLOBAL read_only = 1", "SELECT 1 INTO OUTFILE '/tmp/relight'", "SHOW SLAVE STATUS"] {
        assert!(run(&mut admin, &[beyond]).await.is_err(), "{beyond}");
    }

    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders").master_user_password("it's-another\\one");
    modify.apply_immediately(true).send().await.expect("accepted");
    until("the new password works", async || session(at, "app", "it's-another\\one", None).await.ok()).await;
    assert!(stage.session(PRIMARY, "orders").await.is_err(), "the old one does not");
    wait_for(&stage.primary, "orders", "available").await;
    stage.end().await;
}

#[tokio::test]
async fn master_user_sees_how_far_a_replica_is_in_its_sources_log() {
    let Some(stage) = Stage::with_mariadb_replica("status").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;
    let log: mysql_async::Row = app.query_first("SHOW MASTER STATUS").await.expect("it may").expect("a row");
    let (file, position): (String, u64) = (log.get("File").expect("a file"), log.get("Position").expect("a position"));

    let mut reader = stage.session(STANDBY, "orders-west").await.expect("login");
    assert!(run(&mut reader, &["SHOW REPLICA STATUS"]).await.is_err(), "the statement itself it may not");
    until("it has applied what its source has written", async || {
        let applied: mysql_async::Row = reader.query_first("CALL mysql.rds_replica_status").await.expect("as on RDS").expect("a row");
        let at: (String, u64) = (applied.get("Relay_Master_Log_File").expect("a file"), applied.get("Exec_Master_Log_Pos").expect("a position"));
        (at == (file.clone(), position)).then_some(())
    })
    .await;
    let none: Option<mysql_async::Row> = app.query_first("CALL mysql.rds_replica_status").await.expect("it may");
    assert!(none.is_none(), "a writer follows nobody");
    stage.end().await;
}

#[tokio::test]
async fn snapshot_is_restored_as_a_writer_of_its_own_whether_the_server_ran_or_had_died() {
    let Some(stage) = Stage::with_mariadb_replica("snapshot").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders SELECT seq FROM seq_1_to_1000"]).await.expect("rows");
    stage.arrived(STANDBY, "orders-west", 1000).await;
    let writing = tokio::spawn(async move {
        let mut next = 1001;
        while next <= 1040 {
            run(&mut app, &[&format!("INSERT INTO orders VALUES ({next})")]).await.expect("the application goes on while it is taken");
            next += 1;
        }
        app
    });
    take(&stage.primary, "orders", "of-the-living").await;
    let mut app = writing.await.expect("forty rows");
    stage.arrived(STANDBY, "orders-west", 1040).await;
    take(&stage.standby, "orders-west", "of-the-replica").await;
    restore(&stage.standby, "restored", "of-the-replica").await;
    run(&mut app, &["INSERT INTO orders VALUES (2000)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1041).await;
    assert_eq!(stage.count(STANDBY, "restored").await, 1040, "it follows nobody");
    let mut again = stage.session(STANDBY, "restored").await.expect("its users and passwords are there");
    run(&mut again, &["INSERT INTO orders VALUES (3000)"]).await.expect("it is a writer");
    stage.rds.kill(PRIMARY, "orders").await.expect("killed");
    take(&stage.primary, "orders", "of-the-dead").await;

    let held = stage.rds.sql_in_snapshot(PRIMARY, "of-the-living", "shop", "SELECT COUNT(*), MAX(id) FROM orders").await.expect("an answer");
    assert!(held[0][0] == held[0][1] && held[0][0].as_deref() >= Some("1000"), "of one moment: {held:?}");
    restore(&stage.primary, "revived", "of-the-dead").await;
    assert_eq!(stage.count(PRIMARY, "revived").await, 1041, "a crash loses nothing that was committed");
    let revived = instance(&stage.primary, "revived").await;
    assert_eq!((revived.engine(), revived.read_replica_source_db_instance_identifier()), (Some("mariadb"), None));
    stage.rds.start_server(PRIMARY, "orders").await.expect("started");
    stage.end().await;
}

#[tokio::test]
async fn replica_elsewhere_of_a_deleted_source_is_promoted_by_itself() {
    let Some(stage) = Stage::with_mariadb_replica("orphan").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;
    stage.primary.delete_db_instance().db_instance_identifier("orders").skip_final_snapshot(true).send().await.expect("accepted");
    until("it is gone", async || stage.primary.describe_db_instances().db_instance_identifier("orders").send().await.err()).await;
    until("its replica is a writer", async || {
        let left = instance(&stage.standby, "orders-west").await;
        (status(&left) == "available" && left.read_replica_source_db_instance_identifier().is_none()).then_some(())
    })
    .await;
    let mut app = stage.session(STANDBY, "orders-west").await.expect("login");
    run(&mut app, &["INSERT INTO orders VALUES (2)"]).await.expect("it takes writes");
    assert_eq!(stage.rds.groups().len(), 1, "the server of the deleted one has ended");
    stage.end().await;
}

#[tokio::test]
async fn restarted_replica_goes_on_and_a_renamed_source_keeps_it() {
    let Some(stage) = Stage::with_mariadb_replica("restart").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1)"]).await.expect("a row");
    stage.rds.kill(STANDBY, "orders-west").await.expect("killed");
    run(&mut app, &["INSERT INTO orders VALUES (2)"]).await.expect("a row");
    stage.rds.start_server(STANDBY, "orders-west").await.expect("started");
    stage.arrived(STANDBY, "orders-west", 2).await;

    let rename = stage.primary.modify_db_instance().db_instance_identifier("orders").new_db_instance_identifier("orders-old");
    rename.apply_immediately(true).send().await.expect("accepted");
    until("it has its new name", async || {
        let found = stage.primary.describe_db_instances().db_instance_identifier("orders-old").send().await.ok()?;
        (found.db_instances()[0].db_instance_status() == Some("available")).then_some(())
    })
    .await;
    let mut app = stage.session(PRIMARY, "orders-old").await.expect("login");
    run(&mut app, &["INSERT INTO orders VALUES (3)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 3).await;
    stage.end().await;
}

#[tokio::test]
async fn stage_without_mariadb_refuses_its_instances_and_the_search_for_it_names_the_packages() {
    let nowhere = MariaDbBinaries::find_in(&[PathBuf::from("/nonexistent")]).expect_err("none there").to_string();
    assert!(nowhere.contains("apt-get install --no-install-recommends mariadb-server-core mariadb-client-core"), "{nowhere}");
    assert!(nowhere.contains("/nonexistent"), "{nowhere}");
    if MariaDbBinaries::is_here() {
        return;
    }
    let stage = Stage::start("no-mariadb").await;
    let refused = create(&stage.primary, "orders").engine("mariadb").send().await;
    assert_eq!(refusal(refused), ("InvalidParameterValue".to_owned(), 400));
    stage.end().await;
}

#[tokio::test]
async fn dropped_stage_leaves_no_server_of_mariadb() {
    let Some(stage) = Stage::with_mariadb("dropped").await else { return };
    let groups = stage.rds.groups();
    assert_eq!(groups.len(), 1);
    let folder = stage.folder.clone();
    drop(stage);
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", groups[0]));
    assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")), "the server has ended");
    std::fs::remove_dir_all(folder).expect("the data is removed");
}

#[tokio::test]
async fn full_disk_keeps_rows_out_and_room_brings_the_server_back() {
    let Some(stage) = Stage::with_mariadb_replica("disk-full").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (0)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;
    stage.rds.set_disk_full(STANDBY, "orders-west", true).await.expect("full");
    assert_eq!(status(&instance(&stage.standby, "orders-west").await), "storage-full");
    run(&mut app, &["INSERT INTO orders SELECT seq FROM seq_1_to_20000"]).await.expect("the source goes on");
    until("the replica receives nothing", async || stage.rds.replica_lag().await.iter().all(|lag| lag.2 == -1.0).then_some(())).await;
    stage.rds.set_disk_full(STANDBY, "orders-west", false).await.expect("room");
    assert_eq!(status(&instance(&stage.standby, "orders-west").await), "available");
    stage.arrived(STANDBY, "orders-west", 20001).await;

    stage.rds.set_disk_full(PRIMARY, "orders", true).await.expect("full");
    let more = run(&mut app, &["INSERT INTO orders SELECT seq FROM seq_20001_to_40000"]);
    assert!(!matches!(tokio::time::timeout(Duration::from_secs(5), more).await, Ok(Ok(()))), "nothing more fits");
    stage.rds.set_disk_full(PRIMARY, "orders", false).await.expect("room");
    assert_eq!(stage.count(PRIMARY, "orders").await, 20001, "nothing was lost, and nothing half written");
    stage.end().await;
}

async fn take(client: &aws_sdk_rds::Client, of: &str, id: &str) {
    client.create_db_snapshot().db_instance_identifier(of).db_snapshot_identifier(id).send().await.expect("accepted");
    until(&format!("{id} is taken"), async || {
        let found = client.describe_db_snapshots().db_snapshot_identifier(id).send().await.expect("described");
        (found.db_snapshots()[0].status() == Some("available")).then_some(())
    })
    .await;
    wait_for(client, of, "available").await;
}

async fn restore(client: &aws_sdk_rds::Client, id: &str, from: &str) {
    client.restore_db_instance_from_db_snapshot().db_instance_identifier(id).db_snapshot_identifier(from).send().await.expect("accepted");
    wait_for(client, id, "available").await;
}
