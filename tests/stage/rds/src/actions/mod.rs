//! The operations: each reads its parameters, judges them as RDS does, changes the records and starts the job that follows.
//! Every refusal stands before the first change.

mod cluster_snapshots;
mod clusters;
mod delete;
mod modify;
mod parameters;
mod proxies;
mod snapshots;
mod tags;

use crate::Inner;
use crate::cluster::Member;
use crate::describe::{View, arn};
use crate::engine::EngineName;
use crate::fault::{Fault, PromotionFault};
use crate::instance::{Login, source};
use crate::page::Page;
use crate::params::Params;
use crate::state::{Key, Pending, Placement, Record, Status};
use crate::xml::Xml;
use std::sync::Arc;

/// None: the action has no result of its own.
type Answer = Result<Option<Xml>, Fault>;

pub(crate) async fn perform(inner: &Arc<Inner>, region: &str, action: &str, params: Params) -> Answer {
    match action {
        "CreateDBInstance" if params.has("DBClusterIdentifier") => clusters::add_instance(inner, region, params),
        "CreateDBInstance" => create(inner, region, params).await,
        "CreateDBInstanceReadReplica" => create_replica(inner, region, params).await,
        "DescribeDBInstances" => describe(inner, region, params).await,
        "DescribeAccountAttributes" => quotas(inner, region, params),
        "PromoteReadReplica" => promote(inner, region, params).await,
        "ModifyDBInstance" => modify::modify(inner, region, params).await,
        "RebootDBInstance" => reboot(inner, region, params).await,
        "StopDBInstance" => stop(inner, region, params).await,
        "StartDBInstance" => start(inner, region, params).await,
        "DeleteDBInstance" if is_of_a_cluster(inner, region, &params) => clusters::remove_instance(inner, region, params),
        "DeleteDBInstance" => delete::delete(inner, region, params).await,
        "DescribeDBProxies" => proxies::describe(inner, region, params),
        "DescribeDBProxyTargets" => proxies::targets(inner, region, params),
        "RegisterDBProxyTargets" => proxies::register(inner, region, params),
        "DeregisterDBProxyTargets" => proxies::deregister(inner, region, params),
        "CreateDBSnapshot" => snapshots::create(inner, region, params),
        "DescribeDBSnapshots" => snapshots::describe(inner, region, params),
        "DeleteDBSnapshot" => snapshots::delete(inner, region, params),
        "RestoreDBInstanceFromDBSnapshot" => snapshots::restore(inner, region, params).await,
        "CreateGlobalCluster" => clusters::create_global(inner, region, params),
        "DescribeGlobalClusters" => clusters::describe_globals(inner, params),
        "FailoverGlobalCluster" => clusters::fail_over(inner, region, params),
        "SwitchoverGlobalCluster" => clusters::switch_over(inner, region, params),
        "CreateDBCluster" => clusters::create(inner, region, params),
        "DescribeDBClusters" => clusters::describe(inner, region, params),
        "DeleteDBCluster" => clusters::delete(inner, region, params),
        "CreateDBClusterSnapshot" => cluster_snapshots::create(inner, region, params),
        "DescribeDBClusterSnapshots" => cluster_snapshots::describe(inner, region, params),
        "CopyDBClusterSnapshot" => cluster_snapshots::copy(inner, region, params),
        "DeleteDBClusterSnapshot" => cluster_snapshots::delete(inner, region, params),
        "RestoreDBClusterFromSnapshot" => cluster_snapshots::restore(inner, region, params),
        "ModifyDBParameterGroup" => parameters::modify(inner, region, params),
        "DescribeDBParameters" => parameters::describe(inner, region, params),
        "AddTagsToResource" => tags::add_tags(inner, region, params),
        "RemoveTagsFromResource" => tags::remove_tags(inner, region, params),
        "ListTagsForResource" => tags::list_tags(inner, region, params),
        other => Err(Fault::new(400, "InvalidAction", format!("the stage's RDS does not know the action {other}"))),
    }
}

fn is_of_a_cluster(inner: &Inner, region: &str, params: &Params) -> bool {
    params.get("DBInstanceIdentifier").is_some_and(|name| inner.lock().members.contains_key(&Key::new(region, name)))
}

