//! What the alarms look at: it is put out whatever is open, and says no more than is known.

mod common;

use std::cell::Cell;

use common::{CART, Scene, Work as Drill, minutes};
use jiff::Timestamp;
use monthly_drill::standing;
use relight::nudge::{Desk, Next, View, Work, WorkError};
use relight::plan::Engine;
use relight::ports::Journal;
use relight::run::{Mode, Phase};
use relight::state::{DatabaseStep, FenceStep, Head, Key, Lease, Memory, Obligation, OfRun, OldWriter, Owed, Part, Place, TrafficProgress};
use serde_json::json;

fn owe(scene: &Scene, what: Owed, deadline: Timestamp) {
    let obligation = Obligation { run: scene.run().id, what, made_at: scene.world.now(), deadline };
    scene.world.journal.set(Key::Obligation(obligation.id()), json!(obligation));
}

/// Capacity, a copy and a secret, all past their deadline.
fn owe_all(scene: &Scene) {
    let past = scene.world.now() - minutes(1);
    owe(scene, Owed::Capacity, past);
    owe(scene, Owed::Copy { instance: "relight-drill-orders".to_owned() }, past);
    owe(scene, Owed::Secret { name: "relight-drill/app".to_owned() }, past);
}

fn overdue(scene: &Scene) -> f64 {
    standing(&scene.view())["ObligationOverdue"].0
}

