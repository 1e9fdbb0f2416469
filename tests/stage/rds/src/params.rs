//! The form of a Query request. What an action does not take out of it is refused, not ignored: a parameter without effect
//! would let a caller believe in something that the stage does not do.

use crate::Inner;
use crate::fault::Fault;
use crate::parameter_group::Parameter;
use crate::state::Placement;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// Parameters that RDS takes and that mean nothing for a local server.
const WITHOUT_EFFECT: [&str; 19] = [
    "Action",
    "Version",
    "PreSignedUrl",
    "SourceRegion",
    "DestinationRegion",
    "StorageType",
    "Iops",
    "AvailabilityZone",
    "OptionGroupName",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot",
    "MaxAllocatedStorage",
    "CACertificateIdentifier",
    "DeleteAutomatedBackups",
    "EngineVersion",
    "Port",
    "ForceFailover",
];

pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    pub(crate) fn parse(body: &[u8]) -> Params {
        Params(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(crate) fn action(&self) -> &str {
        self.0.get("Action").map_or("", String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(crate) fn need(&mut self, name: &str) -> Result<String, Fault> {
        self.take(name).filter(|value| !value.is_empty()).ok_or_else(|| Fault::missing(name))
    }

    pub(crate) fn take_as<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| Fault::invalid_value(format!("Invalid value {value} for {name}")))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        Ok(self.take_as(name)?.unwrap_or(false))
    }

    pub(crate) fn retention(&mut self) -> Result<Option<u32>, Fault> {
        let days = self.take_as::<u32>("BackupRetentionPeriod")?;
        match days {
            Some(days) if days > 35 => Err(Fault::invalid_value(format!("Invalid backup retention period: {days}. Must be between 0 and 35"))),
            days => Ok(days),
        }
    }

    /// What is kept and told; the key is the Region's own where encryption is asked for without one.
    pub(crate) fn placement(&mut self, inner: &Inner, region: &str) -> Result<Placement, Fault> {
        let named = self.take("KmsKeyId");
        let encrypted = self.flag("StorageEncrypted")? || named.is_some();
        let kms_key = encrypted.then(|| named.unwrap_or_else(|| format!("arn:aws:kms:{region}:{}:key/aws-rds", inner.account)));
        Ok(Placement {
            subnet_group: self.take("DBSubnetGroupName"),
            parameter_group: self.take("DBParameterGroupName"),
            parameters_wait: false,
            public: self.flag("PubliclyAccessible")?,
            kms_key,
        })
    }

    /// `Name.Member.1`, `Name.Member.2`, whatever the member is called.
    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        let indices = self.indices(name);
        indices.into_iter().filter_map(|index| self.take(&index)).collect()
    }

    pub(crate) fn tags(&mut self) -> Vec<(String, String)> {
        let indices = self.indices("Tags");
        let pairs = indices.into_iter().map(|index| {
            let value = self.take(&format!("{index}.Value")).unwrap_or_default();
            self.take(&format!("{index}.Key")).map(|key| (key, value))
        });
        pairs.flatten().collect()
    }

    pub(crate) fn filters(&mut self) -> Vec<(String, Vec<String>)> {
        let indices = self.indices("Filters");
        let pairs = indices.into_iter().map(|index| {
            let values = self.list(&format!("{index}.Values"));
            self.take(&format!("{index}.Name")).map(|name| (name, values))
        });
        pairs.flatten().collect()
    }

    /// The changes of a parameter group.
    pub(crate) fn parameters(&mut self) -> Result<Vec<Parameter>, Fault> {
        let mut changes = Vec::new();
        for index in self.indices("Parameters") {
            let mut part = |name: &str| self.need(&format!("{index}.{name}"));
            let (name, value, method) = (part("ParameterName")?, part("ParameterValue")?, part("ApplyMethod")?);
            let at_once = match method.as_str() {
                "immediate" => true,
                "pending-reboot" => false,
                other => return Err(Fault::invalid_value(format!("Invalid apply method: {other}"))),
            };
            changes.push(Parameter { name, value, at_once });
        }
        if changes.is_empty() { Err(Fault::missing("Parameters")) } else { Ok(changes) }
    }

    pub(crate) fn finish(self) -> Result<(), Fault> {
        let unknown = self.0.keys().find(|key| !WITHOUT_EFFECT.contains(&key.as_str()));
        match unknown {
            None => Ok(()),
            Some(key) => Err(Fault::invalid_value(format!("the stage's RDS does not know the parameter {key} of this action"))),
        }
    }

    /// The distinct `name.member.index` in the order of their numbers.
    fn indices(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}.");
        let mut found = BTreeSet::new();
        for rest in self.0.keys().filter_map(|key| key.strip_prefix(&prefix)) {
            let mut parts = rest.split('.');
            if let (Some(member), Some(Ok(index))) = (parts.next(), parts.next().map(str::parse::<u32>)) {
                found.insert((index, format!("{prefix}{member}.{index}")));
            }
        }
        found.into_iter().map(|(_, path)| path).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_tags_and_filters_are_read_by_their_numbers() {
        let mut params = Params::parse(
            b"VpcSecurityGroupIds.VpcSecurityGroupId.2=b&VpcSecurityGroupIds.VpcSecurityGroupId.1=a&VpcSecurityGroupIds.VpcSecurityGroupId.10=c\
              &Tags.Tag.1.Key=k&Tags.Tag.1.Value=v&Filters.Filter.1.Name=db-instance-id&Filters.Filter.1.Values.Value.1=x",
        );
        assert_eq!(params.list("VpcSecurityGroupIds"), ["a", "b", "c"]);
        assert_eq!(params.tags(), [("k".to_owned(), "v".to_owned())]);
        assert_eq!(params.filters(), [("db-instance-id".to_owned(), vec!["x".to_owned()])]);
        assert!(params.finish().is_ok());
    }

    #[test]
    fn parameter_that_nobody_took_is_refused() {
        let refused = Params::parse(b"Action=CreateDBInstance&MultiTenant=true").finish().unwrap_err();
        assert_eq!(refused.code, "InvalidParameterValue");
        assert!(refused.message.contains("MultiTenant"));
    }
}
