//! Secrets Manager of the standby Region in memory.
//!
//! ```text
//! rotate   empty version under AWSPENDING ─► 2 s ─► the world rotates by itself, as a function would
//!                                        └─► or the test takes the steps and hands them to the real function
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use relight::clock::Clock;
use relight::decide::rotation::step::next_version;
use relight::event::{RotationStep, RotationStepName};
use relight::plan::{Engine, Plan};
use relight::ports::{CallError, Described, DisposableName, HomeSecret, Removal, Rotating, SecretName, Secrets, Stage, Why};
use relight::secret::SecretValue;
use relight::state::Place;
use zeroize::Zeroizing;

use crate::Calls;
use crate::login::LoginWorld;

/// How long a rotation takes when the world does it.
const ROTATION: SignedDuration = SignedDuration::from_secs(2);

#[derive(Debug, Clone, Default)]
struct Version {
    /// Empty until createSecret has put it.
    value: Option<SecretValue>,
    stages: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    arn: String,
    replica_of: Option<String>,
    rotation_enabled: Option<bool>,
    versions: BTreeMap<String, Version>,
    /// A rotation that was called, with its version.
    rotating: Option<(Timestamp, String)>,
    deleting: bool,
}

/// Who does what RotateSecret asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RotatedBy {
    /// The world, after two seconds.
    #[default]
    World,
    /// The test, which takes the steps from [`SecretsWorld::steps`].
    Test,
}

#[derive(Debug, Default)]
struct Store {
    secrets: BTreeMap<String, Held>,
    /// The secrets of the primary Region.
    home: BTreeMap<String, Held>,
    by: RotatedBy,
    passwords: u32,
}

#[derive(Debug, Clone)]
pub struct SecretsWorld {
    calls: Calls,
    clock: Clock,
    login: LoginWorld,
    region: String,
    account: String,
    store: Rc<RefCell<Store>>,
}

impl SecretsWorld {
    /// Each secret of the plan as a replica that names the primary's host, and its user in the data.
    pub fn of(plan: &Plan, calls: Calls, clock: Clock, login: LoginWorld) -> SecretsWorld {
        let (region, account) = (plan.standby.clone(), plan.account.clone());
        let world = SecretsWorld { calls, clock, login, region, account, store: Rc::default() };
        for secret in &plan.secrets {
            let host = plan.database(&secret.database).map(|database| format!("{}.primary.rds.test", database.primary)).unwrap_or_default();
            let engine = plan.database(&secret.database).map_or(Engine::Postgres, |database| database.engine);
            let user = user_of(&secret.name);
            let password = format!("{user}'s \"first\" password");
            world.login.add_user(&user, &password);
            let master = secret.admin.as_ref().map(|admin| relight::secret::arn_in(&world.arn(admin), &plan.primary));
            let text = serde_json::json!({
                "engine": engine.as_str(), "host": host, "port": 5432, "username": user, "password": password, "dbname": "shop", "kept": { "as": "it is" },
            });
            let mut value = SecretValue::parse(&text.to_string()).expect("an object");
            if let Some(master) = master {
                value = value.with_master_arn(&master);
            }
            let current = Version { value: Some(value), stages: labels(&[Stage::Current]) };
            let versions = BTreeMap::from([("00000000-0000-0000-0000-000000000001".to_owned(), current)]);
            let held = Held { arn: world.arn(&secret.name), replica_of: Some(plan.primary.clone()), versions, ..Held::default() };
            let home = Held { arn: relight::secret::arn_in(&held.arn, &plan.primary), replica_of: None, ..held.clone() };
            world.store.borrow_mut().home.insert(secret.name.clone(), home);
            world.store.borrow_mut().secrets.insert(secret.name.clone(), held);
        }
        world
    }

    pub fn rotated_by(&self, by: RotatedBy) {
        self.store.borrow_mut().by = by;
    }

