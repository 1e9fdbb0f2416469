//! What the stage deploys: the example of infra/ with Relight's own stacks, each from the template that AWS gets.
//!
//! ```text
//! network, both Regions ─┬─► database ─► its users ─► replica
//!                        ├─► application, both Regions
//!                        └─► global (us-east-1), alarms of the primary ─► control stack (standby)
//! in peace: global once more, with its alarm ─► the plan
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use relight::plan::{Engine, Objectives, Plan};
use serde_json::Value;
use stage_app::balancer::Balancer;
use stage_app::fleet::Fleet;
use stage_deploy::{Capability, Deployed, Deployer, Stack};
use stage_rds::{EngineFamily, Rds};
use tokio::process::Command;

use crate::aws::Clients;
use crate::layout::Layout;
use crate::plan::{self, Differences};
use crate::stage::Options;
use crate::{ACCOUNT, Error, HEALTH, PRIMARY, STANDBY};

const EXAMPLE: &str = "infra/examples/pilot-light";
const AURORA: &str = "infra/examples/aurora";
/// Relight's own template.
pub(crate) const CONTROL: &str = "infra/control/template.yaml";

impl Workload {
    /// The one database of the plan, in the primary Region.
    pub fn database_id(&self) -> &str {
        &self.plan.databases[0].primary
    }

    /// Its replica in the standby.
    pub fn replica_id(&self) -> &str {
        &self.plan.databases[0].replica
    }

    /// The secret that applications log in with: the plan's one that is rotated.
    pub fn app_secret(&self) -> &str {
        self.plan.secrets.iter().find(|secret| secret.rotate).map_or("", |secret| &secret.name)
    }

    /// The secret that alters users: the one that the application's names.
    pub fn admin_secret(&self) -> &str {
        self.plan.secrets.iter().find_map(|secret| secret.admin.as_deref()).unwrap_or_default()
    }

    /// The id of the health check over its primary.
    pub fn health_check(&self) -> String {
        self.global.outputs.get("HealthCheckId").cloned().unwrap_or_default()
    }

    /// The name of a deployed function, by the plan's word for it.
    pub fn function(&self, name: &str) -> Result<String, Error> {
        self.deployed(&camel(name))
    }

    /// The name of a function's role, which is what the router calls its caller.
    pub fn role(&self, function: &str) -> Result<String, Error> {
        self.deployed(&format!("{}Role", camel(function)))
    }

    /// The physical id of a resource that infra/control declares.
    pub fn deployed(&self, logical: &str) -> Result<String, Error> {
        physical(&self.control, logical)
    }
}

fn physical(control: &Deployed, logical: &str) -> Result<String, Error> {
    let missing = || Error::Part { doing: "finding a resource", message: format!("infra/control declares no {logical}") };
    control.resources.get(logical).map(|physical| physical.id.clone()).ok_or_else(missing)
}

/// `scale-up` to `ScaleUp`, as the template's logical ids are.
fn camel(name: &str) -> String {
    name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

/// Where the load balancers of a workload listen.
pub(crate) struct Entries {
    pub(crate) primary: Arc<Balancer>,
    pub(crate) standby: Arc<Balancer>,
}

/// One workload with its Relight, by what its stacks gave.
pub struct Workload {
    /// The plan's name, after which everything is named.
    pub name: String,
    /// The network and the load balancer of each Region.
    pub networks: [Deployed; 2],
    pub database: Deployed,
    pub replica: Deployed,
    pub global: Deployed,
    pub control: Deployed,
    /// How the control stack was deployed.
    pub stack: Stack,
    /// The plan in force, and its file.
    pub plan: Plan,
    pub file: PathBuf,
    /// The database within the instance, as the application's secret names it.
    pub database_name: String,
    /// Every password that existed when the stage began, for the test that looks for them in all output.
    pub passwords: Vec<String>,
    pub(crate) entries: Entries,
    pub(crate) fleet: Arc<Fleet>,
}

/// Everything that deploying needs.
pub(crate) struct Site<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) deployer: &'a Deployer,
    pub(crate) rds: &'a Rds,
    pub(crate) router: &'a str,
    pub(crate) dns: SocketAddr,
    pub(crate) options: &'a Options,
    pub(crate) folder: &'a Path,
}

