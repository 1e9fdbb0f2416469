//! Whole drills, with all seven functions.

use relight::ports::Stage;
use relight::run::Mode::{Drill, Failover};
use relight::run::Phase::{Activating, Active, Closed, Holding, Restoring};
use relight::state::{Key, Part, Place};
use relight_suites::{
    Control, Delivery, End, PLAN, REPLICA, SECRETS, Standing, expect, is, minutes, peace, phase, primary_fails, report, reported, run,
};
use relight_world::World;

async fn drilling() -> Control {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.drill();
    control
}

#[tokio::test(start_paused = true)]
async fn a_drill_proves_the_standby_and_leaves_everything_as_it_was() {
    let mut control = drilling().await;
    let before = Standing::of(&control.world);
    let secrets = || SECRETS.map(|name| (control.world.secrets.seen(name), control.world.secrets.read(name, Stage::Current)));
    let secrets_before = secrets();
    let holding = control.run_until(minutes(20), is(Drill, Holding)).await;
    expect(holding, &control);
    let held = Standing::of(&control.world);
    assert_eq!(held.services["service/shop/web"].as_ref().map(|service| service.running), Some(4));
    assert_eq!(held.groups["group/workers"].as_ref().map(|group| group.in_service), Some(3));
    let copies: Vec<_> = held.instances.keys().filter(|name| *name != REPLICA).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!((held.promotions[copies[0]], held.promotions[REPLICA]), (1, 0));
    assert_eq!(held.secrets.len(), 4, "a disposable secret beside each real one");

    let ended = control.run_until(minutes(20), reported).await;
    expect(ended, &control);
    let world = &control.world;
    assert_eq!(phase(world), Some((Drill, Closed)));
    assert_eq!(Standing::of(world), before);
    let secrets = SECRETS.map(|name| (world.secrets.seen(name), world.secrets.read(name, Stage::Current)));
    assert_eq!(secrets, secrets_before);
    let changed = world.login.changes();
    assert!(changed.iter().all(|change| !change.host.starts_with(REPLICA)), "{changed:?}");
    assert!(!world.calls.log().iter().any(|call| call.operation.starts_with("s3:") && call.about == "STOP" && call.operation != "s3:HeadObject"));

    let end = End::of(world);
    assert_eq!((end.serving, end.baselines.len(), end.obligations.len(), end.rotated.len()), (Place::Primary, 0, 0, 0));
    let report = report(world).expect("a report");
    assert!(report.passed, "{:#?}", report.findings);
    assert!(report.findings.iter().any(|finding| finding.said.contains("orders: the copy equals orders-replica at ")), "{:#?}", report.findings);
    let at = |name: &str| report.milestones.iter().find(|milestone| milestone.name == name).map(|milestone| milestone.at);
    assert!(at("orders: copy available") <= at("orders: copy compared") && at("orders: copy compared") < at("orders: copy promoted"));
    let memory = world.journal.snapshot().memory;
    assert_eq!(memory.last_good_drill, run(world).expect("a run").ended_at);
    assert!(memory.promotion_seconds["orders"] >= 40.0, "{memory:?}");
}

