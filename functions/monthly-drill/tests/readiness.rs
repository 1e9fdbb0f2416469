//! Standbys as they are found, each broken in one way: it is found, with its remedy, and nothing else is. A sound one has no finding.

mod common;

use std::collections::BTreeMap;

use common::Scene;
use jiff::{SignedDuration, Timestamp};
use monthly_drill::standing;
use relight::decide::readiness::Severity;
use relight::evidence::{Evidence, Word};
use relight::plan::ActMode;
use relight::ports::{LagSample, Rollout, Setback, Stage, Subscriber, Topic};
use relight::report::ReadinessReport;
use relight::run::RunId;
use relight::run::{Mode, Phase};
use relight::state::{Head, HoldSwitch, Key, LoginSeen, Memory, Obligation, Owed, Place};
use relight_world::database::LagFeed;
use relight_world::{Fault, World};
use serde_json::json;

const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"

[[service]]
cluster = "shop"
name = "web"
desired = 4
scaling = { min = 4, max = 8 }
capacity_providers = [{ provider = "FARGATE" }]

[[service]]
cluster = "shop"
name = "mail"
desired = 2

[[group]]
name = "workers"
min = 2
desired = 3
max = 6
instances = { on_demand_base = 1, on_demand_percentage_above_base = 100 }

[[database]]
name = "orders"
engine = "postgres"
primary = "orders"
replica = "orders-replica"
quarantine_security_group = "sg-quarantine"

[[secret]]
name = "shop/admin"
database = "orders"
rotate = false

[[secret]]
name = "shop/app"
database = "orders"
admin = "shop/admin"

[traffic]
record = "shop.test"
standby = "standby.shop.test"
stop_bucket = "shop-stop"
healthy_url = "http://standby.shop.test/healthy"

[[observer]]
name = "probe"
kind = "probe"
url = "http://primary.shop.test/healthy"

[[observer]]
name = "checkers"
kind = "checkers"
record = "verdict.shop.test"
health_check = "hc-1"

[[observer]]
name = "alarm"
kind = "alarm"
arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:primary"
"#;

const ASK: &str = r#"{ "relight": "readiness" }"#;

/// A standby in which everything is as it should be, an hour of peace behind it.
fn sound() -> Scene {
    let world = World::with_plan(PLAN);
    let now = world.now();
    let login = |name: &str| (name.to_owned(), LoginSeen { at: now - minutes(10), ok: true, said: "logs in".to_owned() });
    let memory = Memory {
        last_good_drill: Some(now - minutes(20 * 24 * 60)),
        recovery_seconds: Some(400.0),
        logins: ["shop/admin", "shop/app"].map(login).into(),
        ..Memory::default()
    };
    world.journal.set(Key::Memory, json!(memory));
    hear(&world, now);
    Scene::of(world)
}

