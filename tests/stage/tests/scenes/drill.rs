//! The monthly drill, and a primary that dies in the middle of one.

use std::collections::BTreeSet;
use std::time::Duration;

use relight::ports::{Change, Journal, Write, Written};
use relight::run::{Mode, Phase};
use relight::state::{Key, Owed};
use relight_stage::observe::until;
use relight_stage::{Error, Options, PRIMARY, STANDBY, Speed, scenes};

use crate::calls::{assert_found_in_drill, forbidden, forbidden_in_drill, promotions, refused_by_iam};
use crate::common::with_stage;
use crate::failover::assert_promoted_once;
use crate::passwords::{Passwords, assert_kept};

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_passes_and_leaves_everything_as_it_was() {
    with_stage(Options::default(), async |stage| {
        let passwords = Passwords::of(stage);
        let outcome = scenes::drill(stage).await?;
        assert_eq!((outcome.run.mode, outcome.run.phase), (Mode::Drill, Phase::Closed));
        assert!(outcome.report.passed, "{:#?}", outcome.report.findings);
        assert_eq!(outcome.differences(), [""; 0]);
        // Under load, with the copy a moment behind or ahead of the replica that it is made of.
        let [compared] = outcome.report.compared.as_slice() else { panic!("{:?}", outcome.report.compared) };
        assert!(compared.equal == Some(true) && compared.said.contains(" rows in 1 table(s)"), "{compared:?}");

        let calls = stage.router.calls();
        assert_eq!(forbidden_in_drill(&calls, PRIMARY), [""; 0]);
        assert_found_in_drill(&calls);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        let sql = "select pg_is_in_recovery()::text";
        let rows = stage.rds.sql(STANDBY, "shop-orders-replica", "postgres", sql).await.map_err(Error::part("asking the replica"))?;
        assert_eq!(rows, [[Some("true".to_owned())]], "the real replica still replicates");

        let passwords = passwords.stop().await;
        assert!(passwords.len() > stage.workload.passwords.len(), "the drill rotated a disposable secret, and it was seen");
        let report = stage.report(&format!("{}.json", outcome.run.id)).await?;
        assert_kept(stage, &passwords, &[("the journal", format!("{:?}", stage.history(&outcome.run.id).await?)), ("the report", report)]);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_dies_in_a_drill_and_the_run_becomes_a_failover_that_leaves_no_copy() {
    // The hold is not over before anybody can have seen the primary down, and what the drill made does not outlive its deadline.
    let speed = Speed { hold: 150.0, ..Speed::default() };
    let options = Options { speed, drill_deadline: Duration::from_secs(50), ..Options::default() };
    with_stage(options, async |stage| {
        // Two samples of the lag, as in any life before a failure.
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;
        stage.fire_drill().await?;
        until("the drill's copy", Duration::from_secs(30), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let copy = snapshot.obligations.values().any(|owed| matches!(owed.what, Owed::Copy { .. }));
            if copy { Ok(()) } else { Err(format!("{:?}", snapshot.obligations)) }
        })
        .await?;
        stage.lose_primary().await;
        let run = until("the standby serving, with nothing left of the drill", Duration::from_secs(120), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let run = snapshot.head.run.clone().ok_or("no run")?;
            let disposable = snapshot.obligations.values().filter(|owed| !matches!(owed.what, Owed::Capacity)).count();
            if run.phase == Phase::Active && disposable == 0 { Ok(run) } else { Err(format!("{:?} {:?}, {disposable} owed", run.mode, run.phase)) }
        })
        .await?;
        assert_eq!((run.mode, run.was_drill), (Mode::Failover, true));

        let clients = stage.clients(STANDBY);
        let instances = clients.rds.describe_db_instances().send().await.map_err(Error::part("describing DB instances"))?;
        let names: Vec<&str> = instances.db_instances().iter().filter_map(|instance| instance.db_instance_identifier()).collect();
        assert_eq!(names, ["shop-orders-replica"]);
        let secrets = clients.secrets.list_secrets().send().await.map_err(Error::part("listing secrets"))?;
        assert!(secrets.secret_list().iter().all(|secret| secret.name().is_some_and(|name| name.starts_with("shop/"))), "{secrets:?}");

        let became = run.first_down.expect("a failover has a first Down").max(run.opened_at);
        let calls = stage.router.calls();
        assert_eq!(forbidden(&calls, PRIMARY, became), [""; 0]);
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        assert_eq!(promotions(&calls).len(), 1, "{:#?}", promotions(&calls));
        assert_promoted_once(stage).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_dies_while_the_copys_snapshot_keeps_the_replica_busy_and_the_promotion_waits_for_its_end() {
    with_stage(Options::default(), async |stage| {
        // Two samples of the lag, as in any life before a failure.
        tokio::time::sleep(stage.speed.shortened(60) * 2).await;
        // Longer than it takes to confirm a failure.
        stage.rds.set_backing_up(STANDBY, stage.replica(), Duration::from_secs(40));
        stage.fire_drill().await?;
        let replica = async || {
            let clients = stage.clients(STANDBY);
            let seen = clients.rds.describe_db_instances().db_instance_identifier(stage.replica()).send().await.map_err(|error| error.to_string())?;
            seen.db_instances().first().and_then(|instance| instance.db_instance_status()).map(str::to_owned).ok_or("no replica".to_owned())
        };
        until("the snapshot that the copy is made from", Duration::from_secs(30), async || match replica().await?.as_str() {
            "backing-up" => Ok(()),
            status => Err(status.to_owned()),
        })
        .await?;
        stage.lose_primary().await;
        let run = until("the standby serving", Duration::from_secs(150), async || {
            let run = stage.snapshot().await.map_err(|error| error.to_string())?.head.run.ok_or("no run")?;
            if run.phase == Phase::Active { Ok(run) } else { Err(format!("{:?} {:?}", run.mode, run.phase)) }
        })
        .await?;
        assert_eq!((run.mode, run.was_drill), (Mode::Failover, true));
        let history = stage.history(&run.id).await?;
        let busy = "shop-orders-replica is backing-up, RDS promotes and copies it after that";
        let said = history.iter().position(|entry| entry.about == "database/orders" && entry.said.contains(busy));
        let promoted = history.iter().position(|entry| entry.said.starts_with("promotes shop-orders-replica"));
        assert!(said.is_some() && said < promoted, "{history:#?}");
        let calls = stage.router.calls();
        assert_eq!(refused_by_iam(&calls), [""; 0]);
        assert_eq!(promotions(&calls).len(), 1, "none was sent for RDS to refuse: {:#?}", promotions(&calls));
        assert_promoted_once(stage).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_drill_restored_goes_with_its_snapshot_although_the_journal_lost_it() {
    // Long enough to lose something in it.
    let speed = Speed { hold: 300.0, ..Speed::default() };
    with_stage(Options { speed, ..Options::default() }, async |stage| {
        let clients = stage.clients(STANDBY);
        // RDS makes no replica of what has no backups.
        let modify = clients.rds.modify_db_instance().db_instance_identifier(stage.replica()).backup_retention_period(0).apply_immediately(true);
        modify.send().await.map_err(Error::part("taking the replica's backups away"))?;
        until("a replica without backups", Duration::from_secs(30), async || {
            let seen = clients.rds.describe_db_instances().db_instance_identifier(stage.replica()).send().await.map_err(|error| error.to_string())?;
            let [replica] = seen.db_instances() else { return Err("no replica".to_owned()) };
            let without = replica.backup_retention_period() == Some(0) && replica.db_instance_status() == Some("available");
            if without { Ok(()) } else { Err(format!("{:?} {:?}", replica.db_instance_status(), replica.backup_retention_period())) }
        })
        .await?;
        stage.fire_drill().await?;
        let held = until("full capacity held", Duration::from_secs(120), async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            match snapshot.head.run.as_ref().map(|run| run.phase) {
                Some(Phase::Holding) => Ok(snapshot),
                phase => Err(format!("{phase:?}")),
            }
        })
        .await?;
        let lost: Vec<Key> =
            held.obligations.iter().filter(|(_, owed)| owed.what != Owed::Capacity).map(|(id, _)| Key::Obligation(id.clone())).collect();
        assert_eq!(lost.len(), 3, "a copy and two secrets: {lost:?}");
        let copy = held.progress.promotion.copies["orders"].clone();
        assert!(copy.is_restored() && copy.promoted_at.is_some(), "{copy:?}");
        assert!(held.progress.rotation.rehearsal.proven.contains_key("orders"), "logged in to, and written: {:?}", held.progress.rotation.rehearsal);
        let snapshots = async || {
            let found = clients.rds.describe_db_snapshots().send().await.map_err(Error::part("describing DB snapshots"))?;
            Ok::<Vec<String>, Error>(
                found.db_snapshots().iter().filter_map(|snapshot| snapshot.db_snapshot_identifier()).map(str::to_owned).collect(),
            )
        };
        assert_eq!(snapshots().await?, [copy.instance]);
        let changes = lost.into_iter().map(|key| Write { expected: held.revision(&key), key, change: Change::Delete }).collect();
        let written = stage.journal()?.write(changes, Vec::new()).await.map_err(Error::part("losing what is owed"))?;
        assert_eq!(written, Written::Done);

        until("the drill closed", Duration::from_secs(120), async || {
            let run = stage.snapshot().await.map_err(|error| error.to_string())?.head.run.ok_or("no run")?;
            if run.phase == Phase::Closed { Ok(()) } else { Err(format!("{:?}", run.phase)) }
        })
        .await?;
        let instances = clients.rds.describe_db_instances().send().await.map_err(Error::part("describing DB instances"))?;
        let names: Vec<&str> = instances.db_instances().iter().filter_map(|instance| instance.db_instance_identifier()).collect();
        assert_eq!((names, snapshots().await?), (vec!["shop-orders-replica"], Vec::new()));
        let secrets = clients.secrets.list_secrets().send().await.map_err(Error::part("listing secrets"))?;
        assert!(secrets.secret_list().iter().all(|secret| secret.name().is_some_and(|name| name.starts_with("shop/"))), "{secrets:?}");
        let run = held.head.run.expect("a run").id;
        let history = stage.history(&run).await?;
        let found = history.iter().filter(|entry| entry.said.starts_with("a drill left it and the journal did not name it"));
        let found: BTreeSet<&str> = found.map(|entry| entry.about.as_str()).collect();
        assert_eq!(found.len(), 3, "{history:#?}");
        assert_eq!(refused_by_iam(&stage.router.calls()), [""; 0]);
        Ok(())
    })
    .await;
}
