//! Whether a server of MariaDB takes writes: what the parameter `read_only` of its instance's group says, with whether it replicates.
//! Only a superuser writes all the same, and RDS's master user is none.

use crate::error::Error;
use crate::server::{Phase, Server};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How long a server waits for the tables of others, in which it lets nobody begin to write. MariaDB's own default is a day.
const LOCK_WAIT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    #[default]
    Writer,
    Replica,
}

/// The parameter's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReadOnly {
    Always,
    Never,
    #[default]
    TrueIfReplica,
}

impl ReadOnly {
    pub(crate) const ALLOWED: &'static str = "0,1,{TrueIfReplica}";

    pub(crate) fn parse(value: &str) -> Option<ReadOnly> {
        match value {
            "1" => Some(ReadOnly::Always),
            "0" => Some(ReadOnly::Never),
            "{TrueIfReplica}" => Some(ReadOnly::TrueIfReplica),
            _ => None,
        }
    }

    fn holds(self, role: Role) -> bool {
        match self {
            ReadOnly::Always => true,
            ReadOnly::Never => false,
            ReadOnly::TrueIfReplica => role == Role::Replica,
        }
    }
}

/// What one server goes by.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    role: Role,
    /// A group that was just given to an instance, and a value that waits for a restart, count from then on.
    from_next_start: ReadOnly,
    in_force: ReadOnly,
    /// In force by RDS's word, while the server has not taken it yet.
    is_applying: bool,
}

impl Writes {
    /// Whether the server that is about to start is to be read-only.
    fn begin(&mut self) -> bool {
        self.in_force = self.from_next_start;
        self.is_applying = false;
        self.is_read_only()
    }

    fn is_read_only(&self) -> bool {
        self.in_force.holds(self.role)
    }
}

impl Server {
    pub(crate) fn set_role(&self, role: Role) {
        self.writes().role = role;
    }

    pub(crate) fn read_only_from_next_start(&self, read_only: ReadOnly) {
        self.writes().from_next_start = read_only;
    }

    pub(crate) fn read_only_at_once(&self, read_only: ReadOnly) {
        let lives = self.lives();
        let mut writes = self.writes();
        (writes.in_force, writes.is_applying) = (read_only, lives);
    }

    pub(crate) fn starts_read_only(&self) -> bool {
        self.writes().begin()
    }

    pub(crate) fn is_applying(&self) -> bool {
        self.writes().is_applying
    }

    pub(crate) fn lives(&self) -> bool {
        self.now() != Phase::Down
    }

    /// Whether the server goes by what it shall go by. It waits for the commits that are under way, and gives up while a session has locked tables.
    pub(crate) async fn apply_read_only(&self) -> Result<bool, Error> {
        let read_only = self.writes().is_read_only();
        let silent = Error::Silent { operation: "set read_only", data: self.data().to_path_buf(), seconds: 2 * LOCK_WAIT.as_secs() };
        timeout(LOCK_WAIT * 2, self.tell(read_only)).await.unwrap_or(Err(silent))?;
        let mut writes = self.writes();
        // Another value, or a promotion, may have come meanwhile.
        let is_so = writes.is_read_only() == read_only;
        writes.is_applying &= !is_so;
        Ok(is_so)
    }

    /// Over a connection of its own: others ask over the shared one meanwhile.
    async fn tell(&self, read_only: bool) -> Result<(), Error> {
        let failed = |source| self.sql_error("set read_only", source);
        let mut session = self.connect(None).await?;
        let wait = format!("SET lock_wait_timeout = {}", LOCK_WAIT.as_secs());
        session.rows(&wait).await.map_err(failed)?;
        let told = session.rows(&format!("SET GLOBAL read_only = {}", u8::from(read_only))).await;
        session.end().await;
        told.map(drop).map_err(failed)
    }

    fn writes(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_decides_and_the_role_only_where_the_group_leaves_it_to_that() {
        let holds = |value: &str| [Role::Writer, Role::Replica].map(|role| ReadOnly::parse(value).unwrap().holds(role));
        assert_eq!(holds("1"), [true, true]);
        assert_eq!(holds("0"), [false, false]);
        assert_eq!(holds("{TrueIfReplica}"), [false, true]);
        assert_eq!(ReadOnly::parse("ON"), None);
    }

    #[test]
    fn value_that_waits_for_a_restart_counts_from_the_next_start() {
        let mut writes = Writes { from_next_start: ReadOnly::Always, ..Writes::default() };
        assert!(!writes.is_read_only());
        assert!(writes.begin() && writes.is_read_only());
    }
}
