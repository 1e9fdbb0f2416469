//! Starting a stage, breaking it, and ending it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use relight::plan::Engine;
use serde_json::Value;
use stage_app::balancer::Balancer;
use stage_app::fleet;
use stage_deploy::Deployer;
use stage_dns::Dns;
use stage_rds::Rds;
use stage_router::Router;
use tokio::task::JoinSet;

use crate::aws::Clients;
use crate::emulators::Emulators;
use crate::ground::{self, Ground, start_fleet, tell_running};
use crate::groups::Groups;
use crate::layout::Layout;
use crate::workload::{self, Entries, Site, Stacks, Workload, output};
use crate::{Error, PRIMARY, STANDBY};

/// By how much the stage is faster than AWS, where AWS only lets one wait.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Divides health-check intervals, TTLs, ticks, the dwell and the cool-down.
    pub waits: f64,
    /// Divides the hour that a drill holds full capacity.
    pub hold: f64,
}

impl Default for Speed {
    fn default() -> Speed {
        Speed { waits: 12.0, hold: 600.0 }
    }
}

impl Speed {
    /// A number of seconds in AWS, on this stage.
    pub fn shortened(self, seconds: u64) -> Duration {
        Duration::from_secs_f64(seconds as f64 / self.waits)
    }

    pub fn hold(self) -> Duration {
        Duration::from_secs_f64(3600.0 / self.hold)
    }
}

/// The two Regions of a workload.
#[derive(Debug, Clone)]
pub struct Regions {
    pub primary: String,
    pub standby: String,
}

impl Default for Regions {
    fn default() -> Regions {
        Regions { primary: PRIMARY.to_owned(), standby: STANDBY.to_owned() }
    }
}

/// What a stage may be told.
#[derive(Clone)]
pub struct Options {
    /// The scenes know theirs; what is deployed step by step may stand elsewhere.
    pub regions: Regions,
    pub speed: Speed,
    /// How far the replica is behind its source.
    pub replication_delay: Duration,
    /// What RDS's metric says of every replica's lag, in seconds, in place of what is measured. -1 is AWS's word for unknown.
    pub lag: Option<f64>,
    /// When a drill and what it made must be gone.
    pub drill_deadline: Duration,
    /// Keys of the plan's database beside the example's: what the promoted instance shall be.
    pub database: toml::Table,
    /// What the workload's database is.
    pub engine: Engine,
    /// Aurora's: the standby's cluster has no instance.
    pub headless: bool,
    /// Other workloads, each with a Relight of its own, that stand beside the one that the scenes play with.
    pub beside: Vec<String>,
    /// Told what is being done while the stage comes up.
    pub progress: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            regions: Regions::default(),
            speed: Speed::default(),
            replication_delay: Duration::from_secs(2),
            lag: None,
            drill_deadline: Duration::from_secs(600),
            database: toml::Table::new(),
            engine: Engine::Postgres,
            headless: false,
            beside: Vec::new(),
            progress: Arc::new(|_| ()),
        }
    }
}

/// A running stage. Everything that it started ends with [`Stage::shutdown`], and if that is never called, with its process.
pub struct Stage {
    pub layout: Layout,
    pub speed: Speed,
    pub router: Router,
    pub rds: Rds,
    pub dns: Dns,
    /// What the scenes play with.
    pub workload: Workload,
    /// Those that only stand beside it.
    pub others: Vec<Workload>,
    /// Logs, data and the plan of this stage.
    pub folder: PathBuf,
    /// The plan in force, as a file.
    pub plan: PathBuf,
    emulators: Emulators,
    pub(crate) deployer: Deployer,
    tasks: JoinSet<()>,
    _groups: Groups,
}

/// What DNS answers for the load balancers. In AWS no two share an address, and who compares answers relies on it; these are of a range
/// that no network uses. What listens does so on 127.0.0.1, found by its port.
const ADDRESSES: [u8; 3] = [192, 0, 2];

