//! What scale-up brings up, when, and what it leaves alone.

use crate::scene::{HOUR, Scene, fargate, on_demand};
use relight::plan::Bounds;
use relight::ports::Notice;
use relight::run::{Mode, Phase};
use relight::state::{Baseline, Owed};
use relight_world::Fault;

#[tokio::test(start_paused = true)]
async fn peace_is_left_alone_with_one_read() {
    let mut scene = Scene::peace();
    scene.nudge().await;
    assert_eq!(scene.world.calls.log().len(), 1, "{:?}", scene.world.calls.log());
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_raises_counts_and_bounds_and_leaves_what_churns() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    let (service, group) = (scene.service(), scene.group());
    scene.nudge().await;

    let raised = scene.service();
    assert_eq!((raised.desired, raised.running, raised.scaling), (4, 4, Some(Bounds { min: 3, max: 12 })));
    assert_eq!(raised.capacity_providers, service.capacity_providers);
    let raised = scene.group();
    assert_eq!((raised.min, raised.desired, raised.max, raised.in_service), (2, 3, 6, 3));
    assert_eq!(raised.instances, group.instances);
    assert!(scene.step("service/shop/web").reached_at.is_some() && scene.step("group/workers").reached_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_moves_to_on_demand_and_waits_for_the_new_deployment() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    scene.nudge().await;
    let first = scene.step("service/shop/web");
    scene.enter(Mode::Failover, Phase::Confirmed);
    scene.nudge().await;

    let service = scene.service();
    assert_eq!((service.capacity_providers.clone(), service.deployments), (fargate(), 1));
    assert_eq!(scene.group().instances, on_demand());
    let second = scene.step("service/shop/web");
    assert_eq!(second.requested_at, first.requested_at, "the first request counts");
    assert!(second.reached_at > first.reached_at, "reached is what was asked for last");
}

#[tokio::test(start_paused = true)]
async fn a_drill_goes_all_the_way_and_keeps_it_while_it_holds() {
    let mut scene = Scene::run(Mode::Drill, Phase::Activating);
    scene.nudge().await;
    assert_eq!((scene.service().running, scene.service().capacity_providers), (4, fargate()));
    assert_eq!((scene.group().in_service, scene.group().instances), (3, on_demand()));

    scene.enter(Mode::Drill, Phase::Holding);
    scene.world.compute.change_service("shop", "web", |state| (state.desired, state.running) = (1, 1));
    scene.nudge().await;
    assert_eq!(scene.service().running, 4);
}

#[tokio::test(start_paused = true)]
async fn the_baseline_and_what_is_owed_are_held_before_anything_is_touched() {
    let mut scene = Scene::run(Mode::Drill, Phase::Activating);
    let (service, group) = (scene.service(), scene.group());
    for operation in ["application-autoscaling:RegisterScalableTarget", "autoscaling:UpdateAutoScalingGroup"] {
        scene.world.calls.fault(operation, Fault::Denied);
    }
    scene.tick().await;

    assert_eq!((scene.service(), scene.group()), (service.clone(), group.clone()), "nothing was touched yet");
    let snapshot = scene.world.journal.snapshot();
    let baseline: Vec<Baseline> = snapshot.baseline.into_values().collect();
    assert!(baseline.contains(&Baseline::Service {
        cluster: "shop".to_owned(),
        name: "web".to_owned(),
        desired: 1,
        scaling: service.scaling,
        capacity_providers: service.capacity_providers
    }));
    assert!(baseline.contains(&Baseline::Group { name: "workers".to_owned(), min: 0, desired: 1, max: 2, instances: group.instances }));
    let owed = &snapshot.obligations["capacity"];
    assert_eq!((&owed.what, owed.deadline), (&Owed::Capacity, snapshot.head.run.expect("a run").opened_at + HOUR * 3));
}

#[tokio::test(start_paused = true)]
async fn a_baseline_that_is_held_is_not_taken_again() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    scene.nudge().await;
    let before = scene.world.journal.snapshot().baseline;
    scene.enter(Mode::Failover, Phase::Confirmed);
    scene.nudge().await;
    let snapshot = scene.world.journal.snapshot();
    assert_eq!(snapshot.baseline, before);
    assert_eq!(snapshot.obligations["capacity"].deadline, snapshot.head.run.expect("a run").opened_at + HOUR * 24 * 30);
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_large_enough_is_neither_touched_nor_remembered() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    scene.world.compute.change_service("shop", "web", |state| {
        (state.desired, state.running, state.scaling) = (9, 9, Some(Bounds { min: 5, max: 20 }));
    });
    scene.world.compute.change_group("workers", |state| (state.min, state.desired, state.max, state.in_service) = (4, 8, 9, 8));
    scene.nudge().await;
    assert_eq!((scene.service().desired, scene.group().desired), (9, 8));
    assert_eq!(scene.resizes(), 0);
    assert!(scene.world.journal.snapshot().baseline.is_empty());
    assert!(scene.step("service/shop/web").reached_at.is_some(), "there is nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn doing_it_twice_changes_nothing_more() {
    let mut scene = Scene::run(Mode::Drill, Phase::Activating);
    scene.nudge().await;
    let (resizes, service, group, progress) = (scene.resizes(), scene.service(), scene.group(), scene.progress());
    scene.nudge().await;
    scene.tick().await;
    assert_eq!((scene.resizes(), scene.service(), scene.group(), scene.progress()), (resizes, service, group, progress));
}

#[tokio::test(start_paused = true)]
async fn the_others_are_woken_once_when_all_is_reached() {
    let mut scene = Scene::run(Mode::Drill, Phase::Activating);
    scene.nudge().await;
    scene.nudge().await;
    let reached = |notice: &Notice| matches!(notice, Notice::Progress { what, .. } if what == "capacity reached");
    assert_eq!(scene.world.notices.sent().iter().filter(|notice| reached(notice)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_serves_is_kept_up_with_no_run_open() {
    let mut scene = Scene::serving();
    scene.tick().await;
    scene.wait(60).await;
    scene.tick().await;
    assert_eq!((scene.service().running, scene.group().in_service), (4, 3));
    assert_eq!(scene.world.journal.snapshot().baseline.len(), 2, "what it was before is held all the same");

    let (writes, resizes) = (scene.world.journal.writes(), scene.resizes());
    scene.tick().await;
    assert_eq!((scene.world.journal.writes(), scene.resizes()), (writes, resizes), "a tick in peace writes nothing");
}

#[tokio::test(start_paused = true)]
async fn what_auto_scaling_chooses_within_the_bounds_is_its_own_once_the_run_is_over() {
    let mut scene = Scene::serving();
    scene.tick().await;
    scene.wait(60).await;
    scene.world.compute.change_service("shop", "web", |state| (state.desired, state.running) = (3, 3));
    let resizes = scene.resizes();
    scene.tick().await;
    assert_eq!((scene.service().desired, scene.resizes()), (3, resizes));

    scene.world.compute.change_service("shop", "web", |state| {
        (state.desired, state.running, state.scaling) = (1, 1, Some(Bounds { min: 1, max: 2 }));
    });
    scene.tick().await;
    assert_eq!((scene.service().desired, scene.service().scaling), (4, Some(Bounds { min: 3, max: 12 })), "a late call of scale-down is undone");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_being_undone_is_not_raised() {
    for (mode, phase) in [(Mode::Failover, Phase::StoodDown), (Mode::Drill, Phase::Restoring)] {
        let mut scene = Scene::run(mode, phase);
        scene.nudge().await;
        assert_eq!(scene.resizes(), 0);
    }
}
