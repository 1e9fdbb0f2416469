//! CloudWatch's alarms over health checks, judged here.
//!
//! The emulator judges an alarm by all that was put under its metric's name, whichever check it came from: a STOP object would look like a
//! primary that is down, and one plan's failure like every plan's. So nothing is put there, and the alarms' states are set, by the check that each
//! names, once a minute as Route 53 puts its metrics.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{ComparisonOperator, MetricAlarm, StateValue};
use stage_dns::Status;
use tokio::sync::mpsc;

use crate::aws::Clients;

const NAMESPACE: &str = "AWS/Route53";
const METRIC: &str = "HealthCheckStatus";
const TIME_OUT: Duration = Duration::from_secs(2);

/// Hears of every check once a period, and sets the alarms over it.
pub(crate) async fn judge(mut statuses: mpsc::UnboundedReceiver<Status>, clients: Clients) {
    while let Some(status) = statuses.recv().await {
        // A dark us-east-1 takes its alarms with it.
        let _ = tokio::time::timeout(TIME_OUT, set(&status, &clients)).await;
    }
}

async fn set(status: &Status, clients: &Clients) {
    let Ok(alarms) = clients.metrics.describe_alarms().send().await else { return };
    for alarm in alarms.metric_alarms().iter().filter(|alarm| is_over(alarm, &status.check_id)) {
        let Some((state, reason)) = judged(alarm, f64::from(u8::from(status.healthy))) else { continue };
        if alarm.state_value() != Some(&state) {
            let name = alarm.alarm_name().unwrap_or_default();
            let _ = clients.metrics.set_alarm_state().alarm_name(name).state_value(state).state_reason(reason).send().await;
        }
    }
}

fn is_over(alarm: &MetricAlarm, check: &str) -> bool {
    let names = |dimension: &aws_sdk_cloudwatch::types::Dimension| dimension.name() == Some("HealthCheckId") && dimension.value() == Some(check);
    alarm.namespace() == Some(NAMESPACE) && alarm.metric_name() == Some(METRIC) && alarm.dimensions().iter().any(names)
}

/// The state by one value, and CloudWatch's sentence about it. None for a comparison that no alarm over a check has.
fn judged(alarm: &MetricAlarm, value: f64) -> Option<(StateValue, String)> {
    let (operator, threshold) = (alarm.comparison_operator()?, alarm.threshold()?);
    let breaches = match operator {
        ComparisonOperator::LessThanThreshold => value < threshold,
        ComparisonOperator::LessThanOrEqualToThreshold => value <= threshold,
        _ => return None,
    };
    let state = if breaches { StateValue::Alarm } else { StateValue::Ok };
    let statistic = alarm.statistic().map_or("Minimum", |statistic| statistic.as_str());
    Some((state, format!("Threshold Crossed: {statistic} {value:.1} {} {threshold:.1}", operator.as_str())))
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::types::{Dimension, Statistic};

    use super::*;

    fn alarm(operator: ComparisonOperator) -> MetricAlarm {
        let dimension = Dimension::builder().name("HealthCheckId").value("of-shop").build();
        let alarm = MetricAlarm::builder().namespace(NAMESPACE).metric_name(METRIC).dimensions(dimension);
        alarm.statistic(Statistic::Minimum).comparison_operator(operator).threshold(1.0).build()
    }

    #[test]
    fn an_alarm_is_judged_by_its_own_check_alone() {
        let alarm = alarm(ComparisonOperator::LessThanThreshold);
        assert!(is_over(&alarm, "of-shop") && !is_over(&alarm, "of-books"));
        let sentence = "Threshold Crossed: Minimum 0.0 LessThanThreshold 1.0".to_owned();
        assert_eq!(judged(&alarm, 0.0), Some((StateValue::Alarm, sentence)));
        assert_eq!(judged(&alarm, 1.0).map(|(state, _)| state), Some(StateValue::Ok));
    }

    #[test]
    fn a_comparison_that_is_not_built_sets_nothing() {
        assert_eq!(judged(&alarm(ComparisonOperator::GreaterThanThreshold), 0.0), None);
    }
}
