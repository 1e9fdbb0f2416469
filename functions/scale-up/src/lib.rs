//! scale-up brings the standby Region's compute to its active size, and keeps it there while the standby serves.
//!
//! ```text
//! observe ─► decide ─► something new to touch? ── record baseline and obligation ─► look again
//!                            │ no
//!                            └─► act, resources side by side ─► record ─► poll until all is reached
//! ```
//!
//! Nothing is touched whose baseline the journal does not hold: recording ends the turn, and only the next one, on a view
//! in which the baseline stands, acts. A lease cannot stop a call of scale-down that is already under way, so capacity is
//! ensured again with every turn and every tick, and never believed from what was recorded.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use relight::decide::Decision;
use relight::decide::capacity::{self, Raise, Reach, raise_group, raise_service};
use relight::look;
use relight::nudge::{Desk, Next, View, Work, WorkError, put};
use relight::plan::{Group, Plan, ResourceId, Service};
use relight::ports::{
    CallError, Compute, Entry, EntryKind, Found, GroupName, GroupState, Journal, Resize, ServiceName, ServiceState, Setback, Written,
};
use relight::run::{Mode, Run, RunId};
use relight::state::{Baseline, CapacityProgress, CapacityStep, Key, Obligation, Owed, Part};

/// Capacity that a failover raised is looked after this long, should nobody ever stand it down. It sleeps while the
/// failover is open and while the standby serves.
const FAILOVER_OWES: SignedDuration = SignedDuration::from_hours(30 * 24);
/// One transaction of the journal holds a hundred items.
const AT_ONCE: usize = 40;

pub struct ScaleUp<C> {
    compute: C,
}

impl<C: Compute> ScaleUp<C> {
    pub fn new(compute: C) -> ScaleUp<C> {
        ScaleUp { compute }
    }
}

impl<C: Compute> Work for ScaleUp<C> {
    const NAME: &'static str = "scale-up";
    const LEASE: &'static str = "capacity";

    fn wanted(&self, view: &View) -> bool {
        capacity::reach(&view.snapshot).is_some()
    }

    async fn look(&mut self, view: &View) -> Option<look::Sight> {
        Some(look::Sight::Compute(look::compute(&view.plan, &self.compute).await))
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let Some(reach) = capacity::reach(&view.snapshot) else { return Ok(Next::Idle) };
        let seen = self.observe(view).await;
        let judged = decide(view, &seen, reach);
        if before_touching(view, desk, &judged).await?.is_some() {
            return Ok(Next::Again);
        }
        let asked = self.act(&judged).await;
        record(view, desk, &judged, asked).await
    }
}

/// What one turn saw.
struct Seen {
    services: Found<ServiceName, ServiceState>,
    groups: Found<GroupName, GroupState>,
    /// Why groups that lack instances could not launch one.
    setbacks: BTreeMap<GroupName, Setback>,
}

/// A resource and what is due for it.
struct Judged {
    id: ResourceId,
    /// What runs of it; absent where it could not be read.
    running: Option<u32>,
    /// What it looks like now.
    as_is: Option<Baseline>,
    raise: Result<Raise, String>,
}

impl Judged {
    fn resizes(&self) -> &[Resize] {
        match &self.raise {
            Ok(Raise { due: Decision::Act(resizes), .. }) => resizes,
            _ => &[],
        }
    }
}

impl<C: Compute> ScaleUp<C> {
    async fn observe(&self, view: &View) -> Seen {
        let services: Vec<ServiceName> = view.plan.services.iter().map(ServiceName::of).collect();
        let groups: Vec<GroupName> = view.plan.groups.iter().map(|group| GroupName(group.name.clone())).collect();
        let (services, groups) = tokio::join!(self.compute.services(&services), self.compute.groups(&groups));
        let short =
            view.plan.groups.iter().map(|group| (GroupName(group.name.clone()), group.desired)).filter(
                |(name, desired)| matches!(groups.get(name), Some(Ok(Some(state))) if state.desired >= *desired && state.in_service < *desired),
            );
        let setbacks = join_all(short.map(async |(name, _)| {
            let setback = match self.compute.failed_launch(&name).await {
                Ok(setback) => setback,
                // Why instances are missing is then unknown, and that is worth saying too.
                Err(error) => Some(Setback { at: view.now, said: error.to_string() }),
            };
            setback.map(|setback| (name, setback))
        }));
        Seen { services, groups, setbacks: setbacks.await.into_iter().flatten().collect() }
    }

