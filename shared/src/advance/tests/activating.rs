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
