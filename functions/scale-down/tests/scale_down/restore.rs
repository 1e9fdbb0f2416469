//! The baseline, when and how exactly it is given back.

use jiff::SignedDuration;
use relight::plan::Bounds;
use relight::run::{Mode, Phase};
use relight::state::{Key, OfRun, Place, TrafficProgress};

use crate::scene::Scene;

const DRILL_OWES: SignedDuration = SignedDuration::from_hours(3);

#[tokio::test(start_paused = true)]
async fn a_drill_leaves_everything_as_it_was_and_closes() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    scene.nudge().await;
    scene.expect_restored("after a drill");
    assert_eq!(scene.phase(), Phase::Closed);
    let run = scene.snapshot().head.run.expect("a run");
    let said = scene.world.journal.sentences(&run.id);
    assert!(said.iter().any(|said| said.starts_with("asked for what was before: bounds 1 to 2, 1 task(s), 1 FARGATE_SPOT in a new deployment")));
    assert!(said.iter().any(|said| said == "as it was before: 1 wanted, 1 run"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_baseline_of_nothing_is_restored_to_nothing() {
    let mut scene = Scene::raised_from(Mode::Drill, Phase::Restoring, |compute| {
        compute.change_service("shop", "web", |state| (state.desired, state.running, state.scaling) = (0, 0, Some(Bounds { min: 0, max: 1 })));
        compute.change_group("workers", |state| (state.min, state.desired, state.max, state.in_service) = (0, 0, 0, 0));
    })
    .await;
    scene.nudge().await;
    scene.expect_restored("a pilot light that was out");
    assert_eq!(scene.service().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_stood_down_is_undone_and_closed() {
    let mut scene = Scene::raised(Mode::Failover, Phase::StoodDown).await;
    scene.nudge().await;
    scene.expect_restored("stood down");
    assert_eq!(scene.phase(), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_is_restored_already_is_not_touched_again() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    scene.nudge().await;
    let calls = scene.world.calls.log().len();
    scene.tick().await;
    assert_eq!(scene.world.calls.log().len(), calls + 1, "one read of the journal in peace");
}

#[tokio::test(start_paused = true)]
async fn one_turn_an_invocation_leads_to_the_same_end() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    for _ in 0..5 {
        scene.tick().await;
    }
    scene.expect_restored("by ticks alone");
    assert_eq!(scene.phase(), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lowered_while_the_standby_serves() {
    let mut scene = Scene::raised(Mode::Failover, Phase::StoodDown).await;
    scene.set_head(|head| head.serving = Place::Standby);
    let raised = scene.standing();
    let answer = scene.nudge().await;
    assert_eq!(scene.standing(), raised);
    assert!(answer.said.contains(&"capacity is not lowered while the standby serves; bring traffic home first".to_owned()), "{:?}", answer.said);
    assert_eq!(scene.snapshot().baseline.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lowered_while_stop_or_dns_keeps_users_here() {
    let mut scene = Scene::raised(Mode::Failover, Phase::StoodDown).await;
    let raised = scene.standing();
    let run = scene.snapshot().head.run.expect("a run").id;
    let now = scene.world.now();
    let set = |scene: &Scene, progress: TrafficProgress| {
        let item = serde_json::to_value(OfRun { run: run.clone(), progress }).expect("progress is JSON");
        scene.world.journal.set(Key::Progress(relight::state::Part::Traffic), item);
    };
    set(&scene, TrafficProgress { stop_asked_at: Some(now), users_at: Some(Place::Standby), ..TrafficProgress::default() });
    let answer = scene.tick().await;
    assert!(answer.said.iter().any(|said| said.contains("STOP")), "{:?}", answer.said);
    set(&scene, TrafficProgress { released_at: Some(now), users_at: Some(Place::Standby), ..TrafficProgress::default() });
    let answer = scene.tick().await;
    assert!(answer.said.iter().any(|said| said.contains("users' DNS answers the standby")), "{:?}", answer.said);
    assert_eq!(scene.standing(), raised);

    set(&scene, TrafficProgress { released_at: Some(now), users_at: Some(Place::Primary), ..TrafficProgress::default() });
    scene.nudge().await;
    scene.expect_restored("users are home");
}

#[tokio::test(start_paused = true)]
async fn capacity_that_a_lost_run_left_is_given_back_at_its_deadline_and_not_before() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Closed).await;
    let (raised, opened) = (scene.standing(), scene.snapshot().head.run.expect("a run").opened_at);
    scene.nudge().await;
    assert_eq!(scene.standing(), raised);
    scene.until(opened + DRILL_OWES).await;
    for _ in 0..4 {
        scene.tick().await;
    }
    scene.expect_restored("past the deadline");
}

#[tokio::test(start_paused = true)]
async fn an_obligation_for_capacity_sleeps_while_a_failover_is_open_and_while_the_standby_serves() {
    for (phase, serving) in [(Phase::Suspected, Place::Primary), (Phase::Activating, Place::Standby), (Phase::Active, Place::Standby)] {
        let mut scene = Scene::raised(Mode::Drill, Phase::Holding).await;
        let opened = scene.snapshot().head.run.expect("a run").opened_at;
        scene.until(opened + DRILL_OWES).await;
        scene.enter(Mode::Failover, phase);
        scene.set_head(|head| head.serving = serving);
        let raised = scene.standing();
        scene.tick().await;
        assert_eq!(scene.standing(), raised, "{phase:?}");
        assert_eq!(scene.snapshot().baseline.len(), 2, "{phase:?}");
    }
}
