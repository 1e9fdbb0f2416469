use std::collections::BTreeSet;

use super::*;
use crate::run::Run;
use crate::state::{CopyStep, DatabaseStep, Head, HoldSwitch, LoginSeen};

const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"
observer = []

[[database]]
name = "orders"
engine = "postgres"
primary = "orders"
replica = "orders-replica"

[[secret]]
name = "app"
database = "orders"
admin = "admin"

[[secret]]
name = "admin"
database = "orders"
rotate = false

[traffic]
record = "shop.test"
standby = "standby.shop.test"
stop_bucket = "shop-stop"
healthy_url = "http://standby.shop.test/healthy"
"#;

fn now() -> Timestamp {
    "2026-01-05T01:00:00Z".parse().expect("a time")
}

fn ago(minutes: i64) -> Timestamp {
    now().saturating_sub(SignedDuration::from_mins(minutes)).expect("a time")
}

/// A run in `phase` whose database, or copy, is promoted and proven.
struct Scene {
    plan: Plan,
    snapshot: Snapshot,
    course: Course,
}

impl Scene {
    fn new(mode: Mode, phase: Phase) -> Scene {
        let plan = Plan::stored(PLAN).expect("a plan");
        let run = Run {
            id: RunId::new(mode, ago(30)),
            mode,
            phase,
            plan_version: 1,
            opened_at: ago(30),
            phase_since: ago(30),
            cause: "a test".to_owned(),
            first_down: None,
            confirmed_at: None,
            committed_at: None,
            ended_at: None,
            was_drill: false,
            was_failback: false,
            came_home_at: None,
            words: Default::default(),
        };
        let mut snapshot = Snapshot::default();
        snapshot.head = Head { run: Some(run), ..Head::default() };
        let endpoint = Some(Endpoint { host: "new".to_owned(), port: 5432 });
        let step = DatabaseStep { promoted_at: Some(ago(1)), endpoint: endpoint.clone(), ..DatabaseStep::default() };
        let copy = CopyStep { promoted_at: Some(ago(1)), endpoint, ..CopyStep::default() };
        let course = if mode == Mode::Drill { Course::Rehearsal } else { Course::Failover };
        match course {
            Course::Failover => drop(snapshot.progress.promotion.databases.insert("orders".to_owned(), step)),
            Course::Rehearsal => drop(snapshot.progress.promotion.copies.insert("orders".to_owned(), copy)),
        }
        course.record_proof(&mut snapshot.progress.rotation, "orders", ago(1));
        Scene { plan, snapshot, course }
    }

    fn failover() -> Scene {
        Scene::new(Mode::Failover, Phase::Activating)
    }

    fn drill() -> Scene {
        Scene::new(Mode::Drill, Phase::Activating)
    }

    fn with(mut self, secret: &str, step: SecretStep) -> Scene {
        self.course.record_step(&mut self.snapshot.progress.rotation, secret, step);
        self
    }

    fn due(&self, secret: &str, seen: Option<&Described>) -> Due {
        let secret = self.plan.secrets.iter().find(|held| held.name == secret).expect("the plan has it");
        due(&self.plan, &self.snapshot, self.course, secret, seen, now())
    }

    fn unfinished(&self) -> bool {
        unfinished(&self.plan, &self.snapshot, now())
    }

    /// The id of the version that the run's rotation of `app` makes.
    fn rotated(&self) -> String {
        let run = &self.snapshot.head.run.as_ref().expect("a run").id;
        token(run, Making::Rotation, &self.course.name(&self.plan, run, &self.plan.secrets[0]))
    }
}

fn seen(versions: &[(&str, &[Stage])]) -> Described {
    let labels = |stages: &[Stage]| stages.iter().map(|stage| stage.label().to_owned()).collect::<BTreeSet<_>>();
    Described { stages: versions.iter().map(|(version, stages)| ((*version).to_owned(), labels(stages))).collect(), ..Described::default() }
}

