//! What RDS answers when it refuses, and the ways in which a caller can make the stage misbehave.

use std::time::Duration;

/// An error as it goes over the wire. The codes are the wire's, which are shorter than the names of the SDK's types.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Fault {
        Fault { status, code, message: message.into() }
    }

    pub(crate) fn instance_not_found(name: &str) -> Fault {
        Fault::new(404, "DBInstanceNotFound", format!("DBInstance {name} not found."))
    }

    pub(crate) fn instance_exists() -> Fault {
        Fault::new(400, "DBInstanceAlreadyExists", "DB instance already exists")
    }

    pub(crate) fn invalid_state(message: impl Into<String>) -> Fault {
        Fault::new(400, "InvalidDBInstanceState", message)
    }

    pub(crate) fn invalid_value(message: impl Into<String>) -> Fault {
        Fault::new(400, "InvalidParameterValue", message)
    }

    pub(crate) fn invalid_combination(message: impl Into<String>) -> Fault {
        Fault::new(400, "InvalidParameterCombination", message)
    }

    pub(crate) fn missing(parameter: &str) -> Fault {
        Fault::new(400, "MissingParameter", format!("The request must contain the parameter {parameter}"))
    }

    pub(crate) fn internal(message: impl Into<String>) -> Fault {
        Fault::new(500, "InternalFailure", message)
    }
}

/// How PromoteReadReplica goes wrong. Each holds until it is taken back, but for the lost answer, which is lost once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromotionFault {
    /// Answered with InvalidDBInstanceState; nothing happens.
    Refused,
    /// Accepted; the instance is `modifying` for a while and then a replica as before.
    Fails,
    /// The promotion begins, but the caller gets a 500.
    AnswerLost,
    /// Accepted; takes this long instead of `Timing::promotion`.
    Takes(Duration),
}
