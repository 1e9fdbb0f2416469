//! The address that RDS gives out for an instance: a small TCP proxy whose port belongs to the instance's *name*, as the host
//! name of an RDS endpoint does, while the server behind it restarts, moves and dies. An instance that is renamed is found at
//! another port, and who gets its old name is found at the old one.
//!
//! ```text
//! client ──► endpoint ──► gate: dark        nothing is answered; whoever is connected is left hanging
//!                          │    admits      who is not let in is refused, tracked connections stay, as with a security group
//!                          │    login_delay the first byte waits
//!                          └──► server (down, or no instance has the name: refused)
//! ```
//! A black hole that does not even shake hands is beyond a user's process: the kernel does that. A client therefore sees its
//! connection made and then silence, and only its login times out.

use crate::caller;
use crate::error::Error;
use crate::server::Phase;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) dark: bool,
    pub(crate) admits: Admits,
    pub(crate) login_delay: Duration,
}

/// Whom the instance's security groups let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Admits {
    #[default]
    Everybody,
    /// These Lambda functions, by their names.
    Functions(BTreeSet<String>),
}

pub(crate) struct Endpoint {
    pub(crate) port: u16,
    gate: watch::Sender<Gate>,
    /// The server of the instance that has the name now.
    behind: watch::Sender<Option<watch::Receiver<Phase>>>,
    accepting: JoinHandle<()>,
}

impl Endpoint {
    pub(crate) fn open() -> Result<Endpoint, Error> {
        let (listener, port) = listen("open an instance's endpoint")?;
        let (gate, seen) = watch::channel(Gate::default());
        let (behind, server) = watch::channel(None::<watch::Receiver<Phase>>);
        let accepting = tokio::spawn(async move {
            while let Ok((client, peer)) = listener.accept().await {
                tokio::spawn(serve(client, peer, seen.clone(), server.borrow().clone()));
            }
        });
        Ok(Endpoint { port, gate, behind, accepting })
    }

    pub(crate) fn set(&self, gate: Gate) {
        self.gate.send_if_modified(|now| {
            let changed = *now != gate;
            *now = gate;
            changed
        });
    }

    /// None: nobody has the name. Who is connected stays so until the server ends it.
    pub(crate) fn point(&self, at: Option<watch::Receiver<Phase>>) {
        self.behind.send_replace(at);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A listener on a free port of the loopback, made without waiting so that an answer can already name the port.
pub(crate) fn listen(operation: &'static str) -> Result<(TcpListener, u16), Error> {
    let open = || {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok((TcpListener::from_std(listener)?, port))
    };
    open().map_err(|source| Error::Listen { operation, source })
}

async fn serve(mut client: TcpStream, peer: SocketAddr, mut gate: watch::Receiver<Gate>, server: Option<watch::Receiver<Phase>>) {
    let now = gate.borrow().clone();
    if !now.dark {
        let Some(server) = server else { return };
        if let Admits::Functions(functions) = &now.admits
            && !client.local_addr().is_ok_and(|server| caller::is_one_of(functions, caller::Ends { caller: peer, server }))
        {
            return;
        }
        let mut darkness = gate.clone();
        tokio::select! {
            // First: where the Region goes dark as its server dies, the client must not learn of the death.
            biased;
            _ = darkness.wait_for(|gate| gate.dark) => {}
            () = connect_through(&mut client, now.login_delay, server) => return,
        }
    }
    // The sockets stay open and unread until there is light again; by then nobody knows what was lost on them.
    let _ = gate.wait_for(|gate| !gate.dark).await;
}

async fn connect_through(client: &mut TcpStream, login_delay: Duration, server: watch::Receiver<Phase>) {
    if !login_delay.is_zero() {
        tokio::time::sleep(login_delay).await;
    }
    let Some(port) = server.borrow().port() else { return };
    let Ok(mut upstream) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(client, &mut upstream).await;
}