fn alone() -> Described {
    seen(&[("first", &[Stage::Current])])
}

fn repointed() -> SecretStep {
    SecretStep { disposable: Some("relight-drill/…".to_owned()), repointed_at: Some(ago(1)), ..SecretStep::default() }
}

fn called(minutes: i64) -> SecretStep {
    SecretStep { rotation_called_at: Some(ago(minutes)), ..repointed() }
}

#[test]
fn nothing_is_due_before_promotion_and_proof() {
    let mut scene = Scene::failover();
    scene.snapshot.progress.rotation.proven.clear();
    assert_eq!(scene.due("app", Some(&alone())), Decision::Wait(Waiting::Proof { database: "orders".to_owned() }));
    scene.snapshot.progress.promotion.databases.clear();
    assert_eq!(scene.due("app", Some(&alone())), Decision::Wait(Waiting::Promotion { database: "orders".to_owned() }));
    assert!(!scene.unfinished());
}

#[test]
fn a_promotion_without_an_end_is_none() {
    let mut scene = Scene::failover();
    scene.snapshot.progress.promotion.databases.get_mut("orders").expect("a step").promoted_at = None;
    assert!(!scene.unfinished() && to_prove(&scene.plan, &scene.snapshot, scene.course).is_empty());
}

#[test]
fn a_replica_is_cut_loose_and_repointed_in_one_turn() {
    let replica = Described { replica_of: Some("us-east-2".to_owned()), ..alone() };
    assert_eq!(Scene::failover().due("app", Some(&replica)), Decision::Act(vec![Action::StandAlone, Action::Repoint]));
    assert_eq!(Scene::failover().due("app", Some(&alone())), Decision::Act(vec![Action::Repoint]));
}

#[test]
fn a_secret_that_is_missing_is_refused_with_the_remedy() {
    let due = Scene::failover().due("app", None);
    let said = due.why_not().expect("a refusal");
    assert!(matches!(due, Decision::Refuse(_)) && said.contains("us-west-2") && said.contains("ReplicateSecretToRegions"), "{said}");
}

#[test]
fn repointing_does_not_wait_for_the_admin_and_rotating_does() {
    assert_eq!(Scene::failover().due("app", Some(&alone())), Decision::Act(vec![Action::Repoint]));
    let scene = Scene::failover().with("app", repointed());
    assert_eq!(scene.due("app", Some(&alone())), Decision::Wait(Waiting::Admin { admin: "admin".to_owned() }));
    let scene = scene.with("admin", repointed());
    assert_eq!(scene.due("app", Some(&alone())), Decision::Act(vec![Action::Begin]));
}

#[test]
fn a_rotation_is_recorded_before_it_is_called() {
    let scene = Scene::failover().with("admin", repointed());
    assert_eq!(scene.due("app", Some(&alone())), Decision::Act(vec![Action::Repoint]), "never before the repointing");
    let scene = scene.with("app", repointed());
    assert_eq!(scene.due("app", Some(&alone())), Decision::Act(vec![Action::Begin]));
    let scene = scene.with("app", called(1));
    assert_eq!(scene.due("app", Some(&alone())), Decision::Act(vec![Action::Rotate]));
}

#[test]
fn a_rotation_is_waited_for_until_its_version_is_current() {
    let scene = Scene::failover().with("admin", repointed()).with("app", called(1));
    let token = scene.rotated();
    let pending = seen(&[("first", &[Stage::Current]), (&token, &[Stage::Pending])]);
    assert_eq!(scene.due("app", Some(&pending)), Decision::Wait(Waiting::Rotation { since: ago(1) }));
    for labels in [[Stage::Current, Stage::Pending].as_slice(), &[Stage::Current], &[Stage::Previous]] {
        let done = seen(&[(&token, labels)]);
        assert_eq!(scene.due("app", Some(&done)), Decision::Act(vec![Action::Rotated, Action::Test]), "{labels:?}");
    }
}

