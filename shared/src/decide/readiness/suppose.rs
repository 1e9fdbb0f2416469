//! A run that is supposed: the primary failed at this moment, the operator said so, everything else is as it stands.

use jiff::Timestamp;

use crate::advance::{Blocked, blocked};
use crate::decide::Decision;
use crate::decide::capacity::{Reach, Refusal, raise_group, raise_service};
use crate::evidence::Verdict;
use crate::fold::open;
use crate::plan::{Group, Plan, Service};
use crate::ports::{GroupState, Resize, Rollout, ServiceState};
use crate::run::{Mode, Phase, Run, Said};
use crate::state::{DatabaseStep, Progress, Snapshot};

/// Bounds first, then count and strategy, then nothing more: a rule that still acts would never end.
const TURNS: usize = 4;

pub(super) struct Supposed {
    snapshot: Snapshot,
    run: Run,
}

impl Supposed {
    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The same failover without the operator's word, which is not always as good as a quorum: from a primary that is seen up he moves on
    /// by a switchover.
    pub(super) fn by_quorum(&self) -> Run {
        let mut run = self.run.clone();
        run.words.failover = None;
        run
    }

    /// What would stand between the confirmation and the point of no return, were every part ready.
    pub(super) fn blocked(&self, plan: &Plan, now: Timestamp) -> Option<Blocked> {
        blocked(plan, &self.snapshot, &self.run, &Verdict::default(), now)
    }
}

/// A failover that is confirmed at `now`, each replica cleared and the primary held out: those are judged by themselves.
pub(super) fn failover(plan: &Plan, snapshot: &Snapshot, now: Timestamp) -> Supposed {
    let mut run = open(Mode::Failover, Phase::Confirmed, snapshot.head.plan_version, "supposed".to_owned(), now);
    run.first_down = Some(now);
    run.confirmed_at = Some(now);
    // It counts as a quorum, and is no acceptance of a loss.
    run.words.failover = Some(Said { by: "readiness".to_owned(), at: now });
    let mut progress = Progress::default();
    let cleared = DatabaseStep { cleared_at: Some(now), ..DatabaseStep::default() };
    progress.promotion.databases = plan.databases.iter().map(|database| (database.name.clone(), cleared.clone())).collect();
    progress.traffic.held_out_at = Some(now);
    let mut snapshot = snapshot.clone();
    snapshot.head.run = Some(run.clone());
    snapshot.progress = progress;
    Supposed { snapshot, run }
}

/// A drill that begins at `now`.
pub(super) fn drill(now: Timestamp) -> Run {
    open(Mode::Drill, Phase::Activating, 0, "supposed".to_owned(), now)
}

/// Why a service would not come to its active size, were AWS to do all that is asked of it.
pub(super) fn service(service: &Service, state: &ServiceState) -> Option<Refusal> {
    let mut state = state.clone();
    for _ in 0..TURNS {
        match raise_service(service, Some(&state), Reach::Whole, None).due {
            Decision::Act(resizes) => resizes.into_iter().for_each(|resize| apply_to_service(&mut state, resize)),
            Decision::Refuse(why) => return Some(why),
            Decision::Done | Decision::Wait(_) => return None,
        }
    }
    None
}

fn apply_to_service(state: &mut ServiceState, resize: Resize) {
    match resize {
        Resize::Bounds { bounds, .. } => state.scaling = Some(bounds),
        Resize::Service { desired, capacity_providers, .. } => {
            state.desired = desired.unwrap_or(state.desired);
            state.capacity_providers = capacity_providers.unwrap_or_else(|| state.capacity_providers.clone());
            // What ECS has given up to start does not start because more of it is wanted.
            if !matches!(state.rollout, Rollout::Failed(_)) {
                (state.running, state.deployments) = (state.desired, 1);
            }
        }
        Resize::Group { .. } => {}
    }
}

/// The same of a group.
pub(super) fn group(group: &Group, state: &GroupState) -> Option<Refusal> {
    let mut state = state.clone();
    for _ in 0..TURNS {
        match raise_group(group, Some(&state), Reach::Whole, None, None).due {
            Decision::Act(resizes) => resizes.into_iter().for_each(|resize| apply_to_group(&mut state, resize)),
            Decision::Refuse(why) => return Some(why),
            Decision::Done | Decision::Wait(_) => return None,
        }
    }
    None
}

fn apply_to_group(state: &mut GroupState, resize: Resize) {
    if let Resize::Group { min, desired, max, instances, .. } = resize {
        (state.min, state.desired, state.max, state.in_service) = (min, desired, max, desired);
        state.instances = instances.or(state.instances);
    }
}
