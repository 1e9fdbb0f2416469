use super::*;
use crate::evidence::Word;
use crate::plan::Engine;
use crate::ports::{ClusterInstance, Member};
use crate::run::{Mode, Phase};
use crate::situations::{Situation, at, said};

const ARN: &str = "arn:aws:rds:us-west-2:123456789012:cluster:orders-standby";
const OLD: &str = "arn:aws:rds:us-east-2:123456789012:cluster:orders";

/// A change, and what is then said.
type Case<'a> = (&'a dyn Fn(&mut Scene), &'static str);

/// A failover, and a global cluster whose secondary stands in the standby.
struct Scene {
    situation: Situation,
    global: Option<GlobalCluster>,
    cluster: Option<Cluster>,
    step: DatabaseStep,
    lag: FrozenLag,
}

impl Scene {
    fn in_phase(phase: Phase) -> Scene {
        let mut situation = Situation::run(Mode::Failover, phase);
        let database = &mut situation.plan.databases[0];
        database.engine = Engine::AuroraPostgres;
        database.global_cluster = Some("shop-global".to_owned());
        database.replica = "orders-standby".to_owned();
        let member = |arn: &str, writer| Member { arn: arn.to_owned(), writer, synchronization: None };
        let lag = FrozenLag { seconds: Some(0.8), source: "the metric".to_owned(), ..FrozenLag::default() };
        Scene {
            situation,
            global: Some(GlobalCluster {
                status: "available".to_owned(),
                engine_version: "16.3".to_owned(),
                members: vec![member(OLD, true), member(ARN, false)],
                moving: None,
            }),
            cluster: Some(Cluster {
                status: "available".to_owned(),
                engine_version: "16.3".to_owned(),
                instances: vec![instance("orders-standby-1", "available")],
                ..Cluster::default()
            }),
            step: DatabaseStep { lag: Some(lag.clone()), ..DatabaseStep::default() },
            lag,
        }
    }

    fn confirmed() -> Scene {
        Scene::in_phase(Phase::Confirmed)
    }

    fn activating() -> Scene {
        Scene::in_phase(Phase::Activating)
    }

