//! When a replica may be promoted, how its promotion is followed to the end, and how a drill rehearses it.
//!
//! ```text
//! Confirmed    clear     lag, state of the replica, the operator's words ─► cleared, or refused with a sentence
//! Activating   activate  attempt recorded ─► promote ─► followed ─► promoted ─► backups on ─► what restarts or slows it, last of all
//!                        a cluster of Aurora's: attempt recorded ─► taken over by its global cluster ─► followed ─► the writer
//! (Active)     old_writer  Aurora's cluster that was the writer before ─► looked at until it is a secondary again
//! Drill        rehearse  copy owed ─► created ─► available ─► compared ─► promoted, or restored from a snapshot, or given up
//!                        a cluster of Aurora's: copy owed ─► restored from a snapshot ─► given an instance, or given up
//! Failback     home      old writer set aside ─► replica at home ─► promoted there ─► the standby's replica built again
//! ```
//!
//! The four share what a replica's state means, below; each has reasons of its own.

mod activate;
mod aurora;
mod clear;
pub mod home;
mod old_writer;
mod proxy;
mod rehearse;
mod settings;

use std::fmt;

use crate::plan::{Database, Plan};
use crate::ports::Instance;

pub use activate::{Activation, ActivationRefusal, ActivationWait, PromotionStep, activate, behind_a_proxy, changes_due};
pub use aurora::{GlobalCleared, GlobalRefusal, GlobalStep, GlobalWait, Standing, clear_global, take_over};
pub use clear::{Acceptance, Candidate, ClearanceRefusal, Cleared, clear};
pub use old_writer::{OldWriterOver, OldWriterWait, old_writer, old_writer_is_due};
pub use proxy::{ProxyRefusal, ProxyWait};
pub use rehearse::{ClusterRehearsal, CopyMove, GivenUp, NotCopied, Rehearsal, RehearsalWait, rehearsal_ends, rehearse, rehearse_cluster};
pub use settings::unsettled;

/// What a replica is busy with while it cannot be promoted or copied; it passes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    pub instance: String,
    pub status: String,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status.as_str() {
            "backing-up" => {
                write!(
                    f,
                    "{} is backing-up, RDS promotes and copies it after that: a backup, a snapshot or a replica of it is being made",
                    self.instance
                )
            }
            status => write!(f, "{} is {status}, it must be available first", self.instance),
        }
    }
}

/// Whether an instance can be worked on.
enum Readiness {
    Ready,
    /// Passes by itself.
    Busy(Busy),
    /// A person must help.
    Broken,
}

fn readiness(name: &str, instance: &Instance) -> Readiness {
    of_status(name, &instance.status)
}

fn of_status(name: &str, status: &str) -> Readiness {
    match status {
        "available" => Readiness::Ready,
        // `incompatible-parameters`, `incompatible-network`, ...; `storage-full` and `stopped` do not end by themselves either.
        "failed" | "deleting" | "stopped" | "stopping" | "storage-full" | "restore-error" | "insufficient-capacity" => Readiness::Broken,
        status if status.starts_with("incompatible-") || status.starts_with("inaccessible-encryption") => Readiness::Broken,
        status => Readiness::Busy(Busy { instance: name.to_owned(), status: status.to_owned() }),
    }
}

/// Whether what has this status becomes available without a person.
pub(crate) fn passes(status: &str) -> bool {
    !matches!(of_status("", status), Readiness::Broken)
}

/// What a promotion waits for where the plan has an order, in either Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    pub database: String,
    /// It is promoted already, and nobody has proven it yet.
    pub promoted: bool,
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, promoted } = self;
        let is = if *promoted { "is promoted and not yet proven" } else { "is not promoted yet" };
        write!(f, "the plan's `after`: {database} must be proven first, and it {is}; a plan without it and `replan` end the waiting")
    }
}

/// The database that must be proven first, where it is not. One that no secret opens is proven by nobody: its promotion is all there is.
fn waits_for(plan: &Plan, database: &Database, promoted: impl Fn(&str) -> bool, proven: impl Fn(&str) -> bool) -> Option<After> {
    let first = plan.database(database.after.as_deref()?)?;
    let provable = plan.secrets.iter().any(|secret| secret.database == first.name);
    let promoted = promoted(&first.name);
    let done = if provable { proven(&first.name) } else { promoted };
    (!done).then(|| After { database: first.name.clone(), promoted })
}

/// What a person does about an instance that is broken.
fn remedy(status: &str) -> &'static str {
    match status {
        "storage-full" => "raise its allocated storage (ModifyDBInstance)",
        "stopped" | "stopping" => "start it (StartDBInstance)",
        _ => "mend it",
    }
}

#[cfg(test)]
mod tests;
