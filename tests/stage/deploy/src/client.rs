//! One signed call to any AWS service, at one endpoint.
//!
//! Signed by hand rather than through the SDK: a dozen SDK crates would add minutes to a cold build, for calls that are made once, to an
//! emulator. The payload is left out of the signature, which AWS itself allows for S3 only: hashing seven binaries in a debug build
//! takes longer than deploying them.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The emulators' root key.
const ROOT: &str = "test";

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{call} in {region} could not be built: {why}")]
    Build { call: String, region: String, why: String },
    #[error("{call} in {region} got no answer from {endpoint}; is the stage running?")]
    Unreachable { call: String, region: String, endpoint: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{call} in {region} was refused: {code} ({status}) {message}")]
    Refused { call: String, region: String, status: StatusCode, code: String, message: String },
    #[error("{call} in {region} answered without `{field}`")]
    Answer { call: String, region: String, field: String },
}

impl CallError {
    /// Whether the service refused with this code, or one that begins with it: emulators drop or add `Exception` and the like.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code.starts_with(wanted))
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, code, message, .. }
            if *status == StatusCode::NOT_FOUND || code.contains("NotFound") || code.starts_with("NoSuch") || code.contains("NonExistent")
                || message.contains("not found") || message.contains("does not exist"))
    }
}

#[derive(Debug)]
pub(crate) struct Aws {
    endpoint: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A service in a Region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service<'a> {
    aws: &'a Aws,
    region: &'a str,
    /// As the signature names it.
    name: &'static str,
}

/// How a call goes over the wire.
struct Wire<'a> {
    /// `iam:CreateRole`, for errors.
    call: &'a str,
    method: Method,
    /// With its query, percent-encoded.
    path: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: Bytes,
}

impl Aws {
    pub(crate) fn new(endpoint: &str) -> Self {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self { endpoint, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub(crate) fn service<'a>(&'a self, name: &'static str, region: &'a str) -> Service<'a> {
        Service { aws: self, region, name }
    }
}

impl Service<'_> {
    /// AWS JSON: `target` is the prefix of X-Amz-Target.
    pub(crate) async fn json(&self, target: &str, operation: &str, body: &Value) -> Result<Value, CallError> {
        let version = if matches!(self.name, "dynamodb" | "sqs") { "1.0" } else { "1.1" };
        let headers = [("content-type", format!("application/x-amz-json-{version}")), ("x-amz-target", format!("{target}.{operation}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let call = self.call(operation);
        let answer = self.send(Wire { call: &call, method: Method::POST, path: "/", headers: &headers, body: body.to_string().into() }).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// AWS Query; the answer is XML, to be read with [`Service::text`].
    pub(crate) async fn query(&self, version: &str, action: &str, fields: &[(String, String)]) -> Result<String, CallError> {
        let fixed = [("Action", action), ("Version", version)];
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fixed.into_iter().chain(fields)).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let call = self.call(action);
        let answer = self.send(Wire { call: &call, method: Method::POST, path: "/", headers: &headers, body: body.into() }).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// REST with a JSON body.
    pub(crate) async fn rest_json(&self, operation: &str, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let call = self.call(operation);
        let answer = self.send(Wire { call: &call, method, path, headers: &[("content-type", "application/json")], body }).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// REST with a body of XML, or of anything.
    pub(crate) async fn rest(&self, operation: &str, method: Method, path: &str, body: String) -> Result<String, CallError> {
        let call = self.call(operation);
        let answer = self.send(Wire { call: &call, method, path, headers: &[], body: body.into() }).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The text of the first element of this name in an answer in XML.
    pub(crate) fn text(&self, operation: &str, answer: &str, element: &str) -> Result<String, CallError> {
        element_text(answer, element).ok_or_else(|| self.lacks(operation, element))
    }

    /// A text of an answer in JSON, by pointer.
    pub(crate) fn field(&self, operation: &str, answer: &Value, pointer: &str) -> Result<String, CallError> {
        answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| self.lacks(operation, pointer))
    }

    fn lacks(&self, operation: &str, field: &str) -> CallError {
        CallError::Answer { call: self.call(operation), region: self.region.to_owned(), field: field.to_owned() }
    }

    fn call(&self, operation: &str) -> String {
        format!("{}:{operation}", self.name)
    }

    async fn send(&self, wire: Wire<'_>) -> Result<Bytes, CallError> {
        let (call, region) = (wire.call.to_owned(), self.region.to_owned());
        let request = self.signed(wire).map_err(|why| CallError::Build { call: call.clone(), region: region.clone(), why })?;
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| CallError::Unreachable {
            call: call.clone(),
            region: region.clone(),
            endpoint: self.aws.endpoint.clone(),
            source,
        };
        let answer = self.aws.client.request(request).await.map_err(|error| unreachable(error.into()))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| unreachable(error.into()))?.to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        let (code, message) = refusal(&head.headers, &body);
        Err(CallError::Refused { call, region, status: head.status, code, message })
    }

    fn signed(&self, wire: Wire<'_>) -> Result<http::Request<Full<Bytes>>, String> {
        let uri = format!("{}{}", self.aws.endpoint, wire.path);
        let mut request = http::Request::builder().method(wire.method).uri(&uri).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        for (name, value) in wire.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Full::new(wire.body)).map_err(|error| error.to_string())?;
        let identity = Credentials::from_keys(ROOT, ROOT, None).into();
        let mut settings = SigningSettings::default();
        if self.name == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.name)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?;
        let headers = request.headers().clone();
        let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable =
            SignableRequest::new(request.method().as_str(), uri, headers, SignableBody::UnsignedPayload).map_err(|error| error.to_string())?;
        let (instructions, _) = sign(signable, &params.into()).map_err(|error| error.to_string())?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// Code and message of a refusal, in whichever form the service speaks.
fn refusal(headers: &http::HeaderMap, body: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(body);
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let code = header.or_else(|| json["__type"].as_str()).or_else(|| json["Code"].as_str()).unwrap_or("Unknown");
        let message = ["message", "Message"].into_iter().find_map(|name| json[name].as_str()).unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or(code);
        return (code.split(':').next().unwrap_or(code).to_owned(), message.to_owned());
    }
    let element = |name: &str| element_text(&text, name);
    let message = element("Message").unwrap_or_else(|| text.chars().take(200).collect());
    (element("Code").unwrap_or_else(|| "Unknown".to_owned()), message)
}

/// Enough of XML for the flat answers that are read here; what is written may hold anything, and is escaped by quick-xml.
fn element_text(xml: &str, element: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{element}>"))?;
    let (text, _) = rest.split_once(&format!("</{element}>"))?;
    Some(quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), |text| text.into_owned()))
}
