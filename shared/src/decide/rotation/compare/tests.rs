use super::*;
use crate::plan::Secret;
use crate::ports::Lsn;
use crate::situations::{Situation, at};

/// A drill since second 0, its copy there since second 100. Two hours less five minutes are left to it.
fn drill() -> Situation {
    let mut situation = Situation::run(Mode::Drill, Phase::Activating);
    *copy(&mut situation) = CopyStep { requested_at: Some(at(10)), available_at: Some(at(100)), ..CopyStep::default() };
    situation
}

fn copy(situation: &mut Situation) -> &mut CopyStep {
    situation.journal.progress.promotion.copies.entry("orders".to_owned()).or_default()
}

fn seen(situation: &mut Situation, seen: CopyComparison) {
    situation.journal.progress.rotation.rehearsal.compared.insert("orders".to_owned(), seen);
}

fn due_at(situation: &Situation, seconds: i64) -> Option<Due> {
    due(&situation.plan, &situation.journal, &situation.plan.databases[0], at(seconds))
}

fn awaited(situation: &Situation, seconds: i64) -> bool {
    let run = situation.journal.head.run.clone().unwrap();
    is_awaited(&situation.plan, &situation.journal, &run, &situation.plan.databases[0], at(seconds))
}

fn moving(seconds: i64) -> CopyComparison {
    CopyComparison { at: at(seconds), said: "writes went on".to_owned(), ..CopyComparison::default() }
}

#[test]
fn a_copy_is_compared_from_when_it_is_there_until_its_promotion_and_once() {
    let mut situation = drill();
    copy(&mut situation).available_at = None;
    assert_eq!((due_at(&situation, 100), awaited(&situation, 100)), (None, false));
    let mut situation = drill();
    assert_eq!((due_at(&situation, 100), awaited(&situation, 100)), (Some(Due::Compare), true));
    seen(&mut situation, CopyComparison { ended_at: Some(at(105)), ..moving(105) });
    assert_eq!((due_at(&situation, 105), awaited(&situation, 105)), (None, false));

    type Change = fn(&mut CopyStep);
    let changes: [Change; 4] = [
        |copy| copy.promote_asked_at = Some(at(101)),
        |copy| copy.promote_called_at = Some(at(101)),
        |copy| copy.promoted_at = Some(at(101)),
        |copy| copy.failed = Some("why".to_owned()),
    ];
    for change in changes {
        let mut situation = drill();
        change(copy(&mut situation));
        assert_eq!((due_at(&situation, 102), awaited(&situation, 102)), (None, false));
    }
}

#[test]
fn nothing_is_compared_but_in_a_drill_on_its_way_up() {
    for phase in [Phase::Holding, Phase::Restoring] {
        let mut situation = drill();
        situation.run_mut().phase = phase;
        assert_eq!(due_at(&situation, 100), None, "{phase:?}");
    }
    let mut situation = drill();
    (situation.run_mut().mode, situation.run_mut().phase) = (Mode::Failover, Phase::Suspected);
    assert_eq!(due_at(&situation, 100), None, "a failure has no time for it");
}

#[test]
fn what_was_not_seen_alike_is_tried_again_after_a_minute_and_given_up_after_a_steps_time() {
    let mut situation = drill();
    seen(&mut situation, moving(120));
    assert_eq!((due_at(&situation, 179), due_at(&situation, 180)), (Some(Due::Later), Some(Due::Compare)));
    assert_eq!(due_at(&situation, 119), Some(Due::Compare), "a time in the future is a clock that jumped");
    assert_eq!(due_at(&situation, 100 + 899), Some(Due::Compare));
    let Some(Due::GiveUp(why)) = due_at(&situation, 100 + 900) else { panic!("not given up") };
    assert_eq!(why.to_string(), "writes went on; given up after 15m, and the drill goes on");
    assert!(awaited(&situation, 100 + 900), "what is given up is recorded first");
    assert!(!awaited(&situation, 100 + 1020), "a rotate-secret that says nothing does not hold the drill up");
}

#[test]
fn a_short_drill_has_time_for_the_promotion_all_the_same() {
    let mut situation = drill();
    situation.plan.drill.hold = SignedDuration::from_mins(5);
    situation.plan.drill.deadline = SignedDuration::from_mins(15);
    // Nine minutes after the start nothing is rehearsed any more; 440 s are left.
    assert!(matches!((due_at(&situation, 246), due_at(&situation, 247)), (Some(Due::Compare), Some(Due::GiveUp(_)))));
    assert_eq!((awaited(&situation, 319), awaited(&situation, 320)), (true, false));
    copy(&mut situation).available_at = Some(at(600));
    assert!(!awaited(&situation, 600), "no time is left");
}

#[test]
fn a_database_that_no_secret_opens_holds_nothing_up_and_is_said() {
    let mut situation = drill();
    situation.plan.secrets.clear();
    assert_eq!((due_at(&situation, 100), awaited(&situation, 100)), (None, false));
    let seen = concluded(&situation.plan, &situation.journal.progress, &situation.plan.databases[0]).unwrap();
    assert_eq!((seen.equal, seen.said.as_str()), (None, "the copy is not compared with orders-replica: no secret of the plan opens it"));
}

