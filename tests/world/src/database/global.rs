//! Aurora's global clusters: a cluster in each Region, one of them the writer.
//!
//! ```text
//! failover     pending 2 s ─► failing-over ─► 40 s: the standby's writes; the old one is pending-resync
//!              its Region is back ─► snapshot of what it had ─► 60 s: connected, a secondary with the writer's rows
//! switchover   pending 2 s ─► switching-over ─► 40 s: both have changed places; refused while the primary's Region is dark
//! instance     creating 60 s ─► available
//! ```
//! A cluster's rows and logins are kept as an instance's are, by its name; it is told as a cluster alone.

use jiff::{SignedDuration, Timestamp};
use relight::plan::{self, Plan};
use relight::ports::{
    AddedInstance, CallError, Cluster, ClusterInstance, ClusterLag, GlobalCluster, GlobalClusters, GlobalId, HomeCluster, LagSample, LostRows,
    Member, Moving, Readable, Snapshotted, StandbyCluster, Takeover, Why,
};
use relight::state::Place;

use super::{DatabaseWorld, Held, LagFeed, Rds, endpoint, minutes, not_found};

const ENGINE: &str = "aurora-postgresql";
const PENDING: SignedDuration = SignedDuration::from_secs(2);
const COPYING: SignedDuration = SignedDuration::from_secs(30);
const REBUILDING: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug)]
pub(super) struct Global {
    standby: Side,
    primary: Side,
    writer: Place,
    moving: Option<Move>,
    /// The old writer after a failover: `None` until its Region is back, then when it is rebuilt.
    resync: Option<Option<Timestamp>>,
    takeovers: Vec<Takeover>,
}

/// A cluster of it in one Region.
#[derive(Debug)]
struct Side {
    cluster: String,
    arn: String,
    instances: Vec<(ClusterInstance, Timestamp)>,
}

#[derive(Debug)]
struct Move {
    how: Takeover,
    to: Place,
    begun: Timestamp,
    ends: Timestamp,
}

impl Global {
    fn side(&mut self, place: Place) -> &mut Side {
        match place {
            Place::Primary => &mut self.primary,
            Place::Standby => &mut self.standby,
        }
    }

    fn instances(&self, place: Place) -> &[(ClusterInstance, Timestamp)] {
        match place {
            Place::Primary => &self.primary.instances,
            Place::Standby => &self.standby.instances,
        }
    }

    fn told(&self, now: Timestamp) -> GlobalCluster {
        let member = |place: Place, side: &Side| Member {
            arn: side.arn.clone(),
            writer: self.writer == place,
            synchronization: (self.writer != place).then(|| if self.resync.is_some() { "pending-resync" } else { "connected" }.to_owned()),
        };
        GlobalCluster {
            status: "available".to_owned(),
            engine_version: "16.3".to_owned(),
            members: vec![member(Place::Primary, &self.primary), member(Place::Standby, &self.standby)],
            moving: self.moving.as_ref().map(|moving| Moving {
                status: match moving.how {
                    _ if now < moving.begun + PENDING => "pending",
                    Takeover::Switchover => "switching-over",
                    Takeover::FailoverLosingRows => "failing-over",
                }
                .to_owned(),
                to: if moving.to == Place::Standby { self.standby.arn.clone() } else { self.primary.arn.clone() },
            }),
        }
    }
}

impl Held {
    pub(super) fn is_cluster(&self) -> bool {
        self.instance.engine == ENGINE
    }

    /// What the cluster is from here on: a writer, or a secondary of this one.
    fn follow(&mut self, source: Option<&str>, at: Option<String>) {
        self.born_of = at;
        self.instance.source = source.map(|source| format!("arn:aws:rds:region:account:cluster:{source}"));
        self.instance.replication = source.map(|_| "replicating".to_owned()).into_iter().collect();
    }
}

