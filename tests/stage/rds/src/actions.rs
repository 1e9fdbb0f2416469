//! The operations: each reads its parameters, judges them as RDS does, changes the records and starts the job that follows.
//! Every refusal stands before the first change.

use crate::Inner;
use crate::describe::{arn, write_snapshot, write_tags};
use crate::fault::{Fault, PromotionFault};
use crate::instance::{Change, Login, apply_pending, source};
use crate::page::Page;
use crate::params::Params;
use crate::state::{Key, Pending, Record, Snapshot, Status};
use crate::xml::Xml;
use std::sync::Arc;

/// None: the action has no result of its own.
type Answer = Result<Option<Xml>, Fault>;

pub(crate) async fn perform(inner: &Arc<Inner>, region: &str, action: &str, params: Params) -> Answer {
    match action {
        "CreateDBInstance" => create(inner, region, params).await,
        "CreateDBInstanceReadReplica" => create_replica(inner, region, params).await,
        "DescribeDBInstances" => describe(inner, region, params).await,
        "PromoteReadReplica" => promote(inner, region, params).await,
        "ModifyDBInstance" => modify(inner, region, params).await,
        "RebootDBInstance" => reboot(inner, region, params).await,
        "StopDBInstance" => stop(inner, region, params).await,
        "StartDBInstance" => start(inner, region, params).await,
        "DeleteDBInstance" => delete(inner, region, params).await,
        "CreateDBSnapshot" => create_snapshot(inner, region, params),
        "DescribeDBSnapshots" => describe_snapshots(inner, region, params),
        "AddTagsToResource" => add_tags(inner, region, params),
        "RemoveTagsFromResource" => remove_tags(inner, region, params),
        "ListTagsForResource" => list_tags(inner, region, params),
        other => Err(Fault::new(400, "InvalidAction", format!("the stage's RDS does not know the action {other}"))),
    }
}

