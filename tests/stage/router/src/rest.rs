//! The REST services, where method and path are the operation.
//!
//! Each function is a table from (method, path) to the operation's name in the API and what the path names. An operation that is
//! not in its table is an error, never a guess: a guessed action would be judged against the wrong statement.

use http::Method;
use serde_json::{Value, json};

use crate::request::{Request, Unreadable, decode, form, json_body};

type Read = Result<(String, Value), Unreadable>;

fn unknown(service: &str, request: &Request) -> Unreadable {
    Unreadable::Operation {
        service: service.to_owned(),
        why: format!("the router has no operation for {} {}?{}: add it to rest.rs", request.method, request.path, request.query),
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
}

/// Merges what the path names into the JSON body.
fn with_body(service: &str, request: &Request, named: Value) -> Result<Value, Unreadable> {
    // An invocation's payload is any JSON, and none of the router's business.
    let mut params = json_body(&request.body).unwrap_or(Value::Null);
    if !params.is_object() {
        params = json!({});
    }
    let Value::Object(named) = named else { return Err(unknown(service, request)) };
    if let Some(params) = params.as_object_mut() {
        params.extend(named.into_iter().filter(|(_, value)| !value.is_null()));
        for (name, value) in form(&request.query) {
            params.entry(name).or_insert(Value::String(value));
        }
    }
    Ok(params)
}

pub(crate) fn lambda(request: &Request) -> Read {
    let path = segments(&request.path);
    let parts: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
    let all_concurrency = form(&request.query).iter().any(|(name, value)| name == "List" && value == "ALL");
    let method = request.method.as_str();
    let operation = match (method, parts.as_slice()) {
        ("POST", ["functions"]) => "CreateFunction",
        ("GET", ["functions"]) => "ListFunctions",
        ("GET", ["functions", _]) => "GetFunction",
        ("DELETE", ["functions", _]) => "DeleteFunction",
        ("GET", ["functions", _, "configuration"]) => "GetFunctionConfiguration",
        ("PUT", ["functions", _, "configuration"]) => "UpdateFunctionConfiguration",
        ("PUT", ["functions", _, "code"]) => "UpdateFunctionCode",
        ("POST", ["functions", _, "invocations"]) => "Invoke",
        ("PUT", ["functions", _, "concurrency"]) => "PutFunctionConcurrency",
        ("GET", ["functions", _, "concurrency"]) => "GetFunctionConcurrency",
        ("DELETE", ["functions", _, "concurrency"]) => "DeleteFunctionConcurrency",
        ("PUT", ["functions", _, "provisioned-concurrency"]) => "PutProvisionedConcurrencyConfig",
        ("GET", ["functions", _, "provisioned-concurrency"]) if all_concurrency => "ListProvisionedConcurrencyConfigs",
        ("GET", ["functions", _, "provisioned-concurrency"]) => "GetProvisionedConcurrencyConfig",
        ("DELETE", ["functions", _, "provisioned-concurrency"]) => "DeleteProvisionedConcurrencyConfig",
        ("PUT", ["functions", _, "event-invoke-config"]) => "PutFunctionEventInvokeConfig",
        ("POST", ["functions", _, "event-invoke-config"]) => "UpdateFunctionEventInvokeConfig",
        ("GET", ["functions", _, "event-invoke-config"]) => "GetFunctionEventInvokeConfig",
        ("DELETE", ["functions", _, "event-invoke-config"]) => "DeleteFunctionEventInvokeConfig",
        ("POST", ["functions", _, "policy"]) => "AddPermission",
        ("GET", ["functions", _, "policy"]) => "GetPolicy",
        ("DELETE", ["functions", _, "policy", _]) => "RemovePermission",
        ("POST", ["functions", _, "versions"]) => "PublishVersion",
        ("GET", ["functions", _, "versions"]) => "ListVersionsByFunction",
        ("POST", ["functions", _, "aliases"]) => "CreateAlias",
        ("GET", ["functions", _, "aliases"]) => "ListAliases",
        ("GET", ["functions", _, "aliases", _]) => "GetAlias",
        ("PUT", ["functions", _, "aliases", _]) => "UpdateAlias",
        ("DELETE", ["functions", _, "aliases", _]) => "DeleteAlias",
        ("POST", ["event-source-mappings"]) => "CreateEventSourceMapping",
        ("GET", ["event-source-mappings"]) => "ListEventSourceMappings",
        ("GET", ["event-source-mappings", _]) => "GetEventSourceMapping",
        ("PUT", ["event-source-mappings", _]) => "UpdateEventSourceMapping",
        ("DELETE", ["event-source-mappings", _]) => "DeleteEventSourceMapping",
        ("GET", ["tags", ..]) => "ListTags",
        ("POST", ["tags", ..]) => "TagResource",
        ("DELETE", ["tags", ..]) => "UntagResource",
        _ => return Err(unknown("lambda", request)),
    };
    let named = match parts.first() {
        Some(&"functions") => {
            let alias = if parts.get(2) == Some(&"aliases") { parts.get(3) } else { None };
            json!({ "FunctionName": parts.get(1), "Name": alias })
        }
        Some(&"tags") => json!({ "Resource": parts[1..].join("/") }),
        _ => json!({ "UUID": parts.get(1) }),
    };
    Ok((operation.to_owned(), with_body("lambda", request, named)?))
}

pub(crate) fn scheduler(request: &Request) -> Read {
    let path = segments(&request.path);
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let operation = match (request.method.as_str(), parts.as_slice()) {
        ("POST", ["schedules", _]) => "CreateSchedule",
        ("GET", ["schedules", _]) => "GetSchedule",
        ("PUT", ["schedules", _]) => "UpdateSchedule",
        ("DELETE", ["schedules", _]) => "DeleteSchedule",
        ("GET", ["schedules"]) => "ListSchedules",
        ("POST", ["schedule-groups", _]) => "CreateScheduleGroup",
        ("GET", ["schedule-groups", _]) => "GetScheduleGroup",
        ("DELETE", ["schedule-groups", _]) => "DeleteScheduleGroup",
        ("GET", ["schedule-groups"]) => "ListScheduleGroups",
        _ => return Err(unknown("scheduler", request)),
    };
    let named = json!({ "Name": parts.get(1) });
    Ok((operation.to_owned(), with_body("scheduler", request, named)?))
}

pub(crate) fn route53(request: &Request) -> Read {
    let path = segments(&request.path);
    let parts: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
    let operation = match (request.method.as_str(), parts.as_slice()) {
        ("POST", ["hostedzone"]) => "CreateHostedZone",
        ("GET", ["hostedzone"]) => "ListHostedZones",
        ("GET", ["hostedzonesbyname"]) => "ListHostedZonesByName",
        ("GET", ["hostedzone", _]) => "GetHostedZone",
        ("DELETE", ["hostedzone", _]) => "DeleteHostedZone",
        ("GET", ["hostedzone", _, "rrset"]) => "ListResourceRecordSets",
        ("POST", ["hostedzone", _, "rrset"]) => "ChangeResourceRecordSets",
        ("POST", ["healthcheck"]) => "CreateHealthCheck",
        ("GET", ["healthcheck"]) => "ListHealthChecks",
        ("GET", ["healthcheck", _]) => "GetHealthCheck",
        ("GET", ["healthcheck", _, "status"]) => "GetHealthCheckStatus",
        ("POST", ["healthcheck", _]) => "UpdateHealthCheck",
        ("DELETE", ["healthcheck", _]) => "DeleteHealthCheck",
        ("GET", ["change", _]) => "GetChange",
        ("POST", ["tags", _, _]) => "ChangeTagsForResource",
        ("GET", ["tags", _, _]) => "ListTagsForResource",
        _ => return Err(unknown("route53", request)),
    };
    Ok((operation.to_owned(), json!({ "Kind": parts.first(), "Id": parts.get(1) })))
}

/// Path style only: the router is reached by address, so a bucket has no host name.
pub(crate) fn s3(request: &Request) -> Read {
    let (bucket, key) = request.path[1..].split_once('/').unwrap_or((&request.path[1..], ""));
    let (bucket, key) = (decode(bucket), decode(key));
    let query = form(&request.query);
    let asks = |name: &str| query.iter().any(|(key, _)| key == name);
    let sub = SUBRESOURCES.iter().find(|(name, ..)| asks(name));
    let operation = match (&request.method, bucket.is_empty(), key.is_empty()) {
        (&Method::GET, true, _) => "ListBuckets".to_owned(),
        (method, false, true) => match (method.as_str(), sub) {
            ("GET", Some((_, get, ..))) => (*get).to_owned(),
            ("PUT", Some((_, _, put, _))) => (*put).to_owned(),
            ("DELETE", Some((.., delete))) => (*delete).to_owned(),
            ("GET", None) if asks("versions") => "ListObjectVersions".to_owned(),
            ("GET", None) if asks("uploads") => "ListMultipartUploads".to_owned(),
            ("GET", None) if asks("list-type") => "ListObjectsV2".to_owned(),
            ("GET", None) => "ListObjects".to_owned(),
            ("HEAD", None) => "HeadBucket".to_owned(),
            ("PUT", None) => "CreateBucket".to_owned(),
            ("DELETE", None) => "DeleteBucket".to_owned(),
            ("POST", None) if asks("delete") => "DeleteObjects".to_owned(),
            _ => return Err(unknown("s3", request)),
        },
        (method, false, false) => match method.as_str() {
            "GET" if asks("tagging") => "GetObjectTagging",
            "PUT" if asks("tagging") => "PutObjectTagging",
            "GET" if asks("acl") || asks("attributes") || asks("uploadId") => return Err(unknown("s3", request)),
            "GET" => "GetObject",
            "HEAD" => "HeadObject",
            "PUT" if asks("uploadId") => "UploadPart",
            "PUT" if asks("acl") => return Err(unknown("s3", request)),
            "PUT" if request.headers.contains_key("x-amz-copy-source") => "CopyObject",
            "PUT" => "PutObject",
            "DELETE" if asks("uploadId") => "AbortMultipartUpload",
            "DELETE" => "DeleteObject",
            "POST" if asks("uploads") => "CreateMultipartUpload",
            "POST" if asks("uploadId") => "CompleteMultipartUpload",
            _ => return Err(unknown("s3", request)),
        }
        .to_owned(),
        _ => return Err(unknown("s3", request)),
    };
    let mut params = json!({ "Bucket": bucket, "Key": key });
    if operation == "CreateBucket" {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let place = body.split_once("<LocationConstraint>").and_then(|(_, rest)| rest.split_once('<'));
        params["LocationConstraint"] = json!(place.map(|(region, _)| region));
    }
    for name in ["prefix", "versionId"] {
        if let Some((_, value)) = query.iter().find(|(key, _)| key == name) {
            params[name] = Value::String(value.clone());
        }
    }
    if let Some(source) = request.headers.get("x-amz-copy-source").and_then(|value| value.to_str().ok()) {
        params["CopySource"] = Value::String(decode(source.trim_start_matches('/')));
    }
    Ok((operation, params))
}

/// (query name, GET, PUT, DELETE)
const SUBRESOURCES: &[(&str, &str, &str, &str)] = &[
    ("policy", "GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"),
    ("policyStatus", "GetBucketPolicyStatus", "GetBucketPolicyStatus", "GetBucketPolicyStatus"),
    ("publicAccessBlock", "GetPublicAccessBlock", "PutPublicAccessBlock", "DeletePublicAccessBlock"),
    ("versioning", "GetBucketVersioning", "PutBucketVersioning", "PutBucketVersioning"),
    ("location", "GetBucketLocation", "GetBucketLocation", "GetBucketLocation"),
    ("encryption", "GetBucketEncryption", "PutBucketEncryption", "DeleteBucketEncryption"),
    ("lifecycle", "GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle"),
    ("replication", "GetBucketReplication", "PutBucketReplication", "DeleteBucketReplication"),
    ("tagging", "GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging"),
    ("ownershipControls", "GetBucketOwnershipControls", "PutBucketOwnershipControls", "DeleteBucketOwnershipControls"),
    ("notification", "GetBucketNotificationConfiguration", "PutBucketNotificationConfiguration", "PutBucketNotificationConfiguration"),
    ("object-lock", "GetObjectLockConfiguration", "PutObjectLockConfiguration", "PutObjectLockConfiguration"),
    ("acl", "GetBucketAcl", "PutBucketAcl", "PutBucketAcl"),
];
