//! Logins at a real MariaDB: passwords, silence and read-only told apart, proofs, users that alternate, heartbeats, TLS.
#![cfg(feature = "login")]

#[path = "mysql_login/server.rs"]
#[allow(dead_code, reason = "shared with the tests of comparing")]
mod server;
#[path = "login/tls.rs"]
mod tls;

use jiff::{SignedDuration, Timestamp};
use relight::login::{Logins, MyLogin};
use relight::ports::{Login, LoginError, Proof, Telling};
use serde_json::json;
use server::{ADMIN_PASSWORD, Server, free_port, secret_at};
use tls::Certificates;

/// Everything that quoting can get wrong.
const NASTY: &str = r#"p'a"s\s`; drop user x; -- %s ü"#;

fn login() -> MyLogin {
    MyLogin::trusting(None)
}

#[tokio::test]
async fn the_engine_of_the_secret_chooses_the_driver() {
    let Some(server) = Server::start(&[]).await else { return };
    let seen = Logins::trusting(None).login(&server.admin()).await.expect("a login");
    assert!(!seen.in_recovery && !seen.encrypted);
    let oracle = secret_at(server.port, "admin", ADMIN_PASSWORD, json!({ "engine": "oracle" }));
    assert_eq!(Logins::trusting(None).login(&oracle).await, Err(LoginError::Engine("oracle".to_owned())));
}

