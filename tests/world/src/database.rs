//! RDS in memory: replicas that lag, promotions and copies that take their time, an old writer in a Region that may be dark.
//!
//! ```text
//! promote       available 2 s ─► modifying ─► 20 s rebooting ─► 40 s available, no source
//! create_copy   creating 60 s ─► available; the source is backing-up meanwhile
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use relight::clock::Clock;
use relight::plan::Plan;
use relight::ports::{CallError, CopyId, CopyOf, Database, Fenced, Instance, InstanceChange, LagSample, PrimaryId, Removal, ReplicaId, Why};
use relight::state::{Endpoint, Place};

use crate::Calls;

/// What CloudWatch answers for a replica's `ReplicaLag`.
#[derive(Debug, Clone, PartialEq)]
pub enum LagFeed {
    /// One sample a minute, all the same; `None` is -1.
    Constant(Option<f64>),
    /// Exactly these.
    Series(Vec<LagSample>),
    /// No sample at all.
    Missing,
}

/// Something that RDS does later by itself.
#[derive(Debug, Clone)]
enum Later {
    Status(&'static str),
    Promoted,
    Retention(u32),
    Class(String),
    Removed,
}

#[derive(Debug, Clone)]
struct Held {
    instance: Instance,
    plan_tag: Option<String>,
    later: Vec<(Timestamp, Later)>,
    promotions: usize,
}

#[derive(Debug)]
struct Rds {
    standby: BTreeMap<String, Held>,
    primary: BTreeMap<String, Vec<String>>,
    lag: BTreeMap<String, LagFeed>,
    promotion: SignedDuration,
    creation: SignedDuration,
}

#[derive(Debug, Clone)]
pub struct DatabaseWorld {
    calls: Calls,
    clock: Clock,
    rds: Rc<RefCell<Rds>>,
}

impl DatabaseWorld {
    /// Each database of the plan with its writer and a replica that is 2 s behind, small, with backups on.
    pub fn of(plan: &Plan, calls: Calls, clock: Clock) -> DatabaseWorld {
        let replica = |database: &relight::plan::Database| Held {
            instance: Instance {
                status: "available".to_owned(),
                source: Some(format!("arn:aws:rds:{}:{}:db:{}", plan.primary, plan.account, database.primary)),
                replication: vec!["replicating".to_owned()],
                engine: "postgres".to_owned(),
                engine_version: "16.3".to_owned(),
                class: "db.t4g.small".to_owned(),
                endpoint: Some(endpoint(&database.replica)),
                backup_retention: 1,
                security_groups: vec!["sg-database".to_owned()],
                ..Instance::default()
            },
            plan_tag: None,
            later: Vec::new(),
            promotions: 0,
        };
        let rds = Rds {
            standby: plan.databases.iter().map(|database| (database.replica.clone(), replica(database))).collect(),
            primary: plan.databases.iter().map(|database| (database.primary.clone(), vec!["sg-database".to_owned()])).collect(),
            lag: BTreeMap::new(),
            promotion: SignedDuration::from_secs(40),
            creation: SignedDuration::from_secs(60),
        };
        DatabaseWorld { calls, clock, rds: Rc::new(RefCell::new(rds)) }
    }

    /// What `ReplicaLag` answers from now on.
    pub fn set_lag(&self, instance: &str, feed: LagFeed) {
        self.rds.borrow_mut().lag.insert(instance.to_owned(), feed);
    }

    /// Changes an instance of the standby Region as somebody else would have.
    pub fn change(&self, instance: &str, change: impl FnOnce(&mut Instance)) {
        self.settle();
        change(&mut self.rds.borrow_mut().standby.get_mut(instance).expect("the world has the instance").instance);
    }

    /// Removes an instance of the standby Region as somebody else would have.
    pub fn lose(&self, instance: &str) {
        self.rds.borrow_mut().standby.remove(instance);
    }

    /// How long a promotion takes from now on.
    pub fn set_promotion(&self, takes: SignedDuration) {
        self.rds.borrow_mut().promotion = takes;
    }

    /// How long the creation of a copy takes from now on.
    pub fn set_creation(&self, takes: SignedDuration) {
        self.rds.borrow_mut().creation = takes;
    }

    /// An instance of the standby Region as it stands.
    pub fn instance(&self, instance: &str) -> Option<Instance> {
        self.settle();
        self.rds.borrow().standby.get(instance).map(|held| held.instance.clone())
    }

    /// Names of all instances of the standby Region.
    pub fn instances(&self) -> Vec<String> {
        self.settle();
        self.rds.borrow().standby.keys().cloned().collect()
    }

    /// How often a promotion of the instance was begun.
    pub fn promotions(&self, instance: &str) -> usize {
        self.rds.borrow().standby.get(instance).map_or(0, |held| held.promotions)
    }

