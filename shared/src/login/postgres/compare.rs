//! Two databases side by side, row by row, without loading either.
//!
//! ```text
//! left_behind   old ──► cursor: keys and digests, some thousand at a time ──► serving: the digests of these keys
//!                                                      └── lacking or other: both rows as JSON
//! compare       here: a snapshot of an instant at which nobody writes ──► there: the same snapshot ──► count and checksum of each table
//! ```
//! `left_behind` looks the old writer's keys up in the serving database and needs no order: two servers may sort text differently. A row's
//! digest is MD5 over those columns that both sides have; a migration since then does not make every row another one.
//!
//! `compare` adds up 64 bits of each row's MD5: one scan, no sort, the same sum in any order. Two databases of one log see the same rows
//! when both snapshots end at one transaction and none is under way. One that replays cannot be asked to stop there, so whichever is behind
//! is looked at until it gets there or passes by; then it is the other one that is behind. A copy may well be ahead of the replica that it
//! is made of: it is sent what that one received, not what it replayed. Pausing the replay needs a superuser.

use std::collections::HashMap;
use std::time::Duration;

use postgres_protocol::escape::escape_identifier;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::error::{Failure, explain};
use crate::login::{MOST_BYTES, left_line};
use crate::ports::{Compared, Difference, LeftRows, LoginError, Lsn, OWN_TABLES, Table, Tables};

/// Rows whose digests are looked up at once.
const BATCH: usize = 2000;
/// Rows that are read whole at once.
const WHOLE: usize = 100;
/// How long a moment is looked for at which both sides stand alike.
const MEETING: Duration = Duration::from_secs(20);
/// Between two looks. A writer is idle for milliseconds only.
const LOOK: Duration = Duration::from_millis(5);

/// Whatever changes how a value is written. Row security would hide rows where it should refuse.
const SETTINGS: &str = "set default_transaction_read_only to on; set statement_timeout to '600s'; set lock_timeout to '10s'; \
                        set idle_in_transaction_session_timeout to 0; set search_path to pg_catalog, public; set row_security to off; \
                        set datestyle to 'ISO, YMD'; set intervalstyle to 'postgres'; set timezone to 'UTC'; set extra_float_digits to 1; \
                        set bytea_output to 'hex'; set lc_monetary to 'C'";
const LIST: &str = "select format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname, c.relispartition, c.relpersistence = 'u', \
     array(select a.attname::text from pg_index i cross join lateral unnest(i.indkey) with ordinality as k(attnum, place) \
       join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum \
       where i.indrelid = c.oid and i.indisprimary and k.place <= i.indnkeyatts order by k.place) \
     from pg_class c join pg_namespace n on n.oid = c.relnamespace \
     where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and c.relname <> all ($1) \
     order by 1";
/// Each position function refuses to answer on the other kind of server.
const SNAPSHOT: &str = "select txid_current_snapshot()::text, \
     coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, '0/0')::text";
const COLUMNS: &str = "select a.attname::text, format_type(a.atttypid, a.atttypmod) from pg_attribute a \
     where a.attrelid = to_regclass($1::text) and a.attnum > 0 and not a.attisdropped order by a.attnum";

/// One of the two databases, in a session of its own.
pub(super) struct Side<'a> {
    pub(super) client: &'a Client,
    pub(super) at: &'a str,
}

impl Side<'_> {
    async fn run(&self, statements: &str) -> Result<(), LoginError> {
        self.client.batch_execute(statements).await.map_err(|error| self.explain(error))
    }

    async fn ask(&self, question: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, LoginError> {
        self.client.query(question, values).await.map_err(|error| self.explain(error))
    }

    fn explain(&self, error: impl Into<Failure>) -> LoginError {
        explain(error.into(), self.at, "let its tables be read")
    }

    fn read<'r, T: tokio_postgres::types::FromSql<'r>>(&self, row: &'r Row, column: usize) -> Result<T, LoginError> {
        row.try_get(column).map_err(|error| self.explain(error))
    }

    /// Name and type of each column; none where there is no such table.
    async fn columns(&self, table: &Table) -> Result<Vec<(String, String)>, LoginError> {
        let rows = self.ask(COLUMNS, &[&table.name]).await?;
        rows.iter().map(|row| Ok((self.read(row, 0)?, self.read(row, 1)?))).collect()
    }
}

