use super::*;
use crate::plan::Engine;
use crate::ports::{ClusterInstance, Member, Moving};
use crate::run::{Mode, Phase};
use crate::situations::{Situation, at};

const HERE: &str = "arn:aws:rds:us-west-2:123456789012:cluster:orders-standby";
const HOME: &str = "arn:aws:rds:us-east-2:123456789012:cluster:orders";

/// A change, and what is then said.
type Case<'a> = (&'a dyn Fn(&mut Scene), &'static str);

/// The standby's cluster writes, the one at home follows.
struct Scene {
    situation: Situation,
    global: Option<GlobalCluster>,
    home: Option<Cluster>,
    lost: Vec<LostRows>,
    step: HomeStep,
}

impl Scene {
    fn new() -> Scene {
        let mut situation = Situation::run(Mode::Failback, Phase::Preparing);
        let database = &mut situation.plan.databases[0];
        database.engine = Engine::AuroraPostgres;
        database.global_cluster = Some("shop-global".to_owned());
        database.replica = "orders-standby".to_owned();
        situation.journal.memory.takeovers.insert("orders".to_owned(), Takeover::FailoverLosingRows);
        let member = |arn: &str, writer: bool| Member { arn: arn.to_owned(), writer, synchronization: (!writer).then(|| "connected".to_owned()) };
        let instance = ClusterInstance { name: "orders-1".to_owned(), status: "available".to_owned(), ..ClusterInstance::default() };
        Scene {
            situation,
            global: Some(GlobalCluster { members: vec![member(HOME, false), member(HERE, true)], ..GlobalCluster::default() }),
            home: Some(Cluster { status: "available".to_owned(), instances: vec![instance], ..Cluster::default() }),
            lost: Vec::new(),
            step: HomeStep::default(),
        }
    }

    fn seen(&self, seconds: i64) -> GlobalHome<'_> {
        GlobalHome {
            plan: &self.situation.plan,
            snapshot: &self.situation.journal,
            database: &self.situation.plan.databases[0],
            step: &self.step,
            global: self.global.as_ref(),
            home: self.home.as_ref(),
            lost: &self.lost,
            now: at(seconds),
        }
    }

    fn home_member(&mut self) -> &mut Member {
        &mut self.global.as_mut().expect("there").members[0]
    }
}

fn moving(to: &str) -> Moving {
    Moving { status: "switching-over".to_owned(), to: to.to_owned() }
}

fn lost(name: &str, seconds: i64) -> LostRows {
    LostRows { snapshot: name.to_owned(), at: at(seconds) }
}

#[test]
fn the_old_cluster_is_waited_for_until_it_follows_and_then_the_newest_snapshot_of_lost_rows_is_kept() {
    let mut scene = Scene::new();
    scene.home_member().synchronization = Some("pending-resync".to_owned());
    assert!(matches!(prepare(&scene.seen(1)), Decision::Wait(GlobalHomeWait::Rebuilding { .. })));
    scene.home_member().synchronization = Some("connected".to_owned());
    assert_eq!(prepare(&scene.seen(1)), act(GlobalHomeMove::Follows));
    scene.step.replicating_at = Some(at(1));
    scene.lost = vec![lost("older", 1), lost("newest", 9), lost("old", 3)];
    assert_eq!(prepare(&scene.seen(2)), act(GlobalHomeMove::Keep(lost("newest", 9))));
    scene.step.lost_kept_at = Some(at(2));
    assert_eq!(prepare(&scene.seen(3)), Decision::Done);
}

#[test]
fn after_a_switchover_nothing_was_lost_and_after_a_failover_a_missing_snapshot_is_said() {
    let mut scene = Scene::new();
    scene.step.replicating_at = Some(at(1));
    assert_eq!(prepare(&scene.seen(2)), act(GlobalHomeMove::NothingKept { nothing_lost: false }));
    scene.situation.journal.memory.takeovers.insert("orders".to_owned(), Takeover::Switchover);
    scene.lost = vec![lost("of an older failover", 1)];
    assert_eq!(prepare(&scene.seen(2)), act(GlobalHomeMove::NothingKept { nothing_lost: true }));
}

#[test]
fn what_keeps_it_from_going_home_is_said_with_its_remedy() {
    let said = |change: &dyn Fn(&mut Scene)| {
        let mut scene = Scene::new();
        change(&mut scene);
        match look(&scene.seen(1)) {
            Decision::Act(moves) => match moves.into_iter().next() {
                Some(GlobalHomeMove::Looked(why)) => why.unwrap_or_default(),
                other => format!("{other:?}"),
            },
            other => format!("{other:?}"),
        }
    };
    assert_eq!(said(&|_| {}), "");
    let cases: [Case<'_>; 8] = [
        (&|scene| scene.global = None, "there is no global cluster shop-global"),
        (&|scene| scene.home = None, "the primary Region has no cluster orders"),
        (&|scene| drop(scene.global.as_mut().unwrap().members.remove(0)), "orders is no member of the global cluster"),
        (&|scene| scene.home.as_mut().unwrap().instances.clear(), "orders has no instance"),
        (&|scene| scene.home_member().writer = true, "orders is the writer of the global cluster already"),
        (&|scene| scene.home.as_mut().unwrap().status = "modifying".to_owned(), "orders is modifying"),
        (&|scene| scene.home.as_mut().unwrap().instances[0].status = "rebooting".to_owned(), "waits for an available instance"),
        (&|scene| scene.global.as_mut().unwrap().moving = Some(moving(HERE)), "the global cluster is switching-over, to arn:"),
    ];
    for (change, part) in cases {
        assert!(said(change).contains(part), "{part}: {}", said(change));
    }
}

