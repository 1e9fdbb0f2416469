//! Databases over RDS, and their lag over CloudWatch.
//!
//! All of it goes to the standby Region, by clients made when first needed, but for two things. [`fence`](Database::fence) goes to the
//! primary Region, with a client of its own whose single attempt ends within two seconds, since the Region may be dark; the way home goes
//! there with a client that is given a little longer, since that Region is back.

mod cluster;
mod cluster_copies;
mod copies;
mod home;
mod instance;
mod lag;
mod parameters;
mod proxy;
mod snapshot;

use std::sync::OnceLock;

use aws_sdk_rds::Client;
use aws_smithy_types::retry::RetryConfig;
use jiff::Timestamp;

use super::{Aws, failed};
use crate::ports::{
    CallError, CopyId, CopyOf, CopySnapshot, Database, Fenced, HomeId, HomeOf, Instance, InstanceChange, LagSample, LeftId, PrimaryId, Proxy,
    ProxyId, Quota, RebuiltOf, Removal, ReplicaId, SnapshotOf, Snapshotted, Why, WriteGate,
};
use crate::state::Place;

const DESCRIBE: &str = "rds:DescribeDBInstances";
const QUOTAS: &str = "rds:DescribeAccountAttributes";
const PROMOTE: &str = "rds:PromoteReadReplica";
const MODIFY: &str = "rds:ModifyDBInstance";
const RESTART: &str = "rds:RebootDBInstance";
const CREATE: &str = "rds:CreateDBInstanceReadReplica";
const SNAPSHOT: &str = "rds:CreateDBSnapshot";
const SNAPSHOTS: &str = "rds:DescribeDBSnapshots";
/// On every copy and its snapshot: whose it is, and which run made it.
const PLAN_TAG: &str = "relight:plan";
const RUN_TAG: &str = "relight:run";

#[derive(Debug)]
pub struct AwsDatabase {
    aws: Aws,
    rds: OnceLock<Client>,
    /// Of the primary Region; a plan has one.
    home: OnceLock<Client>,
    cloudwatch: OnceLock<aws_sdk_cloudwatch::Client>,
}

impl AwsDatabase {
    pub fn new(aws: &Aws) -> AwsDatabase {
        AwsDatabase { aws: aws.clone(), rds: OnceLock::new(), home: OnceLock::new(), cloudwatch: OnceLock::new() }
    }

    fn rds(&self) -> &Client {
        self.rds.get_or_init(|| Client::from_conf(aws_sdk_rds::config::Builder::from(self.aws.standby()).interceptor(self.aws.counter()).build()))
    }

    fn home_rds(&self, region: &str) -> &Client {
        self.home.get_or_init(|| {
            let config = aws_sdk_rds::config::Builder::from(&self.aws.home(region)).interceptor(self.aws.counter()).build();
            Client::from_conf(config)
        })
    }

    fn rds_of(&self, left: &LeftId) -> &Client {
        match left.place() {
            Place::Primary => self.home_rds(left.region()),
            Place::Standby => self.rds(),
        }
    }

    fn cloudwatch(&self) -> &aws_sdk_cloudwatch::Client {
        self.cloudwatch.get_or_init(|| {
            let config = aws_sdk_cloudwatch::config::Builder::from(self.aws.standby()).interceptor(self.aws.counter()).build();
            aws_sdk_cloudwatch::Client::from_conf(config)
        })
    }

    async fn describe(&self, name: &str) -> Result<Option<Instance>, CallError> {
        Ok(instance::describe(self.rds(), name).await?.as_ref().map(instance::instance))
    }

    /// Sent once: the SDK would send a call that got no answer again, and RDS refuses the second, of what is no replica any more. Whether
    /// it was done is read from the instance.
    async fn promote_any(rds: &Client, name: &str, retention: u32) -> Result<(), CallError> {
        let call = rds.promote_read_replica().db_instance_identifier(name).backup_retention_period(days(retention));
        let once = aws_sdk_rds::config::Builder::new().retry_config(RetryConfig::disabled());
        call.customize().config_override(once).send().await.map(drop).map_err(failed(PROMOTE))
    }

