//! Failovers from the first Down to their end, with all seven functions.

use jiff::SignedDuration;
use relight::run::Mode::Failover;
use relight::run::Phase::{Activating, Active, Closed, Confirmed, StoodDown, Suspected};
use relight::state::{Head, HoldSwitch, Key, Place};
use relight_suites::{
    Control, Delivery, End, PLAN, REPLICA, SECRETS, Standing, expect, is, minutes, peace, phase, primary_fails, primary_returns, report, reported,
    run, said,
};
use relight_world::database::LagFeed;
use serde_json::{Value, json};

const COMPOSITE: &str = include_str!("../../events/alarm-composite.json");

fn event(text: &str) -> Value {
    serde_json::from_str(text).expect("a fixture")
}

fn with_policy(line: &str) -> String {
    format!("{PLAN}\n[policy]\n{line}\n")
}

/// Runs to a step that must be reached.
#[tokio::test(start_paused = true)]
async fn a_dark_primary_ends_in_a_standby_that_serves() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    primary_fails(&control.world);
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    control.run_for(minutes(3)).await;

    let world = &control.world;
    let end = End::of(world);
    assert_eq!((end.run, end.serving), (Some((Failover, Active)), Place::Standby));
    let service = end.standing.services["service/shop/web"].clone().expect("a service");
    assert_eq!((service.running, service.capacity_providers[0].provider.as_str()), (4, "FARGATE"));
    assert_eq!(end.standing.groups["group/workers"].as_ref().map(|group| group.in_service), Some(3));
    assert_eq!(end.standing.promotions[REPLICA], 1);
    assert!(world.database.is_writer(REPLICA));
    assert_eq!(end.standing.instances[REPLICA].backup_retention, 7);
    assert_eq!((end.standing.stop, end.standing.users), (true, Place::Standby));
    assert_eq!(end.obligations, ["capacity"], "who brings traffic home gives it back");

    for name in SECRETS {
        let secret = &end.standing.secrets[name];
        assert!(secret.stands_alone && secret.opens && secret.host.starts_with(REPLICA), "{name}: {secret:?}");
    }
    let steps = &world.journal.snapshot().progress.rotation.secrets;
    assert!(steps["shop/app"].repointed_at < steps["shop/app"].rotated_at, "{steps:?}");
    assert_eq!(end.standing.secrets["shop/app"].user, "app_clone", "the other user has the new password");
    assert_eq!(steps["shop/admin"].rotated_at, None, "the plan says not to");

    let report = report(world).expect("a report");
    assert!(report.passed, "{:#?}", report.findings);
    assert_eq!(report.measured.rpo_seconds, Some(2.0));
    assert!(report.measured.rto_seconds.is_some_and(|took| took < 300.0), "{:?}", report.measured);
}

