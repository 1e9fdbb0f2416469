//! What is wrong with an Aurora global database: its two clusters, the global cluster between them, and a takeover now.

use std::fmt;

use super::{Finding, Severity};
use crate::decide::lag::LagVerdict;
use crate::decide::promotion::{ClearanceRefusal, GlobalRefusal, GlobalWait};

#[derive(Debug, Clone, PartialEq)]
pub enum ClusterFinding {
    // What the plan names.
    NoGlobal { global: String, primary: String },
    NoCluster { cluster: String, global: String },
    NoMember { cluster: String, global: String },
    // What a failover would meet.
    Refused { database: String, cluster: String, why: GlobalRefusal },
    Waits { cluster: String, why: GlobalWait },
    NoneComesUp { cluster: String, instances: String },
    InstanceFirst { cluster: String, class: String },
    LossAccepted { database: String, lag: LagVerdict },
    // What only peace can tell.
    NotFollowing { cluster: String, status: String },
    OtherWriter { global: String, writer: String, primary: String },
    GlobalBusy { global: String, status: String },
}

impl From<ClusterFinding> for Finding {
    fn from(found: ClusterFinding) -> Finding {
        Finding::Cluster(found)
    }
}

impl ClusterFinding {
    pub(super) fn severity(&self) -> Severity {
        match self {
            ClusterFinding::Waits { .. }
            | ClusterFinding::InstanceFirst { .. }
            | ClusterFinding::LossAccepted { .. }
            | ClusterFinding::OtherWriter { .. }
            | ClusterFinding::GlobalBusy { .. } => Severity::Warning,
            _ => Severity::Blocking,
        }
    }

    /// A cluster that the global cluster does not list is no secondary, whatever its name.
    pub(super) fn is_about_what_is_not_there(&self) -> bool {
        matches!(self, ClusterFinding::NoGlobal { .. } | ClusterFinding::NoCluster { .. } | ClusterFinding::NoMember { .. })
    }

    pub(super) fn about(&self) -> String {
        use ClusterFinding as C;
        match self {
            C::NoGlobal { global, .. } | C::OtherWriter { global, .. } | C::GlobalBusy { global, .. } => format!("global-cluster/{global}"),
            C::NoCluster { cluster, .. }
            | C::NoMember { cluster, .. }
            | C::Waits { cluster, .. }
            | C::NoneComesUp { cluster, .. }
            | C::InstanceFirst { cluster, .. }
            | C::NotFollowing { cluster, .. } => format!("cluster/{cluster}"),
            C::Refused { database, .. } | C::LossAccepted { database, .. } => format!("database/{database}"),
        }
    }

    pub(super) fn remedy(&self) -> String {
        use ClusterFinding as C;
        match self {
            C::NoGlobal { global, primary } => format!(
                "`aws rds create-global-cluster --global-cluster-identifier {global} --source-db-cluster-identifier` with the ARN of {primary}, and add a secondary here; or correct the plan"
            ),
            C::NoCluster { cluster, global } => {
                format!("add it as a secondary: `aws rds create-db-cluster --db-cluster-identifier {cluster} --global-cluster-identifier {global}`; or correct the plan")
            }
            C::NoMember { cluster, global } => {
                format!("what {cluster} holds is a database of its own: add a new secondary to {global} and name that one in the plan, or correct `global_cluster`")
            }
            C::Refused { cluster, why, .. } => again(cluster, why),
            C::Waits { .. } => "wait for it; what happens often at the same hour is better moved".to_owned(),
            C::NoneComesUp { cluster, .. } => format!(
                "read their events (`aws rds describe-events --source-type db-cluster --source-identifier {cluster}`) and mend one, or add an instance"
            ),
            C::InstanceFirst { .. } => {
                "nothing, if those minutes fit into the RTO; else add an instance now, where logins can be tried in peace, too".to_owned()
            }
            C::LossAccepted { .. } => {
                "see that AuroraGlobalDBRPOLag is published again; until then the plan's `unknown_lag = \"accept\"` takes the risk".to_owned()
            }
            C::NotFollowing { .. } => {
                "wait while Aurora rebuilds it, minutes to hours by its size; where that does not end, remove it from the global cluster and add a new secondary".to_owned()
            }
            C::OtherWriter { primary, .. } => {
                format!("switch over to {primary}, or correct `primary` in the plan: the way home goes to the cluster that it names")
            }
            C::GlobalBusy { .. } => "wait for it, and look again: `readiness`".to_owned(),
        }
    }
}

