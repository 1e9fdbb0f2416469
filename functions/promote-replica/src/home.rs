//! A failback: the instances of both Regions, each to its next step, databases side by side.
//!
//! ```text
//! Preparing, Synchronised, Switching   in the primary Region; the writer that serves is only replicated from
//! Restoring                            backups at home, then the standby
//! ```
//! Every look into the primary Region that gets no answer is written down: it is what tells that the Region fails.

use futures_util::future::{join, join_all};
use jiff::{SignedDuration, Timestamp};
use relight::advance::home::{attempted, rebuilds};
use relight::decide::Decision;
use relight::decide::promotion::home::{HomeDue, HomeMove, Homecoming, look, prepare, restore, switch};
use relight::nudge::{Desk, Next, View, WorkError, put};
use relight::plan::{self, Plan};
use relight::ports::{
    CallError, Database, EntryKind, Fenced, GlobalClusters, HomeId, HomeOf, Instance, InstanceChange, Journal, LeftId, PrimaryId, Proxy, ProxyId,
    RebuiltOf, ReplicaId, Snapshotted, Why, Write, Written,
};
use relight::run::{Mode, Phase, Run};
use relight::state::{HomeStep, Key, Memory, Place, RestartStep};

use crate::aurora_home;
use crate::ledger::Ledger;

/// Well before a look no longer counts, and not with every turn.
const RENEWED_AFTER: SignedDuration = SignedDuration::from_secs(20);

/// What is asked of AWS in this turn.
enum Ask {
    Fence { group: String },
    Snapshot(LeftId),
    SetAside(LeftId),
    Build { like: Option<LeftId> },
    Promote { retention: u32 },
    ModifyHome(InstanceChange),
    RestartHome,
    FreeProxy(ProxyId),
    Rebuild { like: LeftId },
    ModifyReplica(InstanceChange),
    RestartReplica,
}

/// What stands under which name.
#[derive(Default)]
struct Seen {
    home: Option<Instance>,
    left: Option<Instance>,
    standby: Option<Instance>,
    proxy: Option<Proxy>,
}

/// Whether the part has anything to do.
pub(crate) fn wanted(view: &View) -> bool {
    let preparing = matches!(view.phase(), Some((Mode::Failback, Phase::Preparing | Phase::Synchronised | Phase::Switching)));
    !view.plan.databases.is_empty() && (preparing || rebuilds(&view.snapshot))
}

pub(crate) async fn turn<D: Database + GlobalClusters, J: Journal>(port: &D, view: &View, run: &Run, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
    let instances = view.plan.databases.iter().filter(|database| !database.is_global());
    let looks = join_all(instances.map(async |database| (database, see(port, view, run, database).await)));
    let (looks, clusters) = join(looks, aurora_home::looks(port, view)).await;

    let mut ledger = Ledger::open(view, desk);
    let mut memory = view.snapshot.memory.clone();
    let mut asks = Vec::new();
    for (database, seen) in looks {
        asks.extend(decide(&mut ledger, &mut memory, view, run, desk, database, seen));
    }

    let decided = clusters.into_iter().filter_map(|(database, seen)| {
        let ask = aurora_home::decide(&mut ledger, view, run, desk, database, seen)?;
        Some((database, ask))
    });
    let going: Vec<(&plan::Database, aurora_home::Ask)> = decided.collect();

    let mut changes: Vec<Write> = Vec::new();
    if memory != view.snapshot.memory {
        changes.push(put(view, Key::Memory, &memory)?);
    }
    // Recorded before it is asked, and only while nobody changed the run: an abort must meet the record of an attempt, and
    // what was given up must not go on. A snapshot harms nobody, and is asked for again until it is there.
    let switches = going.iter().any(|(_, ask)| matches!(ask, aurora_home::Ask::SwitchHome));
    if switches || asks.iter().any(|(_, ask)| !matches!(ask, Ask::Snapshot(_))) {
        changes.push(ledger.unless_the_run_changed()?);
    }
    if ledger.record(changes).await? == Written::Lost {
        return Ok(Next::Again);
    }

    let answers = join_all(asks.into_iter().map(async |(database, ask)| act(port, view, run, database, ask).await));
    let gone = join_all(going.into_iter().map(async |asked| aurora_home::act(port, &view.plan, asked).await));
    let (answers, gone) = join(answers, gone).await;
    let changed = !answers.is_empty() || !gone.is_empty();
    for (database, ask, answer) in gone {
        aurora_home::note(&mut ledger, desk, database, &ask, answer);
    }
    for (database, ask, answer) in answers {
        note(&mut ledger, desk, database, ask, answer);
    }
    ledger.record(Vec::new()).await?;
    Ok(match ledger.next() {
        // A change shows in the state only a moment later: looking at once would ask for it twice.
        _ if changed => Next::Poll,
        // Hours of replicating are the ticks' to watch over.
        Next::Poll if !urgent(view) => Next::Idle,
        next => next,
    })
}