    /// What stands under a label, as an application reads it.
    pub fn read(&self, secret: &str, stage: Stage) -> Option<SecretValue> {
        self.settle();
        self.store.borrow().secrets.get(secret)?.at(stage)?.value.clone()
    }

    /// What stands under a label in the primary Region.
    pub fn read_home(&self, secret: &str, stage: Stage) -> Option<SecretValue> {
        self.store.borrow().home.get(secret)?.at(stage)?.value.clone()
    }

    pub fn lose_home(&self, secret: &str) {
        self.store.borrow_mut().home.remove(secret);
    }

    /// Puts a version as somebody else would have.
    pub fn set(&self, secret: &str, version: &str, stages: &[Stage], value: Option<SecretValue>) {
        let mut store = self.store.borrow_mut();
        let held = store.secrets.get_mut(secret).expect("the world has the secret");
        held.versions.insert(version.to_owned(), Version { value, stages: BTreeSet::new() });
        for stage in stages {
            held.label(version, *stage);
        }
    }

    pub fn set_rotation_enabled(&self, secret: &str, enabled: Option<bool>) {
        self.store.borrow_mut().secrets.get_mut(secret).expect("the world has the secret").rotation_enabled = enabled;
    }

    /// Its replication was stopped: it stands alone.
    pub fn stand_alone(&self, secret: &str) {
        self.store.borrow_mut().secrets.get_mut(secret).expect("the world has the secret").replica_of = None;
    }

    pub fn lose(&self, secret: &str) {
        self.store.borrow_mut().secrets.remove(secret);
    }

    /// It is scheduled for deletion, or restored.
    pub fn delete(&self, secret: &str, deleting: bool) {
        self.store.borrow_mut().secrets.get_mut(secret).expect("the world has the secret").deleting = deleting;
    }

    /// As DescribeSecret shows it, without a call.
    pub fn seen(&self, secret: &str) -> Option<Described> {
        self.settle();
        self.store.borrow().secrets.get(secret).map(|held| held.described(secret))
    }

    pub fn names(&self) -> Vec<String> {
        self.store.borrow().secrets.iter().filter(|(_, held)| !held.deleting).map(|(name, _)| name.clone()).collect()
    }

    /// The steps of each rotation that was called and is not done, in order, as Secrets Manager would invoke them.
    pub fn steps(&self) -> Vec<RotationStep> {
        use RotationStepName::{CreateSecret, FinishSecret, SetSecret, TestSecret};
        let store = self.store.borrow();
        let open = store.secrets.values().filter_map(|held| {
            let (_, version) = held.rotating.as_ref()?;
            (!held.has(version, Stage::Current)).then(|| (held.arn.clone(), version.clone()))
        });
        let steps = |(arn, version): (String, String)| {
            [CreateSecret, SetSecret, TestSecret, FinishSecret].map(|step| RotationStep {
                step,
                secret_id: arn.clone(),
                client_request_token: version.clone(),
            })
        };
        open.flat_map(steps).collect()
    }

    pub fn arn(&self, name: &str) -> String {
        format!("arn:aws:secretsmanager:{}:{}:secret:{name}-AbCdEf", self.region, self.account)
    }

    fn settle(&self) {
        let now = self.clock.now();
        let mut store = self.store.borrow_mut();
        if store.by == RotatedBy::Test {
            return;
        }
        let Store { secrets, passwords, .. } = &mut *store;
        for held in secrets.values_mut() {
            let Some((called, version)) = held.rotating.clone() else { continue };
            if now.duration_since(called) < ROTATION || held.has(&version, Stage::Current) {
                continue;
            }
            *passwords += 1;
            let next = held.at(Stage::Current).and_then(|version| next_version(version.value.as_ref()?, &format!("rotated/{passwords}'\"")).ok());
            if let (Some(next), Some(pending)) = (next, held.versions.get_mut(&version)) {
                self.login.change(&next);
                pending.value = Some(next);
                held.label(&version, Stage::Current);
            }
        }
    }

