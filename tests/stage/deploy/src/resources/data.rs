//! Databases and secrets.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::props::{fields, pairs};
use super::{Physical, Props, ResourceError, Site, Wanted};
use crate::client::Service;

const RDS: &str = "2014-10-31";
const SECRETS: &str = "secretsmanager";
/// A real server is made, or copied whole from another.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(120);

pub(super) async fn put_instance(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let rds = wanted.site.service("rds");
    let name = wanted.name(props, "DBInstanceIdentifier").to_lowercase();
    let groups = Value::from(props.texts("VPCSecurityGroups"));
    let tags = Value::Array(props.list("Tags"));
    let source = props.text("SourceDBInstanceIdentifier");
    // Creating a replica takes neither; CloudFormation modifies the replica once it is there, and restarts it for the parameters.
    let later = |props: &mut Props, property| if source.is_some() { props.text(property) } else { None };
    let (retention, parameters) = (later(props, "BackupRetentionPeriod"), later(props, "DBParameterGroupName"));
    // The SDK signs a URL with it, which an emulator does not ask for.
    props.value("SourceRegion");
    let mut body = fields("", &Value::Object(props.rest()), "member");
    body.push(("DBInstanceIdentifier".to_owned(), name.clone()));
    body.extend(fields("VpcSecurityGroupIds", &groups, "VpcSecurityGroupId"));
    body.extend(fields("Tags", &tags, "Tag"));
    let operation = if source.is_some() { "CreateDBInstanceReadReplica" } else { "CreateDBInstance" };
    body.extend(source.map(|source| ("SourceDBInstanceIdentifier".to_owned(), source)));
    rds.query(RDS, operation, &body).await?;
    let physical = available(wanted, &rds, &name).await?;
    if retention.is_none() && parameters.is_none() {
        return Ok(physical);
    }
    let mut body = pairs([("DBInstanceIdentifier", name.as_str()), ("ApplyImmediately", "true")]);
    body.extend(retention.map(|days| ("BackupRetentionPeriod".to_owned(), days)));
    let restart = parameters.is_some();
    body.extend(parameters.map(|group| ("DBParameterGroupName".to_owned(), group)));
    rds.query(RDS, "ModifyDBInstance", &body).await?;
    let physical = available(wanted, &rds, &name).await?;
    if restart {
        rds.query(RDS, "RebootDBInstance", &pairs([("DBInstanceIdentifier", name.as_str())])).await?;
        return available(wanted, &rds, &name).await;
    }
    Ok(physical)
}

