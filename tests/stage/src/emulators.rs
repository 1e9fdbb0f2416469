//! ministack and moto, as child processes on free ports.

use std::fs::File;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::groups::Groups;
use crate::layout::Layout;
use crate::{ACCOUNT, Error};

/// Two child processes in process groups of their own.
pub(crate) struct Emulators {
    /// ministack first.
    children: Vec<(i32, Child)>,
}

/// For an emulator, which is told where to listen.
pub(crate) fn free_port() -> Result<SocketAddr, Error> {
    stage_rds::free_port().map_err(|source| Error::io("finding a free port", source))
}

impl Emulators {
    /// Starts both and waits until they accept connections. `router` is where functions send their calls.
    pub(crate) async fn start(
        layout: &Layout,
        logs: &std::path::Path,
        router: &str,
        ministack: SocketAddr,
        moto: SocketAddr,
        groups: &Groups,
    ) -> Result<Emulators, Error> {
        let unpacked = logs.join("ministack");
        std::fs::create_dir_all(&unpacked).map_err(|source| Error::io("making the emulator's folder", source))?;
        let mut command = Command::new(layout.venv.join("bin/ministack"));
        command
            // The functions' code and its process id: they go with the stage's folder.
            .env("TMPDIR", unpacked)
            .env("GATEWAY_PORT", ministack.port().to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
            .env("LAMBDA_EXECUTOR", "local")
            .env("AUTH", "true")
            .env("SFTP_ENABLED", "0")
            .env("IOT_MTLS_ENABLED", "0")
            .env("LAMBDA_ASYNC_RETRY_BASE_SECONDS", "1")
            .env("AWS_ENDPOINT_URL", router);
        let ministack_child = spawn(command, &logs.join("ministack.log"), groups)?;
        let mut command = Command::new(layout.venv.join("bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &moto.port().to_string()]);
        let moto_child = spawn(command, &logs.join("moto.log"), groups)?;
        let emulators = Emulators { children: vec![ministack_child, moto_child] };
        tokio::try_join!(listening(ministack, "ministack"), listening(moto, "moto"))?;
        Ok(emulators)
    }

    /// Kills what ministack runs of a function with SIGKILL, and says how many processes that were.
    pub(crate) fn kill_function(&self, program: &str) -> Result<usize, Error> {
        let Some((group, _)) = self.children.first() else { return Ok(0) };
        let processes = std::fs::read_dir("/proc").map_err(|source| Error::io("reading /proc", source))?;
        let mut killed = 0;
        for process in processes.flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).map(nix::unistd::Pid::from_raw) else { continue };
            // A process that ends while it is looked at has neither.
            let group_of = nix::unistd::getpgid(Some(pid)).map(nix::unistd::Pid::as_raw);
            let runs = std::fs::read_link(process.path().join("exe"));
            let is_it = runs.is_ok_and(|runs| runs.file_name().is_some_and(|name| name == program));
            if group_of == Ok(*group) && is_it && nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).is_ok() {
                killed += 1;
            }
        }
        Ok(killed)
    }

    /// Ends both, with the functions that ministack runs in its group.
    pub(crate) async fn shutdown(&mut self) {
        for (group, child) in &mut self.children {
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(*group), nix::sys::signal::Signal::SIGKILL);
            let _ = child.wait().await;
        }
        self.children.clear();
    }
}

fn spawn(mut command: Command, log: &std::path::Path, groups: &Groups) -> Result<(i32, Child), Error> {
    let log = File::create(log).map_err(|source| Error::io("creating a log", source))?;
    let errors = log.try_clone().map_err(|source| Error::io("creating a log", source))?;
    let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0).kill_on_drop(true).spawn();
    let child = child.map_err(|source| Error::io("starting an emulator", source))?;
    // A child that was just spawned and not waited for has a number.
    let group = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
    groups.add(group);
    Ok((group, child))
}

async fn listening(address: SocketAddr, what: &'static str) -> Result<(), Error> {
    let began = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        if began.elapsed() > Duration::from_secs(30) {
            return Err(Error::NotUp { what });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
