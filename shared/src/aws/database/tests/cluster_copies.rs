//! A drill's copies of Aurora's secondaries on the wire.

use super::cluster::{clusters_described, ids};
use super::*;
use crate::ports::{ClusterCopies, ClusterCopyOf, CopySnapshot, StandbyCluster};

const TAGS: &str = "<TagList><Tag><Key>relight:plan</Key><Value>shop</Value></Tag></TagList>";
const MINE: [&str; 2] =
    ["Tags.Tag.1.Key=relight%3Aplan&Tags.Tag.1.Value=shop", "Tags.Tag.2.Key=relight%3Arun&Tags.Tag.2.Value=drill-20260105T000500Z"];

fn secondary() -> StandbyCluster {
    ids().1
}

fn snapshots_described(snapshots: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        "<DescribeDBClusterSnapshotsResponse><DescribeDBClusterSnapshotsResult><DBClusterSnapshots>{snapshots}</DBClusterSnapshots></DescribeDBClusterSnapshotsResult></DescribeDBClusterSnapshotsResponse>"
    ))
}

fn snapshot(name: &str, status: &str, tags: &str) -> String {
    format!("<DBClusterSnapshot><DBClusterSnapshotIdentifier>{name}</DBClusterSnapshotIdentifier><Status>{status}</Status>{tags}</DBClusterSnapshot>")
}

fn cluster(name: &str, status: &str, tags: &str) -> String {
    format!("<DBCluster><DBClusterIdentifier>{name}</DBClusterIdentifier><Status>{status}</Status>{tags}</DBCluster>")
}

fn instance(status: &str, tags: &str) -> (u16, Vec<u8>) {
    let name = copy().member();
    described(&format!(
        "<DBInstance><DBInstanceIdentifier>{name}</DBInstanceIdentifier><DBInstanceStatus>{status}</DBInstanceStatus>{tags}</DBInstance>"
    ))
}

fn changed(action: &str, what: &str) -> (u16, Vec<u8>) {
    ok(&format!("<{action}Response><{action}Result><{what}/></{action}Result></{action}Response>"))
}

fn gone(code: &str) -> (u16, Vec<u8>) {
    error(404, code, "gone")
}

