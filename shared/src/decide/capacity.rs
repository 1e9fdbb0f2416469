//! How far capacity is brought, and when and how exactly it is given back.
//!
//! ```text
//! Suspected              counts and bounds: cheap, undone easily
//! Confirmed, Activating  and what churns: Spot to On-Demand, forced deployments
//! the standby serves     kept, on every tick
//! a failback until home  kept: its standby serves
//! StoodDown, Restoring   the baseline, exactly; or an obligation past its deadline
//! ```
//!
//! Activation never lowers anything; restoring lowers to what the baseline says, even to nothing.

mod raise;
mod restore;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::Decision;
use crate::plan::InstancesDistribution;
use crate::ports::{GroupName, GroupState, Resize, ServiceName, ServiceState, Setback};
use crate::run::{Mode, Phase};
use crate::state::{Baseline, Obligation, Owed, Place, Snapshot};

pub use raise::{Raise, raise_group, raise_service};
pub use restore::{Patience, restore_group, restore_service};

/// What is due for one resource.
pub type Due = Decision<Resize, WaitingOn, Refusal>;

/// How far capacity is brought now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Counts and bounds.
    Cheap,
    /// And what churns.
    Whole,
    /// As [`Reach::Whole`], but the run is over: a count that Auto Scaling has chosen within the plan's bounds is its own.
    /// Without this the two would pull at the count every minute for as long as the standby serves.
    Kept,
}

/// How far capacity is brought now; `None`: not at all.
pub fn reach(snapshot: &Snapshot) -> Option<Reach> {
    match snapshot.phase() {
        Some((Mode::Failover, Phase::Suspected)) => Some(Reach::Cheap),
        Some((Mode::Failover, Phase::Confirmed | Phase::Activating) | (Mode::Drill, Phase::Activating | Phase::Holding)) => Some(Reach::Whole),
        Some((Mode::Failback, _)) | None => (snapshot.head.serving == Place::Standby).then_some(Reach::Kept),
        Some(_) => None,
    }
}

/// Capacity may be lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lower;

/// Whether capacity is to be lowered now.
pub fn lowering(snapshot: &Snapshot, now: Timestamp) -> Decision<Lower, WaitingOn, Refusal> {
    let undoing = is_undone(snapshot);
    let late = snapshot.head.open_run().is_none()
        && snapshot.head.serving == Place::Primary
        && snapshot.obligations.values().any(|owed| owed.what == Owed::Capacity && now >= owed.deadline);
    let traffic = &snapshot.progress.traffic;
    if !undoing && !late {
        return Decision::Done;
    }
    if snapshot.head.serving == Place::Standby {
        return Decision::Refuse(Refusal::StandbyServes);
    }
    // What users are served with stays until they are gone. A drill moves nobody.
    let failover = snapshot.phase() == Some((Mode::Failover, Phase::StoodDown));
    if failover && traffic.stop_asked_at.is_some() && traffic.released_at.is_none() {
        return Decision::Wait(WaitingOn::Stop);
    }
    if failover && traffic.users_at == Some(Place::Standby) {
        return Decision::Wait(WaitingOn::Users);
    }
    Decision::Act(vec![Lower])
}

/// Whether the open run is being undone.
pub fn is_undone(snapshot: &Snapshot) -> bool {
    matches!(snapshot.phase(), Some((Mode::Failover, Phase::StoodDown) | (Mode::Drill | Mode::Failback, Phase::Restoring)))
}

/// Disposable things that are to go now. They never sleep: neither an open failover nor a serving standby needs them.
pub fn disposable(snapshot: &Snapshot, now: Timestamp) -> Vec<&Obligation> {
    let undone = is_undone(snapshot);
    let due = |owed: &&Obligation| owed.what != Owed::Capacity && (undone || now >= owed.deadline);
    snapshot.obligations.values().filter(due).collect()
}

/// How often, in peace, what carries a drill's tag and nobody owes is looked for.
pub const SWEEP_EVERY: SignedDuration = SignedDuration::from_hours(6);

/// Whether such a look is due, with no run open: the journal may have lost what it owed, or a call that made a copy may have come
/// after the drill. A time in the future is a clock that jumped.
pub fn sweep_due(snapshot: &Snapshot, now: Timestamp) -> bool {
    let lately = |at: Timestamp| (SignedDuration::ZERO..SWEEP_EVERY).contains(&now.duration_since(at));
    snapshot.head.open_run().is_none() && !snapshot.memory.swept_at.is_some_and(lately)
}

