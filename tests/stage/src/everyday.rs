//! A stage that begins as an empty account and is told step by step what to do, for the everyday commands: `infra/everyday.py` says the same
//! steps to AWS and to this.
//!
//! ```text
//! make deploy-primary ─► infra/everyday.py ─ one line of JSON ─► here: deploy │ plan │ health │ outage ─► one line back
//! ```
//! What AWS does by itself when something is deployed is done here after it: a load balancer gets its name, a database its link.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};
use stage_app::balancer::Balancer;
use stage_app::fleet::{Darkness, Fleet};
use stage_deploy::Deployed;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::ground::{Ground, start_fleet, tell_running};
use crate::plan::{self, Differences};
use crate::stage::{Options, answers};
use crate::workload::{Entries, environment, output, users};
use crate::{ACCOUNT, Error};

/// What a stage of its own is for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The plan's name, after which everything is named.
    pub name: String,
    pub domain: String,
    pub rto: SignedDuration,
    pub rpo: SignedDuration,
}

/// What it can be told.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Order {
    Deploy {
        stack: String,
        region: String,
        template: String,
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
    /// The plan's text over what is deployed.
    Plan,
    /// Who answers what.
    Health,
    /// The primary Region becomes a black hole.
    Outage,
}

/// An account with what was deployed into it.
pub struct Everyday {
    settings: Settings,
    ground: Ground,
    entries: Entries,
    fleet: Arc<Fleet>,
    stacks: BTreeMap<String, Deployed>,
    listener: TcpListener,
}

impl Everyday {
    pub async fn start(settings: Settings, options: Options) -> Result<Everyday, Error> {
        let ground = Ground::start(options).await?;
        let listening = |source| Error::io("listening", source);
        let balancer = async || Balancer::start().await.map(Arc::new).map_err(|source| Error::io("starting a load balancer", source));
        let (primary, standby) = tokio::try_join!(balancer(), balancer())?;
        let entries = Entries { primary, standby };
        let fleet = Arc::new(start_fleet(&ground, &settings.name, &entries)?);
        tell_running(&ground.router, &fleet, &settings.name);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(listening)?;
        Ok(Everyday { settings, ground, entries, fleet, stacks: BTreeMap::new(), listener })
    }

    /// Says in a file how to reach it.
    pub fn announce(&self, file: &Path) -> Result<(), Error> {
        let standby = &self.ground.options.regions.standby;
        let environment: BTreeMap<String, String> = environment(self.ground.router.url(), standby).into_iter().collect();
        let address = self.listener.local_addr().map_err(|source| Error::io("listening", source))?;
        let up = json!({
            "pid": std::process::id(), "address": address.to_string(), "environment": environment, "folder": self.ground.folder,
            "dns": self.ground.dns.addr().to_string(),
        });
        // Whole or not at all: whoever waits for the file reads it at once.
        let half = file.with_extension("half");
        std::fs::write(&half, up.to_string())
            .and_then(|()| std::fs::rename(&half, file))
            .map_err(|source| Error::io("writing the stage's file", source))
    }

    /// Follows orders, one after the other, for ever.
    pub async fn serve(&mut self) {
        loop {
            let Ok((connection, _)) = self.listener.accept().await else { continue };
            // Whoever asks and goes away before the answer has no use for it.
            let _ = self.answer(connection).await;
        }
    }

