use std::collections::BTreeSet;

use super::*;
use crate::decide::traffic::{StopStep, fence_is_due, stop};
use crate::situations::{Situation, at, said};
use crate::state::{HomeDatabase, HomeSecretStep, HomeStep};

/// A failback that may let users home.
fn ready() -> Situation {
    let mut situation = Situation::run(Mode::Failback, Phase::Switching);
    situation.run_mut().committed_at = Some(at(0));
    let rotation = &mut situation.journal.progress.rotation.home;
    rotation.databases.insert("orders".to_owned(), HomeDatabase { proven_at: Some(at(0)), ..HomeDatabase::default() });
    rotation.secrets.insert("shop/orders".to_owned(), HomeSecretStep { tested_at: Some(at(0)), ..HomeSecretStep::default() });
    let traffic = &mut situation.journal.progress.traffic;
    (traffic.stop_asked_at, traffic.held_out_at, traffic.home.page_at) = (Some(at(0)), Some(at(0)), Some(at(0)));
    situation
}

fn next(situation: &Situation, present: bool) -> Decision<StopStep, crate::advance::Blocked, Infallible> {
    stop(&situation.plan, &situation.journal, present, at(0))
}

fn answered(status: u16) -> Fetched {
    Fetched::Answered { status, body: String::new() }
}

#[test]
fn stop_goes_when_the_primary_can_serve() {
    let mut situation = ready();
    assert_eq!(next(&situation, true), Decision::Act(vec![StopStep::TakeBack]));
    situation.journal.progress.traffic.held_out_at = None;
    assert_eq!(next(&situation, true), Decision::Act(vec![StopStep::Remove]));
    assert_eq!(next(&situation, false), Decision::Act(vec![StopStep::Release]));
}

#[test]
fn stop_stays_while_anything_is_missing() {
    let lacks: [fn(&mut Situation); 5] = [
        |s| s.journal.progress.rotation.home.databases.clear(),
        |s| s.journal.progress.rotation.home.secrets.clear(),
        |s| s.journal.progress.traffic.home.page_at = None,
        |s| s.run_mut().committed_at = None,
        |s| s.run_mut().phase = Phase::Aborted,
    ];
    for lack in lacks {
        let mut situation = ready();
        lack(&mut situation);
        assert_eq!(next(&situation, true), Decision::Done);
    }
}

#[test]
fn stop_stands_in_every_phase_of_a_failback_until_then() {
    for phase in [Phase::Preparing, Phase::Synchronised, Phase::Switching, Phase::Aborted] {
        let situation = Situation::run(Mode::Failback, phase);
        assert_eq!(next(&situation, true), Decision::Act(vec![StopStep::Ask]), "the run has not recorded it yet");
    }
}

#[test]
fn a_persons_word_waives_page_and_secrets_and_never_a_database() {
    let mut situation = ready();
    situation.run_mut().words.switch_anyway = Some(said(0));
    situation.journal.progress.traffic.home.page_at = None;
    situation.journal.progress.rotation.home.secrets.clear();
    assert!(lets_home(&situation.plan, &situation.journal));
    situation.journal.progress.rotation.home.databases.clear();
    assert!(!lets_home(&situation.plan, &situation.journal));
}

#[test]
fn users_are_home_when_the_page_answers_stop_is_gone_and_their_name_leads_there() {
    let mut situation = ready();
    let traffic = &mut situation.journal.progress.traffic;
    (traffic.stop_asked_at, traffic.held_out_at) = (None, None);
    let look = |situation: &Situation, users: &Users, status| coming_home(&situation.plan, &situation.journal, users, Some(&answered(status)));
    let primary = Users::At(Place::Primary);
    assert_eq!(look(&situation, &primary, 200), Decision::Act(vec![Arrival::Home]));
    assert!(matches!(look(&situation, &primary, 503), Decision::Wait(NotHome::Page { .. })));
    assert!(matches!(look(&situation, &Users::At(Place::Standby), 200), Decision::Wait(NotHome::AtStandby { .. })));
    assert!(matches!(look(&situation, &Users::Unknown("no answer".to_owned()), 200), Decision::Wait(NotHome::Unknown { .. })));
    situation.journal.progress.traffic.stop_asked_at = Some(at(0));
    assert!(matches!(look(&situation, &primary, 200), Decision::Wait(NotHome::Stop)));
    situation.journal.progress.traffic.home.page_at = None;
    assert_eq!(look(&situation, &primary, 200), Decision::Act(vec![Arrival::PageAnswers]));
}

#[test]
fn a_plan_without_a_probe_asks_no_page() {
    let mut situation = ready();
    situation.plan.observers.retain(|observer| observer.name != "probe");
    situation.journal.progress.traffic.home.page_at = None;
    assert!(lets_home(&situation.plan, &situation.journal));
    situation.journal.progress.traffic.stop_asked_at = None;
    let coming = coming_home(&situation.plan, &situation.journal, &Users::At(Place::Primary), None);
    assert_eq!(coming, Decision::Act(vec![Arrival::Home]));
}

#[test]
fn only_a_failback_given_up_after_an_attempt_leaves_an_old_writer_to_fence() {
    let fenced = |phase, attempted: bool| {
        let mut situation = Situation::run(Mode::Failback, phase);
        situation.journal.head.serving = Place::Standby;
        let step = HomeStep { promote_attempt_at: attempted.then(|| at(0)), ..HomeStep::default() };
        situation.journal.progress.promotion.home.insert("orders".to_owned(), step);
        fence_is_due(&situation.journal, None, at(0))
    };
    let due: BTreeSet<(bool, bool)> = [(false, false), (true, true)].into();
    for phase in [Phase::Aborted, Phase::Closed] {
        assert_eq!([false, true].map(|attempted| (attempted, fenced(phase, attempted))).into_iter().collect::<BTreeSet<_>>(), due, "{phase:?}");
    }
    for phase in [Phase::Preparing, Phase::Synchronised, Phase::Switching] {
        assert!(!fenced(phase, true), "{phase:?}: it would fence the replica at home");
    }
}
