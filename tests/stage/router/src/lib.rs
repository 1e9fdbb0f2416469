//! The stage's one endpoint: every AWS call of functions, deployer and application arrives here.
//!
//! Three emulators make up the stage's AWS, and none of them alone can be trusted with what the product promises: calls that a role may not
//! make, Regions that are dark, answers that are lost, messages that cross Regions. So one process stands before them:
//!
//! ```text
//!            request.rs  who, where, what            faults.rs, dark Regions
//! call ──►  resources.rs  which ARNs        ──►   policy.rs, directory.rs: may it?  ──►  route.rs: ministack │ moto │ RDS
//!            log.rs      every call                                                 └─►  secrets/   answered here
//!                                                                                   └─►  carry/     topics, schedules, rotation
//! ```
//! [`Router::start`] needs no running emulator: ministack is started with the router's address, so the router is first.

mod carry;
mod cbor;
mod directory;
mod faults;
mod groups;
mod log;
mod policy;
mod privilege;
mod refuse;
mod request;
mod resources;
mod rest;
mod route;
mod secrets;
mod serve;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

pub use carry::schedule::FireError;
pub use carry::{CarryFault, CarryFaultKind, Delivery, Outcome, Source};
pub use faults::{Fault, FaultKind};
pub use log::{Call, CallVerdict, LogError};
pub use policy::PolicyError;
pub use privilege::{Grant, Permission, Policies};
use secrets::Secrets;

/// What a router needs to know. The addresses need not answer yet.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account of all Regions.
    pub account: String,
    pub ministack: SocketAddr,
    pub moto: SocketAddr,
    pub rds: SocketAddr,
    /// One JSON object a call is written here.
    pub log_file: PathBuf,
    /// By how much `rate(…)` schedules run faster than they say.
    pub rate_factor: f64,
}

/// A running router. Clones are handles on the same one.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the router cannot listen on 127.0.0.1")]
    Listen(#[source] std::io::Error),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the rate factor {0} is not a positive number")]
    RateFactor(f64),
    #[error("a managed policy that the router knows cannot be read: {0}")]
    ManagedPolicy(String),
}

type Rewrite = Box<dyn Fn(&Call, Value) -> Value + Send + Sync>;

/// Everything behind the endpoint. Each lock guards one noun and is never held over an await.
pub(crate) struct Inner {
    account: String,
    url: String,
    backends: route::Backends,
    log: log::Log,
    directory: Mutex<directory::Directory>,
    faults: Mutex<faults::Faults>,
    dark: Mutex<BTreeSet<String>>,
    rewrites: Mutex<Vec<(String, String, Rewrite)>>,
    secrets: Secrets,
    groups: Mutex<groups::Policies>,
    topics: Mutex<carry::sns::Topics>,
    schedules: Mutex<carry::schedule::Schedules>,
    /// Bits of an `f64`.
    rate_factor: AtomicU64,
    carry_faults: Mutex<Vec<CarryFault>>,
    deliveries: Mutex<Vec<Delivery>>,
    held: Mutex<Vec<carry::Message>>,
    tasks: Mutex<JoinSet<()>>,
}

/// A panic elsewhere must not hide what the log holds: what is behind these locks is never half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work)
    }

    pub(crate) fn is_dark(&self, region: &str) -> bool {
        lock(&self.dark).contains(region)
    }

    pub(crate) fn dark_regions(&self) -> BTreeSet<String> {
        lock(&self.dark).clone()
    }

    pub(crate) fn rate_factor(&self) -> f64 {
        f64::from_bits(self.rate_factor.load(Ordering::Relaxed))
    }
}

