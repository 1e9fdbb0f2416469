// The futures of the loop, the ports and the SDK lie in one another.
#![recursion_limit = "256"]

use lambda_runtime::Error;
use monthly_drill::MonthlyDrill;
use relight::aws::audience::{SnsAudience, Topics};
use relight::aws::dns::Dns;
use relight::aws::probe::Probe;
use relight::aws::reports::S3Reports;
use relight::aws::start::{Environment, serve};
use relight::decide::readiness::Stack;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::load()?;
    let (aws, settings) = (&environment.aws, &environment.settings);
    let topics = Topics { progress: settings.progress_topic.clone(), alarms: settings.alarm_topic.clone(), people: settings.people_topic.clone() };
    let work = MonthlyDrill {
        audience: SnsAudience::new(aws, topics),
        stack: Stack::deployed(&settings.arns, &settings.stop_bucket, &settings.rotation_function),
        reports: S3Reports::new(&environment.aws, environment.settings.reports.clone()),
        validate: Probe::new(Dns::new(environment.settings.resolver.as_deref())),
        people: environment.notices.clone(),
    };
    serve(environment, work).await
}
