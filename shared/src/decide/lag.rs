//! How far a replica was behind when the primary failed: what a promotion would lose.
//!
//! ```text
//!      5 min         first Down        confirmed
//! ──────┼───────────────┼───────────────────┼────►
//!       │   the last of these counts        │
//!       └───────────────┤                   │
//!                       └ more than 3 min: the worst until then counts
//! ```
//! A -1 at the end of it is bridged from the last number on, see [`measure`].
//!
//! Later samples say nothing about the loss. PostgreSQL reports the time since the last replayed transaction, which grows
//! while the source is dead; so the number that counts is the last from before. Where the primary went on half alive,
//! until the quorum was complete, it may have taken writes: then the worst sample until that moment counts.
//!
//! MySQL and MariaDB report how old what they apply is, by the time of its commit: 0 while nothing that arrived waits, whatever is still on its
//! way. So a heartbeat matters more there, and the sentence says what the metric counts.
//!
//! The replica itself knows more, once it is asked: a moment until which it has every commit. What was committed between that moment and
//! the failure is lost at most, see [`weigh`].

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::plan::{Database, Plan};
use crate::ports::{LagSample, Reached, Telling};
use crate::state::FrozenLag;

/// A sample older than this tells nothing about the moment that it is asked for.
pub const STALE: SignedDuration = SignedDuration::from_mins(5);
/// A quorum that took longer than this may have let a half-dead primary take writes meanwhile.
pub const SLOW_QUORUM: SignedDuration = SignedDuration::from_mins(3);

/// The window of samples that [`measure`] needs.
pub fn window(first_down: Timestamp, confirmed_at: Timestamp) -> (Timestamp, Timestamp) {
    (first_down.saturating_sub(STALE).unwrap_or(Timestamp::MIN), first_down.max(confirmed_at))
}

/// The lag that counts, with where it comes from.
///
/// The sample of the minute in which the primary failed counts as one from before. It can only make the lag look larger,
/// by less than a minute; leaving it out could miss two minutes of growth.
///
/// -1 says that nobody measured, which a replica that has just lost its source says as well: it may stand between the last
/// number and the first Down. Whoever was `n` seconds behind at a moment has everything from before that, so at the end he
/// has lost `n` and the time since at most. That bound stands in for the -1; without a number to reckon from the lag is unknown.
pub fn measure(database: &Database, samples: &[LagSample], first_down: Timestamp, confirmed_at: Timestamp) -> FrozenLag {
    let counts = if database.is_mysql() { " (of what had arrived)" } else { "" };
    measure_by(&format!("AWS/RDS ReplicaLag of {}{counts}", database.replica), samples, first_down, confirmed_at)
}

/// The same of another metric, which is named with what it is of.
pub fn measure_by(metric: &str, samples: &[LagSample], first_down: Timestamp, confirmed_at: Timestamp) -> FrozenLag {
    let unknown = |why: String| FrozenLag { source: why, first_down: Some(first_down), ..FrozenLag::default() };
    let end = end(first_down, confirmed_at);
    let mut samples: Vec<&LagSample> = samples.iter().filter(|sample| sample.at <= end && first_down.duration_since(sample.at) <= STALE).collect();
    samples.sort_by_key(|sample| sample.at);
    if samples.first().is_none_or(|sample| sample.at > first_down) {
        return unknown(format!("{metric} has no sample in the {STALE:#} before the primary was first seen down"));
    }
    let Some(newest) = samples.last().filter(|newest| end.duration_since(newest.at) <= STALE) else {
        return unknown(format!("{metric} has no sample in the {STALE:#} before the quorum was complete"));
    };

    let numbers: Vec<(f64, Timestamp)> = samples.iter().filter_map(|sample| Some((sample.seconds?, sample.at))).collect();
    let from = numbers.iter().rposition(|(_, at)| *at <= first_down);
    let last = numbers.last().filter(|(_, at)| end.duration_since(*at) <= STALE);
    let (Some(from), Some(&(last, last_at))) = (from, last) else {
        return unknown(format!(
            "{metric} was -1 at {}, which is replication inactive or unknown, and no number before it is recent enough",
            newest.at
        ));
    };
    let (mut seconds, mut at) = numbers[from..].iter().copied().fold((0.0, last_at), |worst, now| if now.0 >= worst.0 { now } else { worst });
    let mut source = format!("{metric} at {at}");
    if newest.seconds.is_none() {
        let since = end.duration_since(last_at);
        let bound = last + since.as_secs_f64();
        if bound > seconds {
            (seconds, at) = (bound, last_at);
            source = format!("{metric} at {at} and the {} s since, in which it was -1", since.as_secs());
        }
    }
    FrozenLag { seconds: Some(seconds), sampled_at: Some(at), source, first_down: Some(first_down), asked: false }
}

