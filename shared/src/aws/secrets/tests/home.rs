//! What the way home sends, and to which Region.

use super::*;
use crate::situations::plan;

const HOME: &str = "secretsmanager.us-east-2.amazonaws.com";
const STANDBY: &str = "secretsmanager.us-west-2.amazonaws.com";

fn home() -> HomeSecret {
    HomeSecret::of(&plan(), &Secret { name: "shop/app".to_owned(), database: "orders".to_owned(), rotate: true, users: Users::Single, admin: None })
}

fn hosts(client: &StaticReplayClient) -> Vec<String> {
    client.actual_requests().map(|request| request.uri().split('/').nth(2).unwrap_or_default().to_owned()).collect()
}

/// The standby's secret, cut loose or a replica.
fn here(primary: Option<&str>) -> (u16, Value) {
    let arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/app-AbCdEf";
    (200, json!({ "ARN": arn, "Name": "shop/app", "PrimaryRegion": primary, "KmsKeyId": "alias/west", "VersionIdsToStages": {} }))
}

/// The secret at home and how its replica stands.
fn there(status: Option<(&str, &str)>) -> (u16, Value) {
    let rows: Vec<Value> =
        status.iter().map(|(status, message)| json!({ "Region": "us-west-2", "Status": status, "StatusMessage": message })).collect();
    (200, json!({ "ARN": "arn:aws:secretsmanager:us-east-2:123456789012:secret:shop/app-AbCdEf", "Name": "shop/app", "ReplicationStatus": rows }))
}

#[tokio::test]
async fn the_secret_at_home_is_read_and_written_in_its_region() {
    let current = json!({ "SecretString": r#"{"username":"app","password":"hunter2"}"#, "VersionId": TOKEN });
    let (secrets, client) = answering([there(None), (200, current), (200, json!({})), (400, error("ResourceNotFoundException", "none"))]);
    assert_eq!(secrets.home(&home()).await.expect("read").expect("there").replica_of, None);
    assert!(secrets.home_value(&home(), Stage::Current).await.expect("read").is_some());
    secrets.put_home(&home(), TOKEN, &value()).await.expect("put");
    assert_eq!(secrets.home(&home()).await.expect("read"), None);
    assert_eq!(hosts(&client), [HOME; 4]);
    let (operation, body) = sent(&client).remove(2);
    assert_eq!(operation, "PutSecretValue");
    assert_eq!((&body["SecretId"], &body["ClientRequestToken"]), (&json!("shop/app"), &json!(TOKEN)));
}

#[tokio::test]
async fn a_secret_that_stands_alone_is_overwritten_by_the_one_at_home_with_its_own_key() {
    // The primary has noticed that it was cut loose, or has not.
    for noticed in [None, Some(("Failed", "Replication failed: Secret name simple conflict"))] {
        let answer = there(Some(("InProgress", "")));
        let (secrets, client) = answering([here(None), there(noticed), answer]);
        secrets.replicate_again(&home(), "us-west-2").await.expect("asked");
        assert_eq!(hosts(&client), [STANDBY, HOME, HOME]);
        let (operation, body) = sent(&client).remove(2);
        assert_eq!(operation, "ReplicateSecretToRegions");
        let expected = json!({
            "SecretId": "shop/app", "ForceOverwriteReplicaSecret": true, "AddReplicaRegions": [{ "Region": "us-west-2", "KmsKeyId": "alias/west" }],
        });
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_replica_in_sync_is_left_alone_and_one_that_failed_is_asked_for_again_and_said() {
    for status in [("InSync", ""), ("InProgress", "")] {
        let (secrets, client) = answering([here(Some("us-east-2")), there(Some(status))]);
        secrets.replicate_again(&home(), "us-west-2").await.expect("nothing to do");
        assert_eq!(client.actual_requests().count(), 2);
    }
    let denied = ("Failed", "KMS key access denied");
    let (secrets, _) = answering([here(Some("us-east-2")), there(Some(denied)), there(Some(("InProgress", "")))]);
    let error = secrets.replicate_again(&home(), "us-west-2").await.expect_err("said");
    assert!(error.passes() && error.to_string().contains("KMS key access denied"), "{error}");
    let (secrets, _) = answering([here(None), there(None), there(Some(denied))]);
    let error = secrets.replicate_again(&home(), "us-west-2").await.expect_err("said");
    assert!(error.to_string().contains("KMS key access denied"), "{error}");
}
