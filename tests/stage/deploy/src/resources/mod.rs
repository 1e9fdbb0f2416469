//! The resource types, one function to make or change and one to take away each.
//!
//! ```text
//! (type, resolved properties, what stands) ─put─► Physical: what Ref and Fn::GetAtt give
//! (type, what stands) ─delete─► gone
//! ```
//! A type that is not here is an error that names it, and so is a property that a type does not use: a template must not mean more than
//! what is deployed.

mod aurora;
mod balance;
mod data;
mod ecs;
mod groups;
mod iam;
mod keys;
mod lambda;
mod messages;
mod names;
mod network;
mod props;
mod route53;
mod storage;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Aws, CallError, Service};
pub(crate) use props::Props;

/// What a resource became.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Physical {
    /// What `Ref` gives.
    pub id: String,
    /// What `Fn::GetAtt` gives.
    pub attributes: BTreeMap<String, String>,
    /// What it gives where that is a list.
    pub lists: BTreeMap<String, Vec<String>>,
}

impl Physical {
    pub(crate) fn new<const N: usize>(id: impl Into<String>, attributes: [(&str, String); N]) -> Self {
        Self { id: id.into(), attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(), lists: BTreeMap::new() }
    }

    pub(crate) fn with_list(mut self, attribute: &str, items: Vec<String>) -> Self {
        self.lists.insert(attribute.to_owned(), items);
        self
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the deployer does not know the type {0}; teach it to resources/mod.rs")]
    Kind(String),
    #[error("`{{{{resolve:{0}}}}}` refers to no key of a secret that is there")]
    Reference(String),
    #[error("the property {0} is missing, or not of the form that it should have")]
    Property(String),
    #[error("the deployer does not use the property {}; teach it, or leave them out", .0.join(", "))]
    Unused(Vec<String>),
    #[error("the deployer does not change it in place; destroy the stack, then deploy it anew")]
    Unchangeable,
    #[error("the binary {0} cannot be packed; build the functions first")]
    Code(PathBuf, #[source] std::io::Error),
    #[error("it is `{state}` and not `{wanted}` after {seconds} s")]
    NotReady { state: String, wanted: &'static str, seconds: u64 },
}

/// Where a stack is made.
pub(crate) struct Site<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) stack: &'a str,
}

impl Site<'_> {
    fn service(&self, name: &'static str) -> Service<'_> {
        self.aws.service(name, self.region)
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }
}

/// One resource as it is put.
pub(crate) struct Wanted<'a> {
    pub(crate) site: &'a Site<'a>,
    pub(crate) logical: &'a str,
    /// What stands from an earlier deployment, with the properties that it was made with.
    pub(crate) before: Option<(&'a Physical, &'a Value)>,
}

impl Wanted<'_> {
    /// The name that a property gives, or else one made from stack and logical id.
    fn name(&self, props: &mut Props, property: &str) -> String {
        props.text(property).unwrap_or_else(|| names::generated(self.site, self.logical))
    }

    fn is_new(&self) -> bool {
        self.before.is_none()
    }

    fn must_be_new(&self) -> Result<(), ResourceError> {
        if self.is_new() { Ok(()) } else { Err(ResourceError::Unchangeable) }
    }

    fn before_id(&self) -> Option<&str> {
        self.before.map(|(physical, _)| physical.id.as_str())
    }
}

/// Types that are accepted and not created, each with the reason: no emulator of the stage could tell whether they are right. What they say is
/// for AWS alone to confirm.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("AWS::RDS::DBClusterParameterGroup", "the stage's PostgreSQL has settings of its own"),
    ("AWS::RDS::DBParameterGroup", "the stage's PostgreSQL has settings of its own"),
    ("AWS::RDS::DBSubnetGroup", "the stage's PostgreSQL listens on this machine, in no subnet"),
];

