//! The drill's rehearsal: a disposable copy of the replica is made and thrown away. The real replica is read and copied, never changed.
//!
//! ```text
//! copy owed ─┬─► a replica of the replica ─► compared ─► promoted ───────────────────────────────┬─► proven, and removed by scale-down
//!            └─► a snapshot of it, where RDS makes no replica of it ─► restored, a writer at once ┘
//! ```
//! The second way shows that the data come up and open, and nothing of a promotion: neither its time, nor that the copy is equal to the replica
//! at a position, which a snapshot is not. It is the only way for a cluster of Aurora's, which stands beside this: `cluster`.
//!
//! A rehearsal that is not possible is given up with its reason and the drill goes on: what it proves, it proves without.

mod cluster;

use jiff::{SignedDuration, Timestamp};

pub use cluster::{ClusterRehearsal, rehearse_cluster};

use super::{Busy, Readiness, readiness};
use crate::decide::Decision;
use crate::plan::{Database, Plan};
use crate::ports::{CopyId, CopySnapshot, Instance};
use crate::run::Run;
use crate::state::CopyStep;

/// A database of a drill.
#[derive(Debug, Clone, Copy)]
pub struct Rehearsal<'a> {
    pub plan: &'a Plan,
    pub run: &'a Run,
    pub database: &'a Database,
    pub step: &'a CopyStep,
    pub replica: Option<&'a Instance>,
    pub copy: Option<&'a Instance>,
    /// What the copy is restored from; looked for once it was asked for.
    pub snapshot: Option<CopySnapshot>,
    /// Some copy of this drill is still to be compared with its replica; promoted, it could not be any more.
    pub comparing: bool,
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyMove {
    /// To be owed before it is called.
    Create(CopyId),
    /// To be owed before it is called, as well.
    Snapshot {
        copy: CopyId,
        why: NotCopied,
    },
    /// The same of a cluster of Aurora's, for which there is no other way.
    SnapshotCluster(CopyId),
    /// The snapshot is there.
    Restore(CopyId),
    /// The cluster is there, and has no instance.
    AddInstance {
        copy: CopyId,
        class: String,
    },
    /// It is there although the answer to its creation was lost.
    Created,
    Available,
    Promote(CopyId),
    /// It is seen to be a writer.
    Promoted,
}

/// What is due for a copy.
type Due = Decision<CopyMove, RehearsalWait, GivenUp>;

/// What is due for one database. A refusal gives its rehearsal up.
pub fn rehearse(rehearsal: &Rehearsal<'_>) -> Due {
    let Rehearsal { plan, run, database, step, replica, copy, snapshot, comparing, now } = *rehearsal;
    if step.failed.is_some() || step.promoted_at.is_some() {
        return Decision::Done;
    }
    let id = CopyId::of(&plan.name, &run.id, &database.name);
    let decision = match copy {
        Some(copy) if step.requested_at.is_some() => follow(step, id, copy, comparing),
        // Also where a snapshot was asked for and nothing came of it: the replica may have become one that is copied.
        _ => to_be_made(database, step, copy.is_some(), snapshot, id.clone()).unwrap_or_else(|| begin(database, replica, id)),
    };
    in_time(plan, run, now, decision)
}

/// What is due before a copy is seen, whatever it is; nothing where it has not begun.
fn to_be_made(database: &Database, step: &CopyStep, there: bool, snapshot: Option<CopySnapshot>, id: CopyId) -> Option<Due> {
    Some(match (step.requested_at, there) {
        (Some(_), _) => Decision::Wait(RehearsalWait::NotSeen { copy: id }),
        (None, true) => Decision::Act(vec![CopyMove::Created]),
        (None, false) => match snapshot.filter(|_| step.is_restored())? {
            CopySnapshot::Underway => Decision::Wait(RehearsalWait::Snapshotting { copy: id }),
            CopySnapshot::Available => Decision::Act(vec![CopyMove::Restore(id)]),
            CopySnapshot::Failed => Decision::Refuse(GivenUp::SnapshotFailed { copy: id, replica: database.replica.clone() }),
        },
    })
}

/// The decision, as long as the hold still fits before the drill's deadline.
fn in_time(plan: &Plan, run: &Run, now: Timestamp, decision: Due) -> Due {
    match decision {
        Decision::Wait(_) | Decision::Act(_) if now >= rehearsal_ends(plan, run) && !ends(&decision) => {
            Decision::Refuse(GivenUp::OutOfTime { deadline: plan.drill.deadline, hold: plan.drill.hold })
        }
        decision => decision,
    }
}

fn follow(step: &CopyStep, id: CopyId, copy: &Instance, comparing: bool) -> Due {
    if copy.is_promoted() {
        return Decision::Act(vec![CopyMove::Promoted]);
    }
    match readiness(id.as_str(), copy) {
        Readiness::Broken => Decision::Refuse(GivenUp::Broken { copy: id, status: copy.status.clone() }),
        Readiness::Busy(busy) => Decision::Wait(RehearsalWait::Busy(busy)),
        Readiness::Ready if step.available_at.is_none() => Decision::Act(vec![CopyMove::Available]),
        Readiness::Ready if comparing && step.promote_asked_at.is_none() => Decision::Wait(RehearsalWait::Comparing { copy: id }),
        // Sent again where the answer was lost: a copy that is promoted already refuses it, and nothing is harmed.
        Readiness::Ready if step.promote_called_at.is_none() => Decision::Act(vec![CopyMove::Promote(id)]),
        Readiness::Ready => Decision::Wait(RehearsalWait::Promoting { copy: id }),
    }
}

