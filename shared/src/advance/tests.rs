//! Each transition by its situation, and each situation in which it must not happen.

use super::*;
use crate::plan::{Observer, ResourceId};
use crate::run::RunId;
use crate::situations::{Situation, at, said};
use crate::state::{Baseline, CopyStep, HoldSwitch, Obligation};

mod any;

const FAILOVER: Mode = Mode::Failover;
const DRILL: Mode = Mode::Drill;

fn to(mode: Mode, phase: Phase) -> Option<(Mode, Phase)> {
    Some((mode, phase))
}

mod peace {
    use super::*;

    #[test]
    fn the_first_down_opens_a_suspicion() {
        let mut situation = Situation::peace();
        situation.hears("checkers", Word::Up, 0).hears("probe", Word::Down, 7);
        let due = situation.due(10).unwrap();
        let run = due.head.run.unwrap();
        assert_eq!((run.mode, run.phase, run.first_down), (FAILOVER, Phase::Suspected, Some(at(7))));
        assert_eq!(due.said, "suspected: probe says the primary is down");
        assert_eq!(due.head.serving, Place::Primary);
    }

    #[test]
    fn not_knowing_opens_nothing() {
        let mut situation = Situation::peace();
        assert_eq!(situation.due(0), None);
        situation.both(Word::Unknown, 0, 60);
        assert_eq!(situation.due(61), None);
        situation.both(Word::Down, 100, 100);
        assert_eq!(situation.due(100 + 181), None, "an aged Down is not one");
    }

    #[test]
    fn while_the_standby_serves_nothing_opens() {
        let mut situation = Situation::peace();
        situation.journal.head.serving = Place::Standby;
        situation.both(Word::Down, 0, 100);
        assert_eq!(situation.due(100), None);
    }

    #[test]
    fn a_plan_that_observes_takes_no_step() {
        let mut situation = Situation::run(FAILOVER, Phase::Confirmed).clear(0);
        situation.plan.policy.mode = ActMode::Observe;
        assert_eq!(situation.due(10), None);
        situation.journal.head.run = None;
        assert_eq!(situation.due(10), None);
    }

    #[test]
    fn a_cool_down_asks_for_one_observer_more_until_it_is_over() {
        let mut situation = Situation::peace();
        situation.journal.head.cool_down_until = Some(at(100));
        situation.hears("probe", Word::Down, 0);
        assert_eq!(situation.due(50), None);
        assert_eq!(situation.leads_to(100), to(FAILOVER, Phase::Suspected));
        situation.hears("checkers", Word::Down, 60);
        assert_eq!(situation.leads_to(61), to(FAILOVER, Phase::Suspected));
    }

    #[test]
    fn a_cool_down_never_blocks_a_quorum_of_one() {
        let mut situation = Situation::peace();
        situation.plan.policy.quorum = 1;
        situation.journal.head.cool_down_until = Some(at(100));
        situation.hears("probe", Word::Down, 0);
        assert_eq!(situation.leads_to(50), to(FAILOVER, Phase::Suspected));
    }

    #[test]
    fn a_cool_down_opens_nothing_that_would_be_stood_down_at_once() {
        let mut situation = Situation::peace();
        for name in ["latency", "errors"] {
            let arn = format!("arn:aws:cloudwatch:us-east-2:123456789012:alarm:{name}");
            situation.plan.observers.push(Observer { name: name.to_owned(), kind: ObserverKind::Alarm { arn, health_check: None } });
            situation.hears(name, Word::Down, 60);
        }
        situation.both(Word::Up, 0, 80);
        assert_eq!(situation.leads_to(80), to(FAILOVER, Phase::Suspected), "alarms are heard");
        situation.journal.head.cool_down_until = Some(at(900));
        assert_eq!(situation.due(80), None, "against a quorum that sees the primary up they would open runs without end");
        situation.hears("probe", Word::Down, 90);
        assert_eq!(situation.leads_to(90), to(FAILOVER, Phase::Suspected), "with an observer that looks it is a quorum");
    }

    #[test]
    fn a_run_that_is_over_makes_room_for_the_next() {
        let mut situation = Situation::run(FAILOVER, Phase::Closed);
        situation.hears("probe", Word::Down, 7);
        let run = situation.due(10).unwrap().head.run.unwrap();
        assert_eq!(run.id, RunId::new(FAILOVER, at(10)));
    }
}

