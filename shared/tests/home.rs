//! What the way home asks of real servers: positions of the log, writes closed and opened by an admin who is no superuser, rows that only the
//! old writer has, and a replica compared with its writer.
#![cfg(feature = "login")]

#[path = "login/server.rs"]
#[allow(dead_code, reason = "shared with the tests of logins")]
mod server;

use std::time::Duration;

use relight::login::PgLogin;
use relight::ports::{Compared, LeftRows, Login, LoginError, Lsn, Table};
use relight::secret::SecretValue;
use serde_json::{Value, json};
use server::{ADMIN, ADMIN_PASSWORD, Server, secret_at};
use tokio_postgres::{Client, NoTls};

const PASSWORD: &str = "right";

fn login() -> PgLogin {
    PgLogin::trusting(None)
}

/// The database `shop` and its owner, with the rights that Amazon RDS gives to a master user.
async fn shop(server: &Server) -> SecretValue {
    server.sql("create role master login createdb createrole password 'right'").await;
    server.sql("grant pg_monitor, pg_signal_backend to master").await;
    server.sql("create database shop owner master").await;
    server.sql("create role app login password 'right'; grant app to master").await;
    as_user(server, "master")
}

fn as_user(server: &Server, user: &str) -> SecretValue {
    secret_at(server.port, user, PASSWORD, json!({ "dbname": "shop" }))
}

/// A session of the application's, kept.
async fn session(server: &Server, user: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    let password = if user == ADMIN { ADMIN_PASSWORD } else { PASSWORD };
    config.host("127.0.0.1").port(server.port).user(user).password(password).dbname("shop");
    let (client, connection) = config.connect(NoTls).await.expect("a login");
    tokio::spawn(connection);
    client
}

async fn run(server: &Server, statements: &str) {
    session(server, ADMIN).await.batch_execute(statements).await.expect("the statements");
}

