//! The operations of Aurora: global clusters, clusters and their instances; `cluster_snapshots` has their snapshots.
//!
//! Where a failover and a switchover are asked for is judged as AWS's documentation says it: the one in the Region of the target, the
//! other in the Region of the primary.

use super::{Answer, check_password, new_key, new_record, unreadable};
use crate::Inner;
use crate::cluster::{Global, Member, Moving};
use crate::cluster_view::{ENGINE, write_cluster, write_global};
use crate::describe::arn;
use crate::fault::Fault;
use crate::instance::{Login, source};
use crate::page::Page;
use crate::params::Params;
use crate::state::{Instance, Key, Placement, Record, State, Status};
use crate::xml::Xml;
use std::sync::Arc;

pub(super) fn create_global(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let name = params.need("GlobalClusterIdentifier")?.to_lowercase();
    let of = params.take("SourceDBClusterIdentifier").map(|arn| cluster_key(region, &arn)).transpose()?;
    let engine = params.take("Engine");
    params.take("StorageEncrypted");
    params.take("DeletionProtection");
    params.finish()?;
    if of.is_none() {
        check_engine(engine.as_deref().unwrap_or_default())?;
    }
    {
        let mut state = inner.lock();
        if state.globals.contains_key(&name) {
            return Err(Fault::new(400, "GlobalClusterAlreadyExistsFault", format!("Global cluster {name} already exists.")));
        }
        if let Some(of) = &of {
            cluster(&state, of)?;
        }
        state.globals.insert(name.clone(), Global { writer: of.clone(), members: of.into_iter().collect(), ..Global::default() });
    }
    global_answer(inner, &name)
}

pub(super) fn describe_globals(inner: &Arc<Inner>, mut params: Params) -> Answer {
    let wanted = params.take("GlobalClusterIdentifier").map(|name| name.to_lowercase());
    let page = Page::from(&mut params)?;
    params.finish()?;
    let state = inner.lock();
    if let Some(name) = &wanted {
        global(&state, name)?;
    }
    let found = state.globals.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| *name == wanted)).collect();
    let (found, marker) = page.of(found, |(name, _)| name.as_str());
    let mut xml = Xml::default();
    xml.optional("Marker", marker);
    xml.list("GlobalClusters", "GlobalClusterMember", found, |xml, (name, global)| write_global(xml, name, global, &state, &inner.account));
    Ok(Some(xml))
}

/// Without AllowDataLoss it is a switchover.
pub(super) fn fail_over(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let (name, to) = (params.need("GlobalClusterIdentifier")?.to_lowercase(), params.need("TargetDbClusterIdentifier")?);
    let losing = params.flag("AllowDataLoss")?;
    let switchover = params.flag("Switchover")?;
    params.finish()?;
    if losing && switchover {
        return Err(Fault::invalid_combination("AllowDataLoss and Switchover cannot be given together."));
    }
    begin(inner, region, &name, &to, losing)
}

pub(super) fn switch_over(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let (name, to) = (params.need("GlobalClusterIdentifier")?.to_lowercase(), params.need("TargetDbClusterIdentifier")?);
    params.finish()?;
    begin(inner, region, &name, &to, false)
}

fn begin(inner: &Arc<Inner>, region: &str, name: &str, to: &str, losing: bool) -> Answer {
    let to = cluster_key(region, to)?;
    {
        let mut state = inner.lock();
        let dark = inner.dark.borrow().clone();
        let held = global(&state, name)?.clone();
        let refused = |why: String| Err(Fault::new(400, "InvalidGlobalClusterStateFault", why));
        let Some(from) = held.writer.clone().filter(|_| held.members.contains(&to)) else {
            return Err(Fault::new(404, "DBClusterNotFoundFault", format!("DBCluster {} not found in {name}.", to.id)));
        };
        let asked_in = if losing { &to.region } else { &from.region };
        if region != asked_in {
            return Err(Fault::invalid_value(format!("this is asked for in {asked_in}, not in {region}")));
        }
        if held.moving.is_some() {
            return refused(format!("{name} has a switchover or failover under way."));
        }
        if from == to {
            return refused(format!("{} is the primary cluster already.", to.id));
        }
        if state.members_of(&to).all(|member| member.status != Status::Available) {
            return Err(Fault::new(400, "InvalidDBClusterStateFault", format!("{} has no available instance.", to.id)));
        }
        if !losing && (!held.resync.is_empty() || dark.contains(&from.region) || !is_up(&state, &from)) {
            return refused(format!("A cluster of {name} is not available."));
        }
        if let Some(held) = state.globals.get_mut(name) {
            held.moving = Some(Moving { from, to, losing, begun: false });
        }
    }
    inner.start_moving(name.to_owned());
    global_answer(inner, name)
}

