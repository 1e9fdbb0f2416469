//! Up to the active size, and never down.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Due, Reach, Refusal, WaitingOn, group_resizes};
use crate::decide::Decision;
use crate::plan::{Bounds, Group, InstancesDistribution, Service};
use crate::ports::{GroupName, GroupState, Resize, Rollout, ServiceName, ServiceState, Setback};

/// Without these a group launches nothing, or launches what no user ever reaches: instances of that time are not added to
/// the load balancer when the process is resumed. So nothing is raised before.
const NEEDED: [&str; 2] = ["Launch", "AddToLoadBalancer"];

/// What a resource is wanted to run, and what is due for that.
#[derive(Debug, Clone, PartialEq)]
pub struct Raise {
    pub wanted: u32,
    pub due: Due,
}

/// What is due for a service. `since`: when it was first asked for; an older setback says nothing about it.
pub fn raise_service(service: &Service, state: Option<&ServiceState>, reach: Reach, since: Option<Timestamp>) -> Raise {
    let name = ServiceName::of(service);
    let Some(state) = state else { return Raise { wanted: service.desired, due: Decision::Refuse(Refusal::NoService(name)) } };

    let bounds = state.scaling.map(|is| raised_bounds(service, is));
    let settled = bounds.is_some() && bounds == state.scaling;
    let wanted = match (reach, service.scaling) {
        (Reach::Kept, Some(plan)) if settled => plan.min.min(service.desired),
        _ => service.desired,
    };
    let mut resizes = Vec::new();
    // Bounds first: Auto Scaling pulls a count back that is outside of them.
    if let Some(bounds) = bounds.filter(|_| !settled) {
        resizes.push(Resize::Bounds { service: name.clone(), bounds });
    }
    let desired = (state.desired < wanted).then_some(wanted);
    let churn = reach != Reach::Cheap && !service.capacity_providers.is_empty() && !state.has_strategy(&service.capacity_providers);
    if desired.is_some() || churn {
        let capacity_providers = churn.then(|| service.capacity_providers.clone());
        resizes.push(Resize::Service { service: name.clone(), desired, capacity_providers });
    }

    let due = if !resizes.is_empty() {
        Decision::Act(resizes)
    } else if service.scaling.is_some() && state.scaling.is_none() {
        Decision::Refuse(Refusal::NoScalableTarget(name))
    } else if state.is_steady() {
        Decision::Done
    } else if let Rollout::Failed(why) = &state.rollout {
        Decision::Refuse(Refusal::DeploymentFailed { service: name, why: why.clone() })
    } else {
        let setback = state.setback.clone().filter(|setback| since.is_some_and(|since| setback.at >= since));
        Decision::Wait(WaitingOn::Tasks { running: state.running, desired: state.desired, deployments: state.deployments, setback })
    };
    Raise { wanted, due }
}

/// Where the plan gives no bounds and the service has some, they make room for the count.
fn raised_bounds(service: &Service, is: Bounds) -> Bounds {
    let plan = service.scaling.unwrap_or(Bounds { min: service.desired, max: service.desired });
    Bounds { min: is.min.max(plan.min), max: is.max.max(plan.max) }
}

/// What is due for a group. `setback` is its last failed launch.
pub fn raise_group(group: &Group, state: Option<&GroupState>, reach: Reach, since: Option<Timestamp>, setback: Option<Setback>) -> Raise {
    let name = GroupName(group.name.clone());
    let Some(state) = state else { return Raise { wanted: group.desired, due: Decision::Refuse(Refusal::NoGroup(name)) } };

    let settled = state.min >= group.min && state.max >= group.max;
    let wanted = if reach == Reach::Kept && settled { group.min.min(group.desired) } else { group.desired };
    let desired = state.desired.max(wanted);
    let (min, max) = (state.min.max(group.min), state.max.max(group.max).max(desired));
    let wants_on_demand = group.instances.filter(|_| reach != Reach::Cheap);
    let instances = wants_on_demand.zip(state.instances).map(|(plan, is)| more_on_demand(plan, is)).filter(|raised| Some(*raised) != state.instances);

    let resizes = group_resizes(&name, state, (min, desired, max), instances);
    let processes: BTreeSet<String> = NEEDED.into_iter().filter(|process| state.suspended.contains(*process)).map(str::to_owned).collect();
    let due = if !processes.is_empty() {
        Decision::Refuse(Refusal::Suspended { group: name, processes })
    } else if !resizes.is_empty() {
        Decision::Act(resizes)
    } else if wants_on_demand.is_some() && state.instances.is_none() {
        Decision::Refuse(Refusal::NoMixedInstances(name))
    } else if state.in_service >= wanted {
        Decision::Done
    } else {
        let setback = setback.filter(|setback| since.is_some_and(|since| setback.at >= since));
        Decision::Wait(WaitingOn::Instances { in_service: state.in_service, wanted, setback })
    };
    Raise { wanted, due }
}

fn more_on_demand(plan: InstancesDistribution, is: InstancesDistribution) -> InstancesDistribution {
    InstancesDistribution {
        on_demand_base: is.on_demand_base.max(plan.on_demand_base),
        on_demand_percentage_above_base: is.on_demand_percentage_above_base.max(plan.on_demand_percentage_above_base),
    }
}
