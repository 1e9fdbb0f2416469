//! Which step of the run is due. Pure: a function of the plan, the journal and `now`; every function calls it, and
//! whoever gets there first writes the answer.
//!
//! ```text
//! peace ── any Down ──► Suspected ── quorum over dwell, approved ──► Confirmed ── cleared, held out, quorum still ──► Activating
//!                           └── expired, back ──► StoodDown ◄── back, the operator ──┘        all done ──► Active
//! ```
//! A failback's steps are in [`home`].

pub mod home;

use jiff::{SignedDuration, Timestamp};

use crate::decide::promotion::behind_a_proxy;
use crate::evidence::{Verdict, Word};
use crate::fold::open;
use crate::plan::{ActMode, ObserverKind, Plan};
use crate::run::{Illegal, Mode, Phase, Run, Step};
use crate::state::{Head, Owed, Place, RehearsalProgress, Snapshot};

/// For how long promote-replica's look at every replica counts when the point of no return is judged.
pub const CLEARED_FOR: SignedDuration = SignedDuration::from_mins(1);

/// What is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    pub head: Head,
    /// The sentence for the log, the history and people.
    pub said: String,
}

/// The step that is due at `now`, if any.
pub fn advance(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> Result<Option<Advance>, Illegal> {
    if plan.policy.mode == ActMode::Observe {
        return Ok(None);
    }
    let verdict = snapshot.evidence.judge(plan, now);
    let Some(run) = snapshot.head.open_run() else { return Ok(suspicion(plan, &snapshot.head, &verdict, now)) };
    let due = match (run.mode, run.phase) {
        (Mode::Failover, Phase::Suspected) => suspected(plan, snapshot, run, &verdict, now),
        (Mode::Failover, Phase::Confirmed) => confirmed(plan, snapshot, run, &verdict, now),
        (Mode::Failover, Phase::Activating) => activating(plan, snapshot, run),
        (Mode::Failover, Phase::StoodDown) => stood_down(plan, snapshot, run, &verdict, now),
        (Mode::Drill, _) => drill(plan, snapshot, run, &verdict, now),
        (Mode::Failback, _) => home::due(plan, snapshot, run, &verdict, now),
        (Mode::Failover, _) => None,
    };
    due.map(|(step, said)| take(plan, snapshot, run, step, said, &verdict, now)).transpose()
}

/// Peace: any observer that the plan names opens a run. A cool-down asks for one more, never for more than the quorum.
fn suspicion(plan: &Plan, head: &Head, verdict: &Verdict, now: Timestamp) -> Option<Advance> {
    if head.serving == Place::Standby || !suspicious(plan, head, verdict, now) {
        return None;
    }
    let said = format!("{} says the primary is down", names(verdict));
    let mut run = open(Mode::Failover, Phase::Suspected, head.plan_version, said.clone(), now);
    run.first_down = verdict.first_down();
    Some(Advance { head: Head { run: Some(run), ..head.clone() }, said: format!("suspected: {said}") })
}

fn suspicious(plan: &Plan, head: &Head, verdict: &Verdict, now: Timestamp) -> bool {
    let cooling = head.cool_down_until.is_some_and(|until| now < until);
    if !cooling {
        return !verdict.down.is_empty();
    }
    // What would be stood down at once is not opened again: alarms that stay against a quorum that sees the primary up would open runs without
    // end. A quorum that says Down is never `back`, so that no cool-down holds it up.
    verdict.down.len() >= plan.policy.quorum.min(2) && !verdict.back(plan, now)
}

fn suspected(plan: &Plan, snapshot: &Snapshot, run: &Run, verdict: &Verdict, now: Timestamp) -> Option<(Step, String)> {
    if let Some(said) = called_back(run) {
        return Some((Step::StandDown, said));
    }
    let quorum = run.words.failover.is_some() || verdict.confirmed_at(plan, now).is_some();
    if quorum && (!plan.policy.approval || run.words.approve.is_some() || run.words.failover.is_some()) {
        let who = match &run.words.failover {
            Some(said) => format!("{} says so", said.by),
            None => format!("{} of {} observers said Down for {:#}: {}", verdict.down.len(), sources(plan), plan.policy.dwell, names(verdict)),
        };
        return Some((Step::Confirm, format!("confirmed: {who}")));
    }
    if verdict.back(plan, now) {
        return Some((Step::StandDown, format!("stood down: the primary is back, {} of {} observers say Up", verdict.up.len(), sources(plan))));
    }
    // The deadline does not run while the checkers still say Down or users already are at the standby: lowering
    // capacity under them would turn a suspicion into an outage. Nor while a quorum waits for its dwell or an approval: it
    // would be suspected again at once.
    let users_moved = snapshot.progress.traffic.users_at == Some(Place::Standby) || checkers_say_down(plan, snapshot, now);
    let expired = now.duration_since(run.phase_since) >= plan.policy.suspicion_deadline;
    (expired && !users_moved && !verdict.quorum_down(plan))
        .then(|| (Step::StandDown, format!("stood down: nobody confirmed the suspicion within {:#}", plan.policy.suspicion_deadline)))
}

fn confirmed(plan: &Plan, snapshot: &Snapshot, run: &Run, verdict: &Verdict, now: Timestamp) -> Option<(Step, String)> {
    if let Some(said) = called_back(run) {
        return Some((Step::StandDown, said));
    }
    if run.words.failover.is_none() && verdict.back(plan, now) {
        return Some((Step::StandDown, "stood down: the primary came back before the point of no return".to_owned()));
    }
    blocked(plan, snapshot, run, verdict, now).is_none().then(|| {
        let said = match plan.databases.len() {
            0 => "point of no return: the standby takes over".to_owned(),
            count => format!("point of no return: {count} database(s) will be promoted, the primary is held out of traffic"),
        };
        (Step::Commit, said)
    })
}

/// Why the point of no return may not be passed now; judged right before it, with everything at `now`.
pub fn blocked(plan: &Plan, snapshot: &Snapshot, run: &Run, verdict: &Verdict, now: Timestamp) -> Option<Blocked> {
    if let Some(hold) = snapshot.head.hold.as_ref().filter(|hold| now < hold.until) {
        return Some(Blocked::Held { by: hold.by.clone(), until: hold.until });
    }
    if run.words.failover.is_none() && !verdict.quorum_down(plan) {
        return Some(Blocked::NoQuorum { down: verdict.down.len(), quorum: plan.policy.quorum });
    }
    for database in &plan.databases {
        let step = snapshot.progress.promotion.databases.get(&database.name);
        if let Some(why) = step.and_then(|step| step.refused.clone()) {
            return Some(Blocked::Database { name: database.name.clone(), why });
        }
        let cleared = step.and_then(|step| step.cleared_at);
        if cleared.is_none_or(|at| now.duration_since(at) > CLEARED_FOR) {
            return Some(Blocked::NotLookedAt { name: database.name.clone() });
        }
    }
    snapshot.progress.traffic.held_out_at.is_none().then_some(Blocked::NotHeldOut)
}

/// Why a confirmed failover has not passed the point of no return.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    #[error("{by} holds it until {until}; the operator's `release` ends that")]
    Held { by: String, until: Timestamp },
    #[error("only {down} of the {quorum} observers that the plan asks for still say Down; the operator's `failover` counts as a quorum")]
    NoQuorum { down: usize, quorum: usize },
    #[error("database {name}: {why}")]
    Database { name: String, why: String },
    #[error("promote-replica has not judged database {name} in the last minute; its tick does")]
    NotLookedAt { name: String },
    #[error("the primary is not yet held out of traffic; switch-traffic's tick puts the STOP object")]
    NotHeldOut,
}

