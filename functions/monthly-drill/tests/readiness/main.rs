//! Would a failover work now? Standbys as they are found, each broken in one way: it is found, with its remedy, and nothing else is.

#[path = "../common/mod.rs"]
mod common;

mod aurora;
mod broken;
mod data;
mod look;
mod scene;
