//! A drill of an Aurora global database: its secondary's snapshot is restored to a cluster by itself, beside a replica of RDS that is copied.

mod common;

use common::{Scene, minutes, with_global};
use jiff::SignedDuration;
use relight::ports::{CopyId, Instance, Notice, Takeover};
use relight::run::{Mode, Phase};
use relight::state::{Owed, Place};
use relight_world::Fault;

const GLOBAL: &str = "orders-global";
const SECONDARY: &str = "orders-standby";
const MADE: [&str; 3] = ["rds:CreateDBClusterSnapshot", "rds:RestoreDBClusterFromSnapshot", "rds:CreateDBInstance"];
const CLASS: &str = "instance_class = \"db.r6g.2xlarge\"";

fn drill() -> Scene {
    Scene::with_plan(&with_global(CLASS), Mode::Drill, Phase::Activating)
}

fn copy(scene: &Scene) -> CopyId {
    CopyId::of("shop", &scene.run().id, "orders")
}

fn made(scene: &Scene) -> [usize; 3] {
    MADE.map(|call| scene.world.calls.count(call))
}

fn given_up(scene: &Scene) -> String {
    scene.promotion().copies["orders"].failed.clone().unwrap_or_default()
}

/// Of the copy's instance.
fn class(scene: &Scene) -> Option<String> {
    scene.world.database.copy_class(&copy(scene))
}

