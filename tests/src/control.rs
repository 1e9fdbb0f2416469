//! The control stack: seven functions, invoked as AWS would.
//!
//! Every invocation is a cold start, so nothing outlives one but the journal. A delivery that fails is made again twice, a
//! minute apart, as Lambda does; a tick is not, since the next one comes.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use jiff::SignedDuration;
use monthly_drill::MonthlyDrill;
use promote_replica::PromoteReplica;
use relight::ports::Notice;
use relight_world::secrets::RotatedBy;
use relight_world::{Version, World};
use rotate_secret::{RotateSecret, steps};
use scale_down::ScaleDown;
use scale_up::ScaleUp;
use serde_json::{Value, json};
use switch_traffic::SwitchTraffic;
use tokio::time::{Instant, sleep_until};
use watch_primary::WatchPrimary;

const TICK: Duration = Duration::from_secs(60);
/// How soon Secrets Manager invokes the rotation function, and how soon again after a step that failed.
const ROTATION: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(60);
const RETRIES: u32 = 2;
/// How often a test looks while nothing is written: a look at the whole world costs more than an invocation.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    ScaleUp,
    ScaleDown,
    PromoteReplica,
    RotateSecret,
    SwitchTraffic,
    WatchPrimary,
    MonthlyDrill,
}

impl Function {
    pub const ALL: [Function; 7] = [
        Function::ScaleUp,
        Function::ScaleDown,
        Function::PromoteReplica,
        Function::RotateSecret,
        Function::SwitchTraffic,
        Function::WatchPrimary,
        Function::MonthlyDrill,
    ];

    /// One invocation. `Err` is what Lambda would deliver again.
    pub async fn invoke(self, world: &World, event: Value, budget: Duration) -> Result<(), String> {
        let (compute, database, secrets) = (world.compute.clone(), world.database.clone(), world.secrets.clone());
        let answer = match self {
            Function::ScaleUp => world.nudge_within(&mut ScaleUp::new(compute), event, budget).await,
            Function::ScaleDown => world.nudge_within(&mut ScaleDown { compute, database, secrets }, event, budget).await,
            Function::PromoteReplica => world.nudge_within(&mut PromoteReplica::new(database), event, budget).await,
            Function::RotateSecret => {
                let mut work = RotateSecret::new(secrets, world.login.clone(), database, world.reports.clone());
                world.nudge_within(&mut work, event, budget).await
            }
            Function::SwitchTraffic => world.nudge_within(&mut SwitchTraffic { traffic: world.traffic.clone(), database }, event, budget).await,
            // It follows nothing that takes long: the template gives it a minute.
            Function::WatchPrimary => {
                world.nudge_within(&mut WatchPrimary { eyes: world.traffic.clone() }, event, budget.min(Duration::from_secs(55))).await
            }
            Function::MonthlyDrill => {
                let mut work = MonthlyDrill {
                    reports: world.reports.clone(),
                    validate: world.validate.clone(),
                    people: world.notices.clone(),
                    audience: world.notices.clone(),
                    stack: world.stack(),
                };
                world.nudge_within(&mut work, event, budget).await
            }
        };
        answer.map(drop).map_err(|error| error.to_string())
    }
}

/// How events reach the functions, and how long an invocation lasts.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// Of a hundred events so many never arrive.
    pub lost: u64,
    /// And so many arrive twice.
    pub twice: u64,
    /// An event arrives at most so much later, and so out of order.
    pub late: Duration,
    /// How long an invocation may keep polling.
    pub budget: Duration,
    /// What decides all of it, and the order of the functions.
    pub seed: u64,
}

impl Delivery {
    /// Everything at once, and Lambda's time.
    pub fn prompt() -> Delivery {
        Delivery { lost: 0, twice: 0, late: Duration::ZERO, budget: Duration::from_secs(840), seed: 1 }
    }

    /// No invocation polls: each function ends after a turn, and lives by its tick and the notices.
    pub fn one_turn() -> Delivery {
        Delivery { budget: Duration::ZERO, ..Delivery::prompt() }
    }