fn is_up(state: &State, cluster: &Key) -> bool {
    state.instances.get(cluster).is_some_and(|instance| instance.record.status == Status::Available && instance.server.port().is_ok())
}

pub(super) fn create(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBClusterIdentifier")?)?;
    let engine = params.need("Engine")?;
    let of_global = params.take("GlobalClusterIdentifier").map(|name| name.to_lowercase());
    let (user, password) = (params.take("MasterUsername"), params.take("MasterUserPassword"));
    let placement = placement(inner, &mut params);
    for without_effect in ["KmsKeyId", "StorageEncrypted", "AvailabilityZones"] {
        params.take(without_effect);
    }
    let record = Record {
        arn: arn(&inner.account, &key, "cluster"),
        cluster: true,
        database: params.take("DatabaseName"),
        retention: params.retention()?.unwrap_or(1),
        deletion_protection: params.flag("DeletionProtection")?,
        security_groups: params.list("VpcSecurityGroupIds"),
        tags: params.tags().into_iter().collect(),
        placement,
        ..new_record(inner, &key)
    };
    params.finish()?;
    check_engine(&engine)?;
    let writer = match &of_global {
        Some(name) => global(&inner.lock(), name)?.writer.clone(),
        None => None,
    };
    let login = match (&writer, user, password) {
        (None, Some(user), Some(password)) => Some(Login { user, password }),
        (None, ..) => return Err(Fault::missing("MasterUserPassword")),
        (Some(_), None, None) => None,
        (Some(_), ..) => return Err(Fault::invalid_combination("Cannot specify user name or password for a secondary cluster.")),
    };
    login.as_ref().map_or(Ok(()), |login| check_password(&login.password))?;
    {
        let mut state = inner.lock();
        let of = writer.as_ref().map(|writer| cluster(&state, writer).map(|of| of.record.clone())).transpose()?;
        let record = Record {
            master_user: login.as_ref().map(|login| login.user.clone()).or(of.as_ref().map(|of| of.master_user.clone())).unwrap_or_default(),
            database: record.database.clone().or(of.and_then(|of| of.database)),
            source: writer.clone().map(source),
            ..record
        };
        inner.register(&mut state, record)?;
        state.apply_clusters();
        if let Some(global) = of_global.as_ref().and_then(|name| state.globals.get_mut(name)) {
            global.members.push(key.clone());
            global.writer.get_or_insert(key.clone());
        }
    }
    match (login, writer) {
        (Some(login), _) => inner.start_creating(key.clone(), login),
        (None, Some(writer)) => inner.start_joining(key.clone(), writer),
        (None, None) => {}
    }
    let state = inner.lock();
    let mut xml = Xml::default();
    let created = cluster(&state, &key)?;
    xml.inside("DBCluster", |xml| write_cluster(xml, created, &state));
    Ok(Some(xml))
}

/// The groups that a cluster stands in.
pub(super) fn placement(inner: &Inner, params: &mut Params) -> Placement {
    let major = inner.postgres.binaries.version().split('.').next().unwrap_or_default().to_owned();
    let named = params.take("DBClusterParameterGroupName");
    Placement {
        subnet_group: params.take("DBSubnetGroupName"),
        parameter_group: named.or_else(|| Some(format!("default.{ENGINE}{major}"))),
        ..Placement::default()
    }
}

pub(super) fn describe(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let wanted = params.take("DBClusterIdentifier").map(|name| cluster_key(region, &name)).transpose()?;
    let page = Page::from(&mut params)?;
    params.finish()?;
    let state = inner.lock();
    if let Some(key) = &wanted {
        cluster(&state, key)?;
    }
    let found = state
        .instances
        .values()
        .filter(|one| one.record.cluster && one.record.key.region == region && wanted.as_ref().is_none_or(|key| one.record.key == *key));
    let (found, marker) = page.of(found.collect(), |one| &one.record.key.id);
    let mut xml = Xml::default();
    xml.optional("Marker", marker);
    xml.list("DBClusters", "DBCluster", found, |xml, one| write_cluster(xml, one, &state));
    Ok(Some(xml))
}

/// An instance goes, and its cluster is storage alone after the last one.
pub(super) fn remove_instance(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = Key::new(region, &params.need("DBInstanceIdentifier")?);
    params.flag("SkipFinalSnapshot")?;
    params.finish()?;
    let member = {
        let mut state = inner.lock();
        let member = state.members.get_mut(&key).ok_or_else(|| Fault::instance_not_found(&key.id))?;
        if member.status == Status::Deleting {
            return Err(Fault::invalid_state(format!("Instance {} is already being deleted.", key.id)));
        }
        member.status = Status::Deleting;
        let member = member.clone();
        state.apply_clusters();
        member
    };
    inner.start_removing(key);
    let mut xml = Xml::default();
    xml.inside("DBInstance", |xml| member.write(xml));
    Ok(Some(xml))
}

