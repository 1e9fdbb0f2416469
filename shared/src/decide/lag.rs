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
///
/// -1 says that nobody measured, which a replica that has just lost its source says as well: it may stand between the last
/// number and the first Down. Whoever was `n` seconds behind at a moment has everything from before that, so at the end he
/// has lost `n` and the time since at most. That bound stands in for the -1; without a number to reckon from the lag is unknown.
pub fn measure(replica: &str, samples: &[LagSample], first_down: Timestamp, confirmed_at: Timestamp) -> FrozenLag {
    measure_by(&format!("AWS/RDS ReplicaLag of {replica}"), samples, first_down, confirmed_at)
}

/// The same of another metric, which is named with what it is of.
pub fn measure_by(metric: &str, samples: &[LagSample], first_down: Timestamp, confirmed_at: Timestamp) -> FrozenLag {
    let unknown = |why: String| FrozenLag { seconds: None, sampled_at: None, source: why, first_down: Some(first_down) };
    let end = if confirmed_at.duration_since(first_down) > SLOW_QUORUM { confirmed_at } else { first_down };
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
    FrozenLag { seconds: Some(seconds), sampled_at: Some(at), source, first_down: Some(first_down) }
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
    fn minus_one_is_never_zero_the_time_since_the_last_number_counts_as_lost() {
        let lag = measured(&[(8, 5.0), (9, 1.0), (10, -1.0)], "2026-01-05T00:12:00Z");
        assert_eq!((lag.seconds, lag.sampled_at), (Some(1.0 + 90.0), Some(at("2026-01-05T00:09:00Z"))));
        assert!(lag.source.ends_with("at 2026-01-05T00:09:00Z and the 90 s since, in which it was -1"), "{}", lag.source);
    }

    #[test]
    fn minus_one_that_was_over_again_before_the_failure_does_not_count() {
        assert_eq!(measured(&[(8, 5.0), (9, -1.0), (10, 1.0)], "2026-01-05T00:12:00Z").seconds, Some(1.0));
    }

    #[test]
    fn minus_one_without_a_recent_number_is_unknown() {
        for series in [&[(10, -1.0)][..], &[(5, 1.0), (6, -1.0), (10, -1.0)], &[(10, -1.0), (11, 3.0)]] {
            let lag = measured(series, "2026-01-05T00:12:00Z");
            assert_eq!(lag.seconds, None, "{series:?}");
            assert!(lag.source.contains("-1 at 2026-01-05T00:10:00Z"), "{}", lag.source);
        }
    }

    #[test]
    fn minus_one_before_a_slow_quorum_counts_until_the_quorum() {
        assert_eq!(measured(&[(10, 1.0), (12, -1.0), (13, 2.0)], "2026-01-05T00:14:00Z").seconds, Some(2.0));
        assert_eq!(measured(&[(10, 1.0), (11, 3.0), (12, -1.0), (13, -1.0)], "2026-01-05T00:14:00Z").seconds, Some(3.0 + 180.0));
        assert_eq!(measured(&[(10, 1.0), (13, -1.0), (15, -1.0)], "2026-01-05T00:16:00Z").seconds, None, "the last number is six minutes old");
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
