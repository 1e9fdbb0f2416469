//! What is asked of RDS Proxy, and what its answers mean.

use super::*;
use crate::ports::{Proxy, ProxyId, ProxyTarget};

fn proxy() -> ProxyId {
    ProxyId::of(&plan::Database { proxy: Some("orders-proxy".to_owned()), ..database() }).expect("a proxy")
}

fn proxies(endpoint: &str) -> (u16, Vec<u8>) {
    ok(&format!(
        "<DescribeDBProxiesResponse><DescribeDBProxiesResult><DBProxies><member><DBProxyName>orders-proxy</DBProxyName>\
         <DBProxyArn>arn:aws:rds:us-west-2:123456789012:db-proxy:prx-0d7a</DBProxyArn><Status>available</Status><EngineFamily>POSTGRESQL</EngineFamily>\
         <Endpoint>{endpoint}</Endpoint></member></DBProxies></DescribeDBProxiesResult></DescribeDBProxiesResponse>"
    ))
}

fn targets(health: &str) -> (u16, Vec<u8>) {
    let member = match health {
        "" => String::new(),
        health => format!(
            "<member><RdsResourceId>orders-replica</RdsResourceId><Type>RDS_INSTANCE</Type><Port>5432</Port><TargetHealth>{health}</TargetHealth></member>"
        ),
    };
    ok(&format!(
        "<DescribeDBProxyTargetsResponse><DescribeDBProxyTargetsResult><Targets>{member}</Targets></DescribeDBProxyTargetsResult></DescribeDBProxyTargetsResponse>"
    ))
}

#[tokio::test]
async fn a_proxy_is_read_with_its_target_and_why_that_is_not_available() {
    let health = "<State>UNAVAILABLE</State><Reason>AUTH_FAILURE</Reason><Description>Proxy does not have any registered credentials</Description>";
    let (database, http) = adapter(vec![proxies("orders-proxy.proxy-c1a2.us-west-2.rds.amazonaws.com"), targets(health)]);
    let found = database.proxy(&proxy()).await.expect("read").expect("there");
    let expected = Proxy {
        status: "available".to_owned(),
        endpoint: Some(Endpoint { host: "orders-proxy.proxy-c1a2.us-west-2.rds.amazonaws.com".to_owned(), port: 5432 }),
        targets: vec![ProxyTarget {
            instance: "orders-replica".to_owned(),
            state: "UNAVAILABLE".to_owned(),
            why: "AUTH_FAILURE: Proxy does not have any registered credentials".to_owned(),
        }],
    };
    assert_eq!(found, expected);
    let (first, second) = (sent(&http, 0), sent(&http, 1));
    assert_eq!((first.0.as_str(), second.0.as_str()), ("rds.us-west-2.amazonaws.com", "rds.us-west-2.amazonaws.com"));
    assert!(first.1.contains("Action=DescribeDBProxies") && first.1.contains("DBProxyName=orders-proxy"), "{}", first.1);
    assert!(second.1.contains("Action=DescribeDBProxyTargets") && second.1.contains("DBProxyName=orders-proxy"), "{}", second.1);
}

#[tokio::test]
async fn a_proxy_without_a_target_or_with_a_port_of_its_own_is_read_and_a_missing_one_is_none() {
    let (database, _) = adapter(vec![proxies("127.0.0.1:41234"), targets("")]);
    let found = database.proxy(&proxy()).await.expect("read").expect("there");
    assert_eq!((found.endpoint, found.targets), (Some(Endpoint { host: "127.0.0.1".to_owned(), port: 41_234 }), Vec::new()));
    let (database, _) = adapter(vec![error(404, "DBProxyNotFoundFault", "no such proxy")]);
    assert_eq!(database.proxy(&proxy()).await.expect("read"), None);
}

#[tokio::test]
async fn a_target_is_registered_by_its_name_and_one_that_is_there_already_is_ours() {
    let answers = vec![
        answered("RegisterDBProxyTargets"),
        error(400, "DBProxyTargetAlreadyRegisteredFault", "already"),
        error(400, "InvalidDBInstanceState", "a replica"),
    ];
    let (database, http) = adapter(answers);
    database.register(&proxy(), &replica()).await.expect("taken");
    database.register(&proxy(), &replica()).await.expect("an unanswered call of ours");
    assert!(matches!(database.register(&proxy(), &replica()).await.expect_err("refused").why, Why::State(_)));
    let body = sent(&http, 0).1;
    for part in ["Action=RegisterDBProxyTargets", "DBProxyName=orders-proxy", "DBInstanceIdentifiers.member.1=orders-replica"] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn a_target_is_taken_out_and_one_that_is_not_there_is_no_error() {
    let (database, http) =
        adapter(vec![answered("DeregisterDBProxyTargets"), error(404, "DBProxyTargetNotFoundFault", "none"), error(403, "AccessDenied", "no")]);
    database.deregister(&proxy(), &replica()).await.expect("taken");
    database.deregister(&proxy(), &replica()).await.expect("it is not there");
    assert!(matches!(database.deregister(&proxy(), &replica()).await.expect_err("refused").why, Why::Denied(_)));
    assert!(
        sent(&http, 0).1.contains("Action=DeregisterDBProxyTargets") && sent(&http, 0).1.contains("DBInstanceIdentifiers.member.1=orders-replica")
    );
}
