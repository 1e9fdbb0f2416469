//! A deployment that is updated and taken back in the middle of an open run.

use std::time::Duration;

use relight::run::{Phase, Run};
use relight::state::Key;
use relight_stage::observe::until;
use relight_stage::{Error, Options, Stage, scenes, update};

use crate::common::with_stage;
use crate::failover::assert_end;

#[tokio::test(flavor = "multi_thread")]
async fn functions_and_plan_are_updated_and_taken_back_in_the_middle_of_a_failover() {
    with_stage(Options::default(), async |stage| {
        let change = async {
            let run = open_run(stage, |run| matches!(run.phase, Phase::Confirmed | Phase::Activating)).await?;
            let later = stage.write_as_a_later_version().await?;
            println!("at {:?}: another build of every function, and another version of the plan", run.phase);
            let ((), put) = tokio::try_join!(stage.update_functions(), stage.change_plan(slower))?;
            assert_eq!(put.lines().last(), Some("shop: version 2 is in force"));
            let run = open_run(stage, |_| true).await?;
            assert_eq!(run.plan_version, 1, "an open run keeps its plan");
            println!("at {:?}: the build before it again", run.phase);
            stage.go_back().await?;
            Ok(later)
        };
        let (outcome, later) = tokio::try_join!(scenes::failover(stage), change)?;
        assert_end(stage, &outcome).await?;
        assert_eq!((outcome.run.plan_version, outcome.snapshot.head.plan_version), (1, 2));
        assert_eq!(outcome.report.plan_version, 1);
        assert_ne!(outcome.report.objectives.rto_seconds, SLOWER, "it is graded by the plan that it followed");
        let answer = stage.order("monthly-drill", "status").await?;
        assert_eq!(answer["phase"], "peace, the standby serves");
        assert!(later.contains(&Key::Head) && later.len() > 2, "{later:?}");
        assert_eq!(update::lost(&stage.snapshot().await?, &later), [""; 0], "what a later version wrote is there when this one has ended the run");
        Ok(())
    })
    .await;
}

/// What the new version of the plan asks for, and the one that the run began with does not.
const SLOWER: f64 = 59.0 * 60.0;

fn slower(plan: &str) -> String {
    let mut plan: toml::Table = plan.parse().expect("the stage's plan is TOML");
    plan["objectives"]["rto"] = "59m".into();
    plan.to_string()
}

/// The open run, as soon as it is so.
async fn open_run(stage: &Stage, so: impl Fn(&Run) -> bool) -> Result<Run, Error> {
    until("the run open", Duration::from_secs(90), async || {
        let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
        let run = snapshot.head.run.filter(Run::is_open).ok_or("none is open")?;
        if so(&run) { Ok(run) } else { Err(format!("{:?}", run.phase)) }
    })
    .await
}
