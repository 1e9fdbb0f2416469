//! Peace: each half hour every secret logs in at the replica, so that a failover does not find out first that a security
//! group, a password or a CA is not what the plan believes. What it saw stands in the journal, for the readiness check.

use futures_util::future::{join, join_all};
use relight::decide::rotation::replica::to_beat;
use relight::nudge::{Desk, Next, View, WorkError, put};
use relight::plan::{self, Secret};
use relight::ports::{Database, EntryKind, GlobalClusters, Journal, Login, Readable, Reports, Secrets, Stage, StandbyCluster};
use relight::state::{Endpoint, Key, LoginSeen};

use crate::RotateSecret;

impl<S: Secrets, L: Login, D: Database + GlobalClusters, R: Reports> RotateSecret<S, L, D, R> {
    /// One login of each secret, and a look for the last beat of each heartbeat, side by side, and one write.
    pub(crate) async fn log_in<J: Journal>(&self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let beats = to_beat(&view.plan, &view.snapshot);
        let heard = join_all(beats.iter().map(async |(database, secret)| (*database, self.hear(view, database, secret).await)));
        let secrets = view.plan.secrets.iter();
        let seen = join_all(secrets.map(async |secret| {
            let seen = self.try_at_replica(view, secret).await;
            let (ok, said) = match seen {
                Ok(said) => (true, said),
                Err(said) => (false, said),
            };
            (secret, LoginSeen { at: view.now, ok, said })
        }));
        let (seen, heard) = join(seen, heard).await;
        let mut memory = view.snapshot.memory.clone();
        // A secret that left the plan leaves the memory too.
        memory.logins.retain(|name, _| view.plan.secrets.iter().any(|secret| secret.name == *name));
        for (secret, seen) in seen {
            if !seen.ok {
                desk.line(EntryKind::Failure, &secret.id().to_string(), seen.said.clone());
            }
            memory.logins.insert(secret.name.clone(), seen);
        }
        memory.heartbeats = heard.into_iter().map(|(database, heard)| (database.name.clone(), heard)).collect();
        // Somebody else who wrote the memory at this moment costs this round's word; the next tick tries again.
        desk.write(vec![put(view, Key::Memory, &memory)?], Vec::new()).await?;
        Ok(Next::Idle)
    }

    async fn try_at_replica(&self, view: &View, secret: &Secret) -> Result<String, String> {
        let database = view.plan.database(&secret.database).ok_or_else(|| format!("the plan has no database {}", secret.database))?;
        let endpoint = match database.is_global() {
            false => self.replica_endpoint(database).await?,
            true => match self.at_cluster(view, database).await? {
                Some(endpoint) => endpoint,
                None => return Ok(format!("not tried: {} has no instance, and nobody can log in to storage alone", database.replica)),
            },
        };
        let attempt = async |value: &relight::secret::SecretValue| {
            value.must_be_of(database.engine)?;
            self.login.login(value).await
        };
        let (stage, _, seen) = self.first_that_works(&secret.name, &endpoint, attempt).await.map_err(|error| error.to_string())?;
        let how = if seen.encrypted { "over TLS" } else { "in plaintext" };
        Ok(match stage {
            Stage::Current => format!("logs in at {} {how}", database.replica),
            // In the middle of a rotation this is as it should be; a failover would take the version that works.
            other => format!("logs in at {} {how} with {} only", database.replica, other.label()),
        })
    }

    /// A secondary of Aurora's is read at an address of its own; `None`: it has no instance.
    async fn at_cluster(&self, view: &View, database: &plan::Database) -> Result<Option<Endpoint>, String> {
        match self.database.readable(&StandbyCluster::of(&view.plan, database)).await.map_err(|error| error.to_string())? {
            Readable::At(endpoint) => Ok(Some(endpoint)),
            Readable::Headless => Ok(None),
            Readable::NoCluster => Err(format!("there is no cluster {}; correct the plan, or add it to the global cluster", database.replica)),
        }
    }
}
