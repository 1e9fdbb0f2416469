//! Aurora Global Database: a cluster in each Region, replicated by the storage, and the global cluster that says who writes.
//!
//! A cluster is no replica: it is taken over as a whole, by the global cluster, and nothing of it is created or removed. So its
//! types are its own, and one for each Region: what is meant for the standby's cannot be called with the one at home.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CallError, LagSample, Snapshotted};
use crate::plan::stack::partition;
use crate::plan::{self, Plan};
use crate::state::Endpoint;

#[allow(async_fn_in_trait)] // Static dispatch on one thread: nobody needs the future to be Send.
pub trait GlobalClusters {
    /// The global cluster as the standby Region tells of it; `None` where there is none of this name.
    async fn global_cluster(&self, global: &GlobalId) -> Result<Option<GlobalCluster>, CallError>;

    /// The standby's cluster with its instances; `None` where the standby Region has no such cluster.
    async fn cluster(&self, cluster: &StandbyCluster) -> Result<Option<Cluster>, CallError>;

    /// Where the standby's cluster is read in peace.
    async fn readable(&self, cluster: &StandbyCluster) -> Result<Readable, CallError>;

    /// How far the standby's cluster was behind between two moments, oldest first. `AuroraGlobalDBRPOLag` is the time that the last
    /// commits took to arrive, which is what would be lost; where it has no sample `AuroraGlobalDBReplicationLag`, the storage's own,
    /// stands in. Both are milliseconds in CloudWatch. Neither grows while the source is idle.
    async fn cluster_lag(&self, cluster: &StandbyCluster, from: Timestamp, to: Timestamp) -> Result<ClusterLag, CallError>;

    /// Adds an instance to the standby's cluster that has none. One that is there already under this name is ours.
    async fn add_instance(&self, instance: &AddedInstance<'_>) -> Result<(), CallError>;

    /// Makes the standby's cluster the writer, irreversibly. How is always said: what leaves it out is a switchover, which waits for a
    /// primary that may be dead.
    async fn take_over(&self, global: &GlobalId, to: &StandbyCluster, how: Takeover) -> Result<(), CallError>;

    /// The cluster in the primary Region with its instances. One short attempt, since the Region may be dark.
    async fn home_cluster(&self, home: &HomeCluster) -> Result<Option<Cluster>, CallError>;

    /// What Aurora kept of the old writer before it made it a secondary, by each failover that lost rows.
    async fn lost_rows(&self, home: &HomeCluster) -> Result<Vec<LostRows>, CallError>;

    /// Copies such a snapshot under a name of Relight's: Aurora's own goes with the backups. Called until it says [`Snapshotted::Done`].
    async fn keep_lost_rows(&self, home: &HomeCluster, lost: &LostRows) -> Result<Snapshotted, CallError>;

    /// Switches over to the cluster at home: AWS takes it in the Region of the writer, which is the standby's then.
    async fn switch_home(&self, global: &GlobalId, to: &HomeCluster) -> Result<(), CallError>;
}

/// A global cluster, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GlobalCluster {
    pub status: String,
    pub engine_version: String,
    pub members: Vec<Member>,
    /// A switchover or failover that is on its way (`FailoverState`); absent in peace, and once it has ended.
    pub moving: Option<Moving>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Member {
    pub arn: String,
    pub writer: bool,
    /// `connected`, or `pending-resync` while Aurora rebuilds it; nobody tells it of the writer.
    pub synchronization: Option<String>,
}

impl Member {
    /// A secondary that Aurora is not rebuilding.
    pub fn follows(&self) -> bool {
        !self.writer && self.synchronization.as_deref() == Some("connected")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moving {
    /// `pending`, `failing-over`, `switching-over`, `cancelling`.
    pub status: String,
    pub to: String,
}

impl GlobalCluster {
    pub fn member(&self, arn: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.arn == arn)
    }

    pub fn writer(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.writer)
    }
}

/// A DB cluster in one Region.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// `available`, `creating`, `failing-over`, ...
    pub status: String,
    pub engine_version: String,
    /// Where the writer is, once the cluster is the global cluster's writer.
    pub endpoint: Option<Endpoint>,
    /// Where its instances are read, of a secondary too.
    pub reader: Option<Endpoint>,
    pub instances: Vec<ClusterInstance>,
    /// Days that backups are kept.
    pub backup_retention: u32,
    pub security_groups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterInstance {
    pub name: String,
    pub status: String,
    pub class: String,
    /// Takes writes, as far as its own cluster goes; a secondary's do not.
    pub writer: bool,
}

impl Cluster {
    pub fn is_available(&self) -> bool {
        self.status == "available"
    }

    /// The status, but for a backup or a snapshot, which goes on beside everything else.
    pub fn status_beside_backups(&self) -> &str {
        if self.status == "backing-up" { "available" } else { &self.status }
    }

    /// Storage alone: nobody can log in to it, and Aurora refuses to make it the writer.
    pub fn is_headless(&self) -> bool {
        self.instances.iter().all(|instance| instance.status == "deleting")
    }

    pub fn has_an_available_instance(&self) -> bool {
        self.instances.iter().any(|instance| instance.status == "available")
    }
}

/// Where a login in peace may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readable {
    NoCluster,
    /// It has storage alone.
    Headless,
    At(Endpoint),
}

/// Samples of a cluster's lag, and the metric that they are of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterLag {
    /// `AWS/RDS AuroraGlobalDBRPOLag`.
    pub metric: String,
    pub samples: Vec<LagSample>,
}

