//! A report says what the journal says, in both its forms, and nothing of the page comes from outside.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relight::plan::{Plan, ResourceId};
use relight::ports::{Entry, EntryKind};
use relight::report::{Lost, Report, page};
use relight::run::{Mode, Phase, Run, RunId, Words};
use relight::state::{CapacityStep, CopyComparison, CopyStep, DatabaseStep, FrozenLag, SecretStep, Snapshot, Validation};

const PLAN: &str = include_str!("../../infra/examples/pilot-light/relight.toml");

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_571_500 + seconds).expect("a time")
}

fn plan() -> Plan {
    Plan::parse(PLAN).expect("a good plan")
}

fn run(mode: Mode, phase: Phase) -> Run {
    Run {
        id: RunId::new(mode, at(4)),
        mode,
        phase,
        plan_version: 1,
        opened_at: at(4),
        phase_since: at(300),
        cause: "watcher says the primary is down".to_owned(),
        first_down: (mode == Mode::Failover).then(|| at(0)),
        confirmed_at: Some(at(64)),
        committed_at: (mode == Mode::Failover).then(|| at(66)),
        ended_at: Some(at(330)),
        was_drill: false,
        was_failback: false,
        came_home_at: None,
        words: Words::default(),
    }
}

fn entry(after: i64, by: &str, kind: EntryKind, said: &str) -> Entry {
    Entry {
        at: at(after),
        by: by.to_owned(),
        kind,
        about: String::new(),
        said: said.to_owned(),
        calls: BTreeMap::from([("rds:DescribeDBInstances".to_owned(), 2)]),
    }
}

fn failover(lag: Option<f64>) -> (Snapshot, Run) {
    let run = run(Mode::Failover, Phase::Active);
    let mut snapshot = Snapshot::default();
    snapshot.head.run = Some(run.clone());
    for id in ["service/shop/web", "group/shop-workers"] {
        let step = CapacityStep { requested_at: Some(at(6)), reached_at: Some(at(180)), running: 4, wanted: 4, said: "4 of 4".to_owned() };
        snapshot.progress.capacity.resources.insert(ResourceId(id.to_owned()), step);
    }
    let lag = FrozenLag {
        first_down: Some(at(0)),
        seconds: lag,
        sampled_at: Some(at(-20)),
        source: "CloudWatch ReplicaLag".to_owned(),
        ..FrozenLag::default()
    };
    let step = DatabaseStep { lag: Some(lag), promote_called_at: Some(at(67)), promoted_at: Some(at(250)), ..DatabaseStep::default() };
    snapshot.progress.promotion.databases.insert("orders".to_owned(), step);
    snapshot.progress.rotation.proven.insert("orders".to_owned(), at(252));
    snapshot
        .progress
        .rotation
        .secrets
        .insert("shop/orders/app".to_owned(), SecretStep { repointed_at: Some(at(255)), rotated_at: Some(at(270)), ..SecretStep::default() });
    snapshot.progress.traffic.held_out_at = Some(at(65));
    snapshot.progress.traffic.opened_at = Some(at(300));
    (snapshot, run)
}

fn history() -> Vec<Entry> {
    vec![
        entry(4, "watch-primary", EntryKind::Phase, "suspected"),
        entry(6, "scale-up", EntryKind::Action, "asked for <4> tasks"),
        entry(9, "scale-up", EntryKind::Operator, "ana said `approve`"),
    ]
}

#[test]
fn a_failover_within_its_objectives_passes() {
    let (snapshot, run) = failover(Some(20.0));
    let report = Report::build(&plan(), &snapshot, &run, &history());
    assert!(report.passed, "{:?}", report.findings);
    assert_eq!(report.measured.rto_seconds, Some(330.0));
    assert_eq!(report.measured.rpo_seconds, Some(20.0));
    assert_eq!(report.calls["rds:DescribeDBInstances"], 6);
    assert_eq!(report.operators, ["ana said `approve`"]);
}

