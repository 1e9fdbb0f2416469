//! Databases: the replica that is promoted, the drill's disposable copy of it, and the old writer that is fenced.
//!
//! The three are three types, so that what is meant for one cannot be called with another: a drill has no [`ReplicaId`]
//! in its hands when it promotes, and nothing but a [`CopyId`] can be removed.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CallError, CopyId, CopyOf, CopySnapshot, HomeId, HomeOf, LeftId, Proxy, ProxyId, RebuiltOf, Removal, SnapshotOf, Snapshotted, WriteGate,
};
use crate::plan;
use crate::state::{Endpoint, ReplicaShape};

/// RDS allows an instance identifier this many characters.
pub(super) const LONGEST: usize = 63;

#[allow(async_fn_in_trait)] // Static dispatch on one thread: nobody needs the future to be Send.
pub trait Database {
    /// The replica as it stands now; `None` where the standby Region has no such instance.
    async fn replica(&self, replica: &ReplicaId) -> Result<Option<Instance>, CallError>;

    /// CloudWatch's `ReplicaLag` between two moments, oldest first.
    ///
    /// For PostgreSQL it is the time since the last replayed transaction: it grows while the source is idle (up to five
    /// minutes, with nothing lost) and while it is dead. So only samples of before the failure measure a loss.
    async fn lag_samples(&self, replica: &ReplicaId, from: Timestamp, to: Timestamp) -> Result<Vec<LagSample>, CallError>;

    /// What the account may have of RDS in the standby Region, and has.
    async fn quotas(&self) -> Result<Vec<Quota>, CallError>;

    /// Promotes the replica, irreversibly, and asks for backups kept `retention` days: a replica has none.
    async fn promote(&self, replica: &ReplicaId, retention: u32) -> Result<(), CallError>;

    /// Changes the promoted instance, or the replica that was built again, at once and not in its maintenance window.
    async fn modify(&self, replica: &ReplicaId, change: &InstanceChange) -> Result<(), CallError>;

    /// Restarts it without a failover to its standby in the other zone: what a parameter group waits for.
    async fn restart(&self, replica: &ReplicaId) -> Result<(), CallError>;

    /// What a parameter group of the standby Region says about writes, and to whom.
    async fn write_gate(&self, group: &str) -> Result<WriteGate, CallError>;

    /// Sets `read_only` in a parameter group, at once: RDS takes it into force within a moment and without a restart.
    async fn set_read_only(&self, group: &str, value: &str) -> Result<(), CallError>;

    /// The plan's proxy with its target; `None` where the standby Region has no such proxy.
    async fn proxy(&self, proxy: &ProxyId) -> Result<Option<Proxy>, CallError>;

