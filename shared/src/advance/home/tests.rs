use super::*;
use crate::advance::advance;
use crate::evidence::Word;
use crate::plan::Engine;
use crate::run::Mode;
use crate::situations::{Situation, at, said};
use crate::state::{HoldSwitch, HomeComparison, HomeGate, HomeLag, HomeSecretStep, Place};

const FAILBACK: Mode = Mode::Failback;

type Change = fn(&mut Situation);

fn to(phase: Phase) -> Option<(Mode, Phase)> {
    Some((FAILBACK, phase))
}

fn failback(phase: Phase) -> Situation {
    Situation::run(FAILBACK, phase)
}

impl Situation {
    fn instances(&mut self) -> &mut HomeStep {
        self.journal.progress.promotion.home.entry("orders".to_owned()).or_default()
    }

    fn logins(&mut self) -> &mut HomeDatabase {
        self.journal.progress.rotation.home.databases.entry("orders".to_owned()).or_default()
    }

    fn secret(&mut self) -> &mut HomeSecretStep {
        self.journal.progress.rotation.home.secrets.entry("shop/orders".to_owned()).or_default()
    }

    fn lag(&mut self, bytes: u64, seconds: i64) {
        self.logins().lag = Some(HomeLag { bytes, at: at(seconds) });
    }

    fn compared(&mut self, equal: Option<bool>) {
        self.logins().compared = Some(HomeComparison { at: at(0), equal, said: "compared".to_owned() });
    }

    fn prepared() -> Situation {
        let mut situation = failback(Phase::Preparing);
        situation.instances().left_at = Some(at(0));
        situation.instances().replicating_at = Some(at(0));
        situation.logins().left_compared_at = Some(at(0));
        situation.lag(64, 0);
        situation
    }

    fn ready() -> Situation {
        let mut situation = Situation::prepared();
        situation.run_mut().phase = Phase::Synchronised;
        situation.instances().looked_at = Some(at(0));
        situation.compared(Some(true));
        situation.secret().seen_at = Some(at(0));
        situation
    }

    fn reached() -> Situation {
        let mut situation = Situation::ready();
        situation.run_mut().phase = Phase::Switching;
        situation.logins().closing_at = Some(at(0));
        situation.logins().closed_at = Some(at(0));
        situation.logins().reached_at = Some(at(0));
        situation
    }

    fn attempted() -> Situation {
        let mut situation = Situation::reached();
        situation.run_mut().committed_at = Some(at(0));
        situation.instances().promote_attempt_at = Some(at(0));
        situation.journal.progress.traffic.held_out_at = Some(at(0));
        situation
    }

    fn home() -> Situation {
        let mut situation = failback(Phase::Restoring);
        situation.run_mut().came_home_at = Some(at(0));
        situation.instances().backups_on_at = Some(at(0));
        situation.instances().replica_ready_at = Some(at(0));
        situation.secret().replicated_at = Some(at(0));
        situation.journal.progress.restore.restored_at = Some(at(0));
        situation
    }
}

#[test]
fn a_preparation_is_over_when_the_replica_follows_and_the_rows_left_behind_are_known() {
    assert_eq!(Situation::prepared().leads_to(1), to(Phase::Synchronised));
}

#[test]
fn each_thing_that_a_preparation_lacks_keeps_it() {
    let lacks: [(&str, Change); 5] = [
        ("is not set aside", |s| s.instances().left_at = None),
        ("are not known", |s| s.logins().left_compared_at = None),
        ("does not replicate yet", |s| s.instances().replicating_at = None),
        ("MiB of log behind", |s| s.lag(SMALL_LAG + 1, 0)),
        ("is behind is not known", |s| s.lag(64, -200)),
    ];
    for (said, lack) in lacks {
        let mut situation = Situation::prepared();
        lack(&mut situation);
        assert_eq!(situation.leads_to(1), None, "{said}");
        let way = super::super::way_on(&situation.plan, &situation.journal, at(1));
        assert!(way.contains(said) && way.contains("`stand-down`"), "{way}");
    }
}

#[test]
fn where_there_is_no_old_writer_nothing_is_set_aside_or_compared() {
    let mut situation = Situation::prepared();
    (situation.instances().left_at, situation.logins().left_compared_at) = (None, None);
    situation.instances().nothing_left = true;
    assert_eq!(situation.leads_to(1), to(Phase::Synchronised));
}

#[test]
fn ready_it_waits_for_the_moment() {
    let mut situation = Situation::ready();
    assert_eq!(situation.leads_to(1), None);
    situation.run_mut().words.switch_home = Some(said(1));
    assert_eq!(situation.leads_to(1), to(Phase::Switching));
}

