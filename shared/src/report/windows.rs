//! When applications may have been refused: the windows of secrets with a single user.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, Users};
use crate::run::{Mode, Run};
use crate::state::{SecretStep, Snapshot};

/// Outside of it no login of the secret is refused by its rotation. It is measured from the journal: from the call of the
/// rotation until the new version was seen current, and so holds the time between setSecret and finishSecret, of which
/// nobody but the database and Secrets Manager knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub secret: String,
    pub from: Timestamp,
    /// `None`: it was still open when the report was written.
    pub until: Option<Timestamp>,
    pub seconds: Option<f64>,
}

/// One for each secret of a single user whose rotation was called; in a drill that of its disposable stand-in.
pub(super) fn windows(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Vec<Window> {
    let rotation = &snapshot.progress.rotation;
    let steps = match run.mode {
        Mode::Failover => &rotation.secrets,
        Mode::Drill => &rotation.rehearsal.secrets,
        Mode::Failback => return Vec::new(),
    };
    let single = plan.secrets.iter().filter(|secret| secret.users == Users::Single);
    single
        .filter_map(|secret| {
            let step = steps.get(&secret.name)?;
            let from = step.rotation_called_at?;
            let until = over(step);
            let seconds = until.map(|until| until.duration_since(from).as_secs_f64());
            Some(Window { secret: secret.name.clone(), from, until, seconds })
        })
        .collect()
}

/// The secrets whose window was open when the report was written, and is not any more: the report lacks its end.
pub fn closed_since(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Vec<Window> {
    let open = &snapshot.progress.drill.open_windows;
    let closed: Vec<Window> =
        windows(plan, snapshot, run).into_iter().filter(|window| open.contains(&window.secret) && window.until.is_some()).collect();
    // All at once: a report that is written again and again is read by nobody.
    if closed.len() == open.len() { closed } else { Vec::new() }
}

/// A rotation that was given up is over with the login of what was put in its place.
fn over(step: &SecretStep) -> Option<Timestamp> {
    step.rotated_at.or(step.tested_at.filter(|_| step.failed.is_some()))
}