    /// Whether the instance takes writes.
    pub fn is_writer(&self, instance: &str) -> bool {
        self.instance(instance).is_some_and(|instance| instance.is_promoted())
    }

    /// The security groups of a writer in the primary Region, whether or not the Region is dark.
    pub fn primary_groups(&self, instance: &str) -> Vec<String> {
        self.rds.borrow().primary.get(instance).cloned().unwrap_or_default()
    }

    /// Lets everything happen that is due.
    fn settle(&self) {
        let now = self.clock.now();
        let mut rds = self.rds.borrow_mut();
        let mut removed = Vec::new();
        for (name, held) in &mut rds.standby {
            held.later.sort_by_key(|(at, _)| *at);
            let due = held.later.partition_point(|(at, _)| *at <= now);
            for (_, later) in held.later.drain(..due) {
                match later {
                    Later::Status(status) => held.instance.status = status.to_owned(),
                    Later::Promoted => {
                        held.instance.source = None;
                        held.instance.replication.clear();
                    }
                    Later::Retention(days) => {
                        held.instance.backup_retention = days;
                        held.instance.pending_backup_retention = None;
                    }
                    Later::Class(class) => {
                        held.instance.class = class;
                        held.instance.pending_class = None;
                    }
                    Later::Removed => removed.push(name.clone()),
                }
            }
        }
        for name in removed {
            rds.standby.remove(&name);
        }
    }

    /// One call about an instance of the standby Region.
    fn call<T>(&self, operation: &'static str, instance: &str, f: impl FnOnce(&mut Rds, Timestamp) -> Result<T, Why>) -> Result<T, CallError> {
        self.settle();
        self.calls.pass(operation, Place::Standby, instance, || f(&mut self.rds.borrow_mut(), self.clock.now()))
    }

    fn describe(&self, instance: &str) -> Result<Option<Instance>, CallError> {
        self.call("rds:DescribeDBInstances", instance, |rds, _| Ok(rds.standby.get(instance).map(|held| held.instance.clone())))
    }

    fn promote_any(&self, instance: &str, retention: Option<u32>) -> Result<(), CallError> {
        self.call("rds:PromoteReadReplica", instance, |rds, now| {
            let takes = rds.promotion;
            let held = rds.held(instance)?;
            if held.instance.source.is_none() {
                return Err(state(instance, "is not a read replica"));
            }
            held.expect_available(instance)?;
            held.promotions += 1;
            if let Some(days) = retention {
                held.instance.pending_backup_retention = Some(days);
                held.later.push((now + takes, Later::Retention(days)));
            }
            held.later.push((now + SignedDuration::from_secs(2).min(takes), Later::Status("modifying")));
            held.later.push((now + takes / 2, Later::Status("rebooting")));
            held.later.push((now + takes, Later::Promoted));
            held.later.push((now + takes, Later::Status("available")));
            Ok(())
        })
    }
}

impl Rds {
    fn held(&mut self, instance: &str) -> Result<&mut Held, Why> {
        self.standby.get_mut(instance).ok_or_else(|| not_found(instance))
    }
}

impl Held {
    fn expect_available(&self, instance: &str) -> Result<(), Why> {
        match self.instance.is_available() && self.later.is_empty() {
            true => Ok(()),
            false => Err(state(instance, &format!("is {}", self.instance.status))),
        }
    }
}

fn state(instance: &str, why: &str) -> Why {
    Why::State(format!("InvalidDBInstanceState: {instance} {why}"))
}

fn not_found(instance: &str) -> Why {
    Why::NotFound(format!("DBInstanceNotFound: DBInstance {instance} not found."))
}

fn endpoint(instance: &str) -> Endpoint {
    Endpoint { host: format!("{instance}.standby.rds.test"), port: 5432 }
}

impl Database for DatabaseWorld {
    async fn replica(&self, replica: &ReplicaId) -> Result<Option<Instance>, CallError> {
        self.describe(replica.as_str())
    }

    async fn lag_samples(&self, replica: &ReplicaId, from: Timestamp, to: Timestamp) -> Result<Vec<LagSample>, CallError> {
        self.call("cloudwatch:GetMetricData", replica.as_str(), |rds, now| {
            let within = |at: &Timestamp| *at >= from && *at < to && *at <= now;
            Ok(match rds.lag.get(replica.as_str()).unwrap_or(&LagFeed::Constant(Some(2.0))) {
                LagFeed::Missing => Vec::new(),
                LagFeed::Series(samples) => samples.iter().filter(|sample| within(&sample.at)).copied().collect(),
                LagFeed::Constant(seconds) => minutes(from, to).filter(within).map(|at| LagSample { at, seconds: *seconds }).collect(),
            })
        })
    }

