use super::*;
use crate::request::Protocol;

const EAST: &str = "us-east-2";
const WEST: &str = "us-west-2";

struct Aws {
    secrets: Secrets,
    dark: BTreeSet<String>,
}

impl Aws {
    fn with_secret() -> Self {
        let aws = Self { secrets: Secrets::new("123456789012"), dark: BTreeSet::new() };
        aws.ok(EAST, "CreateSecret", json!({"Name": "db", "SecretString": "one", "ClientRequestToken": id('1')}));
        aws
    }

    fn replicated() -> Self {
        let aws = Self::with_secret();
        aws.ok(EAST, "ReplicateSecretToRegions", json!({"SecretId": "db", "AddReplicaRegions": [{"Region": WEST}]}));
        aws
    }

    fn call(&self, region: &str, operation: &str, params: Value) -> Result<Value, Fault> {
        let call = Parsed {
            access_key: None,
            region: region.to_owned(),
            signing_name: "secretsmanager".to_owned(),
            service: "secretsmanager".to_owned(),
            operation: operation.to_owned(),
            protocol: Protocol::Json,
            params,
        };
        self.secrets.handle(&call, &self.dark).expect("an operation of the store")
    }

    fn ok(&self, region: &str, operation: &str, params: Value) -> Value {
        self.call(region, operation, params).unwrap()
    }

    fn value(&self, region: &str) -> String {
        self.ok(region, "GetSecretValue", json!({"SecretId": "db"}))["SecretString"].as_str().unwrap().to_owned()
    }

    fn put(&self, region: &str, id: &str, value: &str, stages: &[&str]) -> Result<Value, Fault> {
        self.call(region, "PutSecretValue", json!({"SecretId": "db", "ClientRequestToken": id, "SecretString": value, "VersionStages": stages}))
    }

    fn stages(&self, version: &str) -> Value {
        self.ok(EAST, "DescribeSecret", json!({"SecretId": "db"}))["VersionIdsToStages"][version].clone()
    }
}

fn id(digit: char) -> String {
    std::iter::repeat_n(digit, 32).collect()
}

#[test]
fn a_new_value_makes_the_old_one_previous() {
    let aws = Aws::with_secret();
    aws.put(EAST, &id('2'), "two", &["AWSCURRENT"]).unwrap();
    assert_eq!(aws.value(EAST), "two");
    assert_eq!(aws.stages(&id('1')), json!(["AWSPREVIOUS"]));
    aws.put(EAST, &id('3'), "three", &["AWSCURRENT"]).unwrap();
    assert_eq!((aws.stages(&id('1')), aws.stages(&id('2'))), (Value::Null, json!(["AWSPREVIOUS"])));
}

#[test]
fn one_token_with_the_same_value_is_a_retry_and_with_another_is_refused() {
    let aws = Aws::with_secret();
    aws.put(EAST, &id('2'), "two", &["AWSPENDING"]).unwrap();
    aws.put(EAST, &id('2'), "two", &["AWSPENDING"]).unwrap();
    assert_eq!(aws.put(EAST, &id('2'), "other", &["AWSPENDING"]).unwrap_err().code, "ResourceExistsException");
}

#[test]
fn a_label_is_on_one_version_only() {
    let aws = Aws::with_secret();
    aws.put(EAST, &id('2'), "two", &["AWSPENDING"]).unwrap();
    aws.put(EAST, &id('3'), "three", &["AWSPENDING"]).unwrap();
    assert_eq!((aws.stages(&id('2')), aws.stages(&id('3'))), (Value::Null, json!(["AWSPENDING"])));
}

#[test]
fn moving_current_needs_the_version_that_loses_it() {
    let aws = Aws::with_secret();
    aws.put(EAST, &id('2'), "two", &["AWSPENDING"]).unwrap();
    let mut step = json!({"SecretId": "db", "VersionStage": "AWSCURRENT", "MoveToVersionId": id('2')});
    assert_eq!(aws.call(EAST, "UpdateSecretVersionStage", step.clone()).unwrap_err().code, "InvalidParameterException");
    step["RemoveFromVersionId"] = json!(id('1'));
    aws.ok(EAST, "UpdateSecretVersionStage", step);
    assert_eq!((aws.stages(&id('1')), aws.stages(&id('2'))), (json!(["AWSPREVIOUS"]), json!(["AWSCURRENT", "AWSPENDING"])));
    assert_eq!(aws.value(EAST), "two");
}

