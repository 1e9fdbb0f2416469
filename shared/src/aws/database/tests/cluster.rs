//! Aurora on the wire, with the answers that RDS's documentation shows.

use crate::ports::{
    AddedInstance, ClusterInstance, GlobalCluster, GlobalClusters, GlobalId, HomeCluster, LostRows, Member, Moving, Snapshotted, StandbyCluster,
    Takeover,
};

use super::*;
use crate::plan::Engine;

const OLD: &str = "arn:aws:rds:us-east-2:123456789012:cluster:orders";
const HERE: &str = "arn:aws:rds:us-west-2:123456789012:cluster:orders-standby";

pub(super) fn ids() -> (GlobalId, StandbyCluster) {
    let plan = crate::situations::plan();
    let database = plan::Database {
        engine: Engine::AuroraPostgres,
        global_cluster: Some("shop-global".to_owned()),
        replica: "orders-standby".to_owned(),
        ..plan.databases[0].clone()
    };
    (GlobalId::of(&plan, &database), StandbyCluster::of(&plan, &database))
}

fn global_described(inside: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        r#"<DescribeGlobalClustersResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeGlobalClustersResult><GlobalClusters>
<GlobalClusterMember><GlobalClusterIdentifier>shop-global</GlobalClusterIdentifier><Status>available</Status><Engine>aurora-postgresql</Engine><EngineVersion>16.3</EngineVersion>
<GlobalClusterMembers>
<GlobalClusterMember><DBClusterArn>{OLD}</DBClusterArn><IsWriter>true</IsWriter><Readers><member>{HERE}</member></Readers></GlobalClusterMember>
<GlobalClusterMember><DBClusterArn>{HERE}</DBClusterArn><IsWriter>false</IsWriter><SynchronizationStatus>connected</SynchronizationStatus></GlobalClusterMember>
</GlobalClusterMembers>{inside}</GlobalClusterMember>
</GlobalClusters></DescribeGlobalClustersResult></DescribeGlobalClustersResponse>"#
    ))
}

pub(super) fn clusters_described(clusters: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        r#"<DescribeDBClustersResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBClustersResult><DBClusters>{clusters}</DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>"#
    ))
}

fn global_answered(action: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        r#"<{action}Response xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><{action}Result><GlobalCluster><GlobalClusterIdentifier>shop-global</GlobalClusterIdentifier></GlobalCluster></{action}Result></{action}Response>"#
    ))
}

#[tokio::test]
async fn a_global_cluster_is_read_with_who_writes_and_what_moves() {
    let moving = format!(
        "<FailoverState><Status>failing-over</Status><FromDbClusterArn>{OLD}</FromDbClusterArn><ToDbClusterArn>{HERE}</ToDbClusterArn><IsDataLossAllowed>true</IsDataLossAllowed></FailoverState>"
    );
    let (rds, http) = adapter(vec![global_described(&moving), global_described("<FailoverState/>"), error(404, "GlobalClusterNotFoundFault", "no")]);
    let (global, _) = ids();
    let seen = rds.global_cluster(&global).await.expect("read").expect("there");
    let member = |arn: &str, writer: bool, synchronization: Option<&str>| Member {
        arn: arn.to_owned(),
        writer,
        synchronization: synchronization.map(str::to_owned),
    };
    let expected = GlobalCluster {
        status: "available".to_owned(),
        engine_version: "16.3".to_owned(),
        members: vec![member(OLD, true, None), member(HERE, false, Some("connected"))],
        moving: Some(Moving { status: "failing-over".to_owned(), to: HERE.to_owned() }),
    };
    assert_eq!(seen, expected);
    assert_eq!(rds.global_cluster(&global).await.expect("read").expect("there").moving, None);
    assert_eq!(rds.global_cluster(&global).await.expect("read"), None);
    let (host, body) = sent(&http, 0);
    assert_eq!(host, "rds.us-west-2.amazonaws.com", "the standby tells of it, whatever became of the primary");
    assert!(body.contains("Action=DescribeGlobalClusters") && body.contains("GlobalClusterIdentifier=shop-global"), "{body}");
}

