//! Who is who: the roles, policies, functions, tags and buckets that were made through the router.
//!
//! Learned from the calls that pass by, after the backend said yes. There is no second list to keep: whatever deploys the stage teaches the
//! router what it has to judge.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::policy::{Context, Judgement, Need, Policy, PolicyError, judge};
use crate::privilege::Permission;
use crate::request::Parsed;
use crate::resources::{function_arn, request_tags};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The stage itself, by the emulators' root key.
    Root,
    /// Nobody signed the call.
    Anonymous,
    /// A key that the stage told us not to judge.
    Unjudged(String),
    /// A session of a role; a function's session has its ARN.
    Role { role: String, session: String, function: Option<String> },
    /// A key that nothing minted.
    Stranger(String),
}

impl Caller {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Root => "root".to_owned(),
            Self::Anonymous => "anonymous".to_owned(),
            Self::Unjudged(label) => label.clone(),
            Self::Role { role, .. } => role.clone(),
            Self::Stranger(key) => format!("unknown key {key}"),
        }
    }

    pub(crate) fn function(&self) -> Option<&str> {
        match self {
            Self::Role { function, .. } => function.as_deref(),
            _ => None,
        }
    }

    /// A function lives in a Region, and dies with it.
    pub(crate) fn region(&self) -> Option<&str> {
        self.function()?.split(':').nth(3)
    }
}

#[derive(Default)]
struct Role {
    inline: BTreeMap<String, Policy>,
    attached: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Directory {
    account: String,
    roles: HashMap<String, Role>,
    managed: HashMap<String, Policy>,
    /// Access key to its caller.
    keys: HashMap<String, Caller>,
    /// Function ARN to its role's ARN.
    functions: HashMap<String, String>,
    tags: HashMap<String, BTreeMap<String, String>>,
    buckets: HashMap<String, String>,
    /// What roles were asked for and had.
    used: BTreeSet<Permission>,
}

/// Why a call of a judged caller is not forwarded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    Denied { sentence: String },
    Misconfigured(String),
}

pub(crate) const ROOT_KEY: &str = "test";
pub(crate) const ROOT_SECRET: &str = "test";

/// What the two managed policies say that a template attaches to functions by itself.
const BASIC: &[&str] = &["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"];
const IN_VPC: &[&str] = &[
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
];

