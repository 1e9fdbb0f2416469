//! What a failback asks the databases.

use relight::ports::{Compared, Difference, LeftRows, LoginError, Lsn, Position, Table, Tables};
use relight::secret::{Dialect, SecretValue};
use serde_json::json;

use super::LoginWorld;
use crate::data::Data;

impl LoginWorld {
    /// From now on writes never stand still, or do again.
    pub fn set_busy(&self, busy: bool) {
        self.servers.borrow_mut().busy = busy;
    }

    pub(super) fn look(&self, with: &SecretValue) -> Result<Data, LoginError> {
        self.admit(with)?;
        Ok(self.database.with_data(&with.endpoint()?.host, |data| data.clone()).unwrap_or_default())
    }

    pub(super) fn read_position(&self, with: &SecretValue) -> Result<Position, LoginError> {
        let (_, seen) = self.admit(with)?;
        let lsn = self.look(with)?.lsn;
        Ok(Position { in_recovery: seen.in_recovery, received: lsn, replayed: lsn })
    }

    pub(super) fn list_tables(&self, with: &SecretValue, named: &[String]) -> Result<Tables, LoginError> {
        let data = self.look(with)?;
        let wanted = |name: &String| named.is_empty() || named.contains(name);
        let table = |name: &String| Table { name: name.clone(), key: vec!["id".to_owned()] };
        let missing = named.iter().filter(|name| !data.tables.contains_key(*name)).map(|name| (name.clone(), "there is no such table".to_owned()));
        Ok(Tables { compared: data.tables.keys().filter(|name| wanted(name)).map(table).collect(), left_out: missing.collect() })
    }

    pub(super) fn find_left(&self, old: &SecretValue, serving: &SecretValue, table: &Table) -> Result<LeftRows, LoginError> {
        let rows = |data: Data| data.tables.get(&table.name).cloned().unwrap_or_default();
        let (left, here) = (rows(self.look(old)?), rows(self.look(serving)?));
        let mut found = LeftRows { seen: left.len() as u64, ..LeftRows::default() };
        for (key, value) in left {
            let serving = here.get(&key);
            let kind = match serving {
                Some(same) if *same == value => continue,
                Some(_) => {
                    found.differing += 1;
                    "differing"
                }
                None => {
                    found.missing += 1;
                    "missing"
                }
            };
            let row = |value: &String| json!({ "id": key, "value": value });
            found.lines.push(json!({ "table": table.name, "kind": kind, "left": row(&value), "serving": serving.map(row) }).to_string());
        }
        Ok(found)
    }

    pub(super) fn compare_both(&self, here: &SecretValue, there: &SecretValue, tables: &[Table]) -> Result<Compared, LoginError> {
        let (one, other) = (self.look(here)?, self.look(there)?);
        let closed = one.read_only || self.database.is_closed(&here.endpoint()?.host);
        if one.lsn != other.lsn || (self.servers.borrow().busy && !closed) {
            return Ok(Compared::Moving);
        }
        let rows = |data: &Data, table: &Table| data.tables.get(&table.name).cloned().unwrap_or_default();
        let count = |data: &Data, table: &Table| rows(data, table).len() as u64;
        let differing: Vec<Difference> = tables
            .iter()
            .filter(|table| rows(&one, table) != rows(&other, table))
            .map(|table| Difference { table: table.name.clone(), here: count(&one, table), there: count(&other, table) })
            .collect();
        let at = one.lsn.to_string();
        Ok(match differing.is_empty() {
            true => Compared::Equal { at, tables: tables.len(), rows: tables.iter().map(|table| count(&one, table)).sum() },
            false => Compared::Differing { at, tables: differing },
        })
    }

    /// MySQL's are closed by a parameter, and only seen here.
    pub(super) fn close(&self, admin: &SecretValue) -> Result<Lsn, LoginError> {
        if admin.dialect()? == Dialect::Postgres {
            return self.set_read_only(admin, true);
        }
        let (at, seen) = self.admit(admin)?;
        match seen.in_recovery || self.database.is_closed(&admin.endpoint()?.host) {
            true => Ok(self.read_position(admin)?.received),
            false => Err(LoginError::TakesWrites { at }),
        }
    }

    pub(super) fn open(&self, admin: &SecretValue) -> Result<(), LoginError> {
        if admin.dialect()? == Dialect::Postgres {
            return self.set_read_only(admin, false).map(drop);
        }
        let (at, seen) = self.admit(admin)?;
        match seen.in_recovery || self.database.is_closed(&admin.endpoint()?.host) {
            true => Err(LoginError::Unsettled { at, why: "read_only is still on" }),
            false => Ok(()),
        }
    }

    /// A replica takes no setting.
    fn set_read_only(&self, admin: &SecretValue, read_only: bool) -> Result<Lsn, LoginError> {
        let (at, seen) = self.admit(admin)?;
        if seen.in_recovery {
            return Err(LoginError::ReadOnly { at, why: "it is in recovery, its promotion has not ended" });
        }
        let set = |data: &mut Data| {
            data.set_read_only(read_only);
            data.lsn
        };
        Ok(self.database.with_data(&admin.endpoint()?.host, set).unwrap_or_default())
    }
}
