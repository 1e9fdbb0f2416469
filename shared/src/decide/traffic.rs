//! When the primary is held out of traffic, and when the standby's traffic is open.
//!
//! ```text
//! home    a failback's STOP goes once the primary can serve; users are home when their name leads there
//! STOP    absent ── ask ──► put ──► seen: held out        the record comes first, so that no STOP is ever forgotten
//!         in place ── take the word back ──► remove ──► seen: released        nobody commits on a STOP that is about to go
//! ```
//!
//! Each arrow is a turn, with a fresh look at the journal. So whoever removes STOP saw the run stood down *after* the word was
//! taken back, and whoever confirms that run again later finds no hold-out to commit on.

pub mod home;

use std::convert::Infallible;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::Decision;
use crate::advance::{Blocked, blocked};
use crate::plan::Plan;
use crate::ports::{CallError, Fetched, Resolved};
use crate::run::{Mode, Phase, Run};
use crate::state::{FenceStep, Place, Snapshot};

/// Between two attempts to fence one writer: a dark Region is asked once a minute.
pub const FENCE_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// The next step for the STOP object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopStep {
    /// Record that STOP may be in place from here on.
    Ask,
    Put,
    /// Record that it was seen in place.
    HoldOut,
    /// Record that nobody may count on it any more.
    TakeBack,
    Remove,
    /// Record that it was seen absent.
    Release,
}

/// What is due for the STOP object, seen `present` or not. One step at a time: each is recorded or seen before the next.
///
/// It stands from the hold-out in Confirmed for as long as the standby serves. Once it has been asked for in Confirmed it
/// stays: a veto that returns for a moment (a judgement of a replica that aged) must not move users back and forth.
pub fn stop(plan: &Plan, snapshot: &Snapshot, present: bool, now: Timestamp) -> Decision<StopStep, Blocked, Infallible> {
    let act = |step| Decision::Act(vec![step]);
    let traffic = &snapshot.progress.traffic;
    let asked = traffic.stop_asked_at.is_some() && traffic.released_at.is_none();
    let wanted = match snapshot.head.open_run() {
        // A drill never touches traffic: neither to put STOP nor to take away what somebody put by hand.
        Some(run) if run.mode == Mode::Drill => return Decision::Done,
        Some(run) if run.phase == Phase::Confirmed && !(asked && present) => {
            let verdict = snapshot.evidence.judge(plan, now);
            match blocked(plan, snapshot, run, &verdict, now) {
                None | Some(Blocked::NotHeldOut) => true,
                Some(_) if traffic.held_out_at.is_some() => true,
                Some(why) => return Decision::Wait(why),
            }
        }
        Some(run) if run.phase == Phase::Confirmed => true,
        _ => snapshot.head.serving == Place::Standby && !home::lets_home(plan, snapshot),
    };
    match (wanted, present) {
        (true, _) if !asked => act(StopStep::Ask),
        (true, false) => act(StopStep::Put),
        (true, true) if traffic.held_out_at.is_none() => act(StopStep::HoldOut),
        (false, _) if traffic.held_out_at.is_some() => act(StopStep::TakeBack),
        (false, true) => act(StopStep::Remove),
        (false, false) if asked => act(StopStep::Release),
        (true, true) | (false, false) => Decision::Done,
    }
}

/// Where users' name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    At(Place),
    Unknown(String),
}

/// Compares what users' name stands for with what the standby's stands for.
///
/// One address in common is enough: a load balancer with many answers with a choice of them, and no address belongs to two
/// Regions.
pub fn users(record: &Result<Resolved, CallError>, standby: &Result<Resolved, CallError>, standby_name: &str) -> Users {
    let record = match record {
        Ok(record) => record,
        Err(error) => return Users::Unknown(error.to_string()),
    };
    let name = standby_name.trim_end_matches('.');
    if record.names.iter().any(|alias| alias.eq_ignore_ascii_case(name)) {
        return Users::At(Place::Standby);
    }
    match standby {
        Ok(standby) if record.addresses.is_disjoint(&standby.addresses) => Users::At(Place::Primary),
        Ok(_) => Users::At(Place::Standby),
        Err(error) => Users::Unknown(error.to_string()),
    }
}

/// What an opening still lacks. Each is one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    Promotion { database: String },
    Proof { database: String },
    Secret { name: String },
    CapacityUnseen,
    Capacity { reached: u32, least: u32 },
    UsersAtPrimary { record: String },
    UsersUnknown { record: String, why: String },
    NotServing { url: String, why: String },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Promotion { database } => write!(f, "database {database} is not promoted"),
            Lack::Proof { database } => write!(f, "database {database} is not proven writable"),
            Lack::Secret { name } => write!(f, "secret {name} is not repointed"),
            Lack::CapacityUnseen => f.write_str("capacity has not been looked at"),
            Lack::Capacity { reached, least } => write!(f, "capacity is at {reached} %, the plan asks for {least} %"),
            Lack::UsersAtPrimary { record } => write!(f, "{record} still answers the primary; Route 53 moves it when it sees STOP"),
            Lack::UsersUnknown { record, why } => write!(f, "where {record} leads is unknown ({why})"),
            Lack::NotServing { url, why } => write!(f, "{url} does not prove that the standby serves: {why}"),
        }
    }
}

