//! Functions, and who may invoke them.
//!
//! The code of a function is a `bootstrap` on this machine, whose path stands in `Code.Path`: the deployer put it there in place of the bucket
//! and key that a packaged template has. What is uploaded is a launcher that becomes that binary: seven binaries of 10 MB, packed here and
//! unpacked in the emulator, take seven seconds of a start that should take fifteen in all.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Physical, Props, ResourceError, Site, Wanted};
use crate::client::{CallError, Service};
use crate::template::text_of;

/// Lambda reports `Pending` while it prepares a function.
const READY_WITHIN: Duration = Duration::from_secs(60);

const ALPHANUMERIC_DASH: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn path(date: &str, function: &str, rest: &str) -> String {
    format!("/{date}/functions/{}{rest}", percent_encoding::utf8_percent_encode(function, ALPHANUMERIC_DASH))
}

pub(super) async fn put_function(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let lambda = wanted.site.service("lambda");
    let name = wanted.name(props, "FunctionName");
    let code = packed(&props.value("Code").unwrap_or_default())?;
    let tags = tags(&props.list("Tags"));
    let architectures = props.value("Architectures").unwrap_or_else(|| json!(["x86_64"]));
    let mut body = props.rest();
    if wanted.is_new() {
        body.extend(entries(json!({"FunctionName": name, "Code": {"ZipFile": code}, "Tags": tags, "Architectures": architectures})));
        lambda.rest_json("CreateFunction", Method::POST, "/2015-03-31/functions", Some(&Value::Object(body))).await?;
    } else {
        let code = json!({"ZipFile": code, "Architectures": architectures});
        lambda.rest_json("UpdateFunctionCode", Method::PUT, &path("2015-03-31", &name, "/code"), Some(&code)).await?;
        is_ready(&lambda, &name).await?;
        let configuration = Value::Object(body);
        lambda.rest_json("UpdateFunctionConfiguration", Method::PUT, &path("2015-03-31", &name, "/configuration"), Some(&configuration)).await?;
    }
    is_ready(&lambda, &name).await?;
    let arn = wanted.site.arn("lambda", &format!("function:{name}"));
    Ok(Physical::new(name, [("Arn", arn)]))
}

fn entries(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// A list of pairs in the template, a map in the API.
fn tags(list: &[Value]) -> Map<String, Value> {
    list.iter().filter_map(|tag| Some((tag.get("Key").map(text_of)?, tag.get("Value").cloned()?))).collect()
}

async fn is_ready(lambda: &Service<'_>, name: &str) -> Result<(), ResourceError> {
    let operation = "GetFunctionConfiguration";
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    loop {
        let answer = lambda.rest_json(operation, Method::GET, &path("2015-03-31", name, "/configuration"), None).await?;
        let state = answer["State"].as_str().unwrap_or("Active");
        let update = answer["LastUpdateStatus"].as_str().unwrap_or("Successful");
        if state == "Active" && update == "Successful" {
            return Ok(());
        }
        if state == "Failed" || update == "Failed" || tokio::time::Instant::now() > deadline {
            let state = format!("{state}, {update}");
            return Err(ResourceError::NotReady { state, wanted: "Active", seconds: READY_WITHIN.as_secs() });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A zip with one executable, in base64. A new build makes new code, as its stamp is in it.
fn packed(code: &Value) -> Result<String, ResourceError> {
    let path = code["Path"].as_str().ok_or_else(|| ResourceError::Property("Code".to_owned()))?;
    let unpackable = |error| ResourceError::Code(PathBuf::from(path), error);
    if !Path::new(path).is_file() {
        return Err(unpackable(std::io::ErrorKind::NotFound.into()));
    }
    let launcher = format!("#!/bin/sh\n# {code}\nexec '{}'\n", path.replace('\'', r"'\''"));
    let pack = || -> std::io::Result<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o755);
        zip.start_file("bootstrap", options)?;
        zip.write_all(launcher.as_bytes())?;
        Ok(zip.finish()?.into_inner())
    };
    pack().map(aws_smithy_types::base64::encode).map_err(unpackable)
}

pub(super) async fn delete_function(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("lambda").rest_json("DeleteFunction", Method::DELETE, &path("2015-03-31", name, ""), None).await?;
    Ok(())
}

pub(super) async fn put_permission(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let lambda = wanted.site.service("lambda");
    let function = props.need("FunctionName")?;
    let statement = super::names::generated(wanted.site, wanted.logical);
    let mut body = Map::from_iter([("StatementId".to_owned(), Value::from(statement.clone()))]);
    for name in ["Action", "Principal", "SourceArn", "SourceAccount", "EventSourceToken", "PrincipalOrgID"] {
        body.extend(props.value(name).map(|value| (name.to_owned(), value)));
    }
    props.end()?;
    // A statement cannot be changed. What was left behind by a deployment that broke off counts as one, too.
    if let Err(error) = remove_permission(&lambda, &function, &statement).await
        && !error.is_not_found()
    {
        return Err(error.into());
    }
    lambda.rest_json("AddPermission", Method::POST, &path("2015-03-31", &function, "/policy"), Some(&Value::Object(body))).await?;
    Ok(Physical::new(statement, []))
}

async fn remove_permission(lambda: &Service<'_>, function: &str, statement: &str) -> Result<(), CallError> {
    let path = path("2015-03-31", function, &format!("/policy/{statement}"));
    lambda.rest_json("RemovePermission", Method::DELETE, &path, None).await.map(|_| ())
}

pub(super) async fn delete_permission(site: &Site<'_>, statement: &str, props: &mut Props) -> Result<(), ResourceError> {
    Ok(remove_permission(&site.service("lambda"), &props.need("FunctionName")?, statement).await?)
}

fn event_invoke_config(props: &mut Props) -> Result<String, ResourceError> {
    let (function, qualifier) = (props.need("FunctionName")?, props.need("Qualifier")?);
    let qualifier = percent_encoding::utf8_percent_encode(&qualifier, ALPHANUMERIC_DASH);
    Ok(path("2019-09-25", &function, &format!("/event-invoke-config?Qualifier={qualifier}")))
}

pub(super) async fn put_event_invoke_config(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let path = event_invoke_config(props)?;
    let body = Value::Object(props.rest());
    wanted.site.service("lambda").rest_json("PutFunctionEventInvokeConfig", Method::PUT, &path, Some(&body)).await?;
    Ok(Physical::new(super::names::generated(wanted.site, wanted.logical), []))
}

pub(super) async fn delete_event_invoke_config(site: &Site<'_>, props: &mut Props) -> Result<(), ResourceError> {
    let path = event_invoke_config(props)?;
    site.service("lambda").rest_json("DeleteFunctionEventInvokeConfig", Method::DELETE, &path, None).await?;
    Ok(())
}
