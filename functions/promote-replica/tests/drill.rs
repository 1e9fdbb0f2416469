//! A drill's rehearsal on disposable copies.

mod common;

use common::{PLAN, Scene, minutes};
use relight::plan::Plan;
use relight::ports::{CopyId, Database, Notice, Removal};
use relight::run::{Mode, Phase};
use relight::state::Owed;
use relight_world::Fault;

/// rotate-secret is quick, and has compared what it can.
fn drill() -> Scene {
    let scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.compared();
    scene
}

/// The drill's deadline is three hours, its hold one.
fn short_drill() -> Scene {
    let plan = format!("{PLAN}\n[drill]\nhold = \"5m\"\ndeadline = \"15m\"\n");
    Scene::with_plan(&plan, Mode::Drill, Phase::Activating)
}

fn copy_of(scene: &Scene, database: &str) -> CopyId {
    CopyId::of("shop", &scene.run().id, database)
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_each_replica_is_made_and_promoted_and_the_replicas_are_as_before() {
    let mut scene = drill();
    let replicas = ["orders-replica", "users-replica"];
    let before = replicas.map(|name| scene.world.database.instance(name).expect("there"));
    scene.nudge().await;

    for name in ["orders", "users"] {
        let copy = copy_of(&scene, name);
        let step = scene.promotion().copies[name].clone();
        assert_eq!(step.instance, copy.to_string());
        assert!(step.requested_at < step.available_at && step.available_at <= step.promote_called_at, "{step:?}");
        assert!(step.promote_called_at < step.promoted_at && step.endpoint.is_some() && step.failed.is_none(), "{step:?}");
        assert!(scene.world.database.is_writer(copy.as_str()));
    }
    for (name, before) in replicas.into_iter().zip(before) {
        let mut after = scene.world.database.instance(name).expect("there");
        after.read_replicas.clear();
        assert_eq!(after, before);
        assert_eq!(scene.world.database.promotions(name), 0);
    }
    assert!(scene.promotion().databases.is_empty(), "what a drill did must not count for a failover");
    let told = scene.world.notices.sent();
    assert!(told.iter().any(|notice| matches!(notice, Notice::Progress { what, .. } if what == "copy of database orders promoted")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn no_copy_is_promoted_before_all_are_compared_and_rotate_secret_hears_of_each() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.nudge_for(600).await;
    let copies = scene.promotion().copies;
    for name in ["orders", "users"] {
        let step = &copies[name];
        assert!(step.available_at.is_some() && step.endpoint.is_some() && step.promote_asked_at.is_none(), "{name}: {step:?}");
        assert_eq!(scene.world.database.promotions(copy_of(&scene, name).as_str()), 0);
    }
    assert!(scene.said("is promoted once the copies are compared with their replicas"));
    let told = scene.world.notices.sent();
    assert!(told.iter().any(|notice| matches!(notice, Notice::Progress { what, .. } if what == "copy of database orders available")), "{told:?}");

    scene.compared();
    scene.nudge().await;
    for (name, before) in &copies {
        let step = scene.promotion().copies[name].clone();
        assert!(step.promoted_at.is_some() && step.promote_asked_at > before.available_at, "{name}: {step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotate_secret_that_says_nothing_holds_no_rehearsal_up_for_ever() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    for _ in 0..3 {
        scene.nudge().await;
    }
    for step in scene.promotion().copies.values() {
        let waited = step.promote_asked_at.expect("asked for").duration_since(step.available_at.expect("there"));
        assert!(waited >= minutes(17) && waited < minutes(18), "{waited:#}");
        assert!(step.promoted_at.is_some(), "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_logs_in_where_its_source_does() {
    let mut scene = drill();
    scene.nudge().await;
    let copy = scene.world.database.instance(copy_of(&scene, "orders").as_str()).expect("there");
    assert_eq!(copy.security_groups, ["sg-database"]);
}

#[tokio::test(start_paused = true)]
async fn each_copy_is_owed_before_it_is_asked_for() {
    let mut scene = drill();
    // The call that makes the copy is never heard, and the function is gone before it can write anything more.
    scene.world.calls.fault("rds:CreateDBInstanceReadReplica", Fault::LostAnswer);
    scene.world.calls.fault("rds:CreateDBInstanceReadReplica", Fault::LostAnswer);
    let _answer = scene.world.tick(&mut scene.work).await;
    let owed: Vec<_> = scene.snapshot().obligations.into_values().collect();
    for name in ["orders", "users"] {
        let copy = copy_of(&scene, name);
        let found = owed.iter().find(|owed| owed.what == Owed::Copy { instance: copy.to_string() }).expect("owed");
        assert_eq!(found.deadline, scene.run().opened_at + minutes(180));
        assert!(scene.world.database.instance(copy.as_str()).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_gone_or_broken_gives_its_rehearsal_up() {
    let mut scene = drill();
    scene.world.database.lose("orders-replica");
    scene.world.database.change("users-replica", |replica| replica.status = "storage-full".to_owned());
    scene.nudge().await;
    let copies = scene.promotion().copies;
    assert!(copies["orders"].failed.as_ref().is_some_and(|why| why.contains("no instance orders-replica")));
    assert!(copies["users"].failed.as_ref().is_some_and(|why| why.contains("is storage-full")));
}

#[tokio::test(start_paused = true)]
async fn a_refused_creation_gives_the_rehearsal_up_and_says_why() {
    let mut scene = drill();
    scene.world.calls.fault("rds:CreateDBInstanceReadReplica", Fault::Denied);
    scene.nudge().await;
    let copies = scene.promotion().copies;
    let failed: Vec<&str> = copies.values().filter_map(|step| step.failed.as_deref()).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].contains("RDS refused it") && failed[0].contains("deploy the template again"), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_that_does_not_end_in_time_is_given_up_while_the_hold_still_fits() {
    let mut scene = short_drill();
    scene.world.database.set_creation(minutes(30));
    scene.nudge().await;
    let (copies, now) = (scene.promotion().copies, scene.world.now());
    assert!(copies.values().all(|step| step.failed.as_ref().is_some_and(|why| why.contains("not done in time"))), "{copies:?}");
    assert!(now.duration_since(scene.run().opened_at) < minutes(10), "{now}");
}

#[tokio::test(start_paused = true)]
async fn an_ended_rehearsal_asks_for_nothing_more() {
    let mut scene = drill();
    scene.nudge().await;
    let calls = scene.world.calls.log().iter().filter(|call| call.operation.starts_with("rds:")).count();
    let writes = scene.world.journal.writes();
    scene.ticks(3).await;
    assert_eq!(scene.world.calls.log().iter().filter(|call| call.operation.starts_with("rds:")).count(), calls);
    assert_eq!(scene.world.journal.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_restores_makes_no_more_copies() {
    let mut scene = Scene::new(Mode::Drill, Phase::Restoring);
    scene.nudge().await;
    assert_eq!(scene.world.calls.count("rds:CreateDBInstanceReadReplica"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_during_the_copy_s_creation_waits_for_the_backup_and_then_promotes() {
    let mut scene = drill();
    scene.nudge_for(5).await;
    assert_eq!(scene.world.database.instance("orders-replica").expect("there").status, "backing-up");
    scene.turns_into_a_failover();
    scene.nudge_for(5).await;
    let step = scene.promotion().databases["orders"].clone();
    assert!(step.refused.as_ref().is_some_and(|why| why.contains("orders-replica is backing-up")), "{step:?}");
    scene.nudge_for(60).await;
    assert!(scene.promotion().databases["orders"].cleared_at.is_some());
    let copies = scene.promotion().copies;
    assert!(copies["orders"].promoted_at.is_none(), "a failover has no time for rehearsals");
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_removed_and_found_by_its_plan() {
    let mut scene = drill();
    scene.nudge().await;
    let database = scene.world.database.clone();
    let plan = Plan::stored(PLAN).expect("a plan");
    let copies = database.copies(&plan.name).await.expect("listed");
    assert_eq!(copies.len(), 2);
    assert_eq!(database.copies("blog").await.expect("listed"), []);
    assert_eq!(database.remove_copy(&copies[0]).await.expect("asked"), Removal::Underway);
    assert_eq!(database.remove_copy(&copies[0]).await.expect("asked"), Removal::Underway);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(database.remove_copy(&copies[0]).await.expect("asked"), Removal::Gone);
    assert_eq!(database.copies(&plan.name).await.expect("listed"), copies[1..]);
}
