//! A replica of a real MariaDB and a copy of it, compared while their source is written to.
#![cfg(feature = "login")]

#[path = "mysql_login/server.rs"]
#[allow(dead_code, reason = "shared with the tests of logins")]
mod server;

use std::time::Duration;

use relight::login::MyLogin;
use relight::ports::{Compared, Difference, Login};
use relight::secret::SecretValue;
use server::Server;

const SHOP: &str = "create table shop.orders (id int auto_increment primary key, note varchar(20), amount decimal(9, 2), made timestamp(6) null); \
                    create table shop.lines (id int, at int, body blob, primary key (id, at)); create table shop.log (line text); \
                    create table shop.old (id int primary key) engine = Aria";

fn login() -> MyLogin {
    MyLogin::trusting(None)
}

/// A writer, its replica, and a replica of that.
async fn three() -> Option<(Server, Server, Server)> {
    let writer = Server::start(&["--log-bin", "--server-id=1"]).await?;
    let replica = Server::start(&["--log-bin", "--log-slave-updates", "--server-id=2", "--read-only"]).await?;
    let copy = Server::start(&["--server-id=3", "--read-only"]).await?;
    replica.follow(&writer).await;
    copy.follow(&replica).await;
    writer.sql(SHOP).await;
    Some((writer, replica, copy))
}

async fn until(server: &Server, question: &str, answer: &str) {
    for _ in 0..500 {
        if server.ask(question).await == answer {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{question} never came to {answer}");
}

async fn arrived(server: &Server) {
    until(server, "select count(*) from information_schema.tables where table_schema = 'shop'", "4").await;
}

async fn compared(one: &SecretValue, other: &SecretValue) -> Compared {
    let tables = login().tables(one, &[]).await.expect("tables").compared;
    assert_eq!(tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["`shop`.`lines`", "`shop`.`orders`"]);
    login().compare(one, other, &tables).await.expect("compared")
}

#[tokio::test]
async fn a_copy_equals_its_replica_while_the_source_goes_on_writing_and_a_row_that_it_lacks_is_found() {
    let Some((writer, replica, copy)) = three().await else { return };
    arrived(&copy).await;
    let ends = tokio::sync::Notify::new();
    let writing = async {
        let mut row = 0;
        loop {
            row += 1;
            let statements = format!(
                "insert into shop.orders (note, amount, made) values ('it is {row}', {row}.5, now(6)), (null, null, null); \
                 insert into shop.lines values ({row}, 1, x'00ff{:02x}')",
                row % 256
            );
            tokio::select! {
                () = writer.sql(&statements) => {}
                () = ends.notified() => return row,
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let comparing = async {
        until(&copy, "select count(*) > 10 from shop.orders", "1").await;
        let seen = compared(&replica.admin(), &copy.admin()).await;
        ends.notify_one();
        seen
    };
    let (written, seen) = tokio::join!(writing, comparing);
    let Compared::Equal { at, tables, rows } = seen else { panic!("{seen:?}") };
    assert!(at.starts_with("transaction 0-") && tables == 2 && rows > 10 && written > 5, "{at} {tables} {rows}");

    copy.sql("set sql_log_bin = 0").await;
    copy.sql("delete from shop.lines where id = 1; update shop.orders set note = 'other' where id = 1").await;
    let Compared::Differing { tables, .. } = compared(&replica.admin(), &copy.admin()).await else { panic!("a row is gone") };
    let lines = tables.iter().find(|table| table.table == "`shop`.`lines`").expect("it differs");
    assert_eq!(lines.here, lines.there + 1);
    let orders = tables.iter().find(|table| table.table == "`shop`.`orders`").expect("it differs");
    assert_eq!(*orders, Difference { table: orders.table.clone(), here: orders.there, there: orders.there });
}

#[tokio::test]
async fn tables_without_a_key_a_snapshot_or_a_place_are_named_with_the_reason() {
    let Some(server) = Server::start(&[]).await else { return };
    server.sql(SHOP).await;
    login().prove_writable(&server.admin()).await.expect("a table of Relight's own");
    let all = login().tables(&server.admin(), &[]).await.expect("tables");
    let reasons: Vec<_> = all.left_out.iter().map(|(table, why)| (table.as_str(), why.as_str())).collect();
    assert!(
        matches!(reasons[..], [("shop.log", no_key), ("shop.old", aria)] if no_key.contains("primary key") && aria.contains("InnoDB")),
        "{reasons:?}"
    );
    let keys: Vec<_> = all.compared.iter().map(|table| table.key.join(",")).collect();
    assert_eq!(keys, ["id,at", "id"]);
    let named = login().tables(&server.admin(), &["shop.orders".to_owned(), "shop.gone".to_owned()]).await.expect("tables");
    assert_eq!((named.compared.len(), named.left_out.len()), (1, 1));
    assert!(named.left_out[0].1.contains("not in this server"), "{:?}", named.left_out);
}
