//! What IAM would look at: the permissions, resource ARNs and condition values of a call.
//!
//! After AWS's service authorization reference, operation by operation. An operation that is not here is an error for a judged caller, so
//! that no permission is waved through because nobody wrote down what it touches.

mod data;
mod rds;

use serde_json::Value;

use crate::policy::{Context, Need};
use crate::request::Parsed;

/// What a call alone does not say.
pub(crate) struct Lookup<'a> {
    pub(crate) account: &'a str,
    /// A secret's full ARN, by name, partial ARN or ARN.
    pub(crate) secret: &'a dyn Fn(&str) -> String,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stage does not know which resources {service}:{operation} touches: teach it to resources.rs, an unknown call is not allowed silently")]
pub(crate) struct UnknownResources {
    service: String,
    operation: String,
}

/// Writes the needs of one call down.
pub(crate) struct Needs<'a> {
    call: &'a Parsed,
    lookup: &'a Lookup<'a>,
    context: Context,
    needs: Vec<Need>,
}

/// # Errors
/// When the operation is not in the tables below.
pub(crate) fn needs(call: &Parsed, lookup: &Lookup<'_>) -> Result<Vec<Need>, UnknownResources> {
    let mut needs = Needs { call, lookup, context: Context::new(), needs: Vec::new() };
    let tags = request_tags(&call.params);
    for (name, value) in &tags {
        needs.context.insert(format!("aws:requesttag/{}", name.to_ascii_lowercase()), vec![value.clone()]);
        needs.context.insert(format!("{}:req-tag/{}", call.service, name.to_ascii_lowercase()), vec![value.clone()]);
    }
    if !tags.is_empty() {
        needs.context.insert("aws:tagkeys".to_owned(), tags.into_iter().map(|(name, _)| name).collect());
    }
    let known = match call.service.as_str() {
        "ecs" => needs.ecs(),
        "application-autoscaling" => needs.application_autoscaling(),
        "autoscaling" => needs.autoscaling(),
        "rds" => needs.rds(),
        "secretsmanager" => needs.secretsmanager(),
        "dynamodb" => needs.dynamodb(),
        "sns" => needs.sns(),
        "sqs" => needs.sqs(),
        "s3" => needs.s3(),
        "cloudwatch" => needs.cloudwatch(),
        "lambda" => needs.lambda(),
        "scheduler" => needs.scheduler(),
        "events" => needs.events(),
        "route53" => needs.route53(),
        "apigateway" => {
            let path = call.text("path").unwrap_or_default().to_owned();
            needs.on(format!("arn:aws:apigateway:{}::{path}", call.region))
        }
        "sts" => needs.sts(),
        "logs" => needs.logs(),
        _ if call.operation.starts_with("Describe") || call.operation.starts_with("List") => needs.on("*"),
        _ => None,
    };
    known.ok_or_else(|| UnknownResources { service: call.service.clone(), operation: call.operation.clone() })?;
    Ok(needs.needs)
}

/// Tags that a call brings: JSON lists of pairs, JSON maps, or the numbered fields of Query.
pub(crate) fn request_tags(params: &Value) -> Vec<(String, String)> {
    let text = |value: &Value, upper: &str, lower: &str| value.get(upper).or_else(|| value.get(lower)).and_then(Value::as_str).map(str::to_owned);
    match params.get("Tags").or_else(|| params.get("tags")) {
        Some(Value::Array(pairs)) => {
            pairs.iter().filter_map(|pair| Some((text(pair, "Key", "key")?, text(pair, "Value", "value").unwrap_or_default()))).collect()
        }
        Some(Value::Object(pairs)) => pairs.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
        _ => (1..)
            .map_while(|n| {
                ["Tags.Tag", "Tags.member"].iter().find_map(|list| {
                    let key = params.get(format!("{list}.{n}.Key"))?.as_str()?.to_owned();
                    let value = params.get(format!("{list}.{n}.Value")).and_then(Value::as_str).unwrap_or_default();
                    Some((key, value.to_owned()))
                })
            })
            .collect(),
    }
}

/// `Some(())` marks an operation as known; `None` falls through to the error.
type Known = Option<()>;

