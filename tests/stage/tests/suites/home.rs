//! The way home: what was set aside, a replica built into the one Region from the writer in the other, and back; a secret replicated again.

use relight::plan::{self, Plan};
use relight::ports::{
    CallError, Database, HomeId, HomeOf, HomeSecret, Instance, InstanceChange, LeftId, RebuiltOf, ReplicaId, Secrets, Snapshotted, Stage, Why,
};
use relight::run::RunId;
use relight::secret::SecretValue;

use super::{PLAN, eventually};

const TOKEN: &str = "00000000-aaaa-4aaa-8aaa-000000000007";

fn run() -> RunId {
    RunId("failback-20260301T020000Z".to_owned())
}

/// Goes the whole way with the plan's first database, and leaves it with other servers under the old names.
pub(crate) async fn home_database<D: Database>(rds: &D, plan: &Plan) {
    let database = &plan.databases[0];
    let (home, replica) = (HomeId::of(plan, database), ReplicaId::of(database));
    let shape = rds.replica(&replica).await.expect("a look").expect("the replica is there").shape();
    promoted_replica(rds, &replica).await;
    let serving = changed(rds, &replica).await;
    let old = rds.home(&home).await.expect("a look").expect("the old writer is there");
    assert!(old.source.is_none() && old.endpoint.is_some(), "{old:?}");

    // Whatever has the name and is no replica of the serving writer is somebody else's.
    let (groups, failback) = (["sg-0123456789abcdef0".to_owned()], run());
    let of = |like| HomeOf { source: &replica, like, security_groups: &groups, plan: PLAN, run: &failback };
    assert!(rds.build_home(&home, &of(None)).await.is_err(), "the old writer still has the name");

    let left = LeftId::of_primary(plan, database, &run());
    set_aside(rds, &left, &old).await;
    assert_eq!(rds.home(&home).await.expect("a look"), None);
    assert!(rds.set_aside(&left).await.is_err(), "a call that comes late renames nothing");

    for _ in 0..2 {
        rds.build_home(&home, &of(Some(&left))).await.expect("begun, once");
    }
    let built = eventually("the replica at home", async || {
        let instance = rds.home(&home).await.expect("a look").ok_or("not there")?;
        if instance.is_available() && instance.replication == ["replicating"] { Ok(instance) } else { Err(format!("{instance:?}")) }
    })
    .await;
    assert!(built.source.as_deref().is_some_and(|source| source.ends_with(replica.as_str())) && !built.is_promoted(), "{built:?}");
    assert_eq!((&built.class, built.security_groups.as_slice()), (&old.class, groups.as_slice()));
    assert_eq!(built.endpoint, old.endpoint, "who has the name has its address");

    rds.promote_home(&home, 7).await.expect("taken");
    let writer = eventually("the writer at home", async || {
        let instance = rds.home(&home).await.expect("a look").ok_or("not there")?;
        if instance.is_promoted() && instance.is_available() { Ok(instance) } else { Err(format!("{instance:?}")) }
    })
    .await;
    assert_eq!(writer.backup_retention, 7);
    rds.modify_home(&home, &InstanceChange::backups(9)).await.expect("taken");
    eventually("other backups at home", async || {
        let instance = rds.home(&home).await.expect("a look").ok_or("not there")?;
        if instance.backup_retention == 9 && instance.is_available() { Ok(()) } else { Err(format!("{instance:?}")) }
    })
    .await;

    let served = LeftId::of_standby(plan, database, &run());
    set_aside(rds, &served, &serving).await;
    assert_eq!(rds.replica(&replica).await.expect("a look"), None);
    let again = RebuiltOf { source: &home, like: &served, was: Some(&shape), plan: PLAN, run: &run() };
    for _ in 0..2 {
        rds.rebuild(&replica, &again).await.expect("begun, once");
    }
    let rebuilt = eventually("the standby's replica again", async || {
        let instance = rds.replica(&replica).await.expect("a look").ok_or("not there")?;
        if instance.is_available() && instance.replication == ["replicating"] { Ok(instance) } else { Err(format!("{instance:?}")) }
    })
    .await;
    assert!(rebuilt.source.as_deref().is_some_and(|source| source.ends_with(home.as_str())), "{rebuilt:?}");
    assert_eq!((&rebuilt.class, &rebuilt.security_groups, &rebuilt.endpoint), (&shape.class, &serving.security_groups, &serving.endpoint));
    let as_before = (Some(rebuilt.multi_az), Some(rebuilt.deletion_protection));
    assert_eq!(as_before, (shape.multi_az, shape.deletion_protection), "as the replica was, and not as the writer that served");
}

