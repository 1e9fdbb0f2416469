//! A drill: each disposable copy is compared with the replica that it was made of, before it is promoted. Both are only read, in
//! sessions that are read-only, with the login that applications have.

use futures_util::future::join_all;
use relight::decide::rotation::compare::{Due, NotCompared, Verdict, due, verdict};
use relight::decide::rotation::home::{admin_of, is_own};
use relight::nudge::{Desk, Next, View, WorkError};
use relight::plan::Database as PlanDatabase;
use relight::ports::{Database, EntryKind, Journal, Login, LoginError, ReplicaId, Reports, Secrets, Table, Written};
use relight::state::{CopyComparison, Part};

use crate::RotateSecret;
use crate::home::left_out;
use crate::logins::NoLogin;

/// What one look came to.
struct Look {
    verdict: Result<Verdict, NotCompared>,
    left_out: Vec<String>,
}

impl<S: Secrets, L: Login, D: Database, R: Reports> RotateSecret<S, L, D, R> {
    pub(crate) async fn compare_copies<J: Journal>(&self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let databases = view.plan.databases.iter().filter_map(|database| Some((database, due(&view.plan, &view.snapshot, database, view.now)?)));
        let steps = join_all(databases.map(async |(database, due)| (database, self.compare_copy(view, desk, database, due).await))).await;

        let mut progress = view.snapshot.progress.rotation.clone();
        let mut lines = Vec::new();
        for (database, step) in steps {
            let Some(step) = step else { continue };
            let kind = match (step.equal, step.ended_at) {
                (Some(true), _) => EntryKind::Reached,
                (Some(false), _) | (None, Some(_)) => EntryKind::Refusal,
                (None, None) => EntryKind::Waiting,
            };
            let before = progress.rehearsal.compared.insert(database.name.clone(), step.clone()).unwrap_or_default();
            if !step.left_out.is_empty() && step.left_out != before.left_out {
                lines.extend(desk.line(EntryKind::Refusal, &database.id().0, format!("not compared: {}", step.left_out.join("; "))));
            }
            lines.extend(desk.line(kind, &database.id().0, &step.said));
        }
        if progress == view.snapshot.progress.rotation {
            return Ok(Next::Poll);
        }
        let ended = |progress: &relight::state::RotationProgress| progress.rehearsal.compared.values().filter(|seen| seen.ended_at.is_some()).count();
        let more = ended(&progress) > ended(&view.snapshot.progress.rotation);
        if desk.write(vec![desk.progress(view, Part::Rotation, &progress)?], lines).await? == Written::Done && more {
            desk.tell("a copy is compared with its replica");
        }
        Ok(Next::Again)
    }

    /// `None`: not now.
    async fn compare_copy<J: Journal>(&self, view: &View, desk: &Desk<'_, J>, database: &PlanDatabase, due: Due) -> Option<CopyComparison> {
        let before = view.snapshot.progress.rotation.rehearsal.compared.get(&database.name).cloned().unwrap_or_default();
        let look = match due {
            Due::Later => return None,
            Due::GiveUp(why) => {
                return Some(CopyComparison { said: why.to_string(), ended_at: Some(desk.now()), ..before });
            }
            Due::Compare => self.look_at_both(view, database).await,
        };
        let (equal, said, ended) = match look.verdict {
            Ok(Verdict { equal, said }) => (equal, said, equal.is_some()),
            Err(why @ NotCompared::Unsettled { .. }) => (None, why.to_string(), false),
            Err(why) => (None, why.to_string(), true),
        };
        Some(CopyComparison { at: desk.now(), equal, said, left_out: look.left_out, ended_at: ended.then(|| desk.now()) })
    }

    async fn look_at_both(&self, view: &View, database: &PlanDatabase) -> Look {
        let mut named = Vec::new();
        let verdict = self.try_to_compare(view, database, &mut named).await;
        let replica = || database.replica.clone();
        let verdict = match verdict {
            Ok(Some(compared)) => Ok(compared),
            Ok(None) => Err(NotCompared::NoTable { replica: replica(), why: why_none(&named) }),
            Err(error) if passes(&error) => Err(NotCompared::Unsettled { replica: replica(), why: error.to_string() }),
            Err(error) => Err(NotCompared::Unreadable { replica: replica(), why: error.to_string() }),
        };
        Look { verdict, left_out: named }
    }

    /// `None`: there is no table to compare.
    async fn try_to_compare(&self, view: &View, database: &PlanDatabase, named: &mut Vec<String>) -> Result<Option<Verdict>, NoLogin> {
        let Some(admin) = admin_of(&view.plan, database) else { return Err(NoLogin::Empty) };
        let copy = view.snapshot.progress.promotion.copies.get(&database.name).and_then(|copy| copy.endpoint.as_ref());
        let replica = self.database.replica(&ReplicaId::of(database)).await?.and_then(|replica| replica.endpoint);
        let (Some(replica), Some(copy)) = (replica, copy) else { return Err(NoLogin::NoEndpoint) };
        let found = async |value: &relight::secret::SecretValue| self.login.tables(value, &database.compare).await;
        let (_, here, found) = self.first_that_works(&admin.name, &replica, found).await?;
        *named = left_out(&found.left_out);
        let tables: Vec<Table> = found.compared.into_iter().filter(|table| !is_own(table)).collect();
        if tables.is_empty() {
            return Ok(None);
        }
        let compared = self.login.compare(&here, &here.at(copy), &tables).await?;
        Ok(Some(verdict(database, &compared)))
    }
}

fn why_none(left_out: &[String]) -> String {
    if left_out.is_empty() { "the database has none".to_owned() } else { left_out.join("; ") }
}

fn passes(error: &NoLogin) -> bool {
    match error {
        NoLogin::Call(error) => error.passes(),
        NoLogin::Login(error) => LoginError::passes(error),
        NoLogin::NoEndpoint => true,
        NoLogin::NoVersion { .. } | NoLogin::Empty => false,
    }
}
