//! What goes wrong on demand.
//!
//! A fault waits for calls that fit and is used up by them. It acts at one of two places: before the backend heard of the call, or after it
//! did the work, when only the answer is lost: the caller cannot tell them apart, and must not need to.

use std::time::Duration;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The service's own throttling error.
    Throttle,
    /// A 5xx answer, nothing was done.
    Fail,
    /// A 5xx answer, although it was done.
    LoseAnswer,
    /// The call waits before it is handled.
    Delay(Duration),
    /// Access denied, whatever the policies say.
    Deny,
}

/// A fault for the next calls that fit. What is not named fits everything.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: FaultKind,
    service: Option<String>,
    operation: Option<String>,
    region: Option<String>,
    caller: Option<String>,
    times: u32,
}

impl Fault {
    /// For the next call, whoever makes it.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, service: None, operation: None, region: None, caller: None, times: 1 }
    }

    /// The prefix of the service's IAM actions (`cloudwatch`, not `monitoring`).
    #[must_use]
    pub fn service(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    #[must_use]
    pub fn operation(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }

    /// A role's name, the name of a function, `root`, or the label of an unjudged key.
    #[must_use]
    pub fn caller(mut self, caller: &str) -> Self {
        self.caller = Some(caller.to_owned());
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    fn fits(&self, service: &str, operation: &str, region: &str, callers: &[&str]) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        self.times > 0
            && same(&self.service, service)
            && same(&self.operation, operation)
            && same(&self.region, region)
            && self.caller.as_deref().is_none_or(|wanted| callers.contains(&wanted))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The faults of one call, each used once. Of the same kind only the oldest is used: two throttles are two calls.
    pub(crate) fn take(&mut self, service: &str, operation: &str, region: &str, callers: &[&str]) -> Vec<FaultKind> {
        let mut taken: Vec<FaultKind> = Vec::new();
        for fault in &mut self.0 {
            let again = taken.iter().any(|kind| std::mem::discriminant(kind) == std::mem::discriminant(&fault.kind));
            if !again && fault.fits(service, operation, region, callers) {
                fault.times -= 1;
                taken.push(fault.kind);
            }
        }
        self.0.retain(|fault| fault.times > 0);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_used_up_by_the_calls_that_fit_and_no_others() {
        let mut faults = Faults::default();
        faults.add(Fault::new(FaultKind::Throttle).service("ecs").operation("UpdateService").caller("scale-up").times(2));
        assert!(faults.take("rds", "UpdateService", "us-west-2", &["scale-up"]).is_empty());
        assert!(faults.take("ecs", "UpdateService", "us-west-2", &["scale-down"]).is_empty());
        for _ in 0..2 {
            assert_eq!(faults.take("ecs", "UpdateService", "us-west-2", &["role", "scale-up"]), [FaultKind::Throttle]);
        }
        assert!(faults.take("ecs", "UpdateService", "us-west-2", &["scale-up"]).is_empty());
    }

    #[test]
    fn a_delay_joins_another_fault_of_the_same_call() {
        let mut faults = Faults::default();
        let delay = FaultKind::Delay(Duration::from_millis(5));
        for kind in [delay, FaultKind::Fail, FaultKind::Fail] {
            faults.add(Fault::new(kind));
        }
        assert_eq!(faults.take("ecs", "x", "r", &[]), [delay, FaultKind::Fail]);
        assert_eq!(faults.take("ecs", "x", "r", &[]), [FaultKind::Fail]);
    }
}
