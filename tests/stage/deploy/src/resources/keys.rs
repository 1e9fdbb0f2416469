//! KMS: keys and their aliases.

use serde_json::{Map, Value, json};

use super::props::document;
use super::{Physical, Props, ResourceError, Site, Wanted};

const TARGET: &str = "TrentService";

pub(super) async fn put_key(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let kms = wanted.site.service("kms");
    let rotates = props.value("EnableKeyRotation").is_some_and(|rotates| rotates.as_bool().unwrap_or_else(|| rotates == "true"));
    let policy = props.value("KeyPolicy").map(|policy| document(&policy));
    let description = props.value("Description");
    let tags = props.list("Tags");
    props.end()?;
    let mut body = Map::from_iter(policy.map(|policy| ("Policy".to_owned(), Value::from(policy))));
    body.extend(description.map(|description| ("Description".to_owned(), description)));
    if !tags.is_empty() {
        let tag = |tag: &Value| json!({ "TagKey": tag["Key"], "TagValue": tag["Value"] });
        body.insert("Tags".to_owned(), tags.iter().map(tag).collect());
    }
    let answer = kms.json(TARGET, "CreateKey", &Value::Object(body)).await?;
    let field = |pointer: &str| kms.field("CreateKey", &answer, pointer);
    let (id, arn) = (field("/KeyMetadata/KeyId")?, field("/KeyMetadata/Arn")?);
    if rotates {
        kms.json(TARGET, "EnableKeyRotation", &json!({ "KeyId": id })).await?;
    }
    Ok(Physical::new(id.clone(), [("Arn", arn), ("KeyId", id)]))
}

/// A key is never gone at once: whatever was encrypted with it would be, too.
pub(super) async fn delete_key(site: &Site<'_>, id: &str) -> Result<(), ResourceError> {
    site.service("kms").json(TARGET, "ScheduleKeyDeletion", &json!({ "KeyId": id, "PendingWindowInDays": 30 })).await?;
    Ok(())
}

pub(super) async fn put_alias(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let (name, key) = (props.need("AliasName")?, props.need("TargetKeyId")?);
    props.end()?;
    let operation = if wanted.is_new() { "CreateAlias" } else { "UpdateAlias" };
    wanted.site.service("kms").json(TARGET, operation, &json!({ "AliasName": name, "TargetKeyId": key })).await?;
    Ok(Physical::new(name, []))
}

pub(super) async fn delete_alias(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("kms").json(TARGET, "DeleteAlias", &json!({ "AliasName": name })).await?;
    Ok(())
}