mod suspected {
    use super::*;

    fn suspected() -> Situation {
        Situation::run(FAILOVER, Phase::Suspected)
    }

    #[test]
    fn a_quorum_over_the_dwell_confirms() {
        let mut situation = suspected();
        situation.hears("probe", Word::Down, 0).hears("checkers", Word::Down, 30);
        assert_eq!(situation.due(89), None);
        let due = situation.due(95).unwrap();
        let run = due.head.run.unwrap();
        assert_eq!((run.phase, run.confirmed_at), (Phase::Confirmed, Some(at(90))));
        assert!(due.said.starts_with("confirmed: 2 of 3 observers said Down for"), "{}", due.said);
        assert_eq!(due.head.serving, Place::Primary);
    }

    #[test]
    fn one_observer_never_confirms_however_long_it_says_so() {
        let mut situation = suspected();
        situation.hears("probe", Word::Down, 0).hears("probe", Word::Down, 900);
        assert_eq!(situation.due(950), None);
    }

    #[test]
    fn two_witnesses_through_one_health_check_never_confirm() {
        let mut situation = suspected();
        situation.hears("checkers", Word::Down, 0).hears("unhealthy", Word::Down, 0).hears("checkers", Word::Down, 200);
        assert_eq!(situation.due(250), None);
    }

    #[test]
    fn where_the_plan_asks_for_approval_the_quorum_waits_for_it() {
        let mut situation = suspected();
        situation.plan.policy.approval = true;
        situation.both(Word::Down, 0, 100);
        assert_eq!(situation.due(100), None);
        situation.run_mut().words.approve = Some(said(99));
        assert_eq!(situation.leads_to(100), to(FAILOVER, Phase::Confirmed));
    }

    #[test]
    fn an_approval_without_a_quorum_confirms_nothing() {
        let mut situation = suspected();
        situation.plan.policy.approval = true;
        situation.run_mut().words.approve = Some(said(1));
        situation.hears("probe", Word::Down, 100);
        assert_eq!(situation.due(120), None);
    }

    #[test]
    fn the_operators_failover_is_a_quorum_and_an_approval() {
        let mut situation = suspected();
        situation.plan.policy.approval = true;
        situation.run_mut().words.failover = Some(said(1));
        assert_eq!(situation.due(2).unwrap().said, "confirmed: ada says so");
    }

    #[test]
    fn the_operators_stand_down_wins_over_a_quorum() {
        let mut situation = suspected();
        situation.both(Word::Down, 0, 100);
        situation.run_mut().words.stand_down = Some(said(99));
        let due = situation.due(100).unwrap();
        assert_eq!(due.head.run.map(|run| run.phase), Some(Phase::StoodDown));
        assert_eq!(due.head.cool_down_until, Some(at(100 + 15 * 60)));
    }

    #[test]
    fn a_primary_that_is_back_is_stood_down() {
        let mut situation = suspected();
        situation.both(Word::Up, 100, 150);
        assert_eq!(situation.due(159), None, "not over the dwell");
        assert_eq!(situation.leads_to(160), to(FAILOVER, Phase::StoodDown));
    }

    #[test]
    fn a_suspicion_that_nobody_confirms_expires() {
        let mut situation = suspected();
        situation.hears("probe", Word::Down, 1790);
        assert_eq!(situation.due(1799), None);
        assert_eq!(situation.leads_to(1800), to(FAILOVER, Phase::StoodDown));
    }

    #[test]
    fn it_does_not_expire_while_the_checkers_say_down() {
        let mut situation = suspected();
        situation.hears("checkers", Word::Down, 1790);
        assert_eq!(situation.due(1800), None);
        assert_eq!(situation.leads_to(1790 + 181), to(FAILOVER, Phase::StoodDown), "their word has aged");
    }

    #[test]
    fn it_does_not_expire_while_a_quorum_waits_for_approval() {
        let mut situation = suspected();
        situation.plan.policy.approval = true;
        situation.hears("probe", Word::Down, 1750).hears("errors", Word::Down, 1750);
        assert_eq!(situation.due(1830), None);
    }

