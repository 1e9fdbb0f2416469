//! What a secret is: versions under moving labels, and copies in other Regions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Fault, invalid, parameter};

#[derive(Clone, Debug, Default)]
pub(crate) struct Version {
    pub(crate) string: Option<String>,
    pub(crate) binary: Option<String>,
    pub(crate) created: f64,
    pub(crate) stages: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Rotation {
    pub(crate) enabled: bool,
    pub(crate) lambda: Option<String>,
    pub(crate) rules: Option<Value>,
    pub(crate) last: Option<f64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Replica {
    status: &'static str,
    message: &'static str,
    kms_key: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) kms_key: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    created: f64,
    changed: f64,
    read: Option<f64>,
    pub(crate) deleted: Option<f64>,
    pub(crate) versions: BTreeMap<String, Version>,
    pub(crate) rotation: Rotation,
    pub(crate) policy: Option<String>,
    /// Where the primary lives, while this is a replica.
    pub(crate) primary_region: Option<String>,
    pub(crate) replicas: BTreeMap<String, Replica>,
    /// Counts changes, so that a replica knows whether it is behind.
    generation: u64,
}

fn now() -> f64 {
    let now = Timestamp::now();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century fit into 52 bits")]
    let seconds = now.as_millisecond() as f64 / 1000.0;
    seconds
}

impl Version {
    pub(crate) fn is_empty(&self) -> bool {
        self.string.is_none() && self.binary.is_none()
    }

    pub(crate) fn holds(&self, string: Option<&str>, binary: Option<&str>) -> bool {
        self.string.as_deref() == string && self.binary.as_deref() == binary
    }
}

impl Secret {
    pub(crate) fn new(region: &str, account: &str, name: &str) -> Self {
        let suffix: String = uuid::Uuid::new_v4().simple().to_string().chars().take(6).collect();
        Self {
            arn: format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-{suffix}"),
            name: name.to_owned(),
            description: String::new(),
            kms_key: None,
            tags: BTreeMap::new(),
            created: now(),
            changed: now(),
            read: None,
            deleted: None,
            versions: BTreeMap::new(),
            rotation: Rotation::default(),
            policy: None,
            primary_region: None,
            replicas: BTreeMap::new(),
            generation: 0,
        }
    }

    /// The version that a label is on.
    pub(crate) fn holder(&self, stage: &str) -> Option<String> {
        self.versions.iter().find(|(_, version)| version.stages.contains(stage)).map(|(id, _)| id.clone())
    }

    /// Adds a version, or fills the empty one that rotation made under this token.
    ///
    /// # Errors
    /// When the token stands for another value already: a version's value never changes.
    pub(crate) fn put(&mut self, id: &str, string: Option<String>, binary: Option<String>, stages: &[String]) -> Result<(), Fault> {
        if !(32..=64).contains(&id.len()) {
            return Err(parameter("ClientRequestToken must be 32 to 64 characters long."));
        }
        match self.versions.get_mut(id) {
            Some(version) if version.is_empty() => (version.string, version.binary) = (string, binary),
            // The same again is a retry: nothing changes, not even the labels.
            Some(version) if version.holds(string.as_deref(), binary.as_deref()) => return Ok(()),
            Some(_) => {
                return Err(Fault {
                    code: "ResourceExistsException",
                    message: format!(
                        "You can't use ClientRequestToken {id} because that value is already in use for a version of secret {}.",
                        self.arn
                    ),
                });
            }
            None => {
                let version = Version { string, binary, created: now(), stages: BTreeSet::new() };
                self.versions.insert(id.to_owned(), version);
            }
        }
        for stage in stages {
            self.label(id, stage);
        }
        self.changed_now();
        Ok(())
    }

    /// Makes the empty version that a rotation fills.
    pub(crate) fn begin_rotation(&mut self, id: &str) {
        self.versions.entry(id.to_owned()).or_insert_with(|| Version { created: now(), ..Version::default() });
        self.label(id, "AWSPENDING");
        self.changed_now();
    }

