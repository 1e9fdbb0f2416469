//! Whole failovers, with all seven functions.

use relight::run::{Mode, Phase};
use relight_suites::{Control, Delivery, PLAN, REPLICA, Standing, minutes, phase, primary_fails, reported};

const ACTIVE: Option<(Mode, Phase)> = Some((Mode::Failover, Phase::Active));

#[tokio::test(start_paused = true)]
async fn a_dark_primary_ends_in_a_serving_standby() {
    let mut control = Control::deploy(PLAN, Delivery::prompt());
    control.run_for(minutes(3)).await;
    println!("PEACE {} calls", control.world.calls.log().len());
    primary_fails(&control.world);
    let began = std::time::Instant::now();
    assert!(control.run_until(minutes(20), reported).await, "{:?}", control.world.journal.snapshot());
    println!("TOOK {:?} {} calls {} sim", began.elapsed(), control.world.calls.log().len(), control.world.now());
    assert_eq!(phase(&control.world), ACTIVE);
    println!("{:#?}", Standing::of(&control.world));
    println!("{:#?}", control.world.journal.sentences(&control.world.journal.snapshot().head.run.unwrap().id));
    assert_eq!(control.world.database.promotions(REPLICA), 1);
}
