//! A cluster of an Aurora global database: when it may become the writer, and how that is followed to its end.
//!
//! ```text
//! Confirmed    the global cluster, the standby's cluster, the lag, words ─► cleared, or refused with a sentence
//! Activating   no instance ─► one is asked for ─► available ─┐
//!              attempt recorded ◄──────────────────────────────┘ ─► taken over ─► FailoverState followed ─► the writer
//! ```
//! There are two ways to take over, and one is chosen each time. Where the operator fails over from a primary that its observers
//! see up it is a *switchover*: Aurora waits for every row. Else it is a *failover* that loses what has not arrived, and that only
//! with a lag within the RPO, or with a word that accepts the loss.
//!
//! What was done is read from the global cluster, never from an error: the writer is told there, and `FailoverState` while a way is
//! gone. A way that ended without its end is not gone again; the other one may be.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::clear::{Acceptance, ClearanceRefusal};
use super::{After, Busy, Readiness, of_status, waits_for};
use crate::decide::Decision;
use crate::decide::lag::{LagVerdict, judge};
use crate::plan::{Database, Plan, UnknownLag};
use crate::ports::{Cluster, GlobalCluster, Moving, StandbyCluster, Takeover};
use crate::run::Run;
use crate::state::{DatabaseStep, FrozenLag, HoldSwitch, Snapshot};

/// What AWS took shows in the global cluster within seconds. One that is untouched this long after an attempt without an answer
/// was not asked.
const UNTOUCHED: SignedDuration = SignedDuration::from_secs(60);

/// A cluster of the plan with what stands of it.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    pub plan: &'a Plan,
    pub snapshot: &'a Snapshot,
    pub run: &'a Run,
    pub database: &'a Database,
    pub step: &'a DatabaseStep,
    pub global: Option<&'a GlobalCluster>,
    pub cluster: Option<&'a Cluster>,
    pub now: Timestamp,
}

