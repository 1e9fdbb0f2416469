//! A failback in which a call fails, or whose nudges are lost, doubled, late and shuffled.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use relight::run::Mode::{Failback, Failover};
use relight::run::Phase::{Closed, Synchronised};
use relight::state::Place;
use relight_suites::{Control, Delivery, End, PLAN, minutes, phase, reported};
use relight_world::{Call, Fault};

use crate::failed_over;

/// A failback from its order to its end, in as many ways as nudges can arrive; the word is said as often as it takes.
async fn whole(control: &mut Control) -> bool {
    for _ in 0..80 {
        match phase(&control.world) {
            Some((Failback, Closed)) if reported(&control.world) => return true,
            Some((Failover, _)) => control.order("failback").await,
            Some((Failback, Synchronised)) => control.order("switch-home").await,
            _ => {}
        }
        control.run_for(SignedDuration::from_secs(45)).await;
    }
    false
}

/// The end without the time that is in the names of what was set aside: the order that opened it may have come a minute later.
fn end_of(control: &Control) -> String {
    const STAMP: usize = "20260105t000500z".len();
    let end = End::of(&control.world);
    assert_eq!((end.run, end.passed), (Some((Failback, Closed)), Some(true)));
    let mut text = format!("{end:#?}");
    let mut from = 0;
    while let Some(at) = text[from..].find("-left-") {
        from += at + "-left-".len();
        text.replace_range(from..from + STAMP, "");
    }
    text
}

/// Every function's own suite makes each of its calls fail in each way. What only all of them together can show is sampled: what
/// changes AWS fails in each way, once the first time, once the last and once between; a look fails once, in one way.
fn sample(calls: &[Call], place: Place) -> Vec<(usize, Fault)> {
    const FAULTS: [Fault; 3] = [Fault::LostAnswer, Fault::Silence, Fault::Throttled];
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, call) in calls.iter().enumerate().filter(|(_, call)| call.place == place) {
        kinds.entry(call.operation).or_default().push(n);
    }
    let mut sample = Vec::new();
    for (kind, (operation, of)) in kinds.into_iter().enumerate() {
        let ends = [of[0], of[of.len() - 1], of[of.len() / 2]];
        match ["Describe", "Get", "Query", "Head", "Position", "Behind", "Login"].iter().any(|look| operation.contains(look)) {
            true => sample.push((ends[2], FAULTS[kind % 3])),
            false => sample.extend(ends.into_iter().zip(FAULTS)),
        }
    }
    sample
}

/// Of the calls whose operation is of interest.
pub(crate) async fn each_call_fails_once(plan: &str, place: Place, fewest: usize, of_interest: impl Fn(&str) -> bool) {
    let (mut control, _) = failed_over(plan, Delivery::one_turn()).await;
    let from = control.world.calls.log().len();
    assert!(whole(&mut control).await);
    control.run_for(minutes(3)).await;
    let expected = end_of(&control);
    let calls = control.world.calls.log().split_off(from);
    let mut sample = sample(&calls, place);
    sample.retain(|(n, _)| of_interest(calls[*n].operation));
    assert!(sample.len() > fewest, "only {} faults", sample.len());
    for (n, fault) in sample {
        let (mut control, _) = failed_over(plan, Delivery::one_turn()).await;
        control.world.calls.fault_at(n, fault);
        assert!(whole(&mut control).await, "{fault:?} at {:?}: {:?}", calls[n], phase(&control.world));
        control.run_for(minutes(3)).await;
        assert_eq!(end_of(&control), expected, "{fault:?} at call {n}, {:?}", calls[n]);
        assert!(!control.world.calls.fault_is_pending(), "call {n} was not made: {:?}", calls[n]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failback_ends_the_same_whichever_call_to_the_standby_fails_once() {
    each_call_fails_once(PLAN, Place::Standby, 25, |_| true).await;
}

#[tokio::test(start_paused = true)]
async fn a_failback_ends_the_same_whichever_call_to_the_primary_region_fails_once() {
    each_call_fails_once(PLAN, Place::Primary, 25, |_| true).await;
}

#[tokio::test(start_paused = true)]
async fn a_failback_ends_the_same_however_its_nudges_arrive() {
    let (mut control, _) = failed_over(PLAN, Delivery::one_turn()).await;
    assert!(whole(&mut control).await);
    control.run_for(minutes(3)).await;
    let expected = end_of(&control);
    for seed in 0..4 {
        let (mut control, _) = failed_over(PLAN, Delivery::prompt()).await;
        control.set_delivery(Delivery::unreliable(seed));
        assert!(whole(&mut control).await, "seed {seed}: {:?}", phase(&control.world));
        control.run_for(minutes(3)).await;
        assert_eq!(end_of(&control), expected, "seed {seed}");
    }
}
