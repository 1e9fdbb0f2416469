//! The Query protocol over HTTP: form in, XML out, the Region from the signature's credential scope.
//!
//! The signature is not checked: the stage's router has judged the caller. A request for a dark Region gets no answer for as
//! long as it is dark.

use crate::Inner;
use crate::actions;
use crate::error::Error;
use crate::fault::Fault;
use crate::params::Params;
use crate::xml::Xml;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";

/// The address, and the serving itself as a task for the stage to run.
pub(crate) async fn listen(inner: Arc<Inner>) -> Result<(SocketAddr, impl Future<Output = ()> + Send + 'static), Error> {
    let failed = |source| Error::Listen { operation: "open the Query API", source };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let router = axum::Router::new().fallback(answer).with_state(inner);
    // axum's accept loop goes on after errors and never returns.
    Ok((addr, async move { drop(axum::serve(listener, router).await) }))
}

async fn answer(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let params = Params::parse(&body);
    let action = params.action().to_owned();
    let done = match region_of(&headers) {
        Some(region) => {
            let mut dark = inner.dark.subscribe();
            if dark.borrow().contains(&region) {
                // Closed without an answer when there is light again: nobody may take it for one.
                let _ = dark.wait_for(|regions| !regions.contains(&region)).await;
                Err(Fault::new(503, "ServiceUnavailable", "the Region was dark"))
            } else {
                actions::perform(&inner, &region, &action, params).await
            }
        }
        None => Err(Fault::new(403, "MissingAuthenticationToken", "Request is missing a Signature Version 4 credential scope")),
    };
    let request = uuid::Uuid::new_v4();
    let (status, xml) = match done {
        Ok(result) => (200, success(&action, result, &request)),
        Err(fault) => (fault.status, failure(&fault, &request)),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE, "text/xml"), (header::HeaderName::from_static("x-amzn-requestid"), &request.to_string())];
    (status, headers, xml).into_response()
}

/// `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/rds/aws4_request, ...`
fn region_of(headers: &HeaderMap) -> Option<String> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let scope = authorization.split("Credential=").nth(1)?.split(',').next()?;
    scope.split('/').nth(2).filter(|region| !region.is_empty()).map(str::to_owned)
}

fn success(action: &str, result: Option<Xml>, request: &uuid::Uuid) -> String {
    let body = result.map(|xml| format!("<{action}Result>{}</{action}Result>", xml.into_string())).unwrap_or_default();
    format!("<{action}Response xmlns=\"{NAMESPACE}\">{body}<ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></{action}Response>")
}

fn failure(fault: &Fault, request: &uuid::Uuid) -> String {
    let mut error = Xml::default();
    error.inside("Error", |xml| {
        xml.text("Type", if fault.status < 500 { "Sender" } else { "Receiver" });
        xml.text("Code", fault.code);
        xml.text("Message", &fault.message);
    });
    format!("<ErrorResponse xmlns=\"{NAMESPACE}\">{}<RequestId>{request}</RequestId></ErrorResponse>", error.into_string())
}
