//! Every error that RDS answers with here, as the real SDK reads it.

mod common;

use aws_sdk_rds::operation::promote_read_replica::PromoteReadReplicaError;
use common::*;

fn code(code: &str) -> (String, u16) {
    (code.to_owned(), 400)
}

#[tokio::test]
async fn each_wrong_request_gets_the_code_of_rds() {
    let stage = Stage::with_replica("refusals").await;
    let (primary, standby) = (&stage.primary, &stage.standby);

    let unknown = primary.promote_read_replica().db_instance_identifier("nobody").send().await.expect_err("refused");
    assert!(matches!(unknown.into_service_error(), PromoteReadReplicaError::DbInstanceNotFoundFault(_)), "the SDK knows the code");
    let not_found = ("DBInstanceNotFound".to_owned(), 404);
    assert_eq!(refusal(primary.describe_db_instances().db_instance_identifier("nobody").send().await), not_found);
    assert_eq!(refusal(standby.describe_db_instances().db_instance_identifier("orders").send().await), not_found, "it lives elsewhere");
    assert_eq!(refusal(primary.reboot_db_instance().db_instance_identifier("nobody").send().await), not_found);
    let of_nobody = standby.create_db_instance_read_replica().db_instance_identifier("copy");
    let by_name = of_nobody.clone().source_db_instance_identifier("orders").send().await;
    assert_eq!(refusal(by_name), not_found, "across Regions a source has to be named by its ARN");
    assert_eq!(refusal(of_nobody.source_db_instance_identifier(arn(PRIMARY, "nobody")).send().await), not_found);

    assert_eq!(refusal(create(primary, "orders").send().await), code("DBInstanceAlreadyExists"));
    assert_eq!(refusal(create(primary, "ORDERS").send().await), code("DBInstanceAlreadyExists"));
    assert_eq!(refusal(create(primary, "1st").send().await), code("InvalidParameterValue"));
    assert_eq!(refusal(create(primary, "other").engine("oracle-ee").send().await), code("InvalidParameterValue"));
    assert_eq!(refusal(create(primary, "other").master_user_password("short").send().await), code("InvalidParameterValue"));
    assert_eq!(refusal(create(primary, "other").backup_retention_period(36).send().await), code("InvalidParameterValue"));
    let no_engine = primary.create_db_instance().db_instance_identifier("other").db_instance_class("db.t4g.micro");
    assert_eq!(refusal(no_engine.engine("").send().await), code("MissingParameter"));
    assert_eq!(refusal(create(primary, "other").multi_tenant(true).send().await), code("InvalidParameterValue"), "not known to the stage");

    let state = code("InvalidDBInstanceState");
    assert_eq!(refusal(primary.promote_read_replica().db_instance_identifier("orders").send().await), state, "not a replica");
    assert_eq!(refusal(primary.stop_db_instance().db_instance_identifier("orders").send().await), state, "it has a replica");
    assert_eq!(refusal(standby.stop_db_instance().db_instance_identifier("orders-west").send().await), state, "it is a replica");
    assert_eq!(refusal(primary.start_db_instance().db_instance_identifier("orders").send().await), state, "it runs");
    let no_backups = standby.create_db_instance_read_replica().db_instance_identifier("copy");
    assert_eq!(refusal(no_backups.source_db_instance_identifier("orders-west").send().await), state, "its source has no backups");

    let combination = code("InvalidParameterCombination");
    let delete = primary.delete_db_instance().db_instance_identifier("orders");
    assert_eq!(refusal(delete.clone().send().await), combination, "neither a snapshot nor none");
    let both = delete.clone().skip_final_snapshot(true).final_db_snapshot_identifier("last");
    assert_eq!(refusal(both.send().await), combination);
    let of_replica = standby.delete_db_instance().db_instance_identifier("orders-west").final_db_snapshot_identifier("last");
    assert_eq!(refusal(of_replica.send().await), combination);
    let modify = primary.modify_db_instance().db_instance_identifier("orders");
    assert_eq!(refusal(modify.clone().backup_retention_period(0).send().await), combination, "it has a replica");
    modify.deletion_protection(true).send().await.expect("protected");
    assert_eq!(refusal(delete.skip_final_snapshot(true).send().await), combination, "protected");

    let snapshots = primary.describe_db_snapshots().db_snapshot_identifier("nothing").send().await;
    assert_eq!(refusal(snapshots), ("DBSnapshotNotFound".to_owned(), 404));
    assert_eq!(refusal(primary.describe_db_instances().max_records(5).send().await), code("InvalidParameterValue"));
    let filter = aws_sdk_rds::types::Filter::builder().name("engine").values("postgres").build();
    assert_eq!(refusal(primary.describe_db_instances().filters(filter).send().await), code("InvalidParameterValue"));
    assert_eq!(refusal(primary.describe_db_engine_versions().send().await), code("InvalidAction"), "said, not guessed");
    let elsewhere = standby.list_tags_for_resource().resource_name(arn(PRIMARY, "orders")).send().await;
    assert_eq!(refusal(elsewhere), code("InvalidParameterValue"));

    primary.reboot_db_instance().db_instance_identifier("orders").send().await.expect("accepted");
    assert_eq!(refusal(primary.reboot_db_instance().db_instance_identifier("orders").send().await), state, "busy");
    wait_for(primary, "orders", "available").await;
    standby.promote_read_replica().db_instance_identifier("orders-west").send().await.expect("accepted");
    assert_eq!(status(&instance(standby, "orders-west").await), "available", "not seen yet");
    assert_eq!(refusal(standby.promote_read_replica().db_instance_identifier("orders-west").send().await), state, "already begun");
    until("it is promoted", async || instance(standby, "orders-west").await.read_replica_source_db_instance_identifier().is_none().then_some(()))
        .await;
    assert_eq!(refusal(standby.promote_read_replica().db_instance_identifier("orders-west").send().await), state, "already done");
    assert_eq!(unsigned(&stage).await, 403);
    stage.end().await;
}

/// The status that a request without a signature gets.
async fn unsigned(stage: &Stage) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(stage.rds.addr()).await.expect("connected");
    let body = "Action=DescribeDBInstances&Version=2014-10-31";
    let request = format!("POST / HTTP/1.1\r\nHost: rds\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.contains("<Code>MissingAuthenticationToken</Code>"));
    answer.split(' ').nth(1).expect("a status").parse().expect("a number")
}
