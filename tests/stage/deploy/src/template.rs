//! A transformed template as values: parameters, rules, conditions, resources, outputs.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::scope::{Scope, TemplateError};

/// A template after the SAM transform.
#[derive(Debug, Default)]
pub(crate) struct Template {
    parameters: Map<String, Value>,
    rules: Map<String, Value>,
    pub(crate) conditions: Map<String, Value>,
    pub(crate) mappings: Map<String, Value>,
    pub(crate) resources: BTreeMap<String, Resource>,
    outputs: Map<String, Value>,
}

/// What a stack tells others.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) values: BTreeMap<String, String>,
    /// By the name under which other stacks of the Region import it.
    pub(crate) exports: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// `AWS::Lambda::Function`.
    pub(crate) kind: String,
    pub(crate) properties: Value,
    pub(crate) depends_on: Vec<String>,
    pub(crate) condition: Option<String>,
    /// It stays when its stack is deleted.
    pub(crate) retained: bool,
}

/// The sections that change nothing in what is deployed.
const FOR_READERS: &[&str] = &["AWSTemplateFormatVersion", "Description", "Metadata"];

impl Template {
    pub(crate) fn parse(template: Value) -> Result<Self, TemplateError> {
        let Value::Object(sections) = template else { return Err(TemplateError::Shape("the template is no object".to_owned())) };
        let mut parsed = Self::default();
        for (name, section) in sections {
            if FOR_READERS.contains(&name.as_str()) {
                continue;
            }
            let Value::Object(section) = section else { return Err(TemplateError::Shape(format!("the section {name} is no object"))) };
            match name.as_str() {
                "Parameters" => parsed.parameters = section,
                "Rules" => parsed.rules = section,
                "Conditions" => parsed.conditions = section,
                "Mappings" => parsed.mappings = section,
                "Outputs" => parsed.outputs = section,
                "Resources" => {
                    parsed.resources = section.into_iter().map(|(id, body)| Ok((id.clone(), resource(&id, body)?))).collect::<Result<_, _>>()?
                }
                // A transform that was not run, hooks, and what is yet to come: none may be dropped in silence.
                _ => return Err(TemplateError::Shape(format!("the deployer does not know the section {name}"))),
            }
        }
        Ok(parsed)
    }

