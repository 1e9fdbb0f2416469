//! On the wire: the documented requests, answers and errors of Secrets Manager.

use std::error::Error as _;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::{Value, json};

mod home;

use super::*;
use crate::event::{RotationStep, RotationStepName};
use crate::plan::{Secret, Users};
use crate::run::RunId;

const FUNCTION: &str = "arn:aws:lambda:us-west-2:123456789012:function:rotate-secret";
const TOKEN: &str = "0f4c1d6e-52f5-5d0a-9a55-6b1f5d2c9e01";

/// What is answered, in order.
fn answering(answers: impl IntoIterator<Item = (u16, Value)>) -> (AwsSecrets, StaticReplayClient) {
    let events = answers.into_iter().map(|(status, body)| {
        let request = http::Request::builder().uri("https://secretsmanager.us-west-2.amazonaws.com/").body(SdkBody::empty()).expect("a request");
        let response = http::Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
        ReplayEvent::new(request, response.body(SdkBody::from(body.to_string())).expect("a response"))
    });
    let client = StaticReplayClient::new(events.collect());
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .retry_config(RetryConfig::disabled())
        .http_client(client.clone())
        .build();
    (AwsSecrets::new(&Aws::from_config(config), FUNCTION.to_owned()), client)
}

fn one(status: u16, body: Value) -> (AwsSecrets, StaticReplayClient) {
    answering([(status, body)])
}

/// `(operation, body)` of each request that was sent.
fn sent(client: &StaticReplayClient) -> Vec<(String, Value)> {
    let read = |request: &aws_smithy_runtime_api::client::orchestrator::HttpRequest| {
        let target = request.headers().get("x-amz-target").unwrap_or_default().trim_start_matches("secretsmanager.").to_owned();
        (target, serde_json::from_slice(request.body().bytes().unwrap_or_default()).expect("JSON"))
    };
    client.actual_requests().map(read).collect()
}

fn error(code: &str, message: &str) -> Value {
    json!({ "__type": code, "Message": message })
}

fn app() -> SecretName {
    SecretName::of(&Secret { name: "shop/app".to_owned(), database: "orders".to_owned(), rotate: true, users: Users::Single, admin: None })
}

fn disposable() -> DisposableName {
    DisposableName::of("shop", &RunId("drill-20260105T000500Z".to_owned()), "shop/app")
}

fn rotating() -> Rotating {
    Rotating::of(&RotationStep {
        step: RotationStepName::SetSecret,
        secret_id: "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/app-AbCdEf".to_owned(),
        client_request_token: TOKEN.to_owned(),
    })
}

