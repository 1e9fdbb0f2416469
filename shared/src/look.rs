//! Looking at the standby, by those who would recover it: every read that the readiness check needs.
//!
//! ```text
//! monthly-drill    asks: the item `look` in the journal, and a progress notice that wakes everybody
//! scale-up         `sight#scale-up`          services, groups
//! promote-replica  `sight#promote-replica`   replicas, Aurora's clusters, and their lag
//! rotate-secret    `sight#rotate-secret`     secrets
//! switch-traffic   `sight#switch-traffic`    STOP, users' name
//! monthly-drill    reads them, looks who listens, judges
//! ```
//!
//! So a look shows more than the state of things: that the notice arrives, that each function starts, and that its own role
//! reaches what the plan names. Nobody else needs the right to read it all. Only the journal is written, and neither the
//! primary Region nor us-east-1 is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::decide::lag::window;
use crate::decide::readiness::Things;
use crate::nudge::View;
use crate::plan::Plan;
use crate::ports::{
    Audience, CallError, Cluster, ClusterLag, Compute, Database, Described, Fetched, Found, GlobalCluster, GlobalClusters, GlobalId, GroupName,
    GroupState, Instance, LagSample, Proxy, ProxyId, Quota, ReplicaId, Resolved, Secrets, ServiceName, ServiceState, Setback, StandbyCluster,
    Subscriber, Topic, Traffic,
};

/// Who answers.
pub const LOOKERS: [&str; 4] = ["scale-up", "promote-replica", "rotate-secret", "switch-traffic"];

/// How long an answer is waited for. A notice that is lost costs no answer: the tick wakes each function once a minute.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(75);

/// Who asked has judged by now, or ended before: a tick judges in its place.
const LEFT: SignedDuration = SignedDuration::from_secs(90);

/// Answers this old say nothing of now.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(10);

/// Somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub asked_at: Timestamp,
}

impl Question {
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        now.duration_since(self.asked_at) > FORGOTTEN
    }

    pub fn is_left(&self, now: Timestamp) -> bool {
        now.duration_since(self.asked_at) > LEFT && !self.is_forgotten(now)
    }

    /// No answer is waited for any longer.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.asked_at) >= PATIENCE
    }
}

/// What one function saw, and which question it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answered {
    pub asked_at: Timestamp,
    #[serde(flatten)]
    pub sight: Sight,
}

/// What one function saw with its own role.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    Compute(ComputeSight),
    Databases(DatabaseSight),
    Secrets(SecretSight),
    Traffic(TrafficSight),
}

/// A read that failed is kept: it is a finding, too.
pub type Read<N, S> = BTreeMap<N, Result<S, Arc<CallError>>>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ComputeSight {
    #[serde(with = "read")]
    pub services: Found<ServiceName, ServiceState>,
    #[serde(with = "read")]
    pub groups: Found<GroupName, GroupState>,
    /// Of each cluster in which the plan wants a strategy.
    #[serde(with = "read")]
    pub providers: Found<String, BTreeSet<String>>,
    /// Why each group's last launch failed, where it did.
    #[serde(with = "read")]
    pub launches: Read<GroupName, Option<Setback>>,
}

/// By the plan's name of the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseSight {
    #[serde(with = "read")]
    pub replicas: Found<String, Instance>,
    #[serde(with = "read")]
    pub lags: Read<String, Vec<LagSample>>,
    /// The plan's proxies, by the plan's name of the database.
    #[serde(with = "read", default)]
    pub proxies: Found<String, Proxy>,
    #[serde(default)]
    pub aurora: ClusterSight,
    /// RDS's own, where the plan has a database.
    #[serde(with = "shared")]
    pub quotas: Arc<Result<Vec<Quota>, CallError>>,
}