    fn standing(&self, seconds: i64) -> Standing<'_> {
        let Situation { plan, journal } = &self.situation;
        Standing {
            plan,
            snapshot: journal,
            run: journal.head.run.as_ref().expect("a run"),
            database: &plan.databases[0],
            step: &self.step,
            global: self.global.as_ref(),
            cluster: self.cluster.as_ref(),
            now: at(seconds),
        }
    }

    fn cleared(&self, seconds: i64) -> Decision<GlobalCleared, GlobalWait, GlobalRefusal> {
        clear_global(&self.standing(seconds), &self.lag)
    }

    #[track_caller]
    fn is_cleared(&self, seconds: i64) -> GlobalCleared {
        match self.cleared(seconds) {
            Decision::Act(cleared) => cleared.into_iter().next().expect("one"),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refuses(&self, seconds: i64, part: &str) {
        let due = take_over(&self.standing(seconds));
        assert!(matches!(&due, Decision::Refuse(why) if why.to_string().contains(part)), "{due:?}");
    }

    #[track_caller]
    fn waits(&self, seconds: i64, part: &str) {
        let due = take_over(&self.standing(seconds));
        assert!(matches!(&due, Decision::Wait(why) if why.to_string().contains(part)), "{due:?}");
    }

    #[track_caller]
    fn does(&self, seconds: i64, step: GlobalStep) {
        assert_eq!(take_over(&self.standing(seconds)), Decision::Act(vec![step]));
    }

    fn moving(&mut self, status: &str, to: &str) {
        self.global.as_mut().expect("there").moving = Some(Moving { status: status.to_owned(), to: to.to_owned() });
    }

    /// The standby's cluster is told as the writer.
    fn writes(&mut self) {
        for member in &mut self.global.as_mut().expect("there").members {
            member.writer = member.arn == ARN;
        }
    }

    /// The operator fails over, and the observers have seen the primary up for the dwell.
    fn leaves_a_healthy_primary(&mut self) {
        self.situation.run_mut().words.failover = Some(said(0));
        self.situation.both(Word::Up, 0, 90);
    }
}

fn instance(name: &str, status: &str) -> ClusterInstance {
    ClusterInstance { name: name.to_owned(), status: status.to_owned(), ..ClusterInstance::default() }
}

fn losing(again: bool) -> GlobalStep {
    GlobalStep::TakeOver { how: Takeover::FailoverLosingRows, again }
}

#[test]
fn a_cluster_within_the_rpo_is_cleared_for_a_failover() {
    let cleared = Scene::confirmed().is_cleared(90);
    assert_eq!((cleared.how, &cleared.accepted, &cleared.first_instance), (Takeover::FailoverLosingRows, &None, &None));
    assert!(cleared.to_string().starts_with("may take over: replica of orders was 1 s behind"), "{cleared}");
}

#[test]
fn a_lag_beyond_the_rpo_or_unknown_passes_with_words_alone() {
    let mut scene = Scene::confirmed();
    for seconds in [Some(612.0), None] {
        scene.lag.seconds = seconds;
        assert!(matches!(scene.cleared(90), Decision::Refuse(GlobalRefusal::Loss(_))), "{seconds:?}");
    }
    scene.situation.plan.policy.unknown_lag = UnknownLag::Accept;
    assert_eq!(scene.is_cleared(90).accepted, Some(Acceptance::Policy));
    scene.lag.seconds = Some(612.0);
    assert!(
        matches!(scene.cleared(90), Decision::Refuse(GlobalRefusal::Loss(why)) if matches!(*why, ClearanceRefusal::BeyondRpo(_))),
        "the plan accepts what is unknown"
    );
    scene.situation.run_mut().words.accept_loss = Some(said(1));
    let cleared = scene.is_cleared(90);
    assert!(cleared.to_string().ends_with("ada accepted the loss"), "{cleared}");
}

#[test]
fn the_operator_fails_over_leaves_a_healthy_primary_by_a_switchover_whatever_the_lag() {
    let mut scene = Scene::confirmed();
    scene.leaves_a_healthy_primary();
    scene.lag.seconds = None;
    let cleared = scene.is_cleared(90);
    assert_eq!((cleared.how, cleared.accepted.as_ref()), (Takeover::Switchover, None));
    scene.situation.run_mut().words.accept_loss = Some(said(2));
    assert_eq!(scene.is_cleared(90).how, Takeover::FailoverLosingRows, "who accepts the loss does not want to wait");
}

#[test]
fn a_quorum_or_an_operator_whose_primary_is_not_seen_up_never_switches_over() {
    let mut scene = Scene::confirmed();
    scene.situation.run_mut().words.failover = Some(said(0));
    assert_eq!(scene.is_cleared(90).how, Takeover::FailoverLosingRows, "nobody says Up");
    scene.situation.both(Word::Up, 85, 90);
    assert_eq!(scene.is_cleared(90).how, Takeover::FailoverLosingRows, "not yet for the dwell");
    let mut quorum = Scene::confirmed();
    quorum.situation.both(Word::Up, 0, 90);
    assert_eq!(quorum.is_cleared(90).how, Takeover::FailoverLosingRows, "nobody failed over by word");
}

#[test]
fn what_is_not_there_or_does_not_fit_is_refused_with_its_name() {
    let refused = |change: &dyn Fn(&mut Scene)| {
        let mut scene = Scene::confirmed();
        change(&mut scene);
        match scene.cleared(90) {
            Decision::Refuse(why) => why.to_string(),
            other => format!("{other:?}"),
        }
    };
    let cases: [Case<'_>; 7] = [
        (&|scene| scene.global = None, "there is no global cluster shop-global"),
        (&|scene| scene.cluster = None, "the standby Region has no cluster orders-standby"),
        (&|scene| scene.global.as_mut().unwrap().members.truncate(1), "is no member of the global cluster"),
        (&|scene| scene.writes(), "is the writer of its global cluster already"),
        (&|scene| scene.cluster.as_mut().unwrap().engine_version = "16.4".to_owned(), "Aurora takes over between equal"),
        (&|scene| scene.cluster.as_mut().unwrap().instances.clear(), "has no instance, and the plan names no class"),
        (&|scene| scene.cluster.as_mut().unwrap().status = "stopped".to_owned(), "is stopped, which does not pass"),
    ];
    for (change, said) in cases {
        assert!(refused(change).contains(said), "{said}: {}", refused(change));
    }
}

#[test]
fn a_patch_or_a_version_that_nobody_tells_is_no_other_version() {
    for (there, here) in [("16.3", "16.3.2"), ("16.3", ""), ("", "16.3")] {
        let mut scene = Scene::confirmed();
        scene.global.as_mut().unwrap().engine_version = there.to_owned();
        scene.cluster.as_mut().unwrap().engine_version = here.to_owned();
        scene.is_cleared(90);
    }
}

#[test]
fn what_passes_is_waited_for_before_the_point_of_no_return() {
    let mut scene = Scene::confirmed();
    scene.moving("switching-over", OLD);
    assert!(matches!(scene.cleared(90), Decision::Wait(GlobalWait::Elsewhere { .. })));
    let mut scene = Scene::confirmed();
    scene.cluster.as_mut().unwrap().status = "modifying".to_owned();
    assert!(matches!(scene.cleared(90), Decision::Wait(GlobalWait::Busy(_))));
    let mut scene = Scene::confirmed();
    scene.cluster.as_mut().unwrap().instances = vec![instance("orders-standby-1", "rebooting")];
    assert!(matches!(scene.cleared(90), Decision::Wait(GlobalWait::NoInstanceYet { .. })));
    scene.cluster.as_mut().unwrap().instances.push(instance("orders-standby-2", "available"));
    scene.cluster.as_mut().unwrap().status = "backing-up".to_owned();
    scene.is_cleared(90);
}

#[test]
fn a_cluster_without_an_instance_is_cleared_and_gets_one_before_it_is_asked() {
    let mut scene = Scene::confirmed();
    scene.cluster.as_mut().unwrap().instances.clear();
    scene.situation.plan.databases[0].instance_class = Some("db.r6g.large".to_owned());
    assert!(scene.is_cleared(90).to_string().ends_with("gets one of class db.r6g.large first, which takes minutes"));

    let mut scene = Scene { situation: Situation::run(Mode::Failover, Phase::Activating), ..scene };
    scene.situation.plan.databases =
        vec![Database { instance_class: Some("db.r6g.large".to_owned()), ..Scene::activating().situation.plan.databases[0].clone() }];
    let add = |again| GlobalStep::AddInstance { class: "db.r6g.large".to_owned(), again };
    scene.situation.journal.head.hold = Some(HoldSwitch { until: at(20), by: "ada".to_owned() });
    scene.waits(10, "ada holds it until");
    scene.situation.journal.head.hold = None;
    scene.does(10, add(false));
    scene.step.instance_asked_at = Some(at(10));
    scene.waits(60, "the first one is being created");
    scene.does(71, add(true));
    scene.cluster.as_mut().unwrap().instances = vec![instance("orders-standby-relight", "creating")];
    scene.waits(200, "orders-standby-relight is creating");
    scene.cluster.as_mut().unwrap().instances = vec![instance("orders-standby-relight", "available")];
    scene.does(300, losing(false));
}

#[test]
fn an_attempt_is_sent_once_and_again_only_when_it_is_proven_not_to_have_happened() {
    let mut scene = Scene::activating();
    scene.does(1, losing(false));
    scene.step.promote_attempt_at = Some(at(1));
    scene.step.takeover = Some(Takeover::FailoverLosingRows);
    scene.waits(61, "got no answer");
    scene.does(62, losing(true));
    scene.step.promote_called_at = Some(at(2));
    scene.waits(60, "does not show it yet");
    scene.refuses(63, "was taken, and ended without orders-standby as the writer");
}

#[test]
fn a_switchover_that_ended_without_its_end_is_followed_by_a_failover_once_the_primary_is_down() {
    let mut scene = Scene::activating();
    scene.leaves_a_healthy_primary();
    scene.does(90, GlobalStep::TakeOver { how: Takeover::Switchover, again: false });
    scene.step = DatabaseStep {
        promote_attempt_at: Some(at(90)),
        promote_called_at: Some(at(90)),
        takeover: Some(Takeover::Switchover),
        ..scene.step.clone()
    };
    scene.moving("switching-over", ARN);
    scene.waits(100, "the global cluster is switching-over, to orders-standby");
    scene.global.as_mut().unwrap().moving = None;
    scene.refuses(151, "the switchover to orders-standby was taken");
    scene.situation.both(Word::Down, 155, 240);
    scene.does(240, losing(false));
    scene.step.lag.as_mut().unwrap().seconds = Some(612.0);
    scene.refuses(240, "612 s behind");
}

#[test]
fn it_is_over_when_it_writes_nothing_moves_and_an_instance_is_available() {
    let mut scene = Scene::activating();
    scene.step.promote_attempt_at = Some(at(1));
    scene.step.promote_called_at = Some(at(1));
    scene.writes();
    scene.moving("failing-over", ARN);
    scene.waits(20, "the global cluster is failing-over, to orders-standby");
    scene.global.as_mut().unwrap().moving = None;
    scene.cluster.as_mut().unwrap().status = "promoting".to_owned();
    scene.waits(30, "it is promoting, and waits for an available instance");
    scene.cluster.as_mut().unwrap().status = "available".to_owned();
    scene.cluster.as_mut().unwrap().instances[0].status = "rebooting".to_owned();
    scene.waits(40, "waits for an available instance");
    scene.cluster.as_mut().unwrap().instances[0].status = "available".to_owned();
    for status in ["available", "backing-up"] {
        scene.cluster.as_mut().unwrap().status = status.to_owned();
        scene.does(50, GlobalStep::TookOver { detached: false });
    }
    scene.step.promoted_at = Some(at(50));
    assert_eq!(take_over(&scene.standing(60)), Decision::Done);
}

#[test]
fn a_cluster_that_was_detached_by_hand_goes_on_once_it_has_a_writer() {
    let mut scene = Scene::activating();
    scene.global.as_mut().unwrap().members.truncate(1);
    scene.refuses(10, "is no member of the global cluster shop-global");
    scene.cluster.as_mut().unwrap().instances[0].writer = true;
    scene.cluster.as_mut().unwrap().status = "promoting".to_owned();
    scene.refuses(10, "is no member of the global cluster shop-global");
    scene.cluster.as_mut().unwrap().status = "available".to_owned();
    scene.cluster.as_mut().unwrap().instances[0].status = "rebooting".to_owned();
    scene.refuses(10, "is no member of the global cluster shop-global");
    scene.cluster.as_mut().unwrap().instances[0].status = "available".to_owned();
    scene.does(10, GlobalStep::TookOver { detached: true });
    scene.global = None;
    scene.does(10, GlobalStep::TookOver { detached: true });
}

#[test]
fn a_database_that_comes_after_another_waits_for_its_proof() {
    let mut scene = Scene::activating();
    let first = Database { name: "users".to_owned(), engine: Engine::Postgres, ..scene.situation.plan.databases[0].clone() };
    scene.situation.plan.databases.push(first);
    scene.situation.plan.databases[0].after = Some("users".to_owned());
    scene.waits(10, "users must be proven first");
    scene.step.promote_attempt_at = Some(at(5));
    scene.waits(10, "got no answer");
    scene.step.promote_attempt_at = None;
    scene.situation.database();
    let done = DatabaseStep { promoted_at: Some(at(5)), ..DatabaseStep::default() };
    scene.situation.journal.progress.promotion.databases.insert("users".to_owned(), done);
    scene.does(10, losing(false));
}

#[test]
fn a_hold_stops_the_call_and_a_deadline_is_said_each_minute() {
    let mut scene = Scene::activating();
    scene.situation.journal.head.hold = Some(HoldSwitch { until: at(100), by: "ada".to_owned() });
    scene.waits(10, "ada holds it until");
    scene.does(100, losing(false));
    scene.step.promote_attempt_at = Some(at(100));
    scene.step.promote_called_at = Some(at(100));
    scene.moving("failing-over", ARN);
    scene.waits(100 + 16 * 60, "that takes 16 min, the plan's step_deadline is 15m");
}
