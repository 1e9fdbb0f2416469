//! Scalable targets of ECS services: the bounds within which Application Auto Scaling moves the count.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_applicationautoscaling::Client;
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace};
use futures_util::future::join_all;

use super::{count, size};
use crate::aws::failed;
use crate::plan::Bounds;
use crate::ports::{CallError, Found, ServiceName};

const DESCRIBE: &str = "application-autoscaling:DescribeScalableTargets";
const REGISTER: &str = "application-autoscaling:RegisterScalableTarget";
/// The most that one call describes.
const BATCH: usize = 50;

/// The bounds of each service that has some.
pub(super) async fn read(client: &Client, names: &[ServiceName]) -> Found<ServiceName, Bounds> {
    join_all(names.chunks(BATCH).map(|batch| describe(client, batch))).await.into_iter().flatten().collect()
}

async fn describe(client: &Client, batch: &[ServiceName]) -> Found<ServiceName, Bounds> {
    let pages = client
        .describe_scalable_targets()
        .service_namespace(ServiceNamespace::Ecs)
        .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
        .set_resource_ids(Some(batch.iter().map(resource).collect()))
        .into_paginator()
        .items()
        .send();
    let answer = pages.try_collect().await.map_err(|error| Arc::new(failed(DESCRIBE)(error)));
    let answer = answer.map(|targets| {
        let bounds =
            targets.into_iter().map(|target| (target.resource_id, Bounds { min: count(target.min_capacity), max: count(target.max_capacity) }));
        bounds.collect::<BTreeMap<String, Bounds>>()
    });
    batch.iter().map(|name| (name.clone(), answer.clone().map(|bounds| bounds.get(&resource(name)).copied()))).collect()
}

/// Both bounds, always: what is left out of a registration still moves the count.
pub(super) async fn set(client: &Client, service: &ServiceName, bounds: Bounds) -> Result<(), CallError> {
    let call = client
        .register_scalable_target()
        .service_namespace(ServiceNamespace::Ecs)
        .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
        .resource_id(resource(service))
        .min_capacity(size(bounds.min))
        .max_capacity(size(bounds.max));
    call.send().await.map(drop).map_err(failed(REGISTER))
}

fn resource(service: &ServiceName) -> String {
    format!("service/{}/{}", service.cluster, service.name)
}
