//! A failback: what it reads and writes in the databases of both Regions, and their secrets.
//!
//! Every database and every secret takes one step a turn, side by side, and all of it is recorded in one write. That writes may
//! be closed is recorded in a write of its own before the first is.

use futures_util::future::{join, join_all};
use relight::decide::rotation::gate::{CLOSED, group_of, open_value, usable};
use relight::decide::rotation::home::{DatabaseMove, SecretMove, admin_of, database_due, is_own, is_urgent, secret_due, tells};
use relight::decide::rotation::{Making, token};
use relight::nudge::{Desk, Next, View, WorkError, put};
use relight::plan::{Database as PlanDatabase, Secret};
use relight::ports::{Compared, Database, EntryKind, HomeSecret, Journal, Login, LoginError, ReplicaId, Reports, Secrets, Stage, Table, Written};
use relight::run::RunId;
use relight::secret::{SecretValue, arn_in};
use relight::state::{Endpoint, HomeComparison, HomeDatabase, HomeGate, HomeLag, HomeSecretStep, Key, LeftTable, Part};
use tokio::time::{Duration, Instant};

use crate::RotateSecret;
use crate::logins::NoLogin;
use crate::run::Outcome;

/// After so long a comparison of the old writer records how far it has come, and goes on in the next turn.
const AT_A_TIME: Duration = Duration::from_secs(60);
/// Tables that are named in the journal as not compared; the rest is counted.
const NAMED: usize = 20;

impl<S: Secrets, L: Login, D: Database, R: Reports> RotateSecret<S, L, D, R> {
    pub(crate) async fn go_home<J: Journal>(&self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let Some(run) = view.run() else { return Ok(Next::Idle) };
        let snapshot = &view.snapshot;
        let due: Vec<(&PlanDatabase, DatabaseMove)> =
            view.plan.databases.iter().filter_map(|database| Some((database, database_due(snapshot, database, view.now)?))).collect();
        if due.iter().any(|(_, due)| *due == DatabaseMove::Closing) {
            return closing(view, desk, &due).await;
        }
        let secrets: Vec<(&Secret, SecretMove)> =
            view.plan.secrets.iter().filter_map(|secret| Some((secret, secret_due(snapshot, secret, view.now)?))).collect();
        let databases = join_all(due.into_iter().map(async |(database, due)| (database, self.move_database(view, &run.id, database, due).await)));
        let secrets = join_all(secrets.into_iter().map(async |(secret, due)| (secret, self.move_secret(view, &run.id, secret, due).await)));
        let (databases, secrets) = join(databases, secrets).await;

        let mut progress = snapshot.progress.rotation.clone();
        let (mut lines, mut told) = (Vec::new(), Vec::new());
        let mut waits = false;
        for (database, (step, outcome)) in databases {
            progress.home.databases.insert(database.name.clone(), step);
            waits |= outcome.waits;
            told.extend(outcome.told);
            lines.extend(outcome.lines.into_iter().filter_map(|(kind, said)| desk.line(kind, &database.id().0, said)));
        }
        for (secret, (step, outcome)) in secrets {
            progress.home.secrets.insert(secret.name.clone(), step);
            waits |= outcome.waits;
            told.extend(outcome.told);
            lines.extend(outcome.lines.into_iter().filter_map(|(kind, said)| desk.line(kind, &secret.id().0, said)));
        }
        let changed = progress != snapshot.progress.rotation;
        let changes = if changed { vec![desk.progress(view, Part::Rotation, &progress)?] } else { Vec::new() };
        if desk.write(changes, lines).await? == Written::Lost {
            return Ok(Next::Again);
        }
        told.into_iter().for_each(|what| desk.tell(what));
        Ok(match (changed, waits) {
            // What failed is not hammered; in a phase of hours the tick tries again.
            (_, true) if is_urgent(snapshot) => Next::Poll,
            (_, true) => Next::Idle,
            (true, false) => Next::Again,
            (false, false) => Next::Idle,
        })
    }

