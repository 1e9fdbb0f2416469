//! ECS, Application Auto Scaling and EC2 Auto Scaling in memory.
//!
//! ```text
//! more tasks       20 s pending ─► running          more instances    40 s launching ─► in service
//! fewer tasks      10 s ─► gone                     fewer instances   20 s ─► gone
//! a deployment     30 s with two deployments        a lack of capacity   nothing comes, and why is said
//! ```
//!
//! A count outside of its scalable target's bounds is pulled back into them, as Auto Scaling does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use relight::clock::Clock;
use relight::plan::{Bounds, InstancesDistribution, Plan, ProviderShare};
use relight::ports::{CallError, Compute, Found, GroupName, GroupState, Resize, Rollout, ServiceName, ServiceState, Setback, Why};
use relight::state::Place;

use crate::Calls;

const TASK_STARTS: SignedDuration = SignedDuration::from_secs(20);
const TASK_STOPS: SignedDuration = SignedDuration::from_secs(10);
const DEPLOYMENT: SignedDuration = SignedDuration::from_secs(30);
const INSTANCE_STARTS: SignedDuration = SignedDuration::from_secs(40);
const INSTANCE_STOPS: SignedDuration = SignedDuration::from_secs(20);

/// A service, and what it is on the way to.
#[derive(Debug, Clone)]
struct HeldService {
    state: ServiceState,
    /// When the running count follows the desired one, as asked for last.
    counts: Option<Timestamp>,
    deployed: Option<Timestamp>,
    /// At most so many tasks find a place.
    room: u32,
}

#[derive(Debug, Clone)]
struct HeldGroup {
    state: GroupState,
    counts: Option<Timestamp>,
    room: u32,
    setback: Option<Setback>,
}

#[derive(Debug, Default)]
struct Region {
    services: BTreeMap<ServiceName, HeldService>,
    groups: BTreeMap<GroupName, HeldGroup>,
    policies_forbidden: bool,
    /// Capacity providers of each cluster.
    providers: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone)]
pub struct ComputeWorld {
    calls: Calls,
    clock: Clock,
    region: Rc<RefCell<Region>>,
}

impl ComputeWorld {
    /// A pilot light of everything in the plan: one Spot task each, one Spot instance each.
    pub fn of(plan: &Plan, calls: Calls, clock: Clock) -> ComputeWorld {
        let mut region = Region::default();
        for service in &plan.services {
            let providers = region.providers.entry(service.cluster.clone()).or_default();
            providers.extend(["FARGATE", "FARGATE_SPOT"].map(str::to_owned));
            providers.extend(service.capacity_providers.iter().map(|share| share.provider.clone()));
            let state = ServiceState {
                desired: 1,
                running: 1,
                deployments: 1,
                capacity_providers: vec![ProviderShare { provider: "FARGATE_SPOT".to_owned(), weight: 1, base: 0 }],
                scaling: service.scaling.map(|_| Bounds { min: 1, max: 2 }),
                ..ServiceState::default()
            };
            region.services.insert(ServiceName::of(service), HeldService { state, counts: None, deployed: None, room: u32::MAX });
        }
        for group in &plan.groups {
            let state = GroupState {
                min: 0,
                desired: 1,
                max: 2,
                instances: group.instances.map(|_| InstancesDistribution { on_demand_base: 0, on_demand_percentage_above_base: 0 }),
                in_service: 1,
                heaviest: 1,
                ..GroupState::default()
            };
            region.groups.insert(GroupName(group.name.clone()), HeldGroup { state, counts: None, room: u32::MAX, setback: None });
        }
        ComputeWorld { calls, clock, region: Rc::new(RefCell::new(region)) }
    }

    /// A service as it stands.
    pub fn service(&self, cluster: &str, name: &str) -> Option<ServiceState> {
        self.settle();
        self.region.borrow().services.get(&service_name(cluster, name)).map(|held| held.state.clone())
    }

    /// A group as it stands.
    pub fn group(&self, name: &str) -> Option<GroupState> {
        self.settle();
        self.region.borrow().groups.get(&GroupName(name.to_owned())).map(|held| held.state.clone())
    }

    /// Changes a service as somebody else would have, at once.
    pub fn change_service(&self, cluster: &str, name: &str, change: impl FnOnce(&mut ServiceState)) {
        self.settle();
        change(&mut self.region.borrow_mut().services.get_mut(&service_name(cluster, name)).expect("the world has the service").state);
    }

