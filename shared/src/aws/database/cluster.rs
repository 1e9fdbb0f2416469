//! Aurora Global Database over RDS, and its lag over CloudWatch.
//!
//! All of it goes to the standby Region, which tells of the whole global cluster, but for a switchover: that one AWS takes in the Region
//! of the primary, which is healthy then.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{DbCluster, DbClusterSnapshot, DbInstance, Filter, GlobalClusterMember, GlobalClusterMemberSynchronizationStatus, Tag};
use aws_smithy_types::retry::RetryConfig;
use jiff::Timestamp;

use super::{AwsDatabase, DESCRIBE, PLAN_TAG, lag};
use crate::aws::failed;
use crate::ports::{
    AddedInstance, CallError, Cluster, ClusterInstance, ClusterLag, GlobalCluster, GlobalClusters, GlobalId, HomeCluster, LostRows, Member, Moving,
    Readable, Snapshotted, StandbyCluster, Takeover, Why,
};
use crate::state::Endpoint;

const GLOBAL: &str = "rds:DescribeGlobalClusters";
pub(super) const CLUSTERS: &str = "rds:DescribeDBClusters";
pub(super) const CREATE: &str = "rds:CreateDBInstance";
const FAILOVER: &str = "rds:FailoverGlobalCluster";
const SWITCHOVER: &str = "rds:SwitchoverGlobalCluster";
pub(super) const SNAPSHOTS: &str = "rds:DescribeDBClusterSnapshots";
const COPY: &str = "rds:CopyDBClusterSnapshot";
pub(super) const ENGINE: &str = "aurora-postgresql";

