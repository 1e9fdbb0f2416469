//! Each call failing once, in each way, and a crash before and after each write: the end is the same, and no database was
//! promoted twice.
//!
//! A write whose answer is lost is a crash after it: the invocation ends there, and the next one finds what was written.

mod common;

use common::Scene;
use relight::ports::Instance;
use relight::run::{Mode, Phase};
use relight_world::Fault;

const FAULTS: [Fault; 3] = [Fault::Throttled, Fault::Silence, Fault::LostAnswer];

/// What is the same in the end, whatever the times were.
#[derive(Debug, PartialEq)]
struct End {
    instances: Vec<(String, Instance)>,
    snapshots: Vec<String>,
    promotions: Vec<usize>,
    databases: Vec<(String, [bool; 8])>,
    targets: Vec<String>,
    restarts: Vec<usize>,
    copies: Vec<(String, bool, bool)>,
    obligations: Vec<String>,
}

fn end(scene: &Scene) -> End {
    let names = scene.world.database.instances();
    let promotion = scene.promotion();
    End {
        instances: names.iter().map(|name| (name.clone(), scene.world.database.instance(name).expect("there"))).collect(),
        snapshots: scene.world.database.copy_snapshots(),
        promotions: names.iter().map(|name| scene.world.database.promotions(name)).collect(),
        databases: promotion
            .databases
            .iter()
            .map(|(name, step)| {
                let times = [
                    step.promote_attempt_at,
                    step.promoted_at,
                    step.backups_on_at,
                    step.protected_at,
                    step.multi_az_at,
                    step.class_changed_at,
                    step.parameters_at,
                    step.proxy.available_at,
                ];
                (name.clone(), times.map(|at| at.is_some()))
            })
            .collect(),
        targets: scene.world.database.targets("users-proxy"),
        restarts: names.iter().map(|name| scene.world.database.restarts(name)).collect(),
        copies: promotion.copies.iter().map(|(name, step)| (name.clone(), step.promoted_at.is_some(), step.failed.is_some())).collect(),
        obligations: scene.snapshot().obligations.into_keys().collect(),
    }
}

/// From Confirmed through the point of no return, which the test writes in place of the others, to the last class.
async fn failover(scene: &mut Scene) {
    for _ in 0..2 {
        scene.nudge_for(10).await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
    scene.change(|head| {
        head.run.as_mut().expect("a run").phase = Phase::Activating;
    });
    for turn in 0..6 {
        scene.nudge().await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        if turn == 2 {
            scene.others_are_done();
        }
    }
}

async fn drill(scene: &mut Scene) {
    for _ in 0..6 {
        scene.nudge().await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_ends_the_same_whichever_call_fails_once() {
    let mut undisturbed = Scene::with_plan(&common::with_settings(), Mode::Failover, Phase::Confirmed);
    failover(&mut undisturbed).await;
    let expected = end(&undisturbed);
    assert_eq!(expected.promotions, [1, 1]);
    assert_eq!(expected.databases[0].1, [true, true, true, false, false, true, false, false]);
    assert_eq!(expected.databases[1].1, [true, true, true, true, true, false, true, true]);
    assert_eq!(expected.restarts, [0, 1]);
    assert_eq!(expected.targets, ["users-replica"]);

    let mut met = 0;
    for fault in FAULTS {
        for n in 0.. {
            let mut scene = Scene::with_plan(&common::with_settings(), Mode::Failover, Phase::Confirmed);
            scene.world.calls.fault_at(n, fault);
            failover(&mut scene).await;
            if scene.world.calls.fault_is_pending() {
                break;
            }
            met += 1;
            assert_eq!(end(&scene), expected, "{fault:?} at call {n}: {:?}", scene.world.calls.log()[n]);
        }
    }
    assert!(met > 100, "only {met} faults were met");
}

/// Both copies are replicas, or that of orders is restored from a snapshot.
fn drill_of(backups: u32) -> Scene {
    let scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.world.database.change("orders-replica", |replica| replica.backup_retention = backups);
    scene.compared();
    scene
}

#[tokio::test(start_paused = true)]
async fn a_drill_ends_the_same_whichever_call_fails_once() {
    drill_ends_the_same(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_restores_a_snapshot_ends_the_same_whichever_call_fails_once() {
    drill_ends_the_same(0).await;
}

async fn drill_ends_the_same(backups: u32) {
    let mut undisturbed = drill_of(backups);
    drill(&mut undisturbed).await;
    let expected = end(&undisturbed);
    assert_eq!(expected.snapshots.len(), usize::from(backups == 0));
    assert_eq!(expected.copies, [("orders".to_owned(), true, false), ("users".to_owned(), true, false)]);

    let mut met = 0;
    for fault in FAULTS {
        for n in 0.. {
            let mut scene = drill_of(backups);
            scene.world.calls.fault_at(n, fault);
            drill(&mut scene).await;
            if scene.world.calls.fault_is_pending() {
                break;
            }
            met += 1;
            assert_eq!(end(&scene), expected, "{fault:?} at call {n}: {:?}", scene.world.calls.log()[n]);
        }
    }
    assert!(met > 100, "only {met} faults were met");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_answer_that_was_done_is_followed_and_never_sent_again() {
    let mut scene = Scene::new(Mode::Failover, Phase::Activating);
    scene.world.calls.fault("rds:PromoteReadReplica", Fault::LostAnswer);
    scene.world.database.set_promotion(common::minutes(10));
    scene.nudge().await;
    assert_eq!(scene.world.calls.count("rds:PromoteReadReplica"), 2, "once a database");
    let step = scene.promotion().databases["orders"].clone();
    assert!(step.promote_attempt_at.is_some() && step.promote_called_at.is_none() && step.promoted_at.is_some(), "{step:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_never_happened_is_sent_again_after_a_minute_of_an_untouched_replica() {
    let mut scene = Scene::new(Mode::Failover, Phase::Activating);
    scene.world.calls.fault("rds:PromoteReadReplica", Fault::Silence);
    let began = scene.world.now();
    scene.nudge().await;
    let step = scene.promotion().databases["orders"].clone();
    assert!(step.promote_attempt_at.expect("attempted").duration_since(began).as_secs() > 60, "{step:?}");
    assert!(scene.said("promotes orders-replica again"), "{:#?}", scene.sentences());
    assert_eq!(scene.world.database.promotions("orders-replica"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_throttled_is_sent_again_with_the_next_poll() {
    let mut scene = Scene::new(Mode::Failover, Phase::Activating);
    scene.world.calls.fault("rds:PromoteReadReplica", Fault::Throttled);
    let began = scene.world.now();
    scene.nudge().await;
    let step = scene.promotion().databases["orders"].clone();
    assert!(step.promote_attempt_at.expect("attempted").duration_since(began).as_secs() < 20, "{step:?}");
    assert_eq!(scene.world.database.promotions("orders-replica"), 1);
}
