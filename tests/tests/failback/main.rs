//! The way home after a failover, with all seven functions: whole, given up in each phase, and with everything that fails.

mod faults;
mod mariadb;

use std::collections::BTreeSet;

use relight::ports::Stage;
use relight::run::Mode::{Drill, Failback, Failover};
use relight::run::Phase::{self, Aborted, Active, Closed, Preparing, Restoring, Suspected, Switching, Synchronised};
use relight::state::Place;
use relight_suites::{
    Control, Delivery, End, PLAN, REPLICA, SECRETS, Standing, expect, is, minutes, peace, phase, primary_fails, primary_returns, report, reported,
    run, said,
};
use relight_world::{Fault, World};

const HOME: &str = "orders.primary.rds.test";
const HERE: &str = "orders-replica.standby.rds.test";

fn writes(world: &World, host: &str, key: &str) -> bool {
    world.database.write(host, "public.orders", key, "placed").is_some()
}

/// A failover whose replica lacked order 3 when the primary died; users placed order 4 at the standby, and order 2 was shipped
/// there. The primary is back, and its old writer is fenced. With what stood before it.
async fn failed_over(plan: &str, delivery: Delivery) -> (Control, Standing) {
    let mut control = peace(plan, delivery).await;
    let before = Standing::of(&control.world);
    let world = control.world.clone();
    world.database.stall(Place::Standby, REPLICA, true);
    assert!(writes(&world, HOME, "3"));
    primary_fails(&world);
    let ended = control.run_until(minutes(20), reported).await;
    expect(ended, &control);
    assert_eq!(phase(&world), Some((Failover, Active)));
    assert!(writes(&world, HERE, "4"));
    world.database.write(HERE, "public.orders", "2", "shipped").expect("the standby takes writes");
    primary_returns(&world);
    let fenced = control.run_until(minutes(5), |world| world.database.primary_groups("orders") == ["sg-quarantine"]).await;
    expect(fenced, &control);
    control.run_for(minutes(2)).await;
    (control, before)
}

async fn at(phase: Phase, delivery: Delivery) -> (Control, Standing) {
    let (mut control, before) = failed_over(PLAN, delivery).await;
    reach(&mut control, phase).await;
    (control, before)
}

/// Brings a failback to the beginning of a phase.
async fn reach(control: &mut Control, phase: Phase) {
    control.order("failback").await;
    let preparing = control.run_until(minutes(2), is(Failback, Preparing)).await;
    expect(preparing, control);
    if phase == Preparing {
        return;
    }
    let synchronised = control.run_until(minutes(30), is(Failback, Synchronised)).await;
    expect(synchronised, control);
    if phase == Synchronised {
        return;
    }
    control.order("switch-home").await;
    let switching = control.run_until(minutes(10), |world| run(world).is_some_and(|run| run.mode == Failback && run.phase != Synchronised)).await;
    expect(switching, control);
    if phase == Switching {
        return;
    }
    let home = control.run_until(minutes(20), is(Failback, phase)).await;
    expect(home, control);
}

/// The orders of a database.
fn orders(world: &World, place: Place, instance: &str) -> BTreeSet<String> {
    let data = world.database.data(place, instance).expect("the world has the instance");
    data.tables["public.orders"].keys().cloned().collect()
}

/// What a failback leaves otherwise than it was before the failure: writers that were set aside, and the other of the two
/// users.
fn as_before(mut end: Standing) -> Standing {
    end.instances.retain(|name, _| !name.contains("-left-"));
    end.promotions.retain(|name, _| !name.contains("-left-"));
    end.home.retain(|name, _| !name.contains("-left-"));
    for secrets in [&mut end.secrets, &mut end.home_secrets] {
        let app = secrets.get_mut("shop/app").expect("a secret");
        assert_eq!(app.user, "app_clone");
        app.user = "app".to_owned();
    }
    // RDS names a source in another Region by an ARN, of which the world's two makers fill in differently much.
    for instance in end.instances.values_mut() {
        assert!(instance.source.as_deref().is_some_and(|source| source.ends_with(":db:orders")), "{instance:?}");
        instance.source = None;
    }
    end
}

