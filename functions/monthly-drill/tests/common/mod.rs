#![allow(dead_code)] // Each test file uses its own part of it.

//! A world in which only monthly-drill is at work; the test does the others' parts.

use std::time::Duration;

use jiff::SignedDuration;
use monthly_drill::MonthlyDrill;
use relight::nudge::View;
use relight::plan::Plan;
use relight::ports::Notice;
use relight::report::Report;
use relight::run::{Mode, Phase, Run, RunId, Words};
use relight::state::{
    CapacityProgress, CapacityStep, CopyStep, DrillProgress, Head, Key, OfRun, Part, Place, PromotionProgress, RestoreProgress, Snapshot,
};
use relight_world::World;
use relight_world::notices::MemoryNotices;
use relight_world::reports::{ReportsWorld, ValidateWorld};
use serde::Serialize;
use serde_json::json;

pub(crate) const SHOP: &str = "http://standby.shop.test/orders";
pub(crate) const CART: &str = "http://standby.shop.test/cart";

pub(crate) const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"

[[service]]
cluster = "shop"
name = "web"
desired = 4

[[database]]
name = "orders"
engine = "postgres"
primary = "orders"
replica = "orders-replica"

[traffic]
record = "shop.test"
standby = "standby.shop.test"
stop_bucket = "shop-stop"
healthy_url = "http://standby.shop.test/healthy"

[[observer]]
name = "probe"
kind = "probe"
url = "http://primary.shop.test/healthy"

[drill]
hold = "15m"
validate = ["http://standby.shop.test/orders", "http://standby.shop.test/cart"]
"#;

pub(crate) type Work = MonthlyDrill<ReportsWorld, ValidateWorld, MemoryNotices, MemoryNotices>;

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) work: Work,
}

impl Scene {
    pub(crate) fn peace() -> Scene {
        let world = World::with_plan(PLAN);
        Scene::of(world)
    }

    pub(crate) fn of(world: World) -> Scene {
        let work = MonthlyDrill {
            reports: world.reports.clone(),
            validate: world.validate.clone(),
            people: world.notices.clone(),
            audience: world.notices.clone(),
            stack: world.stack(),
        };
        Scene { world, work }
    }

    pub(crate) fn new(mode: Mode, phase: Phase) -> Scene {
        Scene::with_plan(PLAN, mode, phase)
    }

    pub(crate) fn with_plan(plan: &str, mode: Mode, phase: Phase) -> Scene {
        let scene = Scene::of(World::with_plan(plan));
        let now = scene.world.now();
        let run = Run {
            id: RunId::new(mode, now),
            mode,
            phase,
            plan_version: 1,
            opened_at: now,
            phase_since: now,
            cause: "a test".to_owned(),
            first_down: (mode == Mode::Failover).then_some(now),
            confirmed_at: None,
            committed_at: None,
            ended_at: (!phase.is_open()).then_some(now),
            was_drill: false,
            was_failback: false,
            came_home_at: None,
            words: Words::default(),
        };
        let serving = if phase == Phase::Active { Place::Standby } else { Place::Primary };
        scene.world.journal.set(Key::Head, json!(Head { serving, run: Some(run), plan_version: 1, ..Head::default() }));
        scene
    }

    /// Full capacity is there, and the promotion of the copy was rehearsed.
    pub(crate) fn others_are_ready(&self) {
        let now = self.world.now();
        let opened = self.run().opened_at;
        let step = CapacityStep { requested_at: Some(opened), reached_at: Some(now), running: 4, wanted: 4, said: String::new() };
        self.progress(Part::Capacity, CapacityProgress { resources: [(self.plan().services[0].id(), step)].into() });
        let copy = CopyStep { available_at: Some(opened), promote_called_at: Some(opened), promoted_at: Some(now), ..CopyStep::default() };
        self.progress(Part::Promotion, PromotionProgress { copies: [("orders".to_owned(), copy)].into(), ..PromotionProgress::default() });
    }

    /// scale-down has seen everything as it was.
    pub(crate) fn all_is_given_back(&self) {
        self.progress(Part::Restore, RestoreProgress { restored_at: Some(self.world.now()), ..RestoreProgress::default() });
    }

    pub(crate) fn progress<T: Serialize>(&self, part: Part, progress: T) {
        self.world.journal.set(Key::Progress(part), json!(OfRun { run: self.run().id, progress }));
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan::stored(PLAN).expect("a plan")
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.world.journal.snapshot()
    }

    pub(crate) fn view(&self) -> View {
        View { plan: self.plan(), snapshot: self.snapshot(), now: self.world.now() }
    }

    pub(crate) fn run(&self) -> Run {
        self.snapshot().head.run.expect("a run")
    }

    pub(crate) fn phase(&self) -> Phase {
        self.run().phase
    }

    pub(crate) fn drill(&self) -> DrillProgress {
        self.snapshot().progress.drill
    }

    /// The report of the newest run, as it lies in the bucket.
    pub(crate) fn report(&self) -> Option<Report> {
        let held = self.world.reports.held().remove(&self.run().id.0)?;
        Some(serde_json::from_str(&held.json).expect("a report is JSON"))
    }

    /// Subjects of what people were told, oldest first. That the phase changed is the loop's to tell, not this function's.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        let sent = self.world.notices.sent().into_iter();
        sent.filter_map(|notice| match notice {
            Notice::People { subject, text } if subject.contains(": the ") => Some((subject, text)),
            _ => None,
        })
        .collect()
    }

    /// One invocation. It may fail: what it could not do, the next one does.
    pub(crate) async fn nudge(&mut self) {
        let _answer = self.world.nudge(&mut self.work, json!({ "relight": "tick" })).await;
    }

    /// Ticks without polling, a minute apart.
    pub(crate) async fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            let _answer = self.world.tick(&mut self.work).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    /// From the opening to the report, ticks alone; the test does what the others would.
    pub(crate) async fn whole_drill(&mut self) {
        self.ticks(3).await;
        self.others_are_ready();
        self.ticks(20).await;
        self.all_is_given_back();
        self.ticks(4).await;
    }
}

pub(crate) fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}
