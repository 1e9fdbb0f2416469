//! switch-traffic: keeps users off the primary while it must not write, and says when they are served by the standby.
//!
//! ```text
//! each turn   STOP ── one step of it at a time: record, put, see, record ──► again
//!               │ nothing missing
//!               ├── fence old writers     side by side: an opening
//!               ├── users, health: open   never waits for a dark Region
//!               └── a failback: page of the primary, users ─► home
//! ```
//!
//! STOP is looked at on every tick, run or none: it is what holds a recovered primary off its users, and one that was left
//! over would do so in peace.

use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use jiff::Timestamp;
use relight::decide::Decision;
use relight::decide::traffic::home::{self, Arrival};
use relight::decide::traffic::{Open, StopStep, Users, fence_is_due, opening, owed, stop, users};
use relight::look::{self, Sight};
use relight::nudge::{Desk, Next, View, Work, WorkError};
use relight::plan;
use relight::ports::{CallError, Database, Entry, EntryKind, Fenced, Fetched, Journal, PrimaryId, Traffic, Write};
use relight::run::{Mode, Phase};
use relight::state::{FenceStep, Part, TrafficProgress};

/// The standby's health page is in this Region, and an answer that takes longer proves no service.
const HEALTHY: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct SwitchTraffic<T, D> {
    pub traffic: T,
    pub database: D,
}

impl<T: Traffic, D: Database> Work for SwitchTraffic<T, D> {
    const NAME: &'static str = "switch-traffic";
    const LEASE: &'static str = "traffic";

    fn wanted(&self, view: &View) -> bool {
        !matches!(view.phase(), Some((Mode::Drill, _)))
    }

    async fn look(&mut self, view: &View) -> Option<Sight> {
        Some(Sight::Traffic(look::traffic(&view.plan, &self.traffic).await))
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let stop = self.ensure_stop(view, desk).await?;
        if stop == Next::Again {
            return Ok(Next::Again);
        }
        let found = self.look_and_fence(view).await;
        if record(found, view, desk).await? {
            return Ok(Next::Again);
        }
        Ok(match view.phase() {
            // Others clear the vetoes, promote, prove and repoint within seconds.
            Some((Mode::Failover, Phase::Confirmed)) => Next::Poll,
            Some((Mode::Failover, Phase::Activating)) if view.snapshot.progress.traffic.opened_at.is_none() => Next::Poll,
            // Writes pause until users are home.
            Some((Mode::Failback, Phase::Switching)) if view.run().is_some_and(|run| run.committed_at.is_some()) => Next::Poll,
            _ => stop,
        })
    }
}

impl<T: Traffic, D: Database> SwitchTraffic<T, D> {
    /// Brings STOP one step on. [`Next::Idle`]: it is as it should be.
    async fn ensure_stop<J: Journal>(&self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let traffic = &view.plan.traffic;
        let mut acted = false;
        loop {
            let present = match self.traffic.stop_is_present(traffic).await {
                Ok(present) => present,
                Err(error) => return say(view, desk, EntryKind::Failure, error.to_string()).await,
            };
            let step = match stop(&view.plan, &view.snapshot, present, desk.now()) {
                Decision::Done => return Ok(Next::Idle),
                Decision::Wait(why) => return say(view, desk, EntryKind::Waiting, format!("the primary is not held out: {why}")).await,
                Decision::Refuse(never) => match never {},
                Decision::Act(steps) => steps.into_iter().next(),
            };
            match step {
                None => return Ok(Next::Idle),
                Some(StopStep::Put | StopStep::Remove) if acted => {
                    return say(view, desk, EntryKind::Waiting, "the STOP object does not look as it was just left".to_owned()).await;
                }
                Some(step @ (StopStep::Put | StopStep::Remove)) => {
                    if let Err(error) = self.move_stop(step, traffic).await {
                        // Done or not, a look tells; but not at once, or a service that throttles would be hammered.
                        return say(view, desk, EntryKind::Failure, error.to_string()).await;
                    }
                    acted = true;
                }
                Some(step) => {
                    self.record_stop(step, view, desk).await?;
                    return Ok(Next::Again);
                }
            }
        }
    }

    async fn move_stop(&self, step: StopStep, traffic: &plan::Traffic) -> Result<(), CallError> {
        if step == StopStep::Put { self.traffic.put_stop(traffic).await } else { self.traffic.remove_stop(traffic).await }
    }

