//! Who saw the primary how, and since when; and what all of them together say.
//!
//! Missing or stale evidence is [`Word::Unknown`], and unknown never confirms anything. Alarms arrive twice, late and out
//! of order, so a word is replaced only by one that was spoken later. An alarm is only told, by a topic, to which others may
//! publish: a quorum of any word holds at least one observer that Relight itself asked.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::plan::{ObserverKind, Plan};

/// An alarm notifies once, on its change of state. Its word counts this long from StateChangeTime.
pub const ALARM_AGES: SignedDuration = SignedDuration::from_mins(30);
/// A probe speaks each minute; after three silent ones it has nothing to say.
pub const PROBE_AGES: SignedDuration = SignedDuration::from_mins(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Up,
    Down,
    Unknown,
}

/// The last word of one observer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    pub word: Word,
    /// When it began to say so.
    pub since: Timestamp,
    /// When it last said so.
    pub seen: Timestamp,
    /// Why, for the report: "no answer within 3 s", "Threshold Crossed: ...".
    pub reason: String,
}

/// The observers' memory. It belongs to the plan and outlives runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    #[serde(default)]
    pub observers: BTreeMap<String, Sighting>,
}

impl Evidence {
    /// Takes in the word of an observer that is asked again and again. Says whether anything but the time of the last look
    /// changed. An older word changes nothing.
    pub fn hear(&mut self, observer: &str, word: Word, at: Timestamp, reason: impl Into<String>) -> Heard {
        match self.observers.get_mut(observer) {
            // A look is never older than the last one by more than a clock that jumped; then the new one counts.
            Some(held) if at < held.seen && held.seen.duration_since(at) <= PROBE_AGES => Heard::Older,
            Some(held) if at >= held.seen && held.word == word => {
                held.seen = at;
                held.reason = reason.into();
                Heard::Again
            }
            _ => self.replace(observer, word, at, reason.into()),
        }
    }

    /// Takes in an alarm's change of state. It tells of changes only: the same state with a later time was another one in
    /// between, whose message is lost or late, and counts from now on.
    pub fn hear_change(&mut self, observer: &str, word: Word, at: Timestamp, reason: impl Into<String>) -> Heard {
        match self.observers.get(observer) {
            Some(held) if at < held.since => Heard::Older,
            Some(held) if at == held.since && held.word == word => Heard::Again,
            _ => self.replace(observer, word, at, reason.into()),
        }
    }

    fn replace(&mut self, observer: &str, word: Word, at: Timestamp, reason: String) -> Heard {
        self.observers.insert(observer.to_owned(), Sighting { word, since: at, seen: at, reason });
        Heard::Changed
    }

    /// What each independent source says at `now`.
    pub fn judge(&self, plan: &Plan, now: Timestamp) -> Verdict {
        let mut sources: BTreeMap<&str, Option<(&str, &Sighting)>> = BTreeMap::new();
        for observer in &plan.observers {
            let said = self.said(plan, &observer.name, now).map(|said| (observer.name.as_str(), said));
            let source = sources.entry(observer.source()).or_default();
            // Two witnesses through one source: the one that looked last knows better; any word beats none.
            if said.map(|(_, said)| said.seen) > source.map(|(_, said)| said.seen) {
                *source = said;
            }
        }
        let mut verdict = Verdict::default();
        for (source, said) in sources {
            let Some((observer, said)) = said else {
                verdict.unknown.insert(source.to_owned());
                continue;
            };
            let words = if said.word == Word::Down { &mut verdict.down } else { &mut verdict.up };
            words.insert(source.to_owned(), said.since);
            verdict.speakers.insert(source.to_owned(), observer.to_owned());
        }
        verdict
    }

    /// The word of one observer at `now`, aged.
    pub fn word(&self, plan: &Plan, observer: &str, now: Timestamp) -> (Word, Timestamp) {
        self.said(plan, observer, now).map_or((Word::Unknown, now), |said| (said.word, said.since))
    }

    /// What an observer says, unless it says nothing or its word has aged.
    fn said(&self, plan: &Plan, observer: &str, now: Timestamp) -> Option<&Sighting> {
        let sighting = self.observers.get(observer)?;
        let ages = match plan.observer(observer)?.kind {
            ObserverKind::Alarm { .. } => ALARM_AGES,
            ObserverKind::Probe { .. } | ObserverKind::Checkers { .. } => PROBE_AGES,
        };
        // A word from the future is a clock that jumped: as good as none.
        let age = now.duration_since(sighting.seen);
        (sighting.word != Word::Unknown && age <= ages && age >= -PROBE_AGES).then_some(sighting)
    }
}

/// What became of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Changed,
    Again,
    Older,
}

/// What the independent sources say, each with the time since when.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    pub down: BTreeMap<String, Timestamp>,
    pub up: BTreeMap<String, Timestamp>,
    pub unknown: BTreeSet<String>,
    /// Of each source that says something, the observer whose word counts.
    pub speakers: BTreeMap<String, String>,
}

impl Verdict {
    /// Enough independent observers say Down at this moment, and one of them was asked.
    pub fn quorum_down(&self, plan: &Plan) -> bool {
        self.down.len() >= plan.policy.quorum && self.down.keys().any(|source| self.was_asked(plan, source))
    }

    /// The moment from which the quorum had said Down for the dwell; `None` while it has not.
    pub fn confirmed_at(&self, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
        self.held_since(&self.down, plan, now)
    }

    /// Enough independent observers have said Up for the dwell, and not as many say Down: where the quorum is no majority both
    /// can be, and a run would be confirmed and stood down without end.
    pub fn back(&self, plan: &Plan, now: Timestamp) -> bool {
        self.held_since(&self.up, plan, now).is_some() && !self.quorum_down(plan)
    }

    /// The first Down among those that hold now.
    pub fn first_down(&self) -> Option<Timestamp> {
        self.down.values().min().copied()
    }

    /// Whether a source's word is of an observer that Relight asked, and not one that came by a topic: whoever may publish there can speak
    /// for all of those.
    fn was_asked(&self, plan: &Plan, source: &str) -> bool {
        self.speakers.get(source).and_then(|name| plan.observer(name)).is_some_and(|observer| !observer.is_told())
    }

    /// From when on so many as the quorum asks for, one of them asked, had said so for the dwell.
    fn held_since(&self, words: &BTreeMap<String, Timestamp>, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
        let mut since: Vec<Timestamp> = words.values().copied().collect();
        since.sort();
        let complete = *since.get(plan.policy.quorum.max(1) - 1)?;
        let asked = words.iter().filter(|(source, _)| self.was_asked(plan, source)).map(|(_, since)| *since).min()?;
        let confirmed = complete.max(asked).saturating_add(plan.policy.dwell).unwrap_or(Timestamp::MAX);
        (confirmed <= now).then_some(confirmed)
    }
}

#[cfg(test)]
mod tests;
