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
//!
//! Two versions of the functions share it while a deployment rolls, and after one was taken back. So every change goes through
//! [`Snapshot::write`], which keeps what this version does not know; an item of an unknown key is nobody's business here; and
//! where a decision depends on what cannot be read, nothing is decided ([`SnapshotError`]).

mod home;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::keep::keep;
use crate::look::Question;
use crate::plan::{Bounds, Group, InstancesDistribution, Plan, ProviderShare, ResourceId, Service};
use crate::ports::{Change, Write};
use crate::run::{Mode, Phase, Run, RunId};

pub use home::{HomeComparison, HomeDatabase, HomeLag, HomeRotation, HomeSecretStep, HomeStep, HomeTraffic, LeftTable, ReplicaShape};

/// The version that speaks. Each item carries the one that wrote it last.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The key in each body under which that stands.
const WRITER: &str = "writer";

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

/// What a resource looked like before it was first touched; scale-down restores exactly that. So a field that is not known is not
/// passed over: restored without it, the baseline would be freed and the rest of it lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Baseline {
    Service {
        cluster: String,
        name: String,
        desired: u32,
        scaling: Option<Bounds>,
        capacity_providers: Vec<ProviderShare>,
    },
    Group {
        name: String,
        min: u32,
        desired: u32,
        max: u32,
        instances: Option<InstancesDistribution>,
    },
    /// Another version recorded it, and this one cannot restore it. It holds its place: nothing else is recorded in it, and
    /// nothing counts as restored while it stands.
    #[serde(skip)]
    Unread {
        why: String,
    },
}

impl Baseline {
    /// The baseline as the size that a plan would ask for; else why not.
    pub fn as_target(&self) -> Result<CapacityTarget, String> {
        match self.clone() {
            Baseline::Service { cluster, name, desired, scaling, capacity_providers } => {
                Ok(CapacityTarget::Service(Service { cluster, name, desired, scaling, capacity_providers }))
            }
            Baseline::Group { name, min, desired, max, instances } => Ok(CapacityTarget::Group(Group { name, min, desired, max, instances })),
            Baseline::Unread { why } => Err(why),
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
    /// Another version made it, and this one cannot undo it.
    #[serde(skip)]
    Unread { id: String, why: String },
}

impl Owed {
    /// The last part of its obligation's key; one obligation a thing.
    pub fn id(&self) -> String {
        match self {
            Owed::Capacity => "capacity".to_owned(),
            Owed::Copy { instance } => format!("copy/{instance}"),
            Owed::Secret { name } => format!("secret/{name}"),
            Owed::Unread { id, .. } => id.clone(),
        }
    }
}

impl Obligation {
    pub fn id(&self) -> String {
        self.what.id()
    }
}

/// Who works on what, and until when nobody else should begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub owner: String,
    pub until: Timestamp,
}

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
    /// Seconds that the last good drill's recovery took.
    pub recovery_seconds: Option<f64>,
    /// What the last look at the standby's readiness found.
    pub readiness: Option<ReadinessSeen>,
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

/// Counts for the metrics; the findings themselves are on the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadinessSeen {
    pub at: Timestamp,
    pub blocking: u32,
    pub warnings: u32,
    /// Where the page lies.
    pub page: String,
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
    /// The report that a run which is over still owes.
    Report(RunId),
    /// Somebody asks how the standby stands.
    Look,
    /// What the function of this name answered.
    Sight(String),
    /// An item of a version that knows more. It is left alone.
    Other(String),
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
            Key::Report(run) => write!(f, "report#{run}"),
            Key::Look => f.write_str("look"),
            Key::Sight(function) => write!(f, "sight#{function}"),
            Key::Other(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        let other = || Key::Other(text.to_owned());
        let (kind, rest) = text.split_once('#').unwrap_or((text, ""));
        match kind {
            "head" => Key::Head,
            "evidence" => Key::Evidence,
            "memory" => Key::Memory,
            "plan" => rest.parse().map_or_else(|_| other(), Key::Plan),
            "baseline" => Key::Baseline(ResourceId(rest.to_owned())),
            "obligation" => Key::Obligation(rest.to_owned()),
            "lease" => Key::Lease(rest.to_owned()),
            "progress" => Part::ALL.into_iter().find(|part| part.name() == rest).map_or_else(other, Key::Progress),
            "report" => Key::Report(RunId(rest.to_owned())),
            "look" => Key::Look,
            "sight" => Key::Sight(rest.to_owned()),
            _ => other(),
        }
    }
}

/// A progress item carries the run that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfRun<T> {
    pub run: RunId,
    pub progress: T,
}

