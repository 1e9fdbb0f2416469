use super::*;

const TEXT: &str =
    r#"{"zone":"b","username":"app","password":"pa'ss\"w","engine":"postgres","host":"old.example","port":5432,"extra":{"a":[2],"b":1}}"#;

fn value(text: &str) -> SecretValue {
    SecretValue::parse(text).expect("a secret")
}

fn endpoint() -> Endpoint {
    Endpoint { host: "new.example".to_owned(), port: 6543 }
}

#[test]
fn behind_a_proxy_the_database_itself_stays_known_until_the_secret_moves_on() {
    let proxy = Endpoint { host: "proxy.example".to_owned(), port: 5432 };
    let through = value(TEXT).at(&endpoint()).through(&proxy).expect("an endpoint");
    assert_eq!((through.endpoint(), through.direct().endpoint()), (Ok(proxy.clone()), Ok(endpoint())));
    assert!(through.to_json().ends_with(r#""relight_direct":"new.example:6543"}"#));
    assert_eq!(through.direct(), value(TEXT).at(&endpoint()), "and nothing else differs");
    assert_eq!(through.at(&endpoint()), value(TEXT).at(&endpoint()), "where it goes next it says nothing of a proxy");
    assert_eq!(value(TEXT).direct(), value(TEXT));
    let odd = value(r#"{"host":"h","relight_direct":"no port"}"#);
    assert_eq!(odd.direct(), odd);
}

#[test]
fn another_endpoint_keeps_unknown_keys_and_their_order() {
    let moved = value(TEXT).at(&endpoint());
    let expected =
        r#"{"zone":"b","username":"app","password":"pa'ss\"w","engine":"postgres","host":"new.example","port":6543,"extra":{"a":[2],"b":1}}"#;
    assert_eq!(moved.to_json().as_str(), expected);
    assert_eq!(moved.endpoint(), Ok(endpoint()));
}

#[test]
fn a_port_that_was_a_string_stays_one() {
    let moved = value(r#"{"host":"h","port":"5432"}"#).at(&endpoint());
    assert_eq!(moved.to_json().as_str(), r#"{"host":"new.example","port":"6543"}"#);
    assert_eq!(moved.endpoint(), Ok(endpoint()));
}

#[test]
fn a_secret_without_engine_and_port_has_postgres_own() {
    let value = value(r#"{"host":"h","username":"u","password":"p"}"#);
    assert_eq!(value.endpoint().map(|endpoint| endpoint.port), Ok(5432));
    assert_eq!(value.database(), None);
}

#[test]
fn a_secret_of_mysql_or_mariadb_has_their_port_and_their_length_of_names() {
    let of = |engine: &str, user: &str| value(&format!(r#"{{"engine":"{engine}","host":"h","username":"{user}"}}"#));
    for engine in ["mysql", "mariadb"] {
        assert_eq!(of(engine, "app").endpoint().map(|endpoint| endpoint.port), Ok(3306));
    }
    let long = "x".repeat(30);
    assert_eq!(of("mysql", &long).twin(), Err(LoginError::NameTooLong { longest: 32 }));
    assert!(of("mariadb", &long).twin().is_ok());
    assert_eq!(of("oracle", "app").twin(), Err(LoginError::Engine("oracle".to_owned())));
}

#[test]
fn a_secret_of_another_engine_than_the_plans_is_said() {
    assert_eq!(value(r#"{"engine":"aurora-postgresql"}"#).must_be_of(Engine::Postgres), Ok(()), "one protocol");
    assert_eq!(value("{}").must_be_of(Engine::Postgres), Ok(()));
    assert_eq!(value(r#"{"engine":"mariadb"}"#).must_be_of(Engine::MariaDb), Ok(()));
    for (text, planned) in [("{}", Engine::MariaDb), (r#"{"engine":"postgres"}"#, Engine::MySql), (r#"{"engine":"mysql"}"#, Engine::MariaDb)] {
        let error = value(text).must_be_of(planned).expect_err("another engine").to_string();
        assert!(error.contains(planned.as_str()) && error.contains("`engine`"), "{error}");
    }
}

#[test]
fn a_port_that_is_none_is_said_and_not_guessed() {
    for port in ["70000", "\"x\"", "true", "-1", "1.5"] {
        let value = value(&format!(r#"{{"host":"h","port":{port}}}"#));
        assert_eq!(value.endpoint(), Err(LoginError::Incomplete("port")), "{port}");
    }
}

#[test]
fn ssl_missing_prefers_tls_and_what_it_says_is_binding() {
    let rule = |ssl: &str| value(&format!(r#"{{"host":"h"{ssl}}}"#)).tls();
    assert_eq!(rule(""), Tls::Preferred);
    assert_eq!(rule(r#","ssl":true"#), Tls::Required);
    assert_eq!(rule(r#","ssl":"True""#), Tls::Required);
    assert_eq!(rule(r#","ssl":false"#), Tls::Off);
    assert_eq!(rule(r#","ssl":"false""#), Tls::Off);
    assert_eq!(rule(r#","ssl":7"#), Tls::Preferred);
}

#[test]
fn users_alternate() {
    assert_eq!(value(r#"{"username":"app"}"#).twin().as_deref(), Ok("app_clone"));
    assert_eq!(value(r#"{"username":"app_clone"}"#).twin().as_deref(), Ok("app"));
    assert_eq!(value(r#"{"username":"_clone"}"#).twin().as_deref(), Ok("_clone_clone"));
    let long = format!(r#"{{"username":"{}"}}"#, "x".repeat(58));
    assert_eq!(value(&long).twin(), Err(LoginError::NameTooLong { longest: 63 }));
}

#[test]
fn an_arn_differs_in_its_region_only() {
    let arn = "arn:aws:secretsmanager:us-east-2:123456789012:secret:shop/admin-AbCdEf";
    assert_eq!(arn_in(arn, "us-west-2"), "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/admin-AbCdEf");
}

#[test]
fn nothing_that_is_shown_contains_the_value() {
    let shown = format!("{:?}{:#?}", value(TEXT), Some(value(TEXT)));
    assert!(!shown.contains("pa'ss") && !shown.contains("app") && !shown.contains("example"), "{shown}");
    for broken in [r#"{"password":"hunter2""#, r#""hunter2""#, "hunter2", r#"["hunter2"]"#, r#"{"a":"hunter2","a":"hunter2"}"#] {
        let error = SecretValue::parse(broken).expect_err("no object");
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn a_value_that_is_dropped_is_wiped_however_deep_a_text_lies_in_it() {
    fn is_wiped_when_dropped<T: ZeroizeOnDrop>(_: &T) {}
    let mut held = value(r#"{"password":"hunter2","list":["hunter2",{"deep":"hunter2"}],"port":5432}"#);
    is_wiped_when_dropped(&held);
    held.zeroize();
    assert_eq!(held.to_json().as_str(), r#"{"password":"","list":["",{"deep":""}],"port":5432}"#);
}
