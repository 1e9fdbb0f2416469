//! Activating, and after it while a class is due: each database to its end, side by side.

use futures_util::future::{join, join_all};
use relight::decide::Decision;
use relight::decide::promotion::{Activation, PromotionStep, activate};
use relight::nudge::{Desk, Next, View, WorkError, put};
use relight::plan;
use relight::ports::{CallError, Database, EntryKind, GlobalClusters, Instance, InstanceChange, Journal, ReplicaId, Why, Write, Written};
use relight::run::Run;
use relight::state::{DatabaseStep, Key, ReplicaShape};

use crate::aurora;
use crate::ledger::Ledger;

/// What is asked of AWS in this turn.
enum Ask<'a> {
    /// `was`: the replica before it.
    Promote {
        database: &'a plan::Database,
        retention: u32,
        was: Option<ReplicaShape>,
    },
    Modify {
        database: &'a plan::Database,
        change: InstanceChange,
    },
}

/// The replicas that are not at their end.
pub(crate) fn due(view: &View) -> impl Iterator<Item = &plan::Database> {
    view.plan.databases.iter().filter(|database| !database.is_global()).filter(|database| {
        match view.snapshot.progress.promotion.databases.get(&database.name) {
            Some(step) => step.backups_on_at.is_none() || (database.instance_class.is_some() && step.class_changed_at.is_none()),
            None => true,
        }
    })
}

pub(crate) async fn turn<D: Database + GlobalClusters, J: Journal>(port: &D, view: &View, run: &Run, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
    let looks = join_all(due(view).map(async |database| (database, port.replica(&ReplicaId::of(database)).await)));
    let (looks, clusters) = join(looks, aurora::looks(port, view)).await;

    let mut ledger = Ledger::open(view, desk);
    let taken: Vec<aurora::Ask<'_>> =
        clusters.into_iter().flat_map(|(database, look)| aurora::decide(&mut ledger, view, run, desk, database, look)).collect();
    let mut asks = Vec::new();
    for (database, look) in looks {
        asks.extend(decide(&mut ledger, view, run, desk, database, look));
    }

    // Recorded before it is asked: from here on an answer may be lost.
    let promotes = asks.iter().any(|ask| matches!(ask, Ask::Promote { .. }));
    let mut guard = Vec::new();
    if promotes || !taken.is_empty() {
        guard.push(ledger.unless_the_run_changed()?);
    }
    guard.extend(remember(view, &asks, &ledger)?);
    if ledger.record(guard).await? == Written::Lost {
        return Ok(Next::Again);
    }

    let answers = join_all(asks.into_iter().map(async |ask| act(port, ask).await));
    let taken = join_all(taken.into_iter().map(async |ask| aurora::act(port, &view.plan, ask).await));
    let (answers, taken) = join(answers, taken).await;
    let changed = answers.iter().any(|(ask, _)| matches!(ask, Ask::Modify { .. }));
    for (ask, answer) in answers {
        note(&mut ledger, desk, ask, answer);
    }
    for (ask, answer) in taken {
        aurora::note(&mut ledger, desk, &ask, answer);
    }
    ledger.record(Vec::new()).await?;
    // A change shows in the state only a moment later: looking at once would ask for it twice.
    Ok(if changed { Next::Poll } else { ledger.next() })
}

/// What the replicas were, for the way home: a promotion changes their backups and later their class. The first attempt knows
/// it; a later one may see what the first has begun.
fn remember<J: Journal>(view: &View, asks: &[Ask<'_>], ledger: &Ledger<'_, '_, J>) -> Result<Option<Write>, WorkError> {
    let mut memory = view.snapshot.memory.clone();
    for ask in asks {
        if let Ask::Promote { database, was: Some(was), .. } = ask {
            memory.replicas.entry(database.name.clone()).or_insert_with(|| was.clone());
        }
    }
    for (name, takeover) in aurora::taken(view, &ledger.progress) {
        memory.takeovers.insert(name, takeover);
    }
    (memory != view.snapshot.memory).then(|| put(view, Key::Memory, &memory)).transpose()
}

fn decide<'a, J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    view: &View,
    run: &Run,
    desk: &Desk<'_, J>,
    database: &'a plan::Database,
    look: Result<Option<Instance>, CallError>,
) -> Vec<Ask<'a>> {
    let about = database.id().0;
    let replica = match look {
        Ok(replica) => replica,
        Err(error) => {
            ledger.line(EntryKind::Failure, &about, error);
            ledger.wait();
            return Vec::new();
        }
    };
    let mut step = ledger.progress.databases.get(&database.name).cloned().unwrap_or_default();
    let activation = Activation { plan: &view.plan, snapshot: &view.snapshot, run, database, step: &step, replica: replica.as_ref(), now: view.now };
    match activate(&activation) {
        Decision::Act(steps) => {
            let asks = steps.into_iter().filter_map(|due| take(ledger, desk, database, replica.as_ref(), &mut step, due)).collect();
            ledger.progress.databases.insert(database.name.clone(), step);
            asks
        }
        Decision::Wait(waiting) => {
            ledger.line(EntryKind::Waiting, &about, &waiting);
            if waiting.passes_soon() {
                ledger.wait();
            }
            Vec::new()
        }
        Decision::Refuse(refusal) => {
            ledger.line(EntryKind::Refusal, &about, refusal);
            Vec::new()
        }
        Decision::Done => Vec::new(),
    }
}

