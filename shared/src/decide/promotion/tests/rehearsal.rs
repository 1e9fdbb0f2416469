//! A drill's copy, from its creation to the writer that it becomes.

use super::*;
use crate::ports::CopySnapshot;

type Decided = Decision<CopyMove, RehearsalWait, GivenUp>;

fn decide(step: &CopyStep, replica: Option<&Instance>, copy: Option<&Instance>, opened: i64) -> Decided {
    decide_over(step, replica, copy, None, opened)
}

fn decide_over(step: &CopyStep, replica: Option<&Instance>, copy: Option<&Instance>, snapshot: Option<CopySnapshot>, opened: i64) -> Decided {
    let plan = plan();
    let mut run = run(Mode::Drill, Phase::Activating);
    run.opened_at = ago(opened);
    rehearse(&Rehearsal { plan: &plan, run: &run, database: &plan.databases[0], step, replica, copy, snapshot, comparing: false, now: now() })
}

fn asked() -> CopyStep {
    CopyStep { instance: id().to_string(), requested_at: Some(ago(50)), ..CopyStep::default() }
}

fn id() -> CopyId {
    CopyId::of("shop", &run(Mode::Drill, Phase::Activating).id, "orders")
}

#[test]
fn a_replica_with_backups_is_copied() {
    assert_eq!(decide(&CopyStep::default(), Some(&replica()), None, 60), Decision::Act(vec![CopyMove::Create(id())]));
}

#[test]
fn a_replica_at_work_is_waited_for_and_one_that_can_never_be_copied_is_given_up() {
    assert!(matches!(decide(&CopyStep::default(), Some(&with_status("backing-up")), None, 60), Decision::Wait(RehearsalWait::Busy(_))));
    for (found, given_up) in [
        (None, GivenUp::NoReplica { replica: "orders-replica".to_owned() }),
        (Some(&writer()), GivenUp::NotAReplica { replica: "orders-replica".to_owned() }),
        (Some(&with_status("failed")), GivenUp::NotAvailable { replica: "orders-replica".to_owned(), status: "failed".to_owned() }),
    ] {
        assert_eq!(decide(&CopyStep::default(), found, None, 60), Decision::Refuse(given_up));
    }
}

#[test]
fn a_copy_whose_creation_was_never_answered_is_taken_up() {
    let owed = CopyStep { instance: id().to_string(), ..CopyStep::default() };
    assert_eq!(decide(&owed, Some(&with_status("backing-up")), Some(&with_status("creating")), 60), Decision::Act(vec![CopyMove::Created]));
    assert_eq!(decide(&owed, Some(&replica()), None, 60), Decision::Act(vec![CopyMove::Create(id())]), "never made: made now");
}

#[test]
fn a_copy_goes_from_available_to_promoted() {
    assert!(matches!(decide(&asked(), None, Some(&with_status("creating")), 60), Decision::Wait(_)));
    assert!(matches!(decide(&asked(), None, None, 60), Decision::Wait(RehearsalWait::NotSeen { .. })));
    assert_eq!(decide(&asked(), None, Some(&replica()), 60), Decision::Act(vec![CopyMove::Available]));
    let available = CopyStep { available_at: Some(ago(9)), ..asked() };
    assert_eq!(decide(&available, None, Some(&replica()), 60), Decision::Act(vec![CopyMove::Promote(id())]));
    let called = CopyStep { promote_called_at: Some(ago(5)), ..available };
    assert!(matches!(decide(&called, None, Some(&replica()), 60), Decision::Wait(RehearsalWait::Promoting { .. })));
    assert_eq!(decide(&called, None, Some(&writer()), 60), Decision::Act(vec![CopyMove::Promoted]));
}

