//! The stage's plan: the example's own, with what differs on one machine.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::SignedDuration;
use relight::plan::{Engine, Objectives, Plan};
use toml::{Table, Value};

use crate::Error;

/// What the plan of the example is, in the text that `infra/examples/pilot-light` holds.
const EXAMPLE: &str = include_str!("../../../infra/examples/pilot-light/relight.toml");
/// The example's plan is named so, and everything in it after its plan.
const EXAMPLES_NAME: &str = "shop";

/// What differs on one machine: names that the deployment made, entries that are found by their port, and times that are shortened.
#[derive(Debug, Clone)]
pub struct Differences {
    pub name: String,
    pub engine: Engine,
    pub account: String,
    pub primary: String,
    pub standby: String,
    pub rto: SignedDuration,
    pub rpo: SignedDuration,
    pub quarantine_group: String,
    /// The groups that a database of the primary Region has, for the one that a failback builds there.
    pub home_group: String,
    pub users_name: String,
    pub standby_name: String,
    pub stop_bucket: String,
    pub verdict_name: String,
    pub health_check: String,
    pub alarm: String,
    pub primary_entry: SocketAddr,
    pub standby_entry: SocketAddr,
    pub hold: Duration,
    pub deadline: Duration,
    /// Keys of the database beside the example's.
    pub database: Table,
    pub dwell: Duration,
    pub cool_down: Duration,
}

/// The plan as the example has it under another name: for what it names, before anything stands.
///
/// # Errors
/// When the example has a mistake.
pub fn named(name: &str, engine: Engine) -> Result<Plan, Error> {
    let wrong = |mistakes: relight::plan::Mistakes| Error::Part { doing: "reading the example's plan", message: mistakes.to_string() };
    Plan::parse(&table(name, engine)?.to_string()).map_err(wrong)
}

/// The example under another name, with the database that `infra/examples/aurora` puts in the place of its own where that is asked for.
fn table(name: &str, engine: Engine) -> Result<Table, Error> {
    let mut plan: Table = EXAMPLE.replace(EXAMPLES_NAME, name).parse().map_err(Error::part("reading the example's plan"))?;
    let database = plan.get_mut("database").and_then(Value::as_array_mut).and_then(|all| all.first_mut()).and_then(Value::as_table_mut);
    let database = database.ok_or_else(another_form)?;
    if matches!(engine, Engine::MySql | Engine::MariaDb) {
        set(database, &[("engine", engine.as_str()), ("parameter_group", &format!("{name}-orders-mariadb10-11"))]);
    }
    if engine == Engine::AuroraPostgres {
        for key in ["quarantine_security_group", "home_security_groups", "backup_retention_days", "compare", "heartbeat", "instance_class"] {
            database.remove(key);
        }
        let cluster = format!("{name}-orders");
        let values = [("global_cluster", format!("{cluster}-global")), ("replica", format!("{cluster}-standby")), ("primary", cluster)];
        set(database, &[("engine", "aurora-postgresql")]);
        values.iter().for_each(|(key, value)| set(database, &[(key, value)]));
    }
    Ok(plan)
}

fn another_form() -> Error {
    Error::Part { doing: "reading the example's plan", message: "it has another form".to_owned() }
}

/// The text of the plan.
///
/// # Errors
/// When the example has another form than this expects.
pub fn text(differences: &Differences) -> Result<String, Error> {
    let mut plan = table(&differences.name, differences.engine)?;
    fill(&mut plan, differences).ok_or_else(another_form)?;
    Ok(plan.to_string())
}

