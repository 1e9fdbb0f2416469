//! Secrets Manager, in full, because the order of its answers is what a failover hangs on.
//!
//! ministack has most of it, but not what the product needs proven: an empty AWSPENDING version that RotateSecret makes, a staging label
//! that moves instead of being copied, a token that refuses a second value, StopReplicationToReplica, rotation that calls the function.
//! Patching each from outside would have left two half states to keep equal, so the router holds the secrets itself.
//!
//! ```text
//! store.rs    what a secret is: versions, labels, replicas     (plain values, no I/O)
//! mod.rs      the operations of the API over it
//! rotate.rs   the four calls that a rotation makes
//! ```
//! A replica is a copy of its own in its Region. It is brought up to date after each change of its primary, unless one of the two Regions is
//! dark; when the light comes back, what was missed is caught up, as AWS does.

pub(crate) mod rotate;
mod store;

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::lock;
use crate::request::Parsed;
pub(crate) use store::{Rotation, Secret, Store};

/// An error in Secrets Manager's own code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

pub(crate) fn invalid(message: &str) -> Fault {
    Fault { code: "InvalidRequestException", message: message.to_owned() }
}

fn missing(what: &str) -> Fault {
    Fault { code: "ResourceNotFoundException", message: format!("Secrets Manager can't find the specified secret{what}.") }
}

fn parameter(message: impl Into<String>) -> Fault {
    Fault { code: "InvalidParameterException", message: message.into() }
}

pub(crate) struct Secrets {
    account: String,
    store: Mutex<Store>,
}

impl Secrets {
    pub(crate) fn new(account: &str) -> Self {
        Self { account: account.to_owned(), store: Mutex::default() }
    }

    /// The ARN that IAM judges. A secret that does not exist is judged by the name it was asked for.
    pub(crate) fn arn(&self, region: &str, id: &str) -> String {
        match lock(&self.store).find(region, id) {
            Some(secret) => secret.arn.clone(),
            None if id.starts_with("arn:") => id.to_owned(),
            None => format!("arn:aws:secretsmanager:{region}:{}:secret:{id}", self.account),
        }
    }

    /// Brings replicas up to date that could not be reached.
    pub(crate) fn catch_up(&self, dark: &BTreeSet<String>) {
        lock(&self.store).replicate_all(dark);
    }

    pub(crate) fn with<T>(&self, region: &str, id: &str, work: impl FnOnce(&mut Secret) -> T) -> Option<T> {
        lock(&self.store).find_mut(region, id).map(work)
    }

    /// Answers one call; `None` for what is not the store's business (rotation, random passwords).
    ///
    /// # Errors
    /// In AWS's codes.
    pub(crate) fn handle(&self, call: &Parsed, dark: &BTreeSet<String>) -> Option<Result<Value, Fault>> {
        let mut store = lock(&self.store);
        let region = call.region.as_str();
        let answer = match call.operation.as_str() {
            "CreateSecret" => self.create(&mut store, call),
            "ListSecrets" => Ok(json!({ "SecretList": store.of_region(region).map(Secret::describe).collect::<Vec<_>>() })),
            "BatchGetSecretValue" => batch(&mut store, call),
            "GetSecretValue"
            | "DescribeSecret"
            | "ListSecretVersionIds"
            | "PutSecretValue"
            | "UpdateSecret"
            | "UpdateSecretVersionStage"
            | "DeleteSecret"
            | "RestoreSecret"
            | "TagResource"
            | "UntagResource"
            | "CancelRotateSecret"
            | "PutResourcePolicy"
            | "GetResourcePolicy"
            | "DeleteResourcePolicy" => one(&mut store, call),
            "ValidateResourcePolicy" => Ok(json!({"PolicyValidationPassed": true, "ValidationErrors": []})),
            "ReplicateSecretToRegions" => replicate(&mut store, call, dark),
            "RemoveRegionsFromReplication" => remove_regions(&mut store, call),
            "StopReplicationToReplica" => stop_replication(&mut store, call, dark),
            _ => return None,
        };
        store.replicate_all(dark);
        Some(answer)
    }

