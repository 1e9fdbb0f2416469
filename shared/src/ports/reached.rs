//! How far a replica came, as it says itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Lsn;

/// What a replica knows of its source. All times but the caller's own are the source's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reached {
    /// All of the log that it has, and what of it is visible. The rest is replayed by a promotion, so it is not lost. Zero for an engine that
    /// says nothing of it.
    pub received: Lsn,
    pub replayed: Lsn,
    /// The same in the words of an engine whose log has no such positions.
    pub log: Option<String>,
    /// The newest commit that it replayed. It says nothing of a source that has committed nothing since.
    pub committed_at: Option<Timestamp>,
    /// The last beat that was written through the source, where the plan has a heartbeat.
    pub beat_at: Option<Timestamp>,
    /// When its source, still connected, last said where its own log ended, and that was here. Only a user that may see statistics of
    /// others learns it.
    pub level_at: Option<Timestamp>,
}

impl Reached {
    /// The positions, for a sentence to go on with; nothing where there are none.
    pub fn of_log(&self) -> String {
        match (&self.log, self.received) {
            (Some(log), _) => format!("; {log}"),
            (None, Lsn(0)) => String::new(),
            (None, received) => format!("; {received} of the log received, {} replayed", self.replayed),
        }
    }

    /// Every commit until then is here, and who says so; `None`: it says nothing that tells.
    pub fn until(&self) -> Option<(Timestamp, Telling)> {
        let told = [(self.committed_at, Telling::Commit), (self.beat_at, Telling::Beat), (self.level_at, Telling::Level)];
        told.into_iter().filter_map(|(at, telling)| Some((at?, telling))).max_by_key(|(at, _)| *at)
    }
}

/// What of a replica's words tells how far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Commit,
    Beat,
    Level,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_what_it_says_tells() {
        let at = |second: i64| Timestamp::from_second(second).ok();
        let reached = Reached { committed_at: at(3), beat_at: at(2), level_at: at(1), ..Reached::default() };
        assert_eq!(reached.until(), at(3).map(|at| (at, Telling::Commit)));
        assert_eq!(Reached { beat_at: at(4), ..reached.clone() }.until(), at(4).map(|at| (at, Telling::Beat)));
        assert_eq!(Reached { level_at: at(5), ..reached }.until(), at(5).map(|at| (at, Telling::Level)));
        assert_eq!(Reached::default().until(), None);
    }
}
