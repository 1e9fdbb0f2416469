//! The rows that an instance holds, and its write-ahead log as a number that grows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relight::ports::Lsn;

/// Tables, each with its rows by their key.
pub type Rows = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Data {
    pub tables: Rows,
    /// New transactions are read-only: `default_transaction_read_only`, which is data too.
    pub read_only: bool,
    pub lsn: Lsn,
    /// The newest commit of an application's.
    pub committed_at: Option<Timestamp>,
    /// The heartbeat's row.
    pub beat_at: Option<Timestamp>,
}

impl Data {
    /// A shop with two orders.
    pub(crate) fn of_shop() -> Data {
        let mut data = Data::default();
        for key in ["1", "2"] {
            data.write("public.orders", key, "placed");
        }
        data
    }

    pub(crate) fn write(&mut self, table: &str, key: &str, value: &str) {
        self.tables.entry(table.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        self.lsn.0 += 64;
    }

    /// What a spoiled copy of it has, at the same position.
    pub(crate) fn without(mut self, table: &str, key: &str) -> Data {
        self.tables.get_mut(table).and_then(|rows| rows.remove(key));
        self
    }

    pub(crate) fn set_read_only(&mut self, read_only: bool) {
        if self.read_only != read_only {
            self.read_only = read_only;
            self.lsn.0 += 8;
        }
    }
}
