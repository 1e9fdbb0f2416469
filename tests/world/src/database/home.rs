//! What a failback does in both Regions.
//!
//! ```text
//! last_snapshot   available ─► 30 s backing-up, the snapshot available after it ─► available
//! set_aside       available ─► 20 s renaming ─► available under the new name, at another host
//! build           creating ─► available, replicating; a copy's time
//! ```

use jiff::SignedDuration;
use relight::ports::{CallError, Instance, LeftId, ParameterGroup, Snapshotted};
use relight::state::{Place, ReplicaShape};

use super::{DatabaseWorld, Held, Later, Rds, endpoint, state};
use crate::data::Data;

const SNAPSHOT: SignedDuration = SignedDuration::from_secs(30);
const RENAMING: SignedDuration = SignedDuration::from_secs(20);

impl DatabaseWorld {
    /// An instance of the primary Region as it stands, whether or not the Region is dark.
    pub fn home_instance(&self, instance: &str) -> Option<Instance> {
        self.settle();
        self.rds.borrow().primary.get(instance).map(|held| held.instance.clone())
    }

    /// Names of all instances of the primary Region.
    pub fn home_instances(&self) -> Vec<String> {
        self.settle();
        self.rds.borrow().primary.keys().cloned().collect()
    }

    /// Changes an instance of the primary Region as somebody else would have.
    pub fn change_home(&self, instance: &str, change: impl FnOnce(&mut Instance)) {
        self.settle();
        change(&mut self.rds.borrow_mut().primary.get_mut(instance).expect("the world has the instance").instance);
    }

    /// Removes an instance of the primary Region as somebody else would have.
    pub fn lose_home(&self, instance: &str) {
        self.rds.borrow_mut().primary.remove(instance);
    }

    /// How often a promotion of an instance of the primary Region was begun.
    pub fn home_promotions(&self, instance: &str) -> usize {
        self.rds.borrow().primary.get(instance).map_or(0, |held| held.promotions)
    }

    pub fn snapshots(&self, place: Place) -> Vec<String> {
        self.rds.borrow().snapshots.keys().filter(|(at, _)| *at == place).map(|(_, name)| name.clone()).collect()
    }

    /// From now on an instance replays nothing, or again.
    pub fn stall(&self, place: Place, instance: &str, stalled: bool) {
        self.settle();
        self.rds.borrow_mut().of(place).get_mut(instance).expect("the world has the instance").stalled = stalled;
    }

    /// The rows of an instance, to read.
    pub fn data(&self, place: Place, instance: &str) -> Option<Data> {
        self.settle();
        self.rds.borrow_mut().of(place).get(instance).map(|held| held.data.clone())
    }

    /// What an application writes at a host. `None`: nobody takes writes there.
    pub fn write(&self, host: &str, table: &str, key: &str, value: &str) -> Option<()> {
        let closed = self.is_closed(host);
        let written = self.with_host(host, |held| {
            let writable = held.instance.source.is_none() && !closed && !held.data.read_only && held.instance.status != "rebooting";
            writable.then(|| {
                held.data.write(table, key, value);
                held.data.committed_at = Some(self.clock.now());
            })
        });
        // Replicated before anything else happens.
        self.settle();
        written.flatten()
    }

    pub(crate) fn beat(&self, host: &str) {
        let now = self.clock.now();
        self.with_data(host, |data| {
            data.lsn.0 += 8;
            (data.beat_at, data.committed_at) = (Some(now), Some(now));
        });
        self.settle();
    }

    /// The instance that answers at a host, with its Region.
    pub(crate) fn at_host(&self, host: &str) -> Option<(Place, Instance)> {
        self.settle();
        let rds = self.rds.borrow();
        let find = |place, instances: &std::collections::BTreeMap<String, Held>| {
            let mut found = instances.values().filter(|held| held.instance.endpoint.as_ref().is_some_and(|at| at.host == host));
            found.next().map(|held| (place, held.instance.clone()))
        };
        find(Place::Standby, &rds.standby).or_else(|| find(Place::Primary, &rds.primary))
    }

    /// The data behind a host, to change.
    pub(crate) fn with_data<T>(&self, host: &str, f: impl FnOnce(&mut Data) -> T) -> Option<T> {
        self.with_host(host, |held| f(&mut held.data))
    }

    /// The host whose users one has that was never asked itself.
    pub(crate) fn users_come_from(&self, host: &str) -> Option<String> {
        self.with_host(host, |held| held.born_of.clone()).flatten()
    }

    /// Hosts that were renamed since the last call.
    pub(crate) fn take_renamed(&self) -> Vec<(String, String)> {
        self.settle();
        std::mem::take(&mut self.rds.borrow_mut().renamed)
    }

    fn with_host<T>(&self, host: &str, f: impl FnOnce(&mut Held) -> T) -> Option<T> {
        self.settle();
        let mut rds = self.rds.borrow_mut();
        let Rds { standby, primary, .. } = &mut *rds;
        let mut all = standby.values_mut().chain(primary.values_mut());
        all.find(|held| held.instance.endpoint.as_ref().is_some_and(|at| at.host == host)).map(f)
    }

