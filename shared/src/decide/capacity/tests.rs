//! By situation: what is due for a service and a group, up and back, and when it may be lowered.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::plan::{Bounds, Group, InstancesDistribution, ProviderShare, Service};
use crate::ports::Rollout;

const NOW: &str = "2026-01-05T00:10:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn share(provider: &str) -> Vec<ProviderShare> {
    vec![ProviderShare { provider: provider.to_owned(), weight: 1, base: 0 }]
}

fn service() -> Service {
    Service {
        cluster: "shop".to_owned(),
        name: "web".to_owned(),
        desired: 4,
        scaling: Some(Bounds { min: 3, max: 12 }),
        capacity_providers: share("FARGATE"),
    }
}

fn pilot_light() -> ServiceState {
    ServiceState {
        desired: 1,
        running: 1,
        deployments: 1,
        scaling: Some(Bounds { min: 1, max: 2 }),
        capacity_providers: share("FARGATE_SPOT"),
        ..ServiceState::default()
    }
}

fn active() -> ServiceState {
    ServiceState { desired: 4, running: 4, scaling: service().scaling, capacity_providers: share("FARGATE"), ..pilot_light() }
}

fn raised(state: ServiceState, reach: Reach) -> Due {
    raise_service(&service(), Some(&state), reach, Some(now())).due
}

fn group() -> Group {
    let instances = Some(InstancesDistribution { on_demand_base: 1, on_demand_percentage_above_base: 100 });
    Group { name: "workers".to_owned(), min: 2, desired: 3, max: 6, instances }
}

fn small_group() -> GroupState {
    let instances = Some(InstancesDistribution { on_demand_base: 0, on_demand_percentage_above_base: 0 });
    GroupState { min: 0, desired: 1, max: 2, instances, in_service: 1, heaviest: 1, ..GroupState::default() }
}

fn active_group() -> GroupState {
    GroupState { min: 2, desired: 3, max: 6, in_service: 3, instances: group().instances, ..small_group() }
}

fn raised_group(state: GroupState, reach: Reach) -> Due {
    raise_group(&group(), Some(&state), reach, Some(now()), None).due
}

fn patience() -> Patience {
    Patience { since: Some(now()), lasting: SignedDuration::from_mins(15), now: now() }
}

fn sentences(due: &Due) -> Vec<String> {
    match due {
        Decision::Act(resizes) => resizes.iter().map(ToString::to_string).collect(),
        other => other.why_not().into_iter().collect(),
    }
}

#[test]
fn bounds_come_before_the_count_and_the_strategy_waits_for_the_confirmation() {
    assert_eq!(sentences(&raised(pilot_light(), Reach::Cheap)), ["bounds 3 to 12", "4 task(s)"]);
    assert_eq!(sentences(&raised(pilot_light(), Reach::Whole)), ["bounds 3 to 12", "4 task(s), 1 FARGATE in a new deployment"]);
}

#[test]
fn a_bound_that_is_wider_already_stays() {
    let state = ServiceState { scaling: Some(Bounds { min: 1, max: 50 }), ..pilot_light() };
    assert_eq!(sentences(&raised(state, Reach::Cheap)), ["bounds 3 to 50", "4 task(s)"]);
}

#[test]
fn bounds_that_the_plan_does_not_name_make_room_for_the_count() {
    let plan = Service { scaling: None, ..service() };
    let due = raise_service(&plan, Some(&pilot_light()), Reach::Cheap, None).due;
    assert_eq!(sentences(&due), ["bounds 4 to 4", "4 task(s)"], "else Auto Scaling takes back what was raised");
}

#[test]
fn a_count_above_the_target_is_never_lowered() {
    let state = ServiceState { desired: 9, running: 9, ..active() };
    assert_eq!(raised(state, Reach::Whole), Decision::Done);
}

#[test]
fn a_service_is_steady_with_one_deployment_and_all_of_its_tasks() {
    assert_eq!(raised(active(), Reach::Whole), Decision::Done);
    for state in [ServiceState { running: 3, ..active() }, ServiceState { deployments: 2, ..active() }] {
        assert!(matches!(raised(state.clone(), Reach::Whole), Decision::Wait(WaitingOn::Tasks { .. })), "{state:?}");
    }
    let due = raised(ServiceState { running: 3, deployments: 2, ..active() }, Reach::Whole);
    assert_eq!(sentences(&due), ["3 of 4 task(s) run, 2 deployments are under way"]);
}

#[test]
fn a_setback_of_before_the_request_says_nothing_about_it() {
    let said = "was unable to place a task".to_owned();
    for (at, expected) in [(now(), true), (now() - SignedDuration::from_secs(1), false)] {
        let state = ServiceState { running: 1, setback: Some(Setback { at, said: said.clone() }), ..active() };
        assert_eq!(sentences(&raised(state, Reach::Whole))[0].contains("ECS says"), expected);
    }
}

#[test]
fn a_failed_deployment_is_refused_with_its_reason() {
    let state = ServiceState { running: 0, rollout: Rollout::Failed("tasks failed to start".to_owned()), ..active() };
    let due = raised(state, Reach::Whole);
    assert!(sentences(&due)[0].contains("launches nothing more (tasks failed to start); deploy a revision that starts"), "{due:?}");
}

