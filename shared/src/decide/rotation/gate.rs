//! By what the writes of MySQL and MariaDB are closed on the way home: the parameter `read_only` of the instance's own parameter group.
//!
//! Nobody sets it by SQL on Amazon RDS, not the master user either. A group that is changed is changed for every instance that has it, and it stays
//! changed: so it must be the instance's alone, what it said before is recorded first, and no replica is built into it before it says that again.

use crate::plan::Database;
use crate::ports::{Instance, WriteGate};
use crate::state::{HomeDatabase, HomeGate, Snapshot};

/// Closes writes.
pub const CLOSED: &str = "1";
/// The engine's default, which keeps a replica from being written to and a writer not.
const DEFAULT: &str = "{TrueIfReplica}";
/// In the name of what an earlier failback set aside, which serves nobody and may be closed with the rest.
const LEFT: &str = "-left-";

/// Why the writes of an instance cannot be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGate {
    #[error("the standby Region has no instance {replica}, whose writes would be closed")]
    NoInstance { replica: String },
    #[error("the plan names no `parameter_group`, by which the writes of {replica} would be closed; name one that it alone has")]
    NotPlanned { replica: String },
    #[error("{replica} has parameter group {group} and not {planned} of the plan, by which its writes would be closed; give it that, and restart it")]
    Other { replica: String, group: String, planned: String },
    #[error("parameter group {group} of {replica} is {status}, so its writes could not be closed by it; restart {replica} in a quiet moment")]
    NotInForce { replica: String, group: String, status: String },
    #[error("parameter group {group} of {replica} is also that of {}: closing writes would close theirs; give {replica} a group of its own", others.join(", "))]
    Shared { replica: String, group: String, others: Vec<String> },
    #[error("parameter group {group} sets read_only to {value} already, so {replica} would stay closed afterwards; reset read_only in it")]
    Stuck { replica: String, group: String, value: String },
}

/// The plan's group, if the instance has it and it is in force.
pub fn group_of(database: &Database, instance: Option<&Instance>) -> Result<String, NoGate> {
    let replica = database.replica.clone();
    let Some(planned) = database.parameter_group.clone() else { return Err(NoGate::NotPlanned { replica }) };
    let Some(instance) = instance else { return Err(NoGate::NoInstance { replica }) };
    match &instance.parameter_group {
        Some(group) if group.name == planned && group.status == "in-sync" => Ok(planned),
        Some(group) if group.name == planned => Err(NoGate::NotInForce { replica, group: planned, status: group.status.clone() }),
        other => Err(NoGate::Other { replica, group: other.as_ref().map(|group| group.name.clone()).unwrap_or_default(), planned }),
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

/// What opens writes: what somebody had set, or the engine's default.
pub fn open_value(gate: &HomeGate) -> &str {
    gate.was.as_deref().unwrap_or(DEFAULT)
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
    use crate::situations::plan;

    fn database(group: Option<&str>) -> Database {
        Database { parameter_group: group.map(str::to_owned), ..plan().databases.remove(0) }
    }

    fn instance(group: Option<&str>, status: &str) -> Instance {
        let parameter_group = group.map(|name| ParameterGroup { name: name.to_owned(), status: status.to_owned() });
        Instance { parameter_group, ..Instance::default() }
    }

    fn gate(read_only: Option<&str>, holders: &[&str]) -> WriteGate {
        WriteGate { read_only: read_only.map(str::to_owned), holders: holders.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn writes_are_closed_by_the_plans_group_where_the_instance_has_it_for_itself() {
        assert_eq!(group_of(&database(Some("shop-orders")), Some(&instance(Some("shop-orders"), "in-sync"))), Ok("shop-orders".to_owned()));
        for (read_only, holders) in [(None, &["orders"][..]), (Some("0"), &["orders"]), (Some(DEFAULT), &["orders", "orders-left-20260105t000500z"])]
        {
            assert_eq!(usable("orders", "shop-orders", &gate(read_only, holders)), Ok(()));
        }
    }

    #[test]
    fn a_group_that_closes_nothing_or_too_much_is_refused_with_its_remedy() {
        let shop = database(Some("shop"));
        let refused = [
            (group_of(&shop, None).err(), "no instance orders-replica"),
            (group_of(&database(None), Some(&instance(Some("shop"), "in-sync"))).err(), "names no `parameter_group`"),
            (group_of(&shop, Some(&instance(None, "in-sync"))).err(), "and not shop of the plan"),
            (group_of(&shop, Some(&instance(Some("default.mysql8.4"), "in-sync"))).err(), "has parameter group default.mysql8.4 and not shop"),
            (group_of(&shop, Some(&instance(Some("shop"), "pending-reboot"))).err(), "is pending-reboot"),
            (usable("orders", "shop", &gate(None, &["orders", "items"])).err(), "also that of items"),
            (usable("orders", "shop", &gate(Some("ON"), &["orders"])).err(), "reset read_only"),
        ];
        for (why, part) in refused {
            let sentence = why.map(|why| why.to_string()).unwrap_or_default();
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