    async fn record_stop<J: Journal>(&self, step: StopStep, view: &View, desk: &Desk<'_, J>) -> Result<(), WorkError> {
        let mut progress = view.snapshot.progress.traffic.clone();
        let now = desk.now();
        let key = &view.plan.traffic.stop_key;
        let (kind, said) = match step {
            StopStep::Ask => {
                (progress.stop_asked_at, progress.released_at) = (Some(now), None);
                (EntryKind::Action, format!("puts the STOP object {key}"))
            }
            StopStep::HoldOut => {
                progress.held_out_at = Some(now);
                let seen = match self.traffic.stop_as_checkers_see_it(&view.plan.traffic).await {
                    Fetched::Answered { status: 200, .. } => "readable without credentials".to_owned(),
                    Fetched::Answered { status, .. } => unreadable(&format!("{status} without credentials")),
                    Fetched::Silent(why) | Fetched::NotAsked(why) => unreadable(&why),
                };
                (EntryKind::Reached, format!("the primary is held out of traffic: {key} is in place, {seen}"))
            }
            StopStep::TakeBack => {
                progress.held_out_at = None;
                (EntryKind::Action, format!("removes the STOP object {key}"))
            }
            StopStep::Release => {
                (progress.stop_asked_at, progress.released_at) = (None, Some(now));
                (EntryKind::Reached, format!("the primary is let in again: {key} is gone"))
            }
            StopStep::Put | StopStep::Remove => return Ok(()),
        };
        let changes = vec![desk.progress(view, Part::Traffic, &progress)?];
        let line = desk.line(kind, "traffic", said);
        let written = desk.write(changes, line).await?;
        if written == relight::ports::Written::Done && step == StopStep::HoldOut {
            desk.tell("primary held out");
        }
        Ok(())
    }

    /// Fences and looks, side by side. A dark primary keeps its fencing attempt waiting for seconds; when traffic turns out
    /// to be open meanwhile, the attempt is given up, and the next turn makes it again.
    async fn look_and_fence(&self, view: &View) -> Found {
        let look = std::pin::pin!(self.look(view));
        let fence = std::pin::pin!(self.fence(view));
        match select(look, fence).await {
            Either::Left((seen, _)) if seen.opening.as_ref().is_some_and(|opening| matches!(opening, Decision::Act(_))) => {
                Found { seen, fenced: Vec::new() }
            }
            Either::Left((seen, fence)) => Found { seen, fenced: fence.await },
            Either::Right((fenced, look)) => Found { seen: look.await, fenced },
        }
    }

    /// Where users are, while a failover is open; and whether the standby's traffic is open, while it activates.
    async fn look(&self, view: &View) -> Seen {
        let Some(run) = view.run() else { return Seen::default() };
        let traffic = &view.plan.traffic;
        let activating = run.phase == Phase::Activating && view.snapshot.progress.traffic.opened_at.is_none();
        let owed = if activating { owed(&view.plan, &view.snapshot, run) } else { Vec::new() };
        let health = async { if activating && owed.is_empty() { Some(self.traffic.fetch(&traffic.healthy_url, HEALTHY).await) } else { None } };
        let home = home::asks_page(&view.plan, &view.snapshot);
        let page = async {
            match view.plan.home_page().filter(|_| home) {
                Some((url, _)) => Some(self.traffic.fetch(url, HEALTHY).await),
                None => None,
            }
        };
        let (record, standby, served, page) =
            tokio::join!(self.traffic.resolve(&traffic.record), self.traffic.resolve(&traffic.standby), health, page);
        let users = users(&record, &standby, &traffic.standby);
        let opening = activating.then(|| opening(&view.plan, owed, &users, served.as_ref()));
        let coming = home.then(|| home::coming_home(&view.plan, &view.snapshot, &users, page.as_ref()));
        Seen { users: Some(users), opening, coming }
    }

    /// One attempt for each old writer whose turn it is.
    async fn fence(&self, view: &View) -> Vec<(String, Result<Fenced, CallError>)> {
        let fenced = &view.snapshot.progress.traffic.fenced;
        let due = view.plan.databases.iter().filter_map(|database| {
            let group = database.quarantine_security_group.as_deref()?;
            fence_is_due(&view.snapshot, fenced.get(&database.name), view.now).then_some((database, group))
        });
        join_all(due.map(async |(database, group)| {
            let primary = PrimaryId::of(&view.plan, database);
            (database.name.clone(), self.database.fence(&primary, group).await)
        }))
        .await
    }
}

/// What a turn found out.
struct Found {
    seen: Seen,
    fenced: Vec<(String, Result<Fenced, CallError>)>,
}

#[derive(Default)]
struct Seen {
    users: Option<Users>,
    opening: Option<Decision<Open, relight::decide::traffic::WaitingOn, std::convert::Infallible>>,
    /// A failback's users.
    coming: Option<Decision<Arrival, home::NotHome, std::convert::Infallible>>,
}

