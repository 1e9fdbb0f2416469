//! Where MariaDB is on this machine, and how a data folder of it comes to be.
//!
//! ```text
//! MariaDbBinaries::find ──► MariaDb: mariadb-install-db once ──► template/ ──► copy for each primary
//!                                                                          └─► copy of a source that stands still, for each replica
//! ```
//! The template is made when the first instance asks for it: most stages have none of this engine. All servers share its superuser
//! `rdsadmin` and its replication user, whose passwords are random for each stage.
//!
//! A commit that was answered is in the files (`innodb_flush_log_at_trx_commit`, `sync_binlog`), so it outlives a SIGKILL. Nothing waits for
//! the disk (`nosync`, `debug_no_sync`): only a machine that loses power would tell, and the template is made in half a second, not in four.

use crate::error::Error;
use crate::home::Home;
use crate::instance::Login;
use crate::session::ADMIN;
use crate::tls::{CertificateFiles, Certificates};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::OnceCell;

pub(crate) const REPLICATION_USER: &str = "rdsrepladmin";

/// Oldest series that recovers a DDL statement after a crash as a whole.
const OLDEST: (u32, u32) = (10, 6);
const FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"];

/// No socket file: its path would be limited to 107 bytes, which a data folder deep in `target/` exceeds.
/// `innodb_use_native_aio OFF`: a write is then a thread's own, and a process that stands still writes nothing (see `freeze`).
/// `slave_net_timeout` is longer than any delay of a link, which gives a silent source up in the replica's place.
const CONFIGURATION: &str = "[mysqld]
bind_address = 127.0.0.1
socket =
skip_name_resolve = ON
max_connections = 100
character_set_server = utf8mb4
default_time_zone = +00:00
innodb_buffer_pool_size = 16M
innodb_log_file_size = 8M
innodb_data_file_path = ibdata1:4M:autoextend
innodb_autoextend_increment = 1
loose_debug_no_sync = ON
innodb_flush_method = nosync
innodb_flush_log_at_trx_commit = 1
innodb_use_native_aio = OFF
innodb_buffer_pool_dump_at_shutdown = OFF
innodb_buffer_pool_load_at_startup = OFF
key_buffer_size = 1M
aria_pagecache_buffer_size = 1M
log_bin = binlog
binlog_format = ROW
sync_binlog = 1
log_slave_updates = ON
gtid_strict_mode = ON
relay_log = relay
relay_log_recovery = ON
slave_net_timeout = 86400
";

/// AWS documents these for the master user, without SUPER and FILE.
const PRIVILEGES: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, \
     CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, \
     TRIGGER, REPLICATION SLAVE";

/// `mariadbd` and `mariadb-install-db` of one version.
#[derive(Clone, Debug)]
pub struct MariaDbBinaries {
    pub(crate) server: PathBuf,
    install: PathBuf,
    version: String,
}

impl MariaDbBinaries {
    /// Looks in the PATH and in the folders where packages put servers. The error says how to get it.
    pub fn find() -> Result<MariaDbBinaries, Error> {
        let mut folders: Vec<PathBuf> = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        folders.extend(FOLDERS.map(PathBuf::from));
        MariaDbBinaries::find_in(&folders)
    }

    /// For a test: whether it can run; where it cannot, a line says how it could.
    pub fn is_here() -> bool {
        MariaDbBinaries::find()
            .map_err(|why| {
                // Past the test harness, which keeps to itself what a test that passes has printed.
                let _unheard = writeln!(std::io::stderr(), "not run: {why}");
            })
            .is_ok()
    }

    /// The same in `folders` alone.
    pub fn find_in(folders: &[PathBuf]) -> Result<MariaDbBinaries, Error> {
        let program = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        let found = program("mariadbd").zip(program("mariadb-install-db")).and_then(|(server, install)| {
            let output = std::process::Command::new(&server).arg("--version").output().ok()?;
            let version = version_of(&String::from_utf8_lossy(&output.stdout))?;
            Some(MariaDbBinaries { server, install, version })
        });
        let searched = || folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| Error::NoMariaDb { searched: searched() })
    }

    /// Such as `10.11.14`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// `mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64 (Debian 12)`; none where it is too old, or another server.
