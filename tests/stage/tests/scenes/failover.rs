//! The primary Region dies under load.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use relight::evidence::Word;
use relight::run::{Mode, Phase};
use relight::state::{Place, RotationProgress, SecretStep};
use relight_stage::observe::until;
use relight_stage::scenes::{self, FailoverOutcome};
use relight_stage::{Error, HEALTH, Options, PRIMARY, STANDBY, Stage};
use serde::Deserialize;
use stage_router::{Fault, FaultKind};

use crate::calls::{assert_found_in_failover, forbidden, promotions, refused_by_iam};
use crate::common::with_stage;
use crate::logins::{Attempt, How, LogsIn, ask_for_a_single_user};
use crate::passwords::{Passwords, assert_kept};

/// How long an old address is tried: the shop keeps a login for five seconds; a request that read it last may wait a second
/// behind another's try before its user gives up, tries for 0.8 seconds itself, and the machine is busy.
const TTL: SignedDuration = SignedDuration::from_millis(5000 + 1000 + 800 + 1000);
/// The lag was sampled up to a sample's period before the failure; two rows are 50 ms apart, and both clocks are those of a busy machine.
const TOLERANCE: f64 = 0.5;

#[tokio::test(flavor = "multi_thread")]
async fn primary_dies_and_the_standby_serves_with_no_more_lost_than_estimated() {
    with_stage(Options::default(), async |stage| {
        let passwords = Passwords::of(stage);
        let (outcome, received) = tokio::try_join!(scenes::failover(stage), received(stage))?;
        assert_end(stage, &outcome).await?;
        assert_logins(stage, &outcome.snapshot.progress.rotation).await?;

        // What the replica had received when its source died is there; what it had not is what was lost.
        let kept = orders(stage, STANDBY, "shop-orders-replica").await?;
        assert!(!received.is_empty() && received.is_subset(&kept), "{} of {} rows are gone", received.difference(&kept).count(), received.len());
        assert!(!outcome.lost.is_empty(), "a replica two seconds behind loses rows");
        assert!(outcome.lost.iter().all(|row| !received.contains(&row.to_string())));
        let estimate = outcome.report.measured.rpo_seconds.expect("the lag was known");
        assert!(outcome.lost_seconds <= estimate + TOLERANCE, "{} s lost, {estimate} s estimated", outcome.lost_seconds);

        let passwords = passwords.stop().await;
        assert!(passwords.len() > stage.workload.passwords.len(), "the rotation made a password, and it was seen");
        let journal = format!("{:?} {:?}", outcome.snapshot, stage.history(&outcome.run.id).await?);
        let report = stage.report(&format!("{}.json", outcome.run.id)).await?;
        let page = stage.report(&format!("{}.html", outcome.run.id)).await?;
        assert_kept(stage, &passwords, &[("the journal", journal), ("the report", report), ("the report's page", page)]);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_the_standby_is_dark_and_a_single_user_is_refused_within_the_window_alone() {
    with_stage(Options::default(), async |stage| {
        ask_for_a_single_user(stage).await?;
        // It reads often: who keeps a secret for longer than the window may not meet it.
        let application = LogsIn::at(stage, &[STANDBY], Duration::from_millis(300));
        // No alarm, no control plane of DNS, no metric of a health check: what is left is the probe and what DNS answers.
        stage.router.dark(HEALTH, true);
        let outcome = scenes::failover(stage).await?;
        assert_end(stage, &outcome).await?;
        let alarm = &outcome.snapshot.evidence.observers.get("alarm").map(|seen| seen.word);
        assert_ne!(*alarm, Some(Word::Down), "nobody heard the alarm");
        // A rotation may outlast its run, and the report then says that it was under way.
        let secrets = until("the rotation's end", Duration::from_secs(60), async || {
            let secrets = stage.snapshot().await.map_err(|error| error.to_string())?.progress.rotation.secrets;
            let ended = outcome.report.measured.windows.iter().all(|window| secrets[&window.secret].rotated_at.is_some());
            if ended { Ok(secrets) } else { Err(format!("{secrets:?}")) }
        })
        .await?;
        assert_refused_within_the_window(&outcome, &secrets, &application.stop().await);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_fails_over_from_a_healthy_primary_and_stop_alone_moves_its_users() {
    with_stage(Options::default(), async |stage| {
        // Fenced, the primary would be ill as well: its own check would move users.
        let fence = Fault::new(FaultKind::Fail).service("rds").operation("ModifyDBInstance").region(PRIMARY).times(u32::MAX);
        stage.router.fault(fence);
        stage.order("monthly-drill", "failover").await?;
        let snapshot = until("the standby serving", Duration::from_secs(90), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let phase = snapshot.head.run.as_ref().map(|run| run.phase);
            if phase == Some(Phase::Active) { Ok(snapshot) } else { Err(format!("{phase:?}, {:?}", snapshot.progress.traffic)) }
        })
        .await?;
        let run = snapshot.head.run.expect("a run");
        let word = |name: &str| snapshot.evidence.observers[name].word;
        assert_eq!((word("watcher"), word("checkers")), (Word::Up, Word::Up), "the primary is healthy to its end");
        assert_eq!(snapshot.progress.traffic.users_at, Some(Place::Standby));
        assert!(stage.is_stopped().await?);
        assert_calls(stage, run.opened_at);
        assert_promoted_once(stage).await
    })
    .await;
}

/// The report says how long a single user may have been refused, and nobody was at another time.
fn assert_refused_within_the_window(outcome: &FailoverOutcome, secrets: &BTreeMap<String, SecretStep>, attempts: &[Attempt]) {
    let [window] = outcome.report.measured.windows.as_slice() else { panic!("one window is measured: {:?}", outcome.report.measured.windows) };
    let step = &secrets[&window.secret];
    let until = step.rotated_at.expect("it was rotated");
    let seconds = until.duration_since(window.from).as_secs_f64();
    println!("the window of {}: {seconds} s, by the report {:?}", window.secret, window.seconds);
    assert!(seconds > 0.0 && seconds < 20.0, "{window:?}");
    assert_eq!(Some(window.from), step.rotation_called_at);
    assert!(window.until.is_none_or(|said| said == until) && window.seconds.is_some() == window.until.is_some(), "{window:?}");

    let repointed = step.repointed_at.expect("repointed");
    let since: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.began >= repointed).collect();
    let refused: Vec<&&Attempt> = since.iter().filter(|attempt| attempt.how == How::Refused).collect();
    let outside: Vec<&&&Attempt> = refused.iter().filter(|attempt| attempt.ended < window.from || attempt.began > until).collect();
    println!("{} logins from the repointing on, {} refused", since.len(), refused.len());
    assert!(outside.is_empty(), "refused outside of {window:?}: {outside:#?}");
    assert!(since.iter().any(|attempt| attempt.met_a_refusal()), "the old password died: somebody met that");
    assert!(since.iter().any(|attempt| attempt.began > until && attempt.how == How::In), "and the new one works");
    assert!(since.len() > 50, "only {} logins", since.len());
}

/// What each failover must come to.
pub(crate) async fn assert_end(stage: &Stage, outcome: &FailoverOutcome) -> Result<(), Error> {
    assert_eq!((outcome.run.mode, outcome.run.phase), (Mode::Failover, Phase::Active));
    assert!(outcome.report.passed, "{:#?}", outcome.report.findings);
    assert_calls(stage, outcome.run.opened_at);
    assert_promoted_once(stage).await
}

/// One promotion, by the router's log, and none of the calls that a failover forbids.
pub(crate) fn assert_calls(stage: &Stage, opened_at: Timestamp) {
    let calls = stage.router.calls();
    assert_eq!(forbidden(&calls, PRIMARY, opened_at), [""; 0]);
    assert_found_in_failover(&calls, opened_at);
    assert_eq!(refused_by_iam(&calls), [""; 0]);
    assert_eq!(promotions(&calls).len(), 1, "{:#?}", promotions(&calls));
}

/// PostgreSQL's own count: each promotion begins a timeline.
pub(crate) async fn assert_promoted_once(stage: &Stage) -> Result<(), Error> {
    let sql = "select pg_is_in_recovery()::text, timeline_id::text from pg_control_checkpoint()";
    let promoted = until("the promoted server's first checkpoint", Duration::from_secs(20), async || {
        let rows = stage.rds.sql(STANDBY, "shop-orders-replica", "postgres", sql).await.map_err(|error| error.to_string())?;
        let row: Vec<String> = rows.into_iter().flatten().flatten().collect();
        if row == ["false", "1"] { Err(format!("{row:?}")) } else { Ok(row) }
    })
    .await?;
    assert_eq!(promoted, ["false", "2"]);
    Ok(())
}

/// The rows that had reached the replica when its source died.
pub(crate) async fn received(stage: &Stage) -> Result<BTreeSet<String>, Error> {
    until("a run", Duration::from_secs(90), async || {
        let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
        snapshot.head.run.map(drop).ok_or("none yet".to_owned())
    })
    .await?;
    let rows = orders(stage, STANDBY, "shop-orders-replica").await?;
    assert_eq!(promotions(&stage.router.calls()).len(), 0, "the rows were read before the promotion");
    Ok(rows)
}

pub(crate) async fn orders(stage: &Stage, region: &str, instance: &str) -> Result<BTreeSet<String>, Error> {
    let rows = stage.rds.sql(region, instance, "shop", "select id from orders").await.map_err(Error::part("reading the orders"))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// A line of the application's log of logins.
#[derive(Debug, Deserialize)]
pub(crate) struct Login {
    pub(crate) time: Timestamp,
    secret_version: String,
    ok: bool,
    sqlstate: Option<String>,
}

impl Login {
    /// For its user or its password.
    pub(crate) fn is_refused(&self) -> bool {
        self.sqlstate.as_deref().is_some_and(|state| state.starts_with("28"))
    }
}

/// What the application logged of its logins in one Region.
pub(crate) fn logins(stage: &Stage, region: &str) -> Vec<Login> {
    let text = std::fs::read_to_string(stage.folder.join(format!("logins-{region}.jsonl"))).expect("the shop logs its logins");
    text.lines().map(|line| serde_json::from_str(line).expect("a login")).collect()
}

/// From the repointing on no login fails for its secret: not while old logins are cached, since the rotation leaves the user before
/// alone, and not after. Who still holds the old address gets no answer from the dead primary, for as long as its cache keeps it.
pub(crate) async fn assert_logins(stage: &Stage, rotation: &RotationProgress) -> Result<(), Error> {
    let step = &rotation.secrets["shop/orders/app"];
    let (repointed, rotated) = (step.repointed_at.expect("repointed"), step.rotated_at.expect("rotated"));
    let read = || logins(stage, STANDBY);
    until("a login after the rotation", Duration::from_secs(15), async || {
        if read().iter().any(|login| login.ok && login.time > rotated + TTL) { Ok(()) } else { Err("none".to_owned()) }
    })
    .await
    .or_else(|error| if Timestamp::now() > rotated + TTL { Ok(()) } else { Err(error) })?;
    let logins = read();
    let refused: Vec<&Login> = logins.iter().filter(|login| login.time >= repointed && login.is_refused()).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let failed: Vec<&Login> = logins.iter().filter(|login| login.time > repointed + TTL && !login.ok).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let before: BTreeSet<&str> = logins.iter().filter(|login| login.time < repointed).map(|login| login.secret_version.as_str()).collect();
    let fresh = logins.iter().filter(|login| login.time > repointed && login.ok && !before.contains(login.secret_version.as_str()));
    assert!(fresh.count() > 0, "somebody logged in with a version that the failover made");
    Ok(())
}
