//! A failback's instances: the old writer is set aside, a replica of the serving one is built at home and promoted there, and
//! the standby gets its replica back.
//!
//! ```text
//! Preparing     fenced, seen ─► named ─► last snapshot ─► renamed ─► replica at home begun ─► parameter group ─► replicating
//! Synchronised  looked at
//! Switching     attempt recorded ─► promoted, as in a failover
//! Restoring     backups at home;  the writer that served: named ─► last snapshot ─► renamed ─► replica begun ─► replicating ─► parameter group, backups
//! ```
//! Each arrow is a look: what is seen decides, and what is recorded before a call says under which name to look for it.
//! Nothing here removes an instance.

pub mod global;

use std::fmt;

use jiff::Timestamp;

use super::activate::{Sending, sending};
use super::settings::{Parameters, parameters, retention};
use super::{After, Busy, Readiness, readiness, waits_for};
use crate::decide::Decision;
use crate::decide::rotation::gate::closed_by;
use crate::plan::{Database, Plan};
use crate::ports::{Instance, InstanceChange, Proxy};
use crate::run::Run;
use crate::state::{HomeStep, Memory, RestartStep, Snapshot};

/// A database on its way home, with what stands under which name.
#[derive(Debug, Clone, Copy)]
pub struct Homecoming<'a> {
    pub plan: &'a Plan,
    pub snapshot: &'a Snapshot,
    pub run: &'a Run,
    pub database: &'a Database,
    pub step: &'a HomeStep,
    /// Under the plan's name in the primary Region.
    pub home: Option<&'a Instance>,
    /// Under the name of what was set aside: in the primary Region while preparing, in the standby while restoring.
    pub left: Option<&'a Instance>,
    /// Under the plan's name in the standby Region; looked at while restoring.
    pub standby: Option<&'a Instance>,
    /// The plan's proxy in the standby Region; looked at while restoring.
    pub proxy: Option<&'a Proxy>,
    pub now: Timestamp,
}

/// One thing to do, or to record as seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HomeMove {
    Fence,
    Fenced,
    /// Record under which name the writer will be found.
    Name,
    Snapshot,
    SetAside,
    /// Seen under its new name.
    Aside,
    NothingLeft,
    Build,
    /// Before it is promoted: the old writer's parameter group.
    ChangeHome(InstanceChange),
    RestartHome,
    Replicating,
    /// Seen, and nothing keeps it from being promoted.
    Looked,
    /// Seen, with what keeps it from being promoted.
    NotPromotable(String),
    Promote {
        retention: u32,
        again: bool,
    },
    Promoted,
    TurnBackupsOn(u32),
    BackupsOn,
    /// Take the writer that served out of the standby's proxy.
    FreeProxy,
    /// Seen without it.
    ProxyFree,
    Rebuild,
    Rebuilt,
    /// In one call.
    ChangeReplica(InstanceChange),
    RestartReplica,
    ReplicaReady,
}

pub type HomeDue = Decision<HomeMove, HomeWait, HomeRefusal>;

impl Homecoming<'_> {
    fn waits_for(&self) -> Option<After> {
        let progress = &self.snapshot.progress;
        let promoted = |name: &str| progress.promotion.home.get(name).is_some_and(|step| step.promoted_at.is_some());
        let proven = |name: &str| progress.rotation.home.databases.get(name).is_some_and(|step| step.proven_at.is_some());
        waits_for(self.plan, self.database, promoted, proven)
    }
}

