//! A drill's secrets: the real ones are only read.

mod common;

use common::{SECRETS, Scene, later};
use relight::ports::{DisposableName, Removal, Secrets, Stage};
use relight::run::Step;
use relight::state::Owed;
use relight_world::Fault;
use relight_world::secrets::RotatedBy;

fn disposable(scene: &Scene, secret: &str) -> DisposableName {
    DisposableName::of("shop", &scene.run().id, secret)
}

#[tokio::test(start_paused = true)]
async fn disposable_secrets_are_repointed_to_the_copy_rotated_and_tested_and_the_real_ones_are_as_before() {
    let mut scene = Scene::rehearsing().await;
    scene.world.secrets.rotated_by(RotatedBy::Test);
    let before: Vec<_> = SECRETS.map(|secret| (scene.world.secrets.seen(secret), scene.current(secret))).into();
    scene.nudge_with_steps().await;

    let copy = scene.snapshot().progress.promotion.copies["orders"].endpoint.clone().expect("an endpoint");
    for secret in SECRETS {
        let step = scene.rehearsed(secret);
        let name = disposable(&scene, secret);
        assert_eq!(step.disposable.as_deref(), Some(name.as_str()));
        assert!(step.repointed_at.is_some() && step.tested_at.is_some() && step.failed.is_none(), "{secret}: {step:?}");
        assert_eq!(step.rotated_at.is_some(), secret != "shop/admin");
        let value = scene.current(name.as_str());
        assert_eq!(value.endpoint(), Ok(copy.clone()));
        assert!(scene.world.login.opens(&value));
    }
    let app = scene.current(disposable(&scene, "shop/app").as_str());
    assert_eq!(app.username(), Ok("app_clone"));
    assert_eq!(app.master_arn(), Some(scene.world.secrets.arn(disposable(&scene, "shop/admin").as_str()).as_str()));

    let after: Vec<_> = SECRETS.map(|secret| (scene.world.secrets.seen(secret), scene.current(secret))).into();
    assert_eq!(after, before, "an application's secret was touched");
    assert!(scene.rotation().proven.is_empty() && scene.rotation().secrets.is_empty(), "what a drill did must not count for a failover");
    let hosts: Vec<_> = scene.world.login.changes().into_iter().map(|change| change.host).collect();
    assert!(!hosts.is_empty() && hosts.iter().all(|host| *host == copy.host), "a password was changed outside the copy: {hosts:?}");
}

#[tokio::test(start_paused = true)]
async fn each_disposable_secret_is_owed_before_it_is_made() {
    let mut scene = Scene::rehearsing().await;
    scene.world.calls.fault("secretsmanager:CreateSecret", Fault::LostAnswer);
    scene.ticks(1).await;
    for name in scene.world.secrets.names().into_iter().filter(|name| !SECRETS.contains(&name.as_str())) {
        let owed: Vec<_> = scene.snapshot().obligations.into_values().collect();
        let found = owed.iter().find(|owed| owed.what == Owed::Secret { name: name.clone() }).expect("owed");
        assert_eq!(found.deadline, later(scene.run().opened_at, 180));
    }
    scene.nudge().await;
    assert_eq!(scene.snapshot().obligations.len(), 3);
    assert!(scene.rehearsed("shop/app").tested_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_disposable_secret_that_cannot_be_made_gives_its_rehearsal_up() {
    let mut scene = Scene::rehearsing().await;
    for _ in 0..3 {
        scene.world.calls.fault("secretsmanager:CreateSecret", Fault::Denied);
    }
    scene.ticks(8).await;
    let step = scene.rehearsed("shop/admin");
    assert!(step.failed.as_deref().is_some_and(|why| why.contains("cannot be made")), "{step:?}");
    assert_eq!(scene.rehearsed("shop/batch").repointed_at, None);
    // Whoever would have rotated through it does not wait for it until the drill's deadline.
    let app = scene.rehearsed("shop/app");
    assert!(app.failed.as_deref().is_some_and(|why| why.contains("shop/admin was given up")), "{app:?}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_nobody_can_log_in_to_does_not_hold_the_drill_up() {
    let mut scene = Scene::rehearsing().await;
    let copy = scene.snapshot().progress.promotion.copies["orders"].endpoint.clone().expect("an endpoint");
    scene.world.login.set_unreachable(&copy.host, true);
    scene.ticks(20).await;
    for secret in SECRETS {
        let step = scene.rehearsed(secret);
        assert!(step.failed.as_deref().is_some_and(|why| why.contains("not rehearsed within 15m")), "{secret}: {step:?}");
    }
    scene.expect_said("cannot be reached");
    assert_eq!(scene.world.secrets.names().len(), SECRETS.len());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_once_the_drill_restores() {
    let mut scene = Scene::rehearsing().await;
    let now = scene.world.now();
    scene.change(|head| head.run.as_mut().expect("a run").step(Step::Restore, now).expect("legal"));
    scene.ticks(3).await;
    assert_eq!(scene.world.secrets.names().len(), SECRETS.len());
    assert_eq!(scene.world.journal.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn disposable_secrets_are_found_and_removed_by_their_name() {
    let mut scene = Scene::rehearsing().await;
    scene.nudge().await;
    let found = scene.world.secrets.disposables("shop").await.expect("a list");
    assert_eq!(found.len(), 3);
    for name in &found {
        while scene.world.secrets.remove_disposable(name).await.expect("a removal") == Removal::Underway {}
    }
    assert_eq!(scene.world.secrets.names().len(), SECRETS.len());
    assert!(SECRETS.iter().all(|secret| scene.world.secrets.read(secret, Stage::Current).is_some()));
}