impl Router {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// When it cannot listen, or its log file cannot be created.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        if !(settings.rate_factor.is_finite() && settings.rate_factor > 0.0) {
            return Err(StartError::RateFactor(settings.rate_factor));
        }
        let directory = directory::Directory::new(&settings.account).map_err(|error| StartError::ManagedPolicy(error.to_string()))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(StartError::Listen)?;
        let address = listener.local_addr().map_err(StartError::Listen)?;
        let inner = Arc::new(Inner {
            url: format!("http://{address}"),
            backends: route::Backends::new(settings.ministack, settings.moto, settings.rds),
            log: log::Log::create(&settings.log_file)?,
            directory: Mutex::new(directory),
            groups: Mutex::default(),
            faults: Mutex::default(),
            dark: Mutex::default(),
            rewrites: Mutex::default(),
            secrets: Secrets::new(&settings.account),
            topics: Mutex::default(),
            schedules: Mutex::default(),
            rate_factor: AtomicU64::new(settings.rate_factor.to_bits()),
            carry_faults: Mutex::default(),
            deliveries: Mutex::default(),
            held: Mutex::default(),
            tasks: Mutex::default(),
            account: settings.account,
        });
        let serving = Arc::clone(&inner);
        inner.spawn(async move { serve::listen(serving, listener).await });
        Ok(Self { inner })
    }

    /// What `AWS_ENDPOINT_URL` must be.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Makes a Region a black hole, or ends that. Calls into it, and calls of functions that run in it, are accepted and never answered.
    pub fn dark(&self, region: &str, dark: bool) {
        let mut regions = lock(&self.inner.dark);
        if dark {
            regions.insert(region.to_owned());
        } else {
            regions.remove(region);
        }
        let now_dark = regions.clone();
        drop(regions);
        self.inner.secrets.catch_up(&now_dark);
    }

    pub fn fault(&self, fault: Fault) {
        lock(&self.inner.faults).add(fault);
    }

    pub fn carry_fault(&self, fault: CarryFault) {
        lock(&self.inner.carry_faults).push(fault);
    }

    /// Every call so far, in the order of their ends; one into a dark Region when it arrived.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner.log.calls()
    }

    /// Every permission that a role was asked for and had so far: by its calls, and by what services did under it.
    #[must_use]
    pub fn permissions(&self) -> Vec<Permission> {
        lock(&self.inner.directory).used()
    }

    /// What was carried from topics, schedules and rotations to functions.
    #[must_use]
    pub fn carried(&self) -> Vec<Delivery> {
        lock(&self.inner.deliveries).clone()
    }

    /// Sends on the messages that a dark Region held up, as SNS does when it comes back, and says how many.
    pub fn release(&self) -> usize {
        self.inner.release()
    }

    /// Fires a schedule or rule now, by its name or ARN, and returns when its function accepted the event (or refused it: see `carried`).
    ///
    /// # Errors
    /// When no schedule, or more than one, has the name.
    pub async fn fire(&self, schedule: &str) -> Result<(), FireError> {
        self.inner.fire(schedule).await
    }

    /// From the next sleep of each `rate(…)` schedule on.
    pub fn set_rate_factor(&self, factor: f64) {
        if factor.is_finite() && factor > 0.0 {
            self.inner.rate_factor.store(factor.to_bits(), Ordering::Relaxed);
        }
    }

    /// An access key whose calls are logged under a label and not judged.
    pub fn unjudged(&self, access_key: &str, label: &str) {
        lock(&self.inner.directory).register(access_key, directory::Caller::Unjudged(label.to_owned()));
    }

    /// An access key that acts under a role, and is judged as it: an application's task role.
    pub fn role_key(&self, access_key: &str, role: &str, session: &str) {
        let caller = directory::Caller::Role { role: role.to_owned(), session: session.to_owned(), function: None };
        lock(&self.inner.directory).register(access_key, caller);
    }

    /// Corrects the JSON answers of one operation, after the backend and before the caller.
    pub fn rewrite(&self, service: &str, operation: &str, rewrite: impl Fn(&Call, Value) -> Value + Send + Sync + 'static) {
        lock(&self.inner.rewrites).push((service.to_owned(), operation.to_owned(), Box::new(rewrite)));
    }

    /// Ends everything that the router runs. Held connections break off.
    pub fn shutdown(&self) {
        self.inner.stop_schedules();
        lock(&self.inner.tasks).abort_all();
    }
}
