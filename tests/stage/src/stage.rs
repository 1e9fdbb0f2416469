//! Starting a stage, breaking it, and ending it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use serde_json::Value;
use stage_app::balancer::Balancer;
use stage_app::fleet::{self, Fleet};
use stage_deploy::Deployer;
use stage_dns::{Dns, Status};
use stage_rds::{Binaries, Rds, Timing};
use stage_router::{Call, Router};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::aws::Clients;
use crate::emulators::{Emulators, free_port};
use crate::groups::Groups;
use crate::layout::Layout;
use crate::workload::{self, Entries, Site, Stacks, Workload, output};
use crate::{ACCOUNT, Error, HEALTH, PRIMARY, STANDBY};

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

/// What a stage may be told.
#[derive(Clone)]
pub struct Options {
    pub speed: Speed,
    /// How far the replica is behind its source.
    pub replication_delay: Duration,
    /// What RDS's metric says of every replica's lag, in seconds, in place of what is measured. -1 is AWS's word for unknown.
    pub lag: Option<f64>,
    /// When a drill and what it made must be gone.
    pub drill_deadline: Duration,
    /// The class that the promoted instance shall have; without one it keeps its own.
    pub instance_class: Option<String>,
    /// Other workloads, each with a Relight of its own, that stand beside the one that the scenes play with.
    pub beside: Vec<String>,
    /// Told what is being done while the stage comes up.
    pub progress: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            speed: Speed::default(),
            replication_delay: Duration::from_secs(2),
            lag: None,
            drill_deadline: Duration::from_secs(600),
            instance_class: None,
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
    tasks: JoinSet<()>,
    _groups: Groups,
}

/// What DNS answers for the load balancers. In AWS no two share an address, and who compares answers relies on it; these are of a range
/// that no network uses. What listens does so on 127.0.0.1, found by its port.
const ADDRESSES: [u8; 3] = [192, 0, 2];

static STAGES: AtomicU32 = AtomicU32::new(0);

impl Stage {
    /// Brings up both Regions in peace: the primary serves, the replica follows, Relight watches.
    pub async fn start(options: Options) -> Result<Stage, Error> {
        let progress = options.progress.clone();
        let layout = Layout::find()?;
        let folder = layout.target.join(format!("stage/{}-{}", std::process::id(), STAGES.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(&folder).map_err(|source| Error::io("making the stage's folder", source))?;
        let groups = Groups::new()?;

        progress("databases, router and emulators");
        let rds = start_rds(&layout, &folder, &groups).await?;
        let (ministack, moto) = (free_port()?, free_port()?);
        let settings = stage_router::Settings {
            account: ACCOUNT.to_owned(),
            ministack,
            moto,
            rds: rds.addr(),
            log_file: folder.join("calls.jsonl"),
            rate_factor: options.speed.waits,
        };
        let router = Router::start(settings).await.map_err(Error::part("starting the router"))?;
        let emulators = Emulators::start(&layout, &folder, router.url(), ministack, moto, &groups).await?;
        let mut tasks = JoinSet::new();
        let dns = start_dns(&router, options.speed, &mut tasks).await?;
        // Buckets have names of their own, by which Route 53's checkers look for STOP.
        let s3 = router.url().trim_start_matches("http://").parse().map_err(Error::part("reading the router's address"))?;
        dns.publish(&format!("*.s3.{STANDBY}.amazonaws.com"), s3);

        progress("the workload in both Regions and Relight's stacks, from their templates");
        for (kind, why) in stage_deploy::ACCEPTED {
            progress(&format!("  accepted, not created: {kind}: {why}"));
        }
        let deployer = Deployer::new(router.url(), ACCOUNT, &layout.venv, layout.target.join("stage/cache"));
        let site =
            Site { layout: &layout, deployer: &deployer, rds: &rds, router: router.url(), dns: dns.addr(), options: &options, folder: &folder };
        let first = Rising { router: &router, dns: &dns, groups: &groups, site: &site, place: 0 };
        let workload = first.rise(workload::FIRST).await?;
        let mut others = Vec::new();
        for (place, name) in (1..).zip(&options.beside) {
            progress(&format!("beside it, the workload {name}"));
            others.push(Rising { place, ..first }.rise(name).await?);
        }
        tasks.spawn(publish_lag(rds.clone(), Clients::new(router.url(), STANDBY), options.speed.shortened(60), options.lag));
        let plan = workload.file.clone();
        let speed = options.speed;
        let stage = Stage { plan, layout, speed, router, rds, dns, workload, others, folder, emulators, tasks, _groups: groups };
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
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        for workload in std::iter::once(self.workload).chain(self.others) {
            if let Ok(fleet) = Arc::try_unwrap(workload.fleet) {
                fleet.shutdown().await;
            }
        }
        self.emulators.shutdown().await;
        self.dns.shutdown().await;
        self.router.shutdown();
        self.rds.shutdown().await;
    }
}

/// A workload on its way up.
#[derive(Clone, Copy)]
struct Rising<'a> {
    site: &'a Site<'a>,
    router: &'a Router,
    dns: &'a Dns,
    groups: &'a Groups,
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
        let fleet = Arc::new(start_fleet(self, name, &entries)?);
        tell_running(self.router, &fleet, name);
        let networks = workload::networks(self.site, name).await?;
        for (network, balancer, last) in [(&networks[0], &entries.primary, 1), (&networks[1], &entries.standby, 2)] {
            let [a, b, c] = ADDRESSES;
            let address = Ipv4Addr::new(a, b, c, 2 * self.place + last);
            self.dns.publish(&output(network, "LoadBalancerDns")?, SocketAddr::new(address.into(), balancer.addr().port()));
        }
        let stacks = workload::deploy(self.site, name, networks).await?;
        self.dns.refresh().await.map_err(Error::part("reading Route 53"))?;
        progress("both Regions healthy");
        self.in_peace(&stacks, &entries).await?;
        workload::watch(self.site, name, stacks, entries, fleet).await
    }

