//! EC2 Auto Scaling groups.

use super::{adapter, sent_for};
use crate::plan::InstancesDistribution;
use crate::ports::{Compute, GroupName, Resize, Why};

fn workers() -> GroupName {
    GroupName("workers".to_owned())
}

fn listed(groups: &str, next: &str) -> (u16, String) {
    let next = if next.is_empty() { String::new() } else { format!("<NextToken>{next}</NextToken>") };
    (
        200,
        format!(
            r#"<DescribeAutoScalingGroupsResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><DescribeAutoScalingGroupsResult><AutoScalingGroups>{groups}</AutoScalingGroups>{next}</DescribeAutoScalingGroupsResult><ResponseMetadata><RequestId>7c6e177f</RequestId></ResponseMetadata></DescribeAutoScalingGroupsResponse>"#
        ),
    )
}

fn refused(status: u16, code: &str, message: &str) -> (u16, String) {
    (
        status,
        format!(
            r#"<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>7c6e177f</RequestId></ErrorResponse>"#
        ),
    )
}

fn instance(id: &str, lifecycle: &str, weight: &str) -> String {
    let weight = if weight.is_empty() { String::new() } else { format!("<WeightedCapacity>{weight}</WeightedCapacity>") };
    format!(
        "<member><InstanceId>{id}</InstanceId><AvailabilityZone>us-west-2a</AvailabilityZone><LifecycleState>{lifecycle}</LifecycleState><HealthStatus>Healthy</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn>{weight}</member>"
    )
}

const POLICY: &str = "<MixedInstancesPolicy><LaunchTemplate><LaunchTemplateSpecification><LaunchTemplateId>lt-0a1b</LaunchTemplateId><LaunchTemplateName>workers</LaunchTemplateName><Version>$Latest</Version></LaunchTemplateSpecification><Overrides><member><InstanceType>m7g.large</InstanceType></member><member><InstanceType>m6g.large</InstanceType></member></Overrides></LaunchTemplate><InstancesDistribution><OnDemandAllocationStrategy>prioritized</OnDemandAllocationStrategy><OnDemandBaseCapacity>0</OnDemandBaseCapacity><OnDemandPercentageAboveBaseCapacity>0</OnDemandPercentageAboveBaseCapacity><SpotAllocationStrategy>price-capacity-optimized</SpotAllocationStrategy></InstancesDistribution></MixedInstancesPolicy>";

fn group(name: &str, more: &str) -> String {
    format!(
        "<member><AutoScalingGroupName>{name}</AutoScalingGroupName><MinSize>0</MinSize><MaxSize>2</MaxSize><DesiredCapacity>1</DesiredCapacity><DefaultCooldown>300</DefaultCooldown><HealthCheckType>EC2</HealthCheckType><CreatedTime>2026-01-01T00:00:00.000Z</CreatedTime>{more}</member>"
    )
}

#[tokio::test]
async fn a_group_is_read_with_what_is_in_service_and_what_is_suspended() {
    let instances = [instance("i-1", "InService", ""), instance("i-2", "Pending", ""), instance("i-3", "Terminating", "")].concat();
    let suspended = "<SuspendedProcesses><member><ProcessName>AddToLoadBalancer</ProcessName><SuspensionReason>User suspended at 2026-01-01T00:00:00Z</SuspensionReason></member></SuspendedProcesses>";
    let more = format!("{POLICY}<Instances>{instances}</Instances>{suspended}");
    let (compute, _) = adapter(move |_, _| listed(&group("workers", &more), ""));
    let found = compute.groups(&[workers()]).await.remove(&workers()).expect("asked").expect("answered").expect("there");
    assert_eq!((found.min, found.desired, found.max, found.in_service, found.heaviest), (0, 1, 2, 1, 1));
    assert_eq!(found.instances, Some(InstancesDistribution { on_demand_base: 0, on_demand_percentage_above_base: 0 }));
    assert!(found.suspended.contains("AddToLoadBalancer"));
}

#[tokio::test]
async fn weights_count_and_a_group_without_a_policy_has_none() {
    let instances = [instance("i-1", "InService", "2"), instance("i-2", "InService", "4")].concat();
    let (compute, _) = adapter(move |_, _| listed(&group("workers", &format!("<Instances>{instances}</Instances>")), ""));
    let found = compute.groups(&[workers()]).await.remove(&workers()).expect("asked").expect("answered").expect("there");
    assert_eq!((found.in_service, found.heaviest, found.instances), (6, 4, None));
}

#[tokio::test]
async fn every_page_is_read_and_what_is_on_none_is_not_there() {
    let (compute, sent) = adapter(|_, body| match body.contains("NextToken=more") {
        false => listed(&group("workers", ""), "more"),
        true => listed(&[group("batch", ""), group("old", "<Status>Delete in progress</Status>")].concat(), ""),
    });
    let names = ["workers", "batch", "old", "never"].map(|name| GroupName(name.to_owned()));
    let found = compute.groups(&names).await;
    let there: Vec<bool> = names.iter().map(|name| found[name].as_ref().expect("answered").is_some()).collect();
    assert_eq!(there, [true, true, false, false]);
    assert_eq!(sent_for(&sent, "DescribeAutoScalingGroups").len(), 2);
}

