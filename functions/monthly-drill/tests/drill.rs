//! A drill as people see it: announced, validated, reported; and the report of a failover.

mod common;

use std::time::Duration;

use common::{CART, PLAN, SHOP, Scene, minutes};
use relight::run::{Mode, Phase};
use relight::state::{DatabaseStep, FrozenLag, Part, PromotionProgress, RotationProgress, SecretStep};
use relight_world::Fault;

#[tokio::test(start_paused = true)]
async fn a_drill_is_announced_before_anything_else_and_once() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.ticks(3).await;
    let told = scene.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    let (subject, text) = &told[0];
    assert_eq!(subject, "Relight shop: the drill begins");
    for part in ["us-west-2", "after 15m", "at the latest at 2026-01-05T03:05:00Z", "stand-down"] {
        assert!(text.contains(part), "it does not say `{part}`: {text}");
    }
    let first = scene.world.calls.log().into_iter().find(|call| !call.operation.starts_with("dynamodb:"));
    assert_eq!(first.map(|call| call.operation), Some("sns:Publish"));
    assert!(scene.drill().announced_at.is_some());
    assert_eq!(scene.phase(), Phase::Activating, "the others are not ready");
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_could_not_be_announced_is_not_held() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.others_are_ready();
    scene.world.calls.fault("sns:Publish", Fault::Denied);
    scene.ticks(1).await;
    assert_eq!((scene.phase(), scene.drill().announced_at), (Phase::Activating, None));
    scene.ticks(1).await;
    assert_eq!(scene.told().len(), 1);
    assert_eq!(scene.phase(), Phase::Holding);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_is_asked_again_until_it_does_and_what_does_is_left_alone() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.others_are_ready();
    scene.world.validate.answers(CART, 503);
    scene.ticks(3).await;
    assert_eq!(scene.phase(), Phase::Holding);
    assert!(scene.drill().validated[SHOP].ok && !scene.drill().validated[CART].ok);
    assert_eq!(scene.drill().validated_at, None);

    scene.world.validate.answers(CART, 200);
    scene.ticks(2).await;
    assert!(scene.drill().validated[CART].ok && scene.drill().validated_at.is_some());
    assert_eq!(scene.phase(), Phase::Holding, "the hold lasts on");
    let asked = |url: &str| scene.world.calls.log().iter().filter(|call| call.about == url).count();
    assert_eq!(asked(SHOP), 1);
    assert!(asked(CART) > 1);
}

#[tokio::test(start_paused = true)]
async fn what_never_answers_is_asked_until_the_hold_is_over_and_fails_the_drill() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.world.validate.answers(CART, 503);
    scene.others_are_ready();
    // Invocations with Lambda's time: they poll for as long as it is not answered.
    while scene.phase() != Phase::Restoring {
        scene.nudge().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(scene.world.now().duration_since(scene.run().opened_at) < minutes(60), "the hold has no end");
    }
    let held = scene.run().phase_since.duration_since(scene.run().opened_at);
    assert!(held >= minutes(15), "{held:#}");
    let last = scene.drill().validated_at.expect("given up");
    assert!(last.duration_since(scene.run().opened_at) >= minutes(15), "given up before the hold was over");

    scene.all_is_given_back();
    scene.ticks(2).await;
    let report = scene.report().expect("a report");
    assert!(!report.passed);
    assert!(report.findings.iter().any(|finding| !finding.ok && finding.said == format!("{CART}: answered 503")), "{:#?}", report.findings);
    assert_eq!(scene.told()[1].0, "Relight shop: the drill did not pass");
    assert_eq!(scene.snapshot().memory.last_good_drill, None, "a drill that failed is not remembered as good");
}

