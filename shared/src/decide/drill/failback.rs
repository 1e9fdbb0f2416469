//! What a failback was to show: every row is somewhere, writes paused shortly, and both Regions are as they were.

use jiff::SignedDuration;

use super::{Finding, bad, good, whole_seconds};
use crate::plan::Plan;
use crate::run::Run;
use crate::state::{HomeDatabase, HomeStep, Progress};

pub(super) fn findings(plan: &Plan, progress: &Progress, run: &Run) -> Vec<Finding> {
    let mut findings = Vec::new();
    for database in &plan.databases {
        let name = &database.name;
        let step = progress.promotion.home.get(name).cloned().unwrap_or_default();
        let logins = progress.rotation.home.databases.get(name).cloned().unwrap_or_default();
        findings.push(if database.is_global() { lost_finding(name, &step) } else { left_finding(name, &step, &logins) });
        if run.came_home_at.is_none() {
            continue;
        }
        findings.push(match &logins.compared {
            _ if database.is_global() => good(format!("database {name} came home by a switchover, which waits for the last row")),
            Some(seen) if seen.equal == Some(true) => good(format!("database {name}: {}", seen.said)),
            _ => bad(format!("database {name} was not seen equal at home before it was promoted")),
        });
        findings.push(match (logins.proven_at, step.backups_on_at) {
            (Some(_), Some(_)) => good(format!("database {name} takes writes at home, with backups")),
            _ => bad(format!("database {name} was not proven at home with backups")),
        });
        findings.push(match step.replica_ready_at {
            Some(_) => good(format!("database {name}: {} replicates from home again, with backups", database.replica)),
            None => bad(format!("database {name}: the standby has no replica again")),
        });
    }
    if run.came_home_at.is_none() {
        findings.push(good("the way home was given up before users were there; the standby serves on and takes writes".to_owned()));
        return findings;
    }
    for secret in &plan.secrets {
        let step = progress.rotation.home.secrets.get(&secret.name).cloned().unwrap_or_default();
        findings.push(match (step.tested_at, step.replicated_at) {
            (Some(_), Some(_)) => good(format!("secret {} logs in at home, and is replicated again", secret.name)),
            (None, _) => bad(format!("secret {} was never seen to log in at home", secret.name)),
            (Some(_), None) => bad(format!("secret {} is not replicated to the standby", secret.name)),
        });
    }
    if let Some(said) = &run.words.switch_anyway {
        findings.push(bad(format!("{} let users home although a part was missing", said.by)));
    }
    findings.extend(write_pause(progress, run).map(|paused| good(format!("writes paused for {:#}", whole_seconds(paused)))));
    findings
}

/// What a failover lost of a global database, as far as Aurora kept it.
fn lost_finding(name: &str, step: &HomeStep) -> Finding {
    match (&step.lost_kept, step.lost_kept_at) {
        (Some(kept), _) => good(format!("database {name}: the rows that the failover lost are in the snapshot {kept}")),
        (None, Some(_)) => good(format!("database {name}: Aurora kept no rows that a failover lost")),
        (None, None) => bad(format!("database {name}: nobody looked for the rows that the failover lost")),
    }
}

fn left_finding(name: &str, step: &HomeStep, logins: &HomeDatabase) -> Finding {
    let (missing, differing) =
        logins.left.values().fold((0, 0), |(missing, differing), table| (missing + table.missing, differing + table.differing));
    match (&step.left, logins.left_compared_at) {
        (None, _) => good(format!("database {name}: there was no old writer to compare with")),
        (Some(left), None) => bad(format!("database {name}: the rows that {left} has for itself were not compared to the end")),
        (Some(left), Some(_)) if missing + differing == 0 => {
            good(format!("database {name}: {left} has no row for itself, of {} in {} table(s)", logins.left_rows, logins.left_tables))
        }
        (Some(left), Some(_)) => good(format!(
            "database {name}: of {} rows in {} table(s) {left} has {missing} that the standby lacks and {differing} that it has otherwise; each is in the files below",
            logins.left_rows, logins.left_tables
        )),
    }
}

/// From the closing of the first database's writes until users were home, or until writes were open again.
pub fn write_pause(progress: &Progress, run: &Run) -> Option<SignedDuration> {
    let databases = &progress.rotation.home.databases;
    // A switchover of Aurora's pauses writes itself.
    let asked = progress.promotion.home.values().filter_map(|step| step.promote_attempt_at).min();
    let closed = databases.values().filter_map(|step| step.closing_at).min().or(asked)?;
    let reopened = databases.values().filter_map(|step| step.reopened_at).max();
    Some(run.came_home_at.or(reopened)?.duration_since(closed))
}