impl GlobalClusters for AwsDatabase {
    async fn global_cluster(&self, global: &GlobalId) -> Result<Option<GlobalCluster>, CallError> {
        let answer = self.rds().describe_global_clusters().global_cluster_identifier(global.as_str()).send().await.map_err(failed(GLOBAL));
        let found = match answer {
            Ok(answer) => answer.global_clusters.unwrap_or_default().into_iter().next(),
            Err(CallError { why: Why::NotFound(_), .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(found.as_ref().map(global_cluster))
    }

    async fn cluster(&self, cluster: &StandbyCluster) -> Result<Option<Cluster>, CallError> {
        with_instances(self.rds(), cluster.as_str()).await
    }

    async fn home_cluster(&self, home: &HomeCluster) -> Result<Option<Cluster>, CallError> {
        with_instances(self.home_rds(home.region()), home.as_str()).await
    }

    async fn lost_rows(&self, home: &HomeCluster) -> Result<Vec<LostRows>, CallError> {
        let pages = self.home_rds(home.region()).describe_db_cluster_snapshots().db_cluster_identifier(home.as_str()).into_paginator();
        let found = pages.items().send().try_collect().await.map_err(failed(SNAPSHOTS))?;
        let prefix = home.lost_prefix();
        let lost = |snapshot: DbClusterSnapshot| {
            let made = snapshot.snapshot_create_time().and_then(|at| at.to_millis().ok());
            let at = made.and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(Timestamp::MIN);
            Some(LostRows { at, snapshot: snapshot.db_cluster_snapshot_identifier.filter(|name| name.starts_with(&prefix))? })
        };
        Ok(found.into_iter().filter_map(lost).collect())
    }

    async fn keep_lost_rows(&self, home: &HomeCluster, lost: &LostRows) -> Result<Snapshotted, CallError> {
        let (rds, name) = (self.home_rds(home.region()), lost.kept_as());
        let found = describe_snapshot(rds, &name).await?;
        match found.as_ref().map(|copy| copy.status().unwrap_or_default()) {
            Some("available") => return Ok(Snapshotted::Done),
            Some("failed") => {
                let why = format!("the snapshot {name} in {} has failed; delete it, and it is copied again", home.region());
                return Err(CallError::new(SNAPSHOTS, Why::Other(why, None)));
            }
            Some(_) => return Ok(Snapshotted::Underway),
            None => {}
        }
        let call = rds.copy_db_cluster_snapshot().source_db_cluster_snapshot_identifier(&lost.snapshot).target_db_cluster_snapshot_identifier(&name);
        match call.send().await {
            Ok(_) => Ok(Snapshotted::Underway),
            // Its name is the snapshot's: an unanswered call of ours began it.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_db_cluster_snapshot_already_exists_fault()) => {
                Ok(Snapshotted::Underway)
            }
            Err(error) => Err(failed(COPY)(error)),
        }
    }

    /// Sent once, as every takeover is.
    async fn switch_home(&self, global: &GlobalId, to: &HomeCluster) -> Result<(), CallError> {
        let once = aws_sdk_rds::config::Builder::new().retry_config(RetryConfig::disabled());
        let call = self.rds().switchover_global_cluster().global_cluster_identifier(global.as_str()).target_db_cluster_identifier(to.arn());
        call.customize().config_override(once).send().await.map(drop).map_err(failed(SWITCHOVER))
    }

    async fn readable(&self, cluster: &StandbyCluster) -> Result<Readable, CallError> {
        let Some(found) = describe(self.rds(), cluster.as_str()).await? else { return Ok(Readable::NoCluster) };
        let at = told(&found, &[]).reader.filter(|_| !found.db_cluster_members().is_empty());
        Ok(at.map_or(Readable::Headless, Readable::At))
    }

    async fn cluster_lag(&self, cluster: &StandbyCluster, from: Timestamp, to: Timestamp) -> Result<ClusterLag, CallError> {
        let of = |metric| lag::Metric { name: metric, dimension: "DBClusterIdentifier", value: cluster.as_str(), per_second: 1000.0 };
        let of_metric = |metric, samples| ClusterLag { metric: format!("AWS/RDS {metric} of {cluster}"), samples };
        let rpo = "AuroraGlobalDBRPOLag";
        let samples = lag::samples(self.cloudwatch(), of(rpo), from, to).await?;
        if !samples.is_empty() {
            return Ok(of_metric(rpo, samples));
        }
        let storage = "AuroraGlobalDBReplicationLag";
        Ok(of_metric(storage, lag::samples(self.cloudwatch(), of(storage), from, to).await?))
    }

    async fn add_instance(&self, added: &AddedInstance<'_>) -> Result<(), CallError> {
        let call = self
            .rds()
            .create_db_instance()
            .db_instance_identifier(added.name())
            .db_cluster_identifier(added.cluster.as_str())
            .db_instance_class(added.class)
            .engine(ENGINE)
            .publicly_accessible(false)
            .tags(Tag::builder().key(PLAN_TAG).value(added.plan).build());
        match call.send().await {
            Ok(_) => Ok(()),
            // Its name is the cluster's: what is there is what an unanswered call of ours began.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_db_instance_already_exists_fault()) => Ok(()),
            Err(error) => Err(failed(CREATE)(error)),
        }
    }

    /// Sent once, as a promotion is: the SDK would send a call without an answer again, and AWS would refuse the second of two, or take
    /// it for a way back. What was done is read from the global cluster.
    async fn take_over(&self, global: &GlobalId, to: &StandbyCluster, how: Takeover) -> Result<(), CallError> {
        let once = aws_sdk_rds::config::Builder::new().retry_config(RetryConfig::disabled());
        match how {
            Takeover::FailoverLosingRows => {
                let call = self.rds().failover_global_cluster().global_cluster_identifier(global.as_str()).target_db_cluster_identifier(to.arn());
                let call = call.allow_data_loss(true).customize().config_override(once);
                call.send().await.map(drop).map_err(failed(FAILOVER))
            }
            Takeover::Switchover => {
                let call = self.home_rds(global.primary_region()).switchover_global_cluster();
                let call = call.global_cluster_identifier(global.as_str()).target_db_cluster_identifier(to.arn());
                call.customize().config_override(once).send().await.map(drop).map_err(failed(SWITCHOVER))
            }
        }
    }
}

pub(super) async fn with_instances(rds: &Client, name: &str) -> Result<Option<Cluster>, CallError> {
    let Some(found) = describe(rds, name).await? else { return Ok(None) };
    let of_cluster = Filter::builder().name("db-cluster-id").values(name).build();
    let answer = rds.describe_db_instances().filters(of_cluster).into_paginator().items().send().try_collect().await;
    Ok(Some(told(&found, &answer.map_err(failed(DESCRIBE))?)))
}

/// One cluster; `None` where there is none of this name.
pub(super) async fn describe(rds: &Client, name: &str) -> Result<Option<DbCluster>, CallError> {
    match rds.describe_db_clusters().db_cluster_identifier(name).send().await.map_err(failed(CLUSTERS)) {
        Ok(answer) => Ok(answer.db_clusters.unwrap_or_default().into_iter().next()),
        Err(CallError { why: Why::NotFound(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One snapshot of a cluster; `None` where there is none of this name.
pub(super) async fn describe_snapshot(rds: &Client, name: &str) -> Result<Option<DbClusterSnapshot>, CallError> {
    match rds.describe_db_cluster_snapshots().db_cluster_snapshot_identifier(name).send().await.map_err(failed(SNAPSHOTS)) {
        Ok(answer) => Ok(answer.db_cluster_snapshots.unwrap_or_default().into_iter().next()),
        Err(CallError { why: Why::NotFound(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn global_cluster(from: &aws_sdk_rds::types::GlobalCluster) -> GlobalCluster {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let member = |member: &GlobalClusterMember| Member {
        arn: text(member.db_cluster_arn()),
        writer: member.is_writer().unwrap_or(false),
        synchronization: member.synchronization_status().map(GlobalClusterMemberSynchronizationStatus::as_str).map(str::to_owned),
    };
    GlobalCluster {
        status: text(from.status()),
        engine_version: text(from.engine_version()),
        members: from.global_cluster_members().iter().map(member).collect(),
        // Without a status it tells of nothing that moves.
        moving: from.failover_state().and_then(|state| {
            let status = state.status()?.as_str().to_owned();
            Some(Moving { status, to: text(state.to_db_cluster_arn()) })
        }),
    }
}

fn told(from: &DbCluster, instances: &[DbInstance]) -> Cluster {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let port = from.port().and_then(|port| u16::try_from(port).ok());
    let endpoint = |host: Option<&str>| Some(Endpoint { host: host.filter(|host| !host.is_empty())?.to_owned(), port: port? });
    let writes = |name: &str| {
        let mut members = from.db_cluster_members().iter();
        members.any(|member| member.db_instance_identifier() == Some(name) && member.is_cluster_writer() == Some(true))
    };
    Cluster {
        status: text(from.status()),
        engine_version: text(from.engine_version()),
        endpoint: endpoint(from.endpoint()),
        reader: endpoint(from.reader_endpoint()),
        instances: instances
            .iter()
            .map(|instance| ClusterInstance {
                name: text(instance.db_instance_identifier()),
                status: text(instance.db_instance_status()),
                class: text(instance.db_instance_class()),
                writer: instance.db_instance_identifier().is_some_and(writes),
            })
            .collect(),
        backup_retention: from.backup_retention_period().map_or(0, |days| u32::try_from(days).unwrap_or(0)),
        security_groups: from.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id()).map(str::to_owned).collect(),
    }
}
