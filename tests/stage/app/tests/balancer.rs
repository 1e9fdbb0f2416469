//! The load balancer with real connections.

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use stage_app::balancer::Balancer;
use tokio::{net::TcpListener, sync::watch, time::timeout};

use support::{eventually, http};

/// A target that answers its name, is ready as long as it is told so, and counts who asked for its name.
struct Target {
    addr: SocketAddr,
    ready: watch::Sender<bool>,
    asked: Arc<AtomicUsize>,
}

async fn target(name: &'static str) -> Target {
    let (ready, seen) = watch::channel(true);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let status =
        |State(ready): State<watch::Receiver<bool>>| async move { if *ready.borrow() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } };
    let tell = move || {
        count.fetch_add(1, Ordering::Relaxed);
        async move { name }
    };
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "slow"
    };
    let app = Router::new().route("/ready", get(status)).route("/name", get(tell)).route("/slow", get(slow)).with_state(seen);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    Target { addr, ready, asked }
}

async fn name(balancer: &Balancer) -> (u16, String) {
    http(balancer.addr(), "GET", "/name", "").await.unwrap()
}

async fn healthy(balancer: &Balancer, count: usize) {
    eventually("healthy targets", async || balancer.healthy().len() == count).await;
}

#[tokio::test]
async fn requests_go_round_over_the_healthy_targets() {
    let balancer = Balancer::start().await.unwrap();
    assert_eq!(name(&balancer).await.0, 503, "no target at all");
    let (a, b) = (target("a").await, target("b").await);
    balancer.register(a.addr);
    balancer.register(b.addr);
    healthy(&balancer, 2).await;
    let mut names = [name(&balancer).await.1, name(&balancer).await.1];
    names.sort();
    assert_eq!(names, ["a", "b"]);

    b.ready.send_replace(false);
    healthy(&balancer, 1).await;
    for _ in 0..3 {
        assert_eq!(name(&balancer).await, (200, "a".to_owned()));
    }
    balancer.deregister(a.addr);
    assert_eq!(name(&balancer).await.0, 503, "the only target left is ill");
    b.ready.send_replace(true);
    healthy(&balancer, 1).await;
    assert_eq!(name(&balancer).await, (200, "b".to_owned()));
}

#[tokio::test]
async fn dark_balancer_accepts_and_never_answers_not_even_what_was_under_way() {
    let balancer = Balancer::start().await.unwrap();
    let a = target("a").await;
    balancer.register(a.addr);
    healthy(&balancer, 1).await;

    let under_way = tokio::spawn({
        let addr = balancer.addr();
        async move { http(addr, "GET", "/slow", "").await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    balancer.dark(true);
    assert!(timeout(Duration::from_millis(600), name(&balancer)).await.is_err());
    assert_eq!(a.asked.load(Ordering::Relaxed), 0, "a request in the dark reached its target");
    assert!(!under_way.is_finished());

    balancer.dark(false);
    assert!(under_way.await.unwrap().is_err(), "an answer from before the dark must not arrive after it");
    assert_eq!(name(&balancer).await, (200, "a".to_owned()));
}