pub(super) async fn tables(side: &Side<'_>, named: &[String]) -> Result<Tables, LoginError> {
    side.run(SETTINGS).await?;
    let mut tables = Tables::default();
    let mut found = Vec::new();
    for row in &side.ask(LIST, &[&OWN_TABLES.as_slice()]).await? {
        let (name, plain): (String, String) = (side.read(row, 0)?, side.read(row, 1)?);
        let (partition, unlogged): (bool, bool) = (side.read(row, 2)?, side.read(row, 3)?);
        let key: Vec<String> = side.read(row, 4)?;
        let wanted = if named.is_empty() { !partition } else { named.contains(&name) || named.contains(&plain) };
        if !wanted {
            continue;
        }
        match (unlogged, key.is_empty()) {
            (true, _) => tables.left_out.push((name.clone(), "it is unlogged, so no replica has its rows".to_owned())),
            (_, true) => tables.left_out.push((name.clone(), "it has no primary key".to_owned())),
            _ => tables.compared.push(Table { name: name.clone(), key }),
        }
        found.extend([name, plain]);
    }
    let absent = named.iter().filter(|name| !found.contains(name));
    tables.left_out.extend(absent.map(|name| (name.clone(), "it is not in this database, or its name lacks the schema".to_owned())));
    Ok(tables)
}

pub(super) async fn left_behind(old: &Side<'_>, serving: &Side<'_>, table: &Table) -> Result<LeftRows, LoginError> {
    old.run(SETTINGS).await?;
    serving.run(SETTINGS).await?;
    let (columns, there) = (old.columns(table).await?, serving.columns(table).await?);
    let looked_up = Lookup::of(table, &columns, &there);
    old.run("begin isolation level repeatable read read only").await?;
    let keys: Vec<String> = table.key.iter().map(|column| format!("{}::text", column_of(column))).collect();
    let digest = digest(columns.iter().map(|(name, _)| name).filter(|name| there.iter().any(|(other, _)| other == *name)));
    old.run(&format!("declare rows no scroll cursor for select {digest}, {} from {} t", keys.join(", "), table.name)).await?;
    let mut left = LeftRows::default();
    let mut bytes = 0;
    loop {
        let rows = old.ask(&format!("fetch {BATCH} from rows"), &[]).await?;
        if rows.is_empty() {
            return Ok(left);
        }
        left.seen += rows.len() as u64;
        let batch =
            rows.iter().map(|row| (0..=table.key.len()).map(|column| old.read(row, column)).collect()).collect::<Result<Vec<Vec<String>>, _>>()?;
        let known = match &looked_up {
            Some(lookup) => lookup.values(serving, &digest, &batch).await?,
            None => HashMap::new(),
        };
        let other: Vec<Vec<String>> = batch.iter().enumerate().filter(|(n, row)| known.get(n) != Some(&row[0])).map(|(_, row)| row.clone()).collect();
        for rows in other.chunks(WHOLE) {
            // The key's types on the old side are its own.
            let here = match Lookup::of(table, &columns, &columns) {
                Some(lookup) => lookup.values(old, "row_to_json(t)::text", rows).await?,
                None => HashMap::new(),
            };
            let there = match &looked_up {
                Some(lookup) => lookup.values(serving, "row_to_json(t)::text", rows).await?,
                None => HashMap::new(),
            };
            for n in 0..rows.len() {
                let Some(ours) = here.get(&n) else { continue };
                let line = left_line(table, ours, there.get(&n));
                bytes += line.len();
                if bytes > MOST_BYTES {
                    return Err(LoginError::TooManyRows { table: table.name.clone(), mebibytes: MOST_BYTES >> 20 });
                }
                if there.contains_key(&n) {
                    left.differing += 1
                } else {
                    left.missing += 1
                }
                left.lines.push(line);
            }
        }
    }
}

/// Finding rows by their keys, which travel as text.
struct Lookup {
    sql: String,
    keys: usize,
}

impl Lookup {
    /// None where the other side lacks the table or a column of the key.
    fn of(table: &Table, columns: &[(String, String)], there: &[(String, String)]) -> Option<Lookup> {
        if table.key.is_empty() || columns.is_empty() {
            return None;
        }
        let mut conditions = Vec::new();
        for (n, name) in table.key.iter().enumerate() {
            let (_, kind) = there.iter().find(|(column, _)| column == name)?;
            conditions.push(format!("{} = w.k{n}::{kind}", column_of(name)));
        }
        let (arrays, names): (Vec<String>, Vec<String>) = (1..=table.key.len()).map(|n| (format!("${n}::text[]"), format!("k{}", n - 1))).unzip();
        let sql = format!(
            "from unnest({}) with ordinality as w({}, n) join {} t on {}",
            arrays.join(", "),
            names.join(", "),
            table.name,
            conditions.join(" and ")
        );
        Some(Lookup { sql, keys: table.key.len() })
    }

