//! Two plans in one account and one pair of Regions: what becomes of one is nothing to the other.

use std::collections::BTreeMap;
use std::time::Duration;

use relight::run::Phase;
use relight_stage::observe::until;
use relight_stage::{Error, Options, Stage};
use serde_json::Value;
use stage_router::Call;

use crate::calls::refused_by_iam;
use crate::common::with_stage;

const OTHER: &str = "books";

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_of_one_plan_leaves_every_field_of_another_as_it_was() {
    with_stage(Options { beside: vec![OTHER.to_owned()], ..Options::default() }, async |stage| {
        let before = of_other(stage).await?;
        for kind in ["service", "target", "group", "instance", "secret"] {
            assert!(before.keys().any(|key| key.contains(&format!(" {kind} "))), "the other plan has a {kind}: {before:#?}");
        }
        // Two samples of the lag, as in any life before a failure.
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;
        stage.lose_workload().await?;
        until("the first plan's standby serving", Duration::from_secs(150), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let run = snapshot.head.run.clone().ok_or("no run")?;
            if run.phase == Phase::Active { Ok(()) } else { Err(format!("{:?}", run.phase)) }
        })
        .await?;
        // Some ticks more of both: what is still under way has happened by then.
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;

        assert_eq!(of_other(stage).await?, before);
        let books = &stage.others[0];
        let snapshot = stage.snapshot_of(books).await?;
        assert!(snapshot.head.run.is_none(), "{:?}", snapshot.head.run);
        let verdict = stage.dns.health(&books.health_check());
        assert_eq!(verdict, Some(true), "Route 53 sees the other's primary up");
        let calls = stage.router.calls();
        assert_eq!(strangers(&calls, &stage.workload.name, &books.name), [""; 0]);
        assert_eq!(strangers(&calls, &books.name, &stage.workload.name), [""; 0]);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        Ok(())
    })
    .await;
}

/// Everything of the state that is the other plan's.
async fn of_other(stage: &Stage) -> Result<BTreeMap<String, Value>, Error> {
    let mut state = stage.state().await?;
    state.retain(|key, _| key.contains(OTHER));
    // A function looks at its journal under no lease, and may hold one for the moment of a look.
    state.remove(&format!("{OTHER} journal leases"));
    Ok(state)
}

/// Calls by which the Relight of one plan changed something of another's. Reading a list shows whatever is in the account.
fn strangers(calls: &[Call], own: &str, other: &str) -> Vec<String> {
    let writes = |call: &&Call| !["Describe", "Get", "List", "Head", "Query"].iter().any(|read| call.operation.starts_with(read));
    let reaches = |call: &&Call| call.resources.iter().any(|resource| resource.split([':', '/', '-']).any(|part| part == other));
    let of_own = calls.iter().filter(|call| call.caller.starts_with(&format!("{own}-relight-")));
    of_own.filter(writes).filter(reaches).map(|call| format!("{} called {} on {:?}", call.caller, call.operation, call.resources)).collect()
}
