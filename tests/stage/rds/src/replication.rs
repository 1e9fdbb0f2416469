//! What a replica's own server says of its replication: the one source of `StatusInfos` and of the metric `ReplicaLag`.

use crate::Inner;
use crate::engine::Engine;
use crate::mariadb_replication;
use crate::server::Server;
use crate::state::{Key, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const QUESTION: &str = "SELECT pg_is_in_recovery(), \
     EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'), \
     extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())";

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replication {
    pub(crate) in_recovery: bool,
    pub(crate) streaming: bool,
    /// PostgreSQL: seconds since the last replayed transaction; none before the first one. MariaDB: `Seconds_Behind_Master`, how old what
    /// it applies is, and 0 where it has applied all that arrived.
    pub(crate) seconds_behind: Option<f64>,
}

impl Replication {
    /// None: the server does not answer.
    pub(crate) async fn of(server: &Server) -> Option<Replication> {
        if let Engine::MariaDb(_) = server.engine() {
            return mariadb_replication::replication_of(server).await;
        }
        let rows = server.sql("ask for the state of replication", QUESTION).await.ok()?;
        let row = rows.first()?;
        Some(Replication {
            in_recovery: row.get(0) == Some("t"),
            streaming: row.get(1) == Some("t"),
            seconds_behind: row.get(2).and_then(|seconds| seconds.parse().ok()),
        })
    }

    /// RDS for PostgreSQL does not say 0 when the replica has everything: the time goes on while the source is idle.
    /// -1 is AWS's word for "inactive or unknown".
    pub(crate) fn lag(self) -> f64 {
        match self.seconds_behind {
            Some(seconds) if self.streaming => seconds.max(0.0),
            _ => -1.0,
        }
    }
}

impl Inner {
    pub(crate) async fn replica_lag(&self) -> Vec<(String, String, f64)> {
        let replicas: Vec<(Key, Arc<Server>)> = {
            let state = self.lock();
            let dark = self.dark.borrow();
            let published = state.instances.values().filter(|instance| {
                let record = &instance.record;
                record.source.is_some() && !record.cluster && record.status != Status::Creating && !dark.contains(&record.key.region)
            });
            published.map(|instance| (instance.record.key.clone(), instance.server.clone())).collect()
        };
        let mut samples = Vec::new();
        for (key, server) in replicas {
            // A server that does not answer publishes nothing, one that was promoted has no lag.
            if let Some(replication) = Replication::of(&server).await.filter(|replication| replication.in_recovery) {
                samples.push((key.region, key.id, replication.lag()));
            }
        }
        samples
    }

    /// A transaction without content on the writer above, as RDS makes them on an idle source: it bounds how far the lag of
    /// an idle replica grows. An idle replica of MariaDB knows that it is not behind.
    pub(crate) async fn heartbeat(&self, key: &Key) {
        let writer = {
            let state = self.lock();
            let writer = state.writer_above(key);
            state.instances.get(&writer).map(|instance| instance.server.clone())
        };
        if let Some(writer) = writer.filter(|writer| matches!(writer.engine(), Engine::Postgres(_))) {
            // A writer that is down has no heartbeat, and that is what its replicas should see.
            let _ = writer.sql("make a heartbeat", "SELECT txid_current()").await;
        }
    }

    pub(crate) async fn heartbeats(&self) {
        loop {
            sleep(self.timing.heartbeat).await;
            let replicas: Vec<Key> = {
                let state = self.lock();
                state.instances.values().filter(|one| one.record.source.is_some() && !one.record.cluster).map(|one| one.record.key.clone()).collect()
            };
            for replica in replicas {
                self.heartbeat(&replica).await;
            }
        }
    }

    /// Returns when the replica streams, or after a while: its link may be cut.
    pub(crate) async fn wait_until_streaming(&self, server: &Server) {
        let limit = Instant::now() + Duration::from_secs(3);
        while Instant::now() < limit && !Replication::of(server).await.is_some_and(|replication| replication.streaming) {
            sleep(Duration::from_millis(50)).await;
        }
    }
}
