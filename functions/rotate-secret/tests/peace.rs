//! Logins in peace.

mod common;

use common::{HOST, PLAN, SECRETS, Scene};
use jiff::SignedDuration;
use relight::ports::Stage;
use relight::run::{Mode, Phase};
use relight::state::Place;

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

const HOME: &str = "orders.primary.rds.test";

fn with_heartbeat() -> String {
    PLAN.replacen("replica = \"orders-replica\"\n", "replica = \"orders-replica\"\nheartbeat = \"shop/admin\"\n", 1)
}

#[tokio::test(start_paused = true)]
async fn the_heart_beats_with_every_tick_and_the_journal_is_read_once_and_not_written() {
    let mut scene = Scene::peace_with(&with_heartbeat());
    scene.ticks(1).await;
    let (writes, reads) = (scene.world.journal.writes(), scene.world.calls.count("dynamodb:Query"));
    scene.ticks(3).await;
    assert_eq!(scene.world.calls.count("login:Beat"), 4);
    assert_eq!((scene.world.journal.writes(), scene.world.calls.count("dynamodb:Query")), (writes, reads + 3));
    let replica = scene.world.database.data(Place::Standby, "orders-replica").expect("there");
    let age = scene.world.now().duration_since(replica.beat_at.expect("it arrived"));
    assert!(age <= SignedDuration::from_secs(60), "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_without_a_heartbeat_writes_nothing_to_the_primary() {
    let mut scene = Scene::peace();
    scene.ticks(3).await;
    assert_eq!(scene.world.calls.count("login:Beat"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_cannot_be_written_is_found_at_the_replica() {
    let mut scene = Scene::peace_with(&with_heartbeat());
    scene.world.login.set_unreachable(HOME, true);
    scene.ticks(1).await;
    let heard = scene.snapshot().memory.heartbeats["orders"].clone();
    assert!(!heard.ok && heard.said.starts_with("no beat ever arrived at orders-replica; look at rotate-secret's log"), "{heard:?}");
    scene.world.login.set_unreachable(HOME, false);
    scene.ticks(31).await;
    assert!(scene.snapshot().memory.heartbeats["orders"].ok);
}

#[tokio::test(start_paused = true)]
async fn the_heart_beats_on_in_a_drill() {
    let mut scene = Scene::peace_with(&with_heartbeat());
    scene.open(Mode::Drill, Phase::Holding);
    scene.ticks(2).await;
    assert_eq!(scene.world.calls.count("login:Beat"), 2);
}