    fn create(&self, store: &mut Store, call: &Parsed) -> Result<Value, Fault> {
        let name = call.text("Name").ok_or_else(|| parameter("Name is required."))?;
        let (string, binary) = value_of(call);
        if let Some(existing) = store.find(&call.region, name) {
            let again = call.text("ClientRequestToken").and_then(|token| existing.versions.get(token));
            return match again {
                Some(version) if version.holds(string.as_deref(), binary.as_deref()) => {
                    Ok(json!({"ARN": existing.arn, "Name": name, "VersionId": call.text("ClientRequestToken")}))
                }
                _ => {
                    Err(Fault { code: "ResourceExistsException", message: format!("The operation failed because the secret {name} already exists.") })
                }
            };
        }
        let mut secret = Secret::new(&call.region, &self.account, name);
        secret.description = call.text("Description").unwrap_or_default().to_owned();
        secret.kms_key = call.text("KmsKeyId").map(str::to_owned);
        secret.tags = crate::resources::request_tags(&call.params).into_iter().collect();
        let mut answer = json!({"ARN": secret.arn, "Name": name});
        if string.is_some() || binary.is_some() {
            let id = token(call);
            secret.put(&id, string, binary, &["AWSCURRENT".to_owned()])?;
            answer["VersionId"] = Value::String(id);
        }
        store.add(&call.region, secret);
        let regions = call.params.get("AddReplicaRegions").cloned().unwrap_or(Value::Null);
        if let Some(status) = store.add_replicas(&call.region, name, &regions, forced(call))? {
            answer["ReplicationStatus"] = status;
        }
        Ok(answer)
    }
}

fn forced(call: &Parsed) -> bool {
    call.params.get("ForceOverwriteReplicaSecret").and_then(Value::as_bool).unwrap_or_default()
}

