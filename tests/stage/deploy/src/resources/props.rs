//! Properties that are taken one by one, so that what was overlooked is left over; and their forms on the wire.

use serde_json::{Map, Value};

use super::ResourceError;
use crate::template::text_of;

pub(crate) struct Props(Map<String, Value>);

impl Props {
    pub(crate) fn new(properties: &Value) -> Result<Self, ResourceError> {
        properties.as_object().cloned().map(Self).ok_or_else(|| ResourceError::Property("Properties".to_owned()))
    }

    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.value(name).map(|value| text_of(&value))
    }

    pub(super) fn need(&mut self, name: &str) -> Result<String, ResourceError> {
        self.text(name).ok_or_else(|| ResourceError::Property(name.to_owned()))
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<Value> {
        match self.value(name) {
            Some(Value::Array(items)) => items,
            Some(single) => vec![single],
            None => Vec::new(),
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        self.list(name).iter().map(text_of).collect()
    }

    /// All that is left, for a service whose API takes the template's words as they are.
    pub(super) fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.0)
    }

    /// Whatever is left was not understood.
    pub(super) fn end(&mut self) -> Result<(), ResourceError> {
        let left: Vec<String> = self.rest().into_iter().map(|(name, _)| name).collect();
        if left.is_empty() { Ok(()) } else { Err(ResourceError::Unused(left)) }
    }
}

/// The fields of a Query call: `Metrics.member.1.MetricStat.Stat`. EC2 leaves `member` out.
pub(super) fn fields(prefix: &str, value: &Value, member: &str) -> Vec<(String, String)> {
    match value {
        Value::Object(object) => {
            let name = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            object.iter().flat_map(|(key, value)| fields(&name(key), value, member)).collect()
        }
        Value::Array(items) => {
            let name = |n: usize| if member.is_empty() { format!("{prefix}.{n}") } else { format!("{prefix}.{member}.{n}") };
            items.iter().enumerate().flat_map(|(index, item)| fields(&name(index + 1), item, member)).collect()
        }
        Value::Null => Vec::new(),
        plain => vec![(prefix.to_owned(), text_of(plain))],
    }
}

pub(super) fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// `ClusterName` to `clusterName`, all the way down but for maps whose keys are the user's.
pub(super) fn lower_camel(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let lower = |key: &str| key.char_indices().map(|(at, c)| if at == 0 { c.to_ascii_lowercase() } else { c }).collect::<String>();
            let is_free = |key: &str| matches!(key, "Options" | "DockerLabels");
            let entry = |(key, value): (&String, &Value)| (lower(key), if is_free(key) { value.clone() } else { lower_camel(value) });
            Value::Object(object.iter().map(entry).collect())
        }
        Value::Array(items) => items.iter().map(lower_camel).collect(),
        plain => plain.clone(),
    }
}

/// A policy may be written as an object or as its text.
pub(super) fn document(value: &Value) -> String {
    text_of(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_lists_become_numbered_fields() {
        let value = json!({"Metrics": [{"Id": "a", "MetricStat": {"Period": 60}}], "Actions": ["x", "y"]});
        // Whether an object keeps its order is serde_json's feature, which another crate may switch on; to the API it is all one.
        let mut found = fields("", &value, "member");
        found.sort();
        let expected =
            [("Actions.member.1", "x"), ("Actions.member.2", "y"), ("Metrics.member.1.Id", "a"), ("Metrics.member.1.MetricStat.Period", "60")];
        assert_eq!(found, pairs(expected));
        assert_eq!(fields("Id", &json!(["sg-1"]), ""), pairs([("Id.1", "sg-1")]));
    }

    #[test]
    fn lower_camel_leaves_keys_that_are_the_users() {
        let value = json!({"LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "A", "Mode": "b"}}});
        assert_eq!(lower_camel(&value), json!({"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "A", "Mode": "b"}}}));
    }

    #[test]
    fn a_property_that_nobody_takes_is_named() {
        let mut props = Props::new(&json!({"Name": "a", "Colour": "red"})).unwrap();
        assert_eq!(props.need("Name").unwrap(), "a");
        assert!(props.end().unwrap_err().to_string().contains("Colour"));
    }
}
