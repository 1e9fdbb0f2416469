//! A drill's copy, compared with the replica that it was made of.

mod common;

use common::{HOST, PLAN, SECRETS, Scene, later};
use relight::ports::{EntryKind, Journal, Notice};
use relight::run::Step;
use relight::state::Place;
use relight_world::Fault;

fn told(scene: &Scene) -> usize {
    let compared = |notice: &&Notice| matches!(notice, Notice::Progress { what, .. } if what == "a copy is compared with its replica");
    scene.world.notices.sent().iter().filter(compared).count()
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_equal_is_recorded_once_with_what_was_seen_and_others_are_told() {
    let mut scene = Scene::comparing().await;
    scene.nudge().await;
    let seen = scene.compared().expect("recorded");
    assert_eq!((seen.equal, seen.ended_at.is_some(), seen.left_out.len()), (Some(true), true, 0), "{seen:?}");
    assert!(seen.said.starts_with("the copy equals orders-replica at 0/") && seen.said.ends_with(": 2 rows in 1 table(s)"), "{}", seen.said);
    scene.expect_said(&seen.said);
    assert_eq!(told(&scene), 1);

    let (calls, writes) = (scene.world.calls.count("login:Compare"), scene.world.journal.writes());
    scene.ticks(3).await;
    assert_eq!((scene.world.calls.count("login:Compare"), scene.world.journal.writes()), (calls, writes));
    assert_eq!(scene.world.secrets.names().len(), SECRETS.len(), "nothing is made before the copy is promoted");
}

#[tokio::test(start_paused = true)]
async fn the_replica_and_the_copy_are_only_read() {
    let mut scene = Scene::comparing().await;
    let (before, replica) = (scene.world.calls.log().len(), scene.world.database.data(Place::Standby, "orders-replica"));
    scene.nudge().await;
    let calls: Vec<_> = scene.world.calls.log().split_off(before);
    let reads = ["rds:DescribeDBInstances", "secretsmanager:GetSecretValue", "login:Tables", "login:Compare", "sns:Publish"];
    let others: Vec<_> = calls.iter().filter(|call| !reads.contains(&call.operation) && !call.operation.starts_with("dynamodb:")).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(scene.world.database.data(Place::Standby, "orders-replica"), replica);
    assert!(scene.world.login.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_differs_is_recorded_with_tables_and_counts() {
    let mut scene = Scene::comparing().await;
    scene.world.database.spoil_copies("public.orders", "2");
    scene.nudge().await;
    let seen = scene.compared().expect("recorded");
    assert_eq!((seen.equal, seen.ended_at.is_some()), (Some(false), true));
    assert!(seen.said.contains("public.orders: 2 rows in the replica, 1 in the copy"), "{}", seen.said);
    let history = scene.world.journal.history(&scene.run().id).await.expect("a history");
    assert!(history.iter().any(|line| line.kind == EntryKind::Refusal && line.said == seen.said), "{history:#?}");
}

#[tokio::test(start_paused = true)]
async fn sides_that_never_stand_alike_are_looked_at_each_minute_and_given_up() {
    let mut scene = Scene::comparing().await;
    scene.world.login.set_busy(true);
    scene.ticks(5).await;
    let seen = scene.compared().expect("recorded");
    assert!(seen.equal.is_none() && seen.ended_at.is_none() && seen.said.ends_with("writes went on"), "{seen:?}");
    assert_eq!((scene.world.calls.count("login:Compare"), told(&scene)), (5, 0));
    scene.ticks(15).await;
    let seen = scene.compared().expect("recorded");
    assert!(seen.equal.is_none() && seen.said.contains("given up after 15m"), "{seen:?}");
    let available = scene.copy().available_at.expect("there");
    assert_eq!(seen.ended_at.map(|at| at <= later(available, 16)), Some(true), "{seen:?}");
    assert_eq!(told(&scene), 1);
    let lines = scene.sentences().into_iter().filter(|said| said.ends_with("writes went on")).count();
    assert!(lines <= 15, "{lines}");
}

#[tokio::test(start_paused = true)]
async fn writes_that_pause_while_it_is_looked_at_are_enough() {
    let mut scene = Scene::comparing().await;
    scene.world.login.set_busy(true);
    scene.ticks(2).await;
    scene.world.login.set_busy(false);
    scene.ticks(2).await;
    assert_eq!(scene.compared().and_then(|seen| seen.equal), Some(true));
}

#[tokio::test(start_paused = true)]
async fn what_a_person_must_mend_is_given_up_at_once_and_says_what() {
    let mut scene = Scene::comparing().await;
    for user in ["app", "admin", "batch"] {
        scene.world.login.set_password(HOST, user, "changed by hand");
    }
    scene.nudge().await;
    let seen = scene.compared().expect("recorded");
    assert!(seen.equal.is_none() && seen.ended_at.is_some(), "{seen:?}");
    assert!(seen.said.contains("neither AWSCURRENT nor AWSPREVIOUS nor AWSPENDING opens orders-replica"), "{}", seen.said);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_reached_yet_is_tried_again() {
    let mut scene = Scene::comparing().await;
    let copy = scene.copy().endpoint.expect("an endpoint");
    scene.world.login.set_unreachable(&copy.host, true);
    scene.ticks(3).await;
    let seen = scene.compared().expect("recorded");
    assert!(seen.ended_at.is_none() && seen.said.contains("not compared with orders-replica yet"), "{seen:?}");
    scene.world.login.set_unreachable(&copy.host, false);
    scene.ticks(2).await;
    assert_eq!(scene.compared().and_then(|seen| seen.equal), Some(true));
}

#[tokio::test(start_paused = true)]
async fn tables_that_the_plan_names_alone_are_compared_and_those_that_are_missing_are_named() {
    let plan = |tables: &str| PLAN.replace("replica = \"orders-replica\"", &format!("replica = \"orders-replica\"\ncompare = [{tables}]"));
    let mut scene = Scene::comparing_with(&plan("\"public.orders\", \"public.nowhere\"")).await;
    scene.nudge().await;
    let seen = scene.compared().expect("recorded");
    assert_eq!((seen.equal, seen.left_out.as_slice()), (Some(true), ["public.nowhere (there is no such table)".to_owned()].as_slice()));
    scene.expect_said("not compared: public.nowhere (there is no such table)");

    let mut scene = Scene::comparing_with(&plan("\"public.nowhere\"")).await;
    scene.nudge().await;
    let seen = scene.compared().expect("recorded");
    assert!(seen.equal.is_none() && seen.ended_at.is_some(), "equal in no table is no equality: {seen:?}");
    assert!(seen.said.contains("no table can be") && seen.said.contains("public.nowhere"), "{}", seen.said);
}

#[tokio::test(start_paused = true)]
async fn a_copy_on_its_way_to_be_a_writer_and_a_drill_that_became_a_failover_are_let_alone() {
    let mut scene = Scene::comparing().await;
    let copy = scene.copy();
    let asked = relight::state::CopyStep { promote_asked_at: Some(scene.world.now()), ..copy };
    scene.say_copied(asked);
    scene.ticks(2).await;
    assert_eq!((scene.compared(), scene.world.calls.count("login:Compare")), (None, 0));

    let mut scene = Scene::comparing().await;
    let now = scene.world.now();
    scene.change(|head| head.run.as_mut().expect("a run").step(Step::RealFailure, now).expect("legal"));
    scene.ticks(2).await;
    assert_eq!((scene.compared(), scene.world.calls.count("login:Compare")), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn it_ends_the_same_whichever_call_fails_once() {
    let mut met = 0;
    for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer] {
        for n in 0.. {
            let mut scene = Scene::comparing().await;
            scene.world.calls.fault_at(n, fault);
            scene.ticks(4).await;
            if scene.world.calls.fault_is_pending() {
                break;
            }
            met += 1;
            let seen = scene.compared().expect("recorded");
            assert_eq!((seen.equal, seen.ended_at.is_some()), (Some(true), true), "{fault:?} at call {n}: {seen:?}");
        }
    }
    assert!(met > 20, "only {met} faults were met");
}
