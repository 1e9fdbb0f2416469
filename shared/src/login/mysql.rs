//! Logins at MySQL and MariaDB.
//!
//! Both understand every statement here but those that set a password, and a few columns of a replica's status have two names.
//! What the stage runs is MariaDB.
//!
//! A new password is sent to MariaDB as the hash that the server would have made of it. MySQL takes no hash that every method of
//! authentication understands; it gets the password, over TLS where the secret allows that, and writes it into none of its logs.

mod compare;
mod error;
mod home;
mod left;
mod replica;
mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use tokio::time::timeout;
use uuid::Uuid;

use super::tls::Trust;
use super::{COMPARING, LOGIN, STATEMENTS, place};
use crate::ports::{Compared, LeftRows, Login, LoginError, Lsn, Position, Proof, Reached, Seen, Table, Tables};
use crate::secret::{SecretValue, Tls};
use compare::Side;
use error::{Failure, NO_TLS, explain};

/// Text is quoted by doubling quotes alone, times are UTC, and each statement is committed by itself, whatever the server's own settings say.
const SESSION: &str = "set session sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES', time_zone = '+00:00', autocommit = 1";
/// A server that does not listen any more is left alone.
const GOODBYE: Duration = Duration::from_secs(1);
/// The driver asks the server for these where it is not told; nothing here is larger, or waits longer.
const PACKET: usize = 16 << 20;
const IDLE: usize = 60;

const WRITE: &str = "insert into relight_marker (id, marker) values (1, ?) \
                     on duplicate key update marker = values(marker), written_at = current_timestamp(6)";
const CREATE: &str = "create table relight_marker (id int primary key, marker varchar(36) not null, \
                      written_at timestamp(6) not null default current_timestamp(6))";
const READ: &str = "select marker from relight_marker where id = 1";

/// Logs in to MySQL and MariaDB.
#[derive(Debug)]
pub struct MyLogin {
    trust: Arc<Trust>,
}

impl MyLogin {
    /// Trusts the CAs of a PEM file, the system's where it is absent.
    pub fn trusting(ca_file: Option<PathBuf>) -> MyLogin {
        MyLogin::of(Arc::new(Trust::of(ca_file)))
    }

    pub(super) fn of(trust: Arc<Trust>) -> MyLogin {
        MyLogin { trust }
    }

    /// Logs in, does `work`, logs out.
    async fn session<T>(
        &self,
        with: &SecretValue,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, Failure>,
    ) -> Result<T, LoginError> {
        let at = place(with)?;
        let mut session = self.connect(with, &at).await?;
        let done = timeout(STATEMENTS, work(&mut session)).await;
        let _goodbye = timeout(GOODBYE, session.disconnect()).await;
        match done {
            Ok(done) => done.map_err(|failure| explain(failure, &at, doing)),
            Err(_) => Err(LoginError::TimedOut { at, seconds: STATEMENTS.as_secs() }),
        }
    }

    async fn connect(&self, with: &SecretValue, at: &str) -> Result<Conn, LoginError> {
        match with.tls() {
            Tls::Off => self.connect_by(with, at, None).await,
            Tls::Required => self.connect_by(with, at, Some(self.tls(at)?)).await,
            Tls::Preferred => {
                let encrypted = match self.tls(at) {
                    Ok(tls) => self.connect_by(with, at, Some(tls)).await,
                    Err(error) => Err(error),
                };
                match encrypted {
                    Err(LoginError::Tls { why, .. }) if why == NO_TLS => self.connect_by(with, at, None).await,
                    // As at PostgreSQL: what was wrong with TLS is the remedy, unless the password is.
                    Err(tls @ LoginError::Tls { .. }) => match self.connect_by(with, at, None).await {
                        Err(plain) if !matches!(plain, LoginError::WrongPassword { .. }) => Err(tls),
                        answer => answer,
                    },
                    answer => answer,
                }
            }
        }
    }

    async fn connect_by(&self, with: &SecretValue, at: &str, tls: Option<SslOpts>) -> Result<Conn, LoginError> {
        let endpoint = with.endpoint()?;
        let opts = OptsBuilder::default()
            .ip_or_hostname(endpoint.host)
            .tcp_port(endpoint.port)
            .user(Some(with.username()?))
            .pass(Some(with.password()?))
            .db_name(with.database())
            .ssl_opts(tls)
            // Else a server on this machine would be looked for at its socket, which no secret names.
            .prefer_socket(false)
            .max_allowed_packet(Some(PACKET))
            .wait_timeout(Some(IDLE))
            .stmt_cache_size(0)
            .init(vec![SESSION]);
        let late = |limit: Duration| LoginError::TimedOut { at: at.to_owned(), seconds: limit.as_secs() };
        let connected = timeout(LOGIN, Conn::new(Opts::from(opts))).await.map_err(|_| late(LOGIN))?;
        connected.map_err(|error| explain(error.into(), at, "let this user in"))
    }

    fn tls(&self, at: &str) -> Result<SslOpts, LoginError> {
        let trusted = self.trust.certificates().map_err(|why| LoginError::Tls { at: at.to_owned(), why })?;
        let roots = trusted.iter().map(|certificate| certificate.as_ref().to_vec().into()).collect();
        Ok(SslOpts::default().with_disable_built_in_roots(true).with_root_certs(roots))
    }
}

