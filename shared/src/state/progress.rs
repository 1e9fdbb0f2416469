//! What the parts have done in one run: an item of the journal each.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{HomeRotation, HomeStep, HomeTraffic, Place, RestartStep};
use crate::plan::{Group, Plan, ResourceId, Service};
use crate::ports::{Reached, Takeover};
use crate::run::RunId;

/// What the parts have done in one run. The items of an older run read as empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub capacity: CapacityProgress,
    pub promotion: PromotionProgress,
    pub rotation: RotationProgress,
    pub traffic: TrafficProgress,
    pub restore: RestoreProgress,
    pub drill: DrillProgress,
}

/// scale-up's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CapacityProgress {
    pub resources: BTreeMap<ResourceId, CapacityStep>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityStep {
    pub requested_at: Option<Timestamp>,
    pub reached_at: Option<Timestamp>,
    /// Running now, and wanted.
    pub running: u32,
    pub wanted: u32,
    /// The last sentence about it.
    pub said: String,
}

impl CapacityProgress {
    /// Per cent of the active size that runs, of the resource that has least; `None` before each has been looked at.
    pub fn least_per_cent(&self, plan: &Plan) -> Option<u32> {
        let ids = plan.services.iter().map(Service::id).chain(plan.groups.iter().map(Group::id));
        ids.map(|id| self.resources.get(&id).map(|step| step.running.saturating_mul(100).checked_div(step.wanted).unwrap_or(100)))
            .try_fold(100, |least, per_cent| per_cent.map(|per_cent| least.min(per_cent)))
    }
}

/// promote-replica's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PromotionProgress {
    pub databases: BTreeMap<String, DatabaseStep>,
    /// The drill's disposable copies, by the plan's name of the database.
    pub copies: BTreeMap<String, CopyStep>,
    /// A failback's instances in both Regions, by the plan's name of the database.
    #[serde(rename = "homes")]
    pub home: BTreeMap<String, HomeStep>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseStep {
    /// Frozen once the quorum completed.
    pub lag: Option<FrozenLag>,
    /// When lag, promotability and policy last let the promotion pass. Counts for a minute.
    pub cleared_at: Option<Timestamp>,
    /// Why it does not pass.
    pub refused: Option<String>,
    /// Written before the call: from here on the answer may be lost.
    pub promote_attempt_at: Option<Timestamp>,
    /// When AWS took the call.
    pub promote_called_at: Option<Timestamp>,
    /// `available`, source gone, nothing pending.
    pub promoted_at: Option<Timestamp>,
    pub endpoint: Option<Endpoint>,
    /// Where applications reach it, where the plan has a proxy before it.
    pub proxy: ProxyStep,
    pub backups_on_at: Option<Timestamp>,
    /// Deletion protection was seen as the plan has it; so with the three below. A run may be over before.
    pub protected_at: Option<Timestamp>,
    pub multi_az_at: Option<Timestamp>,
    pub class_changed_at: Option<Timestamp>,
    pub parameters_at: Option<Timestamp>,
    pub restart: RestartStep,
    /// Aurora's: how the last attempt was to make the cluster the writer.
    pub takeover: Option<Takeover>,
    /// Aurora's: when the cluster without an instance was last to be given one, written before the call.
    pub instance_asked_at: Option<Timestamp>,
    /// Aurora's: what became of the cluster that was the writer before.
    pub old_writer: OldWriter,
}

/// The cluster that a takeover left behind, until it is a secondary again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OldWriter {
    pub looked_at: Option<Timestamp>,
    /// The last sentence about it.
    pub last: String,
    /// It was seen as a secondary that follows, or out of the global cluster.
    pub over_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyStep {
    /// Its target, the promoted instance, was seen available.
    pub available_at: Option<Timestamp>,
    pub endpoint: Option<Endpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

/// How far the replica was behind, judged relative to the first Down.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FrozenLag {
    /// Seconds; `None` is unknown, never zero.
    pub seconds: Option<f64>,
    pub sampled_at: Option<Timestamp>,
    /// Where the number comes from; for an unknown lag, why there is none.
    pub source: String,
    /// The first Down that it was judged by: a run that stands down and is suspected again has another.
    #[serde(default)]
    pub first_down: Option<Timestamp>,
    /// What the replica itself said was weighed; else the metric alone counted.
    #[serde(default)]
    pub asked: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CopyStep {
    /// The copy's name: of an instance, or of a cluster of Aurora's.
    pub instance: String,
    /// When the snapshot was first asked for that the copy is restored from; `None`: it is a replica of the replica.
    pub snapshot_asked_at: Option<Timestamp>,
    /// When that snapshot was there, and its restore first asked for.
    pub restore_asked_at: Option<Timestamp>,
    /// When the instance of a restored cluster was first asked for.
    pub instance_asked_at: Option<Timestamp>,
    pub requested_at: Option<Timestamp>,
    pub available_at: Option<Timestamp>,
    /// When its promotion was first due: from here on a failover would have waited.
    pub promote_asked_at: Option<Timestamp>,
    pub promote_called_at: Option<Timestamp>,
    /// A restored one was never a replica: it is a writer from when it is available.
    pub promoted_at: Option<Timestamp>,
    pub endpoint: Option<Endpoint>,
    /// Why the rehearsal of this database was given up.
    pub failed: Option<String>,
}

impl CopyStep {
    /// From a snapshot of the replica or of Aurora's secondary, and no replica of it.
    pub fn is_restored(&self) -> bool {
        self.snapshot_asked_at.is_some()
    }
}

/// rotate-secret's. What was rehearsed on copies never counts for the real ones: a drill can become a failover.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationProgress {
    /// When each promoted database was proven writable, by its name.
    pub proven: BTreeMap<String, Timestamp>,
    pub secrets: BTreeMap<String, SecretStep>,
    pub rehearsal: RehearsalProgress,
    /// How far each replica came, as it said itself before anything was promoted, by the database's name.
    pub replicas: BTreeMap<String, ReplicaWord>,
    /// What a failback reads, compares, closes and writes.
    pub home: HomeRotation,
}

