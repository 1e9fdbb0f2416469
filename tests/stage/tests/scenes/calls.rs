//! What the router's log must not hold: invariant 1, written down as a function over calls.

use jiff::{SignedDuration, Timestamp};
use relight_stage::{HEALTH, PRIMARY, STANDBY};
use stage_router::{Call, CallVerdict};

/// Every role of the control stack.
const RELIGHT: &str = "shop-relight-";
const REPLICA: &str = "shop-orders-replica";
const SECONDARY: &str = "shop-orders-standby";

/// The SDK's last retry of a heartbeat that a turn in peace began.
const BEGUN_IN_PEACE: SignedDuration = SignedDuration::from_secs(10);

fn is(call: &Call, role: &str) -> bool {
    call.caller.starts_with(&format!("{RELIGHT}{role}Role"))
}

fn said(call: &Call) -> String {
    format!("{} {} called {}:{} in {} on {:?}", call.time, call.caller, call.service, call.operation, call.region, call.resources)
}

/// The calls that a failover forbids. `since` is when the run was opened: until then it is peace, with its heartbeats.
pub(crate) fn forbidden(calls: &[Call], primary: &str, since: Timestamp) -> Vec<String> {
    let relights = calls.iter().filter(|call| call.caller.starts_with(RELIGHT));
    let bad = relights.filter(|call| {
        let fencing =
            is(call, "SwitchTraffic") && call.service == "rds" && matches!(call.operation.as_str(), "DescribeDBInstances" | "ModifyDBInstance");
        let heartbeat = heartbeat(call) && call.time < since + BEGUN_IN_PEACE;
        call.region == HEALTH || (call.region == primary && call.time >= since && !fencing && !heartbeat)
    });
    bad.map(said).collect()
}

/// The calls that a drill forbids.
pub(crate) fn forbidden_in_drill(calls: &[Call], primary: &str) -> Vec<String> {
    let relights = calls.iter().filter(|call| call.caller.starts_with(RELIGHT));
    let bad = relights.filter(|call| {
        let on = |end: &str| call.resources.iter().any(|resource| resource.ends_with(end));
        let reads = ["Describe", "Get", "List", "Head"].iter().any(|read| call.operation.starts_with(read));
        // To copy the replica is to read it.
        let replica = call.service == "rds" && on(&format!(":db:{REPLICA}")) && !reads && call.operation != "CreateDBInstanceReadReplica";
        // To take a snapshot of a secondary is to read it, too; its global cluster is only looked at.
        let secondary = call.service == "rds" && on(&format!(":cluster:{SECONDARY}")) && !reads && call.operation != "CreateDBClusterSnapshot";
        let global = call.service == "rds" && call.resources.iter().any(|resource| resource.contains(":global-cluster:")) && !reads;
        let stop = call.service == "s3" && on("/STOP") && !reads;
        let secret = call.service == "secretsmanager" && call.resources.iter().any(|resource| resource.contains(":secret:shop/")) && !reads;
        call.region == HEALTH || (call.region == primary && !heartbeat(call)) || replica || secondary || global || stop || secret
    });
    bad.map(said).collect()
}

/// The calls that a way home forbids. In the primary Region it may fence, build, promote and write secrets; nothing there is deleted.
pub(crate) fn forbidden_in_failback(calls: &[Call], primary: &str) -> Vec<String> {
    let relights = calls.iter().filter(|call| call.caller.starts_with(RELIGHT));
    let bad = relights.filter(|call| {
        let among = |role: &str, service: &str, operations: &[&str]| {
            is(call, role) && call.service == service && operations.contains(&call.operation.as_str())
        };
        let databases = [
            "DescribeDBInstances",
            "DescribeDBSnapshots",
            "CreateDBSnapshot",
            "ModifyDBInstance",
            "RebootDBInstance",
            "CreateDBInstanceReadReplica",
            "PromoteReadReplica",
            "DescribeDBClusters",
            "DescribeDBClusterSnapshots",
            "CopyDBClusterSnapshot",
        ];
        let secrets = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "ReplicateSecretToRegions"];
        let allowed = among("PromoteReplica", "rds", &databases)
            || among("RotateSecret", "secretsmanager", &secrets)
            || among("SwitchTraffic", "rds", &["DescribeDBInstances", "ModifyDBInstance"])
            || heartbeat(call);
        // Copies of a drill are all that Relight ever deletes.
        let deletes = call.service == "rds" && call.operation.starts_with("Delete");
        call.region == HEALTH || deletes || (call.region == primary && !allowed)
    });
    bad.map(said).collect()
}

fn heartbeat(call: &Call) -> bool {
    is(call, "WatchPrimary") && call.service == "cloudwatch" && call.operation == "PutMetricData"
}

/// Calls that a role may not make, or that the router could not judge: the template's mistake, in any scene.
pub(crate) fn refused_by_iam(calls: &[Call]) -> Vec<String> {
    calls.iter().filter(|call| matches!(call.verdict, CallVerdict::Denied | CallVerdict::Error)).map(said).collect()
}