#[test]
fn a_window_is_a_moment_while_it_lasts_also_over_midnight() {
    // Every situation begins at 00:05.
    for (window, is) in [("00:00-01:00", true), ("23:00-00:30", true), ("02:00-04:00", false), ("22:00-00:05", false), ("00:05-00:06", true)] {
        let mut situation = Situation::ready();
        situation.plan.failback.window = Some(window.to_owned());
        assert_eq!(situation.leads_to(1) == to(Phase::Switching), is, "{window}");
    }
}

#[test]
fn each_thing_that_a_switch_lacks_keeps_it_synchronised_whatever_was_said() {
    let lacks: [(&str, Change); 8] = [
        ("holds it", |s| s.journal.head.hold = Some(HoldSwitch { until: at(60), by: "ada".to_owned() })),
        ("broken", |s| s.instances().why_not = Some("broken".to_owned())),
        ("has not looked", |s| s.instances().looked_at = Some(at(-200))),
        ("MiB of log behind", |s| s.lag(SMALL_LAG + 1, 0)),
        ("has not been compared", |s| s.logins().compared = None),
        ("compared", |s| s.compared(Some(false))),
        ("was not seen in the primary Region", |s| s.secret().seen_at = None),
        ("was not seen in the primary Region", |s| s.secret().seen_at = Some(at(-200))),
    ];
    for (lack, make) in lacks {
        let mut situation = Situation::ready();
        situation.run_mut().words.switch_home = Some(said(0));
        make(&mut situation);
        assert_eq!(situation.leads_to(1), None, "{lack}");
        let way = super::super::way_on(&situation.plan, &situation.journal, at(1));
        assert!(way.contains(lack), "{way}");
    }
}

#[test]
fn writes_of_mysql_do_not_pause_before_it_is_known_by_what_they_are_closed() {
    let gate = |seen| Some(HomeGate { group: "shop-orders".to_owned(), was: None, seen_at: at(seen), told: None });
    let lacks: [(Option<HomeGate>, Option<&str>, Option<&str>); 4] = [
        (None, None, Some("by which parameter group the writes of orders are closed is not known")),
        (gate(-200), None, Some("is not known")),
        (None, Some("it is AWS's own"), Some("database orders: it is AWS's own")),
        (gate(0), None, None),
    ];
    for (gate, no_gate, lack) in lacks {
        let mut situation = Situation::ready();
        situation.plan.databases[0].engine = Engine::MariaDb;
        situation.run_mut().words.switch_home = Some(said(0));
        (situation.logins().gate, situation.logins().no_gate) = (gate, no_gate.map(str::to_owned));
        assert_eq!(situation.leads_to(1).is_none(), lack.is_some(), "{lack:?}");
        let way = super::super::way_on(&situation.plan, &situation.journal, at(1));
        assert!(lack.is_none_or(|lack| way.contains(lack)), "{way}");
    }
}

#[test]
fn what_no_common_position_was_found_for_is_compared_while_writes_pause() {
    let mut situation = Situation::ready();
    situation.compared(None);
    situation.run_mut().words.switch_home = Some(said(0));
    assert_eq!(situation.leads_to(1), to(Phase::Switching));
    let mut situation = Situation::reached();
    situation.compared(None);
    assert_eq!(situation.leads_to(1), None);
}

#[test]
fn the_point_of_no_return_is_recorded_once_the_last_write_is_home() {
    let due = Situation::reached().due(1).unwrap();
    let run = due.head.run.unwrap();
    assert_eq!((run.phase, run.committed_at, run.phase_since, due.head.serving), (Phase::Switching, Some(at(1)), at(0), Place::Standby));
    let lacks: [fn(&mut Situation); 3] = [
        |s| s.logins().closed_at = None,
        |s| s.logins().reached_at = None,
        |s| s.journal.head.hold = Some(HoldSwitch { until: at(60), by: "ada".to_owned() }),
    ];
    for lack in lacks {
        let mut situation = Situation::reached();
        lack(&mut situation);
        assert_eq!(situation.due(1), None);
    }
}

#[test]
fn a_difference_found_while_writes_pause_gives_it_up() {
    let mut situation = Situation::reached();
    situation.compared(Some(false));
    assert_eq!(situation.leads_to(1), to(Phase::Aborted));
}

#[test]
fn writes_that_pause_too_long_are_opened_again() {
    let mut situation = Situation::reached();
    situation.logins().reached_at = None;
    assert_eq!(situation.leads_to(299), None);
    assert_eq!(situation.leads_to(300), to(Phase::Aborted));
}

#[test]
fn a_committed_failback_that_promotes_nothing_within_the_pause_is_given_up_too() {
    let mut situation = Situation::reached();
    situation.run_mut().committed_at = Some(at(0));
    assert_eq!(situation.leads_to(300), to(Phase::Aborted));
}

