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
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::aws::Clients;
use crate::emulators::{Emulators, free_port};
use crate::groups::Groups;
use crate::layout::Layout;
use crate::workload::{self, Entries, Workload};
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
    pub workload: Workload,
    /// Logs, data and the plan of this stage.
    pub folder: PathBuf,
    /// The plan in force, as a file.
    pub plan: PathBuf,
    primary: Arc<Balancer>,
    standby: Arc<Balancer>,
    fleet: Option<Arc<Fleet>>,
    emulators: Emulators,
    tasks: JoinSet<()>,
    _groups: Groups,
}

/// What DNS answers for the load balancers. In AWS no two share an address, and who compares answers relies on it; these are of a range
/// that no network uses. What listens does so on 127.0.0.1, found by its port.
const PRIMARY_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const STANDBY_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

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
        let balancer = async || Balancer::start().await.map(Arc::new).map_err(|source| Error::io("starting a load balancer", source));
        let (primary, standby) = tokio::try_join!(balancer(), balancer())?;
        let mut tasks = JoinSet::new();
        let (peace, in_peace) = watch::channel(false);
        let dns = start_dns(&router, options.speed, in_peace, &mut tasks).await?;
        dns.publish("primary.elb.example", SocketAddr::new(PRIMARY_ADDRESS.into(), primary.addr().port()));
        dns.publish("standby.elb.example", SocketAddr::new(STANDBY_ADDRESS.into(), standby.addr().port()));

        progress("the workload in both Regions and Relight's control stack, from their templates");
        let deployer = Deployer::new(router.url(), ACCOUNT, &layout.venv, layout.target.join("stage/cache"));
        let entries =
            Entries { router: router.url().to_owned(), dns: dns.addr().to_string(), primary_port: primary.addr().port(), standby: standby.addr() };
        rds.add_quarantine_group("sg-0a1b2c3d4e5f60718", &["shop-relight-rotate-secret"]);
        let workload = workload::deploy(&layout, &deployer, &rds, &entries).await?;
        rds.set_delay(STANDBY, "shop-orders-replica", options.replication_delay);
        dns.refresh().await.map_err(Error::part("reading Route 53"))?;

        progress("the application, as many processes as services and groups run");
        let fleet = Arc::new(start_fleet(&layout, &router, &folder, &primary, &standby, &groups));
        tell_running(&router, &fleet);
        tasks.spawn(publish_lag(rds.clone(), Clients::new(router.url(), STANDBY), options.speed.shortened(60), options.lag));
        let mut stage = Stage {
            plan: PathBuf::new(),
            layout,
            speed: options.speed,
            router,
            rds,
            dns,
            workload,
            folder,
            primary,
            standby,
            fleet: Some(fleet),
            emulators,
            tasks,
            _groups: groups,
        };
        progress("both Regions healthy, the watcher looking");
        stage.in_peace().await?;
        peace.send_replace(true);
        put_health(&stage.clients(HEALTH), &stage.workload.health_check, true).await;
        stage.plan = workload::watch(&stage.layout, &deployer, &stage.workload, &entries, &options, &stage.folder).await?;
        stage.watched().await?;
        Ok(stage)
    }

    /// The primary Region becomes a black hole: its servers are killed, its endpoints accept and answer nothing.
    pub async fn lose_primary(&self) {
        self.router.dark(PRIMARY, true);
        self.primary.dark(true);
        if let Some(fleet) = &self.fleet {
            fleet.dark(PRIMARY, Some(fleet::Darkness::Killed));
        }
        self.rds.dark(PRIMARY, stage_rds::Darkness::Killed).await;
    }

    /// The primary Region is there again, with what it had on its disks.
    pub async fn return_primary(&self) -> Result<(), Error> {
        self.rds.restore(PRIMARY).await.map_err(Error::part("starting the primary's databases again"))?;
        self.router.dark(PRIMARY, false);
        self.primary.dark(false);
        if let Some(fleet) = &self.fleet {
            fleet.dark(PRIMARY, None);
        }
        Ok(())
    }

    /// Users do not reach the primary for a while, though it lives: the application's entry is dark, nothing else.
    pub fn hide_primary(&self, hidden: bool) {
        self.primary.dark(hidden);
    }

    pub fn clients(&self, region: &str) -> Clients {
        Clients::new(self.router.url(), region)
    }

    pub fn dns_addr(&self) -> SocketAddr {
        self.dns.addr()
    }

    /// The name of a deployed function, by the plan's word for it.
    pub fn function(&self, name: &str) -> Result<String, Error> {
        let camel: String = name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        self.deployed(&camel)
    }

    /// The physical id of a resource that infra/control declares.
    fn deployed(&self, logical: &str) -> Result<String, Error> {
        let missing = || Error::Part { doing: "finding a resource", message: format!("infra/control declares no {logical}") };
        self.workload.control.resources.get(logical).map(|physical| physical.id.clone()).ok_or_else(missing)
    }

    /// The drill's schedule fires now, as it would on the first Monday.
    pub async fn fire_drill(&self) -> Result<(), Error> {
        let schedule = self.deployed("MonthlyDrillDrill")?;
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

    /// Waits until the primary serves, the standby answers, and the replica streams.
    async fn in_peace(&self) -> Result<(), Error> {
        let check = self.workload.health_check.clone();
        crate::observe::until("the workload in peace", Duration::from_secs(45), async || {
            let primary = self.dns.health(&check) == Some(true) && !self.primary.healthy().is_empty();
            let standby = !self.standby.healthy().is_empty();
            let lag = self.rds.replica_lag().await;
            let streams = lag.iter().any(|(region, _, seconds)| region == STANDBY && *seconds >= 0.0);
            let seen = format!("primary healthy: {primary}, standby healthy: {standby}, replica streams: {streams}, lag {lag:?}");
            if primary && standby && streams { Ok(()) } else { Err(seen) }
        })
        .await
    }

    /// Waits until every observer has said Up once, and nothing is open.
    async fn watched(&self) -> Result<(), Error> {
        crate::observe::until("the observers saying Up, and no run open", Duration::from_secs(60), async || {
            let snapshot = self.snapshot().await.map_err(|error| error.to_string())?;
            let up = |name: &str| snapshot.evidence.observers.get(name).is_some_and(|seen| seen.word == relight::evidence::Word::Up);
            let peace = up("watcher") && up("checkers") && snapshot.head.open_run().is_none();
            if peace { Ok(()) } else { Err(format!("{:?}, {:?}", snapshot.evidence, snapshot.head.run)) }
        })
        .await
    }

    /// Ends every process of the stage, in the order that leaves nobody to restart another.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        if let Some(fleet) = self.fleet.take().and_then(|fleet| Arc::try_unwrap(fleet).ok()) {
            fleet.shutdown().await;
        }
        self.emulators.shutdown().await;
        self.dns.shutdown().await;
        self.router.shutdown();
        self.rds.shutdown().await;
    }
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

