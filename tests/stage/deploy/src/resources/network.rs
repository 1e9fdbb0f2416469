//! A VPC and what lies in it. All of EC2's calls have one form: a name, flat fields, and an id in the answer.

use serde_json::{Map, Value, json};

use super::props::{fields, pairs};
use super::{Physical, Props, ResourceError, Site, Wanted};
use crate::client::Service;
use crate::template::text_of;

const EC2: &str = "2016-11-15";

/// How one type is made and taken away.
struct Way {
    create: &'static str,
    /// The element of the answer that is what `Ref` gives. None: the id is made of what it joins.
    id: Option<&'static str>,
    /// EC2's word for it in tags.
    tagged: Option<&'static str>,
    delete: &'static str,
    delete_by: &'static str,
}

fn way(kind: &str) -> Option<Way> {
    let way = |create, id, tagged, delete, delete_by| Some(Way { create, id: Some(id), tagged: Some(tagged), delete, delete_by });
    match kind {
        "AWS::EC2::VPC" => way("CreateVpc", "vpcId", "vpc", "DeleteVpc", "VpcId"),
        "AWS::EC2::InternetGateway" => {
            way("CreateInternetGateway", "internetGatewayId", "internet-gateway", "DeleteInternetGateway", "InternetGatewayId")
        }
        "AWS::EC2::Subnet" => way("CreateSubnet", "subnetId", "subnet", "DeleteSubnet", "SubnetId"),
        "AWS::EC2::RouteTable" => way("CreateRouteTable", "routeTableId", "route-table", "DeleteRouteTable", "RouteTableId"),
        "AWS::EC2::EIP" => way("AllocateAddress", "allocationId", "elastic-ip", "ReleaseAddress", "AllocationId"),
        "AWS::EC2::NatGateway" => way("CreateNatGateway", "natGatewayId", "natgateway", "DeleteNatGateway", "NatGatewayId"),
        "AWS::EC2::VPCEndpoint" => way("CreateVpcEndpoint", "vpcEndpointId", "vpc-endpoint", "DeleteVpcEndpoints", "VpcEndpointId.1"),
        "AWS::EC2::SubnetRouteTableAssociation" => Some(Way {
            create: "AssociateRouteTable",
            id: Some("associationId"),
            tagged: None,
            delete: "DisassociateRouteTable",
            delete_by: "AssociationId",
        }),
        "AWS::EC2::SecurityGroup" => way("CreateSecurityGroup", "groupId", "security-group", "DeleteSecurityGroup", "GroupId"),
        "AWS::EC2::VPCGatewayAttachment" => {
            Some(Way { create: "AttachInternetGateway", id: None, tagged: None, delete: "DetachInternetGateway", delete_by: "" })
        }
        "AWS::EC2::Route" => Some(Way { create: "CreateRoute", id: None, tagged: None, delete: "DeleteRoute", delete_by: "" }),
        _ => None,
    }
}

/// In a Query call of EC2 a list has the name of one of its items.
pub(super) fn singular(object: Map<String, Value>) -> Map<String, Value> {
    let one = |(name, value): (String, Value)| {
        let name = if value.is_array() { name.strip_suffix('s').unwrap_or(&name).to_owned() } else { name };
        (name, value)
    };
    object.into_iter().map(one).collect()
}

fn tags(kind: &str, tags: Vec<Value>) -> Vec<(String, String)> {
    if tags.is_empty() {
        return Vec::new();
    }
    fields("TagSpecification.1", &json!({ "ResourceType": kind, "Tag": tags }), "")
}

pub(super) async fn put(wanted: &Wanted<'_>, kind: &str, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let way = way(kind).ok_or_else(|| ResourceError::Kind(kind.to_owned()))?;
    let ec2 = wanted.site.service("ec2");
    let mut body = way.tagged.map(|tagged| tags(tagged, props.list("Tags"))).unwrap_or_default();
    // AWS takes these one call at a time, when the VPC is there.
    let names = ["EnableDnsSupport", "EnableDnsHostnames"].map(|name| (name, if kind == "AWS::EC2::VPC" { props.text(name) } else { None }));
    if let Some(policy) = props.value("PolicyDocument") {
        body.push(("PolicyDocument".to_owned(), text_of(&policy)));
    }
    body.extend(fields("", &Value::Object(singular(props.rest())), ""));
    let answer = ec2.query(EC2, way.create, &body).await?;
    let Some(element) = way.id else { return Ok(Physical::new(super::names::generated(wanted.site, wanted.logical), [])) };
    let id = ec2.text(way.create, &answer, element)?;
    for (name, value) in names {
        if let Some(value) = value {
            let value_of = format!("{name}.Value");
            ec2.query(EC2, "ModifyVpcAttribute", &pairs([("VpcId", &id), (&value_of, &value)])).await?;
        }
    }
    // Each type calls its id by another name; what a template asks for is one of them.
    let attributes = ["AllocationId", "SubnetId", "VpcId", "InternetGatewayId", "RouteTableId", "NatGatewayId", "Id"];
    let own = attributes.iter().filter(|name| name.eq_ignore_ascii_case(element) || **name == "Id");
    let mut physical = Physical::new(id.clone(), []);
    physical.attributes.extend(own.map(|name| ((*name).to_owned(), id.clone())));
    Ok(physical)
}

