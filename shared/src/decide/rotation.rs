//! What is due for a secret once the database that it opens was promoted.
//!
//! ```text
//! failover   promoted ─► proven ─► stands alone ─► repointed ─┐
//! drill      copy promoted ─► copy proven ─► owed ─► created ─► repointed ─┤
//!                                       rotation recorded ─► called ─► current, or given up ─► tested
//! ```
//! From the repointing on the application is right: it has the new host and the password that came with the data. So
//! repointing waits for nothing but the proof, a rotation is never called before it, and a rotation that fails fails
//! nothing else. Each step can be seen in Secrets Manager or stands in the journal, so any of them may be done twice.

pub mod compare;
pub mod gate;
pub mod home;
pub mod replica;
pub mod step;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::Decision;
use crate::plan::{Plan, Secret};
use crate::ports::{Described, DisposableName, Stage};
use crate::run::{Mode, Phase, RunId};
use crate::state::{Endpoint, Memory, RotationProgress, SecretStep, Snapshot};

/// How long another rotation's AWSPENDING is left alone. One that somebody called ends within seconds; taking its label away
/// between setSecret and finishSecret would leave nobody with the password of a single user.
const OTHERS_ROTATION: SignedDuration = SignedDuration::from_secs(60);

/// How often, in peace, a login proves that a secret opens the replica.
pub const LOGIN_EVERY: SignedDuration = SignedDuration::from_mins(30);

/// One thing to do for a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// End its replication.
    StandAlone,
    /// Put the new endpoint, with the password that works there.
    Repoint,
    /// Record that a disposable secret will have to be removed.
    Owe,
    /// Make the disposable secret, already with the copy's endpoint: it never names a database that serves.
    Create,
    /// Record that a rotation will be called.
    Begin,
    /// Take AWSPENDING off a rotation that broke off, once AWSCURRENT is what works.
    ClearPending { version: String },
    /// Call the rotation.
    Rotate,
    /// Record that the rotated version is current.
    Rotated,
    /// Record that something is not waited for any longer.
    GiveUp(GivenUp),
    /// Log in with what applications read.
    Test,
}

/// Why something is not waited for any longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    #[error(
        "the rotation did not end within {within:#}; the login before it goes on working; look at rotate-secret's log, take AWSPENDING off the version that is left, and rotate again"
    )]
    Rotation { within: SignedDuration },
    #[error("not rehearsed within {within:#} of the copy's promotion; the lines before this one say why")]
    Rehearsal { within: SignedDuration },
    #[error("not rehearsed: the admin's disposable secret of {admin} was given up")]
    Admin { admin: String },
}

/// Why a secret waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    #[error("waits for the promotion of database {database}")]
    Promotion { database: String },
    #[error("waits for the proof that database {database} takes writes")]
    Proof { database: String },
    #[error("waits for the admin's secret {admin}")]
    Admin { admin: String },
    #[error("{by} holds the rotation until {until}; the operator's `release` ends that")]
    Held { by: String, until: Timestamp },
    #[error("the rotation is under way since {since}")]
    Rotation { since: Timestamp },
    #[error("another rotation has AWSPENDING; it is left until {until} to come to its end")]
    OthersRotation { until: Timestamp },
}

/// Why nothing is done for a secret until a person has done something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "is not in the standby Region {region}; restore it (RestoreSecret) where it was deleted, replicate it there (ReplicateSecretToRegions) from a primary that is up, or create it with the login of database {database}"
    )]
    Missing { region: String, database: String },
}

pub type Due = Decision<Action, Waiting, Refusal>;

/// What this run is about: the real secrets or a drill's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    Failover,
    Rehearsal,
}

/// The course that the newest run asks for. A failover is closed as soon as its secrets are repointed; its rotations are
/// followed to their end all the same.
pub fn course(snapshot: &Snapshot) -> Option<Course> {
    let run = snapshot.head.run.as_ref()?;
    match (run.mode, run.phase) {
        (Mode::Failover, Phase::Activating | Phase::Active) => Some(Course::Failover),
        (Mode::Drill, Phase::Activating | Phase::Holding) => Some(Course::Rehearsal),
        _ => None,
    }
}

