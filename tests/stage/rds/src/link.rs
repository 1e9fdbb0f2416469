//! The way of the log from a source to its replica, with the delay of a link between Regions.
//!
//! ```text
//! source ──► read messages ──► in flight, each for `delay` ──► replica's receiver
//!    ◄──────────────── status and feedback, at once ◄─────────────┘
//! ```
//! Only what follows the start of the stream is delayed. Delaying each byte was the first idea: the handshake has half a dozen
//! round trips, so a replica ten minutes behind would have taken an hour to begin, and been given up by `wal_receiver_timeout`
//! long before. For the same reason the link itself sends PostgreSQL keepalives while the log is in flight: the link is up, the data late.
//! MariaDB has none that a third could make up. Its replicas are told to wait for a day, and the link ends what has been dark for as long as
//! a replica would have waited.
//!
//! What is in flight when the source ends or the Region goes dark is lost. The delay stands for log that a busy source has not
//! sent yet, and that dies with it; this is where a failover's lost rows come from.

mod mariadb;
mod postgres;

use crate::endpoint::listen;
use crate::engine::EngineName;
use crate::error::Error;
use crate::server::Phase;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const KEEPALIVE: Duration = Duration::from_secs(1);
/// How long an attempt to connect through a dark network hangs, where the replica itself would wait for a day.
const ATTEMPT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) delay: Duration,
    /// Connections end and none is made.
    pub(crate) cut: bool,
    /// Nothing passes, and nobody is told.
    pub(crate) dark: bool,
}

pub(crate) struct Link {
    pub(crate) port: u16,
    passage: watch::Sender<Passage>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// `unheard`: how long a replica takes a silent link for alive.
    pub(crate) fn open(engine: EngineName, source: watch::Receiver<Phase>, unheard: Duration) -> Result<Link, Error> {
        let (listener, port) = listen("open a replication link")?;
        let (passage, seen) = watch::channel(Passage::default());
        let accepting = tokio::spawn(accept(listener, Ends { engine, source, unheard }, seen));
        Ok(Link { port, passage, accepting })
    }

    pub(crate) fn set(&self, passage: Passage) {
        self.passage.send_if_modified(|now| std::mem::replace(now, passage) != passage);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The connections watch the sender and end with it.
        self.accepting.abort();
    }
}

#[derive(Clone)]
struct Ends {
    engine: EngineName,
    source: watch::Receiver<Phase>,
    unheard: Duration,
}

impl Ends {
    /// Until there is light again, or the replica would have given up by itself if it could.
    async fn until_light(&self, mut passage: watch::Receiver<Passage>, patience: Duration) {
        let light = passage.wait_for(|passage| !passage.dark);
        match self.engine {
            EngineName::Postgres => drop(light.await),
            EngineName::MariaDb => drop(timeout(patience, light).await),
        }
    }
}

async fn accept(listener: TcpListener, ends: Ends, passage: watch::Receiver<Passage>) {
    while let Ok((replica, _)) = listener.accept().await {
        tokio::spawn(serve(replica, ends.clone(), passage.clone()));
    }
}

async fn serve(replica: TcpStream, ends: Ends, passage: watch::Receiver<Passage>) {
    let now = *passage.borrow();
    if now.dark {
        return ends.until_light(passage, ATTEMPT).await;
    }
    let port = ends.source.borrow().port();
    let (Some(port), false) = (port, now.cut) else { return };
    let Ok(upstream) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (replica.set_nodelay(true), upstream.set_nodelay(true));
    let (mut from_replica, mut to_replica) = replica.into_split();
    let (mut from_source, mut to_source) = upstream.into_split();
    let (sender, in_flight) = mpsc::unbounded_channel();
    let mut interruption = passage.clone();
    let asked = AtomicBool::new(false);
    tokio::select! {
        // First: a Region that goes dark as its source dies does not tell the replica so.
        biased;
        _ = interruption.wait_for(|passage| passage.dark || passage.cut) => {}
        _ = hand_on(ends.engine, &mut from_replica, &mut to_source, &asked) => {}
        _ = read_messages(ends.engine, &mut from_source, sender, &asked) => {}
        _ = deliver(ends.engine, &mut to_replica, in_flight, passage.clone()) => {}
    }
    // The halves live on here: a dark link stays connected and silent.
    ends.until_light(passage, ends.unheard).await;
}

async fn hand_on(engine: EngineName, replica: &mut OwnedReadHalf, source: &mut OwnedWriteHalf, asked: &AtomicBool) -> std::io::Result<()> {
    match engine {
        EngineName::Postgres => tokio::io::copy(replica, source).await.map(drop),
        EngineName::MariaDb => mariadb::hand_on(replica, source, asked).await,
    }
}

struct Message {
    bytes: Vec<u8>,
    read_at: Instant,
    delayed: bool,
}

async fn read_messages(
    engine: EngineName,
    source: &mut OwnedReadHalf,
    in_flight: mpsc::UnboundedSender<Message>,
    asked: &AtomicBool,
) -> std::io::Result<()> {
    let mut streaming = false;
    loop {
        let bytes = match engine {
            EngineName::Postgres => postgres::read_message(source).await?,
            EngineName::MariaDb => mariadb::read_packet(source).await?,
        };
        // PostgreSQL's source says that the log begins; MariaDB's sends it because it was asked.
        let delayed = streaming || asked.load(Ordering::Acquire);
        streaming |= engine == EngineName::Postgres && postgres::begins_the_log(&bytes);
        if in_flight.send(Message { delayed, read_at: Instant::now(), bytes }).is_err() {
            return Ok(());
        }
    }
}

async fn deliver(
    engine: EngineName,
    replica: &mut OwnedWriteHalf,
    mut in_flight: mpsc::UnboundedReceiver<Message>,
    mut passage: watch::Receiver<Passage>,
) -> std::io::Result<()> {
    let mut next: Option<Message> = None;
    let mut streaming = false;
    let mut delivered_to = 0;
    loop {
        // Read anew each time: a shorter delay holds for what is in flight already.
        let delay = passage.borrow_and_update().delay;
        let due = next.as_ref().map(|message| if message.delayed { message.read_at + delay } else { message.read_at });
        tokio::select! {
            biased;
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let Some(message) = next.take() else { continue };
                replica.write_all(&message.bytes).await?;
                if engine == EngineName::Postgres {
                    streaming |= postgres::begins_the_log(&message.bytes);
                    delivered_to = postgres::end_of_log(&message.bytes).unwrap_or(delivered_to);
                }
            }
            message = in_flight.recv(), if next.is_none() => match message {
                Some(message) => next = Some(message),
                None => return Ok(()),
            },
            changed = passage.changed() => if changed.is_err() { return Ok(()) },
            () = sleep(KEEPALIVE), if streaming => replica.write_all(&postgres::keepalive(delivered_to)).await?,
        }
    }
}
