//! Secrets over Secrets Manager: in the standby Region, and on the way home in the primary Region too.
//!
//! Its errors are coarse: `InvalidRequestException` is everything from "is no replica" to "a rotation is under way", and
//! `ResourceNotFoundException` is a missing secret as well as a label that no version carries. So what a step needs to
//! know is read from DescribeSecret; the code of an error is never taken for a state.

use std::sync::OnceLock;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, ReplicaRegionType, ReplicationStatusType, RotationRulesType, StatusType, Tag};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use zeroize::Zeroizing;

use super::{Aws, failed};
use crate::ports::{CallError, DISPOSABLE_PREFIX, Described, DisposableName, HomeSecret, Removal, Rotating, SecretName, Secrets, Stage, Why};
use crate::secret::SecretValue;

/// What a password avoids: connection strings and shells trip over these.
const EXCLUDED: &str = r#":/@"'\ "#;
const PASSWORD_LENGTH: i64 = 32;
/// A secret cut loose has no schedule, and RotateSecret sets one up. Monthly is AWS's own default for database secrets.
const ROTATE_EVERY_DAYS: i64 = 30;
/// The longest that there is: a drill's secret is gone long before.
const NEVER_IN_A_DRILL_DAYS: i64 = 1000;

/// The port over the SDK.
#[derive(Debug)]
pub struct AwsSecrets {
    aws: Aws,
    client: OnceLock<Client>,
    /// Of the primary Region; a plan has one.
    home: OnceLock<Client>,
    /// ARN of rotate-secret in the standby Region.
    rotation_function: String,
}

impl AwsSecrets {
    pub fn new(aws: &Aws, rotation_function: String) -> AwsSecrets {
        AwsSecrets { aws: aws.clone(), client: OnceLock::new(), home: OnceLock::new(), rotation_function }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let config = aws_sdk_secretsmanager::config::Builder::from(self.aws.standby()).interceptor(self.aws.counter());
            Client::from_conf(config.build())
        })
    }

    fn home_client(&self, secret: &HomeSecret) -> &Client {
        self.home.get_or_init(|| {
            let config = aws_sdk_secretsmanager::config::Builder::from(&self.aws.home(secret.region())).interceptor(self.aws.counter());
            Client::from_conf(config.build())
        })
    }

    /// The secret even while it is being deleted.
    async fn look(&self, secret: &str) -> Result<Option<DescribeSecretOutput>, CallError> {
        AwsSecrets::look_by(self.client(), secret).await
    }

    async fn look_by(client: &Client, secret: &str) -> Result<Option<DescribeSecretOutput>, CallError> {
        let answer = client.describe_secret().secret_id(secret).send().await;
        unless_missing(answer.map_err(refused("secretsmanager:DescribeSecret")))
    }

    async fn get(&self, secret: &str, stage: Stage, version: Option<&str>) -> Result<Option<SecretValue>, CallError> {
        AwsSecrets::get_by(self.client(), secret, stage, version).await
    }

    async fn get_by(client: &Client, secret: &str, stage: Stage, version: Option<&str>) -> Result<Option<SecretValue>, CallError> {
        let request = client.get_secret_value().secret_id(secret).version_stage(stage.label()).set_version_id(version.map(str::to_owned));
        match unless_missing(request.send().await.map_err(refused(GET)))? {
            Some(answer) => parse(answer).map(Some),
            None => Ok(None),
        }
    }

    async fn put_current(&self, secret: &str, token: &str, value: &SecretValue) -> Result<(), CallError> {
        AwsSecrets::put_by(self.client(), secret, token, value).await
    }

    async fn put_by(client: &Client, secret: &str, token: &str, value: &SecretValue) -> Result<(), CallError> {
        let request = client.put_secret_value().secret_id(secret).client_request_token(token).secret_string(value.to_json().as_str());
        request.send().await.map_err(refused(PUT))?;
        Ok(())
    }

    async fn begin_rotation(&self, secret: &str, token: &str, days: i64) -> Result<(), CallError> {
        let request = self
            .client()
            .rotate_secret()
            .secret_id(secret)
            .client_request_token(token)
            .rotation_lambda_arn(&self.rotation_function)
            .rotation_rules(RotationRulesType::builder().automatically_after_days(days).build())
            .rotate_immediately(true);
        request.send().await.map_err(refused("secretsmanager:RotateSecret"))?;
        Ok(())
    }
}

const GET: &str = "secretsmanager:GetSecretValue";
const PUT: &str = "secretsmanager:PutSecretValue";
const MOVE: &str = "secretsmanager:UpdateSecretVersionStage";
const REPLICATE: &str = "secretsmanager:ReplicateSecretToRegions";

