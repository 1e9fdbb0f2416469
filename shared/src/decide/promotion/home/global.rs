//! The way home of an Aurora global database: a switchover. Aurora itself has made the old writer a secondary; what a failover lost
//! is in a snapshot of its, which is kept.
//!
//! ```text
//! Preparing     the old cluster connected again, with an instance ─► the snapshot of lost rows found ─► copied
//! Synchronised  looked at
//! Switching     attempt recorded ─► switched over ─► followed ─► the writer at home
//! Restoring     the standby's cluster connected again
//! ```
//! Nothing is compared, and no writes are closed: Aurora lets nobody write while it waits for the last row.

use jiff::{SignedDuration, Timestamp};

use crate::decide::Decision;
use crate::decide::promotion::{After, waits_for};
use crate::plan::{Database, Plan};
use crate::ports::{Cluster, GlobalCluster, HomeCluster, LostRows, StandbyCluster, Takeover};
use crate::state::{HoldSwitch, HomeStep, Snapshot};

/// As in a failover: what AWS took shows within seconds.
const UNTOUCHED: SignedDuration = SignedDuration::from_secs(60);

/// A global database on its way home.
#[derive(Debug, Clone, Copy)]
pub struct GlobalHome<'a> {
    pub plan: &'a Plan,
    pub snapshot: &'a Snapshot,
    pub database: &'a Database,
    pub step: &'a HomeStep,
    pub global: Option<&'a GlobalCluster>,
    /// The cluster in the primary Region.
    pub home: Option<&'a Cluster>,
    /// What Aurora kept of the old writer; looked for while preparing.
    pub lost: &'a [LostRows],
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GlobalHomeMove {
    /// Seen: the old writer is a secondary that follows.
    Follows,
    /// The snapshot of lost rows, to be copied.
    Keep(LostRows),
    /// Nothing was lost, or Aurora kept nothing of it; which of the two the failover tells.
    NothingKept {
        nothing_lost: bool,
    },
    Looked(Option<String>),
    SwitchHome {
        again: bool,
    },
    /// Seen: the cluster at home is the writer.
    Home,
    /// Seen: the standby's cluster follows again.
    Restored,
}

pub type GlobalHomeDue = Decision<GlobalHomeMove, GlobalHomeWait, GlobalHomeRefusal>;

/// Preparing.
pub fn prepare(home: &GlobalHome<'_>) -> GlobalHomeDue {
    if home.step.replicating_at.is_none() {
        return match home.follows() {
            Ok(None) => act(GlobalHomeMove::Follows),
            Ok(Some(wait)) => Decision::Wait(wait),
            Err(refusal) => Decision::Refuse(refusal),
        };
    }
    if home.step.lost_kept_at.is_some() {
        return Decision::Done;
    }
    let losing = home.snapshot.memory.takeovers.get(&home.database.name) != Some(&Takeover::Switchover);
    let newest = home.lost.iter().max_by_key(|lost| lost.at);
    match newest {
        Some(lost) if losing => act(GlobalHomeMove::Keep(lost.clone())),
        _ => act(GlobalHomeMove::NothingKept { nothing_lost: !losing }),
    }
}

/// Synchronised, and Switching before the point of no return.
pub fn look(home: &GlobalHome<'_>) -> GlobalHomeDue {
    act(GlobalHomeMove::Looked(match home.follows() {
        Ok(None) => None,
        Ok(Some(wait)) => Some(wait.to_string()),
        Err(refusal) => Some(refusal.to_string()),
    }))
}

/// Switching past the point of no return.
pub fn switch(home: &GlobalHome<'_>) -> GlobalHomeDue {
    let GlobalHome { step, now, .. } = *home;
    if step.promoted_at.is_some() {
        return Decision::Done;
    }
    let (global, cluster) = match home.both() {
        Ok(both) => both,
        Err(refusal) => return Decision::Refuse(refusal),
    };
    let writes = global.member(home.id().arn()).is_some_and(|member| member.writer);
    if let Some(moving) = &global.moving {
        return Decision::Wait(GlobalHomeWait::Moving { status: moving.status.clone(), to: moving.to.clone() });
    }
    if writes && cluster.is_available() && cluster.has_an_available_instance() {
        return act(GlobalHomeMove::Home);
    }
    if writes {
        return Decision::Wait(GlobalHomeWait::Settling { cluster: home.name(), status: cluster.status.clone() });
    }
    let quiet = |since: Timestamp| now.duration_since(since) > UNTOUCHED;
    let again = match (step.promote_attempt_at.filter(|_| !step.throttled), step.promote_called_at) {
        (None, _) => false,
        // It loses nothing, whether or not the one before it was taken: nothing moves, and the standby writes.
        (Some(at), None) if quiet(at) => true,
        (Some(_), Some(at)) if quiet(at) => true,
        _ => return Decision::Wait(GlobalHomeWait::Asked { cluster: home.name() }),
    };
    if let Some(after) = step.promote_attempt_at.is_none().then(|| home.waits_for()).flatten() {
        return Decision::Wait(GlobalHomeWait::After(after));
    }
    match home.snapshot.head.hold.as_ref().filter(|hold| now < hold.until) {
        Some(HoldSwitch { by, until }) => Decision::Wait(GlobalHomeWait::Held { by: by.clone(), until: *until }),
        None => act(GlobalHomeMove::SwitchHome { again }),
    }
}

