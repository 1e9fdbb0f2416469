//! What monthly-drill does next in a run, and how a run is graded.
//!
//! ```text
//! Activating ── announce ──► Holding ── validate until all answer, or the hold is over ──► Restoring ──► Closed ── report, announce
//! ```

mod failback;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::Decision;
use super::rotation::compare::concluded;
use crate::plan::Plan;
use crate::run::{Mode, Phase, Run};
use crate::state::{DrillProgress, Progress, Snapshot};

pub use failback::write_pause;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell people that a drill begins, until when at the latest, and how to stop it.
    AnnounceStart,
    /// Ask these URLs of the standby.
    Validate(Vec<String>),
    /// Nothing more will be asked: what was found stands.
    EndValidation,
    /// Write the report of the run that is over, and tell people.
    Report,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Others scale up and rehearse.
    Activation,
    /// The hold runs.
    Hold { until: Timestamp },
    /// scale-down is at work.
    Restoration,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::Activation => f.write_str("full capacity and the rehearsal are under way"),
            Waiting::Hold { until } => write!(f, "full capacity is held until {until}"),
            Waiting::Restoration => f.write_str("the baseline is being restored"),
        }
    }
}

/// monthly-drill refuses nothing once a drill is open: the refusal to open one is `fold`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

pub fn decide(plan: &Plan, run: Option<&Run>, progress: &DrillProgress, now: Timestamp) -> Decision<Action, Waiting, Never> {
    let Some(run) = run else { return Decision::Done };
    match (run.mode, run.phase) {
        (_, Phase::Active | Phase::Closed) if progress.report.is_none() => Decision::Act(vec![Action::Report]),
        (Mode::Drill, Phase::Activating) if progress.announced_at.is_none() => Decision::Act(vec![Action::AnnounceStart]),
        (Mode::Drill, Phase::Activating) => Decision::Wait(Waiting::Activation),
        (Mode::Drill, Phase::Holding) => holding(plan, run, progress, now),
        (Mode::Drill, Phase::Restoring) => Decision::Wait(Waiting::Restoration),
        _ => Decision::Done,
    }
}

fn holding(plan: &Plan, run: &Run, progress: &DrillProgress, now: Timestamp) -> Decision<Action, Waiting, Never> {
    let until = run.phase_since.saturating_add(plan.drill.hold).unwrap_or(Timestamp::MAX);
    if progress.validated_at.is_some() {
        return Decision::Wait(Waiting::Hold { until });
    }
    let open: Vec<String> = plan.drill.validate.iter().filter(|url| progress.validated.get(*url).is_none_or(|seen| !seen.ok)).cloned().collect();
    if open.is_empty() || now >= until { Decision::Act(vec![Action::EndValidation]) } else { Decision::Act(vec![Action::Validate(open)]) }
}

/// One thing that a run was to show, and whether it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub ok: bool,
    pub said: String,
}