#[test]
fn a_failover_beyond_the_rpo_does_not_pass() {
    let (snapshot, run) = failover(Some(600.0));
    let report = Report::build(&plan(), &snapshot, &run, &history());
    assert!(!report.passed);
    assert!(
        report.findings.iter().any(|finding| !finding.ok && finding.said.contains("promoted 600 s behind, the objective is 300 s")),
        "{:?}",
        report.findings
    );
}

#[test]
fn an_unknown_loss_is_never_a_number() {
    let (snapshot, run) = failover(None);
    let report = Report::build(&plan(), &snapshot, &run, &history());
    assert_eq!(report.measured.rpo_seconds, None);
    assert!(!report.passed);
    assert!(page(&report).contains("unknown"));
}

#[test]
fn milestones_stand_in_the_order_of_time() {
    let (snapshot, run) = failover(Some(20.0));
    let report = Report::build(&plan(), &snapshot, &run, &history());
    let names: Vec<&str> = report.milestones.iter().map(|milestone| milestone.name.as_str()).collect();
    let expected = [
        "first Down",
        "suspected",
        "capacity requested",
        "confirmed",
        "primary held out of traffic",
        "point of no return",
        "orders: promotion requested",
    ];
    assert_eq!(names[..7], expected);
    assert!(report.milestones.is_sorted_by_key(|milestone| milestone.at));
}

fn drill() -> (Snapshot, Run) {
    let run = run(Mode::Drill, Phase::Closed);
    let (mut snapshot, _) = failover(None);
    snapshot.head.run = Some(run.clone());
    snapshot.progress.promotion.databases.clear();
    let copy = CopyStep {
        instance: "relight-drill-x".to_owned(),
        available_at: Some(at(100)),
        promote_called_at: Some(at(101)),
        promoted_at: Some(at(160)),
        ..CopyStep::default()
    };
    snapshot.progress.promotion.copies.insert("orders".to_owned(), copy);
    for name in ["shop/orders/app", "shop/orders/admin"] {
        let step = SecretStep { repointed_at: Some(at(165)), rotated_at: Some(at(175)), ..SecretStep::default() };
        snapshot.progress.rotation.rehearsal.secrets.insert(name.to_owned(), step);
    }
    let url = "https://standby.shop.example/health".to_owned();
    snapshot.progress.drill.validated.insert(url, Validation { ok: true, said: "200 in 0.1 s".to_owned() });
    (snapshot, run)
}

#[test]
fn a_drills_recovery_time_counts_no_copying() {
    let (snapshot, run) = drill();
    let report = Report::build(&plan(), &snapshot, &run, &history());
    assert!(report.passed, "{:?}", report.findings);
    // The slowest is capacity, 176 s after the start; the copy took 65 s from when it was there.
    assert_eq!(report.measured.rto_seconds, Some(176.0));
    assert!(report.not_proven.iter().any(|line| line.contains("moves no traffic")));
}

#[test]
fn a_comparison_before_the_promotion_is_no_part_of_the_recovery() {
    let (mut snapshot, run) = drill();
    let copy = snapshot.progress.promotion.copies.get_mut("orders").expect("a copy");
    (copy.available_at, copy.promote_asked_at) = (Some(at(-700)), Some(at(100)));
    assert_eq!(Report::build(&plan(), &snapshot, &run, &[]).measured.rto_seconds, Some(176.0));
    snapshot.progress.promotion.copies.get_mut("orders").expect("a copy").promote_asked_at = None;
    assert_eq!(Report::build(&plan(), &snapshot, &run, &[]).measured.rto_seconds, Some(865.0), "a version before this one asked at once");
}

