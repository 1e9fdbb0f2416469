// The futures of the SDK, the port and the loop nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use lambda_runtime::Error;
use relight::aws::compute::AwsCompute;
use relight::aws::start::{Environment, serve};
use scale_up::ScaleUp;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::load()?;
    let work = ScaleUp::new(AwsCompute::new(&environment.aws));
    serve(environment, work).await
}