/// The cluster may take over.
#[derive(Debug, Clone, PartialEq)]
pub struct GlobalCleared {
    pub how: Takeover,
    pub lag: LagVerdict,
    /// Set where the lag alone would have refused it.
    pub accepted: Option<Acceptance>,
    /// It has no instance, and gets one of this class first.
    pub first_instance: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GlobalStep {
    /// To be recorded before it is called.
    AddInstance { class: String, again: bool },
    /// To be recorded before it is called.
    TakeOver { how: Takeover, again: bool },
    /// Seen: the cluster is the writer. `detached`: by hand, out of the global cluster.
    TookOver { detached: bool },
}

/// Judges one cluster before the point of no return. What asks for a person is said before what passes by itself.
pub fn clear_global(standing: &Standing<'_>, lag: &FrozenLag) -> Decision<GlobalCleared, GlobalWait, GlobalRefusal> {
    let Standing { database, run, .. } = *standing;
    let (Some(global), Some(cluster)) = (standing.global, standing.cluster) else { return Decision::Refuse(standing.gone()) };
    let Some(member) = global.member(&standing.arn()) else { return Decision::Refuse(standing.not_a_member()) };
    if member.writer && run.words.accept_loss.is_none() {
        return Decision::Refuse(GlobalRefusal::Writes { cluster: database.replica.clone() });
    }
    if !same_version(&global.engine_version, &cluster.engine_version) {
        return Decision::Refuse(GlobalRefusal::Versions {
            cluster: database.replica.clone(),
            here: cluster.engine_version.clone(),
            there: global.engine_version.clone(),
        });
    }
    let first_instance = match standing.first_instance(cluster) {
        Ok(class) => class,
        Err(refusal) => return Decision::Refuse(refusal),
    };
    let how = standing.how();
    let (lag, accepted) = match standing.loss(how, lag) {
        Ok(accepted) => accepted,
        Err(refusal) => return Decision::Refuse(refusal.into()),
    };
    if let Some(not_yet) = standing.not_yet(global, cluster) {
        return not_yet;
    }
    Decision::Act(vec![GlobalCleared { how, lag, accepted, first_instance }])
}

/// What is due for one cluster past the point of no return.
pub fn take_over(standing: &Standing<'_>) -> Decision<GlobalStep, GlobalWait, GlobalRefusal> {
    if standing.step.promoted_at.is_some() {
        return Decision::Done;
    }
    let Some(cluster) = standing.cluster else { return Decision::Refuse(standing.gone()) };
    let Some((global, member)) = standing.global.and_then(|global| Some((global, global.member(&standing.arn())?))) else {
        let detached = cluster.is_available() && cluster.instances.iter().any(|instance| instance.writer && instance.status == "available");
        return match detached {
            true => Decision::Act(vec![GlobalStep::TookOver { detached: true }]),
            false => Decision::Refuse(if standing.global.is_none() { standing.gone() } else { standing.not_a_member() }),
        };
    };
    let settled = global.moving.is_none() && cluster.status_beside_backups() == "available" && cluster.has_an_available_instance();
    match member.writer {
        true if settled => return Decision::Act(vec![GlobalStep::TookOver { detached: false }]),
        true if global.moving.is_none() => return standing.wait(GlobalWait::Settling { cluster: standing.name(), status: cluster.status.clone() }),
        _ => {}
    }
    if let Some(not_yet) = standing.not_yet(global, cluster) {
        return standing.late(not_yet);
    }
    if let Some(after) = standing.step.promote_attempt_at.is_none().then(|| standing.waits_for()).flatten() {
        // The other one says by itself what takes it so long.
        return Decision::Wait(GlobalWait::After(after));
    }
    match standing.first_instance(cluster) {
        Ok(None) => ask(standing),
        Ok(Some(class)) => first_instance(standing, class),
        Err(refusal) => Decision::Refuse(refusal),
    }
}

/// Nothing is under way, and the standby's cluster has an instance that can be the writer.
fn ask(standing: &Standing<'_>) -> Decision<GlobalStep, GlobalWait, GlobalRefusal> {
    let Standing { step, now, .. } = standing;
    let how = standing.how();
    let quiet = |since: Timestamp| now.duration_since(since) > UNTOUCHED;
    let again = match (step.promote_attempt_at, step.promote_called_at) {
        (None, _) => false,
        (Some(at), None) if quiet(at) => true,
        (Some(_), None) => return standing.wait(GlobalWait::Unanswered { cluster: standing.name() }),
        (Some(_), Some(at)) if !quiet(at) => return standing.wait(GlobalWait::Asked { cluster: standing.name() }),
        (Some(_), Some(_)) if step.takeover == Some(how) => return Decision::Refuse(standing.ended(how)),
        (Some(_), Some(_)) => false,
    };
    let lag = step.lag.clone().unwrap_or_else(|| FrozenLag {
        source: "it was never measured".to_owned(),
        first_down: standing.run.first_down,
        ..FrozenLag::default()
    });
    match standing.loss(how, &lag) {
        Err(refusal) => Decision::Refuse(refusal.into()),
        Ok(_) => standing.unless_held(GlobalStep::TakeOver { how, again }),
    }
}

fn first_instance(standing: &Standing<'_>, class: String) -> Decision<GlobalStep, GlobalWait, GlobalRefusal> {
    match standing.step.instance_asked_at {
        None => standing.unless_held(GlobalStep::AddInstance { class, again: false }),
        Some(at) if standing.now.duration_since(at) > UNTOUCHED => standing.unless_held(GlobalStep::AddInstance { class, again: true }),
        Some(_) => standing.wait(GlobalWait::FirstInstance { cluster: standing.name() }),
    }
}

impl Standing<'_> {
    fn arn(&self) -> String {
        StandbyCluster::of(self.plan, self.database).arn().to_owned()
    }

    fn name(&self) -> String {
        self.database.replica.clone()
    }

    /// Only a person fails over from a primary that is up; a quorum that says Down may be wrong, and is believed all the same.
    fn how(&self) -> Takeover {
        let words = &self.run.words;
        let is_up = || self.snapshot.evidence.judge(self.plan, self.now).back(self.plan, self.now);
        match words.failover.is_some() && words.accept_loss.is_none() && is_up() {
            true => Takeover::Switchover,
            false => Takeover::FailoverLosingRows,
        }
    }

