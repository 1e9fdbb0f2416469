//! Databases: the replica untouched, and the whole life of a disposable copy of it, in either way.

use jiff::{SignedDuration, Timestamp};
use relight::plan::{self, Plan};
use relight::ports::{CallError, CopyId, CopyOf, CopySnapshot, Database, Instance, PrimaryId, Removal, ReplicaId, SnapshotOf, Why};

use super::{PLAN, eventually, run};

fn assert_state<T: std::fmt::Debug>(refused: Result<T, CallError>) {
    assert!(matches!(&refused, Err(CallError { why: Why::State(_), .. })), "not refused for its state: {refused:?}");
}

fn assert_missing<T: std::fmt::Debug>(refused: Result<T, CallError>) {
    assert!(matches!(&refused, Err(CallError { why: Why::NotFound(_), .. })), "not missing: {refused:?}");
}

pub(crate) async fn database<D: Database>(rds: &D, plan: &Plan, now: impl Fn() -> Timestamp) {
    let replica = ReplicaId::of(&plan.databases[0]);
    let look = async || rds.replica(&replica).await.expect("a look").expect("the replica is there");
    let before = look().await;
    assert!(before.is_available() && !before.is_promoted(), "{before:?}");
    assert!(before.source.as_deref().is_some_and(|source| source.contains(&plan.databases[0].primary)), "{before:?}");
    assert_eq!((before.replication.as_slice(), before.backup_retention > 0), (["replicating".to_owned()].as_slice(), true));
    assert!(before.engine == "postgres" && before.endpoint.is_some() && before.read_replicas.is_empty(), "{before:?}");

    what_is_missing(rds, plan).await;
    quotas(rds).await;
    lag(rds, &replica, now).await;
    let copy = created(rds, &replica, &before).await;
    promoted(rds, &copy).await;
    removed(rds, &copy).await;
    let copy = restored(rds, &replica, &before).await;
    removed(rds, &copy).await;
    assert_eq!(rds.copy_snapshot(&copy).await.expect("a look"), None, "the snapshot went with its copy");
    let after = eventually("the replica available again", async || {
        let instance = look().await;
        if instance.is_available() && instance.read_replicas.is_empty() { Ok(instance) } else { Err(format!("{instance:?}")) }
    });
    assert_eq!(after.await, before, "a rehearsal leaves no trace on the replica");
}

async fn what_is_missing<D: Database>(rds: &D, plan: &Plan) {
    let nobody = plan::Database { replica: "nobody".to_owned(), primary: "nobody".to_owned(), ..plan.databases[0].clone() };
    let replica = ReplicaId::of(&nobody);
    assert_eq!(rds.replica(&replica).await.expect("a look"), None);
    assert_missing(rds.promote(&replica, 7).await);
    assert_missing(rds.fence(&PrimaryId::of(plan, &nobody), "sg-0a1b2c3d4e5f60718").await);
    let copy = CopyId::of(PLAN, &run(), "nobody");
    assert_eq!(rds.copy(&copy).await.expect("a look"), None);
    assert_missing(rds.promote_copy(&copy).await);
    assert_eq!(rds.remove_copy(&copy).await.expect("nothing to remove"), Removal::Gone);
    assert_missing(rds.create_copy(&copy, &CopyOf { source: &replica, security_groups: &[], plan: PLAN, run: &run() }).await);
    assert_eq!(rds.copy_snapshot(&copy).await.expect("a look"), None);
    let of = SnapshotOf { source: &replica, plan: PLAN, run: &run() };
    assert_missing(rds.snapshot_for_copy(&copy, &of).await);
    assert_missing(rds.restore_copy(&copy, &of).await);
}

async fn quotas<D: Database>(rds: &D) {
    let quotas = rds.quotas().await.expect("a look");
    let instances = quotas.iter().find(|quota| quota.name == "DBInstances").expect("how many instances there may be");
    assert!((1..instances.max).contains(&instances.used), "{instances:?}");
}

async fn lag<D: Database>(rds: &D, replica: &ReplicaId, now: impl Fn() -> Timestamp) {
    eventually("a sample of the lag", async || {
        let (from, to) = (now() - SignedDuration::from_mins(10), now() + SignedDuration::from_mins(1));
        let samples = rds.lag_samples(replica, from, to).await.expect("a look");
        assert!(samples.is_sorted_by_key(|sample| sample.at), "oldest first: {samples:?}");
        let known = samples.iter().any(|sample| sample.seconds.is_some_and(|seconds| (0.0..600.0).contains(&seconds)));
        if known { Ok(()) } else { Err(format!("{samples:?}")) }
    })
    .await;
    // Long before anything was measured.
    let long_ago = now() - SignedDuration::from_hours(24);
    let none = rds.lag_samples(replica, long_ago, long_ago).await.expect("a look");
    assert!(none.is_empty(), "{none:?}");
}

