//! The loop of every function, with work that does nothing but what a test tells it to.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use relight::nudge::{Desk, Next, NudgeError, View, Work, WorkError, put};
use relight::ports::{CallError, EntryKind, Journal, Notice, Why, Written};
use relight::run::{Mode, Phase, Run, RunId, Words};
use relight::say::Answer;
use relight::state::{Head, Key, Lease, Memory};
use relight_world::{Fault, World};
use serde_json::{Value, json};
use tokio::time::Instant;

const PLAN: &str = r#"
name = "shop"
account = "123456789012"
primary = "us-east-2"
standby = "us-west-2"

[traffic]
record = "www.shop.example"
standby = "standby.shop.example"
stop_bucket = "shop-stop"
healthy_url = "https://standby.shop.example/health"
healthy_body = "ok"

[[observer]]
name = "watcher"
kind = "probe"
url = "https://primary.shop.example/health"

[[observer]]
name = "alarm"
kind = "alarm"
arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:primary"

[policy]
poll = "5s"
"#;
const POLL: Duration = Duration::from_secs(5);

/// Which function the work pretends to be.
trait Kind {
    const NAME: &'static str;
    const LEASE: &'static str;
}

struct ScaleUp;
struct ScaleDown;
struct WatchPrimary;

impl Kind for ScaleUp {
    const NAME: &'static str = "scale-up";
    const LEASE: &'static str = "capacity";
}

impl Kind for ScaleDown {
    const NAME: &'static str = "scale-down";
    const LEASE: &'static str = "capacity";
}

impl Kind for WatchPrimary {
    const NAME: &'static str = "watch-primary";
    const LEASE: &'static str = "watch";
}

/// What one turn does.
enum Turn {
    Ends(Next),
    /// Writes the memory's item with this sentence, if it is as it was seen.
    Writes(&'static str),
    Fails(Why),
}

type BeforeTurn = Box<dyn FnMut(&View)>;

/// Takes its turns from a list; the last one stays.
struct Fake<K> {
    wanted: bool,
    turns: VecDeque<Turn>,
    /// Looks on at the beginning of each turn.
    before: BeforeTurn,
    /// When each turn began.
    at: Vec<Instant>,
    kind: PhantomData<K>,
}

impl<K> Fake<K> {
    fn new(turns: impl IntoIterator<Item = Turn>) -> Fake<K> {
        Fake { wanted: true, turns: turns.into_iter().collect(), before: Box::new(|_| ()), at: Vec::new(), kind: PhantomData }
    }

    fn ends(next: Next) -> Fake<K> {
        Fake::new([Turn::Ends(next)])
    }
}

impl<K: Kind> Work for Fake<K> {
    const NAME: &'static str = K::NAME;
    const LEASE: &'static str = K::LEASE;

    fn wanted(&self, _: &View) -> bool {
        self.wanted
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        self.at.push(Instant::now());
        (self.before)(view);
        let turn = match self.turns.len() {
            0 => return Ok(Next::Idle),
            _ => self.turns.pop_front().expect("there is one"),
        };
        let next = match &turn {
            Turn::Ends(next) => Ok(*next),
            Turn::Writes(said) => {
                let change = put(view, Key::Memory, &Memory::default())?;
                let written = desk.write(vec![change], desk.line(EntryKind::Action, "memory", *said)).await?;
                return Ok(if written == Written::Lost { Next::Again } else { Next::Idle });
            }
            Turn::Fails(why) => Err(WorkError::Call(CallError::new("ecs:UpdateService", copy(why)))),
        };
        if self.turns.is_empty() {
            self.turns.push_front(turn);
        }
        next
    }
}

fn copy(why: &Why) -> Why {
    match why {
        Why::Throttled => Why::Throttled,
        other => Why::Denied(other.to_string()),
    }
}

fn tick() -> Value {
    json!({ "relight": "tick" })
}

fn order(command: &str) -> Value {
    json!({ "operator": { "command": command, "by": "ana" } })
}

fn run() -> RunId {
    RunId("failover-20260105T000500Z".to_owned())
}

fn head(now: Timestamp, phase: Phase) -> Head {
    let run = Run {
        id: run(),
        mode: Mode::Failover,
        phase,
        plan_version: 1,
        opened_at: now,
        phase_since: now,
        cause: "a test".to_owned(),
        first_down: Some(now),
        confirmed_at: None,
        committed_at: None,
        ended_at: None,
        was_drill: false,
        was_failback: false,
        came_home_at: None,
        words: Words::default(),
    };
    Head { run: Some(run), plan_version: 1, ..Head::default() }
}

fn set_head(world: &World, head: &Head) {
    world.journal.set(Key::Head, serde_json::to_value(head).expect("JSON"));
}

/// A world with a suspicion that nobody confirms: no step is due for minutes.
fn suspected(plan: &str) -> World {
    let world = World::with_plan(plan);
    set_head(&world, &head(world.now(), Phase::Suspected));
    world
}

fn lease(world: &World, owner: &str, lasting: SignedDuration) {
    let lease = Lease { owner: owner.to_owned(), until: world.now() + lasting };
    world.journal.set(Key::Lease("capacity".to_owned()), serde_json::to_value(lease).expect("JSON"));
}

async fn nudge<K: Kind>(world: &World, work: &mut Fake<K>) -> Answer {
    world.nudge(work, tick()).await.expect("an answer")
}

fn operations(world: &World) -> Vec<&'static str> {
    world.calls.log().iter().map(|call| call.operation).collect()
}

