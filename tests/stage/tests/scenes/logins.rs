//! An application that logs in anew ten times a second, as docs/applications.md asks of one: its secret cached for a while,
//! read again when a login is refused.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use jiff::Timestamp;
use relight::login::Logins;
use relight::ports::Login as _;
use relight::secret::SecretValue;
use relight_stage::{Error, Stage};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

const EVERY: Duration = Duration::from_millis(100);
/// For how long an application keeps a secret.
pub(crate) const KEPT: Duration = Duration::from_secs(5);
/// The user is gone after that.
const PATIENCE: Duration = Duration::from_secs(2);

/// One login.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) region: &'static str,
    pub(crate) how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    In,
    /// Refused with what it had, let in with what the secret says by now.
    InWhenReadAgain,
    /// Refused for its user or its password, with what the secret says by now.
    Refused,
    NoAnswer,
}

impl Attempt {
    /// The password in hand was refused, whatever came of reading again.
    pub(crate) fn met_a_refusal(&self) -> bool {
        matches!(self.how, How::Refused | How::InWhenReadAgain)
    }
}

/// The application, in one Region or in several.
pub(crate) struct LogsIn {
    seen: Arc<Mutex<Vec<Attempt>>>,
    running: JoinSet<()>,
}

impl LogsIn {
    /// Ten logins a second, by turns in each Region: a key that is derived anew for each of them is work for the machine. It keeps a
    /// secret for as long as `kept`.
    pub(crate) fn at(stage: &Stage, regions: &[&'static str], kept: Duration) -> LogsIn {
        let seen: Arc<Mutex<Vec<Attempt>>> = Arc::default();
        let mut running = JoinSet::new();
        let period = EVERY * u32::try_from(regions.len()).unwrap_or(1);
        for region in regions {
            let application = Arc::new(Application {
                region,
                client: stage.clients(region).secrets,
                secret: stage.workload.app_secret().to_owned(),
                login: Logins::trusting(stage.rds.ca_file()),
                keeps: kept,
                kept: tokio::sync::Mutex::new(None),
            });
            let seen = seen.clone();
            running.spawn(async move {
                let mut ticks = interval(period);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                let mut users = JoinSet::new();
                loop {
                    ticks.tick().await;
                    let (application, seen) = (application.clone(), seen.clone());
                    users.spawn(async move {
                        let began = Timestamp::now();
                        let how = timeout(PATIENCE, application.log_in()).await.unwrap_or(How::NoAnswer);
                        let attempt = Attempt { began, ended: Timestamp::now(), region: application.region, how };
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
                    });
                    while users.try_join_next().is_some() {}
                }
            });
        }
        LogsIn { seen, running }
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn stop(mut self) -> Vec<Attempt> {
        self.running.shutdown().await;
        self.attempts()
    }
}

struct Application {
    region: &'static str,
    client: Client,
    secret: String,
    login: Logins,
    keeps: Duration,
    kept: tokio::sync::Mutex<Option<(Instant, String, SecretValue)>>,
}

impl Application {
    async fn log_in(&self) -> How {
        let Some((version, value)) = self.value(self.keeps).await else { return How::NoAnswer };
        match self.login.login(&value).await {
            Ok(_) => How::In,
            Err(error) if error.is_about_the_user() => match self.value(Duration::ZERO).await {
                Some((fresh, value)) if fresh != version && self.login.login(&value).await.is_ok() => How::InWhenReadAgain,
                _ => How::Refused,
            },
            Err(_) => How::NoAnswer,
        }
    }

    /// Version and value, no older than asked for.
    async fn value(&self, no_older: Duration) -> Option<(String, SecretValue)> {
        let mut kept = self.kept.lock().await;
        if let Some((read, version, value)) = &*kept
            && read.elapsed() < no_older
        {
            return Some((version.clone(), value.clone()));
        }
        let answer = self.client.get_secret_value().secret_id(&self.secret).send().await.ok()?;
        let (version, value) = (answer.version_id()?.to_owned(), SecretValue::parse(answer.secret_string()?).ok()?);
        *kept = Some((Instant::now(), version.clone(), value.clone()));
        Some((version, value))
    }
}

/// Makes the application's secret one of a single user, as its owner would: the plan asks for it, and nobody alters users.
pub(crate) async fn ask_for_a_single_user(stage: &Stage) -> Result<(), Error> {
    let secret = stage.workload.app_secret();
    stage
        .change_plan(|plan| {
            let mut plan: toml::Table = plan.parse().expect("the stage's plan is TOML");
            let secrets = plan["secret"].as_array_mut().expect("a list of secrets");
            let app = secrets.iter_mut().find(|held| held["name"].as_str() == Some(secret)).and_then(toml::Value::as_table_mut).expect("the secret");
            app.remove("admin");
            app.insert("users".to_owned(), "single".into());
            plan.to_string()
        })
        .await?;
    let home = stage.clients(relight_stage::PRIMARY).secrets;
    let read = home.get_secret_value().secret_id(secret).send().await.map_err(Error::part("reading the application's secret"))?;
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(read.secret_string().unwrap_or_default()).map_err(Error::part("reading the application's secret"))?;
    fields.remove("masterarn");
    let text = serde_json::Value::Object(fields).to_string();
    home.put_secret_value().secret_id(secret).secret_string(text).send().await.map_err(Error::part("writing the application's secret"))?;
    Ok(())
}

/// The rotation of the application's secret, as its schedule calls it. Says when it was called and when it was over.
pub(crate) async fn rotate_on_schedule(stage: &Stage, region: &str) -> Result<(Timestamp, Timestamp), Error> {
    let (secrets, name) = (stage.clients(region).secrets, stage.workload.app_secret());
    let called = Timestamp::now();
    let answer = secrets.rotate_secret().secret_id(name).send().await.map_err(Error::part("rotating the application's secret"))?;
    let version = answer.version_id().unwrap_or_default().to_owned();
    relight_stage::observe::until("the rotation's version current", Duration::from_secs(30), async || {
        let current = secrets.get_secret_value().secret_id(name).send().await.map_err(|error| format!("{error:?}"))?;
        if current.version_id() == Some(version.as_str()) { Ok(()) } else { Err(format!("{:?} is", current.version_id())) }
    })
    .await?;
    Ok((called, Timestamp::now()))
}
