use super::*;
use crate::evidence::Word;
use crate::ports::Why;
use crate::situations::{Situation, at, said};
use crate::state::HoldSwitch;

/// The step that is due for STOP, seen like this.
fn step(situation: &Situation, present: bool) -> Result<Option<StopStep>, Blocked> {
    match stop(&situation.plan, &situation.journal, present, at(60)) {
        Decision::Act(steps) => Ok(steps.into_iter().next()),
        Decision::Done => Ok(None),
        Decision::Wait(why) => Err(why),
        Decision::Refuse(never) => match never {},
    }
}

fn failover(phase: Phase) -> Situation {
    Situation::run(Mode::Failover, phase)
}

/// Confirmed, with every veto clear and nothing done about STOP.
fn confirmed() -> Situation {
    let mut situation = failover(Phase::Confirmed).clear(50);
    situation.journal.progress.traffic.held_out_at = None;
    situation
}

fn asked(mut situation: Situation) -> Situation {
    situation.journal.progress.traffic.stop_asked_at = Some(at(51));
    situation
}

fn held_out(situation: Situation) -> Situation {
    let mut situation = asked(situation);
    situation.journal.progress.traffic.held_out_at = Some(at(52));
    situation
}

fn released(situation: Situation) -> Situation {
    let mut situation = asked(situation);
    situation.journal.progress.traffic.released_at = Some(at(53));
    situation
}

mod stop_object {
    use super::*;

    #[test]
    fn in_peace_it_is_absent_or_removed() {
        assert_eq!(step(&Situation::peace(), false), Ok(None));
        assert_eq!(step(&Situation::peace(), true), Ok(Some(StopStep::Remove)));
        assert_eq!(step(&failover(Phase::Closed), true), Ok(Some(StopStep::Remove)));
    }

    #[test]
    fn on_the_way_in_each_step_follows_from_what_is_recorded_and_seen() {
        assert_eq!(step(&confirmed(), false), Ok(Some(StopStep::Ask)));
        assert_eq!(step(&asked(confirmed()), false), Ok(Some(StopStep::Put)));
        assert_eq!(step(&asked(confirmed()), true), Ok(Some(StopStep::HoldOut)));
        assert_eq!(step(&held_out(confirmed()), true), Ok(None));
        assert_eq!(step(&held_out(confirmed()), false), Ok(Some(StopStep::Put)), "somebody removed it");
    }

    #[test]
    fn on_the_way_out_the_word_is_taken_back_first() {
        let stood_down = || failover(Phase::StoodDown);
        assert_eq!(step(&held_out(stood_down()), true), Ok(Some(StopStep::TakeBack)));
        assert_eq!(step(&asked(stood_down()), true), Ok(Some(StopStep::Remove)));
        assert_eq!(step(&asked(stood_down()), false), Ok(Some(StopStep::Release)));
        assert_eq!(step(&released(stood_down()), false), Ok(None));
        assert_eq!(step(&stood_down(), false), Ok(None), "nothing was asked, nothing is released");
    }

    #[test]
    fn confirmed_again_it_begins_anew() {
        assert_eq!(step(&released(confirmed()), false), Ok(Some(StopStep::Ask)));
        assert_eq!(step(&released(confirmed()), true), Ok(Some(StopStep::Ask)));
    }

    #[test]
    fn a_suspicion_holds_nobody_out() {
        assert_eq!(step(&failover(Phase::Suspected).clear(50), false), Ok(Some(StopStep::TakeBack)));
        let mut suspected = failover(Phase::Suspected).clear(50);
        suspected.journal.progress.traffic.held_out_at = None;
        assert_eq!(step(&suspected, false), Ok(None));
        assert_eq!(step(&suspected, true), Ok(Some(StopStep::Remove)));
    }

