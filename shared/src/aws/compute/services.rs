//! ECS services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{CapacityProviderStrategyItem, Deployment, DeploymentRolloutState, Service};
use futures_util::future::join_all;

use super::{count, size, time};
use crate::aws::failed;
use crate::plan::ProviderShare;
use crate::ports::{CallError, Found, Rollout, ServiceName, ServiceState, Setback, Why};

const DESCRIBE: &str = "ecs:DescribeServices";
const CLUSTERS: &str = "ecs:DescribeClusters";
const UPDATE: &str = "ecs:UpdateService";
/// The most that one call describes.
const BATCH: usize = 10;
/// Newest first, ECS tells the story of a service in its events. These two end each other.
const NO_PLACE: &str = "unable to place a task";
const STEADY: &str = "has reached a steady state";

/// Reads services in batches, side by side, without their bounds.
pub(super) async fn read(client: &Client, names: &[ServiceName]) -> Found<ServiceName, ServiceState> {
    let mut clusters: BTreeMap<&str, Vec<&ServiceName>> = BTreeMap::new();
    names.iter().for_each(|name| clusters.entry(&name.cluster).or_default().push(name));
    let batches = clusters.values().flat_map(|names| names.chunks(BATCH)).map(|batch| describe(client, batch));
    join_all(batches).await.into_iter().flatten().collect()
}

type One = (ServiceName, Result<Option<ServiceState>, Arc<CallError>>);

/// Describes services of one cluster.
async fn describe(client: &Client, batch: &[&ServiceName]) -> Vec<One> {
    let Some(cluster) = batch.first().map(|name| &name.cluster) else { return Vec::new() };
    let names = batch.iter().map(|service| service.name.clone()).collect();
    let answer = client.describe_services().cluster(cluster).set_services(Some(names)).send().await;
    let answer = match answer {
        // A cluster that is not there has no services.
        Err(error) if error.as_service_error().is_some_and(|error| error.is_cluster_not_found_exception()) => {
            return batch.iter().map(|name| ((*name).clone(), Ok(None))).collect();
        }
        answer => answer.map_err(|error| Arc::new(failed(DESCRIBE)(error))),
    };
    let one = |name: &&ServiceName| {
        let found = answer.clone().and_then(|answer| {
            if let Some(service) = answer.services().iter().find(|service| service.service_name() == Some(name.name.as_str())) {
                return Ok(state(service));
            }
            // MISSING, or not a word about it: it is not there. Any other reason is none that says so.
            let suffix = format!("/{}", name.name);
            let failure = answer.failures().iter().find(|failure| failure.arn().is_some_and(|arn| arn.ends_with(&suffix)));
            match failure.and_then(|failure| failure.reason()) {
                None | Some("MISSING") => Ok(None),
                Some(reason) => Err(Arc::new(CallError::new(DESCRIBE, Why::Other(format!("{name}: {reason}"), None)))),
            }
        });
        ((*name).clone(), found)
    };
    batch.iter().map(one).collect()
}

/// A deleted service is still described for a while, as draining and then inactive.
fn state(service: &Service) -> Option<ServiceState> {
    if service.status().is_some_and(|status| status != "ACTIVE") {
        return None;
    }
    let strategy = service.capacity_provider_strategy().iter().map(|item| ProviderShare {
        provider: item.capacity_provider().to_owned(),
        weight: count(item.weight()),
        base: count(item.base()),
    });
    let primary = service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"));
    Some(ServiceState {
        desired: count(service.desired_count()),
        running: count(service.running_count()),
        pending: count(service.pending_count()),
        deployments: service.deployments().len(),
        rollout: primary.map(rollout).unwrap_or_default(),
        capacity_providers: strategy.collect(),
        scaling: None,
        setback: setback(service),
    })
}

fn rollout(deployment: &Deployment) -> Rollout {
    match deployment.rollout_state() {
        Some(DeploymentRolloutState::Failed) => Rollout::Failed(deployment.rollout_state_reason().unwrap_or("no reason given").to_owned()),
        Some(DeploymentRolloutState::InProgress) => Rollout::InProgress,
        _ => Rollout::Completed,
    }
}

fn setback(service: &Service) -> Option<Setback> {
    let told = |text: &str| text.contains(NO_PLACE) || text.contains(STEADY);
    let event = service.events().iter().find(|event| event.message().is_some_and(told))?;
    let said = event.message().filter(|text| text.contains(NO_PLACE))?;
    Some(Setback { at: time(event.created_at())?, said: said.to_owned() })
}

/// A cluster that is gone is described for a while, as inactive.
pub(super) async fn capacity_providers(client: &Client, cluster: &str) -> Result<Option<BTreeSet<String>>, CallError> {
    let answer = client.describe_clusters().clusters(cluster).send().await.map_err(failed(CLUSTERS))?;
    let here = answer.clusters().iter().find(|held| held.status().is_none_or(|status| status != "INACTIVE"));
    Ok(here.map(|held| held.capacity_providers().iter().cloned().collect()))
}

/// Sets count and strategy; with a strategy comes a forced deployment.
pub(super) async fn set(client: &Client, service: &ServiceName, desired: Option<u32>, strategy: Option<&[ProviderShare]>) -> Result<(), CallError> {
    let items = strategy.map(|shares| shares.iter().map(item).collect::<Result<Vec<_>, _>>()).transpose();
    let items = items.map_err(|error| CallError::new(UPDATE, Why::Other(error.to_string(), None)))?;
    let call = client.update_service().cluster(&service.cluster).service(&service.name).set_desired_count(desired.map(size));
    let call = call.set_force_new_deployment(items.is_some().then_some(true)).set_capacity_provider_strategy(items);
    call.send().await.map(drop).map_err(failed(UPDATE))
}

fn item(share: &ProviderShare) -> Result<CapacityProviderStrategyItem, aws_sdk_ecs::error::BuildError> {
    CapacityProviderStrategyItem::builder().capacity_provider(&share.provider).weight(size(share.weight)).base(size(share.base)).build()
}