fn activating(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Option<(Step, String)> {
    let progress = &snapshot.progress;
    // Returning is possible only while no promotion was even attempted: an attempt without an answer may have happened.
    let untouched = progress.promotion.databases.values().all(|step| step.promote_attempt_at.is_none());
    if run.words.stand_down.is_some() && untouched {
        return called_back(run).map(|said| (Step::StandDown, said));
    }
    missing(plan, snapshot).is_empty().then(|| (Step::Complete, "active: the standby serves".to_owned()))
}

/// What an activation still lacks, as sentences.
pub fn missing(plan: &Plan, snapshot: &Snapshot) -> Vec<String> {
    let progress = &snapshot.progress;
    let mut missing = Vec::new();
    for database in &plan.databases {
        let step = progress.promotion.databases.get(&database.name);
        if step.is_none_or(|step| step.promoted_at.is_none()) {
            missing.push(format!("database {} is not promoted", database.name));
        } else if step.is_none_or(|step| step.backups_on_at.is_none()) {
            missing.push(format!("database {} has no backups yet", database.name));
        }
        if let Some(proxy) = step.and_then(|step| behind_a_proxy(database, step)) {
            missing.push(format!("database {} is not behind its proxy {proxy} yet", database.name));
        }
        // Only a database that some secret opens can be proven by a login.
        if plan.secrets.iter().any(|secret| secret.database == database.name) && !progress.rotation.proven.contains_key(&database.name) {
            missing.push(format!("database {} is not proven writable", database.name));
        }
    }
    for secret in &plan.secrets {
        if progress.rotation.secrets.get(&secret.name).is_none_or(|step| step.repointed_at.is_none()) {
            missing.push(format!("secret {} is not repointed", secret.name));
        }
    }
    if progress.traffic.opened_at.is_none() {
        missing.push("traffic is not open".to_owned());
    }
    // Launches can fail for hours in a crisis: the operator's word ends the waiting for them, or the phase would have no
    // way on. scale-up goes on while the standby serves.
    if snapshot.head.open_run().is_some_and(|run| run.words.switch_anyway.is_some()) {
        return missing;
    }
    match progress.capacity.least_per_cent(plan) {
        None => missing.push("capacity has not been looked at".to_owned()),
        Some(reached) if reached < plan.policy.least_capacity => {
            missing.push(format!("capacity is at {reached} %, the plan asks for {} %", plan.policy.least_capacity));
        }
        Some(_) => {}
    }
    missing
}

fn stood_down(plan: &Plan, snapshot: &Snapshot, run: &Run, verdict: &Verdict, now: Timestamp) -> Option<(Step, String)> {
    // The word that stood it down holds until all is undone, even against the quorum that it overruled.
    if run.words.stand_down.is_none() && suspicious(plan, &snapshot.head, verdict, now) && verdict.quorum_down(plan) {
        return Some((Step::Suspect, format!("suspected again while standing down: {}", names(verdict))));
    }
    // A suspicion in the midst of a failback's restoring leaves the standby to be rebuilt.
    let rebuilt = !home::rebuilds(snapshot) || home::unrestored(plan, snapshot).is_empty();
    (rebuilt && undone(snapshot, run)).then(|| (Step::Restored, "closed: everything is as it was before".to_owned()))
}

fn drill(plan: &Plan, snapshot: &Snapshot, run: &Run, verdict: &Verdict, now: Timestamp) -> Option<(Step, String)> {
    if verdict.quorum_down(plan) {
        return Some((Step::RealFailure, format!("the primary really fails: {}; the drill becomes a failover", names(verdict))));
    }
    let expired = now.duration_since(run.opened_at) >= plan.drill.deadline;
    let restore = |said: String| Some((Step::Restore, said));
    match run.phase {
        Phase::Activating | Phase::Holding if run.words.stand_down.is_some() => restore("restoring: the operator ended the drill".to_owned()),
        Phase::Activating | Phase::Holding if expired => restore(format!("restoring: the drill's deadline of {:#} has passed", plan.drill.deadline)),
        Phase::Activating => rehearsed(plan, snapshot).then(|| (Step::Hold, format!("holding full capacity for {:#}", plan.drill.hold))),
        Phase::Holding => {
            let held = now.duration_since(run.phase_since) >= plan.drill.hold;
            (held && snapshot.progress.drill.validated_at.is_some()).then(|| (Step::Restore, "restoring: the hold is over".to_owned()))
        }
        Phase::Restoring => undone(snapshot, run).then(|| (Step::Restored, "closed: the standby is as it was before".to_owned())),
        _ => None,
    }
}

/// Full capacity, and every copy promoted, proven, repointed and rotated on disposable secrets, or given up.
fn rehearsed(plan: &Plan, snapshot: &Snapshot) -> bool {
    let progress = &snapshot.progress;
    let rehearsal = &progress.rotation.rehearsal;
    let capacity = progress.capacity.least_per_cent(plan).is_some_and(|reached| reached >= plan.policy.least_capacity);
    let databases = plan.databases.iter().all(|database| match progress.promotion.copies.get(&database.name) {
        Some(copy) if copy.failed.is_some() => true,
        // A copy that nobody can log in to is given up with its secrets, not waited for until the deadline.
        Some(copy) => {
            copy.promoted_at.is_some() && (rehearsal.proven.contains_key(&database.name) || nobody_logs_in(plan, rehearsal, &database.name))
        }
        None => false,
    });
    let secrets = plan.secrets.iter().all(|secret| {
        let copy_failed = progress.promotion.copies.get(&secret.database).is_some_and(|copy| copy.failed.is_some());
        let step = rehearsal.secrets.get(&secret.name);
        copy_failed
            || step.is_some_and(|step| step.failed.is_some() || (step.repointed_at.is_some() && (!secret.rotate || step.rotated_at.is_some())))
    });
    capacity && databases && secrets && progress.drill.announced_at.is_some()
}

/// No secret of the plan opens the database, or each that does was given up.
fn nobody_logs_in(plan: &Plan, rehearsal: &RehearsalProgress, database: &str) -> bool {
    let mut secrets = plan.secrets.iter().filter(|secret| secret.database == database);
    secrets.all(|secret| rehearsal.secrets.get(&secret.name).is_some_and(|step| step.failed.is_some()))
}

/// Baseline given back and verified, nothing owed, STOP gone.
fn undone(snapshot: &Snapshot, run: &Run) -> bool {
    let traffic = &snapshot.progress.traffic;
    let stopped = traffic.stop_asked_at.is_some() && traffic.released_at.is_none();
    let owed = snapshot.obligations.values().any(|obligation| !matches!(obligation.what, Owed::Capacity));
    snapshot.baseline.is_empty() && !owed && !stopped && snapshot.progress.restore.restored_at.is_some_and(|at| at >= run.phase_since)
}

fn called_back(run: &Run) -> Option<String> {
    run.words.stand_down.as_ref().map(|said| format!("stood down: {} said so", said.by))
}

fn checkers_say_down(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> bool {
    plan.observers
        .iter()
        .filter(|observer| matches!(observer.kind, ObserverKind::Checkers { .. }))
        .any(|observer| snapshot.evidence.word(plan, &observer.name, now).0 == Word::Down)
}

/// Writes the step into the head, with what goes with it.
fn take(plan: &Plan, snapshot: &Snapshot, run: &Run, step: Step, said: String, verdict: &Verdict, now: Timestamp) -> Result<Advance, Illegal> {
    let mut head = snapshot.head.clone();
    let mut run = run.clone();
    run.step(step, now)?;
    match step {
        Step::Confirm => run.confirmed_at = Some(verdict.confirmed_at(plan, now).unwrap_or(now)),
        Step::Commit => {
            run.committed_at = Some(now);
            // A failback's is within the standby's service.
            head.serving = Place::Standby;
        }
        Step::StandDown => {
            // Until the first promotion even the point of no return can be taken back.
            head.serving = Place::Primary;
            head.cool_down_until = now.saturating_add(plan.policy.cool_down).ok();
        }
        Step::Suspect | Step::RealFailure => run.first_down = verdict.first_down().or(Some(now)),
        Step::ComeHome => {
            run.came_home_at = Some(now);
            head.serving = Place::Primary;
            // Observers that saw a workload without a database need a while to see it well again.
            head.cool_down_until = now.saturating_add(plan.policy.cool_down).ok();
        }
        Step::Complete | Step::Restored | Step::Hold | Step::Restore | Step::Synchronise | Step::Switch | Step::Abort => {}
    }
    head.run = Some(run);
    Ok(Advance { head, said })
}

/// What the run waits for and what leads on, for the status: no phase is a dead end.
pub fn way_on(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> String {
    let verdict = snapshot.evidence.judge(plan, now);
    let Some(run) = snapshot.head.open_run() else {
        return match snapshot.head.serving {
            Place::Primary => format!("peace: {} of {} observers say Up; `drill` or `failover` start a run", verdict.up.len(), sources(plan)),
            Place::Standby => match crate::fold::refused_home(plan, snapshot, now) {
                None => "the standby serves; `failback` starts the way home".to_owned(),
                Some(why) => format!("the standby serves; `failback` starts the way home, which is not open yet: {why}"),
            },
        };
    };
    match (run.mode, run.phase) {
        (Mode::Failover, Phase::Suspected) => {
            format!(
                "{} of {} observers say Down, the quorum is {}; `failover`{} goes on, `stand-down` goes back",
                verdict.down.len(),
                sources(plan),
                plan.policy.quorum,
                if plan.policy.approval { " or `approve`" } else { "" }
            )
        }
        (Mode::Failover, Phase::Confirmed) => match blocked(plan, snapshot, run, &verdict, now) {
            Some(why) => format!("waits: {why}; `stand-down` goes back"),
            None => "the point of no return is due with the next nudge; `hold` or `stand-down` stop it".to_owned(),
        },
        (Mode::Failover, Phase::Activating) => {
            format!("waits: {}; `switch-anyway` opens traffic without the rest", missing(plan, snapshot).join(", "))
        }
        (Mode::Failover, Phase::StoodDown) | (Mode::Drill, Phase::Restoring) => {
            "scale-down restores the baseline with each tick until it is verified".to_owned()
        }
        (Mode::Drill, Phase::Holding) => "validates and holds; `stand-down` ends it early".to_owned(),
        (Mode::Failback, _) => home::way_on(plan, snapshot, run, now),
        (Mode::Drill, _) => "scales up and rehearses; `stand-down` ends it early, the deadline in any case".to_owned(),
        (_, phase) => format!("{phase:?}"),
    }
}

/// Who says Down.
fn names(verdict: &Verdict) -> String {
    let names: Vec<&str> = verdict.down.keys().filter_map(|source| verdict.speakers.get(source).map(String::as_str)).collect();
    names.join(", ")
}

fn sources(plan: &Plan) -> usize {
    plan.observers.iter().map(|observer| observer.source()).collect::<std::collections::BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests;
