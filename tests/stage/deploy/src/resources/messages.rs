//! Topics, queues, schedules and rules: what carries events to functions.

use http::Method;
use serde_json::{Map, Value, json};

use super::props::{document, fields, pairs};
use super::{Physical, Props, ResourceError, Site, Wanted};
use crate::template::text_of;

const SNS: &str = "2010-03-31";
const SQS: &str = "AmazonSQS";
const EVENTS: &str = "AWSEvents";

pub(super) async fn put_topic(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let sns = wanted.site.service("sns");
    let name = wanted.name(props, "TopicName");
    let attributes = ["DisplayName", "KmsMasterKeyId"].map(|attribute| (attribute, props.text(attribute)));
    let tags = fields("Tags", &Value::Array(props.list("Tags")), "member");
    props.end()?;
    let mut body = pairs([("Name", &name)]);
    body.extend(tags);
    // A topic of this name that stands already is the answer; its attributes are set apart, as creation would not change them.
    let answer = sns.query(SNS, "CreateTopic", &body).await?;
    let arn = sns.text("CreateTopic", &answer, "TopicArn")?;
    for (attribute, value) in attributes.into_iter().filter_map(|(attribute, value)| Some((attribute, value?))) {
        let body = pairs([("TopicArn", &arn), ("AttributeName", attribute), ("AttributeValue", &value)]);
        sns.query(SNS, "SetTopicAttributes", &body).await?;
    }
    Ok(Physical::new(arn.clone(), [("TopicArn", arn), ("TopicName", name)]))
}

pub(super) async fn delete_topic(site: &Site<'_>, arn: &str) -> Result<(), ResourceError> {
    site.service("sns").query(SNS, "DeleteTopic", &pairs([("TopicArn", arn)])).await?;
    Ok(())
}

pub(super) async fn put_topic_policy(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let policy = document(&props.value("PolicyDocument").ok_or_else(|| ResourceError::Property("PolicyDocument".to_owned()))?);
    let topics = props.texts("Topics");
    props.end()?;
    for topic in &topics {
        let body = pairs([("TopicArn", topic), ("AttributeName", "Policy"), ("AttributeValue", &policy)]);
        wanted.site.service("sns").query(SNS, "SetTopicAttributes", &body).await?;
    }
    Ok(Physical::new(super::names::generated(wanted.site, wanted.logical), []))
}

/// In the topic's Region, which may be another than the stack's.
pub(super) async fn put_subscription(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let region = props.text("Region").unwrap_or_else(|| wanted.site.region.to_owned());
    let sns = wanted.site.aws.service("sns", &region);
    let mut body = pairs([("ReturnSubscriptionArn", "true")]);
    for name in ["TopicArn", "Protocol", "Endpoint"] {
        body.push((name.to_owned(), props.need(name)?));
    }
    let attributes = ["FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy"];
    let attributes = attributes.into_iter().filter_map(|name| Some((name, props.text(name)?)));
    for (index, (name, value)) in attributes.enumerate() {
        let entry = format!("Attributes.entry.{}", index + 1);
        body.extend([(format!("{entry}.key"), name.to_owned()), (format!("{entry}.value"), value)]);
    }
    props.end()?;
    if let Some(arn) = wanted.before_id() {
        delete_subscription(wanted.site, arn).await?;
    }
    let answer = sns.query(SNS, "Subscribe", &body).await?;
    let arn = sns.text("Subscribe", &answer, "SubscriptionArn")?;
    Ok(Physical::new(arn.clone(), [("Arn", arn)]))
}

pub(super) async fn delete_subscription(site: &Site<'_>, arn: &str) -> Result<(), ResourceError> {
    // One that nobody confirmed has no ARN, and ends by itself.
    if let Some(region) = arn.split(':').nth(3) {
        site.aws.service("sns", region).query(SNS, "Unsubscribe", &pairs([("SubscriptionArn", arn)])).await?;
    }
    Ok(())
}

