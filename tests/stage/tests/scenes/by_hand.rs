//! docs/runbook.md by hand: what it tells a person to type is typed here, by the AWS CLI, while Relight's functions may not do anything.
//!
//! The runbook is the only copy of these lines. Its names are replaced by those of the stage's plan; one that neither knows of is an error, so
//! that a line which a reader could not fill in is found here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use relight::plan::Plan;
use relight::run::{Mode, Phase};
use relight::state::Place;
use relight_stage::observe::until;
use relight_stage::{Error, Options, PRIMARY, STANDBY, Stage};
use stage_app::load::{self, Kind, Load};
use tokio::process::Command;

use crate::calls::promotions;
use crate::common::with_stage;
use crate::failover::orders;
use crate::passwords::{Passwords, assert_kept};
use crate::refused::same_state;

const FAILOVER: &str = "By hand: a failover";
const LOOK: &str = "Where a run stands, without Relight";
const FENCE: &str = "By hand: the fence";
const DRILL: &str = "By hand: a drill";
const HOME: &str = "By hand: the way home";
const GIVE_BACK: &str = "By hand: give it back to Relight";

#[tokio::test(flavor = "multi_thread")]
async fn relight_may_do_nothing_and_a_person_recovers_by_the_runbook_and_gives_it_back() {
    with_stage(Options::default(), async |stage| {
        let hand = Hand::of(stage)?;
        let passwords = Passwords::of(stage);
        let load = Load::start(load::Settings::new(stage.dns_addr(), &stage.workload.plan.traffic.record));
        // Two samples of the lag, as in any life before a failure.
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;
        hand.forbid_relight().await?;
        stage.lose_primary().await;
        let died = Timestamp::now();

        let said = hand.types(FAILOVER).await?;
        println!("{said}");
        served_by(STANDBY, &load, died).await?;
        let calls = stage.router.calls();
        assert_eq!(promotions(&calls).iter().map(|call| call.caller.as_str()).collect::<Vec<_>>(), ["root"], "nobody but the hand promoted");

        // Relight could do its work again, but stands still: its journal knows of nothing, and it would let the primary in.
        hand.allow_relight().await?;
        let mended = Timestamp::now();
        tokio::time::sleep(stage.speed.shortened(60) * 3).await;
        assert!(stage.is_stopped().await?);
        assert_eq!(relights_since(stage, mended), [""; 0]);
        assert_eq!(stage.snapshot().await?.head.serving, Place::Primary);

        println!("{}", hand.types(GIVE_BACK).await?);
        let run = until("Relight finishing what the hand began", Duration::from_secs(90), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let run = snapshot.head.run.clone().ok_or("no run")?;
            let history = stage.history(&run.id).await.map_err(|error| error.to_string())?;
            let over = run.phase == Phase::Active && snapshot.progress.drill.report.is_some();
            if over { Ok(run) } else { Err(format!("{:?}, {:?}", run.phase, history.last())) }
        })
        .await?;
        assert_eq!(run.mode, Mode::Failover);
        assert_eq!(promotions(&stage.router.calls()).len(), 1, "it found the database promoted");
        assert!(stage.is_stopped().await?);
        let gave = run.ended_at.expect("it is over");
        served_by(STANDBY, &load, gave).await?;

        let seen = hand.types(LOOK).await?;
        assert!(seen.contains("\"serving\":\"standby\"") && seen.contains("active: the standby serves"), "{seen}");

        stage.return_primary().await?;
        println!("{}", hand.types(FENCE).await?);
        let groups = security_groups(stage, PRIMARY, stage.workload.database_id()).await?;
        assert_eq!(groups, [hand.names["QUARANTINE"].as_str()], "the old writer is in quarantine");
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;
        served_by(STANDBY, &load, Timestamp::now()).await?;

        println!("{}", hand.types(HOME).await?);
        let home = Timestamp::now();
        served_by(PRIMARY, &load, home).await?;
        let records = load.stop().await;
        let kept = orders(stage, PRIMARY, "shop-orders-home").await?;
        let after: BTreeSet<String> =
            records.iter().filter(|record| record.ok && record.sent_at > gave).filter_map(|record| record.order).map(|id| id.to_string()).collect();
        assert!(after.is_subset(&kept), "{} rows that the standby took are not at home", after.difference(&kept).count());
        // Relight runs again: in peace, with the primary serving, and it leaves things as they are.
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;
        let head = stage.snapshot().await?.head;
        assert_eq!((head.serving, stage.is_stopped().await?), (Place::Primary, false));

        let typed = hand.log()?;
        assert_kept(stage, &passwords.stop().await, &[("what the hand's terminal showed", typed)]);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_by_the_runbook_proves_a_copy_and_leaves_everything_as_it_was() {
    with_stage(Options::default(), async |stage| {
        let hand = Hand::of(stage)?;
        let passwords = Passwords::of(stage);
        // A machine that is busy may have answered a probe late while the stage came up; such a suspicion is given back first.
        until("peace", Duration::from_secs(120), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            if snapshot.head.open_run().is_none() && snapshot.baseline.is_empty() { Ok(()) } else { Err(format!("{:?}", snapshot.head.run)) }
        })
        .await?;
        let before = stage.state().await?;
        let said = hand.types(DRILL).await?;
        println!("{said}");
        assert!(said.lines().filter(|line| line.ends_with("|f")).count() == 2, "both logins wrote to the copy");
        // One service and one group are asked for twice: raised, and given back.
        let calls = stage.router.calls();
        let by_hand =
            |operation: &str| calls.iter().filter(|call| call.caller == "root" && call.operation == operation && call.status == Some(200)).count();
        assert_eq!((by_hand("UpdateAutoScalingGroup"), by_hand("PromoteReadReplica"), promotions(&calls).len()), (2, 1, 0));
        same_state(stage, &before).await?;
        assert_kept(stage, &passwords.stop().await, &[("what the hand's terminal showed", hand.log()?)]);
        Ok(())
    })
    .await;
}

/// Both reads and writes are answered by `region`, after `since`.
async fn served_by(region: &str, load: &Load, since: Timestamp) -> Result<(), Error> {
    until(&format!("users served by {region}"), Duration::from_secs(45), async || {
        let records = load.records();
        let by = |kind| {
            records.iter().any(|record| record.kind == kind && record.ok && record.sent_at > since && record.region.as_deref() == Some(region))
        };
        let last = || records.iter().rev().find_map(|record| record.reason.clone()).unwrap_or_default();
        if by(Kind::Read) && by(Kind::Write) {
            Ok(())
        } else {
            Err(format!("reads {}, writes {}, last failure: {}", by(Kind::Read), by(Kind::Write), last()))
        }
    })
    .await
}

/// Calls of Relight's roles.
fn relights_since(stage: &Stage, since: Timestamp) -> Vec<String> {
    let calls = stage.router.calls();
    let relights = calls.iter().filter(|call| call.function.is_some() && call.time > since);
    relights.map(|call| format!("{} {}:{}", call.caller, call.service, call.operation)).collect()
}

async fn security_groups(stage: &Stage, region: &str, instance: &str) -> Result<Vec<String>, Error> {
    let answer = stage.clients(region).rds.describe_db_instances().db_instance_identifier(instance).send().await;
    let answer = answer.map_err(Error::part("describing the old writer"))?;
    let groups = answer.db_instances().iter().flat_map(|instance| instance.vpc_security_groups());
    Ok(groups.filter_map(|group| group.vpc_security_group_id()).map(str::to_owned).collect())
}

/// A person with the runbook and a terminal.
struct Hand<'a> {
    stage: &'a Stage,
    runbook: String,
    names: BTreeMap<&'static str, String>,
    folder: PathBuf,
}

