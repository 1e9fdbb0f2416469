//! What an instance is to be beside its data: what goes into one call, what comes last, and when a parameter group is in force.
//!
//! ```text
//! promoted ─► backups, deletion protection                     one call; nobody notices
//!          ─► proven, open ─► Multi-AZ, class, parameter group  one call; the class restarts, Multi-AZ slows writes down
//!                          ─► still `pending-reboot` ─► restart
//! ```
//!
//! A parameter group is named at once, but "the actual parameter changes are not applied until you reboot the instance without failover"
//! (RDS API, ModifyDBInstance, DBParameterGroupName). A change of class restarts the instance by itself, so it goes first, in the same call;
//! where it went by a failover to the other zone, or where the class stays, `ParameterApplyStatus` still says `pending-reboot`, and only
//! then is there a restart of its own. Multi-AZ "doesn't result in an outage" (the same), but RDS's guide warns of slow writes while the
//! standby's volumes are filled: so it is not done before users are served, and no run waits for it.

use jiff::{SignedDuration, Timestamp};

use super::PromotionStep;
use crate::plan::Database;
use crate::ports::{Instance, InstanceChange};
use crate::state::{DatabaseStep, RestartStep};

/// A restart shows in the status within seconds. What is `available` and `pending-reboot` this long after a call without an answer was not
/// restarted.
const UNTOUCHED: SignedDuration = SignedDuration::from_secs(60);
/// So long after a restart that was taken, a group that still waits for one waits for something else.
const IN_VAIN: SignedDuration = SignedDuration::from_mins(5);

/// Days that backups are kept. Without any the run could never end, so a plan's 0 counts as one day.
pub(super) fn retention(database: &Database) -> u32 {
    database.backup_retention_days.clamp(1, 35)
}

/// Whether the plan asks for something of a promoted instance that was not seen yet, backups apart.
pub fn unsettled(database: &Database, step: &DatabaseStep) -> bool {
    let wanted = Wanted::of(database, step);
    let Wanted { protection, multi_az, class, group } = &wanted;
    protection.is_some() || multi_az.is_some() || class.is_some() || group.is_some()
}

/// What the plan asks for and nobody has seen yet.
struct Wanted<'a> {
    protection: Option<bool>,
    multi_az: Option<bool>,
    class: Option<&'a String>,
    group: Option<&'a String>,
}

impl<'a> Wanted<'a> {
    fn of(database: &'a Database, step: &DatabaseStep) -> Wanted<'a> {
        Wanted {
            protection: database.deletion_protection.filter(|_| step.protected_at.is_none()),
            multi_az: database.multi_az.filter(|_| step.multi_az_at.is_none()),
            class: database.instance_class.as_ref().filter(|_| step.class_changed_at.is_none()),
            group: database.parameter_group.as_ref().filter(|_| step.parameters_at.is_none()),
        }
    }
}

/// What is as the plan wants it, in force and not only asked for.
pub(super) fn seen(database: &Database, step: &DatabaseStep, instance: &Instance) -> Vec<PromotionStep> {
    let wanted = Wanted::of(database, step);
    let backups = step.backups_on_at.is_none() && instance.backup_retention > 0 && instance.pending_backup_retention.is_none();
    let protection = wanted.protection.is_some_and(|on| on == instance.deletion_protection);
    let multi_az = wanted.multi_az.is_some_and(|on| on == instance.multi_az) && instance.pending_multi_az.is_none();
    let class = wanted.class.is_some_and(|class| *class == instance.class) && instance.pending_class.is_none();
    let group = wanted.group.is_some_and(|group| is_in_force(group, instance));
    let all = [
        (backups, PromotionStep::BackupsOn),
        (protection, PromotionStep::Protected),
        (multi_az, PromotionStep::MultiAz),
        (class, PromotionStep::ClassChanged),
        (group, PromotionStep::ParametersInForce),
    ];
    all.into_iter().filter(|(seen, _)| *seen).map(|(_, step)| step).collect()
}

/// What nobody notices, and what is lacking without it is safety: asked for as soon as it is promoted.
pub(super) fn at_once(database: &Database, step: &DatabaseStep, instance: &Instance) -> InstanceChange {
    let backups = step.backups_on_at.is_none() && instance.backup_retention == 0;
    InstanceChange {
        backups: backups.then(|| retention(database)),
        deletion_protection: Wanted::of(database, step).protection.filter(|on| *on != instance.deletion_protection),
        ..InstanceChange::default()
    }
}

/// What restarts the instance or slows it down.
pub(super) fn at_last(database: &Database, step: &DatabaseStep, instance: &Instance) -> InstanceChange {
    let wanted = Wanted::of(database, step);
    let named = instance.parameter_group.as_ref().map(|group| &group.name);
    InstanceChange {
        multi_az: wanted.multi_az.filter(|on| *on != instance.multi_az),
        class: wanted.class.filter(|class| **class != instance.class).cloned(),
        parameter_group: wanted.group.filter(|group| named != Some(*group)).cloned(),
        ..InstanceChange::default()
    }
}

fn is_in_force(group: &str, instance: &Instance) -> bool {
    instance.parameter_group.as_ref().is_some_and(|held| held.name == group && held.status == "in-sync")
}

/// How far a parameter group is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parameters {
    InForce,
    /// The instance names another one.
    Other,
    /// Passes by itself.
    Applying,
    /// It waits for a restart. `again`: an earlier call is proven not to have happened.
    Restart {
        again: bool,
    },
    /// One was asked for.
    Restarting,
    /// It was restarted, and that did not help.
    InVain,
    /// A person must help.
    Broken(String),
}

pub(super) fn parameters(wanted: &str, instance: &Instance, restart: &RestartStep, now: Timestamp) -> Parameters {
    let Some(group) = instance.parameter_group.as_ref().filter(|group| group.name == wanted) else { return Parameters::Other };
    match group.status.as_str() {
        "in-sync" => Parameters::InForce,
        "applying" => Parameters::Applying,
        "pending-reboot" => match (restart.asked_at, restart.called_at) {
            _ if !instance.is_available() => Parameters::Restarting,
            (None, _) => Parameters::Restart { again: false },
            (Some(_), Some(at)) if now.duration_since(at) > IN_VAIN => Parameters::InVain,
            (Some(at), None) if now.duration_since(at) > UNTOUCHED => Parameters::Restart { again: true },
            (Some(_), _) => Parameters::Restarting,
        },
        other => Parameters::Broken(other.to_owned()),
    }
}
