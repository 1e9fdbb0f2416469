//! A drill: the promotion is rehearsed on a disposable copy of each replica, which is a replica of it or its snapshot restored. This file
//! has no [`ReplicaId`] but to read and to copy from.

use futures_util::future::join_all;
use relight::decide::Decision;
use relight::decide::promotion::{CopyMove, GivenUp, Rehearsal, rehearse};
use relight::decide::rotation::compare::is_awaited;
use relight::nudge::{Desk, Next, View, WorkError, put};
use relight::plan;
use relight::ports::{CallError, CopyId, CopyOf, CopySnapshot, Database, EntryKind, Instance, Journal, ReplicaId, SnapshotOf, Write, Written};
use relight::run::Run;
use relight::state::{CopyStep, Key, Obligation, Owed};

use crate::ledger::Ledger;

/// What is asked of AWS in this turn.
enum Ask<'a> {
    Create { database: &'a plan::Database, copy: CopyId, security_groups: Vec<String> },
    Snapshot { database: &'a plan::Database, copy: CopyId },
    Restore { database: &'a plan::Database, copy: CopyId },
    Promote { database: &'a plan::Database, copy: CopyId },
}

impl Ask<'_> {
    fn database(&self) -> &plan::Database {
        match self {
            Ask::Create { database, .. } | Ask::Snapshot { database, .. } | Ask::Restore { database, .. } | Ask::Promote { database, .. } => database,
        }
    }

    /// What there is to remove after it; nothing where it was there before.
    fn makes(&self) -> Option<&CopyId> {
        match self {
            Ask::Create { copy, .. } | Ask::Snapshot { copy, .. } | Ask::Restore { copy, .. } => Some(copy),
            Ask::Promote { .. } => None,
        }
    }
}

/// What was seen of one database.
#[derive(Default)]
struct Look {
    replica: Option<Instance>,
    copy: Option<Instance>,
    snapshot: Option<CopySnapshot>,
}

/// The replicas whose rehearsal has not ended.
pub(crate) fn due(view: &View) -> impl Iterator<Item = &plan::Database> {
    let copies = &view.snapshot.progress.promotion.copies;
    let replicas = view.plan.databases.iter().filter(|database| !database.is_global());
    replicas.filter(|database| copies.get(&database.name).is_none_or(|step| step.failed.is_none() && step.promoted_at.is_none()))
}

pub(crate) async fn turn<D: Database, J: Journal>(port: &D, view: &View, run: &Run, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
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
    for copy in asks.iter().filter_map(Ask::makes) {
        owed.extend(owe(view, run, desk, copy)?);
    }
    if asks.iter().any(|ask| ask.makes().is_some()) {
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

async fn look<D: Database>(port: &D, view: &View, run: &Run, database: &plan::Database) -> Result<Look, CallError> {
    let step = view.snapshot.progress.promotion.copies.get(&database.name);
    let id = CopyId::of(&view.plan.name, &run.id, &database.name);
    match step {
        None => Ok(Look { replica: port.replica(&ReplicaId::of(database)).await?, ..Look::default() }),
        Some(step) if step.requested_at.is_none() => {
            let replica = ReplicaId::of(database);
            let snapshot = async { if step.is_restored() { port.copy_snapshot(&id).await } else { Ok(None) } };
            let (replica, copy, snapshot) = tokio::join!(port.replica(&replica), port.copy(&id), snapshot);
            Ok(Look { replica: replica?, copy: copy?, snapshot: snapshot? })
        }
        Some(_) => Ok(Look { copy: port.copy(&id).await?, ..Look::default() }),
    }
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
    let rehearsal = Rehearsal {
        plan: &view.plan,
        run,
        database,
        step: &step,
        replica: look.replica.as_ref(),
        copy: look.copy.as_ref(),
        snapshot: look.snapshot,
        comparing: is_awaited(&view.plan, &view.snapshot, run, database, view.now),
        now: view.now,
    };
    match rehearse(&rehearsal) {
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
    match due {
        CopyMove::Create(copy) => {
            (step.instance, step.snapshot_asked_at) = (copy.to_string(), None);
            ledger.line(EntryKind::Action, &about, format!("makes {copy}, a disposable replica of {}", database.replica));
            let security_groups = look.replica.as_ref().map(|replica| replica.security_groups.clone()).unwrap_or_default();
            Some(Ask::Create { database, copy, security_groups })
        }
        CopyMove::Snapshot { copy, why } => {
            step.instance = copy.to_string();
            step.snapshot_asked_at.get_or_insert(now);
            let said = format!("takes the snapshot {copy} of {}, to restore the disposable copy from it: {why}", database.replica);
            ledger.line(EntryKind::Action, &about, said);
            Some(Ask::Snapshot { database, copy })
        }
        CopyMove::Restore(copy) => {
            step.restore_asked_at.get_or_insert(now);
            ledger.line(EntryKind::Action, &about, format!("the snapshot is there: restores {copy} from it"));
            Some(Ask::Restore { database, copy })
        }
        CopyMove::Created => {
            step.requested_at = Some(now);
            None
        }
        CopyMove::Available => {
            step.available_at = Some(now);
            step.endpoint = look.copy.as_ref().and_then(|copy| copy.endpoint.clone());
            ledger.line(EntryKind::Reached, &about, format!("{} is available", step.instance));
            desk.tell(format!("copy of database {} available", database.name));
            None
        }
        CopyMove::Promote(copy) => {
            step.promote_asked_at.get_or_insert(now);
            ledger.line(EntryKind::Action, &about, format!("promotes {copy}"));
            Some(Ask::Promote { database, copy })
        }
        CopyMove::Promoted => {
            step.endpoint = look.copy.as_ref().and_then(|copy| copy.endpoint.clone());
            step.promoted_at = Some(now);
            let (copy, replica) = (&step.instance, &database.replica);
            let (said, done) = match step.is_restored() {
                false => (format!("{copy} is promoted; {replica} was not touched"), "promoted"),
                true => (
                    format!("{copy} is restored from its snapshot; {replica} was not touched, and what its promotion takes was not seen"),
                    "restored",
                ),
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
fn owe<J: Journal>(view: &View, run: &Run, desk: &Desk<'_, J>, copy: &CopyId) -> Result<Option<Write>, WorkError> {
    let deadline = run.opened_at.saturating_add(view.plan.drill.deadline).unwrap_or(run.opened_at);
    let what = Owed::Copy { instance: copy.to_string() };
    let obligation = Obligation { run: run.id.clone(), what, made_at: desk.now(), deadline };
    let id = obligation.id();
    if view.snapshot.obligations.contains_key(&id) {
        return Ok(None);
    }
    put(view, Key::Obligation(id), &obligation).map(Some)
}

async fn act<'a, D: Database>(port: &D, view: &View, run: &Run, ask: Ask<'a>) -> (Ask<'a>, Result<(), CallError>) {
    let source = &ReplicaId::of(ask.database());
    let (plan, run) = (view.plan.name.as_str(), &run.id);
    let answer = match &ask {
        Ask::Create { copy, security_groups, .. } => port.create_copy(copy, &CopyOf { source, security_groups, plan, run }).await,
        Ask::Snapshot { copy, .. } => port.snapshot_for_copy(copy, &SnapshotOf { source, plan, run }).await,
        Ask::Restore { copy, .. } => port.restore_copy(copy, &SnapshotOf { source, plan, run }).await,
        Ask::Promote { copy, .. } => port.promote_copy(copy).await,
    };
    (ask, answer)
}

/// Writes down what became of it. What may succeed later is tried again until the rehearsal's last moment.
fn note<J: Journal>(ledger: &mut Ledger<'_, '_, J>, desk: &Desk<'_, J>, ask: Ask<'_>, answer: Result<(), CallError>) {
    let database = ask.database();
    let mut step = ledger.progress.copies.get(&database.name).cloned().unwrap_or_default();
    ledger.wait();
    match (&ask, answer) {
        (_, Err(error)) if error.passes() => ledger.line(EntryKind::Failure, &database.id().0, error),
        (_, Err(error)) => give_up(ledger, desk, database, step, &GivenUp::Refused { why: error.to_string() }),
        // Whether it is there is seen.
        (Ask::Snapshot { .. }, Ok(())) => {}
        (Ask::Create { .. } | Ask::Restore { .. }, Ok(())) => {
            step.requested_at = Some(desk.now());
            ledger.progress.copies.insert(database.name.clone(), step);
        }
        (Ask::Promote { .. }, Ok(())) => {
            step.promote_called_at = Some(desk.now());
            ledger.progress.copies.insert(database.name.clone(), step);
        }
    }
}
