use rstest::rstest;
use serde_json::json;

use super::*;
use crate::request::Protocol;

fn call(service: &str, operation: &str, params: Value) -> Parsed {
    Parsed {
        access_key: None,
        region: "us-west-2".to_owned(),
        signing_name: service.to_owned(),
        service: service.to_owned(),
        operation: operation.to_owned(),
        protocol: Protocol::Json,
        params,
    }
}

fn needed(call: &Parsed) -> Result<Vec<Need>, UnknownResources> {
    let secret = |id: &str| format!("arn:aws:secretsmanager:us-west-2:1:secret:{id}-a1B2c3");
    needs(call, &Lookup { account: "1", secret: &secret })
}

/// `action resource`, in the order in which they are judged.
#[rstest]
#[case::service("ecs", "UpdateService", json!({"cluster": "arn:aws:ecs:us-west-2:1:cluster/prod", "service": "web"}),
    &["ecs:UpdateService arn:aws:ecs:us-west-2:1:service/prod/web"])]
#[case::each_described_service("ecs", "DescribeServices", json!({"cluster": "prod", "services": ["web", "arn:aws:ecs:us-west-2:1:service/prod/api"]}),
    &["ecs:DescribeServices arn:aws:ecs:us-west-2:1:service/prod/web", "ecs:DescribeServices arn:aws:ecs:us-west-2:1:service/prod/api"])]
#[case::task_roles_are_passed("ecs", "RegisterTaskDefinition", json!({"taskRoleArn": "arn:aws:iam::1:role/t", "executionRoleArn": "arn:aws:iam::1:role/e"}),
    &["iam:PassRole arn:aws:iam::1:role/t", "iam:PassRole arn:aws:iam::1:role/e", "ecs:RegisterTaskDefinition *"])]
#[case::target("application-autoscaling", "RegisterScalableTarget", json!({"ServiceNamespace": "ecs"}),
    &["application-autoscaling:RegisterScalableTarget arn:aws:application-autoscaling:us-west-2:1:scalable-target/0ec5id"])]
#[case::targets("application-autoscaling", "DescribeScalableTargets", json!({}), &["application-autoscaling:DescribeScalableTargets *"])]
#[case::group("autoscaling", "UpdateAutoScalingGroup", json!({"AutoScalingGroupName": "web", "MixedInstancesPolicy.InstancesDistribution.OnDemandBaseCapacity": "1"}),
    &["autoscaling:UpdateAutoScalingGroup arn:aws:autoscaling:us-west-2:1:autoScalingGroup:0ec5uuid:autoScalingGroupName/web"])]
#[case::group_with_a_template("autoscaling", "UpdateAutoScalingGroup", json!({"AutoScalingGroupName": "web", "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateName": "t"}),
    &["ec2:RunInstances arn:aws:ec2:us-west-2:1:instance/*", "autoscaling:UpdateAutoScalingGroup arn:aws:autoscaling:us-west-2:1:autoScalingGroup:0ec5uuid:autoScalingGroupName/web"])]
#[case::database("rds", "PromoteReadReplica", json!({"DBInstanceIdentifier": "orders"}), &["rds:PromoteReadReplica arn:aws:rds:us-west-2:1:db:orders"])]
#[case::database_by_arn("rds", "DescribeDBInstances", json!({"DBInstanceIdentifier": "arn:aws:rds:us-west-2:1:db:orders"}), &["rds:DescribeDBInstances arn:aws:rds:us-west-2:1:db:orders"])]
#[case::proxies("rds", "DescribeDBProxies", json!({"DBProxyName": "orders"}), &["rds:DescribeDBProxies arn:aws:rds:us-west-2:1:db-proxy:0ec5id"])]
#[case::targets_of_a_proxy("rds", "DescribeDBProxyTargets", json!({"DBProxyName": "orders"}),
    &["rds:DescribeDBProxyTargets arn:aws:rds:us-west-2:1:target-group:0ec5id", "rds:DescribeDBProxyTargets arn:aws:rds:us-west-2:1:db-proxy:0ec5id"])]
