use super::*;
use crate::ports::{Instance, ParameterGroup, Proxy, ProxyTarget};
use crate::run::{Mode, Phase};
use crate::situations::{Situation, at};
use crate::state::{HoldSwitch, HomeDatabase, HomeGate, ReplicaShape};

fn writer(groups: &str) -> Instance {
    Instance { status: "available".to_owned(), backup_retention: 7, security_groups: vec![groups.to_owned()], ..Instance::default() }
}

fn replica_of(source: &str) -> Instance {
    Instance {
        source: Some(format!("arn:aws:rds:us-west-2:123456789012:db:{source}")),
        replication: vec!["replicating".to_owned()],
        backup_retention: 0,
        ..writer("sg-database")
    }
}

fn busy(status: &str, instance: Instance) -> Instance {
    Instance { status: status.to_owned(), ..instance }
}

#[derive(Default)]
struct Sight {
    step: HomeStep,
    home: Option<Instance>,
    left: Option<Instance>,
    standby: Option<Instance>,
    proxy: Option<Proxy>,
}

impl Sight {
    fn judge(&self, phase: Phase, rule: fn(&Homecoming<'_>) -> HomeDue) -> HomeDue {
        self.judge_in(Situation::run(Mode::Failback, phase), rule)
    }

    fn judge_in(&self, situation: Situation, rule: fn(&Homecoming<'_>) -> HomeDue) -> HomeDue {
        let homecoming = Homecoming {
            plan: &situation.plan,
            snapshot: &situation.journal,
            run: situation.journal.head.run.as_ref().unwrap(),
            database: &situation.plan.databases[0],
            step: &self.step,
            home: self.home.as_ref(),
            left: self.left.as_ref(),
            standby: self.standby.as_ref(),
            proxy: self.proxy.as_ref(),
            now: at(100),
        };
        rule(&homecoming)
    }

    fn prepare(&self) -> HomeDue {
        self.judge(Phase::Preparing, prepare)
    }
}

fn named() -> HomeStep {
    HomeStep { fenced_at: Some(at(0)), left: Some("orders-left-1".to_owned()), ..HomeStep::default() }
}

fn is_aside() -> HomeStep {
    HomeStep { snapshot_at: Some(at(0)), left_at: Some(at(0)), ..named() }
}

#[test]
fn the_old_writer_is_fenced_named_kept_as_a_snapshot_and_renamed_in_this_order() {
    let home = |groups| Some(writer(groups));
    let fenced = HomeStep { fenced_at: Some(at(0)), ..HomeStep::default() };
    let kept = HomeStep { snapshot_at: Some(at(0)), ..named() };
    let table = [
        (HomeStep::default(), home("sg-database"), HomeMove::Fence),
        (named(), home("sg-database"), HomeMove::Fence),
        (HomeStep::default(), home("sg-quarantine"), HomeMove::Fenced),
        (fenced, home("sg-quarantine"), HomeMove::Name),
        (named(), home("sg-quarantine"), HomeMove::Snapshot),
        (named(), Some(busy("backing-up", writer("sg-quarantine"))), HomeMove::Snapshot),
        (kept.clone(), home("sg-quarantine"), HomeMove::SetAside),
    ];
    for (step, home, due) in table {
        assert_eq!(Sight { step, home, ..Sight::default() }.prepare(), act(due));
    }
    let renaming = Sight { step: kept.clone(), home: Some(busy("renaming", writer("sg-quarantine"))), ..Sight::default() };
    assert!(matches!(renaming.prepare(), Decision::Wait(HomeWait::Busy(_))));
    let between = Sight { step: kept.clone(), ..Sight::default() };
    assert!(matches!(between.prepare(), Decision::Wait(HomeWait::Renaming { .. })), "for a moment it has neither name");
    let seen = Sight { step: kept, left: Some(writer("sg-quarantine")), ..Sight::default() };
    assert_eq!(seen.prepare(), act(HomeMove::Aside));
}

#[test]
fn what_is_not_the_old_writer_is_neither_renamed_nor_fenced() {
    let other = Sight { home: Some(replica_of("somebody")), ..Sight::default() };
    assert!(matches!(other.prepare(), Decision::Refuse(HomeRefusal::NotOurs { .. })));
    let ours = Sight { home: Some(replica_of("orders-replica")), ..Sight::default() };
    assert_eq!(ours.prepare(), act(HomeMove::NothingLeft), "a failback that was given up had built it");
    assert_eq!(Sight::default().prepare(), act(HomeMove::NothingLeft));
    let stopped = Sight { step: named(), home: Some(busy("stopped", writer("sg-quarantine"))), ..Sight::default() };
    assert!(matches!(stopped.prepare(), Decision::Refuse(HomeRefusal::Broken { .. })));
}

#[test]
fn the_replica_at_home_is_built_and_waited_for() {
    let look = |home| Sight { step: is_aside(), home, ..Sight::default() }.prepare();
    assert_eq!(look(None), act(HomeMove::Build));
    assert!(matches!(look(Some(busy("creating", replica_of("orders-replica")))), Decision::Wait(HomeWait::Busy(_))));
    let silent = Instance { replication: Vec::new(), ..replica_of("orders-replica") };
    assert!(matches!(look(Some(silent)), Decision::Wait(HomeWait::NotReplicating { .. })));
    assert_eq!(look(Some(replica_of("orders-replica"))), act(HomeMove::Replicating));
    assert!(matches!(look(Some(writer("sg-database"))), Decision::Refuse(HomeRefusal::NotOurs { .. })), "somebody promoted it");
    let step = HomeStep { replicating_at: Some(at(0)), ..is_aside() };
    assert_eq!(Sight { step, home: Some(replica_of("orders-replica")), ..Sight::default() }.prepare(), Decision::Done);
}

#[test]
fn a_look_says_what_keeps_it_from_being_promoted() {
    let look = |home| Sight { home, ..Sight::default() }.judge(Phase::Synchronised, look);
    assert_eq!(look(Some(replica_of("orders-replica"))), act(HomeMove::Looked));
    for home in [None, Some(writer("sg-database")), Some(busy("modifying", replica_of("orders-replica"))), Some(replica_of("somebody"))] {
        let due = look(home);
        assert!(matches!(&due, Decision::Act(moves) if matches!(&moves[..], [HomeMove::NotPromotable(_)])), "{due:?}");
    }
}

#[test]
fn a_promotion_at_home_is_called_once_and_again_only_when_it_is_proven_not_to_have_happened() {
    let attempt = |seconds: Option<i64>, called: Option<i64>| HomeStep {
        promote_attempt_at: seconds.map(at),
        promote_called_at: called.map(at),
        ..HomeStep::default()
    };
    let look = |step, home: Instance| Sight { step, home: Some(home), ..Sight::default() }.judge(Phase::Switching, switch);
    let replica = || replica_of("orders-replica");
    assert_eq!(look(attempt(None, None), replica()), act(HomeMove::Promote { retention: 7, again: false }));
    assert!(matches!(look(attempt(Some(40), None), replica()), Decision::Wait(HomeWait::Unanswered { .. })));
    assert_eq!(look(attempt(Some(39), None), replica()), act(HomeMove::Promote { retention: 7, again: true }));
    assert!(matches!(look(attempt(Some(0), Some(0)), replica()), Decision::Wait(HomeWait::Promoting { .. })));
    assert!(matches!(look(attempt(Some(0), None), busy("rebooting", replica())), Decision::Wait(HomeWait::Promoting { .. })));
    assert_eq!(look(attempt(Some(0), Some(0)), writer("sg-database")), act(HomeMove::Promoted));
    let mut held = Situation::run(Mode::Failback, Phase::Switching);
    held.journal.head.hold = Some(HoldSwitch { until: at(200), by: "ada".to_owned() });
    assert!(matches!(Sight { home: Some(replica()), ..Sight::default() }.judge_in(held, switch), Decision::Wait(HomeWait::Held { .. })));
}

#[test]
fn the_standby_gets_its_replica_back_after_backups_at_home_and_with_backups_of_its_own() {
    let on = HomeStep { backups_on_at: Some(at(0)), ..HomeStep::default() };
    let named = HomeStep { standby_left: Some("left".to_owned()), ..on.clone() };
    let kept = HomeStep { standby_snapshot_at: Some(at(0)), ..named.clone() };
    let gone = HomeStep { standby_left_at: Some(at(0)), ..kept.clone() };
    let rebuilt = HomeStep { rebuilt_at: Some(at(0)), ..gone.clone() };
    let without = Instance { backup_retention: 0, ..writer("sg-database") };
    let backed = Instance { backup_retention: 1, ..replica_of("orders") };
    let table = [
        (HomeStep::default(), Some(without), None, None, HomeMove::TurnBackupsOn(7)),
        (HomeStep::default(), Some(writer("sg-database")), None, None, HomeMove::BackupsOn),
        (on, None, None, Some(writer("sg-database")), HomeMove::Name),
        (named, None, None, Some(writer("sg-database")), HomeMove::Snapshot),
        (kept.clone(), None, None, Some(writer("sg-database")), HomeMove::SetAside),
        (kept.clone(), None, Some(writer("sg-database")), None, HomeMove::Aside),
        (gone.clone(), None, None, None, HomeMove::Rebuild),
        (gone, None, None, Some(replica_of("orders")), HomeMove::Rebuilt),
        (rebuilt.clone(), None, None, Some(replica_of("orders")), HomeMove::ChangeReplica(InstanceChange::backups(1))),
        (rebuilt, None, None, Some(backed), HomeMove::ReplicaReady),
    ];
    for (step, home, left, standby, due) in table {
        assert_eq!(Sight { step, home, left, standby, proxy: None }.judge(Phase::Restoring, restore), act(due));
    }
}

#[test]
fn no_replica_is_built_into_a_parameter_group_that_closes_writes() {
    let gone = HomeStep { backups_on_at: Some(at(0)), standby_left_at: Some(at(0)), ..HomeStep::default() };
    let judge = |given_back_at| {
        let mut situation = Situation::run(Mode::Failback, Phase::Restoring);
        let gate = HomeGate { group: "shop-orders".to_owned(), was: None, seen_at: at(0), told: None };
        let logins = HomeDatabase { gate: Some(gate), closing_at: Some(at(0)), given_back_at, ..HomeDatabase::default() };
        situation.journal.progress.rotation.home.databases.insert("orders".to_owned(), logins);
        Sight { step: gone.clone(), ..Sight::default() }.judge_in(situation, restore)
    };
    assert!(matches!(judge(None), Decision::Wait(HomeWait::Closed { .. })));
    assert_eq!(judge(Some(at(1))), act(HomeMove::Rebuild));
}

#[test]
fn a_replica_is_given_the_backups_that_it_had_before_it_was_promoted() {
    let step = HomeStep { backups_on_at: Some(at(0)), standby_left_at: Some(at(0)), rebuilt_at: Some(at(0)), ..HomeStep::default() };
    let mut situation = Situation::run(Mode::Failback, Phase::Restoring);
    situation.journal.memory.replicas.insert("orders".to_owned(), ReplicaShape { parameter_group: None, ..shape() });
    let sight = Sight { step, standby: Some(replica_of("orders")), ..Sight::default() };
    assert_eq!(sight.judge_in(situation, restore), act(HomeMove::ChangeReplica(InstanceChange::backups(3))));
}

fn shape() -> ReplicaShape {
    ReplicaShape {
        class: "db.t4g.small".to_owned(),
        backup_retention: 3,
        multi_az: Some(false),
        deletion_protection: Some(false),
        parameter_group: Some("orders-own".to_owned()),
    }
}

fn with_group(name: &str, status: &str, instance: Instance) -> Instance {
    Instance { parameter_group: Some(ParameterGroup { name: name.to_owned(), status: status.to_owned() }), ..instance }
}

fn to_group(backups: Option<u32>) -> InstanceChange {
    InstanceChange { backups, parameter_group: Some("orders-own".to_owned()), ..InstanceChange::default() }
}

#[test]
fn the_replica_at_home_gets_the_old_writers_parameter_group_before_it_counts_as_replicating() {
    let step = HomeStep { was: Some(shape()), ..is_aside() };
    let home = |name, status| Some(with_group(name, status, replica_of("orders-replica")));
    let judge = |step: &HomeStep, home| Sight { step: step.clone(), home, ..Sight::default() }.prepare();
    assert_eq!(judge(&step, home("default.postgres16", "in-sync")), act(HomeMove::ChangeHome(to_group(None))));
    assert!(matches!(judge(&step, home("orders-own", "applying")), Decision::Wait(HomeWait::Parameters { .. })));
    assert_eq!(judge(&step, home("orders-own", "pending-reboot")), act(HomeMove::RestartHome));
    let asked = |at_, called_at| HomeStep { restart: RestartStep { asked_at: Some(at_), called_at }, ..step.clone() };
    assert!(matches!(judge(&asked(at(90), None), home("orders-own", "pending-reboot")), Decision::Wait(HomeWait::Parameters { .. })));
    assert_eq!(judge(&asked(at(30), None), home("orders-own", "pending-reboot")), act(HomeMove::RestartHome), "untouched for a minute");
    assert_eq!(judge(&step, home("orders-own", "in-sync")), act(HomeMove::Replicating));
    assert!(matches!(judge(&step, home("orders-own", "failed-to-apply")), Decision::Refuse(HomeRefusal::NotInForce { .. })));
    let older = HomeStep { was: None, ..step.clone() };
    assert_eq!(judge(&older, home("default.postgres16", "in-sync")), act(HomeMove::Replicating), "nobody knows of a group");
}

#[test]
fn the_standbys_replica_gets_its_parameter_group_with_its_backups_in_one_call() {
    let step = HomeStep { backups_on_at: Some(at(0)), standby_left_at: Some(at(0)), rebuilt_at: Some(at(0)), ..HomeStep::default() };
    let judge = |standby: Instance| {
        let mut situation = Situation::run(Mode::Failback, Phase::Restoring);
        situation.journal.memory.replicas.insert("orders".to_owned(), shape());
        Sight { step: step.clone(), standby: Some(standby), ..Sight::default() }.judge_in(situation, restore)
    };
    let replica = |name, status, backup_retention| Instance { backup_retention, ..with_group(name, status, replica_of("orders")) };
    assert_eq!(judge(replica("default.postgres16", "in-sync", 0)), act(HomeMove::ChangeReplica(to_group(Some(3)))));
    let modifying = Instance { pending_backup_retention: Some(3), ..busy("modifying", replica("orders-own", "applying", 0)) };
    assert!(matches!(judge(modifying), Decision::Wait(_)));
    assert_eq!(judge(replica("default.postgres16", "in-sync", 3)), act(HomeMove::ChangeReplica(to_group(None))), "the backups were there already");
    assert_eq!(judge(replica("orders-own", "pending-reboot", 3)), act(HomeMove::RestartReplica));
    assert_eq!(judge(replica("orders-own", "in-sync", 3)), act(HomeMove::ReplicaReady));
}

#[test]
fn nothing_is_renamed_in_the_standby_that_somebody_else_already_made_a_replica_of_home() {
    let step = HomeStep { backups_on_at: Some(at(0)), ..HomeStep::default() };
    let look = |standby| Sight { step: step.clone(), standby, ..Sight::default() }.judge(Phase::Restoring, restore);
    assert_eq!(look(Some(replica_of("orders"))), act(HomeMove::Aside));
    assert!(matches!(look(Some(replica_of("somebody"))), Decision::Refuse(HomeRefusal::NotOurs { .. })));
    assert!(matches!(look(None), Decision::Refuse(HomeRefusal::NoWriter { .. })));
}

#[test]
fn a_promotion_at_home_keeps_the_plans_order() {
    let mut situation = Situation::run(Mode::Failback, Phase::Switching);
    let mut second = situation.plan.databases[0].clone();
    (second.name, second.primary, second.replica) = ("users".to_owned(), "users".to_owned(), "users-replica".to_owned());
    situation.plan.databases.push(second);
    situation.plan.databases[0].after = Some("users".to_owned());
    let judge = |promoted_at| {
        let mut situation = Situation { plan: situation.plan.clone(), ..Situation::run(Mode::Failback, Phase::Switching) };
        situation.journal.progress.promotion.home.insert("users".to_owned(), HomeStep { promoted_at, ..HomeStep::default() });
        Sight { home: Some(replica_of("orders-replica")), ..Sight::default() }.judge_in(situation, switch)
    };
    let waits = judge(None);
    assert!(matches!(&waits, Decision::Wait(HomeWait::After(after)) if after.database == "users"), "{waits:?}");
    assert_eq!(judge(Some(at(50))), act(HomeMove::Promote { retention: 7, again: false }));
}

#[test]
fn the_writer_that_served_is_taken_out_of_its_proxy_before_it_loses_its_name() {
    let behind = |target: &str| Proxy {
        targets: vec![ProxyTarget { instance: target.to_owned(), state: "AVAILABLE".to_owned(), ..ProxyTarget::default() }],
        ..Proxy::default()
    };
    let judge = |step: HomeStep, proxy| {
        let mut situation = Situation::run(Mode::Failback, Phase::Restoring);
        situation.plan.databases[0].proxy = Some("orders-proxy".to_owned());
        let home = Some(Instance { backup_retention: 0, ..writer("sg-database") });
        Sight { step, home, standby: Some(writer("sg-database")), proxy, ..Sight::default() }.judge_in(situation, restore)
    };
    let on = HomeStep { backups_on_at: Some(at(0)), ..HomeStep::default() };
    assert_eq!(judge(HomeStep::default(), Some(behind("orders-replica"))), act(HomeMove::TurnBackupsOn(7)), "backups at home come first");
    assert_eq!(judge(on.clone(), Some(behind("orders-replica"))), act(HomeMove::FreeProxy));
    assert_eq!(judge(on.clone(), Some(Proxy::default())), act(HomeMove::ProxyFree));
    assert_eq!(judge(on.clone(), Some(behind("somebody"))), act(HomeMove::ProxyFree), "what others registered is theirs");
    assert_eq!(judge(on.clone(), None), act(HomeMove::ProxyFree), "a proxy that is gone has no target");
    assert_eq!(judge(HomeStep { proxy_freed_at: Some(at(1)), ..on }, None), act(HomeMove::Name));
}
