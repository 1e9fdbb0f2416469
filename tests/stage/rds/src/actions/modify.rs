//! ModifyDBInstance: what counts from now on, what waits for the next maintenance window or restart, and what begins a job.

use super::{Answer, check_password, instance_answer, key_of, new_key};
use crate::Inner;
use crate::fault::Fault;
use crate::instance::{Change, apply_pending};
use crate::params::Params;
use crate::state::{Key, Pending, Record, Status};
use std::sync::Arc;

pub(super) async fn modify(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    let asked = Pending {
        class: params.take("DBInstanceClass"),
        retention: params.retention()?,
        multi_az: params.take_as("MultiAZ")?,
        name: params.take("NewDBInstanceIdentifier").map(|name| new_key(region, &name)).transpose()?.map(|key| key.id),
    };
    let groups = params.list("VpcSecurityGroupIds");
    let protection = params.take_as::<bool>("DeletionProtection")?;
    let public = params.take_as::<bool>("PubliclyAccessible")?;
    let parameter_group = params.take("DBParameterGroupName");
    let subnet_group = params.take("DBSubnetGroupName");
    let password = params.take("MasterUserPassword");
    let at_once = params.flag("ApplyImmediately")?;
    params.finish()?;
    password.as_deref().map_or(Ok(()), check_password)?;
    let change = {
        let mut state = inner.lock();
        let has_replicas = !state.replicas_of(&key).is_empty();
        if let Some(name) = &asked.name
            && state.is_taken(&Key::new(region, name))
        {
            return Err(Fault::instance_exists());
        }
        let record = state.record_mut(&key)?;
        record.idle(&[Status::Available])?;
        if has_replicas && asked.retention == Some(0) {
            return Err(Fault::invalid_combination("Backups cannot be switched off on the source of a read replica."));
        }
        if password.is_some() && record.source.is_some() {
            return Err(Fault::invalid_combination("The master user's password of a read replica is that of its source."));
        }
        if !groups.is_empty() {
            record.security_groups = groups;
        }
        record.deletion_protection = protection.unwrap_or(record.deletion_protection);
        let placement = &mut record.placement;
        placement.public = public.unwrap_or(placement.public);
        if parameter_group.is_some() && parameter_group != placement.parameter_group {
            placement.parameter_group = parameter_group;
            placement.parameters_wait = true;
        }
        placement.subnet_group = subnet_group.or(placement.subnet_group.take());
        let change = Change { password, ..plan_change(record, asked, at_once) };
        let job = change.restart || change.backup || change.zones || change.password.is_some() || change.rename.is_some();
        if job {
            record.status = if change.rename.is_some() { Status::Renaming } else { Status::Modifying };
            record.renaming_to = change.rename.clone();
            record.busy = true;
        }
        let instance = state.get(&key)?;
        instance.server.read_only_from_next_start(state.read_only(&instance.record));
        state.apply_network(&inner.dark.borrow());
        job.then_some(change)
    };
    if let Some(change) = change {
        inner.start_modifying(key.clone(), change);
    }
    instance_answer(inner, &key).await
}

/// What waits for the next maintenance window and what begins now. Class, name, Multi-AZ, and backups switched on or off, wait unless they are
/// wanted at once, together with whatever waited before; another number of days counts from now on either way.
fn plan_change(record: &mut Record, asked: Pending, at_once: bool) -> Change {
    let switched = asked.retention.filter(|days| (*days == 0) != (record.retention == 0));
    if switched.is_none() {
        record.retention = asked.retention.unwrap_or(record.retention);
    }
    record.pending.class = asked.class.or(record.pending.class.take());
    record.pending.retention = switched.or(record.pending.retention);
    record.pending.multi_az = asked.multi_az.filter(|on| *on != record.multi_az).or(record.pending.multi_az);
    record.pending.name = asked.name.or(record.pending.name.take());
    let pending = &record.pending;
    let rename = pending.name.clone().filter(|_| at_once).map(|name| Key::new(&record.key.region, &name));
    let restart = at_once && pending.class.as_ref().is_some_and(|class| *class != record.class);
    let backup = at_once && record.retention == 0 && pending.retention.is_some_and(|days| days > 0);
    let zones = at_once && pending.multi_az.is_some();
    if at_once && !restart && !backup && !zones && rename.is_none() {
        apply_pending(record);
    }
    Change { restart, backup, zones, rename, password: None }
}
