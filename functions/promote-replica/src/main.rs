// The futures of the loop, the port and the SDK lie in one another.
#![recursion_limit = "256"]

use promote_replica::PromoteReplica;
use relight::aws::database::AwsDatabase;
use relight::aws::start::{Environment, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let environment = Environment::load()?;
    let work = PromoteReplica::new(AwsDatabase::new(&environment.aws));
    serve(environment, work).await
}