#[tokio::test]
async fn a_cluster_is_read_with_both_endpoints_and_its_instances() {
    let cluster = "<DBCluster><DBClusterIdentifier>orders-standby</DBClusterIdentifier><Status>available</Status><EngineVersion>16.3</EngineVersion>
<Endpoint>orders-standby.cluster-c1a2.us-west-2.rds.amazonaws.com</Endpoint><ReaderEndpoint>orders-standby.cluster-ro-c1a2.us-west-2.rds.amazonaws.com</ReaderEndpoint><Port>5432</Port>
<BackupRetentionPeriod>7</BackupRetentionPeriod>
<VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-0a1</VpcSecurityGroupId><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups>
<DBClusterMembers><DBClusterMember><DBInstanceIdentifier>orders-standby-1</DBInstanceIdentifier><IsClusterWriter>true</IsClusterWriter></DBClusterMember></DBClusterMembers></DBCluster>";
    let instance = "<DBInstance><DBInstanceIdentifier>orders-standby-1</DBInstanceIdentifier><DBInstanceStatus>available</DBInstanceStatus><DBInstanceClass>db.r6g.large</DBInstanceClass></DBInstance>";
    let (rds, http) = adapter(vec![clusters_described(cluster), described(instance), error(404, "DBClusterNotFoundFault", "no")]);
    let (_, standby) = ids();
    let seen = rds.cluster(&standby).await.expect("read").expect("there");
    let host = |host: &str| Some(Endpoint { host: format!("orders-standby.{host}.us-west-2.rds.amazonaws.com"), port: 5432 });
    assert_eq!((seen.endpoint, seen.reader), (host("cluster-c1a2"), host("cluster-ro-c1a2")));
    let expected =
        ClusterInstance { name: "orders-standby-1".to_owned(), status: "available".to_owned(), class: "db.r6g.large".to_owned(), writer: true };
    assert_eq!(seen.instances, [expected]);
    assert_eq!((seen.backup_retention, seen.security_groups), (7, vec!["sg-0a1".to_owned()]));
    assert_eq!(rds.cluster(&standby).await.expect("read"), None);
    let (_, body) = sent(&http, 1);
    assert!(body.contains("Filters.Filter.1.Name=db-cluster-id&Filters.Filter.1.Values.Value.1=orders-standby"), "{body}");
}

