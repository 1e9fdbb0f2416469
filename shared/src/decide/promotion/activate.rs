//! After the point of no return: promote, follow, backups, and what restarts the instance or slows it down last.
//!
//! ```text
//! attempt recorded ─► call ─┬─ answered ──────────► followed, never called again
//!                           └─ no answer ─► state: ─┬─ changed ───────────────────────► followed
//!                                                   └─ an untouched replica for 60 s ─► recorded and called again
//! ```
//!
//! The call's error code is never trusted: `InvalidDBInstanceState` means both "busy" and "done already". The state is.

use jiff::{SignedDuration, Timestamp};

use super::proxy::{ProxyDue, ProxyRefusal, ProxyWait, door};
use super::settings::{self, Parameters, retention, unsettled};
use super::{After, Busy, Readiness, readiness, waits_for};
use crate::decide::Decision;
use crate::plan::{Database, Plan};
use crate::ports::{Instance, InstanceChange, Proxy};
use crate::run::Run;
use crate::state::{DatabaseStep, Head, HoldSwitch, Snapshot};

/// A promotion that RDS took shows in the status within seconds. A replica that is untouched this long after an attempt
/// without an answer was not promoted, and the call may be sent again.
const UNTOUCHED: SignedDuration = SignedDuration::from_secs(60);

/// A database past the point of no return.
#[derive(Debug, Clone, Copy)]
pub struct Activation<'a> {
    pub plan: &'a Plan,
    pub snapshot: &'a Snapshot,
    pub run: &'a Run,
    pub database: &'a Database,
    pub step: &'a DatabaseStep,
    pub replica: Option<&'a Instance>,
    /// Looked at only where [`behind_a_proxy`] says that it is not done yet.
    pub proxy: Option<&'a Proxy>,
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromotionStep {
    /// To be recorded before it is called. `again`: an earlier call is proven not to have happened.
    Promote {
        retention: u32,
        again: bool,
    },
    /// Seen: the instance is a writer of its own.
    Promoted,
    /// Make it the target of the plan's proxy.
    Register,
    /// Seen: users can come through the proxy.
    Available,
    /// In one call.
    Change(InstanceChange),
    BackupsOn,
    /// Deletion protection is as the plan has it; so with the three below.
    Protected,
    MultiAz,
    ClassChanged,
    ParametersInForce,
    /// To be recorded before it is called. `again`: an earlier call is proven not to have happened.
    Restart {
        again: bool,
    },
}

/// What is due for one database.
pub fn activate(activation: &Activation<'_>) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
    let Activation { database, step, .. } = activation;
    let Some(instance) = activation.replica else {
        return Decision::Refuse(ActivationRefusal::Gone { replica: database.replica.clone() });
    };
    if step.promoted_at.is_some() {
        return served(activation, instance);
    }
    if instance.is_promoted() {
        return Decision::Act(vec![PromotionStep::Promoted]);
    }
    let ready = readiness(&database.replica, instance);
    if let Readiness::Broken = ready {
        return Decision::Refuse(ActivationRefusal::Broken { replica: database.replica.clone(), status: instance.status.clone() });
    }
    match sending(instance, step.promote_attempt_at, step.promote_called_at, activation.now) {
        Sending::First => match (activation.waits_for(), ready) {
            // The other one says by itself what takes it so long.
            (Some(after), _) => Decision::Wait(ActivationWait::After(after)),
            (None, Readiness::Busy(busy)) => activation.wait(ActivationWait::Busy(busy)),
            (None, Readiness::Ready | Readiness::Broken) => activation.promote(false),
        },
        Sending::Again => activation.promote(true),
        Sending::Unanswered => activation.wait(ActivationWait::Unanswered { replica: database.replica.clone() }),
        Sending::Underway => activation.wait(activation.promoting(instance)),
    }
}

/// Whether the call that promotes is due, by what was recorded of it and what is seen. The rule of every promotion, in either
/// Region.
pub(super) enum Sending {
    First,
    /// The call before it is proven not to have happened.
    Again,
    Unanswered,
    Underway,
}

pub(super) fn sending(instance: &Instance, attempt: Option<Timestamp>, called: Option<Timestamp>, now: Timestamp) -> Sending {
    let untouched = instance.is_available() && instance.source.is_some();
    match (attempt, called) {
        (None, _) if instance.source.is_none() => Sending::Underway,
        (None, _) => Sending::First,
        (Some(at), None) if untouched && now.duration_since(at) > UNTOUCHED => Sending::Again,
        (Some(_), None) if untouched => Sending::Unanswered,
        (Some(_), _) => Sending::Underway,
    }
}

