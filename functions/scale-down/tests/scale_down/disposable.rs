//! Copies and secrets of drills go, whatever else happens.

use jiff::SignedDuration;
use relight::run::{Mode, Phase};
use relight::state::{Key, Owed, Place};
use relight_world::Fault;

use crate::scene::Scene;

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
