//! RDS Proxy: one target, a writer, behind an address of its own.

use super::{Answer, key_of};
use crate::Inner;
use crate::fault::Fault;
use crate::page::Page;
use crate::params::Params;
use crate::proxy::{Target, TargetState};
use crate::state::{Key, Status};
use crate::xml::Xml;
use std::sync::Arc;

pub(super) fn describe(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let wanted = params.take("DBProxyName").map(|name| Key::new(region, &name));
    let _page = Page::from(&mut params)?;
    params.finish()?;
    let state = inner.lock();
    if let Some(key) = wanted.as_ref().filter(|key| !state.proxies.contains_key(key)) {
        return Err(not_found(&key.id));
    }
    let found = state.proxies.iter().filter(|(key, _)| wanted.as_ref().map_or(key.region == region, |wanted| *key == wanted));
    let mut xml = Xml::default();
    xml.list("DBProxies", "member", found, |xml, (key, proxy)| {
        xml.text("DBProxyName", &key.id);
        xml.text("DBProxyArn", format_args!("arn:aws:rds:{region}:{}:db-proxy:{}", inner.account, proxy.id));
        xml.text("Status", "available");
        xml.text("EngineFamily", proxy.family.name());
        // In AWS a host name, and the port is the engine's; here every address is this machine's.
        xml.text("Endpoint", format_args!("127.0.0.1:{}", proxy.endpoint.port));
    });
    Ok(Some(xml))
}

pub(super) fn targets(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = Key::new(region, &params.need("DBProxyName")?);
    group(&mut params)?;
    let _page = Page::from(&mut params)?;
    params.finish()?;
    let state = inner.lock();
    let proxy = state.proxies.get(&key).ok_or_else(|| not_found(&key.id))?;
    let mut xml = Xml::default();
    xml.list("Targets", "member", &proxy.target, write);
    Ok(Some(xml))
}

pub(super) fn register(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = Key::new(region, &params.need("DBProxyName")?);
    group(&mut params)?;
    let names = params.list("DBInstanceIdentifiers");
    params.finish()?;
    let [name] = names.as_slice() else { return Err(Fault::invalid_value("A proxy has exactly one DB instance as its target.")) };
    let instance = key_of(region, name)?;
    let target = {
        let mut state = inner.lock();
        let record = &state.get(&instance)?.record;
        if record.source.is_some() {
            return Err(Fault::invalid_state(format!("DB Instance {name} is a read replica; a proxy is associated with a writer only.")));
        }
        if !matches!(record.status, Status::Available | Status::Modifying | Status::BackingUp) {
            let status = record.status.name().to_uppercase().replace('-', "_");
            return Err(Fault::invalid_state(format!(
                "DB Instance {name} is in an unsupported state - {status}, needs to be in [AVAILABLE, MODIFYING, BACKING_UP]"
            )));
        }
        let proxy = state.proxies.get_mut(&key).ok_or_else(|| not_found(&key.id))?;
        if let Some(target) = &proxy.target {
            let message = format!("DB Instance {} is already associated with the proxy {}.", target.instance.id, key.id);
            return Err(Fault::new(400, "DBProxyTargetAlreadyRegisteredFault", message));
        }
        let target = Target { instance: instance.clone(), state: TargetState::Registering };
        proxy.target = Some(target.clone());
        target
    };
    inner.start_registering(key, instance);
    let mut xml = Xml::default();
    xml.list("DBProxyTargets", "member", [&target], write);
    Ok(Some(xml))
}

pub(super) fn deregister(inner: &Arc<Inner>, region: &str, mut params: Params) -> Answer {
    let key = Key::new(region, &params.need("DBProxyName")?);
    group(&mut params)?;
    let names = params.list("DBInstanceIdentifiers");
    params.finish()?;
    let mut state = inner.lock();
    let proxy = state.proxies.get_mut(&key).ok_or_else(|| not_found(&key.id))?;
    let ours = |target: &Target| names.iter().any(|name| target.instance == Key::new(region, name));
    if !proxy.target.as_ref().is_some_and(ours) {
        return Err(Fault::new(404, "DBProxyTargetNotFoundFault", format!("The proxy {} has no such target.", key.id)));
    }
    proxy.target = None;
    proxy.endpoint.point(None);
    Ok(Some(Xml::default()))
}

/// Each proxy has one, of this name.
fn group(params: &mut Params) -> Result<(), Fault> {
    match params.take("TargetGroupName").as_deref() {
        None | Some("default") => Ok(()),
        Some(other) => Err(Fault::new(404, "DBProxyTargetGroupNotFoundFault", format!("Could not find target group {other}."))),
    }
}

fn write(xml: &mut Xml, target: &Target) {
    xml.text("RdsResourceId", &target.instance.id);
    xml.text("Type", "RDS_INSTANCE");
    xml.text("Role", "READ_WRITE");
    xml.inside("TargetHealth", |xml| match target.state {
        TargetState::Available => xml.text("State", "AVAILABLE"),
        TargetState::Registering => {
            xml.text("State", "REGISTERING");
            xml.text("Reason", "PENDING_PROXY_CAPACITY");
            xml.text("Description", "DBProxy Target is waiting for proxy to scale to desired capacity");
        }
    });
}

fn not_found(name: &str) -> Fault {
    Fault::new(404, "DBProxyNotFoundFault", format!("Could not find proxy {name}."))
}
