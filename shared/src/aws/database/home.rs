//! The way home over RDS: what is set aside, and the replicas that are built in the one Region from the writer in the other.
//!
//! A cross-Region replica is created in its own Region and names its source by ARN. RDS gives it the Region's default groups and no key
//! unless it is told, so what stood there before is looked at first, and the replica is made like it, but for its parameter group: RDS refuses
//! to be told one while it creates a replica of PostgreSQL, so that is changed later.

use aws_sdk_rds::Client;
use aws_sdk_rds::operation::create_db_instance_read_replica::builders::CreateDBInstanceReadReplicaFluentBuilder;
use aws_sdk_rds::types::{DbInstance, Tag};

use super::{CREATE, DESCRIBE, MODIFY, PLAN_TAG, RUN_TAG, SNAPSHOT, SNAPSHOTS, instance, snapshot};
use crate::aws::failed;
use crate::ports::{CallError, LeftId, Snapshotted, Why};
use crate::run::RunId;
use crate::state::ReplicaShape;

/// The key that each Region has by itself, where nothing tells of another.
const DEFAULT_KEY: &str = "alias/aws/rds";
/// What AWS itself sets, and nobody else may.
const RESERVED: &str = "aws:";

pub(super) async fn last_snapshot(rds: &Client, left: &LeftId) -> Result<Snapshotted, CallError> {
    match snapshot::describe(rds, left.as_str()).await?.as_ref().map(|found| found.status().unwrap_or_default()) {
        Some("available") => return Ok(Snapshotted::Done),
        Some("failed") => {
            let why = format!("the snapshot {left} in {} has failed; delete it, and it is taken again", left.region());
            return Err(CallError::new(SNAPSHOTS, Why::Other(why, None)));
        }
        Some(_) => return Ok(Snapshotted::Underway),
        None => {}
    }
    let call = rds.create_db_snapshot().db_instance_identifier(left.was()).db_snapshot_identifier(left.as_str());
    match call.send().await {
        Ok(_) => Ok(Snapshotted::Underway),
        // Its name holds instance and run: an unanswered call of ours began it.
        Err(error) if error.as_service_error().is_some_and(|error| error.is_db_snapshot_already_exists_fault()) => Ok(Snapshotted::Underway),
        Err(error) => Err(failed(SNAPSHOT)(error)),
    }
}

pub(super) async fn set_aside(rds: &Client, left: &LeftId) -> Result<(), CallError> {
    let call = rds.modify_db_instance().db_instance_identifier(left.was()).new_db_instance_identifier(left.as_str()).apply_immediately(true);
    call.send().await.map(drop).map_err(failed(MODIFY))
}

/// A replica to be built.
pub(super) struct Building<'a> {
    /// Its Region's client, and the name that it gets.
    pub(super) rds: &'a Client,
    pub(super) name: &'a str,
    /// What it replicates, as its own Region describes it.
    pub(super) source: DbInstance,
    /// What stood there before.
    pub(super) like: Option<DbInstance>,
    /// What it was before, where that is not what stands there now.
    pub(super) was: Option<&'a ReplicaShape>,
    pub(super) security_groups: Vec<String>,
    pub(super) plan: &'a str,
    pub(super) run: &'a RunId,
}

impl Building<'_> {
    pub(super) async fn begin(self) -> Result<(), CallError> {
        let Some(source) = self.source.db_instance_arn() else {
            return Err(CallError::new(DESCRIBE, Why::Unanswered("an instance without an ARN".to_owned())));
        };
        match self.call(source).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_db_instance_already_exists_fault()) => self.is_ours(source).await,
            Err(error) => Err(failed(CREATE)(error)),
        }
    }

    fn call(&self, source: &str) -> CreateDBInstanceReadReplicaFluentBuilder {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let like = self.like.as_ref();
        let class = self.was.map(|was| was.class.as_str()).or(like.and_then(DbInstance::db_instance_class)).or(self.source.db_instance_class());
        let kept = like.map(DbInstance::tag_list).unwrap_or_default().iter().filter(|tag| tag.key().is_some_and(is_kept));
        let tags = kept.cloned().chain([tag(PLAN_TAG, self.plan), tag(RUN_TAG, &self.run.0)]).collect();
        // A replica of what is encrypted needs a key of its own Region, one of what is not may have none.
        let encrypted = self.source.storage_encrypted() == Some(true);
        let key = encrypted.then(|| like.and_then(DbInstance::kms_key_id).unwrap_or(DEFAULT_KEY));
        self.rds
            .create_db_instance_read_replica()
            .db_instance_identifier(self.name)
            .source_db_instance_identifier(source)
            .set_db_instance_class(class.map(str::to_owned))
            .set_db_subnet_group_name(like.and_then(DbInstance::db_subnet_group).and_then(|group| group.db_subnet_group_name()).map(str::to_owned))
            .set_vpc_security_group_ids((!self.security_groups.is_empty()).then(|| self.security_groups.clone()))
            .set_kms_key_id(key.map(str::to_owned))
            .set_multi_az(self.was.and_then(|was| was.multi_az).or(like.and_then(DbInstance::multi_az)))
            .set_deletion_protection(self.was.and_then(|was| was.deletion_protection).or(like.and_then(DbInstance::deletion_protection)))
            .publicly_accessible(like.and_then(DbInstance::publicly_accessible).unwrap_or(false))
            .set_tags(Some(tags))
    }

    /// An earlier call of ours, whose answer was lost, or somebody else's instance.
    async fn is_ours(&self, source: &str) -> Result<(), CallError> {
        let found = instance::describe(self.rds, self.name).await?;
        let of = found.as_ref().and_then(DbInstance::read_replica_source_db_instance_identifier);
        if of == Some(source) {
            return Ok(());
        }
        let why = format!("{} is there already and is no replica of {source}; look at it, and rename or delete it by hand", self.name);
        Err(CallError::new(CREATE, Why::Other(why, None)))
    }
}

fn is_kept(key: &str) -> bool {
    !key.starts_with(RESERVED) && key != PLAN_TAG && key != RUN_TAG
}

/// The instance, which has to be there.
pub(super) async fn there(rds: &Client, name: &str) -> Result<DbInstance, CallError> {
    let found = instance::describe(rds, name).await?;
    found.ok_or_else(|| CallError::new(DESCRIBE, Why::NotFound(format!("the DB instance {name}"))))
}
