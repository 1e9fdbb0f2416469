//! A failover's secrets, from the promotion to the last login.

mod common;

use common::{HOST, PLAN, SECRETS, Scene, endpoint};
use relight::ports::{Notice, Stage};
use relight::run::{Phase, Step};
use relight_world::Fault;
use relight_world::secrets::RotatedBy;

#[tokio::test(start_paused = true)]
async fn after_the_promotion_every_secret_is_repointed_rotated_by_the_four_steps_and_tested() {
    let mut scene = Scene::promoted();
    scene.world.secrets.rotated_by(RotatedBy::Test);
    scene.nudge_with_steps().await;

    assert!(scene.rotation().proven.contains_key("orders"));
    for secret in SECRETS {
        let step = scene.step(secret);
        let seen = scene.world.secrets.seen(secret).expect("there");
        assert_eq!(seen.replica_of, None, "{secret} stands alone");
        assert_eq!(scene.current(secret).endpoint(), Ok(endpoint(HOST)));
        assert!(scene.world.login.opens(&scene.current(secret)), "{secret} opens the database");
        assert!(step.standalone_at <= step.repointed_at && step.repointed_at <= step.tested_at && step.failed.is_none(), "{step:?}");
        assert_eq!(step.rotated_at.is_some(), secret != "shop/admin", "{secret}: {step:?}");
    }
    assert_eq!(scene.current("shop/app").username(), Ok("app_clone"), "alternating users");
    assert_eq!(scene.current("shop/batch").username(), Ok("batch"), "a single user");
    assert_eq!(scene.world.login.members(), [("app_clone".to_owned(), "app".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_applications_have_in_hand_works_at_every_instant_from_the_repointing_on() {
    let mut scene = Scene::promoted();
    scene.world.secrets.rotated_by(RotatedBy::Test);
    let world = scene.world.clone();
    let application = async {
        // It keeps what it read for as long as it works, as applications do.
        let mut held = None;
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let current = world.secrets.read("shop/app", Stage::Current).expect("a current version");
            if current.endpoint() == Ok(endpoint(HOST)) {
                assert!(world.login.opens(held.get_or_insert(current.clone())), "the login in hand is refused");
                assert!(world.login.opens(&current), "AWSCURRENT is refused");
            }
        }
    };
    tokio::select! {
        () = scene.nudge_with_steps() => {}
        () = application => {}
    }
    assert!(scene.step("shop/app").rotated_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_survive_and_the_admin_is_named_in_the_standby_region() {
    let mut scene = Scene::promoted();
    scene.nudge().await;
    let app = scene.current("shop/app");
    assert!(app.to_json().contains(r#""kept":{"as":"it is"}"#));
    assert_eq!(app.master_arn(), Some(scene.world.secrets.arn("shop/admin").as_str()));
    assert!(app.master_arn().is_some_and(|arn| arn.contains(":us-west-2:")));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_before_the_promotion() {
    let mut scene = Scene::activating();
    scene.nudge().await;
    assert_eq!(scene.world.journal.writes(), 0);
    assert!(scene.world.calls.log().iter().all(|call| call.operation == "dynamodb:Query"), "{:?}", scene.world.calls.log());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_still_in_recovery_is_not_proven_and_no_secret_is_touched() {
    let mut scene = Scene::activating();
    scene.say_promoted();
    scene.ticks(2).await;
    assert!(scene.rotation().proven.is_empty());
    scene.expect_said("its promotion has not ended");
    for operation in ["secretsmanager:StopReplicationToReplica", "secretsmanager:PutSecretValue", "secretsmanager:RotateSecret"] {
        assert_eq!(scene.world.calls.count(operation), 0, "{operation}");
    }
    scene.promote();
    scene.nudge().await;
    assert!(scene.step("shop/app").tested_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn done_twice_changes_nothing() {
    let mut scene = Scene::promoted();
    scene.nudge().await;
    let (writes, calls) = (scene.world.journal.writes(), scene.world.calls.log().len());
    scene.ticks(3).await;
    assert_eq!(scene.world.journal.writes(), writes);
    assert_eq!(scene.world.calls.log().len(), calls + 3, "one read of the journal each");
}

#[tokio::test(start_paused = true)]
async fn each_repointing_wakes_the_others_once() {
    let mut scene = Scene::promoted();
    scene.nudge().await;
    let sent = scene.world.notices.sent();
    for what in ["database orders proven writable", "secret shop/app repointed", "secret shop/admin repointed", "secret shop/batch rotated"] {
        let count = sent.iter().filter(|notice| matches!(notice, Notice::Progress { what: told, .. } if told == what)).count();
        assert_eq!(count, 1, "{what}: {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_password_that_the_data_have_is_taken_wherever_it_stands() {
    for stage in [Stage::Previous, Stage::Pending] {
        let mut scene = Scene::promoted();
        // The secret was replicated and the data were not, or the other way round.
        let old = scene.current("shop/batch");
        let newer = old.with_password("newer");
        match stage {
            Stage::Previous => scene.world.secrets.set("shop/batch", "00000000-0000-0000-0000-00000000000b", &[Stage::Current], Some(newer)),
            _ => {
                scene.world.login.set_password(HOST, "batch", "newer");
                scene.world.secrets.set("shop/batch", "00000000-0000-0000-0000-00000000000b", &[Stage::Pending], Some(newer));
            }
        }
        scene.world.calls.fault("secretsmanager:RotateSecret", Fault::Denied);
        scene.world.calls.fault("secretsmanager:RotateSecret", Fault::Denied);
        scene.nudge().await;
        assert!(scene.world.login.opens(&scene.current("shop/batch")), "{stage:?}");
        scene.expect_said(&format!("with the login of {}", stage.label()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_repointing_whose_record_was_lost_is_not_done_over_what_followed_it() {
    let scene = || {
        let scene = Scene::promoted();
        scene.world.secrets.rotated_by(RotatedBy::Test);
        scene
    };
    let mut undisturbed = scene();
    undisturbed.ticks(1).await;
    let log = undisturbed.world.calls.log();
    let put = log.iter().position(|call| call.operation == "secretsmanager:PutSecretValue").expect("a put");
    let record = put + log[put..].iter().position(|call| call.operation == "dynamodb:TransactWriteItems").expect("its record");

    let mut scene = scene();
    scene.world.calls.fault_at(record, Fault::Silence);
    scene.ticks(1).await;
    assert_eq!(scene.step("shop/batch").repointed_at, None);
    let newer = scene.current("shop/batch").with_password("newer");
    assert_eq!(newer.endpoint(), Ok(endpoint(HOST)), "it was put");
    scene.world.login.set_password(HOST, "batch", "newer");
    scene.world.secrets.set("shop/batch", "00000000-0000-0000-0000-00000000000d", &[Stage::Current], Some(newer.clone()));
    scene.ticks(1).await;
    assert!(scene.step("shop/batch").repointed_at.is_some(), "{:?}", scene.sentences());
    assert_eq!(scene.current("shop/batch"), newer);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_no_version_opens_says_what_to_do_and_the_others_go_on() {
    let mut scene = Scene::promoted();
    scene.world.login.set_password(HOST, "batch", "somebody else's");
    scene.ticks(6).await;
    scene.expect_said("neither AWSCURRENT nor AWSPREVIOUS nor AWSPENDING opens");
    assert_eq!(scene.step("shop/batch").repointed_at, None);
    assert!(scene.step("shop/app").repointed_at.is_some());
    let first = scene.world.secrets.read("shop/batch", Stage::Current).expect("untouched");
    assert_eq!(first.endpoint().map(|at| at.host).as_deref(), Ok("orders.primary.rds.test"));

    scene.world.login.set_password(HOST, "batch", first.password().expect("a password"));
    scene.nudge().await;
    assert!(scene.step("shop/batch").tested_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_in_the_standby_region_is_refused_with_the_remedy() {
    let mut scene = Scene::promoted();
    scene.world.secrets.lose("shop/batch");
    scene.ticks(4).await;
    scene.expect_said("is not in the standby Region us-west-2; restore it (RestoreSecret)");
    assert!(scene.step("shop/app").repointed_at.is_some());
}

/// A rotation that somebody else called for the single user after it was repointed, as far as `steps` went.
async fn beside_another_rotation(steps: usize) -> (Scene, Vec<relight::event::RotationStep>) {
    let mut scene = Scene::promoted();
    scene.world.secrets.rotated_by(RotatedBy::Test);
    let until = common::later(scene.world.now(), 2);
    scene.change(|head| head.hold = Some(relight::state::HoldSwitch { until, by: "ada".to_owned() }));
    scene.ticks(1).await;
    assert!(scene.step("shop/batch").repointed_at.is_some() && scene.step("shop/batch").rotation_called_at.is_none());
    let token = "00000000-0000-0000-0000-0000000000ff".to_owned();
    scene.world.secrets.set("shop/batch", &token, &[Stage::Pending], None);
    use relight::event::RotationStepName::{CreateSecret, FinishSecret, SetSecret, TestSecret};
    let secret_id = scene.world.secrets.arn("shop/batch");
    let step = |step| relight::event::RotationStep { step, secret_id: secret_id.clone(), client_request_token: token.clone() };
    let all: Vec<_> = [CreateSecret, SetSecret, TestSecret, FinishSecret].map(step).into();
    for step in &all[..steps] {
        rotate_secret::steps::take(&scene.world.secrets, &scene.world.login, step).await.expect("done");
    }
    scene.change(|head| head.hold = None);
    (scene, all)
}

#[tokio::test(start_paused = true)]
async fn another_rotation_that_is_under_way_is_left_to_its_end_before_its_own_begins() {
    let (mut scene, steps) = beside_another_rotation(2).await;
    let (secrets, login) = (scene.world.secrets.clone(), scene.world.login.clone());
    let theirs = async {
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        for step in &steps[2..] {
            rotate_secret::steps::take(&secrets, &login, step).await.expect("it comes to its end");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = scene.nudge_with_steps() => {}
        () = theirs => {}
    }
    scene.expect_said("another rotation has AWSPENDING; it is left until");
    let step = scene.step("shop/batch");
    assert!(step.rotated_at.is_some() && step.failed.is_none(), "{step:?}: {:?}", scene.sentences());
    assert!(scene.world.login.opens(&scene.current("shop/batch")));
}

#[tokio::test(start_paused = true)]
async fn another_rotation_that_broke_off_loses_its_label_and_not_the_only_password_that_works() {
    for steps in 0..=3 {
        let (mut scene, _) = beside_another_rotation(steps).await;
        scene.nudge_with_steps().await;
        let step = scene.step("shop/batch");
        assert!(step.rotated_at.is_some() && step.failed.is_none(), "after {steps} steps: {step:?}: {:?}", scene.sentences());
        assert!(scene.world.login.opens(&scene.current("shop/batch")), "after {steps} steps");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranded_pending_version_is_cleared_before_the_rotation() {
    let mut scene = Scene::promoted();
    scene.world.secrets.set("shop/app", "00000000-0000-0000-0000-00000000000c", &[Stage::Pending], None);
    scene.nudge().await;
    scene.expect_said("AWSPENDING of a rotation that broke off is taken away");
    assert!(scene.step("shop/app").rotated_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_never_ends_is_given_up_and_the_repointed_login_is_tested() {
    let mut scene = Scene::promoted();
    scene.world.secrets.rotated_by(RotatedBy::Test);
    scene.ticks(20).await;
    let step = scene.step("shop/app");
    assert!(step.failed.as_deref().is_some_and(|why| why.contains("did not end within 15m") && why.contains("rotate again")), "{step:?}");
    assert!(step.tested_at.is_some() && step.repointed_at.is_some());
    assert_eq!(scene.current("shop/app").username(), Ok("app"));
    let calls = scene.world.calls.log().len();
    scene.ticks(2).await;
    assert_eq!(scene.world.calls.log().len(), calls + 2, "nothing is left to do");
}

/// A rotation of the single user that has come as far as setSecret: applications are refused.
async fn broken_off() -> Scene {
    let mut scene = Scene::promoted();
    scene.world.secrets.rotated_by(RotatedBy::Test);
    scene.ticks(1).await;
    let arn = scene.world.secrets.arn("shop/batch");
    let steps = scene.world.secrets.steps().into_iter().filter(|step| step.secret_id == arn);
    for step in steps.take(2) {
        rotate_secret::steps::take(&scene.world.secrets, &scene.world.login, &step).await.expect("done");
    }
    assert!(!scene.world.login.opens(&scene.current("shop/batch")));
    scene
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_broke_off_after_the_password_was_set_is_rolled_back_to_what_works() {
    let mut scene = broken_off().await;
    scene.ticks(20).await;
    let step = scene.step("shop/batch");
    assert!(step.failed.as_deref().is_some_and(|why| why.contains("did not end within 15m")), "{step:?}");
    assert!(step.tested_at.is_some() && scene.world.login.opens(&scene.current("shop/batch")), "{:?}", scene.sentences());
    scene.expect_said("rolled back: AWSCURRENT is the login of AWSPENDING, which works");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_is_tried_again_and_given_up_in_the_end() {
    let mut scene = broken_off().await;
    scene.ticks(10).await;
    scene.world.login.set_unreachable(HOST, true);
    scene.ticks(10).await;
    assert_eq!(scene.step("shop/batch").failed, None, "nobody could see yet what works");
    scene.world.login.set_unreachable(HOST, false);
    scene.ticks(2).await;
    assert!(scene.step("shop/batch").tested_at.is_some() && scene.world.login.opens(&scene.current("shop/batch")));

    let mut scene = broken_off().await;
    scene.world.login.set_unreachable(HOST, true);
    scene.ticks(40).await;
    let step = scene.step("shop/batch");
    assert!(step.failed.is_some() && step.tested_at.is_none(), "{step:?}");
    let calls = scene.world.calls.log().len();
    scene.ticks(2).await;
    assert_eq!(scene.world.calls.log().len(), calls + 2, "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_may_not_be_called_fails_at_once_and_nothing_else_does() {
    let mut scene = Scene::promoted();
    scene.world.calls.fault("secretsmanager:RotateSecret", Fault::Denied);
    scene.world.calls.fault("secretsmanager:RotateSecret", Fault::Denied);
    scene.nudge().await;
    for secret in ["shop/app", "shop/batch"] {
        let step = scene.step(secret);
        assert!(step.failed.as_deref().is_some_and(|why| why.contains("lacks the permission")), "{step:?}");
        assert!(step.tested_at.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_followed_to_its_end_although_the_run_is_over() {
    let mut scene = Scene::promoted();
    scene.world.secrets.rotated_by(RotatedBy::Test);
    scene.ticks(5).await;
    assert!(scene.step("shop/app").rotation_called_at.is_some() && scene.step("shop/app").rotated_at.is_none());
    let now = scene.world.now();
    scene.change(|head| head.run.as_mut().expect("a run").step(Step::Complete, now).expect("legal"));
    assert_eq!(scene.run().phase, Phase::Active);
    scene.world.secrets.rotated_by(RotatedBy::World);
    scene.ticks(3).await;
    assert!(scene.step("shop/app").rotated_at.is_some() && scene.step("shop/app").tested_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_closed_run_repoints_no_secret_that_a_later_plan_added() {
    let short = PLAN.replace("[[secret]]\nname = \"shop/batch\"\ndatabase = \"orders\"\nusers = \"single\"\n", "");
    let mut scene = Scene::activating_with(&short);
    scene.promote();
    scene.nudge().await;
    let now = scene.world.now();
    scene.change(|head| head.run.as_mut().expect("a run").step(Step::Complete, now).expect("legal"));
    scene.world.journal.set(relight::state::Key::Plan(2), PLAN.into());
    scene.change(|head| head.plan_version = 2);
    let puts = scene.world.calls.count("secretsmanager:PutSecretValue");
    scene.ticks(3).await;
    assert_eq!(scene.world.calls.count("secretsmanager:PutSecretValue"), puts);
    assert_eq!(scene.step("shop/batch").repointed_at, None);
}

#[tokio::test(start_paused = true)]
async fn a_hold_lets_the_repointing_through_and_stops_the_rotation_until_it_is_released() {
    let mut scene = Scene::promoted();
    let until = common::later(scene.world.now(), 60);
    scene.change(|head| head.hold = Some(relight::state::HoldSwitch { until, by: "ada".to_owned() }));
    scene.ticks(5).await;
    assert!(scene.step("shop/app").repointed_at.is_some());
    assert_eq!(scene.world.calls.count("secretsmanager:RotateSecret"), 0);
    scene.expect_said("ada holds the rotation");
    scene.change(|head| head.hold = None);
    scene.nudge().await;
    assert!(scene.step("shop/app").rotated_at.is_some());
}