#[test]
fn a_copy_is_not_promoted_while_one_is_to_be_compared_and_a_promotion_that_was_asked_for_goes_on() {
    let plan = plan();
    let run = run(Mode::Drill, Phase::Activating);
    let decide = |step: &CopyStep, copy: &Instance| {
        let copy = Some(copy);
        rehearse(&Rehearsal {
            plan: &plan,
            run: &run,
            database: &plan.databases[0],
            step,
            replica: None,
            copy,
            snapshot: None,
            comparing: true,
            now: now(),
        })
    };
    assert_eq!(decide(&asked(), &replica()), Decision::Act(vec![CopyMove::Available]), "it is compared from here on");
    let available = CopyStep { available_at: Some(ago(9)), ..asked() };
    assert_eq!(decide(&available, &replica()), Decision::Wait(RehearsalWait::Comparing { copy: id() }));
    let asked_for = CopyStep { promote_asked_at: Some(ago(5)), ..available };
    assert_eq!(decide(&asked_for, &replica()), Decision::Act(vec![CopyMove::Promote(id())]), "its call was not answered");
    assert_eq!(decide(&asked_for, &writer()), Decision::Act(vec![CopyMove::Promoted]));
}

#[test]
fn a_copy_that_breaks_is_given_up() {
    let decision = decide(&asked(), None, Some(&with_status("incompatible-parameters")), 60);
    assert!(matches!(decision, Decision::Refuse(GivenUp::Broken { .. })), "{decision:?}");
}

/// Deadline 3 h, hold 1 h: 2 h, less the five minutes for the login.
#[test]
fn it_is_given_up_while_the_hold_still_fits_but_not_in_the_moment_of_its_success() {
    let last = 115 * 60;
    assert!(matches!(decide(&asked(), None, Some(&with_status("creating")), last - 1), Decision::Wait(_)));
    for copy in [None, Some(&replica()), Some(&with_status("creating"))] {
        assert!(matches!(decide(&asked(), None, copy, last), Decision::Refuse(GivenUp::OutOfTime { .. })));
    }
    assert_eq!(decide(&asked(), None, Some(&writer()), last), Decision::Act(vec![CopyMove::Promoted]));
}

#[test]
fn what_ended_stays_ended() {
    let failed = CopyStep { failed: Some("why".to_owned()), ..asked() };
    let promoted = CopyStep { promoted_at: Some(now()), ..asked() };
    for step in [failed, promoted] {
        assert_eq!(decide(&step, Some(&replica()), Some(&replica()), 60), Decision::Done);
    }
}

mod from_a_snapshot {
    use super::*;

    fn without_backups() -> Instance {
        Instance { backup_retention: 0, ..replica() }
    }

    /// The snapshot was asked for.
    fn asked_for() -> CopyStep {
        CopyStep { instance: id().to_string(), snapshot_asked_at: Some(ago(50)), ..CopyStep::default() }
    }

    #[test]
    fn what_rds_makes_no_replica_of_is_restored_from_a_snapshot_with_the_reason() {
        let old = |version: &str| Instance { engine_version: version.to_owned(), ..replica() };
        let replica = || "orders-replica".to_owned();
        for (found, why) in [
            (without_backups(), NotCopied::NoBackups { replica: replica() }),
            (old("13.14"), NotCopied::EngineTooOld { replica: replica(), version: "13.14".to_owned() }),
            (old("14.0"), NotCopied::EngineTooOld { replica: replica(), version: "14.0".to_owned() }),
        ] {
            assert_eq!(decide(&CopyStep::default(), Some(&found), None, 60), Decision::Act(vec![CopyMove::Snapshot { copy: id(), why }]));
        }
        for version in ["14.1", "16.3", "17", "of tomorrow"] {
            assert_eq!(decide(&CopyStep::default(), Some(&old(version)), None, 60), Decision::Act(vec![CopyMove::Create(id())]), "{version}");
        }
    }

