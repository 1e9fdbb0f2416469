//! The rotation function: one step, as Secrets Manager invokes it.
//!
//! ```text
//! createSecret   AWSPENDING := AWSCURRENT with a new password (and, with an admin, the other user)
//! setSecret      the database gets AWSPENDING's user and password
//! testSecret     AWSPENDING logs in
//! finishSecret   AWSPENDING logs in, then AWSCURRENT moves to it
//! ```
//! Any step may come twice or in another order. finishSecret therefore tests once more: no order of calls moves
//! AWSCURRENT to a login that does not work. And each step looks whether AWSPENDING is for AWSCURRENT's host: one from before
//! a failover names the old writer, which may answer again, and would take applications back to it.

use relight::decide::rotation::step::{Proceed, StepRefusal, check, check_admin, check_pending, check_region, next_version};
use relight::event::{RotationStep, RotationStepName};
use relight::ports::{CallError, Described, Login, LoginError, Rotating, Secrets, Stage};
use relight::secret::SecretValue;

/// Why a step was not done; Secrets Manager calls it again.
#[derive(Debug, thiserror::Error)]
#[error("{step} of {secret}: {why}")]
pub struct StepError {
    pub step: &'static str,
    pub secret: String,
    #[source]
    pub why: StepFailure,
}

#[derive(Debug, thiserror::Error)]
pub enum StepFailure {
    #[error(transparent)]
    Refused(#[from] StepRefusal),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error("as the admin of `masterarn`: {0}")]
    Admin(#[source] LoginError),
}

impl StepError {
    /// A name that stays the same from version to version.
    pub fn name(&self) -> &'static str {
        match &self.why {
            StepFailure::Refused(_) => "RotationRefused",
            StepFailure::Call(error) => error.name(),
            StepFailure::Login(_) | StepFailure::Admin(_) => "LoginFailed",
        }
    }
}

/// Takes one step. The sentence says what was done.
pub async fn take(secrets: &impl Secrets, login: &impl Login, step: &RotationStep) -> Result<String, StepError> {
    let name = step.step.as_str();
    match (Rotation { secrets, login, rotating: Rotating::of(step) }).take(step).await {
        Ok(said) => Ok(format!("{name} of {}: {said}", step.secret_id)),
        Err(why) => Err(StepError { step: name, secret: step.secret_id.clone(), why }),
    }
}

struct Rotation<'a, S, L> {
    secrets: &'a S,
    login: &'a L,
    rotating: Rotating,
}

impl<S: Secrets, L: Login> Rotation<'_, S, L> {
    async fn take(&self, step: &RotationStep) -> Result<&'static str, StepFailure> {
        let seen = self.secrets.describe(self.rotating.secret()).await?;
        if check(step, seen.as_ref())? == Proceed::AlreadyCurrent {
            return Ok("its version is AWSCURRENT already");
        }
        let seen = seen.ok_or(StepRefusal::NoSecret)?;
        match step.step {
            RotationStepName::CreateSecret => self.create().await,
            RotationStepName::SetSecret => self.set(&seen).await,
            RotationStepName::TestSecret => {
                self.test().await?;
                Ok("AWSPENDING logs in")
            }
            RotationStepName::FinishSecret => {
                self.test().await?;
                let from = seen.version_at(Stage::Current).ok_or(StepRefusal::NoCurrent)?;
                self.secrets.finish(&self.rotating, from).await?;
                Ok("AWSCURRENT is the new version")
            }
        }
    }

    async fn create(&self) -> Result<&'static str, StepFailure> {
        if self.secrets.pending(&self.rotating).await?.is_some() {
            return Ok("AWSPENDING is there already");
        }
        let current = self.current().await?;
        let password = self.secrets.new_password().await?;
        self.secrets.put_pending(&self.rotating, &next_version(&current, &password)?).await?;
        Ok("AWSPENDING has a new password")
    }

    async fn test(&self) -> Result<(), StepFailure> {
        let pending = self.pending().await?;
        check_pending(&self.current().await?, &pending)?;
        self.login.login(&pending.direct()).await?;
        Ok(())
    }

    async fn set(&self, seen: &Described) -> Result<&'static str, StepFailure> {
        let (current, pending) = (self.current().await?, self.pending().await?);
        check_pending(&current, &pending)?;
        // At the database itself: a proxy before it knows AWSCURRENT alone.
        let (current, pending) = (current.direct(), pending.direct());
        match self.login.login(&pending).await {
            Ok(_) => return Ok("the database has AWSPENDING's password already"),
            Err(error) if error.is_about_the_user() => {}
            Err(error) => return Err(error.into()),
        }
        match current.master_arn() {
            Some(admin) => self.set_twin(seen, &current, &pending, admin).await,
            None => self.set_own(&current, &pending).await,
        }
    }

    /// Single user: it changes its own password, and the old one is refused from here on.
    async fn set_own(&self, current: &SecretValue, pending: &SecretValue) -> Result<&'static str, StepFailure> {
        let working = self.working(current).await?;
        self.login.change_password(&working, pending.password()?).await?;
        Ok("the database has the user's new password")
    }

    /// Alternating users: the one that applications have in hand is not touched.
    async fn set_twin(&self, seen: &Described, current: &SecretValue, pending: &SecretValue, admin: &str) -> Result<&'static str, StepFailure> {
        check_region(seen, admin)?;
        // Who cannot log in with the secret has no business with its other user.
        self.working(current).await?;
        let admin_seen = self.secrets.describe(admin).await?.ok_or(StepRefusal::NoAdmin)?;
        let admin_value = self.secrets.value(admin, Stage::Current).await?.ok_or(StepRefusal::NoAdmin)?.direct();
        check_admin(seen, current, &admin_seen, &admin_value)?;
        self.login.ensure_twin(&admin_value.in_database_of(current), current, pending).await.map_err(StepFailure::Admin)?;
        Ok("the database has the other user's new password")
    }

    /// AWSCURRENT, or AWSPREVIOUS where the database is behind; never one for another host or user.
    async fn working(&self, current: &SecretValue) -> Result<SecretValue, StepFailure> {
        let refused = match self.login.login(current).await {
            Ok(_) => return Ok(current.clone()),
            Err(error) if error.is_about_the_user() => error,
            Err(error) => return Err(error.into()),
        };
        let Some(previous) = self.secrets.value(self.rotating.secret(), Stage::Previous).await? else { return Err(refused.into()) };
        let same_user = current.master_arn().is_some() || previous.username()? == current.username()?;
        let previous = previous.direct();
        if !same_user || previous.endpoint()? != current.endpoint()? {
            return Err(refused.into());
        }
        self.login.login(&previous).await?;
        Ok(previous)
    }

    async fn current(&self) -> Result<SecretValue, StepFailure> {
        Ok(self.secrets.value(self.rotating.secret(), Stage::Current).await?.ok_or(StepRefusal::NoCurrent)?)
    }

    async fn pending(&self) -> Result<SecretValue, StepFailure> {
        Ok(self.secrets.pending(&self.rotating).await?.ok_or(StepRefusal::Empty)?)
    }
}
