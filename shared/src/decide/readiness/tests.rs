//! What the world cannot show in one look: how sentences are built from what was seen, and what a supposed run asks.

mod clusters;

use super::stack::Stack;
use super::*;
use crate::evidence::Word;
use crate::fold::open;
use crate::plan::{Bounds, InstancesDistribution, ProviderShare};
use crate::ports::{Described, GroupState, Quota, Rollout, ServiceName, ServiceState};
use crate::run::{Mode, Phase};
use crate::situations::{Situation, at, plan};
use crate::state::{HoldSwitch, Memory};

fn denied(operation: &'static str) -> Arc<CallError> {
    Arc::new(CallError::new(operation, Why::Denied("AccessDenied".to_owned())))
}

fn resolved(address: &str) -> Resolved {
    Resolved { names: Vec::new(), addresses: [address.parse().expect("an address")].into() }
}

/// All that the plan of the situations names, sound.
fn seen() -> Seen {
    let plan = plan();
    let service = ServiceState { desired: 1, running: 1, deployments: 1, ..ServiceState::default() };
    let replica = Instance {
        status: "available".to_owned(),
        source: Some("arn:aws:rds:us-east-2:123456789012:db:orders".to_owned()),
        replication: vec!["replicating".to_owned()],
        engine: "postgres".to_owned(),
        engine_version: "16.3".to_owned(),
        backup_retention: 1,
        ..Instance::default()
    };
    let secret = Described {
        replica_of: Some(plan.primary.clone()),
        stages: [("v1".to_owned(), ["AWSCURRENT".to_owned()].into())].into(),
        ..Described::default()
    };
    Seen {
        compute: Ok(ComputeSight { services: [(ServiceName::of(&plan.services[0]), Ok(Some(service)))].into(), ..ComputeSight::default() }),
        databases: Ok(DatabaseSight {
            replicas: [("orders".to_owned(), Ok(Some(replica)))].into(),
            lags: [("orders".to_owned(), Ok(vec![LagSample { at: at(-60), seconds: Some(2.0) }]))].into(),
            proxies: Found::new(),
            aurora: ClusterSight::default(),
            quotas: Arc::new(Ok(Vec::new())),
        }),
        secrets: Ok(SecretSight { secrets: [("shop/orders".to_owned(), Ok(Some(secret)))].into() }),
        traffic: Ok(TrafficSight {
            public: Fetched::Answered { status: 403, body: "<Code>AccessDenied</Code>".to_owned() },
            stop: Arc::new(Ok(false)),
            record: Arc::new(Ok(resolved("192.0.2.1"))),
            standby: Arc::new(Ok(resolved("198.51.100.1"))),
        }),
        audience: Read::new(),
    }
}

fn stack() -> Stack {
    let arns = [
        "arn:aws:ecs:us-west-2:123456789012:service/shop/web",
        "arn:aws:rds:us-west-2:123456789012:db:orders-replica",
        "arn:aws:rds:us-east-2:123456789012:db:orders",
        "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/orders-??????",
    ];
    Stack::deployed(&arns.join(","), "shop-stop", "arn:aws:lambda:us-west-2:123456789012:function:shop-relight-rotate-secret")
}

fn peace() -> Situation {
    let mut situation = Situation::peace();
    situation.both(Word::Up, -60, 0);
    let login = crate::state::LoginSeen { at: at(0), ok: true, said: "logs in".to_owned() };
    situation.journal.memory = Memory { last_good_drill: Some(at(-86_400)), logins: [("shop/orders".to_owned(), login)].into(), ..Memory::default() };
    situation
}

fn judged(situation: &Situation, seen: &Seen) -> Readiness {
    readiness(&situation.plan, &situation.journal, seen, &stack(), at(0))
}

fn sentences(readiness: &Readiness) -> Vec<String> {
    readiness.findings.iter().map(|finding| format!("{}: {finding}", finding.severity())).collect()
}

#[test]
fn a_sound_standby_has_no_finding() {
    assert_eq!(judged(&peace(), &seen()).findings, []);
}

