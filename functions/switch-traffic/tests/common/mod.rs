//! A plan with one of everything, and the situations that other parts bring about.
#![allow(dead_code)] // Each test file uses its share.

use std::time::Duration;

use relight::run::{Mode, Phase, Run, RunId, Said, Words};
use relight::state::*;
use relight_world::World;
use relight_world::database::DatabaseWorld;
use relight_world::traffic::TrafficWorld;
use serde::Serialize;
use serde_json::{json, to_value};
use switch_traffic::SwitchTraffic;

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
quarantine_security_group = "sg-quarantine"

[[secret]]
name = "shop/orders"
database = "orders"
users = "single"

[[service]]
cluster = "shop"
name = "web"
desired = 4

[traffic]
record = "www.shop.example"
standby = "standby.shop.example"
stop_bucket = "shop-stop"
healthy_url = "http://standby.shop.example/health"
healthy_body = "ready"

[[observer]]
name = "probe"
kind = "probe"
url = "http://primary.shop.example/health"

[[observer]]
name = "checkers"
kind = "checkers"
record = "verdict.shop.example"
health_check = "hc-1"
"#;

pub(crate) type Work = SwitchTraffic<TrafficWorld, DatabaseWorld>;

pub(crate) fn world() -> (World, Work) {
    let world = World::with_plan(PLAN);
    let work = SwitchTraffic { traffic: world.traffic.clone(), database: world.database.clone() };
    (world, work)
}

pub(crate) fn run_id() -> RunId {
    RunId("failover-20260105T000400Z".to_owned())
}

/// Opens a run of this mode in this phase, as the others would have.
pub(crate) fn in_phase(world: &World, mode: Mode, phase: Phase) {
    let now = world.now();
    let committed = matches!((mode, phase), (Mode::Failover, Phase::Activating | Phase::Active));
    let run = Run {
        id: run_id(),
        mode,
        phase,
        plan_version: 1,
        opened_at: now,
        phase_since: now,
        cause: "a test".to_owned(),
        first_down: Some(now),
        confirmed_at: Some(now),
        committed_at: committed.then_some(now),
        ended_at: (!phase.is_open()).then_some(now),
        was_drill: false,
        was_failback: false,
        came_home_at: None,
        words: Words { failover: Some(Said { by: "test".to_owned(), at: now }), ..Words::default() },
    };
    let serving = if committed { Place::Standby } else { Place::Primary };
    let head = Head { run: Some(run), plan_version: 1, serving, ..world.journal.snapshot().head };
    world.journal.set(Key::Head, to_value(head).unwrap());
}

pub(crate) fn change_run(world: &World, change: impl FnOnce(&mut Run)) {
    let mut head = world.journal.snapshot().head;
    change(head.run.as_mut().expect("a run"));
    world.journal.set(Key::Head, to_value(head).unwrap());
}

pub(crate) fn set<T: Serialize>(world: &World, part: Part, progress: T) {
    world.journal.set(Key::Progress(part), to_value(OfRun { run: run_id(), progress }).unwrap());
}

pub(crate) fn traffic(world: &World) -> TrafficProgress {
    world.journal.snapshot().progress.traffic
}

/// promote-replica finds nothing against the promotion, as of `now`.
pub(crate) fn cleared(world: &World) {
    let step = DatabaseStep { cleared_at: Some(world.now()), ..DatabaseStep::default() };
    set(world, Part::Promotion, PromotionProgress { databases: [("orders".to_owned(), step)].into(), ..PromotionProgress::default() });
}

/// Everything that an opening needs of others.
pub(crate) fn others_are_done(world: &World) {
    let now = Some(world.now());
    let step = DatabaseStep { promote_attempt_at: now, promoted_at: now, backups_on_at: None, ..DatabaseStep::default() };
    set(world, Part::Promotion, PromotionProgress { databases: [("orders".to_owned(), step)].into(), ..PromotionProgress::default() });
    let rotation = RotationProgress {
        proven: [("orders".to_owned(), world.now())].into(),
        secrets: [("shop/orders".to_owned(), SecretStep { repointed_at: now, ..SecretStep::default() })].into(),
        ..RotationProgress::default()
    };
    set(world, Part::Rotation, rotation);
    capacity(world, 4);
}

pub(crate) fn capacity(world: &World, running: u32) {
    let step = json!({ "requested_at": null, "reached_at": null, "running": running, "wanted": 4, "said": "" });
    set(world, Part::Capacity, json!({ "resources": { "service/shop/web": step } }));
}

/// The primary is held out and the standby reached by DNS: where an activation begins.
pub(crate) fn held_out(world: &World) {
    let now = Some(world.now());
    world.traffic.set_stop(true);
    set(world, Part::Traffic, TrafficProgress { stop_asked_at: now, held_out_at: now, ..TrafficProgress::default() });
}

pub(crate) async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub(crate) fn sentences(world: &World) -> Vec<String> {
    world.journal.sentences(&run_id())
}
