//! What the journal holds: the shapes of its items, and all of them together as one [`Snapshot`].
//!
//! ```text
//! partition PLAN            head, plan#7, evidence, baseline#service/…, obligation#…, lease#…, progress#capacity, …
//! partition PLAN#RUN        the history of one run, append-only
//! ```
//!
//! The first partition is small and read whole, in one strongly consistent query. Each item has a revision; a change is a
//! write on the condition of that revision. The head is changed only by transitions and by the operator; every part
//! writes its progress into an item of its own, so that parts that work side by side do not contend.

mod home;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::plan::{Bounds, Group, InstancesDistribution, Plan, ProviderShare, ResourceId, Service};
use crate::run::{Mode, Phase, Run, RunId};

pub use home::{HomeComparison, HomeDatabase, HomeLag, HomeRotation, HomeSecretStep, HomeStep, HomeTraffic, LeftTable, ReplicaShape};

/// Which Region answers users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    #[default]
    Primary,
    Standby,
}

/// A hold stops every step that cannot be undone easily. It expires, so that a forgotten one does not prevent a recovery for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSwitch {
    pub until: Timestamp,
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Head {
    pub serving: Place,
    /// The newest run, open or over.
    pub run: Option<Run>,
    pub hold: Option<HoldSwitch>,
    pub cool_down_until: Option<Timestamp>,
    /// The newest version of the plan.
    pub plan_version: u64,
}

impl Head {
    pub fn open_run(&self) -> Option<&Run> {
        self.run.as_ref().filter(|run| run.is_open())
    }

    pub fn held(&self, now: Timestamp) -> bool {
        self.hold.as_ref().is_some_and(|hold| now < hold.until)
    }
}

/// What a resource looked like before it was first touched; scale-down restores exactly that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Baseline {
    Service { cluster: String, name: String, desired: u32, scaling: Option<Bounds>, capacity_providers: Vec<ProviderShare> },
    Group { name: String, min: u32, desired: u32, max: u32, instances: Option<InstancesDistribution> },
}

impl Baseline {
    pub fn id(&self) -> ResourceId {
        match self {
            Baseline::Service { cluster, name, .. } => ResourceId(format!("service/{cluster}/{name}")),
            Baseline::Group { name, .. } => ResourceId(format!("group/{name}")),
        }
    }

    /// The baseline as the size that a plan would ask for.
    pub fn as_target(&self) -> CapacityTarget {
        match self.clone() {
            Baseline::Service { cluster, name, desired, scaling, capacity_providers } => {
                CapacityTarget::Service(Service { cluster, name, desired, scaling, capacity_providers })
            }
            Baseline::Group { name, min, desired, max, instances } => CapacityTarget::Group(Group { name, min, desired, max, instances }),
        }
    }
}

/// A size to bring a resource to.
#[derive(Debug, Clone, PartialEq)]
pub enum CapacityTarget {
    Service(Service),
    Group(Group),
}

/// Something that must be undone by a deadline. It survives the run that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Obligation {
    pub run: RunId,
    pub what: Owed,
    pub made_at: Timestamp,
    pub deadline: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Owed {
    /// Capacity above the baseline. Sleeps while a failover is open and while the standby serves.
    Capacity,
    /// A disposable copy of a replica, in the standby Region. Never sleeps.
    Copy { instance: String },
    /// A disposable secret. Never sleeps.
    Secret { name: String },
}

impl Obligation {
    /// The last part of its key; one obligation a thing.
    pub fn id(&self) -> String {
        match &self.what {
            Owed::Capacity => "capacity".to_owned(),
            Owed::Copy { instance } => format!("copy/{instance}"),
            Owed::Secret { name } => format!("secret/{name}"),
        }
    }
}

/// Who works on what, and until when nobody else should begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub owner: String,
    pub until: Timestamp,
}

/// What the parts have done in one run. The items of an older run read as empty.
#[derive(Debug, Clone, PartialEq, Default)]
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
    pub backups_on_at: Option<Timestamp>,
    pub class_changed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

/// How far the replica was behind, judged relative to the first Down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrozenLag {
    /// Seconds; `None` is unknown, never zero.
    pub seconds: Option<f64>,
    pub sampled_at: Option<Timestamp>,
    /// Where the number comes from; for an unknown lag, why there is none.
    pub source: String,
    /// The first Down that it was judged by: a run that stands down and is suspected again has another.
    #[serde(default)]
    pub first_down: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CopyStep {
    pub instance: String,
    pub requested_at: Option<Timestamp>,
    pub available_at: Option<Timestamp>,
    pub promote_called_at: Option<Timestamp>,
    pub promoted_at: Option<Timestamp>,
    pub endpoint: Option<Endpoint>,
    /// Why the rehearsal of this database was given up.
    pub failed: Option<String>,
}