/// How a cluster is made the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// Aurora waits until every row has arrived: the primary must be healthy. AWS takes it in the primary's Region.
    Switchover,
    /// At once: what has not arrived is lost. AWS takes it in the standby's Region.
    FailoverLosingRows,
}

impl fmt::Display for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Takeover::Switchover => "switchover",
            Takeover::FailoverLosingRows => "failover that may lose rows",
        })
    }
}

/// An instance for a cluster that has none.
#[derive(Debug, Clone, Copy)]
pub struct AddedInstance<'a> {
    pub cluster: &'a StandbyCluster,
    pub class: &'a str,
    /// Tag `relight:plan`.
    pub plan: &'a str,
}

impl AddedInstance<'_> {
    /// `orders-standby-relight`: the same cluster always gives the same name, so that an instance whose creation was never answered is
    /// found again, and none is created twice.
    pub fn name(&self) -> String {
        const SUFFIX: &str = "-relight";
        let room = super::database::LONGEST - SUFFIX.len();
        let cluster: String = self.cluster.name.chars().take(room).collect();
        format!("{}{SUFFIX}", cluster.trim_end_matches('-'))
    }
}

/// The global cluster that the plan names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GlobalId {
    name: String,
    /// Where AWS takes a switchover.
    primary_region: String,
}

impl GlobalId {
    /// A plan that names none is refused by its validation.
    pub fn of(plan: &Plan, database: &plan::Database) -> GlobalId {
        GlobalId { name: database.global_cluster.clone().unwrap_or_default(), primary_region: plan.primary.clone() }
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub fn primary_region(&self) -> &str {
        &self.primary_region
    }
}

/// The plan's cluster in the standby Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StandbyCluster {
    name: String,
    arn: String,
}

impl StandbyCluster {
    pub fn of(plan: &Plan, database: &plan::Database) -> StandbyCluster {
        StandbyCluster { name: database.replica.clone(), arn: arn(plan, &plan.standby, &database.replica) }
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Global clusters name their members by ARN, and are told by ARN whom to take.
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

/// The plan's cluster in the primary Region: the old writer, and the one that a failback goes home to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HomeCluster {
    region: String,
    name: String,
    arn: String,
}

impl HomeCluster {
    pub fn of(plan: &Plan, database: &plan::Database) -> HomeCluster {
        HomeCluster { region: plan.primary.clone(), name: database.primary.clone(), arn: arn(plan, &plan.primary, &database.primary) }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// How the names of the snapshots begin that Aurora makes of it.
    pub fn lost_prefix(&self) -> String {
        format!("{LOST}{}-", self.name.to_ascii_lowercase())
    }
}

/// Aurora's own word before the name of a cluster that a failover left behind.
const LOST: &str = "rds:unplanned-global-failover-";

/// A snapshot of an old writer, with the rows that never reached the standby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRows {
    pub snapshot: String,
    pub at: Timestamp,
}

impl LostRows {
    /// The name of its copy: the same snapshot always gives the same, so that a copy whose making was never answered is found again.
    pub fn kept_as(&self) -> String {
        format!("relight-lost-rows-{}", self.snapshot.trim_start_matches(LOST))
    }
}

/// RDS keeps identifiers in lower case.
fn arn(plan: &Plan, region: &str, name: &str) -> String {
    format!("arn:{}:rds:{region}:{}:cluster:{}", partition(region), plan.account, name.to_ascii_lowercase())
}

impl fmt::Display for GlobalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Display for StandbyCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::situations::plan;

    fn cluster(replica: &str) -> StandbyCluster {
        let plan = plan();
        let database = plan::Database { replica: replica.to_owned(), ..plan.databases[0].clone() };
        StandbyCluster::of(&plan, &database)
    }

    #[test]
    fn a_cluster_is_known_by_the_arn_that_its_global_cluster_lists() {
        assert_eq!(cluster("Orders-Standby").arn(), "arn:aws:rds:us-west-2:123456789012:cluster:orders-standby");
    }

    #[test]
    fn an_added_instance_is_named_after_its_cluster_within_what_rds_accepts() {
        let name = |cluster: &StandbyCluster| AddedInstance { cluster, class: "db.r6g.large", plan: "shop" }.name();
        assert_eq!(name(&cluster("orders-standby")), "orders-standby-relight");
        for long in ["x".repeat(63), "a-".repeat(31)] {
            let name = name(&cluster(&long));
            assert!(name.len() <= 63 && !name.contains("--"), "{name}");
        }
    }

    #[test]
    fn a_snapshot_of_lost_rows_is_kept_under_one_name_of_its_own() {
        let plan = plan();
        let home = HomeCluster::of(&plan, &plan.databases[0]);
        let lost = LostRows { snapshot: format!("{}2026-01-05-00-10", home.lost_prefix()), at: Timestamp::MIN };
        assert_eq!(lost.snapshot, "rds:unplanned-global-failover-orders-2026-01-05-00-10");
        assert_eq!(lost.kept_as(), "relight-lost-rows-orders-2026-01-05-00-10");
    }

    #[test]
    fn a_cluster_whose_last_instance_is_being_deleted_is_headless() {
        let with = |status: &str| Cluster {
            instances: vec![ClusterInstance { status: status.to_owned(), ..ClusterInstance::default() }],
            ..Cluster::default()
        };
        assert!(Cluster::default().is_headless() && with("deleting").is_headless());
        assert!(!with("creating").is_headless() && !with("creating").has_an_available_instance() && with("available").has_an_available_instance());
    }
}