/// Takes one step: what was seen is written down, what is to be done is asked for.
fn take<'a, J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    desk: &Desk<'_, J>,
    database: &'a plan::Database,
    replica: Option<&Instance>,
    step: &mut DatabaseStep,
    due: PromotionStep,
) -> Option<Ask<'a>> {
    let about = database.id().0;
    let (name, now) = (&database.replica, desk.now());
    match due {
        PromotionStep::Promote { retention, again } => {
            step.promote_attempt_at = Some(now);
            let said = match again {
                false => format!("promotes {name}, with backups kept for {retention} days"),
                true => format!("promotes {name} again: the call before it got no answer, and the replica is untouched since"),
            };
            ledger.line(EntryKind::Action, &about, said);
            let was = replica.map(|replica| ReplicaShape { class: replica.class.clone(), backup_retention: replica.backup_retention });
            Some(Ask::Promote { database, retention, was })
        }
        PromotionStep::Promoted => {
            step.endpoint = replica.and_then(|replica| replica.endpoint.clone());
            step.promoted_at = Some(now);
            let by_hand = if step.promote_attempt_at.is_none() { ", by somebody else" } else { "" };
            ledger.line(EntryKind::Reached, &about, format!("{name} is promoted{by_hand}: available, without a source, replicating nothing"));
            desk.tell(format!("database {} promoted", database.name));
            None
        }
        PromotionStep::BackupsOn => {
            step.backups_on_at = Some(now);
            let days = replica.map_or(0, |replica| replica.backup_retention);
            ledger.line(EntryKind::Reached, &about, format!("backups of {name} are on, kept for {days} days"));
            None
        }
        PromotionStep::ClassChanged => {
            step.class_changed_at = Some(now);
            let class = replica.map_or("", |replica| replica.class.as_str());
            ledger.line(EntryKind::Reached, &about, format!("{name} is of class {class}"));
            None
        }
        PromotionStep::TurnBackupsOn(days) => Some(Ask::Modify { database, change: InstanceChange::Backups(days) }),
        PromotionStep::ChangeClass(class) => Some(Ask::Modify { database, change: InstanceChange::Class(class) }),
    }
}

async fn act<'a, D: Database>(port: &D, ask: Ask<'a>) -> (Ask<'a>, Result<(), CallError>) {
    let answer = match &ask {
        Ask::Promote { database, retention, .. } => port.promote(&ReplicaId::of(database), *retention).await,
        Ask::Modify { database, change } => port.modify(&ReplicaId::of(database), change).await,
    };
    (ask, answer)
}

/// Writes down what became of it. A failure is no end: the state decides, at the next look.
fn note<J: Journal>(ledger: &mut Ledger<'_, '_, J>, desk: &Desk<'_, J>, ask: Ask<'_>, answer: Result<(), CallError>) {
    let (Ask::Promote { database, .. } | Ask::Modify { database, .. }) = &ask;
    let about = database.id().0;
    ledger.wait();
    match (&ask, answer) {
        (Ask::Promote { .. }, Err(CallError { operation, why: Why::Throttled })) => {
            // Known not to be done, so no attempt: it need not lie untouched for a minute before it is sent again.
            if let Some(step) = ledger.progress.databases.get_mut(&database.name) {
                step.promote_attempt_at = None;
            }
            ledger.line(EntryKind::Failure, &about, CallError::new(operation, Why::Throttled));
        }
        (_, Err(error)) => ledger.line(EntryKind::Failure, &about, error),
        (Ask::Promote { .. }, Ok(())) => {
            if let Some(step) = ledger.progress.databases.get_mut(&database.name) {
                step.promote_called_at = Some(desk.now());
            }
        }
        (Ask::Modify { change: InstanceChange::Backups(days), .. }, Ok(())) => {
            ledger.line(EntryKind::Action, &about, format!("turned the backups of {} on, kept for {days} days", database.replica));
        }
        (Ask::Modify { change: InstanceChange::Class(class), .. }, Ok(())) => {
            ledger.line(EntryKind::Action, &about, format!("changes {} to class {class}; it restarts once", database.replica));
        }
    }
}
