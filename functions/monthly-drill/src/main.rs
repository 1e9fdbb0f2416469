// The futures of the loop, the ports and the SDK lie in one another.
#![recursion_limit = "256"]

use lambda_runtime::Error;
use monthly_drill::MonthlyDrill;
use relight::aws::audience::{SnsAudience, Topics};
use relight::aws::compute::AwsCompute;
use relight::aws::database::AwsDatabase;
use relight::aws::dns::Dns;
use relight::aws::probe::Probe;
use relight::aws::reports::S3Reports;
use relight::aws::secrets::AwsSecrets;
use relight::aws::start::{Environment, serve};
use relight::aws::stop::AwsTraffic;
use relight::decide::readiness::Stack;
use relight::look::Standby;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::load()?;
    let (aws, settings) = (&environment.aws, &environment.settings);
    let topics = Topics { progress: settings.progress_topic.clone(), alarms: settings.alarm_topic.clone(), people: settings.people_topic.clone() };
    let standby = Standby {
        compute: AwsCompute::new(aws),
        database: AwsDatabase::new(aws),
        secrets: AwsSecrets::new(aws, settings.rotation_function.clone()),
        traffic: AwsTraffic::new(aws, settings.resolver.as_deref()),
        audience: SnsAudience::new(aws, topics),
    };
    let work = MonthlyDrill {
        standby,
        stack: Stack::deployed(&settings.arns, &settings.stop_bucket, &settings.rotation_function),
        reports: S3Reports::new(&environment.aws, environment.settings.reports.clone()),
        validate: Probe::new(Dns::new(environment.settings.resolver.as_deref())),
        people: environment.notices.clone(),
    };
    serve(environment, work).await
}
