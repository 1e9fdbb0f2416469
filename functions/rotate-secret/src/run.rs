//! One turn while a database or its copy is promoted: every database and every secret takes its next step, side by side,
//! and all of it is recorded in one write.

use futures_util::future::{join, join_all};
use relight::decide::Decision;
use relight::decide::rotation::gate::open_value;
use relight::decide::rotation::home::admin_of;
use relight::decide::rotation::{Course, Waiting, course, due, to_prove};
use relight::nudge::{Desk, Next, View, WorkError};
use relight::plan::Secret;
use relight::ports::{Database, EntryKind, Journal, Login, Reports, Secrets, Write, Written};
use relight::run::RunId;
use relight::secret::SecretValue;
use relight::state::{Endpoint, Part, RotationProgress, SecretStep};

use crate::RotateSecret;
use crate::logins::NoLogin;

/// Everything that the steps of a turn share.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub(crate) view: &'a View,
    pub(crate) course: Course,
    pub(crate) run: &'a RunId,
}

/// What became of one database or secret in this turn.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) lines: Vec<(EntryKind, String)>,
    /// Obligations, written together with the progress.
    pub(crate) changes: Vec<Write>,
    /// What others wait for.
    pub(crate) told: Vec<String>,
    /// It will be different within seconds.
    pub(crate) waits: bool,
}

impl Outcome {
    pub(crate) fn say(&mut self, kind: EntryKind, said: impl ToString) {
        self.lines.push((kind, said.to_string()));
    }

    /// It did not work, and is tried again.
    pub(crate) fn fail(&mut self, error: impl ToString) {
        self.say(EntryKind::Failure, error);
        self.waits = true;
    }
}

impl<S: Secrets, L: Login, D: Database, R: Reports> RotateSecret<S, L, D, R> {
    pub(crate) async fn turn<J: Journal>(&self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let (Some(course), Some(run)) = (course(&view.snapshot), view.snapshot.head.run.as_ref()) else { return Ok(Next::Idle) };
        let turn = Turn { view, course, run: &run.id };

        let databases = to_prove(&view.plan, &view.snapshot, course);
        let proofs = join_all(databases.iter().map(|(database, endpoint)| self.prove(turn, database, endpoint)));
        let steps = join_all(view.plan.secrets.iter().map(|secret| self.step(turn, secret)));
        let (proofs, steps) = join(proofs, steps).await;

        let mut progress = view.snapshot.progress.rotation.clone();
        let mut outcomes = Vec::new();
        for ((database, _), (proven, outcome)) in databases.iter().zip(proofs) {
            if proven {
                course.record_proof(&mut progress, database, desk.now());
            }
            outcomes.push((format!("database/{database}"), outcome));
        }
        for (secret, (step, outcome)) in view.plan.secrets.iter().zip(steps) {
            if step != course.step(&view.snapshot, &secret.name) {
                course.record_step(&mut progress, &secret.name, step);
            }
            outcomes.push((secret.id().to_string(), outcome));
        }
        record(view, desk, progress, outcomes).await
    }

    /// Logs in at the promoted endpoint with the first secret and version that works, and proves that it takes writes.
    async fn prove(&self, turn: Turn<'_>, database: &str, endpoint: &Endpoint) -> (bool, Outcome) {
        let mut outcome = Outcome::default();
        let mut failures = Vec::new();
        if let Err(error) = self.open_again(turn, database, endpoint).await {
            outcome.fail(format!("its writes, which the way home had closed, are not open: {error}"));
            return (false, outcome);
        }
        // As applications come, where they come through a proxy. It lets in whom AWSCURRENT names: where that is not the login that came with
        // the data, the instance itself is asked, and the repointing puts it right.
        let secrets = || turn.view.plan.secrets.iter().filter(|secret| secret.database == database);
        let engine = turn.view.plan.database(database).map(|database| database.engine);
        let prove = async |value: &SecretValue| {
            engine.map_or(Ok(()), |engine| value.must_be_of(engine))?;
            self.login.prove_writable(value).await
        };
        for secret in secrets() {
            let Some(proxy) = turn.course.through(&turn.view.plan, &turn.view.snapshot, secret) else { continue };
            match self.first_that_works(&secret.name, proxy, &prove).await {
                Ok((_, _, proof)) => {
                    outcome.say(EntryKind::Reached, format!("takes writes through its proxy, with {}: {proof}", secret.name));
                    outcome.told.push(format!("database {database} proven writable"));
                    return (true, outcome);
                }
                Err(NoLogin::NoVersion { .. } | NoLogin::Empty) => {}
                Err(error) => {
                    outcome.fail(format!("not proven writable through its proxy with {}: {error}", secret.name));
                    return (false, outcome);
                }
            }
        }
        for secret in secrets() {
            match self.first_that_works(&secret.name, endpoint, &prove).await {
                Ok((_, _, proof)) => {
                    let what = if turn.course == Course::Rehearsal { "the copy takes writes" } else { "takes writes" };
                    outcome.say(EntryKind::Reached, format!("{what}: {proof}"));
                    outcome.told.push(format!("database {database} proven writable"));
                    return (true, outcome);
                }
                Err(error) => failures.push(format!("with {}: {error}", secret.name)),
            }
        }
        outcome.fail(format!("not proven writable {}", failures.join("; ")));
        (false, outcome)
    }

