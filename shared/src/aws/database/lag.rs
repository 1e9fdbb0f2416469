//! A lag as GetMetricData answers it: `ReplicaLag`, or one of Aurora's.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode};
use jiff::Timestamp;

use crate::aws::failed;
use crate::ports::{CallError, LagSample, Why};

const CALL: &str = "cloudwatch:GetMetricData";
/// RDS publishes one sample a minute; a shorter period would find nothing.
const PERIOD: i32 = 60;

/// Which metric, of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a str,
    pub(super) dimension: &'a str,
    pub(super) value: &'a str,
    /// 1 where it is in seconds, 1000 where it is in milliseconds.
    pub(super) per_second: f64,
}

pub(super) async fn samples(cloudwatch: &Client, of: Metric<'_>, from: Timestamp, to: Timestamp) -> Result<Vec<LagSample>, CallError> {
    let metric = aws_sdk_cloudwatch::types::Metric::builder()
        .namespace("AWS/RDS")
        .metric_name(of.name)
        .dimensions(Dimension::builder().name(of.dimension).value(of.value).build())
        .build();
    // The maximum, should a minute ever hold two.
    let stat = MetricStat::builder().metric(metric).period(PERIOD).stat("Maximum").build();
    let query = MetricDataQuery::builder().id("lag").metric_stat(stat).build();
    let mut pages = cloudwatch
        .get_metric_data()
        .metric_data_queries(query)
        .start_time(DateTime::from_millis(from.as_millisecond()))
        .end_time(DateTime::from_millis(to.as_millisecond()))
        .scan_by(ScanBy::TimestampAscending)
        .into_paginator()
        .send();
    let mut answers: Vec<GetMetricDataOutput> = Vec::new();
    while let Some(page) = pages.next().await {
        answers.push(page.map_err(failed(CALL))?);
    }

    let results: Vec<&MetricDataResult> = answers.iter().flat_map(|answer| answer.metric_data_results()).collect();
    // An incomplete answer is not one with samples missing: what it lacks would be taken for unknown, and frozen so.
    match results.last().and_then(|last| last.status_code()) {
        None | Some(StatusCode::Complete) => Ok(results.into_iter().flat_map(|result| of_result(result, of.per_second)).collect()),
        Some(status) => Err(CallError::new(CALL, Why::Unanswered(format!("the result is {status}")))),
    }
}

fn of_result(result: &MetricDataResult, per_second: f64) -> impl Iterator<Item = LagSample> {
    let pairs = result.timestamps().iter().zip(result.values());
    pairs.filter_map(move |(at, value)| {
        let at = at.to_millis().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok())?;
        Some(LagSample { at, seconds: (value.is_finite() && *value >= 0.0).then_some(*value / per_second) })
    })
}