impl<'a> Hand<'a> {
    fn of(stage: &'a Stage) -> Result<Hand<'a>, Error> {
        let runbook = std::fs::read_to_string(stage.layout.root.join("docs/runbook.md")).map_err(io("reading the runbook"))?;
        let folder = stage.folder.join("by-hand");
        std::fs::create_dir_all(&folder).map_err(io("making a folder for the hand"))?;
        Ok(Hand { stage, runbook, names: names(&stage.workload.plan), folder })
    }

    /// Types all lines of a section into one shell, and gives back what its terminal showed.
    async fn types(&self, section: &str) -> Result<String, Error> {
        // The first two blocks of a failover are names and words for all sections; a drill begins with two of its steps.
        let failover = self.blocks(FAILOVER);
        let (words, steps) = failover.split_at(2);
        let blocks = match section {
            FAILOVER => steps.to_vec(),
            DRILL => [vec![steps[1].clone(), steps[4].clone()], self.blocks(DRILL)].concat(),
            HOME => {
                let blocks = self.blocks(HOME);
                [vec![steps[0].clone(), filled(&blocks[0], home())], blocks[1..].to_vec()].concat()
            }
            _ => self.blocks(section),
        };
        let mut script = format!("{}{}", filled(&words[0], self.names.clone()), words[1]);
        for (step, block) in blocks.iter().enumerate() {
            let _ = write!(script, "echo '{section}, {}'\n{block}", step + 1);
        }
        let mut command = Command::new("sh");
        command.args(["-eu", "-c", &script]).current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(relight_stage::environment(self.stage.router.url(), STANDBY)).env("PATH", self.path());
        let ran = tokio::time::timeout(Duration::from_secs(240), command.output()).await;
        let output =
            ran.map_err(|_| Error::Part { doing: "typing the runbook", message: format!("`{section}` did not end") })?.map_err(io("running sh"))?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        std::fs::write(self.folder.join(format!("{section}.log")), &said).map_err(io("keeping the hand's terminal"))?;
        if output.status.success() { Ok(said) } else { Err(Error::Part { doing: "typing the runbook", message: said }) }
    }

    /// What the terminal showed so far.
    fn log(&self) -> Result<String, Error> {
        let mut log = String::new();
        for file in std::fs::read_dir(&self.folder).map_err(io("reading the hand's terminal"))?.flatten() {
            if file.path().is_file() {
                log.push_str(&std::fs::read_to_string(file.path()).map_err(io("reading the hand's terminal"))?);
            }
        }
        Ok(log)
    }

    /// The AWS CLI of the stage's environment, and the PostgreSQL that its databases run on.
    fn path(&self) -> std::ffi::OsString {
        let postgres = stage_rds::Binaries::find(Some(&self.stage.layout.venv)).expect("the stage runs on it").folder().to_owned();
        let before = [self.stage.layout.venv.join("bin"), postgres];
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::join_paths(before.into_iter().chain(std::env::split_paths(&path))).expect("no folder has a colon")
    }

    /// The fenced lines of a section, in order.
    fn blocks(&self, section: &str) -> Vec<String> {
        let (_, rest) = self.runbook.split_once(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("the runbook has no section `{section}`"));
        let section = rest.split("\n## ").next().unwrap_or_default();
        section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).map(str::to_owned).collect()
    }

