//! An Aurora global database with all seven functions: it fails over, is drilled, and comes home by a switchover.

use std::collections::BTreeSet;

use relight::ports::Takeover;
use relight::run::Mode::{Drill, Failback, Failover};
use relight::run::Phase::{self, Aborted, Active, Closed, Preparing, Synchronised};
use relight::state::Place;
use relight_suites::{
    Control, Delivery, End, expect, global_plan, is, minutes, peace, phase, primary_fails, primary_returns, report, reported, run, said,
};
use relight_world::World;

const GLOBAL: &str = "orders-global";
const CLUSTER: &str = "orders-standby";
const HOME: &str = "orders.primary.rds.test";
const HERE: &str = "orders-standby.standby.rds.test";

fn writes(world: &World, host: &str, key: &str) -> bool {
    world.database.write(host, "public.orders", key, "placed").is_some()
}

fn orders(world: &World, place: Place, cluster: &str) -> BTreeSet<String> {
    let data = world.database.data(place, cluster).expect("the world has the cluster");
    data.tables["public.orders"].keys().cloned().collect()
}

/// A failover whose secondary lacked order 3 when the primary died; order 4 was placed at the standby.
async fn failed_over(delivery: Delivery) -> Control {
    let mut control = peace(&global_plan(), delivery).await;
    let world = control.world.clone();
    world.database.stall(Place::Standby, CLUSTER, true);
    assert!(writes(&world, HOME, "3"));
    primary_fails(&world);
    let ended = control.run_until(minutes(20), reported).await;
    expect(ended, &control);
    assert_eq!(phase(&world), Some((Failover, Active)));
    assert!(writes(&world, HERE, "4"));
    world.database.stall(Place::Standby, CLUSTER, false);
    primary_returns(&world);
    control.run_for(minutes(1)).await;
    control
}

async fn reach(control: &mut Control, at: Phase) {
    control.order("failback").await;
    if at == Preparing {
        return;
    }
    let synchronised = control.run_until(minutes(30), is(Failback, Synchronised)).await;
    expect(synchronised, control);
    if at == Synchronised {
        return;
    }
    control.order("switch-home").await;
    let closed = control.run_until(minutes(30), |world| phase(world) == Some((Failback, at)) && reported(world)).await;
    expect(closed, control);
}

#[tokio::test(start_paused = true)]
async fn the_way_home_is_a_switchover_that_keeps_what_the_failover_lost_and_a_drill_passes_afterwards() {
    let mut control = failed_over(Delivery::prompt()).await;
    let world = control.world.clone();
    assert!(report(&world).expect("a report").passed, "{:#?}", report(&world).expect("a report").findings);
    reach(&mut control, Closed).await;

    let end = End::of(&world);
    assert_eq!((end.run, end.serving, end.passed), (Some((Failback, Closed)), Place::Primary, Some(true)), "{:#?}", report(&world));
    assert_eq!(world.database.takeovers(GLOBAL), [Takeover::FailoverLosingRows, Takeover::Switchover]);
    assert_eq!(world.database.global_writer(GLOBAL), Some(Place::Primary));
    let there = |keys: [&str; 3]| BTreeSet::from(keys.map(str::to_owned));
    assert_eq!(orders(&world, Place::Primary, "orders"), there(["1", "2", "4"]), "what the failover lost is in the snapshot alone");
    assert!(writes(&world, HOME, "5") && !writes(&world, HERE, "6"));

    let report = report(&world).expect("a report");
    let kept = world.database.snapshots(Place::Primary).into_iter().find(|name| name.starts_with("relight-lost-rows-orders-")).expect("a copy");
    assert!(report.set_aside.iter().any(|line| line.contains(&kept)), "{:?}", report.set_aside);
    assert!(report.measured.write_pause_seconds.is_some(), "{:?}", report.measured);

    control.drill();
    let drilled = control.run_until(minutes(40), |world| phase(world) == Some((Drill, Closed)) && reported(world)).await;
    expect(drilled, &control);
    let drill = relight_suites::report(&world).expect("a report");
    assert!(drill.passed, "{:#?}", drill.findings);
    let not_shown = drill.not_proven.iter().find(|line| line.contains("that orders-standby takes over")).expect("it is said");
    assert!(not_shown.contains("which moves no writer") && not_shown.contains("`failover` while the primary is healthy"), "{not_shown}");
    let measured = drill.measured.writable_seconds.keys().chain(world.journal.snapshot().memory.promotion_seconds.keys()).count();
    assert_eq!(measured, 0, "a good drill counts no takeover as rehearsed");
    assert!(drill.measured.restored_seconds["orders"] >= 120.0, "{:?}", drill.measured);
}

#[tokio::test(start_paused = true)]
async fn a_way_home_that_is_given_up_before_the_switchover_leaves_the_standby_writing() {
    for at in [Preparing, Synchronised] {
        let mut control = failed_over(Delivery::prompt()).await;
        let world = control.world.clone();
        reach(&mut control, at).await;
        control.order("stand-down").await;
        let over = control.run_until(minutes(10), |world| run(world).is_some_and(|run| run.mode == Failback && !run.is_open())).await;
        expect(over, &control);
        assert!(said(&world, "aborted") || phase(&world) == Some((Failback, Aborted)), "{at:?}");
        assert_eq!(world.database.takeovers(GLOBAL), [Takeover::FailoverLosingRows], "{at:?}");
        assert!(writes(&world, HERE, "5") && !writes(&world, HOME, "6"), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_home_ends_the_same_when_nudges_are_lost_doubled_and_late() {
    for seed in 0..6 {
        let mut control = failed_over(Delivery::unreliable(seed)).await;
        let world = control.world.clone();
        reach(&mut control, Closed).await;
        assert_eq!(End::of(&world).passed, Some(true), "seed {seed}");
        assert_eq!(world.database.takeovers(GLOBAL), [Takeover::FailoverLosingRows, Takeover::Switchover], "seed {seed}");
        assert_eq!(world.database.global_writer(GLOBAL), Some(Place::Primary), "seed {seed}");
    }
}