/// Types that are created at an emulator which then does nothing by them: that the stage works says nothing about what they say.
pub const INERT: &[(&str, &str)] = &[
    ("AWS::ApplicationAutoScaling::ScalingPolicy", "nothing on the stage scales by load"),
    (
        "AWS::CloudWatch::Alarm",
        "judged without metric math and without missing data, by a metric's name alone; but those over health checks, which the stage judges",
    ),
    ("AWS::CloudWatch::Dashboard", "nobody draws it"),
    ("AWS::EC2::EIP", "no packet passes it"),
    ("AWS::EC2::InternetGateway", "no packet passes it"),
    ("AWS::EC2::LaunchTemplate", "an instance is a process of the application, started by none of its data"),
    ("AWS::EC2::NatGateway", "no packet passes it"),
    ("AWS::EC2::Route", "no packet follows it"),
    ("AWS::EC2::RouteTable", "no packet follows it"),
    ("AWS::EC2::SecurityGroup", "everything is on one machine; moving a database into the quarantine group closes it all the same"),
    ("AWS::EC2::Subnet", "everything is on one machine"),
    ("AWS::EC2::SubnetRouteTableAssociation", "no packet follows it"),
    ("AWS::EC2::VPC", "everything is on one machine"),
    ("AWS::EC2::VPCEndpoint", "every call goes to the stage's router"),
    ("AWS::EC2::VPCGatewayAttachment", "no packet passes it"),
    ("AWS::ECS::TaskDefinition", "a task is a process of the application, started by none of its definition"),
    ("AWS::ElasticLoadBalancingV2::Listener", "the stage's load balancer is found by its port and speaks HTTP"),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "its name is the stage's entry, its attributes have no effect"),
    ("AWS::ElasticLoadBalancingV2::TargetGroup", "the stage's load balancer has checks of its own"),
    ("AWS::IAM::InstanceProfile", "no instance takes credentials from it"),
    ("AWS::KMS::Alias", "nothing is encrypted"),
    ("AWS::KMS::Key", "nothing is encrypted, and its policy is judged by nobody"),
    ("AWS::SNS::TopicPolicy", "topics take messages of any alarm"),
];

fn accept(wanted: &Wanted<'_>, kind: &str, props: &mut Props) -> Physical {
    let property = if kind == "AWS::RDS::DBSubnetGroup" { "DBSubnetGroupName" } else { "DBParameterGroupName" };
    let name = wanted.name(props, property);
    props.rest();
    Physical::new(name, [])
}

