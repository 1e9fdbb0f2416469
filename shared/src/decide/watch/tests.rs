use super::*;
use crate::ports::Why;
use crate::situations::{Situation, at};

fn answered(status: u16, body: &str) -> Fetched {
    Fetched::Answered { status, body: body.to_owned() }
}

#[test]
fn a_healthy_answer_is_up() {
    assert_eq!(probed(&answered(200, "all ok here"), "ok").0, Word::Up);
    assert_eq!(probed(&answered(302, ""), "").0, Word::Up);
}

#[test]
fn an_answer_that_users_could_not_use_is_down_and_says_so() {
    for (fetched, why) in [
        (answered(500, "ok"), "answered 500"),
        (answered(404, "ok"), "answered 404"),
        (answered(200, "maintenance"), "answered 200 without `ok` in its body"),
        (Fetched::Silent("no answer within 3 s".to_owned()), "no answer within 3 s"),
    ] {
        assert_eq!(probed(&fetched, "ok"), (Word::Down, why.to_owned()));
    }
}

#[test]
fn what_was_never_asked_is_unknown() {
    assert_eq!(probed(&Fetched::NotAsked("no such name".to_owned()), "ok").0, Word::Unknown);
}

#[test]
fn the_checkers_record_says_up_by_the_plans_text_alone() {
    let texts = |texts: &[&str]| Ok(texts.iter().map(|text| (*text).to_owned()).collect());
    assert_eq!(verdict(&texts(&["UP"]), "UP").0, Word::Up);
    assert_eq!(verdict(&texts(&["DOWN"]), "UP"), (Word::Down, "the record says DOWN".to_owned()));
    assert_eq!(verdict(&texts(&["up"]), "UP").0, Word::Down);
    assert_eq!(verdict(&texts(&[]), "UP").0, Word::Unknown);
}

#[test]
fn a_resolver_in_trouble_and_a_missing_record_are_unknown() {
    for why in [Why::Unanswered("SERVFAIL".to_owned()), Why::NotFound("no name".to_owned()), Why::Throttled] {
        assert_eq!(verdict(&Err(CallError::new("dns:Query", why)), "UP").0, Word::Unknown);
    }
}

mod heartbeat {
    use super::*;

    fn due(situation: &Situation, seconds: i64) -> bool {
        heartbeat_is_due(&situation.plan, &situation.journal, at(seconds))
    }

    #[test]
    fn in_peace_and_in_a_drill_it_beats_once_a_refresh() {
        let mut situation = Situation::peace();
        assert!(due(&situation, 0));
        situation.both(Word::Up, 0, 0);
        assert!(!due(&situation, 5));
        assert!(due(&situation, 30));
        assert!(due(&Situation::run(Mode::Drill, Phase::Holding), 0));
    }

    #[test]
    fn in_a_failover_it_rests_whatever_the_phase() {
        for phase in [Phase::Suspected, Phase::Confirmed, Phase::Activating, Phase::StoodDown, Phase::Active] {
            assert!(!due(&Situation::run(Mode::Failover, phase), 0), "{phase:?}");
        }
    }

    #[test]
    fn a_primary_seen_down_by_the_probe_gets_none() {
        let mut situation = Situation::peace();
        situation.hears("probe", Word::Down, 0);
        assert!(!due(&situation, 60));
        situation.hears("probe", Word::Up, 60);
        assert!(due(&situation, 100));
    }
}

#[test]
fn a_word_is_written_again_before_it_ages_and_after_a_clock_jumped() {
    let mut situation = Situation::peace();
    situation.hears("probe", Word::Up, 0);
    let needs = |seconds| needs_refresh(&situation.journal.evidence, "probe", at(seconds));
    assert!(!needs(0) && !needs(29));
    assert!(needs(30));
    assert!(needs(-1), "a word from the future");
    assert!(needs_refresh(&situation.journal.evidence, "checkers", at(0)), "one that never spoke");
    assert!(REFRESH * 2 < PROBE_AGES);
}

#[test]
fn it_keeps_looking_only_while_its_word_decides() {
    assert!(keeps_looking(Some((Mode::Failover, Phase::Suspected))));
    assert!(keeps_looking(Some((Mode::Failover, Phase::Confirmed))));
    assert!(keeps_looking(Some((Mode::Drill, Phase::Restoring))));
    assert!(!keeps_looking(Some((Mode::Failover, Phase::Activating))));
    assert!(!keeps_looking(None));
}