impl Stage {
    /// Brings up both Regions in peace: the primary serves, the replica follows, Relight watches.
    pub async fn start(options: Options) -> Result<Stage, Error> {
        let ground = Ground::start(options).await?;
        let progress = ground.options.progress.clone();
        progress("the workload in both Regions and Relight's stacks, from their templates");
        for (kind, why) in stage_deploy::ACCEPTED {
            progress(&format!("  accepted, not created: {kind}: {why}"));
        }
        let site = ground.site();
        let first = Rising { ground: &ground, site: &site, place: 0 };
        let workload = first.rise(workload::FIRST).await?;
        let mut others = Vec::new();
        for (place, name) in (1..).zip(&ground.options.beside) {
            progress(&format!("beside it, the workload {name}"));
            others.push(Rising { place, ..first }.rise(name).await?);
        }
        let plan = workload.file.clone();
        let Ground { layout, options, router, rds, dns, folder, deployer, emulators, tasks, groups } = ground;
        let stage =
            Stage { plan, layout, speed: options.speed, router, rds, dns, workload, others, folder, deployer, emulators, tasks, _groups: groups };
        stage.watched().await?;
        Ok(stage)
    }

    fn workloads(&self) -> impl Iterator<Item = &Workload> {
        std::iter::once(&self.workload).chain(&self.others)
    }

    /// The primary Region becomes a black hole: its servers are killed, its endpoints accept and answer nothing.
    pub async fn lose_primary(&self) {
        self.router.dark(PRIMARY, true);
        for workload in self.workloads() {
            workload.entries.primary.dark(true);
            workload.fleet.dark(PRIMARY, Some(fleet::Darkness::Killed));
        }
        self.rds.dark(PRIMARY, stage_rds::Darkness::Killed).await;
    }

    /// The primary Region is there again, with what it had on its disks.
    pub async fn return_primary(&self) -> Result<(), Error> {
        self.rds.restore(PRIMARY).await.map_err(Error::part("starting the primary's databases again"))?;
        self.router.dark(PRIMARY, false);
        for workload in self.workloads() {
            workload.entries.primary.dark(false);
            workload.fleet.dark(PRIMARY, None);
        }
        Ok(())
    }

    /// The first workload dies in its primary Region, and nothing else does: its database is killed, its entry answers nothing.
    pub async fn lose_workload(&self) -> Result<(), Error> {
        self.workload.entries.primary.dark(true);
        self.rds.kill(PRIMARY, self.workload.database_id()).await.map_err(Error::part("killing the primary's database"))
    }

    /// Users do not reach the primary for a while, though it lives: the application's entry is dark, nothing else.
    pub fn hide_primary(&self, hidden: bool) {
        self.workload.entries.primary.dark(hidden);
    }

    pub fn clients(&self, region: &str) -> Clients {
        Clients::new(self.router.url(), region)
    }

    pub fn dns_addr(&self) -> SocketAddr {
        self.dns.addr()
    }

    /// The name of a deployed function, by the plan's word for it.
    pub fn function(&self, name: &str) -> Result<String, Error> {
        self.workload.function(name)
    }

    /// The identifier of the plan's replica.
    pub fn replica(&self) -> &str {
        self.workload.replica_id()
    }

    /// The identifier of the plan's database in the primary Region.
    pub fn database(&self) -> &str {
        self.workload.database_id()
    }

    /// The drill's schedule fires now, as it would on the first Monday.
    pub async fn fire_drill(&self) -> Result<(), Error> {
        let schedule = self.workload.deployed("MonthlyDrillDrill")?;
        self.router.fire(&schedule).await.map_err(Error::part("firing the drill's schedule"))
    }

    /// The operator says something to a function and hears its answer. One that has work at that moment answers when it is done.
    pub async fn order(&self, function: &str, command: &str) -> Result<Value, Error> {
        let event = serde_json::json!({ "operator": { "command": command, "by": "ana" } });
        let answer = stage_deploy::invoke(self.router.url(), STANDBY, &self.function(function)?, &event).await;
        let answer = answer.map_err(Error::part("invoking a function"))?;
        match answer.get("errorMessage").and_then(Value::as_str) {
            Some(message) => Err(Error::Part { doing: "invoking a function", message: format!("{function}: {message}") }),
            None => Ok(answer),
        }
    }

    /// Deploys the control stack again, as an operator does before a failback and after it: its roles may work in the primary Region meanwhile.
    pub async fn allow_failback(&self, allowed: bool) -> Result<(), Error> {
        let mut stack = self.workload.stack.clone();
        stack.parameters.insert("AllowFailback".to_owned(), if allowed { "yes" } else { "no" }.to_owned());
        self.deployer.deploy(&stack).await.map(drop).map_err(Error::part("deploying the control stack again"))
    }

    /// Puts a plan as an operator does, with more arguments of `relight plan put`.
    pub async fn put(&self, plan: &Path, more: &[&str]) -> Result<String, Error> {
        workload::put_plan(&self.layout, self.router.url(), &workload::output(&self.workload.control, "JournalTable")?, plan, more).await
    }