#[tokio::test]
async fn a_failover_names_the_target_by_arn_and_says_in_each_call_that_rows_may_be_lost() {
    let (rds, http) = adapter_that_retries(
        vec![global_answered("FailoverGlobalCluster"), error(500, "InternalFailure", "lost"), global_answered("FailoverGlobalCluster")],
        RetryConfig::standard(),
    );
    let (global, standby) = ids();
    rds.take_over(&global, &standby, Takeover::FailoverLosingRows).await.expect("taken");
    let (host, body) = sent(&http, 0);
    assert_eq!(host, "rds.us-west-2.amazonaws.com");
    for part in [
        "Action=FailoverGlobalCluster",
        "AllowDataLoss=true",
        "TargetDbClusterIdentifier=arn%3Aaws%3Ards%3Aus-west-2%3A123456789012%3Acluster%3Aorders-standby",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let unanswered = rds.take_over(&global, &standby, Takeover::FailoverLosingRows).await.expect_err("no answer");
    assert!(matches!(unanswered.why, Why::Unanswered(_)), "{unanswered:?}");
    assert_eq!(http.actual_requests().count(), 2, "it is not sent again by the SDK");
}

#[tokio::test]
async fn a_switchover_goes_to_the_region_of_the_primary() {
    let (rds, http) = adapter(vec![global_answered("SwitchoverGlobalCluster")]);
    let (global, standby) = ids();
    rds.take_over(&global, &standby, Takeover::Switchover).await.expect("taken");
    let (host, body) = sent(&http, 0);
    assert_eq!(host, "rds.us-east-2.amazonaws.com");
    assert!(body.contains("Action=SwitchoverGlobalCluster") && !body.contains("AllowDataLoss"), "{body}");
}

#[tokio::test]
async fn a_refusal_for_the_state_is_no_end_and_a_permission_is_named() {
    let (global, standby) = ids();
    let cases: [(u16, &str, Expected); 3] = [
        (400, "InvalidGlobalClusterStateFault", |why| matches!(why, Why::State(_))),
        (400, "InvalidDBClusterStateFault", |why| matches!(why, Why::State(_))),
        (403, "AccessDenied", |why| matches!(why, Why::Denied(_))),
    ];
    for (status, code, expected) in cases {
        let (rds, _) = adapter(vec![error(status, code, "said so")]);
        let failed = rds.take_over(&global, &standby, Takeover::FailoverLosingRows).await.expect_err("refused");
        assert!(expected(&failed.why) && failed.operation == "rds:FailoverGlobalCluster", "{code}: {failed:?}");
    }
}

#[tokio::test]
async fn an_instance_is_added_to_its_cluster_and_one_that_is_there_is_ours() {
    let (rds, http) = adapter(vec![answered("CreateDBInstance"), error(400, "DBInstanceAlreadyExists", "there")]);
    let (_, standby) = ids();
    let added = AddedInstance { cluster: &standby, class: "db.r6g.large", plan: "shop" };
    rds.add_instance(&added).await.expect("taken");
    rds.add_instance(&added).await.expect("ours");
    let (_, body) = sent(&http, 0);
    for part in [
        "DBInstanceIdentifier=orders-standby-relight",
        "DBClusterIdentifier=orders-standby",
        "DBInstanceClass=db.r6g.large",
        "Engine=aurora-postgresql",
        "PubliclyAccessible=false",
        "Tags.Tag.1.Key=relight%3Aplan&Tags.Tag.1.Value=shop",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn the_lag_is_the_rpo_s_in_seconds_and_the_storage_s_where_there_is_no_other() {
    let (_, standby) = ids();
    let (rds, http) = adapter(vec![metric(&[(1_767_571_500, 812.0), (1_767_571_560, -1.0)], "Complete", None)]);
    let lag = rds.cluster_lag(&standby, at(1_767_571_500), at(1_767_571_800)).await.expect("read");
    assert_eq!(lag.metric, "AWS/RDS AuroraGlobalDBRPOLag of orders-standby");
    let expected = [LagSample { at: at(1_767_571_500), seconds: Some(0.812) }, LagSample { at: at(1_767_571_560), seconds: None }];
    assert_eq!(lag.samples, expected);
    let (_, body) = sent(&http, 0);
    assert!(body.contains("DBClusterIdentifier") && body.contains("orders-standby"), "{body}");

    let (rds, _) = adapter(vec![metric(&[], "Complete", None), metric(&[(1_767_571_500, 2000.0)], "Complete", None)]);
    let lag = rds.cluster_lag(&standby, at(1_767_571_500), at(1_767_571_800)).await.expect("read");
    assert_eq!((lag.metric.as_str(), lag.samples[0].seconds), ("AWS/RDS AuroraGlobalDBReplicationLag of orders-standby", Some(2.0)));
}

type Expected = fn(&Why) -> bool;

fn home() -> HomeCluster {
    let plan = crate::situations::plan();
    HomeCluster::of(&plan, &plan.databases[0])
}

fn snapshots_described(snapshots: &[(&str, &str, &str)]) -> (u16, Vec<u8>) {
    let rows: String = snapshots
        .iter()
        .map(|(name, made, status)| {
            format!("<DBClusterSnapshot><DBClusterSnapshotIdentifier>{name}</DBClusterSnapshotIdentifier><SnapshotCreateTime>{made}</SnapshotCreateTime><Status>{status}</Status></DBClusterSnapshot>")
        })
        .collect();
    ok(&format!(
        r#"<DescribeDBClusterSnapshotsResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBClusterSnapshotsResult><DBClusterSnapshots>{rows}</DBClusterSnapshots></DescribeDBClusterSnapshotsResult></DescribeDBClusterSnapshotsResponse>"#
    ))
}

const KEPT_BY_AURORA: &str = "rds:unplanned-global-failover-orders-2026-01-05-00-10";

#[tokio::test]
async fn what_aurora_kept_of_the_old_writer_is_found_at_home_among_its_other_snapshots() {
    let (rds, http) = adapter(vec![snapshots_described(&[
        ("rds:orders-2026-01-05-03-00", "2026-01-05T03:00:00Z", "available"),
        (KEPT_BY_AURORA, "2026-01-05T00:10:30Z", "available"),
        ("rds:unplanned-global-failover-orders2-2026-01-05-00-10", "2026-01-05T00:10:30Z", "available"),
    ])]);
    let lost = rds.lost_rows(&home()).await.expect("read");
    assert_eq!(lost, [LostRows { snapshot: KEPT_BY_AURORA.to_owned(), at: "2026-01-05T00:10:30Z".parse().expect("a time") }]);
    let (host, body) = sent(&http, 0);
    assert!(host == "rds.us-east-2.amazonaws.com" && body.contains("DBClusterIdentifier=orders"), "{host} {body}");
}

#[tokio::test]
async fn its_copy_is_asked_for_once_and_looked_at_until_it_is_there() {
    let none = || error(404, "DBClusterSnapshotNotFoundFault", "none");
    let copied = ok(
        r#"<CopyDBClusterSnapshotResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><CopyDBClusterSnapshotResult><DBClusterSnapshot/></CopyDBClusterSnapshotResult></CopyDBClusterSnapshotResponse>"#,
    );
    let kept = |status| snapshots_described(&[("relight-lost-rows-orders-2026-01-05-00-10", "2026-01-05T00:20:00Z", status)]);
    let there = error(400, "DBClusterSnapshotAlreadyExistsFault", "there");
    let (rds, http) = adapter(vec![none(), copied, none(), there, kept("copying"), kept("available"), kept("failed")]);
    let lost = LostRows { snapshot: KEPT_BY_AURORA.to_owned(), at: Timestamp::MIN };
    for expected in [Snapshotted::Underway, Snapshotted::Underway, Snapshotted::Underway, Snapshotted::Done] {
        assert_eq!(rds.keep_lost_rows(&home(), &lost).await.expect("asked"), expected);
    }
    let failed = rds.keep_lost_rows(&home(), &lost).await.expect_err("failed").to_string();
    assert!(failed.contains("delete it, and it is copied again"), "{failed}");
    let (_, body) = sent(&http, 1);
    for part in [
        "Action=CopyDBClusterSnapshot",
        "SourceDBClusterSnapshotIdentifier=rds%3Aunplanned-global-failover-orders-2026-01-05-00-10",
        "TargetDBClusterSnapshotIdentifier=relight-lost-rows-orders-2026-01-05-00-10",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn the_way_home_is_a_switchover_asked_for_where_the_writer_is() {
    let (rds, http) = adapter(vec![global_answered("SwitchoverGlobalCluster")]);
    rds.switch_home(&ids().0, &home()).await.expect("taken");
    let (host, body) = sent(&http, 0);
    assert_eq!(host, "rds.us-west-2.amazonaws.com");
    assert!(body.contains("TargetDbClusterIdentifier=arn%3Aaws%3Ards%3Aus-east-2%3A123456789012%3Acluster%3Aorders"), "{body}");
}

#[tokio::test]
async fn the_cluster_at_home_is_looked_at_in_its_region() {
    let (rds, http) = adapter(vec![error(404, "DBClusterNotFoundFault", "no")]);
    assert_eq!(rds.home_cluster(&home()).await.expect("read"), None);
    assert_eq!(sent(&http, 0).0, "rds.us-east-2.amazonaws.com");
}
