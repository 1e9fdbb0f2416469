//! Secrets, and the databases that they open.
//!
//! What changes a secret that applications read takes a [`SecretName`], what a drill makes and removes is a
//! [`DisposableName`], and what Secrets Manager rotates arrives as a [`Rotating`]. The three are made in different places
//! and cannot be called with one another: a drill has no name in its hands with which it could touch the real one.
//! Reading changes nothing, so reads take any name or ARN.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CallError, Compared, LeftRows, Lsn, Position, Reached, Removal, Table, Tables};
use crate::event::RotationStep;
use crate::plan;
use crate::run::RunId;
use crate::secret::SecretValue;

/// Every disposable secret's name begins so. No plan may name a secret like this.
pub const DISPOSABLE_PREFIX: &str = "relight-drill/";

/// Secrets Manager in the standby Region.
#[allow(async_fn_in_trait)] // Static dispatch on one thread: nobody needs the future to be Send.
pub trait Secrets {
    /// The secret as it stands; `None` where there is none, or it is on its way out.
    async fn describe(&self, secret: &str) -> Result<Option<Described>, CallError>;

    /// The version under a label; `None` where no version carries it, or one that is still empty, as RotateSecret makes it.
    async fn value(&self, secret: &str, stage: Stage) -> Result<Option<SecretValue>, CallError>;

    /// A password that no database user has yet.
    async fn new_password(&self) -> Result<zeroize::Zeroizing<String>, CallError>;

    /// Makes a replica stand alone. It keeps its ARN and its versions, and has no rotation any more.
    async fn stop_replication(&self, secret: &SecretName) -> Result<(), CallError>;

    /// The new current version. `token` becomes its id, so that a retry after a lost answer is the same version.
    async fn put(&self, secret: &SecretName, token: &str, value: &SecretValue) -> Result<(), CallError>;

    /// Takes AWSPENDING off a version that a broken rotation left under it: with it no rotation can begin.
    async fn clear_pending(&self, secret: &SecretName, version: &str) -> Result<(), CallError>;

    /// Begins a rotation by Relight's rotation function; done when the version `token` is current.
    async fn rotate(&self, secret: &SecretName, token: &str) -> Result<(), CallError>;

    /// Creates a drill's secret, with the tags `relight:plan` and `relight:run`. One that is there under this name is ours.
    async fn create_disposable(&self, secret: &DisposableName, token: &str, value: &SecretValue) -> Result<(), CallError>;

    async fn put_disposable(&self, secret: &DisposableName, token: &str, value: &SecretValue) -> Result<(), CallError>;

    async fn rotate_disposable(&self, secret: &DisposableName, token: &str) -> Result<(), CallError>;

    /// Removes it without a recovery window. Called until it says [`Removal::Gone`].
    async fn remove_disposable(&self, secret: &DisposableName) -> Result<Removal, CallError>;

    /// All disposable secrets of a plan that are there, whoever forgot them.
    async fn disposables(&self, plan: &str) -> Result<Vec<DisposableName>, CallError>;

    /// The version that this rotation is about; `None` while it is empty.
    async fn pending(&self, rotating: &Rotating) -> Result<Option<SecretValue>, CallError>;

    async fn put_pending(&self, rotating: &Rotating, value: &SecretValue) -> Result<(), CallError>;

    /// Moves AWSCURRENT to the rotation's version; `from` is the version that has it.
    async fn finish(&self, rotating: &Rotating, from: &str) -> Result<(), CallError>;

    /// The secret of the primary Region as it stands; `None` where there is none. One short attempt, since the Region may be
    /// dark; so are the three below.
    async fn home(&self, secret: &HomeSecret) -> Result<Option<Described>, CallError>;

    async fn home_value(&self, secret: &HomeSecret, stage: Stage) -> Result<Option<SecretValue>, CallError>;

    /// The new current version in the primary Region. `token` becomes its id.
    async fn put_home(&self, secret: &HomeSecret, token: &str, value: &SecretValue) -> Result<(), CallError>;

