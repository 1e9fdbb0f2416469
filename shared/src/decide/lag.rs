//! How far a replica was behind when the primary failed: what a promotion would lose.
//!
//! ```text
//!      5 min         first Down        confirmed
//! ──────┼───────────────┼───────────────────┼────►
//!       │   the last of these counts        │
//!       └───────────────┤                   │
//!                       └ more than 3 min: the worst until then counts
//! ```
//!
//! Later samples say nothing about the loss. PostgreSQL reports the time since the last replayed transaction, which grows
//! while the source is dead; so the number that counts is the last from before. Where the primary went on half alive,
//! until the quorum was complete, it may have taken writes: then the worst sample until that moment counts.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::ports::LagSample;
use crate::state::FrozenLag;

/// A sample older than this tells nothing about the moment that it is asked for.
pub const STALE: SignedDuration = SignedDuration::from_mins(5);
/// A quorum that took longer than this may have let a half-dead primary take writes meanwhile.
pub const SLOW_QUORUM: SignedDuration = SignedDuration::from_mins(3);

/// The window of samples that [`measure`] needs.
pub fn window(first_down: Timestamp, confirmed_at: Timestamp) -> (Timestamp, Timestamp) {
    (first_down.saturating_sub(STALE).unwrap_or(Timestamp::MIN), first_down.max(confirmed_at))
}

