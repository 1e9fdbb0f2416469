//! A router before real emulators, started once a test file and shared by its tests.
//!
//! A static is never dropped, so each emulator hangs on a pipe: when the test process ends, however it ends, the pipe closes and a small
//! shell ends the emulator's process group.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{Cursor, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use stage_router::{Router, Settings};
use tokio::runtime::Runtime;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const EAST: &str = "us-east-2";
pub(crate) const WEST: &str = "us-west-2";

pub(crate) struct Stage {
    /// The router must outlive the test that happened to start it.
    runtime: Runtime,
    pub(crate) router: Router,
    pub(crate) folder: PathBuf,
    emulators: [Child; 2],
}

// A thread of its own: a test's runtime must not be blocked by another runtime.
pub(crate) static STAGE: LazyLock<Stage> = LazyLock::new(|| std::thread::spawn(start).join().expect("the stage starts"));

fn free_address() -> SocketAddr {
    stage_rds::free_port().unwrap()
}

fn start() -> Stage {
    let venv = std::env::var_os("RELIGHT_VENV")
        .expect("RELIGHT_VENV names no virtual environment with the emulators: run `make tools`, which makes one and says its path");
    let bin = Path::new(&venv).join("bin");
    let (ministack, moto) = (free_address(), free_address());
    // In the target folder, where the log of a failed run can be read afterwards.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stage-router-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let runtime = Runtime::new().unwrap();
    let settings =
        Settings { account: ACCOUNT.to_owned(), ministack, moto, rds: free_address(), log_file: folder.join("calls.jsonl"), rate_factor: 60.0 };
    let router = runtime.block_on(Router::start(settings)).unwrap();
    let mut first = on_a_pipe(bin.join("python"), &["-m", "ministack"]);
    first
        .envs([
            ("GATEWAY_PORT", ministack.port().to_string().as_str()),
            ("BIND_HOST", "127.0.0.1"),
            ("MINISTACK_ACCOUNT_ID", ACCOUNT),
            ("LAMBDA_EXECUTOR", "local"),
            ("AUTH", "true"),
            ("SFTP_ENABLED", "0"),
            ("IOT_MTLS_ENABLED", "0"),
            ("AWS_ENDPOINT_URL", router.url()),
        ])
        // Its process id and the functions' code, as on the stage.
        .env("TMPDIR", &folder)
        .stderr(std::fs::File::create(folder.join("ministack.log")).unwrap());
    let mut second = on_a_pipe(bin.join("moto_server"), &["-H", "127.0.0.1", "-p", &moto.port().to_string()]);
    let emulators = [first.spawn().unwrap(), second.spawn().unwrap()];
    for address in [ministack, moto] {
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the emulator at {address} does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Stage { runtime, router, folder, emulators }
}

fn on_a_pipe(program: PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"setsid "$@" & child=$!; cat >/dev/null; kill -KILL "-$child""#, "sh"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What a raw call was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self
    }
}

/// One signer: a key in a Region.
#[derive(Clone)]
pub(crate) struct As {
    pub(crate) key: String,
    pub(crate) region: &'static str,
}

pub(crate) fn root(region: &'static str) -> As {
    As { key: "test".to_owned(), region }
}

impl As {
    pub(crate) async fn send(&self, service: &str, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let scope = format!("{}/20260101/{}/{service}/aws4_request", self.key, self.region);
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(format!("{}{path}", STAGE.router.url()))
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request.body(Full::new(body.into())).unwrap()).await
    }

    pub(crate) async fn json(&self, service: &str, target: &str, body: Value) -> Answer {
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        self.send(service, "POST", "/", &headers, body.to_string()).await
    }

    pub(crate) async fn query(&self, service: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(service, "POST", "/", &[("content-type", "application/x-www-form-urlencoded")], body).await
    }

    pub(crate) async fn rest(&self, service: &str, method: &str, path: &str, body: Value) -> Answer {
        self.send(service, method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    fn provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(Credentials::new(&self.key, "secret", None, None, "test"))
    }
}