/// What a plan may ask of an instance that serves: each is seen only once it is in force.
async fn changed<D: Database>(rds: &D, replica: &ReplicaId) -> Instance {
    let settled = async |what: &str, is: &dyn Fn(&Instance) -> bool| {
        eventually(what, async || {
            let instance = rds.replica(replica).await.expect("a look").ok_or("not there")?;
            if instance.is_idle() && is(&instance) { Ok(instance) } else { Err(format!("{instance:?}")) }
        })
        .await
    };
    let group = |name: &'static str, status: &'static str| {
        move |instance: &Instance| instance.parameter_group.as_ref().is_some_and(|held| held.name == name && held.status == status)
    };
    let protection = InstanceChange { deletion_protection: Some(true), ..InstanceChange::default() };
    rds.modify(replica, &protection).await.expect("taken");
    settled("deletion protection", &|instance| instance.deletion_protection).await;

    let parameters = |name: &str| InstanceChange { parameter_group: Some(name.to_owned()), ..InstanceChange::default() };
    rds.modify(replica, &parameters("orders-serving")).await.expect("taken");
    settled("a parameter group that waits for a restart", &group("orders-serving", "pending-reboot")).await;
    rds.restart(replica).await.expect("taken");
    settled("a parameter group in force", &group("orders-serving", "in-sync")).await;

    let all = InstanceChange { multi_az: Some(true), class: Some("db.r7g.large".to_owned()), ..parameters("orders-other") };
    rds.modify(replica, &all).await.expect("taken");
    let underway = rds.replica(replica).await.expect("a look").expect("there");
    assert!(!underway.multi_az && underway.pending_multi_az == Some(true), "asked for is not there: {underway:?}");
    settled("a restart for the class that brings the parameter group into force", &|instance| {
        instance.multi_az && instance.class == "db.r7g.large" && group("orders-other", "in-sync")(instance)
    })
    .await
}

async fn promoted_replica<D: Database>(rds: &D, replica: &ReplicaId) -> Instance {
    rds.promote(replica, 1).await.expect("taken");
    eventually("the replica promoted", async || {
        let instance = rds.replica(replica).await.expect("a look").ok_or("not there")?;
        if instance.is_promoted() && instance.is_available() { Ok(instance) } else { Err(format!("{instance:?}")) }
    })
    .await
}

/// With its last snapshot, under the name that it gets.
async fn set_aside<D: Database>(rds: &D, left: &LeftId, before: &Instance) {
    assert_eq!(rds.left(left).await.expect("a look"), None);
    assert_eq!(rds.last_snapshot(left).await.expect("begun"), Snapshotted::Underway);
    eventually("the last snapshot", async || match rds.last_snapshot(left).await {
        Ok(Snapshotted::Done) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    eventually("the renaming begun", async || match rds.set_aside(left).await {
        Ok(()) => Ok(()),
        // The snapshot is there a moment before the instance is available again.
        Err(error) if error.passes() => Err(error.to_string()),
        Err(error) => panic!("{error}"),
    })
    .await;
    let aside = eventually("the instance under its new name", async || {
        let instance = rds.left(left).await.expect("a look").ok_or("not there")?;
        if instance.is_available() { Ok(instance) } else { Err(instance.status) }
    })
    .await;
    assert_eq!((&aside.class, aside.source.as_ref()), (&before.class, None));
    assert!(aside.endpoint.is_some() && aside.endpoint != before.endpoint, "its address goes with its name: {aside:?}");
    assert_eq!(rds.last_snapshot(left).await.expect("a look"), Snapshotted::Done, "whoever has which name by then");
}

fn assert_missing<T: std::fmt::Debug>(refused: &Result<T, CallError>, why: &str) {
    assert!(matches!(refused, Err(CallError { why: Why::NotFound(_), .. })), "{why}: {refused:?}");
}

/// A secret that was cut loose from the one at home.
pub(crate) async fn home_secret<S: Secrets>(secrets: &S, plan: &Plan, secret: &plan::Secret) {
    let home = HomeSecret::of(plan, secret);
    let there = secrets.home(&home).await.expect("a look").expect("the secret at home is there");
    let alone = secrets.describe(home.as_str()).await.expect("a look").expect("the secret here is there");
    assert_eq!((there.replica_of.as_ref(), alone.replica_of.as_ref()), (None, None));
    let held = secrets.home_value(&home, Stage::Current).await.expect("a look").expect("a value");
    let value = SecretValue::parse(r#"{"engine":"postgres","host":"home","port":5432,"username":"u","password":"back"}"#).expect("an object");
    for _ in 0..2 {
        secrets.put_home(&home, TOKEN, &value).await.expect("put, once");
    }
    let changed = secrets.home(&home).await.expect("a look").expect("there");
    assert_eq!((changed.version_at(Stage::Current), changed.version_at(Stage::Previous)), (Some(TOKEN), there.version_at(Stage::Current)));
    assert!(secrets.home_value(&home, Stage::Previous).await.expect("a look").is_some_and(|value| value == held));
    assert_eq!(secrets.describe(home.as_str()).await.expect("a look"), Some(alone.clone()), "nothing arrives at what stands alone");

    for _ in 0..2 {
        secrets.replicate_again(&home, &plan.standby).await.expect("asked");
        let again = eventually("the replica of the secret at home", async || {
            let seen = secrets.describe(home.as_str()).await.expect("a look").ok_or("not there")?;
            if seen.replica_of.as_deref() == Some(home.region()) && seen.version_at(Stage::Current) == Some(TOKEN) {
                Ok(seen)
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await;
        assert_eq!(again.arn, alone.arn, "applications and policies name it as before");
    }
    let arrived = secrets.value(home.as_str(), Stage::Current).await.expect("a look").expect("a value");
    assert_eq!(arrived.to_json().as_str(), value.to_json().as_str());

    let nobody = HomeSecret::of(plan, &plan::Secret { name: "conformance/nobody".to_owned(), ..secret.clone() });
    assert_eq!(secrets.home(&nobody).await.expect("a look"), None);
    assert_missing(&secrets.put_home(&nobody, TOKEN, &value).await, "put");
    assert_missing(&secrets.replicate_again(&nobody, &plan.standby).await, "replicated");
}
