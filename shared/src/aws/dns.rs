//! A DNS client that asks and says what it was told, nothing more.
//!
//! ```text
//! question ─► server over UDP ─► an answer with our id and our question, else wait on
//!     └── nothing within a second: the next server, twice round
//! ```
//!
//! The system's resolver (`getaddrinfo`) cannot ask for a text, hides the aliases that tell which Region answers, and
//! merges "no such name" with "no answer", which are different evidence. What is asked for here fits into a datagram; a
//! truncated answer is no answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::ports::{CallError, Resolved, Why};

const OPERATION: &str = "dns:Query";
const SYSTEM: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// A resolver in the same network answers in milliseconds; a second is for one that has to ask on.
const TRY: Duration = Duration::from_secs(1);
const ROUNDS: usize = 2;
/// Larger than any answer without EDNS, which is not asked for.
const DATAGRAM: usize = 1500;
/// A chain of aliases longer than this is a loop.
const ALIASES: usize = 16;

#[derive(Debug, Clone)]
pub struct Dns {
    servers: Result<Vec<SocketAddr>, String>,
}

impl Dns {
    /// Asks `resolver` (`ip:port`), or the system's servers where there is none. A mistake is said by the first question.
    pub fn new(resolver: Option<&str>) -> Dns {
        let servers =
            match resolver {
                Some(resolver) => resolver
                    .parse()
                    .map(|server| vec![server])
                    .map_err(|_| format!("RELIGHT_RESOLVER is `{resolver}`; set it to `ip:port`, or leave it away for the system's")),
                None => std::fs::read_to_string(SYSTEM).map_err(|error| format!("{SYSTEM} cannot be read ({error}); set RELIGHT_RESOLVER")).and_then(
                    |text| match name_servers(&text) {
                        servers if servers.is_empty() => Err(format!("{SYSTEM} names no server; set RELIGHT_RESOLVER")),
                        servers => Ok(servers),
                    },
                ),
            };
        Dns { servers }
    }

    /// The aliases of `name` and the addresses at their end.
    pub async fn resolve(&self, name: &str) -> Result<Resolved, CallError> {
        let resolved = follow(name, &self.ask(name, RecordType::A).await?);
        if !resolved.addresses.is_empty() {
            return Ok(resolved);
        }
        let resolved = follow(name, &self.ask(name, RecordType::AAAA).await?);
        if resolved.addresses.is_empty() { Err(fail(Why::NotFound(format!("{name} has no address")))) } else { Ok(resolved) }
    }

    /// The texts of `name`, each put together from its strings.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, CallError> {
        let answer = self.ask(name, RecordType::TXT).await?;
        let texts: Vec<String> = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
                _ => None,
            })
            .collect();
        if texts.is_empty() { Err(fail(Why::NotFound(format!("{name} has no text")))) } else { Ok(texts) }
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Message, CallError> {
        let servers = self.servers.as_ref().map_err(|why| fail(Why::Other(why.clone(), None)))?;
        let mut host = Name::from_ascii(name).map_err(|error| fail(Why::Other(format!("`{name}` is no DNS name: {error}"), None)))?;
        host.set_fqdn(true);
        let question = Query::query(host, kind);
        let mut silence = String::new();
        for server in std::iter::repeat_n(servers, ROUNDS).flatten() {
            let answer = match timeout(TRY, exchange(*server, &question)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(why)) => {
                    silence = format!("{server}: {why}");
                    continue;
                }
                Err(_) => {
                    silence = format!("{server} did not answer within {} s", TRY.as_secs());
                    continue;
                }
            };
            return match answer.metadata.response_code {
                _ if answer.metadata.truncation => Err(fail(Why::Unanswered(format!("the answer about {name} is too long for a datagram")))),
                ResponseCode::NoError => Ok(answer),
                ResponseCode::NXDomain => Err(fail(Why::NotFound(format!("there is no name {name}")))),
                code => Err(fail(Why::Unanswered(format!("{server} answered {code} about {name}")))),
            };
        }
        Err(fail(Why::Unanswered(format!("{name}: {silence}"))))
    }
}

fn fail(why: Why) -> CallError {
    CallError::new(OPERATION, why)
}

/// One question to one server. What comes with another id or question is somebody else's, or a forgery: wait on.
async fn exchange(server: SocketAddr, question: &Query) -> Result<Message, String> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(question.clone());
    let bytes = query.to_vec().map_err(|error| error.to_string())?;
    let socket = UdpSocket::bind((any, 0)).await.map_err(|error| error.to_string())?;
    // Connected, the socket takes datagrams of this server alone, and tells when its port is closed.
    socket.connect(server).await.map_err(|error| error.to_string())?;
    socket.send(&bytes).await.map_err(|error| error.to_string())?;
    let mut buffer = [0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|error| error.to_string())?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answer.metadata.id == query.metadata.id && answer.queries.first() == Some(question) => return Ok(answer),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Follows the aliases within one answer; records of other names in it do not count.
fn follow(name: &str, answer: &Message) -> Resolved {
    let mut resolved = Resolved { names: vec![normal(name)], ..Resolved::default() };
    for _ in 0..ALIASES {
        let last = resolved.names.last().cloned().unwrap_or_default();
        let mut alias = None;
        for record in answer.answers.iter().filter(|record| normal(&record.name.to_ascii()) == last) {
            match &record.data {
                RData::A(address) => drop(resolved.addresses.insert(address.0.into())),
                RData::AAAA(address) => drop(resolved.addresses.insert(address.0.into())),
                RData::CNAME(target) => alias = Some(normal(&target.0.to_ascii())),
                _ => {}
            }
        }
        match alias {
            Some(alias) => resolved.names.push(alias),
            None => break,
        }
    }
    resolved
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn name_servers(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|server| server.trim().parse::<IpAddr>().ok()).map(|server| SocketAddr::new(server, PORT)).collect()
}

#[cfg(test)]
mod tests;
