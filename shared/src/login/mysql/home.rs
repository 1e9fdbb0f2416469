//! What the way home asks of a database: where its binary log stands, and whether writes are closed.
//!
//! On Amazon RDS nobody sets `read_only` by SQL: the parameter of the instance's own parameter group does it, for everybody but who has the
//! right to write nevertheless. So here is only seen what came of it.
//!
//! ```text
//! close_writes   read_only is on ─► nobody may write nevertheless ─► nothing is prepared that could still be committed ─► the log's end
//! open_writes    read_only is off
//! ```
//! The server sets it while no commit is under way, and a transaction that wrote before is refused its commit after. Readers go on.
//!
//! A position is one of the writer's binary log, which both engines have with or without GTIDs: its replica says how far it applied it.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use super::error::{Failure, is_syntax, lacks_a_right};
use super::replica::{Following, following, is_read_only, text};
use crate::ports::{Lsn, Position};

/// MySQL's from 8.4 on, MariaDB's and MySQL's before.
const END_OF_LOG: [&str; 2] = ["show binary log status", "show master status"];
/// Whoever may write although `read_only` is on; RDS's own users and the server's aside.
const UNSTOPPED: &str = "select count(*) from information_schema.user_privileges \
     where privilege_type in ('SUPER', 'CONNECTION_ADMIN', 'READ_ONLY ADMIN') \
     and substring_index(replace(grantee, '''', ''), '@', 1) not in ('rdsadmin', 'root', 'mariadb.sys', 'mysql.sys', 'mysql.session', 'mysql.infoschema')";

pub(super) async fn position(session: &mut Conn) -> Result<Position, Failure> {
    match following(session).await? {
        Following::Source(status) => {
            let received = lsn(text(&status, ["Master_Log_File", "Source_Log_File"]), text(&status, ["Read_Master_Log_Pos", "Read_Source_Log_Pos"]));
            let applied =
                lsn(text(&status, ["Relay_Master_Log_File", "Relay_Source_Log_File"]), text(&status, ["Exec_Master_Log_Pos", "Exec_Source_Log_Pos"]));
            Ok(Position { in_recovery: true, received: received.unwrap_or_default(), replayed: applied.unwrap_or_default() })
        }
        Following::Nobody => {
            let end = end_of_log(session).await?;
            Ok(Position { in_recovery: false, received: end, replayed: end })
        }
        // Its own log has nothing to do with its source's.
        Following::Untold => Err(Failure::Unsettled(
            "its user may not see how it replicates; grant it REPLICATION CLIENT, and in MariaDB execute on mysql.rds_replica_status",
        )),
    }
}

/// The bytes of the writer's log from a position to its end.
pub(super) async fn log_after(session: &mut Conn, at: Lsn) -> Result<u64, Failure> {
    let end = end_of_log(session).await?;
    if file(end) == file(at) {
        return Ok(end.0.saturating_sub(at.0));
    }
    let logs: Vec<Row> = session.query("show binary logs").await?;
    let sizes = logs.iter().filter_map(named);
    // What was written to the newest one meanwhile is behind the end that counts.
    let between: u64 = sizes.filter(|log| (file(at)..file(end)).contains(&file(*log))).map(place).sum();
    Ok((between + place(end)).saturating_sub(place(at)))
}

pub(super) async fn close_writes(session: &mut Conn) -> Result<Lsn, Failure> {
    if !is_read_only(session).await? {
        return Err(Failure::TakesWrites);
    }
    if session.query_first::<u64, _>(UNSTOPPED).await? != Some(0) {
        return Err(Failure::Unsettled(
            "a user may write although read_only is on; revoke SUPER, CONNECTION_ADMIN (MySQL) and READ_ONLY ADMIN (MariaDB) from who is not RDS's own",
        ));
    }
    match session.query_first::<Row, _>("xa recover").await {
        Ok(None) => {}
        Ok(Some(_)) => return Err(Failure::Unsettled("a prepared transaction is open and can still be committed; `xa commit` or `xa rollback` it")),
        // Who lacks XA_RECOVER_ADMIN sees none, and MySQL lets nobody else commit them.
        Err(error) if lacks_a_right(&error) => {}
        Err(error) => return Err(error.into()),
    }
    end_of_log(session).await
}

pub(super) async fn open_writes(session: &mut Conn) -> Result<(), Failure> {
    match is_read_only(session).await? {
        false => Ok(()),
        true => Err(Failure::Unsettled("read_only is still on; RDS takes a parameter into force within minutes, and by a promotion")),
    }
}

async fn end_of_log(session: &mut Conn) -> Result<Lsn, Failure> {
    let mut answer: Result<Option<Row>, Error> = Ok(None);
    for question in END_OF_LOG {
        answer = session.query_first(question).await;
        if !answer.as_ref().is_err_and(is_syntax) {
            break;
        }
    }
    answer?
        .as_ref()
        .and_then(named)
        .ok_or(Failure::Unsettled("it writes no binary log, so nothing can replicate it; give it backups (BackupRetentionPeriod)"))
}

/// File and place, the first two columns of an answer.
fn named(row: &Row) -> Option<Lsn> {
    lsn(row.get_opt::<String, _>(0)?.ok(), row.get_opt::<String, _>(1)?.ok())
}

/// `mysql-bin-changelog.000003` and `4567`: a later log is another file with a higher number.
fn lsn(file: Option<String>, at: Option<String>) -> Option<Lsn> {
    let file: u64 = file?.rsplit('.').next()?.parse().ok()?;
    let at: u64 = at?.parse().ok()?;
    Some(Lsn(file << 32 | (at & 0xFFFF_FFFF)))
}

fn file(at: Lsn) -> u64 {
    at.0 >> 32
}

fn place(at: Lsn) -> u64 {
    at.0 & 0xFFFF_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, place: &str) -> Option<Lsn> {
        lsn(Some(file.to_owned()), Some(place.to_owned()))
    }

    #[test]
    fn positions_follow_one_another_within_a_log_and_from_log_to_log() {
        let [one, two, three] =
            [at("mysql-bin-changelog.000009", "900"), at("mysql-bin-changelog.000009", "1000"), at("mysql-bin-changelog.000010", "4")];
        assert!(one < two && two < three && one.is_some());
        assert_eq!(three.map(|at| (file(at), place(at))), Some((10, 4)));
        assert_eq!((at("mysql-bin", "4"), at("mysql-bin.000001", ""), lsn(None, None)), (None, None, None));
    }
}