pub(super) async fn delete(site: &Site<'_>, kind: &str, id: &str, props: &mut Props) -> Result<(), ResourceError> {
    let way = way(kind).ok_or_else(|| ResourceError::Kind(kind.to_owned()))?;
    let body = match kind {
        "AWS::EC2::Route" => joined(props, &["RouteTableId", "DestinationCidrBlock"])?,
        "AWS::EC2::VPCGatewayAttachment" => joined(props, &["VpcId", "InternetGatewayId"])?,
        _ => pairs([(way.delete_by, id)]),
    };
    site.service("ec2").query(EC2, way.delete, &body).await?;
    Ok(())
}

fn joined(props: &mut Props, names: &[&str]) -> Result<Vec<(String, String)>, ResourceError> {
    names.iter().map(|name| Ok(((*name).to_owned(), props.need(name)?))).collect()
}

pub(super) async fn put_security_group(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let ec2 = wanted.site.service("ec2");
    let (ingress, egress) = (props.list("SecurityGroupIngress"), props.list("SecurityGroupEgress"));
    let mut body = tags("security-group", props.list("Tags"));
    body.push(("GroupName".to_owned(), wanted.name(props, "GroupName")));
    body.push(("VpcId".to_owned(), props.need("VpcId")?));
    body.push(("GroupDescription".to_owned(), props.need("GroupDescription")?));
    props.end()?;
    let answer = ec2.query(EC2, "CreateSecurityGroup", &body).await?;
    let id = ec2.text("CreateSecurityGroup", &answer, "groupId")?;
    if !egress.is_empty() {
        // A new group lets everything out; CloudFormation takes that back where the template says what may go.
        let everything = json!([{ "IpProtocol": "-1", "CidrIp": "0.0.0.0/0" }]);
        rules(&ec2, "RevokeSecurityGroupEgress", &id, everything.as_array().map_or(&[], Vec::as_slice)).await?;
        rules(&ec2, "AuthorizeSecurityGroupEgress", &id, &egress).await?;
    }
    if !ingress.is_empty() {
        rules(&ec2, "AuthorizeSecurityGroupIngress", &id, &ingress).await?;
    }
    Ok(Physical::new(id.clone(), [("GroupId", id)]))
}

async fn rules(ec2: &Service<'_>, operation: &str, group: &str, rules: &[Value]) -> Result<(), ResourceError> {
    let permissions = rules.iter().map(permission).collect::<Result<Vec<_>, _>>()?;
    let mut body = fields("IpPermissions", &Value::Array(permissions), "");
    body.push(("GroupId".to_owned(), group.to_owned()));
    ec2.query(EC2, operation, &body).await?;
    Ok(())
}

/// One rule of a template is a permission with one range or one group.
fn permission(rule: &Value) -> Result<Value, ResourceError> {
    let mut rule = rule.as_object().cloned().ok_or_else(|| ResourceError::Property("SecurityGroupIngress".to_owned()))?;
    let description = rule.remove("Description").unwrap_or_default();
    let mut permission = Map::new();
    for name in ["IpProtocol", "FromPort", "ToPort"] {
        permission.extend(rule.remove(name).map(|value| (name.to_owned(), value)));
    }
    if let Some(range) = rule.remove("CidrIp") {
        permission.insert("IpRanges".to_owned(), json!([{ "CidrIp": range, "Description": description }]));
    }
    for name in ["SourceSecurityGroupId", "DestinationSecurityGroupId"] {
        if let Some(group) = rule.remove(name) {
            permission.insert("Groups".to_owned(), json!([{ "GroupId": group, "Description": description }]));
        }
    }
    let unknown: Vec<String> = rule.into_iter().map(|(name, _)| name).collect();
    if unknown.is_empty() { Ok(Value::Object(permission)) } else { Err(ResourceError::Unused(unknown)) }
}