fn token(call: &Parsed) -> String {
    call.text("ClientRequestToken").map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn value_of(call: &Parsed) -> (Option<String>, Option<String>) {
    let text = |name: &str| call.params.get(name).and_then(Value::as_str).map(str::to_owned);
    (text("SecretString"), text("SecretBinary"))
}

fn id_of(call: &Parsed) -> Result<&str, Fault> {
    call.text("SecretId").ok_or_else(|| parameter("SecretId is required."))
}

fn batch(store: &mut Store, call: &Parsed) -> Result<Value, Fault> {
    let ids = call.params.get("SecretIdList").and_then(Value::as_array);
    let ids = ids.ok_or_else(|| parameter("the stage answers BatchGetSecretValue by SecretIdList only"))?;
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for id in ids.iter().filter_map(Value::as_str) {
        let single = Parsed { operation: "GetSecretValue".to_owned(), params: json!({ "SecretId": id }), ..call.clone() };
        match one(store, &single) {
            Ok(value) => values.push(value),
            Err(fault) => errors.push(json!({"SecretId": id, "ErrorCode": fault.code, "Message": fault.message})),
        }
    }
    Ok(json!({"SecretValues": values, "Errors": errors}))
}

/// The operations on one existing secret.
fn one(store: &mut Store, call: &Parsed) -> Result<Value, Fault> {
    let id = id_of(call)?;
    let operation = call.operation.as_str();
    let replicated = store.find(&call.region, id).is_some_and(|secret| !secret.replicas.is_empty());
    let secret = store.find_mut(&call.region, id).ok_or_else(|| missing(""))?;
    let reads = matches!(operation, "GetSecretValue" | "DescribeSecret" | "ListSecretVersionIds" | "GetResourcePolicy");
    if secret.deleted.is_some() && !matches!(operation, "DescribeSecret" | "RestoreSecret" | "DeleteSecret") {
        return Err(invalid("You can't perform this operation on the secret because it was marked for deletion."));
    }
    if !reads && secret.primary_region.is_some() {
        return Err(invalid("You can't perform this operation on a replica secret."));
    }
    let named = json!({"ARN": secret.arn, "Name": secret.name});
    match operation {
        "GetSecretValue" => get_value(secret, call),
        "DescribeSecret" => Ok(secret.describe()),
        "ListSecretVersionIds" => Ok(list_versions(secret, call)),
        "PutSecretValue" => put_value(secret, call),
        "UpdateSecret" => update(secret, call),
        "UpdateSecretVersionStage" => move_stage(secret, call).map(|()| named),
        "DeleteSecret" if replicated => {
            Err(invalid("You can't delete a primary secret that is replicated to other Regions. Remove its replicas first."))
        }
        "DeleteSecret" => {
            let deletion = secret.delete(call.params.get("RecoveryWindowInDays").and_then(Value::as_i64));
            let answer = json!({"ARN": secret.arn, "Name": secret.name, "DeletionDate": deletion});
            if call.params.get("ForceDeleteWithoutRecovery").and_then(Value::as_bool).unwrap_or_default() {
                let name = secret.name.clone();
                store.remove(&call.region, &name);
            }
            Ok(answer)
        }
        "RestoreSecret" => {
            secret.deleted = None;
            secret.changed_now();
            Ok(named)
        }
        "TagResource" => {
            secret.tags.extend(crate::resources::request_tags(&call.params));
            secret.changed_now();
            Ok(json!({}))
        }
        "UntagResource" => {
            let keys = call.params.get("TagKeys").and_then(Value::as_array);
            for key in keys.into_iter().flatten().filter_map(Value::as_str) {
                secret.tags.remove(key);
            }
            secret.changed_now();
            Ok(json!({}))
        }
        "CancelRotateSecret" => {
            secret.rotation.enabled = false;
            Ok(named)
        }
        "PutResourcePolicy" => {
            secret.policy = call.text("ResourcePolicy").map(str::to_owned);
            secret.changed_now();
            Ok(named)
        }
        "DeleteResourcePolicy" => {
            secret.policy = None;
            secret.changed_now();
            Ok(named)
        }
        _ => {
            let mut answer = named;
            if let Some(policy) = &secret.policy {
                answer["ResourcePolicy"] = Value::String(policy.clone());
            }
            Ok(answer)
        }
    }
}

fn get_value(secret: &mut Secret, call: &Parsed) -> Result<Value, Fault> {
    let stage = call.text("VersionStage");
    let id = match call.text("VersionId") {
        Some(id) => id.to_owned(),
        None => {
            let stage = stage.unwrap_or("AWSCURRENT");
            secret.holder(stage).ok_or_else(|| missing(&format!(" value for staging label: {stage}")))?
        }
    };
    let unknown = || missing(&format!(" value for VersionId: {id}"));
    let version = secret.versions.get(&id).ok_or_else(unknown)?;
    if let Some(stage) = stage
        && !version.stages.contains(stage)
    {
        return Err(invalid("You provided a VersionStage that is not associated to the provided VersionId."));
    }
    // A version that rotation has just made holds nothing yet.
    if version.is_empty() {
        let label = stage.map_or_else(unknown, |stage| missing(&format!(" value for staging label: {stage}")));
        return Err(label);
    }
    let mut answer = json!({
        "ARN": secret.arn, "Name": secret.name, "VersionId": id, "CreatedDate": version.created, "VersionStages": version.stages,
    });
    if let Some(string) = &version.string {
        answer["SecretString"] = Value::String(string.clone());
    }
    if let Some(binary) = &version.binary {
        answer["SecretBinary"] = Value::String(binary.clone());
    }
    secret.touch_read();
    Ok(answer)
}

fn list_versions(secret: &Secret, call: &Parsed) -> Value {
    let deprecated = call.params.get("IncludeDeprecated").and_then(Value::as_bool).unwrap_or_default();
    let shown = secret.versions.iter().filter(|(_, version)| deprecated || !version.stages.is_empty());
    let versions: Vec<_> =
        shown.map(|(id, version)| json!({"VersionId": id, "VersionStages": version.stages, "CreatedDate": version.created})).collect();
    json!({"ARN": secret.arn, "Name": secret.name, "Versions": versions})
}

fn put_value(secret: &mut Secret, call: &Parsed) -> Result<Value, Fault> {
    let (string, binary) = value_of(call);
    if string.is_none() == binary.is_none() {
        return Err(parameter("You must provide either SecretString or SecretBinary."));
    }
    let stages = match call.params.get("VersionStages").and_then(Value::as_array) {
        Some(stages) => stages.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => vec!["AWSCURRENT".to_owned()],
    };
    let id = token(call);
    secret.put(&id, string, binary, &stages)?;
    let stages = secret.versions.get(&id).map(|version| version.stages.clone());
    Ok(json!({"ARN": secret.arn, "Name": secret.name, "VersionId": id, "VersionStages": stages}))
}

fn update(secret: &mut Secret, call: &Parsed) -> Result<Value, Fault> {
    let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
    let (string, binary) = value_of(call);
    if string.is_some() || binary.is_some() {
        let id = token(call);
        secret.put(&id, string, binary, &["AWSCURRENT".to_owned()])?;
        answer["VersionId"] = Value::String(id);
    }
    if let Some(description) = call.params.get("Description").and_then(Value::as_str) {
        description.clone_into(&mut secret.description);
    }
    if let Some(key) = call.text("KmsKeyId") {
        secret.kms_key = Some(key.to_owned());
    }
    secret.changed_now();
    Ok(answer)
}

fn move_stage(secret: &mut Secret, call: &Parsed) -> Result<(), Fault> {
    let stage = call.text("VersionStage").ok_or_else(|| parameter("VersionStage is required."))?;
    let (to, from) = (call.text("MoveToVersionId"), call.text("RemoveFromVersionId"));
    for id in [to, from].into_iter().flatten() {
        if !secret.versions.contains_key(id) {
            return Err(missing(&format!(" version: {id}")));
        }
    }
    let holder = secret.holder(stage);
    match (to, from) {
        (None, None) => return Err(parameter("You must specify MoveToVersionId or RemoveFromVersionId.")),
        (_, Some(from)) if holder.as_deref() != Some(from) && to != Some(from) => {
            return Err(parameter(format!("The staging label {stage} is not attached to version {from}.")));
        }
        (Some(to), None) if holder.as_deref().is_some_and(|holder| holder != to) => {
            return Err(parameter(format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {}, so you must explicitly reference that version in RemoveFromVersionId.",
                holder.unwrap_or_default()
            )));
        }
        (None, Some(_)) if stage == "AWSCURRENT" => {
            return Err(parameter("You can't remove the staging label AWSCURRENT: move it to another version."));
        }
        (Some(to), _) => secret.label(to, stage),
        (None, Some(from)) => secret.unlabel(from, stage),
    }
    secret.changed_now();
    Ok(())
}

