//! What the intrinsic functions evaluate to, and which resources they refer to.
//!
//! The same walk serves both: [`Scope::resolve`] gives the value, [`Scope::references`] the edges of the order in which resources are made.
//! Both follow only the branch of an `Fn::If` that is taken, so a resource that is not made is never waited for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::resources::Physical;
use crate::template::{Template, text_of};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    #[error("{0}")]
    Shape(String),
    #[error("the deployer does not know the function {0}; teach it to scope.rs")]
    Function(String),
    #[error("{function} wants {wants}, and got {got}")]
    Arguments { function: String, wants: &'static str, got: String },
    #[error("`{0}` is no parameter, no resource and no pseudo parameter of this template")]
    Unknown(String),
    #[error("`{0}` is referred to, but its condition does not hold, so it is not made")]
    NotMade(String),
    #[error("{kind} `{id}` gives no attribute `{attribute}` (it gives {known}); teach the deployer, in the file of its service")]
    Attribute { id: String, kind: String, attribute: String, known: String },
    #[error("the condition `{0}` is not in the section Conditions")]
    Condition(String),
    #[error("the condition `{0}` refers to itself")]
    CircularCondition(String),
    #[error("{} need one another, so none can be made first", .0.join(", "))]
    Circle(Vec<String>),
    #[error("no stack of this Region exports `{0}`; deploy the one that does first")]
    Export(String),
}

/// Everything that a function may refer to.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) template: &'a Template,
    pub(crate) parameters: &'a BTreeMap<String, Value>,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) stack: &'a str,
    /// What is made already, by logical id.
    pub(crate) made: BTreeMap<String, Physical>,
    /// What other stacks of the Region export.
    pub(crate) exports: BTreeMap<String, String>,
}

/// An intrinsic function is an object with this one key.
fn function(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = object.iter().next().filter(|_| object.len() == 1)?;
    // `Condition` alone is an intrinsic inside of conditions; elsewhere, an IAM statement's, it has siblings.
    (name == "Ref" || name.starts_with("Fn::")).then_some((name.as_str(), argument))
}

