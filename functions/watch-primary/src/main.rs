// The futures of the loop, the port and the SDK lie in one another.
#![recursion_limit = "256"]

use lambda_runtime::Error;
use relight::aws::heartbeat::AwsEyes;
use relight::aws::start::{Environment, serve};
use watch_primary::WatchPrimary;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::load()?;
    let settings = &environment.settings;
    let eyes = AwsEyes::new(&environment.aws, settings.resolver.as_deref(), settings.heartbeat);
    serve(environment, WatchPrimary { eyes }).await
}
