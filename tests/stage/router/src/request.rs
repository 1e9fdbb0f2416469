//! What a call says about itself.
//!
//! ```text
//! bytes ─► who signed it (access key, Region, service: the credential scope)
//!       ─► what it asks for (operation, by protocol)
//!       ─► its parameters as one JSON value, whatever the protocol
//! ```
//! The rest of the router reads only this; no other file knows how Query, CBOR or REST look on the wire.

use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::{cbor, rest};

/// How a service speaks. It decides how an error must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Json,
    Query,
    RestJson,
    RestXml,
    Cbor,
}

/// A call as it arrived, its body complete.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// As sent: percent-encoded.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A call that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    /// `None`: nobody signed it.
    pub(crate) access_key: Option<String>,
    pub(crate) region: String,
    /// The name in the credential scope, which is what a signature needs.
    pub(crate) signing_name: String,
    /// The prefix of the service's IAM actions.
    pub(crate) service: String,
    /// The operation by its name in the API.
    pub(crate) operation: String,
    pub(crate) protocol: Protocol,
    /// JSON and CBOR bodies as they are; Query as one flat object; REST adds what path and query name.
    pub(crate) params: Value,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Unreadable {
    #[error("the call is not signed and is no read of an S3 object: sign it, the router tells services apart by their credential scope")]
    Unsigned,
    #[error("the credential scope `{0}` is not KEY/DATE/REGION/SERVICE/aws4_request")]
    Scope(String),
    #[error("the operation of a {service} call cannot be read: {why}")]
    Operation { service: String, why: String },
}

impl Parsed {
    /// A parameter that is a plain string; empty counts as absent, as in the Query protocol.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

/// # Errors
/// When the call is unsigned (and no S3 read) or its operation cannot be told.
pub(crate) fn read(request: &Request) -> Result<Parsed, Unreadable> {
    let Some(scope) = credential_scope(request) else {
        return unsigned(request);
    };
    let mut parts = scope.split('/');
    let (Some(key), Some(_), Some(region), Some(signing_name), Some("aws4_request")) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Unreadable::Scope(scope));
    };
    let service = match signing_name {
        "monitoring" => "cloudwatch",
        other => other,
    };
    let (protocol, operation, params) = understand(request, service)?;
    Ok(Parsed {
        access_key: Some(key.to_owned()),
        region: region.to_owned(),
        signing_name: signing_name.to_owned(),
        service: service.to_owned(),
        operation,
        protocol,
        params,
    })
}

/// A checker reads a bucket by the name that AWS gives it, `BUCKET.s3.REGION.amazonaws.com`; everybody else by the path.
pub(crate) fn path_with_bucket(path: &str, host: Option<&http::HeaderValue>) -> String {
    let bucket =
        host.and_then(|host| host.to_str().ok()).and_then(|host| host.split_once(".s3.")).filter(|(_, rest)| rest.contains(".amazonaws.com"));
    match bucket {
        Some((bucket, _)) => format!("/{bucket}{path}"),
        None => path.to_owned(),
    }
}

fn credential_scope(request: &Request) -> Option<String> {
    if let Some(header) = request.headers.get("authorization").and_then(|value| value.to_str().ok()) {
        let (_, rest) = header.split_once("Credential=")?;
        return rest.split([',', ' ']).next().map(str::to_owned);
    }
    form(&request.query).into_iter().find(|(name, _)| name == "X-Amz-Credential").map(|(_, value)| value)
}

/// Only a bucket can be read by a stranger: a health checker, or whoever reads a public key.
fn unsigned(request: &Request) -> Result<Parsed, Unreadable> {
    if !matches!(request.method, Method::GET | Method::HEAD) || request.path.len() < 2 {
        return Err(Unreadable::Unsigned);
    }
    let (operation, params) = rest::s3(request)?;
    Ok(Parsed {
        access_key: None,
        region: String::new(),
        signing_name: "s3".to_owned(),
        service: "s3".to_owned(),
        operation,
        protocol: Protocol::RestXml,
        params,
    })
}

