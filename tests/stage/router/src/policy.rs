//! May this role do this? The part of IAM's evaluation that templates use, and nothing guessed beyond it.
//!
//! ```text
//! document ─parse─► statements ─┐
//! call ─► needs (action, ARN, context) ─┴─► Deny beats Allow beats silence
//! ```
//! What the evaluation does not know (an operator, a condition key, a policy variable) is refused when the document is *parsed*, with its
//! name: a condition that is skipped would make the stage allow what AWS denies, and the template's mistake would show in production.

use std::collections::BTreeMap;

use serde_json::Value;

/// Condition values of one call, by lower-case key. A key that is known but absent has no value, which IAM's operators tell apart.
pub(crate) type Context = BTreeMap<String, Vec<String>>;

/// One permission that a call takes. Some calls take several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) context: Context,
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum PolicyError {
    #[error("the policy is not JSON: {0}")]
    Json(String),
    #[error("the policy has no {0}")]
    Missing(&'static str),
    #[error("the effect `{0}` is neither Allow nor Deny")]
    Effect(String),
    #[error("an identity policy names no Principal")]
    Principal,
    #[error("the resource `{0}` is no ARN with six parts and not `*`")]
    Resource(String),
    #[error("the policy variable in `{0}` is not evaluated by the stage: write the value out, or teach policy.rs")]
    Variable(String),
    #[error("the condition operator `{0}` is not evaluated by the stage: teach it to policy.rs, it must not be skipped")]
    Operator(String),
    #[error("the condition key `{0}` is not evaluated by the stage: teach it to policy.rs and resources.rs, it must not be skipped")]
    Key(String),
}

/// What a set of policies says of a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Allowed,
    /// No statement allows it.
    Silent,
    /// A Deny statement matches.
    Forbidden,
}

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sid: String,
    pub(crate) allow: bool,
    /// `NotAction` and `NotResource` are the same lists, turned round.
    pub(crate) actions: (bool, Vec<String>),
    pub(crate) resources: (bool, Vec<String>),
    principals: Vec<String>,
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
pub(crate) struct Condition {
    quantifier: Quantifier,
    operator: Operator,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    One,
    Every,
    Some,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Not(Positive),
    Bool,
    Null,
}

/// What a negated operator negates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Positive {
    Equals,
    Like,
    Arn,
}

/// Keys whose values resources.rs and the directory can tell. The part after a `/` (a tag's name) is free.
const KEYS: &[&str] = &[
    "application-autoscaling:scalable-dimension",
    "application-autoscaling:service-namespace",
    "autoscaling:resourcetag/",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:requestedregion",
    "aws:requesttag/",
    "aws:resourceaccount",
    "aws:resourcetag/",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:tagkeys",
    "cloudwatch:namespace",
    "ec2:launchtemplate",
    "ecs:cluster",
    "ecs:resourcetag/",
    "iam:passedtoservice",
    "kms:viaservice",
    "lambda:sourcefunctionarn",
    "rds:db-tag/",
    "rds:publiclyaccessible",
    "rds:req-tag/",
    "s3:prefix",
    "secretsmanager:addreplicaregions",
    "secretsmanager:forceoverwritereplicasecret",
    "secretsmanager:resourcetag/",
    "secretsmanager:rotationlambdaarn",
    "secretsmanager:versionstage",
    "sns:endpoint",
    "sns:protocol",
];

impl Policy {
    /// An identity policy, as a role has it.
    ///
    /// # Errors
    /// When the document is malformed, or says something that the stage does not evaluate.
    pub(crate) fn identity(document: &str) -> Result<Self, PolicyError> {
        let policy = Self::parse(document)?;
        if policy.statements.iter().any(|statement| !statement.principals.is_empty()) {
            return Err(PolicyError::Principal);
        }
        Ok(policy)
    }