/// rotate-secret's. What was rehearsed on copies never counts for the real ones: a drill can become a failover.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationProgress {
    /// When each promoted database was proven writable, by its name.
    pub proven: BTreeMap<String, Timestamp>,
    pub secrets: BTreeMap<String, SecretStep>,
    pub rehearsal: RehearsalProgress,
    /// What a failback reads, compares, closes and writes.
    pub home: HomeRotation,
}

/// The drill's, on disposable copies and disposable secrets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RehearsalProgress {
    /// When the copy of each database was proven writable, by the plan's name of the database.
    pub proven: BTreeMap<String, Timestamp>,
    /// By the plan's name of the secret that the disposable one stands in for.
    pub secrets: BTreeMap<String, SecretStep>,
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
    pub passed: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    pub ok: bool,
    pub said: String,
}

/// What the last drill left for the next run to be measured against. Outlives runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub last_good_drill: Option<Timestamp>,
    /// Seconds from a copy's promotion call to writable, by the database's name.
    pub promotion_seconds: BTreeMap<String, f64>,
    /// The last login of each secret in peace, and what it said.
    pub logins: BTreeMap<String, LoginSeen>,
    /// What each replica was before it was promoted, by the database's name: so it is built again.
    pub replicas: BTreeMap<String, ReplicaShape>,
    /// Old writers that a failback set aside before it was aborted, by the database's name: the next one compares them.
    pub left_writers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoginSeen {
    pub at: Timestamp,
    pub ok: bool,
    pub said: String,
}

/// The key of an item in the plan's partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Head,
    Plan(u64),
    Evidence,
    Memory,
    Baseline(ResourceId),
    Obligation(String),
    Lease(String),
    Progress(Part),
}

/// The owner of a progress item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Capacity,
    Promotion,
    Rotation,
    Traffic,
    Restore,
    Drill,
}

impl Part {
    pub const ALL: [Part; 6] = [Part::Capacity, Part::Promotion, Part::Rotation, Part::Traffic, Part::Restore, Part::Drill];

    pub fn name(self) -> &'static str {
        match self {
            Part::Capacity => "capacity",
            Part::Promotion => "promotion",
            Part::Rotation => "rotation",
            Part::Traffic => "traffic",
            Part::Restore => "restore",
            Part::Drill => "drill",
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Head => f.write_str("head"),
            Key::Plan(version) => write!(f, "plan#{version}"),
            Key::Evidence => f.write_str("evidence"),
            Key::Memory => f.write_str("memory"),
            Key::Baseline(resource) => write!(f, "baseline#{resource}"),
            Key::Obligation(id) => write!(f, "obligation#{id}"),
            Key::Lease(name) => write!(f, "lease#{name}"),
            Key::Progress(part) => write!(f, "progress#{}", part.name()),
        }
    }
}

impl std::str::FromStr for Key {
    type Err = UnknownKey;

