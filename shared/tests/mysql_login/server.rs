//! A MariaDB of the test's own, on a free port of 127.0.0.1, gone when the test lets go of it.

#[path = "../login/machine.rs"]
mod machine;

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) use machine::free_port;
use machine::other_user;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use relight::secret::SecretValue;
use serde_json::json;

/// Has the rights of RDS's master user, as far as tests need them.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const ADMIN_PASSWORD: &str = "the admin's \"own\"";

pub(crate) struct Server {
    folder: PathBuf,
    owner: Option<(u32, u32)>,
    settings: Vec<String>,
    process: Option<Child>,
    pub(crate) port: u16,
}

impl Server {
    /// `None`, and a line that says so, where this machine has no MariaDB.
    pub(crate) async fn start(settings: &[&str]) -> Option<Server> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(install) = program("mariadb-install-db").filter(|_| program("mariadbd").is_some()) else {
            // Past the test harness, which keeps to itself what a test that passes has said.
            let _unheard = writeln!(std::io::stderr(), "not run: this machine has no MariaDB; `apt-get install mariadb-server-core` brings it");
            return None;
        };
        let name = format!("mariadb-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let settings = settings.iter().map(|line| (*line).to_owned()).collect();
        let mut server = Server { owner: other_user(), settings, process: None, folder, port: 0 };
        server.give(&server.folder);
        let mut make = server.command(&install);
        make.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", server.data().display()));
        let made = make.output().expect("mariadb-install-db runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.file(
            "init.sql",
            &format!(
                "create user if not exists {ADMIN}@'%' identified by '{}';\n\
                 grant all privileges on *.* to {ADMIN}@'%' with grant option;\n\
                 create database if not exists shop;\n",
                ADMIN_PASSWORD.replace('\'', "''")
            ),
        );
        server.up(&["--init-file=../init.sql"]).await;
        Some(server)
    }

    pub(crate) async fn restart(&mut self, settings: &[&str]) {
        self.down();
        self.settings.extend(settings.iter().map(|line| (*line).to_owned()));
        self.up(&[]).await;
    }

    /// Returns when it answers.
    async fn up(&mut self, once: &[&str]) {
        for _ in 0..5 {
            self.port = free_port();
            let mut command = self.command(&program("mariadbd").expect("MariaDB"));
            command.arg("--no-defaults").arg(format!("--datadir={}", self.data().display()));
            command.args([
                "--socket=socket",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--general-log",
                "--general-log-file=../general.log",
            ]);
            command.args(["--skip-log-error", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--skip-slave-start=OFF"]);
            command.arg(format!("--port={}", self.port)).args(&self.settings).args(once);
            let said = std::fs::File::create(self.folder.join("said")).expect("a file");
            let mut process = command.stdout(Stdio::null()).stderr(said).spawn().expect("mariadbd runs");
            for _ in 0..600 {
                if process.try_wait().expect("its end").is_some() {
                    break;
                }
                if self.connect().await.is_ok() {
                    self.process = Some(process);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let _it_may_have_ended = process.kill();
            let _ended = process.wait();
        }
        panic!("no start: {}", std::fs::read_to_string(self.folder.join("said")).unwrap_or_default());
    }

    pub(crate) fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _it_may_have_ended = process.kill();
            let _ended = process.wait();
        }
    }

    /// Replicates what the source, which was started a moment ago with a log, writes from here on.
    pub(crate) async fn follow(&self, source: &Server) {
        source.sql("create user if not exists follower@'%' identified by 'follows'; grant replication slave on *.* to follower@'%'").await;
        let at = source.ask("select if(@@gtid_current_pos = '', @@gtid_binlog_pos, @@gtid_current_pos)").await;
        self.sql(&format!(
            "set global gtid_slave_pos = '{at}'; change master to master_host='127.0.0.1', master_port={}, master_user='follower', \
             master_password='follows', master_use_gtid=slave_pos; start slave",
            source.port
        ))
        .await;
    }

    /// Statements of the admin, as somebody else would have sent them.
    pub(crate) async fn sql(&self, statements: &str) {
        let mut session = self.connect().await.expect("the admin logs in");
        for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
            session.query_drop(statement).await.expect("the statement");
        }
        session.disconnect().await.expect("the session ends");
    }

    pub(crate) async fn ask(&self, question: &str) -> String {
        let mut session = self.connect().await.expect("the admin logs in");
        let answer: Option<Option<String>> = session.query_first(question).await.expect("an answer");
        session.disconnect().await.expect("the session ends");
        answer.flatten().unwrap_or_default()
    }

    async fn connect(&self) -> Result<Conn, mysql_async::Error> {
        let opts = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(self.port).prefer_socket(false);
        Conn::new(opts.user(Some(ADMIN)).pass(Some(ADMIN_PASSWORD)).db_name(None::<String>)).await
    }

    pub(crate) fn secret(&self, user: &str, password: &str) -> SecretValue {
        secret_at(self.port, user, password, json!({}))
    }

    pub(crate) fn admin(&self) -> SecretValue {
        self.secret(ADMIN, ADMIN_PASSWORD)
    }

    /// All statements that it was sent.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("general.log")).unwrap_or_default()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its rights");
        self.give(&path);
        path
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// MariaDB refuses to run as root.
    fn give(&self, path: &Path) {
        if let Some((uid, gid)) = self.owner {
            chown(path, Some(uid), Some(gid)).expect("its owner");
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C").env("TZ", "UTC");
        // Two that are being made at once would take each other's temporary tables.
        command.env("TMPDIR", &self.folder);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
        let _leftovers_go_with_the_target_folder = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn secret_at(port: u16, user: &str, password: &str, more: serde_json::Value) -> SecretValue {
    let mut text = json!({ "engine": "mariadb", "host": "127.0.0.1", "port": port, "username": user, "password": password, "dbname": "shop" });
    for (key, value) in more.as_object().expect("an object") {
        text[key] = value.clone();
    }
    SecretValue::parse(&text.to_string()).expect("a secret")
}

/// On the PATH, or where Debian has it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}
