//! Records as RDS's XML.

use crate::Inner;
use crate::replication::Replication;
use crate::server::Server;
use crate::state::{Instance, Key, Pending, Placement, Record, Snapshot, SnapshotStatus, State, Status};
use crate::xml::Xml;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One instance as it is answered: its record and what follows from others.
pub(crate) struct View {
    record: Record,
    port: u16,
    source: Option<String>,
    replicas: Vec<String>,
    replication: Option<StatusInfo>,
    is_applying: bool,
}

struct StatusInfo {
    status: &'static str,
    normal: bool,
    message: &'static str,
}

impl View {
    pub(crate) fn write(&self, xml: &mut Xml) {
        let record = &self.record;
        xml.text("DBInstanceIdentifier", &record.key.id);
        xml.text("DBInstanceArn", &record.arn);
        xml.text("DbiResourceId", &record.resource);
        xml.text("DBInstanceStatus", record.status.name());
        xml.text("DBInstanceClass", &record.class);
        xml.text("Engine", record.engine.name());
        xml.text("EngineVersion", &record.engine_version);
        xml.text("MasterUsername", &record.master_user);
        xml.optional("DBName", record.database.as_ref());
        xml.text("AllocatedStorage", record.storage);
        xml.text("InstanceCreateTime", format_args!("{:.3}", record.created));
        xml.text("BackupRetentionPeriod", record.retention);
        xml.text("MultiAZ", record.multi_az);
        xml.text("DeletionProtection", record.deletion_protection);
        write_placement(xml, &record.placement, self.apply_status());
        if record.reachable {
            xml.inside("Endpoint", |xml| {
                xml.text("Address", "127.0.0.1");
                xml.text("Port", self.port);
            });
        }
        xml.list("VpcSecurityGroups", "VpcSecurityGroupMembership", &record.security_groups, |xml, group| {
            xml.text("VpcSecurityGroupId", group);
            xml.text("Status", "active");
        });
        xml.inside("PendingModifiedValues", |xml| write_pending(xml, &record.pending));
        xml.optional("ReadReplicaSourceDBInstanceIdentifier", self.source.as_ref());
        xml.inside("ReadReplicaDBInstanceIdentifiers", |xml| {
            for replica in &self.replicas {
                xml.text("ReadReplicaDBInstanceIdentifier", replica);
            }
        });
        xml.list("StatusInfos", "DBInstanceStatusInfo", &self.replication, |xml, info| {
            xml.text("StatusType", "read replication");
            xml.text("Normal", info.normal);
            xml.text("Status", info.status);
            xml.text("Message", info.message);
        });
        write_tags(xml, &record.tags);
    }

    fn apply_status(&self) -> &'static str {
        match (self.record.placement.parameters_wait, self.is_applying) {
            (true, _) => "pending-reboot",
            (false, true) => "applying",
            (false, false) => "in-sync",
        }
    }
}

impl Inner {
    pub(crate) async fn view(&self, key: &Key) -> Option<View> {
        let (mut view, server) = {
            let state = self.lock();
            let instance = state.instances.get(key)?;
            (view_of(instance, &state), instance.server.clone())
        };
        view.replication = replication_of(&view.record, &server).await;
        Some(view)
    }
}

fn view_of(instance: &Instance, state: &State) -> View {
    let record = &instance.record;
    // Within a Region RDS names an instance, across Regions it gives the ARN.
    let as_seen = |other: &Key, arn: String| if other.region == record.key.region { other.id.clone() } else { arn };
    let account = record.arn.split(':').nth(4).unwrap_or_default();
    View {
        source: record.source.as_ref().map(|source| as_seen(&source.key, arn(account, &source.key, "db"))),
        replicas: state.replicas_of(&record.key).into_iter().map(|replica| as_seen(&replica.key, replica.arn.clone())).collect(),
        port: state.endpoints.get(&record.key).map(|endpoint| endpoint.port).unwrap_or_default(),
        replication: None,
        is_applying: instance.server.is_applying(),
        record: record.clone(),
    }
}

async fn replication_of(record: &Record, server: &Arc<Server>) -> Option<StatusInfo> {
    let source = record.source.as_ref()?;
    if source.terminated {
        return Some(StatusInfo { status: "terminated", normal: false, message: "The source DB instance was deleted" });
    }
    if record.status == Status::Creating {
        return None;
    }
    Some(match Replication::of(server).await {
        Some(replication) if !replication.in_recovery => StatusInfo { status: "stopped", normal: true, message: "" },
        Some(replication) if replication.streaming => StatusInfo { status: "replicating", normal: true, message: "" },
        Some(_) => StatusInfo { status: "error", normal: false, message: "The replica does not receive the log of its source" },
        None => StatusInfo { status: "error", normal: false, message: "The replica does not answer" },
    })
}

fn write_placement(xml: &mut Xml, placement: &Placement, apply_status: &str) {
    xml.text("PubliclyAccessible", placement.public);
    xml.text("StorageEncrypted", placement.kms_key.is_some());
    xml.optional("KmsKeyId", placement.kms_key.as_ref());
    if let Some(group) = &placement.subnet_group {
        xml.inside("DBSubnetGroup", |xml| xml.text("DBSubnetGroupName", group));
    }
    xml.list("DBParameterGroups", "DBParameterGroup", &placement.parameter_group, |xml, group| {
        xml.text("DBParameterGroupName", group);
        xml.text("ParameterApplyStatus", apply_status);
    });
}

fn write_pending(xml: &mut Xml, pending: &Pending) {
    xml.optional("DBInstanceClass", pending.class.as_ref());
    xml.optional("BackupRetentionPeriod", pending.retention);
    xml.optional("MultiAZ", pending.multi_az);
    xml.optional("DBInstanceIdentifier", pending.name.as_ref());
}

pub(crate) fn write_tags(xml: &mut Xml, tags: &BTreeMap<String, String>) {
    xml.list("TagList", "Tag", tags, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}

pub(crate) fn write_snapshot(xml: &mut Xml, snapshot: &Snapshot) {
    xml.text("DBSnapshotIdentifier", &snapshot.key.id);
    xml.text("DBSnapshotArn", &snapshot.arn);
    xml.text("DBInstanceIdentifier", &snapshot.of.key.id);
    xml.text("DbiResourceId", &snapshot.of.resource);
    xml.text("Engine", snapshot.of.engine.name());
    xml.text("EngineVersion", &snapshot.of.engine_version);
    xml.text("MasterUsername", &snapshot.of.master_user);
    xml.text("AllocatedStorage", snapshot.of.storage);
    xml.text("InstanceCreateTime", format_args!("{:.3}", snapshot.of.created));
    xml.text("SnapshotCreateTime", format_args!("{:.3}", snapshot.created));
    xml.text("SnapshotType", "manual");
    xml.text("Status", snapshot.status.name());
    xml.text("PercentProgress", if snapshot.status == SnapshotStatus::Available { 100 } else { 0 });
    xml.text("Encrypted", snapshot.of.placement.kms_key.is_some());
    xml.optional("KmsKeyId", snapshot.of.placement.kms_key.as_ref());
    write_tags(xml, &snapshot.tags);
}

pub(crate) fn arn(account: &str, key: &Key, kind: &str) -> String {
    format!("arn:aws:rds:{}:{account}:{kind}:{}", key.region, key.id)
}
