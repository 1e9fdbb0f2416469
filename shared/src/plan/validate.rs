//! Validation.
use super::Plan;

/// One thing that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    pub key: String,
    pub reason: String,
    pub remedy: String,
}

/// All that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

pub(super) fn parse(text: &str) -> Result<Plan, Mistakes> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Mistakes(vec![Mistake { line, key: String::new(), reason: error.message().to_owned(), remedy: "see docs/plan.md".to_owned() }])
    })
}
