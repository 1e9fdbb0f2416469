//! What a plan's types cannot say: every mistake at once, each with its line, its reason and its remedy.
//!
//! The rules name a value by its path (`service[1].desired`); the line is looked up in the document afterwards, so that
//! the plan itself stays free of spans.

mod databases;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::SignedDuration;
use toml::de::{DeTable, DeValue};

use super::{ObserverKind, Plan};

/// One thing that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// `service[1].desired`.
    pub key: String,
    pub reason: String,
    pub remedy: String,
}

/// All that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Mistake { line, key, reason, remedy } in &self.0 {
            let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
            writeln!(f, "line {line}: {key}{reason}; {remedy}")?;
        }
        Ok(())
    }
}

pub(super) fn parse(text: &str) -> Result<Plan, Mistakes> {
    let plan: Plan = toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        Mistakes(vec![Mistake {
            line,
            key: String::new(),
            reason: error.message().to_owned(),
            remedy: "docs/plan.md shows every key and its type".to_owned(),
        }])
    })?;
    let mut found = Found::default();
    found.header(&plan);
    found.compute(&plan);
    found.databases(&plan);
    found.secrets(&plan);
    found.traffic(&plan);
    found.observers(&plan);
    found.drill(&plan);
    found.failback(&plan);
    found.policy(&plan);
    if found.0.is_empty() {
        return Ok(plan);
    }
    let document = DeTable::parse(text).ok();
    let line = |key: &str| document.as_ref().and_then(|document| locate(document.get_ref(), key)).map_or(1, |at| line_of(text, at));
    let mut mistakes: Vec<Mistake> = found.0.into_iter().map(|(key, reason, remedy)| Mistake { line: line(&key), key, reason, remedy }).collect();
    mistakes.sort_by_key(|mistake| mistake.line);
    Err(Mistakes(mistakes))
}

#[derive(Default)]
struct Found(Vec<(String, String, String)>);

impl Found {
    fn unless(&mut self, fine: bool, key: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) {
        if !fine {
            self.0.push((key.into(), reason.into(), remedy.into()));
        }
    }

    fn header(&mut self, plan: &Plan) {
        self.unless(
            is_name(&plan.name),
            "name",
            format!("`{}` cannot name a plan", plan.name),
            "use 2 to 20 of a-z, 0-9 and -, beginning with a letter",
        );
        self.unless(
            plan.account.len() == 12 && digits(&plan.account),
            "account",
            format!("`{}` is no account", plan.account),
            "give its twelve digits",
        );
        for (key, region) in [("primary", &plan.primary), ("standby", &plan.standby)] {
            self.unless(is_region(region), key, format!("`{region}` is no Region"), "write it as us-west-2");
        }
        self.unless(plan.primary != plan.standby, "standby", "it is the primary Region", "a standby stands in another Region");
        for (key, objective) in [("rto", plan.objectives.rto), ("rpo", plan.objectives.rpo)] {
            self.unless(
                objective.is_positive(),
                format!("objectives.{key}"),
                "an objective of nothing can't be met",
                "give a time above zero, as 15m",
            );
        }
        let something = !(plan.services.is_empty() && plan.groups.is_empty() && plan.databases.is_empty());
        self.unless(something, "", "the plan recovers nothing", "add a [[service]], a [[group]] or a [[database]]");
    }

    fn compute(&mut self, plan: &Plan) {
        self.unique("service", plan.services.iter().map(|service| service.id().0));
        self.unique("group", plan.groups.iter().map(|group| group.name.clone()));
        for (index, service) in plan.services.iter().enumerate() {
            let key = |rest: &str| format!("service[{index}].{rest}");
            self.unless(service.desired > 0, key("desired"), "no task would run while the standby serves", "give the active count");
            if let Some(bounds) = service.scaling {
                let fine = bounds.min <= service.desired && service.desired <= bounds.max;
                let reason = format!("{} is not between {} and {}", service.desired, bounds.min, bounds.max);
                self.unless(fine, key("desired"), reason, "Auto Scaling would pull the count back: widen the bounds or change desired");
            }
            let providers = &service.capacity_providers;
            let fargate = providers.iter().filter(|share| share.provider.starts_with("FARGATE")).count();
            self.unless(
                fargate == 0 || fargate == providers.len(),
                key("capacity_providers"),
                "FARGATE and an Auto Scaling provider cannot mix",
                "name one kind only",
            );
            self.unless(
                providers.is_empty() || providers.iter().any(|share| share.weight > 0),
                key("capacity_providers"),
                "every weight is 0",
                "give one a weight of at least 1",
            );
            self.unless(
                providers.iter().filter(|share| share.base > 0).count() <= 1,
                key("capacity_providers"),
                "two have a base",
                "ECS allows a base for one only",
            );
        }
        for (index, group) in plan.groups.iter().enumerate() {
            let key = |rest: &str| format!("group[{index}].{rest}");
            self.unless(group.desired > 0, key("desired"), "no instance would run while the standby serves", "give the active size");
            let fine = group.min <= group.desired && group.desired <= group.max;
            self.unless(
                fine,
                key("desired"),
                format!("{} is not between {} and {}", group.desired, group.min, group.max),
                "correct min, desired or max",
            );
            if let Some(instances) = group.instances {
                let share = instances.on_demand_percentage_above_base;
                self.unless(share <= 100, key("instances"), format!("{share} is no percentage"), "give 0 to 100");
            }
        }
    }

