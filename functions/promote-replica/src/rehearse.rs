//! A drill: the promotion is rehearsed on a disposable copy of each replica, which is a replica of it or its snapshot restored. Of Aurora's
//! secondaries it is always the snapshot, to a cluster by itself. This file has no [`ReplicaId`] at all; `copies` has one to read and to copy from.
//!
//! [`ReplicaId`]: relight::ports::ReplicaId

use futures_util::future::join_all;
use relight::decide::Decision;
use relight::decide::promotion::{CopyMove, GivenUp};
use relight::nudge::{Desk, Next, View, WorkError, put};
use relight::plan;
use relight::ports::{CallError, ClusterCopies, Database, EntryKind, GlobalClusters, Journal, Write, Written};
use relight::run::Run;
use relight::state::{CopyStep, Key, Obligation, Owed};

use crate::copies::{Ask, Look, What, act, decided, look};
use crate::ledger::Ledger;

/// The databases whose rehearsal has not ended.
pub(crate) fn due(view: &View) -> impl Iterator<Item = &plan::Database> {
    let copies = &view.snapshot.progress.promotion.copies;
    view.plan.databases.iter().filter(|database| copies.get(&database.name).is_none_or(|step| step.failed.is_none() && step.promoted_at.is_none()))
}

pub(crate) async fn turn<D: Database + GlobalClusters + ClusterCopies, J: Journal>(
    port: &D,
    view: &View,
    run: &Run,
    desk: &Desk<'_, J>,
) -> Result<Next, WorkError> {
    let looks = join_all(due(view).map(async |database| (database, look(port, view, run, database).await))).await;

    let mut ledger = Ledger::open(view, desk);
    let mut asks = Vec::new();
    for (database, look) in looks {
        match look {
            Ok(look) => asks.extend(decide(&mut ledger, view, run, desk, database, look)),
            Err(error) => {
                ledger.line(EntryKind::Failure, &database.id().0, error);
                ledger.wait();
            }
        }
    }

    // Owed before it is asked for, and only while the drill is still on its way up.
    let mut owed = Vec::new();
    for ask in asks.iter().filter(|ask| ask.what.makes()) {
        owed.extend(owe(view, run, desk, ask)?);
    }
    if asks.iter().any(|ask| ask.what.makes()) {
        owed.push(ledger.unless_the_run_changed()?);
    }
    if ledger.record(owed).await? == Written::Lost {
        return Ok(Next::Again);
    }

    let answers = join_all(asks.into_iter().map(async |ask| act(port, view, run, ask).await)).await;
    for (ask, answer) in answers {
        note(&mut ledger, desk, ask, answer);
    }
    ledger.record(Vec::new()).await?;
    Ok(ledger.next())
}

fn decide<'a, J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    view: &View,
    run: &Run,
    desk: &Desk<'_, J>,
    database: &'a plan::Database,
    look: Look,
) -> Vec<Ask<'a>> {
    let about = database.id().0;
    let mut step = ledger.progress.copies.get(&database.name).cloned().unwrap_or_default();
    match decided(view, run, database, &step, &look) {
        Decision::Act(moves) => {
            let asks = moves.into_iter().filter_map(|due| take(ledger, desk, database, &look, &mut step, due)).collect();
            ledger.progress.copies.insert(database.name.clone(), step);
            asks
        }
        Decision::Wait(waiting) => {
            ledger.line(EntryKind::Waiting, &about, waiting);
            ledger.wait();
            Vec::new()
        }
        Decision::Refuse(given_up) => {
            give_up(ledger, desk, database, step, &given_up);
            Vec::new()
        }
        Decision::Done => Vec::new(),
    }
}