    async fn promote(&self, replica: &ReplicaId, retention: u32) -> Result<(), CallError> {
        self.promote_any(replica.as_str(), Some(retention))
    }

    async fn modify(&self, replica: &ReplicaId, change: &InstanceChange) -> Result<(), CallError> {
        self.call("rds:ModifyDBInstance", replica.as_str(), |rds, now| {
            let held = rds.held(replica.as_str())?;
            held.expect_available(replica.as_str())?;
            let takes = SignedDuration::from_secs(30);
            match change {
                InstanceChange::Backups(days) => {
                    held.instance.pending_backup_retention = Some(*days);
                    held.later.push((now + takes, Later::Retention(*days)));
                }
                InstanceChange::Class(class) => {
                    held.instance.pending_class = Some(class.clone());
                    held.later.push((now + takes, Later::Class(class.clone())));
                }
            }
            held.later.push((now + SignedDuration::from_secs(1), Later::Status("modifying")));
            held.later.push((now + takes, Later::Status("available")));
            Ok(())
        })
    }

    async fn create_copy(&self, copy: &CopyId, of: &CopyOf<'_>) -> Result<(), CallError> {
        self.call("rds:CreateDBInstanceReadReplica", copy.as_str(), |rds, now| {
            let takes = rds.creation;
            let source = rds.held(of.source.as_str())?;
            if source.instance.backup_retention == 0 {
                return Err(state(of.source.as_str(), "has no automated backups"));
            }
            let like = source.instance.clone();
            if rds.standby.contains_key(copy.as_str()) {
                return Ok(());
            }
            let source = rds.held(of.source.as_str())?;
            source.expect_available(of.source.as_str())?;
            source.instance.status = "backing-up".to_owned();
            source.instance.read_replicas.push(copy.as_str().to_owned());
            source.later.push((now + takes * 3 / 4, Later::Status("available")));
            let made = Held {
                instance: Instance {
                    status: "creating".to_owned(),
                    source: Some(of.source.as_str().to_owned()),
                    replication: vec!["replicating".to_owned()],
                    endpoint: Some(endpoint(copy.as_str())),
                    backup_retention: 0,
                    security_groups: of.security_groups.to_vec(),
                    read_replicas: Vec::new(),
                    ..like
                },
                plan_tag: Some(of.plan.to_owned()),
                later: vec![(now + takes, Later::Status("available"))],
                promotions: 0,
            };
            rds.standby.insert(copy.as_str().to_owned(), made);
            Ok(())
        })
    }

    async fn copy(&self, copy: &CopyId) -> Result<Option<Instance>, CallError> {
        self.describe(copy.as_str())
    }

    async fn promote_copy(&self, copy: &CopyId) -> Result<(), CallError> {
        self.promote_any(copy.as_str(), None)
    }

    async fn remove_copy(&self, copy: &CopyId) -> Result<Removal, CallError> {
        self.call("rds:DeleteDBInstance", copy.as_str(), |rds, now| {
            let Some(held) = rds.standby.get_mut(copy.as_str()) else { return Ok(Removal::Gone) };
            if held.instance.status != "deleting" {
                held.instance.status = "deleting".to_owned();
                held.later = vec![(now + SignedDuration::from_secs(30), Later::Removed)];
                for other in rds.standby.values_mut() {
                    other.instance.read_replicas.retain(|replica| replica != copy.as_str());
                }
            }
            Ok(Removal::Underway)
        })
    }

    async fn copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        self.call("rds:DescribeDBInstances", "", |rds, _| {
            let ours = rds.standby.iter().filter(|(_, held)| held.plan_tag.as_deref() == Some(plan));
            Ok(ours.filter_map(|(name, _)| CopyId::named(name)).collect())
        })
    }

    async fn fence(&self, instance: &PrimaryId, security_group: &str) -> Result<Fenced, CallError> {
        let groups = |rds: &Rds| rds.primary.get(instance.as_str()).cloned().ok_or_else(|| not_found(instance.as_str()));
        let now = self.calls.pass("rds:DescribeDBInstances", Place::Primary, instance.as_str(), || groups(&self.rds.borrow()))?;
        if now == [security_group] {
            return Ok(Fenced::Done);
        }
        self.calls.pass("rds:ModifyDBInstance", Place::Primary, instance.as_str(), || {
            self.rds.borrow_mut().primary.insert(instance.as_str().to_owned(), vec![security_group.to_owned()]);
            Ok(Fenced::Underway)
        })
    }
}

/// The full minutes of a window.
fn minutes(from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
    let first = from.as_second().div_euclid(60);
    (first..=to.as_second().div_euclid(60)).filter_map(|minute| Timestamp::from_second(minute * 60).ok())
}
