//! A drill whose copy is restored from a snapshot, since RDS makes no replica of the replica.

mod common;

use common::{Scene, minutes};
use relight::ports::{CopyId, Instance, Notice};
use relight::run::{Mode, Phase};
use relight::state::Owed;
use relight_world::Fault;

const MADE: [&str; 2] = ["rds:CreateDBSnapshot", "rds:RestoreDBInstanceFromDBSnapshot"];

/// The replica of orders has no backups, that of users has.
fn drill() -> Scene {
    let scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.world.database.change("orders-replica", |replica| replica.backup_retention = 0);
    scene
}

fn copy(scene: &Scene) -> CopyId {
    CopyId::of("shop", &scene.run().id, "orders")
}

#[tokio::test(start_paused = true)]
async fn the_copy_is_a_writer_as_soon_as_it_is_there_and_the_other_replica_is_copied_beside_it() {
    let mut scene = drill();
    let before = scene.world.database.instance("orders-replica").expect("there");
    scene.nudge().await;

    let (copies, copy) = (scene.promotion().copies, copy(&scene));
    let step = &copies["orders"];
    assert!(step.snapshot_asked_at < step.restore_asked_at && step.restore_asked_at <= step.requested_at, "{step:?}");
    assert!(step.requested_at < step.promoted_at && step.endpoint.is_some() && step.failed.is_none(), "{step:?}");
    assert!(step.available_at.is_none() && step.promote_asked_at.is_none(), "it is neither compared nor promoted: {step:?}");
    assert!(scene.world.database.is_writer(copy.as_str()));
    assert_eq!(scene.world.database.promotions(copy.as_str()), 0);
    assert_eq!(scene.world.database.copy_snapshots(), [copy.to_string()]);
    assert_eq!(scene.world.database.instance("orders-replica"), Some(before), "the replica is as before");

    let users = &copies["users"];
    assert!(users.promoted_at.is_some() && !users.is_restored(), "{users:?}");
    assert_eq!(MADE.map(|call| scene.world.calls.count(call)), [1, 1]);
    assert!(scene.said("orders-replica has no backups, and RDS makes replicas only of what has"), "{:#?}", scene.sentences());
    assert!(scene.said("what its promotion takes was not seen"));
    let told = scene.world.notices.sent();
    assert!(told.iter().any(|notice| matches!(notice, Notice::Progress { what, .. } if what == "copy of database orders restored")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_of_postgresql_13_is_restored_from_its_snapshot() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.world.database.change("orders-replica", |replica| replica.engine_version = "13.14".to_owned());
    scene.nudge().await;
    assert!(scene.promotion().copies["orders"].promoted_at.is_some());
    assert!(scene.said("is PostgreSQL 13.14, and RDS makes no replica of a replica before 14.1"), "{:#?}", scene.sentences());
}

#[tokio::test(start_paused = true)]
async fn it_stands_where_its_replica_does_in_one_zone_and_without_protection() {
    let mut scene = drill();
    scene.world.database.change("orders-replica", |replica| (replica.multi_az, replica.deletion_protection) = (true, true));
    scene.nudge().await;
    let restored = scene.world.database.instance(copy(&scene).as_str()).expect("there");
    let replica = scene.world.database.instance("orders-replica").expect("there");
    let (class, groups, parameters) = (&replica.class, &replica.security_groups, &replica.parameter_group);
    assert_eq!((&restored.class, &restored.security_groups, &restored.parameter_group), (class, groups, parameters));
    let Instance { multi_az, deletion_protection, backup_retention, .. } = restored;
    assert_eq!((multi_az, deletion_protection, backup_retention), (false, false, 0));
}

#[tokio::test(start_paused = true)]
async fn snapshot_and_copy_are_owed_by_one_obligation_before_they_are_asked_for() {
    let mut scene = drill();
    let owed = |scene: &Scene| {
        let copy = Owed::Copy { instance: copy(scene).to_string() };
        scene.snapshot().obligations.into_values().filter(|owed| owed.what == copy).collect::<Vec<_>>()
    };
    // The call is done and never heard, and the function is gone before it can write anything more.
    scene.world.calls.fault("rds:CreateDBSnapshot", Fault::LostAnswer);
    let _answer = scene.world.tick(&mut scene.work).await;
    assert_eq!(owed(&scene).len(), 1);
    assert_eq!(owed(&scene)[0].deadline, scene.run().opened_at + minutes(180));
    assert_eq!(scene.world.database.copy_snapshots().len(), 1);
    scene.nudge().await;
    assert_eq!(MADE.map(|call| scene.world.calls.count(call)), [1, 1], "what was done is seen, and asked for once");
    assert_eq!(owed(&scene).len(), 1);
    assert!(scene.promotion().copies["orders"].promoted_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_restore_whose_answer_was_lost_is_seen_and_asked_for_once() {
    let mut scene = drill();
    scene.world.calls.fault("rds:RestoreDBInstanceFromDBSnapshot", Fault::LostAnswer);
    scene.nudge().await;
    let step = scene.promotion().copies["orders"].clone();
    assert_eq!(scene.world.calls.count("rds:RestoreDBInstanceFromDBSnapshot"), 1);
    assert!(step.restore_asked_at.is_some() && step.requested_at < step.promoted_at, "{step:?}");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_refused_or_fails_gives_the_rehearsal_up_with_the_reason_and_the_other_goes_on() {
    for (fails, why) in [(false, "RDS refused it"), (true, "has failed; look at the replica's events")] {
        let mut scene = drill();
        if fails {
            scene.world.database.fail_snapshots();
        } else {
            scene.world.calls.fault("rds:CreateDBSnapshot", Fault::Denied);
        }
        scene.nudge().await;
        let copies = scene.promotion().copies;
        assert!(copies["orders"].failed.as_ref().is_some_and(|failed| failed.contains(why)), "{:?}", copies["orders"]);
        assert!(copies["users"].promoted_at.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_was_ended_while_the_snapshot_is_taken_restores_nothing() {
    let mut scene = drill();
    scene.nudge_for(5).await;
    assert_eq!(scene.world.database.copy_snapshots().len(), 1);
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Restoring);
    scene.nudge().await;
    scene.nudge().await;
    assert_eq!(scene.world.calls.count("rds:RestoreDBInstanceFromDBSnapshot"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_the_snapshot_is_taken_waits_for_its_end_and_then_promotes() {
    let mut scene = drill();
    scene.nudge_for(5).await;
    assert_eq!(scene.world.database.instance("orders-replica").expect("there").status, "backing-up");
    scene.turns_into_a_failover();
    scene.nudge_for(5).await;
    let step = scene.promotion().databases["orders"].clone();
    assert!(step.refused.as_ref().is_some_and(|why| why.contains("orders-replica is backing-up")), "{step:?}");
    scene.nudge_for(60).await;
    assert!(scene.promotion().databases["orders"].cleared_at.is_some());
    assert_eq!(scene.world.calls.count("rds:RestoreDBInstanceFromDBSnapshot"), 0, "a failover has no time for rehearsals");
}