pub(super) async fn put_queue(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let sqs = wanted.site.service("sqs");
    let name = wanted.name(props, "QueueName");
    // The API's attributes have the template's names, and are texts, all of them.
    let attributes: Map<String, Value> = props.rest().into_iter().map(|(name, value)| (name, text_of(&value).into())).collect();
    let url = match wanted.before_id() {
        Some(url) => {
            sqs.json(SQS, "SetQueueAttributes", &json!({"QueueUrl": url, "Attributes": attributes})).await?;
            url.to_owned()
        }
        None => {
            let answer = sqs.json(SQS, "CreateQueue", &json!({"QueueName": name, "Attributes": attributes})).await?;
            sqs.field("CreateQueue", &answer, "/QueueUrl")?
        }
    };
    let arn = wanted.site.arn("sqs", &name);
    Ok(Physical::new(url.clone(), [("Arn", arn), ("QueueName", name), ("QueueUrl", url)]))
}

pub(super) async fn delete_queue(site: &Site<'_>, url: &str) -> Result<(), ResourceError> {
    site.service("sqs").json(SQS, "DeleteQueue", &json!({"QueueUrl": url})).await?;
    Ok(())
}

pub(super) async fn put_schedule(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let scheduler = wanted.site.service("scheduler");
    let name = wanted.name(props, "Name");
    let body = Value::Object(props.rest());
    let (operation, method) = if wanted.is_new() { ("CreateSchedule", Method::POST) } else { ("UpdateSchedule", Method::PUT) };
    let answer = scheduler.rest_json(operation, method, &format!("/schedules/{name}"), Some(&body)).await?;
    let arn = scheduler.field(operation, &answer, "/ScheduleArn")?;
    Ok(Physical::new(name, [("Arn", arn)]))
}

pub(super) async fn delete_schedule(site: &Site<'_>, name: &str, props: &mut Props) -> Result<(), ResourceError> {
    let group = props.text("GroupName").map(|group| format!("?groupName={group}")).unwrap_or_default();
    site.service("scheduler").rest_json("DeleteSchedule", Method::DELETE, &format!("/schedules/{name}{group}"), None).await?;
    Ok(())
}

/// Ids of a rule's targets.
fn target_ids(targets: &[Value]) -> Vec<String> {
    targets.iter().filter_map(|target| target.get("Id").map(text_of)).collect()
}

pub(super) async fn put_rule(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let events = wanted.site.service("events");
    let name = wanted.name(props, "Name");
    let targets = props.list("Targets");
    let pattern = props.value("EventPattern").map(|pattern| document(&pattern));
    let mut body = props.rest();
    body.insert("Name".to_owned(), name.clone().into());
    body.extend(pattern.map(|pattern| ("EventPattern".to_owned(), pattern.into())));
    let answer = events.json(EVENTS, "PutRule", &Value::Object(body)).await?;
    let arn = events.field("PutRule", &answer, "/RuleArn")?;
    if let Some((_, before)) = wanted.before {
        let kept = target_ids(&targets);
        let gone: Vec<_> = target_ids(&Props::new(before)?.list("Targets")).into_iter().filter(|id| !kept.contains(id)).collect();
        if !gone.is_empty() {
            events.json(EVENTS, "RemoveTargets", &json!({"Rule": name, "Ids": gone})).await?;
        }
    }
    if !targets.is_empty() {
        events.json(EVENTS, "PutTargets", &json!({"Rule": name, "Targets": targets})).await?;
    }
    Ok(Physical::new(name, [("Arn", arn)]))
}

pub(super) async fn delete_rule(site: &Site<'_>, name: &str, props: &mut Props) -> Result<(), ResourceError> {
    let events = site.service("events");
    let ids = target_ids(&props.list("Targets"));
    if !ids.is_empty() {
        events.json(EVENTS, "RemoveTargets", &json!({"Rule": name, "Ids": ids})).await?;
    }
    events.json(EVENTS, "DeleteRule", &json!({"Name": name})).await?;
    Ok(())
}
