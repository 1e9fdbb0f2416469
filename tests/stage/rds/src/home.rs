//! The folder that an engine's servers live in, and whom they run as. Programs start from here with an environment of the stage's own.

use crate::error::Error;
use crate::state::Key;
use nix::unistd::{Uid, User};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Whom the servers run as: neither PostgreSQL nor MariaDB shall run as root.
#[derive(Clone, Debug)]
enum Owner {
    Caller,
    Other { name: String, uid: u32, gid: u32 },
}

impl Owner {
    fn choose() -> Result<Owner, Error> {
        if !Uid::effective().is_root() {
            return Ok(Owner::Caller);
        }
        let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = user.ok_or(Error::NoUser)?;
        Ok(Owner::Other { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    fn name(&self) -> String {
        match self {
            Owner::Caller => "this user".to_owned(),
            Owner::Other { name, .. } => format!("user {name}"),
        }
    }
}

pub(crate) struct Home {
    folder: PathBuf,
    owner: Owner,
}

impl Home {
    /// Makes the folder anew: what an earlier stage left there is removed.
    pub(crate) fn make(folder: &Path) -> Result<Home, Error> {
        let home = Home { folder: folder.to_path_buf(), owner: Owner::choose()? };
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).map_err(|source| Error::Folder { operation: "create", path: folder.to_path_buf(), source })?;
        home.give(folder)?;
        Ok(home)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn data_folder(&self, key: &Key, resource: &str) -> PathBuf {
        // The resource id sets a second instance of the same name apart from the first one's last writes.
        self.folder.join(format!("{}.{}.{resource}", key.region, key.id))
    }

    pub(crate) fn snapshot_folder(&self, key: &Key, resource: &str) -> PathBuf {
        self.folder.join(format!("snapshot.{}.{}.{resource}", key.region, key.id))
    }

    /// The files of a server that does not run, or of a snapshot.
    pub(crate) async fn copy_folder(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let mut copy = self.command(Path::new("cp"));
        copy.arg("-Rp").arg(from).arg(to);
        self.run(copy).await
    }

    /// A process may write no further than the beginning of a file: what is small, as the control file, is written anew on a full disk too.
    pub(crate) async fn limit_files(&self, pid: i32) -> Result<(), Error> {
        let mut limit = self.command(Path::new("prlimit"));
        limit.args(["--pid", &pid.to_string(), "--fsize=16384"]);
        self.run(limit).await
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // The caller's PG* and MYSQL* variables and locale must not reach a server of the stage.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C").env("TZ", "UTC");
        command.current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        if let Owner::Other { uid, gid, .. } = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    pub(crate) async fn run(&self, mut command: Command) -> Result<(), Error> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let output = command.output().await.map_err(|source| self.spawn_error(Path::new(&program), source))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Program { program, said: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }

    pub(crate) fn spawn_error(&self, program: &Path, source: std::io::Error) -> Error {
        Error::Run { program: program.to_path_buf(), user: self.owner.name(), folder: self.folder.clone(), source }
    }

    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|source| Error::Folder { operation: "write", path: path.to_path_buf(), source })?;
        self.give(path)
    }

    fn give(&self, path: &Path) -> Result<(), Error> {
        match self.owner {
            Owner::Caller => Ok(()),
            Owner::Other { uid, gid, .. } => {
                chown(path, Some(uid), Some(gid)).map_err(|source| Error::Folder { operation: "give away", path: path.to_path_buf(), source })
            }
        }
    }
}