#[tokio::test(start_paused = true)]
async fn a_good_drill_is_reported_once_and_remembered_with_how_long_a_promotion_took() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.whole_drill().await;
    assert_eq!(scene.phase(), Phase::Closed);
    let report = scene.report().expect("a report");
    assert!(report.passed, "{:#?}", report.findings);
    let run = scene.run();
    assert_eq!(scene.world.reports.puts(&run.id.0).len(), 1);
    assert!(scene.world.reports.held()[&run.id.0].html.contains(&run.id.0));
    assert_eq!(scene.drill().passed, Some(true));

    let memory = scene.snapshot().memory;
    assert_eq!(memory.last_good_drill, run.ended_at);
    assert_eq!(memory.promotion_seconds["orders"], 180.0);

    let told = scene.told();
    assert_eq!(
        told.iter().map(|(subject, _)| subject.as_str()).collect::<Vec<_>>(),
        ["Relight shop: the drill begins", "Relight shop: the drill passed"]
    );
    assert!(told[1].1.contains(&format!("s3://reports/{}.html", run.id)), "{}", told[1].1);

    let writes = scene.world.journal.writes();
    scene.ticks(3).await;
    assert_eq!(scene.world.journal.writes(), writes, "a report that is written is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_answer_is_lost_leaves_one_report_that_says_the_same() {
    let mut scene = Scene::new(Mode::Drill, Phase::Activating);
    scene.world.calls.fault("s3:PutObject", Fault::LostAnswer);
    scene.whole_drill().await;
    let run = scene.run().id;
    let puts = scene.world.reports.puts(&run.0);
    assert_eq!((puts.len(), scene.world.reports.held().len()), (2, 1), "put again in the same place");
    let judged = |json: &str| {
        let report: relight::report::Report = serde_json::from_str(json).expect("a report is JSON");
        (report.passed, report.ended_at, report.measured, report.findings, report.milestones)
    };
    assert_eq!(judged(&puts[0].json), judged(&puts[1].json));
    assert_eq!(scene.told().len(), 2, "people are told where it lies, once it is known to lie there");
}

