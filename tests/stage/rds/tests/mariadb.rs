//! Instances of MariaDB: real servers, who may do what on them, and how one follows another.

mod common;

use common::mariadb::{run, session, value};
use common::*;
use mysql_async::SslOpts;
use stage_rds::{Darkness, PromotionFault};
use std::time::{Duration, Instant};

#[tokio::test]
async fn instance_of_mariadb_takes_logins_with_tls_and_without() {
    let Some(stage) = Stage::with_mariadb("login").await else { return };
    let made = instance(&stage.primary, "orders").await;
    assert_eq!(made.engine(), Some("mariadb"));
    let server = stage.rds.sql(PRIMARY, "orders", "mysql", "SELECT VERSION()").await.expect("an answer")[0][0].clone().expect("a version");
    let version = made.engine_version().expect("a version");
    assert!(server.starts_with(&format!("{version}-MariaDB")), "{version} {server}");
    let series = version.rsplit_once('.').expect("three numbers").0;
    assert_eq!(made.db_parameter_groups()[0].db_parameter_group_name(), Some(format!("default.mariadb{series}").as_str()));

    let cipher = "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER'";
    let mut plain = stage.session(PRIMARY, "orders").await.expect("plaintext");
    assert_eq!(value(&mut plain, cipher).await, "");
    let at = stage.rds.endpoint(PRIMARY, "orders").expect("an endpoint");
    let trusted = SslOpts::default().with_root_certs(vec![stage.rds.ca_file().expect("a CA").into()]);
    let mut encrypted = session(at, "app", PASSWORD, Some(trusted)).await.expect("TLS");
    assert_ne!(value(&mut encrypted, cipher).await, "");
    assert!(session(at, "app", PASSWORD, Some(SslOpts::default())).await.is_err(), "nobody trusts the CA who was not given it");
    assert!(session(at, "app", "another-password", None).await.expect_err("refused").contains("Access denied"));
    stage.end().await;
}

#[tokio::test]
async fn replica_receives_late_what_the_link_delays_and_takes_no_write() {
    let Some(stage) = Stage::with_mariadb_replica("replica").await else { return };
    let replica = instance(&stage.standby, "orders-west").await;
    assert_eq!(replica.engine(), Some("mariadb"));
    assert_eq!(replica.read_replica_source_db_instance_identifier(), Some(arn(PRIMARY, "orders").as_str()));
    assert_eq!(replica.status_infos()[0].status(), Some("replicating"));
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY)", "INSERT INTO orders VALUES (), ()"]).await.expect("rows");
    stage.arrived(STANDBY, "orders-west", 2).await;
    assert_eq!(stage.lag().await, 0.0, "an idle source leaves nobody behind");

    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(2));
    let began = Instant::now();
    run(&mut app, &["INSERT INTO orders VALUES ()"]).await.expect("a row");
    assert_eq!(stage.count(STANDBY, "orders-west").await, 2);
    stage.arrived(STANDBY, "orders-west", 3).await;
    assert!(began.elapsed() >= Duration::from_millis(1900), "{:?}", began.elapsed());
    stage.rds.set_delay(STANDBY, "orders-west", Duration::ZERO);

    let mut reader = stage.session(STANDBY, "orders-west").await.expect("the same password");
    let refused = run(&mut reader, &["INSERT INTO orders VALUES ()"]).await.expect_err("refused");
    assert!(refused.contains("ERROR 1290 (HY000)") && refused.contains("--read-only"), "{refused}");

    // A reader that holds the table keeps what arrives from being applied.
    run(&mut reader, &["LOCK TABLES orders READ"]).await.expect("a lock");
    run(&mut app, &["INSERT INTO orders VALUES ()"]).await.expect("a row");
    until("the replica is 2 s behind", async || (stage.lag().await >= 2.0).then_some(())).await;
    run(&mut reader, &["UNLOCK TABLES"]).await.expect("unlocked");
    stage.arrived(STANDBY, "orders-west", 4).await;
    until("it has caught up", async || (stage.lag().await == 0.0).then_some(())).await;
    stage.end().await;
}

