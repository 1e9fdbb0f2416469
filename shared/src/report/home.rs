//! What a failback adds to a report.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Resource;
use crate::plan::Plan;
use crate::run::Run;
use crate::state::Snapshot;

/// The milestone that tells a failback that came home from one that was given up.
pub(super) const USERS_HOME: &str = "users are home";

/// Rows of one table that the old writer had for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsLeft {
    pub database: String,
    pub table: String,
    /// Rows that the serving database lacked.
    pub missing: u64,
    /// Rows that it had otherwise.
    pub differing: u64,
    /// Where they lie, one JSON object a line.
    pub file: String,
}

pub(super) fn rows_left(snapshot: &Snapshot) -> Vec<RowsLeft> {
    let databases = &snapshot.progress.rotation.home.databases;
    let tables = databases.iter().flat_map(|(database, step)| step.left.iter().map(move |(table, left)| (database, table, left)));
    tables
        .map(|(database, table, left)| RowsLeft {
            database: database.clone(),
            table: table.clone(),
            missing: left.missing,
            differing: left.differing,
            file: left.file.clone(),
        })
        .collect()
}

/// The instances that are the operator's to delete.
pub(super) fn set_aside(plan: &Plan, snapshot: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for database in &plan.databases {
        let Some(step) = snapshot.progress.promotion.home.get(&database.name) else { continue };
        if let Some(kept) = &step.lost_kept {
            lines.push(format!(
                "the rows that the failover of {} lost are in the cluster snapshot {kept} in {}: restore it beside the database, look for them, and delete it when they are settled",
                database.name, plan.primary
            ));
        }
        let of = [(&step.left, step.left_at, &plan.primary), (&step.standby_left, step.standby_left_at, &plan.standby)];
        for (left, _, region) in of.into_iter().filter(|(_, at, _)| at.is_some()) {
            if let Some(left) = left {
                lines.push(format!("{left} in {region} was set aside, with a last snapshot of the same name; nothing needs it any more: delete it when its rows are settled"));
            }
        }
    }
    lines
}

pub(super) fn not_proven(plan: &Plan, snapshot: &Snapshot, run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    for database in &plan.databases {
        let Some(step) = snapshot.progress.rotation.home.databases.get(&database.name) else { continue };
        lines.extend(step.left_out.iter().map(|why| format!("that no row of {} is left behind in {why}", database.name)));
    }
    if run.came_home_at.is_some() {
        if plan.home_page().is_none() {
            lines.push("that the primary serves: the plan has no probe to ask its health page with".to_owned());
        }
        lines.push("that the next failover works: a drill shows it".to_owned());
    }
    lines
}

pub(super) fn milestones(snapshot: &Snapshot, run: &Run) -> Vec<(String, Option<Timestamp>)> {
    let progress = &snapshot.progress;
    let mut all = Vec::new();
    for (name, step) in &progress.promotion.home {
        all.push((format!("{name}: old writer set aside"), step.left_at));
        all.push((format!("{name}: replicates home"), step.replicating_at));
        all.push((format!("{name}: promotion at home requested"), step.promote_called_at));
        all.push((format!("{name}: promoted at home"), step.promoted_at));
        all.push((format!("{name}: replica built again"), step.replica_ready_at));
    }
    for (name, step) in &progress.rotation.home.databases {
        all.push((format!("{name}: rows left behind known"), step.left_compared_at));
        all.push((format!("{name}: writes closed"), step.closed_at));
        all.push((format!("{name}: last write at home"), step.reached_at));
        all.push((format!("{name}: proven writable at home"), step.proven_at));
        all.push((format!("{name}: writes open again"), step.reopened_at));
    }
    for (name, step) in &progress.rotation.home.secrets {
        all.push((format!("{name}: written at home"), step.written_at));
        all.push((format!("{name}: replicated again"), step.replicated_at));
    }
    all.push((USERS_HOME.to_owned(), run.came_home_at));
    all
}

pub(super) fn resources(plan: &Plan, snapshot: &Snapshot) -> Vec<Resource> {
    let progress = &snapshot.progress;
    let bar = |name: String, by: &str, requested_at, reached_at| Resource { name, by: by.to_owned(), requested_at, reached_at, said: String::new() };
    let mut rows = Vec::new();
    for database in &plan.databases {
        let Some(step) = progress.promotion.home.get(&database.name) else { continue };
        rows.push(bar(format!("replica of {} at home", database.name), "promote-replica", step.requested_at, step.replicating_at));
        rows.push(bar(format!("database/{} at home", database.name), "promote-replica", step.promote_called_at, step.promoted_at));
        rows.push(bar(format!("replica of {} again", database.name), "promote-replica", step.rebuild_requested_at, step.replica_ready_at));
        if let Some(logins) = progress.rotation.home.databases.get(&database.name) {
            rows.push(bar(
                format!("writes of {} closed", database.name),
                "rotate-secret",
                logins.closing_at,
                logins.reopened_at.or(progress.traffic.home.home_at),
            ));
        }
    }
    rows.into_iter().filter(|row| row.requested_at.is_some()).collect()
}
