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
