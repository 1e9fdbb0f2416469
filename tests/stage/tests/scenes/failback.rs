//! The way home after a failover, on the stage that it happened on, and a drill at its end.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_secretsmanager::types::Tag;
use jiff::{SignedDuration, Timestamp};
use relight::run::{Mode, Phase};
use relight::state::Place;
use relight_stage::observe::until;
use relight_stage::scenes::{self, FailbackOutcome};
use relight_stage::{Error, Options, PRIMARY, STANDBY, Stage};
use stage_router::Call;
use uuid::Uuid;

use crate::calls::{assert_found_in_failback, forbidden, forbidden_in_drill, forbidden_in_failback, promotions_of, refused_by_iam};
use crate::common::with_stage;
use crate::failover::logins;
use crate::logins::{Attempt, How, KEPT, LogsIn, rotate_on_schedule};
use crate::passwords::{Passwords, assert_kept};

/// What the pause of writes is measured with: from the journal's first word of it to users' first write at home, seen by four of them who
/// write five times a second and hold a connection and an answer of DNS for a while.
const TOLERANCE: f64 = 6.0;

#[tokio::test(flavor = "multi_thread")]
async fn after_the_way_home_both_regions_are_as_before_every_row_is_counted_and_a_drill_passes() {
    // A proxy before the database while it serves, so that the way home has one to free.
    let options = Options { database: "proxy = \"shop-orders\"".parse().expect("a key of a plan"), ..Options::default() };
    with_stage(options, async |stage| {
        let passwords = Passwords::of(stage);
        let marked = mark(stage).await?;
        let application = LogsIn::at(stage, &[PRIMARY, STANDBY], KEPT);
        let (outcome, Meanwhile { called, rotated, stray }) =
            tokio::try_join!(Box::pin(scenes::failback(stage)), Box::pin(while_the_standby_serves(stage, &marked)))?;
        assert_eq!((outcome.run.mode, outcome.run.phase, outcome.report.passed), (Mode::Failback, Phase::Closed, true), "{:#?}", outcome.report);
        assert_eq!(stage.snapshot().await?.head.serving, Place::Primary);
        assert!(!stage.is_stopped().await?);

        let serving = outcome.failover.run.ended_at.expect("the standby served");
        assert!(called > serving && rotated < outcome.run.opened_at, "it was rotated in peace, while the standby served");
        let home = written_home(stage, &outcome);
        ten_times_a_second(&outcome, home, &application.stop().await);
        rows(stage, &outcome, stray).await?;
        pause(&outcome);
        assert_eq!(outcome.differences(), [""; 0]);
        assert_eq!(outcome.set_aside().len(), 2, "the old writer and the one that served: {:?}", outcome.set_aside());
        for left in outcome.set_aside() {
            assert!(outcome.report.set_aside.iter().any(|line| line.contains(left)), "the report does not name {left}");
        }
        let targets = stage.clients(STANDBY).rds.describe_db_proxy_targets().db_proxy_name("shop-orders").send().await;
        assert_eq!(targets.map_err(Error::part("looking at the proxy"))?.targets().len(), 0, "nobody is behind the proxy any more");
        calls(stage, &outcome);
        no_login_is_refused(stage, STANDBY, outcome.run.opened_at);
        no_login_is_refused(stage, PRIMARY, home + SignedDuration::try_from(KEPT).expect("seconds"));

        let timeline = "select pg_is_in_recovery()::text, timeline_id::text from pg_control_checkpoint()";
        assert_eq!(asked(stage, PRIMARY, stage.database(), "postgres", timeline).await?, ["false", "3"], "promoted once in each Region");
        assert_eq!(asked(stage, STANDBY, stage.replica(), "postgres", "select pg_is_in_recovery()::text").await?, ["true"]);
        assert!(outcome.drill.report.passed, "{:#?}", outcome.drill.report.findings);
        assert_eq!(outcome.drill.differences(), [""; 0]);

        let journal = format!("{:?}", stage.history(&outcome.run.id).await?);
        let report = stage.report(&format!("{}.json", outcome.run.id)).await?;
        assert_kept(stage, &passwords.stop().await, &[("the journal", journal), ("the report", report)]);
        Ok(())
    })
    .await;
}

