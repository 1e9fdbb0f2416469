//! What the stage deploys: the workload in both Regions, its names, and Relight's control stack between them.
//!
//! ```text
//! health check, alarm, topic (us-east-1) ─┐
//! workload of the primary ─► its users ───┴─► control stack (standby) ─► names ─► the plan
//!                         └─► workload of the standby: replica, pilot light
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use stage_deploy::{Deployed, Deployer, Stack};
use stage_rds::Rds;
use tokio::process::Command;
use uuid::Uuid;

use crate::layout::Layout;
use crate::stage::Options;
use crate::{ACCOUNT, Error, HEALTH, PRIMARY, STANDBY};

/// The database that the shop writes to.
pub(crate) const DATABASE: &str = "shop";

/// Where the parts that stand before the deployment answer.
pub(crate) struct Entries {
    pub(crate) router: String,
    pub(crate) dns: String,
    pub(crate) primary_port: u16,
    pub(crate) standby: SocketAddr,
}

/// What was deployed, by its outputs.
pub struct Workload {
    pub control: Deployed,
    pub health_check: String,
    topic: String,
    stop_bucket: String,
    /// Every password that existed when the stage began, for the test that looks for them in all output.
    pub passwords: Vec<String>,
}

/// Deploys everything but what watches the primary.
pub(crate) async fn deploy(layout: &Layout, deployer: &Deployer, rds: &Rds, entries: &Entries) -> Result<Workload, Error> {
    let passwords = [Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string()];
    let (health, primary) = tokio::try_join!(
        stack(layout, deployer, "shop-health", HEALTH, "tests/stage/workload/health.yaml", [("PrimaryPort", entries.primary_port.to_string())]),
        stack(
            layout,
            deployer,
            "shop-primary",
            PRIMARY,
            "tests/stage/workload/primary.yaml",
            [
                ("StandbyRegion", STANDBY.to_owned()),
                ("DatabaseName", DATABASE.to_owned()),
                ("AdminPassword", passwords[0].clone()),
                ("AppPassword", passwords[1].clone())
            ],
        ),
    )?;
    users(rds, &passwords[1]).await?;
    let source = output(&primary, "DatabaseArn")?;
    let (control, _standby) = tokio::try_join!(
        control(layout, deployer, entries, output(&health, "TopicArn")?),
        stack(
            layout,
            deployer,
            "shop-standby",
            STANDBY,
            "tests/stage/workload/standby.yaml",
            [("SourceDatabaseArn", source), ("PrimaryRegion", PRIMARY.to_owned())],
        ),
    )?;
    let stop_bucket = output(&control, "StopBucketName")?;
    let check = output(&health, "PrimaryCheck")?;
    let router_port = entries.router.rsplit(':').next().unwrap_or_default().to_owned();
    let names = [("PrimaryCheck", check.clone()), ("StopPort", router_port), ("StopPath", format!("/{stop_bucket}/STOP"))];
    stack(layout, deployer, "shop-records", HEALTH, "tests/stage/workload/records.yaml", names).await?;
    Ok(Workload { control, health_check: check, topic: output(&health, "TopicArn")?, stop_bucket, passwords: passwords.to_vec() })
}

