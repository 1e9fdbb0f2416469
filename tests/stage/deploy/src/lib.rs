//! A small CloudFormation for the stage: it deploys the templates that AWS gets, and no second list of what they hold.
//!
//! ```text
//! template.yaml ─► transform.rs  SAM's own translator, in Python
//!               ─► template.rs   parameters, rules, conditions
//!               ─► order.rs      what needs what, from scope.rs
//!               ─► resources/    one signed call after the other, side by side where nothing is waited for
//! ```
//! Before the first call everything that CloudFormation refuses is refused with a sentence: a parameter, a broken rule, a capability that was not
//! given, a name that another stack has.
//!
//! The emulators' own CloudFormation was rejected: it reports success for what it left out. Here a section, a function, a type or a property
//! that is not understood is an error with its name.
//!
//! What was made is remembered by the [`Deployer`], so that deploying again changes what differs, and destroying takes away what is there.

mod before;
mod client;
mod dynamic;
mod order;
mod policies;
mod resources;
mod scope;
mod template;
mod transform;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

pub use before::Capability;
pub use client::CallError;
pub use policies::RolePolicy;
pub use resources::{ACCEPTED, INERT, Physical, ResourceError};
pub use scope::TemplateError;
pub use transform::TransformError;

use client::Aws;
use order::Graph;
use resources::{Site, Wanted};
use scope::Scope;
use template::{Resource, Template};

/// Finds the `bootstrap` of a function, by the last part of its `CodeUri`: `scale-up`.
pub type Code = Arc<dyn Fn(&str) -> PathBuf + Send + Sync>;

/// What is to be deployed, and where.
#[derive(Clone)]
pub struct Stack {
    pub name: String,
    pub region: String,
    pub template: PathBuf,
    pub parameters: BTreeMap<String, String>,
    /// What whoever deploys allows the template to make.
    pub capabilities: BTreeSet<Capability>,
    pub code: Code,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("name", &self.name).field("region", &self.region).field("template", &self.template).finish_non_exhaustive()
    }
}

/// What a stack gives to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployed {
    pub outputs: BTreeMap<String, String>,
    /// By logical id.
    pub resources: BTreeMap<String, Physical>,
}

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error(transparent)]
    Transform(#[from] TransformError),
    #[error("{template}: {error}")]
    Template { template: PathBuf, error: TemplateError },
    #[error("the stack {stack} cannot be deployed: {}", .mistakes.join("; "))]
    Parameters { stack: String, mistakes: Vec<String> },
    #[error("{kind} `{logical}` of the stack {stack} failed: {error}")]
    Resource { stack: String, logical: String, kind: String, error: ResourceError },
    #[error("the stack {stack} cannot be deployed: {error}")]
    Public { stack: String, error: CallError },
    #[error("no stack {0} was deployed in {1} by this deployer")]
    Unknown(String, String),
}

/// Invokes a function as root and waits for what it answers, as `cargo lambda invoke --remote` does.
///
/// # Errors
/// When the call was refused, or got no answer. What the function itself failed with is an answer.
pub async fn invoke(endpoint: &str, region: &str, function: &str, event: &Value) -> Result<Value, CallError> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    Aws::new(endpoint).service("lambda", region).rest_json("Invoke", http::Method::POST, &path, Some(event)).await
}

/// A resource that stands.
#[derive(Clone, Debug)]
struct Standing {
    kind: String,
    properties: Value,
    needs: BTreeSet<String>,
    retained: bool,
    physical: Physical,
}

type Standings = BTreeMap<String, Standing>;
type Stacks = BTreeMap<(String, String), Standings>;

/// Deploys stacks at one endpoint, as the emulators' root.
#[derive(Debug)]
pub struct Deployer {
    aws: Aws,
    venv: PathBuf,
    account: String,
    cache_dir: PathBuf,
    /// By Region and name of the stack.
    stacks: Mutex<Stacks>,
    /// By Region and name of the export: the stack, and the value.
    exports: Mutex<BTreeMap<(String, String), (String, String)>>,
}