impl Secrets for AwsSecrets {
    async fn describe(&self, secret: &str) -> Result<Option<Described>, CallError> {
        Ok(self.look(secret).await?.filter(|seen| seen.deleted_date.is_none()).map(described))
    }

    async fn value(&self, secret: &str, stage: Stage) -> Result<Option<SecretValue>, CallError> {
        self.get(secret, stage, None).await
    }

    async fn new_password(&self) -> Result<Zeroizing<String>, CallError> {
        const OPERATION: &str = "secretsmanager:GetRandomPassword";
        // Secrets Manager's own generator rather than one here: each kind of character is in it, as password policies of
        // databases ask, and the function that calls it depends on the service anyway.
        let request = self.client().get_random_password().password_length(PASSWORD_LENGTH).exclude_characters(EXCLUDED);
        let answer = request.send().await.map_err(refused(OPERATION))?;
        let password = answer.random_password.filter(|password| !password.is_empty()).map(Zeroizing::new);
        password.ok_or_else(|| CallError::new(OPERATION, Why::Unanswered("an answer without a password".to_owned())))
    }

    async fn stop_replication(&self, secret: &SecretName) -> Result<(), CallError> {
        const OPERATION: &str = "secretsmanager:StopReplicationToReplica";
        let stopped = self.client().stop_replication_to_replica().secret_id(secret.as_str()).send().await.map_err(refused(OPERATION));
        match stopped {
            Ok(_) => Ok(()),
            // "Is no replica" may mean that an earlier call, whose answer was lost, did it.
            Err(error) if matches!(error.why, Why::State(_)) => match self.describe(secret.as_str()).await? {
                Some(seen) if seen.replica_of.is_none() => Ok(()),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn put(&self, secret: &SecretName, token: &str, value: &SecretValue) -> Result<(), CallError> {
        self.put_current(secret.as_str(), token, value).await
    }

    async fn clear_pending(&self, secret: &SecretName, version: &str) -> Result<(), CallError> {
        let request = self.client().update_secret_version_stage().secret_id(secret.as_str());
        let request = request.version_stage(Stage::Pending.label()).remove_from_version_id(version);
        request.send().await.map_err(refused(MOVE))?;
        Ok(())
    }

    async fn rotate(&self, secret: &SecretName, token: &str) -> Result<(), CallError> {
        self.begin_rotation(secret.as_str(), token, ROTATE_EVERY_DAYS).await
    }

    async fn create_disposable(&self, secret: &DisposableName, token: &str, value: &SecretValue) -> Result<(), CallError> {
        let (plan, run) = secret.plan_and_run();
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let request = self
            .client()
            .create_secret()
            .name(secret.as_str())
            .client_request_token(token)
            .description("Made by a drill of Relight on a disposable copy of a database; removed when the drill ends.")
            .secret_string(value.to_json().as_str())
            .tags(tag("relight:plan", plan))
            .tags(tag("relight:run", run));
        match request.send().await {
            Ok(_) => Ok(()),
            // Its name says that this run made it.
            Err(error) if code(&error) == Some("ResourceExistsException") => Ok(()),
            Err(error) => Err(refused("secretsmanager:CreateSecret")(error)),
        }
    }

    async fn put_disposable(&self, secret: &DisposableName, token: &str, value: &SecretValue) -> Result<(), CallError> {
        self.put_current(secret.as_str(), token, value).await
    }

    async fn rotate_disposable(&self, secret: &DisposableName, token: &str) -> Result<(), CallError> {
        self.begin_rotation(secret.as_str(), token, NEVER_IN_A_DRILL_DAYS).await
    }

    async fn remove_disposable(&self, secret: &DisposableName) -> Result<Removal, CallError> {
        // Deletion without recovery is finished in the background: it is gone when it is not found.
        if self.look(secret.as_str()).await?.is_none() {
            return Ok(Removal::Gone);
        }
        let request = self.client().delete_secret().secret_id(secret.as_str()).force_delete_without_recovery(true);
        unless_missing(request.send().await.map_err(refused("secretsmanager:DeleteSecret")))?;
        Ok(Removal::Underway)
    }

    async fn disposables(&self, plan: &str) -> Result<Vec<DisposableName>, CallError> {
        let begins = format!("{DISPOSABLE_PREFIX}{plan}/");
        let filter = Filter::builder().key(FilterNameStringType::Name).values(begins).build();
        let pages = self.client().list_secrets().filters(filter).into_paginator().send();
        let pages = pages.try_collect().await.map_err(refused("secretsmanager:ListSecrets"))?;
        // The filter ignores case and punctuation; the name itself decides.
        let names = pages.iter().flat_map(|page| page.secret_list()).filter_map(|secret| secret.name());
        Ok(names.filter_map(|name| DisposableName::named(plan, name)).collect())
    }

    async fn pending(&self, rotating: &Rotating) -> Result<Option<SecretValue>, CallError> {
        self.get(rotating.secret(), Stage::Pending, Some(rotating.version())).await
    }

    async fn put_pending(&self, rotating: &Rotating, value: &SecretValue) -> Result<(), CallError> {
        let request = self.client().put_secret_value().secret_id(rotating.secret()).client_request_token(rotating.version());
        request.secret_string(value.to_json().as_str()).version_stages(Stage::Pending.label()).send().await.map_err(refused(PUT))?;
        Ok(())
    }

    async fn finish(&self, rotating: &Rotating, from: &str) -> Result<(), CallError> {
        let request = self.client().update_secret_version_stage().secret_id(rotating.secret()).version_stage(Stage::Current.label());
        request.move_to_version_id(rotating.version()).remove_from_version_id(from).send().await.map_err(refused(MOVE))?;
        Ok(())
    }

    async fn home(&self, secret: &HomeSecret) -> Result<Option<Described>, CallError> {
        let seen = AwsSecrets::look_by(self.home_client(secret), secret.as_str()).await?;
        Ok(seen.filter(|seen| seen.deleted_date.is_none()).map(described))
    }

    async fn home_value(&self, secret: &HomeSecret, stage: Stage) -> Result<Option<SecretValue>, CallError> {
        AwsSecrets::get_by(self.home_client(secret), secret.as_str(), stage, None).await
    }

    async fn put_home(&self, secret: &HomeSecret, token: &str, value: &SecretValue) -> Result<(), CallError> {
        AwsSecrets::put_by(self.home_client(secret), secret.as_str(), token, value).await
    }

    async fn replicate_again(&self, secret: &HomeSecret, to: &str) -> Result<(), CallError> {
        let here = self.look(secret.as_str()).await?;
        let follows = here.as_ref().is_some_and(|here| here.primary_region.as_deref() == Some(secret.region()));
        let before = AwsSecrets::look_by(self.home_client(secret), secret.as_str()).await?;
        let failure = failed_replica(before.as_ref().map(DescribeSecretOutput::replication_status).unwrap_or_default(), to);
        if follows && failure.is_none() {
            return Ok(());
        }
        // The key that the secret here has is the Region's own, and is kept.
        let key = here.as_ref().and_then(DescribeSecretOutput::kms_key_id).map(str::to_owned);
        let region = ReplicaRegionType::builder().region(to).set_kms_key_id(key).build();
        let request = self.home_client(secret).replicate_secret_to_regions().secret_id(secret.as_str()).add_replica_regions(region);
        let answer = request.force_overwrite_replica_secret(true).send().await.map_err(refused(REPLICATE))?;
        let failure = failed_replica(answer.replication_status(), to)
            // Of a secret that stands alone the refusal to overwrite it is what was to be expected, and is what was just answered.
            .or(failure.filter(|_| follows || here.is_none()));
        match failure {
            Some(why) => Err(CallError::new(REPLICATE, Why::State(format!("the replica in {to} failed: {why}; it is asked for again")))),
            None => Ok(()),
        }
    }
}

/// What Secrets Manager says of a replica that could not be made.
fn failed_replica(statuses: &[ReplicationStatusType], region: &str) -> Option<String> {
    let row = statuses.iter().find(|row| row.region() == Some(region) && row.status() == Some(&StatusType::Failed))?;
    Some(row.status_message().unwrap_or("no message").to_owned())
}

fn described(answer: DescribeSecretOutput) -> Described {
    let arn = answer.arn.unwrap_or_default();
    // A secret with replicas names its own Region as the primary one.
    let own = arn.split(':').nth(3).unwrap_or_default();
    let replica_of = answer.primary_region.filter(|region| region != own);
    let stages = answer.version_ids_to_stages.unwrap_or_default();
    Described {
        name: answer.name.unwrap_or_default(),
        replica_of,
        rotation_enabled: answer.rotation_enabled,
        stages: stages.into_iter().map(|(version, labels)| (version, labels.into_iter().collect())).collect(),
        arn,
    }
}

fn parse(answer: GetSecretValueOutput) -> Result<SecretValue, CallError> {
    let text = Zeroizing::new(answer.secret_string.unwrap_or_default());
    SecretValue::parse(&text).map_err(|bad| CallError::new(GET, Why::Other(bad.to_string(), Some(Box::new(bad)))))
}

fn unless_missing<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CallError { why: Why::NotFound(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The domain's error; Secrets Manager's words for "not in this state" among them.
fn refused<E>(operation: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    move |error| {
        let state = matches!(code(&error), Some("InvalidRequestException" | "PreconditionNotMetException"));
        let message = state.then(|| error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or("no message").to_owned());
        match message {
            Some(message) => CallError::new(operation, Why::State(message)),
            None => failed(operation)(error),
        }
    }
}

#[cfg(test)]
mod tests;