#[test]
fn what_a_database_took_to_be_writable_stands_beside_what_the_last_good_drill_had_measured() {
    let (mut snapshot, run) = drill();
    let report = Report::build(&plan(), &snapshot, &run, &[]);
    assert_eq!(report.measured.writable_seconds, [("orders".to_owned(), 59.0)].into(), "promoted, and nobody proved it");
    assert!(report.measured.writable_estimated_seconds.is_empty() && page(&report).contains("unknown"));
    snapshot.progress.rotation.rehearsal.proven.insert("orders".to_owned(), at(163));
    let report = Report::build(&plan(), &snapshot, &run, &[]);
    assert_eq!(report.measured.writable_seconds["orders"], 62.0);

    let (mut snapshot, run) = failover(Some(20.0));
    snapshot.memory.promotion_seconds = [("orders".to_owned(), 62.0), ("gone".to_owned(), 1.0)].into();
    let report = Report::build(&plan(), &snapshot, &run, &[]);
    assert_eq!((report.measured.writable_seconds["orders"], report.measured.writable_estimated_seconds["orders"]), (185.0, 62.0));
    assert_eq!(report.measured.writable_estimated_seconds.len(), 1);
    assert!(page(&report).contains("From the promotion's call to writable"));
}

#[test]
fn a_copy_that_was_restored_is_good_measured_by_itself_and_an_estimate_of_nothing() {
    let (mut snapshot, run) = drill();
    // Whatever else stands in its step.
    let copy = snapshot.progress.promotion.copies.get_mut("orders").expect("a copy");
    (copy.snapshot_asked_at, copy.restore_asked_at, copy.requested_at) = (Some(at(5)), Some(at(50)), Some(at(51)));
    snapshot.progress.rotation.rehearsal.proven.insert("orders".to_owned(), at(163));
    let report = Report::build(&plan(), &snapshot, &run, &history());
    assert!(report.passed, "{:?}", report.findings);
    assert!(report.findings.iter().any(|finding| finding.said.contains("restored from a snapshot of the replica; no promotion was rehearsed")));
    assert_eq!(report.measured.restored_seconds, [("orders".to_owned(), 113.0)].into());
    assert_eq!((report.measured.rto_seconds, report.measured.writable_seconds.len()), (None, 0), "a failover promotes");
    let not_proven = |said: &str| report.not_proven.iter().any(|line| line.contains(said));
    assert!(not_proven("how long the promotion of orders takes"), "{:?}", report.not_proven);
    assert!(not_proven("it was restored from a snapshot, which is no position"), "{:?}", report.not_proven);
    let names: Vec<&str> = report.milestones.iter().map(|milestone| milestone.name.as_str()).collect();
    assert!(names.contains(&"orders: restore requested") && names.contains(&"orders: copy restored"), "{names:?}");
    assert!(!names.contains(&"orders: copy promoted") && page(&report).contains("says nothing of a promotion"));
}

#[test]
fn a_copy_that_differs_fails_the_drill_and_one_that_was_not_compared_is_not_concluded_from() {
    let (mut snapshot, run) = drill();
    let mut reported = |equal: Option<bool>, said: &str, left_out: &[&str]| {
        let left_out = left_out.iter().map(|table| (*table).to_owned()).collect();
        let seen = CopyComparison { at: at(101), equal, said: said.to_owned(), left_out, ended_at: Some(at(101)) };
        snapshot.progress.rotation.rehearsal.compared.insert("orders".to_owned(), seen);
        Report::build(&plan(), &snapshot, &run, &history())
    };
    let finding = |report: &Report, said: &str| report.findings.iter().find(|finding| finding.said.contains(said)).map(|finding| finding.ok);
    let not_proven = |report: &Report, said: &str| report.not_proven.iter().any(|line| line.contains(said));

    let equal = reported(Some(true), "the copy equals it", &["public.log (it has no primary key)"]);
    assert_eq!((equal.passed, finding(&equal, "database orders: the copy equals it")), (true, Some(true)));
    assert!(not_proven(&equal, "the same in the copy: public.log (it has no primary key)"), "{:?}", equal.not_proven);
    assert!(page(&equal).contains("compared with their replicas") && page(&equal).contains("public.log"));

    let differs = reported(Some(false), "the copy differs: public.orders: 5 rows in the replica, 4 in the copy", &[]);
    assert_eq!((differs.passed, finding(&differs, "5 rows in the replica, 4 in the copy")), (false, Some(false)));

    let unknown = reported(None, "writes went on", &[]);
    assert_eq!((unknown.passed, finding(&unknown, "writes went on")), (true, None), "it is no gap of the standby's");
    assert!(not_proven(&unknown, "the copy of orders has the replica's rows: writes went on"), "{:?}", unknown.not_proven);
    assert_eq!((unknown.compared[0].equal, unknown.compared[0].database.as_str()), (None, "orders"));
    let read: Report = serde_json::from_str(&unknown.json().expect("JSON")).expect("a report");
    assert_eq!(read, unknown);
    assert!(unknown.milestones.iter().any(|milestone| milestone.name == "orders: copy compared"));
}

