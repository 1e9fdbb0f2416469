//! A process that stands still while its files are copied, as the disk of an RDS instance does for a snapshot: what is copied is what a
//! crash at that moment would have left, and recovers as after one.

use crate::error::Error;
use crate::server::send;
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LIMIT: Duration = Duration::from_secs(5);

/// Goes on when this is dropped.
pub(crate) struct Frozen {
    pid: i32,
}

impl Frozen {
    /// Returns when none of its threads can write any more: one that is in the kernel stops on its way out.
    pub(crate) async fn stop(pid: i32, data: &Path) -> Result<Frozen, Error> {
        let frozen = Frozen { pid };
        send(pid, Signal::SIGSTOP);
        let limit = Instant::now() + LIMIT;
        while !stands_still(pid) {
            if Instant::now() > limit {
                return Err(Error::Silent { operation: "stand still", data: data.to_path_buf(), seconds: LIMIT.as_secs() });
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        send(self.pid, Signal::SIGCONT);
    }
}

/// So does one that has gone meanwhile.
fn stands_still(pid: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rfind(')').and_then(|end| stat[end + 1..].split_whitespace().next());
        matches!(state, None | Some("T" | "t" | "Z" | "X"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn process_that_stands_still_writes_nothing_and_then_goes_on() {
        let file = std::env::temp_dir().join(format!("relight-freeze-{}", uuid::Uuid::new_v4()));
        let writes = format!("while :; do echo x >> '{}'; done", file.display());
        let mut writer = tokio::process::Command::new("sh").args(["-c", &writes]).kill_on_drop(true).spawn().unwrap();
        let size = || std::fs::metadata(&file).map_or(0, |file| file.len());
        let grows_from = async |size_then: u64| {
            let limit = Instant::now() + LIMIT;
            while size() == size_then && Instant::now() < limit {
                sleep(Duration::from_millis(5)).await;
            }
            size() > size_then
        };
        assert!(grows_from(0).await);
        let frozen = Frozen::stop(writer.id().unwrap() as i32, &file).await.unwrap();
        let then = size();
        sleep(Duration::from_millis(200)).await;
        assert_eq!(size(), then);
        drop(frozen);
        assert!(grows_from(then).await);
        writer.kill().await.unwrap();
        std::fs::remove_file(&file).unwrap();
    }
}
