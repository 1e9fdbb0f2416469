//! The secret: fetched from Secrets Manager in this Region, kept for its time to live.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_secretsmanager::{Client, error::DisplayErrorContext};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use crate::{database::Unavailable, settings::Settings};

const TIME_OUT: Duration = Duration::from_secs(2);

/// What a login needs. Not `Debug`: a password must not reach a log.
pub(crate) struct Login {
    /// The version of the secret that it was read from.
    pub(crate) version: String,
    pub(crate) value: Value,
}

/// The JSON that RDS and its rotation functions agree on.
#[derive(Deserialize)]
pub(crate) struct Value {
    engine: Option<String>,
    pub(crate) host: String,
    port: Option<Port>,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) dbname: Option<String>,
}

/// Written as a number by some, as a string by others.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

impl Value {
    pub(crate) fn is_mysql(&self) -> bool {
        matches!(self.engine.as_deref(), Some("mysql" | "mariadb"))
    }

    /// None where it is no number.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.port {
            Some(Port::Number(port)) => Some(*port),
            Some(Port::Text(port)) => port.parse().ok(),
            None if self.is_mysql() => Some(3306),
            None => Some(5432),
        }
    }
}

pub(crate) struct Credentials {
    client: Client,
    secret: String,
    ttl: Duration,
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    fetched: Instant,
    login: Arc<Login>,
}

impl Credentials {
    pub(crate) async fn new(settings: &Settings) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            // The stage speaks plain HTTP: a root store would only cost memory in each of dozens of processes.
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            // A retry in here would hide from the login log what really happened.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(TIME_OUT).build())
            .load()
            .await;
        Self { client: Client::new(&config), secret: settings.secret.clone(), ttl: settings.secret_ttl, cached: Mutex::default() }
    }

    /// The cached login, or a fresh one where the cache is past its time. When Secrets Manager does not answer, an old login is better than none.
    pub(crate) async fn login(&self) -> Result<Arc<Login>, Unavailable> {
        let mut cached = self.cached.lock().await;
        match &mut *cached {
            Some(kept) if kept.fetched.elapsed() < self.ttl => Ok(kept.login.clone()),
            Some(kept) => {
                if let Ok(login) = self.fetch().await {
                    kept.login = login;
                }
                kept.fetched = Instant::now();
                Ok(kept.login.clone())
            }
            None => {
                let login = self.fetch().await?;
                *cached = Some(Cached { fetched: Instant::now(), login: login.clone() });
                Ok(login)
            }
        }
    }

    /// The login as it is now, whatever the cache says: for the moment after a refused one.
    pub(crate) async fn refetch(&self) -> Result<Arc<Login>, Unavailable> {
        let mut cached = self.cached.lock().await;
        let login = self.fetch().await?;
        *cached = Some(Cached { fetched: Instant::now(), login: login.clone() });
        Ok(login)
    }

    async fn fetch(&self) -> Result<Arc<Login>, Unavailable> {
        let answer = self
            .client
            .get_secret_value()
            .secret_id(&self.secret)
            .send()
            .await
            .map_err(|error| Unavailable::NoSecret(DisplayErrorContext(error).to_string()))?;
        // serde_json's errors name a place and a field, never a value; still, the secret is not worth the risk.
        let value = answer
            .secret_string()
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| Unavailable::NoSecret("it is not the JSON of a database".to_owned()))?;
        Ok(Arc::new(Login { version: answer.version_id.unwrap_or_default(), value }))
    }
}
