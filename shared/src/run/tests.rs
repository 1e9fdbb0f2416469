use super::*;
use crate::situations::{STEPS, Situation, at, said};

const MODES: [Mode; 3] = [Mode::Failover, Mode::Drill, Mode::Failback];
const PHASES: [Phase; 12] = [
    Phase::Suspected,
    Phase::Confirmed,
    Phase::Activating,
    Phase::Active,
    Phase::StoodDown,
    Phase::Holding,
    Phase::Restoring,
    Phase::Closed,
    Phase::Preparing,
    Phase::Synchronised,
    Phase::Switching,
    Phase::Aborted,
];

fn legal() -> Vec<(Mode, Phase, Step, Mode, Phase)> {
    let mut legal = Vec::new();
    for mode in MODES {
        for phase in PHASES {
            for step in STEPS {
                if let Ok((to_mode, to_phase)) = transition(mode, phase, step) {
                    legal.push((mode, phase, step, to_mode, to_phase));
                }
            }
        }
    }
    legal
}

#[test]
fn what_is_over_stays_over() {
    assert!(legal().iter().all(|(_, phase, ..)| phase.is_open()));
}

#[test]
fn the_point_of_no_return_is_passed_only_from_confirmed_and_never_by_a_drill() {
    let commits: Vec<_> = legal().into_iter().filter(|(_, _, step, ..)| *step == Step::Commit).collect();
    assert_eq!(
        commits,
        [
            (Mode::Failover, Phase::Confirmed, Step::Commit, Mode::Failover, Phase::Activating),
            (Mode::Failback, Phase::Switching, Step::Commit, Mode::Failback, Phase::Switching),
        ]
    );
}

#[test]
fn a_drill_or_a_failback_becomes_a_failover_only_in_suspected() {
    for (mode, _, step, to_mode, to_phase) in legal() {
        if mode != to_mode {
            assert!(mode != Mode::Failover);
            assert_eq!((step, to_mode, to_phase), (Step::RealFailure, Mode::Failover, Phase::Suspected));
        }
    }
}

#[test]
fn a_failback_is_given_up_until_users_are_home_and_not_afterwards() {
    let aborts: Vec<Phase> = legal().into_iter().filter(|(_, _, step, ..)| *step == Step::Abort).map(|(_, phase, ..)| phase).collect();
    assert_eq!(aborts, [Phase::Preparing, Phase::Synchronised, Phase::Switching]);
}

#[test]
fn the_point_of_no_return_of_a_failback_does_not_begin_its_pause_anew() {
    let mut run = Situation::run(Mode::Failback, Phase::Switching).journal.head.run.unwrap();
    run.step(Step::Commit, at(60)).unwrap();
    assert_eq!((run.phase, run.phase_since), (Phase::Switching, at(0)));
}

#[test]
fn no_open_phase_is_a_dead_end() {
    // Every phase that can be reached is left by some step.
    let legal = legal();
    for (_, _, _, mode, phase) in &legal {
        assert!(!phase.is_open() || legal.iter().any(|(from, at, ..)| (from, at) == (mode, phase)), "{mode} {phase:?}");
    }
}

#[test]
fn a_failover_closed_after_the_first_promotion_is_active_and_nothing_else() {
    let from_activating: Vec<_> = legal().into_iter().filter(|(mode, phase, ..)| (*mode, *phase) == (Mode::Failover, Phase::Activating)).collect();
    let to: Vec<Phase> = from_activating.iter().map(|(.., phase)| *phase).collect();
    assert_eq!(to, [Phase::Active, Phase::StoodDown]);
}

#[test]
fn an_illegal_step_changes_nothing_and_says_what_it_was() {
    let mut run = Situation::run(Mode::Drill, Phase::Holding).run_mut().clone();
    let before = run.clone();
    let illegal = run.step(Step::Commit, at(10)).unwrap_err();
    assert_eq!(run, before);
    assert_eq!(illegal.to_string(), "a drill in Holding cannot Commit");
}

#[test]
fn a_new_suspicion_forgets_what_was_allowed_for_the_last_one() {
    for (mode, phase, step) in [(Mode::Failover, Phase::StoodDown, Step::Suspect), (Mode::Drill, Phase::Holding, Step::RealFailure)] {
        let mut run = Situation::run(mode, phase).run_mut().clone();
        run.confirmed_at = Some(at(1));
        run.committed_at = Some(at(2));
        let word = || Some(said(1));
        run.words = Words { failover: word(), approve: word(), accept_loss: word(), switch_anyway: word(), stand_down: word(), switch_home: word() };
        run.step(step, at(10)).unwrap();
        assert_eq!(run.words, Words::default());
        assert_eq!((run.first_down, run.confirmed_at, run.committed_at), (None, None, None));
        assert_eq!(run.was_drill, mode == Mode::Drill);
    }
}

#[test]
fn the_end_is_stamped_once_it_is_over() {
    let mut run = Situation::run(Mode::Failover, Phase::Activating).run_mut().clone();
    assert_eq!(run.ended_at, None);
    run.step(Step::Complete, at(10)).unwrap();
    assert_eq!((run.ended_at, run.phase_since), (Some(at(10)), at(10)));
}

#[test]
fn a_runs_name_sorts_by_time() {
    assert_eq!(RunId::new(Mode::Failover, at(0)).to_string(), "failover-20260105T000500Z");
    assert!(RunId::new(Mode::Drill, at(0)) < RunId::new(Mode::Drill, at(1)));
}
