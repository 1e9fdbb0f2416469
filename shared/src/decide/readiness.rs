//! Would a failover work right now?
//!
//! ```text
//! if it failed now   capacity, lag, clearance, takeover, rehearsal, users, vetoes: the very rules that a run asks, over a run that is supposed
//! only in peace      what is there and may be read, logins, observers, STOP, who listens, the stack's own bounds, the last drill
//! ```
//! What is judged here, each function saw with its own role ([`crate::look`]).
//!
//! Where a rule exists it is asked, not written again: readiness and a failover cannot disagree then, and a veto that somebody
//! adds to [`blocked`] is found here without a word more. What changes nothing in a failover is no finding.

mod clusters;
mod finding;
mod journal;
mod stack;
mod suppose;
#[cfg(test)]
mod tests;
mod things;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Decision;
use super::lag::measure;
use super::promotion::{Acceptance, Candidate, ClearanceRefusal, Cleared, CopyMove, NotCopied, Rehearsal, clear, rehearse};
use super::traffic::{StopStep, Users, stop, users};
use crate::look::{ClusterSight, ComputeSight, DatabaseSight, Read, SecretSight, TrafficSight};
use crate::plan::{Database, Plan};
use crate::ports::{CallError, Fetched, Found, GroupName, Instance, LagSample, Proxy, Resolved, Setback, Subscriber, Topic, Why};
use crate::run::Run;
use crate::state::{CopyStep, FrozenLag, Place, Snapshot};

pub use finding::{ClusterFinding, Finding, Severity, Unread};
pub use stack::Stack;
pub use things::things;

/// What the plan names in the standby Region, as it was found.
#[derive(Debug, Clone)]
pub struct Things {
    pub compute: ComputeSight,
    /// By the plan's name of the database.
    pub replicas: Found<String, Instance>,
    pub proxies: Found<String, Proxy>,
    pub aurora: ClusterSight,
    pub secrets: SecretSight,
    /// The STOP object, asked for without credentials.
    pub stop: Fetched,
}

/// All that a look saw; of a function that gave no answer, why.
#[derive(Debug, Clone)]
pub struct Seen {
    pub compute: Result<ComputeSight, Silence>,
    pub databases: Result<DatabaseSight, Silence>,
    pub secrets: Result<SecretSight, Silence>,
    pub traffic: Result<TrafficSight, Silence>,
    pub audience: Read<Topic, Vec<Subscriber>>,
}

/// Why nothing is known of what a function looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    pub function: &'static str,
    /// Why its answer cannot be read; `None`: it did not answer.
    pub unread: Option<String>,
}

/// What a failover would meet, were the primary lost at `at`.
#[derive(Debug, Clone, PartialEq)]
pub struct Readiness {
    pub at: Timestamp,
    /// What would stop it first.
    pub findings: Vec<Finding>,
    pub estimates: Estimates,
}

/// What a failover would take and lose, as far as it was ever measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Estimates {
    /// The last good drill's recovery and the dwell before it. `None` before the first one.
    pub rto_seconds: Option<f64>,
    pub drilled_at: Option<Timestamp>,
    /// What each database's copy took in that drill from the call of its promotion until it was writable.
    pub writable_seconds: BTreeMap<String, f64>,
    /// The largest lag of a replica now. `None` where one is unknown, or there is no database.
    pub rpo_seconds: Option<f64>,
}

impl Readiness {
    pub fn blocking(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity() == Severity::Blocking).count()
    }

    pub fn warnings(&self) -> usize {
        self.findings.len() - self.blocking()
    }
}