impl Deployer {
    /// `venv` is the Python environment that `make tools` makes; `cache_dir` keeps transformed templates.
    #[must_use]
    pub fn new(endpoint: &str, account: &str, venv: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            aws: Aws::new(endpoint),
            venv: venv.into(),
            account: account.to_owned(),
            cache_dir: cache_dir.into(),
            stacks: Mutex::default(),
            exports: Mutex::default(),
        }
    }

    /// Makes what is missing, changes what differs, and takes away what the template no longer has.
    ///
    /// # Errors
    /// All mistakes in the parameters at once; of the resources, the first that failed. What was made until then is remembered: deploying
    /// again goes on from there.
    pub async fn deploy(&self, stack: &Stack) -> Result<Deployed, DeployError> {
        let transformed = transform::transform(&self.venv, &self.cache_dir, &stack.region, &stack.template, &stack.parameters).await?;
        let wrong = |error| DeployError::Template { template: stack.template.clone(), error };
        let template = Template::parse(transformed).map_err(wrong)?;
        let refused = |mistakes| DeployError::Parameters { stack: stack.name.clone(), mistakes };
        let mut parameters = template.parameters(&stack.parameters).map_err(refused)?;
        let scope = self.scope(stack, &template, &parameters, BTreeMap::new());
        let mut mistakes = template.broken_rules(&scope).map_err(wrong)?;
        mistakes.extend(before::capabilities_missing(&template, &stack.capabilities));
        let wanted = template.wanted(&scope).map_err(wrong)?;
        mistakes.extend(before::names_taken(stack, &wanted, &scope, &self.stacks()));
        if !mistakes.is_empty() {
            return Err(refused(mistakes));
        }
        let graph = graph(&wanted, &scope).map_err(wrong)?;
        for name in template.public_parameters() {
            let value = self.public_parameter(&stack.region, &parameters[name]).await;
            parameters.insert(name.to_owned(), value.map_err(|error| DeployError::Public { stack: stack.name.clone(), error })?);
        }
        order::in_order(&graph, |logical| {
            let (resource, needs) = (wanted[&logical], &graph[&logical]);
            let scope = self.scope(stack, &template, &parameters, self.made(stack));
            async move { self.put(stack, &scope, &logical, resource, needs).await }
        })
        .await?;
        self.take_away(&stack.name, &stack.region, |logical| !wanted.contains_key(logical)).await?;
        let resources = self.made(stack);
        let scope = self.scope(stack, &template, &parameters, resources.clone());
        let outputs = template.outputs(&scope).map_err(wrong)?;
        self.export(stack, outputs.exports).map_err(refused)?;
        Ok(Deployed { outputs: outputs.values, resources })
    }

    /// What AWS publishes under a name, such as the newest machine image.
    async fn public_parameter(&self, region: &str, name: &Value) -> Result<Value, CallError> {
        let ssm = self.aws.service("ssm", region);
        let answer = ssm.json("AmazonSSM", "GetParameter", &json!({ "Name": name })).await?;
        Ok(ssm.field("GetParameter", &answer, "/Parameter/Value")?.into())
    }

    fn export(&self, stack: &Stack, exports: BTreeMap<String, String>) -> Result<(), Vec<String>> {
        let mut known = self.exports();
        let taken = |name: &str| known.get(&(stack.region.clone(), name.to_owned())).filter(|(owner, _)| *owner != stack.name);
        let mistakes: Vec<String> =
            exports.keys().filter_map(|name| taken(name).map(|(owner, _)| format!("`{name}` is exported by the stack {owner} already"))).collect();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        known.retain(|(region, _), (owner, _)| *region != stack.region || *owner != stack.name);
        known.extend(exports.into_iter().map(|(name, value)| ((stack.region.clone(), name), (stack.name.clone(), value))));
        Ok(())
    }

    /// Takes a stack away, in the order in which nothing loses what it needs. What its template retains, stays.
    ///
    /// # Errors
    /// When this deployer made no such stack, or a resource refuses to go.
    pub async fn destroy(&self, name: &str, region: &str) -> Result<(), DeployError> {
        let key = (region.to_owned(), name.to_owned());
        if !self.stacks().contains_key(&key) {
            return Err(DeployError::Unknown(name.to_owned(), region.to_owned()));
        }
        self.take_away(name, region, |_| true).await?;
        self.stacks().remove(&key);
        self.exports().retain(|(place, _), (owner, _)| place != region || owner != name);
        Ok(())
    }

    fn stacks(&self) -> MutexGuard<'_, Stacks> {
        // A panic elsewhere leaves whole entries behind: each is one insertion.
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exports(&self) -> MutexGuard<'_, BTreeMap<(String, String), (String, String)>> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standings(&self, name: &str, region: &str) -> Standings {
        self.stacks().get(&(region.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }

    fn made(&self, stack: &Stack) -> BTreeMap<String, Physical> {
        self.standings(&stack.name, &stack.region).into_iter().map(|(logical, standing)| (logical, standing.physical)).collect()
    }

    fn scope<'a>(
        &'a self,
        stack: &'a Stack,
        template: &'a Template,
        parameters: &'a BTreeMap<String, Value>,
        made: BTreeMap<String, Physical>,
    ) -> Scope<'a> {
        let of_region =
            |((region, name), (_, value)): (&(String, String), &(String, String))| (*region == stack.region).then(|| (name.clone(), value.clone()));
        let exports = self.exports().iter().filter_map(of_region).collect();
        Scope { template, parameters, account: &self.account, region: &stack.region, stack: &stack.name, made, exports }
    }

    async fn put(&self, stack: &Stack, scope: &Scope<'_>, logical: &str, resource: &Resource, needs: &BTreeSet<String>) -> Result<(), DeployError> {
        let resolved = scope.resolve(&resource.properties);
        let resolved = resolved.map_err(|error| DeployError::Template { template: stack.template.clone(), error })?;
        let mut properties = resolved.unwrap_or_else(|| json!({}));
        if resource.kind == "AWS::Lambda::Function" {
            stamp_code(&mut properties, logical, &stack.code);
        }
        let before = self.standings(&stack.name, &stack.region).remove(logical).filter(|before| before.kind == resource.kind);
        let physical = match &before {
            Some(before) if before.properties == properties => before.physical.clone(),
            _ => {
                let site = Site { aws: &self.aws, account: &self.account, region: &stack.region, stack: &stack.name };
                let before = before.as_ref().map(|before| (&before.physical, &before.properties));
                let failed = |error| failed(&stack.name, logical, &resource.kind, error);
                // What is remembered, and compared the next time, is the reference; the value behind it is nobody's business.
                let filled = dynamic::fill(&site, &properties).await.map_err(failed)?;
                resources::put(&Wanted { site: &site, logical, before }, &resource.kind, &filled).await.map_err(failed)?
            }
        };
        let standing = Standing { kind: resource.kind.clone(), properties, needs: needs.clone(), retained: resource.retained, physical };
        let key = (stack.region.clone(), stack.name.clone());
        self.stacks().entry(key).or_default().insert(logical.to_owned(), standing);
        Ok(())
    }

    async fn take_away(&self, name: &str, region: &str, goes: impl Fn(&str) -> bool) -> Result<(), DeployError> {
        let mut standings = self.standings(name, region);
        standings.retain(|logical, _| goes(logical));
        let needs: Graph = standings
            .iter()
            .map(|(logical, standing)| (logical.clone(), standing.needs.iter().filter(|need| standings.contains_key(*need)).cloned().collect()))
            .collect();
        let site = Site { aws: &self.aws, account: &self.account, region, stack: name };
        order::in_order(&order::reversed(&needs), |logical| {
            let (standing, site) = (&standings[&logical], &site);
            async move {
                if !standing.retained {
                    let gone = resources::delete(site, &standing.kind, &standing.physical, &standing.properties).await;
                    gone.map_err(|error| failed(name, &logical, &standing.kind, error))?;
                }
                if let Some(stack) = self.stacks().get_mut(&(region.to_owned(), name.to_owned())) {
                    stack.remove(&logical);
                }
                Ok(())
            }
        })
        .await
    }
}

