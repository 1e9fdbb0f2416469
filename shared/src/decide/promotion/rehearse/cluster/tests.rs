use jiff::SignedDuration;

use super::*;
use crate::plan::Engine;
use crate::ports::{ClusterInstance, Member};
use crate::run::{Mode, Phase};
use crate::situations::{Situation, at};

const HERE: &str = "arn:aws:rds:us-west-2:123456789012:cluster:orders-standby";

/// A drill, and a secondary with an instance of its own.
struct Scene {
    situation: Situation,
    global: Option<GlobalCluster>,
    secondary: Option<Cluster>,
    copy: Option<Cluster>,
    snapshot: Option<CopySnapshot>,
    step: CopyStep,
    /// Seconds since the drill began.
    now: i64,
}

fn cluster(status: &str, instances: Vec<ClusterInstance>) -> Option<Cluster> {
    Some(Cluster { status: status.to_owned(), instances, ..Cluster::default() })
}

fn instance(status: &str, writer: bool) -> ClusterInstance {
    ClusterInstance { name: "one".to_owned(), status: status.to_owned(), class: "db.r6g.xlarge".to_owned(), writer }
}

fn member(writer: bool) -> Option<GlobalCluster> {
    let member = Member { arn: HERE.to_owned(), writer, synchronization: Some("connected".to_owned()) };
    Some(GlobalCluster { members: vec![member], ..GlobalCluster::default() })
}

impl Scene {
    fn new() -> Scene {
        let mut situation = Situation::run(Mode::Drill, Phase::Activating);
        let database = &mut situation.plan.databases[0];
        database.engine = Engine::AuroraPostgres;
        database.global_cluster = Some("shop-global".to_owned());
        database.replica = "orders-standby".to_owned();
        database.instance_class = Some("db.r6g.large".to_owned());
        let secondary = cluster("available", vec![instance("available", false)]);
        Scene { situation, global: member(false), secondary, copy: None, snapshot: None, step: CopyStep::default(), now: 60 }
    }

    /// The snapshot was asked for.
    fn asked_for() -> Scene {
        Scene { step: CopyStep { snapshot_asked_at: Some(at(10)), ..CopyStep::default() }, ..Scene::new() }
    }

    /// The restore was begun, and this is seen of it.
    fn restored(status: &str, instances: Vec<ClusterInstance>) -> Scene {
        let scene = Scene::asked_for();
        let step = CopyStep { restore_asked_at: Some(at(50)), requested_at: Some(at(50)), ..scene.step };
        Scene { step, copy: cluster(status, instances), ..scene }
    }

    fn decide(&self) -> Due {
        let Situation { plan, journal } = &self.situation;
        let run = journal.head.run.as_ref().expect("a run");
        rehearse_cluster(&ClusterRehearsal {
            plan,
            run,
            database: &plan.databases[0],
            step: &self.step,
            global: self.global.as_ref(),
            secondary: self.secondary.as_ref(),
            copy: self.copy.as_ref(),
            snapshot: self.snapshot,
            now: run.opened_at + SignedDuration::from_secs(self.now),
        })
    }

    fn id(&self) -> CopyId {
        let Situation { plan, journal } = &self.situation;
        CopyId::of(&plan.name, &journal.head.run.as_ref().expect("a run").id, "orders")
    }

    fn act(&self, due: impl FnOnce(CopyId) -> CopyMove) -> Due {
        Decision::Act(vec![due(self.id())])
    }
}

#[test]
fn a_secondary_is_snapshot_whether_or_not_it_has_an_instance() {
    let mut scene = Scene::new();
    assert_eq!(scene.decide(), scene.act(CopyMove::SnapshotCluster));
    scene.secondary = cluster("available", Vec::new());
    assert_eq!(scene.decide(), scene.act(CopyMove::SnapshotCluster));
}

#[test]
fn a_secondary_at_work_is_waited_for() {
    let scene = Scene { secondary: cluster("backing-up", vec![instance("available", false)]), ..Scene::new() };
    assert!(matches!(scene.decide(), Decision::Wait(RehearsalWait::Busy(_))));
}

#[test]
fn what_no_failover_could_take_over_is_given_up_before_anything_is_made() {
    let cluster_named = || "orders-standby".to_owned();
    let no_secondary = || GivenUp::NoSecondary { cluster: cluster_named(), global: "shop-global".to_owned() };
    let mut without_class = Scene { secondary: cluster("available", vec![instance("deleting", false)]), ..Scene::new() };
    without_class.situation.plan.databases[0].instance_class = None;
    for (scene, given_up) in [
        (Scene { secondary: None, ..Scene::new() }, GivenUp::NoCluster { cluster: cluster_named() }),
        (Scene { global: None, ..Scene::new() }, no_secondary()),
        (Scene { global: Some(GlobalCluster::default()), ..Scene::new() }, no_secondary()),
        (Scene { global: member(true), ..Scene::new() }, no_secondary()),
        (
            Scene { secondary: cluster("failed", Vec::new()), ..Scene::new() },
            GivenUp::NotAvailable { replica: cluster_named(), status: "failed".to_owned() },
        ),
        (without_class, GivenUp::NoClass { cluster: cluster_named() }),
    ] {
        assert_eq!(scene.decide(), Decision::Refuse(given_up));
    }
}

