//! One server process: start, SQL as its superuser, and the three ways in which it ends.
//!
//! The process belongs to a task that waits for it, so an end that nobody asked for is seen too; everyone else (the endpoint,
//! the links of its replicas) watches `Phase` and learns the port from it.
//!
//! PostgreSQL's children put themselves into sessions of their own, so a signal to its process group reaches the postmaster
//! alone. A child whose postmaster has gone ends by itself; `kill` does not rely on that and ends them all. MariaDB has none.

use crate::engine::Engine;
use crate::error::Error;
use crate::freeze::Frozen;
use crate::mariadb_replication;
use crate::read_only::Writes;
use crate::session::{Row, Session, SqlError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

const START_LIMIT: Duration = Duration::from_secs(30);
const SQL_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(15);
/// A port is free when it is chosen and may be taken when it is used.
const PORT_ATTEMPTS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Down,
    Starting { pid: i32 },
    Up { pid: i32, port: u16 },
}

impl Phase {
    pub(crate) fn pid(self) -> Option<i32> {
        match self {
            Phase::Down => None,
            Phase::Starting { pid } | Phase::Up { pid, .. } => Some(pid),
        }
    }

    pub(crate) fn port(self) -> Option<u16> {
        match self {
            Phase::Up { port, .. } => Some(port),
            Phase::Down | Phase::Starting { .. } => None,
        }
    }
}

/// Told of each server's process group, so that someone outside can end it when this process cannot.
pub type OnSpawn = Arc<dyn Fn(i32) + Send + Sync>;

pub(crate) struct Server {
    engine: Engine,
    data: PathBuf,
    phase: watch::Sender<Phase>,
    on_spawn: Option<OnSpawn>,
    disk_full: AtomicBool,
    pub(crate) writes: std::sync::Mutex<Writes>,
    /// One at a time may start or end the process.
    turn: Mutex<()>,
    admin: Mutex<Option<Session>>,
}

