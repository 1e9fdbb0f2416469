//! How far a replica came, asked of real servers: with a heartbeat, with a log that is level, with neither.
#![cfg(feature = "login")]

#[path = "login/server.rs"]
#[allow(dead_code, reason = "shared with the tests of logins")]
mod server;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use relight::login::PgLogin;
use relight::ports::{Login, LoginError, Reached, Telling};
use relight::secret::SecretValue;
use server::Server;

fn login() -> PgLogin {
    PgLogin::trusting(None)
}

/// Asked until it is so.
async fn until(with: &SecretValue, so: impl Fn(&Reached) -> bool) -> Reached {
    let mut reached = Reached::default();
    for _ in 0..500 {
        reached = login().reached(with).await.expect("an answer");
        if so(&reached) {
            return reached;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never so: {reached:?}");
}

fn is_recent(at: Option<Timestamp>) -> bool {
    at.is_some_and(|at| Timestamp::now().duration_since(at).abs() < SignedDuration::from_secs(60))
}

#[tokio::test]
async fn a_beat_arrives_at_the_replica_and_is_still_there_when_the_writer_is_dead() {
    let writer = Server::start(&[]).expect("PostgreSQL starts");
    let replica = writer.replica();
    assert_eq!(login().reached(&replica.admin()).await.expect("an answer").beat_at, None, "nothing was written yet");
    login().beat(&writer.admin()).await.expect("a beat that makes its table");
    let first = until(&replica.admin(), |reached| reached.beat_at.is_some()).await;
    assert!(is_recent(first.beat_at) && first.committed_at >= first.beat_at && first.received >= first.replayed, "{first:?}");
    login().beat(&writer.admin()).await.expect("a beat");
    let second = until(&replica.admin(), |reached| reached.beat_at > first.beat_at).await;
    assert_eq!(writer.ask("select count(*)::text from relight_heartbeat").await, "1", "one row, however long it beats");

    drop(writer);
    let after = login().reached(&replica.admin()).await.expect("an answer of the orphan");
    assert_eq!((after.beat_at, after.committed_at), (second.beat_at, second.committed_at));
}

#[tokio::test]
async fn a_quiet_source_is_told_by_a_log_that_is_level() {
    let writer = Server::start(&[]).expect("PostgreSQL starts");
    let replica = writer.replica();
    writer.sql("create table t (id int)").await;
    let committed = until(&replica.admin(), |reached| reached.committed_at.is_some()).await.committed_at;
    // The receiver asks its source for a sign of life by itself; here it is connected anew in place of the half minute that that takes.
    writer.sql("select pg_terminate_backend(pid) from pg_stat_replication").await;
    let level = until(&replica.admin(), |reached| reached.level_at > committed).await;
    assert_eq!(level.committed_at, committed, "nothing was committed since");
    assert!(matches!(level.until(), Some((_, Telling::Level))), "{level:?}");
}

#[tokio::test]
async fn what_was_received_and_not_replayed_is_level_and_has_an_older_commit() {
    let writer = Server::start(&[]).expect("PostgreSQL starts");
    let replica = writer.replica();
    login().beat(&writer.admin()).await.expect("a beat");
    let before = until(&replica.admin(), |reached| reached.beat_at.is_some()).await;
    replica.sql("select pg_wal_replay_pause()").await;
    login().beat(&writer.admin()).await.expect("a beat");
    let behind = until(&replica.admin(), |reached| reached.received > before.received).await;
    assert_eq!((behind.beat_at, behind.committed_at), (before.beat_at, before.committed_at), "it shows what it has replayed");
    assert!(behind.replayed < behind.received, "{behind:?}");
}

#[tokio::test]
async fn a_user_without_the_right_to_see_statistics_sees_no_level_and_one_without_a_table_is_told_the_remedy() {
    let writer = Server::start(&[]).expect("PostgreSQL starts");
    let replica = writer.replica();
    writer.sql("create role app login password 'right'; revoke create on schema public from public").await;
    until(&replica.admin(), |reached| reached.committed_at.is_some() && reached.level_at.is_some()).await;
    let seen = until(&replica.secret("app", "right"), |reached| reached.committed_at.is_some()).await;
    assert_eq!((seen.level_at, seen.beat_at), (None, None));
    let refused = login().beat(&writer.secret("app", "right")).await.expect_err("no right to create a table");
    assert!(matches!(refused, LoginError::Refused { .. }) && refused.to_string().contains("grant the user this right"), "{refused}");
}

#[tokio::test]
async fn a_writer_does_not_say_how_far_it_came_as_a_replica() {
    let writer = Server::start(&[]).expect("PostgreSQL starts");
    let refused = login().reached(&writer.admin()).await.expect_err("no replica");
    assert!(refused.to_string().contains("no replica any more"), "{refused}");
}
