//! Databases of the plan, and the secrets that open them.

use serde::{Deserialize, Serialize};

use super::{Plan, ResourceId};

/// A database: its instance in the primary Region and the replica that is promoted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The plan's own name for it.
    pub name: String,
    pub engine: Engine,
    /// DB instance identifier in the primary Region; Aurora's, of the DB cluster there.
    pub primary: String,
    /// DB instance identifier in the standby Region; Aurora's, of the DB cluster there.
    pub replica: String,
    /// Aurora's: the global cluster that both are members of.
    pub global_cluster: Option<String>,
    /// The [`Database::name`] of another that must be proven before this one is promoted. Without it all are promoted side by side.
    pub after: Option<String>,
    /// Backups of the promoted instance; 0 would leave it without.
    #[serde(default = "week")]
    pub backup_retention_days: u32,
    /// Class while it serves; changed last, since the change restarts the instance. Aurora's: of the instance that a cluster without
    /// any is given before it takes over.
    pub instance_class: Option<String>,
    /// Name of the [`Secret`] with which a row is written through the primary each minute, so that the replica can say how far it came
    /// even if nobody else writes. Absent: no such row.
    pub heartbeat: Option<String>,
    /// A standby in another zone while it serves; changed last, since writes are slower while that is filled.
    pub multi_az: Option<bool>,
    /// Parameter group while it serves; changed last, since it is in force only after a restart.
    pub parameter_group: Option<String>,
    /// Proxy of RDS in the standby Region, through which applications reach it while it serves.
    pub proxy: Option<String>,
    /// Whether nobody may delete it while it serves.
    pub deletion_protection: Option<bool>,
    /// Security group in the primary Region that cuts the old writer off: it lets nobody in, but rotate-secret for the way home.
    pub quarantine_security_group: Option<String>,
    /// Security groups of the instance in the primary Region, for the replica that a failback builds there.
    #[serde(default)]
    pub home_security_groups: Vec<String>,
    /// Tables that a failback compares, `schema.table`; without any, all that have a primary key.
    #[serde(default)]
    pub compare: Vec<String>,
}

pub(super) fn week() -> u32 {
    7
}

impl Database {
    pub fn id(&self) -> ResourceId {
        ResourceId(format!("database/{}", self.name))
    }

    /// Whether it is a cluster of an Aurora global database, and no instance with a replica.
    pub fn is_global(&self) -> bool {
        self.engine == Engine::AuroraPostgres
    }

    /// Whether it speaks MySQL's protocol, replicates by its binary log, and is brought home by hand.
    pub fn is_mysql(&self) -> bool {
        matches!(self.engine, Engine::MySql | Engine::MariaDb)
    }
}

impl Engine {
    /// As RDS and a secret name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
            Engine::MariaDb => "mariadb",
            Engine::AuroraPostgres => "aurora-postgresql",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Amazon RDS for PostgreSQL: an instance, and a cross-Region replica of it.
    Postgres,
    /// Amazon RDS for MySQL.
    MySql,
    /// Amazon RDS for MariaDB.
    MariaDb,
    /// Aurora PostgreSQL: a global database, a cluster in each Region.
    #[serde(rename = "aurora-postgresql")]
    AuroraPostgres,
}

/// A secret that applications or Relight log in with; it has the same name in both Regions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    pub name: String,
    /// The [`Database::name`] that it opens.
    pub database: String,
    #[serde(default = "yes")]
    pub rotate: bool,
    #[serde(default)]
    pub users: Users,
    /// For alternating users: name of the secret of the user that may create and alter users.
    pub admin: Option<String>,
}

fn yes() -> bool {
    true
}

impl Secret {
    /// Whether it is the one that another's rotation logs in with.
    pub fn is_admin(&self, plan: &Plan) -> bool {
        plan.secrets.iter().any(|other| other.admin.as_ref() == Some(&self.name))
    }

    pub fn id(&self) -> ResourceId {
        ResourceId(format!("secret/{}", self.name))
    }
}

/// How a password changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// Two users in turn, so that the one in use always works. Needs an admin.
    #[default]
    Alternating,
    /// One user: the old password dies at once, a short denial. The plan must ask for it.
    Single,
}
