//! What the environment says.

use std::{env, path::PathBuf, time::Duration};

use crate::AnyError;

const DEFAULT_SECRET_TTL: Duration = Duration::from_secs(30);

pub(crate) struct Settings {
    pub(crate) secret: String,
    pub(crate) secret_ttl: Duration,
    pub(crate) port: u16,
    pub(crate) region: String,
    pub(crate) tag: String,
    pub(crate) login_log: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self, AnyError> {
        let required = |name: &str| env::var(name).map_err(|_| format!("{name} must be set"));
        Ok(Self {
            secret: required("SHOP_SECRET")?,
            secret_ttl: match env::var("SHOP_SECRET_TTL") {
                Ok(seconds) => Duration::try_from_secs_f64(seconds.parse()?)?,
                Err(_) => DEFAULT_SECRET_TTL,
            },
            port: env::var("SHOP_PORT").map_or(Ok(0), |port| port.parse())?,
            region: required("AWS_REGION")?,
            tag: env::var("SHOP_TAG").unwrap_or_default(),
            login_log: env::var_os("SHOP_LOGIN_LOG").map(PathBuf::from),
        })
    }
}