/// Makes a resource, or changes the one that stands.
pub(crate) async fn put(wanted: &Wanted<'_>, kind: &str, properties: &Value) -> Result<Physical, ResourceError> {
    let mut props = Props::new(properties)?;
    let physical = match kind {
        _ if ACCEPTED.iter().any(|(accepted, _)| *accepted == kind) => Ok(accept(wanted, kind, &mut props)),
        "AWS::ApplicationAutoScaling::ScalableTarget" => groups::put_scalable_target(wanted, &mut props).await,
        "AWS::ApplicationAutoScaling::ScalingPolicy" => groups::put_scaling_policy(wanted, &mut props).await,
        "AWS::AutoScaling::AutoScalingGroup" => groups::put_group(wanted, &mut props).await,
        "AWS::CloudWatch::Alarm" => watch::put_alarm(wanted, &mut props, "PutMetricAlarm").await,
        "AWS::CloudWatch::CompositeAlarm" => watch::put_alarm(wanted, &mut props, "PutCompositeAlarm").await,
        "AWS::CloudWatch::Dashboard" => watch::put_dashboard(wanted, &mut props).await,
        "AWS::DynamoDB::Table" => storage::put_table(wanted, &mut props).await,
        "AWS::EC2::EIP"
        | "AWS::EC2::InternetGateway"
        | "AWS::EC2::NatGateway"
        | "AWS::EC2::Route"
        | "AWS::EC2::RouteTable"
        | "AWS::EC2::Subnet"
        | "AWS::EC2::SubnetRouteTableAssociation"
        | "AWS::EC2::VPC"
        | "AWS::EC2::VPCEndpoint"
        | "AWS::EC2::VPCGatewayAttachment" => network::put(wanted, kind, &mut props).await,
        "AWS::EC2::SecurityGroup" => network::put_security_group(wanted, &mut props).await,
        "AWS::EC2::LaunchTemplate" => groups::put_launch_template(wanted, &mut props).await,
        "AWS::ECS::Cluster" => ecs::put_cluster(wanted, &mut props).await,
        "AWS::ECS::Service" => ecs::put_service(wanted, &mut props).await,
        "AWS::ECS::TaskDefinition" => ecs::put_task_definition(wanted, &mut props).await,
        "AWS::ElasticLoadBalancingV2::Listener" => balance::put_listener(wanted, &mut props).await,
        "AWS::ElasticLoadBalancingV2::LoadBalancer" => balance::put_load_balancer(wanted, &mut props).await,
        "AWS::ElasticLoadBalancingV2::TargetGroup" => balance::put_target_group(wanted, &mut props).await,
        "AWS::Events::Rule" => messages::put_rule(wanted, &mut props).await,
        "AWS::IAM::InstanceProfile" => iam::put_instance_profile(wanted, &mut props).await,
        "AWS::IAM::ManagedPolicy" => iam::put_managed_policy(wanted, &mut props).await,
        "AWS::IAM::Role" => iam::put_role(wanted, &mut props).await,
        "AWS::KMS::Alias" => keys::put_alias(wanted, &mut props).await,
        "AWS::KMS::Key" => keys::put_key(wanted, &mut props).await,
        "AWS::Lambda::EventInvokeConfig" => lambda::put_event_invoke_config(wanted, &mut props).await,
        "AWS::Lambda::Function" => lambda::put_function(wanted, &mut props).await,
        "AWS::Lambda::Permission" => lambda::put_permission(wanted, &mut props).await,
        "AWS::Logs::LogGroup" => watch::put_log_group(wanted, &mut props).await,
        "AWS::RDS::DBCluster" => aurora::put_cluster(wanted, &mut props).await,
        "AWS::RDS::DBInstance" if properties.get("DBClusterIdentifier").is_some() => aurora::put_member(wanted, &mut props).await,
        "AWS::RDS::DBInstance" => data::put_instance(wanted, &mut props).await,
        "AWS::RDS::GlobalCluster" => aurora::put_global(wanted, &mut props).await,
        "AWS::Route53::HealthCheck" => route53::put_health_check(wanted, &mut props).await,
        "AWS::Route53::HostedZone" => route53::put_zone(wanted, &mut props).await,
        "AWS::Route53::RecordSet" => route53::put_record(wanted, &mut props).await,
        "AWS::Route53::RecordSetGroup" => route53::put_record_group(wanted, &mut props).await,
        "AWS::S3::Bucket" => storage::put_bucket(wanted, &mut props).await,
        "AWS::S3::BucketPolicy" => storage::put_bucket_policy(wanted, &mut props).await,
        "AWS::SNS::Subscription" => messages::put_subscription(wanted, &mut props).await,
        "AWS::SNS::Topic" => messages::put_topic(wanted, &mut props).await,
        "AWS::SNS::TopicPolicy" => messages::put_topic_policy(wanted, &mut props).await,
        "AWS::SQS::Queue" => messages::put_queue(wanted, &mut props).await,
        "AWS::Scheduler::Schedule" => messages::put_schedule(wanted, &mut props).await,
        "AWS::SecretsManager::Secret" => data::put_secret(wanted, &mut props).await,
        "AWS::SecretsManager::SecretTargetAttachment" => data::put_attachment(wanted, &mut props).await,
        other => Err(ResourceError::Kind(other.to_owned())),
    }?;
    Ok(physical)
}