    /// Somebody took the journal away from every function: each of them errs, and none does anything.
    async fn forbid_relight(&self) -> Result<(), Error> {
        let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"dynamodb:*","Resource":"*"}]}"#;
        for role in self.roles() {
            self.aws(&["iam", "put-role-policy", "--role-name", &role, "--policy-name", "mistake", "--policy-document", deny]).await?;
        }
        Ok(())
    }

    async fn allow_relight(&self) -> Result<(), Error> {
        for role in self.roles() {
            self.aws(&["iam", "delete-role-policy", "--role-name", &role, "--policy-name", "mistake"]).await?;
        }
        Ok(())
    }

    fn roles(&self) -> Vec<String> {
        let resources = self.stage.workload.control.resources.iter();
        resources.filter(|(logical, _)| logical.ends_with("Role") && *logical != "SchedulerRole").map(|(_, physical)| physical.id.clone()).collect()
    }

    async fn aws(&self, arguments: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(self.stage.layout.venv.join("bin/aws"));
        command.args(arguments).envs(relight_stage::environment(self.stage.router.url(), STANDBY)).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(io("running the AWS CLI"))?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(Error::Part { doing: "calling AWS by its CLI", message }) }
    }
}

/// A block of names, with the stage's own.
fn filled(block: &str, mut unused: BTreeMap<&'static str, String>) -> String {
    let mut filled = String::new();
    for line in block.lines() {
        if line.starts_with("export AWS_") {
            let _ = writeln!(filled, "{line}");
            continue;
        }
        let name = line.trim_start_matches("export ").split('=').next().unwrap_or_default();
        let value = unused.remove(name).unwrap_or_else(|| panic!("the runbook asks for {name}, which the stage does not tell"));
        let export = if line.starts_with("export ") { "export " } else { "" };
        let _ = writeln!(filled, "{export}{name}='{value}'");
    }
    assert!(unused.is_empty(), "the runbook has no line for {unused:?}");
    filled
}

