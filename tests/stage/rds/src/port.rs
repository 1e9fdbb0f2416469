//! A port for a process that is told where to listen.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use uuid::Uuid;

/// Below what Linux and macOS give to whoever does not ask for one: between this look and the process's own, no connection of anybody
/// may take it.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const ATTEMPTS: usize = 100;

/// One that was free a moment ago. By chance, since others on this machine look for one at the same time.
pub fn free_port() -> io::Result<SocketAddr> {
    let mut last = io::Error::other("no port was tried");
    for _ in 0..ATTEMPTS {
        let chance = u16::try_from(Uuid::new_v4().as_u128() % u128::from(COUNT)).unwrap_or_default();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + chance)) {
            Ok(listener) => return listener.local_addr(),
            Err(error) => last = error,
        }
    }
    Err(last)
}
