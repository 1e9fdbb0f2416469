use super::*;
use crate::situations::{Situation, at, said};

fn order(command: Command) -> Order {
    Order { command, by: "ada".to_owned(), run: None }
}

fn tell(situation: &Situation, command: Command) -> Folded {
    fold(&situation.plan, &situation.journal, &Trigger::Operator(order(command)), "test", at(10))
}

fn alarm(word: crate::evidence::Word, seconds: i64) -> AlarmNotice {
    AlarmNotice {
        arn: "arn:aws:cloudwatch:us-east-2:123456789012:alarm:errors".to_owned(),
        account: "123456789012".to_owned(),
        word,
        changed_at: at(seconds),
        reason: "Threshold Crossed".to_owned(),
    }
}

fn hear(situation: &Situation, alarm: AlarmNotice) -> Folded {
    fold(&situation.plan, &situation.journal, &Trigger::Alarm(alarm), "test", at(10))
}

fn refused(folded: &Folded, why: &str) {
    assert!(folded.head.is_none() && folded.evidence.is_none() && folded.entries.is_empty(), "{folded:?}");
    assert!(folded.said[0].contains(why), "{:?}", folded.said);
}

mod alarms {
    use super::*;
    use crate::evidence::Word;

    #[test]
    fn one_that_the_plan_names_is_heard() {
        let folded = hear(&Situation::peace(), alarm(Word::Down, 5));
        let held = &folded.evidence.unwrap().observers["errors"];
        assert_eq!((held.word, held.since), (Word::Down, at(5)));
        assert!(folded.head.is_none(), "the step itself is advance's");
        assert!(folded.entries.is_empty(), "no run, no history");
    }

    #[test]
    fn while_a_run_is_open_it_stands_in_its_history() {
        let situation = Situation::run(Mode::Failover, Phase::Suspected);
        let folded = hear(&situation, alarm(Word::Down, 5));
        assert_eq!(folded.entries.len(), 1);
        assert_eq!(folded.entries[0].1.kind, EntryKind::Evidence);
    }

    #[test]
    fn of_a_time_to_come_it_counts_from_now() {
        let folded = hear(&Situation::peace(), alarm(Word::Up, 170));
        assert_eq!(folded.evidence.unwrap().observers["errors"].since, at(10), "a look made after it knows better");
    }

    #[test]
    fn of_another_account_it_is_ignored_and_said() {
        refused(&hear(&Situation::peace(), AlarmNotice { account: "999999999999".to_owned(), ..alarm(Word::Down, 5) }), "account 999999999999");
    }

    #[test]
    fn that_the_plan_does_not_name_starts_nothing() {
        refused(&hear(&Situation::peace(), AlarmNotice { arn: "arn:x".to_owned(), ..alarm(Word::Down, 5) }), "no observer of the plan names it");
    }

    #[test]
    fn delivered_twice_or_late_writes_nothing() {
        let mut situation = Situation::peace();
        situation.hears("errors", Word::Down, 5);
        refused(&hear(&situation, alarm(Word::Down, 5)), "still says");
        refused(&hear(&situation, alarm(Word::Up, 4)), "older word");
    }

    #[test]
    fn raised_again_after_a_lost_ok_it_is_written() {
        let mut situation = Situation::peace();
        situation.hears("errors", Word::Down, 1);
        assert!(hear(&situation, alarm(Word::Down, 5)).evidence.is_some());
    }
}

mod failover {
    use super::*;

    #[test]
    fn in_peace_it_opens_a_suspicion_with_the_word_in_it() {
        let head = tell(&Situation::peace(), Command::Failover).head.unwrap();
        let run = head.run.unwrap();
        assert_eq!((run.mode, run.phase, run.first_down), (Mode::Failover, Phase::Suspected, Some(at(10))));
        assert_eq!(run.words.failover, Some(said(10)));
    }

    #[test]
    fn a_drill_becomes_a_failover() {
        let head = tell(&Situation::run(Mode::Drill, Phase::Holding), Command::Failover).head.unwrap();
        let run = head.run.unwrap();
        assert_eq!((run.mode, run.phase, run.was_drill, run.first_down), (Mode::Failover, Phase::Suspected, true, Some(at(10))));
        assert!(run.words.failover.is_some());
    }