    /// A third is lost, a third comes twice, all of it late and in another order with each seed.
    pub fn unreliable(seed: u64) -> Delivery {
        Delivery { lost: 33, twice: 33, late: Duration::from_secs(90), budget: Duration::from_secs(20), seed }
    }
}

struct Event {
    at: Instant,
    to: Function,
    event: Value,
    retries: u32,
}

/// What an invocation was, once it is over.
enum Over {
    Done,
    Failed(Function, Value, u32),
    Rotated,
}

pub struct Control {
    pub world: World,
    delivery: Delivery,
    random: u64,
    events: Vec<Event>,
    running: FuturesUnordered<LocalBoxFuture<'static, Over>>,
    next_tick: Instant,
    next_rotation: Instant,
    rotating: bool,
    /// Notices that were delivered.
    heard: usize,
    /// Functions that are never invoked, as if they were broken.
    broken: Vec<Function>,
    /// Functions of which another version is deployed.
    versions: Vec<(Function, Version)>,
}

impl Control {
    pub fn deploy(plan: &str, delivery: Delivery) -> Control {
        let world = World::with_plan(plan);
        world.secrets.rotated_by(RotatedBy::Test);
        let now = Instant::now();
        Control {
            world,
            delivery,
            // Seeds that differ little shall not begin alike.
            random: delivery.seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            events: Vec::new(),
            running: FuturesUnordered::new(),
            next_tick: now,
            next_rotation: now,
            rotating: false,
            heard: 0,
            broken: Vec::new(),
            versions: Vec::new(),
        }
    }

    /// How events arrive from now on.
    pub fn set_delivery(&mut self, delivery: Delivery) {
        self.delivery = delivery;
    }

    /// From now on this function is never invoked.
    pub fn break_function(&mut self, function: Function) {
        self.broken.push(function);
    }

    /// From now on these functions are of this version. What is under way ends as what it began as.
    pub fn update(&mut self, functions: &[Function], version: Version) {
        self.versions.retain(|(function, _)| !functions.contains(function));
        self.versions.extend(functions.iter().map(|function| (*function, version)));
    }

    /// The world as a function's deployed version sees it.
    fn seen_by(&self, function: Function) -> World {
        let version = self.versions.iter().find(|(updated, _)| *updated == function).map_or(Version::This, |(_, version)| *version);
        self.world.spoken_by(version)
    }

    /// A message of an alarm topic, to the two functions that subscribe to it.
    pub fn alarm(&mut self, event: &Value) {
        for to in [Function::ScaleUp, Function::WatchPrimary] {
            self.deliver(to, event, RETRIES);
        }
    }

