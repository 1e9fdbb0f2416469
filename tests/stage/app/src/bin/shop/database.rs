//! The database behind one connection, made anew when it breaks or when the secret has a new version.
//!
//! ```text
//! login (cached) ──► session of that version, alive? ──► use it
//!                        └► no: connect ──► refused (28xxx)? refetch the secret; a new version is tried once ──► table ──► use it
//! ```
//!
//! One connection is enough, since tokio-postgres pipelines. A new version of the secret means a new login at once: pools recycle their connections too, and the stage wants to see
//! each version prove itself.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{sync::Mutex, time::timeout};
use tokio_postgres::{Client, Config, NoTls, Row, error::SqlState, types::ToSql};
use uuid::Uuid;

use crate::{
    credentials::{Credentials, Login},
    logins::{LoginLog, Outcome},
};

const CONNECT: Duration = Duration::from_millis(800);
const QUERY: Duration = Duration::from_millis(800);
/// Serialises the creation of the table: `IF NOT EXISTS` alone still collides when two do it at once.
const CREATE_TABLE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7305); \
     CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, region text, at timestamptz DEFAULT now()); COMMIT";

/// Why a request cannot be served: the reason that the user reads in the 503.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("no secret: {0}")]
    NoSecret(String),
    #[error("no login: {sqlstate}")]
    NoLogin { sqlstate: String },
    #[error("database unreachable: {0}")]
    Unreachable(String),
    #[error("read-only")]
    ReadOnly,
    #[error("database error: {sqlstate}")]
    Database { sqlstate: String },
}

#[derive(Serialize)]
pub(crate) struct Order {
    id: String,
    region: Option<String>,
    at: String,
}

pub(crate) struct Database {
    shared: Arc<Shared>,
    session: Arc<Mutex<Option<Session>>>,
}

struct Shared {
    credentials: Credentials,
    logins: LoginLog,
}

struct Session {
    version: String,
    client: Arc<Client>,
}

impl Database {
    pub(crate) fn new(credentials: Credentials, logins: LoginLog) -> Self {
        Self { shared: Arc::new(Shared { credentials, logins }), session: Arc::default() }
    }

    pub(crate) async fn check(&self) -> Result<(), Unavailable> {
        self.query("SELECT 1", &[]).await.map(drop)
    }

    pub(crate) async fn newest(&self) -> Result<Vec<Order>, Unavailable> {
        let rows = self.query("SELECT id::text, region, at::text FROM orders ORDER BY at DESC LIMIT 10", &[]).await?;
        Ok(rows.iter().map(order).collect())
    }

    /// Inserts an order and reads it back. Done twice with one id, it is there once.
    pub(crate) async fn place(&self, id: Uuid, region: &str) -> Result<Order, Unavailable> {
        let id = id.to_string();
        self.query("INSERT INTO orders (id, region) VALUES ($1::text::uuid, $2::text) ON CONFLICT (id) DO NOTHING", &[&id, &region]).await?;
        let rows = self.query("SELECT id::text, region, at::text FROM orders WHERE id = $1::text::uuid", &[&id]).await?;
        rows.first().map(order).ok_or(Unavailable::Database { sqlstate: "the row is not there after its insert".to_owned() })
    }

    async fn query(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Unavailable> {
        let client = self.client().await?;
        match timeout(QUERY, client.query(statement, parameters)).await {
            Ok(result) => result.map_err(unavailable),
            Err(_) => {
                self.drop_session(&client).await;
                Err(Unavailable::Unreachable("no answer in time".to_owned()))
            }
        }
    }

    async fn client(&self) -> Result<Arc<Client>, Unavailable> {
        let login = self.shared.credentials.login().await?;
        let mut session = self.session.clone().lock_owned().await;
        if let Some(session) = &*session
            && session.version == login.version
            && !session.client.is_closed()
        {
            return Ok(session.client.clone());
        }
        let shared = self.shared.clone();
        // A task of its own: a user who hangs up must not tear a login apart before it is in the log.
        let connecting = tokio::spawn(async move {
            *session = None;
            let made = shared.connect(login).await?;
            let client = made.client.clone();
            *session = Some(made);
            Ok(client)
        });
        connecting.await.unwrap_or_else(|error| Err(Unavailable::Unreachable(error.to_string())))
    }

    /// A server that answers no query may be a black hole: the next request tries a new connection.
    async fn drop_session(&self, client: &Arc<Client>) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|session| Arc::ptr_eq(&session.client, client)) {
            *session = None;
        }
    }
}

impl Shared {
    async fn connect(&self, login: Arc<Login>) -> Result<Session, Unavailable> {
        let refused = match self.log_in(&login).await {
            Err(refused @ Unavailable::NoLogin { .. }) => refused,
            other => return other,
        };
        let fresh = self.credentials.refetch().await?;
        if fresh.version == login.version {
            return Err(refused);
        }
        self.log_in(&fresh).await
    }

    async fn log_in(&self, login: &Login) -> Result<Session, Unavailable> {
        let value = &login.value;
        let Some(port) = value.port.number() else {
            return Err(Unavailable::NoSecret("its port is no number".to_owned()));
        };
        let mut config = Config::new();
        config
            .host(&value.host)
            .port(port)
            .user(&value.username)
            .password(&value.password)
            .dbname(value.dbname.as_deref().unwrap_or("postgres"))
            .application_name("shop")
            .connect_timeout(CONNECT);
        let address = format!("{}:{port}", value.host);
        let log = |outcome| self.logins.write(&login.version, &address, &value.username, &outcome);
        // connect_timeout ends with the TCP connection; a server that accepts and stays silent needs this one.
        let (client, connection) = match timeout(CONNECT, config.connect(NoTls)).await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => {
                match error.code() {
                    Some(state) => log(Outcome::Refused { sqlstate: state.code() }),
                    None => log(Outcome::NoAnswer { reason: &error.to_string() }),
                }
                return Err(unavailable(error));
            }
            Err(_) => {
                let reason = "no answer in time";
                log(Outcome::NoAnswer { reason });
                return Err(Unavailable::Unreachable(reason.to_owned()));
            }
        };
        log(Outcome::Ok);
        tokio::spawn(connection);
        ensure_table(&client).await?;
        Ok(Session { version: login.version.clone(), client: Arc::new(client) })
    }
}

/// A replica gets its table from its primary; only who may write creates it.
async fn ensure_table(client: &Client) -> Result<(), Unavailable> {
    let ensured = async {
        let row = client.query_one("SELECT NOT pg_is_in_recovery() AND to_regclass('orders') IS NULL", &[]).await?;
        if row.get(0) {
            client.batch_execute(CREATE_TABLE).await?;
        }
        Ok(())
    };
    match timeout(QUERY, ensured).await {
        Ok(result) => result.map_err(unavailable),
        Err(_) => Err(Unavailable::Unreachable("no answer in time".to_owned())),
    }
}

fn unavailable(error: tokio_postgres::Error) -> Unavailable {
    match error.code() {
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Unavailable::ReadOnly,
        Some(state) if state.code().starts_with("28") => Unavailable::NoLogin { sqlstate: state.code().to_owned() },
        Some(state) => Unavailable::Database { sqlstate: state.code().to_owned() },
        None => Unavailable::Unreachable(error.to_string()),
    }
}

fn order(row: &Row) -> Order {
    Order { id: row.get(0), region: row.get(1), at: row.get(2) }
}