async fn create(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBInstanceIdentifier")?)?;
    let engine = EngineName::parse(&params.need("Engine")?)?;
    let login = Login { user: params.need("MasterUsername")?, password: params.need("MasterUserPassword")? };
    let record = Record {
        class: params.need("DBInstanceClass")?,
        master_user: login.user.clone(),
        database: params.take("DBName"),
        storage: params.take_as("AllocatedStorage")?.unwrap_or(20),
        retention: params.retention()?.unwrap_or(1),
        multi_az: params.flag("MultiAZ")?,
        deletion_protection: params.flag("DeletionProtection")?,
        security_groups: params.list("VpcSecurityGroupIds"),
        tags: params.tags().into_iter().collect(),
        placement: params.placement(inner, region)?,
        engine,
        engine_version: inner.engine(engine)?.version().to_owned(),
        ..new_record(inner, &key)
    };
    params.finish()?;
    check_password(&login.password)?;
    let parameter_group = record.placement.parameter_group.clone().or_else(|| Some(record.engine.default_parameters(&record.engine_version)));
    let record = Record { placement: Placement { parameter_group, ..record.placement }, ..record };
    inner.register(&mut inner.lock(), record)?;
    inner.start_creating(key.clone(), login);
    instance_answer(inner, &key).await
}

async fn create_replica(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBInstanceIdentifier")?)?;
    let source_key = source_key(region, &params.need("SourceDBInstanceIdentifier")?)?;
    let class = params.take("DBInstanceClass");
    let storage = params.take_as("AllocatedStorage")?;
    let replica = Record {
        multi_az: params.flag("MultiAZ")?,
        deletion_protection: params.flag("DeletionProtection")?,
        security_groups: params.list("VpcSecurityGroupIds"),
        tags: params.tags().into_iter().collect(),
        placement: params.placement(inner, region)?,
        source: Some(source(source_key.clone())),
        ..new_record(inner, &key)
    };
    params.finish()?;
    let of_postgres = inner.lock().get(&source_key).is_ok_and(|of| of.record.engine == EngineName::Postgres);
    if replica.placement.parameter_group.is_some() && of_postgres {
        let why = "A parameter group can't be specified during Read Replica creation for the following DB engine: postgres";
        return Err(Fault::invalid_combination(why));
    }
    {
        let mut state = inner.lock();
        if inner.dark.borrow().contains(&source_key.region) {
            return Err(Fault::new(503, "ServiceUnavailable", format!("{} does not answer", source_key.region)));
        }
        if state.is_taken(&key) {
            return Err(Fault::instance_exists());
        }
        let of = &state.get(&source_key)?.record;
        if of.retention == 0 {
            return Err(Fault::invalid_state(
                "Automated backups are not enabled for this database instance. To enable automated backups, use ModifyDBInstance \
                 to set the backup retention period to a non-zero value.",
            ));
        }
        of.idle(&[Status::Available])?;
        let kms_key = key_of_replica(&replica, &of.placement, source_key.region == region)?;
        let parameter_group = match (replica.placement.parameter_group, source_key.region == region) {
            (Some(named), _) => Some(named),
            (None, true) => of.placement.parameter_group.clone(),
            (None, false) => Some(of.engine.default_parameters(&of.engine_version)),
        };
        let replica = Record {
            class: class.unwrap_or_else(|| of.class.clone()),
            engine: of.engine,
            engine_version: of.engine_version.clone(),
            storage: storage.unwrap_or(of.storage),
            master_user: of.master_user.clone(),
            database: of.database.clone(),
            placement: Placement { kms_key, parameter_group, ..replica.placement },
            ..replica
        };
        inner.register(&mut state, replica)?;
        let of = state.record_mut(&source_key)?;
        of.status = Status::BackingUp;
        of.busy = true;
    }
    inner.start_replicating(key.clone(), source_key);
    instance_answer(inner, &key).await
}