    /// Kills a function's process where it stands, as a crash at any instant would, and says how many processes that were.
    pub fn kill_function(&self, name: &str) -> Result<usize, Error> {
        self.emulators.kill_function(name)
    }

    /// Waits until every observer has said Up once, and nothing is open.
    async fn watched(&self) -> Result<(), Error> {
        crate::observe::until("the observers saying Up, and no run open", Duration::from_secs(60), async || {
            for workload in self.workloads() {
                let snapshot = self.snapshot_of(workload).await.map_err(|error| error.to_string())?;
                let up = |name: &str| snapshot.evidence.observers.get(name).is_some_and(|seen| seen.word == relight::evidence::Word::Up);
                if !(up("watcher") && up("checkers") && snapshot.head.open_run().is_none()) {
                    return Err(format!("{}: {:?}, {:?}", workload.name, snapshot.evidence, snapshot.head.run));
                }
            }
            Ok(())
        })
        .await
    }

    /// Ends every process of the stage, in the order that leaves nobody to restart another.
    pub async fn shutdown(self) {
        let fleets = std::iter::once(self.workload).chain(self.others).map(|workload| workload.fleet);
        ground::end(self.tasks, fleets, self.emulators, self.dns, self.router, self.rds).await;
    }
}

/// A workload on its way up.
#[derive(Clone, Copy)]
struct Rising<'a> {
    ground: &'a Ground,
    site: &'a Site<'a>,
    /// How many came before.
    place: u8,
}

impl Rising<'_> {
    /// Until it is in peace and watched. The fleet is there from the beginning: a process starts as soon as its service stands.
    async fn rise(self, name: &str) -> Result<Workload, Error> {
        let progress = &self.site.options.progress;
        let balancer = async || Balancer::start().await.map(Arc::new).map_err(|source| Error::io("starting a load balancer", source));
        let (primary, standby) = tokio::try_join!(balancer(), balancer())?;
        let entries = Entries { primary, standby };
        let fleet = Arc::new(start_fleet(self.ground, name, &entries)?);
        tell_running(&self.ground.router, &fleet, name);
        let networks = workload::networks(self.site, name).await?;
        for (network, balancer, last) in [(&networks[0], &entries.primary, 1), (&networks[1], &entries.standby, 2)] {
            let [a, b, c] = ADDRESSES;
            let address = Ipv4Addr::new(a, b, c, 2 * self.place + last);
            self.ground.dns.publish(&output(network, "LoadBalancerDns")?, SocketAddr::new(address.into(), balancer.addr().port()));
        }
        let stacks = workload::deploy(self.site, name, networks).await?;
        self.ground.dns.refresh().await.map_err(Error::part("reading Route 53"))?;
        progress("both Regions healthy");
        self.in_peace(&stacks, &entries).await?;
        workload::watch(self.site, name, stacks, entries, fleet).await
    }

    /// Waits until the primary serves, the standby answers, and the replica streams.
    async fn in_peace(self, stacks: &Stacks, entries: &Entries) -> Result<(), Error> {
        let (check, replica) = (output(&stacks.global, "HealthCheckId")?, output(&stacks.replica, "ReplicaId")?);
        crate::observe::until("the workload in peace", Duration::from_secs(45), async || {
            let primary = self.ground.dns.health(&check) == Some(true) && !entries.primary.healthy().is_empty();
            let standby = !entries.standby.healthy().is_empty();
            let mut lag = self.ground.rds.replica_lag().await;
            lag.extend(self.ground.rds.cluster_lag().await);
            let streams = lag.iter().any(|(region, id, seconds)| region == STANDBY && *id == replica && *seconds >= 0.0);
            let serves = answers(entries.primary.addr()).await;
            let seen = format!("primary healthy: {primary}, serves: {serves}, standby healthy: {standby}, replica streams: {streams}, lag {lag:?}");
            if primary && serves && standby && streams { Ok(()) } else { Err(seen) }
        })
        .await
    }
}

/// Whether a health page says 200.
pub(crate) async fn answers(entry: SocketAddr) -> bool {
    let page = relight::aws::dns::Dns::new(None);
    let probe = relight::aws::probe::Probe::new(page);
    matches!(probe.fetch(&format!("http://{entry}/health"), Duration::from_secs(1)).await, relight::ports::Fetched::Answered { status: 200, .. })
}