    /// A policy on a resource or a trust policy: its statements say whom they mean.
    pub(crate) fn parse(document: &str) -> Result<Self, PolicyError> {
        let document: Value = serde_json::from_str(document).map_err(|error| PolicyError::Json(error.to_string()))?;
        let statements = match document.get("Statement") {
            Some(Value::Array(items)) => items.iter().map(Statement::parse).collect::<Result<_, _>>()?,
            Some(single @ Value::Object(_)) => vec![Statement::parse(single)?],
            _ => return Err(PolicyError::Missing("Statement")),
        };
        Ok(Self { statements })
    }

    /// Whether a resource's policy lets a service (`sns.amazonaws.com`) or `*` in.
    pub(crate) fn admits(&self, principal: &str, need: &Need) -> bool {
        let named = |statement: &&Statement| statement.principals.iter().any(|name| name == "*" || name == principal);
        let matching: Vec<&Statement> = self.statements.iter().filter(named).filter(|statement| statement.matches(need)).collect();
        !matching.is_empty() && matching.iter().all(|statement| statement.allow)
    }
}

/// Deny beats Allow beats silence, over all policies of a role.
pub(crate) fn judge<'a>(policies: impl Iterator<Item = &'a Policy>, need: &Need) -> Judgement {
    let mut judgement = Judgement::Silent;
    for statement in policies.flat_map(|policy| &policy.statements).filter(|statement| statement.matches(need)) {
        if !statement.allow {
            return Judgement::Forbidden;
        }
        judgement = Judgement::Allowed;
    }
    judgement
}

impl Statement {
    fn parse(statement: &Value) -> Result<Self, PolicyError> {
        let effect = statement.get("Effect").and_then(Value::as_str).ok_or(PolicyError::Missing("Effect"))?;
        let allow = match effect {
            "Allow" => true,
            "Deny" => false,
            other => return Err(PolicyError::Effect(other.to_owned())),
        };
        let principals = principals(statement.get("Principal"));
        let actions = either(statement, "Action", "NotAction").ok_or(PolicyError::Missing("Action"))?;
        // The trust policy of a role has no resource: the role is it.
        let resources = match either(statement, "Resource", "NotResource") {
            Some(resources) => resources,
            None if !principals.is_empty() => (true, vec!["*".to_owned()]),
            None => return Err(PolicyError::Missing("Resource")),
        };
        for resource in &resources.1 {
            if resource.contains("${") {
                return Err(PolicyError::Variable(resource.clone()));
            }
            if resource != "*" && resource.splitn(6, ':').count() < 6 {
                return Err(PolicyError::Resource(resource.clone()));
            }
        }
        let sid = statement.get("Sid").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { sid, allow, actions, resources, principals, conditions: conditions(statement.get("Condition"))? })
    }

    pub(crate) fn matches(&self, need: &Need) -> bool {
        let action = need.action.to_ascii_lowercase();
        let named = |(wanted, patterns): &(bool, Vec<String>), hit: &dyn Fn(&String) -> bool| patterns.iter().any(hit) == *wanted;
        named(&self.actions, &|pattern| glob(&pattern.to_ascii_lowercase(), &action))
            && named(&self.resources, &|pattern| arn_glob(pattern, &need.resource))
            && self.conditions.iter().all(|condition| condition.holds(&need.context))
    }
}

fn principals(principal: Option<&Value>) -> Vec<String> {
    match principal {
        Some(Value::Object(kinds)) => kinds.values().flat_map(strings).collect(),
        Some(other) => strings(other),
        None => Vec::new(),
    }
}

fn either(statement: &Value, positive: &str, negative: &str) -> Option<(bool, Vec<String>)> {
    let named = statement.get(positive).map(|value| (true, strings(value)));
    named.or_else(|| statement.get(negative).map(|value| (false, strings(value))))
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Null | Value::Object(_) => Vec::new(),
        other => vec![other.to_string()],
    }
}

