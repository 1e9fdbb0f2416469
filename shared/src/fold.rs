//! What a trigger changes before anything is done: evidence, and the operator's words.
//!
//! Pure. An order that cannot be followed is answered with a sentence that says why and what can be done instead; it
//! never half-changes anything.

use jiff::{SignedDuration, Timestamp};

use crate::event::{AlarmNotice, Command, Order, Trigger};
use crate::evidence::{Evidence, Heard};
use crate::plan::{ActMode, Plan};
use crate::ports::{Entry, EntryKind};
use crate::run::{Mode, Phase, Run, RunId, Said, Step, Words};
use crate::state::{Head, HoldSwitch, Place, Snapshot};

/// A hold expires by itself after this long unless the operator says otherwise.
pub const HOLD: SignedDuration = SignedDuration::from_hours(4);

/// What folding a trigger in changes.
#[derive(Debug, Default)]
pub struct Folded {
    pub head: Option<Head>,
    pub evidence: Option<Evidence>,
    pub entries: Vec<(RunId, Entry)>,
    /// What the answer of the invocation says about it.
    pub said: Vec<String>,
}

/// Folds one trigger in. `by` is the function that heard it.
pub fn fold(plan: &Plan, snapshot: &Snapshot, trigger: &Trigger, by: &str, now: Timestamp) -> Folded {
    match trigger {
        Trigger::Tick | Trigger::Readiness | Trigger::Progress { .. } | Trigger::Rotation(_) => Folded::default(),
        Trigger::Drill => open_drill(plan, &snapshot.head, "the schedule", by, now),
        Trigger::Alarm(alarm) => hear_alarm(plan, snapshot, alarm, by, now),
        Trigger::Operator(order) => follow(plan, snapshot, order, by, now),
    }
}

fn hear_alarm(plan: &Plan, snapshot: &Snapshot, alarm: &AlarmNotice, by: &str, now: Timestamp) -> Folded {
    if alarm.account != plan.account {
        return say(format!("ignored an alarm of account {}: the plan is for {}", alarm.account, plan.account));
    }
    let observer = plan.observers.iter().find(|observer| matches!(&observer.kind, crate::plan::ObserverKind::Alarm { arn, .. } if *arn == alarm.arn));
    let Some(observer) = observer else {
        return say(format!("ignored {}: no observer of the plan names it", alarm.arn));
    };
    let mut evidence = snapshot.evidence.clone();
    // A time to come would let this word outlast looks that are made after it was heard.
    let changed_at = alarm.changed_at.min(now);
    match evidence.hear_change(&observer.name, alarm.word, changed_at, alarm.reason.as_str()) {
        Heard::Older => say(format!("ignored an older word of {}", observer.name)),
        // The same change delivered twice: nothing to write.
        Heard::Again => say(format!("{} still says {:?}", observer.name, alarm.word)),
        Heard::Changed => {
            let said = format!("{} says {:?} since {changed_at}: {}", observer.name, alarm.word, alarm.reason);
            let entries = snapshot.head.open_run().map(|run| (run.id.clone(), entry(EntryKind::Evidence, &said, by, now)));
            Folded { evidence: Some(evidence), entries: entries.into_iter().collect(), said: vec![said], ..Folded::default() }
        }
    }
}

fn follow(plan: &Plan, snapshot: &Snapshot, order: &Order, by: &str, now: Timestamp) -> Folded {
    let head = &snapshot.head;
    if let (Some(meant), Some(run)) = (&order.run, head.run.as_ref())
        && *meant != run.id.0
    {
        return say(format!("refused `{}`: it is meant for run {meant}, but the newest is {}", order.command, run.id));
    }
    let who = Said { by: order.by.clone(), at: now };
    match order.command {
        Command::Status | Command::Readiness => Folded::default(),
        Command::Drill => open_drill(plan, head, &order.by, by, now),
        Command::Failover => failover(plan, snapshot, who, by, now),
        Command::Failback => open_failback(plan, snapshot, &order.by, by, now),
        Command::SwitchHome => with_run(head, order, by, now, |run| match (run.mode, run.phase) {
            (Mode::Failback, Phase::Synchronised) => set(run, who, |words| &mut words.switch_home),
            (Mode::Failback, Phase::Preparing) => Err("the replica at home does not follow yet; say it once the failback is Synchronised".to_owned()),
            (Mode::Failback, _) => Err(format!("{} is past it, in {:?}", run.id, run.phase)),
            _ => Err("no failback is open; `failback` starts the way home".to_owned()),
        }),
        Command::StandDown => with_run(head, order, by, now, |run| stand_down(snapshot, run, who)),
        Command::Approve => with_run(head, order, by, now, |run| set(run, who, |words| &mut words.approve)),
        Command::AcceptLoss => with_run(head, order, by, now, |run| set(run, who, |words| &mut words.accept_loss)),
        Command::SwitchAnyway => with_run(head, order, by, now, |run| match (run.mode, run.phase) {
            (Mode::Failover, Phase::Activating) => set(run, who, |words| &mut words.switch_anyway),
            (Mode::Failback, Phase::Switching) if run.committed_at.is_some() => set(run, who, |words| &mut words.switch_anyway),
            (Mode::Failback, _) => Err("users are let home past the point of no return only; `switch-home` gets there".to_owned()),
            _ => Err("there is no traffic to open before the point of no return; `failover` gets there".to_owned()),
        }),
        Command::Replan => with_run(head, order, by, now, |run| {
            if run.plan_version == head.plan_version {
                return Err(format!("the run already follows the newest plan, version {}", head.plan_version));
            }
            run.plan_version = head.plan_version;
            Ok(())
        }),
        Command::Hold { lasting } => {
            let until = now.saturating_add(lasting.unwrap_or(HOLD)).unwrap_or(Timestamp::MAX);
            let said = format!("{} holds every step that cannot be undone, until {until}", order.by);
            change(Head { hold: Some(HoldSwitch { until, by: order.by.clone() }), ..head.clone() }, said, by, now)
        }
        Command::Release if head.hold.is_none() => say("nothing is held".to_owned()),
        Command::Release => change(Head { hold: None, ..head.clone() }, format!("{} released the hold", order.by), by, now),
    }
}