impl Scope<'_> {
    /// The value; `None` for `AWS::NoValue`.
    pub(crate) fn resolve(&self, value: &Value) -> Result<Option<Value>, TemplateError> {
        match value {
            Value::Object(object) => match function(object) {
                Some((name, argument)) => self.call(name, argument),
                None => {
                    let mut resolved = Map::new();
                    for (key, value) in object {
                        if let Some(value) = self.resolve(value)? {
                            resolved.insert(key.clone(), value);
                        }
                    }
                    Ok(Some(Value::Object(resolved)))
                }
            },
            Value::Array(items) => {
                let items = items.iter().map(|item| self.resolve(item)).filter_map(Result::transpose).collect::<Result<_, _>>()?;
                Ok(Some(Value::Array(items)))
            }
            plain => Ok(Some(plain.clone())),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Option<Value>, TemplateError> {
        let wrong = |wants: &'static str| TemplateError::Arguments { function: name.to_owned(), wants, got: argument.to_string() };
        match name {
            "Ref" => self.reference(argument.as_str().ok_or_else(|| wrong("a name"))?),
            "Fn::GetAtt" => {
                let (id, attribute) = get_att(argument).ok_or_else(|| wrong("a resource and an attribute"))?;
                self.attribute(&id, &attribute).map(Some)
            }
            "Fn::Sub" => self.substitute(argument).map(Some),
            "Fn::If" => self.resolve(self.branch(argument)?),
            "Fn::Join" => {
                let [delimiter, list] = two(argument).ok_or_else(|| wrong("a delimiter and a list"))?;
                let items = self.list(list)?.ok_or_else(|| wrong("a delimiter and a list"))?;
                let delimiter = delimiter.as_str().ok_or_else(|| wrong("a delimiter and a list"))?;
                Ok(Some(Value::from(items.iter().map(text_of).collect::<Vec<_>>().join(delimiter))))
            }
            "Fn::Split" => {
                let [delimiter, text] = two(argument).ok_or_else(|| wrong("a delimiter and a text"))?;
                let text = self.resolve(text)?.map(|text| text_of(&text)).unwrap_or_default();
                let delimiter = delimiter.as_str().ok_or_else(|| wrong("a delimiter and a text"))?;
                Ok(Some(Value::from(text.split(delimiter).collect::<Vec<_>>())))
            }
            "Fn::Select" => {
                let [index, list] = two(argument).ok_or_else(|| wrong("an index and a list"))?;
                let index = self.resolve(index)?.map(|index| text_of(&index)).unwrap_or_default();
                let items = self.list(list)?.ok_or_else(|| wrong("an index and a list"))?;
                let item = index.parse::<usize>().ok().and_then(|index| items.get(index));
                item.cloned().map(Some).ok_or_else(|| wrong("an index within the list"))
            }
            "Fn::FindInMap" => {
                let keys = self.list(argument)?.ok_or_else(|| wrong("a map and two keys"))?;
                let keys: Vec<_> = keys.iter().map(text_of).collect();
                let [map, first, second] = keys.as_slice() else { return Err(wrong("a map and two keys")) };
                let found = self.template.mappings.get(map).and_then(|map| map.get(first)?.get(second));
                found.cloned().map(Some).ok_or_else(|| wrong("keys that are in the map"))
            }
            "Fn::GetAZs" => {
                let region = self.resolve(argument)?.map(|region| text_of(&region)).filter(|region| !region.is_empty());
                let region = region.unwrap_or_else(|| self.region.to_owned());
                Ok(Some(["a", "b", "c"].map(|zone| format!("{region}{zone}")).to_vec().into()))
            }
            "Fn::Base64" => {
                let text = self.resolve(argument)?.map(|text| text_of(&text)).unwrap_or_default();
                Ok(Some(aws_smithy_types::base64::encode(text).into()))
            }
            "Fn::ImportValue" => {
                let name = self.resolve(argument)?.map(|name| text_of(&name)).unwrap_or_default();
                self.exports.get(&name).map(|value| Some(value.clone().into())).ok_or(TemplateError::Export(name))
            }
            "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" => {
                self.holds(&Value::Object(Map::from_iter([(name.to_owned(), argument.clone())]))).map(|holds| Some(holds.into()))
            }
            other => Err(TemplateError::Function(other.to_owned())),
        }
    }

    fn list(&self, value: &Value) -> Result<Option<Vec<Value>>, TemplateError> {
        Ok(match self.resolve(value)? {
            Some(Value::Array(items)) => Some(items),
            _ => None,
        })
    }

    fn reference(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        let pseudo = match name {
            "AWS::AccountId" => Some(self.account),
            "AWS::Region" => Some(self.region),
            "AWS::StackName" => Some(self.stack),
            "AWS::Partition" => Some("aws"),
            "AWS::URLSuffix" => Some("amazonaws.com"),
            _ => None,
        };
        if let Some(pseudo) = pseudo {
            return Ok(Some(pseudo.into()));
        }
        match (self.parameters.get(name), self.made.get(name)) {
            (Some(value), _) => Ok(Some(value.clone())),
            (None, Some(physical)) => Ok(Some(physical.id.clone().into())),
            (None, None) => Err(self.missing(name)),
        }
    }

    fn missing(&self, name: &str) -> TemplateError {
        if self.template.resources.contains_key(name) { TemplateError::NotMade(name.to_owned()) } else { TemplateError::Unknown(name.to_owned()) }
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<Value, TemplateError> {
        let physical = self.made.get(id).ok_or_else(|| self.missing(id))?;
        let list = physical.lists.get(attribute).map(|items| items.clone().into());
        physical.attributes.get(attribute).map(|value| value.clone().into()).or(list).ok_or_else(|| TemplateError::Attribute {
            id: id.to_owned(),
            kind: self.template.resources.get(id).map(|resource| resource.kind.clone()).unwrap_or_default(),
            attribute: attribute.to_owned(),
            known: physical.attributes.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    fn substitute(&self, argument: &Value) -> Result<Value, TemplateError> {
        let (text, own) = sub_parts(argument)?;
        let mut result = String::new();
        for part in placeholders(text) {
            match part {
                Part::Text(text) => result.push_str(text),
                Part::Name(name) => {
                    let value = match (own.and_then(|own| own.get(name)), name.split_once('.')) {
                        (Some(value), _) => self.resolve(value)?,
                        (None, Some((id, attribute))) => Some(self.attribute(id, attribute)?),
                        (None, None) => self.reference(name)?,
                    };
                    result.push_str(&value.map(|value| text_of(&value)).unwrap_or_default());
                }
            }
        }
        Ok(Value::from(result))
    }

    fn branch<'v>(&self, argument: &'v Value) -> Result<&'v Value, TemplateError> {
        let wrong = || TemplateError::Arguments { function: "Fn::If".to_owned(), wants: "a condition and two values", got: argument.to_string() };
        let Some([condition, yes, no]) = argument.as_array().map(Vec::as_slice) else { return Err(wrong()) };
        Ok(if self.condition(condition.as_str().ok_or_else(wrong)?)? { yes } else { no })
    }

    /// A condition of the section Conditions, by its name.
    pub(crate) fn condition(&self, name: &str) -> Result<bool, TemplateError> {
        self.condition_within(name, &BTreeSet::new())
    }

    fn condition_within(&self, name: &str, asked: &BTreeSet<String>) -> Result<bool, TemplateError> {
        let expression = self.template.conditions.get(name).ok_or_else(|| TemplateError::Condition(name.to_owned()))?;
        let mut asked = asked.clone();
        if !asked.insert(name.to_owned()) {
            return Err(TemplateError::CircularCondition(name.to_owned()));
        }
        self.holds_within(expression, &asked)
    }

    /// An expression of condition functions.
    pub(crate) fn holds(&self, expression: &Value) -> Result<bool, TemplateError> {
        self.holds_within(expression, &BTreeSet::new())
    }

    fn holds_within(&self, expression: &Value, asked: &BTreeSet<String>) -> Result<bool, TemplateError> {
        let shape = || TemplateError::Shape(format!("{expression} is no condition"));
        let (name, argument) = expression.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next()).ok_or_else(shape)?;
        if name == "Condition" {
            return self.condition_within(argument.as_str().ok_or_else(shape)?, asked);
        }
        let parts = argument.as_array().ok_or_else(shape)?;
        match (name.as_str(), parts.as_slice()) {
            ("Fn::Equals", [left, right]) => {
                let text = |value| Ok(self.resolve(value)?.map(|value| text_of(&value)));
                Ok(text(left)? == text(right)?)
            }
            ("Fn::Not", [part]) => Ok(!self.holds_within(part, asked)?),
            ("Fn::And", parts) => parts.iter().try_fold(true, |all, part| Ok(all && self.holds_within(part, asked)?)),
            ("Fn::Or", parts) => parts.iter().try_fold(false, |any, part| Ok(any || self.holds_within(part, asked)?)),
            _ => Err(TemplateError::Function(name.clone())),
        }
    }

    /// The resources that a value refers to.
    pub(crate) fn references(&self, value: &Value) -> Result<BTreeSet<String>, TemplateError> {
        let mut found = BTreeSet::new();
        self.collect(value, &mut found)?;
        Ok(found)
    }

    fn collect(&self, value: &Value, found: &mut BTreeSet<String>) -> Result<(), TemplateError> {
        let mut add = |name: &str| {
            if self.template.resources.contains_key(name) {
                found.insert(name.to_owned());
            }
        };
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.collect(item, found)),
            Value::Object(object) => match function(object) {
                Some(("Fn::If", argument)) => self.collect(self.branch(argument)?, found),
                Some(("Ref", name)) => {
                    add(name.as_str().unwrap_or_default());
                    Ok(())
                }
                Some(("Fn::GetAtt", argument)) => {
                    add(&get_att(argument).map(|(id, _)| id).unwrap_or_default());
                    Ok(())
                }
                Some(("Fn::Sub", argument)) => {
                    let (text, own) = sub_parts(argument)?;
                    for part in placeholders(text) {
                        if let Part::Name(name) = part
                            && own.is_none_or(|own| !own.contains_key(name))
                        {
                            add(name.split('.').next().unwrap_or(name));
                        }
                    }
                    own.into_iter().flat_map(Map::values).try_for_each(|value| self.collect(value, found))
                }
                _ => object.values().try_for_each(|value| self.collect(value, found)),
            },
            _ => Ok(()),
        }
    }
}

