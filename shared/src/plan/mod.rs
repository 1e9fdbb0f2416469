//! The plan: what to recover and how, as one TOML file that a person writes.
//!
//! Types take what types can take (a negative count, an unknown key or engine does not parse); what they cannot is
//! [`validate`]'s, which lists every mistake at once. docs/plan.md shows every key.

mod database;
mod global;
mod mysql;
mod put;
pub mod stack;
mod validate;

use jiff::SignedDuration;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};

pub use database::{Database, Engine, Secret, Users};
pub use put::{NotPut, put};
pub use validate::{Mistake, Mistakes};

/// A plan that has passed validation, or a part of a test that says so itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Names the plan in the journal, in metrics and in what people read. Two plans can live in one account.
    pub name: String,
    /// The twelve digits of the account. An alarm of another account is refused.
    pub account: String,
    /// The Region that serves in peace.
    pub primary: String,
    /// The Region that takes over, in which all of Relight stands.
    pub standby: String,
    #[serde(default)]
    pub objectives: Objectives,
    #[serde(default, rename = "service")]
    pub services: Vec<Service>,
    #[serde(default, rename = "group")]
    pub groups: Vec<Group>,
    #[serde(default, rename = "database")]
    pub databases: Vec<Database>,
    #[serde(default, rename = "secret")]
    pub secrets: Vec<Secret>,
    pub traffic: Traffic,
    #[serde(rename = "observer")]
    pub observers: Vec<Observer>,
    #[serde(default)]
    pub drill: Drill,
    #[serde(default)]
    pub failback: Failback,
    #[serde(default)]
    pub policy: Policy,
}

/// How long users may be without service, and how much of what they wrote may be lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objectives {
    pub rto: SignedDuration,
    pub rpo: SignedDuration,
}

impl Default for Objectives {
    fn default() -> Self {
        Objectives { rto: SignedDuration::from_mins(15), rpo: SignedDuration::from_mins(5) }
    }
}

/// An ECS service of the standby Region and its active size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub cluster: String,
    pub name: String,
    /// Tasks while the standby serves.
    pub desired: u32,
    /// Bounds of the service's scalable target; absent where Application Auto Scaling does not manage it.
    pub scaling: Option<Bounds>,
    /// Strategy while the standby serves, usually On-Demand in place of Spot; empty leaves the strategy alone.
    #[serde(default)]
    pub capacity_providers: Vec<ProviderShare>,
}

impl Service {
    pub fn id(&self) -> ResourceId {
        ResourceId(format!("service/{}/{}", self.cluster, self.name))
    }
}

/// Least and most that Auto Scaling may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    pub min: u32,
    pub max: u32,
}

/// One row of a capacity provider strategy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderShare {
    pub provider: String,
    #[serde(default = "one")]
    pub weight: u32,
    #[serde(default)]
    pub base: u32,
}

fn one() -> u32 {
    1
}

/// An EC2 Auto Scaling group of the standby Region and its active size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    pub min: u32,
    pub desired: u32,
    pub max: u32,
    /// Spot to On-Demand; absent leaves the mixed instances policy alone.
    pub instances: Option<InstancesDistribution>,
}

impl Group {
    pub fn id(&self) -> ResourceId {
        ResourceId(format!("group/{}", self.name))
    }
}

/// The two numbers of a mixed instances policy that decide how much of a group is On-Demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstancesDistribution {
    pub on_demand_base: u32,
    pub on_demand_percentage_above_base: u32,
}

/// How users reach the workload, and how the primary is held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// The name that users resolve.
    pub record: String,
    /// The name that `record` stands for while the standby answers (its load balancer).
    pub standby: String,
    /// Bucket in the standby Region, public for `stop_key` alone.
    pub stop_bucket: String,
    #[serde(default = "stop")]
    pub stop_key: String,
    /// URL in the standby Region that proves that it serves; expects 200 and `healthy_body` within it.
    pub healthy_url: String,
    #[serde(default)]
    pub healthy_body: String,
}

fn stop() -> String {
    "STOP".to_owned()
}

/// Somebody who sees the primary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observer {
    pub name: String,
    #[serde(flatten)]
    pub kind: ObserverKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ObserverKind {
    /// The watcher's own request from the standby Region.
    Probe {
        url: String,
        /// Text that a healthy answer contains.
        #[serde(default)]
        body: String,
        /// No answer within it counts as Down.
        #[serde(default = "probe_timeout")]
        timeout: SignedDuration,
    },
    /// The verdict of Route 53's health checkers, read by resolving a failover record of its own: data plane only.
    Checkers {
        /// TXT record whose primary answer is bound to `health_check`.
        record: String,
        /// The text that the record answers while the check is healthy.
        #[serde(default = "up")]
        up: String,
        health_check: String,
    },
    /// A CloudWatch alarm that notifies by SNS.
    Alarm {
        arn: String,
        /// The health check that the alarm looks at, where it does: then both are one observer, not two.
        health_check: Option<String>,
    },
}

fn probe_timeout() -> SignedDuration {
    SignedDuration::from_secs(3)
}