    pub(super) fn snapshot(&self, left: &LeftId) -> Result<Snapshotted, CallError> {
        let key = (left.place(), left.as_str().to_owned());
        let seen = self.call_in(left.place(), "rds:DescribeDBSnapshots", left.as_str(), |rds, now| {
            Ok(rds.snapshots.get(&key).map(|ready| if *ready <= now { Snapshotted::Done } else { Snapshotted::Underway }))
        })?;
        if let Some(seen) = seen {
            return Ok(seen);
        }
        self.call_in(left.place(), "rds:CreateDBSnapshot", left.was(), |rds, now| {
            rds.held_in(left.place(), left.was())?.back_up(left.was(), now + SNAPSHOT)?;
            rds.snapshots.insert(key, now + SNAPSHOT);
            Ok(Snapshotted::Underway)
        })
    }

    pub(super) fn rename(&self, left: &LeftId) -> Result<(), CallError> {
        self.call_in(left.place(), "rds:ModifyDBInstance", left.was(), |rds, now| {
            if rds.of(left.place()).contains_key(left.as_str()) {
                return Err(state(left.as_str(), "exists already"));
            }
            let held = rds.held_in(left.place(), left.was())?;
            held.expect_available(left.was())?;
            held.instance.status = "renaming".to_owned();
            held.later.push((now + RENAMING, Later::Status("available")));
            held.later.push((now + RENAMING, Later::Renamed(left.as_str().to_owned())));
            Ok(())
        })
    }

    pub(super) fn build(
        &self,
        (place, name): (Place, &str),
        (from, source): (Place, &str),
        like: impl FnOnce(&mut Rds, &Instance) -> (ReplicaShape, Vec<String>),
    ) -> Result<(), CallError> {
        self.call_in(place, "rds:CreateDBInstanceReadReplica", name, |rds, now| {
            let takes = rds.creation;
            let of = rds.held_in(from, source)?.clone();
            let (shape, groups) = like(rds, &of.instance);
            if of.instance.backup_retention == 0 {
                return Err(state(source, "has no automated backups"));
            }
            if let Some(there) = rds.of(place).get(name) {
                let ours = there.instance.source.as_deref().is_some_and(|of| of.rsplit(':').next() == Some(source));
                return if ours { Ok(()) } else { Err(state(name, "exists already")) };
            }
            let made = Held {
                instance: Instance {
                    status: "creating".to_owned(),
                    source: Some(format!("arn:aws:rds:region:account:db:{source}")),
                    replication: vec!["replicating".to_owned()],
                    endpoint: Some(endpoint(place, name)),
                    backup_retention: 0,
                    pending_backup_retention: None,
                    class: shape.class,
                    pending_class: None,
                    security_groups: groups,
                    read_replicas: Vec::new(),
                    engine: of.instance.engine.clone(),
                    engine_version: of.instance.engine_version.clone(),
                    multi_az: shape.multi_az.unwrap_or_default(),
                    pending_multi_az: None,
                    deletion_protection: shape.deletion_protection.unwrap_or_default(),
                    // RDS takes none with the creation.
                    parameter_group: Some(ParameterGroup { name: "default.postgres16".to_owned(), status: "in-sync".to_owned() }),
                },
                data: Data::default(),
                stalled: false,
                born_of: of.instance.endpoint.map(|at| at.host),
                plan_tag: None,
                later: vec![(now + takes, Later::Status("available"))],
                promotions: 0,
                restarts: 0,
            };
            rds.of(place).insert(name.to_owned(), made);
            Ok(())
        })
    }
}

impl Rds {
    /// Each replica has what its source has, as far as it can be reached.
    pub(super) fn replicate(&mut self, dark: bool) {
        let other = |place| if place == Place::Primary { Place::Standby } else { Place::Primary };
        for place in [Place::Standby, Place::Primary] {
            let sources: Vec<(String, String)> = self
                .of(place)
                .iter()
                .filter(|(_, held)| !held.stalled)
                .filter_map(|(name, held)| Some((name.clone(), held.instance.source.as_ref()?.rsplit(':').next()?.to_owned())))
                .collect();
            for (name, source) in sources {
                // A disposable copy has its source in its own Region.
                let near = self.of(place).get(&source).filter(|_| source != name).map(|held| held.data.clone());
                let far = self.of(other(place)).get(&source).filter(|_| !dark).map(|held| held.data.clone());
                let copy = name.starts_with("relight-drill-");
                let lacking = self.copies_lack.clone().filter(|_| copy);
                let data = if copy { near } else { far };
                let data = data.map(|data| match &lacking {
                    Some((table, key)) => data.without(table, key),
                    None => data,
                });
                if let (Some(data), Some(held)) = (data, self.of(place).get_mut(&name)) {
                    held.data = data;
                }
            }
        }
    }
}
