//! The way home: after a failover a new replica is built from the standby's writer into the old Region, promoted there, and gets the name
//! that the old primary had.

mod common;

use common::*;
use std::time::Duration;

/// `orders-west` is the writer in the standby Region; `orders` is the old primary, alive, with a row that never arrived.
async fn failed_over(name: &str) -> Stage {
    let stage = Stage::with_replica(name).await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 10)").await.expect("rows");
    stage.arrived(STANDBY, "orders-west", 10).await;
    stage.rds.set_cut(STANDBY, "orders-west", true);
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row too late");
    stage.standby.promote_read_replica().db_instance_identifier("orders-west").backup_retention_period(1).send().await.expect("accepted");
    promoted(&stage.standby, "orders-west").await;
    stage
}

async fn promoted(client: &aws_sdk_rds::Client, id: &str) {
    until(&format!("{id} is promoted"), async || {
        let now = instance(client, id).await;
        (status(&now) == "available" && now.read_replica_source_db_instance_identifier().is_none()).then_some(())
    })
    .await;
}

async fn endpoint_port(client: &aws_sdk_rds::Client, id: &str) -> Option<i32> {
    instance(client, id).await.endpoint().and_then(|endpoint| endpoint.port())
}

#[tokio::test]
async fn replica_is_built_home_from_the_standbys_writer_and_takes_the_old_name() {
    let stage = failed_over("home").await;
    let (primary, standby) = (&stage.primary, &stage.standby);
    let host_before = endpoint_port(primary, "orders").await;

    let of = arn(STANDBY, "orders-west");
    let request = primary.create_db_instance_read_replica().db_instance_identifier("orders-home").source_db_instance_identifier(&of);
    let request = request.db_instance_class("db.r7g.large").vpc_security_group_ids("sg-orders").db_subnet_group_name("private");
    let refused = request.clone().db_parameter_group_name("orders-15").send().await.expect_err("RDS takes none for PostgreSQL");
    assert_eq!(refused.into_service_error().meta().code(), Some("InvalidParameterCombination"));
    let begun = request.publicly_accessible(false).send().await.expect("accepted").db_instance.expect("an instance");
    assert_eq!(begun.vpc_security_groups()[0].vpc_security_group_id(), Some("sg-orders"));
    assert_eq!(begun.db_subnet_group().and_then(|group| group.db_subnet_group_name()), Some("private"));
    assert_eq!(status(&instance(standby, "orders-west").await), "backing-up", "creating a replica takes a snapshot of its source");
    let home = wait_for(primary, "orders-home", "available").await;
    assert_eq!(home.read_replica_source_db_instance_identifier(), Some(of.as_str()));
    assert_eq!(home.status_infos()[0].status(), Some("replicating"));
    assert_eq!(stage.count(PRIMARY, "orders-home").await, 10, "what the standby has, and not what the old primary has");

    wait_for(standby, "orders-west", "available").await;
    stage.rds.set_delay(PRIMARY, "orders-home", Duration::from_millis(1500));
    let app = stage.login(STANDBY, "orders-west").await.expect("login");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stage.count(PRIMARY, "orders-home").await, 10, "the way back has a delay of its own");
    stage.arrived(PRIMARY, "orders-home", 11).await;

    primary.promote_read_replica().db_instance_identifier("orders-home").backup_retention_period(7).send().await.expect("accepted");
    promoted(primary, "orders-home").await;
    let rename = |from: &str, to: &str| {
        primary.modify_db_instance().db_instance_identifier(from).new_db_instance_identifier(to).apply_immediately(true).send()
    };
    assert_eq!(refusal(rename("orders-home", "orders").await), ("DBInstanceAlreadyExists".to_owned(), 400));
    let begun = rename("orders", "orders-old").await.expect("accepted").db_instance.expect("an instance");
    assert_eq!((begun.db_instance_identifier(), status(&begun)), (Some("orders"), "renaming"));
    assert_eq!(refusal(rename("orders-home", "orders-old").await).0, "DBInstanceAlreadyExists", "a name that is being given is taken");
    wait_until_known(primary, "orders-old").await;
    wait_for(primary, "orders-old", "available").await;
    assert_eq!(refusal(primary.describe_db_instances().db_instance_identifier("orders").send().await).0, "DBInstanceNotFound");
    assert_ne!(endpoint_port(primary, "orders-old").await, host_before, "another name, another host");
    assert_eq!(stage.count(PRIMARY, "orders-old").await, 11, "its data and its extra row are there");

    rename("orders-home", "orders").await.expect("accepted");
    wait_until_known(primary, "orders").await;
    let home = wait_for(primary, "orders", "available").await;
    assert_eq!(home.db_instance_arn(), Some(arn(PRIMARY, "orders").as_str()));
    assert_eq!(endpoint_port(primary, "orders").await, host_before, "who takes the old name is found at the old host");
    let app = stage.login(PRIMARY, "orders").await.expect("the password came with the data");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("the writer at home takes writes");
    assert_eq!(stage.count(PRIMARY, "orders").await, 12);
    stage.end().await;
}

