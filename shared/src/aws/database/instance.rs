//! A DB instance as DescribeDBInstances answers it.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::DbInstance;

use super::DESCRIBE;
use crate::aws::failed;
use crate::ports::{CallError, Instance, ParameterGroup, Why};
use crate::state::Endpoint;

/// One instance; `None` where there is none of this name.
pub(super) async fn describe(rds: &Client, name: &str) -> Result<Option<DbInstance>, CallError> {
    match rds.describe_db_instances().db_instance_identifier(name).send().await.map_err(failed(DESCRIBE)) {
        Ok(answer) => Ok(answer.db_instances.unwrap_or_default().into_iter().next()),
        Err(CallError { why: Why::NotFound(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn instance(from: &DbInstance) -> Instance {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let pending = from.pending_modified_values();
    Instance {
        status: text(from.db_instance_status()),
        source: from.read_replica_source_db_instance_identifier().filter(|source| !source.is_empty()).map(str::to_owned),
        // `read replication` is the only type that RDS knows; another one would say nothing about the replication.
        replication: from
            .status_infos()
            .iter()
            .filter(|info| info.status_type().is_none_or(|kind| kind == "read replication"))
            .map(|info| text(info.status()))
            .collect(),
        engine: text(from.engine()),
        engine_version: text(from.engine_version()),
        class: text(from.db_instance_class()),
        pending_class: pending.and_then(|pending| pending.db_instance_class()).map(str::to_owned),
        endpoint: from.endpoint().and_then(|endpoint| {
            Some(Endpoint { host: endpoint.address()?.to_owned(), port: endpoint.port().and_then(|port| u16::try_from(port).ok())? })
        }),
        backup_retention: from.backup_retention_period().map_or(0, whole),
        pending_backup_retention: pending.and_then(|pending| pending.backup_retention_period()).map(whole),
        read_replicas: from.read_replica_db_instance_identifiers().to_vec(),
        security_groups: groups(from).map(|(group, _)| group.to_owned()).collect(),
        multi_az: from.multi_az().unwrap_or_default(),
        pending_multi_az: pending.and_then(|pending| pending.multi_az()),
        deletion_protection: from.deletion_protection().unwrap_or_default(),
        parameter_group: from.db_parameter_groups().first().and_then(|group| {
            Some(ParameterGroup { name: group.db_parameter_group_name()?.to_owned(), status: text(group.parameter_apply_status()) })
        }),
    }
}

pub(super) fn tag<'a>(instance: &'a DbInstance, key: &str) -> Option<&'a str> {
    instance.tag_list().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value())
}

/// Whether an instance stands in the quarantine group alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Quarantine {
    InForce,
    /// Asked for; RDS is still exchanging the groups.
    Asked,
    No,
}

pub(super) fn quarantine(instance: &DbInstance, group: &str) -> Quarantine {
    // A group that is on its way out admits nobody for much longer, but as long as it is listed it may.
    let staying: Vec<(&str, &str)> = groups(instance).filter(|(_, status)| *status != "removing").collect();
    match staying.as_slice() {
        [(only, "active")] if *only == group && groups(instance).count() == 1 => Quarantine::InForce,
        [(only, _)] if *only == group => Quarantine::Asked,
        _ => Quarantine::No,
    }
}

fn groups(instance: &DbInstance) -> impl Iterator<Item = (&str, &str)> {
    let groups = instance.vpc_security_groups().iter();
    groups.filter_map(|group| Some((group.vpc_security_group_id()?, group.status().unwrap_or("active"))))
}

fn whole(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
