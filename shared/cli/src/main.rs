//! `relight`: the plan, from a file into the journal and into the parameters of its control stack. Everything else is said to a function by `cargo lambda invoke`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use clap::{Parser, Subcommand, ValueEnum};
use relight::aws::Aws;
use relight::aws::journal::DynamoJournal;
use relight::plan::{Mistakes, NotPut, Plan, put, stack};
use relight::ports::{Journal, JournalError, Written};

#[derive(Parser)]
#[command(name = "relight", about = "Checks a Relight plan and puts it in force")]
struct Arguments {
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Subcommand)]
enum Noun {
    /// The plan of a workload.
    #[command(subcommand)]
    Plan(PlanVerb),
    /// The control stack of a plan, infra/control.
    #[command(subcommand)]
    Stack(StackVerb),
}

#[derive(Subcommand)]
enum PlanVerb {
    /// Lists every mistake of a plan; changes nothing.
    Check { file: PathBuf },
    /// Puts a plan in force as a new version. An open run keeps its own until `replan`.
    Put {
        file: PathBuf,
        /// The journal's table: output JournalTable of infra/control.
        #[arg(long, env = "RELIGHT_TABLE")]
        table: String,
    },
}

#[derive(Subcommand)]
enum StackVerb {
    /// Prints the parameters that the plan knows, ARNs above all; changes nothing.
    Parameters {
        file: PathBuf,
        #[arg(long, value_enum, default_value_t = Format::Sam)]
        format: Format,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// One argument of `sam deploy --parameter-overrides`.
    Sam,
    /// CloudFormation's file of parameters.
    Json,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{file} cannot be read: {source}")]
    File { file: String, source: io::Error },
    #[error("{file} has {} mistake(s); the plan in force stays in force\n{mistakes}", .mistakes.0.len())]
    Mistakes { file: String, mistakes: Mistakes },
    #[error("not put: {0}")]
    NotPut(#[from] NotPut),
    #[error(transparent)]
    NoArn(#[from] stack::NoArn),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the runtime cannot start: {0}")]
    Runtime(#[source] io::Error),
}

fn main() -> ExitCode {
    match run(Arguments::parse().noun) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("relight: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(noun: Noun) -> Result<String, Failure> {
    match noun {
        Noun::Stack(StackVerb::Parameters { file, format }) => {
            let parameters = stack::parameters(&read(&file)?.0)?;
            Ok(match format {
                Format::Sam => stack::sam(&parameters),
                Format::Json => stack::json(&parameters),
            })
        }
        Noun::Plan(PlanVerb::Check { file }) => {
            let (plan, _) = read(&file)?;
            Ok(format!("{}: a good plan, {} to {}", plan.name, plan.primary, plan.standby))
        }
        Noun::Plan(PlanVerb::Put { file, table }) => {
            let (plan, text) = read(&file)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
            let version = runtime.block_on(put_plan(&plan, &text, table))?;
            Ok(format!("{}: version {version} is in force", plan.name))
        }
    }
}

fn read(file: &PathBuf) -> Result<(Plan, String), Failure> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| Failure::File { file: name.clone(), source })?;
    let plan = Plan::parse(&text).map_err(|mistakes| Failure::Mistakes { file: name, mistakes })?;
    Ok((plan, text))
}

async fn put_plan(plan: &Plan, text: &str, table: String) -> Result<u64, Failure> {
    let aws = Aws::load().await;
    let journal = DynamoJournal::new(&aws, table, plan.name.clone());
    loop {
        let snapshot = journal.read().await?;
        let (version, changes) = put(plan, text, &snapshot, &plan.name, aws.region())?;
        // Somebody changed the head in between: judged again over what is there now.
        if journal.write(changes, Vec::new()).await? == Written::Done {
            return Ok(version);
        }
    }
}
