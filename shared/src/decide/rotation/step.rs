//! The rules of one rotation step, as Secrets Manager invokes it: createSecret, setSecret, testSecret, finishSecret.
//!
//! Each step is called again after a failure, at any time and in any order, so each first looks whether it is done.
//!
//! Which kind of rotation it is, the secret says: with a `masterarn` two users alternate, and the one that applications
//! have in hand goes on working; without it the only user's password changes, and whoever has the old one is refused
//! until it reads again.

use crate::event::{RotationStep, RotationStepName};
use crate::ports::{DISPOSABLE_PREFIX, Described, LoginError, Stage};
use crate::secret::SecretValue;

/// Whether there is anything to do for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proceed {
    Yes,
    /// The version is current already: an earlier attempt finished.
    AlreadyCurrent,
}

/// Why a step is not done. Secrets Manager shows it in CloudTrail and calls again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepRefusal {
    #[error("there is no such secret in this Region")]
    NoSecret,
    #[error("its rotation is switched off; RotateSecret with this function switches it on")]
    RotationOff,
    #[error("it has no version of this rotation's token; begin the rotation with RotateSecret")]
    UnknownVersion,
    #[error("the rotation's version is neither AWSPENDING nor AWSCURRENT; begin a new rotation with RotateSecret")]
    NotPending,
    #[error("no version is AWSCURRENT; put the login that works")]
    NoCurrent,
    #[error("AWSPENDING is still empty; createSecret comes first")]
    Empty,
    #[error("AWSPENDING is for another host or port than AWSCURRENT; take AWSPENDING off it and begin a new rotation")]
    OtherHost,
    #[error("AWSPENDING is for another user than this rotation sets; take AWSPENDING off it and begin a new rotation")]
    OtherUser,
    #[error("`masterarn` names no secret that can be read; correct it, or the function's permission")]
    NoAdmin,
    #[error("the admin's secret is for another host or port; repoint it first")]
    AdminElsewhere,
    #[error("the admin's secret names another engine than the rotated one; correct `engine` in one of them")]
    AdminOfOtherEngine,
    #[error("`masterarn` is no ARN; put the one of the admin's secret, or take the key out for a rotation of a single user")]
    NoAdminNamed,
    #[error("`masterarn` names a secret of {region}, the rotation is in {here}; name the admin's secret of {here}")]
    AdminInOtherRegion { region: String, here: String },
    #[error(
        "the admin is {user}, one of the two users that alternate: a rotation would shut the admin out of its own secret; name another admin, or take `masterarn` out for a rotation of a single user"
    )]
    AdminAlternates { user: String },
    #[error("a drill's secret names an admin that is no drill's, or the other way round; nothing was changed")]
    AdminOfOtherKind,
    #[error(transparent)]
    Value(#[from] LoginError),
}

/// The checks before every step.
pub fn check(step: &RotationStep, seen: Option<&Described>) -> Result<Proceed, StepRefusal> {
    let seen = seen.ok_or(StepRefusal::NoSecret)?;
    let version = &step.client_request_token;
    // Absent where Secrets Manager does not say: only an explicit `false` forbids.
    if seen.rotation_enabled == Some(false) {
        return Err(StepRefusal::RotationOff);
    }
    if !seen.stages.contains_key(version) {
        return Err(StepRefusal::UnknownVersion);
    }
    if seen.has(version, Stage::Current) {
        return Ok(Proceed::AlreadyCurrent);
    }
    if seen.has(version, Stage::Pending) { Ok(Proceed::Yes) } else { Err(StepRefusal::NotPending) }
}

/// The version to set: the next user, who is another one where an admin is named, with a new password.
pub fn next_version(current: &SecretValue, password: &str) -> Result<SecretValue, StepRefusal> {
    // What lacks in the current version would lack in the next one, which nobody would see before setSecret.
    current.dialect()?;
    current.endpoint()?;
    current.password()?;
    let user = next_user(current)?;
    Ok(current.with_username(&user).with_password(password))
}

fn next_user(current: &SecretValue) -> Result<String, StepRefusal> {
    Ok(if admin_named(current)?.is_some() { current.twin()? } else { current.username()?.to_owned() })
}

