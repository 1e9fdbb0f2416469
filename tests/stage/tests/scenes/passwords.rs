//! Every password that exists during a scene, and where one of them must not stand.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relight_stage::{STANDBY, Stage};
use serde_json::Value;
use tokio::task::JoinSet;

/// Reads all versions of all secrets in the standby Region again and again: one that a rotation makes and drops is seen too.
pub(crate) struct Passwords {
    seen: Arc<Mutex<BTreeSet<String>>>,
    reading: JoinSet<()>,
}

impl Passwords {
    pub(crate) fn of(stage: &Stage) -> Passwords {
        let seen: Arc<Mutex<BTreeSet<String>>> = Arc::new(Mutex::new(stage.workload.passwords.iter().cloned().collect()));
        let (secrets, kept) = (stage.clients(STANDBY).secrets, seen.clone());
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            loop {
                let names = secrets.list_secrets().send().await.map(|answer| answer.secret_list.unwrap_or_default()).unwrap_or_default();
                for name in names.iter().filter_map(|secret| secret.name()) {
                    for version in ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"] {
                        // Not every secret has every version.
                        let Ok(value) = secrets.get_secret_value().secret_id(name).version_stage(version).send().await else { continue };
                        let value: Value = value.secret_string().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                        if let Some(password) = value["password"].as_str() {
                            kept.lock().unwrap_or_else(PoisonError::into_inner).insert(password.to_owned());
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        Passwords { seen, reading }
    }

    pub(crate) async fn stop(mut self) -> BTreeSet<String> {
        self.reading.shutdown().await;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Searches all output of the stage: the functions' and emulators' logs, the router's calls, the logs of logins and of the
/// database servers. What PostgreSQL keeps in its own files is not output.
fn leaks_in_files(stage: &Stage, passwords: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for folder in [stage.folder.clone(), stage.folder.join("postgres")] {
        let entries = std::fs::read_dir(&folder).expect("the stage's folder can be read");
        for file in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
            let text = std::fs::read(&file).expect("the stage's output can be read");
            found.extend(leaks(&file.display().to_string(), &String::from_utf8_lossy(&text), passwords));
        }
    }
    found
}

/// Where, not what: a failing test is output too.
fn leaks(what: &str, text: &str, passwords: &BTreeSet<String>) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| passwords.iter().any(|password| line.contains(password.as_str())));
    lines.map(|(line, _)| format!("{what}:{} holds a password", line + 1)).collect()
}

/// No password stands in the stage's files, nor in what is given besides: a name and its text.
pub(crate) fn assert_kept(stage: &Stage, passwords: &BTreeSet<String>, besides: &[(&str, String)]) {
    assert!(passwords.iter().all(|password| password.len() >= 16), "each is long enough to stand nowhere by chance");
    let mut found = leaks_in_files(stage, passwords);
    found.extend(besides.iter().flat_map(|(what, text)| leaks(what, text, passwords)));
    assert!(found.is_empty(), "{found:#?}");

    // The search itself, once with each password where none may stand.
    for password in passwords {
        let planted = stage.folder.join("planted.log");
        plant(&planted, password);
        assert_eq!(leaks_in_files(stage, passwords).len(), 1);
        std::fs::remove_file(planted).expect("the planted file can be removed");
    }
}

fn plant(file: &Path, password: &str) {
    std::fs::write(file, format!("first line\nconnecting as shop_app:{password}@host\n")).expect("the stage's folder can be written");
}