/// Whether others wait for each step of it.
fn urgent(view: &View) -> bool {
    matches!(view.phase(), Some((Mode::Failback, Phase::Switching)))
}

async fn see<D: Database>(port: &D, view: &View, run: &Run, database: &plan::Database) -> Result<Seen, CallError> {
    let step = view.snapshot.progress.promotion.home.get(&database.name).cloned().unwrap_or_default();
    let home_id = HomeId::of(&view.plan, database);
    if rebuilds(&view.snapshot) {
        if step.backups_on_at.is_none() {
            return Ok(Seen { home: port.home(&home_id).await?, ..Seen::default() });
        }
        if step.replica_ready_at.is_some() {
            return Ok(Seen::default());
        }
        let (left, replica) = (LeftId::of_standby(&view.plan, database, &run.id), ReplicaId::of(database));
        let proxy = ProxyId::of(database).filter(|_| step.standby_left_at.is_none() && step.proxy_freed_at.is_none());
        let (left, standby, proxy) = tokio::join!(port.left(&left), port.replica(&replica), async {
            match &proxy {
                Some(proxy) => port.proxy(proxy).await,
                None => Ok(None),
            }
        });
        return Ok(Seen { left: left?, standby: standby?, proxy: proxy?, ..Seen::default() });
    }
    let aside = step.left_at.is_some() || step.nothing_left || view.phase() != Some((Mode::Failback, Phase::Preparing));
    if aside {
        return Ok(Seen { home: port.home(&home_id).await?, ..Seen::default() });
    }
    let left = old_writer(view, run, database, &step);
    let (home, left) = tokio::join!(port.home(&home_id), port.left(&left));
    Ok(Seen { home: home?, left: left?, ..Seen::default() })
}

/// The old writer as this run, or one that was given up before it, sets it aside.
fn old_writer(view: &View, run: &Run, database: &plan::Database, step: &HomeStep) -> LeftId {
    let recorded = step.left.as_ref().or_else(|| view.snapshot.memory.left_writers.get(&database.name));
    recorded.and_then(|name| LeftId::recorded(&view.plan, database, name)).unwrap_or_else(|| LeftId::of_primary(&view.plan, database, &run.id))
}

