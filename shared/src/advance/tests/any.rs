//! Whatever the journal holds: no illegal step, no commit that skips a veto, nothing opened while the standby serves.

use proptest::prelude::*;

use super::*;
use crate::run::transition;
use crate::situations::{STEPS, plan};

const OBSERVERS: [&str; 4] = ["probe", "checkers", "unhealthy", "errors"];

/// Around the situations' deadlines, and often within the minute that judgements count for.
fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![0..120_i64, -4000..12_000_i64]
}

fn maybe() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(moment())
}

fn phase() -> impl Strategy<Value = (Mode, Phase)> {
    prop::sample::select(vec![
        (FAILOVER, Phase::Suspected),
        (FAILOVER, Phase::Confirmed),
        (FAILOVER, Phase::Activating),
        (FAILOVER, Phase::StoodDown),
        (FAILOVER, Phase::Active),
        (FAILOVER, Phase::Closed),
        (DRILL, Phase::Activating),
        (DRILL, Phase::Holding),
        (DRILL, Phase::Restoring),
        (DRILL, Phase::Closed),
        (Mode::Failback, Phase::Preparing),
        (Mode::Failback, Phase::Synchronised),
        (Mode::Failback, Phase::Switching),
        (Mode::Failback, Phase::Restoring),
        (Mode::Failback, Phase::Aborted),
    ])
}

prop_compose! {
    fn situation()(
        run in prop::option::weighted(0.9, phase()),
        serving in any::<bool>(),
        words in prop::collection::vec((0..4_usize, 0..3_usize, moment()), 0..8),
        orders in prop::collection::vec(maybe(), 5),
        database in prop::collection::vec(maybe(), 4),
        refused in any::<bool>(),
        traffic in prop::collection::vec(maybe(), 4),
        rest in prop::collection::vec(maybe(), 6),
        running in prop::option::of(0..5_u32),
        approval in any::<bool>(),
        quorum in 1..4_usize,
    ) -> Situation {
        let time = |seconds: Option<i64>| seconds.map(at);
        let mut situation = run.map_or_else(Situation::peace, |(mode, phase)| Situation::run(mode, phase));
        situation.plan.policy.approval = approval;
        situation.plan.policy.quorum = quorum;
        situation.journal.head.serving = if serving { Place::Standby } else { Place::Primary };
        situation.journal.head.hold = rest[0].map(|until| HoldSwitch { until: at(until), by: "ada".to_owned() });
        situation.journal.head.cool_down_until = time(rest[1]);
        for (observer, word, seconds) in words {
            situation.hears(OBSERVERS[observer], [Word::Up, Word::Down, Word::Unknown][word], seconds);
        }
        if let Some(run) = situation.journal.head.run.as_mut() {
            let word = |index: usize| orders[index].map(said);
            run.words.failover = word(0);
            run.words.approve = word(1);
            run.words.accept_loss = word(2);
            run.words.switch_anyway = word(3);
            run.words.stand_down = word(4);
        }
        *situation.database() = crate::state::DatabaseStep {
            cleared_at: time(database[0]),
            promote_attempt_at: time(database[1]),
            promoted_at: time(database[2]),
            backups_on_at: time(database[3]),
            refused: refused.then(|| "refused".to_owned()),
            ..Default::default()
        };
        let progress = &mut situation.journal.progress;
        progress.traffic.stop_asked_at = time(traffic[0]);
        progress.traffic.held_out_at = time(traffic[1]);
        progress.traffic.released_at = time(traffic[2]);
        progress.traffic.opened_at = time(traffic[3]);
        progress.restore.restored_at = time(rest[2]);
        progress.drill.validated_at = time(rest[3]);
        progress.drill.announced_at = time(rest[4]);
        if let Some(proven) = rest[5] {
            progress.rotation.proven.insert("orders".to_owned(), at(proven));
        }
        if let Some(running) = running {
            situation.capacity(running);
        }
        situation
    }
}

fn due(situation: &Situation, now: i64) -> Option<Advance> {
    advance(&situation.plan, &situation.journal, at(now)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_situation_leads_to_an_illegal_step(situation in situation(), now in moment()) {
        let due = advance(&situation.plan, &situation.journal, at(now));
        prop_assert!(due.is_ok(), "{due:?}");
        let (Some(due), Some(was)) = (due.unwrap(), situation.journal.head.open_run()) else { return Ok(()) };
        let is = due.head.run.unwrap();
        prop_assert_eq!(&is.id, &was.id);
        prop_assert!(STEPS.iter().any(|step| transition(was.mode, was.phase, *step) == Ok((is.mode, is.phase))));
    }

    #[test]
    fn nothing_opens_while_the_standby_serves(mut situation in situation(), now in moment()) {
        situation.journal.head.serving = Place::Standby;
        if let Some(run) = situation.journal.head.run.as_mut() {
            (run.mode, run.phase) = (FAILOVER, Phase::Active);
        }
        prop_assert_eq!(due(&situation, now), None);
    }

    #[test]
    fn nothing_is_committed_past_a_veto(situation in situation(), now in moment()) {
        let Some(due) = due(&situation, now) else { return Ok(()) };
        let run = due.head.run.unwrap();
        if (run.mode, run.phase) != (FAILOVER, Phase::Activating) {
            return Ok(());
        }
        prop_assert_eq!(situation.journal.phase(), Some((FAILOVER, Phase::Confirmed)));
        let progress = &situation.journal.progress;
        let step = &progress.promotion.databases["orders"];
        prop_assert!(progress.traffic.held_out_at.is_some());
        prop_assert!(step.refused.is_none() && step.cleared_at.is_some_and(|cleared| at(now).duration_since(cleared) <= CLEARED_FOR));
        prop_assert!(!situation.journal.head.held(at(now)));
        prop_assert!(run.words.stand_down.is_none());
        let verdict = situation.journal.evidence.judge(&situation.plan, at(now));
        prop_assert!(run.words.failover.is_some() || verdict.quorum_down(&situation.plan));
    }

    #[test]
    fn nothing_that_was_attempted_is_stood_down(situation in situation(), now in moment()) {
        let Some((FAILOVER, Phase::Activating)) = situation.journal.phase() else { return Ok(()) };
        let stood_down = due(&situation, now).and_then(|due| due.head.run).is_some_and(|run| run.phase == Phase::StoodDown);
        prop_assert!(!stood_down || situation.journal.progress.promotion.databases["orders"].promote_attempt_at.is_none());
    }

    #[test]
    fn a_drill_never_makes_the_standby_serve(situation in situation(), now in moment()) {
        let Some((DRILL, _)) = situation.journal.phase() else { return Ok(()) };
        if let Some(due) = due(&situation, now) {
            prop_assert_eq!(due.head.serving, situation.journal.head.serving);
        }
    }

    /// Whoever takes each step that is due at one moment comes to rest: phases do not go round.
    #[test]
    fn steps_at_one_moment_come_to_an_end(mut situation in situation(), now in moment()) {
        for _ in 0..6 {
            let Some(due) = due(&situation, now) else { return Ok(()) };
            situation.journal.head = due.head;
        }
        prop_assert!(false, "{:?}", situation.journal.head.run);
    }
}

#[test]
fn the_plan_of_these_situations_names_the_observers() {
    assert!(OBSERVERS.iter().all(|name| plan().observer(name).is_some()));
}
