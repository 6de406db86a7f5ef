//! Measures the product side by side: `cargo xtask compare engines`, `cargo xtask compare kannel`, `cargo xtask compare growth`.
//!
//! Knows the order of a measurement; must not know how an installation is started nor how a figure is taken.

mod centre;
mod column;
mod cost;
mod growth;
mod installation;
mod kannel;
mod load;
mod part;
mod report;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use self::column::Column;
use self::report::{Figures, Report};
use crate::{command, machine};

/// What is compared.
#[derive(Subcommand)]
pub(crate) enum What {
    /// One release build on its engines in turns: embedded, Kafka with one broker, Kafka with three; the last two with a
    /// Cassandra node. One gateway, one router and one farm where they are processes of their own.
    Engines(Options),
    /// One release build and Debian's Kannel in turns: the same loader, texts and simulated service centre, receipts on. Kannel
    /// once with its spool and once without any store.
    Kannel(kannel::Options),
    /// One release build on embedded engines as its store grows to ten million messages, and with up to ten thousand tenants: what
    /// a message costs must stay the same. Takes some 6 GB of the disk, and as long as ten million messages take.
    Growth(growth::Options),
    /// Becomes a program that ends with whoever started this.
    #[command(hide = true)]
    Hold {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<String>,
    },
}

/// How it is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// Which, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Column::Embedded, Column::Kafka1, Column::Kafka3])]
    columns: Vec<Column>,
    /// Messages of the two runs that are as fast as they can (closed loop).
    #[arg(short = 'n', long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Connections of the loader.
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Messages a second of the paced run (open loop): what every column can hold, so that they do the same work in the
    /// same time.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// How long the paced run takes.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Simulated modems, half of them a route.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    modems: u32,
    /// By two SMPP binds with windows of 500 in place of modems, each of which has one message at a time: every column is as fast as
    /// its engines then.
    #[arg(long, conflicts_with = "modems")]
    smpp: bool,
    /// Measures what was built before, whatever the sources say now.
    #[arg(long)]
    no_build: bool,
    /// Shows the process ids at each run, so that a profiler can be attached.
    #[arg(long)]
    show_processes: bool,
    /// Prints the result as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// What messages go out through.
    fn links(&self) -> String {
        if self.smpp {
            format!("{} SMPP binds", centre::BINDS as usize * centre::ACCOUNTS.len())
        } else {
            format!("{} simulated modems", self.modems)
        }
    }
}

/// Builds in release, measures, and shows.
pub(crate) fn run(root: &Path, what: &What) -> anyhow::Result<()> {
    match what {
        What::Engines(options) => compare(root, options),
        What::Kannel(options) => kannel::compare(root, options),
        What::Growth(options) => growth::compare(root, options),
        What::Hold { program } => part::hold(program),
    }
}

fn compare(root: &Path, options: &Options) -> anyhow::Result<()> {
    let target = built(root, options.no_build, if options.smpp { "smsc" } else { "network" })?;
    let mut columns: Vec<Figures> = Vec::new();
    for column in &options.columns {
        eprintln!("=== {}", column.title());
        columns.push(column::measure(*column, &target, options)?);
    }
    let report = Report::new(options, columns);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    report.check()
}

/// Where what is measured stands: one release build of the product, the loader and a simulated network (an example) of the same
/// sources, or what was built before.
fn built(root: &Path, no_build: bool, example: &str) -> anyhow::Result<PathBuf> {
    let target = machine::target(root);
    if no_build {
        let names = ["carillon".to_owned(), "loadtest".to_owned(), format!("examples/{example}")];
        let absent = names.iter().find(|name| !target.join("release").join(name).is_file());
        anyhow::ensure!(
            absent.is_none(),
            "release/{} was not built yet: leave out --no-build",
            absent.map_or("", |n| n)
        );
    } else {
        let mut arguments = vec!["build", "--release", "--workspace", "--features", "carillon/cluster"];
        arguments.extend(["--bin", "carillon", "--bin", "loadtest", "--example", example]);
        // Nothing but the result goes to the standard output.
        command::run_aside(root, "cargo", &arguments)?;
    }
    Ok(target)
}
