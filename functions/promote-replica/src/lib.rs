//! promote-replica: judges how far each replica was behind, promotes it past the point of no return and follows it to its
//! end; in a drill it rehearses that on a disposable copy.
//!
//! ```text
//! Failover  Confirmed   clear      replica, ReplicaLag ─► lag frozen, cleared or refused
//!           Activating  activate   attempt recorded ─► promote ─► promoted ─► backups ─► class, Multi-AZ, parameter group
//!           (Active)    activate   what of these was not its turn before
//!           both        aurora     the same of Aurora's clusters, taken over by their global cluster
//!           (Active)    old_writer  the clusters that wrote before, until Aurora has made them secondaries
//! Drill     Activating  rehearse   copy owed ─► created ─► compared by rotate-secret ─► promoted
//!                       (copies)   copy owed ─► snapshot ─► restored; a cluster of Aurora's in this way alone
//! Failback              aurora_home  old cluster a secondary again ─► lost rows kept ─► switched over ─► the standby's a secondary
//!                       home       old writer set aside ─► replica at home ─► promoted there ─► the standby's replica again
//! ```

mod activate;
mod aurora;
mod aurora_home;
mod clear;
mod copies;
mod home;
mod ledger;
mod old_writer;
mod rehearse;

use relight::decide::promotion::changes_due;
use relight::look::{self, Sight};
use relight::nudge::{Desk, Next, View, Work, WorkError};
use relight::ports::{ClusterCopies, Database, GlobalClusters, Journal};
use relight::run::{Mode, Phase, Run};

pub struct PromoteReplica<D> {
    database: D,
}

impl<D> PromoteReplica<D> {
    pub fn new(database: D) -> PromoteReplica<D> {
        PromoteReplica { database }
    }
}

impl<D: Database + GlobalClusters + ClusterCopies> Work for PromoteReplica<D> {
    const NAME: &'static str = "promote-replica";
    const LEASE: &'static str = "promotion";

    fn wanted(&self, view: &View) -> bool {
        match view.phase() {
            Some((Mode::Failover, Phase::Confirmed)) => !view.plan.databases.is_empty(),
            Some((Mode::Failover, Phase::Activating)) => activate::due(view).chain(aurora::due(view)).chain(old_writer::due(view)).next().is_some(),
            Some((Mode::Drill, Phase::Activating)) => rehearse::due(view).next().is_some(),
            Some(_) => home::wanted(view),
            None => view.standby_serves() && (changes_due(&view.plan, &view.snapshot) || old_writer::due(view).next().is_some()),
        }
    }

    async fn look(&mut self, view: &View) -> Option<Sight> {
        Some(Sight::Databases(look::databases(&view.plan, &self.database, view.now).await))
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        // The newest run, open or over: changes of the instance may outlast it.
        let Some(run) = view.snapshot.head.run.as_ref() else { return Ok(Next::Idle) };
        match phase_of(run) {
            (Mode::Failover, Phase::Confirmed) => clear::turn(&self.database, view, run, desk).await,
            (Mode::Failover, Phase::Activating | Phase::Active) => activate::turn(&self.database, view, run, desk).await,
            (Mode::Drill, Phase::Activating) => rehearse::turn(&self.database, view, run, desk).await,
            _ => home::turn(&self.database, view, run, desk).await,
        }
    }
}

fn phase_of(run: &Run) -> (Mode, Phase) {
    (run.mode, run.phase)
}
