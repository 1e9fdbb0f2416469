//! What may go wrong in the middle of a failover: a sentence with a remedy, one promotion at most, a last working secret that
//! stays current, and a way on by itself or by a person. docs/databases.md lists them.

use std::cell::Cell;

use relight::ports::{Login, Stage};
use relight::run::Mode::Failover;
use relight::run::Phase::{Active, Confirmed};
use relight::secret::SecretValue;
use relight::state::{Endpoint, Place};
use relight_suites::{
    Control, Delivery, End, PLAN, REPLICA, SECRETS, Standing, minutes, peace, phase, primary_fails, primary_returns, reported, run, said,
};
use relight_world::{Fault, World};

const HOST: &str = "orders-replica.standby.rds.test";

/// Before the replica is judged.
fn when_confirmed(control: &Control, happens: impl Fn(&World) + 'static) {
    at(control, |world| phase(world) == Some((Failover, Confirmed)), happens);
}

/// Past the point of no return, before the first call that promotes.
fn at_the_point_of_no_return(control: &Control, happens: impl Fn(&World) + 'static) {
    at(control, |world| run(world).is_some_and(|run| run.committed_at.is_some()), happens);
}

/// The first call at which the world is so meets what happens.
fn at(control: &Control, when: impl Fn(&World) -> bool + 'static, happens: impl Fn(&World) + 'static) {
    let (world, happened) = (control.world.clone(), Cell::new(false));
    control.world.calls.witness(move |_| {
        if !happened.get() && when(&world) {
            happened.set(true);
            happens(&world);
        }
    });
}

/// Runs into the failure: it is said with what to do about it, and nothing is worse than it must be.
async fn stands(control: &mut Control, sentence: &str, promotions: usize) {
    primary_fails(&control.world);
    control.run_for(minutes(25)).await;
    let world = &control.world;
    assert_ne!(phase(world), Some((Failover, Active)), "it went on as if nothing were");
    let told = run(world).map(|run| world.journal.sentences(&run.id)).unwrap_or_default();
    assert!(said(world, sentence), "nobody said `{sentence}`: {told:#?}");
    assert_eq!(world.database.promotions(REPLICA), promotions);
    for secret in world.secrets.names() {
        let current = world.secrets.read(&secret, Stage::Current).expect("a current version");
        let host = current.endpoint().expect("a host").host;
        assert!(host != HOST || world.login.opens(&current), "{secret} was repointed to what does not open");
    }
}

/// The end that every failover has.
async fn ends(control: &mut Control) {
    let ended = control.run_until(minutes(25), reported).await;
    let world = &control.world;
    let told = run(world).map(|run| world.journal.sentences(&run.id));
    assert!(ended && phase(world) == Some((Failover, Active)), "it is {:?}: {told:#?}", phase(world));
    let end = End::of(world);
    assert_eq!((end.serving, end.standing.users, end.standing.stop), (Place::Standby, Place::Standby, true));
    assert_eq!(end.standing.promotions[REPLICA], 1);
    for name in SECRETS {
        let secret = &end.standing.secrets[name];
        assert!(secret.opens && secret.stands_alone && secret.host == HOST, "{name}: {secret:?}");
    }
}

