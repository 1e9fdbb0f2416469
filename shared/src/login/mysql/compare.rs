//! A replica and a copy of it, or a writer and its replica, side by side, table by table, without loading either.
//!
//! ```text
//! here: a snapshot ──► its position ──┐
//!                                     ├── the same ──► count and checksum of each table
//! there: a snapshot ──► its position ─┘   not yet ──► whichever is behind takes a new snapshot
//! ```
//! A replica of MariaDB writes the position of the last transaction that it replayed into a table, in that transaction: so a snapshot of its tables
//! has its position in it, and one position is the same rows on every server that follows the same source. A writer says where its log stood
//! when the snapshot was taken. MySQL does neither: its replicas know their place in their own source's log only, which a copy does not share.
//!
//! A writer that takes no writes any more stands still: its replica that has applied the whole log is equal to it, of either engine.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::{Instant, sleep};

use super::error::{Failure, explain};
use super::left::digest;
use super::replica::{Following, following, is_read_only};
use super::users::is_mariadb;
use super::{home, identifier, literal};
use crate::ports::{Compared, Difference, LoginError, OWN_TABLES, Table, Tables};

/// How long a moment is looked for at which both sides stand alike.
const MEETING: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

const SNAPSHOT: [&str; 3] =
    ["rollback", "set session transaction isolation level repeatable read", "start transaction with consistent snapshot, read only"];
/// The newest of each stream; older ones are removed in the background.
const POSITION: &str = "select domain_id, max(seq_no) from mysql.gtid_slave_pos group by domain_id";
/// Where its log stood when the snapshot was taken.
const OF_SNAPSHOT: &str = "show status like 'binlog_snapshot_%'";
const LIST: &str = "select t.table_schema, t.table_name, coalesce(t.engine, ''), coalesce(group_concat(k.column_name order by k.ordinal_position), '') \
     from information_schema.tables t left join information_schema.key_column_usage k \
       on k.table_schema = t.table_schema and k.table_name = t.table_name and k.constraint_name = 'PRIMARY' \
     where t.table_type = 'BASE TABLE' and t.table_schema not in ('mysql', 'sys', 'information_schema', 'performance_schema') \
     group by t.table_schema, t.table_name, t.engine order by 1, 2";

pub(super) async fn tables(session: &mut Conn, named: &[String]) -> Result<Tables, Failure> {
    let rows: Vec<(String, String, String, String)> = session.query(LIST).await?;
    let mut tables = Tables::default();
    let mut found = BTreeSet::new();
    for (schema, plain, engine, key) in rows {
        let (name, said) = (format!("{}.{}", identifier(&schema), identifier(&plain)), format!("{schema}.{plain}"));
        let own = OWN_TABLES.contains(&plain.as_str());
        if own || !(named.is_empty() || named.contains(&said)) {
            continue;
        }
        found.insert(said.clone());
        match (engine == "InnoDB", key.is_empty()) {
            (false, _) => tables.left_out.push((said, "it is not InnoDB's, so there is no snapshot of it".to_owned())),
            (_, true) => tables.left_out.push((said, "it has no primary key".to_owned())),
            _ => tables.compared.push(Table { name, key: key.split(',').map(str::to_owned).collect() }),
        }
    }
    let absent = named.iter().filter(|name| !found.contains(*name));
    tables.left_out.extend(absent.map(|name| (name.clone(), "it is not in this server, or its name lacks the database".to_owned())));
    Ok(tables)
}

/// One of the two sides, in a session of its own.
pub(super) struct Side<'a> {
    pub(super) session: &'a mut Conn,
    pub(super) at: &'a str,
}