    fn from_str(text: &str) -> Result<Key, UnknownKey> {
        let unknown = || UnknownKey(text.to_owned());
        let (kind, rest) = text.split_once('#').unwrap_or((text, ""));
        Ok(match kind {
            "head" => Key::Head,
            "evidence" => Key::Evidence,
            "memory" => Key::Memory,
            "plan" => Key::Plan(rest.parse().map_err(|_| unknown())?),
            "baseline" => Key::Baseline(ResourceId(rest.to_owned())),
            "obligation" => Key::Obligation(rest.to_owned()),
            "lease" => Key::Lease(rest.to_owned()),
            "progress" => Key::Progress(Part::ALL.into_iter().find(|part| part.name() == rest).ok_or_else(unknown)?),
            _ => return Err(unknown()),
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the journal holds an item `{0}` that this version does not know; deploy the version that wrote it")]
pub struct UnknownKey(String);

/// A progress item carries the run that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfRun<T> {
    pub run: RunId,
    pub progress: T,
}

/// One item as the journal holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub key: Key,
    pub revision: u64,
    pub body: serde_json::Value,
}

/// Everything in the plan's partition, read at once, with the revision of each item.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub head: Head,
    pub plans: BTreeMap<u64, String>,
    pub evidence: Evidence,
    pub memory: Memory,
    pub baseline: BTreeMap<ResourceId, Baseline>,
    pub obligations: BTreeMap<String, Obligation>,
    pub leases: BTreeMap<String, Lease>,
    pub progress: Progress,
    revisions: BTreeMap<Key, u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Key(#[from] UnknownKey),
    #[error("the journal's item `{key}` cannot be read: {source}; restore the table to a point in time before it was written")]
    Body { key: Key, source: serde_json::Error },
}

impl Snapshot {
    pub fn of(items: Vec<Item>) -> Result<Snapshot, SnapshotError> {
        let mut snapshot = Snapshot::default();
        let mut progress = Vec::new();
        for Item { key, revision, body } in items {
            snapshot.revisions.insert(key.clone(), revision);
            let fail = |source| SnapshotError::Body { key: key.clone(), source };
            match &key {
                Key::Head => snapshot.head = serde_json::from_value(body).map_err(fail)?,
                Key::Evidence => snapshot.evidence = serde_json::from_value(body).map_err(fail)?,
                Key::Memory => snapshot.memory = serde_json::from_value(body).map_err(fail)?,
                Key::Plan(version) => drop(snapshot.plans.insert(*version, serde_json::from_value(body).map_err(fail)?)),
                Key::Baseline(resource) => drop(snapshot.baseline.insert(resource.clone(), serde_json::from_value(body).map_err(fail)?)),
                Key::Obligation(id) => drop(snapshot.obligations.insert(id.clone(), serde_json::from_value(body).map_err(fail)?)),
                Key::Lease(name) => drop(snapshot.leases.insert(name.clone(), serde_json::from_value(body).map_err(fail)?)),
                Key::Progress(part) => progress.push((*part, body)),
            }
        }
        // Only now is the run known that the progress must belong to.
        for (part, body) in progress {
            let run = snapshot.head.run.as_ref().map(|run| &run.id);
            let all = &mut snapshot.progress;
            match part {
                Part::Capacity => all.capacity = of_run(part, body, run)?,
                Part::Promotion => all.promotion = of_run(part, body, run)?,
                Part::Rotation => all.rotation = of_run(part, body, run)?,
                Part::Traffic => all.traffic = of_run(part, body, run)?,
                Part::Restore => all.restore = of_run(part, body, run)?,
                Part::Drill => all.drill = of_run(part, body, run)?,
            }
        }
        Ok(snapshot)
    }

    /// The revision on whose condition `key` may be changed; `None` while there is no such item.
    pub fn revision(&self, key: &Key) -> Option<u64> {
        self.revisions.get(key).copied()
    }

    /// Revisions of the run and of what the parts have done in it: when they change, somebody who waits may go on.
    pub fn steps(&self) -> impl Iterator<Item = (&Key, &u64)> {
        self.revisions.iter().filter(|(key, _)| matches!(key, Key::Head | Key::Progress(_)))
    }

    /// The text of the plan that counts: the open run's version, else the newest.
    pub fn plan_text(&self) -> Option<(u64, &str)> {
        let version = self.head.open_run().map_or(self.head.plan_version, |run| run.plan_version);
        self.plans.get(&version).map(|text| (version, text.as_str()))
    }

    /// Mode and phase of the open run.
    pub fn phase(&self) -> Option<(Mode, Phase)> {
        self.head.open_run().map(|run| (run.mode, run.phase))
    }
}

fn of_run<T: Default + serde::de::DeserializeOwned>(part: Part, body: serde_json::Value, run: Option<&RunId>) -> Result<T, SnapshotError> {
    let held: OfRun<T> = serde_json::from_value(body).map_err(|source| SnapshotError::Body { key: Key::Progress(part), source })?;
    Ok(if Some(&held.run) == run { held.progress } else { T::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::situations::at;

    fn item(key: Key, revision: u64, body: serde_json::Value) -> Item {
        Item { key, revision, body }
    }

    fn head_in(run: Option<&str>, phase: &str) -> serde_json::Value {
        let run = run.map(|id| {
            json!({
                "id": id, "mode": "failover", "phase": phase, "plan_version": 1, "opened_at": at(0), "phase_since": at(0), "cause": "x",
                "first_down": null, "confirmed_at": null, "committed_at": null, "ended_at": null,
            })
        });
        json!({ "serving": "primary", "run": run, "hold": null, "cool_down_until": null, "plan_version": 2 })
    }

    #[test]
    fn every_key_is_read_as_it_was_written() {
        let resource = ResourceId("service/shop/web#blue".to_owned());
        let parts = Part::ALL.map(Key::Progress);
        let others = [Key::Head, Key::Plan(7), Key::Evidence, Key::Memory, Key::Baseline(resource), Key::Obligation("copy/x".to_owned())];
        for key in parts.into_iter().chain(others).chain([Key::Lease("capacity".to_owned())]) {
            assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        }
    }

    #[test]
    fn a_key_of_a_newer_version_is_refused_and_not_ignored() {
        for key in ["", "sundial", "plan#newest", "progress#cooking"] {
            let error = key.parse::<Key>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains("deploy the version that wrote it"), "{error}");
        }
    }

    #[test]
    fn progress_counts_for_its_own_run_only_but_its_item_keeps_its_revision() {
        let capacity = |run: &str| {
            let step = json!({ "requested_at": null, "reached_at": null, "running": 1, "wanted": 4, "said": "x" });
            item(Key::Progress(Part::Capacity), 5, json!({ "run": run, "progress": { "resources": { "service/shop/web": step } } }))
        };
        // Whatever the order in which the items come.
        let ours = Snapshot::of(vec![capacity("now"), item(Key::Head, 1, head_in(Some("now"), "Suspected"))]).unwrap();
        assert_eq!(ours.progress.capacity.resources.len(), 1);
        let older = Snapshot::of(vec![capacity("before"), item(Key::Head, 1, head_in(Some("now"), "Suspected"))]).unwrap();
        assert_eq!(older.progress, Progress::default());
        assert_eq!(older.revision(&Key::Progress(Part::Capacity)), Some(5));
        let peace = Snapshot::of(vec![capacity("before")]).unwrap();
        assert_eq!(peace.progress, Progress::default());
    }

    #[test]
    fn an_open_run_keeps_its_plan_and_in_peace_the_newest_counts() {
        let with = |phase: &str| {
            let plans = [(1, "one"), (2, "two")].map(|(version, text)| item(Key::Plan(version), 1, json!(text)));
            Snapshot::of([item(Key::Head, 1, head_in(Some("now"), phase))].into_iter().chain(plans).collect()).unwrap()
        };
        assert_eq!(with("Suspected").plan_text(), Some((1, "one")));
        assert_eq!(with("Closed").plan_text(), Some((2, "two")));
    }

    #[test]
    fn an_empty_partition_has_no_plan_and_every_item_is_still_to_be_created() {
        let snapshot = Snapshot::of(Vec::new()).unwrap();
        assert_eq!((snapshot.plan_text(), snapshot.revision(&Key::Head), snapshot.phase()), (None, None, None));
    }

    #[test]
    fn an_item_that_cannot_be_read_is_named_with_what_to_do() {
        let bad = [
            item(Key::Lease("capacity".to_owned()), 1, json!({ "owner": 5 })),
            item(Key::Progress(Part::Traffic), 1, json!({ "progress": {} })),
            item(Key::Head, 1, head_in(Some("now"), "Dreaming")),
        ];
        for item in bad {
            let key = item.key.to_string();
            let error = Snapshot::of(vec![item]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}` cannot be read")) && error.contains("restore the table"), "{error}");
        }
    }

    #[test]
    fn a_hold_ends_by_itself() {
        let head = Head { hold: Some(HoldSwitch { until: at(60), by: "ada".to_owned() }), ..Head::default() };
        assert!(head.held(at(59)) && !head.held(at(60)) && !Head::default().held(at(0)));
    }

    #[test]
    fn obligations_of_different_things_never_share_a_key() {
        let owed = |what| Obligation { run: RunId("r".to_owned()), what, made_at: at(0), deadline: at(1) }.id();
        let ids = [owed(Owed::Capacity), owed(Owed::Copy { instance: "capacity".to_owned() }), owed(Owed::Secret { name: "capacity".to_owned() })];
        assert_eq!(ids, ["capacity", "copy/capacity", "secret/capacity"]);
    }

    #[test]
    fn least_capacity_is_unknown_until_every_resource_was_looked_at() {
        let plan = crate::situations::plan();
        let step = |running, wanted| CapacityStep { requested_at: None, reached_at: None, running, wanted, said: String::new() };
        let progress = |steps: &[CapacityStep]| {
            let ids = plan.services.iter().map(Service::id).chain(plan.groups.iter().map(Group::id));
            CapacityProgress { resources: ids.zip(steps.iter().cloned()).collect() }
        };
        assert_eq!(progress(&[]).least_per_cent(&plan), None);
        assert_eq!(progress(&[step(3, 4)]).least_per_cent(&plan), Some(75));
        assert_eq!(progress(&[step(9, 4)]).least_per_cent(&plan), Some(100));
        assert_eq!(progress(&[step(0, 0)]).least_per_cent(&plan), Some(100));
    }
}