fn change_replica(world: &World, change: impl FnOnce(&mut relight::ports::Instance)) {
    world.database.change(REPLICA, change);
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_replication_breaks_after_the_point_of_no_return_is_promoted_all_the_same() {
    for status in ["error", "stopped", "terminated"] {
        let mut control = peace(PLAN, Delivery::prompt()).await;
        at_the_point_of_no_return(&control, move |world| change_replica(world, |replica| replica.replication = vec![status.to_owned()]));
        primary_fails(&control.world);
        ends(&mut control).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replication_that_ends_before_it_is_judged_asks_for_a_persons_word() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    when_confirmed(&control, |world| change_replica(world, |replica| replica.replication = vec!["terminated".to_owned()]));
    stands(&mut control, "replication of orders-replica is terminated, so nobody knows how far it was behind; `accept-loss`", 0).await;
    control.order("accept-loss").await;
    ends(&mut control).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_disk_is_full_is_promoted_once_there_is_room() {
    type When = fn(&Control, fn(&World));
    let before: When = |control, happens| when_confirmed(control, happens);
    let after: When = |control, happens| at_the_point_of_no_return(control, happens);
    for when in [before, after] {
        let mut control = peace(PLAN, Delivery::prompt()).await;
        when(&control, |world| change_replica(world, |replica| replica.status = "storage-full".to_owned()));
        stands(&mut control, "orders-replica is storage-full, which does not pass by itself; raise its allocated storage", 0).await;
        change_replica(&control.world, |replica| replica.status = "available".to_owned());
        ends(&mut control).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_wrong_before_anything_starts_is_said_in_peace_and_waited_for_after_the_promotion() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.world.login.set_password(HOST, "app", "somebody else's");
    control.run_for(minutes(31)).await;
    let seen = control.world.journal.snapshot().memory.logins["shop/app"].clone();
    assert!(!seen.ok && seen.said.contains("put the login that the database has into the secret"), "{seen:?}");
    stands(&mut control, "neither AWSCURRENT nor AWSPREVIOUS nor AWSPENDING opens", 1).await;
    assert!(control.world.journal.snapshot().progress.rotation.secrets["shop/admin"].repointed_at.is_some(), "the others go on");
    // The remedy, as the sentence says it.
    let right = control.world.secrets.read("shop/app", Stage::Current).expect("there").with_password("somebody else's");
    control.world.secrets.stand_alone("shop/app");
    control.world.secrets.set("shop/app", "00000000-0000-0000-0000-0000000000aa", &[Stage::Current], Some(right));
    ends(&mut control).await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_answers_no_login_for_minutes_is_proven_when_it_does() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    at_the_point_of_no_return(&control, |world| (0..100).for_each(|_| world.calls.fault("login:Prove", Fault::Silence)));
    primary_fails(&control.world);
    ends(&mut control).await;
    assert!(said(&control.world, "did not answer within 5 s; check the security group and the load of the database"));
    assert!(control.world.calls.count("login:Prove") > 100);
}

#[tokio::test(start_paused = true)]
async fn a_standbys_secret_that_was_deleted_is_waited_for_with_the_remedy() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    control.world.secrets.delete("shop/app", true);
    stands(&mut control, "is not in the standby Region us-west-2; restore it (RestoreSecret) where it was deleted", 1).await;
    control.world.secrets.delete("shop/app", false);
    ends(&mut control).await;
}

#[tokio::test(start_paused = true)]
async fn a_promoted_database_that_is_read_only_opens_nothing_until_it_takes_writes() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    let promoted = |world: &World| world.database.is_writer(REPLICA);
    let admin = |world: &World| -> SecretValue {
        world.secrets.read("shop/admin", Stage::Current).expect("there").at(&Endpoint { host: HOST.to_owned(), port: 5432 })
    };
    primary_fails(&control.world);
    assert!(control.run_until(minutes(10), promoted).await);
    control.world.login.close_writes(&admin(&control.world)).await.expect("closed by somebody");
    stands(&mut control, "its transactions are read-only by default; set default_transaction_read_only to off", 1).await;
    assert_eq!(control.world.calls.count("secretsmanager:PutSecretValue"), 0, "applications are not sent there");
    control.world.login.open_writes(&admin(&control.world)).await.expect("opened again");
    ends(&mut control).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_primary_that_returns_at_any_moment_past_the_point_of_no_return_is_fenced_and_gets_no_users() {
    type Moment = fn(&World) -> bool;
    let moments: [Moment; 4] = [
        |world| run(world).is_some_and(|run| run.committed_at.is_some()),
        |world| world.database.promotions(REPLICA) > 0,
        |world| world.database.is_writer(REPLICA),
        |world| world.journal.snapshot().progress.rotation.secrets.get("shop/app").is_some_and(|step| step.repointed_at.is_some()),
    ];
    for moment in moments {
        let mut control = peace(PLAN, Delivery::prompt()).await;
        at(&control, moment, primary_returns);
        primary_fails(&control.world);
        ends(&mut control).await;
        control.run_for(minutes(3)).await;
        let standing = Standing::of(&control.world);
        assert_eq!((standing.fences["orders"].clone(), standing.users), (vec!["sg-quarantine".to_owned()], Place::Standby));
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_writer_that_cannot_be_fenced_is_reported_each_minute_and_gets_no_users() {
    let mut control = peace(PLAN, Delivery::prompt()).await;
    primary_fails(&control.world);
    ends(&mut control).await;
    primary_returns(&control.world);
    (0..200).for_each(|_| control.world.calls.fault("rds:ModifyDBInstance", Fault::Denied));
    let before = control.world.calls.count("rds:ModifyDBInstance");
    control.run_for(minutes(10)).await;
    let standing = Standing::of(&control.world);
    assert_eq!((standing.fences["orders"].clone(), standing.stop, standing.users), (vec!["sg-database".to_owned()], true, Place::Standby));
    assert!(control.world.calls.count("rds:ModifyDBInstance") >= before + 9, "it is tried each minute");
    let fence = control.world.journal.snapshot().progress.traffic.fenced["orders"].clone();
    assert!(fence.attempts >= 9 && fence.done_at.is_none() && fence.last.contains("is not fenced yet"), "and each minute it is reported: {fence:?}");
    let age = control.world.now().duration_since(fence.last_at.expect("an attempt"));
    assert!(age <= minutes(2), "the last report is {age:#} old");
}
