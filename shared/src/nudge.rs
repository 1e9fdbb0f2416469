//! The loop of every function.
//!
//! ```text
//! parse ─► read journal ─► fold triggers ─► advance ─► lease ─► work ──► idle, done: release, end
//!              ▲  ▲            │ wrote         │ wrote            │ wrote: again
//!              │  └────────────┴───────────────┴──────────────────┤
//!              └───────────────────────── sleep ◄── poll ─────────┘   while a run is open and time is left
//! ```
//!
//! Nothing is kept between two turns but the clock: every turn starts from the journal. So it does not matter which
//! invocation, of which function, after which crash, does the next turn.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::advance::{advance, way_on};
use crate::clock::Clock;
use crate::event::{self, Trigger, Unreadable};
use crate::fold::{entry, fold};
use crate::look::{self, Answered, Question, Sight};
use crate::plan::{ActMode, Plan};
use crate::ports::{CallError, Change, Entry, EntryKind, Journal, JournalError, Notice, Notices, Write, Written};
use crate::run::{Mode, Phase, Run, RunId};
use crate::say::{Answer, Level, Voice};
use crate::state::{Head, Key, Lease, OfRun, OwedReport, Part, Place, Snapshot, VERSION};

/// How often a waiting function glances at the journal. One small read of its own table, in an open run only.
const GLANCE: Duration = Duration::from_millis(500);
/// So many turns of one invocation may follow each other without a wait. Each of them wrote something; who needs more reads something
/// else than it wrote, and would write without end.
const TURNS: u32 = 1000;

/// What one function does. The loop does everything else.
#[allow(async_fn_in_trait)] // Static dispatch on one thread.
pub trait Work {
    /// `scale-up`.
    const NAME: &'static str;
    /// The lease that its work takes; scale-up and scale-down share one.
    const LEASE: &'static str;

    /// Whether there may be anything for it to do; decides whether the lease is taken.
    fn wanted(&self, view: &View) -> bool;

    /// Puts out how things stand, once an invocation, whatever is open and whoever has the lease. It neither calls nor writes.
    fn measure(&self, _: &View) {}

    /// Answers whether a failover would work now, where it was asked, in peace while the primary serves: [`Next::Idle`] once it is
    /// said. It changes nothing of the workload: under a plan that only observes it is asked, too.
    async fn readiness<J: Journal>(&mut self, _: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        desk.line(EntryKind::Operator, "", "`readiness` is answered by monthly-drill: invoke that");
        Ok(Next::Idle)
    }

    /// Whether an invocation that asked ended before it answered.
    fn owes_readiness(&self, _: &View) -> bool {
        false
    }

    /// Looks at what it would recover, where monthly-drill asks ([`look`]). `None`: it has nothing to look at.
    async fn look(&mut self, _: &View) -> Option<Sight> {
        None
    }

    /// What nobody waits for, once all else of an invocation is done. Says what did not work, for the log.
    async fn afterwards(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// One turn: observe, decide, act, record.
    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError>;
}

/// What a turn sees.
#[derive(Debug, Clone)]
pub struct View {
    pub plan: Plan,
    pub snapshot: Snapshot,
    pub now: Timestamp,
}

impl View {
    pub fn run(&self) -> Option<&Run> {
        self.snapshot.head.open_run()
    }

    pub fn phase(&self) -> Option<(Mode, Phase)> {
        self.snapshot.phase()
    }

    /// The standby serves and no run is open: capacity, STOP and fence are ensured on every tick.
    pub fn standby_serves(&self) -> bool {
        self.snapshot.head.serving == Place::Standby
    }
}

/// What a turn leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Not its turn, or all done: the invocation ends.
    Idle,
    /// Something was written: look again at once.
    Again,
    /// AWS is at work, or another part must come first within seconds: look again after the plan's poll.
    Poll,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0} cannot be written to the journal: {1}")]
    Shape(&'static str, #[source] serde_json::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum NudgeError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Work(#[from] WorkError),
    #[error("no plan in the journal; `relight plan put relight.toml` puts one")]
    NoPlan,
    /// A key that is not known is not passed over: it may name a database that would be left behind.
    #[error("version {version} of the plan cannot be read by this version of Relight, {VERSION}: {source}nothing was changed; {remedy}")]
    PlanUnread { version: u64, remedy: &'static str, source: toml::de::Error },
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unreadable(Vec<Unreadable>),
    #[error("{0}")]
    Illegal(#[from] crate::run::Illegal),
    #[error(
        "no end after {TURNS} turns: what is written is not what is read; the next tick begins again; deploy the version before this one, {VERSION}"
    )]
    Endless,
}

