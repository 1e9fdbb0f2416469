//! Where users are, what keeps them off the primary, and who looks at it.
//!
//! [`Traffic`] is switch-traffic's: the STOP object, users' DNS, and the proof that the standby serves. [`Eyes`] is
//! watch-primary's: its own probe, the checkers' verdict, and the heartbeat. Both look with the same two means, a DNS query
//! and an HTTP request, and neither needs a control plane for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CallError;
use crate::plan::{self, Plan};

#[allow(async_fn_in_trait)] // Static dispatch on one thread: nobody needs the future to be Send.
pub trait Traffic {
    /// Whether the STOP object is in place. While it is, Route 53 answers users with the standby.
    async fn stop_is_present(&self, traffic: &plan::Traffic) -> Result<bool, CallError>;

    async fn put_stop(&self, traffic: &plan::Traffic) -> Result<(), CallError>;

    async fn remove_stop(&self, traffic: &plan::Traffic) -> Result<(), CallError>;

    /// Asks for the STOP object without credentials, as Route 53's checkers do.
    async fn stop_as_checkers_see_it(&self, traffic: &plan::Traffic) -> Fetched;

    /// What `name` stands for now.
    async fn resolve(&self, name: &str) -> Result<Resolved, CallError>;

    async fn fetch(&self, url: &str, within: Duration) -> Fetched;
}

#[allow(async_fn_in_trait)]
pub trait Eyes {
    async fn fetch(&self, url: &str, within: Duration) -> Fetched;

    /// The texts of a TXT record. A name without any is [`super::Why::NotFound`].
    async fn texts(&self, record: &str) -> Result<Vec<String>, CallError>;

    /// Puts one heartbeat metric into the primary Region, where its absence alarms. One short attempt.
    async fn heartbeat(&self, plan: &Plan) -> Result<(), CallError>;
}

/// What one HTTP GET met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fetched {
    /// The status, and the beginning of the body.
    Answered { status: u16, body: String },
    /// Asked, and no answer that can be read: a time-out, a refused or broken connection.
    Silent(String),
    /// Never asked: the name did not resolve, or this side has no network. It says nothing about the other side.
    NotAsked(String),
}

/// The aliases behind a name, itself first, and the addresses at their end. Names are in lower case without the last dot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resolved {
    pub names: Vec<String>,
    pub addresses: BTreeSet<IpAddr>,
}