/// The two that instances take from, with AWS's defaults.
fn quotas(inner: &Arc<Inner>, region: &str, params: Params) -> Answer {
    params.finish()?;
    let (instances, storage) = {
        let state = inner.lock();
        let here = state.instances.iter().filter(|(key, instance)| key.region == region && !instance.record.cluster);
        let members = state.members.keys().filter(|key| key.region == region).count() as u64;
        here.fold((members, 0_u64), |(instances, storage), (_, instance)| (instances + 1, storage + u64::from(instance.record.storage)))
    };
    let mut xml = Xml::default();
    xml.list("AccountQuotas", "AccountQuota", [("DBInstances", instances, 40), ("AllocatedStorage", storage, 100_000)], |xml, (name, used, max)| {
        xml.text("AccountQuotaName", name);
        xml.text("Used", used);
        xml.text("Max", max);
    });
    Ok(Some(xml))
}

async fn describe(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let wanted = params.take("DBInstanceIdentifier");
    let filters = params.filters();
    let page = Page::from(&mut params)?;
    params.finish()?;
    let mut keys: Vec<Key> = match wanted {
        Some(name) => {
            let key = key_of(region, &name)?;
            let state = inner.lock();
            if !state.members.contains_key(&key) {
                state.get(&key)?;
            }
            vec![key]
        }
        None => inner.lock().told_as_instances(region),
    };
    for (name, values) in filters {
        if name == "db-cluster-id" {
            let named = values.iter().map(|value| Key::new(region, value)).collect::<Vec<Key>>();
            let state = inner.lock();
            keys.retain(|key| state.members.get(key).is_some_and(|member| named.contains(&member.cluster)));
            continue;
        }
        if name != "db-instance-id" {
            return Err(Fault::invalid_value(format!("Unrecognized filter name: {name}")));
        }
        let named = values.iter().map(|value| key_of(region, value)).collect::<Result<Vec<Key>, Fault>>()?;
        keys.retain(|key| named.contains(key));
    }
    let (keys, marker) = page.of(keys, |key| &key.id);
    let mut views = Vec::new();
    for key in &keys {
        let member = inner.lock().members.get(key).cloned();
        match member {
            Some(member) => views.push(Told::Member(Box::new(member))),
            None => views.extend(inner.view(key).await.map(|view| Told::Instance(Box::new(view)))),
        }
    }
    let mut xml = Xml::default();
    xml.optional("Marker", marker);
    xml.list("DBInstances", "DBInstance", &views, |xml, view| match view {
        Told::Instance(view) => view.write(xml),
        Told::Member(member) => member.write(xml),
    });
    Ok(Some(xml))
}

/// An instance of RDS, or one of an Aurora cluster: one call tells of both.
enum Told {
    Instance(Box<View>),
    Member(Box<Member>),
}

async fn promote(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    let retention = params.retention()?.unwrap_or(1);
    params.finish()?;
    let fault = {
        let mut state = inner.lock();
        let fault = state.disturbances.get(&key).and_then(|set| set.promotion);
        let record = state.record_mut(&key)?;
        if record.source.is_none() {
            return Err(Fault::invalid_state(format!("DB Instance {} is not a read replica.", key.id)));
        }
        record.idle(&[Status::Available])?;
        if fault == Some(PromotionFault::Refused) {
            return Err(Fault::invalid_state(format!("DB Instance {} cannot be promoted now.", key.id)));
        }
        record.busy = true;
        if fault == Some(PromotionFault::AnswerLost)
            && let Some(set) = state.disturbances.get_mut(&key)
        {
            set.promotion = None;
        }
        fault
    };
    inner.start_promoting(key.clone(), retention, fault);
    if fault == Some(PromotionFault::AnswerLost) {
        return Err(Fault::internal("the answer was lost"));
    }
    instance_answer(inner, &key).await
}

async fn reboot(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    params.finish()?;
    begin(inner, &key, Status::Available, Status::Rebooting)?;
    inner.start_rebooting(key.clone());
    instance_answer(inner, &key).await
}

async fn stop(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    params.finish()?;
    {
        let state = inner.lock();
        if state.get(&key)?.record.source.is_some() {
            return Err(Fault::invalid_state("A read replica cannot be stopped."));
        }
        if !state.replicas_of(&key).is_empty() {
            return Err(Fault::invalid_state("A DB instance that has read replicas cannot be stopped."));
        }
    }
    begin(inner, &key, Status::Available, Status::Stopping)?;
    inner.start_stopping(key.clone());
    instance_answer(inner, &key).await
}