impl Side<'_> {
    pub(super) fn explain(&self, failure: impl Into<Failure>) -> LoginError {
        explain(failure.into(), self.at, "let its tables be read")
    }

    async fn role(&mut self) -> Result<Role, LoginError> {
        let role = async {
            Ok(match following(self.session).await? {
                Following::Source(_) => Role::Replica,
                Following::Untold if is_read_only(self.session).await? => Role::Replica,
                Following::Nobody | Following::Untold => Role::Writer,
            })
        };
        role.await.map_err(|failure: Failure| self.explain(failure))
    }

    /// A transaction that sees one moment.
    async fn begin(&mut self) -> Result<(), Failure> {
        for statement in SNAPSHOT {
            self.session.query_drop(statement).await?;
        }
        Ok(())
    }

    /// The same, and its position.
    async fn snapshot(&mut self, role: Role) -> Result<Position, LoginError> {
        self.look(role).await.map_err(|failure| self.explain(failure))
    }

    async fn look(&mut self, role: Role) -> Result<Position, Failure> {
        self.begin().await?;
        let replayed: Vec<(u64, u64)> = self.session.query(POSITION).await?;
        let replayed = Position(replayed.into_iter().collect());
        if role == Role::Replica {
            return Ok(replayed);
        }
        let place: BTreeMap<String, String> = self.session.query::<(String, String), _>(OF_SNAPSHOT).await?.into_iter().collect();
        let (Some(file), Some(at)) = (place.get("Binlog_snapshot_file"), place.get("Binlog_snapshot_position")) else {
            return Err(Failure::Unsettled("it does not say at which position of its log it is read"));
        };
        let written: Option<Option<String>> = self.session.query_first(format!("select binlog_gtid_pos({}, {at})", literal(file))).await?;
        Ok(replayed.with(&written.flatten().unwrap_or_default()))
    }

    async fn is_still(&mut self) -> Result<bool, LoginError> {
        is_read_only(self.session).await.map_err(|failure| self.explain(failure))
    }

    async fn position(&mut self) -> Result<crate::ports::Position, LoginError> {
        home::position(self.session).await.map_err(|failure| self.explain(failure))
    }

    async fn sum(&mut self, table: &Table) -> Result<(u64, String), LoginError> {
        self.count_and_sum(table).await.map_err(|failure| self.explain(failure))
    }

    async fn count_and_sum(&mut self, table: &Table) -> Result<(u64, String), Failure> {
        let (schema, plain) = halves(&table.name);
        let columns: Vec<String> = self
            .session
            .query(format!(
                "select column_name from information_schema.columns where table_schema = {} and table_name = {} order by ordinal_position",
                literal(&schema),
                literal(&plain)
            ))
            .await?;
        let digest = format!("conv(substr({}, 1, 15), 16, 10)", digest(columns.iter()));
        let sum = format!("select count(*), coalesce(sum(cast({digest} as unsigned)), 0) from {}", table.name);
        let row: Option<(u64, String)> = self.session.query_first(sum).await?;
        Ok(row.unwrap_or_default())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Replica,
}

/// The last transaction of each stream. Most servers have one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position(BTreeMap<u64, u64>);

impl Position {
    /// What a writer wrote itself, `0-1-4567,7-2-8`, comes after what it replayed when it was a replica.
    fn with(mut self, written: &str) -> Position {
        for one in written.split(',') {
            let mut parts = one.trim().split('-').map(str::parse::<u64>);
            if let (Some(Ok(stream)), Some(Ok(_)), Some(Ok(last))) = (parts.next(), parts.next(), parts.next()) {
                let held = self.0.entry(stream).or_default();
                *held = last.max(*held);
            }
        }
        self
    }

