//! Back to the baseline, exactly, and seen to be there.

use jiff::{SignedDuration, Timestamp};

use super::{Due, Refusal, WaitingOn, group_resizes};
use crate::decide::Decision;
use crate::plan::{Group, Service};
use crate::ports::{GroupName, GroupState, Resize, ServiceName, ServiceState};

/// For how long AWS is given time to bring up what a baseline says. A service that could not run its one task before a
/// drill cannot run it afterwards: waiting for that for ever would keep the drill open. What runs beyond the baseline is
/// waited for without end: a deadline does not make it gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub since: Option<Timestamp>,
    pub lasting: SignedDuration,
    pub now: Timestamp,
}

impl Patience {
    fn is_over(&self) -> bool {
        self.since.is_some_and(|since| self.now.duration_since(since) >= self.lasting)
    }
}

/// What is due for a service whose baseline is `baseline`.
pub fn restore_service(baseline: &Service, state: Option<&ServiceState>, patience: Patience) -> Due {
    let name = ServiceName::of(baseline);
    let Some(state) = state else { return Decision::Refuse(Refusal::NoService(name)) };

    let mut resizes = Vec::new();
    // Bounds first: with the raised ones in force, Auto Scaling would pull a lowered count up again. A scalable target
    // that came or went meanwhile is somebody's decision.
    if let (Some(was), Some(is)) = (baseline.scaling, state.scaling)
        && was != is
    {
        resizes.push(Resize::Bounds { service: name.clone(), bounds: was });
    }
    let desired = (state.desired != baseline.desired).then_some(baseline.desired);
    let capacity_providers = (!state.has_strategy(&baseline.capacity_providers)).then(|| baseline.capacity_providers.clone());
    if desired.is_some() || capacity_providers.is_some() {
        resizes.push(Resize::Service { service: name, desired, capacity_providers });
    }

    if !resizes.is_empty() {
        Decision::Act(resizes)
    } else if state.running > baseline.desired {
        Decision::Wait(WaitingOn::Surplus { running: state.running, baseline: baseline.desired })
    } else if state.is_steady() || patience.is_over() {
        Decision::Done
    } else {
        Decision::Wait(WaitingOn::Tasks { running: state.running, desired: state.desired, deployments: state.deployments, setback: None })
    }
}

/// What is due for a group whose baseline is `baseline`.
pub fn restore_group(baseline: &Group, state: Option<&GroupState>, patience: Patience) -> Due {
    let name = GroupName(baseline.name.clone());
    let Some(state) = state else { return Decision::Refuse(Refusal::NoGroup(name)) };

    let Group { min, desired, max, .. } = *baseline;
    let instances = baseline.instances.filter(|was| state.instances.is_some_and(|is| is != *was));
    let resizes = group_resizes(&name, state, (min, desired, max), instances);
    if !resizes.is_empty() {
        return Decision::Act(resizes);
    }
    if state.in_service >= desired + state.heaviest.max(1) {
        let stuck = state.suspended.contains("Terminate");
        let processes = || ["Terminate".to_owned()].into();
        return match stuck {
            true => Decision::Refuse(Refusal::Suspended { group: name, processes: processes() }),
            false => Decision::Wait(WaitingOn::Surplus { running: state.in_service, baseline: desired }),
        };
    }
    if state.in_service >= desired || patience.is_over() {
        return Decision::Done;
    }
    Decision::Wait(WaitingOn::Instances { in_service: state.in_service, wanted: desired, setback: None })
}
