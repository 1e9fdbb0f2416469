//! Every call that arrived: in memory for the tests, one JSON object a line for people.
//!
//! Never a body, never a header: what secrets there are travel in those.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use serde::Serialize;

use crate::lock;

/// How a call was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallVerdict {
    /// Root, an unjudged key, or an anonymous read, which the bucket's policy decides.
    NotJudged,
    Allowed,
    Denied,
    /// The stage could not judge it: a configuration error.
    Error,
    /// It went into, or came out of, a dark Region: nobody looked at it.
    Dark,
}

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    pub time: Timestamp,
    /// The role's name, `root`, `anonymous`, or an unjudged key's label.
    pub caller: String,
    /// The ARN of the function whose credentials signed it.
    pub function: Option<String>,
    /// The Region that was called (for S3, the bucket's).
    pub region: String,
    /// The prefix of the service's IAM actions.
    pub service: String,
    pub operation: String,
    /// The ARNs that IAM looks at, as far as they are known.
    pub resources: Vec<String>,
    pub verdict: CallVerdict,
    /// What was injected into it.
    pub fault: Option<String>,
    /// `None`: never answered.
    pub status: Option<u16>,
    pub millis: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the router's log file {path} cannot be created: choose a writable path in Settings::log_file")]
pub struct LogError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

pub(crate) struct Log {
    calls: Mutex<Vec<Call>>,
    file: Mutex<File>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> Result<Self, LogError> {
        let file = File::create(path).map_err(|source| LogError { path: path.to_owned(), source })?;
        Ok(Self { calls: Mutex::default(), file: Mutex::new(file) })
    }

    pub(crate) fn add(&self, call: Call) {
        if let Ok(mut line) = serde_json::to_vec(&call) {
            line.push(b'\n');
            // A full disk must not end a run whose calls are all in memory; people see the gap in the file.
            if let Err(error) = lock(&self.file).write_all(&line) {
                eprintln!("the router's log file misses a call: {error}");
            }
        }
        lock(&self.calls).push(call);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }
}