#[test]
fn a_switchover_home_is_followed_and_asked_again_only_after_a_minute_in_which_nothing_moves() {
    let mut scene = Scene::new();
    assert_eq!(switch(&scene.seen(1)), act(GlobalHomeMove::SwitchHome { again: false }));
    scene.step.promote_attempt_at = Some(at(1));
    assert!(matches!(switch(&scene.seen(60)), Decision::Wait(GlobalHomeWait::Asked { .. })));
    assert_eq!(switch(&scene.seen(62)), act(GlobalHomeMove::SwitchHome { again: true }));
    scene.step.promote_called_at = Some(at(2));
    assert!(matches!(switch(&scene.seen(62)), Decision::Wait(GlobalHomeWait::Asked { .. })));
    assert_eq!(switch(&scene.seen(63)), act(GlobalHomeMove::SwitchHome { again: true }));
    scene.global.as_mut().unwrap().moving = Some(moving(HOME));
    assert!(matches!(switch(&scene.seen(90)), Decision::Wait(GlobalHomeWait::Moving { .. })));
    scene.global.as_mut().unwrap().moving = None;
    for member in &mut scene.global.as_mut().unwrap().members {
        member.writer = member.arn == HOME;
    }
    scene.home.as_mut().unwrap().instances[0].status = "rebooting".to_owned();
    assert!(matches!(switch(&scene.seen(91)), Decision::Wait(GlobalHomeWait::Settling { .. })));
    scene.home.as_mut().unwrap().instances[0].status = "available".to_owned();
    scene.home.as_mut().unwrap().status = "promoting".to_owned();
    assert!(matches!(switch(&scene.seen(91)), Decision::Wait(GlobalHomeWait::Settling { .. })));
    scene.home.as_mut().unwrap().status = "available".to_owned();
    assert_eq!(switch(&scene.seen(92)), act(GlobalHomeMove::Home));
    scene.step.promoted_at = Some(at(92));
    assert_eq!(switch(&scene.seen(93)), Decision::Done);
}

#[test]
fn a_throttled_switchover_is_asked_again_at_once_and_a_hold_stops_it() {
    let mut scene = Scene::new();
    scene.step.promote_attempt_at = Some(at(1));
    scene.step.throttled = true;
    assert_eq!(switch(&scene.seen(2)), act(GlobalHomeMove::SwitchHome { again: false }));
    scene.situation.journal.head.hold = Some(HoldSwitch { until: at(100), by: "ada".to_owned() });
    assert!(matches!(switch(&scene.seen(3)), Decision::Wait(GlobalHomeWait::Held { .. })));
}

#[test]
fn a_database_that_comes_after_another_goes_home_after_its_proof_there() {
    let mut scene = Scene::new();
    let first = Database { name: "users".to_owned(), engine: Engine::Postgres, ..scene.situation.plan.databases[0].clone() };
    scene.situation.plan.databases.push(first);
    scene.situation.plan.databases[0].after = Some("users".to_owned());
    assert!(matches!(switch(&scene.seen(1)), Decision::Wait(GlobalHomeWait::After(_))));
    let done = HomeStep { promoted_at: Some(at(1)), ..HomeStep::default() };
    scene.situation.journal.progress.promotion.home.insert("users".to_owned(), done);
    assert_eq!(switch(&scene.seen(2)), act(GlobalHomeMove::SwitchHome { again: false }));
}

#[test]
fn the_standby_is_restored_when_its_cluster_follows_again() {
    let mut scene = Scene::new();
    let members = &mut scene.global.as_mut().unwrap().members;
    (members[0].writer, members[0].synchronization) = (true, None);
    (members[1].writer, members[1].synchronization) = (false, Some("pending-resync".to_owned()));
    assert!(matches!(restore(&scene.seen(1)), Decision::Wait(GlobalHomeWait::Rebuilding { .. })));
    scene.global.as_mut().unwrap().members[1].synchronization = Some("connected".to_owned());
    scene.global.as_mut().unwrap().moving = Some(moving(HOME));
    assert!(matches!(restore(&scene.seen(1)), Decision::Wait(GlobalHomeWait::Rebuilding { .. })));
    scene.global.as_mut().unwrap().moving = None;
    assert_eq!(restore(&scene.seen(1)), act(GlobalHomeMove::Restored));
    scene.step.replica_ready_at = Some(at(1));
    assert_eq!(restore(&scene.seen(2)), Decision::Done);
}
