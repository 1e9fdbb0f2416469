//! Which calls of a role pass, over real emulators and the real SDKs.

mod stage;

use serde_json::json;
use stage::{ACCOUNT, EAST, STAGE, WEST, acting_as, function, role, root, unsigned};
use stage_router::CallVerdict;

#[tokio::test]
async fn a_role_updates_its_service_and_no_other_and_the_log_says_so() {
    role(
        "scaler",
        json!([{"Effect": "Allow", "Action": ["ecs:UpdateService", "ecs:DescribeServices"],
        "Resource": format!("arn:aws:ecs:{WEST}:{ACCOUNT}:service/prod/web")}]),
    )
    .await;
    let us = client!(aws_sdk_ecs, root(WEST));
    us.create_cluster().cluster_name("prod").send().await.unwrap();
    us.register_task_definition()
        .family("web")
        .container_definitions(aws_sdk_ecs::types::ContainerDefinition::builder().name("web").image("web").build())
        .send()
        .await
        .unwrap();
    for name in ["web", "other"] {
        us.create_service().cluster("prod").service_name(name).task_definition("web").desired_count(0).send().await.unwrap();
    }
    let scaler = client!(aws_sdk_ecs, acting_as("scaler", WEST));
    scaler.update_service().cluster("prod").service("web").desired_count(1).send().await.unwrap();
    let refused = scaler.update_service().cluster("prod").service("other").desired_count(1).send().await.unwrap_err();
    assert_eq!(refused.into_service_error().meta().code(), Some("AccessDeniedException"));
    let both = scaler.describe_services().cluster("prod").services("web").services("other").send().await.unwrap_err();
    let sentence = both.into_service_error().meta().message().unwrap_or_default().to_owned();
    assert_eq!(
        sentence,
        format!(
            "User: arn:aws:sts::{ACCOUNT}:assumed-role/scaler/test is not authorized to perform: \
        ecs:DescribeServices on resource: arn:aws:ecs:{WEST}:{ACCOUNT}:service/prod/other because no identity-based policy \
        allows the ecs:DescribeServices action"
        )
    );
    let calls = STAGE.router.calls();
    let updates: Vec<_> = calls.iter().filter(|call| call.caller == "scaler" && call.operation == "UpdateService").collect();
    assert_eq!(
        updates.iter().map(|call| (call.verdict, call.status)).collect::<Vec<_>>(),
        [(CallVerdict::Allowed, Some(200)), (CallVerdict::Denied, Some(400))]
    );
    assert_eq!(updates[1].resources, [format!("arn:aws:ecs:{WEST}:{ACCOUNT}:service/prod/other")]);
}

#[tokio::test]
async fn a_function_acts_under_the_key_that_ministack_minted_for_it() {
    let arn = role("minted", json!([{"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"}])).await;
    function(WEST, "minted", &arn, &[]).await;
    let invoked = root(WEST).rest("lambda", "POST", "/2015-03-31/functions/minted/invocations", json!({"hello": 1})).await.ok();
    let key = invoked.json()["key"].as_str().unwrap().to_owned();
    let us = stage::As { key, region: WEST };
    us.json("secretsmanager", "secretsmanager.GetRandomPassword", json!({})).await.ok();
    let denied = us.json("secretsmanager", "secretsmanager.ListSecrets", json!({})).await;
    assert_eq!(denied.json()["__type"], "AccessDeniedException");
    assert!(denied.body.contains("assumed-role/minted/minted"), "{}", denied.body);
    let last = STAGE.router.calls().into_iter().rfind(|call| call.caller == "minted").unwrap();
    assert_eq!(last.function, Some(format!("arn:aws:lambda:{WEST}:{ACCOUNT}:function:minted")));
}

#[tokio::test]
async fn metrics_go_to_the_namespace_of_the_policy_only_and_the_sdk_reads_the_refusal() {
    role(
        "meter",
        json!([{"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*",
        "Condition": {"StringEquals": {"cloudwatch:namespace": "Relight"}}}]),
    )
    .await;
    let meter = client!(aws_sdk_cloudwatch, acting_as("meter", WEST));
    let datum = aws_sdk_cloudwatch::types::MetricDatum::builder().metric_name("Beat").value(1.0).build();
    meter.put_metric_data().namespace("Relight").metric_data(datum.clone()).send().await.unwrap();
    let refused = meter.put_metric_data().namespace("Other").metric_data(datum).send().await.unwrap_err();
    assert_eq!(refused.into_service_error().meta().code(), Some("AccessDenied"));
    let us = client!(aws_sdk_cloudwatch, root(WEST));
    let metrics = us.list_metrics().namespace("Relight").send().await.unwrap();
    assert_eq!(metrics.metrics()[0].metric_name(), Some("Beat"));
}

