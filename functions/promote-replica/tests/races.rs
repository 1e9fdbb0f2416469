//! What others write between this function's look at the world and its record.

mod common;

use std::cell::RefCell;

use common::Scene;
use jiff::Timestamp;
use promote_replica::PromoteReplica;
use relight::ports::{
    AddedInstance, CallError, Cluster, ClusterCopies, ClusterCopyOf, ClusterLag, CopyId, CopyOf, CopySnapshot, Database, Fenced, GlobalCluster,
    GlobalClusters, GlobalId, HomeCluster, HomeId, HomeOf, Instance, InstanceChange, LagSample, LeftId, LostRows, PrimaryId, Proxy, ProxyId, Quota,
    Readable, RebuiltOf, Removal, ReplicaId, SnapshotOf, Snapshotted, StandbyCluster, Takeover, WriteGate,
};
use relight::run::{Mode, Phase};
use relight::state::HoldSwitch;
use relight_world::database::DatabaseWorld;
use serde_json::json;

/// The world, in which something happens once while a replica is looked at.
struct Meanwhile<'a> {
    world: DatabaseWorld,
    happens: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl GlobalClusters for Meanwhile<'_> {
    async fn global_cluster(&self, global: &GlobalId) -> Result<Option<GlobalCluster>, CallError> {
        self.world.global_cluster(global).await
    }

    async fn cluster(&self, cluster: &StandbyCluster) -> Result<Option<Cluster>, CallError> {
        if let Some(happens) = self.happens.borrow_mut().take() {
            happens();
        }
        self.world.cluster(cluster).await
    }

    async fn readable(&self, cluster: &StandbyCluster) -> Result<Readable, CallError> {
        self.world.readable(cluster).await
    }

    async fn cluster_lag(&self, cluster: &StandbyCluster, from: Timestamp, to: Timestamp) -> Result<ClusterLag, CallError> {
        self.world.cluster_lag(cluster, from, to).await
    }

    async fn add_instance(&self, added: &AddedInstance<'_>) -> Result<(), CallError> {
        self.world.add_instance(added).await
    }

    async fn take_over(&self, global: &GlobalId, to: &StandbyCluster, how: Takeover) -> Result<(), CallError> {
        self.world.take_over(global, to, how).await
    }

    async fn home_cluster(&self, home: &HomeCluster) -> Result<Option<Cluster>, CallError> {
        self.world.home_cluster(home).await
    }

    async fn lost_rows(&self, home: &HomeCluster) -> Result<Vec<LostRows>, CallError> {
        self.world.lost_rows(home).await
    }

    async fn keep_lost_rows(&self, home: &HomeCluster, lost: &LostRows) -> Result<Snapshotted, CallError> {
        self.world.keep_lost_rows(home, lost).await
    }

    async fn switch_home(&self, global: &GlobalId, to: &HomeCluster) -> Result<(), CallError> {
        self.world.switch_home(global, to).await
    }
}

