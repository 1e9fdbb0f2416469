//! One load balancer a Region: round robin over healthy targets, and the face that a dark Region shows.
//!
//! ```text
//! users ──► accept ──► dark? hang ──► next healthy target ──► its answer (dark meanwhile? hang)
//!                                       └► none: 503           └► broken: 502, silent: 504
//! every second: GET /ready of each target ──► healthy after 1 good answer, unhealthy after 2 bad ones
//! ```
//!
//! Unlike AWS's, which fails open, it answers 503 when all targets are ill: on the stage a Region without a healthy task is meant to show.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode, Uri, header, uri::Authority};
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};

use crate::lock;

const CHECK_PERIOD: Duration = Duration::from_secs(1);
const CHECK_TIME_OUT: Duration = Duration::from_secs(1);
const UNHEALTHY_AFTER: u32 = 2;
/// How long a target may think. AWS gives it a minute, longer than any user of the stage waits.
const TARGET_TIME_OUT: Duration = Duration::from_secs(10);

type Body = BoxBody<Bytes, hyper::Error>;

/// A running load balancer. Dropped, it ends at once.
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    targets: Mutex<Vec<Target>>,
    turn: AtomicUsize,
    dark: watch::Sender<bool>,
    /// Rung for a new target, which is not to wait for the next round of checks.
    registered: Notify,
    client: Client<HttpConnector, Body>,
}

struct Target {
    address: SocketAddr,
    healthy: bool,
    failures: u32,
}

impl Balancer {
    /// Listens on a free port of loopback.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            targets: Mutex::default(),
            turn: AtomicUsize::new(0),
            dark: watch::Sender::new(false),
            registered: Notify::new(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, shared.clone()));
        tasks.spawn(check_for_ever(shared.clone()));
        Ok(Self { address, shared, _tasks: tasks })
    }

    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Adds a target; it gets requests after its first good check.
    pub fn register(&self, target: SocketAddr) {
        self.deregister(target);
        lock(&self.shared.targets).push(Target { address: target, healthy: false, failures: 0 });
        self.shared.registered.notify_one();
    }

    pub fn deregister(&self, target: SocketAddr) {
        lock(&self.shared.targets).retain(|known| known.address != target);
    }

    /// The targets that get requests now.
    pub fn healthy(&self) -> Vec<SocketAddr> {
        self.shared.healthy()
    }

    /// Dark: connections are accepted, and no request is ever answered, not even one that a target has answered already. Light again: those requests end with a broken connection.
    pub fn dark(&self, dark: bool) {
        self.shared.dark.send_replace(dark);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of file descriptors, most likely: they come back as connections end.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(&shared, request));
            // An error is a client that hung up, or the dark that ended: nobody is left to be told.
            let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// In the dark nothing reaches a target either: a write that nobody hears of would count as committed. The error closes the connection without an answer.
async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let mut dark = shared.dark.subscribe();
    tokio::select! {
        biased;
        _ = dark.wait_for(|dark| *dark) => (),
        response = forward(shared, request) => return Ok(response),
    }
    if dark.wait_for(|dark| !*dark).await.is_err() {
        pending::<Infallible>().await;
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

async fn forward(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let Some(target) = shared.next_target() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "no healthy target");
    };
    let Some(request) = addressed(request, target) else {
        return refusal(StatusCode::BAD_REQUEST, "the request has no usable path");
    };
    match timeout(TARGET_TIME_OUT, shared.client.request(request)).await {
        Ok(Ok(response)) => response.map(Incoming::boxed),
        Ok(Err(_)) => refusal(StatusCode::BAD_GATEWAY, "the target broke the connection"),
        Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT, "the target did not answer"),
    }
}

fn addressed(request: Request<Incoming>, target: SocketAddr) -> Option<Request<Body>> {
    let (mut head, body) = request.into_parts();
    let mut uri = head.uri.into_parts();
    uri.scheme = Some(http::uri::Scheme::HTTP);
    uri.authority = Some(authority(target)?);
    head.uri = Uri::from_parts(uri).ok()?;
    head.headers.remove(header::CONNECTION);
    Some(Request::from_parts(head, body.boxed()))
}

fn authority(target: SocketAddr) -> Option<Authority> {
    target.to_string().parse().ok()
}

fn refusal(status: StatusCode, reason: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{reason}\n"))).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

async fn check_for_ever(shared: Arc<Shared>) {
    loop {
        let targets: Vec<_> = lock(&shared.targets).iter().map(|target| target.address).collect();
        let passed = join_all(targets.iter().map(|target| is_ready(&shared.client, *target))).await;
        for (target, passed) in targets.into_iter().zip(passed) {
            shared.observe(target, passed);
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_PERIOD) => (),
            () = shared.registered.notified() => (),
        }
    }
}

async fn is_ready(client: &Client<HttpConnector, Body>, target: SocketAddr) -> bool {
    let body = Empty::new().map_err(|never| match never {}).boxed();
    let Ok(request) = Request::get(format!("http://{target}/ready")).body(body) else {
        return false;
    };
    match timeout(CHECK_TIME_OUT, client.request(request)).await {
        Ok(Ok(response)) => response.status().is_success(),
        _ => false,
    }
}

impl Shared {
    fn healthy(&self) -> Vec<SocketAddr> {
        lock(&self.targets).iter().filter(|target| target.healthy).map(|target| target.address).collect()
    }

    fn next_target(&self) -> Option<SocketAddr> {
        let healthy = self.healthy();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        healthy.get(turn.checked_rem(healthy.len())?).copied()
    }

    fn observe(&self, address: SocketAddr, passed: bool) {
        if let Some(target) = lock(&self.targets).iter_mut().find(|target| target.address == address) {
            target.failures = if passed { 0 } else { target.failures + 1 };
            target.healthy = passed || (target.healthy && target.failures < UNHEALTHY_AFTER);
        }
    }
}
