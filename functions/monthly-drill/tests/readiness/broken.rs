//! Services, groups, traffic, who watches and who hears, the stack, and what the journal says.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use relight::decide::readiness::Severity::{Blocking, Warning};
use relight::decide::readiness::Stack;
use relight::plan::Bounds;
use relight::ports::{Rollout, Setback, Subscriber, Topic};
use relight::run::RunId;
use relight::state::{Head, HoldSwitch, Key, Memory, Obligation, Owed};
use relight_world::{Fault, World};
use serde_json::json;

use crate::scene::{PLAN, found, look, minutes, only, sound};

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
    let breaks = |world: &World| world.compute.change_service("shop", "mail", |state| state.scaling = Some(Bounds { min: 1, max: 3 }));
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
    scene.work.stack = Stack::deployed(arns, "shop-stop", function);
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