#[tokio::test]
async fn groups_and_scalable_targets_at_moto_are_judged_by_their_own_arns() {
    role(
        "groups",
        json!([
        {"Effect": "Allow", "Action": ["autoscaling:DescribeAutoScalingGroups", "application-autoscaling:DescribeScalableTargets"], "Resource": "*"},
        {"Effect": "Allow", "Action": "autoscaling:SuspendProcesses",
            "Resource": format!("arn:aws:autoscaling:{WEST}:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/web")},
        {"Effect": "Allow", "Action": "application-autoscaling:RegisterScalableTarget",
            "Resource": format!("arn:aws:application-autoscaling:{WEST}:{ACCOUNT}:scalable-target/*"),
            "Condition": {"StringEquals": {"application-autoscaling:service-namespace": "ecs"}}}]),
    )
    .await;
    let us = acting_as("groups", WEST);
    us.query("autoscaling", &[("Action", "DescribeAutoScalingGroups"), ("Version", "2011-01-01")]).await.ok();
    let suspend = |name: &'static str| [("Action", "SuspendProcesses"), ("Version", "2011-01-01"), ("AutoScalingGroupName", name)];
    let other = us.query("autoscaling", &suspend("other")).await;
    assert_eq!((other.status, other.body.contains("<Code>AccessDenied</Code>")), (403, true));
    // Allowed, and then moto's own trouble with a group that does not exist, which an SDK would retry, is told as what it is.
    let missing = us.query("autoscaling", &suspend("web")).await;
    assert!(!missing.body.contains("AccessDenied") && missing.status != 500, "{} {}", missing.status, missing.body);
    let register = |namespace: &str| {
        json!({"ServiceNamespace": namespace, "ResourceId": "service/prod/web", "ScalableDimension": "ecs:service:DesiredCount",
            "MinCapacity": 1, "MaxCapacity": 2})
    };
    let target = "AnyScaleFrontendService.RegisterScalableTarget";
    let denied = us.json("application-autoscaling", target, register("dynamodb")).await;
    assert_eq!(denied.json()["__type"], "AccessDeniedException");
    let allowed = us.json("application-autoscaling", target, register("ecs")).await;
    assert!(!allowed.body.contains("AccessDenied"), "{}", allowed.body);
}

#[tokio::test]
async fn a_secret_is_judged_by_its_arn_whatever_name_it_is_called_by() {
    role(
        "reader",
        json!([{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue",
        "Resource": format!("arn:aws:secretsmanager:{WEST}:{ACCOUNT}:secret:orders/db-??????")}]),
    )
    .await;
    let us = client!(aws_sdk_secretsmanager, root(WEST));
    for name in ["orders/db", "orders/other"] {
        us.create_secret().name(name).secret_string("value").send().await.unwrap();
    }
    let reader = client!(aws_sdk_secretsmanager, acting_as("reader", WEST));
    let arn = reader.get_secret_value().secret_id("orders/db").send().await.unwrap().arn().unwrap().to_owned();
    assert_eq!(reader.get_secret_value().secret_id(arn).send().await.unwrap().secret_string(), Some("value"));
    assert!(reader.get_secret_value().secret_id("orders/other").send().await.is_err());
}

#[tokio::test]
async fn a_table_is_written_by_who_may_and_a_transaction_takes_every_permission() {
    role(
        "keeper",
        json!([{"Effect": "Allow", "Action": "dynamodb:PutItem",
        "Resource": format!("arn:aws:dynamodb:{WEST}:{ACCOUNT}:table/journal")}]),
    )
    .await;
    let table = json!({"TableName": "journal", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}]});
    root(WEST).json("dynamodb", "DynamoDB_20120810.CreateTable", table).await.ok();
    let keeper = acting_as("keeper", WEST);
    let item = json!({"TableName": "journal", "Item": {"pk": {"S": "head"}}});
    keeper.json("dynamodb", "DynamoDB_20120810.PutItem", item.clone()).await.ok();
    let check = json!({"TableName": "journal", "Key": {"pk": {"S": "x"}}, "ConditionExpression": "attribute_not_exists(pk)"});
    let both = json!({"TransactItems": [{"Put": item}, {"ConditionCheck": check}]});
    let denied = keeper.json("dynamodb", "DynamoDB_20120810.TransactWriteItems", both).await;
    assert!(denied.body.contains("dynamodb:ConditionCheckItem"), "{}", denied.body);
}

#[tokio::test]
async fn a_public_key_is_read_unsigned_and_a_private_one_is_not() {
    let us = client!(aws_sdk_s3, root(WEST));
    let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(WEST.into()).build();
    us.create_bucket().bucket("switch").create_bucket_configuration(place).send().await.unwrap();
    us.delete_public_access_block().bucket("switch").send().await.unwrap();
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::switch/STOP"}]});
    us.put_bucket_policy().bucket("switch").policy(policy.to_string()).send().await.unwrap();
    assert_eq!(unsigned("GET", "/switch/STOP").await.status, 403, "nobody tells a stranger that it is missing");
    let nowhere = unsigned("GET", "/nowhere/STOP").await;
    assert!(nowhere.status == 404 && nowhere.body.contains("NoSuchBucket"), "{}", nowhere.body);
    for key in ["STOP", "private"] {
        us.put_object().bucket("switch").key(key).body(b"stop".to_vec().into()).send().await.unwrap();
    }
    assert_eq!((unsigned("HEAD", "/switch/STOP").await.status, unsigned("GET", "/switch/STOP").await.body.as_str()), (200, "stop"));
    assert_eq!(unsigned("GET", "/switch/private").await.status, 403);
}

