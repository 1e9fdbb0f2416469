#![allow(dead_code)] // Each test file uses its own part of it.

//! A world with one database and three secrets: the admin's, one of two alternating users, one of a single user.

pub(crate) mod rotation;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use relight::plan::Engine;
use relight::ports::{CopyId, CopyOf, Database, Instance, ReplicaId, Stage};
use relight::run::{Mode, Phase, Run, RunId, Said, Words};
use relight::secret::SecretValue;
use relight::state::{
    CopyComparison, CopyStep, DatabaseStep, Endpoint, Head, Key, OfRun, Part, Place, PromotionProgress, RotationProgress, SecretStep, Snapshot,
};
use relight_world::World;
use relight_world::database::DatabaseWorld;
use relight_world::login::LoginWorld;
use relight_world::reports::ReportsWorld;
use relight_world::secrets::SecretsWorld;
use rotate_secret::{RotateSecret, steps};
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

[[secret]]
name = "shop/app"
database = "orders"
admin = "shop/admin"

[[secret]]
name = "shop/admin"
database = "orders"
rotate = false

[[secret]]
name = "shop/batch"
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
"#;

pub(crate) const SECRETS: [&str; 3] = ["shop/app", "shop/admin", "shop/batch"];
pub(crate) const HOST: &str = "orders-replica.standby.rds.test";

pub(crate) type Work = RotateSecret<SecretsWorld, LoginWorld, DatabaseWorld, ReportsWorld>;

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) work: Work,
}

impl Scene {
    /// No run is open.
    pub(crate) fn peace() -> Scene {
        Scene::peace_with(PLAN)
    }

    pub(crate) fn peace_with(plan: &str) -> Scene {
        let world = World::with_plan(plan);
        let work = RotateSecret::new(world.secrets.clone(), world.login.clone(), world.database.clone(), world.reports.clone());
        Scene { world, work }
    }

    /// A failover past its point of no return, with the database promoted.
    pub(crate) fn promoted() -> Scene {
        let scene = Scene::activating();
        scene.promote();
        scene
    }

    /// The same of a plan and secrets of this engine.
    pub(crate) fn promoted_of(engine: Engine) -> Scene {
        let scene = Scene::activating_with(&PLAN.replace("engine = \"postgres\"", &format!("engine = \"{}\"", engine.as_str())));
        scene.promote();
        scene
    }

    /// A failover past its point of no return, with nothing promoted yet.
    pub(crate) fn activating() -> Scene {
        Scene::activating_with(PLAN)
    }

    pub(crate) fn activating_with(plan: &str) -> Scene {
        let scene = Scene::peace_with(plan);
        scene.open(Mode::Failover, Phase::Activating);
        scene
    }

    /// A drill whose copy is promoted.
    pub(crate) async fn rehearsing() -> Scene {
        let scene = Scene::peace();
        scene.open(Mode::Drill, Phase::Activating);
        scene.promote_copy().await;
        scene
    }

    /// A drill whose copy is there, and is to be compared before it is promoted.
    pub(crate) async fn comparing() -> Scene {
        Scene::comparing_with(PLAN).await
    }

    pub(crate) async fn comparing_with(plan: &str) -> Scene {
        let scene = Scene::peace_with(plan);
        scene.open(Mode::Drill, Phase::Activating);
        let copy = scene.create_copy().await;
        scene.say_copied(copy);
        scene
    }

