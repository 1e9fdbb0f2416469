//! A sound standby, and the look itself: when it is taken, what it answers, what it leaves.

use std::cell::Cell;
use std::time::Duration;

use monthly_drill::standing;
use relight::plan::ActMode;
use relight::run::{Mode, Phase};
use relight::state::{Head, Key, Place};
use serde_json::json;

use crate::common::Scene;
use crate::scene::{ASK, PLAN, ask, look, sound};

#[tokio::test(start_paused = true)]
async fn a_sound_standby_has_no_finding_and_its_estimates() {
    let mut scene = sound();
    let report = look(&mut scene).await;
    assert_eq!(report.findings, []);
    assert!(report.ready);
    // The last drill's recovery and the dwell; the replica's lag.
    assert_eq!((report.estimates.rto_seconds, report.estimates.rpo_seconds), (Some(460.0), Some(2.0)));
    assert_eq!(report.estimates.writable_seconds, [("orders".to_owned(), 180.0)].into());
    let page = scene.world.reports.held().remove("readiness").expect("a page").html;
    assert!(page.contains("a failover would work now: nothing was found") && page.contains("orders until it takes writes"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_only_observes_is_looked_at_too() {
    let mut scene = sound();
    let plan = format!("{PLAN}\n[policy]\nmode = \"observe\"\n");
    scene.world.journal.set(Key::Plan(1), json!(plan));
    assert_eq!(scene.view().plan.policy.mode, ActMode::Act, "the scene's own plan is another");
    let report = look(&mut scene).await;
    let found: Vec<&str> = report.findings.iter().map(|row| row.remedy.as_str()).collect();
    assert_eq!(found, ["put the plan with policy.mode = \"act\""]);
}

#[tokio::test(start_paused = true)]
async fn a_tick_looks_at_nothing_and_a_person_is_answered_with_every_finding() {
    let mut scene = sound();
    let calls = scene.world.calls.log().len();
    scene.nudge().await;
    let made: Vec<_> = scene.world.calls.log()[calls..].iter().map(|call| call.operation).collect();
    assert_eq!(made, ["dynamodb:Query"]);

    scene.world.compute.lose_group("workers");
    let order = json!({ "operator": { "command": "readiness", "by": "ana" } });
    let answer = ask(&mut scene, order).await;
    assert_eq!(answer.said[0], "a failover would not work now: 1 finding(s) block it, 0 warning(s)");
    assert!(
        answer.said[1].starts_with("blocking: group/workers: the standby Region has no Auto Scaling group workers; create workers"),
        "{answer:?}"
    );
    assert!(answer.said[2].contains("readiness.html"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_while_a_run_is_open_or_the_standby_serves() {
    for (mode, phase) in [(Mode::Failover, Phase::Suspected), (Mode::Drill, Phase::Holding), (Mode::Failover, Phase::Active)] {
        let mut scene = Scene::new(mode, phase);
        let answer = scene.world.nudge(&mut scene.work, serde_json::from_str(ASK).expect("JSON")).await.expect("an answer");
        assert!(answer.said.iter().any(|said| said.starts_with("readiness was not looked at: ")), "{phase:?} {answer:?}");
        assert_eq!(scene.world.reports.puts("readiness").len(), 0, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_found_is_put_out_each_minute_and_its_absence_too() {
    let mut scene = sound();
    let metrics = |scene: &Scene| standing(&scene.view());
    assert!(!metrics(&scene).contains_key("MinutesSinceReadiness"), "the alarm takes absence for breach");
    scene.world.compute.lose_group("workers");
    look(&mut scene).await;
    tokio::time::advance(Duration::from_secs(40 * 60)).await;
    let seen = metrics(&scene);
    assert_eq!((seen["BlockingFindings"].0, seen["MinutesSinceReadiness"].0), (1.0, 40.0));

    let head = Head { serving: Place::Standby, ..scene.snapshot().head };
    scene.world.journal.set(Key::Head, json!(head));
    let serving = metrics(&scene);
    assert_eq!((serving.get("BlockingFindings"), serving["MinutesSinceReadiness"].0), (None, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_look_whose_word_was_lost_is_taken_again() {
    let mut scene = sound();
    // Somebody else writes the memory while the page is put.
    let (journal, puts) = (scene.world.journal.clone(), Cell::new(0));
    scene.world.calls.witness(move |call| {
        if call.operation == "s3:PutObject" && puts.replace(puts.get() + 1) == 0 {
            let memory = journal.snapshot().memory;
            journal.set(Key::Memory, json!(memory));
        }
    });
    look(&mut scene).await;
    assert_eq!(scene.world.reports.puts("readiness").len(), 2);
    assert!(scene.snapshot().memory.readiness.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_look_changes_nothing_but_its_own_word() {
    let mut scene = sound();
    let calls = scene.world.calls.log().len();
    look(&mut scene).await;
    let changes: Vec<_> = scene.world.calls.log()[calls..]
        .iter()
        .filter(|call| {
            !["Describe", "Get", "List", "Query", "Head"]
                .iter()
                .any(|read| call.operation.split(':').nth(1).is_some_and(|name| name.starts_with(read)))
        })
        .map(|call| (call.operation, call.place))
        .collect();
    let word = |operation| (operation, Place::Standby);
    // The question, the notice, four answers, the page, and what it found in place of question and answers.
    let mut expected = vec![word("dynamodb:TransactWriteItems"), word("sns:Publish")];
    expected.extend([word("dynamodb:TransactWriteItems"); 4]);
    expected.extend([word("s3:PutObject"), word("dynamodb:TransactWriteItems")]);
    assert_eq!(changes, expected);
    assert!(scene.world.calls.log()[calls..].iter().all(|call| call.place == Place::Standby), "no call leaves the standby Region");
    let left = scene.snapshot();
    assert!(left.look.is_none() && left.sights.is_empty(), "the journal is as small as before");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_nobody_can_wake_is_found_after_its_tick_had_its_chance() {
    let mut scene = sound();
    let began = tokio::time::Instant::now();
    let answer = scene.world.nudge(&mut scene.work, serde_json::from_str(ASK).expect("JSON")).await.expect("an answer");
    assert!((75..80).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let silent: Vec<&String> = answer.said.iter().filter(|said| said.contains("gave no answer")).collect();
    assert_eq!(silent.len(), 4, "{answer:#?}");
    assert!(silent[0].starts_with("blocking: scale-up: ") && silent[0].contains("read the log of scale-up"), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn what_an_invocation_asked_and_did_not_live_to_hear_a_later_tick_says() {
    let mut scene = sound();
    // No time is left to wait for answers.
    let asked = scene.world.nudge_within(&mut scene.work, serde_json::from_str(ASK).expect("JSON"), Duration::ZERO).await.expect("an answer");
    assert!(asked.said.iter().any(|said| said.contains("a later tick says")), "{asked:?}");
    scene.nudge().await;
    assert!(scene.world.reports.puts("readiness").is_empty(), "it is too early to give up who asked");
    tokio::time::advance(Duration::from_secs(91)).await;
    scene.nudge().await;
    assert_eq!(scene.world.reports.puts("readiness").len(), 1);
    assert!(scene.snapshot().look.is_none());
}
