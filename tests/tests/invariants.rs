//! ARCHITECTURE.md's invariants, as far as a world in memory can hold them: a witness looks on at every call, before it has
//! any effect, and so between any two effects.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use jiff::SignedDuration;
use monthly_drill::standing;
use relight::advance::way_on;
use relight::nudge::View;
use relight::plan::Plan;
use relight::ports::Stage;
use relight::run::Mode::{Drill, Failover};
use relight::run::Phase::{Active, Closed, Holding, Restoring};
use relight::state::Place;
use relight_suites::{
    Control, Delivery, Function, PLAN, REPLICA, SECRETS, Standing, expect, is, minutes, peace, phase, primary_fails, primary_returns, reported, run,
};
use relight_world::database::LagFeed;
use relight_world::{Call, World};

/// A failover to its end, with a witness of every call of it.
async fn failover(witness: impl Fn(&World, &Call) + 'static) -> Control {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    watched(&control.world, witness);
    primary_fails(&control.world);
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    control.run_for(minutes(5)).await;
    assert_eq!(phase(&control.world), Some((Failover, Active)));
    control
}

async fn drill(witness: impl Fn(&World, &Call) + 'static) -> Control {
    drill_of(1, witness).await
}

/// The replica's backups are kept for so many days; with none its copy is restored from a snapshot.
async fn drill_of(backups: u32, witness: impl Fn(&World, &Call) + 'static) -> Control {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.world.database.change(REPLICA, |replica| replica.backup_retention = backups);
    watched(&control.world, witness);
    control.drill();
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    control.run_for(minutes(5)).await;
    assert_eq!(phase(&control.world), Some((Drill, Closed)));
    control
}

fn watched(world: &World, witness: impl Fn(&World, &Call) + 'static) {
    let seen = world.clone();
    world.calls.witness(move |call| witness(&seen, call));
}

fn plan() -> Plan {
    Plan::stored(PLAN).expect("a plan")
}

/// What was called in the primary Region from the opening of the run on.
fn calls_to_the_primary(world: &World, from: usize) -> BTreeSet<&'static str> {
    world.calls.log()[from..].iter().filter(|call| call.place == Place::Primary).map(|call| call.operation).collect()
}

#[tokio::test(start_paused = true)]
async fn invariant_1_a_failover_calls_the_primary_region_only_to_probe_and_to_fence() {
    let opened = Rc::new(Cell::new(None));
    let seen = Rc::clone(&opened);
    let control = failover(move |world, _| {
        if seen.get().is_none() && run(world).is_some() {
            seen.set(Some(world.calls.log().len()));
        }
    })
    .await;
    let calls = calls_to_the_primary(&control.world, opened.get().expect("a run was opened"));
    assert_eq!(calls, BTreeSet::from(["http:Get", "rds:DescribeDBInstances"]), "the look of the fence is as far as a dark Region lets it come");
}

#[tokio::test(start_paused = true)]
async fn invariant_1_a_drill_calls_the_primary_region_only_to_probe_and_for_its_heartbeat() {
    let control = drill(|_, _| {}).await;
    assert_eq!(calls_to_the_primary(&control.world, 0), BTreeSet::from(["http:Get", "cloudwatch:PutMetricData"]));
}

