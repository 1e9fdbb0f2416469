//! A global database: both clusters looked at, an instance added, a failover followed to its end and what it lost kept, a switchover home
//! and one back.

use jiff::{SignedDuration, Timestamp};
use relight::plan::{self, Plan};
use relight::ports::{
    AddedInstance, CallError, Cluster, GlobalCluster, GlobalClusters, GlobalId, HomeCluster, Readable, Snapshotted, StandbyCluster, Takeover, Why,
};

use super::{PLAN, eventually};

fn assert_state<T: std::fmt::Debug>(refused: Result<T, CallError>) {
    assert!(matches!(&refused, Err(CallError { why: Why::State(_), .. })), "not refused for its state: {refused:?}");
}

fn assert_missing<T: std::fmt::Debug>(refused: Result<T, CallError>) {
    assert!(matches!(&refused, Err(CallError { why: Why::NotFound(_), .. })), "not missing: {refused:?}");
}

/// The plan's first database.
struct Names {
    global: GlobalId,
    standby: StandbyCluster,
    home: HomeCluster,
}

impl Names {
    fn of(plan: &Plan, database: &plan::Database) -> Names {
        Names { global: GlobalId::of(plan, database), standby: StandbyCluster::of(plan, database), home: HomeCluster::of(plan, database) }
    }
}

/// Leaves the standby's cluster as the writer.
pub(crate) async fn global_clusters<D: GlobalClusters>(rds: &D, plan: &Plan, now: impl Fn() -> Timestamp) {
    let names = Names::of(plan, &plan.databases[0]);
    what_is_missing(rds, plan).await;
    in_peace(rds, &names).await;
    lag(rds, &names.standby, now).await;
    added(rds, &names.standby).await;
    failed_over(rds, &names).await;
    kept(rds, &names.home).await;
    switched_home(rds, &names).await;
    switched_over(rds, &names).await;
}

async fn what_is_missing<D: GlobalClusters>(rds: &D, plan: &Plan) {
    let database = &plan.databases[0];
    let nobody =
        plan::Database { replica: "nobody".to_owned(), primary: "nobody".to_owned(), global_cluster: Some("nobody".to_owned()), ..database.clone() };
    let Names { global, standby, home } = Names::of(plan, &nobody);
    assert_eq!(rds.global_cluster(&global).await.expect("a look"), None);
    assert_eq!(rds.cluster(&standby).await.expect("a look"), None);
    assert_eq!(rds.home_cluster(&home).await.expect("a look"), None);
    assert_eq!(rds.readable(&standby).await.expect("a look"), Readable::NoCluster);
    assert_missing(rds.take_over(&global, &standby, Takeover::FailoverLosingRows).await);
    assert_missing(rds.add_instance(&AddedInstance { cluster: &standby, class: "db.r6g.large", plan: PLAN }).await);
}

async fn in_peace<D: GlobalClusters>(rds: &D, Names { global, standby, home }: &Names) {
    let told = rds.global_cluster(global).await.expect("a look").expect("the global cluster is there");
    assert_eq!((told.status.as_str(), told.members.len(), &told.moving), ("available", 2, &None), "{told:?}");
    let writer = told.writer().expect("one writes");
    assert_eq!((writer.arn.as_str(), writer.follows()), (home.arn(), false), "nobody says of the writer that it follows");
    assert!(told.member(standby.arn()).is_some_and(|member| member.follows()), "{told:?}");

    let here = rds.cluster(standby).await.expect("a look").expect("the standby's cluster is there");
    let there = rds.home_cluster(home).await.expect("a look").expect("the primary's cluster is there");
    for cluster in [&here, &there] {
        assert!(cluster.is_available() && cluster.has_an_available_instance() && !cluster.is_headless(), "{cluster:?}");
        assert_eq!(cluster.engine_version, told.engine_version, "both are of the global cluster's version");
        assert!(cluster.backup_retention > 0, "{cluster:?}");
    }
    assert_eq!((writers(&here), writers(&there)), (0, 1), "a secondary has readers alone");
    assert_eq!(rds.readable(standby).await.expect("a look"), Readable::At(here.reader.expect("where it is read")));
    assert_eq!(rds.lost_rows(home).await.expect("a look"), [], "nothing was lost yet");
}

fn writers(cluster: &Cluster) -> usize {
    cluster.instances.iter().filter(|instance| instance.writer).count()
}

async fn lag<D: GlobalClusters>(rds: &D, standby: &StandbyCluster, now: impl Fn() -> Timestamp) {
    eventually("a sample of the lag, in seconds", async || {
        let (from, to) = (now() - SignedDuration::from_mins(10), now() + SignedDuration::from_mins(1));
        let lag = rds.cluster_lag(standby, from, to).await.expect("a look");
        assert!(lag.metric.contains("AuroraGlobalDBRPOLag") && lag.metric.contains(standby.as_str()), "{lag:?}");
        assert!(lag.samples.is_sorted_by_key(|sample| sample.at), "oldest first: {lag:?}");
        let known = lag.samples.iter().any(|sample| sample.seconds.is_some_and(|seconds| (0.0..600.0).contains(&seconds)));
        if known { Ok(()) } else { Err(format!("{lag:?}")) }
    })
    .await;
    // Long before anything was measured.
    let long_ago = now() - SignedDuration::from_hours(24);
    let none = rds.cluster_lag(standby, long_ago, long_ago).await.expect("a look");
    assert!(none.samples.is_empty(), "{none:?}");
}

