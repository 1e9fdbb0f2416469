//! Confirmed: every veto is judged, again and again, until the point of no return or the way back.

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use relight::decide::lag::{Asking, LagVerdict};
use relight::decide::promotion::{Candidate, clear};
use relight::decide::rotation::replica::word;
use relight::decide::{Decision, lag};
use relight::nudge::{Desk, Next, View, WorkError};
use relight::plan;
use relight::ports::{CallError, Database, EntryKind, GlobalClusters, Instance, Journal, ReplicaId, Written};
use relight::run::Run;
use relight::state::{DatabaseStep, FrozenLag};

use crate::aurora;
use crate::ledger::Ledger;

/// A clearance counts for a minute; it is renewed well before.
const RENEWED_AFTER: SignedDuration = SignedDuration::from_secs(20);
/// For so long a metric that cannot be read is asked for again; after it the lag is unknown.
const UNREADABLE_FOR: SignedDuration = SignedDuration::from_mins(2);

pub(crate) async fn turn<D: Database + GlobalClusters, J: Journal>(port: &D, view: &View, run: &Run, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
    let (clusters, replicas): (Vec<_>, Vec<_>) = view.plan.databases.iter().partition(|database| database.is_global());
    let looks = join_all(replicas.iter().map(|database| look(port, view, run, database)));
    let clusters_seen = join_all(clusters.iter().map(|database| aurora::look_and_measure(port, view, run, database)));
    let (looks, clusters_seen) = tokio::join!(looks, clusters_seen);

    let mut ledger = Ledger::open(view, desk);
    let mut refused = false;
    for (database, look) in replicas.into_iter().zip(looks) {
        refused |= judge(&mut ledger, view, run, database, look);
    }
    for (database, seen) in clusters.into_iter().zip(clusters_seen) {
        refused |= aurora::judge(&mut ledger, view, run, database, seen);
    }

    if ledger.record(Vec::new()).await? == Written::Lost {
        return Ok(Next::Again);
    }
    // Where one is refused the others need not be kept fresh: a person must speak first, and the tick looks again.
    if !refused {
        ledger.wait();
    }
    Ok(ledger.next())
}

/// What was seen of one database.
struct Look {
    replica: Option<Instance>,
    /// Measured, or frozen before.
    lag: Result<FrozenLag, Unmeasured>,
}

/// Why there is nothing to judge yet.
enum Unmeasured {
    Unread(CallError),
    /// The replica's own word must come first.
    Asking(Asking),
}

async fn look<D: Database>(port: &D, view: &View, run: &Run, database: &plan::Database) -> Result<Look, CallError> {
    let replica = ReplicaId::of(database);
    let (instance, lag) = tokio::join!(port.replica(&replica), measure(port, view, run, database, &replica));
    Ok(Look { replica: instance?, lag })
}

/// Judged once a suspicion, and once more when the replica itself has been asked: by the time that nobody has decided yet, later samples
/// would only tell of the outage.
async fn measure<D: Database>(port: &D, view: &View, run: &Run, database: &plan::Database, replica: &ReplicaId) -> Result<FrozenLag, Unmeasured> {
    let first_down = run.first_down.unwrap_or(run.opened_at);
    let confirmed_at = run.confirmed_at.unwrap_or(run.phase_since);
    let word = word(&view.snapshot, run, &database.name);
    let reached = word.and_then(|word| word.reached.as_ref());
    let step = view.snapshot.progress.promotion.databases.get(&database.name);
    let frozen = step.and_then(|step| step.lag.as_ref()).filter(|lag| lag.first_down == Some(first_down));
    if let Some(frozen) = frozen.filter(|lag| lag.asked || reached.is_none()) {
        return Ok(frozen.clone());
    }
    let (from, to) = lag::window(first_down, confirmed_at);
    let weighed = |metric: FrozenLag| match reached {
        Some(reached) => lag::weigh(metric, replica.as_str(), reached, database.heartbeat.is_some(), first_down, confirmed_at),
        None => metric,
    };
    match port.lag_samples(replica, from, to).await {
        Ok(samples) => {
            let metric = lag::measure(database, &samples, first_down, confirmed_at);
            let since = view.now.duration_since(run.phase_since);
            let asking = lag::asking(&view.plan, database, &metric, word.is_some(), since).filter(|_| reached.is_none());
            asking.map_or_else(|| Ok(weighed(metric)), |asking| Err(Unmeasured::Asking(asking)))
        }
        // The metric may be smaller, so that the replica's word alone lets through and never refuses.
        Err(error) => {
            let alone = weighed(unread(database, &error, Some(first_down)));
            let within = matches!(lag::judge(&database.name, &alone, view.plan.objectives.rpo), LagVerdict::WithinRpo(_));
            if within { Ok(alone) } else { Err(Unmeasured::Unread(error)) }
        }
    }
}

