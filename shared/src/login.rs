//! Logins at databases: what proves that a promoted one can be used, and what a rotation changes.
//!
//! Every call is one short connection of its own. They are few, and a connection kept over a promotion or a change of the
//! password would prove nothing.
//!
//! ```text
//! secret's engine ── postgres, aurora-postgresql ──► PgLogin
//!                 └─ mysql, mariadb ──────────────► MyLogin
//! ```

mod mysql;
mod postgres;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use mysql::MyLogin;
pub use postgres::PgLogin;

use crate::ports::{Compared, LeftRows, Login, LoginError, Lsn, Position, Proof, Reached, Seen, Table, Tables};
use crate::secret::{Dialect, SecretValue};
use tls::Trust;

/// From the first packet to a connection: a host that drops packets is known by then.
const CONNECT: Duration = Duration::from_secs(5);
/// From the first packet to being logged in. A server that has just been promoted or is short of memory may take 20 s to
/// begin a session, and a recovery must not end there.
const LOGIN: Duration = Duration::from_secs(30);
/// All statements of one call.
const STATEMENTS: Duration = Duration::from_secs(10);
/// Reading two databases. A function lives 15 minutes, and has to record what it found.
const COMPARING: Duration = Duration::from_secs(600);
/// All lines of one table. A function has little memory, and a table of which so much was left is no remainder.
const MOST_BYTES: usize = 32 << 20;
/// The environment variable that names the PEM file of the CAs that databases are signed by. Amazon RDS has CAs of its
/// own, which are in nobody's trust store: a layer brings them.
pub const CA_FILE: &str = "RELIGHT_CA_FILE";

/// Logs in by the driver of the secret's engine.
#[derive(Debug)]
pub struct Logins {
    postgres: PgLogin,
    mysql: MyLogin,
}

impl Logins {
    pub fn from_env() -> Logins {
        Logins::trusting(std::env::var_os(CA_FILE).filter(|file| !file.is_empty()).map(PathBuf::from))
    }

    /// Trusts the CAs of a PEM file, the system's where it is absent.
    pub fn trusting(ca_file: Option<PathBuf>) -> Logins {
        let trust = Arc::new(Trust::of(ca_file));
        Logins { postgres: PgLogin::of(Arc::clone(&trust)), mysql: MyLogin::of(trust) }
    }
}

/// The same call at the driver of this secret's engine.
macro_rules! by_engine {
    ($self:ident, $secret:ident, $call:ident($($argument:expr),*)) => {
        match $secret.dialect()? {
            Dialect::Postgres => $self.postgres.$call($($argument),*).await,
            Dialect::MySql | Dialect::MariaDb => $self.mysql.$call($($argument),*).await,
        }
    };
}

impl Login for Logins {
    async fn login(&self, with: &SecretValue) -> Result<Seen, LoginError> {
        by_engine!(self, with, login(with))
    }

    async fn prove_writable(&self, with: &SecretValue) -> Result<Proof, LoginError> {
        by_engine!(self, with, prove_writable(with))
    }

    async fn change_password(&self, with: &SecretValue, to: &str) -> Result<(), LoginError> {
        by_engine!(self, with, change_password(with, to))
    }

    async fn ensure_twin(&self, admin: &SecretValue, of: &SecretValue, twin: &SecretValue) -> Result<(), LoginError> {
        by_engine!(self, of, ensure_twin(admin, of, twin))
    }

    async fn beat(&self, with: &SecretValue) -> Result<(), LoginError> {
        by_engine!(self, with, beat(with))
    }

    async fn reached(&self, with: &SecretValue) -> Result<Reached, LoginError> {
        by_engine!(self, with, reached(with))
    }

    async fn position(&self, with: &SecretValue) -> Result<Position, LoginError> {
        by_engine!(self, with, position(with))
    }

    async fn behind(&self, writer: &SecretValue, replica: &SecretValue) -> Result<u64, LoginError> {
        by_engine!(self, writer, behind(writer, replica))
    }

    async fn tables(&self, with: &SecretValue, named: &[String]) -> Result<Tables, LoginError> {
        by_engine!(self, with, tables(with, named))
    }

    async fn left_behind(&self, old: &SecretValue, serving: &SecretValue, table: &Table) -> Result<LeftRows, LoginError> {
        by_engine!(self, old, left_behind(old, serving, table))
    }

    async fn compare(&self, here: &SecretValue, there: &SecretValue, tables: &[Table]) -> Result<Compared, LoginError> {
        by_engine!(self, here, compare(here, there, tables))
    }

    async fn close_writes(&self, admin: &SecretValue) -> Result<Lsn, LoginError> {
        by_engine!(self, admin, close_writes(admin))
    }

    async fn open_writes(&self, admin: &SecretValue) -> Result<(), LoginError> {
        by_engine!(self, admin, open_writes(admin))
    }
}

/// A row that was left behind. The rows are JSON already.
fn left_line(table: &Table, left: &str, serving: Option<&String>) -> String {
    let kind = if serving.is_some() { "differing" } else { "missing" };
    let name = serde_json::Value::from(table.name.as_str());
    let serving = serving.map_or("null", String::as_str);
    format!(r#"{{"table":{name},"kind":"{kind}","left":{left},"serving":{serving}}}"#)
}

/// `host:port`, for people.
fn place(with: &SecretValue) -> Result<String, LoginError> {
    let endpoint = with.endpoint()?;
    Ok(format!("{}:{}", endpoint.host, endpoint.port))
}
