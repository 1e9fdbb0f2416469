//! MySQL and MariaDB.

use std::sync::Arc;

use mysql_async::{Conn, Error, OptsBuilder, Params, params, prelude::Queryable};
use tokio::sync::Mutex;

use super::{NotIn, Order, Unavailable};
use crate::credentials::Value;

const CREATE_TABLE: &str =
    "create table if not exists orders (id char(36) primary key, region varchar(32), at timestamp(6) not null default current_timestamp(6))";
/// The server runs with --read-only, as a replica does.
const READ_ONLY: u16 = 1290;
const ACCESS_DENIED: [u16; 2] = [1045, 1698];

/// One statement at a time.
#[derive(Clone)]
pub(super) struct Link {
    /// None once a request gave up in the middle: what the server still sends would be taken for the next answer.
    session: Arc<Mutex<Option<Conn>>>,
}

impl Link {
    pub(super) async fn connect(value: &Value, port: u16) -> Result<Link, NotIn> {
        let opts = OptsBuilder::default()
            .ip_or_hostname(value.host.as_str())
            .tcp_port(port)
            .user(Some(value.username.as_str()))
            .pass(Some(value.password.as_str()))
            .db_name(value.dbname.as_deref())
            .prefer_socket(false);
        match Conn::new(opts).await {
            Ok(session) => Ok(Link { session: Arc::new(Mutex::new(Some(session))) }),
            Err(Error::Server(said)) => Err(NotIn::Refused { sqlstate: said.state.clone(), why: unavailable(Error::Server(said)) }),
            Err(error) => Err(NotIn::NoAnswer { reason: error.to_string() }),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.session.try_lock().is_ok_and(|session| session.is_none())
    }

    pub(super) fn is(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
    }

    /// A replica gets its table from its primary; only who may write creates it.
    pub(super) async fn ensure_table(&self) -> Result<(), Unavailable> {
        let read_only = self.ask(async |session| session.query_first::<bool, _>("select @@global.read_only").await).await?;
        if read_only == Some(false) {
            self.ask(async |session| session.query_drop(CREATE_TABLE).await).await?;
        }
        Ok(())
    }

    pub(super) async fn check(&self) -> Result<(), Unavailable> {
        self.ask(async |session| session.query_drop("select 1").await).await
    }

    pub(super) async fn newest(&self) -> Result<Vec<Order>, Unavailable> {
        let rows = self.rows("select id, region, cast(at as char) from orders order by at desc limit 10", Params::Empty).await?;
        Ok(rows.into_iter().map(order).collect())
    }

    pub(super) async fn place(&self, id: &str, region: &str) -> Result<Option<Order>, Unavailable> {
        // And not `insert ignore`, which would hide every other mistake as well.
        let insert = "insert into orders (id, region) values (:id, :region) on duplicate key update id = id";
        self.ask(async |session| session.exec_drop(insert, params! { "id" => id, "region" => region }).await).await?;
        let rows = self.rows("select id, region, cast(at as char) from orders where id = :id", params! { "id" => id }).await?;
        Ok(rows.into_iter().next().map(order))
    }

    async fn rows(&self, question: &str, with: Params) -> Result<Vec<(String, Option<String>, String)>, Unavailable> {
        self.ask(async |session| session.exec(question, with).await).await
    }

    async fn ask<T>(&self, ask: impl AsyncFnOnce(&mut Conn) -> Result<T, Error>) -> Result<T, Unavailable> {
        let mut slot = self.session.lock().await;
        let mut session = slot.take().ok_or_else(|| Unavailable::Unreachable("the session was given up".to_owned()))?;
        let answer = ask(&mut session).await;
        // What the server refused it has answered; anything else ends the session.
        if matches!(answer, Ok(_) | Err(Error::Server(_))) {
            *slot = Some(session);
        }
        answer.map_err(unavailable)
    }
}

fn unavailable(error: Error) -> Unavailable {
    match error {
        Error::Server(said) if said.code == READ_ONLY => Unavailable::ReadOnly,
        Error::Server(said) if ACCESS_DENIED.contains(&said.code) => Unavailable::NoLogin { sqlstate: said.state },
        Error::Server(said) => Unavailable::Database { sqlstate: format!("{}, error {}", said.state, said.code) },
        other => Unavailable::Unreachable(other.to_string()),
    }
}

fn order((id, region, at): (String, Option<String>, String)) -> Order {
    Order { id, region, at }
}