#[tokio::test(start_paused = true)]
async fn a_cluster_by_itself_takes_writes_and_nothing_of_the_global_database_moved() {
    let mut scene = drill();
    let before = scene.world.database.instance(SECONDARY).expect("there");
    scene.nudge().await;

    let (copies, copy) = (scene.promotion().copies, copy(&scene));
    let step = &copies["orders"];
    assert!(step.snapshot_asked_at < step.restore_asked_at && step.restore_asked_at <= step.requested_at, "{step:?}");
    assert!(step.requested_at < step.instance_asked_at && step.instance_asked_at < step.promoted_at && step.failed.is_none(), "{step:?}");
    assert!(step.available_at.is_none() && step.promote_asked_at.is_none(), "it is neither compared nor promoted: {step:?}");
    assert_eq!(step.endpoint.as_ref().map(|endpoint| endpoint.host.clone()), Some(format!("{copy}.standby.rds.test")));
    assert_eq!((made(&scene), scene.world.database.copy_members()), ([1; 3], vec![copy.member()]));
    assert_eq!(class(&scene).as_deref(), Some("db.r6g.large"), "as the secondary's instance is");
    assert_eq!((scene.world.database.takeovers(GLOBAL).len(), scene.world.database.global_writer(GLOBAL)), (0, Some(Place::Primary)));
    assert_eq!(scene.world.database.instance(SECONDARY), Some(before), "the secondary is as before");
    assert!(scene.world.calls.log().iter().all(|call| call.place == Place::Standby), "the primary Region is not asked");

    assert!(copies["users"].promoted_at.is_some() && !copies["users"].is_restored());
    assert!(scene.said("and what a takeover takes was not seen"), "{:#?}", scene.sentences());
    let told = scene.world.notices.sent();
    assert!(told.iter().any(|notice| matches!(notice, Notice::Progress { what, .. } if what == "copy of database orders restored")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn it_stands_where_its_secondary_does_and_without_protection() {
    let mut scene = drill();
    scene.world.database.change(SECONDARY, |secondary| secondary.deletion_protection = true);
    scene.nudge().await;
    let (restored, secondary) = (copy(&scene), scene.world.database.instance(SECONDARY).expect("there"));
    let Instance { engine_version, security_groups, deletion_protection, .. } = scene.world.database.instance(restored.as_str()).expect("there");
    assert_eq!((engine_version, security_groups), (secondary.engine_version, secondary.security_groups));
    assert!(!deletion_protection);
}

#[tokio::test(start_paused = true)]
async fn a_secondary_without_an_instance_is_rehearsed_with_one_of_the_plans_class_or_given_up_where_it_names_none() {
    let mut scene = drill();
    scene.world.database.behead(GLOBAL);
    scene.nudge().await;
    assert!(scene.promotion().copies["orders"].promoted_at.is_some(), "{:#?}", scene.sentences());
    assert_eq!(class(&scene).as_deref(), Some("db.r6g.2xlarge"));

    let mut scene = Scene::with_plan(&with_global(""), Mode::Drill, Phase::Activating);
    scene.world.database.behead(GLOBAL);
    scene.nudge().await;
    assert!(given_up(&scene).contains("names no class for one"), "{}", given_up(&scene));
    assert_eq!(made(&scene), [0; 3], "nothing was made of it");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_left_the_global_database_is_given_up_with_a_remedy() {
    let mut scene = drill();
    scene.world.database.detach(GLOBAL);
    scene.nudge().await;
    assert!(given_up(&scene).contains("it is no secondary of the global cluster orders-global; add it again"), "{}", given_up(&scene));
    assert_eq!(made(&scene), [0; 3]);
    assert!(scene.promotion().copies["users"].promoted_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn snapshot_cluster_and_instance_are_owed_by_one_obligation_before_they_are_asked_for() {
    for call in MADE {
        let mut scene = drill();
        let owed = |scene: &Scene| {
            let copy = Owed::Cluster { cluster: copy(scene).to_string() };
            scene.snapshot().obligations.into_values().filter(|owed| owed.what == copy).collect::<Vec<_>>()
        };
        // The call is done and never heard, and the function is gone before it can write anything more.
        scene.world.calls.fault(call, Fault::LostAnswer);
        for _ in 0..6 {
            let _answer = scene.world.tick(&mut scene.work).await;
            if scene.world.calls.count(call) > 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        }
        assert_eq!((scene.world.calls.count(call), owed(&scene).len()), (1, 1), "{call}");
        assert_eq!(owed(&scene)[0].deadline, scene.run().opened_at + minutes(180));
        scene.nudge().await;
        assert_eq!((made(&scene), owed(&scene).len()), ([1; 3], 1), "{call}: what was done is seen, and asked for once");
        assert!(scene.promotion().copies["orders"].promoted_at.is_some(), "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_or_fails_gives_the_rehearsal_up_with_the_reason_and_the_other_goes_on() {
    for call in MADE {
        let mut scene = drill();
        scene.world.calls.fault(call, Fault::Denied);
        scene.nudge().await;
        assert!(given_up(&scene).contains("RDS refused it") && given_up(&scene).contains(call), "{call}: {}", given_up(&scene));
        assert!(scene.promotion().copies["users"].promoted_at.is_some());
    }
    let mut scene = drill();
    scene.world.database.fail_snapshots();
    scene.nudge().await;
    assert!(given_up(&scene).contains("has failed"), "{}", given_up(&scene));
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_was_ended_while_the_snapshot_is_taken_restores_nothing() {
    let mut scene = drill();
    scene.nudge_for(5).await;
    assert_eq!(made(&scene), [1, 0, 0]);
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Restoring);
    scene.nudge().await;
    scene.nudge().await;
    assert_eq!(made(&scene), [1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_the_snapshot_is_taken_does_not_wait_for_its_end() {
    let mut scene = drill();
    scene.world.database.set_creation(minutes(40));
    scene.nudge_for(5).await;
    let backing_up = |scene: &Scene| scene.world.database.instance(SECONDARY).expect("there").status == "backing-up";
    assert!(backing_up(&scene));
    scene.turns_into_a_failover();
    scene.nudge_for(10).await;
    assert!(scene.promotion().databases["orders"].cleared_at.is_some(), "{:#?}", scene.sentences());
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Activating);
    scene.nudge_for(120).await;
    assert!(scene.promotion().databases["orders"].promoted_at.is_some() && backing_up(&scene), "{:#?}", scene.sentences());
    assert_eq!(scene.world.database.takeovers(GLOBAL), [Takeover::FailoverLosingRows]);
    assert_eq!(made(&scene), [1, 0, 0], "a failover has no time for rehearsals");
}

/// What is the same in the end, whatever the times were.
#[derive(Debug, PartialEq)]
struct End {
    clusters: Vec<String>,
    members: Vec<String>,
    snapshots: Vec<String>,
    /// Whether each copy takes writes, and whether its rehearsal was given up.
    copies: Vec<(String, bool, bool)>,
    obligations: Vec<String>,
}

fn end(scene: &Scene) -> End {
    let (copies, database) = (scene.promotion().copies, &scene.world.database);
    End {
        clusters: database.instances(),
        members: database.copy_members(),
        snapshots: database.copy_snapshots(),
        copies: copies.iter().map(|(name, step)| (name.clone(), step.promoted_at.is_some(), step.failed.is_some())).collect(),
        obligations: scene.snapshot().obligations.into_keys().collect(),
    }
}

async fn until_the_end(scene: &mut Scene) {
    for _ in 0..6 {
        scene.nudge().await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_the_same_whichever_call_fails_once() {
    // Quick, so that there are few looks on the way.
    let drill = || {
        let scene = drill();
        scene.world.database.set_creation(SignedDuration::from_secs(12));
        scene
    };
    let mut undisturbed = drill();
    until_the_end(&mut undisturbed).await;
    let expected = end(&undisturbed);
    assert_eq!(expected.copies, [("orders".to_owned(), true, false), ("users".to_owned(), true, false)]);
    assert_eq!((expected.members.len(), expected.snapshots.len(), expected.obligations.len()), (1, 1, 2));

    let mut met = 0;
    for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer] {
        for n in 0.. {
            let mut scene = drill();
            scene.world.calls.fault_at(n, fault);
            until_the_end(&mut scene).await;
            if scene.world.calls.fault_is_pending() {
                break;
            }
            met += 1;
            assert_eq!(end(&scene), expected, "{fault:?} at call {n}: {:?}", scene.world.calls.log()[n]);
        }
    }
    assert!(met > 100, "only {met} faults were met");
}
