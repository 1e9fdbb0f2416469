//! What the plan asks of a promoted instance beside its backups and its class, in a failover and after it.

mod common;

use common::{Scene, with_settings};
use relight::run::{Mode, Phase};
use relight::state::HoldSwitch;

fn activating() -> Scene {
    Scene::with_plan(&with_settings(), Mode::Failover, Phase::Activating)
}

fn users(scene: &Scene) -> relight::state::DatabaseStep {
    scene.promotion().databases["users"].clone()
}

fn changes(scene: &Scene) -> usize {
    scene.world.calls.log().iter().filter(|call| call.operation == "rds:ModifyDBInstance" && call.about == "users-replica").count()
}

#[tokio::test(start_paused = true)]
async fn deletion_protection_comes_with_the_promotion_and_the_rest_not_before_users_are_served() {
    let mut scene = activating();
    scene.nudge().await;
    let step = users(&scene);
    assert!(step.promoted_at < step.protected_at && step.protected_at.is_some(), "{step:?}");
    assert_eq!((step.multi_az_at, step.parameters_at, changes(&scene)), (None, None, 1));
    assert!(scene.said("changes users-replica: deletion protection on") && scene.said("deletion protection of users-replica is on"));
    assert!(scene.said("Multi-AZ on, parameter group users-serving: last"), "{:#?}", scene.sentences());

    scene.others_are_done();
    scene.nudge().await;
    let (step, instance) = (users(&scene), scene.world.database.instance("users-replica").expect("there"));
    assert!(step.multi_az_at.is_some() && step.parameters_at > step.restart.called_at && step.restart.called_at.is_some(), "{step:?}");
    assert!(instance.multi_az && instance.deletion_protection, "{instance:?}");
    assert_eq!(instance.parameter_group.expect("a group").status, "in-sync");
    assert_eq!((changes(&scene), scene.world.database.restarts("users-replica")), (2, 1), "one call for what restarts or slows it");
    assert!(scene.said("parameter group users-serving is in force on users-replica"), "{:#?}", scene.sentences());
}

#[tokio::test(start_paused = true)]
async fn what_the_replica_was_is_remembered_before_the_first_touch_and_not_after() {
    let mut scene = activating();
    scene.nudge().await;
    scene.others_are_done();
    scene.nudge().await;
    let was = scene.snapshot().memory.replicas["users"].clone();
    assert_eq!((was.multi_az, was.deletion_protection, was.parameter_group.as_deref()), (Some(false), Some(false), Some("default.postgres16")));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_promoted_by_hand_was_is_remembered_before_it_is_changed() {
    let mut scene = activating();
    scene.world.database.change("users-replica", |replica| {
        replica.source = None;
        replica.replication.clear();
    });
    scene.nudge().await;
    assert_eq!(scene.world.database.promotions("users-replica"), 0);
    assert_eq!(scene.snapshot().memory.replicas["users"].deletion_protection, Some(false));
    assert!(users(&scene).protected_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn changes_outlast_the_run_and_are_finished_by_ticks() {
    let mut scene = activating();
    scene.nudge().await;
    scene.others_are_done();
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Active);
    scene.ticks(1).await;
    assert!(users(&scene).parameters_at.is_none());
    scene.ticks(4).await;
    let step = users(&scene);
    assert!(step.multi_az_at.is_some() && step.parameters_at.is_some(), "{step:?}");
    let calls = scene.world.calls.count("rds:DescribeDBInstances");
    scene.ticks(3).await;
    assert_eq!(scene.world.calls.count("rds:DescribeDBInstances"), calls, "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn a_hold_while_the_standby_serves_keeps_the_writer_from_restarting() {
    let mut scene = activating();
    scene.nudge().await;
    scene.others_are_done();
    let until = scene.world.now() + common::minutes(60);
    scene.change(|head| head.hold = Some(HoldSwitch { until, by: "ada".to_owned() }));
    scene.nudge().await;
    assert_eq!((changes(&scene), scene.world.database.restarts("users-replica")), (1, 0));
    assert!(scene.said("ada holds it until"));
}

#[tokio::test(start_paused = true)]
async fn a_drill_touches_none_of_it() {
    let mut scene = Scene::with_plan(&with_settings(), Mode::Drill, Phase::Activating);
    let before = scene.world.database.instance("users-replica");
    scene.ticks(6).await;
    let calls = ["rds:ModifyDBInstance", "rds:RebootDBInstance"].map(|operation| scene.world.calls.count(operation));
    assert_eq!(calls, [0, 0]);
    let after = scene.world.database.instance("users-replica");
    let settings = |instance: Option<relight::ports::Instance>| instance.map(|instance| instance.shape());
    assert_eq!(settings(after), settings(before));
}
