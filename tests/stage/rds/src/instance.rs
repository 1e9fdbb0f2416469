//! The life of an instance: what happens to its server and its record after RDS has said yes.
//!
//! ```text
//! create     creating ──► backing-up (backups on) ──► available
//! replica    creating ──────────────────────────────► available       source: backing-up until then
//! promote    available (not seen yet) ──► modifying ──► rebooting ──► available, no source any more
//! modify     modifying ──► backing-up (backups switched on) ──► available
//! rename     renaming ──► rebooting, under the new name and address ──► available
//! restore    creating ──► backing-up (backups on) ──► available
//! delete     deleting ──► gone; replicas in the Region are promoted, those elsewhere `terminated`
//! ```
//! Each is a job: the record is `busy` from the answer on, so that nothing else begins, and a job that fails leaves the
//! instance `failed` and a sentence in `troubles`.

use crate::Inner;
use crate::describe::arn;
use crate::engine::EngineName;
use crate::error::Error;
use crate::fault::{Fault, PromotionFault};
use crate::link::Link;
use crate::server::Server;
use crate::state::{Instance, Key, Record, SnapshotStatus, Source, State, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Who may log in from the start. Handed on, never kept.
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

pub(crate) struct Change {
    pub(crate) restart: bool,
    pub(crate) backup: bool,
    /// Into several zones, or back into one.
    pub(crate) zones: bool,
    pub(crate) rename: Option<Key>,
    pub(crate) password: Option<String>,
}

impl Inner {
    /// Registers a new instance, so that its name is taken from here on.
    pub(crate) fn register(&self, state: &mut State, record: Record) -> Result<(), Fault> {
        if state.is_taken(&record.key) {
            return Err(Fault::instance_exists());
        }
        let engine = self.engine(record.engine)?;
        let data = engine.home().data_folder(&record.key, &record.resource);
        let server = Arc::new(Server::new(engine, data, self.on_spawn.clone()));
        server.read_only_from_next_start(state.read_only(&record));
        state.point(&record.key, Some(server.phase())).map_err(|error| Fault::internal(error.to_string()))?;
        let link = match &record.source {
            Some(source) => {
                let server =
                    state.instances.get(&source.key).map(|source| &source.server).ok_or_else(|| Fault::instance_not_found(&source.key.id))?;
                let link = Link::open(record.engine, server.phase(), self.timing.unheard);
                Some(link.map_err(|error| Fault::internal(error.to_string()))?)
            }
            None => None,
        };
        state.instances.insert(record.key.clone(), Instance { record, server, link });
        state.apply_network(&self.dark.borrow());
        Ok(())
    }

    pub(crate) fn start_creating(self: &Arc<Self>, key: Key, login: Login) {
        let inner = self.clone();
        self.job("create", key.clone(), async move {
            let created = Instant::now() + inner.timing.creating;
            let server = inner.server(&key)?;
            server.engine().make_data(server.data()).await?;
            server.start().await?;
            let record = inner.record(&key)?;
            for (purpose, statement) in server.engine().first_statements(&login, record.database.as_deref()) {
                server.sql(purpose, &statement).await?;
            }
            sleep_until(created).await;
            inner.change(&key, |record| record.reachable = true);
            if record.retention > 0 {
                inner.back_up(&key).await;
            }
            inner.finish(&key, |_| {});
            Ok(())
        });
    }

    /// `source` is busy from here to the end of its snapshot.
    pub(crate) fn start_replicating(self: &Arc<Self>, key: Key, source: Key) {
        let inner = self.clone();
        self.job("create the replica", key.clone(), async move {
            let backed_up = Instant::now() + inner.backing_up(&source);
            // It is made from the snapshot.
            let created = (Instant::now() + inner.timing.creating).max(backed_up);
            let server = inner.server(&key)?;
            let copied = inner.copy_of(&key, &source).await;
            let release = async {
                sleep_until(backed_up).await;
                inner.finish(&source, |_| {});
            };
            let follow = async {
                copied?;
                inner.follow(&key).await?;
                inner.wait_until_streaming(&server).await;
                // Until it has replayed one transaction a replica knows no lag.
                inner.heartbeat(&key).await;
                sleep_until(created).await;
                inner.change(&key, |record| record.reachable = true);
                inner.finish(&key, |_| {});
                Ok(())
            };
            tokio::join!(release, follow).1
        });
    }

    /// The data that a replica begins with.
    pub(crate) async fn copy_of(&self, key: &Key, source: &Key) -> Result<(), Error> {
        let (source, data) = (self.server(source)?, self.server(key)?.data().to_path_buf());
        // Nobody can follow a source that does not run.
        source.port()?;
        source.copy_to(&data).await
    }

    pub(crate) async fn follow(&self, key: &Key) -> Result<(), Error> {
        let link = self.lock().instances.get(key).and_then(|instance| instance.link.as_ref().map(|link| link.port));
        self.server(key)?.start_following(link.ok_or_else(|| missing(key))?).await
    }

    pub(crate) fn start_promoting(self: &Arc<Self>, key: Key, retention: u32, fault: Option<PromotionFault>) {
        let inner = self.clone();
        let takes = match fault {
            Some(PromotionFault::Takes(takes)) => takes,
            _ => self.timing.promotion,
        };
        self.job("promote", key.clone(), async move {
            sleep(inner.timing.unseen).await;
            inner.change(&key, |record| record.status = Status::Modifying);
            sleep(takes / 2).await;
            if fault == Some(PromotionFault::Fails) {
                inner.finish(&key, |_| {});
                return Ok(());
            }
            let server = inner.server(&key)?;
            server.promote().await?;
            inner.change(&key, |record| record.status = Status::Rebooting);
            server.restart().await?;
            sleep(takes / 2).await;
            if server.is_in_recovery().await? {
                return Err(Error::Silent { operation: "promote", data: server.data().to_path_buf(), seconds: takes.as_secs() });
            }
            if let Some(instance) = inner.lock().instances.get_mut(&key) {
                instance.link = None;
            }
            inner.finish(&key, |record| {
                record.source = None;
                record.retention = retention;
                record.placement.parameters_wait = false;
            });
            Ok(())
        });
    }

    pub(crate) fn start_modifying(self: &Arc<Self>, key: Key, change: Change) {
        let inner = self.clone();
        self.job("modify", key.clone(), async move {
            let record = inner.record(&key)?;
            let server = inner.server(&key)?;
            if let Some(password) = change.password {
                let login = Login { user: record.master_user, password };
                server.sql("set the master user's password", &server.engine().change_password(&login)).await?;
            }
            sleep(inner.timing.modifying).await;
            if change.restart {
                server.restart().await?;
                inner.change(&key, |record| record.placement.parameters_wait = false);
            }
            inner.change(&key, apply_pending);
            if change.backup {
                inner.back_up(&key).await;
            }
            match change.rename {
                // The restart that goes with it is a job under the new name.
                Some(name) => {
                    inner.rename(&key, &name)?;
                    inner.start_rebooting(name);
                }
                None => inner.finish(&key, |_| {}),
            }
            Ok(())
        });
    }

    /// Who replicates from it goes on: a link follows the server and not its name.
    fn rename(&self, from: &Key, to: &Key) -> Result<(), Error> {
        let mut state = self.lock();
        let mut instance = state.instances.remove(from).ok_or_else(|| missing(from))?;
        instance.record.key = to.clone();
        instance.record.arn = arn(&self.account, to, "db");
        instance.record.renaming_to = None;
        instance.record.status = Status::Rebooting;
        let server = instance.server.phase();
        state.instances.insert(to.clone(), instance);
        for source in state.instances.values_mut().filter_map(|instance| instance.record.source.as_mut()) {
            if source.key == *from {
                source.key = to.clone();
            }
        }
        for target in state.proxies.values_mut().filter_map(|proxy| proxy.target.as_mut()) {
            if target.instance == *from {
                target.instance = to.clone();
            }
        }
        if let Some(set) = state.disturbances.remove(from) {
            state.disturbances.insert(to.clone(), set);
        }
        state.point(from, None)?;
        state.point(to, Some(server))?;
        state.apply_network(&self.dark.borrow());
        Ok(())
    }

    pub(crate) fn start_rebooting(self: &Arc<Self>, key: Key) {
        let inner = self.clone();
        self.job("reboot", key.clone(), async move {
            inner.server(&key)?.restart().await?;
            sleep(inner.timing.modifying).await;
            inner.finish(&key, |record| record.placement.parameters_wait = false);
            Ok(())
        });
    }

    pub(crate) fn start_stopping(self: &Arc<Self>, key: Key) {
        let inner = self.clone();
        self.job("stop", key.clone(), async move {
            inner.server(&key)?.stop(Duration::from_secs(2)).await;
            sleep(inner.timing.modifying).await;
            inner.end_with(&key, Status::Stopped, |_| {});
            Ok(())
        });
    }

    pub(crate) fn start_starting(self: &Arc<Self>, key: Key) {
        let inner = self.clone();
        self.job("start", key.clone(), async move {
            inner.server(&key)?.start().await?;
            sleep(inner.timing.modifying).await;
            inner.finish(&key, |_| {});
            Ok(())
        });
    }

    /// The data as it is now, copied while the server goes on, or as a server that does not run left it.
    pub(crate) fn start_snapshot(self: &Arc<Self>, of: Key, snapshot: Key) {
        let inner = self.clone();
        self.job("take a snapshot of", of.clone(), async move {
            let taken = Instant::now() + inner.backing_up(&of);
            let copied = inner.copy_into(&of, &snapshot).await;
            sleep_until(taken).await;
            let full = inner.lock().disturbances.get(&of).is_some_and(|set| set.disk_full);
            inner.end_with(&of, if full { Status::StorageFull } else { Status::Available }, |_| {});
            // A snapshot that failed is no trouble of the instance's.
            if let Err(error) = copied {
                inner.lock().troubles.push(format!("copy {} in {} for a snapshot: {error}", of.id, of.region));
            }
            Ok(())
        });
    }

    async fn copy_into(&self, of: &Key, snapshot: &Key) -> Result<(), Error> {
        let data = self.lock().snapshots.get(snapshot).map(|snapshot| snapshot.data.clone()).ok_or_else(|| missing(snapshot))?;
        let copied = self.server(of)?.copy_to(&data).await;
        if let Some(snapshot) = self.lock().snapshots.get_mut(snapshot) {
            snapshot.status = if copied.is_ok() { SnapshotStatus::Available } else { SnapshotStatus::Failed };
        }
        copied
    }

    pub(crate) fn start_restoring(self: &Arc<Self>, key: Key, snapshot: Key) {
        let inner = self.clone();
        self.job("restore", key.clone(), async move {
            let created = Instant::now() + inner.timing.creating;
            let from = inner.lock().snapshots.get(&snapshot).map(|snapshot| snapshot.data.clone()).ok_or_else(|| missing(&snapshot))?;
            let server = inner.server(&key)?;
            server.engine().home().copy_folder(&from, server.data()).await?;
            server.engine().stand_alone(server.data())?;
            server.start().await?;
            server.wait_until_recovered().await?;
            sleep_until(created).await;
            inner.change(&key, |record| record.reachable = true);
            if inner.record(&key)?.retention > 0 {
                inner.back_up(&key).await;
            }
            inner.finish(&key, |_| {});
            Ok(())
        });
    }

    pub(crate) fn start_deleting(self: &Arc<Self>, key: Key, last: Option<Key>) {
        let inner = self.clone();
        self.job("delete", key.clone(), async move {
            let server = inner.server(&key)?;
            // In order only where what is in memory shall be in the snapshot.
            server.stop(if last.is_some() { Duration::from_secs(2) } else { Duration::ZERO }).await;
            sleep(inner.timing.deleting).await;
            if let Some(last) = last {
                inner.copy_into(&key, &last).await?;
            }
            server.remove_files()?;
            inner.forget(&key);
            Ok(())
        });
    }

    /// RDS promotes the replicas in the Region of a deleted source by itself. It gives up those of PostgreSQL elsewhere, and promotes
    /// those of MariaDB there too.
    fn forget(self: &Arc<Self>, key: &Key) {
        let mut promoted = Vec::new();
        {
            let mut state = self.lock();
            state.instances.remove(key);
            state.disturbances.remove(key);
            if let Some(endpoint) = state.endpoints.get(key) {
                endpoint.point(None);
            }
            for instance in state.instances.values_mut() {
                let record = &mut instance.record;
                let Some(source) = record.source.as_mut().filter(|source| source.key == *key) else { continue };
                source.terminated = true;
                if (record.key.region == key.region || record.engine == EngineName::MariaDb) && !record.busy {
                    record.busy = true;
                    promoted.push((record.key.clone(), record.retention));
                }
            }
            state.apply_network(&self.dark.borrow());
        }
        for (replica, retention) in promoted {
            self.start_promoting(replica, retention, None);
        }
    }

    async fn back_up(&self, key: &Key) {
        self.change(key, |record| record.status = Status::BackingUp);
        sleep(self.backing_up(key)).await;
    }

    fn backing_up(&self, key: &Key) -> Duration {
        self.lock().disturbances.get(key).and_then(|set| set.backing_up).unwrap_or(self.timing.backing_up)
    }

    pub(crate) fn finish(&self, key: &Key, change: impl FnOnce(&mut Record)) {
        self.end_with(key, Status::Available, change);
    }

    pub(crate) fn end_with(&self, key: &Key, status: Status, change: impl FnOnce(&mut Record)) {
        self.change(key, |record| {
            record.status = status;
            record.busy = false;
            change(record);
        });
    }

    /// Nothing where the instance has gone meanwhile.
    pub(crate) fn change(&self, key: &Key, change: impl FnOnce(&mut Record)) {
        if let Some(instance) = self.lock().instances.get_mut(key) {
            change(&mut instance.record);
        }
    }

    pub(crate) fn server(&self, key: &Key) -> Result<Arc<Server>, Error> {
        self.lock().instances.get(key).map(|instance| instance.server.clone()).ok_or_else(|| missing(key))
    }

    pub(crate) fn record(&self, key: &Key) -> Result<Record, Error> {
        self.lock().instances.get(key).map(|instance| instance.record.clone()).ok_or_else(|| missing(key))
    }

    pub(crate) fn job(self: &Arc<Self>, what: &'static str, key: Key, work: impl Future<Output = Result<(), Error>> + Send + 'static) {
        let inner = self.clone();
        self.spawn(async move {
            if let Err(error) = work.await {
                inner.lock().troubles.push(format!("{what} {} in {}: {error}", key.id, key.region));
                inner.end_with(&key, Status::Failed, |_| {});
            }
        });
    }
}

pub(crate) fn apply_pending(record: &mut Record) {
    let pending = std::mem::take(&mut record.pending);
    record.class = pending.class.unwrap_or_else(|| record.class.clone());
    record.retention = pending.retention.unwrap_or(record.retention);
    record.multi_az = pending.multi_az.unwrap_or(record.multi_az);
    // The name is given by `rename`.
}

pub(crate) fn source(key: Key) -> Source {
    Source { key, terminated: false }
}

pub(crate) fn missing(key: &Key) -> Error {
    Error::NoInstance { region: key.region.clone(), identifier: key.id.clone() }
}
