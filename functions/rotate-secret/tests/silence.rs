//! No password that ever was is in anything that is shown: sentences, notices, journal, answers, errors, `Debug`.

mod common;

use common::{HOST, Scene};
use relight::ports::Stage;
use relight_world::Fault;
use relight_world::secrets::RotatedBy;
use rotate_secret::steps;
use serde_json::json;

/// Everything that a whole run shows, with what went wrong in it.
async fn shown(scene: &mut Scene) -> String {
    let mut shown = String::new();
    for _ in 0..3 {
        for step in scene.world.secrets.steps() {
            let answer = steps::take(&scene.world.secrets, &scene.world.login, &step).await;
            shown += &format!("{answer:?} {}\n", answer.as_ref().map_or_else(ToString::to_string, Clone::clone));
        }
        let answer = scene.world.nudge(&mut scene.work, json!({ "relight": "tick" })).await;
        shown += &format!("{answer:?} {}\n", answer.as_ref().map_or_else(ToString::to_string, |answer| answer.said.join("\n")));
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
    shown += &format!("{:?}\n{:?}\n{:?}\n", scene.snapshot(), scene.world.notices.sent(), scene.world.calls.log());
    let run = scene.snapshot().head.run.map(|run| scene.world.journal.sentences(&run.id)).unwrap_or_default();
    shown += &run.join("\n");
    for secret in scene.world.secrets.names() {
        for stage in Stage::BY_LIKELIHOOD {
            shown += &format!("{:?}", scene.world.secrets.read(&secret, stage));
        }
    }
    shown
}

#[track_caller]
fn expect_silence(scene: &Scene, shown: &str) {
    let passwords = scene.world.login.passwords();
    assert!(passwords.len() >= 3);
    for password in passwords {
        // As it is, and as `Debug` or JSON would write it.
        for form in [password.clone(), password.replace('"', "\\\""), password.replace('\'', "\\'")] {
            assert!(!shown.contains(&form), "a password was shown: {form}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_shows_no_password() {
    let mut scene = Scene::promoted();
    scene.world.secrets.rotated_by(RotatedBy::Test);
    let shown = shown(&mut scene).await;
    assert!(shown.contains("repointed to") && shown.contains("AWSCURRENT is the new version"), "{shown}");
    expect_silence(&scene, &shown);
}

#[tokio::test(start_paused = true)]
async fn a_failover_in_which_everything_goes_wrong_once_shows_no_password() {
    let mut scene = Scene::promoted();
    scene.world.secrets.rotated_by(RotatedBy::Test);
    scene.world.login.set_password(HOST, "batch", "somebody else's");
    for operation in
        ["login:Login", "login:EnsureTwin", "secretsmanager:PutSecretValue", "secretsmanager:GetSecretValue", "secretsmanager:RotateSecret"]
    {
        scene.world.calls.fault(operation, Fault::Denied);
    }
    let shown = shown(&mut scene).await;
    assert!(shown.contains("lacks the permission") && shown.contains("did not answer"), "{shown}");
    expect_silence(&scene, &shown);
}

#[tokio::test(start_paused = true)]
async fn a_drill_and_peace_show_no_password() {
    let mut scene = Scene::rehearsing().await;
    let drill = shown(&mut scene).await;
    expect_silence(&scene, &drill);
    let mut scene = Scene::peace();
    let peace = shown(&mut scene).await;
    assert!(peace.contains("logs in at orders-replica"), "{peace}");
    expect_silence(&scene, &peace);
}