/// Waits until the replica has replayed everything.
async fn caught_up(writer: &Server, replica: &Server) {
    let end = login().position(&writer.admin()).await.expect("a position").replayed;
    for _ in 0..200 {
        if login().position(&replica.admin()).await.expect("a position").replayed >= end {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the replica never reached {end}");
}

fn table(name: &str, key: &[&str]) -> Table {
    Table { name: name.to_owned(), key: key.iter().map(|column| (*column).to_owned()).collect() }
}

#[tokio::test]
async fn a_replica_says_what_it_received_and_replayed_and_reaches_its_writer() {
    let writer = Server::start(&[]).expect("PostgreSQL starts");
    let replica = writer.replica();
    writer.sql("create table t (id int)").await;
    caught_up(&writer, &replica).await;
    let (at_writer, at_replica) =
        (login().position(&writer.admin()).await.expect("a position"), login().position(&replica.admin()).await.expect("a position"));
    assert!(!at_writer.in_recovery && at_writer.received == at_writer.replayed, "{at_writer:?}");
    assert!(at_replica.in_recovery && at_replica.received >= at_replica.replayed, "{at_replica:?}");
    assert_eq!(at_writer.replayed.to_string(), writer.ask("select pg_current_wal_lsn()::text").await);

    replica.sql("select pg_wal_replay_pause()").await;
    writer.sql("insert into t select generate_series(1, 1000)").await;
    let end = login().position(&writer.admin()).await.expect("a position").replayed;
    let mut behind = login().position(&replica.admin()).await.expect("a position");
    for _ in 0..200 {
        if behind.received >= end {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        behind = login().position(&replica.admin()).await.expect("a position");
    }
    assert!(behind.received >= end && behind.replayed < end, "received and not replayed: {behind:?}, {end}");
}

#[tokio::test]
async fn an_admin_who_is_no_superuser_closes_writes_and_opens_them_again() {
    let server = Server::start(&[]).expect("PostgreSQL starts");
    let admin = shop(&server).await;
    let app = session(&server, "app").await;
    run(&server, "create table orders (id int primary key); grant all on orders to app").await;
    app.batch_execute("begin; insert into orders values (1)").await.expect("a write under way");

    let end = login().close_writes(&admin).await.expect("closed");
    assert!(app.batch_execute("commit").await.is_err(), "the session with its write is ended");
    let again = session(&server, "app").await;
    let refused = again.batch_execute("insert into orders values (2)").await.expect_err("read-only");
    assert_eq!(refused.code().map(|code| code.code()), Some("25006"));
    again.query("select * from orders", &[]).await.expect("reads go on");
    let proof = login().prove_writable(&as_user(&server, "app")).await;
    assert!(matches!(proof, Err(LoginError::ReadOnly { .. })), "{proof:?}");
    let position = login().position(&admin).await.expect("a position").replayed;
    assert!(end <= position, "{end} {position}");
    let later = login().close_writes(&admin).await.expect("closed again");
    assert!(later >= end);

    let met_it = session(&server, "app").await;
    login().open_writes(&admin).await.expect("opened");
    assert!(met_it.batch_execute("select 1").await.is_err(), "a pool keeps no session that stays read-only");
    let app = session(&server, "app").await;
    app.batch_execute("insert into orders values (3)").await.expect("writes are open");
    login().open_writes(&admin).await.expect("nothing to do");
    app.batch_execute("insert into orders values (4)").await.expect("the session goes on");
    assert_eq!(server.ask("select count(*)::text from pg_db_role_setting").await, "0", "nothing is left behind");
}

#[tokio::test]
async fn an_end_of_the_log_is_on_disk_where_commits_do_not_wait_for_it() {
    let server = Server::start(&["synchronous_commit = off", "wal_writer_delay = 2s"]).expect("PostgreSQL starts");
    let admin = shop(&server).await;
    run(&server, "create table orders (id int); insert into orders select generate_series(1, 100)").await;
    let end = login().close_writes(&admin).await.expect("closed");
    let on_disk: relight::ports::Lsn = server.ask("select pg_current_wal_flush_lsn()::text").await.parse().expect("a position");
    assert!(end <= on_disk, "{end} {on_disk}");
}

#[tokio::test]
async fn writes_that_cannot_be_closed_are_said_with_the_remedy() {
    let server = Server::start(&["max_prepared_transactions = 5"]).expect("PostgreSQL starts");
    let admin = shop(&server).await;
    let said = async |with: &SecretValue| login().close_writes(with).await.expect_err("refused").to_string();

    assert!(said(&as_user(&server, "app")).await.contains("owner of the database"), "not the owner");
    server.sql("alter role app set default_transaction_read_only to off").await;
    assert!(said(&admin).await.contains("alter role"), "a role of its own mind");
    server.sql("alter role app reset default_transaction_read_only").await;
    run(&server, "create table orders (id int); begin; insert into orders values (1); prepare transaction 'late'").await;
    assert!(said(&admin).await.contains("prepared transaction"));
    login().open_writes(&admin).await.expect("opened");

    server.sql("revoke pg_signal_backend from master; create role other login password 'right'").await;
    run(&server, "rollback prepared 'late'").await;
    let _open = session(&server, "other").await;
    assert!(said(&admin).await.contains("pg_signal_backend"), "sessions of a role that it is no member of");
    server.sql("grant pg_signal_backend to master").await;
    login().close_writes(&admin).await.expect("closed");
}

#[tokio::test]
async fn tables_with_a_key_are_compared_and_the_others_named_with_the_reason() {
    let server = Server::start(&[]).expect("PostgreSQL starts");
    let admin = shop(&server).await;
    run(
        &server,
        r#"create schema "Odd"; create table orders (id int primary key); create table lines (b text, a int, n int, primary key (a, b) include (n));
           create table log (id int); create unlogged table cache (id int primary key); create table "Odd"."it's" ("the id" int primary key);
           create table parted (id int primary key) partition by range (id); create table part1 partition of parted for values from (0) to (9);
           create table relight_marker (id int primary key); grant usage on schema "Odd" to master"#,
    )
    .await;
    let all = login().tables(&admin, &[]).await.expect("the tables");
    let names = [
        table("\"Odd\".\"it's\"", &["the id"]),
        table("public.lines", &["a", "b"]),
        table("public.orders", &["id"]),
        table("public.parted", &["id"]),
    ];
    assert_eq!(all.compared, names);
    let left_out: Vec<&str> = all.left_out.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left_out, ["public.cache", "public.log"]);
    assert!(all.left_out[0].1.contains("unlogged") && all.left_out[1].1.contains("primary key"), "{:?}", all.left_out);

    let named = ["public.orders", "Odd.it's", "public.part1", "public.log", "public.nowhere"].map(str::to_owned);
    let some = login().tables(&admin, &named).await.expect("the tables");
    assert_eq!(some.compared.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["\"Odd\".\"it's\"", "public.orders", "public.part1"]);
    assert_eq!(some.left_out.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["public.log", "public.nowhere"]);
}

/// The rows that `old` alone has, as JSON, in the order of their lines.
async fn left(old: &Server, serving: &Server, table: &Table) -> (LeftRows, Vec<Value>) {
    let left = login().left_behind(&old_admin(old), &old_admin(serving), table).await.expect("compared");
    let rows = left.lines.iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    (left, rows)
}

fn old_admin(server: &Server) -> SecretValue {
    secret_at(server.port, ADMIN, ADMIN_PASSWORD, json!({ "dbname": "shop" }))
}

#[tokio::test]
async fn rows_that_only_the_old_writer_has_are_told_from_those_that_differ_and_those_that_are_new() {
    let (old, serving) = (Server::start(&[]).expect("PostgreSQL starts"), Server::start(&[]).expect("PostgreSQL starts"));
    let made = r#"create table orders ("the id" int, region text, note jsonb, at timestamptz, amount float8, primary key (region, "the id"));
                  insert into orders select n, 'e''u', jsonb_build_object('n', n), '2026-01-05 00:05:11+00', n / 3.0 from generate_series(1, 5000) n"#;
    for server in [&old, &serving] {
        shop(server).await;
        run(server, made).await;
    }
    // Another order of text, another time zone and another way to write floats must not make other rows.
    run(&serving, "alter database shop set timezone to 'Asia/Tokyo'; alter database shop set extra_float_digits to 0; alter database shop set datestyle to 'SQL, DMY'").await;
    let orders = table("public.orders", &["region", "the id"]);
    let (none, _) = left(&old, &serving, &orders).await;
    assert_eq!((none.seen, none.missing, none.differing), (5000, 0, 0));

    run(&old, r#"insert into orders values (5001, 'e''u', '{"late": "ü\"x"}', null, 'NaN'), (1, 'us', null, null, 1.5)"#).await;
    run(&serving, r#"insert into orders values (6000, 'e''u', null, null, 1); update orders set note = '{"n": "new"}' where "the id" = 7"#).await;
    let (found, rows) = left(&old, &serving, &orders).await;
    assert_eq!((found.seen, found.missing, found.differing), (5002, 2, 1), "what only the serving one has is not left behind");
    let missing: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "missing").collect();
    assert_eq!(missing[0]["left"], json!({ "the id": 5001, "region": "e'u", "note": { "late": "ü\"x" }, "at": null, "amount": "NaN" }));
    assert_eq!((&missing[0]["serving"], &missing[0]["table"]), (&Value::Null, &json!("public.orders")));
    let differing: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "differing").collect();
    assert_eq!((&differing[0]["left"]["note"], &differing[0]["serving"]["note"]), (&json!({ "n": 7 }), &json!({ "n": "new" })));
    assert_eq!(old.ask("select pg_is_in_recovery()::text").await, "false");
}

#[tokio::test]
async fn a_migration_since_then_makes_no_other_rows_and_a_dropped_table_leaves_all_of_them() {
    let (old, serving) = (Server::start(&[]).expect("PostgreSQL starts"), Server::start(&[]).expect("PostgreSQL starts"));
    for server in [&old, &serving] {
        shop(server).await;
        run(server, "create table orders (id int primary key, a text, b text); insert into orders values (1, 'a', 'b')").await;
        run(server, "create table gone (id int primary key); insert into gone values (1), (2)").await;
    }
    run(&serving, "alter table orders drop column b; alter table orders add c int default 5; drop table gone").await;
    let (same, _) = left(&old, &serving, &table("public.orders", &["id"])).await;
    assert_eq!((same.missing, same.differing), (0, 0));
    let (gone, _) = left(&old, &serving, &table("public.gone", &["id"])).await;
    assert_eq!((gone.seen, gone.missing, gone.differing), (2, 2, 0));
}

#[tokio::test]
async fn tables_that_may_not_be_read_and_rows_that_are_too_many_are_said() {
    let (old, serving) = (Server::start(&[]).expect("PostgreSQL starts"), Server::start(&[]).expect("PostgreSQL starts"));
    for server in [&old, &serving] {
        shop(server).await;
        run(server, "create table orders (id int primary key, text text); create table hidden (id int primary key)").await;
        run(server, "grant select on orders to app; alter table orders enable row level security").await;
    }
    run(&old, "insert into orders select n, repeat('personal', 1000) from generate_series(1, 5000) n").await;
    let as_app = async |name: &str| {
        let asked = login().left_behind(&as_user(&old, "app"), &as_user(&serving, "app"), &table(name, &["id"])).await;
        asked.expect_err("refused").to_string()
    };
    assert!(as_app("public.hidden").await.contains("42501"));
    assert!(as_app("public.orders").await.contains("42501"), "row security would hide rows, and they would count as missing");
    let error = login().left_behind(&old_admin(&old), &old_admin(&serving), &table("public.orders", &["id"])).await.expect_err("too many");
    assert!(matches!(error, LoginError::TooManyRows { .. }) && error.to_string().contains("snapshot"), "{error}");
    assert!(!format!("{error} {error:?}").contains("personal"));
}

#[tokio::test]
async fn a_replica_is_equal_to_its_writer_while_writes_go_on_and_a_difference_is_named() {
    let writer = Server::start(&["max_standby_streaming_delay = -1"]).expect("PostgreSQL starts");
    let replica = writer.replica();
    let admin = shop(&writer).await;
    run(&writer, "create table orders (id serial primary key, note text); create table lines (id int primary key); grant all on all tables in schema public to app, master; grant usage on sequence orders_id_seq to app").await;
    let app = session(&writer, "app").await;
    let writing = tokio::spawn(async move {
        while app.batch_execute("insert into orders (note) select repeat('x', 50)").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let tables = login().tables(&admin, &[]).await.expect("the tables").compared;
    caught_up(&writer, &replica).await;
    let compared = login().compare(&admin, &as_user(&replica, "master"), &tables).await.expect("compared");
    let Compared::Equal { tables: count, rows, .. } = compared else { panic!("{compared:?}") };
    assert!(count == 2 && rows > 0, "{count} {rows}");

    let end = login().close_writes(&admin).await.expect("closed");
    writing.await.expect("the application was ended");
    let compared = login().compare(&admin, &as_user(&replica, "master"), &tables).await.expect("compared");
    assert!(matches!(&compared, Compared::Equal { at, .. } if at.parse().is_ok_and(|at: Lsn| at >= end)), "{compared:?} {end}");

    replica.promote();
    login().open_writes(&as_user(&replica, "master")).await.expect("the setting came with the data");
    run(&replica, "update orders set note = 'other' where id = 1; delete from orders where id = 2; insert into orders (id, note) values (2, 'x'); insert into lines values (1)").await;
    // Two databases of one history that diverged: both are idle, at whatever transaction.
    run(&writer, "begin read write; select txid_current(); commit").await;
    let (mut here, there) = (last(&writer).await, last(&replica).await);
    while here < there {
        run(&writer, "begin read write; select txid_current(); commit").await;
        here = last(&writer).await;
    }
    while last(&replica).await < here {
        run(&replica, "select txid_current()").await;
    }
    let compared = login().compare(&admin, &as_user(&replica, "master"), &tables).await.expect("compared");
    let Compared::Differing { tables, .. } = compared else { panic!("{compared:?}") };
    let said: Vec<String> = tables.iter().map(|table| table.between("at the writer", "at the replica")).collect();
    assert_eq!(said[0], "public.lines: 0 rows at the writer, 1 at the replica");
    assert!(said.len() == 2 && said[1].starts_with("public.orders: ") && said[1].ends_with(" rows on both sides, with different values"), "{said:?}");
}

async fn last(server: &Server) -> u64 {
    let snapshot = server.ask("select txid_current_snapshot()::text").await;
    snapshot.split(':').nth(1).and_then(|next| next.parse().ok()).expect("a transaction")
}

/// The second replica replays what the first one sends on.
#[tokio::test]
async fn two_that_replay_are_compared_while_their_source_writes_whichever_of_them_is_ahead() {
    let writer = Server::start(&["max_standby_streaming_delay = -1"]).expect("PostgreSQL starts");
    let admin = shop(&writer).await;
    run(&writer, "create table orders (id serial primary key, note text); grant all on all tables in schema public to app, master; grant usage on sequence orders_id_seq to app").await;
    let replica = writer.replica();
    let copy = replica.replica();
    let app = session(&writer, "app").await;
    let writing = tokio::spawn(async move {
        while app.batch_execute("insert into orders (note) select repeat('x', 50)").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    for server in [&replica, &copy] {
        caught_up(&writer, server).await;
    }
    let tables = login().tables(&as_user(&replica, "master"), &[]).await.expect("a replica lists its tables").compared;
    let both = (as_user(&replica, "master"), as_user(&copy, "master"));
    let compared = login().compare(&both.0, &both.1, &tables).await.expect("compared");
    assert!(matches!(compared, Compared::Equal { tables: 1, rows, .. } if rows > 0), "{compared:?}");

    // The copy gets what its source received, long before that one replays it.
    replica.sql("select pg_wal_replay_pause()").await;
    let again = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        replica.sql("select pg_wal_replay_resume()").await;
    };
    let login_there = login();
    let (compared, ()) = tokio::join!(login_there.compare(&both.0, &both.1, &tables), again);
    assert!(matches!(compared, Ok(Compared::Equal { .. })), "{compared:?}");

    let _end = login().close_writes(&admin).await.expect("closed");
    writing.await.expect("the application was ended");
    copy.promote();
    login().open_writes(&as_user(&copy, "master")).await.expect("the setting came with the data");
    run(&copy, "delete from orders where id = 1").await;
    while last(&writer).await < last(&copy).await {
        run(&writer, "begin read write; select txid_current(); commit").await;
    }
    while last(&copy).await < last(&writer).await {
        run(&copy, "select txid_current()").await;
    }
    caught_up(&writer, &replica).await;
    let compared = login().compare(&both.0, &both.1, &tables).await.expect("compared");
    let Compared::Differing { tables, .. } = compared else { panic!("{compared:?}") };
    assert_eq!((tables[0].table.as_str(), tables[0].here), ("public.orders", tables[0].there + 1));
}
