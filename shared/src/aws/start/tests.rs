//! Settings and time of an invocation.

use super::*;
use crate::ports::{CallError, JournalError, Why};
use crate::run::{Mode, Phase, Step, transition};
use crate::state::{Item, Key, Snapshot};

const ALL: [&str; 12] = [
    "RELIGHT_TABLE",
    "RELIGHT_PLAN",
    "RELIGHT_TOPIC",
    "RELIGHT_PEOPLE",
    "RELIGHT_REPORTS",
    "RELIGHT_RESOLVER",
    "RELIGHT_ROTATION_FUNCTION",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
];

/// May be absent: the system's resolver, credentials without a session, AWS itself.
const OPTIONAL: [&str; 3] = ["RELIGHT_RESOLVER", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"];

#[test]
fn each_setting_comes_from_the_variable_of_its_name() {
    let settings = Settings::from(|name| Some(format!("value of {name}"))).unwrap();
    let values = [settings.table, settings.plan, settings.progress_topic, settings.people_topic, settings.reports];
    let values = values.into_iter().chain(settings.resolver).chain([settings.rotation_function, settings.region]);
    let credentials = &settings.credentials;
    let keys = [credentials.access_key_id(), credentials.secret_access_key()].into_iter().chain(credentials.session_token());
    let values = values.chain(keys.map(str::to_owned)).chain(settings.endpoint);
    assert_eq!(values.collect::<Vec<_>>(), ALL.map(|name| format!("value of {name}")));
}

#[test]
fn a_variable_that_is_missing_or_empty_is_named_with_the_remedy() {
    for lacking in ALL.into_iter().filter(|name| !OPTIONAL.contains(name)) {
        for nothing in [None, Some(String::new())] {
            let error = Settings::from(|name| if name == lacking { nothing.clone() } else { Some("x".to_owned()) }).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the environment lacks {lacking}; Lambda and the template infra/control set it, deploy the function from there")
            );
        }
    }
}

#[test]
fn what_may_be_absent_may_be_empty() {
    let settings = Settings::from(|name| Some(if OPTIONAL.contains(&name) { String::new() } else { "x".to_owned() })).unwrap();
    assert_eq!((settings.resolver, settings.credentials.session_token(), settings.endpoint), (None, None, None));
}

#[test]
fn the_heartbeat_beats_unless_the_template_says_no() {
    let beats = |said: Option<&str>| {
        let settings = Settings::from(|name| if name == "RELIGHT_HEARTBEAT" { said.map(str::to_owned) } else { Some("x".to_owned()) });
        settings.unwrap().heartbeat
    };
    assert_eq!([beats(None), beats(Some("yes")), beats(Some("no"))], [true, true, false]);
}

#[test]
fn what_only_readiness_asks_for_may_be_missing() {
    let settings = |gone: bool| {
        let optional = ["RELIGHT_ALARMS", "RELIGHT_ARNS", "RELIGHT_STOP"];
        let settings = Settings::from(|name| (!gone || !optional.contains(&name)).then(|| name.to_owned())).unwrap();
        [settings.alarm_topic, settings.arns, settings.stop_bucket]
    };
    assert_eq!(settings(false), ["RELIGHT_ALARMS", "RELIGHT_ARNS", "RELIGHT_STOP"]);
    assert_eq!(settings(true), ["", "", ""]);
}

#[test]
fn polling_ends_a_margin_before_lambda_ends_the_invocation() {
    let now: Timestamp = "2026-01-05T00:05:00Z".parse().unwrap();
    let after = |seconds: i64| u64::try_from(now.as_millisecond() + seconds * 1000).unwrap();
    assert_eq!(budget(after(900), now), Duration::from_secs(890));
    assert_eq!(budget(after(10), now), Duration::ZERO);
    assert_eq!(budget(after(3), now), Duration::ZERO);
    assert_eq!(budget(after(-5), now), Duration::ZERO, "a clock that jumped ahead of the deadline");
    assert_eq!(budget(u64::MAX, now), Duration::ZERO, "a deadline that is no time");
}

#[test]
fn a_failed_invocation_is_told_by_a_name_that_is_no_type_of_rust() {
    let unread = Snapshot::of(vec![Item { key: Key::Head, revision: 1, body: Value::from(5) }]).unwrap_err();
    let plan = crate::plan::Plan::stored("sundial = true").unwrap_err();
    let call = |why| NudgeError::Work(CallError::new("rds:PromoteReadReplica", why).into());
    let cases = [
        (JournalError::NoTable { table: "t".to_owned(), region: "r".to_owned() }.into(), "NoJournal"),
        (JournalError::Call { doing: "read", message: "time-out".to_owned() }.into(), "JournalUnreachable"),
        (JournalError::Content(unread).into(), "JournalUnread"),
        (NudgeError::NoPlan, "NoPlan"),
        (NudgeError::PlanUnread { version: 3, remedy: "x", source: plan }, "PlanUnread"),
        (NudgeError::Unreadable(Vec::new()), "EventUnreadable"),
        (transition(Mode::Drill, Phase::Closed, Step::Hold).unwrap_err().into(), "IllegalStep"),
        (call(Why::Throttled), "CallThrottled"),
        (call(Why::Denied("x".to_owned())), "CallDenied"),
        (call(Why::NotFound("x".to_owned())), "NotFound"),
        (call(Why::State("x".to_owned())), "StateRefused"),
        (call(Why::Unanswered("x".to_owned())), "CallUnanswered"),
        (call(Why::Other("x".to_owned(), None)), "CallFailed"),
    ];
    for (error, name) in cases {
        let said = error.to_string();
        let told = Diagnostic::from(Failed::from(error));
        assert_eq!((told.error_type.as_str(), told.error_message), (name, said));
    }
}
