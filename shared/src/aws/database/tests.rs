//! On the wire: RDS's Query API in XML and CloudWatch's CBOR, with the answers that their documentation shows.

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::region::Region;
use aws_types::sdk_config::{SdkConfig, SharedCredentialsProvider};

mod cluster;
mod cluster_copies;
mod copies;
mod home;
mod parameters;
mod proxy;

use super::*;
use crate::plan;
use crate::ports::ParameterGroup;
use crate::run::RunId;
use crate::state::Endpoint;

/// An adapter whose calls meet these answers, in their order.
fn adapter(answers: Vec<(u16, Vec<u8>)>) -> (AwsDatabase, StaticReplayClient) {
    adapter_that_retries(answers, RetryConfig::disabled())
}

fn adapter_that_retries(answers: Vec<(u16, Vec<u8>)>, retries: RetryConfig) -> (AwsDatabase, StaticReplayClient) {
    let event = |(status, body): (u16, Vec<u8>)| {
        let request = http::Request::builder().uri("https://rds.us-west-2.amazonaws.com/").body(SdkBody::empty()).expect("a request");
        // CloudWatch's protocol is named in its answers; RDS's client does not look at the header.
        let answer = http::Response::builder().status(status).header("smithy-protocol", "rpc-v2-cbor").body(SdkBody::from(body));
        ReplayEvent::new(request, answer.expect("an answer"))
    };
    let http = StaticReplayClient::new(answers.into_iter().map(event).collect());
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .retry_config(retries)
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(http.clone())
        .build();
    (AwsDatabase::new(&Aws::from_config(config)), http)
}

#[tokio::test]
async fn quotas_are_read_with_what_is_used_of_them() {
    let (rds, http) = adapter(vec![ok(r#"<DescribeAccountAttributesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/">
  <DescribeAccountAttributesResult>
    <AccountQuotas>
      <AccountQuota><Used>0</Used><AccountQuotaName>ReservedDBInstances</AccountQuotaName><Max>40</Max></AccountQuota>
      <AccountQuota><Used>40</Used><AccountQuotaName>DBInstances</AccountQuotaName><Max>40</Max></AccountQuota>
      <AccountQuota><AccountQuotaName>OfTomorrow</AccountQuotaName></AccountQuota>
    </AccountQuotas>
  </DescribeAccountAttributesResult>
  <ResponseMetadata><RequestId>cd4b66d2-4a49-11e4-9b5e-0d3f3a2b1c4d</RequestId></ResponseMetadata>
</DescribeAccountAttributesResponse>"#)]);
    let quota = |name: &str, used, max| Quota { name: name.to_owned(), used, max };
    assert_eq!(rds.quotas().await.expect("an answer"), [quota("ReservedDBInstances", 0, 40), quota("DBInstances", 40, 40)]);
    let (host, body) = sent(&http, 0);
    assert!(host == "rds.us-west-2.amazonaws.com" && body.starts_with("Action=DescribeAccountAttributes"), "{host} {body}");
}

/// One request as host and form, decoded no further than RDS's own escapes need.
fn sent(http: &StaticReplayClient, index: usize) -> (String, String) {
    let request = http.actual_requests().nth(index).expect("sent");
    let body = String::from_utf8_lossy(request.body().bytes().expect("in memory")).into_owned();
    let host = request.uri().split('/').nth(2).unwrap_or_default().to_owned();
    (host, body)
}

fn ok(body: &str) -> (u16, Vec<u8>) {
    (200, body.as_bytes().to_vec())
}

fn error(status: u16, code: &str, message: &str) -> (u16, Vec<u8>) {
    let body = format!(
        r#"<ErrorResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>b1f2a3</RequestId></ErrorResponse>"#
    );
    (status, body.into_bytes())
}

fn described(instances: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        r#"<DescribeDBInstancesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBInstancesResult><DBInstances>{instances}</DBInstances></DescribeDBInstancesResult><ResponseMetadata><RequestId>b1f2a3</RequestId></ResponseMetadata></DescribeDBInstancesResponse>"#
    ))
}

fn answered(action: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        r#"<{action}Response xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><{action}Result><DBInstance><DBInstanceIdentifier>orders-replica</DBInstanceIdentifier><DBInstanceStatus>available</DBInstanceStatus></DBInstance></{action}Result></{action}Response>"#
    ))
}

