//! The watcher's eyes: its probe, the checkers' record, and the heartbeat in the primary Region.
//!
//! The heartbeat is the other direction of watching: an alarm in the primary Region tells people when the standby has
//! fallen silent. It goes by PutMetricData and not by the log as all other metrics do, since a log stays in its Region.

use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};

use super::dns::Dns;
use super::probe::Probe;
use super::{Aws, failed};
use crate::plan::Plan;
use crate::ports::{CallError, Eyes, Fetched};

#[derive(Debug)]
pub struct AwsEyes {
    aws: Aws,
    /// The template may leave the heartbeat's permission out.
    beats: bool,
    dns: Dns,
    probe: Probe,
}

impl AwsEyes {
    /// `resolver` is the DNS server to ask, `ip:port`; the system's where it is absent.
    pub fn new(aws: &Aws, resolver: Option<&str>, beats: bool) -> AwsEyes {
        let dns = Dns::new(resolver);
        AwsEyes { aws: aws.clone(), beats, probe: Probe::new(dns.clone()), dns }
    }
}

impl Eyes for AwsEyes {
    async fn fetch(&self, url: &str, within: Duration) -> Fetched {
        self.probe.fetch(url, within).await
    }

    async fn texts(&self, record: &str) -> Result<Vec<String>, CallError> {
        self.dns.texts(record).await
    }

    async fn heartbeat(&self, plan: &Plan) -> Result<(), CallError> {
        if !self.beats {
            return Ok(());
        }
        // Made anew each minute: a client over the shared connector is cheap, and the plan may name another Region by then.
        let config = aws_sdk_cloudwatch::config::Builder::from(&self.aws.primary(&plan.primary)).interceptor(self.aws.counter()).build();
        let plan = Dimension::builder().name("Plan").value(&plan.name).build();
        let beat = MetricDatum::builder().metric_name("Heartbeat").dimensions(plan).value(1.0).unit(StandardUnit::Count).build();
        let sent = Client::from_conf(config).put_metric_data().namespace("Relight").metric_data(beat).send().await;
        sent.map_err(failed("cloudwatch:PutMetricData"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
