//! What one turn records: the progress of all databases in one item, with its lines, before an act and after it.

use relight::nudge::{Desk, Next, View, WorkError, put};
use relight::ports::{Entry, EntryKind, Journal, Write, Written};
use relight::state::{Key, Part, PromotionProgress};

pub(crate) struct Ledger<'a, 'd, J> {
    view: &'a View,
    desk: &'a Desk<'d, J>,
    pub(crate) progress: PromotionProgress,
    /// As the journal holds it.
    held: PromotionProgress,
    revision: Option<u64>,
    lines: Vec<Entry>,
    wrote: bool,
    waits: bool,
}

impl<'a, 'd, J: Journal> Ledger<'a, 'd, J> {
    pub(crate) fn open(view: &'a View, desk: &'a Desk<'d, J>) -> Ledger<'a, 'd, J> {
        let progress = view.snapshot.progress.promotion.clone();
        let revision = view.snapshot.revision(&Key::Progress(Part::Promotion));
        Ledger { view, desk, held: progress.clone(), progress, revision, lines: Vec::new(), wrote: false, waits: false }
    }

    pub(crate) fn line(&mut self, kind: EntryKind, about: &str, said: impl ToString) {
        self.lines.extend(self.desk.line(kind, about, said.to_string()));
    }

    /// Something will be different within seconds.
    pub(crate) fn wait(&mut self) {
        self.waits = true;
    }

    /// Writes what changed since it was last written. A second write in one turn follows on the revision of the first.
    pub(crate) async fn record(&mut self, mut changes: Vec<Write>) -> Result<Written, WorkError> {
        let changed = self.progress != self.held;
        if changed {
            let write = self.desk.progress(self.view, Part::Promotion, &self.progress)?;
            changes.push(Write { expected: self.revision, ..write });
        }
        let written = self.desk.write(changes, std::mem::take(&mut self.lines)).await?;
        if written == Written::Done && changed {
            self.revision = Some(self.revision.unwrap_or(0) + 1);
            self.held = self.progress.clone();
            self.wrote = true;
        }
        Ok(written)
    }

    /// The head as it was read, written again: makes a record count only while nobody changed the run since. Without it,
    /// a stand-down or a hold written at the same moment by another function would not meet the record of an attempt.
    pub(crate) fn unless_the_run_changed(&self) -> Result<Write, WorkError> {
        put(self.view, Key::Head, &self.view.snapshot.head)
    }

    pub(crate) fn next(&self) -> Next {
        match (self.wrote, self.waits) {
            (true, _) => Next::Again,
            (false, true) => Next::Poll,
            (false, false) => Next::Idle,
        }
    }
}