impl fmt::Display for ClusterFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ClusterFinding as C;
        match self {
            C::NoGlobal { global, .. } => write!(f, "there is no global cluster {global}"),
            C::NoCluster { cluster, .. } => write!(f, "the standby Region has no cluster {cluster}"),
            C::NoMember { cluster, global } => write!(f, "{cluster} is no member of the global cluster {global}: nothing arrives in it"),
            C::Refused { database, why, .. } => write!(f, "the takeover of {database} would be refused: {}", refused(why)),
            C::Waits { why, .. } => write!(f, "a takeover would wait: {why}"),
            C::NoneComesUp { cluster, instances } => {
                write!(f, "no instance of {cluster} can become the writer, and none does by itself: {instances}")
            }
            C::InstanceFirst { cluster, class } => {
                write!(f, "{cluster} has no instance: a failover would add one of class {class} first, which takes minutes")
            }
            C::LossAccepted { database, lag } => write!(f, "{database} would be failed over although {lag}"),
            C::NotFollowing { cluster, status } => write!(f, "{cluster} does not follow the writer, its synchronization is `{status}`"),
            C::OtherWriter { global, writer, primary } => write!(f, "the writer of {global} is {writer}, the plan's is {primary}"),
            C::GlobalBusy { global, status } => write!(f, "the global cluster {global} is {status}"),
        }
    }
}

/// The reason without what only an open run can say about it.
fn refused(why: &GlobalRefusal) -> String {
    match why {
        GlobalRefusal::Writes { cluster } => format!("{cluster} is the writer already, and the primary is to serve"),
        GlobalRefusal::Versions { cluster, here, there } => {
            format!("{cluster} is of version {here} and its global cluster of {there}: Aurora takes over between equal major and minor versions only")
        }
        GlobalRefusal::Headless { cluster } => format!("{cluster} has no instance, and the plan names no class for one"),
        GlobalRefusal::Broken { cluster, status } => format!("{cluster} is {status}, which does not pass by itself"),
        GlobalRefusal::Loss(why) => super::refused(why),
        GlobalRefusal::NoGlobal { .. } | GlobalRefusal::NoCluster { .. } | GlobalRefusal::NoMember { .. } | GlobalRefusal::Ended { .. } => {
            why.to_string()
        }
    }
}

fn again(cluster: &str, why: &GlobalRefusal) -> String {
    match why {
        GlobalRefusal::Writes { .. } => {
            "switch over to the primary's cluster in a maintenance window; users write where the plan does not look".to_owned()
        }
        GlobalRefusal::Versions { .. } => {
            format!(
                "upgrade {cluster} and the primary's cluster to one version, the secondary first; until then only detaching and promoting it by hand works"
            )
        }
        GlobalRefusal::Headless { .. } => {
            "give the plan an `instance_class`, which the first one gets in a failover, or add an instance now".to_owned()
        }
        GlobalRefusal::Broken { .. } => {
            format!("read its events and mend it: `aws rds describe-events --source-type db-cluster --source-identifier {cluster}`")
        }
        GlobalRefusal::Loss(why) => match why.as_ref() {
            ClearanceRefusal::BeyondRpo(_) => {
                "let it catch up (a larger class, fewer writes, no long queries on it), or say a longer objectives.rpo".to_owned()
            }
            _ => format!("look at AWS/RDS AuroraGlobalDBRPOLag of {cluster}: it is not published, or nothing is replicated to it"),
        },
        GlobalRefusal::NoGlobal { .. } | GlobalRefusal::NoCluster { .. } | GlobalRefusal::NoMember { .. } | GlobalRefusal::Ended { .. } => {
            "the sentence says it".to_owned()
        }
    }
}
