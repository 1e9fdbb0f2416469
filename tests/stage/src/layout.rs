//! Where the stage finds what it runs: the emulators' environment, the functions' binaries, PostgreSQL.

use std::env;
use std::path::{Path, PathBuf};

use crate::Error;

/// The folders of one checkout.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The checkout.
    pub root: PathBuf,
    /// cargo's target folder: everything that the stage writes lies below it.
    pub target: PathBuf,
    /// The binaries of functions and application, built by `make build`.
    pub binaries: PathBuf,
    /// The virtual environment of the emulators, made by `make tools`.
    pub venv: PathBuf,
}

impl Layout {
    /// Finds everything, or says what is missing and which command makes it.
    pub fn find() -> Result<Layout, Error> {
        let root =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().map_err(|source| Error::io("finding the checkout", source))?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
        let venv = env::var_os("RELIGHT_VENV").map_or_else(|| root.join("target/venv"), PathBuf::from);
        let layout = Layout { binaries: target.join("debug"), root, target, venv };
        layout.need(&layout.venv.join("bin/ministack"), "make tools")?;
        layout.need(&layout.venv.join("bin/moto_server"), "make tools")?;
        for binary in ["watch-primary", "shop"] {
            layout.need(&layout.binaries.join(binary), "make build")?;
        }
        Ok(layout)
    }

    fn need(&self, file: &Path, remedy: &'static str) -> Result<(), Error> {
        if file.exists() { Ok(()) } else { Err(Error::Missing { file: file.to_owned(), remedy }) }
    }

    pub fn template(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A binary that `make build` made.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }
}
