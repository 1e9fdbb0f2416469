//! Tables and buckets.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::props::document;
use super::{Physical, Props, ResourceError, Site, Wanted};
use crate::client::Service;

const DYNAMODB: &str = "DynamoDB_20120810";
const ACTIVE_WITHIN: Duration = Duration::from_secs(60);

/// A table is made once. What it holds is worth more than any change of its settings.
pub(super) async fn put_table(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let dynamodb = wanted.site.service("dynamodb");
    let name = wanted.name(props, "TableName");
    let (recovery, ttl) = (props.value("PointInTimeRecoverySpecification"), props.value("TimeToLiveSpecification"));
    let encryption = props.value("SSESpecification");
    let mut body = props.rest();
    body.insert("TableName".to_owned(), name.clone().into());
    if let Some(encryption) = encryption {
        let is_on = encryption["SSEEnabled"].as_bool().unwrap_or(true);
        body.insert(
            "SSESpecification".to_owned(),
            json!({"Enabled": is_on, "SSEType": encryption.get("SSEType"), "KMSMasterKeyId": encryption.get("KMSMasterKeyId")}),
        );
    }
    let mut body = Value::Object(body);
    without_nulls(&mut body);
    dynamodb.json(DYNAMODB, "CreateTable", &body).await?;
    is_active(&dynamodb, &name).await?;
    if let Some(recovery) = recovery {
        let body = json!({"TableName": name, "PointInTimeRecoverySpecification": recovery});
        dynamodb.json(DYNAMODB, "UpdateContinuousBackups", &body).await?;
    }
    if let Some(ttl) = ttl {
        dynamodb.json(DYNAMODB, "UpdateTimeToLive", &json!({"TableName": name, "TimeToLiveSpecification": ttl})).await?;
    }
    let arn = wanted.site.arn("dynamodb", &format!("table/{name}"));
    Ok(Physical::new(name, [("Arn", arn)]))
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(object) = value {
        object.retain(|_, value| !value.is_null());
        object.values_mut().for_each(without_nulls);
    }
}

async fn is_active(dynamodb: &Service<'_>, name: &str) -> Result<(), ResourceError> {
    let deadline = tokio::time::Instant::now() + ACTIVE_WITHIN;
    loop {
        let answer = dynamodb.json(DYNAMODB, "DescribeTable", &json!({"TableName": name})).await?;
        let state = dynamodb.field("DescribeTable", &answer, "/Table/TableStatus")?;
        if state == "ACTIVE" {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(ResourceError::NotReady { state, wanted: "ACTIVE", seconds: ACTIVE_WITHIN.as_secs() });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(super) async fn delete_table(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("dynamodb").json(DYNAMODB, "DeleteTable", &json!({"TableName": name})).await?;
    Ok(())
}

const S3_XML: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

pub(super) async fn put_bucket(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let s3 = wanted.site.service("s3");
    let name = wanted.name(props, "BucketName").to_lowercase();
    let region = wanted.site.region;
    let settings = [versioning(props), encryption(props)?, ownership(props)?, public_access(props)];
    props.end()?;
    if wanted.is_new() {
        // us-east-1 is where buckets are that say nothing, and must not be said.
        let place =
            format!("<CreateBucketConfiguration xmlns=\"{S3_XML}\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>");
        let place = if region == "us-east-1" { String::new() } else { place };
        match s3.rest("CreateBucket", Method::PUT, &format!("/{name}"), place).await {
            Err(error) if !error.is("BucketAlreadyOwnedByYou") => return Err(error.into()),
            _ => {}
        }
    }
    for (operation, query, body) in settings.into_iter().flatten() {
        s3.rest(operation, Method::PUT, &format!("/{name}?{query}"), body).await?;
    }
    let attributes = [
        ("Arn", format!("arn:aws:s3:::{name}")),
        ("DomainName", format!("{name}.s3.amazonaws.com")),
        ("RegionalDomainName", format!("{name}.s3.{region}.amazonaws.com")),
    ];
    Ok(Physical::new(name, attributes))
}

/// Operation, query and body of one setting.
type Setting = Option<(&'static str, &'static str, String)>;

fn versioning(props: &mut Props) -> Setting {
    let status = props.value("VersioningConfiguration")?["Status"].as_str()?.to_owned();
    let body = format!("<VersioningConfiguration xmlns=\"{S3_XML}\"><Status>{status}</Status></VersioningConfiguration>");
    Some(("PutBucketVersioning", "versioning", body))
}

fn encryption(props: &mut Props) -> Result<Setting, ResourceError> {
    let Some(value) = props.value("BucketEncryption") else { return Ok(None) };
    let rule = value.pointer("/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault/SSEAlgorithm").and_then(Value::as_str);
    let rule = rule.filter(|algorithm| *algorithm == "AES256").ok_or_else(|| ResourceError::Property("BucketEncryption".to_owned()))?;
    let rule = format!("<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{rule}</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>");
    let body = format!("<ServerSideEncryptionConfiguration xmlns=\"{S3_XML}\">{rule}</ServerSideEncryptionConfiguration>");
    Ok(Some(("PutBucketEncryption", "encryption", body)))
}

fn ownership(props: &mut Props) -> Result<Setting, ResourceError> {
    let Some(value) = props.value("OwnershipControls") else { return Ok(None) };
    let owner = value.pointer("/Rules/0/ObjectOwnership").and_then(Value::as_str);
    let owner = owner.ok_or_else(|| ResourceError::Property("OwnershipControls".to_owned()))?;
    let body = format!("<OwnershipControls xmlns=\"{S3_XML}\"><Rule><ObjectOwnership>{owner}</ObjectOwnership></Rule></OwnershipControls>");
    Ok(Some(("PutBucketOwnershipControls", "ownershipControls", body)))
}

fn public_access(props: &mut Props) -> Setting {
    let value = props.value("PublicAccessBlockConfiguration")?;
    let switch = |name: &str| format!("<{name}>{}</{name}>", value[name].as_bool().unwrap_or_default());
    let switches: String = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"].map(switch).concat();
    let body = format!("<PublicAccessBlockConfiguration xmlns=\"{S3_XML}\">{switches}</PublicAccessBlockConfiguration>");
    Some(("PutPublicAccessBlock", "publicAccessBlock", body))
}

/// A bucket that holds something refuses, here as in AWS.
pub(super) async fn delete_bucket(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("s3").rest("DeleteBucket", Method::DELETE, &format!("/{name}"), String::new()).await?;
    Ok(())
}

pub(super) async fn put_bucket_policy(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let bucket = props.need("Bucket")?;
    let policy = document(&props.value("PolicyDocument").ok_or_else(|| ResourceError::Property("PolicyDocument".to_owned()))?);
    props.end()?;
    wanted.site.service("s3").rest("PutBucketPolicy", Method::PUT, &format!("/{bucket}?policy"), policy).await?;
    Ok(Physical::new(bucket, []))
}

pub(super) async fn delete_bucket_policy(site: &Site<'_>, props: &mut Props) -> Result<(), ResourceError> {
    let bucket = props.need("Bucket")?;
    site.service("s3").rest("DeleteBucketPolicy", Method::DELETE, &format!("/{bucket}?policy"), String::new()).await?;
    Ok(())
}