fn without_source(mut before: Standing) -> Standing {
    before.instances.values_mut().for_each(|instance| instance.source = None);
    before
}

#[tokio::test(start_paused = true)]
async fn after_the_way_home_both_regions_are_as_before_and_every_row_is_somewhere() {
    let (mut control, before) = at(Restoring, Delivery::prompt()).await;
    let world = control.world.clone();
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    control.run_for(minutes(3)).await;

    let end = End::of(&world);
    assert_eq!((end.run, end.serving, end.passed), (Some((Failback, Closed)), Place::Primary, Some(true)));
    assert_eq!((end.baselines.len(), end.obligations.len()), (0, 0));
    assert_eq!(as_before(end.standing), without_source(before));

    assert_eq!(orders(&world, Place::Primary, "orders"), BTreeSet::from(["1", "2", "4"].map(str::to_owned)));
    assert_eq!(orders(&world, Place::Standby, REPLICA), orders(&world, Place::Primary, "orders"), "and the standby follows");
    let report = report(&world).expect("a report");
    let [left] = &report.rows_left[..] else { panic!("{:#?}", report.rows_left) };
    assert_eq!((left.table.as_str(), left.missing, left.differing), ("public.orders", 1, 1));
    let rows = world.reports.rows(&left.file).expect("the file that the report names");
    assert!(rows.iter().any(|row| row.contains(r#""kind":"missing""#) && row.contains(r#""id":"3""#)), "{rows:?}");
    assert!(rows.iter().any(|row| row.contains(r#""kind":"differing""#) && row.contains("shipped")), "{rows:?}");
    assert_eq!(rows.len(), 2);
    assert_eq!(report.set_aside.len(), 2, "{:?}", report.set_aside);
    for place in [Place::Primary, Place::Standby] {
        let [snapshot] = &world.database.snapshots(place)[..] else { panic!("one last snapshot in each Region") };
        assert!(report.set_aside.iter().any(|line| line.contains(snapshot)), "{snapshot}");
    }
    assert!(report.measured.write_pause_seconds.is_some_and(|paused| paused < 300.0), "{:?}", report.measured);
    assert!(writes(&world, HOME, "5") && !writes(&world, HERE, "6"));
}

#[tokio::test(start_paused = true)]
async fn after_the_way_home_a_drill_passes_and_the_next_failover_works() {
    let (mut control, _) = at(Restoring, Delivery::prompt()).await;
    let closed = control.run_until(minutes(30), |world| is(Failback, Closed)(world) && reported(world)).await;
    expect(closed, &control);
    control.run_for(minutes(20)).await;
    control.drill();
    let drilled = control.run_until(minutes(60), |world| is(Drill, Closed)(world) && reported(world)).await;
    expect(drilled, &control);
    assert_eq!(control.world.journal.snapshot().progress.drill.passed, Some(true), "{:#?}", report(&control.world).map(|report| report.findings));

    control.run_for(minutes(2)).await;
    primary_fails(&control.world);
    let failed_over = control.run_until(minutes(20), |world| is(Failover, Active)(world) && reported(world)).await;
    expect(failed_over, &control);
    assert!(writes(&control.world, HERE, "7"));
}

/// The standby serves as before: its writer takes writes, users and STOP are there, capacity is up.
#[track_caller]
fn serves_on(control: &Control, key: &str) {
    let world = &control.world;
    let standing = Standing::of(world);
    assert_eq!((phase(world), world.journal.snapshot().head.serving), (Some((Failback, Closed)), Place::Standby));
    assert!(writes(world, HERE, key), "the standby takes no writes");
    assert_eq!((standing.stop, standing.users), (true, Place::Standby));
    assert_eq!(standing.services["service/shop/web"].as_ref().map(|service| service.running), Some(4));
    for name in SECRETS {
        assert!(standing.secrets[name].opens && standing.secrets[name].host == HERE, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stand_down_in_each_phase_leaves_the_standby_serving_with_writes_open() {
    for phase in [Preparing, Synchronised, Switching] {
        let (mut control, _) = at(phase, Delivery::prompt()).await;
        control.order("stand-down").await;
        let closed = control.run_until(minutes(15), |world| is(Failback, Closed)(world) && reported(world)).await;
        expect(closed, &control);
        control.run_for(minutes(5)).await;
        serves_on(&control, "8");
        assert_eq!(control.world.database.home_promotions("orders"), 0, "{phase:?}");
        // And the next one goes through, with the rows of the same old writer.
        reach(&mut control, Restoring).await;
        let ended = control.run_until(minutes(30), |world| is(Failback, Closed)(world) && reported(world)).await;
        expect(ended, &control);
        let report = report(&control.world).expect("a report");
        assert!(report.passed, "{phase:?}: {:#?}", report.findings);
        assert_eq!(report.rows_left.iter().map(|left| left.missing).sum::<u64>(), 1, "{phase:?}");
        assert!(orders(&control.world, Place::Primary, "orders").contains("8"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_before_the_promotion_at_home_leaves_the_standby_serving() {
    for phase in [Preparing, Synchronised, Switching] {
        let (mut control, _) = at(phase, Delivery::prompt()).await;
        if control.world.database.home_promotions("orders") > 0 {
            continue;
        }
        primary_fails(&control.world);
        let closed = control.run_until(minutes(60), |world| is(Failback, Closed)(world) && reported(world)).await;
        expect(closed, &control);
        assert!(said(&control.world, "the primary Region does not answer"), "{phase:?}");
        control.run_for(minutes(2)).await;
        serves_on(&control, "8");
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_while_home_is_promoted_is_left_by_a_persons_word() {
    let (mut control, _) = at(Switching, Delivery::prompt()).await;
    let promoting = control.run_until(minutes(10), |world| world.database.home_promotions("orders") == 1).await;
    expect(promoting, &control);
    primary_fails(&control.world);
    control.run_for(minutes(60)).await;
    assert_eq!(phase(&control.world), Some((Failback, Switching)), "nobody goes back by himself");
    control.order("stand-down").await;
    let closed = control.run_until(minutes(10), |world| is(Failback, Closed)(world) && reported(world)).await;
    expect(closed, &control);
    serves_on(&control, "8");

    // What was promoted there is an old writer now: it is fenced when its Region is back, and the next way home sets it aside.
    control.order("failback").await;
    control.run_for(minutes(1)).await;
    assert_eq!(phase(&control.world), Some((Failback, Closed)), "it is refused while that one is not fenced");
    primary_returns(&control.world);
    let fenced = control.run_until(minutes(5), |world| world.database.primary_groups("orders") == ["sg-quarantine"]).await;
    expect(fenced, &control);
    control.run_for(minutes(2)).await;
    reach(&mut control, Restoring).await;
    let ended = control.run_until(minutes(30), |world| is(Failback, Closed)(world) && reported(world)).await;
    expect(ended, &control);
    assert_eq!(control.world.journal.snapshot().head.serving, Place::Primary);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_once_users_are_home_is_failed_over_when_the_replica_is_there_again() {
    let (mut control, _) = at(Restoring, Delivery::prompt()).await;
    // The standby's replica is not there yet: the vetoes say so until a person accepts the loss.
    primary_fails(&control.world);
    let suspected = control.run_until(minutes(5), is(Failover, Suspected)).await;
    expect(suspected, &control);
    control.run_for(minutes(20)).await;
    assert!(matches!(phase(&control.world), Some((Failover, Suspected | Phase::Confirmed))), "{:?}", phase(&control.world));
    primary_returns(&control.world);
    let closed = control.run_until(minutes(90), |world| is(Failover, Closed)(world) && reported(world)).await;
    expect(closed, &control);
    let replica = control.world.database.instance(REPLICA).expect("the standby has its replica again");
    assert!(replica.source.is_some() && replica.is_available() && replica.backup_retention == 1, "{replica:?}");
    assert_eq!(control.world.journal.snapshot().head.serving, Place::Primary);
}

#[tokio::test(start_paused = true)]
async fn writes_that_pause_too_long_are_opened_again_by_themselves() {
    let (mut control, _) = at(Synchronised, Delivery::prompt()).await;
    // The last write never arrives.
    control.world.database.stall(Place::Primary, "orders", true);
    assert!(writes(&control.world, HERE, "9"));
    control.order("switch-home").await;
    let closed = control.run_until(minutes(15), |world| is(Failback, Closed)(world) && reported(world)).await;
    expect(closed, &control);
    assert!(said(&control.world, "writes paused for 5m"));
    control.run_for(minutes(2)).await;
    serves_on(&control, "10");
    let paused = report(&control.world).and_then(|report| report.measured.write_pause_seconds).expect("they paused");
    assert!((300.0..420.0).contains(&paused), "{paused}");
}

#[tokio::test(start_paused = true)]
async fn a_promotion_at_home_that_is_throttled_is_sent_again_at_once_since_writes_pause() {
    let (mut control, _) = failed_over(PLAN, Delivery::prompt()).await;
    control.world.calls.fault("rds:PromoteReadReplica", Fault::Throttled);
    reach(&mut control, Restoring).await;
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    let steps = &control.world.journal.snapshot().progress;
    let (closed, attempted) = (steps.rotation.home.databases["orders"].closed_at, steps.promotion.home["orders"].promote_attempt_at);
    let waited = attempted.zip(closed).map(|(attempted, closed)| attempted.duration_since(closed).as_secs());
    assert!(waited.is_some_and(|waited| waited < 30), "writes paused for {waited:?} s until the promotion was taken");
    assert_eq!(control.world.database.home_promotions("orders"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_plans_window_switches_without_a_word() {
    // Every world begins at 00:05.
    let (mut control, _) = failed_over(&format!("{PLAN}\n[failback]\nwindow = \"02:00-04:00\"\n"), Delivery::prompt()).await;
    reach(&mut control, Synchronised).await;
    let before = run(&control.world).expect("a run").phase_since;
    let switched = control.run_until(minutes(180), is(Failback, Restoring)).await;
    expect(switched, &control);
    assert!(said(&control.world, "within the plan's window"));
    let at = run(&control.world).and_then(|run| run.committed_at).expect("a point of no return");
    let two: jiff::Timestamp = "2026-01-05T02:00:00Z".parse().expect("a time");
    assert!(before < two && at >= two && at < two + minutes(5), "{at}");
}

#[tokio::test(start_paused = true)]
async fn under_load_both_sides_are_compared_while_writes_pause() {
    let (mut control, _) = failed_over(PLAN, Delivery::prompt()).await;
    control.world.login.set_busy(true);
    reach(&mut control, Restoring).await;
    let compared = &control.world.journal.snapshot().progress.rotation.home.databases["orders"];
    let seen = compared.compared.as_ref().expect("a comparison");
    assert_eq!(seen.equal, Some(true));
    assert!(Some(seen.at) >= compared.closed_at);
}

#[tokio::test(start_paused = true)]
async fn the_way_home_is_refused_until_the_old_writer_is_fenced() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    primary_fails(&control.world);
    let ended = control.run_until(minutes(20), reported).await;
    expect(ended, &control);
    control.order("failback").await;
    control.run_for(minutes(2)).await;
    assert_eq!(phase(&control.world), Some((Failover, Active)));
    primary_returns(&control.world);
    let fenced = control.run_until(minutes(5), |world| world.database.primary_groups("orders") == ["sg-quarantine"]).await;
    expect(fenced, &control);
    control.run_for(minutes(2)).await;
    control.order("failback").await;
    let opened = control.run_until(minutes(1), is(Failback, Preparing)).await;
    expect(opened, &control);
}

#[tokio::test(start_paused = true)]
async fn an_old_writer_that_is_gone_is_no_obstacle() {
    let (mut control, _) = failed_over(PLAN, Delivery::prompt()).await;
    control.world.database.lose_home("orders");
    reach(&mut control, Restoring).await;
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    let report = report(&control.world).expect("a report");
    assert!(report.passed && report.rows_left.is_empty(), "{:#?}", report.findings);
}

#[tokio::test(start_paused = true)]
async fn home_is_promoted_once_with_writes_closed_and_every_row_there() {
    let (mut control, _) = failed_over(PLAN, Delivery::prompt()).await;
    let world = control.world.clone();
    control.world.calls.witness(move |call| {
        if call.operation == "rds:PromoteReadReplica" {
            assert_eq!((call.place, call.about.as_str()), (Place::Primary, "orders"));
            assert_eq!(world.database.home_promotions("orders"), 0, "it is promoted again");
            assert!(!writes(&world, HERE, "11"), "the standby takes writes");
            let (here, home) = (world.database.data(Place::Standby, REPLICA), world.database.data(Place::Primary, "orders"));
            assert_eq!(here, home);
            let snapshot = world.journal.snapshot();
            assert!(snapshot.head.run.is_some_and(|run| run.committed_at.is_some()), "the point of no return is not recorded");
            assert!(snapshot.progress.promotion.home["orders"].promote_attempt_at.is_some(), "the attempt is not recorded");
        }
        if call.operation == "login:CloseWrites" {
            assert!(world.journal.snapshot().progress.rotation.home.databases["orders"].closing_at.is_some(), "it is not recorded");
        }
        if call.operation == "secretsmanager:ReplicateSecretToRegions" {
            assert!(run(&world).is_some_and(|run| run.came_home_at.is_some()), "the standby's secret is overwritten while it serves");
        }
    });
    reach(&mut control, Restoring).await;
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    assert_eq!(control.world.database.home_promotions("orders"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_way_home_calls_the_primary_region_for_nothing_that_is_not_on_its_list() {
    let (mut control, _) = failed_over(PLAN, Delivery::prompt()).await;
    let from = control.world.calls.log().len();
    reach(&mut control, Restoring).await;
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    let log = control.world.calls.log();
    let called: BTreeSet<&str> = log[from..].iter().filter(|call| call.place == Place::Primary).map(|call| call.operation).collect();
    let list = [
        "cloudwatch:PutMetricData",
        "http:Get",
        "login:Behind",
        "login:Compare",
        "login:LeftBehind",
        "login:Login",
        "login:OpenWrites",
        "login:Position",
        "login:Prove",
        "rds:CreateDBInstanceReadReplica",
        "rds:CreateDBSnapshot",
        "rds:DescribeDBInstances",
        "rds:DescribeDBSnapshots",
        "rds:ModifyDBInstance",
        "rds:PromoteReadReplica",
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:ReplicateSecretToRegions",
    ];
    assert_eq!(called, BTreeSet::from(list));
}

#[tokio::test(start_paused = true)]
async fn what_applications_of_the_standby_read_works_until_users_are_home() {
    let (mut control, _) = failed_over(PLAN, Delivery::prompt()).await;
    let world = control.world.clone();
    control.world.calls.witness(move |call| {
        if run(&world).is_some_and(|run| run.came_home_at.is_none()) {
            for name in SECRETS {
                let read = world.secrets.read(name, Stage::Current).expect("a version");
                assert!(world.login.opens(&read), "{name} does not open before {call:?}");
            }
        }
    });
    reach(&mut control, Restoring).await;
    let aborted = control.run_until(minutes(1), is(Failback, Aborted)).await;
    assert!(!aborted);
}