    async fn modify_any(rds: &Client, name: &str, change: &InstanceChange) -> Result<(), CallError> {
        let call = rds.modify_db_instance().db_instance_identifier(name).apply_immediately(true);
        let call = call
            .set_backup_retention_period(change.backups.map(days))
            .set_deletion_protection(change.deletion_protection)
            .set_multi_az(change.multi_az)
            .set_db_instance_class(change.class.clone())
            .set_db_parameter_group_name(change.parameter_group.clone());
        call.send().await.map(drop).map_err(failed(MODIFY))
    }

    /// Sent once, as a promotion: a second one after a lost answer would restart a writer that serves again. Never by a failover, which leaves
    /// the parameter group waiting.
    async fn restart_any(rds: &Client, name: &str) -> Result<(), CallError> {
        let once = aws_sdk_rds::config::Builder::new().retry_config(RetryConfig::disabled());
        let call = rds.reboot_db_instance().db_instance_identifier(name).force_failover(false);
        call.customize().config_override(once).send().await.map(drop).map_err(failed(RESTART))
    }
}

impl Database for AwsDatabase {
    async fn replica(&self, replica: &ReplicaId) -> Result<Option<Instance>, CallError> {
        self.describe(replica.as_str()).await
    }

    async fn lag_samples(&self, replica: &ReplicaId, from: Timestamp, to: Timestamp) -> Result<Vec<LagSample>, CallError> {
        let metric = lag::Metric { name: "ReplicaLag", dimension: "DBInstanceIdentifier", value: replica.as_str(), per_second: 1.0 };
        lag::samples(self.cloudwatch(), metric, from, to).await
    }

    async fn quotas(&self) -> Result<Vec<Quota>, CallError> {
        let answer = self.rds().describe_account_attributes().send().await.map_err(failed(QUOTAS))?;
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let one = |quota: aws_sdk_rds::types::AccountQuota| {
            Some(Quota { used: number(quota.used)?, max: number(quota.max)?, name: quota.account_quota_name? })
        };
        Ok(answer.account_quotas.unwrap_or_default().into_iter().filter_map(one).collect())
    }

    async fn promote(&self, replica: &ReplicaId, retention: u32) -> Result<(), CallError> {
        AwsDatabase::promote_any(self.rds(), replica.as_str(), retention).await
    }

    async fn modify(&self, replica: &ReplicaId, change: &InstanceChange) -> Result<(), CallError> {
        AwsDatabase::modify_any(self.rds(), replica.as_str(), change).await
    }

    async fn restart(&self, replica: &ReplicaId) -> Result<(), CallError> {
        AwsDatabase::restart_any(self.rds(), replica.as_str()).await
    }

    async fn write_gate(&self, group: &str) -> Result<WriteGate, CallError> {
        parameters::write_gate(self.rds(), group).await
    }

    async fn set_read_only(&self, group: &str, value: &str) -> Result<(), CallError> {
        parameters::set_read_only(self.rds(), group, value).await
    }

    async fn proxy(&self, proxy: &ProxyId) -> Result<Option<Proxy>, CallError> {
        proxy::describe(self.rds(), proxy).await
    }

    async fn register(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
        proxy::register(self.rds(), proxy, replica).await
    }

    async fn deregister(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
        proxy::deregister(self.rds(), proxy, replica).await
    }

    async fn create_copy(&self, copy: &CopyId, of: &CopyOf<'_>) -> Result<(), CallError> {
        copies::create(self.rds(), copy, of).await
    }

    async fn copy(&self, copy: &CopyId) -> Result<Option<Instance>, CallError> {
        self.describe(copy.as_str()).await
    }

    async fn snapshot_for_copy(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
        copies::take_snapshot(self.rds(), copy, of).await
    }

    async fn copy_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError> {
        copies::snapshot(self.rds(), copy).await
    }

    async fn restore_copy(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
        copies::restore(self.rds(), copy, of).await
    }

