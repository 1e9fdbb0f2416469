//! A failback's steps, and what each waits for.
//!
//! ```text
//! Preparing ── replicating, rows left behind compared ──► Synchronised ── ready, the moment ──► Switching ── point of no return
//!      └──────────────────────────┴── stand-down, the Region is silent, writes pause too long ──┴──► Aborted       │ users home
//!                                                                                                           Restoring ◄┘
//! ```
//! The observers' Down does not abort it: they look at the workload of the primary Region, which has no database before the
//! promotion, so its health page may well say so. What tells of the Region is whether its control plane answers.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{called_back, names, undone};
use crate::decide::rotation::home::is_open;
use crate::evidence::Verdict;
use crate::plan::{Database, Plan};
use crate::run::{Phase, Run, Step};
use crate::state::{HomeDatabase, HomeStep, Snapshot};

/// A lag of more than one segment of the log would lengthen the pause of the writes.
pub const SMALL_LAG: u64 = 16 * 1024 * 1024;
/// For how long a look at the replica at home, at its lag or at a secret counts.
pub const SEEN_FOR: SignedDuration = SignedDuration::from_mins(3);

pub(super) fn due(plan: &Plan, snapshot: &Snapshot, run: &Run, verdict: &Verdict, now: Timestamp) -> Option<(Step, String)> {
    if matches!(run.phase, Phase::Preparing | Phase::Synchronised | Phase::Switching)
        && let Some(why) = given_up(plan, snapshot, run, now)
    {
        return Some((Step::Abort, format!("aborted: {why}; the standby serves on")));
    }
    match run.phase {
        Phase::Preparing => unprepared(plan, snapshot, now)
            .is_empty()
            .then(|| (Step::Synchronise, "synchronised: the replica at home follows, and the rows left behind are known".to_owned())),
        Phase::Synchronised => {
            let moment = moment(plan, run, now)?;
            unready(plan, snapshot, now).is_empty().then(|| (Step::Switch, format!("switching: {moment}; writes pause")))
        }
        Phase::Switching if run.committed_at.is_none() => uncommitted(plan, snapshot, now)
            .is_empty()
            .then(|| (Step::Commit, "point of no return of the way home: the last write is there, the databases are promoted at home".to_owned())),
        Phase::Switching => {
            let home = snapshot.progress.traffic.home.home_at.is_some();
            home.then(|| (Step::ComeHome, "home: users are served by the primary".to_owned()))
        }
        Phase::Aborted => {
            still_closed(plan, snapshot, run).is_empty().then(|| (Step::Restored, "closed: the standby serves on, and takes writes".to_owned()))
        }
        Phase::Restoring if verdict.quorum_down(plan) => {
            Some((Step::RealFailure, format!("the primary fails: {}; the way home becomes a failover", names(verdict))))
        }
        Phase::Restoring => {
            let done = unrestored(plan, snapshot).is_empty() && undone(snapshot, run);
            done.then(|| (Step::Restored, "closed: both Regions are as they were before the failure".to_owned()))
        }
        _ => None,
    }
}

/// Why the way home is given up, if it is.
fn given_up(plan: &Plan, snapshot: &Snapshot, run: &Run, now: Timestamp) -> Option<String> {
    if attempted(snapshot) {
        // A writer is at home, or may be. As long as no user was let there, a person may go back to the standby, whose data
        // ends where home began.
        let said = run.words.stand_down.as_ref()?;
        return snapshot.progress.traffic.held_out_at.is_some().then(|| format!("{} said so, with no user home yet", said.by));
    }
    if run.words.stand_down.is_some() {
        return called_back(run).map(|said| said.trim_start_matches("stood down: ").to_owned());
    }
    if let Some((name, since)) = silent(snapshot)
        && now.duration_since(since) >= patience(plan, run)
    {
        return Some(format!("the primary Region does not answer about database {name} since {since}"));
    }
    if run.phase != Phase::Switching {
        return None;
    }
    let paused = now.duration_since(run.phase_since) >= plan.failback.write_pause;
    let differs = databases(plan, snapshot).find_map(|(database, step)| {
        let seen = step.compared.as_ref().filter(|seen| seen.equal == Some(false))?;
        Some(format!("database {}: {}", database.name, seen.said))
    });
    differs.or_else(|| paused.then(|| format!("writes paused for {:#} and the promotion at home had not begun", plan.failback.write_pause)))
}

/// Without writes a minute is long; before that the standby serves as if nothing were under way.
fn patience(plan: &Plan, run: &Run) -> SignedDuration {
    if run.phase == Phase::Switching { plan.policy.dwell } else { plan.policy.step_deadline }
}

/// Whether a promotion at home was even attempted: an attempt without an answer may have happened.
pub fn attempted(snapshot: &Snapshot) -> bool {
    snapshot.progress.promotion.home.values().any(|step| step.promote_attempt_at.is_some())
}

fn silent(snapshot: &Snapshot) -> Option<(&str, Timestamp)> {
    snapshot.progress.promotion.home.iter().filter_map(|(name, step)| Some((name.as_str(), step.silent_since?))).min_by_key(|(_, since)| *since)
}

