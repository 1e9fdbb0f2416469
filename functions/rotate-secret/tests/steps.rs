//! The rotation function, a step at a time, in every order in which Secrets Manager may call it.

mod common;

use common::HOST;
use common::rotation::{ALL, APP, BATCH, Rotation};
use relight::event::RotationStepName as Name;
use relight::ports::Stage;
use rotate_secret::steps::StepError;

#[track_caller]
fn refused(answer: Result<String, StepError>, why: &str) {
    let error = answer.expect_err("refused").to_string();
    assert!(error.contains(why), "{error}");
}

#[tokio::test(start_paused = true)]
async fn alternating_users_leave_the_login_in_hand_working() {
    let rotation = Rotation::of(APP).await;
    let before = rotation.current();
    for step in ALL {
        rotation.take(step).await.expect("done");
        assert!(rotation.opens(&before) && rotation.opens(&rotation.current()), "{step:?}");
    }
    assert_eq!(rotation.current().username(), Ok("app_clone"));
    assert_eq!(rotation.scene.world.login.members(), [("app_clone".to_owned(), "app".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_single_users_old_password_dies_with_set_secret() {
    let rotation = Rotation::of(BATCH).await;
    let before = rotation.current();
    rotation.take(Name::CreateSecret).await.expect("done");
    assert!(rotation.opens(&before));
    rotation.take(Name::SetSecret).await.expect("done");
    assert!(!rotation.opens(&before));
    rotation.take(Name::TestSecret).await.expect("done");
    rotation.take(Name::FinishSecret).await.expect("done");
    assert!(rotation.opens(&rotation.current()));
    assert_eq!(rotation.current().username(), Ok("batch"));
}

#[tokio::test(start_paused = true)]
async fn each_step_twice_is_the_step_once() {
    for secret in [APP, BATCH] {
        let rotation = Rotation::of(secret).await;
        for step in ALL {
            rotation.take(step).await.expect("done");
            let held = rotation.scene.world.secrets.read(secret, Stage::Pending);
            let changes = rotation.scene.world.login.changes().len();
            rotation.take(step).await.expect("done again");
            assert_eq!(rotation.scene.world.secrets.read(secret, Stage::Pending), held, "{step:?}");
            assert_eq!(rotation.scene.world.login.changes().len(), changes, "{step:?}");
        }
        assert!(rotation.opens(&rotation.current()));
    }
}

#[tokio::test(start_paused = true)]
async fn no_order_of_steps_breaks_what_applications_read() {
    for secret in [APP, BATCH] {
        for first in ALL {
            for second in ALL {
                for third in ALL {
                    let rotation = Rotation::of(secret).await;
                    for step in [first, second, third] {
                        let _refused_where_something_comes_first = rotation.take(step).await;
                        let works = [Stage::Current, Stage::Pending].map(|stage| {
                            let value = rotation.scene.world.secrets.read(rotation.secret, stage);
                            value.is_some_and(|value| rotation.opens(&value))
                        });
                        // With a single user there is the window between setSecret and finishSecret.
                        assert!(works[0] || (secret == BATCH && works[1]), "{secret}: {first:?} {second:?} {third:?}");
                    }
                    for step in ALL {
                        rotation.take(step).await.expect("the right order leads to the end from anywhere");
                    }
                    assert!(rotation.opens(&rotation.current()));
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_before_create_secret_is_refused() {
    let rotation = Rotation::of(APP).await;
    for step in [Name::SetSecret, Name::TestSecret, Name::FinishSecret] {
        refused(rotation.take(step).await, "createSecret comes first");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_a_missing_secret_and_a_rotation_switched_off_are_refused() {
    let rotation = Rotation::of(APP).await;
    refused(rotation.take_as(Name::CreateSecret, "11111111-1111-1111-1111-111111111111").await, "no version of this rotation's token");
    rotation.scene.world.secrets.set_rotation_enabled(APP, Some(false));
    refused(rotation.take(Name::CreateSecret).await, "switched off");
    rotation.scene.world.secrets.set_rotation_enabled(APP, None);
    rotation.take(Name::CreateSecret).await.expect("unsaid is not forbidden");
    rotation.scene.world.secrets.lose(APP);
    refused(rotation.take(Name::SetSecret).await, "no such secret");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_pending_is_refused_and_one_that_is_current_is_done() {
    let rotation = Rotation::of(BATCH).await;
    let spare = "22222222-2222-2222-2222-222222222222";
    rotation.scene.world.secrets.set(BATCH, spare, &[Stage::Previous], Some(rotation.current()));
    refused(rotation.take_as(Name::SetSecret, spare).await, "neither AWSPENDING nor AWSCURRENT");
    let current = rotation.scene.world.secrets.seen(BATCH).expect("there").version_at(Stage::Current).map(str::to_owned).expect("current");
    for step in ALL {
        assert!(rotation.take_as(step, &current).await.expect("done").contains("AWSCURRENT already"));
    }
    assert!(rotation.scene.world.login.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pending_version_that_the_database_knows_already_is_not_set_again() {
    let rotation = Rotation::of(APP).await;
    rotation.take(Name::CreateSecret).await.expect("done");
    let pending = rotation.pending();
    rotation.scene.world.login.set_password(HOST, "app_clone", pending.password().expect("a password"));
    assert!(rotation.take(Name::SetSecret).await.expect("done").contains("already"));
    assert!(rotation.scene.world.login.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_exists_gets_the_new_password_and_no_new_rights() {
    let rotation = Rotation::of(APP).await;
    rotation.scene.world.login.set_password(HOST, "app_clone", "of an earlier rotation");
    for step in ALL {
        rotation.take(step).await.expect("done");
    }
    assert!(rotation.scene.world.login.members().is_empty());
    assert!(rotation.opens(&rotation.current()));
}

#[tokio::test(start_paused = true)]
async fn the_second_rotation_goes_back_to_the_first_user() {
    let rotation = Rotation::of(APP).await;
    for step in ALL {
        rotation.take(step).await.expect("done");
    }
    let token = "33333333-3333-3333-3333-333333333333";
    rotation.scene.world.secrets.set(APP, token, &[Stage::Pending], None);
    let before = rotation.current();
    for step in ALL {
        rotation.take_as(step, token).await.expect("done");
    }
    assert_eq!(rotation.current().username(), Ok("app"));
    assert!(rotation.opens(&before));
}

#[tokio::test(start_paused = true)]
async fn a_pending_version_for_another_host_or_user_never_reaches_a_database() {
    for (secret, wrong) in [(APP, "host"), (APP, "user"), (BATCH, "host"), (BATCH, "user")] {
        let rotation = Rotation::of(secret).await;
        rotation.take(Name::CreateSecret).await.expect("done");
        let pending = rotation.pending();
        let (value, why) = match wrong {
            "host" => (pending.at(&common::endpoint("evil.test")), "another host"),
            _ => (pending.with_username("postgres"), "another user"),
        };
        rotation.set_pending(value);
        let logins = rotation.scene.world.calls.count("login:Login");
        refused(rotation.take(Name::SetSecret).await, why);
        assert!(rotation.scene.world.login.changes().is_empty());
        assert_eq!(rotation.scene.world.calls.count("login:Login"), logins, "nobody logged in with it");
    }
}

#[tokio::test(start_paused = true)]
async fn the_previous_password_is_tried_where_the_database_is_behind() {
    let rotation = Rotation::of(BATCH).await;
    let behind = rotation.current();
    // AWSCURRENT was put by hand and never reached the database.
    let ahead = behind.with_password("never set");
    rotation.scene.world.secrets.set(BATCH, "44444444-4444-4444-4444-444444444444", &[Stage::Current], Some(ahead));
    for step in ALL {
        rotation.take(step).await.expect("done");
    }
    assert!(rotation.opens(&rotation.current()) && !rotation.opens(&behind));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_does_not_open_its_database_is_not_rotated() {
    for secret in [APP, BATCH] {
        let rotation = Rotation::of(secret).await;
        rotation.take(Name::CreateSecret).await.expect("done");
        rotation.scene.world.login.set_password(HOST, rotation.current().username().expect("a user"), "somebody else's");
        refused(rotation.take(Name::SetSecret).await, "the secret and the database disagree");
        assert!(rotation.scene.world.login.changes().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_admin_that_is_missing_or_elsewhere_is_refused_with_the_remedy() {
    let rotation = Rotation::of(APP).await;
    rotation.take(Name::CreateSecret).await.expect("done");
    let admin = rotation.scene.current("shop/admin");
    let version = "55555555-5555-5555-5555-555555555555";
    rotation.scene.world.secrets.set("shop/admin", version, &[Stage::Current], Some(admin.at(&common::endpoint("orders.primary.rds.test"))));
    refused(rotation.take(Name::SetSecret).await, "the admin's secret is for another host");
    rotation.scene.world.secrets.lose("shop/admin");
    refused(rotation.take(Name::SetSecret).await, "`masterarn` names no secret");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_database_is_told_apart_from_a_wrong_password() {
    let rotation = Rotation::of(APP).await;
    rotation.take(Name::CreateSecret).await.expect("done");
    rotation.scene.world.login.set_unreachable(HOST, true);
    refused(rotation.take(Name::SetSecret).await, "cannot be reached");
    rotation.scene.world.login.set_unreachable(HOST, false);
    rotation.take(Name::SetSecret).await.expect("done");
}