#[tokio::test(start_paused = true)]
async fn in_a_drill_a_primary_that_really_fails_is_failed_over_from_whatever_the_drill_was_at() {
    for at in [Activating, Holding, Restoring] {
        let mut control = drilling().await;
        if at == Restoring {
            // The service is given back already, the group does not go: the drill hangs.
            let held = control.run_until(minutes(20), is(Drill, Holding)).await;
            expect(held, &control);
            control.world.compute.change_group("workers", |group| group.suspended = ["Terminate".to_owned()].into());
        }
        let reached = control.run_until(minutes(20), is(Drill, at)).await;
        expect(reached, &control);
        if at == Restoring {
            let lowered = control.run_until(minutes(5), |world| world.compute.service("shop", "web").is_some_and(|web| web.running == 1)).await;
            expect(lowered, &control);
        }
        primary_fails(&control.world);
        let ended = control.run_until(minutes(20), |world| is(Failover, Active)(world) && reported(world)).await;
        expect(ended, &control);
        // Copies of the drill go when they are due, whatever is open.
        control.run_for(minutes(70)).await;
        let end = End::of(&control.world);
        assert!(run(&control.world).is_some_and(|run| run.was_drill), "{at:?}");
        assert_eq!(end.standing.instances.keys().collect::<Vec<_>>(), [REPLICA], "{at:?}");
        assert_eq!(end.standing.secrets.len(), SECRETS.len(), "{at:?}");
        assert_eq!((end.standing.promotions[REPLICA], end.standing.stop, end.serving), (1, true, Place::Standby), "{at:?}");
        let web = end.standing.services["service/shop/web"].as_ref().map(|service| service.running);
        assert_eq!((web, end.obligations.as_slice()), (Some(4), ["capacity".to_owned()].as_slice()), "{at:?}");
        let repointed = SECRETS.map(|name| &end.standing.secrets[name]);
        assert!(repointed.iter().all(|secret| secret.opens && secret.host.starts_with(REPLICA)), "{at:?}: {repointed:?}");
        let baseline = &control.world.journal.snapshot().baseline;
        let desired = baseline.values().find_map(|baseline| match baseline {
            relight::state::Baseline::Service { desired, .. } => Some(*desired),
            relight::state::Baseline::Group { .. } | relight::state::Baseline::Unread { .. } => None,
        });
        assert_eq!(desired, Some(1), "{at:?}: a raised size was taken for the baseline");
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_while_the_copys_snapshot_keeps_the_replica_busy_is_failed_over_once_it_ends() {
    let mut control = drilling().await;
    // A copy of a large instance: three quarters of it are the snapshot.
    control.world.database.set_creation(minutes(20));
    let status = |world: &World| world.database.instance(REPLICA).map(|replica| replica.status).unwrap_or_default();
    let busy = control.run_until(minutes(5), |world| status(world) == "backing-up").await;
    expect(busy, &control);
    primary_fails(&control.world);
    let confirmed = control.run_until(minutes(10), is(Failover, relight::run::Phase::Confirmed)).await;
    expect(confirmed, &control);
    control.run_for(minutes(2)).await;

    let sentence = "orders-replica is backing-up, RDS promotes and copies it after that: a backup, a snapshot or a replica of it is being made";
    let snapshot = control.world.journal.snapshot();
    assert_eq!((status(&control.world).as_str(), phase(&control.world)), ("backing-up", Some((Failover, relight::run::Phase::Confirmed))));
    assert_eq!(snapshot.progress.promotion.databases["orders"].refused.as_deref(), Some(sentence), "it is what the status says, too");
    assert_eq!(control.world.calls.count("rds:PromoteReadReplica"), 0, "RDS would refuse it");
    assert!(!Standing::of(&control.world).stop, "users are not held out of a primary that nobody can replace yet");

    let active = control.run_until(minutes(20), is(Failover, Active)).await;
    expect(active, &control);
    assert_eq!(Standing::of(&control.world).promotions[REPLICA], 1);
    let said = control.world.journal.sentences(&run(&control.world).expect("a run").id);
    assert!(said.iter().any(|said| said == sentence), "{said:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_a_person_ends_gives_everything_back_from_wherever_it_is() {
    for at in [Activating, Holding] {
        let mut control = drilling().await;
        let before = Standing::of(&control.world);
        let reached = control.run_until(minutes(20), is(Drill, at)).await;
        expect(reached, &control);
        if at == Activating {
            control.run_for(minutes(1)).await;
        }
        control.order("stand-down").await;
        let ended = control.run_until(minutes(10), reported).await;
        expect(ended, &control);
        assert_eq!((phase(&control.world), Standing::of(&control.world)), (Some((Drill, Closed)), before), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drill_whose_standby_does_not_answer_fails_and_gives_everything_back() {
    let mut control = drilling().await;
    let before = Standing::of(&control.world);
    control.world.validate.answers("http://standby.shop.test/orders", 503);
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), Standing::of(&control.world)), (Some((Drill, Closed)), before));
    assert_eq!(report(&control.world).map(|report| report.passed), Some(false));
    assert_eq!(control.world.journal.snapshot().memory.last_good_drill, None);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_lacks_a_row_of_its_replica_fails_the_drill_with_the_table_and_the_counts() {
    let mut control = drilling().await;
    let before = Standing::of(&control.world);
    control.world.database.spoil_copies("public.orders", "2");
    let ended = control.run_until(minutes(40), reported).await;
    expect(ended, &control);
    let report = report(&control.world).expect("a report");
    let bad: Vec<_> = report.findings.iter().filter(|finding| !finding.ok).map(|finding| finding.said.as_str()).collect();
    assert!(bad.len() == 1 && bad[0].contains("public.orders: 2 rows in the replica, 1 in the copy"), "{bad:?}");
    assert_eq!((phase(&control.world), Standing::of(&control.world)), (Some((Drill, Closed)), before));
}

#[tokio::test(start_paused = true)]
async fn writes_that_never_pause_hold_no_drill_up_and_the_report_says_what_it_did_not_compare() {
    let mut control = drilling().await;
    control.world.login.set_busy(true);
    let ended = control.run_until(minutes(60), reported).await;
    expect(ended, &control);
    let report = report(&control.world).expect("a report");
    assert!(report.passed, "{:#?}", report.findings);
    assert!(
        report.not_proven.iter().any(|line| line.contains("has the replica's rows") && line.contains("given up after")),
        "{:#?}",
        report.not_proven
    );
    let rto = report.measured.rto_seconds.expect("measured");
    assert!(rto < 300.0, "the comparison counts as recovery: {rto}");
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_that_does_not_come_to_an_end_is_given_up_and_nothing_of_it_stays() {
    let mut control = drilling().await;
    let before = Standing::of(&control.world);
    control.world.database.set_creation(minutes(600));
    let ended = control.run_until(minutes(90), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), report(&control.world).map(|report| report.passed)), (Some((Drill, Closed)), Some(false)));
    // The replica that was copied is RDS's own to finish with.
    let after = Standing::of(&control.world);
    assert_eq!((after.services, after.groups, after.secrets, after.stop), (before.services, before.groups, before.secrets, false));
    assert_eq!(after.instances.keys().collect::<Vec<_>>(), [REPLICA]);
}

#[tokio::test(start_paused = true)]
async fn what_a_copy_took_to_be_writable_is_the_estimate_of_the_next_failover() {
    let mut control = drilling().await;
    control.world.database.set_promotion(minutes(3));
    let ended = control.run_until(minutes(40), reported).await;
    expect(ended, &control);
    let rehearsed = report(&control.world).expect("a report").measured.writable_seconds;
    assert!((180.0..240.0).contains(&rehearsed["orders"]), "{rehearsed:?}");
    primary_fails(&control.world);
    let ended = control.run_until(minutes(30), |world| is(Failover, Active)(world) && reported(world)).await;
    expect(ended, &control);
    let measured = report(&control.world).expect("a report").measured;
    assert_eq!(measured.writable_estimated_seconds, rehearsed);
    assert!((measured.writable_seconds["orders"] - rehearsed["orders"]).abs() < 30.0, "{measured:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_drill_made_goes_although_the_journal_lost_it() {
    let disposable = |world: &World| {
        let instances = world.database.instances().into_iter().filter(|name| name != REPLICA);
        instances.chain(world.secrets.names().into_iter().filter(|name| !SECRETS.contains(&name.as_str()))).collect::<Vec<_>>()
    };
    let forget = |world: &World| {
        let owed: Vec<Key> = world.journal.snapshot().obligations.keys().cloned().map(Key::Obligation).collect();
        owed.iter().chain([&Key::Progress(Part::Promotion), &Key::Progress(Part::Rotation)]).for_each(|key| world.journal.take(key));
    };
    // In the drill: it is not over before they are gone.
    let mut control = drilling().await;
    let held = control.run_until(minutes(20), is(Drill, Holding)).await;
    expect(held, &control);
    assert_eq!(disposable(&control.world).len(), 3);
    forget(&control.world);
    let closed = control.run_until(minutes(20), is(Drill, Closed)).await;
    expect(closed, &control);
    assert!(disposable(&control.world).is_empty(), "{:?}", disposable(&control.world));

    // With the whole journal: whoever begins with an empty one does not know that there ever was a drill.
    let mut control = drilling().await;
    let held = control.run_until(minutes(20), is(Drill, Holding)).await;
    expect(held, &control);
    for item in control.world.journal.items() {
        if item.key != Key::Plan(1) {
            control.world.journal.take(&item.key);
        }
    }
    control
        .world
        .journal
        .set(Key::Head, serde_json::json!({ "serving": "primary", "run": null, "hold": null, "cool_down_until": null, "plan_version": 1 }));
    control.run_for(minutes(5)).await;
    assert_eq!((run(&control.world), disposable(&control.world)), (None, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn the_next_drill_is_a_run_of_its_own() {
    let mut control = drilling().await;
    let before = Standing::of(&control.world);
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    let first = run(&control.world).expect("a run").id;
    control.drill();
    control.run_for(minutes(1)).await;
    let ended = control.run_until(minutes(30), reported).await;
    expect(ended, &control);
    assert_ne!(run(&control.world).expect("a run").id, first);
    assert_eq!(control.world.reports.held().len(), 2);
    assert_eq!(Standing::of(&control.world), before);
    assert!(report(&control.world).is_some_and(|report| report.passed));
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_opens_right_after_a_drill_closed_leaves_both_reports() {
    let mut control = drilling().await;
    // The write that ends the drill is the last that S3 takes for a while, and the primary fails within the second.
    control.world.reports.refuse(true);
    let closed = control.run_until(minutes(30), is(Drill, Closed)).await;
    expect(closed, &control);
    let first = run(&control.world).expect("a run").id;
    primary_fails(&control.world);
    let opened = control.run_until(minutes(5), |world| run(world).is_some_and(|run| run.mode == Failover)).await;
    expect(opened, &control);
    assert!(control.world.reports.held().is_empty(), "the drill's report was not written before the failover opened");
    control.run_for(minutes(1)).await;
    control.world.reports.refuse(false);
    let ended = control.run_until(minutes(20), |world| is(Failover, Active)(world) && reported(world)).await;
    expect(ended, &control);
    control.run_for(minutes(2)).await;

    let world = &control.world;
    let second = run(world).expect("a run").id;
    let reports = world.reports.held();
    assert_eq!(reports.keys().collect::<Vec<_>>(), [&first.0, &second.0]);
    let of_drill: relight::report::Report = serde_json::from_str(&reports[&first.0].json).expect("a report");
    assert!(of_drill.passed, "{:#?}", of_drill.findings);
    assert_eq!((of_drill.mode, of_drill.ended), (Drill, Closed));
    assert!(of_drill.milestones.iter().any(|milestone| milestone.name == "orders: copy promoted"), "{:#?}", of_drill.milestones);
    assert!(!of_drill.timeline.is_empty() && of_drill.timeline.iter().all(|row| !row.said.contains("suspected")), "{:#?}", of_drill.timeline);
    assert_eq!(world.journal.snapshot().memory.last_good_drill, of_drill.ended_at);
    assert!(world.journal.sentences(&first).last().is_some_and(|said| said.starts_with("the drill passed; report: ")));
    assert!(world.journal.snapshot().reports.is_empty(), "nothing is owed any more");
}