    /// Asks for what is due, the calls about one resource in order, resources side by side.
    async fn act(&self, judged: &[Judged]) -> Vec<Result<(), CallError>> {
        join_all(judged.iter().map(async |judged| {
            for resize in judged.resizes() {
                self.compute.resize(resize).await?;
            }
            Ok(())
        }))
        .await
    }
}

fn decide(view: &View, seen: &Seen, reach: Reach) -> Vec<Judged> {
    let steps = &view.snapshot.progress.capacity.resources;
    let since = |id: &ResourceId| steps.get(id).and_then(|step| step.requested_at);
    let mut judged = Vec::new();
    for service in &view.plan.services {
        let (id, name) = (service.id(), ServiceName::of(service));
        let Some(state) = seen.services.get(&name) else { continue };
        judged.push(match state {
            Err(error) => Judged { id, running: None, as_is: None, raise: Err(error.to_string()) },
            Ok(state) => Judged {
                running: Some(state.as_ref().map_or(0, |state| state.running)),
                as_is: state.as_ref().map(|state| capacity::service_baseline(&name, state)),
                raise: Ok(raise_service(service, state.as_ref(), reach, since(&id))),
                id,
            },
        });
    }
    for group in &view.plan.groups {
        let (id, name) = (group.id(), GroupName(group.name.clone()));
        let Some(state) = seen.groups.get(&name) else { continue };
        judged.push(match state {
            Err(error) => Judged { id, running: None, as_is: None, raise: Err(error.to_string()) },
            Ok(state) => Judged {
                running: Some(state.as_ref().map_or(0, |state| state.in_service)),
                as_is: state.as_ref().map(|state| capacity::group_baseline(&name, state)),
                raise: Ok(raise_group(group, state.as_ref(), reach, since(&id), seen.setbacks.get(&name).cloned())),
                id,
            },
        });
    }
    judged
}

/// Records, for what is about to be touched, how it looks and that it must be given back; in a run also when it was first
/// asked for, as the answer of the call may be lost. `Some`: something was written, or somebody else was first.
async fn before_touching<J: Journal>(view: &View, desk: &Desk<'_, J>, judged: &[Judged]) -> Result<Option<Written>, WorkError> {
    let now = desk.now();
    let mut progress = view.snapshot.progress.capacity.clone();
    let mut changes = Vec::new();
    for judged in judged.iter().filter(|judged| !judged.resizes().is_empty()) {
        if let Some(as_is) = judged.as_is.as_ref().filter(|_| !view.snapshot.baseline.contains_key(&judged.id)) {
            changes.push(put(view, Key::Baseline(judged.id.clone()), as_is)?);
        }
        if view.run().is_some() {
            let step = progress.resources.entry(judged.id.clone()).or_insert_with(|| untouched(judged));
            step.requested_at.get_or_insert(now);
        }
        if changes.len() == AT_ONCE {
            break;
        }
    }
    if !changes.is_empty() && !view.snapshot.obligations.contains_key("capacity") {
        let obligation = obligation(view, now);
        changes.push(put(view, Key::Obligation(obligation.id()), &obligation)?);
    }
    if progress != view.snapshot.progress.capacity {
        changes.push(desk.progress(view, Part::Capacity, &progress)?);
    }
    if changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(desk.write(changes, None).await?))
}

fn untouched(judged: &Judged) -> CapacityStep {
    let wanted = judged.raise.as_ref().map_or(0, |raise| raise.wanted);
    CapacityStep { requested_at: None, reached_at: None, running: judged.running.unwrap_or(0), wanted, said: String::new() }
}

/// By when raised capacity must be given back.
fn obligation(view: &View, now: Timestamp) -> Obligation {
    let (run, from, lasting) = match &view.snapshot.head.run {
        Some(Run { id, mode: Mode::Drill, opened_at, .. }) => (id.clone(), *opened_at, view.plan.drill.deadline),
        Some(Run { id, mode: Mode::Failover | Mode::Failback, opened_at, .. }) => (id.clone(), *opened_at, FAILOVER_OWES),
        None => (RunId::none(), now, FAILOVER_OWES),
    };
    Obligation { run, what: Owed::Capacity, made_at: now, deadline: from.saturating_add(lasting).unwrap_or(Timestamp::MAX) }
}

