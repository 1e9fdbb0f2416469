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
use std::time::Duration;

use relight::plan::Plan;
use stage_deploy::{Deployed, Deployer, Stack};
use stage_rds::Rds;
use tokio::process::Command;
use uuid::Uuid;

use crate::layout::Layout;
use crate::stage::Options;
use crate::{ACCOUNT, Error, HEALTH, PRIMARY, STANDBY};

/// The database that the shop writes to.
pub(crate) const DATABASE: &str = "shop";

/// Relight's own template.
pub(crate) const CONTROL: &str = "infra/control/template.yaml";

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
    /// How the control stack was deployed.
    pub stack: Stack,
    pub health_check: String,
    topic: String,
    stop_bucket: String,
    /// Every password that existed when the stage began, for the test that looks for them in all output.
    pub passwords: Vec<String>,
}

/// Deploys everything but what watches the primary.
pub(crate) async fn deploy(layout: &Layout, deployer: &Deployer, rds: &Rds, entries: &Entries, options: &Options) -> Result<Workload, Error> {
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
    let relight = control(layout, entries, options, output(&health, "TopicArn")?)?;
    let (control, _standby) = tokio::try_join!(
        put(deployer, &relight),
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
    Ok(Workload { control, stack: relight, health_check: check, topic: output(&health, "TopicArn")?, stop_bucket, passwords: passwords.to_vec() })
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
    let parameters = [("PrimaryCheck", workload.health_check.clone()), ("TopicArn", workload.topic.clone())];
    let alarm = stack(layout, deployer, "shop-alarm", HEALTH, "tests/stage/workload/alarm.yaml", parameters).await?;
    let alarm = output(&alarm, "AlarmArn")?;
    let made = [workload.stop_bucket.as_str(), workload.health_check.as_str(), alarm.as_str()];
    let plan = folder.join("relight.toml");
    std::fs::write(&plan, plan_text(layout, entries, options, made)?).map_err(|source| Error::io("writing the stage's plan", source))?;
    put_plan(layout, &entries.router, &output(&workload.control, "JournalTable")?, &plan).await?;
    Ok(plan)
}

/// The control stack as its plan says it. What the plan names of it and of the names is made only later, and no parameter.
fn control(layout: &Layout, entries: &Entries, options: &Options, health_topic: String) -> Result<Stack, Error> {
    let text = plan_text(layout, entries, options, ["later"; 3])?;
    let plan = Plan::stored(&text).map_err(Error::part("reading the stage's plan"))?;
    let of_plan = relight::plan::stack::parameters(&plan).map_err(Error::part("reading the stage's plan"))?;
    let besides = [
        ("Architecture", "x86_64".to_owned()),
        ("HealthTopicArn", health_topic),
        ("ResolverAddress", entries.dns.clone()),
        ("ProtectTable", "no".to_owned()),
    ];
    let parameters = of_plan.into_iter().map(|parameter| (parameter.name, parameter.value)).chain(besides);
    Ok(template(layout, "shop-relight", STANDBY, CONTROL, parameters))
}

async fn stack<const N: usize>(
    layout: &Layout,
    deployer: &Deployer,
    name: &str,
    region: &str,
    path: &str,
    parameters: [(&str, String); N],
) -> Result<Deployed, Error> {
    put(deployer, &template(layout, name, region, path, parameters)).await
}

fn template<'a>(layout: &Layout, name: &str, region: &str, path: &str, parameters: impl IntoIterator<Item = (&'a str, String)>) -> Stack {
    let binaries = layout.binaries.clone();
    Stack {
        name: name.to_owned(),
        region: region.to_owned(),
        template: layout.template(path),
        parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        code: Arc::new(move |function: &str| binaries.join(function)),
    }
}

async fn put(deployer: &Deployer, stack: &Stack) -> Result<Deployed, Error> {
    deployer.deploy(stack).await.map_err(|error| Error::Part { doing: "deploying a template", message: format!("{}: {error}", stack.name) })
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

/// The stage's plan, with the bucket of STOP, the health check and the alarm as they were made.
fn plan_text(layout: &Layout, entries: &Entries, options: &Options, [stop_bucket, health_check, alarm]: [&str; 3]) -> Result<String, Error> {
    let speed = options.speed;
    let seconds = |time: Duration| format!("{}s", time.as_secs().max(1));
    let values = [
        ("account", ACCOUNT.to_owned()),
        ("primary", PRIMARY.to_owned()),
        ("standby", STANDBY.to_owned()),
        ("stop_bucket", stop_bucket.to_owned()),
        ("primary_url", format!("http://127.0.0.1:{}", entries.primary_port)),
        ("standby_url", format!("http://{}", entries.standby)),
        ("health_check", health_check.to_owned()),
        ("alarm", alarm.to_owned()),
        ("hold", seconds(speed.hold())),
        ("deadline", seconds(options.drill_deadline)),
        ("dwell", seconds(speed.shortened(60))),
        ("cool_down", seconds(speed.shortened(900))),
    ];
    let text = std::fs::read_to_string(layout.template("tests/stage/workload/relight.toml"));
    let text = text.map_err(|source| Error::io("reading the stage's plan", source))?;
    let text = values.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
    Ok(match &options.instance_class {
        Some(class) => text.replace("\n[[database]]\n", &format!("\n[[database]]\ninstance_class = \"{class}\"\n")),
        None => text,
    })
}

/// As an operator puts it.
pub(crate) async fn put_plan(layout: &Layout, endpoint: &str, table: &str, plan: &Path) -> Result<String, Error> {
    let mut command = Command::new(layout.binary("relight"));
    command.args(["plan", "put"]).arg(plan).args(["--table", table]).envs(environment(endpoint, STANDBY)).stdin(Stdio::null()).kill_on_drop(true);
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
