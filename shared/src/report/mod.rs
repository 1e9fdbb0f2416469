//! What a run looked like: the same numbers for the stage and for AWS, as JSON (documented in docs/report.md) and as one
//! self-contained page ([`html`]).
//!
//! A report is made from the journal alone: whatever it says was recorded when it happened, by whoever did it.

mod home;
mod html;
mod readiness;
mod restored;
mod windows;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::decide::drill::{grade, recovery_time, writable_in, write_pause};
use crate::decide::rotation::compare::concluded;
use crate::plan::{Database, Plan};
use crate::ports::{Entry, EntryKind};
use crate::run::{Mode, Phase, Run};
use crate::state::{CopyComparison, Snapshot};

pub use home::RowsLeft;
pub use html::page;
pub use readiness::{ReadinessReport, readiness_page};
pub use windows::{Window, closed_since};

const ROWS_UNKNOWN: &str = "how many rows were lost: that is counted when the old primary can be read again";

/// One run, as people and auditors read it. Times are UTC, durations are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub plan: String,
    pub plan_version: u64,
    pub run: String,
    pub mode: Mode,
    /// The phase in which the run ended.
    pub ended: Phase,
    pub passed: bool,
    pub cause: String,
    pub primary: String,
    pub standby: String,
    pub opened_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub first_down: Option<Timestamp>,
    pub objectives: Objectives,
    pub measured: Measured,
    pub findings: Vec<Finding>,
    /// What this run could not show, so that nobody concludes it.
    pub not_proven: Vec<String>,
    /// The copies of a drill, each compared with the replica that it was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<Comparison>,
    /// Rows that the old writer had for itself, found by a failback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows_left: Vec<RowsLeft>,
    /// What a failback set aside, for a person to delete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<String>,
    pub milestones: Vec<Milestone>,
    /// Who did what and why, oldest first.
    pub timeline: Vec<Row>,
    pub resources: Vec<Resource>,
    /// The people who spoke, with what they said.
    pub operators: Vec<String>,
    /// Requests sent to AWS, retries included: `service:Operation` to their number.
    pub calls: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objectives {
    pub rto_seconds: f64,
    pub rpo_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// See [`recovery_time`] for what is counted.
    pub rto_seconds: Option<f64>,
    /// The largest estimated loss of a database: its lag at the first Down. `None` where it was unknown, or no database
    /// was promoted.
    pub rpo_seconds: Option<f64>,
    /// What each database was judged to lose at most, by its name.
    pub lag: BTreeMap<String, Lag>,
    /// From the call of each database's promotion, or of its copy's in a drill, until it was seen to take writes; by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub writable_seconds: BTreeMap<String, f64>,
    /// The same, as the last good drill before this run measured it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub writable_estimated_seconds: BTreeMap<String, f64>,
    /// From the request of each restore, of a drill's copy that is no replica, until it was seen to take writes; by the database's name. It
    /// estimates no promotion.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restored_seconds: BTreeMap<String, f64>,
    /// How long a failback's writes paused, until users were home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_pause_seconds: Option<f64>,
    /// When logins of secrets with a single user may have been refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// What was really lost, once both databases have been compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
}

/// Rows that were committed at the old writer and never reached the new one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    pub rows: u64,
    /// The time over which they were written, in the unit of the estimate.
    pub seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    pub seconds: Option<f64>,
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub ok: bool,
    pub said: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub database: String,
    /// `None`: they were not compared, and `said` says why.
    pub equal: Option<bool>,
    pub said: String,
    /// Tables that were not compared, each with why.
    pub left_out: Vec<String>,
}

/// A step of the recovery and when it was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Milestone {
    pub name: String,
    pub at: Timestamp,
    /// From the first evidence; in a drill from its start.
    pub after_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub at: Timestamp,
    pub after_seconds: f64,
    pub by: String,
    pub kind: EntryKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    pub said: String,
}

