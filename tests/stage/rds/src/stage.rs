//! The handle that a stage holds: start, faults, measurements, end.

use crate::api;
use crate::engine::{Engine, EngineName};
use crate::error::Error;
use crate::fault::{Fault, PromotionFault};
use crate::home::Home;
use crate::mariadb::{MariaDb, MariaDbBinaries};
use crate::postgres::{Binaries, Postgres};
use crate::proxy::EngineFamily;
use crate::server::{OnSpawn, Server, is_running, send};
use crate::session::Row;
use crate::state::{Disturbance, Key, State, Status};
use crate::tls::Certificates;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub struct Settings {
    pub account: String,
    /// Where the servers' data goes, in folders `postgres` and `mariadb` of their own that are made anew at the start. Run as root, the folders
    /// above it must be open to the user `postgres` (or `nobody`).
    pub data_dir: PathBuf,
    pub postgres: Binaries,
    /// None: instances of that engine are refused.
    pub mariadb: Option<MariaDbBinaries>,
    pub timing: Timing,
    /// Told of each server's process group as it is spawned, so that a reaper can end what a killed stage leaves behind.
    pub on_spawn: Option<OnSpawn>,
}

/// How long RDS takes for what a local server does at once.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub creating: Duration,
    pub backing_up: Duration,
    /// How long a promoted replica still reads as `available` after the call.
    pub unseen: Duration,
    /// From the first `modifying` to `available`, besides what the server itself needs.
    pub promotion: Duration,
    pub modifying: Duration,
    pub deleting: Duration,
    /// From a proxy's new target to AVAILABLE.
    pub registering: Duration,
    /// How often an idle source makes a transaction of its own. RDS: 5 min.
    pub heartbeat: Duration,
    /// How long a replica takes a silent link for alive; from then on its `ReplicaLag` is -1. RDS: 30 s.
    pub unheard: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            creating: Duration::from_millis(500),
            backing_up: Duration::from_millis(700),
            unseen: Duration::from_millis(300),
            promotion: Duration::from_secs(3),
            modifying: Duration::from_millis(500),
            deleting: Duration::from_millis(300),
            registering: Duration::from_secs(1),
            heartbeat: Duration::from_secs(300),
            unheard: Duration::from_secs(5),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Darkness {
    /// The servers live on behind a network that carries nothing.
    Silent,
    /// They are killed with SIGKILL as well.
    Killed,
}

/// A cheap handle; the servers end with the last one of them.
#[derive(Clone)]
pub struct Rds {
    inner: Arc<Inner>,
    owner: Arc<Owner>,
}

pub(crate) struct Inner {
    pub(crate) account: String,
    pub(crate) timing: Timing,
    pub(crate) postgres: Arc<Postgres>,
    mariadb: Option<Arc<MariaDb>>,
    pub(crate) on_spawn: Option<OnSpawn>,
    pub(crate) dark: watch::Sender<BTreeSet<String>>,
    /// Locked before `dark` is read, where both are needed.
    state: Mutex<State>,
    tasks: Mutex<JoinSet<()>>,
}

impl Rds {
    pub async fn start(settings: Settings) -> Result<Rds, Error> {
        let certificates = Certificates::make()?;
        let home = Home::make(&settings.data_dir.join("postgres"))?;
        let postgres = Postgres::prepare(settings.postgres, home, &certificates, settings.timing.unheard).await?;
        let mariadb = settings.mariadb.map(|binaries| {
            let home = Home::make(&settings.data_dir.join("mariadb"))?;
            MariaDb::new(binaries, home, &certificates).map(Arc::new)
        });
        let inner = Arc::new(Inner {
            account: settings.account,
            timing: settings.timing,
            postgres: Arc::new(postgres),
            mariadb: mariadb.transpose()?,
            on_spawn: settings.on_spawn,
            dark: watch::Sender::default(),
            state: Mutex::default(),
            tasks: Mutex::default(),
        });
        let (addr, serving) = api::listen(inner.clone()).await?;
        inner.spawn(serving);
        let beating = inner.clone();
        inner.spawn(async move { beating.heartbeats().await });
        let beating = inner.clone();
        inner.spawn(async move { beating.storage_heartbeats().await });
        Ok(Rds { owner: Arc::new(Owner { inner: inner.clone(), addr }), inner })
    }

    /// Where the Query API listens, for every Region: a request's Region is that of its signature.
    pub fn addr(&self) -> SocketAddr {
        self.owner.addr
    }

    /// PEM file of the CA that the servers' certificates are signed by, as Amazon RDS has its bundle; none where PostgreSQL was built
    /// without TLS and there is no MariaDB.
    pub fn ca_file(&self) -> Option<PathBuf> {
        let mariadb = self.inner.mariadb.as_ref().map(|mariadb| mariadb.authority().to_path_buf());
        self.inner.postgres.authority.clone().or(mariadb)
    }