impl Directory {
    /// # Errors
    /// Never in practice: the two managed policies above are constants; the parser is asked all the same.
    pub(crate) fn new(account: &str) -> Result<Self, PolicyError> {
        let mut managed = HashMap::new();
        for (name, actions) in [("AWSLambdaBasicExecutionRole", BASIC), ("AWSLambdaVPCAccessExecutionRole", IN_VPC)] {
            let document = serde_json::json!({"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]});
            managed.insert(format!("arn:aws:iam::aws:policy/service-role/{name}"), Policy::identity(&document.to_string())?);
        }
        Ok(Self { account: account.to_owned(), managed, ..Self::default() })
    }

    pub(crate) fn caller(&self, key: Option<&str>) -> Caller {
        match key {
            None => Caller::Anonymous,
            Some(ROOT_KEY) => Caller::Root,
            Some(key) => self.keys.get(key).cloned().unwrap_or_else(|| Caller::Stranger(key.to_owned())),
        }
    }

    pub(crate) fn register(&mut self, key: &str, caller: Caller) {
        self.keys.insert(key.to_owned(), caller);
    }

    pub(crate) fn bucket_region(&self, bucket: &str) -> Option<&str> {
        self.buckets.get(bucket).map(String::as_str)
    }

    pub(crate) fn used(&self) -> Vec<Permission> {
        self.used.iter().cloned().collect()
    }

    /// Judges every need of a call; the first that is not allowed decides.
    pub(crate) fn judge(&mut self, caller: &Caller, needs: &[Need], region: &str) -> Verdict {
        let Caller::Role { role, session, function } = caller else { return Verdict::Allowed };
        let Some(known) = self.roles.get(role) else {
            return Verdict::Misconfigured(format!("the role `{role}` was not created through the router: its policies are unknown"));
        };
        let unknown = known.attached.iter().find(|arn| !self.managed.contains_key(*arn));
        if let Some(arn) = unknown {
            return Verdict::Misconfigured(format!(
                "the role `{role}` has the managed policy {arn}, whose statements the router does not know: add them to directory.rs"
            ));
        }
        let principal = format!("arn:aws:sts::{}:assumed-role/{role}/{session}", self.account);
        let mut used = Vec::new();
        for need in needs {
            let policies = known.inline.values().chain(known.attached.iter().filter_map(|arn| self.managed.get(arn)));
            let full = Need { context: self.context(need, role, function.as_deref(), region), ..need.clone() };
            let reason = match judge(policies, &full) {
                Judgement::Allowed => {
                    used.push(Permission { role: role.clone(), action: full.action, resource: full.resource, context: full.context });
                    continue;
                }
                Judgement::Silent => format!("because no identity-based policy allows the {} action", need.action),
                Judgement::Forbidden => "with an explicit deny in an identity-based policy".to_owned(),
            };
            return Verdict::Denied {
                sentence: format!("User: {principal} is not authorized to perform: {} on resource: {} {reason}", need.action, need.resource),
            };
        }
        self.used.extend(used);
        Verdict::Allowed
    }

    /// What IAM adds to every request by itself.
    fn context(&self, need: &Need, role: &str, function: Option<&str>, region: &str) -> Context {
        let mut context = need.context.clone();
        let mut add = |key: String, value: &str| context.insert(key, vec![value.to_owned()]);
        if let Some(function) = function {
            // With the credentials of an execution environment, and not when Lambda itself acts under the role.
            add("lambda:sourcefunctionarn".to_owned(), function);
        }
        add("aws:requestedregion".to_owned(), region);
        add("aws:principalarn".to_owned(), &format!("arn:aws:iam::{}:role/{role}", self.account));
        add("aws:principalaccount".to_owned(), &self.account);
        add("aws:resourceaccount".to_owned(), &self.account);
        // The loopback has no TLS; in AWS every SDK call has it.
        add("aws:securetransport".to_owned(), "true");
        let service = need.action.split(':').next().unwrap_or_default();
        for (name, value) in self.tags.get(&tag_key(&need.resource)).into_iter().flatten() {
            let name = name.to_ascii_lowercase();
            add(format!("aws:resourcetag/{name}"), value);
            add(format!("{service}:resourcetag/{name}"), value);
            add(format!("{service}:db-tag/{name}"), value);
        }
        context
    }

    /// Whether a role may be used by a service for one action, as a schedule's role is.
    pub(crate) fn role_allows(&mut self, role_arn: &str, need: &Need) -> Result<(), String> {
        let role = role_arn.rsplit('/').next().unwrap_or(role_arn).to_owned();
        let region = need.resource.split(':').nth(3).unwrap_or_default().to_owned();
        let caller = Caller::Role { role, session: "service".to_owned(), function: None };
        match self.judge(&caller, std::slice::from_ref(need), &region) {
            Verdict::Allowed => Ok(()),
            Verdict::Denied { sentence } | Verdict::Misconfigured(sentence) => Err(sentence),
        }
    }

    /// What must be refused before it is forwarded: a document that could not be judged later.
    ///
    /// # Errors
    /// The document's mistake, or what the stage does not evaluate in it.
    pub(crate) fn check(call: &Parsed) -> Result<(), PolicyError> {
        match (call.service.as_str(), call.operation.as_str()) {
            ("iam", "PutRolePolicy" | "CreatePolicy" | "CreatePolicyVersion") => {
                Policy::identity(call.text("PolicyDocument").unwrap_or_default()).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Learns from a call that the backend accepted.
    pub(crate) fn learn(&mut self, call: &Parsed, answer: &[u8]) {
        match call.service.as_str() {
            "iam" => self.learn_iam(call),
            "lambda" => self.learn_function(call, answer),
            "s3" if call.operation == "CreateBucket" => {
                let bucket = call.text("Bucket").unwrap_or_default().to_owned();
                let region = call.text("LocationConstraint").unwrap_or(&call.region);
                self.buckets.insert(bucket, region.to_owned());
            }
            "sts" if call.operation == "AssumeRole" => self.learn_session(call, answer),
            _ => {}
        }
    }

    /// Tags come with a creation or with a call of their own; both name the resource among their needs.
    pub(crate) fn learn_tags(&mut self, call: &Parsed, needs: &[Need]) {
        let removes = matches!(call.operation.as_str(), "UntagResource" | "RemoveTagsFromResource");
        let Some(resource) = needs.iter().find(|need| need.action.starts_with(&format!("{}:", call.service))) else { return };
        let tags = self.tags.entry(tag_key(&resource.resource)).or_default();
        if removes {
            let query = (1..).map_while(|n| call.text(&format!("TagKeys.member.{n}")));
            let json = call.params.get("TagKeys").or_else(|| call.params.get("tagKeys")).and_then(Value::as_array);
            for name in query.chain(json.into_iter().flatten().filter_map(Value::as_str)) {
                tags.remove(name);
            }
        } else {
            tags.extend(request_tags(&call.params));
        }
    }

    fn learn_iam(&mut self, call: &Parsed) {
        let text = |name: &str| call.text(name).unwrap_or_default().to_owned();
        let name = text("RoleName");
        match call.operation.as_str() {
            "CreateRole" => {
                self.roles.entry(name).or_default();
            }
            "DeleteRole" => {
                self.roles.remove(&name);
            }
            "PutRolePolicy" => {
                // Checked before it was forwarded.
                if let Ok(policy) = Policy::identity(&text("PolicyDocument")) {
                    self.roles.entry(name).or_default().inline.insert(text("PolicyName"), policy);
                }
            }
            "DeleteRolePolicy" => {
                self.roles.entry(name).or_default().inline.remove(&text("PolicyName"));
            }
            "AttachRolePolicy" => self.roles.entry(name).or_default().attached.push(text("PolicyArn")),
            "DetachRolePolicy" => {
                let arn = text("PolicyArn");
                self.roles.entry(name).or_default().attached.retain(|attached| *attached != arn);
            }
            "CreatePolicy" => {
                let path = call.text("Path").unwrap_or("/");
                let arn = format!("arn:aws:iam::{}:policy{path}{}", self.account, text("PolicyName"));
                if let Ok(policy) = Policy::identity(&text("PolicyDocument")) {
                    self.managed.insert(arn, policy);
                }
            }
            _ => {}
        }
    }

    fn learn_function(&mut self, call: &Parsed, answer: &[u8]) {
        let Some(function) = function_arn(call, &self.account) else { return };
        match call.operation.as_str() {
            "CreateFunction" | "UpdateFunctionConfiguration" => {
                if let Some(role) = call.text("Role") {
                    self.functions.insert(function.clone(), role.to_owned());
                    self.mint(&function, &function);
                }
            }
            // A version or alias runs under its qualified ARN, so it has a key of its own.
            "PublishVersion" | "CreateAlias" => {
                let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
                let qualifier = if call.operation == "CreateAlias" { call.text("Name") } else { answer["Version"].as_str() };
                if let Some(qualifier) = qualifier {
                    self.mint(&function, &format!("{function}:{qualifier}"));
                }
            }
            "DeleteFunction" => {
                self.functions.remove(&function);
            }
            _ => {}
        }
    }

    fn mint(&mut self, function: &str, qualified: &str) {
        let Some(role_arn) = self.functions.get(function) else { return };
        let caller = Caller::Role {
            role: role_arn.rsplit('/').next().unwrap_or(role_arn).to_owned(),
            session: function.rsplit(':').next().unwrap_or(function).chars().take(64).collect(),
            function: Some(function.to_owned()),
        };
        self.keys.insert(function_key(qualified, role_arn), caller);
    }

    fn learn_session(&mut self, call: &Parsed, answer: &[u8]) {
        let answer = String::from_utf8_lossy(answer);
        let key = answer.split_once("<AccessKeyId>").and_then(|(_, rest)| rest.split_once("</AccessKeyId>"));
        if let (Some((key, _)), Some(role)) = (key, call.text("RoleArn")) {
            let role = role.rsplit('/').next().unwrap_or(role).to_owned();
            let session = call.text("RoleSessionName").unwrap_or("session").to_owned();
            self.keys.insert(key.to_owned(), Caller::Role { role, session, function: None });
        }
    }
}

/// The key that ministack mints for a function's environment under AUTH=true.
pub(crate) fn function_key(function_arn: &str, role_arn: &str) -> String {
    let digest = Sha256::digest(format!("{function_arn}:{role_arn}"));
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02X}")).collect();
    format!("ASIA{hex}")
}

/// A secret's suffix is not known when it is created with tags, and there is one secret of a name.
fn tag_key(resource: &str) -> String {
    match resource.split_once(":secret:").and_then(|_| resource.rsplit_once('-')) {
        Some((without, suffix)) if suffix.len() == 6 => without.to_owned(),
        _ => resource.to_owned(),
    }
}
