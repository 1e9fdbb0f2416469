//! The heartbeat on the wire.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::*;

const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"
observer = []

[traffic]
record = "www.shop.example"
standby = "standby.shop.example"
stop_bucket = "shop-stop"
healthy_url = "https://standby.shop.example/health"
"#;

fn cloudwatch(status: u16, beats: bool) -> (AwsEyes, StaticReplayClient) {
    let request = || http::Request::get("https://any.example/").body(SdkBody::empty()).unwrap();
    let response = || http::Response::builder().status(status).body(SdkBody::from("{}")).unwrap();
    let replay = StaticReplayClient::new((0..3).map(|_| ReplayEvent::new(request(), response())).collect());
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(aws_smithy_async::rt::sleep::TokioSleep::new()))
        .http_client(replay.clone())
        .build();
    (AwsEyes::new(&Aws::from_config(config), Some("127.0.0.1:1"), beats), replay)
}

#[tokio::test]
async fn one_beat_goes_to_the_primary_region_with_the_plans_name() {
    let (eyes, replay) = cloudwatch(200, true);
    eyes.heartbeat(&Plan::stored(PLAN).unwrap()).await.unwrap();
    let requests: Vec<_> = replay.actual_requests().collect();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].uri().starts_with("https://monitoring.us-east-2.amazonaws.com/"), "{}", requests[0].uri());
}

#[tokio::test]
async fn a_primary_in_trouble_is_tried_once_and_no_more() {
    let (eyes, replay) = cloudwatch(503, true);
    let error = eyes.heartbeat(&Plan::stored(PLAN).unwrap()).await.unwrap_err();
    assert_eq!(error.operation, "cloudwatch:PutMetricData");
    assert_eq!(replay.actual_requests().count(), 1);
}

#[tokio::test]
async fn a_watcher_whose_role_may_not_put_the_heartbeat_does_not_try() {
    let (eyes, replay) = cloudwatch(403, false);
    eyes.heartbeat(&Plan::stored(PLAN).unwrap()).await.unwrap();
    assert_eq!(replay.actual_requests().count(), 0);
}
