//! What stands before anything is deployed: databases, the router, the emulators behind it, and Route 53's data plane.

use std::collections::BTreeSet;
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
use stage_rds::{Binaries, MariaDbBinaries, Rds, Timing};
use stage_router::{Call, Router};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::aws::Clients;
use crate::emulators::{Emulators, free_port};
use crate::groups::Groups;
use crate::layout::Layout;
use crate::stage::{Options, Regions, Speed};
use crate::workload::{self, Entries, Site};
use crate::{ACCOUNT, Error, HEALTH};

static STAGES: AtomicU32 = AtomicU32::new(0);

/// An empty account with two Regions. Everything that it started ends with [`Ground::shutdown`], and if that is never called, with its process.
pub(crate) struct Ground {
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    /// Logs, data and the plan of this stage.
    pub(crate) folder: PathBuf,
    pub(crate) router: Router,
    pub(crate) rds: Rds,
    pub(crate) dns: Dns,
    pub(crate) deployer: Deployer,
    pub(crate) emulators: Emulators,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) groups: Groups,
}

impl Ground {
    pub(crate) async fn start(options: Options) -> Result<Ground, Error> {
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
        let standby = &options.regions.standby;
        dns.publish(&format!("*.s3.{standby}.amazonaws.com"), s3);
        let clients = Clients::new(router.url(), standby);
        tasks.spawn(publish_lag(rds.clone(), clients, standby.clone(), options.speed.shortened(60), options.lag));
        let deployer = Deployer::new(router.url(), ACCOUNT, &layout.venv, layout.target.join("stage/cache"));
        Ok(Ground { layout, options, folder, router, rds, dns, deployer, emulators, tasks, groups })
    }

    /// What deploying needs of it.
    pub(crate) fn site(&self) -> Site<'_> {
        Site {
            layout: &self.layout,
            deployer: &self.deployer,
            rds: &self.rds,
            router: self.router.url(),
            dns: self.dns.addr(),
            options: &self.options,
            folder: &self.folder,
        }
    }

    pub(crate) async fn shutdown(self, fleet: Arc<Fleet>) {
        end(self.tasks, [fleet], self.emulators, self.dns, self.router, self.rds).await;
    }
}

/// Ends every process, in the order that leaves nobody to restart another.
pub(crate) async fn end(
    mut tasks: JoinSet<()>,
    fleets: impl IntoIterator<Item = Arc<Fleet>>,
    mut emulators: Emulators,
    dns: Dns,
    router: Router,
    rds: Rds,
) {
    tasks.shutdown().await;
    for fleet in fleets {
        if let Ok(fleet) = Arc::try_unwrap(fleet) {
            fleet.shutdown().await;
        }
    }
    emulators.shutdown().await;
    dns.shutdown().await;
    router.shutdown();
    rds.shutdown().await;
}

async fn start_rds(layout: &Layout, folder: &Path, groups: &Groups) -> Result<Rds, Error> {
    let postgres = Binaries::find(Some(&layout.venv)).map_err(Error::part("finding PostgreSQL"))?;
    let groups = groups.clone();
    let settings = stage_rds::Settings {
        account: ACCOUNT.to_owned(),
        data_dir: folder.to_owned(),
        postgres,
        // A stage whose plan is PostgreSQL's needs none.
        mariadb: MariaDbBinaries::find().ok(),
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

/// The application's processes in both Regions: each starts as soon as its service or group stands.
pub(crate) fn start_fleet(ground: &Ground, name: &str, entries: &Entries) -> Result<Fleet, Error> {
    let Ground { layout, folder, .. } = ground;
    let (router, Regions { primary, standby }) = (ground.router.url(), &ground.options.regions);
    let plan = crate::plan::named(name, ground.options.engine)?;
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
    let groups = ground.groups.clone();
    Ok(Fleet::start(fleet::Settings {
        endpoint: router.to_owned(),
        program: layout.binary("shop"),
        regions: vec![region(primary, &entries.primary), region(standby, &entries.standby)],
        start_time: Duration::from_secs(1),
        poll: Duration::from_millis(500),
        on_spawn: Arc::new(move |group| groups.add(i32::try_from(group).unwrap_or_default())),
    }))
}

/// DescribeServices tells the number of processes that run, not the number that was asked for.
pub(crate) fn tell_running(router: &Router, fleet: &Arc<Fleet>, name: &str) {
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

/// RDS's metric of each replica, in the replica's Region, each minute from its first measurement on: the first is there before the stage stands, as
/// in any life before a failure.
async fn publish_lag(rds: Rds, clients: Clients, standby: String, period: Duration, instead: Option<f64>) {
    let mut known = BTreeSet::new();
    loop {
        for (region, replica, measured) in rds.replica_lag().await {
            let seconds = instead.unwrap_or(measured);
            if region != standby || (measured < 0.0 && !known.contains(&replica)) {
                continue;
            }
            known.insert(replica.clone());
            let dimension = Dimension::builder().name("DBInstanceIdentifier").value(replica).build();
            let datum = MetricDatum::builder().metric_name("ReplicaLag").dimensions(dimension).value(seconds).unit(StandardUnit::Seconds).build();
            let put = clients.metrics.put_metric_data().namespace("AWS/RDS").metric_data(datum).send();
            let _ = tokio::time::timeout(Duration::from_secs(2), put).await;
        }
        for (region, cluster, measured) in rds.cluster_lag().await {
            let seconds = instead.unwrap_or(measured);
            if region != standby || (measured < 0.0 && !known.contains(&cluster)) {
                continue;
            }
            known.insert(cluster.clone());
            // Aurora says milliseconds.
            for metric in ["AuroraGlobalDBRPOLag", "AuroraGlobalDBReplicationLag"] {
                let dimension = Dimension::builder().name("DBClusterIdentifier").value(&cluster).build();
                let datum = MetricDatum::builder().metric_name(metric).dimensions(dimension).value(seconds * 1000.0).unit(StandardUnit::Milliseconds);
                let put = clients.metrics.put_metric_data().namespace("AWS/RDS").metric_data(datum.build()).send();
                let _ = tokio::time::timeout(Duration::from_secs(2), put).await;
            }
        }
        tokio::time::sleep(period).await;
    }
}
