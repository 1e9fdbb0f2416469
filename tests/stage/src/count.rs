//! What peace and a drill cost: calls, invocations and durations, counted where they happen, times list prices.
//!
//! ```text
//! first login ──► a look of readiness ──► minutes of peace ──► a drill
//!      │                  │                     │                 └── what it took above its minutes of peace
//!      │                  └ the same            └── divided by the ticks that arrived, which come as AWS sends them
//!      └── each half hour ┘
//! ```
//!
//! The router's log has every call with the function that made it; the functions' own logs have what each invocation took. Nothing is assumed about what a
//! tick does. Two things are, and the output says so: the size of a write, and that a call takes as long in AWS as here.

mod bill;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use relight::plan::Plan;
use stage_router::{Outcome, Source};
use tokio::process::Command;

use bill::Prices;

use crate::observe::until;
use crate::workload::{environment, output};
use crate::{Error, STANDBY, Stage, scenes};

/// Minutes that are counted in peace, not shortened: a heartbeat and a word that is refreshed go by the clock.
const MINUTES: u32 = 4;
/// By when a look of readiness is over.
const LOOK: Duration = Duration::from_secs(8);

/// Counted over a while.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Calls by function, operation and Region.
    pub calls: BTreeMap<(String, String, String), f64>,
    /// Invocations and the milliseconds that they took, by function.
    pub invocations: BTreeMap<String, (f64, f64)>,
    /// Ticks that reached a function.
    pub ticks: f64,
    /// Looks of readiness that were begun.
    pub looks: f64,
}

impl Tally {
    fn calls_of(&self, operation: &str) -> f64 {
        self.calls.iter().filter(|((_, called, _), _)| called == operation).map(|(_, count)| count).sum()
    }

    fn invoked(&self) -> f64 {
        self.invocations.values().map(|(count, _)| count).sum()
    }

    fn seconds(&self) -> f64 {
        self.invocations.values().map(|(_, millis)| millis / 1000.0).sum()
    }

    /// Minutes of peace, by the ticks that each function had.
    fn minutes(&self) -> f64 {
        self.ticks / self.invocations.len().max(1) as f64
    }

    /// The same for one of `parts`.
    fn each(&self, parts: f64) -> Tally {
        let calls = self.calls.iter().map(|(call, count)| (call.clone(), count / parts)).collect();
        let invocations = self.invocations.iter().map(|(name, (count, millis))| (name.clone(), (count / parts, millis / parts))).collect();
        Tally { calls, invocations, ticks: self.ticks / parts, looks: 0.0 }
    }

    /// What is above `times` of another.
    fn above(&self, other: &Tally, times: f64) -> Tally {
        let mut above = self.clone();
        above.ticks = (above.ticks - times * other.ticks).max(0.0);
        for (call, count) in &mut above.calls {
            *count = (*count - times * other.calls.get(call).copied().unwrap_or(0.0)).max(0.0);
        }
        for (name, (count, millis)) in &mut above.invocations {
            let (less, faster) = other.invocations.get(name).copied().unwrap_or((0.0, 0.0));
            (*count, *millis) = ((*count - times * less).max(0.0), (*millis - times * faster).max(0.0));
        }
        above
    }

    /// Both.
    fn and(&self, other: &Tally) -> Tally {
        let mut both = self.clone();
        for (call, count) in &other.calls {
            *both.calls.entry(call.clone()).or_default() += count;
        }
        for (name, (count, millis)) in &other.invocations {
            let (all, longer) = both.invocations.entry(name.clone()).or_default();
            (*all, *longer) = (*all + count, *longer + millis);
        }
        both
    }
}

/// What was counted on one stage.
#[derive(Debug)]
pub struct Counted {
    /// All functions, one minute of peace.
    pub minute: Tally,
    /// One login of every secret and one look of readiness.
    pub half_hour: Tally,
    /// One drill, above the minutes that it lasted.
    pub drill: Tally,
    pub drill_minutes: f64,
    /// The plan's partition of the journal, which each turn reads whole.
    pub journal_bytes: u64,
    pub memory_mb: f64,
    /// Metrics under alarms in all Regions.
    pub alarms: f64,
    prices: Prices,
}