fn assert_sent(http: &StaticReplayClient, index: usize, parts: &[&str]) {
    let (host, body) = sent(http, index);
    assert_eq!(host, "rds.us-west-2.amazonaws.com");
    for part in parts {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn a_snapshot_has_the_copys_name_and_our_tags_and_one_that_is_there_is_ours() {
    let (rds, http) =
        adapter(vec![changed("CreateDBClusterSnapshot", "DBClusterSnapshot"), error(400, "DBClusterSnapshotAlreadyExistsFault", "there")]);
    let (source, run) = (secondary(), run());
    let of = ClusterCopyOf { source: &source, plan: "shop", run: &run };
    rds.snapshot_cluster(&copy(), &of).await.expect("taken");
    let named = format!("DBClusterSnapshotIdentifier={}", copy());
    assert_sent(&http, 0, &["Action=CreateDBClusterSnapshot", &named, "DBClusterIdentifier=orders-standby", MINE[0], MINE[1]]);
    rds.snapshot_cluster(&copy(), &of).await.expect("ours");
}

#[tokio::test]
async fn a_snapshot_is_read_by_its_status_and_a_missing_one_is_none() {
    for (answer, expected) in [
        (snapshots_described(&snapshot(copy().as_str(), "creating", TAGS)), Some(CopySnapshot::Underway)),
        (snapshots_described(&snapshot(copy().as_str(), "available", TAGS)), Some(CopySnapshot::Available)),
        (snapshots_described(&snapshot(copy().as_str(), "failed", TAGS)), Some(CopySnapshot::Failed)),
        (gone("DBClusterSnapshotNotFoundFault"), None),
    ] {
        let (rds, _) = adapter(vec![answer]);
        assert_eq!(rds.cluster_snapshot(&copy()).await.expect("read"), expected);
    }
}

#[tokio::test]
async fn a_cluster_is_restored_like_the_secondary_with_its_version_and_groups_and_without_protection() {
    let like = "<DBCluster><DBClusterIdentifier>orders-standby</DBClusterIdentifier><Status>available</Status>
<Engine>aurora-postgresql</Engine><EngineVersion>16.3</EngineVersion><DBSubnetGroup>shop-databases</DBSubnetGroup>
<DBClusterParameterGroup>orders-serving</DBClusterParameterGroup><DeletionProtection>true</DeletionProtection>
<ServerlessV2ScalingConfiguration><MinCapacity>0.5</MinCapacity><MaxCapacity>16.0</MaxCapacity></ServerlessV2ScalingConfiguration>
<VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-0a1</VpcSecurityGroupId><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups></DBCluster>";
    let restored = || clusters_described(like);
    let (rds, http) = adapter(vec![
        restored(),
        changed("RestoreDBClusterFromSnapshot", "DBCluster"),
        restored(),
        error(400, "DBClusterAlreadyExistsFault", "there"),
        restored(),
        error(400, "InvalidDBClusterSnapshotStateFault", "creating"),
        gone("DBClusterNotFoundFault"),
    ]);
    let (source, run) = (secondary(), run());
    let of = ClusterCopyOf { source: &source, plan: "shop", run: &run };
    rds.restore_cluster(&copy(), &of).await.expect("taken");
    let (named, from) = (format!("DBClusterIdentifier={}", copy()), format!("&SnapshotIdentifier={}", copy()));
    let shape = [
        "Action=RestoreDBClusterFromSnapshot",
        "Engine=aurora-postgresql",
        "EngineVersion=16.3",
        "DBSubnetGroupName=shop-databases",
        "DBClusterParameterGroupName=orders-serving",
        "VpcSecurityGroupIds.VpcSecurityGroupId.1=sg-0a1",
        "ServerlessV2ScalingConfiguration.MinCapacity=0.5&ServerlessV2ScalingConfiguration.MaxCapacity=16",
        "DeletionProtection=false",
    ];
    assert_sent(&http, 1, &[&shape[..], &[&named, &from, MINE[0], MINE[1]]].concat());
    assert!(!sent(&http, 1).1.contains("KmsKeyId"), "the snapshot's own");
    rds.restore_cluster(&copy(), &of).await.expect("ours");
    let busy = rds.restore_cluster(&copy(), &of).await.expect_err("the snapshot is being taken");
    assert!(matches!(busy.why, Why::State(_)) && busy.passes(), "{busy:?}");
    let missing = rds.restore_cluster(&copy(), &of).await.expect_err("nobody to be like");
    assert!(matches!(&missing.why, Why::NotFound(name) if name == "orders-standby"), "{missing:?}");
}

#[tokio::test]
async fn the_copy_is_given_one_instance_under_its_own_name_and_never_a_public_one() {
    let (rds, http) = adapter(vec![answered("CreateDBInstance"), error(400, "DBInstanceAlreadyExists", "there")]);
    let (source, run) = (secondary(), run());
    let of = ClusterCopyOf { source: &source, plan: "shop", run: &run };
    rds.add_copy_instance(&copy(), "db.r6g.large", &of).await.expect("taken");
    let (named, within) = (format!("DBInstanceIdentifier={}", copy().member()), format!("DBClusterIdentifier={}", copy()));
    let parts = ["Action=CreateDBInstance", &named, &within, "DBInstanceClass=db.r6g.large", "PubliclyAccessible=false", MINE[0], MINE[1]];
    assert_sent(&http, 0, &parts);
    rds.add_copy_instance(&copy(), "db.r6g.large", &of).await.expect("ours");
}

#[tokio::test]
async fn the_instance_goes_first_then_the_cluster_without_a_snapshot_and_then_what_it_was_restored_from() {
    let there = |status: &str| clusters_described(&cluster(copy().as_str(), status, TAGS));
    let (rds, http) = adapter(vec![
        there("available"),
        instance("available", TAGS),
        answered("DeleteDBInstance"),
        there("available"),
        instance("deleting", TAGS),
        there("available"),
        gone("DBInstanceNotFound"),
        changed("DeleteDBCluster", "DBCluster"),
        there("deleting"),
        gone("DBInstanceNotFound"),
        gone("DBClusterNotFoundFault"),
        snapshots_described(&snapshot(copy().as_str(), "available", TAGS)),
        changed("DeleteDBClusterSnapshot", "DBClusterSnapshot"),
        gone("DBClusterNotFoundFault"),
        gone("DBClusterSnapshotNotFoundFault"),
    ]);
    for _ in 0..5 {
        assert_eq!(rds.remove_cluster_copy(&copy()).await.expect("asked"), Removal::Underway);
    }
    assert_eq!(rds.remove_cluster_copy(&copy()).await.expect("looked"), Removal::Gone);
    let (member, named) = (format!("DBInstanceIdentifier={}", copy().member()), format!("Identifier={}", copy()));
    assert_sent(&http, 2, &["Action=DeleteDBInstance", &member, "SkipFinalSnapshot=true"]);
    assert_sent(&http, 7, &["Action=DeleteDBCluster&", &named, "SkipFinalSnapshot=true", "DeleteAutomatedBackups=true"]);
    assert_sent(&http, 12, &["Action=DeleteDBClusterSnapshot", &named]);
    assert_eq!(http.actual_requests().count(), 15);
}

#[tokio::test]
async fn a_snapshot_that_is_still_being_taken_is_waited_for() {
    let (rds, http) = adapter(vec![gone("DBClusterNotFoundFault"), snapshots_described(&snapshot(copy().as_str(), "creating", TAGS))]);
    assert_eq!(rds.remove_cluster_copy(&copy()).await.expect("looked"), Removal::Underway);
    assert_eq!(http.actual_requests().count(), 2);
}

#[tokio::test]
async fn what_lacks_our_tag_is_never_deleted() {
    let name = copy();
    for answers in [
        vec![clusters_described(&cluster(name.as_str(), "available", TAGS)), instance("available", "")],
        vec![clusters_described(&cluster(name.as_str(), "available", "")), gone("DBInstanceNotFound")],
        vec![gone("DBClusterNotFoundFault"), snapshots_described(&snapshot(name.as_str(), "available", ""))],
    ] {
        let (rds, http) = adapter(answers);
        let refused = rds.remove_cluster_copy(&copy()).await.expect_err("refused").to_string();
        assert!(refused.contains("carries no tag relight:plan"), "{refused}");
        assert_eq!(http.actual_requests().count(), 2);
    }
}

#[tokio::test]
async fn a_plans_copies_are_found_by_name_and_tag_in_either_kind_and_their_instances_are_no_copies_of_instances() {
    let theirs = TAGS.replace("shop", "blog");
    let clusters = [("relight-drill-a-1", TAGS), ("relight-drill-b-2", theirs.as_str()), ("orders-standby", TAGS)];
    let clusters: String = clusters.iter().map(|(name, tags)| cluster(name, "available", tags)).collect();
    let snapshots = [("relight-drill-a-1", TAGS), ("relight-drill-c-3", TAGS), ("relight-drill-d-4", theirs.as_str()), ("kept", TAGS)];
    let snapshots: String = snapshots.iter().map(|(name, tags)| snapshot(name, "creating", tags)).collect();
    let (rds, http) = adapter(vec![clusters_described(&clusters), snapshots_described(&snapshots)]);
    let found = rds.cluster_copies("shop").await.expect("listed");
    assert_eq!(found.iter().map(CopyId::as_str).collect::<Vec<_>>(), ["relight-drill-a-1", "relight-drill-c-3"]);
    assert_sent(&http, 1, &["Action=DescribeDBClusterSnapshots", "SnapshotType=manual"]);

    let member = format!(
        "<DBInstance><DBInstanceIdentifier>relight-drill-a-1-1</DBInstanceIdentifier><DBClusterIdentifier>relight-drill-a-1</DBClusterIdentifier>{TAGS}</DBInstance>"
    );
    let none = ok("<DescribeDBSnapshotsResponse><DescribeDBSnapshotsResult><DBSnapshots/></DescribeDBSnapshotsResult></DescribeDBSnapshotsResponse>");
    let (rds, _) = adapter(vec![described(&member), none]);
    assert_eq!(rds.copies("shop").await.expect("listed"), []);
}