/// The application's secret gets a tag and a policy from its owner, at home. Says how the replica of it then stands.
async fn mark(stage: &Stage) -> Result<Marks, Error> {
    let (secrets, name) = (stage.clients(PRIMARY).secrets, stage.workload.app_secret());
    let tag = Tag::builder().key("owner").value("orders").build();
    secrets.tag_resource().secret_id(name).tags(tag).send().await.map_err(Error::part("tagging the application's secret"))?;
    secrets.put_resource_policy().secret_id(name).resource_policy(POLICY).send().await.map_err(Error::part("giving it a policy"))?;
    let marks = marks(stage).await?;
    assert!(marks.0.contains(&format!(":{STANDBY}:")) && marks.1.contains(&("owner".to_owned(), "orders".to_owned())), "{marks:?}");
    assert_eq!(marks.2.as_deref(), Some(POLICY));
    Ok(marks)
}

/// It denies what nobody does.
const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:DeleteSecret","Resource":"*"}]}"#;

/// ARN, tags and policy.
type Marks = (String, BTreeSet<(String, String)>, Option<String>);

/// Those of the application's secret in the standby.
async fn marks(stage: &Stage) -> Result<Marks, Error> {
    let (secrets, name) = (stage.clients(STANDBY).secrets, stage.workload.app_secret());
    let seen = secrets.describe_secret().secret_id(name).send().await.map_err(Error::part("describing the application's secret"))?;
    let policy = secrets.get_resource_policy().secret_id(name).send().await.map_err(Error::part("reading its policy"))?;
    let tags = seen.tags().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
    Ok((seen.arn().unwrap_or_default().to_owned(), tags.collect(), policy.resource_policy().map(str::to_owned)))
}

/// The secret that stands alone is the one that it was but for its login, and what the schedule does a month after the failover works.
async fn while_the_standby_serves(stage: &Stage, marked: &Marks) -> Result<Meanwhile, Error> {
    until("the failover over and its secrets rotated", Duration::from_secs(150), async || {
        let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
        let rotated = snapshot.progress.rotation.secrets.get(stage.workload.app_secret()).is_some_and(|step| step.tested_at.is_some());
        let phase = snapshot.head.run.map(|run| (run.mode, run.phase));
        if rotated && phase == Some((Mode::Failover, Phase::Active)) { Ok(()) } else { Err(format!("{phase:?}, rotated: {rotated}")) }
    })
    .await?;
    assert_eq!(marks(stage).await?, *marked, "standing alone it kept its ARN, its tags and its policy");
    // Two users alternate: what is two rotations old is refused, and nobody keeps a login for that long.
    tokio::time::sleep(KEPT + Duration::from_secs(1)).await;
    let (called, rotated) = rotate_on_schedule(stage, STANDBY).await?;
    // A split brain: somebody who does not go by users' name writes to the old primary, which runs again.
    let stray = Uuid::new_v4();
    let insert = format!("insert into orders (id, region) values ('{stray}', '{PRIMARY}')");
    until("a row in the old primary", Duration::from_secs(60), async || {
        stage.rds.sql(PRIMARY, stage.database(), "shop", &insert).await.map(drop).map_err(|error| error.to_string())
    })
    .await?;
    Ok(Meanwhile { called, rotated, stray })
}

/// The rotation on schedule, and a row that the old primary took beside the standby.
struct Meanwhile {
    called: Timestamp,
    rotated: Timestamp,
    stray: Uuid,
}

/// When the application's secret was written at home.
fn written_home(stage: &Stage, outcome: &FailbackOutcome) -> Timestamp {
    let writes_home = |call: &&Call| {
        let app = call.resources.iter().any(|resource| resource.contains(stage.workload.app_secret()));
        call.time >= outcome.run.opened_at && call.region == PRIMARY && call.operation == "PutSecretValue" && app
    };
    let calls = stage.router.calls();
    let put = calls.iter().find(writes_home).expect("its secret was written at home");
    put.time + SignedDuration::from_millis(i64::try_from(put.millis).unwrap_or(0))
}

/// From the repointing on no login in the standby is refused, through failover, rotation on schedule, failback and drill. At home none is
/// from when its secret was written on; what was kept there from before the failure is two rotations old, and read again.
fn ten_times_a_second(outcome: &FailbackOutcome, put: Timestamp, attempts: &[Attempt]) {
    let repointed = outcome.failover.snapshot.progress.rotation.secrets["shop/orders/app"].repointed_at.expect("repointed");
    let kept = SignedDuration::try_from(KEPT).expect("seconds");
    for (region, since, fresh) in [(STANDBY, repointed, repointed), (PRIMARY, put, put + kept)] {
        let here: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.region == region && attempt.began > since).collect();
        let refused: Vec<&&Attempt> =
            here.iter().filter(|attempt| attempt.how == How::Refused || (attempt.began > fresh && attempt.met_a_refusal())).collect();
        println!("{region}: {} logins since {since}, {} refused", here.len(), refused.len());
        assert!(refused.is_empty(), "{region}: {refused:#?}");
        let last = here.iter().any(|attempt| attempt.how == How::In && attempt.began > outcome.drill.run.opened_at);
        assert!(last && here.len() > 50, "{region}: somebody is let in to the end, {} logins", here.len());
    }
}

