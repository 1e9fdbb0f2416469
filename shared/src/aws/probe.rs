//! One HTTP GET, as a new user would send it.
//!
//! Each request connects anew. Over a kept connection a probe would see yesterday's path: a Lambda environment sleeps
//! between two ticks, and a connection that died meanwhile reads like a primary that does not answer. So this connector
//! is not the SDK's, whose connections are kept; like that one it is made once, with the first request.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::byte_stream::ByteStream;
use tokio::time::timeout;

use super::dns::Dns;
use crate::ports::Fetched;

/// What a probe reads of an answer; a health page is shorter.
const READ: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub struct Probe {
    dns: Dns,
    connector: Arc<OnceLock<SharedHttpConnector>>,
}

impl Probe {
    pub fn new(dns: Dns) -> Probe {
        Probe { dns, connector: Arc::default() }
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
        match timeout(within, self.exchange(request)).await {
            Ok(fetched) => fetched,
            Err(_) => Fetched::Silent(format!("no answer within {} s", within.as_secs_f64())),
        }
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
            SharedHttpConnector::new(builder.build_with_resolver(self.dns.clone()))
        })
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

/// Whether it failed on this side, before anything reached the other: no such name, no resolver, no network.
fn is_ours(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        cause.is::<ResolveDnsError>() || io.is_some_and(|io| matches!(io.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown))
    })
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