impl Rds {
    pub(super) fn add_global(&mut self, plan: &Plan, database: &plan::Database) {
        let side = |region: &str, cluster: &str| Side {
            cluster: cluster.to_owned(),
            arn: format!("arn:aws:rds:{region}:{}:cluster:{cluster}", plan.account),
            instances: vec![(instance(&format!("{cluster}-1"), "db.r6g.large"), Timestamp::MIN)],
        };
        let global = Global {
            standby: side(&plan.standby, &database.replica),
            primary: side(&plan.primary, &database.primary),
            writer: Place::Primary,
            moving: None,
            resync: None,
            takeovers: Vec::new(),
        };
        self.globals.insert(database.global_cluster.clone().unwrap_or_default(), global);
        for (place, cluster) in [(Place::Standby, &database.replica), (Place::Primary, &database.primary)] {
            let held = self.of(place).get_mut(cluster).expect("an instance was made for each");
            held.instance.engine = ENGINE.to_owned();
        }
    }

    pub(super) fn settle_globals(&mut self, dark: bool, now: Timestamp) {
        let mut globals = std::mem::take(&mut self.globals);
        for global in globals.values_mut() {
            self.settle_global(global, dark, now);
        }
        self.globals = globals;
    }

    fn settle_global(&mut self, global: &mut Global, dark: bool, now: Timestamp) {
        if let Some(moving) = global.moving.take_if(|moving| moving.ends <= now) {
            let (to, from) = (moving.to, if moving.to == Place::Standby { Place::Primary } else { Place::Standby });
            // A switchover has every row; what a failover did not have by now is lost.
            let source = global.side(to).cluster.clone();
            let left = global.side(from).cluster.clone();
            if moving.how == Takeover::Switchover {
                let data = self.of(from).get(&left).map(|held| held.data.clone()).unwrap_or_default();
                self.change(to, &source, |held| held.data = data);
                // Users go with the rows.
                self.renamed.push((endpoint(from, &left).host, endpoint(to, &source).host));
                self.join(from, &left, to, &source);
            } else {
                global.resync = Some(None);
            }
            self.change(to, &source, |held| {
                held.follow(None, None);
                held.promotions += 1;
            });
            global.writer = to;
        }
        match global.resync {
            Some(None) if !dark => {
                let name = format!("rds:unplanned-global-failover-{}-{}", global.primary.cluster, now.strftime("%Y-%m-%d-%H-%M"));
                self.snapshots.insert((Place::Primary, name), now);
                let source = global.standby.cluster.clone();
                let old = global.primary.cluster.clone();
                self.renamed.push((endpoint(Place::Primary, &old).host, "nobody".to_owned()));
                self.join(Place::Primary, &old, Place::Standby, &source);
                global.resync = Some(Some(now + REBUILDING));
            }
            Some(Some(at)) if at <= now => global.resync = None,
            _ => {}
        }
    }

    /// From here on it has the rows and the users of its source.
    fn join(&mut self, place: Place, cluster: &str, of: Place, source: &str) {
        let at = endpoint(of, source).host;
        self.change(place, cluster, |held| held.follow(Some(source), Some(at)));
    }

    fn change(&mut self, place: Place, cluster: &str, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.of(place).get_mut(cluster) {
            change(held);
        }
    }

    fn global_of(&mut self, name: &str) -> Result<&mut Global, Why> {
        self.globals.get_mut(name).ok_or_else(|| Why::NotFound(format!("GlobalClusterNotFoundFault: {name} not found")))
    }
}

pub(super) fn instance(name: &str, class: &str) -> ClusterInstance {
    ClusterInstance { name: name.to_owned(), status: "available".to_owned(), class: class.to_owned(), writer: false }
}

impl DatabaseWorld {
    /// Takes every instance from the standby's cluster.
    pub fn behead(&self, global: &str) {
        self.rds.borrow_mut().globals.get_mut(global).expect("the world has it").standby.instances.clear();
    }

    /// Takes the standby's cluster out of the global cluster, as somebody else would have.
    pub fn detach(&self, global: &str) {
        self.rds.borrow_mut().globals.get_mut(global).expect("the world has it").standby.arn.push_str("-of-before");
    }

