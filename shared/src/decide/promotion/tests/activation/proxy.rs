//! A proxy before the promoted database: users wait for it, and the rest of the plan does not.

use super::*;
use crate::ports::ProxyTarget;

fn proxied() -> Plan {
    let mut plan = plan();
    (plan.databases[0].proxy, plan.databases[0].deletion_protection) = (Some("orders-proxy".to_owned()), Some(true));
    plan
}

fn proxy(targets: &[(&str, &str)]) -> Proxy {
    let target = |(instance, state): &(&str, &str)| ProxyTarget {
        instance: (*instance).to_owned(),
        state: (*state).to_owned(),
        why: if *state == "AVAILABLE" { String::new() } else { "PENDING_PROXY_CAPACITY".to_owned() },
    };
    Proxy {
        status: "available".to_owned(),
        endpoint: Some(Endpoint { host: "orders.proxy.test".to_owned(), port: 5432 }),
        targets: targets.iter().map(target).collect(),
    }
}

/// Promoted, its backups on.
fn backed_up() -> Situation {
    let mut situation = Situation::promoted();
    situation.step.backups_on_at = Some(ago(4));
    situation
}

fn protected() -> Instance {
    Instance { deletion_protection: true, ..writer() }
}

fn settled() -> Situation {
    let mut situation = backed_up();
    situation.step.protected_at = Some(ago(3));
    situation
}

#[test]
fn a_proxy_without_a_target_gets_the_promoted_instance() {
    assert_eq!(Situation::promoted().behind(proxied(), Some(&writer()), Some(&proxy(&[]))), act(PromotionStep::Register));
    for status in ["modifying", "backing-up"] {
        let busy = Instance { status: status.to_owned(), ..writer() };
        assert_eq!(Situation::promoted().behind(proxied(), Some(&busy), Some(&proxy(&[]))), act(PromotionStep::Register), "RDS takes it {status}");
    }
}

#[test]
fn nothing_is_registered_of_what_is_not_promoted() {
    for situation in [Situation::default(), Situation::called(30)] {
        let decided = situation.behind(proxied(), Some(&replica()), Some(&proxy(&[])));
        assert!(!matches!(&decided, Decision::Act(steps) if steps.contains(&PromotionStep::Register)), "{decided:?}");
    }
}

#[test]
fn users_wait_until_the_target_is_available_and_the_instance_becomes_what_the_plan_says_meanwhile() {
    let registering = proxy(&[("orders-replica", "REGISTERING")]);
    let protection = InstanceChange { deletion_protection: Some(true), ..InstanceChange::default() };
    assert_eq!(backed_up().behind(proxied(), Some(&writer()), Some(&registering)), act(PromotionStep::Change(protection)));
    for state in ["REGISTERING", "UNAVAILABLE"] {
        let waits = settled().behind(proxied(), Some(&protected()), Some(&proxy(&[("orders-replica", state)])));
        let said = waits.why_not().expect("waits");
        assert!(said.contains(&format!("orders-proxy, its target is {state} (PENDING_PROXY_CAPACITY)")) && said.contains("`replan`"), "{said}");
    }
    let available = proxy(&[("orders-replica", "AVAILABLE")]);
    assert_eq!(settled().behind(proxied(), Some(&protected()), Some(&available)), act(PromotionStep::Available));
    let mut open = settled();
    open.step.proxy.available_at = Some(now());
    assert!(matches!(open.behind(proxied(), Some(&protected()), None), Decision::Wait(ActivationWait::Last { .. })), "it is not looked at any more");
}

#[test]
fn a_proxy_that_is_gone_or_somebody_elses_is_refused_with_two_ways_on() {
    let refused = |proxy: Option<&Proxy>| settled().behind(proxied(), Some(&protected()), proxy).why_not().expect("refused");
    let gone = refused(None);
    assert!(gone.contains("has no proxy orders-proxy; create it") && gone.contains("`replan`"), "{gone}");
    let elsewhere = refused(Some(&proxy(&[("bills", "AVAILABLE")])));
    assert!(elsewhere.contains("has the target bills") && elsewhere.contains("`replan`"), "{elsewhere}");
    let making = Proxy { status: "creating".to_owned(), ..proxy(&[]) };
    assert!(refused(Some(&making)).contains("it is creating"));
}

#[test]
fn a_plan_without_it_sends_users_to_the_instance_itself() {
    let mut plan = proxied();
    plan.databases[0].proxy = None;
    assert!(matches!(settled().behind(plan, Some(&protected()), None), Decision::Wait(ActivationWait::Last { .. })));
}
