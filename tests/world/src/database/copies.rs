//! The disposable copies of drills.
//!
//! ```text
//! make     creating 60 s ─► available; the source is backing-up meanwhile
//! remove   deleting 30 s ─► gone
//! ```

use jiff::SignedDuration;
use relight::ports::{CallError, CopyId, CopyOf, Instance, Removal};
use relight::state::Place;

use super::changes::Later;
use super::{DatabaseWorld, Held, endpoint, state};
use crate::data::Data;

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
            source.expect_available(of.source.as_str())?;
            source.instance.status = "backing-up".to_owned();
            source.instance.read_replicas.push(copy.as_str().to_owned());
            source.later.push((now + takes * 3 / 4, Later::Status("available")));
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

    pub(super) fn remove(&self, copy: &CopyId) -> Result<Removal, CallError> {
        self.call("rds:DeleteDBInstance", copy.as_str(), |rds, now| {
            let Some(held) = rds.standby.get_mut(copy.as_str()) else { return Ok(Removal::Gone) };
            if held.instance.status != "deleting" {
                held.instance.status = "deleting".to_owned();
                held.later = vec![(now + SignedDuration::from_secs(30), Later::Removed)];
                for other in rds.standby.values_mut() {
                    other.instance.read_replicas.retain(|replica| replica != copy.as_str());
                }
            }
            Ok(Removal::Underway)
        })
    }

    pub(super) fn copies_of(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        self.call("rds:DescribeDBInstances", "", |rds, _| {
            let ours = rds.standby.iter().filter(|(_, held)| held.plan_tag.as_deref() == Some(plan));
            Ok(ours.filter_map(|(name, _)| CopyId::named(name)).collect())
        })
    }
}