/// Judges one look, in peace while the primary serves.
pub fn readiness(plan: &Plan, snapshot: &Snapshot, seen: &Seen, stack: &Stack, now: Timestamp) -> Readiness {
    let supposed = suppose::failover(plan, snapshot, now);
    let mut findings = stack.outside(plan);
    let outside = |resource: &str| findings.iter().any(|finding| matches!(finding, Finding::OutsideStack { resource: held, .. } if held == resource));
    // A role that was never given a resource may not read it either: one cause, one finding.
    let things = seen.things(plan).into_iter().filter(|finding| !finding.denied().is_some_and(&outside)).collect::<Vec<_>>();
    findings.extend(things);
    findings.extend(seen.compute.iter().flat_map(launches));
    let mut lags = Vec::new();
    for database in plan.databases.iter().filter(|database| seen.databases.is_ok() && !database.is_global()) {
        let lag = lag_now(database, seen, now, &mut findings);
        findings.extend(promotable(plan, &supposed, database, seen, &lag, now));
        lags.push(lag.seconds);
    }
    for aurora in seen.databases.iter().map(|databases| &databases.aurora) {
        for database in plan.databases.iter().filter(|database| database.is_global()) {
            let Some(lag) = clusters::lag_now(database, aurora, now, &mut findings) else { continue };
            findings.extend(clusters::takeover(plan, &supposed, database, aurora, &lag, now));
            lags.push(lag.seconds);
        }
    }
    findings.extend(things::unheard(plan));
    findings.extend(journal::logins(plan, snapshot, now));
    findings.extend(seen.traffic.iter().flat_map(|seen| traffic(plan, snapshot, seen, now)));
    findings.extend(stack.audience(plan, &seen.audience));
    findings.extend(journal::observers(plan, snapshot, now));
    findings.extend(journal::vetoes(plan, &supposed, now));
    findings.extend(journal::obligations(snapshot, now));
    let estimates = Estimates {
        rto_seconds: snapshot.memory.recovery_seconds.map(|took| took + plan.policy.dwell.as_secs_f64()),
        drilled_at: snapshot.memory.last_good_drill,
        writable_seconds: snapshot
            .memory
            .promotion_seconds
            .iter()
            .filter(|(name, _)| plan.database(name).is_some())
            .map(|(name, took)| (name.clone(), *took))
            .collect(),
        rpo_seconds: lags.iter().copied().try_fold(0.0_f64, |worst, lag| lag.map(|lag| worst.max(lag))).filter(|_| !lags.is_empty()),
    };
    findings.extend(journal::drills(plan, snapshot, &estimates, now));
    findings.sort_by_key(Finding::severity);
    Readiness { at: now, findings, estimates }
}

impl Seen {
    /// What is wrong with what the plan names, and who did not look at it.
    fn things(&self, plan: &Plan) -> Vec<Finding> {
        fn judged<T>(seen: &Result<T, Silence>, judge: impl FnOnce(&T) -> Vec<Finding>) -> Vec<Finding> {
            seen.as_ref().map_or_else(|silence| vec![Finding::NotLooked(silence.clone())], judge)
        }
        [
            judged(&self.compute, |seen| things::compute(plan, seen)),
            judged(&self.databases, |seen| {
                let (replicas, clusters) = (things::replicas(plan, &seen.replicas), clusters::there(plan, &seen.aurora));
                [replicas, clusters, things::proxies(plan, &seen.proxies), things::quotas(&seen.quotas)].concat()
            }),
            judged(&self.secrets, |seen| things::secrets(plan, seen)),
            judged(&self.traffic, |seen| things::stop(plan, &seen.public).into_iter().collect()),
        ]
        .concat()
    }

    fn replica(&self, database: &Database) -> Option<&Result<Option<Instance>, Arc<CallError>>> {
        self.databases.as_ref().ok()?.replicas.get(&database.name)
    }

    fn lag(&self, database: &Database) -> Option<&Result<Vec<LagSample>, Arc<CallError>>> {
        self.databases.as_ref().ok()?.lags.get(&database.name)
    }
}

fn launches(seen: &ComputeSight) -> Vec<Finding> {
    // Of a group that is not there Auto Scaling tells nothing, by an error.
    let absent = |group: &GroupName| matches!(seen.groups.get(group), Some(Ok(None)));
    let one = |(group, launch): (&GroupName, &Result<Option<Setback>, Arc<CallError>>)| match launch {
        _ if absent(group) => None,
        Ok(setback) => setback.clone().map(|setback| Finding::NotLaunched { group: group.clone(), setback }),
        Err(error) => Some(Finding::unreadable(format!("launches of group/{group}"), error)),
    };
    seen.launches.iter().filter_map(one).collect()
}

/// The lag that a failure at this moment would be judged by. Where it could not be read that is said, and nothing is judged by it.
fn lag_now(database: &Database, seen: &Seen, now: Timestamp, findings: &mut Vec<Finding>) -> FrozenLag {
    match seen.lag(database) {
        Some(Ok(samples)) => measure(database, samples, now, now),
        Some(Err(error)) => {
            findings.push(Finding::unreadable(format!("lag of {}", database.replica), error));
            FrozenLag { source: error.to_string(), first_down: Some(now), ..FrozenLag::default() }
        }
        None => FrozenLag { source: "nobody looked".to_owned(), first_down: Some(now), ..FrozenLag::default() },
    }
}

