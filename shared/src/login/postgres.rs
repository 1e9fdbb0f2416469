//! Logins at PostgreSQL: what proves that a promoted database can be used, and what a rotation changes.
//!
//! Every call is one short connection of its own. They are few, and a connection kept over a promotion or a change of the
//! password would prove nothing.
//!
//! A new password never travels nor is logged as itself: what is sent is the verifier that the server would have made of
//! it (SCRAM, or MD5 where the server still makes those), as `\password` of psql does. RDS logs statements of role
//! changes by default in many parameter groups.

mod compare;
mod error;
mod heartbeat;
mod home;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::tls::Trust;
use super::{COMPARING, CONNECT, LOGIN, STATEMENTS, place};
use crate::ports::{Compared, LeftRows, Login, LoginError, Lsn, Position, Proof, Reached, Seen, Table, Tables};
use crate::secret::{SecretValue, Tls};
use compare::Side;
use error::{Failure, explain};

/// The database that a login opens where the secret does not say; it always exists.
const MAINTENANCE_DATABASE: &str = "postgres";
/// Ending every session and seeing that nothing writes any more.
const CLOSING: Duration = Duration::from_secs(45);

/// Logs in to PostgreSQL.
#[derive(Debug)]
pub struct PgLogin {
    trust: Arc<Trust>,
    /// Made once, by the first login with TLS.
    config: OnceLock<Result<rustls::ClientConfig, String>>,
}

impl PgLogin {
    /// Trusts the CAs of a PEM file, the system's where it is absent.
    pub fn trusting(ca_file: Option<PathBuf>) -> PgLogin {
        PgLogin::of(Arc::new(Trust::of(ca_file)))
    }

    pub(super) fn of(trust: Arc<Trust>) -> PgLogin {
        PgLogin { trust, config: OnceLock::new() }
    }

    /// Logs in, does `work`, logs out.
    async fn session<T>(
        &self,
        with: &SecretValue,
        doing: &'static str,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, LoginError> {
        self.session_within(STATEMENTS, with, doing, work).await
    }

    async fn session_within<T>(
        &self,
        limit: Duration,
        with: &SecretValue,
        doing: &'static str,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, LoginError> {
        let at = place(with)?;
        let session = self.connect(with, &at).await?;
        let done = timeout(limit, work(&session.client)).await;
        session.close().await;
        match done {
            Ok(done) => done.map_err(|failure| explain(failure, &at, doing)),
            Err(_) => Err(LoginError::TimedOut { at, seconds: limit.as_secs() }),
        }
    }

    /// Logs in to two databases. Which of them failed, the work itself says.
    async fn two_sessions<T>(
        &self,
        (one, other): (&SecretValue, &SecretValue),
        work: impl AsyncFnOnce(&Side<'_>, &Side<'_>) -> Result<T, LoginError>,
    ) -> Result<T, LoginError> {
        let (at_one, at_other) = (place(one)?, place(other)?);
        let (first, second) = tokio::join!(self.connect(one, &at_one), self.connect(other, &at_other));
        let (first, second) = (first?, second?);
        let sides = (Side { client: &first.client, at: &at_one }, Side { client: &second.client, at: &at_other });
        let done = timeout(COMPARING, work(&sides.0, &sides.1)).await;
        tokio::join!(first.close(), second.close());
        done.unwrap_or_else(|_| Err(LoginError::TimedOut { at: format!("{at_one} and {at_other}"), seconds: COMPARING.as_secs() }))
    }

    async fn connect(&self, with: &SecretValue, at: &str) -> Result<Session, LoginError> {
        match with.tls() {
            Tls::Off => self.connect_by(with, at, SslMode::Disable).await,
            Tls::Required => self.connect_by(with, at, SslMode::Require).await,
            Tls::Preferred => match self.connect_by(with, at, SslMode::Prefer).await {
                // As AWS's own rotation functions do where `ssl` is missing. Where plaintext fails too, what was wrong
                // with TLS is the remedy, unless the password is.
                Err(tls @ LoginError::Tls { .. }) => match self.connect_by(with, at, SslMode::Disable).await {
                    Err(plain) if !matches!(plain, LoginError::WrongPassword { .. }) => Err(tls),
                    answer => answer,
                },
                answer => answer,
            },
        }
    }

