//! What replicas are asked before one is promoted, and the heartbeat that makes their answer certain.
//!
//! ```text
//! peace, drill   each minute: a row through the primary ─► replicated
//! Confirmed      each replica, once: how far did you come? ─► the journal ─► promote-replica weighs it against the metric
//! ```

use jiff::Timestamp;

use crate::decide::lag::ASKED_FOR;
use crate::plan::{ActMode, Database, Plan};
use crate::run::{Mode, Phase, Run};
use crate::state::{Place, ReplicaWord, Snapshot};

/// The replicas that are to say how far they came, before anything is promoted; each once for a first Down, or again within the time in
/// which its word is waited for. Only one that some secret opens can be asked.
pub fn to_ask<'a>(plan: &'a Plan, snapshot: &Snapshot, now: Timestamp) -> Vec<&'a Database> {
    let Some(run) = snapshot.head.open_run().filter(|run| (run.mode, run.phase) == (Mode::Failover, Phase::Confirmed)) else { return Vec::new() };
    let early = now.duration_since(run.phase_since) < ASKED_FOR;
    let unheard = |database: &&Database| match word(snapshot, run, &database.name) {
        Some(word) => word.reached.is_none() && early,
        None => plan.secrets.iter().any(|secret| secret.database == database.name),
    };
    // Of a cluster of Aurora's its own metric tells, whether or not anybody writes.
    plan.databases.iter().filter(|database| !database.is_global()).filter(unheard).collect()
}

/// What a replica said of itself since the primary was first seen down.
pub fn word<'a>(snapshot: &'a Snapshot, run: &Run, database: &str) -> Option<&'a ReplicaWord> {
    let first_down = run.first_down.unwrap_or(run.opened_at);
    snapshot.progress.rotation.replicas.get(database).filter(|word| word.first_down == first_down)
}

/// The databases whose heartbeat is due: in peace and in a drill, in which the primary may fail as well. With each the secret that writes it.
pub fn to_beat<'a>(plan: &'a Plan, snapshot: &Snapshot) -> Vec<(&'a Database, &'a str)> {
    let serves = snapshot.head.serving == Place::Primary && snapshot.head.open_run().is_none_or(|run| run.mode == Mode::Drill);
    let beats = plan.policy.mode == ActMode::Act && serves;
    let databases = plan.databases.iter().filter(|_| beats);
    databases.filter_map(|database| Some((database, database.heartbeat.as_deref()?))).collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::ports::Reached;
    use crate::situations::{Situation, at};

    fn names(databases: &[&Database]) -> Vec<String> {
        databases.iter().map(|database| database.name.clone()).collect()
    }

    fn asked(situation: &Situation, seconds: i64) -> Vec<String> {
        names(&to_ask(&situation.plan, &situation.journal, at(seconds)))
    }

    fn beats(situation: &Situation) -> usize {
        to_beat(&situation.plan, &situation.journal).len()
    }

    fn said(situation: &mut Situation, reached: Option<Reached>) {
        let first_down = situation.run_mut().first_down.unwrap_or(at(0));
        let word = ReplicaWord { asked_at: at(1), first_down, reached };
        situation.journal.progress.rotation.replicas.insert("orders".to_owned(), word);
    }

    #[test]
    fn a_replica_is_asked_once_the_quorum_is_complete_and_before_the_point_of_no_return() {
        for phase in [Phase::Suspected, Phase::Confirmed, Phase::Activating] {
            let situation = Situation::run(Mode::Failover, phase);
            assert_eq!(!asked(&situation, 60).is_empty(), phase == Phase::Confirmed, "{phase:?}");
        }
        assert!(asked(&Situation::peace(), 60).is_empty());
    }

    #[test]
    fn an_answer_is_enough_and_a_failure_is_tried_again_while_its_word_is_waited_for() {
        let mut situation = Situation::run(Mode::Failover, Phase::Confirmed);
        let since = situation.run_mut().phase_since.duration_since(at(0)).as_secs();
        said(&mut situation, None);
        assert_eq!((asked(&situation, since + 9).len(), asked(&situation, since + 10).len()), (1, 0));
        said(&mut situation, Some(Reached::default()));
        assert!(asked(&situation, since + 1).is_empty());
    }

    #[test]
    fn another_first_down_asks_anew() {
        let mut situation = Situation::run(Mode::Failover, Phase::Confirmed);
        said(&mut situation, Some(Reached::default()));
        situation.run_mut().first_down = Some(at(0) + SignedDuration::from_hours(1));
        assert_eq!(asked(&situation, 3700), ["orders"]);
    }

    #[test]
    fn a_database_that_no_secret_opens_is_not_asked() {
        let mut situation = Situation::run(Mode::Failover, Phase::Confirmed);
        situation.plan.secrets.clear();
        assert!(asked(&situation, 60).is_empty());
    }

    #[test]
    fn the_heart_beats_in_peace_and_in_a_drill_and_never_in_a_failover_or_while_the_standby_serves() {
        let with_heartbeat = |mut situation: Situation| {
            situation.plan.databases[0].heartbeat = Some("shop/orders/admin".to_owned());
            situation
        };
        assert_eq!(beats(&Situation::peace()), 0, "a plan without one");
        assert_eq!(beats(&with_heartbeat(Situation::peace())), 1);
        assert_eq!(beats(&with_heartbeat(Situation::run(Mode::Drill, Phase::Holding))), 1);
        assert_eq!(beats(&with_heartbeat(Situation::run(Mode::Failover, Phase::Suspected))), 0);
        let mut serving = with_heartbeat(Situation::peace());
        serving.journal.head.serving = Place::Standby;
        assert_eq!(beats(&serving), 0);
        let mut observing = with_heartbeat(Situation::peace());
        observing.plan.policy.mode = ActMode::Observe;
        assert_eq!(beats(&observing), 0);
    }
}
