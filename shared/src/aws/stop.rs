//! Traffic over S3 and DNS: data planes only.
//!
//! The STOP object lies in a bucket of its own in the standby Region. Route 53's checkers read it over HTTPS without
//! credentials, inverted: while it is there the primary is out of DNS. Nothing here calls Route 53 itself, whose control
//! plane is in us-east-1.

use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::dns::Dns;
use super::probe::Probe;
use super::{Aws, failed};
use crate::plan;
use crate::ports::{CallError, Fetched, Resolved, Traffic, Why};

/// For whoever opens it in a browser.
const STOP: &[u8] = b"The standby Region holds the primary out of traffic while this object is here. Relight put it and removes it.\n";
const PUBLIC: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct AwsTraffic {
    aws: Aws,
    client: OnceLock<Client>,
    dns: Dns,
    probe: Probe,
}

impl AwsTraffic {
    /// `resolver` is the DNS server to ask, `ip:port`; the system's where it is absent.
    pub fn new(aws: &Aws, resolver: Option<&str>) -> AwsTraffic {
        let dns = Dns::new(resolver);
        AwsTraffic { aws: aws.clone(), client: OnceLock::new(), probe: Probe::new(dns.clone()), dns }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let config = aws_sdk_s3::config::Builder::from(self.aws.standby())
                .force_path_style(self.aws.has_own_endpoint())
                .interceptor(self.aws.counter())
                .build();
            Client::from_conf(config)
        })
    }

    fn public_url(&self, traffic: &plan::Traffic) -> String {
        let (bucket, key) = (&traffic.stop_bucket, &traffic.stop_key);
        match self.aws.standby().endpoint_url() {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
            None => format!("https://{bucket}.s3.{}.amazonaws.com/{key}", self.aws.region()),
        }
    }
}

impl Traffic for AwsTraffic {
    async fn stop_is_present(&self, traffic: &plan::Traffic) -> Result<bool, CallError> {
        let sent = self.client().head_object().bucket(&traffic.stop_bucket).key(&traffic.stop_key).send().await;
        match sent.map_err(|error| explain("s3:HeadObject", traffic, error)) {
            Ok(_) => Ok(true),
            Err(CallError { why: Why::NotFound(_), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put_stop(&self, traffic: &plan::Traffic) -> Result<(), CallError> {
        let put = self.client().put_object().bucket(&traffic.stop_bucket).key(&traffic.stop_key);
        // Nobody may keep it: a cached STOP would outlive its removal.
        let put = put.content_type("text/plain").cache_control("no-store").body(ByteStream::from_static(STOP));
        put.send().await.map_err(|error| explain("s3:PutObject", traffic, error))?;
        Ok(())
    }

    async fn remove_stop(&self, traffic: &plan::Traffic) -> Result<(), CallError> {
        let sent = self.client().delete_object().bucket(&traffic.stop_bucket).key(&traffic.stop_key).send().await;
        sent.map_err(|error| explain("s3:DeleteObject", traffic, error))?;
        Ok(())
    }

    async fn stop_as_checkers_see_it(&self, traffic: &plan::Traffic) -> Fetched {
        self.probe.fetch(&self.public_url(traffic), PUBLIC).await
    }

    async fn resolve(&self, name: &str) -> Result<Resolved, CallError> {
        self.dns.resolve(name).await
    }

    async fn fetch(&self, url: &str, within: Duration) -> Fetched {
        self.probe.fetch(url, within).await
    }
}

/// A HEAD has no body, so S3 cannot give a code with its 403; and where the role may not list the bucket, an object that is
/// absent is a 403 too. The status decides, and the sentence names both remedies.
fn explain<E>(operation: &'static str, traffic: &plan::Traffic, error: SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let forbidden = error.raw_response().is_some_and(|answer| answer.status().as_u16() == 403);
    let error = failed(operation)(error);
    match error.why {
        Why::Other(..) | Why::Denied(_) if forbidden => {
            let (bucket, key) = (&traffic.stop_bucket, &traffic.stop_key);
            let why = format!(
                "403 for s3://{bucket}/{key}; the role needs s3:GetObject, s3:PutObject, s3:DeleteObject on it and s3:ListBucket on the bucket"
            );
            CallError::new(operation, Why::Denied(why))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
