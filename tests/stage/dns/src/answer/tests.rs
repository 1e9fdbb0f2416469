//! Route 53's choice of records, by its situations.

use std::cell::RefCell;

use rstest::rstest;

use super::*;

fn set(name: &str, routing: Routing, check: Option<&str>, value: Value) -> RecordSet {
    let kind = match value {
        Value::A(_) => Kind::A,
        Value::Cname(_) => Kind::Cname,
        Value::Txt(_) => Kind::Txt,
        Value::Srv { .. } => Kind::Srv,
    };
    RecordSet { name: name.to_owned(), kind, routing, ttl: 60, check: check.map(str::to_owned), data: Data::Values(vec![value]) }
}

fn alias(name: &str, routing: Routing, target: &str, evaluate_health: bool) -> RecordSet {
    RecordSet { data: Data::Alias { target: target.to_owned(), evaluate_health }, ..set(name, routing, None, Value::A([127, 0, 0, 1].into())) }
}

fn text(value: &str) -> Value {
    Value::Txt(vec![value.to_owned()])
}

fn cname(target: &str) -> Value {
    Value::Cname(target.to_owned())
}

fn config(sets: impl IntoIterator<Item = RecordSet>) -> Config {
    let mut config = Config::default();
    config.zones.insert("example.com".to_owned());
    sets.into_iter().for_each(|set| config.add(set));
    config
}

/// Answers with the checks of `ill` unhealthy, and `drawn` as the random number.
fn ask(config: &Config, ill: &[&str], drawn: u32, name: &str, kind: Option<Kind>) -> Answer {
    Judge { config, healthy: &|id| !ill.contains(&id), draw: &|_| drawn }.answer(name, kind)
}

fn texts(answer: &Answer) -> Vec<&str> {
    let text = |record| match record {
        &Record { value: Value::Txt(ref strings), .. } => strings.first().map(String::as_str),
        _ => None,
    };
    answer.records.iter().filter_map(text).collect()
}

#[rstest]
#[case::both_healthy_answers_primary(&[], "primary")]
#[case::primary_ill_answers_secondary(&["p"], "secondary")]
#[case::secondary_ill_answers_primary(&["s"], "primary")]
#[case::both_ill_answers_primary(&["p", "s"], "primary")]
fn failover_with_two_checks(#[case] ill: &[&str], #[case] expected: &str) {
    let config = config([
        set("v.example.com", Routing::Secondary, Some("s"), text("secondary")),
        set("v.example.com", Routing::Primary, Some("p"), text("primary")),
    ]);
    let answer = ask(&config, ill, 0, "v.example.com", Some(Kind::Txt));
    assert_eq!(texts(&answer), [expected]);
}

#[test]
fn secondary_without_a_check_is_always_healthy() {
    let config = config([
        set("v.example.com", Routing::Primary, Some("p"), text("primary")),
        set("v.example.com", Routing::Secondary, None, text("secondary")),
    ]);
    let answer = ask(&config, &["p"], 0, "v.example.com", Some(Kind::Txt));
    assert_eq!(texts(&answer), ["secondary"]);
}

#[test]
fn primary_alone_is_answered_even_when_ill() {
    let config = config([set("v.example.com", Routing::Primary, Some("p"), text("primary"))]);
    let answer = ask(&config, &["p"], 0, "v.example.com", Some(Kind::Txt));
    assert_eq!(texts(&answer), ["primary"]);
}

#[rstest]
#[case::first_share(&[], 0, "ten")]
#[case::end_of_the_first_share(&[], 9, "ten")]
#[case::second_share(&[], 10, "thirty")]
#[case::end_of_the_second_share(&[], 39, "thirty")]
#[case::ill_one_is_left_out(&["ten"], 5, "thirty")]
#[case::zero_serves_when_all_with_weight_are_ill(&["ten", "thirty"], 0, "zero")]
#[case::all_ill_counts_those_with_weight_again(&["ten", "thirty", "zero"], 10, "thirty")]
fn weighted(#[case] ill: &[&str], #[case] drawn: u32, #[case] expected: &str) {
    let config =
        config([("ten", 10), ("thirty", 30), ("zero", 0)].map(|(id, weight)| set("w.example.com", Routing::Weighted(weight), Some(id), text(id))));
    let answer = ask(&config, ill, drawn, "w.example.com", Some(Kind::Txt));
    assert_eq!(texts(&answer), [expected]);
}

#[test]
fn all_weights_zero_are_drawn_evenly() {
    let config = config(["a", "b"].map(|id| set("w.example.com", Routing::Weighted(0), None, text(id))));
    let bounds = RefCell::new(Vec::new());
    let judge = Judge {
        config: &config,
        healthy: &|_| true,
        draw: &|below| {
            bounds.borrow_mut().push(below);
            1
        },
    };
    assert_eq!(texts(&judge.answer("w.example.com", Some(Kind::Txt))), ["b"]);
    assert_eq!(*bounds.borrow(), [2]);
}

