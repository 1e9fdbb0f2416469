//! DB parameter groups: what values a Region keeps of each, and the one parameter that its servers know.
//!
//! ```text
//! ModifyDBParameterGroup ─► values of (Region, group) ─┬─ at once ─► each running server of the group: SET GLOBAL read_only, in the background
//!                                                      └─ at each start of a server ─► its settings
//! ```
//! `read_only` of MariaDB is real, as it is what closes and opens a database's writes on RDS. Every other parameter is kept and described, and
//! the server never hears of it. Each counts as dynamic: which ones are not, the stage does not know. A group is there when an instance of its
//! Region has it, or once it was changed: what a template says of one is not looked at.

use crate::Inner;
use crate::engine::EngineName;
use crate::fault::Fault;
use crate::read_only::ReadOnly;
use crate::server::Server;
use crate::state::{Instance, Key, Record, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

pub(crate) const READ_ONLY: &str = "read_only";
/// Between two attempts to tell a server what it would not take, as a session had locked its tables.
const AGAIN: Duration = Duration::from_millis(500);

pub(crate) struct ParameterGroup {
    pub(crate) engine: EngineName,
    pub(crate) values: BTreeMap<String, String>,
}

/// One parameter's new value.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) value: String,
    /// Or with the next restart.
    pub(crate) at_once: bool,
}

impl State {
    /// Of a group that is there.
    pub(crate) fn engine_of_group(&self, group: &Key) -> Result<EngineName, Fault> {
        let held = || self.with_group(group).next().map(|instance| instance.record.engine);
        let engine = self.parameter_groups.get(group).map(|group| group.engine).or_else(held);
        engine.ok_or_else(|| Fault::new(404, "DBParameterGroupNotFound", format!("DBParameterGroup not found: {}", group.id)))
    }

    pub(crate) fn with_group(&self, group: &Key) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|instance| group_of(&instance.record).as_ref() == Some(group))
    }

    pub(crate) fn parameter(&self, group: &Key, name: &str) -> Option<&str> {
        self.parameter_groups.get(group)?.values.get(name).map(String::as_str)
    }

    /// What an instance's group says of its writes.
    pub(crate) fn read_only(&self, record: &Record) -> ReadOnly {
        let said = group_of(record).and_then(|group| ReadOnly::parse(self.parameter(&group, READ_ONLY)?));
        said.unwrap_or_default()
    }
}

impl Inner {
    /// The values are kept already; this makes them felt.
    pub(crate) fn spread(self: &Arc<Self>, state: &mut State, group: &Key, changes: &[Parameter]) {
        if changes.iter().any(|change| !change.at_once) {
            let waiting = state.instances.values_mut().filter(|instance| group_of(&instance.record).as_ref() == Some(group));
            waiting.for_each(|instance| instance.record.placement.parameters_wait = true);
        }
        let Some(change) = changes.iter().rfind(|change| change.name == READ_ONLY) else { return };
        for instance in state.with_group(group).filter(|instance| instance.record.engine == EngineName::MariaDb) {
            let read_only = state.read_only(&instance.record);
            instance.server.read_only_from_next_start(read_only);
            if change.at_once {
                instance.server.read_only_at_once(read_only);
                self.spawn(apply(instance.server.clone()));
            }
        }
    }
}

/// Until it is in force. Nothing is to be done at a server that has ended: it hears of it when it starts.
async fn apply(server: Arc<Server>) {
    while server.lives() && !server.apply_read_only().await.unwrap_or(false) {
        sleep(AGAIN).await;
    }
}

/// RDS keeps the names of groups in lower case.
fn group_of(record: &Record) -> Option<Key> {
    record.placement.parameter_group.as_ref().map(|name| Key::new(&record.key.region, name))
}
