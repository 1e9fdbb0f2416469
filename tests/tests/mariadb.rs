//! A plan of MariaDB, with all seven functions: what is done for it as for PostgreSQL. Its way home is in `failback`.

use relight::ports::Stage;
use relight::run::Mode::{Drill, Failover};
use relight::run::Phase::{Active, Closed};
use relight::secret::SecretValue;
use relight::state::Place;
use relight_suites::{Delivery, End, REPLICA, SECRETS, Standing, expect, mariadb_plan, minutes, peace, phase, primary_fails, report, reported, said};

#[tokio::test(start_paused = true)]
async fn a_dark_primary_ends_in_a_standby_that_serves() {
    let mut control = peace(&mariadb_plan(), Delivery::prompt()).await;
    primary_fails(&control.world);
    let ended = control.run_until(minutes(15), reported).await;
    expect(ended, &control);
    let end = End::of(&control.world);
    assert_eq!((end.run, end.serving, end.standing.promotions[REPLICA]), (Some((Failover, Active)), Place::Standby, 1));
    for name in SECRETS {
        let secret = &end.standing.secrets[name];
        assert!(secret.opens && secret.host.starts_with(REPLICA), "{name}: {secret:?}");
    }
    let judged = report(&control.world).expect("a report").measured.lag["orders"].source.clone();
    assert!(judged.contains("ReplicaLag of orders-replica (of what had arrived)"), "{judged}");
}

#[tokio::test(start_paused = true)]
async fn a_drill_rehearses_on_a_replica_of_the_replica_and_leaves_everything_as_it_was() {
    let mut control = peace(&mariadb_plan(), Delivery::prompt()).await;
    // A version that PostgreSQL would need to be upgraded from.
    control.world.database.change(REPLICA, |instance| instance.engine_version = "10.6.18".to_owned());
    let before = Standing::of(&control.world);
    control.drill();
    let ended = control.run_until(minutes(40), reported).await;
    expect(ended, &control);
    assert_eq!(phase(&control.world), Some((Drill, Closed)));
    assert_eq!(Standing::of(&control.world), before);
    let report = report(&control.world).expect("a report");
    assert!(report.passed, "{:#?}", report.findings);
    assert!(report.findings.iter().any(|finding| finding.said.contains("orders: the copy equals orders-replica at ")), "{:#?}", report.findings);
}

#[tokio::test(start_paused = true)]
async fn a_secret_without_an_engine_is_said_in_peace_and_after_the_promotion() {
    let mut control = peace(&mariadb_plan(), Delivery::prompt()).await;
    for name in SECRETS {
        let seen = control.world.secrets.seen(name).expect("a secret");
        let version = seen.version_at(Stage::Current).expect("a current version").to_owned();
        let text = control.world.secrets.read(name, Stage::Current).expect("a value").to_json().replace("\"engine\":\"mariadb\",", "");
        control.world.secrets.set(name, &version, &[Stage::Current], Some(SecretValue::parse(&text).expect("an object")));
    }
    control.run_for(minutes(31)).await;
    let logins = control.world.journal.snapshot().memory.logins;
    assert!(SECRETS.iter().all(|name| logins[*name].said.contains("correct `engine` in the secret's JSON")), "{logins:#?}");
    primary_fails(&control.world);
    control.run_for(minutes(5)).await;
    assert!(said(&control.world, "the secret's engine is none, which is PostgreSQL's, the plan's mariadb"));
}
