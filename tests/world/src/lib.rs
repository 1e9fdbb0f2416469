//! A two-Region AWS in memory, under paused time: the second implementation of every port.
//!
//! It is for the loop: what happens when each call fails once, when a function dies after a write, when a nudge comes
//! twice. What AWS really answers is the stage's to show; one conformance suite holds the two together.

pub mod calls;
pub mod compute;
pub mod data;
pub mod database;
pub mod journal;
pub mod login;
pub mod notices;
pub mod reports;
pub mod secrets;
pub mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use relight::clock::Clock;
use relight::decide::readiness::Stack;
use relight::nudge::{Nudge, NudgeError, Work};
use relight::plan::Plan;
use relight::ports::{Subscriber, Topic};
use relight::say::{Answer, Voice};
use serde_json::{Value, json};

pub use calls::{Call, Calls, Fault};
pub use journal::Version;

/// When every world begins: the first Monday of 2026, 00:05 UTC.
pub const START: &str = "2026-01-05T00:05:00Z";

/// Everything there is, in both Regions. Clones share it.
#[derive(Clone)]
pub struct World {
    pub clock: Clock,
    pub calls: Calls,
    pub journal: journal::MemoryJournal,
    /// The plan that the stack was deployed for.
    plan: Plan,
    pub notices: notices::MemoryNotices,
    pub compute: compute::ComputeWorld,
    pub database: database::DatabaseWorld,
    pub secrets: secrets::SecretsWorld,
    pub login: login::LoginWorld,
    pub traffic: traffic::TrafficWorld,
    pub reports: reports::ReportsWorld,
    pub validate: reports::ValidateWorld,
}

impl World {
    /// A world in peace, with the plan in its journal.
    pub fn with_plan(text: &str) -> World {
        let clock = Clock::starting_at(START.parse().expect("a time"));
        let calls = Calls::default();
        let plan = Plan::stored(text).expect("a plan");
        let database = database::DatabaseWorld::of(&plan, calls.clone(), clock);
        let login = login::LoginWorld::of(calls.clone(), database.clone());
        World {
            clock,
            journal: journal::MemoryJournal::new(calls.clone(), text),
            notices: notices::MemoryNotices::new(calls.clone()),
            compute: compute::ComputeWorld::of(&plan, calls.clone(), clock),
            secrets: secrets::SecretsWorld::of(&plan, calls.clone(), clock, login.clone()),
            login,
            database,
            traffic: traffic::TrafficWorld::of(&plan, calls.clone(), clock),
            reports: reports::ReportsWorld::new(calls.clone()),
            validate: reports::ValidateWorld::new(calls.clone()),
            calls,
            plan,
        }
    }

    /// A control stack that was deployed for all that the world's first plan names, its functions subscribed. What lies in the journal
    /// is not read: no version of the functions need know it.
    pub fn stack(&self) -> Stack {
        let plan = &self.plan;
        let (region, account) = (&plan.standby, &plan.account);
        let function = |name: &str| format!("arn:aws:lambda:{region}:{account}:function:{}-relight-{name}", plan.name);
        let mut arns = vec![
            format!("arn:aws:ecs:{region}:{account}:service/*"),
            format!("arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/*"),
            format!("arn:aws:secretsmanager:{region}:{account}:secret:*-??????"),
        ];
        for database in &plan.databases {
            arns.push(format!("arn:aws:rds:{region}:{account}:db:{}", database.replica));
            arns.push(format!("arn:aws:rds:{}:{account}:db:{}", plan.primary, database.primary));
            arns.push(format!("arn:aws:rds:{region}:{account}:cluster:{}", database.replica));
            arns.extend(database.global_cluster.iter().map(|global| format!("arn:aws:rds::{account}:global-cluster:{global}")));
        }
        let listens = |endpoint: String| Subscriber { endpoint, confirmed: true };
        let all = ["scale-up", "scale-down", "promote-replica", "rotate-secret", "switch-traffic", "watch-primary", "monthly-drill"];
        self.notices.set_audience(Topic::Progress, all.iter().map(|name| listens(function(name))).collect());
        self.notices.set_audience(Topic::Alarms, ["scale-up", "watch-primary"].iter().map(|name| listens(function(name))).collect());
        self.notices.set_audience(Topic::People, vec![listens("oncall@shop.test".to_owned())]);
        Stack::deployed(&arns.join(","), &plan.traffic.stop_bucket, &function("rotate-secret"))
    }

    /// The same world, seen by functions of this version.
    pub fn spoken_by(&self, version: journal::Version) -> World {
        World { journal: self.journal.spoken_by(version), ..self.clone() }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One invocation of a function, with the time that Lambda gives it.
    pub async fn nudge<W: Work>(&self, work: &mut W, event: Value) -> Result<Answer, NudgeError> {
        self.nudge_within(work, event, Duration::from_secs(840)).await
    }

    /// One invocation that may not keep polling.
    pub async fn tick<W: Work>(&self, work: &mut W) -> Result<Answer, NudgeError> {
        self.nudge_within(work, json!({ "relight": "tick" }), Duration::ZERO).await
    }

    pub async fn nudge_within<W: Work>(&self, work: &mut W, event: Value, budget: Duration) -> Result<Answer, NudgeError> {
        let voice = Voice { function: W::NAME, request_id: self.calls.next_request(), ..Voice::default() };
        let none = || BTreeMap::new();
        Nudge { journal: &self.journal, notices: &self.notices, clock: self.clock, voice, budget, calls: &none }.run(work, &event).await
    }
}
