use super::*;
use crate::plan::Engine;
use crate::situations::{Situation, at};
use crate::state::{Endpoint, HomeComparison, HomeGate, HomeLag};

fn failback(phase: Phase) -> Situation {
    let mut situation = Situation::run(Mode::Failback, phase);
    situation.journal.progress.promotion.home.insert("orders".to_owned(), HomeStep::default());
    situation
}

fn instances(situation: &mut Situation) -> &mut HomeStep {
    situation.journal.progress.promotion.home.entry("orders".to_owned()).or_default()
}

fn logins(situation: &mut Situation) -> &mut HomeDatabase {
    situation.journal.progress.rotation.home.databases.entry("orders".to_owned()).or_default()
}

fn due(situation: &Situation, seconds: i64) -> Option<DatabaseMove> {
    database_due(&situation.journal, &situation.plan.databases[0], at(seconds))
}

fn secret(situation: &Situation, seconds: i64) -> Option<SecretMove> {
    secret_due(&situation.journal, &situation.plan.secrets[0], at(seconds))
}

fn endpoint() -> Option<Endpoint> {
    Some(Endpoint { host: "orders".to_owned(), port: 5432 })
}

#[test]
fn the_old_writer_is_compared_once_it_can_be_read_and_then_the_lag_is_measured() {
    let mut situation = failback(Phase::Preparing);
    assert_eq!(due(&situation, 0), None);
    instances(&mut situation).left_endpoint = endpoint();
    assert_eq!(due(&situation, 0), Some(DatabaseMove::CompareLeft));
    logins(&mut situation).left_compared_at = Some(at(0));
    assert_eq!(due(&situation, 0), None, "nothing replicates yet");
    instances(&mut situation).replicating_at = Some(at(0));
    assert_eq!(due(&situation, 0), Some(DatabaseMove::MeasureLag));
    logins(&mut situation).lag = Some(HomeLag { bytes: 0, at: at(0) });
    assert_eq!(
        (due(&situation, 49), due(&situation, 50), due(&situation, -1)),
        (None, Some(DatabaseMove::MeasureLag), Some(DatabaseMove::MeasureLag))
    );
}

#[test]
fn what_was_seen_equal_is_not_compared_again_and_the_rest_after_a_while() {
    for (equal, again) in [(Some(true), false), (Some(false), true), (None, true)] {
        let mut situation = failback(Phase::Synchronised);
        logins(&mut situation).compared = Some(HomeComparison { at: at(0), equal, said: String::new() });
        assert_eq!(due(&situation, 299), None);
        assert_eq!(due(&situation, 300).is_some(), again, "{equal:?}");
    }
    assert_eq!(due(&failback(Phase::Synchronised), 0), Some(DatabaseMove::Compare));
}

#[test]
fn writes_are_closed_after_it_is_recorded_and_the_last_one_is_followed_home() {
    let mut situation = failback(Phase::Switching);
    assert_eq!(due(&situation, 0), Some(DatabaseMove::Closing));
    logins(&mut situation).closing_at = Some(at(0));
    assert_eq!(due(&situation, 0), Some(DatabaseMove::Close));
    logins(&mut situation).closed_at = Some(at(0));
    assert_eq!(due(&situation, 0), Some(DatabaseMove::Reach));
    logins(&mut situation).reached_at = Some(at(0));
    assert_eq!(due(&situation, 0), Some(DatabaseMove::Compare), "no common position was found before");
    logins(&mut situation).compared = Some(HomeComparison { at: at(0), equal: Some(true), said: String::new() });
    assert_eq!(due(&situation, 0), None);
}

fn gate() -> Option<HomeGate> {
    Some(HomeGate { group: "shop-orders".to_owned(), was: None, seen_at: at(0), told: None })
}

#[test]
fn by_what_the_writes_of_mysql_are_closed_is_seen_before_they_pause_and_again_while_they_do_not() {
    let mut situation = failback(Phase::Synchronised);
    situation.plan.databases[0].engine = Engine::MySql;
    assert_eq!(due(&situation, 0), Some(DatabaseMove::See));
    logins(&mut situation).gate = gate();
    assert_eq!((due(&situation, 49), due(&situation, 50)), (Some(DatabaseMove::Compare), Some(DatabaseMove::See)));
    let mut situation = failback(Phase::Switching);
    situation.plan.databases[0].engine = Engine::MySql;
    assert_eq!(due(&situation, 0), Some(DatabaseMove::See), "an older version did not look");
    logins(&mut situation).gate = gate();
    assert_eq!(due(&situation, 3600), Some(DatabaseMove::Closing), "what it said before is kept from here on");
}

