//! On the wire: ECS and Application Auto Scaling in JSON, EC2 Auto Scaling's Query API in XML, with the answers that their
//! documentation shows. Calls go out side by side, so answers are told by what is asked, not by their order.

mod groups;
mod services;

use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::region::Region;
use aws_types::sdk_config::{SdkConfig, SharedCredentialsProvider};

use super::*;

/// What was sent: `DescribeServices` and its body.
type Sent = Arc<Mutex<Vec<(String, String)>>>;

/// An adapter whose calls are answered by `answer`, from the operation's name and the request's body.
fn adapter(answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> (AwsCompute, Sent) {
    let sent = Sent::default();
    let log = Arc::clone(&sent);
    let http = infallible_client_fn(move |request: http::Request<SdkBody>| {
        let body = String::from_utf8_lossy(request.body().bytes().expect("in memory")).into_owned();
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).and_then(|target| target.split('.').nth(1));
        let action = || body.strip_prefix("Action=").and_then(|rest| rest.split('&').next());
        let operation = target.or_else(action).expect("an operation").to_owned();
        log.lock().expect("not poisoned").push((operation.clone(), body.clone()));
        let (status, answer) = answer(&operation, &body);
        http::Response::builder().status(status).body(SdkBody::from(answer)).expect("an answer")
    });
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .retry_config(RetryConfig::disabled())
        .http_client(http)
        .build();
    (AwsCompute::new(&Aws::from_config(config)), sent)
}

/// The bodies that were sent for one operation.
fn sent_for(sent: &Sent, operation: &str) -> Vec<String> {
    sent.lock().expect("not poisoned").iter().filter(|(held, _)| held == operation).map(|(_, body)| body.clone()).collect()
}

fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).expect("JSON")
}
