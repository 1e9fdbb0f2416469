//! Logins at a real PostgreSQL: scram, wrong passwords and silence told apart, recovery, proofs, users that alternate, TLS.
#![cfg(feature = "login")]

#[path = "login/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the way home")]
mod server;
#[path = "login/tls.rs"]
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use relight::login::{Logins, PgLogin};
use relight::ports::{Login, LoginError, Proof};
use relight::secret::SecretValue;
use serde_json::json;
use server::{ADMIN_PASSWORD, Server, free_port, secret_at};
use tls::Certificates;

/// Everything that quoting can get wrong.
const NASTY: &str = r#"p'a"s\s$$; drop role x; -- %s ü"#;

fn login() -> PgLogin {
    PgLogin::trusting(None)
}

#[tokio::test]
async fn a_user_with_a_scram_password_logs_in() {
    let server = Server::shared();
    server.sql("create role scram_user login password 'right'").await;
    assert!(server.ask("select rolpassword from pg_authid where rolname = 'scram_user'").await.starts_with("SCRAM-SHA-256$"));
    let seen = login().login(&server.secret("scram_user", "right")).await.expect("a login");
    assert!(!seen.in_recovery && !seen.encrypted);
}

#[tokio::test]
async fn wrong_user_and_wrong_password_are_told_from_everything_else() {
    let server = Server::shared();
    for (user, password) in [("postgres", "hunter2"), ("nobody_at_all", "hunter2")] {
        let error = login().login(&server.secret(user, password)).await.expect_err("refused");
        assert!(matches!(error, LoginError::WrongPassword { .. }) && error.is_about_the_user(), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    server.sql("create role no_login nologin password 'right'").await;
    let error = login().login(&server.secret("no_login", "right")).await.expect_err("refused");
    assert!(matches!(&error, LoginError::Refused { code, .. } if code == "28000") && error.is_about_the_user(), "{error:?}");
    let other = secret_at(server.port, "postgres", ADMIN_PASSWORD, json!({ "dbname": "missing" }));
    let error = login().login(&other).await.expect_err("refused");
    assert!(matches!(&error, LoginError::Refused { code, .. } if code == "3D000") && error.to_string().contains("dbname"), "{error}");
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_unreachable() {
    let error = login().login(&secret_at(free_port(), "postgres", "hunter2", json!({}))).await.expect_err("refused");
    assert!(matches!(&error, LoginError::Unreachable { why, .. } if why.contains("refused")), "{error:?}");
    assert!(!error.is_about_the_user() && error.to_string().contains("security group"));
}

#[tokio::test]
async fn a_host_that_has_no_address_is_unreachable() {
    let error = login().login(&secret_at(5432, "postgres", "hunter2", json!({ "host": "no-such-host.invalid" }))).await.expect_err("refused");
    assert!(matches!(error, LoginError::Unreachable { .. } | LoginError::TimedOut { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let port = silent.local_addr().expect("its address").port();
    let error = login().login(&secret_at(port, "postgres", "hunter2", json!({}))).await.expect_err("silence");
    assert_eq!(error, LoginError::TimedOut { at: format!("127.0.0.1:{port}"), seconds: 30 });
}

#[tokio::test]
async fn a_login_that_takes_longer_than_a_connection_may_is_waited_for() {
    let server = Server::shared();
    let slow = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let port = slow.local_addr().expect("its address").port();
    tokio::spawn(async move {
        let (mut client, _) = slow.accept().await.expect("a client");
        tokio::time::sleep(Duration::from_secs(6)).await;
        let mut behind = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.expect("the server");
        let _closed = tokio::io::copy_bidirectional(&mut client, &mut behind).await;
    });
    let seen = login().login(&secret_at(port, "postgres", ADMIN_PASSWORD, json!({}))).await.expect("a login");
    assert!(!seen.in_recovery);
}

#[tokio::test]
async fn another_engine_and_missing_keys_are_said_before_anything_is_sent() {
    let oracle = secret_at(1, "root", "hunter2", json!({ "engine": "oracle" }));
    assert_eq!(Logins::trusting(None).login(&oracle).await, Err(LoginError::Engine("oracle".to_owned())));
    for key in ["username", "password", "host"] {
        let value = secret_at(1, "root", "hunter2", json!({ key: null }));
        assert_eq!(login().login(&value).await, Err(LoginError::Incomplete(key)));
    }
}

#[tokio::test]
async fn a_writable_database_is_proven_by_a_row_as_often_as_asked() {
    let server = Server::shared();
    server.sql("create database proofs").await;
    let admin = secret_at(server.port, "postgres", ADMIN_PASSWORD, json!({ "dbname": "proofs" }));
    for _ in 0..3 {
        assert_eq!(login().prove_writable(&admin).await, Ok(Proof::Row));
    }
}

#[tokio::test]
async fn a_user_that_may_create_no_table_proves_it_by_the_log() {
    let server = Server::shared();
    server.sql("create role no_tables login password 'right'").await;
    server.sql("create database narrow").await;
    let admin = secret_at(server.port, "postgres", ADMIN_PASSWORD, json!({ "dbname": "narrow" }));
    // Versions before 15 let everybody create.
    assert_eq!(login().prove_writable(&admin).await, Ok(Proof::Row), "the admin's table is there");
    let user = secret_at(server.port, "no_tables", "right", json!({ "dbname": "narrow" }));
    let before = server.ask("select pg_current_wal_insert_lsn()::text").await;
    assert_eq!(login().prove_writable(&user).await, Ok(Proof::Log));
    assert_ne!(server.ask("select pg_current_wal_insert_lsn()::text").await, before);
}

#[tokio::test]
async fn a_user_that_may_write_nothing_at_all_proves_it_by_its_word() {
    let server = Server::shared();
    server.sql("create role mute login password 'right'").await;
    server.sql("create database mute").await;
    let admin = secret_at(server.port, "postgres", ADMIN_PASSWORD, json!({ "dbname": "mute" }));
    assert_eq!(login().prove_writable(&admin).await, Ok(Proof::Row));
    let (client, connection) = {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(server.port).user("postgres").password(ADMIN_PASSWORD).dbname("mute");
        config.connect(tokio_postgres::NoTls).await.expect("the admin logs in")
    };
    tokio::spawn(connection);
    let revoke = "do $$ declare f regprocedure; begin for f in select oid::regprocedure from pg_proc where proname = 'pg_logical_emit_message' \
                  loop execute 'revoke execute on function ' || f || ' from public'; end loop; end $$";
    client.batch_execute(revoke).await.expect("revoked");
    let user = secret_at(server.port, "mute", "right", json!({ "dbname": "mute" }));
    assert_eq!(login().prove_writable(&user).await, Ok(Proof::Word));
}

#[tokio::test]
async fn a_user_whose_transactions_are_read_only_proves_nothing() {
    let server = Server::shared();
    server.sql("create role reader login password 'right'; alter role reader set default_transaction_read_only = on").await;
    let error = login().prove_writable(&server.secret("reader", "right")).await.expect_err("read-only");
    assert!(matches!(error, LoginError::ReadOnly { .. }) && error.to_string().contains("default_transaction_read_only"), "{error}");
}

#[tokio::test]
async fn a_replica_lets_in_and_takes_no_writes_until_it_is_promoted() {
    let mut server = Server::start(&[]).expect("PostgreSQL starts");
    server.restart_as_replica();
    let admin = server.admin();
    assert!(login().login(&admin).await.expect("a login").in_recovery);
    let error = login().prove_writable(&admin).await.expect_err("in recovery");
    assert!(matches!(error, LoginError::ReadOnly { why, .. } if why.contains("in recovery")), "{error:?}");
    let error = login().change_password(&admin, "other").await.expect_err("in recovery");
    assert!(matches!(error, LoginError::ReadOnly { .. }), "{error:?}");
    server.promote();
    assert!(!login().login(&admin).await.expect("a login").in_recovery);
    assert_eq!(login().prove_writable(&admin).await, Ok(Proof::Row));
}

#[tokio::test]
async fn a_user_changes_its_own_password_and_the_old_one_is_refused() {
    let server = Server::shared();
    server.sql(r#"create role "o'dd ""na;me" login password 'first'"#).await;
    let user = r#"o'dd "na;me"#;
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
    let server = Server::shared();
    server.sql("create role shop_app login password 'first'; create table orders (id int); grant select, insert on orders to shop_app").await;
    let app = server.secret("shop_app", "first");
    let twin = app.with_username("shop_app_clone").with_password(NASTY);
    login().ensure_twin(&server.admin(), &app, &twin).await.expect("created");
    login().login(&twin).await.expect("the new user logs in");
    login().login(&app).await.expect("the first user still does");
    assert_eq!(server.ask("select has_table_privilege('shop_app_clone', 'orders', 'insert')::text").await, "true");

    // Again, with another password: altered. And back: the first user exists, and is not made a member of its own member.
    let again = twin.with_password("again");
    login().ensure_twin(&server.admin(), &app, &again).await.expect("altered");
    login().login(&again).await.expect("with the new password");
    login().login(&twin).await.expect_err("and not with the old one");
    let back = app.with_password("back");
    login().ensure_twin(&server.admin(), &again, &back).await.expect("altered");
    login().login(&back).await.expect("the first user has the new password");
    login().login(&again).await.expect("and its twin goes on");
}

#[tokio::test]
async fn an_admin_that_may_not_create_users_is_told_what_it_needs() {
    let server = Server::shared();
    server.sql("create role weak_admin login password 'right'; create role weak_app login password 'right'").await;
    let app = server.secret("weak_app", "right");
    let twin = app.with_username("weak_app_clone");
    let error = login().ensure_twin(&server.secret("weak_admin", "right"), &app, &twin).await.expect_err("refused");
    assert!(matches!(&error, LoginError::Refused { code, .. } if code == "42501") && error.to_string().contains("CREATEROLE"), "{error}");
    assert_eq!(server.ask("select count(*)::text from pg_roles where rolname = 'weak_app_clone'").await, "0", "nothing is half done");
}

#[tokio::test]
async fn a_server_that_makes_md5_passwords_goes_on_making_them() {
    let server = Server::start(&["password_encryption = 'md5'"]).expect("PostgreSQL starts");
    server.sql("create role old_app login password 'first'").await;
    login().change_password(&server.secret("old_app", "first"), NASTY).await.expect("changed");
    login().login(&server.secret("old_app", NASTY)).await.expect("a login");
    assert!(server.ask("select rolpassword from pg_authid where rolname = 'old_app'").await.starts_with("md5"));
}

#[tokio::test]
async fn no_password_reaches_the_servers_log_or_an_error() {
    let server = Server::start(&[]).expect("PostgreSQL starts");
    server.sql("create role loud login password 'first'").await;
    let (app, next) = (server.secret("loud", "first"), "a-password-of-its-own");
    login().change_password(&app, next).await.expect("changed");
    let app = server.secret("loud", next);
    let twin = app.with_username("loud_clone").with_password("twin's-very-own");
    login().ensure_twin(&server.admin(), &app, &twin).await.expect("created");
    let refused = login().ensure_twin(&app, &app, &twin.with_password("refused-one")).await.expect_err("no admin");
    let log = server.log();
    assert!(log.contains("alter role") && log.contains("create role"), "the log has the statements: {log}");
    for password in [next, "twin's-very-own", "twin''s-very-own", "refused-one", ADMIN_PASSWORD] {
        assert!(!log.contains(password), "the server's log has {password}");
        assert!(!format!("{refused} {refused:?}").contains(password));
    }
    assert!(!format!("{refused} {refused:?}").contains("SCRAM"), "nor its verifier");
}

/// A CA of the test's own, a server certificate for 127.0.0.1, and a CA that signed nothing.
struct Tls {
    server: Server,
    ca: PathBuf,
    stranger: PathBuf,
}

impl Tls {
    /// `None` where this PostgreSQL was built without TLS, as the one in the PyPI wheel is.
    fn start() -> Option<Tls> {
        let made = Certificates::make();
        let mut server = Server::start(&[]).expect("PostgreSQL starts");
        let (certificate, key) = (server.file("server.crt", &made.certificate), server.file("server.key", &made.key));
        let (ca, stranger) = (server.file("ca.pem", &made.ca), server.file("stranger.pem", &made.stranger));
        if !server.switch_tls_on(&certificate, &key) {
            eprintln!("not tried: this PostgreSQL was built without TLS");
            return None;
        }
        Some(Tls { server, ca, stranger })
    }

    fn admin(&self, ssl: serde_json::Value) -> SecretValue {
        secret_at(self.server.port, "postgres", ADMIN_PASSWORD, if ssl.is_null() { json!({}) } else { json!({ "ssl": ssl }) })
    }
}

#[tokio::test]
async fn ssl_of_the_secret_decides_and_a_stranger_is_not_trusted() {
    let Some(tls) = Tls::start() else { return };
    let (trusting, doubting) = (PgLogin::trusting(Some(tls.ca.clone())), PgLogin::trusting(Some(tls.stranger.clone())));
    let encrypted = async |login: &PgLogin, ssl| login.login(&tls.admin(ssl)).await.map(|seen| seen.encrypted);

    assert_eq!(encrypted(&trusting, json!(true)).await, Ok(true));
    assert_eq!(encrypted(&trusting, json!(null)).await, Ok(true), "TLS comes first where `ssl` is missing");
    assert_eq!(encrypted(&trusting, json!(false)).await, Ok(false));
    for (text, expected) in [("TRUE", true), ("false", false), ("whatever", true)] {
        assert_eq!(encrypted(&trusting, json!(text)).await, Ok(expected), "{text}");
    }
    assert_eq!(encrypted(&doubting, json!(null)).await, Ok(false), "then plaintext");
    let error = encrypted(&doubting, json!(true)).await.expect_err("a stranger's certificate");
    assert!(matches!(error, LoginError::Tls { .. }) && error.to_string().contains("RELIGHT_CA_FILE"), "{error}");
    assert!(!error.is_about_the_user());
}

#[tokio::test]
async fn tls_that_is_required_is_not_given_up_for_a_server_without_it() {
    let server = Server::shared();
    let value = secret_at(server.port, "postgres", ADMIN_PASSWORD, json!({ "ssl": true }));
    let error = login().login(&value).await.expect_err("no TLS");
    assert!(matches!(error, LoginError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_ca_file_that_is_missing_or_no_pem_is_named() {
    let server = Server::shared();
    let value = secret_at(server.port, "postgres", ADMIN_PASSWORD, json!({ "ssl": true }));
    let garbage = server.file("garbage.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    for file in [PathBuf::from("missing.pem"), garbage] {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let error = PgLogin::trusting(Some(file)).login(&value).await.expect_err("no CA").to_string();
        assert!(error.contains(&name), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_the_ca_that_is_wrong_too() {
    let Some(tls) = Tls::start() else { return };
    let doubting = PgLogin::trusting(Some(tls.stranger.clone()));
    let error = doubting.login(&tls.server.secret("postgres", "hunter2")).await.expect_err("refused");
    assert!(matches!(error, LoginError::WrongPassword { .. }), "{error:?}");
}
