//! Route 53's XML, and its way into values. What the data plane would answer differently than Route 53 (a routing policy that is not built, a check that watches an alarm) is
//! refused here, loudly, rather than answered wrongly later.

use std::{net::IpAddr, time::Duration};

use serde::Deserialize;

use crate::{
    config::{self, Data, Endpoint, Kind, Protocol, Routing, Subject, Value, normal},
    error::Error,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HostedZone {
    id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RecordSet {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    failover: Option<String>,
    weight: Option<u8>,
    region: Option<String>,
    geo_location: Option<Present>,
    geo_proximity_location: Option<Present>,
    cidr_routing_config: Option<Present>,
    multi_value_answer: Option<bool>,
    health_check_id: Option<String>,
    resource_records: Option<ResourceRecords>,
    alias_target: Option<AliasTarget>,
}

/// An element of which only its being there matters.
#[derive(Deserialize)]
struct Present {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecords {
    #[serde(default)]
    resource_record: Vec<ResourceRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecord {
    value: String,
}

#[derive(Deserialize)]
struct AliasTarget {
    #[serde(rename = "DNSName")]
    dns_name: String,
    #[serde(rename = "EvaluateTargetHealth", default)]
    evaluate_target_health: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HealthCheck {
    id: String,
    health_check_config: HealthCheckConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthCheckConfig {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    fully_qualified_domain_name: Option<String>,
    port: Option<u16>,
    resource_path: Option<String>,
    search_string: Option<String>,
    request_interval: Option<u64>,
    failure_threshold: Option<u32>,
    #[serde(default)]
    inverted: bool,
    #[serde(default)]
    disabled: bool,
    health_threshold: Option<usize>,
    child_health_checks: Option<Children>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Children {
    #[serde(default)]
    child_health_check: Vec<String>,
}

impl HostedZone {
    pub(crate) fn id(&self) -> &str {
        self.id.trim_start_matches("/hostedzone/")
    }

    pub(crate) fn name(&self) -> String {
        normal(&unescape(&self.name))
    }
}

impl RecordSet {
    /// None for types that the server makes itself (SOA) or that nobody on the stage asks for.
    pub(crate) fn parse(self) -> Result<Option<config::RecordSet>, Error> {
        let name = normal(&unescape(&self.name));
        let kind = match self.kind.as_str() {
            "A" => Kind::A,
            "CNAME" => Kind::Cname,
            "TXT" => Kind::Txt,
            "SRV" => Kind::Srv,
            // The emulator writes its SOA as a Python literal: the server makes its own.
            "SOA" | "NS" | "CAA" | "DS" | "MX" => return Ok(None),
            other => return Err(bad_record(&name, other, "this record type is not served")),
        };
        let bad = |what: &str| bad_record(&name, &self.kind, what);
        let data = match (&self.alias_target, &self.resource_records) {
            (Some(alias), _) => Data::Alias { target: normal(&unescape(&alias.dns_name)), evaluate_health: alias.evaluate_target_health },
            (None, Some(records)) => Data::Values(
                records
                    .resource_record
                    .iter()
                    .map(|record| value(kind, &record.value))
                    .collect::<Option<_>>()
                    .ok_or_else(|| bad("a value does not fit the type"))?,
            ),
            (None, None) => return Err(bad("it has neither values nor an alias target")),
        };
        Ok(Some(config::RecordSet {
            routing: self.routing().map_err(bad)?,
            kind,
            ttl: self.ttl.unwrap_or_default(),
            check: self.health_check_id.clone(),
            data,
            name,
        }))
    }

    fn routing(&self) -> Result<Routing, &'static str> {
        let other = self.region.is_some()
            || self.geo_location.is_some()
            || self.geo_proximity_location.is_some()
            || self.cidr_routing_config.is_some()
            || self.multi_value_answer == Some(true);
        match (self.failover.as_deref(), self.weight) {
            _ if other => Err("only simple, failover and weighted routing are built"),
            (None, None) => Ok(Routing::Simple),
            (Some("PRIMARY"), None) => Ok(Routing::Primary),
            (Some("SECONDARY"), None) => Ok(Routing::Secondary),
            (None, Some(weight)) => Ok(Routing::Weighted(weight)),
            _ => Err("its routing policy contradicts itself"),
        }
    }
}

impl HealthCheck {
    pub(crate) fn parse(self) -> Result<(String, config::HealthCheck), Error> {
        let config = self.health_check_config;
        let subject = config.subject().map_err(|what| Error::HealthCheck { id: self.id.clone(), what })?;
        let check = config::HealthCheck { inverted: config.inverted, disabled: config.disabled, subject };
        Ok((self.id, check))
    }
}

impl HealthCheckConfig {
    fn subject(&self) -> Result<Subject, String> {
        let search = || {
            let text = self.search_string.clone().filter(|text| !text.is_empty());
            text.map(Protocol::HttpMatch).ok_or("a string match check needs a SearchString".to_owned())
        };
        // The stage speaks plain HTTP everywhere, so that its HTTPS checks speak it too.
        let (protocol, port) = match self.kind.as_str() {
            "HTTP" => (Protocol::Http, Some(80)),
            "HTTPS" => (Protocol::Http, Some(443)),
            "HTTP_STR_MATCH" => (search()?, Some(80)),
            "HTTPS_STR_MATCH" => (search()?, Some(443)),
            "TCP" => (Protocol::Tcp, None),
            "CALCULATED" => {
                let children = self.child_health_checks.as_ref();
                return Ok(Subject::Calculated {
                    threshold: self.health_threshold.unwrap_or_default(),
                    children: children.map_or_else(Vec::new, |c| c.child_health_check.clone()),
                });
            }
            other => return Err(format!("the type {other} is not built")),
        };
        let ip = self.ip_address.as_deref().filter(|ip| !ip.is_empty());
        let ip: Option<IpAddr> = ip.map(|ip| ip.parse().map_err(|_| format!("{ip} is no IP address"))).transpose()?;
        let fqdn = self.fully_qualified_domain_name.clone();
        if ip.is_none() && fqdn.is_none() {
            return Err("it names neither an IPAddress nor a FullyQualifiedDomainName".to_owned());
        }
        let path = self.resource_path.as_deref().unwrap_or("/");
        Ok(Subject::Endpoint(Endpoint {
            protocol,
            ip,
            fqdn,
            port: self.port.or(port).ok_or("a TCP check needs a Port")?,
            path: format!("/{}", path.trim_start_matches('/')),
            interval: Duration::from_secs(self.request_interval.unwrap_or(30)),
            failure_threshold: self.failure_threshold.unwrap_or(3),
        }))
    }
}

fn bad_record(name: &str, kind: &str, what: &str) -> Error {
    Error::Record { name: name.to_owned(), kind: kind.to_owned(), what: what.to_owned() }
}

fn value(kind: Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::A => Value::A(text.trim().parse().ok()?),
        Kind::Cname => Value::Cname(normal(text.trim())),
        Kind::Txt => Value::Txt(quoted_strings(text)?),
        Kind::Srv => {
            let mut fields = text.split_whitespace();
            let mut number = || fields.next()?.parse().ok();
            Value::Srv { priority: number()?, weight: number()?, port: number()?, target: normal(fields.next()?) }
        }
    })
}

/// `"one" "two \"quoted\""`, as Route 53 wants TXT values.
fn quoted_strings(text: &str) -> Option<Vec<String>> {
    let mut strings = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut string = String::new();
        let mut chars = rest.strip_prefix('"')?.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => string.push(chars.next()?.1),
                (_, char) => string.push(char),
            }
        };
        strings.push(string);
        rest = rest[end + 1..].trim_start();
    }
    (!strings.is_empty() && strings.iter().all(|s| s.len() <= 255)).then_some(strings)
}

/// Route 53 writes a name's unusual characters as `\052` (octal), above all the wildcard's asterisk.
fn unescape(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one(r#""a b""#, Some(vec!["a b"]))]
    #[case::several(r#""a" "b""#, Some(vec!["a", "b"]))]
    #[case::escaped(r#""say \"hi\"""#, Some(vec![r#"say "hi""#]))]
    #[case::unquoted("a", None)]
    #[case::unclosed(r#""a"#, None)]
    #[case::empty("", None)]
    fn txt_values(#[case] text: &str, #[case] expected: Option<Vec<&str>>) {
        let expected = expected.map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(quoted_strings(text), expected);
    }

    #[rstest]
    #[case("\\052.example.com.", "*.example.com.")]
    #[case("plain.example.com", "plain.example.com")]
    #[case("odd\\9", "odd\\9")]
    fn octal_escapes(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(unescape(name), expected);
    }

    fn record(xml: &str) -> Result<Option<config::RecordSet>, Error> {
        quick_xml::de::from_str::<RecordSet>(xml).unwrap().parse()
    }

    #[test]
    fn latency_routing_is_refused_rather_than_answered_wrongly() {
        let error = record(
            "<ResourceRecordSet><Name>a.example.com.</Name><Type>A</Type><SetIdentifier>x</SetIdentifier><Region>us-east-2</Region><TTL>60</TTL><ResourceRecords>\
             <ResourceRecord><Value>127.0.0.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>",
        )
        .unwrap_err();
        assert!(error.to_string().contains("only simple, failover and weighted"), "{error}");
    }

    #[test]
    fn alarm_check_is_refused() {
        let check: HealthCheck =
            quick_xml::de::from_str("<HealthCheck><Id>h</Id><HealthCheckConfig><Type>CLOUDWATCH_METRIC</Type></HealthCheckConfig></HealthCheck>")
                .unwrap();
        let error = check.parse().unwrap_err();
        assert!(error.to_string().contains("CLOUDWATCH_METRIC"), "{error}");
    }

    #[test]
    fn failover_record_with_a_check_is_read_whole() {
        let set = record(
            "<ResourceRecordSet><Name>API.example.com.</Name><Type>CNAME</Type><SetIdentifier>p</SetIdentifier><Failover>PRIMARY</Failover><TTL>60</TTL><ResourceRecords>\
             <ResourceRecord><Value>lb.example.com.</Value></ResourceRecord></ResourceRecords><HealthCheckId>h-1</HealthCheckId></ResourceRecordSet>",
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            set,
            config::RecordSet {
                name: "api.example.com".to_owned(),
                kind: Kind::Cname,
                routing: Routing::Primary,
                ttl: 60,
                check: Some("h-1".to_owned()),
                data: Data::Values(vec![Value::Cname("lb.example.com".to_owned())]),
            }
        );
    }
}
