//! The rehearsal of an Aurora secondary: its snapshot is restored to a cluster by itself, which is given an instance. The global database
//! is read, and nothing of it moves.
//!
//! ```text
//! copy owed ─► a snapshot of the secondary ─► a cluster ─► an instance in it ─► a writer ─► proven, and removed by scale-down
//! ```
//! It shows that the data come up, open and take logins and writes. It shows no takeover: the global cluster fails over as a whole, so there is
//! nothing disposable to fail over to; nor how long one takes, nor that the rows are equal at a position, which a snapshot is not.

use jiff::Timestamp;

use super::super::{Readiness, of_status};
use super::{CopyMove, Due, GivenUp, RehearsalWait, in_time, to_be_made};
use crate::decide::Decision;
use crate::plan::{Database, Plan};
use crate::ports::{Cluster, CopyId, CopySnapshot, GlobalCluster, StandbyCluster};
use crate::run::Run;
use crate::state::CopyStep;

/// A cluster of a drill.
#[derive(Debug, Clone, Copy)]
pub struct ClusterRehearsal<'a> {
    pub plan: &'a Plan,
    pub run: &'a Run,
    pub database: &'a Database,
    pub step: &'a CopyStep,
    /// Looked for before the snapshot is asked for.
    pub global: Option<&'a GlobalCluster>,
    /// Looked for until the copy has its instance.
    pub secondary: Option<&'a Cluster>,
    pub copy: Option<&'a Cluster>,
    /// What the copy is restored from; looked for once it was asked for.
    pub snapshot: Option<CopySnapshot>,
    pub now: Timestamp,
}

/// What is due for one cluster. A refusal gives its rehearsal up.
pub fn rehearse_cluster(rehearsal: &ClusterRehearsal<'_>) -> Due {
    let ClusterRehearsal { plan, run, database, step, copy, snapshot, now, .. } = *rehearsal;
    if step.failed.is_some() || step.promoted_at.is_some() {
        return Decision::Done;
    }
    let id = CopyId::of(&plan.name, &run.id, &database.name);
    let decision = match copy {
        Some(copy) if step.requested_at.is_some() => rehearsal.follow(id, copy),
        _ => to_be_made(database, step, copy.is_some(), snapshot, id.clone()).unwrap_or_else(|| rehearsal.begin(id)),
    };
    in_time(plan, run, now, decision)
}

impl ClusterRehearsal<'_> {
    fn begin(&self, copy: CopyId) -> Due {
        let cluster = self.database.replica.clone();
        let Some(secondary) = self.secondary else { return Decision::Refuse(GivenUp::NoCluster { cluster }) };
        let standby = StandbyCluster::of(self.plan, self.database);
        // One that was detached has the rows of that day.
        if self.global.and_then(|global| global.member(standby.arn())).is_none_or(|member| member.writer) {
            let global = self.database.global_cluster.clone().unwrap_or_default();
            return Decision::Refuse(GivenUp::NoSecondary { cluster, global });
        }
        match of_status(&cluster, &secondary.status) {
            Readiness::Broken => Decision::Refuse(GivenUp::NotAvailable { replica: cluster, status: secondary.status.clone() }),
            Readiness::Busy(busy) => Decision::Wait(RehearsalWait::Busy(busy)),
            // Known before anything is made.
            Readiness::Ready if self.class().is_none() => Decision::Refuse(GivenUp::NoClass { cluster }),
            Readiness::Ready => Decision::Act(vec![CopyMove::SnapshotCluster(copy)]),
        }
    }

    fn follow(&self, id: CopyId, copy: &Cluster) -> Due {
        let broken = |status: &str| Decision::Refuse(GivenUp::Broken { copy: id.clone(), status: status.to_owned() });
        match of_status(id.as_str(), copy.status_beside_backups()) {
            Readiness::Broken => return broken(&copy.status),
            Readiness::Busy(busy) => return Decision::Wait(RehearsalWait::Busy(busy)),
            Readiness::Ready => {}
        }
        // Asked for again where the answer was lost, or nothing is to be seen of it: its name is the copy's, so there is one.
        let Some(instance) = copy.instances.first() else {
            return match self.class() {
                Some(class) => Decision::Act(vec![CopyMove::AddInstance { copy: id, class }]),
                None => Decision::Refuse(GivenUp::NoClass { cluster: self.database.replica.clone() }),
            };
        };
        match of_status("", &instance.status) {
            Readiness::Broken => broken(&instance.status),
            Readiness::Ready if instance.writer => Decision::Act(vec![CopyMove::Promoted]),
            _ => Decision::Wait(RehearsalWait::Instance { copy: id, status: instance.status.clone() }),
        }
    }

    /// That of the instance with which the secondary would take over: its own, or what the plan names for one that has none.
    fn class(&self) -> Option<String> {
        let secondary = self.secondary?;
        let own = secondary.instances.iter().find(|instance| instance.status != "deleting");
        own.map(|instance| instance.class.clone()).or_else(|| self.database.instance_class.clone())
    }
}

#[cfg(test)]
mod tests;
