//! TLS as RDS has it: with a certificate that only those trust who were given the CA.

mod common;

use common::*;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

#[tokio::test]
async fn servers_with_tls_show_a_certificate_of_the_stages_own_authority_and_take_plaintext_too() {
    let stage = Stage::with_primary("tls").await;
    let on = stage.rds.sql(PRIMARY, "orders", "postgres", "SHOW ssl").await.expect("an answer");
    let Some(authority) = stage.rds.ca_file() else {
        eprintln!("not tried: this PostgreSQL was built without TLS");
        assert_eq!(on[0][0].as_deref(), Some("off"));
        return stage.end().await;
    };
    assert_eq!(on[0][0].as_deref(), Some("on"));
    stage.login(PRIMARY, "orders").await.expect("plaintext");
    let port = stage.rds.endpoint(PRIMARY, "orders").expect("an endpoint").port();
    let shown = async |trusted: Option<&Path>| {
        let mut client = Command::new("openssl");
        client.args([
            "s_client",
            "-starttls",
            "postgres",
            "-verify_return_error",
            "-verify_ip",
            "127.0.0.1",
            "-connect",
            &format!("127.0.0.1:{port}"),
        ]);
        client.args(trusted.iter().flat_map(|file| [OsStr::new("-CAfile"), file.as_os_str()]));
        client.stdin(Stdio::null()).output().await.map(|output| output.status.success())
    };
    match (shown(Some(&authority)).await, shown(None).await) {
        (Ok(trusting), Ok(doubting)) => assert!(trusting && !doubting, "{trusting} {doubting}"),
        (_, _) => eprintln!("not tried: there is no `openssl` to look with"),
    }
    stage.end().await;
}