/// Counts on a stage that just stands; takes seven to eleven minutes.
pub async fn count(stage: &Stage) -> Result<Counted, Error> {
    let prices = Prices::read(&stage.layout)?;

    let plan = &stage.workload.plan;
    let began = Timestamp::UNIX_EPOCH;
    until("the first login of every secret", Duration::from_secs(60), async || {
        let logins = stage.snapshot().await.map_err(|error| error.to_string())?.memory.logins.len();
        if logins == plan.secrets.len() { Ok(()) } else { Err(format!("{logins} of {}", plan.secrets.len())) }
    })
    .await?;
    // Only rotate-secret opens a secret in peace, and only to log in.
    let mut login = tally(stage, began, Timestamp::now()).await?;
    login.calls.retain(|(function, called, _), _| {
        function.ends_with("-rotate-secret") && (called.starts_with("secretsmanager:") || called.starts_with("rds:"))
    });
    login.invocations.clear();

    let look = look(stage).await?;

    println!("\n{MINUTES} minutes of peace.");
    stage.router.set_rate_factor(1.0);
    // A schedule that sleeps wakes by its old factor once more.
    tokio::time::sleep(stage.speed.shortened(60) * 2).await;
    let peace = loop {
        let from = Mark::of(stage).await?;
        tokio::time::sleep(Duration::from_secs(60) * MINUTES).await;
        let peace = from.tally(stage).await?;
        if peace.looks == 0.0 {
            break peace;
        }
        // Which of its calls the look made cannot be told from what its ticks made. The next one is half an hour away.
        println!("A look of readiness fell into them; counted again.");
    };
    let (minute, look) = apart(&peace, &look);
    let half_hour = login.and(&look);

    stage.router.set_rate_factor(stage.speed.waits);
    let from = Mark::of(stage).await?;
    scenes::drill(stage).await?;
    let drill = from.tally(stage).await?;
    let drill_minutes = drill.minutes();
    Ok(Counted {
        drill: drill.above(&minute, drill_minutes),
        minute,
        half_hour,
        drill_minutes,
        journal_bytes: journal_bytes(stage, plan).await?,
        memory_mb: memory(stage)?,
        alarms: alarms(stage)?,
        prices,
    })
}

/// A minute of peace and a look of readiness, from a window of each: the look's had ticks, too.
fn apart(peace: &Tally, look: &Tally) -> (Tally, Tally) {
    let minute = peace.each(peace.minutes());
    let look = look.above(&minute, look.minutes());
    (minute, look)
}

/// Where a window begins.
struct Mark {
    at: Timestamp,
    invocations: BTreeMap<String, (f64, f64)>,
}

impl Mark {
    async fn of(stage: &Stage) -> Result<Mark, Error> {
        Ok(Mark { at: Timestamp::now(), invocations: invocations(stage).await? })
    }

    /// What was counted since.
    async fn tally(&self, stage: &Stage) -> Result<Tally, Error> {
        let mut tally = tally(stage, self.at, Timestamp::now()).await?;
        for (name, (count, millis)) in &mut tally.invocations {
            let (before, earlier) = self.invocations.get(name).copied().unwrap_or((0.0, 0.0));
            (*count, *millis) = (*count - before, *millis - earlier);
        }
        Ok(tally)
    }
}

/// The seconds of one look of readiness, where the control stack has it: who answers it has ticks meanwhile.
async fn look(stage: &Stage) -> Result<Tally, Error> {
    let Some(schedule) = readiness(stage) else { return Ok(Tally::default()) };
    let from = Mark::of(stage).await?;
    stage.router.fire(&schedule).await.map_err(Error::part("firing readiness"))?;
    tokio::time::sleep(LOOK).await;
    from.tally(stage).await
}

/// The schedule of readiness, by the template's word for it.
fn readiness(stage: &Stage) -> Option<String> {
    stage.workload.control.resources.get("MonthlyDrillReadiness").map(|schedule| schedule.id.clone())
}

/// Calls and schedules between two times; invocations since the stage began.
async fn tally(stage: &Stage, from: Timestamp, to: Timestamp) -> Result<Tally, Error> {
    let mut tally = Tally { invocations: invocations(stage).await?, ..Tally::default() };
    for call in stage.router.calls() {
        let Some(function) = call.function.as_deref().filter(|_| call.time >= from && call.time < to) else { continue };
        let function = function.rsplit(':').next().unwrap_or_default().to_owned();
        *tally.calls.entry((function, format!("{}:{}", call.service, call.operation), call.region)).or_default() += 1.0;
    }
    let readiness = readiness(stage);
    for delivery in stage.router.carried() {
        if delivery.source != Source::Schedule || delivery.outcome != Outcome::Delivered || delivery.time < from || delivery.time >= to {
            continue;
        }
        let look = readiness.as_deref().is_some_and(|name| delivery.from.ends_with(name));
        *if look { &mut tally.looks } else { &mut tally.ticks } += 1.0;
    }
    Ok(tally)
}

