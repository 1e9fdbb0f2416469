//! What a template's roles may do, without deploying it again: the policies as they would be put now, over what an earlier deployment made.
//!
//! A permission that was just put into a template, or taken out of it, shows here at once.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::resources::Physical;
use crate::template::{Resource, Template, text_of};
use crate::{DeployError, Deployer, Stack, TemplateError, transform};

/// One policy of a role.
#[derive(Clone, Debug, PartialEq)]
pub struct RolePolicy {
    /// Logical id of the role that has it inline, or of the managed policy that it is.
    pub owner: String,
    pub document: Value,
}

impl Deployer {
    /// The identity policies of every role of a stack, by the role's logical id: its own, then the managed ones of the same template.
    /// `made` is what a deployment of it made; it answers what policies refer to.
    ///
    /// # Errors
    /// When the template cannot be transformed or resolved, or refers to what `made` lacks.
    pub async fn policies(&self, stack: &Stack, made: BTreeMap<String, Physical>) -> Result<BTreeMap<String, Vec<RolePolicy>>, DeployError> {
        let transformed = transform::transform(&self.venv, &self.cache_dir, &stack.region, &stack.template, &stack.parameters).await?;
        let wrong = |error| DeployError::Template { template: stack.template.clone(), error };
        let template = Template::parse(transformed).map_err(wrong)?;
        let parameters =
            template.parameters(&stack.parameters).map_err(|mistakes| DeployError::Parameters { stack: stack.name.clone(), mistakes })?;
        let scope = self.scope(stack, &template, &parameters, made);
        let wanted = template.wanted(&scope).map_err(wrong)?;
        let resolved = |resource: &Resource| Ok(scope.resolve(&resource.properties)?.unwrap_or_default());
        let mut managed = BTreeMap::new();
        for (logical, resource) in wanted.iter().filter(|(_, resource)| resource.kind == "AWS::IAM::ManagedPolicy") {
            let made = scope.made.get(logical).ok_or_else(|| wrong(TemplateError::NotMade(logical.clone())))?;
            let document = resolved(resource).map_err(wrong)?["PolicyDocument"].clone();
            managed.insert(made.id.clone(), RolePolicy { owner: logical.clone(), document });
        }
        let mut roles = BTreeMap::new();
        for (logical, resource) in wanted.iter().filter(|(_, resource)| resource.kind == "AWS::IAM::Role") {
            let role = resolved(resource).map_err(wrong)?;
            let listed = |name: &str| role[name].as_array().cloned().unwrap_or_default();
            let own = listed("Policies").into_iter().map(|policy| RolePolicy { owner: logical.clone(), document: policy["PolicyDocument"].clone() });
            let attached = listed("ManagedPolicyArns").into_iter().map(|arn| {
                let arn = text_of(&arn);
                managed.get(&arn).cloned().ok_or_else(|| wrong(TemplateError::Unknown(arn)))
            });
            roles.insert(logical.clone(), own.map(Ok).chain(attached).collect::<Result<_, _>>()?);
        }
        Ok(roles)
    }
}
