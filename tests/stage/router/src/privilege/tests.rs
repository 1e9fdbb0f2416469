use serde_json::{Value, json};

use super::*;

const WEB: &str = "arn:aws:ecs:us-west-2:1:service/shop/web";
const WORKER: &str = "arn:aws:ecs:us-west-2:1:service/shop/worker";

fn policies(statements: &Value) -> Policies {
    let document = json!({ "Statement": statements }).to_string();
    Policies::parse([document.as_str()]).unwrap()
}

fn services() -> Value {
    json!({"Sid": "Services", "Effect": "Allow", "Action": ["ecs:DescribeServices", "ecs:UpdateService"], "Resource": [WEB, WORKER],
           "Condition": {"StringEquals": {"aws:RequestedRegion": "us-west-2"}}})
}

fn asked(action: &str, resource: &str, region: &str) -> Permission {
    let context = BTreeMap::from([("aws:requestedregion".to_owned(), vec![region.to_owned()])]);
    Permission { role: "scale-up".to_owned(), action: action.to_owned(), resource: resource.to_owned(), context }
}

fn said(grants: &[Grant]) -> Vec<String> {
    grants.iter().map(ToString::to_string).collect()
}

#[test]
fn each_action_on_each_resource_is_a_grant_of_its_own() {
    let grants = policies(&json!([services()])).grants();
    assert_eq!(grants.len(), 4);
    assert!(grants.iter().all(|grant| grant.conditional && !grant.is_boundless()));
    assert_eq!(said(&grants[..1]), [format!("statement Services, ecs:DescribeServices on {WEB}")]);
}

#[test]
fn a_call_takes_the_one_grant_that_fits_it() {
    let held = policies(&json!([services()]));
    assert_eq!(
        said(&held.allowing(&asked("ecs:UpdateService", WORKER, "us-west-2"))),
        [format!("statement Services, ecs:UpdateService on {WORKER}")]
    );
    assert!(held.allowing(&asked("ecs:DeleteService", WORKER, "us-west-2")).is_empty(), "another action");
    assert!(held.allowing(&asked("ecs:UpdateService", WORKER, "eu-west-1")).is_empty(), "the condition does not hold");
}

#[test]
fn what_two_statements_allow_is_granted_twice() {
    let again = json!({"Sid": "Again", "Effect": "Allow", "Action": "ecs:UpdateService", "Resource": "*"});
    let held = policies(&json!([services(), again]));
    assert_eq!(held.allowing(&asked("ecs:UpdateService", WEB, "us-west-2")).len(), 2);
}

#[test]
fn what_a_deny_forbids_is_granted_by_nobody() {
    let never = json!({"Sid": "Never", "Effect": "Deny", "Action": "ecs:UpdateService", "Resource": WEB});
    let held = policies(&json!([services(), never]));
    assert!(held.allowing(&asked("ecs:UpdateService", WEB, "us-west-2")).is_empty());
    assert_eq!(held.grants().len(), 4, "a Deny grants nothing");
}

#[test]
fn an_action_with_a_wildcard_and_an_unconditional_star_have_no_bounds() {
    let star = |action: &str, condition: Value| {
        let statement = json!([{"Sid": "Any", "Effect": "Allow", "Action": action, "Resource": "*", "Condition": condition}]);
        policies(&statement).grants()[0].is_boundless()
    };
    assert!(star("ecs:Update*", json!({"StringEquals": {"aws:RequestedRegion": "us-west-2"}})));
    assert!(star("ecs:UpdateService", json!({})));
    assert!(!star("ecs:UpdateService", json!({"StringEquals": {"aws:RequestedRegion": "us-west-2"}})));
    let rest = policies(&json!([{"Sid": "Rest", "Effect": "Allow", "NotAction": "iam:PassRole", "Resource": WEB}]));
    assert!(rest.grants()[0].is_boundless());
}
