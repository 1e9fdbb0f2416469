use serde_json::json;

use super::*;
use crate::situations::at;

fn item(key: Key, revision: u64, body: serde_json::Value) -> Item {
    Item { key, revision, body }
}

fn head_in(run: Option<&str>, phase: &str) -> serde_json::Value {
    let run = run.map(|id| {
        json!({
            "id": id, "mode": "failover", "phase": phase, "plan_version": 1, "opened_at": at(0), "phase_since": at(0), "cause": "x",
            "first_down": null, "confirmed_at": null, "committed_at": null, "ended_at": null,
        })
    });
    json!({ "serving": "primary", "run": run, "hold": null, "cool_down_until": null, "plan_version": 2 })
}

#[test]
fn every_key_is_read_as_it_was_written() {
    let resource = ResourceId("service/shop/web#blue".to_owned());
    let parts = Part::ALL.map(Key::Progress);
    let others = [Key::Head, Key::Plan(7), Key::Evidence, Key::Memory, Key::Baseline(resource), Key::Obligation("copy/x".to_owned())];
    for key in parts.into_iter().chain(others).chain([
        Key::Lease("capacity".to_owned()),
        Key::Report(RunId("drill-1".to_owned())),
        Key::Look,
        Key::Sight("scale-up".to_owned()),
    ]) {
        assert_eq!(Key::from(key.to_string().as_str()), key);
    }
}

#[test]
fn an_item_of_a_key_that_another_version_knows_is_left_alone_and_nothing_else_suffers() {
    for key in ["", "sundial", "plan#newest", "progress#cooking", "readiness#1"] {
        assert_eq!(Key::from(key), Key::Other(key.to_owned()));
        assert_eq!(Key::from(key).to_string(), key);
    }
    let items = vec![item(Key::from("progress#cooking"), 3, json!([1])), item(Key::Head, 1, head_in(Some("now"), "Suspected"))];
    let snapshot = Snapshot::of(items).unwrap();
    assert_eq!(snapshot.phase(), Some((Mode::Failover, Phase::Suspected)));
    assert_eq!(snapshot.revision(&Key::from("progress#cooking")), Some(3));
}

#[test]
fn what_another_version_wrote_into_an_item_survives_this_ones_change_of_it() {
    let mut body = head_in(Some("now"), "Suspected");
    body["run"]["weather"] = json!("storm");
    body["weather"] = json!({ "wind": 12 });
    body["writer"] = json!("9.0.0");
    let snapshot = Snapshot::of(vec![item(Key::Head, 4, body)]).unwrap();
    let mut head = snapshot.head.clone();
    head.run.as_mut().unwrap().step(crate::run::Step::Confirm, at(60)).unwrap();
    let write = snapshot.write(Key::Head, &head).unwrap();
    assert_eq!(write.expected, Some(4));
    let Change::Put(body) = write.change else { panic!("{write:?}") };
    assert_eq!((&body["run"]["weather"], &body["weather"]), (&json!("storm"), &json!({ "wind": 12 })));
    assert_eq!((&body["run"]["phase"], &body["writer"]), (&json!("Confirmed"), &json!(VERSION)));

    // Another run has another weather.
    head.run = Some(crate::fold::open(Mode::Drill, Phase::Activating, 1, "x".to_owned(), at(90)));
    let Change::Put(body) = snapshot.write(Key::Head, &head).unwrap().change else { panic!() };
    assert_eq!((body["run"].get("weather"), &body["weather"]), (None, &json!({ "wind": 12 })));
}

#[test]
fn what_is_to_be_given_back_and_cannot_be_read_holds_its_place() {
    let resource = ResourceId("function/shop".to_owned());
    let items = vec![
        item(Key::Baseline(resource.clone()), 1, json!({ "kind": "function", "name": "shop", "concurrency": 5, "writer": "9.0.0" })),
        item(Key::Obligation("window/1".to_owned()), 1, json!({ "run": "r", "what": { "kind": "window" }, "made_at": at(0), "deadline": at(9) })),
    ];
    let snapshot = Snapshot::of(items).unwrap();
    let why = snapshot.baseline[&resource].as_target().unwrap_err();
    assert!(why.contains("`baseline#function/shop` cannot be read") && why.contains("deploy what wrote it, version 9.0.0"), "{why}");
    // What one version can restore in part only, the other restores whole.
    let known = json!({ "kind": "group", "name": "workers", "min": 1, "desired": 1, "max": 2, "instances": null, "writer": "9.0.0" });
    let read =
        |body: &serde_json::Value| Snapshot::of(vec![item(Key::Baseline(resource.clone()), 1, body.clone())]).unwrap().baseline[&resource].clone();
    assert!(matches!(read(&known), Baseline::Group { max: 2, .. }));
    let mut more = known.clone();
    more["warm_pool"] = json!(3);
    assert!(matches!(read(&more), Baseline::Unread { why } if why.contains("unknown field `warm_pool`")));

    let owed = &snapshot.obligations["window/1"];
    assert_eq!((owed.id().as_str(), owed.deadline), ("window/1", at(9)));
    assert!(matches!(&owed.what, Owed::Unread { why, .. } if why.contains("`obligation#window/1` cannot be read")), "{owed:?}");
}

