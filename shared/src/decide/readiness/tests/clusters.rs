//! A global database in the place of the replica.

use super::*;
use crate::decide::promotion::GlobalWait;
use crate::plan::Engine;
use crate::ports::{Cluster, ClusterInstance, ClusterLag, GlobalCluster, Member, Moving};

const HERE: &str = "arn:aws:rds:us-west-2:123456789012:cluster:orders-standby";
const THERE: &str = "arn:aws:rds:us-east-2:123456789012:cluster:orders";

/// A plan with a global database, and what was seen of it.
struct Scene {
    situation: Situation,
    seen: Seen,
}

impl Scene {
    fn sound() -> Scene {
        let (mut situation, mut seen) = (peace(), seen());
        let database = &mut situation.plan.databases[0];
        (database.engine, database.quarantine_security_group) = (Engine::AuroraPostgres, None);
        (database.global_cluster, database.replica) = (Some("shop-global".to_owned()), "orders-standby".to_owned());
        let member = |arn: &str, writer: bool| Member { arn: arn.to_owned(), writer, synchronization: (!writer).then(|| "connected".to_owned()) };
        let global = GlobalCluster {
            status: "available".to_owned(),
            engine_version: "16.3".to_owned(),
            members: vec![member(THERE, true), member(HERE, false)],
            moving: None,
        };
        let cluster = Cluster {
            status: "available".to_owned(),
            engine_version: "16.3".to_owned(),
            instances: vec![instance("available")],
            ..Cluster::default()
        };
        let samples = vec![LagSample { at: at(-60), seconds: Some(0.8) }];
        let databases = seen.databases.as_mut().expect("it looked");
        (databases.replicas, databases.lags) = (Found::new(), Read::new());
        databases.aurora = ClusterSight {
            globals: [("orders".to_owned(), Ok(Some(global)))].into(),
            clusters: [("orders".to_owned(), Ok(Some(cluster)))].into(),
            lags: [("orders".to_owned(), Ok(ClusterLag { metric: "AWS/RDS AuroraGlobalDBRPOLag".to_owned(), samples }))].into(),
        };
        Scene { situation, seen }
    }

    fn with(change: impl FnOnce(&mut Scene)) -> Scene {
        let mut scene = Scene::sound();
        change(&mut scene);
        scene
    }

    fn aurora(&mut self) -> &mut ClusterSight {
        &mut self.seen.databases.as_mut().expect("it looked").aurora
    }

    fn global(&mut self) -> &mut GlobalCluster {
        self.aurora().globals.get_mut("orders").unwrap().as_mut().unwrap().as_mut().unwrap()
    }

    fn cluster(&mut self) -> &mut Cluster {
        self.aurora().clusters.get_mut("orders").unwrap().as_mut().unwrap().as_mut().unwrap()
    }

    fn lag(&mut self, seconds: Option<f64>) {
        let lag = self.aurora().lags.get_mut("orders").unwrap().as_mut().unwrap();
        lag.samples = seconds.into_iter().map(|seconds| LagSample { at: at(-60), seconds: Some(seconds) }).collect();
    }

    fn judged(&self) -> Readiness {
        let arns = format!(
            "arn:aws:ecs:us-west-2:123456789012:service/shop/web,arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/orders-??????,{HERE},arn:aws:rds::123456789012:global-cluster:shop-global"
        );
        let stack = Stack::deployed(&arns, "shop-stop", "arn:aws:lambda:us-west-2:123456789012:function:shop-relight-rotate-secret");
        readiness(&self.situation.plan, &self.situation.journal, &self.seen, &stack, at(0))
    }

    /// The one finding that there is.
    #[track_caller]
    fn finds(&self, severity: Severity, about: &str, says: &str, remedy: &str) -> Finding {
        let found = self.judged().findings;
        let [one] = &found[..] else { panic!("not one finding: {found:#?}") };
        assert_eq!((one.severity(), one.about().as_str()), (severity, about), "{one}");
        assert!(one.to_string().contains(says), "{one}");
        assert!(one.remedy().contains(remedy) && !one.to_string().contains(&one.remedy()), "{}", one.remedy());
        assert!(!one.to_string().contains("replan") && !one.to_string().contains("accept-loss"), "a run's words in peace: {one}");
        one.clone()
    }
}