#[case::a_target_is_registered("rds", "RegisterDBProxyTargets", json!({"DBProxyName": "orders", "DBInstanceIdentifiers.member.1": "orders"}),
    &["rds:RegisterDBProxyTargets arn:aws:rds:us-west-2:1:target-group:0ec5id"])]
#[case::a_target_is_taken_out("rds", "DeregisterDBProxyTargets", json!({"DBProxyName": "orders", "DBInstanceIdentifiers.member.1": "orders"}),
    &["rds:DeregisterDBProxyTargets arn:aws:rds:us-west-2:1:db:orders", "rds:DeregisterDBProxyTargets arn:aws:rds:us-west-2:1:db-proxy:0ec5id",
      "rds:DeregisterDBProxyTargets arn:aws:rds:us-west-2:1:target-group:0ec5id"])]
#[case::a_parameter_group_is_changed("rds", "ModifyDBParameterGroup", json!({"DBParameterGroupName": "orders", "Parameters.Parameter.1.ParameterName": "read_only"}),
    &["rds:ModifyDBParameterGroup arn:aws:rds:us-west-2:1:pg:orders"])]
#[case::a_parameter_group_is_read("rds", "DescribeDBParameters", json!({"DBParameterGroupName": "orders", "Source": "user"}),
    &["rds:DescribeDBParameters arn:aws:rds:us-west-2:1:pg:orders"])]
#[case::all_databases("rds", "DescribeDBInstances", json!({}), &["rds:DescribeDBInstances arn:aws:rds:us-west-2:1:db:*"])]
#[case::replica_of_another_region_with_tags("rds", "CreateDBInstanceReadReplica",
    json!({"DBInstanceIdentifier": "copy", "SourceDBInstanceIdentifier": "arn:aws:rds:us-east-2:1:db:orders", "Tags.Tag.1.Key": "relight", "Tags.Tag.1.Value": "copy"}),
    &["rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:db:copy", "rds:CreateDBInstanceReadReplica arn:aws:rds:us-east-2:1:db:orders",
      "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:pg:default", "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:og:default",
      "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:subgrp:default", "rds:AddTagsToResource arn:aws:rds:us-west-2:1:db:copy"])]
#[case::replica_with_a_parameter_group("rds", "CreateDBInstanceReadReplica",
    json!({"DBInstanceIdentifier": "copy", "SourceDBInstanceIdentifier": "orders", "DBParameterGroupName": "tuned"}),
    &["rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:db:copy", "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:db:orders",
      "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:pg:tuned", "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:og:default",
      "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:subgrp:default"])]
#[case::replica_home_with_its_groups("rds", "CreateDBInstanceReadReplica",
    json!({"DBInstanceIdentifier": "home", "SourceDBInstanceIdentifier": "arn:aws:rds:us-east-2:1:db:orders", "DBParameterGroupName": "p", "DBSubnetGroupName": "s"}),
    &["rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:db:home", "rds:CreateDBInstanceReadReplica arn:aws:rds:us-east-2:1:db:orders",
      "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:pg:p", "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:og:default",
      "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:subgrp:s"])]
#[case::encrypted_replica("rds", "CreateDBInstanceReadReplica",
    json!({"DBInstanceIdentifier": "home", "SourceDBInstanceIdentifier": "orders", "KmsKeyId": "arn:aws:kms:us-west-2:1:key/k"}),
    &["rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:db:home", "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:db:orders",
      "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:pg:default", "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:og:default",
      "rds:CreateDBInstanceReadReplica arn:aws:rds:us-west-2:1:subgrp:default",
      "kms:DescribeKey arn:aws:kms:us-west-2:1:key/k", "kms:CreateGrant arn:aws:kms:us-west-2:1:key/k"])]
