//! Who is at the other end of a connection. A security group admits by the caller's network interface; here everybody calls from
//! 127.0.0.1, and what sets one caller apart is the process that holds the socket: a Lambda function's has its name in the
//! environment, as Lambda gives it to each.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

const NAME: &[u8] = b"AWS_LAMBDA_FUNCTION_NAME=";
const LOOKS: usize = 10;

/// Whether the socket at `peer` belongs to a process of one of these functions. What cannot be read is not admitted.
pub(crate) fn is_one_of(functions: &BTreeSet<String>, peer: SocketAddr) -> bool {
    if functions.is_empty() {
        return false;
    }
    // A table that changes while it is read can leave a line out.
    let Some(socket) = (0..LOOKS).find_map(|_| socket_at(peer)) else { return false };
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    // The environment first: few processes are functions, and to look through the files of all of them would take longer.
    let ours = processes.flatten().map(|process| process.path()).filter(|process| function_of(process).is_some_and(|name| functions.contains(&name)));
    ours.into_iter().any(|process| holds(&process, &socket))
}

/// The inode of the socket with this local address, as the link of a file descriptor names it.
fn socket_at(peer: SocketAddr) -> Option<String> {
    let SocketAddr::V4(peer) = peer else { return None };
    // The kernel writes the address as the machine holds it, and the port as the network does.
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(peer.ip().octets()), peer.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let inode = fields.filter(|fields| fields.get(1) == Some(&local.as_str())).find_map(|fields| fields.get(9).map(|inode| (*inode).to_owned()))?;
    Some(format!("socket:[{inode}]"))
}

fn function_of(process: &Path) -> Option<String> {
    let environment = std::fs::read(process.join("environ")).ok()?;
    let name = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(NAME))?;
    String::from_utf8(name.to_vec()).ok()
}

fn holds(process: &Path, socket: &str) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket))
}