    /// Makes the standby's secret a replica of the primary Region's again, over whatever stands there. Where it is one already,
    /// nothing changes.
    async fn replicate_again(&self, secret: &HomeSecret, to: &str) -> Result<(), CallError>;
}

/// The labels that matter, as Secrets Manager names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Current,
    Previous,
    Pending,
}

impl Stage {
    /// The order in which a promoted database is tried: data and secret replicate independently, so either may be ahead.
    pub const BY_LIKELIHOOD: [Stage; 3] = [Stage::Current, Stage::Previous, Stage::Pending];

    pub fn label(self) -> &'static str {
        match self {
            Stage::Current => "AWSCURRENT",
            Stage::Previous => "AWSPREVIOUS",
            Stage::Pending => "AWSPENDING",
        }
    }
}

/// What DescribeSecret tells, without any value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Described {
    pub arn: String,
    pub name: String,
    /// The Region that it is a copy from; `None`: it stands alone.
    pub replica_of: Option<String>,
    /// Absent where it was never configured, which does not forbid a rotation.
    pub rotation_enabled: Option<bool>,
    /// Version ids to their labels.
    pub stages: BTreeMap<String, BTreeSet<String>>,
}

impl Described {
    pub fn version_at(&self, stage: Stage) -> Option<&str> {
        self.stages.iter().find(|(_, labels)| labels.contains(stage.label())).map(|(version, _)| version.as_str())
    }

    pub fn has(&self, version: &str, stage: Stage) -> bool {
        self.stages.get(version).is_some_and(|labels| labels.contains(stage.label()))
    }

    /// AWSPENDING on a version that is not current and is none of `ours`: a rotation that broke off.
    pub fn stranded(&self, ours: &str) -> Option<&str> {
        self.version_at(Stage::Pending).filter(|version| *version != ours && !self.has(version, Stage::Current))
    }
}

/// A secret of the plan, which applications read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(String);

