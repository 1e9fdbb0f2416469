//! Compute over ECS, Application Auto Scaling and EC2 Auto Scaling, all in the standby Region.
//!
//! ```text
//! services   DescribeServices, ten a call and cluster ─┐ side by side
//!            DescribeScalableTargets, fifty a call ────┴─► a service and its bounds
//! groups     DescribeAutoScalingGroups, paged
//! ```

mod groups;
mod services;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::Aws;
use crate::ports::{CallError, Compute, Found, GroupName, GroupState, Resize, ServiceName, ServiceState, Setback};

#[derive(Debug)]
pub struct AwsCompute {
    aws: Aws,
    ecs: OnceLock<aws_sdk_ecs::Client>,
    targets: OnceLock<aws_sdk_applicationautoscaling::Client>,
    groups: OnceLock<aws_sdk_autoscaling::Client>,
}

impl AwsCompute {
    pub fn new(aws: &Aws) -> AwsCompute {
        AwsCompute { aws: aws.clone(), ecs: OnceLock::new(), targets: OnceLock::new(), groups: OnceLock::new() }
    }

    fn ecs(&self) -> &aws_sdk_ecs::Client {
        self.ecs.get_or_init(|| {
            let config = aws_sdk_ecs::config::Builder::from(self.aws.standby()).interceptor(self.aws.counter()).build();
            aws_sdk_ecs::Client::from_conf(config)
        })
    }

    fn targets(&self) -> &aws_sdk_applicationautoscaling::Client {
        self.targets.get_or_init(|| {
            let config = aws_sdk_applicationautoscaling::config::Builder::from(self.aws.standby()).interceptor(self.aws.counter()).build();
            aws_sdk_applicationautoscaling::Client::from_conf(config)
        })
    }

    fn auto_scaling(&self) -> &aws_sdk_autoscaling::Client {
        self.groups.get_or_init(|| {
            let config = aws_sdk_autoscaling::config::Builder::from(self.aws.standby()).interceptor(self.aws.counter()).build();
            aws_sdk_autoscaling::Client::from_conf(config)
        })
    }
}

impl Compute for AwsCompute {
    async fn services(&self, names: &[ServiceName]) -> Found<ServiceName, ServiceState> {
        if names.is_empty() {
            return Found::new();
        }
        let (services, bounds) = tokio::join!(services::read(self.ecs(), names), targets::read(self.targets(), names));
        // A service whose bounds are unknown is unknown: without them its baseline would be wrong.
        let with_bounds = |name: ServiceName, state: Option<ServiceState>| {
            let scaling = bounds.get(&name).cloned().unwrap_or(Ok(None));
            let state = scaling.map(|scaling| state.map(|state| ServiceState { scaling, ..state }));
            (name, state)
        };
        let merge = |(name, state)| match state {
            Ok(state) => with_bounds(name, state),
            Err(error) => (name, Err(error)),
        };
        services.into_iter().map(merge).collect()
    }

    async fn groups(&self, names: &[GroupName]) -> Found<GroupName, GroupState> {
        if names.is_empty() {
            return Found::new();
        }
        groups::read(self.auto_scaling(), names).await
    }

    async fn failed_launch(&self, group: &GroupName) -> Result<Option<Setback>, CallError> {
        groups::failed_launch(self.auto_scaling(), group).await
    }

    async fn capacity_providers(&self, cluster: &str) -> Result<Option<BTreeSet<String>>, CallError> {
        services::capacity_providers(self.ecs(), cluster).await
    }

    async fn resize(&self, resize: &Resize) -> Result<(), CallError> {
        match resize {
            Resize::Bounds { service, bounds } => targets::set(self.targets(), service, *bounds).await,
            Resize::Service { service, desired, capacity_providers } => {
                services::set(self.ecs(), service, *desired, capacity_providers.as_deref()).await
            }
            Resize::Group { group, min, desired, max, instances } => {
                groups::set(self.auto_scaling(), group, groups::Sizes { min: *min, desired: *desired, max: *max }, *instances).await
            }
        }
    }
}

/// AWS counts in signed numbers, none of which is negative here.
fn count(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// A plan's count for AWS; one beyond its range could run nowhere.
fn size(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn time(at: Option<&aws_smithy_types::DateTime>) -> Option<jiff::Timestamp> {
    let at = at?;
    jiff::Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}