fn decide<'a, J: Journal>(
    ledger: &mut Ledger<'_, '_, J>,
    memory: &mut Memory,
    view: &View,
    run: &Run,
    desk: &Desk<'_, J>,
    database: &'a plan::Database,
    seen: Result<Seen, CallError>,
) -> Vec<(&'a plan::Database, Ask)> {
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
            return Vec::new();
        }
    };
    let homecoming = Homecoming {
        plan: &view.plan,
        snapshot: &view.snapshot,
        run,
        database,
        step: &step,
        home: seen.home.as_ref(),
        left: seen.left.as_ref(),
        standby: seen.standby.as_ref(),
        proxy: seen.proxy.as_ref(),
        now: view.now,
    };
    let due = due(view, run, &homecoming);
    let mut asks = Vec::new();
    match due {
        Decision::Act(moves) => {
            for due in moves {
                let turn = Turn { view, run, desk, database };
                asks.extend(take(&turn, ledger, memory, &seen, &mut step, due).map(|ask| (database, ask)));
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
    asks
}

/// A replica is built for hours: what lasts stands in the history once.
pub(crate) fn say_once<J: Journal>(ledger: &mut Ledger<'_, '_, J>, step: &mut HomeStep, kind: EntryKind, about: &str, said: String) {
    if step.said != said {
        ledger.line(kind, about, &said);
        step.said = said;
    }
}

fn due(view: &View, run: &Run, homecoming: &Homecoming<'_>) -> HomeDue {
    match run.phase {
        _ if rebuilds(&view.snapshot) => restore(homecoming),
        Phase::Preparing => prepare(homecoming),
        Phase::Switching if run.committed_at.is_some() || attempted(&view.snapshot) => switch(homecoming),
        Phase::Synchronised | Phase::Switching => look(homecoming),
        _ => Decision::Done,
    }
}

/// Everything that the steps of a turn share.
struct Turn<'a, 'd, J> {
    view: &'a View,
    run: &'a Run,
    desk: &'a Desk<'d, J>,
    database: &'a plan::Database,
}

/// Takes one step: what was seen is written down, what is to be done is asked for.
fn take<J: Journal>(
    turn: &Turn<'_, '_, J>,
    ledger: &mut Ledger<'_, '_, J>,
    memory: &mut Memory,
    seen: &Seen,
    step: &mut HomeStep,
    due: HomeMove,
) -> Option<Ask> {
    let Turn { view, run, desk, database } = turn;
    let (about, now) = (database.id().0, desk.now());
    match due {
        HomeMove::Fence => return database.quarantine_security_group.clone().map(|group| Ask::Fence { group }),
        HomeMove::Fenced => {
            step.fenced_at = Some(now);
            ledger.line(
                EntryKind::Reached,
                &about,
                format!("the old writer {} is fenced: nothing but the quarantine group is in force", database.primary),
            );
        }
        HomeMove::Name => return name(turn, ledger, memory, step),
        HomeMove::Snapshot => return Some(Ask::Snapshot(set_aside_id(turn, step))),
        HomeMove::SetAside => return Some(Ask::SetAside(set_aside_id(turn, step))),
        HomeMove::Aside => aside(turn, ledger, memory, seen, step),
        HomeMove::NothingLeft => {
            step.nothing_left = true;
            ledger.line(EntryKind::Reached, &about, format!("there is no old writer {} to set aside", database.primary));
        }
        HomeMove::Build => {
            step.requested_at.get_or_insert(now);
            let like = step.left.as_ref().and_then(|name| LeftId::recorded(&view.plan, database, name));
            ledger.line(
                EntryKind::Action,
                &about,
                format!("builds {} in {} as a replica of {}", database.primary, view.plan.primary, database.replica),
            );
            return Some(Ask::Build { like });
        }
        HomeMove::ChangeHome(change) => {
            ledger.line(EntryKind::Action, &about, format!("changes {} in {}: {change}", database.primary, view.plan.primary));
            return Some(Ask::ModifyHome(change));
        }
        HomeMove::RestartHome => {
            step.restart = RestartStep { asked_at: Some(now), called_at: None };
            ledger.line(EntryKind::Action, &about, format!("restarts {} in {} for its parameter group", database.primary, view.plan.primary));
            return Some(Ask::RestartHome);
        }
        HomeMove::Replicating => {
            step.endpoint = seen.home.as_ref().and_then(|home| home.endpoint.clone());
            step.replicating_at = Some(now);
            ledger.line(EntryKind::Reached, &about, format!("{} in {} replicates {}", database.primary, view.plan.primary, database.replica));
            desk.tell(format!("database {} replicates home", database.name));
        }
        HomeMove::Looked => looked(step, None, now),
        HomeMove::NotPromotable(why) => {
            say_once(ledger, step, EntryKind::Waiting, &about, why.clone());
            looked(step, Some(why), now);
        }
        HomeMove::Promote { retention, again } => {
            (step.promote_attempt_at, step.throttled) = (Some(now), false);
            // What was set aside was compared; from here on the instance at home is what would be left.
            memory.left_writers.remove(&database.name);
            let why = if again { " again: the call before it got no answer, and the replica is untouched since" } else { "" };
            ledger.line(
                EntryKind::Action,
                &about,
                format!("promotes {} in {}{why}, with backups kept for {retention} days", database.primary, view.plan.primary),
            );
            return Some(Ask::Promote { retention });
        }
        HomeMove::Promoted => {
            step.endpoint = seen.home.as_ref().and_then(|home| home.endpoint.clone());
            step.promoted_at = Some(now);
            ledger.line(
                EntryKind::Reached,
                &about,
                format!("{} is promoted in {}: available, without a source, replicating nothing", database.primary, view.plan.primary),
            );
            desk.tell(format!("database {} promoted at home", database.name));
        }
        HomeMove::TurnBackupsOn(days) => return Some(Ask::ModifyHome(InstanceChange::backups(days))),
        HomeMove::BackupsOn => {
            step.backups_on_at = Some(now);
            ledger.line(EntryKind::Reached, &about, format!("backups of {} at home are on", database.primary));
        }
        HomeMove::FreeProxy => {
            let proxy = ProxyId::of(database)?;
            ledger.line(EntryKind::Action, &about, format!("takes {} out of the proxy {proxy}: users are home", database.replica));
            return Some(Ask::FreeProxy(proxy));
        }
        HomeMove::ProxyFree => {
            step.proxy_freed_at = Some(now);
            let proxy = database.proxy.as_deref().unwrap_or_default();
            ledger.line(EntryKind::Reached, &about, format!("the proxy {proxy} has no target {}", database.replica));
        }
        HomeMove::Rebuild => {
            step.rebuild_requested_at.get_or_insert(now);
            ledger.line(
                EntryKind::Action,
                &about,
                format!("builds {} again as a replica of {} in {}", database.replica, database.primary, view.plan.primary),
            );
            return Some(Ask::Rebuild { like: LeftId::of_standby(&view.plan, database, &run.id) });
        }
        HomeMove::Rebuilt => {
            step.rebuilt_at = Some(now);
            ledger.line(EntryKind::Reached, &about, format!("{} replicates from {} again", database.replica, database.primary));
        }
        HomeMove::ChangeReplica(change) => return Some(Ask::ModifyReplica(change)),
        HomeMove::RestartReplica => {
            step.replica_restart = RestartStep { asked_at: Some(now), called_at: None };
            ledger.line(EntryKind::Action, &about, format!("restarts {} for its parameter group", database.replica));
            return Some(Ask::RestartReplica);
        }
        HomeMove::ReplicaReady => {
            step.replica_ready_at = Some(now);
            // What it was before it was promoted, it is again.
            memory.replicas.remove(&database.name);
            ledger.line(EntryKind::Reached, &about, format!("backups of {} are on: a drill can copy it", database.replica));
        }
    }
    None
}

/// A look counts for minutes: it is renewed well before, and not with every turn.
pub(crate) fn looked(step: &mut HomeStep, why_not: Option<String>, now: Timestamp) {
    if step.looked_at.is_none_or(|at| now.duration_since(at) >= RENEWED_AFTER) || step.why_not != why_not {
        (step.looked_at, step.why_not) = (Some(now), why_not);
    }
}

/// Records under which name the writer will be found, before it has it.
fn name<J: Journal>(turn: &Turn<'_, '_, J>, ledger: &mut Ledger<'_, '_, J>, memory: &mut Memory, step: &mut HomeStep) -> Option<Ask> {
    let Turn { view, database, .. } = turn;
    let left = set_aside_id(turn, step);
    ledger.line(EntryKind::Action, &database.id().0, format!("sets {} aside as {left}, after a last snapshot", left.was()));
    if rebuilds(&view.snapshot) {
        step.standby_left = Some(left.as_str().to_owned());
    } else {
        step.left = Some(left.as_str().to_owned());
        memory.left_writers.insert(database.name.clone(), left.as_str().to_owned());
    }
    None
}

/// What is set aside in this phase.
fn set_aside_id<J: Journal>(turn: &Turn<'_, '_, J>, step: &HomeStep) -> LeftId {
    let Turn { view, run, database, .. } = turn;
    if rebuilds(&view.snapshot) {
        return LeftId::of_standby(&view.plan, database, &run.id);
    }
    let recorded = step.left.as_ref().and_then(|name| LeftId::recorded(&view.plan, database, name));
    recorded.unwrap_or_else(|| LeftId::of_primary(&view.plan, database, &run.id))
}

fn aside<J: Journal>(turn: &Turn<'_, '_, J>, ledger: &mut Ledger<'_, '_, J>, memory: &mut Memory, seen: &Seen, step: &mut HomeStep) {
    let Turn { view, run, desk, database } = turn;
    let (about, now) = (database.id().0, desk.now());
    if rebuilds(&view.snapshot) {
        step.standby_left_at = Some(now);
        if let Some(left) = &step.standby_left {
            ledger.line(EntryKind::Reached, &about, format!("the writer that served is set aside as {left}; it is yours to delete"));
        }
        return;
    }
    let left = old_writer(view, run, database, step);
    step.left_endpoint = seen.left.as_ref().and_then(|left| left.endpoint.clone());
    step.was = seen.left.as_ref().map(Instance::shape);
    step.left_at = Some(now);
    step.left = Some(left.as_str().to_owned());
    memory.left_writers.insert(database.name.clone(), left.as_str().to_owned());
    ledger.line(EntryKind::Reached, &about, format!("the old writer is set aside as {left}; it is yours to delete once its rows are settled"));
    desk.tell(format!("old writer of {} set aside", database.name));
}

async fn act<'a, D: Database>(port: &D, view: &View, run: &Run, database: &'a plan::Database, ask: Ask) -> (&'a plan::Database, Ask, Answer) {
    let plan: &Plan = &view.plan;
    let (home, replica) = (HomeId::of(plan, database), ReplicaId::of(database));
    let answer = match &ask {
        Ask::Fence { group } => match port.fence(&PrimaryId::of(plan, database), group).await {
            Ok(Fenced::Done | Fenced::Underway) => Ok(Done::Asked),
            Err(error) => Err(error),
        },
        Ask::Snapshot(left) => port.last_snapshot(left).await.map(|seen| if seen == Snapshotted::Done { Done::Snapshot } else { Done::Asked }),
        Ask::SetAside(left) => port.set_aside(left).await.map(|()| Done::Asked),
        Ask::Build { like } => {
            let of =
                HomeOf { source: &replica, like: like.as_ref(), security_groups: &database.home_security_groups, plan: &plan.name, run: &run.id };
            port.build_home(&home, &of).await.map(|()| Done::Asked)
        }
        Ask::Promote { retention } => port.promote_home(&home, *retention).await.map(|()| Done::Promotion),
        Ask::ModifyHome(change) => port.modify_home(&home, change).await.map(|()| Done::Asked),
        Ask::RestartHome => port.restart_home(&home).await.map(|()| Done::Restart),
        Ask::FreeProxy(proxy) => port.deregister(proxy, &replica).await.map(|()| Done::Asked),
        Ask::Rebuild { like } => {
            let was = view.snapshot.memory.replicas.get(&database.name);
            let of = RebuiltOf { source: &home, like, was, plan: &plan.name, run: &run.id };
            port.rebuild(&replica, &of).await.map(|()| Done::Asked)
        }
        Ask::ModifyReplica(change) => port.modify(&replica, change).await.map(|()| Done::Asked),
        Ask::RestartReplica => port.restart(&replica).await.map(|()| Done::Restart),
    };
    (database, ask, answer)
}

type Answer = Result<Done, CallError>;

/// What an answer tells beyond that it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Asked,
    Snapshot,
    Promotion,
    Restart,
}

