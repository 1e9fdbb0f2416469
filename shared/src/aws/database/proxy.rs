//! RDS Proxy: its one target, registered and taken out again.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{DbProxyTarget, TargetHealthReason};

use crate::aws::failed;
use crate::ports::{CallError, Proxy, ProxyId, ProxyTarget, ReplicaId, Why};
use crate::state::Endpoint;

const DESCRIBE: &str = "rds:DescribeDBProxies";
const TARGETS: &str = "rds:DescribeDBProxyTargets";
const REGISTER: &str = "rds:RegisterDBProxyTargets";
const DEREGISTER: &str = "rds:DeregisterDBProxyTargets";
/// A proxy of PostgreSQL listens there, and its description says no port.
const POSTGRES_PORT: u16 = 5432;

pub(super) async fn describe(rds: &Client, proxy: &ProxyId) -> Result<Option<Proxy>, CallError> {
    let found = match rds.describe_db_proxies().db_proxy_name(proxy.as_str()).send().await.map_err(failed(DESCRIBE)) {
        Ok(answer) => answer.db_proxies.unwrap_or_default().into_iter().next(),
        Err(CallError { why: Why::NotFound(_), .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(found) = found else { return Ok(None) };
    let targets = rds.describe_db_proxy_targets().db_proxy_name(proxy.as_str()).send().await.map_err(failed(TARGETS))?;
    Ok(Some(Proxy {
        status: found.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        endpoint: found.endpoint().and_then(endpoint),
        targets: targets.targets.unwrap_or_default().iter().map(target).collect(),
    }))
}

/// One that is registered already is what an unanswered call of ours did.
pub(super) async fn register(rds: &Client, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
    let call = rds.register_db_proxy_targets().db_proxy_name(proxy.as_str()).db_instance_identifiers(replica.as_str());
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_db_proxy_target_already_registered_fault()) => Ok(()),
        Err(error) => Err(failed(REGISTER)(error)),
    }
}

/// What is not there is not registered either.
pub(super) async fn deregister(rds: &Client, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
    let call = rds.deregister_db_proxy_targets().db_proxy_name(proxy.as_str()).db_instance_identifiers(replica.as_str());
    match call.send().await.map_err(failed(DEREGISTER)) {
        Ok(_) | Err(CallError { why: Why::NotFound(_), .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn endpoint(text: &str) -> Option<Endpoint> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, POSTGRES_PORT),
    };
    (!host.is_empty()).then(|| Endpoint { host: host.to_owned(), port })
}

fn target(from: &DbProxyTarget) -> ProxyTarget {
    let health = from.target_health();
    let reason = health.and_then(|health| health.reason()).map(TargetHealthReason::as_str);
    let said = [reason, health.and_then(|health| health.description())];
    ProxyTarget {
        instance: from.rds_resource_id().unwrap_or_default().to_owned(),
        state: health.and_then(|health| health.state()).map(|state| state.as_str().to_owned()).unwrap_or_default(),
        why: said.into_iter().flatten().collect::<Vec<_>>().join(": "),
    }
}