    pub(crate) fn open(&self, mode: Mode, phase: Phase) {
        let now = self.world.now();
        let failover = mode == Mode::Failover;
        let run = Run {
            id: RunId::new(mode, now),
            mode,
            phase,
            plan_version: 1,
            opened_at: now,
            phase_since: now,
            cause: "a test".to_owned(),
            first_down: failover.then_some(now),
            confirmed_at: failover.then_some(now),
            committed_at: failover.then_some(now),
            ended_at: None,
            was_drill: false,
            was_failback: false,
            came_home_at: None,
            words: Words { failover: failover.then(|| Said { by: "ada".to_owned(), at: now }), ..Words::default() },
        };
        let serving = if failover { Place::Standby } else { Place::Primary };
        self.world.journal.set(Key::Head, json!(Head { serving, run: Some(run), plan_version: 1, ..Head::default() }));
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Head)) {
        let mut head = self.snapshot().head;
        change(&mut head);
        self.world.journal.set(Key::Head, json!(head));
    }

    /// promote-replica has done its part.
    pub(crate) fn promote(&self) {
        self.world.database.change("orders-replica", |instance: &mut Instance| {
            instance.source = None;
            instance.replication.clear();
        });
        self.say_promoted();
    }

    /// The journal says so, whatever the database is.
    pub(crate) fn say_promoted(&self) {
        let step = DatabaseStep { promoted_at: Some(self.world.now()), endpoint: Some(endpoint(HOST)), ..DatabaseStep::default() };
        let progress = PromotionProgress { databases: [("orders".to_owned(), step)].into(), ..PromotionProgress::default() };
        self.world.journal.set(Key::Progress(Part::Promotion), json!(OfRun { run: self.run().id, progress }));
    }

    async fn create_copy(&self) -> CopyStep {
        let run = self.run().id;
        let copy = CopyId::of("shop", &run, "orders");
        let plan = relight::plan::Plan::stored(PLAN).expect("a plan");
        let source = ReplicaId::of(&plan.databases[0]);
        let of = CopyOf { source: &source, security_groups: &[], plan: "shop", run: &run };
        self.world.database.create_copy(&copy, &of).await.expect("a copy");
        tokio::time::sleep(Duration::from_secs(120)).await;
        let endpoint = self.world.database.instance(copy.as_str()).expect("there").endpoint;
        CopyStep { instance: copy.to_string(), available_at: Some(self.world.now()), endpoint, ..CopyStep::default() }
    }

    async fn promote_copy(&self) {
        let made = self.create_copy().await;
        let copy = CopyId::named(&made.instance).expect("a copy's name");
        self.world.database.promote_copy(&copy).await.expect("a promotion");
        tokio::time::sleep(Duration::from_secs(120)).await;
        self.say_copied(CopyStep { promoted_at: Some(self.world.now()), ..made });
    }

    /// The journal says so, whatever the copy is.
    pub(crate) fn say_copied(&self, step: CopyStep) {
        let progress = PromotionProgress { copies: [("orders".to_owned(), step)].into(), ..PromotionProgress::default() };
        self.world.journal.set(Key::Progress(Part::Promotion), json!(OfRun { run: self.run().id, progress }));
    }

    pub(crate) fn compared(&self) -> Option<CopyComparison> {
        self.rotation().rehearsal.compared.get("orders").cloned()
    }

    pub(crate) fn copy(&self) -> CopyStep {
        self.snapshot().progress.promotion.copies["orders"].clone()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.world.journal.snapshot()
    }

    pub(crate) fn run(&self) -> Run {
        self.snapshot().head.run.expect("a run")
    }

    pub(crate) fn rotation(&self) -> RotationProgress {
        self.snapshot().progress.rotation
    }

    pub(crate) fn step(&self, secret: &str) -> SecretStep {
        self.rotation().secrets.get(secret).cloned().unwrap_or_default()
    }

    pub(crate) fn rehearsed(&self, secret: &str) -> SecretStep {
        self.rotation().rehearsal.secrets.get(secret).cloned().unwrap_or_default()
    }

    pub(crate) fn current(&self, secret: &str) -> SecretValue {
        self.world.secrets.read(secret, Stage::Current).expect("a current version")
    }

    pub(crate) fn sentences(&self) -> Vec<String> {
        self.world.journal.sentences(&self.run().id)
    }

    #[track_caller]
    pub(crate) fn expect_said(&self, part: &str) {
        let sentences = self.sentences();
        assert!(sentences.iter().any(|sentence| sentence.contains(part)), "nobody said `{part}`: {sentences:#?}");
    }

    /// One invocation with Lambda's time. It may fail: what it could not write, the next one does.
    pub(crate) async fn nudge(&mut self) {
        let _answer = self.world.nudge(&mut self.work, json!({ "relight": "tick" })).await;
    }

    /// One invocation while Secrets Manager calls the real function back for every rotation.
    pub(crate) async fn nudge_with_steps(&mut self) {
        let (secrets, login) = (self.world.secrets.clone(), self.world.login.clone());
        let rotate = async {
            loop {
                tokio::time::sleep(Duration::from_millis(300)).await;
                for step in secrets.steps() {
                    let _called_again_if_it_failed = steps::take(&secrets, &login, &step).await;
                }
            }
        };
        tokio::select! {
            () = self.nudge() => {}
            () = rotate => {}
        }
    }

    /// Ticks without polling, a minute apart.
    pub(crate) async fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            let _answer = self.world.tick(&mut self.work).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}

pub(crate) fn endpoint(host: &str) -> Endpoint {
    Endpoint { host: host.to_owned(), port: 5432 }
}

pub(crate) fn later(at: Timestamp, minutes: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_mins(minutes)).expect("a time")
}