    /// A failback that became a failover had closed the standby's writes.
    async fn open_again(&self, turn: Turn<'_>, database: &str, endpoint: &Endpoint) -> Result<(), NoLogin> {
        let step = turn.view.snapshot.progress.rotation.home.databases.get(database).filter(|step| step.closing_at.is_some());
        let database = turn.view.plan.database(database).filter(|_| step.is_some() && turn.course == Course::Failover);
        let Some(admin) = database.and_then(|database| admin_of(&turn.view.plan, database)) else { return Ok(()) };
        let opened = self.first_that_works(&admin.name, endpoint, async |value| self.login.open_writes(value).await).await.map(drop);
        // MySQL's and MariaDB's: who is still closed is closed by it, and is looked at again.
        let gate = step.and_then(|step| step.gate.as_ref()).filter(|_| opened.as_ref().is_err_and(NoLogin::passes));
        if let Some(gate) = gate {
            self.database.set_read_only(&gate.group, open_value(gate)).await?;
        }
        opened
    }

    /// Observe, decide, act for one secret.
    async fn step(&self, turn: Turn<'_>, secret: &Secret) -> (SecretStep, Outcome) {
        let Turn { view, course, run } = turn;
        let mut step = course.step(&view.snapshot, &secret.name);
        let mut outcome = Outcome::default();
        // Most of the time the journal alone says that it is not this secret's turn.
        let early = due(&view.plan, &view.snapshot, course, secret, None, view.now);
        let early = matches!(early, Decision::Done | Decision::Wait(Waiting::Promotion { .. } | Waiting::Proof { .. })).then_some(early);
        let (decision, seen) = match early {
            Some(decision) => (decision, None),
            None => match self.secrets.describe(&course.name(&view.plan, run, secret)).await {
                Ok(seen) => (due(&view.plan, &view.snapshot, course, secret, seen.as_ref(), view.now), seen),
                Err(error) => {
                    outcome.fail(error);
                    return (step, outcome);
                }
            },
        };
        match decision {
            Decision::Act(actions) => {
                for action in actions {
                    if !self.act(turn, secret, seen.as_ref(), &action, &mut step, &mut outcome).await {
                        break;
                    }
                }
            }
            Decision::Done => {}
            // The database's own line says it.
            Decision::Wait(Waiting::Promotion { .. } | Waiting::Proof { .. }) => outcome.waits = true,
            Decision::Wait(waiting) => {
                outcome.say(EntryKind::Waiting, waiting);
                outcome.waits = true;
            }
            Decision::Refuse(refusal) => {
                outcome.say(EntryKind::Refusal, refusal);
                outcome.waits = true;
            }
        }
        (step, outcome)
    }
}

async fn record<J: Journal>(
    view: &View,
    desk: &Desk<'_, J>,
    progress: RotationProgress,
    outcomes: Vec<(String, Outcome)>,
) -> Result<Next, WorkError> {
    let (mut lines, mut changes, mut told, mut waits) = (Vec::new(), Vec::new(), Vec::new(), false);
    for (about, outcome) in outcomes {
        lines.extend(outcome.lines.into_iter().filter_map(|(kind, said)| desk.line(kind, &about, said)));
        changes.extend(outcome.changes);
        told.extend(outcome.told);
        waits |= outcome.waits;
    }
    let changed = progress != view.snapshot.progress.rotation;
    if changed {
        changes.push(desk.progress(view, Part::Rotation, &progress)?);
    }
    let wrote = !changes.is_empty();
    if desk.write(changes, lines).await? == Written::Lost {
        return Ok(Next::Again);
    }
    told.into_iter().for_each(|what| desk.tell(what));
    Ok(match (wrote, waits) {
        (true, _) => Next::Again,
        (false, true) => Next::Poll,
        (false, false) => Next::Idle,
    })
}
