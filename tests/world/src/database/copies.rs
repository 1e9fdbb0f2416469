//! The disposable copies of drills.
//!
//! ```text
//! make       creating 60 s ─► available; the source is backing-up meanwhile
//! snapshot   creating 45 s ─► available, or failed; the source is backing-up meanwhile
//! restore    creating 60 s ─► available, a writer
//! remove     the instance deleting 30 s ─► gone; then the snapshot
//! ```

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use relight::ports::{CallError, CopyId, CopyOf, CopySnapshot, Instance, Removal, SnapshotOf, Why};
use relight::state::Place;

use super::changes::Later;
use super::{DatabaseWorld, Held, Rds, endpoint, state};
use crate::data::Data;

/// What a copy is restored from.
#[derive(Debug, Clone)]
pub(super) struct HeldSnapshot {
    available_at: Timestamp,
    /// The instance, or the cluster, as it was.
    pub(super) of: Held,
    pub(super) plan_tag: String,
    failed: bool,
}

impl HeldSnapshot {
    pub(super) fn how_far(&self, now: Timestamp) -> CopySnapshot {
        match self.failed {
            _ if now < self.available_at => CopySnapshot::Underway,
            true => CopySnapshot::Failed,
            false => CopySnapshot::Available,
        }
    }
}

impl Rds {
    /// The source is busy until it is there.
    pub(super) fn take_snapshot_of(&mut self, source: &str, copy: &CopyId, plan: &str, now: Timestamp) -> Result<(), Why> {
        let (available_at, failed) = (now + self.creation * 3 / 4, self.snapshots_fail);
        let of = self.held(source)?.back_up(source, available_at)?;
        self.copy_snapshots.insert(copy.as_str().to_owned(), HeldSnapshot { available_at, of, plan_tag: plan.to_owned(), failed });
        Ok(())
    }
}

impl DatabaseWorld {
    pub(super) fn make_copy(&self, copy: &CopyId, of: &CopyOf<'_>) -> Result<(), CallError> {
        self.call("rds:CreateDBInstanceReadReplica", copy.as_str(), |rds, now| {
            let takes = rds.creation;
            let source = rds.held(of.source.as_str())?;
            if source.instance.backup_retention == 0 {
                return Err(state(of.source.as_str(), "has no automated backups"));
            }
            let like = source.instance.clone();
            if rds.standby.contains_key(copy.as_str()) {
                return Ok(());
            }
            let source = rds.held(of.source.as_str())?;
            source.back_up(of.source.as_str(), now + takes * 3 / 4)?;
            source.instance.read_replicas.push(copy.as_str().to_owned());
            let made = Held {
                instance: Instance {
                    status: "creating".to_owned(),
                    source: Some(of.source.as_str().to_owned()),
                    replication: vec!["replicating".to_owned()],
                    endpoint: Some(endpoint(Place::Standby, copy.as_str())),
                    backup_retention: 0,
                    security_groups: of.security_groups.to_vec(),
                    read_replicas: Vec::new(),
                    multi_az: false,
                    deletion_protection: false,
                    ..like
                },
                data: Data::default(),
                stalled: false,
                born_of: None,
                plan_tag: Some(of.plan.to_owned()),
                later: vec![(now + takes, Later::Status("available"))],
                promotions: 0,
                restarts: 0,
            };
            rds.standby.insert(copy.as_str().to_owned(), made);
            Ok(())
        })
    }

    pub(super) fn take_snapshot(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
        self.call("rds:CreateDBSnapshot", copy.as_str(), |rds, now| {
            if rds.copy_snapshots.contains_key(copy.as_str()) {
                return Ok(());
            }
            rds.take_snapshot_of(of.source.as_str(), copy, of.plan, now)
        })
    }

    pub(super) fn look_at_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError> {
        self.call("rds:DescribeDBSnapshots", copy.as_str(), |rds, now| {
            let found = rds.copy_snapshots.get(copy.as_str()).filter(|held| !held.of.is_cluster());
            Ok(found.map(|held| held.how_far(now)))
        })
    }

    pub(super) fn restore(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
        self.call("rds:RestoreDBInstanceFromDBSnapshot", copy.as_str(), |rds, now| {
            let found = rds.copy_snapshots.get(copy.as_str()).cloned();
            let snapshot = found.ok_or_else(|| Why::NotFound(format!("DBSnapshotNotFound: DBSnapshot {copy} not found.")))?;
            if snapshot.how_far(now) != CopySnapshot::Available {
                return Err(Why::State(format!("InvalidDBSnapshotState: DBSnapshot {copy} is not in an available state.")));
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
                    backup_retention: 0,
                    read_replicas: Vec::new(),
                    multi_az: false,
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

    pub(super) fn remove(&self, copy: &CopyId) -> Result<Removal, CallError> {
        let deleted = self.call("rds:DeleteDBInstance", copy.as_str(), |rds, now| {
            let Some(held) = rds.standby.get_mut(copy.as_str()).filter(|held| !held.is_cluster()) else { return Ok(false) };
            if held.instance.status != "deleting" {
                held.instance.status = "deleting".to_owned();
                held.later = vec![(now + SignedDuration::from_secs(30), Later::Removed)];
                for other in rds.standby.values_mut() {
                    other.instance.read_replicas.retain(|replica| replica != copy.as_str());
                }
            }
            Ok(true)
        })?;
        match (deleted, self.look_at_snapshot(copy)?) {
            (true, _) | (false, Some(CopySnapshot::Underway)) => Ok(Removal::Underway),
            (false, None) => Ok(Removal::Gone),
            (false, Some(CopySnapshot::Available | CopySnapshot::Failed)) => self.call("rds:DeleteDBSnapshot", copy.as_str(), |rds, _| {
                rds.copy_snapshots.remove(copy.as_str());
                Ok(Removal::Underway)
            }),
        }
    }

    pub(super) fn copies_of(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        let mut names = self.call("rds:DescribeDBInstances", "", |rds, _| {
            let ours = rds.standby.iter().filter(|(_, held)| !held.is_cluster() && held.plan_tag.as_deref() == Some(plan));
            Ok(ours.map(|(name, _)| name.clone()).collect::<BTreeSet<String>>())
        })?;
        names.append(&mut self.call("rds:DescribeDBSnapshots", "", |rds, _| {
            let ours = rds.copy_snapshots.iter().filter(|(_, held)| !held.of.is_cluster() && held.plan_tag == plan);
            Ok(ours.map(|(name, _)| name.clone()).collect())
        })?);
        Ok(names.iter().filter_map(|name| CopyId::named(name)).collect())
    }
}