fn understand(request: &Request, service: &str) -> Result<(Protocol, String, Value), Unreadable> {
    let unreadable = |why: String| Unreadable::Operation { service: service.to_owned(), why };
    if let Some(target) = header(request, "x-amz-target") {
        let operation = target.rsplit('.').next().unwrap_or(target).to_owned();
        let params = json_body(&request.body).map_err(|error| unreadable(format!("its JSON body: {error}")))?;
        return Ok((Protocol::Json, operation, params));
    }
    if header(request, "smithy-protocol") == Some("rpc-v2-cbor") {
        let operation = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        if header(request, "content-encoding").is_some() {
            return Err(unreadable("its body is compressed: send less than 10 KB a call".to_owned()));
        }
        let params = cbor::to_json(&request.body).map_err(|error| unreadable(format!("its CBOR body: {error}")))?;
        return Ok((Protocol::Cbor, operation, params));
    }
    match service {
        "s3" => rest::s3(request).map(|(operation, params)| (Protocol::RestXml, operation, params)),
        "route53" => rest::route53(request).map(|(operation, params)| (Protocol::RestXml, operation, params)),
        "lambda" => rest::lambda(request).map(|(operation, params)| (Protocol::RestJson, operation, params)),
        "scheduler" => rest::scheduler(request).map(|(operation, params)| (Protocol::RestJson, operation, params)),
        "apigateway" => Ok((Protocol::RestJson, request.method.to_string(), path_params(&request.path))),
        _ => {
            let mut fields = form(&request.query);
            fields.extend(form(&String::from_utf8_lossy(&request.body)));
            let params: Map<String, Value> = fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
            match params.get("Action").and_then(Value::as_str).map(str::to_owned) {
                Some(action) => Ok((Protocol::Query, action, Value::Object(params))),
                None => Err(unreadable(format!(
                    "{} {} has no X-Amz-Target, no Action and no protocol that the router knows for this service",
                    request.method, request.path
                ))),
            }
        }
    }
}

fn path_params(path: &str) -> Value {
    serde_json::json!({ "path": decode(path) })
}

pub(crate) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn json_body(body: &[u8]) -> Result<Value, serde_json::Error> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body)
}

pub(crate) fn form(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

pub(crate) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: Method, path: &str, headers: &[(&'static str, &str)], body: &str) -> Request {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>();
        Request { method, path: path.to_owned(), query: query.to_owned(), headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn signed(service: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-west-2/{service}/aws4_request, SignedHeaders=host, Signature=0")
    }

    #[test]
    fn json_call_is_read_by_its_target() {
        let request = call(
            Method::POST,
            "/",
            &[("authorization", &signed("ecs")), ("x-amz-target", "AmazonEC2ContainerServiceV20141113.UpdateService")],
            r#"{"service":"web"}"#,
        );
        let parsed = read(&request).unwrap();
        assert_eq!((parsed.operation.as_str(), parsed.protocol), ("UpdateService", Protocol::Json));
        assert_eq!((parsed.access_key.as_deref(), parsed.region.as_str()), (Some("AKIA"), "us-west-2"));
        assert_eq!(parsed.text("service"), Some("web"));
    }

    #[test]
    fn query_call_is_read_by_its_action() {
        let request =
            call(Method::POST, "/", &[("authorization", &signed("rds"))], "Action=PromoteReadReplica&DBInstanceIdentifier=orders%2Dreplica");
        let parsed = read(&request).unwrap();
        assert_eq!(parsed.operation, "PromoteReadReplica");
        assert_eq!(parsed.text("DBInstanceIdentifier"), Some("orders-replica"));
    }

    #[test]
    fn cbor_call_is_read_by_its_path_under_the_iam_name_of_the_service() {
        let mut request = call(
            Method::POST,
            "/service/GraniteServiceVersion20100801/operation/PutMetricData",
            &[("authorization", &signed("monitoring")), ("smithy-protocol", "rpc-v2-cbor")],
            "",
        );
        request.body = cbor::from_json(&serde_json::json!({"Namespace": "Relight"})).into();
        let parsed = read(&request).unwrap();
        assert_eq!((parsed.service.as_str(), parsed.signing_name.as_str()), ("cloudwatch", "monitoring"));
        assert_eq!((parsed.operation.as_str(), parsed.text("Namespace")), ("PutMetricData", Some("Relight")));
    }

    #[test]
    fn unsigned_read_of_an_object_is_an_anonymous_s3_call() {
        let parsed = read(&call(Method::GET, "/bucket/STOP", &[], "")).unwrap();
        assert_eq!((parsed.access_key, parsed.operation.as_str()), (None, "GetObject"));
    }

    #[test]
    fn a_buckets_own_host_is_its_first_part_of_the_path() {
        let host = http::HeaderValue::from_static("shop-relight-stop-123456789012.s3.us-west-2.amazonaws.com:4566");
        assert_eq!(path_with_bucket("/STOP", Some(&host)), "/shop-relight-stop-123456789012/STOP");
        assert_eq!(path_with_bucket("/bucket/STOP", Some(&http::HeaderValue::from_static("127.0.0.1:4566"))), "/bucket/STOP");
        assert_eq!(path_with_bucket("/bucket/STOP", None), "/bucket/STOP");
    }

    #[test]
    fn unsigned_write_is_refused() {
        assert_eq!(read(&call(Method::PUT, "/bucket/STOP", &[], "")).unwrap_err(), Unreadable::Unsigned);
    }

    #[test]
    fn call_without_any_operation_says_so() {
        let request = call(Method::POST, "/x", &[("authorization", &signed("ec2"))], "a=b");
        assert!(read(&request).unwrap_err().to_string().contains("no X-Amz-Target, no Action"));
    }
}
