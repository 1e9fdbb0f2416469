//! What the way home sends, and to which Region.

use super::*;
use crate::ports::{HomeId, HomeOf, LeftId, RebuiltOf, Snapshotted};
use crate::state::ReplicaShape;

const HOME: &str = "rds.us-east-2.amazonaws.com";
const STANDBY: &str = "rds.us-west-2.amazonaws.com";

fn run() -> RunId {
    RunId("failback-20260301T020000Z".to_owned())
}

fn home() -> HomeId {
    HomeId::of(&plan(), &database())
}

fn left(at_home: bool) -> LeftId {
    if at_home { LeftId::of_primary(&plan(), &database(), &run()) } else { LeftId::of_standby(&plan(), &database(), &run()) }
}

/// An instance as it is described in its Region, with more of it.
fn instance(region: &str, name: &str, more: &str) -> (u16, Vec<u8>) {
    described(&format!(
        "<DBInstance><DBInstanceIdentifier>{name}</DBInstanceIdentifier><DBInstanceStatus>available</DBInstanceStatus>\
         <DBInstanceArn>arn:aws:rds:{region}:123456789012:db:{name}</DBInstanceArn>{more}</DBInstance>"
    ))
}

const SERVING: &str = "<DBInstanceClass>db.r7g.large</DBInstanceClass><StorageEncrypted>true</StorageEncrypted>\
    <KmsKeyId>arn:aws:kms:us-west-2:123456789012:key/west</KmsKeyId>";
const OLD: &str = "<DBInstanceClass>db.r7g.xlarge</DBInstanceClass><StorageEncrypted>true</StorageEncrypted>\
    <KmsKeyId>arn:aws:kms:us-east-2:123456789012:key/east</KmsKeyId><MultiAZ>true</MultiAZ><DeletionProtection>true</DeletionProtection>\
    <PubliclyAccessible>false</PubliclyAccessible><DBSubnetGroup><DBSubnetGroupName>private</DBSubnetGroupName></DBSubnetGroup>\
    <DBParameterGroups><DBParameterGroup><DBParameterGroupName>orders-15</DBParameterGroupName></DBParameterGroup></DBParameterGroups>\
    <VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-quarantine</VpcSecurityGroupId></VpcSecurityGroupMembership></VpcSecurityGroups>\
    <TagList><Tag><Key>owner</Key><Value>shop</Value></Tag><Tag><Key>aws:cloudformation:stack-name</Key><Value>s</Value></Tag>\
    <Tag><Key>relight:run</Key><Value>older</Value></Tag></TagList>";

