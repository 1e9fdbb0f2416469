//! Types that a workload's template has, and mistakes that a template can have.

use std::sync::Arc;

use super::*;
use crate::{Capability, DeployError, Stack};

fn stack(emulator: &Emulator, template: &str) -> Stack {
    Stack {
        name: "workload".to_owned(),
        region: WEST.to_owned(),
        template: emulator.write("template.yaml", template),
        parameters: BTreeMap::new(),
        capabilities: [Capability::Iam].into(),
        code: Arc::new(|_| PathBuf::from("nowhere/bootstrap")),
    }
}

#[tokio::test]
async fn what_moto_plays_is_made_and_goes() {
    let emulator = Emulator::moto("moto");
    let deployer = emulator.deployer();
    let stack = stack(
        &emulator,
        r#"
Resources:
  Template:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateName: workers
      LaunchTemplateData: { ImageId: ami-12c6146b, InstanceType: t3.micro }
  Workers:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties:
      AutoScalingGroupName: workers
      MinSize: "0"
      MaxSize: "2"
      DesiredCapacity: "1"
      AvailabilityZones: [us-west-2a]
      MixedInstancesPolicy:
        InstancesDistribution: { OnDemandBaseCapacity: 0, OnDemandPercentageAboveBaseCapacity: 0 }
        LaunchTemplate:
          LaunchTemplateSpecification: { LaunchTemplateId: !Ref Template, Version: !GetAtt Template.LatestVersionNumber }
          Overrides: [{ InstanceType: t3.micro }, { InstanceType: t3.small }]
      Tags: [{ Key: app, Value: shop, PropagateAtLaunch: true }]
  Table:
    Type: AWS::ApplicationAutoScaling::ScalableTarget
    Properties:
      ServiceNamespace: dynamodb
      ResourceId: table/anything
      ScalableDimension: dynamodb:table:ReadCapacityUnits
      MinCapacity: 1
      MaxCapacity: 4
  Check:
    Type: AWS::Route53::HealthCheck
    Properties:
      HealthCheckConfig: { Type: HTTPS, FullyQualifiedDomainName: shop.example, ResourcePath: /STOP, Inverted: true, FailureThreshold: 3 }
  Both:
    Type: AWS::Route53::HealthCheck
    Properties:
      HealthCheckConfig: { Type: CALCULATED, HealthThreshold: 1, ChildHealthChecks: [!Ref Check] }
  Zone:
    Type: AWS::Route53::HostedZone
    Properties: { Name: shop.example }
  Records:
    Type: AWS::Route53::RecordSetGroup
    Properties:
      HostedZoneId: !Ref Zone
      RecordSets:
        - { Name: www.shop.example, Type: CNAME, SetIdentifier: first, Failover: PRIMARY, TTL: "60", ResourceRecords: [a.example], HealthCheckId: !Ref Both }
        - { Name: www.shop.example, Type: CNAME, SetIdentifier: second, Failover: SECONDARY, TTL: "60", ResourceRecords: [b.example] }
Outputs:
  Zone: { Value: !Ref Zone }
"#,
    );
    let deployed = deployer.deploy(&stack).await.unwrap();
    let aws = emulator.aws();
    let groups = aws.service("autoscaling", WEST).query("2011-01-01", "DescribeAutoScalingGroups", &[]).await.unwrap();
    for part in ["<DesiredCapacity>1</DesiredCapacity>", "<OnDemandPercentageAboveBaseCapacity>0<", "<InstanceType>t3.small<", "<Key>app</Key>"] {
        assert!(groups.contains(part), "{part} in {groups}");
    }
    let route53 = aws.service("route53", "us-east-1");
    let records = format!("/2013-04-01/hostedzone/{}/rrset", deployed.outputs["Zone"]);
    let records = route53.rest("List", http::Method::GET, &records, String::new()).await.unwrap();
    assert!(records.contains("<Failover>SECONDARY</Failover>") && records.contains(&deployed.resources["Both"].id), "{records}");
    let checks = route53.rest("List", http::Method::GET, "/2013-04-01/healthcheck", String::new()).await.unwrap();
    assert!(checks.contains(&format!("<ChildHealthCheck>{}</ChildHealthCheck>", deployed.resources["Check"].id)), "{checks}");
    deployer.destroy("workload", WEST).await.unwrap();
    let checks = route53.rest("List", http::Method::GET, "/2013-04-01/healthcheck", String::new()).await.unwrap();
    assert!(!checks.contains("<HealthCheckConfig>"), "{checks}");
}