/// Writes what was asked for, reached, and why not, and says whether to look again.
async fn record<J: Journal>(view: &View, desk: &Desk<'_, J>, judged: &[Judged], asked: Vec<Result<(), CallError>>) -> Result<Next, WorkError> {
    let open = view.run().is_some();
    let was = &view.snapshot.progress.capacity;
    let mut progress = was.clone();
    let mut lines: Vec<Entry> = Vec::new();
    for (judged, asked) in judged.iter().zip(&asked) {
        let step = progress.resources.entry(judged.id.clone()).or_insert_with(|| untouched(judged));
        let first_reached = step.reached_at.is_none();
        let (kind, said) = update(step, judged, asked, desk.now());
        // A state that lasts is said in each invocation's log; in the history it stands once, and with no run open only
        // what was done stands there.
        let reached_before = kind == EntryKind::Reached && !first_reached;
        if reached_before || (kind == EntryKind::Reached && !open) {
            continue;
        }
        let line = desk.line(kind, &judged.id.0, said);
        lines.extend(line.filter(|_| open || kind == EntryKind::Action));
    }

    let mut changes = Vec::new();
    if open && progress != *was {
        changes.push(desk.progress(view, Part::Capacity, &progress)?);
    }
    let mut rest = lines.into_iter();
    if desk.write(changes, rest.by_ref().take(AT_ONCE).collect::<Vec<_>>()).await? == Written::Lost {
        return Ok(Next::Again);
    }
    while rest.len() > 0 {
        desk.write(Vec::new(), rest.by_ref().take(AT_ONCE).collect::<Vec<_>>()).await?;
    }
    if open && all_reached(&view.plan, &progress) && !all_reached(&view.plan, was) {
        desk.tell("capacity reached");
    }
    let done = judged.iter().all(|judged| matches!(&judged.raise, Ok(Raise { due: Decision::Done, .. })));
    Ok(if done { Next::Idle } else { Next::Poll })
}

/// Brings the step up to date; the line that it leads to.
fn update(step: &mut CapacityStep, judged: &Judged, asked: &Result<(), CallError>, now: Timestamp) -> (EntryKind, String) {
    step.running = judged.running.unwrap_or(step.running);
    if let Ok(raise) = &judged.raise {
        step.wanted = raise.wanted;
    }
    let (kind, said) = match (&judged.raise, asked) {
        (Err(unread), _) => (EntryKind::Failure, unread.clone()),
        (Ok(Raise { due: Decision::Act(_), .. }), Err(error)) => (EntryKind::Failure, error.to_string()),
        (Ok(Raise { due: Decision::Act(resizes), .. }), Ok(())) => {
            let asked: Vec<String> = resizes.iter().map(Resize::to_string).collect();
            (EntryKind::Action, format!("asked for {}; {} run", asked.join(", "), step.running))
        }
        (Ok(Raise { due: Decision::Done, .. }), _) => (EntryKind::Reached, format!("{} run, {} wanted", step.running, step.wanted)),
        (Ok(Raise { due: Decision::Wait(waiting), .. }), _) => (EntryKind::Waiting, waiting.to_string()),
        (Ok(Raise { due: Decision::Refuse(refusal), .. }), _) => (EntryKind::Refusal, refusal.to_string()),
    };
    match &judged.raise {
        // A new target is yet to be reached. A task that only died and comes back does not undo what was reached.
        Ok(Raise { due: Decision::Act(_), .. }) => step.reached_at = None,
        Ok(Raise { due: Decision::Done, .. }) => drop(step.reached_at.get_or_insert(now)),
        _ => {}
    }
    step.said = said.clone();
    (kind, said)
}

fn all_reached(plan: &Plan, progress: &CapacityProgress) -> bool {
    let mut ids = plan.services.iter().map(Service::id).chain(plan.groups.iter().map(Group::id));
    ids.all(|id| progress.resources.get(&id).is_some_and(|step| step.reached_at.is_some()))
}
