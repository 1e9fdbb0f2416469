//! A primary that comes back before anything irreversible was done.

use std::time::{Duration, Instant};

use relight::evidence::Word;
use relight::ports::EntryKind;
use relight::run::{Mode, Phase, Run};
use relight::state::TrafficProgress;
use relight_stage::observe::until;
use relight_stage::{Error, Options, Stage};
use stage_router::{Fault, FaultKind};

use crate::calls::{promotions, refused_by_iam};
use crate::common::with_stage;
use crate::refused::{same_state, until_phase};

const SWITCH_TRAFFIC: &str = "shop-relight-switch-traffic";

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_recovers_before_the_point_of_no_return_keeps_serving() {
    with_stage(Options::default(), async |stage| {
        let before = stage.state().await?;
        // The operator's hold keeps this failover before its point of no return. STOP is put when nothing else stands in the way, so the
        // word must fall between the two: S3 takes its time.
        stage.router.fault(Fault::new(FaultKind::Delay(Duration::from_secs(3))).service("s3").operation("PutObject").caller(SWITCH_TRAFFIC));
        // Two samples of the lag, as in any life before a failure.
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;
        stage.lose_primary().await;
        traffic(stage, "STOP asked for", |traffic| traffic.stop_asked_at.is_some()).await?;
        stage.order("monthly-drill", "hold").await?;
        let run = traffic(stage, "the primary held out of traffic", |traffic| traffic.held_out_at.is_some()).await?;
        assert_eq!(run.phase, Phase::Confirmed);
        assert!(stage.is_stopped().await?);

        stage.return_primary().await?;
        let run = until_phase(stage, Phase::Closed, &run).await?;
        assert_eq!((run.words.stand_down, run.committed_at), (None, None), "by itself, and before the point of no return");
        stage.order("monthly-drill", "release").await?;
        same_state(stage, &before).await?;
        assert!(!stage.is_stopped().await?);
        let calls = stage.router.calls();
        assert_eq!(promotions(&calls).len(), 0);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        let history = stage.history(&run.id).await?;
        assert!(
            history.iter().any(|entry| entry.kind == EntryKind::Phase && entry.said.contains("came back before the point of no return")),
            "{history:#?}"
        );
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_flaps_faster_than_the_dwell_is_never_confirmed() {
    with_stage(Options::default(), async |stage| {
        let before = stage.state().await?;
        let mut quorums = 0;
        // Twice down until the quorum says so, and up again before it has said so for the dwell of five seconds.
        for _ in 0..2 {
            stage.hide_primary(true);
            until("a quorum", Duration::from_secs(40), async || words(stage, Word::Down).await).await?;
            stage.hide_primary(false);
            let shown = Instant::now();
            until("the watcher seeing it again", Duration::from_secs(15), async || {
                let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
                if snapshot.evidence.observers["watcher"].word == Word::Up { Ok(()) } else { Err("not yet".to_owned()) }
            })
            .await?;
            println!("a quorum for {:.1} s", shown.elapsed().as_secs_f64());
            quorums += 1;
        }
        assert_eq!(quorums, 2);
        // And often, too fast for the checkers to follow.
        for _ in 0..3 {
            stage.hide_primary(true);
            tokio::time::sleep(Duration::from_millis(1500)).await;
            stage.hide_primary(false);
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
        let run = until("nothing open any more", Duration::from_secs(90), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let run = snapshot.head.run.ok_or("no run")?;
            if run.phase == Phase::Closed { Ok(run) } else { Err(format!("{:?}", run.phase)) }
        })
        .await?;
        assert_eq!((run.mode, run.confirmed_at), (Mode::Failover, None));
        let history = stage.history(&run.id).await?;
        assert!(history.iter().all(|entry| !entry.said.starts_with("confirmed")), "{history:#?}");
        assert!(history.iter().any(|entry| entry.said.starts_with("suspected")), "it was suspected");
        same_state(stage, &before).await?;
        assert_eq!(promotions(&stage.router.calls()).len(), 0);
        Ok(())
    })
    .await;
}

/// Waits for something in switch-traffic's progress.
async fn traffic(stage: &Stage, what: &str, there: impl Fn(&TrafficProgress) -> bool) -> Result<Run, Error> {
    until(what, Duration::from_secs(60), async || {
        let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
        let run = snapshot.head.run.clone().ok_or("no run")?;
        if there(&snapshot.progress.traffic) { Ok(run) } else { Err(format!("{:?}, {:?}", run.phase, snapshot.progress.traffic)) }
    })
    .await
}

/// The watcher and one witness of the health check both say `word`: the quorum of the stage's plan.
async fn words(stage: &Stage, word: Word) -> Result<(), String> {
    let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
    let says = |name: &str| snapshot.evidence.observers.get(name).is_some_and(|seen| seen.word == word);
    if says("watcher") && (says("checkers") || says("alarm")) { Ok(()) } else { Err(format!("{:?}", snapshot.evidence)) }
}
