//! Each mistake that a person can make in a plan is found, on its line, with its remedy; and all of them at once.

use relight::plan::{Mistakes, Plan};

const GOOD: &str = include_str!("../../infra/examples/pilot-light/relight.toml");

fn mistakes(text: &str) -> Mistakes {
    Plan::parse(text).expect_err("the plan has a mistake")
}

/// Replaces one line and expects exactly one mistake there.
#[track_caller]
fn one(line: &str, with: &str, key: &str, reason: &str) {
    let at = GOOD.lines().position(|found| found == line).unwrap_or_else(|| panic!("the example has no line `{line}`"));
    let text = GOOD.replacen(line, with, 1);
    let found = mistakes(&text);
    assert_eq!(found.0.len(), 1, "{found}");
    let mistake = &found.0[0];
    assert_eq!((mistake.line, mistake.key.as_str()), (at + 1, key), "{found}");
    assert!(mistake.reason.contains(reason), "{found}");
    assert!(!mistake.remedy.is_empty());
}

#[test]
fn the_example_is_a_good_plan() {
    let plan = Plan::parse(GOOD).expect("a good plan");
    assert_eq!(plan.services[0].desired, 4);
    assert_eq!(plan.policy.quorum, 2);
}

#[test]
fn a_plan_survives_the_journal() {
    let plan = Plan::parse(GOOD).expect("a good plan");
    assert_eq!(Plan::stored(GOOD).expect("the same text"), plan);
}

#[test]
fn what_the_example_only_mentions_is_a_good_plan_too() {
    let mentioned: String =
        GOOD.lines().map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line).to_owned() + "\n").collect();
    let database = Plan::parse(&mentioned).expect("a good plan").databases.remove(0);
    assert_eq!((database.multi_az, database.deletion_protection), (Some(true), Some(true)));
    assert!(database.instance_class.is_some() && database.parameter_group.is_some() && database.proxy.is_some());
}

#[test]
fn what_a_plan_does_not_say_of_an_instance_is_left_as_it_is() {
    let database = |text: &str| Plan::parse(text).expect("a good plan").databases[0].clone();
    let silent = database(GOOD);
    assert_eq!((silent.multi_az, silent.parameter_group, silent.deletion_protection), (None, None, None));
    let keys = "multi_az = true\nparameter_group = \"orders-serving\"\ndeletion_protection = false\nbackup_retention_days = 7";
    let said = database(&GOOD.replace("backup_retention_days = 7", keys));
    assert_eq!((said.multi_az, said.parameter_group.as_deref(), said.deletion_protection), (Some(true), Some("orders-serving"), Some(false)));
}

/// The example with a second and a third database behind the first.
fn three(first: &str, second: &str, third: &str) -> String {
    let more = |name: &str, after: &str| {
        format!("[[database]]\nname = \"{name}\"\nengine = \"postgres\"\nprimary = \"{name}\"\nreplica = \"{name}-replica\"\n{after}\n\n")
    };
    let text = GOOD.replacen("[[secret]]", &format!("{}{}[[secret]]", more("users", second), more("bills", third)), 1);
    text.replacen("backup_retention_days = 7", &format!("backup_retention_days = 7\n{first}"), 1)
}

#[test]
fn databases_may_wait_for_each_other_in_any_order_but_a_circle() {
    let plan = Plan::parse(&three("", "after = \"orders\"", "after = \"users\"")).expect("a good plan");
    assert_eq!(plan.databases.iter().map(|database| database.after.as_deref()).collect::<Vec<_>>(), [None, Some("orders"), Some("users")]);
    Plan::parse(&three("after = \"bills\"", "after = \"bills\"", "")).expect("a good plan, too");

    let found = mistakes(&three("after = \"bills\"", "after = \"orders\"", "after = \"users\""));
    let keys: Vec<&str> = found.0.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["database[0].after", "database[1].after", "database[2].after"], "{found}");
    assert!(found.to_string().contains("`orders` would wait for itself"), "{found}");
    for (second, said) in [("nobody", "no other [[database]] is named `nobody`"), ("users", "no other [[database]] is named `users`")] {
        let found = mistakes(&three("", &format!("after = \"{second}\""), "after = \"users\""));
        assert_eq!(found.0.len(), 1, "{found}");
        assert!(found.to_string().contains(said), "{found}");
    }
}