    async fn move_database(&self, view: &View, run: &RunId, database: &PlanDatabase, due: DatabaseMove) -> (HomeDatabase, Outcome) {
        let mut step = view.snapshot.progress.rotation.home.databases.get(&database.name).cloned().unwrap_or_default();
        let mut outcome = Outcome::default();
        let Some(admin) = admin_of(&view.plan, database) else { return (step, outcome) };
        let about = About { view, run, database, admin };
        let done = match due {
            DatabaseMove::CompareLeft => self.compare_left(&about, &mut step, &mut outcome).await,
            DatabaseMove::MeasureLag => self.measure_lag(&about, &mut step).await,
            DatabaseMove::Compare => self.compare(&about, &mut step, &mut outcome).await,
            DatabaseMove::See => self.see_gate(&about, &mut step, &mut outcome).await,
            // Recorded by itself.
            DatabaseMove::Closing => Ok(()),
            DatabaseMove::Close => self.close(&about, &mut step, &mut outcome).await,
            DatabaseMove::Reach => self.reach(&about, &mut step, &mut outcome).await,
            DatabaseMove::Prove => self.prove_home(&about, &mut step, &mut outcome).await,
            DatabaseMove::Reopen => self.reopen(&about, &mut step, &mut outcome).await,
            DatabaseMove::GiveBack => self.give_back(&about, &mut step, &mut outcome).await,
        };
        match done {
            Ok(()) => step.said.clear(),
            Err(error) => fail_once(&mut step.said, &mut outcome, format!("{}: {error}", doing(due))),
        }
        (step, outcome)
    }

    /// Rows of the old writer that never reached the standby, a table after another.
    async fn compare_left(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let Some(endpoint) = about.instances().and_then(|instances| instances.left_endpoint.as_ref()) else { return Ok(()) };
        let serving = self.serving(about.admin).await?;
        let old = self.old_login(about, endpoint).await?;
        let found = self.login.tables(&serving, &about.database.compare).await?;
        if step.left_after.is_none() && !found.left_out.is_empty() {
            step.left_out = left_out(&found.left_out);
            outcome.say(EntryKind::Refusal, format!("not compared: {}", step.left_out.join("; ")));
        }
        let mut tables: Vec<Table> = found.compared.into_iter().filter(|table| !is_own(table)).collect();
        tables.sort();
        let begun = Instant::now();
        let after = step.left_after.clone();
        for table in tables.iter().filter(|table| after.as_ref().is_none_or(|after| table.name > *after)) {
            let rows = self.login.left_behind(&old, &serving, table).await?;
            step.left_tables += 1;
            step.left_rows += rows.seen;
            if !rows.lines.is_empty() {
                let file = self.reports.put_rows(&about.run.0, &about.database.name, &table.name, &rows.lines).await?;
                outcome.say(
                    EntryKind::Reached,
                    format!(
                        "{}: the standby lacks {} row(s) of the old writer and has {} otherwise; they are in {file}",
                        table.name, rows.missing, rows.differing
                    ),
                );
                step.left.insert(table.name.clone(), LeftTable { missing: rows.missing, differing: rows.differing, file });
            }
            step.left_after = Some(table.name.clone());
            if begun.elapsed() >= AT_A_TIME {
                return Ok(());
            }
        }
        step.left_compared_at = Some(about.view.now);
        let left: u64 = step.left.values().map(|left| left.missing + left.differing).sum();
        outcome.say(
            EntryKind::Reached,
            format!("the old writer is compared: {} rows in {} table(s), {left} of them left behind", step.left_rows, step.left_tables),
        );
        outcome.told.push(format!("rows left behind of {} known", about.database.name));
        Ok(())
    }

