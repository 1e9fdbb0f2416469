//! However a stage ends, it leaves nothing running: told to end, interrupted, or killed where it stands.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relight_stage::layout::Layout;
use serde_json::Value;
use uuid::Uuid;

/// A variable that the stage's emulators and functions inherit. Databases and the application get an environment of their own; in their
/// words or their environment stands the stage's folder.
const MARK: &str = "RELIGHT_ENDS_TEST";

struct Standing {
    stage: Child,
    file: PathBuf,
    /// By which its processes are found.
    marks: Vec<String>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        // Only a test that failed finds it running.
        let _ = self.stage.kill();
        let _ = self.stage.wait();
    }
}

impl Standing {
    fn up() -> Standing {
        let layout = Layout::find().expect("what make build builds");
        let mark = Uuid::new_v4().to_string();
        let folder = layout.target.join("stage");
        std::fs::create_dir_all(&folder).expect("target/stage");
        let file = folder.join(format!("ends-{mark}.json"));
        let mut command = Command::new(layout.binary("stage"));
        command.args(["serve", "--file"]).arg(&file).env(MARK, &mark).stdin(Stdio::null()).stdout(Stdio::null());
        let mut stage = Standing { stage: command.spawn().expect("the stage starts"), file: file.clone(), marks: vec![format!("{MARK}={mark}")] };
        within(Duration::from_secs(90), "the stage standing", || {
            assert!(stage.stage.try_wait().expect("a child").is_none(), "it ended before it stood");
            file.exists()
        });
        let up: Value = serde_json::from_slice(&std::fs::read(&file).expect("the stage's file")).expect("JSON");
        stage.marks.push(up["folder"].as_str().expect("the stage's folder").to_owned());
        stage
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.stage.id()).expect("a process number")), signal).expect("it is there");
    }

    /// All that runs and began with this stage.
    fn running(&self) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
        let marked = processes.filter(|process| {
            let environment = std::fs::read(process.join("environ")).unwrap_or_default();
            let said = String::from_utf8_lossy(&environment).into_owned() + &command_line(process);
            self.marks.iter().any(|mark| said.contains(mark.as_str()))
        });
        marked.map(|process| command_line(&process)).collect()
    }

    fn leaves_nothing(mut self) {
        let _ = self.stage.wait();
        within(Duration::from_secs(15), "nothing of the stage running", || {
            let running = self.running();
            if !running.is_empty() {
                println!("still: {running:?}");
            }
            running.is_empty()
        });
        let _ = std::fs::remove_file(&self.file);
    }
}

fn command_line(process: &Path) -> String {
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    format!("{} {}", process.display(), String::from_utf8_lossy(&line).replace('\0', " "))
}

fn within(limit: Duration, what: &str, mut look: impl FnMut() -> bool) {
    let began = Instant::now();
    while !look() {
        assert!(began.elapsed() < limit, "{what} was not seen within {limit:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_stage_that_is_killed_interrupted_or_told_to_end_leaves_no_process() {
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM] {
        let stage = Standing::up();
        let running = stage.running();
        let some = |name: &str| running.iter().any(|line| line.contains(name));
        assert!(some("ministack") && some("moto") && some("postgres") && some("shop"), "the mark finds them: {running:#?}");
        stage.send(signal);
        stage.leaves_nothing();
    }
}
