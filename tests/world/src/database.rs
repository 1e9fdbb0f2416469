//! RDS in memory: replicas that lag, promotions and copies that take their time, an old writer in a Region that may be dark.
//!
//! What a promotion or a change does in its time is in `changes`, a drill's copies in `copies` and `cluster_copies`, what a failback does in both Regions in `home`,
//! Aurora's clusters in `global`, the rows that instances hold in [`crate::data`]; what a test sets and sees without a call in `controls`.

mod changes;
mod cluster_copies;
mod controls;
mod copies;
mod global;
mod home;
mod parameters;
mod proxy;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use relight::clock::Clock;
use relight::plan::Plan;
use relight::ports::{
    CallError, CopyId, CopyOf, CopySnapshot, Database, Fenced, HomeId, HomeOf, Instance, InstanceChange, LagSample, LeftId, ParameterGroup,
    PrimaryId, Proxy, ProxyId, Quota, RebuiltOf, Removal, ReplicaId, SnapshotOf, Snapshotted, Why, WriteGate,
};
use relight::state::{Endpoint, Place, ReplicaShape};

use self::changes::Later;
use crate::Calls;
use crate::data::Data;

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

#[derive(Debug, Clone)]
struct Held {
    instance: Instance,
    data: Data,
    /// Replays nothing while this is set.
    stalled: bool,
    /// The host whose users it has, from when it was made.
    born_of: Option<String>,
    plan_tag: Option<String>,
    later: Vec<(Timestamp, Later)>,
    promotions: usize,
    restarts: usize,
}

#[derive(Debug)]
struct Rds {
    standby: BTreeMap<String, Held>,
    primary: BTreeMap<String, Held>,
    /// Snapshots by Region and name, with when they are available.
    snapshots: BTreeMap<(Place, String), Timestamp>,
    /// The snapshots that copies are restored from, by the copies' names.
    copy_snapshots: BTreeMap<String, copies::HeldSnapshot>,
    /// The instances of copies that are clusters, by the copies' names.
    copy_members: BTreeMap<String, cluster_copies::Member>,
    /// Hosts that were renamed, old and new, for whoever keeps users by host.
    renamed: Vec<(String, String)>,
    /// Aurora's global clusters by their names.
    globals: BTreeMap<String, global::Global>,
    lag: BTreeMap<String, LagFeed>,
    proxies: BTreeMap<String, proxy::HeldProxy>,
    /// DB instances that the account may have in the standby Region.
    most_instances: usize,
    /// What the parameter groups of the standby Region say of `read_only`.
    parameters: BTreeMap<String, parameters::Said>,
    promotion: SignedDuration,
    creation: SignedDuration,
    /// A row, by table and key, that no disposable copy has.
    copies_lack: Option<(String, String)>,
    /// Snapshots for copies come to nothing.
    snapshots_fail: bool,
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
                engine: database.engine.as_str().to_owned(),
                engine_version: if database.is_mysql() { "10.11.8" } else { "16.3" }.to_owned(),
                class: "db.t4g.small".to_owned(),
                endpoint: Some(endpoint(Place::Standby, &database.replica)),
                backup_retention: 1,
                security_groups: vec!["sg-database".to_owned()],
                parameter_group: Some(ParameterGroup { name: group_of(database), status: "in-sync".to_owned() }),
                ..Instance::default()
            },
            data: Data::of_shop(),
            stalled: false,
            born_of: None,
            plan_tag: None,
            later: Vec::new(),
            promotions: 0,
            restarts: 0,
        };
        let writer = |database: &relight::plan::Database| Held {
            instance: Instance {
                source: None,
                replication: Vec::new(),
                endpoint: Some(endpoint(Place::Primary, &database.primary)),
                backup_retention: database.backup_retention_days,
                ..replica(database).instance
            },
            ..replica(database)
        };
        let mut rds = Rds {
            globals: BTreeMap::new(),
            standby: plan.databases.iter().map(|database| (database.replica.clone(), replica(database))).collect(),
            primary: plan.databases.iter().map(|database| (database.primary.clone(), writer(database))).collect(),
            snapshots: BTreeMap::new(),
            copy_snapshots: BTreeMap::new(),
            copy_members: BTreeMap::new(),
            renamed: Vec::new(),
            most_instances: 40,
            parameters: BTreeMap::new(),
            lag: BTreeMap::new(),
            proxies: proxy::of(plan),
            promotion: SignedDuration::from_secs(40),
            creation: SignedDuration::from_secs(60),
            copies_lack: None,
            snapshots_fail: false,
        };
        for database in plan.databases.iter().filter(|database| database.is_global()) {
            rds.add_global(plan, database);
        }
        DatabaseWorld { calls, clock, rds: Rc::new(RefCell::new(rds)) }
    }

    /// Lets everything happen that is due, in both Regions.
    fn settle(&self) {
        let now = self.clock.now();
        let mut rds = self.rds.borrow_mut();
        for place in [Place::Standby, Place::Primary] {
            let mut moved = Vec::new();
            for (name, held) in rds.of(place) {
                held.later.sort_by_key(|(at, _)| *at);
                let due = held.later.partition_point(|(at, _)| *at <= now);
                let due: Vec<Later> = held.later.drain(..due).map(|(_, later)| later).collect();
                for later in due {
                    match later {
                        Later::Removed => moved.push((name.clone(), None)),
                        Later::Renamed(to) => moved.push((name.clone(), Some(to))),
                        later => held.become_(later),
                    }
                }
            }
            for (name, to) in moved {
                rds.move_name(place, &name, to);
            }
        }
        rds.copy_members.retain(|_, member| member.is_there(now));
        rds.settle_globals(self.calls.is_dark(Place::Primary), now);
        rds.replicate(self.calls.is_dark(Place::Primary));
    }

    /// One call about an instance of the standby Region.
    fn call<T>(&self, operation: &'static str, instance: &str, f: impl FnOnce(&mut Rds, Timestamp) -> Result<T, Why>) -> Result<T, CallError> {
        self.call_in(Place::Standby, operation, instance, f)
    }

    fn call_in<T>(
        &self,
        place: Place,
        operation: &'static str,
        instance: &str,
        f: impl FnOnce(&mut Rds, Timestamp) -> Result<T, Why>,
    ) -> Result<T, CallError> {
        self.settle();
        self.calls.pass(operation, place, instance, || f(&mut self.rds.borrow_mut(), self.clock.now()))
    }

    fn describe(&self, instance: &str) -> Result<Option<Instance>, CallError> {
        self.describe_in(Place::Standby, instance)
    }

    fn describe_in(&self, place: Place, instance: &str) -> Result<Option<Instance>, CallError> {
        self.call_in(place, "rds:DescribeDBInstances", instance, |rds, _| {
            Ok(rds.of(place).get(instance).filter(|held| !held.is_cluster()).map(|held| held.instance.clone()))
        })
    }
}

