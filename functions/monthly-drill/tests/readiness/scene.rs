//! A standby in which everything is as it should be, and what a look at it says.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use promote_replica::PromoteReplica;
use relight::decide::readiness::Severity;
use relight::evidence::{Evidence, Word};
use relight::report::ReadinessReport;
use relight::say::Answer;
use relight::state::{Key, LoginSeen, Memory};
use relight_world::World;
use rotate_secret::RotateSecret;
use scale_up::ScaleUp;
use serde_json::{Value, json};
use switch_traffic::SwitchTraffic;

use crate::common::Scene;

pub(crate) const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"

[[service]]
cluster = "shop"
name = "web"
desired = 4
scaling = { min = 4, max = 8 }
capacity_providers = [{ provider = "FARGATE" }]

[[service]]
cluster = "shop"
name = "mail"
desired = 2

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

[[secret]]
name = "shop/admin"
database = "orders"
rotate = false

[[secret]]
name = "shop/app"
database = "orders"
admin = "shop/admin"

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
record = "verdict.shop.test"
health_check = "hc-1"

[[observer]]
name = "alarm"
kind = "alarm"
arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:primary"
"#;

pub(crate) const ASK: &str = r#"{ "relight": "readiness" }"#;

/// A standby in which everything is as it should be, an hour of peace behind it.
pub(crate) fn sound() -> Scene {
    sound_of(PLAN)
}

pub(crate) fn sound_of(plan: &str) -> Scene {
    let world = World::with_plan(plan);
    let now = world.now();
    let login = |name: &str| (name.to_owned(), LoginSeen { at: now - minutes(10), ok: true, said: "logs in".to_owned() });
    let memory = Memory {
        last_good_drill: Some(now - minutes(20 * 24 * 60)),
        recovery_seconds: Some(400.0),
        promotion_seconds: [("orders".to_owned(), 180.0), ("of an older plan".to_owned(), 9.0)].into(),
        logins: ["shop/admin", "shop/app"].map(login).into(),
        ..Memory::default()
    };
    world.journal.set(Key::Memory, json!(memory));
    hear(&world, now);
    Scene::of(world)
}

pub(crate) fn hear(world: &World, at: Timestamp) {
    let mut evidence = Evidence::default();
    for observer in ["probe", "checkers"] {
        evidence.hear(observer, Word::Up, at, "it answers");
    }
    world.journal.set(Key::Evidence, json!(evidence));
}

pub(crate) fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// Asks, while those who look are woken as by the notice.
pub(crate) async fn ask(scene: &mut Scene, event: Value) -> Answer {
    let world = scene.world.clone();
    tokio::select! {
        answer = world.nudge(&mut scene.work, event) => answer.expect("an answer"),
        () = others(&world) => unreachable!("they are woken again and again"),
    }
}

async fn others(world: &World) {
    let (compute, database, secrets) = (world.compute.clone(), world.database.clone(), world.secrets.clone());
    let mut scale_up = ScaleUp::new(compute);
    let mut promote = PromoteReplica::new(database.clone());
    let mut rotate = RotateSecret::new(secrets, world.login.clone(), database.clone(), world.reports.clone());
    let mut switch = SwitchTraffic { traffic: world.traffic.clone(), database };
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if world.journal.snapshot().look.is_some() {
            let woken = tokio::join!(world.tick(&mut scale_up), world.tick(&mut promote), world.tick(&mut rotate), world.tick(&mut switch));
            assert!(matches!(woken, (Ok(_), Ok(_), Ok(_), Ok(_))), "{woken:?}");
        }
    }
}

/// Asks, and reads the page's data.
pub(crate) async fn look(scene: &mut Scene) -> ReadinessReport {
    ask(scene, serde_json::from_str(ASK).expect("JSON")).await;
    let held = scene.world.reports.puts("readiness").pop().expect("a page");
    serde_json::from_str(&held.json).expect("the documented form")
}

/// What is found of a standby that `breaks`, as `severity about: sentence | remedy`.
pub(crate) async fn found(breaks: impl FnOnce(&World)) -> Vec<String> {
    let scene = sound();
    breaks(&scene.world);
    all_of(scene).await
}

/// What is found where the plan is another one, and all else sound.
pub(crate) async fn found_of(plan: &str) -> Vec<String> {
    all_of(sound_of(plan)).await
}

async fn all_of(mut scene: Scene) -> Vec<String> {
    let report = look(&mut scene).await;
    report.findings.iter().map(|row| format!("{} {}: {} | {}", row.severity, row.about, row.said, row.remedy)).collect()
}

/// One finding, with these words of its sentence and its remedy.
pub(crate) async fn only(breaks: impl FnOnce(&World), severity: Severity, about: &str, says: &str, remedy: &str) {
    let found = found(breaks).await;
    let [one] = &found[..] else { panic!("not one finding: {found:#?}") };
    let (said, does) = one.split_once(" | ").expect("two parts");
    assert!(said.starts_with(&format!("{severity} {about}: ")) && said.contains(says), "{one}");
    assert!(does.contains(remedy), "{one}");
}
