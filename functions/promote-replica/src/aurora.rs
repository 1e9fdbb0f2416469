//! Clusters of Aurora global databases, beside the replicas: judged in Confirmed, made the writer in Activating.
//!
//! ```text
//! clear      global cluster, standby's cluster, lag ─► cleared or refused
//! activate   (no instance ─► one asked for ─►) attempt recorded ─► switchover or failover ─► followed ─► the writer
//! ```

use futures_util::future::join_all;
use jiff::SignedDuration;
use relight::decide::promotion::{GlobalStep, Standing, clear_global, take_over};
use relight::decide::{Decision, lag};
use relight::nudge::{Desk, View};
use relight::plan::{self, Plan};
use relight::ports::{AddedInstance, CallError, Cluster, EntryKind, GlobalCluster, GlobalClusters, GlobalId, Journal, StandbyCluster, Takeover, Why};
use relight::run::Run;
use relight::state::{DatabaseStep, FrozenLag, PromotionProgress};

use crate::clear::{renew, withdraw};
use crate::ledger::Ledger;

/// For so long a metric that cannot be read is asked for again; after it the lag is unknown.
const UNREADABLE_FOR: SignedDuration = SignedDuration::from_mins(2);

/// What stands of one cluster.
pub(crate) struct Look {
    global: Option<GlobalCluster>,
    cluster: Option<Cluster>,
}

/// And how far it was behind: measured, or frozen before.
pub(crate) struct Judged {
    look: Look,
    lag: Result<FrozenLag, CallError>,
}

/// What is asked of AWS in this turn, of one cluster.
pub(crate) struct Ask<'a> {
    database: &'a plan::Database,
    what: What,
}

enum What {
    AddInstance { class: String },
    TakeOver { how: Takeover },
}

/// The clusters that are not writers yet.
pub(crate) fn due(view: &View) -> impl Iterator<Item = &plan::Database> {
    let steps = &view.snapshot.progress.promotion.databases;
    let taken = |database: &plan::Database| steps.get(&database.name).is_some_and(|step| step.promoted_at.is_some());
    view.plan.databases.iter().filter(move |database| database.is_global() && !taken(database))
}

/// The clusters that were seen to take over in this turn, and how; by somebody else's hand rows may have been lost.
pub(crate) fn taken(view: &View, progress: &PromotionProgress) -> Vec<(String, Takeover)> {
    let how = |database: &plan::Database| {
        let step = progress.databases.get(&database.name).filter(|step| step.promoted_at.is_some())?;
        Some((database.name.clone(), step.takeover.unwrap_or(Takeover::FailoverLosingRows)))
    };
    due(view).filter_map(how).collect()
}

pub(crate) async fn looks<'a, D: GlobalClusters>(port: &D, view: &'a View) -> Vec<(&'a plan::Database, Result<Look, CallError>)> {
    join_all(due(view).map(async |database| (database, look(port, &view.plan, database).await))).await
}

async fn look<D: GlobalClusters>(port: &D, plan: &Plan, database: &plan::Database) -> Result<Look, CallError> {
    let (global, cluster) = (GlobalId::of(plan, database), StandbyCluster::of(plan, database));
    let (global, cluster) = tokio::join!(port.global_cluster(&global), port.cluster(&cluster));
    Ok(Look { global: global?, cluster: cluster? })
}

pub(crate) async fn look_and_measure<D: GlobalClusters>(port: &D, view: &View, run: &Run, database: &plan::Database) -> Result<Judged, CallError> {
    let (look, lag) = tokio::join!(look(port, &view.plan, database), measure(port, view, run, database));
    Ok(Judged { look: look?, lag })
}

/// Judged once a suspicion, as a replica's is.
async fn measure<D: GlobalClusters>(port: &D, view: &View, run: &Run, database: &plan::Database) -> Result<FrozenLag, CallError> {
    let first_down = run.first_down.unwrap_or(run.opened_at);
    let confirmed_at = run.confirmed_at.unwrap_or(run.phase_since);
    let step = view.snapshot.progress.promotion.databases.get(&database.name);
    if let Some(frozen) = step.and_then(|step| step.lag.as_ref()).filter(|lag| lag.first_down == Some(first_down)) {
        return Ok(frozen.clone());
    }
    let (from, to) = lag::window(first_down, confirmed_at);
    let lag = port.cluster_lag(&StandbyCluster::of(&view.plan, database), from, to).await?;
    Ok(lag::measure_by(&lag.metric, &lag.samples, first_down, confirmed_at))
}

