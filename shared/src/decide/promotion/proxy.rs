//! A proxy before the database: the promoted instance becomes its target, and on the way home none again.
//!
//! ```text
//! promoted ─► registered ─► REGISTERING, UNAVAILABLE ─► AVAILABLE ─► secrets name the proxy
//! home     ─► users there ─► deregistered, seen
//! ```
//! Nothing of it is irreversible, so nothing is recorded before it is asked for: what is seen decides.

use std::fmt;

use crate::plan::Database;
use crate::ports::{Proxy, ProxyTarget};

/// What is due before users may come through a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProxyDue {
    Register,
    /// Seen: the proxy reaches the promoted instance.
    Available,
    Wait(ProxyWait),
    Refuse(ProxyRefusal),
}

/// `seen`: the plan's proxy, where there is one.
pub(super) fn door(database: &Database, name: &str, seen: Option<&Proxy>) -> ProxyDue {
    let name = name.to_owned();
    let Some(proxy) = seen else { return ProxyDue::Refuse(ProxyRefusal::Gone { proxy: name }) };
    if let Some(ProxyTarget { instance, .. }) = proxy.other_than(&database.replica) {
        return ProxyDue::Refuse(ProxyRefusal::Elsewhere { proxy: name, target: instance.clone() });
    }
    match (proxy.target(&database.replica), &proxy.endpoint) {
        (Some(target), Some(_)) if target.is_available() => ProxyDue::Available,
        (Some(target), _) => ProxyDue::Wait(ProxyWait { proxy: name, is: format!("its target is {}", target.state), why: target.why.clone() }),
        (None, _) if !proxy.is_available() => ProxyDue::Wait(ProxyWait { proxy: name, is: format!("it is {}", proxy.status), why: String::new() }),
        (None, _) => ProxyDue::Register,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyWait {
    proxy: String,
    is: String,
    why: String,
}

impl fmt::Display for ProxyWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.why.is_empty() { String::new() } else { format!(" ({})", self.why) };
        write!(
            f,
            "users come through the proxy {}, {}{why}; a plan without `proxy` and `replan` send them to the instance itself",
            self.proxy, self.is
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyRefusal {
    #[error(
        "the standby Region has no proxy {proxy}; create it, or take `proxy` out of the plan and say `replan`: users then reach the instance itself"
    )]
    Gone { proxy: String },
    #[error(
        "the proxy {proxy} has the target {target}, and RDS allows one; deregister it, or take `proxy` out of the plan and say `replan`: users then reach the instance itself"
    )]
    Elsewhere { proxy: String, target: String },
}
