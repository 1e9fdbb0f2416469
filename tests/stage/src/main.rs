//! `stage`: shows a failover, a drill or the way home, or leaves a stage standing to try things by hand.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Parser, Subcommand};
use jiff::SignedDuration;
use relight_stage::everyday::{self, Everyday};
use relight_stage::layout::Layout;
use relight_stage::{Error, Options, Regions, STANDBY, Stage, count, scenes};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "stage", about = "A two-Region AWS on this machine, with a workload and Relight in it")]
struct Arguments {
    #[command(subcommand)]
    scene: Scene,
}

#[derive(Subcommand)]
enum Scene {
    /// The primary Region dies; Relight brings the standby up.
    Failover,
    /// The monthly drill, its hour shortened.
    Drill,
    /// A failover; then the primary Region comes back, and the operator goes home.
    Failback,
    /// Counts what minutes of peace and a drill call, and what that costs: the numbers of docs/cost.md.
    Count,
    /// The resource types of the templates that a stage cannot confirm, and why.
    Unconfirmed,
    /// An empty account with two Regions, which `infra/everyday.py` deploys into step by step.
    Everyday {
        /// Where it says how to reach it.
        #[arg(long)]
        file: PathBuf,
        #[arg(long)]
        name: String,
        #[arg(long)]
        domain: String,
        #[arg(long)]
        primary: String,
        #[arg(long)]
        standby: String,
        #[arg(long)]
        rto_minutes: i64,
        #[arg(long)]
        rpo_minutes: i64,
    },
    /// Stands until it is told to end, and says in a file how to reach it.
    Serve {
        /// The file, `target/stage/up.json`.
        #[arg(long)]
        file: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let scene = Arguments::parse().scene;
    let work = async {
        match scene {
            Scene::Failover => {
                let stage = start().await?;
                let outcome = scenes::failover(&stage).await;
                stage.shutdown().await;
                let outcome = outcome?;
                Ok(outcome.report.passed && !outcome.lost.is_empty())
            }
            Scene::Drill => {
                let stage = start().await?;
                let outcome = scenes::drill(&stage).await;
                stage.shutdown().await;
                let outcome = outcome?;
                Ok(outcome.report.passed && outcome.differences().is_empty())
            }
            Scene::Failback => {
                let stage = start().await?;
                let outcome = scenes::failback(&stage).await;
                stage.shutdown().await;
                Ok(outcome?.passed())
            }
            Scene::Count => {
                let stage = start().await?;
                let counted = count::count(&stage).await;
                stage.shutdown().await;
                println!("\n{}", counted?);
                Ok(true)
            }
            Scene::Unconfirmed => {
                unconfirmed();
                Ok(true)
            }
            Scene::Serve { file } => serve(file).await.map(|()| true),
            Scene::Everyday { file, name, domain, primary, standby, rto_minutes, rpo_minutes } => {
                let (rto, rpo) = (SignedDuration::from_mins(rto_minutes), SignedDuration::from_mins(rpo_minutes));
                let options = Options { regions: Regions { primary, standby }, ..options() };
                everyday(everyday::Settings { name, domain, rto, rpo }, options, file).await.map(|()| true)
            }
        }
    };
    // Ctrl-C drops the stage where it stands: its children end with it.
    let ended: Result<bool, Error> = tokio::select! {
        ended = work => ended,
        () = told_to_end() => {
            eprintln!("stage: told to end");
            return ExitCode::from(130);
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("stage: the run did not pass; see the lines marked NOT in its report");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("stage: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Progress with the time that has passed.
fn options() -> Options {
    let began = Instant::now();
    let progress = Arc::new(move |what: &str| println!("{:>5.1} s  {what}", began.elapsed().as_secs_f64()));
    Options { progress, ..Options::default() }
}

async fn everyday(settings: everyday::Settings, options: Options, file: PathBuf) -> Result<(), Error> {
    let mut stage = Everyday::start(settings, options).await?;
    stage.announce(&file)?;
    tokio::select! {
        () = stage.serve() => (),
        () = told_to_end() => (),
    }
    stage.shutdown().await;
    let _ = std::fs::remove_file(&file);
    Ok(())
}

async fn start() -> Result<Stage, Error> {
    let began = Instant::now();
    let stage = Stage::start(options()).await?;
    println!("{:>5.1} s  the stage stands", began.elapsed().as_secs_f64());
    Ok(stage)
}

fn unconfirmed() {
    for (heading, types) in [("accepted, not created", stage_deploy::ACCEPTED), ("created, and nothing acts by it", stage_deploy::INERT)] {
        println!("{heading}:");
        for (kind, why) in types {
            println!("  {kind:<44} {why}");
        }
    }
}

async fn serve(file: PathBuf) -> Result<(), Error> {
    let _ = Layout::find()?;
    let stage = start().await?;
    let environment = relight_stage::environment(stage.router.url(), STANDBY);
    let up = json!({ "pid": std::process::id(), "environment": environment.into_iter().collect::<std::collections::BTreeMap<_, _>>(), "folder": stage.folder, "function": stage.function("monthly-drill")? });
    std::fs::write(&file, up.to_string()).map_err(|source| Error::Io { doing: "writing the stage's file", source })?;
    told_to_end().await;
    stage.shutdown().await;
    let _ = std::fs::remove_file(&file);
    Ok(())
}

async fn told_to_end() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
}