#[test]
fn it_goes_from_the_snapshot_to_a_cluster_and_to_an_instance_that_writes() {
    let seen = |snapshot| Scene { snapshot: Some(snapshot), secondary: cluster("backing-up", Vec::new()), ..Scene::asked_for() };
    assert!(matches!(seen(CopySnapshot::Underway).decide(), Decision::Wait(RehearsalWait::Snapshotting { .. })));
    assert!(matches!(seen(CopySnapshot::Failed).decide(), Decision::Refuse(GivenUp::SnapshotFailed { .. })));
    let there = seen(CopySnapshot::Available);
    assert_eq!(there.decide(), there.act(CopyMove::Restore));

    assert!(matches!(Scene::restored("creating", Vec::new()).decide(), Decision::Wait(RehearsalWait::Busy(_))));
    let creating = Scene::restored("available", vec![instance("creating", true)]);
    assert_eq!(creating.decide(), Decision::Wait(RehearsalWait::Instance { copy: creating.id(), status: "creating".to_owned() }));
    assert!(matches!(Scene::restored("available", vec![instance("available", false)]).decide(), Decision::Wait(_)), "it is no writer yet");
    for status in ["available", "backing-up"] {
        assert_eq!(Scene::restored(status, vec![instance("available", true)]).decide(), Decision::Act(vec![CopyMove::Promoted]), "{status}");
    }
}

#[test]
fn its_instance_is_of_the_class_with_which_the_secondary_would_take_over() {
    let mut scene = Scene::restored("available", Vec::new());
    let of = |class: &str| CopyMove::AddInstance { copy: scene.id(), class: class.to_owned() };
    let (own, planned) = (Decision::Act(vec![of("db.r6g.xlarge")]), Decision::Act(vec![of("db.r6g.large")]));
    assert_eq!(scene.decide(), own);
    scene.secondary = cluster("available", Vec::new());
    assert_eq!(scene.decide(), planned, "it has none, and would be given one of the plan's class first");
    scene.secondary = cluster("available", vec![instance("deleting", false)]);
    assert_eq!(scene.decide(), planned);
    scene.secondary = None;
    assert!(matches!(scene.decide(), Decision::Refuse(GivenUp::NoClass { .. })));
}

#[test]
fn what_was_done_without_an_answer_is_taken_up_and_what_was_not_is_asked_for_again() {
    let never = Scene::asked_for();
    assert_eq!(never.decide(), never.act(CopyMove::SnapshotCluster));
    let begun = Scene { copy: cluster("creating", Vec::new()), snapshot: Some(CopySnapshot::Available), ..Scene::asked_for() };
    assert_eq!(begun.decide(), Decision::Act(vec![CopyMove::Created]));
    let unseen = Scene { copy: None, ..Scene::restored("", Vec::new()) };
    assert_eq!(unseen.decide(), Decision::Wait(RehearsalWait::NotSeen { copy: unseen.id() }));
    let mut asked = Scene::restored("available", Vec::new());
    asked.step.instance_asked_at = Some(at(55));
    assert!(matches!(asked.decide(), Decision::Act(moves) if matches!(moves[..], [CopyMove::AddInstance { .. }])));
}

#[test]
fn what_breaks_or_takes_too_long_is_given_up_and_what_has_ended_is_left() {
    for (scene, status) in [
        (Scene::restored("failed", Vec::new()), "failed"),
        (Scene::restored("available", vec![instance("incompatible-parameters", true)]), "incompatible-parameters"),
    ] {
        assert_eq!(scene.decide(), Decision::Refuse(GivenUp::Broken { copy: scene.id(), status: status.to_owned() }));
    }
    let late = Scene { now: 3 * 3600, ..Scene::restored("available", vec![instance("creating", true)]) };
    assert!(matches!(late.decide(), Decision::Refuse(GivenUp::OutOfTime { .. })));
    let in_the_last_moment = Scene { now: 3 * 3600, ..Scene::restored("available", vec![instance("available", true)]) };
    assert_eq!(in_the_last_moment.decide(), Decision::Act(vec![CopyMove::Promoted]));
    let mut scene = Scene::new();
    scene.step.promoted_at = Some(at(60));
    assert_eq!(scene.decide(), Decision::Done);
    scene.step = CopyStep { failed: Some("why".to_owned()), ..CopyStep::default() };
    assert_eq!(scene.decide(), Decision::Done);
}
