//! MariaDB's replication protocol, as far as a link reads it: packets of a length (three bytes, little end first), a number in their
//! exchange, and content. A replica asks for the log once, by COM_BINLOG_DUMP, and gets nothing else from there on.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const COM_BINLOG_DUMP: u8 = 0x12;
const HEAD: usize = 4;

pub(super) async fn read_packet(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    from.read_exact(&mut bytes).await?;
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize;
    bytes.resize(HEAD + length, 0);
    from.read_exact(&mut bytes[HEAD..]).await?;
    Ok(bytes)
}

/// What the replica says, handed on at once; notes when it has asked for the log, before the source can have heard it.
pub(super) async fn hand_on(replica: &mut OwnedReadHalf, source: &mut OwnedWriteHalf, asked: &AtomicBool) -> std::io::Result<()> {
    loop {
        let packet = read_packet(replica).await?;
        if asks_for_the_log(&packet) {
            asked.store(true, Ordering::Release);
        }
        source.write_all(&packet).await?;
    }
}

/// A command is the first packet of its exchange; what is sent during the login is not, and may begin with any byte.
fn asks_for_the_log(packet: &[u8]) -> bool {
    packet.get(3) == Some(&0) && packet.get(HEAD) == Some(&COM_BINLOG_DUMP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_is_asked_for_by_a_command_and_not_by_a_login_that_looks_like_one() {
        assert!(asks_for_the_log(&[11, 0, 0, 0, 0x12, 4, 0, 0, 0, 2, 0, 77, 0, 0, 0]));
        assert!(!asks_for_the_log(&[2, 0, 0, 1, 0x12, 4]), "the answer to a greeting");
        assert!(!asks_for_the_log(&[1, 0, 0, 0, 0x0e]), "a ping");
        assert!(!asks_for_the_log(&[0, 0, 0, 0]), "an empty packet");
    }
}