    #[test]
    fn it_does_not_expire_while_users_are_at_the_standby() {
        let mut situation = suspected();
        situation.journal.progress.traffic.users_at = Some(Place::Standby);
        assert_eq!(situation.due(9000), None);
        situation.journal.progress.traffic.users_at = Some(Place::Primary);
        assert_eq!(situation.leads_to(9000), to(FAILOVER, Phase::StoodDown));
    }
}

mod confirmed {
    use super::*;

    fn clear() -> Situation {
        Situation::run(FAILOVER, Phase::Confirmed).clear(50)
    }

    fn blocked_by(situation: &Situation, seconds: i64) -> Option<Blocked> {
        assert_eq!(situation.due(seconds), None);
        let verdict = situation.journal.evidence.judge(&situation.plan, at(seconds));
        blocked(&situation.plan, &situation.journal, situation.journal.head.run.as_ref().unwrap(), &verdict, at(seconds))
    }

    #[test]
    fn with_every_veto_clear_the_point_of_no_return_is_recorded() {
        let due = clear().due(60).unwrap();
        let run = due.head.run.unwrap();
        assert_eq!((run.phase, run.committed_at), (Phase::Activating, Some(at(60))));
        assert_eq!(due.head.serving, Place::Standby);
        assert!(due.said.contains("1 database(s) will be promoted"), "{}", due.said);
    }

    #[test]
    fn a_hold_stops_it_until_it_expires() {
        let mut situation = clear();
        situation.journal.head.hold = Some(HoldSwitch { until: at(61), by: "ada".to_owned() });
        assert!(matches!(blocked_by(&situation, 60), Some(Blocked::Held { .. })));
        assert_eq!(situation.leads_to(61), to(FAILOVER, Phase::Activating));
    }

    #[test]
    fn a_quorum_that_is_gone_at_this_moment_stops_it() {
        let mut situation = clear();
        situation.hears("checkers", Word::Up, 59);
        assert_eq!(blocked_by(&situation, 60), Some(Blocked::NoQuorum { down: 1, quorum: 2 }));
        situation.run_mut().words.failover = Some(said(59));
        assert_eq!(situation.leads_to(60), to(FAILOVER, Phase::Activating));
    }

    #[test]
    fn words_that_have_aged_are_no_quorum() {
        let mut situation = clear();
        situation.database().cleared_at = Some(at(300));
        assert_eq!(blocked_by(&situation, 300), Some(Blocked::NoQuorum { down: 0, quorum: 2 }));
    }

    #[test]
    fn a_database_that_is_refused_stops_it_even_when_cleared_before() {
        let mut situation = clear();
        situation.database().refused = Some("600 s behind".to_owned());
        assert!(matches!(blocked_by(&situation, 60), Some(Blocked::Database { .. })));
    }

    #[test]
    fn a_database_not_looked_at_for_a_minute_stops_it() {
        let mut situation = clear();
        situation.both(Word::Down, 100, 110);
        assert_eq!(blocked_by(&situation, 111), Some(Blocked::NotLookedAt { name: "orders".to_owned() }));
        situation.journal.progress.promotion.databases.clear();
        assert_eq!(blocked_by(&situation, 60), Some(Blocked::NotLookedAt { name: "orders".to_owned() }));
    }

    #[test]
    fn a_primary_that_is_not_held_out_stops_it() {
        let mut situation = clear();
        situation.journal.progress.traffic.held_out_at = None;
        assert_eq!(blocked_by(&situation, 60), Some(Blocked::NotHeldOut));
        situation.journal.progress.traffic.stop_asked_at = Some(at(59));
        assert_eq!(blocked_by(&situation, 60), Some(Blocked::NotHeldOut), "asked for is not seen");
    }

    #[test]
    fn a_primary_that_comes_back_before_it_is_stood_down() {
        let mut situation = clear();
        situation.both(Word::Up, 60, 110);
        assert_eq!(situation.leads_to(120), to(FAILOVER, Phase::StoodDown));
    }

    #[test]
    fn the_operators_failover_goes_on_though_the_primary_looks_well() {
        let mut situation = clear();
        situation.both(Word::Up, 0, 110);
        situation.run_mut().words.failover = Some(said(1));
        situation.database().cleared_at = Some(at(110));
        assert_eq!(situation.leads_to(120), to(FAILOVER, Phase::Activating));
    }

