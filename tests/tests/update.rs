//! Two versions of the functions share one journal: while a deployment rolls, and after it was taken back.
//!
//! The older version knows less than this one, the newer writes more; both keep what they do not know (`relight::keep`).

use relight::ports::Change;
use relight::run::Mode::{Drill, Failover};
use relight::run::Phase::{self, Activating, Active, Closed, Confirmed, Holding, Restoring, StoodDown, Suspected};
use relight::state::{Key, Part};
use relight_suites::{
    Control, Delivery, End, Function, PLAN, REPLICA, Standing, is, minutes, peace, phase, primary_fails, primary_returns, reported, run, said,
};
use relight_world::journal::{NEWER, NEWER_ITEM};
use relight_world::{Version, World};
use serde_json::{Value, json};

const HALF: [Function; 4] = [Function::ScaleUp, Function::PromoteReplica, Function::WatchPrimary, Function::MonthlyDrill];

#[track_caller]
fn expect(reached: bool, control: &Control, what: &str) {
    let sentences = run(&control.world).map(|run| control.world.journal.sentences(&run.id));
    assert!(reached, "{what}: it is {:?}: {sentences:#?}", phase(&control.world));
}

fn rotated(world: &World) -> bool {
    reported(world) && world.journal.snapshot().progress.rotation.secrets.get("shop/app").is_some_and(|step| step.rotated_at.is_some())
}

/// A failover that these versions begin and end, with the change of them at a phase.
async fn failover(begins: Version, ends: Version, at: Phase) -> Control {
    let mut control = Control::deploy(PLAN, Delivery::prompt());
    control.update(&Function::ALL, begins);
    control.run_for(minutes(3)).await;
    primary_fails(&control.world);
    let reached = control.run_until(minutes(15), is(Failover, at)).await;
    expect(reached, &control, &format!("{begins:?} to {at:?}"));
    control.update(&Function::ALL, ends);
    let ended = control.run_until(minutes(20), rotated).await;
    expect(ended, &control, &format!("{begins:?}, from {at:?} on {ends:?}"));
    control.run_for(minutes(3)).await;
    control
}

async fn drill(begins: Version, ends: Version, at: Phase) -> Control {
    let mut control = Control::deploy(PLAN, Delivery::prompt());
    control.update(&Function::ALL, begins);
    control.run_for(minutes(3)).await;
    control.drill();
    let reached = control.run_until(minutes(20), is(Drill, at)).await;
    expect(reached, &control, &format!("{begins:?} to {at:?}"));
    control.update(&Function::ALL, ends);
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control, &format!("{begins:?}, from {at:?} on {ends:?}"));
    control.run_for(minutes(3)).await;
    control
}

