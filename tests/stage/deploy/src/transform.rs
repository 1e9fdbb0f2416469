//! From SAM to CloudFormation, by AWS's own translator in the stage's Python environment.
//!
//! The answer is kept by a hash of all that goes in: starting Python and reading SAM's schemas takes most of a second, and the template
//! changes seldom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::process::Command;

const SCRIPT: &str = include_str!("transform.py");

#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    #[error("the template {0} cannot be read")]
    Template(PathBuf, #[source] std::io::Error),
    #[error("there is no Python environment at {0}; run `make tools`")]
    NoTools(PathBuf),
    #[error("Python in {0} cannot be run")]
    Python(PathBuf, #[source] std::io::Error),
    #[error("the SAM transform refuses {template}: {why}")]
    Refused { template: PathBuf, why: String },
    #[error("the SAM transform of {0} answered something that is no JSON")]
    Answer(PathBuf, #[source] serde_json::Error),
}

/// The Python of a virtual environment.
pub(crate) fn python(venv: &Path) -> Result<PathBuf, TransformError> {
    let python = venv.join("bin/python");
    if python.is_file() { Ok(python) } else { Err(TransformError::NoTools(venv.to_owned())) }
}

pub(crate) async fn transform(
    venv: &Path,
    cache_dir: &Path,
    region: &str,
    template: &Path,
    parameters: &BTreeMap<String, String>,
) -> Result<Value, TransformError> {
    let text = std::fs::read(template).map_err(|error| TransformError::Template(template.to_owned(), error))?;
    // A plain template is only read: what its parameters are changes nothing.
    let is_sam = String::from_utf8_lossy(&text).lines().any(|line| line.starts_with("Transform:"));
    let parameters = if is_sam { serde_json::json!(parameters).to_string() } else { "{}".to_owned() };
    // The stamp says which version of the translator it was.
    let stamp = std::fs::read(venv.join("relight.stamp")).unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [SCRIPT.as_bytes(), &text, parameters.as_bytes(), region.as_bytes(), &stamp] {
        hash.update(part);
        hash.update([0]);
    }
    let name: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let kept = cache_dir.join(format!("{name}.json"));
    if let Some(known) = std::fs::read(&kept).ok().and_then(|kept| serde_json::from_slice(&kept).ok()) {
        return Ok(known);
    }
    let python = python(venv)?;
    let run = Command::new(&python).arg("-c").arg(SCRIPT).arg(template).arg(&parameters).env("AWS_DEFAULT_REGION", region).output();
    let output = run.await.map_err(|error| TransformError::Python(venv.to_owned(), error))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(TransformError::Refused { template: template.to_owned(), why });
    }
    let transformed = serde_json::from_slice(&output.stdout).map_err(|error| TransformError::Answer(template.to_owned(), error))?;
    keep(&kept, &output.stdout);
    Ok(transformed)
}

/// Without a cache the next start is slower, and nothing else; two stages may write at once, so it appears whole.
fn keep(path: &Path, text: &[u8]) {
    let draft = path.with_extension(format!("{}", std::process::id()));
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&draft, text));
    if written.is_ok() {
        let _ = std::fs::rename(&draft, path);
    }
}