impl Rds {
    fn held(&mut self, instance: &str) -> Result<&mut Held, Why> {
        self.held_in(Place::Standby, instance)
    }

    fn held_in(&mut self, place: Place, instance: &str) -> Result<&mut Held, Why> {
        self.of(place).get_mut(instance).ok_or_else(|| not_found(instance))
    }

    fn of(&mut self, place: Place) -> &mut BTreeMap<String, Held> {
        match place {
            Place::Primary => &mut self.primary,
            Place::Standby => &mut self.standby,
        }
    }

    /// Gives an instance another name, and another host with it; or none.
    fn move_name(&mut self, place: Place, name: &str, to: Option<String>) {
        let Some(mut held) = self.of(place).remove(name) else { return };
        let Some(to) = to else { return };
        self.renamed.push((endpoint(place, name).host, endpoint(place, &to).host));
        held.instance.endpoint = Some(endpoint(place, &to));
        self.of(place).insert(to, held);
    }
}

/// Of its own where its writes are closed by it.
fn group_of(database: &relight::plan::Database) -> String {
    let own = database.parameter_group.clone().filter(|_| database.is_mysql());
    own.unwrap_or_else(|| "default.postgres16".to_owned())
}

fn state(instance: &str, why: &str) -> Why {
    Why::State(format!("InvalidDBInstanceState: {instance} {why}"))
}

fn not_found(instance: &str) -> Why {
    Why::NotFound(format!("DBInstanceNotFound: DBInstance {instance} not found."))
}

