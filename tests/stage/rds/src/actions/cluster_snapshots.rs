//! The snapshots of Aurora's clusters, each a copy of the data folder of the cluster's server, and the clusters that are restored from them.

use super::clusters::{check_engine, cluster, cluster_key, make_busy, placement};
use super::{Answer, new_key, new_record};
use crate::Inner;
use crate::cluster_view::{write_cluster, write_snapshot};
use crate::describe::arn;
use crate::fault::Fault;
use crate::page::Page;
use crate::params::Params;
use crate::state::{Key, Record, Snapshot, SnapshotStatus, State, Status};
use crate::xml::Xml;
use std::sync::Arc;

/// Of a cluster with or without instances: it is the storage's.
pub(super) fn create(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBClusterSnapshotIdentifier")?)?;
    let of = cluster_key(region, &params.need("DBClusterIdentifier")?)?;
    let tags = params.tags();
    params.finish()?;
    let mut xml = Xml::default();
    {
        let mut state = inner.lock();
        let record = cluster(&state, &of)?.record.clone();
        if state.snapshots.contains_key(&key) {
            return Err(exists(&key));
        }
        if record.busy || record.status != Status::Available {
            return Err(Fault::new(400, "InvalidDBClusterStateFault", format!("{} is {}.", of.id, record.status.name())));
        }
        let snapshot = new(inner, &key, &record, tags.into_iter().collect());
        xml.inside("DBClusterSnapshot", |xml| write_snapshot(xml, &snapshot));
        state.snapshots.insert(key.clone(), snapshot);
        make_busy(&mut state, &of, Status::BackingUp);
    }
    inner.start_snapshot(of, key);
    Ok(Some(xml))
}

pub(super) fn delete(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = snapshot_key(region, &params.need("DBClusterSnapshotIdentifier")?);
    params.finish()?;
    let mut state = inner.lock();
    let gone = snapshot(&state, &key)?.clone();
    if gone.status == SnapshotStatus::Creating {
        return Err(busy(&key));
    }
    state.snapshots.remove(&key);
    // Nobody reads a folder that no record names; what cannot be removed goes with the stage.
    let _ = std::fs::remove_dir_all(&gone.data);
    let mut xml = Xml::default();
    xml.inside("DBClusterSnapshot", |xml| write_snapshot(xml, &gone));
    Ok(Some(xml))
}

/// A cluster by itself, with the snapshot's data, users and passwords, nothing of the groups, and no instance.
pub(super) fn restore(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = new_key(region, &params.need("DBClusterIdentifier")?)?;
    let from = snapshot_key(region, &params.need("SnapshotIdentifier")?);
    check_engine(&params.need("Engine")?)?;
    let tags = params.tags();
    let record = Record {
        arn: arn(&inner.account, &key, "cluster"),
        cluster: true,
        deletion_protection: params.flag("DeletionProtection")?,
        security_groups: params.list("VpcSecurityGroupIds"),
        tags: tags.into_iter().collect(),
        placement: placement(inner, &mut params),
        ..new_record(inner, &key)
    };
    params.finish()?;
    let mut xml = Xml::default();
    {
        let mut state = inner.lock();
        let snapshot = snapshot(&state, &from)?;
        if snapshot.status != SnapshotStatus::Available {
            return Err(busy(&from));
        }
        if state.is_taken(&key) {
            return Err(Fault::new(400, "DBClusterAlreadyExistsFault", format!("DBCluster {} already exists.", key.id)));
        }
        let of = &snapshot.of;
        let (master_user, database, retention) = (of.master_user.clone(), of.database.clone(), of.retention);
        inner.register(&mut state, Record { master_user, database, retention, ..record })?;
        state.apply_clusters();
        xml.inside("DBCluster", |xml| write_cluster(xml, &state.instances[&key], &state));
    }
    inner.start_restoring(key, from);
    Ok(Some(xml))
}

pub(super) fn describe(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let wanted = params.take("DBClusterSnapshotIdentifier").map(|name| Key::new(region, &name));
    let of = params.take("DBClusterIdentifier").map(|name| cluster_key(region, &name)).transpose()?;
    params.take("SnapshotType");
    let page = Page::from(&mut params)?;
    params.finish()?;
    let state = inner.lock();
    if let Some(key) = &wanted {
        snapshot(&state, key)?;
    }
    let found = state.snapshots.values().filter(|snapshot| {
        snapshot.of.cluster
            && snapshot.key.region == region
            && wanted.as_ref().is_none_or(|key| snapshot.key == *key)
            && of.as_ref().is_none_or(|key| snapshot.of.key == *key)
    });
    let (found, marker) = page.of(found.collect(), |snapshot| &snapshot.key.id);
    let mut xml = Xml::default();
    xml.optional("Marker", marker);
    xml.list("DBClusterSnapshots", "DBClusterSnapshot", found, write_snapshot);
    Ok(Some(xml))
}

pub(super) fn copy(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let from = snapshot_key(region, &params.need("SourceDBClusterSnapshotIdentifier")?);
    let to = new_key(region, &params.need("TargetDBClusterSnapshotIdentifier")?)?;
    let tags = params.tags();
    params.take("CopyTags");
    params.finish()?;
    let copy = {
        let mut state = inner.lock();
        let source = snapshot(&state, &from)?.clone();
        if source.status != SnapshotStatus::Available {
            return Err(busy(&from));
        }
        if state.snapshots.contains_key(&to) {
            return Err(exists(&to));
        }
        let copy = new(inner, &to, &source.of, tags.into_iter().collect());
        state.snapshots.insert(to.clone(), copy.clone());
        copy
    };
    inner.start_copying(from, to)?;
    let mut xml = Xml::default();
    xml.inside("DBClusterSnapshot", |xml| write_snapshot(xml, &copy));
    Ok(Some(xml))
}

fn new(inner: &Inner, key: &Key, of: &Record, tags: std::collections::BTreeMap<String, String>) -> Snapshot {
    Snapshot {
        arn: arn(&inner.account, key, "cluster-snapshot"),
        data: inner.postgres.home.snapshot_folder(key, &of.resource),
        key: key.clone(),
        created: jiff::Timestamp::now(),
        status: SnapshotStatus::Creating,
        tags,
        of: of.clone(),
    }
}

fn exists(key: &Key) -> Fault {
    Fault::new(400, "DBClusterSnapshotAlreadyExistsFault", format!("{} already exists.", key.id))
}

fn busy(key: &Key) -> Fault {
    Fault::new(400, "InvalidDBClusterSnapshotStateFault", format!("{} is not available.", key.id))
}

fn snapshot<'a>(state: &'a State, key: &Key) -> Result<&'a Snapshot, Fault> {
    let found = state.snapshots.get(key).filter(|snapshot| snapshot.of.cluster);
    found.ok_or_else(|| Fault::new(404, "DBClusterSnapshotNotFoundFault", format!("DBClusterSnapshot {} not found.", key.id)))
}

/// A snapshot by its name, which may have a colon in it, or by its ARN.
fn snapshot_key(region: &str, name: &str) -> Key {
    match name.split_once(":cluster-snapshot:") {
        Some((_, id)) => Key::new(region, id),
        None => Key::new(region, name),
    }
}
