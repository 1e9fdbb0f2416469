//! What the plan names in the standby Region: whether it is there, may be read, and could be brought to its active size.

use super::finding::Finding;
use super::{Things, clusters, suppose};
use crate::decide::capacity::Refusal;
use crate::look::{ComputeSight, SecretSight};
use crate::plan::{Database, Group, Plan, Secret, Service};
use crate::ports::{CallError, Described, Fetched, Found, GroupName, GroupState, Instance, Proxy, Quota, ServiceName, ServiceState, Stage};

/// The part that `relight plan put` asks too, before a plan is in force.
pub fn things(plan: &Plan, seen: &Things) -> Vec<Finding> {
    let mut findings = compute(plan, &seen.compute);
    findings.extend(replicas(plan, &seen.replicas));
    findings.extend(clusters::there(plan, &seen.aurora));
    findings.extend(proxies(plan, &seen.proxies));
    findings.extend(secrets(plan, &seen.secrets));
    findings.extend(stop(plan, &seen.stop));
    findings
}

pub(super) fn compute(plan: &Plan, seen: &ComputeSight) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in &plan.services {
        match seen.services.get(&ServiceName::of(service)) {
            Some(Ok(Some(state))) => findings.extend(of_service(service, state, seen)),
            Some(Err(error)) => findings.push(Finding::unreadable(service.id().0, error)),
            Some(Ok(None)) | None => findings.push(Finding::NoService { service: ServiceName::of(service) }),
        }
    }
    for group in &plan.groups {
        let name = GroupName(group.name.clone());
        match seen.groups.get(&name) {
            Some(Ok(Some(state))) => findings.extend(of_group(group, state)),
            Some(Err(error)) => findings.push(Finding::unreadable(group.id().0, error)),
            Some(Ok(None)) | None => findings.push(Finding::NoGroup { group: name }),
        }
    }
    findings
}

pub(super) fn replicas(plan: &Plan, seen: &Found<String, Instance>) -> Vec<Finding> {
    let one = |database: &Database| match seen.get(&database.name) {
        Some(Ok(Some(replica))) => of_engine(database, replica),
        Some(Err(error)) => Some(Finding::unreadable(database.id().0, error)),
        Some(Ok(None)) | None => Some(Finding::NoReplica { replica: database.replica.clone(), primary: database.primary.clone() }),
    };
    plan.databases.iter().filter(|database| !database.is_global()).filter_map(one).collect()
}

/// Databases of which nothing tells how far the replica is behind.
pub(super) fn unheard(plan: &Plan) -> Vec<Finding> {
    let unheard = plan.databases.iter().filter(|database| database.is_mysql() && database.heartbeat.is_none());
    unheard.map(|database| Finding::NoHeartbeat { database: database.name.clone(), planned: database.engine.as_str() }).collect()
}

/// An instance that does not say its engine, as an older version recorded it, is taken for the plan's.
fn of_engine(database: &Database, replica: &Instance) -> Option<Finding> {
    let planned = database.engine.as_str();
    let other = !replica.engine.is_empty() && replica.engine != planned;
    other.then(|| Finding::OtherEngine { replica: database.replica.clone(), engine: replica.engine.clone(), planned })
}

/// A proxy is to have no target in peace: it gets the promoted instance as its one.
pub(super) fn proxies(plan: &Plan, seen: &Found<String, Proxy>) -> Vec<Finding> {
    let one = |database: &Database| {
        let proxy = database.proxy.clone()?;
        match seen.get(&database.name) {
            Some(Ok(Some(found))) => match found.targets.first() {
                Some(target) => Some(Finding::ProxyElsewhere { proxy, target: target.instance.clone() }),
                None => (!found.is_available()).then(|| Finding::ProxyNotAvailable { proxy, status: found.status.clone() }),
            },
            Some(Err(error)) => Some(Finding::unreadable(format!("proxy/{proxy}"), error)),
            Some(Ok(None)) => Some(Finding::NoProxy { proxy }),
            // A version before this looks at no proxies.
            None => None,
        }
    };
    plan.databases.iter().filter_map(one).collect()
}

