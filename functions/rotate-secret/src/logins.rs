//! Finding the version of a secret that works.

use relight::ports::{CallError, Login, LoginError, Secrets, Stage};
use relight::secret::SecretValue;
use relight::state::Endpoint;

use crate::RotateSecret;

/// Why no version of a secret opens a database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLogin {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0}")]
    Login(#[from] LoginError),
    #[error(
        "neither AWSCURRENT nor AWSPREVIOUS nor AWSPENDING opens {host}: {last}; put the login that the database has into the secret, or set its user's password to AWSCURRENT's"
    )]
    NoVersion { host: String, last: LoginError },
    #[error("no version has a value; put the login that the database has")]
    Empty,
    #[error("the replica or its copy has no endpoint yet")]
    NoEndpoint,
}

impl NoLogin {
    /// Whether the database itself was met, and may answer otherwise a moment later.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, NoLogin::Login(error) if error.passes())
    }
}

impl<S: Secrets, L: Login, D, R> RotateSecret<S, L, D, R> {
    /// The first version of a secret with which `attempt` works at an endpoint, and what it answers. Data and secret
    /// replicate independently, so a promoted database may know an older or a newer password than AWSCURRENT.
    pub(crate) async fn first_that_works<T>(
        &self,
        secret: &str,
        endpoint: &Endpoint,
        attempt: impl AsyncFn(&SecretValue) -> Result<T, LoginError>,
    ) -> Result<(Stage, SecretValue, T), NoLogin> {
        let mut last = None;
        for stage in Stage::BY_LIKELIHOOD {
            let Some(value) = self.secrets.value(secret, stage).await? else { continue };
            let there = value.at(endpoint);
            match attempt(&there).await {
                Ok(answer) => return Ok((stage, there, answer)),
                Err(error) if error.is_about_the_user() => last = Some(error),
                // Another password would not help.
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or(NoLogin::Empty, |last| NoLogin::NoVersion { host: endpoint.host.clone(), last }))
    }
}
