//! Aurora's records as RDS's XML.

use crate::cluster::{Global, Member};
use crate::describe::{arn, write_tags};
use crate::state::{Instance, Key, Snapshot, SnapshotStatus, State};
use crate::xml::Xml;

pub(crate) const ENGINE: &str = "aurora-postgresql";

impl Member {
    pub(crate) fn write(&self, xml: &mut Xml) {
        xml.text("DBInstanceIdentifier", &self.key.id);
        xml.text("DBInstanceArn", &self.arn);
        xml.text("DbiResourceId", &self.resource);
        xml.text("DBClusterIdentifier", &self.cluster.id);
        xml.text("DBInstanceStatus", self.status.name());
        xml.text("DBInstanceClass", &self.class);
        xml.text("Engine", ENGINE);
        xml.text("EngineVersion", &self.engine_version);
        write_tags(xml, &self.tags);
    }
}

pub(crate) fn write_global(xml: &mut Xml, name: &str, global: &Global, state: &State, account: &str) {
    let arn_of = |key: &Key| arn(account, key, "cluster");
    let version = global.members.iter().find_map(|key| state.instances.get(key)).map(|one| one.record.engine_version.clone());
    xml.text("GlobalClusterIdentifier", name);
    xml.text("GlobalClusterArn", format_args!("arn:aws:rds::{account}:global-cluster:{name}"));
    xml.text("Status", "available");
    xml.text("Engine", ENGINE);
    xml.optional("EngineVersion", version);
    xml.list("GlobalClusterMembers", "GlobalClusterMember", &global.members, |xml, key| {
        let writer = global.writer.as_ref() == Some(key);
        xml.text("DBClusterArn", arn_of(key));
        xml.text("IsWriter", writer);
        if !writer {
            xml.text("SynchronizationStatus", if global.resync.contains(key) { "pending-resync" } else { "connected" });
        }
    });
    if let Some(moving) = &global.moving {
        xml.inside("FailoverState", |xml| {
            xml.text("Status", moving.status());
            xml.text("FromDbClusterArn", arn_of(&moving.from));
            xml.text("ToDbClusterArn", arn_of(&moving.to));
            xml.text("IsDataLossAllowed", moving.losing);
        });
    }
}

pub(crate) fn write_cluster(xml: &mut Xml, instance: &Instance, state: &State) {
    let record = &instance.record;
    xml.text("DBClusterIdentifier", &record.key.id);
    xml.text("DBClusterArn", &record.arn);
    xml.text("DbClusterResourceId", &record.resource);
    xml.text("Status", record.status.name());
    xml.text("Engine", ENGINE);
    xml.text("EngineVersion", &record.engine_version);
    xml.text("MasterUsername", &record.master_user);
    xml.optional("DatabaseName", record.database.as_ref());
    xml.text("BackupRetentionPeriod", record.retention);
    xml.text("DeletionProtection", record.deletion_protection);
    xml.optional("DBSubnetGroup", record.placement.subnet_group.as_ref());
    xml.optional("DBClusterParameterGroup", record.placement.parameter_group.as_ref());
    xml.text("ClusterCreateTime", format_args!("{:.3}", record.created));
    if record.reachable {
        xml.text("Endpoint", "127.0.0.1");
        xml.text("ReaderEndpoint", "127.0.0.1");
        xml.text("Port", state.endpoints.get(&record.key).map(|endpoint| endpoint.port).unwrap_or_default());
    }
    xml.list("VpcSecurityGroups", "VpcSecurityGroupMembership", &record.security_groups, |xml, group| {
        xml.text("VpcSecurityGroupId", group);
        xml.text("Status", "active");
    });
    // The first instance of the writer's cluster is its writer; a secondary has readers alone.
    let writes = record.source.is_none();
    xml.list("DBClusterMembers", "DBClusterMember", state.members_of(&record.key).enumerate(), |xml, (index, member)| {
        xml.text("DBInstanceIdentifier", &member.key.id);
        xml.text("IsClusterWriter", writes && index == 0);
    });
    write_tags(xml, &record.tags);
}

pub(crate) fn write_snapshot(xml: &mut Xml, snapshot: &Snapshot) {
    let by_rds = snapshot.key.id.starts_with("rds:");
    xml.text("DBClusterSnapshotIdentifier", &snapshot.key.id);
    xml.text("DBClusterSnapshotArn", &snapshot.arn);
    xml.text("DBClusterIdentifier", &snapshot.of.key.id);
    xml.text("Engine", ENGINE);
    xml.text("EngineVersion", &snapshot.of.engine_version);
    xml.text("SnapshotCreateTime", format_args!("{:.3}", snapshot.created));
    xml.text("SnapshotType", if by_rds { "automated" } else { "manual" });
    xml.text("Status", snapshot.status.name());
    xml.text("PercentProgress", if snapshot.status == SnapshotStatus::Available { 100 } else { 0 });
    write_tags(xml, &snapshot.tags);
}
