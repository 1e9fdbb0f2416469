//! Builders for the tests of this crate.

use std::time::Duration;

use crate::config::{Endpoint, HealthCheck, Protocol, Subject};

pub(crate) fn endpoint_check() -> HealthCheck {
    HealthCheck {
        inverted: false,
        disabled: false,
        subject: Subject::Endpoint(Endpoint {
            protocol: Protocol::Http,
            ip: None,
            fqdn: Some("lb.example.com".to_owned()),
            port: 80,
            path: "/".to_owned(),
            interval: Duration::from_secs(30),
            failure_threshold: 3,
        }),
    }
}

pub(crate) fn calculated(threshold: usize, children: &[&str]) -> HealthCheck {
    HealthCheck { subject: Subject::Calculated { threshold, children: children.iter().map(|&child| child.to_owned()).collect() }, ..endpoint_check() }
}
