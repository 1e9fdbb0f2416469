//! Topic to function, across Regions.
//!
//! ministack would call a subscribed function by itself: at once, as root's business, also out of a Region that is meant to be dark. So the
//! router subscribes *itself* in the function's place, by HTTP, one address a subscription:
//!
//! ```text
//! Subscribe(lambda, F) ─► Subscribe(http, /_carry/7) at ministack ─► it confirms ─► the caller gets the real subscription ARN
//! Publish, alarm action ─► ministack posts to /_carry/7 ─► the event that F would get from SNS ─► deliver
//! ListSubscriptions… ─► /_carry/7 is shown as (lambda, F)
//! ```
//! Filter policies stay with ministack: it does not post what does not fit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::carry::{Message, Source, region_of};
use crate::refuse::Refusal;
use crate::request::{Parsed, Request, header};
use crate::route::Answer;
use crate::{Inner, lock};

/// ministack posts the confirmation at once; a stage under load gets this long.
const CONFIRMATION: Duration = Duration::from_secs(10);

pub(crate) const PATH: &str = "/_carry/";

struct Subscription {
    topic: String,
    function: String,
    /// The real ARN, when it is confirmed.
    arn: watch::Sender<Option<String>>,
}

#[derive(Default)]
pub(crate) struct Topics {
    subscriptions: Vec<Subscription>,
    /// Rules of composite alarms by Region and name: ministack leaves them out of what it publishes.
    composites: HashMap<(String, String), String>,
}

impl Topics {
    fn index(&mut self, topic: &str, function: &str) -> usize {
        let same = |known: &Subscription| known.topic == topic && known.function == function;
        self.subscriptions.iter().position(same).unwrap_or_else(|| {
            let (arn, _) = watch::channel(None);
            self.subscriptions.push(Subscription { topic: topic.to_owned(), function: function.to_owned(), arn });
            self.subscriptions.len() - 1
        })
    }

    pub(crate) fn learn_composite(&mut self, call: &Parsed) {
        if let (Some(name), Some(rule)) = (call.text("AlarmName"), call.text("AlarmRule")) {
            self.composites.insert((call.region.clone(), name.to_owned()), rule.to_owned());
        }
    }
}

impl Inner {
    /// Subscribes the router in a function's place and answers as SNS answers for a function.
    pub(crate) async fn subscribe(&self, call: &Parsed, function: &str) -> Result<Answer, Refusal> {
        let topic = call.text("TopicArn").unwrap_or_default();
        let index = lock(&self.topics).index(topic, function);
        let address = self.carry_address(index);
        let Value::Object(fields) = &call.params else { return Err(Refusal::stage("Subscribe has no fields")) };
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .map(|(name, value)| match name {
                "Protocol" => (name, "http"),
                "Endpoint" => (name, address.as_str()),
                _ => (name, value),
            })
            .collect();
        let failed = |why: String| Refusal::stage(format!("subscribing {function} to {topic} through the router failed: {why}"));
        let answer = self.backends.query("sns", &call.region, &fields).await.map_err(|error| failed(error.to_string()))?;
        if !answer.status.is_success() {
            return Ok(answer);
        }
        let pending = String::from_utf8_lossy(&answer.body).contains("pending confirmation");
        let mut confirmed = lock(&self.topics).subscriptions[index].arn.subscribe();
        let arn = if pending {
            let wait = tokio::time::timeout(CONFIRMATION, confirmed.wait_for(Option::is_some)).await;
            let arn = wait.map_err(|_| failed("it was not confirmed in time".to_owned()))?;
            arn.map_err(|error| failed(error.to_string()))?.clone().unwrap_or_default()
        } else {
            return Ok(answer);
        };
        let body = String::from_utf8_lossy(&answer.body).replace("pending confirmation", &arn);
        Ok(Answer { body: Bytes::from(body), ..answer })
    }

    fn carry_address(&self, index: usize) -> String {
        format!("{}{PATH}{index}", self.url)
    }

    /// Shows the router's own subscriptions as what they stand for.
    pub(crate) fn show_subscriptions(&self, answer: Answer) -> Answer {
        let mut body = String::from_utf8_lossy(&answer.body).into_owned();
        if !body.contains(PATH) {
            return answer;
        }
        for (index, subscription) in lock(&self.topics).subscriptions.iter().enumerate().rev() {
            let (address, function) = (self.carry_address(index), &subscription.function);
            body = body.replace(
                &format!("<Protocol>http</Protocol><Endpoint>{address}</Endpoint>"),
                &format!("<Protocol>lambda</Protocol><Endpoint>{function}</Endpoint>"),
            );
            let entry = format!("<value>{address}</value>");
            if body.contains(&entry) {
                body = body.replace(&entry, &format!("<value>{function}</value>"));
                body = body.replace("<key>Protocol</key><value>http</value>", "<key>Protocol</key><value>lambda</value>");
            }
        }
        Answer { body: Bytes::from(body), ..answer }
    }