    #[test]
    fn the_operators_stand_down_wins() {
        let mut situation = clear();
        situation.run_mut().words.stand_down = Some(said(59));
        assert_eq!(situation.leads_to(60), to(FAILOVER, Phase::StoodDown));
    }
}

mod activating {
    use super::*;

    fn done() -> Situation {
        Situation::run(FAILOVER, Phase::Activating).activated()
    }

    #[test]
    fn with_nothing_missing_the_standby_serves() {
        let due = done().due(60).unwrap();
        let run = due.head.run.unwrap();
        assert_eq!((run.phase, run.ended_at), (Phase::Active, Some(at(60))));
        assert_eq!(due.head.serving, Place::Standby);
    }

    #[test]
    fn each_thing_missing_keeps_it_open_and_is_named() {
        type Take = fn(&mut Situation);
        let takes: [(Take, &str); 7] = [
            (|situation| situation.database().promoted_at = None, "database orders is not promoted"),
            (|situation| situation.database().backups_on_at = None, "database orders has no backups yet"),
            (|situation| situation.journal.progress.rotation.proven.clear(), "database orders is not proven writable"),
            (|situation| situation.journal.progress.rotation.secrets.clear(), "secret shop/orders is not repointed"),
            (|situation| situation.journal.progress.traffic.opened_at = None, "traffic is not open"),
            (|situation| situation.capacity(3), "capacity is at 75 %, the plan asks for 100 %"),
            (|situation| situation.journal.progress.capacity.resources.clear(), "capacity has not been looked at"),
        ];
        for (take, sentence) in takes {
            let mut situation = done();
            take(&mut situation);
            assert_eq!(situation.due(60), None, "{sentence}");
            assert_eq!(missing(&situation.plan, &situation.journal), [sentence]);
            assert!(way_on(&situation.plan, &situation.journal, at(60)).contains(sentence));
        }
    }

    #[test]
    fn switch_anyway_ends_the_waiting_for_capacity_and_for_nothing_else() {
        let mut situation = done();
        situation.capacity(1);
        situation.run_mut().words.switch_anyway = Some(said(50));
        assert_eq!(situation.leads_to(60), to(FAILOVER, Phase::Active));
        situation.journal.progress.rotation.proven.clear();
        assert_eq!(situation.due(60), None);
    }

    #[test]
    fn a_rehearsal_never_counts_for_the_real_thing() {
        let mut situation = done();
        let rotation = &mut situation.journal.progress.rotation;
        rotation.rehearsal.proven = std::mem::take(&mut rotation.proven);
        rotation.rehearsal.secrets = std::mem::take(&mut rotation.secrets);
        assert_eq!(situation.due(60), None);
    }

    #[test]
    fn until_the_first_attempt_even_the_point_of_no_return_is_taken_back() {
        let mut situation = Situation::run(FAILOVER, Phase::Activating);
        situation.run_mut().words.stand_down = Some(said(50));
        let due = situation.due(60).unwrap();
        assert_eq!(due.head.run.map(|run| run.phase), Some(Phase::StoodDown));
        assert_eq!(due.head.serving, Place::Primary);
    }

    #[test]
    fn after_an_attempt_it_is_not_taken_back_though_no_answer_came() {
        let mut situation = Situation::run(FAILOVER, Phase::Activating);
        situation.database().promote_attempt_at = Some(at(49));
        situation.run_mut().words.stand_down = Some(said(50));
        assert_eq!(situation.due(60), None);
    }

    #[test]
    fn a_stand_down_that_came_too_late_does_not_keep_it_from_ending() {
        let mut situation = done();
        situation.database().promote_attempt_at = Some(at(1));
        situation.run_mut().words.stand_down = Some(said(50));
        assert_eq!(situation.leads_to(60), to(FAILOVER, Phase::Active));
    }

    #[test]
    fn a_primary_that_comes_back_now_changes_nothing() {
        let mut situation = Situation::run(FAILOVER, Phase::Activating);
        situation.both(Word::Up, 0, 170);
        assert_eq!(situation.due(180), None);
    }
}

mod stood_down {
    use super::*;

    fn undone() -> Situation {
        let mut situation = Situation::run(FAILOVER, Phase::StoodDown);
        situation.journal.progress.restore.restored_at = Some(at(10));
        situation
    }

