//! Real processes, as many as ECS services and Auto Scaling groups want.
//!
//! ```text
//! every half second, per Region, unless it is dark:
//!     ECS, Auto Scaling ──► wanted ──┐
//!     members (processes) ───────────┴──► changes (pure) ──► start, stop ──► balancer
//! ```
//!
//! A service's tasks are targets of the Region's load balancer; a group's instances are workers beside it, unless told otherwise. A process that dies is noticed on the next round and
//! started again. A service's new deployment rolls its tasks: old ones stay until as many new ones run.
//!
//! A dark Region: its load balancer answers nothing, its processes are killed or kept, and nothing in it is started or stopped until it is light again.

mod member;
mod plan;
mod wanted;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, sync::Mutex, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

use crate::{balancer::Balancer, lock};

use self::{
    member::{Ending, Member, Start},
    plan::{Owner, Wanted, changes},
    wanted::ControlPlane,
};

/// Called with the process group of every process that is started, so that whoever cleans up after a crash knows it.
pub type SpawnHook = Arc<dyn Fn(u32) + Send + Sync>;

pub struct Settings {
    /// Where ECS and Auto Scaling answer.
    pub endpoint: String,
    /// The binary `shop`.
    pub program: PathBuf,
    pub regions: Vec<Region>,
    /// How long a task or an instance takes before its process starts.
    pub start_time: Duration,
    /// How often wanted and running are compared.
    pub poll: Duration,
    pub on_spawn: SpawnHook,
}

pub struct Region {
    pub name: String,
    /// The workload that this fleet plays: its cluster's name, with which the names of its groups begin. None: all that is in the Region.
    pub workload: Option<String>,
    /// What its processes find in their environment, besides `AWS_REGION` and `SHOP_TAG`. Nothing is inherited.
    pub environment: Vec<(String, String)>,
    pub balancer: Arc<Balancer>,
    /// Whether the instances of Auto Scaling groups are targets of the load balancer, too.
    pub groups_are_targets: bool,
}

/// What happens to the processes of a Region that goes dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Darkness {
    Killed,
    Kept,
}

/// The running fleet. Dropped, its processes are killed; [`Fleet::shutdown`] also waits for their end.
pub struct Fleet {
    regions: BTreeMap<String, Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    balancer: Arc<Balancer>,
    dark: watch::Sender<Option<Darkness>>,
    ended: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a Region's loop and the handle both look at: a count is asked of the members themselves, so that it is never a round old.
#[derive(Default)]
struct Shared {
    members: Mutex<Vec<Member>>,
    trouble: Mutex<Option<String>>,
}

impl Fleet {
    /// Starts reconciling; call it inside a runtime.
    pub fn start(settings: Settings) -> Self {
        let Settings { endpoint, program, regions, start_time, poll, on_spawn } = settings;
        let regions = regions.into_iter().map(|region| {
            let control = ControlPlane::new(&endpoint, &region.name, region.workload.clone());
            let (shared, balancer) = (Arc::new(Shared::default()), region.balancer.clone());
            let (dark, dark_seen) = watch::channel(None);
            let (ended, ended_seen) = watch::channel(false);
            let name = region.name.clone();
            let start = Start { program: program.clone(), region, start_time, on_spawn: on_spawn.clone() };
            let reconciler = Reconciler { control, start: Arc::new(start), shared: shared.clone(), wanted: BTreeMap::new() };
            let task = tokio::spawn(reconciler.run(poll, dark_seen, ended_seen));
            (name, Handle { shared, balancer, dark, ended, task })
        });
        Self { regions: regions.collect() }
    }

    /// How many tasks of a service run: what DescribeServices should call `runningCount`. Cluster and service by name or ARN.
    pub fn running(&self, region: &str, cluster: &str, service: &str) -> usize {
        self.count(region, &Owner::service(cluster, service))
    }

    /// Whether an instance of a group runs.
    pub fn instance_runs(&self, region: &str, group: &str, instance: &str) -> bool {
        self.count(region, &Owner::instance(group, instance)) > 0
    }

    /// Makes a Region dark, or light again with none.
    pub fn dark(&self, region: &str, darkness: Option<Darkness>) {
        if let Some(handle) = self.regions.get(region) {
            handle.balancer.dark(darkness.is_some());
            handle.dark.send_replace(darkness);
        }
    }

    /// What a Region's last round could not do, in a sentence: a control plane that did not answer, a process that did not start.
    pub fn trouble(&self, region: &str) -> Option<String> {
        let handle = self.regions.get(region)?;
        lock(&handle.shared.trouble).clone()
    }

    /// Ends all processes, and returns when they are gone.
    pub async fn shutdown(self) {
        for handle in self.regions.values() {
            handle.ended.send_replace(true);
        }
        for handle in self.regions.into_values() {
            // A reconciler that panicked has dropped its members, and with them their processes.
            let _ = handle.task.await;
        }
    }

    fn count(&self, region: &str, owner: &Owner) -> usize {
        let Some(handle) = self.regions.get(region) else {
            return 0;
        };
        lock(&handle.shared.members).iter().filter(|member| member.runs_for(owner)).count()
    }
}

/// One Region's loop.
struct Reconciler {
    control: ControlPlane,
    start: Arc<Start>,
    shared: Arc<Shared>,
    /// What the control plane said last: it may be silent for a while.
    wanted: BTreeMap<Owner, Wanted>,
}

impl Reconciler {
    async fn run(mut self, poll: Duration, mut dark: watch::Receiver<Option<Darkness>>, mut ended: watch::Receiver<bool>) {
        let mut rounds = interval(poll);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ended.wait_for(|ended| *ended) => break,
                changed = dark.changed() => if changed.is_err() { break },
                _ = rounds.tick() => (),
            }
            let darkness = *dark.borrow_and_update();
            match darkness {
                None => {
                    tokio::select! {
                        // Neither the dark nor the end waits for a control plane that may be silent.
                        _ = ended.wait_for(|ended| *ended) => break,
                        changed = dark.changed() => {
                            dark.mark_changed();
                            if changed.is_err() { break }
                        }
                        read = self.control.read() => self.reconcile(read),
                    }
                }
                Some(Darkness::Killed) => self.kill_all().await,
                Some(Darkness::Kept) => (),
            }
        }
        self.kill_all().await;
    }

    fn reconcile(&mut self, read: Result<BTreeMap<Owner, Wanted>, wanted::Error>) {
        let mut trouble = None;
        match read {
            Ok(wanted) => self.wanted = wanted,
            Err(error) => trouble = Some(error.to_string()),
        }
        let mut members = lock(&self.shared.members);
        members.retain(|member| match member.ended() {
            Some(why) => {
                trouble = why.or(trouble.take());
                false
            }
            None => true,
        });
        *lock(&self.shared.trouble) = trouble;
        let seen: Vec<_> = members.iter().map(Member::seen).collect();
        let changes = changes(&self.wanted, &seen);
        for index in changes.stop {
            members[index].end(Ending::Drained);
        }
        for (owner, deployment) in changes.start {
            members.push(Member::start(self.start.clone(), owner, deployment));
        }
    }

    async fn kill_all(&mut self) {
        let mut ends = JoinSet::new();
        let members = std::mem::take(&mut *lock(&self.shared.members));
        for member in members {
            member.end(Ending::Killed);
            ends.spawn(member.wait());
        }
        ends.join_all().await;
    }
}