/// Without a last snapshot: nobody asks the stage for one.
pub(super) fn delete(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = cluster_key(region, &params.need("DBClusterIdentifier")?)?;
    if !params.flag("SkipFinalSnapshot")? {
        return Err(Fault::invalid_combination("The stage deletes a cluster with SkipFinalSnapshot alone."));
    }
    params.finish()?;
    let mut xml = Xml::default();
    {
        let mut state = inner.lock();
        let record = cluster(&state, &key)?.record.clone();
        let refused = |why: &str| Err(Fault::new(400, "InvalidDBClusterStateFault", format!("Cluster {} cannot be deleted, {why}.", key.id)));
        if record.deletion_protection {
            return Err(Fault::invalid_combination("Cannot delete protected Cluster, please disable deletion protection and try again."));
        }
        if state.members_of(&key).any(|member| member.status != Status::Deleting) {
            return refused("it still contains DB instances in non-deleting state");
        }
        if state.globals.values().any(|global| global.members.contains(&key)) {
            return refused("it is a part of a global cluster");
        }
        if record.busy || !matches!(record.status, Status::Available | Status::Failed) {
            return refused(&format!("it is {}", record.status.name()));
        }
        make_busy(&mut state, &key, Status::Deleting);
        xml.inside("DBCluster", |xml| write_cluster(xml, &state.instances[&key], &state));
    }
    inner.start_deleting(key, None);
    Ok(Some(xml))
}

pub(super) fn add_instance(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBInstanceIdentifier")?)?;
    let of = cluster_key(region, &params.need("DBClusterIdentifier")?)?;
    let class = params.need("DBInstanceClass")?;
    let engine = params.need("Engine")?;
    let tags = params.tags().into_iter().collect();
    for without_effect in ["PubliclyAccessible", "DBSubnetGroupName", "DBParameterGroupName", "PromotionTier"] {
        params.take(without_effect);
    }
    params.finish()?;
    check_engine(&engine)?;
    let member = Member::new(inner, &key, &of, class, tags);
    {
        let mut state = inner.lock();
        if state.is_taken(&key) {
            return Err(Fault::instance_exists());
        }
        let status = cluster(&state, &of)?.record.status;
        if status == Status::Creating {
            return Err(Fault::new(400, "InvalidDBClusterStateFault", format!("{} is {}, and takes no instance.", of.id, status.name())));
        }
        state.members.insert(key.clone(), member.clone());
    }
    inner.start_adding(key);
    let mut xml = Xml::default();
    xml.inside("DBInstance", |xml| member.write(xml));
    Ok(Some(xml))
}

fn global_answer(inner: &Inner, name: &str) -> Answer {
    let state = inner.lock();
    let mut xml = Xml::default();
    let held = global(&state, name)?;
    xml.inside("GlobalCluster", |xml| write_global(xml, name, held, &state, &inner.account));
    Ok(Some(xml))
}

fn global<'a>(state: &'a State, name: &str) -> Result<&'a Global, Fault> {
    state.globals.get(name).ok_or_else(|| Fault::new(404, "GlobalClusterNotFoundFault", format!("Global cluster {name} not found.")))
}

pub(super) fn cluster<'a>(state: &'a State, key: &Key) -> Result<&'a Instance, Fault> {
    let found = state.instances.get(key).filter(|instance| instance.record.cluster);
    found.ok_or_else(|| Fault::new(404, "DBClusterNotFoundFault", format!("DBCluster {} not found.", key.id)))
}

/// The first state of a job.
pub(super) fn make_busy(state: &mut State, key: &Key, status: Status) {
    if let Some(cluster) = state.instances.get_mut(key) {
        (cluster.record.status, cluster.record.busy) = (status, true);
    }
}

pub(super) fn check_engine(engine: &str) -> Result<(), Fault> {
    if engine == ENGINE {
        return Ok(());
    }
    Err(Fault::invalid_value(format!("the stage's Aurora has the engine {ENGINE}, not {engine}")))
}

/// A name, or an ARN, of a cluster in any Region.
pub(super) fn cluster_key(region: &str, name: &str) -> Result<Key, Fault> {
    if !name.starts_with("arn:") {
        return Ok(Key::new(region, name));
    }
    match name.split(':').collect::<Vec<_>>()[..] {
        [_, _, "rds", region, _, "cluster", id] => Ok(Key::new(region, id)),
        _ => Err(unreadable(name)),
    }
}
