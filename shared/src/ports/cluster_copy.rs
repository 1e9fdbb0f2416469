//! A drill's disposable copy of an Aurora secondary: a cluster by itself, restored from a snapshot of the secondary.
//!
//! ```text
//! secondary ──► a snapshot, under the copy's name ──► a cluster ──► one instance in it: a writer ──► removed: the instance, the cluster, the snapshot
//! ```
//! It belongs to no global cluster, so nothing that is done to it moves a writer. It shows what the data are worth, and no takeover.

use super::{CallError, Cluster, CopyId, CopySnapshot, Removal, StandbyCluster};
use crate::run::RunId;

#[allow(async_fn_in_trait)] // Static dispatch on one thread: nobody needs the future to be Send.
pub trait ClusterCopies {
    /// Begins a snapshot of the secondary, under the copy's name. It needs no instance. One that is there already is ours.
    async fn snapshot_cluster(&self, copy: &CopyId, of: &ClusterCopyOf<'_>) -> Result<(), CallError>;

    /// The snapshot under the copy's name; `None` where there is none.
    async fn cluster_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError>;

    /// Begins the copy as a restore of that snapshot: storage alone, otherwise as the secondary is, but without protection. One that is
    /// there already is ours.
    async fn restore_cluster(&self, copy: &CopyId, of: &ClusterCopyOf<'_>) -> Result<(), CallError>;

    /// The copy with its instances.
    async fn cluster_copy(&self, copy: &CopyId) -> Result<Option<Cluster>, CallError>;

    /// Gives the copy its instance, a writer once it is available. One that is there already is ours.
    async fn add_copy_instance(&self, copy: &CopyId, class: &str, of: &ClusterCopyOf<'_>) -> Result<(), CallError>;

    /// Removes the copy's instance, then the cluster without a last snapshot, and then the snapshot that it was restored from. Called until
    /// it says [`Removal::Gone`]: nothing of them is there.
    async fn remove_cluster_copy(&self, copy: &CopyId) -> Result<Removal, CallError>;

    /// All such copies of a plan that are there, or their snapshots, whoever forgot them: by their name and the tag `relight:plan`.
    async fn cluster_copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError>;
}

/// What a copy is made of, and otherwise like.
#[derive(Debug, Clone, Copy)]
pub struct ClusterCopyOf<'a> {
    pub source: &'a StandbyCluster,
    /// Tags `relight:plan` and `relight:run`, of the snapshot, the cluster and its instance.
    pub plan: &'a str,
    pub run: &'a RunId,
}
