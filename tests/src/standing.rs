//! All that can be seen of the workload, without a call.

use std::collections::BTreeMap;

use relight::plan::Plan;
use relight::ports::{GroupState, Instance, ServiceState, Stage};
use relight::run::{Mode, Phase};
use relight::state::Place;
use relight_world::World;

/// Every field of every resource in the standby Region, databases and secrets of the primary one, and where users are.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub services: BTreeMap<String, Option<ServiceState>>,
    pub groups: BTreeMap<String, Option<GroupState>>,
    pub instances: BTreeMap<String, Instance>,
    /// Parameter groups of the standby Region that close the writes of whoever has them.
    pub closed: Vec<String>,
    /// What copies were restored from.
    pub copy_snapshots: Vec<String>,
    /// Instances of copies that are clusters.
    pub copy_members: Vec<String>,
    /// How often each was promoted.
    pub promotions: BTreeMap<String, usize>,
    /// Every secret that there is, disposable ones among them.
    pub secrets: BTreeMap<String, SecretStanding>,
    /// Security groups of each old writer.
    pub fences: BTreeMap<String, Vec<String>>,
    /// The instances of the primary Region.
    pub home: BTreeMap<String, Instance>,
    /// Its secrets.
    pub home_secrets: BTreeMap<String, SecretStanding>,
    pub stop: bool,
    pub users: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SecretStanding {
    pub stands_alone: bool,
    pub host: String,
    pub user: String,
    /// Whether what an application reads opens a database.
    pub opens: bool,
}

impl Standing {
    pub fn of(world: &World) -> Standing {
        let snapshot = world.journal.snapshot();
        let (_, text) = snapshot.plan_text().expect("a plan");
        let plan = Plan::stored(text).expect("a plan");
        let names = world.database.instances();
        let secret = |name: &String| {
            let value = world.secrets.read(name, Stage::Current)?;
            let standing = SecretStanding {
                stands_alone: world.secrets.seen(name)?.replica_of.is_none(),
                host: value.endpoint().ok()?.host,
                user: value.username().ok()?.to_owned(),
                opens: world.login.opens(&value),
            };
            Some((name.clone(), standing))
        };
        let home_secret = |secret: &relight::plan::Secret| {
            let value = world.secrets.read_home(&secret.name, Stage::Current)?;
            let standing = SecretStanding {
                stands_alone: true,
                host: value.endpoint().ok()?.host,
                user: value.username().ok()?.to_owned(),
                opens: world.login.opens(&value),
            };
            Some((secret.name.clone(), standing))
        };
        let home = world.database.home_instances();
        Standing {
            services: plan.services.iter().map(|service| (service.id().0, world.compute.service(&service.cluster, &service.name))).collect(),
            groups: plan.groups.iter().map(|group| (group.id().0, world.compute.group(&group.name))).collect(),
            instances: names.iter().map(|name| (name.clone(), world.database.instance(name).expect("it was just named"))).collect(),
            closed: world.database.closing_groups(),
            copy_snapshots: world.database.copy_snapshots(),
            copy_members: world.database.copy_members(),
            promotions: names.iter().map(|name| (name.clone(), world.database.promotions(name))).collect(),
            secrets: world.secrets.names().iter().filter_map(secret).collect(),
            fences: plan.databases.iter().map(|database| (database.primary.clone(), world.database.primary_groups(&database.primary))).collect(),
            home: home.iter().map(|name| (name.clone(), world.database.home_instance(name).expect("it was just named"))).collect(),
            home_secrets: plan.secrets.iter().filter_map(home_secret).collect(),
            stop: world.traffic.stop(),
            users: world.traffic.users(),
        }
    }
}

/// How a run ended, without its times: what must be the same whatever was lost, late, doubled or refused on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub standing: Standing,
    pub serving: Place,
    pub run: Option<(Mode, Phase)>,
    pub passed: Option<bool>,
    pub baselines: Vec<String>,
    pub obligations: Vec<String>,
    /// Each real secret that was repointed, and whether it was rotated.
    pub rotated: BTreeMap<String, bool>,
}

impl End {
    pub fn of(world: &World) -> End {
        let snapshot = world.journal.snapshot();
        let progress = &snapshot.progress;
        End {
            standing: Standing::of(world),
            serving: snapshot.head.serving,
            run: snapshot.head.run.as_ref().map(|run| (run.mode, run.phase)),
            passed: progress.drill.passed,
            baselines: snapshot.baseline.keys().map(ToString::to_string).collect(),
            obligations: snapshot.obligations.keys().cloned().collect(),
            rotated: progress
                .rotation
                .secrets
                .iter()
                .filter(|(_, step)| step.repointed_at.is_some())
                .map(|(name, step)| (name.clone(), step.rotated_at.is_some()))
                .collect(),
        }
    }
}
