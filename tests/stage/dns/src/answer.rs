//! Which records Route 53 would answer: a pure function of the configuration, the verdicts and one random draw.
//!
//! ```text
//! name, type ──► zone? ──► record sets (own, or wildcard's) ──► routing over the healthy ones ──► values
//!                  │            └► CNAME instead: answer it, and go on at its target while that is ours
//!                  └► none: REFUSED          └► nothing: NODATA where the name exists, else NXDOMAIN
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::{Config, Data, HTTP_SERVICE, Kind, RecordSet, Routing, Value, normal};

/// Longest chain of CNAMEs and aliases that is followed; a circle ends here.
const MAX_CHAIN: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) records: Vec<Record>,
    /// The zone whose SOA goes with a negative answer.
    pub(crate) negative_in: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NoError,
    NxDomain,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) ttl: u32,
    pub(crate) value: Value,
}

/// What answering needs besides the question: the verdicts, and a number drawn evenly from `0..n` for weighted records.
pub(crate) struct Judge<'a> {
    pub(crate) config: &'a Config,
    pub(crate) healthy: &'a dyn Fn(&str) -> bool,
    pub(crate) draw: &'a dyn Fn(u32) -> u32,
}

enum Found {
    Values(u32, Vec<Value>),
    Cname(u32, String),
    Nothing,
}

