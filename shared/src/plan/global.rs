//! What a plan may say of an Aurora global database, and what it may not: much of what an instance needs Aurora does itself.

use super::{Database, Engine};

/// A key of the database, what is wrong with it, and what to do.
pub(super) type Wrong = (&'static str, String, String);

/// RDS takes identifiers of global clusters up to this length.
const LONGEST: usize = 63;

pub(super) fn mistakes(database: &Database) -> Vec<Wrong> {
    match (database.engine, &database.global_cluster) {
        (Engine::Postgres | Engine::MySql | Engine::MariaDb, None) => Vec::new(),
        (Engine::Postgres | Engine::MySql | Engine::MariaDb, Some(_)) => {
            vec![wrong("global_cluster", "an instance of RDS is in no global cluster", "leave it out, or write engine = \"aurora-postgresql\"")]
        }
        (Engine::AuroraPostgres, named) => named_wrongly(named.as_deref()).into_iter().chain(done_by_aurora(database)).collect(),
    }
}

fn named_wrongly(global_cluster: Option<&str>) -> Option<Wrong> {
    match global_cluster {
        None => Some(wrong("engine", "it does not say which global cluster is failed over", "add global_cluster = \"its identifier\"")),
        Some(name) if is_global_cluster(name) => None,
        Some(name) => Some(wrong(
            "global_cluster",
            &format!("`{name}` is no identifier of a global cluster"),
            "use the identifier, not the ARN or the endpoint: a letter first, letters, digits and hyphens, 63 at most",
        )),
    }
}

fn done_by_aurora(database: &Database) -> impl Iterator<Item = Wrong> {
    let refused = [
        (
            database.quarantine_security_group.is_some(),
            "quarantine_security_group",
            "Aurora stops the old writer itself and makes it a secondary when its Region is back, and a group that lets nobody in would cut that off",
            "leave it out",
        ),
        (
            !database.home_security_groups.is_empty(),
            "home_security_groups",
            "Aurora brings the old cluster back itself, with the groups that it has; nothing is built at home",
            "leave it out",
        ),
        (
            database.backup_retention_days != super::database::week(),
            "backup_retention_days",
            "each cluster has backups of its own, before and after a failover, and Relight does not change them",
            "leave it out, and set the retention of both clusters",
        ),
        (
            database.multi_az.is_some(),
            "multi_az",
            "a cluster's storage lies in three zones, and another instance of it is what takes over in its Region",
            "leave it out, and give both clusters the instances that they shall have",
        ),
        (
            database.parameter_group.is_some(),
            "parameter_group",
            "each cluster has its parameter group before and after a failover, and Relight does not change it",
            "leave it out, and give the secondary the settings of the writer",
        ),
        (
            database.deletion_protection.is_some(),
            "deletion_protection",
            "a cluster has it before and after a failover, and Relight does not change it",
            "leave it out, and protect both clusters",
        ),
        (
            database.proxy.is_some(),
            "proxy",
            "Relight registers instances at a proxy, and no clusters yet",
            "leave it out: secrets name the cluster's writer endpoint",
        ),
        (
            database.heartbeat.is_some(),
            "heartbeat",
            "AuroraGlobalDBRPOLag tells how far the secondary is behind whether or not anybody writes",
            "leave it out",
        ),
        (
            !database.compare.is_empty(),
            "compare",
            "the way home of a global database is a switchover, in which Aurora waits until every row is there, so nothing is compared",
            "leave it out",
        ),
    ];
    refused.into_iter().filter(|(given, ..)| *given).map(|(_, key, reason, remedy)| wrong(key, reason, remedy))
}

pub(super) fn wrong(key: &'static str, reason: &str, remedy: &str) -> Wrong {
    (key, reason.to_owned(), remedy.to_owned())
}

fn is_global_cluster(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::situations::plan;

    fn aurora() -> Database {
        let postgres = plan().databases[0].clone();
        Database {
            engine: Engine::AuroraPostgres,
            global_cluster: Some("shop-global".to_owned()),
            quarantine_security_group: None,
            home_security_groups: Vec::new(),
            ..postgres
        }
    }

    fn keys(database: &Database) -> Vec<&'static str> {
        mistakes(database).into_iter().map(|(key, ..)| key).collect()
    }

    #[test]
    fn a_global_database_needs_its_global_cluster_and_an_instance_has_none() {
        assert_eq!(keys(&aurora()), [""; 0]);
        assert_eq!(keys(&Database { global_cluster: None, ..aurora() }), ["engine"]);
        assert_eq!(keys(&Database { engine: Engine::Postgres, ..aurora() }), ["global_cluster"]);
        for name in ["", "arn:aws:rds::123456789012:global-cluster:shop", "1shop", &"x".repeat(64)] {
            assert_eq!(keys(&Database { global_cluster: Some(name.to_owned()), ..aurora() }), ["global_cluster"], "{name}");
        }
    }

    #[test]
    fn what_aurora_does_itself_is_refused_each_key_for_itself() {
        let all = Database {
            quarantine_security_group: Some("sg-1".to_owned()),
            home_security_groups: vec!["sg-2".to_owned()],
            backup_retention_days: 14,
            compare: vec!["public.orders".to_owned()],
            heartbeat: Some("shop/orders".to_owned()),
            multi_az: Some(true),
            parameter_group: Some("orders".to_owned()),
            deletion_protection: Some(true),
            proxy: Some("orders".to_owned()),
            ..aurora()
        };
        assert_eq!(
            keys(&all),
            [
                "quarantine_security_group",
                "home_security_groups",
                "backup_retention_days",
                "multi_az",
                "parameter_group",
                "deletion_protection",
                "proxy",
                "heartbeat",
                "compare"
            ]
        );
    }

    #[test]
    fn the_engine_is_written_as_aws_writes_it() {
        assert_eq!(serde_json::to_value(Engine::AuroraPostgres).unwrap(), "aurora-postgresql");
        assert_eq!(serde_json::to_value(Engine::Postgres).unwrap(), "postgres");
        assert_eq!(serde_json::to_value(Engine::MySql).unwrap(), "mysql");
        assert_eq!(serde_json::to_value(Engine::MariaDb).unwrap(), "mariadb");
    }
}
