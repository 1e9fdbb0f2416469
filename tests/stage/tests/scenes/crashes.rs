//! Calls that fail and processes that die at the worst moment: the end is the same.

use std::time::Duration;

use relight::run::Phase;
use relight::state::Snapshot;
use relight_stage::observe::until;
use relight_stage::{Options, STANDBY, scenes};
use stage_router::{Fault, FaultKind};

use crate::calls::{forbidden, promotions, refused_by_iam};
use crate::common::with_stage;
use crate::failover::{assert_end, assert_promoted_once};

#[tokio::test(flavor = "multi_thread")]
async fn promote_replica_is_killed_right_after_its_call_and_the_database_is_promoted_once() {
    with_stage(Options::default(), async |stage| {
        let kill = async {
            until("the failover confirmed", Duration::from_secs(90), async || {
                let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
                match snapshot.head.run.map(|run| run.phase) {
                    Some(Phase::Confirmed | Phase::Activating) => Ok(()),
                    phase => Err(format!("{phase:?}")),
                }
            })
            .await?;
            let began = std::time::Instant::now();
            while promotions(&stage.router.calls()).is_empty() && began.elapsed() < Duration::from_secs(60) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let killed = stage.kill_function("promote-replica")?;
            let step = stage.snapshot().await?.progress.promotion.databases["orders"].clone();
            println!("killed {killed} process(es); recorded: attempt {:?}, called {:?}", step.promote_attempt_at, step.promote_called_at);
            assert!(killed > 0, "the process that made the call was there to be killed");
            assert!(step.promote_attempt_at.is_some(), "the attempt is recorded before the call");
            assert_eq!(step.promoted_at, None, "it did not see its promotion's end");
            Ok(())
        };
        let (outcome, ()) = tokio::try_join!(scenes::failover(stage), kill)?;
        assert_end(stage, &outcome).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_promotions_answer_is_lost_ecs_throttles_logins_take_20_s_and_the_end_is_the_same() {
    with_stage(Options::default(), async |stage| {
        stage.router.fault(Fault::new(FaultKind::LoseAnswer).service("rds").operation("PromoteReadReplica").region(STANDBY));
        stage.router.fault(Fault::new(FaultKind::Throttle).service("ecs").operation("UpdateService").region(STANDBY).times(4));
        let slow_logins = async {
            let at = |wanted: fn(&Snapshot) -> bool| async move {
                until("the promotion and its proof", Duration::from_secs(120), async || {
                    let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
                    if wanted(&snapshot) { Ok(()) } else { Err(format!("{:?}", snapshot.progress.promotion.databases)) }
                })
                .await
            };
            at(|snapshot| snapshot.progress.promotion.databases.get("orders").is_some_and(|step| step.promote_attempt_at.is_some())).await?;
            let began = std::time::Instant::now();
            stage.rds.set_login_delay(STANDBY, stage.replica(), Duration::from_secs(20));
            at(|snapshot| snapshot.progress.rotation.proven.contains_key("orders")).await?;
            stage.rds.set_login_delay(STANDBY, stage.replica(), Duration::ZERO);
            Ok(began.elapsed())
        };
        let (outcome, slow) = tokio::try_join!(scenes::failover(stage), slow_logins)?;
        assert!(slow >= Duration::from_secs(20), "it was proven by a login that took so long: {slow:?}");
        assert_eq!(outcome.run.phase, Phase::Active);
        assert!(outcome.report.passed, "{:#?}", outcome.report.findings);
        let calls = stage.router.calls();
        let faults = |operation: &str| calls.iter().filter(|call| call.operation == operation && call.fault.is_some()).count();
        assert_eq!((faults("PromoteReadReplica"), faults("UpdateService")), (1, 4), "each fault met a call");
        assert_eq!(forbidden(&calls, relight_stage::PRIMARY, outcome.run.opened_at), [""; 0]);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        assert_eq!(promotions(&calls).len(), 1, "{:#?}", promotions(&calls));
        assert_promoted_once(stage).await
    })
    .await;
}
