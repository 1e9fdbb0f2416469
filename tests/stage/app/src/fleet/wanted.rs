//! Reads from ECS and Auto Scaling how many processes a Region should have.

use std::{collections::BTreeMap, time::Duration};

use aws_credential_types::Credentials;
use aws_sdk_autoscaling::{error::DisplayErrorContext, types::LifecycleState};
use aws_sdk_ecs::{
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    types::Service,
};

use super::plan::{Owner, Wanted};

const TIME_OUT: Duration = Duration::from_secs(3);
/// ECS describes this many services a call.
const DESCRIBED_AT_ONCE: usize = 10;
/// Who signs: the stage itself, whose calls the router does not judge.
const STAGE_KEY: &str = "test";

#[derive(Debug, thiserror::Error)]
#[error("{operation} in {region} failed: {reason}; the last known counts stay until it answers")]
pub(super) struct Error {
    operation: &'static str,
    region: String,
    reason: String,
}

pub(super) struct ControlPlane {
    region: String,
    workload: Option<String>,
    ecs: aws_sdk_ecs::Client,
    autoscaling: aws_sdk_autoscaling::Client,
}

impl ControlPlane {
    pub(super) fn new(endpoint: &str, region: &str, workload: Option<String>) -> Self {
        let http = aws_smithy_http_client::Builder::new().build_http();
        let credentials = Credentials::from_keys(STAGE_KEY, STAGE_KEY, None);
        let time_out = TimeoutConfig::builder().operation_timeout(TIME_OUT).build();
        // No retries: the next round is the retry.
        let ecs = aws_sdk_ecs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http.clone())
            .credentials_provider(credentials.clone())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .retry_config(RetryConfig::disabled())
            .timeout_config(time_out.clone())
            .build();
        let autoscaling = aws_sdk_autoscaling::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .credentials_provider(credentials)
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .retry_config(RetryConfig::disabled())
            .timeout_config(time_out)
            .build();
        let (ecs, autoscaling) = (aws_sdk_ecs::Client::from_conf(ecs), aws_sdk_autoscaling::Client::from_conf(autoscaling));
        Self { region: region.to_owned(), workload, ecs, autoscaling }
    }

    fn is_of_workload(&self, name: &str) -> bool {
        let Some(workload) = &self.workload else { return true };
        name.strip_prefix(workload.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    pub(super) async fn read(&self) -> Result<BTreeMap<Owner, Wanted>, Error> {
        let (mut wanted, instances) = tokio::try_join!(self.services(), self.instances())?;
        wanted.extend(instances);
        Ok(wanted)
    }

    async fn services(&self) -> Result<BTreeMap<Owner, Wanted>, Error> {
        let mut wanted = BTreeMap::new();
        let clusters = self.ecs.list_clusters().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let clusters = clusters.await.map_err(|error| self.error("ListClusters", error))?;
        for cluster in clusters.into_iter().filter(|arn| self.is_of_workload(arn.rsplit('/').next().unwrap_or(arn))) {
            let services = self.ecs.list_services().cluster(&cluster).into_paginator().items().send();
            let services = services.collect::<Result<Vec<_>, _>>().await.map_err(|error| self.error("ListServices", error))?;
            for ten in services.chunks(DESCRIBED_AT_ONCE) {
                let described = self.ecs.describe_services().cluster(&cluster).set_services(Some(ten.to_vec())).send().await;
                let described = described.map_err(|error| self.error("DescribeServices", error))?;
                wanted.extend(described.services().iter().filter_map(|service| tasks(&cluster, service)));
            }
        }
        Ok(wanted)
    }

    async fn instances(&self) -> Result<BTreeMap<Owner, Wanted>, Error> {
        let groups = self.autoscaling.describe_auto_scaling_groups().into_paginator().items().send();
        let groups = groups.collect::<Result<Vec<_>, _>>().await.map_err(|error| self.error("DescribeAutoScalingGroups", error))?;
        let of_workload = groups.iter().filter(|group| self.is_of_workload(group.auto_scaling_group_name().unwrap_or_default()));
        let instances = of_workload.flat_map(|group| {
            let name = group.auto_scaling_group_name().unwrap_or_default();
            group
                .instances()
                .iter()
                .filter(|instance| matches!(instance.lifecycle_state(), Some(LifecycleState::InService | LifecycleState::Pending)))
                .filter_map(|instance| instance.instance_id())
                .map(move |id| (Owner::instance(name, id), Wanted { count: 1, deployment: String::new() }))
        });
        Ok(instances.collect())
    }

    fn error(&self, operation: &'static str, source: impl std::error::Error) -> Error {
        Error { operation, region: self.region.clone(), reason: DisplayErrorContext(source).to_string() }
    }
}

fn tasks(cluster: &str, service: &Service) -> Option<(Owner, Wanted)> {
    let primary = service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"));
    let deployment = primary.and_then(|deployment| deployment.id()).unwrap_or_default().to_owned();
    let count = usize::try_from(service.desired_count()).unwrap_or(0);
    let active = service.status() == Some("ACTIVE");
    active.then(|| (Owner::service(cluster, service.service_name().unwrap_or_default()), Wanted { count, deployment }))
}
