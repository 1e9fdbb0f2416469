//! Route 53's data plane on the stage: health checks judged and names answered as Route 53 does it, over UDP with TTL.
//!
//! ```text
//! Route 53's control plane ──(start, refresh, every few seconds)──► configuration ──► answers over UDP
//!                                                                        │               ▲
//!                                                       checkers ◄───────┘               │
//!                                             (HTTP, TCP) └──► opinions ──► verdicts ────┴──► on_status: CloudWatch
//! ```
//!
//! The control plane is only read. Where it is away, the last configuration stays in force: a failover needs no control plane, and this server must not need one either.
//!
//! What differs from Route 53, because it is one machine: time is divided by a factor (intervals, time-outs, TTLs; never below a second for a TTL); HTTPS checks speak plain HTTP; hosts
//! differ by port, so that a host's port is published as SRV under `_http._tcp.HOST`, which a check by name follows, and which an alias passes on; a load balancer's name, which
//! AWS serves from zones of its own, is told by [`Dns::publish`]; names outside are not known. Simple, failover and weighted routing are built, any other is an error.

mod answer;
mod checker;
mod config;
mod control;
mod error;
mod resolver;
mod server;
mod verdict;
mod wire;

#[cfg(test)]
mod testing;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::{Mutex as AsyncMutex, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    answer::{Answer, Judge},
    config::{Config, Kind},
    control::ControlPlane,
    verdict::{Opinion, Opinions, Verdict, judge},
};

pub use crate::{
    error::{Error, ResolveError},
    resolver::Resolver,
};

/// CloudWatch gets Route 53's metrics once a minute.
const STATUS_PERIOD: Duration = Duration::from_secs(60);

/// A health check's metrics of one period: `HealthCheckStatus` (1 or 0), and `HealthCheckPercentageHealthy` where checkers were asked (not for a calculated check).
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub check_id: String,
    pub healthy: bool,
    pub percent_healthy: Option<f64>,
}

pub type StatusHook = Arc<dyn Fn(&Status) + Send + Sync>;

pub struct Settings {
    /// Where Route 53's control plane answers.
    pub endpoint: String,
    /// What every time of Route 53's is divided by, 1 or more.
    pub factor: f64,
    /// How many checkers probe each endpoint. Route 53 has some fifteen.
    pub checkers: usize,
    /// How often the control plane is read besides `refresh`. Not divided.
    pub poll: Duration,
    /// Called once a period (a minute, divided) for each check.
    pub on_status: StatusHook,
}

impl Settings {
    /// Three checkers, a look at the control plane every three seconds, metrics to nobody.
    pub fn new(endpoint: impl Into<String>, factor: f64) -> Self {
        Self { endpoint: endpoint.into(), factor, checkers: 3, poll: Duration::from_secs(3), on_status: Arc::new(|_| ()) }
    }
}

/// The running data plane. Dropped, it ends at once.
pub struct Dns {
    address: SocketAddr,
    state: Arc<State>,
    tasks: JoinSet<()>,
}

impl Dns {
    /// Reads the control plane, which must answer this first time, and serves.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        if !(settings.factor.is_finite() && settings.factor >= 1.0) {
            return Err(Error::Factor(settings.factor));
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Socket)?;
        let address = socket.local_addr().map_err(Error::Socket)?;
        let state = Arc::new(State {
            control: AsyncMutex::new(ControlPlane::new(&settings.endpoint)),
            published: Mutex::default(),
            config: watch::Sender::default(),
            opinions: Mutex::default(),
            factor: settings.factor,
            checkers: settings.checkers.max(1),
        });
        state.refresh().await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(socket, state.clone()));
        tasks.spawn(checker::supervise(state.clone()));
        tasks.spawn(poll(state.clone(), settings.poll));
        tasks.spawn(report(state.clone(), settings.on_status));
        Ok(Self { address, state, tasks })
    }

    /// Where DNS is answered, over UDP.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Reads the control plane now. After an error the last configuration stays in force.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.state.refresh().await
    }

    /// Serves a host of AWS's own zones, such as a load balancer's name: an A record and, for its port, `_http._tcp.HOST` SRV. `*.SUFFIX` serves every name below. IPv4 only.
    pub fn publish(&self, host: &str, address: SocketAddr) {
        lock(&self.state.published).insert(host.to_owned(), address);
        self.state.config.send_modify(|config| Arc::make_mut(config).add_endpoint(host, address));
    }

    /// The verdict over a health check, none where no such check is known.
    pub fn health(&self, check_id: &str) -> Option<bool> {
        self.state.verdict(check_id).map(|verdict| verdict.healthy)
    }

    /// Ends the server and its checkers, and waits until they are gone.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// What server, checkers and handle share.
