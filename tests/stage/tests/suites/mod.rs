//! What each port promises, whoever implements it.

mod cluster_copies;
mod clusters;
mod compute;
mod database;
mod home;
mod journal;
mod parameters;
mod secrets;

use std::time::Duration;

pub(crate) use cluster_copies::cluster_copies;
pub(crate) use clusters::global_clusters;
pub(crate) use compute::compute;
pub(crate) use database::database;
pub(crate) use home::{home_database, home_secret};
pub(crate) use journal::journal;
pub(crate) use parameters::write_gate;
pub(crate) use secrets::{disposable_secrets, replica_secret};

use relight::plan;
use relight::ports::{Audience, Fetched, Notice, Notices, Reports, Topic, Traffic};
use relight::run::RunId;

/// A name that no plan of the stage has: nobody sweeps away what a suite makes.
/// A proxy without a target that whoever runs the suites has made.
pub(crate) const PROXY: &str = "conformance";
pub(crate) const PLAN: &str = "conformance";

pub(crate) fn run() -> RunId {
    RunId("drill-20260105T000500Z".to_owned())
}

/// Looks every 100 ms, at most two minutes: real ones on the stage, none at all in the world.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    for _ in 0..1200 {
        match look().await {
            Ok(found) => return found,
            Err(seen) => last = seen,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} was never seen; last seen: {last}");
}

pub(crate) async fn stop<T: Traffic>(traffic: &T, names: &plan::Traffic) {
    let seen = async |present: bool| {
        assert_eq!(traffic.stop_is_present(names).await.expect("a look"), present);
        let Fetched::Answered { status, .. } = traffic.stop_as_checkers_see_it(names).await else { panic!("no answer") };
        assert_eq!(status == 200, present, "to a stranger: {status}");
    };
    seen(false).await;
    traffic.remove_stop(names).await.expect("removing what is absent is no error");
    for _ in 0..2 {
        traffic.put_stop(names).await.expect("put");
        seen(true).await;
    }
    for _ in 0..2 {
        traffic.remove_stop(names).await.expect("removed");
        seen(false).await;
    }
}

pub(crate) async fn notices<N: Notices>(notices: &N) {
    let progress = Notice::Progress { plan: PLAN.to_owned(), run: run().0, what: "a \"quoted\" part is complete".to_owned() };
    notices.publish(&progress).await.expect("published");
    let people = Notice::People { subject: "Relight conformance".to_owned(), text: "two\nlines".to_owned() };
    notices.publish(&people).await.expect("published");
}

/// The functions listen to the topics that wake them: all seven to progress, two to alarms.
pub(crate) async fn audience<A: Audience>(audience: &A) {
    for (topic, expected) in [(Topic::Progress, 7), (Topic::Alarms, 2)] {
        let found = audience.audience(topic).await.expect("a look");
        let functions = found.iter().filter(|held| held.confirmed && held.endpoint.contains(":function:")).count();
        assert_eq!(functions, expected, "{topic}: {found:?}");
        assert!(found.iter().any(|held| held.endpoint.ends_with("-watch-primary")), "{topic}: {found:?}");
    }
    audience.audience(Topic::People).await.expect("whoever it is");
}

pub(crate) async fn reports<R: Reports>(reports: &R) {
    for _ in 0..2 {
        let place = reports.put(&run().0, "{}", "<p>").await.expect("put");
        assert!(place.starts_with("s3://") && place.ends_with(&format!("/{}.html", run())), "{place}");
    }
}

/// Rows that the old writer had for itself.
pub(crate) async fn rows<R: Reports>(reports: &R) {
    let lines = [r#"{"table":"public.orders"}"#.to_owned()];
    for _ in 0..2 {
        let file = reports.put_rows(&run().0, "orders", "public.orders", &lines).await.expect("put");
        assert!(file.starts_with("s3://") && file.ends_with(&format!("/{}/rows/orders/public.orders.jsonl", run())), "{file}");
    }
}
