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