#[case::last_snapshot("rds", "CreateDBSnapshot", json!({"DBInstanceIdentifier": "orders", "DBSnapshotIdentifier": "orders-left"}),
    &["rds:CreateDBSnapshot arn:aws:rds:us-west-2:1:snapshot:orders-left", "rds:CreateDBSnapshot arn:aws:rds:us-west-2:1:db:orders"])]
#[case::a_snapshots_tags_are_its_own("rds", "CreateDBSnapshot",
    json!({"DBInstanceIdentifier": "orders", "DBSnapshotIdentifier": "drill", "Tags.Tag.1.Key": "relight", "Tags.Tag.1.Value": "copy"}),
    &["rds:CreateDBSnapshot arn:aws:rds:us-west-2:1:snapshot:drill", "rds:CreateDBSnapshot arn:aws:rds:us-west-2:1:db:orders",
      "rds:AddTagsToResource arn:aws:rds:us-west-2:1:snapshot:drill"])]
#[case::a_restore("rds", "RestoreDBInstanceFromDBSnapshot",
    json!({"DBInstanceIdentifier": "copy", "DBSnapshotIdentifier": "drill", "DBParameterGroupName": "p", "DBSubnetGroupName": "s",
      "Tags.Tag.1.Key": "relight", "Tags.Tag.1.Value": "copy"}),
    &["rds:RestoreDBInstanceFromDBSnapshot arn:aws:rds:us-west-2:1:db:copy", "rds:RestoreDBInstanceFromDBSnapshot arn:aws:rds:us-west-2:1:snapshot:drill",
      "rds:RestoreDBInstanceFromDBSnapshot arn:aws:rds:us-west-2:1:pg:p", "rds:RestoreDBInstanceFromDBSnapshot arn:aws:rds:us-west-2:1:og:default",
      "rds:RestoreDBInstanceFromDBSnapshot arn:aws:rds:us-west-2:1:subgrp:s", "rds:AddTagsToResource arn:aws:rds:us-west-2:1:db:copy"])]
#[case::a_snapshot_is_deleted("rds", "DeleteDBSnapshot", json!({"DBSnapshotIdentifier": "drill"}), &["rds:DeleteDBSnapshot arn:aws:rds:us-west-2:1:snapshot:drill"])]
#[case::all_snapshots("rds", "DescribeDBSnapshots", json!({"SnapshotType": "manual"}), &["rds:DescribeDBSnapshots arn:aws:rds:us-west-2:1:snapshot:*"])]
#[case::a_snapshot("rds", "DescribeDBSnapshots", json!({"DBSnapshotIdentifier": "orders-left"}), &["rds:DescribeDBSnapshots arn:aws:rds:us-west-2:1:snapshot:orders-left"])]
#[case::a_clusters_snapshot("rds", "CreateDBClusterSnapshot",
    json!({"DBClusterIdentifier": "west", "DBClusterSnapshotIdentifier": "drill", "Tags.Tag.1.Key": "relight", "Tags.Tag.1.Value": "copy"}),
    &["rds:CreateDBClusterSnapshot arn:aws:rds:us-west-2:1:cluster-snapshot:drill", "rds:CreateDBClusterSnapshot arn:aws:rds:us-west-2:1:cluster:west",
      "rds:AddTagsToResource arn:aws:rds:us-west-2:1:cluster-snapshot:drill"])]
#[case::a_restored_cluster("rds", "RestoreDBClusterFromSnapshot",
    json!({"DBClusterIdentifier": "copy", "SnapshotIdentifier": "drill", "DBSubnetGroupName": "s", "Tags.Tag.1.Key": "relight", "Tags.Tag.1.Value": "copy"}),
    &["rds:RestoreDBClusterFromSnapshot arn:aws:rds:us-west-2:1:cluster:copy", "rds:RestoreDBClusterFromSnapshot arn:aws:rds:us-west-2:1:cluster-snapshot:drill",
      "rds:RestoreDBClusterFromSnapshot arn:aws:rds:us-west-2:1:cluster-pg:default", "rds:RestoreDBClusterFromSnapshot arn:aws:rds:us-west-2:1:og:default",
      "rds:RestoreDBClusterFromSnapshot arn:aws:rds:us-west-2:1:subgrp:s", "rds:AddTagsToResource arn:aws:rds:us-west-2:1:cluster:copy"])]