/// Preparing: what is due in the primary Region.
pub fn prepare(homecoming: &Homecoming<'_>) -> HomeDue {
    let Homecoming { step, .. } = homecoming;
    if step.left_at.is_none() && !step.nothing_left {
        return set_aside_old_writer(homecoming);
    }
    let name = &homecoming.database.primary;
    match homecoming.home {
        None => act(HomeMove::Build),
        Some(home) if !replicates(home, &homecoming.database.replica) => {
            Decision::Refuse(HomeRefusal::NotOurs { instance: name.clone(), of: home.source.clone() })
        }
        Some(_) if step.replicating_at.is_some() => Decision::Done,
        Some(home) => replicating(name, home).unwrap_or_else(|| {
            let group = step.was.as_ref().and_then(|was| was.parameter_group.as_deref());
            let grouped = Grouped { name, instance: home, group, restart: &step.restart, now: homecoming.now };
            grouped.due(HomeMove::ChangeHome, HomeMove::RestartHome).unwrap_or_else(|| act(HomeMove::Replicating))
        }),
    }
}

/// A replica that is to have a parameter group. RDS takes none with the creation of PostgreSQL's ("a parameter group can't be specified during
/// Read Replica creation for the following DB engine: postgres"), so it is changed afterwards, and restarted while nobody uses it.
struct Grouped<'a> {
    name: &'a str,
    instance: &'a Instance,
    group: Option<&'a str>,
    restart: &'a RestartStep,
    now: Timestamp,
}

impl Grouped<'_> {
    /// `None`: it is in force, or nobody knows of one.
    fn due(&self, change: fn(InstanceChange) -> HomeMove, restart: HomeMove) -> Option<HomeDue> {
        let group = self.group?;
        let wait = || Some(Decision::Wait(HomeWait::Parameters { instance: self.name.to_owned(), group: group.to_owned() }));
        match parameters(group, self.instance, self.restart, self.now) {
            Parameters::InForce => None,
            Parameters::Other if self.instance.is_idle() => {
                Some(act(change(InstanceChange { parameter_group: Some(group.to_owned()), ..InstanceChange::default() })))
            }
            Parameters::Restart { .. } if self.instance.is_idle() => Some(act(restart)),
            Parameters::Other | Parameters::Restart { .. } | Parameters::Applying | Parameters::Restarting => wait(),
            Parameters::InVain => Some(self.not_in_force("pending-reboot")),
            Parameters::Broken(status) => Some(self.not_in_force(&status)),
        }
    }

    fn not_in_force(&self, status: &str) -> HomeDue {
        let (instance, group) = (self.name.to_owned(), self.group.unwrap_or_default().to_owned());
        Decision::Refuse(HomeRefusal::NotInForce { instance, group, status: status.to_owned() })
    }
}

/// `None`: it is available and replicates.
fn replicating(name: &str, instance: &Instance) -> Option<HomeDue> {
    match readiness(name, instance) {
        Readiness::Broken => Some(broken(name, instance)),
        Readiness::Busy(busy) => Some(Decision::Wait(HomeWait::Busy(busy))),
        Readiness::Ready if instance.replication.iter().any(|status| status == "replicating") => None,
        Readiness::Ready => Some(Decision::Wait(HomeWait::NotReplicating { instance: name.to_owned(), status: instance.replication.join(", ") })),
    }
}

fn set_aside_old_writer(homecoming: &Homecoming<'_>) -> HomeDue {
    let Homecoming { database, step, .. } = homecoming;
    let name = &database.primary;
    if let Some(left) = homecoming.left {
        // It restarts with its new name; nobody can read it before.
        return match readiness(step.left.as_deref().unwrap_or(name), left) {
            Readiness::Ready => act(HomeMove::Aside),
            Readiness::Busy(busy) => Decision::Wait(HomeWait::Busy(busy)),
            Readiness::Broken => broken(step.left.as_deref().unwrap_or(name), left),
        };
    }
    let Some(home) = homecoming.home else {
        // Between two names neither may be found for a moment.
        return match &step.left {
            Some(left) => Decision::Wait(HomeWait::Renaming { from: name.clone(), to: left.clone() }),
            None => act(HomeMove::NothingLeft),
        };
    };
    if replicates(home, &database.replica) {
        // An earlier failback built it; what that one had set aside is gone.
        return act(HomeMove::NothingLeft);
    }
    if home.source.is_some() {
        return Decision::Refuse(HomeRefusal::NotOurs { instance: name.clone(), of: home.source.clone() });
    }
    let fenced = database.quarantine_security_group.as_ref().is_some_and(|group| home.security_groups == [group.clone()]);
    match readiness(name, home) {
        _ if !fenced => act(HomeMove::Fence),
        _ if step.fenced_at.is_none() => act(HomeMove::Fenced),
        Readiness::Broken => broken(name, home),
        _ if step.left.is_none() => act(HomeMove::Name),
        // A snapshot that is being taken makes it busy, and only asking again tells when it is there.
        _ if step.snapshot_at.is_none() => act(HomeMove::Snapshot),
        Readiness::Busy(busy) => Decision::Wait(HomeWait::Busy(busy)),
        Readiness::Ready => act(HomeMove::SetAside),
    }
}