    /// A pending copy of the current value, for a trial of the rotation function.
    pub(crate) fn pend_current(&mut self, id: &str) {
        let current = self.holder("AWSCURRENT").and_then(|current| self.versions.get(&current)).cloned().unwrap_or_default();
        let copy = Version { created: now(), stages: BTreeSet::new(), ..current };
        self.versions.entry(id.to_owned()).or_insert(copy);
        self.label(id, "AWSPENDING");
    }

    pub(crate) fn rotated(&mut self) {
        self.rotation.last = Some(now());
        self.changed_now();
    }

    /// A label is on one version: it moves. The version that loses AWSCURRENT becomes AWSPREVIOUS.
    pub(crate) fn label(&mut self, id: &str, stage: &str) {
        let holder = self.holder(stage);
        if holder.as_deref() == Some(id) {
            return;
        }
        if let Some(holder) = holder {
            self.unlabel(&holder, stage);
            if stage == "AWSCURRENT" {
                self.label(&holder, "AWSPREVIOUS");
                self.unlabel(id, "AWSPREVIOUS");
            }
        }
        if let Some(version) = self.versions.get_mut(id) {
            version.stages.insert(stage.to_owned());
        }
    }

    pub(crate) fn unlabel(&mut self, id: &str, stage: &str) {
        if let Some(version) = self.versions.get_mut(id) {
            version.stages.remove(stage);
        }
    }

    pub(crate) fn changed_now(&mut self) {
        self.changed = now();
        self.generation += 1;
    }

    pub(crate) fn touch_read(&mut self) {
        // AWS tells the day only.
        self.read = Some((now() / 86_400.0).floor() * 86_400.0);
    }

    pub(crate) fn delete(&mut self, window_days: Option<i64>) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a window is at most 30 days")]
        let date = now() + window_days.unwrap_or(30) as f64 * 86_400.0;
        self.deleted = Some(date);
        self.changed_now();
        date
    }

    pub(crate) fn replication_status(&self) -> Value {
        let rows = self.replicas.iter().map(|(region, replica)| {
            let mut row = json!({"Region": region, "Status": replica.status, "StatusMessage": replica.message});
            if let Some(key) = &replica.kms_key {
                row["KmsKeyId"] = Value::String(key.clone());
            }
            row
        });
        Value::Array(rows.collect())
    }

    pub(crate) fn describe(&self) -> Value {
        let labelled = self.versions.iter().filter(|(_, version)| !version.stages.is_empty());
        let stages: BTreeMap<_, _> = labelled.map(|(id, version)| (id.clone(), &version.stages)).collect();
        let tags: Vec<_> = self.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        let mut answer = json!({
            "ARN": self.arn, "Name": self.name, "Description": self.description, "CreatedDate": self.created,
            "LastChangedDate": self.changed, "Tags": tags, "VersionIdsToStages": stages, "SecretVersionsToStages": stages,
            "RotationEnabled": self.rotation.enabled,
        });
        let optional = [
            ("KmsKeyId", self.kms_key.clone().map(Value::from)),
            ("LastAccessedDate", self.read.map(Value::from)),
            ("DeletedDate", self.deleted.map(Value::from)),
            ("RotationLambdaARN", self.rotation.lambda.clone().map(Value::from)),
            ("RotationRules", self.rotation.rules.clone()),
            ("LastRotatedDate", self.rotation.last.map(Value::from)),
            ("PrimaryRegion", self.primary_region.clone().map(Value::from)),
            ("ReplicationStatus", (!self.replicas.is_empty()).then(|| self.replication_status())),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                answer[name] = value;
            }
        }
        answer
    }
}

/// All secrets, by Region and name.
#[derive(Debug, Default)]
pub(crate) struct Store(HashMap<(String, String), Secret>);

impl Store {
    /// By name, by ARN, or by ARN without its suffix. An ARN of another Region is not found, as in AWS.
    pub(crate) fn find(&self, region: &str, id: &str) -> Option<&Secret> {
        let name = self.name_of(region, id)?;
        self.0.get(&(region.to_owned(), name))
    }

    pub(crate) fn find_mut(&mut self, region: &str, id: &str) -> Option<&mut Secret> {
        let name = self.name_of(region, id)?;
        self.0.get_mut(&(region.to_owned(), name))
    }

