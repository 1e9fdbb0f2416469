//! RDS: instances, clusters, snapshots and what comes with them.

use super::{Known, Needs};

impl Needs<'_> {
    pub(super) fn rds(&mut self) -> Known {
        let operation = self.call.operation.as_str();
        let db = self.named("DBInstanceIdentifier", "db:");
        let global = |name: &str| format!("arn:aws:rds::{}:global-cluster:{name}", self.lookup.account);
        if operation.starts_with("Describe") {
            let resource = match operation {
                "DescribeDBInstances" => db.unwrap_or_else(|| self.arn("db:*")),
                "DescribeDBClusters" => self.named("DBClusterIdentifier", "cluster:").unwrap_or_else(|| self.arn("cluster:*")),
                "DescribeGlobalClusters" => global(self.call.text("GlobalClusterIdentifier").unwrap_or("*")),
                "DescribeDBSnapshots" => {
                    let snapshot = self.named("DBSnapshotIdentifier", "snapshot:");
                    snapshot.or(db).unwrap_or_else(|| self.arn("snapshot:*"))
                }
                "DescribeDBClusterSnapshots" => {
                    let snapshot = self.named("DBClusterSnapshotIdentifier", "cluster-snapshot:");
                    let cluster = self.named("DBClusterIdentifier", "cluster:");
                    snapshot.or(cluster).unwrap_or_else(|| self.arn("cluster-snapshot:*"))
                }
                "DescribeDBParameterGroups" | "DescribeDBParameters" => self.named("DBParameterGroupName", "pg:").unwrap_or_else(|| self.arn("pg:*")),
                // The ids in the ARNs of proxies and their groups are AWS's own: a policy can only hold a wildcard there.
                "DescribeDBProxies" => self.arn("db-proxy:0ec5id"),
                "DescribeDBProxyTargets" => {
                    self.on(self.arn("target-group:0ec5id"))?;
                    self.arn("db-proxy:0ec5id")
                }
                "DescribeDBSubnetGroups" => self.named("DBSubnetGroupName", "subgrp:").unwrap_or_else(|| self.arn("subgrp:*")),
                _ => "*".to_owned(),
            };
            return self.on(resource);
        }
        let mut resources: Vec<String> = match operation {
            "AddTagsToResource" | "RemoveTagsFromResource" | "ListTagsForResource" => {
                vec![self.call.text("ResourceName")?.to_owned()]
            }
            "CopyDBClusterSnapshot" => ["TargetDBClusterSnapshotIdentifier", "SourceDBClusterSnapshotIdentifier"]
                .into_iter()
                .filter_map(|parameter| self.named(parameter, "cluster-snapshot:"))
                .collect(),
            // As the service authorization reference has them: the instance is a resource of the second alone.
            "RegisterDBProxyTargets" => vec![self.arn("target-group:0ec5id")],
            "DeregisterDBProxyTargets" => {
                let fields = self.call.params.as_object()?.iter().filter(|(field, _)| field.starts_with("DBInstanceIdentifiers."));
                let instances = fields.filter_map(|(_, name)| Some(self.arn(&format!("db:{}", name.as_str()?))));
                instances.chain([self.arn("db-proxy:0ec5id"), self.arn("target-group:0ec5id")]).collect()
            }
            "FailoverGlobalCluster" | "SwitchoverGlobalCluster" | "RemoveFromGlobalCluster" => {
                let cluster = self.named("TargetDbClusterIdentifier", "cluster:").or_else(|| self.named("DbClusterIdentifier", "cluster:"));
                vec![global(self.call.text("GlobalClusterIdentifier")?), cluster?]
            }
            // What is made stands first.
            "CreateDBSnapshot" => self.named("DBSnapshotIdentifier", "snapshot:").into_iter().chain(db).collect(),
            "CreateDBClusterSnapshot" | "DeleteDBClusterSnapshot" => {
                let snapshot = self.named("DBClusterSnapshotIdentifier", "cluster-snapshot:");
                snapshot.into_iter().chain(self.named("DBClusterIdentifier", "cluster:")).collect()
            }
            // The groups are resources of it as an instance's are, whoever names them.
            "RestoreDBClusterFromSnapshot" => {
                let parameters = self.named("DBClusterParameterGroupName", "cluster-pg:").unwrap_or_else(|| self.arn("cluster-pg:default"));
                let made = self.named("DBClusterIdentifier", "cluster:").into_iter();
                made.chain(self.named("SnapshotIdentifier", "cluster-snapshot:")).chain([parameters]).collect()
            }
            _ => ["DBInstanceIdentifier", "TargetDBInstanceIdentifier"]
                .into_iter()
                .filter_map(|parameter| self.named(parameter, "db:"))
                .chain(self.named("DBClusterIdentifier", "cluster:"))
                .chain(self.named("DBSnapshotIdentifier", "snapshot:"))
                .collect(),
        };
        resources.extend(self.named("SourceDBInstanceIdentifier", "db:"));
        // An instance has all three, and AWS asks for them too where the call leaves them to RDS, which takes the source's or the engine's.
        let implied =
            matches!(operation, "CreateDBInstance" | "CreateDBInstanceReadReplica" | "RestoreDBInstanceFromDBSnapshot").then_some("default");
        let of_clusters = (operation == "RestoreDBClusterFromSnapshot").then_some("default");
        for (parameter, prefix) in [("DBParameterGroupName", "pg:"), ("OptionGroupName", "og:"), ("DBSubnetGroupName", "subgrp:")] {
            let implied = implied.or(of_clusters.filter(|_| prefix != "pg:"));
            resources.extend(self.named(parameter, prefix).or_else(|| implied.map(|name| self.arn(&format!("{prefix}{name}")))));
        }
        if let Some(public) = self.call.text("PubliclyAccessible") {
            self.context.insert("rds:publiclyaccessible".to_owned(), vec![public.to_owned()]);
        }
        let created = resources.first()?.clone();
        self.pass_role("/MonitoringRoleArn", "monitoring.rds.amazonaws.com");
        resources.into_iter().try_for_each(|arn| self.on(arn))?;
        // RDS uses the key in its caller's name. The one that AWS keeps for RDS itself, named by its alias, is everybody's.
        if let Some(key) = self.call.text("KmsKeyId").filter(|key| key.starts_with("arn:") && key.contains(":key/")).map(str::to_owned) {
            let via = format!("rds.{}.amazonaws.com", self.call.region);
            for action in ["kms:DescribeKey", "kms:CreateGrant"] {
                self.foreign(action, &key, Some(("kms:viaservice", &via)));
            }
        }
        if operation != "AddTagsToResource" && self.context.contains_key("aws:tagkeys") {
            self.also("AddTagsToResource", created)?;
        }
        Some(())
    }
}