#[test]
fn copies_are_promoted_together() {
    let mut situation = drill();
    let users = Database { name: "users".to_owned(), replica: "users-replica".to_owned(), ..situation.plan.databases[0].clone() };
    situation.plan.secrets.push(Secret { name: "shop/users".to_owned(), database: "users".to_owned(), ..situation.plan.secrets[0].clone() });
    situation.plan.databases.push(users);
    seen(&mut situation, CopyComparison { ended_at: Some(at(110)), ..moving(110) });
    assert!(awaited(&situation, 110), "the other copy is not even there");
    let users = situation.journal.progress.promotion.copies.entry("users".to_owned()).or_default();
    users.failed = Some("why".to_owned());
    assert!(!awaited(&situation, 110), "and never will be");
    situation.journal.progress.promotion.copies.get_mut("users").unwrap().failed = None;
    situation.plan.secrets.pop();
    assert!(!awaited(&situation, 110), "and nobody opens it");
}

#[test]
fn a_cluster_of_auroras_is_waited_for_by_no_copy_before_its_snapshot_is_asked_for() {
    let mut situation = drill();
    let orders = &situation.plan.databases[0];
    let users = Database { name: "users".to_owned(), engine: crate::plan::Engine::AuroraPostgres, ..orders.clone() };
    situation.plan.secrets.push(Secret { name: "shop/users".to_owned(), database: "users".to_owned(), ..situation.plan.secrets[0].clone() });
    situation.plan.databases.push(users);
    seen(&mut situation, CopyComparison { ended_at: Some(at(110)), ..moving(110) });
    assert!(!awaited(&situation, 110), "it is never compared");
}

#[test]
fn a_copy_that_is_restored_is_not_compared_by_its_way_and_holds_no_other_up() {
    let mut situation = drill();
    *copy(&mut situation) = CopyStep { snapshot_asked_at: Some(at(10)), restore_asked_at: Some(at(60)), ..CopyStep::default() };
    assert_eq!((due_at(&situation, 100), concluded(&situation.plan, &situation.journal.progress, &situation.plan.databases[0])), (None, None));
    let users = Database { name: "users".to_owned(), replica: "users-replica".to_owned(), ..situation.plan.databases[0].clone() };
    situation.plan.databases.push(users);
    situation.journal.progress.promotion.copies.insert("users".to_owned(), CopyStep { available_at: Some(at(100)), ..CopyStep::default() });
    let run = situation.journal.head.run.clone().unwrap();
    assert!(!is_awaited(&situation.plan, &situation.journal, &run, &situation.plan.databases[1], at(100)), "it waits for no comparison of orders");

    copy(&mut situation).promoted_at = Some(at(160));
    let seen = concluded(&situation.plan, &situation.journal.progress, &situation.plan.databases[0]).unwrap();
    let said = "the copy is not compared with orders-replica: it was restored from a snapshot, which is no position of the replica's log";
    assert_eq!((seen.equal, seen.said.as_str()), (None, said));
}

#[test]
fn a_verdict_names_position_tables_and_counts() {
    let plan = crate::situations::plan();
    let said = |compared: Compared| {
        let Verdict { equal, said } = verdict(&plan.databases[0], &compared);
        (equal, said)
    };
    let at = || Lsn(0xE0_D1A8).to_string();
    assert_eq!(
        said(Compared::Equal { at: at(), tables: 2, rows: 54 }),
        (Some(true), "the copy equals orders-replica at 0/E0D1A8: 54 rows in 2 table(s)".to_owned())
    );
    let one = |here, there| Difference { table: "public.orders".to_owned(), here, there };
    let (equal, differs) = said(Compared::Differing { at: at(), tables: vec![one(5, 4), one(7, 7)] });
    assert_eq!(equal, Some(false));
    assert_eq!(
        differs,
        "the copy differs from orders-replica at 0/E0D1A8: public.orders: 5 rows in the replica, 4 in the copy; public.orders: 7 rows on both sides, with different values"
    );
    let (_, many) = said(Compared::Differing { at: at(), tables: vec![one(5, 4); 50] });
    assert!(many.ends_with("; and 30 more tables"), "{many}");
    assert_eq!(said(Compared::Moving).0, None);
}

#[test]
fn what_was_never_recorded_is_not_compared_and_what_was_never_there_is_not_spoken_of() {
    let mut situation = drill();
    let concluded = |situation: &Situation| concluded(&situation.plan, &situation.journal.progress, &situation.plan.databases[0]);
    let said = concluded(&situation).unwrap();
    assert!(said.equal.is_none() && said.said.contains("rotate-secret recorded nothing"), "{said:?}");
    copy(&mut situation).available_at = None;
    assert_eq!(concluded(&situation), None);
}