#[tokio::test]
async fn what_ministack_plays_is_made_and_what_left_the_template_goes() {
    let emulator = Emulator::ministack("ministack");
    let deployer = emulator.deployer();
    let template = r#"
Resources:
  Cluster:
    Type: AWS::ECS::Cluster
    Properties: { ClusterName: shop, CapacityProviders: [FARGATE, FARGATE_SPOT] }
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: web
      RequiresCompatibilities: [FARGATE]
      NetworkMode: awsvpc
      Cpu: "256"
      Memory: "512"
      ContainerDefinitions:
        - { Name: web, Image: shop, Environment: [{ Name: REGION, Value: !Ref AWS::Region }] }
  Service:
    Type: AWS::ECS::Service
    Properties:
      Cluster: !Ref Cluster
      ServiceName: web
      TaskDefinition: !Ref Task
      DesiredCount: 0
      CapacityProviderStrategy: [{ CapacityProvider: FARGATE_SPOT, Weight: 1 }]
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties:
      Name: shop/orders/app
      GenerateSecretString: { SecretStringTemplate: '{"username":"app"}', GenerateStringKey: password, PasswordLength: 20, ExcludePunctuation: true }
      ReplicaRegions: [{ Region: us-east-2 }]
  Topic:
    Type: AWS::SNS::Topic
  Queue:
    Type: AWS::SQS::Queue
  Policy:
    Type: AWS::SNS::TopicPolicy
    Properties:
      Topics: [!Ref Topic]
      PolicyDocument: { Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: "*", Action: "sns:Publish", Resource: !Ref Topic }] }
  Down:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: down
      Namespace: Shop
      MetricName: Errors
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanThreshold
      AlarmActions: [!Ref Topic]
  Any:
    Type: AWS::CloudWatch::CompositeAlarm
    Properties:
      AlarmName: any
      AlarmRule: !Sub ALARM("${Down}")
      AlarmActions: [!Ref Topic]
  Nightly:
    Type: AWS::Events::Rule
    Properties:
      Name: nightly
      ScheduleExpression: rate(1 day)
      State: DISABLED
      Targets: [{ Id: queue, Arn: !GetAtt Queue.Arn }]
"#;
    let deployed = deployer.deploy(&stack(&emulator, template)).await.unwrap();
    let aws = emulator.aws();
    let services = serde_json::json!({"cluster": "shop", "services": ["web"]});
    let ecs = aws.service("ecs", WEST);
    let services = ecs.json("AmazonEC2ContainerServiceV20141113", "DescribeServices", &services).await.unwrap();
    assert_eq!(services["services"][0]["capacityProviderStrategy"][0]["capacityProvider"], "FARGATE_SPOT", "{services}");
    assert_eq!(services["services"][0]["taskDefinition"], deployed.resources["Task"].id);
    let value = serde_json::json!({"SecretId": "shop/orders/app"});
    let copy = aws.service("secretsmanager", EAST).json("secretsmanager", "GetSecretValue", &value).await.unwrap();
    let value: Value = serde_json::from_str(copy["SecretString"].as_str().unwrap()).unwrap();
    assert_eq!((value["username"].as_str(), value["password"].as_str().map(str::len)), (Some("app"), Some(20)));
    let composite = [("AlarmTypes.member.1".to_owned(), "CompositeAlarm".to_owned())];
    let alarms = aws.service("monitoring", WEST).query("2010-08-01", "DescribeAlarms", &composite).await.unwrap();
    assert!(alarms.contains("ALARM(&quot;down&quot;)") || alarms.contains("ALARM(\"down\")"), "{alarms}");

    let fewer = template.split("  Nightly:").next().unwrap();
    let deployed = deployer.deploy(&stack(&emulator, fewer)).await.unwrap();
    assert!(!deployed.resources.contains_key("Nightly"));
    let rules = aws.service("events", WEST).json("AWSEvents", "ListRules", &serde_json::json!({})).await.unwrap();
    assert_eq!(rules["Rules"].as_array().map(Vec::len), Some(0), "{rules}");
}

#[tokio::test]
async fn a_mistake_names_the_resource_and_what_was_made_before_it_goes_again() {
    let emulator = Emulator::ministack("mistakes");
    let deployer = emulator.deployer();
    let failure = async |template: &str| match deployer.deploy(&stack(&emulator, template)).await {
        Err(error @ (DeployError::Resource { .. } | DeployError::Template { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let first = "Resources:\n  First: { Type: AWS::SNS::Topic, Properties: { TopicName: first } }\n";
    let unknown = failure(&format!("{first}  Odd: {{ Type: AWS::Neptune::DBCluster, DependsOn: First }}\n")).await;
    assert!(unknown.contains("`Odd`") && unknown.contains("does not know the type AWS::Neptune::DBCluster"), "{unknown}");
    let unused = failure(&format!("{first}  Odd: {{ Type: AWS::S3::Bucket, Properties: {{ WebsiteConfiguration: {{}} }} }}\n")).await;
    assert!(unused.contains("does not use the property WebsiteConfiguration"), "{unused}");
    let circle = failure("Resources:\n  A: { Type: AWS::SNS::Topic, DependsOn: B }\n  B: { Type: AWS::SNS::Topic, DependsOn: A }\n").await;
    assert!(circle.contains("A, B need one another"), "{circle}");
    let code = failure(
        "Resources:\n  F: { Type: AWS::Lambda::Function, Properties: { Role: r, Runtime: provided.al2023, Code: { S3Bucket: b, S3Key: k } } }\n",
    )
    .await;
    assert!(code.contains("build the functions first"), "{code}");
    deployer.destroy("workload", WEST).await.unwrap();
    let topics = emulator.aws().service("sns", WEST).query("2010-03-31", "ListTopics", &[]).await.unwrap();
    assert!(!topics.contains("first"), "{topics}");
}
