use rstest::rstest;
use serde_json::json;

use super::*;

fn allowing(action: &str, resource: &str, condition: &Value) -> Policy {
    Policy::identity(&json!({"Statement": {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}}).to_string()).unwrap()
}

fn need(action: &str, resource: &str, context: &[(&str, &[&str])]) -> Need {
    Need {
        action: action.to_owned(),
        resource: resource.to_owned(),
        context: context.iter().map(|(key, values)| ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())).collect(),
    }
}

const SERVICE: &str = "arn:aws:ecs:us-west-2:123456789012:service/prod/web";
const SECRET: &str = "arn:aws:secretsmanager:us-west-2:123456789012:secret:orders/db-a1B2c3";
const GROUP: &str = "arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:6a4c:autoScalingGroupName/web";

#[rstest]
#[case::exact("ecs:UpdateService", SERVICE, "ecs:UpdateService", SERVICE, true)]
#[case::action_in_other_case("ECS:updateservice", SERVICE, "ecs:UpdateService", SERVICE, true)]
#[case::action_wildcard("ecs:Describe*", "*", "ecs:DescribeServices", SERVICE, true)]
#[case::action_wildcard_of_another_verb("ecs:Describe*", "*", "ecs:UpdateService", SERVICE, false)]
#[case::every_action("*", "*", "ecs:UpdateService", SERVICE, true)]
#[case::cluster_is_not_its_service("ecs:UpdateService", "arn:aws:ecs:us-west-2:123456789012:cluster/prod", "ecs:UpdateService", SERVICE, false)]
#[case::service_of_the_cluster("ecs:UpdateService", "arn:aws:ecs:us-west-2:123456789012:service/prod/*", "ecs:UpdateService", SERVICE, true)]
#[case::service_of_another_cluster("ecs:UpdateService", "arn:aws:ecs:us-west-2:123456789012:service/test/*", "ecs:UpdateService", SERVICE, false)]
#[case::another_region("ecs:UpdateService", "arn:aws:ecs:us-east-2:123456789012:service/prod/web", "ecs:UpdateService", SERVICE, false)]
#[case::any_region("ecs:UpdateService", "arn:aws:ecs:*:123456789012:service/prod/web", "ecs:UpdateService", SERVICE, true)]
#[case::star_stays_in_its_part("ecs:UpdateService", "arn:aws:ecs:*:service/prod/web:x:y", "ecs:UpdateService", SERVICE, false)]
#[case::resource_in_other_case("ecs:UpdateService", "arn:aws:ecs:us-west-2:123456789012:service/prod/WEB", "ecs:UpdateService", SERVICE, false)]
#[case::secret_by_its_suffix(
    "secretsmanager:GetSecretValue",
    "arn:aws:secretsmanager:us-west-2:123456789012:secret:orders/db-??????",
    "secretsmanager:GetSecretValue",
    SECRET,
    true
)]
#[case::secret_without_suffix(
    "secretsmanager:GetSecretValue",
    "arn:aws:secretsmanager:us-west-2:123456789012:secret:orders/db",
    "secretsmanager:GetSecretValue",
    SECRET,
    false
)]
#[case::secret_of_longer_name(
    "secretsmanager:GetSecretValue",
    "arn:aws:secretsmanager:us-west-2:123456789012:secret:orders/d-??????",
    "secretsmanager:GetSecretValue",
    SECRET,
    false
)]
#[case::group_by_its_name(
    "autoscaling:UpdateAutoScalingGroup",
    "arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:*:autoScalingGroupName/web",
    "autoscaling:UpdateAutoScalingGroup",
    GROUP,
    true
)]
#[case::group_of_another_name(
    "autoscaling:UpdateAutoScalingGroup",
    "arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:*:autoScalingGroupName/api",
    "autoscaling:UpdateAutoScalingGroup",
    GROUP,
    false
)]
#[case::object_of_the_bucket("s3:PutObject", "arn:aws:s3:::switch/*", "s3:PutObject", "arn:aws:s3:::switch/STOP", true)]
#[case::bucket_is_not_its_object("s3:PutObject", "arn:aws:s3:::switch", "s3:PutObject", "arn:aws:s3:::switch/STOP", false)]
#[case::all_resources_of_describe("rds:DescribeDBInstances", "*", "rds:DescribeDBInstances", "arn:aws:rds:us-west-2:123456789012:db:*", true)]
#[case::star_against_one_database(
    "rds:DescribeDBInstances",
    "arn:aws:rds:us-west-2:123456789012:db:orders",
    "rds:DescribeDBInstances",
    "arn:aws:rds:us-west-2:123456789012:db:*",
    false
)]
fn action_and_resource(#[case] action: &str, #[case] resource: &str, #[case] asked: &str, #[case] arn: &str, #[case] allowed: bool) {
    let policy = allowing(action, resource, &Value::Null);
    assert_eq!(judge([&policy].into_iter(), &need(asked, arn, &[])) == Judgement::Allowed, allowed);
}

