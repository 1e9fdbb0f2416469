//! The heartbeat's row, and how far a replica came.
//!
//! The commit that a replica replayed last tells how far it came only while its source commits: after a quiet hour it is an hour old,
//! with nothing lost. A row that is written each minute ends that doubt. Where the user may see it, the receiver's last word from a
//! source that is still connected ends it too: how far the source's own log went, and when it said so.

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::error::Failure;
use crate::ports::{Lsn, Reached};

const BEAT: &str =
    "insert into relight_heartbeat (id, beat_at) values (1, clock_timestamp()) on conflict (id) do update set beat_at = excluded.beat_at";
const CREATE: &str = "create table relight_heartbeat (id integer primary key, beat_at timestamptz not null)";
/// Microseconds: the server's times have no finer part.
const BEAT_AT: &str = "select (extract(epoch from beat_at) * 1000000)::bigint from relight_heartbeat where id = 1";
/// The receiver's columns are null for a user that may not see them, and it has no row without a connection.
const REACHED: &str = "select pg_is_in_recovery(), pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text, \
     (extract(epoch from pg_last_xact_replay_timestamp()) * 1000000)::bigint, \
     r.latest_end_lsn::text, (extract(epoch from r.last_msg_send_time) * 1000000)::bigint \
     from (select 1) as one left join pg_stat_wal_receiver r on true";

pub(super) async fn beat(client: &Client) -> Result<(), Failure> {
    match client.batch_execute(BEAT).await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
            client.batch_execute(CREATE).await?;
            Ok(client.batch_execute(BEAT).await?)
        }
        beaten => Ok(beaten?),
    }
}

pub(super) async fn reached(client: &Client) -> Result<Reached, Failure> {
    let row = client.query_one(REACHED, &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Err(Failure::Unsettled("it is no replica any more, so it cannot say how far it came as one"));
    }
    let lsn = |column: usize| -> Result<Option<Lsn>, Failure> {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| text.parse().map_err(|_| Failure::NoPosition)).transpose()
    };
    let time = |column: usize| -> Result<Option<Timestamp>, Failure> { Ok(row.try_get::<_, Option<i64>>(column)?.and_then(moment)) };
    let replayed = lsn(2)?.unwrap_or_default();
    // What came with the copy that a replica began from was never received.
    let received = lsn(1)?.unwrap_or_default().max(replayed);
    let level = lsn(4)?.is_some_and(|end| received >= end);
    let (committed_at, level_at) = (time(3)?, time(5)?.filter(|_| level));
    Ok(Reached { received, replayed, committed_at, beat_at: beat_at(client).await?, level_at, log: None })
}

/// The last beat that arrived; none where there is no such table, or no right to read it.
async fn beat_at(client: &Client) -> Result<Option<Timestamp>, Failure> {
    match client.query_opt(BEAT_AT, &[]).await {
        Ok(row) => Ok(row.map(|row| row.try_get(0)).transpose()?.and_then(moment)),
        Err(error) if matches!(error.code(), Some(code) if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INSUFFICIENT_PRIVILEGE) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn moment(microseconds: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(microseconds).ok()
}
