//! Aurora: global clusters, clusters, and the instances that a cluster has.

use std::time::Duration;

use serde_json::Value;

use super::props::{fields, pairs};
use super::{Physical, Props, ResourceError, Site, Wanted};
use crate::client::Service;

const RDS: &str = "2014-10-31";
const AVAILABLE_WITHIN: Duration = Duration::from_secs(120);

pub(super) async fn put_global(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let name = wanted.name(props, "GlobalClusterIdentifier").to_lowercase();
    let mut body = fields("", &Value::Object(props.rest()), "member");
    body.push(("GlobalClusterIdentifier".to_owned(), name.clone()));
    wanted.site.service("rds").query(RDS, "CreateGlobalCluster", &body).await?;
    Ok(Physical::new(name, []))
}

pub(super) async fn put_cluster(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let rds = wanted.site.service("rds");
    let name = wanted.name(props, "DBClusterIdentifier").to_lowercase();
    let groups = Value::from(props.texts("VpcSecurityGroupIds"));
    let tags = Value::Array(props.list("Tags"));
    // The SDK signs a URL with it, which an emulator does not ask for.
    props.value("SourceRegion");
    let mut body = fields("", &Value::Object(props.rest()), "member");
    body.push(("DBClusterIdentifier".to_owned(), name.clone()));
    body.extend(fields("VpcSecurityGroupIds", &groups, "VpcSecurityGroupId"));
    body.extend(fields("Tags", &tags, "Tag"));
    rds.query(RDS, "CreateDBCluster", &body).await?;
    let answer = available(&rds, "DescribeDBClusters", "DBClusterIdentifier", &name, "Status").await?;
    let text = |element: &str| rds.text("DescribeDBClusters", &answer, element);
    let arn = wanted.site.arn("rds", &format!("cluster:{name}"));
    Ok(Physical::new(name, [("Endpoint.Address", text("Endpoint")?), ("Endpoint.Port", text("Port")?), ("DBClusterArn", arn)]))
}

/// An instance of a cluster has no address of its own that anybody should use.
pub(super) async fn put_member(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let rds = wanted.site.service("rds");
    let name = wanted.name(props, "DBInstanceIdentifier").to_lowercase();
    let tags = Value::Array(props.list("Tags"));
    let mut body = fields("", &Value::Object(props.rest()), "member");
    body.push(("DBInstanceIdentifier".to_owned(), name.clone()));
    body.extend(fields("Tags", &tags, "Tag"));
    rds.query(RDS, "CreateDBInstance", &body).await?;
    available(&rds, "DescribeDBInstances", "DBInstanceIdentifier", &name, "DBInstanceStatus").await?;
    Ok(Physical::new(name, []))
}

async fn available(rds: &Service<'_>, operation: &'static str, parameter: &str, name: &str, element: &str) -> Result<String, ResourceError> {
    let deadline = tokio::time::Instant::now() + AVAILABLE_WITHIN;
    loop {
        let answer = rds.query(RDS, operation, &pairs([(parameter, name)])).await?;
        let state = rds.text(operation, &answer, element)?;
        if state == "available" {
            return Ok(answer);
        }
        if tokio::time::Instant::now() > deadline {
            return Err(ResourceError::NotReady { state, wanted: "available", seconds: AVAILABLE_WITHIN.as_secs() });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(super) async fn delete_global(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    site.service("rds").query(RDS, "DeleteGlobalCluster", &pairs([("GlobalClusterIdentifier", name)])).await?;
    Ok(())
}

pub(super) async fn delete_cluster(site: &Site<'_>, name: &str) -> Result<(), ResourceError> {
    let body = pairs([("DBClusterIdentifier", name), ("SkipFinalSnapshot", "true")]);
    site.service("rds").query(RDS, "DeleteDBCluster", &body).await?;
    Ok(())
}
