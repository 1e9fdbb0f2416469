//! Each transition by its situation, and each situation in which it must not happen.

use super::*;
use crate::plan::{Observer, ResourceId};
use crate::run::RunId;
use crate::situations::{Situation, at, said};
use crate::state::{Baseline, CopyStep, HoldSwitch, Obligation};

mod activating;
mod any;
mod confirmed;
mod drill;
mod peace;
mod stood_down;
mod suspected;

const FAILOVER: Mode = Mode::Failover;
const DRILL: Mode = Mode::Drill;

fn to(mode: Mode, phase: Phase) -> Option<(Mode, Phase)> {
    Some((mode, phase))
}

#[test]
fn every_open_phase_says_its_way_on() {
    for (mode, phase) in [
        (FAILOVER, Phase::Suspected),
        (FAILOVER, Phase::Confirmed),
        (FAILOVER, Phase::Activating),
        (FAILOVER, Phase::StoodDown),
        (DRILL, Phase::Activating),
        (DRILL, Phase::Holding),
        (DRILL, Phase::Restoring),
    ] {
        let situation = Situation::run(mode, phase);
        let said = way_on(&situation.plan, &situation.journal, at(10));
        assert!(said.contains('`') || said.contains("tick"), "{mode} {phase:?}: {said}");
    }
}