    fn pass<T>(&self, operation: &'static str, secret: &str, f: impl FnOnce(&mut Store) -> Result<T, Why>) -> Result<T, CallError> {
        self.settle();
        self.calls.pass(operation, Place::Standby, secret, || f(&mut self.store.borrow_mut()))
    }

    fn get(&self, secret: &str, stage: Stage, version: Option<&str>) -> Result<Option<SecretValue>, CallError> {
        self.pass("secretsmanager:GetSecretValue", secret, |store| {
            let Some(held) = store.find(secret) else { return Ok(None) };
            let found = held.versions.iter().find(|(id, held)| held.stages.contains(stage.label()) && version.is_none_or(|version| version == *id));
            Ok(found.and_then(|(_, version)| version.value.clone()))
        })
    }

    fn pass_home<T>(&self, operation: &'static str, secret: &HomeSecret, f: impl FnOnce(&mut Store) -> Result<T, Why>) -> Result<T, CallError> {
        self.calls.pass(operation, Place::Primary, secret.as_str(), || f(&mut self.store.borrow_mut()))
    }

    fn put_version(&self, secret: &str, token: &str, stage: Stage, value: &SecretValue) -> Result<(), CallError> {
        self.pass("secretsmanager:PutSecretValue", secret, |store| store.writable(secret)?.put(token, stage, value))
    }

    fn begin(&self, secret: &str, token: &str) -> Result<(), CallError> {
        let now = self.clock.now();
        self.pass("secretsmanager:RotateSecret", secret, |store| {
            let held = store.writable(secret)?;
            if held.described(secret).stranded(token).is_some() {
                return Err(Why::State("A previous rotation isn't complete. That rotation will be reattempted.".to_owned()));
            }
            held.rotation_enabled = Some(true);
            if !held.versions.contains_key(token) {
                held.versions.insert(token.to_owned(), Version::default());
                held.label(token, Stage::Pending);
                held.rotating = Some((now, token.to_owned()));
            }
            Ok(())
        })
    }
}

/// The last part of a secret's name, as the name of its user.
pub fn user_of(secret: &str) -> String {
    secret.rsplit('/').next().unwrap_or(secret).to_owned()
}

fn labels(stages: &[Stage]) -> BTreeSet<String> {
    stages.iter().map(|stage| stage.label().to_owned()).collect()
}

impl Store {
    /// By name or by ARN.
    fn find(&mut self, secret: &str) -> Option<&mut Held> {
        self.secrets.iter_mut().find(|(name, held)| (*name == secret || held.arn == secret) && !held.deleting).map(|(_, held)| held)
    }

    fn writable(&mut self, secret: &str) -> Result<&mut Held, Why> {
        match self.find(secret) {
            None => Err(Why::NotFound(format!("ResourceNotFoundException: {secret}"))),
            Some(held) if held.replica_of.is_some() => Err(Why::State("You can't perform this operation on a replica secret.".to_owned())),
            Some(held) => Ok(held),
        }
    }
}

impl Held {
    fn described(&self, name: &str) -> Described {
        let labelled = self.versions.iter().filter(|(_, version)| !version.stages.is_empty());
        Described {
            arn: self.arn.clone(),
            name: name.to_owned(),
            replica_of: self.replica_of.clone(),
            rotation_enabled: self.rotation_enabled,
            stages: labelled.map(|(id, version)| (id.clone(), version.stages.clone())).collect(),
        }
    }

    fn at(&self, stage: Stage) -> Option<&Version> {
        self.versions.values().find(|version| version.stages.contains(stage.label()))
    }

    fn has(&self, version: &str, stage: Stage) -> bool {
        self.versions.get(version).is_some_and(|version| version.stages.contains(stage.label()))
    }