fn hear(world: &World, at: Timestamp) {
    let mut evidence = Evidence::default();
    for observer in ["probe", "checkers"] {
        evidence.hear(observer, Word::Up, at, "it answers");
    }
    world.journal.set(Key::Evidence, json!(evidence));
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// Asks, and reads the page's data.
async fn look(scene: &mut Scene) -> ReadinessReport {
    let event = serde_json::from_str(ASK).expect("JSON");
    scene.world.nudge(&mut scene.work, event).await.expect("an answer");
    let held = scene.world.reports.puts("readiness").pop().expect("a page");
    serde_json::from_str(&held.json).expect("the documented form")
}

/// What is found of a standby that `breaks`, as `severity about: sentence | remedy`.
async fn found(breaks: impl FnOnce(&World)) -> Vec<String> {
    let mut scene = sound();
    breaks(&scene.world);
    let report = look(&mut scene).await;
    report.findings.iter().map(|row| format!("{} {}: {} | {}", row.severity, row.about, row.said, row.remedy)).collect()
}

/// One finding, with these words of its sentence and its remedy.
async fn only(breaks: impl FnOnce(&World), severity: Severity, about: &str, says: &str, remedy: &str) {
    let found = found(breaks).await;
    let [one] = &found[..] else { panic!("not one finding: {found:#?}") };
    let (said, does) = one.split_once(" | ").expect("two parts");
    assert!(said.starts_with(&format!("{severity} {about}: ")) && said.contains(says), "{one}");
    assert!(does.contains(remedy), "{one}");
}

use Severity::{Blocking, Warning};

#[tokio::test(start_paused = true)]
async fn a_sound_standby_has_no_finding_and_its_estimates() {
    let mut scene = sound();
    let report = look(&mut scene).await;
    assert_eq!(report.findings, []);
    assert!(report.ready);
    // The last drill's recovery and the dwell; the replica's lag.
    assert_eq!((report.estimates.rto_seconds, report.estimates.rpo_seconds), (Some(460.0), Some(2.0)));
    let page = scene.world.reports.held().remove("readiness").expect("a page").html;
    assert!(page.contains("a failover would work now: nothing was found"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_deleted() {
    only(|world| world.compute.lose_service("shop", "mail"), Blocking, "service/shop/mail", "no ECS service shop/mail", "deploy shop/mail").await;
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_scalable_target_is_gone() {
    let breaks = |world: &World| world.compute.change_service("shop", "web", |state| state.scaling = None);
    only(breaks, Blocking, "service/shop/web", "no scalable target", "register a scalable target").await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_auto_scaling_manages_though_the_plan_does_not_say_so() {
    let breaks = |world: &World| world.compute.change_service("shop", "mail", |state| state.scaling = Some(relight::plan::Bounds { min: 1, max: 3 }));
    only(breaks, Warning, "service/shop/mail", "within 1 to 3", "as `scaling`").await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_the_capacity_provider_of_the_plan() {
    let breaks = |world: &World| world.compute.lose_provider("shop", "FARGATE");
    only(breaks, Blocking, "service/shop/web", "no capacity provider FARGATE", "put-cluster-capacity-providers --cluster shop").await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_ecs_gave_up() {
    let breaks =
        |world: &World| world.compute.change_service("shop", "web", |state| state.rollout = Rollout::Failed("tasks failed to start.".to_owned()));
    only(breaks, Blocking, "service/shop/web", "tasks failed to start", "deploy a revision that starts").await;
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_last_task_found_no_place() {
    let breaks = |world: &World| {
        let setback = Setback { at: world.now(), said: "was unable to place a task.".to_owned() };
        world.compute.change_service("shop", "mail", |state| state.setback = Some(setback));
    };
    only(breaks, Blocking, "service/shop/mail", "unable to place a task", "raise the count by one and back").await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_deleted() {
    only(|world| world.compute.lose_group("workers"), Blocking, "group/workers", "no Auto Scaling group workers", "create workers").await;
}

#[tokio::test(start_paused = true)]
async fn a_group_on_a_launch_template_alone_where_the_plan_wants_on_demand() {
    let breaks = |world: &World| world.compute.change_group("workers", |state| state.instances = None);
    only(breaks, Blocking, "group/workers", "no mixed instances policy", "take `instances` out").await;
}

#[tokio::test(start_paused = true)]
async fn a_group_with_launch_or_its_load_balancer_suspended() {
    for process in ["Launch", "AddToLoadBalancer"] {
        let breaks = |world: &World| world.compute.change_group("workers", |state| state.suspended.extend([process.to_owned()]));
        let remedy = format!("resume-processes --auto-scaling-group-name workers --scaling-processes {process}");
        only(breaks, Blocking, "group/workers", "has suspended", &remedy).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_last_launch_failed() {
    let breaks = |world: &World| world.compute.fail_launch("workers", "You have reached your quota of vCPUs.");
    only(breaks, Blocking, "group/workers", "reached your quota of vCPUs", "see one launch succeed").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_gone() {
    only(
        |world| world.database.lose("orders-replica"),
        Blocking,
        "replica/orders-replica",
        "no instance orders-replica",
        "cross-Region replica of orders",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_somebody_promoted() {
    let breaks = |world: &World| {
        world.database.change("orders-replica", |instance| {
            instance.source = None;
            instance.replication.clear();
        });
    };
    let found = found(breaks).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("blocking database/orders: the promotion of orders would be refused: orders-replica replicates nothing"),
        "{found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_replication_broke() {
    let breaks = |status: &'static str| {
        move |world: &World| world.database.change("orders-replica", |instance| instance.replication = vec![status.to_owned()])
    };
    only(breaks("error"), Blocking, "replica/orders-replica", "in state `error`", "describe-db-instances").await;
    only(breaks("terminated"), Blocking, "database/orders", "replication of orders-replica is terminated", "create orders-replica again").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_fell_behind_the_objective() {
    let breaks = |world: &World| world.database.set_lag("orders-replica", LagFeed::Constant(Some(612.0)));
    only(breaks, Blocking, "database/orders", "612 s behind", "let the replica catch up").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_lag_nobody_knows() {
    let stale = |world: &World| {
        let at = world.now() - minutes(9);
        world.database.set_lag("orders-replica", LagFeed::Series(vec![LagSample { at, seconds: Some(1.0) }]));
    };
    only(stale, Blocking, "database/orders", "no sample in the 5m before", "AWS/RDS ReplicaLag").await;
    let inactive = |world: &World| world.database.set_lag("orders-replica", LagFeed::Constant(None));
    only(inactive, Blocking, "database/orders", "was -1", "AWS/RDS ReplicaLag").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_full_stopped_or_backing_up() {
    let breaks = |status: &'static str| move |world: &World| world.database.change("orders-replica", |instance| instance.status = status.to_owned());
    only(breaks("storage-full"), Blocking, "database/orders", "storage-full", "describe-events").await;
    only(breaks("backing-up"), Warning, "replica/orders-replica", "backing-up", "wait for it").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_no_drill_can_copy() {
    let without = |world: &World| world.database.change("orders-replica", |instance| instance.backup_retention = 0);
    only(without, Warning, "database/orders", "has no backups", "--backup-retention-period 1").await;
    let old = |world: &World| world.database.change("orders-replica", |instance| instance.engine_version = "13.14".to_owned());
    only(old, Warning, "database/orders", "PostgreSQL 13.14", "14.1 or later").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_nobody_may_reach_or_that_waits_for_its_window() {
    let nobody = |world: &World| world.database.change("orders-replica", |instance| instance.security_groups.clear());
    only(nobody, Blocking, "replica/orders-replica", "no security group", "--vpc-security-group-ids").await;
    let pending = |world: &World| world.database.change("orders-replica", |instance| instance.pending_class = Some("db.r6g.large".to_owned()));
    only(pending, Warning, "replica/orders-replica", "db.r6g.large", "--apply-immediately").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_never_replicated_or_was_cut_loose() {
    only(|world| world.secrets.lose("shop/app"), Blocking, "secret/shop/app", "no secret shop/app", "replicate-secret-to-regions").await;
    only(|world| world.secrets.stand_alone("shop/app"), Warning, "secret/shop/app", "stands alone", "--force-overwrite-replica-secret").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_does_not_log_in() {
    let login = |seen: Option<LoginSeen>| {
        move |world: &World| {
            let mut memory = world.journal.snapshot().memory;
            match seen {
                Some(seen) => drop(memory.logins.insert("shop/app".to_owned(), seen)),
                None => drop(memory.logins.remove("shop/app")),
            }
            world.journal.set(Key::Memory, json!(memory));
        }
    };
    let now = sound().world.now();
    let failed = LoginSeen { at: now, ok: false, said: "orders-replica cannot be reached: refused; check the security group".to_owned() };
    only(login(Some(failed)), Blocking, "secret/shop/app", "cannot be reached: refused", "check the security group").await;
    let old = LoginSeen { at: now - minutes(91), ok: true, said: "logs in".to_owned() };
    only(login(Some(old)), Warning, "secret/shop/app", "the last login", "rotate-secret's log").await;
    only(login(None), Warning, "secret/shop/app", "nobody has logged in", "rotate-secret's log").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_without_a_current_version() {
    let breaks = |world: &World| world.secrets.set("shop/app", "00000000-0000-0000-0000-000000000001", &[Stage::Previous], None);
    only(breaks, Blocking, "secret/shop/app", "no version under AWSCURRENT", "in the primary Region").await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_object_that_was_left_lying() {
    only(|world| world.traffic.set_stop(true), Blocking, "STOP", "keeps users off a primary that serves", "aws s3 rm s3://shop-stop/STOP").await;
}

#[tokio::test(start_paused = true)]
async fn a_bucket_of_stop_that_is_gone() {
    only(|world| world.traffic.lose_bucket(), Blocking, "STOP", "no bucket shop-stop", "StopBucketName").await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_knows() {
    for name in ["shop.test", "standby.shop.test"] {
        only(|world| world.traffic.lose_name(name), Blocking, &format!("traffic/{name}"), "does not resolve", "make the record").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_fell_silent() {
    let silent = |observers: &'static [&'static str]| {
        move |world: &World| {
            let mut evidence = world.journal.snapshot().evidence;
            observers.iter().for_each(|name| drop(evidence.observers.remove(*name)));
            world.journal.set(Key::Evidence, json!(evidence));
        }
    };
    // Two are asked for, and the alarm dies with us-east-1.
    only(silent(&["checkers"]), Blocking, "observer/checkers", "was never heard", "no quorum is reached when the primary is dark").await;
    let both = found(silent(&["checkers", "probe"])).await;
    assert_eq!(both.len(), 2, "{both:#?}");
}

#[tokio::test(start_paused = true)]
async fn topics_that_nobody_hears() {
    let people = |subscribers: Vec<Subscriber>| move |world: &World| world.notices.set_audience(Topic::People, subscribers);
    only(people(Vec::new()), Warning, "people topic", "told to no one", "NotificationEmail").await;
    let pending = Subscriber { endpoint: "oncall@shop.test".to_owned(), confirmed: false };
    only(people(vec![pending]), Warning, "people topic", "1 wait(s)", "answer the confirmation").await;
    let deaf = found(|world| world.notices.set_audience(Topic::Alarms, Vec::new())).await;
    assert_eq!(deaf.len(), 2, "scale-up and watch-primary: {deaf:#?}");
    assert!(deaf[0].contains("scale-up is not subscribed to the alarm topic | deploy the control stack again"), "{deaf:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_denied_names_the_permission() {
    let denied = |operation: &'static str| move |world: &World| world.calls.fault(operation, Fault::Denied);
    only(
        denied("sns:ListSubscriptionsByTopic"),
        Blocking,
        "progress topic",
        "sns:ListSubscriptionsByTopic: not authorized",
        "role sns:ListSubscriptionsByTopic",
    )
    .await;
    only(denied("secretsmanager:DescribeSecret"), Blocking, "secret/shop/admin", "not authorized", "role secretsmanager:DescribeSecret").await;
    only(denied("s3:HeadObject"), Blocking, "s3://shop-stop/STOP", "not authorized", "role s3:HeadObject").await;
    only(denied("cloudwatch:GetMetricData"), Blocking, "lag of orders-replica", "not authorized", "role cloudwatch:GetMetricData").await;
    // What passes is a warning: the next look tells.
    let throttled = |world: &World| world.calls.fault("rds:DescribeDBInstances", Fault::Throttled);
    only(throttled, Warning, "database/orders", "throttled", "ask again").await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_was_forgotten() {
    let breaks = |world: &World| {
        let until = world.now() + minutes(60);
        let head = Head { hold: Some(HoldSwitch { until, by: "ana".to_owned() }), ..world.journal.snapshot().head };
        world.journal.set(Key::Head, json!(head));
    };
    only(breaks, Blocking, "run", "ana holds every step that cannot be undone", "`release` ends it").await;
}

#[tokio::test(start_paused = true)]
async fn something_that_is_owed_past_its_deadline() {
    let breaks = |world: &World| {
        let now = world.now();
        let what = Owed::Copy { instance: "relight-drill-orders".to_owned() };
        let owed = Obligation { run: RunId("drill-1".to_owned()), what, made_at: now - minutes(200), deadline: now - minutes(1) };
        world.journal.set(Key::Obligation(owed.id()), json!(owed));
    };
    only(breaks, Warning, "copy/relight-drill-orders", "was to be given back", "scale-down's log").await;
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_is_long_ago_never_was_or_took_too_long() {
    let memory = |change: fn(&mut Memory, Timestamp)| {
        move |world: &World| {
            let mut memory = world.journal.snapshot().memory;
            change(&mut memory, world.now());
            world.journal.set(Key::Memory, json!(memory));
        }
    };
    only(memory(|memory, _| memory.last_good_drill = None), Warning, "drill", "no drill was good yet", "`drill`").await;
    let ago = |memory: &mut Memory, now: Timestamp| memory.last_good_drill = Some(now - SignedDuration::from_hours(36 * 24));
    only(memory(ago), Warning, "drill", "36 days ago", "last report").await;
    only(memory(|memory, _| memory.recovery_seconds = Some(900.0)), Warning, "drill", "960 s, the objective is 900 s", "objectives.rto").await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_names_more_than_the_stack_was_deployed_for() {
    let mut scene = sound();
    let plan = PLAN.replace("name = \"mail\"", "name = \"post\"").replace("stop_bucket = \"shop-stop\"", "stop_bucket = \"other\"");
    let arns = "arn:aws:ecs:us-west-2:123456789012:service/shop/web,arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:*:autoScalingGroupName/workers,\
                arn:aws:rds:us-west-2:123456789012:db:orders-replica,arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/*";
    let function = "arn:aws:lambda:us-west-2:123456789012:function:shop-relight-rotate-secret";
    scene.work.stack = relight::decide::readiness::Stack::deployed(arns, "shop-stop", function);
    scene.world.journal.set(Key::Plan(1), json!(plan));
    let report = look(&mut scene).await;
    let found: BTreeMap<&str, &str> = report.findings.iter().map(|row| (row.about.as_str(), row.remedy.as_str())).collect();
    assert!(found["fence of database/orders"].contains("arn:aws:rds:us-east-2:123456789012:db:orders in PrimaryDatabaseArns"), "{found:#?}");
    assert!(found["STOP"].contains("stop_bucket = \"shop-stop\""), "{found:#?}");
    // The service is in neither place.
    let post: Vec<_> = report.findings.iter().filter(|row| row.about == "service/shop/post").map(|row| row.remedy.as_str()).collect();
    assert_eq!(post.len(), 2, "{found:#?}");
    assert!(post.iter().any(|remedy| remedy.contains("service/shop/post in EcsServiceArns")), "{post:?}");
    assert_eq!(report.blocking, 4);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_only_observes_is_looked_at_too() {
    let mut scene = sound();
    let plan = format!("{PLAN}\n[policy]\nmode = \"observe\"\n");
    scene.world.journal.set(Key::Plan(1), json!(plan));
    assert_eq!(scene.view().plan.policy.mode, ActMode::Act, "the scene's own plan is another");
    let report = look(&mut scene).await;
    let found: Vec<&str> = report.findings.iter().map(|row| row.remedy.as_str()).collect();
    assert_eq!(found, ["put the plan with policy.mode = \"act\""]);
}

#[tokio::test(start_paused = true)]
async fn a_tick_looks_at_nothing_and_a_person_is_answered_with_every_finding() {
    let mut scene = sound();
    let calls = scene.world.calls.log().len();
    scene.nudge().await;
    let made: Vec<_> = scene.world.calls.log()[calls..].iter().map(|call| call.operation).collect();
    assert_eq!(made, ["dynamodb:Query"]);

    scene.world.compute.lose_group("workers");
    let order = json!({ "operator": { "command": "readiness", "by": "ana" } });
    let answer = scene.world.nudge(&mut scene.work, order).await.expect("an answer");
    assert_eq!(answer.said[0], "a failover would not work now: 1 finding(s) block it, 0 warning(s)");
    assert!(
        answer.said[1].starts_with("blocking: group/workers: the standby Region has no Auto Scaling group workers; create workers"),
        "{answer:?}"
    );
    assert!(answer.said[2].contains("readiness.html"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_while_a_run_is_open_or_the_standby_serves() {
    for (mode, phase) in [(Mode::Failover, Phase::Suspected), (Mode::Drill, Phase::Holding), (Mode::Failover, Phase::Active)] {
        let mut scene = Scene::new(mode, phase);
        let answer = scene.world.nudge(&mut scene.work, serde_json::from_str(ASK).expect("JSON")).await.expect("an answer");
        assert!(answer.said.iter().any(|said| said.starts_with("readiness was not looked at: ")), "{phase:?} {answer:?}");
        assert_eq!(scene.world.reports.puts("readiness").len(), 0, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_found_is_put_out_each_minute_and_its_absence_too() {
    let mut scene = sound();
    let metrics = |scene: &Scene| standing(&scene.view());
    assert!(!metrics(&scene).contains_key("MinutesSinceReadiness"), "the alarm takes absence for breach");
    scene.world.compute.lose_group("workers");
    look(&mut scene).await;
    tokio::time::advance(std::time::Duration::from_secs(40 * 60)).await;
    let seen = metrics(&scene);
    assert_eq!((seen["BlockingFindings"].0, seen["MinutesSinceReadiness"].0), (1.0, 40.0));

    let head = Head { serving: Place::Standby, ..scene.snapshot().head };
    scene.world.journal.set(Key::Head, json!(head));
    let serving = metrics(&scene);
    assert_eq!((serving.get("BlockingFindings"), serving["MinutesSinceReadiness"].0), (None, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_look_whose_word_was_lost_is_taken_again() {
    let mut scene = sound();
    // Somebody else writes the memory while the page is put.
    let (journal, puts) = (scene.world.journal.clone(), std::cell::Cell::new(0));
    scene.world.calls.witness(move |call| {
        if call.operation == "s3:PutObject" && puts.replace(puts.get() + 1) == 0 {
            let memory = journal.snapshot().memory;
            journal.set(Key::Memory, json!(memory));
        }
    });
    look(&mut scene).await;
    assert_eq!(scene.world.reports.puts("readiness").len(), 2);
    assert!(scene.snapshot().memory.readiness.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_look_changes_nothing_but_its_own_word() {
    let mut scene = sound();
    let calls = scene.world.calls.log().len();
    look(&mut scene).await;
    let changes: Vec<_> = scene.world.calls.log()[calls..]
        .iter()
        .filter(|call| {
            !["Describe", "Get", "List", "Query", "Head"]
                .iter()
                .any(|read| call.operation.split(':').nth(1).is_some_and(|name| name.starts_with(read)))
        })
        .map(|call| (call.operation, call.place))
        .collect();
    assert_eq!(changes, [("s3:PutObject", Place::Standby), ("dynamodb:TransactWriteItems", Place::Standby)]);
    assert!(scene.world.calls.log()[calls..].iter().all(|call| call.place == Place::Standby), "no call leaves the standby Region");
}