/// From each of the phases on the other version, and the other way round.
async fn ends_the_same(other: Version, phases: [Phase; 2]) {
    let expected = End::of(&failover(Version::This, Version::This, Activating).await.world);
    assert_eq!((expected.run, expected.standing.promotions[REPLICA], expected.passed), (Some((Failover, Active)), 1, Some(true)));
    for at in phases {
        for (begins, ends) in [(other, Version::This), (Version::This, other)] {
            let control = failover(begins, ends, at).await;
            assert_eq!(End::of(&control.world), expected, "{begins:?}, from {at:?} on {ends:?}");
            assert_eq!(control.world.reports.held().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_the_older_version_begins_this_one_ends_the_same_and_the_other_way_round() {
    ends_the_same(Version::Older, [Confirmed, Activating]).await;
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_a_newer_version_begins_this_one_ends_the_same_and_the_other_way_round() {
    ends_the_same(Version::Newer, [Suspected, Activating]).await;
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_one_version_begins_another_ends_the_same() {
    let expected = End::of(&drill(Version::This, Version::This, Activating).await.world);
    assert_eq!((expected.run, expected.passed), (Some((Drill, Closed)), Some(true)));
    // An older version knows nothing of the rehearsal on disposable secrets that it would have to end.
    for (begins, ends) in [(Version::Newer, Version::This), (Version::This, Version::Newer)] {
        for at in [Activating, Holding, Restoring] {
            let control = drill(begins, ends, at).await;
            assert_eq!(End::of(&control.world), expected, "{begins:?}, from {at:?} on {ends:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_deployment_rolls_half_the_functions_of_each_version_end_it_the_same() {
    let expected = End::of(&failover(Version::This, Version::This, Activating).await.world);
    for other in [Version::Older, Version::Newer] {
        let mut control = peace(PLAN, Delivery::prompt()).await;
        control.update(&HALF, other);
        primary_fails(&control.world);
        let ended = control.run_until(minutes(20), rotated).await;
        expect(ended, &control, &format!("half of it {other:?}"));
        control.run_for(minutes(3)).await;
        assert_eq!(End::of(&control.world), expected, "half of it {other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_version_wrote_is_still_there_when_this_one_has_ended_the_run() {
    let control = failover(Version::Newer, Version::This, Activating).await;
    let journal = &control.world.journal;
    let body = |key: Key| journal.body(&key).expect("an item");
    let head = body(Key::Head);
    assert_eq!((&head["run"]["phase"], &head[NEWER], &head["run"][NEWER]), (&json!("Active"), &json!("storm"), &json!("storm")));
    for (part, deep) in
        [(Part::Promotion, "/progress/databases/orders"), (Part::Capacity, "/progress/resources/service~1shop~1web"), (Part::Traffic, "/progress")]
    {
        let body = body(Key::Progress(part));
        assert_eq!(body.pointer(&format!("{deep}/{NEWER}")), Some(&json!("storm")), "{part:?}: {body:#}");
        assert_eq!(body["writer"], relight::state::VERSION);
    }
    assert_eq!(body(Key::from(NEWER_ITEM)), json!({ "shadow": 1 }));
}

#[tokio::test(start_paused = true)]
async fn what_this_version_wrote_is_still_there_when_an_older_one_went_on() {
    let control = failover(Version::This, Version::Older, Activating).await;
    let seen = control.world.journal.snapshot().progress.promotion;
    let orders = &seen.databases["orders"];
    assert!(orders.promoted_at.is_some(), "the older one went on in the item");
    let sampled = orders.lag.as_ref().and_then(|lag| lag.sampled_at);
    assert!(sampled.is_some(), "an older one does not know when a lag was measured, and leaves it there");
}

/// Lets a newer version write into the head what this one cannot read.
fn newer_writes(world: &World, change: impl FnOnce(&mut Value)) -> Value {
    let before = world.journal.body(&Key::Head).expect("a head");
    let mut head = before.clone();
    change(&mut head);
    head["writer"] = json!("9.0.0");
    world.journal.set(Key::Head, head);
    before
}

#[tokio::test(start_paused = true)]
async fn in_a_phase_that_only_a_newer_version_knows_every_function_stands_still_and_says_what_to_deploy() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    primary_fails(&control.world);
    let reached = control.run_until(minutes(15), is(Failover, Confirmed)).await;
    expect(reached, &control, "to Confirmed");
    control.update(&Function::ALL, Version::This);
    let world = control.world.clone();
    let before = newer_writes(&world, |head| head["run"]["phase"] = json!("Becalmed"));
    let (calls, writes) = (world.calls.log().len(), world.journal.writes());
    for function in Function::ALL {
        for event in [json!({ "relight": "tick" }), json!({ "operator": { "command": "failover", "by": "ana" } })] {
            let error = function.invoke(&world, event, std::time::Duration::ZERO).await.expect_err("it stands still");
            assert!(error.contains("`head` cannot be read") && error.contains("Becalmed"), "{error}");
            assert!(error.contains("nothing was changed; deploy what wrote it, version 9.0.0"), "{error}");
        }
    }
    let calls = world.calls.log().split_off(calls);
    assert!(calls.iter().all(|call| call.operation == "dynamodb:Query"), "{calls:#?}");
    assert_eq!(world.journal.writes(), writes);

    // The version that knows it has brought the run to a phase that both know.
    world.journal.set(Key::Head, before);
    let ended = control.run_until(minutes(15), rotated).await;
    expect(ended, &control, "after the newer version");
    assert_eq!(End::of(&control.world).standing.promotions[REPLICA], 1);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_only_a_newer_version_knows_is_followed_in_no_part() {
    let control = peace(PLAN, Delivery::prompt()).await;
    let world = &control.world;
    let newer = PLAN.replace("[traffic]", "[[stream]]\nname = \"orders\"\n\n[traffic]");
    world.journal.set(Key::Plan(2), Value::from(newer));
    newer_writes(world, |head| head["plan_version"] = json!(2));
    let calls = world.calls.log().len();
    for function in Function::ALL {
        let error = function.invoke(world, json!({ "relight": "tick" }), std::time::Duration::ZERO).await.expect_err("it stands still");
        assert!(error.contains("version 2 of the plan cannot be read") && error.contains("unknown field `stream`"), "{error}");
        assert!(error.contains("deploy the version of Relight that knows it, or put a plan that this one knows"), "{error}");
    }
    assert!(world.calls.log().split_off(calls).iter().all(|call| call.operation == "dynamodb:Query"));

    // Who goes back puts the plan back.
    let snapshot = world.journal.snapshot();
    let plan = relight::plan::Plan::parse(PLAN).expect("a plan");
    let (version, changes) = relight::plan::put(&plan, PLAN, &snapshot, "shop", "us-west-2").expect("put");
    for write in changes {
        if let Change::Put(body) = write.change {
            world.journal.set(write.key, body);
        }
    }
    assert_eq!((version, world.journal.snapshot().plan_text().map(|(version, _)| version)), (3, Some(3)));
    Function::ScaleUp.invoke(world, json!({ "relight": "tick" }), std::time::Duration::ZERO).await.expect("it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_over_while_something_stands_that_only_a_newer_version_can_give_back() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    primary_fails(&control.world);
    let reached = control.run_until(minutes(15), is(Failover, Suspected)).await;
    expect(reached, &control, "to Suspected");
    let world = control.world.clone();
    let id = run(&world).expect("a run").id;
    let baseline = Key::from("baseline#function/shop");
    let owed = Key::from("obligation#window/1");
    world.journal.set(baseline.clone(), json!({ "kind": "function", "name": "shop", "concurrency": 5, "writer": "9.0.0" }));
    world.journal.set(
        owed.clone(),
        json!({ "run": id, "what": { "kind": "window", "name": "1" }, "made_at": world.now(), "deadline": world.now() + minutes(1), "writer": "9.0.0" }),
    );
    primary_returns(&world);
    control.order("stand-down").await;
    control.run_for(minutes(20)).await;
    assert_eq!(phase(&world), Some((Failover, StoodDown)));
    assert_eq!(Standing::of(&world).services, before.services, "what this version knows is given back all the same");
    for what in ["baseline#function/shop", "obligation#window/1"] {
        assert!(said(&world, &format!("`{what}` cannot be read by this version")), "{:#?}", world.journal.sentences(&id));
    }
    assert!(world.journal.body(&baseline).is_some_and(|body| body["concurrency"] == 5));

    // The newer version gave them back.
    world.journal.take(&baseline);
    world.journal.take(&owed);
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control, "after the newer version");
    assert_eq!((phase(&world), Standing::of(&world)), (Some((Failover, Closed)), before));
}
