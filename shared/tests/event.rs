//! Every file in events/ is parsed into what it says; what can't be read is said, and silences nothing beside it.

use std::{fs, path::Path};

use relight::event::{Command, Parsed, RotationStepName, Trigger, Unreadable, parse};
use relight::evidence::Word;
use serde_json::{Value, json};

fn load(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events").join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn parsed(name: &str) -> Parsed {
    parse(&load(name))
}

fn only(name: &str) -> Trigger {
    let mut parsed = parsed(name);
    assert!(parsed.unreadable.is_empty(), "{name}: {:?}", parsed.unreadable);
    assert_eq!(parsed.triggers.len(), 1, "{name}");
    parsed.triggers.remove(0)
}

#[test]
fn every_file_but_the_unreadable_one_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let mut names: Vec<String> =
        fs::read_dir(folder).expect("events/").map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".json") && name != "unreadable.json");
    assert!(names.len() >= 25, "{names:?}");
    for name in names {
        let parsed = parsed(&name);
        assert!(parsed.unreadable.is_empty() && !parsed.triggers.is_empty(), "{name}: {:?}", parsed.unreadable);
    }
}

#[test]
fn an_alarm_brings_its_word_and_the_time_of_its_change() {
    let Trigger::Alarm(alarm) = only("alarm.json") else { panic!("an alarm") };
    assert_eq!(alarm.word, Word::Down);
    assert_eq!(alarm.changed_at.to_string(), "2026-01-05T00:05:11.123Z");
    assert_eq!(alarm.account, "123456789012");
    assert!(alarm.reason.starts_with("Threshold Crossed"));
}

#[test]
fn ok_is_up_and_insufficient_data_is_unknown() {
    let word = |name| match only(name) {
        Trigger::Alarm(alarm) => alarm.word,
        other => panic!("{other:?}"),
    };
    assert_eq!(word("alarm-ok.json"), Word::Up);
    assert_eq!(word("alarm-insufficient-data.json"), Word::Unknown);
}

#[test]
fn a_composite_alarm_needs_no_trigger() {
    let Trigger::Alarm(alarm) = only("alarm-composite.json") else { panic!("an alarm") };
    assert!(alarm.arn.ends_with(":alarm:shop-primary-composite"));
}

#[test]
fn the_account_is_the_arns_own() {
    let Trigger::Alarm(alarm) = only("alarm-other-account.json") else { panic!("an alarm") };
    assert_eq!(alarm.account, "999999999999");
}

#[test]
fn several_records_are_several_triggers() {
    assert_eq!(parsed("alarms-several.json").triggers.len(), 2);
}

#[test]
fn a_record_that_cannot_be_read_does_not_silence_the_others() {
    let mut event = load("alarms-several.json");
    event["Records"][0]["Sns"]["Message"] = json!("not json");
    let parsed = parse(&event);
    assert_eq!(parsed.triggers.len(), 1);
    assert!(parsed.unreadable[0].to_string().starts_with("record 1 of 2: "), "{}", parsed.unreadable[0]);
}

#[test]
fn an_alarm_without_its_arn_is_unreadable_and_the_sentence_names_an_example() {
    let parsed = parsed("unreadable.json");
    assert!(parsed.triggers.is_empty());
    assert!(parsed.unreadable[0].to_string().contains("see events/alarm.json"), "{}", parsed.unreadable[0]);
}

#[test]
fn ticks_come_from_an_explicit_input_a_rule_or_the_scheduler() {
    for name in ["tick.json", "tick-eventbridge-rule.json", "tick-eventbridge-scheduler.json"] {
        assert_eq!(only(name), Trigger::Tick, "{name}");
    }
}

#[test]
fn the_drill_has_an_input_of_its_own() {
    assert_eq!(only("drill.json"), Trigger::Drill);
}

#[test]
fn a_progress_notice_reads_alike_by_hand_and_over_sns() {
    assert_eq!(only("progress.json"), only("progress-sns.json"));
}

