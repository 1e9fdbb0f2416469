//! A standby that scale-up has raised, copies and secrets of a drill in it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use relight::nudge::NudgeError;
use relight::plan::Plan;
use relight::ports::{
    ClusterCopies, ClusterCopyOf, CopyId, CopyOf, Database, DisposableName, GroupState, ReplicaId, Secrets, ServiceState, SnapshotOf, Stage,
    StandbyCluster,
};
use relight::run::{Mode, Phase, Run, RunId, Words};
use relight::say::Answer;
use relight::state::{Head, Key, Obligation, Owed, Snapshot};
use relight_world::World;
use relight_world::compute::ComputeWorld;
use relight_world::database::DatabaseWorld;
use relight_world::secrets::SecretsWorld;
use scale_down::ScaleDown;
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
scaling = { min = 4, max = 12 }
capacity_providers = [{ provider = "FARGATE" }]

[[group]]
name = "workers"
min = 2
desired = 3
max = 6
instances = { on_demand_base = 1, on_demand_percentage_above_base = 100 }

[[database]]
name = "orders"
engine = "postgres"
primary = "orders-primary"
replica = "orders-replica"

[[secret]]
name = "shop/orders/app"
database = "orders"
users = "single"

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

/// The plan with an Aurora global database.
pub(crate) fn global_plan() -> String {
    PLAN.replace("engine = \"postgres\"", "engine = \"aurora-postgresql\"\nglobal_cluster = \"orders-global\"")
}

/// What stands in the standby Region.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    pub(crate) service: Option<ServiceState>,
    pub(crate) group: Option<GroupState>,
    pub(crate) instances: Vec<String>,
    /// Instances of copies that are clusters.
    pub(crate) members: Vec<String>,
    pub(crate) snapshots: Vec<String>,
    pub(crate) secrets: Vec<String>,
}

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) scale_down: ScaleDown<ComputeWorld, DatabaseWorld, SecretsWorld>,
    /// Before anything was touched.
    pub(crate) before: Standing,
}

impl Scene {
    /// Raised to the plan's active size by a run of this mode, which is now in `phase`.
    pub(crate) async fn raised(mode: Mode, phase: Phase) -> Scene {
        Scene::raised_from(mode, phase, |_| {}).await
    }

    pub(crate) async fn raised_from(mode: Mode, phase: Phase, pilot_light: impl FnOnce(&ComputeWorld)) -> Scene {
        Scene::raised_under(PLAN, mode, phase, pilot_light).await
    }

    pub(crate) async fn raised_under(plan: &str, mode: Mode, phase: Phase, pilot_light: impl FnOnce(&ComputeWorld)) -> Scene {
        let world = World::with_plan(plan);
        pilot_light(&world.compute);
        let scale_down = ScaleDown { compute: world.compute.clone(), database: world.database.clone(), secrets: world.secrets.clone() };
        let mut scene = Scene { before: standing(&world), scale_down, world };
        scene.enter(mode, if mode == Mode::Drill { Phase::Activating } else { Phase::Confirmed });
        let mut scale_up = ScaleUp::new(scene.world.compute.clone());
        scene.world.nudge(&mut scale_up, json!({ "relight": "tick" })).await.expect("scale-up works");
        assert_eq!(scene.service().running, 4);
        scene.enter(mode, phase);
        scene
    }

