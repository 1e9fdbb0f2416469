//! What the way home asks of a real MariaDB: whether writes are closed, how far its replica is, and which rows were left behind.
#![cfg(feature = "login")]

#[path = "mysql_login/server.rs"]
#[allow(dead_code, reason = "shared with the tests of logins")]
mod server;

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use relight::login::MyLogin;
use relight::ports::{Compared, LeftRows, Login, LoginError, Table};
use relight::secret::SecretValue;
use serde_json::{Value, json};
use server::Server;

/// As AWS documents them for the master user of RDS for MariaDB, as far as they matter here.
const MASTER: &str = "create user master@'%' identified by 'master'; \
    grant select, insert, update, delete, create, drop, reload, process, replication client, replication slave, execute on *.* to master@'%'";
/// RDS's own user may do everything, and writes nothing of the workload.
const RDS: &str = "create user rdsadmin@'%' identified by 'rdsadmin'; grant all privileges on *.* to rdsadmin@'%' with grant option";
/// As RDS has it, with the rights of who made it.
const PROCEDURE: &str = "create procedure mysql.rds_replica_status() sql security definer show replica status";

fn login() -> MyLogin {
    MyLogin::trusting(None)
}

fn master(server: &Server) -> SecretValue {
    server.secret("master", "master")
}

