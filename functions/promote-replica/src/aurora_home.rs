//! A failback's global databases, beside the instances: Aurora has made the old writer a secondary, and a switchover goes home.
//!
//! ```text
//! Preparing, Synchronised, Switching   the global cluster here, its cluster and the snapshot of lost rows in the primary Region
//! Restoring                            the global cluster alone
//! ```

use futures_util::future::join_all;
use relight::advance::home::{attempted, rebuilds};
use relight::decide::Decision;
use relight::decide::promotion::home::global::{GlobalHome, GlobalHomeDue, GlobalHomeMove, look, prepare, restore, switch};
use relight::nudge::{Desk, View};
use relight::plan::{self, Plan};
use relight::ports::{CallError, Cluster, EntryKind, GlobalCluster, GlobalClusters, GlobalId, HomeCluster, Journal, LostRows, Snapshotted, Why};
use relight::run::{Mode, Phase, Run};
use relight::state::HomeStep;

use crate::home::{looked, say_once};
use crate::ledger::Ledger;

/// What stands of one global database.
#[derive(Default)]
pub(crate) struct Seen {
    global: Option<GlobalCluster>,
    home: Option<Cluster>,
    lost: Vec<LostRows>,
}

/// What is asked of AWS in this turn.
pub(crate) enum Ask {
    Keep(LostRows),
    SwitchHome,
}

pub(crate) type Looks<'a> = Vec<(&'a plan::Database, Result<Seen, CallError>)>;

pub(crate) async fn looks<'a, D: GlobalClusters>(port: &D, view: &'a View) -> Looks<'a> {
    let clusters = view.plan.databases.iter().filter(|database| database.is_global());
    join_all(clusters.map(async |database| (database, see(port, view, database).await))).await
}

async fn see<D: GlobalClusters>(port: &D, view: &View, database: &plan::Database) -> Result<Seen, CallError> {
    let step = view.snapshot.progress.promotion.home.get(&database.name).cloned().unwrap_or_default();
    let (global, home) = (GlobalId::of(&view.plan, database), HomeCluster::of(&view.plan, database));
    if rebuilds(&view.snapshot) {
        let global = if step.replica_ready_at.is_none() { port.global_cluster(&global).await? } else { None };
        return Ok(Seen { global, ..Seen::default() });
    }
    let (global, cluster) = tokio::join!(port.global_cluster(&global), port.home_cluster(&home));
    let preparing = view.phase() == Some((Mode::Failback, Phase::Preparing));
    let lost = if preparing && step.replicating_at.is_some() && step.lost_kept_at.is_none() { port.lost_rows(&home).await? } else { Vec::new() };
    Ok(Seen { global: global?, home: cluster?, lost })
}

pub(crate) fn decide<J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    view: &View,
    run: &Run,
    desk: &Desk<'_, J>,
    database: &plan::Database,
    seen: Result<Seen, CallError>,
) -> Option<Ask> {
    let about = database.id().0;
    let mut step = ledger.progress.home.get(&database.name).cloned().unwrap_or_default();
    let seen = match seen {
        Ok(seen) => {
            step.silent_since = None;
            seen
        }
        Err(error) => {
            if matches!(error.why, Why::Unanswered(_)) {
                step.silent_since.get_or_insert(desk.now());
            }
            say_once(ledger, &mut step, EntryKind::Failure, &about, error.to_string());
            ledger.progress.home.insert(database.name.clone(), step);
            ledger.wait();
            return None;
        }
    };
    let home = GlobalHome {
        plan: &view.plan,
        snapshot: &view.snapshot,
        database,
        step: &step,
        global: seen.global.as_ref(),
        home: seen.home.as_ref(),
        lost: &seen.lost,
        now: view.now,
    };
    let mut ask = None;
    match due(view, run, &home) {
        Decision::Act(moves) => {
            for due in moves {
                ask = take(ledger, view, desk, database, &seen, &mut step, due);
            }
        }
        Decision::Wait(waiting) => {
            say_once(ledger, &mut step, EntryKind::Waiting, &about, waiting.to_string());
            ledger.wait();
        }
        Decision::Refuse(refusal) => say_once(ledger, &mut step, EntryKind::Refusal, &about, refusal.to_string()),
        Decision::Done => {}
    }
    ledger.progress.home.insert(database.name.clone(), step);
    ask
}

fn due(view: &View, run: &Run, home: &GlobalHome<'_>) -> GlobalHomeDue {
    match run.phase {
        _ if rebuilds(&view.snapshot) => restore(home),
        Phase::Preparing => prepare(home),
        Phase::Switching if run.committed_at.is_some() || attempted(&view.snapshot) => switch(home),
        Phase::Synchronised | Phase::Switching => look(home),
        _ => Decision::Done,
    }
}

