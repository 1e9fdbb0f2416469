//! The example's network, and the control stack within it.

use std::sync::Arc;

use super::*;
use crate::{Capability, Stack};

/// A router before both emulators, as on the stage.
async fn behind_router(test: &str) -> (stage_router::Router, Emulator, Emulator) {
    let (ministack, name) = (free_address(), format!("{test}-ministack"));
    let moto = Emulator::moto(&format!("{test}-moto"));
    let settings = stage_router::Settings {
        account: ACCOUNT.to_owned(),
        ministack,
        moto: moto.address,
        rds: ministack,
        log_file: scratch(&name).join("calls.jsonl"),
        rate_factor: 1.0,
    };
    let router = stage_router::Router::start(settings).await.unwrap();
    let ministack = Emulator::ministack_behind(&name, ministack, router.url());
    (router, ministack, moto)
}

fn stack(template: &str, name: &str, bootstrap: &Path, pairs: &[(&str, &str)]) -> Stack {
    let bootstrap = bootstrap.to_owned();
    Stack {
        name: name.to_owned(),
        region: WEST.to_owned(),
        template: root().join("infra").join(template),
        parameters: parameters(pairs),
        capabilities: [Capability::Iam].into(),
        code: Arc::new(move |_| bootstrap.clone()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_secret_stands_in_the_examples_network_with_endpoints_for_what_it_calls() {
    let (router, ministack, _moto) = behind_router("network").await;
    let deployer = Deployer::new(router.url(), ACCOUNT, venv(), root().join("target/deploy-cache"));
    let nothing = Path::new("nowhere/bootstrap");
    let network = stack("examples/pilot-light/network.yaml", "shop-network", nothing, &[("Name", "shop"), ("Protocol", "HTTP"), ("Protect", "no")]);
    let network = deployer.deploy(&network).await.unwrap();
    let aws = Aws::new(router.url());
    let ec2 = aws.service("ec2", WEST);

    let group = [("GroupId.1".to_owned(), network.outputs["QuarantineGroupId"].clone())];
    let quarantine = ec2.query("2016-11-15", "DescribeSecurityGroups", &group).await.unwrap();
    assert!(!quarantine.contains("0.0.0.0/0") && quarantine.contains("127.0.0.1/32"), "nothing comes in, nothing leaves: {quarantine}");

    let (vpc, subnets) = (&network.outputs["VpcId"], &network.outputs["PrivateSubnets"]);
    let routes = &network.resources["PrivateRoutes"].id;
    let pairs = [
        ("PlanName", "shop"),
        ("PrimaryRegion", EAST),
        ("Architecture", "x86_64"),
        ("VpcId", vpc.as_str()),
        ("SubnetIds", subnets.as_str()),
        ("SecurityGroupIds", network.outputs["FunctionsGroupId"].as_str()),
        ("RouteTableIds", routes.as_str()),
        ("LoadBalancer", network.outputs["LoadBalancerName"].as_str()),
        ("TargetGroup", network.outputs["TargetGroupName"].as_str()),
    ];
    let bootstrap = ministack.bootstrap("first");
    let control = deployer.deploy(&stack("control/template.yaml", "shop-relight", &bootstrap, &pairs)).await.unwrap();
    let endpoints = ec2.query("2016-11-15", "DescribeVpcEndpoints", &[]).await.unwrap();
    for service in ["secretsmanager", "sns", "rds", "dynamodb", "s3"] {
        assert!(endpoints.contains(&format!("<serviceName>com.amazonaws.{WEST}.{service}</serviceName>")), "{service}: {endpoints}");
    }
    let path = "/2015-03-31/functions/shop-relight-rotate-secret/configuration";
    let function = get(&aws.service("lambda", WEST), path).await;
    assert_eq!(function["VpcConfig"]["SubnetIds"].as_array().map(Vec::len), Some(2), "{function}");
    let name = [("DashboardName".to_owned(), control.resources["Dashboard"].id.clone())];
    let dashboard = aws.service("monitoring", WEST).query("2010-08-01", "GetDashboard", &name).await.unwrap();
    assert!(dashboard.contains("DaysSinceGoodDrill") && dashboard.contains(&network.outputs["LoadBalancerName"]), "{dashboard}");
    assert!(!dashboard.contains("ReplicaLag"), "what no parameter names is left out: {dashboard}");
    router.shutdown();
}
