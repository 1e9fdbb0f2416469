//! Whole drills of an Aurora global database, whose secondary's snapshot is restored to a cluster by itself, with all seven functions.

use relight::ports::{CopyId, Takeover};
use relight::run::Mode::{Drill, Failover};
use relight::run::Phase::{Active, Closed, Holding};
use relight::state::Place;
use relight_suites::{
    Control, Delivery, End, Standing, expect, forget_every_run, forget_what_was_made, global_plan, is, minutes, peace, phase, primary_fails, report,
    reported, run,
};
use relight_world::{Call, Fault, World};

const GLOBAL: &str = "orders-global";
const SECONDARY: &str = "orders-standby";
const CALLS: [&str; 6] = [
    "rds:CreateDBClusterSnapshot",
    "rds:RestoreDBClusterFromSnapshot",
    "rds:CreateDBInstance",
    "rds:DeleteDBInstance",
    "rds:DeleteDBCluster",
    "rds:DeleteDBClusterSnapshot",
];

async fn drilling(delivery: Delivery) -> Control {
    let mut control = peace(&global_plan(), delivery).await;
    control.drill();
    control
}

/// The drill's clusters, their instances and snapshots.
fn disposable(world: &World) -> Vec<String> {
    let clusters = world.database.instances().into_iter().filter(|name| name != SECONDARY);
    clusters.chain(world.database.copy_members()).chain(world.database.copy_snapshots()).collect()
}

fn status(world: &World) -> String {
    world.database.instance(SECONDARY).map(|secondary| secondary.status).unwrap_or_default()
}

fn made(control: &Control) -> [usize; 3] {
    [CALLS[0], CALLS[1], CALLS[2]].map(|call| control.world.calls.count(call))
}