/// Takes a resource away. One that is gone already is gone.
pub(crate) async fn delete(site: &Site<'_>, kind: &str, physical: &Physical, properties: &Value) -> Result<(), ResourceError> {
    let mut props = Props::new(properties)?;
    let id = physical.id.as_str();
    let done = match kind {
        _ if ACCEPTED.iter().any(|(accepted, _)| *accepted == kind) => Ok(()),
        "AWS::ApplicationAutoScaling::ScalingPolicy" => groups::delete_scaling_policy(site, id).await,
        "AWS::ApplicationAutoScaling::ScalableTarget" => groups::delete_scalable_target(site, &mut props).await,
        "AWS::AutoScaling::AutoScalingGroup" => groups::delete_group(site, id).await,
        "AWS::CloudWatch::Alarm" | "AWS::CloudWatch::CompositeAlarm" => watch::delete_alarm(site, id).await,
        "AWS::CloudWatch::Dashboard" => watch::delete_dashboard(site, id).await,
        "AWS::DynamoDB::Table" => storage::delete_table(site, id).await,
        "AWS::EC2::EIP"
        | "AWS::EC2::InternetGateway"
        | "AWS::EC2::NatGateway"
        | "AWS::EC2::Route"
        | "AWS::EC2::RouteTable"
        | "AWS::EC2::SecurityGroup"
        | "AWS::EC2::Subnet"
        | "AWS::EC2::SubnetRouteTableAssociation"
        | "AWS::EC2::VPC"
        | "AWS::EC2::VPCEndpoint"
        | "AWS::EC2::VPCGatewayAttachment" => network::delete(site, kind, id, &mut props).await,
        "AWS::EC2::LaunchTemplate" => groups::delete_launch_template(site, id).await,
        "AWS::ECS::Cluster" => ecs::delete_cluster(site, id).await,
        "AWS::ECS::Service" => ecs::delete_service(site, id, &mut props).await,
        "AWS::ECS::TaskDefinition" => ecs::delete_task_definition(site, id).await,
        "AWS::ElasticLoadBalancingV2::Listener" => balance::delete(site, "Listener", id).await,
        "AWS::ElasticLoadBalancingV2::LoadBalancer" => balance::delete(site, "LoadBalancer", id).await,
        "AWS::ElasticLoadBalancingV2::TargetGroup" => balance::delete(site, "TargetGroup", id).await,
        "AWS::Events::Rule" => messages::delete_rule(site, id, &mut props).await,
        "AWS::IAM::InstanceProfile" => iam::delete_instance_profile(site, id, &mut props).await,
        "AWS::KMS::Alias" => keys::delete_alias(site, id).await,
        "AWS::KMS::Key" => keys::delete_key(site, id).await,
        "AWS::IAM::ManagedPolicy" => iam::delete_managed_policy(site, id).await,
        "AWS::IAM::Role" => iam::delete_role(site, id, &mut props).await,
        "AWS::Lambda::EventInvokeConfig" => lambda::delete_event_invoke_config(site, &mut props).await,
        "AWS::Lambda::Function" => lambda::delete_function(site, id).await,
        "AWS::Lambda::Permission" => lambda::delete_permission(site, id, &mut props).await,
        "AWS::Logs::LogGroup" => watch::delete_log_group(site, id).await,
        "AWS::RDS::DBCluster" => aurora::delete_cluster(site, id).await,
        "AWS::RDS::DBInstance" => data::delete_instance(site, id).await,
        "AWS::RDS::GlobalCluster" => aurora::delete_global(site, id).await,
        "AWS::Route53::HealthCheck" => route53::delete_health_check(site, id).await,
        "AWS::Route53::HostedZone" => route53::delete_zone(site, id).await,
        "AWS::Route53::RecordSet" => route53::delete_record(site, &mut props).await,
        "AWS::Route53::RecordSetGroup" => route53::delete_record_group(site, &mut props).await,
        "AWS::S3::Bucket" => storage::delete_bucket(site, id).await,
        "AWS::S3::BucketPolicy" => storage::delete_bucket_policy(site, &mut props).await,
        "AWS::SNS::Subscription" => messages::delete_subscription(site, id).await,
        "AWS::SNS::Topic" => messages::delete_topic(site, id).await,
        // A topic has a policy always; it goes with its topic.
        "AWS::SNS::TopicPolicy" => Ok(()),
        "AWS::SQS::Queue" => messages::delete_queue(site, id).await,
        "AWS::Scheduler::Schedule" => messages::delete_schedule(site, id, &mut props).await,
        "AWS::SecretsManager::Secret" => data::delete_secret(site, id).await,
        // What it wrote into the secret goes with the secret.
        "AWS::SecretsManager::SecretTargetAttachment" => Ok(()),
        other => Err(ResourceError::Kind(other.to_owned())),
    };
    match done {
        Err(ResourceError::Call(error)) if error.is_not_found() => Ok(()),
        done => done,
    }
}
