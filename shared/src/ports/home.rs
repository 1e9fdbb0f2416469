//! The way home: what a failback names, and never confuses.
//!
//! ```text
//! primary Region   orders           PrimaryId   the old writer, until it is set aside
//!                  orders-left-…    LeftId      the old writer, set aside: never changed again
//!                  orders           HomeId      the replica that is built there, and promoted
//! standby Region   orders-replica   ReplicaId   the serving writer; later the replica that is rebuilt
//!                  orders-left-…    LeftId      the writer that served, set aside
//! ```
//! The old writer and the replica at home carry one name after another. A [`LeftId`] knows both names of what it stands
//! for, so that an instance is renamed only to the one name that belongs to it and to the run; nothing removes it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ReplicaId;
use super::database::{LONGEST, fnv1a, plain};
use crate::plan;
use crate::run::RunId;
use crate::state::{Place, ReplicaShape};

/// Stands between the name of an instance that was set aside and the run's stamp.
const LEFT: &str = "-left-";

/// The instance that a failback builds in the primary Region under the plan's name, and promotes there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HomeId {
    region: String,
    instance: String,
}

impl HomeId {
    pub fn of(plan: &plan::Plan, database: &plan::Database) -> HomeId {
        HomeId { region: plan.primary.clone(), instance: database.primary.clone() }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn as_str(&self) -> &str {
        &self.instance
    }
}

/// A writer that was set aside: it keeps its data, serves nobody, and is the operator's to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftId {
    place: Place,
    region: String,
    was: String,
    name: String,
}

impl LeftId {
    /// The old writer in the primary Region. The same three always give the same name, so that an instance whose renaming
    /// was never answered is found again.
    pub fn of_primary(plan: &plan::Plan, database: &plan::Database, run: &RunId) -> LeftId {
        LeftId { place: Place::Primary, region: plan.primary.clone(), was: database.primary.clone(), name: left(&database.primary, run) }
    }

    /// The writer that served in the standby Region.
    pub fn of_standby(plan: &plan::Plan, database: &plan::Database, run: &RunId) -> LeftId {
        LeftId { place: Place::Standby, region: plan.standby.clone(), was: database.replica.clone(), name: left(&database.replica, run) }
    }

    /// The old writer that an earlier failback set aside and recorded; `None` for a name that none gives.
    pub fn recorded(plan: &plan::Plan, database: &plan::Database, name: &str) -> Option<LeftId> {
        let ours = name.contains(LEFT) && name.len() <= LONGEST;
        ours.then(|| LeftId { place: Place::Primary, region: plan.primary.clone(), was: database.primary.clone(), name: name.to_owned() })
    }

    pub fn place(&self) -> Place {
        self.place
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// The name that it has until it is set aside.
    pub fn was(&self) -> &str {
        &self.was
    }

    /// The name that it is given, and that of its last snapshot.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// `orders-left-20260105t000500z`. A name that would be too long is cut and told apart by a digest of the whole.
fn left(was: &str, run: &RunId) -> String {
    let stamp = plain(run.0.rsplit('-').next().unwrap_or_default());
    let name = format!("{was}{LEFT}{stamp}");
    if name.len() <= LONGEST {
        return name;
    }
    let digest = format!("{:08x}", fnv1a(&[was, &run.0]));
    let room = LONGEST - LEFT.len() - stamp.len() - digest.len() - 1;
    let readable: String = was.chars().take(room).collect();
    format!("{}-{digest}{LEFT}{stamp}", readable.trim_end_matches('-'))
}

/// What the replica at home is made from.
#[derive(Debug, Clone, Copy)]
pub struct HomeOf<'a> {
    /// The writer that serves in the standby Region.
    pub source: &'a ReplicaId,
    /// The old writer, set aside: class, subnet group, key, Multi-AZ and deletion protection are taken from it. Absent where there was none.
    /// Its parameter group comes later, by a change: RDS takes none with the creation of PostgreSQL's replicas.
    pub like: Option<&'a LeftId>,
    /// The plan's, since the old writer has only the quarantine's. Without any the replica would get the VPC's default
    /// group, and nobody could log in.
    pub security_groups: &'a [String],
    /// Tags `relight:plan` and `relight:run`.
    pub plan: &'a str,
    pub run: &'a RunId,
}

/// What the standby's replica is made from again.
#[derive(Debug, Clone, Copy)]
pub struct RebuiltOf<'a> {
    /// The writer at home.
    pub source: &'a HomeId,
    /// The writer that served, set aside: subnet group, security groups and key are taken from it.
    pub like: &'a LeftId,
    /// What the replica was before it was promoted, where that is known; else it becomes like `like`.
    pub was: Option<&'a ReplicaShape>,
    /// Tags `relight:plan` and `relight:run`.
    pub plan: &'a str,
    pub run: &'a RunId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshotted {
    /// Seen: the snapshot is available.
    Done,
    /// Asked for, now or earlier; look again.
    Underway,
}

/// What keeps an instance of MySQL or MariaDB from being written to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteGate {
    /// What somebody set for `read_only` in the parameter group; `None` is the engine's default.
    pub read_only: Option<String>,
    /// Every instance of the standby Region that has the group.
    pub holders: Vec<String>,
}

