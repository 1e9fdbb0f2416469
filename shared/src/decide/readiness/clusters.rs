//! Aurora's global databases: whether both clusters and what joins them are there, and whether a takeover would work now.
//!
//! ```text
//! there       global cluster, standby's cluster, its membership        `relight plan put` asks this, too
//! takeover    what a failover asks in Confirmed, by a quorum's word    refused, waiting, an instance first, a loss accepted
//! only peace  follows, the plan's own writer, nothing under way
//! ```
//! A failover is supposed to be the quorum's and not the operator's: his would be a switchover while the primary is seen up, which
//! loses nothing, and no finding about the lag would ever be made.

use jiff::Timestamp;

use super::finding::{ClusterFinding, Finding};
use super::suppose::Supposed;
use super::{Acceptance, Decision, FrozenLag};
use crate::decide::lag::measure_by;
use crate::decide::promotion::{ClearanceRefusal, GlobalRefusal, GlobalWait, Standing, clear_global, passes};
use crate::look::ClusterSight;
use crate::plan::{Database, Plan};
use crate::ports::{Cluster, GlobalCluster, HomeCluster, StandbyCluster};
use crate::state::DatabaseStep;

/// The part that `relight plan put` asks too.
pub(super) fn there(plan: &Plan, seen: &ClusterSight) -> Vec<Finding> {
    plan.databases.iter().filter(|database| database.is_global()).flat_map(|database| one_there(plan, database, seen)).collect()
}

fn one_there(plan: &Plan, database: &Database, seen: &ClusterSight) -> Vec<Finding> {
    let (cluster, global) = (database.replica.clone(), name_of_global(database));
    let mut findings = Vec::new();
    match seen.globals.get(&database.name) {
        Some(Err(error)) => findings.push(Finding::unreadable(format!("global-cluster/{global}"), error)),
        Some(Ok(None)) => findings.push(ClusterFinding::NoGlobal { global: global.clone(), primary: database.primary.clone() }.into()),
        // A version before this looks at no clusters.
        Some(Ok(Some(_))) | None => {}
    }
    match seen.clusters.get(&database.name) {
        Some(Err(error)) => findings.push(Finding::unreadable(format!("cluster/{cluster}"), error)),
        Some(Ok(None)) => findings.push(ClusterFinding::NoCluster { cluster, global }.into()),
        Some(Ok(Some(_))) => {
            let standby = StandbyCluster::of(plan, database);
            let lists = |global: &GlobalCluster| global.member(standby.arn()).is_some();
            if matches!(seen.globals.get(&database.name), Some(Ok(Some(told))) if !lists(told)) {
                findings.push(ClusterFinding::NoMember { cluster, global }.into());
            }
        }
        None => {}
    }
    findings
}

/// The lag that a failure at this moment would be judged by, where somebody looked.
pub(super) fn lag_now(database: &Database, seen: &ClusterSight, now: Timestamp, findings: &mut Vec<Finding>) -> Option<FrozenLag> {
    match seen.lags.get(&database.name)? {
        Ok(lag) => Some(measure_by(&lag.metric, &lag.samples, now, now)),
        Err(error) => {
            findings.push(Finding::unreadable(format!("lag of {}", database.replica), error));
            Some(FrozenLag { source: error.to_string(), first_down: Some(now), ..FrozenLag::default() })
        }
    }
}

/// What speaks against a takeover now. What is not there, or could not be read, is said of the things.
pub(super) fn takeover(plan: &Plan, supposed: &Supposed, database: &Database, seen: &ClusterSight, lag: &FrozenLag, now: Timestamp) -> Vec<Finding> {
    let (Some(Ok(Some(global))), Some(Ok(Some(cluster)))) = (seen.globals.get(&database.name), seen.clusters.get(&database.name)) else {
        return Vec::new();
    };
    let standby = StandbyCluster::of(plan, database);
    let Some(member) = global.member(standby.arn()) else { return Vec::new() };
    let unread = matches!(seen.lags.get(&database.name), Some(Err(_)));
    let mut findings = cleared(plan, supposed, database, (global, cluster), lag, now);
    findings.retain(|finding| !(unread && is_about_an_unknown_lag(finding)));
    if !member.writer && !member.follows() {
        let status = member.synchronization.clone().unwrap_or_else(|| "unknown".to_owned());
        findings.push(ClusterFinding::NotFollowing { cluster: database.replica.clone(), status }.into());
    }
    findings.extend(between(plan, database, global, standby.arn()).map(Finding::from));
    findings
}

/// The very rule of Confirmed.
fn cleared(
    plan: &Plan,
    supposed: &Supposed,
    database: &Database,
    (global, cluster): (&GlobalCluster, &Cluster),
    lag: &FrozenLag,
    now: Timestamp,
) -> Vec<Finding> {
    let (run, step) = (supposed.by_quorum(), DatabaseStep::default());
    let (snapshot, global, cluster) = (supposed.snapshot(), Some(global), Some(cluster));
    let (name, replica) = (database.name.clone(), database.replica.clone());
    match clear_global(&Standing { plan, snapshot, run: &run, database, step: &step, global, cluster, now }, lag) {
        Decision::Refuse(why) => vec![ClusterFinding::Refused { database: name, cluster: replica, why }.into()],
        Decision::Wait(why) => vec![waits(replica, cluster, why).into()],
        Decision::Act(cleared) => cleared
            .into_iter()
            .flat_map(|cleared| {
                let first = cleared.first_instance.map(|class| ClusterFinding::InstanceFirst { cluster: replica.clone(), class });
                let accepted = matches!(cleared.accepted, Some(Acceptance::Policy));
                let loss = accepted.then(|| ClusterFinding::LossAccepted { database: name.clone(), lag: cleared.lag });
                first.into_iter().chain(loss).map(Finding::from)
            })
            .collect(),
        Decision::Done => Vec::new(),
    }
}

/// A run waits for an instance until a person has looked; in peace it can be told whether one comes by itself.
fn waits(name: String, cluster: Option<&Cluster>, why: GlobalWait) -> ClusterFinding {
    let stuck = |cluster: &Cluster| !cluster.instances.iter().any(|instance| passes(&instance.status));
    match why {
        GlobalWait::NoInstanceYet { instances, .. } if cluster.is_some_and(stuck) => ClusterFinding::NoneComesUp { cluster: name, instances },
        why => ClusterFinding::Waits { cluster: name, why },
    }
}

fn is_about_an_unknown_lag(finding: &Finding) -> bool {
    matches!(
        finding,
        Finding::Cluster(ClusterFinding::Refused { why: GlobalRefusal::Loss(why), .. }) if matches!(**why, ClearanceRefusal::UnknownLag(_))
    )
}

/// What the way home, or the next change, would meet.
fn between(plan: &Plan, database: &Database, told: &GlobalCluster, standby: &str) -> impl Iterator<Item = ClusterFinding> {
    let (global, home) = (name_of_global(database), HomeCluster::of(plan, database));
    let other = told.writer().filter(|writer| writer.arn != home.arn() && writer.arn != standby).map(|writer| ClusterFinding::OtherWriter {
        global: global.clone(),
        writer: writer.arn.clone(),
        primary: database.primary.clone(),
    });
    // What moves is said by the takeover, which waits for it.
    let busy = (told.moving.is_none() && told.status != "available").then(|| ClusterFinding::GlobalBusy { global, status: told.status.clone() });
    other.into_iter().chain(busy)
}

fn name_of_global(database: &Database) -> String {
    database.global_cluster.clone().unwrap_or_default()
}
