//! The journal: conditions, several changes as one, history.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use relight::ports::{Change, Entry, EntryKind, Journal, Write, Written};
use relight::run::RunId;
use relight::state::{Key, Lease, Snapshot};

fn key(name: &str) -> Key {
    Key::Lease(format!("conformance-{name}"))
}

fn start() -> Timestamp {
    "2026-01-05T00:05:00.25Z".parse().expect("a time")
}

fn put(name: &str, expected: Option<u64>, owner: &str) -> Write {
    let body = serde_json::to_value(Lease { owner: owner.to_owned(), until: start() }).expect("JSON");
    Write { key: key(name), expected, change: Change::Put(body) }
}

fn delete(name: &str, expected: u64) -> Write {
    Write { key: key(name), expected: Some(expected), change: Change::Delete }
}

fn entry(seconds: i64, said: &str) -> (RunId, Entry) {
    let calls = BTreeMap::from([("ecs:UpdateService".to_owned(), 2)]);
    let at = start() + SignedDuration::from_secs(seconds);
    let entry = Entry { at, by: "scale-up".to_owned(), kind: EntryKind::Action, about: "service/shop/web".to_owned(), said: said.to_owned(), calls };
    (run(), entry)
}

fn run() -> RunId {
    RunId("failover-20200101T000000Z".to_owned())
}

/// Owner and revision of an item.
fn seen(snapshot: &Snapshot, name: &str) -> Option<(String, u64)> {
    let lease = snapshot.leases.get(&format!("conformance-{name}"))?;
    Some((lease.owner.clone(), snapshot.revision(&key(name))?))
}

pub(crate) async fn journal<J: Journal>(journal: &J) {
    let read = async || journal.read().await.expect("a read");
    let write = async |changes: Vec<Write>, entries: Vec<(RunId, Entry)>| journal.write(changes, entries).await.expect("a write");
    let is = |owner: &str, revision: u64| Some((owner.to_owned(), revision));
    assert!(read().await.plan_text().is_some(), "a plan is in force");

    // An item is created once.
    assert_eq!(write(vec![put("a", None, "first")], Vec::new()).await, Written::Done);
    assert_eq!(write(vec![put("a", None, "second")], Vec::new()).await, Written::Lost);
    assert_eq!(seen(&read().await, "a"), is("first", 1));

    // It is changed by who saw it last, and by nobody who saw less or more.
    assert_eq!(write(vec![put("a", Some(1), "second")], Vec::new()).await, Written::Done);
    assert_eq!(write(vec![put("a", Some(1), "late")], Vec::new()).await, Written::Lost);
    assert_eq!(write(vec![put("a", Some(9), "seer")], Vec::new()).await, Written::Lost);
    assert_eq!(write(vec![put("b", Some(1), "blind")], Vec::new()).await, Written::Lost);
    assert_eq!((seen(&read().await, "a"), seen(&read().await, "b")), (is("second", 2), None));

    // Several changes and their lines are one, or none.
    let both = |a: u64| vec![put("a", Some(a), "third"), put("b", None, "third")];
    assert_eq!(write(both(1), vec![entry(0, "never happened")]).await, Written::Lost);
    assert_eq!(seen(&read().await, "b"), None);
    assert_eq!(journal.history(&run()).await.expect("a history"), Vec::new());
    assert_eq!(write(both(2), vec![entry(10, "second"), entry(10, "third")]).await, Written::Done);
    assert_eq!((seen(&read().await, "a"), seen(&read().await, "b")), (is("third", 3), is("third", 1)));

    // Lines alone need no condition, and the history is told by time, whoever wrote first.
    assert_eq!(write(Vec::new(), vec![entry(20, "fourth")]).await, Written::Done);
    assert_eq!(write(Vec::new(), vec![entry(5, "first")]).await, Written::Done);
    let history = journal.history(&run()).await.expect("a history");
    assert_eq!(history, [entry(5, "first"), entry(10, "second"), entry(10, "third"), entry(20, "fourth")].map(|(_, entry)| entry));
    assert_eq!(journal.history(&RunId("failover-19990101T000000Z".to_owned())).await.expect("a history"), Vec::new());

    // A deletion has its condition too; after it the item begins anew.
    assert_eq!(write(vec![delete("a", 2)], Vec::new()).await, Written::Lost);
    assert_eq!(write(vec![delete("a", 3), put("b", Some(1), "fourth")], Vec::new()).await, Written::Done);
    assert_eq!(write(vec![delete("a", 3)], Vec::new()).await, Written::Lost);
    assert_eq!((seen(&read().await, "a"), seen(&read().await, "b")), (None, is("fourth", 2)));
    assert_eq!(write(vec![put("a", None, "again")], Vec::new()).await, Written::Done);
    assert_eq!(seen(&read().await, "a"), is("again", 1));

    // As it was found.
    assert_eq!(write(vec![delete("a", 1), delete("b", 2)], Vec::new()).await, Written::Done);
}