/// Aurora's global databases, by the plan's name of the database.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ClusterSight {
    #[serde(with = "read")]
    pub globals: Found<String, GlobalCluster>,
    /// In the standby Region.
    #[serde(with = "read")]
    pub clusters: Found<String, Cluster>,
    #[serde(with = "read")]
    pub lags: Read<String, ClusterLag>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SecretSight {
    #[serde(with = "read")]
    pub secrets: Found<String, Described>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrafficSight {
    /// The STOP object, asked for without credentials.
    pub public: Fetched,
    #[serde(with = "shared")]
    pub stop: Arc<Result<bool, CallError>>,
    /// What users' name and the standby's stand for.
    #[serde(with = "shared")]
    pub record: Arc<Result<Resolved, CallError>>,
    #[serde(with = "shared")]
    pub standby: Arc<Result<Resolved, CallError>>,
}

/// The question that `function` has not yet answered: nobody looks while a run is open, which shows it, or while the standby
/// serves, and there is no other.
pub fn unanswered(view: &View, function: &str) -> Option<Question> {
    let question = view.snapshot.look.filter(|question| !question.is_forgotten(view.now))?;
    let answered = view.snapshot.sights.get(function).and_then(|body| Question::deserialize(body).ok());
    (view.run().is_none() && !view.standby_serves() && answered != Some(question)).then_some(question)
}

pub async fn compute<C: Compute>(plan: &Plan, compute: &C) -> ComputeSight {
    let launches = join_all(plan.groups.iter().map(async |group| {
        let name = GroupName(group.name.clone());
        let launch = compute.failed_launch(&name).await.map_err(Arc::new);
        (name, launch)
    }));
    let (sight, launches) = tokio::join!(Box::pin(resources(plan, compute)), Box::pin(launches));
    ComputeSight { launches: launches.into_iter().collect(), ..sight }
}

async fn resources<C: Compute>(plan: &Plan, compute: &C) -> ComputeSight {
    let services: Vec<ServiceName> = plan.services.iter().map(ServiceName::of).collect();
    let groups: Vec<GroupName> = plan.groups.iter().map(|group| GroupName(group.name.clone())).collect();
    let with_strategy = plan.services.iter().filter(|service| !service.capacity_providers.is_empty());
    let clusters: BTreeSet<&String> = with_strategy.map(|service| &service.cluster).collect();
    let providers = join_all(clusters.into_iter().map(async |cluster| {
        let found = compute.capacity_providers(cluster).await;
        (cluster.clone(), found.map_err(Arc::new))
    }));
    // Boxed: side by side the futures nest deeper than the compiler follows.
    let (services, groups, providers) = tokio::join!(Box::pin(compute.services(&services)), Box::pin(compute.groups(&groups)), Box::pin(providers));
    ComputeSight { services, groups, providers: providers.into_iter().collect(), launches: BTreeMap::new() }
}

pub async fn databases<D: Database + GlobalClusters>(plan: &Plan, database: &D, now: Timestamp) -> DatabaseSight {
    let (from, to) = window(now, now);
    let lags = join_all(plan.databases.iter().filter(|held| !held.is_global()).map(async |held| {
        let samples = database.lag_samples(&ReplicaId::of(held), from, to).await;
        (held.name.clone(), samples.map_err(Arc::new))
    }));
    let quotas = async { if plan.databases.is_empty() { Ok(Vec::new()) } else { database.quotas().await } };
    let (replicas, proxies) = (replicas(plan, database), proxies(plan, database));
    let (clusters, behind) = (clusters(plan, database), cluster_lags(plan, database, now));
    let (replicas, lags, proxies, quotas) = tokio::join!(Box::pin(replicas), Box::pin(lags), Box::pin(proxies), Box::pin(quotas));
    let (aurora, behind) = tokio::join!(Box::pin(clusters), Box::pin(behind));
    DatabaseSight { replicas, lags: lags.into_iter().collect(), proxies, aurora: ClusterSight { lags: behind, ..aurora }, quotas: Arc::new(quotas) }
}

/// The global clusters and the standby's, without their lag.
async fn clusters<D: GlobalClusters>(plan: &Plan, port: &D) -> ClusterSight {
    let looks = plan.databases.iter().filter(|held| held.is_global()).map(async |held| {
        let (global, cluster) = (GlobalId::of(plan, held), StandbyCluster::of(plan, held));
        let (global, cluster) = tokio::join!(port.global_cluster(&global), port.cluster(&cluster));
        (held.name.clone(), global.map_err(Arc::new), cluster.map_err(Arc::new))
    });
    let mut seen = ClusterSight::default();
    for (name, global, cluster) in join_all(looks).await {
        seen.globals.insert(name.clone(), global);
        seen.clusters.insert(name, cluster);
    }
    seen
}

async fn cluster_lags<D: GlobalClusters>(plan: &Plan, port: &D, now: Timestamp) -> Read<String, ClusterLag> {
    let (from, to) = window(now, now);
    let lags = plan.databases.iter().filter(|held| held.is_global()).map(async |held| {
        let lag = port.cluster_lag(&StandbyCluster::of(plan, held), from, to).await;
        (held.name.clone(), lag.map_err(Arc::new))
    });
    join_all(lags).await.into_iter().collect()
}

async fn proxies<D: Database>(plan: &Plan, database: &D) -> Found<String, Proxy> {
    let proxies = plan.databases.iter().filter_map(|held| Some((&held.name, ProxyId::of(held)?)));
    let looks = proxies.map(async |(name, proxy)| (name.clone(), database.proxy(&proxy).await.map_err(Arc::new)));
    join_all(looks).await.into_iter().collect()
}

async fn replicas<D: Database>(plan: &Plan, database: &D) -> Found<String, Instance> {
    let replicas = plan.databases.iter().filter(|held| !held.is_global()).map(async |held| {
        let found = database.replica(&ReplicaId::of(held)).await;
        (held.name.clone(), found.map_err(Arc::new))
    });
    join_all(replicas).await.into_iter().collect()
}

pub async fn secrets<S: Secrets>(plan: &Plan, secrets: &S) -> SecretSight {
    let described = plan.secrets.iter().map(async |secret| {
        let found = secrets.describe(&secret.name).await;
        (secret.name.clone(), found.map_err(Arc::new))
    });
    SecretSight { secrets: join_all(described).await.into_iter().collect() }
}

pub async fn traffic<T: Traffic>(plan: &Plan, traffic: &T) -> TrafficSight {
    let names = &plan.traffic;
    let (public, stop) = (traffic.stop_as_checkers_see_it(names), traffic.stop_is_present(names));
    let (record, standby) = (traffic.resolve(&names.record), traffic.resolve(&names.standby));
    let (public, stop, record, standby) = tokio::join!(Box::pin(public), Box::pin(stop), Box::pin(record), Box::pin(standby));
    TrafficSight { public, stop: Arc::new(stop), record: Arc::new(record), standby: Arc::new(standby) }
}

/// Who is subscribed to what.
pub async fn audience<A: Audience>(audience: &A) -> Read<Topic, Vec<Subscriber>> {
    let asked = Topic::ALL.map(async |topic| (topic, audience.audience(topic).await.map_err(Arc::new)));
    join_all(asked).await.into_iter().collect()
}

/// What the plan names, as it stands: what `relight plan put` looks at before a plan is in force.
pub async fn things<C: Compute, D: Database + GlobalClusters, S: Secrets, T: Traffic>(
    plan: &Plan,
    compute: &C,
    database: &D,
    held: &S,
    traffic: &T,
) -> Things {
    let stop = traffic.stop_as_checkers_see_it(&plan.traffic);
    let (replicas, proxies) = (replicas(plan, database), proxies(plan, database));
    let (compute, replicas, proxies, secrets, stop) =
        tokio::join!(Box::pin(resources(plan, compute)), Box::pin(replicas), Box::pin(proxies), Box::pin(secrets(plan, held)), Box::pin(stop));
    Things { compute, replicas, proxies, aurora: clusters(plan, database).await, secrets, stop }
}

/// As a list of pairs: a name of two parts is no key in JSON.
mod read {
    use serde::{Deserializer, Serializer};

    use super::*;

    pub(super) fn serialize<N: Serialize, S: Serialize, Z: Serializer>(read: &Read<N, S>, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(read.iter().map(|(name, read)| (name, read.as_ref().map_err(Arc::as_ref))))
    }

    pub(super) fn deserialize<'de, N: Deserialize<'de> + Ord, S: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Read<N, S>, D::Error> {
        let pairs: Vec<(N, Result<S, CallError>)> = Vec::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|(name, read)| (name, read.map_err(Arc::new))).collect())
    }
}

