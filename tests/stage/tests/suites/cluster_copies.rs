//! A disposable copy of an Aurora secondary: its snapshot taken, restored to a cluster, given an instance, and removed in its order.

use relight::plan::Plan;
use relight::ports::{
    CallError, Cluster, ClusterCopies, ClusterCopyOf, CopyId, CopySnapshot, Database, GlobalClusters, GlobalId, Removal, StandbyCluster, Why,
};

use super::{PLAN, eventually, run};

const CLASS: &str = "db.r6g.large";

fn assert_state<T: std::fmt::Debug>(refused: Result<T, CallError>) {
    assert!(matches!(&refused, Err(CallError { why: Why::State(_), .. })), "not refused for its state: {refused:?}");
}

fn assert_missing<T: std::fmt::Debug>(refused: Result<T, CallError>) {
    assert!(matches!(&refused, Err(CallError { why: Why::NotFound(_), .. })), "not missing: {refused:?}");
}

/// Leaves the global database as it found it.
pub(crate) async fn cluster_copies<D: Database + GlobalClusters + ClusterCopies>(rds: &D, plan: &Plan) {
    let (database, id) = (&plan.databases[0], run());
    let (global, secondary) = (GlobalId::of(plan, database), StandbyCluster::of(plan, database));
    let of = ClusterCopyOf { source: &secondary, plan: PLAN, run: &id };
    let before = (rds.global_cluster(&global).await.expect("a look"), rds.cluster(&secondary).await.expect("a look"));
    let copy = CopyId::of(PLAN, &id, "orders");
    assert_missing(rds.restore_cluster(&copy, &of).await);
    assert_missing(rds.add_copy_instance(&copy, CLASS, &of).await);
    assert_eq!(rds.remove_cluster_copy(&copy).await.expect("a look"), Removal::Gone);

    snapshot(rds, &copy, &of).await;
    restored(rds, &copy, &of, before.1.as_ref().expect("there")).await;
    removed(rds, &copy).await;
    let after = (rds.global_cluster(&global).await.expect("a look"), rds.cluster(&secondary).await.expect("a look"));
    assert_eq!(after, before, "nothing of it moved");
}

async fn snapshot<D: GlobalClusters + ClusterCopies>(rds: &D, copy: &CopyId, of: &ClusterCopyOf<'_>) {
    assert_eq!(rds.cluster_snapshot(copy).await.expect("a look"), None);
    rds.snapshot_cluster(copy, of).await.expect("begun");
    rds.snapshot_cluster(copy, of).await.expect("asked for again, it is the same snapshot");
    assert_eq!(rds.cluster_snapshot(copy).await.expect("a look"), Some(CopySnapshot::Underway));
    let secondary = rds.cluster(of.source).await.expect("a look").expect("there");
    assert_eq!((secondary.status.as_str(), secondary.status_beside_backups()), ("backing-up", "available"));
    assert_state(rds.restore_cluster(copy, of).await);
    assert_eq!(rds.remove_cluster_copy(copy).await.expect("a look"), Removal::Underway, "what is being taken cannot be deleted");
    assert_eq!(rds.cluster_copies(PLAN).await.expect("a look"), std::slice::from_ref(copy), "the snapshot alone tells of it");
    assert_eq!(rds.cluster_copies("another").await.expect("a look"), []);
    eventually("the snapshot available", async || match rds.cluster_snapshot(copy).await.expect("a look") {
        Some(CopySnapshot::Available) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn restored<D: Database + ClusterCopies>(rds: &D, copy: &CopyId, of: &ClusterCopyOf<'_>, like: &Cluster) {
    rds.restore_cluster(copy, of).await.expect("begun");
    rds.restore_cluster(copy, of).await.expect("asked for again, it is the same cluster");
    assert_state(rds.add_copy_instance(copy, CLASS, of).await);
    let cluster = settled(rds, copy, |cluster| cluster.is_available()).await;
    assert!(cluster.is_headless() && cluster.endpoint.is_some(), "{cluster:?}");
    assert_eq!((&cluster.security_groups, &cluster.engine_version), (&like.security_groups, &like.engine_version));

    rds.add_copy_instance(copy, CLASS, of).await.expect("begun");
    rds.add_copy_instance(copy, CLASS, of).await.expect("asked for again, it is the same instance");
    let cluster = settled(rds, copy, |cluster| cluster.has_an_available_instance()).await;
    let [instance] = &cluster.instances[..] else { panic!("{cluster:?}") };
    assert_eq!((instance.name.as_str(), instance.class.as_str(), instance.writer), (copy.member().as_str(), CLASS, true));
    assert_eq!(rds.cluster_copies(PLAN).await.expect("a look"), std::slice::from_ref(copy), "one copy, though there are three things");
    assert_eq!(rds.copies(PLAN).await.expect("a look"), [], "and no copy of an instance");
}

async fn settled<D: ClusterCopies>(rds: &D, copy: &CopyId, is: impl Fn(&Cluster) -> bool) -> Cluster {
    eventually("the copy as it shall be", async || {
        let cluster = rds.cluster_copy(copy).await.expect("a look").ok_or("not there")?;
        if is(&cluster) { Ok(cluster) } else { Err(format!("{cluster:?}")) }
    })
    .await
}

/// Called again and again, in the order that RDS asks for.
async fn removed<D: ClusterCopies>(rds: &D, copy: &CopyId) {
    assert_eq!(rds.remove_cluster_copy(copy).await.expect("begun"), Removal::Underway);
    let cluster = rds.cluster_copy(copy).await.expect("a look").expect("its instance goes first");
    assert!(cluster.is_available() && cluster.is_headless(), "{cluster:?}");
    eventually("nothing of it left", async || match rds.remove_cluster_copy(copy).await.expect("asked") {
        Removal::Gone => Ok(()),
        Removal::Underway => Err("underway".to_owned()),
    })
    .await;
    assert_eq!(rds.cluster_copy(copy).await.expect("a look"), None);
    assert_eq!(rds.cluster_snapshot(copy).await.expect("a look"), None);
    assert_eq!(rds.cluster_copies(PLAN).await.expect("a look"), []);
}