#[test]
fn a_parameter_group_is_given_back_once_who_was_closed_by_it_is_set_aside() {
    let mut situation = failback(Phase::Restoring);
    situation.run_mut().came_home_at = Some(at(0));
    (logins(&mut situation).gate, logins(&mut situation).closing_at) = (gate(), Some(at(-9)));
    assert_eq!(due(&situation, 0), None, "the writer that served is still there, and is to take no writes");
    instances(&mut situation).standby_left_at = Some(at(0));
    assert_eq!(due(&situation, 0), Some(DatabaseMove::GiveBack));
    logins(&mut situation).given_back_at = Some(at(1));
    assert_eq!(due(&situation, 2), None);
}

#[test]
fn a_parameter_group_is_told_again_what_it_was_told_after_a_while_and_something_else_at_once() {
    let mut gate = gate().unwrap();
    assert!(tells(&gate, "1", at(0)));
    gate.told = Some(("1".to_owned(), at(0)));
    assert_eq!((tells(&gate, "1", at(19)), tells(&gate, "1", at(20)), tells(&gate, "{TrueIfReplica}", at(1))), (false, true, true));
}

#[test]
fn home_is_proven_once_it_is_promoted_and_its_secrets_follow() {
    let mut situation = failback(Phase::Switching);
    situation.run_mut().committed_at = Some(at(0));
    assert_eq!((due(&situation, 0), secret(&situation, 0)), (None, None));
    instances(&mut situation).promoted_at = Some(at(0));
    assert_eq!((due(&situation, 0), secret(&situation, 0)), (Some(DatabaseMove::Prove), None));
    logins(&mut situation).proven_at = Some(at(0));
    assert_eq!((due(&situation, 0), secret(&situation, 0)), (None, Some(SecretMove::Write)));
    let step = HomeSecretStep { written_at: Some(at(0)), ..HomeSecretStep::default() };
    situation.journal.progress.rotation.home.secrets.insert("shop/orders".to_owned(), step.clone());
    assert_eq!(secret(&situation, 0), Some(SecretMove::Test));
    situation.journal.progress.rotation.home.secrets.insert("shop/orders".to_owned(), HomeSecretStep { tested_at: Some(at(0)), ..step });
    assert_eq!(secret(&situation, 0), None);
}

#[test]
fn what_was_given_up_opens_writes_at_once_and_once_more_when_no_late_call_can_close_them() {
    let mut situation = failback(Phase::Aborted);
    assert_eq!(due(&situation, 0), None, "they were never closed");
    logins(&mut situation).closing_at = Some(at(-5));
    assert_eq!(due(&situation, 0), Some(DatabaseMove::Reopen), "the answer may have been lost");
    logins(&mut situation).reopened_at = Some(at(1));
    assert_eq!((due(&situation, 59), due(&situation, 60)), (None, Some(DatabaseMove::Reopen)));
    logins(&mut situation).reopened_at = Some(at(60));
    assert_eq!(due(&situation, 3600), None);
}

#[test]
fn secrets_are_replicated_again_only_once_users_are_home() {
    let mut situation = failback(Phase::Restoring);
    assert_eq!(secret(&situation, 0), None);
    situation.run_mut().came_home_at = Some(at(0));
    assert_eq!(secret(&situation, 0), Some(SecretMove::ReplicateAgain));
}

#[test]
fn the_admin_is_who_may_alter_the_others() {
    let mut plan = crate::situations::plan();
    assert_eq!(admin_of(&plan, &plan.databases[0]).map(|secret| secret.name.as_str()), Some("shop/orders"), "there is no other");
    let mut admin = plan.secrets[0].clone();
    admin.name = "shop/admin".to_owned();
    plan.secrets[0].admin = Some(admin.name.clone());
    plan.secrets.push(admin);
    assert_eq!(admin_of(&plan, &plan.databases[0]).map(|secret| secret.name.as_str()), Some("shop/admin"));
}

#[test]
fn relights_own_marker_is_no_row_of_the_workload() {
    let table = |name: &str| Table { name: name.to_owned(), key: vec!["id".to_owned()] };
    assert!(
        is_own(&table("public.relight_marker"))
            && is_own(&table("relight_heartbeat"))
            && is_own(&table("relight_marker"))
            && !is_own(&table("public.relight_marker_log"))
    );
}
