//! What a plan says of its control stack: the parameters of infra/control, so that no ARN is typed a second time beside the plan.
//!
//! ```text
//! relight.toml ─► parameters() ─► sam()   sam deploy --parameter-overrides "$(relight stack parameters relight.toml)"
//!                             └─► json()  the file that CloudFormation takes
//! ```
//! Every parameter that a plan knows is given, an empty one too: CloudFormation keeps the last value of one that is left out, and a role
//! would go on allowing what the plan no longer names.

use serde_json::json;

use super::{Plan, mysql};

/// One parameter of infra/control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: &'static str,
    pub value: String,
}

/// A name that no ARN in a policy can hold: it would end a list of ARNs, or match more than itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{name}` cannot stand in a policy: `{character}` would mean something else there; rename it, or correct the plan")]
pub struct NoArn {
    pub what: &'static str,
    pub name: String,
    pub character: char,
}

/// The parameters that a plan knows, in the template's order. What it cannot know (topics, subnets, addresses) is left to whoever deploys.
pub fn parameters(plan: &Plan) -> Result<Vec<Parameter>, NoArn> {
    let arn = |service: &str, region: &str, rest: String| format!("arn:{}:{service}:{region}:{}:{rest}", partition(region), plan.account);
    let mut services = Vec::new();
    for service in &plan.services {
        let (cluster, name) = (literal("the cluster", &service.cluster)?, literal("the service", &service.name)?);
        services.push(arn("ecs", &plan.standby, format!("service/{cluster}/{name}")));
    }
    let mut groups = Vec::new();
    for group in &plan.groups {
        // The UUID in a group's ARN is AWS's own, and no plan knows it.
        let name = literal("the group", &group.name)?;
        groups.push(arn("autoscaling", &plan.standby, format!("autoScalingGroup:*:autoScalingGroupName/{name}")));
    }
    // Both are identifiers of instances, which validation lets hold letters, digits and hyphens alone.
    let (clusters, instances): (Vec<_>, Vec<_>) = plan.databases.iter().partition(|database| database.is_global());
    let replicas = instances.iter().map(|database| arn("rds", &plan.standby, format!("db:{}", database.replica))).collect();
    let cluster = |region: &str, name: &str| arn("rds", region, format!("cluster:{}", name.to_ascii_lowercase()));
    let here = clusters.iter().map(|database| cluster(&plan.standby, &database.replica)).collect();
    let there = clusters.iter().map(|database| cluster(&plan.primary, &database.primary)).collect();
    // A global cluster belongs to no Region.
    let globals = clusters.iter().filter_map(|database| database.global_cluster.as_ref());
    let globals = globals.map(|name| arn("rds", "", format!("global-cluster:{}", name.to_ascii_lowercase()))).collect();
    let fenced = plan.databases.iter().filter(|database| database.quarantine_security_group.is_some());
    let fenced = fenced.map(|database| arn("rds", &plan.primary, format!("db:{}", database.primary))).collect();
    let mut closing = Vec::new();
    for group in instances.iter().filter(|database| mysql::closes_by_group(database)).filter_map(|database| database.parameter_group.as_ref()) {
        closing.push(arn("rds", &plan.standby, format!("pg:{}", literal("the parameter group", group)?)));
    }
    let mut secrets = Vec::new();
    let mut rotated = Vec::new();
    let mut home = Vec::new();
    for secret in &plan.secrets {
        // Secrets Manager ends each ARN in six characters of its own choice.
        let name = literal("the secret", &secret.name)?;
        home.push(arn("secretsmanager", &plan.primary, format!("secret:{name}-??????")));
        let arn = arn("secretsmanager", &plan.standby, format!("secret:{name}-??????"));
        rotated.extend(secret.rotate.then(|| arn.clone()));
        secrets.push(arn);
    }
    let one = |name, value: &str| Parameter { name, value: value.to_owned() };
    let list = |name, arns: Vec<String>| Parameter { name, value: arns.join(",") };
    Ok(vec![
        one("PlanName", &plan.name),
        one("PrimaryRegion", &plan.primary),
        one("DrillSchedule", &plan.drill.schedule),
        list("EcsServiceArns", services),
        list("AutoScalingGroupArns", groups),
        list("ReplicaArns", replicas),
        // The ids in their ARNs are AWS's own, and no plan knows them.
        one("UsesProxies", if plan.databases.iter().any(|database| database.proxy.is_some()) { "yes" } else { "no" }),
        list("PrimaryDatabaseArns", fenced),
        list("ClosingGroupArns", closing),
        list("GlobalClusterArns", globals),
        list("ClusterArns", here),
        list("HomeClusterArns", there),
        list("SecretArns", secrets),
        list("HomeSecretArns", home),
        list("RotatedSecretArns", rotated),
    ])
}