    /// What ministack posts. It is answered at once: ministack waits for nobody.
    pub(crate) fn notified(self: &Arc<Self>, request: &Request) -> Result<(), Refusal> {
        let unknown = || Refusal::stage(format!("{} is no subscription of this router", request.path));
        let index: usize = request.path.trim_start_matches(PATH).parse().map_err(|_| unknown())?;
        let body: Value =
            serde_json::from_slice(&request.body).map_err(|error| Refusal::stage(format!("a notification that is not JSON: {error}")))?;
        let confirms = header(request, "x-amz-sns-message-type") == Some("SubscriptionConfirmation");
        let inner = Arc::clone(self);
        if confirms {
            self.spawn(async move { inner.confirm(index, &body).await });
            return Ok(());
        }
        let message = {
            let topics = lock(&self.topics);
            let subscription = topics.subscriptions.get(index).ok_or_else(unknown)?;
            let event = event(&body, subscription.arn.borrow().as_deref().unwrap_or_default(), &topics.composites);
            Message {
                source: Source::Topic,
                from: subscription.topic.clone(),
                to: subscription.function.clone(),
                payload: Bytes::from(event.to_string()),
                role: None,
            }
        };
        self.spawn(async move { inner.deliver(message).await });
        Ok(())
    }

    async fn confirm(&self, index: usize, body: &Value) {
        let topic = body["TopicArn"].as_str().unwrap_or_default();
        let token = body["Token"].as_str().unwrap_or_default();
        let fields = [("Action", "ConfirmSubscription"), ("TopicArn", topic), ("Token", token)];
        let Ok(answer) = self.backends.query("sns", region_of(topic), &fields).await else { return };
        let answer = String::from_utf8_lossy(&answer.body).into_owned();
        let arn = answer.split_once("<SubscriptionArn>").and_then(|(_, rest)| rest.split_once("</SubscriptionArn>"));
        if let (Some((arn, _)), Some(subscription)) = (arn, lock(&self.topics).subscriptions.get(index)) {
            subscription.arn.send_replace(Some(arn.to_owned()));
        }
    }
}

/// The event that SNS hands to a function; its keys differ from those of the HTTP envelope.
fn event(envelope: &Value, subscription: &str, composites: &HashMap<(String, String), String>) -> Value {
    let field = |name: &str| envelope.get(name).cloned().unwrap_or(Value::Null);
    let topic = envelope["TopicArn"].as_str().unwrap_or_default();
    let message = envelope["Message"].as_str().unwrap_or_default();
    json!({"Records": [{
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "EventSource": "aws:sns",
        "Sns": {
            "Type": "Notification",
            "MessageId": field("MessageId"),
            "TopicArn": topic,
            "Subject": field("Subject"),
            "Message": as_cloudwatch_says(message, topic, composites),
            "Timestamp": field("Timestamp"),
            "SignatureVersion": field("SignatureVersion"),
            "Signature": field("Signature"),
            "SigningCertUrl": field("SigningCertURL"),
            "UnsubscribeUrl": field("UnsubscribeURL"),
            "MessageAttributes": envelope.get("MessageAttributes").cloned().unwrap_or_else(|| json!({})),
        },
    }]})
}

/// ministack's alarm message lacks the alarm's ARN, says the Region by its code and the time in another form; a composite alarm's message
/// has a Trigger, which AWS's has not, and no rule. An alarm notifies topics of its own Region only, so the topic's ARN tells the rest.
fn as_cloudwatch_says(message: &str, topic: &str, composites: &HashMap<(String, String), String>) -> String {
    let Ok(Value::Object(mut alarm)) = serde_json::from_str::<Value>(message) else { return message.to_owned() };
    let (Some(name), true) = (alarm.get("AlarmName").and_then(Value::as_str), alarm.contains_key("NewStateValue")) else {
        return message.to_owned();
    };
    if alarm.contains_key("AlarmArn") {
        return message.to_owned();
    }
    let (name, region) = (name.to_owned(), region_of(topic).to_owned());
    let account = topic.split(':').nth(4).unwrap_or_default();
    let arn = format!("arn:aws:cloudwatch:{region}:{account}:alarm:{name}");
    if let Some(time) = alarm.get("StateChangeTime").and_then(Value::as_str).and_then(|time| time.parse::<Timestamp>().ok()) {
        alarm.insert("StateChangeTime".to_owned(), Value::String(cloudwatch_time(time)));
    }
    alarm.insert("Region".to_owned(), Value::String(display_name(&region).to_owned()));
    alarm.insert("AlarmArn".to_owned(), Value::String(arn));
    if alarm.get("AlarmDescription").is_none_or(|text| text == "") {
        alarm.insert("AlarmDescription".to_owned(), Value::Null);
    }
    for actions in ["OKActions", "AlarmActions", "InsufficientDataActions"] {
        alarm.entry(actions).or_insert_with(|| json!([]));
    }
    if let Some(rule) = composites.get(&(region.clone(), name)) {
        make_composite(&mut alarm, rule, &region, account);
    }
    Value::Object(alarm).to_string()
}