/// The names of the way home. The stage's RDS has no networks and parameters, and wants a key named for what is encrypted.
fn home() -> BTreeMap<&'static str, String> {
    let empty = ["HOME_SUBNETS", "HOME_PARAMETERS", "HOME_GROUPS"].map(|name| (name, String::new()));
    let names =
        [("NEW_WRITER", "shop-orders-home"), ("HOME_CLASS", "db.t4g.medium"), ("HOME_KEY", "alias/shop-database"), ("ADMIN", "shop/orders/admin")];
    names.map(|(name, value)| (name, value.to_owned())).into_iter().chain(empty).collect()
}

/// The runbook's names by the plan: one resource of each kind, as it says.
fn names(plan: &Plan) -> BTreeMap<&'static str, String> {
    let (service, group, database) = (&plan.services[0], &plan.groups[0], &plan.databases[0]);
    let bounds = service.scaling.as_ref().expect("the stage's service has bounds");
    let instances = group.instances.as_ref().expect("the stage's group is mixed");
    let providers =
        service.capacity_providers.iter().map(|share| format!("capacityProvider={},weight={},base={}", share.provider, share.weight, share.base));
    let secrets: Vec<&str> = plan.secrets.iter().map(|secret| secret.name.as_str()).collect();
    BTreeMap::from([
        ("PLAN", plan.name.clone()),
        ("PRIMARY", plan.primary.clone()),
        ("STANDBY", plan.standby.clone()),
        ("CLUSTER", service.cluster.clone()),
        ("SERVICE", service.name.clone()),
        ("TASKS", service.desired.to_string()),
        ("TASKS_MIN", bounds.min.to_string()),
        ("TASKS_MAX", bounds.max.to_string()),
        ("PROVIDERS", providers.collect::<Vec<_>>().join(" ")),
        ("GROUP", group.name.clone()),
        ("GROUP_MIN", group.min.to_string()),
        ("GROUP_DESIRED", group.desired.to_string()),
        ("GROUP_MAX", group.max.to_string()),
        ("ON_DEMAND_BASE", instances.on_demand_base.to_string()),
        ("ON_DEMAND_ABOVE_BASE", instances.on_demand_percentage_above_base.to_string()),
        ("DATABASE", database.name.clone()),
        ("OLD_WRITER", database.primary.clone()),
        ("REPLICA", database.replica.clone()),
        ("RETENTION", database.backup_retention_days.to_string()),
        ("QUARANTINE", database.quarantine_security_group.clone().expect("the stage's plan fences")),
        ("SECRETS", secrets.join(" ")),
        ("STOP_BUCKET", plan.traffic.stop_bucket.clone()),
        // The stage's servers are built without TLS.
        ("PGSSLMODE", "prefer".to_owned()),
    ])
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { doing, source }
}