/// An SDK's configuration for a signer, without retries, so that each fault is seen.
#[macro_export]
macro_rules! client {
    ($sdk:ident, $signer:expr) => {{
        let signer = &$signer;
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version($crate::stage::latest())
                .region($crate::stage::region(signer))
                .credentials_provider($crate::stage::credentials(signer))
                .endpoint_url($crate::stage::STAGE.router.url())
                .retry_config($sdk::config::retry::RetryConfig::disabled())
                .http_client($crate::stage::http_client())
                .build(),
        )
    }};
}

pub(crate) fn latest() -> BehaviorVersion {
    BehaviorVersion::latest()
}

pub(crate) fn region(signer: &As) -> Region {
    Region::new(signer.region)
}

pub(crate) fn credentials(signer: &As) -> SharedCredentialsProvider {
    signer.provider()
}

pub(crate) fn http_client() -> aws_sdk_sns::config::SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

pub(crate) async fn unsigned(method: &str, path: &str) -> Answer {
    let uri = format!("{}{path}", STAGE.router.url());
    send(hyper::Request::builder().method(method).uri(uri).body(Full::default()).unwrap()).await
}

async fn send(request: hyper::Request<Full<Bytes>>) -> Answer {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Answer { status, body: String::from_utf8_lossy(&body).into_owned() }
}

/// Makes a role with one inline policy.
pub(crate) async fn role(name: &str, statements: Value) -> String {
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]}}]})
    .to_string();
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let us = root("us-east-1");
    let create = [("Action", "CreateRole"), ("Version", "2010-05-08"), ("RoleName", name), ("AssumeRolePolicyDocument", &trust)];
    us.query("iam", &create).await.ok();
    if statements.as_array().is_some_and(Vec::is_empty) {
        // IAM refuses a policy without a statement: this role may do nothing.
        return format!("arn:aws:iam::{ACCOUNT}:role/{name}");
    }
    let put = [("Action", "PutRolePolicy"), ("Version", "2010-05-08"), ("RoleName", name), ("PolicyName", "it"), ("PolicyDocument", &policy)];
    us.query("iam", &put).await.ok();
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// A key that acts as a role.
pub(crate) fn acting_as(role: &str, region: &'static str) -> As {
    let key = format!("ASIAROLE{role}");
    STAGE.router.role_key(&key, role, "test");
    As { key, region }
}

/// Makes a function of the recording bootstrap; what it gets is appended to the returned file.
pub(crate) async fn function(region: &'static str, name: &str, role: &str, environment: &[(&str, &str)]) -> (String, PathBuf) {
    let record = STAGE.folder.join(format!("{region}-{name}.jsonl"));
    let mut variables = json!({ "RECORD": record });
    for (key, value) in environment {
        variables[*key] = json!(value);
    }
    let body = json!({"FunctionName": name, "Role": role, "Runtime": "provided.al2023", "Handler": "bootstrap", "Timeout": 30,
        "Code": {"ZipFile": base64(&bootstrap_zip())}, "Environment": {"Variables": variables}});
    root(region).rest("lambda", "POST", "/2015-03-31/functions", body).await.ok();
    (format!("arn:aws:lambda:{region}:{ACCOUNT}:function:{name}"), record)
}

/// Lets a service invoke a function.
pub(crate) async fn permit(function: &str, principal: &str, source: &str) {
    let parts: Vec<&str> = function.split(':').collect();
    let region = if parts[3] == EAST { EAST } else { WEST };
    let id = format!("s{}", source.bytes().map(u64::from).sum::<u64>());
    let body = json!({"StatementId": id, "Action": "lambda:InvokeFunction", "Principal": principal, "SourceArn": source});
    root(region).rest("lambda", "POST", &format!("/2015-03-31/functions/{}/policy", parts[6]), body).await.ok();
}

/// Waits for the events that a function got.
pub(crate) async fn received(record: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(record).unwrap_or_default();
        let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if events.len() >= count {
            return events;
        }
        assert!(Instant::now() < deadline, "{} of {count} events; carried: {:#?}", events.len(), STAGE.router.carried());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}; carried: {:#?}", STAGE.router.carried());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn bootstrap_zip() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    zip.write_all(include_bytes!("bootstrap.py")).unwrap();
    zip.finish().unwrap().into_inner()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    text
}