async fn create(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBInstanceIdentifier")?)?;
    let engine = params.need("Engine")?;
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
        ..new_record(inner, &key)
    };
    params.finish()?;
    if engine != "postgres" {
        return Err(Fault::invalid_value(format!("the stage's RDS has the engine postgres, not {engine}")));
    }
    check_password(&login.password)?;
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
        source: Some(source(source_key.clone())),
        ..new_record(inner, &key)
    };
    params.finish()?;
    {
        let mut state = inner.lock();
        if inner.dark.borrow().contains(&source_key.region) {
            return Err(Fault::new(503, "ServiceUnavailable", format!("{} does not answer", source_key.region)));
        }
        if state.instances.contains_key(&key) {
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
        let replica = Record {
            class: class.unwrap_or_else(|| of.class.clone()),
            storage: storage.unwrap_or(of.storage),
            master_user: of.master_user.clone(),
            database: of.database.clone(),
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

async fn describe(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let wanted = params.take("DBInstanceIdentifier");
    let filters = params.filters();
    let page = Page::from(&mut params)?;
    params.finish()?;
    let mut keys: Vec<Key> = match wanted {
        Some(name) => {
            let key = key_of(region, &name)?;
            inner.lock().get(&key)?;
            vec![key]
        }
        None => inner.lock().instances.keys().filter(|key| key.region == region).cloned().collect(),
    };
    for (name, values) in filters {
        if name != "db-instance-id" {
            return Err(Fault::invalid_value(format!("Unrecognized filter name: {name}")));
        }
        let named = values.iter().map(|value| key_of(region, value)).collect::<Result<Vec<Key>, Fault>>()?;
        keys.retain(|key| named.contains(key));
    }
    let (keys, marker) = page.of(keys, |key| &key.id);
    let mut views = Vec::new();
    for key in &keys {
        views.extend(inner.view(key).await);
    }
    let mut xml = Xml::default();
    xml.optional("Marker", marker);
    xml.list("DBInstances", "DBInstance", &views, |xml, view| view.write(xml));
    Ok(Some(xml))
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

async fn modify(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    let asked = Pending { class: params.take("DBInstanceClass"), retention: params.retention()? };
    let groups = params.list("VpcSecurityGroupIds");
    let protection = params.take_as::<bool>("DeletionProtection")?;
    let multi_az = params.take_as::<bool>("MultiAZ")?;
    let password = params.take("MasterUserPassword");
    let at_once = params.flag("ApplyImmediately")?;
    params.finish()?;
    password.as_deref().map_or(Ok(()), check_password)?;
    let change = {
        let mut state = inner.lock();
        let has_replicas = !state.replicas_of(&key).is_empty();
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
        record.multi_az = multi_az.unwrap_or(record.multi_az);
        let change = Change { password, ..plan_change(record, asked, at_once) };
        let job = change.restart || change.backup || change.password.is_some();
        if job {
            record.status = Status::Modifying;
            record.busy = true;
        }
        state.apply_network(&inner.dark.borrow());
        job.then_some(change)
    };
    if let Some(change) = change {
        inner.start_modifying(key.clone(), change);
    }
    instance_answer(inner, &key).await
}

/// What waits for the next maintenance window and what begins now. Class, and backups switched on or off, wait unless they are
/// wanted at once, together with whatever waited before; another number of days counts from now on either way.
fn plan_change(record: &mut Record, asked: Pending, at_once: bool) -> Change {
    let switched = asked.retention.filter(|days| (*days == 0) != (record.retention == 0));
    if switched.is_none() {
        record.retention = asked.retention.unwrap_or(record.retention);
    }
    record.pending.class = asked.class.or(record.pending.class.take());
    record.pending.retention = switched.or(record.pending.retention);
    let pending = &record.pending;
    let restart = at_once && pending.class.as_ref().is_some_and(|class| *class != record.class);
    let backup = at_once && record.retention == 0 && pending.retention.is_some_and(|days| days > 0);
    if at_once && !restart && !backup {
        apply_pending(record);
    }
    Change { restart, backup, password: None }
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

async fn delete(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    let skip = params.flag("SkipFinalSnapshot")?;
    let snapshot = params.take("FinalDBSnapshotIdentifier");
    params.finish()?;
    {
        let mut state = inner.lock();
        let record = state.get(&key)?.record.clone();
        if record.deletion_protection {
            return Err(Fault::invalid_combination("Cannot delete protected DB Instance, please disable deletion protection and try again."));
        }
        match (&snapshot, skip) {
            (Some(_), true) => {
                return Err(Fault::invalid_combination("FinalDBSnapshotIdentifier can not be specified when deleting with SkipFinalSnapshot"));
            }
            (None, false) => {
                return Err(Fault::invalid_combination("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."));
            }
            (Some(_), false) if record.source.is_some() => {
                return Err(Fault::invalid_combination("A final snapshot can not be created when deleting a read replica"));
            }
            _ => {}
        }
        record.idle(&[Status::Available, Status::Stopped, Status::Failed])?;
        if let Some(name) = snapshot {
            let snapshot = new_snapshot(inner, &Key::new(region, &name), &record, "available");
            if state.snapshots.contains_key(&snapshot.key) {
                return Err(snapshot_exists(&snapshot.key));
            }
            state.snapshots.insert(snapshot.key.clone(), snapshot);
        }
        let record = state.record_mut(&key)?;
        record.status = Status::Deleting;
        record.busy = true;
    }
    inner.start_deleting(key.clone());
    instance_answer(inner, &key).await
}

fn create_snapshot(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBSnapshotIdentifier")?)?;
    let of = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    params.finish()?;
    let mut state = inner.lock();
    let record = state.record_mut(&of)?.clone();
    if state.snapshots.contains_key(&key) {
        return Err(snapshot_exists(&key));
    }
    record.idle(&[Status::Available])?;
    let snapshot = new_snapshot(inner, &key, &record, "creating");
    let mut xml = Xml::default();
    xml.inside("DBSnapshot", |xml| write_snapshot(xml, &snapshot));
    state.snapshots.insert(key.clone(), snapshot);
    let record = state.record_mut(&of)?;
    record.status = Status::BackingUp;
    record.busy = true;
    drop(state);
    inner.start_snapshot(of, key);
    Ok(Some(xml))
}

fn describe_snapshots(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let wanted = params.take("DBSnapshotIdentifier").map(|name| Key::new(region, &name));
    let of = params.take("DBInstanceIdentifier").map(|name| key_of(region, &name)).transpose()?;
    let page = Page::from(&mut params)?;
    params.take("SnapshotType");
    params.finish()?;
    let state = inner.lock();
    if let Some(key) = wanted.as_ref().filter(|key| !state.snapshots.contains_key(key)) {
        return Err(Fault::new(404, "DBSnapshotNotFound", format!("DBSnapshot {} not found.", key.id)));
    }
    let found = state.snapshots.values().filter(|snapshot| {
        snapshot.key.region == region
            && wanted.as_ref().is_none_or(|key| snapshot.key == *key)
            && of.as_ref().is_none_or(|key| snapshot.of.key == *key)
    });
    let (found, marker) = page.of(found.collect(), |snapshot| &snapshot.key.id);
    let mut xml = Xml::default();
    xml.optional("Marker", marker);
    xml.list("DBSnapshots", "DBSnapshot", found, write_snapshot);
    Ok(Some(xml))
}

fn add_tags(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("ResourceName")?)?;
    let tags = params.tags();
    params.finish()?;
    inner.lock().record_mut(&key)?.tags.extend(tags);
    Ok(None)
}

fn remove_tags(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("ResourceName")?)?;
    let names = params.list("TagKeys");
    params.finish()?;
    inner.lock().record_mut(&key)?.tags.retain(|name, _| !names.contains(name));
    Ok(None)
}

fn list_tags(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("ResourceName")?)?;
    params.finish()?;
    let mut xml = Xml::default();
    write_tags(&mut xml, &inner.lock().get(&key)?.record.tags);
    Ok(Some(xml))
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
        source: None,
    }
}

fn new_snapshot(inner: &Inner, key: &Key, of: &Record, status: &'static str) -> Snapshot {
    Snapshot { arn: arn(&inner.account, key, "snapshot"), key: key.clone(), of: of.clone(), created: jiff::Timestamp::now(), status }
}

fn snapshot_exists(key: &Key) -> Fault {
    Fault::new(
        400,
        "DBSnapshotAlreadyExists",
        format!("Cannot create the snapshot because a snapshot with the identifier {} already exists.", key.id),
    )
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
        _ => Err(Fault::invalid_value(format!("Invalid resource name: {name}"))),
    }
}
