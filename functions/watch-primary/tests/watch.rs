//! What the watcher sees, remembers and sends, in peace and in a crisis.

use std::time::Duration;

use relight::evidence::Word;
use relight::run::{Mode, Phase};
use relight::state::{Head, Key, Place};
use relight_world::traffic::TrafficWorld;
use relight_world::{Fault, World};
use serde_json::json;
use watch_primary::WatchPrimary;

const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"

[traffic]
record = "www.shop.example"
standby = "standby.shop.example"
stop_bucket = "shop-stop"
healthy_url = "http://standby.shop.example/health"

[[observer]]
name = "probe"
kind = "probe"
url = "http://primary.shop.example/health"
body = "ok"

[[observer]]
name = "checkers"
kind = "checkers"
record = "verdict.shop.example"
health_check = "hc-1"

[[observer]]
name = "alarm"
kind = "alarm"
arn = "arn:aws:cloudwatch:us-west-2:123456789012:alarm:errors"
"#;

type Work = WatchPrimary<TrafficWorld>;

fn world() -> (World, Work) {
    let world = World::with_plan(PLAN);
    let work = WatchPrimary { eyes: world.traffic.clone() };
    (world, work)
}

fn word(world: &World, observer: &str) -> Word {
    let plan = relight::plan::Plan::stored(PLAN).unwrap();
    world.journal.snapshot().evidence.word(&plan, observer, world.now()).0
}

fn phase(world: &World) -> Option<(Mode, Phase)> {
    world.journal.snapshot().phase()
}

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Ticks, one a minute, each with the time that Lambda gives it.
async fn minutes(world: &World, work: &mut Work, minutes: u32) {
    for _ in 0..minutes {
        world.nudge_within(work, json!({ "relight": "tick" }), Duration::from_secs(50)).await.unwrap();
        later(10).await;
    }
}

fn dies(world: &World) {
    world.calls.dark(Place::Primary, true);
    world.traffic.primary_answers(None);
}

fn recovers(world: &World) {
    world.calls.dark(Place::Primary, false);
    world.traffic.primary_answers(Some((200, "ok")));
}