async fn created<D: Database>(rds: &D, replica: &ReplicaId, source: &Instance) -> CopyId {
    let copy = CopyId::of(PLAN, &run(), "orders");
    let of = CopyOf { source: replica, security_groups: &source.security_groups, plan: PLAN, run: &run() };
    rds.create_copy(&copy, &of).await.expect("begun");
    // The source is snapshotted first: in between nothing else may be asked of it.
    eventually("the source backing up", async || {
        let status = rds.replica(replica).await.expect("a look").expect("there").status;
        if status == "backing-up" { Ok(()) } else { Err(status) }
    })
    .await;
    rds.create_copy(&copy, &of).await.expect("asked for again, it is the same copy");
    assert_state(rds.promote_copy(&copy).await);
    assert_eq!(rds.copies(PLAN).await.expect("a look"), std::slice::from_ref(&copy));
    assert_eq!(rds.copies("another").await.expect("a look"), []);

    let made = eventually("the copy available", async || {
        let instance = rds.copy(&copy).await.expect("a look").ok_or("not there")?;
        if instance.is_available() { Ok(instance) } else { Err(instance.status) }
    })
    .await;
    assert!(made.source.as_deref().is_some_and(|of| of.ends_with(replica.as_str())) && !made.is_promoted(), "{made:?}");
    assert_eq!((&made.class, made.backup_retention, &made.security_groups), (&source.class, 0, &source.security_groups));
    eventually("the source available, with the copy as its replica", async || {
        let instance = rds.replica(replica).await.expect("a look").expect("there");
        if instance.is_available() && instance.read_replicas == [copy.as_str()] { Ok(()) } else { Err(format!("{instance:?}")) }
    })
    .await;
    copy
}

async fn restored<D: Database>(rds: &D, replica: &ReplicaId, source: &Instance) -> CopyId {
    let copy = CopyId::of(PLAN, &run(), "restored");
    let of = SnapshotOf { source: replica, plan: PLAN, run: &run() };
    rds.snapshot_for_copy(&copy, &of).await.expect("begun");
    eventually("the source backing up", async || {
        let status = rds.replica(replica).await.expect("a look").expect("there").status;
        if status == "backing-up" { Ok(()) } else { Err(status) }
    })
    .await;
    rds.snapshot_for_copy(&copy, &of).await.expect("asked for again, it is the same snapshot");
    assert_eq!(rds.copy_snapshot(&copy).await.expect("a look"), Some(CopySnapshot::Underway));
    assert_state(rds.restore_copy(&copy, &of).await);
    assert_eq!(rds.copies(PLAN).await.expect("a look"), std::slice::from_ref(&copy), "the snapshot alone tells of it");
    assert_eq!(rds.remove_copy(&copy).await.expect("a look"), Removal::Underway, "what is being taken cannot be deleted");
    eventually("the snapshot available", async || match rds.copy_snapshot(&copy).await.expect("a look") {
        Some(CopySnapshot::Available) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    rds.restore_copy(&copy, &of).await.expect("begun");
    rds.restore_copy(&copy, &of).await.expect("asked for again, it is the same copy");
    assert!(rds.copy(&copy).await.expect("a look").is_some_and(|instance| !instance.is_promoted()), "it is being created");
    let writer = eventually("the copy restored", async || {
        let instance = rds.copy(&copy).await.expect("a look").ok_or("not there")?;
        if instance.is_promoted() { Ok(instance) } else { Err(instance.status) }
    })
    .await;
    assert_eq!((&writer.class, writer.backup_retention, &writer.security_groups), (&source.class, 0, &source.security_groups));
    let group = |instance: &Instance| instance.parameter_group.as_ref().map(|group| group.name.clone());
    assert_eq!((group(&writer), writer.multi_az, writer.deletion_protection), (group(source), false, false));
    assert!(writer.endpoint.is_some() && writer.source.is_none() && writer.replication.is_empty(), "{writer:?}");
    assert_eq!(rds.copies(PLAN).await.expect("a look"), std::slice::from_ref(&copy), "one copy, though there are two things");
    copy
}

async fn promoted<D: Database>(rds: &D, copy: &CopyId) {
    rds.promote_copy(copy).await.expect("begun");
    // Just after the call it may still read as available; it is no writer for that.
    let just_after = rds.copy(copy).await.expect("a look").expect("there");
    assert!(!just_after.is_promoted(), "{just_after:?}");
    eventually("the promotion on its way", async || {
        let status = rds.copy(copy).await.expect("a look").expect("there").status;
        if matches!(status.as_str(), "modifying" | "rebooting") { Ok(()) } else { Err(status) }
    })
    .await;
    assert_state(rds.promote_copy(copy).await);
    let writer = eventually("the copy promoted", async || {
        let instance = rds.copy(copy).await.expect("a look").expect("there");
        if instance.is_promoted() { Ok(instance) } else { Err(format!("{instance:?}")) }
    })
    .await;
    assert!(writer.endpoint.is_some() && writer.source.is_none() && writer.replication.is_empty(), "{writer:?}");
    assert_eq!((writer.backup_retention, writer.pending_backup_retention), (0, None), "no backups of what is thrown away");
    // It is no replica any more.
    assert_state(rds.promote_copy(copy).await);
}

async fn removed<D: Database>(rds: &D, copy: &CopyId) {
    assert_eq!(rds.remove_copy(copy).await.expect("begun"), Removal::Underway);
    eventually("the copy gone", async || match rds.remove_copy(copy).await.expect("taken") {
        Removal::Gone => Ok(()),
        Removal::Underway => Err("underway".to_owned()),
    })
    .await;
    assert_eq!(rds.copy(copy).await.expect("a look"), None);
    assert_eq!(rds.copies(PLAN).await.expect("a look"), []);
}
