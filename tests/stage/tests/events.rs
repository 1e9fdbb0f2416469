//! Every event of `events/`, sent by `cargo lambda invoke --remote` to the function that would get it, and what it answers.
//!
//! One stage for all of them, in one test whose steps follow each other: a hold must be in force before a drill can be refused
//! for it. The minute's ticks stand still meanwhile, so that nothing happens but what is sent here.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use relight::evidence::Word;
use relight::run::{Mode, Phase};
use relight::state::Snapshot;
use relight_stage::observe::until;
use relight_stage::{Options, STANDBY, Stage, coverage, environment};
use serde_json::{Value, json};
use stage_router::{Fault, FaultKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinHandle;

const ALARM: &str = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:shop-primary-health";
const FUNCTIONS: [&str; 7] = ["scale-up", "scale-down", "promote-replica", "rotate-secret", "switch-traffic", "watch-primary", "monthly-drill"];
/// What Lambda takes asynchronously.
const LARGEST: usize = 256 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_the_folder_is_answered() {
    let stage = Stage::start(Options::default()).await.expect("a stage");
    // Ticks sleep for their last few seconds, and then for hours.
    stage.router.set_rate_factor(0.01);
    tokio::time::sleep(stage.speed.shortened(60) + Duration::from_millis(500)).await;
    let sent = Sent::default();

    plans_that_are_not_put(&stage).await;
    alarms_that_say_nothing_new(&stage, &sent).await;
    ticks_and_progress(&stage, &sent).await;
    rotation_steps(&stage, &sent).await;
    orders_in_peace(&stage, &sent).await;
    too_large(&stage).await;
    unreadable(&stage, &sent).await;
    a_call_that_is_denied(&stage).await;
    an_alarm_of_the_plan(&stage).await;
    a_drill_and_a_failover_by_order(&stage, &sent).await;
    coverage::keep(&stage).expect("kept");
    a_table_that_is_missing(&stage).await;

    sent.is_complete();
    stage.shutdown().await;
}

/// What was sent, to be held against the folder.
#[derive(Default)]
struct Sent(std::cell::RefCell<Vec<String>>);

impl Sent {
    /// A file of `events/`, by its name without `.json`.
    fn file(&self, stage: &Stage, name: &str) -> PathBuf {
        self.0.borrow_mut().push(format!("{name}.json"));
        stage.layout.root.join(format!("events/{name}.json"))
    }

    fn is_complete(&self) {
        let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events")).expect("events/");
        let files = folder.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
        let missing: Vec<String> = files.filter(|file| !self.0.borrow().contains(file)).collect();
        assert!(missing.is_empty(), "never sent: {missing:?}");
    }
}

/// The answer of a function, or its error.
type Invoked = Result<Value, String>;

/// Sends an event as an operator would.
fn invoke(stage: &Stage, function: &str, event: &Path) -> JoinHandle<Invoked> {
    let mut command = Command::new(stage.layout.venv.join("bin/cargo-lambda"));
    command
        .args(["lambda", "invoke", "--remote", "--endpoint-url", stage.router.url(), "--output-format", "json", "--data-file"])
        .arg(event)
        .arg(stage.function(function).expect("a function of infra/control"))
        .envs(environment(stage.router.url(), STANDBY))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    tokio::spawn(async move {
        let output = command.output().await.expect("cargo-lambda runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
        match serde_json::from_str::<Value>(&out) {
            Ok(answer) if output.status.success() => Ok(answer),
            _ => Err(format!("{out}{err}")),
        }
    })
}

async fn answer(stage: &Stage, function: &str, event: &Path) -> Value {
    match invoke(stage, function, event).await.expect("not cancelled") {
        Ok(answer) => answer,
        Err(error) => panic!("{function} failed on {}: {error}", event.display()),
    }
}

/// The function refuses with these sentences. cargo-lambda breaks long lines wherever they are full.
async fn assert_fails(stage: &Stage, function: &str, event: &Path, sentences: &[&str]) {
    let error = match invoke(stage, function, event).await.expect("not cancelled") {
        Ok(answer) => panic!("{function} took {}: {answer}", event.display()),
        Err(error) => error,
    };
    for sentence in sentences {
        assert!(unbroken(&error).contains(&unbroken(sentence)), "`{sentence}` is not in {}", error.chars().take(2000).collect::<String>());
    }
}

fn unbroken(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace() && *character != '│').collect()
}

/// What the answer says, as one text.
fn said(answer: &Value) -> String {
    let said = answer["said"].as_array().unwrap_or_else(|| panic!("no sentences: {answer}"));
    said.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

fn assert_says(answer: &Value, sentence: &str) {
    assert!(said(answer).contains(sentence), "`{sentence}` is not in {answer}");
}

/// An event that is no file of the folder.
fn written(stage: &Stage, name: &str, event: &Value) -> PathBuf {
    let file = stage.folder.join(format!("{name}.json"));
    std::fs::write(&file, event.to_string()).expect("the stage's folder takes a file");
    file
}

/// `events/alarm.json` with the stage's own alarm, its time and its state.
fn own_alarm(stage: &Stage, state: &str, at: Timestamp, reason: &str) -> PathBuf {
    let text = std::fs::read_to_string(stage.layout.root.join("events/alarm.json")).expect("events/alarm.json");
    let mut event: Value = serde_json::from_str(&text).expect("JSON");
    let mut message: Value = serde_json::from_str(event["Records"][0]["Sns"]["Message"].as_str().expect("a message")).expect("JSON");
    message["AlarmArn"] = ALARM.into();
    message["NewStateValue"] = state.into();
    message["NewStateReason"] = reason.into();
    message["StateChangeTime"] = at.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string().into();
    event["Records"][0]["Sns"]["Message"] = message.to_string().into();
    written(stage, &format!("own-alarm-{state}"), &event)
}

async fn snapshot(stage: &Stage) -> Snapshot {
    stage.snapshot().await.expect("the journal can be read")
}

/// Nothing but evidence, memory and leases may have changed in between.
async fn assert_peace(stage: &Stage) {
    let snapshot = snapshot(stage).await;
    assert!(snapshot.head.open_run().is_none() && snapshot.head.hold.is_none(), "{:?}", snapshot.head);
    assert!(snapshot.baseline.is_empty() && snapshot.obligations.is_empty());
}

async fn plans_that_are_not_put(stage: &Stage) {
    let put = async |text: &str| {
        let file = stage.folder.join("another.toml");
        std::fs::write(&file, text).expect("the stage's folder takes a file");
        let table = stage.workload.control.outputs.get("JournalTable").expect("an output");
        let mut command = Command::new(stage.layout.binary("relight"));
        command.args(["plan", "put"]).arg(&file).args(["--table", table]).envs(environment(stage.router.url(), STANDBY)).stdin(Stdio::null());
        let output = command.output().await.expect("relight runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let text = std::fs::read_to_string(stage.folder.join("relight.toml")).expect("the stage's plan");
    let before = snapshot(stage).await;

    let (done, why) = put(&text.replace("us-west-2", "eu-west-1")).await;
    assert!(!done && why.contains("stands in us-west-2") && why.contains("eu-west-1"), "{why}");

    let mistaken =
        text.replace("desired = 4", "desired = 40").replace("database = \"orders\"", "database = \"odrers\"").replace("quorum = 2", "quorum = 9");
    let (done, why) = put(&mistaken).await;
    assert!(!done && why.contains("the plan in force stays in force"), "{why}");
    for mistake in ["service[0].desired: 40", "no [[database]] is named `odrers`", "quorum"] {
        assert!(why.contains(mistake), "`{mistake}` is not in {why}");
    }

    let (done, why) = put(&text).await;
    assert!(!done && why.contains("it is the plan in force, version 1"), "{why}");
    let after = snapshot(stage).await;
    // Only the plan: a run that is open may go on meanwhile.
    assert_eq!((before.head.plan_version, before.plans), (after.head.plan_version, after.plans));
}

async fn alarms_that_say_nothing_new(stage: &Stage, sent: &Sent) {
    // The stage's alarm bears the name of the example's, and says OK now: what the examples say is long past.
    let up = own_alarm(stage, "OK", Timestamp::now(), "Threshold Crossed: 1 datapoint was not less than the threshold (1.0).");
    assert_says(&answer(stage, "watch-primary", &up).await, "alarm says Up since");
    let older = "ignored an older word of alarm";
    let expected = [
        ("alarm", older),
        ("alarm-ok", older),
        ("alarm-insufficient-data", older),
        ("alarms-several", older),
        ("alarm-composite", "alarm:shop-primary-composite: no observer of the plan names it"),
        ("alarm-unknown", "alarm:somebody-elses: no observer of the plan names it"),
        ("alarm-other-account", "ignored an alarm of account 999999999999: the plan is for 123456789012"),
    ];
    for (index, (name, sentence)) in expected.into_iter().enumerate() {
        let function = ["scale-up", "watch-primary"][index % 2];
        assert_says(&answer(stage, function, &sent.file(stage, name)).await, sentence);
    }
    let evidence = snapshot(stage).await.evidence;
    assert_eq!(evidence.observers["alarm"].word, Word::Up);
    assert_peace(stage).await;
}

async fn ticks_and_progress(stage: &Stage, sent: &Sent) {
    for function in FUNCTIONS {
        let answer = answer(stage, function, &sent.file(stage, "tick")).await;
        assert_eq!((&answer["function"], &answer["plan"]), (&json!(function), &json!("shop")));
        assert_eq!(answer["phase"], "peace, the primary serves");
    }
    for (name, function) in [
        ("tick-eventbridge-rule", "scale-down"),
        ("tick-eventbridge-scheduler", "monthly-drill"),
        ("progress", "promote-replica"),
        ("progress-sns", "switch-traffic"),
    ] {
        let answer = answer(stage, function, &sent.file(stage, name)).await;
        assert_eq!((&answer["phase"], said(&answer).as_str()), (&json!("peace, the primary serves"), ""), "{name}");
    }
    assert_peace(stage).await;
}

async fn rotation_steps(stage: &Stage, sent: &Sent) {
    for step in ["create", "set", "test", "finish"] {
        let file = sent.file(stage, &format!("rotation-{step}-secret"));
        let said = format!("{step}Secret of arn:aws:secretsmanager:us-west-2:123456789012:secret:shop/orders/app-Ab12Cd: there is no such secret");
        assert_fails(stage, "rotate-secret", &file, &[&said]).await;
    }
}

async fn orders_in_peace(stage: &Stage, sent: &Sent) {
    for word in ["stand-down", "approve", "accept-loss", "switch-anyway", "switch-home", "replan"] {
        let answer = answer(stage, "scale-down", &sent.file(stage, &format!("operator-{word}"))).await;
        assert_eq!(said(&answer), format!("refused `{word}`: no run is open"));
    }
    let refused = answer(stage, "monthly-drill", &sent.file(stage, "operator-failback")).await;
    assert_eq!(said(&refused), "refused `failback`: the primary serves already");
    let status = answer(stage, "monthly-drill", &sent.file(stage, "operator-status")).await;
    assert!(status["way_on"].as_str().is_some_and(|way_on| !way_on.is_empty()), "{status}");

    readiness(stage, sent).await;

    let held = answer(stage, "scale-up", &sent.file(stage, "operator-hold")).await;
    assert_says(&held, "ana holds every step that cannot be undone, until");
    let until = snapshot(stage).await.head.hold.expect("held").until;
    let in_two_hours = Timestamp::now() + 2.hours();
    assert!((in_two_hours - until).total(jiff::Unit::Second).expect("seconds").abs() < 30.0, "{until}");
    let refused = answer(stage, "monthly-drill", &sent.file(stage, "drill")).await;
    assert_says(&refused, "refused the drill: a hold is in force; `release` ends it");
    assert_says(&answer(stage, "scale-up", &sent.file(stage, "operator-release")).await, "ana released the hold");
    assert_says(&answer(stage, "scale-up", &sent.file(stage, "operator-release")).await, "nothing is held");
    assert_peace(stage).await;
}

/// Asked by its schedule and by a person; of another function, it says who answers.
async fn readiness(stage: &Stage, sent: &Sent) {
    for file in ["readiness", "operator-readiness"] {
        let event = sent.file(stage, file);
        let answer_here = answer(stage, "monthly-drill", &event).await;
        assert_says(&answer_here, "a failover would work now");
        assert_says(&answer_here, "warning: drill: no drill was good yet");
        assert_says(&answer_here, "readiness.html");
        assert_says(&answer(stage, "scale-up", &event).await, "`readiness` is answered by monthly-drill");
    }
    assert!(snapshot(stage).await.memory.readiness.is_some_and(|seen| seen.blocking == 0));
    assert_peace(stage).await;
}

/// As large as Lambda passes on: a sentence, and nothing large in the journal, which every invocation reads.
async fn too_large(stage: &Stage) {
    let long = "x".repeat(LARGEST - 2048);
    let unknown = written(stage, "large-unknown", &json!({ "what": long }));
    assert_fails(stage, "scale-up", &unknown, &["the event is none that Relight knows"]).await;

    answer(stage, "scale-up", &own_alarm(stage, "OK", Timestamp::now(), &long)).await;
    answer(stage, "scale-up", &written(stage, "large-hold", &json!({ "operator": { "command": "hold", "by": long } }))).await;
    let after = snapshot(stage).await;
    assert!(after.evidence.observers["alarm"].reason.len() <= 300);
    assert!(after.head.hold.as_ref().is_some_and(|hold| hold.by.len() <= 100), "{:?}", after.head.hold.map(|hold| hold.by.len()));
    answer(stage, "scale-up", &stage.layout.root.join("events/operator-release.json")).await;
    assert_peace(stage).await;
}

async fn unreadable(stage: &Stage, sent: &Sent) {
    let file = sent.file(stage, "unreadable");
    assert_fails(stage, "scale-up", &file, &["looks like a CloudWatch alarm but cannot be read", "see events/alarm.json"]).await;

    // As SNS sends it: nobody waits for the answer, Lambda tries it three times.
    let function = stage.function("scale-up").expect("a function");
    let event = std::fs::read_to_string(&file).expect("the file");
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let (status, body) = call(stage, "lambda", &path, &[("x-amz-invocation-type", "Event")], &event).await;
    assert_eq!(status, 202, "{body}");
    let queue = stage.workload.control.outputs.get("DeadLettersUrl").expect("an output").clone();
    let receive = json!({ "QueueUrl": queue, "WaitTimeSeconds": 1, "MaxNumberOfMessages": 10 }).to_string();
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.ReceiveMessage")];
    let dead = until("the unreadable event in the dead-letter queue", Duration::from_secs(30), async || {
        let (_, body) = call(stage, "sqs", "/", &headers, &receive).await;
        let answer: Value = serde_json::from_str(&body).map_err(|_| body.clone())?;
        // Ticks of before the plan was put may lie there as well.
        let mut bodies = answer["Messages"].as_array().into_iter().flatten().filter_map(|message| message["Body"].as_str());
        bodies.find(|text| text.contains("shop-primary-health")).map(str::to_owned).ok_or(body)
    });
    let dead = dead.await.expect("what failed three times is kept for people");
    assert!(dead.contains("RetriesExhausted") && dead.contains("cannot be read"), "the event and why: {dead}");
    assert_peace(stage).await;
}

async fn a_call_that_is_denied(stage: &Stage) {
    stage.router.fault(Fault::new(FaultKind::Deny).service("dynamodb").operation("Query").caller(&stage.function("scale-up").expect("a function")));
    let hold = stage.layout.root.join("events/operator-hold.json");
    assert_fails(stage, "scale-up", &hold, &["dynamodb:Query: not allowed", "deploy the template again"]).await;
    assert_peace(stage).await;
}

/// One observer is no quorum: it opens a run, and the others, who look and see the primary up, end it.
async fn an_alarm_of_the_plan(stage: &Stage) {
    let before = snapshot(stage).await.head.run.map(|run| run.id);
    let alarm = own_alarm(stage, "ALARM", Timestamp::now(), "Threshold Crossed: 1 datapoint [0.0] was less than the threshold (1.0).");
    let answer = answer(stage, "scale-up", &alarm).await;
    assert_says(&answer, "alarm says Down since");
    assert_says(&answer, "says the primary is down");
    let closed = until("the run that the alarm opened to close", Duration::from_secs(60), async || {
        let run = snapshot(stage).await.head.run.filter(|run| Some(&run.id) != before.as_ref()).ok_or("no run")?;
        if run.is_open() { Err(format!("{:?}", run.phase)) } else { Ok(run) }
    });
    let run = closed.await.expect("a primary that is up ends it");
    assert_eq!((run.mode, run.phase, run.committed_at), (Mode::Failover, Phase::Closed, None));
    assert_eq!(answer["run"], run.id.0.as_str());
    assert_peace(stage).await;
}

async fn a_drill_and_a_failover_by_order(stage: &Stage, sent: &Sent) {
    // A drill's invocation lasts as long as the drill.
    let drilling = invoke(stage, "monthly-drill", &sent.file(stage, "operator-drill"));
    let open = until("the drill to open", Duration::from_secs(20), async || {
        snapshot(stage).await.head.open_run().cloned().ok_or_else(|| "no run".to_owned())
    });
    let run = open.await.expect("the operator starts the drill");
    assert_eq!((run.mode, run.cause.as_str()), (Mode::Drill, "ana started the drill"));
    let events = stage.layout.root.join("events");
    let order = async |name: &str| said(&answer(stage, "switch-traffic", &events.join(format!("{name}.json"))).await);
    let refused = order("drill").await;
    assert!(refused.contains(&format!("refused the drill: {} is open", run.id)), "{refused}");
    let refused = order("operator-replan").await;
    assert!(refused.contains("the run already follows the newest plan, version 1"), "{refused}");
    let refused = order("operator-switch-anyway").await;
    assert!(refused.contains("there is no traffic to open before the point of no return"), "{refused}");
    let heard = order("operator-approve").await;
    assert!(heard.contains("ana said `approve`"), "{heard}");
    let again = order("operator-approve").await;
    assert!(again.contains("refused `approve`: ana said so already"), "{again}");
    let late = written(stage, "late-order", &json!({ "operator": { "command": "stand-down", "run": "drill-20200101T000500Z" } }));
    let late = said(&answer(stage, "switch-traffic", &late).await);
    assert!(late.contains(&format!("it is meant for run drill-20200101T000500Z, but the newest is {}", run.id)), "{late}");

    let heard = said(&answer(stage, "scale-down", &sent.file(stage, "operator-failover")).await);
    assert!(heard.contains("ana said `failover`: it counts as a quorum"), "{heard}");
    let now = snapshot(stage).await.head.run.expect("the run");
    assert_eq!((&now.id, now.mode, now.was_drill), (&run.id, Mode::Failover, true));
    assert!(now.words.approve.is_none(), "what was approved was the drill's: {:?}", now.words);
    drilling.abort();
}

/// The last step, since nothing works after it.
async fn a_table_that_is_missing(stage: &Stage) {
    let table = stage.workload.control.outputs.get("JournalTable").expect("an output");
    let dynamodb = aws_sdk_dynamodb::Client::new(&relight_stage::aws::config(stage.router.url(), STANDBY));
    dynamodb.delete_table().table_name(table).send().await.expect("the stage's table is not protected");
    let status = stage.layout.root.join("events/operator-status.json");
    let said = format!("the journal has no table `{table}` in us-west-2; deploy infra/control there");
    assert_fails(stage, "scale-down", &status, &[&said]).await;
}

/// A call that no SDK here makes. The router tells services apart by the scope of the signature, and does not judge root's.
async fn call(stage: &Stage, service: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let address = stage.router.url().trim_start_matches("http://").to_owned();
    let scope = format!("AWS4-HMAC-SHA256 Credential=test/20260105/{STANDBY}/{service}/aws4_request, SignedHeaders=host, Signature=0");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {scope}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let mut connection = TcpStream::connect(&address).await.expect("the router listens");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, body.to_owned())
}
