//! The contract of a rotation function for PostgreSQL, MySQL and MariaDB as a table: what may be the matter, which step comes, what comes of it.
//!
//! It is at least as wide as what AWS's own functions for a single user and for alternating users are publicly known to do,
//! written down from their behaviour. Where Relight does otherwise the row says so. Each row is asked twice: a step that was
//! done is done again without doing anything, one that was refused is refused in the same words. And whatever comes, the
//! version that applications read is as good as before, a refusal changes nothing, and a version keeps all that is not its
//! user and password.

#[path = "../common/mod.rs"]
mod common;
mod rows;
mod tls;

use common::rotation::{ADMIN, APP, BATCH, Rotation, edited};
use relight::event::{RotationStepName as Name, parse};
use relight::plan::Engine;
use relight::ports::{Described, Stage};
use relight::secret::SecretValue;
use rows::{Comes, Row, Users};
use serde_json::json;

/// Everything that a step could change.
#[derive(Debug, PartialEq)]
struct World {
    described: Vec<Option<Described>>,
    values: Vec<Option<SecretValue>>,
    changes: usize,
}

fn world(rotation: &Rotation) -> World {
    let secrets = &rotation.scene.world.secrets;
    let all = [rotation.secret, ADMIN];
    World {
        described: all.iter().map(|secret| secrets.seen(secret)).collect(),
        values: all.iter().flat_map(|secret| Stage::BY_LIKELIHOOD.map(|stage| secrets.read(secret, stage))).collect(),
        changes: rotation.scene.world.login.changes().len(),
    }
}

/// All of a value but its user and its password.
fn rest(value: &SecretValue) -> SecretValue {
    edited(value, |fields| fields.retain(|key, _| key != "username" && key != "password"))
}

async fn judge(row: Row, engine: Engine, users: Users, step: Name) {
    let secret = if users == Users::Alternating { APP } else { BATCH };
    let mut rotation = Rotation::of_engine(secret, engine).await;
    for before in row.after {
        rotation.take(*before).await.expect("what came before was done");
    }
    (row.given)(&mut rotation);
    let name = format!("{}, {engine:?}, {users:?}, {step:?}", row.situation);
    let current = rotation.scene.world.secrets.read(secret, Stage::Current);
    let opened = current.as_ref().is_some_and(|current| rotation.opens(current));
    let before = world(&rotation);

    let answer = rotation.take(step).await;
    let after = world(&rotation);
    let again = rotation.take(step).await;
    assert_eq!(world(&rotation), after, "{name}: the second time changes something");
    let said = answer.as_ref().map_or_else(ToString::to_string, Clone::clone) + &again.as_ref().map_or_else(ToString::to_string, Clone::clone);
    assert!(rotation.scene.world.login.passwords().iter().all(|password| !said.contains(password.as_str())), "{name}: a password is shown");

    match (row.comes, answer) {
        (Comes::Done(part), Ok(said)) => {
            assert!(said.contains(part), "{name}: {said}");
            assert!(again.is_ok(), "{name}: the second time: {again:?}");
        }
        (Comes::Refused(part), Err(error)) => {
            assert!(error.to_string().contains(part), "{name}: {error}");
            assert_eq!(again.expect_err("refused again").to_string(), error.to_string(), "{name}");
            assert_eq!(after, before, "{name}: a refusal changes something");
        }
        (Comes::Done(_), Err(error)) => panic!("{name}: {error}"),
        (Comes::Refused(part), Ok(said)) => panic!("{name}: not refused for `{part}`: {said}"),
    }
    // With a single user there is the window from setSecret to finishSecret, and nowhere else.
    let in_the_window = users == Users::Single && matches!(step, Name::SetSecret | Name::TestSecret);
    let reads = rotation.scene.world.secrets.read(secret, Stage::Current);
    assert!(!opened || in_the_window || reads.as_ref().is_some_and(|reads| rotation.opens(reads)), "{name}: applications are refused");
    if step == Name::CreateSecret && matches!(row.comes, Comes::Done(part) if part == rows::NEW_PASSWORD) {
        assert_eq!(Some(rest(&rotation.pending())), current.as_ref().map(rest), "{name}: something is lost");
    }
    (row.then)(&rotation);
}

#[tokio::test(start_paused = true)]
async fn each_situation_and_step_comes_to_what_the_table_says() {
    let asked = rows::all().flat_map(|row| row.users.iter().flat_map(move |users| row.steps.iter().map(move |step| (row, *users, *step))));
    let asked = asked.flat_map(|(row, users, step)| row.engines.iter().map(move |engine| (row, *engine, users, step)));
    let mut judged = 0;
    let judging = async {
        let mut wrong = Vec::new();
        for (row, engine, users, step) in asked {
            judged += 1;
            // A task each: one row that is wrong does not hide the others.
            if tokio::task::spawn_local(judge(row, engine, users, step)).await.is_err() {
                wrong.push(format!("{}, {engine:?}, {users:?}, {step:?}", row.situation));
            }
        }
        wrong
    };
    let wrong = tokio::task::LocalSet::new().run_until(judging).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(judged > 450, "only {judged} were judged");
}

#[test]
fn a_call_that_is_no_step_of_a_rotation_is_not_parsed_as_one() {
    let good = json!({ "Step": "createSecret", "SecretId": "arn", "ClientRequestToken": "f6a1c1de-7a52-4f6e-8d0c-3b1f2d9a5e77" });
    assert_eq!((parse(&good).triggers.len(), parse(&good).unreadable.len()), (1, 0));
    for (key, value) in [("Step", json!("dropSecret")), ("Step", json!("CreateSecret")), ("SecretId", json!(null)), ("ClientRequestToken", json!(7))]
    {
        let mut bad = good.clone();
        bad[key] = value;
        let parsed = parse(&bad);
        assert_eq!((parsed.triggers.len(), parsed.unreadable.len()), (0, 1), "{bad}");
    }
}