impl NudgeError {
    /// A name that stays the same from version to version: Lambda's error type, which dead letters and who invokes a function see.
    pub fn name(&self) -> &'static str {
        match self {
            NudgeError::Journal(error) | NudgeError::Work(WorkError::Journal(error)) => error.name(),
            NudgeError::Work(WorkError::Call(error)) => error.name(),
            NudgeError::Work(WorkError::Shape(..)) => "Unwritable",
            NudgeError::NoPlan => "NoPlan",
            NudgeError::PlanUnread { .. } => "PlanUnread",
            NudgeError::Unreadable(_) => "EventUnreadable",
            NudgeError::Illegal(_) => "IllegalStep",
            NudgeError::Endless => "Endless",
        }
    }
}

/// Where a turn writes what it did: progress, baseline, obligations, each with its sentence.
pub struct Desk<'a, J> {
    journal: &'a J,
    clock: Clock,
    function: &'static str,
    run: Option<RunId>,
    voice: &'a Voice,
    said: &'a RefCell<Vec<String>>,
    /// The last waiting or refusal about each resource, so that a poll does not repeat it.
    last: &'a RefCell<BTreeMap<String, String>>,
    calls: &'a dyn Fn() -> BTreeMap<String, u32>,
    told: &'a RefCell<Vec<String>>,
}

impl<J: Journal> Desk<'_, J> {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A line for the run's history; also said in the log and in the answer. A waiting or a refusal that was just said
    /// about the same thing is not repeated: `None`.
    pub fn line(&self, kind: EntryKind, about: &str, said: impl Into<String>) -> Option<Entry> {
        let said = said.into();
        if matches!(kind, EntryKind::Waiting | EntryKind::Refusal | EntryKind::Failure)
            && self.last.borrow_mut().insert(about.to_owned(), said.clone()).as_deref() == Some(said.as_str())
        {
            return None;
        }
        let level = match kind {
            EntryKind::Failure => Level::Error,
            EntryKind::Refusal => Level::Warn,
            _ => Level::Info,
        };
        self.voice.say(level, &if about.is_empty() { said.clone() } else { format!("{about}: {said}") }, self.run.as_ref().map(|run| run.0.as_str()));
        self.said.borrow_mut().push(said.clone());
        Some(Entry { about: about.to_owned(), ..entry(kind, &said, self.function, self.now()) })
    }

    /// Writes changes and lines as one. `Lost`: somebody else was first; the turn ends with [`Next::Again`].
    pub async fn write(&self, changes: Vec<Write>, lines: impl IntoIterator<Item = Entry>) -> Result<Written, JournalError> {
        let mut entries: Vec<(RunId, Entry)> = match &self.run {
            Some(run) => lines.into_iter().map(|line| (run.clone(), line)).collect(),
            None => Vec::new(),
        };
        if changes.is_empty() && entries.is_empty() {
            return Ok(Written::Done);
        }
        if let Some((_, last)) = entries.last_mut() {
            last.calls = (self.calls)();
        }
        self.journal.write(changes, entries).await
    }

    /// Tells the other functions, after the turn, that something they wait for is there. For what is complete only:
    /// Lambda's recursion detection counts hops.
    pub fn tell(&self, what: impl Into<String>) {
        self.told.borrow_mut().push(what.into());
    }

    /// As [`Desk::write`], with the line in the history of a run that is over, whichever is open.
    pub async fn write_of(&self, run: &RunId, changes: Vec<Write>, line: Option<Entry>) -> Result<Written, JournalError> {
        self.journal.write(changes, line.map(|line| (run.clone(), line)).into_iter().collect()).await
    }

    /// The history of a run, for its report.
    pub async fn history(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        self.journal.history(run).await
    }

    /// The progress of this function in the open run, as a change of its item.
    pub fn progress<T: Serialize>(&self, view: &View, part: Part, progress: &T) -> Result<Write, WorkError> {
        let run = view.snapshot.head.run.as_ref().map_or_else(RunId::none, |run| run.id.clone());
        put(view, Key::Progress(part), &OfRun { run, progress })
    }
}