#[tokio::test]
async fn a_missing_key_is_hidden_from_who_may_not_list_the_bucket() {
    role("putter", json!([{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::hidden/*"}])).await;
    role(
        "lister",
        json!([{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::hidden", "arn:aws:s3:::hidden/*"]}]),
    )
    .await;
    let us = client!(aws_sdk_s3, root(WEST));
    let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(WEST.into()).build();
    us.create_bucket().bucket("hidden").create_bucket_configuration(place).send().await.unwrap();
    let putter = client!(aws_sdk_s3, acting_as("putter", WEST));
    putter.put_object().bucket("hidden").key("a").body(b"x".to_vec().into()).send().await.unwrap();
    assert_eq!(putter.get_object().bucket("hidden").key("b").send().await.unwrap_err().raw_response().unwrap().status().as_u16(), 403);
    let lister = client!(aws_sdk_s3, acting_as("lister", WEST));
    assert_eq!(lister.head_object().bucket("hidden").key("b").send().await.unwrap_err().raw_response().unwrap().status().as_u16(), 404);
    assert!(lister.put_object().bucket("hidden").key("a").body(b"y".to_vec().into()).send().await.is_err());
}

#[tokio::test]
async fn what_the_stage_cannot_judge_is_an_error_that_names_it() {
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]}).to_string();
    let us = root("us-east-1");
    us.query("iam", &[("Action", "CreateRole"), ("Version", "2010-05-08"), ("RoleName", "odd"), ("AssumeRolePolicyDocument", &trust)]).await.ok();
    let policy = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"NumericEquals": {"ecs:task-cpu": "1"}}}]})
        .to_string();
    let put = [("Action", "PutRolePolicy"), ("Version", "2010-05-08"), ("RoleName", "odd"), ("PolicyName", "p"), ("PolicyDocument", &policy)];
    let refused = us.query("iam", &put).await;
    assert!(refused.status == 501 && refused.body.contains("NumericEquals"), "{} {}", refused.status, refused.body);
    let attach =
        [("Action", "AttachRolePolicy"), ("Version", "2010-05-08"), ("RoleName", "odd"), ("PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess")];
    us.query("iam", &attach).await.ok();
    let odd = acting_as("odd", EAST).json("ecs", "AmazonEC2ContainerServiceV20141113.ListClusters", json!({})).await;
    assert!(odd.status == 501 && odd.body.contains("ReadOnlyAccess"), "{} {}", odd.status, odd.body);
    role("curious", json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}])).await;
    let unknown = acting_as("curious", EAST).json("ecs", "AmazonEC2ContainerServiceV20141113.ExecuteCommand", json!({})).await;
    assert!(unknown.status == 501 && unknown.body.contains("ecs:ExecuteCommand"), "{} {}", unknown.status, unknown.body);
    let stranger = stage::As { key: "AKIANOBODY".to_owned(), region: EAST };
    assert_eq!(stranger.json("ecs", "AmazonEC2ContainerServiceV20141113.ListClusters", json!({})).await.status, 501);
}

#[tokio::test]
async fn a_role_is_passed_only_by_who_may_pass_it() {
    role("schedules", json!([{"Effect": "Allow", "Action": "scheduler:*", "Resource": "*"}])).await;
    let body = json!({"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": {"Mode": "OFF"}, "State": "DISABLED",
        "Target": {"Arn": format!("arn:aws:lambda:{WEST}:{ACCOUNT}:function:x"), "RoleArn": format!("arn:aws:iam::{ACCOUNT}:role/ticker")}});
    let denied = acting_as("schedules", WEST).rest("scheduler", "POST", "/schedules/nightly", body).await;
    assert!(denied.status == 403 && denied.body.contains("iam:PassRole"), "{} {}", denied.status, denied.body);
}

#[tokio::test]
async fn a_tag_on_the_resource_decides_where_the_policy_asks_for_it() {
    role(
        "cleaner",
        json!([{"Effect": "Allow", "Action": "secretsmanager:DeleteSecret", "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/relight": "copy"}}}]),
    )
    .await;
    let us = client!(aws_sdk_secretsmanager, root(EAST));
    let tag = aws_sdk_secretsmanager::types::Tag::builder().key("relight").value("copy").build();
    us.create_secret().name("tagged").secret_string("x").tags(tag).send().await.unwrap();
    us.create_secret().name("plain").secret_string("x").send().await.unwrap();
    let cleaner = client!(aws_sdk_secretsmanager, acting_as("cleaner", EAST));
    assert!(cleaner.delete_secret().secret_id("plain").send().await.is_err());
    cleaner.delete_secret().secret_id("tagged").send().await.unwrap();
}
