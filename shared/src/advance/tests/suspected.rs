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
