//! PostgreSQL's replication protocol, as far as a link reads it: kind, length, content.

use std::time::{Duration, SystemTime};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

/// Seconds from 1970 to 2000, where PostgreSQL's clock begins.
const EPOCH: Duration = Duration::from_secs(946_684_800);
/// A length beyond this is no message of PostgreSQL's.
const LARGEST_MESSAGE: usize = 1 << 30;

pub(super) async fn read_message(source: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 5];
    source.read_exact(&mut bytes).await?;
    let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
    if !(4..LARGEST_MESSAGE).contains(&length) {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    bytes.resize(1 + length, 0);
    source.read_exact(&mut bytes[5..]).await?;
    Ok(bytes)
}

/// CopyBothResponse: from here on it is the log.
pub(super) fn begins_the_log(message: &[u8]) -> bool {
    message[0] == b'W'
}

/// Where the log ends that an XLogData message carries: `d` length `w` start end clock data.
pub(super) fn end_of_log(message: &[u8]) -> Option<u64> {
    const HEAD: usize = 5 + 1 + 24;
    if message.len() < HEAD || message[0] != b'd' || message[5] != b'w' {
        return None;
    }
    let start = u64::from_be_bytes(message[6..14].try_into().ok()?);
    Some(start + (message.len() - HEAD) as u64)
}

/// `k` end clock no-reply-wanted, in a CopyData message.
pub(super) fn keepalive(end: u64) -> Vec<u8> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let clock = since_epoch.saturating_sub(EPOCH).as_micros() as u64;
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
