//! Replicas, as rotate-secret meets them before anything is promoted: the heartbeat that is written through their primary, and how far
//! they came once that is down.

use futures_util::future::join_all;
use jiff::Timestamp;
use relight::decide::lag::STALE;
use relight::decide::rotation::home::admin_of;
use relight::decide::rotation::replica::to_ask;
use relight::nudge::{Desk, Next, View, WorkError};
use relight::plan;
use relight::ports::{Database, EntryKind, Journal, Login, Reached, ReplicaId, Reports, Secrets, Stage, Written};
use relight::secret::SecretValue;
use relight::state::{Endpoint, LoginSeen, Part, ReplicaWord};

use crate::RotateSecret;

impl<S: Secrets, L: Login, D: Database, R: Reports> RotateSecret<S, L, D, R> {
    /// Asks every replica that has not said yet how far it came, side by side, and records it in one write.
    pub(crate) async fn ask<J: Journal>(&self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let Some(run) = view.run() else { return Ok(Next::Idle) };
        let databases = to_ask(&view.plan, &view.snapshot, view.now);
        let answers = join_all(databases.iter().map(|database| self.reached(view, database))).await;
        let mut progress = view.snapshot.progress.rotation.clone();
        let (mut lines, mut failed) = (Vec::new(), false);
        for (database, answer) in databases.iter().zip(answers) {
            let about = database.id().0;
            let reached = match answer {
                Ok(reached) => {
                    lines.extend(desk.line(EntryKind::Reached, &about, said(&database.replica, &reached)));
                    Some(reached)
                }
                Err(why) => {
                    failed = true;
                    lines.extend(desk.line(EntryKind::Failure, &about, format!("{} does not say how far it came: {why}", database.replica)));
                    None
                }
            };
            let first_down = run.first_down.unwrap_or(run.opened_at);
            progress.replicas.insert(database.name.clone(), ReplicaWord { asked_at: desk.now(), first_down, reached });
        }
        if desk.write(vec![desk.progress(view, Part::Rotation, &progress)?], lines).await? == Written::Done {
            desk.tell("replicas asked how far they came");
        }
        Ok(if failed { Next::Poll } else { Next::Again })
    }

    /// With the admin's secret first: its user may see how the replica's connection stood.
    async fn reached(&self, view: &View, database: &plan::Database) -> Result<Reached, String> {
        let endpoint = self.replica_endpoint(database).await?;
        let admin = admin_of(&view.plan, database).map(|admin| admin.name.as_str());
        let mut secrets: Vec<&str> =
            view.plan.secrets.iter().filter(|secret| secret.database == database.name).map(|secret| secret.name.as_str()).collect();
        secrets.sort_by_key(|name| Some(*name) != admin);
        let mut failures = Vec::new();
        for secret in secrets {
            match self.first_that_works(secret, &endpoint, async |value| self.login.reached(value).await).await {
                Ok((_, _, reached)) => return Ok(reached),
                Err(error) => failures.push(format!("with {secret}: {error}")),
            }
        }
        Err(failures.join("; "))
    }

    pub(crate) async fn replica_endpoint(&self, database: &plan::Database) -> Result<Endpoint, String> {
        let replica = self.database.replica(&ReplicaId::of(database)).await.map_err(|error| error.to_string())?;
        replica.and_then(|replica| replica.endpoint).ok_or_else(|| {
            format!("the replica {} has no endpoint; correct the plan, or create it as a replica of {}", database.replica, database.primary)
        })
    }

    /// Writes the heartbeat's row through the primary, where the secret itself says that it is. What did not work, for the log.
    pub(crate) async fn beat(&self, secret: &str) -> Result<(), String> {
        let mut last = format!("no version of {secret} has a value; put the login that the database has");
        for stage in Stage::BY_LIKELIHOOD {
            let Some(value) = self.secrets.value(secret, stage).await.map_err(|error| error.to_string())? else { continue };
            match self.login.beat(&value).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_about_the_user() => last = error.to_string(),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(last)
    }

    /// Whether beats arrive at a replica, for the readiness check.
    pub(crate) async fn hear(&self, view: &View, database: &plan::Database, secret: &str) -> LoginSeen {
        let attempt = async |value: &SecretValue| self.login.reached(value).await;
        let heard = match self.replica_endpoint(database).await {
            Ok(endpoint) => self.first_that_works(secret, &endpoint, attempt).await.map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        let (ok, said) = match heard.map(|(_, _, reached)| reached.beat_at) {
            Ok(Some(at)) if view.now.duration_since(at) <= STALE => (true, format!("the last beat at {} is of {at}", database.replica)),
            Ok(last) => (false, unheard(&database.replica, last, secret)),
            Err(why) => (false, why),
        };
        LoginSeen { at: view.now, ok, said }
    }
}

fn said(replica: &str, reached: &Reached) -> String {
    let until = match reached.until() {
        Some((at, _)) => format!("every commit until {at}"),
        None => "it does not say of which time".to_owned(),
    };
    format!("{replica} itself: {until}{}", reached.of_log())
}

fn unheard(replica: &str, last: Option<Timestamp>, secret: &str) -> String {
    let last = last.map_or_else(|| "no beat ever arrived".to_owned(), |at| format!("the last beat that arrived is of {at}"));
    format!(
        "{last} at {replica}; look at rotate-secret's log for why {secret} cannot write it through the primary: a route and a security group that let it in, \
         a user that may create a table, and at the replication"
    )
}
