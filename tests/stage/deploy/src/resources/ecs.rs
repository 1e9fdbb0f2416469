//! ECS: clusters, task definitions and services. The API has the template's words with a small first letter.

use serde_json::{Value, json};

use super::props::lower_camel;
use super::{Physical, Props, ResourceError, Site, Wanted};

const TARGET: &str = "AmazonEC2ContainerServiceV20141113";

pub(super) async fn put_cluster(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let ecs = wanted.site.service("ecs");
    let name = wanted.name(props, "ClusterName");
    let mut body = lower_camel(&Value::Object(props.rest()));
    let operation = if wanted.is_new() { "CreateCluster" } else { "UpdateCluster" };
    body[if wanted.is_new() { "clusterName" } else { "cluster" }] = name.clone().into();
    let answer = ecs.json(TARGET, operation, &body).await?;
    let arn = ecs.field(operation, &answer, "/cluster/clusterArn")?;
    Ok(Physical::new(name, [("Arn", arn)]))
}

pub(super) async fn delete_cluster(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("ecs").json(TARGET, "DeleteCluster", &json!({"cluster": name})).await?;
    Ok(())
}

/// Each change is a revision of its own; the one before stays for tasks that still run.
pub(super) async fn put_task_definition(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let ecs = wanted.site.service("ecs");
    let family = wanted.name(props, "Family");
    let mut body = lower_camel(&Value::Object(props.rest()));
    body["family"] = family.into();
    let answer = ecs.json(TARGET, "RegisterTaskDefinition", &body).await?;
    let arn = ecs.field("RegisterTaskDefinition", &answer, "/taskDefinition/taskDefinitionArn")?;
    Ok(Physical::new(arn.clone(), [("TaskDefinitionArn", arn)]))
}

pub(super) async fn delete_task_definition(site: &Site<'_>, arn: &str) -> Result<(), ResourceError> {
    site.service("ecs").json(TARGET, "DeregisterTaskDefinition", &json!({"taskDefinition": arn})).await?;
    Ok(())
}

pub(super) async fn put_service(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let ecs = wanted.site.service("ecs");
    let name = wanted.name(props, "ServiceName");
    let mut body = lower_camel(&Value::Object(props.rest()));
    let operation = if wanted.is_new() { "CreateService" } else { "UpdateService" };
    if wanted.is_new() {
        body["serviceName"] = name.clone().into();
    } else {
        body["service"] = name.clone().into();
        // A template has no say over these once a service stands.
        if let Value::Object(fields) = &mut body {
            fields.retain(|field, _| !matches!(field.as_str(), "launchType" | "schedulingStrategy" | "role" | "tags" | "deploymentController"));
        }
    }
    let answer = ecs.json(TARGET, operation, &body).await?;
    let arn = ecs.field(operation, &answer, "/service/serviceArn")?;
    Ok(Physical::new(arn.clone(), [("Name", name), ("ServiceArn", arn)]))
}

pub(super) async fn delete_service(site: &Site<'_>, arn: &str, props: &mut Props) -> Result<(), ResourceError> {
    let cluster = props.text("Cluster").unwrap_or_else(|| "default".to_owned());
    site.service("ecs").json(TARGET, "DeleteService", &json!({"cluster": cluster, "service": arn, "force": true})).await?;
    Ok(())
}