/// Synchronised, and Switching before the point of no return: whether the replica at home could be promoted now.
pub fn look(homecoming: &Homecoming<'_>) -> HomeDue {
    let name = &homecoming.database.primary;
    let why = match homecoming.home {
        None => Some(HomeRefusal::Gone { instance: name.clone() }.to_string()),
        Some(home) if !replicates(home, &homecoming.database.replica) => {
            Some(HomeRefusal::NotOurs { instance: name.clone(), of: home.source.clone() }.to_string())
        }
        Some(home) => replicating(name, home).and_then(|due| due.why_not()),
    };
    act(why.map_or(HomeMove::Looked, HomeMove::NotPromotable))
}

/// Switching past the point of no return.
pub fn switch(homecoming: &Homecoming<'_>) -> HomeDue {
    let Homecoming { snapshot, database, step, now, .. } = homecoming;
    let name = &database.primary;
    if step.promoted_at.is_some() {
        return Decision::Done;
    }
    let Some(home) = homecoming.home else { return Decision::Refuse(HomeRefusal::Gone { instance: name.clone() }) };
    if home.is_promoted() {
        return act(HomeMove::Promoted);
    }
    let ready = readiness(name, home);
    if let Readiness::Broken = ready {
        return broken(name, home);
    }
    let promote = |again| match snapshot.head.hold.as_ref().filter(|hold| *now < hold.until) {
        Some(hold) => Decision::Wait(HomeWait::Held { by: hold.by.clone(), until: hold.until }),
        None => act(HomeMove::Promote { retention: retention(database), again }),
    };
    // Writes pause: what was not even taken need not lie untouched for a minute before it is sent again.
    let attempt = step.promote_attempt_at.filter(|_| !step.throttled);
    match (sending(home, attempt, step.promote_called_at, *now), ready) {
        (Sending::First, ready) => match (homecoming.waits_for(), ready) {
            (Some(after), _) => Decision::Wait(HomeWait::After(after)),
            (None, Readiness::Busy(busy)) => Decision::Wait(HomeWait::Busy(busy)),
            (None, _) => promote(false),
        },
        (Sending::Again, _) => promote(true),
        (Sending::Unanswered, _) => Decision::Wait(HomeWait::Unanswered { instance: name.clone() }),
        (Sending::Underway, _) => Decision::Wait(HomeWait::Promoting { instance: name.clone(), status: home.status.clone() }),
    }
}

