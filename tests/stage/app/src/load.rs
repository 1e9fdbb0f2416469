//! A constant load of reads and writes, as users would send it, and what they saw.
//!
//! ```text
//! tick ──► a request of its own (never waits for the one before) ──► idle connection, else resolve by DNS and connect ──► Record
//! ```
//!
//! The load is open: requests are sent at their time, whatever became of the earlier ones. A client that waited for its answers would send fewest requests exactly while
//! nobody is served. Each client has its own resolver cache and connections, as separate users have.

mod outage;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use stage_dns::Resolver;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use uuid::Uuid;

use crate::lock;

pub use self::outage::{Outage, outages};

pub struct Settings {
    /// Where DNS answers.
    pub dns: SocketAddr,
    /// The name that users know.
    pub host: String,
    pub reads_per_second: f64,
    pub writes_per_second: f64,
    /// How many users share the load.
    pub clients: usize,
    /// How long a user waits for name, connection and answer together.
    pub time_out: Duration,
    /// How long a connection is used: a user who kept one for ever would never ask DNS again.
    pub connection_life: Duration,
}

impl Settings {
    /// Twenty reads and twenty writes a second by four users, who wait a second and keep a connection for ten.
    pub fn new(dns: SocketAddr, host: impl Into<String>) -> Self {
        Self {
            dns,
            host: host.into(),
            reads_per_second: 20.0,
            writes_per_second: 20.0,
            clients: 4,
            time_out: Duration::from_secs(1),
            connection_life: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Read,
    Write,
}

/// One request, as its user saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub sent_at: Timestamp,
    pub kind: Kind,
    /// A success: the status was 200, and for a write the row was read back.
    pub ok: bool,
    /// The Region that answered, where one did.
    pub region: Option<String>,
    pub latency: Duration,
    /// The order that a write placed. Where `ok` is false it may be committed all the same.
    pub order: Option<Uuid>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// The orders whose commit was told to a user, by the Region that told it. What of them a database lacks was lost.
pub fn committed(records: &[Record]) -> BTreeMap<String, BTreeSet<Uuid>> {
    let mut orders = BTreeMap::<_, BTreeSet<_>>::new();
    for record in records.iter().filter(|record| record.ok) {
        if let (Some(region), Some(order)) = (&record.region, record.order) {
            orders.entry(region.clone()).or_default().insert(order);
        }
    }
    orders
}

/// The running load. Dropped, it ends at once.
pub struct Load {
    records: Arc<Mutex<Vec<Record>>>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts sending; call it inside a runtime.
    pub fn start(settings: Settings) -> Self {
        let records = Arc::new(Mutex::new(Vec::new()));
        let settings = Arc::new(settings);
        let mut clients = JoinSet::new();
        let count = settings.clients.max(1);
        for index in 0..count {
            let client = Arc::new(Client::new(settings.clone()));
            for (kind, rate) in [(Kind::Read, settings.reads_per_second), (Kind::Write, settings.writes_per_second)] {
                let Ok(period) = Duration::try_from_secs_f64(count as f64 / rate) else {
                    continue;
                };
                let first = period.mul_f64(index as f64 / count as f64);
                clients.spawn(send_for_ever(client.clone(), kind, first, period, records.clone()));
            }
        }
        Self { records, clients }
    }

    /// The requests that have ended so far, in the order in which they were sent.
    pub fn records(&self) -> Vec<Record> {
        let mut records = lock(&self.records).clone();
        records.sort_by_key(|record| record.sent_at);
        records
    }

    /// Ends the load. A request under way is not waited for and not recorded.
    pub async fn stop(mut self) -> Vec<Record> {
        self.clients.shutdown().await;
        self.records()
    }
}

async fn send_for_ever(client: Arc<Client>, kind: Kind, first: Duration, period: Duration, records: Arc<Mutex<Vec<Record>>>) {
    let mut ticks = interval_at(Instant::now() + first, period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let (client, records) = (client.clone(), records.clone());
                under_way.spawn(async move {
                    let record = client.send(kind).await;
                    lock(&records).push(record);
                });
            }
            Some(_) = under_way.join_next() => (),
        }
    }
}

/// One user.
struct Client {
    settings: Arc<Settings>,
    resolver: Resolver,
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    made: Instant,
}

/// What an answer said.
struct Answered {
    ok: bool,
    region: Option<String>,
    reason: Option<String>,
}

impl Client {
    fn new(settings: Arc<Settings>) -> Self {
        Self { resolver: Resolver::new(settings.dns), settings, idle: Mutex::default() }
    }

    async fn send(&self, kind: Kind) -> Record {
        let order = (kind == Kind::Write).then(Uuid::new_v4);
        let (sent_at, started) = (Timestamp::now(), Instant::now());
        let answered = match timeout(self.settings.time_out, self.exchange(kind, order)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(reason)) => Answered { ok: false, region: None, reason: Some(reason) },
            Err(_) => Answered { ok: false, region: None, reason: Some("no answer in time".to_owned()) },
        };
        let Answered { ok, region, reason } = answered;
        Record { sent_at, kind, ok, region, latency: started.elapsed(), order, reason }
    }

    /// A connection goes back to the idle ones only after a whole answer: one that timed out is dropped, and with it what the answer would have been.
    async fn exchange(&self, kind: Kind, order: Option<Uuid>) -> Result<Answered, String> {
        let mut connection = match self.idle_connection() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = self.request(kind, order).map_err(|error| error.to_string())?;
        let response = connection.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let region = response.headers().get("x-region").and_then(|region| Some(region.to_str().ok()?.to_owned()));
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        lock(&self.idle).push(connection);
        let reason = (!status.is_success()).then(|| format!("{}: {}", status.as_u16(), String::from_utf8_lossy(&body).trim()));
        Ok(Answered { ok: reason.is_none(), region, reason })
    }

    fn idle_connection(&self) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        idle.retain(|connection| !connection.sender.is_closed() && connection.made.elapsed() < self.settings.connection_life);
        let ready = idle.iter().position(|connection| connection.sender.is_ready())?;
        Some(idle.swap_remove(ready))
    }

    async fn connect(&self) -> Result<Connection, String> {
        let answered = self.resolver.resolve_http(&self.settings.host).await.map_err(|error| error.to_string())?;
        // The address tells one load balancer from another, as in AWS; on this machine all of them listen on 127.0.0.1, each on its own port.
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), answered.port());
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connecting to {address}: {error}"))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Ends by itself when its sender is dropped.
        tokio::spawn(connection);
        Ok(Connection { sender, made: Instant::now() })
    }

    fn request(&self, kind: Kind, order: Option<Uuid>) -> http::Result<Request<Full<Bytes>>> {
        let (method, path, body) = match (kind, order) {
            (Kind::Write, Some(order)) => (Method::POST, "/write", serde_json::json!({ "id": order }).to_string()),
            _ => (Method::GET, "/read", String::new()),
        };
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.settings.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))
    }
}
