//! A drill's disposable copies over RDS: replicas of a replica, or restored from a snapshot of it that has the copy's name.
//!
//! Their names hold plan, run and database: what is there under one is what an unanswered call of ours began. What is removed must bear the tag
//! as well.

use std::collections::BTreeSet;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{DbInstance, Tag};

use super::{CREATE, DESCRIBE, PLAN_TAG, RUN_TAG, SNAPSHOT, SNAPSHOTS, home, instance, snapshot};
use crate::aws::failed;
use crate::ports::{CallError, CopyId, CopyOf, CopySnapshot, Removal, SnapshotOf, Why};
use crate::run::RunId;

const RESTORE: &str = "rds:RestoreDBInstanceFromDBSnapshot";
pub(super) const DELETE: &str = "rds:DeleteDBInstance";
const DELETE_SNAPSHOT: &str = "rds:DeleteDBSnapshot";

pub(super) async fn create(rds: &Client, copy: &CopyId, of: &CopyOf<'_>) -> Result<(), CallError> {
    let call = rds
        .create_db_instance_read_replica()
        .db_instance_identifier(copy.as_str())
        .source_db_instance_identifier(of.source.as_str())
        .set_vpc_security_group_ids((!of.security_groups.is_empty()).then(|| of.security_groups.to_vec()))
        .publicly_accessible(false)
        .deletion_protection(false)
        .set_tags(Some(tags(of.plan, of.run)));
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_db_instance_already_exists_fault()) => Ok(()),
        Err(error) => Err(failed(CREATE)(error)),
    }
}

pub(super) async fn take_snapshot(rds: &Client, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
    let call = rds.create_db_snapshot().db_instance_identifier(of.source.as_str()).db_snapshot_identifier(copy.as_str());
    match call.set_tags(Some(tags(of.plan, of.run))).send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_db_snapshot_already_exists_fault()) => Ok(()),
        Err(error) => Err(failed(SNAPSHOT)(error)),
    }
}

pub(super) async fn snapshot(rds: &Client, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError> {
    Ok(snapshot::describe(rds, copy.as_str()).await?.map(|found| how_far(found.status())))
}

/// By the status, of a cluster's snapshot as well.
pub(super) fn how_far(status: Option<&str>) -> CopySnapshot {
    match status.unwrap_or_default() {
        "available" => CopySnapshot::Available,
        "failed" => CopySnapshot::Failed,
        _ => CopySnapshot::Underway,
    }
}

/// A restore gets the default groups of VPC and engine unless it is told others, and nobody could log in: so the replica is looked at first.
pub(super) async fn restore(rds: &Client, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
    let like = home::there(rds, of.source.as_str()).await?;
    let security_groups = instance::instance(&like).security_groups;
    let parameters = like.db_parameter_groups().first().and_then(|group| group.db_parameter_group_name());
    let call = rds
        .restore_db_instance_from_db_snapshot()
        .db_instance_identifier(copy.as_str())
        .db_snapshot_identifier(copy.as_str())
        .set_db_instance_class(like.db_instance_class().map(str::to_owned))
        .set_db_subnet_group_name(like.db_subnet_group().and_then(|group| group.db_subnet_group_name()).map(str::to_owned))
        .set_vpc_security_group_ids((!security_groups.is_empty()).then_some(security_groups))
        .set_db_parameter_group_name(parameters.map(str::to_owned))
        // A backup would begin with the instance, of what is thrown away within the hour.
        .backup_retention_period(0)
        .multi_az(false)
        .publicly_accessible(false)
        .deletion_protection(false)
        .set_tags(Some(tags(of.plan, of.run)));
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_db_instance_already_exists_fault()) => Ok(()),
        Err(error) => Err(failed(RESTORE)(error)),
    }
}

/// The instance first: its snapshot is looked for when it is gone.
pub(super) async fn remove(rds: &Client, copy: &CopyId) -> Result<Removal, CallError> {
    match instance::describe(rds, copy.as_str()).await? {
        Some(found) => remove_instance(rds, copy.as_str(), &found).await,
        None => remove_snapshot(rds, copy).await,
    }
}

/// Of a copy, or of one that is a cluster.
pub(super) async fn remove_instance(rds: &Client, name: &str, found: &DbInstance) -> Result<Removal, CallError> {
    if found.db_instance_status() == Some("deleting") {
        return Ok(Removal::Underway);
    }
    expect_ours(DELETE, name, instance::tag(found, PLAN_TAG))?;
    let call = rds.delete_db_instance().db_instance_identifier(name).skip_final_snapshot(true).delete_automated_backups(true);
    match call.send().await.map_err(failed(DELETE)) {
        // One that went meanwhile may have left its snapshot: the next look tells.
        Ok(_) | Err(CallError { why: Why::NotFound(_), .. }) => Ok(Removal::Underway),
        Err(error) => Err(error),
    }
}

async fn remove_snapshot(rds: &Client, copy: &CopyId) -> Result<Removal, CallError> {
    let Some(found) = snapshot::describe(rds, copy.as_str()).await? else { return Ok(Removal::Gone) };
    // RDS deletes none that is still being taken.
    if !matches!(found.status(), Some("available" | "failed")) {
        return Ok(Removal::Underway);
    }
    expect_ours(DELETE_SNAPSHOT, copy.as_str(), value(found.tag_list(), PLAN_TAG))?;
    match rds.delete_db_snapshot().db_snapshot_identifier(copy.as_str()).send().await.map_err(failed(DELETE_SNAPSHOT)) {
        Ok(_) => Ok(Removal::Underway),
        Err(CallError { why: Why::NotFound(_), .. }) => Ok(Removal::Gone),
        Err(error) => Err(error),
    }
}

/// By name and tag, in either kind; one that has both is one copy. An instance of a cluster is its cluster's.
pub(super) async fn list(rds: &Client, plan: &str) -> Result<Vec<CopyId>, CallError> {
    let instances = rds.describe_db_instances().into_paginator().items().send().try_collect().await.map_err(failed(DESCRIBE))?;
    let snapshots = rds.describe_db_snapshots().snapshot_type("manual");
    let snapshots = snapshots.into_paginator().items().send().try_collect().await.map_err(failed(SNAPSHOTS))?;
    let ours = |found: &&DbInstance| instance::tag(found, PLAN_TAG) == Some(plan) && found.db_cluster_identifier().is_none();
    let instances = instances.iter().filter(ours).filter_map(|found| found.db_instance_identifier());
    let snapshots =
        snapshots.iter().filter(|found| value(found.tag_list(), PLAN_TAG) == Some(plan)).filter_map(|found| found.db_snapshot_identifier());
    let names: BTreeSet<&str> = instances.chain(snapshots).collect();
    Ok(names.into_iter().filter_map(CopyId::named).collect())
}

/// The name alone is not enough to delete data by.
pub(super) fn expect_ours(call: &'static str, name: &str, plan: Option<&str>) -> Result<(), CallError> {
    if plan.is_some() {
        return Ok(());
    }
    let why = format!("{name} carries no tag {PLAN_TAG}, so no drill of Relight made it; look at it and delete it by hand");
    Err(CallError::new(call, Why::Other(why, None)))
}

pub(super) fn tags(plan: &str, run: &RunId) -> Vec<Tag> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    vec![tag(PLAN_TAG, plan), tag(RUN_TAG, &run.0)]
}

pub(super) fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value())
}
