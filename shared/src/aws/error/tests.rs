//! The table of errors: what the services' codes mean for what happens next.

use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ErrorMetadata;

use super::*;

/// The error of some service.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused(ErrorMetadata);

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

fn answered(status: u16, code: Option<&str>) -> Why {
    let mut meta = ErrorMetadata::builder().message("as it was said");
    if let Some(code) = code {
        meta = meta.code(code);
    }
    let raw = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
    failed("some:Operation")(SdkError::service_error(Refused(meta.build()), raw)).why
}

fn unanswered(error: SdkError<Refused, HttpResponse>) -> String {
    match failed("some:Operation")(error).why {
        Why::Unanswered(how) => how,
        other => panic!("{other:?}"),
    }
}

/// The name of what an error means.
fn word(why: &Why) -> &'static str {
    match why {
        Why::Throttled => "throttled",
        Why::Denied(_) => "denied",
        Why::NotFound(_) => "not found",
        Why::State(_) => "state",
        Why::Unanswered(_) => "unanswered",
        Why::Other(..) => "other",
    }
}

#[test]
fn each_code_means_what_its_service_says_by_it() {
    let table = [
        ("throttled", 400, "ThrottlingException"),  // ECS, Application Auto Scaling, Secrets Manager, DynamoDB
        ("throttled", 400, "Throttling"),           // RDS, Auto Scaling, CloudWatch: the Query protocol
        ("throttled", 400, "ThrottledException"),   // SNS
        ("throttled", 400, "RequestLimitExceeded"), // DynamoDB, EC2
        ("throttled", 400, "ProvisionedThroughputExceededException"), // DynamoDB
        ("throttled", 429, "TooManyRequestsException"), // Lambda
        ("throttled", 503, "SlowDown"),             // S3
        ("denied", 400, "AccessDeniedException"),   // JSON protocols
        ("denied", 403, "AccessDenied"),            // RDS, S3
        ("denied", 403, "UnauthorizedOperation"),   // EC2, through Auto Scaling
        ("denied", 403, "AuthorizationError"),      // SNS
        ("denied", 403, "AuthorizationErrorException"), // SNS, in its model
        ("not found", 404, "DBInstanceNotFound"),   // RDS
        ("not found", 400, "ResourceNotFoundException"), // DynamoDB, Secrets Manager
        ("not found", 400, "ServiceNotFoundException"), // ECS
        ("not found", 404, "NotFound"),             // S3's HEAD, SNS
        ("not found", 404, "NoSuchBucket"),         // S3
        ("not found", 404, "NoSuchKey"),            // S3
        ("state", 400, "InvalidDBInstanceState"),   // RDS
        ("state", 400, "InvalidDBSnapshotState"),   // of a snapshot that is still being taken
        ("state", 400, "InvalidDBClusterSnapshotStateFault"), // of a cluster's
        ("state", 400, "ScalingActivityInProgress"), // Auto Scaling
        ("state", 500, "ResourceContention"),       // Auto Scaling
        ("state", 400, "ConcurrentUpdateException"), // Application Auto Scaling
        ("unanswered", 500, "InternalServerError"), // it may have been done
        ("unanswered", 503, "ServiceUnavailable"),
        ("other", 400, "ValidationError"),
        ("other", 400, "InvalidParameterCombination"),
    ];
    let wrong: Vec<_> = table.iter().filter(|(expected, status, code)| word(&answered(*status, Some(code))) != *expected).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn an_answer_without_a_code_is_judged_by_its_status() {
    assert_eq!(word(&answered(502, None)), "unanswered");
    assert_eq!(word(&answered(400, None)), "other");
}

#[test]
fn what_was_said_is_kept_with_its_code() {
    let error = CallError::new("rds:PromoteReadReplica", answered(400, Some("InvalidDBInstanceState")));
    assert_eq!(error.to_string(), "rds:PromoteReadReplica: refused in its present state: InvalidDBInstanceState: as it was said");
    assert!(error.passes());
}

#[test]
fn an_unknown_error_keeps_its_source() {
    let Why::Other(_, source) = answered(400, Some("ValidationError")) else { panic!("not other") };
    assert!(source.is_some());
}

#[test]
fn silence_of_any_kind_may_have_been_done_and_says_which_kind() {
    assert_eq!(unanswered(SdkError::timeout_error("5 s")), "time-out");
    assert_eq!(unanswered(SdkError::dispatch_failure(ConnectorError::timeout("connect".into()))), "time-out");
    assert_eq!(unanswered(SdkError::dispatch_failure(ConnectorError::io("reset by peer".into()))), "connection failed");
    assert_eq!(unanswered(SdkError::dispatch_failure(ConnectorError::user("no credentials".into()))), "not sent");
    let raw = HttpResponse::new(200.try_into().unwrap(), SdkBody::from("<half"));
    assert_eq!(unanswered(SdkError::response_error("half an answer", raw)), "an answer that cannot be read");
}

#[test]
fn a_call_that_was_never_built_does_not_pass() {
    let error = failed("some:Operation")(SdkError::<Refused, HttpResponse>::construction_failure("no Region"));
    assert_eq!(word(&error.why), "other");
    assert!(!error.passes());
}
