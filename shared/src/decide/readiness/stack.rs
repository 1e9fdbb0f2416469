//! What the control stack was deployed for. Its roles reach the ARNs of its parameters and nothing beside them, so a plan that
//! names more meets a denied call in the crisis; and its topics wake whom they were told to.

use std::collections::BTreeMap;

use super::finding::Finding;
use crate::look::Read;
use crate::plan::Plan;
use crate::plan::stack::{Parameter, parameters};
use crate::ports::{Subscriber, Topic};

/// The one key that the template makes public and lets switch-traffic write.
const STOP: &str = "STOP";
const FUNCTIONS: [&str; 7] = ["scale-up", "scale-down", "promote-replica", "rotate-secret", "switch-traffic", "watch-primary", "monthly-drill"];
/// Who takes an alarm's word in.
const HEAR_ALARMS: [&str; 2] = ["scale-up", "watch-primary"];

#[derive(Debug, Clone, Default)]
pub struct Stack {
    /// ARNs that its roles may change, `*` and `?` as IAM reads them.
    arns: Vec<String>,
    stop_bucket: String,
    /// ARNs of its functions, by the function's name.
    functions: BTreeMap<&'static str, String>,
}

impl Stack {
    /// From what the template tells: the ARNs with commas between them, the bucket, and the ARN of one function, from which those
    /// of the others follow.
    pub fn deployed(arns: &str, stop_bucket: &str, rotation_function: &str) -> Stack {
        let prefix = rotation_function.strip_suffix("rotate-secret").unwrap_or(rotation_function);
        Stack {
            arns: arns.split(',').map(str::trim).filter(|arn| !arn.is_empty()).map(str::to_owned).collect(),
            stop_bucket: stop_bucket.to_owned(),
            functions: FUNCTIONS.iter().map(|name| (*name, format!("{prefix}{name}"))).collect(),
        }
    }

    /// What the plan names and the stack's roles do not reach. The ARNs are those that the plan gives for the stack's parameters.
    pub(super) fn outside(&self, plan: &Plan) -> Vec<Finding> {
        let parameters = match parameters(plan) {
            Ok(parameters) => parameters,
            Err(why) => return vec![Finding::NoArn(why)],
        };
        let mut findings = Vec::new();
        for Parameter { name, value } in parameters {
            let arns = value.split(',').filter(|arn| !arn.is_empty());
            for (resource, arn) in named(plan, name).into_iter().zip(arns) {
                if !self.arns.iter().any(|pattern| reaches(pattern, arn)) {
                    findings.push(Finding::OutsideStack { resource, parameter: name, arn: arn.to_owned() });
                }
            }
        }
        if plan.traffic.stop_bucket != self.stop_bucket || plan.traffic.stop_key != STOP {
            let (bucket, key) = (plan.traffic.stop_bucket.clone(), plan.traffic.stop_key.clone());
            findings.push(Finding::OtherStop { bucket, key, stack: self.stop_bucket.clone() });
        }
        findings
    }

    /// Who would not hear what is said.
    pub(super) fn audience(&self, plan: &Plan, seen: &Read<Topic, Vec<Subscriber>>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (topic, subscribers) in seen {
            let subscribers = match subscribers {
                Ok(subscribers) => subscribers,
                Err(error) => {
                    findings.push(Finding::unreadable(topic.to_string(), error));
                    continue;
                }
            };
            let hears = |arn: &String| subscribers.iter().any(|held| held.confirmed && held.endpoint == *arn);
            let expected: &[&str] = match topic {
                Topic::Progress => &FUNCTIONS,
                Topic::Alarms => &HEAR_ALARMS,
                Topic::People => &[],
            };
            let deaf = expected.iter().filter(|name| !self.functions.get(**name).is_some_and(hears));
            findings.extend(deaf.map(|name| Finding::NotSubscribed { function: (*name).to_owned(), topic: *topic }));
            if *topic == Topic::People && !subscribers.iter().any(|held| held.confirmed) {
                findings.push(Finding::NobodyListens { pending: subscribers.len(), approval: plan.policy.approval });
            }
        }
        findings
    }
}

/// What the ARNs of a parameter stand for, in their order. That a secret may be rotated is not told apart from that it may be changed.
fn named(plan: &Plan, parameter: &str) -> Vec<String> {
    let fenced = plan.databases.iter().filter(|database| database.quarantine_security_group.is_some());
    let clusters = plan.databases.iter().filter(|database| database.is_global());
    match parameter {
        "EcsServiceArns" => plan.services.iter().map(|service| service.id().0).collect(),
        "AutoScalingGroupArns" => plan.groups.iter().map(|group| group.id().0).collect(),
        "ReplicaArns" => plan.databases.iter().filter(|database| !database.is_global()).map(|database| database.id().0).collect(),
        "GlobalClusterArns" => clusters.filter_map(|database| Some(format!("global-cluster/{}", database.global_cluster.as_ref()?))).collect(),
        "ClusterArns" => clusters.map(|database| format!("cluster/{}", database.replica)).collect(),
        "PrimaryDatabaseArns" => fenced.map(|database| format!("fence of {}", database.id())).collect(),
        "SecretArns" => plan.secrets.iter().map(|secret| secret.id().0).collect(),
        _ => Vec::new(),
    }
}

/// Whether an ARN of a policy covers one that the plan needs. Partitions are told apart by the account, so theirs are not compared.
fn reaches(pattern: &str, arn: &str) -> bool {
    let after_partition = |arn: &str| arn.splitn(3, ':').nth(2).map(str::to_owned);
    match (after_partition(pattern), after_partition(arn)) {
        (Some(pattern), Some(arn)) => matches(pattern.as_bytes(), arn.as_bytes()),
        _ => false,
    }
}

/// `*` is any text, `?` any character. A `*` or `?` of the ARN, which stands for what AWS chose, is a character like any other,
/// and one of AWS's own choice in the pattern covers it.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => matches(&pattern[1..], text) || (!text.is_empty() && matches(pattern, &text[1..])),
        (Some(b'?'), Some(_)) => matches(&pattern[1..], &text[1..]),
        // A group's UUID, which no plan knows.
        (Some(_), Some(b'*')) => matches(pattern, &text[1..]) || matches(&pattern[1..], text),
        (Some(_), Some(b'?')) => matches(&pattern[1..], &text[1..]),
        (Some(one), Some(other)) => one == other && matches(&pattern[1..], &text[1..]),
        (None, Some(_)) | (Some(_), None) => false,
    }
}