fn failover(plan: &Plan, snapshot: &Snapshot, who: Said, by: &str, now: Timestamp) -> Folded {
    let head = &snapshot.head;
    if plan.policy.mode == ActMode::Observe {
        return say("refused `failover`: the plan only observes; put a plan with policy.mode = \"act\"".to_owned());
    }
    if head.serving == Place::Standby && head.open_run().is_none() {
        return say("refused `failover`: the standby serves already".to_owned());
    }
    let mut next = head.clone();
    match next.run.as_mut().filter(|run| run.is_open()) {
        Some(run) if run.mode == Mode::Failover && run.words.failover.is_some() && run.phase != Phase::StoodDown => {
            return say(format!("{} already fails over by the operator's word", run.id));
        }
        Some(run) => {
            let step = match (run.mode, run.phase) {
                // Until users are let home the standby has everything: there is nothing to fail over to.
                (Mode::Failback, Phase::Restoring) => Some(Step::RealFailure),
                (Mode::Failback, Phase::Switching) if let_home(snapshot) => Some(Step::RealFailure),
                (Mode::Failback, _) => {
                    return say(format!("refused `failover`: the standby serves, and {} may be given up; say `stand-down`", run.id));
                }
                (Mode::Drill, _) => Some(Step::RealFailure),
                (Mode::Failover, Phase::StoodDown) => Some(Step::Suspect),
                (Mode::Failover, _) => None,
            };
            if let Some(step) = step
                && let Err(illegal) = run.step(step, now)
            {
                return say(format!("refused `failover`: {illegal}"));
            }
            run.first_down.get_or_insert(now);
            run.words.stand_down = None;
            run.words.failover = Some(who.clone());
        }
        None => {
            let mut run = open(Mode::Failover, Phase::Suspected, head.plan_version, format!("{} said `failover`", who.by), now);
            run.first_down = Some(now);
            run.words = Words { failover: Some(who.clone()), ..Words::default() };
            next.run = Some(run);
        }
    }
    change(next, format!("{} said `failover`: it counts as a quorum", who.by), by, now)
}

fn open_drill(plan: &Plan, head: &Head, who: &str, by: &str, now: Timestamp) -> Folded {
    if plan.policy.mode == ActMode::Observe {
        return say("refused the drill: the plan only observes; put a plan with policy.mode = \"act\"".to_owned());
    }
    if let Some(run) = head.open_run() {
        return say(format!("refused the drill: {} is open in {:?}", run.id, run.phase));
    }
    if head.serving == Place::Standby {
        return say("refused the drill: the standby serves".to_owned());
    }
    if head.held(now) {
        return say("refused the drill: a hold is in force; `release` ends it".to_owned());
    }
    let run = open(Mode::Drill, Phase::Activating, head.plan_version, format!("{who} started the drill"), now);
    change(Head { run: Some(run), ..head.clone() }, format!("{who} started the drill"), by, now)
}

/// STOP was taken away, or is about to be: users may be at the writer at home.
fn let_home(snapshot: &Snapshot) -> bool {
    crate::advance::home::attempted(snapshot) && snapshot.progress.traffic.held_out_at.is_none()
}

/// The way home is the operator's to begin. Nobody can tell by the observers that the primary Region is up: they look at its
/// workload, which has no database. That its control plane answers is told by the fence, which is made there and seen.
fn open_failback(plan: &Plan, snapshot: &Snapshot, who: &str, by: &str, now: Timestamp) -> Folded {
    let head = &snapshot.head;
    if let Some(why) = refused_home(plan, snapshot, now) {
        return say(format!("refused `failback`: {why}"));
    }
    let run = open(Mode::Failback, Phase::Preparing, head.plan_version, format!("{who} said `failback`"), now);
    change(Head { run: Some(run), ..head.clone() }, format!("{who} said `failback`: the way home begins"), by, now)
}

