use super::*;
use crate::situations::{Situation, at, plan};

fn word(evidence: &Evidence, observer: &str, seconds: i64) -> Word {
    evidence.word(&plan(), observer, at(seconds)).0
}

#[test]
fn an_observer_that_never_spoke_is_unknown() {
    assert_eq!(word(&Evidence::default(), "probe", 0), Word::Unknown);
    assert_eq!(Evidence::default().judge(&plan(), at(0)).unknown.len(), 3);
}

#[test]
fn a_word_that_is_repeated_keeps_its_beginning() {
    let mut evidence = Evidence::default();
    assert_eq!(evidence.hear("probe", Word::Down, at(0), "a"), Heard::Changed);
    assert_eq!(evidence.hear("probe", Word::Down, at(60), "b"), Heard::Again);
    let held = &evidence.observers["probe"];
    assert_eq!((held.since, held.seen, held.reason.as_str()), (at(0), at(60), "b"));
}

#[test]
fn an_older_look_changes_nothing() {
    let mut evidence = Evidence::default();
    evidence.hear("probe", Word::Down, at(60), "new");
    assert_eq!(evidence.hear("probe", Word::Up, at(30), "old"), Heard::Older);
    assert_eq!(word(&evidence, "probe", 61), Word::Down);
}

#[test]
fn a_flapping_word_begins_anew_each_time() {
    let mut situation = Situation::peace();
    situation.both(Word::Down, 0, 50);
    situation.both(Word::Up, 55, 55);
    situation.both(Word::Down, 60, 100);
    assert_eq!(situation.journal.evidence.judge(&plan(), at(110)).confirmed_at(&plan(), at(110)), None);
    situation.both(Word::Down, 110, 120);
    assert_eq!(situation.journal.evidence.judge(&plan(), at(120)).confirmed_at(&plan(), at(120)), Some(at(120)));
}

#[test]
fn a_moment_of_not_knowing_breaks_the_dwell() {
    let mut situation = Situation::peace();
    situation.both(Word::Down, 0, 50);
    situation.hears("probe", Word::Unknown, 55).hears("probe", Word::Down, 58);
    assert_eq!(situation.journal.evidence.judge(&plan(), at(70)).confirmed_at(&plan(), at(70)), None);
}

#[test]
fn a_probes_word_ages_after_three_silent_minutes() {
    let mut evidence = Evidence::default();
    evidence.hear("probe", Word::Down, at(0), "");
    assert_eq!(word(&evidence, "probe", 180), Word::Down);
    assert_eq!(word(&evidence, "probe", 181), Word::Unknown);
}

#[test]
fn an_alarm_counts_for_half_an_hour_from_its_change() {
    let mut evidence = Evidence::default();
    evidence.hear_change("errors", Word::Down, at(0), "");
    assert_eq!(word(&evidence, "errors", 1800), Word::Down);
    assert_eq!(word(&evidence, "errors", 1801), Word::Unknown);
}

#[test]
fn a_later_change_of_an_alarm_replaces_it_even_into_the_same_state() {
    // The OK between the two is lost, or late.
    let mut evidence = Evidence::default();
    evidence.hear_change("errors", Word::Down, at(0), "");
    assert_eq!(evidence.hear_change("errors", Word::Down, at(1700), ""), Heard::Changed);
    assert_eq!(word(&evidence, "errors", 1900), Word::Down);
    assert_eq!(evidence.observers["errors"].since, at(1700));
    assert_eq!(evidence.hear_change("errors", Word::Up, at(900), ""), Heard::Older);
}

#[test]
fn an_alarm_delivered_twice_is_heard_once() {
    let mut evidence = Evidence::default();
    evidence.hear_change("errors", Word::Down, at(0), "");
    assert_eq!(evidence.hear_change("errors", Word::Down, at(0), ""), Heard::Again);
}

#[test]
fn an_alarm_without_data_is_unknown_and_an_ok_is_up() {
    let mut evidence = Evidence::default();
    evidence.hear_change("errors", Word::Down, at(0), "");
    evidence.hear_change("errors", Word::Unknown, at(10), "");
    assert_eq!(word(&evidence, "errors", 11), Word::Unknown);
    evidence.hear_change("errors", Word::Up, at(20), "");
    assert_eq!(word(&evidence, "errors", 21), Word::Up);
}

#[test]
fn two_witnesses_through_one_health_check_are_one() {
    let mut situation = Situation::peace();
    situation.hears("checkers", Word::Down, 0).hears("unhealthy", Word::Down, 5);
    let verdict = situation.journal.evidence.judge(&plan(), at(10));
    assert_eq!(verdict.down.len(), 1);
    assert!(!verdict.quorum_down(&plan()));
}