async fn start(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    params.finish()?;
    begin(inner, &key, Status::Stopped, Status::Starting)?;
    inner.start_starting(key.clone());
    instance_answer(inner, &key).await
}

async fn instance_answer(inner: &Arc<Inner>, key: &Key) -> Answer {
    let view = inner.view(key).await.ok_or_else(|| Fault::instance_not_found(&key.id))?;
    let mut xml = Xml::default();
    xml.inside("DBInstance", |xml| view.write(xml));
    Ok(Some(xml))
}

/// From one settled state into the first of a job, or the refusal.
fn begin(inner: &Inner, key: &Key, from: Status, to: Status) -> Result<(), Fault> {
    let mut state = inner.lock();
    let record = state.record_mut(key)?;
    record.idle(&[from])?;
    record.status = to;
    record.busy = true;
    Ok(())
}

fn new_record(inner: &Inner, key: &Key) -> Record {
    Record {
        arn: arn(&inner.account, key, "db"),
        key: key.clone(),
        resource: format!("db-{}", uuid::Uuid::new_v4().simple()).to_uppercase().replacen("DB-", "db-", 1),
        class: String::new(),
        engine: EngineName::Postgres,
        engine_version: inner.postgres.binaries.version().to_owned(),
        master_user: String::new(),
        database: None,
        storage: 0,
        retention: 0,
        multi_az: false,
        deletion_protection: false,
        security_groups: Vec::new(),
        tags: Default::default(),
        created: jiff::Timestamp::now(),
        status: Status::Creating,
        busy: true,
        reachable: false,
        pending: Pending::default(),
        placement: Placement::default(),
        renaming_to: None,
        source: None,
        cluster: false,
    }
}

fn check_password(password: &str) -> Result<(), Fault> {
    if password.len() < 8 || password.contains(['/', '@', '"', ' ']) {
        return Err(Fault::invalid_value(
            "The parameter MasterUserPassword is not a valid password: at least 8 characters, none of / @ \" or space.",
        ));
    }
    Ok(())
}

fn new_key(region: &str, name: &str) -> Result<Key, Fault> {
    let legal = |character: char| character.is_ascii_alphanumeric() || character == '-';
    if name.starts_with(|character: char| character.is_ascii_alphabetic()) && name.chars().all(legal) && name.len() <= 63 {
        return Ok(Key::new(region, name));
    }
    Err(Fault::invalid_value(format!("{name} is not a valid identifier: letters, digits and hyphens, a letter first, at most 63.")))
}

/// The key that a replica is encrypted with: its source's within a Region, one of its own Region elsewhere, none where the source has none.
fn key_of_replica(replica: &Record, of: &Placement, same_region: bool) -> Result<Option<String>, Fault> {
    match (&of.kms_key, &replica.placement.kms_key) {
        (Some(_), Some(_)) if same_region => {
            Err(Fault::invalid_combination("A read replica in the Region of its source is encrypted with the key of its source; name none."))
        }
        (Some(key), None) if same_region => Ok(Some(key.clone())),
        (Some(_), None) => Err(Fault::invalid_combination("To copy an encrypted instance to another Region, a KmsKeyId of that Region is needed.")),
        (None, Some(_)) => Err(Fault::invalid_combination("An encrypted read replica cannot be created from an instance that is not encrypted.")),
        (_, named) => Ok(named.clone()),
    }
}

/// A name, or the ARN of an instance in the request's Region.
fn key_of(region: &str, name: &str) -> Result<Key, Fault> {
    let key = source_key(region, name)?;
    if key.region != region {
        return Err(Fault::invalid_value(format!("{name} is not in {region}")));
    }
    Ok(key)
}

/// A name, or the ARN of an instance in any Region.
fn source_key(region: &str, name: &str) -> Result<Key, Fault> {
    if !name.starts_with("arn:") {
        return Ok(Key::new(region, name));
    }
    match name.split(':').collect::<Vec<_>>()[..] {
        [_, _, "rds", region, _, "db", id] => Ok(Key::new(region, id)),
        _ => Err(unreadable(name)),
    }
}

fn unreadable(name: &str) -> Fault {
    Fault::invalid_value(format!("Invalid resource name: {name}"))
}