    #[test]
    fn a_replica_of_mysql_is_copied_whatever_its_version_and_restored_where_it_has_no_backups() {
        let plan = Plan::stored(&PLAN.replace("engine = \"postgres\"", "engine = \"mysql\"")).expect("a plan");
        let run = run(Mode::Drill, Phase::Activating);
        let (step, database) = (CopyStep::default(), &plan.databases[0]);
        let due = |replica: &Instance| {
            let replica = Some(replica);
            rehearse(&Rehearsal { plan: &plan, run: &run, database, step: &step, replica, copy: None, snapshot: None, comparing: false, now: now() })
        };
        let with = |backup_retention| Instance { engine: "mysql".to_owned(), engine_version: "8.0.36".to_owned(), backup_retention, ..replica() };
        assert_eq!(due(&with(1)), Decision::Act(vec![CopyMove::Create(id())]));
        let why = NotCopied::NoBackups { replica: "orders-replica".to_owned() };
        assert_eq!(due(&with(0)), Decision::Act(vec![CopyMove::Snapshot { copy: id(), why }]));
    }

    #[test]
    fn a_replica_at_work_is_waited_for_and_one_that_is_broken_is_given_up_in_this_way_too() {
        let with = |status: &str| Instance { status: status.to_owned(), ..without_backups() };
        assert!(matches!(decide(&CopyStep::default(), Some(&with("modifying")), None, 60), Decision::Wait(RehearsalWait::Busy(_))));
        assert!(matches!(decide(&CopyStep::default(), Some(&with("failed")), None, 60), Decision::Refuse(GivenUp::NotAvailable { .. })));
    }

    #[test]
    fn it_goes_from_the_snapshot_to_a_writer_that_nobody_promotes() {
        let busy = Instance { status: "backing-up".to_owned(), ..without_backups() };
        let seen = |snapshot| decide_over(&asked_for(), Some(&busy), None, Some(snapshot), 60);
        assert_eq!(seen(CopySnapshot::Underway), Decision::Wait(RehearsalWait::Snapshotting { copy: id() }));
        assert_eq!(seen(CopySnapshot::Available), Decision::Act(vec![CopyMove::Restore(id())]));

        let requested = CopyStep { restore_asked_at: Some(ago(20)), requested_at: Some(ago(20)), ..asked_for() };
        let creating = Instance { status: "creating".to_owned(), ..writer() };
        assert!(matches!(decide(&requested, None, Some(&creating), 60), Decision::Wait(RehearsalWait::Busy(_))));
        assert_eq!(decide(&requested, None, Some(&writer()), 60), Decision::Act(vec![CopyMove::Promoted]));
    }

    #[test]
    fn a_restore_whose_answer_was_lost_is_taken_up() {
        let step = CopyStep { restore_asked_at: Some(ago(20)), ..asked_for() };
        let creating = Instance { status: "creating".to_owned(), ..writer() };
        let seen = |copy| decide_over(&step, Some(&without_backups()), copy, Some(CopySnapshot::Available), 60);
        assert_eq!(seen(Some(&creating)), Decision::Act(vec![CopyMove::Created]));
        assert_eq!(seen(None), Decision::Act(vec![CopyMove::Restore(id())]), "never begun: begun now");
    }

    #[test]
    fn a_snapshot_that_never_began_is_asked_for_again_or_the_replica_copied_where_it_can_be_now() {
        let again = decide(&asked_for(), Some(&without_backups()), None, 60);
        assert!(matches!(&again, Decision::Act(moves) if matches!(moves[0], CopyMove::Snapshot { .. })), "{again:?}");
        assert_eq!(decide(&asked_for(), Some(&replica()), None, 60), Decision::Act(vec![CopyMove::Create(id())]));
    }

    #[test]
    fn a_snapshot_that_failed_gives_the_rehearsal_up() {
        let decision = decide_over(&asked_for(), Some(&without_backups()), None, Some(CopySnapshot::Failed), 60);
        assert_eq!(decision, Decision::Refuse(GivenUp::SnapshotFailed { copy: id(), replica: "orders-replica".to_owned() }));
    }

    #[test]
    fn a_snapshot_that_takes_too_long_is_not_restored_any_more() {
        let last = 115 * 60;
        let seen = |opened| decide_over(&asked_for(), Some(&without_backups()), None, Some(CopySnapshot::Available), opened);
        assert_eq!(seen(last - 1), Decision::Act(vec![CopyMove::Restore(id())]));
        assert!(matches!(seen(last), Decision::Refuse(GivenUp::OutOfTime { .. })));
    }
}
