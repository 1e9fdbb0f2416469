//! Load balancers, their listeners and target groups.

use serde_json::Value;

use super::props::{fields, pairs};
use super::{Physical, Props, ResourceError, Site, Wanted};

const ELB: &str = "2015-12-01";
const SERVICE: &str = "elasticloadbalancing";

pub(super) async fn put_load_balancer(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let elb = wanted.site.service(SERVICE);
    let name = wanted.name(props, "Name");
    let attributes = props.list("LoadBalancerAttributes");
    let mut body = fields("", &Value::Object(props.rest()), "member");
    body.push(("Name".to_owned(), name.clone()));
    let answer = elb.query(ELB, "CreateLoadBalancer", &body).await?;
    let text = |element: &str| elb.text("CreateLoadBalancer", &answer, element);
    let (arn, host, zone) = (text("LoadBalancerArn")?, text("DNSName")?, text("CanonicalHostedZoneId")?);
    if !attributes.is_empty() {
        let mut body = fields("Attributes", &Value::Array(attributes), "member");
        body.push(("LoadBalancerArn".to_owned(), arn.clone()));
        elb.query(ELB, "ModifyLoadBalancerAttributes", &body).await?;
    }
    let full_name = arn.split_once(":loadbalancer/").map(|(_, name)| name.to_owned()).unwrap_or_default();
    let attributes = [
        ("DNSName", host),
        ("CanonicalHostedZoneID", zone),
        ("LoadBalancerName", name),
        ("LoadBalancerFullName", full_name),
        ("LoadBalancerArn", arn.clone()),
    ];
    Ok(Physical::new(arn, attributes))
}

pub(super) async fn put_target_group(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let elb = wanted.site.service(SERVICE);
    let name = wanted.name(props, "Name");
    let attributes = props.list("TargetGroupAttributes");
    let mut body = fields("", &Value::Object(props.rest()), "member");
    body.push(("Name".to_owned(), name.clone()));
    let answer = elb.query(ELB, "CreateTargetGroup", &body).await?;
    let arn = elb.text("CreateTargetGroup", &answer, "TargetGroupArn")?;
    if !attributes.is_empty() {
        let mut body = fields("Attributes", &Value::Array(attributes), "member");
        body.push(("TargetGroupArn".to_owned(), arn.clone()));
        elb.query(ELB, "ModifyTargetGroupAttributes", &body).await?;
    }
    let full_name = arn.rsplit(':').next().unwrap_or_default().to_owned();
    Ok(Physical::new(arn.clone(), [("TargetGroupName", name), ("TargetGroupFullName", full_name), ("TargetGroupArn", arn)]))
}

pub(super) async fn put_listener(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let elb = wanted.site.service(SERVICE);
    let body = fields("", &Value::Object(props.rest()), "member");
    let answer = elb.query(ELB, "CreateListener", &body).await?;
    let arn = elb.text("CreateListener", &answer, "ListenerArn")?;
    Ok(Physical::new(arn.clone(), [("ListenerArn", arn)]))
}

/// `kind` is the API's word for it.
pub(super) async fn delete(site: &Site<'_>, kind: &str, arn: &str) -> Result<(), ResourceError> {
    let parameter = format!("{kind}Arn");
    site.service(SERVICE).query(ELB, &format!("Delete{kind}"), &pairs([(parameter.as_str(), arn)])).await?;
    Ok(())
}