async fn wait_until_known(client: &aws_sdk_rds::Client, id: &str) {
    until(&format!("{id} is there"), async || client.describe_db_instances().db_instance_identifier(id).send().await.ok()).await;
}

#[tokio::test]
async fn renamed_source_keeps_its_replicas_and_ends_its_sessions() {
    let stage = Stage::with_replica("renamed").await;
    let app = stage.login(PRIMARY, "orders").await.expect("login");
    app.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY)").await.expect("a table");
    let old_endpoint = stage.rds.endpoint(PRIMARY, "orders").expect("an endpoint");
    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders");

    modify.clone().new_db_instance_identifier("orders-2").send().await.expect("accepted");
    let waiting = instance(&stage.primary, "orders").await;
    assert_eq!(
        (status(&waiting), waiting.pending_modified_values().and_then(|pending| pending.db_instance_identifier())),
        ("available", Some("orders-2"))
    );
    modify.apply_immediately(true).send().await.expect("what waits begins");
    wait_until_known(&stage.primary, "orders-2").await;
    wait_for(&stage.primary, "orders-2", "available").await;
    assert!(app.batch_execute("SELECT 1").await.is_err(), "a rename restarts the instance");
    assert!(login(old_endpoint, PASSWORD).await.is_err(), "nobody has the old name");

    let replica = instance(&stage.standby, "orders-west").await;
    assert_eq!(replica.read_replica_source_db_instance_identifier(), Some(arn(PRIMARY, "orders-2").as_str()));
    let app = stage.login(PRIMARY, "orders-2").await.expect("login");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;
    stage.end().await;
}

#[tokio::test]
async fn key_of_an_encrypted_replica_belongs_to_its_own_region() {
    let stage = Stage::start("encrypted").await;
    let key = |region: &str| format!("arn:aws:kms:{region}:123456789012:key/orders");
    create(&stage.primary, "orders").storage_encrypted(true).kms_key_id(key(PRIMARY)).send().await.expect("accepted");
    create(&stage.primary, "plain").send().await.expect("accepted");
    wait_for(&stage.primary, "orders", "available").await;
    wait_for(&stage.primary, "plain", "available").await;
    let far =
        |of: &str| stage.standby.create_db_instance_read_replica().db_instance_identifier("far").source_db_instance_identifier(arn(PRIMARY, of));
    let combination = ("InvalidParameterCombination".to_owned(), 400);
    assert_eq!(refusal(far("orders").send().await), combination, "an encrypted one needs a key of the other Region");
    assert_eq!(refusal(far("plain").kms_key_id(key(STANDBY)).send().await), combination);
    let near = stage.primary.create_db_instance_read_replica().db_instance_identifier("near").source_db_instance_identifier("orders");
    assert_eq!(refusal(near.clone().kms_key_id(key(PRIMARY)).send().await), combination, "within a Region the source's key is used");
    far("orders").kms_key_id(key(STANDBY)).send().await.expect("accepted");
    assert_eq!(instance(&stage.standby, "far").await.kms_key_id(), Some(key(STANDBY).as_str()));
    wait_for(&stage.standby, "far", "available").await;
    wait_for(&stage.primary, "orders", "available").await;
    near.send().await.expect("accepted");
    let near = wait_for(&stage.primary, "near", "available").await;
    assert_eq!((near.storage_encrypted(), near.kms_key_id()), (Some(true), Some(key(PRIMARY).as_str())));
    wait_for(&stage.primary, "orders", "available").await;
    stage.end().await;
}
