//! The STOP object: when it is put, when it goes, and what a failure or a crash in between leads to.

mod common;

use std::cell::Cell;
use std::time::Duration;

use common::*;
use relight::plan;
use relight::ports::{CallError, Fetched, Notice, Resolved, Traffic};
use relight::run::{Mode, Phase};
use relight::state::{Head, HoldSwitch, Key, Part, Place, TrafficProgress};
use relight_world::traffic::TrafficWorld;
use relight_world::{Fault, World};
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn peace_is_one_journal_read_and_one_look() {
    let (world, mut work) = world();
    world.tick(&mut work).await.unwrap();
    let calls: Vec<_> = world.calls.log().iter().map(|call| call.operation).collect();
    assert_eq!(calls, ["dynamodb:Query", "s3:HeadObject"]);
    assert_eq!(world.journal.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_left_over_in_peace_is_removed() {
    let (world, mut work) = world();
    world.traffic.set_stop(true);
    world.tick(&mut work).await.unwrap();
    assert!(!world.traffic.stop());
    assert_eq!(world.journal.writes(), 0, "there is no run to write about");
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_serves_without_any_run_has_the_primary_held_out_and_it_is_recorded_once() {
    let (world, mut work) = world();
    let head = Head { serving: Place::Standby, ..world.journal.snapshot().head };
    assert!(head.run.is_none(), "a person put it into service");
    world.journal.set(Key::Head, serde_json::to_value(head).unwrap());
    world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop());
    assert!(traffic(&world).held_out_at.is_some());
    let writes = world.journal.writes();
    world.tick(&mut work).await.unwrap();
    assert_eq!((writes, world.journal.writes()), (2, 2), "asked and seen, and nothing more");
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_does_not_hold_the_primary_out() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::Suspected);
    change_run(&world, |run| run.words = Default::default());
    world.tick(&mut work).await.unwrap();
    assert!(!world.traffic.stop());
    assert_eq!(traffic(&world).users_at, Some(Place::Primary));
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_and_cleared_failover_holds_the_primary_out_and_tells() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::Confirmed);
    cleared(&world);
    world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop());
    assert!(traffic(&world).held_out_at.is_some());
    assert!(world.notices.sent().iter().any(|notice| matches!(notice, Notice::Progress { what, .. } if what == "primary held out")));
    assert!(sentences(&world).iter().any(|said| said.contains("the primary is held out of traffic")), "{:?}", sentences(&world));
}