/// Statements of RDS itself.
async fn as_rds(server: &Server, statements: &[&str]) {
    let opts = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(server.port).prefer_socket(false);
    let mut session = Conn::new(opts.user(Some("rdsadmin")).pass(Some("rdsadmin"))).await.expect("RDS logs in");
    for statement in statements {
        session.query_drop(*statement).await.expect("the statement");
    }
    session.disconnect().await.expect("the session ends");
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

/// A writer and its replica, with RDS's users.
async fn two() -> Option<(Server, Server)> {
    let writer = Server::start(&["--log-bin", "--server-id=1"]).await?;
    let replica = Server::start(&["--log-bin", "--log-slave-updates", "--server-id=2", "--read-only"]).await?;
    replica.follow(&writer).await;
    writer.sql(&format!("{MASTER}; {RDS}; create table shop.orders (id int auto_increment primary key, note varchar(20))")).await;
    until("the users at the replica", async || login().login(&master(&replica)).await.is_ok()).await;
    Some((writer, replica))
}

#[tokio::test]
async fn writes_count_as_closed_when_nobody_may_write_and_nothing_can_still_be_committed() {
    let Some(server) = Server::start(&["--log-bin"]).await else { return };
    server.sql(&format!("{MASTER}; {RDS}; create table shop.orders (id int primary key)")).await;
    as_rds(&server, &[PROCEDURE]).await;
    let master = master(&server);
    let refused = login().close_writes(&master).await.expect_err("open");
    assert!(matches!(refused, LoginError::TakesWrites { .. }) && refused.passes(), "{refused}");
    login().open_writes(&master).await.expect("they are open");

    as_rds(&server, &["xa start 'left'", "insert into shop.orders values (1)", "xa end 'left'", "xa prepare 'left'"]).await;
    as_rds(&server, &["set global read_only = 1"]).await;
    let refused = login().close_writes(&master).await.expect_err("an admin with every right");
    assert!(refused.to_string().contains("a user may write although read_only is on"), "{refused}");
    as_rds(&server, &["revoke super, read_only admin on *.* from admin@'%'"]).await;
    let refused = login().close_writes(&master).await.expect_err("a prepared transaction");
    assert!(refused.to_string().contains("`xa commit` or `xa rollback`"), "{refused}");
    as_rds(&server, &["xa rollback 'left'"]).await;

    let last = login().close_writes(&master).await.expect("closed");
    assert_eq!(login().close_writes(&master).await, Ok(last), "done again it changes nothing");
    assert_eq!(login().position(&master).await.expect("a position").replayed, last);
    assert!(matches!(login().prove_writable(&master).await, Err(LoginError::ReadOnly { .. })));
    let refused = login().open_writes(&master).await.expect_err("still closed");
    assert!(refused.passes() && refused.to_string().contains("read_only is still on"), "{refused}");
    as_rds(&server, &["set global read_only = 0"]).await;
    login().open_writes(&master).await.expect("open");
}

#[tokio::test]
async fn a_replica_says_how_far_it_is_in_its_writers_log_also_from_one_file_to_the_next() {
    let Some((writer, replica)) = two().await else { return };
    let (here, there) = (master(&writer), master(&replica));
    let untold = login().position(&there).await.expect_err("it may not ask");
    assert!(untold.to_string().contains("mysql.rds_replica_status"), "{untold}");
    as_rds(&writer, &[PROCEDURE]).await;
    until("the log's end", async || login().behind(&here, &there).await == Ok(0)).await;
    let (end, seen) = (login().position(&here).await.expect("a position"), login().position(&there).await.expect("a position"));
    assert_eq!((end.in_recovery, seen.in_recovery, seen.received, seen.replayed), (false, true, end.replayed, end.replayed));

    as_rds(&replica, &["stop slave"]).await;
    for _ in 0..3 {
        writer.sql("insert into shop.orders (note) values ('left on its way')").await;
        writer.sql("flush binary logs").await;
    }
    let behind = login().behind(&here, &there).await.expect("a lag");
    assert!((500..10_000).contains(&behind), "{behind} bytes are three rows and four heads of files");
    as_rds(&replica, &["start slave"]).await;
    until("the log's end", async || login().behind(&here, &there).await == Ok(0)).await;
    assert!(login().position(&there).await.expect("a position").replayed > end.replayed);
}

#[tokio::test]
async fn a_writer_equals_its_replica_while_it_is_written_to_and_when_it_is_closed() {
    let Some((writer, replica)) = two().await else { return };
    as_rds(&writer, &[PROCEDURE]).await;
    let (here, there) = (master(&writer), master(&replica));
    let tables = login().tables(&here, &[]).await.expect("tables").compared;
    let ends = tokio::sync::Notify::new();
    let writing = async {
        loop {
            tokio::select! {
                () = writer.sql("insert into shop.orders (note) values ('more')") => {}
                () = ends.notified() => return,
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let comparing = async {
        until("some rows", async || replica.ask("select count(*) > 5 from shop.orders").await == "1").await;
        let seen = login().compare(&here, &there, &tables).await.expect("compared");
        ends.notify_one();
        seen
    };
    let ((), seen) = tokio::join!(writing, comparing);
    assert!(matches!(&seen, Compared::Equal { at, rows, .. } if at.starts_with("transaction 0-") && *rows > 5), "{seen:?}");

    as_rds(&writer, &["set global read_only = 1"]).await;
    // A replica that knows no transaction of its source, as one that was restored from its snapshot.
    until("the log's end", async || login().behind(&here, &there).await == Ok(0)).await;
    as_rds(&replica, &["stop slave", "set global gtid_slave_pos = ''"]).await;
    let seen = login().compare(&here, &there, &tables).await.expect("compared");
    assert!(matches!(&seen, Compared::Equal { at, .. } if !at.contains("transaction")), "{seen:?}");
    as_rds(&replica, &["set sql_log_bin = 0", "delete from shop.orders where id = 1"]).await;
    let seen = login().compare(&here, &there, &tables).await.expect("compared");
    assert!(matches!(&seen, Compared::Differing { tables, .. } if tables[0].here == tables[0].there + 1), "{seen:?}");
}

/// A table's rows, each as its line.
async fn left(old: &Server, serving: &Server, table: &Table) -> (LeftRows, Vec<Value>) {
    let found = login().left_behind(&old.admin(), &serving.admin(), table).await.expect("rows");
    let lines = found.lines.iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    (found, lines)
}

#[tokio::test]
async fn rows_that_the_serving_database_lacks_or_has_otherwise_are_found_with_both_of_them() {
    let (Some(old), Some(serving)) = tokio::join!(Server::start(&[]), Server::start(&[])) else { return };
    // Two numbers that are one as a floating point number, a key of two columns, bytes, and text that quoting can get wrong.
    const BOTH: &str = "create table shop.orders (id bigint primary key, note varchar(40), amount decimal(9, 2), made timestamp(6) null); \
        insert into shop.orders values (9007199254740992, 'same', 1.50, null), (1, 'it''s \"quoted\" \\\\', 0, '2026-01-05 00:00:01.5'); \
        create table shop.lines (at varchar(20), n int, body blob, primary key (at, n)); insert into shop.lines values ('a', 1, x'00ff'), ('a', 2, x'01')";
    old.sql(BOTH).await;
    serving.sql(BOTH).await;
    old.sql("insert into shop.orders values (9007199254740993, 'lost', 2.25, null); update shop.lines set body = x'0102' where n = 2").await;
    old.sql("create table shop.gone (id int primary key); insert into shop.gone values (7)").await;
    serving.sql("update shop.orders set note = 'shipped' where id = 1; insert into shop.orders values (5, 'new', 1, null)").await;
    let tables = login().tables(&old.admin(), &[]).await.expect("tables").compared;
    let table = |name: &str| tables.iter().find(|table| table.name.contains(name)).expect("a table").clone();

    let (orders, lines) = left(&old, &serving, &table("orders")).await;
    assert_eq!((orders.seen, orders.missing, orders.differing), (3, 1, 1), "{lines:#?}");
    let lost = lines.iter().find(|line| line["kind"] == "missing").expect("the row that was lost");
    assert_eq!(
        (lost["left"]["id"].to_string().as_str(), &lost["left"]["note"], &lost["serving"]),
        ("9007199254740993", &json!("lost"), &Value::Null)
    );
    let other = lines.iter().find(|line| line["kind"] == "differing").expect("the row that is another");
    assert_eq!((&other["left"]["note"], &other["serving"]["note"]), (&json!("it's \"quoted\" \\"), &json!("shipped")));

    let (bytes, lines) = left(&old, &serving, &table("lines")).await;
    assert_eq!((bytes.seen, bytes.missing, bytes.differing), (2, 0, 1));
    assert_eq!((&lines[0]["left"]["body"], &lines[0]["serving"]["body"]), (&json!("0102"), &json!("01")));

    let (gone, lines) = left(&old, &serving, &table("gone")).await;
    assert_eq!((gone.missing, gone.differing, &lines[0]["left"]["id"]), (1, 0, &json!(7)), "the serving database has no such table");
    assert!(!old.log().contains("update shop.orders set note = 'shipped'") && !serving.log().contains("xa "), "neither was changed");
}

#[tokio::test]
async fn a_table_of_many_batches_is_read_to_its_end() {
    let (Some(old), Some(serving)) = tokio::join!(Server::start(&[]), Server::start(&[])) else { return };
    const MANY: &str = "create table shop.orders (id int primary key, note varchar(40)); \
        insert into shop.orders select seq, concat('order ', seq) from shop.seq_1_to_3500";
    old.sql(MANY).await;
    serving.sql(MANY).await;
    serving.sql("delete from shop.orders where id in (1, 1000, 1001, 3500); update shop.orders set note = 'x' where id between 2000 and 2149").await;
    let table = Table { name: "`shop`.`orders`".to_owned(), key: vec!["id".to_owned()] };
    let (found, _) = left(&old, &serving, &table).await;
    assert_eq!((found.seen, found.missing, found.differing, found.lines.len()), (3500, 4, 150, 154));
}