    #[test]
    fn a_stood_down_one_is_suspected_again_without_its_old_words() {
        let mut situation = Situation::run(Mode::Failover, Phase::StoodDown);
        situation.run_mut().words = Words { failover: Some(said(1)), stand_down: Some(said(2)), accept_loss: Some(said(1)), ..Words::default() };
        let run = tell(&situation, Command::Failover).head.unwrap().run.unwrap();
        assert_eq!(run.phase, Phase::Suspected);
        assert_eq!(run.words, Words { failover: Some(said(10)), ..Words::default() });
        assert_eq!(run.first_down, Some(at(10)));
    }

    #[test]
    fn an_open_one_takes_the_word_and_keeps_its_first_down() {
        let run = tell(&Situation::run(Mode::Failover, Phase::Suspected), Command::Failover).head.unwrap().run.unwrap();
        assert_eq!((run.phase, run.first_down), (Phase::Suspected, Some(at(0))));
        assert!(run.words.failover.is_some());
    }

    #[test]
    fn it_is_refused_where_it_makes_no_sense_each_with_why() {
        let mut observes = Situation::peace();
        observes.plan.policy.mode = ActMode::Observe;
        refused(&tell(&observes, Command::Failover), "only observes");
        refused(&tell(&Situation::run(Mode::Failover, Phase::Active), Command::Failover), "the standby serves already");
        let mut twice = Situation::run(Mode::Failover, Phase::Confirmed);
        twice.run_mut().words.failover = Some(said(1));
        refused(&tell(&twice, Command::Failover), "already fails over");
    }
}

mod drill {
    use super::*;

    #[test]
    fn by_the_schedule_it_opens_in_peace() {
        let situation = Situation::peace();
        let run = fold(&situation.plan, &situation.journal, &Trigger::Drill, "test", at(10)).head.unwrap().run.unwrap();
        assert_eq!((run.mode, run.phase), (Mode::Drill, Phase::Activating));
    }

    #[test]
    fn it_is_refused_beside_a_run_while_the_standby_serves_under_a_hold_and_under_observe() {
        refused(&tell(&Situation::run(Mode::Failover, Phase::Suspected), Command::Drill), "is open in Suspected");
        refused(&tell(&Situation::run(Mode::Drill, Phase::Restoring), Command::Drill), "is open in Restoring");
        refused(&tell(&Situation::run(Mode::Failover, Phase::Active), Command::Drill), "the standby serves");
        let mut held = Situation::peace();
        held.journal.head.hold = Some(HoldSwitch { until: at(11), by: "ada".to_owned() });
        refused(&tell(&held, Command::Drill), "a hold is in force");
        let mut observes = Situation::peace();
        observes.plan.policy.mode = ActMode::Observe;
        refused(&tell(&observes, Command::Drill), "only observes");
    }
}

#[test]
fn an_order_meant_for_another_run_is_refused() {
    let situation = Situation::run(Mode::Failover, Phase::Suspected);
    let late = Order { run: Some("failover-20250101T000000Z".to_owned()), ..order(Command::Failover) };
    refused(&fold(&situation.plan, &situation.journal, &Trigger::Operator(late), "test", at(10)), "is meant for run failover-20250101T000000Z");
}

#[test]
fn without_a_run_the_orders_about_one_are_refused() {
    for command in [Command::StandDown, Command::Approve, Command::AcceptLoss, Command::SwitchAnyway, Command::Replan] {
        refused(&tell(&Situation::peace(), command), "no run is open");
    }
}

#[test]
fn each_word_is_kept_with_who_and_when_and_said_once() {
    type Word = fn(&Words) -> &Option<Said>;
    let words: [(Command, Word); 3] = [
        (Command::Approve, |words| &words.approve),
        (Command::AcceptLoss, |words| &words.accept_loss),
        (Command::StandDown, |words| &words.stand_down),
    ];
    for (command, word) in words {
        let mut situation = Situation::run(Mode::Failover, Phase::Confirmed);
        let folded = tell(&situation, command);
        let head = folded.head.unwrap();
        assert_eq!(word(&head.run.as_ref().unwrap().words), &Some(said(10)));
        assert_eq!(folded.entries[0].1.kind, EntryKind::Operator);
        situation.journal.head = head;
        refused(&tell(&situation, command), "ada said so already");
    }
}

