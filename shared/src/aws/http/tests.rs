//! One connector for every client.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::*;

/// Counts how often a connector is made, and answers every request with `{}`.
#[derive(Debug, Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl HttpClient for Counting {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.0.fetch_add(1, Ordering::Relaxed);
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Counting {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().expect("a status"), SdkBody::from("{}"))))
    }
}

#[tokio::test]
async fn two_clients_with_settings_of_their_own_share_one_connector() {
    let made = Counting::default();
    let one = OneConnector { inner: SharedHttpClient::new(made.clone()), connector: Arc::default() };
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .http_client(one)
        .build();
    assert_eq!(made.0.load(Ordering::Relaxed), 0, "nothing is made before the first call");
    let primary = super::super::Aws::from_config(config.clone()).primary("us-east-2");
    for config in [&config, &config, &primary] {
        aws_sdk_dynamodb::Client::new(config).list_tables().send().await.unwrap();
    }
    assert_eq!(made.0.load(Ordering::Relaxed), 1);
}
