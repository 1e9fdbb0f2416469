//! A stage with real servers for one test, and the real SDK against it.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod mariadb;

use aws_sdk_rds::Client;
use aws_sdk_rds::config::retry::RetryConfig;
use aws_sdk_rds::config::timeout::TimeoutConfig;
use aws_sdk_rds::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_rds::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder;
use aws_sdk_rds::types::DbInstance;
use stage_rds::{Binaries, MariaDbBinaries, Rds, Settings, Timing};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

pub(crate) const PRIMARY: &str = "us-east-2";
pub(crate) const STANDBY: &str = "us-west-2";
pub(crate) const PASSWORD: &str = "correct-horse-1";

pub(crate) struct Stage {
    pub(crate) rds: Rds,
    pub(crate) primary: Client,
    pub(crate) standby: Client,
    /// A test that fails leaves it to be looked at.
    pub(crate) folder: PathBuf,
}

impl Stage {
    pub(crate) async fn start(name: &str) -> Stage {
        let timing = Timing {
            creating: Duration::from_millis(300),
            backing_up: Duration::from_millis(1000),
            unseen: Duration::from_millis(500),
            promotion: Duration::from_millis(1600),
            modifying: Duration::from_millis(400),
            deleting: Duration::from_millis(200),
            ..Timing::default()
        };
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rds-{name}-{}", std::process::id()));
        // `RELIGHT_TEST_PG` names a folder of other binaries to be tried, such as those of the wheel.
        let postgres = match std::env::var_os("RELIGHT_TEST_PG") {
            Some(bin) => Binaries::in_folder(&PathBuf::from(bin)).expect("binaries in RELIGHT_TEST_PG"),
            None => Binaries::find(None).expect("PostgreSQL on this machine"),
        };
        let mariadb = MariaDbBinaries::find().ok();
        let settings = Settings { account: "123456789012".to_owned(), data_dir: folder.clone(), postgres, mariadb, timing, on_spawn: None };
        let rds = Rds::start(settings).await.expect("the stage starts");
        Stage { primary: client(rds.addr(), PRIMARY), standby: client(rds.addr(), STANDBY), rds, folder }
    }

    pub(crate) async fn end(self) {
        assert_eq!(self.rds.troubles(), Vec::<String>::new(), "jobs that failed");
        self.rds.shutdown().await;
        assert_eq!(self.rds.groups(), Vec::<i32>::new(), "servers that live on");
        std::fs::remove_dir_all(&self.folder).expect("the data is removed");
    }

    pub(crate) async fn with_primary(name: &str) -> Stage {
        let stage = Stage::start(name).await;
        create(&stage.primary, "orders").send().await.expect("the primary is created");
        wait_for(&stage.primary, "orders", "available").await;
        stage
    }

    pub(crate) async fn with_replica(name: &str) -> Stage {
        let stage = Stage::with_primary(name).await;
        replicate(&stage.standby, "orders-west", &arn(PRIMARY, "orders")).await;
        wait_for(&stage.standby, "orders-west", "available").await;
        wait_for(&stage.primary, "orders", "available").await;
        stage
    }

    /// A session of the application, through the endpoint that RDS names.
    pub(crate) async fn login(&self, region: &str, id: &str) -> Result<tokio_postgres::Client, String> {
        login(self.rds.endpoint(region, id).expect("an endpoint"), PASSWORD).await
    }

    /// Waits for the table too, which comes the same way as its rows.
    pub(crate) async fn arrived(&self, region: &str, id: &str, rows: usize) {
        until(&format!("{id} has {rows} rows"), async || {
            let there = self.rds.sql(region, id, "shop", "SELECT 1 FROM orders").await;
            there.is_ok_and(|found| found.len() == rows).then_some(())
        })
        .await;
    }

    pub(crate) async fn count(&self, region: &str, id: &str) -> i64 {
        let rows = self.rds.sql(region, id, "shop", "SELECT count(*) FROM orders").await.expect("a count");
        rows[0][0].as_deref().expect("not null").parse().expect("a number")
    }
}

pub(crate) fn client(addr: SocketAddr, region: &str) -> Client {
    let config = aws_sdk_rds::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(format!("http://{addr}"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(5)).build());
    Client::from_conf(config.build())
}

pub(crate) fn arn(region: &str, id: &str) -> String {
    format!("arn:aws:rds:{region}:123456789012:db:{id}")
}

pub(crate) fn create(client: &Client, id: &str) -> CreateDBInstanceFluentBuilder {
    client
        .create_db_instance()
        .db_instance_identifier(id)
        .db_instance_class("db.t4g.micro")
        .engine("postgres")
        .db_name("shop")
        .allocated_storage(20)
        .master_username("app")
        .master_user_password(PASSWORD)
        .backup_retention_period(7)
}

pub(crate) async fn replicate(client: &Client, id: &str, source: &str) {
    let request = client.create_db_instance_read_replica().db_instance_identifier(id).source_db_instance_identifier(source);
    request.send().await.expect("the replica is created");
}

pub(crate) async fn instance(client: &Client, id: &str) -> DbInstance {
    let answer = client.describe_db_instances().db_instance_identifier(id).send().await.expect("described");
    answer.db_instances()[0].clone()
}

pub(crate) fn status(instance: &DbInstance) -> &str {
    instance.db_instance_status().expect("a status")
}

pub(crate) async fn wait_for(client: &Client, id: &str, wanted: &str) -> DbInstance {
    until(&format!("{id} is {wanted}"), async || {
        let now = instance(client, id).await;
        (status(&now) == wanted).then_some(now)
    })
    .await
}

pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(20);
    while Instant::now() < limit {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain until {what}");
}

pub(crate) async fn login(at: SocketAddr, password: &str) -> Result<tokio_postgres::Client, String> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(at.port()).user("app").password(password).dbname("shop");
    let attempt = tokio::time::timeout(Duration::from_millis(1500), config.connect(NoTls)).await;
    let (client, connection) = attempt.map_err(|_| "timed out".to_owned())?.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(client)
}

/// The error code as it was on the wire, and the HTTP status.
pub(crate) fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata>(
    answer: Result<T, SdkError<E, aws_sdk_rds::config::http::HttpResponse>>,
) -> (String, u16) {
    match answer.expect_err("a refusal") {
        SdkError::ServiceError(error) => (error.err().code().unwrap_or("none").to_owned(), error.raw().status().as_u16()),
        _ => panic!("no answer of the service"),
    }
}
