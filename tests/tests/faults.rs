//! Every nudge may come twice, late, never or in another order, and every call may fail once: the end is the same.

use std::collections::BTreeMap;

use relight::run::Mode::{Drill, Failover};
use relight::run::Phase::{Active, Closed};
use relight_suites::{Control, Delivery, End, PLAN, REPLICA, minutes, peace, primary_fails, run};
use relight_world::{Call, Fault, World};

const FAULTS: [Fault; 3] = [Fault::Throttled, Fault::Silence, Fault::LostAnswer];

#[derive(Clone, Copy)]
enum Scene {
    Failover,
    Drill,
}

impl Scene {
    /// After some minutes of peace, which are never disturbed.
    async fn begin(self, delivery: Delivery) -> Control {
        let mut control = peace(PLAN, Delivery { lost: 0, twice: 0, ..delivery }).await;
        control.set_delivery(delivery);
        match self {
            Scene::Failover => primary_fails(&control.world),
            Scene::Drill => control.drill(),
        }
        control
    }

    /// What all must end in, and the calls that led there.
    async fn undisturbed(self) -> (End, Vec<Call>) {
        let mut control = self.begin(Delivery::one_turn()).await;
        let peace = control.world.calls.log().len();
        let over = |world: &World| {
            let progress = world.journal.snapshot().progress;
            progress.drill.passed.is_some() && progress.rotation.secrets.get("shop/app").is_none_or(|step| step.rotated_at.is_some())
        };
        assert!(control.run_until(minutes(25), over).await);
        let calls = control.world.calls.log().split_off(peace);
        control.run_for(minutes(3)).await;
        let end = End::of(&control.world);
        match self {
            Scene::Failover => assert_eq!((end.run, end.standing.promotions[REPLICA], end.rotated.len()), (Some((Failover, Active)), 1, 2)),
            Scene::Drill => assert_eq!((end.run, end.standing.promotions[REPLICA], end.rotated.len()), (Some((Drill, Closed)), 0, 0)),
        }
        assert_eq!(end.passed, Some(true));
        (end, calls)
    }
}

/// It comes to this end, and stays there.
async fn expect_end(control: &mut Control, expected: &End, what: impl Fn() -> String) {
    control.run_until(minutes(90), |world| world.journal.snapshot().progress.drill.passed.is_some() && End::of(world) == *expected).await;
    control.run_for(minutes(1)).await;
    let end = End::of(&control.world);
    let history = || run(&control.world).map(|run| control.world.journal.sentences(&run.id));
    assert!(end == *expected, "{}: {end:#?}\ninstead of {expected:#?}\n{:#?}", what(), history());
}

/// Every function's own suite makes each of its calls fail in each way. What only all of them together can show is sampled:
/// what changes AWS fails in each way, the first time and the last; of looks, and of the journal's calls, some fail in one.
fn sample(calls: &[Call]) -> Vec<(usize, Fault)> {
    let mut about: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (n, call) in calls.iter().enumerate() {
        about.entry((call.operation, &call.about)).or_default().push(n);
    }
    let mut sample = Vec::new();
    for ((operation, _), calls) in about {
        let looks = ["Describe", "Get", "Head", "List", "dns:", "http:"].iter().any(|look| operation.contains(look));
        match operation {
            "dynamodb:TransactWriteItems" => sample.extend(calls.into_iter().step_by(18).zip(FAULTS.into_iter().cycle())),
            "dynamodb:Query" => sample.extend(calls.into_iter().step_by(200).zip(FAULTS.into_iter().cycle())),
            _ if looks => sample.push((calls[calls.len() / 2], FAULTS[calls.len() % 2])),
            _ => {
                let ends = [calls[0], calls[calls.len() - 1]];
                let ends = if ends[0] == ends[1] { &ends[..1] } else { &ends[..] };
                sample.extend(ends.iter().flat_map(|n| FAULTS.map(|fault| (*n, fault))));
            }
        }
    }
    sample
}

async fn each_call_fails_once(scene: Scene) {
    let (expected, calls) = scene.undisturbed().await;
    let sample = sample(&calls);
    assert!(sample.len() > 40, "only {} of {} calls", sample.len(), calls.len());
    for (n, fault) in sample {
        let mut control = scene.begin(Delivery::one_turn()).await;
        control.world.calls.fault_at(n, fault);
        expect_end(&mut control, &expected, || format!("{fault:?} at call {n}: {:?}", calls[n])).await;
        assert!(!control.world.calls.fault_is_pending(), "call {n} was not made: {:?}", calls[n]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_ends_the_same_whichever_call_fails_once() {
    each_call_fails_once(Scene::Failover).await;
}

#[tokio::test(start_paused = true)]
async fn a_drill_ends_the_same_whichever_call_fails_once() {
    each_call_fails_once(Scene::Drill).await;
}

#[tokio::test(start_paused = true)]
async fn a_failover_ends_the_same_however_its_nudges_arrive() {
    let (expected, ..) = Scene::Failover.undisturbed().await;
    for seed in 0..6 {
        let mut control = Scene::Failover.begin(Delivery::unreliable(seed)).await;
        expect_end(&mut control, &expected, || format!("seed {seed}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drill_ends_the_same_however_its_nudges_arrive() {
    let (expected, ..) = Scene::Drill.undisturbed().await;
    for seed in 0..6 {
        let mut control = Scene::Drill.begin(Delivery { lost: 0, ..Delivery::unreliable(seed) }).await;
        control.run_for(minutes(2)).await;
        control.set_delivery(Delivery::unreliable(seed));
        expect_end(&mut control, &expected, || format!("seed {seed}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lambdas_time_and_one_turn_an_invocation_lead_to_the_same_end() {
    for scene in [Scene::Failover, Scene::Drill] {
        let (expected, ..) = scene.undisturbed().await;
        let mut control = scene.begin(Delivery::prompt()).await;
        expect_end(&mut control, &expected, || "with Lambda's time".to_owned()).await;
    }
}
