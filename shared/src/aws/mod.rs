//! The ports over the AWS SDK: the only place that knows it. Each service stands behind a feature of its own, so that a
//! function links only what it calls.
//!
//! Building a client is cheap, its TLS root store is not: all clients share one connector ([`OneConnector`]). Every call is
//! counted by an interceptor; the counts go into the run's history, and so into the report.

pub mod audience;
#[cfg(feature = "compute")]
pub mod compute;
#[cfg(feature = "database")]
pub mod database;
#[cfg(any(feature = "traffic", feature = "metrics"))]
pub mod dns;
mod error;
#[cfg(feature = "metrics")]
pub mod heartbeat;
mod http;
pub mod journal;
pub mod notices;
#[cfg(any(feature = "traffic", feature = "metrics"))]
pub mod probe;
#[cfg(feature = "reports")]
pub mod reports;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod start;
#[cfg(feature = "traffic")]
pub mod stop;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

pub use error::failed;
pub use http::OneConnector;

/// How long one attempt of a call may take. AWS answers in well under a second or not at all.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a call into the primary Region may take, which may be a black hole.
const FENCING_ATTEMPT: Duration = Duration::from_secs(2);
/// The same for what is built there again.
const HOME_ATTEMPT: Duration = Duration::from_secs(8);

/// What all clients of one execution environment share.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    calls: Calls,
}

impl Aws {
    /// With what Lambda gives a function: the credentials of its role and its Region, both for as long as the process lives.
    ///
    /// Not by `aws_config`: its chain of profiles, containers, instance metadata and STS would be linked though a function uses nothing of it, and
    /// where a variable is missing it would look for credentials on the network.
    pub fn in_lambda(region: String, credentials: Credentials, endpoint: Option<String>) -> Aws {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SharedTimeSource::new(SystemTimeSource::new()))
            .http_client(OneConnector::https())
            .retry_config(retries())
            .timeout_config(timeouts());
        Aws::from_config(endpoint.into_iter().fold(config, |config, url| config.endpoint_url(url)).build())
    }

    /// With what a person's machine offers: variables, profiles, web identity.
    #[cfg(feature = "profiles")]
    pub async fn load() -> Aws {
        let config = aws_config::defaults(BehaviorVersion::latest());
        Aws::from_config(config.http_client(OneConnector::https()).retry_config(retries()).timeout_config(timeouts()).load().await)
    }

    /// From a configuration made elsewhere: tests on the wire.
    pub fn from_config(config: SdkConfig) -> Aws {
        Aws { config, calls: Calls::default() }
    }

    /// The standby Region, in which the function runs.
    pub fn standby(&self) -> &SdkConfig {
        &self.config
    }

    /// The primary Region: one short attempt, since it may be dark and the next nudge tries again.
    pub fn primary(&self, region: &str) -> SdkConfig {
        self.config
            .to_builder()
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(FENCING_ATTEMPT).operation_timeout(FENCING_ATTEMPT).build())
            .build()
    }

    /// The primary Region once it is back: one attempt, as its answer may be lost again, with the time that AWS takes to create something.
    pub fn home(&self, region: &str) -> SdkConfig {
        let timeouts = TimeoutConfig::builder().connect_timeout(FENCING_ATTEMPT).operation_timeout(HOME_ATTEMPT).build();
        self.primary(region).to_builder().timeout_config(timeouts).build()
    }

    /// Whether calls go to one endpoint of our own (the stage), where a bucket's name is no host.
    pub fn has_own_endpoint(&self) -> bool {
        self.config.endpoint_url().is_some()
    }

    pub fn region(&self) -> &str {
        self.config.region().map_or("", Region::as_ref)
    }

    /// Counts the calls of every client that carries it: `ecs::config::Builder::from(config).interceptor(aws.counter())`.
    pub fn counter(&self) -> Calls {
        self.calls.clone()
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(3)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(Duration::from_secs(2)).operation_attempt_timeout(ATTEMPT).build()
}

/// Requests sent, retries included, as `service:Operation` to their number.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<String, u32>>>);

impl Calls {
    /// What was counted since it was last taken.
    pub fn take(&self) -> BTreeMap<String, u32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[dyn_dispatch_hint]
impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "CountCalls"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(metadata) = config.load::<Metadata>() {
            let call = format!("{}:{}", metadata.service().to_lowercase().replace(' ', ""), metadata.name());
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(call).or_default() += 1;
        }
        Ok(())
    }
}