/// The stacks of one workload, before anything runs in them.
pub(crate) struct Stacks {
    networks: [Deployed; 2],
    database: Deployed,
    pub(crate) replica: Deployed,
    pub(crate) global: Deployed,
    control: Deployed,
    stack: Stack,
}

/// The networks of both Regions, the primary's first: load balancers have names from here on.
pub(crate) async fn networks(site: &Site<'_>, name: &str) -> Result<[Deployed; 2], Error> {
    let network = |region: &'static str, addresses: &str| {
        let parameters = [("Network", addresses.to_owned()), ("Protocol", "HTTP".to_owned()), ("Protect", "no".to_owned())];
        site.example(name, "network", region, parameters)
    };
    let (primary, standby) = tokio::try_join!(network(PRIMARY, "10.20"), network(STANDBY, "10.30"))?;
    Ok([primary, standby])
}

/// Everything else, but the alarm over the primary's health check: see [`watch`].
pub(crate) async fn deploy(site: &Site<'_>, name: &str, networks: [Deployed; 2]) -> Result<Stacks, Error> {
    let data = async {
        if site.options.engine == Engine::AuroraPostgres {
            return aurora(site, name).await;
        }
        let of_engine = |wanted: &[&str]| {
            let parameters = if site.options.engine == Engine::MariaDb { MARIADB.as_slice() } else { &[] };
            parameters.iter().filter(|(name, _)| wanted.contains(name)).map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
        };
        let mut parameters = of_engine(&["Engine", "EngineVersion", "ParameterFamily"]);
        parameters.extend([
            ("StandbyRegion", STANDBY.to_owned()),
            ("MultiAz", "false".to_owned()),
            ("Tls", "false".to_owned()),
            ("Protect", "no".to_owned()),
        ]);
        let database = site.example(name, "primary", PRIMARY, parameters).await?;
        users(site, &database).await?;
        let source = output(&database, "DatabaseArn")?;
        let mut parameters = of_engine(&["ParameterFamily"]);
        parameters.extend([
            ("SourceDatabaseArn", source),
            ("PrimaryRegion", PRIMARY.to_owned()),
            ("Tls", "false".to_owned()),
            ("Protect", "no".to_owned()),
        ]);
        let replica = site.example(name, "standby", STANDBY, parameters).await?;
        site.rds.set_delay(STANDBY, &output(&replica, "ReplicaId")?, site.options.replication_delay);
        Ok::<_, Error>((database, replica))
    };
    let applications = async {
        let application = |region, provider: &str, sizes: Sizes| {
            let mut parameters = vec![("Image", "shop".to_owned()), ("CapacityProvider", provider.to_owned())];
            parameters.extend(sizes.map(|(parameter, size)| (parameter, size.to_string())));
            site.example(name, "application", region, parameters)
        };
        tokio::try_join!(application(PRIMARY, "FARGATE", IN_PRIMARY), application(STANDBY, "FARGATE_SPOT", IN_STANDBY))
    };
    let relight = async {
        let (global, alarms) = tokio::try_join!(global(site, name, &networks, false), alarms(site, name, &networks[0]))?;
        let stack = control(site, name, &networks, &global, output(&alarms, "AlarmTopicArn")?)?;
        let control = site.put(&stack).await?;
        Ok::<_, Error>((global, control, stack))
    };
    let ((database, replica), _applications, (global, control, stack)) = tokio::try_join!(data, applications, relight)?;
    Ok(Stacks { networks, database, replica, global, control, stack })
}

/// The two clusters of a global database, in place of the example's instance and its replica.
async fn aurora(site: &Site<'_>, name: &str) -> Result<(Deployed, Deployed), Error> {
    let put = async |template: &str, region: &str, parameters: Vec<(&'static str, String)>| {
        let common = [("Name", name.to_owned()), ("Tls", "false".to_owned()), ("Protect", "no".to_owned())];
        let parameters = parameters.into_iter().chain(common);
        site.stack(&format!("{name}-{template}"), region, &format!("{AURORA}/{template}.yaml"), parameters).await
    };
    let database = put("primary", PRIMARY, vec![("StandbyRegion", STANDBY.to_owned())]).await?;
    users(site, &database).await?;
    let global = output(&database, "GlobalClusterId")?;
    let mut parameters = vec![("PrimaryRegion", PRIMARY.to_owned()), ("GlobalClusterId", global)];
    parameters.extend(site.options.headless.then(|| ("InstanceClass", String::new())));
    let replica = put("standby", STANDBY, parameters).await?;
    site.rds.set_delay(STANDBY, &output(&replica, "ReplicaId")?, site.options.replication_delay);
    Ok((database, replica))
}