    /// A label is on one version: it moves, and what loses AWSCURRENT becomes AWSPREVIOUS.
    fn label(&mut self, version: &str, stage: Stage) {
        let holder = self.versions.iter().find(|(_, held)| held.stages.contains(stage.label())).map(|(id, _)| id.clone());
        if holder.as_deref() == Some(version) {
            return;
        }
        if let Some(holder) = holder {
            self.unlabel(&holder, stage);
            if stage == Stage::Current {
                self.label(&holder, Stage::Previous);
                self.unlabel(version, Stage::Previous);
            }
        }
        if let Some(held) = self.versions.get_mut(version) {
            held.stages.insert(stage.label().to_owned());
        }
    }

    fn unlabel(&mut self, version: &str, stage: Stage) {
        if let Some(held) = self.versions.get_mut(version) {
            held.stages.remove(stage.label());
        }
    }

    fn put(&mut self, token: &str, stage: Stage, value: &SecretValue) -> Result<(), Why> {
        match self.versions.get_mut(token) {
            Some(Version { value: Some(held), .. }) if held == value => return Ok(()),
            Some(Version { value: Some(_), .. }) => {
                return Err(Why::Other(format!("ResourceExistsException: version {token} holds another value"), None));
            }
            Some(empty) => empty.value = Some(value.clone()),
            None => drop(self.versions.insert(token.to_owned(), Version { value: Some(value.clone()), ..Version::default() })),
        }
        self.label(token, stage);
        Ok(())
    }
}

impl Secrets for SecretsWorld {
    async fn describe(&self, secret: &str) -> Result<Option<Described>, CallError> {
        self.pass("secretsmanager:DescribeSecret", secret, |store| {
            let name = store.secrets.iter().find(|(name, held)| *name == secret || held.arn == secret).map(|(name, _)| name.clone());
            Ok(name.and_then(|name| store.find(&name).map(|held| held.described(&name))))
        })
    }

    async fn value(&self, secret: &str, stage: Stage) -> Result<Option<SecretValue>, CallError> {
        self.get(secret, stage, None)
    }

    async fn new_password(&self) -> Result<Zeroizing<String>, CallError> {
        self.pass("secretsmanager:GetRandomPassword", "", |store| {
            store.passwords += 1;
            Ok(Zeroizing::new(format!("random {}'\"", store.passwords)))
        })
    }

    async fn stop_replication(&self, secret: &SecretName) -> Result<(), CallError> {
        self.pass("secretsmanager:StopReplicationToReplica", secret.as_str(), |store| {
            let held = store.find(secret.as_str()).ok_or_else(|| Why::NotFound(secret.to_string()))?;
            held.replica_of = None;
            held.rotation_enabled = None;
            Ok(())
        })
    }

    async fn put(&self, secret: &SecretName, token: &str, value: &SecretValue) -> Result<(), CallError> {
        self.put_version(secret.as_str(), token, Stage::Current, value)
    }

    async fn clear_pending(&self, secret: &SecretName, version: &str) -> Result<(), CallError> {
        self.pass("secretsmanager:UpdateSecretVersionStage", secret.as_str(), |store| {
            store.writable(secret.as_str())?.unlabel(version, Stage::Pending);
            Ok(())
        })
    }

    async fn rotate(&self, secret: &SecretName, token: &str) -> Result<(), CallError> {
        self.begin(secret.as_str(), token)
    }

    async fn create_disposable(&self, secret: &DisposableName, token: &str, value: &SecretValue) -> Result<(), CallError> {
        let arn = self.arn(secret.as_str());
        self.pass("secretsmanager:CreateSecret", secret.as_str(), |store| {
            let held = store.secrets.entry(secret.as_str().to_owned()).or_insert_with(|| {
                let current = Version { value: Some(value.clone()), stages: labels(&[Stage::Current]) };
                Held { arn, versions: BTreeMap::from([(token.to_owned(), current)]), ..Held::default() }
            });
            if held.deleting { Err(Why::State("scheduled for deletion".to_owned())) } else { Ok(()) }
        })
    }

