//! RDS for PostgreSQL on one machine: the Query protocol in front, and behind each DB instance a real PostgreSQL server, so
//! that replication, lag, lost rows, promotion and passwords are real.
//!
//! ```text
//! aws-sdk-rds ──► api ──► actions ──► state (records) ──► describe ──► XML
//!                            └──► instance (jobs) ──► server: initdb, start, promote, SIGKILL
//! application ──► endpoint (proxy: dark, quarantine, slow login) ──► server ──► link (proxy: delay, cut, dark) ──► replica
//! ```
//! A snapshot is a copy of the data folder, and can be restored. Servers that were built with TLS offer it, with certificates of a CA of
//! the stage's own; the wheel's were not, and those take plaintext alone.

mod actions;
mod api;
mod caller;
mod cluster;
mod cluster_move;
mod cluster_view;
mod describe;
mod endpoint;
mod error;
mod fault;
mod instance;
mod link;
mod page;
mod params;
mod port;
mod postgres;
mod proxy;
mod replication;
mod server;
mod stage;
mod state;
mod tls;
mod xml;

pub use error::Error;
pub use fault::PromotionFault;
pub use port::free_port;
pub use postgres::Binaries;
pub use server::OnSpawn;
pub use stage::{Darkness, Rds, Settings, Timing};

pub(crate) use stage::Inner;