fn version_of(said: &str) -> Option<String> {
    let named = said.split_whitespace().skip_while(|word| *word != "Ver").nth(1).filter(|named| named.contains("MariaDB"))?;
    let version = named.split('-').next()?;
    let mut parts = version.split('.').map(str::parse::<u32>);
    let series = (parts.next()?.ok()?, parts.next()?.ok()?);
    (series >= OLDEST).then(|| version.to_owned())
}

/// The binaries, the template, and the two internal passwords of one stage.
pub(crate) struct MariaDb {
    pub(crate) binaries: MariaDbBinaries,
    pub(crate) home: Home,
    pub(crate) admin_password: String,
    pub(crate) replication_password: String,
    certificates: CertificateFiles,
    template: OnceCell<PathBuf>,
}

impl MariaDb {
    pub(crate) fn new(binaries: MariaDbBinaries, home: Home, certificates: &Certificates) -> Result<MariaDb, Error> {
        Ok(MariaDb {
            binaries,
            certificates: certificates.write(&home)?,
            home,
            admin_password: uuid::Uuid::new_v4().simple().to_string(),
            replication_password: uuid::Uuid::new_v4().simple().to_string(),
            template: OnceCell::new(),
        })
    }

    /// PEM file of the CA that signed the servers' certificate.
    pub(crate) fn authority(&self) -> &Path {
        &self.certificates.authority
    }

    pub(crate) async fn copy_template(&self, data: &Path) -> Result<(), Error> {
        let template = self.template.get_or_try_init(|| self.make_template()).await?;
        self.home.copy_folder(template, data).await
    }

    async fn make_template(&self) -> Result<PathBuf, Error> {
        let template = self.home.file("template");
        let settings = self.home.file("template.cnf");
        self.home.write(&settings, &self.settings(&template, false))?;
        let (settings, data) = (format!("--defaults-file={}", settings.display()), format!("--datadir={}", template.display()));
        let mut install = self.home.command(&self.binaries.install);
        install.args([&settings, &data]);
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", "--skip-log-bin"]);
        self.home.run(install).await?;
        let mut server = self.home.command(&self.binaries.server);
        server.args([&settings, &data]).args(["--bootstrap", "--skip-log-bin"]);
        self.run_with_input(server, &self.own_users()).await?;
        Ok(template)
    }

