//! EC2 Auto Scaling groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, InstancesDistribution as Distribution, LaunchTemplateSpecification, LifecycleState, MixedInstancesPolicy,
    ScalingActivityStatusCode,
};
use futures_util::future::join_all;

use super::{count, size, time};
use crate::aws::failed;
use crate::plan::InstancesDistribution;
use crate::ports::{CallError, Found, GroupName, GroupState, Setback, Why};

const DESCRIBE: &str = "autoscaling:DescribeAutoScalingGroups";
const ACTIVITIES: &str = "autoscaling:DescribeScalingActivities";
const UPDATE: &str = "autoscaling:UpdateAutoScalingGroup";
/// As many names as one call takes by default.
const BATCH: usize = 50;

#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) min: u32,
    pub(super) desired: u32,
    pub(super) max: u32,
}

pub(super) async fn read(client: &Client, names: &[GroupName]) -> Found<GroupName, GroupState> {
    let batches = names.chunks(BATCH).map(async |batch| {
        let answer = describe(client, batch).await.map_err(Arc::new);
        let one = |name: &GroupName| {
            let state = answer.as_ref().map(|groups| groups.get(&name.0).and_then(state)).map_err(Arc::clone);
            (name.clone(), state)
        };
        batch.iter().map(one).collect::<Vec<_>>()
    });
    join_all(batches).await.into_iter().flatten().collect()
}

/// The groups that there are, by name. Groups without instances, or deleted, are simply not listed.
async fn describe(client: &Client, names: &[GroupName]) -> Result<BTreeMap<String, AutoScalingGroup>, CallError> {
    let names = names.iter().map(|name| name.0.clone()).collect();
    let pages = client.describe_auto_scaling_groups().set_auto_scaling_group_names(Some(names)).into_paginator().items().send();
    let groups = pages.try_collect().await.map_err(failed(DESCRIBE))?;
    Ok(groups.into_iter().filter_map(|group| Some((group.auto_scaling_group_name.clone()?, group))).collect())
}

/// A group with a status is being deleted.
fn state(group: &AutoScalingGroup) -> Option<GroupState> {
    if group.status().is_some() {
        return None;
    }
    let weight =
        |instance: &&aws_sdk_autoscaling::types::Instance| instance.weighted_capacity().and_then(|weight| weight.parse().ok()).unwrap_or(1u32);
    let in_service = group.instances().iter().filter(|instance| instance.lifecycle_state() == Some(&LifecycleState::InService));
    let distribution = group.mixed_instances_policy().map(|policy| {
        let held = policy.instances_distribution();
        InstancesDistribution {
            on_demand_base: count(held.and_then(Distribution::on_demand_base_capacity).unwrap_or(0)),
            on_demand_percentage_above_base: count(held.and_then(Distribution::on_demand_percentage_above_base_capacity).unwrap_or(100)),
        }
    });
    Some(GroupState {
        min: count(group.min_size().unwrap_or(0)),
        desired: count(group.desired_capacity().unwrap_or(0)),
        max: count(group.max_size().unwrap_or(0)),
        instances: distribution,
        in_service: in_service.clone().map(|instance| weight(&instance)).sum(),
        heaviest: in_service.map(|instance| weight(&instance)).max().unwrap_or(1),
        suspended: group.suspended_processes().iter().filter_map(|process| process.process_name().map(str::to_owned)).collect(),
    })
}

/// The newest activity that has ended, where it failed.
pub(super) async fn failed_launch(client: &Client, group: &GroupName) -> Result<Option<Setback>, CallError> {
    let answer = client.describe_scaling_activities().auto_scaling_group_name(&group.0).max_records(20).send().await.map_err(failed(ACTIVITIES))?;
    let ended = answer.activities().iter().find(|activity| {
        matches!(
            activity.status_code(),
            Some(ScalingActivityStatusCode::Failed | ScalingActivityStatusCode::Cancelled | ScalingActivityStatusCode::Successful)
        )
    });
    Ok(ended.filter(|activity| activity.status_code() != Some(&ScalingActivityStatusCode::Successful)).and_then(|activity| {
        let said = activity.status_message().or(activity.description())?;
        Some(Setback { at: time(activity.start_time())?, said: said.to_owned() })
    }))
}

/// Sets sizes, all three, and of the policy what changes. The policy is read right before it is sent back: an update that
/// brings a policy may replace what it leaves out.
pub(super) async fn set(client: &Client, group: &GroupName, sizes: Sizes, instances: Option<InstancesDistribution>) -> Result<(), CallError> {
    let policy = match instances {
        None => None,
        Some(instances) => Some(changed_policy(client, group, instances).await?),
    };
    let call = client
        .update_auto_scaling_group()
        .auto_scaling_group_name(&group.0)
        .min_size(size(sizes.min))
        .max_size(size(sizes.max))
        .desired_capacity(size(sizes.desired))
        .set_mixed_instances_policy(policy);
    call.send().await.map(drop).map_err(failed(UPDATE))
}

async fn changed_policy(client: &Client, group: &GroupName, instances: InstancesDistribution) -> Result<MixedInstancesPolicy, CallError> {
    let held = describe(client, std::slice::from_ref(group)).await?.remove(&group.0);
    let missing = || CallError::new(UPDATE, Why::NotFound(format!("the mixed instances policy of {group}")));
    let mut policy = held.and_then(|held| held.mixed_instances_policy).ok_or_else(missing)?;
    let mut distribution = policy.instances_distribution.unwrap_or_else(|| Distribution::builder().build());
    distribution.on_demand_base_capacity = Some(size(instances.on_demand_base));
    distribution.on_demand_percentage_above_base_capacity = Some(size(instances.on_demand_percentage_above_base));
    policy.instances_distribution = Some(distribution);
    // A description names a launch template by id and by name; an update refuses both at once.
    if let Some(template) = &mut policy.launch_template {
        template.launch_template_specification.iter_mut().for_each(by_id_alone);
        template.overrides.iter_mut().flatten().filter_map(|one| one.launch_template_specification.as_mut()).for_each(by_id_alone);
    }
    Ok(policy)
}

fn by_id_alone(template: &mut LaunchTemplateSpecification) {
    if template.launch_template_id.is_some() {
        template.launch_template_name = None;
    }
}
