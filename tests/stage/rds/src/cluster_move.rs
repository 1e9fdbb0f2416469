//! How clusters join, and how one becomes the writer in place of another.
//!
//! ```text
//! failover     pending ─► failing-over: the target is promoted ─► the writer; the old one pending-resync
//!              its Region has light ─► rds:unplanned-global-failover-… of its data ─► rebuilt from the writer ─► connected
//! switchover   pending ─► switching-over: the writer lets nobody in, the target has every row ─► promoted; the old one rebuilt
//! ```
//! The instances of both clusters restart with a change of the writer, as Aurora's do.

use crate::Inner;
use crate::cluster::Moving;
use crate::describe::arn;
use crate::engine::EngineName;
use crate::error::Error;
use crate::fault::Fault;
use crate::instance::{missing, source};
use crate::link::Link;
use crate::state::{Key, Snapshot, SnapshotStatus, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How often the storage of an idle writer makes a record: a secondary's lag is no longer than this, where nothing else is.
const BEAT: Duration = Duration::from_millis(500);
/// How long a switchover waits for the target to have every row, beside the delay of the link.
const SYNCHRONIZES_WITHIN: Duration = Duration::from_secs(30);

impl Inner {
    /// A new secondary: the writer goes on meanwhile.
    pub(crate) fn start_joining(self: &Arc<Self>, key: Key, of: Key) {
        let inner = self.clone();
        self.job("join the global cluster with", key.clone(), async move {
            let created = Instant::now() + inner.timing.creating;
            inner.copy_of(&key, &of).await?;
            inner.follow(&key).await?;
            let server = inner.server(&key)?;
            inner.wait_until_streaming(&server).await;
            inner.heartbeat(&key).await;
            sleep_until(created).await;
            inner.change(&key, |record| record.reachable = true);
            inner.finish(&key, |_| {});
            Ok(())
        });
    }

    pub(crate) fn start_adding(self: &Arc<Self>, member: Key) {
        let inner = self.clone();
        self.spawn(async move {
            sleep(inner.timing.creating).await;
            inner.set_members(|key, _| *key == member, Status::Available);
        });
    }

    pub(crate) fn start_removing(self: &Arc<Self>, member: Key) {
        let inner = self.clone();
        self.spawn(async move {
            sleep(inner.timing.deleting).await;
            inner.lock().members.remove(&member);
        });
    }

    /// Of the instances that are told so.
    fn set_members(&self, which: impl Fn(&Key, &Key) -> bool, status: Status) {
        let mut state = self.lock();
        state.members.values_mut().filter(|member| which(&member.key, &member.cluster)).for_each(|member| member.status = status);
        state.apply_clusters();
    }

    pub(crate) fn start_moving(self: &Arc<Self>, global: String) {
        let inner = self.clone();
        self.spawn(async move {
            let Some(moving) = inner.lock().globals.get(&global).and_then(|global| global.moving.clone()) else { return };
            let moved = inner.move_writer(&global, &moving).await;
            {
                let mut state = inner.lock();
                if let Err(error) = &moved {
                    state.troubles.push(format!("{} {global}: {error}", moving.status()));
                }
                if let Some(global) = state.globals.get_mut(&global) {
                    global.moving = None;
                }
                state.apply_clusters();
            }
            for key in [&moving.from, &moving.to] {
                inner.finish(key, |_| {});
            }
            if moved.is_ok() {
                inner.start_rebuilding(global, moving);
            }
        });
    }

    async fn move_writer(self: &Arc<Self>, global: &str, moving: &Moving) -> Result<(), Error> {
        let Moving { from, to, losing, .. } = moving;
        sleep(self.timing.unseen).await;
        {
            let mut state = self.lock();
            if let Some(moving) = state.globals.get_mut(global).and_then(|global| global.moving.as_mut()) {
                moving.begun = true;
            }
            state.apply_clusters();
        }
        let status = if *losing { Status::FailingOver } else { Status::SwitchingOver };
        self.change(to, |record| record.status = status);
        sleep(self.timing.promotion / 2).await;
        if !losing {
            self.hand_over(from, to).await?;
        }
        let server = self.server(to)?;
        server.promote().await?;
        self.set_members(|_, cluster| cluster == to, Status::Rebooting);
        server.restart().await?;
        sleep(self.timing.promotion / 2).await;
        {
            let mut state = self.lock();
            if let Some(instance) = state.instances.get_mut(to) {
                (instance.link, instance.record.source) = (None, None);
            }
            if let Some(global) = state.globals.get_mut(global) {
                global.writer = Some(to.clone());
                global.resync.insert(from.clone());
            }
        }
        self.set_members(|_, cluster| cluster == to, Status::Available);
        Ok(())
    }

    /// Nobody is let in any more, whoever is in is ended, and the target has what was written until then.
    async fn hand_over(&self, from: &Key, to: &Key) -> Result<(), Error> {
        let (writer, target) = (self.server(from)?, self.server(to)?);
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        writer.sql("end the sessions", end).await?;
        let last = writer.sql("read the end of the log", "SELECT pg_current_wal_lsn()").await?;
        let last = last.first().and_then(|row| row.get(0)).unwrap_or_default().to_owned();
        let limit = Instant::now() + SYNCHRONIZES_WITHIN;
        let question = format!("SELECT pg_last_wal_replay_lsn() >= '{last}'::pg_lsn");
        while target.sql("see what has arrived", &question).await?.first().and_then(|row| row.get(0)) != Some("t") {
            if Instant::now() > limit {
                return Err(Error::Silent { operation: "have every row", data: target.data().to_path_buf(), seconds: SYNCHRONIZES_WITHIN.as_secs() });
            }
            sleep(Duration::from_millis(100)).await;
        }
        writer.stop(Duration::from_secs(2)).await;
        Ok(())
    }

    /// The old writer is made a secondary, as soon as its Region can be reached.
    fn start_rebuilding(self: &Arc<Self>, global: String, moving: Moving) {
        let inner = self.clone();
        self.spawn(async move {
            let mut dark = inner.dark.subscribe();
            let _ = dark.wait_for(|regions| !regions.contains(&moving.from.region) && !regions.contains(&moving.to.region)).await;
            if let Err(error) = inner.rebuild(&global, &moving).await {
                inner.lock().troubles.push(format!("rebuild {} in {}: {error}", moving.from.id, moving.from.region));
            }
        });
    }

    async fn rebuild(self: &Arc<Self>, global: &str, Moving { from, to, losing, .. }: &Moving) -> Result<(), Error> {
        let server = self.server(from)?;
        server.stop(Duration::from_secs(2)).await;
        self.set_members(|_, cluster| cluster == from, Status::Rebooting);
        if *losing {
            self.keep_lost_rows(from).await?;
        }
        {
            let mut state = self.lock();
            let link = Link::open(EngineName::Postgres, self.phase_of(&state, to)?, self.timing.unheard)?;
            let instance = state.instances.get_mut(from).ok_or_else(|| missing(from))?;
            (instance.link, instance.record.source) = (Some(link), Some(source(to.clone())));
            state.apply_network(&self.dark.borrow());
        }
        server.remove_files()?;
        self.copy_of(from, to).await?;
        self.follow(from).await?;
        self.wait_until_streaming(&server).await;
        self.heartbeat(from).await;
        if let Some(global) = self.lock().globals.get_mut(global) {
            global.resync.remove(from);
        }
        self.set_members(|_, cluster| cluster == from, Status::Available);
        Ok(())
    }

    fn phase_of(&self, state: &crate::state::State, key: &Key) -> Result<tokio::sync::watch::Receiver<crate::server::Phase>, Error> {
        state.instances.get(key).map(|instance| instance.server.phase()).ok_or_else(|| missing(key))
    }

    /// The snapshot in which what the failover lost is found.
    async fn keep_lost_rows(&self, of: &Key) -> Result<(), Error> {
        let record = self.record(of)?;
        let stamp = jiff::Timestamp::now().strftime("%Y-%m-%d-%H-%M").to_string();
        let key = Key::new(&of.region, &format!("rds:unplanned-global-failover-{}-{stamp}", of.id));
        let folder = self.postgres.home.snapshot_folder(&Key::new(&of.region, &key.id.replace(':', ".")), &record.resource);
        self.postgres.home.copy_folder(self.server(of)?.data(), &folder).await?;
        let snapshot = Snapshot {
            arn: arn(&self.account, &key, "cluster-snapshot"),
            key: key.clone(),
            of: record,
            created: jiff::Timestamp::now(),
            status: SnapshotStatus::Available,
            tags: Default::default(),
            data: folder,
        };
        self.lock().snapshots.insert(key, snapshot);
        Ok(())
    }

    /// A copy of a snapshot of a cluster, which nobody but its owner removes.
    pub(crate) fn start_copying(self: &Arc<Self>, from: Key, to: Key) -> Result<(), Fault> {
        let (from, to) = {
            let state = self.lock();
            let data = |key: &Key| state.snapshots.get(key).map(|snapshot| snapshot.data.clone());
            (data(&from), data(&to).map(|data| (to, data)))
        };
        let (Some(from), Some((key, to))) = (from, to) else { return Err(Fault::internal("a snapshot that is not there")) };
        let inner = self.clone();
        self.spawn(async move {
            sleep(inner.timing.backing_up).await;
            let copied = inner.postgres.home.copy_folder(&from, &to).await;
            if let Some(snapshot) = inner.lock().snapshots.get_mut(&key) {
                snapshot.status = if copied.is_ok() { SnapshotStatus::Available } else { SnapshotStatus::Failed };
            }
        });
        Ok(())
    }

    /// The storage of a global cluster's writer is never silent.
    pub(crate) async fn storage_heartbeats(&self) {
        loop {
            sleep(BEAT).await;
            let secondaries: Vec<Key> = {
                let state = self.lock();
                let clusters = state.instances.values().filter(|one| one.record.cluster && one.record.source.is_some());
                clusters.map(|one| one.record.key.clone()).collect()
            };
            for secondary in secondaries {
                self.heartbeat(&secondary).await;
            }
        }
    }

    pub(crate) async fn cluster_lag(&self) -> Vec<(String, String, f64)> {
        let secondaries: Vec<Key> = {
            let state = self.lock();
            let dark = self.dark.borrow();
            let told = state.instances.values().filter(|one| {
                let record = &one.record;
                record.cluster && record.source.is_some() && record.status != Status::Creating && !dark.contains(&record.key.region)
            });
            told.map(|one| one.record.key.clone()).collect()
        };
        let mut samples = Vec::new();
        for key in secondaries {
            let Ok(server) = self.server(&key) else { continue };
            if let Some(replication) = crate::replication::Replication::of(&server).await.filter(|replication| replication.in_recovery) {
                samples.push((key.region, key.id, replication.lag()));
            }
        }
        samples
    }
}
