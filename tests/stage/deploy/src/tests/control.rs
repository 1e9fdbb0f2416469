//! The control stack, as it is shipped, at ministack.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::{Capability, Deployed, Stack};

const FENCED: &str = "arn:aws:rds:us-east-2:123456789012:db:shop-orders";
const REPLICA: &str = "arn:aws:rds:us-west-2:123456789012:db:shop-orders-replica";

fn control(emulator: &Emulator, alarms: &str, more: &[(&str, &str)]) -> Stack {
    let bootstrap = emulator.bootstrap("first");
    let mut given = parameters(&[
        ("PlanName", "shop"),
        ("PrimaryRegion", EAST),
        ("Architecture", "x86_64"),
        ("AlarmTopicArn", alarms),
        ("PrimaryDatabaseArns", FENCED),
        ("NotificationEmail", "oncall@example.com"),
    ]);
    given.extend(parameters(more));
    Stack {
        name: "control".to_owned(),
        region: WEST.to_owned(),
        template: root().join("infra/control/template.yaml"),
        parameters: given,
        capabilities: [Capability::Iam].into(),
        code: Arc::new(move |_| bootstrap.clone()),
    }
}

async fn topic_in(aws: &Aws, region: &str) -> String {
    let sns = aws.service("sns", region);
    let answer = sns.query("2010-03-31", "CreateTopic", &[("Name".to_owned(), "alarms".to_owned())]).await.unwrap();
    sns.text("CreateTopic", &answer, "TopicArn").unwrap()
}

