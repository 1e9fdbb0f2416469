//! Rotation: the four calls that RotateSecret makes to its function.
//!
//! ```text
//! RotateSecret ─► refuse? ─► empty version under the token, AWSPENDING ─► answer at once
//!                               └─► createSecret ─► setSecret ─► testSecret ─► finishSecret, each waits for the one before
//! ```
//! A step that fails ends it there: AWSPENDING stays where it is, and refuses the next RotateSecret, as in AWS. AWS would try the same token
//! again by itself some minutes later; the stage does not, so that a test sees what a failed step leaves behind.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Fault, id_of, invalid, missing, parameter, token};
use crate::Inner;
use crate::carry::{Message, Outcome, Source};
use crate::request::Parsed;

const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// What a rotation needs to know of its secret.
#[derive(Clone, Debug)]
struct Rotating {
    region: String,
    arn: String,
    name: String,
    function: String,
    token: String,
}

impl Inner {
    pub(crate) async fn rotate_secret(self: &Arc<Self>, call: &Parsed) -> Result<Value, Fault> {
        let id = id_of(call)?;
        let given = call.text("RotationLambdaARN").map(str::to_owned);
        let token = token(call);
        let checked = self.secrets.with(&call.region, id, |secret| {
            if secret.deleted.is_some() {
                return Err(invalid("You can't perform this operation on the secret because it was marked for deletion."));
            }
            if secret.primary_region.is_some() {
                return Err(invalid("You can't perform this operation on a replica secret."));
            }
            let function = given.or_else(|| secret.rotation.lambda.clone());
            let function = function.ok_or_else(|| invalid("No Lambda rotation function ARN is associated with this secret."))?;
            let (pending, current) = (secret.holder("AWSPENDING"), secret.holder("AWSCURRENT"));
            if pending.as_ref().is_some_and(|pending| Some(pending) != current.as_ref() && *pending != token) {
                return Err(invalid("A previous rotation isn't complete. That rotation will be reattempted."));
            }
            let (arn, name) = (secret.arn.clone(), secret.name.clone());
            Ok(Rotating { region: call.region.clone(), arn, name, function, token: token.clone() })
        });
        let rotating = checked.ok_or_else(|| missing(""))??;
        if !(32..=64).contains(&token.len()) {
            return Err(parameter("ClientRequestToken must be 32 to 64 characters long."));
        }
        if let Err(sentence) = self.function_admits(Source::Rotation, &rotating.arn, &rotating.function).await {
            return Err(Fault {
                code: "AccessDeniedException",
                message: format!(
                    "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com. ({sentence})"
                ),
            });
        }
        let at_once = call.params.get("RotateImmediately").and_then(Value::as_bool).unwrap_or(true);
        let rules = call.params.get("RotationRules").cloned();
        let done = self.secrets.with(&rotating.region, &rotating.arn, |secret| {
            secret.rotation.enabled = true;
            secret.rotation.lambda = Some(rotating.function.clone());
            secret.rotation.rules = rules.or_else(|| secret.rotation.rules.take());
            // The same token again after it was rotated is a retry of a lost answer.
            let done = secret.holder("AWSCURRENT").as_deref() == Some(rotating.token.as_str());
            if !done && at_once {
                secret.begin_rotation(&rotating.token);
            }
            done
        });
        let answer = json!({"ARN": rotating.arn, "Name": rotating.name, "VersionId": rotating.token});
        if done == Some(false) {
            let inner = Arc::clone(self);
            let steps = if at_once { Steps::All } else { Steps::TestOnly };
            self.spawn(async move { inner.run_steps(&rotating, steps).await });
        }
        Ok(answer)
    }

    async fn run_steps(&self, rotating: &Rotating, steps: Steps) {
        // Without rotating at once, AWS tries the function on a pending copy of the current value and removes it again.
        if steps == Steps::TestOnly {
            self.secrets.with(&rotating.region, &rotating.arn, |secret| secret.pend_current(&rotating.token));
            self.step(rotating, "testSecret").await;
            self.secrets.with(&rotating.region, &rotating.arn, |secret| secret.unlabel(&rotating.token, "AWSPENDING"));
            return;
        }
        for step in STEPS {
            if !self.step(rotating, step).await {
                return;
            }
        }
        self.secrets.with(&rotating.region, &rotating.arn, |secret| {
            if secret.holder("AWSCURRENT").as_deref() == Some(rotating.token.as_str()) {
                secret.rotated();
            }
        });
        self.secrets.catch_up(&self.dark_regions());
    }

    async fn step(&self, rotating: &Rotating, step: &str) -> bool {
        let payload = json!({"Step": step, "SecretId": rotating.arn, "ClientRequestToken": rotating.token});
        let message = Message {
            source: Source::Rotation,
            from: rotating.arn.clone(),
            to: rotating.function.clone(),
            payload: Bytes::from(payload.to_string()),
            role: None,
        };
        if self.is_dark(&rotating.region) {
            self.record(&message, Outcome::Held);
            return false;
        }
        let outcome = match self.invoke(&rotating.function, "RequestResponse", message.payload.clone()).await {
            Err(error) => Outcome::Refused(format!("{step}: {error}")),
            Ok(answer) if !answer.status.is_success() || answer.headers.contains_key("x-amz-function-error") => {
                // The function's own words could hold what it read: only its error type is kept.
                let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let kind = said["errorType"].as_str().unwrap_or("no error type").to_owned();
                Outcome::Refused(format!("{step}: the function failed ({}, {kind})", answer.status))
            }
            Ok(_) => Outcome::Delivered,
        };
        let done = outcome == Outcome::Delivered;
        self.record(&message, outcome);
        done
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Steps {
    All,
    TestOnly,
}
