//! What the journal's items look like, version by version: what a released version wrote is read for ever.
//!
//! `tests/tests/journal/VERSION.json` holds the items of failovers, of a drill and of the way home as they lay there when each phase began. It is
//! written by
//!
//!     RELIGHT_GOLDEN=write cargo test --workspace --test golden
//!
//! which refuses while a field of the file that is there would be lost. So a field may be added, and is then to be written here; one
//! that is renamed or removed turns a test red. The file of a version that was released is never written again: the next has its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use relight::plan::Plan;
use relight::ports::Change;
use relight::run::{Mode, Phase};
use relight::state::{Item, Key, Place, Snapshot, VERSION};
use relight_suites::{
    Control, Delivery, Function, PLAN, REPLICA, global_plan, mariadb_plan, minutes, peace, phase, primary_fails, primary_returns, reported, run,
};
use relight_world::World;
use relight_world::journal::BY_NAME;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What lay in the journal at one moment.
#[derive(Serialize, Deserialize)]
struct Moment {
    mode: Mode,
    phase: Phase,
    items: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Fixture {
    written_by: String,
    moments: Vec<Moment>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal")
}

fn fixtures() -> Vec<(PathBuf, Fixture)> {
    let files = std::fs::read_dir(folder()).expect("the fixtures").map(|file| file.expect("a file").path());
    files.map(|file| (file.clone(), serde_json::from_str(&std::fs::read_to_string(&file).expect("a fixture")).expect("a fixture"))).collect()
}

/// The items just before each change of the phase, when most of a phase has been written, and at the end.
async fn moments(control: &mut Control, over: impl Fn() -> bool) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    while !over() {
        let world = control.world.clone();
        let writes = world.journal.writes();
        control.run_until(minutes(10), |world| world.journal.writes() != writes).await;
        let Some((mode, phase)) = phase(&world) else { continue };
        let items = world.journal.items().into_iter().map(|item| (item.key.to_string(), item.body)).collect();
        match moments.last_mut().filter(|last| (last.mode, last.phase) == (mode, phase)) {
            Some(last) => last.items = items,
            None => moments.push(Moment { mode, phase, items }),
        }
    }
    moments
}

async fn failover() -> Vec<Moment> {
    let mut control = peace(PLAN, Delivery::one_turn()).await;
    primary_fails(&control.world);
    let world = control.world.clone();
    moments(&mut control, || reported(&world)).await
}

async fn stood_down() -> Vec<Moment> {
    let mut control = peace(PLAN, Delivery::one_turn()).await;
    primary_fails(&control.world);
    let world = control.world.clone();
    control.run_until(minutes(10), |world| run(world).is_some_and(|run| run.phase == Phase::Suspected)).await;
    control.order("hold").await;
    control.run_until(minutes(10), |world| world.journal.snapshot().progress.promotion.databases.contains_key("orders")).await;
    primary_returns(&control.world);
    moments(&mut control, || reported(&world)).await
}

async fn drill() -> Vec<Moment> {
    let mut control = peace(PLAN, Delivery::one_turn()).await;
    let world = control.world.clone();
    let looked = Function::MonthlyDrill.invoke(&world, json!({ "operator": { "command": "readiness", "by": "ana" } }), Duration::ZERO).await;
    looked.expect("a look at readiness");
    // The question and its answers are gone once they are judged, and who cannot read them passes them over.
    let judged = control.run_until(minutes(5), |world| world.journal.snapshot().memory.readiness.is_some()).await;
    assert!(judged, "nobody judged what was seen");
    control.drill();
    moments(&mut control, || reported(&world)).await
}

/// On its way up, where its copy is restored from a snapshot.
async fn restored() -> Vec<Moment> {
    let mut control = peace(PLAN, Delivery::one_turn()).await;
    let world = control.world.clone();
    world.database.change(REPLICA, |replica| replica.backup_retention = 0);
    control.drill();
    let mut found = moments(&mut control, || run(&world).is_some_and(|run| run.phase == Phase::Holding)).await;
    found.retain(|moment| moment.phase == Phase::Activating);
    found
}

/// On its way up, with an Aurora global database, whose snapshot is restored to a cluster.
async fn of_a_cluster() -> Vec<Moment> {
    let mut control = peace(&global_plan(), Delivery::one_turn()).await;
    let world = control.world.clone();
    control.drill();
    let mut found = moments(&mut control, || run(&world).is_some_and(|run| run.phase == Phase::Holding)).await;
    found.retain(|moment| moment.phase == Phase::Activating);
    found
}

/// From the order on, with a row that the standby never got.
async fn failback(plan: &str) -> Vec<Moment> {
    let mut control = peace(plan, Delivery::one_turn()).await;
    let world = control.world.clone();
    world.database.stall(Place::Standby, REPLICA, true);
    world.database.write("orders.primary.rds.test", "public.orders", "3", "placed").expect("the primary takes writes");
    primary_fails(&world);
    assert!(control.run_until(minutes(25), reported).await);
    primary_returns(&world);
    let fenced = |world: &World| world.journal.snapshot().progress.traffic.fenced.values().any(|step| step.done_at.is_some());
    assert!(control.run_until(minutes(10), fenced).await);
    control.order("failback").await;
    let at = |phase: Phase| move |world: &World| run(world).is_some_and(|run| (run.mode, run.phase) == (Mode::Failback, phase));
    let mut found = moments(&mut control, || at(Phase::Synchronised)(&world)).await;
    control.run_for(minutes(2)).await;
    control.order("switch-home").await;
    found.extend(moments(&mut control, || at(Phase::Closed)(&world) && reported(&world)).await);
    found
}