    /// Changes a group as somebody else would have, at once.
    pub fn change_group(&self, name: &str, change: impl FnOnce(&mut GroupState)) {
        self.settle();
        change(&mut self.region.borrow_mut().groups.get_mut(&GroupName(name.to_owned())).expect("the world has the group").state);
    }

    pub fn create_group(&self, name: &str, state: GroupState) {
        let held = HeldGroup { state, counts: None, room: u32::MAX, setback: None };
        self.region.borrow_mut().groups.insert(GroupName(name.to_owned()), held);
    }

    pub fn lose_service(&self, cluster: &str, name: &str) {
        self.region.borrow_mut().services.remove(&service_name(cluster, name));
    }

    pub fn lose_group(&self, name: &str) {
        self.region.borrow_mut().groups.remove(&GroupName(name.to_owned()));
    }

    /// Takes a capacity provider off a cluster.
    pub fn lose_provider(&self, cluster: &str, provider: &str) {
        self.region.borrow_mut().providers.entry(cluster.to_owned()).or_default().remove(provider);
    }

    /// The group's last launch failed, and nothing was launched since.
    pub fn fail_launch(&self, group: &str, said: &str) {
        let setback = Setback { at: self.clock.now(), said: said.to_owned() };
        self.region.borrow_mut().groups.get_mut(&GroupName(group.to_owned())).expect("the world has the group").setback = Some(setback);
    }

    /// From now on so many tasks of a service find a place, and no more; `None`: as many as it likes.
    pub fn room_for_tasks(&self, cluster: &str, name: &str, room: Option<u32>) {
        self.settle();
        let now = self.clock.now();
        let mut region = self.region.borrow_mut();
        let held = region.services.get_mut(&service_name(cluster, name)).expect("the world has the service");
        held.room = room.unwrap_or(u32::MAX);
        held.recount(now);
    }

    /// From now on so many instances of a group can be launched, and no more; `None`: as many as it likes.
    pub fn room_for_instances(&self, name: &str, room: Option<u32>) {
        self.settle();
        let now = self.clock.now();
        let mut region = self.region.borrow_mut();
        let held = region.groups.get_mut(&GroupName(name.to_owned())).expect("the world has the group");
        held.room = room.unwrap_or(u32::MAX);
        held.recount(now);
    }

    /// From now on the caller lacks the rights to a launch template, without which no mixed instances policy may be sent.
    pub fn forbid_policies(&self) {
        self.region.borrow_mut().policies_forbidden = true;
    }

    /// Lets everything happen that is due.
    fn settle(&self) {
        let now = self.clock.now();
        let mut region = self.region.borrow_mut();
        region.services.values_mut().for_each(|held| held.settle(now));
        region.groups.values_mut().for_each(|held| held.settle(now));
    }

    fn apply(&self, resize: &Resize) -> Result<(), Why> {
        let now = self.clock.now();
        let mut region = self.region.borrow_mut();
        match resize {
            Resize::Bounds { service, bounds } => {
                let held = region.services.get_mut(service).ok_or_else(|| missing("service"))?;
                held.state.scaling = Some(*bounds);
                held.recount(now);
            }
            Resize::Service { service, desired, capacity_providers } => {
                let held = region.services.get_mut(service).ok_or_else(|| missing("service"))?;
                if let Some(strategy) = capacity_providers {
                    held.state.capacity_providers.clone_from(strategy);
                    held.state.deployments = 2;
                    held.state.rollout = Rollout::InProgress;
                    held.deployed = Some(now + DEPLOYMENT);
                }
                held.state.desired = desired.unwrap_or(held.state.desired);
                held.recount(now);
            }
            Resize::Group { group, min, desired, max, instances } => {
                if instances.is_some() && region.policies_forbidden {
                    return Err(Why::Denied("AccessDenied: You are not authorized to use launch template: lt-0a1b".to_owned()));
                }
                let held = region.groups.get_mut(group).ok_or_else(|| missing("group"))?;
                if instances.is_some() && held.state.instances.is_none() {
                    return Err(Why::Other("ValidationError: the group has no mixed instances policy".to_owned(), None));
                }
                if !(min..=max).contains(&desired) {
                    return Err(Why::Other(format!("ValidationError: {desired} is not between {min} and {max}"), None));
                }
                let state = &mut held.state;
                (state.min, state.desired, state.max, state.instances) = (*min, *desired, *max, instances.or(state.instances));
                held.recount(now);
            }
        }
        Ok(())
    }
}

