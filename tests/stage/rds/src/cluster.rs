//! What RDS knows of Aurora's clusters: global clusters, and the instances that a cluster has.
//!
//! In Aurora the storage is the cluster's, replicates itself to the other Region, and goes on without any instance. Here it is one real
//! PostgreSQL server a cluster, a secondary's streaming from the writer's: storage replication is modelled by PostgreSQL's own. The
//! cluster's instances are records alone; its address answers while one of them is available.
//!
//! AWS gives a cluster two names with one port. On one machine that is one address: the writer's and the readers' are the same, and a
//! secondary's answers as a replica does.

use crate::Inner;
use crate::describe::arn;
use crate::state::{Key, State, Status};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
pub(crate) struct Global {
    /// In the order in which they joined.
    pub(crate) members: Vec<Key>,
    pub(crate) writer: Option<Key>,
    pub(crate) moving: Option<Moving>,
    /// Old writers that a failover left, until they are rebuilt.
    pub(crate) resync: BTreeSet<Key>,
}

#[derive(Clone, Debug)]
pub(crate) struct Moving {
    pub(crate) from: Key,
    pub(crate) to: Key,
    pub(crate) losing: bool,
    /// The job has begun; until then it is `pending`.
    pub(crate) begun: bool,
}

impl Moving {
    pub(crate) fn status(&self) -> &'static str {
        match (self.begun, self.losing) {
            (false, _) => "pending",
            (true, true) => "failing-over",
            (true, false) => "switching-over",
        }
    }
}

/// An instance of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: Key,
    pub(crate) arn: String,
    pub(crate) resource: String,
    pub(crate) cluster: Key,
    pub(crate) class: String,
    pub(crate) engine_version: String,
    pub(crate) status: Status,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Member {
    pub(crate) fn new(inner: &Inner, key: &Key, cluster: &Key, class: String, tags: BTreeMap<String, String>) -> Member {
        Member {
            arn: arn(&inner.account, key, "db"),
            resource: format!("db-{}", uuid::Uuid::new_v4().simple().to_string().to_uppercase()),
            engine_version: inner.postgres.binaries.version().to_owned(),
            key: key.clone(),
            cluster: cluster.clone(),
            class,
            status: Status::Creating,
            tags,
        }
    }
}

impl State {
    /// What DescribeDBInstances lists of one Region, in the order of the names.
    pub(crate) fn told_as_instances(&self, region: &str) -> Vec<Key> {
        let instances = self.instances.iter().filter(|(_, instance)| !instance.record.cluster).map(|(key, _)| key);
        let all: BTreeSet<&Key> = instances.chain(self.members.keys()).filter(|key| key.region == region).collect();
        all.into_iter().cloned().collect()
    }

    pub(crate) fn members_of(&self, cluster: &Key) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |member| member.cluster == *cluster)
    }

    /// An old writer lets nobody in until it is rebuilt, nor one that is handing over.
    fn is_fenced(&self, cluster: &Key) -> bool {
        self.globals.values().any(|global| {
            let handing_over = global.moving.as_ref().is_some_and(|moving| moving.begun && !moving.losing && moving.from == *cluster);
            global.resync.contains(cluster) || handing_over
        })
    }

    /// Makes the address of each cluster follow its instances. Called after each change that one of them depends on.
    pub(crate) fn apply_clusters(&self) {
        for (key, instance) in self.instances.iter().filter(|(_, instance)| instance.record.cluster) {
            let live = self.members_of(key).any(|member| member.status == Status::Available) && !self.is_fenced(key);
            if let Some(endpoint) = self.endpoints.get(key) {
                endpoint.point(live.then(|| instance.server.phase()));
            }
        }
    }
}