/// What speaks against promoting a replica now, and against rehearsing it as well as RDS can.
fn promotable(plan: &Plan, supposed: &suppose::Supposed, database: &Database, seen: &Seen, lag: &FrozenLag, now: Timestamp) -> Vec<Finding> {
    let Some(Ok(Some(instance))) = seen.replica(database) else { return Vec::new() };
    let (name, replica) = (database.name.clone(), database.replica.clone());
    let mut findings = Vec::new();
    let unread = matches!(seen.lag(database), Some(Err(_)));
    match clear(&Candidate { plan, run: supposed.run(), database, lag, replica: Some(instance) }) {
        Decision::Refuse(ClearanceRefusal::UnknownLag(_)) if unread => {}
        Decision::Refuse(why) => findings.push(Finding::NotPromotable { database: name.clone(), replica: replica.clone(), why }),
        Decision::Wait(busy) => findings.push(Finding::Busy(busy)),
        Decision::Act(cleared) => findings.extend(cleared.into_iter().filter_map(|Cleared { lag, accepted }| {
            matches!(accepted, Some(Acceptance::Policy)).then(|| Finding::LossAccepted { database: name.clone(), lag })
        })),
        Decision::Done => {}
    }
    // A dead source turns it to `error`, which a failover must not mind; in peace nobody is dead.
    if let Some(status) = instance.replication.iter().find(|status| !matches!(status.as_str(), "replicating" | "stopped" | "terminated")) {
        findings.push(Finding::NotReplicating { replica: replica.clone(), status: status.clone() });
    }
    if let Some(why) = not_copied(plan, &suppose::drill(now), database, instance, now) {
        findings.push(Finding::RehearsedByRestore { database: name, replica: replica.clone(), why });
    }
    if let Some(class) = &instance.pending_class {
        findings.push(Finding::ClassPending { replica, class: class.clone() });
    }
    findings
}

/// Why a drill would restore a snapshot. What stops a promotion as well is said there.
fn not_copied(plan: &Plan, run: &Run, database: &Database, instance: &Instance, now: Timestamp) -> Option<NotCopied> {
    let step = CopyStep::default();
    let rehearsal = Rehearsal { plan, run, database, step: &step, replica: Some(instance), copy: None, snapshot: None, comparing: false, now };
    let Decision::Act(moves) = rehearse(&rehearsal) else { return None };
    moves.into_iter().find_map(|due| if let CopyMove::Snapshot { why, .. } = due { Some(why) } else { None })
}

fn traffic(plan: &Plan, snapshot: &Snapshot, seen: &TrafficSight, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = |name: &str, answer: &Result<Resolved, CallError>| match answer {
        Err(CallError { why: Why::NotFound(why), .. }) => Some(Finding::NoName { name: name.to_owned(), why: why.clone() }),
        Err(error) => Some(Finding::unreadable(format!("name {name}"), error)),
        Ok(_) => None,
    };
    let lies = match seen.stop.as_ref() {
        Err(error) => {
            findings.push(Finding::unreadable(format!("s3://{}/{}", plan.traffic.stop_bucket, plan.traffic.stop_key), error));
            false
        }
        // What a run in peace would take away.
        Ok(present) => {
            let due = stop(plan, snapshot, *present, now);
            *present && matches!(due, Decision::Act(steps) if steps.iter().any(|step| matches!(step, StopStep::Remove | StopStep::TakeBack)))
        }
    };
    if lies {
        findings.push(Finding::StopLies { bucket: plan.traffic.stop_bucket.clone(), key: plan.traffic.stop_key.clone() });
    }
    findings.extend(name(&plan.traffic.record, &seen.record));
    findings.extend(name(&plan.traffic.standby, &seen.standby));
    // With STOP in place they are where it sends them.
    if !lies && users(&seen.record, &seen.standby, &plan.traffic.standby) == Users::At(Place::Standby) {
        findings.push(Finding::UsersAtStandby { record: plan.traffic.record.clone() });
    }
    findings
}
