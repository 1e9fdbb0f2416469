//! The copies of a drill that were restored from a snapshot: what that took, and what it does not show.

use std::collections::BTreeMap;

use crate::decide::drill::restored_in;
use crate::run::{Mode, Run};
use crate::state::Progress;

pub(super) fn seconds(progress: &Progress, run: &Run) -> BTreeMap<String, f64> {
    let copies = progress.promotion.copies.keys().filter(|_| run.mode == Mode::Drill);
    copies.filter_map(|name| Some((name.clone(), restored_in(progress, name)?.as_secs_f64()))).collect()
}

pub(super) fn not_proven(progress: &Progress) -> impl Iterator<Item = String> {
    let restored = progress.promotion.copies.iter().filter(|(_, copy)| copy.is_restored());
    restored.map(|(name, _)| format!("how long the promotion of {name} takes, and so a recovery: its copy was restored from a snapshot"))
}
