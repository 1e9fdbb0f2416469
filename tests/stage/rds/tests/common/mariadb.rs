//! The same for instances of MariaDB, on a machine that has it.

use super::{PASSWORD, PRIMARY, STANDBY, Stage, arn, create, replicate, wait_for};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};
use stage_rds::MariaDbBinaries;
use std::net::SocketAddr;
use std::time::Duration;

impl Stage {
    /// None where there is no MariaDB: the test ends.
    pub(crate) async fn with_mariadb(name: &str) -> Option<Stage> {
        if !MariaDbBinaries::is_here() {
            return None;
        }
        let stage = Stage::start(&format!("mariadb-{name}")).await;
        create(&stage.primary, "orders").engine("mariadb").send().await.expect("the primary is created");
        wait_for(&stage.primary, "orders", "available").await;
        Some(stage)
    }

    pub(crate) async fn with_mariadb_replica(name: &str) -> Option<Stage> {
        let stage = Stage::with_mariadb(name).await?;
        replicate(&stage.standby, "orders-west", &arn(PRIMARY, "orders")).await;
        wait_for(&stage.standby, "orders-west", "available").await;
        wait_for(&stage.primary, "orders", "available").await;
        Some(stage)
    }

    /// A session of the application, through the endpoint that RDS names.
    pub(crate) async fn session(&self, region: &str, id: &str) -> Result<Conn, String> {
        session(self.rds.endpoint(region, id).expect("an endpoint"), "app", PASSWORD, None).await
    }

    pub(crate) async fn lag(&self) -> f64 {
        let lag = self.rds.replica_lag().await;
        lag.iter().find(|(region, ..)| region == STANDBY).expect("a sample").2
    }
}

/// With TLS where something is trusted.
pub(crate) async fn session(at: SocketAddr, user: &str, password: &str, trusted: Option<SslOpts>) -> Result<Conn, String> {
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(at.port()).user(Some(user)).pass(Some(password));
    let options = options.db_name(Some("shop")).ssl_opts(trusted).prefer_socket(false);
    let attempt = tokio::time::timeout(Duration::from_millis(1500), Conn::new(options)).await;
    attempt.map_err(|_| "timed out".to_owned())?.map_err(|error| error.to_string())
}

/// Statements one after the other, or what the first refused one was refused with.
pub(crate) async fn run(session: &mut Conn, statements: &[&str]) -> Result<(), String> {
    for statement in statements {
        session.query_drop(*statement).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

pub(crate) async fn value(session: &mut Conn, question: &str) -> String {
    let found: Option<String> = session.query_first(question).await.expect("an answer");
    found.expect("a row")
}