#[test]
fn switch_anyway_counts_only_past_the_point_of_no_return() {
    for (mode, phase) in [(Mode::Failover, Phase::Confirmed), (Mode::Drill, Phase::Activating)] {
        refused(&tell(&Situation::run(mode, phase), Command::SwitchAnyway), "no traffic to open");
    }
    assert!(tell(&Situation::run(Mode::Failover, Phase::Activating), Command::SwitchAnyway).head.is_some());
}

#[test]
fn what_is_being_undone_is_not_stood_down_again() {
    for (mode, phase) in [(Mode::Failover, Phase::StoodDown), (Mode::Drill, Phase::Restoring)] {
        refused(&tell(&Situation::run(mode, phase), Command::StandDown), "already being undone");
    }
}

#[test]
fn a_hold_lasts_four_hours_or_as_long_as_is_said() {
    let until = |lasting| tell(&Situation::peace(), Command::Hold { lasting }).head.unwrap().hold.unwrap().until;
    assert_eq!(until(None), at(10 + 4 * 3600));
    assert_eq!(until(Some(SignedDuration::from_mins(5))), at(310));
    assert_eq!(until(Some(SignedDuration::MAX)), Timestamp::MAX);
}

#[test]
fn a_release_without_a_hold_changes_nothing() {
    refused(&tell(&Situation::peace(), Command::Release), "nothing is held");
    let mut held = Situation::peace();
    held.journal.head.hold = Some(HoldSwitch { until: at(11), by: "ada".to_owned() });
    assert_eq!(tell(&held, Command::Release).head.unwrap().hold, None);
}

#[test]
fn a_replan_moves_the_run_to_the_newest_plan() {
    let mut situation = Situation::run(Mode::Failover, Phase::Activating);
    refused(&tell(&situation, Command::Replan), "already follows the newest plan");
    situation.journal.head.plan_version = 2;
    assert_eq!(tell(&situation, Command::Replan).head.unwrap().run.unwrap().plan_version, 2);
}

#[test]
fn ticks_notices_and_rotation_steps_change_nothing() {
    let situation = Situation::run(Mode::Failover, Phase::Confirmed);
    for trigger in [Trigger::Tick, Trigger::Progress { plan: "shop".to_owned(), what: "x".to_owned() }] {
        let folded = fold(&situation.plan, &situation.journal, &trigger, "test", at(10));
        assert!(folded.head.is_none() && folded.evidence.is_none() && folded.said.is_empty());
    }
    assert!(tell(&situation, Command::Status).head.is_none());
}

mod home {
    use super::*;
    use crate::state::{FenceStep, HoldSwitch, HomeStep};

    /// The standby serves, and its old writer is fenced.
    fn away() -> Situation {
        let mut situation = Situation::run(Mode::Failover, Phase::Active);
        let fence = FenceStep { done_at: Some(at(0)), ..FenceStep::default() };
        situation.journal.progress.traffic.fenced.insert("orders".to_owned(), fence);
        situation
    }

    #[test]
    fn a_failback_is_opened_by_a_persons_word_alone() {
        let run = tell(&away(), Command::Failback).head.unwrap().run.unwrap();
        assert_eq!((run.mode, run.phase, run.cause.as_str()), (Mode::Failback, Phase::Preparing, "ada said `failback`"));
    }

