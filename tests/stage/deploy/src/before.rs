//! What is refused before the first call: capabilities that were not given, and names that another stack has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::scope::Scope;
use crate::template::{Resource, Template, text_of};
use crate::{Stack, Stacks};

/// What CloudFormation wants to hear before a template may hand out rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// `CAPABILITY_IAM`: roles and policies whose names CloudFormation makes.
    Iam,
    /// `CAPABILITY_NAMED_IAM`: and those whose names the template gives.
    NamedIam,
}

/// Types that hand out rights, and the property that names one.
const RIGHTS: &[(&str, &str)] = &[
    ("AWS::IAM::InstanceProfile", "InstanceProfileName"),
    ("AWS::IAM::ManagedPolicy", "ManagedPolicyName"),
    ("AWS::IAM::Policy", "PolicyName"),
    ("AWS::IAM::Role", "RoleName"),
];

/// Types whose name the template gives, and which of their properties is it. Within a Region nobody else may have it.
const NAMED: &[(&str, &str)] = &[
    ("AWS::AutoScaling::AutoScalingGroup", "AutoScalingGroupName"),
    ("AWS::CloudWatch::Alarm", "AlarmName"),
    ("AWS::CloudWatch::Dashboard", "DashboardName"),
    ("AWS::DynamoDB::Table", "TableName"),
    ("AWS::EC2::LaunchTemplate", "LaunchTemplateName"),
    ("AWS::ECS::Cluster", "ClusterName"),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "Name"),
    ("AWS::ElasticLoadBalancingV2::TargetGroup", "Name"),
    ("AWS::KMS::Alias", "AliasName"),
    ("AWS::Lambda::Function", "FunctionName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::RDS::DBCluster", "DBClusterIdentifier"),
    ("AWS::RDS::DBInstance", "DBInstanceIdentifier"),
    ("AWS::RDS::GlobalCluster", "GlobalClusterIdentifier"),
    ("AWS::S3::Bucket", "BucketName"),
    ("AWS::SNS::Topic", "TopicName"),
    ("AWS::SQS::Queue", "QueueName"),
    ("AWS::Scheduler::Schedule", "Name"),
    ("AWS::SecretsManager::Secret", "Name"),
];

pub(crate) fn capabilities_missing(template: &Template, given: &BTreeSet<Capability>) -> Option<String> {
    let name_of = |resource: &Resource| RIGHTS.iter().find(|(kind, _)| *kind == resource.kind).map(|(_, property)| *property);
    let rights: Vec<(&String, bool)> =
        template.resources.iter().filter_map(|(logical, resource)| Some((logical, resource.properties.get(name_of(resource)?).is_some()))).collect();
    let needed = match rights.iter().any(|(_, named)| *named) {
        true => "CAPABILITY_NAMED_IAM",
        false => "CAPABILITY_IAM",
    };
    let enough = given.contains(&Capability::NamedIam) || (needed == "CAPABILITY_IAM" && given.contains(&Capability::Iam));
    let first = rights.first().filter(|_| !enough)?.0;
    Some(format!("its template hands out rights ({first} is the first of {}): deploy it with the capability {needed}", rights.len()))
}

/// Names of the template that another stack has already. A name that follows from what is not made yet is judged by AWS alone.
pub(crate) fn names_taken(stack: &Stack, wanted: &BTreeMap<String, &Resource>, scope: &Scope<'_>, stacks: &Stacks) -> Vec<String> {
    let mut taken = Vec::new();
    for (logical, resource) in wanted {
        let Some((kind, property)) = NAMED.iter().find(|(kind, _)| *kind == resource.kind) else { continue };
        let Some(name) = resource.properties.get(*property).and_then(|name| scope.resolve(name).ok().flatten()) else { continue };
        if let Some(owner) = owner(stack, kind, property, &name, stacks) {
            let name = text_of(&name);
            taken.push(format!(
                "the name `{name}` of its {kind} `{logical}` is taken by the stack {owner}; two plans of one account have different names"
            ));
        }
    }
    taken
}

fn owner<'a>(stack: &Stack, kind: &str, property: &str, name: &Value, stacks: &'a Stacks) -> Option<&'a str> {
    // Names of buckets are those of the whole world.
    let near = |region: &str| region == stack.region || kind == "AWS::S3::Bucket";
    let others = stacks.iter().filter(|((region, other), _)| near(region) && (*other != stack.name || *region != stack.region));
    let has = |standing: &crate::Standing| standing.kind == kind && standing.properties.get(property) == Some(name);
    others.into_iter().find(|(_, standings)| standings.values().any(has)).map(|((_, other), _)| other.as_str())
}
