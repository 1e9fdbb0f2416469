//! Subscriptions on the wire: SNS's Query API, in pages.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::*;
use crate::ports::Why;

const FUNCTION: &str = "arn:aws:lambda:us-west-2:123456789012:function:shop-relight-scale-up";

fn member(arn: &str, protocol: &str, endpoint: &str) -> String {
    format!(
        "<member><SubscriptionArn>{arn}</SubscriptionArn><Owner>123456789012</Owner><Protocol>{protocol}</Protocol><Endpoint>{endpoint}</Endpoint><TopicArn>arn:aws:sns:us-west-2:123456789012:shop-people</TopicArn></member>"
    )
}

fn page(members: &str, next: &str) -> String {
    format!(
        r#"<ListSubscriptionsByTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ListSubscriptionsByTopicResult><Subscriptions>{members}</Subscriptions>{next}</ListSubscriptionsByTopicResult><ResponseMetadata><RequestId>b9275252</RequestId></ResponseMetadata></ListSubscriptionsByTopicResponse>"#
    )
}

/// SNS that gives these answers, one after the other.
fn sns(answers: Vec<(u16, String)>) -> (SnsAudience, StaticReplayClient) {
    let event = |(status, body): (u16, String)| {
        let request = http::Request::get("https://any.example/").body(SdkBody::empty()).unwrap();
        ReplayEvent::new(request, http::Response::builder().status(status).body(SdkBody::from(body)).unwrap())
    };
    let replay = StaticReplayClient::new(answers.into_iter().map(event).collect());
    let config = SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .retry_config(RetryConfig::disabled())
        .http_client(replay.clone())
        .build();
    let [progress, alarms, people] = ["progress", "alarms", "people"].map(|topic| format!("arn:aws:sns:us-west-2:123456789012:shop-{topic}"));
    (SnsAudience::new(&Aws::from_config(config), Topics { progress, alarms, people }), replay)
}

#[tokio::test]
async fn all_pages_are_read_and_a_person_who_has_not_answered_is_not_confirmed() {
    let first = member("arn:aws:sns:us-west-2:123456789012:shop-people:be21", "lambda", FUNCTION);
    let second = member("PendingConfirmation", "email", "oncall@shop.example");
    let (audience, replay) = sns(vec![(200, page(&first, "<NextToken>more</NextToken>")), (200, page(&second, ""))]);
    let found = audience.audience(Topic::People).await.unwrap();
    let expected = [(FUNCTION, true), ("oncall@shop.example", false)];
    assert_eq!(found, expected.map(|(endpoint, confirmed)| Subscriber { endpoint: endpoint.to_owned(), confirmed }));
    let bodies: Vec<String> = replay.actual_requests().map(|request| String::from_utf8_lossy(request.body().bytes().unwrap()).into_owned()).collect();
    assert!(bodies[0].contains("Action=ListSubscriptionsByTopic") && bodies[0].contains("shop-people"), "{bodies:?}");
    assert!(bodies[1].contains("NextToken=more"), "{bodies:?}");
}

#[tokio::test]
async fn each_topic_is_asked_by_its_own_arn() {
    for (topic, name) in [(Topic::Progress, "shop-progress"), (Topic::Alarms, "shop-alarms"), (Topic::People, "shop-people")] {
        let (audience, replay) = sns(vec![(200, page("", ""))]);
        assert_eq!(audience.audience(topic).await.unwrap(), []);
        let body = String::from_utf8_lossy(replay.actual_requests().next().unwrap().body().bytes().unwrap()).into_owned();
        assert!(body.contains(name), "{body}");
    }
}

#[tokio::test]
async fn a_topic_that_may_not_be_asked_names_the_permission() {
    let refused = r#"<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>not authorized</Message></Error><RequestId>d74b8436</RequestId></ErrorResponse>"#;
    let (audience, _) = sns(vec![(403, refused.to_owned())]);
    let error = audience.audience(Topic::Progress).await.unwrap_err();
    assert!(matches!(&error.why, Why::Denied(_)) && error.operation == "sns:ListSubscriptionsByTopic", "{error}");
}