    fn baseline() -> Baseline {
        Baseline::Service { cluster: "shop".to_owned(), name: "web".to_owned(), desired: 1, scaling: None, capacity_providers: Vec::new() }
    }

    fn owes(what: Owed) -> Obligation {
        Obligation { run: RunId("drill-1".to_owned()), what, made_at: at(0), deadline: at(100) }
    }

    #[test]
    fn with_all_undone_it_closes() {
        let due = undone().due(60).unwrap();
        assert_eq!(due.head.run.map(|run| run.phase), Some(Phase::Closed));
        assert_eq!(due.head.serving, Place::Primary);
    }

    #[test]
    fn each_thing_left_keeps_it_open() {
        type Leave = fn(&mut Situation);
        let leaves: [(&str, Leave); 6] = [
            ("a baseline", |situation| drop(situation.journal.baseline.insert(ResourceId("service/shop/web".to_owned()), baseline()))),
            ("a copy", |situation| drop(situation.journal.obligations.insert("copy/x".to_owned(), owes(Owed::Copy { instance: "x".to_owned() })))),
            ("a secret", |situation| drop(situation.journal.obligations.insert("secret/x".to_owned(), owes(Owed::Secret { name: "x".to_owned() })))),
            ("STOP in place", |situation| {
                situation.journal.progress.traffic.stop_asked_at = Some(at(1));
                situation.journal.progress.traffic.held_out_at = Some(at(2));
            }),
            ("STOP perhaps in place", |situation| situation.journal.progress.traffic.stop_asked_at = Some(at(1))),
            ("a restore of an earlier phase", |situation| situation.journal.progress.restore.restored_at = Some(at(-1))),
        ];
        for (name, leave) in leaves {
            let mut situation = undone();
            leave(&mut situation);
            assert_eq!(situation.due(60), None, "{name}");
        }
    }

    #[test]
    fn stop_seen_gone_lets_it_close() {
        let mut situation = undone();
        situation.journal.progress.traffic.stop_asked_at = Some(at(1));
        situation.journal.progress.traffic.released_at = Some(at(2));
        assert_eq!(situation.leads_to(60), to(FAILOVER, Phase::Closed));
    }

    #[test]
    fn a_quorum_opens_the_suspicion_again_with_nothing_allowed() {
        let mut situation = undone();
        situation.journal.head.cool_down_until = Some(at(900));
        situation.run_mut().words.accept_loss = Some(said(1));
        situation.run_mut().committed_at = Some(at(2));
        situation.both(Word::Down, 50, 55);
        let run = situation.due(60).unwrap().head.run.unwrap();
        assert_eq!((run.phase, run.first_down), (Phase::Suspected, Some(at(50))));
        assert_eq!((run.words.accept_loss, run.committed_at), (None, None));
    }

    #[test]
    fn one_observer_does_not_reopen_it() {
        let mut situation = Situation::run(FAILOVER, Phase::StoodDown);
        situation.hears("probe", Word::Down, 50);
        assert_eq!(situation.due(60), None);
    }

    #[test]
    fn the_operators_word_holds_against_the_quorum_until_all_is_undone() {
        let mut situation = Situation::run(FAILOVER, Phase::StoodDown);
        situation.run_mut().words.stand_down = Some(said(0));
        situation.both(Word::Down, 50, 55);
        assert_eq!(situation.due(60), None);
    }
}

mod drill {
    use super::*;
    use crate::state::SecretStep;

    fn drill(phase: Phase) -> Situation {
        let mut situation = Situation::run(DRILL, phase);
        situation.both(Word::Up, -100, 0);
        situation
    }

    fn rehearsed() -> Situation {
        let mut situation = drill(Phase::Activating);
        situation.capacity(4);
        let progress = &mut situation.journal.progress;
        progress.drill.announced_at = Some(at(0));
        let copy = CopyStep { promoted_at: Some(at(5)), ..CopyStep::default() };
        progress.promotion.copies.insert("orders".to_owned(), copy);
        progress.rotation.rehearsal.proven.insert("orders".to_owned(), at(6));
        let secret = SecretStep { repointed_at: Some(at(7)), rotated_at: Some(at(8)), ..SecretStep::default() };
        progress.rotation.rehearsal.secrets.insert("shop/orders".to_owned(), secret);
        situation
    }