/// A replica was asked how far it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaWord {
    pub asked_at: Timestamp,
    /// The first Down before it: a run that stands down and is suspected again asks anew.
    pub first_down: Timestamp,
    /// `None`: it did not answer, or nobody could log in.
    #[serde(default)]
    pub reached: Option<Reached>,
}

/// The drill's, on disposable copies and disposable secrets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RehearsalProgress {
    /// When the copy of each database was proven writable, by the plan's name of the database.
    pub proven: BTreeMap<String, Timestamp>,
    /// By the plan's name of the secret that the disposable one stands in for.
    pub secrets: BTreeMap<String, SecretStep>,
    /// How each copy compares with its replica, by the plan's name of the database.
    pub compared: BTreeMap<String, CopyComparison>,
}

/// The comparison of a copy with the replica that it was made of, before its promotion.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CopyComparison {
    /// The last attempt.
    pub at: Timestamp,
    /// `None`: they were not seen alike, or could not be read.
    pub equal: Option<bool>,
    pub said: String,
    /// Tables that were not compared, each with why.
    pub left_out: Vec<String>,
    /// Nothing more is tried: the copy may be promoted.
    pub ended_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretStep {
    /// In a rehearsal, the name of the disposable secret.
    pub disposable: Option<String>,
    pub standalone_at: Option<Timestamp>,
    /// From here on the application is right.
    pub repointed_at: Option<Timestamp>,
    pub rotation_called_at: Option<Timestamp>,
    pub rotated_at: Option<Timestamp>,
    /// The last login with the current version.
    pub tested_at: Option<Timestamp>,
    /// A rotation that failed does not fail the recovery; it is said.
    pub failed: Option<String>,
}

/// switch-traffic's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TrafficProgress {
    /// Written before the STOP object is put: from here on it may be in place.
    pub stop_asked_at: Option<Timestamp>,
    /// The STOP object was seen in place. Taken back before it is removed, so that nobody counts on one that is about to go.
    pub held_out_at: Option<Timestamp>,
    /// The old writers, by the database's name.
    pub fenced: BTreeMap<String, FenceStep>,
    /// Users' name answers the standby, and the standby answers.
    pub opened_at: Option<Timestamp>,
    /// STOP was seen absent, after it had been asked for.
    pub released_at: Option<Timestamp>,
    /// What users' DNS answered last.
    pub users_at: Option<Place>,
    /// A failback's users.
    pub home: HomeTraffic,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FenceStep {
    pub done_at: Option<Timestamp>,
    pub attempts: u32,
    pub last_at: Option<Timestamp>,
    /// Why not yet.
    pub last: String,
}

/// scale-down's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreProgress {
    pub resources: BTreeMap<ResourceId, CapacityStep>,
    /// Baseline verified, copies gone.
    pub restored_at: Option<Timestamp>,
}

/// monthly-drill's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DrillProgress {
    pub announced_at: Option<Timestamp>,
    pub announced_end_at: Option<Timestamp>,
    /// What each validated URL answered, while it was held.
    pub validated: BTreeMap<String, Validation>,
    pub validated_at: Option<Timestamp>,
    /// Where the report lies.
    pub report: Option<String>,
    /// Secrets of a single user that were still being rotated when it was written: it is written again once that is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_windows: Vec<String>,
    pub passed: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    pub ok: bool,
    pub said: String,
}

/// A progress item carries the run that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfRun<T> {
    pub run: RunId,
    pub progress: T,
}
