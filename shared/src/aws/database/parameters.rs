//! The parameter by which the writes of MySQL and MariaDB are closed.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{ApplyMethod, DbInstance, Parameter};

use super::DESCRIBE;
use crate::aws::failed;
use crate::ports::{CallError, WriteGate};

const PARAMETERS: &str = "rds:DescribeDBParameters";
const CHANGE: &str = "rds:ModifyDBParameterGroup";
const READ_ONLY: &str = "read_only";
/// Parameters that somebody set, and not the engine's defaults.
const SET: &str = "user";

pub(super) async fn write_gate(rds: &Client, group: &str) -> Result<WriteGate, CallError> {
    let parameters = rds.describe_db_parameters().db_parameter_group_name(group).source(SET).into_paginator().items().send();
    let instances = rds.describe_db_instances().into_paginator().items().send();
    let (parameters, instances) = tokio::join!(parameters.try_collect(), instances.try_collect());
    let (parameters, instances): (Vec<Parameter>, Vec<DbInstance>) = (parameters.map_err(failed(PARAMETERS))?, instances.map_err(failed(DESCRIBE))?);
    let read_only = parameters.into_iter().find(|parameter| parameter.parameter_name() == Some(READ_ONLY));
    let holds = |instance: &&DbInstance| instance.db_parameter_groups().iter().any(|held| held.db_parameter_group_name() == Some(group));
    Ok(WriteGate {
        read_only: read_only.and_then(|parameter| parameter.parameter_value),
        holders: instances.iter().filter(holds).filter_map(DbInstance::db_instance_identifier).map(str::to_owned).collect(),
    })
}

pub(super) async fn set_read_only(rds: &Client, group: &str, value: &str) -> Result<(), CallError> {
    let parameter = Parameter::builder().parameter_name(READ_ONLY).parameter_value(value).apply_method(ApplyMethod::Immediate).build();
    rds.modify_db_parameter_group().db_parameter_group_name(group).parameters(parameter).send().await.map(drop).map_err(failed(CHANGE))
}