    /// Waits until the primary serves, the standby answers, and the replica streams.
    async fn in_peace(self, stacks: &Stacks, entries: &Entries) -> Result<(), Error> {
        let (check, replica) = (output(&stacks.global, "HealthCheckId")?, output(&stacks.replica, "ReplicaId")?);
        crate::observe::until("the workload in peace", Duration::from_secs(45), async || {
            let primary = self.dns.health(&check) == Some(true) && !entries.primary.healthy().is_empty();
            let standby = !entries.standby.healthy().is_empty();
            let lag = self.site.rds.replica_lag().await;
            let streams = lag.iter().any(|(region, id, seconds)| region == STANDBY && *id == replica && *seconds >= 0.0);
            let serves = answers(entries.primary.addr()).await;
            let seen = format!("primary healthy: {primary}, serves: {serves}, standby healthy: {standby}, replica streams: {streams}, lag {lag:?}");
            if primary && serves && standby && streams { Ok(()) } else { Err(seen) }
        })
        .await
    }
}

/// Whether a health page says 200.
async fn answers(entry: SocketAddr) -> bool {
    let page = relight::aws::dns::Dns::new(None);
    let probe = relight::aws::probe::Probe::new(page);
    matches!(probe.fetch(&format!("http://{entry}/health"), Duration::from_secs(1)).await, relight::ports::Fetched::Answered { status: 200, .. })
}

async fn start_rds(layout: &Layout, folder: &Path, groups: &Groups) -> Result<Rds, Error> {
    let postgres = Binaries::find(Some(&layout.venv)).map_err(Error::part("finding PostgreSQL"))?;
    let groups = groups.clone();
    let settings = stage_rds::Settings {
        account: ACCOUNT.to_owned(),
        data_dir: folder.to_owned(),
        postgres,
        // Not shortened, as CloudWatch's minutes are not: with the time shortened, a primary that dies just before the minute is full would
        // leave a -1 in the one sample that the lag is judged by, which in AWS takes a first Down half a minute late.
        timing: Timing { unheard: Duration::from_secs(30), ..Timing::default() },
        on_spawn: Some(Arc::new(move |group| groups.add(group))),
    };
    Rds::start(settings).await.map_err(Error::part("starting RDS"))
}

