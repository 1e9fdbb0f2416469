//! Whether a failover would work now, asked of a whole standby: a sound one has nothing that blocks, and three that are broken for
//! real are found, each with its remedy and by its cause alone.

use relight::report::ReadinessReport;
use relight_stage::observe::until;
use relight_stage::{Error, Options, PRIMARY, STANDBY, Stage};
use serde_json::json;
use stage_router::{Fault, FaultKind};
use std::time::Duration;

use crate::calls::refused_by_iam;
use crate::common::with_stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_standby_is_ready_and_what_is_broken_in_it_is_found() {
    with_stage(Options::default(), async |stage| {
        logged_in_and_measured(stage).await?;
        let sound = look(stage).await?;
        assert_eq!(blocking(&sound), Vec::<&str>::new(), "{:#?}", sound.findings);
        // Nobody subscribes to people's topic of a stage, and no drill has run.
        let warnings: Vec<&str> = sound.findings.iter().map(|row| row.about.as_str()).collect();
        assert!(["people topic", "drill"].iter().all(|about| warnings.contains(about)), "{:#?}", sound.findings);
        assert!(sound.ready && sound.estimates.rpo_seconds.is_some_and(|seconds| seconds < 300.0), "{sound:#?}");
        assert_eq!(refused_by_iam(&stage.router.calls()), [""; 0]);
        stays_here(stage);

        a_stop_that_nobody_takes_away(stage).await?;
        a_secret_that_is_not_replicated_any_more(stage).await?;
        a_service_that_is_deleted(stage).await
    })
    .await;
}

/// STOP lies there, and switch-traffic, whose tick would remove it, may not.
async fn a_stop_that_nobody_takes_away(stage: &Stage) -> Result<(), Error> {
    let bucket = stage.workload.control.outputs["StopBucketName"].clone();
    let denied = Fault::new(FaultKind::Deny).service("s3").operation("DeleteObject").caller(&stage.function("switch-traffic")?).times(1000);
    stage.router.fault(denied);
    let s3 = stage.clients(STANDBY).s3;
    s3.put_object().bucket(&bucket).key("STOP").send().await.map_err(Error::part("putting STOP"))?;
    let report = look(stage).await?;
    assert_eq!(blocking(&report), ["STOP"], "{:#?}", report.findings);
    let row = &report.findings[0];
    assert!(row.said.contains("keeps users off a primary that serves") && row.remedy.contains(&format!("aws s3 rm s3://{bucket}/STOP")), "{row:?}");
    s3.delete_object().bucket(&bucket).key("STOP").send().await.map_err(Error::part("removing STOP"))?;
    ready_again(stage).await
}

async fn a_secret_that_is_not_replicated_any_more(stage: &Stage) -> Result<(), Error> {
    let secrets = stage.clients(PRIMARY).secrets;
    let remove = secrets.remove_regions_from_replication().secret_id("shop/orders/app").remove_replica_regions(STANDBY);
    remove.send().await.map_err(Error::part("ending a replication"))?;
    let report = look(stage).await?;
    assert_eq!(blocking(&report), ["secret/shop/orders/app"], "{:#?}", report.findings);
    assert!(report.findings[0].remedy.contains("replicate-secret-to-regions"), "{:?}", report.findings[0]);
    let region = aws_sdk_secretsmanager::types::ReplicaRegionType::builder().region(STANDBY).build();
    let again = secrets.replicate_secret_to_regions().secret_id("shop/orders/app").add_replica_regions(region);
    again.send().await.map_err(Error::part("replicating again"))?;
    ready_again(stage).await
}

async fn a_service_that_is_deleted(stage: &Stage) -> Result<(), Error> {
    let ecs = stage.clients(STANDBY).ecs;
    ecs.delete_service().cluster("shop").service("web").force(true).send().await.map_err(Error::part("deleting the service"))?;
    let report = look(stage).await?;
    assert_eq!(blocking(&report), ["service/shop/web"], "{:#?}", report.findings);
    assert!(report.findings[0].said.contains("no ECS service shop/web") && report.findings[0].remedy.contains("deploy shop/web"), "{report:#?}");

    // Such a plan is not put either; what is not there is named, and the one in force stays.
    let text = std::fs::read_to_string(&stage.plan).map_err(|source| Error::Io { doing: "reading the plan", source })?;
    let file = stage.folder.join("with-more.toml");
    std::fs::write(&file, text.replace("name = \"shop-workers\"", "name = \"shop-robots\""))
        .map_err(|source| Error::Io { doing: "writing a plan", source })?;
    let before = stage.snapshot().await?.head.plan_version;
    let refused = stage.put(&file, &[]).await.expect_err("it is refused").to_string();
    for sentence in ["names what the standby Region does not have", "no ECS service shop/web", "no Auto Scaling group shop-robots", "--unchecked"] {
        assert!(refused.contains(sentence), "`{sentence}` is not in {refused}");
    }
    assert_eq!(stage.snapshot().await?.head.plan_version, before);
    stage.put(&file, &["--unchecked"]).await?;
    assert_eq!(stage.snapshot().await?.head.plan_version, before + 1);
    let report = look(stage).await?;
    let mut found = blocking(&report);
    found.sort_unstable();
    // The group is neither there nor in the stack's parameters.
    assert_eq!(found, ["group/shop-robots", "group/shop-robots", "service/shop/web"], "{:#?}", report.findings);
    Ok(())
}

/// Asks as a person does, and reads what lies in the bucket.
pub(crate) async fn look(stage: &Stage) -> Result<ReadinessReport, Error> {
    let answer = stage.order("monthly-drill", "readiness").await?;
    assert!(answer["said"].to_string().contains("readiness.html"), "{answer}");
    let page = stage.report("readiness.html").await?;
    assert!(page.contains("Readiness of shop"), "{page}");
    Ok(serde_json::from_str(&stage.report("readiness.json").await?).expect("the documented form"))
}

pub(crate) fn blocking(report: &ReadinessReport) -> Vec<&str> {
    let blocks = report.findings.iter().filter(|row| row.severity == relight::decide::readiness::Severity::Blocking);
    blocks.map(|row| row.about.as_str()).collect()
}

async fn ready_again(stage: &Stage) -> Result<(), Error> {
    until("a standby without a blocking finding", Duration::from_secs(30), async || {
        let report = look(stage).await.map_err(|error| error.to_string())?;
        if report.ready { Ok(()) } else { Err(format!("{:?}", report.findings)) }
    })
    .await
}

/// rotate-secret has logged in, and the lag's metric has a sample, as in any life before a failure.
pub(crate) async fn logged_in_and_measured(stage: &Stage) -> Result<(), Error> {
    tokio::time::sleep(stage.speed.shortened(60) * 2).await;
    until("a login with each secret", Duration::from_secs(60), async || {
        let logins = stage.snapshot().await.map_err(|error| error.to_string())?.memory.logins;
        if logins.len() == 2 && logins.values().all(|seen| seen.ok) { Ok(()) } else { Err(format!("{logins:?}")) }
    })
    .await
}

/// monthly-drill asked nothing outside of the standby Region.
fn stays_here(stage: &Stage) {
    let calls = stage.router.calls();
    let elsewhere: Vec<String> = calls
        .iter()
        .filter(|call| call.function.as_deref().is_some_and(|function| function.ends_with("monthly-drill")) && call.region != STANDBY)
        .map(|call| json!([call.service, call.operation, call.region]).to_string())
        .collect();
    assert_eq!(elsewhere, Vec::<String>::new());
}
