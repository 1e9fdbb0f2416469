//! STOP on the wire, with S3's documented answers.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::*;

fn plan() -> plan::Traffic {
    plan::Traffic {
        record: "www.shop.example".to_owned(),
        standby: "standby.shop.example".to_owned(),
        stop_bucket: "shop-stop".to_owned(),
        stop_key: "STOP".to_owned(),
        healthy_url: "https://standby.shop.example/health".to_owned(),
        healthy_body: String::new(),
    }
}

/// S3 that gives this one answer.
fn s3(status: u16, body: &'static str) -> (AwsTraffic, StaticReplayClient) {
    let request = http::Request::get("https://any.example/").body(SdkBody::empty()).unwrap();
    let response = http::Response::builder().status(status).body(SdkBody::from(body)).unwrap();
    let replay = StaticReplayClient::new(vec![ReplayEvent::new(request, response)]);
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .retry_config(RetryConfig::disabled())
        .http_client(replay.clone())
        .build();
    (AwsTraffic::new(&Aws::from_config(config), Some("127.0.0.1:1")), replay)
}

fn sent(replay: &StaticReplayClient) -> String {
    replay.actual_requests().map(|request| format!("{} {}", request.method(), request.uri())).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_object_that_is_there_is_seen() {
    let (traffic, replay) = s3(200, "");
    assert!(traffic.stop_is_present(&plan()).await.unwrap());
    assert_eq!(sent(&replay), "HEAD https://shop-stop.s3.us-west-2.amazonaws.com/STOP");
}

#[tokio::test]
async fn a_404_is_absence() {
    let (traffic, _) = s3(404, "");
    assert!(!traffic.stop_is_present(&plan()).await.unwrap());
}

#[tokio::test]
async fn a_403_without_a_body_is_denied_with_both_remedies_and_never_absence() {
    let (traffic, _) = s3(403, "");
    let error = traffic.stop_is_present(&plan()).await.unwrap_err();
    assert!(matches!(&error.why, Why::Denied(why) if why.contains("s3:GetObject") && why.contains("s3:ListBucket")), "{error}");
}

#[tokio::test]
async fn a_503_is_no_answer_about_the_object() {
    let (traffic, _) = s3(503, "");
    let error = traffic.stop_is_present(&plan()).await.unwrap_err();
    assert!(error.passes(), "{error}");
}

#[tokio::test]
async fn slow_down_passes() {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let (traffic, _) = s3(503, body);
    let error = traffic.put_stop(&plan()).await.unwrap_err();
    assert!(error.passes(), "{error}");
    assert_eq!(error.operation, "s3:PutObject");
}

#[tokio::test]
async fn a_put_says_what_it_is_and_may_not_be_cached() {
    let (traffic, replay) = s3(200, "");
    traffic.put_stop(&plan()).await.unwrap();
    let request = replay.actual_requests().next().unwrap();
    assert_eq!(request.method(), "PUT");
    assert_eq!(request.headers().get("cache-control"), Some("no-store"));
    assert_eq!(request.headers().get("content-type"), Some("text/plain"));
}

#[tokio::test]
async fn a_put_that_is_not_allowed_says_so() {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let (traffic, _) = s3(403, body);
    let error = traffic.put_stop(&plan()).await.unwrap_err();
    assert!(matches!(error.why, Why::Denied(_)), "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_not_found() {
    let body =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
    let (traffic, _) = s3(404, body);
    let error = traffic.put_stop(&plan()).await.unwrap_err();
    assert!(matches!(error.why, Why::NotFound(_)), "{error}");
}

#[tokio::test]
async fn removing_twice_is_removing_once() {
    // S3 answers 204 whether it was there or not.
    let (traffic, replay) = s3(204, "");
    traffic.remove_stop(&plan()).await.unwrap();
    assert!(sent(&replay).starts_with("DELETE https://shop-stop.s3.us-west-2.amazonaws.com/STOP"), "{}", sent(&replay));
}

#[tokio::test]
async fn checkers_read_it_over_https_in_the_standby_region() {
    let (traffic, _) = s3(200, "");
    assert_eq!(traffic.public_url(&plan()), "https://shop-stop.s3.us-west-2.amazonaws.com/STOP");
}
