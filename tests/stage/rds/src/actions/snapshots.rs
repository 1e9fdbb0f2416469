//! Snapshots, each a copy of the data folder, and what is made of them.

use super::{Answer, instance_answer, key_of, new_key, new_record};
use crate::Inner;
use crate::describe::{arn, write_snapshot};
use crate::fault::Fault;
use crate::page::Page;
use crate::params::Params;
use crate::state::{Key, Placement, Record, Snapshot, SnapshotStatus, Status};
use crate::xml::Xml;
use std::sync::Arc;

pub(super) fn create(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBSnapshotIdentifier")?)?;
    let of = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    let tags = params.tags();
    params.finish()?;
    let mut state = inner.lock();
    let record = state.record_mut(&of)?.clone();
    if state.snapshots.contains_key(&key) {
        return Err(snapshot_exists(&key));
    }
    record.idle(&[Status::Available, Status::StorageFull])?;
    let mut snapshot = new_snapshot(inner, &key, &record)?;
    snapshot.tags.extend(tags);
    let answer = snapshot_answer(&snapshot);
    state.snapshots.insert(key.clone(), snapshot);
    let record = state.record_mut(&of)?;
    record.status = Status::BackingUp;
    record.busy = true;
    drop(state);
    inner.start_snapshot(of, key);
    answer
}

pub(super) fn describe(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let wanted = params.take("DBSnapshotIdentifier").map(|name| Key::new(region, &name));
    let of = params.take("DBInstanceIdentifier").map(|name| key_of(region, &name)).transpose()?;
    let page = Page::from(&mut params)?;
    params.take("SnapshotType");
    params.finish()?;
    let state = inner.lock();
    if let Some(key) = &wanted {
        state.snapshot(key)?;
    }
    let found = state.snapshots.values().filter(|snapshot| {
        snapshot.key.region == region
            && !snapshot.of.cluster
            && wanted.as_ref().is_none_or(|key| snapshot.key == *key)
            && of.as_ref().is_none_or(|key| snapshot.of.key == *key)
    });
    let (found, marker) = page.of(found.collect(), |snapshot| &snapshot.key.id);
    let mut xml = Xml::default();
    xml.optional("Marker", marker);
    xml.list("DBSnapshots", "DBSnapshot", found, write_snapshot);
    Ok(Some(xml))
}

pub(super) fn delete(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = Key::new(region, &params.need("DBSnapshotIdentifier")?);
    params.finish()?;
    let mut state = inner.lock();
    let snapshot = state.snapshot(&key)?;
    if snapshot.status == SnapshotStatus::Creating {
        return Err(Fault::new(400, "InvalidDBSnapshotState", format!("DBSnapshot {} is not in an available state.", key.id)));
    }
    let answer = snapshot_answer(snapshot);
    if let Some(gone) = state.snapshots.remove(&key) {
        // Nobody reads a folder that no record names; what cannot be removed goes with the stage.
        let _ = std::fs::remove_dir_all(&gone.data);
    }
    answer
}

/// A new instance from a snapshot. Like RDS it has the snapshot's data, users and passwords, and nothing of the groups.
pub(super) async fn restore(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBInstanceIdentifier")?)?;
    let from = Key::new(region, &params.need("DBSnapshotIdentifier")?);
    let class = params.take("DBInstanceClass");
    let retention = params.retention()?;
    let multi_az = params.flag("MultiAZ")?;
    let deletion_protection = params.flag("DeletionProtection")?;
    let security_groups = params.list("VpcSecurityGroupIds");
    let tags = params.tags();
    let placement = params.placement(inner, region)?;
    params.take("Engine");
    params.finish()?;
    {
        let mut state = inner.lock();
        let snapshot = state.snapshot(&from)?;
        if snapshot.status != SnapshotStatus::Available {
            return Err(Fault::new(400, "InvalidDBSnapshotState", format!("DBSnapshot {} is not in an available state.", from.id)));
        }
        let of = &snapshot.of;
        let record = Record {
            class: class.unwrap_or_else(|| of.class.clone()),
            engine: of.engine,
            engine_version: of.engine_version.clone(),
            master_user: of.master_user.clone(),
            database: of.database.clone(),
            storage: of.storage,
            retention: retention.unwrap_or(of.retention),
            multi_az,
            deletion_protection,
            security_groups,
            tags: tags.into_iter().collect(),
            placement: Placement { kms_key: of.placement.kms_key.clone(), ..placement },
            ..new_record(inner, &key)
        };
        inner.register(&mut state, record)?;
    }
    inner.start_restoring(key.clone(), from);
    instance_answer(inner, &key).await
}

pub(super) fn new_snapshot(inner: &Inner, key: &Key, of: &Record) -> Result<Snapshot, Fault> {
    Ok(Snapshot {
        arn: arn(&inner.account, key, "snapshot"),
        data: inner.engine(of.engine)?.home().snapshot_folder(key, &of.resource),
        key: key.clone(),
        tags: Default::default(),
        of: of.clone(),
        created: jiff::Timestamp::now(),
        status: SnapshotStatus::Creating,
    })
}

pub(super) fn snapshot_exists(key: &Key) -> Fault {
    Fault::new(
        400,
        "DBSnapshotAlreadyExists",
        format!("Cannot create the snapshot because a snapshot with the identifier {} already exists.", key.id),
    )
}

fn snapshot_answer(snapshot: &Snapshot) -> Answer {
    let mut xml = Xml::default();
    xml.inside("DBSnapshot", |xml| write_snapshot(xml, snapshot));
    Ok(Some(xml))
}
