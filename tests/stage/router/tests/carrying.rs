//! What topics, alarms, schedules and rotations bring to functions.

mod stage;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stage::{ACCOUNT, EAST, STAGE, WEST, acting_as, eventually, function, permit, received, role, root};
use stage_router::{CarryFault, CarryFaultKind, Outcome, Source};

async fn topic(region: &'static str, name: &str) -> String {
    let us = client!(aws_sdk_sns, root(region));
    us.create_topic().name(name).send().await.unwrap().topic_arn().unwrap().to_owned()
}

async fn subscribe(region: &'static str, topic: &str, function: &str) -> String {
    let us = client!(aws_sdk_sns, root(region));
    let answer = us.subscribe().topic_arn(topic).protocol("lambda").endpoint(function).send().await.unwrap();
    answer.subscription_arn().unwrap().to_owned()
}

async fn publish(region: &'static str, topic: &str, message: &str) {
    let us = client!(aws_sdk_sns, root(region));
    us.publish().topic_arn(topic).message(message).send().await.unwrap();
}

/// A function of a Region that the topic may invoke.
async fn listener(region: &'static str, name: &str, topic: &str) -> (String, std::path::PathBuf) {
    let arn = role(name, json!([])).await;
    let (function, record) = function(region, name, &arn, &[]).await;
    permit(&function, "sns.amazonaws.com", topic).await;
    (function, record)
}

