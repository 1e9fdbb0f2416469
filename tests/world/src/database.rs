//! Not yet peopled.

use relight::clock::Clock;
use relight::plan::Plan;

use crate::Calls;

#[derive(Debug, Clone)]
pub struct DatabaseWorld;

impl DatabaseWorld {
    pub fn of(_plan: &Plan, _calls: Calls, _clock: Clock) -> DatabaseWorld {
        DatabaseWorld
    }
}
