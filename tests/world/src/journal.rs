//! The journal in memory, with DynamoDB's conditions; and, where a test asks for it, as another version of the functions reads
//! and writes it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use relight::keep::keep;
use relight::ports::{CallError, Change, Entry, Journal, JournalError, Write, Written};
use relight::run::RunId;
use relight::state::{Head, Item, Key, Place, Snapshot};
use serde_json::{Value, json};

use crate::Calls;

#[derive(Debug, Default)]
struct Table {
    items: BTreeMap<Key, (u64, Value)>,
    history: BTreeMap<RunId, Vec<Entry>>,
    writes: u32,
}

/// Which version of the functions speaks, where two share the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// It knows of no owed report and of none of the fields in [`NEWEST`], and keeps what it finds.
    Older,
    #[default]
    This,
    /// It writes one field more into everything, and an item of its own.
    Newer,
}

/// Fields that an older version does not know, in whatever they stand.
///
/// The code that runs as the older one is today's. So what a function decides by whether it wrote it (`users_at`, `opened_at`, a time of
/// asking) cannot stand here: it would write that in each turn for ever, as no version does that knows no such field.
const NEWEST: [&str; 10] = [
    "released_at",
    "was_drill",
    "rehearsal",
    "class_changed_at",
    "sampled_at",
    "promotion_seconds",
    "recovery_seconds",
    "readiness",
    "logins",
    "announced_end_at",
];
/// The field that a newer version writes.
pub const NEWER: &str = "weather";
/// The item that a newer version writes.
pub const NEWER_ITEM: &str = "progress#sundial";
/// What holds things by their names is no thing itself: no version writes a field into it, and the names differ from run to run.
pub const BY_NAME: [&str; 18] = [
    "resources",
    "databases",
    "copies",
    "compared",
    "homes",
    "left",
    "proven",
    "secrets",
    "fenced",
    "validated",
    "observers",
    "promotion_seconds",
    "replicas",
    "takeovers",
    "left_writers",
    "logins",
    "heartbeats",
    "calls",
];

#[derive(Debug, Clone)]
pub struct MemoryJournal {
    calls: Calls,
    table: Rc<RefCell<Table>>,
    version: Version,
}

impl MemoryJournal {
    /// A journal that holds the plan as version 1.
    pub fn new(calls: Calls, plan: &str) -> MemoryJournal {
        let journal = MemoryJournal { calls, table: Rc::default(), version: Version::This };
        journal.set(Key::Plan(1), Value::from(plan));
        journal.set(Key::Head, serde_json::to_value(Head { plan_version: 1, ..Head::default() }).expect("a head is JSON"));
        journal
    }

    /// Sets an item as somebody else would have.
    pub fn set(&self, key: Key, body: Value) {
        let mut table = self.table.borrow_mut();
        let revision = table.items.get(&key).map_or(1, |(revision, _)| revision + 1);
        table.items.insert(key, (revision, body));
    }

    /// The same table, as this version reads and writes it.
    pub fn spoken_by(&self, version: Version) -> MemoryJournal {
        MemoryJournal { version, ..self.clone() }
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.items()).expect("the world writes what it can read")
    }

    /// All items as they lie there.
    pub fn items(&self) -> Vec<Item> {
        let table = self.table.borrow();
        let items = table.items.iter().map(|(key, (revision, body))| Item { key: key.clone(), revision: *revision, body: body.clone() });
        items.filter(|item| self.version != Version::Older || knows(&item.key)).collect()
    }

    /// The body of an item as it lies there.
    pub fn body(&self, key: &Key) -> Option<Value> {
        self.table.borrow().items.get(key).map(|(_, body)| body.clone())
    }

    /// Takes an item out as somebody else would have.
    pub fn take(&self, key: &Key) {
        self.table.borrow_mut().items.remove(key);
    }

    /// A body as this version writes it over `held`.
    fn written(&self, key: &Key, held: Option<&Value>, mut body: Value) -> Value {
        match self.version {
            Version::This => {}
            // Of a baseline no part may be passed over: a newer version records more of it only where it knows more kinds.
            Version::Newer if matches!(key, Key::Baseline(_)) => {}
            Version::Older => {
                strip(&mut body);
                if let Some(held) = held {
                    let mut understood = held.clone();
                    strip(&mut understood);
                    body = keep(held, &understood, body);
                }
            }
            Version::Newer => add(&mut body),
        }
        body
    }

    /// All sentences of a run's history.
    pub fn sentences(&self, run: &RunId) -> Vec<String> {
        self.table.borrow().history.get(run).into_iter().flatten().map(|entry| entry.said.clone()).collect()
    }

    /// Writes so far.
    pub fn writes(&self) -> u32 {
        self.table.borrow().writes
    }
}

impl Journal for MemoryJournal {
    async fn read(&self) -> Result<Snapshot, JournalError> {
        self.calls.pass("dynamodb:Query", Place::Standby, "", || Ok(())).map_err(|error| failed("read", error))?;
        let mut items = self.items();
        if self.version == Version::Older {
            items.iter_mut().for_each(|item| strip(&mut item.body));
        }
        Ok(Snapshot::of(items)?)
    }

    async fn write(&self, changes: Vec<Write>, entries: Vec<(RunId, Entry)>) -> Result<Written, JournalError> {
        let write = || {
            let mut table = self.table.borrow_mut();
            if changes.iter().any(|change| table.items.get(&change.key).map(|(revision, _)| *revision) != change.expected) {
                return Ok(Written::Lost);
            }
            table.writes += 1;
            for Write { key, expected, change } in changes.into_iter().filter(|write| self.version != Version::Older || knows(&write.key)) {
                match change {
                    Change::Put(body) => {
                        let body = self.written(&key, table.items.get(&key).map(|(_, body)| body), body);
                        table.items.insert(key, (expected.unwrap_or(0) + 1, body));
                    }
                    Change::Delete => drop(table.items.remove(&key)),
                }
            }
            if self.version == Version::Newer {
                table.items.insert(Key::from(NEWER_ITEM), (1, json!({ "shadow": 1 })));
            }
            for (run, entry) in entries {
                let history = table.history.entry(run).or_default();
                history.push(entry);
                // By time, whoever wrote first: the time is the key of a line.
                history.sort_by_key(|entry| entry.at);
            }
            Ok(Written::Done)
        };
        self.calls.pass("dynamodb:TransactWriteItems", Place::Standby, "", write).map_err(|error| failed("written", error))
    }

    async fn history(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        self.calls.pass("dynamodb:Query", Place::Standby, "history", || Ok(())).map_err(|error| failed("read", error))?;
        Ok(self.table.borrow().history.get(run).cloned().unwrap_or_default())
    }
}

/// Whether an older version knows an item.
fn knows(key: &Key) -> bool {
    !matches!(key, Key::Report(_))
}

fn strip(body: &mut Value) {
    if let Value::Object(body) = body {
        body.retain(|name, _| !NEWEST.contains(&name.as_str()));
        body.values_mut().for_each(strip);
    }
}

fn add(body: &mut Value) {
    if let Value::Object(body) = body {
        for (name, value) in body.iter_mut() {
            match value {
                Value::Object(by_name) if BY_NAME.contains(&name.as_str()) || name == "words" => by_name.values_mut().for_each(add),
                value => add(value),
            }
        }
        body.insert(NEWER.to_owned(), json!("storm"));
    }
}

fn failed(doing: &'static str, error: CallError) -> JournalError {
    JournalError::Call { doing, message: error.to_string() }
}