/// The lag that counts, with where it comes from. `replica` names its source.
///
/// The sample of the minute in which the primary failed counts as one from before. It can only make the lag look larger,
/// by less than a minute; leaving it out could miss two minutes of growth.
pub fn measure(replica: &str, samples: &[LagSample], first_down: Timestamp, confirmed_at: Timestamp) -> FrozenLag {
    let metric = format!("AWS/RDS ReplicaLag of {replica}");
    let unknown = |why: String| FrozenLag { seconds: None, sampled_at: None, source: why, first_down: Some(first_down) };
    let before = samples.iter().filter(|sample| sample.at <= first_down).max_by_key(|sample| sample.at);
    let Some(last) = before.filter(|sample| first_down.duration_since(sample.at) <= STALE) else {
        return unknown(format!("{metric} has no sample in the {STALE:#} before the primary was first seen down"));
    };
    let inactive = |sample: &LagSample| unknown(format!("{metric} was -1 at {}, which is replication inactive or unknown", sample.at));
    let Some(seconds) = last.seconds else { return inactive(last) };
    let known = |seconds: f64, at: Timestamp| FrozenLag {
        seconds: Some(seconds),
        sampled_at: Some(at),
        source: format!("{metric} at {at}"),
        first_down: Some(first_down),
    };
    if confirmed_at.duration_since(first_down) <= SLOW_QUORUM {
        return known(seconds, last.at);
    }

    let until: Vec<&LagSample> = samples.iter().filter(|sample| sample.at >= last.at && sample.at <= confirmed_at).collect();
    if until.iter().all(|sample| confirmed_at.duration_since(sample.at) > STALE) {
        return unknown(format!("{metric} has no sample in the {STALE:#} before the quorum was complete"));
    }
    let mut worst = (seconds, last.at);
    for sample in until {
        match sample.seconds {
            None => return inactive(sample),
            Some(seconds) if seconds > worst.0 => worst = (seconds, sample.at),
            Some(_) => {}
        }
    }
    known(worst.0, worst.1)
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
mod tests {
    use super::*;

    const DOWN: &str = "2026-01-05T00:10:30Z";

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// Samples as (minute past midnight, seconds), -1 as CloudWatch says it.
    fn samples(of: &[(i64, f64)]) -> Vec<LagSample> {
        let midnight = at("2026-01-05T00:00:00Z");
        of.iter()
            .map(|(minute, seconds)| LagSample { at: midnight + SignedDuration::from_mins(*minute), seconds: (*seconds >= 0.0).then_some(*seconds) })
            .collect()
    }

    fn measured(of: &[(i64, f64)], confirmed: &str) -> FrozenLag {
        measure("orders-replica", &samples(of), at(DOWN), at(confirmed))
    }

    #[test]
    fn the_last_sample_before_the_first_down_counts() {
        let lag = measured(&[(8, 400.0), (9, 7.0), (10, 4.0), (11, 900.0)], "2026-01-05T00:12:00Z");
        assert_eq!((lag.seconds, lag.sampled_at), (Some(4.0), Some(at("2026-01-05T00:10:00Z"))));
        assert_eq!(lag.first_down, Some(at(DOWN)));
    }

    #[test]
    fn samples_in_any_order_give_the_same_answer() {
        assert_eq!(measured(&[(10, 4.0), (8, 400.0)], "2026-01-05T00:12:00Z").seconds, Some(4.0));
    }

    #[test]
    fn a_slow_quorum_lets_the_worst_sample_until_then_count() {
        let series = [(10, 4.0), (11, 60.0), (12, 200.0), (13, 100.0), (15, 999.0)];
        assert_eq!(measured(&series, "2026-01-05T00:13:30Z").seconds, Some(4.0), "three minutes are not yet slow");
        assert_eq!(measured(&series, "2026-01-05T00:13:31Z").seconds, Some(200.0), "what came after the quorum never counts");
    }

    #[test]
    fn an_older_worse_sample_does_not_count_in_a_slow_quorum() {
        assert_eq!(measured(&[(8, 800.0), (10, 4.0), (13, 5.0)], "2026-01-05T00:14:00Z").seconds, Some(5.0));
    }

    #[test]
    fn no_sample_is_unknown() {
        let lag = measured(&[], "2026-01-05T00:12:00Z");
        assert_eq!(lag.seconds, None);
        assert!(lag.source.contains("no sample in the 5m before"), "{}", lag.source);
    }

    #[test]
    fn only_samples_from_after_the_failure_are_unknown() {
        assert_eq!(measured(&[(11, 1.0), (12, 1.0)], "2026-01-05T00:12:00Z").seconds, None);
    }

    #[test]
    fn a_stale_sample_is_unknown() {
        assert_eq!(measured(&[(5, 1.0)], "2026-01-05T00:12:00Z").seconds, None);
        assert_eq!(measured(&[(6, 1.0)], "2026-01-05T00:12:00Z").seconds, Some(1.0));
    }

    #[test]
    fn minus_one_is_unknown_and_an_older_number_does_not_stand_in() {
        let lag = measured(&[(9, 1.0), (10, -1.0)], "2026-01-05T00:12:00Z");
        assert_eq!(lag.seconds, None);
        assert!(lag.source.contains("-1 at 2026-01-05T00:10:00Z"), "{}", lag.source);
    }

    #[test]
    fn minus_one_before_a_slow_quorum_is_unknown() {
        assert_eq!(measured(&[(10, 1.0), (12, -1.0), (13, 2.0)], "2026-01-05T00:14:00Z").seconds, None);
    }

    #[test]
    fn samples_that_stop_before_a_slow_quorum_are_unknown() {
        assert_eq!(measured(&[(10, 1.0)], "2026-01-05T00:20:00Z").seconds, None);
    }

    #[test]
    fn a_quorum_dated_before_the_first_down_is_a_quick_one() {
        assert_eq!(measured(&[(10, 1.0)], "2026-01-05T00:05:00Z").seconds, Some(1.0));
        assert_eq!(window(at(DOWN), at("2026-01-05T00:05:00Z")), (at("2026-01-05T00:05:30Z"), at(DOWN)));
    }

    fn judged(seconds: Option<f64>) -> LagVerdict {
        let lag = FrozenLag { seconds, sampled_at: None, source: "the metric".to_owned(), first_down: None };
        judge("orders", &lag, SignedDuration::from_mins(5))
    }

    #[test]
    fn the_objective_itself_is_within_it_and_a_second_more_is_beyond() {
        assert!(matches!(judged(Some(0.0)), LagVerdict::WithinRpo(_)));
        assert!(matches!(judged(Some(300.0)), LagVerdict::WithinRpo(_)));
        assert!(matches!(judged(Some(300.1)), LagVerdict::BeyondRpo(_)));
    }

    #[test]
    fn what_is_no_duration_is_unknown() {
        for seconds in [None, Some(f64::NAN), Some(-1.0)] {
            assert!(matches!(judged(seconds), LagVerdict::Unknown(_)), "{seconds:?}");
        }
    }

    #[test]
    fn each_verdict_says_its_number_and_its_source() {
        assert_eq!(
            judged(Some(612.0)).to_string(),
            "replica of orders was 612 s behind when the primary was first seen down, the RPO is 300 s (the metric)"
        );
        assert_eq!(judged(None).to_string(), "nobody knows how far the replica of orders was behind, the RPO is 300 s: the metric");
    }
}