    fn name_of(&self, region: &str, id: &str) -> Option<String> {
        if !id.starts_with("arn:") {
            return Some(id.to_owned());
        }
        let named = |secret: &&Secret| secret.arn == id || secret.arn.rsplit_once('-').is_some_and(|(bare, _)| bare == id);
        self.of_region(region).find(named).map(|secret| secret.name.clone())
    }

    pub(crate) fn of_region<'a>(&'a self, region: &'a str) -> impl Iterator<Item = &'a Secret> {
        self.0.iter().filter(move |((home, _), _)| home == region).map(|(_, secret)| secret)
    }

    pub(crate) fn add(&mut self, region: &str, secret: Secret) {
        self.0.insert((region.to_owned(), secret.name.clone()), secret);
    }

    pub(crate) fn remove(&mut self, region: &str, name: &str) {
        self.0.remove(&(region.to_owned(), name.to_owned()));
    }

    /// Notes new replicas; the copy itself is made by the replication that follows.
    pub(crate) fn add_replicas(&mut self, region: &str, name: &str, regions: &Value, force: bool) -> Result<Option<Value>, Fault> {
        let Some(regions) = regions.as_array().filter(|regions| !regions.is_empty()) else { return Ok(None) };
        let mut statuses = BTreeMap::new();
        for wanted in regions {
            let Some(target) = wanted.get("Region").and_then(Value::as_str) else { continue };
            if target == region {
                return Err(parameter("The replica Region can't be the Region of the primary secret."));
            }
            let foreign = self.find(target, name).is_some_and(|there| there.primary_region.as_deref() != Some(region));
            let (status, message) = match (foreign, force) {
                (true, false) => ("Failed", "Replication failed: Secret name simple conflict"),
                (true, true) => {
                    self.remove(target, name);
                    ("InProgress", "")
                }
                (false, _) => ("InProgress", ""),
            };
            let kms_key = wanted.get("KmsKeyId").and_then(Value::as_str).map(str::to_owned);
            statuses.insert(target.to_owned(), Replica { status, message, kms_key });
        }
        let secret = self.find_mut(region, name).ok_or_else(|| invalid("The secret is gone."))?;
        secret.replicas.extend(statuses);
        Ok(Some(secret.replication_status()))
    }

    /// Brings every replica up to date that can be reached.
    pub(crate) fn replicate_all(&mut self, dark: &BTreeSet<String>) {
        let primaries: Vec<(String, String)> = self.0.iter().filter(|(_, secret)| !secret.replicas.is_empty()).map(|(key, _)| key.clone()).collect();
        for (home, name) in primaries.into_iter().filter(|(home, _)| !dark.contains(home)) {
            let Some(primary) = self.0.get(&(home.clone(), name.clone())).cloned() else { continue };
            for (region, replica) in primary.replicas.iter().filter(|(region, _)| !dark.contains(*region)) {
                let status = self.replicate_one(&home, &primary, region, replica);
                if let Some(primary) = self.0.get_mut(&(home.clone(), name.clone()))
                    && let Some(replica) = primary.replicas.get_mut(region)
                {
                    (replica.status, replica.message) = status;
                }
            }
        }
    }

    fn replicate_one(&mut self, home: &str, primary: &Secret, region: &str, replica: &Replica) -> (&'static str, &'static str) {
        let there = self.find(region, &primary.name);
        let ours = there.is_none_or(|there| there.primary_region.as_deref() == Some(home));
        if !ours {
            // It was cut loose, or somebody else's: a primary never overwrites it unasked.
            return ("Failed", "Replication failed: Secret name simple conflict");
        }
        if there.is_some_and(|there| there.generation == primary.generation && there.arn.ends_with(&primary.name_and_suffix())) {
            return ("InSync", "");
        }
        let read = there.and_then(|there| there.read);
        let copy = Secret {
            arn: primary.arn.replacen(home, region, 1),
            kms_key: replica.kms_key.clone(),
            primary_region: Some(home.to_owned()),
            replicas: BTreeMap::new(),
            rotation: Rotation::default(),
            read,
            ..primary.clone()
        };
        self.add(region, copy);
        ("InSync", "")
    }
}

impl Secret {
    fn name_and_suffix(&self) -> String {
        self.arn.splitn(7, ':').nth(6).unwrap_or_default().to_owned()
    }
}
