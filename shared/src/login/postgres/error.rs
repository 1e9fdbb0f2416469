//! From the driver's error to why a login failed. The driver's text can quote a statement, so of the server's answer only
//! the SQLSTATE is kept.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::ports::LoginError;

/// What can go wrong once logged in.
#[derive(Debug)]
pub(super) enum Failure {
    Sql(Error),
    ReadOnly(&'static str),
    /// Another value was read than the one that was written.
    NotRead,
    /// The user lacks a right; what gives it to it.
    MayNot(&'static str),
    /// Not in the state that was asked for.
    Unsettled(&'static str),
    /// A position of the log that cannot be read.
    NoPosition,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Sql(error)
    }
}

pub(super) fn explain(failure: Failure, at: &str, doing: &'static str) -> LoginError {
    let at = at.to_owned();
    let error = match failure {
        Failure::ReadOnly(why) => return LoginError::ReadOnly { at, why },
        Failure::NotRead => return LoginError::ReadOnly { at, why: "a row that was written was not read back" },
        Failure::MayNot(remedy) => return LoginError::Refused { at, doing, code: "42501".to_owned(), remedy },
        Failure::Unsettled(why) => return LoginError::Unsettled { at, why },
        Failure::NoPosition => return LoginError::Unsettled { at, why: "it names no position of a write-ahead log" },
        Failure::Sql(error) => error,
    };
    match error.code() {
        Some(code) => answered(code, at, doing),
        None => unanswered(&error, at),
    }
}

fn answered(code: &SqlState, at: String, doing: &'static str) -> LoginError {
    let remedy = match code.code() {
        "28P01" => return LoginError::WrongPassword { at },
        // Starting, stopping, or promoted this moment.
        "57P01" | "57P02" | "57P03" => return LoginError::Unreachable { at, why: format!("it is starting or stopping (SQLSTATE {})", code.code()) },
        "25006" => return LoginError::ReadOnly { at, why: "it refused a write as read-only" },
        "28000" => "check that the role exists and may log in, and that the server accepts it with this `ssl`",
        "57014" => "the statement took too long; compare fewer or smaller tables (`compare` in the plan)",
        "3D000" => "correct `dbname` in the secret",
        "42501" => "grant the user this right; an admin needs CREATEROLE and, from PostgreSQL 16 on, ADMIN OPTION on the user's role",
        "53100" => "its disk is full: raise the instance's allocated storage (ModifyDBInstance)",
        "53300" => "raise max_connections, or end idle sessions",
        _ => "look the code up in the server's log",
    };
    LoginError::Refused { at, doing, code: code.code().to_owned(), remedy }
}

fn unanswered(error: &Error, at: String) -> LoginError {
    let text = error.to_string();
    let cause = root(error);
    if text.starts_with("error performing TLS handshake") {
        return LoginError::Tls { at, why: cause.unwrap_or_else(|| "the handshake failed".to_owned()) };
    }
    if text.starts_with("authentication error") {
        // The server asked for what the driver cannot, or could not prove that it knows the password itself.
        return LoginError::Refused { at, doing: "let this user in", code: "-".to_owned(), remedy: "use scram-sha-256 or md5 as password method" };
    }
    LoginError::Unreachable { at, why: cause.unwrap_or(text) }
}

/// The kind of the innermost cause. An I/O error's own text is the system's, never the server's.
fn root(error: &Error) -> Option<String> {
    let mut source = error.source()?;
    while let Some(inner) = source.source() {
        source = inner;
    }
    match source.downcast_ref::<io::Error>() {
        Some(io) if io.raw_os_error().is_some() => Some(io.kind().to_string()),
        _ => Some(source.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_with_what_makes_room() {
        let error = answered(&SqlState::DISK_FULL, "db:5432".to_owned(), "take a row of relight_marker").to_string();
        assert!(error.contains("raise the instance's allocated storage") && error.contains("53100"), "{error}");
    }
}
