//! Values that a template only refers to: `{{resolve:secretsmanager:ID:SecretString:KEY}}`.

use serde_json::{Map, Value, json};

use crate::resources::{ResourceError, Site};

const OPENS: &str = "{{resolve:";
const CLOSES: &str = "}}";

/// The value with every reference in its texts filled in.
pub(crate) async fn fill(site: &Site<'_>, value: &Value) -> Result<Value, ResourceError> {
    Ok(match value {
        Value::String(text) if text.contains(OPENS) => Value::from(fill_text(site, text).await?),
        Value::Object(object) => {
            let mut filled = Map::new();
            for (name, value) in object {
                filled.insert(name.clone(), Box::pin(fill(site, value)).await?);
            }
            Value::Object(filled)
        }
        Value::Array(items) => {
            let mut filled = Vec::new();
            for item in items {
                filled.push(Box::pin(fill(site, item)).await?);
            }
            Value::Array(filled)
        }
        plain => plain.clone(),
    })
}

async fn fill_text(site: &Site<'_>, text: &str) -> Result<String, ResourceError> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPENS) {
        let (reference, tail) = after.split_once(CLOSES).ok_or_else(|| ResourceError::Reference(after.to_owned()))?;
        filled.push_str(before);
        filled.push_str(&resolve(site, reference).await?);
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

async fn resolve(site: &Site<'_>, reference: &str) -> Result<String, ResourceError> {
    let (id, key) = secret_of(reference).ok_or_else(|| ResourceError::Reference(reference.to_owned()))?;
    let secrets = site.aws.service("secretsmanager", site.region);
    let answer = secrets.json("secretsmanager", "GetSecretValue", &json!({ "SecretId": id })).await?;
    let value: Value = serde_json::from_str(&secrets.field("GetSecretValue", &answer, "/SecretString")?).unwrap_or_default();
    value.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| ResourceError::Reference(reference.to_owned()))
}

/// Id and key. An ARN holds colons of its own, so that the id ends where `SecretString` begins.
fn secret_of(reference: &str) -> Option<(&str, &str)> {
    let (id, key) = reference.strip_prefix("secretsmanager:")?.split_once(":SecretString:")?;
    (!key.contains(':')).then_some((id, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_by_arn_is_taken_apart() {
        let arn = "arn:aws:secretsmanager:us-east-2:123456789012:secret:shop/admin-a1b2c3";
        assert_eq!(secret_of(&format!("secretsmanager:{arn}:SecretString:password")), Some((arn, "password")));
        assert_eq!(secret_of("secretsmanager:shop/admin:SecretString:password:AWSPREVIOUS"), None, "another version is not built");
        assert_eq!(secret_of("ssm:name:1"), None);
    }
}