impl Course {
    /// Where the promoted database, or its promoted copy, listens; once its proxy reaches it, where the plan has one.
    pub fn endpoint<'a>(self, plan: &Plan, snapshot: &'a Snapshot, database: &str) -> Option<&'a Endpoint> {
        let promotion = &snapshot.progress.promotion;
        let behind = plan.database(database).is_some_and(|database| database.proxy.is_some());
        match self {
            Course::Failover => promotion
                .databases
                .get(database)
                .filter(|step| step.promoted_at.is_some() && (!behind || step.proxy.available_at.is_some()))
                .and_then(|step| step.endpoint.as_ref()),
            Course::Rehearsal => promotion
                .copies
                .get(database)
                .filter(|copy| copy.promoted_at.is_some() && copy.failed.is_none())
                .and_then(|copy| copy.endpoint.as_ref()),
        }
    }

    /// The proxy through which the applications of a secret come. An admin's work is no application's: it ends sessions and changes users,
    /// and goes to the instance itself.
    pub fn through<'a>(self, plan: &Plan, snapshot: &'a Snapshot, secret: &Secret) -> Option<&'a Endpoint> {
        plan.database(&secret.database)?.proxy.as_ref()?;
        let step = snapshot.progress.promotion.databases.get(&secret.database).filter(|_| self == Course::Failover && !secret.is_admin(plan))?;
        step.proxy.available_at.and(step.proxy.endpoint.as_ref())
    }

    pub fn is_proven(self, snapshot: &Snapshot, database: &str) -> bool {
        let rotation = &snapshot.progress.rotation;
        match self {
            Course::Failover => rotation.proven.contains_key(database),
            Course::Rehearsal => rotation.rehearsal.proven.contains_key(database),
        }
    }

    pub fn step(self, snapshot: &Snapshot, secret: &str) -> SecretStep {
        let rotation = &snapshot.progress.rotation;
        let steps = match self {
            Course::Failover => &rotation.secrets,
            Course::Rehearsal => &rotation.rehearsal.secrets,
        };
        steps.get(secret).cloned().unwrap_or_default()
    }

    /// A failover tries for ever: its secrets must be right. A rehearsal must not hold its drill up.
    fn gives_up(self, plan: &Plan, snapshot: &Snapshot, secret: &Secret, step: &SecretStep, now: Timestamp) -> Option<GivenUp> {
        if self == Course::Failover || step.repointed_at.is_some() {
            return None;
        }
        let rehearsal = &snapshot.progress.rotation.rehearsal.secrets;
        let admin = secret.admin.as_ref().and_then(|admin| Some((admin, rehearsal.get(admin)?)));
        if let Some((admin, _)) = admin.filter(|(_, step)| step.failed.is_some() && step.repointed_at.is_none()) {
            return Some(GivenUp::Admin { admin: admin.clone() });
        }
        let since = snapshot.progress.promotion.copies.get(&secret.database)?.promoted_at?;
        let within = plan.policy.step_deadline;
        (now.duration_since(since) >= within).then_some(GivenUp::Rehearsal { within })
    }

    pub fn record_proof(self, progress: &mut RotationProgress, database: &str, at: Timestamp) {
        let proven = match self {
            Course::Failover => &mut progress.proven,
            Course::Rehearsal => &mut progress.rehearsal.proven,
        };
        proven.insert(database.to_owned(), at);
    }

    pub fn record_step(self, progress: &mut RotationProgress, secret: &str, step: SecretStep) {
        let steps = match self {
            Course::Failover => &mut progress.secrets,
            Course::Rehearsal => &mut progress.rehearsal.secrets,
        };
        steps.insert(secret.to_owned(), step);
    }

    /// The secret's name in this course.
    pub fn name(self, plan: &Plan, run: &RunId, secret: &Secret) -> String {
        match self {
            Course::Failover => secret.name.clone(),
            Course::Rehearsal => DisposableName::of(&plan.name, run, &secret.name).as_str().to_owned(),
        }
    }
}

