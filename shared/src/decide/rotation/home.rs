//! What rotate-secret does in a failback: it alone logs in.
//!
//! ```text
//! Preparing     rows left behind, a table at a time;  how far the replica at home is behind
//! Synchronised  how far;  compared with the serving database;  by what its writes are closed;  secrets of the primary Region seen
//! Switching     writes closing, recorded ─► closed ─► last write at home ─► compared, where it was not ─┐ point of no return
//!               promoted at home ─► writes opened there, proven ─► secret written ─► logged in with  ◄──┘
//! Aborted       writes opened again
//! Restoring     the parameter given back that closed writes;  secrets replicated to the standby again
//! ```
//! MySQL and MariaDB are closed by a parameter, see [`gate`](super::gate).

use jiff::{SignedDuration, Timestamp};

use super::gate::closed_by;
use crate::advance::home::rebuilds;
use crate::plan::{Database, Plan, Secret};
use crate::ports::{OWN_TABLES, Table};
use crate::run::{Mode, Phase, Run};
use crate::state::{HomeDatabase, HomeGate, HomeSecretStep, HomeStep, Snapshot};

/// How often what is measured again and again is measured in a phase that may last for hours.
const MEASURE_EVERY: SignedDuration = SignedDuration::from_secs(50);
/// How often a comparison that found differences, or no common position, is made again.
const COMPARE_EVERY: SignedDuration = SignedDuration::from_mins(5);

const TELL_EVERY: SignedDuration = SignedDuration::from_secs(20);

/// A call that closes writes has ended after this time, whoever made it.
const CLOSES_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// One thing to do with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseMove {
    /// Compare the next tables of the old writer with the serving database.
    CompareLeft,
    MeasureLag,
    Compare,
    /// See by which parameter group writes can be closed.
    See,
    /// Record that writes may be closed from here on.
    Closing,
    Close,
    /// See whether the last write is at home.
    Reach,
    /// Open writes at home, where the setting came with the data, and prove that a row can be written.
    Prove,
    /// Open the standby's writes again.
    Reopen,
    /// Let the parameter group say what it said before: who was closed by it serves nobody any more.
    GiveBack,
}

/// One thing to do with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretMove {
    /// See that the primary Region has it.
    See,
    /// Write the host at home, with the login that works there.
    Write,
    Test,
    ReplicateAgain,
}

/// The secret that may close and open writes: that of the user who may alter the others, else the first that opens the
/// database.
pub fn admin_of<'a>(plan: &'a Plan, database: &Database) -> Option<&'a Secret> {
    let opens = || plan.secrets.iter().filter(|secret| secret.database == database.name);
    let is_admin = |secret: &&Secret| plan.secrets.iter().any(|other| other.admin.as_ref() == Some(&secret.name));
    opens().find(is_admin).or_else(|| opens().next())
}

/// What is due for a database, all of it side by side with the others.
pub fn database_due(snapshot: &Snapshot, database: &Database, now: Timestamp) -> Option<DatabaseMove> {
    let run = snapshot.head.open_run()?;
    let instances = snapshot.progress.promotion.home.get(&database.name).cloned().unwrap_or_default();
    let logins = snapshot.progress.rotation.home.databases.get(&database.name).cloned().unwrap_or_default();
    if rebuilds(snapshot) {
        let aside = instances.standby_left_at.is_some() && closed_by(snapshot, &database.name).is_some();
        return aside.then_some(DatabaseMove::GiveBack);
    }
    match (run.mode, run.phase) {
        // Aurora has the last row before anybody may write again: only the proof is left.
        (Mode::Failback, Phase::Preparing | Phase::Synchronised | Phase::Aborted) if database.is_global() => None,
        (Mode::Failback, Phase::Switching) if database.is_global() && run.committed_at.is_none() => None,
        (Mode::Failback, Phase::Preparing) => {
            let left = instances.left_endpoint.is_some() && logins.left_compared_at.is_none();
            left.then_some(DatabaseMove::CompareLeft).or_else(|| measure(&instances, &logins, now))
        }
        (Mode::Failback, Phase::Synchronised) => {
            measure(&instances, &logins, now).or_else(|| see(database, &logins, now)).or_else(|| compare(&logins, now))
        }
        (Mode::Failback, Phase::Switching) if run.committed_at.is_none() => pause(database, &logins),
        (Mode::Failback, Phase::Switching) => (instances.promoted_at.is_some() && logins.proven_at.is_none()).then_some(DatabaseMove::Prove),
        (Mode::Failback, Phase::Aborted) => {
            let again = now >= late_close(run) && !is_open(&logins, run);
            (logins.closing_at.is_some() && (logins.reopened_at.is_none() || again)).then_some(DatabaseMove::Reopen)
        }
        _ => None,
    }
}

