//! No process outlives the stage, however the stage ends.
//!
//! Every child runs in a process group of its own, whose number goes down a pipe to a shell that does nothing but read. When
//! the pipe closes, because the stage shut down, panicked, or was killed, the shell kills what is still there. It holds
//! off signals itself, so that Ctrl-C in a terminal reaches the stage and not its undertaker.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// `kill -s NAME -- -GROUP` is POSIX; `kill -NAME -- -GROUP` is not, and dash takes the `--` for a process.
const UNDERTAKER: &str = r#"trap "" INT TERM HUP; groups=""
while read -r group; do groups="$groups $group"; done
for group in $groups; do kill -s QUIT -- "-$group" 2>/dev/null; done
sleep 0.5
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done; exit 0"#;

/// Takes the process groups of all children. Clones share one undertaker.
#[derive(Clone)]
pub(crate) struct Groups(Arc<Mutex<Undertaker>>);

struct Undertaker(Child);

impl Groups {
    pub(crate) fn new() -> Result<Groups, Error> {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new("sh");
        command.args(["-c", UNDERTAKER]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|source| Error::io("starting sh", source))?;
        Ok(Groups(Arc::new(Mutex::new(Undertaker(child)))))
    }

    /// Remembers a group. A child's own number is that of the group that it leads.
    pub(crate) fn add(&self, group: i32) {
        let mut undertaker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = undertaker.0.stdin.as_mut() {
            // A closed pipe means that the undertaker was killed: the stage's own shutdown still ends its children.
            let _ = writeln!(pipe, "{group}");
        }
    }
}

impl Drop for Undertaker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_a_stage_leaves_is_killed_with_all_of_its_group() {
        let groups = Groups::new().expect("sh runs");
        // A child that ignores being asked, and a grandchild in its group, as a database server and its workers are.
        let script = "trap '' QUIT TERM; echo ready; sleep 60 & exec sleep 60";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).process_group(0).spawn().expect("sh runs");
        // From here on it ignores what the undertaker asks.
        let mut ready = [0; 6];
        child.stdout.take().expect("a pipe").read_exact(&mut ready).expect("it says that it is ready");
        let group = i32::try_from(child.id()).expect("a process number");
        groups.add(group);

        drop(groups);
        let began = Instant::now();
        // The group lasts for as long as somebody of it runs, or has ended and nobody has asked how.
        while nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), None).is_ok() {
            child.try_wait().expect("a child");
            assert!(began.elapsed() < Duration::from_secs(10), "it outlives the stage");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(child.wait().expect("a child").signal(), Some(nix::libc::SIGKILL));
    }
}
