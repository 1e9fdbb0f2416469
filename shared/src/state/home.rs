//! What a failback has done, in the items of the three parts that it is made of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Endpoint;
use crate::ports::Lsn;

/// promote-replica's, of one database: the instances in both Regions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HomeStep {
    /// The first look into the primary Region that got no answer, since the last that got one.
    pub silent_since: Option<Timestamp>,
    /// When the instance at home was last seen, and what keeps it from being promoted.
    pub looked_at: Option<Timestamp>,
    pub why_not: Option<String>,
    /// The last waiting, refusal or failure that was said: in a phase of hours it is said once.
    pub said: String,

    /// The old writer was seen with nothing but the quarantine group.
    pub fenced_at: Option<Timestamp>,
    /// The name that it is given, written before it is renamed.
    pub left: Option<String>,
    pub snapshot_at: Option<Timestamp>,
    /// Seen under that name; its endpoint changed with it.
    pub left_at: Option<Timestamp>,
    pub left_endpoint: Option<Endpoint>,
    /// What the old writer was: the instance at home becomes the same.
    pub was: Option<ReplicaShape>,
    /// There is no old writer: nothing to set aside, and nothing to compare.
    pub nothing_left: bool,

    pub requested_at: Option<Timestamp>,
    /// Of the replica at home, for its parameter group.
    pub restart: RestartStep,
    /// The replica at home is available and replicates, with the old writer's parameter group in force.
    pub replicating_at: Option<Timestamp>,
    pub endpoint: Option<Endpoint>,
    /// Written before the call: from here on the answer may be lost.
    pub promote_attempt_at: Option<Timestamp>,
    pub promote_called_at: Option<Timestamp>,
    /// The last attempt was throttled, and so is known not to have happened.
    pub throttled: bool,
    pub promoted_at: Option<Timestamp>,
    pub backups_on_at: Option<Timestamp>,

    /// Aurora's: the snapshot that it made of the old writer, its copy's name, and when that was there, or nothing was to be kept.
    pub lost_snapshot: Option<String>,
    pub lost_kept: Option<String>,
    pub lost_kept_at: Option<Timestamp>,

    /// The standby's proxy was seen without the writer that served.
    pub proxy_freed_at: Option<Timestamp>,
    /// The name that the writer which served is given, written before it is renamed.
    pub standby_left: Option<String>,
    pub standby_snapshot_at: Option<Timestamp>,
    pub standby_left_at: Option<Timestamp>,
    pub rebuild_requested_at: Option<Timestamp>,
    /// The standby's replica is available and replicates from home.
    pub rebuilt_at: Option<Timestamp>,
    /// Of the standby's replica, for its parameter group.
    pub replica_restart: RestartStep,
    /// And has its parameter group and backups, so that a drill can copy it.
    pub replica_ready_at: Option<Timestamp>,
}

/// rotate-secret's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HomeRotation {
    pub databases: BTreeMap<String, HomeDatabase>,
    pub secrets: BTreeMap<String, HomeSecretStep>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HomeDatabase {
    /// The last table whose rows were compared with the old writer's, in the order of their names.
    pub left_after: Option<String>,
    /// Tables in which the old writer had rows for itself.
    pub left: BTreeMap<String, LeftTable>,
    /// Tables that could not be compared, each with why.
    pub left_out: Vec<String>,
    /// How many tables were compared, and the rows of the old writer in them.
    pub left_tables: usize,
    pub left_rows: u64,
    pub left_compared_at: Option<Timestamp>,
    /// The last failure that was said.
    pub said: String,

    pub lag: Option<HomeLag>,
    pub compared: Option<HomeComparison>,

    /// MySQL and MariaDB: by which parameter group writes can be closed, and why by none.
    pub gate: Option<HomeGate>,
    pub no_gate: Option<String>,
    /// Written before writes are closed: from here on they may be.
    pub closing_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// The position after the last write.
    pub last: Option<Lsn>,
    /// The replica at home had received and replayed it.
    pub reached_at: Option<Timestamp>,
    /// The writer at home took a row.
    pub proven_at: Option<Timestamp>,
    /// Writes of the standby were opened again.
    pub reopened_at: Option<Timestamp>,
    /// The gate says what it said before, once users are home.
    pub given_back_at: Option<Timestamp>,
}

/// The parameter group that closes the writes of a database, by its parameter `read_only`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeGate {
    pub group: String,
    /// What somebody had set there; nothing is the engine's default.
    pub was: Option<String>,
    pub seen_at: Timestamp,
    /// What it was last told to say, and when: RDS takes a moment, and is not told with every look.
    #[serde(default)]
    pub told: Option<(String, Timestamp)>,
}

/// Rows of one table that the old writer had for itself, and the file that they are in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeftTable {
    pub missing: u64,
    pub differing: u64,
    pub file: String,
}

/// How far the replica at home is behind, by the positions of both logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeLag {
    pub bytes: u64,
    pub at: Timestamp,
}

/// The last comparison of the serving database with the replica at home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeComparison {
    pub at: Timestamp,
    /// `None`: no position was found at which both could be seen.
    pub equal: Option<bool>,
    pub said: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HomeSecretStep {
    /// When it was last seen in the primary Region.
    pub seen_at: Option<Timestamp>,
    /// The last failure that was said.
    pub said: String,
    /// It names the database at home, with the login that works there.
    pub written_at: Option<Timestamp>,
    pub tested_at: Option<Timestamp>,
    /// The standby's is a replica of it again.
    pub replicated_at: Option<Timestamp>,
}

/// switch-traffic's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HomeTraffic {
    /// The primary's health page answered, after the promotion.
    pub page_at: Option<Timestamp>,
    /// Users' name leads home, and the primary answers there.
    pub home_at: Option<Timestamp>,
}

/// What is changed of a replica with its promotion and after it, and of the old writer by building another in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaShape {
    pub class: String,
    pub backup_retention: u32,
    /// Absent where an older version wrote it down.
    #[serde(default)]
    pub multi_az: Option<bool>,
    #[serde(default)]
    pub deletion_protection: Option<bool>,
    #[serde(default)]
    pub parameter_group: Option<String>,
}

/// A restart that a parameter group waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartStep {
    /// Written before the call: from here on the answer may be lost.
    pub asked_at: Option<Timestamp>,
    /// When AWS took the call.
    pub called_at: Option<Timestamp>,
}