    async fn connect_by(&self, with: &SecretValue, at: &str, mode: SslMode) -> Result<Session, LoginError> {
        let endpoint = with.endpoint()?;
        let mut config = Config::new();
        config.host(&endpoint.host).port(endpoint.port).dbname(with.database().unwrap_or(MAINTENANCE_DATABASE));
        config.user(with.username()?).password(with.password()?);
        config.application_name("relight").connect_timeout(CONNECT).ssl_mode(mode);
        let doing = "let this user in";
        let session = async {
            if mode == SslMode::Disable {
                let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(|error| explain(error.into(), at, doing))?;
                return Ok(Session::drive(client, connection));
            }
            let tls = MakeRustlsConnect::new(self.tls(at)?);
            let (client, connection) = config.connect(tls).await.map_err(|error| explain(error.into(), at, doing))?;
            Ok(Session::drive(client, connection))
        };
        timeout(LOGIN, session).await.unwrap_or_else(|_| Err(LoginError::TimedOut { at: at.to_owned(), seconds: LOGIN.as_secs() }))
    }

    fn tls(&self, at: &str) -> Result<rustls::ClientConfig, LoginError> {
        let config = self.config.get_or_init(|| self.trust.client_config());
        config.clone().map_err(|why| LoginError::Tls { at: at.to_owned(), why })
    }
}

impl Login for PgLogin {
    async fn login(&self, with: &SecretValue) -> Result<Seen, LoginError> {
        self.session(with, "say whether it is in recovery", async |client| {
            let row = client
                .query_one("select pg_is_in_recovery(), coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false)", &[])
                .await?;
            Ok(Seen { in_recovery: row.try_get(0)?, encrypted: row.try_get(1)? })
        })
        .await
    }

