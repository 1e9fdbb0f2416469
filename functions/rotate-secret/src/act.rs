//! What is done for one secret, an action at a time. Each looks for what an earlier attempt, whose answer was lost, may
//! already have done; a fixed token makes the same version of it.

use relight::decide::rotation::{Action, Course, GivenUp, Making, left, overdue, token};
use relight::nudge::put;
use relight::plan::Secret;
use relight::ports::{CallError, Database, Described, DisposableName, EntryKind, Login, Reports, SecretName, Secrets, Stage};
use relight::secret::{SecretValue, arn_in};
use relight::state::{Endpoint, Key, Obligation, Owed, SecretStep};

use crate::RotateSecret;
use crate::logins::NoLogin;
use crate::run::{Outcome, Turn};

/// What a person can do about a rotation that failed. The recovery does not wait for it.
const ROTATE_LATER: &str =
    "the login before it goes on working; look at rotate-secret's log, take AWSPENDING off the version that is left, and rotate again";

impl<S: Secrets, L: Login, D: Database, R: Reports> RotateSecret<S, L, D, R> {
    /// Does one action. Says whether the next one of the same turn may follow.
    pub(crate) async fn act(
        &self,
        turn: Turn<'_>,
        secret: &Secret,
        seen: Option<&Described>,
        action: &Action,
        step: &mut SecretStep,
        outcome: &mut Outcome,
    ) -> bool {
        let now = turn.view.now;
        let done = match action {
            Action::StandAlone => match self.secrets.stop_replication(&SecretName::of(secret)).await {
                Ok(()) => {
                    step.standalone_at = Some(now);
                    outcome.say(EntryKind::Action, "stands alone: its replication is stopped");
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            Action::Repoint => self.repoint(turn, secret, seen, step, outcome).await,
            Action::Owe => self.owe(turn, secret, step, outcome).map_err(NoLogin::from),
            Action::Create => self.create(turn, secret, step, outcome).await,
            Action::Begin => {
                step.rotation_called_at = Some(now);
                outcome.say(EntryKind::Action, "rotation is called");
                Ok(())
            }
            Action::ClearPending { version } => self.clear_pending(turn, secret, version, outcome).await,
            Action::Rotate => self.rotate(turn, secret, step, outcome).await,
            Action::Rotated => {
                step.rotated_at = Some(now);
                outcome.say(EntryKind::Reached, "rotated: the new version is AWSCURRENT");
                outcome.told.push(format!("secret {} rotated", secret.name));
                Ok(())
            }
            Action::GiveUp(why @ GivenUp::Rotation { .. }) => self.give_up_rotation(turn, secret, why, step, outcome).await,
            Action::GiveUp(why) => {
                give_up(step, outcome, why.to_string());
                Ok(())
            }
            Action::Test => {
                self.test(turn, secret, step, outcome).await;
                Ok(())
            }
        };
        match done {
            Ok(()) => true,
            Err(error) => {
                outcome.fail(error);
                false
            }
        }
    }

    /// Puts the new endpoint with the login that works there. From here on applications are right.
    async fn repoint(
        &self,
        turn: Turn<'_>,
        secret: &Secret,
        seen: Option<&Described>,
        step: &mut SecretStep,
        outcome: &mut Outcome,
    ) -> Result<(), NoLogin> {
        let Some(endpoint) = turn.course.endpoint(&turn.view.plan, &turn.view.snapshot, &secret.database) else { return Ok(()) };
        let name = turn.course.name(&turn.view.plan, turn.run, secret);
        let token = token(turn.run, Making::Repointing, &name);
        // The version is there: an earlier call was done. Its value may not be put again, a rotation may have followed.
        let done = seen.is_some_and(|seen| seen.stages.contains_key(&token));
        if !done {
            let (stage, value) = self.at_new_endpoint(turn, secret, &name, endpoint).await?;
            self.put(turn, secret, &token, &value).await?;
            let (endpoint, which) = (value.endpoint()?, stage.label());
            outcome.say(EntryKind::Action, format!("repointed to {}:{} with the login of {which}", endpoint.host, endpoint.port));
        }
        step.repointed_at = Some(turn.view.now);
        outcome.told.push(format!("secret {} repointed", secret.name));
        Ok(())
    }

    async fn put(&self, turn: Turn<'_>, secret: &Secret, token: &str, value: &SecretValue) -> Result<(), CallError> {
        match turn.course {
            Course::Failover => self.secrets.put(&SecretName::of(secret), token, value).await,
            Course::Rehearsal => self.secrets.put_disposable(&disposable(turn, secret), token, value).await,
        }
    }

    /// A rotation of a single user that broke off after setSecret has left applications with a password that the database
    /// does not know any more. What works becomes AWSCURRENT before the rotation is given up, and again until that is done.
    async fn give_up_rotation(
        &self,
        turn: Turn<'_>,
        secret: &Secret,
        why: &GivenUp,
        step: &mut SecretStep,
        outcome: &mut Outcome,
    ) -> Result<(), NoLogin> {
        match self.roll_back(turn, secret, Making::RolledBack, outcome).await {
            Ok(()) => {}
            Err(error) if !left(&turn.view.plan, step, turn.view.now) => return Err(error),
            // What is wrong, the test of AWSCURRENT that follows says.
            Err(_) => {}
        }
        give_up(step, outcome, why.to_string());
        Ok(())
    }

    /// The version may be the only one with the password that a single user has in the database.
    async fn clear_pending(&self, turn: Turn<'_>, secret: &Secret, version: &str, outcome: &mut Outcome) -> Result<(), NoLogin> {
        self.roll_back(turn, secret, Making::Recovered, outcome).await?;
        self.secrets.clear_pending(&SecretName::of(secret), version).await?;
        outcome.say(EntryKind::Action, "AWSPENDING of a rotation that broke off is taken away");
        Ok(())
    }

    /// Makes the login that works AWSCURRENT, where it is not.
    async fn roll_back(&self, turn: Turn<'_>, secret: &Secret, making: Making, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let Some(endpoint) = turn.course.endpoint(&turn.view.plan, &turn.view.snapshot, &secret.database) else { return Ok(()) };
        let name = turn.course.name(&turn.view.plan, turn.run, secret);
        let (stage, value) = self.at_new_endpoint(turn, secret, &name, endpoint).await?;
        if stage != Stage::Current {
            self.put(turn, secret, &token(turn.run, making, &name), &value).await?;
            outcome.say(EntryKind::Action, format!("rolled back: AWSCURRENT is the login of {}, which works", stage.label()));
        }
        Ok(())
    }

    /// What the secret should say once it is repointed: the login that works at the database itself, and where applications reach that.
    /// Everything that Relight does not know is AWSCURRENT's.
    async fn at_new_endpoint(&self, turn: Turn<'_>, secret: &Secret, name: &str, endpoint: &Endpoint) -> Result<(Stage, SecretValue), NoLogin> {
        let (stage, working, _) = self.first_that_works(name, endpoint, async |value| self.login.login(value).await).await?;
        let current = if stage == Stage::Current { None } else { self.secrets.value(name, Stage::Current).await? };
        let value = current.map_or_else(|| working.clone(), |current| current.with_login_of(&working).at(endpoint));
        let value = match (turn.course, admin_of(turn, secret)) {
            (_, Some(admin)) => match self.secrets.describe(&turn.course.name(&turn.view.plan, turn.run, admin)).await? {
                Some(admin) => value.with_master_arn(&admin.arn),
                None => value,
            },
            // It names the primary Region's secret; the one here differs in the Region only.
            (Course::Failover, None) => match value.master_arn().map(|arn| arn_in(arn, &turn.view.plan.standby)) {
                Some(arn) => value.with_master_arn(&arn),
                None => value,
            },
            // An admin that the plan does not know has no disposable secret: a drill must not reach the real one.
            (Course::Rehearsal, None) => value.without_master_arn(),
        };
        let value = match turn.course.through(&turn.view.plan, &turn.view.snapshot, secret) {
            Some(proxy) => value.through(proxy)?,
            None => value,
        };
        Ok((stage, value))
    }

    /// Records what the drill will have to remove, before it is made.
    fn owe(&self, turn: Turn<'_>, secret: &Secret, step: &mut SecretStep, outcome: &mut Outcome) -> Result<(), CallError> {
        let Turn { view, run, .. } = turn;
        let name = disposable(turn, secret);
        let opened = view.snapshot.head.run.as_ref().map_or(view.now, |run| run.opened_at);
        let owed = Obligation {
            run: run.clone(),
            what: Owed::Secret { name: name.as_str().to_owned() },
            made_at: view.now,
            deadline: opened.saturating_add(view.plan.drill.deadline).unwrap_or(jiff::Timestamp::MAX),
        };
        // An obligation always serialises.
        if let Ok(write) = put(view, Key::Obligation(owed.id()), &owed) {
            outcome.changes.push(write);
            step.disposable = Some(name.as_str().to_owned());
            outcome.say(EntryKind::Action, format!("the disposable secret {name} is owed"));
        }
        Ok(())
    }

    /// Makes the disposable secret from the real one, which is only read.
    async fn create(&self, turn: Turn<'_>, secret: &Secret, step: &mut SecretStep, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let Some(endpoint) = turn.course.endpoint(&turn.view.plan, &turn.view.snapshot, &secret.database) else { return Ok(()) };
        let name = disposable(turn, secret);
        let (_, value) = self.at_new_endpoint(turn, secret, &secret.name, endpoint).await?;
        match self.secrets.create_disposable(&name, &token(turn.run, Making::Disposable, name.as_str()), &value).await {
            Ok(()) => {
                outcome.say(EntryKind::Action, format!("the disposable secret {name} is made"));
                outcome.waits = true;
                Ok(())
            }
            Err(error) if error.passes() => Err(error.into()),
            Err(error) => {
                give_up(step, outcome, format!("the disposable secret cannot be made: {error}"));
                Ok(())
            }
        }
    }

    async fn rotate(&self, turn: Turn<'_>, secret: &Secret, step: &mut SecretStep, outcome: &mut Outcome) -> Result<(), NoLogin> {
        let name = turn.course.name(&turn.view.plan, turn.run, secret);
        let token = token(turn.run, Making::Rotation, &name);
        let called = match turn.course {
            Course::Failover => self.secrets.rotate(&SecretName::of(secret), &token).await,
            Course::Rehearsal => self.secrets.rotate_disposable(&disposable(turn, secret), &token).await,
        };
        match called {
            Ok(()) => {
                outcome.waits = true;
                Ok(())
            }
            Err(error) if error.passes() => Err(error.into()),
            Err(error) => {
                give_up(step, outcome, format!("the rotation cannot be called: {error}; {ROTATE_LATER}"));
                Ok(())
            }
        }
    }

    /// Logs in with what applications read.
    async fn test(&self, turn: Turn<'_>, secret: &Secret, step: &mut SecretStep, outcome: &mut Outcome) {
        let name = turn.course.name(&turn.view.plan, turn.run, secret);
        let tested = match self.secrets.value(&name, Stage::Current).await {
            Ok(Some(value)) => self.login.login(&value).await.map_err(NoLogin::from),
            Ok(None) => Err(NoLogin::Empty),
            Err(error) => Err(error.into()),
        };
        match tested {
            Ok(seen) => {
                step.tested_at = Some(turn.view.now);
                let how = if seen.encrypted { "over TLS" } else { "in plaintext" };
                outcome.say(EntryKind::Reached, format!("AWSCURRENT logs in {how}"));
            }
            Err(error) if overdue(&turn.view.plan, step, turn.view.now) => {
                let said = format!("AWSCURRENT does not log in: {error}");
                outcome.say(EntryKind::Failure, &said);
                step.failed.get_or_insert(said);
            }
            Err(error) => outcome.fail(format!("AWSCURRENT does not log in: {error}")),
        }
    }
}

fn give_up(step: &mut SecretStep, outcome: &mut Outcome, why: String) {
    outcome.say(EntryKind::Failure, &why);
    step.failed = Some(why);
}

fn disposable(turn: Turn<'_>, secret: &Secret) -> DisposableName {
    DisposableName::of(&turn.view.plan.name, turn.run, &secret.name)
}

/// The secret of the plan that a rotation of this one logs in with.
fn admin_of<'a>(turn: Turn<'a>, secret: &Secret) -> Option<&'a Secret> {
    turn.view.plan.secrets.iter().find(|other| secret.admin.as_ref() == Some(&other.name))
}
