//! The way of the write-ahead log from a source to its replica, with the delay of a link between Regions.
//!
//! ```text
//! source ──► read messages ──► in flight, each for `delay` ──► replica's walreceiver
//!    ◄──────────────── status and feedback, at once ◄─────────────┘
//! ```
//! Only what follows the start of the stream is delayed. Delaying each byte was the first idea: the handshake has half a dozen
//! round trips, so a replica ten minutes behind would have taken an hour to begin, and been given up by `wal_receiver_timeout`
//! long before. For the same reason the link itself sends keepalives while the log is in flight: the link is up, the data late.
//!
//! What is in flight when the source ends or the Region goes dark is lost. The delay stands for log that a busy source has not
//! sent yet, and that dies with it; this is where a failover's lost rows come from.

use crate::endpoint::listen;
use crate::error::Error;
use crate::server::Phase;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

const KEEPALIVE: Duration = Duration::from_secs(1);
/// Seconds from 1970 to 2000, where PostgreSQL's clock begins.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);
/// A length beyond this is no message of PostgreSQL's.
const LARGEST_MESSAGE: usize = 1 << 30;

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
    pub(crate) fn open(source: watch::Receiver<Phase>) -> Result<Link, Error> {
        let (listener, port) = listen("open a replication link")?;
        let (passage, seen) = watch::channel(Passage::default());
        let accepting = tokio::spawn(accept(listener, source, seen));
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

async fn accept(listener: TcpListener, source: watch::Receiver<Phase>, passage: watch::Receiver<Passage>) {
    while let Ok((replica, _)) = listener.accept().await {
        tokio::spawn(serve(replica, source.clone(), passage.clone()));
    }
}

async fn serve(replica: TcpStream, source: watch::Receiver<Phase>, passage: watch::Receiver<Passage>) {
    let now = *passage.borrow();
    if now.dark {
        return until_light(passage).await;
    }
    let port = source.borrow().port();
    let (Some(port), false) = (port, now.cut) else { return };
    let Ok(upstream) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (replica.set_nodelay(true), upstream.set_nodelay(true));
    let (mut from_replica, mut to_replica) = replica.into_split();
    let (mut from_source, mut to_source) = upstream.into_split();
    let (sender, in_flight) = mpsc::unbounded_channel();
    let mut interruption = passage.clone();
    tokio::select! {
        // First: a Region that goes dark as its source dies does not tell the replica so.
        biased;
        _ = interruption.wait_for(|passage| passage.dark || passage.cut) => {}
        _ = tokio::io::copy(&mut from_replica, &mut to_source) => {}
        _ = read_messages(&mut from_source, sender) => {}
        _ = deliver(&mut to_replica, in_flight, passage.clone()) => {}
    }
    // The halves live on here: a dark link stays connected and silent.
    until_light(passage).await;
}

async fn until_light(mut passage: watch::Receiver<Passage>) {
    let _ = passage.wait_for(|passage| !passage.dark).await;
}

struct Message {
    bytes: Vec<u8>,
    read_at: Instant,
    delayed: bool,
}

async fn read_messages(source: &mut OwnedReadHalf, in_flight: mpsc::UnboundedSender<Message>) -> std::io::Result<()> {
    let mut streaming = false;
    loop {
        let mut bytes = vec![0; 5];
        source.read_exact(&mut bytes).await?;
        let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
        if !(4..LARGEST_MESSAGE).contains(&length) {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        bytes.resize(1 + length, 0);
        source.read_exact(&mut bytes[5..]).await?;
        let message = Message { delayed: streaming, read_at: Instant::now(), bytes };
        // CopyBothResponse: from here on it is the log.
        streaming |= message.bytes[0] == b'W';
        if in_flight.send(message).is_err() {
            return Ok(());
        }
    }
}

async fn deliver(
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
                streaming |= message.bytes[0] == b'W';
                delivered_to = end_of_log(&message.bytes).unwrap_or(delivered_to);
            }
            message = in_flight.recv(), if next.is_none() => match message {
                Some(message) => next = Some(message),
                None => return Ok(()),
            },
            changed = passage.changed() => if changed.is_err() { return Ok(()) },
            () = sleep(KEEPALIVE), if streaming => replica.write_all(&keepalive(delivered_to)).await?,
        }
    }
}

/// Where the log ends that an XLogData message carries: `d` length `w` start end clock data.
fn end_of_log(message: &[u8]) -> Option<u64> {
    const HEAD: usize = 5 + 1 + 24;
    if message.len() < HEAD || message[0] != b'd' || message[5] != b'w' {
        return None;
    }
    let start = u64::from_be_bytes(message[6..14].try_into().ok()?);
    Some(start + (message.len() - HEAD) as u64)
}

/// `k` end clock no-reply-wanted, in a CopyData message.
fn keepalive(end: u64) -> Vec<u8> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let clock = since_epoch.saturating_sub(POSTGRES_EPOCH).as_micros() as u64;
    let mut message = Vec::with_capacity(23);
    message.push(b'd');
    message.extend(22_u32.to_be_bytes());
    message.push(b'k');
    message.extend(end.to_be_bytes());
    message.extend(clock.to_be_bytes());
    message.push(0);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_log_counts_the_data_after_the_head() {
        let mut message = vec![b'd', 0, 0, 0, 0, b'w'];
        message.extend(1000_u64.to_be_bytes());
        message.extend([0; 16]);
        message.extend([7; 40]);
        assert_eq!(end_of_log(&message), Some(1040));
        assert_eq!(end_of_log(&keepalive(5)), None);
    }

    #[test]
    fn keepalive_has_the_length_that_it_names() {
        let message = keepalive(9);
        let named = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
        assert_eq!(message.len(), 1 + named);
    }
}