    fn traffic(&mut self, plan: &Plan) {
        let traffic = &plan.traffic;
        self.unless(is_host(&traffic.record), "traffic.record", format!("`{}` is no DNS name", traffic.record), "give the name that users resolve");
        self.unless(
            is_host(&traffic.standby),
            "traffic.standby",
            format!("`{}` is no DNS name", traffic.standby),
            "give the name of the standby's entry",
        );
        self.unless(
            traffic.record != traffic.standby,
            "traffic.standby",
            "it is the users' own name",
            "give the name that the record answers while the standby serves",
        );
        self.unless(
            is_bucket(&traffic.stop_bucket),
            "traffic.stop_bucket",
            format!("`{}` is no bucket", traffic.stop_bucket),
            "give infra/control's output StopBucketName",
        );
        self.unless(!traffic.stop_key.is_empty(), "traffic.stop_key", "it is empty", "leave it out for STOP");
        self.unless(is_url(&traffic.healthy_url), "traffic.healthy_url", format!("`{}` is no URL", traffic.healthy_url), "begin it with https://");
    }

    fn observers(&mut self, plan: &Plan) {
        self.unique("observer", plan.observers.iter().map(|observer| observer.name.clone()));
        for (index, observer) in plan.observers.iter().enumerate() {
            let key = |rest: &str| format!("observer[{index}].{rest}");
            match &observer.kind {
                ObserverKind::Probe { url, timeout, .. } => {
                    self.unless(is_url(url), key("url"), format!("`{url}` is no URL"), "begin it with https://");
                    let fine = timeout.is_positive() && *timeout <= SignedDuration::from_secs(10);
                    self.unless(fine, key("timeout"), format!("{timeout:#} is no time-out for a probe"), "give 1s to 10s");
                }
                ObserverKind::Checkers { record, .. } => {
                    self.unless(
                        is_host(record),
                        key("record"),
                        format!("`{record}` is no DNS name"),
                        "give the TXT failover record that is bound to the health check",
                    );
                }
                ObserverKind::Alarm { arn, .. } => self.alarm(plan, &key("arn"), arn),
            }
        }
        self.unless(
            plan.observers.iter().any(|observer| !observer.is_told()),
            "policy.quorum",
            "every observer is an alarm, and alarms alone confirm nothing: whoever may publish to their topics could fail over",
            "add a probe or the checkers' verdict, which Relight asks itself",
        );
        let sources: BTreeSet<&str> = plan.observers.iter().map(|observer| observer.source()).collect();
        let quorum = plan.policy.quorum;
        self.unless(quorum >= 1, "policy.quorum", "a quorum of none confirms everything", "ask for at least 1, better 2");
        let reason = format!("{quorum} independent observers are asked for, there are {}", sources.len());
        self.unless(quorum <= sources.len(), "policy.quorum", reason, "observers of one health check count once: add another or lower the quorum");
        let dark: BTreeSet<&str> =
            plan.observers.iter().filter(|observer| observer.speaks_in_the_dark(&plan.standby)).map(|observer| observer.source()).collect();
        let reason = format!("with the primary Region and us-east-1 dark only {} of them speak, {quorum} are asked for", dark.len());
        self.unless(
            quorum > sources.len() || quorum <= dark.len(),
            "policy.quorum",
            reason,
            "add a probe, the checkers' verdict or an alarm in the standby Region, or lower the quorum",
        );
    }

    fn alarm(&mut self, plan: &Plan, key: &str, arn: &str) {
        let parts: Vec<&str> = arn.splitn(7, ':').collect();
        let fine = matches!(parts.as_slice(), ["arn", _, "cloudwatch", region, _, "alarm", name] if is_region(region) && !name.is_empty());
        self.unless(fine, key, format!("`{arn}` is no alarm's ARN"), "write arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME");
        let account = parts.get(4).copied().unwrap_or_default();
        self.unless(
            !fine || account == plan.account,
            key,
            format!("the alarm is of account {account}"),
            "alarms of another account are refused: move the alarm or correct the account",
        );
    }