    async fn prove_writable(&self, with: &SecretValue) -> Result<Proof, LoginError> {
        self.session(with, "take a row of relight_marker", async |client| {
            let row = client.query_one("select pg_is_in_recovery(), current_setting('transaction_read_only')::boolean", &[]).await?;
            if row.try_get(0)? {
                return Err(Failure::ReadOnly("it is in recovery, its promotion has not ended"));
            }
            if row.try_get(1)? {
                return Err(Failure::ReadOnly("its transactions are read-only by default; set default_transaction_read_only to off"));
            }
            match write_row(client).await {
                Ok(()) => Ok(Proof::Row),
                Err(Failure::Sql(error)) if may_not(&error) => write_log(client).await,
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn change_password(&self, with: &SecretValue, to: &str) -> Result<(), LoginError> {
        let user = with.username()?;
        self.session(with, "change its user's password", async |client| {
            client.batch_execute(&set_password(client, user, to).await?).await?;
            Ok(())
        })
        .await
    }

    /// The twin is a member of the first user's role, as in AWS's own rotation function: what that one may do, it may.
    /// What the twin creates is the twin's; so migrations belong to a user that does not rotate.
    async fn ensure_twin(&self, admin: &SecretValue, of: &SecretValue, twin: &SecretValue) -> Result<(), LoginError> {
        let (user, twin_user, twin_password) = (of.username()?, twin.username()?, twin.password()?);
        self.session(admin, "create or alter the other user", async |client| {
            let exists = client.query_opt("select 1 from pg_roles where rolname = $1", &[&twin_user]).await?.is_some();
            let password = set_password(client, twin_user, twin_password).await?;
            if exists {
                client.batch_execute(&password).await?;
                return Ok(());
            }
            // One transaction: a user without its rights would be found next time, and taken for complete.
            let twin_user = escape_identifier(twin_user);
            let create = ["begin; create role ", &twin_user, " login; grant ", &escape_identifier(user), " to ", &twin_user, "; "];
            let statement = Zeroizing::new([create.concat().as_str(), password.as_str(), "; commit"].concat());
            client.batch_execute(&statement).await?;
            Ok(())
        })
        .await
    }

    async fn beat(&self, with: &SecretValue) -> Result<(), LoginError> {
        self.session(with, "take the heartbeat's row", heartbeat::beat).await
    }

    async fn reached(&self, with: &SecretValue) -> Result<Reached, LoginError> {
        self.session(with, "say how far it came", heartbeat::reached).await
    }

    async fn position(&self, with: &SecretValue) -> Result<Position, LoginError> {
        self.session(with, "say where its log stands", home::position).await
    }

    async fn behind(&self, writer: &SecretValue, replica: &SecretValue) -> Result<u64, LoginError> {
        let (written, there) = tokio::join!(self.position(writer), self.position(replica));
        Ok(written?.received.0.saturating_sub(there?.replayed.0))
    }

    async fn tables(&self, with: &SecretValue, named: &[String]) -> Result<Tables, LoginError> {
        let at = place(with)?;
        let session = self.connect(with, &at).await?;
        let done = timeout(STATEMENTS, compare::tables(&Side { client: &session.client, at: &at }, named)).await;
        session.close().await;
        done.unwrap_or_else(|_| Err(LoginError::TimedOut { at, seconds: STATEMENTS.as_secs() }))
    }

    async fn left_behind(&self, old: &SecretValue, serving: &SecretValue, table: &Table) -> Result<LeftRows, LoginError> {
        self.two_sessions((old, serving), async |old, serving| compare::left_behind(old, serving, table).await).await
    }

    async fn compare(&self, here: &SecretValue, there: &SecretValue, tables: &[Table]) -> Result<Compared, LoginError> {
        self.two_sessions((here, there), async |here, there| compare::compare(here, there, tables).await).await
    }

    async fn close_writes(&self, admin: &SecretValue) -> Result<Lsn, LoginError> {
        self.session_within(CLOSING, admin, "close its writes", home::close_writes).await
    }

    async fn open_writes(&self, admin: &SecretValue) -> Result<(), LoginError> {
        self.session_within(CLOSING, admin, "open its writes", home::open_writes).await
    }
}

/// Writes a row, and reads it back in a transaction of its own.
async fn write_row(client: &Client) -> Result<(), Failure> {
    let marker = Uuid::new_v4().to_string();
    let write = [
        "insert into relight_marker (id, marker) values (1, ",
        &escape_literal(&marker),
        ") on conflict (id) do update set marker = excluded.marker, written_at = now()",
    ]
    .concat();
    match client.batch_execute(&write).await {
        // Asked of the table and not by `create ... if not exists`, which wants the right to create even where it exists.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
            let create = "create table relight_marker (id integer primary key, marker text not null, written_at timestamptz not null default now())";
            client.batch_execute(create).await?;
            client.batch_execute(&write).await?;
        }
        written => written?,
    }
    let read: String = client.query_one("select marker from relight_marker where id = 1", &[]).await?.try_get(0)?;
    if read == marker { Ok(()) } else { Err(Failure::NotRead) }
}

/// Commits a record of its own to the write-ahead log, which needs no table: the commit waits for the disk.
async fn write_log(client: &Client) -> Result<Proof, Failure> {
    match client.query_one("select pg_logical_emit_message(true, 'relight', 'marker') is not null", &[]).await {
        Ok(_) => Ok(Proof::Log),
        Err(error) if may_not(&error) => Ok(Proof::Word),
        Err(error) => Err(error.into()),
    }
}

/// The user lacks a right, or a schema of its own.
fn may_not(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE || *code == SqlState::INVALID_SCHEMA_NAME)
}

/// The statement that sets a password. The name and the verifier are quoted by the protocol crate's own functions.
async fn set_password(client: &Client, user: &str, to: &str) -> Result<Zeroizing<String>, Failure> {
    let made: String = client.query_one("select current_setting('password_encryption')", &[]).await?.try_get(0)?;
    let verifier = Zeroizing::new(match made.as_str() {
        "md5" => password::md5(to.as_bytes(), user),
        _ => password::scram_sha_256(to.as_bytes()),
    });
    let literal = Zeroizing::new(escape_literal(&verifier));
    Ok(Zeroizing::new(["alter role ", &escape_identifier(user), " password ", &literal].concat()))
}

/// A connection and the task that moves its bytes.
struct Session {
    client: Client,
    driver: tokio::task::JoinHandle<()>,
}

impl Session {
    fn drive<S>(client: Client, connection: tokio_postgres::Connection<tokio_postgres::Socket, S>) -> Session
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let driver = tokio::spawn(async move {
            // What it fails with, the statement that waits for it is told as well.
            let _told = connection.await;
        });
        Session { client, driver }
    }

    /// Says goodbye; a server that does not listen any more is left alone.
    async fn close(self) {
        drop(self.client);
        let abort = self.driver.abort_handle();
        if timeout(Duration::from_secs(1), self.driver).await.is_err() {
            abort.abort();
        }
    }
}
