//! scale-down gives back what a run took: the baseline exactly, and everything disposable.
//!
//! ```text
//! sizes        read ─► asked for, bounds first ─► seen as before ─► baseline freed ─► last one: obligation met
//! disposable   removed until gone ─► obligation met ─► sweep: what carries the drill's tag and nobody owes
//!                                                        └─► nothing left: restored
//! peace        the same sweep every six hours, for what the journal lost
//! ```
//!
//! The two go side by side, and neither waits for the other. A baseline is freed only after a look that found the resource
//! as it was, in a write that fails when a run began meanwhile: freed too early, the next run would take a raised size for
//! the baseline.

mod disposable;
mod sizes;

use relight::decide::Decision;
use relight::decide::capacity;
use relight::nudge::{Desk, Next, View, Work, WorkError, put, remove};
use relight::ports::{ClusterCopies, Compute, Database, Entry, EntryKind, Journal, Secrets, Write, Written};
use relight::state::{Key, Memory, Owed, Part, RestoreProgress};

/// One transaction of the journal holds a hundred items.
const AT_ONCE: usize = 40;

pub struct ScaleDown<C, D, S> {
    pub compute: C,
    pub database: D,
    pub secrets: S,
}

impl<C: Compute, D: Database + ClusterCopies, S: Secrets> Work for ScaleDown<C, D, S> {
    const NAME: &'static str = "scale-down";
    /// scale-up's as well: the two never work on one resource at a time.
    const LEASE: &'static str = "capacity";

    fn wanted(&self, view: &View) -> bool {
        let (snapshot, now) = (&view.snapshot, view.now);
        capacity::is_undone(snapshot)
            || capacity::lowering(snapshot, now) != Decision::Done
            || !capacity::disposable(snapshot, now).is_empty()
            || capacity::sweep_due(snapshot, now)
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let (sizes, disposable) = tokio::join!(self.sizes(view, desk.now()), self.disposable(view));
        record(view, desk, sizes, disposable).await
    }
}

/// What one half of a turn found and did.
#[derive(Default)]
struct Half {
    lines: Vec<(EntryKind, String, String)>,
    /// Items of the journal that are no longer needed.
    freed: Vec<Key>,
    /// Something is not yet as it shall be.
    open: bool,
    /// Whatever carries the drill's tag was looked for, and nothing is left.
    swept: bool,
}

impl Half {
    fn say(&mut self, kind: EntryKind, about: &str, said: impl Into<String>) {
        self.lines.push((kind, about.to_owned(), said.into()));
    }
}

async fn record<J: Journal>(
    view: &View,
    desk: &Desk<'_, J>,
    (sizes, mut progress): (Half, RestoreProgress),
    disposable: Half,
) -> Result<Next, WorkError> {
    let undone = capacity::is_undone(&view.snapshot);
    let baseline_left = view.snapshot.baseline.keys().filter(|id| !sizes.freed.contains(&Key::Baseline((*id).clone()))).count();
    let mut freed: Vec<Key> = sizes.freed.into_iter().chain(disposable.freed).take(AT_ONCE).collect();
    if baseline_left == 0 && freed.len() < AT_ONCE && capacity_is_owed(view) && !sizes.open {
        freed.push(Key::Obligation("capacity".to_owned()));
    }

    let complete = undone && baseline_left == 0 && !sizes.open && !disposable.open;
    let since = view.run().map(|run| run.phase_since);
    if complete && freed.len() < AT_ONCE && progress.restored_at.is_none_or(|at| Some(at) < since) {
        progress.restored_at = Some(desk.now());
    }
    let mut changes: Vec<Write> = freed.iter().map(|key| remove(view, key.clone())).collect();
    if !freed.is_empty() {
        changes.push(put(view, Key::Head, &view.snapshot.head)?);
    }
    if progress != view.snapshot.progress.restore {
        changes.push(desk.progress(view, Part::Restore, &progress)?);
    }

    if disposable.swept && capacity::sweep_due(&view.snapshot, view.now) {
        changes.push(put(view, Key::Memory, &Memory { swept_at: Some(desk.now()), ..view.snapshot.memory.clone() })?);
    }

    // With no run open only what was done enters the history; a state that lasts is in each invocation's log.
    let open = view.run().is_some();
    let lines = sizes.lines.into_iter().chain(disposable.lines).filter_map(|(kind, about, said)| {
        let line = desk.line(kind, &about, said)?;
        (open || matches!(kind, EntryKind::Action | EntryKind::Reached)).then_some(line)
    });
    let mut lines: std::vec::IntoIter<Entry> = lines.collect::<Vec<_>>().into_iter();
    let wrote = !changes.is_empty();
    if desk.write(changes, lines.by_ref().take(AT_ONCE).collect::<Vec<_>>()).await? == Written::Lost {
        return Ok(Next::Again);
    }
    while lines.len() > 0 {
        desk.write(Vec::new(), lines.by_ref().take(AT_ONCE).collect::<Vec<_>>()).await?;
    }
    Ok(match () {
        () if !freed.is_empty() || (complete && wrote) => Next::Again,
        // Beside an open failover a copy is removed a turn a tick: polling would keep the lease from scale-up.
        () if undone && (sizes.open || disposable.open) => Next::Poll,
        () => Next::Idle,
    })
}

fn capacity_is_owed(view: &View) -> bool {
    view.snapshot.obligations.values().any(|owed| owed.what == Owed::Capacity)
}
