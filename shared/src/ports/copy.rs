//! A drill's disposable copy of a replica, and what is owed for it.
//!
//! ```text
//! replica ──► a replica of it ─────────────────────────────► promoted ──► removed
//!         └─► a snapshot, under the copy's name ──► restored: a writer at once ──► removed, then the snapshot
//! ```
//! One name stands for the instance and for its snapshot, so one obligation covers both. Of Aurora's secondaries it stands for a cluster and
//! its snapshot: `cluster_copy`.

use std::fmt;

use super::ReplicaId;
use super::database::{LONGEST, fnv1a, plain};
use crate::run::RunId;

/// Every name of a disposable copy begins so. No plan may name a replica like this.
pub const COPY_PREFIX: &str = "relight-drill-";

/// What a disposable copy is made from.
#[derive(Debug, Clone, Copy)]
pub struct CopyOf<'a> {
    pub source: &'a ReplicaId,
    /// The source's own: without them the copy would get the VPC's default group, and nobody could log in.
    pub security_groups: &'a [String],
    /// Tags `relight:plan` and `relight:run`.
    pub plan: &'a str,
    pub run: &'a RunId,
}

/// What a snapshot for a copy is taken of, and the copy is restored like.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotOf<'a> {
    pub source: &'a ReplicaId,
    /// Tags `relight:plan` and `relight:run`, of the snapshot and of the copy.
    pub plan: &'a str,
    pub run: &'a RunId,
}

/// How far a snapshot for a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopySnapshot {
    Underway,
    Available,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Gone,
    Underway,
}

/// A disposable copy of a replica, made by a drill.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(String);

impl CopyId {
    /// `relight-drill-20260105t000500z-orders-5f2c9a01`: readable for whoever finds it, told apart by the last part
    /// where readable parts were cut or look alike. The same three always give the same name, so that a copy whose
    /// creation was never answered is found again.
    pub fn of(plan: &str, run: &RunId, database: &str) -> CopyId {
        let stamp = run.0.rsplit('-').next().unwrap_or_default();
        let digest = format!("{:08x}", fnv1a(&[plan, &run.0, database]));
        let mut readable = plain(&format!("{stamp}-{database}"));
        readable.truncate(LONGEST - COPY_PREFIX.len() - digest.len() - 1);
        let readable = readable.trim_matches('-');
        let dash = if readable.is_empty() { "" } else { "-" };
        CopyId(format!("{COPY_PREFIX}{readable}{dash}{digest}"))
    }

    /// The copy behind a name that was recorded or listed; `None` for a name that no drill gives.
    pub fn named(name: &str) -> Option<CopyId> {
        let ours = name.strip_prefix(COPY_PREFIX).is_some_and(|rest| !rest.is_empty()) && name.len() <= LONGEST;
        ours.then(|| CopyId(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the one instance of a copy that is a cluster. It has the copy's digest, however much of the readable part is cut for it.
    pub fn member(&self) -> String {
        const SUFFIX: &str = "-1";
        let (readable, digest) = self.0.rsplit_once('-').unwrap_or((&self.0, ""));
        let room = LONGEST - SUFFIX.len() - digest.len() - 1;
        let readable = readable.get(..room).unwrap_or(readable).trim_end_matches('-');
        format!("{readable}-{digest}{SUFFIX}")
    }
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(database: &str) -> String {
        CopyId::of("shop", &RunId("drill-20260105T000500Z".to_owned()), database).to_string()
    }

    #[test]
    fn a_copy_is_named_readably() {
        assert!(copy("orders").starts_with("relight-drill-20260105t000500z-orders-"), "{}", copy("orders"));
    }

    #[test]
    fn any_name_of_a_database_gives_an_identifier_that_rds_accepts() {
        for database in ["orders", "Orders_2024", "a--b", "-", "", "déjà vu", "x".repeat(200).as_str(), "ends-in-a-cut-after-hyphens-------"] {
            let name = copy(database);
            assert!(name.len() <= 63, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            assert!(!name.contains("--") && !name.ends_with('-') && name.starts_with(|c: char| c.is_ascii_alphabetic()), "{name}");
            assert_eq!(CopyId::named(&name).map(|copy| copy.to_string()), Some(name));
        }
    }

    #[test]
    fn names_that_look_alike_stay_apart() {
        let long = "x".repeat(60);
        assert_ne!(copy("a_b"), copy("a-b"));
        assert_ne!(copy(&format!("{long}1")), copy(&format!("{long}2")));
        let run = RunId("drill-20260105T000500Z".to_owned());
        assert_ne!(CopyId::of("shop", &run, "orders"), CopyId::of("blog", &run, "orders"));
        assert_ne!(CopyId::of("ab", &run, "c"), CopyId::of("a", &run, "bc"));
    }

    #[test]
    fn the_instance_of_a_cluster_has_a_name_of_its_own_that_rds_accepts() {
        let of = |database: &str| CopyId::of("shop", &RunId("drill-20260105T000500Z".to_owned()), database);
        assert_eq!(of("orders").member(), format!("{}-1", of("orders")));
        for long in ["x".repeat(200), "a-".repeat(60)] {
            let (copy, name) = (of(&long), of(&long).member());
            let digest = copy.as_str().rsplit('-').next().expect("a digest");
            assert!(name.len() <= 63 && !name.contains("--") && name.ends_with(&format!("-{digest}-1")), "{name}");
            assert!(CopyId::named(&name).is_some_and(|named| named != copy), "{name}");
        }
    }

    #[test]
    fn a_replica_is_never_taken_for_a_copy() {
        assert_eq!(CopyId::named("orders-replica"), None);
        assert_eq!(CopyId::named(COPY_PREFIX), None);
    }
}