    /// What is asked of each of these rows, by its place among them. A row is its digest and its key.
    async fn values(&self, side: &Side<'_>, what: &str, rows: &[Vec<String>]) -> Result<HashMap<usize, String>, LoginError> {
        let arrays: Vec<Vec<&str>> = (1..=self.keys).map(|key| rows.iter().map(|row| row[key].as_str()).collect()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
        let found = side.ask(&format!("select w.n, {what} {}", self.sql), &values).await?;
        found.iter().map(|row| Ok((usize::try_from(side.read::<i64>(row, 0)? - 1).unwrap_or(usize::MAX), side.read(row, 1)?))).collect()
    }
}

pub(super) async fn compare(here: &Side<'_>, there: &Side<'_>, tables: &[Table]) -> Result<Compared, LoginError> {
    here.run(SETTINGS).await?;
    there.run(SETTINGS).await?;
    let Some(at) = meet(here, there).await? else { return Ok(Compared::Moving) };
    let (mut rows, mut differing) = (0, Vec::new());
    for table in tables {
        let columns = here.columns(table).await?;
        let sum = format!(
            "select count(*), coalesce(sum(('x' || substr({}, 1, 16))::bit(64)::bigint), 0)::text from {} t",
            digest(columns.iter().map(|(name, _)| name)),
            table.name
        );
        let (one, other) = tokio::join!(here.ask(&sum, &[]), there.ask(&sum, &[]));
        let (Some(one), Some(other)) = (still_there(one)?, still_there(other)?) else { return Ok(Compared::Moving) };
        let [(count, sum), (count_there, sum_there)] = [summed(here, &one)?, summed(there, &other)?];
        rows += count;
        if (count, sum) != (count_there, sum_there) {
            differing.push(Difference { table: table.name.clone(), here: count, there: count_there });
        }
    }
    let at = at.to_string();
    Ok(if differing.is_empty() { Compared::Equal { at, tables: tables.len(), rows } } else { Compared::Differing { at, tables: differing } })
}

/// Nothing where what a replica showed is no longer there: its replay had to go on, or it was promoted or restarted.
fn still_there(answer: Result<Vec<Row>, LoginError>) -> Result<Option<Vec<Row>>, LoginError> {
    match answer {
        Err(LoginError::Refused { code, .. }) if code == "40001" => Ok(None),
        answer => answer.map(Some),
    }
}

fn summed(side: &Side<'_>, rows: &[Row]) -> Result<(u64, String), LoginError> {
    match rows.first() {
        Some(row) => Ok((u64::try_from(side.read::<i64>(row, 0)?).unwrap_or_default(), side.read(row, 1)?)),
        None => Ok((0, String::new())),
    }
}

/// Opens a transaction on both sides that sees the same rows, and says where the log stood; `None` where they did not meet in time.
async fn meet(here: &Side<'_>, there: &Side<'_>) -> Result<Option<Lsn>, LoginError> {
    let until = Instant::now() + MEETING;
    let (mut one, mut other) = (idle(here).await?, idle(there).await?);
    while Instant::now() < until {
        match (one, other) {
            (Some((seen, at)), Some((there, _))) if seen == there => return Ok(Some(at)),
            // Whoever is ahead keeps its snapshot until the other comes along.
            (Some((seen, _)), Some((passed, _))) if seen > passed => other = idle(there).await?,
            (Some(_), None) => other = idle(there).await?,
            _ => one = idle(here).await?,
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// A transaction whose snapshot ends at one transaction with none under way; it is left open in that case.
async fn idle(side: &Side<'_>) -> Result<Option<(u64, Lsn)>, LoginError> {
    side.run("rollback; begin isolation level repeatable read read only").await?;
    let rows = side.ask(SNAPSHOT, &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (snapshot, position): (String, String) = (side.read(row, 0)?, side.read(row, 1)?);
    let at = position.parse().map_err(|_| side.explain(Failure::NoPosition))?;
    // xmin:xmax:those under way
    let mut parts = snapshot.split(':');
    let (first, next, under_way) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    let next = next.filter(|next| first == Some(*next) && under_way.is_empty()).and_then(|next| next.parse().ok());
    Ok(next.map(|next| (next, at)))
}

/// MD5 over these columns of the row `t`.
fn digest<'c>(columns: impl Iterator<Item = &'c String>) -> String {
    format!("md5(row({})::text)", columns.map(|column| column_of(column)).collect::<Vec<_>>().join(", "))
}

fn column_of(name: &str) -> String {
    format!("t.{}", escape_identifier(name))
}
