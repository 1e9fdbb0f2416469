//! Putting a plan into the journal. Pure: from what the journal holds to what it shall hold.

use serde_json::Value;

use super::{ActMode, Plan};
use crate::ports::{Change, Write};
use crate::state::{Head, Key, Place, Snapshot};

/// Why a plan is not put. The one in force stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPut {
    #[error("the journal's partition is `{partition}`, the plan's name is `{name}`; correct the name, or RELIGHT_PLAN")]
    OtherName { partition: String, name: String },
    #[error("the function stands in {here}, the plan's standby is {standby}; deploy there or correct the plan")]
    OtherRegion { here: String, standby: String },
    #[error("{what}; `observe` would leave it half done: wait until it is over, or `stand-down`")]
    ObserveWhileOpen { what: String },
    #[error("it is the plan in force, version {version}")]
    Same { version: u64 },
}

/// The changes that put `text`, the text of `plan`, as the newest version; and that version. An open run keeps the version
/// that it began with until the operator says `replan`; versions that nobody needs go.
pub fn put(plan: &Plan, text: &str, snapshot: &Snapshot, partition: &str, region: &str) -> Result<(u64, Vec<Write>), NotPut> {
    if plan.name != partition {
        return Err(NotPut::OtherName { partition: partition.to_owned(), name: plan.name.clone() });
    }
    if plan.standby != region {
        return Err(NotPut::OtherRegion { here: region.to_owned(), standby: plan.standby.clone() });
    }
    if plan.policy.mode == ActMode::Observe
        && let Some(what) = open(snapshot)
    {
        return Err(NotPut::ObserveWhileOpen { what });
    }
    let newest = snapshot.head.plan_version;
    if snapshot.plans.get(&newest).is_some_and(|held| held == text) {
        return Err(NotPut::Same { version: newest });
    }
    let version = newest + 1;
    let needed = snapshot.head.open_run().map(|run| run.plan_version);
    let write = |key: Key, change| Write { expected: snapshot.revision(&key), key, change };
    let mut changes = vec![write(Key::Plan(version), Change::Put(Value::from(text)))];
    let head = Head { plan_version: version, ..snapshot.head.clone() };
    changes.extend(snapshot.write(Key::Head, &head));
    changes.extend(snapshot.plans.keys().filter(|old| Some(**old) != needed).map(|old| write(Key::Plan(*old), Change::Delete)));
    Ok((version, changes))
}

/// Whatever is not at rest.
fn open(snapshot: &Snapshot) -> Option<String> {
    if let Some(run) = snapshot.head.open_run() {
        return Some(format!("{} is open in {:?}", run.id, run.phase));
    }
    if snapshot.head.serving == Place::Standby {
        return Some("the standby serves".to_owned());
    }
    if let Some(run) = snapshot.reports.keys().next() {
        return Some(format!("the report of {run} is not written yet"));
    }
    let owed = snapshot.obligations.keys().next().map(|owed| format!("`{owed}` is still owed"));
    owed.or_else(|| snapshot.baseline.keys().next().map(|held| format!("{held} is not at its baseline")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Mode, Phase, Run};
    use crate::state::Item;

    const TEXT: &str = include_str!("../../../infra/examples/pilot-light/relight.toml");

    fn plan(text: &str) -> Plan {
        Plan::parse(text).expect("a good plan")
    }

    fn snapshot(head: Head, plans: &[(u64, &str)]) -> Snapshot {
        let mut items = vec![Item { key: Key::Head, revision: 3, body: serde_json::to_value(head).expect("a head") }];
        items.extend(plans.iter().map(|(version, text)| Item { key: Key::Plan(*version), revision: 1, body: Value::from(*text) }));
        Snapshot::of(items).expect("a snapshot")
    }

    fn open_run() -> Run {
        let mut run = crate::fold::open(Mode::Failover, Phase::Confirmed, 1, "test".to_owned(), "2026-01-05T00:05:00Z".parse().expect("a time"));
        run.plan_version = 1;
        run
    }

    #[test]
    fn the_first_plan_makes_the_head() {
        let (version, changes) = put(&plan(TEXT), TEXT, &Snapshot::default(), "shop", "us-west-2").expect("put");
        assert_eq!(version, 1);
        assert!(changes.iter().all(|change| change.expected.is_none()));
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn an_open_run_keeps_the_version_that_it_began_with() {
        let head = Head { plan_version: 2, run: Some(open_run()), ..Head::default() };
        let (version, changes) = put(&plan(TEXT), TEXT, &snapshot(head, &[(1, "old"), (2, "newer")]), "shop", "us-west-2").expect("put");
        assert_eq!(version, 3);
        let deleted: Vec<&Key> = changes.iter().filter(|change| matches!(change.change, Change::Delete)).map(|change| &change.key).collect();
        assert_eq!(deleted, [&Key::Plan(2)]);
    }

    #[test]
    fn observing_is_refused_while_a_run_is_open() {
        let text = TEXT.replace("[policy]", "[policy]\nmode = \"observe\"");
        let head = Head { plan_version: 1, run: Some(open_run()), ..Head::default() };
        let refused = put(&plan(&text), &text, &snapshot(head, &[(1, TEXT)]), "shop", "us-west-2").expect_err("refused");
        assert!(matches!(refused, NotPut::ObserveWhileOpen { .. }), "{refused}");
    }

    #[test]
    fn observing_is_refused_while_the_standby_serves() {
        let text = TEXT.replace("[policy]", "[policy]\nmode = \"observe\"");
        let head = Head { plan_version: 1, serving: Place::Standby, ..Head::default() };
        let refused = put(&plan(&text), &text, &snapshot(head, &[(1, TEXT)]), "shop", "us-west-2").expect_err("refused");
        assert_eq!(refused, NotPut::ObserveWhileOpen { what: "the standby serves".to_owned() });
    }

    #[test]
    fn a_plan_for_another_region_or_name_is_refused() {
        assert!(matches!(put(&plan(TEXT), TEXT, &Snapshot::default(), "shop", "eu-west-1"), Err(NotPut::OtherRegion { .. })));
        assert!(matches!(put(&plan(TEXT), TEXT, &Snapshot::default(), "other", "us-west-2"), Err(NotPut::OtherName { .. })));
    }

    #[test]
    fn the_same_text_changes_nothing() {
        let head = Head { plan_version: 1, ..Head::default() };
        assert_eq!(put(&plan(TEXT), TEXT, &snapshot(head, &[(1, TEXT)]), "shop", "us-west-2").expect_err("same"), NotPut::Same { version: 1 });
    }
}
