//! ECS services and their scalable targets.

use serde_json::json;

use super::{adapter, json, sent_for};
use crate::plan::{Bounds, ProviderShare};
use crate::ports::{Compute, Resize, Rollout, ServiceName, Why};

const NONE: &str = r#"{"ScalableTargets":[]}"#;

fn web() -> ServiceName {
    ServiceName { cluster: "shop".to_owned(), name: "web".to_owned() }
}

/// As DescribeServices answers for a service in the middle of a deployment that lacks capacity.
fn rolling() -> serde_json::Value {
    json!({
        "serviceArn": "arn:aws:ecs:us-west-2:123456789012:service/shop/web",
        "serviceName": "web",
        "clusterArn": "arn:aws:ecs:us-west-2:123456789012:cluster/shop",
        "status": "ACTIVE",
        "desiredCount": 4, "runningCount": 2, "pendingCount": 1,
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1, "base": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 3, "base": 0}],
        "deployments": [
            {"id": "ecs-svc/2", "status": "PRIMARY", "desiredCount": 4, "runningCount": 1, "pendingCount": 1, "rolloutState": "IN_PROGRESS",
             "rolloutStateReason": "ECS deployment ecs-svc/2 in progress."},
            {"id": "ecs-svc/1", "status": "ACTIVE", "desiredCount": 1, "runningCount": 1, "pendingCount": 0, "rolloutState": "COMPLETED"}
        ],
        "events": [
            {"id": "c", "createdAt": 1767571560.123, "message": "(service web) has started 1 tasks: (task 1a2b)."},
            {"id": "b", "createdAt": 1767571530.5, "message": "(service web) was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a different availability zone."},
            {"id": "a", "createdAt": 1767571500.0, "message": "(service web) has reached a steady state."}
        ]
    })
}

fn answer_with(services: serde_json::Value, targets: &'static str) -> impl Fn(&str, &str) -> (u16, String) {
    move |operation, _| match operation {
        "DescribeServices" => (200, json!({"services": services, "failures": []}).to_string()),
        "DescribeScalableTargets" => (200, targets.to_owned()),
        _ => (200, "{}".to_owned()),
    }
}

#[tokio::test]
async fn a_service_is_read_with_its_bounds_its_deployments_and_why_a_task_found_no_place() {
    let targets = r#"{"ScalableTargets":[{"ServiceNamespace":"ecs","ResourceId":"service/shop/web","ScalableDimension":"ecs:service:DesiredCount","MinCapacity":1,"MaxCapacity":12,"RoleARN":"arn:aws:iam::123456789012:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService","CreationTime":1767000000.0}]}"#;
    let (compute, sent) = adapter(answer_with(json!([rolling()]), targets));
    let found = compute.services(&[web()]).await.remove(&web()).expect("asked").expect("answered").expect("there");
    assert_eq!((found.desired, found.running, found.pending, found.deployments), (4, 2, 1, 2));
    assert_eq!((found.rollout.clone(), found.scaling), (Rollout::InProgress, Some(Bounds { min: 1, max: 12 })));
    let share = |provider: &str, weight, base| ProviderShare { provider: provider.to_owned(), weight, base };
    assert!(found.has_strategy(&[share("FARGATE_SPOT", 3, 0), share("FARGATE", 1, 1)]), "in any order");
    let setback = found.setback.expect("an event tells of it");
    assert!(setback.said.contains("Capacity is unavailable"));
    assert_eq!(setback.at, "2026-01-05T00:05:30.5Z".parse().expect("a time"));

    let asked = json(&sent_for(&sent, "DescribeScalableTargets")[0]);
    assert_eq!((&asked["ServiceNamespace"], &asked["ResourceIds"][0]), (&json!("ecs"), &json!("service/shop/web")));
}

#[tokio::test]
async fn a_steady_state_ends_an_older_setback() {
    let mut service = rolling();
    let steady = json!({"id": "d", "createdAt": 1767571600.0, "message": "(service web) has reached a steady state."});
    service["events"].as_array_mut().expect("events").insert(0, steady);
    let (compute, _) = adapter(answer_with(json!([service]), NONE));
    let found = compute.services(&[web()]).await.remove(&web()).expect("asked").expect("answered").expect("there");
    assert_eq!(found.setback, None);
}

