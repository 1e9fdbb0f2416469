//! Replicas and secrets.

use relight::decide::readiness::Severity::{Blocking, Warning};
use relight::ports::{LagSample, Stage};
use relight::state::Key;
use relight_world::World;
use relight_world::database::LagFeed;
use serde_json::json;

use crate::scene::{PLAN, found, found_of, minutes, only};

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_gone() {
    only(
        |world| world.database.lose("orders-replica"),
        Blocking,
        "replica/orders-replica",
        "no instance orders-replica",
        "cross-Region replica of orders",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_somebody_promoted() {
    let breaks = |world: &World| {
        world.database.change("orders-replica", |instance| {
            instance.source = None;
            instance.replication.clear();
        });
    };
    let found = found(breaks).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("blocking database/orders: the promotion of orders would be refused: orders-replica replicates nothing"),
        "{found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_replication_broke() {
    let breaks = |status: &'static str| {
        move |world: &World| world.database.change("orders-replica", |instance| instance.replication = vec![status.to_owned()])
    };
    only(breaks("error"), Blocking, "replica/orders-replica", "in state `error`", "describe-db-instances").await;
    only(breaks("terminated"), Blocking, "database/orders", "replication of orders-replica is terminated", "create orders-replica again").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_fell_behind_the_objective() {
    let breaks = |world: &World| world.database.set_lag("orders-replica", LagFeed::Constant(Some(612.0)));
    only(breaks, Blocking, "database/orders", "612 s behind", "let the replica catch up").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_lag_nobody_knows() {
    let stale = |world: &World| {
        let at = world.now() - minutes(9);
        world.database.set_lag("orders-replica", LagFeed::Series(vec![LagSample { at, seconds: Some(1.0) }]));
    };
    only(stale, Blocking, "database/orders", "no sample in the 5m before", "AWS/RDS ReplicaLag").await;
    let inactive = |world: &World| world.database.set_lag("orders-replica", LagFeed::Constant(None));
    only(inactive, Blocking, "database/orders", "was -1", "AWS/RDS ReplicaLag").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_full_stopped_or_backing_up() {
    let breaks = |status: &'static str| move |world: &World| world.database.change("orders-replica", |instance| instance.status = status.to_owned());
    only(breaks("storage-full"), Blocking, "database/orders", "storage-full", "describe-events").await;
    only(breaks("backing-up"), Warning, "replica/orders-replica", "backing-up", "wait for it").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_of_another_engine_than_the_plan_says() {
    let other = |world: &World| world.database.change("orders-replica", |instance| instance.engine = "mariadb".to_owned());
    only(other, Blocking, "replica/orders-replica", "is mariadb, and the plan says postgres", "correct `engine`").await;
}

#[tokio::test(start_paused = true)]
async fn a_mariadb_without_a_heartbeat_tells_nothing_of_what_is_still_on_its_way() {
    let plan = PLAN.replace("engine = \"postgres\"", "engine = \"mariadb\"");
    let found = found_of(&plan).await;
    let [one] = &found[..] else { panic!("not one finding: {found:#?}") };
    assert!(one.starts_with("warning database/orders: nothing tells how far") && one.contains("| give the plan's database a `heartbeat`"), "{one}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_copy_a_drill_restores_from_a_snapshot() {
    let without = |world: &World| world.database.change("orders-replica", |instance| instance.backup_retention = 0);
    only(without, Warning, "database/orders", "from a snapshot, which takes longer", "--backup-retention-period 1").await;
    let old = |world: &World| world.database.change("orders-replica", |instance| instance.engine_version = "13.14".to_owned());
    only(old, Warning, "database/orders", "PostgreSQL 13.14", "14.1 or later").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_waits_for_its_window() {
    let pending = |world: &World| world.database.change("orders-replica", |instance| instance.pending_class = Some("db.r6g.large".to_owned()));
    only(pending, Warning, "replica/orders-replica", "db.r6g.large", "--apply-immediately").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_never_replicated_or_was_cut_loose() {
    only(|world| world.secrets.lose("shop/app"), Blocking, "secret/shop/app", "no secret shop/app", "replicate-secret-to-regions").await;
    only(|world| world.secrets.stand_alone("shop/app"), Warning, "secret/shop/app", "stands alone", "--force-overwrite-replica-secret").await;
}

#[tokio::test(start_paused = true)]
async fn a_region_that_may_have_no_further_instance() {
    let breaks = |world: &World| world.database.set_most_instances(1);
    only(breaks, Warning, "quota/DBInstances", "nothing is left, 1 of 1", "request-service-quota-increase").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_does_not_log_in() {
    // rotate-secret, woken to look, logs in as it is due.
    let breaks = |world: &World| {
        let mut memory = world.journal.snapshot().memory;
        memory.logins.clear();
        world.journal.set(Key::Memory, json!(memory));
        world.login.set_password("orders-replica.standby.rds.test", "app", "another one");
    };
    only(breaks, Blocking, "secret/shop/app", "refuses this user and password", "put the login that the database has into the secret").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_without_a_current_version() {
    let breaks = |world: &World| world.secrets.set("shop/app", "00000000-0000-0000-0000-000000000001", &[Stage::Previous], None);
    only(breaks, Blocking, "secret/shop/app", "no version under AWSCURRENT", "in the primary Region").await;
}