/// A change of an item on the condition of what the view saw.
pub fn put<T: Serialize>(view: &View, key: Key, body: &T) -> Result<Write, WorkError> {
    view.snapshot.write(key, body).map_err(|source| WorkError::Shape("an item", source))
}

/// The removal of an item on the condition of what the view saw.
pub fn remove(view: &View, key: Key) -> Write {
    Write { expected: view.snapshot.revision(&key), key, change: Change::Delete }
}

/// Everything that an invocation brings beside the event.
pub struct Nudge<'a, J, N> {
    pub journal: &'a J,
    pub notices: &'a N,
    pub clock: Clock,
    pub voice: Voice,
    /// How long this invocation may keep polling.
    pub budget: Duration,
    /// Takes the calls counted since it was last asked.
    pub calls: &'a dyn Fn() -> BTreeMap<String, u32>,
}

impl<J: Journal, N: Notices> Nudge<'_, J, N> {
    /// Handles one event.
    pub async fn run<W: Work>(&self, work: &mut W, event: &Value) -> Result<Answer, NudgeError> {
        let parsed = event::parse(event);
        for unreadable in &parsed.unreadable {
            self.voice.say(Level::Error, &unreadable.to_string(), None);
        }
        if parsed.triggers.is_empty() {
            return Err(NudgeError::Unreadable(parsed.unreadable));
        }
        // A stack that was just deployed ticks before it has a plan: nothing to do, and nothing to fill the dead letters with. Whoever brings
        // more than a tick is told by an error.
        let only_ticks = parsed.unreadable.is_empty() && parsed.triggers.iter().all(|trigger| matches!(trigger, Trigger::Tick | Trigger::Readiness));
        let answer = match self.turns(work, parsed.triggers).await {
            Err(error @ NudgeError::NoPlan) if only_ticks => {
                return Ok(Answer { function: W::NAME.to_owned(), phase: "no plan".to_owned(), way_on: error.to_string(), ..Answer::default() });
            }
            answer => answer,
        };
        if let Err(error) = &answer {
            self.voice.say(Level::Error, &error.to_string(), None);
        }
        for failed in work.afterwards().await {
            self.voice.say(Level::Warn, &failed, None);
        }
        match answer {
            Ok(_) if !parsed.unreadable.is_empty() => Err(NudgeError::Unreadable(parsed.unreadable)),
            answer => answer,
        }
    }

    async fn turns<W: Work>(&self, work: &mut W, mut triggers: Vec<Trigger>) -> Result<Answer, NudgeError> {
        let owner = format!("{}/{}", W::NAME, self.voice.request_id);
        let said = RefCell::new(Vec::new());
        let last = RefCell::new(BTreeMap::new());
        let started = tokio::time::Instant::now();
        let (mut lease, mut measured) = (None, false);
        let mut asked = triggers.iter().any(Trigger::asks_readiness);
        let mut turns = 0;
        loop {
            let view = self.look().await?;
            turns += 1;
            if turns > TURNS {
                self.release(&view, &mut lease).await?;
                return Err(NudgeError::Endless);
            }
            if self.fold(&view, &mut triggers, &said).await? == Written::Lost || self.advance(&view, &said).await? {
                continue;
            }
            if !std::mem::replace(&mut measured, true) {
                work.measure(&view);
            }
            if std::mem::take(&mut asked) || (work.owes_readiness(&view) && not_asked(&view).is_none()) {
                let told = RefCell::new(Vec::new());
                let desk = self.desk::<W>(&view, &said, &last, &told);
                if let Some(why) = not_asked(&view) {
                    desk.line(EntryKind::Operator, "", why);
                } else {
                    let next = work.readiness(&view, &desk).await?;
                    let time_left = started.elapsed() + GLANCE < self.budget;
                    if next == Next::Poll && !time_left {
                        desk.line(EntryKind::Waiting, "", "asked; a later tick says what was seen");
                        return Ok(self.answer::<W>(&view, said.into_inner()));
                    }
                    asked = next != Next::Idle;
                    for what in told.take() {
                        self.wake(&view, what).await;
                    }
                    if next == Next::Poll {
                        tokio::time::sleep(GLANCE).await;
                        turns = 0;
                    }
                }
                continue;
            }
            if let Some(Question { asked_at }) = look::unanswered(&view, W::NAME)
                && let Some(sight) = work.look(&view).await
            {
                let answer = put(&view, Key::Sight(W::NAME.to_owned()), &Answered { asked_at, sight })?;
                self.journal.write(vec![answer], Vec::new()).await?;
                continue;
            }
            // In `observe` mode nothing is ever changed; the watcher still looks, which is its work and changes nothing.
            let wanted = work.wanted(&view) && (view.plan.policy.mode == ActMode::Act || W::NAME == "watch-primary");
            if !wanted {
                if self.release(&view, &mut lease).await? {
                    continue;
                }
                return Ok(self.answer::<W>(&view, said.into_inner()));
            }
            match self.take_lease::<W>(&view, &owner, &mut lease).await? {
                Taken::Mine => {}
                Taken::Lost => continue,
                // scale-up must not lose a minute to scale-down's last turn: another function's lease is waited for.
                Taken::By(other) if !other.starts_with(&format!("{}/", W::NAME)) && started.elapsed() + poll(&view) < self.budget => {
                    tokio::time::sleep(poll(&view)).await;
                    turns = 0;
                    continue;
                }
                Taken::By(other) => {
                    said.borrow_mut().push(format!("{other} is at work on it"));
                    return Ok(self.answer::<W>(&view, said.into_inner()));
                }
            }
            let told = RefCell::new(Vec::new());
            let desk = self.desk::<W>(&view, &said, &last, &told);
            let next = match work.work(&view, &desk).await {
                Ok(next) => next,
                Err(WorkError::Call(error)) if error.passes() && view.run().is_some() => {
                    let line = desk.line(EntryKind::Failure, "", error.to_string());
                    desk.write(Vec::new(), line).await?;
                    Next::Poll
                }
                Err(error) => {
                    let line = desk.line(EntryKind::Failure, "", error.to_string());
                    // In peace it is said each minute, in the log: a run that is over has its report.
                    if view.run().is_some() {
                        desk.write(Vec::new(), line).await?;
                    }
                    self.release(&view, &mut lease).await?;
                    return Err(error.into());
                }
            };
            for what in told.take() {
                self.wake(&view, what).await;
            }
            let poll = poll(&view);
            let time_left = started.elapsed() + poll < self.budget;
            match next {
                Next::Again => {}
                Next::Poll if time_left && view.run().is_some() => {
                    self.wait(&view, poll).await?;
                    turns = 0;
                }
                // Nobody can have met a lease that was not taken: in peace one read is enough.
                Next::Idle | Next::Poll if lease.is_none() => return Ok(self.answer::<W>(&view, said.into_inner())),
                Next::Idle | Next::Poll => {
                    // A nudge that met our lease has ended; what it announced was written before we let go, so one more
                    // look after letting go misses nothing.
                    let before = view.snapshot.revision(&Key::Head);
                    self.release(&view, &mut lease).await?;
                    let view = self.look().await?;
                    let changed = view.snapshot.revision(&Key::Head) != before;
                    if changed && time_left {
                        continue;
                    }
                    return Ok(self.answer::<W>(&view, said.into_inner()));
                }
            }
        }
    }

    fn desk<'d, W: Work>(
        &'d self,
        view: &View,
        said: &'d RefCell<Vec<String>>,
        last: &'d RefCell<BTreeMap<String, String>>,
        told: &'d RefCell<Vec<String>>,
    ) -> Desk<'d, J> {
        let run = view.snapshot.head.run.as_ref().map(|run| run.id.clone());
        Desk { journal: self.journal, clock: self.clock, function: W::NAME, run, voice: &self.voice, said, last, calls: self.calls, told }
    }

    /// Waits for a poll's length, or until the run or what a part has done in it changed: AWS is asked no faster than the plan
    /// says, but a step that another function took is not slept through.
    async fn wait(&self, view: &View, poll: Duration) -> Result<(), NudgeError> {
        let until = tokio::time::Instant::now() + poll;
        while tokio::time::Instant::now() + GLANCE < until {
            tokio::time::sleep(GLANCE).await;
            if !self.journal.read().await?.steps().eq(view.snapshot.steps()) {
                return Ok(());
            }
        }
        tokio::time::sleep_until(until).await;
        Ok(())
    }

    async fn look(&self) -> Result<View, NudgeError> {
        let snapshot = self.journal.read().await?;
        let (version, text) = snapshot.plan_text().ok_or(NudgeError::NoPlan)?;
        let plan = Plan::stored(text).map_err(|source| NudgeError::PlanUnread {
            version,
            remedy: match snapshot.head.open_run() {
                Some(_) => "the open run follows it: deploy the version of Relight that knows it",
                None => "deploy the version of Relight that knows it, or put a plan that this one knows",
            },
            source,
        })?;
        Ok(View { plan, snapshot, now: self.clock.now() })
    }

    /// Folds what is still unfolded, one write a trigger.
    async fn fold(&self, view: &View, triggers: &mut Vec<Trigger>, said: &RefCell<Vec<String>>) -> Result<Written, JournalError> {
        let mut wrote = Written::Done;
        while let Some(trigger) = triggers.first() {
            let folded = fold(&view.plan, &view.snapshot, trigger, self.voice.function, view.now);
            let mut changes = Vec::new();
            if let Some(head) = &folded.head {
                changes.push(view.snapshot.write(Key::Head, head).map_err(shape)?);
            }
            if let Some(evidence) = &folded.evidence {
                changes.push(view.snapshot.write(Key::Evidence, evidence).map_err(shape)?);
            }
            let changed = !changes.is_empty();
            if changed && self.journal.write(changes, folded.entries).await? == Written::Lost {
                return Ok(Written::Lost);
            }
            for sentence in folded.said {
                self.voice.say(Level::Info, &sentence, view.snapshot.head.run.as_ref().map(|run| run.id.0.as_str()));
                said.borrow_mut().push(sentence);
            }
            triggers.remove(0);
            if let Some(run) = folded.head.as_ref().and_then(Head::open_run) {
                let what = said.borrow().last().cloned().unwrap_or_default();
                self.tell(view, run, &what).await;
            }
            if changed {
                // The view is stale now: the other triggers are folded over a new one.
                wrote = Written::Lost;
                break;
            }
        }
        Ok(wrote)
    }

    /// Writes the step that is due, and tells the others. Says whether the view is stale.
    async fn advance(&self, view: &View, said: &RefCell<Vec<String>>) -> Result<bool, NudgeError> {
        let Some(due) = advance(&view.plan, &view.snapshot, view.now)? else { return Ok(false) };
        let Some(run) = due.head.run.clone() else { return Ok(false) };
        let mut changes = vec![view.snapshot.write(Key::Head, &due.head).map_err(shape)?];
        if !run.is_open() {
            let (_, plan) = view.snapshot.plan_text().ok_or(NudgeError::NoPlan)?;
            let owed = OwedReport { run: run.clone(), plan: plan.to_owned(), progress: view.snapshot.progress.clone() };
            changes.push(view.snapshot.write(Key::Report(run.id.clone()), &owed).map_err(shape)?);
        }
        if view.snapshot.head.run.as_ref().is_none_or(|was| was.id != run.id) {
            // The items of the last run make room.
            changes.extend(Part::ALL.into_iter().map(Key::Progress).filter(|key| view.snapshot.revision(key).is_some()).map(|key| remove(view, key)));
        }
        let line = entry(EntryKind::Phase, &due.said, self.voice.function, view.now);
        if self.journal.write(changes, vec![(run.id.clone(), line)]).await? == Written::Done {
            self.voice.say(Level::Info, &due.said, Some(&run.id.0));
            said.borrow_mut().push(due.said.clone());
            self.tell(view, &run, &due.said).await;
        }
        Ok(true)
    }

    /// Wakes the other functions. Best effort, like everything said: the tick is the guarantee.
    async fn wake(&self, view: &View, what: String) {
        let run = view.snapshot.head.run.as_ref().map(|run| run.id.0.clone()).unwrap_or_default();
        self.publish(Notice::Progress { plan: view.plan.name.clone(), run, what }).await;
    }

    /// A new phase wakes the functions and is told to people.
    async fn tell(&self, view: &View, run: &Run, what: &str) {
        let plan = &view.plan.name;
        let subject = format!("Relight {plan}: {} {:?}", run.mode, run.phase);
        let people = Notice::People { subject, text: format!("{what}\nplan {plan}, run {}, {}", run.id, view.now) };
        self.publish(Notice::Progress { plan: plan.clone(), run: run.id.0.clone(), what: what.to_owned() }).await;
        self.publish(people).await;
    }

    async fn publish(&self, notice: Notice) {
        if let Err(error) = self.notices.publish(&notice).await {
            self.voice.say(Level::Warn, &error.to_string(), None);
        }
    }

    async fn take_lease<W: Work>(&self, view: &View, owner: &str, held: &mut Option<Key>) -> Result<Taken, NudgeError> {
        // In peace the same work each minute needs no lease, and no write.
        if view.run().is_none() {
            return Ok(Taken::Mine);
        }
        let lasting = view.plan.policy.poll.saturating_mul(4).max(SignedDuration::from_secs(4));
        if let Some(lease) = view.snapshot.leases.get(W::LEASE) {
            let mine = lease.owner == owner;
            if !mine && view.now < lease.until {
                return Ok(Taken::By(lease.owner.clone()));
            }
            if mine && lease.until.duration_since(view.now) > lasting / 2 {
                return Ok(Taken::Mine);
            }
        }
        let key = Key::Lease(W::LEASE.to_owned());
        let lease = Lease { owner: owner.to_owned(), until: view.now.saturating_add(lasting).unwrap_or(Timestamp::MAX) };
        match self.journal.write(vec![put(view, key.clone(), &lease)?], Vec::new()).await? {
            Written::Lost => Ok(Taken::Lost),
            Written::Done => {
                *held = Some(key);
                // Only a fresh view may be worked on: somebody may have finished while we waited for the lease.
                Ok(Taken::Lost)
            }
        }
    }

    /// Lets the lease go. Says whether it had one.
    async fn release(&self, view: &View, lease: &mut Option<Key>) -> Result<bool, NudgeError> {
        let Some(key) = lease.take() else { return Ok(false) };
        self.journal.write(vec![remove(view, key)], Vec::new()).await?;
        Ok(true)
    }

    fn answer<W: Work>(&self, view: &View, said: Vec<String>) -> Answer {
        let run = view.snapshot.head.run.as_ref();
        Answer {
            function: W::NAME.to_owned(),
            plan: view.plan.name.clone(),
            run: run.map(|run| run.id.0.clone()),
            phase: run.filter(|run| run.is_open()).map_or_else(
                || format!("peace, the {} serves", if view.standby_serves() { "standby" } else { "primary" }),
                |run| format!("{} {:?}", run.mode, run.phase),
            ),
            said,
            way_on: way_on(&view.plan, &view.snapshot, view.now),
        }
    }
}

/// Why nobody asks whether a failover would work.
fn not_asked(view: &View) -> Option<String> {
    match view.run() {
        Some(run) => Some(format!("readiness was not looked at: {} is open in {:?}, and shows it", run.id, run.phase)),
        None if view.standby_serves() => Some("readiness was not looked at: the standby serves, and there is no other".to_owned()),
        None => None,
    }
}

fn poll(view: &View) -> Duration {
    // Validation refuses what would not fit.
    Duration::try_from(view.plan.policy.poll).unwrap_or(Duration::from_secs(5))
}

fn shape(source: serde_json::Error) -> JournalError {
    JournalError::Call { doing: "written", message: source.to_string() }
}

enum Taken {
    Mine,
    Lost,
    By(String),
}
