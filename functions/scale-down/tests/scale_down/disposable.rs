//! Copies and secrets of drills go, whatever else happens.

use jiff::SignedDuration;
use relight::run::{Mode, Phase};
use relight::state::{Key, Owed, Place};
use relight_world::Fault;

use crate::scene::{Scene, global_plan};

#[tokio::test(start_paused = true)]
async fn copies_and_secrets_of_a_drill_are_gone_before_it_closes() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    scene.make_copy("shop", true).await;
    scene.make_secret(true).await;
    scene.tick().await;
    assert_eq!(scene.phase(), Phase::Restoring, "the copy is still being deleted");
    scene.nudge().await;
    scene.expect_restored("with copies");
    assert_eq!(scene.phase(), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_the_journal_lost_is_found_by_its_tag_and_what_is_another_plans_stays() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    let lost = scene.make_copy("shop", false).await;
    let other = scene.make_copy("blog", false).await;
    let secret = scene.make_secret(false).await;
    scene.nudge().await;
    let standing = scene.standing();
    assert!(!standing.instances.contains(&lost.to_string()) && !standing.secrets.contains(&secret), "{standing:?}");
    assert!(standing.instances.contains(&other.to_string()));
    assert_eq!(scene.phase(), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_restored_goes_and_then_its_snapshot_before_the_drill_closes() {
    for owed in [true, false] {
        let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
        let copy = scene.make_restored_copy("shop", true, owed).await.to_string();
        let other = scene.make_restored_copy("blog", true, false).await.to_string();
        scene.tick().await;
        assert_eq!(scene.standing().snapshots.len(), 2, "the instance goes first");
        scene.nudge().await;
        let standing = scene.standing();
        assert!(!standing.instances.contains(&copy) && standing.instances.contains(&other), "owed: {owed}: {standing:?}");
        assert_eq!((standing.snapshots, scene.phase()), (vec![other], Phase::Closed), "owed: {owed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_nothing_was_restored_from_goes_whether_it_is_owed_or_the_journal_lost_it() {
    for owed in [true, false] {
        let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
        scene.make_restored_copy("shop", false, owed).await;
        scene.nudge().await;
        assert_eq!((scene.standing().snapshots, scene.phase()), (Vec::new(), Phase::Closed), "owed: {owed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_goes_after_its_instance_and_before_its_snapshot_whether_it_is_owed_or_the_journal_lost_it() {
    for (parts, owed) in [(1, true), (2, true), (3, true), (1, false), (2, false), (3, false)] {
        let mut scene = Scene::raised_under(&global_plan(), Mode::Drill, Phase::Restoring, |_| {}).await;
        let copy = scene.make_cluster_copy("shop", parts, owed).await.to_string();
        let other = scene.make_cluster_copy("blog", 3, false).await;
        scene.tick().await;
        assert_eq!(scene.phase(), Phase::Restoring, "{parts} {owed}: it is still being deleted");
        scene.nudge().await;
        let standing = scene.standing();
        assert!(!standing.instances.contains(&copy) && standing.instances.contains(&other.to_string()), "{parts} {owed}: {standing:?}");
        let (members, snapshots) = (vec![other.member()], vec![other.to_string()]);
        assert_eq!((standing.members, standing.snapshots, scene.phase()), (members, snapshots, Phase::Closed), "{parts} {owed}");
        let order: Vec<&str> = scene.world.calls.log().iter().map(|call| call.operation).filter(|call| call.starts_with("rds:Delete")).collect();
        assert_eq!(order, ["rds:DeleteDBInstance", "rds:DeleteDBCluster", "rds:DeleteDBClusterSnapshot"][3 - parts..], "{parts} {owed}: each once");
        assert!(scene.snapshot().obligations.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_clusters_removal_ends_the_same_whichever_call_fails_once() {
    let mut met = 0;
    for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer] {
        for n in 0.. {
            let mut scene = Scene::raised_under(&global_plan(), Mode::Drill, Phase::Restoring, |_| {}).await;
            scene.make_cluster_copy("shop", 3, n % 2 == 0).await;
            scene.world.calls.fault_at(scene.world.calls.log().len() + n, fault);
            for _ in 0..8 {
                let _answer = scene.try_nudge().await;
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            }
            if scene.world.calls.fault_is_pending() {
                break;
            }
            met += 1;
            scene.expect_restored(&format!("{fault:?} at call {n}"));
            assert_eq!(scene.phase(), Phase::Closed, "{fault:?} at call {n}");
        }
    }
    assert!(met > 100, "only {met} faults were met");
}

#[tokio::test(start_paused = true)]
async fn a_plan_without_clusters_asks_for_none() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    scene.nudge().await;
    let asked = ["rds:DescribeDBClusters", "rds:DescribeDBClusterSnapshots"].map(|call| scene.world.calls.count(call));
    assert_eq!((asked, scene.phase()), ([0, 0], Phase::Closed), "its role may not");
}

#[tokio::test(start_paused = true)]
async fn in_peace_it_is_looked_for_every_six_hours_and_what_is_owed_is_left_until_it_is_due() {
    for serving in [Place::Primary, Place::Standby] {
        let mut scene = Scene::raised(Mode::Drill, Phase::Holding).await;
        let (owed, lost) = (scene.make_copy("shop", true).await, scene.make_copy_of("users", "shop", false).await);
        let other = scene.make_copy_of("users", "blog", false).await;
        let secret = scene.make_secret(false).await;
        scene.enter(Mode::Failover, Phase::Active);
        scene.set_head(|head| head.serving = serving);
        let lists = scene.world.calls.count("secretsmanager:ListSecrets");
        for _ in 0..5 {
            scene.tick().await;
        }
        let left = scene.standing().instances;
        assert!(!left.contains(&lost.to_string()) && left.contains(&owed.to_string()) && left.contains(&other.to_string()), "{serving:?}: {left:?}");
        assert!(!scene.standing().secrets.contains(&secret));
        let swept = scene.snapshot().memory.swept_at.expect("recorded once nothing was left");
        let looked = scene.world.calls.count("secretsmanager:ListSecrets") - lists;
        scene.tick().await;
        assert_eq!(scene.world.calls.count("secretsmanager:ListSecrets") - lists, looked, "and then for six hours not again");

        let late = scene.make_copy_of("users", "shop", false).await;
        scene.until(swept + SignedDuration::from_hours(6)).await;
        for _ in 0..5 {
            scene.tick().await;
        }
        assert!(!scene.standing().instances.contains(&late.to_string()), "{serving:?}: made by a call that came after its drill");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drill_is_not_closed_while_nobody_can_tell_what_it_left() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    (0..400).for_each(|_| scene.world.calls.fault("secretsmanager:ListSecrets", Fault::Denied));
    let answer = scene.nudge().await;
    assert_eq!(scene.phase(), Phase::Restoring);
    assert!(scene.snapshot().baseline.is_empty(), "what can be given back is");
    assert!(answer.said.iter().any(|said| said.contains("secretsmanager:ListSecrets: not allowed")), "{:?}", answer.said);
}

#[tokio::test(start_paused = true)]
async fn a_copy_past_its_deadline_goes_even_while_a_failover_is_open_or_the_standby_serves() {
    for (phase, serving) in [(Phase::Suspected, Place::Primary), (Phase::Active, Place::Standby)] {
        let mut scene = Scene::raised(Mode::Drill, Phase::Holding).await;
        let copy = scene.make_copy("shop", true).await.to_string();
        scene.enter(Mode::Failover, phase);
        scene.set_head(|head| head.serving = serving);
        scene.tick().await;
        assert!(scene.standing().instances.contains(&copy), "{phase:?}: a failover may resume it until its deadline");

        let opened = scene.snapshot().head.run.expect("a run").opened_at;
        scene.until(opened + SignedDuration::from_hours(3)).await;
        scene.enter(Mode::Failover, phase);
        for _ in 0..3 {
            scene.tick().await;
        }
        assert!(!scene.standing().instances.contains(&copy), "{phase:?}");
        assert!(!scene.snapshot().obligations.contains_key(&format!("copy/{copy}")), "{phase:?}");
        assert_eq!(scene.service().running, 4, "{phase:?}: capacity stays");
    }
}

#[tokio::test(start_paused = true)]
async fn an_obligation_that_names_no_copy_removes_nothing() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    scene.owe(Owed::Copy { instance: "orders-replica".to_owned() });
    let answer = scene.nudge().await;
    assert!(scene.standing().instances.contains(&"orders-replica".to_owned()));
    assert!(answer.said.iter().any(|said| said.contains("nothing is removed")), "{:?}", answer.said);
    assert_eq!(scene.world.calls.count("rds:DeleteDBInstance"), 0);
    assert!(scene.snapshot().revision(&Key::Obligation("copy/orders-replica".to_owned())).is_some());
}
