//! From an SDK's error to the domain's: what it means for what happens next.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::ports::{CallError, Why};

/// Throttling codes of the services in use; they do not agree on one.
const THROTTLED: [&str; 7] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ProvisionedThroughputExceededException",
    "SlowDown",
];
/// Codes that say: not now. The state is read again, never trusted from the code.
const BUSY: [&str; 12] = [
    "InvalidDBInstanceState",
    "InvalidDBInstanceStateFault",
    "InvalidDBSnapshotState",
    "InvalidDBParameterGroupState",
    "InvalidDBClusterStateFault",
    "InvalidDBClusterSnapshotStateFault",
    "InvalidGlobalClusterStateFault",
    "ScalingActivityInProgress",
    "ResourceContention",
    "InstanceRefreshInProgress",
    "ServiceNotActiveException",
    "ConcurrentUpdateException",
];

/// Translates by code where the service answered, by the kind of silence where it did not. A 5xx may have been done.
pub fn failed<E>(operation: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    move |error| CallError::new(operation, why(error))
}

fn why<E>(error: SdkError<E, HttpResponse>) -> Why
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let SdkError::ServiceError(answer) = &error else {
        return match &error {
            SdkError::ConstructionFailure(_) => Why::Other(DisplayErrorContext(&error).to_string(), None),
            _ => Why::Unanswered(silence(&error).to_owned()),
        };
    };
    let code = answer.err().code().unwrap_or_default();
    let message = format!("{code}: {}", answer.err().message().unwrap_or("no message"));
    match code {
        _ if THROTTLED.contains(&code) => Why::Throttled,
        _ if BUSY.contains(&code) => Why::State(message),
        _ if code.starts_with("AccessDenied") || code.starts_with("UnauthorizedOperation") || code.starts_with("AuthorizationError") => {
            Why::Denied(message)
        }
        _ if code.contains("NotFound") || code == "NoSuchKey" || code == "NoSuchBucket" || code == "MISSING" => Why::NotFound(message),
        _ if answer.raw().status().is_server_error() => Why::Unanswered(message),
        _ => Why::Other(message, Some(Box::new(error))),
    }
}

fn silence<E>(error: &SdkError<E, HttpResponse>) -> &'static str {
    match error {
        SdkError::TimeoutError(_) => "time-out",
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "time-out",
        SdkError::DispatchFailure(failure) if failure.is_io() => "connection failed",
        SdkError::DispatchFailure(_) => "not sent",
        _ => "an answer that cannot be read",
    }
}

#[cfg(test)]
mod tests;
