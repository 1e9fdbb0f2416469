//! What a version does not know, it keeps.
//!
//! While a deployment rolls, and after one was taken back, two versions of the functions share one journal. A body that was
//! read, understood in part and written back whole would lose what the other version wrote into it.
//!
//! ```text
//! read        { "id": "r1", "phase": "Confirmed", "wind": "NW" }     as it lies in the journal
//! understood  { "id": "r1", "phase": "Confirmed" }                   what this version makes of that
//! written     { "id": "r1", "phase": "Activating" }                  what this version wants there
//! kept        { "id": "r1", "phase": "Activating", "wind": "NW" }
//! ```
//!
//! A field for the rest in each type (`serde(flatten)`) was rejected: each of forty types would have to carry it, and the
//! one that is forgotten loses data in silence.

use serde_json::{Map, Value};

/// A thing is the same one while none of these changed; what stood beside the old one says nothing of a new one. `first_down`
/// tells one failure from the next: what was allowed or measured for one never counts for another.
const SAME: [&str; 10] = ["id", "run", "first_down", "kind", "owner", "until", "instance", "at", "seen", "sampled_at"];

/// `written`, with what of `read` this version did not understand and did not replace.
pub fn keep(read: &Value, understood: &Value, written: Value) -> Value {
    if written == *understood {
        return read.clone();
    }
    match (read, understood, written) {
        (Value::Object(read), Value::Object(understood), Value::Object(written)) if is_same(understood, &written) => {
            Value::Object(keep_in(read, understood, written))
        }
        (_, _, written) => written,
    }
}

fn is_same(was: &Map<String, Value>, is: &Map<String, Value>) -> bool {
    // The head's `run` is a thing, a progress item's is the name of one.
    let named = |thing: &'_ Map<String, Value>, name: &str| thing.get(name).filter(|value| !value.is_object() && !value.is_null()).cloned();
    SAME.iter().all(|name| named(was, name) == named(is, name))
}

fn keep_in(read: &Map<String, Value>, understood: &Map<String, Value>, mut written: Map<String, Value>) -> Map<String, Value> {
    for (name, was) in read {
        match (understood.get(name), written.remove(name)) {
            (Some(understood), Some(new)) => drop(written.insert(name.clone(), keep(was, understood, new))),
            // It was known and is gone: that is what this version wants.
            (Some(_), None) => {}
            (None, new) => drop(written.insert(name.clone(), new.unwrap_or_else(|| was.clone()))),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_understood_stays_where_it_was() {
        let read = json!({ "a": 1, "new": [1], "deep": { "b": 2, "new": { "x": true } } });
        let understood = json!({ "a": 1, "deep": { "b": 2 } });
        let kept = keep(&read, &understood, json!({ "a": 5, "deep": { "b": 7 } }));
        assert_eq!(kept, json!({ "a": 5, "new": [1], "deep": { "b": 7, "new": { "x": true } } }));
    }

    #[test]
    fn what_is_understood_and_taken_out_is_gone_with_all_that_stood_in_it() {
        let read = json!({ "held": { "x": { "b": 2, "new": 3 } }, "a": 1 });
        let understood = json!({ "held": { "x": { "b": 2 } }, "a": 1 });
        assert_eq!(keep(&read, &understood, json!({ "held": {}, "a": 1 })), json!({ "held": {}, "a": 1 }));
        assert_eq!(keep(&read, &understood, json!({ "held": null, "a": 1 })), json!({ "held": null, "a": 1 }));
    }

    #[test]
    fn what_did_not_change_is_written_as_it_was_read() {
        let read = json!({ "shares": [{ "provider": "FARGATE", "new": 1 }], "a": 1 });
        let understood = json!({ "shares": [{ "provider": "FARGATE" }], "a": 1 });
        let kept = keep(&read, &understood, json!({ "shares": [{ "provider": "FARGATE" }], "a": 2 }));
        assert_eq!(kept, json!({ "shares": [{ "provider": "FARGATE", "new": 1 }], "a": 2 }));
    }

    #[test]
    fn a_list_that_changed_is_this_versions() {
        let read = json!({ "shares": [{ "provider": "FARGATE", "new": 1 }] });
        let understood = json!({ "shares": [{ "provider": "FARGATE" }] });
        let written = json!({ "shares": [{ "provider": "FARGATE_SPOT" }] });
        assert_eq!(keep(&read, &understood, written.clone()), written);
    }

    #[test]
    fn nothing_of_another_run_another_failure_or_another_look_is_kept() {
        let runs = [("id", "r1", "r2"), ("first_down", "00:05", "03:00"), ("seen", "00:05", "00:06"), ("owner", "one", "other")];
        for (name, was, is) in runs {
            let read = json!({ name: was, "words": { "approve": null, "new": "ana" }, "new": 1 });
            let understood = json!({ name: was, "words": { "approve": null } });
            let written = json!({ name: is, "words": { "approve": null } });
            assert_eq!(keep(&read, &understood, written.clone()), written, "{name}");
        }
    }

    #[test]
    fn what_holds_a_run_outlives_it() {
        let (read, understood) = (json!({ "run": { "id": "r1" }, "new": 1 }), json!({ "run": { "id": "r1" } }));
        for run in [json!({ "id": "r2" }), json!(null)] {
            assert_eq!(keep(&read, &understood, json!({ "run": run })), json!({ "run": run, "new": 1 }));
        }
    }

    #[test]
    fn an_older_default_gives_way_to_a_newer_value() {
        // A field that is left out while it is empty is not known from what was read.
        let kept = keep(&json!({ "a": 1, "calls": {} }), &json!({ "a": 1 }), json!({ "a": 1, "calls": { "rds:X": 1 } }));
        assert_eq!(kept, json!({ "a": 1, "calls": { "rds:X": 1 } }));
    }
}