    #[test]
    fn it_is_refused_with_what_is_missing() {
        type Change = fn(&mut Situation);
        let cases: [(&str, Change); 8] = [
            ("the plan only observes", |s| s.plan.policy.mode = ActMode::Observe),
            ("is open in Suspected", |s| s.run_mut().phase = Phase::Suspected),
            ("the primary serves already", |s| s.journal.head.serving = Place::Primary),
            ("a hold is in force", |s| s.journal.head.hold = Some(HoldSwitch { until: at(20), by: "bo".to_owned() })),
            ("`home_security_groups`", |s| s.plan.databases[0].home_security_groups.clear()),
            ("no secret of the plan opens", |s| s.plan.secrets.clear()),
            ("give it `quarantine_security_group`", |s| s.plan.databases[0].quarantine_security_group = None),
            ("is not fenced yet", |s| s.journal.progress.traffic.fenced.clear()),
        ];
        for (why, make) in cases {
            let mut situation = away();
            make(&mut situation);
            refused(&tell(&situation, Command::Failback), why);
        }
    }

    #[test]
    fn after_one_that_was_given_up_the_next_may_begin_unless_it_left_another_old_writer() {
        let mut situation = Situation::run(Mode::Failback, Phase::Closed);
        situation.journal.head.serving = Place::Standby;
        assert!(tell(&situation, Command::Failback).head.is_some());
        let step = HomeStep { promote_attempt_at: Some(at(0)), ..HomeStep::default() };
        situation.journal.progress.promotion.home.insert("orders".to_owned(), step);
        refused(&tell(&situation, Command::Failback), "is not fenced yet");
    }

    #[test]
    fn the_moment_is_a_word_for_a_failback_that_is_synchronised() {
        let run = tell(&Situation::run(Mode::Failback, Phase::Synchronised), Command::SwitchHome).head.unwrap().run.unwrap();
        assert!(run.words.switch_home.is_some());
        refused(&tell(&Situation::run(Mode::Failback, Phase::Preparing), Command::SwitchHome), "does not follow yet");
        refused(&tell(&Situation::run(Mode::Failback, Phase::Restoring), Command::SwitchHome), "is past it");
        refused(&tell(&Situation::run(Mode::Drill, Phase::Holding), Command::SwitchHome), "no failback is open");
        refused(&tell(&Situation::peace(), Command::SwitchHome), "no run is open");
    }

    /// Past the point of no return, with STOP taken away or not.
    fn switching(held_out: bool) -> Situation {
        let mut situation = Situation::run(Mode::Failback, Phase::Switching);
        situation.run_mut().committed_at = Some(at(0));
        let step = HomeStep { promote_attempt_at: Some(at(0)), ..HomeStep::default() };
        situation.journal.progress.promotion.home.insert("orders".to_owned(), step);
        situation.journal.progress.traffic.held_out_at = held_out.then(|| at(0));
        situation
    }

    #[test]
    fn while_stop_stands_a_stand_down_goes_back_and_afterwards_a_failover() {
        assert!(tell(&switching(true), Command::StandDown).head.unwrap().run.unwrap().words.stand_down.is_some());
        refused(&tell(&switching(true), Command::Failover), "say `stand-down`");
        refused(&tell(&switching(false), Command::StandDown), "`failover` goes to the standby again");
        let run = tell(&switching(false), Command::Failover).head.unwrap().run.unwrap();
        assert_eq!((run.mode, run.phase, run.was_failback), (Mode::Failover, Phase::Suspected, true));
    }

    #[test]
    fn once_users_are_home_only_a_failover_goes_back() {
        let situation = Situation::run(Mode::Failback, Phase::Restoring);
        refused(&tell(&situation, Command::StandDown), "users are home");
        let run = tell(&situation, Command::Failover).head.unwrap().run.unwrap();
        assert_eq!((run.mode, run.phase), (Mode::Failover, Phase::Suspected));
    }

    #[test]
    fn until_then_there_is_nothing_to_fail_over_to() {
        for phase in [Phase::Preparing, Phase::Synchronised, Phase::Switching, Phase::Aborted] {
            refused(&tell(&Situation::run(Mode::Failback, phase), Command::Failover), "the standby serves");
        }
    }

    #[test]
    fn users_are_let_home_without_the_rest_only_past_the_point_of_no_return() {
        assert!(tell(&switching(true), Command::SwitchAnyway).head.is_some());
        refused(&tell(&Situation::run(Mode::Failback, Phase::Switching), Command::SwitchAnyway), "past the point of no return only");
    }
}
