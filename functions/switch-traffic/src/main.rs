// The futures of the loop, the port and the SDK lie in one another.
#![recursion_limit = "256"]

use lambda_runtime::Error;
use relight::aws::database::AwsDatabase;
use relight::aws::start::{Environment, serve};
use relight::aws::stop::AwsTraffic;
use switch_traffic::SwitchTraffic;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::load()?;
    let traffic = AwsTraffic::new(&environment.aws, environment.settings.resolver.as_deref());
    let database = AwsDatabase::new(&environment.aws);
    serve(environment, SwitchTraffic { traffic, database }).await
}
