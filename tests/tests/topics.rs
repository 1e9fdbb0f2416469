//! What somebody reaches who may publish to every topic that Relight hears, and may invoke nothing: cheap capacity, for a while.
//!
//! Orders, drills and rotations take the right to invoke. Alarms are taken from topics, but alarms alone are no quorum: one of those that
//! say Down must be an observer that Relight asked itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use relight::run::Mode::Failover;
use relight::run::Phase::{Active, Closed};
use relight::state::Place;
use relight_suites::{Control, Delivery, PLAN, Standing, is, minutes, peace, primary_fails, reported, run};
use relight_world::World;
use serde_json::{Value, json};

const COMPOSITE: &str = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:shop-primary-composite";
const UNHEALTHY: &str = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:shop-primary-health";
const LATENCY: &str = "arn:aws:cloudwatch:us-west-2:123456789012:alarm:shop-latency";

/// Three alarms: two witnesses of their own, and one that looks at the checkers' health check.
fn plan() -> String {
    let alarm = |name: &str, arn: &str, rest: &str| format!("\n[[observer]]\nname = \"{name}\"\nkind = \"alarm\"\narn = \"{arn}\"\n{rest}");
    let unhealthy = alarm("unhealthy", UNHEALTHY, "health_check = \"3f1b9c4e-5a52-4d8e-9a41-0c0f6a1b2c3d\"\n");
    PLAN.replace("\n[drill]\n", &format!("{unhealthy}{}\n[drill]\n", alarm("latency", LATENCY, "")))
}

fn alarm(arn: &str, state: &str, at: Timestamp) -> Value {
    json!({ "AlarmName": "forged", "AlarmArn": arn, "AWSAccountId": "123456789012", "NewStateValue": state, "NewStateReason": "forged",
            "StateChangeTime": at.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string() })
}

/// A file of `events/`, to be sent as a message.
fn file(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).expect("a file of events/");
    serde_json::from_str(&text).expect("JSON")
}

/// Alarms of now and of a time to come, to every function.
fn forge_alarms(control: &mut Control, state: &str) {
    let now = control.world.now();
    for arn in [COMPOSITE, UNHEALTHY, LATENCY] {
        control.publish(&alarm(arn, state, now));
        control.publish(&alarm(arn, state, now + SignedDuration::from_mins(2)));
    }
}

/// Everything else that an attacker could think of.
fn forge_the_rest(control: &mut Control) {
    let now = control.world.now();
    for at in [now - SignedDuration::from_mins(20), now + SignedDuration::from_hours(9000)] {
        control.publish(&alarm(LATENCY, "ALARM", at));
    }
    for word in ["failover", "approve", "accept-loss", "switch-anyway", "drill", "stand-down", "hold", "replan", "release"] {
        control.publish(&file(&format!("operator-{word}")));
    }
    for name in ["rotation-create-secret", "rotation-set-secret", "rotation-test-secret", "rotation-finish-secret", "drill", "tick"] {
        control.publish(&file(name));
    }
    control.publish(&json!({ "relight": "progress", "plan": "shop", "run": "failover-20260105T000500Z", "what": "primary held out" }));
}

/// What is called beside reading, and whether anybody ever confirmed anything.
fn changes(world: &World) -> Rc<RefCell<BTreeSet<&'static str>>> {
    let seen: Rc<RefCell<BTreeSet<&'static str>>> = Rc::default();
    let (kept, look) = (Rc::clone(&seen), world.clone());
    world.calls.witness(move |call| {
        let reads =
            ["Describe", "Get", "List", "Head"].iter().any(|verb| call.operation.split(':').nth(1).is_some_and(|name| name.starts_with(verb)));
        if !reads && !call.operation.starts_with("dns:") {
            kept.borrow_mut().insert(call.operation);
        }
        let head = look.journal.snapshot().head;
        let confirmed = head.run.as_ref().is_some_and(|run| run.confirmed_at.is_some() || run.mode != Failover);
        assert!(!confirmed && head.serving == Place::Primary && head.hold.is_none(), "{head:?}");
    });
    seen
}

#[tokio::test(start_paused = true)]
async fn whoever_publishes_to_every_topic_reaches_a_suspicion_and_never_a_failover() {
    let mut control = peace(&plan(), Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    let seen = changes(&control.world);
    for round in 0..24 {
        forge_alarms(&mut control, "ALARM");
        if round % 12 == 0 {
            forge_the_rest(&mut control);
        }
        control.run_for(SignedDuration::from_secs(30)).await;
    }
    let cheap = BTreeSet::from([
        "application-autoscaling:RegisterScalableTarget",
        "autoscaling:UpdateAutoScalingGroup",
        "cloudwatch:PutMetricData",
        "ecs:UpdateService",
        "sns:Publish",
    ]);
    let seen = seen.borrow().clone();
    assert!(seen.contains("ecs:UpdateService"), "what is cheap and undone easily, they reach: {seen:?}");
    assert!(seen.is_subset(&cheap), "{:?}", seen.difference(&cheap));
    let spot = |standing: &Standing| standing.services.values().flatten().map(|service| service.capacity_providers.clone()).collect::<Vec<_>>();
    assert_eq!(spot(&Standing::of(&control.world)), spot(&before), "no deployment is forced");

    let closed = control.run_until(minutes(90), |world| is(Failover, Closed)(world)).await;
    assert!(closed, "{:#?}", run(&control.world));
    control.run_for(minutes(5)).await;
    assert_eq!(Standing::of(&control.world), before, "and when they stop, everything is given back");
}

#[tokio::test(start_paused = true)]
async fn a_real_failure_is_found_through_forged_all_clears() {
    let mut control = peace(&plan(), Delivery::prompt()).await;
    primary_fails(&control.world);
    let mut serves = false;
    for _ in 0..90 {
        forge_alarms(&mut control, "OK");
        serves = control.run_until(SignedDuration::from_secs(10), reported).await;
        if serves {
            break;
        }
    }
    assert!(serves && is(Failover, Active)(&control.world), "{:#?}", run(&control.world).map(|run| control.world.journal.sentences(&run.id)));
}