#[test]
fn without_a_drill_nobody_knows_how_long_it_takes_and_without_a_lag_what_is_lost() {
    let mut situation = peace();
    situation.journal.memory.last_good_drill = None;
    let mut unknown = seen();
    unknown.databases.as_mut().expect("it looked").lags.insert("orders".to_owned(), Ok(Vec::new()));
    let readiness = judged(&situation, &unknown);
    assert_eq!((readiness.estimates.rto_seconds, readiness.estimates.rpo_seconds), (None, None));
    assert_eq!((readiness.blocking(), readiness.warnings()), (1, 1), "{:?}", sentences(&readiness));
}

#[test]
fn a_proxy_that_is_not_there_or_has_a_target_blocks_and_one_that_is_free_does_not() {
    let mut situation = peace();
    situation.plan.databases[0].proxy = Some("orders-proxy".to_owned());
    let found = |proxy: Result<Option<Proxy>, CallError>| {
        let mut seen = seen();
        seen.databases.as_mut().expect("it looked").proxies.insert("orders".to_owned(), proxy.map_err(Arc::new));
        judged(&situation, &seen).findings
    };
    let free = Proxy { status: "available".to_owned(), ..Proxy::default() };
    assert_eq!(found(Ok(Some(free.clone()))), []);
    assert_eq!(found(Ok(None)), [Finding::NoProxy { proxy: "orders-proxy".to_owned() }]);
    assert!(found(Ok(None))[0].is_about_what_is_not_there(), "such a plan is not put in force");
    let target = crate::ports::ProxyTarget { instance: "bills".to_owned(), ..Default::default() };
    let elsewhere = found(Ok(Some(Proxy { targets: vec![target], ..free.clone() })));
    assert_eq!(elsewhere, [Finding::ProxyElsewhere { proxy: "orders-proxy".to_owned(), target: "bills".to_owned() }]);
    assert!(elsewhere[0].remedy().contains("deregister-db-proxy-targets --db-proxy-name orders-proxy"), "{}", elsewhere[0].remedy());
    let made = found(Ok(Some(Proxy { status: "creating".to_owned(), ..free })));
    assert!(matches!(&made[..], [Finding::ProxyNotAvailable { .. }]), "{made:?}");
    let denied = found(Err(CallError::new("rds:DescribeDBProxies", Why::Denied("no".to_owned()))));
    assert!(matches!(&denied[..], [Finding::Unreadable { .. }]), "{denied:?}");
    assert_eq!(judged(&situation, &seen()).findings, [], "a version before this looks at no proxies");
}

#[test]
fn what_blocks_comes_first() {
    let mut situation = peace();
    situation.journal.memory.logins.clear();
    situation.journal.head.hold = Some(HoldSwitch { until: at(60), by: "ada".to_owned() });
    let found = sentences(&judged(&situation, &seen()));
    assert!(found[0].starts_with("blocking: ada holds") && found[1].starts_with("warning: "), "{found:?}");
}

#[test]
fn a_hold_that_has_run_out_is_no_finding() {
    let mut situation = peace();
    situation.journal.head.hold = Some(HoldSwitch { until: at(0), by: "ada".to_owned() });
    assert_eq!(judged(&situation, &seen()).findings, []);
}

#[test]
fn a_read_that_is_denied_for_what_the_stack_was_not_given_is_one_finding() {
    let mut denied_service = seen();
    let name = ServiceName::of(&plan().services[0]);
    denied_service.compute.as_mut().expect("it looked").services.insert(name, Err(denied("ecs:DescribeServices")));
    let here = judged(&peace(), &denied_service);
    assert!(
        matches!(&here.findings[..], [Finding::Unreadable { operation, unread: Unread::Denied, .. }] if operation == "ecs:DescribeServices"),
        "{here:?}"
    );
    assert!(here.findings[0].remedy().starts_with("give scale-up's role ecs:DescribeServices on it"), "{here:?}");

    let elsewhere = Stack::deployed(
        "arn:aws:rds:us-west-2:123456789012:db:*,arn:aws:rds:us-east-2:123456789012:db:*,arn:aws:secretsmanager:us-west-2:123456789012:secret:*",
        "shop-stop",
        "",
    );
    let found = readiness(&peace().plan, &peace().journal, &denied_service, &elsewhere, at(0));
    assert!(matches!(&found.findings[..], [Finding::OutsideStack { parameter: "EcsServiceArns", .. }]), "{found:?}");
}

