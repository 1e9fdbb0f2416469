//! Applications come through a proxy: what their secrets name, how the database is proven, and that rotations go past it.

mod common;

use common::{HOST, PLAN, SECRETS, Scene, endpoint};
use jiff::Timestamp;
use relight::plan::Plan;
use relight::ports::{Database, ProxyId, ReplicaId};
use relight::state::{DatabaseStep, Key, OfRun, Part, PromotionProgress, ProxyStep};
use relight_world::secrets::RotatedBy;
use serde_json::json;

const PROXY: &str = "orders-proxy.proxy.standby.rds.test";

/// A failover whose database is promoted, and its proxy registered but for what the journal says of it.
async fn promoted() -> Scene {
    let plan = PLAN.replace("replica = \"orders-replica\"", "replica = \"orders-replica\"\nproxy = \"orders-proxy\"");
    let scene = Scene::activating_with(&plan);
    scene.promote();
    let database = Plan::stored(&plan).expect("a plan").databases.remove(0);
    let proxy = ProxyId::of(&database).expect("a proxy");
    scene.world.database.register(&proxy, &ReplicaId::of(&database)).await.expect("registered");
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    scene
}

fn say(scene: &Scene, available_at: Option<Timestamp>) {
    let proxy = ProxyStep { available_at, endpoint: available_at.map(|_| endpoint(PROXY)) };
    let step = DatabaseStep { promoted_at: Some(scene.world.now()), endpoint: Some(endpoint(HOST)), proxy, ..DatabaseStep::default() };
    let progress = PromotionProgress { databases: [("orders".to_owned(), step)].into(), ..PromotionProgress::default() };
    scene.world.journal.set(Key::Progress(Part::Promotion), json!(OfRun { run: scene.run().id, progress }));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_proven_or_repointed_before_the_proxy_reaches_the_database() {
    let mut scene = promoted().await;
    say(&scene, None);
    scene.nudge().await;
    assert!(scene.rotation().proven.is_empty() && SECRETS.iter().all(|secret| scene.step(secret).repointed_at.is_none()));
}

#[tokio::test(start_paused = true)]
async fn applications_name_the_proxy_the_admin_the_instance_and_rotations_work() {
    let mut scene = promoted().await;
    say(&scene, Some(scene.world.now()));
    scene.world.secrets.rotated_by(RotatedBy::Test);
    scene.nudge_with_steps().await;

    scene.expect_said("takes writes through its proxy, with shop/app");
    assert!(scene.rotation().proven.contains_key("orders"));
    for (secret, host) in [("shop/app", PROXY), ("shop/batch", PROXY), ("shop/admin", HOST)] {
        let (step, current) = (scene.step(secret), scene.current(secret));
        assert_eq!(current.endpoint(), Ok(endpoint(host)), "{secret}");
        assert_eq!(current.direct().endpoint(), Ok(endpoint(HOST)), "{secret}: rotations go past the proxy");
        assert!(scene.world.login.opens(&current) && step.tested_at.is_some() && step.failed.is_none(), "{secret}: {step:?}");
        assert_eq!(step.rotated_at.is_some(), secret != "shop/admin", "{secret}: {step:?}");
    }
    assert_eq!(scene.current("shop/app").username(), Ok("app_clone"));
    let rotating = ["login:EnsureTwin", "login:ChangePassword"];
    assert!(scene.world.calls.log().iter().filter(|call| rotating.contains(&call.operation)).all(|call| call.about == HOST));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_nobody_passes_is_no_proof() {
    let mut scene = promoted().await;
    say(&scene, Some(scene.world.now()));
    scene.world.login.set_unreachable(PROXY, true);
    scene.nudge().await;
    scene.expect_said("not proven writable through its proxy with shop/app");
    assert!(scene.rotation().proven.is_empty());
    scene.world.login.set_unreachable(PROXY, false);
    scene.nudge().await;
    assert!(scene.rotation().proven.contains_key("orders"));
}