    /// Given values and defaults as the template's functions see them: a list is a list. Every mistake is named at once.
    pub(crate) fn parameters(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, Value>, Vec<String>> {
        let mut mistakes: Vec<String> = given
            .keys()
            .filter(|name| !self.parameters.contains_key(*name))
            .map(|name| format!("the template has no parameter `{name}`; leave it out, or correct its name"))
            .collect();
        let mut values = BTreeMap::new();
        for (name, definition) in &self.parameters {
            match parameter(name, definition, given.get(name)) {
                Ok(value) => {
                    values.insert(name.clone(), value);
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
    }

    /// The sentences of the rules that do not hold.
    pub(crate) fn broken_rules(&self, scope: &Scope<'_>) -> Result<Vec<String>, TemplateError> {
        let mut broken = Vec::new();
        for (name, rule) in &self.rules {
            if let Some(when) = rule.get("RuleCondition")
                && !scope.holds(when)?
            {
                continue;
            }
            for assertion in rule["Assertions"].as_array().into_iter().flatten() {
                if !scope.holds(&assertion["Assert"])? {
                    broken.push(assertion["AssertDescription"].as_str().unwrap_or(name).to_owned());
                }
            }
        }
        Ok(broken)
    }

    /// The resources whose condition holds.
    pub(crate) fn wanted(&self, scope: &Scope<'_>) -> Result<BTreeMap<String, &Resource>, TemplateError> {
        let mut wanted = BTreeMap::new();
        for (id, resource) in &self.resources {
            if resource.condition.as_deref().map_or(Ok(true), |condition| scope.condition(condition))? {
                wanted.insert(id.clone(), resource);
            }
        }
        Ok(wanted)
    }

    pub(crate) fn outputs(&self, scope: &Scope<'_>) -> Result<Outputs, TemplateError> {
        let mut outputs = Outputs::default();
        for (name, output) in &self.outputs {
            let condition = output.get("Condition").and_then(Value::as_str);
            if condition.map_or(Ok(true), |condition| scope.condition(condition))?
                && let Some(value) = scope.resolve(&output["Value"])?
            {
                if let Some(export) = scope.resolve(&output["Export"]["Name"])?.filter(|export| !export.is_null()) {
                    outputs.exports.insert(text_of(&export), text_of(&value));
                }
                outputs.values.insert(name.clone(), text_of(&value));
            }
        }
        Ok(outputs)
    }

    /// The parameters whose value is the name of a public parameter of Systems Manager, under which the value itself stands.
    pub(crate) fn public_parameters(&self) -> impl Iterator<Item = &str> {
        let is_public = |definition: &Value| definition["Type"].as_str().is_some_and(|kind| kind.starts_with("AWS::SSM::Parameter::Value<"));
        self.parameters.iter().filter(move |(_, definition)| is_public(definition)).map(|(name, _)| name.as_str())
    }
}

fn resource(id: &str, body: Value) -> Result<Resource, TemplateError> {
    let kind = body["Type"].as_str().ok_or_else(|| TemplateError::Shape(format!("the resource {id} has no Type")))?;
    let depends_on = match body.get("DependsOn") {
        Some(Value::Array(names)) => names.iter().map(text_of).collect(),
        Some(name) => vec![text_of(name)],
        None => Vec::new(),
    };
    Ok(Resource {
        kind: kind.to_owned(),
        properties: body.get("Properties").cloned().unwrap_or_else(|| Value::Object(Map::new())),
        depends_on,
        condition: body.get("Condition").map(text_of),
        retained: body["DeletionPolicy"].as_str().is_some_and(|policy| policy.starts_with("Retain")),
    })
}

fn parameter(name: &str, definition: &Value, given: Option<&String>) -> Result<Value, String> {
    let describe = || definition["Description"].as_str().map(|text| format!(" ({text})")).unwrap_or_default();
    let text = match (given, definition.get("Default")) {
        (Some(given), _) => given.clone(),
        (None, Some(default)) => text_of(default),
        (None, None) => return Err(format!("the parameter `{name}`{} has no default; give it a value", describe())),
    };
    let kind = definition["Type"].as_str().unwrap_or("String");
    let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<");
    let parts: Vec<&str> = if is_list { text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect() } else { vec![text.as_str()] };
    for part in &parts {
        allowed(definition, kind, part).map_err(|why| format!("the parameter `{name}` is `{part}`, but must be {why}{}", describe()))?;
    }
    Ok(match kind {
        _ if is_list => Value::from(parts),
        // The APIs tell a number from its text, which templates do not.
        "Number" => serde_json::from_str(&text).unwrap_or(Value::from(text)),
        _ => Value::from(text),
    })
}

/// `Err` says what would be allowed.
fn allowed(definition: &Value, kind: &str, part: &str) -> Result<(), String> {
    let says = |fallback: String| definition["ConstraintDescription"].as_str().map_or(fallback, str::to_owned);
    if kind == "Number" {
        let number = part.parse::<f64>().map_err(|_| "a number".to_owned())?;
        let bound = |name: &str| definition.get(name).and_then(|bound| text_of(bound).parse::<f64>().ok());
        if let Some(least) = bound("MinValue").filter(|least| number < *least) {
            return Err(says(format!("{least} or more")));
        }
        if let Some(most) = bound("MaxValue").filter(|most| number > *most) {
            return Err(says(format!("{most} or less")));
        }
    }
    if let Some(values) = definition.get("AllowedValues").and_then(Value::as_array) {
        let values: Vec<_> = values.iter().map(text_of).collect();
        if !values.iter().any(|value| value == part) {
            return Err(says(format!("one of {}", values.join(", "))));
        }
    }
    if let Some(pattern) = definition.get("AllowedPattern").and_then(Value::as_str) {
        // CloudFormation matches the whole value.
        let whole = regex_lite::Regex::new(&format!("^(?:{pattern})$")).map_err(|error| format!("matched by a pattern that is none: {error}"))?;
        if !whole.is_match(part) {
            return Err(says(format!("matched by {pattern}")));
        }
    }
    Ok(())
}

/// CloudFormation's scalars are strings, however they are written.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn template() -> Template {
        let parameters = json!({
            "Plan": {"Type": "String", "AllowedPattern": "[a-z]+", "ConstraintDescription": "small letters"},
            "Architecture": {"Type": "String", "Default": "arm64", "AllowedValues": ["arm64", "x86_64"]},
            "Days": {"Type": "Number", "Default": 90, "MinValue": 1, "MaxValue": 3653},
            "Arns": {"Type": "CommaDelimitedList", "Default": "", "AllowedPattern": "arn:.*"},
        });
        Template::parse(json!({ "Parameters": parameters, "Resources": {} })).unwrap()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_stand_in_and_a_list_is_a_list() {
        let values = template().parameters(&given(&[("Plan", "shop"), ("Arns", "arn:a, arn:b")])).unwrap();
        let expected = [("Plan", json!("shop")), ("Architecture", json!("arm64")), ("Days", json!(90)), ("Arns", json!(["arn:a", "arn:b"]))];
        assert_eq!(values, expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        assert_eq!(template().parameters(&given(&[("Plan", "shop")])).unwrap()["Arns"], json!([]));
    }

    #[rstest]
    #[case::missing(&[], "`Plan` has no default")]
    #[case::pattern(&[("Plan", "Shop1")], "`Plan` is `Shop1`, but must be small letters")]
    #[case::value(&[("Plan", "shop"), ("Architecture", "mips")], "must be one of arm64, x86_64")]
    #[case::number(&[("Plan", "shop"), ("Days", "many")], "must be a number")]
    #[case::too_small(&[("Plan", "shop"), ("Days", "0")], "must be 1 or more")]
    #[case::too_large(&[("Plan", "shop"), ("Days", "4000")], "must be 3653 or less")]
    #[case::each_item_of_a_list(&[("Plan", "shop"), ("Arns", "arn:a,b")], "`Arns` is `b`")]
    #[case::unknown(&[("Plan", "shop"), ("Plans", "x")], "no parameter `Plans`")]
    fn wrong_parameter_says_what_is_allowed(#[case] pairs: &[(&str, &str)], #[case] sentence: &str) {
        let mistakes = template().parameters(&given(pairs)).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].contains(sentence), "{mistakes:?}");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        assert_eq!(template().parameters(&given(&[("Days", "x"), ("Nothing", "y")])).unwrap_err().len(), 3);
    }

    #[test]
    fn a_section_that_is_not_understood_is_refused() {
        let error = Template::parse(json!({"Resources": {}, "Transform": "AWS::LanguageExtensions"})).unwrap_err();
        assert!(error.to_string().contains("Transform"), "{error}");
    }
}