async fn start_dns(router: &Router, speed: Speed, tasks: &mut JoinSet<()>) -> Result<Dns, Error> {
    let (sender, receiver) = mpsc::unbounded_channel::<Status>();
    tasks.spawn(crate::alarms::judge(receiver, Clients::new(router.url(), HEALTH)));
    let on_status = move |status: &Status| {
        // The publisher ends with the stage; what is told after that concerns nobody.
        let _ = sender.send(status.clone());
    };
    let settings = stage_dns::Settings { on_status: Arc::new(on_status), ..stage_dns::Settings::new(router.url(), speed.waits) };
    Dns::start(settings).await.map_err(Error::part("starting DNS"))
}

fn start_fleet(rising: Rising<'_>, name: &str, entries: &Entries) -> Result<Fleet, Error> {
    let Site { layout, router, folder, .. } = *rising.site;
    let plan = crate::plan::named(name)?;
    let secret = plan.secrets.iter().find(|secret| secret.rotate).map(|secret| secret.name.clone()).unwrap_or_default();
    let region = |region: &str, balancer: &Arc<Balancer>| {
        let logins = if name == workload::FIRST { format!("logins-{region}.jsonl") } else { format!("logins-{name}-{region}.jsonl") };
        let mut environment = workload::environment(router, region);
        environment.push(("SHOP_SECRET".to_owned(), secret.clone()));
        environment.push(("SHOP_SECRET_TTL".to_owned(), "5".to_owned()));
        environment.push(("SHOP_LOGIN_LOG".to_owned(), folder.join(logins).display().to_string()));
        fleet::Region {
            name: region.to_owned(),
            workload: Some(plan.services[0].cluster.clone()),
            environment,
            balancer: balancer.clone(),
            groups_are_targets: false,
        }
    };
    let groups = rising.groups.clone();
    Ok(Fleet::start(fleet::Settings {
        endpoint: router.to_owned(),
        program: layout.binary("shop"),
        regions: vec![region(PRIMARY, &entries.primary), region(STANDBY, &entries.standby)],
        start_time: Duration::from_secs(1),
        poll: Duration::from_millis(500),
        on_spawn: Arc::new(move |group| groups.add(i32::try_from(group).unwrap_or_default())),
    }))
}

/// DescribeServices tells the number of processes that run, not the number that was asked for.
fn tell_running(router: &Router, fleet: &Arc<Fleet>, name: &str) {
    let (fleet, cluster) = (Arc::downgrade(fleet), format!("/{name}"));
    router.rewrite("ecs", "DescribeServices", move |call: &Call, mut answer: Value| {
        let Some(fleet) = fleet.upgrade() else { return answer };
        for service in answer.get_mut("services").and_then(Value::as_array_mut).into_iter().flatten() {
            let text = |key: &str| service.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            if !text("clusterArn").ends_with(&cluster) {
                continue;
            }
            let running = fleet.running(&call.region, &text("clusterArn"), &text("serviceName"));
            let desired = service.get("desiredCount").and_then(Value::as_u64).unwrap_or_default();
            service["runningCount"] = running.into();
            service["pendingCount"] = desired.saturating_sub(running as u64).into();
            // One deployment at a time on this stage: it runs what the service runs.
            if let Some(deployment) = service.get_mut("deployments").and_then(Value::as_array_mut).and_then(|all| all.first_mut()) {
                deployment["runningCount"] = running.into();
                deployment["pendingCount"] = desired.saturating_sub(running as u64).into();
            }
        }
        answer
    });
}

/// RDS's metric of each replica, in the replica's Region, each minute. The first is there before the stage stands, as in any life before a failure.
async fn publish_lag(rds: Rds, clients: Clients, period: Duration, instead: Option<f64>) {
    loop {
        for (region, replica, measured) in rds.replica_lag().await {
            let seconds = instead.unwrap_or(measured);
            if region != STANDBY {
                continue;
            }
            let dimension = Dimension::builder().name("DBInstanceIdentifier").value(replica).build();
            let datum = MetricDatum::builder().metric_name("ReplicaLag").dimensions(dimension).value(seconds).unit(StandardUnit::Seconds).build();
            let put = clients.metrics.put_metric_data().namespace("AWS/RDS").metric_data(datum).send();
            let _ = tokio::time::timeout(Duration::from_secs(2), put).await;
        }
        tokio::time::sleep(period).await;
    }
}
