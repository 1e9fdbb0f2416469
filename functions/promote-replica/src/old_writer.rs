//! Clusters that were writers before a takeover: looked at each minute until Aurora has made them secondaries.

use futures_util::future::join_all;
use relight::decide::Decision;
use relight::decide::promotion::{old_writer, old_writer_is_due};
use relight::nudge::View;
use relight::plan;
use relight::ports::{CallError, EntryKind, GlobalCluster, GlobalClusters, GlobalId, Journal};

use crate::ledger::Ledger;

pub(crate) type Seen<'a> = (&'a plan::Database, Result<Option<GlobalCluster>, CallError>);

pub(crate) fn due(view: &View) -> impl Iterator<Item = &plan::Database> {
    view.plan.databases.iter().filter(|database| old_writer_is_due(&view.snapshot, database, view.now))
}

/// The standby Region tells of both clusters: the primary Region, which may be dark, is not asked.
pub(crate) async fn looks<'a, D: GlobalClusters>(port: &D, view: &'a View) -> Vec<Seen<'a>> {
    join_all(due(view).map(async |database| (database, port.global_cluster(&GlobalId::of(&view.plan, database)).await))).await
}

/// Takes a look in. Only what is new about it makes a line: a Region can be dark for days. The metric says each minute what is pending.
pub(crate) fn note<J: Journal>(ledger: &mut Ledger<'_, '_, J>, view: &View, (database, seen): Seen<'_>) {
    let (kind, said) = match seen {
        Err(error) => (EntryKind::Failure, format!("the old writer could not be looked at: {error}; tried again each minute")),
        Ok(global) => match old_writer(&view.plan, database, global.as_ref()) {
            Decision::Act(over) => (EntryKind::Reached, over.iter().map(ToString::to_string).collect()),
            Decision::Wait(pending) => (EntryKind::Waiting, pending.to_string()),
            Decision::Refuse(never) => match never {},
            Decision::Done => return,
        },
    };
    let Some(step) = ledger.progress.databases.get_mut(&database.name) else { return };
    let step = &mut step.old_writer;
    step.looked_at = Some(view.now);
    if kind == EntryKind::Reached {
        step.over_at = Some(view.now);
    }
    let new = step.last != said;
    step.last.clone_from(&said);
    if new {
        ledger.line(kind, &database.id().0, said);
    }
}