    async fn put_disposable(&self, secret: &DisposableName, token: &str, value: &SecretValue) -> Result<(), CallError> {
        self.put_version(secret.as_str(), token, Stage::Current, value)
    }

    async fn rotate_disposable(&self, secret: &DisposableName, token: &str) -> Result<(), CallError> {
        self.begin(secret.as_str(), token)
    }

    async fn remove_disposable(&self, secret: &DisposableName) -> Result<Removal, CallError> {
        self.pass("secretsmanager:DeleteSecret", secret.as_str(), |store| match store.secrets.get_mut(secret.as_str()) {
            None => Ok(Removal::Gone),
            // Gone in the background: seen once more, then not.
            Some(held) if held.deleting => {
                store.secrets.remove(secret.as_str());
                Ok(Removal::Gone)
            }
            Some(held) => {
                held.deleting = true;
                Ok(Removal::Underway)
            }
        })
    }

    async fn disposables(&self, plan: &str) -> Result<Vec<DisposableName>, CallError> {
        self.pass("secretsmanager:ListSecrets", "", |store| {
            let names = store.secrets.iter().filter(|(_, held)| !held.deleting).map(|(name, _)| name);
            Ok(names.filter_map(|name| DisposableName::named(plan, name)).collect())
        })
    }

    async fn pending(&self, rotating: &Rotating) -> Result<Option<SecretValue>, CallError> {
        self.get(rotating.secret(), Stage::Pending, Some(rotating.version()))
    }

    async fn put_pending(&self, rotating: &Rotating, value: &SecretValue) -> Result<(), CallError> {
        self.put_version(rotating.secret(), rotating.version(), Stage::Pending, value)
    }

    async fn finish(&self, rotating: &Rotating, from: &str) -> Result<(), CallError> {
        self.pass("secretsmanager:UpdateSecretVersionStage", rotating.secret(), |store| {
            let held = store.writable(rotating.secret())?;
            if !held.has(from, Stage::Current) {
                return Err(Why::Other(format!("InvalidParameterException: AWSCURRENT is not attached to version {from}"), None));
            }
            held.label(rotating.version(), Stage::Current);
            Ok(())
        })
    }

    async fn home(&self, secret: &HomeSecret) -> Result<Option<Described>, CallError> {
        self.pass_home("secretsmanager:DescribeSecret", secret, |store| {
            Ok(store.home.get(secret.as_str()).map(|held| held.described(secret.as_str())))
        })
    }

    async fn home_value(&self, secret: &HomeSecret, stage: Stage) -> Result<Option<SecretValue>, CallError> {
        self.pass_home("secretsmanager:GetSecretValue", secret, |store| {
            Ok(store.home.get(secret.as_str()).and_then(|held| held.at(stage)).and_then(|version| version.value.clone()))
        })
    }

    async fn put_home(&self, secret: &HomeSecret, token: &str, value: &SecretValue) -> Result<(), CallError> {
        self.pass_home("secretsmanager:PutSecretValue", secret, |store| {
            let held = store.home.get_mut(secret.as_str()).ok_or_else(|| Why::NotFound(format!("ResourceNotFoundException: {}", secret.as_str())))?;
            held.put(token, Stage::Current, value)
        })
    }

    async fn replicate_again(&self, secret: &HomeSecret, to: &str) -> Result<(), CallError> {
        let arn = relight::secret::arn_in(&self.arn(secret.as_str()), to);
        self.pass_home("secretsmanager:ReplicateSecretToRegions", secret, |store| {
            let home = store.home.get(secret.as_str()).ok_or_else(|| Why::NotFound(format!("ResourceNotFoundException: {}", secret.as_str())))?;
            let replica = Held { arn, replica_of: Some(secret.region().to_owned()), rotating: None, ..home.clone() };
            store.secrets.insert(secret.as_str().to_owned(), replica);
            Ok(())
        })
    }
}