/// A position in a database's log of writes, written as PostgreSQL does: `16/B374D848`. Of MySQL and MariaDB it is the number of the binary log's
/// file and the place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

impl TryFrom<String> for Lsn {
    type Error = BadLsn;

    fn try_from(text: String) -> Result<Lsn, BadLsn> {
        text.parse()
    }
}

impl std::str::FromStr for Lsn {
    type Err = BadLsn;

    fn from_str(text: &str) -> Result<Lsn, BadLsn> {
        let half = |text: &str| u32::from_str_radix(text, 16).ok().map(u64::from);
        let parts = text.split_once('/').and_then(|(high, low)| Some((half(high)?, half(low)?)));
        parts.map(|(high, low)| Lsn(high << 32 | low)).ok_or_else(|| BadLsn(text.to_owned()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no position of a write-ahead log; those look like 16/B374D848")]
pub struct BadLsn(String);

/// Where a database's log of writes stands. A replica's is one of its source's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// It replays somebody else's log.
    pub in_recovery: bool,
    /// What a writer has written, or a replica has received.
    pub received: Lsn,
    /// What is visible: all of a writer's, and what a replica has replayed.
    pub replayed: Lsn,
}

/// Relight's own tables in the workload's databases: the proof that one takes writes, and the heartbeat. No rows of the workload.
pub const OWN_TABLES: [&str; 2] = ["relight_marker", "relight_heartbeat"];

/// A table that can be compared row by row: it has a primary key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Table {
    /// With its schema, as SQL would quote it where it must: `public.orders`.
    pub name: String,
    /// Columns of the key, in its order.
    pub key: Vec<String>,
}

/// The tables of a database, as far as the plan wants them compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    pub compared: Vec<Table>,
    /// Tables that cannot be compared, each with why: no primary key, or the plan names one that is not there.
    pub left_out: Vec<(String, String)>,
}

/// Rows of one table that the old writer has and the serving one lacks, or has otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftRows {
    /// Rows of the old writer, with those that are equal.
    pub seen: u64,
    /// Their key is not in the serving database: they never reached the standby, or were deleted there since.
    pub missing: u64,
    /// Their key is there with other values: an update that never reached the standby, or one that was made there since.
    pub differing: u64,
    /// One JSON object a row, `{"table": …, "kind": "missing" | "differing", "left": {…}, "serving": {…} | null}`; a file of
    /// its own in the bucket of the reports.
    pub lines: Vec<String>,
}

/// Two databases of one log, table by table. `at` is the position as the engine writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// Both at one position, and every table has as many rows with the same checksum.
    Equal { at: String, tables: usize, rows: u64 },
    /// Both at one position, and these tables differ.
    Differing { at: String, tables: Vec<Difference> },
    /// Writes went on: no position was found at which both could be seen.
    Moving,
}

/// A table that is not the same on both sides. With as many rows on both, their values differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub table: String,
    pub here: u64,
    pub there: u64,
}

impl Difference {
    /// The sentence, in which the sides have names.
    pub fn between(&self, here: &str, there: &str) -> String {
        let Difference { table, here: rows, there: others } = self;
        match rows == others {
            true => format!("{table}: {rows} rows on both sides, with different values"),
            false => format!("{table}: {rows} rows {here}, {others} {there}"),
        }
    }
}

impl fmt::Display for HomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.instance)
    }
}

impl fmt::Display for LeftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::situations::plan;

    fn run() -> RunId {
        RunId("failback-20260105T000500Z".to_owned())
    }

    #[test]
    fn what_is_set_aside_keeps_its_name_readable() {
        let plan = plan();
        let left = LeftId::of_primary(&plan, &plan.databases[0], &run());
        assert_eq!((left.as_str(), left.was(), left.region(), left.place()), ("orders-left-20260105t000500z", "orders", "us-east-2", Place::Primary));
        assert_eq!(LeftId::recorded(&plan, &plan.databases[0], left.as_str()), Some(left));
        assert_eq!(LeftId::of_standby(&plan, &plan.databases[0], &run()).as_str(), "orders-replica-left-20260105t000500z");
    }

    #[test]
    fn the_plans_own_instances_are_never_taken_for_what_was_set_aside() {
        let plan = plan();
        for name in [&plan.databases[0].primary, &plan.databases[0].replica] {
            assert_eq!(LeftId::recorded(&plan, &plan.databases[0], name), None);
        }
    }

    #[test]
    fn a_long_name_stays_within_what_rds_accepts_and_names_stay_apart() {
        let long = |last: char| left(&format!("{}{last}", "x".repeat(62)), &run());
        for name in [long('1'), long('2'), left(&"a-".repeat(31), &run())] {
            assert!(name.len() <= LONGEST && !name.contains("--"), "{name}");
        }
        assert_ne!(long('1'), long('2'));
    }

    #[test]
    fn a_position_is_read_as_postgresql_writes_it() {
        for text in ["16/B374D848", "0/0", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        assert!("0/A0".parse::<Lsn>().unwrap() < "1/0".parse().unwrap());
        for text in ["", "16", "16/", "x/1", "1/123456789"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }
}
