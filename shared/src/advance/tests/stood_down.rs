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