    /// The ways that were begun to make another cluster the writer.
    pub fn takeovers(&self, global: &str) -> Vec<Takeover> {
        self.rds.borrow().globals.get(global).map(|global| global.takeovers.clone()).unwrap_or_default()
    }

    /// Which Region's cluster takes writes, by the global cluster.
    pub fn global_writer(&self, global: &str) -> Option<Place> {
        self.settle();
        self.rds.borrow().globals.get(global).map(|global| global.writer)
    }

    /// Ends what is under way without its end, as Aurora may.
    pub fn cancel(&self, global: &str) {
        self.settle();
        self.rds.borrow_mut().globals.get_mut(global).expect("the world has it").moving = None;
    }

    pub(super) fn cluster_in(&self, place: Place, name: &str) -> Result<Option<Cluster>, CallError> {
        self.call_in(place, "rds:DescribeDBClusters", name, |rds, now| {
            let Some(held) = rds.of(place).get(name).filter(|held| held.is_cluster()).cloned() else { return Ok(None) };
            let global = rds.globals.values().find(|global| global.standby.cluster == name || global.primary.cluster == name);
            let of_a_copy = rds.copy_members.get(name).map(|member| &member.instance);
            let instances = global.into_iter().flat_map(|global| global.instances(place)).chain(of_a_copy);
            let writes = held.instance.source.is_none();
            let told = |(instance, ready): &(ClusterInstance, Timestamp)| ClusterInstance {
                status: if *ready <= now { instance.status.as_str() } else { "creating" }.to_owned(),
                writer: writes,
                ..instance.clone()
            };
            Ok(Some(Cluster {
                status: held.instance.status.clone(),
                engine_version: held.instance.engine_version.clone(),
                endpoint: held.instance.endpoint.clone(),
                reader: held.instance.endpoint.clone(),
                instances: instances.map(told).collect(),
                backup_retention: held.instance.backup_retention,
                security_groups: held.instance.security_groups.clone(),
            }))
        })
    }

    fn move_to(&self, calls_from: Place, operation: &'static str, global: &GlobalId, to: Place, how: Takeover) -> Result<(), CallError> {
        let dark = self.calls.is_dark(Place::Primary);
        self.call_in(calls_from, operation, global.as_str(), |rds, now| {
            let takes = rds.promotion;
            let global = rds.global_of(global.as_str())?;
            let refuse = |why: &str| Err(Why::State(format!("InvalidGlobalClusterStateFault: {why}")));
            if global.moving.is_some() {
                return refuse("a switchover or failover is under way");
            }
            if global.writer == to {
                return refuse("the target is the primary cluster already");
            }
            if global.side(to).instances.is_empty() {
                return refuse("the target cluster has no instance");
            }
            if how == Takeover::Switchover && (dark || global.resync.is_some()) {
                return refuse("a cluster of it is not healthy");
            }
            global.takeovers.push(how);
            global.moving = Some(Move { how, to, begun: now, ends: now + takes });
            Ok(())
        })
    }
}

impl GlobalClusters for DatabaseWorld {
    async fn global_cluster(&self, global: &GlobalId) -> Result<Option<GlobalCluster>, CallError> {
        self.call("rds:DescribeGlobalClusters", global.as_str(), |rds, now| Ok(rds.globals.get(global.as_str()).map(|global| global.told(now))))
    }

    async fn cluster(&self, cluster: &StandbyCluster) -> Result<Option<Cluster>, CallError> {
        self.cluster_in(Place::Standby, cluster.as_str())
    }

    async fn home_cluster(&self, home: &HomeCluster) -> Result<Option<Cluster>, CallError> {
        self.cluster_in(Place::Primary, home.as_str())
    }