    /// The old writer has the passwords of its time: the primary Region's secret knows them, unless it was written since.
    async fn old_login(&self, about: &About<'_>, endpoint: &Endpoint) -> Result<SecretValue, NoLogin> {
        let home = HomeSecret::of(&about.view.plan, about.admin);
        let mut last = None;
        for stage in Stage::BY_LIKELIHOOD {
            let Some(value) = self.secrets.home_value(&home, stage).await? else { continue };
            let there = value.at(endpoint);
            match self.login.login(&there).await {
                Ok(_) => return Ok(there),
                Err(error) if error.is_about_the_user() => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        match self.first_that_works(&about.admin.name, endpoint, async |value| self.login.login(value).await).await {
            Ok((_, value, _)) => Ok(value),
            Err(NoLogin::Empty) => Err(last.map_or(NoLogin::Empty, NoLogin::from)),
            Err(error) => Err(error),
        }
    }

    async fn measure_lag(&self, about: &About<'_>, step: &mut HomeDatabase) -> Result<(), NoLogin> {
        let serving = self.serving(about.admin).await?;
        let Some(home) = about.at_home(&serving) else { return Ok(()) };
        let bytes = self.login.behind(&serving, &home).await?;
        step.lag = Some(HomeLag { bytes, at: about.view.now });
        Ok(())
    }

    async fn compare(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let serving = self.serving(about.admin).await?;
        let Some(home) = about.at_home(&serving) else { return Ok(()) };
        let found = self.login.tables(&serving, &about.database.compare).await?;
        let tables: Vec<Table> = found.compared.into_iter().filter(|table| !is_own(table)).collect();
        let (kind, equal, said) = match self.login.compare(&serving, &home, &tables).await? {
            Compared::Equal { at, tables, rows } => {
                (EntryKind::Reached, Some(true), format!("equal at home at {at}: {rows} rows in {tables} table(s)"))
            }
            Compared::Differing { at, tables } => {
                let tables: Vec<String> = tables.iter().map(|table| table.between("at the writer", "at home")).collect();
                (EntryKind::Refusal, Some(false), format!("differs at home at {at}: {}; `stand-down`, and build the replica anew", tables.join(", ")))
            }
            Compared::Moving => {
                (EntryKind::Waiting, None, "writes went on, so it was not seen at one position with home; it is compared once they pause".to_owned())
            }
        };
        if step.compared.as_ref().is_none_or(|before| before.said != said) {
            outcome.say(kind, &said);
        }
        // Unless writes pause, a common position may be found at another time only.
        outcome.waits = equal.is_none();
        step.compared = Some(HomeComparison { at: about.view.now, equal, said });
        Ok(())
    }

    async fn close(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let last = match self.login.close_writes(&self.serving(about.admin).await?).await {
            Err(LoginError::TakesWrites { .. }) if step.gate.is_some() => {
                outcome.waits = true;
                return self.tell_gate(about, step, outcome, true).await;
            }
            closed => closed?,
        };
        step.closed_at = Some(about.view.now);
        step.last = Some(last);
        outcome.say(EntryKind::Action, format!("writes are closed, the last one is at {last}"));
        Ok(())
    }

    async fn reach(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let serving = self.serving(about.admin).await?;
        let (Some(home), Some(last)) = (about.at_home(&serving), step.last) else { return Ok(()) };
        let there = self.login.position(&home).await?;
        if there.received.min(there.replayed) < last {
            outcome.say(EntryKind::Waiting, format!("home has replayed {} of {last}", there.replayed));
            outcome.waits = true;
            return Ok(());
        }
        step.reached_at = Some(about.view.now);
        outcome.say(EntryKind::Reached, format!("the last write is at home: {} is replayed", there.replayed));
        outcome.told.push(format!("last write of {} at home", about.database.name));
        Ok(())
    }

    /// The setting that closed the standby's writes came home with the data.
    async fn prove_home(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let Some(endpoint) = about.instances().and_then(|instances| instances.endpoint.as_ref()) else { return Ok(()) };
        let attempt = async |value: &SecretValue| {
            self.login.open_writes(value).await?;
            self.login.prove_writable(value).await
        };
        let (_, _, proof) = self.first_that_works(&about.admin.name, endpoint, attempt).await?;
        step.proven_at = Some(about.view.now);
        outcome.say(EntryKind::Reached, format!("takes writes at home: {proof}"));
        outcome.told.push(format!("database {} proven writable at home", about.database.name));
        Ok(())
    }

    /// The group of the serving instance, and what it says before Relight changes it.
    async fn see_gate(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let replica = ReplicaId::of(about.database);
        let instance = self.database.replica(&replica).await?;
        let seen = match group_of(about.database, instance.as_ref()) {
            Ok(group) => {
                let gate = self.database.write_gate(&group).await?;
                usable(replica.as_str(), &group, &gate).map(|()| HomeGate { group, was: gate.read_only, seen_at: about.view.now, told: None })
            }
            Err(why) => Err(why),
        };
        let why = match seen {
            Ok(gate) => {
                if step.gate.as_ref().is_none_or(|before| before.group != gate.group) {
                    outcome.say(EntryKind::Reached, format!("its writes can be closed by read_only of parameter group {}", gate.group));
                }
                step.gate = Some(gate);
                None
            }
            Err(why) => {
                step.gate = None;
                outcome.waits = true;
                Some(why.to_string())
            }
        };
        if let Some(why) = why.as_ref().filter(|why| step.no_gate.as_ref() != Some(why)) {
            outcome.say(EntryKind::Refusal, why);
        }
        step.no_gate = why;
        Ok(())
    }

    /// Lets the parameter group close writes, or say what it said before.
    async fn tell_gate(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome, close: bool) -> Result<(), NoLogin> {
        let Some(gate) = &mut step.gate else { return Ok(()) };
        let value = if close { CLOSED } else { open_value(gate) }.to_owned();
        if !tells(gate, &value, about.view.now) {
            return Ok(());
        }
        self.database.set_read_only(&gate.group, &value).await?;
        outcome.say(EntryKind::Action, format!("sets read_only to {value} in parameter group {}", gate.group));
        gate.told = Some((value, about.view.now));
        Ok(())
    }

    async fn give_back(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome) -> Result<(), NoLogin> {
        self.tell_gate(about, step, outcome, false).await?;
        step.given_back_at = Some(about.view.now);
        outcome.told.push(format!("parameter group of {} given back", about.database.name));
        Ok(())
    }

    async fn reopen(&self, about: &About<'_>, step: &mut HomeDatabase, outcome: &mut Outcome) -> Result<(), NoLogin> {
        self.tell_gate(about, step, outcome, false).await?;
        self.login.open_writes(&self.serving(about.admin).await?).await?;
        if step.reopened_at.is_none() {
            outcome.say(EntryKind::Action, "writes of the standby are open again");
        }
        step.reopened_at = Some(about.view.now);
        Ok(())
    }

    /// What applications of the standby read.
    async fn serving(&self, admin: &Secret) -> Result<SecretValue, NoLogin> {
        self.secrets.value(&admin.name, Stage::Current).await?.ok_or(NoLogin::Empty)
    }

    async fn move_secret(&self, view: &View, run: &RunId, secret: &Secret, due: SecretMove) -> (HomeSecretStep, Outcome) {
        let mut step = view.snapshot.progress.rotation.home.secrets.get(&secret.name).cloned().unwrap_or_default();
        let mut outcome = Outcome::default();
        let home = HomeSecret::of(&view.plan, secret);
        let done = match due {
            SecretMove::See => self.see(view, &home, &mut step).await,
            SecretMove::Write => self.write(view, run, secret, &home, &mut step, &mut outcome).await,
            SecretMove::Test => self.test_home(view, &home, &mut step, &mut outcome).await,
            SecretMove::ReplicateAgain => self.replicate_again(view, secret, &home, &mut step, &mut outcome).await,
        };
        match done {
            Ok(()) => step.said.clear(),
            Err(error) => fail_once(&mut step.said, &mut outcome, error.to_string()),
        }
        (step, outcome)
    }

    async fn see(&self, view: &View, home: &HomeSecret, step: &mut HomeSecretStep) -> Result<(), NoHome> {
        self.secrets.home(home).await?.ok_or_else(|| NoHome::missing(home))?;
        step.seen_at = Some(view.now);
        Ok(())
    }

    /// The host at home, with the login that works there. What Relight does not know is the primary Region's.
    async fn write(
        &self,
        view: &View,
        run: &RunId,
        secret: &Secret,
        home: &HomeSecret,
        step: &mut HomeSecretStep,
        outcome: &mut Outcome,
    ) -> Result<(), NoHome> {
        let endpoint = view.snapshot.progress.promotion.home.get(&secret.database).and_then(|instances| instances.endpoint.clone());
        let Some(endpoint) = endpoint else { return Ok(()) };
        let described = self.secrets.home(home).await?.ok_or_else(|| NoHome::missing(home))?;
        let token = token(run, Making::Home, &secret.name);
        // The version is there: an earlier call was done. Its value may not be put again, a rotation may have followed.
        if !described.stages.contains_key(&token) {
            let (stage, working, _) = self.first_that_works(&secret.name, &endpoint, async |value| self.login.login(value).await).await?;
            let current = self.secrets.home_value(home, Stage::Current).await?;
            let value = match current {
                Some(current) => current.with_login_of(&working).at(&endpoint),
                None => match working.master_arn().map(|arn| arn_in(arn, &view.plan.primary)) {
                    Some(arn) => working.with_master_arn(&arn),
                    None => working,
                },
            };
            self.secrets.put_home(home, &token, &value).await?;
            outcome.say(
                EntryKind::Action,
                format!("names {}:{} in {} with the login of {}", endpoint.host, endpoint.port, home.region(), stage.label()),
            );
        }
        step.written_at = Some(view.now);
        Ok(())
    }

    async fn test_home(&self, view: &View, home: &HomeSecret, step: &mut HomeSecretStep, outcome: &mut Outcome) -> Result<(), NoHome> {
        let value = self.secrets.home_value(home, Stage::Current).await?.ok_or(NoLogin::Empty)?;
        self.login.login(&value).await.map_err(NoLogin::from)?;
        step.tested_at = Some(view.now);
        outcome.say(EntryKind::Reached, format!("AWSCURRENT of {} logs in at home", home.region()));
        outcome.told.push(format!("secret {} logs in at home", home.as_str()));
        Ok(())
    }

    async fn replicate_again(
        &self,
        view: &View,
        secret: &Secret,
        home: &HomeSecret,
        step: &mut HomeSecretStep,
        outcome: &mut Outcome,
    ) -> Result<(), NoHome> {
        let here = self.secrets.describe(&secret.name).await?;
        if here.is_some_and(|here| here.replica_of.as_deref() == Some(view.plan.primary.as_str())) {
            step.replicated_at = Some(view.now);
            outcome.say(EntryKind::Reached, format!("replicated from {} again", view.plan.primary));
            return Ok(());
        }
        self.secrets.replicate_again(home, &view.plan.standby).await?;
        outcome.say(EntryKind::Action, format!("replicates it to {} again, over what stands there", view.plan.standby));
        // AWS takes the call and is then at work.
        outcome.waits = true;
        Ok(())
    }
}

/// Everything that the steps of one database share.
struct About<'a> {
    view: &'a View,
    run: &'a RunId,
    database: &'a PlanDatabase,
    admin: &'a Secret,
}

impl About<'_> {
    fn instances(&self) -> Option<&relight::state::HomeStep> {
        self.view.snapshot.progress.promotion.home.get(&self.database.name)
    }

