//! Route 53: zones, health checks, records. Global, and signed for us-east-1.

use http::Method;
use quick_xml::escape::escape;
use serde_json::{Map, Value, json};

use super::props::Props;
use super::{Physical, ResourceError, Site, Wanted};
use crate::client::Service;
use crate::template::text_of;

const HOME: &str = "us-east-1";
const XMLNS: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

fn service<'a>(site: &Site<'a>) -> Service<'a> {
    site.aws.service("route53", HOME)
}

/// An element, and those within it. A list's items are called as the list, without its `s`.
fn xml(name: &str, value: &Value) -> String {
    let inner = match value {
        Value::Object(object) => object.iter().map(|(name, value)| xml(name, value)).collect(),
        Value::Array(items) => items.iter().map(|item| xml(name.strip_suffix('s').unwrap_or(name), item)).collect(),
        plain => escape(text_of(plain)).into_owned(),
    };
    format!("<{name}>{inner}</{name}>")
}

fn document(name: &str, fields: &Map<String, Value>) -> String {
    let inner: String = fields.iter().map(|(name, value)| xml(name, value)).collect();
    format!("<{name} xmlns=\"{XMLNS}\">{inner}</{name}>")
}

/// The same stack asks for the same thing again.
fn reference(wanted: &Wanted<'_>) -> Value {
    super::names::generated(wanted.site, wanted.logical).into()
}

pub(super) async fn put_zone(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let route53 = service(wanted.site);
    let name = props.need("Name")?;
    let config = props.value("HostedZoneConfig");
    props.end()?;
    let mut body = Map::from_iter([("CallerReference".to_owned(), reference(wanted)), ("Name".to_owned(), name.into())]);
    body.extend(config.map(|config| ("HostedZoneConfig".to_owned(), config)));
    let body = document("CreateHostedZoneRequest", &body);
    let answer = route53.rest("CreateHostedZone", Method::POST, "/2013-04-01/hostedzone", body).await?;
    let id = route53.text("CreateHostedZone", &answer, "Id")?;
    let id = id.trim_start_matches("/hostedzone/").to_owned();
    let servers = answer.split("<NameServer>").skip(1).filter_map(|part| part.split_once("</NameServer>")).map(|(name, _)| name.to_owned());
    Ok(Physical::new(id.clone(), [("Id", id)]).with_list("NameServers", servers.collect()))
}

pub(super) async fn delete_zone(site: &Site<'_>, id: &str) -> Result<(), ResourceError> {
    service(site).rest("DeleteHostedZone", Method::DELETE, &format!("/2013-04-01/hostedzone/{id}"), String::new()).await?;
    Ok(())
}

/// A change makes a new check, as it does in AWS for most settings; whoever refers to it is changed after it.
pub(super) async fn put_health_check(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let route53 = service(wanted.site);
    let config = props.value("HealthCheckConfig").ok_or_else(|| ResourceError::Property("HealthCheckConfig".to_owned()))?;
    props.value("HealthCheckTags");
    props.end()?;
    let body = Map::from_iter([("CallerReference".to_owned(), reference(wanted)), ("HealthCheckConfig".to_owned(), config)]);
    let body = document("CreateHealthCheckRequest", &body);
    let answer = route53.rest("CreateHealthCheck", Method::POST, "/2013-04-01/healthcheck", body).await?;
    let id = route53.text("CreateHealthCheck", &answer, "Id")?;
    Ok(Physical::new(id.clone(), [("HealthCheckId", id)]))
}

pub(super) async fn delete_health_check(site: &Site<'_>, id: &str) -> Result<(), ResourceError> {
    service(site).rest("DeleteHealthCheck", Method::DELETE, &format!("/2013-04-01/healthcheck/{id}"), String::new()).await?;
    Ok(())
}

pub(super) async fn put_record(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let zone = props.need("HostedZoneId")?;
    let record = record(&Value::Object(props.rest()))?;
    let name = text_of(&record["Name"]);
    change(wanted.site, &zone, "UPSERT", vec![record]).await?;
    Ok(Physical::new(name, []))
}

pub(super) async fn delete_record(site: &Site<'_>, props: &mut Props) -> Result<(), ResourceError> {
    let zone = props.need("HostedZoneId")?;
    change(site, &zone, "DELETE", vec![record(&Value::Object(props.rest()))?]).await
}

fn group(props: &mut Props) -> Result<(String, Vec<Value>), ResourceError> {
    let (zone, records) = (props.need("HostedZoneId")?, props.list("RecordSets"));
    props.end()?;
    Ok((zone, records.iter().map(record).collect::<Result<_, _>>()?))
}

pub(super) async fn put_record_group(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let (zone, records) = group(props)?;
    change(wanted.site, &zone, "UPSERT", records).await?;
    Ok(Physical::new(super::names::generated(wanted.site, wanted.logical), []))
}

pub(super) async fn delete_record_group(site: &Site<'_>, props: &mut Props) -> Result<(), ResourceError> {
    let (zone, records) = group(props)?;
    change(site, &zone, "DELETE", records).await
}

/// The template's list of texts becomes one of elements. The emulator does not mind the order of elements, which AWS's schema fixes.
fn record(template: &Value) -> Result<Value, ResourceError> {
    const KNOWN: &[&str] =
        &["Name", "Type", "SetIdentifier", "Weight", "Region", "Failover", "TTL", "ResourceRecords", "AliasTarget", "HealthCheckId"];
    let mut record = template.as_object().cloned().ok_or_else(|| ResourceError::Property("RecordSets".to_owned()))?;
    let unknown: Vec<String> = record.keys().filter(|name| !KNOWN.contains(&name.as_str())).cloned().collect();
    if !unknown.is_empty() {
        return Err(ResourceError::Unused(unknown));
    }
    for name in ["Name", "Type"] {
        record.get(name).ok_or_else(|| ResourceError::Property(format!("RecordSets[].{name}")))?;
    }
    if let Some(Value::Array(texts)) = record.get_mut("ResourceRecords") {
        for text in texts {
            *text = json!({ "Value": text });
        }
    }
    Ok(Value::Object(record))
}

async fn change(site: &Site<'_>, zone: &str, action: &str, records: Vec<Value>) -> Result<(), ResourceError> {
    let changes: String =
        records.iter().map(|record| format!("<Change><Action>{action}</Action>{}</Change>", xml("ResourceRecordSet", record))).collect();
    let body = format!(
        "<ChangeResourceRecordSetsRequest xmlns=\"{XMLNS}\"><ChangeBatch><Changes>{changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    );
    service(site).rest("ChangeResourceRecordSets", Method::POST, &format!("/2013-04-01/hostedzone/{zone}/rrset"), body).await?;
    Ok(())
}