fn make_composite(alarm: &mut Map<String, Value>, rule: &str, region: &str, account: &str) {
    alarm.remove("Trigger");
    alarm.insert("AlarmRule".to_owned(), Value::String(rule.to_owned()));
    let time = alarm.get("StateChangeTime").cloned().unwrap_or(Value::Null);
    let children = rule.split("ALARM(").skip(1).filter_map(|rest| rest.split(')').next()).map(|child| {
        let child = child.trim().trim_matches('"');
        let arn = if child.starts_with("arn:") { child.to_owned() } else { format!("arn:aws:cloudwatch:{region}:{account}:alarm:{child}") };
        json!({"Arn": arn, "State": {"Value": alarm.get("NewStateValue"), "Timestamp": time}})
    });
    let children: Vec<_> = children.collect();
    alarm.insert("TriggeringChildren".to_owned(), Value::Array(children));
}

/// `2026-01-05T00:05:11.123+0000`: not RFC 3339.
fn cloudwatch_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

fn display_name(region: &str) -> &str {
    match region {
        "us-east-1" => "US East (N. Virginia)",
        "us-east-2" => "US East (Ohio)",
        "us-west-1" => "US West (N. California)",
        "us-west-2" => "US West (Oregon)",
        "eu-west-1" => "EU (Ireland)",
        "eu-central-1" => "EU (Frankfurt)",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-2:123456789012:alarms";

    fn alarm() -> String {
        json!({"AlarmName": "down", "AlarmDescription": "", "NewStateValue": "ALARM", "StateChangeTime": "2026-01-05T00:05:11Z",
            "Region": "us-east-2", "Trigger": {}})
        .to_string()
    }

    #[test]
    fn an_alarm_reads_as_cloudwatch_writes_it() {
        let message: Value = serde_json::from_str(&as_cloudwatch_says(&alarm(), TOPIC, &HashMap::new())).unwrap();
        assert_eq!(message["AlarmArn"], "arn:aws:cloudwatch:us-east-2:123456789012:alarm:down");
        assert_eq!(message["StateChangeTime"], "2026-01-05T00:05:11.000+0000");
        assert_eq!((&message["Region"], &message["AlarmDescription"]), (&json!("US East (Ohio)"), &Value::Null));
        assert!(message.get("Trigger").is_some() && message.get("AlarmRule").is_none());
    }

    #[test]
    fn a_composite_alarm_has_a_rule_and_no_trigger() {
        let rule = "ALARM(\"front\") OR ALARM(back)".to_owned();
        let composites = HashMap::from([(("us-east-2".to_owned(), "down".to_owned()), rule)]);
        let message: Value = serde_json::from_str(&as_cloudwatch_says(&alarm(), TOPIC, &composites)).unwrap();
        assert!(message.get("Trigger").is_none());
        let arns: Vec<_> = message["TriggeringChildren"].as_array().unwrap().iter().map(|child| child["Arn"].clone()).collect();
        assert_eq!(arns, ["arn:aws:cloudwatch:us-east-2:123456789012:alarm:front", "arn:aws:cloudwatch:us-east-2:123456789012:alarm:back"]);
    }

    #[test]
    fn any_other_message_is_left_alone() {
        for message in ["plain words", r#"{"AlarmName":"x"}"#, "[1]"] {
            assert_eq!(as_cloudwatch_says(message, TOPIC, &HashMap::new()), message);
        }
    }

    #[test]
    fn the_event_has_the_keys_that_a_function_gets() {
        let envelope = json!({"Type": "Notification", "MessageId": "1", "TopicArn": TOPIC, "Message": "m", "SigningCertURL": "u"});
        let event = event(&envelope, "sub", &HashMap::new());
        let record = &event["Records"][0];
        assert_eq!((&record["EventSource"], &record["EventSubscriptionArn"]), (&json!("aws:sns"), &json!("sub")));
        assert_eq!((&record["Sns"]["SigningCertUrl"], &record["Sns"]["Subject"]), (&json!("u"), &Value::Null));
        assert_eq!(record["Sns"]["MessageAttributes"], json!({}));
    }
}