/// A copy of a replica that has none yet, in the way that RDS has for it.
fn begin(database: &Database, replica: Option<&Instance>, copy: CopyId) -> Due {
    let name = || database.replica.clone();
    let Some(replica) = replica else { return Decision::Refuse(GivenUp::NoReplica { replica: name() }) };
    match readiness(&name(), replica) {
        Readiness::Broken => Decision::Refuse(GivenUp::NotAvailable { replica: name(), status: replica.status.clone() }),
        _ if replica.source.is_none() => Decision::Refuse(GivenUp::NotAReplica { replica: name() }),
        Readiness::Busy(busy) => Decision::Wait(RehearsalWait::Busy(busy)),
        Readiness::Ready => Decision::Act(vec![match not_copied(database, replica) {
            Some(why) => CopyMove::Snapshot { copy, why },
            None => CopyMove::Create(copy),
        }]),
    }
}

/// Why RDS makes no replica of the replica; nothing where it does.
fn not_copied(database: &Database, replica: &Instance) -> Option<NotCopied> {
    let name = || database.replica.clone();
    if !database.is_mysql() && !has_replicas_of_replicas(&replica.engine_version) {
        return Some(NotCopied::EngineTooOld { replica: name(), version: replica.engine_version.clone() });
    }
    (replica.backup_retention == 0).then(|| NotCopied::NoBackups { replica: name() })
}

/// PostgreSQL has them on RDS from 14.1 on. A version that nobody can read is tried: RDS says no itself.
fn has_replicas_of_replicas(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), minor) => (major, minor.unwrap_or(u32::MAX)) >= (14, 1),
        (None, _) => true,
    }
}

/// After it the rehearsal is given up, so that the hold still fits before the drill's deadline. A tenth of the time is
/// left for logging in and rotating.
pub fn rehearsal_ends(plan: &Plan, run: &Run) -> Timestamp {
    let time = plan.drill.deadline.saturating_sub(plan.drill.hold);
    let left = (time / 10).min(SignedDuration::from_mins(5));
    run.opened_at.saturating_add(time.saturating_sub(left)).unwrap_or(Timestamp::MAX)
}

/// A copy that is seen promoted is not given up in the same moment.
fn ends(decision: &Due) -> bool {
    matches!(decision, Decision::Act(moves) if moves.contains(&CopyMove::Promoted))
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RehearsalWait {
    #[error("{0}")]
    Busy(Busy),
    #[error("{copy} was asked for and is not to be seen yet")]
    NotSeen { copy: CopyId },
    #[error("{copy} is promoted once the copies are compared with their replicas")]
    Comparing { copy: CopyId },
    #[error("{copy} is being promoted")]
    Promoting { copy: CopyId },
    #[error("the snapshot {copy} is being taken, and is restored after that")]
    Snapshotting { copy: CopyId },
    #[error("the instance of {copy} is {status}")]
    Instance { copy: CopyId, status: String },
}

/// Why a copy is restored from a snapshot, and no replica of the replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCopied {
    #[error("{replica} has no backups, and RDS makes replicas only of what has")]
    NoBackups { replica: String },
    #[error("{replica} is PostgreSQL {version}, and RDS makes no replica of a replica before 14.1")]
    EngineTooOld { replica: String, version: String },
}

/// Why a rehearsal was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    #[error("the promotion is not rehearsed: the standby Region has no instance {replica}; create the replica, or correct the plan")]
    NoReplica { replica: String },
    #[error("the promotion is not rehearsed: {replica} replicates nothing; create the replica again, without one no failover is possible")]
    NotAReplica { replica: String },
    #[error("the promotion is not rehearsed: {replica} is {status}; mend it, a failover would need it too")]
    NotAvailable { replica: String, status: String },
    #[error("the data of {cluster} are not rehearsed: the standby Region has no such cluster; add it to the global cluster, or correct the plan")]
    NoCluster { cluster: String },
    #[error("the data of {cluster} are not rehearsed: it is no secondary of the global cluster {global}; add it again, a failover would need it too")]
    NoSecondary { cluster: String, global: String },
    #[error(
        "the data of {cluster} are not rehearsed: it has no instance and the plan names no class for one; a failover would need it too, add an `instance_class` to the plan"
    )]
    NoClass { cluster: String },
    #[error("the rehearsal is given up: the snapshot {copy} of {replica} has failed; look at the replica's events, the drill removes it")]
    SnapshotFailed { copy: CopyId, replica: String },
    #[error("the rehearsal is given up: {copy} is {status}; look at its events, the drill removes it")]
    Broken { copy: CopyId, status: String },
    #[error("the rehearsal is given up: RDS refused it, {why}")]
    Refused { why: String },
    #[error(
        "the rehearsal is given up: it is not done in time for a hold of {hold:#} before the drill's deadline of {deadline:#}; a longer drill.deadline gives it more"
    )]
    OutOfTime { deadline: SignedDuration, hold: SignedDuration },
}