/// What the report of a run is made of, frozen in the write that ends the run: the next one may open a second later, and takes
/// the head and every progress item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwedReport {
    pub run: Run,
    /// The text of the plan that it followed.
    pub plan: String,
    pub progress: Progress,
}

impl OwedReport {
    /// Reads the item, and the plan in it; else says why it cannot be.
    pub fn read(body: &serde_json::Value) -> Result<(OwedReport, Plan), String> {
        let owed = OwedReport::deserialize(body).map_err(|error| format!("{error}; {} wrote it", writer(body)))?;
        let plan = Plan::stored(&owed.plan).map_err(|error| format!("its plan: {error}; {} wrote it", writer(body)))?;
        Ok((owed, plan))
    }
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
    /// An [`OwedReport`] each. Read when it is written only: the report of a run that is over must not stop the one that is open.
    pub reports: BTreeMap<RunId, serde_json::Value>,
    /// The question that is open.
    pub look: Option<Question>,
    /// A [`crate::look::Answered`] each, by the function's name. Read when it is judged only.
    pub sights: BTreeMap<String, serde_json::Value>,
    revisions: BTreeMap<Key, u64>,
    /// The bodies as they were read.
    bodies: BTreeMap<Key, serde_json::Value>,
}

/// What every decision depends on cannot be read: a phase, a mode, a word that another version knows. So nothing is decided, and
/// nothing changed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the journal's item `{key}` cannot be read by this version, {VERSION}: {source}; nothing was changed; deploy what wrote it, {writer}; if that is this, \
     restore the table to a point in time before it was written"
)]
pub struct SnapshotError {
    pub key: Key,
    /// The version that wrote it.
    pub writer: String,
    pub source: serde_json::Error,
}

impl SnapshotError {
    pub fn new(key: Key, body: &serde_json::Value, source: serde_json::Error) -> SnapshotError {
        SnapshotError { key, writer: writer(body), source }
    }
}

fn writer(body: &serde_json::Value) -> String {
    body.get(WRITER).and_then(serde_json::Value::as_str).map_or_else(|| "which it does not say".to_owned(), |version| format!("version {version}"))
}

impl Snapshot {
    pub fn of(items: Vec<Item>) -> Result<Snapshot, SnapshotError> {
        let mut snapshot = Snapshot::default();
        for Item { key, revision, body } in items {
            snapshot.revisions.insert(key.clone(), revision);
            match &key {
                Key::Head => snapshot.head = read(&key, &body)?,
                Key::Evidence => snapshot.evidence = read(&key, &body)?,
                Key::Memory => snapshot.memory = read(&key, &body)?,
                Key::Plan(version) => drop(snapshot.plans.insert(*version, read(&key, &body)?)),
                // What is given back at the end need not be understood to recover: whose part it is says that it cannot.
                Key::Baseline(resource) => {
                    let baseline = Baseline::deserialize(bare(&body)).map_err(|source| SnapshotError::new(key.clone(), &body, source));
                    snapshot.baseline.insert(resource.clone(), baseline.unwrap_or_else(|error| Baseline::Unread { why: error.to_string() }));
                }
                Key::Obligation(id) => drop(snapshot.obligations.insert(id.clone(), obligation(&key, id, &body)?)),
                Key::Lease(name) => drop(snapshot.leases.insert(name.clone(), read(&key, &body)?)),
                Key::Report(run) => drop(snapshot.reports.insert(run.clone(), body.clone())),
                // A question that cannot be read is another version's, and nobody's to stop a recovery for.
                Key::Look => snapshot.look = Question::deserialize(&body).ok(),
                Key::Sight(function) => drop(snapshot.sights.insert(function.clone(), body.clone())),
                Key::Progress(_) | Key::Other(_) => {}
            }
            snapshot.bodies.insert(key, body);
        }
        // Only now is the run known that the progress must belong to.
        let run = &snapshot.head.run.as_ref().map_or_else(RunId::none, |run| run.id.clone());
        for part in Part::ALL {
            let key = Key::Progress(part);
            let Some(body) = snapshot.bodies.get(&key) else { continue };
            let all = &mut snapshot.progress;
            match part {
                Part::Capacity => all.capacity = of_run(&key, body, run)?,
                Part::Promotion => all.promotion = of_run(&key, body, run)?,
                Part::Rotation => all.rotation = of_run(&key, body, run)?,
                Part::Traffic => all.traffic = of_run(&key, body, run)?,
                Part::Restore => all.restore = of_run(&key, body, run)?,
                Part::Drill => all.drill = of_run(&key, body, run)?,
            }
        }
        Ok(snapshot)
    }

