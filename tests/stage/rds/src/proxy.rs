//! What RDS knows of a proxy. Connections to its address are carried to the server of its target; a real proxy also pools them, and lets in
//! whom its secrets name.

use crate::Inner;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::state::Key;
use std::sync::Arc;
use tokio::time::sleep;

/// The protocol that a proxy speaks, chosen with its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineFamily {
    PostgreSql,
    MySql,
}

impl EngineFamily {
    pub(crate) fn name(self) -> &'static str {
        match self {
            EngineFamily::PostgreSql => "POSTGRESQL",
            EngineFamily::MySql => "MYSQL",
        }
    }
}

pub(crate) struct Proxy {
    /// AWS's own, in its ARN.
    pub(crate) id: String,
    pub(crate) family: EngineFamily,
    pub(crate) endpoint: Endpoint,
    pub(crate) target: Option<Target>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) instance: Key,
    pub(crate) state: TargetState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetState {
    Registering,
    Available,
}

impl Inner {
    pub(crate) fn create_proxy(&self, region: &str, name: &str, family: EngineFamily) -> Result<u16, Error> {
        let endpoint = Endpoint::open()?;
        let port = endpoint.port;
        let id = format!("prx-{}", uuid::Uuid::new_v4().simple());
        let mut state = self.lock();
        state.proxies.insert(Key::new(region, name), Proxy { id, family, endpoint, target: None });
        state.apply_network(&self.dark.borrow());
        Ok(port)
    }

    /// From the answer to AVAILABLE a proxy scales and connects.
    pub(crate) fn start_registering(self: &Arc<Self>, proxy: Key, instance: Key) {
        let inner = self.clone();
        self.spawn(async move {
            sleep(inner.timing.registering).await;
            let mut state = inner.lock();
            let Ok(server) = state.get(&instance).map(|instance| instance.server.phase()) else { return };
            let Some(held) = state.proxies.get_mut(&proxy) else { return };
            // It may have been taken out meanwhile.
            if let Some(target) = held.target.as_mut().filter(|target| target.instance == instance) {
                target.state = TargetState::Available;
                held.endpoint.point(Some(server));
            }
        });
    }
}