    #[test]
    fn every_veto_stands_before_it() {
        let mut held = confirmed();
        held.journal.head.hold = Some(HoldSwitch { until: at(61), by: "ada".to_owned() });
        assert!(matches!(step(&held, false), Err(Blocked::Held { .. })));
        let mut back = confirmed();
        back.hears("probe", Word::Up, 55);
        assert!(matches!(step(&back, false), Err(Blocked::NoQuorum { .. })));
        let mut refused = confirmed();
        refused.database().refused = Some("600 s behind".to_owned());
        assert!(matches!(step(&refused, false), Err(Blocked::Database { .. })));
        let mut unseen = confirmed();
        unseen.database().cleared_at = None;
        assert!(matches!(step(&unseen, false), Err(Blocked::NotLookedAt { .. })));
        assert!(matches!(step(&asked(unseen), false), Err(Blocked::NotLookedAt { .. })), "a put that was not made is not made now");
    }

    #[test]
    fn once_in_place_a_veto_that_returns_does_not_move_users() {
        let mut aged = asked(confirmed());
        aged.database().cleared_at = None;
        assert_eq!(step(&aged, true), Ok(Some(StopStep::HoldOut)));
        let mut aged = held_out(confirmed());
        aged.database().cleared_at = None;
        assert_eq!(step(&aged, true), Ok(None));
    }

    #[test]
    fn while_the_standby_serves_it_stands() {
        for phase in [Phase::Activating, Phase::Active] {
            assert_eq!(step(&held_out(failover(phase)), true), Ok(None));
            assert_eq!(step(&held_out(failover(phase)), false), Ok(Some(StopStep::Put)));
        }
    }

    #[test]
    fn a_drill_leaves_it_as_it_is() {
        for present in [false, true] {
            assert_eq!(step(&held_out(Situation::run(Mode::Drill, Phase::Restoring)), present), Ok(None));
        }
    }
}

mod users_name {
    use super::*;

    fn resolved(names: &[&str], addresses: &[[u8; 4]]) -> Result<Resolved, CallError> {
        Ok(Resolved {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|address| std::net::IpAddr::from(*address)).collect(),
        })
    }

    fn servfail() -> Result<Resolved, CallError> {
        Err(CallError::new("dns:Query", Why::Unanswered("SERVFAIL".to_owned())))
    }

    const STANDBY: &str = "lb.us-west-2.example";

    #[test]
    fn an_alias_of_the_standby_is_the_standby() {
        let record = resolved(&["www.shop.example", "LB.us-west-2.example"], &[]);
        assert_eq!(users(&record, &servfail(), "lb.us-west-2.example."), Users::At(Place::Standby));
    }

    #[test]
    fn one_address_in_common_is_the_standby_and_none_the_primary() {
        let standby = resolved(&[STANDBY], &[[1, 0, 0, 1], [1, 0, 0, 2]]);
        assert_eq!(users(&resolved(&["www"], &[[1, 0, 0, 2], [1, 0, 0, 3]]), &standby, STANDBY), Users::At(Place::Standby));
        assert_eq!(users(&resolved(&["www"], &[[2, 0, 0, 1]]), &standby, STANDBY), Users::At(Place::Primary));
    }

    #[test]
    fn what_cannot_be_resolved_is_unknown() {
        assert!(matches!(users(&servfail(), &resolved(&[STANDBY], &[[1, 0, 0, 1]]), STANDBY), Users::Unknown(_)));
        assert!(matches!(users(&resolved(&["www"], &[[1, 0, 0, 1]]), &servfail(), STANDBY), Users::Unknown(_)));
    }
}

mod open {
    use super::*;

    fn lacks(situation: &Situation, users: &Users, served: Option<Fetched>) -> Option<String> {
        let owed = owed(&situation.plan, &situation.journal, situation.journal.head.run.as_ref().unwrap());
        opening(&situation.plan, owed, users, served.as_ref()).why_not()
    }

    fn healthy() -> Option<Fetched> {
        Some(Fetched::Answered { status: 200, body: "ready".to_owned() })
    }

    const ARRIVED: Users = Users::At(Place::Standby);

