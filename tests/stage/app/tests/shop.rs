//! The application against a real PostgreSQL, with its credentials from a Secrets Manager that changes them.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;

use support::{Postgres, Secrets, Shop, free_port, http};

const FIRST: &str = "first-password";
const SECOND: &str = "second-password";
const NEVER: &str = "3600";

/// A database with the user `app`, who owns a schema.
async fn database() -> Option<Postgres> {
    let postgres = Postgres::start().await?;
    postgres.admin(&format!("CREATE ROLE app LOGIN PASSWORD '{FIRST}'; GRANT CREATE ON SCHEMA public TO app")).await;
    Some(postgres)
}

fn ok(version: &str) -> (String, String) {
    login(version, "ok")
}

fn login(version: &str, outcome: &str) -> (String, String) {
    (version.to_owned(), outcome.to_owned())
}

#[tokio::test]
async fn order_is_written_and_read_back_over_one_login() {
    let Some(postgres) = database().await else { return };
    let secrets = Secrets::start(postgres.secret(FIRST)).await;
    let shop = Shop::start(&secrets.endpoint, NEVER).await;

    let (status, body, id) = shop.write().await;
    assert_eq!((status, &body["status"], &body["region"]), (200, &json!("ok"), &json!("us-west-2")));
    assert_eq!((&body["content"]["id"], &body["content"]["region"]), (&json!(id), &json!("us-west-2")));
    let (status, body) = shop.get("/read").await;
    assert_eq!((status, &body["content"][0]["id"]), (200, &json!(id)));
    assert_eq!(postgres.count(&format!("SELECT count(*) FROM orders WHERE id = '{id}'")).await, 1);
    // Byte for byte, since health checks look for a piece of it.
    let health = http(shop.addr, "GET", "/health", "").await.unwrap();
    assert_eq!(health, (200, r#"{"status":"ok","region":"us-west-2"}"#.to_owned()));
    assert_eq!(shop.logins(), [ok("version-1")]);
}

#[tokio::test]
async fn refused_login_refetches_the_secret_and_the_same_request_succeeds() {
    let Some(postgres) = database().await else { return };
    let secrets = Secrets::start(postgres.secret(FIRST)).await;
    let shop = Shop::start(&secrets.endpoint, NEVER).await;
    assert_eq!(shop.write().await.0, 200);

    postgres.admin(&format!("ALTER ROLE app PASSWORD '{SECOND}'")).await;
    secrets.put(postgres.secret(SECOND));
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'";
    assert_eq!(postgres.count(kill).await, 1);
    // The request right behind the broken connection may still meet it.
    support::eventually("a write after the rotation", async || shop.write().await.0 == 200).await;
    assert_eq!(shop.logins(), [ok("version-1"), login("version-1", "28P01"), ok("version-2")]);

    let log = std::fs::read_to_string(&shop.log).unwrap();
    assert!(!log.contains(FIRST) && !log.contains(SECOND), "a password is in the log");
}

#[tokio::test]
async fn password_that_is_wrong_for_good_is_tried_once_a_request_and_said() {
    let Some(postgres) = database().await else { return };
    let secrets = Secrets::start(postgres.secret("wrong")).await;
    let shop = Shop::start(&secrets.endpoint, NEVER).await;
    let (status, body) = shop.get("/health").await;
    assert_eq!((status, &body["reason"]), (503, &json!("no login: 28P01")));
    assert_eq!(shop.logins(), [login("version-1", "28P01")]);
    assert_eq!(shop.get("/ready").await.0, 200);
}

#[tokio::test]
async fn new_version_is_logged_in_with_as_soon_as_the_cache_expires() {
    let Some(postgres) = database().await else { return };
    let secrets = Secrets::start(postgres.secret(FIRST)).await;
    let shop = Shop::start(&secrets.endpoint, "0.2").await;
    assert_eq!(shop.get("/health").await.0, 200);
    secrets.put(postgres.secret(FIRST));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(shop.get("/health").await.0, 200);
    assert_eq!(shop.logins(), [ok("version-1"), ok("version-2")]);
}

#[tokio::test]
async fn read_only_database_still_reads_and_refuses_orders() {
    let Some(postgres) = database().await else { return };
    let secrets = Secrets::start(postgres.secret(FIRST)).await;
    let shop = Shop::start(&secrets.endpoint, "0").await;
    assert_eq!(shop.write().await.0, 200);
    postgres.admin("ALTER ROLE app SET default_transaction_read_only = on").await;
    secrets.put(postgres.secret(FIRST));

    let (status, body, _) = shop.write().await;
    assert_eq!((status, &body["reason"]), (503, &json!("read-only")));
    assert_eq!(shop.get("/read").await.0, 200);
    assert_eq!(shop.get("/health").await.0, 200);
}

#[tokio::test]
async fn dead_database_makes_it_ill_but_not_unready() {
    let value = json!({ "host": "127.0.0.1", "port": free_port().to_string(), "username": "app", "password": FIRST });
    let secrets = Secrets::start(value).await;
    let shop = Shop::start(&secrets.endpoint, NEVER).await;
    let (status, body) = shop.get("/health").await;
    assert_eq!(status, 503);
    assert!(body["reason"].as_str().unwrap().starts_with("database unreachable"), "{body}");
    assert_eq!(shop.get("/ready").await.0, 200);
}

#[tokio::test]
async fn silent_database_is_given_up_within_a_second_and_the_login_is_in_the_log() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let value = json!({ "host": "127.0.0.1", "port": silent.local_addr().unwrap().port(), "username": "app", "password": FIRST });
    let secrets = Secrets::start(value).await;
    let shop = Shop::start(&secrets.endpoint, NEVER).await;
    let asked = Instant::now();
    assert_eq!(shop.get("/read").await.0, 503);
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    assert_eq!(shop.logins(), [login("version-1", "no answer in time")]);
}

#[tokio::test]
async fn without_secrets_manager_there_is_no_service_and_the_reason_says_so() {
    let shop = Shop::start(&format!("http://127.0.0.1:{}", free_port()), NEVER).await;
    let (status, body) = shop.get("/health").await;
    assert_eq!(status, 503);
    assert!(body["reason"].as_str().unwrap().starts_with("no secret"), "{body}");
}

#[tokio::test]
async fn shop_ends_with_its_stdin() {
    let mut shop = Shop::start("http://127.0.0.1:1", NEVER).await;
    drop(shop.process.stdin.take());
    let ended = tokio::time::timeout(Duration::from_secs(5), shop.process.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}