/// What a service looks like now, to be restored later.
pub fn service_baseline(name: &ServiceName, state: &ServiceState) -> Baseline {
    Baseline::Service {
        cluster: name.cluster.clone(),
        name: name.name.clone(),
        desired: state.desired,
        scaling: state.scaling,
        capacity_providers: state.capacity_providers.clone(),
    }
}

/// What a group looks like now, to be restored later.
pub fn group_baseline(name: &GroupName, state: &GroupState) -> Baseline {
    Baseline::Group { name: name.0.clone(), min: state.min, desired: state.desired, max: state.max, instances: state.instances }
}

/// The calls that bring a group to its sizes, and its policy to `instances` where it is to change. They are two: a policy
/// that may not be sent (it names a launch template, which needs rights of its own) must not hold the sizes up.
fn group_resizes(group: &GroupName, state: &GroupState, sizes: (u32, u32, u32), instances: Option<InstancesDistribution>) -> Vec<Resize> {
    let (min, desired, max) = sizes;
    let resize = |instances| Resize::Group { group: group.clone(), min, desired, max, instances };
    let sizes_differ = sizes != (state.min, state.desired, state.max);
    sizes_differ.then(|| resize(None)).into_iter().chain(instances.map(|instances| resize(Some(instances)))).collect()
}

/// What AWS has under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitingOn {
    Tasks {
        running: u32,
        desired: u32,
        deployments: usize,
        setback: Option<Setback>,
    },
    Instances {
        in_service: u32,
        wanted: u32,
        setback: Option<Setback>,
    },
    /// More runs than the baseline.
    Surplus {
        running: u32,
        baseline: u32,
    },
    /// switch-traffic takes STOP away first.
    Stop,
    /// Users' name still leads here.
    Users,
}

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitingOn::Tasks { running, desired, deployments, setback } => {
                write!(f, "{running} of {desired} task(s) run")?;
                if *deployments > 1 {
                    write!(f, ", {deployments} deployments are under way")?;
                }
                setback.iter().try_for_each(|setback| write!(f, "; ECS says: {}", setback.said))
            }
            WaitingOn::Instances { in_service, wanted, setback } => {
                write!(f, "{in_service} of {wanted} instance(s) are in service")?;
                setback.iter().try_for_each(|setback| write!(f, "; Auto Scaling says: {}", setback.said))
            }
            WaitingOn::Surplus { running, baseline } => write!(f, "{running} still run, the baseline is {baseline}"),
            WaitingOn::Stop => f.write_str("capacity stays until switch-traffic has taken STOP away: users are sent here by it"),
            WaitingOn::Users => f.write_str("capacity stays while users' DNS answers the standby; `failover` keeps them here for good"),
        }
    }
}

/// What a person must do first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    NoService(ServiceName),
    NoGroup(GroupName),
    NoScalableTarget(ServiceName),
    DeploymentFailed { service: ServiceName, why: String },
    Suspended { group: GroupName, processes: BTreeSet<String> },
    NoMixedInstances(GroupName),
    StandbyServes,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoService(service) => {
                write!(f, "the standby Region has no ECS service {service}; deploy it there, or take it out of the plan")
            }
            Refusal::NoGroup(group) => {
                write!(f, "the standby Region has no Auto Scaling group {group}; create it there, or take it out of the plan")
            }
            Refusal::NoScalableTarget(service) => {
                write!(f, "{service} has no scalable target to set bounds of; register one, or take `scaling` out of the plan")
            }
            Refusal::DeploymentFailed { service, why } => {
                write!(f, "the deployment of {service} failed and ECS launches nothing more ({why}); deploy a revision that starts")
            }
            Refusal::Suspended { group, processes } => {
                let processes = processes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
                write!(
                    f,
                    "{group} has suspended {processes}; `aws autoscaling resume-processes --auto-scaling-group-name {group} --scaling-processes {processes}` resumes"
                )
            }
            Refusal::NoMixedInstances(group) => {
                write!(f, "{group} has no mixed instances policy to change; give it one, or take `instances` out of the plan")
            }
            Refusal::StandbyServes => f.write_str("capacity is not lowered while the standby serves; bring traffic home first"),
        }
    }
}
