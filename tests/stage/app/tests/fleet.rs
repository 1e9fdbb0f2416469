//! The fleet: real shops, as many as a control plane of the test wants.

mod support;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use stage_app::{
    balancer::Balancer,
    fleet::{Darkness, Fleet, Region, Settings},
};
use tokio::net::TcpListener;

use support::{environment, eventually};

const REGION: &str = "us-west-2";

/// What ECS and Auto Scaling say.
#[derive(Clone)]
struct Wanted {
    tasks: usize,
    deployment: &'static str,
    instances: Vec<&'static str>,
}

type Control = Arc<Mutex<Wanted>>;

async fn control_plane(wanted: Control) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/", post(answer)).with_state(wanted);
    tokio::spawn(async { axum::serve(listener, app).await });
    endpoint
}

async fn answer(State(wanted): State<Control>, headers: HeaderMap) -> Response {
    let wanted = wanted.lock().unwrap().clone();
    let operation = headers.get("x-amz-target").map(|target| target.to_str().unwrap().rsplit('.').next().unwrap());
    let arn = |kind: &str| format!("arn:aws:ecs:{REGION}:123456789012:{kind}");
    match operation {
        Some("ListClusters") => Json(json!({ "clusterArns": [arn("cluster/web")] })).into_response(),
        Some("ListServices") => Json(json!({ "serviceArns": [arn("service/web/api")] })).into_response(),
        Some("DescribeServices") => Json(json!({ "services": [{
            "serviceName": "api", "status": "ACTIVE", "desiredCount": wanted.tasks,
            "deployments": [{ "id": wanted.deployment, "status": "PRIMARY" }, { "id": "older", "status": "ACTIVE" }],
        }] }))
        .into_response(),
        Some(other) => panic!("unexpected {other}"),
        None => {
            let instance = |id| format!("<member><InstanceId>{id}</InstanceId><LifecycleState>InService</LifecycleState></member>");
            let instances: String = wanted.instances.iter().map(instance).collect();
            format!(
                "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups><member><AutoScalingGroupName>workers</AutoScalingGroupName>\
                 <Instances>{instances}</Instances></member></AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>"
            )
            .into_response()
        }
    }
}

struct Stage {
    fleet: Fleet,
    balancer: Arc<Balancer>,
    control: Control,
    spawned: Arc<Mutex<Vec<u32>>>,
}

async fn stage(tasks: usize, instances: &[&'static str], program: &str) -> Stage {
    let control = Arc::new(Mutex::new(Wanted { tasks, deployment: "one", instances: instances.to_vec() }));
    let endpoint = control_plane(control.clone()).await;
    let balancer = Arc::new(Balancer::start().await.unwrap());
    let spawned = Arc::new(Mutex::new(Vec::new()));
    let hook = spawned.clone();
    let fleet = Fleet::start(Settings {
        endpoint: endpoint.clone(),
        program: PathBuf::from(program),
        regions: vec![Region {
            workload: None,
            name: REGION.to_owned(),
            environment: environment(&endpoint, "30"),
            balancer: balancer.clone(),
            groups_are_targets: false,
        }],
        start_time: Duration::from_millis(20),
        poll: Duration::from_millis(50),
        on_spawn: Arc::new(move |group| hook.lock().unwrap().push(group)),
    });
    Stage { fleet, balancer, control, spawned }
}

impl Stage {
    async fn runs(&self, tasks: usize) {
        eventually(&format!("{tasks} tasks"), async || self.fleet.running(REGION, "web", "api") == tasks && self.alive().len() == tasks).await;
    }

    /// The processes that were started and still are there.
    fn alive(&self) -> BTreeSet<u32> {
        let spawned = self.spawned.lock().unwrap();
        spawned.iter().copied().filter(|id| kill(pid(*id), None).is_ok()).collect()
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap())
}

const SHOP: &str = env!("CARGO_BIN_EXE_shop");

#[tokio::test]
async fn as_many_shops_run_and_serve_as_the_service_wants() {
    let stage = stage(1, &[], SHOP).await;
    stage.runs(1).await;
    stage.control.lock().unwrap().tasks = 3;
    stage.runs(3).await;
    eventually("three healthy targets", async || stage.balancer.healthy().len() == 3).await;
    stage.control.lock().unwrap().tasks = 0;
    stage.runs(0).await;
    assert!(stage.balancer.healthy().is_empty());
    stage.fleet.shutdown().await;
}

#[tokio::test]
async fn process_that_dies_is_replaced_and_all_end_with_the_fleet() {
    let stage = stage(2, &["i-1"], SHOP).await;
    eventually("two tasks and an instance", async || stage.alive().len() == 3).await;
    eventually("the instance", async || stage.fleet.instance_runs(REGION, "workers", "i-1")).await;
    eventually("tasks alone are targets", async || stage.balancer.healthy().len() == 2).await;
    let victim = *stage.alive().first().unwrap();
    kill(pid(victim), Signal::SIGKILL).unwrap();
    eventually("a replacement", async || stage.alive().len() == 3 && !stage.alive().contains(&victim)).await;
    let spawned = stage.spawned.clone();
    stage.fleet.shutdown().await;
    assert_eq!(spawned.lock().unwrap().iter().filter(|id| kill(pid(**id), None).is_ok()).count(), 0);
}

#[tokio::test]
async fn new_deployment_replaces_every_task() {
    let stage = stage(2, &[], SHOP).await;
    stage.runs(2).await;
    let before = stage.alive();
    stage.control.lock().unwrap().deployment = "two";
    eventually("only new tasks", async || stage.alive().len() == 2 && stage.alive().is_disjoint(&before)).await;
    stage.fleet.shutdown().await;
}

#[tokio::test]
async fn dark_region_is_killed_and_comes_back_with_the_light() {
    let stage = stage(2, &[], SHOP).await;
    stage.runs(2).await;
    let before = stage.alive();
    stage.fleet.dark(REGION, Some(Darkness::Kept));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((stage.alive(), stage.fleet.running(REGION, "web", "api")), (before.clone(), 2), "kept processes live on");
    stage.fleet.dark(REGION, Some(Darkness::Killed));
    stage.runs(0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stage.alive().len(), 0, "nothing starts in the dark");
    stage.fleet.dark(REGION, None);
    stage.runs(2).await;
    assert!(stage.alive().is_disjoint(&before));
    stage.fleet.shutdown().await;
}

#[tokio::test]
async fn program_that_is_missing_is_said() {
    let stage = stage(1, &[], "/nonexistent/shop").await;
    eventually("the trouble", async || stage.fleet.trouble(REGION).is_some_and(|trouble| trouble.contains("/nonexistent/shop did not start"))).await;
    stage.fleet.shutdown().await;
}