/// Why writes may pause now: the operator's word, or the plan's window.
fn moment(plan: &Plan, run: &Run, now: Timestamp) -> Option<String> {
    if let Some(said) = &run.words.switch_home {
        return Some(format!("{} said so", said.by));
    }
    let (from, to) = plan.failback.hours()?;
    let time = now.to_zoned(TimeZone::UTC).time();
    let within = if from <= to { (from..to).contains(&time) } else { time >= from || time < to };
    within.then(|| format!("within the plan's window, {from:.0} to {to:.0} UTC"))
}

/// What a preparation still lacks, as sentences.
fn unprepared(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> Vec<String> {
    let mut lacks = Vec::new();
    for (database, step, logins) in both(plan, snapshot) {
        let name = &database.name;
        if database.is_global() {
            if step.replicating_at.is_none() {
                lacks.push(format!("the old cluster of {name} is no secondary that follows yet"));
            } else if step.lost_kept_at.is_none() {
                lacks.push(format!("the rows that {name} lost are not kept yet"));
            }
            continue;
        }
        if step.left_at.is_none() && !step.nothing_left {
            lacks.push(format!("the old writer of {name} is not set aside"));
        } else if !step.nothing_left && logins.left_compared_at.is_none() {
            lacks.push(format!("the rows that the old writer of {name} has for itself are not known"));
        }
        match step.replicating_at {
            None => lacks.push(format!("the replica of {name} at home does not replicate yet")),
            Some(_) => lacks.extend(lagging(name, &logins, now)),
        }
    }
    lacks
}

fn lagging(name: &str, logins: &HomeDatabase, now: Timestamp) -> Option<String> {
    match logins.lag.filter(|lag| now.duration_since(lag.at) <= SEEN_FOR) {
        None => Some(format!("how far the replica of {name} at home is behind is not known")),
        Some(lag) if lag.bytes > SMALL_LAG => Some(format!("the replica of {name} at home is {} MiB of log behind", lag.bytes >> 20)),
        Some(_) => None,
    }
}

/// What speaks against pausing writes now, as sentences.
pub fn unready(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> Vec<String> {
    let mut lacks = held(snapshot, now);
    for (database, step, logins) in both(plan, snapshot) {
        let name = &database.name;
        match (&step.why_not, step.looked_at.filter(|at| now.duration_since(*at) <= SEEN_FOR)) {
            (Some(why), _) => lacks.push(format!("database {name}: {why}")),
            (None, None) => lacks.push(format!("promote-replica has not looked at the replica of {name} at home lately; its tick does")),
            (None, Some(_)) => {}
        }
        if database.is_global() {
            // Aurora waits for the last row itself.
            continue;
        }
        lacks.extend(lagging(name, &logins, now));
        match &logins.compared {
            None => lacks.push(format!("database {name} has not been compared with its replica at home")),
            Some(seen) if seen.equal == Some(false) => lacks.push(format!("database {name}: {}", seen.said)),
            // Under load no common position may ever be found: then it is compared while writes pause.
            Some(_) => {}
        }
        lacks.extend(ungated(database, &logins, now));
    }
    for secret in &plan.secrets {
        let seen = snapshot.progress.rotation.home.secrets.get(&secret.name).and_then(|step| step.seen_at);
        if seen.is_none_or(|at| now.duration_since(at) > SEEN_FOR) {
            lacks.push(format!("secret {} was not seen in the primary Region", secret.name));
        }
    }
    lacks
}

/// Why writes of MySQL and MariaDB could not be closed.
fn ungated(database: &Database, logins: &HomeDatabase, now: Timestamp) -> Option<String> {
    let name = &database.name;
    let fresh = || logins.gate.as_ref().is_some_and(|gate| now.duration_since(gate.seen_at) <= SEEN_FOR);
    match &logins.no_gate {
        _ if !database.is_mysql() => None,
        Some(why) => Some(format!("database {name}: {why}")),
        None => (!fresh()).then(|| format!("by which parameter group the writes of {name} are closed is not known")),
    }
}

fn held(snapshot: &Snapshot, now: Timestamp) -> Vec<String> {
    let hold = snapshot.head.hold.iter().filter(|hold| now < hold.until);
    hold.map(|hold| format!("{} holds it until {}; the operator's `release` ends that", hold.by, hold.until)).collect()
}

/// What the point of no return still lacks, while writes pause.
pub fn uncommitted(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> Vec<String> {
    let mut lacks = held(snapshot, now);
    for (database, logins) in databases(plan, snapshot).filter(|(database, _)| !database.is_global()) {
        let name = &database.name;
        if logins.closed_at.is_none() {
            lacks.push(format!("writes of {name} are not closed"));
        } else if logins.reached_at.is_none() {
            lacks.push(format!("the last write of {name} is not at home"));
        } else if logins.compared.as_ref().and_then(|seen| seen.equal) != Some(true) {
            lacks.push(format!("database {name} was not seen equal at home"));
        }
    }
    lacks
}

/// What is missing before users are home, past the point of no return.
pub fn unswitched(plan: &Plan, snapshot: &Snapshot) -> Vec<String> {
    let mut lacks = Vec::new();
    for (database, step, logins) in both(plan, snapshot) {
        let name = &database.name;
        if step.promoted_at.is_none() {
            lacks.push(format!("database {name} is not promoted at home"));
        } else if logins.proven_at.is_none() {
            lacks.push(format!("database {name} is not proven writable at home"));
        }
    }
    for secret in &plan.secrets {
        if snapshot.progress.rotation.home.secrets.get(&secret.name).is_none_or(|step| step.tested_at.is_none()) {
            lacks.push(format!("secret {} of the primary Region does not log in yet", secret.name));
        }
    }
    let home = &snapshot.progress.traffic.home;
    if home.page_at.is_none() && plan.home_page().is_some() {
        lacks.push("the primary's health page does not answer yet".to_owned());
    } else if home.home_at.is_none() {
        lacks.push("users are not home".to_owned());
    }
    lacks
}

/// Databases whose writes may still be closed.
fn still_closed(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Vec<String> {
    databases(plan, snapshot)
        .filter(|(_, step)| !is_open(step, run))
        .map(|(database, _)| format!("writes of {} are not open again", database.name))
        .collect()
}

/// What the standby still lacks, once users are home.
pub(super) fn unrestored(plan: &Plan, snapshot: &Snapshot) -> Vec<String> {
    let mut lacks = Vec::new();
    for (database, step, _) in both(plan, snapshot) {
        let name = &database.name;
        if step.backups_on_at.is_none() {
            lacks.push(format!("database {name} has no backups at home yet"));
        }
        if step.replica_ready_at.is_none() {
            lacks.push(format!("the standby has no replica of {name} yet"));
        }
    }
    for secret in &plan.secrets {
        if snapshot.progress.rotation.home.secrets.get(&secret.name).is_none_or(|step| step.replicated_at.is_none()) {
            lacks.push(format!("secret {} is not replicated to the standby yet", secret.name));
        }
    }
    lacks
}

/// Whether a run rebuilds the standby: in Restoring, and where a suspicion in between was stood down.
pub fn rebuilds(snapshot: &Snapshot) -> bool {
    let stood_down = |run: &Run| run.phase == Phase::StoodDown && run.was_failback && run.came_home_at.is_some();
    snapshot.head.open_run().is_some_and(|run| run.phase == Phase::Restoring && run.came_home_at.is_some() || stood_down(run))
}

pub(super) fn way_on(plan: &Plan, snapshot: &Snapshot, run: &Run, now: Timestamp) -> String {
    let waits = |lacks: Vec<String>| format!("waits: {}", lacks.join(", "));
    match run.phase {
        Phase::Preparing => format!("{}; `stand-down` gives it up, the standby serves on", waits(unprepared(plan, snapshot, now))),
        Phase::Synchronised => {
            let lacks = unready(plan, snapshot, now);
            let ready = if lacks.is_empty() { "ready".to_owned() } else { waits(lacks) };
            let window = plan.failback.window.as_ref().map(|window| format!(", or the window {window} UTC")).unwrap_or_default();
            format!("{ready}; `switch-home`{window} pauses writes and goes home, `stand-down` gives it up")
        }
        Phase::Switching if run.committed_at.is_none() => {
            format!("writes pause since {}; {}; `stand-down` opens them again", run.phase_since, waits(uncommitted(plan, snapshot, now)))
        }
        Phase::Switching => {
            let back = match (attempted(snapshot), snapshot.progress.traffic.held_out_at) {
                (_, None) => "`failover` goes to the standby again",
                (true, Some(_)) => "`stand-down` goes back to the standby while no user is home",
                (false, Some(_)) => "`stand-down` goes back to the standby",
            };
            format!("{}; `switch-anyway` lets users home without the rest, {back}", waits(unswitched(plan, snapshot)))
        }
        Phase::Aborted => match still_closed(plan, snapshot, run) {
            lacks if lacks.is_empty() => "closes with the next nudge".to_owned(),
            lacks => format!("{}; rotate-secret opens them with each tick", waits(lacks)),
        },
        Phase::Restoring => {
            let mut lacks = unrestored(plan, snapshot);
            lacks.extend((!undone(snapshot, run)).then(|| "the baseline is not restored yet".to_owned()));
            format!("users are home; {}; each tick goes on with it", waits(lacks))
        }
        phase => format!("{phase:?}"),
    }
}

fn databases<'a>(plan: &'a Plan, snapshot: &'a Snapshot) -> impl Iterator<Item = (&'a Database, HomeDatabase)> {
    let steps = &snapshot.progress.rotation.home.databases;
    plan.databases.iter().map(|database| (database, steps.get(&database.name).cloned().unwrap_or_default()))
}

fn both<'a>(plan: &'a Plan, snapshot: &'a Snapshot) -> impl Iterator<Item = (&'a Database, HomeStep, HomeDatabase)> {
    let steps = &snapshot.progress.promotion.home;
    databases(plan, snapshot).map(|(database, logins)| (database, steps.get(&database.name).cloned().unwrap_or_default(), logins))
}

#[cfg(test)]
mod tests;