#[tokio::test(start_paused = true)]
async fn an_old_writer_that_can_be_reached_is_fenced() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.world.traffic.primary_answers(Some((500, "")));
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    control.run_for(minutes(2)).await;
    assert_eq!(Standing::of(&control.world).fences["orders"], ["sg-quarantine"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_writer_that_was_dark_is_fenced_when_its_region_comes_back_and_gets_no_users() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    primary_fails(&control.world);
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    assert_eq!(Standing::of(&control.world).fences["orders"], ["sg-database"]);
    primary_returns(&control.world);
    control.run_for(minutes(5)).await;
    let standing = Standing::of(&control.world);
    assert_eq!(standing.fences["orders"], ["sg-quarantine"]);
    assert_eq!((standing.stop, standing.users), (true, Place::Standby));
    assert_eq!(phase(&control.world), Some((Failover, Active)), "nobody fails back by himself");
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_back_before_the_point_of_no_return_gets_everything_back() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    // A person holds it at the very moment at which the primary is held out.
    let world = control.world.clone();
    control.world.calls.witness(move |call| {
        if call.operation == "s3:PutObject" && call.about == "STOP" {
            let until = world.now() + minutes(60);
            let head = Head { hold: Some(HoldSwitch { until, by: "ana".to_owned() }), ..world.journal.snapshot().head };
            world.journal.set(Key::Head, json!(head));
        }
    });
    primary_fails(&control.world);
    let held_out = control.run_until(minutes(10), |world| world.journal.snapshot().progress.traffic.held_out_at.is_some()).await;
    expect(held_out, &control);
    control.run_for(minutes(2)).await;
    assert_eq!((phase(&control.world), control.world.traffic.stop()), (Some((Failover, Confirmed)), true));
    assert_ne!(Standing::of(&control.world).services, before.services, "nothing was raised");

    primary_returns(&control.world);
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    assert_eq!(phase(&control.world), Some((Failover, Closed)));
    assert!(said(&control.world, "the primary came back before the point of no return"));
    control.run_for(minutes(2)).await;
    let end = End::of(&control.world);
    assert_eq!(end.standing, before);
    assert_eq!((end.serving, end.baselines.len(), end.obligations.len()), (Place::Primary, 0, 0));
    assert_eq!(end.passed, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_that_nobody_confirms_expires_and_gives_everything_back() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    // The watcher's path is broken, and nobody else says anything.
    control.world.traffic.checkers_say(Some(&[]));
    control.world.calls.dark(Place::Primary, true);
    let suspected = control.run_until(minutes(2), is(Failover, Suspected)).await;
    expect(suspected, &control);
    let opened = run(&control.world).expect("a run").opened_at;
    let stood_down = control.run_until(minutes(40), is(Failover, StoodDown)).await;
    expect(stood_down, &control);
    assert!(control.world.now().duration_since(opened) >= minutes(30));
    assert!(said(&control.world, "nobody confirmed the suspicion within 30m"));
    let closed = control.run_until(minutes(10), reported).await;
    expect(closed, &control);
    // Seen as if the path were whole: what it leads to is compared, too.
    control.world.calls.dark(Place::Primary, false);
    assert_eq!(Standing::of(&control.world), before);
    control.world.calls.dark(Place::Primary, true);
    control.run_for(minutes(5)).await;
    assert_eq!(phase(&control.world), Some((Failover, Closed)), "after a stand-down one observer alone is too few for a while");
}

#[tokio::test(start_paused = true)]
async fn a_flapping_primary_promotes_nothing_and_is_let_in_again() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    for _ in 0..12 {
        primary_fails(&control.world);
        control.run_for(SignedDuration::from_secs(50)).await;
        primary_returns(&control.world);
        control.run_for(SignedDuration::from_secs(50)).await;
    }
    let calm = control.run_until(minutes(20), reported).await;
    expect(calm, &control);
    control.run_for(minutes(2)).await;
    assert_eq!(Standing::of(&control.world), before);
    assert_eq!(control.world.journal.snapshot().head.serving, Place::Primary);
}

#[tokio::test(start_paused = true)]
async fn a_replica_too_far_behind_is_promoted_by_word_alone_and_the_report_says_what_it_cost() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.world.database.set_lag(REPLICA, LagFeed::Constant(Some(900.0)));
    primary_fails(&control.world);
    control.run_for(minutes(20)).await;
    assert_eq!(phase(&control.world), Some((Failover, Confirmed)));
    assert!(said(&control.world, "`accept-loss` promotes it anyway"));
    assert_eq!((control.world.database.promotions(REPLICA), control.world.traffic.stop()), (0, false));

    control.order("accept-loss").await;
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), control.world.database.promotions(REPLICA)), (Some((Failover, Active)), 1));
    let report = report(&control.world).expect("a report");
    assert_eq!((report.passed, report.measured.rpo_seconds), (false, Some(900.0)));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_lag_is_refused_until_a_person_accepts_the_loss() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.world.database.set_lag(REPLICA, LagFeed::Missing);
    primary_fails(&control.world);
    control.run_for(minutes(10)).await;
    assert_eq!((phase(&control.world), control.world.database.promotions(REPLICA)), (Some((Failover, Confirmed)), 0));
    control.order("accept-loss").await;
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    let report = report(&control.world).expect("a report");
    assert_eq!((report.passed, report.measured.rpo_seconds), (false, None), "what is unknown is not said to be nothing");
}

