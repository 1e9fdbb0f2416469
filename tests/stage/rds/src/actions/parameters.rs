//! ModifyDBParameterGroup and DescribeDBParameters: the values of a group, which `parameter_group` brings to the servers.

use super::Answer;
use crate::Inner;
use crate::engine::EngineName;
use crate::fault::Fault;
use crate::page::Page;
use crate::parameter_group::{Parameter, ParameterGroup, READ_ONLY};
use crate::params::Params;
use crate::read_only::ReadOnly;
use crate::state::Key;
use crate::xml::Xml;
use std::sync::Arc;

pub(super) fn modify(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let group = Key::new(region, &params.need("DBParameterGroupName")?);
    let changes = params.parameters()?;
    params.finish()?;
    if group.id.starts_with("default.") {
        return Err(Fault::invalid_value("Cannot modify a default parameter group."));
    }
    let mut state = inner.lock();
    let engine = state.engine_of_group(&group)?;
    changes.iter().try_for_each(|change| judge(engine, change))?;
    let held = state.parameter_groups.entry(group.clone()).or_insert_with(|| ParameterGroup { engine, values: Default::default() });
    held.values.extend(changes.iter().map(|change| (change.name.clone(), change.value.clone())));
    inner.spread(&mut state, &group, &changes);
    let mut xml = Xml::default();
    xml.text("DBParameterGroupName", &group.id);
    Ok(Some(xml))
}

fn judge(engine: EngineName, change: &Parameter) -> Result<(), Fault> {
    let Parameter { name, value, .. } = change;
    match (engine, name.as_str()) {
        (EngineName::Postgres, READ_ONLY) => Err(Fault::invalid_value(format!("Could not find parameter with name: {name}"))),
        (EngineName::MariaDb, READ_ONLY) if ReadOnly::parse(value).is_none() => {
            Err(Fault::invalid_value(format!("Invalid parameter value: {value} for: {name} allowed values are: {}", ReadOnly::ALLOWED)))
        }
        _ => Ok(()),
    }
}

/// What was set, and of what was not the one default that the stage knows, which RDS tells as its own (`system`), not as the engine's.
pub(super) fn describe(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let group = Key::new(region, &params.need("DBParameterGroupName")?);
    let wanted = params.take("Source");
    let _page = Page::from(&mut params)?;
    params.finish()?;
    if let Some(other) = wanted.as_deref().filter(|source| !["user", "system", "engine-default"].contains(source)) {
        return Err(Fault::invalid_value(format!("Invalid source: {other}")));
    }
    let state = inner.lock();
    let engine = state.engine_of_group(&group)?;
    let set = state.parameter_groups.get(&group).into_iter().flat_map(|group| &group.values);
    let mut told: Vec<(&str, &str, &str)> = set.map(|(name, value)| (name.as_str(), value.as_str(), "user")).collect();
    if engine == EngineName::MariaDb && state.parameter(&group, READ_ONLY).is_none() {
        told.push((READ_ONLY, "{TrueIfReplica}", "system"));
    }
    told.retain(|(.., source)| wanted.as_deref().is_none_or(|wanted| wanted == *source));
    let mut xml = Xml::default();
    xml.list("Parameters", "Parameter", told, |xml, (name, value, source)| {
        xml.text("ParameterName", name);
        xml.text("ParameterValue", value);
        xml.text("Source", source);
        xml.text("ApplyType", "dynamic");
        xml.text("IsModifiable", true);
        if name == READ_ONLY {
            xml.text("AllowedValues", ReadOnly::ALLOWED);
        }
    });
    Ok(Some(xml))
}
