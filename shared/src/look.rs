//! Looking at the standby: every read that the readiness check needs, side by side. It changes nothing, and asks neither the
//! primary Region nor us-east-1.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;

use crate::decide::lag::window;
use crate::decide::readiness::{Seen, Things};
use crate::plan::Plan;
use crate::ports::{Audience, Compute, Database, GroupName, ReplicaId, Secrets, ServiceName, Topic, Traffic};

/// Whoever can look. One type parameter in place of five.
#[allow(async_fn_in_trait)] // Static dispatch on one thread: nobody needs the future to be Send.
pub trait Look {
    async fn look(&self, plan: &Plan, now: Timestamp) -> Seen;
}

/// The standby Region by its ports.
#[derive(Debug, Clone)]
pub struct Standby<C, D, S, T, A> {
    pub compute: C,
    pub database: D,
    pub secrets: S,
    pub traffic: T,
    pub audience: A,
}

impl<C: Compute, D: Database, S: Secrets, T: Traffic, A: Audience> Look for Standby<C, D, S, T, A> {
    async fn look(&self, plan: &Plan, now: Timestamp) -> Seen {
        let launches = join_all(plan.groups.iter().map(async |group| {
            let name = GroupName(group.name.clone());
            let launch = self.compute.failed_launch(&name).await.map_err(Arc::new);
            (name, launch)
        }));
        let (from, to) = window(now, now);
        let lags = join_all(plan.databases.iter().map(async |database| {
            let samples = self.database.lag_samples(&ReplicaId::of(database), from, to).await;
            (database.name.clone(), samples.map_err(Arc::new))
        }));
        let audience = join_all(Topic::ALL.map(async |topic| (topic, self.audience.audience(topic).await.map_err(Arc::new))));
        // Boxed: side by side the futures nest deeper than the compiler follows.
        let things = Box::pin(things(plan, &self.compute, &self.database, &self.secrets, &self.traffic));
        let (stop, names) = (self.traffic.stop_is_present(&plan.traffic), &plan.traffic);
        let (record, standby) = (self.traffic.resolve(&names.record), self.traffic.resolve(&names.standby));
        let (things, launches, lags, audience, stop, record, standby) =
            tokio::join!(things, Box::pin(launches), Box::pin(lags), Box::pin(audience), Box::pin(stop), Box::pin(record), Box::pin(standby));
        Seen {
            things,
            launches: launches.into_iter().collect(),
            lags: lags.into_iter().collect(),
            stop: stop.map_err(Arc::new),
            record: Arc::new(record),
            standby: Arc::new(standby),
            audience: audience.into_iter().collect(),
        }
    }
}

/// What the plan names, as it stands: the part that `relight plan put` looks at, too.
pub async fn things<C: Compute, D: Database, S: Secrets, T: Traffic>(plan: &Plan, compute: &C, database: &D, secrets: &S, traffic: &T) -> Things {
    let services: Vec<ServiceName> = plan.services.iter().map(ServiceName::of).collect();
    let groups: Vec<GroupName> = plan.groups.iter().map(|group| GroupName(group.name.clone())).collect();
    let with_strategy = plan.services.iter().filter(|service| !service.capacity_providers.is_empty());
    let clusters: BTreeSet<&String> = with_strategy.map(|service| &service.cluster).collect();
    let providers = join_all(clusters.into_iter().map(async |cluster| {
        let found = compute.capacity_providers(cluster).await;
        (cluster.clone(), found.map_err(Arc::new))
    }));
    let replicas = join_all(plan.databases.iter().map(async |held| {
        let found = database.replica(&ReplicaId::of(held)).await;
        (held.name.clone(), found.map_err(Arc::new))
    }));
    let described = join_all(plan.secrets.iter().map(async |secret| {
        let found = secrets.describe(&secret.name).await;
        (secret.name.clone(), found.map_err(Arc::new))
    }));
    let (services, groups) = (compute.services(&services), compute.groups(&groups));
    let stop = traffic.stop_as_checkers_see_it(&plan.traffic);
    let (services, groups, providers, replicas, secrets, stop) =
        tokio::join!(Box::pin(services), Box::pin(groups), Box::pin(providers), Box::pin(replicas), Box::pin(described), Box::pin(stop));
    Things {
        services,
        groups,
        providers: providers.into_iter().collect(),
        replicas: replicas.into_iter().collect(),
        secrets: secrets.into_iter().collect(),
        stop,
    }
}