fn with_heartbeat() -> String {
    PLAN.replacen("replica = \"orders-replica\"\n", "replica = \"orders-replica\"\nheartbeat = \"shop/admin\"\n", 1)
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_lets_a_failover_through_that_the_metric_could_not_judge() {
    let mut control = peace(&with_heartbeat(), Delivery::prompt()).await;
    control.world.database.set_lag(REPLICA, LagFeed::Missing);
    primary_fails(&control.world);
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    let report = report(&control.world).expect("a report");
    // A beat each minute: the last is a minute old at most, and the first Down not much later.
    assert!(report.measured.rpo_seconds.is_some_and(|lag| lag < 70.0), "{:?}", report.measured);
    assert!(said(&control.world, "may be promoted: replica of orders was"));
    assert!(said(&control.world, "orders-replica itself: "));
}

#[tokio::test(start_paused = true)]
async fn a_replication_that_stood_still_is_refused_though_the_metric_says_two_seconds() {
    let mut control = peace(&with_heartbeat(), Delivery::prompt()).await;
    control.world.database.stall(Place::Standby, REPLICA, true);
    control.run_for(minutes(8)).await;
    primary_fails(&control.world);
    control.run_for(minutes(10)).await;
    assert_eq!((phase(&control.world), control.world.database.promotions(REPLICA)), (Some((Failover, Confirmed)), 0));
    assert!(said(&control.world, "the newest beat that arrived is of") || said(&control.world, "the newest commit that it replayed is of"));
    assert!(said(&control.world, "`accept-loss` promotes it anyway"));
    control.order("accept-loss").await;
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert!(report(&control.world).expect("a report").measured.rpo_seconds.is_some_and(|lag| lag > 480.0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_source_is_no_lag_where_the_replica_is_asked_before_it_is_refused() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.world.database.write("orders.primary.rds.test", "public.orders", "3", "placed").expect("a writer");
    control.run_for(minutes(1)).await;
    control.world.database.set_lag(REPLICA, LagFeed::Constant(None));
    primary_fails(&control.world);
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    assert!(said(&control.world, "the newest commit that it replayed is of"));
    assert!(!said(&control.world, "nobody knows how far"), "it was not refused before the replica was asked");
}

#[tokio::test(start_paused = true)]
async fn a_hold_stops_before_the_point_of_no_return_and_a_release_goes_on() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.order("hold").await;
    primary_fails(&control.world);
    control.run_for(minutes(15)).await;
    assert_eq!(phase(&control.world), Some((Failover, Confirmed)));
    assert_eq!((control.world.database.promotions(REPLICA), control.world.traffic.stop()), (0, false));
    control.order("release").await;
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert_eq!(phase(&control.world), Some((Failover, Active)));
}

#[tokio::test(start_paused = true)]
async fn where_the_plan_asks_for_approval_a_quorum_waits_for_it() {
    let mut control = peace(&with_policy("approval = true"), Delivery::prompt()).await;
    primary_fails(&control.world);
    control.run_for(minutes(40)).await;
    assert_eq!(phase(&control.world), Some((Failover, Suspected)), "and does not expire under users who have moved");
    control.order("approve").await;
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), control.world.database.promotions(REPLICA)), (Some((Failover, Active)), 1));
}

#[tokio::test(start_paused = true)]
async fn a_persons_word_fails_over_from_a_primary_that_is_well() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.order("failover").await;
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    let standing = Standing::of(&control.world);
    assert_eq!((phase(&control.world), standing.promotions[REPLICA]), (Some((Failover, Active)), 1));
    assert_eq!(standing.users, Place::Standby);
}