#[tokio::test(start_paused = true)]
async fn a_failover_is_left_alone_while_it_is_open() {
    for phase in [Phase::Suspected, Phase::Confirmed, Phase::Activating, Phase::StoodDown] {
        let mut scene = Scene::new(Mode::Failover, phase);
        scene.world.tick(&mut scene.work).await.expect("an answer");
        let calls: Vec<_> = scene.world.calls.log().into_iter().filter(|call| !call.operation.starts_with("dynamodb:")).collect();
        // The loop itself may tell of a phase.
        assert!(calls.iter().all(|call| call.operation == "sns:Publish"), "{phase:?}: {calls:?}");
        assert!(scene.told().is_empty() && scene.report().is_none(), "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_is_reported_once_it_is_active_with_what_may_be_lost() {
    let mut scene = Scene::new(Mode::Failover, Phase::Active);
    scene.others_are_ready();
    let lag = FrozenLag { seconds: Some(7.0), source: "ReplicaLag".to_owned(), ..FrozenLag::default() };
    let step = DatabaseStep { lag: Some(lag), ..DatabaseStep::default() };
    scene.progress(Part::Promotion, PromotionProgress { databases: [("orders".to_owned(), step)].into(), ..PromotionProgress::default() });
    scene.ticks(3).await;
    let report = scene.report().expect("a report");
    assert!(report.passed, "{:#?}", report.findings);
    assert_eq!((report.mode, report.ended, report.measured.rpo_seconds), (Mode::Failover, Phase::Active, Some(7.0)));
    assert_eq!(scene.told().len(), 1);
    assert_eq!(scene.told()[0].0, "Relight shop: the failover passed");
    assert_eq!(scene.snapshot().memory.last_good_drill, None, "a failover proves no drill");
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_stood_down_is_reported_as_that() {
    let mut scene = Scene::new(Mode::Failover, Phase::Closed);
    scene.ticks(2).await;
    let report = scene.report().expect("a report");
    assert_eq!((report.ended, report.measured.rpo_seconds), (Phase::Closed, None));
    assert!(report.findings.iter().any(|finding| finding.ok && finding.said.starts_with("stood down before the first promotion")));
    assert_eq!(scene.world.reports.puts(&scene.run().id.0).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_single_users_rotation_that_outlasts_its_run_has_its_window_in_the_report_once_it_is_over() {
    let secret = "[[secret]]\nname = \"shop/app\"\ndatabase = \"orders\"\nusers = \"single\"\n";
    let mut scene = Scene::with_plan(&format!("{PLAN}\n{secret}"), Mode::Failover, Phase::Active);
    let called = scene.world.now();
    let rotation = |step: SecretStep| RotationProgress { secrets: [("shop/app".to_owned(), step)].into(), ..RotationProgress::default() };
    let under_way = SecretStep { repointed_at: Some(called), rotation_called_at: Some(called), ..SecretStep::default() };
    scene.progress(Part::Rotation, rotation(under_way.clone()));
    scene.ticks(3).await;
    let windows = |scene: &Scene| scene.report().expect("a report").measured.windows;
    assert_eq!((windows(&scene)[0].until, scene.drill().open_windows), (None, vec!["shop/app".to_owned()]));

    let rotated = scene.world.now();
    scene.progress(Part::Rotation, rotation(SecretStep { rotated_at: Some(rotated), ..under_way }));
    scene.ticks(3).await;
    assert_eq!((windows(&scene)[0].from, windows(&scene)[0].until), (called, Some(rotated)));
    assert_eq!(scene.drill().open_windows, [""; 0]);
    assert_eq!(scene.world.reports.puts(&scene.run().id.0).len(), 2, "written twice, and not on each tick");
    assert_eq!(scene.told().len(), 1, "people are told of the run once");
    let said = scene.world.journal.sentences(&scene.run().id);
    assert!(said.iter().any(|said| said.contains("the report is complete: shop/app could be refused for 180.0 s")), "{said:?}");
}

/// What is the same in the end, whatever the times were.
#[derive(Debug, PartialEq)]
struct End {
    phase: Phase,
    announced: bool,
    validated: Vec<(String, bool)>,
    passed: Option<bool>,
    reported: Vec<String>,
    findings: Vec<bool>,
    remembered: bool,
}

fn end(scene: &Scene) -> End {
    let drill = scene.drill();
    End {
        phase: scene.phase(),
        announced: drill.announced_at.is_some() && !scene.told().is_empty(),
        validated: drill.validated.into_iter().map(|(url, seen)| (url, seen.ok)).collect(),
        passed: drill.passed,
        reported: scene.world.reports.held().into_keys().collect(),
        findings: scene.report().map(|report| report.findings.iter().map(|finding| finding.ok).collect()).unwrap_or_default(),
        remembered: scene.snapshot().memory.last_good_drill == scene.run().ended_at,
    }
}

#[tokio::test(start_paused = true)]
async fn a_drill_ends_the_same_whichever_call_fails_once() {
    let mut undisturbed = Scene::new(Mode::Drill, Phase::Activating);
    undisturbed.whole_drill().await;
    let expected = end(&undisturbed);
    assert_eq!((expected.passed, expected.remembered), (Some(true), true));
    let calls = undisturbed.world.calls.log();

    for fault in [Fault::Throttled, Fault::Silence, Fault::LostAnswer, Fault::Denied] {
        // Reads of peace and of the hold, a minute after another, are all alike.
        for n in (0..calls.len()).filter(|n| *n < 25 || *n + 25 > calls.len() || calls[*n].operation != "dynamodb:Query") {
            let mut scene = Scene::new(Mode::Drill, Phase::Activating);
            scene.world.calls.fault_at(n, fault);
            scene.whole_drill().await;
            assert!(!scene.world.calls.fault_is_pending());
            assert_eq!(end(&scene), expected, "{fault:?} at call {n}: {:?}", calls[n]);
        }
    }
}