fn replicate(store: &mut Store, call: &Parsed, dark: &BTreeSet<String>) -> Result<Value, Fault> {
    let secret = store.find(&call.region, id_of(call)?).ok_or_else(|| missing(""))?;
    if secret.primary_region.is_some() {
        return Err(invalid("You can't perform this operation on a replica secret."));
    }
    let (arn, name) = (secret.arn.clone(), secret.name.clone());
    let regions = call.params.get("AddReplicaRegions").cloned().unwrap_or(Value::Null);
    let status = store.add_replicas(&call.region, &name, &regions, forced(call))?;
    store.replicate_all(dark);
    Ok(json!({"ARN": arn, "ReplicationStatus": status}))
}

/// Deletes the replicas, as AWS does: what should live on is cut loose first, in its own Region.
fn remove_regions(store: &mut Store, call: &Parsed) -> Result<Value, Fault> {
    let regions = call.params.get("RemoveReplicaRegions").and_then(Value::as_array).cloned().unwrap_or_default();
    let secret = store.find_mut(&call.region, id_of(call)?).ok_or_else(|| missing(""))?;
    if secret.primary_region.is_some() {
        return Err(invalid("You can't perform this operation on a replica secret."));
    }
    let (arn, name) = (secret.arn.clone(), secret.name.clone());
    for region in regions.iter().filter_map(Value::as_str) {
        secret.replicas.remove(region);
    }
    for region in regions.iter().filter_map(Value::as_str) {
        if store.find(region, &name).is_some_and(|replica| replica.primary_region.as_deref() == Some(&call.region)) {
            store.remove(region, &name);
        }
    }
    let status = store.find(&call.region, &name).map(Secret::replication_status);
    Ok(json!({"ARN": arn, "ReplicationStatus": status}))
}

fn stop_replication(store: &mut Store, call: &Parsed, dark: &BTreeSet<String>) -> Result<Value, Fault> {
    let secret = store.find_mut(&call.region, id_of(call)?).ok_or_else(|| missing(""))?;
    let Some(primary) = secret.primary_region.take() else {
        return Err(invalid("You can't perform this operation on a secret that is not a replica."));
    };
    // What a secret rotates with belongs to the primary: on its own, this one has none.
    secret.rotation = Rotation::default();
    let (arn, name) = (secret.arn.clone(), secret.name.clone());
    // A primary that is dark learns it when the light comes back.
    if !dark.contains(&primary)
        && let Some(primary) = store.find_mut(&primary, &name)
    {
        primary.replicas.remove(&call.region);
    }
    Ok(json!({ "ARN": arn }))
}

#[cfg(test)]
mod tests;
