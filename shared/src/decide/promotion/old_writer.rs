//! The cluster that was the writer before a takeover. Nobody here may stop it: Aurora does, as far as it can, and makes it a secondary
//! once its Region is back. It is looked at each minute until then, as a fence is tried.
//!
//! ```text
//! taken over ─► pending-resync, while its Region is dark for days ─► rebuilt, minutes to hours ─► connected: over
//!          └──► detached by hand: the writer of its global cluster still ─► nobody stops it
//! ```

use jiff::{SignedDuration, Timestamp};

use crate::decide::Decision;
use crate::plan::{Database, Plan};
use crate::ports::{GlobalCluster, HomeCluster};
use crate::run::Mode;
use crate::state::{Place, Snapshot};

/// Between two looks.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Why it is no old writer any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OldWriterOver {
    #[error("{cluster}, the old writer, is a secondary of {standby} and follows")]
    Follows { cluster: String, standby: String },
    #[error("{cluster}, the old writer, is in {global} no more; see that nobody writes to it, the way home needs a secondary there")]
    Gone { cluster: String, global: String },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OldWriterWait {
    #[error(
        "{cluster}, the old writer, is no secondary yet, it is {status}: Aurora keeps writes from its storage as far as it can, which an RDS event of either cluster tells, and rebuilds it once its Region is back; where that does not end, take it out of {global} and add a new secondary"
    )]
    Rebuilding { cluster: String, global: String, status: String },
    #[error(
        "{cluster} is the writer of {global} still, and nothing keeps it from taking writes: {standby} was detached by hand; see that nobody reaches {cluster}, or stop it"
    )]
    Writes { cluster: String, global: String, standby: String },
    #[error("{cluster}, the old writer, waits: the global cluster is {status}, to {to}")]
    Moving { cluster: String, status: String, to: String },
}

/// Whether the old writer of a database is to be looked at now: from the takeover on, once a minute, while the standby serves. The way home
/// looks at it by itself.
pub fn old_writer_is_due(snapshot: &Snapshot, database: &Database, now: Timestamp) -> bool {
    let failed_over = snapshot.head.run.as_ref().is_some_and(|run| run.mode == Mode::Failover);
    let Some(step) = snapshot.progress.promotion.databases.get(&database.name) else { return false };
    let rested = step.old_writer.looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_AGAIN || now < at);
    let taken = database.is_global() && step.promoted_at.is_some();
    failed_over && snapshot.head.serving == Place::Standby && taken && step.old_writer.over_at.is_none() && rested
}

