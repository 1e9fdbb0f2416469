//! Which emulator answers, and how a call gets there.
//!
//! ```text
//! rds ─► the stage's RDS │ autoscaling, application-autoscaling, ec2, load balancers, route53, ssm ─► moto │ all else ─► ministack
//! ```
//! The address changes on the way, so the caller's signature is void: each call is signed anew as root, for the same Region and service.
//! A judged caller was judged before; the emulators' own judgement has false denials and is switched off by this.

use std::net::SocketAddr;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::directory::{ROOT_KEY, ROOT_SECRET};
use crate::request::Request;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Ministack,
    Moto,
    Rds,
}

pub(crate) fn backend(service: &str) -> Backend {
    match service {
        "rds" => Backend::Rds,
        // A group's launch template must stand where the group does, and a load balancer where its subnets are. Systems Manager tells the newest
        // machine image, which moto knows as AWS publishes it.
        "autoscaling" | "application-autoscaling" | "ec2" | "elasticloadbalancing" | "route53" | "ssm" => Backend::Moto,
        _ => Backend::Ministack,
    }
}

/// What a backend said, complete.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The emulators answer what they lack, or crash on, with a page for people.
    pub(crate) fn is_html(&self) -> bool {
        let html = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.starts_with("text/html"));
        let start = self.body.trim_ascii_start();
        let page = start.len() >= 5 && (start[..5].eq_ignore_ascii_case(b"<!doc") || start[..5].eq_ignore_ascii_case(b"<html"));
        page || (!self.status.is_success() && self.headers.get(CONTENT_TYPE).is_some_and(html))
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("signing the call anew as root failed: {0}")]
    Sign(String),
    #[error("building the call to {0} failed")]
    Build(SocketAddr, #[source] http::Error),
    #[error("{0:?} at {1} does not answer: is it running?")]
    Unreachable(Backend, SocketAddr, #[source] hyper_util::client::legacy::Error),
    #[error("the answer of {0:?} at {1} broke off")]
    Broken(Backend, SocketAddr, #[source] hyper::Error),
}

#[derive(Clone, Debug)]
pub(crate) struct Backends {
    pub(crate) ministack: SocketAddr,
    pub(crate) moto: SocketAddr,
    pub(crate) rds: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Backends {
    pub(crate) fn new(ministack: SocketAddr, moto: SocketAddr, rds: SocketAddr) -> Self {
        Self { ministack, moto, rds, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    fn address(&self, backend: Backend) -> SocketAddr {
        match backend {
            Backend::Ministack => self.ministack,
            Backend::Moto => self.moto,
            Backend::Rds => self.rds,
        }
    }

    /// Sends a call on, signed as root.
    pub(crate) async fn forward(&self, request: &Request, name: &str, region: &str) -> Result<Answer, ForwardError> {
        let backend = backend(name);
        let mut onward = self.onward(request, backend)?;
        sign_as_root(&mut onward, name, region).map_err(ForwardError::Sign)?;
        self.send(onward, backend).await
    }

    /// Tells moto what ECS was told: its Application Auto Scaling registers targets only for services that it knows. What it answers
    /// concerns nobody, ministack's ECS is the one that counts.
    pub(crate) async fn shadow(&self, request: &Request, name: &str, region: &str) {
        let Ok(mut onward) = self.onward(request, Backend::Moto) else { return };
        if sign_as_root(&mut onward, name, region).is_ok() {
            let _ = self.send(onward, Backend::Moto).await;
        }
    }

    /// Sends a stranger's call on as it is: whether a bucket is public is the backend's to know.
    pub(crate) async fn forward_unsigned(&self, request: &Request) -> Result<Answer, ForwardError> {
        self.send(self.onward(request, Backend::Ministack)?, Backend::Ministack).await
    }

    fn onward(&self, request: &Request, backend: Backend) -> Result<http::Request<Bytes>, ForwardError> {
        let address = self.address(backend);
        let query = unsigned_query(&request.query);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut onward = http::Request::builder()
            .method(&request.method)
            .uri(format!("http://{address}{}{mark}{query}", request.path))
            .body(request.body.clone())
            .map_err(|error| ForwardError::Build(address, error))?;
        for (name, value) in &request.headers {
            let hop = [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, AUTHORIZATION].contains(name);
            if !hop && !matches!(name.as_str(), "x-amz-date" | "x-amz-security-token") {
                onward.headers_mut().append(name, value.clone());
            }
        }
        Ok(onward)
    }

    async fn send(&self, onward: http::Request<Bytes>, backend: Backend) -> Result<Answer, ForwardError> {
        let address = self.address(backend);
        let answer = self.client.request(onward.map(Full::new)).await.map_err(|error| ForwardError::Unreachable(backend, address, error))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| ForwardError::Broken(backend, address, error))?.to_bytes();
        let mut headers = parts.headers;
        for hop in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(hop);
        }
        Ok(Answer { status: parts.status, headers, body })
    }

    /// A call of the router itself to a Query service.
    pub(crate) async fn query(&self, name: &str, region: &str, fields: &[(&str, &str)]) -> Result<Answer, ForwardError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = own(Method::POST, "/".to_owned(), body.into());
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        self.forward(&request, name, region).await
    }
}

/// A call that starts here.
pub(crate) fn own(method: Method, path: String, body: Bytes) -> Request {
    Request { method, path, query: String::new(), headers: HeaderMap::new(), body }
}

/// A presigned URL's signature goes the way of the signing header.
fn unsigned_query(query: &str) -> String {
    const SIGNATURE: &[&str] = &[
        "X-Amz-Algorithm=",
        "X-Amz-Credential=",
        "X-Amz-Date=",
        "X-Amz-Expires=",
        "X-Amz-SignedHeaders=",
        "X-Amz-Signature=",
        "X-Amz-Security-Token=",
    ];
    let kept = query.split('&').filter(|part| !SIGNATURE.iter().any(|name| part.starts_with(name)));
    kept.collect::<Vec<_>>().join("&")
}

fn sign_as_root(request: &mut http::Request<Bytes>, name: &str, region: &str) -> Result<(), String> {
    let identity = Credentials::from_keys(ROOT_KEY, ROOT_SECRET, None).into();
    let mut settings = SigningSettings::default();
    if name == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(name)
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?;
    let headers = request.headers().clone();
    let text = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    // A streamed upload is framed by its client, whose word for the body's hash must stay.
    let body = match headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok()) {
        Some(hash) => SignableBody::Precomputed(hash.to_owned()),
        None => SignableBody::Bytes(request.body()),
    };
    let uri = request.uri().to_string();
    let signable = SignableRequest::new(request.method().as_str(), uri.as_str(), text, body).map_err(|error| error.to_string())?;
    let (instructions, _) = sign(signable, &params.into()).map_err(|error| error.to_string())?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_ministack_lacks_go_elsewhere() {
        assert_eq!(backend("rds"), Backend::Rds);
        assert_eq!(backend("application-autoscaling"), Backend::Moto);
        assert_eq!(backend("monitoring"), Backend::Ministack);
    }

    #[test]
    fn a_presigned_url_loses_its_signature_and_keeps_the_rest() {
        assert_eq!(unsigned_query("versionId=3&X-Amz-Signature=ab&X-Amz-Date=1"), "versionId=3");
    }

    #[test]
    fn an_html_error_is_told_from_an_xml_one() {
        let answer = |kind: &'static str, body: &'static str| Answer {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]),
            body: Bytes::from_static(body.as_bytes()),
        };
        assert!(answer("text/html; charset=utf-8", "oops").is_html());
        assert!(answer("text/plain", "\n<!DOCTYPE html>").is_html());
        assert!(!answer("text/xml", "<ErrorResponse/>").is_html());
    }
}
