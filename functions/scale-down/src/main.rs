// The futures of the SDK, the port and the loop nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use lambda_runtime::Error;
use relight::aws::compute::AwsCompute;
use relight::aws::database::AwsDatabase;
use relight::aws::secrets::AwsSecrets;
use relight::aws::start::{Environment, serve};
use scale_down::ScaleDown;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::load()?;
    let work = ScaleDown {
        compute: AwsCompute::new(&environment.aws),
        database: AwsDatabase::new(&environment.aws),
        secrets: AwsSecrets::new(&environment.aws, environment.settings.rotation_function.clone()),
    };
    serve(environment, work).await
}
