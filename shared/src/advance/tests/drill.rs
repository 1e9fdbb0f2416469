use super::*;
use crate::plan::Engine;
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
        // A cluster of Aurora's is rehearsed as a replica is.
        for engine in [Engine::Postgres, Engine::AuroraPostgres] {
            let mut situation = rehearsed();
            situation.plan.databases[0].engine = engine;
            take(&mut situation);
            assert_eq!(situation.due(10), None, "{index}");
        }
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
