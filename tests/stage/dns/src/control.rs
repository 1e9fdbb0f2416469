//! Reads what the control plane holds: hosted zones, record sets, health checks.
//!
//! Plain signed HTTP rather than the SDK's Route 53 client: three lists are read, and the client would cost more time to compile than this crate. The emulator does not judge the
//! signature, it picks the service by it.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{config::Config, error::Error, wire};

const API: &str = "/2013-04-01";
const TIME_OUT: Duration = Duration::from_secs(5);
/// Who signs: the stage itself, whose calls the router does not judge.
const STAGE_KEY: &str = "test";

pub(crate) struct ControlPlane {
    endpoint: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Zones {
    hosted_zones: List<wire::HostedZone>,
    next_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checks {
    health_checks: List<wire::HealthCheck>,
    next_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordSets {
    resource_record_sets: List<wire::RecordSet>,
    is_truncated: bool,
    next_record_name: Option<String>,
    next_record_type: Option<String>,
    next_record_identifier: Option<String>,
}

/// Route 53 wraps each list in an element of its own.
#[derive(Deserialize)]
struct List<T> {
    #[serde(rename = "$value", default = "Vec::new", bound(deserialize = "T: Deserialize<'de>"))]
    items: Vec<T>,
}

impl ControlPlane {
    pub(crate) fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub(crate) async fn read(&self) -> Result<Config, Error> {
        let mut config = Config::default();
        for check in self.health_checks().await? {
            let (id, check) = check.parse()?;
            config.checks.insert(id, check);
        }
        for zone in self.zones().await? {
            for set in self.record_sets(zone.id()).await? {
                if let Some(set) = set.parse()? {
                    config.add(set);
                }
            }
            config.zones.insert(zone.name());
        }
        Ok(config)
    }

    async fn zones(&self) -> Result<Vec<wire::HostedZone>, Error> {
        let mut all = Vec::new();
        let mut query = String::new();
        loop {
            let page: Zones = self.get("ListHostedZones", &format!("/hostedzone?maxitems=100{query}")).await?;
            all.extend(page.hosted_zones.items);
            match page.next_marker.filter(|marker| !marker.is_empty()) {
                Some(marker) => query = format!("&marker={}", encode(&marker)),
                None => return Ok(all),
            }
        }
    }

    async fn health_checks(&self) -> Result<Vec<wire::HealthCheck>, Error> {
        let mut all = Vec::new();
        let mut query = String::new();
        loop {
            let page: Checks = self.get("ListHealthChecks", &format!("/healthcheck?maxitems=100{query}")).await?;
            all.extend(page.health_checks.items);
            match page.next_marker.filter(|marker| !marker.is_empty()) {
                Some(marker) => query = format!("&marker={}", encode(&marker)),
                None => return Ok(all),
            }
        }
    }

    async fn record_sets(&self, zone: &str) -> Result<Vec<wire::RecordSet>, Error> {
        let mut all = Vec::new();
        let mut query = String::new();
        loop {
            let page: RecordSets = self.get("ListResourceRecordSets", &format!("/hostedzone/{zone}/rrset?maxitems=300{query}")).await?;
            all.extend(page.resource_record_sets.items);
            if !page.is_truncated {
                return Ok(all);
            }
            query = [("name", page.next_record_name), ("type", page.next_record_type), ("identifier", page.next_record_identifier)]
                .into_iter()
                .filter_map(|(key, value)| Some(format!("&{key}={}", encode(&value?))))
                .collect();
        }
    }

    async fn get<T: DeserializeOwned>(&self, operation: &'static str, path: &str) -> Result<T, Error> {
        let unreachable =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreachable { operation, endpoint: self.endpoint.clone(), source };
        let request = signed_get(&format!("{}{API}{path}", self.endpoint)).map_err(unreachable)?;
        let answer = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body))
        };
        let (status, body) = tokio::time::timeout(TIME_OUT, answer).await.map_err(|elapsed| unreachable(elapsed.into()))?.map_err(unreachable)?;
        let body = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(Error::Refused { operation, status: status.as_u16(), body: body.chars().take(300).collect() });
        }
        quick_xml::de::from_str(&body).map_err(|source| Error::Unreadable { operation, source })
    }
}

fn signed_get(uri: &str) -> Result<http::Request<Empty<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let identity = Credentials::from_keys(STAGE_KEY, STAGE_KEY, None).into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        // Route 53 is a global service: its only signing Region is us-east-1.
        .region("us-east-1")
        .name("route53")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let signable = SignableRequest::new("GET", uri, std::iter::empty(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    let mut request = http::Request::get(uri).body(Empty::new())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