#[test]
fn an_empty_pending_version_has_no_value_until_it_is_filled() {
    let aws = Aws::with_secret();
    aws.secrets.with(EAST, "db", |secret| secret.begin_rotation(&id('2'))).unwrap();
    let pending = json!({"SecretId": "db", "VersionId": id('2'), "VersionStage": "AWSPENDING"});
    assert_eq!(aws.call(EAST, "GetSecretValue", pending.clone()).unwrap_err().code, "ResourceNotFoundException");
    aws.put(EAST, &id('2'), "two", &["AWSPENDING"]).unwrap();
    assert_eq!(aws.ok(EAST, "GetSecretValue", pending)["SecretString"], "two");
}

#[test]
fn a_replica_follows_its_primary_and_refuses_writes() {
    let aws = Aws::replicated();
    aws.put(EAST, &id('2'), "two", &["AWSCURRENT"]).unwrap();
    assert_eq!(aws.value(WEST), "two");
    let replica = aws.ok(WEST, "DescribeSecret", json!({"SecretId": "db"}));
    assert_eq!(replica["PrimaryRegion"], EAST);
    let primary = aws.ok(EAST, "DescribeSecret", json!({"SecretId": "db"}));
    assert_eq!(replica["ARN"].as_str().unwrap().replace(WEST, EAST), primary["ARN"].as_str().unwrap());
    for operation in ["PutSecretValue", "UpdateSecret", "DeleteSecret", "TagResource"] {
        let refused = aws.call(WEST, operation, json!({"SecretId": "db", "SecretString": "x"})).unwrap_err();
        assert_eq!(refused.code, "InvalidRequestException", "{operation}");
    }
}

#[test]
fn a_replica_that_was_cut_loose_keeps_its_value_and_takes_writes() {
    let aws = Aws::replicated();
    let before = aws.ok(WEST, "DescribeSecret", json!({"SecretId": "db"}))["ARN"].clone();
    let answer = aws.ok(WEST, "StopReplicationToReplica", json!({"SecretId": "db"}));
    assert_eq!(answer["ARN"], before);
    aws.put(EAST, &id('2'), "two", &["AWSCURRENT"]).unwrap();
    assert_eq!(aws.value(WEST), "one");
    aws.put(WEST, &id('3'), "three", &["AWSCURRENT"]).unwrap();
    assert_eq!((aws.value(EAST), aws.value(WEST)), ("two".to_owned(), "three".to_owned()));
    assert_eq!(aws.ok(EAST, "DescribeSecret", json!({"SecretId": "db"}))["ReplicationStatus"], Value::Null);
    assert_eq!(aws.call(WEST, "StopReplicationToReplica", json!({"SecretId": "db"})).unwrap_err().code, "InvalidRequestException");
}

#[test]
fn arn_policy_and_tags_are_the_replicas_own_once_it_stands_alone_and_the_primarys_again_when_forced() {
    let aws = Aws::replicated();
    let tag = |region: &str, value: &str| {
        let owner = json!([{"Key": "owner", "Value": value}]);
        aws.ok(region, "TagResource", json!({"SecretId": "db", "Tags": owner}));
        aws.ok(region, "PutResourcePolicy", json!({"SecretId": "db", "ResourcePolicy": format!("policy of {value}")}));
    };
    let stands = |region: &str| {
        let described = aws.ok(region, "DescribeSecret", json!({"SecretId": "db"}));
        let policy = aws.ok(region, "GetResourcePolicy", json!({"SecretId": "db"}))["ResourcePolicy"].clone();
        (described["ARN"].clone(), described["Tags"][0]["Value"].clone(), policy)
    };
    tag(EAST, "home");
    let replica = stands(WEST);
    assert_eq!((&replica.1, &replica.2), (&json!("home"), &json!("policy of home")), "a replica has its primary's");
    aws.ok(WEST, "StopReplicationToReplica", json!({"SecretId": "db"}));
    assert_eq!(stands(WEST), replica, "nothing of it changes");
    tag(EAST, "home, later");
    assert_eq!(stands(WEST), replica, "nothing of it follows any more");
    let again = json!({"SecretId": "db", "AddReplicaRegions": [{"Region": WEST}], "ForceOverwriteReplicaSecret": true});
    aws.ok(EAST, "ReplicateSecretToRegions", again);
    assert_eq!(stands(WEST), (replica.0, json!("home, later"), json!("policy of home, later")));
}

