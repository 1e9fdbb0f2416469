//! What RDS knows of its instances: records, their states, and what follows from them (who replicates from whom, which
//! instance a name means). No server is touched here.

use crate::cluster::{Global, Member};
use crate::endpoint::{Admits, Endpoint, Gate};
use crate::engine::EngineName;
use crate::error::Error;
use crate::fault::{Fault, PromotionFault};
use crate::link::{Link, Passage};
use crate::parameter_group::ParameterGroup;
use crate::proxy::Proxy;
use crate::server::{Phase, Server};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) region: String,
    pub(crate) id: String,
}

impl Key {
    /// RDS keeps identifiers in lower case.
    pub(crate) fn new(region: &str, id: &str) -> Key {
        Key { region: region.to_owned(), id: id.to_lowercase() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    BackingUp,
    Available,
    Modifying,
    Renaming,
    Rebooting,
    FailingOver,
    SwitchingOver,
    Stopping,
    Stopped,
    Starting,
    Deleting,
    StorageFull,
    Failed,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::BackingUp => "backing-up",
            Status::Available => "available",
            Status::Modifying => "modifying",
            Status::Renaming => "renaming",
            Status::Rebooting => "rebooting",
            Status::FailingOver => "failing-over",
            Status::SwitchingOver => "switching-over",
            Status::Stopping => "stopping",
            Status::Stopped => "stopped",
            Status::Starting => "starting",
            Status::Deleting => "deleting",
            Status::StorageFull => "storage-full",
            Status::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) class: Option<String>,
    pub(crate) retention: Option<u32>,
    pub(crate) multi_az: Option<bool>,
    pub(crate) name: Option<String>,
}

/// What RDS keeps of an instance and tells, and what means nothing for a local server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) subnet_group: Option<String>,
    pub(crate) parameter_group: Option<String>,
    /// Named, and not in force before the next restart.
    pub(crate) parameters_wait: bool,
    /// Present: encrypted.
    pub(crate) kms_key: Option<String>,
    pub(crate) public: bool,
}

/// Where a replica's data comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) key: Key,
    /// The source was deleted: nothing will ever come again.
    pub(crate) terminated: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) arn: String,
    pub(crate) resource: String,
    pub(crate) class: String,
    pub(crate) engine: EngineName,
    pub(crate) engine_version: String,
    pub(crate) master_user: String,
    pub(crate) database: Option<String>,
    pub(crate) storage: u32,
    pub(crate) retention: u32,
    pub(crate) multi_az: bool,
    pub(crate) deletion_protection: bool,
    pub(crate) security_groups: Vec<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created: jiff::Timestamp,
    pub(crate) status: Status,
    /// A job works on it. The shown status follows a moment later, so this and not the status keeps others out.
    pub(crate) busy: bool,
    /// RDS names the endpoint once the instance exists.
    pub(crate) reachable: bool,
    pub(crate) pending: Pending,
    pub(crate) placement: Placement,
    /// The name that a job is about to give it; taken from here on.
    pub(crate) renaming_to: Option<Key>,
    pub(crate) source: Option<Source>,
    /// It is the storage of an Aurora cluster, told as a cluster and never as an instance.
    pub(crate) cluster: bool,
}

impl Record {
    pub(crate) fn idle(&self, wanted: &[Status]) -> Result<(), Fault> {
        if !self.busy && wanted.contains(&self.status) {
            return Ok(());
        }
        Err(Fault::invalid_state(format!("Instance {} is not in an available state, but {}.", self.key.id, self.status.name())))
    }
}

pub(crate) struct Instance {
    pub(crate) record: Record,
    pub(crate) server: Arc<Server>,
    pub(crate) link: Option<Link>,
}

#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) key: Key,
    pub(crate) arn: String,
    pub(crate) of: Record,
    pub(crate) created: jiff::Timestamp,
    pub(crate) status: SnapshotStatus,
    pub(crate) tags: BTreeMap<String, String>,
    /// Where the copy of the data folder lies.
    pub(crate) data: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotStatus {
    Creating,
    Available,
    Failed,
}

impl SnapshotStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            SnapshotStatus::Creating => "creating",
            SnapshotStatus::Available => "available",
            SnapshotStatus::Failed => "failed",
        }
    }
}