/// When something was asked for and when it was reached, for the bars of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    pub name: String,
    /// The function that works on it.
    pub by: String,
    pub requested_at: Option<Timestamp>,
    pub reached_at: Option<Timestamp>,
    pub said: String,
}

impl Report {
    /// Builds the report of a run from the journal.
    pub fn build(plan: &Plan, snapshot: &Snapshot, run: &Run, history: &[Entry]) -> Report {
        let zero = run.first_down.unwrap_or(run.opened_at).min(run.opened_at);
        let after = |at: Timestamp| at.duration_since(zero).as_secs_f64();
        let findings: Vec<Finding> = grade(plan, snapshot, run).into_iter().map(|finding| Finding { ok: finding.ok, said: finding.said }).collect();
        let mut calls = BTreeMap::new();
        for entry in history {
            for (call, count) in &entry.calls {
                *calls.entry(call.clone()).or_default() += count;
            }
        }
        Report {
            plan: plan.name.clone(),
            plan_version: run.plan_version,
            run: run.id.0.clone(),
            mode: run.mode,
            ended: run.phase,
            passed: findings.iter().all(|finding| finding.ok),
            cause: run.cause.clone(),
            primary: plan.primary.clone(),
            standby: plan.standby.clone(),
            opened_at: run.opened_at,
            ended_at: run.ended_at,
            first_down: run.first_down,
            objectives: Objectives { rto_seconds: plan.objectives.rto.as_secs_f64(), rpo_seconds: plan.objectives.rpo.as_secs_f64() },
            measured: measured(plan, snapshot, run),
            findings,
            not_proven: not_proven(plan, snapshot, run),
            compared: if run.mode == Mode::Drill { comparisons(plan, snapshot) } else { Vec::new() },
            rows_left: home::rows_left(snapshot),
            set_aside: home::set_aside(plan, snapshot),
            milestones: milestones(snapshot, run).into_iter().map(|(name, at)| Milestone { name, at, after_seconds: after(at) }).collect(),
            timeline: history.iter().map(|entry| row(entry, after(entry.at))).collect(),
            resources: resources(plan, snapshot, run),
            operators: history.iter().filter(|entry| entry.kind == EntryKind::Operator).map(|entry| entry.said.clone()).collect(),
            calls,
        }
    }

    /// Takes in what a comparison of both databases counted: a failover ends long before the old primary can be read again.
    pub fn count(&mut self, lost: Lost) {
        self.not_proven.retain(|line| line != ROWS_UNKNOWN);
        self.measured.lost = Some(lost);
    }

