//! The copies of a drill that were restored from a snapshot: what that took, and what it does not show.

use std::collections::BTreeMap;

use crate::decide::drill::restored_in;
use crate::plan::{Database, Plan};
use crate::run::{Mode, Run};
use crate::state::Progress;

pub(super) fn seconds(progress: &Progress, run: &Run) -> BTreeMap<String, f64> {
    let copies = progress.promotion.copies.keys().filter(|_| run.mode == Mode::Drill);
    copies.filter_map(|name| Some((name.clone(), restored_in(progress, name)?.as_secs_f64()))).collect()
}

/// Of a cluster of Aurora's the report says it beside what else no drill shows of one.
pub(super) fn not_proven(plan: &Plan, progress: &Progress) -> impl Iterator<Item = String> {
    let replica = |name: &str| !plan.database(name).is_some_and(Database::is_global);
    let restored = progress.promotion.copies.iter().filter(move |(name, copy)| copy.is_restored() && replica(name));
    restored.map(|(name, _)| format!("how long the promotion of {name} takes, and so a recovery: its copy was restored from a snapshot"))
}