fn two(argument: &Value) -> Option<[&Value; 2]> {
    let [first, second] = argument.as_array()?.as_slice() else { return None };
    Some([first, second])
}

/// `[Id, Attribute]` or `Id.Attribute`.
fn get_att(argument: &Value) -> Option<(String, String)> {
    let (id, attribute) = match argument {
        Value::String(text) => text.split_once('.')?,
        other => {
            let [id, attribute] = two(other)?;
            (id.as_str()?, attribute.as_str()?)
        }
    };
    Some((id.to_owned(), attribute.to_owned()))
}

/// The text of an `Fn::Sub`, and the names that it brings itself.
type SubParts<'a> = (&'a str, Option<&'a Map<String, Value>>);

fn sub_parts(argument: &Value) -> Result<SubParts<'_>, TemplateError> {
    let wrong = || TemplateError::Arguments { function: "Fn::Sub".to_owned(), wants: "a text, or a text and a map", got: argument.to_string() };
    match argument {
        Value::String(text) => Ok((text, None)),
        other => {
            let [text, own] = two(other).ok_or_else(wrong)?;
            Ok((text.as_str().ok_or_else(wrong)?, Some(own.as_object().ok_or_else(wrong)?)))
        }
    }
}

enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// `${Name}` is a name, `${!Literal}` stands for `${Literal}`.
fn placeholders(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        parts.push(Part::Text(before));
        let Some((name, tail)) = after.split_once('}') else {
            parts.push(Part::Text(&rest[before.len()..]));
            return parts;
        };
        if let Some(literal) = name.strip_prefix('!') {
            parts.extend([Part::Text("${"), Part::Text(literal), Part::Text("}")]);
        } else {
            parts.push(Part::Name(name.trim()));
        }
        rest = tail;
    }
    parts.push(Part::Text(rest));
    parts
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn template() -> Template {
        let body = json!({
            "Parameters": {"Plan": {"Type": "String"}, "Zones": {"Type": "CommaDelimitedList"}},
            "Mappings": {"Size": {"arm64": {"memory": 128}}},
            "Conditions": {
                "IsShop": {"Fn::Equals": [{"Ref": "Plan"}, "shop"]},
                "IsOther": {"Fn::Not": [{"Condition": "IsShop"}]},
                "Both": {"Fn::And": [{"Condition": "IsShop"}, {"Fn::Equals": ["a", "a"]}]},
                "Either": {"Fn::Or": [{"Condition": "IsOther"}, {"Fn::Equals": ["a", "b"]}]},
                "Round": {"Fn::Not": [{"Condition": "Round"}]},
            },
            "Resources": {"Table": {"Type": "T"}, "Role": {"Type": "T"}, "Later": {"Type": "T", "Condition": "IsOther"}},
        });
        Template::parse(body).unwrap()
    }

    fn with<T>(test: impl FnOnce(Scope<'_>) -> T) -> T {
        let template = template();
        let parameters = BTreeMap::from([("Plan".to_owned(), json!("shop")), ("Zones".to_owned(), json!(["a", "b"]))]);
        let made = BTreeMap::from([("Table".to_owned(), Physical::new("shop-table", [("Arn", "arn:table".to_owned())]))]);
        let exports = BTreeMap::from([("shop-network-vpc".to_owned(), "vpc-1".to_owned())]);
        test(Scope { template: &template, parameters: &parameters, account: "123456789012", region: "us-west-2", stack: "control", made, exports })
    }

    #[rstest]
    #[case::plain(json!({"a": [1, true, "x"]}), json!({"a": [1, true, "x"]}))]
    #[case::reference_to_a_parameter(json!({"Ref": "Plan"}), json!("shop"))]
    #[case::reference_to_a_list(json!({"Ref": "Zones"}), json!(["a", "b"]))]
    #[case::reference_to_a_resource(json!({"Ref": "Table"}), json!("shop-table"))]
    #[case::pseudo_parameters(json!([{"Ref": "AWS::Region"}, {"Ref": "AWS::AccountId"}, {"Ref": "AWS::StackName"}]), json!(["us-west-2", "123456789012", "control"]))]
    #[case::no_value_leaves_nothing(json!({"a": {"Ref": "AWS::NoValue"}, "b": [{"Ref": "AWS::NoValue"}, 1]}), json!({"b": [1]}))]
    #[case::attribute_as_a_list(json!({"Fn::GetAtt": ["Table", "Arn"]}), json!("arn:table"))]
    #[case::attribute_as_a_text(json!({"Fn::GetAtt": "Table.Arn"}), json!("arn:table"))]
    #[case::sub(json!({"Fn::Sub": "${Plan}/${Table}/${Table.Arn}/${AWS::Partition}/${!Kept}"}), json!("shop/shop-table/arn:table/aws/${Kept}"))]
    #[case::sub_with_its_own(json!({"Fn::Sub": ["${Plan}-${own}", {"own": {"Ref": "Table"}}]}), json!("shop-shop-table"))]
    #[case::join(json!({"Fn::Join": ["-", {"Ref": "Zones"}]}), json!("a-b"))]
    #[case::select_of_split(json!({"Fn::Select": [3, {"Fn::Split": [":", "arn:aws:sns:us-east-1:1:t"]}]}), json!("us-east-1"))]
    #[case::if_yes(json!({"Fn::If": ["IsShop", 1, {"Ref": "Later"}]}), json!(1))]
    #[case::if_no(json!({"Fn::If": ["IsOther", 1, 2]}), json!(2))]
    #[case::and(json!({"Fn::If": ["Both", 1, 2]}), json!(1))]
    #[case::or(json!({"Fn::If": ["Either", 1, 2]}), json!(2))]
    #[case::map(json!({"Fn::FindInMap": ["Size", "arm64", "memory"]}), json!(128))]
    #[case::zones(json!({"Fn::Select": [1, {"Fn::GetAZs": ""}]}), json!("us-west-2b"))]
    #[case::base64(json!({"Fn::Base64": {"Fn::Sub": "${Plan}"}}), json!("c2hvcA=="))]
    #[case::import(json!({"Fn::ImportValue": {"Fn::Sub": "${Plan}-network-vpc"}}), json!("vpc-1"))]
    #[case::a_policys_condition_is_no_function(json!({"Condition": {"Bool": {"a": {"Ref": "Plan"}}}}), json!({"Condition": {"Bool": {"a": "shop"}}}))]
    fn functions_evaluate(#[case] value: Value, #[case] expected: Value) {
        assert_eq!(with(|scope| scope.resolve(&value)), Ok(Some(expected)));
    }

    #[rstest]
    #[case::unknown_name(json!({"Ref": "Nobody"}), "`Nobody` is no parameter")]
    #[case::not_made(json!({"Ref": "Later"}), "its condition does not hold")]
    #[case::unknown_attribute(json!({"Fn::GetAtt": ["Table", "StreamArn"]}), "gives no attribute `StreamArn` (it gives Arn)")]
    #[case::nobody_exports_it(json!({"Fn::ImportValue": "shop-network-subnets"}), "no stack of this Region exports `shop-network-subnets`")]
    #[case::unknown_function(json!({"Fn::Cidr": ["10.0.0.0/16"]}), "does not know the function Fn::Cidr")]
    #[case::unknown_condition(json!({"Fn::If": ["Nowhere", 1, 2]}), "`Nowhere` is not in the section Conditions")]
    #[case::circular_condition(json!({"Fn::If": ["Round", 1, 2]}), "`Round` refers to itself")]
    #[case::short_list(json!({"Fn::Select": [2, {"Ref": "Zones"}]}), "an index within the list")]
    fn what_cannot_be_evaluated_says_why(#[case] value: Value, #[case] sentence: &str) {
        let error = with(|scope| scope.resolve(&value)).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    }

    #[rstest]
    #[case::nested(json!({"a": [{"Ref": "Table"}, {"Fn::Join": ["", [{"Fn::GetAtt": ["Role", "Arn"]}]]}]}), &["Role", "Table"])]
    #[case::sub(json!({"Fn::Sub": ["${Table.Arn} ${own} ${Plan}", {"own": {"Ref": "Role"}, "Later": 1}]}), &["Role", "Table"])]
    #[case::only_the_branch_that_is_taken(json!({"Fn::If": ["IsShop", {"Ref": "Table"}, {"Ref": "Later"}]}), &["Table"])]
    #[case::parameters_are_no_resources(json!({"Ref": "Plan"}), &[])]
    fn references_are_found(#[case] value: Value, #[case] expected: &[&str]) {
        let found = with(|scope| scope.references(&value)).unwrap();
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}