fn messages(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["Records"][0]["Sns"]["Message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_message_reaches_a_function_of_another_region_once_as_sns_writes_it() {
    let topic = topic(EAST, "across").await;
    let (function, record) = listener(WEST, "across", &topic).await;
    let subscription = subscribe(EAST, &topic, &function).await;
    assert!(subscription.starts_with(&topic), "{subscription}");
    assert_eq!(subscribe(EAST, &topic, &function).await, subscription);
    let us = client!(aws_sdk_sns, root(EAST));
    let shown = us.list_subscriptions_by_topic().topic_arn(&topic).send().await.unwrap();
    let shown = &shown.subscriptions()[0];
    assert_eq!((shown.protocol(), shown.endpoint()), (Some("lambda"), Some(function.as_str())));
    us.publish().topic_arn(&topic).subject("s").message("hello").send().await.unwrap();
    let events = received(&record, 1).await;
    let record_of = &events[0]["Records"][0];
    assert_eq!((&record_of["EventSource"], &record_of["EventSubscriptionArn"]), (&json!("aws:sns"), &json!(subscription)));
    let sns = &record_of["Sns"];
    assert_eq!((&sns["TopicArn"], &sns["Subject"], &sns["Message"]), (&json!(topic), &json!("s"), &json!("hello")));
    for key in ["Type", "MessageId", "Timestamp", "SignatureVersion", "Signature", "SigningCertUrl", "UnsubscribeUrl", "MessageAttributes"] {
        assert!(!sns[key].is_null(), "{key}");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(received(&record, 1).await.len(), 1);
}

#[tokio::test]
async fn an_alarm_reaches_its_function_with_the_arn_and_the_time_that_cloudwatch_writes() {
    let topic = topic(EAST, "alarms").await;
    let (function, record) = listener(WEST, "alarmed", &topic).await;
    subscribe(EAST, &topic, &function).await;
    let us = client!(aws_sdk_cloudwatch, root(EAST));
    us.put_metric_alarm()
        .alarm_name("front-down")
        .namespace("Web")
        .metric_name("Healthy")
        .statistic("Minimum".into())
        .period(60)
        .evaluation_periods(1)
        .threshold(1.0)
        .comparison_operator("LessThanThreshold".into())
        .alarm_actions(&topic)
        .send()
        .await
        .unwrap();
    us.set_alarm_state().alarm_name("front-down").state_value("ALARM".into()).state_reason("test").send().await.unwrap();
    let events = received(&record, 1).await;
    let alarm: Value = serde_json::from_str(messages(&events)[0]).unwrap();
    assert_eq!((&alarm["AlarmName"], &alarm["NewStateValue"]), (&json!("front-down"), &json!("ALARM")));
    assert_eq!(alarm["AlarmArn"], format!("arn:aws:cloudwatch:{EAST}:{ACCOUNT}:alarm:front-down"));
    assert!(alarm["StateChangeTime"].as_str().unwrap().ends_with("+0000"), "{alarm}");
}

#[tokio::test]
async fn a_function_that_does_not_admit_the_topic_is_not_called_and_the_refusal_is_seen() {
    let topic = topic(EAST, "refused").await;
    let arn = role("refused", json!([])).await;
    let (function, _) = function(EAST, "refused", &arn, &[]).await;
    subscribe(EAST, &topic, &function).await;
    publish(EAST, &topic, "hello").await;
    eventually("the refusal is recorded", async || {
        STAGE.router.carried().iter().any(|delivery| {
            delivery.from == topic && matches!(&delivery.outcome, Outcome::Refused(why) if why.contains("add a permission to the function"))
        })
    })
    .await;
}

#[tokio::test]
async fn messages_out_of_a_dark_region_are_held_and_come_when_they_are_released() {
    let topic = topic("eu-west-1", "dark").await;
    let (function, record) = listener(WEST, "dark", &topic).await;
    subscribe("eu-west-1", &topic, &function).await;
    STAGE.router.carry_fault(CarryFault { from: topic.clone(), kind: CarryFaultKind::Late(Duration::from_millis(300)), times: 1 });
    publish("eu-west-1", &topic, "said before dark").await;
    STAGE.router.dark("eu-west-1", true);
    eventually("the message is held", async || {
        STAGE.router.carried().iter().any(|delivery| delivery.from == topic && delivery.outcome == Outcome::Held)
    })
    .await;
    assert!(!record.exists());
    STAGE.router.dark("eu-west-1", false);
    assert_eq!(STAGE.router.release(), 1);
    assert_eq!(messages(&received(&record, 1).await), ["said before dark"]);
}

#[tokio::test]
async fn messages_come_twice_late_or_never_on_demand() {
    let topic = topic(WEST, "unreliable").await;
    let (function, record) = listener(WEST, "unreliable", &topic).await;
    subscribe(WEST, &topic, &function).await;
    let fault = |kind| STAGE.router.carry_fault(CarryFault { from: ":unreliable".to_owned(), kind, times: 1 });
    fault(CarryFaultKind::Drop);
    publish(WEST, &topic, "dropped").await;
    eventually("it is dropped", async || {
        STAGE.router.carried().iter().any(|delivery| delivery.from == topic && delivery.outcome == Outcome::Dropped)
    })
    .await;
    fault(CarryFaultKind::Duplicate);
    publish(WEST, &topic, "twice").await;
    assert_eq!(messages(&received(&record, 2).await), ["twice", "twice"]);
    fault(CarryFaultKind::Late(Duration::from_secs(2)));
    publish(WEST, &topic, "late").await;
    // The fault is taken by the message that arrives first.
    tokio::time::sleep(Duration::from_millis(500)).await;
    publish(WEST, &topic, "after").await;
    assert_eq!(messages(&received(&record, 4).await)[2..], ["after", "late"]);
}

async fn schedule(name: &str, expression: &str, function: &str, role: &str, state: &str, method: &str) -> Value {
    let body = json!({"ScheduleExpression": expression, "ScheduleExpressionTimezone": "UTC", "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": state, "Target": {"Arn": function, "RoleArn": role, "Input": "{\"tick\":true}"}});
    root(WEST).rest("scheduler", method, &format!("/schedules/{name}"), body).await.ok().json()
}

#[tokio::test]
async fn a_rate_schedule_fires_at_once_and_then_by_the_factor_until_it_is_disabled() {
    let arn = role(
        "ticker",
        json!([{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": format!("arn:aws:lambda:{WEST}:{ACCOUNT}:function:ticked")}]),
    )
    .await;
    let (function, record) = function(WEST, "ticked", &arn, &[]).await;
    let started = Instant::now();
    schedule("tick", "rate(1 minute)", &function, &arn, "ENABLED", "POST").await;
    let events = received(&record, 3).await;
    assert_eq!(events[0], json!({"tick": true}));
    // Factor 60: a minute is a second.
    assert!(started.elapsed() > Duration::from_millis(1900), "{:?}", started.elapsed());
    let shown = root(WEST).rest("scheduler", "GET", "/schedules/tick", Value::Null).await.ok().json();
    assert_eq!(
        (&shown["State"], &shown["ScheduleExpression"], &shown["Target"]["Input"]),
        (&json!("ENABLED"), &json!("rate(1 minute)"), &json!("{\"tick\":true}"))
    );
    schedule("tick", "rate(1 minute)", &function, &arn, "DISABLED", "PUT").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let then = received(&record, 3).await.len();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(received(&record, 3).await.len(), then);
    root(WEST).rest("scheduler", "DELETE", "/schedules/tick", Value::Null).await.ok();
    assert_eq!(root(WEST).rest("scheduler", "GET", "/schedules/tick", Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_cron_schedule_waits_for_its_clock_and_fires_on_demand_under_its_role_only() {
    let may = role("cron-may", json!([{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}])).await;
    let may_not = role("cron-may-not", json!([])).await;
    let (function, record) = function(WEST, "monthly", &may, &[]).await;
    schedule("monthly", "cron(5 0 ? * 2#1 *)", &function, &may_not, "ENABLED", "POST").await;
    STAGE.router.fire("monthly").await.unwrap();
    let last = STAGE.router.carried().into_iter().rfind(|delivery| delivery.from.ends_with("/monthly")).unwrap();
    assert!(matches!(&last.outcome, Outcome::Refused(why) if why.contains("lambda:InvokeFunction")), "{last:?}");
    schedule("monthly", "cron(5 0 ? * 2#1 *)", &function, &may, "ENABLED", "PUT").await;
    assert!(!record.exists());
    STAGE.router.fire("monthly").await.unwrap();
    assert_eq!(received(&record, 1).await, [json!({"tick": true})]);
    assert!(STAGE.router.fire("nothing").await.is_err());
}

#[tokio::test]
async fn a_rule_with_a_schedule_fires_here_and_looks_enabled() {
    let arn = role("ruled", json!([])).await;
    let (function, record) = function(WEST, "ruled", &arn, &[]).await;
    let rule = format!("arn:aws:events:{WEST}:{ACCOUNT}:rule/every");
    permit(&function, "events.amazonaws.com", &rule).await;
    let us = root(WEST);
    us.json("events", "AWSEvents.PutRule", json!({"Name": "every", "ScheduleExpression": "rate(1 hour)"})).await.ok();
    us.json("events", "AWSEvents.PutTargets", json!({"Rule": "every", "Targets": [{"Id": "1", "Arn": function}]})).await.ok();
    let event = received(&record, 1).await.remove(0);
    assert_eq!((&event["source"], &event["detail"], &event["resources"]), (&json!("aws.events"), &json!({}), &json!([rule])));
    let shown = us.json("events", "AWSEvents.DescribeRule", json!({"Name": "every"})).await.ok().json();
    assert_eq!(shown["State"], "ENABLED");
    us.json("events", "AWSEvents.DisableRule", json!({"Name": "every"})).await.ok();
    let shown = us.json("events", "AWSEvents.ListRules", json!({})).await.ok().json();
    assert_eq!(shown["Rules"][0]["State"], "DISABLED");
}

fn token(digit: char) -> String {
    std::iter::repeat_n(digit, 32).collect()
}

/// A secret and a function that rotates it.
async fn rotating(name: &str, environment: &[(&str, &str)]) -> (String, String, std::path::PathBuf) {
    let arn = role(name, json!([{"Effect": "Allow", "Action": ["secretsmanager:PutSecretValue", "secretsmanager:DescribeSecret", "secretsmanager:UpdateSecretVersionStage"],
        "Resource": format!("arn:aws:secretsmanager:{WEST}:{ACCOUNT}:secret:{name}-??????")}]))
    .await;
    let (function, record) = function(WEST, name, &arn, environment).await;
    let us = client!(aws_sdk_secretsmanager, root(WEST));
    let secret = us.create_secret().name(name).secret_string("old").send().await.unwrap().arn().unwrap().to_owned();
    permit(&function, "secretsmanager.amazonaws.com", &secret).await;
    (secret, function, record)
}

#[tokio::test]
async fn a_rotation_calls_its_function_four_times_and_the_secret_shows_it() {
    let (secret, function, record) = rotating("rotated", &[]).await;
    let us = client!(aws_sdk_secretsmanager, root(WEST));
    let unset = us.rotate_secret().secret_id("rotated").send().await.unwrap_err();
    assert!(unset.into_service_error().is_invalid_request_exception());
    let id = token('1');
    us.rotate_secret().secret_id("rotated").rotation_lambda_arn(&function).client_request_token(&id).send().await.unwrap();
    let steps = received(&record, 4).await;
    assert_eq!(
        steps.iter().map(|step| step["Step"].as_str().unwrap()).collect::<Vec<_>>(),
        ["createSecret", "setSecret", "testSecret", "finishSecret"]
    );
    assert_eq!(steps[0], json!({"Step": "createSecret", "SecretId": secret, "ClientRequestToken": id}));
    eventually("the rotation is dated", async || us.describe_secret().secret_id(&secret).send().await.unwrap().last_rotated_date().is_some()).await;
    let shown = us.describe_secret().secret_id("rotated").send().await.unwrap();
    assert_eq!((shown.rotation_enabled(), shown.rotation_lambda_arn()), (Some(true), Some(function.as_str())));
    assert!(shown.version_ids_to_stages().unwrap()[&id].contains(&"AWSCURRENT".to_owned()));
    let value = us.get_secret_value().secret_id("rotated").send().await.unwrap();
    assert_eq!(value.secret_string(), Some(format!("new-{id}").as_str()));
    // The same token is a retry of a lost answer, another one a rotation more.
    us.rotate_secret().secret_id("rotated").client_request_token(&id).send().await.unwrap();
    us.rotate_secret().secret_id("rotated").client_request_token(token('2')).send().await.unwrap();
    assert_eq!(received(&record, 8).await.len(), 8);
}

#[tokio::test]
async fn a_rotation_that_fails_strands_its_version_and_refuses_the_next_until_it_is_cleared() {
    let (secret, function, record) = rotating("stranded", &[("FAIL_STEP", "setSecret")]).await;
    let us = client!(aws_sdk_secretsmanager, root(WEST));
    let rotate = |id: String| us.rotate_secret().secret_id("stranded").rotation_lambda_arn(&function).client_request_token(id).send();
    rotate(token('1')).await.unwrap();
    eventually("the failure is recorded", async || {
        STAGE.router.carried().iter().any(|delivery| {
            delivery.source == Source::Rotation
                && delivery.from == secret
                && matches!(&delivery.outcome, Outcome::Refused(why) if why.contains("setSecret"))
        })
    })
    .await;
    let refused = rotate(token('2')).await.unwrap_err().into_service_error();
    assert!(refused.is_invalid_request_exception() && refused.meta().message().unwrap().contains("previous rotation"), "{refused:?}");
    assert_eq!(us.get_secret_value().secret_id("stranded").send().await.unwrap().secret_string(), Some("old"));
    us.update_secret_version_stage().secret_id("stranded").version_stage("AWSPENDING").remove_from_version_id(token('1')).send().await.unwrap();
    rotate(token('2')).await.unwrap();
    received(&record, 4).await;
}

#[tokio::test]
async fn a_rotation_that_its_function_does_not_admit_is_refused_at_once() {
    let arn = role("closed", json!([])).await;
    let (function, _) = function(WEST, "closed", &arn, &[]).await;
    let us = client!(aws_sdk_secretsmanager, root(WEST));
    us.create_secret().name("closed").secret_string("old").send().await.unwrap();
    let refused = us.rotate_secret().secret_id("closed").rotation_lambda_arn(&function).send().await.unwrap_err();
    assert_eq!(refused.into_service_error().meta().code(), Some("AccessDeniedException"));
}

#[tokio::test]
async fn who_rotates_needs_the_permission_to_invoke_the_function() {
    role("rotator", json!([{"Effect": "Allow", "Action": "secretsmanager:RotateSecret", "Resource": "*"}])).await;
    let us = client!(aws_sdk_secretsmanager, root(WEST));
    us.create_secret().name("asked").secret_string("old").send().await.unwrap();
    let rotator = client!(aws_sdk_secretsmanager, acting_as("rotator", WEST));
    let function = format!("arn:aws:lambda:{WEST}:{ACCOUNT}:function:any");
    let refused = rotator.rotate_secret().secret_id("asked").rotation_lambda_arn(function).send().await.unwrap_err().into_service_error();
    assert!(refused.meta().message().unwrap_or_default().contains("lambda:InvokeFunction"), "{refused:?}");
}

#[tokio::test]
async fn a_replica_is_cut_loose_in_its_own_region_by_the_sdk() {
    let (home, there) = (client!(aws_sdk_secretsmanager, root(EAST)), client!(aws_sdk_secretsmanager, root(WEST)));
    home.create_secret().name("twin").secret_string("one").send().await.unwrap();
    let region = aws_sdk_secretsmanager::types::ReplicaRegionType::builder().region(WEST).build();
    home.replicate_secret_to_regions().secret_id("twin").add_replica_regions(region).send().await.unwrap();
    assert!(
        there.put_secret_value().secret_id("twin").secret_string("x").send().await.unwrap_err().into_service_error().is_invalid_request_exception()
    );
    home.put_secret_value().secret_id("twin").secret_string("two").send().await.unwrap();
    assert_eq!(there.get_secret_value().secret_id("twin").send().await.unwrap().secret_string(), Some("two"));
    there.stop_replication_to_replica().secret_id("twin").send().await.unwrap();
    home.put_secret_value().secret_id("twin").secret_string("three").send().await.unwrap();
    there.put_secret_value().secret_id("twin").secret_string("four").send().await.unwrap();
    let value = |answer: aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput| answer.secret_string().unwrap().to_owned();
    assert_eq!(value(home.get_secret_value().secret_id("twin").send().await.unwrap()), "three");
    assert_eq!(value(there.get_secret_value().secret_id("twin").send().await.unwrap()), "four");
}