#[test]
fn a_function_that_did_not_look_is_one_finding_and_nothing_is_said_of_what_it_would_have_seen() {
    let silent = |function, unread| Silence { function, unread };
    let mut nobody = seen();
    nobody.compute = Err(silent("scale-up", None));
    nobody.databases = Err(silent("promote-replica", None));
    nobody.secrets = Err(silent("rotate-secret", None));
    nobody.traffic = Err(silent("switch-traffic", Some("missing field `public`".to_owned())));
    let readiness = judged(&peace(), &nobody);
    let about: Vec<String> = readiness.findings.iter().map(Finding::about).collect();
    assert_eq!(about, ["scale-up", "promote-replica", "rotate-secret", "switch-traffic"], "{:?}", sentences(&readiness));
    assert_eq!((readiness.blocking(), readiness.estimates.rpo_seconds), (4, None));
}

#[test]
fn a_login_that_failed_blocks_and_one_that_nobody_made_is_a_warning() {
    let seen_at = |minutes: i64, ok: bool| {
        let mut situation = peace();
        let said = "orders-replica cannot be reached: refused; check the security group".to_owned();
        let login = crate::state::LoginSeen { at: at(-60 * minutes), ok, said };
        situation.journal.memory.logins.insert("shop/orders".to_owned(), login);
        judged(&situation, &seen()).findings
    };
    assert_eq!(seen_at(89, true), []);
    assert!(matches!(&seen_at(91, true)[..], [Finding::OldLogin { .. }]));
    let failed = seen_at(0, false);
    assert!(matches!(&failed[..], [Finding::LoginFailed { .. }]) && failed[0].remedy() == "check the security group", "{failed:?}");
    let mut never = peace();
    never.journal.memory.logins.clear();
    assert!(matches!(&judged(&never, &seen()).findings[..], [Finding::NoLogin { .. }]));
}

#[test]
fn a_heartbeat_that_does_not_arrive_is_a_warning_with_its_remedy() {
    let findings = |heartbeat: Option<&str>, ok: bool| {
        let mut situation = peace();
        situation.plan.databases[0].heartbeat = heartbeat.map(str::to_owned);
        let said = "no beat ever arrived at orders-replica; look at rotate-secret's log".to_owned();
        situation.journal.memory.heartbeats.insert("orders".to_owned(), crate::state::LoginSeen { at: at(0), ok, said });
        judged(&situation, &seen()).findings
    };
    let silent = findings(Some("shop/orders"), false);
    assert!(matches!(&silent[..], [Finding::NoBeat { .. }]) && silent[0].severity() == Severity::Warning, "{silent:?}");
    assert_eq!((silent[0].about(), silent[0].remedy()), ("database/orders".to_owned(), "look at rotate-secret's log".to_owned()));
    assert_eq!(findings(Some("shop/orders"), true), []);
    assert_eq!(findings(None, false), [], "a heartbeat that left the plan");
}

#[test]
fn a_role_reaches_what_iam_would_let_it_reach() {
    let reaches = |pattern: &str| {
        let stack = Stack::deployed(pattern, "shop-stop", "");
        let outside = stack.outside(&plan());
        !outside.iter().any(|finding| matches!(finding, Finding::OutsideStack { parameter: "EcsServiceArns", .. }))
    };
    for pattern in [
        "arn:aws:ecs:us-west-2:123456789012:service/shop/web",
        "arn:aws-us-gov:ecs:us-west-2:123456789012:service/shop/web",
        "arn:aws:ecs:us-west-2:123456789012:service/*",
        "arn:aws:ecs:*:123456789012:service/shop/we?",
    ] {
        assert!(reaches(pattern), "{pattern}");
    }
    for pattern in [
        "",
        "arn:aws:ecs:us-west-2:123456789012:service/shop/web2",
        "arn:aws:ecs:us-west-2:123456789012:service/shop/we",
        "arn:aws:ecs:us-east-2:123456789012:service/shop/web",
        "arn:aws:ecs:us-west-2:999999999999:service/shop/web",
    ] {
        assert!(!reaches(pattern), "{pattern}");
    }
}