fn measure(instances: &HomeStep, logins: &HomeDatabase, now: Timestamp) -> Option<DatabaseMove> {
    let stale = logins.lag.is_none_or(|lag| elapsed(lag.at, MEASURE_EVERY, now));
    (instances.replicating_at.is_some() && stale).then_some(DatabaseMove::MeasureLag)
}

fn see(database: &Database, logins: &HomeDatabase, now: Timestamp) -> Option<DatabaseMove> {
    let stale = logins.gate.as_ref().is_none_or(|gate| elapsed(gate.seen_at, MEASURE_EVERY, now));
    (database.is_mysql() && stale).then_some(DatabaseMove::See)
}

/// Whether the parameter group is told to say this. It is told again after a while: RDS takes its time, and somebody may have changed it.
pub fn tells(gate: &HomeGate, value: &str, now: Timestamp) -> bool {
    gate.told.as_ref().is_none_or(|(told, at)| told != value || elapsed(*at, TELL_EVERY, now))
}

fn compare(logins: &HomeDatabase, now: Timestamp) -> Option<DatabaseMove> {
    let again = logins.compared.as_ref().is_none_or(|seen| seen.equal != Some(true) && elapsed(seen.at, COMPARE_EVERY, now));
    again.then_some(DatabaseMove::Compare)
}

fn pause(database: &Database, logins: &HomeDatabase) -> Option<DatabaseMove> {
    if database.is_mysql() && logins.gate.is_none() {
        Some(DatabaseMove::See)
    } else if logins.closing_at.is_none() {
        Some(DatabaseMove::Closing)
    } else if logins.closed_at.is_none() {
        Some(DatabaseMove::Close)
    } else if logins.reached_at.is_none() {
        Some(DatabaseMove::Reach)
    } else {
        (logins.compared.as_ref().and_then(|seen| seen.equal).is_none()).then_some(DatabaseMove::Compare)
    }
}

/// What is due for a secret.
pub fn secret_due(snapshot: &Snapshot, secret: &Secret, now: Timestamp) -> Option<SecretMove> {
    let run = snapshot.head.open_run()?;
    let rotation = &snapshot.progress.rotation.home;
    let step = rotation.secrets.get(&secret.name).cloned().unwrap_or_default();
    if rebuilds(snapshot) {
        return step.replicated_at.is_none().then_some(SecretMove::ReplicateAgain);
    }
    match (run.mode, run.phase) {
        (Mode::Failback, Phase::Synchronised) => step.seen_at.is_none_or(|at| elapsed(at, MEASURE_EVERY, now)).then_some(SecretMove::See),
        (Mode::Failback, Phase::Switching) if rotation.databases.get(&secret.database).is_some_and(|database| database.proven_at.is_some()) => {
            written(&step)
        }
        _ => None,
    }
}

fn written(step: &HomeSecretStep) -> Option<SecretMove> {
    match (step.written_at, step.tested_at) {
        (None, _) => Some(SecretMove::Write),
        (Some(_), None) => Some(SecretMove::Test),
        (Some(_), Some(_)) => None,
    }
}

/// Whether a database whose writes were to be closed is open for good. A lease cannot stop a call that closes them and is
/// already under way: so they are opened at once, and again when none can be any more.
pub fn is_open(logins: &HomeDatabase, run: &Run) -> bool {
    logins.closing_at.is_none() || logins.reopened_at.is_some_and(|at| at >= late_close(run))
}

fn late_close(run: &Run) -> Timestamp {
    run.phase_since.saturating_add(CLOSES_WITHIN).unwrap_or(Timestamp::MAX)
}

pub fn is_own(table: &Table) -> bool {
    table.name.rsplit('.').next().is_some_and(|name| OWN_TABLES.contains(&name))
}

/// Whether anything is due by the journal alone.
pub fn unfinished(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> bool {
    plan.databases.iter().any(|database| database_due(snapshot, database, now).is_some())
        || plan.secrets.iter().any(|secret| secret_due(snapshot, secret, now).is_some())
}

/// While a failback is in one of these phases others wait for each of its steps; the rest is the ticks'.
pub fn is_urgent(snapshot: &Snapshot) -> bool {
    matches!(snapshot.phase(), Some((Mode::Failback, Phase::Switching | Phase::Aborted)))
}

/// A time in the future is a clock that jumped.
fn elapsed(at: Timestamp, lasting: SignedDuration, now: Timestamp) -> bool {
    !(SignedDuration::ZERO..lasting).contains(&now.duration_since(at))
}

#[cfg(test)]
mod tests;
