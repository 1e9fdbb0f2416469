//! What Relight promises, on the whole stage: real triggers, real binaries, real databases. One test a scene, two scenes at a time.

#[path = "../common/mod.rs"]
mod common;

mod afterwards;
mod aurora;
mod by_hand;
mod calls;
mod crashes;
mod drill;
mod failback;
mod failover;
mod logins;
mod mariadb;
mod passwords;
mod readiness;
mod recovers;
mod refused;
mod two_plans;
mod update;