#[tokio::test]
async fn a_failed_rollout_says_why() {
    let mut service = rolling();
    service["deployments"][0]["rolloutState"] = json!("FAILED");
    service["deployments"][0]["rolloutStateReason"] = json!("ECS deployment circuit breaker: tasks failed to start.");
    let (compute, _) = adapter(answer_with(json!([service]), NONE));
    let found = compute.services(&[web()]).await.remove(&web()).expect("asked").expect("answered").expect("there");
    assert_eq!(found.rollout, Rollout::Failed("ECS deployment circuit breaker: tasks failed to start.".to_owned()));
}

#[tokio::test]
async fn a_service_that_is_missing_or_deleted_is_not_there() {
    let mut deleted = rolling();
    deleted["status"] = json!("INACTIVE");
    let answers = [
        r#"{"services":[],"failures":[{"arn":"arn:aws:ecs:us-west-2:123456789012:service/shop/web","reason":"MISSING"}]}"#.to_owned(),
        json!({"services": [deleted], "failures": []}).to_string(),
    ];
    for answer in answers {
        let (compute, _) = adapter(move |operation, _| (200, if operation == "DescribeServices" { answer.clone() } else { NONE.to_owned() }));
        assert!(compute.services(&[web()]).await[&web()].as_ref().expect("answered").is_none());
    }
    let no_cluster = r#"{"__type":"ClusterNotFoundException","message":"Cluster not found."}"#;
    let (compute, _) =
        adapter(move |operation, _| if operation == "DescribeServices" { (400, no_cluster.to_owned()) } else { (200, NONE.to_owned()) });
    assert!(compute.services(&[web()]).await[&web()].as_ref().expect("answered").is_none());
}

#[tokio::test]
async fn twenty_three_services_of_two_clusters_are_asked_for_in_batches_of_ten() {
    let service = |cluster: &str, index: usize| ServiceName { cluster: cluster.to_owned(), name: format!("s{index}") };
    let names: Vec<ServiceName> = (0..21).map(|index| service("shop", index)).chain((0..2).map(|index| service("blog", index))).collect();
    let (compute, sent) = adapter(answer_with(json!([]), NONE));
    assert_eq!(compute.services(&names).await.len(), 23);
    let mut sizes: Vec<usize> =
        sent_for(&sent, "DescribeServices").iter().map(|body| json(body)["services"].as_array().expect("names").len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 10, 10]);
}

#[tokio::test]
async fn a_cluster_that_is_denied_does_not_hide_another() {
    let (compute, _) = adapter(|operation, body| {
        match operation {
        "DescribeServices" if body.contains("\"secret\"") => (
            400,
            r#"{"__type":"AccessDeniedException","message":"User: arn:aws:sts::123456789012:assumed-role/scale-up is not authorized to perform: ecs:DescribeServices"}"#.to_owned(),
        ),
        "DescribeServices" => (200, json!({"services": [rolling()], "failures": []}).to_string()),
        _ => (200, NONE.to_owned()),
    }
    });
    let hidden = ServiceName { cluster: "secret".to_owned(), name: "web".to_owned() };
    let found = compute.services(&[web(), hidden.clone()]).await;
    assert!(found[&web()].as_ref().expect("answered").is_some());
    let denied = found[&hidden].as_ref().expect_err("denied");
    assert!(matches!(&denied.why, Why::Denied(said) if said.contains("ecs:DescribeServices")), "{denied}");
}

