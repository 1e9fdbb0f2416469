//! What a plan must say of MySQL and MariaDB so that they can be brought home.

use super::Database;
use super::global::{Wrong, wrong};

/// The way home closes their writes by `read_only` of the parameter group of the instance that serves.
pub(super) fn mistakes(database: &Database) -> Vec<Wrong> {
    if !closes_by_group(database) {
        return Vec::new();
    }
    let reason = match database.parameter_group.as_deref() {
        None => "the way home closes the writes of MySQL and MariaDB by `read_only` of the instance's parameter group, and the plan names none",
        Some(group) if group.starts_with("default.") => {
            "the way home closes the writes of MySQL and MariaDB by `read_only` of the instance's parameter group, and AWS's own cannot be changed"
        }
        Some(_) => return Vec::new(),
    };
    vec![wrong("parameter_group", reason, "name a group that this instance alone has, or leave `home_security_groups` out and go home by hand")]
}

/// Whether a failback changes this database's parameter group.
pub(super) fn closes_by_group(database: &Database) -> bool {
    database.is_mysql() && !database.home_security_groups.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Engine;
    use crate::situations::plan;

    #[test]
    fn who_is_to_be_brought_home_needs_a_parameter_group_of_its_own() {
        let reasons = |engine, group: Option<&str>| {
            let orders = Database { engine, parameter_group: group.map(str::to_owned), ..plan().databases.remove(0) };
            mistakes(&orders).into_iter().map(|(key, reason, _)| (key, reason)).collect::<Vec<_>>()
        };
        for engine in [Engine::MySql, Engine::MariaDb] {
            assert!(matches!(&reasons(engine, None)[..], [("parameter_group", reason)] if reason.contains("names none")));
            assert!(matches!(&reasons(engine, Some("default.mysql8.4"))[..], [("parameter_group", reason)] if reason.contains("AWS's own")));
            assert_eq!(reasons(engine, Some("shop-orders")), []);
        }
        assert_eq!(reasons(Engine::Postgres, None), [], "its writes are closed by SQL");
        let by_hand = Database { engine: Engine::MySql, home_security_groups: Vec::new(), ..plan().databases.remove(0) };
        assert_eq!(mistakes(&by_hand).len(), 0);
    }
}