fn unread(database: &plan::Database, error: &CallError, first_down: Option<Timestamp>) -> FrozenLag {
    FrozenLag { source: format!("AWS/RDS ReplicaLag of {} cannot be read, {error}", database.replica), first_down, ..FrozenLag::default() }
}

/// Writes down what speaks for or against one database; says whether a person must speak.
fn judge<J: Journal>(ledger: &mut Ledger<'_, '_, J>, view: &View, run: &Run, database: &plan::Database, look: Result<Look, CallError>) -> bool {
    let about = database.id().0;
    let before = ledger.progress.databases.get(&database.name).cloned().unwrap_or_default();
    let mut step = before.clone();
    let (kind, said, refused) = match look {
        // What was cleared before still counts for its minute; it is just not renewed.
        Err(error) => (EntryKind::Failure, error.to_string(), false),
        Ok(Look { replica, lag }) => match known(view, run, database, lag, &mut step) {
            Err(Unmeasured::Asking(asking)) => (EntryKind::Waiting, asking.to_string(), false),
            Err(Unmeasured::Unread(error)) => {
                let said = format!("{error}; `accept-loss` promotes it without knowing the lag");
                withdraw(&mut step, &said);
                (EntryKind::Failure, said, false)
            }
            Ok(lag) => {
                let decision = clear(&Candidate { plan: &view.plan, run, database, lag: &lag, replica: replica.as_ref() });
                if let Some(why) = decision.why_not() {
                    withdraw(&mut step, &why);
                }
                match decision {
                    Decision::Act(cleared) => {
                        renew(&mut step, view);
                        (EntryKind::Reached, cleared.iter().map(ToString::to_string).collect(), false)
                    }
                    Decision::Wait(busy) => (EntryKind::Waiting, busy.to_string(), false),
                    Decision::Refuse(refusal) => (EntryKind::Refusal, refusal.to_string(), true),
                    Decision::Done => return false,
                }
            }
        },
    };
    let renewed = kind == EntryKind::Reached && before.cleared_at.is_some() && before.refused.is_none() && before.lag == step.lag;
    if !renewed {
        ledger.line(kind, &about, said);
    }
    ledger.progress.databases.insert(database.name.clone(), step);
    refused
}

/// The lag to judge. A metric that can't be read is no sample that is missing: it is asked for again for a while, and not
/// frozen, unless the operator accepts whatever it is.
fn known(
    view: &View,
    run: &Run,
    database: &plan::Database,
    lag: Result<FrozenLag, Unmeasured>,
    step: &mut DatabaseStep,
) -> Result<FrozenLag, Unmeasured> {
    match lag {
        Ok(lag) => {
            step.lag = Some(lag.clone());
            Ok(lag)
        }
        Err(Unmeasured::Unread(error)) if run.words.accept_loss.is_some() || view.now.duration_since(run.phase_since) > UNREADABLE_FOR => {
            Ok(unread(database, &error, None))
        }
        Err(why) => Err(why),
    }
}

pub(crate) fn renew(step: &mut DatabaseStep, view: &View) {
    step.refused = None;
    if step.cleared_at.is_none_or(|at| view.now.duration_since(at) >= RENEWED_AFTER) {
        step.cleared_at = Some(view.now);
    }
}

pub(crate) fn withdraw(step: &mut DatabaseStep, why: &str) {
    step.cleared_at = None;
    step.refused = Some(why.to_owned());
}