#[test]
fn a_service_without_a_scalable_target_is_raised_first_and_then_refused() {
    let state = ServiceState { scaling: None, ..pilot_light() };
    assert_eq!(sentences(&raised(state.clone(), Reach::Cheap)), ["4 task(s)"]);
    let due = raised(ServiceState { desired: 4, running: 4, ..state }, Reach::Cheap);
    assert!(matches!(due, Decision::Refuse(Refusal::NoScalableTarget(_))), "{due:?}");
}

#[test]
fn once_the_run_is_over_a_count_within_the_bounds_is_auto_scalings_own() {
    let state = ServiceState { desired: 3, running: 3, ..active() };
    assert_eq!(raised(state.clone(), Reach::Kept), Decision::Done);
    assert_eq!(sentences(&raised(state, Reach::Whole)), ["4 task(s)"]);
    let lowered = ServiceState { desired: 1, running: 1, scaling: Some(Bounds { min: 1, max: 2 }), ..active() };
    assert_eq!(sentences(&raised(lowered, Reach::Kept)), ["bounds 3 to 12", "4 task(s)"]);
    let group = GroupState { desired: 2, in_service: 2, ..active_group() };
    assert_eq!(raised_group(group, Reach::Kept), Decision::Done);
}

#[test]
fn a_group_is_raised_first_and_its_distribution_waits_for_the_confirmation() {
    let (sizes, distribution) = ("3 instance(s) within 2 to 6", "3 instance(s) within 2 to 6, 1 and 100 % above it On-Demand");
    assert_eq!(sentences(&raised_group(small_group(), Reach::Cheap)), [sizes]);
    assert_eq!(sentences(&raised_group(small_group(), Reach::Whole)), [sizes, distribution]);
    let sized = GroupState { instances: small_group().instances, ..active_group() };
    assert_eq!(sentences(&raised_group(sized, Reach::Whole)), [distribution]);
}

#[test]
fn no_number_of_a_group_is_ever_lowered() {
    let instances = Some(InstancesDistribution { on_demand_base: 4, on_demand_percentage_above_base: 50 });
    let state = GroupState { min: 4, desired: 8, max: 9, in_service: 8, instances, ..small_group() };
    let kept = Some(InstancesDistribution { on_demand_base: 4, on_demand_percentage_above_base: 100 });
    let expected = Resize::Group { group: GroupName("workers".to_owned()), min: 4, desired: 8, max: 9, instances: kept };
    assert_eq!(raised_group(state, Reach::Whole), Decision::Act(vec![expected]));
}

#[test]
fn a_group_counts_what_is_in_service() {
    assert_eq!(raised_group(active_group(), Reach::Whole), Decision::Done);
    let due = raised_group(GroupState { in_service: 2, ..active_group() }, Reach::Whole);
    assert_eq!(sentences(&due), ["2 of 3 instance(s) are in service"]);
}

#[test]
fn a_group_without_a_policy_is_raised_first_and_then_refused() {
    let state = GroupState { instances: None, ..small_group() };
    assert_eq!(sentences(&raised_group(state, Reach::Whole)), ["3 instance(s) within 2 to 6"]);
    let due = raised_group(GroupState { instances: None, ..active_group() }, Reach::Whole);
    assert!(matches!(due, Decision::Refuse(Refusal::NoMixedInstances(_))), "{due:?}");
}

#[test]
fn a_baseline_is_restored_even_upwards_and_its_strategy_by_a_new_deployment() {
    let baseline = Service { desired: 1, scaling: Some(Bounds { min: 1, max: 2 }), capacity_providers: share("FARGATE_SPOT"), ..service() };
    assert_eq!(
        sentences(&restore_service(&baseline, Some(&active()), patience())),
        ["bounds 1 to 2", "1 task(s), 1 FARGATE_SPOT in a new deployment"]
    );
    let lost = ServiceState { desired: 0, running: 0, ..pilot_light() };
    assert_eq!(sentences(&restore_service(&baseline, Some(&lost), patience())), ["1 task(s)"]);
    let launch_type = Service { capacity_providers: Vec::new(), ..baseline };
    assert_eq!(sentences(&restore_service(&launch_type, Some(&pilot_light()), patience())), ["the launch type in a new deployment"]);
}

#[test]
fn what_runs_beyond_the_baseline_is_waited_for_without_end_and_what_lacks_is_not() {
    let baseline = Service { desired: 1, scaling: Some(Bounds { min: 1, max: 2 }), capacity_providers: share("FARGATE_SPOT"), ..service() };
    let late = Patience { now: now() + SignedDuration::from_hours(9), ..patience() };
    let surplus = ServiceState { running: 3, ..pilot_light() };
    assert_eq!(sentences(&restore_service(&baseline, Some(&surplus), late)), ["3 still run, the baseline is 1"]);
    let lacking = ServiceState { running: 0, ..pilot_light() };
    assert!(matches!(restore_service(&baseline, Some(&lacking), patience()), Decision::Wait(_)));
    assert_eq!(restore_service(&baseline, Some(&lacking), late), Decision::Done);
}

#[test]
fn a_group_with_weights_may_exceed_its_baseline_by_less_than_one_instance() {
    let baseline = Group { min: 0, desired: 3, max: 6, ..group() };
    let state = GroupState { min: 0, desired: 3, max: 6, in_service: 4, heaviest: 2, ..active_group() };
    assert_eq!(restore_group(&baseline, Some(&state), patience()), Decision::Done);
    let more = GroupState { in_service: 5, ..state };
    assert_eq!(sentences(&restore_group(&baseline, Some(&more), patience())), ["5 still run, the baseline is 3"]);
}
