//! Faults on demand, dark Regions, corrected answers, and what the log keeps to itself.

mod stage;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stage::{ACCOUNT, EAST, STAGE, WEST, acting_as, function, role, root};
use stage_router::{CallVerdict, Fault, FaultKind};

async fn table(region: &'static str, name: &str) {
    let table = json!({"TableName": name, "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}]});
    root(region).json("dynamodb", "DynamoDB_20120810.CreateTable", table).await.ok();
}

fn item(table: &str, value: &str) -> Value {
    json!({"TableName": table, "Item": {"pk": {"S": "head"}, "value": {"S": value}}})
}

async fn value(table: &str) -> Value {
    let read = json!({"TableName": table, "Key": {"pk": {"S": "head"}}, "ConsistentRead": true});
    root(WEST).json("dynamodb", "DynamoDB_20120810.GetItem", read).await.ok().json()["Item"]["value"]["S"].clone()
}

#[tokio::test]
async fn a_lost_answer_was_done_and_a_failed_call_was_not() {
    table(WEST, "lost").await;
    let us = root(WEST);
    let put = "DynamoDB_20120810.PutItem";
    let next = |kind| STAGE.router.fault(Fault::new(kind).service("dynamodb").operation("PutItem").region(WEST).caller("root"));
    next(FaultKind::LoseAnswer);
    assert_eq!(us.json("dynamodb", put, item("lost", "one")).await.status, 500);
    assert_eq!(value("lost").await, "one");
    next(FaultKind::Fail);
    assert_eq!(us.json("dynamodb", put, item("lost", "two")).await.status, 500);
    assert_eq!(value("lost").await, "one");
    us.json("dynamodb", put, item("lost", "three")).await.ok();
    assert_eq!(value("lost").await, "three");
}

#[tokio::test]
async fn throttling_speaks_the_code_of_the_service_and_ends_after_its_calls() {
    let us = client!(aws_sdk_sns, root("us-west-1"));
    STAGE.router.fault(Fault::new(FaultKind::Throttle).service("sns").region("us-west-1").times(2));
    for _ in 0..2 {
        assert!(us.create_topic().name("t").send().await.unwrap_err().into_service_error().meta().code() == Some("Throttled"));
    }
    us.create_topic().name("t").send().await.unwrap();
    STAGE.router.fault(Fault::new(FaultKind::Throttle).service("autoscaling").region("us-west-1"));
    let answer = root("us-west-1").query("autoscaling", &[("Action", "DescribeAutoScalingGroups"), ("Version", "2011-01-01")]).await;
    assert!(answer.status == 400 && answer.body.contains("<Code>Throttling</Code>"), "{}", answer.body);
}

#[tokio::test]
async fn a_delay_and_a_denial_hit_the_caller_they_name_only() {
    role("unlucky", json!([{"Effect": "Allow", "Action": "sns:ListTopics", "Resource": "*"}])).await;
    let unlucky = client!(aws_sdk_sns, acting_as("unlucky", WEST));
    STAGE.router.fault(Fault::new(FaultKind::Delay(Duration::from_millis(300))).operation("ListTopics").caller("unlucky"));
    STAGE.router.fault(Fault::new(FaultKind::Deny).operation("ListTopics").caller("unlucky"));
    client!(aws_sdk_sns, root(WEST)).list_topics().send().await.unwrap();
    let started = Instant::now();
    assert!(unlucky.list_topics().send().await.unwrap_err().into_service_error().is_authorization_error_exception());
    assert!(started.elapsed() >= Duration::from_millis(300));
    unlucky.list_topics().send().await.unwrap();
}

#[tokio::test]
async fn a_dark_region_swallows_calls_into_it_and_calls_of_its_functions() {
    let dark = "eu-central-1";
    let arn = role("in-the-dark", json!([{"Effect": "Allow", "Action": "sns:ListTopics", "Resource": "*"}])).await;
    function(dark, "in-the-dark", &arn, &[]).await;
    let invoked = root(dark).rest("lambda", "POST", "/2015-03-31/functions/in-the-dark/invocations", json!({})).await.ok();
    let key = invoked.json()["key"].as_str().unwrap().to_owned();
    let outward = stage::As { key, region: EAST };
    let list = [("Action", "ListTopics"), ("Version", "2010-03-31")];
    outward.query("sns", &list).await.ok();
    STAGE.router.dark(dark, true);
    let into = root(dark);
    let (one, two) = tokio::join!(
        tokio::time::timeout(Duration::from_millis(700), into.query("sns", &list)),
        tokio::time::timeout(Duration::from_millis(700), outward.query("sns", &list)),
    );
    assert!(one.is_err() && two.is_err());
    root(EAST).query("sns", &list).await.ok();
    let swallowed: Vec<_> = STAGE.router.calls().into_iter().filter(|call| call.verdict == CallVerdict::Dark && call.service == "sns").collect();
    assert_eq!(swallowed.iter().map(|call| (call.status, call.operation.as_str())).collect::<Vec<_>>(), [(None, "ListTopics"); 2]);
    STAGE.router.dark(dark, false);
    into.query("sns", &list).await.ok();
}

#[tokio::test]
async fn a_bucket_is_dark_with_its_own_region_even_for_strangers() {
    let bucket = json!("<CreateBucketConfiguration><LocationConstraint>ap-south-1</LocationConstraint></CreateBucketConfiguration>");
    root("ap-south-1").send("s3", "PUT", "/far", &[], bucket.as_str().unwrap().to_owned()).await.ok();
    assert_eq!(stage::unsigned("GET", "/far/x").await.status, 403);
    STAGE.router.dark("ap-south-1", true);
    assert!(tokio::time::timeout(Duration::from_millis(500), stage::unsigned("GET", "/far/x")).await.is_err());
    STAGE.router.dark("ap-south-1", false);
}

#[tokio::test]
async fn a_json_answer_is_corrected_on_its_way_back() {
    STAGE.router.rewrite("ecs", "ListClusters", |call, mut answer| {
        answer["seen"] = json!(call.region);
        answer
    });
    let answer = root(WEST).json("ecs", "AmazonEC2ContainerServiceV20141113.ListClusters", json!({})).await.ok().json();
    assert_eq!(answer["seen"], WEST);
}

#[tokio::test]
async fn a_page_for_people_is_told_as_what_the_emulator_lacks() {
    let call = [("Action", "SetDesiredCapacity"), ("Version", "2011-01-01"), ("AutoScalingGroupName", "none"), ("DesiredCapacity", "1")];
    let answer = root(WEST).query("autoscaling", &call).await;
    assert_eq!(answer.status, 501, "{}", answer.body);
    assert!(answer.body.contains("the emulator does not support autoscaling:SetDesiredCapacity"), "{}", answer.body);
}

#[tokio::test]
async fn an_emulator_that_is_not_there_is_named() {
    let answer = root(WEST).query("rds", &[("Action", "DescribeDBInstances"), ("Version", "2014-10-31")]).await;
    assert!(answer.status == 501 && answer.body.contains("Rds at 127.0.0.1"), "{}", answer.body);
}

#[tokio::test]
async fn a_topic_of_another_region_is_refused_as_sns_refuses_it() {
    let us = client!(aws_sdk_sns, root(WEST));
    let refused = us.publish().topic_arn(format!("arn:aws:sns:{EAST}:{ACCOUNT}:t")).message("m").send().await.unwrap_err();
    assert!(refused.into_service_error().is_invalid_parameter_exception());
}

#[tokio::test]
async fn no_secret_reaches_the_log() {
    let us = root(WEST);
    let body = json!({"Name": "logged", "SecretString": "hunter2-in-the-body"});
    us.json("secretsmanager", "secretsmanager.CreateSecret", body).await.ok();
    us.json("secretsmanager", "secretsmanager.GetSecretValue", json!({"SecretId": "logged"})).await.ok();
    let log = std::fs::read_to_string(STAGE.folder.join("calls.jsonl")).unwrap();
    assert!(log.contains("GetSecretValue") && log.contains("secret:logged-"));
    assert!(!log.contains("hunter2") && !log.contains("Signature"));
    let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    for key in ["time", "caller", "region", "service", "operation", "resources", "verdict", "fault", "status", "millis"] {
        assert!(line.get(key).is_some(), "{key}");
    }
}
