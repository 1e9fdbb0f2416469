//! What can wake a function, parsed at the edge into a closed enum.
//!
//! An event is a nudge: it may bring a word of evidence or of the operator, never the state of the world. One delivery
//! can hold several records, and one that can't be read does not silence the others; it is an error all the same, so
//! that the delivery ends in the dead-letter queue.
//!
//! ```text
//! invoked (IAM decides by whom)   tick, drill, rotation step, order, progress
//! from a topic (its policy does)  alarm, progress: evidence and a nudge, no word of a person
//! ```

use aws_lambda_events::sns::SnsEvent;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::Word;

/// Characters of an alarm's reason that are kept: it goes into the journal's evidence, whose item is small.
const REASON: usize = 300;
/// Characters of an operator's name that are kept: it goes into the head, which everybody reads.
const NAME: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// Each minute, in peace and in a crisis.
    Tick,
    /// The schedule of the monthly drill.
    Drill,
    Alarm(AlarmNotice),
    /// Relight's own: a part is complete.
    Progress {
        plan: String,
        what: String,
    },
    Rotation(RotationStep),
    Operator(Order),
}

/// A CloudWatch alarm as its SNS message tells it. `aws_lambda_events` wants a description and a trigger in it, which
/// real and composite alarms lack, so only what Relight reads is declared here.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmNotice {
    pub arn: String,
    pub account: String,
    pub word: Word,
    pub changed_at: Timestamp,
    pub reason: String,
}

/// One step of a rotation, as Secrets Manager invokes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RotationStep {
    pub step: RotationStepName,
    pub secret_id: String,
    pub client_request_token: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RotationStepName {
    CreateSecret,
    SetSecret,
    TestSecret,
    FinishSecret,
}

/// What a person says, by `cargo lambda invoke` or any other Invoke.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Order {
    #[serde(flatten)]
    pub command: Command,
    /// Who says it; it stands in the report.
    #[serde(default = "operator")]
    pub by: String,
    /// The run that it is meant for. An order that arrives late must not hit the next run.
    pub run: Option<String>,
}

