//! Compute: what is there and what is not, up to active size and back to the baseline exactly.

use relight::plan::{Bounds, InstancesDistribution, Plan, ProviderShare};
use relight::ports::{CallError, Compute, GroupName, GroupState, Resize, ServiceName, ServiceState};

use super::eventually;

async fn service<C: Compute>(compute: &C, name: &ServiceName) -> Option<ServiceState> {
    let mut found = compute.services(std::slice::from_ref(name)).await;
    found.remove(name).expect("an answer for what was asked").expect("a look")
}

async fn group<C: Compute>(compute: &C, name: &GroupName) -> Option<GroupState> {
    let mut found = compute.groups(std::slice::from_ref(name)).await;
    found.remove(name).expect("an answer for what was asked").expect("a look")
}

#[track_caller]
fn stays(refused: Result<(), CallError>) {
    let error = refused.expect_err("it must be refused");
    assert!(!error.passes(), "it would be tried again for ever: {error}");
}

pub(crate) async fn compute<C: Compute>(compute: &C, plan: &Plan) {
    let web = ServiceName::of(&plan.services[0]);
    let workers = GroupName(plan.groups[0].name.clone());
    what_is_missing(compute, &web).await;

    let (service_before, group_before) =
        (service(compute, &web).await.expect("the service is there"), group(compute, &workers).await.expect("the group is there"));
    assert!(service_before.is_steady(), "{service_before:?}");
    assert_eq!((service_before.desired, service_before.scaling), (1, Some(Bounds { min: 1, max: 2 })));
    let spot = [ProviderShare { provider: "FARGATE_SPOT".to_owned(), weight: 1, base: 0 }];
    assert!(service_before.has_strategy(&spot), "{service_before:?}");
    assert_eq!(group_before.instances, Some(InstancesDistribution { on_demand_base: 0, on_demand_percentage_above_base: 0 }));
    assert_eq!(compute.failed_launch(&workers).await.expect("a look"), None);

    let providers = compute.capacity_providers(&web.cluster).await.expect("a look").expect("the cluster is there");
    assert!(["FARGATE", "FARGATE_SPOT"].iter().all(|name| providers.contains(*name)), "{providers:?}");
    assert_eq!(compute.capacity_providers("nowhere").await.expect("a look"), None);

    // Two looks in one: each answers for itself.
    let nobody = ServiceName { cluster: web.cluster.clone(), name: "nobody".to_owned() };
    let found = compute.services(&[web.clone(), nobody.clone()]).await;
    assert!(matches!((&found[&web], &found[&nobody]), (Ok(Some(_)), Ok(None))), "{found:?}");

    let on_demand = vec![ProviderShare { provider: "FARGATE".to_owned(), weight: 1, base: 0 }];
    let instances = Some(InstancesDistribution { on_demand_base: 1, on_demand_percentage_above_base: 100 });
    let up = [
        Resize::Bounds { service: web.clone(), bounds: Bounds { min: 4, max: 8 } },
        Resize::Service { service: web.clone(), desired: Some(4), capacity_providers: Some(on_demand.clone()) },
        Resize::Group { group: workers.clone(), min: 2, desired: 3, max: 4, instances },
    ];
    // Sent twice it is the same.
    for resize in up.iter().chain(&up) {
        compute.resize(resize).await.expect("taken");
    }
    eventually("the service at its active size", async || {
        let state = service(compute, &web).await.expect("there");
        let up = state.is_steady() && state.running == 4 && state.has_strategy(&on_demand) && state.scaling == Some(Bounds { min: 4, max: 8 });
        if up { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    eventually("the group at its active size", async || {
        let state = group(compute, &workers).await.expect("there");
        let up = (state.min, state.desired, state.max, state.instances, state.in_service) == (2, 3, 4, instances, 3);
        if up { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;

    let down = [
        Resize::Bounds { service: web.clone(), bounds: Bounds { min: 1, max: 2 } },
        Resize::Service { service: web.clone(), desired: Some(1), capacity_providers: Some(spot.to_vec()) },
        Resize::Group {
            group: workers.clone(),
            min: group_before.min,
            desired: group_before.desired,
            max: group_before.max,
            instances: group_before.instances,
        },
    ];
    for resize in &down {
        compute.resize(resize).await.expect("taken");
    }
    eventually("both as they were", async || {
        let (service, group) = (service(compute, &web).await.expect("there"), group(compute, &workers).await.expect("there"));
        // What AWS told of the past may be told for a while.
        let service = ServiceState { setback: service_before.setback.clone(), rollout: service_before.rollout.clone(), ..service };
        if (&service, &group) == (&service_before, &group_before) { Ok(()) } else { Err(format!("{service:?} {group:?}")) }
    })
    .await;
}

async fn what_is_missing<C: Compute>(compute: &C, web: &ServiceName) {
    let nobody = ServiceName { cluster: web.cluster.clone(), name: "nobody".to_owned() };
    let nowhere = ServiceName { cluster: "nowhere".to_owned(), name: web.name.clone() };
    assert_eq!((service(compute, &nobody).await, service(compute, &nowhere).await), (None, None));
    let none = GroupName("nobody".to_owned());
    assert_eq!(group(compute, &none).await, None);
    stays(compute.resize(&Resize::Service { service: nobody, desired: Some(1), capacity_providers: None }).await);
    stays(compute.resize(&Resize::Group { group: none, min: 1, desired: 1, max: 1, instances: None }).await);
    assert!(compute.services(&[]).await.is_empty() && compute.groups(&[]).await.is_empty());
}