const REPLICA: &str = "<DBInstance>
<DBInstanceIdentifier>orders-replica</DBInstanceIdentifier>
<DBInstanceClass>db.t4g.small</DBInstanceClass>
<Engine>postgres</Engine><EngineVersion>16.3</EngineVersion>
<DBInstanceStatus>available</DBInstanceStatus>
<Endpoint><Address>orders-replica.c1a2.us-west-2.rds.amazonaws.com</Address><Port>5432</Port><HostedZoneId>Z1PVIF0B656C1W</HostedZoneId></Endpoint>
<BackupRetentionPeriod>1</BackupRetentionPeriod>
<DBSecurityGroups/>
<VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-0a1</VpcSecurityGroupId><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups>
<DBParameterGroups><DBParameterGroup><ParameterApplyStatus>pending-reboot</ParameterApplyStatus><DBParameterGroupName>orders-serving</DBParameterGroupName></DBParameterGroup></DBParameterGroups>
<MultiAZ>false</MultiAZ>
<DeletionProtection>true</DeletionProtection>
<PendingModifiedValues><DBInstanceClass>db.r6g.large</DBInstanceClass><BackupRetentionPeriod>7</BackupRetentionPeriod><MultiAZ>true</MultiAZ></PendingModifiedValues>
<ReadReplicaSourceDBInstanceIdentifier>arn:aws:rds:us-east-2:123456789012:db:orders</ReadReplicaSourceDBInstanceIdentifier>
<ReadReplicaDBInstanceIdentifiers><ReadReplicaDBInstanceIdentifier>other</ReadReplicaDBInstanceIdentifier></ReadReplicaDBInstanceIdentifiers>
<StatusInfos><DBInstanceStatusInfo><StatusType>read replication</StatusType><Normal>true</Normal><Status>replicating</Status></DBInstanceStatusInfo></StatusInfos>
</DBInstance>";

const PROMOTED: &str = "<DBInstance>
<DBInstanceIdentifier>orders-replica</DBInstanceIdentifier>
<DBInstanceClass>db.t4g.small</DBInstanceClass>
<Engine>postgres</Engine>
<DBInstanceStatus>available</DBInstanceStatus>
<BackupRetentionPeriod>7</BackupRetentionPeriod>
<PendingModifiedValues/>
<ReadReplicaDBInstanceIdentifiers/>
</DBInstance>";

fn database() -> plan::Database {
    let text = r#"
        name = "orders"
        engine = "postgres"
        primary = "orders"
        replica = "orders-replica"
    "#;
    toml::from_str(text).expect("a database")
}

fn replica() -> ReplicaId {
    ReplicaId::of(&database())
}

fn run() -> RunId {
    RunId("drill-20260105T000500Z".to_owned())
}

fn copy() -> CopyId {
    CopyId::of("shop", &run(), "orders")
}

fn plan() -> plan::Plan {
    let text = r#"
        name = "shop"
        account = "123456789012"
        primary = "us-east-2"
        standby = "us-west-2"
        observer = []
        [traffic]
        record = "shop.test"
        standby = "standby.shop.test"
        stop_bucket = "shop-stop"
        healthy_url = "http://standby.shop.test/"
    "#;
    plan::Plan::stored(text).expect("a plan")
}

fn primary() -> PrimaryId {
    PrimaryId::of(&plan(), &database())
}

#[tokio::test]
async fn a_replica_is_read_with_all_that_matters() {
    let (database, http) = adapter(vec![described(REPLICA)]);
    let found = database.replica(&replica()).await.expect("read").expect("there");
    let expected = Instance {
        status: "available".to_owned(),
        source: Some("arn:aws:rds:us-east-2:123456789012:db:orders".to_owned()),
        replication: vec!["replicating".to_owned()],
        engine: "postgres".to_owned(),
        engine_version: "16.3".to_owned(),
        class: "db.t4g.small".to_owned(),
        pending_class: Some("db.r6g.large".to_owned()),
        endpoint: Some(Endpoint { host: "orders-replica.c1a2.us-west-2.rds.amazonaws.com".to_owned(), port: 5432 }),
        backup_retention: 1,
        pending_backup_retention: Some(7),
        read_replicas: vec!["other".to_owned()],
        security_groups: vec!["sg-0a1".to_owned()],
        multi_az: false,
        pending_multi_az: Some(true),
        deletion_protection: true,
        parameter_group: Some(ParameterGroup { name: "orders-serving".to_owned(), status: "pending-reboot".to_owned() }),
    };
    assert_eq!(found, expected);
    assert!(!found.is_promoted());
    let (host, body) = sent(&http, 0);
    assert_eq!(host, "rds.us-west-2.amazonaws.com");
    assert!(body.starts_with("Action=DescribeDBInstances") && body.contains("DBInstanceIdentifier=orders-replica"), "{body}");
}

