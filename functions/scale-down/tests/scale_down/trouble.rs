//! What is deleted, stuck, denied or never answered meanwhile.

use std::collections::BTreeSet;

use relight::ports::{CallError, Compute, Found, GroupName, GroupState, Resize, ServiceName, ServiceState, Setback};
use relight::run::{Mode, Phase, Step};
use relight::state::Key;
use relight_world::compute::ComputeWorld;
use relight_world::journal::MemoryJournal;
use relight_world::{Fault, World};
use scale_down::ScaleDown;

use crate::scene::Scene;

#[tokio::test(start_paused = true)]
async fn a_resource_that_was_deleted_is_dropped_with_a_sentence_after_a_second_look() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    scene.world.compute.lose_service("shop", "web");
    scene.tick().await;
    assert!(scene.snapshot().baseline.keys().any(|id| id.0 == "service/shop/web"), "one look may be wrong");
    let answer = scene.nudge().await;
    assert!(answer.said.iter().any(|said| said.starts_with("was deleted meanwhile")), "{:?}", answer.said);
    assert!(scene.snapshot().baseline.is_empty());
    assert_eq!(scene.standing().group, scene.before.group);
    assert_eq!(scene.phase(), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn capacity_that_does_not_go_keeps_the_run_open_and_is_said() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    scene.world.compute.change_group("workers", |state| state.suspended = ["Terminate".to_owned()].into());
    scene.nudge().await;
    let answer = scene.nudge().await;
    assert_eq!(scene.phase(), Phase::Restoring);
    assert!(answer.said.iter().any(|said| said.contains("--scaling-processes Terminate")), "{:?}", answer.said);
    assert_eq!(scene.snapshot().baseline.len(), 1, "the service is given back all the same");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_run_its_baseline_does_not_keep_a_drill_open() {
    let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
    scene.world.compute.room_for_tasks("shop", "web", Some(0));
    scene.nudge().await;
    assert_eq!(scene.phase(), Phase::Restoring, "AWS is given time");
    scene.nudge().await;
    assert_eq!((scene.phase(), scene.service().desired, scene.service().running), (Phase::Closed, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn each_call_that_fails_once_leads_to_the_same_end() {
    for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer] {
        for n in 0.. {
            let mut scene = Scene::raised(Mode::Drill, Phase::Restoring).await;
            scene.make_copy("shop", true).await;
            scene.make_secret(true).await;
            scene.world.calls.fault_at(n, fault);
            // A failed nudge is made again by Lambda; a lease left behind by it runs out.
            for _ in 0..3 {
                let _failed = scene.try_nudge().await;
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            }
            if scene.world.calls.fault_is_pending() {
                assert!(n > 10, "the loop met only {n} calls");
                break;
            }
            let when = format!("{fault:?} at call {n}");
            scene.expect_restored(&when);
            assert_eq!(scene.phase(), Phase::Closed, "{when}");
        }
    }
}

/// A Region in which a failover begins right after scale-down has looked.
struct Meanwhile {
    inner: ComputeWorld,
    journal: MemoryJournal,
    world: World,
}

impl Compute for Meanwhile {
    async fn services(&self, names: &[ServiceName]) -> Found<ServiceName, ServiceState> {
        let found = self.inner.services(names).await;
        let mut head = self.journal.snapshot().head;
        if let Some(run) = head.run.as_mut().filter(|run| run.phase == Phase::StoodDown) {
            run.step(Step::Suspect, self.world.now()).expect("a legal step");
            self.journal.set(Key::Head, serde_json::to_value(head).expect("a head is JSON"));
        }
        found
    }

    async fn groups(&self, names: &[GroupName]) -> Found<GroupName, GroupState> {
        self.inner.groups(names).await
    }

    async fn failed_launch(&self, group: &GroupName) -> Result<Option<Setback>, CallError> {
        self.inner.failed_launch(group).await
    }

    async fn capacity_providers(&self, cluster: &str) -> Result<Option<BTreeSet<String>>, CallError> {
        self.inner.capacity_providers(cluster).await
    }

    async fn resize(&self, resize: &Resize) -> Result<(), CallError> {
        self.inner.resize(resize).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_baseline_is_not_freed_when_a_run_begins_between_the_look_and_the_write() {
    let scene = Scene::raised(Mode::Failover, Phase::StoodDown).await;
    // All is as before: the next look would free the baseline.
    scene.world.compute.change_service("shop", "web", |state| *state = scene.before.service.clone().expect("a service"));
    scene.world.compute.change_group("workers", |state| *state = scene.before.group.clone().expect("a group"));
    let compute = Meanwhile { inner: scene.world.compute.clone(), journal: scene.world.journal.clone(), world: scene.world.clone() };
    let mut scale_down = ScaleDown { compute, database: scene.world.database.clone(), secrets: scene.world.secrets.clone() };
    scene.world.tick(&mut scale_down).await.expect("a tick that works");
    assert_eq!(scene.phase(), Phase::Suspected);
    assert_eq!(scene.snapshot().baseline.len(), 2, "else the run would take the raised size for the baseline");
    assert!(scene.snapshot().obligations.contains_key("capacity"));
}
