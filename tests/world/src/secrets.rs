//! Not yet peopled.

use relight::clock::Clock;
use relight::plan::Plan;

use crate::Calls;

#[derive(Debug, Clone)]
pub struct SecretsWorld;

impl SecretsWorld {
    pub fn of(_plan: &Plan, _calls: Calls, _clock: Clock) -> SecretsWorld {
        SecretsWorld
    }
}
