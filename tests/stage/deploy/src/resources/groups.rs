//! Launch templates, Auto Scaling groups, and the targets of Application Auto Scaling.

use serde_json::{Map, Value, json};

use super::props::{fields, pairs};
use super::{Physical, Props, ResourceError, Site, Wanted};
use crate::template::text_of;

const AUTOSCALING: &str = "2011-01-01";
const EC2: &str = "2016-11-15";
const SCALABLE: &str = "AnyScaleFrontendService";

pub(super) async fn put_launch_template(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let ec2 = wanted.site.service("ec2");
    let name = wanted.name(props, "LaunchTemplateName");
    let data = props.value("LaunchTemplateData").unwrap_or_default();
    props.end()?;
    let data = super::network::singular(data.as_object().cloned().unwrap_or_default());
    let mut body = fields("LaunchTemplateData", &Value::Object(data), "");
    body.push(("LaunchTemplateName".to_owned(), name));
    let answer = ec2.query(EC2, "CreateLaunchTemplate", &body).await?;
    let text = |element: &str| ec2.text("CreateLaunchTemplate", &answer, element);
    let id = text("launchTemplateId")?;
    let attributes = [
        ("LaunchTemplateId", id.clone()),
        ("LatestVersionNumber", text("latestVersionNumber")?),
        ("DefaultVersionNumber", text("defaultVersionNumber")?),
    ];
    Ok(Physical::new(id, attributes))
}

pub(super) async fn delete_launch_template(site: &Site<'_>, id: &str) -> Result<(), ResourceError> {
    site.service("ec2").query(EC2, "DeleteLaunchTemplate", &pairs([("LaunchTemplateId", id)])).await?;
    Ok(())
}

pub(super) async fn put_group(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let name = wanted.name(props, "AutoScalingGroupName");
    // A list in the template, one text in the API.
    let subnets = props.texts("VPCZoneIdentifier").join(",");
    let mut tags = props.list("Tags");
    for tag in tags.iter_mut().filter_map(Value::as_object_mut) {
        tag.extend([("ResourceId".to_owned(), json!(name)), ("ResourceType".to_owned(), json!("auto-scaling-group"))]);
    }
    let metrics = props.list("MetricsCollection");
    let mut body = fields("", &Value::Object(props.rest()), "member");
    body.push(("AutoScalingGroupName".to_owned(), name.clone()));
    if !subnets.is_empty() {
        body.push(("VPCZoneIdentifier".to_owned(), subnets));
    }
    let operation = if wanted.is_new() {
        body.extend(fields("Tags", &Value::Array(tags), "member"));
        "CreateAutoScalingGroup"
    } else {
        "UpdateAutoScalingGroup"
    };
    let autoscaling = wanted.site.service("autoscaling");
    autoscaling.query(AUTOSCALING, operation, &body).await?;
    // A call of its own in the API: a group that is made publishes nothing.
    for collection in &metrics {
        let mut body = fields("", collection, "member");
        body.push(("AutoScalingGroupName".to_owned(), name.clone()));
        autoscaling.query(AUTOSCALING, "EnableMetricsCollection", &body).await?;
    }
    Ok(Physical::new(name, []))
}

pub(super) async fn delete_group(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    let body = pairs([("AutoScalingGroupName", name), ("ForceDelete", "true")]);
    site.service("autoscaling").query(AUTOSCALING, "DeleteAutoScalingGroup", &body).await?;
    Ok(())
}

fn target(props: &mut Props) -> Result<Map<String, Value>, ResourceError> {
    let named = |name: &str, props: &mut Props| Ok((name.to_owned(), Value::from(props.need(name)?)));
    ["ServiceNamespace", "ResourceId", "ScalableDimension"].into_iter().map(|name| named(name, props)).collect()
}

/// Registering puts over what stands.
pub(super) async fn put_scalable_target(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let mut body = target(props)?;
    let id = ["ResourceId", "ScalableDimension", "ServiceNamespace"].map(|name| text_of(&body[name])).join("|");
    body.extend(props.rest());
    wanted.site.service("application-autoscaling").json(SCALABLE, "RegisterScalableTarget", &Value::Object(body)).await?;
    Ok(Physical::new(id, []))
}

pub(super) async fn delete_scalable_target(site: &Site<'_>, props: &mut Props) -> Result<(), ResourceError> {
    let body = Value::Object(target(props)?);
    site.service("application-autoscaling").json(SCALABLE, "DeregisterScalableTarget", &body).await?;
    Ok(())
}

/// The target stands as `resource|dimension|service` in the template, and apart in the API.
pub(super) async fn put_scaling_policy(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let target = props.need("ScalingTargetId")?;
    let [resource, dimension, service] = target.split('|').collect::<Vec<_>>()[..] else {
        return Err(ResourceError::Property("ScalingTargetId".to_owned()));
    };
    let mut body = props.rest();
    for (name, value) in [("ResourceId", resource), ("ScalableDimension", dimension), ("ServiceNamespace", service)] {
        body.insert(name.to_owned(), value.into());
    }
    let scaling = wanted.site.service("application-autoscaling");
    scaling.json(SCALABLE, "PutScalingPolicy", &Value::Object(body.clone())).await?;
    Ok(Physical::new(format!("{target}|{}", body.get("PolicyName").map(text_of).unwrap_or_default()), []))
}

pub(super) async fn delete_scaling_policy(site: &Site<'_>, id: &str) -> Result<(), ResourceError> {
    let [resource, dimension, service, policy] = id.split('|').collect::<Vec<_>>()[..] else { return Ok(()) };
    let body = json!({"ResourceId": resource, "ScalableDimension": dimension, "ServiceNamespace": service, "PolicyName": policy});
    site.service("application-autoscaling").json(SCALABLE, "DeleteScalingPolicy", &body).await?;
    Ok(())
}
