//! What every `main` does: read the settings, make what lives as long as the execution environment, serve.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::Value;
use tokio::sync::Mutex;

use super::Aws;
use super::journal::DynamoJournal;
use super::notices::SnsNotices;
use crate::clock::Clock;
use crate::nudge::{Nudge, NudgeError, Work};
use crate::say::{Answer, Voice};

/// Kept free at the end of an invocation for the call that is under way, the last write and the answer.
const MARGIN: Duration = Duration::from_secs(10);

/// What the template sets in the environment of every function.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the journal's table.
    pub table: String,
    /// Name of the plan, the journal's partition.
    pub plan: String,
    /// Topic that wakes Relight's own functions.
    pub progress_topic: String,
    /// Topic that reaches people.
    pub people_topic: String,
    /// Topic of the standby Region's alarms.
    pub alarm_topic: String,
    /// ARNs that the stack's roles may change, with commas between them. Only monthly-drill is told.
    pub arns: String,
    /// The stack's bucket of the STOP object.
    pub stop_bucket: String,
    /// Bucket of the reports.
    pub reports: String,
    /// `ip:port` of the DNS server to ask; the system's where it is absent.
    pub resolver: Option<String>,
    /// ARN of rotate-secret, for RotateSecret.
    pub rotation_function: String,
    /// The Region in which the function runs, the standby.
    pub region: String,
    /// Of the function's role. Lambda makes a new process rather than new credentials.
    pub credentials: Credentials,
    /// Where all of AWS is to be found, on the stage.
    pub endpoint: Option<String>,
    /// Whether the watcher's role may put its heartbeat into the primary Region.
    pub heartbeat: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the environment lacks {0}; Lambda and the template infra/control set it, deploy the function from there")]
pub struct MissingSetting(&'static str);

impl Settings {
    pub fn from_env() -> Result<Settings, MissingSetting> {
        Settings::from(|name| env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Settings, MissingSetting> {
        let get = |name: &'static str| variable(name).filter(|value| !value.is_empty()).ok_or(MissingSetting(name));
        Ok(Settings {
            table: get("RELIGHT_TABLE")?,
            plan: get("RELIGHT_PLAN")?,
            progress_topic: get("RELIGHT_TOPIC")?,
            people_topic: get("RELIGHT_PEOPLE")?,
            // Only the readiness check asks for these; of a stack that lacks them it says so.
            alarm_topic: get("RELIGHT_ALARMS").unwrap_or_default(),
            arns: get("RELIGHT_ARNS").unwrap_or_default(),
            stop_bucket: get("RELIGHT_STOP").unwrap_or_default(),
            reports: get("RELIGHT_REPORTS")?,
            resolver: get("RELIGHT_RESOLVER").ok(),
            rotation_function: get("RELIGHT_ROTATION_FUNCTION")?,
            region: get("AWS_REGION")?,
            credentials: Credentials::new(
                get("AWS_ACCESS_KEY_ID")?,
                get("AWS_SECRET_ACCESS_KEY")?,
                get("AWS_SESSION_TOKEN").ok(),
                None,
                "Lambda's environment",
            ),
            endpoint: get("AWS_ENDPOINT_URL").ok(),
            heartbeat: variable("RELIGHT_HEARTBEAT").is_none_or(|said| said != "no"),
        })
    }
}

/// What lives as long as the execution environment.
#[derive(Debug)]
pub struct Environment {
    pub aws: Aws,
    pub settings: Settings,
    pub journal: DynamoJournal,
    pub notices: SnsNotices,
    warm: AtomicBool,
}

impl Environment {
    pub fn load() -> Result<Environment, MissingSetting> {
        let settings = Settings::from_env()?;
        let aws = Aws::in_lambda(settings.region.clone(), settings.credentials.clone(), settings.endpoint.clone());
        let journal = DynamoJournal::new(&aws, settings.table.clone(), settings.plan.clone());
        let notices = SnsNotices::new(&aws, settings.progress_topic.clone(), settings.people_topic.clone());
        Ok(Environment { aws, settings, journal, notices, warm: AtomicBool::new(false) })
    }

    /// One invocation through the loop.
    pub async fn nudge<W: Work>(&self, work: &mut W, event: &LambdaEvent<Value>) -> Result<Answer, NudgeError> {
        let calls = self.aws.counter();
        let nudge = Nudge {
            journal: &self.journal,
            notices: &self.notices,
            clock: Clock::system(),
            voice: self.voice(W::NAME, event),
            budget: budget(event.context.deadline, Timestamp::now()),
            calls: &|| calls.take(),
        };
        nudge.run(work, &event.payload).await
    }

    /// Who speaks in this invocation.
    pub fn voice(&self, function: &'static str, event: &LambdaEvent<Value>) -> Voice {
        let context = &event.context;
        Voice {
            function,
            function_name: context.env_config.function_name.clone(),
            function_arn: context.invoked_function_arn.clone(),
            memory_mb: u32::try_from(context.env_config.memory).unwrap_or_default(),
            request_id: context.request_id.clone(),
            trace_id: context.xray_trace_id.clone(),
            cold_start: !self.warm.swap(true, Ordering::Relaxed),
        }
    }
}

/// An invocation that failed, as Lambda tells it on. Of an error of any other type the runtime tells the name of a type of Rust.
#[derive(Debug)]
pub struct Failed {
    pub name: &'static str,
    pub said: String,
}

impl From<NudgeError> for Failed {
    fn from(error: NudgeError) -> Failed {
        Failed { name: error.name(), said: error.to_string() }
    }
}

impl From<Failed> for Diagnostic {
    fn from(failed: Failed) -> Diagnostic {
        Diagnostic { error_type: failed.name.to_owned(), error_message: failed.said }
    }
}

/// How long an invocation that ends at `deadline`, in milliseconds of Unix time, may keep polling.
fn budget(deadline: u64, now: Timestamp) -> Duration {
    let left = Timestamp::from_millisecond(i64::try_from(deadline).unwrap_or(i64::MAX)).map(|deadline| deadline.duration_since(now));
    left.ok().and_then(|left| Duration::try_from(left).ok()).unwrap_or_default().saturating_sub(MARGIN)
}

/// Serves one function until Lambda ends the environment.
pub async fn serve<W: Work>(environment: Environment, work: W) -> Result<(), Error> {
    // One environment handles one event at a time; the lock is never contended.
    let work = Mutex::new(work);
    let handle = async |event: LambdaEvent<Value>| environment.nudge(&mut *work.lock().await, &event).await.map_err(Failed::from);
    lambda_runtime::run(service_fn(handle)).await
}

#[cfg(test)]
mod tests;
