//! Alarms, dashboards and log groups.

use serde_json::{Value, json};

use super::props::{fields, pairs};
use super::{Physical, Props, ResourceError, Site, Wanted};

const CLOUDWATCH: &str = "2010-08-01";
const LOGS: &str = "Logs_20140328";

/// Both kinds of alarm: the API takes the template's words, and puts over what stands.
pub(super) async fn put_alarm(wanted: &Wanted<'_>, props: &mut Props, operation: &str) -> Result<Physical, ResourceError> {
    let name = wanted.name(props, "AlarmName");
    let mut body = fields("", &Value::Object(props.rest()), "member");
    body.push(("AlarmName".to_owned(), name.clone()));
    wanted.site.service("monitoring").query(CLOUDWATCH, operation, &body).await?;
    let arn = wanted.site.arn("cloudwatch", &format!("alarm:{name}"));
    Ok(Physical::new(name, [("Arn", arn)]))
}

pub(super) async fn delete_alarm(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("monitoring").query(CLOUDWATCH, "DeleteAlarms", &pairs([("AlarmNames.member.1", name)])).await?;
    Ok(())
}

pub(super) async fn put_dashboard(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let name = wanted.name(props, "DashboardName");
    let body = props.need("DashboardBody")?;
    props.end()?;
    // AWS refuses a body that is no JSON, an emulator takes it.
    serde_json::from_str::<Value>(&body).map_err(|_| ResourceError::Property("DashboardBody".to_owned()))?;
    let fields = pairs([("DashboardName", &name), ("DashboardBody", &body)]);
    wanted.site.service("monitoring").query(CLOUDWATCH, "PutDashboard", &fields).await?;
    Ok(Physical::new(name, []))
}

pub(super) async fn delete_dashboard(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("monitoring").query(CLOUDWATCH, "DeleteDashboards", &pairs([("DashboardNames.member.1", name)])).await?;
    Ok(())
}

pub(super) async fn put_log_group(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let logs = wanted.site.service("logs");
    let name = wanted.name(props, "LogGroupName");
    let retention = props.value("RetentionInDays");
    props.end()?;
    // Lambda may have made it, with the first line that a function wrote.
    match logs.json(LOGS, "CreateLogGroup", &json!({"logGroupName": name})).await {
        Err(error) if !error.is("ResourceAlreadyExists") => return Err(error.into()),
        _ => {}
    }
    if let Some(days) = retention {
        logs.json(LOGS, "PutRetentionPolicy", &json!({"logGroupName": name, "retentionInDays": days})).await?;
    }
    let arn = wanted.site.arn("logs", &format!("log-group:{name}:*"));
    Ok(Physical::new(name, [("Arn", arn)]))
}

pub(super) async fn delete_log_group(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("logs").json(LOGS, "DeleteLogGroup", &json!({"logGroupName": name})).await?;
    Ok(())
}