/// Every committed row is at home or in the file, and the rows of the file are those that the failover lost and the stray one.
async fn rows(stage: &Stage, outcome: &FailbackOutcome, stray: Uuid) -> Result<(), Error> {
    let rows = &outcome.rows;
    assert!(rows.committed.len() > 500, "users wrote all the time: {}", rows.committed.len());
    assert_eq!(rows.nowhere(), BTreeSet::new());
    assert!(!outcome.failover.lost.is_empty());
    let mut alone = outcome.failover.lost.clone();
    alone.insert(stray);
    assert_eq!(rows.left, alone, "what the failover lost, and what the old primary took afterwards");
    assert!(rows.left.is_disjoint(&rows.home));
    assert_eq!(rows.home, rows.standby);
    let named: u64 = outcome.report.rows_left.iter().map(|left| left.missing + left.differing).sum();
    assert_eq!(usize::try_from(named).ok(), Some(rows.left.len()), "{:?}", outcome.report.rows_left);

    // What was set aside still has its rows, and the one that served takes no more.
    let left =
        |region: &str| outcome.after.keys().find(|key| key.starts_with(region) && key.contains("-left-")).and_then(|key| key.rsplit(' ').next());
    let (old, served) = (left(PRIMARY).expect("the old writer"), left(STANDBY).expect("the writer that served"));
    let count = format!(
        "select count(*)::text from orders where id::text in ('{}')",
        rows.left.iter().map(ToString::to_string).collect::<Vec<_>>().join("','")
    );
    assert_eq!(asked(stage, PRIMARY, old, "shop", &count).await?, [rows.left.len().to_string()]);
    assert_eq!(asked(stage, STANDBY, served, "shop", "show default_transaction_read_only").await?, ["on"]);
    assert_eq!(asked(stage, PRIMARY, stage.database(), "shop", "show default_transaction_read_only").await?, ["off"]);
    Ok(())
}

fn pause(outcome: &FailbackOutcome) {
    let paused = outcome.report.measured.write_pause_seconds.expect("writes paused");
    assert!(paused > 0.0 && paused < 300.0, "{paused}");
    assert!((outcome.writes_out - paused).abs() < TOLERANCE, "users were without writes for {} s, the report says {paused} s", outcome.writes_out);
    assert!(outcome.reads_out < outcome.writes_out, "reads go on while writes pause: {} s of {} s", outcome.reads_out, outcome.writes_out);
}

/// Each part of the scene by its own list.
pub(crate) fn calls(stage: &Stage, outcome: &FailbackOutcome) {
    let all = stage.router.calls();
    let between = |from: Timestamp, to: Option<Timestamp>| -> Vec<Call> {
        all.iter().filter(|call| call.time >= from && to.is_none_or(|to| call.time < to)).cloned().collect()
    };
    let (failover, failback, drill) = (&outcome.failover.run, &outcome.run, &outcome.drill.run);
    assert_eq!(forbidden(&between(failover.opened_at, Some(failback.opened_at)), PRIMARY, failover.opened_at), [""; 0]);
    let home = between(failback.opened_at, failback.ended_at);
    assert_eq!(forbidden_in_failback(&home, PRIMARY), [""; 0]);
    assert_found_in_failback(&home);
    assert_eq!(forbidden_in_drill(&between(drill.opened_at, None), PRIMARY), [""; 0]);
    assert_eq!(refused_by_iam(&all), [""; 0]);
    assert_eq!(promotions_of(&all, PRIMARY, stage.database()).len(), 1);
    assert_eq!(promotions_of(&all, STANDBY, stage.replica()).len(), 1);
}

/// Neither a password nor a host that the tasks of the application read is wrong.
fn no_login_is_refused(stage: &Stage, region: &str, since: Timestamp) {
    let refused: Vec<_> = logins(stage, region).into_iter().filter(|login| login.time >= since && login.is_refused()).collect();
    assert!(refused.is_empty(), "{region}: {refused:#?}");
}

/// The one row that a database answers.
async fn asked(stage: &Stage, region: &str, instance: &str, database: &str, sql: &str) -> Result<Vec<String>, Error> {
    let rows = stage.rds.sql(region, instance, database, sql).await.map_err(Error::part("asking a database"))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}
