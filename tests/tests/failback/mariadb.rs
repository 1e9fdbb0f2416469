//! The way home of MariaDB, whose writes are closed by a parameter of the serving instance's own group.

use relight::run::Mode::{Drill, Failback, Failover};
use relight::run::Phase::{Active, Closed, Restoring, Switching, Synchronised};
use relight::state::Place;
use relight_suites::{Delivery, REPLICA, is, mariadb_plan, minutes, phase, primary_fails, report, reported, run, said};

use crate::faults::each_call_fails_once;
use crate::{HERE, HOME, as_before, expect, failed_over, orders, reach, serves_on, without_source, writes};

const GROUP: &str = "orders-replica-parameters";

#[tokio::test(start_paused = true)]
async fn both_regions_are_as_before_every_row_is_somewhere_and_the_next_failover_takes_writes() {
    let (mut control, before) = failed_over(&mariadb_plan(), Delivery::prompt()).await;
    let world = control.world.clone();
    control.world.calls.witness(move |call| match call.operation {
        "rds:PromoteReadReplica" => {
            assert!(!writes(&world, HERE, "11"), "the standby takes writes");
            let (here, home) = (world.database.data(Place::Standby, REPLICA), world.database.data(Place::Primary, "orders"));
            assert_eq!(here, home);
        }
        "rds:ModifyDBParameterGroup" => {
            let step = world.journal.snapshot().progress.rotation.home.databases["orders"].clone();
            assert!(step.closing_at.is_some() && step.gate.is_some(), "what it said before is not recorded: {step:?}");
        }
        "rds:CreateDBInstanceReadReplica" if call.place == Place::Standby => {
            assert_ne!(world.database.parameter(GROUP).as_deref(), Some("1"), "the replica is built into a group that closes writes");
        }
        _ => {}
    });
    reach(&mut control, Restoring).await;
    let ended = control.run_until(minutes(30), |world| is(Failback, Closed)(world) && reported(world)).await;
    expect(ended, &control);
    control.run_for(minutes(3)).await;
    let world = control.world.clone();
    let end = relight_suites::End::of(&world);
    assert_eq!((end.serving, end.passed, end.standing.closed.len()), (Place::Primary, Some(true), 0));
    assert_eq!(as_before(end.standing), without_source(before));
    assert_eq!(orders(&world, Place::Standby, REPLICA), orders(&world, Place::Primary, "orders"));
    let report = report(&world).expect("a report");
    assert_eq!((report.rows_left[0].missing, report.rows_left[0].differing), (1, 1));
    assert!(writes(&world, HOME, "5") && !writes(&world, HERE, "6"));

    control.drill();
    let drilled = control.run_until(minutes(60), |world| is(Drill, Closed)(world) && reported(world)).await;
    expect(drilled, &control);
    control.run_for(minutes(2)).await;
    primary_fails(&world);
    let failed_over = control.run_until(minutes(20), |world| is(Failover, Active)(world) && reported(world)).await;
    expect(failed_over, &control);
    assert!(writes(&world, HERE, "7"));
}

#[tokio::test(start_paused = true)]
async fn a_stand_down_opens_writes_again_with_what_the_group_said_before() {
    for said_before in [None, Some("0")] {
        let (mut control, _) = failed_over(&mariadb_plan(), Delivery::prompt()).await;
        if let Some(value) = said_before {
            control.world.database.set_parameter(GROUP, value);
        }
        reach(&mut control, Switching).await;
        let closing = control.run_until(minutes(2), |world| world.database.parameter(GROUP).as_deref() == Some("1")).await;
        expect(closing, &control);
        control.order("stand-down").await;
        let closed = control.run_until(minutes(15), |world| is(Failback, Closed)(world) && reported(world)).await;
        expect(closed, &control);
        control.run_for(minutes(5)).await;
        serves_on(&control, "8");
        assert_eq!(control.world.database.parameter(GROUP).as_deref(), said_before.or(Some("{TrueIfReplica}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_not_the_plans_or_also_anothers_is_said_before_writes_pause() {
    for (group, sentence) in [("default.mariadb10.11", "and not orders-replica-parameters of the plan"), (GROUP, "is also that of items-replica")] {
        let (mut control, _) = failed_over(&mariadb_plan(), Delivery::prompt()).await;
        control.world.database.add(Place::Standby, "items-replica", REPLICA);
        control.world.database.change(REPLICA, |instance| instance.parameter_group.as_mut().expect("a group").name = group.to_owned());
        reach(&mut control, Synchronised).await;
        control.order("switch-home").await;
        control.run_for(minutes(5)).await;
        assert_eq!(phase(&control.world), Some((Failback, Synchronised)), "{group}");
        assert!(said(&control.world, sentence), "{group}");
        assert!(writes(&control.world, HERE, "8"), "writes went on");
        // Mended, and the order stands.
        control.world.database.lose("items-replica");
        control.world.database.change(REPLICA, |instance| instance.parameter_group.as_mut().expect("a group").name = GROUP.to_owned());
        let home = control.run_until(minutes(30), |world| is(Failback, Restoring)(world) || is(Failback, Closed)(world)).await;
        expect(home, &control);
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_before_the_standby_is_rebuilt_leaves_the_writer_that_served_to_a_persons_word_and_open() {
    let (mut control, _) = failed_over(&mariadb_plan(), Delivery::prompt()).await;
    reach(&mut control, Restoring).await;
    assert_eq!(control.world.database.parameter(GROUP).as_deref(), Some("1"));
    primary_fails(&control.world);
    control.run_for(minutes(5)).await;
    assert!(!writes(&control.world, HERE, "12"), "it waits for a word, as what was written at home is not here");
    control.order("accept-loss").await;
    let active = control.run_until(minutes(20), |world| is(Failover, Active)(world) && reported(world)).await;
    expect(active, &control);
    assert!(writes(&control.world, HERE, "13"));
    assert_eq!(control.world.database.closing_groups(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn under_load_both_sides_are_compared_while_writes_pause() {
    let (mut control, _) = failed_over(&mariadb_plan(), Delivery::prompt()).await;
    control.world.login.set_busy(true);
    reach(&mut control, Restoring).await;
    let step = &control.world.journal.snapshot().progress.rotation.home.databases["orders"];
    let seen = step.compared.as_ref().expect("a comparison");
    assert!(seen.equal == Some(true) && Some(seen.at) >= step.closed_at, "{seen:?}");
    assert!(run(&control.world).is_some_and(|run| run.came_home_at.is_some()));
    assert_ne!(phase(&control.world), Some((Failover, Active)));
}

#[tokio::test(start_paused = true)]
async fn it_ends_the_same_whichever_call_that_closes_or_opens_writes_fails_once() {
    let of_interest = |operation: &str| operation.contains("Parameter") || operation.contains("Writes");
    each_call_fails_once(&mariadb_plan(), Place::Standby, 6, of_interest).await;
}