    /// The change that puts `body` under `key`, on the condition of what was read, with what of that this version does not know.
    /// The only way in which a body is made.
    pub fn write<T: Serialize>(&self, key: Key, body: &T) -> Result<Write, serde_json::Error> {
        let mut body = serde_json::to_value(body)?;
        if let (Some(read), Some(understood)) = (self.bodies.get(&key), self.understood(&key)) {
            body = keep(read, &understood, body);
        }
        if let serde_json::Value::Object(body) = &mut body {
            body.insert(WRITER.to_owned(), VERSION.into());
        }
        Ok(Write { expected: self.revision(&key), key, change: Change::Put(body) })
    }

    /// A body as it was read, with what this version does not know.
    pub fn body(&self, key: &Key) -> Option<&serde_json::Value> {
        self.bodies.get(key)
    }

    /// What this version makes of a body that it read.
    pub fn understood(&self, key: &Key) -> Option<serde_json::Value> {
        understood(key, self.bodies.get(key)?)
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

fn read<T: DeserializeOwned>(key: &Key, body: &serde_json::Value) -> Result<T, SnapshotError> {
    T::deserialize(body).map_err(|source| SnapshotError::new(key.clone(), body, source))
}

fn of_run<T: Default + DeserializeOwned>(key: &Key, body: &serde_json::Value, run: &RunId) -> Result<T, SnapshotError> {
    // Of another run, which another version may have been at, nothing but that is read.
    let held: OfRun<serde_json::Value> = read(key, body)?;
    if held.run == *run { read(key, &held.progress).map_err(|error| SnapshotError { writer: writer(body), ..error }) } else { Ok(T::default()) }
}

fn obligation(key: &Key, id: &str, body: &serde_json::Value) -> Result<Obligation, SnapshotError> {
    read(key, body).or_else(|error: SnapshotError| {
        let OwedWhatever { run, made_at, deadline } = read(key, body)?;
        Ok(Obligation { run, what: Owed::Unread { id: id.to_owned(), why: error.to_string() }, made_at, deadline })
    })
}

/// A body without the version that wrote it.
fn bare(body: &serde_json::Value) -> serde_json::Value {
    let mut bare = body.clone();
    bare.as_object_mut().map(|bare| bare.remove(WRITER));
    bare
}

/// Whatever is owed, it has these.
#[derive(Deserialize)]
struct OwedWhatever {
    run: RunId,
    made_at: Timestamp,
    deadline: Timestamp,
}

fn understood(key: &Key, body: &serde_json::Value) -> Option<serde_json::Value> {
    fn again<T: Serialize + DeserializeOwned>(body: &serde_json::Value) -> Option<serde_json::Value> {
        serde_json::to_value(T::deserialize(body).ok()?).ok()
    }
    match key {
        Key::Head => again::<Head>(body),
        Key::Evidence => again::<Evidence>(body),
        Key::Memory => again::<Memory>(body),
        Key::Baseline(_) => again::<Baseline>(&bare(body)),
        Key::Obligation(_) => again::<Obligation>(body),
        Key::Lease(_) => again::<Lease>(body),
        Key::Progress(Part::Capacity) => again::<OfRun<CapacityProgress>>(body),
        Key::Progress(Part::Promotion) => again::<OfRun<PromotionProgress>>(body),
        Key::Progress(Part::Rotation) => again::<OfRun<RotationProgress>>(body),
        Key::Progress(Part::Traffic) => again::<OfRun<TrafficProgress>>(body),
        Key::Progress(Part::Restore) => again::<OfRun<RestoreProgress>>(body),
        Key::Progress(Part::Drill) => again::<OfRun<DrillProgress>>(body),
        Key::Report(_) => again::<OwedReport>(body),
        // What is asked and answered is made anew each time.
        Key::Plan(_) | Key::Look | Key::Sight(_) | Key::Other(_) => None,
    }
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
        for key in parts.into_iter().chain(others).chain([
            Key::Lease("capacity".to_owned()),
            Key::Report(RunId("drill-1".to_owned())),
            Key::Look,
            Key::Sight("scale-up".to_owned()),
        ]) {
            assert_eq!(Key::from(key.to_string().as_str()), key);
        }
    }

    #[test]
    fn an_item_of_a_key_that_another_version_knows_is_left_alone_and_nothing_else_suffers() {
        for key in ["", "sundial", "plan#newest", "progress#cooking", "readiness#1"] {
            assert_eq!(Key::from(key), Key::Other(key.to_owned()));
            assert_eq!(Key::from(key).to_string(), key);
        }
        let items = vec![item(Key::from("progress#cooking"), 3, json!([1])), item(Key::Head, 1, head_in(Some("now"), "Suspected"))];
        let snapshot = Snapshot::of(items).unwrap();
        assert_eq!(snapshot.phase(), Some((Mode::Failover, Phase::Suspected)));
        assert_eq!(snapshot.revision(&Key::from("progress#cooking")), Some(3));
    }

    #[test]
    fn what_another_version_wrote_into_an_item_survives_this_ones_change_of_it() {
        let mut body = head_in(Some("now"), "Suspected");
        body["run"]["weather"] = json!("storm");
        body["weather"] = json!({ "wind": 12 });
        body["writer"] = json!("9.0.0");
        let snapshot = Snapshot::of(vec![item(Key::Head, 4, body)]).unwrap();
        let mut head = snapshot.head.clone();
        head.run.as_mut().unwrap().step(crate::run::Step::Confirm, at(60)).unwrap();
        let write = snapshot.write(Key::Head, &head).unwrap();
        assert_eq!(write.expected, Some(4));
        let Change::Put(body) = write.change else { panic!("{write:?}") };
        assert_eq!((&body["run"]["weather"], &body["weather"]), (&json!("storm"), &json!({ "wind": 12 })));
        assert_eq!((&body["run"]["phase"], &body["writer"]), (&json!("Confirmed"), &json!(VERSION)));

        // Another run has another weather.
        head.run = Some(crate::fold::open(Mode::Drill, Phase::Activating, 1, "x".to_owned(), at(90)));
        let Change::Put(body) = snapshot.write(Key::Head, &head).unwrap().change else { panic!() };
        assert_eq!((body["run"].get("weather"), &body["weather"]), (None, &json!({ "wind": 12 })));
    }

    #[test]
    fn what_is_to_be_given_back_and_cannot_be_read_holds_its_place() {
        let resource = ResourceId("function/shop".to_owned());
        let items = vec![
            item(Key::Baseline(resource.clone()), 1, json!({ "kind": "function", "name": "shop", "concurrency": 5, "writer": "9.0.0" })),
            item(Key::Obligation("window/1".to_owned()), 1, json!({ "run": "r", "what": { "kind": "window" }, "made_at": at(0), "deadline": at(9) })),
        ];
        let snapshot = Snapshot::of(items).unwrap();
        let why = snapshot.baseline[&resource].as_target().unwrap_err();
        assert!(why.contains("`baseline#function/shop` cannot be read") && why.contains("deploy what wrote it, version 9.0.0"), "{why}");
        // What one version can restore in part only, the other restores whole.
        let known = json!({ "kind": "group", "name": "workers", "min": 1, "desired": 1, "max": 2, "instances": null, "writer": "9.0.0" });
        let read = |body: &serde_json::Value| {
            Snapshot::of(vec![item(Key::Baseline(resource.clone()), 1, body.clone())]).unwrap().baseline[&resource].clone()
        };
        assert!(matches!(read(&known), Baseline::Group { max: 2, .. }));
        let mut more = known.clone();
        more["warm_pool"] = json!(3);
        assert!(matches!(read(&more), Baseline::Unread { why } if why.contains("unknown field `warm_pool`")));

        let owed = &snapshot.obligations["window/1"];
        assert_eq!((owed.id().as_str(), owed.deadline), ("window/1", at(9)));
        assert!(matches!(&owed.what, Owed::Unread { why, .. } if why.contains("`obligation#window/1` cannot be read")), "{owed:?}");
    }

    #[test]
    fn what_was_done_without_any_run_counts_until_there_is_one() {
        let held_out = item(Key::Progress(Part::Traffic), 1, json!({ "run": RunId::none(), "progress": { "stop_asked_at": at(0) } }));
        let serving = item(Key::Head, 1, json!({ "serving": "standby", "run": null, "hold": null, "cool_down_until": null, "plan_version": 1 }));
        let asked = |head: Item| Snapshot::of(vec![held_out.clone(), head]).unwrap().progress.traffic.stop_asked_at;
        assert_eq!(asked(serving), Some(at(0)));
        assert_eq!(asked(item(Key::Head, 2, head_in(Some("now"), "Suspected"))), None);
    }

    #[test]
    fn the_progress_of_a_run_that_another_version_was_at_does_not_stop_the_next_one() {
        let cooked = item(Key::Progress(Part::Traffic), 1, json!({ "run": "before", "progress": { "users_at": "the moon" } }));
        let snapshot = Snapshot::of(vec![cooked.clone(), item(Key::Head, 1, head_in(Some("now"), "Suspected"))]).unwrap();
        assert_eq!(snapshot.progress, Progress::default());
        assert!(Snapshot::of(vec![cooked, item(Key::Head, 1, head_in(Some("before"), "Suspected"))]).is_err());
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
            assert!(error.contains(&format!("`{key}` cannot be read")) && error.contains("nothing was changed"), "{error}");
            assert!(error.contains("deploy what wrote it, which it does not say") && error.contains("restore the table"), "{error}");
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