/// How often each function ran and how long that took, by the last line that Lambda writes of each invocation.
async fn invocations(stage: &Stage) -> Result<BTreeMap<String, (f64, f64)>, Error> {
    let mut invocations = BTreeMap::new();
    for function in stage.router.carried().iter().filter_map(|delivery| delivery.to.rsplit(':').next().map(str::to_owned)) {
        if invocations.contains_key(&function) {
            continue;
        }
        let mut command = Command::new(stage.layout.venv.join("bin/aws"));
        command.args(["logs", "filter-log-events", "--log-group-name", &format!("/aws/lambda/{function}"), "--filter-pattern", "REPORT"]);
        command.args(["--query", "events[].message", "--output", "json"]).envs(environment(stage.router.url(), STANDBY)).stdin(Stdio::null());
        let output = command.kill_on_drop(true).output().await.map_err(|source| Error::io("reading the functions' logs by the AWS CLI", source))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Part { doing: "reading the functions' logs", message });
        }
        let lines: Vec<String> = serde_json::from_slice(&output.stdout).map_err(Error::part("reading the functions' logs"))?;
        let took = |line: &String| line.split("\tDuration: ").nth(1)?.split(' ').next()?.parse::<f64>().ok();
        let took: Vec<f64> = lines.iter().filter(|line| line.starts_with("REPORT")).filter_map(took).collect();
        invocations.insert(function, (took.len() as f64, took.iter().sum()));
    }
    Ok(invocations)
}

/// The length of everything that one read of the journal reads.
async fn journal_bytes(stage: &Stage, plan: &Plan) -> Result<u64, Error> {
    let client = aws_sdk_dynamodb::Client::new(&crate::aws::config(stage.router.url(), STANDBY));
    let query = client.query().table_name(output(&stage.workload.control, "JournalTable")?).key_condition_expression("pk = :plan");
    let answer = query.expression_attribute_values(":plan", AttributeValue::S(plan.name.clone())).send().await;
    let items = answer.map_err(Error::part("reading the journal"))?.items.unwrap_or_default();
    let text = |value: &AttributeValue| value.as_s().or(value.as_n()).map_or(0, String::len);
    Ok(items.iter().flatten().map(|(name, value)| (name.len() + text(value)) as u64).sum())
}

/// The functions' memory, as the template sets it for all.
fn memory(stage: &Stage) -> Result<f64, Error> {
    let template =
        std::fs::read_to_string(stage.layout.template("infra/control/template.yaml")).map_err(|source| Error::io("reading infra/control", source))?;
    let size = template.lines().find_map(|line| line.trim().strip_prefix("MemorySize:")?.trim().parse().ok());
    size.ok_or_else(|| Error::Part { doing: "reading infra/control", message: "it sets no MemorySize".to_owned() })
}

/// An alarm costs by the metrics that it looks at. The templates name each once; emulators drop those of an expression.
fn alarms(stage: &Stage) -> Result<f64, Error> {
    let folders = std::fs::read_dir(stage.layout.template("infra")).map_err(|source| Error::io("reading the templates below infra", source))?;
    let templates = folders.flatten().map(|folder| folder.path().join("template.yaml")).filter(|file| file.is_file());
    let mut metrics = 0;
    for template in templates {
        let text = std::fs::read_to_string(template).map_err(|source| Error::io("reading the templates below infra", source))?;
        metrics += text.matches("MetricName: ").count();
    }
    Ok(f64::from(u32::try_from(metrics).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `minutes` in which each of two functions reads the journal once a minute, with `looks` of which one of them writes three times.
    fn window(minutes: f64, looks: f64) -> Tally {
        let call = |function: &str, operation: &str| (function.to_owned(), operation.to_owned(), STANDBY.to_owned());
        let (asks, answers) = ("asks", "answers");
        Tally {
            calls: [(call(asks, "dynamodb:Query"), minutes), (call(answers, "dynamodb:Query"), minutes), (call(answers, "x:Write"), 3.0 * looks)]
                .into(),
            invocations: [(asks.to_owned(), (minutes, 100.0 * minutes)), (answers.to_owned(), (minutes + looks, 100.0 * (minutes + looks)))].into(),
            ticks: 2.0 * minutes,
            looks,
        }
    }

    #[test]
    fn the_ticks_beside_a_look_are_not_the_looks() {
        let (minute, look) = apart(&window(4.0, 0.0), &window(2.0, 1.0));
        assert_eq!((minute.calls_of("dynamodb:Query"), minute.calls_of("x:Write")), (2.0, 0.0));
        assert_eq!((look.calls_of("dynamodb:Query"), look.calls_of("x:Write")), (0.0, 3.0));
        assert_eq!((minute.invoked(), look.invoked(), minute.ticks), (2.0, 1.0, 2.0));
    }
}