/// ARN of the admin's secret; `None` means a single user. One that cannot be read is not taken for a single user, whose
/// applications would be refused for a moment.
fn admin_named(current: &SecretValue) -> Result<Option<&str>, StepRefusal> {
    match current.master_arn() {
        None if current.names_an_admin() => Err(StepRefusal::NoAdminNamed),
        named => Ok(named),
    }
}

/// A pending version is set only where current is: anything else in it was put there by somebody else.
pub fn check_pending(current: &SecretValue, pending: &SecretValue) -> Result<(), StepRefusal> {
    if !same_endpoint(current, pending)? {
        return Err(StepRefusal::OtherHost);
    }
    if pending.username()? == next_user(current)? { Ok(()) } else { Err(StepRefusal::OtherUser) }
}

/// A replica of the admin's secret would be asked in this Region under an ARN of another one, and not be found.
pub fn check_region(rotating: &Described, admin: &str) -> Result<(), StepRefusal> {
    match (region_of(&rotating.arn), region_of(admin)) {
        (Some(here), Some(region)) if here != region => Err(StepRefusal::AdminInOtherRegion { region: region.to_owned(), here: here.to_owned() }),
        _ => Ok(()),
    }
}

/// The admin must be one of the same database, and of the same kind: a drill's rotation must never reach a database that
/// serves, whatever its secret says. And it must be a third user: what the rotation gives one of the two a new password for
/// is not in the admin's secret.
pub fn check_admin(rotating: &Described, current: &SecretValue, admin: &Described, admin_value: &SecretValue) -> Result<(), StepRefusal> {
    if rotating.name.starts_with(DISPOSABLE_PREFIX) != admin.name.starts_with(DISPOSABLE_PREFIX) {
        return Err(StepRefusal::AdminOfOtherKind);
    }
    if !same_endpoint(current, admin_value)? {
        return Err(StepRefusal::AdminElsewhere);
    }
    if current.dialect()? != admin_value.dialect()? {
        return Err(StepRefusal::AdminOfOtherEngine);
    }
    let user = admin_value.username()?;
    if user == current.username()? || user == current.twin()? {
        return Err(StepRefusal::AdminAlternates { user: user.to_owned() });
    }
    Ok(())
}

/// The Region of a secret's ARN; `None` for a name.
fn region_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(2)
}

/// Of the database itself: an application's secret may name a proxy before it, and its admin's does not.
fn same_endpoint(one: &SecretValue, other: &SecretValue) -> Result<bool, StepRefusal> {
    let (one, other) = (one.direct().endpoint()?, other.direct().endpoint()?);
    Ok(one.host.eq_ignore_ascii_case(&other.host) && one.port == other.port)
}

impl RotationStepName {
    /// As Secrets Manager writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            RotationStepName::CreateSecret => "createSecret",
            RotationStepName::SetSecret => "setSecret",
            RotationStepName::TestSecret => "testSecret",
            RotationStepName::FinishSecret => "finishSecret",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALTERNATING: &str = r#"{"host":"db","username":"app","password":"old","masterarn":"admin"}"#;
    const SINGLE: &str = r#"{"host":"db","username":"app","password":"old"}"#;

    fn value(text: &str) -> SecretValue {
        SecretValue::parse(text).expect("a secret")
    }

    fn step() -> RotationStep {
        RotationStep { step: RotationStepName::SetSecret, secret_id: "arn:app".to_owned(), client_request_token: "new".to_owned() }
    }

    fn seen(labels: &[&str]) -> Described {
        let labels: BTreeSet<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        Described { name: "app".to_owned(), stages: [("new".to_owned(), labels)].into(), rotation_enabled: Some(true), ..Described::default() }
    }

