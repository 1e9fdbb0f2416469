//! SQL on a server as its superuser, whatever speaks it: rows come as text under their columns' names.

use mysql_async::prelude::Queryable;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// The superuser of every server, as on AWS.
pub(crate) const ADMIN: &str = "rdsadmin";

pub(crate) enum Session {
    Postgres(tokio_postgres::Client),
    MariaDb(Box<mysql_async::Conn>),
}

/// What a server, or the way to it, said.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// `tokio_postgres::Error` prints "db error" alone; the server's sentence is one level down.
    #[error("{}", .0.as_db_error().map_or_else(|| .0.to_string(), |said| said.message().to_owned()))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("{0}")]
    MariaDb(#[from] mysql_async::Error),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    names: Vec<String>,
    values: Vec<Option<String>>,
}

impl Row {
    pub(crate) fn get(&self, column: usize) -> Option<&str> {
        self.values.get(column)?.as_deref()
    }

    pub(crate) fn named(&self, column: &str) -> Option<&str> {
        self.get(self.names.iter().position(|name| name == column)?)
    }

    pub(crate) fn into_values(self) -> Vec<Option<String>> {
        self.values
    }
}

impl Session {
    pub(crate) async fn postgres(port: u16, password: &str, database: &str) -> Result<Session, SqlError> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(port).user(ADMIN).password(password).dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(Session::Postgres(client))
    }

    pub(crate) async fn mariadb(port: u16, password: &str, database: Option<&str>) -> Result<Session, SqlError> {
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(port)
            .user(Some(ADMIN))
            .pass(Some(password))
            .db_name(database)
            // It would look for a socket file by a query of its own, and there is none.
            .prefer_socket(false);
        Ok(Session::MariaDb(Box::new(mysql_async::Conn::new(options).await?)))
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Session::Postgres(client) => client.is_closed(),
            // It does not know before it asks.
            Session::MariaDb(_) => false,
        }
    }

    /// In order: a server of MariaDB writes each session into its log that just ceases.
    pub(crate) async fn end(self) {
        if let Session::MariaDb(connection) = self {
            let _ = connection.disconnect().await;
        }
    }

    /// One statement or several; the rows of all of them.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, SqlError> {
        match self {
            Session::Postgres(client) => Ok(client.simple_query(sql).await?.into_iter().filter_map(of_postgres).collect()),
            Session::MariaDb(connection) => {
                let mut result = connection.query_iter(sql).await?;
                let mut rows = Vec::new();
                while !result.is_empty() {
                    rows.extend(result.collect::<mysql_async::Row>().await?.into_iter().map(of_mariadb));
                }
                Ok(rows)
            }
        }
    }
}

fn of_postgres(message: SimpleQueryMessage) -> Option<Row> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    let names = row.columns().iter().map(|column| column.name().to_owned()).collect();
    Some(Row { names, values: (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect() })
}

fn of_mariadb(row: mysql_async::Row) -> Row {
    let names = row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
    let text = |value: mysql_async::Value| match value {
        mysql_async::Value::NULL => None,
        // A question that was asked as text is answered in text.
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    };
    Row { names, values: row.unwrap().into_iter().map(text).collect() }
}
