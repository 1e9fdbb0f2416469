//! The workload of the stage, in real processes, and the traffic that shows whether it serves.
//!
//! ```text
//! load ──(stage DNS)──► balancer of a Region ──► shop processes ──► PostgreSQL
//!                                                  ▲      └──► Secrets Manager of the Region
//!         ECS, Auto Scaling ──► fleet ─────────────┘ as many as services and groups run
//! ```
//!
//! - [`balancer`]: one load balancer a Region
//! - [`fleet`]: the processes, as ECS and Auto Scaling want them
//! - [`load`]: a constant load, and what its users saw
//! - the binary `shop`: the application

pub mod balancer;
pub mod fleet;
pub mod load;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// No critical section here can panic half way, so that a poisoned lock still guards a whole value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