impl Needs<'_> {
    /// The operation's own action on one resource.
    fn on(&mut self, resource: impl Into<String>) -> Known {
        let action = self.call.operation.clone();
        self.also(&action, resource)
    }

    /// A further action of the same service.
    fn also(&mut self, action: &str, resource: impl Into<String>) -> Known {
        let action = format!("{}:{action}", self.call.service);
        self.needs.push(Need { action, resource: resource.into(), context: self.context.clone() });
        Some(())
    }

    fn foreign(&mut self, action: &str, resource: &str, key: Option<(&str, &str)>) {
        let context = key.into_iter().map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).collect();
        self.needs.push(Need { action: action.to_owned(), resource: resource.to_owned(), context });
    }

    fn pass_role(&mut self, parameter: &str, service: &str) {
        let role = self.call.params.pointer(parameter).and_then(Value::as_str).unwrap_or_default();
        if !role.is_empty() {
            let role = role.to_owned();
            self.foreign("iam:PassRole", &role, Some(("iam:passedtoservice", service)));
        }
    }

    fn arn(&self, resource: &str) -> String {
        format!("arn:aws:{}:{}:{}:{resource}", self.call.service, self.call.region, self.lookup.account)
    }

    /// A parameter that may be a name or an ARN already.
    fn named(&self, parameter: &str, prefix: &str) -> Option<String> {
        let name = self.call.text(parameter)?;
        Some(if name.starts_with("arn:") { name.to_owned() } else { self.arn(&format!("{prefix}{name}")) })
    }

    fn ecs(&mut self) -> Known {
        let cluster = self.call.text("cluster").unwrap_or("default");
        let cluster = cluster.rsplit('/').next().unwrap_or(cluster).to_owned();
        let cluster_arn = self.arn(&format!("cluster/{cluster}"));
        let operation = self.call.operation.as_str();
        if !matches!(operation, "CreateCluster" | "RegisterTaskDefinition" | "DescribeTaskDefinition" | "ListClusters") {
            self.context.insert("ecs:cluster".to_owned(), vec![cluster_arn.clone()]);
        }
        let of_cluster = |kind: &str, name: &str| {
            let name = name.rsplit('/').next().unwrap_or(name);
            format!("arn:aws:ecs:{}:{}:{kind}/{cluster}/{name}", self.call.region, self.lookup.account)
        };
        let list = |parameter: &str, kind: &str| -> Vec<String> {
            let names = self.call.params.get(parameter).and_then(Value::as_array);
            names.into_iter().flatten().filter_map(Value::as_str).map(|name| of_cluster(kind, name)).collect()
        };
        match operation {
            "DescribeServices" => list("services", "service").into_iter().try_for_each(|arn| self.on(arn)),
            "DescribeTasks" => list("tasks", "task").into_iter().try_for_each(|arn| self.on(arn)),
            "UpdateService" | "DeleteService" => {
                let arn = of_cluster("service", self.call.text("service")?);
                self.on(arn)
            }
            "CreateService" => {
                let arn = of_cluster("service", self.call.text("serviceName")?);
                self.pass_role("/role", "ecs.amazonaws.com");
                self.on(arn)
            }
            "StopTask" => {
                let arn = of_cluster("task", self.call.text("task")?);
                self.on(arn)
            }
            "DescribeClusters" => {
                let names = self.call.params.get("clusters").and_then(Value::as_array).cloned().unwrap_or_default();
                let names: Vec<_> = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                if names.is_empty() {
                    return self.on(cluster_arn);
                }
                names.iter().try_for_each(|name| {
                    let name = name.rsplit('/').next().unwrap_or(name);
                    self.on(self.arn(&format!("cluster/{name}")))
                })
            }
            "PutClusterCapacityProviders" | "DeleteCluster" | "UpdateCluster" => self.on(cluster_arn),
            "CreateCluster" => {
                let arn = self.named("clusterName", "cluster/")?;
                self.on(arn)
            }
            "DescribeCapacityProviders" => self.on(self.arn("capacity-provider/*")),
            "RunTask" => {
                let arn = self.named("taskDefinition", "task-definition/")?;
                self.on(arn)
            }
            "RegisterTaskDefinition" => {
                self.pass_role("/taskRoleArn", "ecs-tasks.amazonaws.com");
                self.pass_role("/executionRoleArn", "ecs-tasks.amazonaws.com");
                self.on("*")
            }
            "TagResource" | "UntagResource" | "ListTagsForResource" => {
                let arn = self.call.text("resourceArn")?;
                self.on(arn)
            }
            "DescribeTaskDefinition" | "ListServices" | "ListTasks" | "ListClusters" | "ListTaskDefinitions" => self.on("*"),
            _ => None,
        }
    }

    fn application_autoscaling(&mut self) -> Known {
        for (parameter, key) in
            [("ServiceNamespace", "application-autoscaling:service-namespace"), ("ScalableDimension", "application-autoscaling:scalable-dimension")]
        {
            if let Some(value) = self.call.text(parameter) {
                self.context.insert(key.to_owned(), vec![value.to_owned()]);
            }
        }
        match self.call.operation.as_str() {
            operation if operation.starts_with("Describe") => self.on("*"),
            // The id in a target's ARN is AWS's own: a policy can only hold a wildcard there.
            "RegisterScalableTarget"
            | "DeregisterScalableTarget"
            | "PutScalingPolicy"
            | "DeleteScalingPolicy"
            | "PutScheduledAction"
            | "DeleteScheduledAction" => self.on(self.arn("scalable-target/0ec5id")),
            _ => None,
        }
    }

    fn autoscaling(&mut self) -> Known {
        if self.call.operation.starts_with("Describe") {
            return self.on("*");
        }
        let name = self.call.text("AutoScalingGroupName")?;
        let field = |end: &str| {
            let fields = self.call.params.as_object()?;
            fields.iter().find(|(field, _)| field.contains("LaunchTemplate") && field.ends_with(end)).and_then(|(_, value)| value.as_str())
        };
        if let Some(template) = field("LaunchTemplateId").or_else(|| field("LaunchTemplateName")) {
            // Who names a launch template must be allowed to launch from it.
            let place = format!("arn:aws:ec2:{}:{}", self.call.region, self.lookup.account);
            let template = format!("{place}:launch-template/{template}");
            self.foreign("ec2:RunInstances", &format!("{place}:instance/*"), Some(("ec2:launchtemplate", &template)));
        }
        // The UUID is AWS's own: a policy can only hold a wildcard there.
        self.on(self.arn(&format!("autoScalingGroup:0ec5uuid:autoScalingGroupName/{name}")))
    }

    fn lambda(&mut self) -> Known {
        let operation = self.call.operation.as_str();
        if matches!(operation, "CreateFunction" | "UpdateFunctionConfiguration") {
            self.pass_role("/Role", "lambda.amazonaws.com");
        }
        if operation == "ListFunctions" || operation.ends_with("EventSourceMapping") || operation.ends_with("EventSourceMappings") {
            return self.on("*");
        }
        if let Some(resource) = self.call.text("Resource") {
            let resource = resource.to_owned();
            return self.on(resource);
        }
        let function = function_arn(self.call, self.lookup.account)?;
        // An alias is named beside the function or within its name; IAM judges the qualified ARN either way.
        let name = self.call.text("FunctionName")?;
        let within = name.split(':').nth(if name.starts_with("arn:") { 7 } else { 1 });
        let qualified = match self.call.text("Qualifier").or(within) {
            Some(qualifier) => format!("{function}:{qualifier}"),
            None => function,
        };
        self.also(if operation == "Invoke" { "InvokeFunction" } else { operation }, qualified)
    }

    fn scheduler(&mut self) -> Known {
        let group = self.call.text("GroupName").or_else(|| self.call.text("groupName")).unwrap_or("default");
        let name = self.call.text("Name").unwrap_or_default();
        self.pass_role("/Target/RoleArn", "scheduler.amazonaws.com");
        match self.call.operation.as_str() {
            "ListSchedules" | "ListScheduleGroups" => self.on("*"),
            operation if operation.ends_with("Group") => self.on(self.arn(&format!("schedule-group/{name}"))),
            _ => self.on(self.arn(&format!("schedule/{group}/{name}"))),
        }
    }

    fn events(&mut self) -> Known {
        match self.call.operation.as_str() {
            "ListRules" => self.on(self.arn("rule/*")),
            "PutEvents" => {
                let bus = self.call.params.pointer("/Entries/0/EventBusName").and_then(Value::as_str).unwrap_or("default");
                let arn = if bus.starts_with("arn:") { bus.to_owned() } else { self.arn(&format!("event-bus/{bus}")) };
                self.on(arn)
            }
            operation => {
                if operation == "PutRule" {
                    self.pass_role("/RoleArn", "events.amazonaws.com");
                }
                let name = self.call.text("Name").or_else(|| self.call.text("Rule"))?;
                self.on(self.arn(&format!("rule/{name}")))
            }
        }
    }

    fn route53(&mut self) -> Known {
        let kind = self.call.text("Kind").unwrap_or_default();
        match self.call.text("Id") {
            Some(id) if matches!(kind, "hostedzone" | "healthcheck" | "change") => {
                let arn = format!("arn:aws:route53:::{kind}/{id}");
                self.on(arn)
            }
            _ => self.on("*"),
        }
    }

    fn sts(&mut self) -> Known {
        match self.call.operation.as_str() {
            // Anyone may ask who they are.
            "GetCallerIdentity" => Some(()),
            "AssumeRole" => {
                let role = self.call.text("RoleArn")?;
                self.on(role)
            }
            _ => None,
        }
    }
}

/// The unqualified ARN of the function that a Lambda call names (by name, partial ARN or ARN).
pub(crate) fn function_arn(call: &Parsed, account: &str) -> Option<String> {
    let name = call.text("FunctionName")?;
    if name.starts_with("arn:") {
        return Some(name.split(':').take(7).collect::<Vec<_>>().join(":"));
    }
    let name = name.split(':').next().unwrap_or(name);
    Some(format!("arn:aws:lambda:{}:{account}:function:{name}", call.region))
}

#[cfg(test)]
mod tests;