impl HeldService {
    fn recount(&mut self, now: Timestamp) {
        if let Some(bounds) = self.state.scaling {
            self.state.desired = self.state.desired.clamp(bounds.min, bounds.max.max(bounds.min));
        }
        let reachable = self.state.desired.min(self.room);
        let takes = if reachable > self.state.running { TASK_STARTS } else { TASK_STOPS };
        self.state.pending = reachable.saturating_sub(self.state.running);
        self.counts = (reachable != self.state.running).then_some(now + takes);
        let lacks = self.state.desired > self.room;
        self.state.setback = lacks.then(|| Setback {
            at: now,
            said: "was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a different availability zone.".to_owned(),
        });
    }

    fn settle(&mut self, now: Timestamp) {
        if self.counts.is_some_and(|at| at <= now) {
            (self.state.running, self.state.pending, self.counts) = (self.state.desired.min(self.room), 0, None);
        }
        if self.deployed.is_some_and(|at| at <= now) {
            (self.state.deployments, self.state.rollout, self.deployed) = (1, Rollout::Completed, None);
        }
    }
}

impl HeldGroup {
    fn recount(&mut self, now: Timestamp) {
        let reachable = self.state.desired.min(self.room);
        let grows = reachable > self.state.in_service;
        let takes = if grows { INSTANCE_STARTS } else { INSTANCE_STOPS };
        let stuck = self.state.suspended.contains(if grows { "Launch" } else { "Terminate" });
        self.counts = (reachable != self.state.in_service && !stuck).then_some(now + takes);
        let said = "We currently do not have sufficient capacity in the Availability Zone you requested. Launching EC2 instance failed.";
        self.setback = (self.state.desired > self.room).then(|| Setback { at: now, said: said.to_owned() });
    }

    fn settle(&mut self, now: Timestamp) {
        if self.counts.is_some_and(|at| at <= now) {
            (self.state.in_service, self.counts) = (self.state.desired.min(self.room), None);
        }
    }
}

impl Compute for ComputeWorld {
    async fn services(&self, names: &[ServiceName]) -> Found<ServiceName, ServiceState> {
        self.settle();
        let mut clusters: BTreeMap<&str, Vec<&ServiceName>> = BTreeMap::new();
        names.iter().for_each(|name| clusters.entry(&name.cluster).or_default().push(name));
        let mut found = Found::new();
        // One call a cluster answers for all of its services.
        for (cluster, names) in clusters {
            let answer = self.calls.pass("ecs:DescribeServices", Place::Standby, cluster, || Ok(())).map_err(Arc::new);
            for name in names {
                let state = || self.region.borrow().services.get(name).map(|held| held.state.clone());
                found.insert(name.clone(), answer.clone().map(|()| state()));
            }
        }
        found
    }

    async fn groups(&self, names: &[GroupName]) -> Found<GroupName, GroupState> {
        self.settle();
        if names.is_empty() {
            return Found::new();
        }
        let answer = self.calls.pass("autoscaling:DescribeAutoScalingGroups", Place::Standby, "", || Ok(())).map_err(Arc::new);
        let state = |name: &GroupName| self.region.borrow().groups.get(name).map(|held| held.state.clone());
        names.iter().map(|name| (name.clone(), answer.clone().map(|()| state(name)))).collect()
    }

    async fn failed_launch(&self, group: &GroupName) -> Result<Option<Setback>, CallError> {
        self.calls.pass("autoscaling:DescribeScalingActivities", Place::Standby, &group.0, || {
            let region = self.region.borrow();
            let held = region.groups.get(group).ok_or_else(|| Why::Other("ValidationError: Group name not found".to_owned(), None))?;
            Ok(held.setback.clone())
        })
    }

    async fn capacity_providers(&self, cluster: &str) -> Result<Option<BTreeSet<String>>, CallError> {
        self.calls.pass("ecs:DescribeClusters", Place::Standby, cluster, || Ok(self.region.borrow().providers.get(cluster).cloned()))
    }

    async fn resize(&self, resize: &Resize) -> Result<(), CallError> {
        self.settle();
        let (operation, about) = match resize {
            Resize::Bounds { service, .. } => ("application-autoscaling:RegisterScalableTarget", service.to_string()),
            Resize::Service { service, .. } => ("ecs:UpdateService", service.to_string()),
            Resize::Group { group, .. } => ("autoscaling:UpdateAutoScalingGroup", group.to_string()),
        };
        self.calls.pass(operation, Place::Standby, &about, || self.apply(resize))
    }
}

fn service_name(cluster: &str, name: &str) -> ServiceName {
    ServiceName { cluster: cluster.to_owned(), name: name.to_owned() }
}

fn missing(what: &str) -> Why {
    Why::NotFound(format!("the {what} is not there"))
}