fn operator() -> String {
    "operator".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Fail over now. Counts as a quorum.
    Failover,
    /// Start the drill now.
    Drill,
    /// Start the way home.
    Failback,
    /// The moment of the way home: writes may pause now.
    SwitchHome,
    /// Undo the run, as long as nothing is promoted.
    StandDown,
    /// Stop every step that cannot be undone, for `for` (4 h).
    Hold {
        #[serde(default, rename = "for")]
        lasting: Option<SignedDuration>,
    },
    Release,
    /// Where the plan asks for approval.
    Approve,
    /// Promote although the lag is unknown or beyond the RPO.
    AcceptLoss,
    /// Open the standby's traffic although a part is missing.
    SwitchAnyway,
    /// Go on with the newest version of the plan.
    Replan,
    Status,
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Command::Failover => "failover",
            Command::Drill => "drill",
            Command::Failback => "failback",
            Command::SwitchHome => "switch-home",
            Command::StandDown => "stand-down",
            Command::Hold { .. } => "hold",
            Command::Release => "release",
            Command::Approve => "approve",
            Command::AcceptLoss => "accept-loss",
            Command::SwitchAnyway => "switch-anyway",
            Command::Replan => "replan",
            Command::Status => "status",
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the event is none that Relight knows; see events/ for one of each")]
    Unknown,
    #[error("the event looks like {what} but cannot be read: {source}; see {example}")]
    Malformed { what: &'static str, example: &'static str, source: serde_json::Error },
    #[error("a topic brings alarms and progress, and this message is {0}; invoke the function with it")]
    NotByTopic(&'static str),
    #[error("the alarm's StateChangeTime `{0}` is no time; see events/alarm.json")]
    Time(String),
    #[error("the alarm's state `{0}` is none of ALARM, OK, INSUFFICIENT_DATA")]
    State(String),
    #[error("record {index} of {of}: {source}")]
    Record { index: usize, of: usize, source: Box<Unreadable> },
}

/// What one delivery says, and what of it could not be read.
#[derive(Debug, Default)]
pub struct Parsed {
    pub triggers: Vec<Trigger>,
    pub unreadable: Vec<Unreadable>,
}

/// Parses any event that a function can get.
pub fn parse(event: &Value) -> Parsed {
    if event.get("Records").is_some() {
        return parse_sns(event);
    }
    match parse_one(event) {
        Ok(trigger) => Parsed { triggers: vec![trigger], unreadable: Vec::new() },
        Err(unreadable) => Parsed { triggers: Vec::new(), unreadable: vec![unreadable] },
    }
}

fn parse_one(event: &Value) -> Result<Trigger, Unreadable> {
    let malformed = |what, example| move |source| Unreadable::Malformed { what, example, source };
    if let Some(kind) = event.get("relight").and_then(Value::as_str) {
        return match kind {
            "tick" => Ok(Trigger::Tick),
            "drill" => Ok(Trigger::Drill),
            "progress" => ProgressMessage::deserialize(event)
                .map(|message| Trigger::Progress { plan: message.plan, what: message.what })
                .map_err(malformed("a progress notice", "events/progress.json")),
            _ => Err(Unreadable::Unknown),
        };
    }
    if let Some(order) = event.get("operator") {
        let order = Order::deserialize(order).map_err(malformed("an operator's event", "events/operator-failover.json"))?;
        return Ok(Trigger::Operator(Order { by: order.by.chars().take(NAME).collect(), ..order }));
    }
    if event.get("ClientRequestToken").is_some() {
        return RotationStep::deserialize(event).map(Trigger::Rotation).map_err(malformed("a rotation step", "events/rotation-create-secret.json"));
    }
    // A schedule without an explicit input: the rule's own envelope. EventBridge rules and Scheduler differ in `detail`
    // (an object, a string), which nobody reads.
    match event.get("source").and_then(Value::as_str) {
        Some("aws.events" | "aws.scheduler") => Ok(Trigger::Tick),
        _ => Err(Unreadable::Unknown),
    }
}

fn parse_sns(event: &Value) -> Parsed {
    let event = match SnsEvent::deserialize(event) {
        Ok(event) => event,
        Err(source) => {
            let unreadable = Unreadable::Malformed { what: "an SNS delivery", example: "events/alarm.json", source };
            return Parsed { triggers: Vec::new(), unreadable: vec![unreadable] };
        }
    };
    let mut parsed = Parsed::default();
    let of = event.records.len();
    for (index, record) in event.records.iter().enumerate() {
        match parse_message(&record.sns.message) {
            Ok(trigger) => parsed.triggers.push(trigger),
            Err(source) => parsed.unreadable.push(Unreadable::Record { index: index + 1, of, source: Box::new(source) }),
        }
    }
    if of == 0 {
        parsed.unreadable.push(Unreadable::Unknown);
    }
    parsed
}

fn parse_message(message: &str) -> Result<Trigger, Unreadable> {
    let malformed = |source| Unreadable::Malformed { what: "a message of a topic", example: "events/alarm.json", source };
    let message: Value = serde_json::from_str(message).map_err(malformed)?;
    if message.get("AlarmArn").is_none() && message.get("AlarmName").is_none() {
        // Who may publish to a topic may not therefore fail over, drill, or rotate: those take the right to invoke.
        return match parse_one(&message)? {
            progress @ Trigger::Progress { .. } => Ok(progress),
            Trigger::Operator(_) => Err(Unreadable::NotByTopic("an operator's order")),
            Trigger::Rotation(_) => Err(Unreadable::NotByTopic("a rotation step")),
            Trigger::Tick | Trigger::Drill | Trigger::Alarm(_) => Err(Unreadable::NotByTopic("a schedule's event")),
        };
    }
    let alarm = AlarmMessage::deserialize(&message).map_err(|source| Unreadable::Malformed {
        what: "a CloudWatch alarm",
        example: "events/alarm.json",
        source,
    })?;
    let word = match alarm.new_state_value.as_str() {
        "ALARM" => Word::Down,
        "OK" => Word::Up,
        "INSUFFICIENT_DATA" => Word::Unknown,
        other => return Err(Unreadable::State(other.to_owned())),
    };
    let changed_at = alarm_time(&alarm.state_change_time).ok_or(Unreadable::Time(alarm.state_change_time))?;
    let account = alarm.alarm_arn.split(':').nth(4).map_or(alarm.aws_account_id, str::to_owned);
    let reason = alarm.new_state_reason.chars().take(REASON).collect();
    Ok(Trigger::Alarm(AlarmNotice { arn: alarm.alarm_arn, account, word, changed_at, reason }))
}

/// `2026-01-05T00:05:11.123+0000`: the offset lacks RFC 3339's colon.
fn alarm_time(text: &str) -> Option<Timestamp> {
    Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).or_else(|_| text.parse()).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AlarmMessage {
    alarm_arn: String,
    #[serde(rename = "AWSAccountId", default)]
    aws_account_id: String,
    new_state_value: String,
    #[serde(default)]
    new_state_reason: String,
    state_change_time: String,
}

#[derive(Deserialize)]
struct ProgressMessage {
    plan: String,
    what: String,
}