#[tokio::test(start_paused = true)]
async fn in_peace_each_tick_hears_both_and_beats() {
    let (world, mut work) = world();
    for _ in 0..5 {
        world.tick(&mut work).await.unwrap();
        later(60).await;
    }
    assert_eq!(word(&world, "probe"), Word::Up);
    assert_eq!(word(&world, "checkers"), Word::Up);
    assert_eq!(world.traffic.heartbeats().len(), 5);
    assert_eq!(world.journal.writes(), 5, "one write a tick, or the words would age");
    assert_eq!(phase(&world), None);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_dies_is_suspected_by_the_first_tick_and_confirmed_over_the_dwell() {
    let (world, mut work) = world();
    minutes(&world, &mut work, 2).await;
    dies(&world);
    world.tick(&mut work).await.unwrap();
    assert_eq!(phase(&world), Some((Mode::Failover, Phase::Suspected)));
    minutes(&world, &mut work, 3).await;
    assert_eq!(phase(&world), Some((Mode::Failover, Phase::Confirmed)));
}

#[tokio::test(start_paused = true)]
async fn it_keeps_looking_within_its_invocation_while_suspected() {
    let (world, mut work) = world();
    minutes(&world, &mut work, 1).await;
    dies(&world);
    world.nudge_within(&mut work, json!({ "relight": "tick" }), Duration::from_secs(240)).await.unwrap();
    assert_eq!(phase(&world), Some((Mode::Failover, Phase::Confirmed)), "one invocation saw the checkers follow and the dwell pass");
}

#[tokio::test(start_paused = true)]
async fn a_poll_does_not_write_each_time() {
    let (world, mut work) = world();
    minutes(&world, &mut work, 1).await;
    world.traffic.primary_answers(Some((503, "")));
    world.traffic.checkers_say(Some(&["UP"]));
    world.tick(&mut work).await.unwrap();
    let before = world.journal.writes();
    let polls = world.calls.count("http:Get");
    world.nudge_within(&mut work, json!({ "relight": "tick" }), Duration::from_secs(60)).await.unwrap();
    assert!(world.calls.count("http:Get") - polls >= 10);
    // The lease is renewed every ten seconds; the evidence every thirty.
    assert!(world.journal.writes() - before <= 12, "{}", world.journal.writes() - before);
}

#[tokio::test(start_paused = true)]
async fn no_heartbeat_goes_to_a_primary_seen_down_nor_during_a_failover() {
    let (world, mut work) = world();
    minutes(&world, &mut work, 1).await;
    dies(&world);
    minutes(&world, &mut work, 1).await;
    let before = world.calls.count("cloudwatch:PutMetricData");
    minutes(&world, &mut work, 5).await;
    assert_eq!(world.calls.count("cloudwatch:PutMetricData"), before);
    assert!(before <= 2, "{before}");
}

#[tokio::test(start_paused = true)]
async fn no_heartbeat_while_the_standby_serves() {
    let (world, mut work) = world();
    let head = Head { serving: Place::Standby, plan_version: 1, ..Head::default() };
    world.journal.set(Key::Head, serde_json::to_value(head).unwrap());
    minutes(&world, &mut work, 2).await;
    assert!(world.traffic.heartbeats().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_fails_is_said_and_stops_nothing() {
    let (world, mut work) = world();
    world.calls.fault("cloudwatch:PutMetricData", Fault::Denied);
    let answer = world.tick(&mut work).await.unwrap();
    assert!(answer.said.iter().any(|said| said.contains("cloudwatch:PutMetricData")), "{:?}", answer.said);
    assert_eq!(word(&world, "probe"), Word::Up);
}

#[tokio::test(start_paused = true)]
async fn a_flapping_primary_is_suspected_but_never_confirmed() {
    let (world, mut work) = world();
    minutes(&world, &mut work, 2).await;
    for _ in 0..10 {
        world.traffic.primary_answers(Some((503, "")));
        world.traffic.checkers_say(Some(&["DOWN"]));
        world.tick(&mut work).await.unwrap();
        later(40).await;
        recovers(&world);
        world.traffic.checkers_say(Some(&["UP"]));
        world.tick(&mut work).await.unwrap();
        later(40).await;
        assert!(!matches!(phase(&world), Some((_, Phase::Confirmed | Phase::Activating))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_comes_back_is_stood_down() {
    let (world, mut work) = world();
    minutes(&world, &mut work, 2).await;
    dies(&world);
    minutes(&world, &mut work, 1).await;
    assert_eq!(phase(&world), Some((Mode::Failover, Phase::Suspected)));
    recovers(&world);
    minutes(&world, &mut work, 3).await;
    assert_eq!(phase(&world), Some((Mode::Failover, Phase::StoodDown)));
}

#[tokio::test(start_paused = true)]
async fn a_record_without_text_is_no_evidence() {
    let (world, mut work) = world();
    minutes(&world, &mut work, 1).await;
    world.traffic.checkers_say(Some(&[]));
    minutes(&world, &mut work, 1).await;
    assert_eq!(word(&world, "checkers"), Word::Unknown);
    assert_eq!(phase(&world), None);
}

#[tokio::test(start_paused = true)]
async fn it_watches_under_a_plan_that_only_observes_and_opens_nothing() {
    let text = PLAN.replace("[traffic]", "[policy]\nmode = \"observe\"\n\n[traffic]");
    let world = World::with_plan(&text);
    let mut work = WatchPrimary { eyes: world.traffic.clone() };
    dies(&world);
    minutes(&world, &mut work, 5).await;
    assert_eq!(word(&world, "probe"), Word::Down);
    assert_eq!(phase(&world), None);
}

#[tokio::test(start_paused = true)]
async fn a_changed_word_stands_in_the_history_of_the_run() {
    let (world, mut work) = world();
    minutes(&world, &mut work, 1).await;
    dies(&world);
    minutes(&world, &mut work, 2).await;
    let run = world.journal.snapshot().head.run.unwrap().id;
    let said = world.journal.sentences(&run);
    assert_eq!(said.iter().filter(|said| said.starts_with("checkers says Down")).count(), 1, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn each_call_failing_once_leads_to_the_same_phase() {
    for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer] {
        for n in 0.. {
            let (world, mut work) = world();
            world.tick(&mut work).await.unwrap();
            dies(&world);
            world.calls.fault_at(n, fault);
            for _ in 0..5 {
                let _failed = world.nudge_within(&mut work, json!({ "relight": "tick" }), Duration::from_secs(50)).await;
                later(30).await;
            }
            if world.calls.fault_is_pending() {
                assert!(n > 40, "the situation makes more calls than {n}");
                break;
            }
            assert_eq!(phase(&world), Some((Mode::Failover, Phase::Confirmed)), "call {n} met {fault:?}");
        }
    }
}