#[test]
fn a_stand_down_gives_it_up_in_each_phase_before_an_attempt() {
    for phase in [Phase::Preparing, Phase::Synchronised, Phase::Switching] {
        let mut situation = failback(phase);
        situation.run_mut().words.stand_down = Some(said(0));
        let due = situation.due(1).unwrap();
        assert_eq!((due.head.serving, due.said.as_str()), (Place::Standby, "aborted: ada said so; the standby serves on"));
        assert_eq!(situation.leads_to(1), to(Phase::Aborted));
    }
}

#[test]
fn after_an_attempt_only_a_person_goes_back_and_only_while_no_user_is_let_home() {
    let mut situation = Situation::attempted();
    situation.instances().silent_since = Some(at(0));
    assert_eq!(situation.leads_to(7200), None, "nobody goes back by himself");
    situation.run_mut().words.stand_down = Some(said(0));
    assert_eq!(situation.leads_to(1), to(Phase::Aborted));
    situation.journal.progress.traffic.held_out_at = None;
    assert_eq!(situation.leads_to(1), None);
}

#[test]
fn a_region_that_does_not_answer_gives_it_up_sooner_while_writes_pause() {
    for (phase, patience) in [(Phase::Preparing, 15 * 60), (Phase::Synchronised, 15 * 60), (Phase::Switching, 60)] {
        let mut situation = failback(phase);
        situation.instances().silent_since = Some(at(0));
        assert_eq!(situation.leads_to(patience - 1), None, "{phase:?}");
        assert_eq!(situation.leads_to(patience), to(Phase::Aborted), "{phase:?}");
    }
}

#[test]
fn observers_of_a_workload_without_a_database_give_nothing_up() {
    for phase in [Phase::Preparing, Phase::Synchronised, Phase::Switching] {
        let mut situation = failback(phase);
        situation.both(Word::Down, 0, 90);
        assert_eq!(situation.leads_to(90), None, "{phase:?}");
    }
}

#[test]
fn users_that_are_home_make_the_primary_serve() {
    let mut situation = Situation::attempted();
    assert_eq!(situation.leads_to(1), None);
    situation.journal.progress.traffic.home.home_at = Some(at(1));
    let due = situation.due(1).unwrap();
    let run = due.head.run.unwrap();
    assert_eq!((run.phase, run.came_home_at, due.head.serving), (Phase::Restoring, Some(at(1)), Place::Primary));
    assert_eq!(due.head.cool_down_until, Some(at(1) + situation.plan.policy.cool_down));
}

#[test]
fn what_was_given_up_closes_when_no_late_call_can_have_closed_writes_again() {
    let mut situation = failback(Phase::Aborted);
    assert_eq!(situation.leads_to(1), to(Phase::Closed), "writes were never closed");
    situation.logins().closing_at = Some(at(-10));
    assert_eq!(situation.leads_to(1), None);
    situation.logins().reopened_at = Some(at(2));
    assert_eq!(situation.leads_to(90), None, "a call that closes them may have been under way");
    situation.logins().reopened_at = Some(at(60));
    let due = situation.due(90).unwrap();
    assert_eq!((situation.leads_to(90), due.head.serving), (to(Phase::Closed), Place::Standby));
}

#[test]
fn a_standby_that_is_rebuilt_closes_it() {
    assert_eq!(Situation::home().leads_to(1), to(Phase::Closed));
    let lacks: [fn(&mut Situation); 4] = [
        |s| s.instances().backups_on_at = None,
        |s| s.instances().replica_ready_at = None,
        |s| s.secret().replicated_at = None,
        |s| s.journal.progress.restore.restored_at = None,
    ];
    for lack in lacks {
        let mut situation = Situation::home();
        lack(&mut situation);
        assert_eq!(situation.leads_to(1), None);
    }
}

#[test]
fn a_primary_that_fails_once_users_are_home_makes_it_a_failover() {
    let mut situation = Situation::home();
    situation.instances().replica_ready_at = None;
    situation.both(Word::Down, 0, 0);
    let run = situation.due(1).unwrap().head.run.unwrap();
    assert_eq!((run.mode, run.phase, run.was_failback, run.was_drill), (Mode::Failover, Phase::Suspected, true, false));
}

#[test]
fn a_suspicion_that_is_stood_down_in_between_still_gives_the_standby_its_replica_back() {
    let mut situation = Situation::home();
    situation.instances().replica_ready_at = None;
    let run = situation.run_mut();
    (run.mode, run.phase, run.was_failback) = (Mode::Failover, Phase::StoodDown, true);
    assert!(rebuilds(&situation.journal));
    assert_eq!(situation.leads_to(1), None);
    situation.instances().replica_ready_at = Some(at(1));
    assert_eq!(situation.leads_to(1), Some((Mode::Failover, Phase::Closed)));
}

#[test]
fn in_observe_mode_nothing_is_due() {
    let mut situation = Situation::prepared();
    situation.plan.policy.mode = crate::plan::ActMode::Observe;
    assert_eq!(advance(&situation.plan, &situation.journal, at(1)).unwrap(), None);
}
