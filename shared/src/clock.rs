//! The time of one invocation.
//!
//! A wall clock can be set back in the middle of a run; a monotonic one cannot. So the wall is read once, when the
//! invocation starts, and everything after it is measured by tokio's clock, which tests can pause.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// `now`, as the whole invocation sees it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started_at: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts from the wall clock. Called once an invocation: an execution environment may have been frozen before.
    pub fn system() -> Clock {
        Clock::starting_at(Timestamp::now())
    }

    /// Starts from a given moment.
    pub fn starting_at(started_at: Timestamp) -> Clock {
        Clock { started_at, started: Instant::now() }
    }

    pub fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.started_at.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_passes_by_the_monotonic_clock_from_where_the_wall_was() {
        let start: Timestamp = "2026-01-05T00:05:00Z".parse().unwrap();
        let clock = Clock::starting_at(start);
        assert_eq!(clock.now(), start);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(clock.now(), start + SignedDuration::from_secs(61));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_of_time_it_stands_still() {
        let clock = Clock::starting_at(Timestamp::MAX);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