#[tokio::test(start_paused = true)]
async fn invariant_2_a_replica_is_promoted_once_and_only_with_the_primary_held_out() {
    let control = failover(|world, call| {
        if call.operation == "rds:PromoteReadReplica" {
            assert_eq!(call.about, REPLICA);
            assert_eq!(world.database.promotions(REPLICA), 0, "it is promoted again");
            let progress = world.journal.snapshot().progress;
            assert!(world.traffic.stop() && progress.traffic.held_out_at.is_some(), "users can still write at the primary");
            assert!(progress.promotion.databases["orders"].lag.as_ref().is_some_and(|lag| lag.seconds.is_some()), "on unknown evidence");
        }
    })
    .await;
    assert_eq!((control.world.calls.count("rds:PromoteReadReplica"), control.world.database.promotions(REPLICA)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn invariant_2_a_drill_promotes_a_copy_and_nothing_else() {
    let control = drill(|world, call| {
        if call.operation == "rds:PromoteReadReplica" {
            assert!(call.about.starts_with("relight-drill-"), "{call:?}");
        }
        assert_eq!(world.database.promotions(REPLICA), 0);
    })
    .await;
    assert_eq!(control.world.calls.count("rds:PromoteReadReplica"), 1, "one copy");
    let control = drill_of(0, |world, _| assert_eq!(world.database.promotions(REPLICA), 0)).await;
    assert_eq!(control.world.calls.count("rds:PromoteReadReplica"), 0, "one that is restored is a writer");
}

#[tokio::test(start_paused = true)]
async fn invariant_2_nothing_is_promoted_on_an_unknown_lag_however_long_it_lasts() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.world.database.set_lag(REPLICA, LagFeed::Missing);
    primary_fails(&control.world);
    control.run_for(minutes(120)).await;
    assert_eq!(control.world.calls.count("rds:PromoteReadReplica"), 0);
}

/// What is wanted of service and group.
fn wanted(world: &World) -> [u32; 4] {
    let web = world.compute.service("shop", "web").expect("a service");
    let workers = world.compute.group("workers").expect("a group");
    [web.desired, web.scaling.map_or(0, |bounds| bounds.min), workers.desired, workers.min]
}

#[tokio::test(start_paused = true)]
async fn invariant_3_capacity_only_rises_in_a_failover_and_stays_while_the_standby_serves() {
    let last = RefCell::new([0; 4]);
    let control = failover(move |world, call| {
        let now = wanted(world);
        let lower = last.borrow().iter().zip(&now).any(|(last, now)| now < last);
        assert!(!lower, "lowered from {last:?} to {now:?} before {call:?}");
        last.replace(now);
    })
    .await;
    assert_eq!(wanted(&control.world), [4, 4, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn invariant_3_a_drill_never_goes_below_the_baseline() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let baseline = wanted(&control.world);
    watched(&control.world, move |world, call| {
        let below = wanted(world).iter().zip(&baseline).any(|(now, baseline)| now < baseline);
        assert!(!below, "below the baseline before {call:?}");
    });
    control.drill();
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    assert_eq!(wanted(&control.world), baseline);
}

#[tokio::test(start_paused = true)]
async fn invariant_4_a_drill_ends_with_everything_given_back_whichever_function_is_broken() {
    let others = Function::ALL.into_iter().filter(|function| *function != Function::ScaleDown);
    for broken in others {
        let mut control = peace(PLAN, Delivery::one_turn()).await;
        let before = Standing::of(&control.world);
        control.order("drill").await;
        control.break_function(broken);
        let ended = control.run_until(minutes(75), is(Drill, Closed)).await;
        expect(ended, &control);
        assert_eq!(Standing::of(&control.world), before, "without {broken:?}");
        assert!(control.world.journal.snapshot().obligations.is_empty(), "without {broken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_4_where_nobody_gives_back_the_metric_of_the_alarm_says_so_from_the_deadline_on() {
    let mut control = peace(PLAN, Delivery::one_turn()).await;
    control.order("drill").await;
    control.break_function(Function::ScaleDown);
    let restoring = control.run_until(minutes(30), is(Drill, Restoring)).await;
    expect(restoring, &control);
    let overdue = |control: &Control| {
        let view = View { plan: plan(), snapshot: control.world.journal.snapshot(), now: control.world.now() };
        standing(&view)["ObligationOverdue"].0
    };
    assert_eq!(overdue(&control), 0.0);
    control.run_for(minutes(60)).await;
    let owed = control.world.journal.snapshot().obligations.len();
    assert_eq!((overdue(&control), owed), (4.0, 4), "capacity, a copy and two secrets");
}

#[tokio::test(start_paused = true)]
async fn invariant_5_what_applications_read_opens_a_writable_database_at_every_instant_from_the_repointing_on() {
    let looks = Rc::new(Cell::new(0));
    let counted = Rc::clone(&looks);
    // What an application read before the last change of the secret, and still has in hand.
    let in_hand = RefCell::new(SECRETS.map(|_| None));
    failover(move |world, call| {
        let steps = world.journal.snapshot().progress.rotation.secrets;
        for (name, held) in SECRETS.iter().zip(in_hand.borrow_mut().iter_mut()) {
            if steps.get(*name).is_none_or(|step| step.repointed_at.is_none()) {
                continue;
            }
            let read = world.secrets.read(name, Stage::Current).expect("a version");
            assert!(world.login.opens(&read), "{name} does not open before {call:?}");
            assert!(held.replace(read).is_none_or(|held| world.login.opens(&held)), "{name} as it was read before {call:?} opens no more");
            counted.set(counted.get() + 1);
        }
        assert!(world.database.is_writer(REPLICA) || steps.values().all(|step| step.repointed_at.is_none()), "repointed to a replica");
    })
    .await;
    assert!(looks.get() > 50, "only {} looks", looks.get());
}

#[tokio::test(start_paused = true)]
async fn invariant_6_a_nudge_in_peace_reads_the_journal_once_and_calls_nothing_but_its_watch() {
    let control = peace(PLAN, Delivery::one_turn()).await;
    for function in Function::ALL {
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        let (calls, writes) = (control.world.calls.log().len(), control.world.journal.writes());
        for _ in 0..2 {
            function.invoke(&control.world, serde_json::json!({ "relight": "tick" }), std::time::Duration::from_secs(840)).await.expect("an answer");
        }
        let made: Vec<_> = control.world.calls.log()[calls..].iter().map(|call| call.operation).collect();
        let expected: &[&str] = match function {
            // The second look is within the time for which the first one counts: neither a write nor a heartbeat.
            Function::WatchPrimary => &[
                "dynamodb:Query",
                "http:Get",
                "dns:Query",
                "cloudwatch:PutMetricData",
                "dynamodb:TransactWriteItems",
                "dynamodb:Query",
                "http:Get",
                "dns:Query",
            ],
            Function::SwitchTraffic => &["dynamodb:Query", "s3:HeadObject", "dynamodb:Query", "s3:HeadObject"],
            _ => &["dynamodb:Query", "dynamodb:Query"],
        };
        assert_eq!(made, expected, "{function:?}");
        let written = u32::from(function == Function::WatchPrimary);
        assert_eq!(control.world.journal.writes() - writes, written, "{function:?}");
    }
}

/// Nothing of AWS is touched whose record is not in the journal.
fn recorded(world: &World, call: &Call) {
    let snapshot = world.journal.snapshot();
    let owes = |id: String| snapshot.obligations.contains_key(&id);
    match call.operation {
        "rds:PromoteReadReplica" if call.about == REPLICA => {
            assert!(snapshot.progress.promotion.databases["orders"].promote_attempt_at.is_some(), "no attempt is recorded: {call:?}");
            assert_eq!(snapshot.head.serving, Place::Standby, "the point of no return is not passed");
        }
        "rds:CreateDBInstanceReadReplica" | "rds:CreateDBSnapshot" | "rds:RestoreDBInstanceFromDBSnapshot" => {
            assert!(owes(format!("copy/{}", call.about)), "{call:?} is not owed")
        }
        "secretsmanager:CreateSecret" => assert!(owes(format!("secret/{}", call.about)), "{call:?} is not owed"),
        "ecs:UpdateService" | "application-autoscaling:RegisterScalableTarget" | "autoscaling:UpdateAutoScalingGroup" => {
            let held = snapshot.baseline.keys().any(|id| id.0.ends_with(&call.about));
            assert!(held && owes("capacity".to_owned()), "{call:?} has no baseline");
        }
        "s3:PutObject" if call.about == "STOP" => assert!(snapshot.progress.traffic.stop_asked_at.is_some(), "{call:?} is not recorded"),
        "s3:DeleteObject" => assert_eq!(snapshot.progress.traffic.held_out_at, None, "somebody may still count on STOP"),
        "secretsmanager:StopReplicationToReplica" => assert!(snapshot.progress.rotation.proven.contains_key("orders"), "not proven: {call:?}"),
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_7_what_a_failover_touches_is_in_the_journal_before() {
    let control = failover(recorded).await;
    for operation in ["rds:PromoteReadReplica", "ecs:UpdateService", "autoscaling:UpdateAutoScalingGroup", "secretsmanager:StopReplicationToReplica"]
    {
        assert!(control.world.calls.count(operation) > 0, "{operation} was not seen");
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_7_what_a_drill_makes_and_a_stand_down_removes_is_in_the_journal_before() {
    let control = drill(recorded).await;
    let restored = drill_of(0, recorded).await;
    for (control, operation) in [
        (&control, "rds:CreateDBInstanceReadReplica"),
        (&control, "secretsmanager:CreateSecret"),
        (&restored, "rds:CreateDBSnapshot"),
        (&restored, "rds:RestoreDBInstanceFromDBSnapshot"),
    ] {
        assert!(control.world.calls.count(operation) > 0, "{operation} was not seen");
    }
    let mut control = peace(PLAN, Delivery::prompt()).await;
    watched(&control.world, recorded);
    primary_fails(&control.world);
    let promised = control.run_until(minutes(10), |world| world.journal.snapshot().head.serving == Place::Standby).await;
    expect(promised, &control);
    control.order("stand-down").await;
    primary_returns(&control.world);
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    assert!(control.world.calls.count("s3:DeleteObject") > 0);
}

#[tokio::test(start_paused = true)]
async fn invariant_8_no_event_but_evidence_of_the_plans_observers_and_orders_opens_a_run() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let openers = ["alarm.json", "alarm-composite.json", "alarms-several.json", "drill.json", "operator-drill.json", "operator-failover.json"];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
    let mut others = 0;
    for file in std::fs::read_dir(folder).expect("the fixtures") {
        let path = file.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        // The plan of this suite does not name the alarm of alarm.json.
        if openers[1..].contains(&name.as_str()) {
            continue;
        }
        others += 1;
        let event = serde_json::from_str(&std::fs::read_to_string(&path).expect("a fixture")).expect("JSON");
        control.alarm(&event);
        control.run_for(SignedDuration::from_secs(5)).await;
        assert_eq!(run(&control.world), None, "{name} opened a run");
    }
    assert!(others > 15, "only {others} fixtures");
}

#[tokio::test(start_paused = true)]
async fn invariant_9_at_every_instant_the_status_says_what_leads_on() {
    let phases = Rc::new(RefCell::new(BTreeSet::new()));
    let seen = |phases: &Rc<RefCell<BTreeSet<String>>>| {
        let phases = Rc::clone(phases);
        move |world: &World, _: &Call| {
            let snapshot = world.journal.snapshot();
            let said = way_on(&plan(), &snapshot, world.now());
            let leads = ["`", "scale-down", "docs/runbook.md"].iter().any(|way| said.contains(way));
            assert!(leads, "{:?} says no way on: {said}", snapshot.phase());
            phases.borrow_mut().insert(format!("{:?}", snapshot.phase()));
        }
    };
    failover(seen(&phases)).await;
    drill(seen(&phases)).await;
    let mut stood_down = peace(PLAN, Delivery::prompt()).await;
    watched(&stood_down.world, seen(&phases));
    stood_down.order("failover").await;
    stood_down.order("stand-down").await;
    let ended = stood_down.run_until(minutes(15), reported).await;
    expect(ended, &stood_down);
    assert_eq!(phases.borrow().len(), 8, "peace and every open phase: {phases:?}");
    assert!(phases.borrow().contains(&format!("{:?}", Some((Drill, Holding)))));
}
