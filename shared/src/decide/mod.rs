//! The rules, each a pure function of plan, run, what was observed, and `now`.

pub mod capacity;
pub mod drill;
pub mod lag;
pub mod promotion;
pub mod readiness;
pub mod rotation;
pub mod traffic;
pub mod watch;

use std::fmt;

/// What a part should do about one thing. `W` and `R` are the part's own reasons, each one sentence.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision<A, W, R> {
    Act(Vec<A>),
    Done,
    Wait(W),
    Refuse(R),
}

impl<A, W: fmt::Display, R: fmt::Display> Decision<A, W, R> {
    /// The sentence of a waiting or a refusal.
    pub fn why_not(&self) -> Option<String> {
        match self {
            Decision::Wait(waiting) => Some(waiting.to_string()),
            Decision::Refuse(refusal) => Some(refusal.to_string()),
            Decision::Act(_) | Decision::Done => None,
        }
    }
}