fn assert_parts(body: &str, parts: &[&str]) {
    for part in parts {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn the_replica_at_home_is_made_like_what_stood_there_with_the_plans_groups() {
    // The old writer is looked at in its Region, the source in the standby.
    let answers = vec![
        instance("us-east-2", left(true).as_str(), OLD),
        instance("us-west-2", "orders-replica", SERVING),
        answered("CreateDBInstanceReadReplica"),
    ];
    let (database, http) = adapter(answers);
    let (source, groups, run) = (replica(), ["sg-orders".to_owned()], run());
    let left = left(true);
    let of = HomeOf { source: &source, like: Some(&left), security_groups: &groups, plan: "shop", run: &run };
    database.build_home(&home(), &of).await.expect("taken");
    let hosts: Vec<String> = (0..3).map(|index| sent(&http, index).0).collect();
    assert_eq!(hosts, [HOME, STANDBY, HOME], "a replica is asked for in the Region where it shall stand");
    let body = sent(&http, 2).1;
    assert_parts(
        &body,
        &[
            "Action=CreateDBInstanceReadReplica",
            "DBInstanceIdentifier=orders&",
            "SourceDBInstanceIdentifier=arn%3Aaws%3Ards%3Aus-west-2%3A123456789012%3Adb%3Aorders-replica",
            "DBInstanceClass=db.r7g.xlarge",
            "DBSubnetGroupName=private",
            "VpcSecurityGroupIds.VpcSecurityGroupId.1=sg-orders",
            "KmsKeyId=arn%3Aaws%3Akms%3Aus-east-2%3A123456789012%3Akey%2Feast",
            "MultiAZ=true",
            "DeletionProtection=true",
            "PubliclyAccessible=false",
            "Tags.Tag.1.Key=owner",
            "Tags.Tag.2.Key=relight%3Aplan&Tags.Tag.2.Value=shop",
            "Tags.Tag.3.Key=relight%3Arun&Tags.Tag.3.Value=failback-20260301T020000Z",
        ],
    );
    assert!(!body.contains("sg-quarantine") && !body.contains("cloudformation") && !body.contains("older"), "{body}");
    assert!(!body.contains("DBParameterGroupName"), "RDS refuses it with the creation of a replica of PostgreSQL: {body}");
}

#[tokio::test]
async fn where_nothing_stood_at_home_the_replica_is_made_like_its_source() {
    let (database, http) = adapter(vec![instance("us-west-2", "orders-replica", SERVING), answered("CreateDBInstanceReadReplica")]);
    let (source, run) = (replica(), run());
    let of = HomeOf { source: &source, like: None, security_groups: &[], plan: "shop", run: &run };
    database.build_home(&home(), &of).await.expect("taken");
    let body = sent(&http, 1).1;
    assert_parts(&body, &["DBInstanceClass=db.r7g.large", "KmsKeyId=alias%2Faws%2Frds", "PubliclyAccessible=false"]);
    assert!(!body.contains("DBSubnetGroupName") && !body.contains("VpcSecurityGroupIds"), "{body}");
}

#[tokio::test]
async fn what_is_not_encrypted_gets_no_key() {
    let (database, http) = adapter(vec![instance("us-west-2", "orders-replica", ""), answered("CreateDBInstanceReadReplica")]);
    let (source, run) = (replica(), run());
    database.build_home(&home(), &HomeOf { source: &source, like: None, security_groups: &[], plan: "shop", run: &run }).await.expect("taken");
    assert!(!sent(&http, 1).1.contains("KmsKeyId"));
}

#[tokio::test]
async fn an_instance_that_is_there_already_is_ours_only_if_it_replicates_the_same_source() {
    let exists = || error(400, "DBInstanceAlreadyExists", "DB instance already exists");
    let source_of = |arn: &str| format!("<ReadReplicaSourceDBInstanceIdentifier>{arn}</ReadReplicaSourceDBInstanceIdentifier>");
    let ours = source_of("arn:aws:rds:us-west-2:123456789012:db:orders-replica");
    for (found, expected) in [(ours.as_str(), true), ("", false), (source_of("arn:aws:rds:us-west-2:123456789012:db:other").as_str(), false)] {
        let (database, _) = adapter(vec![instance("us-west-2", "orders-replica", ""), exists(), instance("us-east-2", "orders", found)]);
        let (source, run) = (replica(), run());
        let built = database.build_home(&home(), &HomeOf { source: &source, like: None, security_groups: &[], plan: "shop", run: &run }).await;
        assert_eq!(built.is_ok(), expected, "{found}: {built:?}");
    }
}

#[tokio::test]
async fn the_standbys_replica_is_rebuilt_like_the_writer_that_was_set_aside() {
    let answers =
        vec![instance("us-west-2", left(false).as_str(), OLD), instance("us-east-2", "orders", ""), answered("CreateDBInstanceReadReplica")];
    let (database, http) = adapter(answers);
    let (left, run, home) = (left(false), run(), home());
    let shape = ReplicaShape {
        class: "db.t4g.small".to_owned(),
        backup_retention: 1,
        multi_az: Some(false),
        deletion_protection: Some(false),
        parameter_group: Some("orders-replica-15".to_owned()),
    };
    let of = RebuiltOf { source: &home, like: &left, was: Some(&shape), plan: "shop", run: &run };
    database.rebuild(&replica(), &of).await.expect("taken");
    let (host, body) = sent(&http, 2);
    assert_eq!((sent(&http, 0).0.as_str(), sent(&http, 1).0.as_str(), host.as_str()), (STANDBY, HOME, STANDBY));
    assert_parts(
        &body,
        &[
            "DBInstanceIdentifier=orders-replica",
            "SourceDBInstanceIdentifier=arn%3Aaws%3Ards%3Aus-east-2%3A123456789012%3Adb%3Aorders&",
            "DBInstanceClass=db.t4g.small",
            "VpcSecurityGroupIds.VpcSecurityGroupId.1=sg-quarantine",
            // As the replica was, and not as the plan made it while it served.
            "MultiAZ=false",
            "DeletionProtection=false",
        ],
    );
    assert!(!body.contains("DBParameterGroupName"), "{body}");
}

#[tokio::test]
async fn what_an_older_version_did_not_write_down_of_the_replica_is_as_the_writer_was_that_is_set_aside() {
    let answers =
        vec![instance("us-west-2", left(false).as_str(), OLD), instance("us-east-2", "orders", ""), answered("CreateDBInstanceReadReplica")];
    let (database, http) = adapter(answers);
    let (left, run, home) = (left(false), run(), home());
    let shape: ReplicaShape = serde_json::from_str(r#"{ "class": "db.t4g.small", "backup_retention": 1 }"#).expect("an older one");
    database.rebuild(&replica(), &RebuiltOf { source: &home, like: &left, was: Some(&shape), plan: "shop", run: &run }).await.expect("taken");
    assert_parts(&sent(&http, 2).1, &["DBInstanceClass=db.t4g.small", "MultiAZ=true", "DeletionProtection=true"]);
}

#[tokio::test]
async fn an_instance_is_set_aside_by_a_name_in_its_own_region_at_once() {
    for (at_home, was, host) in [(true, "orders", HOME), (false, "orders-replica", STANDBY)] {
        let (database, http) = adapter(vec![answered("ModifyDBInstance")]);
        database.set_aside(&left(at_home)).await.expect("taken");
        let (to, body) = sent(&http, 0);
        assert_eq!(to, host);
        let name = format!("NewDBInstanceIdentifier={}", left(at_home).as_str());
        assert_parts(&body, &["Action=ModifyDBInstance", &format!("DBInstanceIdentifier={was}&"), &name, "ApplyImmediately=true"]);
    }
}

fn snapshots(status: Option<&str>) -> (u16, Vec<u8>) {
    match status {
        Some(status) => ok(&format!(
            "<DescribeDBSnapshotsResponse><DescribeDBSnapshotsResult><DBSnapshots><DBSnapshot><Status>{status}</Status></DBSnapshot></DBSnapshots></DescribeDBSnapshotsResult></DescribeDBSnapshotsResponse>"
        )),
        None => error(404, "DBSnapshotNotFound", "DBSnapshot not found."),
    }
}

#[tokio::test]
async fn the_last_snapshot_is_taken_once_under_the_name_that_the_instance_gets() {
    let taken = ok(
        "<CreateDBSnapshotResponse><CreateDBSnapshotResult><DBSnapshot><Status>creating</Status></DBSnapshot></CreateDBSnapshotResult></CreateDBSnapshotResponse>",
    );
    let (database, http) = adapter(vec![snapshots(None), taken, snapshots(Some("creating")), snapshots(Some("available"))]);
    assert_eq!(database.last_snapshot(&left(true)).await.expect("asked"), Snapshotted::Underway);
    assert_eq!(database.last_snapshot(&left(true)).await.expect("read"), Snapshotted::Underway);
    assert_eq!(database.last_snapshot(&left(true)).await.expect("read"), Snapshotted::Done);
    assert_eq!(http.actual_requests().count(), 4, "taken once");
    let (host, body) = sent(&http, 1);
    assert_eq!(host, HOME);
    assert!(body.ends_with("&DBInstanceIdentifier=orders"), "{body}");
    assert_parts(&body, &["Action=CreateDBSnapshot", &format!("DBSnapshotIdentifier={}", left(true).as_str())]);
}

#[tokio::test]
async fn a_snapshot_that_failed_or_cannot_be_taken_now_is_said() {
    let (database, _) = adapter(vec![snapshots(Some("failed"))]);
    assert!(database.last_snapshot(&left(false)).await.expect_err("failed").to_string().contains("delete it"));
    let (database, _) = adapter(vec![snapshots(None), error(400, "InvalidDBInstanceState", "busy")]);
    assert!(matches!(database.last_snapshot(&left(true)).await.expect_err("busy").why, Why::State(_)));
    let (database, _) = adapter(vec![snapshots(None), error(400, "DBSnapshotAlreadyExists", "there")]);
    assert_eq!(database.last_snapshot(&left(true)).await.expect("an unanswered call of ours"), Snapshotted::Underway);
}

#[tokio::test]
async fn what_is_at_home_is_read_promoted_and_changed_there() {
    let answers = vec![
        instance("us-east-2", "orders", ""),
        answered("PromoteReadReplica"),
        answered("ModifyDBInstance"),
        answered("RebootDBInstance"),
        error(404, "DBInstanceNotFound", "gone"),
    ];
    let (database, http) = adapter(answers);
    assert!(database.home(&home()).await.expect("read").is_some());
    database.promote_home(&home(), 7).await.expect("taken");
    database.modify_home(&home(), &InstanceChange::backups(7)).await.expect("taken");
    database.restart_home(&home()).await.expect("taken");
    assert_eq!(database.left(&left(true)).await.expect("read"), None);
    for index in 0..5 {
        assert_eq!(sent(&http, index).0, HOME);
    }
    assert_parts(&sent(&http, 1).1, &["Action=PromoteReadReplica", "DBInstanceIdentifier=orders&", "BackupRetentionPeriod=7"]);
    assert_parts(&sent(&http, 2).1, &["Action=ModifyDBInstance", "BackupRetentionPeriod=7", "ApplyImmediately=true"]);
    assert_parts(&sent(&http, 3).1, &["Action=RebootDBInstance", "DBInstanceIdentifier=orders&", "ForceFailover=false"]);
}
