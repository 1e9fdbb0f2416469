//! The run as it happens, on the terminal: what its history says, with the time since the failure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use relight::ports::EntryKind;
use relight::report::Report;
use relight::run::{Run, RunId};
use relight::state::Snapshot;

use crate::{Error, Stage};

/// Prints new lines of a run's history.
pub struct Teller {
    zero: Timestamp,
    /// How many lines were told, and of which run.
    told: usize,
    of: Option<RunId>,
}

impl Teller {
    /// Times are counted from `zero`.
    pub fn new(zero: Timestamp) -> Teller {
        Teller { zero, told: 0, of: None }
    }

    /// The same on a stage that has a history: what it has is not told again.
    pub async fn after(stage: &Stage, zero: Timestamp) -> Result<Teller, Error> {
        let Some(run) = stage.snapshot().await?.head.run else { return Ok(Teller::new(zero)) };
        let told = stage.history(&run.id).await?.len();
        Ok(Teller { zero, told, of: Some(run.id) })
    }

    /// Prints what is new.
    pub async fn tell(&mut self, stage: &Stage, run: &Run) -> Result<(), Error> {
        let history = stage.history(&run.id).await?;
        if self.of.as_ref() != Some(&run.id) {
            (self.told, self.of) = (0, Some(run.id.clone()));
        }
        for entry in history.iter().skip(self.told) {
            let mark = match entry.kind {
                EntryKind::Phase => ">>",
                EntryKind::Reached => "ok",
                EntryKind::Waiting => "..",
                EntryKind::Refusal | EntryKind::Failure => "!!",
                EntryKind::Action | EntryKind::Evidence | EntryKind::Operator | EntryKind::Other => "  ",
            };
            let about = if entry.about.is_empty() { String::new() } else { format!("{}: ", entry.about) };
            self.line(entry.at, &entry.by, &format!("{mark} {about}{}", entry.said));
        }
        self.told = history.len();
        Ok(())
    }

    pub fn line(&self, at: Timestamp, who: &str, what: &str) {
        println!("{:>+7.1} s  {who:<16} {what}", at.duration_since(self.zero).as_secs_f64());
    }

    /// Follows the newest run, telling it, until `over` says so.
    pub async fn follow(
        &mut self,
        stage: &Stage,
        what: &str,
        within: Duration,
        mut over: impl FnMut(&Run, &Snapshot) -> bool,
    ) -> Result<(Run, Snapshot), Error> {
        let teller = &mut *self;
        crate::observe::until(what, within, async || {
            let snapshot = stage.snapshot().await.map_err(|error| error.to_string())?;
            let Some(run) = snapshot.head.run.clone() else { return Err("no run yet".to_owned()) };
            teller.tell(stage, &run).await.map_err(|error| error.to_string())?;
            if over(&run, &snapshot) { Ok((run, snapshot)) } else { Err(format!("{} in {:?}", run.id, run.phase)) }
        })
        .await
    }
}

/// What each function did, in a line each.
pub(super) fn functions(report: &Report) {
    let mut did: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in report.timeline.iter().filter(|row| matches!(row.kind, EntryKind::Action | EntryKind::Reached | EntryKind::Phase)) {
        did.entry(&row.by).or_default().push(&row.said);
    }
    for (function, said) in did {
        println!("{function:<16} {} steps, last: {}", said.len(), said.last().copied().unwrap_or_default());
    }
}