fn failed(stack: &str, logical: &str, kind: &str, error: ResourceError) -> DeployError {
    DeployError::Resource { stack: stack.to_owned(), logical: logical.to_owned(), kind: kind.to_owned(), error }
}

/// What each wanted resource needs: what its properties refer to, and what it names in DependsOn.
fn graph(wanted: &BTreeMap<String, &Resource>, scope: &Scope<'_>) -> Result<Graph, TemplateError> {
    let mut graph = Graph::new();
    for (logical, resource) in wanted {
        let mut needs = scope.references(&resource.properties)?;
        for name in &resource.depends_on {
            if !scope.template.resources.contains_key(name) {
                return Err(TemplateError::Unknown(name.clone()));
            }
            // What is not made is not waited for; a *reference* to it is the mistake.
            if wanted.contains_key(name) {
                needs.insert(name.clone());
            }
        }
        if let Some(missing) = needs.iter().find(|need| !wanted.contains_key(*need)) {
            return Err(TemplateError::NotMade(missing.clone()));
        }
        graph.insert(logical.clone(), needs);
    }
    let circle = order::circle(&graph);
    if circle.is_empty() { Ok(graph) } else { Err(TemplateError::Circle(circle)) }
}

/// The path of the function's code in place of its bucket and key, with what tells a new build from an old one.
fn stamp_code(properties: &mut Value, logical: &str, code: &Code) {
    let function = properties.pointer("/Code/S3Key").and_then(Value::as_str).unwrap_or(logical);
    let path = code(function);
    let metadata = std::fs::metadata(&path).ok();
    let modified =
        metadata.as_ref().and_then(|metadata| metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()).map(|time| time.as_nanos().to_string());
    properties["Code"] = json!({"Path": path, "Length": metadata.map(|metadata| metadata.len()), "Modified": modified});
}
