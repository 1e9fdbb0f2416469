//! All items of a plan, read at once, and the only way in which a body is made.
//!
//! A body that this version does not wholly understand is kept as far as possible, and where a decision depends on what cannot
//! be read, there is none.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;

/// The version that speaks. Each item carries the one that wrote it last.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The key in each body under which that stands.
const WRITER: &str = "writer";

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

pub(super) fn writer(body: &serde_json::Value) -> String {
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
mod tests;