impl SecretName {
    pub fn of(secret: &plan::Secret) -> SecretName {
        SecretName(secret.name.clone())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The secret of the same name in the primary Region: read and written by a failback alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HomeSecret {
    region: String,
    name: String,
}

impl HomeSecret {
    pub fn of(plan: &plan::Plan, secret: &plan::Secret) -> HomeSecret {
        HomeSecret { region: plan.primary.clone(), name: secret.name.clone() }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// A secret that a drill made and that must be gone by its deadline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DisposableName(String);

impl DisposableName {
    /// `relight-drill/PLAN/RUN/SECRET`. The same three always give the same name, so that one whose creation was never
    /// answered is found again.
    pub fn of(plan: &str, run: &RunId, secret: &str) -> DisposableName {
        DisposableName(format!("{DISPOSABLE_PREFIX}{plan}/{run}/{secret}"))
    }

    /// The disposable secret behind a name that was recorded or listed; `None` for a name that no drill of the plan gives.
    pub fn named(plan: &str, name: &str) -> Option<DisposableName> {
        let (run, secret) = name.strip_prefix(DISPOSABLE_PREFIX)?.strip_prefix(plan)?.strip_prefix('/')?.split_once('/')?;
        (!run.is_empty() && !secret.is_empty()).then(|| DisposableName(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Plan and run, for the tags.
    pub fn plan_and_run(&self) -> (&str, &str) {
        let mut parts = self.0.trim_start_matches(DISPOSABLE_PREFIX).splitn(3, '/');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }
}

/// A secret that Secrets Manager asked to rotate, with the version that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotating {
    secret: String,
    version: String,
}

impl Rotating {
    pub fn of(step: &RotationStep) -> Rotating {
        Rotating { secret: step.secret_id.clone(), version: step.client_request_token.clone() }
    }

    /// Its ARN.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    pub fn version(&self) -> &str {
        &self.version
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for DisposableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The databases, as those who log in see them. Each call is a connection of its own with its own short time-out; host,
/// port, user and database are the secret's.
#[allow(async_fn_in_trait)]
pub trait Login {
    /// Logs in and looks around. A replica lets in and says that it is in recovery.
    async fn login(&self, with: &SecretValue) -> Result<Seen, LoginError>;

    /// Proves that the database takes writes, as far as this user can.
    async fn prove_writable(&self, with: &SecretValue) -> Result<Proof, LoginError>;

    /// Changes the password of the user that logs in.
    async fn change_password(&self, with: &SecretValue, to: &str) -> Result<(), LoginError>;

    /// As `admin`: the user of `twin` exists, has its password, and may do what the user of `of` may.
    async fn ensure_twin(&self, admin: &SecretValue, of: &SecretValue, twin: &SecretValue) -> Result<(), LoginError>;

    /// Writes the heartbeat's row, with the database's own time.
    async fn beat(&self, with: &SecretValue) -> Result<(), LoginError>;

    /// How far a replica came.
    async fn reached(&self, with: &SecretValue) -> Result<Reached, LoginError>;

    /// Where its log of writes stands.
    async fn position(&self, with: &SecretValue) -> Result<Position, LoginError>;

    /// How much of the writer's log its replica has not replayed yet, in bytes.
    async fn behind(&self, writer: &SecretValue, replica: &SecretValue) -> Result<u64, LoginError>;

    /// The tables that can be compared: those that are named, or all with a primary key where none is.
    async fn tables(&self, with: &SecretValue, named: &[String]) -> Result<Tables, LoginError>;

    /// Rows of one table that `old` has and `serving` lacks or has otherwise. Neither is changed.
    async fn left_behind(&self, old: &SecretValue, serving: &SecretValue, table: &Table) -> Result<LeftRows, LoginError>;

    /// Whether two databases of one log hold the same rows, seen at one position of it: a writer and its replica, or two that
    /// replay. Neither is changed, and writes go on meanwhile.
    async fn compare(&self, here: &SecretValue, there: &SecretValue, tables: &[Table]) -> Result<Compared, LoginError>;

    /// As `admin`: sees to it that nothing writes to the database any more. Says the position after the last write. Done again it
    /// changes nothing but may say a later position.
    ///
    /// PostgreSQL: new transactions are read-only, and every other session is ended. The setting is part of the data: a replica has
    /// it too, and is read-only once it is promoted, until [`open_writes`](Login::open_writes) is called there.
    /// MySQL and MariaDB: a parameter closes them ([`Database::set_read_only`](crate::ports::Database::set_read_only)), and here it is seen;
    /// until then the answer is [`LoginError::TakesWrites`].
    async fn close_writes(&self, admin: &SecretValue) -> Result<Lsn, LoginError>;

    /// As `admin`: takes back what [`close_writes`](Login::close_writes) set, or sees that the parameter was taken back. Sessions of
    /// PostgreSQL that met it in between are ended, so that no pool keeps a connection that stays read-only. Where writes are open nothing
    /// changes.
    async fn open_writes(&self, admin: &SecretValue) -> Result<(), LoginError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// It replays somebody else's log: a replica, or a promotion that has not ended.
    pub in_recovery: bool,
    pub encrypted: bool,
}

/// How well it is proven that a database takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A row was written, committed and read back.
    Row,
    /// The user may create no table; a record of its own reached the write-ahead log and the disk.
    Log,
    /// The user may do neither; the database says that it is not in recovery and not read-only.
    Word,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proof::Row => "a row was written and read back",
            Proof::Log => "a record was committed to its log; this user may write no table",
            Proof::Word => "it says that it takes writes; this user may write nothing that would prove it",
        })
    }
}

/// Why a login did not do what was asked. Nothing of the secret but host and port is ever in it: what the server answers
/// to a statement that carries a password is left out but for its code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    #[error("the secret has no `{0}`; put it into the secret's JSON")]
    Incomplete(&'static str),
    #[error("the secret's engine is `{0}`; Relight logs in to postgres, mysql and mariadb")]
    Engine(String),
    #[error("the secret's engine is {engine}, the plan's {planned}; correct `engine` in the secret's JSON or in the plan")]
    OtherEngine { engine: String, planned: &'static str },
    #[error("{at} refuses this user and password; the secret and the database disagree")]
    WrongPassword { at: String },
    #[error("{at} cannot be reached: {why}; check the security group, the subnet's route and the endpoint")]
    Unreachable { at: String, why: String },
    #[error("{at} did not answer within {seconds} s; check the security group and the load of the database")]
    TimedOut { at: String, seconds: u64 },
    #[error(
        "no TLS with {at}: {why}; RELIGHT_CA_FILE must name the PEM file of the CA that signed its certificate (Amazon RDS: global-bundle.pem), or set the secret's `ssl` to false"
    )]
    Tls { at: String, why: String },
    #[error("{at} takes no writes: {why}")]
    ReadOnly { at: String, why: &'static str },
    #[error("{at} still takes writes; RDS takes the parameter read_only into force within a moment")]
    TakesWrites { at: String },
    #[error("{at} refused to {doing} (SQLSTATE {code}); {remedy}")]
    Refused { at: String, doing: &'static str, code: String, remedy: &'static str },
    #[error("the user's name with `_clone` is longer than the {longest} bytes that its engine keeps; rename the user, or use single-user rotation")]
    NameTooLong { longest: usize },
    #[error("{at}: Relight cannot {doing}; docs/databases.md says how it is done by hand")]
    NotForEngine { at: String, doing: &'static str },
    #[error("{at}: {why}")]
    Unsettled { at: String, why: &'static str },
    #[error(
        "more than {mebibytes} MiB of rows of {table} are in the old writer alone or otherwise; they are in its last snapshot: compare them by hand, and name the other tables in the plan's `compare`"
    )]
    TooManyRows { table: String, mebibytes: usize },
}

impl LoginError {
    /// Whether another version of the secret, with another password or user, may be let in where this one was not.
    pub fn is_about_the_user(&self) -> bool {
        matches!(self, LoginError::WrongPassword { .. }) || matches!(self, LoginError::Refused { code, .. } if code == NOT_ALLOWED_IN)
    }

    /// Whether it may be another one a moment later, with nothing done about it.
    pub fn passes(&self) -> bool {
        matches!(self, LoginError::Unreachable { .. } | LoginError::TimedOut { .. } | LoginError::Unsettled { .. } | LoginError::TakesWrites { .. })
    }
}

/// SQLSTATE of a user that does not exist, may not log in, or is not let in from here.
const NOT_ALLOWED_IN: &str = "28000";

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        RunId("drill-20260105T000500Z".to_owned())
    }

    #[test]
    fn a_disposable_secret_is_found_again_by_its_name() {
        let name = DisposableName::of("shop", &run(), "shop/app");
        assert_eq!(name.as_str(), "relight-drill/shop/drill-20260105T000500Z/shop/app");
        assert_eq!(DisposableName::named("shop", name.as_str()), Some(name.clone()));
        assert_eq!(name.plan_and_run(), ("shop", "drill-20260105T000500Z"));
    }

    #[test]
    fn a_secret_of_applications_or_of_another_plan_is_never_taken_for_a_disposable_one() {
        for name in
            ["shop/app", "relight-drill/", "relight-drill/shop", "relight-drill/shop/run", "relight-drill/shop/run/", "relight-drill/shop2/run/app"]
        {
            assert_eq!(DisposableName::named("shop", name), None, "{name}");
        }
    }

    #[test]
    fn pending_is_stranded_only_where_it_is_neither_current_nor_ours() {
        let labels = |labels: &[Stage]| labels.iter().map(|stage| stage.label().to_owned()).collect::<BTreeSet<_>>();
        let described = |pairs: &[(&str, &[Stage])]| Described {
            stages: pairs.iter().map(|(version, stages)| ((*version).to_owned(), labels(stages))).collect(),
            ..Described::default()
        };
        assert_eq!(described(&[("a", &[Stage::Current]), ("b", &[Stage::Pending])]).stranded("ours"), Some("b"));
        assert_eq!(described(&[("a", &[Stage::Current]), ("ours", &[Stage::Pending])]).stranded("ours"), None);
        assert_eq!(described(&[("a", &[Stage::Current, Stage::Pending])]).stranded("ours"), None);
    }
}
