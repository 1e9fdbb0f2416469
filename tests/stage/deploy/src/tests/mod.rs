//! Real emulators. A test starts those that it needs; they end with it, however it ends.

mod control;
mod pilot_light;
mod refused;
mod workload;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Aws, Service};
use crate::{Deployer, transform};

const ACCOUNT: &str = "123456789012";
const EAST: &str = "us-east-2";
const WEST: &str = "us-west-2";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

fn venv() -> PathBuf {
    let venv = std::env::var_os("RELIGHT_VENV").map_or_else(|| root().join("target/venv"), PathBuf::from);
    if let Err(error) = transform::python(&venv) {
        panic!("{error}");
    }
    venv
}

/// A folder of this test process for what a failed run should leave to read. Of one name, it goes with the emulator of that name.
fn scratch(name: &str) -> PathBuf {
    let folder = root().join(format!("target/tmp/deploy-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// An emulator behind a pipe: when this process ends, even by a signal, the pipe closes and the shell ends the emulator's process group.
struct Emulator {
    address: SocketAddr,
    shell: Child,
    folder: PathBuf,
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    stage_rds::free_port().unwrap()
}

impl Emulator {
    fn ministack(test: &str) -> Self {
        let address = free_address();
        Self::ministack_behind(test, address, &format!("http://{address}"))
    }

    /// Its functions call `endpoint`.
    fn ministack_behind(test: &str, address: SocketAddr, endpoint: &str) -> Self {
        Self::start(test, address, endpoint, &["python", "-m", "ministack"])
    }

    fn moto(test: &str) -> Self {
        let address = free_address();
        Self::start(test, address, "", &["moto_server", "-H", "127.0.0.1", "-p", &address.port().to_string()])
    }

    fn start(test: &str, address: SocketAddr, endpoint: &str, command: &[&str]) -> Self {
        let folder = scratch(test);
        let log = File::create(folder.join("emulator.log")).unwrap();
        let shell = Command::new("sh")
            .args(["-c", r#"setsid "$@" </dev/null & group=$!; cat >/dev/null; kill -KILL "-$group""#, "sh"])
            .arg(venv().join("bin").join(command[0]))
            .args(&command[1..])
            .envs([("GATEWAY_PORT", address.port().to_string().as_str()), ("AWS_ENDPOINT_URL", endpoint)])
            .envs([("BIND_HOST", "127.0.0.1"), ("MINISTACK_ACCOUNT_ID", ACCOUNT), ("LAMBDA_EXECUTOR", "local"), ("AUTH", "true")])
            .envs([("SFTP_ENABLED", "0"), ("IOT_MTLS_ENABLED", "0")])
            // Code that is unpacked and files of process ids go with the folder.
            .env("TMPDIR", &folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let emulator = Self { address, shell, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{command:?} does not start; see {}", emulator.folder.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        emulator
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn deployer(&self) -> Deployer {
        Deployer::new(&self.url(), ACCOUNT, venv(), root().join("target/deploy-cache"))
    }

    fn aws(&self) -> Aws {
        Aws::new(&self.url())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A function that needs no compiler: it answers with its environment and the word that it was built with, and with what AWS says to
    /// the call that its event names.
    fn bootstrap(&self, word: &str) -> PathBuf {
        let script = format!(
            "#!{}\n{}",
            venv().join("bin/python").display(),
            r#"import json, os, urllib.request
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(base + "next") as invocation:
        request, event = invocation.headers["Lambda-Runtime-Aws-Request-Id"], json.load(invocation)
    said = None
    if "call" in event:
        import boto3, botocore.exceptions
        service, region, operation, arguments = event["call"]
        try:
            getattr(boto3.client(service, region_name=region), operation)(**arguments)
            said = "done"
        except botocore.exceptions.ClientError as error:
            said = error.response["Error"]["Code"]
    answer = json.dumps({"word": "WORD", "event": event, "environment": dict(os.environ), "said": said})
    urllib.request.urlopen(base + request + "/response", answer.encode())
"#
            .replace("WORD", word)
        );
        let path = self.write("bootstrap", &script);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
        if !std::thread::panicking() {
            let deadline = Instant::now() + Duration::from_secs(5);
            while TcpStream::connect(self.address).is_ok() {
                assert!(Instant::now() < deadline, "the emulator at {} outlives its test", self.address);
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn get(service: &Service<'_>, path: &str) -> Value {
    service.rest_json("Get", http::Method::GET, path, None).await.unwrap()
}
