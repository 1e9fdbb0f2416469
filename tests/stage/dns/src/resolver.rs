//! A small resolver: asks one server over UDP and caches as long as the TTL allows.
//!
//! Only what was found is cached. A stub resolver may keep "no such name" too, but the users of the stage never ask for names that come later.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{RData, Record, RecordType},
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout},
};

use crate::{
    config::{HTTP_SERVICE, normal},
    error::ResolveError,
    lock,
    server::absolute,
};

const TIME_OUT: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 3;
const MAX_DATAGRAM: usize = 4096;
const DEFAULT_HTTP_PORT: u16 = 80;

/// A client of the stage's DNS with a cache of its own.
pub struct Resolver {
    server: SocketAddr,
    cache: Mutex<HashMap<(String, RecordType), Cached>>,
}

#[derive(Clone)]
struct Cached {
    until: Instant,
    answers: Vec<Record>,
}

impl Resolver {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, cache: Mutex::default() }
    }

    /// Where to connect for `http://NAME/`: the address behind its CNAMEs, and the port that its SRV record tells, else 80.
    pub async fn resolve_http(&self, name: &str) -> Result<SocketAddr, ResolveError> {
        let answers = self.lookup(name, RecordType::A).await?;
        let (canonical, ip) = answers
            .iter()
            .rev()
            .find_map(|record| match &record.data {
                RData::A(ip) => Some((record.name.to_ascii(), ip.0)),
                _ => None,
            })
            .ok_or_else(|| no_data(name, "A"))?;
        let service = format!("{HTTP_SERVICE}{}", normal(&canonical));
        let port = match self.lookup(&service, RecordType::SRV).await {
            Ok(answers) => answers.iter().find_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv.port),
                _ => None,
            }),
            Err(ResolveError::NoSuchName { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(SocketAddr::new(IpAddr::V4(ip), port.unwrap_or(DEFAULT_HTTP_PORT)))
    }

    /// The strings of a name's TXT records, each record's parts joined.
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, ResolveError> {
        let answers = self.lookup(name, RecordType::TXT).await?;
        let texts: Vec<String> = answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
                _ => None,
            })
            .collect();
        if texts.is_empty() {
            return Err(no_data(name, "TXT"));
        }
        Ok(texts)
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, ResolveError> {
        let key = (normal(name), kind);
        if let Some(cached) = lock(&self.cache).get(&key)
            && cached.until > Instant::now()
        {
            return Ok(cached.answers.clone());
        }
        let mut answers = self.ask(&key.0, kind).await?;
        // A server that does not own a CNAME's target leaves the chain open: the next question is about the target.
        if let Some(target) = open_end(&answers, kind) {
            answers.extend(self.ask(&target, kind).await?);
        }
        if let Some(ttl) = answers.iter().map(|record| record.ttl).min() {
            let until = Instant::now() + Duration::from_secs(ttl.into());
            let answers = answers.clone();
            lock(&self.cache).insert(key, Cached { until, answers });
        }
        Ok(answers)
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, ResolveError> {
        let mut failure = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..ATTEMPTS {
            match timeout(TIME_OUT, self.ask_once(name, kind)).await {
                Ok(Ok(response)) => return read(name, response),
                Ok(Err(Asked::Name)) => return Err(ResolveError::Name { name: name.into() }),
                Ok(Err(Asked::Io(error))) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(ResolveError::NoAnswer { name: name.to_owned(), server: self.server, source: failure })
    }

    async fn ask_once(&self, name: &str, kind: RecordType) -> Result<Message, Asked> {
        let mut query = Message::query();
        query.add_query(Query::query(absolute(name).ok_or(Asked::Name)?, kind));
        let bytes = query.to_vec().map_err(|_| Asked::Name)?;
        // A socket a question: a random port, and no answer to an earlier question in the way.
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.server).await?;
        socket.send(&bytes).await?;
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            let length = socket.recv(&mut buffer).await?;
            match Message::from_vec(&buffer[..length]) {
                Ok(response) if response.metadata.id == query.metadata.id => return Ok(response),
                _ => continue,
            }
        }
    }
}

enum Asked {
    Name,
    Io(io::Error),
}

impl From<io::Error> for Asked {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read(name: &str, response: Message) -> Result<Vec<Record>, ResolveError> {
    match response.metadata.response_code {
        ResponseCode::NoError => Ok(response.answers),
        code => Err(ResolveError::NoSuchName { name: name.to_owned(), code: code.to_string() }),
    }
}

fn open_end(answers: &[Record], wanted: RecordType) -> Option<String> {
    if answers.iter().any(|record| record.record_type() == wanted) {
        return None;
    }
    answers.iter().rev().find_map(|record| match &record.data {
        RData::CNAME(target) => Some(normal(&target.0.to_ascii())),
        _ => None,
    })
}

fn no_data(name: &str, wanted: &'static str) -> ResolveError {
    ResolveError::NoData { name: name.to_owned(), wanted }
}
