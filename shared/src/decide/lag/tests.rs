use super::*;
use crate::ports::Lsn;
use crate::situations::plan;

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
    measure(&crate::situations::plan().databases[0], &samples(of), at(DOWN), at(confirmed))
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
    let lag = FrozenLag { seconds, source: "the metric".to_owned(), ..FrozenLag::default() };
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

fn reached(committed: &str) -> Reached {
    Reached { committed_at: Some(at(committed)), received: Lsn(0x5100), replayed: Lsn(0x5000), ..Reached::default() }
}

fn weighed(metric: &[(i64, f64)], reached: &Reached, beats: bool) -> FrozenLag {
    weigh(measured(metric, "2026-01-05T00:12:00Z"), "orders-replica", reached, beats, at(DOWN), at("2026-01-05T00:12:00Z"))
}

#[test]
fn what_the_replica_itself_has_counts_where_it_came_nearer_than_the_metric_knew() {
    let lag = weighed(&[(10, 40.0)], &reached("2026-01-05T00:10:20Z"), false);
    assert_eq!((lag.seconds, lag.sampled_at, lag.first_down, lag.asked), (Some(10.0), Some(at("2026-01-05T00:10:20Z")), Some(at(DOWN)), true));
    assert_eq!(
        lag.source,
        "orders-replica itself: the newest commit that it replayed is of 2026-01-05T00:10:20Z; 0/5100 of the log received, 0/5000 replayed"
    );
}

#[test]
fn commits_from_after_the_failure_are_no_lag_below_nothing() {
    assert_eq!(weighed(&[(10, 40.0)], &reached("2026-01-05T00:11:20Z"), false).seconds, Some(0.0));
}

#[test]
fn a_source_that_had_nothing_to_commit_does_not_make_the_metric_larger() {
    let lag = weighed(&[(10, 4.0)], &reached("2026-01-05T00:07:00Z"), false);
    assert_eq!((lag.seconds, lag.asked), (Some(4.0), true));
    assert!(lag.source.starts_with("AWS/RDS ReplicaLag"), "{}", lag.source);
}

#[test]
fn where_the_metric_is_unknown_the_replica_is_believed() {
    assert_eq!(weighed(&[], &reached("2026-01-05T00:10:00Z"), false).seconds, Some(30.0));
}

#[test]
fn an_old_commit_alone_cannot_tell_an_idle_source_from_a_dead_one() {
    let lag = weighed(&[], &reached("2026-01-05T00:05:29Z"), false);
    assert_eq!(lag.seconds, None);
    assert!(lag.source.contains("no sample in the 5m before") && lag.source.ends_with("as its source was idle or out of reach"), "{}", lag.source);
    assert_eq!(weighed(&[], &reached("2026-01-05T00:05:30Z"), false).seconds, Some(300.0));
}

#[test]
fn a_beat_or_a_level_log_tells_an_idle_source_from_a_dead_one() {
    let idle = reached("2026-01-05T00:01:00Z");
    let beaten = Reached { beat_at: Some(at("2026-01-05T00:10:00Z")), ..idle.clone() };
    assert_eq!(weighed(&[], &beaten, true).seconds, Some(30.0));
    let level = Reached { level_at: Some(at("2026-01-05T00:10:15Z")), ..idle };
    let lag = weighed(&[], &level, false);
    assert_eq!(lag.seconds, Some(15.0));
    assert!(lag.source.contains("had all of its source's log at"), "{}", lag.source);
}

#[test]
fn an_old_beat_counts_whatever_the_metric_says() {
    let broken = Reached { beat_at: Some(at("2026-01-05T00:00:30Z")), ..reached("2026-01-05T00:00:30Z") };
    assert_eq!(weighed(&[(10, 4.0)], &broken, true).seconds, Some(600.0));
    assert_eq!(weighed(&[(10, 4.0)], &broken, false).seconds, Some(4.0), "the plan has no heartbeat: a row of long ago tells nothing");
    let never = Reached { beat_at: None, ..broken };
    assert_eq!(weighed(&[(10, 4.0)], &never, true).seconds, Some(4.0), "no beat was ever written");
}

#[test]
fn a_slow_quorum_is_what_the_replica_is_measured_against_too() {
    let confirmed = "2026-01-05T00:14:00Z";
    let lag =
        weigh(measured(&[(10, 4.0), (13, 90.0)], confirmed), "orders-replica", &reached("2026-01-05T00:13:00Z"), false, at(DOWN), at(confirmed));
    assert_eq!(lag.seconds, Some(60.0));
}

#[test]
fn the_replicas_word_is_waited_for_where_it_may_change_the_verdict() {
    let mut plan = plan();
    let metric = |seconds| FrozenLag { seconds, ..FrozenLag::default() };
    let asks =
        |plan: &Plan, seconds, failed, since| asking(plan, &plan.databases[0], &metric(seconds), failed, SignedDuration::from_secs(since)).is_some();
    assert!(!asks(&plan, Some(4.0), false, 1), "within the objective, and no heartbeat");
    assert!(asks(&plan, Some(400.0), false, 1) && asks(&plan, None, false, 9));
    assert!(!asks(&plan, None, false, 10) && !asks(&plan, None, true, 1), "for so long only, and not in vain");
    plan.databases[0].heartbeat = Some("shop/orders/admin".to_owned());
    assert!(asks(&plan, Some(4.0), false, 1) && !asks(&plan, Some(4.0), false, 10));
    plan.secrets.clear();
    assert!(!asks(&plan, None, false, 1), "nobody can ask");
}
