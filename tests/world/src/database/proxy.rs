//! RDS Proxy in memory: no target in peace, one once it is registered, and a replica never.
//!
//! ```text
//! register   REGISTERING ─► 15 s AVAILABLE
//! ```

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use relight::plan::Plan;
use relight::ports::{CallError, Proxy, ProxyId, ProxyTarget, ReplicaId, Why};
use relight::state::{Endpoint, Place};

use super::{DatabaseWorld, Rds, endpoint, state};

const REGISTERING: SignedDuration = SignedDuration::from_secs(15);

#[derive(Debug, Clone, Default)]
pub(super) struct HeldProxy {
    /// By the instance's name, with when it is available.
    targets: BTreeMap<String, Timestamp>,
}

/// One for each that the plan names.
pub(super) fn of(plan: &Plan) -> BTreeMap<String, HeldProxy> {
    plan.databases.iter().filter_map(|database| Some((database.proxy.clone()?, HeldProxy::default()))).collect()
}

fn host_of(proxy: &str) -> String {
    format!("{proxy}.proxy.standby.rds.test")
}

impl DatabaseWorld {
    /// A proxy without a target that no plan names.
    pub fn add_proxy(&self, proxy: &str) {
        self.rds.borrow_mut().proxies.insert(proxy.to_owned(), HeldProxy::default());
    }

    /// Removes a proxy as somebody else would have.
    pub fn lose_proxy(&self, proxy: &str) {
        self.rds.borrow_mut().proxies.remove(proxy);
    }

    /// Registers an instance as somebody else would have.
    pub fn set_target(&self, proxy: &str, instance: &str) {
        let now = self.clock.now();
        self.rds.borrow_mut().proxies.entry(proxy.to_owned()).or_default().targets.insert(instance.to_owned(), now);
    }

    /// The targets of a proxy.
    pub fn targets(&self, proxy: &str) -> Vec<String> {
        self.rds.borrow().proxies.get(proxy).map(|held| held.targets.keys().cloned().collect()).unwrap_or_default()
    }

    /// The endpoint of the instance that a host leads to: its own, or that of an available target behind a proxy.
    pub(crate) fn behind(&self, at: &Endpoint) -> Endpoint {
        let (rds, now) = (self.rds.borrow(), self.clock.now());
        let mut proxies = rds.proxies.iter();
        let Some((_, held)) = proxies.find(|(name, _)| host_of(name) == at.host) else { return at.clone() };
        let target = held.targets.iter().find(|(_, available)| **available <= now);
        target.map_or_else(|| at.clone(), |(instance, _)| endpoint(Place::Standby, instance))
    }

    pub(super) fn look_at_proxy(&self, proxy: &ProxyId) -> Result<Option<Proxy>, CallError> {
        let name = proxy.as_str();
        let there = self.call("rds:DescribeDBProxies", name, |rds, _| Ok(rds.proxies.contains_key(name)))?;
        if !there {
            return Ok(None);
        }
        self.call("rds:DescribeDBProxyTargets", name, |rds, now| {
            let target = |(instance, available): (&String, &Timestamp)| ProxyTarget {
                instance: instance.clone(),
                state: if *available <= now { "AVAILABLE" } else { "REGISTERING" }.to_owned(),
                why: if *available <= now { "" } else { "PENDING_PROXY_CAPACITY" }.to_owned(),
            };
            let targets = rds.proxies.get(name).map(|held| held.targets.iter().map(target).collect());
            let endpoint = Some(Endpoint { host: host_of(name), port: 5432 });
            Ok(targets.map(|targets| Proxy { status: "available".to_owned(), endpoint, targets }))
        })
    }

    pub(super) fn register_target(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
        self.call("rds:RegisterDBProxyTargets", proxy.as_str(), |rds, now| {
            let instance = rds.held(replica.as_str())?.instance.clone();
            if instance.source.is_some() {
                return Err(state(replica.as_str(), "is a read replica; a proxy has a writer as its target"));
            }
            let held = proxy_of(rds, proxy)?;
            if held.targets.keys().any(|other| other != replica.as_str()) {
                return Err(Why::Other(format!("DBProxyTargetAlreadyRegisteredFault: {proxy} has another target"), None));
            }
            held.targets.entry(replica.as_str().to_owned()).or_insert(now + REGISTERING);
            Ok(())
        })
    }

    pub(super) fn deregister_target(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
        self.call("rds:DeregisterDBProxyTargets", proxy.as_str(), |rds, _| {
            proxy_of(rds, proxy)?.targets.remove(replica.as_str());
            Ok(())
        })
    }
}

fn proxy_of<'a>(rds: &'a mut Rds, proxy: &ProxyId) -> Result<&'a mut HeldProxy, Why> {
    let missing = || Why::NotFound(format!("DBProxyNotFoundFault: Could not find proxy {proxy}."));
    rds.proxies.get_mut(proxy.as_str()).ok_or_else(missing)
}
