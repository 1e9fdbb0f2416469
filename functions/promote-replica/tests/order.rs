//! Databases in the plan's order: the second is promoted once the first is proven, and never twice.

mod common;

use common::Scene;
use relight::run::{Mode, Phase};

fn ordered() -> Scene {
    let plan = common::PLAN.replace("replica = \"users-replica\"", "replica = \"users-replica\"\nafter = \"orders\"");
    Scene::with_plan(&plan, Mode::Failover, Phase::Activating)
}

#[tokio::test(start_paused = true)]
async fn the_second_waits_for_the_firsts_proof_and_says_so() {
    let mut scene = ordered();
    scene.nudge().await;
    assert!(scene.world.database.is_writer("orders-replica"));
    assert_eq!(scene.world.database.promotions("users-replica"), 0);
    assert!(
        scene.promotion().databases.get("users").is_none_or(|step| step.promote_attempt_at.is_none()),
        "nothing is recorded of what is not begun"
    );
    assert!(scene.said("orders must be proven first, and it is not promoted yet") && scene.said("it is promoted and not yet proven"));

    scene.others_are_done();
    scene.nudge().await;
    assert!(scene.world.database.is_writer("users-replica"));
    let (orders, users) = (scene.promotion().databases["orders"].clone(), scene.promotion().databases["users"].clone());
    assert!(orders.promoted_at < users.promote_attempt_at, "{orders:?} {users:?}");
    assert_eq!(["orders-replica", "users-replica"].map(|name| scene.world.database.promotions(name)), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_still_goes_back_while_the_first_promotion_is_not_begun() {
    let mut scene = ordered();
    scene.world.database.change("orders-replica", |replica| replica.status = "backing-up".to_owned());
    scene.nudge_for(10).await;
    scene.say(|words, said| words.stand_down = Some(said));
    scene.nudge().await;
    assert_eq!(scene.run().phase, Phase::StoodDown);
    assert_eq!(scene.world.calls.count("rds:PromoteReadReplica"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drill_rehearses_all_side_by_side() {
    let plan = common::PLAN.replace("replica = \"users-replica\"", "replica = \"users-replica\"\nafter = \"orders\"");
    let mut scene = Scene::with_plan(&plan, Mode::Drill, Phase::Activating);
    scene.ticks(6).await;
    let copies = scene.promotion().copies;
    assert!(copies["orders"].requested_at == copies["users"].requested_at && copies["users"].available_at.is_some(), "{copies:?}");
}
