//! The drill's comparison of a disposable copy with the replica that it was made of: the same rows, seen at one position of the log.
//! rotate-secret's, since it alone logs in.
//!
//! ```text
//! copy available ──► compared ──► equal, or differing ────────────────────────┐
//!                       └── not alike, not read ──► again ──► time is up ─────┴──► ended: the copies are promoted
//! ```
//! Once promoted, a copy goes its own way: so the promotion waits, and a drill must not wait for ever. What a failover takes is counted
//! from the promotion on.

use jiff::{SignedDuration, Timestamp};

use super::home::admin_of;
use crate::decide::promotion::rehearsal_ends;
use crate::plan::{Database, Plan};
use crate::ports::{Compared, Difference};
use crate::run::{Mode, Phase, Run};
use crate::state::{CopyComparison, CopyStep, Progress, Snapshot};

/// What is due for the copy of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    Compare,
    /// The last attempt was a moment ago.
    Later,
    GiveUp(NotCompared),
}

/// Why a copy was not compared with its replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCompared {
    #[error("the copy is not compared with {replica}: no secret of the plan opens it")]
    NoSecret { replica: String },
    #[error("the copy is not compared with {replica}: no table can be, {why}; give tables a primary key, or correct `compare` in the plan")]
    NoTable { replica: String, why: String },
    #[error("the copy is not compared with {replica}: {why}")]
    Unreadable { replica: String, why: String },
    /// Tried again.
    #[error("the copy is not compared with {replica} yet: {why}")]
    Unsettled { replica: String, why: String },
    #[error("{last}; given up after {within:#}, and the drill goes on")]
    OutOfTime { last: String, within: SignedDuration },
    /// No failure: it is the way.
    #[error("the copy is not compared with {replica}: it was restored from a snapshot, which is no position of the replica's log")]
    Restored { replica: String },
    #[error("the copy is not compared with {replica}: rotate-secret recorded nothing before its promotion; its log says why")]
    Unrecorded { replica: String },
}

/// What two databases that were looked at came to, as the history and the report say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `None`: they were not seen alike.
    pub equal: Option<bool>,
    pub said: String,
}

pub fn verdict(database: &Database, compared: &Compared) -> Verdict {
    let replica = &database.replica;
    match compared {
        Compared::Equal { at, tables, rows } => {
            Verdict { equal: Some(true), said: format!("the copy equals {replica} at {at}: {rows} rows in {tables} table(s)") }
        }
        Compared::Differing { at, tables } => {
            Verdict { equal: Some(false), said: format!("the copy differs from {replica} at {at}: {}", list(tables)) }
        }
        Compared::Moving => Verdict { equal: None, said: format!("the copy was not seen at one position with {replica}: writes went on") },
    }
}

/// How the comparison of a copy stands once its drill is over; nothing where there was no copy to compare.
pub fn concluded(plan: &Plan, progress: &Progress, database: &Database) -> Option<CopyComparison> {
    let copy = progress.promotion.copies.get(&database.name)?;
    let available = copy.available_at.or(copy.promoted_at)?;
    let replica = database.replica.clone();
    let none = |why: NotCompared| CopyComparison { at: available, said: why.to_string(), ..CopyComparison::default() };
    if copy.is_restored() {
        return Some(none(NotCompared::Restored { replica }));
    }
    Some(match progress.rotation.rehearsal.compared.get(&database.name) {
        Some(seen) => seen.clone(),
        None if admin_of(plan, database).is_none() => none(NotCompared::NoSecret { replica }),
        None => none(NotCompared::Unrecorded { replica }),
    })
}

fn list(tables: &[Difference]) -> String {
    /// The journal's items are small; the rest is counted.
    const NAMED: usize = 20;
    let mut named: Vec<String> = tables.iter().take(NAMED).map(|table| table.between("in the replica", "in the copy")).collect();
    if tables.len() > NAMED {
        named.push(format!("and {} more tables", tables.len() - NAMED));
    }
    named.join("; ")
}

/// What is due at `now`; nothing where the copy is not there yet, is on its way to be a writer, or the comparison has ended.
pub fn due(plan: &Plan, snapshot: &Snapshot, database: &Database, now: Timestamp) -> Option<Due> {
    let run = snapshot.head.open_run().filter(|run| (run.mode, run.phase) == (Mode::Drill, Phase::Activating))?;
    let copy = snapshot.progress.promotion.copies.get(&database.name).filter(|copy| is_replica(copy))?;
    let available = copy.available_at?;
    let seen = snapshot.progress.rotation.rehearsal.compared.get(&database.name);
    if seen.is_some_and(|seen| seen.ended_at.is_some()) {
        return None;
    }
    // Nobody opens it: the report says so.
    admin_of(plan, database)?;
    let within = tried_for(plan, run, available);
    Some(match seen {
        _ if now.duration_since(available) >= within => {
            let never = || format!("the copy is not compared with {}: there was no time for it", database.replica);
            Due::GiveUp(NotCompared::OutOfTime { last: seen.map_or_else(never, |seen| seen.said.clone()), within })
        }
        Some(seen) if (SignedDuration::ZERO..again(plan)).contains(&now.duration_since(seen.at)) => Due::Later,
        _ => Due::Compare,
    })
}

/// Whether there is anything to do or to wait for.
pub fn unfinished(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> bool {
    plan.databases.iter().any(|database| due(plan, snapshot, database, now).is_some())
}

/// Whether the promotion of a copy waits at `now`: for its own comparison, or for another database's. They are promoted together, so
/// that no comparison takes the time of a step that is measured.
pub fn is_awaited(plan: &Plan, snapshot: &Snapshot, run: &Run, database: &Database, now: Timestamp) -> bool {
    let copies = &snapshot.progress.promotion.copies;
    let Some(available) = copies.get(&database.name).and_then(|copy| copy.available_at) else { return false };
    let pending = |database: &Database| {
        let ended = snapshot.progress.rotation.rehearsal.compared.get(&database.name).is_some_and(|seen| seen.ended_at.is_some());
        let may_come = copies.get(&database.name).is_none_or(is_replica);
        // A cluster of Aurora's is always restored.
        may_come && !database.is_global() && !ended && admin_of(plan, database).is_some()
    };
    plan.databases.iter().any(pending) && now.duration_since(available) < waited_for(plan, run, available)
}

/// It is there or will be, and is no writer yet. One that is restored never was a replica.
fn is_replica(copy: &CopyStep) -> bool {
    !copy.is_restored() && copy.failed.is_none() && copy.promote_asked_at.is_none() && copy.promote_called_at.is_none() && copy.promoted_at.is_none()
}

fn tried_for(plan: &Plan, run: &Run, available: Timestamp) -> SignedDuration {
    plan.policy.step_deadline.min(left(plan, run, available) / 3)
}

/// A little longer, for what rotate-secret has to say: and no longer, where it says nothing.
fn waited_for(plan: &Plan, run: &Run, available: Timestamp) -> SignedDuration {
    plan.policy.step_deadline.saturating_add(SignedDuration::from_mins(2)).min(left(plan, run, available) / 2)
}

/// What the rehearsal has for the comparison and the promotion together.
fn left(plan: &Plan, run: &Run, available: Timestamp) -> SignedDuration {
    rehearsal_ends(plan, run).duration_since(available).max(SignedDuration::ZERO)
}

/// Both sides are looked at for a while in each attempt; in between they are left alone.
fn again(plan: &Plan) -> SignedDuration {
    plan.policy.step_deadline / 15
}

#[cfg(test)]
mod tests;