    /// Ends every server, at once but in order. The data stays where it is.
    pub async fn shutdown(&self) {
        self.inner.tasks().abort_all();
        let stopping: JoinSet<()> = self.inner.servers().into_iter().map(|server| async move { server.stop(Duration::ZERO).await }).collect();
        stopping.join_all().await;
    }

    /// Process groups of the living servers. SIGQUIT to the id ends a server and its children and cleans up after it.
    pub fn groups(&self) -> Vec<i32> {
        self.inner.servers().iter().filter_map(|server| server.now().pid()).collect()
    }

    /// The address that RDS gives out for the instance.
    pub fn endpoint(&self, region: &str, identifier: &str) -> Result<SocketAddr, Error> {
        let key = Key::new(region, identifier);
        let state = self.inner.lock();
        let endpoint = state.endpoints.get(&key).filter(|_| state.instances.contains_key(&key));
        let endpoint = endpoint.ok_or(Error::NoInstance { region: key.region, identifier: key.id })?;
        Ok(SocketAddr::from(([127, 0, 0, 1], endpoint.port)))
    }

    /// A proxy without a target, and where it listens: what a stack of the workload would have made.
    pub fn create_proxy(&self, region: &str, name: &str, family: EngineFamily) -> Result<SocketAddr, Error> {
        let port = self.inner.create_proxy(region, name, family)?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// The server itself, past the endpoint with its faults. It changes with each restart.
    pub fn server_addr(&self, region: &str, identifier: &str) -> Result<SocketAddr, Error> {
        let port = self.inner.server(&Key::new(region, identifier))?.port()?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Rows as text, read as the superuser from the server itself: for counting what was lost, dark or not.
    pub async fn sql(&self, region: &str, identifier: &str, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let rows = self.inner.server(&Key::new(region, identifier))?.sql_in(Some(database), sql).await?;
        Ok(rows.into_iter().map(Row::into_values).collect())
    }

    /// Rows as text out of a snapshot, read by a server that runs for this question over a copy of it.
    pub async fn sql_in_snapshot(&self, region: &str, snapshot: &str, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let key = Key::new(region, snapshot);
        let held = self.inner.lock().snapshots.get(&key).map(|snapshot| (snapshot.data.clone(), snapshot.of.engine));
        let held = held.and_then(|(data, engine)| Some((data, self.inner.engine(engine).ok()?)));
        let (data, engine) = held.ok_or(Error::NoInstance { region: key.region, identifier: key.id })?;
        let copy = data.with_extension("read");
        engine.home().copy_folder(&data, &copy).await?;
        engine.stand_alone(&copy)?;
        let server = Server::new(engine, copy, self.inner.on_spawn.clone());
        server.start().await?;
        server.wait_until_recovered().await?;
        let rows = server.sql_in(Some(database), sql).await;
        server.stop(Duration::ZERO).await;
        server.remove_files()?;
        Ok(rows?.into_iter().map(Row::into_values).collect())
    }

    /// (Region, identifier, seconds) as CloudWatch's `ReplicaLag` has them now: for PostgreSQL the time since the last replayed
    /// transaction, for MariaDB how old what it applies is, -1 where replication is inactive or unknown, no sample from a dark Region.
    pub async fn replica_lag(&self) -> Vec<(String, String, f64)> {
        self.inner.replica_lag().await
    }

    /// (Region, cluster, seconds) as Aurora's global metrics have them now, in seconds: how long the newest row that a secondary has was on
    /// its way, with all the time since where nothing arrives any more. No sample from a dark Region.
    pub async fn cluster_lag(&self) -> Vec<(String, String, f64)> {
        self.inner.cluster_lag().await
    }

    /// Jobs that failed, in words. Empty in a good run.
    pub fn troubles(&self) -> Vec<String> {
        self.inner.lock().troubles.clone()
    }

    /// How long the log is on its way to this replica; also for what is on its way already.
    pub fn set_delay(&self, region: &str, replica: &str, delay: Duration) {
        self.inner.disturb(region, replica, |set| set.delay = delay);
    }

    /// Cuts the replica off its source, or connects it again.
    pub fn set_cut(&self, region: &str, replica: &str, cut: bool) {
        self.inner.disturb(region, replica, |set| set.cut = cut);
    }

    /// The instance's disk takes nothing more, or takes again: its server really cannot write, and ends where it has to. RDS says
    /// `storage-full`.
    pub async fn set_disk_full(&self, region: &str, identifier: &str, full: bool) -> Result<(), Error> {
        let key = Key::new(region, identifier);
        let server = self.inner.server(&key)?;
        self.inner.disturb(region, identifier, |set| set.disk_full = full);
        server.set_disk_full(full).await?;
        let mut state = self.inner.lock();
        if let Ok(record) = state.record_mut(&key) {
            match (full, record.status) {
                (true, Status::Available) => record.status = Status::StorageFull,
                (false, Status::StorageFull) => record.status = Status::Available,
                _ => {}
            }
        }
        Ok(())
    }

    pub fn set_login_delay(&self, region: &str, identifier: &str, delay: Duration) {
        self.inner.disturb(region, identifier, |set| set.login_delay = delay);
    }

    /// How long snapshots of this instance take from now on, those among them that a replica of it begins with.
    pub fn set_backing_up(&self, region: &str, identifier: &str, takes: Duration) {
        self.inner.disturb(region, identifier, |set| set.backing_up = Some(takes));
    }

    pub fn set_promotion_fault(&self, region: &str, replica: &str, fault: Option<PromotionFault>) {
        self.inner.disturb(region, replica, |set| set.promotion = fault);
    }

    /// Instances whose security groups are all quarantines refuse new connections, but from these Lambda functions: who compares an old
    /// writer with the new one has to be let in where the application is not.
    pub fn add_quarantine_group(&self, group: &str, admits: &[&str]) {
        let mut state = self.inner.lock();
        state.quarantine.insert(group.to_owned(), admits.iter().map(|function| (*function).to_owned()).collect());
        state.apply_network(&self.inner.dark.borrow());
    }

    /// SIGKILL to the server. Its record does not change.
    pub async fn kill(&self, region: &str, identifier: &str) -> Result<(), Error> {
        self.inner.server(&Key::new(region, identifier))?.kill().await;
        Ok(())
    }

    /// Starts a killed server again, though its Region may still be dark.
    pub async fn start_server(&self, region: &str, identifier: &str) -> Result<(), Error> {
        self.inner.server(&Key::new(region, identifier))?.start().await
    }

    /// The Region answers nothing any more: not the API, no endpoint, no replication link out of it or into it.
    pub async fn dark(&self, region: &str, how: Darkness) {
        self.inner.set_dark(region, true);
        if how == Darkness::Killed {
            let killing: JoinSet<()> = self.inner.servers_in(region).into_iter().map(|(_, server)| async move { server.kill().await }).collect();
            killing.join_all().await;
        }
    }

    /// Starts the Region's killed servers and lets its network carry again.
    pub async fn restore(&self, region: &str) -> Result<(), Error> {
        for (key, server) in self.inner.servers_in(region) {
            server.start().await?;
            let mut state = self.inner.lock();
            if let Some(record) = state.instances.get_mut(&key).map(|instance| &mut instance.record) {
                // What its death made fail, its return mends.
                if record.status == Status::Failed {
                    record.status = Status::Available;
                }
            }
        }
        self.inner.set_dark(region, false);
        Ok(())
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task that ends with the stage.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(crate) fn engine(&self, name: EngineName) -> Result<Engine, Fault> {
        match (name, &self.mariadb) {
            (EngineName::Postgres, _) => Ok(Engine::Postgres(self.postgres.clone())),
            (EngineName::MariaDb, Some(mariadb)) => Ok(Engine::MariaDb(mariadb.clone())),
            (EngineName::MariaDb, None) => Err(Fault::invalid_value("this stage was started without MariaDB")),
        }
    }

    fn servers(&self) -> Vec<Arc<Server>> {
        self.lock().instances.values().map(|instance| instance.server.clone()).collect()
    }

    /// Of the instances that should be running.
    fn servers_in(&self, region: &str) -> Vec<(Key, Arc<Server>)> {
        let state = self.lock();
        let running = state.instances.values().filter(|instance| {
            let record = &instance.record;
            record.key.region == region && record.reachable && !matches!(record.status, Status::Stopped | Status::Deleting)
        });
        running.map(|instance| (instance.record.key.clone(), instance.server.clone())).collect()
    }

    fn disturb(&self, region: &str, identifier: &str, change: impl FnOnce(&mut Disturbance)) {
        let mut state = self.lock();
        change(state.disturbances.entry(Key::new(region, identifier)).or_default());
        state.apply_network(&self.dark.borrow());
    }

    fn set_dark(&self, region: &str, dark: bool) {
        let state = self.lock();
        self.dark.send_modify(|regions| {
            if dark {
                regions.insert(region.to_owned());
            } else {
                regions.remove(region);
            }
        });
        state.apply_network(&self.dark.borrow());
    }
}

struct Owner {
    inner: Arc<Inner>,
    addr: SocketAddr,
}

impl Drop for Owner {
    /// SIGQUIT lets a server of PostgreSQL end its children and free its shared memory; one of MariaDB has neither and is killed. That is
    /// waited for, shortly: a runtime that ends right after this, as after a failed test, kills what is left.
    fn drop(&mut self) {
        self.inner.tasks().abort_all();
        let mut pids = Vec::new();
        for server in self.inner.servers() {
            let Some(pid) = server.now().pid() else { continue };
            send(pid, server.engine().last_signal());
            pids.push(pid);
        }
        let limit = Instant::now() + Duration::from_secs(1);
        while Instant::now() < limit && pids.iter().any(|pid| is_running(*pid)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
