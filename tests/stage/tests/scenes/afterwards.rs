//! What is left to do once the standby serves.

use std::time::Duration;

use aws_sdk_rds::types::DbInstance;
use jiff::Timestamp;
use relight::run::Phase;
use relight_stage::observe::until;
use relight_stage::{Options, PRIMARY, STANDBY, Stage};
use stage_app::load::{self, Load, Record};

use crate::common::with_stage;
use crate::failover::{assert_calls, assert_promoted_once};

/// What the replica is not until it serves.
const SERVING: &str = r#"
instance_class = "db.t4g.medium"
multi_az = true
deletion_protection = true
parameter_group = "shop-orders-serving"
proxy = "shop-orders"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_promoted_database_becomes_what_the_plan_says_and_an_old_writer_that_comes_back_is_fenced() {
    let options = Options { database: SERVING.parse().expect("keys of a plan"), ..Options::default() };
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
        until("what the plan asks of a database that serves", Duration::from_secs(60), async || {
            let found = described(stage, STANDBY, "shop-orders-replica").await?;
            let parameters = found.db_parameter_groups().iter().map(|group| {
                format!("{} {}", group.db_parameter_group_name().unwrap_or_default(), group.parameter_apply_status().unwrap_or_default())
            });
            let shape = (found.db_instance_class().unwrap_or_default(), found.multi_az(), found.deletion_protection());
            is("(\"db.t4g.medium\", Some(true), Some(true)) shop-orders-serving in-sync", &format!("{shape:?} {}", parameters.collect::<String>()))
        })
        .await?;

        until("applications behind the proxy", Duration::from_secs(60), async || through_the_proxy(stage).await).await?;

        let users = Load::start(load::Settings::new(stage.dns_addr(), &stage.workload.plan.traffic.record));
        let returned = Timestamp::now();
        stage.return_primary().await?;
        let quarantine = stage.workload.plan.databases[0].quarantine_security_group.clone().unwrap_or_default();
        // Tried each minute, here as in AWS.
        until("the old writer fenced", Duration::from_secs(90), async || {
            let found = described(stage, PRIMARY, stage.workload.database_id()).await?;
            let groups = found.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id());
            is(&quarantine, &groups.collect::<Vec<_>>().join(", "))
        })
        .await?;
        assert!(stage.is_stopped().await?, "and its users are kept off it");
        only_the_standby_served(returned, &users.stop().await);
        assert_calls(stage, run.opened_at);
        assert_promoted_once(stage).await
    })
    .await;
}

/// What the application reads leads to the proxy, which has the promoted instance as its target; the admin's leads to the instance.
async fn through_the_proxy(stage: &Stage) -> Result<(), String> {
    let clients = stage.clients(STANDBY);
    let proxies = clients.rds.describe_db_proxies().db_proxy_name("shop-orders").send().await.map_err(|error| format!("{error:?}"))?;
    let endpoint = proxies.db_proxies().first().and_then(|proxy| proxy.endpoint()).unwrap_or_default().to_owned();
    let targets = clients.rds.describe_db_proxy_targets().db_proxy_name("shop-orders").send().await.map_err(|error| format!("{error:?}"))?;
    assert_eq!(targets.targets().first().and_then(|target| target.rds_resource_id()), Some("shop-orders-replica"));
    let instance = described(stage, STANDBY, "shop-orders-replica").await?.endpoint.ok_or("it has no endpoint")?;
    let instance = format!("{}:{}", instance.address().unwrap_or_default(), instance.port().unwrap_or_default());
    for (secret, expected) in [("shop/orders/app", &endpoint), ("shop/orders/admin", &instance)] {
        let value = clients.secrets.get_secret_value().secret_id(secret).send().await.map_err(|error| format!("{error:?}"))?;
        let value: serde_json::Value = serde_json::from_str(value.secret_string().unwrap_or_default()).map_err(|error| error.to_string())?;
        is(expected, &format!("{}:{}", value["host"].as_str().unwrap_or_default(), value["port"]))?;
    }
    let run = stage.snapshot().await.map_err(|error| error.to_string())?.head.run.ok_or("no run")?;
    let history = format!("{:?}", stage.history(&run.id).await.map_err(|error| error.to_string())?);
    assert!(history.contains("takes writes through its proxy, with shop/orders/app"), "{history}");
    if history.contains("rotated: the new version is AWSCURRENT") { Ok(()) } else { Err("not rotated yet".to_owned()) }
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

async fn described(stage: &Stage, region: &str, instance: &str) -> Result<DbInstance, String> {
    let answer = stage.clients(region).rds.describe_db_instances().db_instance_identifier(instance).send().await;
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    answer.db_instances.unwrap_or_default().into_iter().next().ok_or_else(|| "there is no such instance".to_owned())
}
