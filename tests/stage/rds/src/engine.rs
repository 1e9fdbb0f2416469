//! What differs between the engines, as the few things that the stage wants of each: data, a process, SQL, an end.

use crate::error::Error;
use crate::fault::Fault;
use crate::home::Home;
use crate::instance::Login;
use crate::mariadb::{MariaDb, forget_source};
use crate::postgres::Postgres;
use crate::session::{Session, SqlError};
use nix::sys::signal::Signal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineName {
    Postgres,
    MariaDb,
}

impl EngineName {
    pub(crate) fn parse(name: &str) -> Result<EngineName, Fault> {
        match name {
            "postgres" => Ok(EngineName::Postgres),
            "mariadb" => Ok(EngineName::MariaDb),
            other => Err(Fault::invalid_value(format!("the stage's RDS has the engines postgres and mariadb, not {other}"))),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            EngineName::Postgres => "postgres",
            EngineName::MariaDb => "mariadb",
        }
    }

    /// What RDS gives to an instance of this version that names no group.
    pub(crate) fn default_parameters(self, version: &str) -> String {
        let parts: Vec<&str> = version.split('.').collect();
        let family = match self {
            EngineName::Postgres => &parts[..1],
            EngineName::MariaDb => &parts[..parts.len().min(2)],
        };
        format!("default.{}{}", self.name(), family.join("."))
    }
}

#[derive(Clone)]
pub(crate) enum Engine {
    Postgres(Arc<Postgres>),
    MariaDb(Arc<MariaDb>),
}

impl Engine {
    pub(crate) fn version(&self) -> &str {
        match self {
            Engine::Postgres(postgres) => postgres.binaries.version(),
            Engine::MariaDb(mariadb) => mariadb.binaries.version(),
        }
    }

    pub(crate) fn home(&self) -> &Home {
        match self {
            Engine::Postgres(postgres) => &postgres.home,
            Engine::MariaDb(mariadb) => &mariadb.home,
        }
    }

    /// Data of a new, empty primary.
    pub(crate) async fn make_data(&self, data: &Path) -> Result<(), Error> {
        match self {
            Engine::Postgres(postgres) => postgres.copy_template(data).await,
            Engine::MariaDb(mariadb) => mariadb.copy_template(data).await,
        }
    }

    /// Makes copied data those of a writer of its own.
    pub(crate) fn stand_alone(&self, data: &Path) -> Result<(), Error> {
        match self {
            Engine::Postgres(postgres) => postgres.stand_alone(data),
            Engine::MariaDb(_) => forget_source(data),
        }
    }

    /// A server over `data`, not yet spawned.
    pub(crate) fn server(&self, data: &Path, port: u16) -> Command {
        match self {
            Engine::Postgres(postgres) => postgres.server(data, port),
            Engine::MariaDb(mariadb) => mariadb.server(data, port),
        }
    }

    pub(crate) fn spawn_error(&self, source: std::io::Error) -> Error {
        match self {
            Engine::Postgres(postgres) => postgres.spawn_error(source),
            Engine::MariaDb(mariadb) => mariadb.home.spawn_error(&mariadb.binaries.server, source),
        }
    }

    pub(crate) async fn is_ready(&self, data: &Path, pid: i32, port: u16) -> bool {
        match self {
            Engine::Postgres(_) => Postgres::is_ready(data, pid),
            // It says so nowhere but in its log, where an earlier start said it too.
            Engine::MariaDb(_) => match self.connect(port, None).await {
                Ok(session) => {
                    session.end().await;
                    true
                }
                Err(_) => false,
            },
        }
    }

    /// As the superuser; without a database where its own tables are.
    pub(crate) async fn connect(&self, port: u16, database: Option<&str>) -> Result<Session, SqlError> {
        match self {
            Engine::Postgres(postgres) => Session::postgres(port, &postgres.admin_password, database.unwrap_or("postgres")).await,
            Engine::MariaDb(mariadb) => Session::mariadb(port, &mariadb.admin_password, database).await,
        }
    }

    /// How a server is asked to end: in order within `patience`, then at once.
    pub(crate) fn endings(&self, patience: Duration) -> Vec<(Signal, Duration)> {
        match self {
            Engine::Postgres(_) => vec![(Signal::SIGINT, patience), (Signal::SIGQUIT, Duration::from_secs(6))],
            // It knows one way in order, which waits for no replica, and needs no other: what is not in its files is in its log.
            Engine::MariaDb(_) => vec![(Signal::SIGTERM, patience.max(Duration::from_secs(2)))],
        }
    }

    /// What ends a server and all that is its own, when nobody can wait for it.
    pub(crate) fn last_signal(&self) -> Signal {
        match self {
            Engine::Postgres(_) => Signal::SIGQUIT,
            Engine::MariaDb(_) => Signal::SIGKILL,
        }
    }

    /// What a server that was killed leaves outside its files.
    pub(crate) async fn clean_up(&self, data: &Path) {
        if let Engine::Postgres(postgres) = self {
            postgres.free_shared_memory(data).await;
        }
    }

    /// What makes a new primary its user's, statement by statement with what each is for.
    pub(crate) fn first_statements(&self, login: &Login, database: Option<&str>) -> Vec<(&'static str, String)> {
        match self {
            Engine::Postgres(postgres) => postgres.first_statements(login, database),
            Engine::MariaDb(_) => MariaDb::first_statements(login, database),
        }
    }

    pub(crate) fn change_password(&self, login: &Login) -> String {
        match self {
            Engine::Postgres(_) => Postgres::change_password(login),
            Engine::MariaDb(_) => MariaDb::change_password(login),
        }
    }
}