/// What the example is told of another engine than its own.
const MARIADB: [(&str, &str); 3] = [("Engine", "mariadb"), ("EngineVersion", "10.11"), ("ParameterFamily", "mariadb10.11")];

type Sizes = [(&'static str, u32); 8];

/// Small, as each task and each instance is a process here.
const IN_PRIMARY: Sizes = [
    ("Tasks", 3),
    ("MinTasks", 3),
    ("MaxTasks", 6),
    ("Workers", 1),
    ("MinWorkers", 1),
    ("MaxWorkers", 2),
    ("OnDemandBase", 1),
    ("OnDemandPercentage", 100),
];
const IN_STANDBY: Sizes = [
    ("Tasks", 1),
    ("MinTasks", 1),
    ("MaxTasks", 2),
    ("Workers", 1),
    ("MinWorkers", 1),
    ("MaxWorkers", 2),
    ("OnDemandBase", 0),
    ("OnDemandPercentage", 0),
];

/// As the group's rules would: who compares the old writer with the new one is let in, and no application is.
pub(crate) fn quarantine(rds: &Rds, network: &Deployed, control: &Deployed) -> Result<(), Error> {
    rds.add_quarantine_group(&output(network, "QuarantineGroupId")?, &[&physical(control, &camel("rotate-secret"))?]);
    Ok(())
}

/// A workload that is in peace is watched from here on: its alarm is made, as who has not yet seen the primary up would suspect it, and its plan
/// is put in force.
pub(crate) async fn watch(site: &Site<'_>, name: &str, stacks: Stacks, entries: Entries, fleet: Arc<Fleet>) -> Result<Workload, Error> {
    let Stacks { networks, database, replica, control, stack, .. } = stacks;
    quarantine(site.rds, &networks[0], &control)?;
    let global = global(site, name, &networks, true).await?;
    let speed = site.options.speed;
    let differences = Differences {
        name: name.to_owned(),
        engine: site.options.engine,
        account: ACCOUNT.to_owned(),
        primary: PRIMARY.to_owned(),
        standby: STANDBY.to_owned(),
        rto: Objectives::default().rto,
        rpo: Objectives::default().rpo,
        quarantine_group: output(&networks[0], "QuarantineGroupId")?,
        home_group: output(&networks[0], "DatabaseGroupId")?,
        users_name: output(&global, "UsersName")?,
        standby_name: output(&global, "StandbyName")?,
        stop_bucket: output(&control, "StopBucketName")?,
        verdict_name: output(&global, "VerdictName")?,
        health_check: output(&global, "HealthCheckId")?,
        alarm: output(&global, "AlarmArn")?,
        primary_entry: entries.primary.addr(),
        standby_entry: entries.standby.addr(),
        hold: speed.hold(),
        deadline: site.options.drill_deadline,
        database: site.options.database.clone(),
        dwell: speed.shortened(60),
        cool_down: speed.shortened(900),
    };
    // The example has none, so no stack of it makes one.
    if let Some(proxy) = site.options.database.get("proxy").and_then(toml::Value::as_str) {
        let family = match site.options.engine {
            Engine::Postgres | Engine::AuroraPostgres => EngineFamily::PostgreSql,
            Engine::MySql | Engine::MariaDb => EngineFamily::MySql,
        };
        site.rds.create_proxy(STANDBY, proxy, family).map_err(Error::part("making a proxy"))?;
    }
    let text = plan::text(&differences)?;
    let plan = Plan::parse(&text).map_err(|mistakes| Error::Part { doing: "reading the stage's plan", message: mistakes.to_string() })?;
    let file = site.folder.join(if name == FIRST { "relight.toml".to_owned() } else { format!("{name}.toml") });
    std::fs::write(&file, text).map_err(|source| Error::io("writing the stage's plan", source))?;
    put_plan(site.layout, site.router, &output(&control, "JournalTable")?, &file, &[]).await?;
    let (admin, app) = tokio::try_join!(secret(site, &database, "AdminSecretName"), secret(site, &database, "AppSecretName"))?;
    let passwords = [&admin, &app].iter().filter_map(|value| value["password"].as_str().map(str::to_owned)).collect();
    let database_name = app["dbname"].as_str().unwrap_or_default().to_owned();
    Ok(Workload { name: name.to_owned(), networks, database, replica, global, control, stack, plan, file, database_name, passwords, entries, fleet })
}

/// The name of the workload that is always there.
pub(crate) const FIRST: &str = "shop";

async fn global(site: &Site<'_>, name: &str, networks: &[Deployed; 2], watches: bool) -> Result<Deployed, Error> {
    let parameters = [
        ("PlanName", name.to_owned()),
        ("StandbyRegion", STANDBY.to_owned()),
        ("DomainName", format!("{name}.example")),
        ("PrimaryHost", output(&networks[0], "LoadBalancerDns")?),
        ("StandbyHost", output(&networks[1], "LoadBalancerDns")?),
        ("Protocol", "HTTP".to_owned()),
        ("PrimaryServes", if watches { "yes" } else { "no" }.to_owned()),
    ];
    site.stack(&format!("{name}-global"), HEALTH, "infra/global/template.yaml", parameters).await
}

async fn alarms(site: &Site<'_>, name: &str, network: &Deployed) -> Result<Deployed, Error> {
    let plan = plan::named(name, site.options.engine)?;
    let parameters = [
        ("PlanName", name.to_owned()),
        ("StandbyRegion", STANDBY.to_owned()),
        ("LoadBalancer", output(network, "LoadBalancerName")?),
        ("TargetGroup", output(network, "TargetGroupName")?),
        ("Cluster", plan.services[0].cluster.clone()),
        ("Service", plan.services[0].name.clone()),
        ("Group", plan.groups[0].name.clone()),
        ("Database", instance(&plan, &plan.databases[0].primary)),
    ];
    site.stack(&format!("{name}-alarms"), PRIMARY, "infra/primary/template.yaml", parameters).await
}

/// Its parameters are the plan's names, which are there before the stacks are: what it may touch needs not stand yet.
fn control(site: &Site<'_>, name: &str, networks: &[Deployed; 2], global: &Deployed, alarm_topic: String) -> Result<Stack, Error> {
    let mut plan = plan::named(name, site.options.engine)?;
    // As far as the stack depends on it.
    plan.databases[0].proxy = site.options.database.get("proxy").and_then(toml::Value::as_str).map(str::to_owned);
    let of_plan = relight::plan::stack::parameters(&plan).map_err(Error::part("reading the example's plan"))?;
    let besides = [
        ("Architecture", "x86_64".to_owned()),
        ("HealthTopicArn", output(global, "TopicArn")?),
        ("AlarmTopicArn", alarm_topic),
        ("LoadBalancer", output(&networks[1], "LoadBalancerName")?),
        ("TargetGroup", output(&networks[1], "TargetGroupName")?),
        ("Cluster", plan.services[0].cluster.clone()),
        ("Service", plan.services[0].name.clone()),
        ("Group", plan.groups[0].name.clone()),
        ("Database", instance(&plan, &plan.databases[0].replica)),
        ("PrimaryLoadBalancer", output(&networks[0], "LoadBalancerName")?),
        ("PrimaryDatabase", instance(&plan, &plan.databases[0].primary)),
        ("HealthCheckId", output(global, "HealthCheckId")?),
        ("ResolverAddress", site.dns.to_string()),
        ("ProtectTable", "no".to_owned()),
    ];
    let parameters = of_plan.into_iter().map(|parameter| (parameter.name, parameter.value)).chain(besides);
    Ok(site.template(&format!("{name}-relight"), STANDBY, CONTROL, parameters))
}

/// The templates' alarms and graphs are of instances: a cluster has none of theirs.
fn instance(plan: &Plan, name: &str) -> String {
    if plan.databases[0].is_global() { String::new() } else { name.to_owned() }
}

impl Site<'_> {
    /// A template of the example, in one Region.
    async fn example(
        &self,
        name: &str,
        template: &str,
        region: &str,
        parameters: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Deployed, Error> {
        let parameters = parameters.into_iter().chain([("Name", name.to_owned())]);
        self.stack(&format!("{name}-{template}"), region, &format!("{EXAMPLE}/{template}.yaml"), parameters).await
    }

    pub(crate) async fn stack(
        &self,
        name: &str,
        region: &str,
        template: &str,
        parameters: impl IntoIterator<Item = (impl Into<String>, String)>,
    ) -> Result<Deployed, Error> {
        self.put(&self.template(name, region, template, parameters)).await
    }

    fn template(&self, name: &str, region: &str, template: &str, parameters: impl IntoIterator<Item = (impl Into<String>, String)>) -> Stack {
        let binaries = self.layout.binaries.clone();
        Stack {
            name: name.to_owned(),
            region: region.to_owned(),
            template: self.layout.template(template),
            parameters: parameters.into_iter().map(|(name, value)| (name.into(), value)).collect::<BTreeMap<_, _>>(),
            capabilities: [Capability::Iam].into(),
            code: Arc::new(move |function: &str| binaries.join(function)),
        }
    }

    async fn put(&self, stack: &Stack) -> Result<Deployed, Error> {
        let failed = |error| Error::Part { doing: "deploying a template", message: format!("{}: {error}", stack.name) };
        self.deployer.deploy(stack).await.map_err(failed)
    }
}

/// The application's own user, as the example's README has its owner make it.
pub(crate) async fn users(site: &Site<'_>, database: &Deployed) -> Result<(), Error> {
    let (app, admin) = tokio::try_join!(secret(site, database, "AppSecretName"), secret(site, database, "AdminSecretName"))?;
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let (user, owner) = (text(&app, "username"), text(&admin, "username"));
    let password = text(&app, "password").replace('\'', "''");
    let statements = match site.options.engine {
        Engine::Postgres | Engine::AuroraPostgres => vec![
            format!("create role {user} login password '{password}'"),
            format!("grant create, usage on schema public to {user}"),
            format!("grant {user} to {owner} with admin option"),
        ],
        Engine::MySql | Engine::MariaDb => vec![
            format!("create user {user}@'%' identified by '{password}'"),
            format!("grant select, insert, update, delete, create, alter, index on {}.* to {user}@'%'", text(&app, "dbname")),
        ],
    };
    let id = output(database, "DatabaseId")?;
    for statement in statements {
        site.rds
            .sql(&site.options.regions.primary, &id, &text(&app, "dbname"), &statement)
            .await
            .map_err(Error::part("making the application's database user"))?;
    }
    Ok(())
}

/// A secret of the primary Region that an output of the database's stack names.
async fn secret(site: &Site<'_>, database: &Deployed, name: &str) -> Result<Value, Error> {
    let secrets = Clients::new(site.router, &site.options.regions.primary).secrets;
    let answer = secrets.get_secret_value().secret_id(output(database, name)?).send().await.map_err(Error::part("reading a secret"))?;
    Ok(answer.secret_string().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
}

/// As an operator puts it, with more arguments of `relight plan put`.
pub(crate) async fn put_plan(layout: &Layout, endpoint: &str, table: &str, plan: &Path, more: &[&str]) -> Result<String, Error> {
    let mut command = Command::new(layout.binary("relight"));
    command
        .args(["plan", "put"])
        .arg(plan)
        .args(["--table", table])
        .args(more)
        .envs(environment(endpoint, STANDBY))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(|source| Error::io("running `relight plan put`", source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(Error::Part { doing: "putting the plan", message: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// What points any AWS tool at the stage.
pub fn environment(endpoint: &str, region: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// An output of a template.
pub(crate) fn output(deployed: &Deployed, name: &str) -> Result<String, Error> {
    deployed
        .outputs
        .get(name)
        .cloned()
        .ok_or_else(|| Error::Part { doing: "reading a template's outputs", message: format!("there is no output `{name}`") })
}