    /// Whether rows may be lost, and by whose word.
    fn loss(&self, how: Takeover, lag: &FrozenLag) -> Result<(LagVerdict, Option<Acceptance>), Box<ClearanceRefusal>> {
        let verdict = judge(&self.database.name, lag, self.plan.objectives.rpo);
        let operator = || self.run.words.accept_loss.as_ref().map(|said| Acceptance::Operator(said.by.clone()));
        let policy = || (self.plan.policy.unknown_lag == UnknownLag::Accept).then_some(Acceptance::Policy);
        let accepted = match (how, &verdict) {
            (Takeover::Switchover, _) | (_, LagVerdict::WithinRpo(_)) => None,
            (_, LagVerdict::BeyondRpo(_)) => Some(operator().ok_or_else(|| Box::new(ClearanceRefusal::BeyondRpo(verdict.clone())))?),
            (_, LagVerdict::Unknown(_)) => Some(operator().or_else(policy).ok_or_else(|| Box::new(ClearanceRefusal::UnknownLag(verdict.clone())))?),
        };
        Ok((verdict, accepted))
    }

    /// The class of the instance that the cluster must be given first; `None`: it has one.
    fn first_instance(&self, cluster: &Cluster) -> Result<Option<String>, GlobalRefusal> {
        match (cluster.is_headless(), &self.database.instance_class) {
            (false, _) => Ok(None),
            (true, Some(class)) => Ok(Some(class.clone())),
            (true, None) => Err(GlobalRefusal::Headless { cluster: self.name() }),
        }
    }

    /// What keeps the cluster from being asked to take over.
    fn not_yet<S>(&self, global: &GlobalCluster, cluster: &Cluster) -> Option<Decision<S, GlobalWait, GlobalRefusal>> {
        if let Some(moving) = &global.moving {
            return Some(Decision::Wait(GlobalWait::moving(self.name(), &self.arn(), moving)));
        }
        match of_status(&self.database.replica, cluster.status_beside_backups()) {
            Readiness::Broken => Some(Decision::Refuse(GlobalRefusal::Broken { cluster: self.name(), status: cluster.status.clone() })),
            Readiness::Busy(busy) => Some(Decision::Wait(GlobalWait::Busy(busy))),
            Readiness::Ready if cluster.is_headless() || cluster.has_an_available_instance() => None,
            Readiness::Ready => {
                let statuses: Vec<String> = cluster.instances.iter().map(|instance| format!("{} is {}", instance.name, instance.status)).collect();
                Some(Decision::Wait(GlobalWait::NoInstanceYet { cluster: self.name(), instances: statuses.join(", ") }))
            }
        }
    }

    fn waits_for(&self) -> Option<After> {
        let progress = &self.snapshot.progress;
        let promoted = |name: &str| progress.promotion.databases.get(name).is_some_and(|step| step.promoted_at.is_some());
        waits_for(self.plan, self.database, promoted, |name| progress.rotation.proven.contains_key(name))
    }

    fn gone(&self) -> GlobalRefusal {
        match self.global {
            None => GlobalRefusal::NoGlobal { global: self.database.global_cluster.clone().unwrap_or_default() },
            Some(_) => GlobalRefusal::NoCluster { cluster: self.name() },
        }
    }

    fn not_a_member(&self) -> GlobalRefusal {
        GlobalRefusal::NoMember { cluster: self.name(), global: self.database.global_cluster.clone().unwrap_or_default() }
    }

    fn ended(&self, how: Takeover) -> GlobalRefusal {
        GlobalRefusal::Ended { how, cluster: self.name() }
    }

    fn unless_held(&self, due: GlobalStep) -> Decision<GlobalStep, GlobalWait, GlobalRefusal> {
        match self.snapshot.head.hold.as_ref().filter(|hold| self.now < hold.until) {
            Some(HoldSwitch { by, until }) => Decision::Wait(GlobalWait::Held { by: by.clone(), until: *until }),
            None => Decision::Act(vec![due]),
        }
    }

    fn wait<S>(&self, what: GlobalWait) -> Decision<S, GlobalWait, GlobalRefusal> {
        self.late(Decision::Wait(what))
    }

    /// Past the plan's deadline for a step a waiting says so, each minute anew.
    fn late<S>(&self, decision: Decision<S, GlobalWait, GlobalRefusal>) -> Decision<S, GlobalWait, GlobalRefusal> {
        let Decision::Wait(what) = decision else { return decision };
        let waited = self.now.duration_since(self.step.promote_attempt_at.unwrap_or(self.run.phase_since));
        let deadline = self.plan.policy.step_deadline;
        Decision::Wait(if waited <= deadline { what } else { GlobalWait::Late { what: Box::new(what), minutes: waited.as_mins(), deadline } })
    }
}

