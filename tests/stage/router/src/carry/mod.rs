//! What AWS carries from service to service, and the emulators only inside themselves.
//!
//! ```text
//! topic ──HTTP──► sns.rs ─┐
//! schedule, rule ─────────┼─► deliver: dark? allowed? ─► Lambda, asynchronously
//! RotateSecret ─► secrets/rotate.rs (synchronous, its own four calls)
//! ```
//! Each delivery needs what it needs in AWS: the function's resource policy admits the service, or the schedule's role may invoke. A delivery
//! that is refused shows here with its sentence; in AWS it would be silence.

pub(crate) mod schedule;
pub(crate) mod sns;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};
use jiff::Timestamp;
use serde_json::Value;

use crate::policy::{Context, Need, Policy};
use crate::route::{Answer, ForwardError, own};
use crate::{Inner, lock};

/// Who carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Topic,
    Schedule,
    Rule,
    Rotation,
}

impl Source {
    fn principal(self) -> &'static str {
        match self {
            Self::Topic => "sns.amazonaws.com",
            Self::Schedule => "scheduler.amazonaws.com",
            Self::Rule => "events.amazonaws.com",
            Self::Rotation => "secretsmanager.amazonaws.com",
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// From or to a dark Region: kept until [`crate::Router::release`].
    Held,
    /// By a [`CarryFault`].
    Dropped,
    /// Not permitted, or not accepted; the sentence says why.
    Refused(String),
}

/// One message on its way to one function.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub time: Timestamp,
    pub source: Source,
    /// ARN of the topic, schedule, rule or secret.
    pub from: String,
    /// ARN of the function.
    pub to: String,
    pub outcome: Outcome,
}

/// What may happen to messages, as their senders promise no more than "at least once, in some order".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarryFaultKind {
    Drop,
    Duplicate,
    /// It arrives late, and so behind what was sent after it.
    Late(Duration),
}

/// A fault for the next messages from what has `from` in its ARN.
#[derive(Clone, Debug)]
pub struct CarryFault {
    pub from: String,
    pub kind: CarryFaultKind,
    pub times: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) source: Source,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) payload: Bytes,
    /// The role that invokes; without one the function's own policy must admit the sender.
    pub(crate) role: Option<String>,
}

fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

impl Inner {
    /// Carries a message to its function, or says why not.
    pub(crate) async fn deliver(&self, message: Message) {
        let fault = {
            let mut faults = lock(&self.carry_faults);
            let found = faults.iter_mut().find(|fault| fault.times > 0 && message.from.contains(&fault.from));
            found.map(|fault| {
                fault.times -= 1;
                fault.kind
            })
        };
        match fault {
            Some(CarryFaultKind::Drop) => return self.record(&message, Outcome::Dropped),
            Some(CarryFaultKind::Late(delay)) => tokio::time::sleep(delay).await,
            Some(CarryFaultKind::Duplicate) => self.deliver_once(message.clone()).await,
            None => {}
        }
        self.deliver_once(message).await;
    }

    async fn deliver_once(&self, message: Message) {
        if self.is_dark(region_of(&message.from)) || self.is_dark(region_of(&message.to)) {
            self.record(&message, Outcome::Held);
            // A tick that was missed is past; only what somebody said is said again.
            if message.source == Source::Topic {
                lock(&self.held).push(message);
            }
            return;
        }
        let outcome = match self.try_deliver(&message).await {
            Ok(()) => Outcome::Delivered,
            Err(sentence) => Outcome::Refused(sentence),
        };
        self.record(&message, outcome);
    }

    async fn try_deliver(&self, message: &Message) -> Result<(), String> {
        match &message.role {
            Some(role) => {
                let need = Need { action: "lambda:InvokeFunction".to_owned(), resource: message.to.clone(), context: Context::new() };
                lock(&self.directory).role_allows(role, &need)?;
            }
            None => self.function_admits(message.source, &message.from, &message.to).await?,
        }
        let answer = self.invoke(&message.to, "Event", message.payload.clone()).await.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(format!("Lambda answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
    }

    /// Whether the function's resource policy lets the sender in.
    pub(crate) async fn function_admits(&self, source: Source, from: &str, function: &str) -> Result<(), String> {
        let refused = |why: String| format!("{} may not invoke {function} for {from}: {why}; add a permission to the function", source.principal());
        let (name, qualifier) = name_and_qualifier(function);
        let mut request = own(Method::GET, format!("/2015-03-31/functions/{name}/policy"), Bytes::new());
        request.query = qualifier.map(|qualifier| format!("Qualifier={qualifier}")).unwrap_or_default();
        let answer = self.backends.forward(&request, "lambda", region_of(function)).await.map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            return Err(refused("it has no resource policy".to_owned()));
        }
        let answer: Value = serde_json::from_slice(&answer.body).map_err(|error| refused(error.to_string()))?;
        let policy = Policy::parse(answer["Policy"].as_str().unwrap_or_default()).map_err(|error| refused(error.to_string()))?;
        let context = [("aws:sourcearn", from), ("aws:sourceaccount", self.account.as_str())];
        let need = Need {
            action: "lambda:InvokeFunction".to_owned(),
            resource: function.to_owned(),
            context: context.into_iter().map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).collect(),
        };
        if policy.admits(source.principal(), &need) {
            return Ok(());
        }
        Err(refused("no statement of its resource policy fits".to_owned()))
    }

    pub(crate) async fn invoke(&self, function: &str, kind: &'static str, payload: Bytes) -> Result<Answer, ForwardError> {
        let (name, qualifier) = name_and_qualifier(function);
        let mut request = own(Method::POST, format!("/2015-03-31/functions/{name}/invocations"), payload);
        request.query = qualifier.map(|qualifier| format!("Qualifier={qualifier}")).unwrap_or_default();
        request.headers.insert("x-amz-invocation-type", HeaderValue::from_static(kind));
        self.backends.forward(&request, "lambda", region_of(function)).await
    }

    pub(crate) fn record(&self, message: &Message, outcome: Outcome) {
        let Message { source, from, to, .. } = message.clone();
        lock(&self.deliveries).push(Delivery { time: Timestamp::now(), source, from, to, outcome });
    }

    /// Sends on what was held; what is still dark is held again.
    pub(crate) fn release(self: &Arc<Self>) -> usize {
        let held = std::mem::take(&mut *lock(&self.held));
        let count = held.len();
        for message in held {
            let inner = Arc::clone(self);
            self.spawn(async move { inner.deliver_once(message).await });
        }
        count
    }
}

fn name_and_qualifier(function: &str) -> (&str, Option<&str>) {
    let mut parts = function.split(':').skip(6);
    (parts.next().unwrap_or(function), parts.next())
}
