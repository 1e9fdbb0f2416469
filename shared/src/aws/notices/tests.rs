//! Notices on the wire: SNS's Query API.

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::Value;

use super::*;
use crate::event::{Trigger, parse};
use crate::ports::Why;

const PUBLISHED: &str = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult><ResponseMetadata><RequestId>d74b8436</RequestId></ResponseMetadata></PublishResponse>"#;

/// SNS that gives this one answer.
fn sns(status: u16, body: &'static str) -> (SnsNotices, StaticReplayClient) {
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
    let topics = ["progress", "people"].map(|topic| format!("arn:aws:sns:us-west-2:123456789012:shop-{topic}"));
    let [progress, people] = topics;
    (SnsNotices::new(&Aws::from_config(config), progress, people), replay)
}

/// The fields of the one form that was sent.
fn form(replay: &StaticReplayClient) -> BTreeMap<String, String> {
    let request = replay.actual_requests().next().unwrap();
    let body = String::from_utf8_lossy(request.body().bytes().unwrap()).into_owned();
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let digits: Vec<u8> = rest.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                }
                other => bytes.push(other),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    body.split('&').filter_map(|field| field.split_once('=')).map(|(name, value)| (plain(name), plain(value))).collect()
}

fn people(subject: &str) -> Notice {
    Notice::People { subject: subject.to_owned(), text: "confirmed: 2 of 3 observers\nplan shop".to_owned() }
}

#[tokio::test]
async fn a_progress_notice_is_what_the_functions_parse() {
    let (notices, replay) = sns(200, PUBLISHED);
    let what = "database \"orders\" promoted & proven".to_owned();
    notices.publish(&Notice::Progress { plan: "shop".to_owned(), run: "failover-20260105T000511Z".to_owned(), what: what.clone() }).await.unwrap();
    let form = form(&replay);
    assert_eq!((form["Action"].as_str(), form["TopicArn"].as_str()), ("Publish", "arn:aws:sns:us-west-2:123456789012:shop-progress"));
    let message: Value = serde_json::from_str(&form["Message"]).unwrap();
    assert_eq!(parse(&message).triggers, [Trigger::Progress { plan: "shop".to_owned(), what }]);
}

#[tokio::test]
async fn people_get_subject_and_text_by_their_own_topic() {
    let (notices, replay) = sns(200, PUBLISHED);
    notices.publish(&people("Relight shop: failover Confirmed")).await.unwrap();
    let form = form(&replay);
    assert_eq!(form["TopicArn"], "arn:aws:sns:us-west-2:123456789012:shop-people");
    assert_eq!((form["Subject"].as_str(), form["Message"].as_str()), ("Relight shop: failover Confirmed", "confirmed: 2 of 3 observers\nplan shop"));
}

#[tokio::test]
async fn a_subject_is_what_sns_accepts_one() {
    let (notices, replay) = sns(200, PUBLISHED);
    notices.publish(&people(&format!("{}\nübrig {}", "x".repeat(60), "y".repeat(60)))).await.unwrap();
    let subject = form(&replay).remove("Subject").unwrap();
    assert!(subject.chars().count() < 100 && !subject.contains(char::is_control), "{subject}");
}

#[tokio::test]
async fn a_topic_that_is_missing_or_forbidden_names_the_call_and_what_to_do() {
    let refused = |code: &str| {
        let body = format!(
            r#"<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>{code}</Code><Message>Topic</Message></Error><RequestId>d74b8436</RequestId></ErrorResponse>"#
        );
        &*body.leak()
    };
    let (notices, _) = sns(404, refused("NotFound"));
    let error = notices.publish(&people("x")).await.unwrap_err();
    assert!(matches!(&error.why, Why::NotFound(_)) && error.operation == "sns:Publish", "{error}");
    let (notices, _) = sns(403, refused("AuthorizationError"));
    let error = notices.publish(&people("x")).await.unwrap_err();
    assert!(matches!(&error.why, Why::Denied(_)), "{error}");
}