/// Records what was found. Says whether that changed the journal's progress.
async fn record<J: Journal>(found: Found, view: &View, desk: &Desk<'_, J>) -> Result<bool, WorkError> {
    let before = &view.snapshot.progress.traffic;
    let mut progress = before.clone();
    let mut lines = Vec::new();
    let now = desk.now();
    for (database, outcome) in found.fenced {
        lines.extend(note_fence(&mut progress, database, outcome, now, desk));
    }
    if let Some(Users::At(place)) = found.seen.users
        && progress.users_at != Some(place)
    {
        progress.users_at = Some(place);
        let place = format!("{place:?}").to_lowercase();
        lines.extend(desk.line(EntryKind::Reached, "traffic", format!("{} answers the {place}", view.plan.traffic.record)));
    }
    let mut opened = false;
    match found.seen.opening {
        Some(Decision::Act(_)) => {
            progress.opened_at = Some(now);
            opened = true;
            lines.extend(desk.line(EntryKind::Reached, "traffic", "traffic is open: users reach the standby, and it serves"));
        }
        Some(Decision::Wait(waiting)) => lines.extend(desk.line(EntryKind::Waiting, "traffic", waiting.to_string())),
        Some(Decision::Refuse(never)) => match never {},
        Some(Decision::Done) | None => {}
    }
    let coming = found.seen.coming.and_then(|coming| note_coming(&mut progress, coming, now, desk));
    lines.extend(coming);
    let home = progress.home.home_at.is_some() && before.home.home_at.is_none();
    let changed = progress != *before;
    let changes: Vec<Write> = if changed { vec![desk.progress(view, Part::Traffic, &progress)?] } else { Vec::new() };
    let written = desk.write(changes, lines).await?;
    if written == relight::ports::Written::Done && opened {
        desk.tell("traffic open");
    }
    if written == relight::ports::Written::Done && home {
        desk.tell("traffic home");
    }
    Ok(changed)
}

/// Takes in what was seen of a failback's users.
fn note_coming<J: Journal>(
    progress: &mut TrafficProgress,
    coming: Decision<Arrival, home::NotHome, std::convert::Infallible>,
    now: Timestamp,
    desk: &Desk<'_, J>,
) -> Option<Entry> {
    match coming {
        Decision::Act(steps) if steps.contains(&Arrival::Home) => {
            progress.home.home_at = Some(now);
            desk.line(EntryKind::Reached, "traffic", "users reach the primary, and it serves")
        }
        Decision::Act(_) => {
            progress.home.page_at = Some(now);
            desk.line(EntryKind::Reached, "traffic", "the primary's health page answers: users may come home")
        }
        Decision::Wait(waiting) => desk.line(EntryKind::Waiting, "traffic", waiting.to_string()),
        Decision::Refuse(never) => match never {},
        Decision::Done => None,
    }
}

/// Takes an attempt in. Only what is new about it makes a line: a primary can be dark for days.
fn note_fence<J: Journal>(
    progress: &mut TrafficProgress,
    database: String,
    outcome: Result<Fenced, CallError>,
    now: Timestamp,
    desk: &Desk<'_, J>,
) -> Option<Entry> {
    let about = format!("database/{database}");
    let step: &mut FenceStep = progress.fenced.entry(database).or_default();
    step.attempts += 1;
    step.last_at = Some(now);
    let (kind, said) = match outcome {
        Ok(Fenced::Done) => {
            step.done_at = Some(now);
            (EntryKind::Reached, "the old writer is fenced: nothing but the quarantine group is in force".to_owned())
        }
        Ok(Fenced::Underway) => (EntryKind::Action, "fences the old writer: asked to move it into the quarantine group".to_owned()),
        Err(error) => (EntryKind::Failure, format!("the old writer is not fenced yet: {error}; tried again each minute")),
    };
    let new = step.last != said;
    step.last.clone_from(&said);
    new.then(|| desk.line(kind, &about, said)).flatten()
}

/// Says why STOP is not as it should be. In peace there is no history to write it to.
async fn say<J: Journal>(view: &View, desk: &Desk<'_, J>, kind: EntryKind, said: String) -> Result<Next, WorkError> {
    let line = desk.line(kind, "traffic", said);
    if view.run().is_none() {
        return Ok(Next::Idle);
    }
    desk.write(Vec::new(), line).await?;
    Ok(Next::Poll)
}

fn unreadable(why: &str) -> String {
    format!("but Route 53's checkers may not see it ({why}): make that one key of the bucket public")
}