/// Why the way home may not begin now.
pub(crate) fn refused_home(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> Option<String> {
    let head = &snapshot.head;
    if plan.policy.mode == ActMode::Observe {
        return Some("the plan only observes; put a plan with policy.mode = \"act\"".to_owned());
    }
    if let Some(run) = head.open_run() {
        return Some(format!("{} is open in {:?}", run.id, run.phase));
    }
    if head.serving == Place::Primary {
        return Some("the primary serves already".to_owned());
    }
    if head.held(now) {
        return Some("a hold is in force; `release` ends it".to_owned());
    }
    plan.databases.iter().find_map(|database| {
        let name = &database.name;
        let opened = plan.secrets.iter().any(|secret| secret.database == *name);
        if database.is_global() {
            // Aurora fences the old writer and makes it a secondary; whether it has, the failback waits for.
            return (!opened).then(|| format!("no secret of the plan opens database {name}; without a login nothing of it can be proven"));
        }
        if database.home_security_groups.is_empty() {
            return Some(format!("the plan does not say into which security groups the replica of {name} at home belongs; give it `home_security_groups`"));
        }
        if !opened {
            return Some(format!("no secret of the plan opens database {name}; without a login nothing of it can be compared or proven"));
        }
        if database.quarantine_security_group.is_none() {
            return Some(format!("the old writer of {name} is not fenced; give it `quarantine_security_group`, and switch-traffic fences it"));
        }
        (!is_fenced(snapshot, name)).then(|| {
            let last = snapshot.progress.traffic.fenced.get(name).map(|fence| format!(" ({})", fence.last)).unwrap_or_default();
            format!("the old writer of {name} is not fenced yet{last}; switch-traffic tries each minute, and its success is what tells that the primary Region is up")
        })
    })
}

/// Whether the old writer was seen fenced. A failback that was given up began with that, and has a new old writer only where
/// it had come to promote one at home.
fn is_fenced(snapshot: &Snapshot, database: &str) -> bool {
    let progress = &snapshot.progress;
    let fenced = progress.traffic.fenced.get(database).is_some_and(|fence| fence.done_at.is_some());
    let given_up = snapshot.head.run.as_ref().is_some_and(|run| run.mode == Mode::Failback);
    fenced || (given_up && progress.promotion.home.get(database).is_none_or(|step| step.promote_attempt_at.is_none()))
}

fn stand_down(snapshot: &Snapshot, run: &mut Run, who: Said) -> Result<(), String> {
    // Whether nothing is promoted yet is judged with the replicas in sight, in `advance`: the word only waits there.
    match (run.mode, run.phase) {
        (Mode::Failback, Phase::Restoring) => Err("users are home; `failover` goes to the standby again".to_owned()),
        (Mode::Failback, Phase::Switching) if let_home(snapshot) => Err("users are let home; `failover` goes to the standby again".to_owned()),
        (Mode::Failback, Phase::Aborted) => Err(format!("{} is already being undone", run.id)),
        (Mode::Failover, Phase::StoodDown) | (Mode::Drill, Phase::Restoring) => Err(format!("{} is already being undone", run.id)),
        _ => set(run, who, |words| &mut words.stand_down),
    }
}

fn set(run: &mut Run, who: Said, word: impl Fn(&mut Words) -> &mut Option<Said>) -> Result<(), String> {
    let word = word(&mut run.words);
    match word {
        Some(said) => Err(format!("{} said so already at {}", said.by, said.at)),
        None => {
            *word = Some(who);
            Ok(())
        }
    }
}

fn with_run(head: &Head, order: &Order, by: &str, now: Timestamp, f: impl FnOnce(&mut Run) -> Result<(), String>) -> Folded {
    let Some(mut run) = head.open_run().cloned() else {
        return say(format!("refused `{}`: no run is open", order.command));
    };
    match f(&mut run) {
        Ok(()) => change(Head { run: Some(run), ..head.clone() }, format!("{} said `{}`", order.by, order.command), by, now),
        Err(why) => say(format!("refused `{}`: {why}", order.command)),
    }
}

/// A new run.
pub(crate) fn open(mode: Mode, phase: Phase, plan_version: u64, cause: String, now: Timestamp) -> Run {
    Run {
        id: RunId::new(mode, now),
        mode,
        phase,
        plan_version,
        opened_at: now,
        phase_since: now,
        cause,
        first_down: None,
        confirmed_at: None,
        committed_at: None,
        ended_at: None,
        was_drill: false,
        was_failback: false,
        came_home_at: None,
        words: Words::default(),
    }
}

fn change(head: Head, said: String, by: &str, now: Timestamp) -> Folded {
    let entries = head.run.as_ref().filter(|run| run.is_open()).map(|run| (run.id.clone(), entry(EntryKind::Operator, &said, by, now)));
    Folded { entries: entries.into_iter().collect(), head: Some(head), said: vec![said], ..Folded::default() }
}

fn say(said: String) -> Folded {
    Folded { said: vec![said], ..Folded::default() }
}

pub(crate) fn entry(kind: EntryKind, said: &str, by: &str, now: Timestamp) -> Entry {
    Entry { at: now, by: by.to_owned(), kind, about: String::new(), said: said.to_owned(), calls: Default::default() }
}

#[cfg(test)]
mod tests;