async fn start_dns(router: &Router, speed: Speed, in_peace: watch::Receiver<bool>, tasks: &mut JoinSet<()>) -> Result<Dns, Error> {
    let (sender, receiver) = mpsc::unbounded_channel::<Status>();
    tasks.spawn(publish_health(receiver, in_peace, Clients::new(router.url(), HEALTH)));
    let on_status = move |status: &Status| {
        // The publisher ends with the stage; what is told after that concerns nobody.
        let _ = sender.send(status.clone());
    };
    let settings = stage_dns::Settings { on_status: Arc::new(on_status), ..stage_dns::Settings::new(router.url(), speed.waits) };
    Dns::start(settings).await.map_err(Error::part("starting DNS"))
}

fn start_fleet(layout: &Layout, router: &Router, folder: &Path, primary: &Arc<Balancer>, standby: &Arc<Balancer>, groups: &Groups) -> Fleet {
    let region = |name: &str, balancer: &Arc<Balancer>| {
        let mut environment = workload::environment(router.url(), name);
        environment.push(("SHOP_SECRET".to_owned(), "shop/orders/app".to_owned()));
        environment.push(("SHOP_SECRET_TTL".to_owned(), "5".to_owned()));
        environment.push(("SHOP_LOGIN_LOG".to_owned(), folder.join(format!("logins-{name}.jsonl")).display().to_string()));
        fleet::Region { name: name.to_owned(), environment, balancer: balancer.clone(), groups_are_targets: false }
    };
    let groups = groups.clone();
    Fleet::start(fleet::Settings {
        endpoint: router.url().to_owned(),
        program: layout.binary("shop"),
        regions: vec![region(PRIMARY, primary), region(STANDBY, standby)],
        start_time: Duration::from_secs(1),
        poll: Duration::from_millis(500),
        on_spawn: Arc::new(move |group| groups.add(i32::try_from(group).unwrap_or_default())),
    })
}

/// DescribeServices tells the number of processes that run, not the number that was asked for.
fn tell_running(router: &Router, fleet: &Arc<Fleet>) {
    let fleet = Arc::downgrade(fleet);
    router.rewrite("ecs", "DescribeServices", move |call: &Call, mut answer: Value| {
        let Some(fleet) = fleet.upgrade() else { return answer };
        for service in answer.get_mut("services").and_then(Value::as_array_mut).into_iter().flatten() {
            let text = |key: &str| service.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
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

/// Route 53's metrics, as it puts them into CloudWatch in us-east-1 each minute, from when the workload is in peace: an alarm looks at the
/// whole last minute, and whoever adopts Relight has a primary that has been healthy for longer.
async fn publish_health(mut statuses: mpsc::UnboundedReceiver<Status>, in_peace: watch::Receiver<bool>, clients: Clients) {
    while let Some(status) = statuses.recv().await {
        if *in_peace.borrow() {
            put_health(&clients, &status.check_id, status.healthy).await;
        }
    }
}

async fn put_health(clients: &Clients, check: &str, healthy: bool) {
    let dimension = Dimension::builder().name("HealthCheckId").value(check).build();
    let value = f64::from(u8::from(healthy));
    let datum = MetricDatum::builder().metric_name("HealthCheckStatus").dimensions(dimension).value(value).unit(StandardUnit::None).build();
    // A dark us-east-1 takes its metrics with it.
    let put = clients.metrics.put_metric_data().namespace("AWS/Route53").metric_data(datum).send();
    let _ = tokio::time::timeout(Duration::from_secs(2), put).await;
}

/// RDS's metric of each replica, in the replica's Region, each minute.
async fn publish_lag(rds: Rds, clients: Clients, period: Duration, instead: Option<f64>) {
    loop {
        tokio::time::sleep(period).await;
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
    }
}
