//! What the plan makes of a database while it serves, and that both instances are afterwards what they were, with all seven functions.

use jiff::SignedDuration;
use relight::plan::Plan;
use relight::ports::{Instance, ParameterGroup, Stage};
use relight::run::Mode::{Failback, Failover};
use relight::run::Phase::{Active, Closed, Synchronised};
use relight_suites::{Control, Delivery, PLAN, REPLICA, is, minutes, peace, phase, primary_fails, primary_returns, report, reported, run, said};

const PROXY: &str = "orders-proxy";

/// The suites' plan, with all that it can ask of a database.
fn plan() -> String {
    let keys = "instance_class = \"db.r6g.large\"\nmulti_az = true\ndeletion_protection = true\nparameter_group = \"orders-serving\"\nproxy = \"orders-proxy\"";
    PLAN.replacen("replica = \"orders-replica\"", &format!("replica = \"orders-replica\"\n{keys}"), 1)
}

fn group(name: &str) -> Option<ParameterGroup> {
    Some(ParameterGroup { name: name.to_owned(), status: "in-sync".to_owned() })
}

/// Class, zones, protection and parameter group.
fn shape(instance: Option<Instance>) -> (String, bool, bool, Option<ParameterGroup>) {
    let instance = instance.expect("it is there");
    (instance.class, instance.multi_az, instance.deletion_protection, instance.parameter_group)
}

async fn expect(control: &mut Control, within: SignedDuration, done: impl Fn(&relight_world::World) -> bool) {
    let reached = control.run_until(within, done).await;
    assert!(reached, "it is {:?}: {:#?}", phase(&control.world), run(&control.world).map(|run| control.world.journal.sentences(&run.id)));
}

#[tokio::test(start_paused = true)]
async fn a_database_is_what_the_plan_says_while_it_serves_and_both_are_what_they_were_once_it_is_home() {
    assert!(Plan::parse(&plan()).is_ok());
    let mut control = peace(&plan(), Delivery::prompt()).await;
    let world = control.world.clone();
    world.database.change_home("orders", |writer| {
        (writer.multi_az, writer.deletion_protection, writer.parameter_group) = (true, true, group("orders-home"));
        writer.class = "db.r6g.xlarge".to_owned();
    });
    world.database.change(REPLICA, |replica| replica.parameter_group = group("orders-replica"));
    let before = (shape(world.database.home_instance("orders")), shape(world.database.instance(REPLICA)));

    primary_fails(&world);
    expect(&mut control, minutes(20), reported).await;
    assert_eq!(phase(&world), Some((Failover, Active)));
    assert_eq!(world.database.targets(PROXY), [REPLICA]);
    let serving = ("db.r6g.large".to_owned(), true, true, group("orders-serving"));
    let wanted = serving.clone();
    expect(&mut control, minutes(10), move |world| shape(world.database.instance(REPLICA)) == wanted).await;
    let app = world.secrets.read("shop/app", Stage::Current).expect("a version");
    assert_eq!(app.endpoint().expect("a host").host, "orders-proxy.proxy.standby.rds.test");
    assert!(world.login.opens(&app), "through the proxy");
    assert!(said(&world, "takes writes through its proxy"), "{:#?}", report(&world));

    primary_returns(&world);
    expect(&mut control, minutes(5), |world| world.database.primary_groups("orders") == ["sg-quarantine"]).await;
    control.run_for(minutes(2)).await;
    control.order("failback").await;
    expect(&mut control, minutes(40), is(Failback, Synchronised)).await;
    control.order("switch-home").await;
    expect(&mut control, minutes(60), is(Failback, Closed)).await;

    assert_eq!(shape(world.database.home_instance("orders")), before.0, "as the old writer was");
    assert_eq!(shape(world.database.instance(REPLICA)), before.1, "as the replica was, and not as it served");
    assert_eq!(world.database.targets(PROXY), [""; 0]);
    let home = world.secrets.read_home("shop/app", Stage::Current).expect("a version").to_json();
    assert!(!home.contains("relight_direct") && !home.contains("proxy"), "it names the instance at home");
}