/// Calls that ask for the promotion of the application's replica.
pub(crate) fn promotions(calls: &[Call]) -> Vec<&Call> {
    promotions_of(calls, STANDBY, REPLICA)
}

/// Calls that ask for the promotion of one instance.
pub(crate) fn promotions_of<'a>(calls: &'a [Call], region: &str, instance: &str) -> Vec<&'a Call> {
    let asks = |call: &&Call| {
        call.service == "rds"
            && call.operation == "PromoteReadReplica"
            && call.region == region
            && call.resources.iter().any(|resource| resource.ends_with(&format!(":db:{instance}")))
    };
    calls.iter().filter(asks).collect()
}

/// A call that never was.
fn injected(role: &str, region: &str, service: &str, operation: &str, resource: &str, time: Timestamp) -> Call {
    Call {
        time,
        caller: format!("{RELIGHT}{role}Role-0123456789ab"),
        function: None,
        region: region.to_owned(),
        service: service.to_owned(),
        operation: operation.to_owned(),
        resources: vec![resource.to_owned()],
        verdict: CallVerdict::Allowed,
        fault: None,
        status: Some(200),
        millis: 1,
    }
}

/// Each list that a scene found clean is asked once more with one forbidden call in it: a rule that finds nothing proves nothing.
pub(crate) fn assert_found_in_failover(calls: &[Call], since: Timestamp) {
    let later = since + SignedDuration::from_secs(5);
    for bad in [
        injected("ScaleUp", PRIMARY, "ecs", "UpdateService", "arn:aws:ecs:us-east-2:123456789012:service/shop/web", later),
        injected("PromoteReplica", PRIMARY, "rds", "DescribeDBInstances", "arn:aws:rds:us-east-2:123456789012:db:shop-orders", later),
        injected("WatchPrimary", PRIMARY, "cloudwatch", "PutMetricData", "*", since + BEGUN_IN_PEACE),
        injected("SwitchTraffic", HEALTH, "route53", "ChangeResourceRecordSets", "*", later),
    ] {
        let mut calls = calls.to_vec();
        calls.push(bad.clone());
        assert_eq!(forbidden(&calls, PRIMARY, since), [said(&bad)]);
    }
}

/// The same for a way home.
pub(crate) fn assert_found_in_failback(calls: &[Call]) {
    let time = Timestamp::now();
    for bad in [
        injected("ScaleUp", PRIMARY, "ecs", "UpdateService", "arn:aws:ecs:us-east-2:123456789012:service/shop/web", time),
        injected("PromoteReplica", PRIMARY, "rds", "DeleteDBInstance", "arn:aws:rds:us-east-2:123456789012:db:shop-orders", time),
        injected("PromoteReplica", STANDBY, "rds", "DeleteDBInstance", "arn:aws:rds:us-west-2:123456789012:db:shop-orders-replica", time),
        injected(
            "RotateSecret",
            PRIMARY,
            "secretsmanager",
            "DeleteSecret",
            "arn:aws:secretsmanager:us-east-2:123456789012:secret:shop/orders/app-a1b2c3",
            time,
        ),
        injected("SwitchTraffic", HEALTH, "route53", "ChangeResourceRecordSets", "*", time),
    ] {
        let mut calls = calls.to_vec();
        calls.push(bad.clone());
        assert_eq!(forbidden_in_failback(&calls, PRIMARY), [said(&bad)]);
    }
}

/// The same for a drill.
pub(crate) fn assert_found_in_drill(calls: &[Call]) {
    let time = Timestamp::now();
    for bad in [
        injected("PromoteReplica", STANDBY, "rds", "PromoteReadReplica", "arn:aws:rds:us-west-2:123456789012:db:shop-orders-replica", time),
        injected("PromoteReplica", STANDBY, "rds", "CreateDBInstance", "arn:aws:rds:us-west-2:123456789012:cluster:shop-orders-standby", time),
        injected("PromoteReplica", STANDBY, "rds", "FailoverGlobalCluster", "arn:aws:rds::123456789012:global-cluster:shop-orders", time),
        injected("SwitchTraffic", STANDBY, "s3", "PutObject", "arn:aws:s3:::shop-relight-stop-123456789012/STOP", time),
        injected(
            "RotateSecret",
            STANDBY,
            "secretsmanager",
            "PutSecretValue",
            "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/orders/app-a1b2c3",
            time,
        ),
        injected("SwitchTraffic", PRIMARY, "rds", "DescribeDBInstances", "arn:aws:rds:us-east-2:123456789012:db:shop-orders", time),
        injected("ScaleUp", HEALTH, "route53", "ListHealthChecks", "*", time),
    ] {
        let mut calls = calls.to_vec();
        calls.push(bad.clone());
        assert_eq!(forbidden_in_drill(&calls, PRIMARY), [said(&bad)]);
    }
}
