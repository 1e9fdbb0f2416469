//! One connector for every client of a process.

use std::sync::{Arc, OnceLock};

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// An HTTP client whose connector, and with it the TLS root store, is made once, by the first call. The first client's
/// connection time-outs then hold for all; time-outs of whole attempts stay each client's own.
#[derive(Debug, Clone)]
pub struct OneConnector {
    inner: SharedHttpClient,
    connector: Arc<OnceLock<SharedHttpConnector>>,
}

impl OneConnector {
    pub fn https() -> OneConnector {
        OneConnector { inner: Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(), connector: Arc::default() }
    }
}

impl HttpClient for OneConnector {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.connector.get_or_init(|| self.inner.http_connector(settings, components)).clone()
    }
}

#[cfg(test)]
mod tests;
