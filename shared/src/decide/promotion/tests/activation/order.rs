//! A database whose promotion waits for another's proof.

use super::*;

/// The plan with a second database that no secret opens, before which or behind which orders stands.
fn ordered(orders: &str, users: &str) -> Plan {
    let text = PLAN.replacen("replica = \"orders-replica\"", &format!("replica = \"orders-replica\"\n{orders}"), 1);
    let second =
        format!("[[database]]\nname = \"users\"\nengine = \"postgres\"\nprimary = \"users\"\nreplica = \"users-replica\"\n{users}\n\n[[secret]]");
    Plan::stored(&text.replacen("[[secret]]", &second, 1)).expect("a plan")
}

fn decide(plan: &Plan, name: &str, situation: &Situation) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
    let run = run(Mode::Failover, Phase::Activating);
    let database = plan.database(name).expect("a database");
    let Situation { step, snapshot } = situation;
    activate(&Activation { plan, snapshot, run: &run, database, step, replica: Some(&replica()), proxy: None, now: now() })
}

fn promoted(situation: &mut Situation, name: &str) {
    let step = DatabaseStep { promoted_at: Some(ago(5)), ..DatabaseStep::default() };
    situation.snapshot.progress.promotion.databases.insert(name.to_owned(), step);
}

#[test]
fn a_promotion_waits_for_the_others_proof_and_not_for_its_promotion_alone() {
    let plan = ordered("", "after = \"orders\"");
    let mut situation = Situation::default();
    let said = |situation: &Situation| decide(&plan, "users", situation).why_not().expect("waits");
    assert!(said(&situation).contains("orders must be proven first, and it is not promoted yet"), "{}", said(&situation));
    promoted(&mut situation, "orders");
    assert!(said(&situation).contains("it is promoted and not yet proven"), "{}", said(&situation));
    situation.snapshot.progress.rotation.proven.insert("orders".to_owned(), ago(1));
    assert_eq!(decide(&plan, "users", &situation), act(PROMOTE));
}

#[test]
fn a_database_that_no_secret_opens_is_waited_for_until_it_is_promoted() {
    let plan = ordered("after = \"users\"", "");
    let mut situation = Situation::default();
    assert!(matches!(decide(&plan, "orders", &situation), Decision::Wait(ActivationWait::After(_))));
    promoted(&mut situation, "users");
    assert_eq!(decide(&plan, "orders", &situation), act(PROMOTE));
}

#[test]
fn without_a_word_of_the_plan_nobody_waits() {
    let plan = ordered("", "");
    for name in ["orders", "users"] {
        assert_eq!(decide(&plan, name, &Situation::default()), act(PROMOTE), "{name}");
    }
}

#[test]
fn what_was_attempted_already_is_followed_whoever_it_should_have_waited_for() {
    let plan = ordered("", "after = \"orders\"");
    let called = decide(&plan, "users", &Situation::called(10));
    assert!(matches!(called, Decision::Wait(ActivationWait::Promoting { .. })), "{called:?}");
    assert_eq!(decide(&plan, "users", &Situation::attempted(61)), act(PROMOTE_AGAIN), "its record is there, and the call did not happen");
}