/// The databases that are promoted and not yet proven, with the endpoint to prove them at. Only one that some secret
/// opens can be proven.
pub fn to_prove(plan: &Plan, snapshot: &Snapshot, course: Course) -> Vec<(String, Endpoint)> {
    let databases = if snapshot.head.open_run().is_some() { plan.databases.as_slice() } else { &[] };
    databases
        .iter()
        .filter(|database| plan.secrets.iter().any(|secret| secret.database == database.name))
        .filter(|database| !course.is_proven(snapshot, &database.name))
        .filter_map(|database| Some((database.name.clone(), course.endpoint(plan, snapshot, &database.name)?.clone())))
        .collect()
}

/// Whether anything is left to do, by the journal alone.
pub fn unfinished(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> bool {
    course(snapshot).is_some_and(|course| {
        let mut secrets = plan.secrets.iter().filter(|secret| course.endpoint(plan, snapshot, &secret.database).is_some());
        secrets.any(|secret| !finished(plan, snapshot, course, secret, &course.step(snapshot, &secret.name), now))
    })
}

/// Whether nothing more is done for a secret, whatever may be seen of it.
fn finished(plan: &Plan, snapshot: &Snapshot, course: Course, secret: &Secret, step: &SecretStep, now: Timestamp) -> bool {
    if step.repointed_at.is_none() {
        // A rehearsal is given up where the disposable secret could not be made. A closed run begins nothing: a secret
        // that a later plan added is not repointed by it.
        let given_up = course == Course::Rehearsal && step.failed.is_some();
        return given_up || snapshot.head.open_run().is_none();
    }
    let rotated = !secret.rotate || step.rotated_at.is_some() || step.failed.is_some();
    rotated && (step.tested_at.is_some() || (step.failed.is_some() && overdue(plan, step, now)))
}

/// What is due for one secret. `seen` is the secret of this course as it stands, `None` where it is not there.
pub fn due(plan: &Plan, snapshot: &Snapshot, course: Course, secret: &Secret, seen: Option<&Described>, now: Timestamp) -> Due {
    let database = &secret.database;
    let step = course.step(snapshot, &secret.name);
    let Some(run) = snapshot.head.run.as_ref() else { return Decision::Done };
    if finished(plan, snapshot, course, secret, &step, now) {
        return Decision::Done;
    }
    if course.endpoint(plan, snapshot, database).is_none() {
        return Decision::Wait(Waiting::Promotion { database: database.clone() });
    }
    if let Some(why) = course.gives_up(plan, snapshot, secret, &step, now) {
        return Decision::Act(vec![Action::GiveUp(why)]);
    }
    if !course.is_proven(snapshot, database) {
        return Decision::Wait(Waiting::Proof { database: database.clone() });
    }
    let admin = waits_for_admin(plan, snapshot, course, secret);
    if step.repointed_at.is_none() {
        return match (course, seen) {
            (Course::Failover, None) => Decision::Refuse(Refusal::Missing { region: plan.standby.clone(), database: database.clone() }),
            (Course::Failover, Some(seen)) if seen.replica_of.is_some() => Decision::Act(vec![Action::StandAlone, Action::Repoint]),
            (Course::Rehearsal, _) if step.disposable.is_none() => Decision::Act(vec![Action::Owe]),
            // The disposable secret names its admin by an ARN, which exists with the admin's disposable secret only.
            (Course::Rehearsal, None) => match admin {
                Some(admin) => Decision::Wait(Waiting::Admin { admin }),
                None => Decision::Act(vec![Action::Create]),
            },
            (_, Some(_)) => Decision::Act(vec![Action::Repoint]),
        };
    }
    if !secret.rotate || step.rotated_at.is_some() || step.failed.is_some() {
        return Decision::Act(vec![Action::Test]);
    }
    let hold = snapshot.head.hold.as_ref().filter(|hold| now < hold.until);
    match (admin, step.rotation_called_at) {
        (_, Some(since)) => rotation(plan, course, &step, since, seen, &token(&run.id, Making::Rotation, &course.name(plan, &run.id, secret)), now),
        (Some(admin), None) => Decision::Wait(Waiting::Admin { admin }),
        (None, None) => match hold {
            // The recovery does not need it, and it cannot be undone.
            Some(hold) => Decision::Wait(Waiting::Held { by: hold.by.clone(), until: hold.until }),
            None => Decision::Act(vec![Action::Begin]),
        },
    }
}

/// A rotation that was recorded, as far as it has come.
fn rotation(plan: &Plan, course: Course, step: &SecretStep, since: Timestamp, seen: Option<&Described>, token: &str, now: Timestamp) -> Due {
    let labels = seen.and_then(|seen| seen.stages.get(token));
    // AWSPREVIOUS: current, and somebody rotated once more since.
    if labels.is_some_and(|labels| labels.contains(Stage::Current.label()) || labels.contains(Stage::Previous.label())) {
        return Decision::Act(vec![Action::Rotated, Action::Test]);
    }
    if overdue(plan, step, now) {
        return Decision::Act(vec![Action::GiveUp(GivenUp::Rotation { within: plan.policy.step_deadline }), Action::Test]);
    }
    // Nobody but this run rotates a drill's secret.
    let stranded = seen.filter(|_| course == Course::Failover).and_then(|seen| seen.stranded(token));
    match (labels, stranded) {
        (Some(_), _) => Decision::Wait(Waiting::Rotation { since }),
        (None, Some(_)) if now.duration_since(since) < OTHERS_ROTATION => {
            Decision::Wait(Waiting::OthersRotation { until: since.saturating_add(OTHERS_ROTATION).unwrap_or(Timestamp::MAX) })
        }
        (None, Some(version)) => Decision::Act(vec![Action::ClearPending { version: version.to_owned() }, Action::Rotate]),
        (None, None) => Decision::Act(vec![Action::Rotate]),
    }
}

/// The admin that is not ready yet. A rotation logs in as it; applications do not, so repointing never waits for one.
fn waits_for_admin(plan: &Plan, snapshot: &Snapshot, course: Course, secret: &Secret) -> Option<String> {
    let admin = plan.secrets.iter().find(|other| secret.admin.as_ref() == Some(&other.name))?;
    course.step(snapshot, &admin.name).repointed_at.is_none().then(|| admin.name.clone())
}

/// Whether the last step of a secret is past the plan's deadline.
pub fn overdue(plan: &Plan, step: &SecretStep, now: Timestamp) -> bool {
    let since = step.rotated_at.or(step.rotation_called_at).or(step.repointed_at);
    since.is_some_and(|since| now.duration_since(since) >= plan.policy.step_deadline)
}

/// Whether a rotation that was given up is left as it stands, although nobody could see what of it works.
pub fn left(plan: &Plan, step: &SecretStep, now: Timestamp) -> bool {
    let within = plan.policy.step_deadline.saturating_mul(2);
    step.rotation_called_at.is_some_and(|called| now.duration_since(called) >= within)
}

/// Whether a login in peace is due: some secret was never tried, or not in the last half hour. A time in the future is a
/// clock that jumped.
pub fn login_due(plan: &Plan, memory: &Memory, now: Timestamp) -> bool {
    plan.secrets.iter().any(|secret| {
        let age = memory.logins.get(&secret.name).map(|seen| now.duration_since(seen.at));
        age.is_none_or(|age| age >= LOGIN_EVERY || age.is_negative())
    })
}

/// Which version of a secret a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Making {
    Disposable,
    Repointing,
    Rotation,
    /// What works, put over another rotation that broke off, and over one that was given up.
    Recovered,
    RolledBack,
    /// A failback's, in the primary Region.
    Home,
}

/// The id of the version that a step of a run makes. The same step of the same run always makes the same version, so
/// that one whose answer was lost is not made twice. Secrets Manager wants 32 to 64 characters.
pub fn token(run: &RunId, making: Making, secret: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("relight/{run}/{making:?}/{secret}").as_bytes()).to_string()
}
