//! The parameter by which writes are closed.

use super::*;

fn parameters(list: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        "<DescribeDBParametersResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><DescribeDBParametersResult><Parameters>{list}</Parameters></DescribeDBParametersResult></DescribeDBParametersResponse>"
    ))
}

fn holder(name: &str, group: &str) -> String {
    format!(
        "<DBInstance><DBInstanceIdentifier>{name}</DBInstanceIdentifier><DBParameterGroups><DBParameterGroup>\
         <DBParameterGroupName>{group}</DBParameterGroupName></DBParameterGroup></DBParameterGroups></DBInstance>"
    )
}

#[tokio::test]
async fn a_group_is_read_with_what_somebody_set_and_with_all_who_have_it() {
    let set = "<Parameter><ParameterName>max_connections</ParameterName><ParameterValue>99</ParameterValue><Source>user</Source></Parameter>\
               <Parameter><ParameterName>read_only</ParameterName><ParameterValue>0</ParameterValue><Source>user</Source></Parameter>";
    let all = described(&format!("{}{}{}", holder("orders-replica", "shop"), holder("items", "other"), holder("users", "shop")));
    // Both are asked at once, and in this order.
    let (rds, http) = adapter(vec![parameters(set), all.clone()]);
    let gate = rds.write_gate("shop").await.expect("an answer");
    assert_eq!(gate, WriteGate { read_only: Some("0".to_owned()), holders: vec!["orders-replica".to_owned(), "users".to_owned()] });
    let body = sent(&http, 0).1;
    assert!(body.contains("Action=DescribeDBParameters") && body.contains("DBParameterGroupName=shop") && body.contains("Source=user"), "{body}");

    let (rds, _) = adapter(vec![parameters(""), all]);
    assert_eq!(rds.write_gate("shop").await.expect("an answer").read_only, None, "the engine's default");
}

#[tokio::test]
async fn read_only_is_set_at_once_and_without_a_restart() {
    let done = ok(
        "<ModifyDBParameterGroupResponse><ModifyDBParameterGroupResult><DBParameterGroupName>shop</DBParameterGroupName></ModifyDBParameterGroupResult></ModifyDBParameterGroupResponse>",
    );
    let (rds, http) = adapter(vec![done, error(400, "InvalidDBParameterGroupState", "in use")]);
    rds.set_read_only("shop", "{TrueIfReplica}").await.expect("taken");
    let body = sent(&http, 0).1;
    for part in [
        "Action=ModifyDBParameterGroup",
        "DBParameterGroupName=shop",
        "Parameters.Parameter.1.ParameterName=read_only",
        "Parameters.Parameter.1.ParameterValue=%7BTrueIfReplica%7D",
        "Parameters.Parameter.1.ApplyMethod=immediate",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let refused = rds.set_read_only("shop", "1").await.expect_err("busy");
    assert!(matches!(refused.why, Why::State(_)), "{refused}");
}