#[tokio::test(start_paused = true)]
async fn the_intention_is_recorded_before_the_object_is_put() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::Confirmed);
    cleared(&world);
    failing(&world, "s3:PutObject", Fault::Throttled);
    world.tick(&mut work).await.unwrap();
    assert!(!world.traffic.stop());
    assert!(traffic(&world).stop_asked_at.is_some());
    assert!(traffic(&world).held_out_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn every_veto_stands_before_the_object() {
    // Not judged, judged too long ago, refused, held, no quorum.
    type Situation = (&'static str, fn(&World), &'static str);
    let situations: [Situation; 4] = [
        ("not judged", |_| {}, "has not judged database orders"),
        (
            "refused",
            |world| {
                let step = json!({ "refused": "the replica is 600 s behind", "cleared_at": world.now() });
                set(world, Part::Promotion, json!({ "databases": { "orders": step } }));
            },
            "600 s behind",
        ),
        (
            "held",
            |world| {
                cleared(world);
                let mut head = world.journal.snapshot().head;
                let until = world.now() + relight::fold::HOLD;
                head.hold = Some(HoldSwitch { until, by: "ada".to_owned() });
                world.journal.set(Key::Head, serde_json::to_value(head).unwrap());
            },
            "ada holds it",
        ),
        (
            "no quorum",
            |world| {
                cleared(world);
                change_run(world, |run| run.words = Default::default());
            },
            "0 of the 2 observers",
        ),
    ];
    for (name, situation, sentence) in situations {
        let (world, mut work) = world();
        in_phase(&world, Mode::Failover, Phase::Confirmed);
        situation(&world);
        let answer = world.tick(&mut work).await.unwrap();
        assert!(!world.traffic.stop(), "{name}");
        assert!(answer.said.iter().any(|said| said.contains(sentence)), "{name}: {:?}", answer.said);
    }
}

#[tokio::test(start_paused = true)]
async fn a_judgement_that_ages_after_the_put_does_not_move_users_back_and_forth() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::Confirmed);
    cleared(&world);
    // Put, and no answer says so: nothing records the hold-out.
    world.calls.fault("s3:PutObject", Fault::LostAnswer);
    set(&world, Part::Traffic, TrafficProgress { stop_asked_at: Some(world.now()), users_at: Some(Place::Primary), ..TrafficProgress::default() });
    world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop() && traffic(&world).held_out_at.is_none());
    later(120).await;
    world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop());
    assert!(traffic(&world).held_out_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_veto_after_the_hold_out_keeps_it() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::Confirmed);
    held_out(&world);
    let answer = world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop(), "{:?}", answer.said);
    assert!(traffic(&world).held_out_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stand_down_lets_the_primary_in_again() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::StoodDown);
    change_run(&world, |run| run.words.stand_down = run.words.failover.take());
    held_out(&world);
    world.tick(&mut work).await.unwrap();
    assert!(!world.traffic.stop());
    let progress = traffic(&world);
    assert!(progress.released_at.is_some() && progress.held_out_at.is_none() && progress.stop_asked_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_hold_out_is_taken_back_before_the_object_goes() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::StoodDown);
    change_run(&world, |run| run.words.stand_down = run.words.failover.take());
    held_out(&world);
    failing(&world, "s3:DeleteObject", Fault::Denied);
    world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop());
    let progress = traffic(&world);
    assert!(progress.held_out_at.is_none(), "a commit could count on a STOP that is about to go");
    assert!(progress.released_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failover_confirmed_again_holds_out_again() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::StoodDown);
    change_run(&world, |run| run.words.stand_down = run.words.failover.take());
    held_out(&world);
    world.tick(&mut work).await.unwrap();
    in_phase(&world, Mode::Failover, Phase::Confirmed);
    cleared(&world);
    world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop());
    let progress = traffic(&world);
    assert!(progress.held_out_at.is_some() && progress.released_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_drill_touches_no_traffic() {
    for stop in [false, true] {
        for phase in [Phase::Activating, Phase::Holding, Phase::Restoring] {
            let (world, mut work) = world();
            in_phase(&world, Mode::Drill, phase);
            world.traffic.set_stop(stop);
            world.tick(&mut work).await.unwrap();
            assert_eq!(world.traffic.stop(), stop);
            assert!(world.calls.log().iter().all(|call| call.operation.starts_with("dynamodb")), "{:?}", world.calls.log());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_removed_by_hand_while_the_standby_serves_is_put_again() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::Active);
    held_out(&world);
    world.traffic.set_stop(false);
    world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop());
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_only_observes_changes_nothing() {
    let text = PLAN.replace("[traffic]", "[policy]\nmode = \"observe\"\n\n[traffic]");
    let world = World::with_plan(&text);
    let mut work = switch_traffic::SwitchTraffic { traffic: world.traffic.clone(), database: world.database.clone() };
    world.traffic.set_stop(true);
    in_phase(&world, Mode::Failover, Phase::StoodDown);
    world.tick(&mut work).await.unwrap();
    assert!(world.traffic.stop());
    assert_eq!(world.journal.writes(), 0);
}

/// Every call of this kind that an invocation could make.
fn failing(world: &World, operation: &'static str, fault: Fault) {
    for _ in 0..5 {
        world.calls.fault(operation, fault);
    }
}

/// The end of a hold-out and of a release, for comparing the ends of different ways there.
fn end(world: &World) -> (bool, bool, bool, bool) {
    let progress = traffic(world);
    (world.traffic.stop(), progress.stop_asked_at.is_some(), progress.held_out_at.is_some(), progress.released_at.is_some())
}

#[tokio::test(start_paused = true)]
async fn each_call_failing_once_leads_to_the_same_end() {
    for (phase, expected) in [(Phase::Confirmed, (true, true, true, false)), (Phase::StoodDown, (false, false, false, true))] {
        for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer] {
            for n in 0.. {
                let (world, mut work) = world();
                in_phase(&world, Mode::Failover, phase);
                if phase == Phase::StoodDown {
                    change_run(&world, |run| run.words.stand_down = run.words.failover.take());
                    held_out(&world);
                }
                cleared(&world);
                world.calls.fault_at(n, fault);
                for _ in 0..4 {
                    // A journal that fails ends the invocation; the next tick is the guarantee.
                    let _failed = world.tick(&mut work).await;
                    later(60).await;
                    cleared(&world);
                }
                if world.calls.fault_is_pending() {
                    assert!(n > 6, "the situation makes more calls than {n}");
                    break;
                }
                let phase = world.journal.snapshot().head.run.map(|run| run.phase);
                assert!(matches!(phase, Some(Phase::Confirmed | Phase::Activating | Phase::StoodDown)), "{phase:?}");
                assert_eq!(end(&world), expected, "{phase:?}, call {n} met {fault:?}: {:?}", world.calls.log());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn done_twice_changes_nothing() {
    let (world, mut work) = world();
    in_phase(&world, Mode::Failover, Phase::Active);
    held_out(&world);
    let fenced = json!({ "done_at": world.now(), "attempts": 1, "last": "" });
    let mut progress = serde_json::to_value(traffic(&world)).unwrap();
    progress["fenced"] = json!({ "orders": fenced });
    set(&world, Part::Traffic, progress);
    world.tick(&mut work).await.unwrap();
    world.tick(&mut work).await.unwrap();
    assert_eq!(world.journal.writes(), 0);
    assert_eq!(world.calls.count("s3:PutObject"), 0);
}

/// Traffic in which, while STOP is looked at, somebody else confirms the run again.
struct Meanwhile {
    traffic: TrafficWorld,
    world: World,
    looks: Cell<u32>,
    at_look: u32,
}

impl Traffic for Meanwhile {
    async fn stop_is_present(&self, traffic: &plan::Traffic) -> Result<bool, CallError> {
        self.looks.set(self.looks.get() + 1);
        if self.looks.get() == self.at_look {
            in_phase(&self.world, Mode::Failover, Phase::Confirmed);
            cleared(&self.world);
        }
        self.traffic.stop_is_present(traffic).await
    }

    async fn put_stop(&self, traffic: &plan::Traffic) -> Result<(), CallError> {
        self.traffic.put_stop(traffic).await
    }

    async fn remove_stop(&self, traffic: &plan::Traffic) -> Result<(), CallError> {
        assert!(traffic_progress_allows_removal(&self.world), "removed while a commit could count on it");
        self.traffic.remove_stop(traffic).await
    }

    async fn stop_as_checkers_see_it(&self, traffic: &plan::Traffic) -> Fetched {
        self.traffic.stop_as_checkers_see_it(traffic).await
    }

    async fn resolve(&self, name: &str) -> Result<Resolved, CallError> {
        self.traffic.resolve(name).await
    }

    async fn fetch(&self, url: &str, within: Duration) -> Fetched {
        Traffic::fetch(&self.traffic, url, within).await
    }
}

fn traffic_progress_allows_removal(world: &World) -> bool {
    traffic(world).held_out_at.is_none()
}

#[tokio::test(start_paused = true)]
async fn confirmed_again_in_the_middle_of_a_release_it_ends_held_out() {
    for at_look in 1..6 {
        let (world, _) = world();
        in_phase(&world, Mode::Failover, Phase::StoodDown);
        change_run(&world, |run| run.words.stand_down = run.words.failover.take());
        held_out(&world);
        let traffic_now = Meanwhile { traffic: world.traffic.clone(), world: world.clone(), looks: Cell::new(0), at_look };
        let mut work = switch_traffic::SwitchTraffic { traffic: traffic_now, database: world.database.clone() };
        for _ in 0..3 {
            world.tick(&mut work).await.unwrap();
            later(60).await;
            cleared(&world);
        }
        let confirmed = world.journal.snapshot().phase() != Some((Mode::Failover, Phase::StoodDown));
        assert!(confirmed, "look {at_look}");
        assert!(world.traffic.stop(), "look {at_look}");
        assert!(traffic(&world).held_out_at.is_some(), "look {at_look}");
    }
}