    async fn lost_rows(&self, home: &HomeCluster) -> Result<Vec<LostRows>, CallError> {
        self.call_in(Place::Primary, "rds:DescribeDBClusterSnapshots", home.as_str(), |rds, _| {
            let found = rds.snapshots.iter().filter(|((place, name), _)| *place == Place::Primary && name.starts_with(&home.lost_prefix()));
            Ok(found.map(|((_, name), at)| LostRows { snapshot: name.clone(), at: *at }).collect())
        })
    }

    async fn keep_lost_rows(&self, home: &HomeCluster, lost: &LostRows) -> Result<Snapshotted, CallError> {
        let key = (Place::Primary, lost.kept_as());
        let seen = self.call_in(Place::Primary, "rds:DescribeDBClusterSnapshots", home.as_str(), |rds, now| {
            Ok(rds.snapshots.get(&key).map(|ready| if *ready <= now { Snapshotted::Done } else { Snapshotted::Underway }))
        })?;
        if let Some(seen) = seen {
            return Ok(seen);
        }
        self.call_in(Place::Primary, "rds:CopyDBClusterSnapshot", home.as_str(), |rds, now| {
            rds.snapshots.insert(key, now + COPYING);
            Ok(Snapshotted::Underway)
        })
    }

    async fn switch_home(&self, global: &GlobalId, _to: &HomeCluster) -> Result<(), CallError> {
        self.move_to(Place::Standby, "rds:SwitchoverGlobalCluster", global, Place::Primary, Takeover::Switchover)
    }

    async fn readable(&self, cluster: &StandbyCluster) -> Result<Readable, CallError> {
        self.call("rds:DescribeDBClusters", cluster.as_str(), |rds, now| {
            let Some(held) = rds.standby.get(cluster.as_str()).filter(|held| held.is_cluster()).cloned() else { return Ok(Readable::NoCluster) };
            let mut globals = rds.globals.values();
            let live = globals.any(|global| global.standby.cluster == cluster.as_str() && global.standby.instances.iter().any(|(_, at)| *at <= now));
            Ok(held.instance.endpoint.filter(|_| live).map_or(Readable::Headless, Readable::At))
        })
    }

    async fn cluster_lag(&self, cluster: &StandbyCluster, from: Timestamp, to: Timestamp) -> Result<ClusterLag, CallError> {
        let samples = self.call("cloudwatch:GetMetricData", cluster.as_str(), |rds, now| {
            let within = |at: &Timestamp| *at >= from && *at < to && *at <= now;
            Ok(match rds.lag.get(cluster.as_str()).unwrap_or(&LagFeed::Constant(Some(0.8))) {
                LagFeed::Missing => Vec::new(),
                LagFeed::Series(samples) => samples.iter().filter(|sample| within(&sample.at)).copied().collect(),
                LagFeed::Constant(seconds) => minutes(from, to).filter(within).map(|at| LagSample { at, seconds: *seconds }).collect(),
            })
        })?;
        Ok(ClusterLag { metric: format!("AWS/RDS AuroraGlobalDBRPOLag of {cluster}"), samples })
    }

    async fn add_instance(&self, added: &AddedInstance<'_>) -> Result<(), CallError> {
        let name = added.name();
        self.call("rds:CreateDBInstance", &name, |rds, now| {
            let ready = now + rds.creation;
            let mut globals = rds.globals.values_mut();
            let global = globals.find(|global| global.standby.cluster == added.cluster.as_str()).ok_or_else(|| not_found(added.cluster.as_str()))?;
            if global.standby.instances.iter().all(|(instance, _)| instance.name != name) {
                global.standby.instances.push((instance(&name, added.class), ready));
            }
            Ok(())
        })
    }

    async fn take_over(&self, global: &GlobalId, _to: &StandbyCluster, how: Takeover) -> Result<(), CallError> {
        match how {
            Takeover::Switchover => self.move_to(Place::Primary, "rds:SwitchoverGlobalCluster", global, Place::Standby, how),
            Takeover::FailoverLosingRows => self.move_to(Place::Standby, "rds:FailoverGlobalCluster", global, Place::Standby, how),
        }
    }
}
