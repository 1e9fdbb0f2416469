#![allow(dead_code)] // Each test file uses its own part of it.

//! A world with two databases, brought to the phase that a test begins in.

use jiff::{SignedDuration, Timestamp};
use promote_replica::PromoteReplica;
use relight::run::{Mode, Phase, Run, RunId, Said, Step, Words};
use relight::state::{
    CopyComparison, Head, Key, OfRun, Part, Place, PromotionProgress, RehearsalProgress, RotationProgress, Snapshot, TrafficProgress,
};
use relight_world::World;
use relight_world::database::DatabaseWorld;
use serde_json::json;

pub(crate) const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"

[[database]]
name = "orders"
engine = "postgres"
primary = "orders"
replica = "orders-replica"
instance_class = "db.r6g.large"

[[database]]
name = "users"
engine = "postgres"
primary = "users"
replica = "users-replica"

[[secret]]
name = "orders-app"
database = "orders"
users = "single"

[traffic]
record = "shop.test"
standby = "standby.shop.test"
stop_bucket = "shop-stop"
healthy_url = "http://standby.shop.test/healthy"

[[observer]]
name = "probe"
kind = "probe"
url = "http://primary.shop.test/healthy"

[[observer]]
name = "checkers"
kind = "checkers"
record = "checkers.shop.test"
health_check = "check"
"#;

/// The plan, with all that may be asked of the second database beside its class, and a proxy before it.
pub(crate) fn with_settings() -> String {
    let keys =
        "replica = \"users-replica\"\nmulti_az = true\nparameter_group = \"users-serving\"\ndeletion_protection = true\nproxy = \"users-proxy\"";
    PLAN.replace("replica = \"users-replica\"", keys)
}

/// The plan with an Aurora global database in the place of the first replica; `class` is what it names for a first instance.
pub(crate) fn with_global(class: &str) -> String {
    PLAN.replace(
        "engine = \"postgres\"\nprimary = \"orders\"\nreplica = \"orders-replica\"\ninstance_class = \"db.r6g.large\"",
        &format!("engine = \"aurora-postgresql\"\nglobal_cluster = \"orders-global\"\nprimary = \"orders\"\nreplica = \"orders-standby\"\n{class}"),
    )
}

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) work: PromoteReplica<DatabaseWorld>,
}

impl Scene {
    pub(crate) fn new(mode: Mode, phase: Phase) -> Scene {
        Scene::with_plan(PLAN, mode, phase)
    }

    /// A run that the operator confirmed: so no observer's word is needed to keep it there.
    pub(crate) fn with_plan(plan: &str, mode: Mode, phase: Phase) -> Scene {
        let world = World::with_plan(plan);
        let now = world.now();
        let committed = mode == Mode::Failover && phase == Phase::Activating;
        let run = Run {
            id: RunId::new(mode, now),
            mode,
            phase,
            plan_version: 1,
            opened_at: now,
            phase_since: now,
            cause: "a test".to_owned(),
            first_down: (mode == Mode::Failover).then_some(now),
            confirmed_at: (mode == Mode::Failover).then_some(now),
            committed_at: committed.then_some(now),
            ended_at: None,
            was_drill: false,
            was_failback: false,
            came_home_at: None,
            words: Words { failover: (mode == Mode::Failover).then(|| said(now)), ..Words::default() },
        };
        let serving = if committed { Place::Standby } else { Place::Primary };
        let scene = Scene { work: PromoteReplica::new(world.database.clone()), world };
        scene.world.journal.set(Key::Head, json!(Head { serving, run: Some(run), plan_version: 1, ..Head::default() }));
        scene
    }

    /// Changes the open run as another function or the operator would.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Head)) {
        let mut head = self.snapshot().head;
        change(&mut head);
        self.world.journal.set(Key::Head, json!(head));
    }

    /// The primary fails in the middle of a drill: a quorum confirmed it, and the operator says so, too.
    pub(crate) fn turns_into_a_failover(&self) {
        let now = self.world.now();
        self.change(|head| {
            let run = head.run.as_mut().expect("a run");
            run.step(Step::RealFailure, now).expect("legal");
            run.step(Step::Confirm, now).expect("legal");
            (run.first_down, run.confirmed_at) = (Some(now), Some(now));
            run.words.failover = Some(said(now));
        });
    }

    /// The failover is over, and the standby serves.
    pub(crate) fn serves(&self) {
        let over = self.world.now();
        self.change(|head| {
            head.serving = Place::Standby;
            let run = head.run.as_mut().expect("a run");
            (run.phase, run.ended_at) = (Phase::Active, Some(over));
        });
    }

    pub(crate) fn say(&self, word: impl FnOnce(&mut Words, Said)) {
        let now = self.world.now();
        self.change(|head| word(&mut head.run.as_mut().expect("a run").words, said(now)));
    }

    /// switch-traffic has opened and rotate-secret has proven orders.
    pub(crate) fn others_are_done(&self) {
        let (run, now) = (self.run().id, self.world.now());
        let rotation = RotationProgress { proven: [("orders".to_owned(), now)].into(), ..RotationProgress::default() };
        let traffic = TrafficProgress { opened_at: Some(now), ..TrafficProgress::default() };
        self.world.journal.set(Key::Progress(Part::Rotation), json!(OfRun { run: run.clone(), progress: rotation }));
        self.world.journal.set(Key::Progress(Part::Traffic), json!(OfRun { run, progress: traffic }));
    }

    /// rotate-secret has compared the copy of orders with its replica; users is opened by no secret.
    pub(crate) fn compared(&self) {
        let seen = CopyComparison { equal: Some(true), ended_at: Some(self.world.now()), ..CopyComparison::default() };
        let rehearsal = RehearsalProgress { compared: [("orders".to_owned(), seen)].into(), ..RehearsalProgress::default() };
        let progress = RotationProgress { rehearsal, ..RotationProgress::default() };
        self.world.journal.set(Key::Progress(Part::Rotation), json!(OfRun { run: self.run().id, progress }));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.world.journal.snapshot()
    }

    pub(crate) fn run(&self) -> Run {
        self.snapshot().head.run.expect("a run")
    }

    pub(crate) fn promotion(&self) -> PromotionProgress {
        self.snapshot().progress.promotion
    }

    pub(crate) fn sentences(&self) -> Vec<String> {
        self.world.journal.sentences(&self.run().id)
    }

    pub(crate) fn said(&self, part: &str) -> bool {
        self.sentences().iter().any(|sentence| sentence.contains(part))
    }

    /// One invocation with Lambda's time. A nudge may fail: what it could not write, the next one does.
    pub(crate) async fn nudge(&mut self) {
        let _answer = self.world.nudge(&mut self.work, json!({ "relight": "tick" })).await;
    }

    /// One invocation that gives up after `seconds`.
    pub(crate) async fn nudge_for(&mut self, seconds: u64) {
        let budget = std::time::Duration::from_secs(seconds);
        let _answer = self.world.nudge_within(&mut self.work, json!({ "relight": "tick" }), budget).await;
    }

    /// Ticks without polling, a minute apart.
    pub(crate) async fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            let _answer = self.world.tick(&mut self.work).await;
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        }
    }
}

pub(crate) fn said(at: Timestamp) -> Said {
    Said { by: "ada".to_owned(), at }
}

pub(crate) fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}
