//! A stage for a test, which ends with it.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use relight_stage::{Error, Options, Stage, coverage};
use tokio::sync::Semaphore;

/// Two stages at a time: once it stands, one takes a third of a core, as it mostly waits.
static ROOM: Semaphore = Semaphore::const_new(2);

/// Runs a scene on a stage of its own and ends the stage whatever becomes of the scene. The folder of a failed one stays, to be read.
pub(crate) async fn with_stage(options: Options, scene: impl AsyncFnOnce(&Stage) -> Result<(), Error>) {
    let _room = ROOM.acquire().await.expect("it is never closed");
    let began = Instant::now();
    let progress = Arc::new(move |what: &str| println!("{:>5.1} s  {what}", began.elapsed().as_secs_f64()));
    let stage = Stage::start(Options { progress, ..options }).await.expect("a stage comes up");
    println!("{:>5.1} s  the stage stands in {}", began.elapsed().as_secs_f64(), stage.folder.display());
    let folder = stage.folder.clone();
    let ended = AssertUnwindSafe(scene(&stage)).catch_unwind().await;
    let ended = ended.map(|ended| ended.and_then(|()| coverage::keep(&stage)));
    stage.shutdown().await;
    match ended {
        Ok(Ok(())) => drop(std::fs::remove_dir_all(folder)),
        Ok(Err(error)) => panic!("{error}; see {}", folder.display()),
        Err(panic) => resume_unwind(panic),
    }
}
