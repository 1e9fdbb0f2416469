//! Which statement of a role's policies a call took, and which none ever did.
//!
//! ```text
//! calls of all scenes ─► Permission (role, action, ARN, context) ─┐
//! policies as the template says them now ─► Grant (statement, action, resource) ─┴─► used by none │ needed and not granted │ granted twice
//! ```
//! The calls were judged when they were made; here the same evaluation asks of each grant whether anybody needed it. So a permission that
//! is taken out of the template, or put into it, shows without the calls being made again.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::{Judgement, Need, Policy, PolicyError, Statement, arn_glob, glob, judge};

/// One permission that a role was asked for and had, with all that conditions may look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permission {
    /// The role's name.
    pub role: String,
    pub action: String,
    pub resource: String,
    pub context: BTreeMap<String, Vec<String>>,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action, self.resource)
    }
}

/// One action on one pattern of resources that a statement allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    pub sid: String,
    pub action: String,
    pub resource: String,
    pub conditional: bool,
}

impl Grant {
    /// Allows what nobody can list, so that no use could prove it.
    #[must_use]
    pub fn is_boundless(&self) -> bool {
        self.action.contains(['*', '?']) || self.resource.starts_with("* but") || (self.resource == "*" && !self.conditional)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {}, {} on {}", self.sid, self.action, self.resource)
    }
}

/// All policies of one role.
#[derive(Clone, Debug)]
pub struct Policies(Vec<Policy>);

impl Policies {
    /// # Errors
    /// When a document is malformed, or says something that the router does not evaluate.
    pub fn parse<'a>(documents: impl IntoIterator<Item = &'a str>) -> Result<Self, PolicyError> {
        documents.into_iter().map(Policy::identity).collect::<Result<_, _>>().map(Self)
    }

    /// Everything that they allow.
    #[must_use]
    pub fn grants(&self) -> Vec<Grant> {
        self.statements().filter(|statement| statement.allow).flat_map(|statement| grants(statement, |_| true, |_| true)).collect()
    }

    /// The grants that allow it; none where they do not, or a Deny forbids it.
    #[must_use]
    pub fn allowing(&self, permission: &Permission) -> Vec<Grant> {
        let Permission { action, resource, context, .. } = permission;
        let need = Need { action: action.clone(), resource: resource.clone(), context: context.clone() };
        if judge(self.0.iter(), &need) != Judgement::Allowed {
            return Vec::new();
        }
        let asked = action.to_ascii_lowercase();
        let of_action = |pattern: &str| glob(&pattern.to_ascii_lowercase(), &asked);
        let of_resource = |pattern: &str| arn_glob(pattern, resource);
        self.statements().filter(|statement| statement.matches(&need)).flat_map(|statement| grants(statement, of_action, of_resource)).collect()
    }

    fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.0.iter().flat_map(|policy| &policy.statements)
    }
}

/// Each action of a statement with each of its resources, as far as they fit. What `NotAction` or `NotResource` allow has no end, and is
/// one pattern that says so.
fn grants(statement: &Statement, of_action: impl Fn(&str) -> bool, of_resource: impl Fn(&str) -> bool) -> Vec<Grant> {
    let patterns = |(positive, patterns): &(bool, Vec<String>), fits: &dyn Fn(&str) -> bool| match positive {
        true => patterns.iter().filter(|pattern| fits(pattern)).cloned().collect(),
        false => vec![format!("* but {}", patterns.join(", "))],
    };
    let (actions, resources): (Vec<String>, Vec<String>) = (patterns(&statement.actions, &of_action), patterns(&statement.resources, &of_resource));
    let conditional = !statement.conditions.is_empty();
    let grant =
        |action: &String, resource: &String| Grant { sid: statement.sid.clone(), action: action.clone(), resource: resource.clone(), conditional };
    actions.iter().flat_map(|action| resources.iter().map(move |resource| grant(action, resource))).collect()
}

#[cfg(test)]
mod tests;
