//! What the journal holds: the shapes of its items, and all of them together as one [`Snapshot`].
//!
//! ```text
//! partition PLAN            head, plan#7, evidence, baseline#service/…, obligation#…, lease#…, progress#capacity, …
//! partition PLAN#RUN        the history of one run, append-only
//! ```
//!
//! The first partition is small and read whole, in one strongly consistent query. Each item has a revision; a change is a
//! write on the condition of that revision. The head is changed only by transitions and by the operator; every part
//! writes its progress into an item of its own, so that parts that work side by side do not contend.
//!
//! Two versions of the functions share it while a deployment rolls, and after one was taken back. So every change goes through
//! [`Snapshot::write`], which keeps what this version does not know; an item of an unknown key is nobody's business here; and
//! where a decision depends on what cannot be read, nothing is decided ([`SnapshotError`]).

mod home;
mod key;
mod progress;
mod snapshot;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::keep::keep;
use crate::look::Question;
use crate::plan::{Bounds, Group, InstancesDistribution, Plan, ProviderShare, ResourceId, Service};
use crate::ports::{Change, Takeover, Write};
use crate::run::{Mode, Phase, Run, RunId};

pub use home::{
    HomeComparison, HomeDatabase, HomeGate, HomeLag, HomeRotation, HomeSecretStep, HomeStep, HomeTraffic, LeftTable, ReplicaShape, RestartStep,
};
pub use key::{Key, Part};
pub use progress::*;
use snapshot::writer;
pub use snapshot::{Item, Snapshot, SnapshotError, VERSION};

/// Which Region answers users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    #[default]
    Primary,
    Standby,
}

/// A hold stops every step that cannot be undone easily. It expires, so that a forgotten one does not prevent a recovery for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSwitch {
    pub until: Timestamp,
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Head {
    pub serving: Place,
    /// The newest run, open or over.
    pub run: Option<Run>,
    pub hold: Option<HoldSwitch>,
    pub cool_down_until: Option<Timestamp>,
    /// The newest version of the plan.
    pub plan_version: u64,
}

impl Head {
    pub fn open_run(&self) -> Option<&Run> {
        self.run.as_ref().filter(|run| run.is_open())
    }

    pub fn held(&self, now: Timestamp) -> bool {
        self.hold.as_ref().is_some_and(|hold| now < hold.until)
    }
}

/// What a resource looked like before it was first touched; scale-down restores exactly that. So a field that is not known is not
/// passed over: restored without it, the baseline would be freed and the rest of it lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Baseline {
    Service {
        cluster: String,
        name: String,
        desired: u32,
        scaling: Option<Bounds>,
        capacity_providers: Vec<ProviderShare>,
    },
    Group {
        name: String,
        min: u32,
        desired: u32,
        max: u32,
        instances: Option<InstancesDistribution>,
    },
    /// Another version recorded it, and this one cannot restore it. It holds its place: nothing else is recorded in it, and
    /// nothing counts as restored while it stands.
    #[serde(skip)]
    Unread {
        why: String,
    },
}

impl Baseline {
    /// The baseline as the size that a plan would ask for; else why not.
    pub fn as_target(&self) -> Result<CapacityTarget, String> {
        match self.clone() {
            Baseline::Service { cluster, name, desired, scaling, capacity_providers } => {
                Ok(CapacityTarget::Service(Service { cluster, name, desired, scaling, capacity_providers }))
            }
            Baseline::Group { name, min, desired, max, instances } => Ok(CapacityTarget::Group(Group { name, min, desired, max, instances })),
            Baseline::Unread { why } => Err(why),
        }
    }
}

/// A size to bring a resource to.
#[derive(Debug, Clone, PartialEq)]
pub enum CapacityTarget {
    Service(Service),
    Group(Group),
}

/// Something that must be undone by a deadline. It survives the run that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Obligation {
    pub run: RunId,
    pub what: Owed,
    pub made_at: Timestamp,
    pub deadline: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Owed {
    /// Capacity above the baseline. Sleeps while a failover is open and while the standby serves.
    Capacity,
    /// A disposable copy of a replica, in the standby Region. Never sleeps.
    Copy { instance: String },
    /// A disposable copy of a secondary of Aurora's: a cluster with its instance, and the snapshot. A kind of its own, since a version that
    /// knows instances alone would find none of this name and call it gone. Never sleeps.
    Cluster { cluster: String },
    /// A disposable secret. Never sleeps.
    Secret { name: String },
    /// Another version made it, and this one cannot undo it.
    #[serde(skip)]
    Unread { id: String, why: String },
}

impl Owed {
    /// The last part of its obligation's key; one obligation a thing.
    pub fn id(&self) -> String {
        match self {
            Owed::Capacity => "capacity".to_owned(),
            Owed::Copy { instance } => format!("copy/{instance}"),
            Owed::Cluster { cluster } => format!("cluster/{cluster}"),
            Owed::Secret { name } => format!("secret/{name}"),
            Owed::Unread { id, .. } => id.clone(),
        }
    }
}

impl Obligation {
    pub fn id(&self) -> String {
        self.what.id()
    }
}

/// Who works on what, and until when nobody else should begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub owner: String,
    pub until: Timestamp,
}

/// What the last drill left for the next run to be measured against. Outlives runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub last_good_drill: Option<Timestamp>,
    /// Seconds from a copy's promotion call to writable, by the database's name.
    pub promotion_seconds: BTreeMap<String, f64>,
    /// When nothing was last found of what a drill made and nobody owes.
    pub swept_at: Option<Timestamp>,
    /// Seconds that the last good drill's recovery took.
    pub recovery_seconds: Option<f64>,
    /// What the last look at the standby's readiness found.
    pub readiness: Option<ReadinessSeen>,
    /// The last login of each secret in peace, and what it said.
    pub logins: BTreeMap<String, LoginSeen>,
    /// Whether the last beat of each database that has a heartbeat arrived at its replica, by the database's name.
    pub heartbeats: BTreeMap<String, LoginSeen>,
    /// What each replica was before it was promoted, by the database's name: so it is built again.
    pub replicas: BTreeMap<String, ReplicaShape>,
    /// How each global database took over last, by the database's name: whether rows were lost.
    pub takeovers: BTreeMap<String, Takeover>,
    /// Old writers that a failback set aside before it was aborted, by the database's name: the next one compares them.
    pub left_writers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoginSeen {
    pub at: Timestamp,
    pub ok: bool,
    pub said: String,
}

/// Counts for the metrics; the findings themselves are on the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadinessSeen {
    pub at: Timestamp,
    pub blocking: u32,
    pub warnings: u32,
    /// Where the page lies.
    pub page: String,
}

/// What the report of a run is made of, frozen in the write that ends the run: the next one may open a second later, and takes
/// the head and every progress item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwedReport {
    pub run: Run,
    /// The text of the plan that it followed.
    pub plan: String,
    pub progress: Progress,
}

impl OwedReport {
    /// Reads the item, and the plan in it; else says why it cannot be.
    pub fn read(body: &serde_json::Value) -> Result<(OwedReport, Plan), String> {
        let owed = OwedReport::deserialize(body).map_err(|error| format!("{error}; {} wrote it", writer(body)))?;
        let plan = Plan::stored(&owed.plan).map_err(|error| format!("its plan: {error}; {} wrote it", writer(body)))?;
        Ok((owed, plan))
    }
}