impl Database for Meanwhile<'_> {
    async fn replica(&self, replica: &ReplicaId) -> Result<Option<Instance>, CallError> {
        if let Some(happens) = self.happens.borrow_mut().take() {
            happens();
        }
        self.world.replica(replica).await
    }

    async fn lag_samples(&self, replica: &ReplicaId, from: Timestamp, to: Timestamp) -> Result<Vec<LagSample>, CallError> {
        self.world.lag_samples(replica, from, to).await
    }

    async fn quotas(&self) -> Result<Vec<Quota>, CallError> {
        self.world.quotas().await
    }

    async fn promote(&self, replica: &ReplicaId, retention: u32) -> Result<(), CallError> {
        self.world.promote(replica, retention).await
    }

    async fn modify(&self, replica: &ReplicaId, change: &InstanceChange) -> Result<(), CallError> {
        self.world.modify(replica, change).await
    }

    async fn restart(&self, replica: &ReplicaId) -> Result<(), CallError> {
        self.world.restart(replica).await
    }

    async fn write_gate(&self, group: &str) -> Result<WriteGate, CallError> {
        self.world.write_gate(group).await
    }

    async fn set_read_only(&self, group: &str, value: &str) -> Result<(), CallError> {
        self.world.set_read_only(group, value).await
    }

    async fn proxy(&self, proxy: &ProxyId) -> Result<Option<Proxy>, CallError> {
        self.world.proxy(proxy).await
    }

    async fn register(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
        self.world.register(proxy, replica).await
    }

    async fn deregister(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
        self.world.deregister(proxy, replica).await
    }

    async fn create_copy(&self, copy: &CopyId, of: &CopyOf<'_>) -> Result<(), CallError> {
        self.world.create_copy(copy, of).await
    }

    async fn copy(&self, copy: &CopyId) -> Result<Option<Instance>, CallError> {
        self.world.copy(copy).await
    }

    async fn snapshot_for_copy(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
        self.world.snapshot_for_copy(copy, of).await
    }

    async fn copy_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError> {
        self.world.copy_snapshot(copy).await
    }

    async fn restore_copy(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
        self.world.restore_copy(copy, of).await
    }

    async fn promote_copy(&self, copy: &CopyId) -> Result<(), CallError> {
        self.world.promote_copy(copy).await
    }

    async fn remove_copy(&self, copy: &CopyId) -> Result<Removal, CallError> {
        self.world.remove_copy(copy).await
    }

    async fn copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        self.world.copies(plan).await
    }

    async fn fence(&self, instance: &PrimaryId, security_group: &str) -> Result<Fenced, CallError> {
        self.world.fence(instance, security_group).await
    }

    async fn home(&self, home: &HomeId) -> Result<Option<Instance>, CallError> {
        self.world.home(home).await
    }

    async fn left(&self, left: &LeftId) -> Result<Option<Instance>, CallError> {
        self.world.left(left).await
    }

    async fn last_snapshot(&self, left: &LeftId) -> Result<Snapshotted, CallError> {
        self.world.last_snapshot(left).await
    }

    async fn set_aside(&self, left: &LeftId) -> Result<(), CallError> {
        self.world.set_aside(left).await
    }

    async fn build_home(&self, home: &HomeId, of: &HomeOf<'_>) -> Result<(), CallError> {
        self.world.build_home(home, of).await
    }

    async fn promote_home(&self, home: &HomeId, retention: u32) -> Result<(), CallError> {
        self.world.promote_home(home, retention).await
    }

    async fn modify_home(&self, home: &HomeId, change: &InstanceChange) -> Result<(), CallError> {
        self.world.modify_home(home, change).await
    }

    async fn restart_home(&self, home: &HomeId) -> Result<(), CallError> {
        self.world.restart_home(home).await
    }

    async fn rebuild(&self, replica: &ReplicaId, of: &RebuiltOf<'_>) -> Result<(), CallError> {
        self.world.rebuild(replica, of).await
    }
}

impl ClusterCopies for Meanwhile<'_> {
    async fn snapshot_cluster(&self, copy: &CopyId, of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        self.world.snapshot_cluster(copy, of).await
    }

    async fn cluster_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError> {
        self.world.cluster_snapshot(copy).await
    }

    async fn restore_cluster(&self, copy: &CopyId, of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        self.world.restore_cluster(copy, of).await
    }

    async fn cluster_copy(&self, copy: &CopyId) -> Result<Option<Cluster>, CallError> {
        self.world.cluster_copy(copy).await
    }

    async fn add_copy_instance(&self, copy: &CopyId, class: &str, of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        self.world.add_copy_instance(copy, class, of).await
    }

    async fn remove_cluster_copy(&self, copy: &CopyId) -> Result<Removal, CallError> {
        self.world.remove_cluster_copy(copy).await
    }

    async fn cluster_copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        self.world.cluster_copies(plan).await
    }
}

/// One invocation in which `happens` happens after the journal was read and before the attempt is recorded.
async fn nudge_while<'a>(scene: &'a Scene, happens: impl FnOnce() + 'a) {
    let port = Meanwhile { world: scene.world.database.clone(), happens: RefCell::new(Some(Box::new(happens))) };
    let mut work = PromoteReplica::new(port);
    scene.world.nudge(&mut work, json!({ "relight": "tick" })).await.expect("answered");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stands_down_beside_the_attempt_promotes_nothing() {
    let scene = Scene::new(Mode::Failover, Phase::Activating);
    nudge_while(&scene, || scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::StoodDown)).await;
    assert_eq!(scene.world.calls.count("rds:PromoteReadReplica"), 0);
    assert!(scene.promotion().databases.values().all(|step| step.promote_attempt_at.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_hold_beside_the_attempt_is_kept() {
    let scene = Scene::new(Mode::Failover, Phase::Activating);
    let hold = HoldSwitch { until: scene.world.now() + common::minutes(60), by: "ada".to_owned() };
    nudge_while(&scene, || scene.change(|head| head.hold = Some(hold))).await;
    assert_eq!(scene.world.calls.count("rds:PromoteReadReplica"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_is_ended_beside_the_creation_makes_no_copy() {
    let scene = Scene::new(Mode::Drill, Phase::Activating);
    nudge_while(&scene, || scene.change(|head| head.run.as_mut().expect("a run").phase = Phase::Restoring)).await;
    assert_eq!(scene.world.calls.count("rds:CreateDBInstanceReadReplica"), 0);
    assert!(scene.snapshot().obligations.is_empty());
}