#[tokio::test]
async fn a_promoted_instance_has_neither_source_nor_replication() {
    let (database, _) = adapter(vec![described(PROMOTED)]);
    let found = database.replica(&replica()).await.expect("read").expect("there");
    assert!(found.is_promoted());
    assert_eq!((found.backup_retention, found.pending_backup_retention, found.endpoint), (7, None, None));
}

#[tokio::test]
async fn a_missing_instance_is_none_and_no_error() {
    let (database, _) = adapter(vec![error(404, "DBInstanceNotFound", "DBInstance orders-replica not found.")]);
    assert_eq!(database.replica(&replica()).await.expect("read"), None);
}

#[tokio::test]
async fn a_promotion_brings_its_backups_along() {
    let (database, http) = adapter(vec![answered("PromoteReadReplica")]);
    database.promote(&replica(), 7).await.expect("taken");
    let (_, body) = sent(&http, 0);
    assert!(body.starts_with("Action=PromoteReadReplica") && body.contains("DBInstanceIdentifier=orders-replica"), "{body}");
    assert!(body.contains("BackupRetentionPeriod=7"), "{body}");
}

#[tokio::test]
async fn a_promotion_without_an_answer_is_sent_once_while_a_look_is_sent_again() {
    let retries = || RetryConfig::standard().with_max_attempts(3).with_initial_backoff(std::time::Duration::from_millis(1));
    let lost = || error(500, "InternalFailure", "The request processing has failed");
    let (database, http) = adapter_that_retries(vec![lost(), answered("PromoteReadReplica")], retries());
    let failed = database.promote(&replica(), 7).await.expect_err("no answer that tells");
    assert!(matches!(failed.why, Why::Unanswered(_)), "{failed}");
    assert_eq!(http.actual_requests().count(), 1);
    let (database, http) = adapter_that_retries(vec![lost(), answered("PromoteReadReplica")], retries());
    database.promote_copy(&copy()).await.expect_err("no answer that tells");
    assert_eq!(http.actual_requests().count(), 1);

    let (database, http) = adapter_that_retries(vec![lost(), described(REPLICA)], retries());
    assert!(database.replica(&replica()).await.expect("the second answer").is_some());
    assert_eq!(http.actual_requests().count(), 2);
}

#[tokio::test]
async fn each_error_says_what_it_means_for_what_comes_next() {
    type Means = fn(&Why) -> bool;
    let cases: [(u16, &str, Means); 5] = [
        (400, "InvalidDBInstanceState", |why| matches!(why, Why::State(_))),
        (400, "Throttling", |why| matches!(why, Why::Throttled)),
        (403, "AccessDenied", |why| matches!(why, Why::Denied(_))),
        (404, "DBInstanceNotFound", |why| matches!(why, Why::NotFound(_))),
        (500, "InternalFailure", |why| matches!(why, Why::Unanswered(_))),
    ];
    for (status, code, expected) in cases {
        let (database, _) = adapter(vec![error(status, code, "said so")]);
        let failed = database.promote(&replica(), 7).await.expect_err("refused");
        assert!(expected(&failed.why) && failed.operation == "rds:PromoteReadReplica", "{code}: {failed:?}");
    }
}