#[test]
fn a_primary_that_was_dark_does_not_overwrite_what_was_cut_loose_meanwhile() {
    let mut aws = Aws::replicated();
    aws.dark.insert(EAST.to_owned());
    aws.ok(WEST, "StopReplicationToReplica", json!({"SecretId": "db"}));
    aws.put(WEST, &id('3'), "three", &["AWSCURRENT"]).unwrap();
    aws.dark.clear();
    aws.put(EAST, &id('2'), "two", &["AWSCURRENT"]).unwrap();
    assert_eq!(aws.value(WEST), "three");
    let status = aws.ok(EAST, "DescribeSecret", json!({"SecretId": "db"}))["ReplicationStatus"][0]["Status"].clone();
    assert_eq!(status, "Failed");
}

#[test]
fn a_dark_replica_is_caught_up_when_the_light_comes_back() {
    let mut aws = Aws::replicated();
    aws.dark.insert(WEST.to_owned());
    aws.put(EAST, &id('2'), "two", &["AWSCURRENT"]).unwrap();
    assert_eq!(aws.value(WEST), "one");
    aws.secrets.catch_up(&BTreeSet::new());
    aws.dark.clear();
    assert_eq!(aws.value(WEST), "two");
}

#[test]
fn failback_overwrites_the_old_primary_only_when_forced() {
    let aws = Aws::replicated();
    aws.ok(WEST, "StopReplicationToReplica", json!({"SecretId": "db"}));
    aws.put(WEST, &id('3'), "three", &["AWSCURRENT"]).unwrap();
    let mut back = json!({"SecretId": "db", "AddReplicaRegions": [{"Region": EAST}]});
    assert_eq!(aws.ok(WEST, "ReplicateSecretToRegions", back.clone())["ReplicationStatus"][0]["Status"], "Failed");
    assert_eq!(aws.value(EAST), "one");
    back["ForceOverwriteReplicaSecret"] = json!(true);
    aws.ok(WEST, "ReplicateSecretToRegions", back);
    assert_eq!(aws.value(EAST), "three");
    assert_eq!(aws.put(EAST, &id('4'), "x", &["AWSCURRENT"]).unwrap_err().code, "InvalidRequestException");
}

#[test]
fn a_secret_is_found_by_name_arn_and_partial_arn_of_its_own_region_only() {
    let aws = Aws::with_secret();
    let arn = aws.secrets.arn(EAST, "db");
    let partial = arn.rsplit_once('-').unwrap().0;
    for id in ["db", &arn, partial] {
        assert_eq!(aws.secrets.arn(EAST, id), arn);
        aws.ok(EAST, "GetSecretValue", json!({ "SecretId": id }));
    }
    assert_eq!(aws.call(WEST, "GetSecretValue", json!({ "SecretId": arn })).unwrap_err().code, "ResourceNotFoundException");
}

#[test]
fn removing_a_region_deletes_the_replica_there() {
    let aws = Aws::replicated();
    aws.ok(EAST, "RemoveRegionsFromReplication", json!({"SecretId": "db", "RemoveReplicaRegions": [WEST]}));
    assert_eq!(aws.call(WEST, "GetSecretValue", json!({"SecretId": "db"})).unwrap_err().code, "ResourceNotFoundException");
}