/// Grades a run that is over: every finding, good and bad. It passed when all are good.
pub fn grade(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Vec<Finding> {
    let progress = &snapshot.progress;
    let mut findings = match (run.mode, run.phase) {
        (Mode::Drill, _) => drill_findings(plan, progress, run),
        (Mode::Failover, Phase::Active) => failover_findings(plan, progress, run),
        (Mode::Failback, _) => failback::findings(plan, progress, run),
        (Mode::Failover, _) => vec![Finding { ok: true, said: "stood down before the first promotion; everything was given back".to_owned() }],
    };
    if let (Some(took), true) = (recovery_time(plan, progress, run), run.mode == Mode::Drill || run.phase == Phase::Active) {
        let ok = took <= plan.objectives.rto;
        let took = whole_seconds(took);
        findings.push(Finding { ok, said: format!("recovery took {took:#}, the objective is {:#}", plan.objectives.rto) });
    }
    findings
}

fn drill_findings(plan: &Plan, progress: &Progress, run: &Run) -> Vec<Finding> {
    let mut findings = vec![capacity_finding(plan, progress)];
    for database in &plan.databases {
        let (of, what) = if database.is_global() { ("secondary", "takeover") } else { ("replica", "promotion") };
        let copy = progress.promotion.copies.get(&database.name);
        findings.push(match copy {
            Some(copy) if copy.failed.is_some() => bad(format!("database {}: {}", database.name, copy.failed.clone().unwrap_or_default())),
            Some(copy) if copy.promoted_at.is_some() && copy.is_restored() => {
                good(format!("database {}: a disposable copy was restored from a snapshot of the {of}; no {what} was rehearsed", database.name))
            }
            Some(copy) if copy.promoted_at.is_some() => good(format!("database {}: a disposable replica of the replica was promoted", database.name)),
            _ => bad(format!("database {}: the promotion was not rehearsed", database.name)),
        });
        // What could not be compared is no gap of the standby's; the report has it among what was not shown.
        findings.extend(concluded(plan, progress, database).and_then(|seen| {
            let ok = seen.equal?;
            Some(Finding { ok, said: format!("database {}: {}", database.name, seen.said) })
        }));
    }
    for secret in &plan.secrets {
        let step = progress.rotation.rehearsal.secrets.get(&secret.name);
        let done = step.is_some_and(|step| step.repointed_at.is_some() && step.failed.is_none() && (!secret.rotate || step.rotated_at.is_some()));
        let what = if secret.rotate { "repointed and rotated" } else { "repointed" };
        findings.push(match step.and_then(|step| step.failed.clone()) {
            Some(why) => bad(format!("secret {}: {why}", secret.name)),
            None if done => good(format!("secret {}: its disposable stand-in was {what}", secret.name)),
            None => bad(format!("secret {}: its stand-in was not {what}", secret.name)),
        });
    }
    for url in &plan.drill.validate {
        findings.push(match progress.drill.validated.get(url) {
            Some(seen) => Finding { ok: seen.ok, said: format!("{url}: {}", seen.said) },
            None => bad(format!("{url}: not asked")),
        });
    }
    let took = whole_seconds(run.ended_at.unwrap_or(run.phase_since).duration_since(run.opened_at));
    let within = took <= plan.drill.deadline;
    findings.push(Finding { ok: within, said: format!("given back {took:#} after the start, the deadline is {:#}", plan.drill.deadline) });
    findings
}

fn failover_findings(plan: &Plan, progress: &Progress, run: &Run) -> Vec<Finding> {
    let mut findings = vec![capacity_finding(plan, progress)];
    for database in &plan.databases {
        let step = progress.promotion.databases.get(&database.name);
        let lag = step.and_then(|step| step.lag.as_ref()).and_then(|lag| lag.seconds);
        let rpo = plan.objectives.rpo.as_secs_f64();
        findings.push(match lag {
            Some(seconds) => Finding {
                ok: seconds <= rpo,
                said: format!("database {}: promoted {seconds:.0} s behind, the objective is {rpo:.0} s", database.name),
            },
            None => bad(format!("database {}: promoted with its lag unknown", database.name)),
        });
    }
    for (name, step) in &progress.rotation.secrets {
        if let Some(why) = &step.failed {
            findings.push(bad(format!("secret {name}: {why}")));
        }
    }
    if let Some(said) = &run.words.switch_anyway {
        findings.push(bad(format!("{} opened traffic although a part was missing", said.by)));
    }
    findings
}

fn capacity_finding(plan: &Plan, progress: &Progress) -> Finding {
    let reached = progress.capacity.least_per_cent(plan);
    match reached {
        Some(reached) => Finding { ok: reached >= plan.policy.least_capacity, said: format!("capacity reached {reached} % of the active size") },
        None => bad("capacity was never looked at".to_owned()),
    }
}

/// The recovery time. A failover's is measured from the first Down to the end of the run. A drill's is what a failover
/// would have waited for: the slowest of full capacity and each database's promotion, proof and repointing, counted from
/// when it was asked for, since a real failover makes no copy and compares none. A drill that restored a copy does not know it, as one of an
/// Aurora cluster always did: a failover restores nothing, and what its promotion or takeover would take was not seen.
pub fn recovery_time(plan: &Plan, progress: &Progress, run: &Run) -> Option<SignedDuration> {
    if run.mode == Mode::Failback {
        // Nothing is recovered: the standby serves until writes pause, which is measured by itself.
        return None;
    }
    if run.mode == Mode::Failover {
        return Some(run.ended_at?.duration_since(run.first_down?));
    }
    let capacity = progress.capacity.resources.values().map(|step| step.reached_at.map(|at| at.duration_since(run.opened_at)));
    let databases = plan.databases.iter().map(|database| {
        let copy = progress.promotion.copies.get(&database.name).filter(|copy| !copy.is_restored())?;
        let secrets = plan.secrets.iter().filter(|secret| secret.database == database.name);
        let repointed = secrets.map(|secret| progress.rotation.rehearsal.secrets.get(&secret.name)?.repointed_at);
        let last = repointed.chain([copy.promoted_at]).try_fold(run.opened_at, |last, at| at.map(|at| last.max(at)))?;
        Some(last.duration_since(copy.promote_asked_at.or(copy.available_at)?))
    });
    capacity.chain(databases).try_fold(SignedDuration::ZERO, |slowest, took| took.map(|took| slowest.max(took)))
}

/// What a database took from the call of its promotion until it was proven writable, or promoted where nobody logs in: a drill's copy, or
/// the real one. So the one is the other's estimate. A restore is no promotion, and estimates none.
pub fn writable_in(progress: &Progress, run: &Run, database: &str) -> Option<SignedDuration> {
    let (asked, promoted, proven) = if run.mode == Mode::Drill {
        let copy = progress.promotion.copies.get(database).filter(|copy| !copy.is_restored())?;
        (copy.promote_asked_at.or(copy.promote_called_at), copy.promoted_at, &progress.rotation.rehearsal.proven)
    } else {
        let step = progress.promotion.databases.get(database)?;
        (step.promote_attempt_at.or(step.promote_called_at), step.promoted_at, &progress.rotation.proven)
    };
    Some(proven.get(database).copied().or(promoted)?.duration_since(asked?))
}

/// What a drill's copy that was restored from a snapshot took from the restore's request until it was proven writable, or available where
/// nobody logs in.
pub fn restored_in(progress: &Progress, database: &str) -> Option<SignedDuration> {
    let copy = progress.promotion.copies.get(database)?;
    let writable = progress.rotation.rehearsal.proven.get(database).copied().or(copy.promoted_at)?;
    Some(writable.duration_since(copy.restore_asked_at?))
}

fn whole_seconds(took: SignedDuration) -> SignedDuration {
    took.round(jiff::SignedDurationRound::new().smallest(jiff::Unit::Second)).unwrap_or(took)
}

fn good(said: String) -> Finding {
    Finding { ok: true, said }
}

fn bad(said: String) -> Finding {
    Finding { ok: false, said }
}