#[tokio::test]
async fn what_is_changed_together_goes_in_one_call_and_at_once() {
    let (database, http) = adapter(vec![answered("ModifyDBInstance"), answered("ModifyDBInstance")]);
    let safety = InstanceChange { deletion_protection: Some(true), ..InstanceChange::backups(7) };
    database.modify(&replica(), &safety).await.expect("taken");
    let last = InstanceChange {
        multi_az: Some(true),
        class: Some("db.r6g.large".to_owned()),
        parameter_group: Some("orders-serving".to_owned()),
        ..InstanceChange::default()
    };
    database.modify(&replica(), &last).await.expect("taken");
    let (safety, last) = (sent(&http, 0).1, sent(&http, 1).1);
    for part in ["BackupRetentionPeriod=7", "DeletionProtection=true", "ApplyImmediately=true"] {
        assert!(safety.contains(part), "{part} in {safety}");
    }
    for part in ["MultiAZ=true", "DBInstanceClass=db.r6g.large", "DBParameterGroupName=orders-serving", "ApplyImmediately=true"] {
        assert!(last.contains(part), "{part} in {last}");
    }
    for left in ["MultiAZ", "DBInstanceClass", "DBParameterGroupName"] {
        assert!(!safety.contains(left), "{left} in {safety}");
    }
    assert!(!last.contains("BackupRetentionPeriod") && !last.contains("DeletionProtection"), "{last}");
}

#[tokio::test]
async fn a_restart_is_no_failover_and_is_sent_once_whether_or_not_it_was_answered() {
    let (database, http) = adapter(vec![answered("RebootDBInstance")]);
    database.restart(&replica()).await.expect("taken");
    let body = sent(&http, 0).1;
    assert!(body.starts_with("Action=RebootDBInstance") && body.contains("DBInstanceIdentifier=orders-replica"), "{body}");
    assert!(body.contains("ForceFailover=false"), "{body}");

    let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(std::time::Duration::from_millis(1));
    let (database, http) = adapter_that_retries(vec![error(500, "InternalFailure", "failed"), answered("RebootDBInstance")], retries);
    assert!(matches!(database.restart(&replica()).await.expect_err("no answer that tells").why, Why::Unanswered(_)));
    assert_eq!(http.actual_requests().count(), 1);
}

/// The old writer with its groups, each with its status.
fn old_writer(groups: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let groups: String = groups
        .iter()
        .map(|(id, status)| {
            format!("<VpcSecurityGroupMembership><VpcSecurityGroupId>{id}</VpcSecurityGroupId><Status>{status}</Status></VpcSecurityGroupMembership>")
        })
        .collect();
    described(&format!("<DBInstance><DBInstanceIdentifier>orders</DBInstanceIdentifier><VpcSecurityGroups>{groups}</VpcSecurityGroups></DBInstance>"))
}

#[tokio::test]
async fn the_old_writer_is_moved_into_quarantine_in_the_primary_region() {
    let (database, http) = adapter(vec![old_writer(&[("sg-0a1", "active")]), answered("ModifyDBInstance")]);
    assert_eq!(database.fence(&primary(), "sg-quarantine").await.expect("asked"), Fenced::Underway);
    let (host, body) = sent(&http, 1);
    assert_eq!((sent(&http, 0).0.as_str(), host.as_str()), ("rds.us-east-2.amazonaws.com", "rds.us-east-2.amazonaws.com"));
    for part in ["DBInstanceIdentifier=orders", "VpcSecurityGroupIds.VpcSecurityGroupId.1=sg-quarantine", "ApplyImmediately=true"] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(!body.contains("VpcSecurityGroupId.2"), "{body}");
}

#[tokio::test]
async fn an_old_writer_in_quarantine_is_left_alone() {
    let cases: [(&[(&str, &str)], Fenced); 3] = [
        (&[("sg-quarantine", "active")], Fenced::Done),
        (&[("sg-quarantine", "adding"), ("sg-0a1", "removing")], Fenced::Underway),
        (&[("sg-quarantine", "active"), ("sg-0a1", "removing")], Fenced::Underway),
    ];
    for (groups, expected) in cases {
        let (database, http) = adapter(vec![old_writer(groups)]);
        assert_eq!(database.fence(&primary(), "sg-quarantine").await.expect("read"), expected, "{groups:?}");
        assert_eq!(http.actual_requests().count(), 1);
    }
}

#[tokio::test]
async fn a_second_group_beside_the_quarantine_is_no_fence() {
    let (database, http) = adapter(vec![old_writer(&[("sg-quarantine", "active"), ("sg-0a1", "active")]), answered("ModifyDBInstance")]);
    assert_eq!(database.fence(&primary(), "sg-quarantine").await.expect("asked"), Fenced::Underway);
    assert_eq!(http.actual_requests().count(), 2);
}