/// The moment up to which a loss is reckoned.
fn end(first_down: Timestamp, confirmed_at: Timestamp) -> Timestamp {
    if confirmed_at.duration_since(first_down) > SLOW_QUORUM { confirmed_at } else { first_down }
}

/// The lag that counts, once the replica itself was asked: the time from the moment until which it has every commit to the end. `beats`:
/// the plan has a row written each minute.
///
/// That time is never too short. It is too long where the source had nothing to commit, which it shares with the metric. So the
/// smaller of the two counts, and one that nothing but an old commit tells is none. Where a heartbeat's row was found there is no such
/// doubt, and what the replica says counts in any case.
pub fn weigh(metric: FrozenLag, replica: &str, reached: &Reached, beats: bool, first_down: Timestamp, confirmed_at: Timestamp) -> FrozenLag {
    let metric = FrozenLag { asked: true, ..metric };
    let Some((at, telling)) = reached.until() else { return metric };
    let behind = end(first_down, confirmed_at).duration_since(at).max(SignedDuration::ZERO);
    let certain = beats && reached.beat_at.is_some();
    let idle_or_dead = telling == Telling::Commit && behind > STALE;
    let counts = match metric.seconds {
        _ if certain => true,
        None => !idle_or_dead,
        Some(seconds) => behind.as_secs_f64() < seconds,
    };
    if !counts {
        let doubt = format!("{}; {replica} itself has replayed nothing committed since {at}, as its source was idle or out of reach", metric.source);
        return if metric.seconds.is_none() && idle_or_dead { FrozenLag { source: doubt, ..metric } } else { metric };
    }
    let what = match telling {
        Telling::Commit => "the newest commit that it replayed is of",
        Telling::Beat => "the newest beat that arrived is of",
        Telling::Level => "it had all of its source's log at",
    };
    let source = format!("{replica} itself: {what} {at}{}", reached.of_log());
    FrozenLag { seconds: Some(behind.as_secs_f64()), sampled_at: Some(at), source, ..metric }
}

/// For so long after the quorum the replica's own word is waited for.
pub const ASKED_FOR: SignedDuration = SignedDuration::from_secs(10);

/// Whether the replica's own word is to come before the metric is judged: where it would count in any case, or where the metric alone would
/// refuse. `failed`: it was asked in vain. `since` the quorum was complete.
pub fn asking(plan: &Plan, database: &Database, metric: &FrozenLag, failed: bool, since: SignedDuration) -> Option<Asking> {
    let opens = plan.secrets.iter().any(|secret| secret.database == database.name);
    let within = matches!(judge(&database.name, metric, plan.objectives.rpo), LagVerdict::WithinRpo(_));
    let wanted = opens && (database.heartbeat.is_some() || (!within && !failed));
    (wanted && since < ASKED_FOR).then(|| Asking { replica: database.replica.clone() })
}

/// The replica is being asked how far it came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{replica} is asked how far it came, by rotate-secret; after {ASKED_FOR:#} the metric alone counts")]
pub struct Asking {
    pub replica: String,
}

/// What a lag means against the objective. Each is a sentence with the number and its source.
#[derive(Debug, Clone, PartialEq)]
pub enum LagVerdict {
    WithinRpo(LagSentence),
    BeyondRpo(LagSentence),
    Unknown(LagSentence),
}

/// Everything that the sentence names.
#[derive(Debug, Clone, PartialEq)]
pub struct LagSentence {
    pub database: String,
    pub lag: FrozenLag,
    pub rpo: SignedDuration,
}

/// Judges a lag against the RPO. Exactly the RPO is within it.
pub fn judge(database: &str, lag: &FrozenLag, rpo: SignedDuration) -> LagVerdict {
    let sentence = LagSentence { database: database.to_owned(), lag: lag.clone(), rpo };
    match lag.seconds {
        // Neither a number that is none nor one from the future can be within anything.
        Some(seconds) if (0.0..=rpo.as_secs_f64()).contains(&seconds) => LagVerdict::WithinRpo(sentence),
        Some(seconds) if seconds > rpo.as_secs_f64() => LagVerdict::BeyondRpo(sentence),
        _ => LagVerdict::Unknown(sentence),
    }
}

impl fmt::Display for LagVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (LagVerdict::WithinRpo(LagSentence { database, lag, rpo })
        | LagVerdict::BeyondRpo(LagSentence { database, lag, rpo })
        | LagVerdict::Unknown(LagSentence { database, lag, rpo })) = self;
        let rpo = rpo.as_secs();
        match (self, lag.seconds) {
            (LagVerdict::WithinRpo(_) | LagVerdict::BeyondRpo(_), Some(seconds)) => {
                write!(f, "replica of {database} was {seconds:.0} s behind when the primary was first seen down, the RPO is {rpo} s ({})", lag.source)
            }
            _ => write!(f, "nobody knows how far the replica of {database} was behind, the RPO is {rpo} s: {}", lag.source),
        }
    }
}

#[cfg(test)]
mod tests;
