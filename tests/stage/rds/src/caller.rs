//! Who is at the other end of a connection. A security group admits by the caller's network interface; here everybody calls from
//! 127.0.0.1, and what sets one caller apart is the process that holds the socket: a Lambda function's has its name in the
//! environment, as Lambda gives it to each.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

const NAME: &[u8] = b"AWS_LAMBDA_FUNCTION_NAME=";
const LOOKS: usize = 10;

/// The two ends of a connection as its server sees them.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) caller: SocketAddr,
    pub(crate) server: SocketAddr,
}

/// Whether the caller's socket belongs to a process of one of these functions. What cannot be read is not admitted.
pub(crate) fn is_one_of(functions: &BTreeSet<String>, connection: Ends) -> bool {
    if functions.is_empty() {
        return false;
    }
    // A table that changes while it is read can leave a line out.
    let Some(socket) = (0..LOOKS).find_map(|_| socket_of(connection)) else { return false };
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    // The environment first: few processes are functions, and to look through the files of all of them would take longer.
    let ours = processes.flatten().map(|process| process.path()).filter(|process| function_of(process).is_some_and(|name| functions.contains(&name)));
    ours.into_iter().any(|process| holds(&process, &socket))
}

fn socket_of(connection: Ends) -> Option<String> {
    socket_in(&std::fs::read_to_string("/proc/net/tcp").ok()?, connection)
}

/// The inode of the caller's socket, as the link of a file descriptor names it. Both ends are compared: the same local port may
/// stand in the table once more, for a connection to another server that is over and waits, and nobody holds that one.
fn socket_in(table: &str, connection: Ends) -> Option<String> {
    let (local, remote) = (in_table(connection.caller)?, in_table(connection.server)?);
    let mut fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = fields.find(|fields| fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str()))?;
    ours.get(9).map(|inode| format!("socket:[{inode}]"))
}

/// The kernel writes the address as the machine holds it, and the port as the network does.
fn in_table(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_to_another_server_that_is_over_is_not_taken_for_the_callers() {
        let ends = |caller: u16, server: u16| Ends { caller: ([127, 0, 0, 1], caller).into(), server: ([127, 0, 0, 1], server).into() };
        let line = |ends: Ends, state: &str, inode: &str| {
            let (local, remote) = (in_table(ends.caller).unwrap(), in_table(ends.server).unwrap());
            format!("   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000")
        };
        let (waits, open) = (line(ends(40000, 9000), "06", "0"), line(ends(40000, 5432), "01", "4711"));
        let table = format!("  sl  local_address rem_address   st\n{waits}\n{open}\n");
        assert_eq!(socket_in(&table, ends(40000, 5432)).as_deref(), Some("socket:[4711]"));
        assert_eq!(socket_in(&table, ends(40001, 5432)), None);
    }
}