fn up() -> String {
    "UP".to_owned()
}

impl Observer {
    /// What the observer looks through. Two observers with one source are one witness.
    pub fn source(&self) -> &str {
        match &self.kind {
            ObserverKind::Checkers { health_check, .. } | ObserverKind::Alarm { health_check: Some(health_check), .. } => health_check,
            ObserverKind::Probe { .. } | ObserverKind::Alarm { health_check: None, .. } => &self.name,
        }
    }

    /// Whether its word comes by a topic, rather than from a look of Relight's own.
    pub fn is_told(&self) -> bool {
        matches!(self.kind, ObserverKind::Alarm { .. })
    }

    /// Whether its word still arrives when the primary Region and us-east-1 are dark.
    pub fn speaks_in_the_dark(&self, standby: &str) -> bool {
        match &self.kind {
            ObserverKind::Probe { .. } | ObserverKind::Checkers { .. } => true,
            ObserverKind::Alarm { arn, .. } => arn.split(':').nth(3) == Some(standby),
        }
    }
}

/// The monthly proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drill {
    /// When the schedule starts it. `1` is Sunday: the first Monday is `2#1`. Read by the template, kept here for people.
    pub schedule: String,
    /// How long full capacity is held.
    pub hold: SignedDuration,
    /// From the opening: what has not ended by then is restored, whatever failed.
    pub deadline: SignedDuration,
    /// URLs of the standby that must answer 200 while it is held.
    pub validate: Vec<String>,
}

impl Default for Drill {
    fn default() -> Self {
        Drill {
            schedule: "cron(5 0 ? * 2#1 *)".to_owned(),
            hold: SignedDuration::from_hours(1),
            deadline: SignedDuration::from_hours(3),
            validate: Vec::new(),
        }
    }
}

/// The way home. It is opened by the operator alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Failback {
    /// Hours of the day, UTC, in which writes may pause: `02:00-04:00`. Absent: the operator's `switch-home` says the moment.
    pub window: Option<String>,
    /// How long writes may pause before the promotion at home. After it they are opened again, and the failback is aborted.
    pub write_pause: SignedDuration,
}

impl Failback {
    /// Beginning and end of the window, which may span midnight.
    pub fn hours(&self) -> Option<(Time, Time)> {
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
        let (from, to) = self.window.as_deref()?.split_once('-')?;
        let (from, to) = (time(from)?, time(to)?);
        (from != to).then_some((from, to))
    }
}

impl Default for Failback {
    fn default() -> Self {
        Failback { window: None, write_pause: SignedDuration::from_mins(5) }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    pub mode: ActMode,
    /// Independent observers that must say Down.
    pub quorum: usize,
    /// For how long each of them must have said so.
    pub dwell: SignedDuration,
    /// After a stand-down a suspicion needs one observer more.
    pub cool_down: SignedDuration,
    /// A suspicion that nobody confirms is stood down after it.
    pub suspicion_deadline: SignedDuration,
    /// Per cent of the active size that must run before users are let in.
    pub least_capacity: u32,
    pub unknown_lag: UnknownLag,
    /// Whether a person must approve before anything is confirmed.
    pub approval: bool,
    /// Between two looks at work that AWS has under way. Below a second it would meet the services' throttles.
    pub poll: SignedDuration,
    /// A step that takes longer is said each minute.
    pub step_deadline: SignedDuration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            mode: ActMode::Act,
            quorum: 2,
            dwell: SignedDuration::from_mins(1),
            cool_down: SignedDuration::from_mins(15),
            suspicion_deadline: SignedDuration::from_mins(30),
            least_capacity: 100,
            unknown_lag: UnknownLag::Refuse,
            approval: false,
            poll: SignedDuration::from_secs(5),
            step_deadline: SignedDuration::from_mins(15),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActMode {
    /// Look and say, change nothing.
    Observe,
    Act,
}

/// What to do where nobody can tell how far the replica was behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownLag {
    Refuse,
    Accept,
}

/// A resource of the plan, as `kind/name`: the key of its baseline, its progress and its rows in the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(pub String);

impl std::fmt::Display for ResourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Plan {
    /// Parses and validates. The error lists every mistake with its line, its reason and its remedy.
    pub fn parse(text: &str) -> Result<Plan, Mistakes> {
        validate::parse(text)
    }

    /// Parses what the journal holds, which was validated when it was put there.
    pub fn stored(text: &str) -> Result<Plan, toml::de::Error> {
        toml::from_str(text)
    }

    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.name == name)
    }

    /// The primary's health page and what a healthy answer contains, as the first probe asks for them.
    pub fn home_page(&self) -> Option<(&str, &str)> {
        self.observers.iter().find_map(|observer| match &observer.kind {
            ObserverKind::Probe { url, body, .. } => Some((url.as_str(), body.as_str())),
            ObserverKind::Checkers { .. } | ObserverKind::Alarm { .. } => None,
        })
    }

    pub fn observer(&self, name: &str) -> Option<&Observer> {
        self.observers.iter().find(|observer| observer.name == name)
    }
}