#[test]
fn what_was_done_without_any_run_counts_until_there_is_one() {
    let held_out = item(Key::Progress(Part::Traffic), 1, json!({ "run": RunId::none(), "progress": { "stop_asked_at": at(0) } }));
    let serving = item(Key::Head, 1, json!({ "serving": "standby", "run": null, "hold": null, "cool_down_until": null, "plan_version": 1 }));
    let asked = |head: Item| Snapshot::of(vec![held_out.clone(), head]).unwrap().progress.traffic.stop_asked_at;
    assert_eq!(asked(serving), Some(at(0)));
    assert_eq!(asked(item(Key::Head, 2, head_in(Some("now"), "Suspected"))), None);
}

#[test]
fn the_progress_of_a_run_that_another_version_was_at_does_not_stop_the_next_one() {
    let cooked = item(Key::Progress(Part::Traffic), 1, json!({ "run": "before", "progress": { "users_at": "the moon" } }));
    let snapshot = Snapshot::of(vec![cooked.clone(), item(Key::Head, 1, head_in(Some("now"), "Suspected"))]).unwrap();
    assert_eq!(snapshot.progress, Progress::default());
    assert!(Snapshot::of(vec![cooked, item(Key::Head, 1, head_in(Some("before"), "Suspected"))]).is_err());
}

#[test]
fn progress_counts_for_its_own_run_only_but_its_item_keeps_its_revision() {
    let capacity = |run: &str| {
        let step = json!({ "requested_at": null, "reached_at": null, "running": 1, "wanted": 4, "said": "x" });
        item(Key::Progress(Part::Capacity), 5, json!({ "run": run, "progress": { "resources": { "service/shop/web": step } } }))
    };
    // Whatever the order in which the items come.
    let ours = Snapshot::of(vec![capacity("now"), item(Key::Head, 1, head_in(Some("now"), "Suspected"))]).unwrap();
    assert_eq!(ours.progress.capacity.resources.len(), 1);
    let older = Snapshot::of(vec![capacity("before"), item(Key::Head, 1, head_in(Some("now"), "Suspected"))]).unwrap();
    assert_eq!(older.progress, Progress::default());
    assert_eq!(older.revision(&Key::Progress(Part::Capacity)), Some(5));
    let peace = Snapshot::of(vec![capacity("before")]).unwrap();
    assert_eq!(peace.progress, Progress::default());
}

#[test]
fn an_open_run_keeps_its_plan_and_in_peace_the_newest_counts() {
    let with = |phase: &str| {
        let plans = [(1, "one"), (2, "two")].map(|(version, text)| item(Key::Plan(version), 1, json!(text)));
        Snapshot::of([item(Key::Head, 1, head_in(Some("now"), phase))].into_iter().chain(plans).collect()).unwrap()
    };
    assert_eq!(with("Suspected").plan_text(), Some((1, "one")));
    assert_eq!(with("Closed").plan_text(), Some((2, "two")));
}

#[test]
fn an_empty_partition_has_no_plan_and_every_item_is_still_to_be_created() {
    let snapshot = Snapshot::of(Vec::new()).unwrap();
    assert_eq!((snapshot.plan_text(), snapshot.revision(&Key::Head), snapshot.phase()), (None, None, None));
}

#[test]
fn an_item_that_cannot_be_read_is_named_with_what_to_do() {
    let bad = [
        item(Key::Lease("capacity".to_owned()), 1, json!({ "owner": 5 })),
        item(Key::Progress(Part::Traffic), 1, json!({ "progress": {} })),
        item(Key::Head, 1, head_in(Some("now"), "Dreaming")),
    ];
    for item in bad {
        let key = item.key.to_string();
        let error = Snapshot::of(vec![item]).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}` cannot be read")) && error.contains("nothing was changed"), "{error}");
        assert!(error.contains("deploy what wrote it, which it does not say") && error.contains("restore the table"), "{error}");
    }
}

#[test]
fn a_hold_ends_by_itself() {
    let head = Head { hold: Some(HoldSwitch { until: at(60), by: "ada".to_owned() }), ..Head::default() };
    assert!(head.held(at(59)) && !head.held(at(60)) && !Head::default().held(at(0)));
}

#[test]
fn obligations_of_different_things_never_share_a_key() {
    let owed = |what| Obligation { run: RunId("r".to_owned()), what, made_at: at(0), deadline: at(1) }.id();
    let ids = [owed(Owed::Capacity), owed(Owed::Copy { instance: "capacity".to_owned() }), owed(Owed::Secret { name: "capacity".to_owned() })];
    assert_eq!(ids, ["capacity", "copy/capacity", "secret/capacity"]);
}

#[test]
fn least_capacity_is_unknown_until_every_resource_was_looked_at() {
    let plan = crate::situations::plan();
    let step = |running, wanted| CapacityStep { requested_at: None, reached_at: None, running, wanted, said: String::new() };
    let progress = |steps: &[CapacityStep]| {
        let ids = plan.services.iter().map(Service::id).chain(plan.groups.iter().map(Group::id));
        CapacityProgress { resources: ids.zip(steps.iter().cloned()).collect() }
    };
    assert_eq!(progress(&[]).least_per_cent(&plan), None);
    assert_eq!(progress(&[step(3, 4)]).least_per_cent(&plan), Some(75));
    assert_eq!(progress(&[step(9, 4)]).least_per_cent(&plan), Some(100));
    assert_eq!(progress(&[step(0, 0)]).least_per_cent(&plan), Some(100));
}