/// What a caller has set for one instance, before or after it exists.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disturbance {
    pub(crate) delay: Duration,
    pub(crate) cut: bool,
    pub(crate) disk_full: bool,
    pub(crate) login_delay: Duration,
    pub(crate) backing_up: Option<Duration>,
    pub(crate) promotion: Option<PromotionFault>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) instances: BTreeMap<Key, Instance>,
    pub(crate) snapshots: BTreeMap<Key, Snapshot>,
    /// Aurora's global clusters by their names, which belong to no Region.
    pub(crate) globals: BTreeMap<String, Global>,
    /// The instances of Aurora's clusters.
    pub(crate) members: BTreeMap<Key, Member>,
    pub(crate) proxies: BTreeMap<Key, Proxy>,
    pub(crate) parameter_groups: BTreeMap<Key, ParameterGroup>,
    pub(crate) disturbances: HashMap<Key, Disturbance>,
    /// One a name, and for good: an instance that gets the name of an older one has its address, as RDS's host names have it.
    pub(crate) endpoints: BTreeMap<Key, Endpoint>,
    /// Security groups that admit nobody but the functions named here.
    pub(crate) quarantine: BTreeMap<String, BTreeSet<String>>,
    /// Jobs that failed, in words.
    pub(crate) troubles: Vec<String>,
}

impl State {
    pub(crate) fn get(&self, key: &Key) -> Result<&Instance, Fault> {
        self.instances.get(key).filter(|instance| !instance.record.cluster).ok_or_else(|| Fault::instance_not_found(&key.id))
    }

    pub(crate) fn record_mut(&mut self, key: &Key) -> Result<&mut Record, Fault> {
        let instance = self.instances.get_mut(key).filter(|instance| !instance.record.cluster);
        instance.map(|instance| &mut instance.record).ok_or_else(|| Fault::instance_not_found(&key.id))
    }

    /// Derived, not kept: there is no second list to forget.
    pub(crate) fn replicas_of(&self, source: &Key) -> Vec<&Record> {
        let follows = |record: &&Record| record.source.as_ref().is_some_and(|of| of.key == *source && !of.terminated);
        self.instances.values().map(|instance| &instance.record).filter(follows).collect()
    }

    /// The writer at the top of a chain of replicas.
    pub(crate) fn writer_above(&self, key: &Key) -> Key {
        let mut at = key.clone();
        while let Some(source) = self.instances.get(&at).and_then(|instance| instance.record.source.as_ref()) {
            at = source.key.clone();
        }
        at
    }

    pub(crate) fn snapshot(&self, key: &Key) -> Result<&Snapshot, Fault> {
        let missing = || Fault::new(404, "DBSnapshotNotFound", format!("DBSnapshot {} not found.", key.id));
        self.snapshots.get(key).filter(|snapshot| !snapshot.of.cluster).ok_or_else(missing)
    }

    /// By an instance, or by one that is being renamed.
    pub(crate) fn is_taken(&self, key: &Key) -> bool {
        self.instances.contains_key(key)
            || self.members.contains_key(key)
            || self.instances.values().any(|instance| instance.record.renaming_to.as_ref() == Some(key))
    }

    /// The address of an instance's name, made with its first use.
    pub(crate) fn point(&mut self, key: &Key, at: Option<watch::Receiver<Phase>>) -> Result<(), Error> {
        if !self.endpoints.contains_key(key) {
            self.endpoints.insert(key.clone(), Endpoint::open()?);
        }
        if let Some(endpoint) = self.endpoints.get(key) {
            endpoint.point(at);
        }
        Ok(())
    }

    /// Makes every proxy follow what is set. Called after each change that one of them depends on.
    pub(crate) fn apply_network(&self, dark_regions: &BTreeSet<String>) {
        for (key, endpoint) in &self.endpoints {
            let groups = self.instances.get(key).map(|instance| instance.record.security_groups.as_slice()).unwrap_or_default();
            let login_delay = self.disturbances.get(key).map(|set| set.login_delay).unwrap_or_default();
            endpoint.set(Gate { dark: dark_regions.contains(&key.region), admits: self.admits(groups), login_delay });
        }
        for (key, proxy) in &self.proxies {
            proxy.endpoint.set(Gate { dark: dark_regions.contains(&key.region), ..Gate::default() });
        }
        for (key, instance) in &self.instances {
            let set = self.disturbances.get(key).copied().unwrap_or_default();
            let dark = dark_regions.contains(&key.region);
            if let (Some(link), Some(source)) = (&instance.link, &instance.record.source) {
                let dark = dark || dark_regions.contains(&source.key.region);
                link.set(Passage { delay: set.delay, cut: set.cut || source.terminated, dark });
            }
        }
    }

    /// Groups add up: one that is no quarantine admits everybody, whatever stands beside it.
    fn admits(&self, groups: &[String]) -> Admits {
        let quarantines: Option<Vec<&BTreeSet<String>>> = groups.iter().map(|group| self.quarantine.get(group)).collect();
        match quarantines {
            Some(quarantines) if !quarantines.is_empty() => Admits::Functions(quarantines.into_iter().flatten().cloned().collect()),
            _ => Admits::Everybody,
        }
    }
}