/// Aurora takes over between clusters of one major and minor version; the standby Region tells both, as far as they are told.
fn same_version(there: &str, here: &str) -> bool {
    let of = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    there.is_empty() || here.is_empty() || of(there) == of(here)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobalWait {
    #[error("{by} holds it until {until}; `release` ends that")]
    Held { by: String, until: Timestamp },
    #[error("{0}")]
    Busy(Busy),
    #[error("{0}")]
    After(After),
    #[error("no instance of {cluster} is available: {instances}")]
    NoInstanceYet { cluster: String, instances: String },
    #[error("{cluster} has no instance, and the first one is being created")]
    FirstInstance { cluster: String },
    #[error("the global cluster is {status}, to {cluster}")]
    TakingOver { cluster: String, status: String },
    #[error("the global cluster is {status}, to {to}, by somebody else; it is looked at again when that has ended")]
    Elsewhere { to: String, status: String },
    #[error("the call that makes {cluster} the writer got no answer; it is sent again only if the global cluster stays untouched for 60 s")]
    Unanswered { cluster: String },
    #[error("{cluster} is asked to become the writer; the global cluster does not show it yet")]
    Asked { cluster: String },
    #[error("{cluster} is the writer; it is {status}, and waits for an available instance")]
    Settling { cluster: String, status: String },
    #[error(
        "{what}; that takes {minutes} min, the plan's step_deadline is {deadline:#}: look at the events of both clusters, and fail over by hand where Aurora has given up; Relight goes on from there"
    )]
    Late { what: Box<GlobalWait>, minutes: i64, deadline: SignedDuration },
}

impl GlobalWait {
    fn moving(cluster: String, arn: &str, moving: &Moving) -> GlobalWait {
        let (status, to) = (moving.status.clone(), moving.to.clone());
        if to == arn { GlobalWait::TakingOver { cluster, status } } else { GlobalWait::Elsewhere { to, status } }
    }

    /// Whether looking again within seconds makes sense.
    pub fn passes_soon(&self) -> bool {
        !matches!(self, GlobalWait::Held { .. })
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GlobalRefusal {
    #[error("there is no global cluster {global}; create it, or correct the plan and say `replan`")]
    NoGlobal { global: String },
    #[error("the standby Region has no cluster {cluster}; add it to the global cluster, or correct the plan and say `replan`")]
    NoCluster { cluster: String },
    #[error(
        "{cluster} is no member of the global cluster {global}; where it was detached and promoted by hand Relight goes on once it has a writer, else add it again, or correct the plan and say `replan`"
    )]
    NoMember { cluster: String, global: String },
    #[error("{cluster} is the writer of its global cluster already; where somebody failed over by hand, `accept-loss` goes on with it")]
    Writes { cluster: String },
    #[error(
        "{cluster} is of version {here} and its global cluster of {there}: Aurora takes over between equal major and minor versions only; upgrade it, or detach and promote {cluster} by hand, and Relight goes on from there"
    )]
    Versions { cluster: String, here: String, there: String },
    #[error("{cluster} has no instance, and the plan names no class for one; add an instance, or an `instance_class` to the plan and say `replan`")]
    Headless { cluster: String },
    #[error("{cluster} is {status}, which does not pass by itself; mend it, or correct the plan and say `replan`")]
    Broken { cluster: String, status: String },
    #[error(transparent)]
    Loss(#[from] Box<ClearanceRefusal>),
    #[error(
        "the {how} to {cluster} was taken, and ended without {cluster} as the writer; look at the events of both clusters, and fail over by hand: Relight goes on from there"
    )]
    Ended { how: Takeover, cluster: String },
}

impl fmt::Display for GlobalCleared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            Takeover::Switchover => {
                f.write_str("may take over by a switchover, which waits for every row: the operator fails over from a primary that is up")?
            }
            Takeover::FailoverLosingRows => write!(f, "may take over: {}", self.lag)?,
        }
        match &self.accepted {
            Some(Acceptance::Operator(by)) => write!(f, "; {by} accepted the loss")?,
            Some(Acceptance::Policy) => f.write_str("; the plan accepts an unknown lag")?,
            None => {}
        }
        match &self.first_instance {
            Some(class) => write!(f, "; it has no instance and gets one of class {class} first, which takes minutes"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
