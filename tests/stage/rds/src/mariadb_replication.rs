//! How one MariaDB server follows another, and ceases to.
//!
//! ```text
//! copy of the source's files ──► recovered as after a crash: its binary log ends where it follows from
//!                            ──► CHANGE MASTER … MASTER_USE_GTID=slave_pos through the link ──► START SLAVE
//! promotion: stop receiving ──► apply what was received ──► forget the source ──► restart, with what read_only says of a writer
//! ```

use crate::error::Error;
use crate::mariadb::{MariaDb, REPLICATION_USER, forget_source};
use crate::read_only::Role;
use crate::replication::Replication;
use crate::server::Server;
use crate::session::Row;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(crate) const STATUS: &str = "SHOW SLAVE STATUS";
/// How long a promotion waits for the rows that were received to be applied.
const APPLIES_WITHIN: Duration = Duration::from_secs(60);

/// Starts a server over a copy of its source's data, as a replica that receives through `link_port`.
pub(crate) async fn start_following(mariadb: &MariaDb, server: &Server, link_port: u16) -> Result<(), Error> {
    forget_source(server.data())?;
    server.set_role(Role::Replica);
    server.start().await?;
    // The binary log was copied with the data and recovered with them, so both end at the same transaction.
    server.sql("set where to follow from", "SET GLOBAL gtid_slave_pos = @@gtid_binlog_pos").await?;
    // The link reads the protocol between the two, hence no encryption on it.
    let change = format!(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {link_port}, MASTER_USER = '{REPLICATION_USER}', \
         MASTER_PASSWORD = '{}', MASTER_SSL = 0, MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1",
        mariadb.replication_password
    );
    server.sql("name the source", &change).await?;
    server.sql("start to replicate", "START SLAVE").await?;
    Ok(())
}

/// None: the server does not answer.
pub(crate) async fn replication_of(server: &Server) -> Option<Replication> {
    let rows = server.sql("ask for the state of replication", STATUS).await.ok()?;
    let Some(row) = rows.first() else { return Some(Replication::default()) };
    let runs = |column| row.named(column) == Some("Yes");
    let seconds_behind = row.named("Seconds_Behind_Master").and_then(|seconds| seconds.parse().ok());
    Some(Replication { in_recovery: true, streaming: runs("Slave_IO_Running") && runs("Slave_SQL_Running"), seconds_behind })
}

/// Returns when the server has all that it received and follows nobody; where its parameters let it, it takes writes from its next start on.
pub(crate) async fn promote(server: &Server) -> Result<(), Error> {
    // Over connections of their own: DescribeDBInstances asks over the shared one meanwhile.
    server.sql_in(None, "STOP SLAVE IO_THREAD").await?;
    apply_all(server).await?;
    server.sql_in(None, "STOP SLAVE").await?;
    server.sql_in(None, "RESET SLAVE ALL").await?;
    server.set_role(Role::Writer);
    Ok(())
}

/// The end of what was received may be half a transaction, whose rest will never come: that is not waited for.
async fn apply_all(server: &Server) -> Result<(), Error> {
    let limit = Instant::now() + APPLIES_WITHIN;
    let mut before = None;
    while Instant::now() < limit {
        let rows = server.sql_in(None, STATUS).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        if row.named("Slave_SQL_Running") != Some("Yes") {
            return Err(Error::Replication { data: server.data().to_path_buf(), said: row.named("Last_SQL_Error").unwrap_or_default().to_owned() });
        }
        let now = applied(row);
        // Seen twice: what was received last may not have been looked at the first time.
        if now.is_some() && now == before {
            return Ok(());
        }
        before = now;
        sleep(Duration::from_millis(50)).await;
    }
    Err(Error::Silent { operation: "apply what was received", data: server.data().to_path_buf(), seconds: APPLIES_WITHIN.as_secs() })
}

/// Up to where, when the server waits for more.
fn applied(row: &Row) -> Option<(String, String)> {
    let waits = row.named("Slave_SQL_Running_State").is_some_and(|state| state.starts_with("Slave has read all relay log"));
    waits
        .then(|| (row.named("Relay_Master_Log_File").unwrap_or_default().to_owned(), row.named("Exec_Master_Log_Pos").unwrap_or_default().to_owned()))
}