/// Promoted: the door for users first, since they wait for it. While it opens the instance becomes what else the plan says: RDS registers a
/// target that is being modified or backed up, too.
fn served(activation: &Activation<'_>, instance: &Instance) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
    let Activation { database, step, .. } = activation;
    let Some(name) = behind_a_proxy(database, step) else { return finish(activation, instance) };
    let closed = match door(database, name, activation.proxy) {
        ProxyDue::Register => return Decision::Act(vec![PromotionStep::Register]),
        ProxyDue::Available => return Decision::Act(vec![PromotionStep::Available]),
        ProxyDue::Wait(wait) => activation.wait(ActivationWait::Proxy(wait)),
        ProxyDue::Refuse(refusal) => Decision::Refuse(ActivationRefusal::Proxy(refusal)),
    };
    match finish(activation, instance) {
        Decision::Act(steps) => Decision::Act(steps),
        _ => closed,
    }
}

/// The plan's proxy, until it was seen to reach the promoted database.
pub fn behind_a_proxy<'a>(database: &'a Database, step: &DatabaseStep) -> Option<&'a str> {
    database.proxy.as_deref().filter(|_| step.promoted_at.is_some() && step.proxy.available_at.is_none())
}

/// Promoted: first what nobody notices, so that the run can close; what restarts the instance or slows it down comes after the proof and
/// the traffic, where it holds nothing up.
fn finish(activation: &Activation<'_>, instance: &Instance) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
    let Activation { snapshot, database, step, now, .. } = activation;
    let seen = settings::seen(database, step, instance);
    if !seen.is_empty() {
        return Decision::Act(seen);
    }
    let at_once = settings::at_once(database, step, instance);
    if step.backups_on_at.is_none() || !at_once.is_nothing() {
        return match instance.is_idle() && !at_once.is_nothing() {
            true => Decision::Act(vec![PromotionStep::Change(at_once)]),
            false => activation.wait(activation.changing(at_once, instance)),
        };
    }
    if !unsettled(database, step) {
        return Decision::Done;
    }
    let at_last = settings::at_last(database, step, instance);
    let group = database.parameter_group.as_ref().filter(|_| step.parameters_at.is_none());
    let what = || match at_last.is_nothing() {
        true => InstanceChange { parameter_group: group.cloned(), ..InstanceChange::default() },
        false => at_last.clone(),
    };
    if !proven_and_open(activation.plan, snapshot, &database.name) || rotating(activation.plan, snapshot, &database.name) {
        return Decision::Wait(ActivationWait::Last { what: what() });
    }
    if let Some(hold) = held(&snapshot.head, *now) {
        return Decision::Wait(ActivationWait::held(hold));
    }
    match group.map(|group| (group, settings::parameters(group, instance, &step.restart, *now))) {
        _ if !instance.is_idle() => Decision::Wait(activation.changing(what(), instance)),
        _ if !at_last.is_nothing() => Decision::Act(vec![PromotionStep::Change(at_last)]),
        Some((_, Parameters::Restart { again })) => Decision::Act(vec![PromotionStep::Restart { again }]),
        Some((group, Parameters::InVain)) => {
            let group = group.clone();
            Decision::Refuse(ActivationRefusal::NotInForce { replica: database.replica.clone(), group, status: "pending-reboot".to_owned() })
        }
        Some((group, Parameters::Broken(status))) => {
            Decision::Refuse(ActivationRefusal::NotInForce { replica: database.replica.clone(), group: group.clone(), status })
        }
        _ => Decision::Wait(activation.changing(what(), instance)),
    }
}

