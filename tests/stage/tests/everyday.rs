//! The everyday commands, one after the other, from a missing setting to an account that is gone again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relight_stage::layout::Layout;
use serde_json::Value;

/// Regions and a domain that no other test has: nothing of them is written anywhere but in the settings.
const SETTINGS: [(&str, &str); 3] = [("PRIMARY_REGION", "eu-central-1"), ("SECONDARY_REGION", "eu-west-1"), ("DOMAIN_NAME", "books.example")];

struct Commands {
    layout: Layout,
    folder: PathBuf,
}

/// A stage that a failed test leaves standing is ended with it.
impl Drop for Commands {
    fn drop(&mut self) {
        if self.folder.join("standing.json").exists() {
            self.run("destroy", &SETTINGS);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Commands {
    fn run(&self, command: &str, settings: &[(&str, &str)]) -> (bool, String) {
        let mut python = Command::new(self.layout.venv.join("bin/python"));
        python.args(["-B", "infra/everyday.py", command]).current_dir(&self.layout.root).stdin(Stdio::null());
        for setting in ["PRIMARY_REGION", "SECONDARY_REGION", "DOMAIN_NAME", "RTO_MINUTES", "RPO_MINUTES", "PLAN_NAME", "TARGET"] {
            python.env_remove(setting);
        }
        python.envs(settings.iter().copied()).env("EVERYDAY_FOLDER", &self.folder).env("RELIGHT_VENV", &self.layout.venv);
        let output = python.output().expect("python runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{command}: {}\n{said}", output.status);
        (output.status.success(), said)
    }

    /// The process of the stage that stands.
    fn stage(&self) -> Pid {
        let standing = std::fs::read_to_string(self.folder.join("standing.json")).expect("a stage stands");
        let standing: Value = serde_json::from_str(&standing).expect("JSON");
        Pid::from_raw(standing["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a process number"))
    }

    #[track_caller]
    fn passes(&self, command: &str, sentences: &[&str]) {
        let (passed, said) = self.run(command, &SETTINGS);
        assert!(passed, "{command}: {said}");
        for sentence in sentences {
            assert!(said.contains(sentence), "`{sentence}` is not in {said}");
        }
    }

    #[track_caller]
    fn refused(&self, command: &str, settings: &[(&str, &str)], sentence: &str) {
        let (passed, said) = self.run(command, settings);
        assert!(!passed && said.contains(sentence), "`{sentence}` is not in {said}");
    }
}

fn commands(folder: &str) -> Commands {
    let layout = Layout::find().expect("what make build builds");
    let folder = layout.target.join("stage").join(format!("{folder}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("target/stage");
    Commands { layout, folder }
}

#[test]
fn each_missing_or_wrong_setting_is_refused_with_its_name_and_nothing_is_begun() {
    let commands = commands("refused");
    for missing in SETTINGS.map(|(name, _)| name) {
        let settings: Vec<(&str, &str)> = SETTINGS.into_iter().filter(|(name, _)| *name != missing).collect();
        commands.refused("setup", &settings, &format!("{missing} is not set"));
    }
    let with = |name: &'static str, value: &'static str| [SETTINGS.to_vec(), vec![(name, value)]].concat();
    commands.refused("setup", &with("RTO_MINUTES", "soon"), "RTO_MINUTES is `soon`: it must be whole minutes");
    commands.refused("setup", &with("RPO_MINUTES", "0"), "RPO_MINUTES is `0`");
    commands.refused("setup", &with("SECONDARY_REGION", "eu-central-1"), "PRIMARY_REGION and SECONDARY_REGION are both eu-central-1");
    commands.refused("setup", &with("DOMAIN_NAME", "books"), "DOMAIN_NAME is `books`");
    commands.refused("setup", &with("TARGET", "gcp"), "TARGET is `gcp`");
    commands.refused("deploy-primary", &with("TARGET", "aws"), "IMAGE is not set");
    // All mistakes at once.
    let (_, said) = commands.run("setup", &[]);
    assert!(SETTINGS.iter().all(|(name, _)| said.contains(&format!("{name} is not set"))), "{said}");
    for command in ["deploy-all", "check-health", "destroy"] {
        commands.refused(command, &SETTINGS, "no stage stands; `make setup` starts one");
    }
    assert!(!Path::new(&commands.folder).join("standing.json").exists());
}

#[test]
fn an_account_is_set_up_deployed_broken_failed_over_looked_at_and_destroyed() {
    let commands = commands("everyday");
    commands.passes("setup", &["An empty account with eu-central-1, eu-west-1"]);
    let stage = commands.stage();
    commands.refused("setup", &SETTINGS, "a stage stands already");
    commands.refused("deploy-secondary", &SETTINGS, "the step before is missing: `make deploy-primary`");
    commands.passes("deploy-all", &["shop-relight in eu-west-1", "version 1 is in force"]);
    commands.passes("check-health", &["www.books.example: users are at the primary", "2 of 2 observers say Up"]);
    commands.passes("simulate-outage", &["eu-central-1 is a black hole"]);
    commands
        .passes("test-failover", &["suspected: watcher says the primary is down", "active: the standby serves", "RTO  measured", "objective 900 s"]);
    commands.passes("check-health", &["eu-central-1: health page does not answer", "users are at the standby", "the standby serves"]);
    commands.passes("destroy", &["The stage is ended"]);
    if kill(stage, None).is_ok() {
        // It must not outlive the test that finds it.
        let _ = kill(stage, Signal::SIGTERM);
        panic!("the stage went on as process {stage}");
    }
    commands.refused("check-health", &SETTINGS, "no stage stands");
}
