//! What the tests of the application stand on: a real PostgreSQL, a tiny Secrets Manager, the real `shop`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io,
    net::SocketAddr,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use nix::unistd::{Uid, User};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};
use uuid::Uuid;

pub(crate) const SUPERUSER_PASSWORD: &str = "superuser-of-this-test";

/// A folder of its own for each test, gone with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shop-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A PostgreSQL server that demands passwords over TCP.
pub(crate) struct Postgres {
    server: Child,
    pub(crate) port: u16,
    _folder: Folder,
}

impl Postgres {
    /// None where the machine has no PostgreSQL.
    pub(crate) async fn start() -> Option<Self> {
        let bin = binaries()?;
        let folder = Folder::new();
        let data = folder.0.join("data");
        let password = folder.0.join("password");
        std::fs::write(&password, SUPERUSER_PASSWORD).unwrap();
        let user = unprivileged();
        if let Some(user) = &user {
            for path in [&folder.0, &password] {
                chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
            }
        }
        let command = |program: &str| {
            let mut command = Command::new(bin.join(program));
            command.current_dir(&folder.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Some(user) = &user {
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            }
            command
        };
        let created = command("initdb")
            .args(["--no-sync", "--username=root", "--auth-host=scram-sha-256", "--auth-local=reject", "--encoding=UTF8", "--no-locale"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(&data)
            .status()
            .unwrap();
        assert!(created.success(), "initdb failed");
        let port = free_port();
        let server = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB"])
            .args(["-p", &port.to_string()])
            .spawn()
            .unwrap();
        let postgres = Self { server, port, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while postgres.try_admin().await.is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(postgres)
    }

    async fn try_admin(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let config = format!("host=127.0.0.1 port={} user=root password={SUPERUSER_PASSWORD} dbname=postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements as the superuser.
    pub(crate) async fn admin(&self, statements: &str) {
        self.try_admin().await.unwrap().batch_execute(statements).await.unwrap();
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.try_admin().await.unwrap().query_one(query, &[]).await.unwrap().get(0)
    }

    /// The secret of the user `app` with this password.
    pub(crate) fn secret(&self, password: &str) -> Value {
        json!({ "engine": "postgres", "host": "127.0.0.1", "port": self.port, "username": "app", "password": password, "dbname": "postgres" })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn binaries() -> Option<PathBuf> {
    let on_path = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = on_path
        .into_iter()
        .chain(installed.map(|version| version.path().join("bin")))
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file());
    if found.is_none() {
        eprintln!("no PostgreSQL on this machine: nothing to test the shop against");
    }
    found
}

/// PostgreSQL refuses to run as root.
fn unprivileged() -> Option<User> {
    let lookup = |name| User::from_name(name).ok().flatten();
    Uid::effective().is_root().then(|| lookup("postgres").or_else(|| lookup("nobody")).unwrap())
}

/// Free at this moment; nobody else on the machine is likely to take it in the next one.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A Secrets Manager with one secret.
#[derive(Clone)]
pub(crate) struct Secrets {
    pub(crate) endpoint: String,
    current: Arc<Mutex<(u32, Value)>>,
}

impl Secrets {
    pub(crate) async fn start(value: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let current = Arc::new(Mutex::new((1, value)));
        let app = Router::new().route("/", post(get_secret_value)).with_state(current.clone());
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { endpoint, current }
    }

    pub(crate) fn put(&self, value: Value) {
        let mut current = self.current.lock().unwrap();
        *current = (current.0 + 1, value);
    }
}

async fn get_secret_value(State(current): State<Arc<Mutex<(u32, Value)>>>, headers: HeaderMap, body: String) -> Json<Value> {
    assert_eq!(headers["x-amz-target"], "secretsmanager.GetSecretValue");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["SecretId"], "shop/db");
    let (version, value) = current.lock().unwrap().clone();
    Json(json!({
        "ARN": "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/db-AbCdEf", "Name": "shop/db",
        "VersionId": format!("version-{version}"), "SecretString": value.to_string(),
    }))
}

/// The environment that a shop needs.
pub(crate) fn environment(secrets: &str, ttl: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", secrets),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("SHOP_SECRET", "shop/db"),
        ("SHOP_SECRET_TTL", ttl),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// A running shop.
pub(crate) struct Shop {
    pub(crate) process: tokio::process::Child,
    pub(crate) addr: SocketAddr,
    pub(crate) log: PathBuf,
    _folder: Folder,
}

impl Shop {
    pub(crate) async fn start(secrets: &str, ttl: &str) -> Self {
        let folder = Folder::new();
        let log = folder.0.join("logins.jsonl");
        let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_shop"))
            .env_clear()
            .envs(environment(secrets, ttl))
            .env("AWS_REGION", "us-west-2")
            .env("SHOP_TAG", "test")
            .env("SHOP_LOGIN_LOG", &log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()));
        Self { process, addr, log, _folder: folder }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = http(self.addr, "GET", path, "").await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    pub(crate) async fn write(&self) -> (u16, Value, Uuid) {
        let id = Uuid::new_v4();
        let (status, body) = http(self.addr, "POST", "/write", &json!({ "id": id }).to_string()).await.unwrap();
        (status, serde_json::from_str(&body).unwrap(), id)
    }

    /// Secret version and outcome of each login.
    pub(crate) fn logins(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let login = |line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let outcome = match (&line["ok"], &line["sqlstate"], &line["reason"]) {
                (Value::Bool(true), Value::Null, Value::Null) => "ok",
                (Value::Bool(false), Value::String(sqlstate), Value::Null) => sqlstate,
                (Value::Bool(false), Value::Null, Value::String(reason)) => reason,
                _ => panic!("{line}"),
            };
            (line["secret_version"].as_str().unwrap().to_owned(), outcome.to_owned())
        };
        text.lines().map(login).collect()
    }
}

/// One request over a connection of its own: status and body.
pub(crate) async fn http(addr: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    use http_body_util::{BodyExt, Full};
    let stream = tokio::net::TcpStream::connect(addr).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "shop")
        .header("content-type", "application/json")
        .body(Full::new(bytes::Bytes::from(body.to_owned())))
        .unwrap();
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