#[tokio::test(start_paused = true)]
async fn what_a_hanging_drill_owes_is_overdue() {
    for phase in [Phase::Activating, Phase::Holding, Phase::Restoring, Phase::Closed] {
        let scene = Scene::new(Mode::Drill, phase);
        assert_eq!(overdue(&scene), 0.0, "{phase:?}");
        owe_all(&scene);
        assert_eq!(overdue(&scene), 3.0, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_writer_is_counted_with_each_tick_until_it_was_seen_fenced() {
    let counted = |scene: &Scene| standing(&scene.view()).get("UnfencedWriters").map(|(count, _)| *count);
    let scene = Scene::new(Mode::Failover, Phase::Active);
    let head = scene.view().snapshot.head;
    scene.world.journal.set(Key::Head, json!(Head { serving: Place::Primary, ..head.clone() }));
    assert_eq!(counted(&scene), None, "the primary serves");
    scene.world.journal.set(Key::Head, json!(Head { serving: Place::Standby, ..head }));
    let databases = scene.view().plan.databases.len();
    assert_eq!(counted(&scene), Some(databases as f64));
    let fenced = |done_at: Option<Timestamp>| {
        let step = FenceStep { done_at, attempts: 3, ..FenceStep::default() };
        let fenced = scene.view().plan.databases.iter().map(|database| (database.name.clone(), step.clone())).collect();
        let progress = TrafficProgress { fenced, ..TrafficProgress::default() };
        scene.world.journal.set(Key::Progress(Part::Traffic), json!(OfRun { run: scene.run().id, progress }));
    };
    fenced(None);
    assert_eq!(counted(&scene), Some(databases as f64), "an attempt is no fence");
    fenced(Some(scene.world.now()));
    assert_eq!(counted(&scene), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn an_old_writer_of_auroras_is_counted_until_it_is_a_secondary_and_no_fence_counts_for_it() {
    let scene = Scene::new(Mode::Failover, Phase::Active);
    let counted = |step: DatabaseStep, fenced: FenceStep| {
        let mut view = scene.view();
        view.plan.databases[0].engine = Engine::AuroraPostgres;
        view.snapshot.progress.promotion.databases.insert("orders".to_owned(), step);
        view.snapshot.progress.traffic.fenced.insert("orders".to_owned(), fenced);
        standing(&view).get("UnfencedWriters").map(|(count, _)| *count)
    };
    let done = FenceStep { done_at: Some(scene.world.now()), ..FenceStep::default() };
    assert_eq!(counted(DatabaseStep::default(), done), Some(1.0));
    let over = OldWriter { over_at: Some(scene.world.now()), ..OldWriter::default() };
    assert_eq!(counted(DatabaseStep { old_writer: over, ..DatabaseStep::default() }, FenceStep::default()), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_due_is_not_overdue() {
    let scene = Scene::new(Mode::Drill, Phase::Holding);
    owe(&scene, Owed::Capacity, scene.world.now() + minutes(1));
    assert_eq!(overdue(&scene), 0.0);
}

#[tokio::test(start_paused = true)]
async fn capacity_sleeps_while_users_may_need_it_and_copies_and_secrets_never_do() {
    for phase in [Phase::Suspected, Phase::Confirmed, Phase::Activating, Phase::StoodDown, Phase::Active] {
        let scene = Scene::new(Mode::Failover, phase);
        owe_all(&scene);
        assert_eq!(overdue(&scene), 2.0, "{phase:?}");
    }
    let home = Scene::new(Mode::Failover, Phase::Active);
    owe_all(&home);
    let head = Head { serving: Place::Primary, ..home.snapshot().head };
    home.world.journal.set(Key::Head, json!(head));
    assert_eq!(overdue(&home), 3.0, "traffic was brought home");
}

#[tokio::test(start_paused = true)]
async fn days_are_counted_from_the_last_good_drill_and_nothing_is_said_where_there_was_none() {
    let scene = Scene::peace();
    assert!(!standing(&scene.view()).contains_key("DaysSinceGoodDrill"), "the alarm takes absence for breach");
    let good = scene.world.now() - minutes(36 * 60);
    scene.world.journal.set(Key::Memory, json!(Memory { last_good_drill: Some(good), ..Memory::default() }));
    assert_eq!(standing(&scene.view())["DaysSinceGoodDrill"].0, 1.5);
}

/// monthly-drill, with a count of what it put out.
struct Counted<'a> {
    work: &'a mut Drill,
    measured: Cell<usize>,
}

impl Work for Counted<'_> {
    const NAME: &'static str = Drill::NAME;
    const LEASE: &'static str = Drill::LEASE;

    fn wanted(&self, view: &View) -> bool {
        self.work.wanted(view)
    }

    fn measure(&self, view: &View) {
        self.measured.update(|count| count + 1);
        self.work.measure(view);
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        self.work.work(view, desk).await
    }
}

/// How often one invocation with Lambda's time puts the metrics out.
async fn measured(scene: &mut Scene) -> usize {
    let mut counted = Counted { work: &mut scene.work, measured: Cell::default() };
    scene.world.nudge(&mut counted, json!({ "relight": "tick" })).await.expect("an answer");
    counted.measured.get()
}

#[tokio::test(start_paused = true)]
async fn metrics_come_once_an_invocation_whatever_is_open() {
    assert_eq!(measured(&mut Scene::peace()).await, 1);
    for phase in [Phase::Activating, Phase::Restoring] {
        assert_eq!(measured(&mut Scene::new(Mode::Drill, phase)).await, 1, "{phase:?}");
    }
    for phase in [Phase::Suspected, Phase::Confirmed, Phase::Activating, Phase::StoodDown, Phase::Active] {
        let mut scene = Scene::new(Mode::Failover, phase);
        assert_eq!(measured(&mut scene).await, 1, "{phase:?}");
        assert_eq!(scene.snapshot().leases.len(), 0, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_come_once_from_an_invocation_that_polls_and_once_from_one_that_meets_the_lease() {
    let mut polling = Scene::new(Mode::Drill, Phase::Holding);
    polling.world.validate.answers(CART, 503);
    assert_eq!(measured(&mut polling).await, 1);
    assert!(polling.world.calls.count("http:Get") > 10, "it did not poll");

    let mut other = Scene::new(Mode::Drill, Phase::Restoring);
    let lease = Lease { owner: "monthly-drill/other".to_owned(), until: other.world.now() + minutes(10) };
    other.world.journal.set(Key::Lease("drill".to_owned()), json!(lease));
    assert_eq!(measured(&mut other).await, 1);
    assert_eq!(other.world.journal.writes(), 0, "it neither took the lease nor wrote");
}
