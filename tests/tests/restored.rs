//! Whole drills whose copy is restored from a snapshot, with all seven functions.

use relight::ports::CopyId;
use relight::run::Mode::{Drill, Failover};
use relight::run::Phase::{Active, Closed, Confirmed, Holding};
use relight::state::Place;
use relight_suites::{
    Control, Delivery, End, PLAN, REPLICA, Standing, expect, forget_every_run, forget_what_was_made, is, minutes, peace, phase, primary_fails,
    report, reported, run,
};
use relight_world::{Call, Fault, World};

/// RDS makes no replica of a replica without backups.
async fn drilling(delivery: Delivery) -> Control {
    let mut control = peace(PLAN, delivery).await;
    control.world.database.change(REPLICA, |replica| replica.backup_retention = 0);
    control.drill();
    control
}

/// The drill's instances and snapshots.
fn disposable(world: &World) -> Vec<String> {
    let instances = world.database.instances().into_iter().filter(|name| name != REPLICA);
    instances.chain(world.database.copy_snapshots()).collect()
}

fn status(world: &World) -> String {
    world.database.instance(REPLICA).map(|replica| replica.status).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_drill_restores_what_rds_makes_no_replica_of_and_leaves_everything_as_it_was() {
    let mut control = drilling(Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    let holding = control.run_until(minutes(20), is(Drill, Holding)).await;
    expect(holding, &control);
    let copy = CopyId::of("shop", &run(&control.world).expect("a run").id, "orders").to_string();
    assert_eq!(disposable(&control.world), [copy.clone(), copy.clone()], "an instance and its snapshot");
    assert!(control.world.database.is_writer(&copy));
    assert!(control.world.journal.snapshot().progress.rotation.rehearsal.proven.contains_key("orders"), "logged in to, and written");

    let ended = control.run_until(minutes(20), reported).await;
    expect(ended, &control);
    let world = &control.world;
    assert_eq!((phase(world), Standing::of(world)), (Some((Drill, Closed)), before));
    assert_eq!((world.calls.count("rds:CreateDBInstanceReadReplica"), world.calls.count("rds:PromoteReadReplica")), (0, 0));
    assert!(world.journal.snapshot().obligations.is_empty());

    let report = report(world).expect("a report");
    assert!(report.passed, "{:#?}", report.findings);
    assert!(report.findings.iter().any(|finding| finding.said.contains("restored from a snapshot of the replica")), "{:#?}", report.findings);
    assert!(report.measured.restored_seconds["orders"] >= 60.0, "{:?}", report.measured);
    let [compared] = report.compared.as_slice() else { panic!("{:?}", report.compared) };
    assert!(compared.equal.is_none() && compared.said.contains("restored from a snapshot"), "{compared:?}");
    let memory = world.journal.snapshot().memory;
    assert_eq!(memory.last_good_drill, run(world).expect("a run").ended_at);
    assert_eq!((memory.promotion_seconds.len(), memory.recovery_seconds), (0, None), "a failover promotes: a restore estimates nothing of it");
}

/// What all must end in, and the calls that led there.
async fn undisturbed() -> (End, Vec<Call>) {
    let mut control = drilling(Delivery::one_turn()).await;
    let peace = control.world.calls.log().len();
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    let calls = control.world.calls.log().split_off(peace);
    control.run_for(minutes(3)).await;
    let end = End::of(&control.world);
    assert_eq!((end.run, end.passed, end.standing.promotions[REPLICA]), (Some((Drill, Closed)), Some(true), 0));
    (end, calls)
}

/// A write of the journal whose answer is lost is a function that was killed after it; one that never arrives, before it.
#[tokio::test(start_paused = true)]
async fn it_ends_the_same_whichever_call_for_the_copy_fails_once_and_wherever_a_function_is_killed() {
    let (expected, calls) = undisturbed().await;
    let first = |call: &Call| calls.iter().position(|other| other.operation == call.operation && other.about == call.about);
    let last = |call: &Call| calls.iter().rposition(|other| other.operation == call.operation && other.about == call.about);
    let mut met = 0;
    for (n, call) in calls.iter().enumerate() {
        let of_the_copy = call.about.starts_with("relight-drill-") && (first(call) == Some(n) || last(call) == Some(n));
        let faults: &[Fault] = match call.operation {
            _ if of_the_copy => &[Fault::Throttled, Fault::Silence, Fault::LostAnswer],
            "dynamodb:TransactWriteItems" if n % 3 == 0 => &[Fault::Silence, Fault::LostAnswer],
            _ => &[],
        };
        for fault in faults {
            let mut control = drilling(Delivery::one_turn()).await;
            control.world.calls.fault_at(n, *fault);
            control.run_until(minutes(90), |world| reported(world) && End::of(world) == expected).await;
            let history = || run(&control.world).map(|run| control.world.journal.sentences(&run.id));
            assert!(End::of(&control.world) == expected, "{fault:?} at call {n}: {call:?}: {:#?}\n{:#?}", End::of(&control.world), history());
            met += 1;
        }
    }
    for call in ["rds:CreateDBSnapshot", "rds:RestoreDBInstanceFromDBSnapshot", "rds:DeleteDBInstance", "rds:DeleteDBSnapshot"] {
        assert!(calls.iter().any(|seen| seen.operation == call), "{call}");
    }
    assert!(met > 30, "only {met} faults were met");
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_while_the_snapshot_keeps_the_replica_busy_is_failed_over_once_it_ends() {
    let mut control = drilling(Delivery::prompt()).await;
    // Of a large instance: three quarters of it are the snapshot.
    control.world.database.set_creation(minutes(20));
    let busy = control.run_until(minutes(5), |world| status(world) == "backing-up").await;
    expect(busy, &control);
    primary_fails(&control.world);
    let confirmed = control.run_until(minutes(10), is(Failover, Confirmed)).await;
    expect(confirmed, &control);
    control.run_for(minutes(2)).await;
    let sentence = "orders-replica is backing-up, RDS promotes and copies it after that: a backup, a snapshot or a replica of it is being made";
    let snapshot = control.world.journal.snapshot();
    assert_eq!(snapshot.progress.promotion.databases["orders"].refused.as_deref(), Some(sentence), "it is what the status says, too");
    assert_eq!(control.world.calls.count("rds:PromoteReadReplica"), 0, "RDS would refuse it");
    assert!(!Standing::of(&control.world).stop, "users are not held out of a primary that nobody can replace yet");

    let active = control.run_until(minutes(20), is(Failover, Active)).await;
    expect(active, &control);
    assert_eq!(Standing::of(&control.world).promotions[REPLICA], 1);
    assert_eq!(control.world.calls.count("rds:RestoreDBInstanceFromDBSnapshot"), 0, "a failover has no time for rehearsals");
    // What the drill made goes when it is due, whatever is open.
    control.run_for(minutes(70)).await;
    assert!(disposable(&control.world).is_empty(), "{:?}", disposable(&control.world));
    assert_eq!(End::of(&control.world).obligations, ["capacity"]);
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_goes_although_the_journal_lost_it() {
    // In the drill: it is not over before both are gone.
    let mut control = drilling(Delivery::prompt()).await;
    let held = control.run_until(minutes(20), is(Drill, Holding)).await;
    expect(held, &control);
    forget_what_was_made(&control.world);
    assert_eq!(disposable(&control.world).len(), 2);
    let closed = control.run_until(minutes(20), is(Drill, Closed)).await;
    expect(closed, &control);
    assert!(disposable(&control.world).is_empty(), "{:?}", disposable(&control.world));

    // With the whole journal, while it is taken: nothing else tells that there ever was a drill.
    let mut control = drilling(Delivery::prompt()).await;
    let taken = control.run_until(minutes(5), |world| !world.database.copy_snapshots().is_empty()).await;
    expect(taken, &control);
    forget_every_run(&control.world);
    assert_eq!((status(&control.world).as_str(), disposable(&control.world).len()), ("backing-up", 1));
    control.run_for(minutes(5)).await;
    assert_eq!((run(&control.world), disposable(&control.world)), (None, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_does_not_come_to_an_end_is_given_up_and_nothing_of_it_stays() {
    let mut control = drilling(Delivery::prompt()).await;
    control.world.database.set_creation(minutes(40));
    let ended = control.run_until(minutes(120), reported).await;
    expect(ended, &control);
    assert_eq!(report(&control.world).map(|report| report.passed), Some(false));
    control.run_for(minutes(30)).await;
    let end = End::of(&control.world);
    assert_eq!((end.run, end.serving, end.obligations.len(), disposable(&control.world)), (Some((Drill, Closed)), Place::Primary, 0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_a_person_ends_while_the_snapshot_is_taken_waits_for_it_and_removes_it() {
    let mut control = drilling(Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    let busy = control.run_until(minutes(5), |world| status(world) == "backing-up").await;
    expect(busy, &control);
    control.order("stand-down").await;
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), Standing::of(&control.world)), (Some((Drill, Closed)), before));
    assert_eq!(control.world.calls.count("rds:RestoreDBInstanceFromDBSnapshot"), 0);
}
