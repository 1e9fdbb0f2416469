//! RDS Proxy: what stands before a database in the standby Region, once that takes writes.
//!
//! "You can associate a proxy only with the writer DB instance, not a read replica" (RDS User Guide, RDS Proxy): so the standby's has no
//! target in peace, and gets the promoted instance as its one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan;
use crate::state::Endpoint;

/// A proxy in the standby Region that the plan names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyId(String);

impl ProxyId {
    pub fn of(database: &plan::Database) -> Option<ProxyId> {
        database.proxy.clone().map(ProxyId)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProxyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A proxy, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proxy {
    /// `available`, `modifying`, `incompatible-network`, ...
    pub status: String,
    pub endpoint: Option<Endpoint>,
    /// RDS allows one.
    pub targets: Vec<ProxyTarget>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProxyTarget {
    /// DB instance identifier.
    pub instance: String,
    /// `REGISTERING`, `UNAVAILABLE`, `AVAILABLE`, ...
    pub state: String,
    /// Why it is not available, as far as RDS says it.
    pub why: String,
}

impl Proxy {
    pub fn is_available(&self) -> bool {
        self.status == "available"
    }

    pub fn target(&self, instance: &str) -> Option<&ProxyTarget> {
        self.targets.iter().find(|target| target.instance == instance)
    }

    /// A target that is somebody else.
    pub fn other_than(&self, instance: &str) -> Option<&ProxyTarget> {
        self.targets.iter().find(|target| target.instance != instance)
    }
}

impl ProxyTarget {
    pub fn is_available(&self) -> bool {
        self.state == "AVAILABLE"
    }
}
