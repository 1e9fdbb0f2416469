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

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-01-05T00:05:11.201Z".parse().unwrap()
    }

    fn voice() -> Voice {
        Voice {
            function: "scale-up",
            function_name: "shop-relight-scale-up".to_owned(),
            function_arn: "arn:aws:lambda:us-west-2:123456789012:function:shop-relight-scale-up".to_owned(),
            memory_mb: 256,
            request_id: "8286a188-ba32-4475-8077-530cd35c09a9".to_owned(),
            trace_id: None,
            cold_start: true,
        }
    }

    #[test]
    fn a_line_has_the_keys_of_powertools_and_lambdas_own_json() {
        let line = voice().line(Level::Info, "asked", None, at());
        let expected = json!({
            "level": "INFO",
            "message": "asked",
            "timestamp": "2026-01-05T00:05:11.201Z",
            "service": "relight-scale-up",
            "cold_start": true,
            "function_name": "shop-relight-scale-up",
            "function_arn": "arn:aws:lambda:us-west-2:123456789012:function:shop-relight-scale-up",
            "function_memory_size": 256,
            "function_request_id": "8286a188-ba32-4475-8077-530cd35c09a9",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_run_correlates_its_lines_and_a_trace_is_named_where_there_is_one() {
        let voice = Voice { trace_id: Some("Root=1-5759e988".to_owned()), ..voice() };
        let line = voice.line(Level::Error, "refused", Some("drill-20260105T000500Z"), at());
        assert_eq!(
            (&line["correlation_id"], &line["xray_trace_id"], &line["level"]),
            (&json!("drill-20260105T000500Z"), &json!("Root=1-5759e988"), &json!("ERROR"))
        );
    }

    #[test]
    fn a_message_with_line_breaks_stays_one_line_of_the_log() {
        let line = voice().line(Level::Warn, "two\nlines \"quoted\"", None, at()).to_string();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["message"], "two\nlines \"quoted\"");
    }

    #[test]
    fn metrics_are_what_cloudwatch_takes_out_of_the_log() {
        let values = BTreeMap::from([("ObligationOverdue", (0.0, "Count")), ("ReplicaLagSeconds", (2.5, "Seconds"))]);
        let line = metrics_line("shop", &values, at());
        assert_eq!(line["_aws"]["Timestamp"], at().as_millisecond());
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!((&directive["Namespace"], &directive["Dimensions"]), (&json!("Relight"), &json!([["Plan"]])));
        let metrics = json!([{ "Name": "ObligationOverdue", "Unit": "Count" }, { "Name": "ReplicaLagSeconds", "Unit": "Seconds" }]);
        assert_eq!(directive["Metrics"], metrics);
        // A dimension is a string, a metric a number, both members of the root; one that is missing voids the line.
        assert_eq!((&line["Plan"], &line["ObligationOverdue"], &line["ReplicaLagSeconds"]), (&json!("shop"), &json!(0.0), &json!(2.5)));
    }

    #[test]
    fn an_answer_in_peace_has_no_run_and_names_the_way_on() {
        let answer = Answer { function: "scale-up".to_owned(), way_on: "nothing is open".to_owned(), ..Answer::default() };
        let answer = serde_json::to_value(answer).unwrap();
        assert_eq!(answer.get("run"), None);
        assert_eq!((&answer["said"], &answer["way_on"]), (&json!([]), &json!("nothing is open")));
    }
}
