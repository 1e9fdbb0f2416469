//! What is left to do once the standby serves.

use std::time::Duration;

use jiff::Timestamp;
use relight::run::Phase;
use relight_stage::observe::until;
use relight_stage::{Options, PRIMARY, STANDBY, Stage};
use stage_app::load::{self, Load, Record};

use crate::common::with_stage;
use crate::failover::{assert_calls, assert_promoted_once};

/// The replica's is smaller until it serves.
const CLASS: &str = "db.t4g.medium";

#[tokio::test(flavor = "multi_thread")]
async fn the_promoted_database_gets_its_class_and_an_old_writer_that_comes_back_is_fenced() {
    let options = Options { instance_class: Some(CLASS.to_owned()), ..Options::default() };
    with_stage(options, async |stage| {
        // Two samples of the lag, as in any life before a failure.
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;
        stage.lose_primary().await;
        let run = until("the standby serving", Duration::from_secs(120), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let run = snapshot.head.run.ok_or("no run")?;
            if run.phase == Phase::Active { Ok(run) } else { Err(format!("{:?} {:?}", run.mode, run.phase)) }
        })
        .await?;
        until("the class of a database that serves", Duration::from_secs(60), async || {
            is(CLASS, &looks(stage, STANDBY, "shop-orders-replica").await?.0)
        })
        .await?;

        let users = Load::start(load::Settings::new(stage.dns_addr(), &stage.workload.plan.traffic.record));
        let returned = Timestamp::now();
        stage.return_primary().await?;
        let quarantine = stage.workload.plan.databases[0].quarantine_security_group.clone().unwrap_or_default();
        // Tried each minute, here as in AWS.
        until("the old writer fenced", Duration::from_secs(90), async || {
            is(&quarantine, &looks(stage, PRIMARY, stage.workload.database_id()).await?.1)
        })
        .await?;
        assert!(stage.is_stopped().await?, "and its users are kept off it");
        only_the_standby_served(returned, &users.stop().await);
        assert_calls(stage, run.opened_at);
        assert_promoted_once(stage).await
    })
    .await;
}

/// Both Regions run, and nobody reached the one that came back.
fn only_the_standby_served(returned: Timestamp, records: &[Record]) {
    let since: Vec<&Record> = records.iter().filter(|record| record.sent_at > returned && record.ok).collect();
    let elsewhere: Vec<&&Record> = since.iter().filter(|record| record.region.as_deref() != Some(STANDBY)).collect();
    println!("{} requests were answered while the old primary ran beside the standby, {} elsewhere", since.len(), elsewhere.len());
    assert!(since.len() > 100 && elsewhere.is_empty(), "{} answers, elsewhere: {elsewhere:#?}", since.len());
}

fn is(wanted: &str, found: &str) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(found.to_owned()) }
}

/// Class and security groups of an instance.
async fn looks(stage: &Stage, region: &str, instance: &str) -> Result<(String, String), String> {
    let answer = stage.clients(region).rds.describe_db_instances().db_instance_identifier(instance).send().await;
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    let instance = answer.db_instances().first().ok_or("there is no such instance")?;
    let groups = instance.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id());
    Ok((instance.db_instance_class().unwrap_or_default().to_owned(), groups.collect::<Vec<_>>().join(", ")))
}
