//! What the scenes asked of the roles, kept beyond each scene: together they say which permissions somebody needed.
//!
//! ```text
//! a scene that passed ─keep─► target/stage/coverage/SCENE.json ─┐      SCENE.not-run of one that this machine lacks something for
//! infra/control, as it is now ──────────────────────────────────┴─► tests/privileges.rs
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stage_deploy::{Capability, Deployer, Physical, RolePolicy, Stack};
use stage_router::Permission;

use crate::layout::Layout;
use crate::stage::Stage;
use crate::{ACCOUNT, Error};

const NOT_RUN: &str = "not-run";

/// What one scene leaves behind.
#[derive(Debug, Serialize, Deserialize)]
pub struct Coverage {
    pub scene: String,
    pub permissions: Vec<Permission>,
    stack: String,
    region: String,
    parameters: BTreeMap<String, String>,
    /// What the control stack was made of, by logical id.
    pub resources: BTreeMap<String, Physical>,
}

impl Coverage {
    /// The policies that the control stack's template gives each role now, were it deployed as it was for this scene, with these
    /// parameters besides.
    pub async fn policies(&self, layout: &Layout, besides: &[(&str, &str)]) -> Result<BTreeMap<String, Vec<RolePolicy>>, Error> {
        let mut parameters = self.parameters.clone();
        parameters.extend(besides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let stack = Stack {
            name: self.stack.clone(),
            region: self.region.clone(),
            template: layout.template(crate::workload::CONTROL),
            parameters,
            capabilities: [Capability::Iam].into(),
            code: Arc::new(|function: &str| PathBuf::from(function)),
        };
        // Nothing is called: the template is read, and what was made is known.
        let deployer = Deployer::new("http://127.0.0.1:9", ACCOUNT, &layout.venv, layout.target.join("stage/cache"));
        deployer.policies(&stack, self.resources.clone()).await.map_err(Error::part("reading the roles of infra/control"))
    }
}

/// The scene of the running test, by the test's name.
fn scene() -> Result<String, Error> {
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").ok_or_else(|| Error::Part {
        doing: "keeping a scene's coverage",
        message: "the test has no name: libtest runs each in a thread that is named after it".to_owned(),
    })?;
    Ok(test.rsplit("::").next().unwrap_or(test).to_owned())
}

/// Records that the scene of the running test cannot run on this machine, and why: the roles are judged without it.
pub fn not_run(layout: &Layout, why: &str) -> Result<(), Error> {
    let folder = folder(layout);
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("making target/stage/coverage", source))?;
    std::fs::write(folder.join(format!("{}.{NOT_RUN}", scene()?)), why).map_err(|source| Error::io("recording a scene that was not run", source))
}

/// The scenes that could not run here.
pub fn unrun(layout: &Layout) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(folder(layout)) else { return Vec::new() };
    let names = files.flatten().filter_map(|file| file.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(NOT_RUN)?.strip_suffix('.').map(str::to_owned)).collect()
}

/// Keeps what the scene of the running test has asked for until now.
pub fn keep(stage: &Stage) -> Result<(), Error> {
    let scene = scene()?;
    let coverage = Coverage {
        permissions: stage.router.permissions(),
        stack: stage.workload.stack.name.clone(),
        region: stage.workload.stack.region.clone(),
        parameters: stage.workload.stack.parameters.clone(),
        resources: stage.workload.control.resources.clone(),
        scene,
    };
    let folder = folder(&stage.layout);
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("making target/stage/coverage", source))?;
    let text = serde_json::to_vec(&coverage).map_err(Error::part("writing a scene's coverage"))?;
    std::fs::write(folder.join(format!("{}.json", coverage.scene)), text).map_err(|source| Error::io("writing a scene's coverage", source))
}

/// What every scene has left behind since the folder was emptied, by the scenes' names.
pub fn read(layout: &Layout) -> Result<Vec<Coverage>, Error> {
    let Ok(files) = std::fs::read_dir(folder(layout)) else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    for file in files {
        let file = file.map_err(|source| Error::io("reading target/stage/coverage", source))?;
        if file.path().extension().is_some_and(|extension| extension == NOT_RUN) {
            continue;
        }
        let text = std::fs::read(file.path()).map_err(|source| Error::io("reading a scene's coverage", source))?;
        kept.push(serde_json::from_slice::<Coverage>(&text).map_err(Error::part("reading a scene's coverage"))?);
    }
    kept.sort_by(|one, other| one.scene.cmp(&other.scene));
    Ok(kept)
}

/// The scenes that there are, from the sources of the tests: each test that keeps what it asked for, by itself or through `with_stage`.
pub fn scenes(layout: &Layout) -> Result<Vec<String>, Error> {
    let mut scenes = Vec::new();
    search(&layout.root.join("tests/stage/tests"), &mut scenes).map_err(|source| Error::io("reading the scenes", source))?;
    scenes.sort();
    Ok(scenes)
}

fn search(folder: &Path, scenes: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            search(&path, scenes)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            scenes.extend(of_source(&std::fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

fn of_source(source: &str) -> Vec<String> {
    let tests = source.split("#[tokio::test").skip(1);
    let test = |text: &str| {
        // rustfmt ends a function at the margin.
        let body = text.split("\n}").next()?;
        let name = body.split("async fn ").nth(1)?.split('(').next()?;
        (body.contains("with_stage(") || body.contains("coverage::keep(")).then(|| name.to_owned())
    };
    tests.filter_map(test).collect()
}

fn folder(layout: &Layout) -> PathBuf {
    layout.target.join("stage/coverage")
}

#[cfg(test)]
mod tests {
    use super::of_source;

    #[test]
    fn scenes_are_the_tests_that_keep_what_they_asked_for() {
        let source = "
#[tokio::test(flavor = \"multi_thread\")]
async fn the_primary_dies() {
    with_stage(Options::default(), async |stage| Ok(())).await;
}

#[tokio::test(start_paused = true)]
async fn the_worlds_journal_passes() {
    suites::journal().await;
}

async fn helper() {
    with_stage(Options::default(), async |stage| Ok(())).await;
}

#[tokio::test]
async fn every_event() {
    coverage::keep(&stage).expect(\"kept\");
}
";
        assert_eq!(of_source(source), ["the_primary_dies", "every_event"]);
    }
}