#[test]
fn a_groups_uuid_is_awss_own() {
    let mut plan = plan();
    plan.groups.push(crate::plan::Group { name: "workers".to_owned(), min: 1, desired: 1, max: 1, instances: None });
    let outside = |pattern: &str| {
        let stack = Stack::deployed(pattern, "shop-stop", "");
        stack.outside(&plan).iter().any(|finding| finding.about() == "group/workers")
    };
    let arn = |uuid: &str, name: &str| format!("arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:{uuid}:autoScalingGroupName/{name}");
    assert!(!outside(&arn("*", "workers")));
    assert!(!outside(&arn("930d940e-891e-4781-a11a-7b0acd480f03", "workers")));
    assert!(outside(&arn("*", "others")) && outside(&arn("*", "worker")));
}

#[test]
fn a_plan_is_reached_by_what_a_run_would_ask_for_and_not_by_what_stands_now() {
    let plan = plan();
    let mut service = plan.services[0].clone();
    service.scaling = Some(Bounds { min: 4, max: 8 });
    service.capacity_providers = vec![ProviderShare { provider: "FARGATE".to_owned(), weight: 1, base: 0 }];
    let small = ServiceState { desired: 1, running: 1, deployments: 1, scaling: Some(Bounds { min: 1, max: 2 }), ..ServiceState::default() };
    assert_eq!(suppose::service(&service, &small), None);
    // A deployment that is under way ends by itself; one that ECS gave up does not, however much is asked for.
    let rolling = ServiceState { deployments: 2, rollout: Rollout::InProgress, ..small.clone() };
    assert_eq!(suppose::service(&service, &rolling), None);
    let failed = ServiceState { rollout: Rollout::Failed("it did not start".to_owned()), ..small };
    assert!(suppose::service(&service, &failed).is_some());

    let group = crate::plan::Group {
        name: "workers".to_owned(),
        min: 2,
        desired: 3,
        max: 4,
        instances: Some(InstancesDistribution { on_demand_base: 1, on_demand_percentage_above_base: 100 }),
    };
    let spot = InstancesDistribution { on_demand_base: 0, on_demand_percentage_above_base: 0 };
    assert_eq!(suppose::group(&group, &GroupState { max: 1, instances: Some(spot), ..GroupState::default() }), None);
    assert!(suppose::group(&group, &GroupState { max: 1, instances: None, ..GroupState::default() }).is_some());
}

#[test]
fn a_quota_of_which_nothing_is_left_for_a_copy_is_a_warning() {
    let told = |name: &str, used, max| {
        let mut spent = seen();
        spent.databases.as_mut().expect("it looked").quotas = Arc::new(Ok(vec![Quota { name: name.to_owned(), used, max }]));
        judged(&peace(), &spent).findings
    };
    assert_eq!(told("DBInstances", 39, 40), []);
    assert_eq!(told("ReservedDBInstances", 40, 40), [], "no copy needs one");
    let found = told("DBInstances", 40, 40);
    assert!(matches!(&found[..], [Finding::QuotaSpent(_)]) && found[0].severity() == Severity::Warning, "{found:?}");
}

#[test]
fn a_lag_that_cannot_be_read_is_said_once() {
    let mut unread = seen();
    unread.databases.as_mut().expect("it looked").lags.insert("orders".to_owned(), Err(denied("cloudwatch:GetMetricData")));
    let readiness = judged(&peace(), &unread);
    assert!(matches!(&readiness.findings[..], [Finding::Unreadable { operation, .. }] if operation == "cloudwatch:GetMetricData"), "{readiness:?}");
    assert_eq!(readiness.estimates.rpo_seconds, None);
}

#[test]
fn an_unknown_lag_that_the_plan_accepts_is_a_warning() {
    let mut situation = peace();
    situation.plan.policy.unknown_lag = crate::plan::UnknownLag::Accept;
    let mut unknown = seen();
    unknown.databases.as_mut().expect("it looked").lags.insert("orders".to_owned(), Ok(Vec::new()));
    assert!(matches!(&judged(&situation, &unknown).findings[..], [Finding::LossAccepted { .. }]));
}