async fn available(wanted: &Wanted<'_>, rds: &Service<'_>, name: &str) -> Result<Physical, ResourceError> {
    let deadline = tokio::time::Instant::now() + AVAILABLE_WITHIN;
    loop {
        let answer = rds.query(RDS, "DescribeDBInstances", &pairs([("DBInstanceIdentifier", name)])).await?;
        let text = |element: &str| rds.text("DescribeDBInstances", &answer, element);
        let state = text("DBInstanceStatus")?;
        if state == "available" {
            let arn = wanted.site.arn("rds", &format!("db:{name}"));
            return Ok(Physical::new(name, [("Endpoint.Address", text("Address")?), ("Endpoint.Port", text("Port")?), ("DBInstanceArn", arn)]));
        }
        if tokio::time::Instant::now() > deadline {
            return Err(ResourceError::NotReady { state, wanted: "available", seconds: AVAILABLE_WITHIN.as_secs() });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(super) async fn delete_instance(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    let body = pairs([("DBInstanceIdentifier", name), ("SkipFinalSnapshot", "true"), ("DeleteAutomatedBackups", "true")]);
    site.service("rds").query(RDS, "DeleteDBInstance", &body).await?;
    Ok(())
}

pub(super) async fn put_secret(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let secrets = wanted.site.service("secretsmanager");
    let name = wanted.name(props, "Name");
    let value = match props.value("GenerateSecretString") {
        Some(how) => Some(generated_value(wanted.site, &how).await?),
        None => props.text("SecretString"),
    };
    let optional = ["Description", "KmsKeyId"].map(|name| (name, props.text(name)));
    let (regions, tags) = (props.list("ReplicaRegions"), props.list("Tags"));
    props.end()?;
    let mut body = json!({"ClientRequestToken": token(wanted, value.as_deref())});
    for (name, text) in optional.into_iter().chain([("SecretString", value)]) {
        if let Some(text) = text {
            body[name] = text.into();
        }
    }
    if let Some(arn) = wanted.before_id() {
        body["SecretId"] = arn.into();
        secrets.json(SECRETS, "UpdateSecret", &body).await?;
        return Ok(Physical::new(arn, [("Id", arn.to_owned())]));
    }
    body["Name"] = name.into();
    if !tags.is_empty() {
        body["Tags"] = tags.into();
    }
    let answer = secrets.json(SECRETS, "CreateSecret", &body).await?;
    let arn = secrets.field("CreateSecret", &answer, "/ARN")?;
    // An emulator overlooks replicas that are asked for at creation.
    if !regions.is_empty() {
        secrets.json(SECRETS, "ReplicateSecretToRegions", &json!({"SecretId": arn, "AddReplicaRegions": regions})).await?;
    }
    Ok(Physical::new(arn.clone(), [("Id", arn)]))
}

/// What a secret learns of its database, as AWS writes it.
pub(super) async fn put_attachment(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let (secret, target, kind) = (props.need("SecretId")?, props.need("TargetId")?, props.need("TargetType")?);
    props.end()?;
    let (operation, parameter, host, database, identifier) = match kind.as_str() {
        "AWS::RDS::DBInstance" => ("DescribeDBInstances", "DBInstanceIdentifier", "Address", "DBName", "dbInstanceIdentifier"),
        "AWS::RDS::DBCluster" => ("DescribeDBClusters", "DBClusterIdentifier", "Endpoint", "DatabaseName", "dbClusterIdentifier"),
        _ => return Err(ResourceError::Property("TargetType".to_owned())),
    };
    let (rds, secrets) = (wanted.site.service("rds"), wanted.site.service("secretsmanager"));
    let instance = rds.query(RDS, operation, &pairs([(parameter, target.as_str())])).await?;
    let text = |element: &str| rds.text(operation, &instance, element);
    let answer = secrets.json(SECRETS, "GetSecretValue", &json!({ "SecretId": secret })).await?;
    let mut value: Value = serde_json::from_str(&secrets.field("GetSecretValue", &answer, "/SecretString")?).unwrap_or_default();
    let known = value.as_object_mut().ok_or_else(|| ResourceError::Property("SecretString".to_owned()))?;
    let port = text("Port")?.parse::<u16>().map_err(|_| ResourceError::Property("Endpoint.Port".to_owned()))?;
    known.extend([
        ("engine".to_owned(), text("Engine")?.into()),
        ("host".to_owned(), text(host)?.into()),
        ("port".to_owned(), port.into()),
        ("dbname".to_owned(), text(database)?.into()),
        (identifier.to_owned(), target.into()),
    ]);
    let value = value.to_string();
    let body = json!({ "SecretId": secret, "ClientRequestToken": token(wanted, Some(&value)), "SecretString": value });
    secrets.json(SECRETS, "PutSecretValue", &body).await?;
    Ok(Physical::new(secret.clone(), []))
}

/// The version's id: the same value of the same secret is the same version.
fn token(wanted: &Wanted<'_>, value: Option<&str>) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}/{}", wanted.site.region, wanted.site.stack, wanted.logical, value.unwrap_or_default()));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A password, alone or under a key of a template.
async fn generated_value(site: &Site<'_>, how: &Value) -> Result<String, ResourceError> {
    let mut ask = how.as_object().cloned().unwrap_or_default();
    let (template, key) = (ask.remove("SecretStringTemplate"), ask.remove("GenerateStringKey"));
    let secrets = site.service("secretsmanager");
    let answer = secrets.json(SECRETS, "GetRandomPassword", &Value::Object(ask)).await?;
    let password = secrets.field("GetRandomPassword", &answer, "/RandomPassword")?;
    let wrong = || ResourceError::Property("GenerateSecretString".to_owned());
    match (template.as_ref().and_then(Value::as_str), key.as_ref().and_then(Value::as_str)) {
        (None, None) => Ok(password),
        (Some(template), Some(key)) => {
            let mut value: Value = serde_json::from_str(template).map_err(|_| wrong())?;
            value.as_object_mut().ok_or_else(wrong)?.insert(key.to_owned(), password.into());
            Ok(value.to_string())
        }
        _ => Err(wrong()),
    }
}

pub(super) async fn delete_secret(site: &Site<'_>, arn: &str) -> Result<(), ResourceError> {
    let body = json!({"SecretId": arn, "ForceDeleteWithoutRecovery": true});
    site.service("secretsmanager").json(SECRETS, "DeleteSecret", &body).await?;
    Ok(())
}
