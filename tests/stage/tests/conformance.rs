//! One suite of each port, which the in-memory world and the stage both pass.
//!
//! The loops of the functions are proven over the world, and what they do to AWS over the stage. That the two mean the same by
//! a port is proven here: where they differ, one of them is wrong about AWS.

mod suites;

use aws_sdk_secretsmanager::types::ReplicaRegionType;
use jiff::Timestamp;
use relight::aws::Aws;
use relight::aws::audience::{SnsAudience, Topics};
use relight::aws::compute::AwsCompute;
use relight::aws::database::AwsDatabase;
use relight::aws::notices::SnsNotices;
use relight::aws::reports::S3Reports;
use relight::aws::secrets::AwsSecrets;
use relight::aws::stop::AwsTraffic;
use relight::plan::{Engine, Plan, Secret};
use relight_stage::{Options, PRIMARY, STANDBY, Stage};
use relight_world::World;
use stage_rds::{EngineFamily, MariaDbBinaries};

/// The stage's own plan, so that both have the same services, groups, databases and secrets.
fn world() -> (World, Plan) {
    world_with(Engine::Postgres)
}

fn world_with(engine: Engine) -> (World, Plan) {
    let text = relight_stage::plan::example(PRIMARY, STANDBY, engine).expect("the example's plan");
    (World::with_plan(&text), Plan::stored(&text).expect("a plan"))
}

#[tokio::test(start_paused = true)]
async fn the_worlds_journal_passes() {
    suites::journal(&world().0.journal).await;
}

#[tokio::test(start_paused = true)]
async fn the_worlds_compute_passes() {
    let (world, plan) = world();
    suites::compute(&world.compute, &plan).await;
}

#[tokio::test(start_paused = true)]
async fn the_worlds_database_passes() {
    let (world, plan) = world();
    suites::database(&world.database, &plan, || world.now()).await;
    world.database.add_proxy(suites::PROXY);
    suites::home_database(&world.database, &plan).await;
}

#[tokio::test(start_paused = true)]
async fn the_worlds_global_clusters_pass() {
    let (world, plan) = world_with(Engine::AuroraPostgres);
    suites::cluster_copies(&world.database, &plan).await;
    suites::global_clusters(&world.database, &plan, || world.now()).await;
}

#[tokio::test(start_paused = true)]
async fn the_worlds_parameter_groups_pass() {
    let (world, plan) = world_with(Engine::MariaDb);
    let database = &plan.databases[0];
    suites::write_gate(&world.database, database.parameter_group.as_ref().expect("the plan names it"), &database.replica).await;
}

#[tokio::test(start_paused = true)]
async fn the_worlds_secrets_pass() {
    let (world, plan) = world();
    suites::disposable_secrets(&world.secrets).await;
    suites::replica_secret(&world.secrets, &plan.secrets[0]).await;
    suites::home_secret(&world.secrets, &plan, &plan.secrets[0]).await;
}

#[tokio::test(start_paused = true)]
async fn the_worlds_traffic_passes() {
    let (world, plan) = world();
    suites::stop(&world.traffic, &plan.traffic).await;
}

#[tokio::test(start_paused = true)]
async fn the_worlds_notices_and_reports_pass() {
    let (world, _) = world();
    suites::notices(&world.notices).await;
    let _stack = world.stack();
    suites::audience(&world.notices).await;
    suites::reports(&world.reports).await;
    suites::rows(&world.reports).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stage_passes() {
    let stage = Stage::start(Options::default()).await.expect("a stage");
    // No function looks on while its journal, its bucket and its replica are played with.
    stage.router.set_rate_factor(0.01);
    tokio::time::sleep(stage.speed.shortened(60) + std::time::Duration::from_millis(500)).await;
    let text = std::fs::read_to_string(stage.folder.join("relight.toml")).expect("the stage's plan");
    let plan = Plan::stored(&text).expect("a plan");
    let aws = Aws::from_config(relight_stage::aws::config(stage.router.url(), STANDBY));
    let output = |name: &str| stage.workload.control.outputs.get(name).expect("an output of infra/control").clone();

    suites::journal(&stage.journal().expect("a journal")).await;
    suites::database(&AwsDatabase::new(&aws), &plan, Timestamp::now).await;
    let secrets = AwsSecrets::new(&aws, stage.function("rotate-secret").expect("a function"));
    suites::disposable_secrets(&secrets).await;
    let fresh = fresh_secret(&stage, &plan).await;
    suites::replica_secret(&secrets, &fresh).await;
    suites::home_secret(&secrets, &plan, &fresh).await;
    suites::compute(&AwsCompute::new(&aws), &plan).await;
    let topics = Topics { progress: output("ProgressTopicArn"), alarms: output("AlarmTopicArn"), people: output("PeopleTopicArn") };
    suites::audience(&SnsAudience::new(&aws, topics)).await;
    let reports = S3Reports::new(&aws, output("ReportsBucket"));
    suites::reports(&reports).await;
    suites::rows(&reports).await;
    suites::stop(&AwsTraffic::new(&aws, Some(&stage.dns_addr().to_string())), &plan.traffic).await;
    // After STOP: a notice of progress wakes every function, and switch-traffic takes away a STOP that nobody asked for.
    suites::notices(&SnsNotices::new(&aws, output("ProgressTopicArn"), output("PeopleTopicArn"))).await;
    if MariaDbBinaries::is_here() {
        let create =
            stage.clients(STANDBY).rds.create_db_instance().db_instance_identifier("conformance").engine("mariadb").db_instance_class("db.t4g.micro");
        let create = create.master_username("boss").master_user_password("conformance").db_parameter_group_name("conformance").allocated_storage(20);
        create.send().await.expect("an instance of its own");
        suites::write_gate(&AwsDatabase::new(&aws), "conformance", "conformance").await;
    }
    // Last: afterwards the databases are others.
    stage.rds.create_proxy(STANDBY, suites::PROXY, EngineFamily::PostgreSql).expect("a proxy");
    suites::home_database(&AwsDatabase::new(&aws), &plan).await;
    stage.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stages_global_clusters_pass() {
    let stage = Stage::start(Options { engine: Engine::AuroraPostgres, ..Options::default() }).await.expect("a stage");
    // As above: nobody looks on.
    stage.router.set_rate_factor(0.01);
    let text = std::fs::read_to_string(stage.folder.join("relight.toml")).expect("the stage's plan");
    let plan = Plan::stored(&text).expect("a plan");
    let aws = Aws::from_config(relight_stage::aws::config(stage.router.url(), STANDBY));
    suites::cluster_copies(&AwsDatabase::new(&aws), &plan).await;
    suites::global_clusters(&AwsDatabase::new(&aws), &plan, Timestamp::now).await;
    stage.shutdown().await;
}

/// A secret of the primary Region with a replica here: the applications' own stay what they are.
async fn fresh_secret(stage: &Stage, plan: &Plan) -> Secret {
    let secret = Secret { name: "conformance/fresh".to_owned(), ..plan.secrets[0].clone() };
    let value = r#"{"engine":"postgres","host":"primary.example","port":5432,"username":"u","password":"p","kept":{"as":"it is"}}"#;
    let replica = ReplicaRegionType::builder().region(STANDBY).build();
    let create = stage.clients(PRIMARY).secrets.create_secret().name(&secret.name).secret_string(value).add_replica_regions(replica);
    create.send().await.expect("created in the primary Region");
    secret
}
