//! By what the writes of MySQL and MariaDB are closed on the way home: the parameter `read_only` of the instance's own parameter group.
//!
//! Nobody sets it by SQL on Amazon RDS, not the master user either. A group that is changed is changed for every instance that has it, and it stays
//! changed: so it must be the instance's alone, what it said before is recorded first, and no replica is built into it before it says that again.

use crate::ports::{Instance, WriteGate};
use crate::state::{HomeDatabase, Snapshot};

/// Closes writes.
pub const CLOSED: &str = "1";
/// The engine's default, which keeps a replica from being written to and a writer not.
pub const DEFAULT: &str = "{TrueIfReplica}";
/// In the name of what an earlier failback set aside, which serves nobody and may be closed with the rest.
const LEFT: &str = "-left-";

/// Why the writes of an instance cannot be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGate {
    #[error("the standby Region has no instance {replica}, whose writes would be closed")]
    NoInstance { replica: String },
    #[error("{replica} names no parameter group, by which its writes would be closed")]
    NoGroup { replica: String },
    #[error(
        "{replica} has parameter group {group}, which is AWS's own and cannot be changed; its writes are closed by `read_only` of a group of its own: make one, give it to the instance, restart it, and name it in the plan's `parameter_group`"
    )]
    Default { replica: String, group: String },
    #[error("parameter group {group} of {replica} is also that of {}: closing writes would close theirs; give {replica} a group of its own", others.join(", "))]
    Shared { replica: String, group: String, others: Vec<String> },
    #[error("parameter group {group} sets read_only to {value} already, so {replica} would stay closed afterwards; reset read_only in it")]
    Stuck { replica: String, group: String, value: String },
}

/// The group of an instance, if its writes can be closed by it.
pub fn group_of(replica: &str, instance: Option<&Instance>) -> Result<String, NoGate> {
    let replica = || replica.to_owned();
    let Some(instance) = instance else { return Err(NoGate::NoInstance { replica: replica() }) };
    match instance.parameter_group.as_ref().map(|group| group.name.clone()) {
        None => Err(NoGate::NoGroup { replica: replica() }),
        Some(group) if group.starts_with("default.") => Err(NoGate::Default { replica: replica(), group }),
        Some(group) => Ok(group),
    }
}

/// Whether the group can be used, with everybody who has it.
pub fn usable(replica: &str, group: &str, gate: &WriteGate) -> Result<(), NoGate> {
    let (replica, group) = (replica.to_owned(), group.to_owned());
    let others: Vec<String> = gate.holders.iter().filter(|name| **name != replica && !name.contains(LEFT)).cloned().collect();
    if !others.is_empty() {
        return Err(NoGate::Shared { replica, group, others });
    }
    match &gate.read_only {
        Some(value) if closes(value) => Err(NoGate::Stuck { replica, group, value: value.clone() }),
        _ => Ok(()),
    }
}

/// As RDS takes it for on.
fn closes(value: &str) -> bool {
    ["1", "on", "true"].contains(&value.to_ascii_lowercase().as_str())
}

/// The group that may still close the writes of whoever has it.
pub fn closed_by<'a>(snapshot: &'a Snapshot, database: &str) -> Option<&'a str> {
    let step = snapshot.progress.rotation.home.databases.get(database)?;
    still_closed(step).then(|| step.gate.as_ref().map(|gate| gate.group.as_str())).flatten()
}

fn still_closed(step: &HomeDatabase) -> bool {
    step.closing_at.is_some() && step.reopened_at.is_none() && step.given_back_at.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::ParameterGroup;

    fn instance(group: Option<&str>) -> Instance {
        let parameter_group = group.map(|name| ParameterGroup { name: name.to_owned(), status: "in-sync".to_owned() });
        Instance { parameter_group, ..Instance::default() }
    }

    fn gate(read_only: Option<&str>, holders: &[&str]) -> WriteGate {
        WriteGate { read_only: read_only.map(str::to_owned), holders: holders.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn writes_are_closed_by_a_group_of_the_instances_own() {
        assert_eq!(group_of("orders", Some(&instance(Some("shop-orders")))), Ok("shop-orders".to_owned()));
        for (read_only, holders) in [(None, &["orders"][..]), (Some("0"), &["orders"]), (Some(DEFAULT), &["orders", "orders-left-20260105t000500z"])] {
            assert_eq!(usable("orders", "shop-orders", &gate(read_only, holders)), Ok(()));
        }
    }

    #[test]
    fn a_group_that_is_aws_own_or_others_or_closed_already_is_refused_with_its_remedy() {
        let refused = [
            (group_of("orders", None).err(), "no instance orders"),
            (group_of("orders", Some(&instance(None))).err(), "names no parameter group"),
            (group_of("orders", Some(&instance(Some("default.mysql8.4")))).err(), "make one"),
            (usable("orders", "shop", &gate(None, &["orders", "items"])).err(), "also that of items"),
            (usable("orders", "shop", &gate(Some("ON"), &["orders"])).err(), "reset read_only"),
        ];
        for (why, part) in refused {
            let sentence = why.map(|why| why.to_string()).unwrap_or_default();
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