impl Activation<'_> {
    /// A hold stops what cannot be undone, also after the point of no return: nothing is promoted yet.
    fn promote(&self, again: bool) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
        match held(&self.snapshot.head, self.now) {
            Some(hold) => Decision::Wait(ActivationWait::held(hold)),
            None => Decision::Act(vec![PromotionStep::Promote { retention: retention(self.database), again }]),
        }
    }

    fn waits_for(&self) -> Option<After> {
        let progress = &self.snapshot.progress;
        let promoted = |name: &str| progress.promotion.databases.get(name).is_some_and(|step| step.promoted_at.is_some());
        waits_for(self.plan, self.database, promoted, |name| progress.rotation.proven.contains_key(name))
    }

    fn changing(&self, what: InstanceChange, instance: &Instance) -> ActivationWait {
        // Backups that are on and not yet in force are no change to be asked for any more.
        let what = if what.is_nothing() { InstanceChange::backups(retention(self.database)) } else { what };
        ActivationWait::Changing { replica: self.database.replica.clone(), what, status: instance.status.clone() }
    }

    fn promoting(&self, instance: &Instance) -> ActivationWait {
        ActivationWait::Promoting { replica: self.database.replica.clone(), status: instance.status.clone() }
    }

    /// Past the plan's deadline for a step the waiting says so, each minute anew.
    fn wait(&self, what: ActivationWait) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
        let since = self.step.promote_attempt_at.unwrap_or(self.run.phase_since);
        let waited = self.now.duration_since(since);
        let deadline = self.plan.policy.step_deadline;
        Decision::Wait(if waited <= deadline { what } else { ActivationWait::Late { what: Box::new(what), minutes: waited.as_mins(), deadline } })
    }
}

/// Whether a run that is over left changes for a later tick.
pub fn changes_due(plan: &Plan, snapshot: &Snapshot) -> bool {
    plan.databases.iter().filter(|database| !database.is_global()).any(|database| {
        let step = snapshot.progress.promotion.databases.get(&database.name);
        step.is_some_and(|step| step.promoted_at.is_some() && unsettled(database, step))
    })
}

fn proven_and_open(plan: &Plan, snapshot: &Snapshot, database: &str) -> bool {
    // A database that no secret opens is proven by nobody; its promoted state is all there is.
    let provable = plan.secrets.iter().any(|secret| secret.database == database);
    let proven = !provable || snapshot.progress.rotation.proven.contains_key(database);
    proven && snapshot.progress.traffic.opened_at.is_some()
}

/// Whether a rotation at the database is under way, or about to begin: a restart would break it off. It ends by itself, if by failing.
fn rotating(plan: &Plan, snapshot: &Snapshot, database: &str) -> bool {
    plan.secrets.iter().filter(|secret| secret.database == database && secret.rotate).any(|secret| {
        let step = snapshot.progress.rotation.secrets.get(&secret.name);
        step.is_some_and(|step| step.repointed_at.is_some() && step.rotated_at.is_none() && step.failed.is_none())
    })
}

fn held(head: &Head, now: Timestamp) -> Option<&HoldSwitch> {
    head.hold.as_ref().filter(|hold| now < hold.until)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationWait {
    #[error("{by} holds it until {until}; `release` ends that")]
    Held { by: String, until: Timestamp },
    #[error("{0}")]
    Busy(Busy),
    #[error("{0}")]
    After(After),
    #[error("the call that promotes {replica} got no answer; it is sent again only if the replica stays untouched for 60 s")]
    Unanswered { replica: String },
    #[error("{replica} is being promoted, it is {status}")]
    Promoting { replica: String, status: String },
    #[error("{0}")]
    Proxy(ProxyWait),
    #[error("{replica} gets {what}; it is {status}")]
    Changing { replica: String, what: InstanceChange, status: String },
    #[error(
        "{what}: last, since it restarts the database or slows it down; the database must be proven, traffic open and its secrets rotated before"
    )]
    Last { what: InstanceChange },
    #[error(
        "{what}; that takes {minutes} min, the plan's step_deadline is {deadline:#}: look at the instance's events, and promote it by hand where RDS has given up; Relight goes on from there"
    )]
    Late { what: Box<ActivationWait>, minutes: i64, deadline: SignedDuration },
}

impl ActivationWait {
    fn held(hold: &HoldSwitch) -> ActivationWait {
        ActivationWait::Held { by: hold.by.clone(), until: hold.until }
    }

    /// Whether looking again within seconds makes sense.
    pub fn passes_soon(&self) -> bool {
        !matches!(self, ActivationWait::Held { .. } | ActivationWait::Last { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationRefusal {
    #[error("the standby Region has no instance {replica} any more; restore it from a backup under this name, or correct the plan and say `replan`")]
    Gone { replica: String },
    #[error("{0}")]
    Proxy(ProxyRefusal),
    #[error("{replica} is {status}, which does not pass by itself; {}, or correct the plan and say `replan`", super::remedy(status))]
    Broken { replica: String, status: String },
    #[error(
        "{replica} names parameter group {group}, which is {status} and not in force; look at the instance's events, and mend the group or restart the instance by hand"
    )]
    NotInForce { replica: String, group: String, status: String },
}