#[tokio::test(start_paused = true)]
async fn a_stand_down_in_suspected_gives_everything_back() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    primary_fails(&control.world);
    let suspected = control.run_until(minutes(5), |world| !world.journal.snapshot().baseline.is_empty()).await;
    expect(suspected, &control);
    control.order("stand-down").await;
    primary_returns(&control.world);
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), Standing::of(&control.world)), (Some((Failover, Closed)), before));
}

#[tokio::test(start_paused = true)]
async fn until_the_first_attempt_to_promote_even_the_point_of_no_return_is_taken_back() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    primary_fails(&control.world);
    let committed = control.run_until(minutes(10), is(Failover, Activating)).await;
    expect(committed, &control);
    control.order("stand-down").await;
    primary_returns(&control.world);
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    control.run_for(minutes(2)).await;
    let end = End::of(&control.world);
    assert_eq!((end.run, end.standing, end.serving), (Some((Failover, Closed)), before, Place::Primary));
}

#[tokio::test(start_paused = true)]
async fn a_stand_down_after_the_attempt_changes_nothing() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    primary_fails(&control.world);
    let promoting = control.run_until(minutes(10), |world| world.database.promotions(REPLICA) == 1).await;
    expect(promoting, &control);
    control.order("stand-down").await;
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), control.world.traffic.stop()), (Some((Failover, Active)), true));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_of_another_account_or_one_that_the_plan_does_not_name_opens_nothing() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.alarm(&event(include_str!("../../events/alarm-other-account.json")));
    control.alarm(&event(include_str!("../../events/alarm-unknown.json")));
    control.alarm(&event(include_str!("../../events/unreadable.json")));
    control.run_for(minutes(5)).await;
    assert_eq!(run(&control.world), None);
    assert!(!control.world.journal.snapshot().evidence.observers.contains_key("composite"));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_two_others_contradict_is_suspected_and_stood_down() {
    let mut control = Control::deploy(PLAN, Delivery::prompt());
    let before = Standing::of(&control.world);
    control.alarm(&event(COMPOSITE));
    let suspected = control.run_until(minutes(1), is(Failover, Suspected)).await;
    expect(suspected, &control);
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), Standing::of(&control.world)), (Some((Failover, Closed)), before));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_and_the_probe_are_a_quorum_though_the_checkers_record_is_unknown() {
    let mut control = Control::deploy(PLAN, Delivery::prompt());
    control.world.traffic.checkers_say(Some(&[]));
    primary_fails(&control.world);
    control.alarm(&event(COMPOSITE));
    let ended = control.run_until(minutes(10), reported).await;
    expect(ended, &control);
    assert_eq!((phase(&control.world), control.world.database.promotions(REPLICA)), (Some((Failover, Active)), 1));
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_only_observes_sees_the_failure_and_changes_nothing() {
    let mut control = peace(&with_policy("mode = \"observe\""), Delivery::prompt()).await;
    let before = Standing::of(&control.world);
    primary_fails(&control.world);
    control.alarm(&event(COMPOSITE));
    control.drill();
    control.order("failover").await;
    control.run_for(minutes(20)).await;

    let looks = ["dynamodb:Query", "dynamodb:TransactWriteItems", "http:Get", "dns:Query", "cloudwatch:PutMetricData"];
    let others: Vec<_> = control.world.calls.log().into_iter().filter(|call| !looks.contains(&call.operation)).collect();
    assert!(others.is_empty(), "{others:?}");
    // Where users are is Route 53's doing.
    primary_returns(&control.world);
    assert_eq!(Standing { users: before.users, ..Standing::of(&control.world) }, before);
    let snapshot = control.world.journal.snapshot();
    assert_eq!(snapshot.head.run, None);
    assert!(snapshot.evidence.judge(&relight::plan::Plan::stored(PLAN).expect("a plan"), control.world.now()).down.len() >= 2, "it saw nothing");
    assert_eq!(snapshot.revision(&Key::Head), Some(1), "the head was written");
    assert!(snapshot.leases.is_empty() && snapshot.revision(&Key::Memory).is_none());
}
