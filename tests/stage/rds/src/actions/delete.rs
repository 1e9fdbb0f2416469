//! DeleteDBInstance, with a last snapshot or without one.

use super::snapshots::{new_snapshot, snapshot_exists};
use super::{Answer, instance_answer, key_of, new_key};
use crate::Inner;
use crate::fault::Fault;
use crate::params::Params;
use crate::state::Status;
use std::sync::Arc;

pub(super) async fn delete(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = key_of(region, &params.need("DBInstanceIdentifier")?)?;
    let skip = params.flag("SkipFinalSnapshot")?;
    let last = params.take("FinalDBSnapshotIdentifier").map(|name| new_key(region, &name)).transpose()?;
    params.finish()?;
    {
        let mut state = inner.lock();
        let record = state.get(&key)?.record.clone();
        if record.deletion_protection {
            return Err(Fault::invalid_combination("Cannot delete protected DB Instance, please disable deletion protection and try again."));
        }
        match (&last, skip) {
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
        // Of what has failed there is nothing to take a snapshot of.
        let from: &[Status] = match last {
            Some(_) => &[Status::Available, Status::Stopped, Status::StorageFull],
            None => &[Status::Available, Status::Stopped, Status::StorageFull, Status::Failed],
        };
        record.idle(from)?;
        if let Some(snapshot) = &last {
            if state.snapshots.contains_key(snapshot) {
                return Err(snapshot_exists(snapshot));
            }
            state.snapshots.insert(snapshot.clone(), new_snapshot(inner, snapshot, &record)?);
        }
        let record = state.record_mut(&key)?;
        record.status = Status::Deleting;
        record.busy = true;
    }
    inner.start_deleting(key.clone(), last);
    instance_answer(inner, &key).await
}
