//! Errors in the words of the service that was called.
//!
//! An SDK reads the code of an error from a different place in each protocol, and decides by it whether to try again. A configuration error
//! of the stage has status 501, which no SDK retries.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::cbor;
use crate::request::Protocol;
use crate::route::Answer;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    pub(crate) fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The stage lacks something that the call needs; trying again does not help.
    pub(crate) fn stage(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "StageError", message)
    }

    /// awsJson services deny with 400, all others with 403.
    pub(crate) fn denied(service: &str, protocol: Protocol, sentence: String) -> Self {
        match (protocol, service) {
            (Protocol::Json, _) => Self::bad("AccessDeniedException", sentence),
            (Protocol::RestJson, _) => Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", sentence),
            (_, "sns") => Self::new(StatusCode::FORBIDDEN, "AuthorizationError", sentence),
            _ => Self::new(StatusCode::FORBIDDEN, "AccessDenied", sentence),
        }
    }

    /// Each service has a code of its own for "too fast".
    pub(crate) fn throttled(service: &str) -> Self {
        let (status, code, message) = match service {
            "s3" => (503, "SlowDown", "Please reduce your request rate."),
            "lambda" => (429, "TooManyRequestsException", "Rate exceeded"),
            "scheduler" => (429, "ThrottlingException", "Rate exceeded"),
            "dynamodb" => {
                (400, "ThrottlingException", "Throughput exceeds the current capacity for one or more global secondary indexes or the table.")
            }
            "sns" => (429, "Throttled", "Rate exceeded"),
            "rds" | "autoscaling" | "cloudwatch" | "route53" | "iam" | "sts" | "elasticloadbalancing" => (400, "Throttling", "Rate exceeded"),
            _ => (400, "ThrottlingException", "Rate exceeded"),
        };
        Self::new(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), code, message)
    }

    pub(crate) fn broken(service: &str) -> Self {
        let code = match service {
            "s3" => "InternalError",
            "dynamodb" => "InternalServerError",
            "ecs" => "ServerException",
            "secretsmanager" => "InternalServiceError",
            "lambda" => "ServiceException",
            "scheduler" => "InternalServerException",
            _ => "InternalFailure",
        };
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, "We encountered an internal error. Please try again.")
    }

    pub(crate) fn answer(&self, service: &str, protocol: Protocol) -> Answer {
        let (code, message) = (&self.code, &self.message);
        let id = uuid::Uuid::new_v4().to_string();
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set("x-amzn-requestid", &id);
        let (kind, body): (&'static str, Vec<u8>) = match protocol {
            Protocol::Json => ("application/x-amz-json-1.1", json!({"__type": code, "message": message}).to_string().into_bytes()),
            Protocol::RestJson => {
                set("x-amzn-errortype", code);
                ("application/json", json!({"Message": message, "message": message}).to_string().into_bytes())
            }
            Protocol::Cbor => {
                set("smithy-protocol", "rpc-v2-cbor");
                set("x-amzn-query-error", &format!("{code};Sender"));
                ("application/cbor", cbor::from_json(&json!({"__type": code, "message": message})))
            }
            Protocol::RestXml if service == "s3" => (
                "application/xml",
                format!("<Error><Code>{code}</Code><Message>{}</Message><RequestId>{id}</RequestId></Error>", escape(message)).into_bytes(),
            ),
            Protocol::Query | Protocol::RestXml => {
                let kind = if self.status.is_server_error() { "Receiver" } else { "Sender" };
                let message = escape(message);
                (
                    "text/xml",
                    format!(
                        "<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
                    )
                    .into_bytes(),
                )
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Answer { status: self.status, headers, body: Bytes::from(body) }
    }
}

/// A JSON answer of the router's own services.
pub(crate) fn json_answer(protocol: Protocol, body: &serde_json::Value) -> Answer {
    let kind = if protocol == Protocol::Json { "application/x-amz-json-1.1" } else { "application/json" };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    Answer { status: StatusCode::OK, headers, body: Bytes::from(body.to_string()) }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_carries_the_code_where_its_sdk_looks() {
        let refusal = Refusal::bad("Throttling", "Rate <exceeded>");
        let body = |service, protocol| String::from_utf8_lossy(&refusal.answer(service, protocol).body).into_owned();
        assert!(body("ecs", Protocol::Json).contains(r#""__type":"Throttling""#));
        assert!(body("rds", Protocol::Query).contains("<Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate &lt;exceeded&gt;"));
        assert!(body("s3", Protocol::RestXml).starts_with("<Error><Code>Throttling</Code>"));
        let rest = refusal.answer("lambda", Protocol::RestJson);
        assert_eq!(rest.headers["x-amzn-errortype"], "Throttling");
        let cbor = refusal.answer("cloudwatch", Protocol::Cbor);
        assert_eq!(cbor.headers["x-amzn-query-error"], "Throttling;Sender");
        assert_eq!(cbor::to_json(&cbor.body).unwrap()["__type"], "Throttling");
    }
}
