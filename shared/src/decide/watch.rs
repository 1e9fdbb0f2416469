//! What the watcher makes of what it sees.
//!
//! A word that would be wrong in one direction is worth less than none: whatever fails on the watcher's own side, before
//! the primary was even asked, is [`Word::Unknown`].

use jiff::{SignedDuration, Timestamp};

use crate::evidence::{Evidence, PROBE_AGES, Word};
use crate::plan::{ObserverKind, Plan};
use crate::ports::{CallError, Fetched};
use crate::run::{Mode, Phase};
use crate::state::{Place, Snapshot};

/// A word that did not change is written again only after so long: often enough that it never ages (three times in
/// [`PROBE_AGES`], and with every tick), seldom enough that a poll does not write each time.
pub const REFRESH: SignedDuration = SignedDuration::from_secs(PROBE_AGES.as_secs() / 6);

/// What a probe says.
///
/// An answer is judged as Route 53's checkers judge it, 2xx and 3xx being healthy, so that two observers of one workload do
/// not contradict each other by definition. A name that does not resolve says Unknown and not Down: load balancers keep
/// their names while their Region is dark, so a missing name is a resolver in trouble or a plan with a typing error, and
/// neither is a reason to fail over.
pub fn probed(fetched: &Fetched, expected: &str) -> (Word, String) {
    match fetched {
        Fetched::NotAsked(why) => (Word::Unknown, format!("could not ask: {why}")),
        Fetched::Silent(why) => (Word::Down, why.clone()),
        Fetched::Answered { status, .. } if !(200..400).contains(status) => (Word::Down, format!("answered {status}")),
        Fetched::Answered { status, body } if !body.contains(expected) => (Word::Down, format!("answered {status} without `{expected}` in its body")),
        Fetched::Answered { status, .. } => (Word::Up, format!("answered {status}")),
    }
}

/// What the checkers' record says. Anything but the text that the plan names for Up is Down, since Route 53 answers the
/// secondary only when the health check fails; no text at all is Unknown.
pub fn verdict(texts: &Result<Vec<String>, CallError>, up: &str) -> (Word, String) {
    match texts {
        Err(error) => (Word::Unknown, error.to_string()),
        Ok(texts) if texts.is_empty() => (Word::Unknown, "the record has no text".to_owned()),
        Ok(texts) if texts.iter().any(|text| text == up) => (Word::Up, format!("the record says {up}")),
        Ok(texts) => (Word::Down, format!("the record says {}", texts.join(", "))),
    }
}

/// Whether the heartbeat may go to the primary Region: in peace, while nobody has seen it down. A failover makes no call
/// there but probes and fencing; a black hole would only hold the watcher up.
pub fn heartbeat_is_due(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> bool {
    let peace = !matches!(snapshot.phase(), Some((Mode::Failover, _))) && snapshot.head.serving == Place::Primary;
    let probes = plan.observers.iter().filter(|observer| matches!(observer.kind, ObserverKind::Probe { .. }));
    let seen_down = probes.clone().any(|probe| snapshot.evidence.word(plan, &probe.name, now).0 == Word::Down);
    peace && !seen_down && watched(plan).any(|name| needs_refresh(&snapshot.evidence, name, now))
}

/// Whether a word was last written so long ago that it is written again.
pub fn needs_refresh(evidence: &Evidence, observer: &str, now: Timestamp) -> bool {
    // A word from the future is a clock that jumped.
    evidence.observers.get(observer).is_none_or(|held| !(SignedDuration::ZERO..REFRESH).contains(&now.duration_since(held.seen)))
}

/// Whether the watcher keeps looking within its invocation: while its word decides what happens next.
pub fn keeps_looking(phase: Option<(Mode, Phase)>) -> bool {
    matches!(phase, Some((Mode::Failover, Phase::Suspected | Phase::Confirmed) | (Mode::Drill, _)))
}

fn watched(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.observers.iter().filter(|observer| !matches!(observer.kind, ObserverKind::Alarm { .. })).map(|observer| observer.name.as_str())
}

#[cfg(test)]
mod tests;