#[tokio::test(start_paused = true)]
async fn a_drill_shows_that_the_data_take_logins_and_writes_and_leaves_everything_as_it_was() {
    let mut control = drilling(Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    let holding = control.run_until(minutes(20), is(Drill, Holding)).await;
    expect(holding, &control);
    let copy = CopyId::of("shop", &run(&control.world).expect("a run").id, "orders");
    assert_eq!(disposable(&control.world), [copy.to_string(), copy.member(), copy.to_string()], "a cluster, its instance and its snapshot");
    let held = control.world.journal.snapshot().progress.rotation.rehearsal;
    assert!(held.proven.contains_key("orders"), "logged in to, and written");
    assert!(held.secrets["shop/app"].rotated_at.is_some() && held.secrets["shop/admin"].repointed_at.is_some(), "{held:?}");

    let ended = control.run_until(minutes(20), reported).await;
    expect(ended, &control);
    let world = &control.world;
    assert_eq!((phase(world), Standing::of(world)), (Some((Drill, Closed)), before));
    assert_eq!((world.database.takeovers(GLOBAL).len(), world.database.global_writer(GLOBAL)), (0, Some(Place::Primary)));
    assert_eq!(made(&control), [1; 3]);
    assert!(world.journal.snapshot().obligations.is_empty());

    let report = report(world).expect("a report");
    assert!(report.passed, "{:#?}", report.findings);
    let said = |part: &str| report.findings.iter().any(|finding| finding.ok && finding.said.contains(part));
    assert!(said("restored from a snapshot of the secondary; no takeover was rehearsed"), "{:#?}", report.findings);
    assert!(said("secret shop/app: its disposable stand-in was repointed and rotated"), "{:#?}", report.findings);
    assert!(report.measured.restored_seconds["orders"] >= 120.0, "{:?}", report.measured);
    assert_eq!((report.measured.rto_seconds, report.measured.writable_seconds.len()), (None, 0), "a takeover restores nothing");
    let not_shown = |part: &str| report.not_proven.iter().any(|line| line.contains(part));
    assert!(not_shown("that orders-standby takes over, how long that takes, and so a recovery"), "{:#?}", report.not_proven);
    assert!(not_shown("that the copy of orders has the replica's rows") && !not_shown("the promotion of orders takes"), "{:#?}", report.not_proven);
    assert!(report.milestones.iter().any(|milestone| milestone.name == "orders: instance requested"), "{:#?}", report.milestones);
    let memory = world.journal.snapshot().memory;
    assert_eq!(memory.last_good_drill, run(world).expect("a run").ended_at);
    assert_eq!((memory.promotion_seconds.len(), memory.recovery_seconds), (0, None), "a restore estimates nothing of a takeover");
}

#[tokio::test(start_paused = true)]
async fn everything_is_owed_before_it_is_made() {
    let control = peace(&global_plan(), Delivery::prompt()).await;
    let world = control.world.clone();
    control.world.calls.witness(move |call| {
        let owed = |name: &str| world.journal.snapshot().obligations.contains_key(&format!("cluster/{name}"));
        match call.operation {
            "rds:CreateDBClusterSnapshot" | "rds:RestoreDBClusterFromSnapshot" => assert!(owed(&call.about), "{call:?}"),
            "rds:CreateDBInstance" => assert!(owed(call.about.strip_suffix("-1").expect("a copy's instance")), "{call:?}"),
            _ => {}
        }
    });
    let mut control = control;
    control.drill();
    let ended = control.run_until(minutes(40), reported).await;
    expect(ended, &control);
    assert_eq!(made(&control), [1; 3]);
}

/// What all must end in, and the calls that led there.
async fn undisturbed() -> (End, Vec<Call>) {
    let mut control = drilling(Delivery::one_turn()).await;
    let peace = control.world.calls.log().len();
    let ended = control.run_until(minutes(40), reported).await;
    expect(ended, &control);
    let calls = control.world.calls.log().split_off(peace);
    control.run_for(minutes(3)).await;
    let end = End::of(&control.world);
    assert_eq!((end.run, end.passed), (Some((Drill, Closed)), Some(true)));
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
            "dynamodb:TransactWriteItems" if n % 5 == 0 => &[Fault::Silence, Fault::LostAnswer],
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
    for call in CALLS {
        assert!(calls.iter().any(|seen| seen.operation == call), "{call}");
    }
    assert!(met > 40, "only {met} faults were met");
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_while_the_snapshot_is_taken_is_failed_over_at_once_and_the_copy_goes() {
    let mut control = drilling(Delivery::prompt()).await;
    // Of a large cluster.
    control.world.database.set_creation(minutes(40));
    let busy = control.run_until(minutes(5), |world| status(world) == "backing-up").await;
    expect(busy, &control);
    primary_fails(&control.world);
    let active = control.run_until(minutes(15), is(Failover, Active)).await;
    expect(active, &control);
    assert_eq!(status(&control.world), "backing-up", "a snapshot of a cluster goes on beside everything else");
    assert_eq!(control.world.database.takeovers(GLOBAL), [Takeover::FailoverLosingRows]);
    assert_eq!((made(&control), disposable(&control.world).len()), ([1, 0, 0], 1), "a failover has no time for rehearsals");
    // What the drill made goes when it is due, whatever is open.
    control.run_for(minutes(80)).await;
    assert!(disposable(&control.world).is_empty(), "{:?}", disposable(&control.world));
    assert_eq!(End::of(&control.world).obligations, ["capacity"]);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_while_the_copy_takes_writes_is_failed_over_and_the_copy_goes() {
    let mut control = drilling(Delivery::prompt()).await;
    let holding = control.run_until(minutes(20), is(Drill, Holding)).await;
    expect(holding, &control);
    primary_fails(&control.world);
    let active = control.run_until(minutes(15), is(Failover, Active)).await;
    expect(active, &control);
    assert_eq!(control.world.database.takeovers(GLOBAL), [Takeover::FailoverLosingRows]);
    control.run_for(minutes(80)).await;
    assert!(disposable(&control.world).is_empty(), "{:?}", disposable(&control.world));
}

#[tokio::test(start_paused = true)]
async fn what_it_made_goes_although_the_journal_lost_it() {
    // In the drill: it is not over before all three are gone.
    let mut control = drilling(Delivery::prompt()).await;
    let held = control.run_until(minutes(20), is(Drill, Holding)).await;
    expect(held, &control);
    forget_what_was_made(&control.world);
    assert_eq!(disposable(&control.world).len(), 3);
    let closed = control.run_until(minutes(20), is(Drill, Closed)).await;
    expect(closed, &control);
    assert!(disposable(&control.world).is_empty(), "{:?}", disposable(&control.world));

    // With the whole journal, while the cluster is restored: nothing else tells that there ever was a drill.
    let mut control = drilling(Delivery::prompt()).await;
    let restoring = control.run_until(minutes(5), |world| disposable(world).len() == 2).await;
    expect(restoring, &control);
    forget_every_run(&control.world);
    control.run_for(minutes(6)).await;
    assert_eq!((run(&control.world), disposable(&control.world)), (None, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_to_an_end_is_given_up_and_nothing_of_it_stays() {
    let mut control = drilling(Delivery::prompt()).await;
    control.world.database.set_creation(minutes(25));
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
    assert_eq!(made(&control), [1, 0, 0]);
}
