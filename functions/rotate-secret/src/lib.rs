//! rotate-secret: everything that logs in. It proves the promoted database writable, repoints its secrets, rotates them,
//! and is itself the rotation function that Secrets Manager calls back.
//!
//! ```text
//! nudge     Failover  Activating   run      proven ─► stands alone, repointed ─► rotated ─► tested
//!           Drill     Activating   run      the same, on the copy and on disposable secrets
//!           Confirmed              replica  each replica says how far it came
//!           Failback               home     rows left behind, lag, comparison ─► writes closed ─► home proven and written
//!           peace, each 30 min     peace    each secret logs in at the replica
//!           peace, drill           replica  each minute the heartbeat's row through the primary, where the plan has one
//! rotation  createSecret ─► setSecret ─► testSecret ─► finishSecret     steps, outside the loop
//! ```
//! A rotation step bypasses the loop: it is asked by Secrets Manager, for secrets in and out of the plan, while another
//! invocation of this function polls for its end with the lease in its hands.

mod act;
mod compare;
mod home;
mod logins;
mod peace;
mod replica;
mod run;
pub mod steps;

use std::cell::RefCell;

use futures_util::future::join_all;
use lambda_runtime::LambdaEvent;
use relight::aws::start::{Environment, Failed};
use relight::decide::rotation::compare::unfinished as comparing;
use relight::decide::rotation::home::unfinished as going_home;
use relight::decide::rotation::replica::{to_ask, to_beat};
use relight::decide::rotation::{login_due, unfinished};
use relight::event::{self, Trigger};
use relight::look::{self, Sight};
use relight::nudge::{Desk, Next, View, Work, WorkError};
use relight::ports::{Database, GlobalClusters, Journal, Login, Reports, Secrets};
use relight::say::Level;
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub struct RotateSecret<S, L, D, R> {
    secrets: S,
    login: L,
    /// For the replica's endpoint in peace; in a run the journal has it.
    database: D,
    /// For the rows that a failback finds left behind.
    reports: R,
    /// Heartbeats that this invocation owes, `(database, secret)`: written when all else is done, as the primary may not answer.
    beats: RefCell<Vec<(String, String)>>,
}

impl<S, L, D, R> RotateSecret<S, L, D, R> {
    pub fn new(secrets: S, login: L, database: D, reports: R) -> RotateSecret<S, L, D, R> {
        RotateSecret { secrets, login, database, reports, beats: RefCell::default() }
    }
}

impl<S: Secrets, L: Login, D: Database + GlobalClusters, R: Reports> Work for RotateSecret<S, L, D, R> {
    const NAME: &'static str = "rotate-secret";
    const LEASE: &'static str = "rotation";

    fn wanted(&self, view: &View) -> bool {
        // A rotation may outlast its run: Active needs the secrets repointed, not rotated.
        let at_work = unfinished(&view.plan, &view.snapshot, view.now);
        at_work
            || comparing(&view.plan, &view.snapshot, view.now)
            || going_home(&view.plan, &view.snapshot, view.now)
            || !to_ask(&view.plan, &view.snapshot, view.now).is_empty()
            || (view.run().is_none() && login_due(&view.plan, &view.snapshot.memory, view.now))
    }

    fn measure(&self, view: &View) {
        let due = to_beat(&view.plan, &view.snapshot);
        self.beats.replace(due.into_iter().map(|(database, secret)| (database.name.clone(), secret.to_owned())).collect());
    }

    async fn afterwards(&mut self) -> Vec<String> {
        let beats = self.beats.take();
        let beaten = join_all(beats.iter().map(async |(database, secret)| (database, self.beat(secret).await))).await;
        let failed = beaten.into_iter().filter_map(|(database, beaten)| Some((database, beaten.err()?)));
        failed.map(|(database, why)| format!("database/{database}: no heartbeat was written: {why}")).collect()
    }

    async fn look(&mut self, view: &View) -> Option<Sight> {
        Some(Sight::Secrets(look::secrets(&view.plan, &self.secrets).await))
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        // Boxed: side by side, over drivers of TLS and HTTP, the futures nest deeper than the compiler follows.
        if unfinished(&view.plan, &view.snapshot, view.now) {
            Box::pin(self.turn(view, desk)).await
        } else if comparing(&view.plan, &view.snapshot, view.now) {
            Box::pin(self.compare_copies(view, desk)).await
        } else if going_home(&view.plan, &view.snapshot, view.now) {
            Box::pin(self.go_home(view, desk)).await
        } else if view.run().is_some() {
            Box::pin(self.ask(view, desk)).await
        } else {
            Box::pin(self.log_in(view, desk)).await
        }
    }
}

/// Handles one event: a rotation step, or a nudge.
pub async fn handle<S: Secrets, L: Login, D: Database + GlobalClusters, R: Reports>(
    environment: &Environment,
    work: &Mutex<RotateSecret<S, L, D, R>>,
    event: LambdaEvent<Value>,
) -> Result<Value, Failed> {
    // One environment handles one event at a time; the lock is never contended.
    let mut work = work.lock().await;
    let Some(Trigger::Rotation(step)) = event::parse(&event.payload).triggers.into_iter().next() else {
        let answer = Box::pin(environment.nudge(&mut *work, &event)).await?;
        return serde_json::to_value(answer).map_err(|error| Failed { name: "Unwritable", said: error.to_string() });
    };
    let voice = environment.voice(RotateSecret::<S, L, D, R>::NAME, &event);
    match Box::pin(steps::take(&work.secrets, &work.login, &step)).await {
        Ok(said) => {
            voice.say(Level::Info, &said, None);
            Ok(json!({ "said": said }))
        }
        Err(error) => {
            voice.say(Level::Error, &error.to_string(), None);
            Err(Failed { name: error.name(), said: error.to_string() })
        }
    }
}