    /// Makes the promoted instance the proxy's target. One that is registered already is ours.
    async fn register(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError>;

    /// Takes it out again; what is not there is no target either.
    async fn deregister(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError>;

    /// Begins a disposable replica of the replica. One that is there already under this name is ours: the name says which run.
    async fn create_copy(&self, copy: &CopyId, of: &CopyOf<'_>) -> Result<(), CallError>;

    async fn copy(&self, copy: &CopyId) -> Result<Option<Instance>, CallError>;

    /// Begins a snapshot of the replica, under the copy's name, for what RDS makes no replica of. One that is there already is ours.
    async fn snapshot_for_copy(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError>;

    /// The snapshot under the copy's name; `None` where there is none.
    async fn copy_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError>;

    /// Begins the copy as a restore of that snapshot: a writer as soon as it is available, and otherwise as the replica is, but in one
    /// zone, without backups and without protection. One that is there already is ours.
    async fn restore_copy(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError>;

    async fn promote_copy(&self, copy: &CopyId) -> Result<(), CallError>;

    /// Removes the copy with its backups and without a last snapshot, and then the snapshot that it was restored from. Called until it says
    /// [`Removal::Gone`]: neither is there.
    async fn remove_copy(&self, copy: &CopyId) -> Result<Removal, CallError>;

    /// All copies of a plan that are there, or their snapshots, whoever forgot them: by their name and the tag `relight:plan`.
    async fn copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError>;

    /// Cuts the old writer off by moving it into the plan's quarantine group, unless it is there already. The one
    /// write to the primary Region; one short attempt, since the Region may be dark. Sessions that are open stay open,
    /// as security groups track connections.
    async fn fence(&self, instance: &PrimaryId, security_group: &str) -> Result<Fenced, CallError>;

    /// What carries the plan's name in the primary Region: the old writer, or the replica that a failback builds there.
    /// One short attempt, since the Region may be dark.
    async fn home(&self, home: &HomeId) -> Result<Option<Instance>, CallError>;

    /// What was set aside, by the name that it has since.
    async fn left(&self, left: &LeftId) -> Result<Option<Instance>, CallError>;

    /// The last snapshot of what is to be set aside, taken while it still has its old name, under its new one. Called until
    /// it says [`Snapshotted::Done`].
    async fn last_snapshot(&self, left: &LeftId) -> Result<Snapshotted, CallError>;

    /// Renames the instance, at once. Its endpoint changes with it, and it restarts. RDS refuses a name that is taken, so
    /// a call that arrives late finds nothing to rename.
    async fn set_aside(&self, left: &LeftId) -> Result<(), CallError>;

    /// Begins the replica at home, a cross-Region replica of the serving writer. One that is there already under this name and
    /// replicates the same source is ours; anything else there is an error.
    async fn build_home(&self, home: &HomeId, of: &HomeOf<'_>) -> Result<(), CallError>;

    /// Promotes the replica at home, irreversibly, and asks for backups kept `retention` days.
    async fn promote_home(&self, home: &HomeId, retention: u32) -> Result<(), CallError>;

    /// Changes the instance at home at once.
    async fn modify_home(&self, home: &HomeId, change: &InstanceChange) -> Result<(), CallError>;

    /// Restarts the instance at home, as [`Database::restart`] does.
    async fn restart_home(&self, home: &HomeId) -> Result<(), CallError>;

    /// Begins the standby's replica again, a cross-Region replica of the writer at home under the plan's name. One that is
    /// there already and replicates the same source is ours; anything else there is an error.
    async fn rebuild(&self, replica: &ReplicaId, of: &RebuiltOf<'_>) -> Result<(), CallError>;
}

/// A DB instance, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Instance {
    /// `available`, `backing-up`, `modifying`, ...
    pub status: String,
    /// What it replicates; absent once it is promoted.
    pub source: Option<String>,
    /// How the replication stands: `replicating`, `error`, `stopped`, `terminated`; empty once it is promoted.
    pub replication: Vec<String>,
    pub engine: String,
    /// `16.3`; empty where nobody said it.
    pub engine_version: String,
    pub class: String,
    /// A class that was asked for and is not yet in force.
    pub pending_class: Option<String>,
    pub endpoint: Option<Endpoint>,
    /// Days that backups are kept; 0 is no backups.
    pub backup_retention: u32,
    pub pending_backup_retention: Option<u32>,
    /// Instances that replicate from this one.
    pub read_replicas: Vec<String>,
    pub security_groups: Vec<String>,
    #[serde(default)]
    pub multi_az: bool,
    #[serde(default)]
    pub pending_multi_az: Option<bool>,
    #[serde(default)]
    pub deletion_protection: bool,
    #[serde(default)]
    pub parameter_group: Option<ParameterGroup>,
}

/// The parameter group that an instance names, and how far it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterGroup {
    pub name: String,
    /// `in-sync`, `applying`, `pending-reboot`, `failed-to-apply`, `pending-database-upgrade`.
    pub status: String,
}

impl Instance {
    pub fn is_available(&self) -> bool {
        self.status == "available"
    }

    /// A promotion has ended only when all of this holds: just after the call the status can still read `available`. The
    /// first backup of the new writer does not hold it up: it is writable, and the backups are a step of their own.
    pub fn is_promoted(&self) -> bool {
        matches!(self.status.as_str(), "available" | "backing-up") && self.source.is_none() && self.replication.is_empty()
    }

    /// Whether RDS would take a change now, with nothing of an earlier one under way.
    pub fn is_idle(&self) -> bool {
        let pending = self.pending_backup_retention.is_some() || self.pending_class.is_some() || self.pending_multi_az.is_some();
        self.is_available() && !pending
    }

    /// What a failover and the way back change of an instance, as it is now.
    pub fn shape(&self) -> ReplicaShape {
        ReplicaShape {
            class: self.class.clone(),
            backup_retention: self.backup_retention,
            multi_az: Some(self.multi_az),
            deletion_protection: Some(self.deletion_protection),
            parameter_group: self.parameter_group.as_ref().map(|group| group.name.clone()),
        }
    }
}

/// How much of a thing the account may have in one Region, as RDS itself tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// `DBInstances`, `AllocatedStorage`, ...
    pub name: String,
    pub used: u64,
    pub max: u64,
}

/// One minute's sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LagSample {
    /// The minute's beginning.
    pub at: Timestamp,
    /// `None` is CloudWatch's -1: replication inactive, or nobody knows.
    pub seconds: Option<f64>,
}

/// What one call asks of an instance. RDS takes no second change while the first is under way, so what is due together goes together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceChange {
    /// Days that backups are kept.
    pub backups: Option<u32>,
    pub deletion_protection: Option<bool>,
    /// A standby in another zone. It stops nothing, and writes are slower while it is filled, and after.
    pub multi_az: Option<bool>,
    /// Restarts the instance.
    pub class: Option<String>,
    /// Named at once, in force after a restart.
    pub parameter_group: Option<String>,
}

impl InstanceChange {
    pub fn backups(days: u32) -> InstanceChange {
        InstanceChange { backups: Some(days), ..InstanceChange::default() }
    }

    pub fn is_nothing(&self) -> bool {
        *self == InstanceChange::default()
    }
}

impl fmt::Display for InstanceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |wanted: bool| if wanted { "on" } else { "off" };
        let parts = [
            self.backups.map(|days| format!("backups kept for {days} days")),
            self.deletion_protection.map(|wanted| format!("deletion protection {}", on(wanted))),
            self.multi_az.map(|wanted| format!("Multi-AZ {}", on(wanted))),
            self.class.as_ref().map(|class| format!("class {class}")),
            self.parameter_group.as_ref().map(|group| format!("parameter group {group}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced {
    /// Seen: the quarantine group is the only one, and in force.
    Done,
    /// Asked for, now or earlier; look again.
    Underway,
}

/// A replica in the standby Region that the plan names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(String);

impl ReplicaId {
    pub fn of(database: &plan::Database) -> ReplicaId {
        ReplicaId(database.replica.clone())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The writer in the primary Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrimaryId {
    region: String,
    instance: String,
}

impl PrimaryId {
    pub fn of(plan: &plan::Plan, database: &plan::Database) -> PrimaryId {
        PrimaryId { region: plan.primary.clone(), instance: database.primary.clone() }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn as_str(&self) -> &str {
        &self.instance
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PrimaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.instance)
    }
}

/// Lower case, digits and single hyphens: what RDS accepts within an identifier.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        match character.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => plain.push(letter),
            _ if plain.ends_with('-') || plain.is_empty() => {}
            _ => plain.push('-'),
        }
    }
    plain
}

/// FNV-1a over the parts, kept apart by a zero. Not the standard library's hasher, whose values may change with its version.
pub(super) fn fnv1a(parts: &[&str]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