#[test]
fn of_two_witnesses_through_one_source_the_one_that_looked_last_counts() {
    let mut situation = Situation::peace();
    // The alarm's OK is lost: the checkers, asked each minute, know better.
    situation.hears("checkers", Word::Up, -600).hears("unhealthy", Word::Down, 0).hears("checkers", Word::Up, 60);
    assert!(situation.journal.evidence.judge(&plan(), at(61)).down.is_empty());
    // Their word has aged: the alarm's is better than none.
    assert_eq!(situation.journal.evidence.judge(&plan(), at(300)).down.len(), 1);
}

#[test]
fn an_observer_that_the_plan_does_not_name_says_nothing() {
    let mut evidence = Evidence::default();
    evidence.hear("stranger", Word::Down, at(0), "");
    let verdict = evidence.judge(&plan(), at(1));
    assert!(verdict.down.is_empty());
    assert_eq!(word(&evidence, "stranger", 1), Word::Unknown);
}

#[test]
fn a_quorum_is_confirmed_when_its_last_member_has_said_so_for_the_dwell() {
    let mut situation = Situation::peace();
    situation.hears("probe", Word::Down, 0).hears("checkers", Word::Down, 40);
    let confirmed = |seconds| situation.journal.evidence.judge(&plan(), at(seconds)).confirmed_at(&plan(), at(seconds));
    assert_eq!(confirmed(99), None);
    assert_eq!(confirmed(100), Some(at(100)));
    assert_eq!(situation.journal.evidence.judge(&plan(), at(100)).first_down(), Some(at(0)));
}

#[test]
fn alarms_alone_are_no_quorum_however_many_they_are() {
    let mut situation = Situation::peace();
    // The checkers said Up a moment before the alarm over their health check: what counts of the two is told, not seen.
    situation.hears("checkers", Word::Up, 0).hears("errors", Word::Down, 10).hears("unhealthy", Word::Down, 10);
    let verdict = situation.journal.evidence.judge(&plan(), at(100));
    assert_eq!(verdict.speakers.values().filter(|name| ["errors", "unhealthy"].contains(&name.as_str())).count(), 2);
    assert!(verdict.down.len() == 2 && !verdict.quorum_down(&plan()));
    assert_eq!(verdict.confirmed_at(&plan(), at(100)), None);
    situation.hears("errors", Word::Up, 110).hears("unhealthy", Word::Up, 110);
    assert!(!situation.journal.evidence.judge(&plan(), at(300)).back(&plan(), at(300)), "nor do they call a failover back");
}

#[test]
fn the_dwell_of_a_quorum_begins_no_sooner_than_the_word_of_one_that_was_asked() {
    let mut situation = Situation::peace();
    situation.plan.policy.quorum = 1;
    situation.hears("errors", Word::Down, 0).hears("probe", Word::Down, 50);
    let confirmed = |seconds| situation.journal.evidence.judge(&situation.plan, at(seconds)).confirmed_at(&situation.plan, at(seconds));
    assert_eq!((confirmed(100), confirmed(110)), (None, Some(at(110))));
}

#[test]
fn back_is_a_quorum_of_up_over_the_dwell() {
    let mut situation = Situation::peace();
    situation.hears("probe", Word::Up, 0);
    assert!(!situation.journal.evidence.judge(&plan(), at(120)).back(&plan(), at(120)));
    situation.hears("checkers", Word::Up, 100);
    assert!(!situation.journal.evidence.judge(&plan(), at(120)).back(&plan(), at(120)));
    assert!(situation.journal.evidence.judge(&plan(), at(160)).back(&plan(), at(160)));
}

#[test]
fn as_many_down_as_up_is_not_back() {
    let mut situation = Situation::peace();
    situation.plan.policy.quorum = 1;
    situation.hears("probe", Word::Up, 0).hears("checkers", Word::Down, 0);
    let verdict = situation.journal.evidence.judge(&situation.plan, at(100));
    assert!(verdict.quorum_down(&situation.plan) && !verdict.back(&situation.plan, at(100)));
}

#[test]
fn a_word_from_the_future_is_none() {
    let mut evidence = Evidence::default();
    evidence.hear("probe", Word::Down, at(3600), "");
    assert_eq!(word(&evidence, "probe", 0), Word::Unknown);
}

#[test]
fn a_clock_that_jumped_back_does_not_deafen() {
    let mut evidence = Evidence::default();
    evidence.hear("probe", Word::Up, at(3600), "the clock was an hour ahead");
    assert_eq!(evidence.hear("probe", Word::Up, at(0), ""), Heard::Changed);
    assert_eq!(word(&evidence, "probe", 1), Word::Up);
    assert_eq!(evidence.hear("probe", Word::Down, at(60), ""), Heard::Changed);
}
