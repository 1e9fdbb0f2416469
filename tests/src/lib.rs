//! All seven functions at once over the in-memory world: what no test of one function can show.
//!
//! ```text
//! Control   ticks, notices, alarms, orders ──► invocations side by side ──► World
//!              ▲ Delivery: prompt, or lost, doubled, late, out of order       │ every call: a witness looks on
//!              └────────────── progress notices ◄─────────────────────────────┘
//! ```
//!
//! [`Control`] is the control stack as Lambda, EventBridge, SNS and Secrets Manager drive it; [`Standing`] is all that can be
//! seen of the workload, to be compared before and after.

// The futures of seven functions lie in one another.
#![recursion_limit = "256"]

mod control;
mod standing;

use jiff::SignedDuration;
use relight::report::Report;
use relight::run::{Mode, Phase, Run};
use relight::state::{Key, Part, Place};
use relight_world::World;
use serde_json::json;

pub use control::{Control, Delivery, Function};
pub use standing::{End, Standing};

/// A workload with one of each: a service, a group, a database, a rotating secret and its admin, three independent observers.
pub const PLAN: &str = r#"
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
primary = "orders"
replica = "orders-replica"
quarantine_security_group = "sg-quarantine"
home_security_groups = ["sg-database"]

[[secret]]
name = "shop/app"
database = "orders"
admin = "shop/admin"

[[secret]]
name = "shop/admin"
database = "orders"
rotate = false

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
health_check = "3f1b9c4e-5a52-4d8e-9a41-0c0f6a1b2c3d"

[[observer]]
name = "composite"
kind = "alarm"
arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:shop-primary-composite"

[drill]
hold = "5m"
deadline = "1h"
validate = ["http://standby.shop.test/orders"]
"#;

/// The same with an Aurora global database.
pub fn global_plan() -> String {
    let clusters = "engine = \"aurora-postgresql\"\nglobal_cluster = \"orders-global\"\nprimary = \"orders\"\nreplica = \"orders-standby\"\n";
    let from = PLAN.find("engine = \"postgres\"").expect("the plan has a database");
    let to = PLAN[from..].find("\n[[secret]]").expect("secrets follow") + from;
    format!("{}{clusters}{}", &PLAN[..from], &PLAN[to..])
}

/// The same with MariaDB, whose writes are closed by a parameter group.
pub fn mariadb_plan() -> String {
    PLAN.replace("engine = \"postgres\"", "engine = \"mariadb\"\nparameter_group = \"orders-replica-parameters\"")
}

pub const REPLICA: &str = "orders-replica";
pub const SECRETS: [&str; 2] = ["shop/app", "shop/admin"];

/// The primary Region goes dark: nothing answers there, and nothing takes a call.
pub fn primary_fails(world: &World) {
    world.traffic.primary_answers(None);
    world.calls.dark(Place::Primary, true);
}

pub fn primary_returns(world: &World) {
    world.calls.dark(Place::Primary, false);
    world.traffic.primary_answers(Some((200, "")));
}

/// The newest run, open or over.
pub fn run(world: &World) -> Option<Run> {
    world.journal.snapshot().head.run
}

pub fn phase(world: &World) -> Option<(Mode, Phase)> {
    run(world).map(|run| (run.mode, run.phase))
}

/// Mode and phase of the newest run are these.
pub fn is(mode: Mode, at: Phase) -> impl Fn(&World) -> bool {
    move |world| phase(world) == Some((mode, at))
}

/// The newest run is over and told of.
pub fn reported(world: &World) -> bool {
    let snapshot = world.journal.snapshot();
    snapshot.head.run.is_some_and(|run| !run.is_open()) && snapshot.progress.drill.report.is_some()
}

/// The report of the newest run, as it lies in the bucket.
pub fn report(world: &World) -> Option<Report> {
    let held = world.reports.held().remove(&run(world)?.id.0)?;
    serde_json::from_str(&held.json).ok()
}

/// Whether the newest run's history says so.
pub fn said(world: &World, part: &str) -> bool {
    run(world).is_some_and(|run| world.journal.sentences(&run.id).iter().any(|said| said.contains(part)))
}

/// A control stack that has seen three minutes of peace.
pub async fn peace(plan: &str, delivery: Delivery) -> Control {
    let mut control = Control::deploy(plan, delivery);
    control.run_for(minutes(3)).await;
    control
}

pub fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// The journal loses what is owed, and what was done for databases and secrets.
pub fn forget_what_was_made(world: &World) {
    let owed = world.journal.snapshot().obligations.into_keys().map(Key::Obligation);
    owed.chain([Key::Progress(Part::Promotion), Key::Progress(Part::Rotation)]).for_each(|key| world.journal.take(&key));
}

/// The journal loses everything but the plan: nothing tells that there ever was a run.
pub fn forget_every_run(world: &World) {
    for item in world.journal.items() {
        if item.key != Key::Plan(1) {
            world.journal.take(&item.key);
        }
    }
    world.journal.set(Key::Head, json!({ "serving": "primary", "run": null, "hold": null, "cool_down_until": null, "plan_version": 1 }));
}

/// With the phase and the history, where a test waited in vain.
#[track_caller]
pub fn expect(reached: bool, control: &Control) {
    assert!(reached, "it is {:?}: {:#?}", phase(&control.world), run(&control.world).map(|run| control.world.journal.sentences(&run.id)));
}
