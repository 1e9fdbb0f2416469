//! What Relight reads and changes, in the domain's words. Each port has two real implementations: the adapter over the
//! AWS SDK in `relight::aws` and the in-memory world of the tests; one conformance suite holds them together.

mod cluster;
mod cluster_copy;
mod compute;
mod copy;
mod database;
mod home;
mod journal;
mod notices;
mod proxy;
mod reached;
mod reports;
mod secrets;
mod traffic;

pub use cluster::{
    AddedInstance, Cluster, ClusterInstance, ClusterLag, GlobalCluster, GlobalClusters, GlobalId, HomeCluster, LostRows, Member, Moving, Readable,
    StandbyCluster, Takeover,
};
pub use cluster_copy::{ClusterCopies, ClusterCopyOf};
pub use compute::{Compute, Found, GroupName, GroupState, Resize, Rollout, ServiceName, ServiceState, Setback};
pub use copy::{COPY_PREFIX, CopyId, CopyOf, CopySnapshot, Removal, SnapshotOf};
pub use database::{Database, Fenced, Instance, InstanceChange, LagSample, ParameterGroup, PrimaryId, Quota, ReplicaId};
pub use home::{
    BadLsn, Compared, Difference, HomeId, HomeOf, LeftId, LeftRows, Lsn, OWN_TABLES, Position, RebuiltOf, Snapshotted, Table, Tables, WriteGate,
};
pub use journal::{Change, Entry, EntryKind, Journal, JournalError, Write, Written};
pub use notices::{Audience, Notice, Notices, Subscriber, Topic};
pub use proxy::{Proxy, ProxyId, ProxyTarget};
pub use reached::{Reached, Telling};
pub use reports::{Reports, Validate};
pub use secrets::{DISPOSABLE_PREFIX, Described, DisposableName, HomeSecret, Login, LoginError, Proof, Rotating, SecretName, Secrets, Seen, Stage};
pub use traffic::{Eyes, Fetched, Resolved, Traffic};

use std::borrow::Cow;
use std::error::Error;

use serde::{Deserialize, Serialize};

/// A call to the world that did not do what was asked. One function tells another of it by the journal ([`crate::look`]); its
/// source stays behind then.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{operation}: {why}")]
pub struct CallError {
    /// `rds:PromoteReadReplica`, as IAM names it.
    pub operation: Cow<'static, str>,
    #[source]
    pub why: Why,
}

/// Why a call failed, as far as it matters to what happens next.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Why {
    #[error("throttled; the next nudge tries again")]
    Throttled,
    #[error("not allowed: {0}; the function's role lacks the permission, deploy the template again")]
    Denied(String),
    #[error("not found: {0}; correct the plan or create it")]
    NotFound(String),
    #[error("refused in its present state: {0}")]
    State(String),
    /// No answer, or one that does not tell: it may have been done.
    #[error("no answer that tells whether it was done: {0}")]
    Unanswered(String),
    #[error("{0}")]
    Other(
        String,
        #[source]
        #[serde(skip)]
        Option<Box<dyn Error + Send + Sync>>,
    ),
}

impl CallError {
    pub fn new(operation: impl Into<Cow<'static, str>>, why: Why) -> CallError {
        CallError { operation: operation.into(), why }
    }

    /// A name that stays the same from version to version, for whoever tells failures apart by it.
    pub fn name(&self) -> &'static str {
        match self.why {
            Why::Throttled => "CallThrottled",
            Why::Denied(_) => "CallDenied",
            Why::NotFound(_) => "NotFound",
            Why::State(_) => "StateRefused",
            Why::Unanswered(_) => "CallUnanswered",
            Why::Other(..) => "CallFailed",
        }
    }

    /// Whether the same call may succeed later with nothing changed by a person.
    pub fn passes(&self) -> bool {
        matches!(self.why, Why::Throttled | Why::State(_) | Why::Unanswered(_))
    }
}