    pub(crate) fn enter(&mut self, mode: Mode, phase: Phase) {
        let now = self.world.now();
        self.set_head(|head| {
            let opened_at = head.run.as_ref().map_or(now, |run| run.opened_at);
            head.run = Some(Run {
                id: RunId::new(mode, opened_at),
                mode,
                phase,
                plan_version: 1,
                opened_at,
                phase_since: now,
                cause: "a test".to_owned(),
                first_down: None,
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
        let mut head = self.snapshot().head;
        change(&mut head);
        self.world.journal.set(Key::Head, serde_json::to_value(head).expect("a head is JSON"));
    }

    /// A copy that promote-replica made, owed or forgotten.
    pub(crate) async fn make_copy(&self, plan: &str, owed: bool) -> CopyId {
        self.make_copy_of("orders", plan, owed).await
    }

    pub(crate) async fn make_copy_of(&self, name: &str, plan: &str, owed: bool) -> CopyId {
        let run = self.snapshot().head.run.expect("a run").id;
        let copy = CopyId::of(plan, &run, name);
        let database = Plan::stored(PLAN).expect("a plan").databases.remove(0);
        let of = CopyOf { source: &ReplicaId::of(&database), security_groups: &["sg-database".to_owned()], plan, run: &run };
        self.world.database.create_copy(&copy, &of).await.expect("a copy");
        tokio::time::sleep(Duration::from_secs(90)).await;
        if owed {
            self.owe(Owed::Copy { instance: copy.to_string() });
        }
        copy
    }

    /// One that is restored from its snapshot, which is available; whether the restore was begun, too.
    pub(crate) async fn make_restored_copy(&self, plan: &str, restored: bool, owed: bool) -> CopyId {
        let run = self.snapshot().head.run.expect("a run").id;
        let copy = CopyId::of(plan, &run, "orders");
        let database = Plan::stored(PLAN).expect("a plan").databases.remove(0);
        let of = SnapshotOf { source: &ReplicaId::of(&database), plan, run: &run };
        self.world.database.snapshot_for_copy(&copy, &of).await.expect("a snapshot");
        tokio::time::sleep(Duration::from_secs(90)).await;
        if restored {
            self.world.database.restore_copy(&copy, &of).await.expect("a copy");
            tokio::time::sleep(Duration::from_secs(90)).await;
        }
        if owed {
            self.owe(Owed::Copy { instance: copy.to_string() });
        }
        copy
    }

    /// One of an Aurora secondary, of which `parts` were made: the snapshot, the cluster, its instance.
    pub(crate) async fn make_cluster_copy(&self, plan: &str, parts: usize, owed: bool) -> CopyId {
        let run = self.snapshot().head.run.expect("a run").id;
        let copy = CopyId::of(plan, &run, "orders");
        let of_plan = Plan::stored(&global_plan()).expect("a plan");
        let of = ClusterCopyOf { source: &StandbyCluster::of(&of_plan, &of_plan.databases[0]), plan, run: &run };
        let database = &self.world.database;
        for part in 0..parts {
            match part {
                0 => database.snapshot_cluster(&copy, &of).await.expect("a snapshot"),
                1 => database.restore_cluster(&copy, &of).await.expect("a cluster"),
                _ => database.add_copy_instance(&copy, "db.r6g.large", &of).await.expect("an instance"),
            }
            tokio::time::sleep(Duration::from_secs(90)).await;
        }
        if owed {
            self.owe(Owed::Cluster { cluster: copy.to_string() });
        }
        copy
    }

    /// A disposable secret that rotate-secret made, owed or forgotten.
    pub(crate) async fn make_secret(&self, owed: bool) -> String {
        let run = self.snapshot().head.run.expect("a run").id;
        let name = DisposableName::of("shop", &run, "shop/orders/app");
        let value = self.world.secrets.read("shop/orders/app", Stage::Current).expect("a value");
        self.world.secrets.create_disposable(&name, "00000000-0000-0000-0000-000000000009", &value).await.expect("a secret");
        if owed {
            self.owe(Owed::Secret { name: name.as_str().to_owned() });
        }
        name.as_str().to_owned()
    }

    /// Owed until three hours after the run was opened.
    pub(crate) fn owe(&self, what: Owed) {
        let run = self.snapshot().head.run.expect("a run");
        let owed = Obligation { run: run.id, what, made_at: self.world.now(), deadline: run.opened_at + SignedDuration::from_hours(3) };
        self.world.journal.set(Key::Obligation(owed.id()), serde_json::to_value(owed).expect("an obligation is JSON"));
    }

    pub(crate) async fn until(&self, moment: Timestamp) {
        let left = Duration::try_from(moment.duration_since(self.world.now())).unwrap_or_default();
        tokio::time::sleep(left + Duration::from_secs(1)).await;
    }

    pub(crate) async fn nudge(&mut self) -> Answer {
        self.try_nudge().await.expect("a nudge that works")
    }

    pub(crate) async fn try_nudge(&mut self) -> Result<Answer, NudgeError> {
        self.world.nudge(&mut self.scale_down, json!({ "relight": "tick" })).await
    }

    /// One invocation that may not keep polling, a minute after the last.
    pub(crate) async fn tick(&mut self) -> Answer {
        tokio::time::sleep(Duration::from_secs(60)).await;
        self.world.tick(&mut self.scale_down).await.expect("a tick that works")
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.world.journal.snapshot()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.snapshot().head.run.expect("a run").phase
    }

    pub(crate) fn service(&self) -> ServiceState {
        self.world.compute.service("shop", "web").expect("the world has the service")
    }

    pub(crate) fn standing(&self) -> Standing {
        standing(&self.world)
    }

    /// As it was before, with nothing owed.
    pub(crate) fn expect_restored(&self, when: &str) {
        assert_eq!(self.standing(), self.before, "{when}");
        let snapshot = self.snapshot();
        assert!(snapshot.baseline.is_empty() && snapshot.obligations.is_empty(), "{when}: {:?} {:?}", snapshot.baseline, snapshot.obligations);
    }
}

fn standing(world: &World) -> Standing {
    Standing {
        service: world.compute.service("shop", "web"),
        group: world.compute.group("workers"),
        instances: world.database.instances(),
        members: world.database.copy_members(),
        snapshots: world.database.copy_snapshots(),
        secrets: world.secrets.names(),
    }
}
