//! The heartbeat's row, and how far a replica came.
//!
//! A replica of MySQL or MariaDB tells nothing of its own that would not lie: `Seconds_Behind_Master` counts what arrived and is not
//! applied, and is 0 while the network holds everything back. So here the heartbeat's row is what tells, and the positions stand beside it.

use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::error::{Failure, is_no_such_table, lacks_a_right};
use crate::ports::Reached;

const BEAT: &str = "insert into relight_heartbeat (id, beat_at) values (1, utc_timestamp(6)) on duplicate key update beat_at = values(beat_at)";
const CREATE: &str = "create table relight_heartbeat (id int primary key, beat_at datetime(6) not null)";
/// Microseconds since 1970: a difference of two values that the session's time zone does not touch.
const BEAT_AT: &str = "select timestampdiff(microsecond, '1970-01-01 00:00:00', beat_at) from relight_heartbeat where id = 1";

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
    let status = status(session).await?;
    if status.is_none() && !is_read_only(session).await? {
        return Err(Failure::Unsettled("it is no replica any more, so it cannot say how far it came as one"));
    }
    Ok(Reached { beat_at: beat_at(session).await?, log: status.as_ref().and_then(of_log), ..Reached::default() })
}

/// How it follows its source; none where it has none, and where the user may not see it.
async fn status(session: &mut Conn) -> Result<Option<Row>, Failure> {
    match session.query_first("show replica status").await {
        Err(error) if lacks_a_right(&error) => Ok(None),
        row => Ok(row?),
    }
}

/// `mysql-bin.000003:4567 of its source's log received, mysql-bin.000003:4567 applied`. MySQL calls the columns by another name than MariaDB.
fn of_log(status: &Row) -> Option<String> {
    let text = |names: [&str; 2]| names.into_iter().find_map(|name| status.get_opt::<String, _>(name)?.ok());
    let received = (text(["Master_Log_File", "Source_Log_File"])?, text(["Read_Master_Log_Pos", "Read_Source_Log_Pos"])?);
    let applied = (text(["Relay_Master_Log_File", "Relay_Source_Log_File"])?, text(["Exec_Master_Log_Pos", "Exec_Source_Log_Pos"])?);
    Some(format!("{}:{} of its source's log received, {}:{} applied", received.0, received.1, applied.0, applied.1))
}

/// The last beat that arrived; none where there is no such table, or no right to read it.
async fn beat_at(session: &mut Conn) -> Result<Option<Timestamp>, Failure> {
    match session.query_first::<i64, _>(BEAT_AT).await {
        Ok(microseconds) => Ok(microseconds.and_then(|at| Timestamp::from_microsecond(at).ok())),
        Err(error) if is_no_such_table(&error) || lacks_a_right(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