impl Judge<'_> {
    /// `kind` is none for a type that is never stored here, such as AAAA: the name is then judged, without records.
    pub(crate) fn answer(&self, name: &str, kind: Option<Kind>) -> Answer {
        let mut name = normal(name);
        let mut records = Vec::new();
        for _ in 0..MAX_CHAIN {
            let Some(zone) = self.config.zone_of(&name) else {
                // The target of a CNAME may lie elsewhere: the resolver goes on there by itself.
                let code = if records.is_empty() { Code::Refused } else { Code::NoError };
                return Answer { code, records, negative_in: None };
            };
            match self.find(&name, kind, 0) {
                Found::Values(ttl, values) => {
                    records.extend(values.into_iter().map(|value| Record { name: name.clone(), ttl, value }));
                    return Answer { code: Code::NoError, records, negative_in: None };
                }
                Found::Cname(ttl, target) => {
                    let value = Value::Cname(target.clone());
                    records.push(Record { name, ttl, value });
                    name = target;
                }
                Found::Nothing => {
                    let code = if self.config.exists(&name) { Code::NoError } else { Code::NxDomain };
                    return Answer { code, records, negative_in: Some(zone.to_owned()) };
                }
            }
        }
        Answer { code: Code::NoError, records, negative_in: None }
    }

    /// Where an HTTP client that is given this host and port would connect to. On one machine the port comes from the host's SRV record, where it has one.
    pub(crate) fn http_address(&self, host: &str, port: u16) -> Option<SocketAddr> {
        if let Ok(ip) = host.parse() {
            return Some(SocketAddr::new(ip, port));
        }
        let found = self.answer(host, Some(Kind::A)).records;
        let (canonical, ip) = found.iter().rev().find_map(|record| match record.value {
            Value::A(ip) => Some((&record.name, ip)),
            _ => None,
        })?;
        let service = format!("{HTTP_SERVICE}{canonical}");
        let published = self.answer(&service, Some(Kind::Srv)).records.into_iter().find_map(|record| match record.value {
            Value::Srv { port, .. } => Some(port),
            _ => None,
        });
        // Whoever is published listens on this machine, whatever address tells it from others in DNS.
        Some(published.map_or(SocketAddr::new(IpAddr::V4(ip), port), |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)))
    }

    fn find(&self, name: &str, kind: Option<Kind>, depth: usize) -> Found {
        let cname = self.config.sets(name, Kind::Cname);
        if let Some(kind) = kind {
            let sets = self.config.sets(name, kind);
            if let Some(set) = self.select(&sets) {
                return self.values(set, kind, depth);
            }
            if kind == Kind::Srv
                && let Some(target) = self.alias_behind_service(name)
            {
                return self.follow(&target, kind, depth);
            }
        }
        match self.select(&cname).map(|set| (set.ttl, &set.data)) {
            Some((ttl, Data::Values(values))) => match values.first() {
                Some(Value::Cname(target)) => Found::Cname(ttl, target.clone()),
                _ => Found::Nothing,
            },
            _ => Found::Nothing,
        }
    }

    fn values(&self, set: &RecordSet, kind: Kind, depth: usize) -> Found {
        match &set.data {
            Data::Values(values) => Found::Values(set.ttl, values.clone()),
            Data::Alias { target, .. } => self.follow(target, kind, depth),
        }
    }

    /// An alias answers with its target's values and TTL under its own name.
    fn follow(&self, target: &str, kind: Kind, depth: usize) -> Found {
        if depth == MAX_CHAIN {
            return Found::Nothing;
        }
        match self.find(target, Some(kind), depth + 1) {
            Found::Cname(..) => Found::Nothing,
            found => found,
        }
    }

    /// The stage's own addition: an alias hides its target's name from the client, so the port is answered under the alias's name as well.
    fn alias_behind_service(&self, name: &str) -> Option<String> {
        let host = name.strip_prefix(HTTP_SERVICE)?;
        match &self.select(&self.config.sets(host, Kind::A))?.data {
            Data::Alias { target, .. } => Some(format!("{HTTP_SERVICE}{target}")),
            Data::Values(_) => None,
        }
    }

    /// Route 53's choice among record sets of one name and type.
    fn select<'a>(&self, sets: &[&'a RecordSet]) -> Option<&'a RecordSet> {
        let (first, _) = sets.split_first()?;
        match first.routing {
            Routing::Simple => Some(first),
            Routing::Primary | Routing::Secondary => self.select_failover(sets),
            Routing::Weighted(_) => self.select_weighted(sets),
        }
    }

    fn select_failover<'a>(&self, sets: &[&'a RecordSet]) -> Option<&'a RecordSet> {
        let of = |routing| sets.iter().copied().find(|set| set.routing == routing);
        let (primary, secondary) = (of(Routing::Primary), of(Routing::Secondary));
        // Nobody healthy means that all are considered healthy, and then the primary leads.
        [primary, secondary].into_iter().flatten().find(|set| self.is_healthy(set, 0)).or(primary).or(secondary)
    }

    fn select_weighted<'a>(&self, sets: &[&'a RecordSet]) -> Option<&'a RecordSet> {
        let heavy = |set: &&&RecordSet| !matches!(set.routing, Routing::Weighted(0));
        let healthy: Vec<_> = sets.iter().copied().filter(|set| self.is_healthy(set, 0)).collect();
        // Weight zero is the reserve: asked only when every record with a weight is ill. Nobody healthy: all count again.
        let candidates = [&healthy[..], sets]
            .into_iter()
            .flat_map(|group| [group.iter().filter(heavy).copied().collect::<Vec<_>>(), group.to_vec()])
            .find(|group| !group.is_empty())?;
        let weight = |set: &RecordSet| match set.routing {
            Routing::Weighted(weight) if weight > 0 => u32::from(weight),
            _ => 1,
        };
        let total = candidates.iter().map(|set| weight(set)).sum();
        let mut drawn = (self.draw)(total);
        candidates.into_iter().find(|set| {
            let own = weight(set);
            let hit = drawn < own;
            drawn = drawn.saturating_sub(own);
            hit
        })
    }

    /// A record without a health check is always healthy. An alias that evaluates its target is as healthy as any of the target's records.
    fn is_healthy(&self, set: &RecordSet, depth: usize) -> bool {
        let by_check = set.check.as_deref().is_none_or(self.healthy);
        let by_target = match &set.data {
            Data::Alias { target, evaluate_health: true } if depth < MAX_CHAIN => {
                self.config.sets(target, set.kind).iter().any(|set| self.is_healthy(set, depth + 1))
            }
            _ => true,
        };
        by_check && by_target
    }
}

#[cfg(test)]
mod tests;