    fn drill(&mut self, plan: &Plan) {
        let drill = &plan.drill;
        let fields = drill.schedule.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')).map(|rest| rest.split_whitespace().count());
        self.unless(
            fields == Some(6),
            "drill.schedule",
            format!("`{}` is no schedule", drill.schedule),
            "write cron(minute hour day month weekday year); the first Monday 00:05 is cron(5 0 ? * 2#1 *)",
        );
        self.unless(drill.hold.is_positive(), "drill.hold", "a drill that holds nothing proves nothing", "give a time, as 1h");
        self.unless(
            drill.deadline > drill.hold,
            "drill.hold",
            format!("the deadline of {:#} ends the hold of {:#}", drill.deadline, drill.hold),
            "leave time to scale up, rehearse and hold",
        );
        for (index, url) in drill.validate.iter().enumerate() {
            self.unless(is_url(url), format!("drill.validate[{index}]"), format!("`{url}` is no URL"), "begin it with https://");
        }
    }

    fn failback(&mut self, plan: &Plan) {
        if let Some(window) = &plan.failback.window {
            self.unless(
                plan.failback.hours().is_some(),
                "failback.window",
                format!("`{window}` is no window"),
                "give two different times of the day in UTC, such as 02:00-04:00",
            );
        }
        self.unless(
            plan.failback.write_pause.is_positive(),
            "failback.write_pause",
            "every failback would be aborted at once",
            "give a time above zero, such as 5m",
        );
    }

    fn policy(&mut self, plan: &Plan) {
        let policy = &plan.policy;
        let positive = [("suspicion_deadline", policy.suspicion_deadline), ("step_deadline", policy.step_deadline)];
        for (key, time) in positive {
            self.unless(time.is_positive(), format!("policy.{key}"), "it would pass at once", "give a time above zero");
        }
        for (key, time) in [("dwell", policy.dwell), ("cool_down", policy.cool_down)] {
            self.unless(!time.is_negative(), format!("policy.{key}"), "time does not run backwards", "give 0s or more");
        }
        self.unless(
            policy.suspicion_deadline > policy.dwell,
            "policy.dwell",
            "the suspicion would expire before the dwell is over",
            "shorten the dwell or lengthen suspicion_deadline",
        );
        self.unless(
            (SignedDuration::from_secs(1)..=SignedDuration::from_mins(1)).contains(&policy.poll),
            "policy.poll",
            format!("{:#} would meet the services' throttles, or sleep through what others wait for", policy.poll),
            "give 1s to 1m",
        );
        self.unless(
            (1..=100).contains(&policy.least_capacity),
            "policy.least_capacity",
            format!("{} is no share of the active size", policy.least_capacity),
            "give 1 to 100 per cent",
        );
    }

    fn unique(&mut self, table: &str, names: impl Iterator<Item = String>) {
        self.unique_by(table, "name", names);
    }

    fn unique_by(&mut self, table: &str, key: &str, names: impl Iterator<Item = String>) {
        let mut seen = BTreeMap::new();
        for (index, name) in names.enumerate() {
            let first = *seen.entry(name.clone()).or_insert(index);
            self.unless(first == index, format!("{table}[{index}].{key}"), format!("`{name}` stands twice"), "each may be named once");
            self.unless(!name.is_empty(), format!("{table}[{index}].{key}"), "it is empty", "give it a name");
        }
    }
}

/// Where the value of a path begins, or the nearest table that should hold it.
fn locate(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (head, rest) = key.split_once('.').unwrap_or((key, ""));
    let (name, index) = match head.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
        None => (head, None),
    };
    let mut value = table.get(name)?;
    if let (Some(index), DeValue::Array(array)) = (index, value.get_ref()) {
        value = array.get(index)?;
    }
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => locate(inner, rest).or(Some(value.span().start)),
        _ => Some(value.span().start),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    (2..=20).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `us-west-2`, `ap-southeast-2`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (Some(number), words) = (parts.last(), &parts[..parts.len().saturating_sub(1)]) else { return false };
    words.len() >= 2
        && !number.is_empty()
        && digits(number)
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn is_instance(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with('-')
        && !text.contains("--")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    text.contains('.') && text.trim_end_matches('.').split('.').all(label)
}

fn is_bucket(text: &str) -> bool {
    (3..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.')
}

fn is_url(text: &str) -> bool {
    text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}
