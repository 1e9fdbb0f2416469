//! The parameter by which the writes of MySQL and MariaDB are closed: `read_only` of the parameter groups of the standby Region.

use jiff::{SignedDuration, Timestamp};
use relight::ports::{CallError, Why, WriteGate};
use relight::state::Place;

use super::DatabaseWorld;

/// How long RDS takes to have it in force.
const APPLIES: SignedDuration = SignedDuration::from_secs(12);

/// What a group says, and since when.
#[derive(Debug, Clone)]
pub(super) struct Said {
    value: String,
    in_force: Timestamp,
    /// What is in force until then.
    before: Option<String>,
}

impl DatabaseWorld {
    /// Somebody sets `read_only` in a group, long ago.
    pub fn set_parameter(&self, group: &str, value: &str) {
        let said = Said { value: value.to_owned(), in_force: self.clock.now(), before: None };
        self.rds.borrow_mut().parameters.insert(group.to_owned(), said);
    }

    /// What a group says of `read_only`; `None` where nobody ever set it.
    pub fn parameter(&self, group: &str) -> Option<String> {
        self.rds.borrow().parameters.get(group).map(|said| said.value.clone())
    }

    /// Groups that say that nobody may write.
    pub fn closing_groups(&self) -> Vec<String> {
        self.rds.borrow().parameters.iter().filter(|(_, said)| said.value == "1").map(|(group, _)| group.clone()).collect()
    }

    /// Whether the parameter keeps a writer from being written to.
    pub(crate) fn is_closed(&self, host: &str) -> bool {
        let Some((Place::Standby, instance)) = self.at_host(host) else { return false };
        let rds = self.rds.borrow();
        let said = instance.parameter_group.and_then(|group| rds.parameters.get(&group.name));
        let in_force = said.and_then(|said| if said.in_force <= self.clock.now() { Some(&said.value) } else { said.before.as_ref() });
        in_force.is_some_and(|value| value == "1")
    }

    pub(super) fn look_at_gate(&self, group: &str) -> Result<WriteGate, CallError> {
        let read_only = self.call("rds:DescribeDBParameters", group, |rds, _| Ok(rds.parameters.get(group).map(|said| said.value.clone())))?;
        let holders = self.call("rds:DescribeDBInstances", group, |rds, _| {
            let holds = |instance: &relight::ports::Instance| instance.parameter_group.as_ref().is_some_and(|held| held.name == group);
            Ok(rds.standby.iter().filter(|(_, held)| holds(&held.instance)).map(|(name, _)| name.clone()).collect())
        })?;
        Ok(WriteGate { read_only, holders })
    }

    pub(super) fn change_parameter(&self, group: &str, value: &str) -> Result<(), CallError> {
        self.call("rds:ModifyDBParameterGroup", group, |rds, now| {
            if group.starts_with("default.") {
                return Err(Why::State(format!("InvalidDBParameterGroupState: {group} cannot be modified")));
            }
            let before = rds.parameters.get(group).map(|said| said.value.clone());
            let in_force = match &before {
                Some(before) if before == value => now.min(rds.parameters.get(group).map_or(now, |said| said.in_force)),
                _ => now + APPLIES,
            };
            rds.parameters.insert(group.to_owned(), Said { value: value.to_owned(), in_force, before });
            Ok(())
        })
    }
}