/// Everything that an opening lacks, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingOn(pub Vec<Lack>);

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lacks: Vec<String> = self.0.iter().map(Lack::to_string).collect();
        write!(f, "traffic is not open: {}", lacks.join(", "))
    }
}

/// What other parts owe before users are let in. The operator's `switch-anyway` waives it, not the two facts of an opening:
/// that users' name leads to the standby, and that it answers there.
pub fn owed(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Vec<Lack> {
    if run.words.switch_anyway.is_some() {
        return Vec::new();
    }
    let progress = &snapshot.progress;
    let mut lacks = Vec::new();
    for database in &plan.databases {
        let name = || database.name.clone();
        if progress.promotion.databases.get(&database.name).is_none_or(|step| step.promoted_at.is_none()) {
            lacks.push(Lack::Promotion { database: name() });
        } else if plan.secrets.iter().any(|secret| secret.database == database.name) && !progress.rotation.proven.contains_key(&database.name) {
            lacks.push(Lack::Proof { database: name() });
        }
    }
    let repointed = |name: &str| progress.rotation.secrets.get(name).is_some_and(|step| step.repointed_at.is_some());
    lacks.extend(plan.secrets.iter().filter(|secret| !repointed(&secret.name)).map(|secret| Lack::Secret { name: secret.name.clone() }));
    match progress.capacity.least_per_cent(plan) {
        None => lacks.push(Lack::CapacityUnseen),
        Some(reached) if reached < plan.policy.least_capacity => lacks.push(Lack::Capacity { reached, least: plan.policy.least_capacity }),
        Some(_) => {}
    }
    lacks
}

/// The step of an opening: there is one, to say that it is open. Nothing is switched here, since Route 53 moved users when
/// it saw STOP; `served` is absent while others still owe something, since nobody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open;

pub fn opening(plan: &Plan, owed: Vec<Lack>, users: &Users, served: Option<&Fetched>) -> Decision<Open, WaitingOn, Infallible> {
    let record = || plan.traffic.record.clone();
    let mut lacks = owed;
    match users {
        Users::At(Place::Standby) => {}
        Users::At(Place::Primary) => lacks.push(Lack::UsersAtPrimary { record: record() }),
        Users::Unknown(why) => lacks.push(Lack::UsersUnknown { record: record(), why: why.clone() }),
    }
    lacks.extend(served.and_then(|served| not_serving(plan, served)));
    match served {
        Some(_) if lacks.is_empty() => Decision::Act(vec![Open]),
        _ => Decision::Wait(WaitingOn(lacks)),
    }
}

fn not_serving(plan: &Plan, served: &Fetched) -> Option<Lack> {
    let why = unhealthy(served, &plan.traffic.healthy_body)?;
    Some(Lack::NotServing { url: plan.traffic.healthy_url.clone(), why })
}

/// Why an answer of a health page proves no service.
fn unhealthy(served: &Fetched, expected: &str) -> Option<String> {
    Some(match served {
        Fetched::Answered { status: 200, body } if body.contains(expected) => return None,
        Fetched::Answered { status: 200, .. } => format!("it answered 200 without `{expected}` in its body"),
        Fetched::Answered { status, .. } => format!("it answered {status}"),
        Fetched::Silent(why) | Fetched::NotAsked(why) => why.clone(),
    })
}

/// Whether an old writer is to be fenced now: from the first attempt to promote until done, once a minute. It never blocks an
/// opening: the primary is out of traffic already, and may be dark for days.
///
/// Not from the point of no return itself: between it and the first attempt the operator can still stand down, and would get
/// back a primary without its database. So nothing that was fenced ever has to be unfenced.
pub fn fence_is_due(snapshot: &Snapshot, step: Option<&FenceStep>, now: Timestamp) -> bool {
    let attempted = snapshot.progress.promotion.databases.values().any(|database| database.promote_attempt_at.is_some());
    // A failback that was given up after its promotion leaves an old writer behind again.
    let attempted = attempted || home::abandoned(snapshot);
    let rested = |step: &FenceStep| step.last_at.is_none_or(|at| now.duration_since(at) >= FENCE_AGAIN || now < at);
    snapshot.head.serving == Place::Standby && attempted && step.is_none_or(|step| step.done_at.is_none() && rested(step))
}

#[cfg(test)]
mod tests;
