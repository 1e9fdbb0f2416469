//! RDS for PostgreSQL and for MariaDB on one machine: the Query protocol in front, and behind each DB instance a real server of its
//! engine, so that replication, lag, lost rows, promotion and passwords are real.
//!
//! ```text
//! aws-sdk-rds ──► api ──► actions ──► state (records) ──► describe ──► XML
//!                            └──► instance (jobs) ──► server: start, follow, promote, SIGKILL ──► engine: PostgreSQL or MariaDB
//! application ──► endpoint (proxy: dark, quarantine, slow login) ──► server ──► link (proxy: delay, cut, dark) ──► replica
//! ```
//! A snapshot is a copy of the data folder, and can be restored. Servers that were built with TLS offer it, with certificates of a CA of
//! the stage's own; the wheel's were not, and those take plaintext alone. Of the parameters of groups one reaches a server: MariaDB's
//! `read_only`.

mod actions;
mod api;
mod caller;
mod cluster;
mod cluster_move;
mod cluster_view;
mod describe;
mod endpoint;
mod engine;
mod error;
mod fault;
mod freeze;
mod home;
mod instance;
mod link;
mod mariadb;
mod mariadb_replication;
mod page;
mod parameter_group;
mod params;
mod port;
mod postgres;
mod proxy;
mod read_only;
mod replication;
mod server;
mod session;
mod stage;
mod state;
mod tls;
mod xml;

pub use error::Error;
pub use fault::PromotionFault;
pub use mariadb::MariaDbBinaries;
pub use port::free_port;
pub use postgres::Binaries;
pub use proxy::EngineFamily;
pub use server::OnSpawn;
pub use session::SqlError;
pub use stage::{Darkness, Rds, Settings, Timing};

pub(crate) use stage::Inner;