fn conditions(condition: Option<&Value>) -> Result<Vec<Condition>, PolicyError> {
    let Some(Value::Object(operators)) = condition else { return Ok(Vec::new()) };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        for (key, values) in keys.as_object().into_iter().flatten() {
            conditions.push(Condition::parse(name, key, strings(values))?);
        }
    }
    Ok(conditions)
}

impl Condition {
    fn parse(name: &str, key: &str, values: Vec<String>) -> Result<Self, PolicyError> {
        let (quantifier, bare) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Quantifier::Every, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Some, rest),
            Some(_) => return Err(PolicyError::Operator(name.to_owned())),
            None => (Quantifier::One, name),
        };
        let (bare, if_exists) = bare.strip_suffix("IfExists").map_or((bare, false), |bare| (bare, true));
        let operator = match bare {
            "StringEquals" => Operator::Equals,
            "StringEqualsIgnoreCase" => Operator::EqualsIgnoreCase,
            "StringLike" => Operator::Like,
            "StringNotEquals" => Operator::Not(Positive::Equals),
            "StringNotLike" => Operator::Not(Positive::Like),
            "ArnLike" | "ArnEquals" => Operator::Arn,
            "ArnNotLike" | "ArnNotEquals" => Operator::Not(Positive::Arn),
            "Bool" => Operator::Bool,
            "Null" => Operator::Null,
            _ => return Err(PolicyError::Operator(name.to_owned())),
        };
        let lower = key.to_ascii_lowercase();
        let known = |known: &str| if known.ends_with('/') { lower.starts_with(known) } else { lower == known };
        if !KEYS.iter().any(|key| known(key)) {
            return Err(PolicyError::Key(key.to_owned()));
        }
        if let Some(value) = values.iter().find(|value| value.contains("${")) {
            return Err(PolicyError::Variable(value.clone()));
        }
        Ok(Self { quantifier, operator, if_exists, key: lower, values })
    }

    fn holds(&self, context: &Context) -> bool {
        let found = context.get(&self.key).filter(|values| !values.is_empty());
        if self.operator == Operator::Null {
            return self.values.iter().any(|value| (value == "true") == found.is_none());
        }
        let Some(found) = found else {
            let negated = matches!(self.operator, Operator::Not(_));
            return self.if_exists || self.quantifier == Quantifier::Every || (negated && self.quantifier == Quantifier::One);
        };
        match self.quantifier {
            Quantifier::Every => found.iter().all(|value| self.hit(value)),
            Quantifier::One | Quantifier::Some => found.iter().any(|value| self.hit(value)),
        }
    }

    fn hit(&self, value: &str) -> bool {
        let any = |test: fn(&str, &str) -> bool| self.values.iter().any(|wanted| test(wanted, value));
        match self.operator {
            Operator::Equals => any(|wanted, value| wanted == value),
            Operator::EqualsIgnoreCase | Operator::Bool => any(|wanted, value| wanted.eq_ignore_ascii_case(value)),
            Operator::Like => any(glob),
            Operator::Arn => any(arn_glob),
            Operator::Not(Positive::Equals) => !any(|wanted, value| wanted == value),
            Operator::Not(Positive::Like) => !any(glob),
            Operator::Not(Positive::Arn) => !any(arn_glob),
            // Answered before a value is looked at.
            Operator::Null => false,
        }
    }
}

/// ARNs match part by part: a `*` in the Region does not swallow the account. The sixth part keeps its colons.
pub(crate) fn arn_glob(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (mut patterns, mut parts) = (pattern.splitn(6, ':'), arn.splitn(6, ':'));
    loop {
        match (patterns.next(), parts.next()) {
            (Some(pattern), Some(part)) if glob(pattern, part) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// `*` any run, `?` one character; linear, with one place to come back to.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star.as_mut() {
                Some((at, swallowed)) => {
                    *swallowed += 1;
                    (p, t) = (*at + 1, *swallowed);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests;
