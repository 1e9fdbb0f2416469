//! Roles, managed policies and instance profiles.

use serde_json::Value;

use super::props::{document, pairs};
use super::{Physical, Props, ResourceError, Site, Wanted};
use crate::template::text_of;

const VERSION: &str = "2010-05-08";

/// A role's inline policies, by name.
fn inline(props: &mut Props) -> Result<Vec<(String, String)>, ResourceError> {
    let missing = |name: &str| ResourceError::Property(format!("Policies[].{name}"));
    let policies = props.list("Policies");
    let one = |policy: &Value| {
        let name = policy.get("PolicyName").map(text_of).ok_or_else(|| missing("PolicyName"))?;
        Ok((name, document(policy.get("PolicyDocument").ok_or_else(|| missing("PolicyDocument"))?)))
    };
    policies.iter().map(one).collect()
}

pub(super) async fn put_role(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let iam = wanted.site.service("iam");
    let name = wanted.name(props, "RoleName");
    let path = props.text("Path").unwrap_or_else(|| "/".to_owned());
    let trust = document(&props.value("AssumeRolePolicyDocument").ok_or_else(|| ResourceError::Property("AssumeRolePolicyDocument".to_owned()))?);
    let (attached, inline_policies) = (props.texts("ManagedPolicyArns"), inline(props)?);
    let description = props.text("Description").unwrap_or_default();
    // SAM's own label on roles that it makes; nothing reads it.
    props.value("Tags");
    props.end()?;
    if let Some((_, before)) = wanted.before {
        iam.query(VERSION, "UpdateAssumeRolePolicy", &pairs([("RoleName", &name), ("PolicyDocument", &trust)])).await?;
        let mut before = Props::new(before)?;
        for arn in before.texts("ManagedPolicyArns").iter().filter(|arn| !attached.contains(arn)) {
            iam.query(VERSION, "DetachRolePolicy", &pairs([("RoleName", &name), ("PolicyArn", arn)])).await?;
        }
        for (gone, _) in inline(&mut before)?.iter().filter(|(old, _)| inline_policies.iter().all(|(new, _)| new != old)) {
            iam.query(VERSION, "DeleteRolePolicy", &pairs([("RoleName", &name), ("PolicyName", gone)])).await?;
        }
    } else {
        let fields = [("RoleName", name.as_str()), ("Path", &path), ("AssumeRolePolicyDocument", &trust), ("Description", &description)];
        iam.query(VERSION, "CreateRole", &pairs(fields)).await?;
    }
    for arn in &attached {
        iam.query(VERSION, "AttachRolePolicy", &pairs([("RoleName", &name), ("PolicyArn", arn)])).await?;
    }
    for (policy, text) in &inline_policies {
        iam.query(VERSION, "PutRolePolicy", &pairs([("RoleName", &name), ("PolicyName", policy), ("PolicyDocument", text)])).await?;
    }
    let arn = format!("arn:aws:iam::{}:role{path}{name}", wanted.site.account);
    Ok(Physical::new(name, [("Arn", arn)]))
}

pub(super) async fn delete_role(site: &Site<'_>, name: &str, props: &mut Props) -> Result<(), ResourceError> {
    let iam = site.service("iam");
    for arn in props.texts("ManagedPolicyArns") {
        iam.query(VERSION, "DetachRolePolicy", &pairs([("RoleName", name), ("PolicyArn", &arn)])).await?;
    }
    for (policy, _) in inline(props)? {
        iam.query(VERSION, "DeleteRolePolicy", &pairs([("RoleName", name), ("PolicyName", &policy)])).await?;
    }
    iam.query(VERSION, "DeleteRole", &pairs([("RoleName", name)])).await?;
    Ok(())
}

pub(super) async fn put_managed_policy(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    let iam = wanted.site.service("iam");
    let name = wanted.name(props, "ManagedPolicyName");
    let path = props.text("Path").unwrap_or_else(|| "/".to_owned());
    let text = document(&props.value("PolicyDocument").ok_or_else(|| ResourceError::Property("PolicyDocument".to_owned()))?);
    let description = props.text("Description").unwrap_or_default();
    props.end()?;
    if let Some(arn) = wanted.before_id() {
        let fields = pairs([("PolicyArn", arn), ("PolicyDocument", &text), ("SetAsDefault", "true")]);
        let answer = iam.query(VERSION, "CreatePolicyVersion", &fields).await?;
        // A policy holds five versions; only the one in force is of use.
        let version = iam.text("CreatePolicyVersion", &answer, "VersionId")?;
        if let Some(last) = version.trim_start_matches('v').parse::<u32>().ok().and_then(|number| number.checked_sub(1)) {
            iam.query(VERSION, "DeletePolicyVersion", &pairs([("PolicyArn", arn), ("VersionId", &format!("v{last}"))])).await?;
        }
        return Ok(Physical::new(arn, [("PolicyArn", arn.to_owned())]));
    }
    let fields = pairs([("PolicyName", &name), ("Path", &path), ("PolicyDocument", &text), ("Description", &description)]);
    let answer = iam.query(VERSION, "CreatePolicy", &fields).await?;
    let arn = iam.text("CreatePolicy", &answer, "Arn")?;
    Ok(Physical::new(arn.clone(), [("PolicyArn", arn)]))
}

pub(super) async fn delete_managed_policy(site: &Site<'_>, arn: &str) -> Result<(), ResourceError> {
    site.service("iam").query(VERSION, "DeletePolicy", &pairs([("PolicyArn", arn)])).await?;
    Ok(())
}

pub(super) async fn put_instance_profile(wanted: &Wanted<'_>, props: &mut Props) -> Result<Physical, ResourceError> {
    wanted.must_be_new()?;
    let iam = wanted.site.service("iam");
    let name = wanted.name(props, "InstanceProfileName");
    let roles = props.texts("Roles");
    props.end()?;
    iam.query(VERSION, "CreateInstanceProfile", &pairs([("InstanceProfileName", name.as_str())])).await?;
    for role in &roles {
        iam.query(VERSION, "AddRoleToInstanceProfile", &pairs([("InstanceProfileName", &name), ("RoleName", role)])).await?;
    }
    let arn = format!("arn:aws:iam::{}:instance-profile/{name}", wanted.site.account);
    Ok(Physical::new(name, [("Arn", arn)]))
}

pub(super) async fn delete_instance_profile(site: &Site<'_>, name: &str, props: &mut Props) -> Result<(), ResourceError> {
    let iam = site.service("iam");
    for role in props.texts("Roles") {
        iam.query(VERSION, "RemoveRoleFromInstanceProfile", &pairs([("InstanceProfileName", name), ("RoleName", &role)])).await?;
    }
    iam.query(VERSION, "DeleteInstanceProfile", &pairs([("InstanceProfileName", name)])).await?;
    Ok(())
}