#[test]
fn strangers_who_may_list_the_bucket_of_stop_are_found_and_a_403_says_nothing() {
    let told = |status: u16, body: &str| {
        let mut answered = seen();
        answered.traffic.as_mut().expect("it looked").public = Fetched::Answered { status, body: body.to_owned() };
        judged(&peace(), &answered).findings
    };
    assert_eq!(told(403, "<Code>AccessDenied</Code>"), []);
    assert!(matches!(&told(404, "<Code>NoSuchKey</Code>")[..], [Finding::OpenBucket { .. }]));
    assert!(matches!(&told(404, "<Code>NoSuchBucket</Code>")[..], [Finding::NoBucket { .. }]));
    assert!(matches!(&told(503, "")[..], [Finding::StopUnseen { .. }]));
}

#[test]
fn users_at_the_standby_are_a_finding_of_their_own_only_without_stop() {
    let mut moved = seen();
    moved.traffic.as_mut().expect("it looked").record = Arc::new(Ok(resolved("198.51.100.1")));
    assert!(matches!(&judged(&peace(), &moved).findings[..], [Finding::UsersAtStandby { .. }]));
    moved.traffic.as_mut().expect("it looked").stop = Arc::new(Ok(true));
    assert!(matches!(&judged(&peace(), &moved).findings[..], [Finding::StopLies { .. }]));
}

#[test]
fn one_silent_observer_of_three_that_speak_in_the_dark_is_a_warning() {
    let mut situation = peace();
    let mut other = situation.plan.observers[0].clone();
    other.name = "second probe".to_owned();
    situation.plan.observers.push(other);
    let found = judged(&situation, &seen()).findings;
    assert!(matches!(&found[..], [Finding::Silent { enough: true, last: None, .. }]), "{found:?}");
}

#[test]
fn an_observer_that_sees_the_primary_down_is_said_while_no_run_is_open() {
    let mut situation = peace();
    situation.hears("probe", Word::Down, 0);
    let found = judged(&situation, &seen()).findings;
    assert!(matches!(&found[..], [Finding::SeesDown { observer, .. }] if observer == "probe"), "{found:?}");
}

#[test]
fn an_alarm_that_the_checkers_contradict_later_is_no_finding() {
    let mut situation = peace();
    // Both look through one health check.
    situation.hears("unhealthy", Word::Down, -30);
    assert_eq!(judged(&situation, &seen()).findings, []);
    situation.hears("errors", Word::Down, -30);
    let found = judged(&situation, &seen()).findings;
    assert!(matches!(&found[..], [Finding::SeesDown { observer, .. }] if observer == "errors"), "{found:?}");
}

#[test]
fn a_run_that_is_over_changes_nothing() {
    let mut situation = peace();
    let mut run = open(Mode::Failover, Phase::Closed, 1, "test".to_owned(), at(-600));
    run.ended_at = Some(at(-300));
    situation.journal.head.run = Some(run);
    assert_eq!(judged(&situation, &seen()).findings, []);
}

#[test]
fn every_remedy_is_a_sentence_of_its_own() {
    let busy = crate::decide::promotion::Busy { instance: "orders-replica".to_owned(), status: "modifying".to_owned() };
    let some = [
        Finding::NoService { service: ServiceName { cluster: "shop".to_owned(), name: "web".to_owned() } },
        Finding::LoginFailed { secret: "shop/orders".to_owned(), said: "it refuses this password; put the right one".to_owned() },
        Finding::LoginFailed { secret: "shop/orders".to_owned(), said: "without a remedy".to_owned() },
        Finding::Busy(busy),
        Finding::NeverDrilled,
        Finding::OnlyObserves,
    ];
    for finding in some {
        let (said, remedy) = (finding.to_string(), finding.remedy());
        assert!(!said.is_empty() && !remedy.is_empty() && !said.contains(&remedy), "{said} | {remedy}");
    }
}
