//! The disposable copies of Aurora's secondaries.
//!
//! ```text
//! snapshot   creating 45 s ─► available, or failed; the secondary is backing-up meanwhile
//! restore    creating 60 s ─► available, without an instance
//! instance   creating 60 s ─► available: a writer
//! remove     the instance deleting 30 s ─► gone; then the cluster, the same; then the snapshot
//! ```

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use relight::ports::{CallError, Cluster, ClusterCopies, ClusterCopyOf, ClusterInstance, CopyId, CopySnapshot, Instance, Removal, Why};
use relight::state::Place;

use super::changes::Later;
use super::global::instance;
use super::{DatabaseWorld, Held, endpoint};

const DELETING: SignedDuration = SignedDuration::from_secs(30);

/// The one instance of such a copy.
#[derive(Debug)]
pub(super) struct Member {
    /// And when it is available.
    pub(super) instance: (ClusterInstance, Timestamp),
    gone_at: Option<Timestamp>,
}

impl Member {
    pub(super) fn is_there(&self, now: Timestamp) -> bool {
        self.gone_at.is_none_or(|at| now < at)
    }
}

fn busy(copy: &CopyId, why: &str) -> Why {
    Why::State(format!("InvalidDBClusterStateFault: {copy} {why}"))
}

impl ClusterCopies for DatabaseWorld {
    async fn snapshot_cluster(&self, copy: &CopyId, of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        self.call("rds:CreateDBClusterSnapshot", copy.as_str(), |rds, now| match rds.copy_snapshots.contains_key(copy.as_str()) {
            true => Ok(()),
            false => rds.take_snapshot_of(of.source.as_str(), copy, of.plan, now),
        })
    }

    async fn cluster_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError> {
        self.call("rds:DescribeDBClusterSnapshots", copy.as_str(), |rds, now| {
            let found = rds.copy_snapshots.get(copy.as_str()).filter(|held| held.of.is_cluster());
            Ok(found.map(|held| held.how_far(now)))
        })
    }

    async fn restore_cluster(&self, copy: &CopyId, of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        self.call("rds:RestoreDBClusterFromSnapshot", copy.as_str(), |rds, now| {
            let found = rds.copy_snapshots.get(copy.as_str()).filter(|held| held.of.is_cluster()).cloned();
            let snapshot = found.ok_or_else(|| Why::NotFound(format!("DBClusterSnapshotNotFoundFault: {copy} not found.")))?;
            if snapshot.how_far(now) != CopySnapshot::Available {
                return Err(Why::State(format!("InvalidDBClusterSnapshotStateFault: {copy} is not available.")));
            }
            if rds.standby.contains_key(copy.as_str()) {
                return Ok(());
            }
            let like = rds.held(of.source.as_str())?.instance.clone();
            let made = Held {
                instance: Instance {
                    status: "creating".to_owned(),
                    source: None,
                    replication: Vec::new(),
                    endpoint: Some(endpoint(Place::Standby, copy.as_str())),
                    deletion_protection: false,
                    ..like
                },
                stalled: false,
                plan_tag: Some(of.plan.to_owned()),
                later: vec![(now + rds.creation, Later::Status("available"))],
                promotions: 0,
                restarts: 0,
                ..snapshot.of
            };
            rds.standby.insert(copy.as_str().to_owned(), made);
            Ok(())
        })
    }

    async fn cluster_copy(&self, copy: &CopyId) -> Result<Option<Cluster>, CallError> {
        self.cluster_in(Place::Standby, copy.as_str())
    }

    async fn add_copy_instance(&self, copy: &CopyId, class: &str, _of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        self.call("rds:CreateDBInstance", &copy.member(), |rds, now| {
            let cluster = rds.standby.get(copy.as_str()).filter(|held| held.is_cluster());
            let cluster = cluster.ok_or_else(|| Why::NotFound(format!("DBClusterNotFoundFault: {copy} not found.")))?;
            if !cluster.instance.is_available() {
                return Err(busy(copy, "is not available"));
            }
            let ready = now + rds.creation;
            let member = Member { instance: (instance(&copy.member(), class), ready), gone_at: None };
            rds.copy_members.entry(copy.as_str().to_owned()).or_insert(member);
            Ok(())
        })
    }

    async fn remove_cluster_copy(&self, copy: &CopyId) -> Result<Removal, CallError> {
        let Some(found) = self.cluster_copy(copy).await? else { return self.remove_cluster_snapshot(copy).await };
        let statuses = found.instances.iter().map(|instance| instance.status.as_str()).chain([found.status.as_str()]);
        if statuses.into_iter().any(|status| status == "deleting") {
            return Ok(Removal::Underway);
        }
        if !found.instances.is_empty() {
            return self.call("rds:DeleteDBInstance", &copy.member(), |rds, now| {
                if let Some(member) = rds.copy_members.get_mut(copy.as_str()) {
                    member.instance = (ClusterInstance { status: "deleting".to_owned(), ..member.instance.0.clone() }, now);
                    member.gone_at.get_or_insert(now + DELETING);
                }
                Ok(Removal::Underway)
            });
        }
        self.call("rds:DeleteDBCluster", copy.as_str(), |rds, now| {
            if rds.copy_members.contains_key(copy.as_str()) {
                return Err(busy(copy, "still contains DB instances in non-deleting state"));
            }
            let held = rds.held(copy.as_str())?;
            held.instance.status = "deleting".to_owned();
            held.later = vec![(now + DELETING, Later::Removed)];
            Ok(Removal::Underway)
        })
    }

    async fn cluster_copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        let mut names = self.call("rds:DescribeDBClusters", "", |rds, _| {
            let ours = rds.standby.iter().filter(|(_, held)| held.is_cluster() && held.plan_tag.as_deref() == Some(plan));
            Ok(ours.map(|(name, _)| name.clone()).collect::<BTreeSet<String>>())
        })?;
        names.append(&mut self.call("rds:DescribeDBClusterSnapshots", "", |rds, _| {
            let ours = rds.copy_snapshots.iter().filter(|(_, held)| held.of.is_cluster() && held.plan_tag == plan);
            Ok(ours.map(|(name, _)| name.clone()).collect())
        })?);
        Ok(names.iter().filter_map(|name| CopyId::named(name)).collect())
    }
}

impl DatabaseWorld {
    async fn remove_cluster_snapshot(&self, copy: &CopyId) -> Result<Removal, CallError> {
        match self.cluster_snapshot(copy).await? {
            None => Ok(Removal::Gone),
            Some(CopySnapshot::Underway) => Ok(Removal::Underway),
            Some(CopySnapshot::Available | CopySnapshot::Failed) => self.call("rds:DeleteDBClusterSnapshot", copy.as_str(), |rds, _| {
                rds.copy_snapshots.remove(copy.as_str());
                Ok(Removal::Underway)
            }),
        }
    }
}