#[tokio::test]
async fn killed_source_loses_what_was_on_its_way_and_the_promoted_replica_has_all_else() {
    let Some(stage) = Stage::with_mariadb_replica("failover").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders SELECT seq FROM seq_1_to_100"]).await.expect("rows");
    stage.arrived(STANDBY, "orders-west", 100).await;

    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(1));
    let writing = tokio::spawn(async move {
        let mut answered = 100;
        while run(&mut app, &[&format!("INSERT INTO orders VALUES ({})", answered + 1)]).await.is_ok() {
            answered += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answered
    });
    tokio::time::sleep(Duration::from_millis(2500)).await;
    stage.rds.kill(PRIMARY, "orders").await.expect("kill");
    let answered: i64 = writing.await.expect("it ends with its session");
    let received = stage.count(STANDBY, "orders-west").await;
    until("the replica sees that nothing comes", async || (stage.lag().await == -1.0).then_some(())).await;
    assert_eq!(instance(&stage.standby, "orders-west").await.status_infos()[0].status(), Some("error"));

    let seen = promote_and_watch(&stage).await;
    assert_eq!(seen, ["available", "modifying", "rebooting", "available"]);
    let kept = stage.count(STANDBY, "orders-west").await;
    stage.rds.start_server(PRIMARY, "orders").await.expect("started, for the count");
    let written = stage.count(PRIMARY, "orders").await;
    assert!(written == answered || written == answered + 1, "a commit that was answered is there, and one may be that was not: {written} {answered}");
    assert!(kept >= received && kept < written, "{received} received, {kept} kept, {written} written");
    let newest =
        stage.rds.sql(STANDBY, "orders-west", "shop", "SELECT MAX(id) FROM orders").await.expect("an answer")[0][0].clone().expect("a number");
    assert_eq!(newest, kept.to_string(), "nothing is missing before the newest row that it has");

    let mut app = stage.session(STANDBY, "orders-west").await.expect("the same password works on the promoted replica");
    run(&mut app, &["INSERT INTO orders VALUES (1000000)"]).await.expect("it takes writes");
    let promoted = instance(&stage.standby, "orders-west").await;
    assert!(promoted.status_infos().is_empty());
    assert_eq!(promoted.backup_retention_period(), Some(1));
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
        let read_only = stage.rds.sql(STANDBY, "orders-west", "mysql", "SELECT @@read_only").await;
        if now.read_replica_source_db_instance_identifier().is_none() {
            assert_eq!(read_only.expect("it answers")[0][0].as_deref(), Some("0"), "no source, so really a writer");
            return seen;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the promotion never ended: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn promotion_is_refused_fails_or_happens_without_an_answer_as_asked() {
    let Some(stage) = Stage::with_mariadb_replica("promotion").await else { return };
    let promote = || stage.standby.promote_read_replica().db_instance_identifier("orders-west").send();
    let set = |fault| stage.rds.set_promotion_fault(STANDBY, "orders-west", fault);
    let is_replica = async || instance(&stage.standby, "orders-west").await.read_replica_source_db_instance_identifier().is_some();

    set(Some(PromotionFault::Refused));
    assert_eq!(refusal(promote().await), ("InvalidDBInstanceState".to_owned(), 400));

    set(Some(PromotionFault::Fails));
    promote().await.expect("accepted");
    wait_for(&stage.standby, "orders-west", "modifying").await;
    wait_for(&stage.standby, "orders-west", "available").await;
    assert!(is_replica().await);
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;

    set(Some(PromotionFault::AnswerLost));
    assert_eq!(refusal(promote().await), ("InternalFailure".to_owned(), 500));
    until("it was promoted all the same", async || (!is_replica().await).then_some(())).await;
    let again = promote().await;
    assert_eq!(refusal(again), ("InvalidDBInstanceState".to_owned(), 400), "a writer is promoted no more");
    run(&mut app, &["INSERT INTO orders VALUES (2)"]).await.expect("the source goes on by itself");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.count(STANDBY, "orders-west").await, 1);
    stage.end().await;
}

#[tokio::test]
async fn promotion_waits_until_what_was_received_is_applied() {
    let Some(stage) = Stage::with_mariadb_replica("applies").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)"]).await.expect("a table");
    stage.arrived(STANDBY, "orders-west", 0).await;
    let mut reader = stage.session(STANDBY, "orders-west").await.expect("login");
    run(&mut reader, &["LOCK TABLES orders READ"]).await.expect("a lock");
    run(&mut app, &["INSERT INTO orders SELECT seq FROM seq_1_to_50"]).await.expect("rows");
    until("it is behind", async || (stage.lag().await >= 1.0).then_some(())).await;
    stage.rds.kill(PRIMARY, "orders").await.expect("kill");

    stage.standby.promote_read_replica().db_instance_identifier("orders-west").send().await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&instance(&stage.standby, "orders-west").await), "modifying", "it waits");
    run(&mut reader, &["UNLOCK TABLES"]).await.expect("unlocked");
    until("it is promoted", async || {
        let now = instance(&stage.standby, "orders-west").await;
        now.read_replica_source_db_instance_identifier().is_none().then_some(())
    })
    .await;
    assert_eq!(stage.count(STANDBY, "orders-west").await, 50, "nothing that had arrived is lost");
    stage.rds.start_server(PRIMARY, "orders").await.expect("started");
    stage.end().await;
}