/// For `sam deploy --parameter-overrides`, as one argument: in quotes, since a shell would take the lists' wildcards for files.
pub fn sam(parameters: &[Parameter]) -> String {
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    parameters.iter().map(|parameter| format!("{}={}", parameter.name, quoted(&parameter.value))).collect::<Vec<_>>().join(" ")
}

/// For `aws cloudformation deploy --parameter-overrides file://…` and CloudFormation's own API.
pub fn json(parameters: &[Parameter]) -> String {
    let rows: Vec<_> = parameters.iter().map(|parameter| json!({ "ParameterKey": parameter.name, "ParameterValue": parameter.value })).collect();
    format!("{:#}", serde_json::Value::from(rows))
}

/// The part of AWS that a Region belongs to.
pub(crate) fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

fn literal<'a>(what: &'static str, name: &'a str) -> Result<&'a str, NoArn> {
    let special = |character: &char| matches!(character, ',' | '*' | '?' | '$' | '"' | '\\') || character.is_whitespace() || character.is_control();
    match name.chars().find(special) {
        Some(character) => Err(NoArn { what, name: name.to_owned(), character }),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../../infra/examples/pilot-light/relight.toml");

    fn plan(text: &str) -> Plan {
        Plan::parse(text).expect("a good plan")
    }

    fn value(parameters: &[Parameter], name: &str) -> String {
        parameters.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.value.clone()).expect("a parameter")
    }

    #[test]
    fn a_plan_names_each_resource_once_and_the_stack_gets_its_arn() {
        let parameters = parameters(&plan(TEXT)).expect("ARNs");
        let of = |name: &str| value(&parameters, name);
        assert_eq!((of("PlanName"), of("PrimaryRegion"), of("DrillSchedule")), ("shop".into(), "us-east-2".into(), "cron(5 0 ? * 2#1 *)".into()));
        assert_eq!(of("EcsServiceArns"), "arn:aws:ecs:us-west-2:123456789012:service/shop/web");
        assert_eq!(of("AutoScalingGroupArns"), "arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:*:autoScalingGroupName/shop-workers");
        assert_eq!(of("ReplicaArns"), "arn:aws:rds:us-west-2:123456789012:db:shop-orders-replica");
        assert_eq!(of("PrimaryDatabaseArns"), "arn:aws:rds:us-east-2:123456789012:db:shop-orders");
        let secret = |name: &str| format!("arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/orders/{name}-??????");
        assert_eq!(of("SecretArns"), format!("{},{}", secret("admin"), secret("app")));
        assert_eq!(of("HomeSecretArns"), of("SecretArns").replace("us-west-2", "us-east-2"), "the same secrets in the primary Region");
        assert_eq!(of("RotatedSecretArns"), secret("app"), "the admin's secret is repointed and never rotated");
    }

    #[test]
    fn a_global_database_gives_its_clusters_and_no_instance() {
        let mut aurora = plan(TEXT);
        let database = &mut aurora.databases[0];
        (database.engine, database.quarantine_security_group) = (crate::plan::Engine::AuroraPostgres, None);
        (database.global_cluster, database.replica) = (Some("Shop-Global".to_owned()), "shop-orders-standby".to_owned());
        let parameters = parameters(&aurora).expect("ARNs");
        let of = |name: &str| value(&parameters, name);
        assert_eq!((of("ReplicaArns"), of("PrimaryDatabaseArns")), (String::new(), String::new()));
        assert_eq!(of("GlobalClusterArns"), "arn:aws:rds::123456789012:global-cluster:shop-global");
        assert_eq!(of("HomeClusterArns"), "arn:aws:rds:us-east-2:123456789012:cluster:shop-orders");
        assert_eq!(of("ClusterArns"), "arn:aws:rds:us-west-2:123456789012:cluster:shop-orders-standby");
    }

    #[test]
    fn the_parameter_group_that_closes_writes_is_the_functions_to_change() {
        assert_eq!(value(&parameters(&plan(TEXT)).expect("ARNs"), "ClosingGroupArns"), "", "PostgreSQL's are closed by SQL");
        let mut mysql = plan(TEXT);
        (mysql.databases[0].engine, mysql.databases[0].parameter_group) = (crate::plan::Engine::MySql, Some("shop-orders-84".to_owned()));
        assert_eq!(value(&parameters(&mysql).expect("ARNs"), "ClosingGroupArns"), "arn:aws:rds:us-west-2:123456789012:pg:shop-orders-84");
    }

    #[test]
    fn a_database_that_is_not_fenced_is_nobodys_to_change_in_the_primary_region() {
        let without: String = TEXT.lines().filter(|line| !line.starts_with("quarantine")).map(|line| format!("{line}\n")).collect();
        assert_eq!(value(&parameters(&plan(&without)).expect("ARNs"), "PrimaryDatabaseArns"), "");
    }

    #[test]
    fn rights_to_proxies_are_asked_for_by_a_plan_that_names_one() {
        assert_eq!(value(&parameters(&plan(TEXT)).expect("ARNs"), "UsesProxies"), "no");
        let text = TEXT.replace("backup_retention_days = 7", "backup_retention_days = 7\nproxy = \"shop-orders\"");
        assert_eq!(value(&parameters(&plan(&text)).expect("ARNs"), "UsesProxies"), "yes");
    }

    #[test]
    fn what_a_plan_no_longer_names_is_given_as_nothing() {
        let text = TEXT.replace("[[service]]\ncluster = \"shop\"\nname = \"web\"\ndesired = 4\nscaling = { min = 4, max = 12 }\n", "");
        let text = text.replace("capacity_providers = [{ provider = \"FARGATE\", base = 1 }]\n", "");
        let parameters = parameters(&plan(&text)).expect("ARNs");
        assert!(sam(&parameters).contains(" EcsServiceArns=\"\" "), "{}", sam(&parameters));
    }

    #[test]
    fn a_name_that_would_match_more_than_itself_is_refused() {
        let refused = |text: String| parameters(&plan(&text)).expect_err("refused").to_string();
        let said = refused(TEXT.replace("name = \"web\"", "name = \"*\""));
        assert!(said.contains("the service `*` cannot stand in a policy"), "{said}");
        let said = refused(TEXT.replace("shop-workers", "a,b"));
        assert!(said.contains("the group `a,b`") && said.contains("`,`"), "{said}");
    }

    #[test]
    fn regions_of_other_partitions_have_arns_of_their_own() {
        let text = TEXT.replace("us-west-2", "us-gov-west-1").replace("us-east-2", "us-gov-east-1");
        let arns = value(&parameters(&plan(&text)).expect("ARNs"), "ReplicaArns");
        assert_eq!(arns, "arn:aws-us-gov:rds:us-gov-west-1:123456789012:db:shop-orders-replica");
    }

    #[test]
    fn sam_gets_one_line_of_quoted_pairs() {
        let said = sam(&[Parameter { name: "A", value: "cron(5 0 ? * 2#1 *)".to_owned() }, Parameter { name: "B", value: "x\"y".to_owned() }]);
        assert_eq!(said, r#"A="cron(5 0 ? * 2#1 *)" B="x\"y""#);
    }

    #[test]
    fn cloudformation_gets_a_list_of_keys_and_values() {
        let said: serde_json::Value = serde_json::from_str(&json(&[Parameter { name: "A", value: "b".to_owned() }])).expect("JSON");
        assert_eq!(said, json!([{ "ParameterKey": "A", "ParameterValue": "b" }]));
    }
}