#[test]
fn a_mysql_that_is_to_be_brought_home_names_a_parameter_group_that_it_alone_has() {
    let mysql = |text: String| text.replace("engine = \"postgres\"", "engine = \"mysql\"");
    let found = mistakes(&mysql(GOOD.to_owned()));
    assert_eq!((found.0.len(), found.0[0].key.as_str()), (1, "database[0].parameter_group"), "{found}");
    assert!(found.to_string().contains("by hand"), "{found}");
    let shop = "parameter_group = \"shop\"";
    Plan::parse(&mysql(three(shop, "parameter_group = \"users\"", ""))).expect("a good plan");
    let found = mistakes(&mysql(three(shop, shop, "")));
    assert_eq!((found.0.len(), found.0[0].key.as_str()), (1, "database[0].parameter_group"), "{found}");
    assert!(found.to_string().contains("`shop` is also that of another database"), "{found}");
}

#[test]
fn a_proxy_before_two_databases_is_refused() {
    let found = mistakes(&three("proxy = \"shop\"", "proxy = \"shop\"", ""));
    assert_eq!(found.0.len(), 1, "{found}");
    assert!(found.to_string().contains("database[1].proxy: `shop` stands before another database"), "{found}");
}

#[test]
fn left_out_objectives_and_policy_take_their_defaults() {
    let plan = Plan::parse(&GOOD.replace("rto = \"15m\"\nrpo = \"5m\"\n", "")).expect("a good plan");
    assert_eq!(plan.objectives.rto.as_mins(), 15);
    assert_eq!(plan.objectives.rpo.as_mins(), 5);
    assert_eq!(plan.drill.schedule, "cron(5 0 ? * 2#1 *)");
}

#[test]
fn each_mistake_is_found_on_its_line() {
    one("name = \"shop\"", "name = \"Shop!\"", "name", "cannot name a plan");
    one("standby = \"us-west-2\"", "standby = \"us-east-2\"", "standby", "it is the primary Region");
    one("standby = \"us-west-2\"", "standby = \"Oregon\"", "standby", "`Oregon` is no Region");
    one("rto = \"15m\"", "rto = \"0s\"", "objectives.rto", "can't be met");
    one("desired = 4", "desired = 20", "service[0].desired", "20 is not between 4 and 12");
    one("desired = 3", "desired = 9", "group[0].desired", "9 is not between 2 and 6");
    one("replica = \"shop-orders-replica\"", "replica = \"arn:aws:rds:x\"", "database[0].replica", "no DB instance identifier");
    one("backup_retention_days = 7", "backup_retention_days = 0", "database[0].backup_retention_days", "0 days");
    one("backup_retention_days = 7", "proxy = \"arn:x\"", "database[0].proxy", "no proxy's name");
    one(
        "heartbeat = \"shop/orders/admin\"",
        "heartbeat = \"shop/users\"",
        "database[0].heartbeat",
        "no [[secret]] of this database is named `shop/users`",
    );
    one("backup_retention_days = 7", "parameter_group = \"\"", "database[0].parameter_group", "empty");
    one("admin = \"shop/orders/admin\"", "admin = \"elsewhere\"", "secret[1].admin", "not in the plan");
    one("record = \"www.shop.example\"", "record = \"www\"", "traffic.record", "no DNS name");
    one("healthy_url = \"https://standby.shop.example/health\"", "healthy_url = \"standby\"", "traffic.healthy_url", "no URL");
    one("url = \"https://primary.shop.example/health\"", "url = \"ftp://x\"", "observer[0].url", "no URL");
    one("hold = \"1h\"", "hold = \"4h\"", "drill.hold", "ends the hold");
    one("dwell = \"1m\"", "dwell = \"40m\"", "policy.dwell", "expire before the dwell");
    one("quorum = 2", "quorum = 3", "policy.quorum", "3 independent observers are asked for, there are 2");
    one("quorum = 2", "quorum = 0", "policy.quorum", "confirms everything");
}