/// None where the example lacks what is to be filled in.
fn fill(plan: &mut Table, differences: &Differences) -> Option<()> {
    let url = |entry: SocketAddr| format!("http://{entry}/health");
    let seconds = |time: Duration| format!("{}s", time.as_secs().max(1));
    set(plan, &[("account", &differences.account), ("primary", &differences.primary), ("standby", &differences.standby)]);
    let objectives = plan.get_mut("objectives")?.as_table_mut()?;
    set(objectives, &[("rto", &format!("{:#}", differences.rto)), ("rpo", &format!("{:#}", differences.rpo))]);
    let database = plan.get_mut("database")?.as_array_mut()?.first_mut()?.as_table_mut()?;
    if differences.engine != Engine::AuroraPostgres {
        set(database, &[("quarantine_security_group", &differences.quarantine_group)]);
        database.insert("home_security_groups".to_owned(), Value::Array(vec![differences.home_group.clone().into()]));
    }
    database.extend(differences.database.clone());
    let traffic = plan.get_mut("traffic")?.as_table_mut()?;
    set(
        traffic,
        &[
            ("record", &differences.users_name),
            ("standby", &differences.standby_name),
            ("stop_bucket", &differences.stop_bucket),
            ("healthy_url", &url(differences.standby_entry)),
        ],
    );
    for observer in plan.get_mut("observer")?.as_array_mut()? {
        let observer = observer.as_table_mut()?;
        match observer.get("kind")?.as_str()? {
            "probe" => set(observer, &[("url", &url(differences.primary_entry)), ("timeout", "2s")]),
            "checkers" => set(observer, &[("record", &differences.verdict_name), ("health_check", &differences.health_check)]),
            "alarm" => set(observer, &[("arn", &differences.alarm), ("health_check", &differences.health_check)]),
            _ => return None,
        }
    }
    let drill = plan.get_mut("drill")?.as_table_mut()?;
    set(drill, &[("hold", &seconds(differences.hold)), ("deadline", &seconds(differences.deadline))]);
    drill.insert("validate".to_owned(), Value::Array(vec![url(differences.standby_entry).into()]));
    let policy = plan.get_mut("policy")?.as_table_mut()?;
    let times = [("dwell", seconds(differences.dwell)), ("cool_down", seconds(differences.cool_down))];
    times.iter().for_each(|(key, time)| set(policy, &[(key, time)]));
    set(policy, &[("poll", "1s"), ("suspicion_deadline", "3m")]);
    Some(())
}

fn set(table: &mut Table, values: &[(&str, &str)]) {
    for (key, value) in values {
        table.insert((*key).to_owned(), (*value).into());
    }
}

/// A plan of no stage, with the stage's services, groups, databases and secrets: for whoever compares the two.
///
/// # Errors
/// As [`text`].
pub fn example(primary: &str, standby: &str, engine: Engine) -> Result<String, Error> {
    text(&Differences {
        name: EXAMPLES_NAME.to_owned(),
        engine,
        account: crate::ACCOUNT.to_owned(),
        primary: primary.to_owned(),
        standby: standby.to_owned(),
        rto: Objectives::default().rto,
        rpo: Objectives::default().rpo,
        quarantine_group: "sg-0a1b2c3d4e5f60718".to_owned(),
        home_group: "sg-0b1c2d3e4f5061728".to_owned(),
        users_name: "www.shop.example".to_owned(),
        standby_name: "standby.shop.example".to_owned(),
        stop_bucket: "shop-stop".to_owned(),
        verdict_name: "verdict.shop.example".to_owned(),
        health_check: "hc-1".to_owned(),
        alarm: format!("arn:aws:cloudwatch:{}:{}:alarm:shop-primary-health", crate::HEALTH, crate::ACCOUNT),
        primary_entry: SocketAddr::from(([127, 0, 0, 1], 1)),
        standby_entry: SocketAddr::from(([127, 0, 0, 1], 2)),
        hold: Duration::from_secs(6),
        deadline: Duration::from_secs(600),
        database: Table::new(),
        dwell: Duration::from_secs(5),
        cool_down: Duration::from_secs(75),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_plan_is_valid_and_everything_in_it_is_named_after_it() {
        let plan = Plan::parse(EXAMPLE).expect("a good plan");
        let name = &plan.name;
        assert_eq!(name, EXAMPLES_NAME);
        for named in [&plan.services[0].cluster, &plan.groups[0].name, &plan.databases[0].primary, &plan.databases[0].replica, &plan.secrets[0].name]
        {
            assert!(named.starts_with(name.as_str()), "{named}");
        }
    }

    #[test]
    fn the_stages_plan_is_the_examples_with_its_differences() {
        let differing = Plan::parse(&example("us-east-2", "us-west-2", Engine::Postgres).expect("the example's form")).expect("a good plan");
        let example = Plan::parse(EXAMPLE).expect("a good plan");
        assert_eq!((differing.services, differing.groups, differing.secrets), (example.services, example.groups, example.secrets));
        assert_ne!((differing.policy.dwell, differing.drill.hold), (example.policy.dwell, example.drill.hold));
    }
}
