//! What the plan asks of an instance that was promoted: in which order, in how many calls, and when it counts as done.

use super::*;
use crate::ports::ParameterGroup;
use crate::state::{RestartStep, SecretStep};

/// All that a plan can ask for.
fn full() -> Plan {
    let keys = "instance_class = \"db.r6g.large\"\nmulti_az = true\ndeletion_protection = true\nparameter_group = \"orders-serving\"";
    Plan::stored(&PLAN.replace("instance_class = \"db.r6g.large\"", keys)).expect("a plan")
}

fn grouped(name: &str, status: &str, instance: Instance) -> Instance {
    Instance { parameter_group: Some(ParameterGroup { name: name.to_owned(), status: status.to_owned() }), ..instance }
}

/// In service, with all but the parameter group seen.
fn all_but_the_group() -> Situation {
    let mut situation = Situation::in_service();
    (situation.step.protected_at, situation.step.multi_az_at, situation.step.class_changed_at) = (Some(now()), Some(now()), Some(now()));
    situation
}

#[test]
fn what_nobody_notices_goes_in_one_call_before_anybody_is_served() {
    let without = Instance { backup_retention: 0, ..writer() };
    let both = InstanceChange { deletion_protection: Some(true), ..InstanceChange::backups(7) };
    assert_eq!(Situation::promoted().decide_by(full(), Some(&without)), act(PromotionStep::Change(both)));
    let mut backed = Situation::promoted();
    backed.step.backups_on_at = Some(now());
    let protection = InstanceChange { deletion_protection: Some(true), ..InstanceChange::default() };
    assert_eq!(backed.decide_by(full(), Some(&writer())), act(PromotionStep::Change(protection)));
    let backing_up = Instance { status: "backing-up".to_owned(), ..writer() };
    assert!(matches!(backed.decide_by(full(), Some(&backing_up)), Decision::Wait(ActivationWait::Changing { .. })), "RDS would refuse it");
    let protected = Instance { deletion_protection: true, ..writer() };
    assert_eq!(backed.decide_by(full(), Some(&protected)), act(PromotionStep::Protected), "seen, and only then written down");
}

#[test]
fn what_restarts_or_slows_the_database_goes_in_one_call_after_the_proof_and_the_traffic() {
    let protected = Instance { deletion_protection: true, ..grouped("default", "in-sync", writer()) };
    let mut situation = Situation::in_service();
    situation.step.protected_at = Some(now());
    let all = InstanceChange { multi_az: Some(true), parameter_group: Some("orders-serving".to_owned()), ..to_class() };
    assert_eq!(situation.decide_by(full(), Some(&protected)), act(PromotionStep::Change(all.clone())));
    situation.snapshot.progress.traffic.opened_at = None;
    assert_eq!(situation.decide_by(full(), Some(&protected)), Decision::Wait(ActivationWait::Last { what: all }));
}

#[test]
fn what_is_as_the_plan_wants_it_already_is_not_asked_for() {
    let is = Instance { deletion_protection: true, multi_az: true, ..grouped("orders-serving", "in-sync", writer()) };
    let mut situation = Situation::in_service();
    let seen = vec![PromotionStep::Protected, PromotionStep::MultiAz, PromotionStep::ParametersInForce];
    assert_eq!(situation.decide_by(full(), Some(&is)), Decision::Act(seen));
    (situation.step.protected_at, situation.step.multi_az_at, situation.step.parameters_at) = (Some(now()), Some(now()), Some(now()));
    assert_eq!(situation.decide_by(full(), Some(&is)), act(PromotionStep::Change(to_class())));
}

#[test]
fn multi_az_that_is_asked_for_is_not_yet_there() {
    let pending = Instance { deletion_protection: true, pending_multi_az: Some(true), ..writer() };
    let mut situation = Situation::in_service();
    situation.step.protected_at = Some(now());
    assert!(matches!(situation.decide_by(full(), Some(&pending)), Decision::Wait(ActivationWait::Changing { .. })));
    let half = Instance { pending_multi_az: Some(true), multi_az: true, ..pending };
    assert!(matches!(situation.decide_by(full(), Some(&half)), Decision::Wait(ActivationWait::Changing { .. })));
}

#[test]
fn a_parameter_group_that_the_new_class_brought_into_force_needs_no_restart_of_its_own() {
    let decided = all_but_the_group().decide_by(full(), Some(&grouped("orders-serving", "in-sync", writer())));
    assert_eq!(decided, act(PromotionStep::ParametersInForce));
}

#[test]
fn a_parameter_group_that_still_waits_is_brought_into_force_by_one_restart() {
    let waits = grouped("orders-serving", "pending-reboot", writer());
    let mut situation = all_but_the_group();
    assert_eq!(situation.decide_by(full(), Some(&waits)), act(PromotionStep::Restart { again: false }));
    let applying = grouped("orders-serving", "applying", writer());
    assert!(matches!(situation.decide_by(full(), Some(&applying)), Decision::Wait(ActivationWait::Changing { .. })));

    situation.step.restart = RestartStep { asked_at: Some(ago(60)), called_at: None };
    assert!(matches!(situation.decide_by(full(), Some(&waits)), Decision::Wait(_)), "without an answer it may have happened");
    situation.step.restart.asked_at = Some(ago(61));
    assert_eq!(situation.decide_by(full(), Some(&waits)), act(PromotionStep::Restart { again: true }));
    let rebooting = Instance { status: "rebooting".to_owned(), ..waits.clone() };
    assert!(matches!(situation.decide_by(full(), Some(&rebooting)), Decision::Wait(_)), "it happened");

    situation.step.restart = RestartStep { asked_at: Some(ago(301)), called_at: Some(ago(300)) };
    assert!(matches!(situation.decide_by(full(), Some(&waits)), Decision::Wait(_)), "an answered call is never sent again");
    situation.step.restart.called_at = Some(ago(301));
    let refused = situation.decide_by(full(), Some(&waits)).why_not().expect("refused");
    assert!(refused.contains("orders-serving, which is pending-reboot") && refused.contains("by hand"), "{refused}");
}

#[test]
fn a_parameter_group_that_does_not_apply_needs_a_person() {
    let failed = grouped("orders-serving", "failed-to-apply", writer());
    assert!(matches!(all_but_the_group().decide_by(full(), Some(&failed)), Decision::Refuse(ActivationRefusal::NotInForce { .. })));
}

#[test]
fn a_hold_keeps_a_parameter_group_from_restarting_the_writer() {
    let mut situation = all_but_the_group();
    situation.snapshot.head.hold = hold();
    let waits = grouped("orders-serving", "pending-reboot", writer());
    assert!(matches!(situation.decide_by(full(), Some(&waits)), Decision::Wait(ActivationWait::Held { .. })));
}

#[test]
fn no_rotation_is_broken_off_by_a_restart() {
    let mut situation = Situation::in_service();
    let step = |rotated_at, failed: Option<&str>| SecretStep {
        repointed_at: Some(ago(3)),
        rotated_at,
        failed: failed.map(str::to_owned),
        ..SecretStep::default()
    };
    let mut decided = |step: SecretStep| {
        situation.snapshot.progress.rotation.secrets.insert("orders-app".to_owned(), step);
        situation.decide(Some(&writer()))
    };
    assert!(matches!(decided(step(None, None)), Decision::Wait(ActivationWait::Last { .. })));
    assert_eq!(decided(step(Some(ago(1)), None)), act(PromotionStep::Change(to_class())));
    assert_eq!(decided(step(None, Some("it failed"))), act(PromotionStep::Change(to_class())), "one that failed is over, too");
}