    async fn answer(&mut self, connection: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = connection.into_split();
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).await?;
        let answer = match serde_json::from_str(&line) {
            Ok(order) => self.follow(order).await,
            Err(error) => Err(Error::Part { doing: "reading an order", message: error.to_string() }),
        };
        let answer = answer.unwrap_or_else(|error| json!({ "error": error.to_string() }));
        writer.write_all(format!("{answer}\n").as_bytes()).await
    }

    async fn follow(&mut self, order: Order) -> Result<Value, Error> {
        match order {
            Order::Deploy { stack, region, template, parameters } => self.deploy(&stack, &region, &template, parameters).await,
            Order::Plan => Ok(json!({ "plan": self.plan()? })),
            Order::Health => Ok(self.health().await),
            Order::Outage => {
                self.outage().await;
                Ok(json!({}))
            }
        }
    }

    async fn deploy(&mut self, stack: &str, region: &str, template: &str, mut parameters: BTreeMap<String, String>) -> Result<Value, Error> {
        let site = self.ground.site();
        if template == crate::workload::CONTROL {
            parameters.insert("ResolverAddress".to_owned(), self.ground.dns.addr().to_string());
        }
        let deployed = site.stack(stack, region, template, parameters).await?;
        self.follow_up(region, template, &deployed).await?;
        let answer = json!({ "outputs": deployed.outputs, "resources": deployed.resources.len() });
        self.stacks.insert(format!("{region}/{stack}"), deployed);
        Ok(answer)
    }

    /// What AWS does by itself once something stands.
    async fn follow_up(&self, region: &str, template: &str, deployed: &Deployed) -> Result<(), Error> {
        let regions = &self.ground.options.regions;
        match template.rsplit('/').next() {
            Some("network.yaml") => {
                let (balancer, last) = if region == regions.primary { (&self.entries.primary, 1) } else { (&self.entries.standby, 2) };
                let address = SocketAddr::new(Ipv4Addr::new(192, 0, 2, last).into(), balancer.addr().port());
                self.ground.dns.publish(&output(deployed, "LoadBalancerDns")?, address);
            }
            _ if template == crate::workload::CONTROL => {
                crate::workload::quarantine(&self.ground.rds, self.stack(&regions.primary, "network")?, deployed)?;
            }
            // Its owner makes the application's user, from within the VPC.
            Some("primary.yaml") => users(&self.ground.site(), deployed).await?,
            Some("standby.yaml") => self.ground.rds.set_delay(region, &output(deployed, "ReplicaId")?, self.ground.options.replication_delay),
            _ => {}
        }
        self.ground.dns.refresh().await.map_err(Error::part("reading Route 53"))
    }

    fn stack(&self, region: &str, suffix: &str) -> Result<&Deployed, Error> {
        let name = format!("{region}/{}-{suffix}", self.settings.name);
        self.stacks.get(&name).ok_or_else(|| Error::Part { doing: "writing the plan", message: format!("the stack {name} is not deployed") })
    }

    fn plan(&self) -> Result<String, Error> {
        let regions = &self.ground.options.regions;
        let speed = self.ground.options.speed;
        let (network, global, control) =
            (self.stack(&regions.primary, "network")?, self.stack(crate::HEALTH, "global")?, self.stack(&regions.standby, "relight")?);
        plan::text(&Differences {
            engine: relight::plan::Engine::Postgres,
            name: self.settings.name.clone(),
            account: ACCOUNT.to_owned(),
            primary: regions.primary.clone(),
            standby: regions.standby.clone(),
            rto: self.settings.rto,
            rpo: self.settings.rpo,
            quarantine_group: output(network, "QuarantineGroupId")?,
            home_group: output(network, "DatabaseGroupId")?,
            users_name: output(global, "UsersName")?,
            standby_name: output(global, "StandbyName")?,
            stop_bucket: output(control, "StopBucketName")?,
            verdict_name: output(global, "VerdictName")?,
            health_check: output(global, "HealthCheckId")?,
            alarm: output(global, "AlarmArn")?,
            primary_entry: self.entries.primary.addr(),
            standby_entry: self.entries.standby.addr(),
            hold: speed.hold(),
            deadline: self.ground.options.drill_deadline,
            database: self.ground.options.database.clone(),
            dwell: speed.shortened(60),
            cool_down: speed.shortened(900),
        })
    }

    /// The health page of each Region, the checkers' verdict, where users' name leads, and how far the replica is behind.
    async fn health(&self) -> Value {
        let regions = &self.ground.options.regions;
        let (primary, standby) = tokio::join!(answers(self.entries.primary.addr()), answers(self.entries.standby.addr()));
        let check = self.stack(crate::HEALTH, "global").ok().and_then(|global| output(global, "HealthCheckId").ok());
        let users = stage_dns::Resolver::new(self.ground.dns.addr()).resolve_http(&format!("www.{}", self.settings.domain)).await;
        let users = users.ok().map(|entry| match entry.port() {
            port if port == self.entries.primary.addr().port() => "primary",
            port if port == self.entries.standby.addr().port() => "standby",
            _ => "nobody",
        });
        let lag: Vec<f64> =
            self.ground.rds.replica_lag().await.into_iter().filter(|(region, _, _)| *region == regions.standby).map(|(_, _, lag)| lag).collect();
        json!({
            "primary": primary, "standby": standby, "checkers": check.and_then(|check| self.ground.dns.health(&check)), "users": users,
            "replica_lag": lag.first(),
        })
    }

    async fn outage(&self) {
        let primary = &self.ground.options.regions.primary;
        self.ground.router.dark(primary, true);
        self.entries.primary.dark(true);
        self.fleet.dark(primary, Some(Darkness::Killed));
        self.ground.rds.dark(primary, stage_rds::Darkness::Killed).await;
    }

    pub async fn shutdown(self) {
        self.ground.shutdown(self.fleet).await;
    }
}
