//! One service, one group, and a run in any phase.

use std::time::Duration;

use jiff::SignedDuration;
use relight::nudge::NudgeError;
use relight::plan::{InstancesDistribution, ProviderShare};
use relight::ports::{GroupState, ServiceState};
use relight::run::{Mode, Phase, Run, RunId, Words};
use relight::say::Answer;
use relight::state::{CapacityProgress, CapacityStep, Head, Key, Place};
use relight_world::World;
use relight_world::compute::ComputeWorld;
use scale_up::ScaleUp;
use serde_json::json;

pub(crate) const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"

[[service]]
cluster = "shop"
name = "web"
desired = 4
scaling = { min = 3, max = 12 }
capacity_providers = [{ provider = "FARGATE" }]

[[group]]
name = "workers"
min = 2
desired = 3
max = 6
instances = { on_demand_base = 1, on_demand_percentage_above_base = 100 }

[traffic]
record = "www.shop.example"
standby = "standby.shop.example"
stop_bucket = "stop"
healthy_url = "https://standby.shop.example/health"

[[observer]]
name = "watcher"
kind = "probe"
url = "https://primary.shop.example/health"
"#;

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) scale_up: ScaleUp<ComputeWorld>,
}

impl Scene {
    /// A pilot light in peace.
    pub(crate) fn peace() -> Scene {
        let world = World::with_plan(PLAN);
        Scene { scale_up: ScaleUp::new(world.compute.clone()), world }
    }

    pub(crate) fn run(mode: Mode, phase: Phase) -> Scene {
        let scene = Scene::peace();
        scene.enter(mode, phase);
        scene
    }

    /// No run is open, and the standby serves.
    pub(crate) fn serving() -> Scene {
        let scene = Scene::run(Mode::Failover, Phase::Active);
        scene.set_head(|head| head.serving = Place::Standby);
        scene
    }

    pub(crate) fn enter(&self, mode: Mode, phase: Phase) {
        let now = self.world.now();
        self.set_head(|head| {
            let opened_at = head.run.as_ref().map_or(now, |run| run.opened_at);
            head.run = Some(Run {
                id: RunId::new(Mode::Failover, opened_at),
                mode,
                phase,
                plan_version: 1,
                opened_at,
                phase_since: now,
                cause: "a test".to_owned(),
                first_down: Some(opened_at),
                confirmed_at: None,
                committed_at: None,
                ended_at: None,
                was_drill: false,
                was_failback: false,
                came_home_at: None,
                words: Words::default(),
            });
        });
    }

    pub(crate) fn set_head(&self, change: impl FnOnce(&mut Head)) {
        let mut head = self.world.journal.snapshot().head;
        change(&mut head);
        self.world.journal.set(Key::Head, serde_json::to_value(head).expect("a head is JSON"));
    }

    /// One invocation with all of Lambda's time.
    pub(crate) async fn nudge(&mut self) -> Answer {
        self.try_nudge().await.expect("a nudge that works")
    }

    pub(crate) async fn try_nudge(&mut self) -> Result<Answer, NudgeError> {
        self.world.nudge(&mut self.scale_up, json!({ "relight": "tick" })).await
    }

    /// One invocation that may not keep polling.
    pub(crate) async fn tick(&mut self) -> Answer {
        self.world.tick(&mut self.scale_up).await.expect("a tick that works")
    }

    pub(crate) async fn wait(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    pub(crate) fn service(&self) -> ServiceState {
        self.world.compute.service("shop", "web").expect("the world has the service")
    }

    pub(crate) fn group(&self) -> GroupState {
        self.world.compute.group("workers").expect("the world has the group")
    }

    pub(crate) fn progress(&self) -> CapacityProgress {
        self.world.journal.snapshot().progress.capacity
    }

    pub(crate) fn step(&self, id: &str) -> CapacityStep {
        let found = self.progress().resources.into_iter().find(|(held, _)| held.0 == id);
        found.unwrap_or_else(|| panic!("no step of {id}")).1
    }

    pub(crate) fn history(&self) -> Vec<String> {
        let run = self.world.journal.snapshot().head.run.expect("a run");
        self.world.journal.sentences(&run.id)
    }

    /// How often anything was asked to change its size.
    pub(crate) fn resizes(&self) -> usize {
        let operations = ["application-autoscaling:RegisterScalableTarget", "ecs:UpdateService", "autoscaling:UpdateAutoScalingGroup"];
        operations.iter().map(|operation| self.world.calls.count(operation)).sum()
    }
}

pub(crate) fn fargate() -> Vec<ProviderShare> {
    vec![ProviderShare { provider: "FARGATE".to_owned(), weight: 1, base: 0 }]
}

pub(crate) fn on_demand() -> Option<InstancesDistribution> {
    Some(InstancesDistribution { on_demand_base: 1, on_demand_percentage_above_base: 100 })
}

pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);