    #[test]
    fn with_all_there_and_users_arriving_it_is_open() {
        let situation = failover(Phase::Activating).activated();
        let run = situation.journal.head.run.as_ref().unwrap();
        let owed = owed(&situation.plan, &situation.journal, run);
        assert_eq!(opening(&situation.plan, owed, &ARRIVED, healthy().as_ref()), Decision::Act(vec![Open]));
    }

    #[test]
    fn everything_missing_is_named_in_one_sentence() {
        let said = lacks(&failover(Phase::Activating), &Users::At(Place::Primary), None).unwrap();
        for part in
            ["database orders is not promoted", "secret shop/orders is not repointed", "capacity has not been looked at", "still answers the primary"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_health_page_proves_it_only_by_200_and_its_body() {
        let situation = failover(Phase::Activating).activated();
        let answered = |status, body: &str| Some(Fetched::Answered { status, body: body.to_owned() });
        for (served, why) in [
            (answered(204, "ready"), "it answered 204"),
            (answered(200, "read-only"), "without `ready`"),
            (Some(Fetched::Silent("no answer within 3 s".to_owned())), "no answer within 3 s"),
            (Some(Fetched::NotAsked("no such name".to_owned())), "no such name"),
        ] {
            let said = lacks(&situation, &ARRIVED, served).unwrap();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn not_looked_at_is_not_open() {
        assert!(lacks(&failover(Phase::Activating).activated(), &ARRIVED, None).is_some());
    }

    #[test]
    fn unknown_users_are_not_arrived_users() {
        let said = lacks(&failover(Phase::Activating).activated(), &Users::Unknown("SERVFAIL".to_owned()), healthy()).unwrap();
        assert!(said.contains("unknown (SERVFAIL)"), "{said}");
    }

    #[test]
    fn switch_anyway_waives_what_others_owe_and_no_proof() {
        let mut situation = failover(Phase::Activating);
        situation.run_mut().words.switch_anyway = Some(said(1));
        assert_eq!(lacks(&situation, &ARRIVED, healthy()), None);
        assert!(lacks(&situation, &Users::At(Place::Primary), healthy()).is_some());
        assert!(lacks(&situation, &ARRIVED, Some(Fetched::Silent("x".to_owned()))).is_some());
    }

    #[test]
    fn a_database_without_a_secret_needs_no_login() {
        let mut situation = failover(Phase::Activating).activated();
        situation.plan.secrets.clear();
        situation.journal.progress.rotation = Default::default();
        assert_eq!(lacks(&situation, &ARRIVED, healthy()), None);
    }
}

/// A promotion was tried.
fn attempted(phase: Phase) -> Situation {
    let mut situation = failover(phase);
    situation.database().promote_attempt_at = Some(at(0));
    situation
}

#[test]
fn while_the_operator_can_still_stand_down_no_writer_is_fenced() {
    assert!(!fence_is_due(&failover(Phase::Activating).journal, None, at(0)));
}

#[test]
fn a_writer_is_fenced_from_the_first_attempt_until_it_is_done_once_a_minute() {
    let tried = |seconds| FenceStep { attempts: 1, last_at: Some(at(seconds)), ..FenceStep::default() };
    let serving = attempted(Phase::Activating);
    assert!(fence_is_due(&serving.journal, None, at(0)));
    assert!(!fence_is_due(&serving.journal, Some(&tried(0)), at(59)));
    assert!(fence_is_due(&serving.journal, Some(&tried(0)), at(60)));
    assert!(fence_is_due(&serving.journal, Some(&tried(3600)), at(60)), "a clock that jumped");
    assert!(!fence_is_due(&serving.journal, Some(&FenceStep { done_at: Some(at(0)), ..tried(0) }), at(600)));
    assert!(fence_is_due(&attempted(Phase::Active).journal, Some(&tried(0)), at(60)));
    for phase in [Phase::Suspected, Phase::Confirmed, Phase::StoodDown] {
        assert!(!fence_is_due(&attempted(phase).journal, None, at(0)), "{phase:?}");
    }
}