fn take<J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    view: &View,
    desk: &Desk<'_, J>,
    database: &plan::Database,
    seen: &Seen,
    step: &mut HomeStep,
    due: GlobalHomeMove,
) -> Option<Ask> {
    let (about, now) = (database.id().0, desk.now());
    let (cluster, region) = (&database.primary, &view.plan.primary);
    match due {
        GlobalHomeMove::Follows => {
            step.endpoint = seen.home.as_ref().and_then(|home| home.endpoint.clone());
            (step.replicating_at, step.nothing_left) = (Some(now), true);
            ledger.line(EntryKind::Reached, &about, format!("{cluster} in {region} is a secondary of {} and follows", database.replica));
            desk.tell(format!("database {} replicates home", database.name));
        }
        GlobalHomeMove::Keep(lost) => {
            if step.lost_snapshot.as_ref() != Some(&lost.snapshot) {
                ledger.line(
                    EntryKind::Action,
                    &about,
                    format!("keeps {} of {region} as {}: the rows that the failover lost are in it", lost.snapshot, lost.kept_as()),
                );
            }
            step.lost_snapshot = Some(lost.snapshot.clone());
            return Some(Ask::Keep(lost));
        }
        GlobalHomeMove::NothingKept { nothing_lost } => {
            step.lost_kept_at = Some(now);
            let said = match nothing_lost {
                true => "nothing was lost: the standby took over by a switchover",
                false => "Aurora kept no snapshot of the old writer: what the failover lost is not to be found",
            };
            ledger.line(EntryKind::Reached, &about, said);
        }
        GlobalHomeMove::Looked(why) => {
            if let Some(why) = &why {
                say_once(ledger, step, EntryKind::Waiting, &about, why.clone());
            }
            looked(step, why, now);
        }
        GlobalHomeMove::SwitchHome { again } => {
            (step.promote_attempt_at, step.promote_called_at, step.throttled) = (Some(now), None, false);
            let why = if again { " again: nothing has moved for a minute" } else { "" };
            ledger.line(EntryKind::Action, &about, format!("switches over to {cluster} in {region}{why}; writes pause until the last row is there"));
            return Some(Ask::SwitchHome);
        }
        GlobalHomeMove::Home => {
            step.endpoint = seen.home.as_ref().and_then(|home| home.endpoint.clone());
            (step.promoted_at, step.backups_on_at) = (Some(now), Some(now));
            ledger.line(EntryKind::Reached, &about, format!("{cluster} in {region} is the writer: nothing moves, it has an available instance"));
            desk.tell(format!("database {} promoted at home", database.name));
        }
        GlobalHomeMove::Restored => {
            (step.rebuilt_at, step.replica_ready_at) = (Some(now), Some(now));
            ledger.line(EntryKind::Reached, &about, format!("{} is a secondary of {cluster} again", database.replica));
        }
    }
    None
}

pub(crate) async fn act<'a, D: GlobalClusters>(
    port: &D,
    plan: &Plan,
    (database, ask): (&'a plan::Database, Ask),
) -> (&'a plan::Database, Ask, Result<bool, CallError>) {
    let (global, home) = (GlobalId::of(plan, database), HomeCluster::of(plan, database));
    let answer = match &ask {
        Ask::Keep(lost) => port.keep_lost_rows(&home, lost).await.map(|kept| kept == Snapshotted::Done),
        Ask::SwitchHome => port.switch_home(&global, &home).await.map(|()| true),
    };
    (database, ask, answer)
}

/// Writes down what became of it; the state decides, at the next look.
pub(crate) fn note<J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    desk: &Desk<'_, J>,
    database: &plan::Database,
    ask: &Ask,
    answer: Result<bool, CallError>,
) {
    let about = database.id().0;
    ledger.wait();
    let mut step = ledger.progress.home.get(&database.name).cloned().unwrap_or_default();
    match (ask, answer) {
        (_, Err(error)) => {
            step.throttled = matches!((ask, &error.why), (Ask::SwitchHome, Why::Throttled));
            say_once(ledger, &mut step, EntryKind::Failure, &about, error.to_string());
        }
        (Ask::SwitchHome, Ok(_)) => step.promote_called_at = Some(desk.now()),
        (Ask::Keep(lost), Ok(true)) => {
            step.lost_kept_at = Some(desk.now());
            step.lost_kept = Some(lost.kept_as());
            ledger.line(EntryKind::Reached, &about, format!("the snapshot {} is there", lost.kept_as()));
        }
        (Ask::Keep(_), Ok(false)) => {}
    }
    ledger.progress.home.insert(database.name.clone(), step);
}