fn take<'a, J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    desk: &Desk<'_, J>,
    database: &'a plan::Database,
    look: &Look,
    step: &mut CopyStep,
    due: CopyMove,
) -> Option<Ask<'a>> {
    let about = database.id().0;
    let now = desk.now();
    let replica = &database.replica;
    match due {
        CopyMove::Create(copy) => {
            (step.instance, step.snapshot_asked_at) = (copy.to_string(), None);
            ledger.line(EntryKind::Action, &about, format!("makes {copy}, a disposable replica of {replica}"));
            Some(Ask { database, copy, what: What::Create { security_groups: look.security_groups() } })
        }
        CopyMove::Snapshot { copy, why } => {
            step.instance = copy.to_string();
            step.snapshot_asked_at.get_or_insert(now);
            let said = format!("takes the snapshot {copy} of {replica}, to restore the disposable copy from it: {why}");
            ledger.line(EntryKind::Action, &about, said);
            Some(Ask { database, copy, what: What::Snapshot })
        }
        CopyMove::SnapshotCluster(copy) => {
            step.instance = copy.to_string();
            step.snapshot_asked_at.get_or_insert(now);
            let said = format!("takes the snapshot {copy} of {replica}, to restore a cluster by itself from it: nothing else of it can be rehearsed");
            ledger.line(EntryKind::Action, &about, said);
            Some(Ask { database, copy, what: What::Snapshot })
        }
        CopyMove::Restore(copy) => {
            step.restore_asked_at.get_or_insert(now);
            ledger.line(EntryKind::Action, &about, format!("the snapshot is there: restores {copy} from it"));
            Some(Ask { database, copy, what: What::Restore })
        }
        CopyMove::AddInstance { copy, class } => {
            step.instance_asked_at.get_or_insert(now);
            ledger.line(EntryKind::Action, &about, format!("{copy} is there: gives it an instance of class {class}"));
            Some(Ask { database, copy, what: What::AddInstance { class } })
        }
        CopyMove::Created => {
            step.requested_at = Some(now);
            None
        }
        CopyMove::Available => {
            step.available_at = Some(now);
            step.endpoint = look.endpoint();
            ledger.line(EntryKind::Reached, &about, format!("{} is available", step.instance));
            desk.tell(format!("copy of database {} available", database.name));
            None
        }
        CopyMove::Promote(copy) => {
            step.promote_asked_at.get_or_insert(now);
            ledger.line(EntryKind::Action, &about, format!("promotes {copy}"));
            Some(Ask { database, copy, what: What::Promote })
        }
        CopyMove::Promoted => {
            step.endpoint = look.endpoint();
            step.promoted_at = Some(now);
            let copy = &step.instance;
            let unseen = if database.is_global() { "a takeover" } else { "its promotion" };
            let (said, done) = match step.is_restored() {
                false => (format!("{copy} is promoted; {replica} was not touched"), "promoted"),
                true => {
                    (format!("{copy} is restored from its snapshot; {replica} was not touched, and what {unseen} takes was not seen"), "restored")
                }
            };
            ledger.line(EntryKind::Reached, &about, said);
            desk.tell(format!("copy of database {} {done}", database.name));
            None
        }
    }
}

fn give_up<J: Journal>(ledger: &mut Ledger<'_, '_, J>, desk: &Desk<'_, J>, database: &plan::Database, step: CopyStep, why: &GivenUp) {
    ledger.line(EntryKind::Refusal, &database.id().0, why);
    ledger.progress.copies.insert(database.name.clone(), CopyStep { failed: Some(why.to_string()), ..step });
    desk.tell(format!("rehearsal of database {} given up", database.name));
}

/// The obligation to remove the copy; nothing where it is owed already.
fn owe<J: Journal>(view: &View, run: &Run, desk: &Desk<'_, J>, ask: &Ask<'_>) -> Result<Option<Write>, WorkError> {
    let deadline = run.opened_at.saturating_add(view.plan.drill.deadline).unwrap_or(run.opened_at);
    let name = ask.copy.to_string();
    let what = if ask.database.is_global() { Owed::Cluster { cluster: name } } else { Owed::Copy { instance: name } };
    let obligation = Obligation { run: run.id.clone(), what, made_at: desk.now(), deadline };
    let id = obligation.id();
    if view.snapshot.obligations.contains_key(&id) {
        return Ok(None);
    }
    put(view, Key::Obligation(id), &obligation).map(Some)
}

/// Writes down what became of it. What may succeed later is tried again until the rehearsal's last moment.
fn note<J: Journal>(ledger: &mut Ledger<'_, '_, J>, desk: &Desk<'_, J>, ask: Ask<'_>, answer: Result<(), CallError>) {
    let Ask { database, what, .. } = ask;
    let mut step = ledger.progress.copies.get(&database.name).cloned().unwrap_or_default();
    ledger.wait();
    match (what, answer) {
        (_, Err(error)) if error.passes() => ledger.line(EntryKind::Failure, &database.id().0, error),
        (_, Err(error)) => give_up(ledger, desk, database, step, &GivenUp::Refused { why: error.to_string() }),
        // Whether it is there is seen.
        (What::Snapshot | What::AddInstance { .. }, Ok(())) => {}
        (What::Create { .. } | What::Restore, Ok(())) => {
            step.requested_at = Some(desk.now());
            ledger.progress.copies.insert(database.name.clone(), step);
        }
        (What::Promote, Ok(())) => {
            step.promote_called_at = Some(desk.now());
            ledger.progress.copies.insert(database.name.clone(), step);
        }
    }
}
