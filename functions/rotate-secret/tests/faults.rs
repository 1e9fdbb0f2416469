//! Each call failing once, in each way, and a crash before and after each write: the end is the same.
//!
//! A write whose answer is lost is a crash after it: the invocation ends there, and the next one finds what was written.

mod common;

use common::Scene;
use relight::event::RotationStep;
use relight::ports::Stage;
use relight::state::SecretStep;
use relight_world::Fault;
use rotate_secret::steps;

const FAULTS: [Fault; 3] = [Fault::Throttled, Fault::Silence, Fault::LostAnswer];

/// What is the same in the end, whatever the times and the passwords were.
#[derive(Debug, PartialEq)]
struct End {
    proven: usize,
    secrets: Vec<(String, String, String, bool, usize)>,
    steps: Vec<(String, [bool; 5])>,
    obligations: Vec<String>,
}

fn end(scene: &Scene) -> End {
    let rotation = scene.rotation();
    let flags = |step: &SecretStep| {
        let SecretStep { repointed_at, rotation_called_at, rotated_at, tested_at, failed, .. } = step;
        [repointed_at.is_some(), rotation_called_at.is_some(), rotated_at.is_some(), tested_at.is_some(), failed.is_some()]
    };
    let all = rotation.secrets.iter().chain(&rotation.rehearsal.secrets);
    End {
        proven: rotation.proven.len() + rotation.rehearsal.proven.len(),
        steps: all.map(|(name, step)| (name.clone(), flags(step))).collect(),
        secrets: scene
            .world
            .secrets
            .names()
            .into_iter()
            .map(|name| {
                let value = scene.current(&name);
                let (host, user) = (value.endpoint().expect("a host").host, value.username().expect("a user").to_owned());
                let versions = scene.world.secrets.seen(&name).expect("there").stages.len();
                (name, host, user, scene.world.login.opens(&value), versions)
            })
            .collect(),
        obligations: scene.snapshot().obligations.into_keys().collect(),
    }
}

async fn to_the_end(scene: &mut Scene) {
    for _ in 0..4 {
        scene.nudge().await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_ends_the_same_whichever_call_fails_once() {
    let mut undisturbed = Scene::promoted();
    to_the_end(&mut undisturbed).await;
    let expected = end(&undisturbed);
    assert!(expected.steps.iter().all(|(_, [repointed, _, _, tested, failed])| *repointed && *tested && !failed), "{expected:?}");

    let mut met = 0;
    for fault in FAULTS {
        for n in 0.. {
            let mut scene = Scene::promoted();
            scene.world.calls.fault_at(n, fault);
            to_the_end(&mut scene).await;
            if scene.world.calls.fault_is_pending() {
                break;
            }
            met += 1;
            assert_eq!(end(&scene), expected, "{fault:?} at call {n}: {:?}", scene.world.calls.log()[n]);
        }
    }
    assert!(met > 100, "only {met} faults were met");
}

#[tokio::test(start_paused = true)]
async fn a_drill_ends_the_same_whichever_call_fails_once() {
    let mut undisturbed = Scene::rehearsing().await;
    to_the_end(&mut undisturbed).await;
    let expected = end(&undisturbed);
    assert_eq!(expected.obligations.len(), 3);
    assert!(expected.steps.iter().all(|(_, [repointed, _, _, tested, failed])| *repointed && *tested && !failed), "{expected:?}");

    let mut met = 0;
    for fault in FAULTS {
        for n in 0.. {
            let mut scene = Scene::rehearsing().await;
            let before = scene.world.calls.log().len();
            scene.world.calls.fault_at(n, fault);
            to_the_end(&mut scene).await;
            if scene.world.calls.fault_is_pending() {
                break;
            }
            met += 1;
            assert_eq!(end(&scene), expected, "{fault:?} at call {n}: {:?}", scene.world.calls.log()[before + n]);
        }
    }
    assert!(met > 100, "only {met} faults were met");
}

/// The four steps as Secrets Manager calls them: again after a failure, from the first one on.
async fn rotation(scene: &Scene, steps: &[RotationStep]) {
    for _attempt in 0..5 {
        let mut done = true;
        for step in steps {
            done &= steps::take(&scene.world.secrets, &scene.world.login, step).await.is_ok();
            if !done {
                break;
            }
        }
        if done {
            return;
        }
    }
    panic!("the rotation never ended");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_ends_the_same_whichever_call_fails_once() {
    for secret in ["shop/app", "shop/batch"] {
        let mut met = 0;
        for fault in FAULTS {
            for n in 0.. {
                let mut scene = Scene::promoted();
                scene.world.secrets.rotated_by(relight_world::secrets::RotatedBy::Test);
                scene.ticks(1).await;
                let steps: Vec<_> = scene.world.secrets.steps();
                let arn = scene.world.secrets.arn(secret);
                let steps: Vec<_> = steps.into_iter().filter(|step| step.secret_id == arn).collect();
                assert_eq!(steps.len(), 4);
                let before = scene.current(secret);
                scene.world.calls.fault_at(n, fault);
                rotation(&scene, &steps).await;
                if scene.world.calls.fault_is_pending() {
                    break;
                }
                met += 1;
                let after = scene.current(secret);
                assert!(after.password() != before.password(), "{fault:?} at call {n}");
                assert!(scene.world.login.opens(&after), "{fault:?} at call {n}");
                let previous = scene.world.secrets.read(secret, Stage::Previous).expect("a previous version");
                assert_eq!(scene.world.login.opens(&previous), secret == "shop/app", "alternating users alone keep the one in hand");
            }
        }
        assert!(met > 30, "only {met} faults were met");
    }
}