/// What a drill's copy of a replica needs, and has none left of.
pub(super) fn quotas(seen: &Result<Vec<Quota>, CallError>) -> Vec<Finding> {
    let spent = |quota: &&Quota| ["DBInstances", "AllocatedStorage"].contains(&quota.name.as_str()) && quota.used >= quota.max;
    match seen {
        Err(error) => vec![Finding::unreadable("quotas of RDS".to_owned(), error)],
        Ok(quotas) => quotas.iter().filter(spent).map(|quota| Finding::QuotaSpent(quota.clone())).collect(),
    }
}

pub(super) fn secrets(plan: &Plan, seen: &SecretSight) -> Vec<Finding> {
    let one = |secret: &Secret| match seen.secrets.get(&secret.name) {
        Some(Ok(Some(described))) => of_secret(plan, secret, described),
        Some(Err(error)) => vec![Finding::unreadable(secret.id().0, error)],
        Some(Ok(None)) | None => vec![Finding::NoSecret { secret: secret.name.clone() }],
    };
    plan.secrets.iter().flat_map(one).collect()
}

fn of_service(service: &Service, state: &ServiceState, seen: &ComputeSight) -> Vec<Finding> {
    let name = ServiceName::of(service);
    let mut findings: Vec<Finding> = suppose::service(service, state).and_then(refusal).into_iter().collect();
    if let (None, Some(bounds)) = (service.scaling, state.scaling) {
        findings.push(Finding::UnplannedTarget { service: name.clone(), bounds });
    }
    if let Some(setback) = &state.setback {
        findings.push(Finding::NotPlaced { service: name.clone(), setback: setback.clone() });
    }
    if service.capacity_providers.is_empty() {
        return findings;
    }
    match seen.providers.get(&service.cluster) {
        Some(Ok(Some(known))) => {
            let missing = service.capacity_providers.iter().filter(|share| !known.contains(&share.provider));
            findings.extend(missing.map(|share| Finding::NoProvider { service: name.clone(), provider: share.provider.clone() }));
        }
        Some(Err(error)) => findings.push(Finding::unreadable(format!("capacity providers of cluster/{}", service.cluster), error)),
        // A service was just seen in it.
        Some(Ok(None)) | None => {}
    }
    findings
}

fn of_group(group: &Group, state: &GroupState) -> Vec<Finding> {
    suppose::group(group, state).and_then(refusal).into_iter().collect()
}

/// The refusal of a run as what can be done about it in peace.
fn refusal(why: Refusal) -> Option<Finding> {
    Some(match why {
        Refusal::NoService(service) => Finding::NoService { service },
        Refusal::NoGroup(group) => Finding::NoGroup { group },
        Refusal::NoScalableTarget(service) => Finding::NoScalableTarget { service },
        Refusal::DeploymentFailed { service, why } => Finding::DeploymentFailed { service, why },
        Refusal::Suspended { group, processes } => Finding::Suspended { group, processes },
        Refusal::NoMixedInstances(group) => Finding::NoMixedInstances { group },
        // It is about lowering.
        Refusal::StandbyServes => return None,
    })
}

fn of_secret(plan: &Plan, secret: &Secret, described: &Described) -> Vec<Finding> {
    let mut findings = Vec::new();
    if described.replica_of.as_ref() != Some(&plan.primary) {
        let (secret, of) = (secret.name.clone(), described.replica_of.clone());
        findings.push(Finding::NotReplicated { secret, of, primary: plan.primary.clone(), standby: plan.standby.clone() });
    }
    if described.version_at(Stage::Current).is_none() {
        findings.push(Finding::NoCurrentVersion { secret: secret.name.clone() });
    }
    findings
}

/// What a stranger is told of the STOP object. While it is absent S3 answers 403, whether or not it could be read: only a
/// missing bucket, and one that shows what is in it, say something.
pub(super) fn stop(plan: &Plan, stop: &Fetched) -> Option<Finding> {
    let bucket = || plan.traffic.stop_bucket.clone();
    match stop {
        Fetched::Answered { status: 404, body } if body.contains("NoSuchBucket") => Some(Finding::NoBucket { bucket: bucket() }),
        Fetched::Answered { status: 404, .. } => Some(Finding::OpenBucket { bucket: bucket() }),
        Fetched::Answered { status: 200 | 403, .. } => None,
        Fetched::Answered { status, .. } => Some(Finding::stop_unseen(bucket(), format!("it answered {status}"))),
        Fetched::Silent(why) | Fetched::NotAsked(why) => Some(Finding::stop_unseen(bucket(), why.clone())),
    }
}