#[rstest]
#[case::equal(json!({"StringEquals": {"cloudwatch:namespace": "Relight"}}), &[("cloudwatch:namespace", &["Relight"][..])], true)]
#[case::key_in_other_case(json!({"StringEquals": {"CloudWatch:Namespace": "Relight"}}), &[("cloudwatch:namespace", &["Relight"][..])], true)]
#[case::not_equal(json!({"StringEquals": {"cloudwatch:namespace": "Relight"}}), &[("cloudwatch:namespace", &["Other"][..])], false)]
#[case::absent(json!({"StringEquals": {"cloudwatch:namespace": "Relight"}}), &[], false)]
#[case::absent_if_exists(json!({"StringEqualsIfExists": {"cloudwatch:namespace": "Relight"}}), &[], true)]
#[case::one_of_several(json!({"StringEquals": {"aws:RequestedRegion": ["us-east-1", "us-west-2"]}}), &[("aws:requestedregion", &["us-west-2"][..])], true)]
#[case::like(json!({"StringLike": {"s3:prefix": "runs/*"}}), &[("s3:prefix", &["runs/7"][..])], true)]
#[case::not_like(json!({"StringNotLike": {"s3:prefix": "runs/*"}}), &[("s3:prefix", &["runs/7"][..])], false)]
#[case::negated_and_absent(json!({"StringNotEquals": {"s3:prefix": "runs"}}), &[], true)]
#[case::arn(json!({"ArnLike": {"ecs:cluster": "arn:aws:ecs:*:123456789012:cluster/prod"}}), &[("ecs:cluster", &["arn:aws:ecs:us-west-2:123456789012:cluster/prod"][..])], true)]
#[case::arn_of_another(json!({"ArnEquals": {"ecs:cluster": "arn:aws:ecs:us-west-2:123456789012:cluster/test"}}), &[("ecs:cluster", &["arn:aws:ecs:us-west-2:123456789012:cluster/prod"][..])], false)]
#[case::all_within(json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["relight", "run"]}}), &[("aws:tagkeys", &["run", "relight"][..])], true)]
#[case::one_outside(json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["relight"]}}), &[("aws:tagkeys", &["run", "relight"][..])], false)]
#[case::all_of_nothing(json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["relight"]}}), &[], true)]
#[case::any_of_nothing(json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["relight"]}}), &[], false)]
#[case::boolean(json!({"Bool": {"aws:SecureTransport": true}}), &[("aws:securetransport", &["true"][..])], true)]
#[case::must_be_absent(json!({"Null": {"aws:ResourceTag/relight": "true"}}), &[("aws:resourcetag/relight", &["copy"][..])], false)]
#[case::must_be_present(json!({"Null": {"aws:ResourceTag/relight": "false"}}), &[("aws:resourcetag/relight", &["copy"][..])], true)]
#[case::both_conditions(json!({"StringEquals": {"sns:Protocol": "lambda", "aws:RequestedRegion": "us-west-2"}}), &[("sns:protocol", &["lambda"][..])], false)]
fn conditions_hold(#[case] condition: Value, #[case] context: &[(&str, &[&str])], #[case] allowed: bool) {
    let policy = allowing("*", "*", &condition);
    assert_eq!(judge([&policy].into_iter(), &need("ecs:UpdateService", SERVICE, context)) == Judgement::Allowed, allowed);
}

#[rstest]
#[case::unknown_key(json!({"StringEquals": {"ecs:task-cpu": "256"}}), PolicyError::Key("ecs:task-cpu".to_owned()))]
#[case::unknown_operator(json!({"NumericLessThan": {"s3:prefix": "1"}}), PolicyError::Operator("NumericLessThan".to_owned()))]
#[case::variable(json!({"StringLike": {"s3:prefix": "${aws:username}/*"}}), PolicyError::Variable("${aws:username}/*".to_owned()))]
fn what_is_not_evaluated_is_an_error_that_names_it(#[case] condition: Value, #[case] expected: PolicyError) {
    let document = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}]});
    assert_eq!(Policy::identity(&document.to_string()).unwrap_err(), expected);
}

#[test]
fn deny_beats_allow_whatever_their_order() {
    let allow = allowing("*", "*", &Value::Null);
    let deny = Policy::identity(&json!({"Statement": [{"Effect": "Deny", "Action": "rds:*", "Resource": "*"}]}).to_string()).unwrap();
    let promote = need("rds:PromoteReadReplica", "arn:aws:rds:us-west-2:123456789012:db:orders", &[]);
    for policies in [[&allow, &deny], [&deny, &allow]] {
        assert_eq!(judge(policies.into_iter(), &promote), Judgement::Forbidden);
    }
    assert_eq!(judge([].into_iter(), &promote), Judgement::Silent);
}

#[test]
fn not_action_allows_everything_else() {
    let document = json!({"Statement": [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]}).to_string();
    let policy = Policy::identity(&document).unwrap();
    assert_eq!(judge([&policy].into_iter(), &need("ecs:UpdateService", SERVICE, &[])), Judgement::Allowed);
    assert_eq!(judge([&policy].into_iter(), &need("iam:PassRole", "arn:aws:iam::123456789012:role/x", &[])), Judgement::Silent);
}

#[test]
fn resource_policy_admits_the_service_it_names_from_the_topic_it_names() {
    let document = json!({"Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "lambda:InvokeFunction",
        "Resource": "arn:aws:lambda:us-west-2:123456789012:function:scale-up",
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:sns:us-east-1:123456789012:alarms"}}}]});
    let policy = Policy::parse(&document.to_string()).unwrap();
    let invoke =
        |topic: &str| need("lambda:InvokeFunction", "arn:aws:lambda:us-west-2:123456789012:function:scale-up", &[("aws:sourcearn", &[topic])]);
    assert!(policy.admits("sns.amazonaws.com", &invoke("arn:aws:sns:us-east-1:123456789012:alarms")));
    assert!(!policy.admits("sns.amazonaws.com", &invoke("arn:aws:sns:us-east-1:123456789012:other")));
    assert!(!policy.admits("events.amazonaws.com", &invoke("arn:aws:sns:us-east-1:123456789012:alarms")));
}
