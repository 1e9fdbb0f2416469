//! PostgreSQL.

use std::sync::Arc;

use tokio_postgres::{Client, Config, NoTls, Row, error::SqlState};

use super::{CONNECT, NotIn, Order, Unavailable};
use crate::credentials::Value;

/// Serialises the creation of the table: `IF NOT EXISTS` alone still collides when two do it at once.
const CREATE_TABLE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7305); \
     CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, region text, at timestamptz DEFAULT now()); COMMIT";

/// The driver pipelines, so many requests share it.
#[derive(Clone)]
pub(super) struct Link {
    client: Arc<Client>,
}

impl Link {
    pub(super) async fn connect(value: &Value, port: u16) -> Result<Link, NotIn> {
        let mut config = Config::new();
        config
            .host(&value.host)
            .port(port)
            .user(&value.username)
            .password(&value.password)
            .dbname(value.dbname.as_deref().unwrap_or("postgres"))
            .application_name("shop")
            .connect_timeout(CONNECT);
        match config.connect(NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                Ok(Link { client: Arc::new(client) })
            }
            Err(error) => Err(match error.code().map(|state| state.code().to_owned()) {
                Some(sqlstate) => NotIn::Refused { sqlstate, why: unavailable(error) },
                None => NotIn::NoAnswer { reason: error.to_string() },
            }),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn is(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.client, &other.client)
    }

    /// A replica gets its table from its primary; only who may write creates it.
    pub(super) async fn ensure_table(&self) -> Result<(), Unavailable> {
        let asked = self.client.query_one("SELECT NOT pg_is_in_recovery() AND to_regclass('orders') IS NULL", &[]).await;
        if asked.map_err(unavailable)?.get(0) {
            self.client.batch_execute(CREATE_TABLE).await.map_err(unavailable)?;
        }
        Ok(())
    }

    pub(super) async fn check(&self) -> Result<(), Unavailable> {
        self.client.query("SELECT 1", &[]).await.map(drop).map_err(unavailable)
    }

    pub(super) async fn newest(&self) -> Result<Vec<Order>, Unavailable> {
        let asked = self.client.query("SELECT id::text, region, at::text FROM orders ORDER BY at DESC LIMIT 10", &[]).await;
        Ok(asked.map_err(unavailable)?.iter().map(order).collect())
    }

    pub(super) async fn place(&self, id: &str, region: &str) -> Result<Option<Order>, Unavailable> {
        let insert = "INSERT INTO orders (id, region) VALUES ($1::text::uuid, $2::text) ON CONFLICT (id) DO NOTHING";
        self.client.execute(insert, &[&id, &region]).await.map_err(unavailable)?;
        let read = "SELECT id::text, region, at::text FROM orders WHERE id = $1::text::uuid";
        let rows = self.client.query(read, &[&id]).await.map_err(unavailable)?;
        Ok(rows.first().map(order))
    }
}

fn unavailable(error: tokio_postgres::Error) -> Unavailable {
    match error.code() {
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Unavailable::ReadOnly,
        Some(state) if state.code().starts_with("28") => Unavailable::NoLogin { sqlstate: state.code().to_owned() },
        Some(state) => Unavailable::Database { sqlstate: state.code().to_owned() },
        None => Unavailable::Unreachable(error.to_string()),
    }
}

fn order(row: &Row) -> Order {
    Order { id: row.get(0), region: row.get(1), at: row.get(2) }
}
