//! Compute of the standby Region: ECS services with their scalable targets, and EC2 Auto Scaling groups.
//!
//! Reads answer for each resource by itself, so that a cluster that may not be read does not hide the others. A [`Resize`]
//! says what shall be, never by how much more, so that it may be sent twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::CallError;
use crate::plan::{self, Bounds, InstancesDistribution, ProviderShare};

#[allow(async_fn_in_trait)] // Static dispatch on one thread: nobody needs the future to be Send.
pub trait Compute {
    /// Each service as it stands, with its bounds.
    async fn services(&self, names: &[ServiceName]) -> Found<ServiceName, ServiceState>;

    /// Each group as it stands.
    async fn groups(&self, names: &[GroupName]) -> Found<GroupName, GroupState>;

    /// Why the group's last launch failed, where it did: a launch that fails does so after the call that asked for it.
    async fn failed_launch(&self, group: &GroupName) -> Result<Option<Setback>, CallError>;

    /// The capacity providers that services of a cluster may use; `None` where the standby Region has no such cluster.
    async fn capacity_providers(&self, cluster: &str) -> Result<Option<BTreeSet<String>>, CallError>;

    /// Brings one resource to a size. AWS takes the call at once and is then at work for a while.
    async fn resize(&self, resize: &Resize) -> Result<(), CallError>;
}

/// What a read found, for each name that was asked for: `None` where the standby Region has no such thing. The error is
/// shared by all that one call was to answer for.
pub type Found<N, S> = BTreeMap<N, Result<Option<S>, Arc<CallError>>>;

/// One call that changes sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resize {
    /// Both bounds of a service's scalable target: leaving one out would still move the count into what is left.
    Bounds { service: ServiceName, bounds: Bounds },
    /// Count and strategy of a service; what is absent stays. A strategy comes with a forced deployment, without which ECS
    /// refuses it; an empty one goes back to the launch type.
    Service { service: ServiceName, desired: Option<u32>, capacity_providers: Option<Vec<ProviderShare>> },
    /// Sizes of a group, and, where given, the two numbers of its mixed instances policy that say how much is On-Demand. The
    /// rest of the policy stays as it is.
    Group { group: GroupName, min: u32, desired: u32, max: u32, instances: Option<InstancesDistribution> },
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resize::Bounds { bounds, .. } => write!(f, "bounds {} to {}", bounds.min, bounds.max),
            Resize::Service { desired, capacity_providers, .. } => {
                if let Some(desired) = desired {
                    write!(f, "{desired} task(s)")?;
                }
                let Some(strategy) = capacity_providers else { return Ok(()) };
                let between = if desired.is_some() { ", " } else { "" };
                let shares: Vec<String> = strategy.iter().map(|share| format!("{} {}", share.weight, share.provider)).collect();
                match shares.is_empty() {
                    true => write!(f, "{between}the launch type in a new deployment"),
                    false => write!(f, "{between}{} in a new deployment", shares.join(" : ")),
                }
            }
            Resize::Group { min, desired, max, instances, .. } => {
                write!(f, "{desired} instance(s) within {min} to {max}")?;
                let Some(InstancesDistribution { on_demand_base, on_demand_percentage_above_base }) = instances else { return Ok(()) };
                write!(f, ", {on_demand_base} and {on_demand_percentage_above_base} % above it On-Demand")
            }
        }
    }
}

/// An ECS service of the standby Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceName {
    pub cluster: String,
    pub name: String,
}

impl ServiceName {
    pub fn of(service: &plan::Service) -> ServiceName {
        ServiceName { cluster: service.cluster.clone(), name: service.name.clone() }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.name)
    }
}

/// An EC2 Auto Scaling group of the standby Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupName(pub String);

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A service, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceState {
    pub desired: u32,
    pub running: u32,
    pub pending: u32,
    /// Exactly one while nothing is being rolled out.
    pub deployments: usize,
    pub rollout: Rollout,
    /// Empty where the service has a launch type instead.
    pub capacity_providers: Vec<ProviderShare>,
    /// Bounds of its scalable target; `None` where Application Auto Scaling does not manage it.
    pub scaling: Option<Bounds>,
    /// The last event that says that a task found no place, unless a steady state came after it.
    pub setback: Option<Setback>,
}

impl ServiceState {
    /// Whether it runs all that it should and nothing is being exchanged. A rollout alone would not tell: it stays
    /// completed while only the count changes.
    pub fn is_steady(&self) -> bool {
        self.deployments == 1 && self.running == self.desired
    }

    pub fn has_strategy(&self, strategy: &[ProviderShare]) -> bool {
        sorted(&self.capacity_providers) == sorted(strategy)
    }
}

/// ECS gives a strategy back in any order.
fn sorted(strategy: &[ProviderShare]) -> BTreeSet<&ProviderShare> {
    strategy.iter().collect()
}

/// How the newest deployment stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Rollout {
    #[default]
    Completed,
    InProgress,
    /// ECS has given up and launches nothing more; with why.
    Failed(String),
}

/// What kept something from running, as AWS said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setback {
    pub at: Timestamp,
    pub said: String,
}

/// A group, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GroupState {
    pub min: u32,
    pub desired: u32,
    pub max: u32,
    /// `None` where it has no mixed instances policy.
    pub instances: Option<InstancesDistribution>,
    /// Capacity in service, in the group's own unit: instances, or their weights.
    pub in_service: u32,
    /// The greatest weight of an instance in service: by less than it a group with weights may exceed what is desired.
    pub heaviest: u32,
    /// Processes that somebody, or AWS after a day of failed launches, has suspended.
    pub suspended: BTreeSet<String>,
}