/// At its end, where writes were closed by a parameter group.
async fn of_a_parameter_group() -> Vec<Moment> {
    let mut found = failback(&mariadb_plan()).await;
    found.retain(|moment| moment.phase == Phase::Restoring);
    found
}

async fn written() -> Fixture {
    let mut moments = failover().await;
    moments.extend(stood_down().await);
    moments.extend(drill().await);
    moments.extend(restored().await);
    moments.extend(of_a_cluster().await);
    moments.extend(failback(PLAN).await);
    moments.extend(of_a_parameter_group().await);
    Fixture { written_by: "RELIGHT_GOLDEN=write cargo test --workspace --test golden".to_owned(), moments }
}

fn snapshot(moment: &Moment) -> Snapshot {
    let item = |(key, body): (&String, &Value)| Item { key: Key::from(key.as_str()), revision: 1, body: body.clone() };
    let snapshot = Snapshot::of(moment.items.iter().map(item).collect()).unwrap_or_else(|error| panic!("{:?}: {error}", moment.phase));
    assert_eq!(snapshot.head.run.as_ref().map(|run| (run.mode, run.phase)), Some((moment.mode, moment.phase)));
    let (_, plan) = snapshot.plan_text().expect("a plan");
    Plan::stored(plan).expect("a plan that a version put is read by the next ones");
    snapshot
}

/// What this version makes of an item's body, by writing back what it read.
fn understood(snapshot: &Snapshot, key: &Key) -> Value {
    let body = snapshot.understood(key).unwrap_or_else(|| panic!("{key} is not understood"));
    let write = snapshot.write(key.clone(), &body).expect("a body");
    let Change::Put(_) = write.change else { panic!("{write:?}") };
    body
}

/// Paths of what `read` holds and `understood` does not.
fn lost(at: &str, read: &Value, understood: &Value, lost_at: &mut Vec<String>) {
    match (read, understood) {
        (Value::Object(read), Value::Object(understood)) => {
            for (name, value) in read.iter().filter(|(name, _)| *name != "writer") {
                match understood.get(name) {
                    Some(understood) => lost(&format!("{at}/{name}"), value, understood, lost_at),
                    None => lost_at.push(format!("{at}/{name}")),
                }
            }
        }
        (read, understood) if read == understood => {}
        _ => lost_at.push(at.to_owned()),
    }
}

fn lost_of(fixture: &Fixture) -> Vec<String> {
    let mut lost_at = Vec::new();
    for moment in &fixture.moments {
        let snapshot = snapshot(moment);
        for (name, body) in moment.items.iter().filter(|(name, _)| !name.starts_with("plan#")) {
            lost(name, body, &understood(&snapshot, &Key::from(name.as_str())), &mut lost_at);
        }
    }
    lost_at
}

/// Names of things, which differ from one run to the next, as `*`.
fn shape(fixture: &Fixture) -> BTreeSet<String> {
    fn walk(at: &str, value: &Value, shape: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                let by_name = at.rsplit('/').next().is_some_and(|last| BY_NAME.contains(&last) || last == "baseline");
                fields.iter().for_each(|(name, value)| walk(&format!("{at}/{}", if by_name { "*" } else { name }), value, shape));
            }
            Value::Null => {}
            _ => drop(shape.insert(at.to_owned())),
        }
    }
    let mut found = BTreeSet::new();
    for moment in &fixture.moments {
        for (name, body) in &moment.items {
            walk(name.split('#').next().unwrap_or_default(), body, &mut found);
        }
    }
    found
}

#[test]
fn every_item_that_a_version_wrote_is_read_with_every_field() {
    for (file, fixture) in fixtures() {
        assert!(fixture.moments.len() >= 9, "{}", file.display());
        assert_eq!(lost_of(&fixture), [""; 0], "{}", file.display());
    }
}

#[tokio::test(start_paused = true)]
async fn this_versions_fixture_holds_all_that_this_version_writes() {
    let file = folder().join(format!("{VERSION}.json"));
    let fresh = written().await;
    let phases: BTreeSet<String> = fresh.moments.iter().map(|moment| format!("{} {:?}", moment.mode, moment.phase)).collect();
    let all = [
        "drill Activating",
        "drill Closed",
        "drill Holding",
        "drill Restoring",
        "failback Closed",
        "failback Preparing",
        "failback Restoring",
        "failback Switching",
        "failback Synchronised",
        "failover Activating",
        "failover Active",
        "failover Closed",
        "failover Confirmed",
        "failover StoodDown",
        "failover Suspected",
    ];
    assert_eq!(phases.iter().map(String::as_str).collect::<Vec<_>>(), all);
    let held = fixtures().into_iter().find(|(held, _)| *held == file).map(|(_, fixture)| fixture);
    if std::env::var("RELIGHT_GOLDEN").is_ok_and(|word| word == "write") {
        assert_eq!(held.map(|held| lost_of(&held)).unwrap_or_default(), [""; 0], "a field that was written would not be read any more");
        std::fs::write(&file, serde_json::to_string_pretty(&fresh).expect("JSON") + "\n").expect("written");
        return;
    }
    let held = held.unwrap_or_else(|| panic!("{} is missing; {}", file.display(), fresh.written_by));
    let missing: Vec<String> = shape(&fresh).difference(&shape(&held)).cloned().collect();
    assert_eq!(missing, [""; 0], "not in {}; {}", file.display(), fresh.written_by);
}
