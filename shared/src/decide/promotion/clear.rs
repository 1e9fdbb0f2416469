//! The vetoes before the point of no return: everything that speaks against promoting a replica now.

use std::fmt;

use super::{Busy, Readiness, readiness};
use crate::decide::Decision;
use crate::decide::lag::{LagVerdict, judge};
use crate::plan::{Database, Plan, UnknownLag};
use crate::ports::Instance;
use crate::run::Run;
use crate::state::FrozenLag;

/// A database of the plan with what is known of its replica.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub plan: &'a Plan,
    pub run: &'a Run,
    pub database: &'a Database,
    pub lag: &'a FrozenLag,
    /// As it stands now; `None`: there is no such instance.
    pub replica: Option<&'a Instance>,
}

/// The replica may be promoted.
#[derive(Debug, Clone, PartialEq)]
pub struct Cleared {
    pub lag: LagVerdict,
    /// Set where the lag alone would have refused it.
    pub accepted: Option<Acceptance>,
}

/// Who accepted that rows may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    Operator(String),
    /// `policy.unknown_lag = "accept"`.
    Policy,
}

/// Judges one database. What asks for a person is said before what passes by itself.
pub fn clear(candidate: &Candidate<'_>) -> Decision<Cleared, Busy, ClearanceRefusal> {
    let Candidate { plan, run, database, lag, replica } = *candidate;
    let name = || database.replica.clone();
    let operator = run.words.accept_loss.as_ref().map(|said| Acceptance::Operator(said.by.clone()));
    let policy = (plan.policy.unknown_lag == UnknownLag::Accept).then_some(Acceptance::Policy);

    let Some(instance) = replica else { return Decision::Refuse(ClearanceRefusal::NoReplica { replica: name() }) };
    let ready = readiness(&database.replica, instance);
    if let Readiness::Broken = ready {
        return Decision::Refuse(ClearanceRefusal::Broken { replica: name(), status: instance.status.clone() });
    }
    if instance.source.is_none() && operator.is_none() {
        return Decision::Refuse(ClearanceRefusal::NotAReplica { replica: name() });
    }

    let verdict = judge(&database.name, lag, plan.objectives.rpo);
    // A dead source turns the replication to `error`, which says nothing about the time before; these two come from a
    // time before, and the metric of a replication that has ended means nothing.
    let ended = instance.replication.iter().find(|status| matches!(status.as_str(), "stopped" | "terminated"));
    let accepted = match (&verdict, ended) {
        (LagVerdict::WithinRpo(_), None) => None,
        (LagVerdict::BeyondRpo(_), _) => match operator {
            Some(operator) => Some(operator),
            None => return Decision::Refuse(ClearanceRefusal::BeyondRpo(verdict)),
        },
        (LagVerdict::Unknown(_) | LagVerdict::WithinRpo(_), ended) => match operator.or(policy) {
            Some(acceptance) => Some(acceptance),
            None => {
                return Decision::Refuse(match ended {
                    Some(status) => ClearanceRefusal::ReplicationEnded { replica: name(), status: status.clone() },
                    None => ClearanceRefusal::UnknownLag(verdict),
                });
            }
        },
    };
    match ready {
        Readiness::Busy(busy) => Decision::Wait(busy),
        Readiness::Ready | Readiness::Broken => Decision::Act(vec![Cleared { lag: verdict, accepted }]),
    }
}

/// Why a replica may not be promoted until a person says or does something.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClearanceRefusal {
    #[error("the standby Region has no instance {replica}; create the replica, or correct the plan and say `replan`")]
    NoReplica { replica: String },
    #[error("{replica} replicates nothing; where it was promoted by hand, `accept-loss` goes on with it, else create the replica again")]
    NotAReplica { replica: String },
    #[error("{replica} is {status}, which does not pass by itself; {}, or correct the plan and say `replan`", super::remedy(status))]
    Broken { replica: String, status: String },
    #[error("{0}; `accept-loss` promotes it anyway")]
    BeyondRpo(LagVerdict),
    #[error("{0}; `accept-loss` promotes it anyway")]
    UnknownLag(LagVerdict),
    #[error("replication of {replica} is {status}, so nobody knows how far it was behind; `accept-loss` promotes it anyway")]
    ReplicationEnded { replica: String, status: String },
}

impl fmt::Display for Cleared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "may be promoted: {}", self.lag)?;
        match &self.accepted {
            Some(Acceptance::Operator(by)) => write!(f, "; {by} accepted the loss"),
            Some(Acceptance::Policy) => write!(f, "; the plan accepts an unknown lag"),
            None => Ok(()),
        }
    }
}
