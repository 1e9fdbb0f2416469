//! A failover's databases from Confirmed to the changed class.

mod common;

use common::{Scene, minutes};
use relight::plan::UnknownLag;
use relight::ports::Notice;
use relight::run::{Mode, Phase};
use relight::state::HoldSwitch;
use relight_world::database::LagFeed;

fn confirmed() -> Scene {
    Scene::new(Mode::Failover, Phase::Confirmed)
}

fn activating() -> Scene {
    Scene::new(Mode::Failover, Phase::Activating)
}

#[tokio::test(start_paused = true)]
async fn replicas_that_were_close_are_cleared_and_nothing_is_promoted_yet() {
    let mut scene = confirmed();
    scene.nudge_for(10).await;
    let databases = scene.promotion().databases;
    for name in ["orders", "users"] {
        assert!(databases[name].cleared_at.is_some(), "{name}");
        assert_eq!(databases[name].lag.as_ref().expect("frozen").seconds, Some(2.0));
    }
    assert_eq!(scene.world.calls.count("rds:PromoteReadReplica"), 0);
    assert!(scene.said("may be promoted: replica of orders was 2 s behind"), "{:#?}", scene.sentences());
}

#[tokio::test(start_paused = true)]
async fn a_clearance_is_renewed_while_it_waits_for_the_hold_out() {
    let mut scene = confirmed();
    scene.nudge_for(120).await;
    let cleared = scene.promotion().databases["orders"].cleared_at.expect("cleared");
    let age = scene.world.now().duration_since(cleared);
    assert!(age.as_secs() <= 30, "{age:?}");
    assert_eq!(scene.world.calls.count("cloudwatch:GetMetricData"), 2, "judged once, then frozen");
    assert_eq!(scene.sentences().iter().filter(|said| said.contains("may be promoted")).count(), 2, "said once a database");
}