#[test]
fn a_missing_admin_is_found_at_its_secret() {
    let text = GOOD.replace("admin = \"shop/orders/admin\"\n", "");
    assert!(mistakes(&text).0[0].reason.contains("alternating users need somebody"), "{}", mistakes(&text));
}

#[test]
fn a_mixed_capacity_provider_strategy_is_refused() {
    one(
        "capacity_providers = [{ provider = \"FARGATE\", base = 1 }]",
        "capacity_providers = [{ provider = \"FARGATE\" }, { provider = \"shop-asg\" }]",
        "service[0].capacity_providers",
        "cannot mix",
    );
}

#[test]
fn an_alarm_of_another_account_is_refused() {
    one(
        "arn = \"arn:aws:cloudwatch:us-east-1:123456789012:alarm:shop-primary-health\"",
        "arn = \"arn:aws:cloudwatch:us-east-1:999999999999:alarm:shop-primary-health\"",
        "observer[2].arn",
        "of account 999999999999",
    );
}

#[test]
fn a_quorum_that_the_dark_would_silence_is_refused() {
    // Without the checkers the second witness is an alarm in us-east-1, which can die with the primary.
    let from = GOOD.find("[[observer]]\nname = \"checkers\"").expect("the example has checkers");
    let to = GOOD.find("[[observer]]\nname = \"alarm\"").expect("the example has an alarm");
    let text = format!("{}{}", &GOOD[..from], &GOOD[to..]);
    let found = mistakes(&text);
    assert!(found.0[0].reason.contains("with the primary Region and us-east-1 dark only 1 of them speak"), "{found}");
}

#[test]
fn a_plan_whose_every_observer_is_an_alarm_is_refused() {
    let (from, to) = (GOOD.find("[[observer]]").expect("observers"), GOOD.find("[drill]").expect("a drill"));
    let alarm = |name: &str| {
        format!("[[observer]]\nname = \"{name}\"\nkind = \"alarm\"\narn = \"arn:aws:cloudwatch:us-west-2:123456789012:alarm:{name}\"\n\n")
    };
    let found = mistakes(&format!("{}{}{}{}", &GOOD[..from], alarm("errors"), alarm("latency"), &GOOD[to..]));
    assert_eq!(found.0.len(), 1, "{found}");
    assert!(found.0[0].reason.contains("alarms alone confirm nothing"), "{found}");
}

#[test]
fn all_mistakes_are_listed_in_the_order_of_their_lines() {
    let text = GOOD.replace("desired = 4", "desired = 0").replace("rpo = \"5m\"", "rpo = \"-5m\"").replace("quorum = 2", "quorum = 7");
    let found = mistakes(&text);
    let keys: Vec<&str> = found.0.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["objectives.rpo", "service[0].desired", "service[0].desired", "policy.quorum"], "{found}");
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let text = GOOD.replace("name = \"checkers\"", "name = \"watcher\"");
    assert!(mistakes(&text).to_string().contains("observer[1].name: `watcher` stands twice"));
}

#[test]
fn a_poll_that_would_sleep_through_a_failover_is_refused() {
    one("dwell = \"1m\"", "poll = \"1h\"", "policy.poll", "sleep through");
}

#[test]
fn names_that_a_drill_would_delete_are_refused() {
    one("replica = \"shop-orders-replica\"", "replica = \"relight-drill-orders\"", "database[0].replica", "named like a disposable copy");
}

#[test]
fn an_admin_with_an_admin_is_refused() {
    let text = GOOD.replacen("rotate = false", "rotate = false\nadmin = \"shop/orders/app\"", 1);
    assert!(mistakes(&text).to_string().contains("secret[1].admin: the admin's secret has an admin itself"), "{}", mistakes(&text));
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let text = GOOD.replace("dwell = \"1m\"", "dwel = \"1m\"");
    let found = mistakes(&text);
    let line = GOOD.lines().position(|line| line == "dwell = \"1m\"").expect("a dwell") + 1;
    assert_eq!(found.0[0].line, line, "{found}");
    assert!(found.0[0].reason.contains("unknown field `dwel`"), "{found}");
}
