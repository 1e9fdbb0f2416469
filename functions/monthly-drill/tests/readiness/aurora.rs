//! An Aurora global database in the place of the replica: promote-replica looks at its clusters, and it is judged here.

use relight::decide::readiness::Severity::{Blocking, Warning};
use relight::report::ReadinessReport;
use relight_world::World;
use relight_world::database::LagFeed;

use crate::scene::{PLAN, look, sound_of};

fn plan(more: &str) -> String {
    let clusters = "engine = \"aurora-postgresql\"\nglobal_cluster = \"orders-global\"\nprimary = \"orders\"\nreplica = \"orders-standby\"\n";
    let from = PLAN.find("engine = \"postgres\"").expect("the plan has a database");
    let to = PLAN[from..].find("\n[[secret]]").expect("secrets follow") + from;
    format!("{}{clusters}{more}{}", &PLAN[..from], &PLAN[to..])
}

async fn looked(more: &str, breaks: impl FnOnce(&World)) -> ReadinessReport {
    let mut scene = sound_of(&plan(more));
    breaks(&scene.world);
    look(&mut scene).await
}

#[tokio::test(start_paused = true)]
async fn a_sound_global_database_is_ready_and_its_lag_is_estimated() {
    let report = looked("", |_| {}).await;
    assert_eq!(report.findings, []);
    assert_eq!(report.estimates.rpo_seconds, Some(0.8));
    let not_shown = report.not_shown.iter().find(|line| line.starts_with("that orders-standby takes over, ")).expect("it is said");
    assert!(
        not_shown.contains("a drill restores its snapshot, which moves no writer") && not_shown.contains("`failback` and `switch-home`"),
        "{not_shown}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_between_the_clusters_is_found_with_its_remedy() {
    let gone = looked("", |world| world.database.lose("orders-standby")).await;
    let found: Vec<&str> = gone.findings.iter().filter(|row| row.severity == Blocking).map(|row| row.about.as_str()).collect();
    assert_eq!(found, ["cluster/orders-standby"], "{:#?}", gone.findings);
    assert!(gone.findings[0].remedy.contains("aws rds create-db-cluster"), "{:#?}", gone.findings);

    let behind = looked("", |world| world.database.set_lag("orders-standby", LagFeed::Constant(Some(612.0)))).await;
    assert_eq!((behind.blocking, behind.findings[0].about.as_str()), (1, "database/orders"), "{:#?}", behind.findings);

    let older = looked("", |world| world.database.change("orders-standby", |cluster| cluster.engine_version = "15.4".to_owned())).await;
    assert!(older.findings[0].said.contains("is of version 15.4"), "{:#?}", older.findings);
}

#[tokio::test(start_paused = true)]
async fn a_secondary_without_an_instance_blocks_unless_the_plan_has_a_class_for_one() {
    let without = looked("", |world| world.database.behead("orders-global")).await;
    assert_eq!((without.blocking, without.findings[0].severity), (1, Blocking), "{:#?}", without.findings);
    let with = looked("instance_class = \"db.r6g.large\"\n", |world| world.database.behead("orders-global")).await;
    assert_eq!((with.blocking, with.findings[0].severity), (0, Warning), "{:#?}", with.findings);
    assert!(with.ready && with.findings[0].said.contains("db.r6g.large"), "{:#?}", with.findings);
}
