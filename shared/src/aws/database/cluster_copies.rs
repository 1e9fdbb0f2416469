//! A drill's disposable copies of Aurora's secondaries over RDS: a snapshot, a cluster restored from it, and an instance in that.
//!
//! As with the copies of instances, what is there under a copy's name is what an unanswered call of ours began, and what is removed must bear
//! the tag as well.

use std::collections::BTreeSet;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{DbCluster, ServerlessV2ScalingConfiguration};

use super::cluster::{CLUSTERS, CREATE, ENGINE, SNAPSHOTS, describe, describe_snapshot, with_instances};
use super::copies::{expect_ours, how_far, remove_instance, tags, value};
use super::{AwsDatabase, PLAN_TAG, instance};
use crate::aws::failed;
use crate::ports::{CallError, Cluster, ClusterCopies, ClusterCopyOf, CopyId, CopySnapshot, Removal, Why};

const SNAPSHOT: &str = "rds:CreateDBClusterSnapshot";
const RESTORE: &str = "rds:RestoreDBClusterFromSnapshot";
const DELETE: &str = "rds:DeleteDBCluster";
const DELETE_SNAPSHOT: &str = "rds:DeleteDBClusterSnapshot";

impl ClusterCopies for AwsDatabase {
    async fn snapshot_cluster(&self, copy: &CopyId, of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        let call = self.rds().create_db_cluster_snapshot().db_cluster_identifier(of.source.as_str()).db_cluster_snapshot_identifier(copy.as_str());
        match call.set_tags(Some(tags(of.plan, of.run))).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_db_cluster_snapshot_already_exists_fault()) => Ok(()),
            Err(error) => Err(failed(SNAPSHOT)(error)),
        }
    }

    async fn cluster_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError> {
        Ok(describe_snapshot(self.rds(), copy.as_str()).await?.map(|found| how_far(found.status())))
    }

    /// What it is not told it takes from VPC and engine, and nobody could log in: so the secondary is looked at first. The key is the
    /// snapshot's, which is the secondary's.
    async fn restore_cluster(&self, copy: &CopyId, of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        let like = describe(self.rds(), of.source.as_str()).await?;
        let like = like.ok_or_else(|| CallError::new(CLUSTERS, Why::NotFound(of.source.to_string())))?;
        let groups: Vec<String> = like.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id()).map(str::to_owned).collect();
        let call = self
            .rds()
            .restore_db_cluster_from_snapshot()
            .db_cluster_identifier(copy.as_str())
            .snapshot_identifier(copy.as_str())
            .engine(ENGINE)
            .set_engine_version(like.engine_version().map(str::to_owned))
            .set_db_subnet_group_name(like.db_subnet_group().map(str::to_owned))
            .set_vpc_security_group_ids((!groups.is_empty()).then_some(groups))
            .set_db_cluster_parameter_group_name(like.db_cluster_parameter_group().map(str::to_owned))
            .set_serverless_v2_scaling_configuration(serverless(&like))
            .deletion_protection(false)
            .set_tags(Some(tags(of.plan, of.run)));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_db_cluster_already_exists_fault()) => Ok(()),
            Err(error) => Err(failed(RESTORE)(error)),
        }
    }

    async fn cluster_copy(&self, copy: &CopyId) -> Result<Option<Cluster>, CallError> {
        with_instances(self.rds(), copy.as_str()).await
    }

    async fn add_copy_instance(&self, copy: &CopyId, class: &str, of: &ClusterCopyOf<'_>) -> Result<(), CallError> {
        let call = self
            .rds()
            .create_db_instance()
            .db_instance_identifier(copy.member())
            .db_cluster_identifier(copy.as_str())
            .db_instance_class(class)
            .engine(ENGINE)
            .publicly_accessible(false)
            .set_tags(Some(tags(of.plan, of.run)));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_db_instance_already_exists_fault()) => Ok(()),
            Err(error) => Err(failed(CREATE)(error)),
        }
    }

    /// Each by its own name alone: RDS refuses to delete a cluster that has another instance, and that is said.
    async fn remove_cluster_copy(&self, copy: &CopyId) -> Result<Removal, CallError> {
        let (rds, member) = (self.rds(), copy.member());
        match describe(rds, copy.as_str()).await? {
            None => remove_snapshot(rds, copy).await,
            Some(found) => match instance::describe(rds, &member).await? {
                Some(member_found) => remove_instance(rds, &member, &member_found).await,
                None => remove_cluster(rds, copy, &found).await,
            },
        }
    }

    async fn cluster_copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        let clusters = self.rds().describe_db_clusters().into_paginator().items().send().try_collect().await.map_err(failed(CLUSTERS))?;
        let snapshots = self.rds().describe_db_cluster_snapshots().snapshot_type("manual").into_paginator();
        let snapshots = snapshots.items().send().try_collect().await.map_err(failed(SNAPSHOTS))?;
        let clusters =
            clusters.iter().filter(|found| value(found.tag_list(), PLAN_TAG) == Some(plan)).filter_map(|found| found.db_cluster_identifier());
        let snapshots = snapshots.iter().filter(|found| value(found.tag_list(), PLAN_TAG) == Some(plan));
        let names: BTreeSet<&str> = clusters.chain(snapshots.filter_map(|found| found.db_cluster_snapshot_identifier())).collect();
        Ok(names.into_iter().filter_map(CopyId::named).collect())
    }
}

/// An instance of the class `db.serverless` needs it.
fn serverless(like: &DbCluster) -> Option<ServerlessV2ScalingConfiguration> {
    let scaling = like.serverless_v2_scaling_configuration()?;
    let builder = ServerlessV2ScalingConfiguration::builder().set_min_capacity(scaling.min_capacity()).set_max_capacity(scaling.max_capacity());
    Some(builder.build())
}

async fn remove_cluster(rds: &Client, copy: &CopyId, found: &DbCluster) -> Result<Removal, CallError> {
    if found.status() == Some("deleting") {
        return Ok(Removal::Underway);
    }
    expect_ours(DELETE, copy.as_str(), value(found.tag_list(), PLAN_TAG))?;
    let call = rds.delete_db_cluster().db_cluster_identifier(copy.as_str()).skip_final_snapshot(true).delete_automated_backups(true);
    match call.send().await.map_err(failed(DELETE)) {
        // One that went meanwhile may have left its snapshot: the next look tells.
        Ok(_) | Err(CallError { why: Why::NotFound(_), .. }) => Ok(Removal::Underway),
        Err(error) => Err(error),
    }
}

async fn remove_snapshot(rds: &Client, copy: &CopyId) -> Result<Removal, CallError> {
    let Some(found) = describe_snapshot(rds, copy.as_str()).await? else { return Ok(Removal::Gone) };
    // RDS deletes none that is still being taken.
    if !matches!(found.status(), Some("available" | "failed")) {
        return Ok(Removal::Underway);
    }
    expect_ours(DELETE_SNAPSHOT, copy.as_str(), value(found.tag_list(), PLAN_TAG))?;
    match rds.delete_db_cluster_snapshot().db_cluster_snapshot_identifier(copy.as_str()).send().await.map_err(failed(DELETE_SNAPSHOT)) {
        Ok(_) => Ok(Removal::Underway),
        Err(CallError { why: Why::NotFound(_), .. }) => Ok(Removal::Gone),
        Err(error) => Err(error),
    }
}