    /// `None`: each is ahead in one of the streams, so neither has only to wait for the other.
    fn against(&self, other: &Position) -> Option<Ordering> {
        let streams: BTreeSet<&u64> = self.0.keys().chain(other.0.keys()).collect();
        let at = |position: &Position, stream| position.0.get(stream).copied().unwrap_or_default();
        let orders: BTreeSet<Ordering> =
            streams.into_iter().map(|stream| at(self, stream).cmp(&at(other, stream))).filter(|order| order.is_ne()).collect();
        match orders.len() {
            0 => Some(Ordering::Equal),
            1 => orders.first().copied(),
            _ => None,
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let streams: Vec<String> = self.0.iter().map(|(stream, last)| format!("{stream}-{last}")).collect();
        write!(f, "transaction {}", streams.join(", "))
    }
}

pub(super) async fn compare(here: &mut Side<'_>, there: &mut Side<'_>, tables: &[Table]) -> Result<Compared, LoginError> {
    let Some(at) = alike(here, there).await? else { return Ok(Compared::Moving) };
    let (mut rows, mut differing) = (0, Vec::new());
    for table in tables {
        let (one, other) = tokio::join!(here.sum(table), there.sum(table));
        let (one, other) = (one?, other?);
        rows += one.0;
        if one != other {
            differing.push(Difference { table: table.name.clone(), here: one.0, there: other.0 });
        }
    }
    Ok(if differing.is_empty() { Compared::Equal { at, tables: tables.len(), rows } } else { Compared::Differing { at, tables: differing } })
}

/// Leaves a transaction open on both sides that sees the same rows, and says at which position; `None` where they were not seen alike.
async fn alike(here: &mut Side<'_>, there: &mut Side<'_>) -> Result<Option<String>, LoginError> {
    let role = here.role().await?;
    if role == Role::Writer && here.is_still().await? {
        let end = here.position().await?.replayed;
        if there.position().await?.replayed >= end {
            let (one, other) = tokio::join!(here.begin(), there.begin());
            one.map_err(|failure| here.explain(failure))?;
            other.map_err(|failure| there.explain(failure))?;
            return Ok(Some(end.to_string()));
        }
    }
    let mariadb = is_mariadb(here.session).await;
    match (mariadb.map_err(|failure| here.explain(failure))?, role) {
        (true, role) => Ok(meet(here, there, role).await?.map(|at| at.to_string())),
        (false, Role::Writer) => Ok(None),
        (false, Role::Replica) => {
            Err(here.explain(Failure::Unsupported("compare a copy of MySQL with its replica: their positions are of two logs")))
        }
    }
}

async fn meet(here: &mut Side<'_>, there: &mut Side<'_>, role: Role) -> Result<Option<Position>, LoginError> {
    let until = Instant::now() + MEETING;
    let (mut one, mut other) = (here.snapshot(role).await?, there.snapshot(role).await?);
    while Instant::now() < until {
        match one.against(&other) {
            Some(Ordering::Equal) => return Ok(Some(one)),
            // Whoever is ahead keeps its snapshot until the other comes along.
            Some(Ordering::Greater) => other = there.snapshot(role).await?,
            Some(Ordering::Less) => one = here.snapshot(role).await?,
            None => (one, other) = (here.snapshot(role).await?, there.snapshot(role).await?),
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// Of a name as [`tables`] quotes it.
pub(super) fn halves(name: &str) -> (String, String) {
    let (schema, table) = name.split_once("`.`").unwrap_or_default();
    let plain = |half: &str| half.trim_matches('`').replace("``", "`");
    (plain(schema), plain(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(streams: &[(u64, u64)]) -> Position {
        Position(streams.iter().copied().collect())
    }

    #[test]
    fn who_lacks_a_transaction_of_some_stream_is_behind() {
        let both = position(&[(0, 5), (7, 2)]);
        assert_eq!(both.against(&both), Some(Ordering::Equal));
        assert_eq!(both.against(&position(&[(0, 5)])), Some(Ordering::Greater));
        assert_eq!(position(&[(0, 4), (7, 2)]).against(&both), Some(Ordering::Less));
        assert_eq!(position(&[(0, 6), (7, 1)]).against(&both), None);
        assert_eq!(both.to_string(), "transaction 0-5, 7-2");
        assert_eq!(position(&[(0, 4), (1, 9)]).with("0-77-5,7-3-2"), position(&[(0, 5), (1, 9), (7, 2)]));
        assert_eq!(both.clone().with(""), both);
    }

    #[test]
    fn a_tables_name_is_taken_apart_as_it_was_put_together() {
        assert_eq!(halves("`shop`.`or``ders`"), ("shop".to_owned(), "or`ders".to_owned()));
    }
}