fn instance(status: &str) -> ClusterInstance {
    ClusterInstance { name: "orders-standby-1".to_owned(), status: status.to_owned(), ..ClusterInstance::default() }
}

#[test]
fn a_sound_global_database_has_no_finding_and_its_lag_is_the_estimate() {
    let readiness = Scene::sound().judged();
    assert_eq!((readiness.findings, readiness.estimates.rpo_seconds), (Vec::new(), Some(0.8)));
}

#[test]
fn what_the_plan_names_and_is_not_there_blocks_and_such_a_plan_is_not_put_in_force() {
    let gone = |what: &dyn Fn(&mut Scene), about: &str, says: &str, remedy: &str| {
        let found = Scene::with(what).finds(Severity::Blocking, about, says, remedy);
        assert!(found.is_about_what_is_not_there(), "{found}");
    };
    let no_global = |scene: &mut Scene| drop(scene.aurora().globals.insert("orders".to_owned(), Ok(None)));
    gone(&no_global, "global-cluster/shop-global", "no global cluster shop-global", "create-global-cluster --global-cluster-identifier shop-global");
    let no_cluster = |scene: &mut Scene| drop(scene.aurora().clusters.insert("orders".to_owned(), Ok(None)));
    gone(&no_cluster, "cluster/orders-standby", "no cluster orders-standby", "create-db-cluster --db-cluster-identifier orders-standby");
    gone(&|scene| scene.global().members.truncate(1), "cluster/orders-standby", "no member of the global cluster", "add a new secondary");
}

#[test]
fn what_a_failover_would_refuse_blocks_in_peace() {
    let blocks = |change: &dyn Fn(&mut Scene), says: &str, remedy: &str| {
        let found = Scene::with(change).finds(Severity::Blocking, "database/orders", says, remedy);
        assert!(!found.is_about_what_is_not_there(), "{found}");
    };
    blocks(&|scene| scene.cluster().engine_version = "16.4".to_owned(), "is of version 16.4", "the secondary first");
    blocks(&|scene| scene.cluster().instances.clear(), "has no instance, and the plan names no class", "`instance_class`");
    blocks(&|scene| scene.cluster().status = "stopped".to_owned(), "is stopped, which does not pass", "--source-identifier orders-standby");
    blocks(&|scene| scene.lag(Some(612.0)), "612 s behind", "let it catch up");
    blocks(&|scene| scene.lag(None), "nobody knows how far", "AuroraGlobalDBRPOLag of orders-standby");
    let writes = |scene: &mut Scene| scene.global().members.iter_mut().for_each(|member| member.writer = member.arn == HERE);
    blocks(&writes, "is the writer already", "switch over to the primary's cluster");
}

#[test]
fn the_lag_counts_although_the_primary_is_seen_up_and_an_operator_would_switch_over() {
    let mut scene = Scene::with(|scene| scene.lag(Some(612.0)));
    scene.situation.both(Word::Up, -600, 0);
    scene.finds(Severity::Blocking, "database/orders", "612 s behind", "let it catch up");
}

#[test]
fn what_makes_a_failover_slower_or_lose_what_the_plan_allows_is_a_warning() {
    let warns = |change: &dyn Fn(&mut Scene), about: &str, says: &str, remedy: &str| {
        Scene::with(change).finds(Severity::Warning, about, says, remedy);
    };
    let headless = |scene: &mut Scene| {
        scene.cluster().instances.clear();
        scene.situation.plan.databases[0].instance_class = Some("db.r6g.large".to_owned());
    };
    warns(&headless, "cluster/orders-standby", "would add one of class db.r6g.large first", "add an instance now");
    let accepted = |scene: &mut Scene| {
        scene.lag(None);
        scene.situation.plan.policy.unknown_lag = crate::plan::UnknownLag::Accept;
    };
    warns(&accepted, "database/orders", "would be failed over although", "AuroraGlobalDBRPOLag is published");
    warns(&|scene| scene.cluster().status = "modifying".to_owned(), "cluster/orders-standby", "is modifying", "wait for it");
    warns(&|scene| scene.cluster().instances = vec![instance("rebooting")], "cluster/orders-standby", "orders-standby-1 is rebooting", "wait for it");
    let moving = |scene: &mut Scene| {
        scene.global().moving = Some(Moving { status: "switching-over".to_owned(), to: HERE.to_owned() });
        scene.global().status = "switching-over".to_owned();
    };
    warns(&moving, "cluster/orders-standby", "is switching-over, to orders-standby", "wait for it");
    warns(&|scene| scene.global().status = "upgrading".to_owned(), "global-cluster/shop-global", "is upgrading", "look again");
}

