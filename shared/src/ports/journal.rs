//! The journal: the only memory of Relight, one table in the standby Region.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::run::RunId;
use crate::state::{Key, Snapshot, SnapshotError};

/// Where it can't be read, nothing is written anywhere.
#[allow(async_fn_in_trait)] // Static dispatch on one thread: nobody needs the future to be Send.
pub trait Journal {
    /// All of the plan's partition, in one strongly consistent read.
    async fn read(&self) -> Result<Snapshot, JournalError>;

    /// All changes or none, each on the condition of its item's revision. The entries are appended to the run's history
    /// in the same write, so that nothing happens without its record. A write that is retried after a lost answer knows
    /// itself by its attempt id.
    async fn write(&self, changes: Vec<Write>, entries: Vec<(RunId, Entry)>) -> Result<Written, JournalError>;

    /// The history of one run, oldest first.
    async fn history(&self, run: &RunId) -> Result<Vec<Entry>, JournalError>;
}

/// A change of one item.
#[derive(Debug, Clone)]
pub struct Write {
    pub key: Key,
    /// The revision that was read; `None`: there must be no such item.
    pub expected: Option<u64>,
    pub change: Change,
}

#[derive(Debug, Clone)]
pub enum Change {
    Put(serde_json::Value),
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Done,
    /// Somebody else was first: read again and decide again.
    Lost,
}

/// One line of a run's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    /// The function that wrote it.
    pub by: String,
    pub kind: EntryKind,
    /// The resource it is about, `database/orders`; empty for the run itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    pub said: String,
    /// AWS calls since this function's last entry, `service:Operation` to their number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The run changed its phase.
    Phase,
    /// An observer changed its word.
    Evidence,
    /// The operator spoke.
    Operator,
    /// Something was asked of AWS or done.
    Action,
    /// Something asked for was seen to be reached.
    Reached,
    Waiting,
    Refusal,
    Failure,
    /// A kind that another version knows.
    #[serde(other)]
    Other,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal has no table `{table}` in {region}; deploy infra/control there, or set RELIGHT_TABLE")]
    NoTable { table: String, region: String },
    #[error("the journal could not be {doing}: {message}")]
    Call { doing: &'static str, message: String },
    #[error(transparent)]
    Content(#[from] SnapshotError),
}

impl JournalError {
    /// See [`super::CallError::name`].
    pub fn name(&self) -> &'static str {
        match self {
            JournalError::NoTable { .. } => "NoJournal",
            JournalError::Call { .. } => "JournalUnreachable",
            JournalError::Content(_) => "JournalUnread",
        }
    }
}
