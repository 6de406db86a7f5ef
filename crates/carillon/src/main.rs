//! The one binary: reads the command line and hands over. Knows no role from the inside.

mod all;
mod backup;
mod cli;
mod config;
mod demo;
mod doctor;
mod engines;
mod inbound;
mod issue;
mod lanes;
mod migrate;
mod operator;
mod process;
mod roles;
mod secrets;
mod single;

use std::process::ExitCode;

use clap::Parser;

/// Many small records change threads: what was freed last is given out first, while it is still in the caches. C allocates here, too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    runtime::tls::install_provider();
    let started = runtime::logs::init(cli::LOG_FILTER).map_err(anyhow::Error::from);
    match started.and_then(|()| cli.run()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("carillon: {error:#}");
            ExitCode::FAILURE
        }
    }
}
