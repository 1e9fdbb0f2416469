//! What can go wrong, with the remedy.

use std::{io, net::SocketAddr};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("opening the DNS socket failed; is loopback there, and are file descriptors left?")]
    Socket(#[source] io::Error),
    #[error("{operation}: {endpoint} does not answer; is the stage's router up?")]
    Unreachable {
        operation: &'static str,
        endpoint: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{operation}: answered {status}, \"{body}\"; an HTML body means that the emulator lacks the operation")]
    Refused { operation: &'static str, status: u16, body: String },
    #[error("{operation}: the answer is not Route 53's XML; does the endpoint lead to Route 53?")]
    Unreadable {
        operation: &'static str,
        #[source]
        source: quick_xml::DeError,
    },
    #[error("health check {id}: {what}; correct it in the template, or teach stage-dns")]
    HealthCheck { id: String, what: String },
    #[error("record {name} {kind}: {what}; correct it in the template, or teach stage-dns")]
    Record { name: String, kind: String, what: String },
    #[error("the time factor {0} must be a number of at least 1")]
    Factor(f64),
}

/// Why a name could not be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    #[error("resolving {name}: the name is not one that DNS can carry")]
    Name { name: String },
    #[error("resolving {name}: {server} gave no usable answer in time; is the stage's DNS up?")]
    NoAnswer {
        name: String,
        server: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("resolving {name}: no such name ({code}); is the record deployed?")]
    NoSuchName { name: String, code: String },
    #[error("resolving {name}: it has no {wanted} record; is the record deployed?")]
    NoData { name: String, wanted: &'static str },
}