/// Restoring: Aurora makes the cluster that served a secondary; it is followed until then.
pub fn restore(home: &GlobalHome<'_>) -> GlobalHomeDue {
    if home.step.replica_ready_at.is_some() {
        return Decision::Done;
    }
    let standby = StandbyCluster::of(home.plan, home.database);
    let Some(global) = home.global else { return Decision::Refuse(home.no_global()) };
    match global.member(standby.arn()) {
        None => Decision::Refuse(GlobalHomeRefusal::NoMember { cluster: home.database.replica.clone(), global: home.global_name() }),
        Some(member) if member.follows() && global.moving.is_none() => act(GlobalHomeMove::Restored),
        Some(member) => Decision::Wait(GlobalHomeWait::Rebuilding {
            cluster: home.database.replica.clone(),
            status: member.synchronization.clone().unwrap_or_default(),
        }),
    }
}

impl GlobalHome<'_> {
    fn id(&self) -> HomeCluster {
        HomeCluster::of(self.plan, self.database)
    }

    fn name(&self) -> String {
        self.database.primary.clone()
    }

    fn global_name(&self) -> String {
        self.database.global_cluster.clone().unwrap_or_default()
    }

    fn waits_for(&self) -> Option<After> {
        let progress = &self.snapshot.progress;
        let promoted = |name: &str| progress.promotion.home.get(name).is_some_and(|step| step.promoted_at.is_some());
        let proven = |name: &str| progress.rotation.home.databases.get(name).is_some_and(|step| step.proven_at.is_some());
        waits_for(self.plan, self.database, promoted, proven)
    }

    fn no_global(&self) -> GlobalHomeRefusal {
        GlobalHomeRefusal::NoGlobal { global: self.global_name() }
    }

    fn both(&self) -> Result<(&GlobalCluster, &Cluster), GlobalHomeRefusal> {
        let global = self.global.ok_or_else(|| self.no_global())?;
        let cluster = self.home.ok_or_else(|| GlobalHomeRefusal::NoCluster { cluster: self.name() })?;
        Ok((global, cluster))
    }

    /// `None`: the cluster at home follows and could take over.
    fn follows(&self) -> Result<Option<GlobalHomeWait>, GlobalHomeRefusal> {
        let (global, cluster) = self.both()?;
        let Some(member) = global.member(self.id().arn()) else {
            return Err(GlobalHomeRefusal::NoMember { cluster: self.name(), global: self.global_name() });
        };
        if let Some(moving) = &global.moving {
            return Ok(Some(GlobalHomeWait::Moving { status: moving.status.clone(), to: moving.to.clone() }));
        }
        if member.writer {
            return Err(GlobalHomeRefusal::Writes { cluster: self.name() });
        }
        if !member.follows() {
            let status = member.synchronization.clone().unwrap_or_default();
            return Ok(Some(GlobalHomeWait::Rebuilding { cluster: self.name(), status }));
        }
        if cluster.is_headless() {
            return Err(GlobalHomeRefusal::Headless { cluster: self.name() });
        }
        let ready = cluster.is_available() && cluster.has_an_available_instance();
        Ok((!ready).then(|| GlobalHomeWait::Settling { cluster: self.name(), status: cluster.status.clone() }))
    }
}

fn act(due: GlobalHomeMove) -> GlobalHomeDue {
    Decision::Act(vec![due])
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobalHomeWait {
    #[error("Aurora rebuilds {cluster} as a secondary, it is {status}: that takes minutes to hours, by its size")]
    Rebuilding { cluster: String, status: String },
    #[error("the global cluster is {status}, to {to}")]
    Moving { status: String, to: String },
    #[error("{cluster} is {status}, and waits for an available instance")]
    Settling { cluster: String, status: String },
    #[error("{cluster} is asked to become the writer; it is asked again only if nothing moves for 60 s")]
    Asked { cluster: String },
    #[error("{0}")]
    After(After),
    #[error("{by} holds it until {until}; `release` ends that")]
    Held { by: String, until: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobalHomeRefusal {
    #[error("there is no global cluster {global}; `stand-down` gives the way home up, the standby serves on")]
    NoGlobal { global: String },
    #[error("the primary Region has no cluster {cluster}; add it to the global cluster as a secondary, and Relight goes on from there")]
    NoCluster { cluster: String },
    #[error("{cluster} is no member of the global cluster {global}; add it as a secondary, and Relight goes on from there")]
    NoMember { cluster: String, global: String },
    #[error("{cluster} has no instance, and Aurora switches over to none; add one, and Relight goes on from there")]
    Headless { cluster: String },
    #[error(
        "{cluster} is the writer of the global cluster already, and the standby serves; `stand-down`, and fail over to the standby by hand, or go home by hand"
    )]
    Writes { cluster: String },
}

#[cfg(test)]
mod tests;
