//! No process outlives the stage, however the stage ends.
//!
//! Every child runs in a process group of its own, whose number goes down a pipe to a shell that does nothing but read. When
//! the pipe closes, because the stage shut down, panicked, or was killed, the shell kills what is still there. It holds
//! off signals itself, so that Ctrl-C in a terminal reaches the stage and not its undertaker.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

const UNDERTAKER: &str = r#"trap "" INT TERM HUP; groups=""
while read -r group; do groups="$groups $group"; done
for group in $groups; do kill -QUIT -- "-$group" 2>/dev/null; done
sleep 0.5
for group in $groups; do kill -KILL -- "-$group" 2>/dev/null; done; exit 0"#;

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
