//! What to start and what to stop: a pure function of what is wanted and what is there.

use std::collections::BTreeMap;

/// What a process stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Service { cluster: String, service: String },
    Instance { group: String, id: String },
}

/// How many processes an owner should have, and of which deployment (always empty for an instance).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) count: usize,
    pub(super) deployment: String,
}

/// A member as the plan sees it. `ending`: it was told to stop already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) owner: Owner,
    pub(super) deployment: String,
    pub(super) ready: bool,
    pub(super) ending: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) start: Vec<(Owner, String)>,
    /// Indices into what was seen.
    pub(super) stop: Vec<usize>,
}

impl Owner {
    /// By name or ARN, as callers of ECS may give either.
    pub(super) fn service(cluster: &str, service: &str) -> Self {
        Self::Service { cluster: last_segment(cluster), service: last_segment(service) }
    }

    pub(super) fn instance(group: &str, id: &str) -> Self {
        Self::Instance { group: group.to_owned(), id: id.to_owned() }
    }
}

fn last_segment(name_or_arn: &str) -> String {
    name_or_arn.rsplit('/').next().unwrap_or_default().to_owned()
}

pub(super) fn changes(wanted: &BTreeMap<Owner, Wanted>, seen: &[Seen]) -> Changes {
    let mut changes = Changes::default();
    let alive = || seen.iter().enumerate().filter(|(_, member)| !member.ending);
    for (owner, wanted) in wanted {
        let own = || alive().filter(|(_, member)| member.owner == *owner);
        let (mut current, mut old): (Vec<_>, Vec<_>) = own().partition(|(_, member)| member.deployment == wanted.deployment);
        // The last to go are those that serve, the oldest of them first in the list.
        current.sort_by_key(|(_, member)| !member.ready);
        old.sort_by_key(|(_, member)| !member.ready);
        let serving = current.iter().filter(|(_, member)| member.ready).count();
        let still_needed = wanted.count.saturating_sub(serving);
        let missing = wanted.count.saturating_sub(current.len());
        changes.start.extend(std::iter::repeat_n((owner.clone(), wanted.deployment.clone()), missing));
        changes.stop.extend(current.iter().skip(wanted.count).map(|(index, _)| index));
        changes.stop.extend(old.iter().skip(still_needed).map(|(index, _)| index));
    }
    changes.stop.extend(alive().filter(|(_, member)| !wanted.contains_key(&member.owner)).map(|(index, _)| index));
    changes
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SERVING: bool = true;
    const STARTING: bool = false;

    fn member(deployment: &str, ready: bool) -> Seen {
        Seen { owner: Owner::service("c", "s"), deployment: deployment.to_owned(), ready, ending: false }
    }

    #[rstest]
    #[case::empty_fleet_starts_all(2, &[], 2, &[])]
    #[case::as_wanted_changes_nothing(2, &[("d", SERVING), ("d", SERVING)], 0, &[])]
    #[case::one_that_starts_counts(2, &[("d", SERVING), ("d", STARTING)], 0, &[])]
    #[case::surplus_stops_the_newest(1, &[("d", SERVING), ("d", SERVING)], 0, &[1])]
    #[case::surplus_stops_one_that_does_not_serve_yet(1, &[("d", STARTING), ("d", SERVING)], 0, &[0])]
    #[case::zero_stops_all(0, &[("d", SERVING), ("d", STARTING)], 0, &[0, 1])]
    #[case::new_deployment_starts_beside_the_old(2, &[("old", SERVING), ("old", SERVING)], 2, &[])]
    #[case::old_stays_while_the_new_starts(1, &[("old", SERVING), ("d", STARTING)], 0, &[])]
    #[case::old_goes_one_by_one(2, &[("old", SERVING), ("old", SERVING), ("d", SERVING), ("d", STARTING)], 0, &[1])]
    #[case::old_goes_when_the_new_serves(1, &[("old", SERVING), ("d", SERVING)], 0, &[0])]
    #[case::new_deployment_that_is_smaller_ends_surplus_at_once(1, &[("old", SERVING), ("old", SERVING)], 1, &[1])]
    fn service(#[case] count: usize, #[case] members: &[(&str, bool)], #[case] starts: usize, #[case] stops: &[usize]) {
        let wanted = BTreeMap::from([(Owner::service("c", "s"), Wanted { count, deployment: "d".to_owned() })]);
        let seen: Vec<_> = members.iter().map(|(deployment, ready)| member(deployment, *ready)).collect();
        let changes = changes(&wanted, &seen);
        assert_eq!((changes.start.len(), changes.stop.as_slice()), (starts, stops));
    }

    #[test]
    fn member_that_ends_already_is_replaced_and_not_stopped_again() {
        let wanted = BTreeMap::from([(Owner::service("c", "s"), Wanted { count: 1, deployment: "d".to_owned() })]);
        let ending = Seen { ending: true, ..member("d", SERVING) };
        let changes = changes(&wanted, &[ending]);
        assert_eq!((changes.start.len(), changes.stop.len()), (1, 0));
    }

    #[test]
    fn owner_that_nobody_wants_any_more_is_stopped() {
        let instance = Seen { owner: Owner::instance("g", "i-1"), deployment: String::new(), ..member("", SERVING) };
        let changes = changes(&BTreeMap::new(), &[instance]);
        assert_eq!(changes, Changes { start: vec![], stop: vec![0] });
    }

    #[test]
    fn arn_and_name_are_the_same_service() {
        let arn = Owner::service("arn:aws:ecs:us-west-2:123456789012:cluster/c", "arn:aws:ecs:us-west-2:123456789012:service/c/s");
        assert_eq!(arn, Owner::service("c", "s"));
    }
}
