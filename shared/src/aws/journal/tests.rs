//! The journal on the wire: what DynamoDB is asked, and what its documented answers, errors among them, mean.

use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::{Value, json};

use super::*;
use crate::ports::EntryKind;
use crate::state::{Head, Part};

/// Operation and body of each request, in their order.
type Sent = Arc<Mutex<Vec<(String, Value)>>>;

/// A journal whose requests are answered by `answer`, from their number, operation and body.
fn journal(answer: impl Fn(usize, &str, &Value) -> (u16, Value) + Send + Sync + 'static) -> (DynamoJournal, Sent) {
    let sent = Sent::default();
    let log = Arc::clone(&sent);
    let http = infallible_client_fn(move |request: http::Request<SdkBody>| {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = target.trim_start_matches("DynamoDB_20120810.").to_owned();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let mut log = log.lock().unwrap();
        let (status, answer) = answer(log.len(), &operation, &body);
        log.push((operation, body));
        http::Response::builder().status(status).body(SdkBody::from(answer.to_string())).unwrap()
    });
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(std::time::Duration::from_millis(1)))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(http)
        .build();
    (DynamoJournal::new(&Aws::from_config(config), "shop-journal".to_owned(), "shop".to_owned()), sent)
}

fn error(code: &str, message: &str) -> (u16, Value) {
    (400, json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message }))
}

/// A transaction that was cancelled, with the reason for each of its items.
fn cancelled(reasons: &[&str]) -> (u16, Value) {
    let text = format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", reasons.join(", "));
    let reasons: Vec<Value> = reasons.iter().map(|code| json!({ "Code": code })).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    (400, json!({ "__type": kind, "Message": text, "CancellationReasons": reasons }))
}

fn row(key: &str, revision: u64, body: &Value) -> Value {
    json!({ "pk": { "S": "shop" }, "sk": { "S": key }, "revision": { "N": revision.to_string() }, "attempt": { "S": "a" }, "body": { "S": body.to_string() } })
}

fn put(key: Key, expected: Option<u64>) -> Write {
    Write { key, expected, change: Change::Put(json!({ "some": "body" })) }
}

fn delete(key: Key, expected: u64) -> Write {
    Write { key, expected: Some(expected), change: Change::Delete }
}

fn run() -> RunId {
    RunId("failover-20260105T000511Z".to_owned())
}

fn entry(said: &str) -> Entry {
    let at = "2026-01-05T00:05:11.201Z".parse().unwrap();
    Entry { at, by: "scale-up".to_owned(), kind: EntryKind::Action, about: String::new(), said: said.to_owned(), calls: Default::default() }
}

fn operations(sent: &Sent) -> Vec<String> {
    sent.lock().unwrap().iter().map(|(operation, _)| operation.clone()).collect()
}