/// Restoring: backups at home first, since a replica's source needs them; then the standby.
pub fn restore(homecoming: &Homecoming<'_>) -> HomeDue {
    let Homecoming { database, step, .. } = homecoming;
    if step.backups_on_at.is_none() {
        let Some(home) = homecoming.home else { return Decision::Refuse(HomeRefusal::Gone { instance: database.primary.clone() }) };
        let (name, on) = (&database.primary, HomeMove::BackupsOn);
        return backups(name, home, retention(database), on, HomeMove::TurnBackupsOn);
    }
    if step.replica_ready_at.is_some() {
        return Decision::Done;
    }
    // Users are home. While it still has its name: RDS knows the target by it.
    if step.standby_left_at.is_none() && step.proxy_freed_at.is_none() && database.proxy.is_some() {
        let registered = homecoming.proxy.is_some_and(|proxy| proxy.target(&database.replica).is_some());
        return act(if registered { HomeMove::FreeProxy } else { HomeMove::ProxyFree });
    }
    if step.standby_left_at.is_none() {
        return set_aside_standby(homecoming);
    }
    let name = &database.replica;
    // A replica that is built into it would stay closed once it is promoted.
    if let (None, Some(group)) = (homecoming.standby, closed_by(homecoming.snapshot, &database.name)) {
        return Decision::Wait(HomeWait::Closed { instance: name.clone(), group: group.to_owned() });
    }
    match homecoming.standby {
        None => act(HomeMove::Rebuild),
        Some(replica) if !replicates(replica, &database.primary) => {
            Decision::Refuse(HomeRefusal::NotOurs { instance: name.clone(), of: replica.source.clone() })
        }
        Some(replica) => match replicating(name, replica) {
            Some(due) if step.rebuilt_at.is_none() => due,
            None if step.rebuilt_at.is_none() => act(HomeMove::Rebuilt),
            _ => ready(homecoming, replica),
        },
    }
}

fn set_aside_standby(homecoming: &Homecoming<'_>) -> HomeDue {
    let Homecoming { database, step, .. } = homecoming;
    let name = &database.replica;
    if homecoming.left.is_some() {
        return act(HomeMove::Aside);
    }
    match homecoming.standby {
        // Somebody was faster.
        Some(replica) if replicates(replica, &database.primary) => act(HomeMove::Aside),
        Some(writer) if writer.source.is_none() => match readiness(name, writer) {
            Readiness::Broken => broken(name, writer),
            _ if step.standby_left.is_none() => act(HomeMove::Name),
            _ if step.standby_snapshot_at.is_none() => act(HomeMove::Snapshot),
            Readiness::Busy(busy) => Decision::Wait(HomeWait::Busy(busy)),
            Readiness::Ready => act(HomeMove::SetAside),
        },
        Some(other) => Decision::Refuse(HomeRefusal::NotOurs { instance: name.clone(), of: other.source.clone() }),
        None => match &step.standby_left {
            Some(left) => Decision::Wait(HomeWait::Renaming { from: name.clone(), to: left.clone() }),
            None => Decision::Refuse(HomeRefusal::NoWriter { instance: name.clone(), of: database.primary.clone() }),
        },
    }
}

/// The rebuilt replica's parameter group and backups, in one call.
fn ready(homecoming: &Homecoming<'_>, replica: &Instance) -> HomeDue {
    let Homecoming { snapshot, database, step, now, .. } = homecoming;
    let (name, memory) = (&database.replica, &snapshot.memory);
    let group = memory.replicas.get(&database.name).and_then(|was| was.parameter_group.as_deref());
    let other = group.filter(|group| replica.parameter_group.as_ref().is_none_or(|held| held.name != *group));
    let lacks_backups = replica.backup_retention == 0 && replica.pending_backup_retention.is_none();
    if lacks_backups && other.is_some() && replica.is_idle() {
        let change = InstanceChange { parameter_group: other.map(str::to_owned), ..InstanceChange::backups(replica_retention(memory, database)) };
        return act(HomeMove::ChangeReplica(change));
    }
    let grouped = Grouped { name, instance: replica, group, restart: &step.replica_restart, now: *now };
    if let (false, Some(due)) = (lacks_backups, grouped.due(HomeMove::ChangeReplica, HomeMove::RestartReplica)) {
        return due;
    }
    let turn_on = |days| HomeMove::ChangeReplica(InstanceChange::backups(days));
    backups(name, replica, replica_retention(memory, database), HomeMove::ReplicaReady, turn_on)
}

