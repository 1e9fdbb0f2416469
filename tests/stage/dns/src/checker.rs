//! The health checkers: each probes an endpoint by itself, from outside every Region, so that a dark Region does not stop them; they just see no answer.
//!
//! ```text
//! configuration ──► supervise: as many tasks a check as there are checkers ──► probe every RequestInterval / factor ──► Opinion
//! ```

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    State,
    config::{Endpoint, HealthCheck, Protocol, Subject},
};

/// Route 53's limits: to connect, then to the status, then to the body.
const CONNECT_HTTP: Duration = Duration::from_secs(4);
const CONNECT_TCP: Duration = Duration::from_secs(10);
const RESPOND: Duration = Duration::from_secs(2);
/// A busy machine must not look like an ill endpoint, whatever the factor.
const LEAST_TIME_OUT: Duration = Duration::from_millis(500);
/// Route 53 searches its string in this much of the body.
const SEARCHED_BYTES: usize = 5120;

/// Keeps the right checkers running, for ever. Dropping the future ends them all.
pub(crate) async fn supervise(state: Arc<State>) {
    let mut running: HashMap<String, JoinSet<()>> = HashMap::new();
    let mut changes = state.config.subscribe();
    loop {
        let config = changes.borrow_and_update().clone();
        let wanted = |id: &String| {
            let check = config.checks.get(id);
            check.is_some_and(|check| matches!(check.subject, Subject::Endpoint(_)))
        };
        running.retain(|id, _| wanted(id));
        state.forget_checks_but(wanted);
        for id in config.checks.keys().filter(|id| wanted(id)) {
            if running.contains_key(id) {
                continue;
            }
            state.expect_opinions(id);
            let mut checkers = JoinSet::new();
            for index in 0..state.checkers {
                checkers.spawn(check_for_ever(state.clone(), id.clone(), index));
            }
            running.insert(id.clone(), checkers);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn check_for_ever(state: Arc<State>, id: String, index: usize) {
    let mut next = Instant::now();
    let mut staggered = false;
    loop {
        // Read anew each time: an update of the check holds from the next probe on, and keeps what was seen so far.
        let config = state.config.borrow().clone();
        let Some(HealthCheck { subject: Subject::Endpoint(endpoint), disabled, .. }) = config.checks.get(&id) else {
            return;
        };
        let interval = state.scaled(endpoint.interval);
        if !staggered {
            // Checkers know nothing of each other; spread, they show how an endpoint dies rather than strike as one.
            next += interval.mul_f64(index as f64 / state.checkers as f64);
            staggered = true;
            sleep_until(next).await;
        }
        if !disabled {
            let passed = probe(&state, endpoint).await;
            state.observe(&id, index, passed, endpoint.failure_threshold);
        }
        next = (next + interval).max(Instant::now());
        sleep_until(next).await;
    }
}

async fn probe(state: &State, endpoint: &Endpoint) -> bool {
    let limit = |limit: Duration| state.scaled(limit).max(LEAST_TIME_OUT);
    let Some(address) = address(state, endpoint) else {
        return false;
    };
    let connect_limit = match endpoint.protocol {
        Protocol::Tcp => CONNECT_TCP,
        Protocol::Http | Protocol::HttpMatch(_) => CONNECT_HTTP,
    };
    let Ok(Ok(stream)) = timeout(limit(connect_limit), TcpStream::connect(address)).await else {
        return false;
    };
    match &endpoint.protocol {
        Protocol::Tcp => true,
        Protocol::Http => http_passes(stream, endpoint, None, limit(RESPOND)).await,
        Protocol::HttpMatch(text) => http_passes(stream, endpoint, Some(text), limit(RESPOND)).await,
    }
}

/// With an IPAddress the name is only the Host header. Without one the name is resolved, by what this same server would answer.
fn address(state: &State, endpoint: &Endpoint) -> Option<SocketAddr> {
    match (endpoint.ip, &endpoint.fqdn) {
        (Some(ip), _) => Some(SocketAddr::new(ip, endpoint.port)),
        (None, Some(fqdn)) => state.http_address(fqdn, endpoint.port),
        (None, None) => None,
    }
}

async fn http_passes(stream: TcpStream, endpoint: &Endpoint, search: Option<&str>, limit: Duration) -> bool {
    let host = match (&endpoint.fqdn, endpoint.ip) {
        (Some(fqdn), _) => fqdn.clone(),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => return false,
    };
    let request = Request::get(&endpoint.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "Amazon-Route53-Health-Check-Service (stage)")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let Ok(request) = request else { return false };
    let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
        return false;
    };
    let exchange = async {
        let Ok(Ok(response)) = timeout(limit, sender.send_request(request)).await else {
            return false;
        };
        // 2xx and 3xx: Route 53 follows no redirect, it takes one as a sign of life.
        if !(200..400).contains(&response.status().as_u16()) {
            return false;
        }
        match search {
            None => true,
            Some(text) => timeout(limit, body_contains(response.into_body(), text)).await.unwrap_or(false),
        }
    };
    // The connection's task is polled beside the exchange, and dropped, thus closed, with it.
    tokio::select! {
        passed = exchange => passed,
        () = async { let _ = connection.await; std::future::pending().await } => false,
    }
}

async fn body_contains(mut body: hyper::body::Incoming, text: &str) -> bool {
    let mut start = Vec::new();
    while start.len() < SEARCHED_BYTES {
        match body.frame().await {
            Some(Ok(frame)) => {
                start.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            }
            Some(Err(_)) => return false,
            None => break,
        }
    }
    start.truncate(SEARCHED_BYTES);
    start.windows(text.len()).any(|window| window == text.as_bytes())
}
