//! A replica and a copy of it side by side, table by table, without loading either.
//!
//! ```text
//! here: a snapshot ──► its position ──┐
//!                                     ├── the same ──► count and checksum of each table
//! there: a snapshot ──► its position ─┘   not yet ──► whichever is behind takes a new snapshot
//! ```
//! MariaDB writes the position of the last transaction that it replayed into a table, in that transaction: so a snapshot of its tables has
//! its position in it, and one position is the same rows on every server that follows the same source. MySQL's replicas know their place
//! in their own source's log only, which the copy does not share.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::{Instant, sleep};

use super::error::Failure;
use super::users::is_mariadb;
use super::{identifier, literal};
use crate::ports::{Compared, Difference, LoginError, OWN_TABLES, Table, Tables};

/// How long a moment is looked for at which both sides stand alike.
const MEETING: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

const SNAPSHOT: [&str; 3] =
    ["rollback", "set session transaction isolation level repeatable read", "start transaction with consistent snapshot, read only"];
/// The newest of each stream; older ones are removed in the background.
const POSITION: &str = "select domain_id, max(seq_no) from mysql.gtid_slave_pos group by domain_id";
const LIST: &str = "select t.table_schema, t.table_name, coalesce(t.engine, ''), coalesce(group_concat(k.column_name order by k.ordinal_position), '') \
     from information_schema.tables t left join information_schema.key_column_usage k \
       on k.table_schema = t.table_schema and k.table_name = t.table_name and k.constraint_name = 'PRIMARY' \
     where t.table_type = 'BASE TABLE' and t.table_schema not in ('mysql', 'sys', 'information_schema', 'performance_schema') \
     group by t.table_schema, t.table_name, t.engine order by 1, 2";

pub(super) async fn tables(session: &mut Conn, named: &[String]) -> Result<Tables, Failure> {
    if !is_mariadb(session).await? {
        return Err(Failure::Unsupported("compare a copy of MySQL with its replica: their positions are of two logs"));
    }
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

/// One of the two sides, and what its failure is called.
pub(super) struct Side<'a, F: Fn(Failure) -> LoginError> {
    pub(super) session: &'a mut Conn,
    pub(super) explain: F,
}

impl<F: Fn(Failure) -> LoginError> Side<'_, F> {
    /// A transaction that sees one moment, and its position.
    async fn snapshot(&mut self) -> Result<Position, LoginError> {
        self.look().await.map_err(&self.explain)
    }

    async fn look(&mut self) -> Result<Position, Failure> {
        for statement in SNAPSHOT {
            self.session.query_drop(statement).await?;
        }
        let streams: Vec<(u64, u64)> = self.session.query(POSITION).await?;
        Ok(Position(streams.into_iter().collect()))
    }

    async fn sum(&mut self, table: &Table) -> Result<(u64, String), LoginError> {
        self.count_and_sum(table).await.map_err(&self.explain)
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
        // Each column by itself: a row's text may be longer than the server allows one to be.
        let parts: Vec<String> = columns.iter().map(|column| format!("ifnull(md5({}), '-')", identifier(column))).collect();
        let digest = format!("conv(substr(md5(concat({})), 1, 15), 16, 10)", parts.join(", "));
        let sum = format!("select count(*), coalesce(sum(cast({digest} as unsigned)), 0) from {}", table.name);
        let row: Option<(u64, String)> = self.session.query_first(sum).await?;
        Ok(row.unwrap_or_default())
    }
}

/// The last transaction of each stream. Most servers have one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position(BTreeMap<u64, u64>);

impl Position {
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

pub(super) async fn compare<F, G>(here: &mut Side<'_, F>, there: &mut Side<'_, G>, tables: &[Table]) -> Result<Compared, LoginError>
where
    F: Fn(Failure) -> LoginError,
    G: Fn(Failure) -> LoginError,
{
    let Some(at) = meet(here, there).await? else { return Ok(Compared::Moving) };
    let (mut rows, mut differing) = (0, Vec::new());
    for table in tables {
        let (one, other) = tokio::join!(here.sum(table), there.sum(table));
        let (one, other) = (one?, other?);
        rows += one.0;
        if one != other {
            differing.push(Difference { table: table.name.clone(), here: one.0, there: other.0 });
        }
    }
    let at = at.to_string();
    Ok(if differing.is_empty() { Compared::Equal { at, tables: tables.len(), rows } } else { Compared::Differing { at, tables: differing } })
}

/// Leaves a transaction open on both sides that sees the same rows; `None` where they did not meet in time.
async fn meet<F, G>(here: &mut Side<'_, F>, there: &mut Side<'_, G>) -> Result<Option<Position>, LoginError>
where
    F: Fn(Failure) -> LoginError,
    G: Fn(Failure) -> LoginError,
{
    let until = Instant::now() + MEETING;
    let (mut one, mut other) = (here.snapshot().await?, there.snapshot().await?);
    while Instant::now() < until {
        match one.against(&other) {
            Some(Ordering::Equal) => return Ok(Some(one)),
            // Whoever is ahead keeps its snapshot until the other comes along.
            Some(Ordering::Greater) => other = there.snapshot().await?,
            Some(Ordering::Less) => one = here.snapshot().await?,
            None => (one, other) = (here.snapshot().await?, there.snapshot().await?),
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// Of a name as [`tables`] quotes it.
fn halves(name: &str) -> (String, String) {
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
    }

    #[test]
    fn a_tables_name_is_taken_apart_as_it_was_put_together() {
        assert_eq!(halves("`shop`.`or``ders`"), ("shop".to_owned(), "or`ders".to_owned()));
    }
}