/// Writes down what became of it. A failure is no end: the state decides, at the next look.
fn note<J: Journal>(ledger: &mut Ledger<'_, '_, J>, desk: &Desk<'_, J>, database: &plan::Database, ask: Ask, answer: Answer) {
    let about = database.id().0;
    ledger.wait();
    let mut step = ledger.progress.home.get(&database.name).cloned().unwrap_or_default();
    match answer {
        Err(error) => {
            let throttled = matches!(error.why, Why::Throttled);
            step.throttled = throttled && matches!(ask, Ask::Promote { .. });
            match ask {
                // Known not to be done.
                Ask::RestartHome if throttled => step.restart.asked_at = None,
                Ask::RestartReplica if throttled => step.replica_restart.asked_at = None,
                _ => {}
            }
            say_once(ledger, &mut step, EntryKind::Failure, &about, error.to_string());
        }
        Ok(Done::Promotion) => step.promote_called_at = Some(desk.now()),
        Ok(Done::Restart) => {
            let restart = if matches!(ask, Ask::RestartHome) { &mut step.restart } else { &mut step.replica_restart };
            restart.called_at = Some(desk.now());
        }
        Ok(Done::Snapshot) => {
            let Ask::Snapshot(left) = ask else { return };
            let at = if left.place() == Place::Primary { &mut step.snapshot_at } else { &mut step.standby_snapshot_at };
            *at = Some(desk.now());
            ledger.line(EntryKind::Reached, &about, format!("the last snapshot of {}, {left}, is there", left.was()));
        }
        Ok(Done::Asked) => {}
    }
    ledger.progress.home.insert(database.name.clone(), step);
}
