//! What AWS refuses, lacks or never answers.

use crate::scene::{Scene, fargate, on_demand};
use relight::run::{Mode, Phase};
use relight_world::Fault;

#[tokio::test(start_paused = true)]
async fn a_missing_service_is_refused_and_the_rest_goes_on() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    scene.world.compute.lose_service("shop", "web");
    let answer = scene.nudge().await;
    assert!(answer.said.contains(&"the standby Region has no ECS service shop/web; deploy it there, or take it out of the plan".to_owned()));
    assert_eq!(scene.group().in_service, 3);
    let snapshot = scene.world.journal.snapshot();
    let plan = relight::plan::Plan::stored(crate::scene::PLAN).expect("a plan");
    assert_eq!(snapshot.progress.capacity.least_per_cent(&plan), Some(0), "a missing service is no capacity, not an unknown one");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_created_meanwhile_is_raised() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    let group = scene.group();
    scene.world.compute.lose_group("workers");
    scene.nudge().await;
    scene.world.compute.create_group("workers", group);
    scene.nudge().await;
    assert_eq!(scene.group().in_service, 3);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_group_is_refused_with_its_remedy_and_raised_once_it_is_resumed() {
    for process in ["Launch", "AddToLoadBalancer"] {
        let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
        scene.world.compute.change_group("workers", |state| state.suspended = [process.to_owned()].into());
        let answer = scene.nudge().await;
        let said = answer.said.iter().find(|said| said.contains("suspended")).expect("a refusal");
        assert!(said.contains(&format!("resume-processes --auto-scaling-group-name workers --scaling-processes {process}")), "{said}");
        assert_eq!((scene.group().desired, scene.service().running), (1, 4), "the rest goes on");

        scene.world.compute.change_group("workers", |state| state.suspended.clear());
        scene.nudge().await;
        assert_eq!(scene.group().in_service, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn missing_capacity_is_said_in_the_words_of_aws_and_used_when_it_comes() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    scene.world.compute.room_for_tasks("shop", "web", Some(2));
    scene.world.compute.room_for_instances("workers", Some(1));
    let answer = scene.nudge().await;
    assert!(answer.said.iter().any(|said| said.starts_with("2 of 4 task(s) run; ECS says: was unable to place a task")), "{:?}", answer.said);
    assert!(answer.said.iter().any(|said| said.starts_with("1 of 3 instance(s) are in service; Auto Scaling says: We currently do not have")));
    let step = scene.step("service/shop/web");
    assert_eq!((step.running, step.wanted, step.reached_at), (2, 4, None));

    scene.world.compute.room_for_tasks("shop", "web", None);
    scene.world.compute.room_for_instances("workers", None);
    scene.nudge().await;
    assert!(scene.step("service/shop/web").reached_at.is_some() && scene.step("group/workers").reached_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_may_not_be_read_does_not_hide_the_groups() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    (0..400).for_each(|_| scene.world.calls.fault("ecs:DescribeServices", Fault::Denied));
    let answer = scene.nudge().await;
    assert_eq!(scene.group().in_service, 3);
    assert!(answer.said.iter().any(|said| said.contains("ecs:DescribeServices: not allowed")), "{:?}", answer.said);
    let denied = scene.history().iter().filter(|said| said.contains("not allowed")).count();
    assert_eq!(denied, 1, "one sentence an invocation, not one a poll");
}

#[tokio::test(start_paused = true)]
async fn a_denied_change_is_said_and_the_others_are_made() {
    let mut scene = Scene::run(Mode::Failover, Phase::Suspected);
    (0..400).for_each(|_| scene.world.calls.fault("autoscaling:UpdateAutoScalingGroup", Fault::Denied));
    let answer = scene.nudge().await;
    assert_eq!((scene.service().running, scene.group().desired), (4, 1));
    assert!(answer.said.iter().any(|said| said.contains("autoscaling:UpdateAutoScalingGroup: not allowed")));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_may_not_be_sent_does_not_hold_the_sizes_up() {
    let mut scene = Scene::run(Mode::Drill, Phase::Activating);
    scene.world.compute.forbid_policies();
    let answer = scene.nudge().await;
    assert_eq!(scene.group().in_service, 3);
    assert!(answer.said.iter().any(|said| said.contains("You are not authorized to use launch template")), "{:?}", answer.said);
}

#[tokio::test(start_paused = true)]
async fn each_call_that_fails_once_leads_to_the_same_end() {
    let mut expected = Scene::run(Mode::Drill, Phase::Activating);
    expected.nudge().await;
    let baseline = expected.world.journal.snapshot().baseline;
    for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer] {
        for n in 0.. {
            let mut scene = Scene::run(Mode::Drill, Phase::Activating);
            scene.world.calls.fault_at(n, fault);
            // A failed nudge is made again by Lambda; a lease left behind by it runs out.
            for _ in 0..3 {
                let _failed = scene.try_nudge().await;
                scene.wait(60).await;
            }
            if scene.world.calls.fault_is_pending() {
                assert!(n > 10, "the loop met only {n} calls");
                break;
            }
            let when = format!("{fault:?} at call {n}");
            assert_eq!((scene.service(), scene.group()), (expected.service(), expected.group()), "{when}");
            assert_eq!((scene.service().capacity_providers, scene.group().instances), (fargate(), on_demand()), "{when}");
            assert_eq!(scene.world.journal.snapshot().baseline, baseline, "{when}");
            assert!(scene.progress().resources.values().all(|step| step.requested_at.is_some() && step.reached_at.is_some()), "{when}");
            assert!(scene.world.journal.snapshot().obligations.contains_key("capacity"), "{when}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_turn_an_invocation_leads_to_the_same_end() {
    let mut scene = Scene::run(Mode::Drill, Phase::Activating);
    for _ in 0..6 {
        scene.tick().await;
        scene.wait(60).await;
    }
    assert_eq!((scene.service().running, scene.group().in_service), (4, 3));
    assert!(scene.progress().resources.values().all(|step| step.reached_at.is_some()));
}