struct State {
    /// Locked while it is read, so that a slow old answer cannot overwrite a newer one.
    control: AsyncMutex<ControlPlane>,
    published: Mutex<BTreeMap<String, SocketAddr>>,
    config: watch::Sender<Arc<Config>>,
    opinions: Mutex<Opinions>,
    factor: f64,
    checkers: usize,
}

impl State {
    async fn refresh(&self) -> Result<(), Error> {
        let control = self.control.lock().await;
        let mut config = control.read().await?;
        // Inside the channel's own lock: an endpoint that is published meanwhile is in the list before it is in the configuration.
        self.config.send_modify(|current| {
            for (host, address) in lock(&self.published).iter() {
                config.add_endpoint(host, *address);
            }
            *current = Arc::new(config);
        });
        Ok(())
    }

    fn answer(&self, name: &str, kind: Option<Kind>) -> Answer {
        self.judging(|judge| judge.answer(name, kind))
    }

    fn http_address(&self, host: &str, port: u16) -> Option<SocketAddr> {
        self.judging(|judge| judge.http_address(host, port))
    }

    fn judging<T>(&self, ask: impl FnOnce(&Judge<'_>) -> T) -> T {
        let config = self.config.borrow().clone();
        let opinions = lock(&self.opinions).clone();
        ask(&Judge {
            config: &config,
            // A record whose check was deleted is answered as if it were healthy; AWS promises nothing there.
            healthy: &|id| judge(&config.checks, &opinions, id).is_none_or(|v| v.healthy),
            draw: &|below| random() % below.max(1),
        })
    }

    fn verdict(&self, id: &str) -> Option<Verdict> {
        let config = self.config.borrow().clone();
        judge(&config.checks, &lock(&self.opinions), id)
    }

    fn observe(&self, id: &str, index: usize, passed: bool, threshold: u32) {
        if let Some(opinion) = lock(&self.opinions).get_mut(id).and_then(|opinions| opinions.get_mut(index)) {
            opinion.observe(passed, threshold);
        }
    }

    fn expect_opinions(&self, id: &str) {
        lock(&self.opinions).insert(id.to_owned(), vec![Opinion::default(); self.checkers]);
    }

    fn forget_checks_but(&self, wanted: impl Fn(&String) -> bool) {
        lock(&self.opinions).retain(|id, _| wanted(id));
    }

    fn scaled(&self, time: Duration) -> Duration {
        time.div_f64(self.factor)
    }

    /// DNS counts in whole seconds, and a TTL of 0 would forbid caching, which no record asked for.
    fn scaled_ttl(&self, ttl: u32) -> u32 {
        (f64::from(ttl) / self.factor).round().max(1.0) as u32
    }
}

async fn poll(state: Arc<State>, every: Duration) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The control plane may be dark, which is part of the play: the last configuration stays. Who wants to know calls `refresh`.
        let _ = state.refresh().await;
    }
}

async fn report(state: Arc<State>, hook: StatusHook) {
    let period = state.scaled(STATUS_PERIOD);
    let mut ticks = interval_at(Instant::now() + period, period);
    loop {
        ticks.tick().await;
        let config = state.config.borrow().clone();
        for id in config.checks.keys() {
            if let Some(verdict) = state.verdict(id) {
                hook(&Status { check_id: id.clone(), healthy: verdict.healthy, percent_healthy: verdict.percent_healthy });
            }
        }
    }
}

/// The standard library's hash seeds are the only randomness that is needed here.
fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

/// No critical section here can panic half way, so that a poisoned lock still guards a whole value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