#[test]
fn a_stranded_version_is_cleared_first_and_in_a_failover_only() {
    let stranded = seen(&[("first", &[Stage::Current]), ("broken", &[Stage::Pending])]);
    let scene = Scene::failover().with("admin", repointed()).with("app", called(1));
    assert_eq!(scene.due("app", Some(&stranded)), Decision::Act(vec![Action::ClearPending { version: "broken".to_owned() }, Action::Rotate]));
    let scene = Scene::drill().with("admin", repointed()).with("app", called(1));
    assert_eq!(scene.due("app", Some(&stranded)), Decision::Act(vec![Action::Rotate]));
}

#[test]
fn a_rotation_past_its_deadline_is_given_up_and_a_late_one_still_counts() {
    let scene = Scene::failover().with("admin", repointed()).with("app", called(15));
    let token = scene.rotated();
    let pending = seen(&[("first", &[Stage::Current]), (&token, &[Stage::Pending])]);
    let within = SignedDuration::from_mins(15);
    assert_eq!(scene.due("app", Some(&pending)), Decision::Act(vec![Action::GiveUp(GivenUp::Rotation { within }), Action::Test]));
    assert_eq!(scene.due("app", Some(&seen(&[(&token, &[Stage::Current])]))), Decision::Act(vec![Action::Rotated, Action::Test]));
}

#[test]
fn a_secret_that_does_not_rotate_is_tested_and_done() {
    let scene = Scene::failover().with("admin", repointed());
    assert_eq!(scene.due("admin", Some(&alone())), Decision::Act(vec![Action::Test]));
    let scene = scene.with("admin", SecretStep { tested_at: Some(now()), ..repointed() });
    assert_eq!(scene.due("admin", Some(&alone())), Decision::Done);
}

#[test]
fn a_hold_stops_a_rotation_and_not_the_repointing() {
    let mut scene = Scene::failover().with("admin", repointed());
    scene.snapshot.head.hold = Some(HoldSwitch { until: ago(-60), by: "ada".to_owned() });
    assert_eq!(scene.due("app", Some(&alone())), Decision::Act(vec![Action::Repoint]));
    let scene = scene.with("app", repointed());
    assert_eq!(scene.due("app", Some(&alone())), Decision::Wait(Waiting::Held { by: "ada".to_owned(), until: ago(-60) }));
    let scene = scene.with("app", called(1));
    assert_eq!(scene.due("app", Some(&alone())), Decision::Act(vec![Action::Rotate]), "one that is recorded may be under way");
}

#[test]
fn a_drills_secret_is_owed_then_made_then_repointed() {
    let scene = Scene::drill();
    assert_eq!(scene.due("app", None), Decision::Act(vec![Action::Owe]));
    let owed = SecretStep { disposable: Some("relight-drill/…".to_owned()), ..SecretStep::default() };
    let scene = scene.with("app", owed.clone()).with("admin", owed);
    assert_eq!(scene.due("app", None), Decision::Wait(Waiting::Admin { admin: "admin".to_owned() }), "its admin's ARN must exist");
    assert_eq!(scene.due("admin", None), Decision::Act(vec![Action::Create]));
    let scene = scene.with("admin", repointed());
    assert_eq!(scene.due("app", None), Decision::Act(vec![Action::Create]));
    assert_eq!(scene.due("app", Some(&alone())), Decision::Act(vec![Action::Repoint]));
}

#[test]
fn a_rehearsal_is_given_up_after_its_deadline_and_a_failover_is_not() {
    let mut drill = Scene::drill();
    drill.snapshot.progress.promotion.copies.get_mut("orders").expect("a copy").promoted_at = Some(ago(15));
    let within = SignedDuration::from_mins(15);
    assert_eq!(drill.due("app", None), Decision::Act(vec![Action::GiveUp(GivenUp::Rehearsal { within })]));
    let mut failover = Scene::failover();
    failover.snapshot.progress.promotion.databases.get_mut("orders").expect("a step").promoted_at = Some(ago(15));
    assert_eq!(failover.due("app", Some(&alone())), Decision::Act(vec![Action::Repoint]));
}