/// Writes down what speaks for or against one cluster; says whether a person must speak.
pub(crate) fn judge<J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    view: &View,
    run: &Run,
    database: &plan::Database,
    seen: Result<Judged, CallError>,
) -> bool {
    let about = database.id().0;
    let before = ledger.progress.databases.get(&database.name).cloned().unwrap_or_default();
    let mut step = before.clone();
    let (kind, said, refused) = match seen {
        // What was cleared before still counts for its minute; it is just not renewed.
        Err(error) => (EntryKind::Failure, error.to_string(), false),
        Ok(Judged { look, lag }) => match known(view, run, database, lag) {
            Err(error) => {
                let said = format!("{error}; `accept-loss` fails over without knowing the lag");
                withdraw(&mut step, &said);
                (EntryKind::Failure, said, false)
            }
            Ok(lag) => {
                // What could not be read is asked for again.
                step.lag = lag.first_down.is_some().then(|| lag.clone());
                match clear_global(&standing(view, run, database, &before, &look), &lag) {
                    Decision::Act(cleared) => {
                        renew(&mut step, view);
                        (EntryKind::Reached, cleared.iter().map(ToString::to_string).collect(), false)
                    }
                    Decision::Wait(waiting) => {
                        withdraw(&mut step, &waiting.to_string());
                        (EntryKind::Waiting, waiting.to_string(), false)
                    }
                    Decision::Refuse(refusal) => {
                        withdraw(&mut step, &refusal.to_string());
                        (EntryKind::Refusal, refusal.to_string(), true)
                    }
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

/// The lag to judge, as of a replica: a metric that cannot be read is asked for again for a while, and never frozen.
fn known(view: &View, run: &Run, database: &plan::Database, lag: Result<FrozenLag, CallError>) -> Result<FrozenLag, CallError> {
    match lag {
        Ok(lag) => Ok(lag),
        Err(error) if run.words.accept_loss.is_some() || view.now.duration_since(run.phase_since) > UNREADABLE_FOR => {
            Ok(FrozenLag { source: format!("the lag of {} cannot be read, {error}", database.replica), ..FrozenLag::default() })
        }
        Err(error) => Err(error),
    }
}

fn standing<'a>(view: &'a View, run: &'a Run, database: &'a plan::Database, step: &'a DatabaseStep, look: &'a Look) -> Standing<'a> {
    Standing {
        plan: &view.plan,
        snapshot: &view.snapshot,
        run,
        database,
        step,
        global: look.global.as_ref(),
        cluster: look.cluster.as_ref(),
        now: view.now,
    }
}

/// The next step of one cluster: what was seen is written down, what is to be done is asked for.
pub(crate) fn decide<'a, J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    view: &View,
    run: &Run,
    desk: &Desk<'_, J>,
    database: &'a plan::Database,
    seen: Result<Look, CallError>,
) -> Vec<Ask<'a>> {
    let about = database.id().0;
    let look = match seen {
        Ok(look) => look,
        Err(error) => {
            ledger.line(EntryKind::Failure, &about, error);
            ledger.wait();
            return Vec::new();
        }
    };
    let before = ledger.progress.databases.get(&database.name).cloned().unwrap_or_default();
    match take_over(&standing(view, run, database, &before, &look)) {
        Decision::Act(steps) => {
            let mut step = before;
            let asks = steps.into_iter().filter_map(|due| take(ledger, desk, database, &look, &mut step, due)).collect();
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

fn take<'a, J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    desk: &Desk<'_, J>,
    database: &'a plan::Database,
    look: &Look,
    step: &mut DatabaseStep,
    due: GlobalStep,
) -> Option<Ask<'a>> {
    let about = database.id().0;
    let (cluster, global, now) = (&database.replica, database.global_cluster.as_deref().unwrap_or_default(), desk.now());
    match due {
        GlobalStep::AddInstance { class, again } => {
            step.instance_asked_at = Some(now);
            let why =
                if again { "again: the call before it got no answer, and there is still none" } else { "first: without one it cannot take over" };
            ledger.line(EntryKind::Action, &about, format!("gives {cluster} an instance of class {class} {why}"));
            Some(Ask { database, what: What::AddInstance { class } })
        }
        GlobalStep::TakeOver { how, again } => {
            (step.takeover, step.promote_attempt_at, step.promote_called_at) = (Some(how), Some(now), None);
            let why = if again { ", again: the call before it got no answer, and nothing has moved since" } else { "" };
            ledger.line(EntryKind::Action, &about, format!("makes {cluster} the writer of {global} by a {how}{why}"));
            Some(Ask { database, what: What::TakeOver { how } })
        }
        GlobalStep::TookOver { detached } => {
            took_over(ledger, desk, database, look, step, detached);
            None
        }
    }
}

fn took_over<J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    desk: &Desk<'_, J>,
    database: &plan::Database,
    look: &Look,
    step: &mut DatabaseStep,
    detached: bool,
) {
    let about = database.id().0;
    let (cluster, global, now) = (&database.replica, database.global_cluster.as_deref().unwrap_or_default(), desk.now());
    let seen = look.cluster.as_ref();
    step.endpoint = seen.and_then(|cluster| cluster.endpoint.clone());
    // Clusters have their backups whoever writes: there is nothing to turn on.
    (step.promoted_at, step.backups_on_at) = (Some(now), Some(now));
    let by_hand = if step.promote_attempt_at.is_none() { ", by somebody else" } else { "" };
    let said = match detached {
        true => format!("{cluster} takes writes by itself: it was detached from {global} by hand"),
        false => format!("{cluster} is the writer of {global}{by_hand}: nothing moves, it has an available instance"),
    };
    ledger.line(EntryKind::Reached, &about, said);
    if step.takeover == Some(Takeover::Switchover) && !detached {
        step.lag = Some(FrozenLag {
            seconds: Some(0.0),
            sampled_at: Some(now),
            source: "a switchover waits until every row has arrived".to_owned(),
            first_down: step.lag.as_ref().and_then(|lag| lag.first_down),
            asked: false,
        });
    }
    let days = seen.map_or(0, |cluster| cluster.backup_retention);
    ledger.line(EntryKind::Reached, &about, format!("backups of {cluster} are on, kept for {days} days, as before"));
    desk.tell(format!("database {} promoted", database.name));
}

pub(crate) async fn act<'a, D: GlobalClusters>(port: &D, plan: &Plan, ask: Ask<'a>) -> (Ask<'a>, Result<(), CallError>) {
    let (global, cluster) = (GlobalId::of(plan, ask.database), StandbyCluster::of(plan, ask.database));
    let answer = match &ask.what {
        What::AddInstance { class } => port.add_instance(&AddedInstance { cluster: &cluster, class, plan: &plan.name }).await,
        What::TakeOver { how } => port.take_over(&global, &cluster, *how).await,
    };
    (ask, answer)
}

/// Writes down what became of it. A failure is no end: the state decides, at the next look.
pub(crate) fn note<J: Journal>(ledger: &mut Ledger<'_, '_, J>, desk: &Desk<'_, J>, ask: &Ask<'_>, answer: Result<(), CallError>) {
    ledger.wait();
    let Some(step) = ledger.progress.databases.get_mut(&ask.database.name) else { return };
    match (&ask.what, &answer) {
        (What::TakeOver { .. }, Ok(())) => step.promote_called_at = Some(desk.now()),
        // Known not to be done: it need not lie untouched for a minute before it is sent again.
        (What::TakeOver { .. }, Err(CallError { why: Why::Throttled, .. })) => step.promote_attempt_at = None,
        (What::AddInstance { .. }, Err(CallError { why: Why::Throttled, .. })) => step.instance_asked_at = None,
        _ => {}
    }
    if let Err(error) = answer {
        ledger.line(EntryKind::Failure, &ask.database.id().0, error);
    }
}
