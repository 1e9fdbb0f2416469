//! A run: one execution of the plan, and the one table of its legal transitions.
//!
//! ```text
//! Failover  Suspected ──► Confirmed ──► Activating ──► Active
//!               └────────────┴──────────────┴──► StoodDown ──► Closed
//! Drill     Activating ──► Holding ──► Restoring ──► Closed
//!               └────────────┴────────────┴──► a Failover in Suspected, when the primary really fails
//! Failback  Preparing ──► Synchronised ──► Switching ──► Restoring ──► Closed
//!               └──────────────┴───────────────┴──► Aborted ──► Closed, the standby serves on
//!                                              └───────────┴──► a Failover in Suspected, once users were let home
//! ```
//!
//! Nobody owns the phase: [`crate::advance`] says what is due, and whoever gets there first writes it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl RunId {
    /// `failover-20260105T000511Z`: sorts by time, and reads in a report's file name.
    pub fn new(mode: Mode, at: Timestamp) -> RunId {
        RunId(format!("{mode}-{}", at.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// What is done while there never was a run belongs to this: who put the standby into service by hand has none.
    pub fn none() -> RunId {
        RunId(String::new())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Failover,
    Drill,
    Failback,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Failover => "failover",
            Mode::Drill => "drill",
            Mode::Failback => "failback",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Some observer says Down. What is cheap and undone easily starts.
    Suspected,
    /// The quorum says Down. Slow and churning changes start, every veto is judged, the primary is held out.
    Confirmed,
    /// Past the point of no return; in a drill, on the way to full capacity.
    Activating,
    /// The standby serves; the run is over.
    Active,
    /// Undoing all of it.
    StoodDown,
    /// A drill at full capacity.
    Holding,
    /// A drill on its way back to the baseline; a failback whose users are home, and whose standby is rebuilt.
    Restoring,
    /// A failback sets the old writer aside and builds a replica at home.
    Preparing,
    /// The replica at home follows, and is compared. The moment of the switch is awaited.
    Synchronised,
    /// Writes pause; the last of them goes home, then the promotion, the secrets, the users.
    Switching,
    /// A failback that goes back: writes are opened again, the standby serves on.
    Aborted,
    /// Over, with nothing left behind.
    Closed,
}

impl Phase {
    pub fn is_open(self) -> bool {
        !matches!(self, Phase::Active | Phase::Closed)
    }
}

/// What can happen to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The quorum said Down over the dwell, or the operator said so.
    Confirm,
    /// The point of no return.
    Commit,
    /// Every database proven, every secret repointed, traffic open, least capacity reached.
    Complete,
    /// The primary is back, the suspicion expired, or the operator said so.
    StandDown,
    /// Down again while it was being undone.
    Suspect,
    /// All undone and verified.
    Restored,
    /// A drill reached full capacity and rehearsed, or gave up rehearsing.
    Hold,
    /// A drill's hold is over, or its deadline has passed.
    Restore,
    /// The primary really failed during a drill, or once a failback had let users home.
    RealFailure,
    /// The replica at home follows, and the rows left behind are known.
    Synchronise,
    /// The moment: writes pause.
    Switch,
    /// Users are home.
    ComeHome,
    /// The way home is given up.
    Abort,
}

/// The table. Whatever is not in it is illegal.
pub fn transition(mode: Mode, phase: Phase, step: Step) -> Result<(Mode, Phase), Illegal> {
    use Mode::{Drill, Failback, Failover};
    use Phase::*;
    Ok(match (mode, phase, step) {
        (Failover, Suspected, Step::Confirm) => (Failover, Confirmed),
        (Failover, Confirmed, Step::Commit) => (Failover, Activating),
        (Failover, Activating, Step::Complete) => (Failover, Active),
        (Failover, Suspected | Confirmed | Activating, Step::StandDown) => (Failover, StoodDown),
        (Failover, StoodDown, Step::Suspect) => (Failover, Suspected),
        (Failover, StoodDown, Step::Restored) => (Failover, Closed),
        (Drill, Activating, Step::Hold) => (Drill, Holding),
        (Drill, Activating | Holding, Step::Restore) => (Drill, Restoring),
        (Drill, Restoring, Step::Restored) => (Drill, Closed),
        (Drill, Activating | Holding | Restoring, Step::RealFailure) => (Failover, Suspected),
        (Failback, Preparing, Step::Synchronise) => (Failback, Synchronised),
        (Failback, Synchronised, Step::Switch) => (Failback, Switching),
        // A record within the phase: what follows it is waited for as before.
        (Failback, Switching, Step::Commit) => (Failback, Switching),
        (Failback, Switching, Step::ComeHome) => (Failback, Restoring),
        (Failback, Preparing | Synchronised | Switching, Step::Abort) => (Failback, Aborted),
        (Failback, Aborted | Restoring, Step::Restored) => (Failback, Closed),
        (Failback, Switching | Restoring, Step::RealFailure) => (Failover, Suspected),
        _ => return Err(Illegal { mode, phase, step }),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {mode} in {phase:?} cannot {step:?}")]
pub struct Illegal {
    pub mode: Mode,
    pub phase: Phase,
    pub step: Step,
}

/// What a person allowed, each with who and when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Words {
    /// Counts as the quorum.
    pub failover: Option<Said>,
    pub approve: Option<Said>,
    pub accept_loss: Option<Said>,
    pub switch_anyway: Option<Said>,
    pub stand_down: Option<Said>,
    /// The moment at which writes may pause for the switch home.
    pub switch_home: Option<Said>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub by: String,
    pub at: Timestamp,
}

/// One execution of the plan. What each function has done in it stands in [`crate::state::Progress`], not here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub mode: Mode,
    pub phase: Phase,
    /// The plan's version that it began with; a newer one counts from `replan` on.
    pub plan_version: u64,
    pub opened_at: Timestamp,
    pub phase_since: Timestamp,
    /// The sentence that opened it.
    pub cause: String,
    /// The first Down of the evidence that opened it. Lag is judged relative to it and frozen there.
    pub first_down: Option<Timestamp>,
    /// When the quorum had held for the dwell.
    pub confirmed_at: Option<Timestamp>,
    /// The point of no return.
    pub committed_at: Option<Timestamp>,
    /// When it became Active or Closed.
    pub ended_at: Option<Timestamp>,
    /// Set when a drill became a failover.
    #[serde(default)]
    pub was_drill: bool,
    /// Set when a failback became a failover.
    #[serde(default)]
    pub was_failback: bool,
    /// When a failback's users were home.
    #[serde(default)]
    pub came_home_at: Option<Timestamp>,
    #[serde(default)]
    pub words: Words,
}

impl Run {
    pub fn is_open(&self) -> bool {
        self.phase.is_open()
    }

    /// Takes one legal step.
    pub fn step(&mut self, step: Step, now: Timestamp) -> Result<(), Illegal> {
        let (mode, phase) = transition(self.mode, self.phase, step)?;
        self.was_drill |= self.mode != mode && self.mode == Mode::Drill;
        self.was_failback |= self.mode != mode && self.mode == Mode::Failback;
        if matches!(step, Step::Suspect | Step::RealFailure) {
            // What was confirmed, allowed or accepted was so for another failure: a loss accepted at noon is not one
            // accepted at midnight.
            (self.first_down, self.confirmed_at, self.committed_at, self.words) = (None, None, None, Words::default());
        }
        if (self.mode, self.phase) != (mode, phase) {
            self.phase_since = now;
        }
        self.mode = mode;
        self.phase = phase;
        if !phase.is_open() {
            self.ended_at = Some(now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
