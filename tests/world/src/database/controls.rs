//! What a test sets and sees without a call.

use jiff::SignedDuration;
use relight::ports::{CopyId, Instance};
use relight::state::Place;

use super::{DatabaseWorld, LagFeed};

impl DatabaseWorld {
    /// DB instances that the account may have in the standby Region from now on.
    pub fn set_most_instances(&self, most: usize) {
        self.rds.borrow_mut().most_instances = most;
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

    /// An instance of somebody else's, as another is.
    pub fn add(&self, place: Place, instance: &str, like: &str) {
        self.settle();
        let mut rds = self.rds.borrow_mut();
        let mut held = rds.of(place).get(like).expect("the world has the instance").clone();
        held.instance.endpoint = None;
        rds.of(place).insert(instance.to_owned(), held);
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

    /// Every disposable copy lacks this row from now on.
    pub fn spoil_copies(&self, table: &str, key: &str) {
        self.rds.borrow_mut().copies_lack = Some((table.to_owned(), key.to_owned()));
    }

    /// Every snapshot for a copy fails from now on.
    pub fn fail_snapshots(&self) {
        self.rds.borrow_mut().snapshots_fail = true;
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

    /// Names of the snapshots for copies that are there.
    pub fn copy_snapshots(&self) -> Vec<String> {
        self.rds.borrow().copy_snapshots.keys().cloned().collect()
    }

    /// Names of the instances of copies that are clusters.
    pub fn copy_members(&self) -> Vec<String> {
        self.settle();
        self.rds.borrow().copy_members.values().map(|member| member.instance.0.name.clone()).collect()
    }

    /// Class of the instance of a copy that is a cluster.
    pub fn copy_class(&self, copy: &CopyId) -> Option<String> {
        self.rds.borrow().copy_members.get(copy.as_str()).map(|member| member.instance.0.class.clone())
    }

    /// How often a promotion of the instance was begun.
    pub fn promotions(&self, instance: &str) -> usize {
        self.rds.borrow().standby.get(instance).map_or(0, |held| held.promotions)
    }

    /// How often a restart of the instance was begun.
    pub fn restarts(&self, instance: &str) -> usize {
        self.rds.borrow().standby.get(instance).map_or(0, |held| held.restarts)
    }

    /// Whether the instance takes writes.
    pub fn is_writer(&self, instance: &str) -> bool {
        self.instance(instance).is_some_and(|instance| instance.is_promoted())
    }

    /// The security groups of a writer in the primary Region, whether or not the Region is dark.
    pub fn primary_groups(&self, instance: &str) -> Vec<String> {
        self.rds.borrow().primary.get(instance).map(|held| held.instance.security_groups.clone()).unwrap_or_default()
    }
}