    fn at_home(&self, serving: &SecretValue) -> Option<SecretValue> {
        self.instances()?.endpoint.as_ref().map(|endpoint| serving.at(endpoint))
    }
}

#[derive(Debug, thiserror::Error)]
enum NoHome {
    #[error(transparent)]
    Login(#[from] NoLogin),
    #[error(transparent)]
    Call(#[from] relight::ports::CallError),
    #[error("is not in the primary Region {region}; create {name} there, as a copy of the standby's")]
    Missing { region: String, name: String },
}

impl NoHome {
    fn missing(home: &HomeSecret) -> NoHome {
        NoHome::Missing { region: home.region().to_owned(), name: home.as_str().to_owned() }
    }
}

/// Records that writes may be closed from here on, while nobody changed the run: who gives it up later finds the record.
async fn closing<J: Journal>(view: &View, desk: &Desk<'_, J>, due: &[(&PlanDatabase, DatabaseMove)]) -> Result<Next, WorkError> {
    let mut progress = view.snapshot.progress.rotation.clone();
    let mut lines = Vec::new();
    for (database, _) in due.iter().filter(|(_, due)| *due == DatabaseMove::Closing) {
        progress.home.databases.entry(database.name.clone()).or_default().closing_at = Some(desk.now());
        lines.extend(desk.line(EntryKind::Action, &database.id().0, "closes writes in the standby"));
    }
    let changes = vec![desk.progress(view, Part::Rotation, &progress)?, put(view, Key::Head, &view.snapshot.head)?];
    desk.write(changes, lines).await?;
    Ok(Next::Again)
}

/// What lasts for hours stands in the history once.
fn fail_once(last: &mut String, outcome: &mut Outcome, said: String) {
    outcome.waits = true;
    if *last != said {
        outcome.say(EntryKind::Failure, &said);
        *last = said;
    }
}

pub(crate) fn left_out(all: &[(String, String)]) -> Vec<String> {
    let mut named: Vec<String> = all.iter().take(NAMED).map(|(table, why)| format!("{table} ({why})")).collect();
    if all.len() > NAMED {
        named.push(format!("and {} more", all.len() - NAMED));
    }
    named
}

fn doing(due: DatabaseMove) -> &'static str {
    match due {
        DatabaseMove::CompareLeft => "the old writer is not compared",
        DatabaseMove::MeasureLag => "the lag at home is not measured",
        DatabaseMove::Compare => "not compared with home",
        DatabaseMove::See => "by which parameter group its writes are closed was not seen",
        DatabaseMove::Closing | DatabaseMove::Close => "writes are not closed",
        DatabaseMove::Reach => "the last write was not seen at home",
        DatabaseMove::Prove => "not proven writable at home",
        DatabaseMove::Reopen => "writes are not open again",
        DatabaseMove::GiveBack => "the parameter group that closed its writes is not given back",
    }
}
