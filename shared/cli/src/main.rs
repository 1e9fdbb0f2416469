//! `relight`: the plan, from a file into the journal and into the parameters of its control stack. Everything else is said to a function by `cargo lambda invoke`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use clap::{Parser, Subcommand, ValueEnum};
use relight::aws::Aws;
use relight::aws::compute::AwsCompute;
use relight::aws::database::AwsDatabase;
use relight::aws::journal::DynamoJournal;
use relight::aws::secrets::AwsSecrets;
use relight::aws::stop::AwsTraffic;
use relight::decide::readiness::{self, Finding};
use relight::look;
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
    Check {
        file: PathBuf,
        /// Looks in the standby Region too, with your credentials, whether what the plan names is there.
        #[arg(long)]
        against_aws: bool,
    },
    /// Puts a plan in force as a new version. An open run keeps its own until `replan`. A plan that names what is not there is refused.
    Put {
        file: PathBuf,
        /// Puts it without looking whether what it names is there.
        #[arg(long)]
        unchecked: bool,
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
    #[error("{plan} names what the standby Region does not have; nothing was changed\n{}\n`plan put --unchecked` puts it all the same", list(.findings))]
    NotThere { plan: String, findings: Vec<Finding> },
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
        Noun::Plan(PlanVerb::Check { file, against_aws }) => {
            let (plan, _) = read(&file)?;
            let good = format!("{}: a good plan, {} to {}", plan.name, plan.primary, plan.standby);
            if !against_aws {
                return Ok(good);
            }
            let rest = runtime()?.block_on(async { look(&Aws::load().await, &plan).await })?;
            Ok(with_rest(format!("{good}; what it names is there"), &rest))
        }
        Noun::Plan(PlanVerb::Put { file, unchecked, table }) => {
            let (plan, text) = read(&file)?;
            let (version, rest) = runtime()?.block_on(put_plan(&plan, &text, table, unchecked))?;
            Ok(with_rest(format!("{}: version {version} is in force", plan.name), &rest))
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)
}

/// What was found beside, which `readiness` will say again.
fn with_rest(said: String, rest: &[Finding]) -> String {
    if rest.is_empty() { said } else { format!("{said}\nfound beside:\n{}", list(rest)) }
}

fn list(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(|finding| format!("  {}: {finding}; {}", finding.about(), finding.remedy())).collect();
    lines.join("\n")
}

fn read(file: &PathBuf) -> Result<(Plan, String), Failure> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| Failure::File { file: name.clone(), source })?;
    let plan = Plan::parse(&text).map_err(|mistakes| Failure::Mistakes { file: name, mistakes })?;
    Ok((plan, text))
}

async fn put_plan(plan: &Plan, text: &str, table: String, unchecked: bool) -> Result<(u64, Vec<Finding>), Failure> {
    let aws = Aws::load().await;
    let journal = DynamoJournal::new(&aws, table, plan.name.clone());
    let mut rest = None;
    loop {
        let snapshot = journal.read().await?;
        let (version, changes) = put(plan, text, &snapshot, &plan.name, aws.region())?;
        if rest.is_none() {
            rest = Some(if unchecked { Vec::new() } else { look(&aws, plan).await? });
        }
        // Somebody changed the head in between: judged again over what is there now.
        if journal.write(changes, Vec::new()).await? == Written::Done {
            return Ok((version, rest.unwrap_or_default()));
        }
    }
}

/// Looks whether what the plan names is there, and gives back what was found beside. What could not be read is no reason to refuse:
/// a plan is corrected in a crisis, too.
async fn look(aws: &Aws, plan: &Plan) -> Result<Vec<Finding>, Failure> {
    let (compute, database) = (AwsCompute::new(aws), AwsDatabase::new(aws));
    let (secrets, traffic) = (AwsSecrets::new(aws, String::new()), AwsTraffic::new(aws, None));
    let found = readiness::things(plan, &look::things(plan, &compute, &database, &secrets, &traffic).await);
    let (absent, rest): (Vec<Finding>, Vec<Finding>) = found.into_iter().partition(Finding::is_about_what_is_not_there);
    if absent.is_empty() { Ok(rest) } else { Err(Failure::NotThere { plan: plan.name.clone(), findings: absent }) }
}
