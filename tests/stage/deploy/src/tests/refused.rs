//! What is refused before the first call, each with its sentence: nobody listens where these would be deployed.

use rstest::rstest;

use super::*;
use crate::{Capability, DeployError, Stack};

fn stack(template: &str, region: &str, pairs: &[(&str, &str)]) -> Stack {
    Stack {
        name: "shop-stack".to_owned(),
        region: region.to_owned(),
        template: root().join("infra").join(template),
        parameters: parameters(pairs),
        capabilities: [Capability::Iam].into(),
        code: std::sync::Arc::new(|_| PathBuf::from("nowhere/bootstrap")),
    }
}

fn nobody() -> Deployer {
    Deployer::new("http://127.0.0.1:9", ACCOUNT, venv(), root().join("target/deploy-cache"))
}

const SOURCE: &str = "arn:aws:rds:us-east-2:123456789012:db:shop-orders";
const HOSTS: [(&str, &str); 2] = [("PrimaryHost", "a.elb.amazonaws.com"), ("StandbyHost", "b.elb.amazonaws.com")];

#[rstest]
#[case::control("control/template.yaml", EAST, &[("PlanName", "shop"), ("PrimaryRegion", EAST)], "would die with the primary Region")]
#[case::alarms("primary/template.yaml", WEST, &[("PlanName", "shop"), ("StandbyRegion", WEST)], "This is the standby Region, whose alarms infra/control has")]
#[case::global("global/template.yaml", WEST, &[("PlanName", "shop"), ("StandbyRegion", WEST), ("DomainName", "shop.example"), HOSTS[0], HOSTS[1]], "us-east-1 and nowhere else")]
#[case::database("examples/pilot-light/primary.yaml", WEST, &[("Name", "shop"), ("StandbyRegion", WEST)], "primary.yaml is deployed in the other one")]
#[case::replica("examples/pilot-light/standby.yaml", EAST, &[("Name", "shop"), ("PrimaryRegion", EAST), ("SourceDatabaseArn", SOURCE)], "standby.yaml is deployed in the other one")]
#[tokio::test]
async fn in_the_wrong_region(#[case] template: &str, #[case] region: &str, #[case] pairs: &[(&str, &str)], #[case] sentence: &str) {
    let error = nobody().deploy(&stack(template, region, pairs)).await.unwrap_err().to_string();
    assert!(error.contains(sentence), "{error}");
}

#[rstest]
#[case::https("examples/pilot-light/network.yaml", &[("Name", "shop")], "HTTPS needs CertificateArn")]
#[case::endpoints("control/template.yaml", &[("PlanName", "shop"), ("PrimaryRegion", EAST), ("VpcId", "vpc-1")], "give the subnets that it stands in, SubnetIds")]
#[case::groups("control/template.yaml", &[("PlanName", "shop"), ("PrimaryRegion", EAST), ("SubnetIds", "subnet-1")], "SubnetIds needs SecurityGroupIds")]
#[case::hosts("control/template.yaml", &[("PlanName", "shop"), ("PrimaryRegion", EAST), ("LoadBalancer", "app/shop/1")], "LoadBalancer needs TargetGroup")]
#[tokio::test]
async fn with_half_of_what_goes_together(#[case] template: &str, #[case] pairs: &[(&str, &str)], #[case] sentence: &str) {
    let error = nobody().deploy(&stack(template, WEST, pairs)).await.unwrap_err().to_string();
    assert!(error.contains(sentence), "{error}");
}

#[tokio::test]
async fn with_a_zones_own_name_that_is_no_alias() {
    let pairs = [("PlanName", "shop"), ("StandbyRegion", WEST), ("DomainName", "shop.example"), ("UsersName", "shop.example"), HOSTS[0], HOSTS[1]];
    let error = nobody().deploy(&stack("global/template.yaml", "us-east-1", &pairs)).await.unwrap_err().to_string();
    assert!(error.contains("A zone's own name can be no CNAME"), "{error}");
}

#[tokio::test]
async fn without_the_capability() {
    let mut stack = stack("control/template.yaml", WEST, &[("PlanName", "shop"), ("PrimaryRegion", EAST)]);
    stack.capabilities.clear();
    let error = nobody().deploy(&stack).await.unwrap_err().to_string();
    assert!(error.contains("hands out rights") && error.contains("CAPABILITY_IAM"), "{error}");

    stack.capabilities.insert(Capability::Iam);
    let folder = scratch("named");
    stack.template = folder.join("template.yaml");
    stack.parameters.clear();
    std::fs::write(&stack.template, "Resources:\n  R: { Type: AWS::IAM::Role, Properties: { RoleName: mine, AssumeRolePolicyDocument: {} } }\n")
        .unwrap();
    let error = nobody().deploy(&stack).await.unwrap_err().to_string();
    assert!(error.contains("CAPABILITY_NAMED_IAM"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn with_a_name_that_another_plan_has() {
    let emulator = Emulator::moto("taken");
    let deployer = emulator.deployer();
    let network = |stack_name: &str, plan: &str| Stack {
        name: stack_name.to_owned(),
        ..stack("examples/pilot-light/network.yaml", WEST, &[("Name", plan), ("Protocol", "HTTP"), ("Protect", "no")])
    };
    let first = deployer.deploy(&network("first", "shop")).await.unwrap();
    let error = deployer.deploy(&network("second", "shop")).await.unwrap_err();
    assert!(matches!(error, DeployError::Parameters { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("`shop-web`") && said.contains("taken by the stack first") && said.contains("two plans"), "{said}");

    let other = deployer.deploy(&network("second", "books")).await.unwrap();
    assert_ne!(first.outputs["LoadBalancerDns"], other.outputs["LoadBalancerDns"], "two plans stand side by side");
    assert_ne!(first.outputs["VpcId"], other.outputs["VpcId"]);
    let again = deployer.deploy(&network("first", "shop")).await.unwrap();
    assert_eq!(again, first, "a stack has its own names");
    deployer.destroy("second", WEST).await.unwrap();
    deployer.destroy("first", WEST).await.unwrap();
    let vpcs = emulator.aws().service("ec2", WEST).query("2016-11-15", "DescribeVpcs", &[]).await.unwrap();
    assert_eq!(vpcs.matches("<vpcId>").count(), 1, "AWS's own default VPC is left: {vpcs}");
}

#[tokio::test]
async fn what_nobody_exports_is_said() {
    let pairs = [("Name", "shop"), ("Image", "shop")];
    let emulator = Emulator::moto("exports");
    let error = emulator.deployer().deploy(&stack("examples/pilot-light/application.yaml", WEST, &pairs)).await.unwrap_err().to_string();
    assert!(error.contains("no stack of this Region exports `shop-network-"), "{error}");
}