    #[test]
    fn rehearsed_and_at_full_capacity_it_holds() {
        assert_eq!(rehearsed().leads_to(10), to(DRILL, Phase::Holding));
    }

    #[test]
    fn a_copy_that_was_given_up_does_not_keep_it() {
        let mut situation = rehearsed();
        let copy = CopyStep { failed: Some("storage full".to_owned()), ..CopyStep::default() };
        situation.journal.progress.promotion.copies.insert("orders".to_owned(), copy);
        situation.journal.progress.rotation = Default::default();
        assert_eq!(situation.leads_to(10), to(DRILL, Phase::Holding));
    }

    #[test]
    fn each_thing_missing_keeps_it_activating() {
        type Take = fn(&mut Situation);
        let takes: [Take; 6] = [
            |situation| situation.capacity(3),
            |situation| situation.journal.progress.drill.announced_at = None,
            |situation| situation.journal.progress.promotion.copies.clear(),
            |situation| situation.journal.progress.rotation.rehearsal.proven.clear(),
            |situation| situation.journal.progress.rotation.rehearsal.secrets.clear(),
            |situation| {
                let progress = &mut situation.journal.progress.rotation;
                progress.secrets = std::mem::take(&mut progress.rehearsal.secrets);
            },
        ];
        for (index, take) in takes.into_iter().enumerate() {
            let mut situation = rehearsed();
            take(&mut situation);
            assert_eq!(situation.due(10), None, "{index}");
        }
    }

    #[test]
    fn a_hold_that_is_over_and_validated_is_restored() {
        let mut situation = drill(Phase::Holding);
        situation.journal.progress.drill.validated_at = Some(at(100));
        assert_eq!(situation.due(3599), None);
        assert_eq!(situation.leads_to(3600), to(DRILL, Phase::Restoring));
        situation.journal.progress.drill.validated_at = None;
        assert_eq!(situation.due(3600), None);
    }

    #[test]
    fn it_ends_at_its_deadline_whatever_is_missing() {
        for phase in [Phase::Activating, Phase::Holding] {
            let situation = drill(phase);
            assert_eq!(situation.due(3 * 3600 - 1), None);
            assert_eq!(situation.leads_to(3 * 3600), to(DRILL, Phase::Restoring));
        }
    }

    #[test]
    fn the_operator_ends_it_early() {
        for phase in [Phase::Activating, Phase::Holding] {
            let mut situation = drill(phase);
            situation.run_mut().words.stand_down = Some(said(1));
            assert_eq!(situation.leads_to(2), to(DRILL, Phase::Restoring));
        }
    }

    #[test]
    fn restored_it_closes_and_not_before() {
        let mut situation = drill(Phase::Restoring);
        assert_eq!(situation.due(60), None);
        situation.journal.progress.restore.restored_at = Some(at(50));
        assert_eq!(situation.leads_to(60), to(DRILL, Phase::Closed));
    }

    #[test]
    fn a_real_failure_turns_it_into_a_failover() {
        for phase in [Phase::Activating, Phase::Holding, Phase::Restoring] {
            let mut situation = drill(phase);
            situation.both(Word::Down, 50, 55);
            let run = situation.due(60).unwrap().head.run.unwrap();
            assert_eq!((run.mode, run.phase, run.was_drill, run.first_down), (FAILOVER, Phase::Suspected, true, Some(at(50))));
        }
    }

    #[test]
    fn one_observer_does_not_end_a_drill() {
        let mut situation = drill(Phase::Holding);
        situation.hears("probe", Word::Down, 50);
        assert_eq!(situation.due(60), None);
    }
}

#[test]
fn every_open_phase_says_its_way_on() {
    for (mode, phase) in [
        (FAILOVER, Phase::Suspected),
        (FAILOVER, Phase::Confirmed),
        (FAILOVER, Phase::Activating),
        (FAILOVER, Phase::StoodDown),
        (DRILL, Phase::Activating),
        (DRILL, Phase::Holding),
        (DRILL, Phase::Restoring),
    ] {
        let situation = Situation::run(mode, phase);
        let said = way_on(&situation.plan, &situation.journal, at(10));
        assert!(said.contains('`') || said.contains("tick"), "{mode} {phase:?}: {said}");
    }
}
