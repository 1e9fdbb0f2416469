//! A whole two-Region AWS on one machine, with a workload in it and Relight beside it.
//!
//! ```text
//!  users (load) ──DNS──► balancer of a Region ──► shop processes ──► PostgreSQL ══delayed link══► replica
//!       ▲                      ▲ health checks                            ▲ RDS API
//!  stage-dns ◄── Route 53 ─────┘                                          │
//!                              router ◄── functions (real bootstraps in ministack), deployer, fleet, this stage
//!                                └──► ministack │ moto │ stage-rds
//! ```
//!
//! Everything is on loopback, on free ports, and ends with the stage: two can stand side by side. What is deployed comes from
//! templates alone, those that AWS gets: `infra/examples/pilot-light` for the workload, the others of `infra` for Relight.
//!
//! Two factors shorten time, [`Speed::waits`] for what AWS lets one wait for (health checks, ticks, TTLs, the dwell) and
//! [`Speed::hold`] for the hour of a drill.

mod alarms;
pub mod aws;
pub mod count;
pub mod coverage;
mod emulators;
pub mod everyday;
mod ground;
mod groups;
pub mod layout;
pub mod observe;
pub mod plan;
pub mod scenes;
mod stage;
pub mod update;
mod workload;

use std::path::PathBuf;

pub use stage::{Options, Regions, Speed, Stage};
pub use workload::{Workload, environment};

/// The account of both emulators.
pub const ACCOUNT: &str = "123456789012";
pub const PRIMARY: &str = "us-east-2";
pub const STANDBY: &str = "us-west-2";
/// Where the metrics of health checks, and so the alarms over them, live.
pub const HEALTH: &str = "us-east-1";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{file} is missing; run `{remedy}`", file = .file.display())]
    Missing { file: PathBuf, remedy: &'static str },
    #[error("{doing}: {source}")]
    Io { doing: &'static str, source: std::io::Error },
    #[error("{what} did not come up within 30 s; its log lies in target/stage")]
    NotUp { what: &'static str },
    #[error("{doing}: {message}")]
    Part { doing: &'static str, message: String },
    #[error("{what} was not seen within {seconds} s; last seen: {last}")]
    Never { what: String, seconds: u64, last: String },
}

impl Error {
    fn io(doing: &'static str, source: std::io::Error) -> Error {
        Error::Io { doing, source }
    }

    /// An error of one of the stage's parts.
    pub fn part<E: std::error::Error>(doing: &'static str) -> impl Fn(E) -> Error {
        move |error| {
            let mut message = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            Error::Part { doing, message }
        }
    }
}