    #[test]
    fn a_step_proceeds_with_its_pending_version_only() {
        assert_eq!(check(&step(), Some(&seen(&["AWSPENDING"]))), Ok(Proceed::Yes));
        assert_eq!(check(&step(), Some(&seen(&["AWSCURRENT"]))), Ok(Proceed::AlreadyCurrent));
        assert_eq!(check(&step(), Some(&seen(&["AWSCURRENT", "AWSPENDING"]))), Ok(Proceed::AlreadyCurrent));
        assert_eq!(check(&step(), Some(&seen(&["AWSPREVIOUS"]))), Err(StepRefusal::NotPending));
        assert_eq!(check(&step(), Some(&seen(&[]))), Err(StepRefusal::NotPending));
        assert_eq!(check(&step(), Some(&Described::default())), Err(StepRefusal::UnknownVersion));
        assert_eq!(check(&step(), None), Err(StepRefusal::NoSecret));
    }

    #[test]
    fn rotation_switched_off_is_refused_and_rotation_unsaid_is_not() {
        let off = Described { rotation_enabled: Some(false), ..seen(&["AWSPENDING"]) };
        assert_eq!(check(&step(), Some(&off)), Err(StepRefusal::RotationOff));
        let unsaid = Described { rotation_enabled: None, ..seen(&["AWSPENDING"]) };
        assert_eq!(check(&step(), Some(&unsaid)), Ok(Proceed::Yes));
    }

    #[test]
    fn an_admin_means_that_users_alternate() {
        let next = next_version(&value(ALTERNATING), "new").expect("a version");
        assert_eq!((next.username(), next.password()), (Ok("app_clone"), Ok("new")));
        let next = next_version(&value(SINGLE), "new").expect("a version");
        assert_eq!((next.username(), next.password()), (Ok("app"), Ok("new")));
    }

    #[test]
    fn a_pending_version_for_another_host_or_user_is_refused() {
        let current = value(ALTERNATING);
        assert_eq!(check_pending(&current, &value(r#"{"host":"DB","username":"app_clone"}"#)), Ok(()));
        assert_eq!(check_pending(&current, &value(r#"{"host":"evil","username":"app_clone"}"#)), Err(StepRefusal::OtherHost));
        assert_eq!(check_pending(&current, &value(r#"{"host":"db","port":6000,"username":"app_clone"}"#)), Err(StepRefusal::OtherHost));
        assert_eq!(check_pending(&current, &value(r#"{"host":"db","username":"app"}"#)), Err(StepRefusal::OtherUser));
        assert_eq!(check_pending(&value(SINGLE), &value(r#"{"host":"db","username":"root"}"#)), Err(StepRefusal::OtherUser));
    }

    #[test]
    fn an_application_behind_a_proxy_and_its_admin_before_it_are_of_one_database() {
        let proxied = value(r#"{"host":"proxy","username":"app","password":"old","relight_direct":"db:5432","masterarn":"arn:admin"}"#);
        let named = |name: &str| Described { name: name.to_owned(), ..Described::default() };
        let admin = |host: &str| value(&format!(r#"{{"host":"{host}","username":"root"}}"#));
        assert_eq!(check_admin(&named("app"), &proxied, &named("admin"), &admin("db")), Ok(()));
        assert_eq!(check_admin(&named("app"), &proxied, &named("admin"), &admin("proxy")), Err(StepRefusal::AdminElsewhere));
        assert_eq!(check_pending(&proxied, &next_version(&proxied, "new").expect("a version")), Ok(()));
    }

    #[test]
    fn a_drills_secret_never_rotates_through_a_real_admin() {
        let named = |name: &str| Described { name: name.to_owned(), ..Described::default() };
        let (real, drill) = (named("app"), named("relight-drill/shop/run/app"));
        let current = value(ALTERNATING);
        let admin = value(r#"{"host":"db","username":"root"}"#);
        assert_eq!(check_admin(&real, &current, &named("admin"), &admin), Ok(()));
        assert_eq!(check_admin(&drill, &current, &named("relight-drill/shop/run/admin"), &admin), Ok(()));
        assert_eq!(check_admin(&drill, &current, &named("admin"), &admin), Err(StepRefusal::AdminOfOtherKind));
        assert_eq!(check_admin(&real, &current, &named("relight-drill/shop/run/admin"), &admin), Err(StepRefusal::AdminOfOtherKind));
        let elsewhere = value(r#"{"host":"old","username":"root"}"#);
        assert_eq!(check_admin(&real, &current, &named("admin"), &elsewhere), Err(StepRefusal::AdminElsewhere));
    }
}