    /// What a person says, by invoking a function and seeing it answer.
    pub async fn order(&mut self, command: &str) {
        let order = json!({ "operator": { "command": command, "by": "ana" } });
        while Function::ScaleDown.invoke(&self.seen_by(Function::ScaleDown), order.clone(), Duration::ZERO).await.is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// What the schedule of the monthly drill says.
    pub fn drill(&mut self) {
        self.deliver(Function::MonthlyDrill, &json!({ "relight": "drill" }), RETRIES);
    }

    pub async fn run_for(&mut self, lasting: SignedDuration) {
        self.run_until(lasting, |_| false).await;
    }

    /// Runs until `done`, at most `within`. Says whether it was.
    pub async fn run_until(&mut self, within: SignedDuration, done: impl Fn(&World) -> bool) -> bool {
        let end = Instant::now() + Duration::try_from(within).expect("a time to come");
        let mut writes = None;
        loop {
            // What a test waits for is in the journal, or in what AWS does by itself.
            let looked = (self.world.journal.writes(), Instant::now());
            if writes.is_none_or(|(writes, at): (u32, Instant)| writes != looked.0 || at.elapsed() >= LOOK) {
                writes = Some(looked);
                if done(&self.world) {
                    return true;
                }
            }
            if Instant::now() >= end {
                return false;
            }
            self.start_what_is_due();
            self.step(end).await;
        }
    }

    /// Lets the invocations go on until one ends, something was told, or something is due.
    async fn step(&mut self, end: Instant) {
        let next = self.events.iter().map(|event| event.at).chain([self.next_tick, self.next_rotation, end]).min().unwrap_or(end);
        let mut due = pin!(sleep_until(next));
        let (running, notices, heard) = (&mut self.running, &self.world.notices, self.heard);
        let over = poll_fn(|cx| {
            // An empty set is over at once, and is waited for by time.
            let polled = pin!(&mut *running).poll_next(cx);
            match polled {
                Poll::Ready(Some(over)) => Poll::Ready(Some(over)),
                _ if notices.count() > heard => Poll::Ready(None),
                _ => due.as_mut().poll(cx).map(|()| None),
            }
        })
        .await;
        match over {
            Some(Over::Failed(to, event, retries)) if retries > 0 => {
                self.events.push(Event { at: Instant::now() + RETRY, to, event, retries: retries - 1 });
            }
            Some(Over::Rotated) => self.rotating = false,
            _ => {}
        }
        self.deliver_notices();
    }

    /// A message of a topic that all functions subscribe to, whoever published it.
    pub fn publish(&mut self, message: &Value) {
        let mut event: Value = serde_json::from_str(include_str!("../../events/progress-sns.json")).expect("a fixture");
        event["Records"][0]["Sns"]["Message"] = Value::from(message.to_string());
        for to in self.shuffled() {
            self.deliver(to, &event, RETRIES);
        }
    }

    fn deliver_notices(&mut self) {
        let notices = self.world.notices.since(self.heard);
        self.heard += notices.len();
        for notice in notices {
            let Notice::Progress { plan, run, what } = notice else { continue };
            self.publish(&json!({ "relight": "progress", "plan": plan, "run": run, "what": what }));
        }
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        if self.next_tick <= now {
            self.next_tick += TICK;
            for to in self.shuffled() {
                self.deliver(to, &json!({ "relight": "tick" }), 0);
            }
        }
        if self.next_rotation <= now {
            self.next_rotation = now + ROTATION;
            self.rotate();
        }
        let (due, later): (Vec<Event>, Vec<Event>) = self.events.drain(..).partition(|event| event.at <= now);
        self.events = later;
        for Event { to, event, retries, .. } in due {
            let (world, budget) = (self.seen_by(to), self.delivery.budget);
            self.running.push(Box::pin(async move {
                match to.invoke(&world, event.clone(), budget).await {
                    Ok(()) => Over::Done,
                    Err(_) => Over::Failed(to, event, retries),
                }
            }));
        }
    }

    /// Secrets Manager invokes the real rotation function, step by step, and begins anew after one that failed.
    fn rotate(&mut self) {
        let due = self.world.secrets.steps();
        if self.rotating || due.is_empty() || self.broken.contains(&Function::RotateSecret) {
            return;
        }
        self.rotating = true;
        let (secrets, login) = (self.world.secrets.clone(), self.world.login.clone());
        self.running.push(Box::pin(async move {
            for step in due {
                // The others of this rotation would fail on it too.
                let _again_from_the_first = steps::take(&secrets, &login, &step).await;
            }
            Over::Rotated
        }));
    }

    fn deliver(&mut self, to: Function, event: &Value, retries: u32) {
        if self.broken.contains(&to) {
            return;
        }
        let Delivery { lost, twice, late, .. } = self.delivery;
        let fate = self.random(100);
        let times = if fate < lost {
            0
        } else if fate < lost + twice {
            2
        } else {
            1
        };
        for _ in 0..times {
            let late = Duration::from_millis(self.random(u64::try_from(late.as_millis()).unwrap_or(u64::MAX).max(1)));
            self.events.push(Event { at: Instant::now() + late, to, event: event.clone(), retries });
        }
    }

    fn shuffled(&mut self) -> [Function; 7] {
        let mut order = Function::ALL;
        for last in (1..order.len()).rev() {
            let other = usize::try_from(self.random(last as u64 + 1)).unwrap_or(0);
            order.swap(last, other);
        }
        order
    }

    /// xorshift64*: what a seed leads to is the same on every machine.
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}