fn value() -> SecretValue {
    SecretValue::parse(r#"{"username":"app","password":"hunter2","host":"db"}"#).expect("a secret")
}

fn description() -> Value {
    json!({
        "ARN": "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/app-AbCdEf", "Name": "shop/app",
        "PrimaryRegion": "us-east-2", "CreatedDate": 1.7e9,
        "VersionIdsToStages": { TOKEN: ["AWSPENDING"], "22222222-2222-2222-2222-222222222222": ["AWSCURRENT"] },
    })
}

#[tokio::test]
async fn a_replica_names_the_region_that_it_is_copied_from() {
    let (secrets, client) = one(200, description());
    let seen = secrets.describe("shop/app").await.expect("an answer").expect("a secret");
    assert_eq!(seen.replica_of.as_deref(), Some("us-east-2"));
    assert_eq!(seen.rotation_enabled, None);
    assert_eq!(seen.version_at(Stage::Pending), Some(TOKEN));
    assert_eq!(sent(&client), [("DescribeSecret".to_owned(), json!({ "SecretId": "shop/app" }))]);
}

#[tokio::test]
async fn a_secret_that_has_replicas_of_its_own_stands_alone() {
    let mut body = description();
    body["PrimaryRegion"] = "us-west-2".into();
    body["RotationEnabled"] = false.into();
    let (secrets, _) = one(200, body);
    let seen = secrets.describe("shop/app").await.expect("an answer").expect("a secret");
    assert_eq!((seen.replica_of, seen.rotation_enabled), (None, Some(false)));
}

#[tokio::test]
async fn a_secret_that_is_missing_or_marked_for_deletion_is_none() {
    let missing = error("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    let (secrets, _) = one(400, missing);
    assert_eq!(secrets.describe("shop/app").await.expect("an answer"), None);
    let mut body = description();
    body["DeletedDate"] = json!(1.8e9);
    let (secrets, _) = one(200, body);
    assert_eq!(secrets.describe("shop/app").await.expect("an answer"), None);
}

#[tokio::test]
async fn a_value_is_read_by_its_label() {
    let body =
        json!({ "ARN": "arn", "Name": "shop/app", "VersionId": TOKEN, "SecretString": value().to_json().as_str(), "VersionStages": ["AWSPREVIOUS"] });
    let (secrets, client) = one(200, body);
    let read = secrets.value("shop/app", Stage::Previous).await.expect("an answer");
    assert!(read == Some(value()));
    assert_eq!(sent(&client), [("GetSecretValue".to_owned(), json!({ "SecretId": "shop/app", "VersionStage": "AWSPREVIOUS" }))]);
}

#[tokio::test]
async fn a_label_that_no_version_carries_is_none() {
    let missing = error("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSPENDING");
    let (secrets, client) = one(400, missing);
    assert!(secrets.pending(&rotating()).await.expect("an answer").is_none());
    let (_, body) = &sent(&client)[0];
    assert_eq!((&body["VersionId"], &body["VersionStage"]), (&json!(TOKEN), &json!("AWSPENDING")));
}

#[tokio::test]
async fn a_value_that_is_no_object_is_an_error_that_does_not_quote_it() {
    for text in ["hunter2", "\"hunter2\"", ""] {
        let (secrets, _) = one(200, json!({ "ARN": "arn", "Name": "shop/app", "VersionId": TOKEN, "SecretString": text }));
        let error = secrets.value("shop/app", Stage::Current).await.expect_err("no object");
        let shown = format!("{error} {error:?} {:?}", error.source());
        assert!(shown.contains("no JSON object") && !shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn repointing_puts_the_version_of_its_token() {
    let (secrets, client) = one(200, json!({ "ARN": "arn", "Name": "shop/app", "VersionId": TOKEN, "VersionStages": ["AWSCURRENT"] }));
    secrets.put(&app(), TOKEN, &value()).await.expect("put");
    let expected = json!({ "SecretId": "shop/app", "ClientRequestToken": TOKEN, "SecretString": value().to_json().as_str() });
    assert_eq!(sent(&client), [("PutSecretValue".to_owned(), expected)]);
}

#[tokio::test]
async fn a_rotation_names_the_function_of_this_region_and_a_schedule() {
    let (secrets, client) = answering([(200, json!({ "ARN": "arn", "Name": "n", "VersionId": TOKEN })), (200, json!({}))]);
    secrets.rotate(&app(), TOKEN).await.expect("called");
    secrets.rotate_disposable(&disposable(), TOKEN).await.expect("called");
    let sent = sent(&client);
    let expected = json!({
        "SecretId": "shop/app", "ClientRequestToken": TOKEN, "RotationLambdaARN": FUNCTION,
        "RotationRules": { "AutomaticallyAfterDays": 30 }, "RotateImmediately": true,
    });
    assert_eq!(sent[0], ("RotateSecret".to_owned(), expected));
    assert_eq!(sent[1].1["RotationRules"]["AutomaticallyAfterDays"], 1000);
    assert_eq!(sent[1].1["SecretId"], "relight-drill/shop/drill-20260105T000500Z/shop/app");
}

#[tokio::test]
async fn a_rotation_over_a_stranded_pending_version_is_a_state_that_may_pass() {
    let body = error("InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.");
    let (secrets, _) = one(400, body);
    let error = secrets.rotate(&app(), TOKEN).await.expect_err("refused");
    assert!(matches!(&error.why, Why::State(message) if message.contains("previous rotation")), "{error}");
    assert!(error.passes());
}

#[tokio::test]
async fn denials_throttling_and_silence_are_told_apart() {
    let cases = [
        (400, "AccessDeniedException", "User is not authorized to perform: secretsmanager:RotateSecret"),
        (400, "ThrottlingException", "Rate exceeded"),
        (500, "InternalServiceError", "An error occurred on the server side."),
        (400, "InvalidParameterException", "The parameter name or value is invalid."),
    ];
    let mut kinds = Vec::new();
    for (status, code, message) in cases {
        let (secrets, _) = one(status, error(code, message));
        let why = secrets.rotate(&app(), TOKEN).await.expect_err("refused").why;
        kinds.push(match why {
            Why::Denied(_) => "denied",
            Why::Throttled => "throttled",
            Why::Unanswered(_) => "unanswered",
            Why::Other(..) => "other",
            _ => "?",
        });
    }
    assert_eq!(kinds, ["denied", "throttled", "unanswered", "other"]);
}

#[tokio::test]
async fn a_replica_that_was_cut_loose_before_is_done() {
    let refused = error("InvalidRequestException", "You can't perform this operation on a secret that is not a replica.");
    let mut alone = description();
    alone["PrimaryRegion"] = Value::Null;
    let (secrets, client) = answering([(400, refused.clone()), (200, alone)]);
    secrets.stop_replication(&app()).await.expect("done already");
    let operations: Vec<_> = sent(&client).into_iter().map(|(operation, _)| operation).collect();
    assert_eq!(operations, ["StopReplicationToReplica", "DescribeSecret"]);

    let (secrets, _) = answering([(400, refused), (200, description())]);
    let error = secrets.stop_replication(&app()).await.expect_err("it is a replica still");
    assert!(matches!(error.why, Why::State(_)), "{error}");
}

#[tokio::test]
async fn labels_are_moved_and_taken_off_by_version() {
    let named = json!({ "ARN": "arn", "Name": "shop/app" });
    let (secrets, client) = answering([(200, named.clone()), (200, named)]);
    secrets.finish(&rotating(), "22222222-2222-2222-2222-222222222222").await.expect("moved");
    secrets.clear_pending(&app(), TOKEN).await.expect("taken off");
    let sent = sent(&client);
    let moved = json!({
        "SecretId": rotating().secret(), "VersionStage": "AWSCURRENT", "MoveToVersionId": TOKEN,
        "RemoveFromVersionId": "22222222-2222-2222-2222-222222222222",
    });
    assert_eq!(sent[0], ("UpdateSecretVersionStage".to_owned(), moved));
    assert_eq!(sent[1].1, json!({ "SecretId": "shop/app", "VersionStage": "AWSPENDING", "RemoveFromVersionId": TOKEN }));
}

#[tokio::test]
async fn a_pending_version_is_put_under_its_label_alone() {
    let (secrets, client) = one(200, json!({ "ARN": "arn", "Name": "shop/app", "VersionId": TOKEN }));
    secrets.put_pending(&rotating(), &value()).await.expect("put");
    assert_eq!(sent(&client)[0].1["VersionStages"], json!(["AWSPENDING"]));
}

#[tokio::test]
async fn a_password_avoids_what_connection_strings_trip_over() {
    let (secrets, client) = one(200, json!({ "RandomPassword": "s3cret!" }));
    assert_eq!(secrets.new_password().await.expect("a password").as_str(), "s3cret!");
    let (_, body) = &sent(&client)[0];
    let excluded = body["ExcludeCharacters"].as_str().expect("a text");
    assert!(r#":/@"'\"#.chars().all(|character| excluded.contains(character)), "{excluded}");
    // Each kind of character is in it, by Secrets Manager's own default, as password policies of databases ask.
    assert_eq!(body["PasswordLength"], 32);
    assert!(body.get("RequireEachIncludedType") != Some(&json!(false)), "{body}");
    let (secrets, _) = one(200, json!({}));
    assert!(secrets.new_password().await.is_err(), "no password is never an empty one");
}

#[tokio::test]
async fn a_disposable_secret_carries_its_plan_and_its_run_and_may_be_there_already() {
    let exists = error("ResourceExistsException", "A resource with the ID you requested already exists.");
    let (secrets, client) = answering([(200, json!({ "ARN": "arn", "Name": "n", "VersionId": TOKEN })), (400, exists)]);
    secrets.create_disposable(&disposable(), TOKEN, &value()).await.expect("made");
    secrets.create_disposable(&disposable(), TOKEN, &value()).await.expect("there already");
    let (_, body) = &sent(&client)[0];
    let tags = json!([{ "Key": "relight:plan", "Value": "shop" }, { "Key": "relight:run", "Value": "drill-20260105T000500Z" }]);
    assert_eq!((&body["Name"], &body["Tags"]), (&json!(disposable().as_str()), &tags));
}

#[tokio::test]
async fn a_disposable_secret_is_gone_when_it_is_not_found() {
    let deleted = json!({ "ARN": "arn", "Name": "n", "DeletionDate": 1.8e9 });
    let missing = error("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    let (secrets, client) = answering([(200, description()), (200, deleted), (400, missing)]);
    assert_eq!(secrets.remove_disposable(&disposable()).await.expect("an answer"), Removal::Underway);
    assert_eq!(secrets.remove_disposable(&disposable()).await.expect("an answer"), Removal::Gone);
    let (operation, body) = &sent(&client)[1];
    assert_eq!((operation.as_str(), &body["ForceDeleteWithoutRecovery"]), ("DeleteSecret", &json!(true)));
    assert_eq!(body["RecoveryWindowInDays"], Value::Null);
}

#[tokio::test]
async fn all_pages_of_a_plans_disposable_secrets_are_listed_and_nothing_else() {
    let first = json!({ "SecretList": [{ "Name": disposable().as_str() }, { "Name": "shop/app" }], "NextToken": "more" });
    let second = json!({ "SecretList": [{ "Name": "relight-drill/other/run/app" }, { "Name": "relight-drill/shop/run-2/app" }] });
    let (secrets, client) = answering([(200, first), (200, second)]);
    let found: Vec<String> = secrets.disposables("shop").await.expect("a list").into_iter().map(|name| name.to_string()).collect();
    assert_eq!(found, [disposable().as_str(), "relight-drill/shop/run-2/app"]);
    assert_eq!(sent(&client)[0].1["Filters"], json!([{ "Key": "name", "Values": ["relight-drill/shop/"] }]));
}

#[tokio::test]
async fn nothing_that_goes_wrong_shows_the_value() {
    for (status, code) in [(400, "ResourceExistsException"), (400, "EncryptionFailure"), (500, "InternalServiceError"), (400, "Whatever")] {
        let (secrets, _) = one(status, error(code, "no"));
        let error = secrets.put(&app(), TOKEN, &value()).await.expect_err("refused");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
