//! When users are let home, and when they are there.
//!
//! STOP is the last thing that keeps them at the standby, whose writer is closed by then: so it goes as soon as the primary
//! can serve, and not before, since Route 53 follows within seconds.

use std::convert::Infallible;
use std::fmt;

use super::{Users, unhealthy};
use crate::decide::Decision;
use crate::plan::Plan;
use crate::ports::Fetched;
use crate::run::{Mode, Phase, Run};
use crate::state::{Place, Snapshot};

/// What a look leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The primary's health page answers after the promotion.
    PageAnswers,
    /// Users' name leads home, and the primary answers there.
    Home,
}

/// Whether users are let home: every database is proven there, every secret logs in, and the primary's health page answers.
/// What it rests on is recorded and never taken back, so neither is this.
pub fn lets_home(plan: &Plan, snapshot: &Snapshot) -> bool {
    let page = snapshot.progress.traffic.home.page_at.is_some() || plan.home_page().is_none();
    switching(snapshot).is_some_and(|run| ready(plan, snapshot, run) && (page || run.words.switch_anyway.is_some()))
}

/// Whether the primary's health page is to be asked.
pub fn asks_page(plan: &Plan, snapshot: &Snapshot) -> bool {
    switching(snapshot).is_some_and(|run| ready(plan, snapshot, run)) && snapshot.progress.traffic.home.home_at.is_none()
}

/// The failback that is past its point of no return and has not come home.
fn switching(snapshot: &Snapshot) -> Option<&Run> {
    snapshot.head.open_run().filter(|run| run.mode == Mode::Failback && run.phase == Phase::Switching && run.committed_at.is_some())
}

/// `switch-anyway` waives the secrets, never the databases: users would be let into nothing.
fn ready(plan: &Plan, snapshot: &Snapshot, run: &Run) -> bool {
    let rotation = &snapshot.progress.rotation.home;
    let proven = |name: &str| rotation.databases.get(name).is_some_and(|step| step.proven_at.is_some());
    let tested = |name: &str| rotation.secrets.get(name).is_some_and(|step| step.tested_at.is_some());
    plan.databases.iter().all(|database| proven(&database.name))
        && (run.words.switch_anyway.is_some() || plan.secrets.iter().all(|secret| tested(&secret.name)))
}

/// Whether the newest run is a failback that went back to the standby after a promotion at home was attempted: what was
/// promoted there is an old writer, and is fenced like one.
pub fn abandoned(snapshot: &Snapshot) -> bool {
    let given_up = snapshot
        .head
        .run
        .as_ref()
        .is_some_and(|run| run.mode == Mode::Failback && run.came_home_at.is_none() && matches!(run.phase, Phase::Aborted | Phase::Closed));
    given_up && crate::advance::home::attempted(snapshot)
}

/// What is due once the page was asked for; `None` where the plan has no probe to ask it with.
pub fn coming_home(plan: &Plan, snapshot: &Snapshot, users: &Users, page: Option<&Fetched>) -> Decision<Arrival, NotHome, Infallible> {
    let home = &snapshot.progress.traffic.home;
    if let (Some((url, body)), Some(page)) = (plan.home_page(), page)
        && let Some(why) = unhealthy(page, body)
    {
        return Decision::Wait(NotHome::Page { url: url.to_owned(), why });
    }
    if home.page_at.is_none() && page.is_some() {
        return Decision::Act(vec![Arrival::PageAnswers]);
    }
    let record = || plan.traffic.record.clone();
    match users {
        _ if snapshot.progress.traffic.stop_asked_at.is_some() => Decision::Wait(NotHome::Stop),
        Users::At(Place::Primary) => Decision::Act(vec![Arrival::Home]),
        Users::At(Place::Standby) => Decision::Wait(NotHome::AtStandby { record: record() }),
        Users::Unknown(why) => Decision::Wait(NotHome::Unknown { record: record(), why: why.clone() }),
    }
}

/// Why users are not home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotHome {
    Page { url: String, why: String },
    Stop,
    AtStandby { record: String },
    Unknown { record: String, why: String },
}

impl fmt::Display for NotHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotHome::Page { url, why } => write!(f, "users are not home: {url} does not prove that the primary serves: {why}"),
            NotHome::Stop => f.write_str("users are not home: STOP is being taken away"),
            NotHome::AtStandby { record } => {
                write!(
                    f,
                    "users are not home: {record} still answers the standby; Route 53 moves it when STOP is gone and the primary's own check is healthy"
                )
            }
            NotHome::Unknown { record, why } => write!(f, "users are not home: where {record} leads is unknown ({why})"),
        }
    }
}

#[cfg(test)]
mod tests;