#[tokio::test(start_paused = true)]
async fn in_peace_one_read_and_no_write() {
    for wanted in [true, false] {
        let world = World::with_plan(PLAN);
        let mut work = Fake::<ScaleUp> { wanted, ..Fake::ends(Next::Idle) };
        let began = Instant::now();
        let answer = nudge(&world, &mut work).await;
        assert_eq!((operations(&world), world.journal.writes()), (vec!["dynamodb:Query"], 0));
        assert_eq!((work.at.len(), answer.phase.as_str()), (usize::from(wanted), "peace, the primary serves"));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn in_peace_nothing_is_polled_for() {
    let world = World::with_plan(PLAN);
    let mut work = Fake::<ScaleUp>::ends(Next::Poll);
    nudge(&world, &mut work).await;
    assert_eq!((work.at.len(), operations(&world)), (1, vec!["dynamodb:Query"]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_peace_is_an_error_and_no_line_in_the_report_of_a_run_that_is_over() {
    let world = World::with_plan(PLAN);
    set_head(&world, &head(world.now(), Phase::Closed));
    let error = world.nudge(&mut Fake::<ScaleUp>::new([Turn::Fails(Why::Throttled)]), tick()).await.expect_err("it failed");
    assert_eq!(error.to_string(), "ecs:UpdateService: throttled; the next nudge tries again");
    assert_eq!((world.journal.writes(), operations(&world)), (0, vec!["dynamodb:Query"]));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_held_while_at_work_and_let_go_at_the_end() {
    let world = suspected(PLAN);
    let mut work = Fake::<ScaleUp>::ends(Next::Idle);
    let seen = world.clone();
    work.before = Box::new(move |view| {
        let lease = &view.snapshot.leases["capacity"];
        assert!(lease.owner.starts_with("scale-up/") && lease.until > seen.now(), "{lease:?}");
    });
    nudge(&world, &mut work).await;
    assert_eq!((work.at.len(), world.journal.snapshot().leases.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_as_long_as_the_work_polls() {
    let world = suspected(PLAN);
    let mut work = Fake::<ScaleUp>::new((0..15).map(|_| Turn::Ends(Next::Poll)).chain([Turn::Ends(Next::Idle)]));
    let seen = world.clone();
    work.before = Box::new(move |view| assert!(view.snapshot.leases["capacity"].until > seen.now()));
    let began = Instant::now();
    nudge(&world, &mut work).await;
    assert!(began.elapsed() >= POLL * 15, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_the_same_function_ends_the_nudge() {
    let world = suspected(PLAN);
    lease(&world, "scale-up/another", SignedDuration::from_secs(60));
    let mut work = Fake::<ScaleUp>::ends(Next::Idle);
    let began = Instant::now();
    let answer = nudge(&world, &mut work).await;
    assert_eq!((work.at.len(), began.elapsed()), (0, Duration::ZERO));
    assert_eq!(answer.said, ["scale-up/another is at work on it"]);
    assert_eq!(world.journal.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_another_function_is_waited_for() {
    let world = suspected(PLAN);
    lease(&world, "scale-down/another", SignedDuration::from_secs(600));
    let mut work = Fake::<ScaleUp>::ends(Next::Idle);
    let began = Instant::now();
    let lets_go = async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        lease(&world, "scale-down/another", SignedDuration::ZERO);
    };
    tokio::join!(nudge(&world, &mut work), lets_go);
    let waited = work.at[0] - began;
    assert!(waited >= Duration::from_secs(12) && waited <= Duration::from_secs(12) + POLL, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_another_function_is_not_waited_for_beyond_the_budget() {
    let world = suspected(PLAN);
    lease(&world, "scale-down/another", SignedDuration::from_secs(600));
    let mut work = Fake::<ScaleUp>::ends(Next::Idle);
    let began = Instant::now();
    let answer = world.nudge_within(&mut work, tick(), Duration::from_secs(22)).await.expect("an answer");
    assert!(began.elapsed() < Duration::from_secs(22), "{:?}", began.elapsed());
    assert_eq!((work.at.len(), answer.said.as_slice()), (0, ["scale-down/another is at work on it".to_owned()].as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_a_dead_invocation_left_is_taken_over_when_it_expires() {
    let world = suspected(PLAN);
    lease(&world, "scale-up/dead", SignedDuration::ZERO);
    let mut work = Fake::<ScaleUp>::ends(Next::Idle);
    nudge(&world, &mut work).await;
    assert_eq!((work.at.len(), world.journal.snapshot().leases.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_a_lease_at_once_one_works() {
    let world = suspected(PLAN);
    let turns = || Fake::<ScaleUp>::new([Turn::Ends(Next::Poll), Turn::Ends(Next::Idle)]);
    let (mut one, mut other) = (turns(), turns());
    let (first, second) = tokio::join!(nudge(&world, &mut one), nudge(&world, &mut other));
    let mut turns = [one.at.len(), other.at.len()];
    turns.sort_unstable();
    assert_eq!(turns, [0, 2], "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_lost_is_decided_again_over_what_is_there_now() {
    let world = suspected(PLAN);
    let mut work = Fake::<ScaleUp>::new([Turn::Writes("first"), Turn::Writes("second"), Turn::Ends(Next::Idle)]);
    let (seen, mut first) = (world.clone(), true);
    work.before = Box::new(move |_| {
        if std::mem::take(&mut first) {
            seen.journal.set(Key::Memory, json!({}));
        }
    });
    nudge(&world, &mut work).await;
    assert_eq!(work.at.len(), 2);
    assert_eq!(world.journal.sentences(&run()), ["second"]);
    assert_eq!(world.journal.snapshot().revision(&Key::Memory), Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_meets_another_change_of_the_head_loses_neither() {
    let world = suspected(PLAN);
    let (seen, approved) = (world.clone(), std::cell::Cell::new(false));
    // Somebody approves between this invocation's look and its write.
    world.calls.witness(move |call| {
        if call.operation == "dynamodb:TransactWriteItems" && !approved.replace(true) {
            let mut head = head(seen.now(), Phase::Suspected);
            head.plan_version = 1;
            head.run.as_mut().expect("a run").cause = "changed meanwhile".to_owned();
            set_head(&seen, &head);
        }
    });
    let mut work = Fake::<ScaleUp> { wanted: false, ..Fake::ends(Next::Idle) };
    let answer = world.nudge(&mut work, order("hold")).await.expect("an answer");
    let head = world.journal.snapshot().head;
    assert!(head.hold.is_some());
    assert_eq!(head.run.expect("a run").cause, "changed meanwhile");
    assert_eq!(answer.said.len(), 1, "said once, though folded twice: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn what_can_be_read_beside_what_cannot_is_heard_and_the_delivery_is_an_error() {
    let world = World::with_plan(PLAN);
    let record = |message: &str| {
        json!({ "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "arn:aws:sns:us-west-2:123456789012:t:1", "Sns": {
            "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-west-2:123456789012:t", "Subject": null, "Message": message,
            "Timestamp": "2026-01-05T00:05:11.201Z", "SignatureVersion": "1", "Signature": "", "SigningCertUrl": "", "UnsubscribeUrl": "", "MessageAttributes": {},
        }})
    };
    let alarm = json!({ "AlarmArn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:primary", "AWSAccountId": "123456789012", "NewStateValue": "ALARM",
        "NewStateReason": "", "StateChangeTime": "2026-01-05T00:05:11.123+0000" });
    let event = json!({ "Records": [record("no JSON"), record(&alarm.to_string())] });
    let error = world.nudge(&mut Fake::<ScaleUp>::ends(Next::Idle), event).await.expect_err("one record cannot be read");
    assert!(matches!(error, NudgeError::Unreadable(_)) && error.to_string().contains("record 1 of 2"), "{error}");
    assert!(world.journal.snapshot().evidence.observers.contains_key("alarm"));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_at_all_does_not_even_look() {
    let world = World::with_plan(PLAN);
    let error = world.nudge(&mut Fake::<ScaleUp>::ends(Next::Idle), json!({ "hello": 1 })).await.expect_err("unreadable");
    assert!(error.to_string().contains("see events/"), "{error}");
    assert!(operations(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn several_triggers_of_one_delivery_are_folded_one_after_the_other() {
    let world = World::with_plan(PLAN);
    let alarm = |state: &str, at: &str| {
        json!({ "AlarmArn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:primary", "AWSAccountId": "123456789012", "NewStateValue": state,
            "NewStateReason": "x", "StateChangeTime": at })
        .to_string()
    };
    let record = |message: String| {
        json!({ "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "a", "Sns": { "Type": "Notification", "MessageId": "1", "TopicArn": "t",
            "Subject": null, "Message": message, "Timestamp": "2026-01-05T00:05:11.201Z", "SignatureVersion": "1", "Signature": "", "SigningCertUrl": "",
            "UnsubscribeUrl": "", "MessageAttributes": {} } })
    };
    // Out of order, as SNS may deliver: the later word is the one that counts.
    let event = json!({ "Records": [record(alarm("OK", "2026-01-05T00:04:59.000+0000")), record(alarm("ALARM", "2026-01-05T00:04:30.000+0000"))] });
    let answer = world.nudge(&mut Fake::<ScaleUp>::ends(Next::Idle), event).await.expect("an answer");
    assert_eq!(answer.said.len(), 2, "{answer:?}");
    assert_eq!(answer.said[1], "ignored an older word of alarm");
    assert!(world.journal.snapshot().head.open_run().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_budget_ends_the_polling_and_the_next_tick_goes_on() {
    let world = suspected(PLAN);
    let mut work = Fake::<ScaleUp>::ends(Next::Poll);
    let began = Instant::now();
    world.nudge_within(&mut work, tick(), Duration::from_secs(21)).await.expect("an answer");
    assert!(began.elapsed() < Duration::from_secs(21), "{:?}", began.elapsed());
    assert_eq!(work.at.len(), 5);
    assert!(world.journal.snapshot().leases.is_empty(), "the next one need not wait for the lease to expire");
}

#[tokio::test(start_paused = true)]
async fn a_new_phase_wakes_who_waits() {
    let world = suspected(&PLAN.replace("5s", "60s"));
    let mut work = Fake::<ScaleUp>::new([Turn::Ends(Next::Poll), Turn::Ends(Next::Idle)]);
    let began = Instant::now();
    let goes_on = async {
        tokio::time::sleep(Duration::from_millis(3200)).await;
        set_head(&world, &head(world.now(), Phase::Confirmed));
    };
    tokio::join!(nudge(&world, &mut work), goes_on);
    let waited = work.at[1] - began;
    assert!(waited >= Duration::from_millis(3200) && waited < Duration::from_secs(4), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn while_nothing_changes_aws_is_asked_no_faster_than_the_plan_says() {
    let world = suspected(&PLAN.replace("5s", "60s"));
    let mut work = Fake::<ScaleUp>::new([Turn::Ends(Next::Poll), Turn::Ends(Next::Idle)]);
    nudge(&world, &mut work).await;
    assert_eq!(work.at[1] - work.at[0], Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn what_was_announced_just_before_the_lease_was_let_go_is_not_missed() {
    let world = suspected(PLAN);
    let mut work = Fake::<ScaleUp>::new([Turn::Ends(Next::Idle), Turn::Ends(Next::Idle)]);
    let (seen, writes) = (world.clone(), std::cell::Cell::new(0));
    // The second write lets the lease go. Somebody confirmed just before, and the nudge that told so met the lease.
    world.calls.witness(move |call| {
        if call.operation == "dynamodb:TransactWriteItems" && writes.replace(writes.get() + 1) == 1 {
            set_head(&seen, &head(seen.now(), Phase::Confirmed));
        }
    });
    nudge(&world, &mut work).await;
    assert_eq!(work.at.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn observe_mode_calls_nobodys_work_but_the_watchers() {
    let plan = PLAN.replace("poll", "mode = \"observe\"\npoll");
    for world in [World::with_plan(&plan), suspected(&plan)] {
        let (mut up, mut down) = (Fake::<ScaleUp>::ends(Next::Idle), Fake::<ScaleDown>::ends(Next::Idle));
        nudge(&world, &mut up).await;
        nudge(&world, &mut down).await;
        assert_eq!((up.at.len(), down.at.len(), world.journal.writes()), (0, 0, 0));
        let mut watcher = Fake::<WatchPrimary>::ends(Next::Idle);
        nudge(&world, &mut watcher).await;
        assert_eq!(watcher.at.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_is_written_once_and_polled_over() {
    let world = suspected(PLAN);
    let mut work = Fake::<ScaleUp>::new([Turn::Fails(Why::Throttled), Turn::Fails(Why::Throttled), Turn::Ends(Next::Idle)]);
    nudge(&world, &mut work).await;
    assert_eq!(work.at.len(), 3);
    assert_eq!(world.journal.sentences(&run()), ["ecs:UpdateService: throttled; the next nudge tries again"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_stays_is_written_lets_the_lease_go_and_is_the_answer() {
    let world = suspected(PLAN);
    let mut work = Fake::<ScaleUp>::new([Turn::Fails(Why::Denied("no".to_owned()))]);
    let error = world.nudge(&mut work, tick()).await.expect_err("denied");
    assert!(error.to_string().starts_with("ecs:UpdateService: not allowed"), "{error}");
    assert_eq!((world.journal.sentences(&run()).len(), world.journal.snapshot().leases.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn where_the_journal_cannot_be_read_nothing_is_done() {
    let world = suspected(PLAN);
    world.calls.fault("dynamodb:Query", Fault::Denied);
    let mut work = Fake::<ScaleUp>::ends(Next::Idle);
    let error = world.nudge(&mut work, tick()).await.expect_err("unreadable");
    assert!(error.to_string().contains("the journal could not be read"), "{error}");
    assert_eq!((work.at.len(), world.journal.writes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_step_is_told_to_the_functions_and_to_people_and_a_silent_topic_stops_nobody() {
    for silent in [false, true] {
        let world = suspected(PLAN);
        if silent {
            (0..8).for_each(|_| world.calls.fault("sns:Publish", Fault::Silence));
        }
        let mut work = Fake::<ScaleUp>::ends(Next::Idle);
        let answer = world.nudge(&mut work, order("failover")).await.expect("an answer");
        assert_eq!(world.journal.snapshot().phase(), Some((Mode::Failover, Phase::Confirmed)), "{answer:?}");
        let told = world.notices.sent();
        let progress = told.iter().filter(|notice| matches!(notice, Notice::Progress { .. })).count();
        // The order and the step that followed from it, each to the functions and to people.
        assert_eq!((progress, told.len()), if silent { (0, 0) } else { (2, 4) });
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_comes_to_an_end_is_ended_and_the_lease_let_go() {
    let world = suspected(PLAN);
    let mut work = Fake::<ScaleUp>::ends(Next::Again);
    let error = world.nudge(&mut work, tick()).await.unwrap_err();
    assert!(matches!(error, NudgeError::Endless), "{error}");
    assert!(error.to_string().contains("what is written is not what is read"), "{error}");
    assert!(world.journal.snapshot().leases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn before_a_plan_is_put_a_tick_is_answered_and_an_order_is_an_error() {
    let world = World::with_plan(PLAN);
    world.journal.set(Key::Head, json!(Head { plan_version: 9, ..Head::default() }));
    let mut work = Fake::<ScaleUp>::ends(Next::Idle);
    let answer = world.tick(&mut work).await.expect("an answer");
    assert!(answer.way_on.contains("relight plan put"), "{answer:?}");
    let order = world.nudge(&mut work, json!({ "operator": { "command": "failover" } })).await;
    assert!(matches!(order, Err(NudgeError::NoPlan)), "{order:?}");
}
