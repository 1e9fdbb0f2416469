//! A deployment that is updated and taken back, whatever its functions are at.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relight::ports::{Change, Journal, Write, Written};
use relight::state::{Key, Part, Snapshot};
use serde_json::{Value, json};
use stage_deploy::Stack;

use crate::observe::until;
use crate::{Error, Stage};

/// A field that no version knows yet, and what a later one would write in it.
const UNKNOWN: &str = "weather";
const SAID: &str = "storm";
/// An item that no version knows yet.
const UNKNOWN_ITEM: &str = "progress#sundial";

impl Stage {
    /// Deploys another build of every function: ministack kills what runs of the old one.
    pub async fn update_functions(&self) -> Result<(), Error> {
        self.deploy_control(&another_build(&self.workload.stack, &self.folder.join("another-build"))?).await
    }

    /// Deploys the build that the stage began with.
    pub async fn go_back(&self) -> Result<(), Error> {
        self.deploy_control(&self.workload.stack).await
    }

    /// Puts a changed text of the plan, as an operator would.
    pub async fn change_plan(&self, change: impl FnOnce(&str) -> String) -> Result<String, Error> {
        let text = std::fs::read_to_string(&self.plan).map_err(|source| Error::io("reading the stage's plan", source))?;
        let file = self.folder.join("changed.toml");
        std::fs::write(&file, change(&text)).map_err(|source| Error::io("writing a changed plan", source))?;
        self.put(&file, &[]).await
    }

    /// Leaves, in each item of the open run and in one of its own, what only a later version knows. Says in which.
    pub async fn write_as_a_later_version(&self) -> Result<Vec<Key>, Error> {
        let journal = self.journal()?;
        let mut keys = vec![Key::from(UNKNOWN_ITEM)];
        let snapshot = self.snapshot().await?;
        keys.extend(std::iter::once(Key::Head).chain(Part::ALL.map(Key::Progress)).filter(|key| snapshot.body(key).is_some()));
        for key in &keys {
            // Beside functions that write the same item the first attempt may lose.
            until("a later version's word in the journal", Duration::from_secs(10), async || {
                let snapshot = self.snapshot().await.map_err(|error| error.to_string())?;
                let mut body = snapshot.body(key).cloned().unwrap_or(json!({}));
                for at in things(key) {
                    if let Some(Value::Object(fields)) = body.pointer_mut(at) {
                        fields.insert(UNKNOWN.to_owned(), json!(SAID));
                    }
                }
                let write = Write { key: key.clone(), expected: snapshot.revision(key), change: Change::Put(body) };
                match journal.write(vec![write], Vec::new()).await {
                    Ok(Written::Done) => Ok(()),
                    Ok(Written::Lost) => Err("somebody else was first".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await?;
        }
        Ok(keys)
    }

    async fn deploy_control(&self, stack: &Stack) -> Result<(), Error> {
        let failed = |error| Error::Part { doing: "deploying a template", message: format!("{}: {error}", stack.name) };
        self.deployer.deploy(stack).await.map(drop).map_err(failed)
    }
}

/// The same binaries in another folder: to the deployer, another build.
fn another_build(stack: &Stack, folder: &Path) -> Result<Stack, Error> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io("making a folder for another build", source))?;
    let (code, folder) = (stack.code.clone(), folder.to_owned());
    let built = move |function: &str| {
        let copy = folder.join(function);
        // What cannot be linked is missed by the deployer, with its path.
        let _ = std::fs::hard_link(code(function), &copy);
        copy
    };
    Ok(Stack { code: Arc::new(built), ..stack.clone() })
}

/// Where of this what a later version wrote is not there any more.
pub fn lost(snapshot: &Snapshot, keys: &[Key]) -> Vec<String> {
    let missing = |key: &Key, at: &str| snapshot.body(key).and_then(|body| body.pointer(at)).is_none_or(|thing| thing[UNKNOWN] != SAID);
    keys.iter().flat_map(|key| things(key).iter().filter(|at| missing(key, at)).map(move |at| format!("{key}{at}"))).collect()
}

/// What in an item's body has fields of its own.
fn things(key: &Key) -> &'static [&'static str] {
    match key {
        Key::Head => &["", "/run"],
        Key::Progress(_) => &["", "/progress"],
        _ => &[""],
    }
}