fn endpoint(place: Place, instance: &str) -> Endpoint {
    let place = match place {
        Place::Primary => "primary",
        Place::Standby => "standby",
    };
    Endpoint { host: format!("{instance}.{place}.rds.test"), port: 5432 }
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

    async fn quotas(&self) -> Result<Vec<Quota>, CallError> {
        self.call("rds:DescribeAccountAttributes", "DBInstances", |rds, _| {
            let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            Ok(vec![Quota { name: "DBInstances".to_owned(), used: count(rds.standby.len()), max: count(rds.most_instances) }])
        })
    }

    async fn promote(&self, replica: &ReplicaId, retention: u32) -> Result<(), CallError> {
        self.promote_any(Place::Standby, replica.as_str(), Some(retention))
    }

    async fn modify(&self, replica: &ReplicaId, change: &InstanceChange) -> Result<(), CallError> {
        self.modify_any(Place::Standby, replica.as_str(), change)
    }

    async fn restart(&self, replica: &ReplicaId) -> Result<(), CallError> {
        self.restart_any(Place::Standby, replica.as_str())
    }

    async fn write_gate(&self, group: &str) -> Result<WriteGate, CallError> {
        self.look_at_gate(group)
    }

    async fn set_read_only(&self, group: &str, value: &str) -> Result<(), CallError> {
        self.change_parameter(group, value)
    }

    async fn proxy(&self, proxy: &ProxyId) -> Result<Option<Proxy>, CallError> {
        self.look_at_proxy(proxy)
    }

    async fn register(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
        self.register_target(proxy, replica)
    }

    async fn deregister(&self, proxy: &ProxyId, replica: &ReplicaId) -> Result<(), CallError> {
        self.deregister_target(proxy, replica)
    }

    async fn create_copy(&self, copy: &CopyId, of: &CopyOf<'_>) -> Result<(), CallError> {
        self.make_copy(copy, of)
    }

    async fn copy(&self, copy: &CopyId) -> Result<Option<Instance>, CallError> {
        self.describe(copy.as_str())
    }

    async fn snapshot_for_copy(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
        self.take_snapshot(copy, of)
    }

    async fn copy_snapshot(&self, copy: &CopyId) -> Result<Option<CopySnapshot>, CallError> {
        self.look_at_snapshot(copy)
    }

    async fn restore_copy(&self, copy: &CopyId, of: &SnapshotOf<'_>) -> Result<(), CallError> {
        self.restore(copy, of)
    }

    async fn promote_copy(&self, copy: &CopyId) -> Result<(), CallError> {
        self.promote_any(Place::Standby, copy.as_str(), None)
    }

    async fn remove_copy(&self, copy: &CopyId) -> Result<Removal, CallError> {
        self.remove(copy)
    }

    async fn copies(&self, plan: &str) -> Result<Vec<CopyId>, CallError> {
        self.copies_of(plan)
    }

    async fn fence(&self, instance: &PrimaryId, security_group: &str) -> Result<Fenced, CallError> {
        let name = instance.as_str();
        let groups = self.call_in(Place::Primary, "rds:DescribeDBInstances", name, |rds, _| {
            Ok(rds.held_in(Place::Primary, name)?.instance.security_groups.clone())
        })?;
        if groups == [security_group] {
            return Ok(Fenced::Done);
        }
        self.call_in(Place::Primary, "rds:ModifyDBInstance", name, |rds, _| {
            rds.held_in(Place::Primary, name)?.instance.security_groups = vec![security_group.to_owned()];
            Ok(Fenced::Underway)
        })
    }

    async fn home(&self, home: &HomeId) -> Result<Option<Instance>, CallError> {
        self.describe_in(Place::Primary, home.as_str())
    }

    async fn left(&self, left: &LeftId) -> Result<Option<Instance>, CallError> {
        self.describe_in(left.place(), left.as_str())
    }

    async fn last_snapshot(&self, left: &LeftId) -> Result<Snapshotted, CallError> {
        self.snapshot(left)
    }

    async fn set_aside(&self, left: &LeftId) -> Result<(), CallError> {
        self.rename(left)
    }

    async fn build_home(&self, home: &HomeId, of: &HomeOf<'_>) -> Result<(), CallError> {
        let like = of.like.map(|left| left.as_str().to_owned());
        let groups = of.security_groups.to_vec();
        self.build((Place::Primary, home.as_str()), (Place::Standby, of.source.as_str()), move |rds, source| {
            let was = like.and_then(|left| rds.of(Place::Primary).get(&left).map(|held| held.instance.shape()));
            (was.unwrap_or_else(|| ReplicaShape { multi_az: None, deletion_protection: None, ..source.shape() }), groups)
        })
    }

    async fn promote_home(&self, home: &HomeId, retention: u32) -> Result<(), CallError> {
        self.promote_any(Place::Primary, home.as_str(), Some(retention))
    }

    async fn modify_home(&self, home: &HomeId, change: &InstanceChange) -> Result<(), CallError> {
        self.modify_any(Place::Primary, home.as_str(), change)
    }

    async fn rebuild(&self, replica: &ReplicaId, of: &RebuiltOf<'_>) -> Result<(), CallError> {
        let (like, was) = (of.like.as_str().to_owned(), of.was.cloned());
        self.build((Place::Standby, replica.as_str()), (Place::Primary, of.source.as_str()), move |rds, source| {
            let like = rds.of(Place::Standby).get(&like).map(|held| held.instance.clone());
            let groups = like.as_ref().map(|like| like.security_groups.clone()).unwrap_or_default();
            let like = like.map_or_else(|| source.shape(), |like| like.shape());
            let was = was.unwrap_or_else(|| like.clone());
            let settings = (was.multi_az.or(like.multi_az), was.deletion_protection.or(like.deletion_protection));
            (ReplicaShape { multi_az: settings.0, deletion_protection: settings.1, ..was }, groups)
        })
    }

    async fn restart_home(&self, home: &HomeId) -> Result<(), CallError> {
        self.restart_any(Place::Primary, home.as_str())
    }
}

/// The full minutes of a window.
fn minutes(from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
    let first = from.as_second().div_euclid(60);
    (first..=to.as_second().div_euclid(60)).filter_map(|minute| Timestamp::from_second(minute * 60).ok())
}
