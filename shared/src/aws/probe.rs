//! One HTTP GET, as a new user would send it.
//!
//! Each request connects anew. Over a kept connection a probe would see yesterday's path: a Lambda environment sleeps
//! between two ticks, and a connection that died meanwhile reads like a primary that does not answer. So this connector
//! is not the SDK's, whose connections are kept; like that one it is made once, with the first request.
//!
//! ```text
//! resolve the name ──► connect, ask, read: within the time-out
//!    └─ not asked           └─ silent, or answered
//! ```
//!
//! The name is resolved first and on its own time. Inside the time-out a resolver in trouble would look like a primary
//! that does not answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::byte_stream::ByteStream;
use tokio::time::timeout;

use super::dns::Dns;
use crate::ports::{Fetched, Validate};

/// What a probe reads of an answer; a health page is shorter.
const READ: usize = 64 * 1024;

/// How long a drill waits for one page of the standby.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Probe {
    dns: Dns,
    /// What the names of the requests under way stand for.
    resolved: Known,
    connector: Arc<OnceLock<SharedHttpConnector>>,
}

impl Validate for Probe {
    async fn look(&self, url: &str) -> Result<String, String> {
        match self.fetch(url, LOOK).await {
            Fetched::Answered { status: 200, .. } => Ok("answered 200".to_owned()),
            Fetched::Answered { status, .. } => Err(format!("answered {status}")),
            Fetched::Silent(why) => Err(format!("no answer within {} s: {why}", LOOK.as_secs())),
            Fetched::NotAsked(why) => Err(format!("not asked: {why}")),
        }
    }
}

impl Probe {
    pub fn new(dns: Dns) -> Probe {
        Probe { dns, resolved: Known::default(), connector: Arc::default() }
    }

    /// Fetches `url`, all of it within `within`.
    pub async fn fetch(&self, url: &str, within: Duration) -> Fetched {
        let request = match HttpRequest::get(url) {
            Ok(mut request) => {
                request.headers_mut().insert("user-agent", concat!("relight/", env!("CARGO_PKG_VERSION")));
                request
            }
            Err(error) => return Fetched::NotAsked(format!("`{url}` cannot be asked: {error}")),
        };
        if let Err(why) = self.resolve(&request).await {
            return Fetched::NotAsked(why);
        }
        match timeout(within, self.exchange(request)).await {
            Ok(fetched) => fetched,
            Err(_) => Fetched::Silent(format!("no answer within {} s", within.as_secs_f64())),
        }
    }

    async fn resolve(&self, request: &HttpRequest) -> Result<(), String> {
        let uri: http::Uri = request.uri().parse().map_err(|error| format!("`{}` is no URL: {error}", request.uri()))?;
        let host = uri.host().ok_or_else(|| format!("`{uri}` names no host"))?;
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        let resolved = self.dns.resolve(host).await.map_err(|error| error.to_string())?;
        self.resolved.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), resolved.addresses.into_iter().collect());
        Ok(())
    }

    async fn exchange(&self, request: HttpRequest) -> Fetched {
        let response = match self.connector().call(request).await {
            Ok(response) => response,
            Err(error) if is_ours(&error) => return Fetched::NotAsked(chain(&error)),
            Err(error) => return Fetched::Silent(chain(&error)),
        };
        let status = response.status().as_u16();
        match body(response).await {
            Ok(body) => Fetched::Answered { status, body },
            Err(why) => Fetched::Silent(format!("answered {status}, and broke off: {why}")),
        }
    }

    fn connector(&self) -> &SharedHttpConnector {
        self.connector.get_or_init(|| {
            let builder = Connector::builder().pool_max_idle_per_host(0).tls_provider(Provider::Rustls(CryptoMode::Ring));
            SharedHttpConnector::new(builder.build_with_resolver(self.resolved.clone()))
        })
    }
}

/// The connector asks nobody: it connects to what was just resolved.
#[derive(Debug, Clone, Default)]
struct Known(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

impl ResolveDns for Known {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        DnsFuture::ready(known.ok_or_else(|| ResolveDnsError::new(format!("{name} was not resolved"))))
    }
}

async fn body(response: HttpResponse) -> Result<String, String> {
    let mut stream = ByteStream::new(response.into_body());
    let mut read = Vec::new();
    while let Some(chunk) = stream.next().await {
        read.extend_from_slice(&chunk.map_err(|error| chain(&error))?);
        if read.len() >= READ {
            break;
        }
    }
    read.truncate(READ);
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// Whether it failed on this side, before anything reached the other: this side has no network.
fn is_ours(error: &(dyn Error + 'static)) -> bool {
    let mut causes = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|io| matches!(io.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown))
}

/// The innermost cause says what happened; the outer ones say "client error".
fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests;