    async fn promote_copy(&self, copy: &CopyId) -> Result<(), CallError> {
        // Backups would start with one at once, for data that is thrown away within the hour.
        AwsDatabase::promote_any(self.rds(), copy.as_str(), 0).await
    }

    async fn remove_copy(&self, copy: &CopyId) -> Result<Removal, CallError> {
        copies::remove(self.rds(), copy).await
    }

    async fn copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        copies::list(self.rds(), plan).await
    }

    async fn fence(&self, primary: &PrimaryId, security_group: &str) -> Result<Fenced, CallError> {
        let config = aws_sdk_rds::config::Builder::from(&self.aws.primary(primary.region())).interceptor(self.aws.counter()).build();
        let rds = Client::from_conf(config);
        let Some(found) = instance::describe(&rds, primary.as_str()).await? else {
            return Err(CallError::new(DESCRIBE, Why::NotFound(format!("{primary} in {}", primary.region()))));
        };
        match instance::quarantine(&found, security_group) {
            instance::Quarantine::InForce => return Ok(Fenced::Done),
            instance::Quarantine::Asked => return Ok(Fenced::Underway),
            instance::Quarantine::No => {}
        }
        let call = rds.modify_db_instance().db_instance_identifier(primary.as_str()).vpc_security_group_ids(security_group).apply_immediately(true);
        call.send().await.map_err(failed(MODIFY))?;
        Ok(Fenced::Underway)
    }

    async fn home(&self, home: &HomeId) -> Result<Option<Instance>, CallError> {
        Ok(instance::describe(self.home_rds(home.region()), home.as_str()).await?.as_ref().map(instance::instance))
    }

    async fn left(&self, left: &LeftId) -> Result<Option<Instance>, CallError> {
        Ok(instance::describe(self.rds_of(left), left.as_str()).await?.as_ref().map(instance::instance))
    }

    async fn last_snapshot(&self, left: &LeftId) -> Result<Snapshotted, CallError> {
        home::last_snapshot(self.rds_of(left), left).await
    }

    async fn set_aside(&self, left: &LeftId) -> Result<(), CallError> {
        home::set_aside(self.rds_of(left), left).await
    }

    async fn build_home(&self, home: &HomeId, of: &HomeOf<'_>) -> Result<(), CallError> {
        let rds = self.home_rds(home.region());
        let like = match of.like {
            Some(left) => instance::describe(rds, left.as_str()).await?,
            None => None,
        };
        let building = home::Building {
            rds,
            name: home.as_str(),
            source: home::there(self.rds(), of.source.as_str()).await?,
            like,
            was: None,
            security_groups: of.security_groups.to_vec(),
            plan: of.plan,
            run: of.run,
        };
        building.begin().await
    }

    async fn promote_home(&self, home: &HomeId, retention: u32) -> Result<(), CallError> {
        AwsDatabase::promote_any(self.home_rds(home.region()), home.as_str(), retention).await
    }

    async fn modify_home(&self, home: &HomeId, change: &InstanceChange) -> Result<(), CallError> {
        AwsDatabase::modify_any(self.home_rds(home.region()), home.as_str(), change).await
    }

    async fn restart_home(&self, home: &HomeId) -> Result<(), CallError> {
        AwsDatabase::restart_any(self.home_rds(home.region()), home.as_str()).await
    }

    async fn rebuild(&self, replica: &ReplicaId, of: &RebuiltOf<'_>) -> Result<(), CallError> {
        let like = home::there(self.rds(), of.like.as_str()).await?;
        let building = home::Building {
            rds: self.rds(),
            name: replica.as_str(),
            source: home::there(self.home_rds(of.source.region()), of.source.as_str()).await?,
            security_groups: instance::instance(&like).security_groups,
            like: Some(like),
            was: of.was,
            plan: of.plan,
            run: of.run,
        };
        building.begin().await
    }
}

/// RDS allows 35 at most; the plan's validation sees to it.
fn days(retention: u32) -> i32 {
    i32::try_from(retention).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