/// What the global cluster, as the standby Region tells of it, says of the old writer.
pub fn old_writer(
    plan: &Plan,
    database: &Database,
    global: Option<&GlobalCluster>,
) -> Decision<OldWriterOver, OldWriterWait, std::convert::Infallible> {
    let home = HomeCluster::of(plan, database);
    let (cluster, standby) = (database.primary.clone(), database.replica.clone());
    let name = || database.global_cluster.clone().unwrap_or_default();
    let Some((global, member)) = global.and_then(|global| Some((global, global.member(home.arn())?))) else {
        return Decision::Act(vec![OldWriterOver::Gone { cluster, global: name() }]);
    };
    if let Some(moving) = &global.moving {
        return Decision::Wait(OldWriterWait::Moving { cluster, status: moving.status.clone(), to: moving.to.clone() });
    }
    match member.writer {
        true => Decision::Wait(OldWriterWait::Writes { cluster, global: name(), standby }),
        false if member.follows() => Decision::Act(vec![OldWriterOver::Follows { cluster, standby }]),
        false => {
            let status = member.synchronization.clone().unwrap_or_else(|| "not told".to_owned());
            Decision::Wait(OldWriterWait::Rebuilding { cluster, global: name(), status })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Engine;
    use crate::ports::{Member, Moving};
    use crate::run::Phase;
    use crate::situations::{Situation, at};

    const HERE: &str = "arn:aws:rds:us-west-2:123456789012:cluster:orders-standby";
    const OLD: &str = "arn:aws:rds:us-east-2:123456789012:cluster:orders";

    /// A failover that is over, its cluster taken over at second 0.
    fn served() -> Situation {
        let mut situation = Situation::run(Mode::Failover, Phase::Active);
        let database = &mut situation.plan.databases[0];
        (database.engine, database.global_cluster, database.replica) =
            (Engine::AuroraPostgres, Some("shop-global".to_owned()), "orders-standby".to_owned());
        situation.database().promoted_at = Some(at(0));
        situation
    }

    fn global(writer: &str, synchronization: Option<&str>) -> GlobalCluster {
        let member = |arn: &str| Member {
            arn: arn.to_owned(),
            writer: arn == writer,
            synchronization: synchronization.filter(|_| arn != writer).map(str::to_owned),
        };
        GlobalCluster { members: vec![member(OLD), member(HERE)], ..GlobalCluster::default() }
    }

    fn said(global: Option<&GlobalCluster>) -> (bool, String) {
        let situation = served();
        match old_writer(&situation.plan, &situation.plan.databases[0], global) {
            Decision::Act(over) => (true, over[0].to_string()),
            Decision::Wait(pending) => (false, pending.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_old_writer_is_over_once_it_follows_or_has_left_the_global_cluster() {
        let (over, sentence) = said(Some(&global(HERE, Some("connected"))));
        assert!(over && sentence.contains("is a secondary of orders-standby and follows"), "{sentence}");
        let mut left = global(HERE, None);
        left.members.remove(0);
        for gone in [Some(&left), None] {
            let (over, sentence) = said(gone);
            assert!(over && sentence.contains("is in shop-global no more; see that nobody writes to it"), "{sentence}");
        }
    }

    #[test]
    fn an_old_writer_that_is_pending_is_said_with_what_aurora_does_and_a_person_can_do() {
        for (told, status) in [(Some("pending-resync"), "it is pending-resync"), (None, "it is not told")] {
            let (over, sentence) = said(Some(&global(HERE, told)));
            assert!(
                !over && [status, "keeps writes from its storage as far as it can", "add a new secondary"].iter().all(|part| sentence.contains(part)),
                "{sentence}"
            );
        }
        let (over, sentence) = said(Some(&global(OLD, None)));
        assert!(!over && sentence.contains("nothing keeps it from taking writes") && sentence.contains("detached by hand"), "{sentence}");
        let mut moving = global(HERE, Some("connected"));
        moving.moving = Some(Moving { status: "switching-over".to_owned(), to: OLD.to_owned() });
        let (over, sentence) = said(Some(&moving));
        assert!(!over && sentence.contains("is switching-over, to arn:"), "{sentence}");
    }

    #[test]
    fn it_is_looked_at_once_a_minute_from_the_takeover_until_it_is_over_and_only_while_the_standby_serves() {
        let due = |situation: &Situation, seconds| old_writer_is_due(&situation.journal, &situation.plan.databases[0], at(seconds));
        let mut situation = served();
        assert!(due(&situation, 0));
        situation.database().old_writer.looked_at = Some(at(0));
        assert!(!due(&situation, 59) && due(&situation, 60));
        assert!(due(&situation, -1), "a clock that jumped");
        situation.database().old_writer.over_at = Some(at(60));
        assert!(!due(&situation, 600));

        let not = |change: &dyn Fn(&mut Situation)| {
            let mut situation = served();
            change(&mut situation);
            assert!(!due(&situation, 600));
        };
        not(&|situation| situation.database().promoted_at = None);
        not(&|situation| situation.journal.head.serving = Place::Primary);
        not(&|situation| situation.run_mut().mode = Mode::Failback);
        not(&|situation| situation.plan.databases[0].engine = Engine::Postgres);
        not(&|situation| situation.journal.progress.promotion.databases.clear());
    }
}