#[tokio::test]
async fn sizes_alone_leave_the_policy_alone() {
    let (compute, sent) = adapter(|_, _| (200, "<UpdateAutoScalingGroupResponse/>".to_owned()));
    compute.resize(&Resize::Group { group: workers(), min: 2, desired: 3, max: 6, instances: None }).await.expect("taken");
    let body = sent_for(&sent, "UpdateAutoScalingGroup").remove(0);
    for part in ["AutoScalingGroupName=workers", "MinSize=2", "DesiredCapacity=3", "MaxSize=6"] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(!body.contains("MixedInstancesPolicy"), "{body}");
    assert!(sent_for(&sent, "DescribeAutoScalingGroups").is_empty());
}

#[tokio::test]
async fn a_distribution_is_changed_with_the_rest_of_the_policy_kept() {
    let (compute, sent) = adapter(|operation, _| match operation {
        "DescribeAutoScalingGroups" => listed(&group("workers", POLICY), ""),
        _ => (200, "<UpdateAutoScalingGroupResponse/>".to_owned()),
    });
    let instances = Some(InstancesDistribution { on_demand_base: 1, on_demand_percentage_above_base: 100 });
    compute.resize(&Resize::Group { group: workers(), min: 2, desired: 3, max: 6, instances }).await.expect("taken");
    let body = sent_for(&sent, "UpdateAutoScalingGroup").remove(0);
    for part in [
        "InstancesDistribution.OnDemandBaseCapacity=1",
        "InstancesDistribution.OnDemandPercentageAboveBaseCapacity=100",
        "InstancesDistribution.SpotAllocationStrategy=price-capacity-optimized",
        "LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateId=lt-0a1b",
        "LaunchTemplate.LaunchTemplateSpecification.Version=%24Latest",
        "LaunchTemplate.Overrides.member.2.InstanceType=m6g.large",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(!body.contains("LaunchTemplateName"), "an update takes a template by id or by name, never both: {body}");
}

#[tokio::test]
async fn what_passes_by_itself_is_told_from_what_does_not() {
    let resize = Resize::Group { group: workers(), min: 2, desired: 3, max: 6, instances: None };
    let answers = [
        (refused(400, "ScalingActivityInProgress", "Activity 1a2b is in progress."), true),
        (refused(500, "ResourceContention", "You already have a pending update to this group."), true),
        (refused(400, "InstanceRefreshInProgress", "An Instance Refresh is already in progress."), true),
        (refused(400, "Throttling", "Rate exceeded"), true),
        (
            refused(
                403,
                "AccessDenied",
                "User: arn:aws:sts::123456789012:assumed-role/scale-up is not authorized to perform: autoscaling:UpdateAutoScalingGroup",
            ),
            false,
        ),
        (refused(400, "ValidationError", "AutoScalingGroup name not found - null"), false),
    ];
    for (answer, passes) in answers {
        let said = answer.1.clone();
        let (compute, _) = adapter(move |_, _| answer.clone());
        let error = compute.resize(&resize).await.expect_err("refused");
        assert_eq!(error.passes(), passes, "{said}");
        assert_eq!(said.contains("AccessDenied"), matches!(error.why, Why::Denied(_)), "{said}");
    }
}

fn activities(members: &str) -> (u16, String) {
    (
        200,
        format!(
            r#"<DescribeScalingActivitiesResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><DescribeScalingActivitiesResult><Activities>{members}</Activities></DescribeScalingActivitiesResult></DescribeScalingActivitiesResponse>"#
        ),
    )
}

fn activity(status: &str, said: &str) -> String {
    format!(
        "<member><ActivityId>1a2b</ActivityId><AutoScalingGroupName>workers</AutoScalingGroupName><Description>Launching a new EC2 instance.</Description><Cause>an instance was started</Cause><StartTime>2026-01-05T00:06:00.500Z</StartTime><StatusCode>{status}</StatusCode><StatusMessage>{said}</StatusMessage><Progress>100</Progress></member>"
    )
}

#[tokio::test]
async fn the_last_launch_that_ended_tells_why_instances_are_missing() {
    let lacking =
        "We currently do not have sufficient m7g.large capacity in the Availability Zone you requested (us-west-2a). Launching EC2 instance failed.";
    let members = [activity("PreInService", ""), activity("Failed", lacking), activity("Successful", "")].concat();
    let (compute, _) = adapter(move |_, _| activities(&members));
    let setback = compute.failed_launch(&workers()).await.expect("answered").expect("it failed");
    assert_eq!((setback.said.as_str(), setback.at), (lacking, "2026-01-05T00:06:00.5Z".parse().expect("a time")));

    let members = [activity("Successful", ""), activity("Failed", lacking)].concat();
    let (compute, _) = adapter(move |_, _| activities(&members));
    assert_eq!(compute.failed_launch(&workers()).await.expect("answered"), None);
}