#[case::a_cluster_is_deleted("rds", "DeleteDBCluster", json!({"DBClusterIdentifier": "copy"}), &["rds:DeleteDBCluster arn:aws:rds:us-west-2:1:cluster:copy"])]
#[case::a_clusters_snapshot_is_deleted("rds", "DeleteDBClusterSnapshot", json!({"DBClusterSnapshotIdentifier": "drill"}),
    &["rds:DeleteDBClusterSnapshot arn:aws:rds:us-west-2:1:cluster-snapshot:drill"])]
#[case::renaming_is_judged_by_the_old_name("rds", "ModifyDBInstance", json!({"DBInstanceIdentifier": "orders", "NewDBInstanceIdentifier": "orders-left"}),
    &["rds:ModifyDBInstance arn:aws:rds:us-west-2:1:db:orders"])]
#[case::secret_replicated_again("secretsmanager", "ReplicateSecretToRegions", json!({"SecretId": "db", "AddReplicaRegions": [{"Region": "us-east-2"}]}),
    &["secretsmanager:ReplicateSecretToRegions arn:aws:secretsmanager:us-west-2:1:secret:db-a1B2c3"])]
#[case::global_cluster("rds", "FailoverGlobalCluster", json!({"GlobalClusterIdentifier": "g", "TargetDbClusterIdentifier": "arn:aws:rds:us-west-2:1:cluster:c"}),
    &["rds:FailoverGlobalCluster arn:aws:rds::1:global-cluster:g", "rds:FailoverGlobalCluster arn:aws:rds:us-west-2:1:cluster:c"])]
#[case::secret("secretsmanager", "GetSecretValue", json!({"SecretId": "db"}), &["secretsmanager:GetSecretValue arn:aws:secretsmanager:us-west-2:1:secret:db-a1B2c3"])]
#[case::rotation_invokes("secretsmanager", "RotateSecret", json!({"SecretId": "db", "RotationLambdaARN": "arn:aws:lambda:us-west-2:1:function:r"}),
    &["lambda:InvokeFunction arn:aws:lambda:us-west-2:1:function:r", "secretsmanager:RotateSecret arn:aws:secretsmanager:us-west-2:1:secret:db-a1B2c3"])]
#[case::table_index("dynamodb", "Query", json!({"TableName": "t", "IndexName": "i"}), &["dynamodb:Query arn:aws:dynamodb:us-west-2:1:table/t/index/i"])]
#[case::transaction("dynamodb", "TransactWriteItems", json!({"TransactItems": [{"Put": {"TableName": "t"}}, {"ConditionCheck": {"TableName": "u"}}]}),
    &["dynamodb:PutItem arn:aws:dynamodb:us-west-2:1:table/t", "dynamodb:ConditionCheckItem arn:aws:dynamodb:us-west-2:1:table/u"])]
#[case::topic("sns", "Publish", json!({"TopicArn": "arn:aws:sns:us-west-2:1:t"}), &["sns:Publish arn:aws:sns:us-west-2:1:t"])]
#[case::object("s3", "HeadObject", json!({"Bucket": "b", "Key": "k/x"}), &["s3:GetObject arn:aws:s3:::b/k/x"])]
#[case::bucket("s3", "ListObjectsV2", json!({"Bucket": "b"}), &["s3:ListBucket arn:aws:s3:::b"])]
#[case::copy("s3", "CopyObject", json!({"Bucket": "b", "Key": "k", "CopySource": "a/j"}), &["s3:GetObject arn:aws:s3:::a/j", "s3:PutObject arn:aws:s3:::b/k"])]
#[case::alias("lambda", "Invoke", json!({"FunctionName": "f", "Qualifier": "live"}), &["lambda:InvokeFunction arn:aws:lambda:us-west-2:1:function:f:live"])]
#[case::alias_within_the_arn("lambda", "Invoke", json!({"FunctionName": "arn:aws:lambda:us-west-2:1:function:f:live"}), &["lambda:InvokeFunction arn:aws:lambda:us-west-2:1:function:f:live"])]
#[case::schedule_passes_its_role("scheduler", "UpdateSchedule", json!({"Name": "tick", "Target": {"RoleArn": "arn:aws:iam::1:role/r"}}),
    &["iam:PassRole arn:aws:iam::1:role/r", "scheduler:UpdateSchedule arn:aws:scheduler:us-west-2:1:schedule/default/tick"])]
