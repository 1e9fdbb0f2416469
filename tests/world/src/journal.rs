//! The journal in memory, with DynamoDB's conditions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use relight::ports::{CallError, Change, Entry, Journal, JournalError, Write, Written};
use relight::run::RunId;
use relight::state::{Head, Item, Key, Place, Snapshot};
use serde_json::Value;

use crate::Calls;

#[derive(Debug, Default)]
struct Table {
    items: BTreeMap<Key, (u64, Value)>,
    history: BTreeMap<RunId, Vec<Entry>>,
    writes: u32,
}

#[derive(Debug, Clone)]
pub struct MemoryJournal {
    calls: Calls,
    table: Rc<RefCell<Table>>,
}

impl MemoryJournal {
    /// A journal that holds the plan as version 1.
    pub fn new(calls: Calls, plan: &str) -> MemoryJournal {
        let journal = MemoryJournal { calls, table: Rc::default() };
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

    pub fn snapshot(&self) -> Snapshot {
        let items = self
            .table
            .borrow()
            .items
            .iter()
            .map(|(key, (revision, body))| Item { key: key.clone(), revision: *revision, body: body.clone() })
            .collect();
        Snapshot::of(items).expect("the world writes what it can read")
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
        Ok(self.snapshot())
    }

    async fn write(&self, changes: Vec<Write>, entries: Vec<(RunId, Entry)>) -> Result<Written, JournalError> {
        let write = || {
            let mut table = self.table.borrow_mut();
            if changes.iter().any(|change| table.items.get(&change.key).map(|(revision, _)| *revision) != change.expected) {
                return Ok(Written::Lost);
            }
            table.writes += 1;
            for Write { key, expected, change } in changes {
                match change {
                    Change::Put(body) => drop(table.items.insert(key, (expected.unwrap_or(0) + 1, body))),
                    Change::Delete => drop(table.items.remove(&key)),
                }
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

fn failed(doing: &'static str, error: CallError) -> JournalError {
    JournalError::Call { doing, message: error.to_string() }
}
