//! Every situation that a replica can be found in.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::decide::Decision;
use crate::plan::{Plan, UnknownLag};
use crate::ports::{CopyId, InstanceChange, Proxy};
use crate::run::{Mode, Phase, Run, RunId, Said, Words};
use crate::state::{CopyStep, DatabaseStep, Endpoint, FrozenLag, HoldSwitch, Snapshot};

const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"

[[database]]
name = "orders"
engine = "postgres"
primary = "orders"
replica = "orders-replica"
instance_class = "db.r6g.large"

[[secret]]
name = "orders-app"
database = "orders"
users = "single"

[traffic]
record = "shop.test"
standby = "standby.shop.test"
stop_bucket = "shop-stop"
healthy_url = "http://standby.shop.test/healthy"

[[observer]]
name = "probe"
kind = "probe"
url = "http://primary.shop.test/healthy"
"#;

fn plan() -> Plan {
    Plan::stored(PLAN).expect("a plan")
}

fn now() -> Timestamp {
    "2026-01-05T00:30:00Z".parse().expect("a time")
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn run(mode: Mode, phase: Phase) -> Run {
    Run {
        id: RunId::new(mode, ago(60)),
        mode,
        phase,
        plan_version: 1,
        opened_at: ago(60),
        phase_since: ago(60),
        cause: String::new(),
        first_down: Some(ago(60)),
        confirmed_at: None,
        committed_at: None,
        ended_at: None,
        was_drill: false,
        was_failback: false,
        came_home_at: None,
        words: Words::default(),
    }
}

fn replica() -> Instance {
    Instance {
        status: "available".to_owned(),
        source: Some("arn:aws:rds:us-east-2:123456789012:db:orders".to_owned()),
        replication: vec!["replicating".to_owned()],
        engine: "postgres".to_owned(),
        class: "db.t4g.small".to_owned(),
        endpoint: Some(Endpoint { host: "orders-replica.test".to_owned(), port: 5432 }),
        backup_retention: 1,
        ..Instance::default()
    }
}

fn writer() -> Instance {
    Instance { source: None, replication: Vec::new(), ..replica() }
}

fn with_status(status: &str) -> Instance {
    Instance { status: status.to_owned(), ..replica() }
}

fn ada() -> Said {
    Said { by: "ada".to_owned(), at: now() }
}

mod clearance {
    use super::*;

    fn judged(
        seconds: Option<f64>,
        replica: Option<&Instance>,
        accept_loss: bool,
        unknown_lag: UnknownLag,
    ) -> Decision<Cleared, Busy, ClearanceRefusal> {
        let mut plan = plan();
        plan.policy.unknown_lag = unknown_lag;
        let mut run = run(Mode::Failover, Phase::Confirmed);
        run.words.accept_loss = accept_loss.then(ada);
        let lag = FrozenLag { seconds, source: "the metric".to_owned(), ..FrozenLag::default() };
        clear(&Candidate { plan: &plan, run: &run, database: &plan.databases[0], lag: &lag, replica })
    }

    fn refuses(decision: &Decision<Cleared, Busy, ClearanceRefusal>) -> bool {
        matches!(decision, Decision::Refuse(_))
    }

    fn accepted(decision: Decision<Cleared, Busy, ClearanceRefusal>) -> Option<Acceptance> {
        match decision {
            Decision::Act(cleared) => cleared[0].accepted.clone(),
            other => panic!("not cleared: {other:?}"),
        }
    }

    #[test]
    fn a_replica_within_the_rpo_is_cleared_without_any_word() {
        assert_eq!(accepted(judged(Some(4.0), Some(&replica()), false, UnknownLag::Refuse)), None);
    }

    #[test]
    fn a_lagging_replica_is_refused_and_only_the_operator_lets_it_pass() {
        assert!(refuses(&judged(Some(612.0), Some(&replica()), false, UnknownLag::Refuse)));
        assert!(refuses(&judged(Some(612.0), Some(&replica()), false, UnknownLag::Accept)), "the policy is about the unknown alone");
        let operator = Some(Acceptance::Operator("ada".to_owned()));
        assert_eq!(accepted(judged(Some(612.0), Some(&replica()), true, UnknownLag::Refuse)), operator);
    }

    #[test]
    fn an_unknown_lag_is_refused_unless_operator_or_plan_accept_it() {
        assert!(refuses(&judged(None, Some(&replica()), false, UnknownLag::Refuse)));
        assert_eq!(accepted(judged(None, Some(&replica()), false, UnknownLag::Accept)), Some(Acceptance::Policy));
        assert_eq!(accepted(judged(None, Some(&replica()), true, UnknownLag::Accept)), Some(Acceptance::Operator("ada".to_owned())));
    }

    #[test]
    fn a_replication_that_ended_is_unknown_whatever_its_metric_says() {
        for status in ["stopped", "terminated"] {
            let ended = Instance { replication: vec![status.to_owned()], ..replica() };
            let decision = judged(Some(0.0), Some(&ended), false, UnknownLag::Refuse);
            let why = decision.why_not().expect("refused");
            assert!(why.contains(status) && why.ends_with("`accept-loss` promotes it anyway"), "{why}");
            assert_eq!(accepted(judged(Some(0.0), Some(&ended), false, UnknownLag::Accept)), Some(Acceptance::Policy));
            assert!(accepted(judged(Some(0.0), Some(&ended), true, UnknownLag::Refuse)).is_some());
        }
    }

    #[test]
    fn an_error_that_a_dead_source_causes_does_not_refuse() {
        let broken = Instance { replication: vec!["error".to_owned()], ..replica() };
        assert_eq!(accepted(judged(Some(4.0), Some(&broken), false, UnknownLag::Refuse)), None);
    }

    #[test]
    fn a_missing_or_broken_replica_is_refused_even_where_the_loss_is_accepted() {
        assert!(refuses(&judged(Some(4.0), None, true, UnknownLag::Accept)));
        for status in ["failed", "storage-full", "stopped", "deleting", "incompatible-parameters", "inaccessible-encryption-credentials"] {
            assert!(refuses(&judged(Some(4.0), Some(&with_status(status)), true, UnknownLag::Accept)), "{status}");
        }
    }

    #[test]
    fn a_replica_at_work_is_waited_for_and_says_what_it_does() {
        for status in ["backing-up", "modifying", "rebooting", "maintenance"] {
            let decision = judged(Some(4.0), Some(&with_status(status)), false, UnknownLag::Refuse);
            assert!(matches!(&decision, Decision::Wait(busy) if busy.to_string().contains(status)), "{decision:?}");
        }
    }

    #[test]
    fn what_a_person_must_say_is_said_before_what_passes_by_itself() {
        assert!(refuses(&judged(Some(612.0), Some(&with_status("backing-up")), false, UnknownLag::Refuse)));
    }

    #[test]
    fn an_instance_that_replicates_nothing_needs_a_word() {
        assert!(refuses(&judged(Some(4.0), Some(&writer()), false, UnknownLag::Accept)));
        assert!(matches!(judged(None, Some(&writer()), true, UnknownLag::Refuse), Decision::Act(_)));
    }
}

mod activation {
    use super::*;

    mod order;
    mod proxy;
    mod settings;

    #[derive(Default)]
    struct Situation {
        step: DatabaseStep,
        snapshot: Snapshot,
    }

    impl Situation {
        fn decide(&self, replica: Option<&Instance>) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
            self.decide_by(plan(), replica)
        }

        fn decide_by(&self, plan: Plan, replica: Option<&Instance>) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
            self.behind(plan, replica, None)
        }

        fn behind(
            &self,
            plan: Plan,
            replica: Option<&Instance>,
            proxy: Option<&Proxy>,
        ) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
            let run = run(Mode::Failover, Phase::Activating);
            let (database, step, snapshot) = (&plan.databases[0], &self.step, &self.snapshot);
            activate(&Activation { plan: &plan, snapshot, run: &run, database, step, replica, proxy, now: now() })
        }

        fn attempted(seconds: i64) -> Situation {
            Situation { step: DatabaseStep { promote_attempt_at: Some(ago(seconds)), ..DatabaseStep::default() }, ..Situation::default() }
        }

        fn called(seconds: i64) -> Situation {
            let mut situation = Situation::attempted(seconds);
            situation.step.promote_called_at = Some(ago(seconds));
            situation
        }

        fn promoted() -> Situation {
            let mut situation = Situation::called(50);
            situation.step.promoted_at = Some(ago(5));
            situation
        }

        fn in_service() -> Situation {
            let mut situation = Situation::promoted();
            situation.step.backups_on_at = Some(ago(4));
            situation.snapshot.progress.rotation.proven.insert("orders".to_owned(), ago(3));
            situation.snapshot.progress.traffic.opened_at = Some(ago(2));
            situation
        }
    }

    fn hold() -> Option<HoldSwitch> {
        Some(HoldSwitch { until: now() + SignedDuration::from_hours(1), by: "ada".to_owned() })
    }

    fn act(step: PromotionStep) -> Decision<PromotionStep, ActivationWait, ActivationRefusal> {
        Decision::Act(vec![step])
    }

    const PROMOTE: PromotionStep = PromotionStep::Promote { retention: 7, again: false };
    const PROMOTE_AGAIN: PromotionStep = PromotionStep::Promote { retention: 7, again: true };

    #[test]
    fn an_available_replica_is_promoted_with_backups() {
        assert_eq!(Situation::default().decide(Some(&replica())), act(PROMOTE));
    }

    #[test]
    fn a_replica_that_is_backing_up_is_waited_for() {
        let decision = Situation::default().decide(Some(&with_status("backing-up")));
        assert!(matches!(decision, Decision::Wait(ActivationWait::Busy(_))), "{decision:?}");
    }

    #[test]
    fn a_hold_stops_a_first_and_a_second_call() {
        for mut situation in [Situation::default(), Situation::attempted(61)] {
            situation.snapshot.head.hold = hold();
            assert!(matches!(situation.decide(Some(&replica())), Decision::Wait(ActivationWait::Held { .. })));
        }
    }

    #[test]
    fn an_expired_hold_stops_nothing() {
        let mut situation = Situation::default();
        situation.snapshot.head.hold = Some(HoldSwitch { until: now(), by: "ada".to_owned() });
        assert_eq!(situation.decide(Some(&replica())), act(PROMOTE));
    }

    #[test]
    fn an_unanswered_call_is_sent_again_only_after_a_minute_of_an_untouched_replica() {
        assert!(matches!(Situation::attempted(60).decide(Some(&replica())), Decision::Wait(ActivationWait::Unanswered { .. })));
        assert_eq!(Situation::attempted(61).decide(Some(&replica())), act(PROMOTE_AGAIN));
    }

    #[test]
    fn an_unanswered_call_that_shows_in_the_state_is_followed() {
        for status in ["modifying", "rebooting", "backing-up"] {
            let decision = Situation::attempted(300).decide(Some(&with_status(status)));
            assert!(matches!(decision, Decision::Wait(ActivationWait::Promoting { .. })), "{decision:?}");
        }
    }

    #[test]
    fn an_answered_call_is_never_sent_again_even_while_the_status_still_reads_available() {
        for seconds in [1, 61, 800] {
            let decision = Situation::called(seconds).decide(Some(&replica()));
            assert!(matches!(decision, Decision::Wait(ActivationWait::Promoting { .. })), "{decision:?}");
        }
        let late = Situation::called(1000).decide(Some(&replica())).why_not().expect("waits");
        assert!(late.contains("that takes 16 min") && late.contains("promote it by hand"), "{late}");
    }

    #[test]
    fn a_promotion_ends_when_the_source_is_gone_and_nothing_replicates() {
        let still = Instance { replication: vec!["replicating".to_owned()], ..writer() };
        let rebooting = Instance { status: "rebooting".to_owned(), ..writer() };
        for unfinished in [&still, &rebooting] {
            assert!(matches!(Situation::called(30).decide(Some(unfinished)), Decision::Wait(_)), "{unfinished:?}");
        }
        assert_eq!(Situation::called(30).decide(Some(&writer())), act(PromotionStep::Promoted));
    }

    #[test]
    fn the_first_backup_of_the_new_writer_does_not_hold_it_up() {
        let backing_up = Instance { status: "backing-up".to_owned(), pending_backup_retention: Some(7), ..writer() };
        assert_eq!(Situation::called(30).decide(Some(&backing_up)), act(PromotionStep::Promoted));
    }

    #[test]
    fn a_replica_that_vanished_or_broke_is_refused_with_a_way_on() {
        assert!(Situation::called(30).decide(None).why_not().is_some_and(|why| why.contains("`replan`")));
        assert!(matches!(Situation::called(30).decide(Some(&with_status("storage-full"))), Decision::Refuse(_)));
    }

    #[test]
    fn backups_are_turned_on_where_the_call_did_not() {
        let without = Instance { backup_retention: 0, ..writer() };
        assert_eq!(Situation::promoted().decide(Some(&without)), act(PromotionStep::Change(InstanceChange::backups(7))));
        let pending = Instance { pending_backup_retention: Some(7), ..without.clone() };
        let modifying = Instance { status: "modifying".to_owned(), ..without };
        for unfinished in [&pending, &modifying] {
            assert!(matches!(Situation::promoted().decide(Some(unfinished)), Decision::Wait(ActivationWait::Changing { .. })));
        }
        assert_eq!(Situation::promoted().decide(Some(&writer())), act(PromotionStep::BackupsOn));
    }

    #[test]
    fn the_class_waits_for_proof_and_for_traffic() {
        let mut unproven = Situation::in_service();
        unproven.snapshot.progress.rotation.proven.clear();
        let mut closed = Situation::in_service();
        closed.snapshot.progress.traffic.opened_at = None;
        for situation in [unproven, closed] {
            assert!(matches!(situation.decide(Some(&writer())), Decision::Wait(ActivationWait::Last { .. })));
        }
        assert_eq!(Situation::in_service().decide(Some(&writer())), act(PromotionStep::Change(to_class())));
    }

    #[test]
    fn a_class_is_asked_for_once_and_seen_to_its_end() {
        let pending = Instance { pending_class: Some("db.r6g.large".to_owned()), ..writer() };
        assert!(matches!(Situation::in_service().decide(Some(&pending)), Decision::Wait(ActivationWait::Changing { .. })));
        let changed = Instance { class: "db.r6g.large".to_owned(), ..writer() };
        assert_eq!(Situation::in_service().decide(Some(&changed)), act(PromotionStep::ClassChanged));
        let mut done = Situation::in_service();
        done.step.class_changed_at = Some(now());
        assert_eq!(done.decide(Some(&changed)), Decision::Done);
    }

    fn to_class() -> InstanceChange {
        InstanceChange { class: Some("db.r6g.large".to_owned()), ..InstanceChange::default() }
    }

    #[test]
    fn a_hold_keeps_the_serving_writer_from_restarting() {
        let mut situation = Situation::in_service();
        situation.snapshot.head.hold = hold();
        assert!(matches!(situation.decide(Some(&writer())), Decision::Wait(ActivationWait::Held { .. })));
    }
}

mod rehearsal;
