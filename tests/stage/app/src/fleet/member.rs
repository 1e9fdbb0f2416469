//! One process from its start to its end.
//!
//! ```text
//! start time ──► spawn, own process group ──► port on stdout ──► registered, ready ──► ends by itself, or told:
//!                                                  Drained: out of the balancer, a moment for requests under way, killed
//!                                                  Killed: at once
//! ```

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    Region, SpawnHook,
    plan::{Owner, Seen},
};
use crate::lock;

const PORT_TIME_OUT: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_millis(300);

/// What every process of a Region starts with.
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) region: Region,
    pub(super) start_time: Duration,
    pub(super) on_spawn: SpawnHook,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Drained,
    Killed,
}

pub(super) struct Member {
    owner: Owner,
    deployment: String,
    ready: watch::Receiver<bool>,
    /// None: it lives.
    ending: watch::Sender<Option<Ending>>,
    why: Arc<std::sync::Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Member {
    pub(super) fn start(start: Arc<Start>, owner: Owner, deployment: String) -> Self {
        let (ready, ready_seen) = watch::channel(false);
        let (ending, ending_seen) = watch::channel(None);
        let why = Arc::new(std::sync::Mutex::new(None));
        let (life_owner, life_why) = (owner.clone(), why.clone());
        let task = tokio::spawn(async move {
            let life = Life { start: &start, owner: &life_owner, ready, ending: ending_seen };
            if let Err(error) = life.live().await {
                *lock(&life_why) = Some(format!("{} did not start: {error}", start.program.display()));
            }
        });
        Self { owner, deployment, ready: ready_seen, ending, why, task }
    }

    pub(super) fn runs_for(&self, owner: &Owner) -> bool {
        self.owner == *owner && *self.ready.borrow()
    }

    pub(super) fn seen(&self) -> Seen {
        Seen { owner: self.owner.clone(), deployment: self.deployment.clone(), ready: *self.ready.borrow(), ending: self.ending.borrow().is_some() }
    }

    /// None while it lives; then why it could not start, if that was it.
    pub(super) fn ended(&self) -> Option<Option<String>> {
        self.task.is_finished().then(|| lock(&self.why).take())
    }

    pub(super) fn end(&self, ending: Ending) {
        self.ending.send_replace(Some(ending));
    }

    pub(super) async fn wait(mut self) {
        // A task that panicked has dropped its process, which kills it.
        let _ = (&mut self.task).await;
    }
}

/// A fleet that is dropped takes its processes with it.
impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Life<'a> {
    start: &'a Start,
    owner: &'a Owner,
    ready: watch::Sender<bool>,
    ending: watch::Receiver<Option<Ending>>,
}

impl Life<'_> {
    async fn live(mut self) -> io::Result<()> {
        tokio::select! {
            () = sleep(self.start.start_time) => (),
            _ = told(&mut self.ending) => return Ok(()),
        }
        let mut process = Process::spawn(self.command(), &self.start.on_spawn)?;
        let address = tokio::select! {
            port = process.port() => SocketAddr::from((Ipv4Addr::LOCALHOST, port?)),
            _ = told(&mut self.ending) => return process.kill().await,
        };
        let registration = self.is_target().then(|| Registration::new(self.start, address));
        self.ready.send_replace(true);
        let ending = tokio::select! {
            _ = process.child.wait() => None,
            ending = told(&mut self.ending) => Some(ending),
        };
        self.ready.send_replace(false);
        drop(registration);
        if ending == Some(Ending::Drained) {
            let mut ending = self.ending.clone();
            tokio::select! {
                () = sleep(DRAIN) => (),
                _ = ending.wait_for(|ending| *ending == Some(Ending::Killed)) => (),
            }
        }
        process.kill().await
    }

    fn is_target(&self) -> bool {
        match self.owner {
            Owner::Service { .. } => true,
            Owner::Instance { .. } => self.start.region.groups_are_targets,
        }
    }

    fn command(&self) -> Command {
        let tag = match self.owner {
            Owner::Service { cluster, service } => format!("{cluster}/{service}"),
            Owner::Instance { group, id } => format!("{group}/{id}"),
        };
        let mut command = Command::new(&self.start.program);
        command
            .env_clear()
            .env("AWS_REGION", &self.start.region.name)
            .env("SHOP_TAG", tag)
            .envs(self.start.region.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

async fn told(ending: &mut watch::Receiver<Option<Ending>>) -> Ending {
    let ending = ending.wait_for(Option::is_some).await;
    // A sender that is gone means that the fleet is gone.
    ending.ok().and_then(|ending| *ending).unwrap_or(Ending::Killed)
}

/// In the balancer as long as it is held, also when the task is aborted.
struct Registration<'a> {
    start: &'a Start,
    address: SocketAddr,
}

impl<'a> Registration<'a> {
    fn new(start: &'a Start, address: SocketAddr) -> Self {
        start.region.balancer.register(address);
        Self { start, address }
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.start.region.balancer.deregister(self.address);
    }
}

struct Process {
    child: Child,
    group: Option<Pid>,
    /// Held as long as the process: a shop ends with its stdin, even when the stage itself is killed. (Left in `child`, waiting for the process would close it.)
    _stdin: Option<ChildStdin>,
}

impl Process {
    fn spawn(mut command: Command, on_spawn: &SpawnHook) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true).spawn()?;
        // The group of a process that leads it has the process's id.
        let id = child.id();
        if let Some(id) = id {
            on_spawn(id);
        }
        let group = id.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let stdin = child.stdin.take();
        Ok(Self { child, group, _stdin: stdin })
    }

    async fn port(&mut self) -> io::Result<u16> {
        let stdout = self.child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        timeout(PORT_TIME_OUT, BufReader::new(stdout).read_line(&mut line)).await??;
        line.trim().parse().map_err(|_| io::Error::other("it told no port on stdout; its stderr says why"))
    }

    async fn kill(mut self) -> io::Result<()> {
        // Its id stands for this process until it is waited for.
        if let (Some(group), Ok(None)) = (self.group, self.child.try_wait()) {
            killpg(group, Signal::SIGKILL)?;
        }
        self.child.wait().await.map(drop)
    }
}
