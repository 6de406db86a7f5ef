//! Developer chores: `cargo xtask test` checks everything, `cargo xtask tidy` the rules of the house, `cargo xtask engines`
//! starts and stops Kafka and Cassandra, `cargo xtask faults` tries an installation on them hard, `cargo xtask compare`
//! measures the product side by side.
//!
//! Knows the repository and the machine; must not be needed to build or run the product.

mod command;
mod compare;
mod deploy;
mod engines;
mod faults;
mod image;
mod instructions;
mod lints;
mod machine;
mod mail;
mod mm7;
mod oms;
mod oracles;
mod process;
mod progress;
mod smpp;
mod soap;
mod steps;
mod suites;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::Step;

/// Developer chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Runs every check there is, and sets up what it needs on a machine that has only Rust and gcc.
    Test {
        /// Runs only these steps (repeat it, or separate them by commas).
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Step>,
    },
    /// Checks the rules of the house that a compiler does not know.
    Tidy,
    /// Starts and stops real engines: three Kafka brokers and a Cassandra node, from packages, below target/engines.
    Engines {
        #[command(subcommand)]
        order: engines::Order,
    },
    /// Tries an installation of many processes on real engines with one fault after the other, and counts every message.
    Faults(faults::Faults),
    /// Checks the Helm chart's unit tests, and the chart on a real cluster.
    CheckDeploy(deploy::CheckDeploy),
    /// Builds the image of all roles from a commit, says what is in it, and runs it.
    Image(image::Image),
    /// Lets a client that Apache CXF makes of the served WSDL talk to a real process. Needs a JDK and Maven.
    JavaClient,
    /// Counts the instructions of one call of each micro-benchmark, in release, by valgrind.
    Instructions,
    /// Measures one release build side by side, in turns, and counts what a message costs.
    Compare {
        #[command(subcommand)]
        what: compare::What,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = root();
    let result = match arguments.chore {
        Chore::Test { only } if lints::is_on() => steps::run(&root, &only),
        Chore::Test { .. } => lints::run_again(&root),
        Chore::Tidy => tidy::run(&root),
        Chore::Engines { order } => engines::run(&order),
        Chore::Faults(faults) => faults::run(&root, &faults),
        Chore::CheckDeploy(check) => check.run(&root),
        Chore::Image(image) => image.run(&root),
        Chore::JavaClient => soap::java(&root),
        Chore::Instructions => instructions::run(&root),
        Chore::Compare { what } => compare::run(&root, &what),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository: this crate lies two folders below it.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/xtask has two folders above it").to_owned()
}
