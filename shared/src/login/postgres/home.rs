//! What the way home asks of a database: where its log stands, and that writes end and begin again.
//!
//! Amazon RDS's master user is no superuser: `alter system` is not his, a setting of a database that he owns is, and so is ending the
//! sessions of everybody but superusers (`pg_signal_backend`, which `rds_superuser` has).
//!
//! ```text
//! close_writes   set read-only ─► end every session, also those that were just coming ─► nothing writes ─► the log is on disk: its end
//! open_writes    unset, end every session
//! ```
//! A session reads the setting once, as it begins; hence the ending. Refusing connections altogether was the other way: it would have
//! kept the reads out as well, and its undoing would have needed a way in.

use std::time::Duration;

use postgres_protocol::escape::escape_identifier;
use tokio::time::sleep;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::error::Failure;
use crate::ports::{Lsn, Position};

/// Between two looks at the sessions.
const LOOK: Duration = Duration::from_millis(100);
/// A session that was just beginning may have read the old setting and be listed only now.
const FEWEST_LOOKS: u32 = 6;
const MOST_LOOKS: u32 = 150;
/// The next record of the log begins behind the header of a page; so far apart may its end and what is on disk be with nothing missing.
const PAGE_HEADER: u64 = 40;

/// Sessions of this database but our own. A superuser's (of Amazon RDS: rdsadmin's) can neither be ended nor kept from writing.
const OTHERS: &str = "from pg_stat_activity a join pg_roles r on r.oid = a.usesysid \
                      where a.datname = current_database() and a.pid <> pg_backend_pid() and not r.rolsuper";
const IS_CLOSED: &str = "select exists (select from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase \
                         where d.datname = current_database() and s.setrole = 0 and 'default_transaction_read_only=on' = any (s.setconfig))";
/// A role's own setting counts more than the database's.
const OVERRIDDEN: &str = "select exists (select from pg_db_role_setting s \
                          where s.setrole <> 0 and (s.setdatabase = 0 or s.setdatabase = (select oid from pg_database where datname = current_database())) \
                          and 'default_transaction_read_only=off' = any (s.setconfig))";
const PREPARED: &str = "select exists (select from pg_prepared_xacts where database = current_database())";

pub(super) async fn position(client: &Client) -> Result<Position, Failure> {
    // Each function refuses to answer on the other kind of server.
    let row = client
        .query_one(
            "select r, case when r then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end::text, \
             case when r then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text from (select pg_is_in_recovery() as r) as it",
            &[],
        )
        .await?;
    let lsn = |text: Option<String>| text.map_or(Ok(Lsn::default()), |text| text.parse::<Lsn>().map_err(|_| Failure::NoPosition));
    let replayed = lsn(row.try_get(2)?)?;
    // What came with the copy that a replica began from was never received.
    Ok(Position { in_recovery: row.try_get(0)?, received: lsn(row.try_get(1)?)?.max(replayed), replayed })
}

pub(super) async fn close_writes(client: &Client) -> Result<Lsn, Failure> {
    if asked(client, OVERRIDDEN).await? {
        return Err(Failure::Unsettled(
            "a role has default_transaction_read_only set to off for itself, so it would go on writing; `alter role ... reset default_transaction_read_only`",
        ));
    }
    set(client, "set default_transaction_read_only to on", "").await?;
    end_sessions(client).await?;
    if asked(client, PREPARED).await? {
        return Err(Failure::Unsettled("a prepared transaction is open and can still be committed; commit it or roll it back"));
    }
    end_of_log(client).await
}

pub(super) async fn open_writes(client: &Client) -> Result<(), Failure> {
    if !asked(client, IS_CLOSED).await? {
        return Ok(());
    }
    // Ended with the change as well as after it: one that dies in between leaves nobody read-only but who came in that moment.
    set(client, "reset default_transaction_read_only", &format!("select pg_terminate_backend(a.pid) {OTHERS};")).await?;
    client.batch_execute(&format!("select pg_terminate_backend(a.pid) {OTHERS} and a.backend_start <= clock_timestamp()")).await.map_err(may_not_end)
}

/// In a transaction that says that it writes: the database may be closed already.
async fn set(client: &Client, change: &str, more: &str) -> Result<(), Failure> {
    let database: String = client.query_one("select current_database()::text", &[]).await?.try_get(0)?;
    let statements = format!("begin read write; alter database {} {change}; {more} commit", escape_identifier(&database));
    client.batch_execute(&statements).await.map_err(|error| match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            Failure::MayNot("make the admin the owner of the database, or a member of the role that owns it, and grant it pg_signal_backend")
        }
        _ => error.into(),
    })
}

/// Until no session is left that began before the setting, and none writes in spite of it.
async fn end_sessions(client: &Client) -> Result<(), Failure> {
    let row = client.query_one("select clock_timestamp()::text", &[]).await?;
    let closed: String = row.try_get(0)?;
    let left = format!("{OTHERS} and (a.backend_start <= $1::text::timestamptz or a.backend_xid is not null)");
    let (count, end) = (format!("select count(*) {left}"), format!("select pg_terminate_backend(a.pid) {left}"));
    let mut looks = 0;
    loop {
        client.query(&end, &[&closed]).await.map_err(may_not_end)?;
        sleep(LOOK).await;
        let open: i64 = client.query_one(&count, &[&closed]).await?.try_get(0)?;
        looks += 1;
        match open {
            0 if looks >= FEWEST_LOOKS => return Ok(()),
            _ if looks < MOST_LOOKS => {}
            _ => {
                return Err(Failure::Unsettled(
                    "sessions go on that were told to end, or one writes with `set transaction read write`; stop who holds them",
                ));
            }
        }
    }
}

/// Where the log ends, once all of it is on disk: a commit that did not wait for the disk (`synchronous_commit` off) is sent to replicas only then.
async fn end_of_log(client: &Client) -> Result<Lsn, Failure> {
    for _ in 0..MOST_LOOKS {
        let row = client.query_one("select pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text", &[]).await?;
        let lsn = |column: usize| -> Result<Lsn, Failure> { row.try_get::<_, String>(column)?.parse().map_err(|_| Failure::NoPosition) };
        let (written, on_disk) = (lsn(0)?, lsn(1)?);
        if written.0.saturating_sub(on_disk.0) <= PAGE_HEADER {
            return Ok(on_disk);
        }
        sleep(LOOK).await;
    }
    Err(Failure::Unsettled("its log goes on growing though writes are closed; look for a superuser's session"))
}

async fn asked(client: &Client, question: &str) -> Result<bool, Failure> {
    Ok(client.query_one(question, &[]).await?.try_get(0)?)
}

fn may_not_end(error: tokio_postgres::Error) -> Failure {
    match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Failure::MayNot("grant pg_signal_backend to the admin"),
        _ => error.into(),
    }
}