#[tokio::test]
async fn an_old_writer_that_is_gone_is_said_and_not_taken_for_fenced() {
    let (database, _) = adapter(vec![error(404, "DBInstanceNotFound", "gone")]);
    let missing = database.fence(&primary(), "sg-quarantine").await.expect_err("missing");
    assert!(matches!(missing.why, Why::NotFound(_)), "{missing:?}");
}

/// GetMetricData's answer in CBOR: seconds since 1970 under tag 1, and doubles.
fn metric(samples: &[(i64, f64)], status: &str, next: Option<&str>) -> (u16, Vec<u8>) {
    let mut body = Vec::new();
    let mut cbor = minicbor::Encoder::new(&mut body);
    let write = |cbor: &mut minicbor::Encoder<&mut Vec<u8>>| -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        cbor.map(if next.is_some() { 2 } else { 1 })?.str("MetricDataResults")?.array(1)?;
        cbor.map(4)?.str("Id")?.str("lag")?.str("StatusCode")?.str(status)?;
        cbor.str("Timestamps")?.array(samples.len() as u64)?;
        for (at, _) in samples {
            cbor.tag(minicbor::data::Tag::new(1))?.f64(*at as f64)?;
        }
        cbor.str("Values")?.array(samples.len() as u64)?;
        for (_, value) in samples {
            cbor.f64(*value)?;
        }
        if let Some(next) = next {
            cbor.str("NextToken")?.str(next)?;
        }
        Ok(())
    };
    write(&mut cbor).expect("in memory");
    (200, body)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

async fn lag(answers: Vec<(u16, Vec<u8>)>) -> (Result<Vec<LagSample>, CallError>, StaticReplayClient) {
    let (database, http) = adapter(answers);
    (database.lag_samples(&replica(), at(1_767_571_500), at(1_767_571_800)).await, http)
}

#[tokio::test]
async fn lag_is_read_by_the_minute_and_minus_one_is_unknown() {
    let (samples, http) = lag(vec![metric(&[(1_767_571_500, 2.5), (1_767_571_560, -1.0)], "Complete", None)]).await;
    let expected = [LagSample { at: at(1_767_571_500), seconds: Some(2.5) }, LagSample { at: at(1_767_571_560), seconds: None }];
    assert_eq!(samples.expect("read"), expected);
    let request = http.actual_requests().next().expect("sent");
    assert!(request.uri().contains("monitoring.us-west-2.amazonaws.com") && request.uri().ends_with("operation/GetMetricData"), "{}", request.uri());
    let (_, body) = sent(&http, 0);
    for part in ["AWS/RDS", "ReplicaLag", "DBInstanceIdentifier", "orders-replica", "Maximum"] {
        assert!(body.contains(part), "{part}");
    }
}

#[tokio::test]
async fn a_metric_without_samples_is_empty_and_no_error() {
    assert_eq!(lag(vec![metric(&[], "Complete", None)]).await.0.expect("read"), []);
}

#[tokio::test]
async fn a_partial_answer_is_read_to_its_end_and_one_that_stays_so_is_no_answer() {
    let pages = vec![metric(&[(1_767_571_500, 2.0)], "PartialData", Some("next")), metric(&[(1_767_571_560, 3.0)], "Complete", None)];
    assert_eq!(lag(pages).await.0.expect("read").len(), 2);
    let cut = lag(vec![metric(&[(1_767_571_500, 2.0)], "PartialData", None)]).await.0.expect_err("incomplete");
    assert!(matches!(cut.why, Why::Unanswered(_)), "{cut:?}");
}

#[tokio::test]
async fn a_denied_metric_says_which_permission_is_missing() {
    let mut body = Vec::new();
    let mut cbor = minicbor::Encoder::new(&mut body);
    cbor.map(2).and_then(|cbor| cbor.str("__type")?.str("com.amazonaws.cloudwatch#AccessDenied")?.str("message")?.str("no")).expect("in memory");
    let denied = lag(vec![(403, body)]).await.0.expect_err("denied");
    assert!(matches!(denied.why, Why::Denied(_)) && denied.operation == "cloudwatch:GetMetricData", "{denied:?}");
}
