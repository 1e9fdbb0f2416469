//! Whole drills, with all seven functions.

use relight::ports::Stage;
use relight::run::Mode::{Drill, Failover};
use relight::run::Phase::{Activating, Active, Closed, Holding, Restoring};
use relight::state::Place;
use relight_suites::{Control, Delivery, End, PLAN, REPLICA, SECRETS, Standing, is, minutes, peace, phase, primary_fails, report, reported, run};

#[track_caller]
fn expect(reached: bool, control: &Control) {
    assert!(reached, "it is {:?}: {:#?}", phase(&control.world), run(&control.world).map(|run| control.world.journal.sentences(&run.id)));
}

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