#[tokio::test]
async fn region_that_goes_dark_leaves_its_replica_without_a_word_until_it_gives_up() {
    let Some(stage) = Stage::with_mariadb_replica("dark").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;

    stage.rds.dark(PRIMARY, Darkness::Silent).await;
    assert_eq!(stage.session(PRIMARY, "orders").await.expect_err("no login"), "timed out");
    stage.rds.sql(PRIMARY, "orders", "shop", "INSERT INTO orders VALUES (2)").await.expect("the server itself lives");
    assert_eq!(stage.lag().await, 0.0, "the replica knows nothing of it yet");
    until("the replica sees that nothing comes", async || (stage.lag().await == -1.0).then_some(())).await;
    assert_eq!(instance(&stage.standby, "orders-west").await.status_infos()[0].status(), Some("error"));
    stage.rds.restore(PRIMARY).await.expect("restored");
    stage.arrived(STANDBY, "orders-west", 2).await;

    stage.rds.set_delay(STANDBY, "orders-west", Duration::from_secs(1));
    run(&mut stage.session(PRIMARY, "orders").await.expect("login"), &["INSERT INTO orders VALUES (3)"]).await.expect("too late");
    stage.rds.dark(PRIMARY, Darkness::Killed).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(stage.count(STANDBY, "orders-west").await, 2, "what was in flight never arrives");
    assert_eq!(promote_and_watch(&stage).await.last().map(String::as_str), Some("available"));
    let mut app = stage.session(STANDBY, "orders-west").await.expect("login");
    run(&mut app, &["INSERT INTO orders VALUES (4)"]).await.expect("the promoted replica takes writes");
    stage.rds.start_server(PRIMARY, "orders").await.expect("started in the dark, for the count");
    assert_eq!(stage.count(PRIMARY, "orders").await, 3);
    stage.end().await;
}

#[tokio::test]
async fn quarantine_refuses_new_sessions_and_leaves_open_ones() {
    let Some(stage) = Stage::with_mariadb("quarantine").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    stage.rds.add_quarantine_group("sg-quarantine", &[]);
    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders");
    modify.clone().vpc_security_group_ids("sg-quarantine").send().await.expect("fenced");
    assert!(stage.session(PRIMARY, "orders").await.is_err(), "no new session");
    run(&mut app, &["DO 1"]).await.expect("a tracked connection stays");
    modify.vpc_security_group_ids("sg-application").send().await.expect("released");
    stage.session(PRIMARY, "orders").await.expect("login");
    stage.end().await;
}

#[tokio::test]
async fn replica_of_a_replica_gets_the_rows_and_is_promoted_alone() {
    let Some(stage) = Stage::with_mariadb_replica("chain").await else { return };
    let mut app = stage.session(PRIMARY, "orders").await.expect("login");
    run(&mut app, &["CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;
    let without_backups = stage.standby.create_db_instance_read_replica().db_instance_identifier("rehearsal");
    let refused = without_backups.source_db_instance_identifier("orders-west").send().await;
    assert_eq!(refusal(refused), ("InvalidDBInstanceState".to_owned(), 400));
    let modify = stage.standby.modify_db_instance().db_instance_identifier("orders-west").backup_retention_period(1).apply_immediately(true);
    modify.send().await.expect("backups on");
    until("backups are on", async || {
        let now = instance(&stage.standby, "orders-west").await;
        (status(&now) == "available" && now.backup_retention_period() == Some(1)).then_some(())
    })
    .await;

    let create = stage.standby.create_db_instance_read_replica().db_instance_identifier("rehearsal");
    let create = create.source_db_instance_identifier("orders-west").db_parameter_group_name("tuned").vpc_security_group_ids("sg-rehearsal");
    create.send().await.expect("this engine's replicas may name a parameter group");
    let copy = wait_for(&stage.standby, "rehearsal", "available").await;
    assert_eq!(copy.read_replica_source_db_instance_identifier(), Some("orders-west"), "a plain name within a Region");
    assert_eq!(copy.db_parameter_groups()[0].db_parameter_group_name(), Some("tuned"));
    assert_eq!(copy.status_infos()[0].status(), Some("replicating"));
    run(&mut app, &["INSERT INTO orders VALUES (2)"]).await.expect("a row");
    stage.arrived(STANDBY, "rehearsal", 2).await;

    wait_for(&stage.standby, "orders-west", "available").await;
    stage.standby.promote_read_replica().db_instance_identifier("rehearsal").send().await.expect("accepted");
    until("the copy is a writer", async || {
        let copy = instance(&stage.standby, "rehearsal").await;
        copy.read_replica_source_db_instance_identifier().is_none().then_some(())
    })
    .await;
    let mut drill = stage.session(STANDBY, "rehearsal").await.expect("login");
    run(&mut drill, &["INSERT INTO orders VALUES (100)"]).await.expect("the copy takes writes");
    run(&mut app, &["INSERT INTO orders VALUES (3)"]).await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 3).await;
    assert_eq!(stage.count(STANDBY, "rehearsal").await, 3, "two that came and its own");
    stage.end().await;
}