#[tokio::test(start_paused = true)]
async fn a_lagging_replica_is_refused_beside_one_that_is_cleared() {
    let mut scene = confirmed();
    scene.world.database.set_lag("orders-replica", LagFeed::Constant(Some(612.0)));
    scene.nudge().await;
    let databases = scene.promotion().databases;
    let refused = databases["orders"].refused.clone().expect("refused");
    assert!(refused.starts_with("replica of orders was 612 s behind when the primary was first seen down, the RPO is 300 s"), "{refused}");
    assert!(refused.ends_with("`accept-loss` promotes it anyway"), "{refused}");
    assert_eq!(databases["orders"].cleared_at, None);
    assert!(databases["users"].cleared_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_operator_s_acceptance_clears_a_lagging_replica() {
    let mut scene = confirmed();
    scene.world.database.set_lag("orders-replica", LagFeed::Constant(Some(612.0)));
    scene.nudge().await;
    scene.say(|words, said| words.accept_loss = Some(said));
    scene.nudge_for(5).await;
    let step = scene.promotion().databases["orders"].clone();
    assert_eq!((step.refused, step.cleared_at.is_some()), (None, true));
    assert!(scene.said("612 s behind") && scene.said("ada accepted the loss"), "{:#?}", scene.sentences());
}

#[tokio::test(start_paused = true)]
async fn a_lag_that_improves_after_the_failure_stays_refused() {
    let mut scene = confirmed();
    scene.world.database.set_lag("orders-replica", LagFeed::Constant(Some(612.0)));
    scene.nudge().await;
    scene.world.database.set_lag("orders-replica", LagFeed::Constant(Some(0.0)));
    scene.nudge().await;
    assert_eq!(scene.promotion().databases["orders"].lag.as_ref().expect("frozen").seconds, Some(612.0));
    assert!(scene.promotion().databases["orders"].refused.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_new_suspicion_in_the_same_run_is_judged_anew() {
    let mut scene = confirmed();
    scene.world.database.set_lag("orders-replica", LagFeed::Constant(Some(612.0)));
    scene.nudge().await;
    tokio::time::sleep(std::time::Duration::from_secs(1200)).await;
    scene.world.database.set_lag("orders-replica", LagFeed::Constant(Some(3.0)));
    let now = scene.world.now();
    scene.change(|head| {
        let run = head.run.as_mut().expect("a run");
        (run.first_down, run.confirmed_at) = (Some(now), Some(now));
    });
    scene.nudge_for(5).await;
    assert_eq!(scene.promotion().databases["orders"].refused, None);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_lag_is_refused_and_only_words_let_it_pass() {
    for feed in [LagFeed::Missing, LagFeed::Constant(None)] {
        let mut scene = confirmed();
        scene.world.database.set_lag("users-replica", feed.clone());
        scene.nudge().await;
        let refused = scene.promotion().databases["users"].refused.clone().expect("refused");
        assert!(refused.contains("nobody knows how far the replica of users was behind"), "{refused}");
        scene.say(|words, said| words.accept_loss = Some(said));
        scene.nudge_for(5).await;
        assert!(scene.promotion().databases["users"].cleared_at.is_some(), "{feed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_accepts_an_unknown_lag_clears_it_but_not_a_known_one() {
    let plan = format!("{}\n[policy]\nunknown_lag = \"accept\"\n", common::PLAN);
    let mut scene = Scene::with_plan(&plan, Mode::Failover, Phase::Confirmed);
    assert_eq!(relight::plan::Plan::stored(&plan).expect("a plan").policy.unknown_lag, UnknownLag::Accept);
    scene.world.database.set_lag("users-replica", LagFeed::Missing);
    scene.world.database.set_lag("orders-replica", LagFeed::Constant(Some(301.0)));
    // Nobody answers here when a replica is asked how far it came.
    scene.nudge_for(15).await;
    assert!(scene.promotion().databases["users"].cleared_at.is_some());
    assert!(scene.promotion().databases["orders"].refused.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_backing_up_is_waited_for_and_then_cleared() {
    let mut scene = confirmed();
    scene.world.database.change("orders-replica", |replica| replica.status = "backing-up".to_owned());
    scene.nudge_for(10).await;
    assert!(scene.promotion().databases["orders"].refused.as_ref().is_some_and(|why| why.contains("backing-up")));
    scene.world.database.change("orders-replica", |replica| replica.status = "available".to_owned());
    scene.nudge_for(10).await;
    assert!(scene.promotion().databases["orders"].cleared_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn promotion_goes_to_its_end_with_backups_and_without_waiting_for_the_class() {
    let mut scene = activating();
    scene.nudge().await;
    let databases = scene.promotion().databases;
    for name in ["orders", "users"] {
        let step = &databases[name];
        assert!(step.promote_attempt_at <= step.promote_called_at && step.promote_called_at < step.promoted_at, "{step:?}");
        assert!(step.backups_on_at.is_some() && step.endpoint.is_some(), "{step:?}");
        assert_eq!(step.class_changed_at, None);
        assert_eq!(scene.world.database.promotions(&format!("{name}-replica")), 1);
    }
    assert_eq!(scene.world.database.instance("orders-replica").expect("there").backup_retention, 7);
    assert_eq!(scene.world.calls.count("rds:ModifyDBInstance"), 0, "the class must wait for the proof");
    let told = |name: &str| {
        let what = format!("database {name} promoted");
        scene.world.notices.sent().iter().any(|notice| matches!(notice, Notice::Progress { what: told, .. } if *told == what))
    };
    assert!(told("orders") && told("users"));
}

#[tokio::test(start_paused = true)]
async fn both_are_promoted_side_by_side() {
    let mut scene = activating();
    let began = scene.world.now();
    scene.nudge().await;
    let promoted = scene.promotion().databases.values().filter_map(|step| step.promoted_at).max().expect("promoted");
    assert!(promoted.duration_since(began).as_secs() <= 50, "{promoted}");
}

#[tokio::test(start_paused = true)]
async fn a_promotion_outlasts_its_invocation_and_is_finished_by_ticks() {
    let mut scene = activating();
    scene.world.database.set_promotion(minutes(4));
    scene.ticks(6).await;
    assert!(scene.promotion().databases["orders"].promoted_at.is_some());
    assert_eq!(scene.world.calls.count("rds:PromoteReadReplica"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_past_its_deadline_says_so_each_minute() {
    let mut scene = activating();
    scene.world.database.set_promotion(minutes(20));
    scene.ticks(20).await;
    assert!(scene.said("that takes 17 min, the plan's step_deadline is 15m"), "{:#?}", scene.sentences());
    assert!(scene.said("that takes 18 min"));
}

#[tokio::test(start_paused = true)]
async fn the_class_comes_last_when_all_is_proven_and_open() {
    let mut scene = activating();
    scene.nudge().await;
    scene.others_are_done();
    scene.nudge().await;
    let step = scene.promotion().databases["orders"].clone();
    assert!(step.class_changed_at > step.backups_on_at);
    assert_eq!(scene.world.database.instance("orders-replica").expect("there").class, "db.r6g.large");
    assert_eq!(scene.world.calls.count("rds:ModifyDBInstance"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_class_that_is_due_after_the_run_is_changed_by_ticks_that_do_not_poll() {
    let mut scene = activating();
    scene.nudge().await;
    scene.others_are_done();
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Active);
    scene.ticks(1).await;
    assert!(scene.promotion().databases["orders"].class_changed_at.is_none());
    scene.ticks(1).await;
    assert!(scene.promotion().databases["orders"].class_changed_at.is_some());
    let (writes, calls) = (scene.world.journal.writes(), scene.world.calls.count("rds:DescribeDBInstances"));
    scene.ticks(3).await;
    assert_eq!((scene.world.journal.writes(), scene.world.calls.count("rds:DescribeDBInstances")), (writes, calls), "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn a_hold_after_the_point_of_no_return_stops_the_promotion_until_it_is_released() {
    let mut scene = activating();
    let until = scene.world.now() + minutes(60);
    scene.change(|head| head.hold = Some(HoldSwitch { until, by: "ada".to_owned() }));
    scene.nudge().await;
    assert_eq!(scene.world.calls.count("rds:PromoteReadReplica"), 0);
    assert!(scene.said("ada holds it until"));
    scene.change(|head| head.hold = None);
    scene.nudge().await;
    assert!(scene.world.database.is_writer("orders-replica"));
}

#[tokio::test(start_paused = true)]
async fn a_stand_down_before_the_attempt_leaves_every_replica_as_it_is() {
    let mut scene = activating();
    scene.say(|words, said| words.stand_down = Some(said));
    scene.nudge().await;
    assert_eq!(scene.run().phase, Phase::StoodDown);
    assert_eq!(scene.world.calls.count("rds:PromoteReadReplica"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_somebody_promoted_by_hand_is_followed_and_not_called() {
    let mut scene = activating();
    scene.world.database.change("orders-replica", |replica| {
        replica.source = None;
        replica.replication.clear();
    });
    scene.nudge().await;
    assert!(scene.promotion().databases["orders"].promoted_at.is_some());
    assert_eq!(scene.world.database.promotions("orders-replica"), 0);
    assert!(scene.said("by somebody else"));
}

#[tokio::test(start_paused = true)]
async fn no_call_goes_to_the_primary_region() {
    let mut scene = confirmed();
    scene.nudge_for(30).await;
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Activating);
    scene.nudge().await;
    assert!(scene.world.database.is_writer("orders-replica"));
    assert!(scene.world.calls.log().iter().all(|call| call.place == relight::state::Place::Standby));
}
