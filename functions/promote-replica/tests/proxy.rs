//! A proxy before the promoted database: registered once it takes writes, waited for, and none of it in a drill.

mod common;

use common::Scene;
use relight::run::{Mode, Phase};

const PROXY: &str = "users-proxy";

fn plan() -> String {
    common::PLAN.replace("replica = \"users-replica\"", "replica = \"users-replica\"\nproxy = \"users-proxy\"")
}

fn activating() -> Scene {
    Scene::with_plan(&plan(), Mode::Failover, Phase::Activating)
}

#[tokio::test(start_paused = true)]
async fn the_promoted_instance_becomes_the_proxys_target_and_is_waited_for() {
    let mut scene = activating();
    scene.nudge().await;
    let step = scene.promotion().databases["users"].clone();
    assert!(step.promoted_at < step.proxy.available_at && step.proxy.available_at.is_some(), "{step:?}");
    assert_eq!(step.proxy.endpoint.expect("where it listens").host, "users-proxy.proxy.standby.rds.test");
    assert_eq!(scene.world.database.targets(PROXY), ["users-replica"]);
    assert_eq!(scene.world.calls.count("rds:RegisterDBProxyTargets"), 1);
    for said in
        ["made users-replica the target of the proxy users-proxy", "its target is REGISTERING (PENDING_PROXY_CAPACITY)", "its target is AVAILABLE"]
    {
        assert!(scene.said(said), "{said}: {:#?}", scene.sentences());
    }
    assert_eq!(scene.promotion().databases["orders"].proxy.available_at, None, "the other has none");
    let looks = scene.world.calls.count("rds:DescribeDBProxies");
    scene.nudge().await;
    assert_eq!(scene.world.calls.count("rds:DescribeDBProxies"), looks, "nothing is left to look at");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_registered_without_an_answer_is_not_registered_twice() {
    let mut scene = activating();
    scene.world.calls.fault("rds:RegisterDBProxyTargets", relight_world::Fault::LostAnswer);
    scene.nudge().await;
    assert!(scene.promotion().databases["users"].proxy.available_at.is_some());
    assert_eq!(scene.world.calls.count("rds:RegisterDBProxyTargets"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_gone_is_said_and_a_plan_without_it_goes_on() {
    let mut scene = activating();
    scene.world.database.lose_proxy(PROXY);
    scene.nudge().await;
    assert!(scene.world.database.is_writer("users-replica"), "the promotion does not wait for it");
    assert!(scene.promotion().databases["users"].backups_on_at.is_some());
    assert!(scene.said("the standby Region has no proxy users-proxy; create it"), "{:#?}", scene.sentences());
}

#[tokio::test(start_paused = true)]
async fn another_ones_target_is_not_touched() {
    let mut scene = activating();
    scene.world.database.set_target(PROXY, "bills");
    scene.nudge().await;
    assert_eq!(scene.world.calls.count("rds:RegisterDBProxyTargets"), 0);
    assert!(scene.said("has the target bills"), "{:#?}", scene.sentences());
}

#[tokio::test(start_paused = true)]
async fn a_drill_touches_no_proxy() {
    let mut scene = Scene::with_plan(&plan(), Mode::Drill, Phase::Activating);
    scene.ticks(6).await;
    assert!(scene.promotion().copies["users"].available_at.is_some());
    assert!(scene.world.calls.log().iter().all(|call| !call.operation.contains("Proxy")));
}
