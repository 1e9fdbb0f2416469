//! What nobody knows, or what would lose more than the objective, is not promoted until a person says so.

use std::time::Duration;

use relight::ports::EntryKind;
use relight::run::{Mode, Phase, Run};
use relight_stage::observe::until;
use relight_stage::{Error, Options, STANDBY, Stage};
use stage_router::{Fault, FaultKind};

use crate::calls::{promotions, refused_by_iam};
use crate::common::with_stage;
use crate::failover::{assert_calls, assert_promoted_once};

/// Ten minutes and twelve seconds; the plan's RPO is five minutes.
const FAR_BEHIND: f64 = 612.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_ten_minutes_behind_is_refused_and_promoted_when_the_operator_accepts_the_loss() {
    with_stage(Options { lag: Some(FAR_BEHIND), ..Options::default() }, async |stage| {
        let run = refused(stage, "replica of orders was 612 s behind when the primary was first seen down, the RPO is 300 s").await?;

        let answer = stage.order("monthly-drill", "accept-loss").await?;
        assert!(answer["said"].to_string().contains("ana said `accept-loss`"), "{answer}");
        let run = until_phase(stage, Phase::Active, &run).await?;
        let history = stage.history(&run.id).await?;
        assert!(history.iter().any(|entry| entry.said.contains("ana accepted the loss")), "{history:#?}");
        assert_calls(stage, run.opened_at);
        assert_promoted_once(stage).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_lag_is_refused_and_a_stand_down_gives_everything_back() {
    with_stage(Options { lag: Some(-1.0), ..Options::default() }, async |stage| {
        let before = stage.state().await?;
        let run = refused(stage, "nobody knows how far the replica of orders was behind, the RPO is 300 s").await?;

        let answer = stage.order("monthly-drill", "stand-down").await?;
        assert!(answer["said"].to_string().contains("ana said `stand-down`"), "{answer}");
        // The primary's own services must be there to be compared; the word holds against the evidence until then.
        stage.return_primary().await?;
        until_phase(stage, Phase::Closed, &run).await?;
        same_state(stage, &before).await?;
        let calls = stage.router.calls();
        assert_eq!(promotions(&calls).len(), 0);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        Ok(())
    })
    .await;
}

/// The primary dies; the failover is confirmed and goes no further, and says why where people look.
async fn refused(stage: &Stage, sentence: &str) -> Result<Run, Error> {
    // Two samples of the lag, as in any life before a failure.
    tokio::time::sleep(stage.speed.shortened(60) * 2).await;
    // The replica here is seconds behind and would say so. Who cannot find it cannot ask it: the metric alone is left.
    let unfound =
        Fault::new(FaultKind::Fail).service("rds").operation("DescribeDBInstances").region(STANDBY).caller(&stage.function("rotate-secret")?);
    stage.router.fault(unfound.times(1000));
    stage.lose_primary().await;
    let run = until("a refusal", Duration::from_secs(60), async || {
        let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
        let run = snapshot.head.run.clone().ok_or("no run")?;
        let history = stage.history(&run.id).await.map_err(|error| error.to_string())?;
        let said =
            history.iter().any(|entry| entry.kind == EntryKind::Refusal && entry.said.contains(sentence) && entry.said.contains("`accept-loss`"));
        if said { Ok(run) } else { Err(format!("{:?} {:?}", run.mode, run.phase)) }
    })
    .await?;
    // Some ticks and polls later nothing has changed: it is a refusal, not a delay.
    tokio::time::sleep(stage.speed.shortened(60) * 2).await;
    let snapshot = stage.snapshot().await?;
    assert_eq!(snapshot.phase(), Some((Mode::Failover, Phase::Confirmed)));
    assert_eq!(promotions(&stage.router.calls()).len(), 0);
    let status = stage.order("monthly-drill", "status").await?;
    assert!(status["way_on"].as_str().is_some_and(|way| way.contains(sentence) && way.contains("`stand-down`")), "{status}");
    Ok(run)
}

pub(crate) async fn until_phase(stage: &Stage, phase: Phase, run: &Run) -> Result<Run, Error> {
    until(&format!("{} in {phase:?}", run.id), Duration::from_secs(90), async || {
        let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
        let now = snapshot.head.run.ok_or("no run")?;
        if now.id == run.id && now.phase == phase { Ok(now) } else { Err(format!("{} in {:?}", now.id, now.phase)) }
    })
    .await
}

/// Everything is as it was: processes and health go a moment after the last word.
pub(crate) async fn same_state(stage: &Stage, before: &std::collections::BTreeMap<String, serde_json::Value>) -> Result<(), Error> {
    until("the state of before", Duration::from_secs(30), async || {
        let after = stage.state().await.map_err(|error| error.to_string())?;
        let differs: Vec<String> = before
            .iter()
            .filter(|(key, was)| after.get(*key) != Some(*was))
            .map(|(key, was)| format!("{key}: {was} became {:?}", after.get(key)))
            .collect();
        if differs.is_empty() && after.len() == before.len() { Ok(()) } else { Err(format!("{differs:?}")) }
    })
    .await
}