    /// The documented form.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

fn row(entry: &Entry, after_seconds: f64) -> Row {
    Row { at: entry.at, after_seconds, by: entry.by.clone(), kind: entry.kind, about: entry.about.clone(), said: entry.said.clone() }
}

fn measured(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Measured {
    let progress = &snapshot.progress;
    let lag: BTreeMap<String, Lag> = progress
        .promotion
        .databases
        .iter()
        .filter_map(|(name, step)| Some((name.clone(), step.lag.as_ref().map(|lag| Lag { seconds: lag.seconds, source: lag.source.clone() })?)))
        .collect();
    let promoted = run.mode == Mode::Failover && run.phase == Phase::Active;
    let memory = &snapshot.memory;
    let names = plan.databases.iter().map(|database| &database.name).filter(|_| run.mode != Mode::Failback);
    let took: BTreeMap<String, f64> = names.filter_map(|name| Some((name.clone(), writable_in(progress, run, name)?.as_secs_f64()))).collect();
    let largest = lag.values().map(|lag| lag.seconds).try_fold(0.0_f64, |largest, seconds| seconds.map(|seconds| largest.max(seconds)));
    Measured {
        rto_seconds: recovery_time(plan, progress, run).map(|took: SignedDuration| took.as_secs_f64()),
        rpo_seconds: if promoted && !lag.is_empty() { largest } else { None },
        lag,
        writable_estimated_seconds: memory
            .promotion_seconds
            .iter()
            .filter(|(name, _)| took.contains_key(*name))
            .map(|(name, took)| (name.clone(), *took))
            .collect(),
        writable_seconds: took,
        restored_seconds: restored::seconds(progress, run),
        write_pause_seconds: write_pause(progress, run).map(|paused| paused.as_secs_f64()),
        windows: windows::windows(plan, snapshot, run),
        lost: None,
    }
}

fn comparisons(plan: &Plan, snapshot: &Snapshot) -> Vec<Comparison> {
    let one = |database: &Database| {
        let CopyComparison { equal, said, left_out, .. } = concluded(plan, &snapshot.progress, database)?;
        Some(Comparison { database: database.name.clone(), equal, said, left_out })
    };
    plan.databases.iter().filter_map(one).collect()
}

/// How a person shows what no drill does of an Aurora global database.
const BY_HAND: &str = "rehearse it in a maintenance window: `failover` while the primary is healthy, which is a switchover and loses nothing, then `failback` and `switch-home`";

fn not_proven(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Vec<String> {
    let mut not_proven = Vec::new();
    if run.mode == Mode::Failback {
        not_proven.extend(home::not_proven(plan, snapshot, run));
    } else if run.mode == Mode::Drill {
        not_proven.push("that users reach the standby: a drill moves no traffic and puts no STOP object".to_owned());
        not_proven.push("that the primary is held out and fenced: a drill does not touch the primary Region".to_owned());
        not_proven.push("how much would be lost: a drill promotes a copy of a healthy replica".to_owned());
        for database in plan.databases.iter().filter(|database| database.is_global()) {
            not_proven.push(format!(
                "that {} takes over, how long that takes, and so a recovery: a drill restores its snapshot, which moves no writer; {BY_HAND}",
                database.replica
            ));
        }
        not_proven.extend(restored::not_proven(plan, &snapshot.progress));
        for Comparison { database, equal, said, left_out } in comparisons(plan, snapshot) {
            if equal.is_none() {
                not_proven.push(format!("that the copy of {database} has the replica's rows: {said}"));
            } else if !left_out.is_empty() {
                not_proven.push(format!("that these tables of {database} are the same in the copy: {}", left_out.join("; ")));
            }
        }
        not_proven.push("that AWS has this capacity when the whole primary Region moves at once".to_owned());
    } else {
        for database in plan.databases.iter().filter(|database| database.is_global()) {
            not_proven.push(format!(
                "that the old writer of {} took no more writes: Aurora stops it as far as it can, and tells it in an event of either cluster",
                database.name
            ));
        }
        let replicas = plan.databases.iter().filter(|database| !database.is_global());
        for database in replicas.filter(|database| database.quarantine_security_group.is_none()) {
            not_proven.push(format!("that the old writer of {} is fenced: the plan names no quarantine security group", database.name));
        }
        for (name, fence) in snapshot.progress.traffic.fenced.iter().filter(|(_, fence)| fence.done_at.is_none()) {
            not_proven.push(format!("that the old writer of {name} is fenced: {}", fence.last));
        }
        if run.phase == Phase::Active {
            not_proven.push(ROWS_UNKNOWN.to_owned());
        }
    }
    for database in &plan.databases {
        if !plan.secrets.iter().any(|secret| secret.database == database.name) {
            not_proven.push(format!("that database {} takes writes: no secret of the plan opens it", database.name));
        }
    }
    not_proven
}

fn milestones(snapshot: &Snapshot, run: &Run) -> Vec<(String, Timestamp)> {
    let progress = &snapshot.progress;
    let opened = match run.mode {
        Mode::Failover => "suspected",
        Mode::Drill => "drill started",
        Mode::Failback => "way home begun",
    };
    let mut all: Vec<(String, Option<Timestamp>)> = vec![
        ("first Down".to_owned(), run.first_down),
        (opened.to_owned(), Some(run.opened_at)),
        ("confirmed".to_owned(), run.confirmed_at),
        ("primary held out of traffic".to_owned(), progress.traffic.held_out_at),
        ("point of no return".to_owned(), run.committed_at),
        ("capacity requested".to_owned(), progress.capacity.resources.values().filter_map(|step| step.requested_at).min()),
    ];
    let reached: Option<Vec<Timestamp>> = progress.capacity.resources.values().map(|step| step.reached_at).collect();
    all.push(("capacity reached".to_owned(), reached.and_then(|all| all.into_iter().max())));
    for (name, step) in &progress.promotion.databases {
        all.push((format!("{name}: promotion requested"), step.promote_called_at));
        all.push((format!("{name}: promoted"), step.promoted_at));
    }
    for (name, copy) in &progress.promotion.copies {
        all.push((format!("{name}: copy available"), copy.available_at));
        all.push((format!("{name}: copy compared"), progress.rotation.rehearsal.compared.get(name).and_then(|seen| seen.ended_at)));
        all.push((format!("{name}: snapshot requested"), copy.snapshot_asked_at));
        all.push((format!("{name}: restore requested"), copy.restore_asked_at));
        all.push((format!("{name}: instance requested"), copy.instance_asked_at));
        all.push((format!("{name}: copy {}", if copy.is_restored() { "restored" } else { "promoted" }), copy.promoted_at));
    }
    all.extend(progress.rotation.proven.iter().map(|(name, at)| (format!("{name}: proven writable"), Some(*at))));
    all.extend(progress.rotation.rehearsal.proven.iter().map(|(name, at)| (format!("{name}: copy proven writable"), Some(*at))));
    for (name, step) in &progress.rotation.secrets {
        all.push((format!("{name}: repointed"), step.repointed_at));
        all.push((format!("{name}: rotated"), step.rotated_at));
    }
    all.extend(home::milestones(snapshot, run));
    all.push(("traffic open".to_owned(), progress.traffic.opened_at));
    all.push(("baseline restored".to_owned(), progress.restore.restored_at));
    all.push((format!("{:?}", run.phase).to_lowercase(), run.ended_at));
    let mut all: Vec<(String, Timestamp)> = all.into_iter().filter_map(|(name, at)| Some((name, at?))).collect();
    all.sort_by_key(|(_, at)| *at);
    all
}

fn resources(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Vec<Resource> {
    let progress = &snapshot.progress;
    let bar = |name: String, by: &str, requested_at, reached_at, said: &str| Resource {
        name,
        by: by.to_owned(),
        requested_at,
        reached_at,
        said: said.to_owned(),
    };
    let mut rows: Vec<Resource> =
        progress.capacity.resources.iter().map(|(id, step)| bar(id.0.clone(), "scale-up", step.requested_at, step.reached_at, &step.said)).collect();
    for (name, step) in &progress.promotion.databases {
        rows.push(bar(
            format!("database/{name}"),
            "promote-replica",
            step.promote_called_at,
            step.promoted_at,
            step.refused.as_deref().unwrap_or_default(),
        ));
    }
    for (name, copy) in &progress.promotion.copies {
        rows.push(bar(
            format!("copy of {name}"),
            "promote-replica",
            copy.snapshot_asked_at.or(copy.requested_at),
            copy.promoted_at,
            copy.failed.as_deref().unwrap_or(&copy.instance),
        ));
    }
    let secrets = if run.mode == Mode::Drill { &progress.rotation.rehearsal.secrets } else { &progress.rotation.secrets };
    for (name, step) in secrets {
        let done = step.rotated_at.or(step.tested_at).or(step.repointed_at);
        rows.push(bar(format!("secret/{name}"), "rotate-secret", step.repointed_at, done, step.failed.as_deref().unwrap_or_default()));
    }
    rows.extend(home::resources(plan, snapshot));
    if run.mode == Mode::Failover {
        rows.push(bar(format!("traffic/{}", plan.traffic.record), "switch-traffic", progress.traffic.held_out_at, progress.traffic.opened_at, ""));
    }
    let owed = progress
        .restore
        .resources
        .iter()
        .map(|(id, step)| bar(format!("{id} (restored)"), "scale-down", step.requested_at, step.reached_at, &step.said));
    rows.extend(owed);
    rows
}