#[tokio::test]
async fn a_wrong_password_is_told_from_everything_else() {
    let Some(server) = Server::start(&[]).await else { return };
    for (user, password) in [("admin", "hunter2"), ("nobody_at_all", "hunter2")] {
        let error = login().login(&server.secret(user, password)).await.expect_err("refused");
        assert!(matches!(error, LoginError::WrongPassword { .. }) && error.is_about_the_user(), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    let other = secret_at(server.port, "admin", ADMIN_PASSWORD, json!({ "dbname": "missing" }));
    let error = login().login(&other).await.expect_err("refused");
    assert!(matches!(&error, LoginError::Refused { code, .. } if code.contains("1049")) && error.to_string().contains("dbname"), "{error}");

    let error = login().login(&secret_at(free_port(), "admin", "hunter2", json!({}))).await.expect_err("refused");
    assert!(matches!(&error, LoginError::Unreachable { why, .. } if why.contains("refused")), "{error:?}");
    assert!(!error.is_about_the_user() && error.to_string().contains("security group"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let port = silent.local_addr().expect("its address").port();
    let error = login().login(&secret_at(port, "admin", "hunter2", json!({}))).await.expect_err("silence");
    assert_eq!(error, LoginError::TimedOut { at: format!("127.0.0.1:{port}"), seconds: 30 });
}

#[tokio::test]
async fn a_writable_database_is_proven_by_a_row_as_often_as_asked() {
    let Some(server) = Server::start(&[]).await else { return };
    for _ in 0..3 {
        assert_eq!(login().prove_writable(&server.admin()).await, Ok(Proof::Row));
    }
    assert_eq!(server.ask("select count(*) from shop.relight_marker").await, "1", "one row, however often");
    server.sql("create user reader@'%' identified by 'right'; grant select on shop.* to reader@'%'").await;
    assert_eq!(login().prove_writable(&server.secret("reader", "right")).await, Ok(Proof::Word));
    let nowhere = secret_at(server.port, "admin", ADMIN_PASSWORD, json!({ "dbname": null }));
    assert_eq!(login().prove_writable(&nowhere).await, Ok(Proof::Word), "without a database there is no table to write to");
}

#[tokio::test]
async fn a_database_that_is_read_only_proves_nothing_even_to_who_may_write_nevertheless() {
    let Some(server) = Server::start(&["--read-only"]).await else { return };
    assert!(login().login(&server.admin()).await.expect("a login").in_recovery);
    let error = login().prove_writable(&server.admin()).await.expect_err("read-only");
    assert!(matches!(error, LoginError::ReadOnly { .. }) && error.to_string().contains("read_only is on"), "{error}");
    server.sql("set global read_only = 0").await;
    assert!(!login().login(&server.admin()).await.expect("a login").in_recovery);
    assert_eq!(login().prove_writable(&server.admin()).await, Ok(Proof::Row));
}

#[tokio::test]
async fn a_user_changes_its_own_password_and_the_old_one_is_refused() {
    let Some(server) = Server::start(&[]).await else { return };
    server.sql("create user `o'dd \"na``me`@'%' identified by 'first'; grant all on shop.* to `o'dd \"na``me`@'%'").await;
    let user = "o'dd \"na`me";
    let mut held = "first".to_owned();
    for next in [NASTY, "second", r"\'\\", "''", "\"\""] {
        login().change_password(&server.secret(user, &held), next).await.expect("changed");
        login().login(&server.secret(user, next)).await.expect("the new one opens");
        let error = login().login(&server.secret(user, &held)).await.expect_err("the old one is refused");
        assert!(matches!(error, LoginError::WrongPassword { .. }), "{error:?}");
        held = next.to_owned();
    }
}

#[tokio::test]
async fn the_other_user_is_created_with_the_same_rights_and_the_first_goes_on_working() {
    let Some(server) = Server::start(&[]).await else { return };
    server
        .sql(
            "create table shop.orders (id int primary key); create table shop.secrets (id int primary key); \
             create role writer; grant insert on shop.orders to writer; \
             create user app@'%' identified by 'first'; grant select on shop.orders to app@'%'; \
             grant writer to app@'%'; set default role writer for app@'%'",
        )
        .await;
    let app = server.secret("app", "first");
    let twin = app.with_username("app_clone").with_password(NASTY);
    login().ensure_twin(&server.admin(), &app, &twin).await.expect("created");
    login().login(&twin).await.expect("the new user logs in");
    login().login(&app).await.expect("the first user still does");
    let rights = "select group_concat(privilege_type) from information_schema.table_privileges where grantee = \"'app_clone'@'%'\"";
    assert_eq!(server.ask(rights).await, "SELECT");
    assert_eq!(server.ask("select default_role from mysql.user where user = 'app_clone'").await, "writer");

    // Again, with another password: altered, and what was granted since comes along. And back, by the twin's own rights.
    server.sql("grant delete on shop.orders to app@'%'").await;
    let again = twin.with_password("again");
    login().ensure_twin(&server.admin(), &app, &again).await.expect("altered");
    assert_eq!(server.ask(rights).await, "SELECT,DELETE");
    login().login(&again).await.expect("with the new password");
    login().login(&twin).await.expect_err("and not with the old one");
    let back = app.with_password("back");
    login().ensure_twin(&server.admin(), &again, &back).await.expect("altered");
    login().login(&back).await.expect("the first user has the new password");
    login().login(&again).await.expect("and its twin goes on");
}

#[tokio::test]
async fn what_must_come_encrypted_from_the_first_user_must_from_the_other() {
    let Some(server) = Server::start(&[]).await else { return };
    server.sql("create user safe@'%' identified by 'first' require ssl with max_user_connections 3; grant select on shop.* to safe@'%'").await;
    let safe = server.secret("safe", "first");
    login().ensure_twin(&server.admin(), &safe, &safe.with_username("safe_clone").with_password("next")).await.expect("created");
    let created = server.ask("show create user safe_clone@'%'").await;
    assert!(created.contains("REQUIRE SSL") && !created.contains("MAX_USER_CONNECTIONS"), "{created}");
}

#[tokio::test]
async fn an_admin_that_may_not_create_users_is_told_what_it_needs() {
    let Some(server) = Server::start(&[]).await else { return };
    server.sql("create user weak@'%' identified by 'right'; grant select on *.* to weak@'%'; create user app@'%' identified by 'right'").await;
    let app = secret_at(server.port, "app", "right", json!({}));
    let twin = app.with_username("app_clone");
    let error = login().ensure_twin(&server.secret("weak", "right"), &app, &twin).await.expect_err("refused");
    assert!(matches!(error, LoginError::Refused { .. }) && error.to_string().contains("CREATE USER"), "{error}");
    assert_eq!(server.ask("select count(*) from mysql.user where user = 'app_clone'").await, "0", "nothing is half done");
    let nobody = app.with_username("nobody_at_all");
    let error = login().ensure_twin(&server.admin(), &nobody, &twin).await.expect_err("refused");
    assert!(error.to_string().contains("no user of the secret's name"), "{error}");
}

#[tokio::test]
async fn no_password_reaches_the_servers_log_or_an_error() {
    let Some(server) = Server::start(&[]).await else { return };
    server.sql("create user loud@'%' identified by 'first'; grant select on shop.* to loud@'%'").await;
    let (app, next) = (server.secret("loud", "first"), "a-password-of-its-own");
    login().change_password(&app, next).await.expect("changed");
    let app = server.secret("loud", next);
    let twin = app.with_username("loud_clone").with_password("twin's-very-own");
    login().ensure_twin(&server.admin(), &app, &twin).await.expect("created");
    let refused = login().ensure_twin(&app, &app, &twin.with_password("refused-one")).await.expect_err("no admin");
    let log = server.log();
    assert!(log.contains("set password") && log.contains("alter user"), "the log has the statements: {log}");
    for password in [next, "twin's-very-own", "twin''s-very-own", "refused-one"] {
        assert!(!log.contains(password), "the server's log has {password}");
        assert!(!format!("{refused} {refused:?}").contains(password));
    }
}

#[tokio::test]
async fn a_beat_arrives_at_the_replica_and_is_still_there_when_the_writer_is_dead() {
    let Some(mut writer) = Server::start(&["--log-bin", "--server-id=1"]).await else { return };
    let Some(replica) = Server::start(&["--server-id=2", "--read-only"]).await else { return };
    replica.follow(&writer).await;
    assert_eq!(login().reached(&replica.admin()).await.expect("an answer").beat_at, None, "nothing was written yet");
    login().beat(&writer.admin()).await.expect("a beat that makes its table");
    login().beat(&writer.admin()).await.expect("a beat");
    assert_eq!(writer.ask("select count(*) from shop.relight_heartbeat").await, "1", "one row, however long it beats");
    let mut reached = login().reached(&replica.admin()).await.expect("an answer");
    for _ in 0..500 {
        if reached.beat_at.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        reached = login().reached(&replica.admin()).await.expect("an answer");
    }
    let (beat_at, telling) = reached.until().expect("a beat");
    assert_eq!(telling, Telling::Beat);
    assert!(Timestamp::now().duration_since(beat_at).abs() < SignedDuration::from_secs(60), "{beat_at}");

    let log = reached.log.clone().unwrap_or_default();
    assert!(log.contains("-bin.000001:") && log.contains(" received, ") && log.ends_with(" applied"), "{log}");
    assert_eq!(reached.of_log(), format!("; {log}"));

    writer.down();
    assert!(login().reached(&replica.admin()).await.expect("an answer of the orphan").beat_at >= Some(beat_at));
    let error = login().beat(&replica.admin()).await;
    assert!(error.is_ok(), "the test's admin may write at a replica nevertheless: {error:?}");
    replica.sql("stop slave; reset slave all; set global read_only = 0").await;
    let refused = login().reached(&replica.admin()).await.expect_err("no replica");
    assert!(refused.to_string().contains("no replica any more"), "{refused}");
}

#[tokio::test]
async fn an_application_is_refused_writes_by_a_replica_and_told_that_it_is_one() {
    let Some(server) = Server::start(&["--read-only"]).await else { return };
    server.sql("create user app@'%' identified by 'right'; grant all on shop.* to app@'%'").await;
    let error = login().beat(&server.secret("app", "right")).await.expect_err("read-only");
    assert!(matches!(error, LoginError::ReadOnly { .. }), "{error:?}");
}

#[tokio::test]
async fn ssl_of_the_secret_decides_and_a_stranger_is_not_trusted() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let made = Certificates::make();
    let file = |name: &str, text: &str| server.file(name, text);
    let (certificate, key) = (file("server.crt", &made.certificate), file("server.key", &made.key));
    let (ca, stranger) = (file("ca.pem", &made.ca), file("stranger.pem", &made.stranger));
    server.restart(&[&format!("--ssl-cert={}", certificate.display()), &format!("--ssl-key={}", key.display())]).await;
    let (trusting, doubting) = (MyLogin::trusting(Some(ca)), MyLogin::trusting(Some(stranger)));
    let encrypted = async |login: &MyLogin, ssl: serde_json::Value| {
        let more = if ssl.is_null() { json!({}) } else { json!({ "ssl": ssl }) };
        login.login(&secret_at(server.port, "admin", ADMIN_PASSWORD, more)).await.map(|seen| seen.encrypted)
    };
    assert_eq!(encrypted(&trusting, json!(true)).await, Ok(true));
    assert_eq!(encrypted(&trusting, json!(null)).await, Ok(true), "TLS comes first where `ssl` is missing");
    assert_eq!(encrypted(&trusting, json!(false)).await, Ok(false));
    assert_eq!(encrypted(&doubting, json!(null)).await, Ok(false), "then plaintext");
    let error = encrypted(&doubting, json!(true)).await.expect_err("a stranger's certificate");
    assert!(matches!(error, LoginError::Tls { .. }) && error.to_string().contains("RELIGHT_CA_FILE"), "{error}");
    assert!(!error.is_about_the_user());
    let error = doubting.login(&server.secret("admin", "hunter2")).await.expect_err("refused");
    assert!(matches!(error, LoginError::WrongPassword { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_that_is_required_is_not_given_up_for_a_server_without_it() {
    let Some(server) = Server::start(&["--skip-ssl"]).await else { return };
    let value = secret_at(server.port, "admin", ADMIN_PASSWORD, json!({ "ssl": true }));
    let error = login().login(&value).await.expect_err("no TLS");
    assert!(matches!(error, LoginError::Tls { .. }), "{error:?}");
}
