//! A cluster of an Aurora global database in a failover, beside a replica of RDS: from Confirmed to the writer, with each call failing
//! once, and what others do meanwhile.

mod common;

use common::{Scene, minutes, with_global};
use relight::evidence::{Evidence, Word};
use relight::ports::{Notice, Takeover};
use relight::run::{Mode, Phase};
use relight::state::{HoldSwitch, Key, Place};
use relight_world::Fault;
use relight_world::database::LagFeed;
use serde_json::json;

const GLOBAL: &str = "orders-global";

fn scene(phase: Phase) -> Scene {
    Scene::with_plan(&with_global("instance_class = \"db.r6g.large\""), Mode::Failover, phase)
}

/// Confirmed, judged, and past the point of no return, which the test writes in place of the others.
async fn activating() -> Scene {
    let mut scene = scene(Phase::Confirmed);
    scene.nudge_for(5).await;
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Activating);
    scene
}

fn takeovers(scene: &Scene) -> Vec<Takeover> {
    scene.world.database.takeovers(GLOBAL)
}

/// The observers say so, and have for a quarter of an hour.
fn hear(scene: &Scene, word: Word) {
    let mut evidence = Evidence::default();
    for observer in ["probe", "checkers"] {
        evidence.hear(observer, word, scene.world.now() - minutes(15), "a test");
        evidence.hear(observer, word, scene.world.now(), "a test");
    }
    scene.world.journal.set(Key::Evidence, json!(evidence));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_close_is_cleared_beside_a_replica_and_nothing_moves_yet() {
    let mut scene = scene(Phase::Confirmed);
    scene.nudge_for(10).await;
    let databases = scene.promotion().databases;
    assert!(databases["orders"].cleared_at.is_some() && databases["users"].cleared_at.is_some(), "{databases:?}");
    let lag = databases["orders"].lag.clone().expect("frozen");
    assert_eq!((lag.seconds, lag.source.starts_with("AWS/RDS AuroraGlobalDBRPOLag of orders-standby at")), (Some(0.8), true), "{lag:?}");
    assert_eq!(takeovers(&scene), []);
    assert!(scene.world.calls.log().iter().all(|call| call.place == Place::Standby));
}

#[tokio::test(start_paused = true)]
async fn a_clearance_is_renewed_and_its_lag_stays_frozen() {
    let mut scene = scene(Phase::Confirmed);
    scene.nudge_for(120).await;
    let cleared = scene.promotion().databases["orders"].cleared_at.expect("cleared");
    assert!(scene.world.now().duration_since(cleared).as_secs() <= 30);
    assert_eq!(scene.world.calls.count("cloudwatch:GetMetricData"), 2, "each judged once");
    assert_eq!(scene.sentences().iter().filter(|said| said.contains("may take over")).count(), 1, "said once");
}

#[tokio::test(start_paused = true)]
async fn a_lag_beyond_the_rpo_or_unknown_is_refused_until_the_operator_accepts_the_loss() {
    for (feed, said) in [(LagFeed::Constant(Some(612.0)), "was 612 s behind"), (LagFeed::Missing, "nobody knows how far the replica of orders")] {
        let mut scene = scene(Phase::Confirmed);
        scene.world.database.set_lag("orders-standby", feed);
        scene.nudge().await;
        let refused = scene.promotion().databases["orders"].refused.clone().expect("refused");
        assert!(refused.contains(said) && refused.ends_with("`accept-loss` promotes it anyway"), "{refused}");
        scene.say(|words, said| words.accept_loss = Some(said));
        scene.nudge_for(5).await;
        let step = scene.promotion().databases["orders"].clone();
        assert_eq!((step.refused, step.cleared_at.is_some()), (None, true));
        assert!(scene.said("ada accepted the loss"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_standby_s_cluster_is_failed_over_to_once_and_followed_until_it_is_the_writer() {
    let mut scene = activating().await;
    scene.world.calls.dark(Place::Primary, true);
    scene.nudge().await;
    let step = scene.promotion().databases["orders"].clone();
    assert!(step.promote_attempt_at <= step.promote_called_at && step.promote_called_at < step.promoted_at, "{step:?}");
    assert_eq!((step.takeover, step.backups_on_at), (Some(Takeover::FailoverLosingRows), step.promoted_at));
    assert_eq!(step.endpoint.expect("the writer's").host, "orders-standby.standby.rds.test");
    assert_eq!(takeovers(&scene), [Takeover::FailoverLosingRows]);
    assert_eq!(scene.world.database.global_writer(GLOBAL), Some(Place::Standby));
    for part in [
        "makes orders-standby the writer of orders-global by a failover that may lose rows",
        "the global cluster is failing-over",
        "is the writer of orders-global: nothing moves",
    ] {
        assert!(scene.said(part), "{part}: {:#?}", scene.sentences());
    }
    let told = |notice: &Notice| matches!(notice, Notice::Progress { what, .. } if what == "database orders promoted");
    assert!(scene.world.notices.sent().iter().any(told));
    let calls = scene.world.calls.count("rds:DescribeDBClusters");
    scene.ticks(2).await;
    assert_eq!(scene.world.calls.count("rds:DescribeDBClusters"), calls, "nothing is left to do but to look at the old writer");
    assert!(scene.world.calls.log().iter().all(|call| call.place == Place::Standby), "a failover asks nothing of the primary Region");
}

#[tokio::test(start_paused = true)]
async fn the_operator_who_fails_over_from_a_healthy_primary_loses_nothing() {
    let mut scene = scene(Phase::Confirmed);
    hear(&scene, Word::Up);
    scene.world.database.set_lag("orders-standby", LagFeed::Missing);
    scene.nudge_for(5).await;
    assert!(scene.said("may take over by a switchover"), "{:#?}", scene.sentences());
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Activating);
    scene.nudge().await;
    assert_eq!(takeovers(&scene), [Takeover::Switchover]);
    let lag = scene.promotion().databases["orders"].lag.clone().expect("told");
    assert_eq!((lag.seconds, lag.source.as_str()), (Some(0.0), "a switchover waits until every row has arrived"));
}

#[tokio::test(start_paused = true)]
async fn a_switchover_that_the_dying_primary_left_undone_becomes_a_failover_with_its_lag_judged() {
    let mut scene = scene(Phase::Confirmed);
    hear(&scene, Word::Up);
    scene.nudge_for(5).await;
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Activating);
    scene.nudge_for(10).await;
    assert_eq!(takeovers(&scene), [Takeover::Switchover]);
    scene.world.database.cancel(GLOBAL);
    scene.world.calls.dark(Place::Primary, true);
    hear(&scene, Word::Down);
    scene.ticks(4).await;
    assert_eq!(takeovers(&scene), [Takeover::Switchover, Takeover::FailoverLosingRows]);
    assert_eq!(scene.promotion().databases["orders"].lag.as_ref().expect("judged").seconds, Some(0.8));
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_ended_without_its_end_waits_for_a_person_and_goes_on_from_there() {
    let mut scene = activating().await;
    scene.nudge_for(10).await;
    scene.world.database.cancel(GLOBAL);
    scene.ticks(4).await;
    assert_eq!(takeovers(&scene).len(), 1, "it is not sent again");
    assert!(scene.said("was taken, and ended without orders-standby as the writer"), "{:#?}", scene.sentences());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_an_instance_gets_one_first() {
    let mut scene = scene(Phase::Confirmed);
    scene.world.database.behead(GLOBAL);
    scene.nudge_for(5).await;
    assert!(scene.said("it has no instance and gets one of class db.r6g.large first"), "{:#?}", scene.sentences());
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Activating);
    scene.nudge().await;
    assert_eq!(scene.world.calls.count("rds:CreateDBInstance"), 1);
    assert!(scene.promotion().databases["orders"].promoted_at.is_some(), "{:#?}", scene.sentences());

    let text = with_global("");
    let mut scene = Scene::with_plan(&text, Mode::Failover, Phase::Confirmed);
    scene.world.database.behead(GLOBAL);
    scene.nudge().await;
    let refused = scene.promotion().databases["orders"].refused.clone().expect("refused");
    assert!(refused.contains("has no instance, and the plan names no class"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_hold_stops_the_takeover_until_it_is_released() {
    let mut scene = activating().await;
    let until = scene.world.now() + minutes(60);
    scene.change(|head| head.hold = Some(HoldSwitch { until, by: "ada".to_owned() }));
    scene.nudge().await;
    assert_eq!(takeovers(&scene), []);
    scene.change(|head| head.hold = None);
    scene.nudge().await;
    assert_eq!(takeovers(&scene).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_old_writer_is_looked_at_each_minute_until_aurora_has_made_it_a_secondary_and_said_when_that_changes() {
    let mut scene = activating().await;
    scene.world.calls.dark(Place::Primary, true);
    scene.nudge().await;
    scene.serves();
    let looks = scene.world.calls.count("rds:DescribeGlobalClusters");
    scene.ticks(6).await;
    let made = scene.world.calls.count("rds:DescribeGlobalClusters") - looks;
    assert!((5..=6).contains(&made), "{made} looks in six minutes");
    let old = scene.promotion().databases["orders"].old_writer.clone();
    assert!(old.over_at.is_none() && old.last.contains("it is pending-resync: Aurora keeps writes from its storage"), "{old:?}");
    let said = |scene: &Scene, part: &str| scene.sentences().iter().filter(|sentence| sentence.contains(part)).count();
    assert_eq!(said(&scene, "is no secondary yet"), 1, "{:#?}", scene.sentences());

    scene.world.calls.dark(Place::Primary, false);
    scene.ticks(4).await;
    let old = scene.promotion().databases["orders"].old_writer.clone();
    assert!(old.over_at.is_some() && old.last == "orders, the old writer, is a secondary of orders-standby and follows", "{old:?}");
    assert_eq!(said(&scene, "and follows"), 1);
    let (writes, looks) = (scene.world.journal.writes(), scene.world.calls.count("rds:DescribeGlobalClusters"));
    scene.ticks(3).await;
    assert_eq!((scene.world.journal.writes(), scene.world.calls.count("rds:DescribeGlobalClusters")), (writes, looks), "nothing is left to do");
    assert!(scene.world.calls.log().iter().all(|call| call.place == Place::Standby), "the primary Region is not asked");
}

#[tokio::test(start_paused = true)]
async fn an_old_writer_that_cannot_be_looked_at_is_said_and_tried_again() {
    let mut scene = activating().await;
    scene.nudge().await;
    scene.serves();
    scene.world.calls.fault("rds:DescribeGlobalClusters", Fault::Silence);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    scene.ticks(1).await;
    let old = scene.promotion().databases["orders"].old_writer.clone();
    assert!(old.over_at.is_none() && old.last.starts_with("the old writer could not be looked at: "), "{old:?}");
    scene.ticks(3).await;
    assert!(scene.promotion().databases["orders"].old_writer.over_at.is_some(), "{:#?}", scene.sentences());
}

/// What is the same in the end, whatever the times were.
fn end(scene: &Scene) -> (Vec<Takeover>, Option<Place>, [bool; 4]) {
    let step = scene.promotion().databases["orders"].clone();
    let done = [step.promote_attempt_at.is_some(), step.promoted_at.is_some(), step.backups_on_at.is_some(), step.endpoint.is_some()];
    (takeovers(scene), scene.world.database.global_writer(GLOBAL), done)
}

async fn failover(scene: &mut Scene) {
    for _ in 0..2 {
        scene.nudge_for(10).await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
    scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Activating);
    for _ in 0..4 {
        scene.nudge().await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_ends_the_same_whichever_call_fails_once() {
    let all = [Fault::Throttled, Fault::Silence, Fault::LostAnswer];
    for (headless, faults, least) in [(false, &all[..], 100), (true, &all[2..], 30)] {
        let begin = || {
            let scene = scene(Phase::Confirmed);
            if headless {
                scene.world.database.behead(GLOBAL);
            }
            scene
        };
        let mut undisturbed = begin();
        failover(&mut undisturbed).await;
        let expected = end(&undisturbed);
        assert_eq!(expected, (vec![Takeover::FailoverLosingRows], Some(Place::Standby), [true; 4]));

        let mut met = 0;
        for &fault in faults {
            for n in 0.. {
                let mut scene = begin();
                scene.world.calls.fault_at(n, fault);
                failover(&mut scene).await;
                if scene.world.calls.fault_is_pending() {
                    break;
                }
                met += 1;
                assert_eq!(end(&scene), expected, "{fault:?} at call {n}: {:?}", scene.world.calls.log()[n]);
            }
        }
        assert!(met > least, "only {met} faults were met");
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_without_an_answer_that_was_done_is_followed_and_one_that_was_not_is_sent_again_after_a_minute() {
    for (fault, least) in [(Fault::LostAnswer, 0), (Fault::Silence, 60)] {
        let mut scene = activating().await;
        scene.world.calls.fault("rds:FailoverGlobalCluster", fault);
        let began = scene.world.now();
        scene.nudge().await;
        let step = scene.promotion().databases["orders"].clone();
        assert!(step.promote_attempt_at.expect("attempted").duration_since(began).as_secs() >= least, "{fault:?} {step:?}");
        assert_eq!((takeovers(&scene).len(), step.promoted_at.is_some()), (1, true), "{fault:?}");
    }
}
