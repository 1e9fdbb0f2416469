//! Schedules: EventBridge Scheduler, and Events rules with a schedule expression.
//!
//! The emulator sweeps every ten seconds and knows no hurry. Here each enabled schedule is a task that sleeps until its next time:
//! ```text
//! rate(…)  at once when it is enabled, then every interval / factor
//! cron(…)  by the real clock, in its time zone
//! at(…)    once
//! ```
//! Scheduler's own calls are answered here, so that ministack has nothing to fire. A rule lives in ministack, switched off; what is shown of
//! it is what was put.

mod expression;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::carry::{Message, Source};
use crate::refuse::Refusal;
use crate::request::Parsed;
use crate::{Inner, lock};
use expression::Expression;

#[derive(Clone, Debug)]
struct Target {
    function: String,
    input: Option<String>,
    role: Option<String>,
}

struct Schedule {
    arn: String,
    source: Source,
    expression: Expression,
    enabled: bool,
    targets: BTreeMap<String, Target>,
    /// What was put, as Get answers it.
    definition: Value,
    task: Option<AbortHandle>,
}

impl Drop for Schedule {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// By ARN.
#[derive(Default)]
pub(crate) struct Schedules(BTreeMap<String, Schedule>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FireError {
    #[error("no schedule or rule `{0}` was made through the router")]
    Unknown(String),
    #[error("`{0}` names several schedules ({1}): use an ARN")]
    Ambiguous(String, String),
}

impl Inner {
    /// Answers a call to EventBridge Scheduler; `None` for groups, which ministack keeps.
    pub(crate) fn schedule_call(self: &Arc<Self>, call: &Parsed) -> Option<Result<Value, Refusal>> {
        let group = call.text("GroupName").or_else(|| call.text("groupName")).unwrap_or("default");
        let name = call.text("Name").unwrap_or_default();
        let arn = format!("arn:aws:scheduler:{}:{}:schedule/{group}/{name}", call.region, self.account);
        let missing = || {
            let sentence = format!("Schedule {name} does not exist.");
            Refusal::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", sentence)
        };
        let exists = lock(&self.schedules).0.contains_key(&arn);
        Some(match call.operation.as_str() {
            "CreateSchedule" if exists => Err(Refusal::new(StatusCode::CONFLICT, "ConflictException", format!("Schedule {name} already exists."))),
            "UpdateSchedule" | "GetSchedule" | "DeleteSchedule" if !exists => Err(missing()),
            "CreateSchedule" | "UpdateSchedule" => self.put_schedule(call, &arn, name, group),
            "GetSchedule" => lock(&self.schedules).0.get(&arn).map(|schedule| schedule.definition.clone()).ok_or_else(missing),
            "DeleteSchedule" => {
                lock(&self.schedules).0.remove(&arn);
                Ok(json!({}))
            }
            "ListSchedules" => {
                let schedules = lock(&self.schedules);
                let here = format!("arn:aws:scheduler:{}:", call.region);
                let rows = schedules.0.values().filter(|schedule| schedule.arn.starts_with(&here)).map(|schedule| {
                    let definition = &schedule.definition;
                    json!({"Arn": schedule.arn, "Name": definition["Name"], "GroupName": definition["GroupName"],
                        "State": definition["State"], "Target": {"Arn": definition["Target"]["Arn"]}})
                });
                Ok(json!({ "Schedules": rows.collect::<Vec<_>>() }))
            }
            _ => return None,
        })
    }

    fn put_schedule(self: &Arc<Self>, call: &Parsed, arn: &str, name: &str, group: &str) -> Result<Value, Refusal> {
        let wrong = |why: String| Refusal::bad("ValidationException", why);
        let mut definition = call.params.clone();
        for field in ["ScheduleExpression", "FlexibleTimeWindow", "Target"] {
            if definition.get(field).is_none_or(Value::is_null) {
                return Err(wrong(format!("1 validation error detected: Value at '{field}' failed to satisfy constraint: Member must not be null")));
            }
        }
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let function = text("/Target/Arn").unwrap_or_default();
        if !function.starts_with("arn:aws:lambda:") {
            return Err(Refusal::stage(format!("the stage carries schedules to Lambda functions only, not to {function}")));
        }
        let role = text("/Target/RoleArn").ok_or_else(|| wrong("Target.RoleArn must not be null".to_owned()))?;
        let zone = call.text("ScheduleExpressionTimezone").unwrap_or("UTC");
        let expression = Expression::parse(call.text("ScheduleExpression").unwrap_or_default(), zone).map_err(|error| wrong(error.to_string()))?;
        let target = Target { function, input: text("/Target/Input"), role: Some(role) };
        let state = call.text("State").unwrap_or("ENABLED").to_owned();
        let now = Timestamp::now().as_second();
        let created = lock(&self.schedules).0.get(arn).map(|old| old.definition["CreationDate"].clone());
        if let Some(fields) = definition.as_object_mut() {
            let own = [
                ("Arn", json!(arn)),
                ("Name", json!(name)),
                ("GroupName", json!(group)),
                ("State", json!(state)),
                ("ScheduleExpressionTimezone", json!(zone)),
                ("CreationDate", created.unwrap_or(json!(now))),
                ("LastModificationDate", json!(now)),
            ];
            fields.extend(own.map(|(name, value)| (name.to_owned(), value)));
            fields.entry("ActionAfterCompletion").or_insert(json!("NONE"));
            fields.remove("ClientToken");
        }
        let schedule = Schedule {
            arn: arn.to_owned(),
            source: Source::Schedule,
            expression,
            enabled: state == "ENABLED",
            targets: BTreeMap::from([("target".to_owned(), target)]),
            definition,
            task: None,
        };
        self.start(schedule);
        Ok(json!({ "ScheduleArn": arn }))
    }

    /// Puts a schedule in place of its predecessor and lets it run.
    fn start(self: &Arc<Self>, mut schedule: Schedule) {
        let arn = schedule.arn.clone();
        if schedule.enabled {
            let (inner, expression, key) = (Arc::clone(self), schedule.expression.clone(), arn.clone());
            schedule.task = Some(self.spawn(async move { inner.tick(&key, &expression).await }));
        }
        lock(&self.schedules).0.insert(arn, schedule);
    }

    async fn tick(self: &Arc<Self>, arn: &str, expression: &Expression) {
        let mut first = true;
        while let Some(wait) = expression.wait(first, self.rate_factor(), Timestamp::now()) {
            tokio::time::sleep(wait + expression.slack()).await;
            first = false;
            // Of its own task: a slow delivery must not shift the next one.
            let (inner, arn) = (Arc::clone(self), arn.to_owned());
            self.spawn(async move { inner.fire_targets(&arn).await });
        }
    }

    async fn fire_targets(&self, arn: &str) {
        let messages: Vec<Message> = {
            let schedules = lock(&self.schedules);
            let Some(schedule) = schedules.0.get(arn) else { return };
            let message = |target: &Target| Message {
                source: schedule.source,
                from: arn.to_owned(),
                to: target.function.clone(),
                payload: self.payload(schedule, target),
                role: target.role.clone(),
            };
            schedule.targets.values().map(message).collect()
        };
        for message in messages {
            self.deliver(message).await;
        }
    }

    fn payload(&self, schedule: &Schedule, target: &Target) -> Bytes {
        let now = Timestamp::now();
        let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let id = uuid::Uuid::new_v4().to_string();
        if let Some(input) = &target.input {
            let input = input
                .replace("<aws.scheduler.schedule-arn>", &schedule.arn)
                .replace("<aws.scheduler.scheduled-time>", &time)
                .replace("<aws.scheduler.execution-id>", &id)
                .replace("<aws.scheduler.attempt-number>", "1");
            return Bytes::from(input);
        }
        // Scheduler's detail is a string, a rule's an object.
        let (source, detail) = match schedule.source {
            Source::Rule => ("aws.events", json!({})),
            _ => ("aws.scheduler", json!("{}")),
        };
        let region = schedule.arn.split(':').nth(3).unwrap_or_default();
        let event = json!({"version": "0", "id": id, "detail-type": "Scheduled Event", "source": source, "account": self.account,
            "time": time, "region": region, "resources": [schedule.arn], "detail": detail});
        Bytes::from(event.to_string())
    }

    /// Fires one schedule now, as if its time had come.
    pub(crate) async fn fire(&self, wanted: &str) -> Result<(), FireError> {
        let found: Vec<String> = {
            let schedules = lock(&self.schedules);
            let fits = |arn: &&String| *arn == wanted || arn.rsplit('/').next() == Some(wanted);
            schedules.0.keys().filter(fits).cloned().collect()
        };
        match found.as_slice() {
            [] => Err(FireError::Unknown(wanted.to_owned())),
            [arn] => {
                self.fire_targets(arn).await;
                Ok(())
            }
            several => Err(FireError::Ambiguous(wanted.to_owned(), several.join(", "))),
        }
    }

    fn rule_arn(&self, call: &Parsed, name: &str) -> String {
        format!("arn:aws:events:{}:{}:rule/{name}", call.region, self.account)
    }

    /// What ministack is told of a rule with a schedule: it is off.
    ///
    /// # Errors
    /// When the expression cannot be read.
    pub(crate) fn quieten(&self, call: &Parsed) -> Result<Option<Bytes>, Refusal> {
        let (Some(text), "events", "PutRule") = (call.text("ScheduleExpression"), call.service.as_str(), call.operation.as_str()) else {
            return Ok(None);
        };
        Expression::parse(text, "UTC").map_err(|error| Refusal::bad("ValidationException", error.to_string()))?;
        let mut quiet = call.params.clone();
        quiet["State"] = json!("DISABLED");
        Ok(Some(Bytes::from(quiet.to_string())))
    }

    /// Learns from a call about rules that ministack accepted.
    pub(crate) fn learn_rule(self: &Arc<Self>, call: &Parsed) {
        let name = call.text("Name").or_else(|| call.text("Rule")).unwrap_or_default();
        let arn = self.rule_arn(call, name);
        match call.operation.as_str() {
            "PutRule" => {
                let Some(Ok(expression)) = call.text("ScheduleExpression").map(|text| Expression::parse(text, "UTC")) else { return };
                let targets = lock(&self.schedules).0.get(&arn).map(|old| old.targets.clone()).unwrap_or_default();
                let enabled = call.text("State").unwrap_or("ENABLED") != "DISABLED";
                self.start(Schedule { arn, source: Source::Rule, expression, enabled, targets, definition: Value::Null, task: None });
            }
            "EnableRule" | "DisableRule" => {
                let Some(old) = lock(&self.schedules).0.remove(&arn) else { return };
                let (expression, targets) = (old.expression.clone(), old.targets.clone());
                let enabled = call.operation == "EnableRule";
                self.start(Schedule { arn, source: Source::Rule, expression, enabled, targets, definition: Value::Null, task: None });
            }
            "PutTargets" => self.put_targets(call, &arn),
            "RemoveTargets" => {
                if let Some(schedule) = lock(&self.schedules).0.get_mut(&arn) {
                    let ids = call.params.get("Ids").and_then(Value::as_array);
                    for id in ids.into_iter().flatten().filter_map(Value::as_str) {
                        schedule.targets.remove(id);
                    }
                }
            }
            "DeleteRule" => {
                lock(&self.schedules).0.remove(&arn);
            }
            _ => {}
        }
    }

    /// A rule gets its targets after it was made: its first tick waits for them.
    fn put_targets(self: &Arc<Self>, call: &Parsed, arn: &str) {
        let mut schedules = lock(&self.schedules);
        let Some(mut old) = schedules.0.remove(arn) else { return };
        drop(schedules);
        let targets = call.params.get("Targets").and_then(Value::as_array);
        for target in targets.into_iter().flatten() {
            let text = |name: &str| target.get(name).and_then(Value::as_str).map(str::to_owned);
            if let (Some(id), Some(function)) = (text("Id"), text("Arn").filter(|arn| arn.starts_with("arn:aws:lambda:"))) {
                old.targets.insert(id, Target { function, input: text("Input"), role: None });
            }
        }
        let (expression, targets, enabled) = (old.expression.clone(), old.targets.clone(), old.enabled);
        let arn = arn.to_owned();
        self.start(Schedule { arn, source: Source::Rule, expression, enabled, targets, definition: Value::Null, task: None });
    }

    /// Whether a rule is on is the router's to know: ministack believes that it is off.
    pub(crate) fn is_scheduled_rule(&self, call: &Parsed) -> bool {
        let name = call.text("Name").unwrap_or_default();
        call.service == "events" && lock(&self.schedules).0.contains_key(&self.rule_arn(call, name))
    }

    /// Shows rules as they were put.
    pub(crate) fn show_rules(&self, mut answer: Value) -> Value {
        let schedules = lock(&self.schedules);
        let show = |rule: &mut Value| {
            if let Some(schedule) = rule.get("Arn").and_then(Value::as_str).and_then(|arn| schedules.0.get(arn)) {
                rule["State"] = json!(if schedule.enabled { "ENABLED" } else { "DISABLED" });
            }
        };
        match answer.get_mut("Rules").and_then(Value::as_array_mut) {
            Some(rules) => rules.iter_mut().for_each(show),
            None => show(&mut answer),
        }
        answer
    }

    pub(crate) fn stop_schedules(&self) {
        lock(&self.schedules).0.clear();
    }
}
