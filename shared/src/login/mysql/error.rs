//! From the driver's error to why a login failed. The server's text can quote a statement, so of its answer only the numbers are kept.

use std::io;

use mysql_async::{DriverError, Error, IoError, ServerError};

use crate::ports::LoginError;

const NO_DATABASE_SELECTED: u16 = 1046;
const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_PROCEDURE: u16 = 1305;
const SYNTAX: u16 = 1064;
/// May not use the database, the table, the column; lacks a privilege; may not grant what it would have to create.
const NO_RIGHT: [u16; 6] = [1044, 1142, 1143, 1227, 1370, 1410];

pub(super) const NO_TLS: &str = "the server has none";

/// What can go wrong once logged in.
#[derive(Debug)]
pub(super) enum Failure {
    Sql(Error),
    ReadOnly(&'static str),
    /// Another value was read than the one that was written.
    NotRead,
    /// Not in the state that was asked for.
    Unsettled(&'static str),
    /// Writes are not closed.
    TakesWrites,
    /// One of the two engines cannot do it.
    Unsupported(&'static str),
}

impl Failure {
    /// The user lacks a right, or a database of its own.
    pub(super) fn is_about_rights(&self) -> bool {
        matches!(self, Failure::Sql(Error::Server(said)) if said.code == NO_DATABASE_SELECTED || NO_RIGHT.contains(&said.code))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Sql(error)
    }
}

pub(super) fn is_no_such_table(error: &Error) -> bool {
    matches!(error, Error::Server(said) if said.code == NO_SUCH_TABLE)
}

pub(super) fn is_no_such_procedure(error: &Error) -> bool {
    matches!(error, Error::Server(said) if said.code == NO_SUCH_PROCEDURE)
}

/// The server does not know the statement: it is of another version or engine.
pub(super) fn is_syntax(error: &Error) -> bool {
    matches!(error, Error::Server(said) if said.code == SYNTAX)
}

pub(super) fn lacks_a_right(error: &Error) -> bool {
    matches!(error, Error::Server(said) if NO_RIGHT.contains(&said.code))
}

pub(super) fn explain(failure: Failure, at: &str, doing: &'static str) -> LoginError {
    let at = at.to_owned();
    match failure {
        Failure::ReadOnly(why) => LoginError::ReadOnly { at, why },
        Failure::NotRead => LoginError::ReadOnly { at, why: "a row that was written was not read back" },
        Failure::Unsettled(why) => LoginError::Unsettled { at, why },
        Failure::TakesWrites => LoginError::TakesWrites { at },
        Failure::Unsupported(doing) => LoginError::NotForEngine { at, doing },
        Failure::Sql(Error::Server(said)) => answered(&said, at, doing),
        Failure::Sql(error) => unanswered(&error, at, doing),
    }
}

fn answered(said: &ServerError, at: String, doing: &'static str) -> LoginError {
    let remedy = match said.code {
        1045 | 1698 => return LoginError::WrongPassword { at },
        // --read-only, a transaction that is, InnoDB that is.
        1290 | 1792 | 1836 | 1874 => return LoginError::ReadOnly { at, why: "it refused a write as read-only" },
        1053 | 1077..=1080 => return LoginError::Unreachable { at, why: format!("it is starting or stopping (error {})", said.code) },
        1040 => "raise max_connections, or end idle sessions",
        1203 | 1226 => "this user has too many sessions: end idle ones, or raise its limit",
        1049 => "correct `dbname` in the secret",
        1129 => "it has shut this caller out after failed connections: `flush hosts`",
        1819 => "its password policy refuses what Secrets Manager made; allow 32 letters, digits and signs",
        3118 | 4151 => "the account is locked: `alter user ... account unlock`",
        3159 => "it takes encrypted logins alone: set the secret's `ssl` to true",
        3 | 1021 | 1114 => "its disk is full: raise the instance's allocated storage (ModifyDBInstance)",
        NO_DATABASE_SELECTED => "put `dbname` into the secret",
        1396 => "the user is not as it is expected: look for it in mysql.user",
        code if NO_RIGHT.contains(&code) => {
            "grant the user this right; an admin needs CREATE USER, SELECT on mysql.user, and with GRANT OPTION what the application's user has"
        }
        _ => "look the error's number up in the manual, and in the server's log",
    };
    LoginError::Refused { at, doing, code: format!("{}, error {}", said.state, said.code), remedy }
}

fn unanswered(error: &Error, at: String, doing: &'static str) -> LoginError {
    match error {
        Error::Io(IoError::Tls(tls)) => LoginError::Tls { at, why: root(tls) },
        Error::Driver(DriverError::NoClientSslFlagFromServer) => LoginError::Tls { at, why: NO_TLS.to_owned() },
        Error::Driver(DriverError::UnknownAuthPlugin { .. } | DriverError::MysqlOldPasswordDisabled | DriverError::CleartextPluginDisabled) => {
            let remedy = "use caching_sha2_password or mysql_native_password as method of authentication";
            LoginError::Refused { at, doing, code: "-".to_owned(), remedy }
        }
        // Certificates that nobody trusts come as an input/output error of the stream.
        Error::Io(IoError::Io(io)) if io.kind() == io::ErrorKind::InvalidData => LoginError::Tls { at, why: root(io) },
        Error::Io(IoError::Io(io)) => LoginError::Unreachable { at, why: io.kind().to_string() },
        Error::Driver(DriverError::ConnectionClosed) => LoginError::Unreachable { at, why: "it closed the connection".to_owned() },
        // The texts of the others may carry what a server sent.
        _ => LoginError::Unreachable { at, why: "it does not answer as MySQL or MariaDB would".to_owned() },
    }
}

/// The innermost cause.
fn root(error: &dyn std::error::Error) -> String {
    let mut source = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, state: &str) -> Failure {
        Failure::Sql(Error::Server(ServerError { code, state: state.to_owned(), message: "near 'hunter2'".to_owned() }))
    }

    #[test]
    fn what_the_server_answers_becomes_a_sentence_without_its_text() {
        let sentences = [
            (said(1045, "28000"), "the secret and the database disagree"),
            (said(1290, "HY000"), "takes no writes"),
            (said(1049, "42000"), "correct `dbname`"),
            (said(1021, "HY000"), "raise the instance's allocated storage"),
            (said(1142, "42000"), "grant the user this right"),
            (said(9999, "HY000"), "error 9999"),
        ];
        for (failure, part) in sentences {
            let sentence = explain(failure, "db:3306", "take a row").to_string();
            assert!(sentence.contains(part) && !sentence.contains("hunter2"), "{sentence}");
        }
    }

    #[test]
    fn another_user_may_be_let_in_where_the_password_was_refused_and_nowhere_else() {
        assert!(explain(said(1045, "28000"), "db:3306", "let this user in").is_about_the_user());
        assert!(!explain(said(1049, "42000"), "db:3306", "let this user in").is_about_the_user());
    }
}