impl Login for MyLogin {
    async fn login(&self, with: &SecretValue) -> Result<Seen, LoginError> {
        self.session(with, "say whether it is read-only", async |session| {
            let in_recovery = replica::is_read_only(session).await?;
            let cipher: Option<(String, String)> = session.query_first("show session status like 'Ssl_cipher'").await?;
            Ok(Seen { in_recovery, encrypted: cipher.is_some_and(|(_, cipher)| !cipher.is_empty()) })
        })
        .await
    }

    async fn prove_writable(&self, with: &SecretValue) -> Result<Proof, LoginError> {
        self.session(with, "take a row of relight_marker", async |session| {
            // A user with the right to write nevertheless would prove nothing for the others.
            if replica::is_read_only(session).await? {
                return Err(Failure::ReadOnly("read_only is on: its promotion has not ended, or its parameter group sets it"));
            }
            match write_row(session).await {
                Ok(()) => Ok(Proof::Row),
                Err(failure) if failure.is_about_rights() => Ok(Proof::Word),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    async fn change_password(&self, with: &SecretValue, to: &str) -> Result<(), LoginError> {
        self.session(with, "change its user's password", async |session| users::change_own_password(session, to).await).await
    }

    async fn ensure_twin(&self, admin: &SecretValue, of: &SecretValue, twin: &SecretValue) -> Result<(), LoginError> {
        let (user, twin_user, twin_password) = (of.username()?, twin.username()?, twin.password()?);
        self.session(admin, "create or alter the other user", async |session| users::ensure_twin(session, user, twin_user, twin_password).await).await
    }

    async fn beat(&self, with: &SecretValue) -> Result<(), LoginError> {
        self.session(with, "take the heartbeat's row", replica::beat).await
    }

    async fn reached(&self, with: &SecretValue) -> Result<Reached, LoginError> {
        self.session(with, "say how far it came", replica::reached).await
    }

    async fn position(&self, with: &SecretValue) -> Result<Position, LoginError> {
        self.session(with, "say where its log stands", home::position).await
    }

    async fn behind(&self, writer: &SecretValue, replica: &SecretValue) -> Result<u64, LoginError> {
        let there = self.position(replica).await?;
        self.session(writer, "say where its log stands", async |session| home::log_after(session, there.replayed).await).await
    }

    async fn tables(&self, with: &SecretValue, named: &[String]) -> Result<Tables, LoginError> {
        self.session(with, "list its tables", async |session| compare::tables(session, named).await).await
    }

    async fn left_behind(&self, old: &SecretValue, serving: &SecretValue, table: &Table) -> Result<LeftRows, LoginError> {
        let (at_old, at_serving) = (place(old)?, place(serving)?);
        let (one, two, three) = tokio::join!(self.connect(old, &at_old), self.connect(old, &at_old), self.connect(serving, &at_serving));
        let (mut one, mut two, mut three) = (one?, two?, three?);
        let stream = &mut Side { session: &mut one, at: &at_old };
        let (old, serving) = (&mut Side { session: &mut two, at: &at_old }, &mut Side { session: &mut three, at: &at_serving });
        let left = timeout(COMPARING, left::left_behind(stream, old, serving, table)).await;
        let _goodbyes = timeout(GOODBYE, async { tokio::join!(one.disconnect(), two.disconnect(), three.disconnect()) }).await;
        left.unwrap_or_else(|_| Err(late(&at_old, &at_serving)))
    }

    async fn compare(&self, here: &SecretValue, there: &SecretValue, tables: &[Table]) -> Result<Compared, LoginError> {
        let (at_here, at_there) = (place(here)?, place(there)?);
        let (one, other) = tokio::join!(self.connect(here, &at_here), self.connect(there, &at_there));
        let (mut one, mut other) = (one?, other?);
        let (here, there) = (&mut Side { session: &mut one, at: &at_here }, &mut Side { session: &mut other, at: &at_there });
        let compared = timeout(COMPARING, compare::compare(here, there, tables)).await;
        let _goodbyes = timeout(GOODBYE, async { tokio::join!(one.disconnect(), other.disconnect()) }).await;
        compared.unwrap_or_else(|_| Err(late(&at_here, &at_there)))
    }

    async fn close_writes(&self, admin: &SecretValue) -> Result<Lsn, LoginError> {
        self.session(admin, "say that its writes are closed", home::close_writes).await
    }

    async fn open_writes(&self, admin: &SecretValue) -> Result<(), LoginError> {
        self.session(admin, "say that its writes are open", home::open_writes).await
    }
}

/// Two databases that were read for too long.
fn late(one: &str, other: &str) -> LoginError {
    LoginError::TimedOut { at: format!("{one} and {other}"), seconds: COMPARING.as_secs() }
}

/// Writes a row, and reads it back in a transaction of its own.
async fn write_row(session: &mut Conn) -> Result<(), Failure> {
    let marker = Uuid::new_v4().to_string();
    let write = WRITE.replace('?', &literal(&marker));
    match session.query_drop(&write).await {
        // Asked of the table and not by `create ... if not exists`, which wants the right to create even where it exists.
        Err(error) if error::is_no_such_table(&error) => {
            session.query_drop(CREATE).await?;
            session.query_drop(&write).await?;
        }
        written => written?,
    }
    let read: Option<String> = session.query_first(READ).await?;
    if read == Some(marker) { Ok(()) } else { Err(Failure::NotRead) }
}

/// Backslashes stand for themselves, see [`SESSION`].
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
