//! What RDS does to an instance after it has said yes: promotions, changes and restarts, each in its time.
//!
//! ```text
//! promote   available 2 s ─► modifying ─► 20 s rebooting ─► 40 s available, no source
//! modify    modifying 30 s ─► available; a parameter group is `applying` meanwhile, and `pending-reboot` without a change of class
//! restart   rebooting 20 s ─► available, the parameter group in force
//! ```

use jiff::{SignedDuration, Timestamp};
use relight::ports::{CallError, InstanceChange, ParameterGroup, Why};
use relight::state::Place;

use super::{DatabaseWorld, Held, state};

/// Something that RDS does later by itself.
#[derive(Debug, Clone)]
pub(super) enum Later {
    Status(&'static str),
    Promoted,
    Retention(u32),
    Class(String),
    MultiAz(bool),
    Parameters(&'static str),
    Removed,
    /// Under its new name from here on.
    Renamed(String),
}

impl DatabaseWorld {
    pub(super) fn promote_any(&self, place: Place, instance: &str, retention: Option<u32>) -> Result<(), CallError> {
        self.call_in(place, "rds:PromoteReadReplica", instance, |rds, now| {
            let takes = rds.promotion;
            let held = rds.held_in(place, instance)?;
            if held.instance.source.is_none() {
                return Err(state(instance, "is not a read replica"));
            }
            held.expect_available(instance)?;
            held.promotions += 1;
            if let Some(days) = retention {
                held.instance.pending_backup_retention = Some(days);
                held.later.push((now + takes, Later::Retention(days)));
            }
            held.later.push((now + SignedDuration::from_secs(2).min(takes), Later::Status("modifying")));
            held.later.push((now + takes / 2, Later::Status("rebooting")));
            held.later.push((now + takes, Later::Promoted));
            held.later.push((now + takes, Later::Parameters("in-sync")));
            held.later.push((now + takes, Later::Status("available")));
            Ok(())
        })
    }

    pub(super) fn modify_any(&self, place: Place, instance: &str, change: &InstanceChange) -> Result<(), CallError> {
        self.call_in(place, "rds:ModifyDBInstance", instance, |rds, now| {
            let held = rds.held_in(place, instance)?;
            held.expect_available(instance)?;
            let takes = SignedDuration::from_secs(30);
            let InstanceChange { backups, deletion_protection, multi_az, class, parameter_group } = change.clone();
            held.instance.deletion_protection = deletion_protection.unwrap_or(held.instance.deletion_protection);
            let restarts = class.is_some();
            let mut then = Vec::new();
            if let Some(days) = backups {
                held.instance.pending_backup_retention = Some(days);
                then.push(Later::Retention(days));
            }
            if let Some(on) = multi_az {
                held.instance.pending_multi_az = Some(on);
                then.push(Later::MultiAz(on));
            }
            if let Some(class) = class {
                held.instance.pending_class = Some(class.clone());
                then.push(Later::Class(class));
            }
            if let Some(name) = parameter_group {
                held.instance.parameter_group = Some(ParameterGroup { name, status: "applying".to_owned() });
                then.push(Later::Parameters(if restarts { "in-sync" } else { "pending-reboot" }));
            }
            // Deletion protection alone counts at once.
            if !then.is_empty() {
                held.later.push((now + SignedDuration::from_secs(1), Later::Status("modifying")));
                held.later.extend(then.into_iter().map(|later| (now + takes, later)));
                held.later.push((now + takes, Later::Status("available")));
            }
            Ok(())
        })
    }

    pub(super) fn restart_any(&self, place: Place, instance: &str) -> Result<(), CallError> {
        self.call_in(place, "rds:RebootDBInstance", instance, |rds, now| {
            let held = rds.held_in(place, instance)?;
            held.expect_available(instance)?;
            held.restarts += 1;
            held.later.push((now + SignedDuration::from_secs(1), Later::Status("rebooting")));
            held.later.push((now + SignedDuration::from_secs(20), Later::Parameters("in-sync")));
            held.later.push((now + SignedDuration::from_secs(20), Later::Status("available")));
            Ok(())
        })
    }
}

impl Held {
    pub(super) fn become_(&mut self, later: Later) {
        match later {
            Later::Status(status) => self.instance.status = status.to_owned(),
            Later::Promoted => {
                self.instance.source = None;
                self.instance.replication.clear();
            }
            Later::Retention(days) => {
                self.instance.backup_retention = days;
                self.instance.pending_backup_retention = None;
            }
            Later::Class(class) => {
                self.instance.class = class;
                self.instance.pending_class = None;
            }
            Later::MultiAz(on) => {
                self.instance.multi_az = on;
                self.instance.pending_multi_az = None;
            }
            Later::Parameters(status) => {
                if let Some(group) = &mut self.instance.parameter_group {
                    group.status = status.to_owned();
                }
            }
            Later::Removed | Later::Renamed(_) => {}
        }
    }

    /// It is busy until then; what it was is in the snapshot.
    pub(super) fn back_up(&mut self, instance: &str, until: Timestamp) -> Result<Held, Why> {
        self.expect_available(instance)?;
        let of = self.clone();
        self.instance.status = "backing-up".to_owned();
        self.later.push((until, Later::Status("available")));
        Ok(of)
    }

    pub(super) fn expect_available(&self, instance: &str) -> Result<(), Why> {
        match self.instance.is_available() && self.later.is_empty() {
            true => Ok(()),
            false => Err(state(instance, &format!("is {}", self.instance.status))),
        }
    }
}
