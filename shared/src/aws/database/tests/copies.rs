//! A drill's copies on the wire: made, restored from a snapshot, found and removed.

use super::*;
use crate::ports::CopySnapshot;

#[tokio::test]
async fn a_copy_is_made_where_its_source_stands_with_its_groups_and_our_tags() {
    let (database, http) = adapter(vec![answered("CreateDBInstanceReadReplica")]);
    let (source, groups, run) = (replica(), ["sg-0a1".to_owned()], run());
    database.create_copy(&copy(), &CopyOf { source: &source, security_groups: &groups, plan: "shop", run: &run }).await.expect("taken");
    let (_, body) = sent(&http, 0);
    for part in [
        "Action=CreateDBInstanceReadReplica",
        &format!("DBInstanceIdentifier={}", copy()),
        "SourceDBInstanceIdentifier=orders-replica",
        "VpcSecurityGroupIds.VpcSecurityGroupId.1=sg-0a1",
        "Tags.Tag.1.Key=relight%3Aplan&Tags.Tag.1.Value=shop",
        "Tags.Tag.2.Key=relight%3Arun&Tags.Tag.2.Value=drill-20260105T000500Z",
        "DeletionProtection=false",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn a_copy_that_is_there_already_is_ours() {
    let (database, _) = adapter(vec![error(400, "DBInstanceAlreadyExists", "DB instance already exists")]);
    let (source, run) = (replica(), run());
    database.create_copy(&copy(), &CopyOf { source: &source, security_groups: &[], plan: "shop", run: &run }).await.expect("ours");
}

#[tokio::test]
async fn a_full_quota_does_not_pass_by_itself() {
    let (database, _) = adapter(vec![error(400, "InstanceQuotaExceeded", "quota")]);
    let (source, run) = (replica(), run());
    let of = CopyOf { source: &source, security_groups: &[], plan: "shop", run: &run };
    assert!(!database.create_copy(&copy(), &of).await.expect_err("refused").passes());
}

#[tokio::test]
async fn a_copy_is_promoted_without_backups() {
    let (database, http) = adapter(vec![answered("PromoteReadReplica")]);
    database.promote_copy(&copy()).await.expect("taken");
    let (_, body) = sent(&http, 0);
    assert!(body.contains(&format!("DBInstanceIdentifier={}", copy())) && body.contains("BackupRetentionPeriod=0"), "{body}");
}

/// An instance as the listing shows it.
fn listed(name: &str, status: &str, plan: Option<&str>) -> String {
    let tags = plan.map_or_else(String::new, |plan| format!("<TagList><Tag><Key>relight:plan</Key><Value>{plan}</Value></Tag></TagList>"));
    format!("<DBInstance><DBInstanceIdentifier>{name}</DBInstanceIdentifier><DBInstanceStatus>{status}</DBInstanceStatus>{tags}</DBInstance>")
}

#[tokio::test]
async fn a_copy_is_deleted_with_its_backups_and_without_a_snapshot() {
    let (database, http) = adapter(vec![described(&listed(copy().as_str(), "available", Some("shop"))), answered("DeleteDBInstance")]);
    assert_eq!(database.remove_copy(&copy()).await.expect("asked"), Removal::Underway);
    let (_, body) = sent(&http, 1);
    for part in ["Action=DeleteDBInstance", copy().as_str(), "SkipFinalSnapshot=true", "DeleteAutomatedBackups=true"] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn a_copy_on_its_way_out_is_only_looked_at_until_it_is_gone() {
    let (database, http) = adapter(vec![described(&listed(copy().as_str(), "deleting", Some("shop"))), no_instance(), no_snapshot()]);
    assert_eq!(database.remove_copy(&copy()).await.expect("asked"), Removal::Underway);
    assert_eq!(database.remove_copy(&copy()).await.expect("asked"), Removal::Gone);
    assert_eq!(http.actual_requests().count(), 3);
}

#[tokio::test]
async fn an_instance_without_our_tag_is_never_deleted() {
    let (database, http) = adapter(vec![described(&listed(copy().as_str(), "available", None))]);
    let refused = database.remove_copy(&copy()).await.expect_err("refused").to_string();
    assert!(refused.contains("carries no tag relight:plan"), "{refused}");
    assert_eq!(http.actual_requests().count(), 1);
}

#[tokio::test]
async fn a_plan_s_copies_are_found_by_name_and_tag_over_all_pages() {
    let first = format!("{}{}", listed("relight-drill-a-1", "available", Some("shop")), listed("relight-drill-b-2", "available", Some("blog")));
    let second = format!("{}{}", listed("orders-replica", "available", Some("shop")), listed("relight-drill-c-3", "creating", Some("shop")));
    let page = String::from_utf8(described(&first).1).expect("text").replace("</DBInstances>", "</DBInstances><Marker>next</Marker>");
    let snapshots = [("relight-drill-c-3", "shop"), ("relight-drill-d-4", "shop"), ("relight-drill-e-5", "blog"), ("orders-left", "shop")];
    let snapshots: String = snapshots.iter().map(|(name, plan)| snapshot(name, "available", Some(plan))).collect();
    let (database, http) = adapter(vec![ok(&page), described(&second), snapshots_described(&snapshots)]);
    let copies = database.copies("shop").await.expect("listed");
    assert_eq!(copies.iter().map(CopyId::as_str).collect::<Vec<_>>(), ["relight-drill-a-1", "relight-drill-c-3", "relight-drill-d-4"]);
    assert!(sent(&http, 1).1.contains("Marker=next"));
    assert!(sent(&http, 2).1.starts_with("Action=DescribeDBSnapshots") && sent(&http, 2).1.contains("SnapshotType=manual"));
}

fn no_instance() -> (u16, Vec<u8>) {
    error(404, "DBInstanceNotFound", "gone")
}

fn no_snapshot() -> (u16, Vec<u8>) {
    error(404, "DBSnapshotNotFound", "gone")
}

fn snapshot(name: &str, status: &str, plan: Option<&str>) -> String {
    let tags = plan.map_or_else(String::new, |plan| format!("<TagList><Tag><Key>relight:plan</Key><Value>{plan}</Value></Tag></TagList>"));
    format!("<DBSnapshot><DBSnapshotIdentifier>{name}</DBSnapshotIdentifier><Status>{status}</Status>{tags}</DBSnapshot>")
}

fn snapshots_described(snapshots: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        "<DescribeDBSnapshotsResponse><DescribeDBSnapshotsResult><DBSnapshots>{snapshots}</DBSnapshots></DescribeDBSnapshotsResult></DescribeDBSnapshotsResponse>"
    ))
}

fn ours(status: &str) -> (u16, Vec<u8>) {
    snapshots_described(&snapshot(copy().as_str(), status, Some("shop")))
}

fn changed(action: &str) -> (u16, Vec<u8>) {
    ok(&format!("<{action}Response><{action}Result><DBSnapshot/></{action}Result></{action}Response>"))
}

#[tokio::test]
async fn a_snapshot_for_a_copy_has_its_name_and_our_tags_and_one_that_is_there_is_ours() {
    let (database, http) = adapter(vec![changed("CreateDBSnapshot"), error(400, "DBSnapshotAlreadyExists", "there")]);
    let (source, run) = (replica(), run());
    let of = SnapshotOf { source: &source, plan: "shop", run: &run };
    database.snapshot_for_copy(&copy(), &of).await.expect("taken");
    let (_, body) = sent(&http, 0);
    for part in [
        "Action=CreateDBSnapshot",
        &format!("DBSnapshotIdentifier={}", copy()),
        "DBInstanceIdentifier=orders-replica",
        "Tags.Tag.1.Key=relight%3Aplan&Tags.Tag.1.Value=shop",
        "Tags.Tag.2.Key=relight%3Arun&Tags.Tag.2.Value=drill-20260105T000500Z",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    database.snapshot_for_copy(&copy(), &of).await.expect("ours");
}

#[tokio::test]
async fn a_snapshot_is_read_by_its_status_and_a_missing_one_is_none() {
    for (answer, expected) in [
        (ours("creating"), Some(CopySnapshot::Underway)),
        (ours("available"), Some(CopySnapshot::Available)),
        (ours("failed"), Some(CopySnapshot::Failed)),
        (no_snapshot(), None),
    ] {
        let (database, _) = adapter(vec![answer]);
        assert_eq!(database.copy_snapshot(&copy()).await.expect("read"), expected);
    }
}

#[tokio::test]
async fn a_copy_is_restored_like_its_replica_in_one_zone_without_backups_and_closed_to_the_world() {
    let like = REPLICA.replace("<MultiAZ>false", "<DBSubnetGroup><DBSubnetGroupName>shop-databases</DBSubnetGroupName></DBSubnetGroup><MultiAZ>true");
    let (database, http) = adapter(vec![described(&like), answered("RestoreDBInstanceFromDBSnapshot")]);
    let (source, run) = (replica(), run());
    database.restore_copy(&copy(), &SnapshotOf { source: &source, plan: "shop", run: &run }).await.expect("taken");
    let (_, body) = sent(&http, 1);
    for part in [
        "Action=RestoreDBInstanceFromDBSnapshot",
        &format!("DBInstanceIdentifier={}", copy()),
        &format!("DBSnapshotIdentifier={}", copy()),
        "DBInstanceClass=db.t4g.small",
        "DBSubnetGroupName=shop-databases",
        "VpcSecurityGroupIds.VpcSecurityGroupId.1=sg-0a1",
        "DBParameterGroupName=orders-serving",
        "MultiAZ=false",
        "PubliclyAccessible=false",
        "DeletionProtection=false",
        "BackupRetentionPeriod=0",
        "Tags.Tag.1.Key=relight%3Aplan&Tags.Tag.1.Value=shop",
        "Tags.Tag.2.Key=relight%3Arun&Tags.Tag.2.Value=drill-20260105T000500Z",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn a_restore_that_is_there_already_is_ours_and_one_without_its_snapshot_fails() {
    let (source, run) = (replica(), run());
    let of = SnapshotOf { source: &source, plan: "shop", run: &run };
    let (database, _) = adapter(vec![described(REPLICA), error(400, "DBInstanceAlreadyExists", "DB instance already exists")]);
    database.restore_copy(&copy(), &of).await.expect("ours");
    let (database, _) = adapter(vec![described(REPLICA), no_snapshot()]);
    let failed = database.restore_copy(&copy(), &of).await.expect_err("nothing to restore from");
    assert!(matches!(failed.why, Why::NotFound(_)) && failed.operation == "rds:RestoreDBInstanceFromDBSnapshot", "{failed:?}");
}

#[tokio::test]
async fn a_snapshot_is_deleted_once_its_instance_is_gone_and_gone_is_neither_of_them() {
    let answers = vec![no_instance(), ours("available"), changed("DeleteDBSnapshot"), no_instance(), no_snapshot()];
    let (database, http) = adapter(answers);
    assert_eq!(database.remove_copy(&copy()).await.expect("asked"), Removal::Underway);
    let (_, body) = sent(&http, 2);
    assert!(body.starts_with("Action=DeleteDBSnapshot") && body.contains(&format!("DBSnapshotIdentifier={}", copy())), "{body}");
    assert_eq!(database.remove_copy(&copy()).await.expect("looked"), Removal::Gone);
}

#[tokio::test]
async fn a_snapshot_that_is_still_being_taken_is_waited_for_and_one_that_failed_is_deleted() {
    let (database, http) = adapter(vec![no_instance(), ours("creating")]);
    assert_eq!(database.remove_copy(&copy()).await.expect("looked"), Removal::Underway);
    assert_eq!(http.actual_requests().count(), 2);
    let (database, _) = adapter(vec![no_instance(), ours("failed"), changed("DeleteDBSnapshot")]);
    assert_eq!(database.remove_copy(&copy()).await.expect("asked"), Removal::Underway);
}

#[tokio::test]
async fn a_snapshot_without_our_tag_is_never_deleted() {
    let untagged = snapshots_described(&snapshot(copy().as_str(), "available", None));
    let (database, http) = adapter(vec![no_instance(), untagged]);
    let refused = database.remove_copy(&copy()).await.expect_err("refused").to_string();
    assert!(refused.contains("carries no tag relight:plan"), "{refused}");
    assert_eq!(http.actual_requests().count(), 2);
}