async fn policy_of(aws: &Aws, deployed: &Deployed, role: &str) -> String {
    let iam = aws.service("iam", WEST);
    let fields = [("RoleName", deployed.resources[role].id.as_str()), ("PolicyName", "own")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let answer = iam.query("2010-05-08", "GetRolePolicy", &fields).await.unwrap();
    let text = iam.text("GetRolePolicy", &answer, "PolicyDocument").unwrap();
    percent_encoding::percent_decode_str(&text).decode_utf8().unwrap().into_owned()
}

async fn invoked(aws: &Aws, function: &str, event: Value) -> Value {
    let lambda = aws.service("lambda", WEST);
    let path = format!("/2015-03-31/functions/{function}/invocations");
    lambda.rest_json("Invoke", Method::POST, &path, Some(&event)).await.unwrap()
}

#[tokio::test]
async fn control_stack_stands_and_is_changed_and_goes() {
    let emulator = Emulator::ministack("control");
    let aws = emulator.aws();
    let alarms = topic_in(&aws, EAST).await;
    let deployer = emulator.deployer();
    let mut stack = control(&emulator, &alarms, &[]);
    let deployed = deployer.deploy(&stack).await.unwrap();

    assert_eq!(deployed.outputs["JournalTable"], "shop-relight");
    assert_eq!(deployed.outputs["StopUrl"], format!("https://shop-relight-stop-{ACCOUNT}.s3.{WEST}.amazonaws.com/STOP"));
    functions_have_what_they_need(&aws, &deployed).await;
    topics_reach_functions(&aws, &deployed, &alarms).await;
    roles_say_what_the_parameters_say(&aws, &deployed).await;
    stop_is_public_and_nothing_else(&emulator, &aws, &deployed.outputs["StopBucketName"]).await;

    let item = json!({"TableName": "shop-relight", "Item": {"pk": {"S": "shop"}, "sk": {"S": "head"}}});
    aws.service("dynamodb", WEST).json("DynamoDB_20120810", "PutItem", &item).await.unwrap();
    let new = emulator.bootstrap("second build");
    stack.code = Arc::new(move |_| new.clone());
    stack.parameters.insert("ResolverAddress".to_owned(), "127.0.0.1:53".to_owned());
    let again = deployer.deploy(&stack).await.unwrap();
    assert_eq!(again.resources, deployed.resources, "what stands keeps its ids");
    let answer = invoked(&aws, "shop-relight-scale-up", json!({})).await;
    assert_eq!((&answer["word"], &answer["environment"]["RELIGHT_RESOLVER"]), (&json!("second build"), &json!("127.0.0.1:53")));

    deployer.destroy("control", WEST).await.unwrap();
    let functions = get(&aws.service("lambda", WEST), "/2015-03-31/functions").await;
    assert_eq!(functions["Functions"], json!([]));
    let scan = json!({"TableName": "shop-relight"});
    let kept = aws.service("dynamodb", WEST).json("DynamoDB_20120810", "Scan", &scan).await.unwrap();
    assert_eq!(kept["Count"], 1, "the journal outlives its stack");
    assert!(matches!(deployer.destroy("control", WEST).await, Err(crate::DeployError::Unknown(..))));
}

async fn functions_have_what_they_need(aws: &Aws, deployed: &Deployed) {
    let lambda = aws.service("lambda", WEST);
    let functions = get(&lambda, "/2015-03-31/functions").await;
    let mut names: Vec<_> = functions["Functions"].as_array().unwrap().iter().map(|f| f["FunctionName"].as_str().unwrap().to_owned()).collect();
    names.sort();
    let expected = ["monthly-drill", "promote-replica", "rotate-secret", "scale-down", "scale-up", "switch-traffic", "watch-primary"];
    assert_eq!(names, expected.map(|name| format!("shop-relight-{name}")));
    let answer = invoked(aws, "shop-relight-rotate-secret", json!({"relight": "tick"})).await;
    assert_eq!((&answer["word"], &answer["event"]), (&json!("first"), &json!({"relight": "tick"})));
    let expected = [
        ("RELIGHT_TABLE", "shop-relight".to_owned()),
        ("RELIGHT_PLAN", "shop".to_owned()),
        ("RELIGHT_TOPIC", deployed.outputs["ProgressTopicArn"].clone()),
        ("RELIGHT_PEOPLE", deployed.outputs["PeopleTopicArn"].clone()),
        ("RELIGHT_REPORTS", format!("shop-relight-reports-{ACCOUNT}")),
        ("RELIGHT_STOP", format!("shop-relight-stop-{ACCOUNT}")),
        ("RELIGHT_ROTATION_FUNCTION", deployed.resources["RotateSecret"].attributes["Arn"].clone()),
    ];
    for (name, value) in expected {
        assert_eq!(answer["environment"][name], value, "{name}");
    }
    let path = "/2019-09-25/functions/shop-relight-scale-up/event-invoke-config?Qualifier=$LATEST";
    let config = get(&lambda, path).await;
    assert_eq!(config["DestinationConfig"]["OnFailure"]["Destination"], deployed.resources["DeadLetters"].attributes["Arn"]);
    assert_eq!(config["MaximumRetryAttempts"], 2);
    let tick = get(&aws.service("scheduler", WEST), "/schedules/shop-relight-scale-up-tick").await;
    assert_eq!((&tick["ScheduleExpression"], &tick["Target"]["Input"]), (&json!("rate(1 minute)"), &json!(r#"{"relight":"tick"}"#)));
}

async fn topics_reach_functions(aws: &Aws, deployed: &Deployed, alarms: &str) {
    let subscribers = async |region: &str, topic: &str| {
        let fields = [("TopicArn".to_owned(), topic.to_owned())];
        aws.service("sns", region).query("2010-03-31", "ListSubscriptionsByTopic", &fields).await.unwrap()
    };
    let progress = subscribers(WEST, &deployed.outputs["ProgressTopicArn"]).await;
    assert_eq!(progress.matches("<Protocol>lambda</Protocol>").count(), 7, "{progress}");
    for topic in [subscribers(EAST, alarms).await, subscribers(WEST, &deployed.outputs["AlarmTopicArn"]).await] {
        for function in ["ScaleUp", "WatchPrimary"] {
            assert!(topic.contains(&deployed.resources[function].attributes["Arn"]), "{topic}");
        }
    }
    let people = subscribers(WEST, &deployed.outputs["PeopleTopicArn"]).await;
    assert!(people.contains("oncall@example.com"), "{people}");
    let policy = get(&aws.service("lambda", WEST), "/2015-03-31/functions/shop-relight-watch-primary/policy").await;
    assert!(policy["Policy"].as_str().unwrap().contains(alarms), "{policy}");
}

async fn roles_say_what_the_parameters_say(aws: &Aws, deployed: &Deployed) {
    let fence = policy_of(aws, deployed, "SwitchTrafficRole").await;
    assert!(fence.contains(FENCED) && fence.contains(&format!("shop-relight-stop-{ACCOUNT}/STOP")), "{fence}");
    // No ARNs were given: the statement is left out, as one without resources would be refused.
    let capacity = policy_of(aws, deployed, "ScaleUpRole").await;
    assert!(!capacity.contains("ecs:UpdateService") && !capacity.contains("RegisterScalableTarget"), "{capacity}");
}

async fn stop_is_public_and_nothing_else(emulator: &Emulator, aws: &Aws, bucket: &str) {
    let s3 = aws.service("s3", WEST);
    for key in ["STOP", "other"] {
        s3.rest("PutObject", Method::PUT, &format!("/{bucket}/{key}"), "x".to_owned()).await.unwrap();
    }
    assert_eq!(anonymous(emulator, &format!("/{bucket}/STOP"), "https").await, 200);
    assert_eq!(anonymous(emulator, &format!("/{bucket}/STOP"), "http").await, 403, "not without TLS");
    assert_eq!(anonymous(emulator, &format!("/{bucket}/other"), "https").await, 403);
    assert_eq!(anonymous(emulator, &format!("/{bucket}?list-type=2"), "https").await, 403);
    for key in ["STOP", "other"] {
        s3.rest("DeleteObject", Method::DELETE, &format!("/{bucket}/{key}"), String::new()).await.unwrap();
    }
}

/// `protocol` is what a stranger spoke to AWS; the emulator hears of it as of a proxy before it.
async fn anonymous(emulator: &Emulator, path: &str, protocol: &str) -> u16 {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    let client: Client<_, http_body_util::Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::get(format!("{}{path}", emulator.url())).header("x-forwarded-proto", protocol);
    let answer = client.request(request.body(http_body_util::Empty::new()).unwrap()).await.unwrap();
    answer.status().as_u16()
}

/// Role by role, one call that it needs and one that it must not have; the router judges them by the policies that the template gave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_function_may_do_its_own_part_and_no_other() {
    let (address, folder) = (free_address(), scratch("judged"));
    let settings = stage_router::Settings {
        account: ACCOUNT.to_owned(),
        ministack: address,
        moto: address,
        rds: address,
        log_file: folder.join("calls.jsonl"),
        rate_factor: 1.0,
    };
    let router = stage_router::Router::start(settings).await.unwrap();
    let emulator = Emulator::ministack_behind("judged", address, router.url());
    let aws = Aws::new(router.url());
    let alarms = topic_in(&aws, EAST).await;
    let secret = format!("arn:aws:secretsmanager:{WEST}:{ACCOUNT}:secret:shop/app-??????");
    let services = format!("arn:aws:ecs:{WEST}:{ACCOUNT}:service/shop/web");
    let stack = control(&emulator, &alarms, &[("SecretArns", &secret), ("EcsServiceArns", &services), ("ReplicaArns", REPLICA)]);
    let deployer = Deployer::new(router.url(), ACCOUNT, venv(), root().join("target/deploy-cache"));
    let deployed = deployer.deploy(&stack).await.unwrap();
    for (region, name) in [(WEST, "shop/app"), (WEST, "shop/other"), (EAST, "shop/app")] {
        let body = json!({"Name": name, "SecretString": "{}", "ClientRequestToken": format!("{name:-<36}")});
        aws.service("secretsmanager", region).json("secretsmanager", "CreateSecret", &body).await.unwrap();
    }
    let table = json!({"TableName": "shop-relight", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "shop"}}});
    let put = |bucket: &str, key: &str| json!({"Bucket": format!("shop-relight-{bucket}-{ACCOUNT}"), "Key": key, "Body": "x"});
    let beat = |namespace: &str| json!({"Namespace": namespace, "MetricData": [{"MetricName": "Heartbeat", "Value": 1.0}]});
    let publish = |topic: &str| json!({"TopicArn": topic, "Message": "hello"});
    let create = |name: &str| json!({"Name": name, "SecretString": "{}", "Tags": [{"Key": "relight:plan", "Value": "shop"}]});
    let (progress, people) = (&deployed.outputs["ProgressTopicArn"], &deployed.outputs["PeopleTopicArn"]);
    let (done, denied) = (true, false);
    let cases = [
        ("scale-up", "dynamodb", WEST, "query", table, done),
        ("scale-up", "sns", WEST, "publish", publish(people), done),
        ("scale-up", "sns", WEST, "publish", publish(&deployed.outputs["AlarmTopicArn"]), denied),
        ("scale-up", "ecs", WEST, "describe_services", json!({"cluster": "shop", "services": ["other"]}), denied),
        ("scale-up", "s3", WEST, "put_object", put("stop", "STOP"), denied),
        ("scale-down", "secretsmanager", WEST, "delete_secret", json!({"SecretId": "shop/other"}), denied),
        ("promote-replica", "secretsmanager", WEST, "get_secret_value", json!({"SecretId": "shop/app"}), denied),
        ("rotate-secret", "secretsmanager", WEST, "get_secret_value", json!({"SecretId": "shop/app"}), done),
        ("rotate-secret", "secretsmanager", WEST, "get_secret_value", json!({"SecretId": "shop/other"}), denied),
        ("rotate-secret", "secretsmanager", WEST, "create_secret", create("relight-drill/shop/run/app"), done),
        ("rotate-secret", "secretsmanager", WEST, "create_secret", create("shop/new"), denied),
        ("switch-traffic", "s3", WEST, "put_object", put("stop", "STOP"), done),
        ("switch-traffic", "s3", WEST, "put_object", put("stop", "other"), denied),
        ("switch-traffic", "sns", WEST, "publish", publish(progress), done),
        ("watch-primary", "cloudwatch", EAST, "put_metric_data", beat("Relight"), done),
        ("watch-primary", "cloudwatch", EAST, "put_metric_data", beat("Shop"), denied),
        ("watch-primary", "cloudwatch", WEST, "put_metric_data", beat("Relight"), denied),
        ("monthly-drill", "s3", WEST, "put_object", put("reports", "run.json"), done),
        ("monthly-drill", "s3", WEST, "put_object", put("stop", "STOP"), denied),
    ];
    judged(&aws, cases).await;

    // The way home is closed until the parameter opens it, and then no wider than it has to be.
    let home = format!("arn:aws:secretsmanager:{EAST}:{ACCOUNT}:secret:shop/app-??????");
    judged(&aws, way_home(denied)).await;
    let mut open = stack.clone();
    open.parameters.extend(parameters(&[("AllowFailback", "yes"), ("HomeSecretArns", &home)]));
    deployer.deploy(&open).await.unwrap();
    judged(&aws, way_home(done)).await;
    let elsewhere = json!({"SecretId": "shop/app", "AddReplicaRegions": [{"Region": "eu-west-1"}]});
    let other = json!({"DBInstanceIdentifier": "other", "NewDBInstanceIdentifier": "other-left-1", "ApplyImmediately": true});
    let cases = [
        ("rotate-secret", "secretsmanager", EAST, "replicate_secret_to_regions", elsewhere, denied),
        ("rotate-secret", "secretsmanager", EAST, "rotate_secret", json!({"SecretId": "shop/app"}), denied),
        ("rotate-secret", "s3", WEST, "put_object", put("reports", "failback-1.json"), denied),
        ("promote-replica", "rds", EAST, "modify_db_instance", other, denied),
        ("promote-replica", "rds", EAST, "delete_db_instance", json!({"DBInstanceIdentifier": "shop-orders", "SkipFinalSnapshot": true}), denied),
        ("promote-replica", "secretsmanager", EAST, "get_secret_value", json!({"SecretId": "shop/app"}), denied),
        ("scale-up", "rds", EAST, "promote_read_replica", json!({"DBInstanceIdentifier": "shop-orders"}), denied),
    ];
    judged(&aws, cases).await;
    router.shutdown();
}

type Case = (&'static str, &'static str, &'static str, &'static str, Value, bool);

/// What a failback calls, none of which is allowed otherwise.
fn way_home(expected: bool) -> [Case; 7] {
    let rename = json!({"DBInstanceIdentifier": "shop-orders", "NewDBInstanceIdentifier": "shop-orders-left-1", "ApplyImmediately": true});
    let snapshot = json!({"DBInstanceIdentifier": "shop-orders", "DBSnapshotIdentifier": "shop-orders-left-1"});
    let build = json!({
        "DBInstanceIdentifier": "shop-orders", "SourceDBInstanceIdentifier": REPLICA, "DBParameterGroupName": "orders-15", "DBSubnetGroupName": "private",
        "KmsKeyId": format!("arn:aws:kms:{EAST}:{ACCOUNT}:key/orders"), "Tags": [{"Key": "relight:plan", "Value": "shop"}],
    });
    let put = json!({"SecretId": "shop/app", "SecretString": "{}", "ClientRequestToken": format!("{:-<36}", "shop/app")});
    let replicate = json!({"SecretId": "shop/app", "AddReplicaRegions": [{"Region": WEST}], "ForceOverwriteReplicaSecret": true});
    let rows = json!({"Bucket": format!("shop-relight-reports-{ACCOUNT}"), "Key": "failback-1/rows/orders/public.orders.jsonl", "Body": "x"});
    [
        ("promote-replica", "rds", EAST, "modify_db_instance", rename, expected),
        ("promote-replica", "rds", EAST, "create_db_snapshot", snapshot, expected),
        ("promote-replica", "rds", EAST, "create_db_instance_read_replica", build, expected),
        ("promote-replica", "rds", EAST, "promote_read_replica", json!({"DBInstanceIdentifier": "shop-orders"}), expected),
        ("rotate-secret", "secretsmanager", EAST, "put_secret_value", put, expected),
        ("rotate-secret", "secretsmanager", EAST, "replicate_secret_to_regions", replicate, expected),
        ("rotate-secret", "s3", WEST, "put_object", rows, expected),
    ]
}

/// Each call as its function makes it. Behind the router stands no RDS: there it is enough not to be denied.
async fn judged<const N: usize>(aws: &Aws, cases: [Case; N]) {
    for (function, service, region, operation, arguments, expected) in cases {
        let event = json!({"call": [service, region, operation, arguments]});
        let answer = invoked(aws, &format!("shop-relight-{function}"), event.clone()).await;
        let said = answer["said"].as_str().unwrap_or_default();
        // SNS has a word of its own.
        let was_denied = said.starts_with("AccessDenied") || said == "AuthorizationError";
        let was_done = said == "done" || (service == "rds" && !was_denied);
        assert!(if expected { was_done } else { was_denied }, "{function}: {event}: {said}");
    }
}

#[tokio::test]
async fn control_stack_in_the_primary_region_is_refused_with_the_reason() {
    // Nobody listens: the rule is judged before the first call.
    let deployer = Deployer::new("http://127.0.0.1:9", ACCOUNT, venv(), root().join("target/deploy-cache"));
    let stack = Stack {
        name: "control".to_owned(),
        region: EAST.to_owned(),
        template: root().join("infra/control/template.yaml"),
        parameters: parameters(&[("PlanName", "shop"), ("PrimaryRegion", EAST)]),
        capabilities: [Capability::Iam].into(),
        code: Arc::new(|_| PathBuf::from("bootstrap")),
    };
    let error = deployer.deploy(&stack).await.unwrap_err().to_string();
    assert!(error.contains("would die with the primary Region"), "{error}");
}

#[test]
fn no_template_has_anything_to_complain_of() {
    let templates = ["control/template.yaml", "primary/template.yaml", "global/template.yaml"].map(|path| root().join("infra").join(path));
    let example = std::fs::read_dir(root().join("infra/examples/pilot-light")).unwrap();
    let example = example.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let lint = Command::new(venv().join("bin/cfn-lint")).args(templates).args(example).output().unwrap();
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
}
