//! The rows.

use relight::event::RotationStepName::{self as Name, CreateSecret, FinishSecret, SetSecret, TestSecret};
use relight::plan::Engine;
use relight::ports::Stage;
use serde_json::{Value, json};

use crate::common::rotation::{ADMIN, ALL, Rotation};
use crate::common::{HOST, endpoint};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    Single,
    Alternating,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Comes {
    /// The sentence has this in it.
    Done(&'static str),
    Refused(&'static str),
}
use Comes::{Done, Refused};

#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) situation: &'static str,
    pub(crate) users: &'static [Users],
    /// All that are rotated, but for what one of them has by itself.
    pub(crate) engines: &'static [Engine],
    /// Steps that were done before.
    pub(crate) after: &'static [Name],
    pub(crate) given: fn(&mut Rotation),
    /// Each of these is asked for by itself.
    pub(crate) steps: &'static [Name],
    pub(crate) comes: Comes,
    pub(crate) then: fn(&Rotation),
}

const BOTH: &[Users] = &[Users::Single, Users::Alternating];
const SINGLE: &[Users] = &[Users::Single];
const ALTERNATING: &[Users] = &[Users::Alternating];

const POSTGRES: &[Engine] = &[Engine::Postgres];
const MYSQL: &[Engine] = &[Engine::MySql];
const MARIADB: &[Engine] = &[Engine::MariaDb];

const NOTHING: &[Name] = &[];
const CREATED: &[Name] = &[CreateSecret];
const SET: &[Name] = &[CreateSecret, SetSecret];
const TESTED: &[Name] = &[CreateSecret, SetSecret, TestSecret];
const FINISHED: &[Name] = &ALL;

pub(crate) const NEW_PASSWORD: &str = "AWSPENDING has a new password";
const OTHER: &str = "99999999-9999-9999-9999-999999999999";

type Given = fn(&mut Rotation);

fn row(situation: &'static str, users: &'static [Users], after: &'static [Name], given: Given, steps: &'static [Name], comes: Comes) -> Row {
    Row { situation, users, engines: &[Engine::Postgres, Engine::MySql, Engine::MariaDb], after, given, steps, comes, then: |_| {} }
}

impl Row {
    fn of(self, engines: &'static [Engine]) -> Row {
        Row { engines, ..self }
    }

    fn then(self, then: fn(&Rotation)) -> Row {
        Row { then, ..self }
    }
}

pub(crate) fn all() -> impl Iterator<Item = Row> {
    [versions(), create(), set(), admins(), test_and_finish()].into_iter().flatten()
}

/// What holds for every step: the secret, its rotation, its version.
fn versions() -> Vec<Row> {
    let off = |r: &mut Rotation| r.scene.world.secrets.set_rotation_enabled(r.secret, Some(false));
    let unsaid = |r: &mut Rotation| r.scene.world.secrets.set_rotation_enabled(r.secret, None);
    let gone = |r: &mut Rotation| r.scene.world.secrets.lose(r.secret);
    let unknown = |r: &mut Rotation| r.token = OTHER.to_owned();
    let previous = |r: &mut Rotation| {
        r.scene.world.secrets.set(r.secret, OTHER, &[Stage::Previous], Some(r.current()));
        r.token = OTHER.to_owned();
    };
    // Two rotations at once: the label is the other one's.
    let overtaken = |r: &mut Rotation| r.scene.world.secrets.set(r.secret, OTHER, &[Stage::Pending], None);
    // Secrets Manager takes the label off some time after finishSecret.
    let still_pending = |r: &mut Rotation| {
        let value = Some(r.current());
        r.scene.world.secrets.set(r.secret, &r.token, &[Stage::Current, Stage::Pending], value);
    };
    vec![
        row("rotation is switched off", BOTH, NOTHING, off, &ALL, Refused("its rotation is switched off; RotateSecret")),
        row("rotation is switched off in the middle", BOTH, SET, off, &ALL, Refused("its rotation is switched off")),
        row("nothing says whether rotation is on", BOTH, NOTHING, unsaid, &[CreateSecret], Done(NEW_PASSWORD)),
        row("the secret is gone", BOTH, CREATED, gone, &ALL, Refused("no such secret in this Region")),
        row("the token is not staged", BOTH, NOTHING, unknown, &ALL, Refused("no version of this rotation's token")),
        row("the token is AWSPREVIOUS", BOTH, NOTHING, previous, &ALL, Refused("neither AWSPENDING nor AWSCURRENT")),
        row("another rotation has AWSPENDING", BOTH, CREATED, overtaken, &ALL, Refused("begin the rotation with RotateSecret")),
        row("the token is current already", BOTH, FINISHED, |_| {}, &ALL, Done("AWSCURRENT already")),
        row("the token is current and still pending", BOTH, FINISHED, still_pending, &ALL, Done("AWSCURRENT already")),
    ]
}

/// A user with as many bytes that its database and its secret have.
fn user_of(r: &Rotation, user: &str) {
    r.set_password(user, "its password");
    r.edit_current(|fields| {
        fields.insert("username".to_owned(), json!(user));
        fields.insert("password".to_owned(), json!("its password"));
    });
}

fn current_with(r: &Rotation, key: &str, value: Value) {
    r.edit_current(|fields| drop(fields.insert(key.to_owned(), value)));
}

fn current_without(r: &Rotation, key: &str) {
    r.edit_current(|fields| drop(fields.remove(key)));
}

#[track_caller]
fn pending_user(r: &Rotation, user: &str) {
    assert_eq!(r.pending().username(), Ok(user));
}

fn create() -> Vec<Row> {
    const STEP: &[Name] = &[CreateSecret];
    let empty = |r: &mut Rotation| r.scene.world.secrets.set(r.secret, OTHER, &[Stage::Current], None);
    vec![
        row("all is well", BOTH, NOTHING, |_| {}, STEP, Done(NEW_PASSWORD)).then(|r| assert_ne!(r.pending().password(), r.current().password())),
        row("AWSPENDING is there", BOTH, CREATED, |_| {}, STEP, Done("AWSPENDING is there already")),
        row("AWSPENDING is there and set", BOTH, SET, |_| {}, STEP, Done("AWSPENDING is there already")),
        row("AWSCURRENT is empty", BOTH, NOTHING, empty, STEP, Refused("no version is AWSCURRENT")),
        row("no host", BOTH, NOTHING, |r| current_without(r, "host"), STEP, Refused("no `host`")),
        row("no username", BOTH, NOTHING, |r| current_without(r, "username"), STEP, Refused("no `username`")),
        row("no password", BOTH, NOTHING, |r| current_without(r, "password"), STEP, Refused("no `password`")),
        row("a port that is none", BOTH, NOTHING, |r| current_with(r, "port", json!("x")), STEP, Refused("no `port`")),
        row("a port that is a text", BOTH, NOTHING, |r| current_with(r, "port", json!("5432")), STEP, Done(NEW_PASSWORD)),
        row(
            "no port, no database",
            BOTH,
            NOTHING,
            |r| r.edit_current(|f| f.retain(|key, _| key != "port" && key != "dbname")),
            STEP,
            Done(NEW_PASSWORD),
        ),
        row("an engine that nobody speaks", BOTH, NOTHING, |r| current_with(r, "engine", json!("oracle")), STEP, Refused("engine is `oracle`")),
        row("Aurora's engine", BOTH, NOTHING, |r| current_with(r, "engine", json!("aurora-postgresql")), STEP, Done(NEW_PASSWORD)),
        // AWS's functions want the key; a secret without it was made for PostgreSQL by whoever gave it to this function.
        row("no engine", BOTH, NOTHING, |r| current_without(r, "engine"), STEP, Done(NEW_PASSWORD)),
        row("a single user", SINGLE, NOTHING, |_| {}, STEP, Done(NEW_PASSWORD)).then(|r| pending_user(r, "batch")),
        row("the first user", ALTERNATING, NOTHING, |_| {}, STEP, Done(NEW_PASSWORD)).then(|r| pending_user(r, "app_clone")),
        row("the second user", ALTERNATING, NOTHING, |r| user_of(r, "app_clone"), STEP, Done(NEW_PASSWORD)).then(|r| pending_user(r, "app")),
        row("a user whose name is the suffix", ALTERNATING, NOTHING, |r| user_of(r, "_clone"), STEP, Done(NEW_PASSWORD))
            .then(|r| pending_user(r, "_clone_clone")),
        row("26 bytes of a name", ALTERNATING, NOTHING, |r| user_of(r, &"x".repeat(26)), STEP, Done(NEW_PASSWORD)).of(MYSQL),
        row("27 bytes of a name", ALTERNATING, NOTHING, |r| user_of(r, &"x".repeat(27)), STEP, Refused("longer than the 32 bytes")).of(MYSQL),
        row("74 bytes of a name", ALTERNATING, NOTHING, |r| user_of(r, &"x".repeat(74)), STEP, Done(NEW_PASSWORD)).of(MARIADB),
        row("75 bytes of a name", ALTERNATING, NOTHING, |r| user_of(r, &"x".repeat(75)), STEP, Refused("longer than the 80 bytes")).of(MARIADB),
        row("57 bytes of a name", ALTERNATING, NOTHING, |r| user_of(r, &"x".repeat(57)), STEP, Done(NEW_PASSWORD))
            .of(POSTGRES)
            .then(|r| pending_user(r, &format!("{}_clone", "x".repeat(57)))),
        row("58 bytes of a name", ALTERNATING, NOTHING, |r| user_of(r, &"x".repeat(58)), STEP, Refused("longer than the 63 bytes")).of(POSTGRES),
        row("58 bytes, 29 letters", ALTERNATING, NOTHING, |r| user_of(r, &"é".repeat(29)), STEP, Refused("longer than the 63 bytes")).of(POSTGRES),
        row("63 bytes, a clone", ALTERNATING, NOTHING, |r| user_of(r, &format!("{}_clone", "x".repeat(57))), STEP, Done(NEW_PASSWORD)).of(POSTGRES),
        row("58 bytes, a single user", SINGLE, NOTHING, |r| user_of(r, &"x".repeat(58)), STEP, Done(NEW_PASSWORD)),
        row("`masterarn` is empty", BOTH, NOTHING, |r| current_with(r, "masterarn", json!("")), STEP, Refused("`masterarn` is no ARN")),
        row("`masterarn` is a number", BOTH, NOTHING, |r| current_with(r, "masterarn", json!(7)), STEP, Refused("`masterarn` is no ARN")),
        row("`masterarn` is null", BOTH, NOTHING, |r| current_with(r, "masterarn", json!(null)), STEP, Done(NEW_PASSWORD))
            .then(|r| assert_eq!(r.pending().username(), r.current().username())),
    ]
}

/// AWSCURRENT was put by hand and is not what the database has; `previous` is what AWSPREVIOUS then says.
fn ahead(r: &Rotation, previous: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let behind = crate::edited(&r.current(), previous);
    let ahead = r.current().with_password("never set");
    r.scene.world.secrets.set(r.secret, OTHER, &[Stage::Current], Some(ahead));
    r.scene.world.secrets.set(r.secret, "88888888-8888-8888-8888-888888888888", &[Stage::Previous], Some(behind));
}

fn stray(r: &Rotation, key: &str, value: Value) {
    r.edit_pending(|fields| drop(fields.insert(key.to_owned(), value)));
}

fn set() -> Vec<Row> {
    const STEP: &[Name] = &[SetSecret];
    let known = |r: &mut Rotation| {
        let pending = r.pending();
        r.set_password(pending.username().expect("a user"), pending.password().expect("a password"));
    };
    let in_recovery = |r: &mut Rotation| r.scene.world.database.change("orders-replica", |instance| instance.source = Some("orders".to_owned()));
    vec![
        row("nothing is created", BOTH, NOTHING, |_| {}, STEP, Refused("createSecret comes first")),
        row("all is well", SINGLE, CREATED, |_| {}, STEP, Done("the user's new password")).then(|r| assert!(r.opens(&r.pending()))),
        row("all is well", ALTERNATING, CREATED, |_| {}, STEP, Done("the other user's new password")).then(|r| {
            assert!(r.opens(&r.pending()) && r.opens(&r.current()));
            assert_eq!(r.scene.world.login.members(), [("app_clone".to_owned(), "app".to_owned())]);
        }),
        row(
            "the second user is there",
            ALTERNATING,
            CREATED,
            |r| r.set_password("app_clone", "of an earlier rotation"),
            STEP,
            Done("the other user's"),
        )
        .then(|r| assert!(r.scene.world.login.members().is_empty(), "it has its rights")),
        row("AWSPENDING works already", BOTH, CREATED, known, STEP, Done("has AWSPENDING's password already")),
        row("set already", BOTH, SET, |_| {}, STEP, Done("has AWSPENDING's password already")),
        row("tested already", BOTH, TESTED, |_| {}, STEP, Done("has AWSPENDING's password already")),
        row("pending for another host", BOTH, CREATED, |r| stray(r, "host", json!("evil.test")), STEP, Refused("for another host or port")),
        row("pending for another port", BOTH, CREATED, |r| stray(r, "port", json!(6000)), STEP, Refused("for another host or port")),
        row("pending with its port as a text", BOTH, CREATED, |r| stray(r, "port", json!("5432")), STEP, Done("new password")),
        row("pending for another user", BOTH, CREATED, |r| stray(r, "username", json!("postgres")), STEP, Refused("for another user")),
        row("pending without a password", BOTH, CREATED, |r| stray(r, "password", json!(null)), STEP, Refused("no `password`")),
        row("neither works", BOTH, CREATED, |r| r.edit_current(|f| drop(f.insert("password".to_owned(), json!("wrong")))), STEP, Refused("disagree")),
        row("previous works only", BOTH, CREATED, |r| ahead(r, |_| {}), STEP, Done("new password")),
        row(
            "previous works, of another host",
            BOTH,
            CREATED,
            |r| ahead(r, |f| drop(f.insert("host".to_owned(), json!("evil.test")))),
            STEP,
            Refused("disagree"),
        ),
        row(
            "previous of another user",
            SINGLE,
            CREATED,
            |r| ahead(r, |f| f.extend([("username".to_owned(), json!("admin")), ("password".to_owned(), json!("admin's \"first\" password"))])),
            STEP,
            Refused("disagree"),
        ),
        row("unreachable", BOTH, CREATED, |r| r.scene.world.login.set_unreachable(HOST, true), STEP, Refused("cannot be reached")),
        // AWS's function would set the password at the admin's host instead, which in a failover is the one that failed.
        row("the database is a replica", BOTH, CREATED, in_recovery, STEP, Refused("takes no writes: it is in recovery")),
    ]
}

/// The superuser's secret.
fn admins() -> Vec<Row> {
    const STEP: &[Name] = &[SetSecret];
    let elsewhere = |r: &mut Rotation| {
        let arn = relight::secret::arn_in(&r.scene.world.secrets.arn(ADMIN), "us-east-2");
        current_with(r, "masterarn", json!(arn));
    };
    let itself = |r: &mut Rotation| {
        let arn = r.scene.world.secrets.arn(r.secret);
        current_with(r, "masterarn", json!(arn));
    };
    let by_name = |r: &mut Rotation| current_with(r, "masterarn", json!(ADMIN));
    let wrong = |r: &mut Rotation| r.set_password("admin", "somebody else's");
    let other_database = |r: &mut Rotation| {
        r.edit_admin(|fields| drop(fields.insert("dbname".to_owned(), json!("gone"))));
        r.scene.world.login.drop_database("gone");
    };
    let same_user = |r: &mut Rotation| {
        let (user, password) = (r.current().username().expect("a user").to_owned(), r.current().password().expect("a password").to_owned());
        r.edit_admin(|fields| fields.extend([("username".to_owned(), json!(user)), ("password".to_owned(), json!(password))]));
    };
    let other_user = |r: &mut Rotation| {
        r.set_password("app_clone", "the admin's");
        r.edit_admin(|fields| fields.extend([("username".to_owned(), json!("app_clone")), ("password".to_owned(), json!("the admin's"))]));
    };
    let of_rds = |r: &mut Rotation| r.edit_admin(|fields| fields.retain(|key, _| key == "username" || key == "password"));
    vec![
        row(
            "`masterarn` in another Region",
            ALTERNATING,
            CREATED,
            elsewhere,
            STEP,
            Refused("names a secret of us-east-2, the rotation is in us-west-2"),
        ),
        row("`masterarn` is a name", ALTERNATING, CREATED, by_name, STEP, Done("the other user's new password")),
        row("the admin's secret is gone", ALTERNATING, CREATED, |r| r.scene.world.secrets.lose(ADMIN), STEP, Refused("`masterarn` names no secret")),
        row(
            "the admin's secret is empty",
            ALTERNATING,
            CREATED,
            |r| r.scene.world.secrets.set(ADMIN, OTHER, &[Stage::Current], None),
            STEP,
            Refused("`masterarn` names no secret"),
        ),
        // AWS's function sets it at the admin's host where RDS says that this one is its replica.
        row(
            "the admin is of another host",
            ALTERNATING,
            CREATED,
            |r| r.edit_admin(|f| drop(f.insert("host".to_owned(), json!("orders.primary.rds.test")))),
            STEP,
            Refused("for another host or port"),
        ),
        row(
            "the admin is of another port",
            ALTERNATING,
            CREATED,
            |r| r.edit_admin(|f| drop(f.insert("port".to_owned(), json!(6000)))),
            STEP,
            Refused("for another host or port"),
        ),
        row(
            "the admin is of another engine",
            ALTERNATING,
            CREATED,
            |r| {
                r.edit_admin(|f| {
                    let other = if f["engine"] == "postgres" { "mysql" } else { "postgres" };
                    f.insert("engine".to_owned(), json!(other));
                });
            },
            STEP,
            Refused("another engine"),
        ),
        row("the admin names another database", ALTERNATING, CREATED, other_database, STEP, Done("the other user's new password")),
        row("the admin is the same user", ALTERNATING, CREATED, same_user, STEP, Refused("the admin is app, one of the two users")),
        row("the admin is the other user", ALTERNATING, CREATED, other_user, STEP, Refused("the admin is app_clone, one of the two users")),
        row("the secret is its own admin", ALTERNATING, CREATED, itself, STEP, Refused("the admin is app, one of the two users")),
        row("the admin's password is wrong", ALTERNATING, CREATED, wrong, STEP, Refused("as the admin of `masterarn`: ")),
        row("the admin may create nobody", ALTERNATING, CREATED, |r| r.scene.world.login.make_powerless("admin"), STEP, Refused("SQLSTATE 42501")),
        // AWS's function asks RDS for the host that the secret's tags name; Relight wants it in the secret.
        row("the admin's secret is RDS's own", ALTERNATING, CREATED, of_rds, STEP, Refused("no `host`")),
    ]
}

fn test_and_finish() -> Vec<Row> {
    const STEPS: &[Name] = &[TestSecret, FinishSecret];
    let moved = |r: &mut Rotation| {
        let value = r.current();
        r.scene.world.secrets.set(r.secret, OTHER, &[Stage::Current], Some(value));
    };
    let repointed = |r: &mut Rotation| {
        let value = r.current().at(&endpoint("promoted.test"));
        r.scene.world.secrets.set(r.secret, OTHER, &[Stage::Current], Some(value));
    };
    let lost = |r: &mut Rotation| r.scene.world.secrets.set(r.secret, OTHER, &[Stage::Current], None);
    vec![
        row("nothing is created", BOTH, NOTHING, |_| {}, STEPS, Refused("createSecret comes first")),
        row("nothing is set", BOTH, CREATED, |_| {}, STEPS, Refused("refuses this user and password")),
        row("all is well", BOTH, SET, |_| {}, &[TestSecret], Done("AWSPENDING logs in")),
        row("tested already", BOTH, TESTED, |_| {}, &[TestSecret], Done("AWSPENDING logs in")),
        row("all is well", BOTH, TESTED, |_| {}, &[FinishSecret], Done("AWSCURRENT is the new version")),
        row("nobody tested", BOTH, SET, |_| {}, &[FinishSecret], Done("AWSCURRENT is the new version")),
        row("pending for another host", BOTH, SET, |r| stray(r, "host", json!("evil.test")), STEPS, Refused("for another host or port")),
        row("pending for another user", BOTH, SET, |r| stray(r, "username", json!("admin")), STEPS, Refused("for another user")),
        row("unreachable", BOTH, SET, |r| r.scene.world.login.set_unreachable(HOST, true), STEPS, Refused("cannot be reached")),
        row("AWSCURRENT moved, to the same host", BOTH, SET, moved, &[FinishSecret], Done("AWSCURRENT is the new version")),
        // A failover in the middle: the old writer may answer again, and must not be read from the secret any more.
        row("AWSCURRENT was repointed", BOTH, SET, repointed, STEPS, Refused("for another host or port")),
        row("AWSCURRENT is empty", BOTH, SET, lost, STEPS, Refused("no version is AWSCURRENT")),
    ]
}
