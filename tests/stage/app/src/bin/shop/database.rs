//! The database behind one connection, made anew when it breaks or when the secret has a new version.
//!
//! ```text
//! login (cached) ──► session of that version, alive? ──► use it
//!                        └► no: connect ──► refused? refetch the secret; a new version is tried once ──► table ──► use it
//! ```
//!
//! One connection is enough: each request is two statements. A new version of the secret means a new login at once: pools recycle their connections too, and the stage wants to see
//! each version prove itself.

mod mysql;
mod postgres;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{sync::Mutex, time::timeout};
use uuid::Uuid;

use crate::{
    credentials::{Credentials, Login},
    logins::{LoginLog, Outcome},
};

const CONNECT: Duration = Duration::from_millis(800);
const QUERY: Duration = Duration::from_millis(800);

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
    link: Link,
}

/// A connection, by the secret's engine.
#[derive(Clone)]
enum Link {
    Postgres(postgres::Link),
    MySql(mysql::Link),
}

/// Why nobody was let in.
enum NotIn {
    Refused { sqlstate: String, why: Unavailable },
    NoAnswer { reason: String },
}

impl Database {
    pub(crate) fn new(credentials: Credentials, logins: LoginLog) -> Self {
        Self { shared: Arc::new(Shared { credentials, logins }), session: Arc::default() }
    }

    pub(crate) async fn check(&self) -> Result<(), Unavailable> {
        self.ask(async |link| match link {
            Link::Postgres(link) => link.check().await,
            Link::MySql(link) => link.check().await,
        })
        .await
    }

    pub(crate) async fn newest(&self) -> Result<Vec<Order>, Unavailable> {
        self.ask(async |link| match link {
            Link::Postgres(link) => link.newest().await,
            Link::MySql(link) => link.newest().await,
        })
        .await
    }

    /// Inserts an order and reads it back. Done twice with one id, it is there once.
    pub(crate) async fn place(&self, id: Uuid, region: &str) -> Result<Order, Unavailable> {
        let id = id.to_string();
        let placed = self
            .ask(async |link| match link {
                Link::Postgres(link) => link.place(&id, region).await,
                Link::MySql(link) => link.place(&id, region).await,
            })
            .await?;
        placed.ok_or(Unavailable::Database { sqlstate: "the row is not there after its insert".to_owned() })
    }

    async fn ask<T>(&self, ask: impl AsyncFnOnce(&Link) -> Result<T, Unavailable>) -> Result<T, Unavailable> {
        let link = self.link().await?;
        match timeout(QUERY, ask(&link)).await {
            Ok(result) => result,
            Err(_) => {
                self.drop_session(&link).await;
                Err(Unavailable::Unreachable("no answer in time".to_owned()))
            }
        }
    }

    async fn link(&self) -> Result<Link, Unavailable> {
        let login = self.shared.credentials.login().await?;
        let mut session = self.session.clone().lock_owned().await;
        if let Some(session) = &*session
            && session.version == login.version
            && !session.link.is_closed()
        {
            return Ok(session.link.clone());
        }
        let shared = self.shared.clone();
        // A task of its own: a user who hangs up must not tear a login apart before it is in the log.
        let connecting = tokio::spawn(async move {
            *session = None;
            let made = shared.connect(login).await?;
            let link = made.link.clone();
            *session = Some(made);
            Ok(link)
        });
        connecting.await.unwrap_or_else(|error| Err(Unavailable::Unreachable(error.to_string())))
    }

    /// A server that answers no query may be a black hole: the next request tries a new connection.
    async fn drop_session(&self, link: &Link) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|session| session.link.is(link)) {
            *session = None;
        }
    }
}

impl Link {
    fn is_closed(&self) -> bool {
        match self {
            Link::Postgres(link) => link.is_closed(),
            Link::MySql(link) => link.is_closed(),
        }
    }

    fn is(&self, other: &Link) -> bool {
        match (self, other) {
            (Link::Postgres(link), Link::Postgres(other)) => link.is(other),
            (Link::MySql(link), Link::MySql(other)) => link.is(other),
            _ => false,
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
        let Some(port) = value.port() else {
            return Err(Unavailable::NoSecret("its port is no number".to_owned()));
        };
        let address = format!("{}:{port}", value.host);
        let log = |outcome| self.logins.write(&login.version, &address, &value.username, &outcome);
        let connecting = async {
            match value.is_mysql() {
                true => mysql::Link::connect(value, port).await.map(Link::MySql),
                false => postgres::Link::connect(value, port).await.map(Link::Postgres),
            }
        };
        // The drivers' own limits end with the TCP connection; a server that accepts and stays silent needs this one.
        let made = timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(NotIn::NoAnswer { reason: "no answer in time".to_owned() }));
        let link = match made {
            Ok(link) => link,
            Err(NotIn::Refused { sqlstate, why }) => {
                log(Outcome::Refused { sqlstate: &sqlstate });
                return Err(why);
            }
            Err(NotIn::NoAnswer { reason }) => {
                log(Outcome::NoAnswer { reason: &reason });
                return Err(Unavailable::Unreachable(reason));
            }
        };
        log(Outcome::Ok);
        let ensuring = async {
            match &link {
                Link::Postgres(link) => link.ensure_table().await,
                Link::MySql(link) => link.ensure_table().await,
            }
        };
        timeout(QUERY, ensuring).await.unwrap_or_else(|_| Err(Unavailable::Unreachable("no answer in time".to_owned())))?;
        Ok(Session { version: login.version.clone(), link })
    }
}
