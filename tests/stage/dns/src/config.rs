//! What Route 53 was told: zones, record sets and health checks, as plain values.
//!
//! Names are kept the way DNS compares them: lower case, without the last dot.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// The service label under which a host's HTTP port is published, as RFC 2782 writes it.
pub(crate) const HTTP_SERVICE: &str = "_http._tcp.";
/// The TTL of a load balancer's own name in AWS.
const ENDPOINT_TTL: u32 = 60;

#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) zones: BTreeSet<String>,
    records: BTreeMap<String, Vec<RecordSet>>,
    pub(crate) checks: BTreeMap<String, HealthCheck>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordSet {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) routing: Routing,
    pub(crate) ttl: u32,
    pub(crate) check: Option<String>,
    pub(crate) data: Data,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Cname,
    Txt,
    Srv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routing {
    Simple,
    Primary,
    Secondary,
    Weighted(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    Values(Vec<Value>),
    Alias { target: String, evaluate_health: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    A(Ipv4Addr),
    Cname(String),
    Txt(Vec<String>),
    Srv { priority: u16, weight: u16, port: u16, target: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    pub(crate) inverted: bool,
    pub(crate) disabled: bool,
    pub(crate) subject: Subject,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Endpoint(Endpoint),
    Calculated { threshold: usize, children: Vec<String> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) protocol: Protocol,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) fqdn: Option<String>,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) interval: Duration,
    pub(crate) failure_threshold: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Http,
    HttpMatch(String),
}

pub(crate) fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl Config {
    pub(crate) fn add(&mut self, set: RecordSet) {
        self.records.entry(set.name.clone()).or_default().push(set);
    }

    /// Makes a host known that AWS would serve in a zone of its own, such as a load balancer's name: its address, and its port as SRV, since on one machine hosts differ by port only.
    pub(crate) fn add_endpoint(&mut self, name: &str, address: SocketAddr) {
        let IpAddr::V4(ip) = address.ip() else {
            return;
        };
        let name = normal(name);
        let zone = name.strip_prefix("*.").unwrap_or(&name).to_owned();
        let srv = Value::Srv { priority: 0, weight: 0, port: address.port(), target: zone.clone() };
        // DNS lets a wildcard stand for any number of labels, so that under a wildcard one SRV set serves `_http._tcp.` of every host.
        let service = if name == zone { format!("{HTTP_SERVICE}{name}") } else { name.clone() };
        for (name, kind, value) in [(name, Kind::A, Value::A(ip)), (service, Kind::Srv, srv)] {
            // Told once more, the host has moved.
            if let Some(sets) = self.records.get_mut(&name) {
                sets.retain(|set| set.kind != kind);
            }
            self.add(RecordSet { name, kind, routing: Routing::Simple, ttl: ENDPOINT_TTL, check: None, data: Data::Values(vec![value]) });
        }
        self.zones.insert(zone);
    }

    /// The longest zone that the name lies in.
    pub(crate) fn zone_of(&self, name: &str) -> Option<&str> {
        ancestors(name).find_map(|candidate| self.zones.get(candidate).map(String::as_str))
    }

    /// A name exists where it has records, or where something below it has.
    pub(crate) fn exists(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.owner(name).is_some() || self.zones.contains(name) || self.records.keys().any(|owner| owner.ends_with(&below))
    }

    /// The record sets that answer for a name and type: its own, or its wildcard's.
    pub(crate) fn sets(&self, name: &str, kind: Kind) -> Vec<&RecordSet> {
        self.owner(name).into_iter().flatten().filter(|set| set.kind == kind).collect()
    }

    fn owner(&self, name: &str) -> Option<&Vec<RecordSet>> {
        self.records.get(name).or_else(|| {
            let zone = self.zone_of(name)?;
            ancestors(name)
                .skip(1)
                .take_while(|ancestor| ancestor.len() >= zone.len())
                .find_map(|ancestor| self.records.get(&format!("*.{ancestor}")))
        })
    }
}

/// `a.b.c`, `b.c`, `c`.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}