/// Sets the alarm over the primary's health check, and puts the plan in force. For when the workload is in peace: who has not yet seen
/// the primary up would suspect it.
pub(crate) async fn watch(
    layout: &Layout,
    deployer: &Deployer,
    workload: &Workload,
    entries: &Entries,
    options: &Options,
    folder: &Path,
) -> Result<PathBuf, Error> {
    let speed = options.speed;
    let parameters = [("PrimaryCheck", workload.health_check.clone()), ("TopicArn", workload.topic.clone())];
    let alarm = stack(layout, deployer, "shop-alarm", HEALTH, "tests/stage/workload/alarm.yaml", parameters).await?;
    let values = [
        ("account", ACCOUNT.to_owned()),
        ("primary", PRIMARY.to_owned()),
        ("standby", STANDBY.to_owned()),
        ("stop_bucket", workload.stop_bucket.clone()),
        ("primary_url", format!("http://127.0.0.1:{}", entries.primary_port)),
        ("standby_url", format!("http://{}", entries.standby)),
        ("health_check", workload.health_check.clone()),
        ("alarm", output(&alarm, "AlarmArn")?),
        ("hold", format!("{}s", speed.hold().as_secs())),
        ("deadline", format!("{}s", options.drill_deadline.as_secs())),
        ("dwell", format!("{}s", speed.shortened(60).as_secs().max(1))),
        ("cool_down", format!("{}s", speed.shortened(900).as_secs().max(1))),
    ];
    let plan = write_plan(layout, folder, &values)?;
    put_plan(layout, &entries.router, &output(&workload.control, "JournalTable")?, &plan, &[]).await?;
    Ok(plan)
}

async fn control(layout: &Layout, deployer: &Deployer, entries: &Entries, health_topic: String) -> Result<Deployed, Error> {
    let rds = |region: &str, name: &str| format!("arn:aws:rds:{region}:{ACCOUNT}:db:{name}");
    let secret = |name: &str| format!("arn:aws:secretsmanager:{STANDBY}:{ACCOUNT}:secret:{name}-??????");
    let parameters = [
        ("PlanName", "shop".to_owned()),
        ("PrimaryRegion", PRIMARY.to_owned()),
        ("Architecture", "x86_64".to_owned()),
        ("HealthTopicArn", health_topic),
        ("EcsServiceArns", format!("arn:aws:ecs:{STANDBY}:{ACCOUNT}:service/shop/web")),
        ("AutoScalingGroupArns", format!("arn:aws:autoscaling:{STANDBY}:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/shop-workers")),
        ("ReplicaArns", rds(STANDBY, "shop-orders-replica")),
        ("PrimaryDatabaseArns", rds(PRIMARY, "shop-orders")),
        ("SecretArns", format!("{},{}", secret("shop/orders/admin"), secret("shop/orders/app"))),
        ("ResolverAddress", entries.dns.clone()),
        ("ProtectTable", "no".to_owned()),
    ];
    stack(layout, deployer, "shop-relight", STANDBY, "infra/control/template.yaml", parameters).await
}

async fn stack<const N: usize>(
    layout: &Layout,
    deployer: &Deployer,
    name: &str,
    region: &str,
    template: &str,
    parameters: [(&str, String); N],
) -> Result<Deployed, Error> {
    let binaries = layout.binaries.clone();
    let stack = Stack {
        name: name.to_owned(),
        region: region.to_owned(),
        template: layout.template(template),
        parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        code: Arc::new(move |function: &str| binaries.join(function)),
    };
    deployer.deploy(&stack).await.map_err(|error| Error::Part { doing: "deploying a template", message: format!("{name}: {error}") })
}

/// The application's own user, as its owner would have made it.
async fn users(rds: &Rds, password: &str) -> Result<(), Error> {
    // The password is our own hexadecimal: nothing in it needs quoting.
    let statements = [
        format!("create role shop_app login password '{password}'"),
        "grant create, usage on schema public to shop_app".to_owned(),
        "grant shop_app to shop_admin with admin option".to_owned(),
    ];
    for statement in statements {
        rds.sql(PRIMARY, "shop-orders", DATABASE, &statement).await.map_err(Error::part("making the application's database user"))?;
    }
    Ok(())
}

fn write_plan(layout: &Layout, folder: &Path, values: &[(&str, String)]) -> Result<PathBuf, Error> {
    let mut text = std::fs::read_to_string(layout.template("tests/stage/workload/relight.toml"))
        .map_err(|source| Error::io("reading the stage's plan", source))?;
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    let file = folder.join("relight.toml");
    std::fs::write(&file, text).map_err(|source| Error::io("writing the stage's plan", source))?;
    Ok(file)
}

/// As an operator puts it.
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