#[tokio::test]
async fn a_read_is_one_strongly_consistent_query_of_the_plans_partition() {
    let head = json!(Head { plan_version: 3, ..Head::default() });
    let (journal, sent) =
        journal(move |_, _, _| (200, json!({ "Items": [row("head", 7, &head), row("plan#3", 1, &json!("name = 1"))], "Count": 2 })));
    let snapshot = journal.read().await.unwrap();
    assert_eq!((snapshot.revision(&Key::Head), snapshot.plan_text()), (Some(7), Some((3, "name = 1"))));
    let sent = sent.lock().unwrap();
    let [(operation, query)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(operation, "Query");
    assert_eq!(query["ConsistentRead"], true);
    assert_eq!((&query["TableName"], &query["KeyConditionExpression"]), (&json!("shop-journal"), &json!("pk = :pk")));
    assert_eq!(query["ExpressionAttributeValues"], json!({ ":pk": { "S": "shop" } }));
}

#[tokio::test]
async fn a_partition_beyond_a_page_is_read_to_its_end() {
    let (journal, sent) = journal(|_, _, body| match body.get("ExclusiveStartKey") {
        None => {
            let last = json!({ "pk": { "S": "shop" }, "sk": { "S": "head" } });
            (200, json!({ "Items": [row("head", 1, &json!(Head::default()))], "LastEvaluatedKey": last }))
        }
        Some(_) => (200, json!({ "Items": [row("memory", 4, &json!({}))] })),
    });
    let snapshot = journal.read().await.unwrap();
    assert_eq!((snapshot.revision(&Key::Head), snapshot.revision(&Key::Memory)), (Some(1), Some(4)));
    assert!(sent.lock().unwrap().iter().all(|(_, query)| query["ConsistentRead"] == true), "the second page is read as consistently as the first");
}

#[tokio::test]
async fn a_write_is_one_transaction_with_a_condition_on_each_item_and_its_history_in_it() {
    let (journal, sent) = journal(|_, _, _| (200, json!({})));
    let changes = vec![put(Key::Evidence, None), put(Key::Head, Some(7)), delete(Key::Lease("capacity".to_owned()), 2)];
    assert_eq!(journal.write(changes, vec![(run(), entry("asked"))]).await.unwrap(), Written::Done);
    let sent = sent.lock().unwrap();
    let [(operation, body)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(operation, "TransactWriteItems");
    let token = body["ClientRequestToken"].as_str().unwrap();
    assert!((1..=36).contains(&token.len()), "{token}");
    let items = body["TransactItems"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    assert!(items.iter().all(|item| item.as_object().unwrap().values().all(|change| change["TableName"] == "shop-journal")));

    let created = &items[0]["Put"];
    assert_eq!(created["ConditionExpression"], "attribute_not_exists(pk)");
    assert_eq!(created.get("ExpressionAttributeValues"), None);
    let row = json!({ "pk": { "S": "shop" }, "sk": { "S": "evidence" }, "revision": { "N": "1" }, "attempt": { "S": token }, "body": { "S": r#"{"some":"body"}"# } });
    assert_eq!(created["Item"], row);

    let changed = &items[1]["Put"];
    assert_eq!((&changed["ConditionExpression"], &changed["Item"]["revision"]), (&json!("revision = :expected"), &json!({ "N": "8" })));
    assert_eq!(changed["ExpressionAttributeValues"], json!({ ":expected": { "N": "7" } }));

    let removed = &items[2]["Delete"];
    assert_eq!(removed["Key"], json!({ "pk": { "S": "shop" }, "sk": { "S": "lease#capacity" } }));
    assert_eq!(
        (&removed["ConditionExpression"], &removed["ExpressionAttributeValues"]),
        (&json!("revision = :expected"), &json!({ ":expected": { "N": "2" } }))
    );

    let line = &items[3]["Put"];
    assert_eq!(line["Item"]["pk"], json!({ "S": "shop#failover-20260105T000511Z" }));
    assert_eq!(line["Item"]["sk"], json!({ "S": format!("2026-01-05T00:05:11.201000000Z#{token}#0") }));
    assert_eq!(line.get("ConditionExpression"), None, "a line is appended, whatever else is there");
}

#[tokio::test]
async fn a_condition_that_failed_on_somebody_elses_write_is_lost() {
    let (journal, sent) = journal(|_, operation, _| match operation {
        "GetItem" => (200, json!({ "Item": row("head", 8, &json!({})) })),
        _ => cancelled(&["None", "ConditionalCheckFailed"]),
    });
    let changes = vec![put(Key::Head, Some(7)), put(Key::Progress(Part::Capacity), Some(1))];
    assert_eq!(journal.write(changes, Vec::new()).await.unwrap(), Written::Lost);
    let sent = sent.lock().unwrap();
    assert_eq!(sent[1].0, "GetItem");
    assert_eq!(sent[1].1["ConsistentRead"], true, "a stale read could miss our own write");
}

#[tokio::test]
async fn a_condition_that_failed_on_our_own_unanswered_write_is_done() {
    // The first attempt is done and its answer lost; the SDK's second one meets what the first has written.
    let token = Arc::new(Mutex::new(String::new()));
    let (journal, sent) = journal(move |number, operation, body| match (number, operation) {
        (0, _) => {
            *token.lock().unwrap() = body["ClientRequestToken"].as_str().unwrap().to_owned();
            (500, json!({ "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "Internal server error" }))
        }
        (_, "TransactWriteItems") => {
            assert_eq!(body["ClientRequestToken"].as_str(), Some(token.lock().unwrap().as_str()), "a retry is the same write");
            cancelled(&["ConditionalCheckFailed"])
        }
        _ => {
            let mut ours = row("head", 8, &json!({}));
            ours["attempt"] = json!({ "S": token.lock().unwrap().as_str() });
            (200, json!({ "Item": ours }))
        }
    });
    assert_eq!(journal.write(vec![put(Key::Head, Some(7))], Vec::new()).await.unwrap(), Written::Done);
    assert_eq!(operations(&sent), ["TransactWriteItems", "TransactWriteItems", "GetItem"]);
}

#[tokio::test]
async fn a_deletion_that_was_done_and_not_answered_is_lost_without_another_question() {
    let (journal, sent) = journal(|number, _, _| match number {
        0 => (500, json!({ "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "Internal server error" })),
        _ => cancelled(&["ConditionalCheckFailed"]),
    });
    assert_eq!(journal.write(vec![delete(Key::Lease("capacity".to_owned()), 2)], Vec::new()).await.unwrap(), Written::Lost);
    assert_eq!(operations(&sent), ["TransactWriteItems", "TransactWriteItems"]);
}

#[tokio::test]
async fn a_transaction_at_the_same_items_at_this_moment_is_lost() {
    let (journal, _) = journal(|_, operation, _| match operation {
        "GetItem" => (200, json!({})),
        _ => cancelled(&["TransactionConflict"]),
    });
    assert_eq!(journal.write(vec![put(Key::Head, None)], Vec::new()).await.unwrap(), Written::Lost);
}

#[tokio::test]
async fn our_own_transaction_still_in_progress_is_lost_until_it_can_be_read() {
    let (journal, _) = journal(|_, operation, _| match operation {
        "GetItem" => (200, json!({})),
        _ => error("TransactionInProgressException", "The transaction with the given request token is already in progress."),
    });
    assert_eq!(journal.write(vec![put(Key::Head, None)], Vec::new()).await.unwrap(), Written::Lost);
}

#[tokio::test]
async fn a_table_that_is_missing_is_named_with_its_region_and_the_remedy() {
    let (journal, _) = journal(|_, _, _| error("ResourceNotFoundException", "Requested resource not found"));
    let said = "the journal has no table `shop-journal` in us-west-2; deploy infra/control there, or set RELIGHT_TABLE";
    assert_eq!(journal.read().await.unwrap_err().to_string(), said);
    assert_eq!(journal.write(vec![put(Key::Head, None)], Vec::new()).await.unwrap_err().to_string(), said);
    assert_eq!(journal.history(&run()).await.unwrap_err().to_string(), said);
}

#[tokio::test]
async fn a_call_that_is_not_allowed_names_itself_and_the_remedy() {
    let (journal, _) = journal(|_, _, _| error("AccessDeniedException", "User: arn:aws:sts::1:assumed-role/r/s is not authorized"));
    let said = journal.read().await.unwrap_err().to_string();
    assert!(said.contains("dynamodb:Query: not allowed") && said.contains("deploy the template again"), "{said}");
}

#[tokio::test]
async fn throttling_is_retried_and_then_said() {
    let (journal, sent) =
        journal(|_, _, _| error("ProvisionedThroughputExceededException", "The level of configured provisioned throughput was exceeded."));
    let said = journal.read().await.unwrap_err().to_string();
    assert!(said.contains("dynamodb:Query: throttled"), "{said}");
    assert_eq!(sent.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_transaction_that_was_throttled_is_not_taken_for_a_lost_one() {
    let (journal, _) = journal(|_, _, _| cancelled(&["ThrottlingError"]));
    let said = journal.write(vec![put(Key::Head, None)], Vec::new()).await.unwrap_err().to_string();
    assert!(said.contains("ThrottlingError"), "{said}");
}

#[tokio::test]
async fn a_write_without_an_answer_does_not_say_that_nothing_was_changed() {
    let (journal, _) = journal(|_, _, _| (503, json!({})));
    let said = journal.write(vec![put(Key::Head, None)], Vec::new()).await.unwrap_err().to_string();
    assert!(said.contains("dynamodb:TransactWriteItems: no answer that tells whether it was done"), "{said}");
    assert!(!said.contains("nothing was changed"), "{said}");
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_named() {
    let without_revision = json!({ "pk": { "S": "shop" }, "sk": { "S": "evidence" }, "body": { "S": "{}" } });
    let cases = [(row("lease#capacity", 1, &json!(5)), "`lease#capacity` cannot be read"), (without_revision, "`evidence` lacks `revision`")];
    for (item, expected) in cases {
        let (journal, _) = journal(move |_, _, _| (200, json!({ "Items": [item] })));
        let said = journal.read().await.unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn an_item_and_a_line_of_another_version_are_passed_over() {
    let head = json!(Head { plan_version: 3, ..Head::default() });
    let line = json!({ "at": entry("x").at, "by": "a sundial", "kind": "shadow", "said": "noon", "angle": 90 });
    let (journal, _) = journal(move |number, _, _| match number {
        0 => (200, json!({ "Items": [row("head", 7, &head), row("sundial", 1, &json!({})), row("plan#newest", 1, &json!(""))] })),
        _ => (200, json!({ "Items": [{ "pk": { "S": "x" }, "sk": { "S": "y" }, "body": { "S": line.to_string() } }] })),
    });
    let snapshot = journal.read().await.unwrap();
    assert_eq!((snapshot.head.plan_version, snapshot.revision(&Key::from("sundial"))), (3, Some(1)));
    let history = journal.history(&run()).await.unwrap();
    assert_eq!((history[0].kind, history[0].said.as_str()), (EntryKind::Other, "noon"));
}

#[tokio::test]
async fn a_history_is_read_in_the_order_of_its_keys() {
    let line = |said: &str| json!({ "pk": { "S": "x" }, "sk": { "S": said }, "body": { "S": json!(entry(said)).to_string() } });
    let (journal, sent) = journal(move |_, _, _| (200, json!({ "Items": [line("first"), line("second")] })));
    let said: Vec<String> = journal.history(&run()).await.unwrap().into_iter().map(|entry| entry.said).collect();
    assert_eq!(said, ["first", "second"]);
    assert_eq!(sent.lock().unwrap()[0].1["ExpressionAttributeValues"], json!({ ":pk": { "S": "shop#failover-20260105T000511Z" } }));
}
