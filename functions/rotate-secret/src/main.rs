use lambda_runtime::{LambdaEvent, service_fn};
use relight::aws::database::AwsDatabase;
use relight::aws::reports::S3Reports;
use relight::aws::secrets::AwsSecrets;
use relight::aws::start::Environment;
use relight::login::Logins;
use rotate_secret::{RotateSecret, handle};
use serde_json::Value;
use tokio::sync::Mutex;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let environment = Environment::load()?;
    let secrets = AwsSecrets::new(&environment.aws, environment.settings.rotation_function.clone());
    let reports = S3Reports::new(&environment.aws, environment.settings.reports.clone());
    let work = Mutex::new(RotateSecret::new(secrets, Logins::from_env(), AwsDatabase::new(&environment.aws), reports));
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| handle(&environment, &work, event).await)).await
}
