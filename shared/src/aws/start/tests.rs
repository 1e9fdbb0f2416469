//! Settings and time of an invocation.

use super::*;

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
fn polling_ends_a_margin_before_lambda_ends_the_invocation() {
    let now: Timestamp = "2026-01-05T00:05:00Z".parse().unwrap();
    let after = |seconds: i64| u64::try_from(now.as_millisecond() + seconds * 1000).unwrap();
    assert_eq!(budget(after(900), now), Duration::from_secs(890));
    assert_eq!(budget(after(10), now), Duration::ZERO);
    assert_eq!(budget(after(3), now), Duration::ZERO);
    assert_eq!(budget(after(-5), now), Duration::ZERO, "a clock that jumped ahead of the deadline");
    assert_eq!(budget(u64::MAX, now), Duration::ZERO, "a deadline that is no time");
}
