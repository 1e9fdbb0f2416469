//! A secret whose rotation was called, and what else may be the matter with it.

use relight::event::{RotationStep, RotationStepName as Name};
use relight::plan::Engine;
use relight::ports::Stage;
use relight::secret::SecretValue;
use relight_world::secrets::RotatedBy;
use rotate_secret::steps::{self, StepError};
use serde_json::{Map, Value};

use super::{HOST, Scene};

pub(crate) const ADMIN: &str = "shop/admin";
pub(crate) const APP: &str = "shop/app";
pub(crate) const BATCH: &str = "shop/batch";
pub(crate) const ALL: [Name; 4] = [Name::CreateSecret, Name::SetSecret, Name::TestSecret, Name::FinishSecret];

/// A secret whose rotation was called, with nothing done yet.
pub(crate) struct Rotation {
    pub(crate) scene: Scene,
    pub(crate) secret: &'static str,
    pub(crate) token: String,
}

impl Rotation {
    pub(crate) async fn of(secret: &'static str) -> Rotation {
        Rotation::of_engine(secret, Engine::Postgres).await
    }

    pub(crate) async fn of_engine(secret: &'static str, engine: Engine) -> Rotation {
        let mut scene = Scene::promoted_of(engine);
        scene.world.secrets.rotated_by(RotatedBy::Test);
        scene.ticks(1).await;
        let arn = scene.world.secrets.arn(secret);
        let token = scene.world.secrets.steps().into_iter().find(|step| step.secret_id == arn).expect("a rotation").client_request_token;
        Rotation { scene, secret, token }
    }

    pub(crate) async fn take(&self, step: Name) -> Result<String, StepError> {
        self.take_as(step, &self.token).await
    }

    pub(crate) async fn take_as(&self, step: Name, token: &str) -> Result<String, StepError> {
        let step = RotationStep { step, secret_id: self.scene.world.secrets.arn(self.secret), client_request_token: token.to_owned() };
        steps::take(&self.scene.world.secrets, &self.scene.world.login, &step).await
    }

    #[track_caller]
    pub(crate) fn pending(&self) -> SecretValue {
        self.scene.world.secrets.read(self.secret, Stage::Pending).expect("a pending version")
    }

    pub(crate) fn set_pending(&self, value: SecretValue) {
        self.scene.world.secrets.set(self.secret, &self.token, &[Stage::Pending], Some(value));
    }

    pub(crate) fn current(&self) -> SecretValue {
        self.scene.current(self.secret)
    }

    pub(crate) fn opens(&self, value: &SecretValue) -> bool {
        self.scene.world.login.opens(value)
    }

    /// AWSCURRENT as somebody else wrote it, without a rotation.
    pub(crate) fn edit_current(&self, edit: impl FnOnce(&mut Map<String, Value>)) {
        self.edit(self.secret, edit);
    }

    pub(crate) fn edit_admin(&self, edit: impl FnOnce(&mut Map<String, Value>)) {
        self.edit(ADMIN, edit);
    }

    fn edit(&self, secret: &str, edit: impl FnOnce(&mut Map<String, Value>)) {
        let version = self.scene.world.secrets.seen(secret).and_then(|seen| seen.version_at(Stage::Current).map(str::to_owned));
        let value = edited(&self.scene.current(secret), edit);
        self.scene.world.secrets.set(secret, &version.expect("a current version"), &[Stage::Current], Some(value));
    }

    /// AWSPENDING of this rotation as somebody else wrote it.
    pub(crate) fn edit_pending(&self, edit: impl FnOnce(&mut Map<String, Value>)) {
        self.set_pending(edited(&self.pending(), edit));
    }

    /// The database has another password for a user than its secret.
    pub(crate) fn set_password(&self, user: &str, password: &str) {
        self.scene.world.login.set_password(HOST, user, password);
    }
}

pub(crate) fn edited(value: &SecretValue, edit: impl FnOnce(&mut Map<String, Value>)) -> SecretValue {
    let mut fields = serde_json::from_str(&value.to_json()).expect("an object");
    edit(&mut fields);
    SecretValue::parse(&Value::Object(fields).to_string()).expect("a secret")
}