/// What a message of a topic says, in the envelope of SNS.
fn by_topic(message: &Value) -> Parsed {
    let mut event = load("progress-sns.json");
    event["Records"][0]["Sns"]["Message"] = json!(message.to_string());
    parse(&event)
}

#[test]
fn whoever_publishes_to_a_topic_gives_no_order_starts_no_drill_and_rotates_nothing() {
    let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")).expect("events/");
    let names = folder.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    let directly = |name: &str| name.starts_with("operator-") || name.starts_with("rotation-") || name.starts_with("tick") || name == "drill.json";
    let names: Vec<String> = names.filter(|name| directly(name)).collect();
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        let parsed = by_topic(&load(&name));
        assert!(parsed.triggers.is_empty(), "{name}: {:?}", parsed.triggers);
        assert!(parsed.unreadable[0].to_string().contains("a topic brings alarms and progress"), "{name}: {}", parsed.unreadable[0]);
    }
    assert_eq!(by_topic(&load("progress.json")).triggers, [only("progress.json")]);
}

#[test]
fn the_four_steps_of_a_rotation_are_told_apart() {
    let step = |name| match only(name) {
        Trigger::Rotation(step) => step.step,
        other => panic!("{other:?}"),
    };
    assert_eq!(step("rotation-create-secret.json"), RotationStepName::CreateSecret);
    assert_eq!(step("rotation-set-secret.json"), RotationStepName::SetSecret);
    assert_eq!(step("rotation-test-secret.json"), RotationStepName::TestSecret);
    assert_eq!(step("rotation-finish-secret.json"), RotationStepName::FinishSecret);
}

#[test]
fn every_order_has_a_file_named_like_it() {
    let commands = [
        Command::Failover,
        Command::Drill,
        Command::Failback,
        Command::SwitchHome,
        Command::StandDown,
        Command::Release,
        Command::Approve,
        Command::AcceptLoss,
        Command::SwitchAnyway,
        Command::Replan,
        Command::Status,
    ];
    for command in commands {
        let Trigger::Operator(order) = only(&format!("operator-{command}.json")) else { panic!("an order") };
        assert_eq!(order.command, command);
    }
    let Trigger::Operator(hold) = only("operator-hold.json") else { panic!("an order") };
    assert_eq!(hold.command, Command::Hold { lasting: Some("2h".parse().expect("a time")) });
}

#[test]
fn what_nobody_sends_is_unknown() {
    for event in [json!({}), json!([]), json!("x"), json!({ "relight": "reboot" }), json!({ "Records": [] }), json!({ "source": "aws.s3" })] {
        let parsed = parse(&event);
        assert!(parsed.triggers.is_empty() && !parsed.unreadable.is_empty(), "{event}");
    }
}

#[test]
fn an_unknown_order_says_where_the_known_ones_stand() {
    let parsed = parse(&json!({ "operator": { "command": "reboot" } }));
    let said = parsed.unreadable[0].to_string();
    assert!(said.contains("unknown variant `reboot`") && said.contains("see events/"), "{said}");
}

#[test]
fn a_payload_of_256_kb_is_read_or_refused_like_any_other() {
    let mut event = load("alarm.json");
    let mut alarm: Value = serde_json::from_str(event["Records"][0]["Sns"]["Message"].as_str().expect("a message")).expect("JSON");
    alarm["NewStateReason"] = json!("x".repeat(250 * 1024));
    event["Records"][0]["Sns"]["Message"] = json!(alarm.to_string());
    let Trigger::Alarm(alarm) = &parse(&event).triggers[0] else { panic!("an alarm") };
    assert_eq!(alarm.reason.len(), 300, "what goes into the journal stays small");
    assert!(matches!(parse(&json!({ "filler": "x".repeat(256 * 1024) })).unreadable[..], [Unreadable::Unknown]));
}
