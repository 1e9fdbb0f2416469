//! What the journal says about the day on which the primary fails: logins, observers, vetoes, what is owed, drills.

use jiff::{SignedDuration, Timestamp};

use super::Estimates;
use super::finding::Finding;
use super::suppose::Supposed;
use crate::advance::Blocked;
use crate::decide::rotation::LOGIN_EVERY;
use crate::evidence::Word;
use crate::plan::{ActMode, ObserverKind, Plan};
use crate::state::Snapshot;

/// rotate-secret missed three of its looks.
const LOGIN_IS_OLD: SignedDuration = SignedDuration::from_secs(3 * LOGIN_EVERY.as_secs());
/// From one first Monday to the next it is five weeks at most.
pub(super) const DRILL_IS_OLD: SignedDuration = SignedDuration::from_hours(35 * 24);

pub(super) fn logins(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> Vec<Finding> {
    // Under a plan that only observes, nobody logs in.
    if plan.policy.mode == ActMode::Observe {
        return Vec::new();
    }
    let one = |secret: &crate::plan::Secret| {
        let name = secret.name.clone();
        match snapshot.memory.logins.get(&secret.name) {
            None => Some(Finding::NoLogin { secret: name }),
            Some(seen) if !seen.ok => Some(Finding::LoginFailed { secret: name, said: seen.said.clone() }),
            Some(seen) if now.duration_since(seen.at) > LOGIN_IS_OLD => Some(Finding::OldLogin { secret: name, at: seen.at }),
            Some(_) => None,
        }
    };
    let beat = |database: &crate::plan::Database| {
        let heard = snapshot.memory.heartbeats.get(&database.name).filter(|heard| database.heartbeat.is_some() && !heard.ok)?;
        Some(Finding::NoBeat { database: database.name.clone(), said: heard.said.clone() })
    };
    plan.secrets.iter().filter_map(one).chain(plan.databases.iter().filter_map(beat)).collect()
}

/// Whether enough would speak if the primary failed. An alarm speaks on a change only: its silence is no sign.
pub(super) fn observers(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> Vec<Finding> {
    let looks = |kind: &ObserverKind| matches!(kind, ObserverKind::Probe { .. } | ObserverKind::Checkers { .. });
    let word = |name: &str| snapshot.evidence.word(plan, name, now).0;
    let mut speaking: Vec<&str> = plan
        .observers
        .iter()
        .filter(|observer| observer.speaks_in_the_dark(&plan.standby) && (!looks(&observer.kind) || word(&observer.name) != Word::Unknown))
        .map(|observer| observer.source())
        .collect();
    speaking.sort_unstable();
    speaking.dedup();
    let down = snapshot.evidence.judge(plan, now).down;
    let enough = speaking.len() >= plan.policy.quorum;
    let one = |observer: &crate::plan::Observer| {
        let name = observer.name.clone();
        let last = snapshot.evidence.observers.get(&observer.name);
        match word(&observer.name) {
            Word::Unknown if looks(&observer.kind) => {
                let reason = last.map_or_else(|| "it never spoke".to_owned(), |last| last.reason.clone());
                Some(Finding::Silent { observer: name, last: last.map(|last| last.seen), reason, enough })
            }
            // Through one check two look, and the one that looked last knows better: an alarm does not speak again when all is well.
            Word::Down if down.contains_key(observer.source()) => {
                Some(Finding::SeesDown { observer: name, reason: last.map(|last| last.reason.clone()).unwrap_or_default() })
            }
            Word::Down | Word::Up | Word::Unknown => None,
        }
    };
    plan.observers.iter().filter_map(one).collect()
}

pub(super) fn vetoes(plan: &Plan, supposed: &Supposed, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if plan.policy.mode == ActMode::Observe {
        findings.push(Finding::OnlyObserves);
    }
    findings.extend(supposed.blocked(plan, now).map(|why| match why {
        Blocked::Held { by, until } => Finding::Held { by, until },
        other => Finding::Vetoed(other),
    }));
    findings
}

pub(super) fn obligations(snapshot: &Snapshot, now: Timestamp) -> Vec<Finding> {
    let late = snapshot.obligations.values().filter(|owed| now > owed.deadline);
    late.map(|owed| Finding::Overdue { what: owed.what.clone(), deadline: owed.deadline }).collect()
}

pub(super) fn drills(plan: &Plan, snapshot: &Snapshot, estimates: &Estimates, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    match snapshot.memory.last_good_drill {
        None => findings.push(Finding::NeverDrilled),
        Some(at) if now.duration_since(at) > DRILL_IS_OLD => {
            findings.push(Finding::DrilledLongAgo { at, days: now.duration_since(at).as_hours() / 24 })
        }
        Some(_) => {}
    }
    let objective = plan.objectives.rto.as_secs_f64();
    if let Some(seconds) = estimates.rto_seconds.filter(|seconds| *seconds > objective) {
        findings.push(Finding::TooSlow { seconds, objective });
    }
    findings
}
