//! When the standby's traffic counts as open, and the fencing of the old writer beside it.

mod common;

use common::*;
use relight::ports::Notice;
use relight::run::{Mode, Phase, Said};
use relight::state::{Part, Place};
use relight_world::{Fault, World};
use serde_json::json;

fn open(world: &World) -> bool {
    traffic(world).opened_at.is_some()
}

/// An activation with everything there, and users at the standby.
async fn activation() -> (World, Work) {
    let (world, work) = world();
    in_phase(&world, Mode::Failover, Phase::Activating);
    held_out(&world);
    others_are_done(&world);
    later(60).await;
    (world, work)
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_all_is_there_and_users_arrive() {
    let (world, mut work) = activation().await;
    world.tick(&mut work).await.unwrap();
    assert!(open(&world));
    assert_eq!(traffic(&world).users_at, Some(Place::Standby));
    assert!(world.notices.sent().iter().any(|notice| matches!(notice, Notice::Progress { what, .. } if what == "traffic open")));
}

#[tokio::test(start_paused = true)]
async fn it_waits_until_dns_has_followed_stop() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::Activating);
    held_out(&world);
    others_are_done(&world);
    let answer = world.tick(&mut work).await.unwrap();
    assert!(!open(&world));
    assert!(answer.said.iter().any(|said| said.contains("www.shop.example still answers the primary")), "{:?}", answer.said);
    // One invocation sees it through, at the plan's poll.
    world.nudge(&mut work, json!({ "relight": "tick" })).await.unwrap();
    assert!(open(&world));
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_each_part_by_name() {
    type Situation = (fn(&World), &'static str);
    let situations: [Situation; 5] = [
        (|world| set(world, Part::Promotion, json!({})), "database orders is not promoted"),
        (|world| set(world, Part::Rotation, json!({ "secrets": { "shop/orders": { "repointed_at": world.now() } } })), "not proven writable"),
        (|world| set(world, Part::Rotation, json!({ "proven": { "orders": world.now() } })), "secret shop/orders is not repointed"),
        (|world| capacity(world, 3), "capacity is at 75 %, the plan asks for 100 %"),
        (|world| world.traffic.standby_answers(Some((503, ""))), "does not prove that the standby serves: it answered 503"),
    ];
    for (situation, sentence) in situations {
        let (world, mut work) = activation().await;
        situation(&world);
        let answer = world.tick(&mut work).await.unwrap();
        assert!(!open(&world), "{sentence}");
        assert!(answer.said.iter().any(|said| said.contains(sentence)), "{sentence}: {:?}", answer.said);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_the_health_page_before_the_others_are_done() {
    let (world, mut work) = activation().await;
    capacity(&world, 3);
    world.tick(&mut work).await.unwrap();
    assert_eq!(world.calls.count("http:Get"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_health_page_with_another_body_proves_nothing() {
    let (world, mut work) = activation().await;
    world.traffic.standby_answers(Some((200, "read-only")));
    let answer = world.tick(&mut work).await.unwrap();
    assert!(!open(&world));
    assert!(answer.said.iter().any(|said| said.contains("without `ready`")), "{:?}", answer.said);
}

#[tokio::test(start_paused = true)]
async fn the_operator_opens_without_the_rest_but_not_without_proof() {
    let (world, mut work) = activation().await;
    capacity(&world, 1);
    set(&world, Part::Rotation, json!({}));
    let said = Said { by: "ada".to_owned(), at: world.now() };
    change_run(&world, |run| run.words.switch_anyway = Some(said));
    world.traffic.standby_answers(None);
    world.tick(&mut work).await.unwrap();
    assert!(!open(&world));
    world.traffic.standby_answers(Some((200, "ready")));
    world.tick(&mut work).await.unwrap();
    assert!(open(&world));
}

#[tokio::test(start_paused = true)]
async fn the_old_writer_is_fenced_until_it_is_done() {
    let (world, mut work) = activation().await;
    capacity(&world, 1);
    world.tick(&mut work).await.unwrap();
    assert_eq!(traffic(&world).fenced["orders"].attempts, 1);
    later(60).await;
    world.tick(&mut work).await.unwrap();
    let step = traffic(&world).fenced["orders"].clone();
    assert!(step.done_at.is_some(), "{step:?}");
    later(60).await;
    let before = world.calls.log().len();
    world.tick(&mut work).await.unwrap();
    let again = world.calls.log().split_off(before);
    assert!(again.iter().all(|call| call.place == Place::Standby), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn no_writer_is_fenced_before_the_first_attempt_to_promote() {
    for phase in [Phase::Suspected, Phase::Confirmed, Phase::Activating, Phase::StoodDown] {
        let (world, mut work) = world();
        in_phase(&world, Mode::Failover, phase);
        world.tick(&mut work).await.unwrap();
        assert!(world.calls.log().iter().all(|call| call.place == Place::Standby), "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dark_primary_is_asked_once_a_minute_and_said_once() {
    let (world, mut work) = activation().await;
    world.calls.dark(Place::Primary, true);
    capacity(&world, 1);
    // Five minutes of polling.
    world.nudge_within(&mut work, json!({ "relight": "tick" }), std::time::Duration::from_secs(300)).await.unwrap();
    let attempts = world.calls.log().iter().filter(|call| call.place == Place::Primary).count();
    assert!((5..=6).contains(&attempts), "{attempts}");
    assert_eq!(traffic(&world).fenced["orders"].attempts as usize, attempts);
    assert_eq!(sentences(&world).iter().filter(|said| said.contains("is not fenced yet")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn fencing_goes_on_while_the_standby_serves_and_no_run_is_open() {
    let (world, mut work) = activation().await;
    in_phase(&world, Mode::Failover, Phase::Active);
    world.calls.dark(Place::Primary, true);
    world.tick(&mut work).await.unwrap();
    world.calls.dark(Place::Primary, false);
    for _ in 0..3 {
        later(60).await;
        world.tick(&mut work).await.unwrap();
    }
    assert!(traffic(&world).fenced["orders"].done_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn each_call_failing_once_opens_all_the_same() {
    for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer] {
        for n in 0.. {
            let (world, mut work) = activation().await;
            world.calls.fault_at(n, fault);
            for _ in 0..4 {
                let _failed = world.tick(&mut work).await;
                later(60).await;
            }
            if world.calls.fault_is_pending() {
                assert!(n > 8, "the situation makes more calls than {n}");
                break;
            }
            let progress = traffic(&world);
            assert!(progress.opened_at.is_some(), "call {n} met {fault:?}: {:?}", world.calls.log());
            assert!(progress.fenced["orders"].done_at.is_some(), "call {n} met {fault:?}");
            assert!(world.traffic.stop());
        }
    }
}
