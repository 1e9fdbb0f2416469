//! Rows of the old writer that never reached the serving database, without loading either.
//!
//! ```text
//! old ──► a stream of keys and digests, some thousand at a time ──► serving: the digests of these keys
//!                                      └── lacking or other: both rows as JSON, the old one in a second session
//! ```
//! As at PostgreSQL the old writer's keys are looked up in the serving database, which needs no order. A row's digest is MD5 over those columns
//! that both sides have. Keys travel as values of the protocol: as text, a large number would be compared as a rounded one.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value};

use super::compare::{Side, halves};
use super::error::explain;
use super::{identifier, literal};
use crate::login::{MOST_BYTES, left_line};
use crate::ports::{LeftRows, LoginError, Table};

/// Rows whose digests are looked up at once: with a key of several columns still fewer values than a statement may have.
const BATCH: usize = 1000;
/// Rows that are read whole at once.
const WHOLE: usize = 100;

/// The server must not give the stream up while the other side is asked.
const PATIENCE: &str = "set session net_write_timeout = 600, net_read_timeout = 600";
/// JSON has no bytes: these are written in hexadecimal digits.
const BINARY: [&str; 9] = ["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "geometry", "vector"];

impl Side<'_> {
    async fn ask(&mut self, statement: &str, values: Vec<Value>) -> Result<Vec<Row>, LoginError> {
        let values = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        self.session.exec(statement, values).await.map_err(|error| self.explain(error))
    }

    async fn run(&mut self, statement: &str) -> Result<(), LoginError> {
        self.session.query_drop(statement).await.map_err(|error| self.explain(error))
    }

    /// Name and type of each column; none where there is no such table.
    async fn columns(&mut self, table: &Table) -> Result<Vec<(String, String)>, LoginError> {
        let (schema, plain) = halves(&table.name);
        let question = format!(
            "select column_name, data_type from information_schema.columns where table_schema = {} and table_name = {} order by ordinal_position",
            literal(&schema),
            literal(&plain)
        );
        self.session.query(question).await.map_err(|error| self.explain(error))
    }
}

/// `stream` and `old` are two sessions at the old writer.
pub(super) async fn left_behind(stream: &mut Side<'_>, old: &mut Side<'_>, serving: &mut Side<'_>, table: &Table) -> Result<LeftRows, LoginError> {
    let (columns, there) = (old.columns(table).await?, serving.columns(table).await?);
    let is_there = |name: &String| there.iter().any(|(other, _)| other == name);
    // A table or a key that the serving database does not have: every row is one that it lacks.
    let findable = table.key.iter().all(is_there);
    let digest = digest(columns.iter().map(|(name, _)| name).filter(|name| is_there(name)));
    stream.run(PATIENCE).await?;
    let at = stream.at;
    let said = move |error: mysql_async::Error| explain(error.into(), at, "let its tables be read");
    let keys = table.key.iter().map(|column| identifier(column)).collect::<Vec<_>>().join(", ");
    let mut rows = stream.session.exec_iter(format!("select {digest}, {keys} from {}", table.name), ()).await.map_err(said)?;
    let (mut left, mut bytes) = (LeftRows::default(), 0);
    loop {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(row) = rows.next().await.map_err(said)? else { break };
            batch.push(Keyed::of(row));
        }
        if batch.is_empty() {
            return Ok(left);
        }
        left.seen += batch.len() as u64;
        let known = if findable { values(serving, &digest, table, &batch).await? } else { HashMap::new() };
        let other: Vec<Keyed> = batch.into_iter().filter(|row| known.get(&row.name()) != Some(&row.first)).collect();
        for rows in other.chunks(WHOLE) {
            let here = values(old, &json(&columns), table, rows).await?;
            let theirs = if findable { values(serving, &json(&there), table, rows).await? } else { HashMap::new() };
            for row in rows {
                let name = row.name();
                let Some(ours) = here.get(&name) else { continue };
                let line = left_line(table, ours, theirs.get(&name));
                bytes += line.len();
                if bytes > MOST_BYTES {
                    return Err(LoginError::TooManyRows { table: table.name.clone(), mebibytes: MOST_BYTES >> 20 });
                }
                if theirs.contains_key(&name) {
                    left.differing += 1;
                } else {
                    left.missing += 1;
                }
                left.lines.push(line);
            }
        }
    }
}

/// A row's key, and what was asked of it.
struct Keyed {
    first: String,
    key: Vec<Value>,
}

impl Keyed {
    fn of(row: Row) -> Keyed {
        let mut values = row.unwrap_raw().into_iter().flatten();
        let first = match values.next() {
            Some(Value::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            _ => String::new(),
        };
        Keyed { first, key: values.collect() }
    }

    /// To find it by.
    fn name(&self) -> String {
        self.key.iter().map(|value| value.as_sql(true)).collect::<Vec<_>>().join(",")
    }
}

/// What is asked of each of these rows that is there, by its key.
async fn values(side: &mut Side<'_>, what: &str, table: &Table, rows: &[Keyed]) -> Result<HashMap<String, String>, LoginError> {
    let keys = table.key.iter().map(|column| identifier(column)).collect::<Vec<_>>().join(", ");
    let one = format!("({})", vec!["?"; table.key.len()].join(", "));
    let question = format!("select {what}, {keys} from {} where ({keys}) in ({})", table.name, vec![one.as_str(); rows.len()].join(", "));
    let found = side.ask(&question, rows.iter().flat_map(|row| row.key.clone()).collect()).await?;
    Ok(found.into_iter().map(Keyed::of).map(|row| (row.name(), row.first)).collect())
}

/// MD5 over these columns. Each by itself: a row's text may be longer than the server allows one to be.
pub(super) fn digest<'c>(columns: impl Iterator<Item = &'c String>) -> String {
    let parts: Vec<String> = columns.map(|column| format!("ifnull(md5({}), '-')", identifier(column))).collect();
    if parts.is_empty() { "''".to_owned() } else { format!("md5(concat({}))", parts.join(", ")) }
}

fn json(columns: &[(String, String)]) -> String {
    let parts = columns.iter().map(|(name, kind)| {
        let value = identifier(name);
        let value = if BINARY.contains(&kind.as_str()) { format!("hex({value})") } else { value };
        format!("{}, {value}", literal(name))
    });
    format!("json_object({})", parts.collect::<Vec<_>>().join(", "))
}