#[test]
fn an_instance_that_does_not_come_up_by_itself_blocks() {
    let stuck = |scene: &mut Scene| scene.cluster().instances = vec![instance("incompatible-parameters"), instance("failed")];
    Scene::with(stuck).finds(Severity::Blocking, "cluster/orders-standby", "none does by itself", "add an instance");
    let one_comes = |scene: &mut Scene| scene.cluster().instances = vec![instance("failed"), instance("creating")];
    let found = Scene::with(one_comes).finds(Severity::Warning, "cluster/orders-standby", "orders-standby-1 is creating", "wait for it");
    assert!(matches!(found, Finding::Cluster(ClusterFinding::Waits { why: GlobalWait::NoInstanceYet { .. }, .. })), "{found:?}");
}

#[test]
fn a_secondary_that_aurora_rebuilds_or_that_tells_nothing_does_not_follow() {
    for (told, says) in [(Some("pending-resync"), "`pending-resync`"), (None, "`unknown`")] {
        let change = |scene: &mut Scene| scene.global().members[1].synchronization = told.map(str::to_owned);
        Scene::with(change).finds(Severity::Blocking, "cluster/orders-standby", says, "wait while Aurora rebuilds it");
    }
}

#[test]
fn a_writer_that_is_neither_of_the_plans_clusters_is_a_warning() {
    let change = |scene: &mut Scene| scene.global().members[0].arn = THERE.replace("us-east-2", "eu-west-1");
    Scene::with(change).finds(Severity::Warning, "global-cluster/shop-global", "the plan's is orders", "switch over to orders");
}

#[test]
fn what_cannot_be_read_is_said_once_and_nothing_is_judged_by_it() {
    let unread = |change: &dyn Fn(&mut ClusterSight)| {
        let scene = Scene::with(|scene| change(scene.aurora()));
        let found = scene.judged().findings;
        assert!(matches!(&found[..], [Finding::Unreadable { .. }]), "{found:?}");
        found[0].about()
    };
    let global = |seen: &mut ClusterSight| drop(seen.globals.insert("orders".to_owned(), Err(denied("rds:DescribeGlobalClusters"))));
    assert_eq!(unread(&global), "global-cluster/shop-global");
    let cluster = |seen: &mut ClusterSight| drop(seen.clusters.insert("orders".to_owned(), Err(denied("rds:DescribeDBClusters"))));
    assert_eq!(unread(&cluster), "cluster/orders-standby");
    let lag = |seen: &mut ClusterSight| drop(seen.lags.insert("orders".to_owned(), Err(denied("cloudwatch:GetMetricData"))));
    assert_eq!(unread(&lag), "lag of orders-standby");
}

#[test]
fn a_version_before_this_looks_at_no_clusters_and_nothing_is_concluded() {
    assert_eq!(Scene::with(|scene| *scene.aurora() = ClusterSight::default()).judged().findings, []);
}

#[test]
fn clusters_that_the_stack_was_not_deployed_for_are_found_beside_replicas_under_their_own_names() {
    let mut scene = Scene::sound();
    let replica = Database { name: "bills".to_owned(), replica: "bills-replica".to_owned(), ..plan().databases[0].clone() };
    scene.situation.plan.databases.push(replica);
    // The ARN of a resource that is not reached may not be read either: one cause, one finding.
    scene.aurora().clusters.insert("orders".to_owned(), Err(denied("rds:DescribeDBClusters")));
    let found = readiness(&scene.situation.plan, &scene.situation.journal, &scene.seen, &stack(), at(0)).findings;
    let outside = |finding: &&Finding| matches!(finding, Finding::OutsideStack { .. });
    let outside: Vec<String> = found.iter().filter(outside).map(Finding::about).collect();
    assert_eq!(outside, ["database/bills", "global-cluster/shop-global", "cluster/orders-standby"], "{found:#?}");
    assert!(!found.iter().any(|finding| matches!(finding, Finding::Unreadable { .. })), "{found:#?}");
}
