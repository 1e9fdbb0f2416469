//! Logins in peace.

mod common;

use common::{HOST, SECRETS, Scene};
use relight::ports::Stage;

#[tokio::test(start_paused = true)]
async fn every_secret_logs_in_at_the_replica_each_half_hour_with_one_write() {
    let mut scene = Scene::peace();
    scene.ticks(29).await;
    assert_eq!(scene.world.journal.writes(), 1);
    assert_eq!(scene.world.calls.count("login:Login"), 3);
    let logins = scene.snapshot().memory.logins;
    for secret in SECRETS {
        assert!(logins[secret].ok, "{secret}: {:?}", logins[secret]);
    }
    scene.ticks(3).await;
    assert_eq!(scene.world.journal.writes(), 2);
    assert_eq!(scene.world.calls.count("rds:DescribeDBInstances"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_login_in_peace_changes_nothing() {
    let mut scene = Scene::peace();
    let before: Vec<_> = SECRETS.map(|secret| (scene.world.secrets.seen(secret), scene.current(secret))).into();
    scene.ticks(2).await;
    let after: Vec<_> = SECRETS.map(|secret| (scene.world.secrets.seen(secret), scene.current(secret))).into();
    assert_eq!(after, before);
    assert!(scene.world.login.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_replica_is_remembered_with_the_remedy() {
    let mut scene = Scene::peace();
    scene.world.login.set_unreachable(HOST, true);
    scene.ticks(1).await;
    let seen = &scene.snapshot().memory.logins["shop/app"];
    assert!(!seen.ok && seen.said.contains("check the security group"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_behind_a_rotation_is_opened_by_the_previous_version() {
    let mut scene = Scene::peace();
    let newer = scene.current("shop/batch").with_password("newer");
    scene.world.secrets.set("shop/batch", "00000000-0000-0000-0000-00000000000b", &[Stage::Current], Some(newer));
    scene.ticks(1).await;
    let seen = &scene.snapshot().memory.logins["shop/batch"];
    assert!(seen.ok && seen.said.contains("AWSPREVIOUS only"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_replica_is_remembered_and_does_not_stop_anything() {
    let mut scene = Scene::peace();
    scene.world.database.lose("orders-replica");
    scene.ticks(1).await;
    let seen = &scene.snapshot().memory.logins["shop/app"];
    assert!(!seen.ok && seen.said.contains("correct the plan"), "{seen:?}");
}