fn backups(name: &str, instance: &Instance, days: u32, on: HomeMove, turn_on: fn(u32) -> HomeMove) -> HomeDue {
    match (instance.backup_retention > 0 && instance.pending_backup_retention.is_none(), readiness(name, instance)) {
        (true, _) => act(on),
        (false, Readiness::Ready) if instance.pending_backup_retention.is_none() => act(turn_on(days)),
        (false, Readiness::Broken) => broken(name, instance),
        (false, _) => Decision::Wait(HomeWait::Backups { instance: name.to_owned(), status: instance.status.clone() }),
    }
}

/// Whether an instance replicates the one of this name. RDS names a source in another Region by its ARN.
fn replicates(instance: &Instance, name: &str) -> bool {
    instance.source.as_deref().is_some_and(|source| source.rsplit(':').next() == Some(name))
}

/// A replica needs a day's backups, else a drill cannot promote a copy of it.
fn replica_retention(memory: &Memory, database: &Database) -> u32 {
    memory.replicas.get(&database.name).map_or(1, |shape| shape.backup_retention).clamp(1, 35)
}

fn act(due: HomeMove) -> HomeDue {
    Decision::Act(vec![due])
}

fn broken(name: &str, instance: &Instance) -> HomeDue {
    Decision::Refuse(HomeRefusal::Broken { instance: name.to_owned(), status: instance.status.clone() })
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HomeWait {
    Busy(Busy),
    After(After),
    Renaming { from: String, to: String },
    NotReplicating { instance: String, status: String },
    Held { by: String, until: Timestamp },
    Unanswered { instance: String },
    Promoting { instance: String, status: String },
    Backups { instance: String, status: String },
    Parameters { instance: String, group: String },
    Closed { instance: String, group: String },
}

impl fmt::Display for HomeWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HomeWait::Busy(busy) => write!(f, "{busy}"),
            HomeWait::After(after) => write!(f, "{after}"),
            HomeWait::Renaming { from, to } => write!(f, "{from} is being renamed to {to}"),
            HomeWait::NotReplicating { instance, status } if status.is_empty() => write!(f, "{instance} does not replicate yet"),
            HomeWait::NotReplicating { instance, status } => {
                write!(f, "the replication of {instance} is {status}; where that does not pass, look at the instance's events")
            }
            HomeWait::Held { by, until } => write!(f, "{by} holds it until {until}; `release` ends that"),
            HomeWait::Unanswered { instance } => {
                write!(f, "the call that promotes {instance} got no answer; it is sent again only if the replica stays untouched for 60 s")
            }
            HomeWait::Promoting { instance, status } => write!(f, "{instance} is being promoted, it is {status}"),
            HomeWait::Backups { instance, status } => write!(f, "backups of {instance} are being turned on, it is {status}"),
            HomeWait::Closed { instance, group } => {
                write!(f, "{instance} is built again once parameter group {group} closes no writes any more, which rotate-secret sees to")
            }
            HomeWait::Parameters { instance, group } => write!(f, "parameter group {group} comes into force on {instance}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HomeRefusal {
    #[error(
        "there is no instance {instance} any more; `stand-down` gives the way home up while nothing is promoted, and the next one builds it again"
    )]
    Gone { instance: String },
    #[error("{instance} is {status}, which does not pass by itself; mend it, and Relight goes on from there")]
    Broken { instance: String, status: String },
    #[error("{instance} is not the replica that belongs there (its source is {}); rename or remove it, and Relight goes on from there", of.as_deref().unwrap_or("none"))]
    NotOurs { instance: String, of: Option<String> },
    #[error(
        "{instance} names parameter group {group}, which is {status} and not in force; mend the group or restart the instance by hand, and Relight goes on from there"
    )]
    NotInForce { instance: String, group: String, status: String },
    #[error("the standby Region has no {instance} to build a replica like; create it as a replica of {of}, and Relight goes on from there")]
    NoWriter { instance: String, of: String },
}

#[cfg(test)]
mod tests;
