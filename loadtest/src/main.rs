//! The load generator's command line: options in, report out, the exit code says whether every message arrived once.
//!
//! Knows the terminal; must not know any protocol.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use loadtest::{ChangesOptions, CompareOptions, Options, ScenarioOptions};

/// What it spends is the server's loss: both share a machine. The same allocator, so that a build has one.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a scenario: phases one after the other, streams side by side, checks, charts.
    Scenario(ScenarioOptions),
    /// Posts change events for many devices and counts the notifications that come of them.
    Changes(ChangesOptions),
    /// Shows two results side by side.
    Compare(CompareOptions),
    /// Does a part of another process's work.
    #[command(hide = true)]
    Part,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    // One thread: the loader shares its machine with the server, and must not take a second core unasked.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| match line.command {
        None => runtime.block_on(single(line.options)),
        Some(Command::Scenario(options)) => runtime.block_on(scenario(&options)),
        Some(Command::Changes(options)) => runtime.block_on(changes(&options)),
        Some(Command::Compare(options)) => compare(&options),
        Some(Command::Part) => runtime.block_on(loadtest::part()).map(|()| true),
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn single(options: Options) -> anyhow::Result<bool> {
    let json = options.json;
    let report = loadtest::run(options).await?;
    println!("{}", if json { report.json() } else { report.to_string() });
    Ok(report.is_good())
}

async fn changes(options: &ChangesOptions) -> anyhow::Result<bool> {
    let report = loadtest::run_changes(options).await?;
    println!("{}", if options.json { report.json() } else { report.to_string() });
    Ok(report.is_good())
}

async fn scenario(options: &ScenarioOptions) -> anyhow::Result<bool> {
    let report = loadtest::run_scenario(options).await?;
    println!("{}", if options.json { report.json() } else { report.to_string() });
    Ok(report.is_good())
}

fn compare(options: &CompareOptions) -> anyhow::Result<bool> {
    let comparison = loadtest::compare(options)?;
    println!("{}", if options.json { comparison.json() } else { comparison.to_string() });
    Ok(true)
}