#[test]
fn cname_in_the_zone_is_followed_and_its_target_answered_too() {
    let config = config([
        set("api.example.com", Routing::Primary, Some("p"), cname("one.example.com")),
        set("api.example.com", Routing::Secondary, None, cname("two.example.com")),
        set("one.example.com", Routing::Simple, None, Value::A([127, 0, 0, 1].into())),
        set("two.example.com", Routing::Simple, None, Value::A([127, 0, 0, 2].into())),
    ]);
    let answer = ask(&config, &["p"], 0, "API.example.com.", Some(Kind::A));
    let found: Vec<_> = answer.records.into_iter().map(|record| (record.name, record.value)).collect();
    assert_eq!(found, [("api.example.com".to_owned(), cname("two.example.com")), ("two.example.com".to_owned(), Value::A([127, 0, 0, 2].into())),]);
}

#[test]
fn cname_that_leaves_the_zones_is_answered_alone() {
    let config = config([set("api.example.com", Routing::Simple, None, cname("lb.elsewhere.net"))]);
    let answer = ask(&config, &[], 0, "api.example.com", Some(Kind::A));
    assert_eq!((answer.code, answer.records.len(), answer.negative_in), (Code::NoError, 1, None));
}

#[test]
fn cname_in_a_circle_ends() {
    let config = config([
        set("a.example.com", Routing::Simple, None, cname("b.example.com")),
        set("b.example.com", Routing::Simple, None, cname("a.example.com")),
    ]);
    assert_eq!(ask(&config, &[], 0, "a.example.com", Some(Kind::A)).records.len(), MAX_CHAIN);
}

#[rstest]
#[case::no_such_name("missing.example.com", Some(Kind::A), Code::NxDomain, Some("example.com"))]
#[case::other_type_is_no_data("v.sub.example.com", Some(Kind::A), Code::NoError, Some("example.com"))]
#[case::type_never_stored_is_no_data("v.sub.example.com", None, Code::NoError, Some("example.com"))]
#[case::name_above_a_name_exists("sub.example.com", Some(Kind::Txt), Code::NoError, Some("example.com"))]
#[case::the_zone_itself_exists("example.com", Some(Kind::Txt), Code::NoError, Some("example.com"))]
#[case::another_zone_is_refused("example.org", Some(Kind::A), Code::Refused, None)]
#[case::similar_ending_is_another_zone("notexample.com", Some(Kind::A), Code::Refused, None)]
fn negative(#[case] name: &str, #[case] kind: Option<Kind>, #[case] code: Code, #[case] soa: Option<&str>) {
    let config = config([set("v.sub.example.com", Routing::Simple, None, text("x"))]);
    let answer = ask(&config, &[], 0, name, kind);
    assert_eq!((answer.code, answer.records.len(), answer.negative_in.as_deref()), (code, 0, soa));
}

#[test]
fn wildcard_serves_names_below_but_not_one_that_exists() {
    let config = config([set("*.example.com", Routing::Simple, None, text("any")), set("own.example.com", Routing::Simple, None, text("own"))]);
    let ask = |name: &str| ask(&config, &[], 0, name, Some(Kind::Txt));
    assert_eq!(texts(&ask("deep.below.example.com")), ["any"]);
    assert_eq!(texts(&ask("own.example.com")), ["own"]);
}

#[rstest]
#[case::healthy_target(&[], [127, 0, 0, 1])]
#[case::ill_target(&["p"], [127, 0, 0, 2])]
fn alias_takes_the_health_of_its_target(#[case] ill: &[&str], #[case] expected: [u8; 4]) {
    let config = config([
        alias("api.example.com", Routing::Primary, "one.example.com", true),
        alias("api.example.com", Routing::Secondary, "two.example.com", false),
        set("one.example.com", Routing::Weighted(1), Some("p"), Value::A([127, 0, 0, 1].into())),
        set("two.example.com", Routing::Simple, None, Value::A([127, 0, 0, 2].into())),
    ]);
    let answer = ask(&config, ill, 0, "api.example.com", Some(Kind::A));
    let expected = Record { name: "api.example.com".to_owned(), ttl: 60, value: Value::A(expected.into()) };
    assert_eq!(answer.records, [expected]);
}

#[rstest]
#[case::by_name("lb.us-east-2.elb.amazonaws.com", Some("127.0.0.1:4711"))]
#[case::by_cname("api.example.com", Some("127.0.0.1:4711"))]
#[case::by_alias("alias.example.com", Some("127.0.0.1:4711"))]
#[case::by_wildcard("stop.s3.us-west-2.amazonaws.com", Some("127.0.0.1:4712"))]
#[case::without_a_service_keeps_the_port("plain.example.com", Some("127.0.0.9:80"))]
#[case::address_literal("127.0.0.8", Some("127.0.0.8:80"))]
#[case::unknown("nobody.example.com", None)]
fn http_address_follows_to_the_hosts_port(#[case] host: &str, #[case] expected: Option<&str>) {
    let lb = "lb.us-east-2.elb.amazonaws.com";
    let mut config = config([
        set("api.example.com", Routing::Simple, None, cname(lb)),
        alias("alias.example.com", Routing::Simple, lb, true),
        set("plain.example.com", Routing::Simple, None, Value::A([127, 0, 0, 9].into())),
    ]);
    config.add_endpoint(lb, "127.0.0.1:1".parse().unwrap());
    config.add_endpoint(lb, "192.0.2.1:4711".parse().unwrap());
    config.add_endpoint("*.s3.us-west-2.amazonaws.com", "127.0.0.1:4712".parse().unwrap());
    let judge = Judge { config: &config, healthy: &|_| true, draw: &|_| 0 };
    let expected = expected.map(|address| address.parse().unwrap());
    assert_eq!(judge.http_address(host, 80), expected);
}