impl Server {
    pub(crate) fn new(engine: Engine, data: PathBuf, on_spawn: Option<OnSpawn>) -> Server {
        let (phase, disk_full) = (watch::Sender::new(Phase::Down), AtomicBool::new(false));
        Server { engine, data, phase, on_spawn, disk_full, writes: Default::default(), turn: Mutex::default(), admin: Mutex::default() }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn now(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn port(&self) -> Result<u16, Error> {
        self.now().port().ok_or_else(|| Error::Down { data: self.data.clone() })
    }

    /// Returns when the server answers; nothing when it already does.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        if self.now() != Phase::Down {
            return Ok(());
        }
        let mut last = None;
        for _ in 0..PORT_ATTEMPTS {
            match self.start_on(free_port()?).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Down { data: self.data.clone() }))
    }

    async fn start_on(&self, port: u16) -> Result<(), Error> {
        let log_path = self.log_path();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path).map_err(|source| Error::Folder {
            operation: "open",
            path: log_path,
            source,
        })?;
        if let Engine::MariaDb(mariadb) = &self.engine {
            mariadb.configure(&self.data, self.starts_read_only())?;
        }
        let mut command = self.engine.server(&self.data, port);
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().map_err(|source| self.engine.spawn_error(source))?;
        // A child that was just spawned has an id; without one it has ended already.
        let pid = child.id().map(|id| id as i32).ok_or_else(|| Error::NotReady { data: self.data.clone(), said: self.last_words() })?;
        if let Some(told) = &self.on_spawn {
            told(pid);
        }
        if self.disk_full.load(Ordering::Relaxed) {
            self.engine.home().limit_files(pid).await?;
        }
        self.phase.send_replace(Phase::Starting { pid });
        let phase = self.phase.clone();
        tokio::spawn(async move {
            let _ = child.wait().await;
            phase.send_replace(Phase::Down);
        });
        self.wait_until_ready(pid, port).await?;
        self.phase.send_if_modified(|phase| {
            // It may have ended since.
            let started = *phase == Phase::Starting { pid };
            if started {
                *phase = Phase::Up { pid, port };
            }
            started
        });
        Ok(())
    }

    async fn wait_until_ready(&self, pid: i32, port: u16) -> Result<(), Error> {
        let limit = Instant::now() + START_LIMIT;
        while Instant::now() < limit && self.now() != Phase::Down {
            if self.engine.is_ready(&self.data, pid, port).await {
                return Ok(());
            }
            sleep(POLL).await;
        }
        self.end_all(pid).await;
        Err(Error::NotReady { data: self.data.clone(), said: self.last_words() })
    }

    /// Nothing can be appended any more: the system refuses it to the server and each of its children, as a full disk would. The log
    /// cannot go on, so a server that writes or receives ends with a PANIC, and does not start again until there is room.
    pub(crate) async fn set_disk_full(&self, full: bool) -> Result<(), Error> {
        self.disk_full.store(full, Ordering::Relaxed);
        if !full {
            // One that is just ending of it would end a moment after it was given room.
            return self.restart().await;
        }
        let Some(pid) = self.now().pid() else { return Ok(()) };
        // The postmaster first: what it forks from here on has its limit.
        self.engine.home().limit_files(pid).await?;
        for child in children_of(pid) {
            // It may have ended by itself since.
            let _ = self.engine.home().limit_files(child).await;
        }
        Ok(())
    }

    /// SIGKILL to the server and all its children, as when its machine dies.
    pub(crate) async fn kill(&self) {
        // A start that is under way holds the turn; the kill must not wait for its end.
        if let Some(pid) = self.now().pid() {
            self.end_all(pid).await;
        }
    }

    async fn end_all(&self, pid: i32) {
        // Stopped first: else it would fork between the look at its children and the kill.
        send(pid, Signal::SIGSTOP);
        let children = children_of(pid);
        send(pid, Signal::SIGKILL);
        for child in &children {
            send(*child, Signal::SIGKILL);
        }
        let mut phase = self.phase.subscribe();
        let _ = timeout(Duration::from_secs(5), phase.wait_for(|now| now.pid() != Some(pid))).await;
        let limit = Instant::now() + Duration::from_secs(5);
        // A child that is still attached to the shared memory would make the next start fail.
        while Instant::now() < limit && children.iter().any(|child| is_running(*child)) {
            sleep(POLL).await;
        }
        self.admin.lock().await.take();
        self.engine.clean_up(&self.data).await;
    }

    /// In order, with its sessions ended; after `patience` at once. A server that shuts down in order waits for its replicas
    /// to have everything, which behind a long delay would take as long as the delay.
    pub(crate) async fn stop(&self, patience: Duration) {
        let _turn = self.turn.lock().await;
        let Some(pid) = self.now().pid() else { return };
        self.admin.lock().await.take();
        for (signal, patience) in self.engine.endings(patience) {
            send(pid, signal);
            let mut phase = self.phase.subscribe();
            if timeout(patience, phase.wait_for(|now| now.pid() != Some(pid))).await.is_ok() {
                return;
            }
        }
        self.end_all(pid).await;
    }

    pub(crate) async fn restart(&self) -> Result<(), Error> {
        self.stop(Duration::from_secs(2)).await;
        self.start().await
    }

    /// The data of one moment, while the server goes on, or as one that does not run left it.
    pub(crate) async fn copy_to(&self, data: &Path) -> Result<(), Error> {
        match (&self.engine, self.now()) {
            (Engine::Postgres(postgres), Phase::Up { port, .. }) => postgres.base_backup(port, data).await,
            (Engine::MariaDb(mariadb), Phase::Up { pid, port }) => {
                let mut lock = self.engine.connect(port, None).await.map_err(|source| self.sql_error("log in", source))?;
                // Users and their grants are in tables that know no transaction: nobody may be half way through changing one.
                let locking = "SET lock_wait_timeout = 10; FLUSH TABLES WITH READ LOCK";
                lock.rows(locking).await.map_err(|source| self.sql_error("lock it for a copy", source))?;
                let standing = Frozen::stop(pid, &self.data).await?;
                let copied = mariadb.home.copy_folder(&self.data, data).await;
                drop(standing);
                lock.end().await;
                copied
            }
            (engine, Phase::Down | Phase::Starting { .. }) => engine.home().copy_folder(&self.data, data).await,
        }
    }

    /// Starts over a copy of the source's data and replicates what is sent through `link_port`.
    pub(crate) async fn start_following(&self, link_port: u16) -> Result<(), Error> {
        match &self.engine {
            Engine::Postgres(postgres) => {
                postgres.follow(&self.data, link_port)?;
                self.start().await
            }
            Engine::MariaDb(mariadb) => mariadb_replication::start_following(mariadb, self, link_port).await,
        }
    }

    /// Returns when the server has what it received and follows nobody: one that is restarted takes writes.
    pub(crate) async fn promote(&self) -> Result<(), Error> {
        match &self.engine {
            Engine::Postgres(_) => self.promote_postgres().await,
            Engine::MariaDb(_) => mariadb_replication::promote(self).await,
        }
    }

    async fn promote_postgres(&self) -> Result<(), Error> {
        if self.is_in_recovery().await? {
            // Over a connection of its own: DescribeDBInstances asks over the shared one meanwhile.
            self.sql_in(None, "SELECT pg_promote(true, 15)").await?;
        }
        match self.is_in_recovery().await? {
            false => Ok(()),
            true => Err(Error::Silent { operation: "promote", data: self.data.clone(), seconds: 15 }),
        }
    }

    /// Not whether it takes writes: a parameter of MariaDB may forbid those to a writer too.
    pub(crate) async fn is_in_recovery(&self) -> Result<bool, Error> {
        match self.engine {
            Engine::Postgres(_) => {
                let rows = self.sql("ask whether it is in recovery", "SELECT pg_is_in_recovery()").await?;
                Ok(rows.first().and_then(|row| row.get(0)) == Some("t"))
            }
            Engine::MariaDb(_) => Ok(!self.sql("ask whether it replicates", mariadb_replication::STATUS).await?.is_empty()),
        }
    }

    /// A restored server replays its snapshot's log first, and lets readers in meanwhile.
    pub(crate) async fn wait_until_recovered(&self) -> Result<(), Error> {
        let limit = Instant::now() + START_LIMIT;
        while self.is_in_recovery().await? {
            if Instant::now() > limit {
                return Err(Error::Silent { operation: "recover", data: self.data.clone(), seconds: START_LIMIT.as_secs() });
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// As the superuser, where its own tables are.
    pub(crate) async fn sql(&self, operation: &'static str, sql: &str) -> Result<Vec<Row>, Error> {
        let seconds = SQL_LIMIT.as_secs();
        let mut admin = self.admin.lock().await;
        let work = async {
            let kept = admin.take().filter(|session| !session.is_closed());
            let mut session = match kept {
                Some(session) => session,
                None => self.connect(None).await?,
            };
            let rows = session.rows(sql).await.map_err(|source| self.sql_error(operation, source))?;
            *admin = Some(session);
            Ok(rows)
        };
        timeout(SQL_LIMIT, work).await.unwrap_or_else(|_| Err(Error::Silent { operation, data: self.data.clone(), seconds }))
    }

    /// As the superuser, in another database where one is named, over a connection of its own.
    pub(crate) async fn sql_in(&self, database: Option<&str>, sql: &str) -> Result<Vec<Row>, Error> {
        let mut session = self.connect(database).await?;
        let rows = session.rows(sql).await.map_err(|source| self.sql_error("run SQL", source));
        session.end().await;
        rows
    }

    pub(crate) async fn connect(&self, database: Option<&str>) -> Result<Session, Error> {
        let port = self.port()?;
        self.engine.connect(port, database).await.map_err(|source| self.sql_error("log in", source))
    }

    pub(crate) fn sql_error(&self, operation: &'static str, source: SqlError) -> Error {
        Error::Sql { operation, data: self.data.clone(), source }
    }

    /// Data and log of a server that has ended.
    pub(crate) fn remove_files(&self) -> Result<(), Error> {
        let _ = std::fs::remove_file(self.log_path());
        match std::fs::remove_dir_all(&self.data) {
            // An instance whose creation failed early has none.
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Folder { operation: "remove", path: self.data.clone(), source })
            }
            _ => Ok(()),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.data.with_extension(format!("{}.log", self.data.extension().unwrap_or_default().to_string_lossy()))
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(6)..].join(" | ")
    }
}

/// A process that has already gone is what was wanted.
pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

fn free_port() -> Result<u16, Error> {
    let found = crate::port::free_port();
    found.map(|address| address.port()).map_err(|source| Error::Listen { operation: "find a free port", source })
}

fn children_of(parent: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| stat_of(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

pub(crate) fn is_running(pid: i32) -> bool {
    stat_of(pid).is_some_and(|(state, _)| state != 'Z')
}

/// State and parent. The name before them stands in brackets and may hold anything, brackets too.
fn stat_of(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
