//! The heartbeat's row, and how far a replica came.
//!
//! A replica of MySQL or MariaDB tells nothing of its own that would not lie: `Seconds_Behind_Master` counts what arrived and is not
//! applied, and is 0 while the network holds everything back. So here the heartbeat's row is what tells, and the positions stand beside it.

use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use super::error::{Failure, is_no_such_procedure, is_no_such_table, is_syntax, lacks_a_right};
use crate::ports::Reached;

const BEAT: &str = "insert into relight_heartbeat (id, beat_at) values (1, utc_timestamp(6)) on duplicate key update beat_at = values(beat_at)";
const CREATE: &str = "create table relight_heartbeat (id int primary key, beat_at datetime(6) not null)";
/// Microseconds since 1970: a difference of two values that the session's time zone does not touch.
const BEAT_AT: &str = "select timestampdiff(microsecond, '1970-01-01 00:00:00', beat_at) from relight_heartbeat where id = 1";

/// MySQL has the first from 8.0.22 on.
const STATUS: [&str; 3] = ["show replica status", "show slave status", "call mysql.rds_replica_status"];

/// RDS sets `read_only` on replicas, and takes it back by a promotion.
pub(super) async fn is_read_only(session: &mut Conn) -> Result<bool, Failure> {
    let read_only: Option<i64> = session.query_first("select @@global.read_only or @@global.innodb_read_only").await?;
    Ok(read_only != Some(0))
}

pub(super) async fn beat(session: &mut Conn) -> Result<(), Failure> {
    match session.query_drop(BEAT).await {
        Err(error) if is_no_such_table(&error) => {
            session.query_drop(CREATE).await?;
            Ok(session.query_drop(BEAT).await?)
        }
        beaten => Ok(beaten?),
    }
}

pub(super) async fn reached(session: &mut Conn) -> Result<Reached, Failure> {
    let following = following(session).await?;
    if !matches!(following, Following::Source(_)) && !is_read_only(session).await? {
        return Err(Failure::Unsettled("it is no replica any more, so it cannot say how far it came as one"));
    }
    let log = if let Following::Source(status) = &following { of_log(status) } else { None };
    Ok(Reached { beat_at: beat_at(session).await?, log, ..Reached::default() })
}

/// Whom it follows.
pub(super) enum Following {
    /// Its status, as the engine gives it.
    Source(Box<Row>),
    Nobody,
    /// The user may not see it.
    Untold,
}

/// RDS lets the master user of MariaDB ask by a procedure alone.
pub(super) async fn following(session: &mut Conn) -> Result<Following, Failure> {
    let mut answer: Result<Option<Row>, Error> = Ok(None);
    for question in STATUS {
        answer = session.query_first(question).await;
        if !answer.as_ref().is_err_and(|error| lacks_a_right(error) || is_syntax(error)) {
            break;
        }
    }
    match answer {
        Ok(Some(status)) => Ok(Following::Source(Box::new(status))),
        Ok(None) => Ok(Following::Nobody),
        Err(error) if lacks_a_right(&error) || is_no_such_procedure(&error) => Ok(Following::Untold),
        Err(error) => Err(error.into()),
    }
}

/// `mysql-bin.000003:4567 of its source's log received, mysql-bin.000003:4567 applied`.
fn of_log(status: &Row) -> Option<String> {
    let received = (text(status, ["Master_Log_File", "Source_Log_File"])?, text(status, ["Read_Master_Log_Pos", "Read_Source_Log_Pos"])?);
    let applied = (text(status, ["Relay_Master_Log_File", "Relay_Source_Log_File"])?, text(status, ["Exec_Master_Log_Pos", "Exec_Source_Log_Pos"])?);
    Some(format!("{}:{} of its source's log received, {}:{} applied", received.0, received.1, applied.0, applied.1))
}

/// A column of the status: MySQL calls it by another name than MariaDB.
pub(super) fn text(status: &Row, names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| status.get_opt::<String, _>(name)?.ok())
}

/// The last beat that arrived; none where there is no such table, or no right to read it.
async fn beat_at(session: &mut Conn) -> Result<Option<Timestamp>, Failure> {
    match session.query_first::<i64, _>(BEAT_AT).await {
        Ok(microseconds) => Ok(microseconds.and_then(|at| Timestamp::from_microsecond(at).ok())),
        Err(error) if is_no_such_table(&error) || lacks_a_right(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