#[tokio::test]
async fn a_service_whose_bounds_cannot_be_read_is_unknown() {
    let (compute, _) = adapter(|operation, _| match operation {
        "DescribeServices" => (200, json!({"services": [rolling()], "failures": []}).to_string()),
        _ => (400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#.to_owned()),
    });
    let found = compute.services(&[web()]).await;
    assert!(matches!(found[&web()].as_ref().expect_err("unknown").why, Why::Throttled));
}

#[tokio::test]
async fn a_count_alone_forces_no_deployment_and_a_strategy_always_does() {
    let (compute, sent) = adapter(|_, _| (200, r#"{"service":{"serviceName":"web"}}"#.to_owned()));
    let strategy = vec![ProviderShare { provider: "FARGATE".to_owned(), weight: 1, base: 1 }];
    for (desired, capacity_providers) in [(Some(4), None), (None, Some(strategy)), (Some(1), Some(Vec::new()))] {
        compute.resize(&Resize::Service { service: web(), desired, capacity_providers }).await.expect("taken");
    }
    let asked: Vec<serde_json::Value> = sent_for(&sent, "UpdateService").iter().map(|body| json(body)).collect();
    assert_eq!(asked[0], json!({"cluster": "shop", "service": "web", "desiredCount": 4}));
    let share = json!([{"capacityProvider": "FARGATE", "weight": 1, "base": 1}]);
    assert_eq!(asked[1], json!({"cluster": "shop", "service": "web", "capacityProviderStrategy": share, "forceNewDeployment": true}));
    let launch_type = json!({"cluster": "shop", "service": "web", "desiredCount": 1, "capacityProviderStrategy": [], "forceNewDeployment": true});
    assert_eq!(asked[2], launch_type, "an empty list goes back to the launch type");
}

#[tokio::test]
async fn bounds_are_registered_both_at_once() {
    let (compute, sent) = adapter(|_, _| (200, "{}".to_owned()));
    compute.resize(&Resize::Bounds { service: web(), bounds: Bounds { min: 0, max: 2 } }).await.expect("taken");
    assert_eq!(
        json(&sent_for(&sent, "RegisterScalableTarget")[0]),
        json!({"ServiceNamespace": "ecs", "ResourceId": "service/shop/web", "ScalableDimension": "ecs:service:DesiredCount", "MinCapacity": 0, "MaxCapacity": 2})
    );
}

#[tokio::test]
async fn an_update_that_ecs_refuses_says_what_it_said() {
    let (compute, _) = adapter(|_, _| (400, r#"{"__type":"ServiceNotActiveException","message":"Service was not ACTIVE."}"#.to_owned()));
    let refused = compute.resize(&Resize::Service { service: web(), desired: Some(4), capacity_providers: None }).await.expect_err("refused");
    assert!(refused.passes() && refused.to_string().contains("ecs:UpdateService"), "{refused}");

    let (compute, _) = adapter(|_, _| (500, r#"{"__type":"ServerException","message":"Service Unavailable. Please try again later."}"#.to_owned()));
    let silent = compute.resize(&Resize::Service { service: web(), desired: Some(4), capacity_providers: None }).await.expect_err("silent");
    assert!(matches!(silent.why, Why::Unanswered(_)), "{silent}");
}

#[tokio::test]
async fn a_cluster_tells_its_capacity_providers_and_one_that_is_gone_has_none() {
    let cluster = |name: &str, status: &str| json!({"clusterName": name, "status": status, "capacityProviders": ["FARGATE", "workers"]});
    let (compute, sent) = adapter(move |_, body| {
        let name = json(body)["clusters"][0].as_str().unwrap_or_default().to_owned();
        let answer = match name.as_str() {
            "shop" => json!({"clusters": [cluster("shop", "ACTIVE")], "failures": []}),
            "old" => json!({"clusters": [cluster("old", "INACTIVE")], "failures": []}),
            other => json!({"clusters": [], "failures": [{"arn": other, "reason": "MISSING"}]}),
        };
        (200, answer.to_string())
    });
    let found = compute.capacity_providers("shop").await.expect("a look").expect("there");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["FARGATE", "workers"]);
    assert_eq!(compute.capacity_providers("old").await.expect("a look"), None);
    assert_eq!(compute.capacity_providers("nowhere").await.expect("a look"), None);
    assert_eq!(sent_for(&sent, "DescribeClusters").len(), 3);

    let (compute, _) = adapter(|_, _| (400, r#"{"__type":"AccessDeniedException","message":"not authorized"}"#.to_owned()));
    let denied = compute.capacity_providers("shop").await.expect_err("denied");
    assert!(matches!(denied.why, Why::Denied(_)) && denied.operation == "ecs:DescribeClusters", "{denied}");
}