    /// A server that has no users yet takes SQL from whoever starts it.
    async fn run_with_input(&self, mut server: Command, sql: &str) -> Result<(), Error> {
        let failed = |source| self.home.spawn_error(&self.binaries.server, source);
        let mut child = server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(sql.as_bytes()).await.map_err(failed)?;
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).lines().filter(|line| line.contains("ERROR")).collect::<Vec<_>>().join(" | ");
        Err(Error::Program { program: self.binaries.server.display().to_string(), said })
    }

    /// The two users of AWS's own, and the procedures by which a master user without SUPER ends what others do and sees how it replicates.
    fn own_users(&self) -> String {
        let (admin, replication) = (format!("'{ADMIN}'@'127.0.0.1'"), format!("'{REPLICATION_USER}'@'127.0.0.1'"));
        format!(
            "FLUSH PRIVILEGES;
CREATE USER {admin} IDENTIFIED BY '{}';
GRANT ALL ON *.* TO {admin} WITH GRANT OPTION;
CREATE USER {replication} IDENTIFIED BY '{}';
GRANT REPLICATION SLAVE ON *.* TO {replication};
DELETE FROM mysql.global_priv WHERE User = 'root';
DELETE FROM mysql.proxies_priv;
CREATE DEFINER={admin} PROCEDURE mysql.rds_kill(IN thread BIGINT) SQL SECURITY DEFINER KILL CONNECTION thread;
CREATE DEFINER={admin} PROCEDURE mysql.rds_kill_query(IN thread BIGINT) SQL SECURITY DEFINER KILL QUERY thread;
CREATE DEFINER={admin} PROCEDURE mysql.rds_replica_status() SQL SECURITY DEFINER SHOW REPLICA STATUS;
",
            self.admin_password, self.replication_password
        )
    }

    /// What the server reads when it starts.
    pub(crate) fn configure(&self, data: &Path, read_only: bool) -> Result<(), Error> {
        self.home.write(&settings_of(data), &self.settings(data, read_only))
    }

    fn settings(&self, data: &Path, read_only: bool) -> String {
        let CertificateFiles { authority, server, key } = &self.certificates;
        let read_only = u8::from(read_only);
        format!(
            "{CONFIGURATION}server_id = {}\nread_only = {read_only}\nssl_ca = {}\nssl_cert = {}\nssl_key = {}\n",
            server_id(data),
            authority.display(),
            server.display(),
            key.display()
        )
    }

    pub(crate) fn server(&self, data: &Path, port: u16) -> Command {
        let mut command = self.home.command(&self.binaries.server);
        command.arg(format!("--defaults-file={}", settings_of(data).display())).arg(format!("--datadir={}", data.display()));
        command.arg(format!("--pid-file={}", data.join("server.pid").display())).arg(format!("--port={port}"));
        command
    }

    pub(crate) fn first_statements(login: &Login, database: Option<&str>) -> Vec<(&'static str, String)> {
        let user = account(&login.user);
        let create = database.map(|database| ("create the database", format!("CREATE DATABASE `{}`", database.replace('`', "``"))));
        let mut statements: Vec<(&'static str, String)> = create.into_iter().collect();
        statements.push(("create the master user", format!("CREATE USER {user} IDENTIFIED BY {}", literal(&login.password))));
        statements.push(("grant the master user's privileges", format!("GRANT {PRIVILEGES} ON *.* TO {user} WITH GRANT OPTION")));
        statements
    }

    pub(crate) fn change_password(login: &Login) -> String {
        format!("ALTER USER {} IDENTIFIED BY {}", account(&login.user), literal(&login.password))
    }
}

/// The files in which a server notes whom it replicates from, and what of it is not applied yet.
pub(crate) fn forget_source(data: &Path) -> Result<(), Error> {
    let failed = |operation, source| Error::Folder { operation, path: data.to_path_buf(), source };
    for entry in std::fs::read_dir(data).map_err(|source| failed("read", source))? {
        let entry = entry.map_err(|source| failed("read", source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["master.info", "multi-master.info", "relay-log.info", "server.pid"].contains(&name.as_str()) || name.starts_with("relay.") {
            std::fs::remove_file(entry.path()).map_err(|source| failed("remove a file of", source))?;
        }
    }
    Ok(())
}

fn settings_of(data: &Path) -> PathBuf {
    data.join("my.cnf")
}

/// The same for a folder at each start, and another for each copy: servers that share one ignore each other's transactions.
fn server_id(data: &Path) -> u32 {
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, data.as_os_str().as_encoded_bytes()).as_u128();
    (id & 0x7fff_ffff) as u32 | 1
}

/// RDS's master user may come from anywhere.
fn account(user: &str) -> String {
    format!("{}@'%'", literal(user))
}

pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_where_the_server_is_a_mariadb_that_is_new_enough() {
        let debian = "mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64 (Debian 12)";
        assert_eq!(version_of(debian).as_deref(), Some("10.11.14"));
        assert_eq!(version_of("mariadbd  Ver 11.4.5-MariaDB for Linux on x86_64").as_deref(), Some("11.4.5"));
        assert_eq!(version_of("mariadbd  Ver 10.5.29-MariaDB-1 for debian-linux-gnu on x86_64"), None);
        assert_eq!(version_of("/usr/sbin/mysqld  Ver 8.0.43 for Linux on x86_64 (MySQL Community Server - GPL)"), None);
    }

    #[test]
    fn copies_have_server_ids_of_their_own() {
        let id = |path: &str| server_id(Path::new(path));
        assert_eq!(id("/data/us-east-2.orders.db-1"), id("/data/us-east-2.orders.db-1"));
        assert_ne!(id("/data/us-east-2.orders.db-1"), id("/data/us-west-2.orders.db-2"));
    }
}
