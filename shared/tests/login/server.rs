//! A PostgreSQL of the test's own, on a free port of 127.0.0.1, gone when the last test lets go of it.

#[path = "machine.rs"]
mod machine;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

pub(crate) use machine::free_port;
use machine::other_user;
use relight::secret::SecretValue;
use serde_json::json;
use tokio_postgres::NoTls;

/// The superuser, who plays the admin.
pub(crate) const ADMIN: &str = "postgres";
pub(crate) const ADMIN_PASSWORD: &str = "the admin's \"own\"";

pub(crate) struct Server {
    bin: PathBuf,
    folder: PathBuf,
    owner: Option<(u32, u32)>,
    settings: Vec<String>,
    pub(crate) port: u16,
}

impl Server {
    /// One for all tests that run at this time.
    pub(crate) fn shared() -> Arc<Server> {
        static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return server;
        }
        let server = Arc::new(Server::start(&[]).expect("PostgreSQL starts"));
        *running = Arc::downgrade(&server);
        server
    }

    /// One of its own, with more settings. The error is what the server said.
    pub(crate) fn start(settings: &[&str]) -> Result<Server, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("login-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let fixed = [
            "listen_addresses = '127.0.0.1'",
            "unix_socket_directories = ''",
            "fsync = off",
            // initdb sets md5 together with its own choice of methods, which lets both kinds in.
            "password_encryption = 'scram-sha-256'",
            "log_statement = 'all'",
        ];
        let settings = fixed.iter().chain(settings).map(|line| (*line).to_owned()).collect();
        let mut server = Server { bin: binaries(), owner: other_user(), settings, folder, port: free_port() };
        server.give(&server.folder);
        let password = server.folder.join("password");
        server.write(&password, ADMIN_PASSWORD);
        let initdb = ["--no-sync", "--auth=md5", "--username", ADMIN, "--encoding=UTF8", "--locale=C", "--pgdata"];
        server.run("initdb", &initdb, &[&server.data(), Path::new("--pwfile"), &password])?;
        server.up()?;
        Ok(server)
    }

    /// A replica that streams from this server.
    pub(crate) fn replica(&self) -> Server {
        let name = format!("replica-of-{}-{}", self.port, std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let follow = format!("primary_conninfo = 'host=127.0.0.1 port={} user={ADMIN} password={}'", self.port, quoted());
        let settings = self.settings.iter().cloned().chain([follow]).collect();
        let mut replica = Server { bin: self.bin.clone(), owner: self.owner, settings, folder, port: free_port() };
        replica.give(&replica.folder);
        let backup = format!("--dbname=host=127.0.0.1 port={} user={ADMIN} password='{}'", self.port, ADMIN_PASSWORD.replace('\'', "\\'"));
        replica.run("pg_basebackup", &[&backup, "--checkpoint=fast", "--no-sync", "--pgdata"], &[&replica.data()]).expect("a copy");
        replica.write(&replica.data().join("standby.signal"), "");
        replica.up().expect("it starts as a replica");
        replica
    }

    /// Starts on its port, or on another one where somebody took it meanwhile.
    fn up(&mut self) -> Result<(), String> {
        let log = self.folder.join("log");
        for _ in 0..5 {
            let settings = format!("{}\nport = {}\n", self.settings.join("\n"), self.port);
            self.write(&self.data().join("postgresql.auto.conf"), &settings);
            let before = self.log().len();
            let started = self.run("pg_ctl", &["start", "--wait", "--silent", "--pgdata"], &[&self.data(), Path::new("--log"), &log]);
            let said = self.log().split_off(before);
            match started {
                Err(_) if said.contains("Address already in use") => self.port = free_port(),
                Err(why) => return Err(format!("{why}\n{said}")),
                Ok(()) => return Ok(()),
            }
        }
        Err("no port stays free".to_owned())
    }

    pub(crate) fn down(&self) {
        let _it_may_be_down = self.run("pg_ctl", &["stop", "--silent", "--mode", "immediate", "--pgdata"], &[&self.data()]);
    }

    /// Starts again as a replica that nobody feeds: it replays, and lets readers in.
    pub(crate) fn restart_as_replica(&mut self) {
        self.run("pg_ctl", &["stop", "--silent", "--mode", "fast", "--pgdata"], &[&self.data()]).expect("it stops");
        self.write(&self.data().join("standby.signal"), "");
        self.up().expect("it starts as a replica");
    }

    pub(crate) fn promote(&self) {
        self.run("pg_ctl", &["promote", "--wait", "--silent", "--pgdata"], &[&self.data()]).expect("it is promoted");
    }

    /// Everything that the server logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        self.write(&path, text);
        path
    }

    /// Says whether it could: a build may have no TLS.
    pub(crate) fn switch_tls_on(&mut self, certificate: &Path, key: &Path) -> bool {
        self.run("pg_ctl", &["stop", "--silent", "--mode", "fast", "--pgdata"], &[&self.data()]).expect("it stops");
        self.settings.push("ssl = on".to_owned());
        self.settings.push(format!("ssl_cert_file = '{}'", certificate.display()));
        self.settings.push(format!("ssl_key_file = '{}'", key.display()));
        match self.up() {
            Ok(()) => true,
            Err(said) if said.contains("SSL is not supported") => false,
            Err(said) => panic!("{said}"),
        }
    }

    /// Statements of the admin, as somebody else would have sent them.
    pub(crate) async fn sql(&self, statements: &str) {
        let (client, driver) = self.admin_client().await;
        client.batch_execute(statements).await.expect("the statements");
        drop(client);
        driver.await.expect("the connection ends");
    }

    pub(crate) async fn ask(&self, question: &str) -> String {
        let (client, driver) = self.admin_client().await;
        let row = client.query_one(question, &[]).await.expect("an answer");
        drop(client);
        driver.await.expect("the connection ends");
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }

    async fn admin_client(&self) -> (tokio_postgres::Client, tokio::task::JoinHandle<()>) {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(ADMIN).password(ADMIN_PASSWORD).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await.expect("the admin logs in");
        (client, tokio::spawn(async move { connection.await.unwrap_or_default() }))
    }

    pub(crate) fn secret(&self, user: &str, password: &str) -> SecretValue {
        secret_at(self.port, user, password, json!({}))
    }

    pub(crate) fn admin(&self) -> SecretValue {
        self.secret(ADMIN, ADMIN_PASSWORD)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn write(&self, path: &Path, text: &str) {
        std::fs::write(path, text).expect("a file");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its rights");
        self.give(path);
    }

    /// PostgreSQL refuses to run as root, and to read a key of somebody else.
    fn give(&self, path: &Path) {
        if let Some((uid, gid)) = self.owner {
            chown(path, Some(uid), Some(gid)).expect("its owner");
        }
    }

    fn run(&self, program: &str, arguments: &[&str], paths: &[&Path]) -> Result<(), String> {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).args(paths).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        // A file and not a pipe: the server that stays would hold a pipe open, and nobody would see its end.
        let said = self.folder.join("said");
        let status = command.stderr(std::fs::File::create(&said).expect("a file")).status().expect("it runs");
        if status.success() { Ok(()) } else { Err(std::fs::read_to_string(&said).unwrap_or_default()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
        let _leftovers_go_with_the_target_folder = std::fs::remove_dir_all(&self.folder);
    }
}

/// The password within a connection string within a setting.
fn quoted() -> String {
    format!("''{}''", ADMIN_PASSWORD.replace('\'', "\\\\''"))
}

pub(crate) fn secret_at(port: u16, user: &str, password: &str, more: serde_json::Value) -> SecretValue {
    let mut text = json!({ "engine": "postgres", "host": "127.0.0.1", "port": port, "username": user, "password": password, "dbname": "postgres" });
    for (key, value) in more.as_object().expect("an object") {
        text[key] = value.clone();
    }
    SecretValue::parse(&text.to_string()).expect("a secret")
}

/// `RELIGHT_TEST_PG`, the PATH, or the system's usual folders.
fn binaries() -> PathBuf {
    let named = std::env::var_os("RELIGHT_TEST_PG").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").map(|found| found.flatten().map(|version| version.path().join("bin")).collect()).unwrap_or_default();
    versions.sort();
    let mut folders = named.into_iter().chain(std::env::split_paths(&path)).chain(versions.into_iter().rev());
    // A folder of links may lack some of the programs.
    let real = |folder: PathBuf| folder.join("initdb").canonicalize().ok()?.parent().map(Path::to_path_buf);
    folders.find_map(real).expect("no PostgreSQL: put its bin folder on the PATH, or name it in RELIGHT_TEST_PG")
}
