//! RDS Proxy on the stage: who may be its target, and where its address leads.

mod common;

use common::*;
use stage_rds::EngineFamily;
use std::time::Duration;

#[tokio::test]
async fn a_proxys_address_leads_to_its_target_a_writer_and_to_nobody_else() {
    let stage = Stage::with_replica("proxy").await;
    let rows = stage.login(PRIMARY, "orders").await.expect("login");
    rows.batch_execute("CREATE TABLE orders (id serial PRIMARY KEY); INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    stage.arrived(STANDBY, "orders-west", 1).await;
    let standby = &stage.standby;
    let at = stage.rds.create_proxy(STANDBY, "orders", EngineFamily::PostgreSql).expect("a proxy");
    stage.rds.create_proxy(STANDBY, "shop", EngineFamily::MySql).expect("a proxy");
    let proxies = standby.describe_db_proxies().send().await.expect("described");
    let families: Vec<_> = proxies.db_proxies().iter().map(|proxy| (proxy.db_proxy_name(), proxy.engine_family())).collect();
    assert_eq!(families, [(Some("orders"), Some("POSTGRESQL")), (Some("shop"), Some("MYSQL"))]);
    let register = || standby.register_db_proxy_targets().db_proxy_name("orders").db_instance_identifiers("orders-west").send();

    let refused = register().await.expect_err("a replica");
    assert_eq!(refused.into_service_error().meta().code(), Some("InvalidDBInstanceState"));
    let closed = tokio::net::TcpStream::connect(at).await.expect("it listens");
    closed.readable().await.expect("closed");
    assert_eq!(closed.try_read(&mut [0; 1]).expect("an end"), 0, "without a target nobody is there");

    standby.promote_read_replica().db_instance_identifier("orders-west").send().await.expect("accepted");
    wait_for(standby, "orders-west", "rebooting").await;
    assert_eq!(register().await.expect_err("it reboots").into_service_error().meta().code(), Some("InvalidDBInstanceState"));
    wait_for(standby, "orders-west", "available").await;
    register().await.expect("a writer");
    assert_eq!(register().await.expect_err("once").into_service_error().meta().code(), Some("DBProxyTargetAlreadyRegisteredFault"));
    let state = async || {
        let found = standby.describe_db_proxy_targets().db_proxy_name("orders").send().await.expect("read");
        found.targets().first().and_then(|target| target.target_health()?.state().map(|state| state.as_str().to_owned()))
    };
    assert_eq!(state().await.as_deref(), Some("REGISTERING"));
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if state().await.as_deref() == Some("AVAILABLE") {
            break;
        }
    }
    assert_eq!(state().await.as_deref(), Some("AVAILABLE"));
    let app = login(at, PASSWORD).await.expect("through the proxy");
    app.batch_execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");

    standby.deregister_db_proxy_targets().db_proxy_name("orders").db_instance_identifiers("orders-west").send().await.expect("taken out");
    assert_eq!(state().await, None);
    assert!(login(at, PASSWORD).await.is_err(), "nobody is behind it any more");
}