#[case::zone("route53", "ChangeResourceRecordSets", json!({"Kind": "hostedzone", "Id": "Z1"}), &["route53:ChangeResourceRecordSets arn:aws:route53:::hostedzone/Z1"])]
#[case::stage_of_an_api("apigateway", "PATCH", json!({"path": "/restapis/a/stages/prod"}), &["apigateway:PATCH arn:aws:apigateway:us-west-2::/restapis/a/stages/prod"])]
#[case::whoami("sts", "GetCallerIdentity", json!({}), &[])]
fn a_call_needs(#[case] service: &str, #[case] operation: &str, #[case] params: Value, #[case] expected: &[&str]) {
    let needs = needed(&call(service, operation, params)).unwrap();
    let found: Vec<_> = needs.iter().map(|need| format!("{} {}", need.action, need.resource)).collect();
    assert_eq!(found, expected);
}

#[rstest]
#[case("ecs", "ExecuteCommand")]
#[case("ec2", "TerminateInstances")]
#[case("rds", "PromoteReadReplica")]
fn what_is_not_in_the_tables_or_names_nothing_is_an_error(#[case] service: &str, #[case] operation: &str) {
    let error = needed(&call(service, operation, json!({}))).unwrap_err();
    assert!(error.to_string().contains(&format!("{service}:{operation}")), "{error}");
}

#[test]
fn conditions_see_the_namespace_the_cluster_the_passed_service_the_regions_and_the_tags() {
    let context = |service, operation, params| needed(&call(service, operation, params)).unwrap()[0].context.clone();
    let namespace = context("cloudwatch", "PutMetricData", json!({"Namespace": "Relight"}));
    assert_eq!(namespace["cloudwatch:namespace"], ["Relight"]);
    let cluster = context("ecs", "UpdateService", json!({"cluster": "prod", "service": "web"}));
    assert_eq!(cluster["ecs:cluster"], ["arn:aws:ecs:us-west-2:1:cluster/prod"]);
    let public = context("rds", "CreateDBInstanceReadReplica", json!({"DBInstanceIdentifier": "copy", "PubliclyAccessible": "false"}));
    assert_eq!(public["rds:publiclyaccessible"], ["false"]);
    let passed = context("ecs", "RegisterTaskDefinition", json!({"taskRoleArn": "arn:aws:iam::1:role/t"}));
    assert_eq!(passed["iam:passedtoservice"], ["ecs-tasks.amazonaws.com"]);
    let forced = json!({"SecretId": "s", "AddReplicaRegions": [{"Region": "us-east-2"}], "ForceOverwriteReplicaSecret": true});
    let replicated = context("secretsmanager", "ReplicateSecretToRegions", forced);
    assert_eq!(replicated["secretsmanager:addreplicaregions"], ["us-east-2"]);
    assert_eq!(replicated["secretsmanager:forceoverwritereplicasecret"], ["true"]);
    let tags = context("secretsmanager", "TagResource", json!({"SecretId": "s", "Tags": [{"Key": "Run", "Value": "7"}]}));
    assert_eq!((&tags["aws:tagkeys"], &tags["aws:requesttag/run"]), (&vec!["Run".to_owned()], &vec!["7".to_owned()]));
}
