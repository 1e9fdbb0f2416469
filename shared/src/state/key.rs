//! The keys of the journal's items, as they are written and read.

use serde::{Deserialize, Serialize};

use crate::plan::ResourceId;
use crate::run::RunId;

/// The key of an item in the plan's partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Head,
    Plan(u64),
    Evidence,
    Memory,
    Baseline(ResourceId),
    Obligation(String),
    Lease(String),
    Progress(Part),
    /// The report that a run which is over still owes.
    Report(RunId),
    /// Somebody asks how the standby stands.
    Look,
    /// What the function of this name answered.
    Sight(String),
    /// An item of a version that knows more. It is left alone.
    Other(String),
}

/// The owner of a progress item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Capacity,
    Promotion,
    Rotation,
    Traffic,
    Restore,
    Drill,
}

impl Part {
    pub const ALL: [Part; 6] = [Part::Capacity, Part::Promotion, Part::Rotation, Part::Traffic, Part::Restore, Part::Drill];

    pub fn name(self) -> &'static str {
        match self {
            Part::Capacity => "capacity",
            Part::Promotion => "promotion",
            Part::Rotation => "rotation",
            Part::Traffic => "traffic",
            Part::Restore => "restore",
            Part::Drill => "drill",
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Head => f.write_str("head"),
            Key::Plan(version) => write!(f, "plan#{version}"),
            Key::Evidence => f.write_str("evidence"),
            Key::Memory => f.write_str("memory"),
            Key::Baseline(resource) => write!(f, "baseline#{resource}"),
            Key::Obligation(id) => write!(f, "obligation#{id}"),
            Key::Lease(name) => write!(f, "lease#{name}"),
            Key::Progress(part) => write!(f, "progress#{}", part.name()),
            Key::Report(run) => write!(f, "report#{run}"),
            Key::Look => f.write_str("look"),
            Key::Sight(function) => write!(f, "sight#{function}"),
            Key::Other(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        let other = || Key::Other(text.to_owned());
        let (kind, rest) = text.split_once('#').unwrap_or((text, ""));
        match kind {
            "head" => Key::Head,
            "evidence" => Key::Evidence,
            "memory" => Key::Memory,
            "plan" => rest.parse().map_or_else(|_| other(), Key::Plan),
            "baseline" => Key::Baseline(ResourceId(rest.to_owned())),
            "obligation" => Key::Obligation(rest.to_owned()),
            "lease" => Key::Lease(rest.to_owned()),
            "progress" => Part::ALL.into_iter().find(|part| part.name() == rest).map_or_else(other, Key::Progress),
            "report" => Key::Report(RunId(rest.to_owned())),
            "look" => Key::Look,
            "sight" => Key::Sight(rest.to_owned()),
            _ => other(),
        }
    }
}
