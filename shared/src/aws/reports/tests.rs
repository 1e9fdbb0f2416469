//! Reports on the wire: S3's REST API.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use std::sync::{Arc, Mutex};

use super::*;
use crate::ports::Why;

/// One line a request: method, address, kind of content, content.
type Sent = Arc<Mutex<Vec<String>>>;

/// S3 that refuses, with `refusal`, what ends in `.html`.
fn s3(refusal: Option<(u16, &'static str)>) -> (S3Reports, Sent) {
    let sent = Sent::default();
    let log = Arc::clone(&sent);
    let http = infallible_client_fn(move |request: http::Request<SdkBody>| {
        let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // The content is signed in chunks or not, as the SDK likes: only the key and the kind are looked at here.
        let address = request.uri().to_string();
        let address = address.split('?').next().unwrap_or_default();
        log.lock().unwrap().push(format!("{} {address} {kind}", request.method()));
        let (status, code) = refusal.filter(|_| address.ends_with(".html")).unwrap_or((200, ""));
        let body = if code.is_empty() { String::new() } else { format!("<Error><Code>{code}</Code><Message>no</Message></Error>") };
        http::Response::builder().status(status).body(SdkBody::from(body)).unwrap()
    });
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .retry_config(RetryConfig::disabled())
        .http_client(http)
        .build();
    (S3Reports::new(&Aws::from_config(config), "shop-reports".to_owned()), sent)
}

#[tokio::test]
async fn both_forms_lie_beside_each_other_and_the_page_is_named() {
    let (reports, sent) = s3(None);
    let place = reports.put("drill-20260105T000500Z", "{}", "<p>").await.unwrap();
    assert_eq!(place, "s3://shop-reports/drill-20260105T000500Z.html");
    let mut sent = sent.lock().unwrap().clone();
    sent.sort();
    let at = "https://shop-reports.s3.us-west-2.amazonaws.com/drill-20260105T000500Z";
    assert_eq!(sent, [format!("PUT {at}.html text/html; charset=utf-8"), format!("PUT {at}.json application/json")]);
}

#[tokio::test]
async fn rows_lie_in_a_file_a_table_and_no_two_tables_share_one() {
    let (reports, sent) = s3(None);
    let lines = [r#"{"table":"public.orders"}"#.to_owned()];
    let put = async |table: &str| reports.put_rows("failback-20260105T000500Z", "orders", table, &lines).await.unwrap();
    assert_eq!(put("public.orders").await, "s3://shop-reports/failback-20260105T000500Z/rows/orders/public.orders.jsonl");
    let odd = [put(r#""Odd"."a/b""#).await, put(r#""Odd"."a~b""#).await, put(r#""Odd".a_b"#).await];
    assert_eq!(odd[0], "s3://shop-reports/failback-20260105T000500Z/rows/orders/~22Odd~22.~22a~2Fb~22.jsonl");
    assert!(odd[0] != odd[1] && odd[1] != odd[2] && odd[0] != odd[2], "{odd:?}");
    assert!(sent.lock().unwrap()[0].ends_with("public.orders.jsonl application/x-ndjson"), "{sent:?}");
}

#[tokio::test]
async fn a_page_that_could_not_be_put_is_no_report() {
    let (reports, _) = s3(Some((403, "AccessDenied")));
    let error = reports.put("drill-20260105T000500Z", "{}", "<p>").await.unwrap_err();
    assert!(matches!(error.why, Why::Denied(_)) && error.operation == "s3:PutObject", "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_not_found() {
    let (reports, _) = s3(Some((404, "NoSuchBucket")));
    let error = reports.put("drill-20260105T000500Z", "{}", "<p>").await.unwrap_err();
    assert!(matches!(error.why, Why::NotFound(_)), "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_busy_may_be_asked_again() {
    let (reports, _) = s3(Some((503, "SlowDown")));
    assert!(reports.put("drill-20260105T000500Z", "{}", "<p>").await.unwrap_err().passes());
}
