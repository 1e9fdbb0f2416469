//! How Route 53 turns what its checkers saw into "healthy" and "unhealthy": pure, no clock and no network.
//!
//! ```text
//! probe passed/failed ──► one checker's opinion ──► more than 18 % of checkers healthy? ──► disabled, inverted ──► verdict
//!                         (FailureThreshold in a row)                  CALCULATED: enough healthy children? ──┘
//! ```

use std::collections::BTreeMap;

use crate::config::{HealthCheck, Subject};

/// Route 53's share: a check is healthy where *more* than 18 % of the checkers say so.
const HEALTHY_SHARE_PERCENT: usize = 18;
/// Calculated checks may watch calculated checks; a circle, which Route 53 refuses to create, must still end here.
const MAX_NESTING: usize = 16;

/// What one checker thinks of an endpoint. It begins as healthy: Route 53 considers a new check healthy until it has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opinion {
    healthy: bool,
    /// Probes in a row that contradict the opinion.
    contrary: u32,
}

impl Default for Opinion {
    fn default() -> Self {
        Self { healthy: true, contrary: 0 }
    }
}

impl Opinion {
    pub(crate) fn observe(&mut self, passed: bool, threshold: u32) {
        if passed == self.healthy {
            self.contrary = 0;
            return;
        }
        self.contrary += 1;
        if self.contrary >= threshold.max(1) {
            *self = Self { healthy: passed, contrary: 0 };
        }
    }
}

/// The opinions of all checkers about each endpoint check.
pub(crate) type Opinions = BTreeMap<String, Vec<Opinion>>;

/// A check's verdict, and the share of healthy checkers where checkers were asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) healthy: bool,
    pub(crate) percent_healthy: Option<f64>,
}

/// `None` where no such check exists.
pub(crate) fn judge(checks: &BTreeMap<String, HealthCheck>, opinions: &Opinions, id: &str) -> Option<Verdict> {
    judge_nested(checks, opinions, id, 0)
}

fn judge_nested(checks: &BTreeMap<String, HealthCheck>, opinions: &Opinions, id: &str, depth: usize) -> Option<Verdict> {
    let check = checks.get(id)?;
    let (observed, percent_healthy) = match &check.subject {
        Subject::Endpoint(_) => by_checkers(opinions.get(id).map_or(&[], Vec::as_slice)),
        Subject::Calculated { .. } if depth == MAX_NESTING => (false, None),
        Subject::Calculated { threshold, children } => {
            // A child that was deleted has no data, and without data a check counts as healthy.
            let healthy = children.iter().filter(|child| judge_nested(checks, opinions, child, depth + 1).is_none_or(|v| v.healthy)).count();
            (healthy >= *threshold, None)
        }
    };
    // Disabled means "always healthy", and Inverted still turns that round: Route 53's documented way to take an endpoint out by hand.
    Some(Verdict { healthy: (check.disabled || observed) != check.inverted, percent_healthy })
}

fn by_checkers(opinions: &[Opinion]) -> (bool, Option<f64>) {
    if opinions.is_empty() {
        return (true, None);
    }
    let healthy = opinions.iter().filter(|opinion| opinion.healthy).count();
    let share = healthy as f64 * 100.0 / opinions.len() as f64;
    (healthy * 100 > HEALTHY_SHARE_PERCENT * opinions.len(), Some(share))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::testing::{calculated, endpoint_check};

    fn opinion(healthy: bool) -> Opinion {
        Opinion { healthy, contrary: 0 }
    }

    #[rstest]
    #[case::new_check_is_healthy(&[], 3, true)]
    #[case::below_the_threshold_stays_healthy(&[false, false], 3, true)]
    #[case::at_the_threshold_turns(&[false, false, false], 3, false)]
    #[case::a_pass_between_starts_the_count_anew(&[false, false, true, false, false], 3, true)]
    #[case::coming_back_needs_the_threshold_too(&[false, false, false, true, true], 3, false)]
    #[case::back_after_the_threshold(&[false, false, false, true, true, true], 3, true)]
    #[case::threshold_one_turns_at_once(&[false], 1, false)]
    fn one_checker(#[case] probes: &[bool], #[case] threshold: u32, #[case] healthy: bool) {
        let mut opinion = Opinion::default();
        for passed in probes {
            opinion.observe(*passed, threshold);
        }
        assert_eq!(opinion.healthy, healthy);
    }

    #[rstest]
    #[case::no_data_yet(0, 0, true)]
    #[case::one_of_three_is_enough(1, 3, true)]
    #[case::none_of_three(0, 3, false)]
    #[case::exactly_18_percent_is_not_more(18, 100, false)]
    #[case::nineteen_percent_is_more(19, 100, true)]
    fn share_of_checkers(#[case] healthy: usize, #[case] of: usize, #[case] expected: bool) {
        let opinions: Vec<_> = (0..of).map(|index| opinion(index < healthy)).collect();
        assert_eq!(by_checkers(&opinions).0, expected);
    }

    #[rstest]
    #[case::plain(false, false, true)]
    #[case::inverted_without_data_is_unhealthy(true, false, false)]
    #[case::disabled_is_healthy(false, true, true)]
    #[case::disabled_and_inverted_is_unhealthy(true, true, false)]
    fn inverted_and_disabled(#[case] inverted: bool, #[case] disabled: bool, #[case] healthy: bool) {
        let check = HealthCheck { inverted, disabled, ..endpoint_check() };
        let checks = BTreeMap::from([("c".to_owned(), check)]);
        assert_eq!(judge(&checks, &Opinions::new(), "c").unwrap().healthy, healthy);
    }

    #[test]
    fn disabled_check_stays_healthy_though_its_last_opinions_were_bad() {
        let check = HealthCheck { disabled: true, ..endpoint_check() };
        let checks = BTreeMap::from([("c".to_owned(), check)]);
        let opinions = Opinions::from([("c".to_owned(), vec![opinion(false); 3])]);
        assert!(judge(&checks, &opinions, "c").unwrap().healthy);
    }

    #[rstest]
    #[case::all_of_two_with_one_ill(2, false)]
    #[case::one_of_two_with_one_ill(1, true)]
    #[case::threshold_zero_is_always_healthy(0, true)]
    #[case::more_than_children_is_always_unhealthy(3, false)]
    fn calculated_counts_children(#[case] threshold: usize, #[case] healthy: bool) {
        let checks = BTreeMap::from([
            ("good".to_owned(), endpoint_check()),
            ("bad".to_owned(), endpoint_check()),
            ("both".to_owned(), calculated(threshold, &["good", "bad"])),
        ]);
        let opinions = Opinions::from([("bad".to_owned(), vec![opinion(false); 3])]);
        assert_eq!(judge(&checks, &opinions, "both").unwrap().healthy, healthy);
    }

    #[test]
    fn circle_of_calculated_checks_ends_unhealthy() {
        let checks = BTreeMap::from([("a".to_owned(), calculated(1, &["b"])), ("b".to_owned(), calculated(1, &["a"]))]);
        assert!(!judge(&checks, &Opinions::new(), "a").unwrap().healthy);
    }

    #[test]
    fn unknown_check_has_no_verdict() {
        assert_eq!(judge(&BTreeMap::new(), &Opinions::new(), "x"), None);
    }
}