#[test]
fn a_drill_whose_rehearsal_failed_does_not_pass_and_says_why() {
    let (mut snapshot, run) = drill();
    snapshot
        .progress
        .promotion
        .copies
        .insert("orders".to_owned(), CopyStep { failed: Some("backups of the replica are off".to_owned()), ..CopyStep::default() });
    let report = Report::build(&plan(), &snapshot, &run, &history());
    assert!(!report.passed);
    assert!(report.findings.iter().any(|finding| finding.said.contains("backups of the replica are off")));
}

#[test]
fn the_json_reads_back_as_the_same_report() {
    let (snapshot, run) = failover(Some(20.0));
    let report = Report::build(&plan(), &snapshot, &run, &history());
    let back: Report = serde_json::from_str(&report.json().expect("JSON")).expect("a report");
    assert_eq!(back, report);
}

#[test]
fn the_page_needs_nothing_from_outside_and_escapes_what_it_shows() {
    let (snapshot, run) = failover(Some(20.0));
    let page = page(&Report::build(&plan(), &snapshot, &run, &history()));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"), "{page}");
    assert!(page.contains("asked for &lt;4&gt; tasks"));
    if let Some(folder) = option_env!("RELIGHT_PAGES") {
        std::fs::write(format!("{folder}/failover.html"), page).expect("written");
    }
}

#[test]
fn what_was_really_lost_stands_beside_the_estimate_once_it_was_counted() {
    let (snapshot, run) = failover(Some(14.0));
    let mut report = Report::build(&plan(), &snapshot, &run, &[]);
    let unknown = |report: &Report| report.not_proven.iter().any(|line| line.starts_with("how many rows were lost"));
    assert!(unknown(&report) && !report.json().expect("JSON").contains("\"lost\""));

    report.count(Lost { rows: 40, seconds: 1.9 });
    assert!(!unknown(&report));
    assert!(page(&report).contains("40 rows"));
    let read: Report = serde_json::from_str(&report.json().expect("JSON")).expect("a report");
    assert_eq!(read, report);
}

#[test]
fn the_window_of_a_single_user_is_measured_and_alternating_users_have_none() {
    let (mut snapshot, run) = failover(Some(12.0));
    let single = PLAN.replacen("admin = \"shop/orders/admin\"", "users = \"single\"", 1);
    let single = Plan::parse(&single).expect("a good plan");
    let windows = |plan: &Plan, snapshot: &Snapshot| Report::build(plan, snapshot, &run, &[]).measured.windows;
    let step = SecretStep { rotation_called_at: Some(at(200)), ..SecretStep::default() };
    let steps = [
        (SecretStep { rotated_at: Some(at(204)), tested_at: Some(at(205)), ..step.clone() }, Some(4.0)),
        // Given up, and what works was put back and tested.
        (SecretStep { failed: Some("it did not end".to_owned()), tested_at: Some(at(230)), ..step.clone() }, Some(30.0)),
        (step, None),
    ];
    for (step, expected) in steps {
        snapshot.progress.rotation.secrets.insert("shop/orders/app".to_owned(), step);
        let [window] = &windows(&single, &snapshot)[..] else { panic!("one window") };
        assert_eq!((window.from, window.seconds), (at(200), expected));
        assert_eq!(windows(&plan(), &snapshot), [], "alternating users");
        let shown = page(&Report::build(&single, &snapshot, &run, &[]));
        assert!(shown.contains("Logins of shop/orders/app refused at most"));
    }
    snapshot.progress.rotation.secrets.insert("shop/orders/app".to_owned(), SecretStep::default());
    assert_eq!(windows(&single, &snapshot), [], "not rotated");
}
