//! What engines differ in, as far as a secret is concerned.

/// What a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    MySql,
    MariaDb,
}

impl Dialect {
    /// By the `engine` of a secret, as RDS and Secrets Manager write it; `None` for one that Relight does not speak.
    pub(super) fn of(engine: &str) -> Option<Dialect> {
        match engine {
            "postgres" | "postgresql" | "aurora-postgresql" => Some(Dialect::Postgres),
            "mysql" | "aurora-mysql" => Some(Dialect::MySql),
            "mariadb" => Some(Dialect::MariaDb),
            _ => None,
        }
    }

    /// What it listens on where the secret does not say.
    pub(super) fn port(self) -> u16 {
        match self {
            Dialect::Postgres => 5432,
            Dialect::MySql | Dialect::MariaDb => 3306,
        }
    }

    /// The longest name of a user, in bytes. PostgreSQL cuts longer ones silently, and the wrong user would be meant; the others refuse
    /// them, in the middle of a rotation.
    pub(super) fn longest_name(self) -> usize {
        match self {
            Dialect::Postgres => 63,
            Dialect::MySql => 32,
            Dialect::MariaDb => 80,
        }
    }
}
