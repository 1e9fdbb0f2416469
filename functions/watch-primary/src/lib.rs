//! watch-primary: sees the primary from the standby Region, and lets the primary see that the standby is awake.
//!
//! ```text
//! each turn   probe, checkers' record, heartbeat (peace) ── side by side ──► words ──► evidence ──► a word changed: again,
//!                                                                                                   so that the step is due at once
//! ```
//!
//! It works each minute in peace and keeps looking while its word decides. It changes nothing but the evidence, so it works
//! in `observe` mode too.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use relight::decide::watch::{heartbeat_is_due, keeps_looking, needs_refresh, probed, verdict};
use relight::evidence::{Evidence, Heard, Word};
use relight::nudge::{Desk, Next, View, Work, WorkError, put};
use relight::plan::{Observer, ObserverKind};
use relight::ports::{CallError, EntryKind, Eyes, Journal};
use relight::say;
use relight::state::Key;

#[derive(Debug)]
pub struct WatchPrimary<E> {
    pub eyes: E,
}

impl<E: Eyes> Work for WatchPrimary<E> {
    const NAME: &'static str = "watch-primary";
    const LEASE: &'static str = "watch";

    fn wanted(&self, _: &View) -> bool {
        true
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let observers = &view.plan.observers;
        let words = join_all(observers.iter().map(async |observer| self.ask(observer).await.map(|word| (observer.name.as_str(), word))));
        let (words, heartbeat) = tokio::join!(words, self.heartbeat(view));
        if let Err(error) = heartbeat {
            // Only said: it is the primary Region's alarm that acts on its absence.
            let _said = desk.line(EntryKind::Failure, "heartbeat", error.to_string());
        }
        let changed = hear(words.into_iter().flatten().collect(), view, desk).await?;
        Ok(match view.snapshot.phase() {
            _ if changed => Next::Again,
            phase if keeps_looking(phase) => Next::Poll,
            _ => Next::Idle,
        })
    }
}

impl<E: Eyes> WatchPrimary<E> {
    /// What one observer says now; `None` for an alarm, which speaks by itself.
    async fn ask(&self, observer: &Observer) -> Option<(Word, String)> {
        match &observer.kind {
            ObserverKind::Probe { url, body, timeout } => {
                let within = Duration::try_from(*timeout).unwrap_or_default();
                Some(probed(&self.eyes.fetch(url, within).await, body))
            }
            ObserverKind::Checkers { record, up, .. } => Some(verdict(&self.eyes.texts(record).await, up)),
            ObserverKind::Alarm { .. } => None,
        }
    }

    async fn heartbeat(&self, view: &View) -> Result<(), CallError> {
        if heartbeat_is_due(&view.plan, &view.snapshot, view.now) { self.eyes.heartbeat(&view.plan).await } else { Ok(()) }
    }
}

/// Folds the words in, in one write. Says whether to look again at once: a word changed, or somebody else was first.
async fn hear<J: Journal>(words: Vec<(&str, (Word, String))>, view: &View, desk: &Desk<'_, J>) -> Result<bool, WorkError> {
    // Spoken when the answers are in: a probe that waited for its time-out says what it saw at the end of it.
    let now = desk.now();
    let mut evidence = view.snapshot.evidence.clone();
    let stale = words.iter().any(|(name, _)| needs_refresh(&evidence, name, now));
    let mut changes = Vec::new();
    for (name, (word, reason)) in words {
        if evidence.hear(name, word, now, reason.as_str()) == Heard::Changed {
            changes.push(format!("{name} says {word:?}: {reason}"));
        }
    }
    if changes.is_empty() && !stale {
        return Ok(false);
    }
    let lines: Vec<_> = changes.iter().filter_map(|said| desk.line(EntryKind::Evidence, "", said)).collect();
    let open = view.run().is_some();
    let written = desk.write(vec![put(view, Key::Evidence, &evidence)?], lines.into_iter().filter(|_| open)).await?;
    measure(view, &evidence, desk);
    Ok(!changes.is_empty() || written == relight::ports::Written::Lost)
}

/// How the watch stands, with the log.
fn measure<J: Journal>(view: &View, evidence: &Evidence, desk: &Desk<'_, J>) {
    let now = desk.now();
    let verdict = evidence.judge(&view.plan, now);
    let count = |count: usize| (f64::from(u32::try_from(count).unwrap_or(u32::MAX)), "Count");
    let values = BTreeMap::from([
        ("ObserversDown", count(verdict.down.len())),
        ("ObserversUnknown", count(verdict.unknown.len())),
        ("StandbyServes", count(usize::from(view.standby_serves()))),
    ]);
    say::metrics(&view.plan.name, &values, now);
}
