//! What a plan may not say of MySQL and MariaDB, as Relight does not do it there.

use super::Database;
use super::global::{Wrong, wrong};

pub(super) fn mistakes(database: &Database) -> Vec<Wrong> {
    let refused = [
        (
            !database.home_security_groups.is_empty(),
            "home_security_groups",
            "the way home of MySQL and MariaDB is by hand (docs/databases.md), so nothing is built at home",
            "leave it out",
        ),
        (
            !database.compare.is_empty() && database.engine == super::Engine::MySql,
            "compare",
            "a copy of MySQL cannot be compared with its replica: their positions are of two logs",
            "leave it out",
        ),
    ];
    refused.into_iter().filter(|(given, ..)| *given).map(|(_, key, reason, remedy)| wrong(key, reason, remedy)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Engine;
    use crate::situations::plan;

    fn keys(database: Database) -> Vec<&'static str> {
        mistakes(&database).into_iter().map(|(key, ..)| key).collect()
    }

    #[test]
    fn what_relight_does_not_do_for_the_engine_is_refused_with_its_reason() {
        let orders = Database { home_security_groups: Vec::new(), compare: Vec::new(), engine: Engine::MySql, ..plan().databases.remove(0) };
        assert_eq!(keys(orders.clone()), Vec::<&str>::new());
        assert_eq!(keys(Database { home_security_groups: vec!["sg-1".to_owned()], ..orders.clone() }), ["home_security_groups"]);
        let compare = vec!["shop.orders".to_owned()];
        assert_eq!(keys(Database { compare: compare.clone(), ..orders.clone() }), ["compare"]);
        assert_eq!(keys(Database { compare, engine: Engine::MariaDb, ..orders }), Vec::<&str>::new());
    }
}