#[test]
fn a_copy_that_failed_leaves_nothing_to_do() {
    let mut scene = Scene::drill();
    scene.snapshot.progress.promotion.copies.get_mut("orders").expect("a copy").failed = Some("no copy".to_owned());
    assert!(!scene.unfinished() && to_prove(&scene.plan, &scene.snapshot, scene.course).is_empty());
}

#[test]
fn a_rotation_outlasts_its_run_and_a_closed_run_begins_nothing() {
    let scene = Scene::new(Mode::Failover, Phase::Active).with("app", called(1)).with("admin", SecretStep { tested_at: Some(ago(1)), ..repointed() });
    assert!(scene.unfinished());
    let scene = Scene::new(Mode::Failover, Phase::Active);
    assert!(!scene.unfinished() && to_prove(&scene.plan, &scene.snapshot, scene.course).is_empty());
    assert_eq!(scene.due("app", Some(&alone())), Decision::Done);
}

#[test]
fn only_an_activation_asks_for_anything() {
    for (mode, phase, expected) in [
        (Mode::Failover, Phase::Suspected, None),
        (Mode::Failover, Phase::Confirmed, None),
        (Mode::Failover, Phase::Activating, Some(Course::Failover)),
        (Mode::Failover, Phase::Active, Some(Course::Failover)),
        (Mode::Failover, Phase::StoodDown, None),
        (Mode::Failover, Phase::Closed, None),
        (Mode::Drill, Phase::Activating, Some(Course::Rehearsal)),
        (Mode::Drill, Phase::Holding, Some(Course::Rehearsal)),
        (Mode::Drill, Phase::Restoring, None),
        (Mode::Drill, Phase::Closed, None),
    ] {
        assert_eq!(course(&Scene::new(mode, phase).snapshot), expected, "{mode} {phase:?}");
    }
}

#[test]
fn what_a_drill_rehearsed_never_counts_for_a_failover() {
    let mut scene = Scene::drill().with("app", SecretStep { tested_at: Some(ago(1)), rotated_at: Some(ago(1)), ..called(1) });
    let run = scene.snapshot.head.run.as_mut().expect("a run");
    (run.mode, run.phase) = (Mode::Failover, Phase::Activating);
    scene.course = Course::Failover;
    assert_eq!(scene.due("app", Some(&alone())), Decision::Wait(Waiting::Promotion { database: "orders".to_owned() }));
}

#[test]
fn a_login_is_due_each_half_hour_and_after_a_clock_that_jumped() {
    let plan = Plan::stored(PLAN).expect("a plan");
    let memory = |minutes: &[i64]| {
        let logins = plan
            .secrets
            .iter()
            .zip(minutes)
            .map(|(secret, minutes)| (secret.name.clone(), LoginSeen { at: ago(*minutes), ok: true, said: String::new() }));
        Memory { logins: logins.collect(), ..Memory::default() }
    };
    assert!(login_due(&plan, &memory(&[]), now()) && login_due(&plan, &memory(&[1]), now()), "one was never tried");
    assert!(!login_due(&plan, &memory(&[0, 29]), now()));
    assert!(login_due(&plan, &memory(&[0, 30]), now()));
    assert!(login_due(&plan, &memory(&[0, -5]), now()));
}

#[test]
fn a_token_is_the_same_for_the_same_step_and_fits_secrets_manager() {
    let run = RunId("failover-20260105T000511Z".to_owned());
    let tokens = [
        token(&run, Making::Repointing, "app"),
        token(&run, Making::Rotation, "app"),
        token(&run, Making::Repointing, "admin"),
        token(&RunId("failover-20260105T000512Z".to_owned()), Making::Repointing, "app"),
    ];
    assert_eq!(tokens[0], token(&run, Making::Repointing, "app"));
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), tokens.len());
    assert!(tokens.iter().all(|token| (32..=64).contains(&token.len())));
}
