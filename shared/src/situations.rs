//! What the tests of the pure rules begin with: one plan, and a journal in some situation of it.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};

use crate::advance::{Advance, advance};
use crate::evidence::Word;
use crate::fold::open;
use crate::plan::Plan;
use crate::run::{Mode, Phase, Run, Said, Step};
use crate::state::{CapacityStep, DatabaseStep, Place, SecretStep, Snapshot};

/// Every step that a run can take.
pub(crate) const STEPS: [Step; 13] = [
    Step::Confirm,
    Step::Commit,
    Step::Complete,
    Step::StandDown,
    Step::Suspect,
    Step::Restored,
    Step::Hold,
    Step::Restore,
    Step::RealFailure,
    Step::Synchronise,
    Step::Switch,
    Step::ComeHome,
    Step::Abort,
];

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
quarantine_security_group = "sg-quarantine"
home_security_groups = ["sg-database"]

[[secret]]
name = "shop/orders"
database = "orders"
users = "single"

[[service]]
cluster = "shop"
name = "web"
desired = 4

[traffic]
record = "www.shop.example"
standby = "standby.shop.example"
stop_bucket = "shop-stop"
healthy_url = "https://standby.shop.example/health"
healthy_body = "ready"

[[observer]]
name = "probe"
kind = "probe"
url = "https://primary.shop.example/health"

[[observer]]
name = "checkers"
kind = "checkers"
record = "verdict.shop.example"
health_check = "hc-1"

[[observer]]
name = "unhealthy"
kind = "alarm"
arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:unhealthy"
health_check = "hc-1"

[[observer]]
name = "errors"
kind = "alarm"
arn = "arn:aws:cloudwatch:us-east-2:123456789012:alarm:errors"
"#;

pub(crate) fn plan() -> Plan {
    static PARSED: LazyLock<Plan> = LazyLock::new(|| Plan::stored(PLAN).unwrap());
    PARSED.clone()
}

/// Seconds after the moment at which every situation begins.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-01-05T00:05:00Z".parse().unwrap();
    start + SignedDuration::from_secs(seconds)
}

pub(crate) fn said(seconds: i64) -> Said {
    Said { by: "ada".to_owned(), at: at(seconds) }
}

/// A plan and a journal, and what is due in them.
#[derive(Debug)]
pub(crate) struct Situation {
    pub(crate) plan: Plan,
    pub(crate) journal: Snapshot,
}

impl Situation {
    pub(crate) fn peace() -> Situation {
        let mut journal = Snapshot::default();
        journal.head.plan_version = 1;
        Situation { plan: plan(), journal }
    }

    /// A run in this phase since second 0.
    pub(crate) fn run(mode: Mode, phase: Phase) -> Situation {
        let mut situation = Situation::peace();
        let mut run = open(mode, phase, 1, "a test".to_owned(), at(0));
        run.first_down = Some(at(0));
        if mode == Mode::Failback && phase != Phase::Restoring && phase != Phase::Closed {
            situation.journal.head.serving = Place::Standby;
        }
        if mode == Mode::Failover && matches!(phase, Phase::Activating | Phase::Active) {
            run.committed_at = Some(at(0));
            situation.journal.head.serving = Place::Standby;
        }
        situation.journal.head.run = Some(run);
        situation
    }

    /// Everything that the point of no return asks for, at `seconds`.
    pub(crate) fn clear(mut self, seconds: i64) -> Situation {
        self.hears("probe", Word::Down, seconds).hears("checkers", Word::Down, seconds);
        self.database().cleared_at = Some(at(seconds));
        self.journal.progress.traffic.held_out_at = Some(at(seconds));
        self
    }

    /// Everything that an activation asks for.
    pub(crate) fn activated(mut self) -> Situation {
        let step = DatabaseStep { promoted_at: Some(at(0)), backups_on_at: Some(at(0)), ..DatabaseStep::default() };
        *self.database() = step;
        self.journal.progress.rotation.proven.insert("orders".to_owned(), at(0));
        let step = SecretStep { repointed_at: Some(at(0)), ..SecretStep::default() };
        self.journal.progress.rotation.secrets.insert("shop/orders".to_owned(), step);
        self.journal.progress.traffic.opened_at = Some(at(0));
        self.capacity(4);
        self
    }

    pub(crate) fn capacity(&mut self, running: u32) {
        let step = CapacityStep { requested_at: None, reached_at: None, running, wanted: 4, said: String::new() };
        self.journal.progress.capacity.resources.insert(self.plan.services[0].id(), step);
    }

    pub(crate) fn database(&mut self) -> &mut DatabaseStep {
        self.journal.progress.promotion.databases.entry("orders".to_owned()).or_default()
    }

    pub(crate) fn run_mut(&mut self) -> &mut Run {
        self.journal.head.run.as_mut().unwrap()
    }

    /// A look, or for an alarm a change, at `seconds`.
    pub(crate) fn hears(&mut self, observer: &str, word: Word, seconds: i64) -> &mut Situation {
        let evidence = &mut self.journal.evidence;
        match observer {
            "probe" | "checkers" => evidence.hear(observer, word, at(seconds), "test"),
            _ => evidence.hear_change(observer, word, at(seconds), "test"),
        };
        self
    }

    /// Both observers that look again and again say this from `from` to `to`.
    pub(crate) fn both(&mut self, word: Word, from: i64, to: i64) -> &mut Situation {
        for second in [from, to] {
            self.hears("probe", word, second).hears("checkers", word, second);
        }
        self
    }

    pub(crate) fn due(&self, seconds: i64) -> Option<Advance> {
        advance(&self.plan, &self.journal, at(seconds)).unwrap()
    }

    /// The phase that is due, if any.
    pub(crate) fn leads_to(&self, seconds: i64) -> Option<(Mode, Phase)> {
        self.due(seconds).and_then(|due| due.head.run).map(|run| (run.mode, run.phase))
    }
}
