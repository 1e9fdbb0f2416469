//! How Relight speaks: log lines in JSON with the keys that the ecosystem's readers expect, metrics in CloudWatch's
//! embedded format, and the answer of an invocation.
//!
//! Nothing here takes a secret: what is said are sentences of decisions, and errors whose types carry no values.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Who speaks, for every line of an invocation.
#[derive(Debug, Clone, Default)]
pub struct Voice {
    /// `scale-up`; also `service` in the log.
    pub function: &'static str,
    pub function_name: String,
    pub function_arn: String,
    pub memory_mb: u32,
    pub request_id: String,
    pub trace_id: Option<String>,
    pub cold_start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}

impl Voice {
    /// One line of the log.
    pub fn say(&self, level: Level, message: &str, run: Option<&str>) {
        println!("{}", self.line(level, message, run, Timestamp::now()));
    }

    fn line(&self, level: Level, message: &str, run: Option<&str>, at: Timestamp) -> Value {
        let mut line = json!({
            "level": match level { Level::Info => "INFO", Level::Warn => "WARN", Level::Error => "ERROR" },
            "message": message,
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "service": format!("relight-{}", self.function),
            "cold_start": self.cold_start,
            "function_name": self.function_name,
            "function_arn": self.function_arn,
            "function_memory_size": self.memory_mb,
            "function_request_id": self.request_id,
        });
        if let Some(line) = line.as_object_mut() {
            line.extend(self.trace_id.iter().map(|trace| ("xray_trace_id".to_owned(), Value::from(trace.as_str()))));
            line.extend(run.map(|run| ("correlation_id".to_owned(), Value::from(run))));
        }
        line
    }
}

/// Metrics of one moment, as one line that CloudWatch Logs turns into metrics (embedded metric format): at most 100 of
/// them, dimension values as strings at the root.
pub fn metrics_line(plan: &str, values: &BTreeMap<&str, (f64, &str)>, at: Timestamp) -> Value {
    let metrics: Vec<Value> = values.iter().map(|(name, (_, unit))| json!({ "Name": name, "Unit": unit })).collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({ "Timestamp": at.as_millisecond(), "CloudWatchMetrics": [{ "Namespace": "Relight", "Dimensions": [["Plan"]], "Metrics": metrics }] }),
    );
    line.insert("Plan".to_owned(), plan.into());
    line.extend(values.iter().map(|(name, (value, _))| ((*name).to_owned(), json!(value))));
    Value::Object(line)
}

/// Puts metrics out with the log.
pub fn metrics(plan: &str, values: &BTreeMap<&str, (f64, &str)>, at: Timestamp) {
    if !values.is_empty() {
        println!("{}", metrics_line(plan, values, at));
    }
}

/// What an invocation answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Answer {
    pub function: String,
    pub plan: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    pub phase: String,
    /// Each sentence that was said, in order.
    pub said: Vec<String>,
    /// What the run waits for and what leads on.
    pub way_on: String,
}