/// What is shared while it is judged.
mod shared {
    use serde::{Deserializer, Serializer};

    use super::*;

    pub(super) fn serialize<T: Serialize, Z: Serializer>(value: &Arc<T>, serializer: Z) -> Result<Z::Ok, Z::Error> {
        value.serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ports::Why;

    #[test]
    fn what_one_function_saw_another_reads_as_it_was_seen_errors_and_all() {
        let web = ServiceName { cluster: "shop".to_owned(), name: "web".to_owned() };
        let denied = || Arc::new(CallError::new("ecs:DescribeServices", Why::Denied("AccessDenied: no".to_owned())));
        let broken = Arc::new(CallError::new("autoscaling:DescribeAutoScalingGroups", Why::Other("odd".to_owned(), Some("its source".into()))));
        let compute = ComputeSight {
            services: [(web, Err(denied()))].into(),
            groups: [(GroupName("workers".to_owned()), Err(broken))].into(),
            providers: [("shop".to_owned(), Ok(Some(["FARGATE".to_owned()].into())))].into(),
            launches: [(GroupName("workers".to_owned()), Ok(None))].into(),
        };
        let traffic = TrafficSight {
            public: Fetched::Silent("time-out".to_owned()),
            stop: Arc::new(Ok(false)),
            record: Arc::new(Err(CallError::new("DNS", Why::NotFound("NXDOMAIN".to_owned())))),
            standby: Arc::new(Ok(Resolved { names: vec!["a".to_owned()], addresses: ["192.0.2.1".parse().unwrap()].into() })),
        };
        let samples = vec![LagSample { at: "2026-01-05T00:05:00Z".parse().unwrap(), seconds: Some(-1.0) }];
        let replica = Instance { status: "available".to_owned(), ..Instance::default() };
        let databases = DatabaseSight {
            replicas: [("orders".to_owned(), Ok(Some(replica))), ("bills".to_owned(), Ok(None))].into(),
            lags: [("orders".to_owned(), Ok(samples.clone()))].into(),
            proxies: [("orders".to_owned(), Ok(Some(Proxy { status: "available".to_owned(), ..Proxy::default() })))].into(),
            aurora: ClusterSight {
                globals: [("bills".to_owned(), Ok(Some(GlobalCluster { status: "available".to_owned(), ..GlobalCluster::default() })))].into(),
                clusters: [("bills".to_owned(), Err(denied()))].into(),
                lags: [("bills".to_owned(), Ok(ClusterLag { metric: "AWS/RDS AuroraGlobalDBRPOLag".to_owned(), samples }))].into(),
            },
            quotas: Arc::new(Ok(vec![Quota { name: "DBInstances".to_owned(), used: 2, max: 40 }])),
        };
        let secrets = SecretSight { secrets: [("shop/app".to_owned(), Ok(Some(Described::default())))].into() };
        let asked_at = "2026-01-05T00:05:00Z".parse().unwrap();
        for sight in [Sight::Compute(compute), Sight::Traffic(traffic), Sight::Databases(databases), Sight::Secrets(secrets)] {
            let answered = Answered { asked_at, sight };
            let body = serde_json::to_value(&answered).unwrap();
            let again = Answered::deserialize(&body).unwrap();
            // The source of an error stays behind; its sentence does not.
            let said = |answered: &Answered| format!("{answered:?}").replace("Some(\"its source\")", "None");
            assert_eq!(said(&again), said(&answered), "{body}");
            assert_eq!(Question::deserialize(&body).unwrap(), Question { asked_at });
        }
    }

    #[test]
    fn an_answer_to_an_older_question_is_none() {
        let (now, before) = ("2026-01-05T00:35:00Z", "2026-01-05T00:05:00Z");
        let mut situation = crate::situations::Situation::peace();
        situation.journal.look = Some(Question { asked_at: now.parse().unwrap() });
        situation.journal.sights.insert("scale-up".to_owned(), json!({ "asked_at": before, "compute": {} }));
        let view = View { plan: situation.plan, snapshot: situation.journal, now: now.parse().unwrap() };
        assert!(unanswered(&view, "scale-up").is_some());
        let mut answered = view.clone();
        answered.snapshot.sights.insert("scale-up".to_owned(), json!({ "asked_at": now, "compute": {} }));
        assert_eq!(unanswered(&answered, "scale-up"), None);
        let later = View { now: "2026-01-05T00:46:00Z".parse().unwrap(), ..view };
        assert_eq!(unanswered(&later, "scale-up"), None, "who asked has gone long since");
    }
}