/// Asked for twice, it is one instance.
async fn added<D: GlobalClusters>(rds: &D, standby: &StandbyCluster) {
    let added = AddedInstance { cluster: standby, class: "db.r6g.large", plan: PLAN };
    let before = rds.cluster(standby).await.expect("a look").expect("there").instances.len();
    for _ in 0..2 {
        rds.add_instance(&added).await.expect("begun, once");
    }
    eventually("the instance available", async || {
        let cluster = rds.cluster(standby).await.expect("a look").ok_or("not there")?;
        let found: Vec<_> = cluster.instances.iter().filter(|instance| instance.name == added.name()).collect();
        let one = matches!(&found[..], [one] if one.status == "available" && one.class == added.class && !one.writer);
        if one && cluster.instances.len() == before + 1 { Ok(()) } else { Err(format!("{cluster:?}")) }
    })
    .await;
}

async fn failed_over<D: GlobalClusters>(rds: &D, names: &Names) {
    let Names { global, standby, home } = names;
    rds.take_over(global, standby, Takeover::FailoverLosingRows).await.expect("begun");
    assert_state(rds.take_over(global, standby, Takeover::FailoverLosingRows).await);
    moves(rds, global, &["pending", "failing-over"], standby.arn()).await;
    let told = becomes_the_writer(rds, global, standby.arn()).await;
    assert!(told.member(home.arn()).is_some_and(|old| !old.writer), "{told:?}");
    eventually("the standby's cluster available with its writer", async || {
        let cluster = rds.cluster(standby).await.expect("a look").ok_or("not there")?;
        let settled = cluster.is_available() && cluster.has_an_available_instance() && writers(&cluster) > 0 && cluster.endpoint.is_some();
        if settled { Ok(()) } else { Err(format!("{cluster:?}")) }
    })
    .await;
    assert_state(rds.take_over(global, standby, Takeover::FailoverLosingRows).await);
    follows(rds, global, home.arn()).await;
}

/// The snapshot that Aurora made of the old writer, and a copy of it that outlives Aurora's.
async fn kept<D: GlobalClusters>(rds: &D, home: &HomeCluster) {
    let lost = rds.lost_rows(home).await.expect("a look");
    let [lost] = &lost[..] else { panic!("one failover lost rows: {lost:?}") };
    assert!(lost.snapshot.starts_with(&home.lost_prefix()) && lost.at > Timestamp::MIN, "{lost:?}");
    assert_eq!(rds.keep_lost_rows(home, lost).await.expect("begun"), Snapshotted::Underway);
    eventually("the copy", async || match rds.keep_lost_rows(home, lost).await.expect("taken") {
        Snapshotted::Done => Ok(()),
        Snapshotted::Underway => Err("underway".to_owned()),
    })
    .await;
    assert_eq!(rds.keep_lost_rows(home, lost).await.expect("a look"), Snapshotted::Done);
    assert_eq!(rds.lost_rows(home).await.expect("a look").len(), 1, "a copy is nothing that was lost anew");
}

async fn switched_home<D: GlobalClusters>(rds: &D, Names { global, standby, home }: &Names) {
    rds.switch_home(global, home).await.expect("begun");
    moves(rds, global, &["pending", "switching-over"], home.arn()).await;
    becomes_the_writer(rds, global, home.arn()).await;
    follows(rds, global, standby.arn()).await;
    assert_eq!(rds.lost_rows(home).await.expect("a look").len(), 1, "a switchover loses nothing");
    // The writer is where it is asked to go.
    assert!(rds.switch_home(global, home).await.is_err());
}

async fn switched_over<D: GlobalClusters>(rds: &D, Names { global, standby, home }: &Names) {
    eventually("both clusters available", async || {
        let (here, there) = (rds.cluster(standby).await.expect("a look"), rds.home_cluster(home).await.expect("a look"));
        let ready = |cluster: &Option<Cluster>| cluster.as_ref().is_some_and(|cluster| cluster.is_available() && cluster.has_an_available_instance());
        if ready(&here) && ready(&there) { Ok(()) } else { Err(format!("{here:?} {there:?}")) }
    })
    .await;
    rds.take_over(global, standby, Takeover::Switchover).await.expect("begun");
    moves(rds, global, &["pending", "switching-over"], standby.arn()).await;
    becomes_the_writer(rds, global, standby.arn()).await;
    follows(rds, global, home.arn()).await;
}

async fn look<D: GlobalClusters>(rds: &D, global: &GlobalId) -> GlobalCluster {
    rds.global_cluster(global).await.expect("a look").expect("there")
}

async fn moves<D: GlobalClusters>(rds: &D, global: &GlobalId, statuses: &[&str], to: &str) {
    let moving = eventually("the way on which it is", async || {
        let told = look(rds, global).await;
        told.moving.clone().ok_or(format!("{told:?}"))
    })
    .await;
    assert!(statuses.contains(&moving.status.as_str()) && moving.to == to, "{moving:?}");
}

async fn becomes_the_writer<D: GlobalClusters>(rds: &D, global: &GlobalId, arn: &str) -> GlobalCluster {
    eventually("the other writer", async || {
        let told = look(rds, global).await;
        let writes = told.writer().is_some_and(|writer| writer.arn == arn);
        if writes && told.moving.is_none() { Ok(told) } else { Err(format!("{told:?}")) }
    })
    .await
}

async fn follows<D: GlobalClusters>(rds: &D, global: &GlobalId, arn: &str) {
    eventually("a secondary that follows", async || {
        let told = look(rds, global).await;
        if told.member(arn).is_some_and(|member| member.follows()) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}
